"""Which edges does a listed p have, seen from both their ends?

Once, before training, each edge of a graph over one set is listed from both its ends in
chunks of 16, weighted (π_i p_ij + π_j p_ji) / 2: right for one distribution per anchor
and for one over all pairs alike, because a symmetric score only sees the sum.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from icon._base.blocks import MANY, filled, filled_length, on_device, rounded_up
from icon._base.numerics import safe_log
from icon._base.pytrees import pytree
from icon._neighborhoods.protocol import EVERYBODY, Neighborhood, of_base


WIDTH, STRIP = 16, 1024  # neighbours in a chunk, chunks that stay in the cache


class Edges(NamedTuple):
    """A symmetric graph, its rows cut into chunks: a whole number of strips of them."""

    anchor: Any  # [c], sorted: whose row each chunk is part of
    index: Any  # [c, 16], the anchor itself where padded
    weight: Any  # [c, 16], zero where padded


@pytree
@of_base(
    "shape excludes_self T support score log_mass is_self listed read visit reweighed"
)
class BothEnds(Neighborhood):
    """A listed p that does not learn, with its edges and its own report worked out."""

    base: Any
    joint_edges: Edges  # π from the masses of p
    conditional_edges: Edges  # π the same for every anchor with a neighbour
    p_score: Any  # [n], E_{j~p_i} s^p_ij
    p_mass: Any  # [n], log Σ_j exp s^p_ij

    is_sparse = True

    def restrict(self, ids, candidates=None):
        """The graph among a batch, by rows: the edges worked out are of all items."""
        return self.base.restrict(ids, candidates)

    def prepared(self):
        return self

    def self_report(self):
        return self.p_score, self.p_mass

    def expected(self, q, weight, joint):
        if joint:
            return q.along(self.joint_edges)
        return q.along(self.conditional_edges) if weight is None else None


@pytree
class Pairwise(Neighborhood):
    """A distribution over the pairs of one set, known by its edges alone."""

    edges: Edges  # their weights sum to one
    p_score: Any  # [n], E_{j~p_i} s^p_ij
    p_mass: Any  # [n], log Σ_j exp s^p_ij

    sets = 1
    excludes_self = True

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.p_mass), len(self.p_mass)

    def support(self, i):
        weight = self._weights(i)
        total = jnp.sum(weight)
        return EVERYBODY, weight / jnp.where(total > 0, total, 1)

    def score(self, i, at):
        return safe_log(self._weights(i)[at])

    def log_mass(self, i):
        return safe_log(jnp.sum(self._weights(i)))

    def _weights(self, i):
        """Of every candidate of i, [n]: all edges are read."""
        edges = self.edges
        own = jnp.where((edges.anchor == i)[:, None], edges.weight, 0)
        return jnp.zeros(self.shape[1], own.dtype).at[edges.index].add(own)

    def self_report(self):
        return self.p_score, self.p_mass

    def expected(self, q, weight, joint):
        return q.along(self.edges) if joint else None


# ------------------------------------------------------- worked out on the host


def both_ends(graph, matrix, rounded: Callable = int) -> BothEnds:
    """A graph over one set and its weights [n, n], ready for many steps.

    Its chunks are as many strips as `rounded` makes of those that are needed.
    """
    mass = np.asarray(matrix.sum(1)).ravel()
    dtype = np.dtype(graph.logit.dtype)
    report = _report(matrix, mass, dtype)
    present = mass > 0
    alike = present / np.where(present, mass, 1) / max(1, present.sum())
    total = max(mass.sum(), np.finfo(dtype).tiny)
    # π_i / 2 by the masses and alike, as one complex number: edges are listed once
    share = ((1 / total + 1j * alike) / 2).astype(np.result_type(dtype, np.complex64))
    weight = matrix.astype(share.dtype)
    del matrix  # millions of edges: what is used up is let go
    weight.data *= np.repeat(share, np.diff(weight.indptr))
    weight = weight + weight.T.tocsr()
    edges = _in_chunks(weight, rounded)
    del weight
    joint = edges._replace(weight=on_device(edges.weight.real, dtype))
    conditional = edges._replace(weight=on_device(edges.weight.imag, dtype))
    return BothEnds(graph, joint, conditional, *report)


def pairwise(matrix, dtype) -> Pairwise:
    """The pairs of a matrix of weights [n, n], filled up to few lengths.

    Anchors that fill it up have no neighbour. Many data sets then share a program.
    """
    rows, rounded = _filling(matrix.shape[0])
    weight = matrix + matrix.T.tocsr()
    weight.data /= max(weight.data.sum(), np.finfo(dtype).tiny)
    weight.resize(rows, rows)
    report = _report(weight, np.asarray(weight.sum(1)).ravel(), dtype)
    edges = _in_chunks(weight, rounded)
    weight = on_device(edges.weight.astype(dtype))
    return Pairwise(edges._replace(weight=weight), *report)


def _filling(n: int) -> tuple[int, Callable]:
    """The length that n anchors are filled up to, and that of their strips."""
    coarse, rows = n <= MANY, filled_length(n)
    least = rows * WIDTH // STRIP if coarse else 1  # 256 neighbours of every anchor
    return rows, lambda strips: max(least, rounded_up(strips, coarse=coarse))


def filled_up(graph, matrix) -> BothEnds:
    """A graph over one set, among anchors without a neighbour that fill it up.

    As `pairwise`, and every anchor has its own distribution as well. Its edges, listed
    once, are filled up to their longest row, which is a power of two.

    Args:
        graph: of n anchors, each a candidate of the others.
        matrix: its weights, sparse [n, n].
    """
    rows, rounded = _filling(graph.shape[0])
    start = np.asarray(graph.start)
    edges = rounded_up(max(int(start[-1]), rows * WIDTH), coarse=False)
    more = lambda x, value: on_device(filled(np.asarray(x)[:edges], edges, value))
    whole = dataclasses.replace(
        graph,
        index=more(graph.index, 0),
        logit=more(graph.logit, -np.inf),
        start=on_device(filled(start, rows + 1, start[-1])),
        width=rounded_up(graph.width, coarse=True),
        count=rows,
    )
    matrix = matrix.copy()
    matrix.resize(rows, rows)
    return both_ends(whole, matrix, rounded)


def _report(matrix, mass, dtype):
    """E_{j~p_i} s^p_ij and the log-mass of every row."""
    weight = matrix.data
    weighted = weight * np.log(np.where(weight > 0, weight, 1))
    sums = np.diff(np.concatenate([[0], np.cumsum(weighted)])[matrix.indptr])
    with np.errstate(divide="ignore"):
        log_mass = np.log(mass)
    score = sums / np.where(mass > 0, mass, 1)
    return on_device(score, dtype), on_device(log_mass, dtype)


def _in_chunks(matrix, rounded: Callable = int) -> Edges:
    """A sparse symmetric matrix [n, n], its rows cut into chunks; weights as NumPy.

    As many strips of chunks as `rounded` makes of those that are needed.
    """
    n, degree = matrix.shape[0], np.diff(matrix.indptr)
    chunks = -(-degree // WIDTH)
    first = np.cumsum(chunks) - chunks
    total = rounded(max(1, -(-int(chunks.sum()) // STRIP))) * STRIP
    integer = np.int32 if total * WIDTH < 2**31 else np.int64
    # the slot of an entry: the first of its row, and its place in the row
    slot = np.repeat((first * WIDTH - matrix.indptr[:-1]).astype(integer), degree)
    slot += np.arange(matrix.nnz, dtype=integer)
    anchor = np.full(total, n - 1, np.int32)
    anchor[: chunks.sum()] = np.repeat(np.arange(n), chunks)
    index = np.repeat(anchor, WIDTH)
    weight = np.zeros(total * WIDTH, matrix.dtype)
    index[slot], weight[slot] = matrix.indices, matrix.data
    index, weight = (x.reshape(total, WIDTH) for x in (index, weight))
    return Edges(on_device(anchor), on_device(index), weight)
