"""Attraction along a listed p: what it pulls together, every edge seen from both ends.

Once, before training, each edge is listed from both its ends in chunks of 16, weighted
(π_i p_ij + π_j p_ji) / 2: right for one distribution per anchor and for one over all
pairs alike, because a symmetric score only sees the sum. Its gradient only gathers.
"""

import functools as ft
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from icon._engines.grid import IN_BOUNDS
from icon._engines.pairs import slope_of
from icon._neighborhoods.both_ends import STRIP, Edges


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
    return _pulled(profile, x, params, edges)


def _pulled(profile, x, params, edges):
    def strip(edges):
        score = profile(_spans(x, edges)[1], **params)
        return jnp.sum(edges.weight * jnp.where(edges.weight != 0, score, 0))

    cut = lambda v: v.reshape(-1, STRIP, *v.shape[1:])
    strips = jax.tree.map(cut, edges)
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
