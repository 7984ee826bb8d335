"""What does everybody sum to, pair by pair? Exact, in any dimension, n² but no [n, n].

One source after the other goes past all targets, so that what is summed stays in the
cache. Anchors whose sum no float holds are read in logarithms, a block at a time.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from icon._base.numerics import lse
from icon._base.pytrees import take


AT_ONCE = 4  # sources in one step of the scan
BLOCK = 64  # anchors visited at once


def slope_of(profile: Callable, d2):
    """The derivative of a profile, entry by entry."""
    return jax.jvp(profile, (d2,), (jnp.ones_like(d2),))[1]


def field(kernel: Callable, x: Float[Array, "n d"], y, charge: Float[Array, " m"]):
    """Σ_j c_j k(x_i - y_j) and its gradient in x_i; y = None leaves out j = i."""
    n, d = x.shape
    targets = [x[:, k] for k in range(d)]
    me = jnp.arange(n, dtype=jnp.int32)

    def meet(sums, source):
        at, c, j = source
        apart = [t - a for t, a in zip(targets, at, strict=True)]
        k, slope = jax.jvp(kernel, (_squared(apart),), (jnp.ones(n, x.dtype),))
        c = jnp.where(me == j, 0, c) if y is None else c
        return [
            s + c * f
            for s, f in zip(sums, [k, *[2 * slope * a for a in apart]], strict=True)
        ]

    def step(sums, sources):
        for t in range(AT_ONCE):
            sums = meet(sums, take(sources, t))
        return sums, None

    zero = [jnp.zeros(n, x.dtype)] * (d + 1)
    sums, _ = lax.scan(step, zero, _grouped(x if y is None else y, charge))
    return sums[0], jnp.stack(sums[1:], -1)


def _squared(apart):
    return sum(a * a for a in apart)


def _grouped(y, charge):
    """The sources in groups; the last are nobody, and charged with nothing."""
    m, d = y.shape
    fill = lambda v, by: jnp.pad(v, (0, -m % AT_ONCE), constant_values=by)
    group = lambda v: v.reshape(-1, AT_ONCE)
    at = [group(fill(y[:, k], 0)) for k in range(d)]
    ids = jnp.arange(m + -m % AT_ONCE, dtype=jnp.int32)
    return at, group(fill(charge, 0)), group(jnp.where(ids < m, ids, -1))


# ------------------------------------------------------- in logarithms


def _read(profile: Callable, x, y, ids):
    """Differences, scores and log-masses of some anchors."""
    apart = x[ids][:, None] - (x if y is None else y)[None]
    d2 = jnp.sum(apart**2, -1)
    score = profile(d2)
    if y is None:
        me = ids[:, None] == jnp.arange(len(x), dtype=jnp.int32)[None]
        score = jnp.where(me, -jnp.inf, score)
    return apart, d2, score, jax.vmap(lse)(score)


def _blockwise(chosen, visit, total):
    """visit(total, ids, there) over blocks of the chosen; where none is, no work."""
    n = len(chosen)
    pad = jnp.zeros(-n % BLOCK, chosen.dtype)

    def several(total):
        order = jnp.nonzero(jnp.concatenate([chosen, pad]), size=n + len(pad))[0]
        count = jnp.sum(chosen)

        def step(carry):
            done, total = carry
            ids = lax.dynamic_slice_in_dim(order, done, BLOCK).astype(jnp.int32)
            there = done + jnp.arange(BLOCK) < count
            return done + BLOCK, visit(total, ids, there)

        start = jnp.zeros((), count.dtype), total
        return lax.while_loop(lambda carry: carry[0] < count, step, start)[1]

    return lax.cond(jnp.any(chosen), several, lambda total: total, total)


def log_masses(profile: Callable, x, y, chosen, known):
    """The log-masses of the chosen anchors, in place of what is known of them."""

    def visit(known, ids, there):
        mass = _read(profile, x, y, ids)[-1]
        return known.at[jnp.where(there, ids, len(x))].set(mass, mode="drop")

    return _blockwise(chosen, visit, known)


def forces(profile: Callable, x, y, chosen, g):
    """The gradient of Σ_i g_i M_i over the chosen anchors, in x and in y."""

    def visit(total, ids, there):
        apart, d2, score, mass = _read(profile, x, y, ids)
        q = jnp.exp(score - jnp.where(mass > -jnp.inf, mass, 0)[:, None])
        push = jnp.where(there, g[ids], 0)[:, None] * q * 2 * slope_of(profile, d2)
        push = jnp.where(q > 0, push, 0)[..., None] * apart
        by_x, by_y = total
        return by_x.at[ids].add(jnp.sum(push, 1)), by_y - jnp.sum(push, 0)

    start = jnp.zeros_like(x), jnp.zeros_like(x if y is None else y)
    return _blockwise(chosen, visit, start)


def joint(profile: Callable, x, y):
    """log Σ_ij exp s_ij and its gradient in x and in y, block after block."""
    n = len(x)

    def step(carry, at):
        M, by_x, by_y = carry
        apart, d2, score, mass = _read(profile, x, y, jnp.minimum(at, n - 1))
        there = at < n
        top = lse(jnp.append(jnp.where(there, mass, -jnp.inf), M))
        level = jnp.where(top > -jnp.inf, top, 0)
        q = jnp.where(there[:, None], jnp.exp(score - level), 0)
        push = jnp.where(q > 0, q * 2 * slope_of(profile, d2), 0)[..., None] * apart
        by_x, by_y = (by * jnp.exp(M - level) for by in (by_x, by_y))
        by_x = by_x.at[jnp.minimum(at, n - 1)].add(jnp.sum(push, 1))
        return (top, by_x, by_y - jnp.sum(push, 0)), None

    blocks = jnp.arange(n + -n % BLOCK, dtype=jnp.int32).reshape(-1, BLOCK)
    nobody = jnp.full((), -jnp.inf, x.dtype)
    start = nobody, jnp.zeros_like(x), jnp.zeros_like(x if y is None else y)
    return lax.scan(step, start, blocks)[0]
