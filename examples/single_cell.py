"""Single cells: counts in a plane and in clusters, kept where an AnnData keeps them.

python examples/single_cell.py
Expect: clusters that agree with the types, ARI above 0.95; half a minute.
Draws single_cell.png: t-SNE coloured by types, UMAP by the clusters that were found.
"""

import dataclasses
import sys

import numpy as np

import icon
from icon import evaluate, plot
from icon.estimators import TSNE, UMAP, NeighborClustering


@dataclasses.dataclass
class Cells:
    """What is used of an AnnData: yours takes its place as it is."""

    X: np.ndarray  # counts [cells, genes]
    obs: dict = dataclasses.field(default_factory=dict)  # a column per name
    obsm: dict = dataclasses.field(default_factory=dict)  # [cells, ...] per name
    obsp: dict = dataclasses.field(default_factory=dict)  # [cells, cells] per name


def drawn(n: int, genes: int = 1000, types: int = 8, seed: int = 0) -> Cells:
    """Counts of cells of unlike depth, whose types each raise 30 genes of their own."""
    rng = np.random.default_rng(seed)
    share = 0.5 ** np.arange(types) + 0.1  # some types are rare
    kind = np.sort(rng.choice(types, n, p=share / share.sum()))
    rate = rng.gamma(0.3, 1.0, genes)
    raised = np.array([rng.permutation(genes) < 30 for _ in range(types)])
    counts = rng.poisson(rng.lognormal(0, 0.5, (n, 1)) * (rate + 1.3 * raised[kind]))
    return Cells(counts.astype(np.float32), {"type": kind})


def prepare(cells: Cells, components: int = 20) -> None:
    """Every cell at the median depth, log(1 + x), and the principal components."""
    depth = cells.X.sum(1, keepdims=True)
    x = np.log1p(cells.X / depth * np.median(depth))
    ids = np.arange(len(x))
    p, constraint = icon.same(ids, ids), icon.orthonormal  # PCA: each its own neighbour
    found = icon.spectral(p, x, components=components, constraint=constraint)
    cells.obsm["X_pca"] = np.asarray(found.embedding)


def explore(cells: Cells, clusters: int) -> None:
    """One graph of neighbours, two layouts of it; clusters of the components."""
    x = cells.obsm["X_pca"]
    near = tuple(map(np.asarray, icon.knn(x, 90)))
    fewer = tuple(part[:, :15] for part in near)
    cells.obsm["X_tsne"] = TSNE(neighbors=near, random_state=0).fit_transform(x)
    umap = UMAP(neighbors=fewer, random_state=0)
    cells.obsm["X_umap"] = umap.fit_transform(x)
    cells.obsp["connectivities"] = np.asarray(icon.dense(umap.affinities_))
    found = NeighborClustering(clusters, random_state=0).fit(x)
    cells.obs["cluster"] = found.labels_
    cells.obs["certainty"] = found.memberships_.max(1)


def main(n: int = 1500, picture: str = "single_cell.png"):
    from matplotlib.figure import Figure

    prepare(cells := drawn(n))
    explore(cells, clusters=8)
    kind, cluster = cells.obs["type"], cells.obs["cluster"]
    agreement = evaluate.ari(kind, cluster)
    print(f"ARI {agreement:.3f}; obsm {sorted(cells.obsm)}, obs {sorted(cells.obs)}")
    figure = Figure((9, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot.embedding(cells.obsm["X_tsne"], kind, ax=left, title="t-SNE: types")
    plot.embedding(cells.obsm["X_umap"], cluster, ax=right, title="UMAP: clusters")
    figure.savefig(picture, dpi=75)
    return agreement


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
