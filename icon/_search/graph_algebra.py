"""Which graphs are made of a graph? Symmetric, or of longer walks; on the host."""

from collections.abc import Callable
from typing import Any

import numpy as np

from icon._base import checks as check
from icon._neighborhoods import BothEnds, Graph, from_sparse, to_sparse


def _one_set(graph) -> Graph:
    """A graph with as many candidates as anchors, whose weights can be looked at."""
    graph = graph.base if isinstance(graph, BothEnds) else graph
    name = type(graph).__name__
    check.require(isinstance(graph, Graph), "graph", name, "a listed neighbourhood")
    square = graph.shape[0] == graph.shape[1]
    good = "as many candidates as anchors"
    check.require(square, "graph", f"shape {graph.shape}", good)
    check.require(check.concrete(graph), "graph", "a traced graph", "it outside of jit")
    return graph


# ------------------------------------------------------- an edge and its reverse


def union(a, b):
    """The probabilistic or of two strengths, from 0 to 1: a + b - ab."""
    if check.concrete(a, b):
        most = np.max(np.maximum(a, b), initial=0)
        check.require(
            most <= 1 + 1e-5, "union", f"a weight of {most}", "weights up to 1"
        )
    return a + b - a * b


def mean(a, b):
    return (a + b) / 2


def symmetrize(graph: Graph, combine: Callable = mean) -> Graph:
    """A graph made symmetric: every edge combined with its reverse.

    $$p_{ij} \\leftarrow c(p_{ij}, p_{ji})$$

    Weights are combined as they are, and rows are not normalised again.

    Args:
        graph: over one set, as many candidates as anchors.
        combine: (weights, weights of the reverse) -> weights, 0 where there is no
            edge: the mean, numpy.maximum, or a + b - ab.

    Raises:
        InvalidInput: a graph that is not square, or no graph; no function, or one to
            negative weights.

    Example:
        >>> import icon
        >>> p = icon.symmetrize(icon.graph([[0.0, 1.0], [0.0, 0.0]]))
        >>> icon.dense(p).tolist()
        [[0.0, 1.0], [1.0, 0.0]]

    Source: van der Maaten & Hinton, Visualizing data using t-SNE, 2008.
    """
    import scipy.sparse as sp

    graph, combine = _one_set(graph), check.function("combine", combine, "w", "w_T")
    dtype = graph.logit.dtype
    weight = to_sparse(graph).astype(np.result_type(dtype, np.complex64))
    both = sp.csr_array(weight + 1j * weight.T)  # an edge and its reverse, in one sweep
    pairs: Any = both.data
    combined = np.asarray(combine(pairs.real, pairs.imag))
    got = f"one to shape {combined.shape} from {pairs.shape}"
    check.require(combined.shape == pairs.shape, "combine", got, "a weight for a pair")
    good = np.all((combined >= 0) & (combined < np.inf))
    negative = "one to negative or infinite weights"
    check.require(good, "combine", negative, "weights from 0")
    matrix = sp.csr_array((combined, both.indices, both.indptr), shape=graph.shape)
    return from_sparse(matrix, dtype, graph.excludes_self)


# ------------------------------------------------------- neighbours of neighbours


def propagate(
    graph: Graph, steps: int, *, uniform: bool = False, keep: int | None = None
) -> Graph:
    """Neighbours of neighbours: the mean of the walks of 1 to steps + 1 steps.

    $$\\tilde P = \\tfrac{1}{s+1}(P + P^2 + \\dots + P^{s+1}), \\quad
      \\tilde P^{\\mathrm{uniform}} \\propto 1[\\tilde P > 0]$$

    Over one set, the mass that returns to its anchor is dropped; rows have mass 1.

    Args:
        graph: over one set, as many candidates as anchors.
        steps: s, from 0, which is P itself.
        uniform: the same probability for every candidate that a walk reaches.
        keep: only this many of the heaviest neighbours per anchor; None: all.

    Raises:
        InvalidInput: a graph that is not square, steps < 0, keep < 1.

    Example:
        >>> import icon
        >>> chain = icon.graph([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
        >>> icon.dense(icon.propagate(chain, 1))[0].tolist()
        [0.0, 0.5, 0.5]

    Source: Alshammari et al., I-Con, 2025 (neighbour propagation).
    """
    import scipy.sparse as sp

    graph, uniform = _one_set(graph), check.boolean("uniform", uniform)
    steps = check.size("steps", steps, 0)
    walk = step = _normalized(to_sparse(graph))
    total = walk
    for _ in range(steps):
        walk = walk @ step
        total = total + walk
    if graph.excludes_self:
        total = total - sp.diags_array(total.diagonal())
        total.eliminate_zeros()
    if keep is not None:
        total = _heaviest(total, check.count("keep", keep, 1))
    if uniform:
        total.data = np.ones_like(total.data)
    return from_sparse(_normalized(total), graph.logit.dtype, graph.excludes_self)


def _normalized(matrix):
    """Rows of mass one; an empty row stays empty."""
    import scipy.sparse as sp

    mass = matrix.sum(1)
    return sp.csr_array(sp.diags_array(1 / np.where(mass > 0, mass, 1)) @ matrix)


def _heaviest(matrix, keep: int):
    """The `keep` heaviest entries of each row."""
    import scipy.sparse as sp

    matrix = matrix.tocsr()
    rank = np.empty(matrix.nnz, int)
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))
    rank[order] = np.arange(matrix.nnz) - matrix.indptr[row[order]]
    data = np.where(rank < keep, matrix.data, 0)
    kept = sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
    kept.eliminate_zeros()
    return kept
