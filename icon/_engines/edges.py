"""What do the scores along the edges of a listed p sum to? A gradient that gathers.

Every edge is listed from both its ends, so that an anchor's gradient is a sum over its
own row: no scatter but one sorted sum of chunks.
"""

import functools as ft
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from icon._base.numerics import custom_gradient
from icon._engines.grid import IN_BOUNDS
from icon._engines.pairs import derivative
from icon._neighborhoods import STRIP, Edges


def _packed(x):
    """Columns in pairs, as complex numbers, an odd one alone: a gather moves two."""
    d = x.shape[1]
    pairs = [lax.complex(x[:, k], x[:, k + 1]) for k in range(0, d - 1, 2)]
    return [*pairs, x[:, -1]] if d % 2 else pairs


def _unpacked(packed):
    """The inverse: columns stacked."""
    columns = [(z.real, z.imag) if jnp.iscomplexobj(z) else (z,) for z in packed]
    return jnp.stack([column for pair in columns for column in pair], -1)


def _differences(x, edges: Edges):
    """x_i - x_j along every edge, packed, and its square."""
    rows = lambda z, ids: z.at[ids].get(**IN_BOUNDS)
    difference = [
        rows(z, edges.anchor)[:, None] - rows(z, edges.index) for z in _packed(x)
    ]
    square = lambda z: z.real**2 + z.imag**2 if jnp.iscomplexobj(z) else z**2
    return difference, sum(map(square, difference))


def _total(profile, x, params, edges: Edges):
    """Σ_e w_e s_e, strip after strip; -inf · 0 is 0."""

    def strip(edges):
        score = profile(_differences(x, edges)[1], **params)
        return jnp.sum(edges.weight * jnp.where(edges.weight != 0, score, 0))

    strips = jax.tree.map(lambda v: v.reshape(-1, STRIP, *v.shape[1:]), edges)
    return jnp.sum(lax.map(strip, strips))


# For L = Σ_e w_e s(d²_e), with w_ij = w_ji, and a cotangent g:
#     ∂L/∂x_i = 4 Σ_j w_ij s'(d²_ij) (x_i - x_j)      ∂L/∂θ = Σ_e w_e ∂s(d²_e)/∂θ
# 2 of the square, and 2 of the edge that is listed from both its ends.


@custom_gradient
def attraction(profile: Callable, x, params, edges: Edges):
    """Σ_e w_e s(|x_i - x_j|²) over edges that are listed from both ends."""
    return _total(profile, x, params, edges)


def _attraction_fwd(profile, x, params, edges):
    return _total(profile, x, params, edges), (x, params, edges)


def _attraction_bwd(profile, saved, g):
    x, params, edges = saved
    difference, d2 = _differences(x, edges)
    force = derivative(ft.partial(profile, **params), d2)
    force = edges.weight * jnp.where(edges.weight != 0, force, 0)
    chunks = [jnp.sum(force.astype(z.dtype) * z, 1) for z in difference]
    by_anchor = ft.partial(
        jax.ops.segment_sum,
        segment_ids=edges.anchor,
        num_segments=len(x),
        indices_are_sorted=True,
        **IN_BOUNDS,
    )
    by_x = 4 * g * _unpacked([by_anchor(chunk) for chunk in chunks])
    by_params = jax.grad(lambda params: _total(profile, x, params, edges))(params)
    return by_x, jax.tree.map(lambda gradient: g * gradient, by_params), None


attraction.defvjp(_attraction_fwd, _attraction_bwd)
