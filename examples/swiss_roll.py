"""A sheet that is rolled up, in a plane: three cells of infinite width, solved exactly.

python examples/swiss_roll.py
Expect: the correlation of a column with the place along the roll: PCA 0.28, Laplacian
eigenmaps 0.99, Isomap 0.999; seconds.
Draws swiss_roll.png: the three planes, coloured by the place along the roll.
"""

import sys

import numpy as np
from scipy.sparse.csgraph import shortest_path

import icon
from icon import data


roll = data.swiss_roll()
x, along = roll.features, roll.also["time"]
index, distance = map(np.asarray, icon.knn(x, 8))


def pca():
    """Every row is its own neighbour; the map is orthonormal."""
    ids = np.arange(len(x))
    p = icon.same(ids, ids)
    return icon.spectral(p, x, components=2, constraint=icon.orthonormal)


def eigenmaps():
    """The nearest rows are neighbours; the embedding is free, and white."""
    near = np.asarray(icon.dense(icon.uniform(index))) > 0
    weights = (near | near.T).astype(np.float32)
    return icon.spectral(
        icon.graph(weights), components=2, constraint=icon.whitened,
        weight=weights.sum(1),
    )  # fmt: skip


def isomap():
    """PCA of the inner products that paths along the nearest rows stand for."""
    far = np.full((len(x), len(x)), np.inf)
    np.put_along_axis(far, index, distance, 1)
    square = shortest_path(np.minimum(far, far.T), directed=False) ** 2
    gram = -(square - square.mean(0) - square.mean(1)[:, None] + square.mean()) / 2
    ids = np.arange(len(x))
    return icon.spectral(
        icon.same(ids, ids), gram, components=2, constraint=icon.orthonormal,
        kernel=lambda rows, _: rows,
    )  # fmt: skip


def main(picture: str = "swiss_roll.png"):
    from matplotlib.figure import Figure

    figure = Figure((10, 3.4), layout="constrained")
    found = {}
    planes = {"PCA": pca(), "Laplacian eigenmaps": eigenmaps(), "Isomap": isomap()}
    axes = figure.subplots(1, len(planes))
    for ax, (name, plane) in zip(axes, planes.items(), strict=True):
        z = plane.embedding
        found[name] = max(abs(np.corrcoef(column, along)[0, 1]) for column in z.T)
        ax.scatter(*z.T, c=along, s=4, cmap="viridis")
        ax.set_title(f"{name}: {found[name]:.3f}")
        ax.set_xticks([])
        ax.set_yticks([])
        print(f"{name:20s} correlation {found[name]:.3f}, loss {plane.loss:.4g}")
    figure.savefig(picture, dpi=80)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
