"""Who should share a cluster? Neighbours, walks among them, views, and known labels.

Each is a choice of p: a graph over the rows, of few neighbours each.
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from icon._base import checks as check
from icon._neighborhoods import Graph, graph, self_tuning, to_sparse, uniform
from icon._search import propagate


ALWAYS = 3  # nearest neighbours that stay where others are left out
KEPT = 3  # neighbours after a walk, in multiples of those before

Listed = tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]


# ------------------------------------------------------- which neighbours count


def alike(index, distance) -> Graph:
    """Every neighbour alike."""
    return uniform(index)


def mutual(index, distance) -> Graph:
    """Neighbours of which the anchor is a neighbour too, and the three nearest."""
    listed = _listed(index, 1.0)
    return _rows(listed.multiply(listed.T).maximum(_listed(index[:, :ALWAYS], 1.0)))


def shared(index, distance) -> Graph:
    """Neighbours by how many neighbours both have: |N_i ∩ N_j| / |N_i ∪ N_j|.

    An item counts as its own neighbour.

    Source: Jarvis & Patrick, Clustering using a similarity measure based on shared near
    neighbors, 1973.
    """
    listed = _listed(index, 1.0) + sp.eye_array(len(index))
    both = sp.csr_array(listed.multiply(listed @ listed.T))
    both.data = both.data / (2 * (index.shape[1] + 1) - both.data)
    return _rows(both - sp.diags_array(both.diagonal()))


def within(index, distance) -> Graph:
    """Neighbours nearer than the median of all listed distances, and the three nearest.

    Items in dense regions have many neighbours, outliers three.
    """
    near = np.asarray(distance) <= np.median(distance)
    near[:, :ALWAYS] = True
    return _rows(_listed(index, near.astype(float)))


NEIGHBORS: dict[str, Callable] = {
    "self-tuning": self_tuning,
    "alike": alike,
    "mutual": mutual,
    "shared": shared,
    "within": within,
}


def _listed(index, weight):
    """A sparse matrix [n, n] from lists of neighbours."""
    index = np.array(index)
    n, k = index.shape
    weight = np.array(np.broadcast_to(weight, index.shape)).ravel()
    start = np.arange(0, n * k + 1, k)
    return sp.csr_array((weight, index.ravel(), start), shape=(n, n))


def _rows(weight) -> Graph:
    """The graph of these weights, its rows of mass 1."""
    weight = sp.csr_array(weight)
    weight.eliminate_zeros()
    mass = np.asarray(weight.sum(1)).ravel()
    return graph(weight / np.where(mass > 0, mass, 1)[:, None])


# ------------------------------------------------------- made of several


def walked(p: Graph, walks: int) -> Graph:
    """Neighbours of neighbours as well, the heaviest of them: `icon.propagate`."""
    widest = int(np.diff(np.asarray(p.start)).max())
    return propagate(p, walks, keep=KEPT * widest) if walks else p


def averaged(graphs: Sequence[Graph], weights: Sequence[float]) -> Graph:
    """One graph from several, as `icon.mix` weighs them.

    Where an anchor has no neighbour in one of them, it follows the others alone.
    """
    matrices = [to_sparse(p) for p in graphs]
    return _rows(sum(w * m for w, m in zip(weights, matrices, strict=True)))


def agreed(p: Graph, members: Sequence[Int[np.ndarray, " n"]]) -> Graph:
    """Neighbours, each weighed by how many partitions put it with its anchor.

    $$p_{ij} \\leftarrow p_{ij} \\tfrac{1}{M} \\textstyle\\sum_m 1[c_m(i) = c_m(j)]$$

    Source: Adaloglou, Michels, Kalisch & Kollmann, Exploring the limits of deep image
    clustering using pretrained models (TEMI), 2023.
    """
    edges = sp.coo_array(to_sparse(p))
    row, column = edges.coords
    together = np.mean([labels[row] == labels[column] for labels in members], 0)
    entries = (edges.data * together, (row, column))
    return _rows(sp.csr_array(entries, shape=edges.shape))


def known(labels: Int[np.ndarray, " n"], most: int, seed: int) -> Graph | None:
    """Items of the same known label, -1 for unknown; at most so many for each.

    None where no two items share one.
    """
    n, seen = len(labels), np.flatnonzero(labels >= 0)
    order = np.random.default_rng(seed).permutation(seen)
    order = order[np.argsort(labels[order], kind="stable")]
    _, first, size = np.unique(labels[order], return_index=True, return_counts=True)
    if size.max(initial=0) < 2:
        return None
    first, size = np.repeat(first, size), np.repeat(size, size)
    # in a circle of every class, in random order: the next ones of each
    step = np.arange(1, min(most, size.max() - 1) + 1)[:, None]
    column = order[first + (np.arange(len(order)) - first + step) % size]
    kept = step < size
    row = np.broadcast_to(order, column.shape)[kept]
    entries = (np.ones(len(row)), (row, column[kept]))
    return _rows(sp.csr_array(entries, shape=(n, n)))


def supervised(p: Graph, labels, share: float, seed: int) -> Graph:
    """A mix of the neighbours of every item and of the items of its known label.

    $$p_i \\leftarrow (1 - w)\\, p_i + w\\, p^{\\mathrm{class}}_i$$

    for the items whose label is known, w the share.

    Args:
        p: the neighbours.
        labels: integers [n], from 0; -1 where it is not known.
        share: w, from 0 to 1.
        seed: which items of a large class are taken.

    Example:
        >>> import icon, numpy as np
        >>> from icon.recipes import affinities
        >>> p = icon.uniform([[1], [0], [1]])
        >>> mixed = affinities.supervised(p, np.array([0, -1, 0]), 0.5, 0)
        >>> icon.dense(mixed)[0].tolist()
        [0.0, 0.5, 0.5]

    Source: Alshammari et al., I-Con, 2025 (mixtures of supervisory distributions).
    """
    share = float(check.fraction("share", share, np.zeros(())))
    widest = int(np.diff(np.asarray(p.start)).max())
    classes = known(np.asarray(labels), max(1, widest), seed)
    return p if classes is None else averaged([p, classes], [1 - share, share])
