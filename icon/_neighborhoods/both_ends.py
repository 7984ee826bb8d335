"""Which edges does a listed p have, seen from both their ends?

Once, before training, each edge of a graph over one set is listed from both its ends in
chunks of 16, weighted (π_i p_ij + π_j p_ji) / 2: right for one distribution per anchor
and for one over all pairs alike, because a symmetric score only sees the sum.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from icon._base.pytrees import pytree
from icon._neighborhoods.protocol import Neighborhood, of_base


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


# ------------------------------------------------------- worked out on the host


def both_ends(graph, matrix) -> BothEnds:
    """A graph over one set and its weights [n, n], ready for many steps."""
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
    edges = _in_chunks(weight)
    del weight
    joint = edges._replace(weight=jnp.asarray(edges.weight.real, dtype))
    conditional = edges._replace(weight=jnp.asarray(edges.weight.imag, dtype))
    return BothEnds(graph, joint, conditional, *report)


def _report(matrix, mass, dtype):
    """E_{j~p_i} s^p_ij and the log-mass of every row."""
    weight = matrix.data
    weighted = weight * np.log(np.where(weight > 0, weight, 1))
    sums = np.diff(np.concatenate([[0], np.cumsum(weighted)])[matrix.indptr])
    with np.errstate(divide="ignore"):
        log_mass = np.log(mass)
    score = sums / np.where(mass > 0, mass, 1)
    return jnp.asarray(score, dtype), jnp.asarray(log_mass, dtype)


def _in_chunks(matrix) -> Edges:
    """A sparse symmetric matrix [n, n], its rows cut into chunks; weights as NumPy."""
    n, degree = matrix.shape[0], np.diff(matrix.indptr)
    chunks = -(-degree // WIDTH)
    first = np.cumsum(chunks) - chunks
    total = max(1, -(-int(chunks.sum()) // STRIP)) * STRIP
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
    return Edges(jnp.asarray(anchor), jnp.asarray(index), weight)
