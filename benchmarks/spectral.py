"""How long do closed forms take, and are they scikit-learn's?

python benchmarks/spectral.py
`icon.spectral` beside scikit-learn, or LAPACK where it has no such method: seconds of a
fit and of the embedding of all rows, the median of five in turn; `angle` is the largest
between the two subspaces, `accuracy` what the smallest correlation of a column with its
counterpart is short of 1. Rows: normal noise of falling deviation, 70,000 x 50; the
1,797 digits; a path of 100,000 nodes, whose eigenvalues are known. Prints a table and
keeps benchmarks/results/spectral.json. --quick is a trial of a tenth of the rows, which
is not kept.
"""

import argparse
import functools as ft
import json
import time
from collections.abc import Callable
from pathlib import Path

import cells
import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.manifold import spectral_embedding

import icon
from icon import data


RESULTS = Path(__file__).parent / "results"
REPEATS = 5


def in_turn(one: Callable, two: Callable) -> tuple[dict, list]:
    """What both find, and their seconds: A B A B, the medians."""
    seconds, found = ([], []), [None, None]
    for _ in range(REPEATS):
        for k, run in enumerate((one, two)):
            began = time.perf_counter()
            found[k] = run()
            seconds[k].append(time.perf_counter() - began)
    own, peer = (float(np.median(x)) for x in seconds)
    return dict(seconds=own, peer_seconds=peer, ratio=own / peer), found


def angle(one, two) -> float:
    return float(subspace_angles(np.asarray(one), np.asarray(two)).max())


def apart(one, two) -> float:
    pairs = zip(np.asarray(one).T, np.asarray(two).T, strict=True)
    return float(1 - min(abs(np.corrcoef(u, v)[0, 1]) for u, v in pairs))


# ------------------------------------------------------- maps


def _embedded(model, x, *y):
    """The model, after it has made its embedding of all rows too."""
    model.fit(x, *y).transform(x)
    return model


def noise(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, 50)) * np.linspace(3, 1, 50)).astype(np.float32)


def pca(n: int, dtype=np.float32) -> dict:
    x, ids = noise(n).astype(dtype), np.arange(n)
    p = icon.same(ids, ids)
    found, (own, peer) = in_turn(
        lambda: icon.spectral(p, x, components=10, constraint=icon.orthonormal),
        lambda: _embedded(PCA(10), x),
    )
    return found | dict(angle=angle(own.map, peer.components_.T))


def lda(n: int) -> dict:
    x, labels = noise(n), np.arange(n) % 10
    x[:, :9] += np.eye(10)[labels, :9].astype(np.float32)
    p = icon.same(labels, labels)
    found, (own, peer) = in_turn(
        lambda: icon.spectral(p, x, components=9, constraint=icon.whitened),
        lambda: _embedded(LinearDiscriminantAnalysis(solver="eigen"), x, labels),
    )
    return found | dict(angle=angle(own.map, peer.scalings_[:, :9]))


def path(n: int):
    weights = sp.diags_array(np.ones(n - 1), offsets=1)
    return sp.csr_array(weights + weights.T)


def lpp(n: int) -> dict:
    """Rows of a ring of neighbours, 15 on either side."""
    x = noise(n)
    offsets = np.arange(1, 16)
    weights = sp.diags_array([np.ones(n - k) for k in offsets], offsets=offsets)
    weights = sp.csr_array(weights + weights.T)
    degree = weights.sum(1)
    p = icon.graph(weights)

    def by_lapack():
        moved = x - degree @ x / degree.sum()
        both = moved.T @ (degree[:, None] * moved)
        laplacian = both - moved.T @ (weights @ moved)
        found = scipy.linalg.eigh(laplacian, both)[1][:, :10]
        return found, moved @ found

    found, (own, peer) = in_turn(
        lambda: icon.spectral(
            p, x, components=10, constraint=icon.whitened, weight=degree
        ),
        by_lapack,
    )
    return found | dict(angle=angle(own.map, peer[0]))


# ------------------------------------------------------- graphs


def eigenmaps(n: int) -> dict:
    """15 nearest digits, all of them whatever n is."""
    x = data.digits().features
    near = np.asarray(icon.dense(icon.uniform(icon.knn(x, 15)[0]))) > 0
    weights = sp.csr_array((near | near.T).astype(np.float32))
    p, degree = icon.graph(weights), weights.sum(1)
    found, (own, peer) = in_turn(
        lambda: (
            icon.spectral(
                p, components=5, constraint=icon.whitened, weight=degree
            ).embedding
        ),
        lambda: spectral_embedding(weights, n_components=5, random_state=0),
    )
    return found | dict(accuracy=apart(own, peer))


def alone(weights, exact) -> dict:
    """A graph whose eigenvalues are known: seconds, and how far the first is off."""
    degree, p = weights.sum(1), icon.graph(weights)
    began = time.perf_counter()
    found = icon.spectral(p, components=2, constraint=icon.whitened, weight=degree)
    seconds = time.perf_counter() - began
    value = float(found.value[0] + 2)
    return dict(seconds=seconds, eigenvalue=value, exact=exact, off=value / exact - 1)


def time_order(n: int) -> dict:
    return alone(path(n), 4 * np.sin(np.pi / (n - 1) / 2) ** 2)


SECTIONS: dict[str, Callable] = dict(
    pca=pca,
    pca_of_float64=ft.partial(pca, dtype=np.float64),
    lda=lda,
    lpp=lpp,
    eigenmaps=eigenmaps,
)
GRAPHS = dict(time_order=time_order)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    n, nodes = (7_000, 10_000) if quick else (70_000, 100_000)
    found = {name: section(n) for name, section in SECTIONS.items()}
    found |= {name: section(nodes) for name, section in GRAPHS.items()}
    for name, row in found.items():
        print(name, *(f"{key} {value:.3g}" for key, value in row.items()))
    if not quick:
        kept = dict(machine=cells.machine(), rows=found)
        (RESULTS / "spectral.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
