"""Text from a file: sentences as numbers, as a map and in clusters.

python examples/text_file.py [sentences.csv]
Expect: of docstrings of Python, 10-NN accuracy of their package near 0.8; a minute.
Draws text_file.png: the map, coloured by the package, and by the clusters.

The file has a sentence a line after a label and a comma; without one it is written. An
encoder of yours, such as all-MiniLM, takes the place of `embedded`.
"""

import ast
import csv
import sys
from pathlib import Path

import numpy as np

from icon import evaluate, plot
from icon.estimators import TSNE, NeighborClustering


PACKAGES = ("asyncio", "email", "unittest", "tkinter", "logging", "multiprocessing")


def write(path: Path) -> None:
    """Docstrings of the functions of some packages, each under its package's name."""
    library, documented = Path(ast.__file__).parent, (ast.FunctionDef, ast.ClassDef)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        for package in PACKAGES:
            for source in sorted((library / package).rglob("*.py")):
                for node in ast.walk(ast.parse(source.read_bytes())):
                    text = isinstance(node, documented) and ast.get_docstring(node)
                    if text and len(text) > 60:
                        rows.writerow([package, " ".join(text.split())])


def embedded(sentences: list[str]) -> np.ndarray:
    """Words and pairs of words, hashed, weighed by rarity, in 64 directions."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.pipeline import make_pipeline

    hashed = HashingVectorizer(
        n_features=2**14, ngram_range=(1, 2), stop_words="english", alternate_sign=False
    )
    reduced = TruncatedSVD(64, random_state=0)
    return make_pipeline(hashed, TfidfTransformer(), reduced).fit_transform(sentences)


def main(file: str = "", picture: str = "text_file.png"):
    from matplotlib.figure import Figure

    if not file:
        write(Path(file := "text_file.csv"))
    with open(file, newline="", encoding="utf-8") as rows:
        names, sentences = zip(*csv.reader(rows), strict=True)
    classes, labels = np.unique(names, return_inverse=True)
    x = embedded(list(sentences))
    z = TSNE(metric="cosine", random_state=0).fit_transform(x)
    clusters = NeighborClustering(len(classes), random_state=0).fit_predict(x)
    accuracy = evaluate.knn_accuracy(z, labels, k=10)
    print(f"{len(x)} sentences, 10-NN {accuracy:.3f} on the map,", end=" ")
    print(f"NMI of the clusters {evaluate.nmi(labels, clusters):.3f}")
    figure = Figure((10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot.embedding(z, labels, names=list(classes), ax=left, title="packages")
    plot.embedding(z, clusters, ax=right, title="clusters")
    figure.savefig(picture, dpi=75)
    return accuracy


if __name__ == "__main__":
    main(*sys.argv[1:])
