"""What do all pairs sum to, exactly? In any dimension, n² work but no [n, n].

One source after the other passes all targets, so that the sums stay in the cache.
Anchors whose sum no float holds are summed in logarithms, a block at a time.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from icon._base.numerics import lse
from icon._neighborhoods import finite


BLOCK = 64  # anchors summed in logarithms at once


def derivative(profile: Callable, d2):
    """The derivative of a function of the squared distance, entry by entry."""
    return jax.jvp(profile, (d2,), (jnp.ones_like(d2),))[1]


def field(
    kernel: Callable, x: Float[Array, "n d"], y, charge: Float[Array, " m"], count=None
):
    """Σ_j c_j k(x_i - y_j) and its gradient in x_i; y = None leaves out j = i.

    Sources after the first `count` have no charge, and are not visited.
    """
    n, d = x.shape
    charge = jnp.asarray(charge)
    by_column = lambda v: [jnp.asarray(v[:, k]) for k in range(d)]
    columns = by_column(x)
    others = columns if y is None else by_column(y)
    ids = jnp.arange(n, dtype=jnp.int32)

    def add(j, sums):
        difference = [a - b[j] for a, b in zip(columns, others, strict=True)]
        d2 = sum(a * a for a in difference)
        k, dk = jax.jvp(kernel, (d2,), (jnp.ones(n, x.dtype),))
        c = jnp.where(ids == j, 0, charge[j]) if y is None else charge[j]
        terms = [k, *[2 * dk * a for a in difference]]
        return [total + c * term for total, term in zip(sums, terms, strict=True)]

    zeros = [jnp.zeros(n, x.dtype)] * (d + 1)
    sums = lax.fori_loop(0, len(charge) if count is None else count, add, zeros)
    return sums[0], jnp.stack(sums[1:], -1)


# ------------------------------------------------------- in logarithms


def _scored(profile: Callable, x, y, ids, present):
    """Differences, squared distances, scores and log-masses of some anchors.

    Candidates that are not present have a score of -inf.
    """
    difference = x[ids][:, None] - (x if y is None else y)[None]
    d2 = jnp.sum(difference**2, -1)
    score = profile(d2)
    if y is None:
        is_self = ids[:, None] == jnp.arange(len(x), dtype=jnp.int32)[None]
        score = jnp.where(is_self, -jnp.inf, score)
    if present is not None:
        score = jnp.where(present[None], score, -jnp.inf)
    return difference, d2, score, jax.vmap(lse)(score)


def _over_blocks(mask, visit: Callable, total):
    """visit(total, ids, valid) over blocks of the anchors of a mask, if it has any."""
    n = len(mask)
    padding = jnp.zeros(-n % BLOCK, mask.dtype)

    def blocks(total):
        order = jnp.nonzero(jnp.concatenate([mask, padding]), size=n + len(padding))[0]
        count = jnp.sum(mask)

        def step(carry):
            done, total = carry
            ids = lax.dynamic_slice_in_dim(order, done, BLOCK).astype(jnp.int32)
            valid = done + jnp.arange(BLOCK) < count
            return done + BLOCK, visit(total, ids, valid)

        start = jnp.zeros((), count.dtype), total
        return lax.while_loop(lambda carry: carry[0] < count, step, start)[1]

    return lax.cond(jnp.any(mask), blocks, lambda total: total, total)


def log_masses(profile: Callable, x, y, mask, log_mass, present=None):
    """These log-masses, those of a mask replaced by sums in logarithms."""

    def visit(log_mass, ids, valid):
        exact = _scored(profile, x, y, ids, present)[-1]
        return log_mass.at[jnp.where(valid, ids, len(x))].set(exact, mode="drop")

    return _over_blocks(mask, visit, log_mass)


# With q_ij = exp(s_ij - M_i) and s_ij a profile of |x_i - y_j|²:
#     ∂/∂x_i Σ_l g_l M_l =   Σ_j g_i q_ij 2 s'(d²_ij) (x_i - y_j)
#     ∂/∂y_j Σ_l g_l M_l = - Σ_i g_i q_ij 2 s'(d²_ij) (x_i - y_j)


def gradients(profile: Callable, x, y, mask, g, present=None):
    """The gradient of Σ_i g_i M_i over the anchors of a mask, in x and in y."""

    def visit(gradient, ids, valid):
        difference, d2, score, mass = _scored(profile, x, y, ids, present)
        q = jnp.exp(score - finite(mass)[:, None])
        force = jnp.where(valid, g[ids], 0)[:, None] * q * 2 * derivative(profile, d2)
        force = jnp.where(q == 0, 0, force)[..., None] * difference
        by_x, by_y = gradient
        return by_x.at[ids].add(jnp.sum(force, 1)), by_y - jnp.sum(force, 0)

    start = jnp.zeros_like(x), jnp.zeros_like(x if y is None else y)
    return _over_blocks(mask, visit, start)


def joint(profile: Callable, x, y, present=None):
    """log Σ_ij exp s_ij and its gradient in x and in y, block after block."""
    n = len(x)
    counts = present if y is None and present is not None else jnp.ones(n, bool)

    def step(carry, ids):
        M, by_x, by_y = carry
        inside, ids = ids < n, jnp.minimum(ids, n - 1)
        valid = inside & counts[ids]
        difference, d2, score, mass = _scored(profile, x, y, ids, present)
        total = lse(jnp.append(jnp.where(valid, mass, -jnp.inf), M))
        level = finite(total)
        q = jnp.where(valid[:, None], jnp.exp(score - level), 0)
        force = jnp.where(q == 0, 0, q * 2 * derivative(profile, d2))
        force = force[..., None] * difference
        by_x, by_y = (by * jnp.exp(M - level) for by in (by_x, by_y))
        by_x = by_x.at[ids].add(jnp.sum(force, 1))
        return (total, by_x, by_y - jnp.sum(force, 0)), None

    blocks = jnp.arange(n + -n % BLOCK, dtype=jnp.int32).reshape(-1, BLOCK)
    nothing = jnp.full((), -jnp.inf, x.dtype)
    start = nothing, jnp.zeros_like(x), jnp.zeros_like(x if y is None else y)
    return lax.scan(step, start, blocks)[0]
