"""Attraction along a listed p: what it pulls together, every edge seen from both ends.

Once, before training, each edge is listed from both its ends in chunks of 16, weighted
(π_i p_ij + π_j p_ji) / 2: right for one distribution per anchor and for one over all
pairs alike, because a symmetric score only sees the sum. Its gradient only gathers.
"""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from icon._engines.grid import IN_BOUNDS
from icon._engines.pairs import slope_of
from icon._neighborhoods.points import Around, pytree


WIDTH, STRIP = 16, 1024  # neighbours in a chunk, chunks that stay in the cache


class Edges(NamedTuple):
    """A symmetric graph, its rows cut into chunks."""

    anchor: Any  # [c], sorted: whose row each chunk is part of
    index: Any  # [c, 16]
    weight: Any  # [c, 16], zero where padded
    told: Any = None  # whether the sum itself is looked at; None: it is


def chunked(matrix, dtype) -> Edges:
    """A sparse symmetric matrix in chunks, on the host."""
    matrix = matrix.tocsr()
    degree = np.diff(matrix.indptr)
    chunks = -(-degree // WIDTH)
    first = np.cumsum(chunks) - chunks
    total = max(1, -(-int(chunks.sum()) // STRIP)) * STRIP  # whole strips
    count = np.int32 if total * WIDTH < 2**31 else np.int64
    slot = np.repeat((first * WIDTH - matrix.indptr[:-1]).astype(count), degree)
    slot += np.arange(matrix.nnz, dtype=count)
    anchor = np.full(total, len(degree) - 1, np.int32)
    anchor[: chunks.sum()] = np.repeat(np.arange(len(degree)), chunks)
    index = np.repeat(anchor, WIDTH)  # where nobody is listed, the anchor itself
    weight = np.zeros(total * WIDTH, dtype)
    index[slot], weight[slot] = matrix.indices, matrix.data
    cut = lambda v: v.reshape(total, WIDTH)
    return Edges(jnp.asarray(anchor), jnp.asarray(cut(index)), cut(weight))


# ------------------------------------------------------- along the edges


def _packed(x):
    """Columns in pairs, as complex numbers: one gather moves two."""
    d = x.shape[1]
    pairs = [lax.complex(x[:, k], x[:, k + 1]) for k in range(0, d - 1, 2)]
    return [*pairs, x[:, -1]] if d % 2 else pairs


def _unpacked(parts):
    apart = lambda z: (z.real, z.imag) if jnp.iscomplexobj(z) else (z,)
    return jnp.stack([y for z in parts for y in apart(z)], -1)


def _square(z):
    return z.real**2 + z.imag**2 if jnp.iscomplexobj(z) else z**2


def _spans(x, edges: Edges):
    """The difference along every edge, packed, and its square."""
    take = lambda z, at: z.at[at].get(**IN_BOUNDS)
    apart = [take(z, edges.anchor)[:, None] - take(z, edges.index) for z in _packed(x)]
    return apart, sum(map(_square, apart))


@ft.partial(jax.custom_vjp, nondiff_argnums=(0,))
def pull(profile: Callable, x, params, edges: Edges):
    """Σ_e w_e s(|x_i - x_j|²) over edges that are listed from both ends."""
    sum_ = lambda: _pulled(profile, x, params, edges)
    if edges.told is None:
        return sum_()
    untold = jnp.full((), jnp.nan, x.dtype)  # a slope that needs it is to be seen
    return lax.cond(edges.told, sum_, lambda: untold)


def _pulled(profile, x, params, edges):
    def strip(edges):
        score = profile(_spans(x, edges)[1], **params)
        return jnp.sum(edges.weight * jnp.where(edges.weight != 0, score, 0))

    cut = lambda v: v.reshape(-1, STRIP, *v.shape[1:])
    strips = jax.tree.map(cut, edges._replace(told=None))
    return jnp.sum(lax.map(strip, strips))


def _pull_fwd(profile, x, params, edges):
    return pull(profile, x, params, edges), (x, params, edges)


def _pull_bwd(profile, saved, g):
    x, params, edges = saved
    apart, d2 = _spans(x, edges)
    slope = slope_of(ft.partial(profile, **params), d2)
    weight = edges.weight * jnp.where(edges.weight != 0, slope, 0)
    rows = [jnp.sum(weight.astype(z.dtype) * z, 1) for z in apart]
    collect = ft.partial(
        jax.ops.segment_sum,
        segment_ids=edges.anchor,
        num_segments=len(x),
        indices_are_sorted=True,
        **IN_BOUNDS,
    )
    by_params = jax.grad(lambda params: _pulled(profile, x, params, edges))(params)
    return (
        4 * g * _unpacked([collect(row) for row in rows]),
        jax.tree.map(lambda slope: g * slope, by_params),
        None,
    )


pull.defvjp(_pull_fwd, _pull_bwd)


# ------------------------------------------------------- a listed p, from both ends


@pytree
class BothEnds(Around):
    """A listed p that does not learn, with its edges and its own numbers worked out."""

    base: Any
    joint: Edges  # π_i p_ij by p's own masses
    alike: Edges  # every anchor with a neighbour alike
    said: tuple  # E_p of its own scores [n], log-masses [n]

    def prepared(self):
        return self

    def telling(self, told):
        """The same, but the sum over its edges is only worked out where it is told."""
        joint, alike = (edges._replace(told=told) for edges in (self.joint, self.alike))
        return dataclasses.replace(self, joint=joint, alike=alike)

    def own_numbers(self):
        return self.said

    def mean_expected(self, q):
        return q.along(self.alike) if hasattr(q, "along") else None

    def joint_expected(self, q):
        return q.along(self.joint) if hasattr(q, "along") else None


def both_ends(graph, matrix):
    """A graph over one set and its weights [n, n], made ready for many steps."""
    mass = np.asarray(matrix.sum(1)).ravel()
    there, kind = mass > 0, np.dtype(graph.logit.dtype)
    said = _said(matrix, mass, kind)
    share = there / np.where(there, mass, 1) / max(1, there.sum())
    total = max(mass.sum(), np.finfo(kind).tiny)
    each = (1 / total + 1j * share) / 2  # both weights of an edge, listed once
    pair = each.astype(np.result_type(kind, np.complex64))
    both = matrix.astype(pair.dtype)
    del matrix  # millions of edges: what is used up is let go
    both.data *= np.repeat(pair, np.diff(both.indptr))
    both = both + both.T.tocsr()
    edges = chunked(both, pair.dtype)
    del both
    told = lambda weight: edges._replace(weight=jnp.asarray(weight, kind))
    one, two = told(edges.weight.real), told(edges.weight.imag)
    return BothEnds(graph, one, two, said)


def _said(matrix, mass, kind):
    """A_i = E_{j~p_i} s^p_ij and N_i, by row."""
    data = matrix.data
    at_zero = np.log(np.where(data > 0, data, 1)) * data
    ends = np.concatenate([[0], np.cumsum(at_zero)])[matrix.indptr]
    sums = np.diff(ends) / np.where(mass > 0, mass, 1)
    with np.errstate(divide="ignore"):
        return jnp.asarray(sums, kind), jnp.asarray(np.log(mass), kind)
