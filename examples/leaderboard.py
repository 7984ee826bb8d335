"""A leaderboard: every layout that needs no label, on a file of your own.

python examples/leaderboard.py [features.npy or rows.csv]
Expect: of 900 digits, recalls from 0.69 to 0.16: self-tuning p, then t-SNE; a minute.
Draws leaderboard.png: the layouts, the best first.

Sorted by recall: of the ten nearest neighbours of a row in the data, the share that is
among its ten nearest in the plane. Labels, where the file has some, only colour.
"""

import functools as ft
import sys
import time

import icon
from icon import data, evaluate, plot
from icon.estimators import SNE, TSNE, UMAP, NeighborEmbedding, SpectralEmbedding


joint = ft.partial(icon.kl, joint=True)  # one distribution over all pairs
wide = ft.partial(SpectralEmbedding, 2)  # cells of infinite width, in closed form
free = ft.partial(NeighborEmbedding, random_state=0)
METHODS = {
    "PCA": wide(p="items", map="linear", constraint="orthonormal"),
    "LPP": wide(p="neighbors", map="linear"),
    "Laplacian eigenmaps": wide(p="neighbors"),
    "SNE": SNE(random_state=0),
    "t-SNE": TSNE(random_state=0),
    "t-SNE, uniform p": TSNE(affinity="uniform", random_state=0),
    "UMAP": UMAP(random_state=0),
    "self-tuning p, t": free(),
    "self-tuning p, t, joint": free(loss=joint),
    "uniform p, Laplace": free(p=lambda index, _: icon.uniform(index), q=icon.laplace),
    "fuzzy p, t under TV": free(p=icon.fuzzy, loss=icon.tv),
    "fuzzy p, t under JSD": free(p=icon.fuzzy, loss=icon.jsd),
}


def judged(name: str, model, x) -> dict:
    """The plane of a method, how well it keeps neighbours, and how long it took."""
    start = time.perf_counter()
    z = model.fit_transform(x)
    seconds = time.perf_counter() - start
    recall = evaluate.neighborhood_recall(x, z, k=10)
    trust = evaluate.trustworthiness(x, z, k=10)
    return dict(name=name, z=z, recall=recall, trust=trust, seconds=seconds)


def drawn(board: list[dict], labels, picture: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure((10, 8), layout="constrained")
    for ax, row in zip(figure.subplots(3, 4).flat, board, strict=True):
        plot.embedding(row["z"], labels, ax=ax)
        ax.set_title(f"{row['name']}: {row['recall']:.2f}", fontsize=10)
        if ax.get_legend():
            ax.get_legend().remove()
    figure.savefig(picture, dpi=55)


def main(file: str = "", rows: int = 900, picture: str = "leaderboard.png"):
    found = data.load(file) if file else data.digits()
    x, labels = found.features[:rows], found.labels
    labels = None if labels is None else labels[:rows]
    board = [judged(name, model, x) for name, model in METHODS.items()]
    board.sort(key=lambda row: -row["recall"])
    print(f"{'':22s} recall  trust  seconds")
    for row in board:
        scores = "{recall:6.3f} {trust:6.3f} {seconds:8.1f}".format_map(row)
        print(f"{row['name']:22s} {scores}")
    drawn(board, labels, picture)
    return {row["name"]: row["recall"] for row in board}


if __name__ == "__main__":
    main(*sys.argv[1:2])
