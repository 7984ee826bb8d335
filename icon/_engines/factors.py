"""What do shared clusters score along the edges of a listed p? In n k C, for everybody.

The probability of a pair is an inner product of few numbers, and p lists few pairs: no
pair beyond them is visited, whatever the number of points.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import sequential_vmap

from icon._base.numerics import HIGHEST, safe_log
from icon._engines.grid import IN_BOUNDS
from icon._neighborhoods import Edges, Factors


HELD = 2**20  # memberships that are gathered at once, which a cache holds


def _strips(edges: Edges, width: int) -> Edges:
    """The chunks in strips of a power of two that divides their number."""
    chunks, listed = edges.index.shape
    length = max(1, HELD // (listed * width))
    length = min(1024, 1 << (length.bit_length() - 1))
    return jax.tree.map(lambda x: x.reshape(-1, length, *x.shape[1:]), edges)


def _visited(factors: Factors, edges: Edges):
    """Of some edges: the memberships of the other ends, u_i · u_j, q_ij and its log."""
    rows = lambda ids: factors.root.at[ids].get(**IN_BOUNDS)
    near = rows(edges.index)
    inner: Any = jnp.einsum("cd,ckd->ck", rows(edges.anchor), near, precision=HIGHEST)
    prob = factors.share * inner + factors.floor
    score = jnp.where(edges.weight != 0, safe_log(prob), 0)
    return near, inner, prob, jnp.sum(edges.weight * score)


# For L = Σ_e w_e log q_e, q_ij = a u_i · u_j + b, with w_ij = w_ji and r_e = w_e / q_e:
#     ∂L/∂u_i = 2 a Σ_j r_ij u_j      ∂L/∂a = Σ_e r_e u_i · u_j      ∂L/∂b = Σ_e r_e
# 2 of the edge that is listed from both its ends. What is gathered serves the value and
# the gradient: the gradient is taken as strips pass, and scaled by the cotangent.
# Heads that are trained side by side take turns: a cache holds the rows of one.


@sequential_vmap
def _value(factors: Factors, edges: Edges):
    strips = _strips(edges, factors.root.shape[1])
    return jnp.sum(lax.map(lambda strip: _visited(factors, strip)[3], strips))


@sequential_vmap
def _value_and_gradient(factors: Factors, edges: Edges):
    def step(gradient: Factors, strip):
        near, inner, prob, value = _visited(factors, strip)
        never = prob == 0
        ratio = jnp.where(never, 0, strip.weight / jnp.where(never, 1, prob))
        pull = jnp.einsum("ck,ckd->cd", ratio, near, precision=HIGHEST)
        root = gradient.root.at[strip.anchor].add(
            2 * factors.share * pull, indices_are_sorted=True, **IN_BOUNDS
        )
        share = gradient.share + jnp.sum(ratio * inner)
        return Factors(root, share, gradient.floor + jnp.sum(ratio)), value

    start = jax.tree.map(jnp.zeros_like, factors)
    strips = _strips(edges, factors.root.shape[1])
    gradient, values = lax.scan(step, start, strips)
    return jnp.sum(values), gradient


@jax.custom_vjp
def log_shared(factors: Factors, edges: Edges):
    """Σ_e w_e log q_e over edges that are listed from both ends."""
    return _value(factors, edges)


def _log_shared_bwd(gradient, g):
    return jax.tree.map(lambda x: g * x, gradient), None


log_shared.defvjp(_value_and_gradient, _log_shared_bwd)


class Factored(NamedTuple):
    """A q of low rank that answers for all anchors at once; their log-masses are 0."""

    factors: Factors

    def along(self, edges: Edges):
        weight = edges.weight.astype(self.factors.root.dtype)
        return log_shared(self.factors, edges._replace(weight=weight))

    def bilinear(self, u, v):
        return None  # of a logarithm of a sum, every pair would be asked

    def log_masses(self):
        return jnp.zeros_like(self.factors.root[:, 0])
