"""How are anchors summed strip after strip, and the gradient taken as they pass?"""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import CustomVJPPrimal

from icon._base.blocks import blocks_of, rows_of
from icon._base.numerics import common, custom_gradient, instantiated, widen
from icon._base.pytrees import is_float
from icon._engines.report import Report, combined, expect, has_neighbor, report
from icon._neighborhoods import finite


CACHED = 256, 2**25  # anchors of a strip, and scores, that a cache holds
BUSY = 4096, 2**28  # that keep an accelerator busy


def strip_length(m: int) -> int:
    """How many anchors to take at once, of m candidates each."""
    rows, scores = CACHED if jax.default_backend() == "cpu" else BUSY
    return max(16, min(rows, scores // m))


def each(one: Callable, n: int, block: int | None) -> Any:
    """one(i) of every anchor: all at once, or in strips that keep no residuals."""
    ids = jnp.arange(n)
    if block is None:
        return jax.vmap(one)(ids)
    out = lax.map(jax.checkpoint(jax.vmap(one)), blocks_of(ids, n, block))
    return rows_of(out, n)


# ------------------------------------------------------- what an anchor contributes


@dataclasses.dataclass(frozen=True)
class Linear:
    """A loss that is linear in the four numbers of each anchor."""

    coefficients: Report

    def __call__(self, p, q, i):
        """The loss of anchor i, and whether it counts."""
        numbers = report(p, q, i)
        valid = has_neighbor(numbers.p_mass)
        return jnp.where(valid, combined(self.coefficients, numbers), 0), valid


@dataclasses.dataclass(frozen=True)
class OverSupport:
    """A divergence that needs q on p's support alone: g(Σ_j f(p_ij, log q_ij))."""

    f: Callable  # (p [s], log q [s]) -> [s]
    outer: Callable | None = None  # g; None: the sum itself

    def __call__(self, p, q, i):
        """The divergence of anchor i, and whether it counts."""
        at, weight = p.support(i)
        score, q_mass = q.read(i, at)
        weight, log_q = common(weight, score - finite(q_mass))
        support = weight != 0
        value = self.f(jnp.where(support, weight, 1), jnp.where(support, log_q, 0))
        value = jnp.sum(jnp.where(support, value, 0))
        value = value if self.outer is None else self.outer(value)
        valid = has_neighbor(p.log_mass(i))
        return jnp.where(valid, value, 0), valid


@dataclasses.dataclass(frozen=True)
class AnchorSum:
    """A sum over anchors, each with a distribution of its own.

    A strip knows its own log-masses, so its share of the gradient is taken as it
    passes: nothing n × m is kept, and nothing is computed twice.
    """

    contribution: Callable  # (p, q, i) -> the loss of anchor i, and whether it counts
    block: int | None  # None: all anchors at once

    def value(self, pair, weight):
        """Σ_i w_i loss_i and Σ_i w_i over the anchors that count."""
        one = ft.partial(self.contribution, *pair)
        value, valid = each(one, len(weight), self.block)
        weight = weight.astype(value.dtype)
        return expect(weight, value), jnp.sum(jnp.where(valid, weight, 0))

    def value_and_gradient(self, floats, rebuild, weight):
        """The two sums, the gradient of the first in `floats`, each anchor's loss."""
        n = weight.shape[0]

        def strip(floats, ids, present):
            one = ft.partial(self.contribution, *rebuild(floats))
            value, valid = jax.vmap(one)(ids)
            total = expect(jnp.where(present, weight[ids], 0), value)
            return total, (value, valid & present)

        def step(gradient, strip_ids):
            more, out = jax.grad(strip, has_aux=True)(floats, *strip_ids)
            return jax.tree.map(jnp.add, gradient, more), out

        ids = jnp.arange(-(-n // self.block) * self.block, dtype=jnp.int32)
        ids = ids.reshape(-1, self.block)
        start = jax.tree.map(jnp.zeros_like, floats)
        gradient, out = lax.scan(step, start, (jnp.minimum(ids, n - 1), ids < n))
        value, valid = rows_of(out, n)
        weight = jnp.where(valid, weight, 0).astype(value.dtype)
        value = jnp.where(valid, value, 0)
        return (expect(weight, value), jnp.sum(weight)), gradient, (value, valid)


# For L = Σ_i w_i loss_i and W = Σ_i w_i, with cotangents g_L and g_W:
#     ∂/∂(p, q) = g_L ∂L/∂(p, q)        ∂/∂w_i = g_L loss_i + g_W, where i counts
# ∂L/∂(p, q) is summed over the strips in the forward pass, of perturbed leaves only.


@custom_gradient
def streamed(plan: AnchorSum, pair, weight):
    """The two sums of the plan; their gradient takes no second sweep."""
    return plan.value(pair, weight)


def _streamed_fwd(plan, pair, weight):
    is_leaf = lambda x: isinstance(x, CustomVJPPrimal)
    leaves, structure = jax.tree.flatten(pair, is_leaf=is_leaf)
    wanted = [x.perturbed and is_float(x.value) for x in leaves]
    chosen = [widen(x.value) for x, want in zip(leaves, wanted, strict=True) if want]

    def rebuild(floats):
        floats = iter(floats)
        both = zip(leaves, wanted, strict=True)
        return structure.unflatten([next(floats) if w else x.value for x, w in both])

    out, gradient, by_anchor = plan.value_and_gradient(chosen, rebuild, weight.value)
    gradient = iter(gradient)
    both = zip(leaves, wanted, strict=True)
    gradients = [next(gradient).astype(x.value.dtype) if w else None for x, w in both]
    return out, (structure.unflatten(gradients), by_anchor)


def _streamed_bwd(plan, residuals, g):
    gradient, (value, valid) = residuals
    g_sum, g_weight = map(instantiated, g)
    gradient = jax.tree.map(lambda x: g_sum.astype(x.dtype) * x, gradient)
    return gradient, jnp.where(valid, g_sum * value + g_weight, 0)


streamed.defvjp(_streamed_fwd, _streamed_bwd, symbolic_zeros=True)
