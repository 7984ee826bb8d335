"""Where floats misbehave, and what is done about it."""

import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from icon._base.pytrees import is_float


HIGHEST = lax.Precision.HIGHEST  # a GPU's default, TF32, ruins |a|² + |b|² - 2ab
FEW = 8  # up to here the plain difference is as fast as a matmul, and exact


# a function with a gradient rule of its own, for each value of its first argument
custom_gradient: Any = ft.partial(jax.custom_vjp, nondiff_argnums=(0,))


def widen(x: Array) -> Array:
    """Half precision as float32: sums of half-precision numbers stall."""
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


def instantiated(g):
    """A cotangent as an array, also where it is known to be zero."""
    if not isinstance(g, SymbolicZero):
        return g
    aval: Any = g.aval
    return jnp.zeros(aval.shape, aval.dtype)


def widened(tree):
    """The same with half-precision leaves as float32, so that gradients add up wide."""
    return jax.tree.map(lambda x: widen(x) if is_float(x) else x, tree)


def zeros(like):
    """Zeros in this shape and dtype, varying over devices where `like` does."""
    new, axes = jnp.zeros(like.shape, like.dtype), varying(like)
    return lax.pcast(new, tuple(axes), to="varying") if axes else new


def varying(x) -> frozenset[str]:
    """The axes of a shard_map along which x differs from device to device."""
    aval = x if isinstance(x, jax.ShapeDtypeStruct) else jax.typeof(x)
    axes = aval.manual_axis_type
    return frozenset() if axes is None else axes.varying


def common(x: Array, y: Array) -> tuple[Array, Array]:
    """Both in the wider of their types, also where promotion must be explicit."""
    dtype = np.promote_types(x.dtype, y.dtype)
    return x.astype(dtype), y.astype(dtype)


def matvec(b: Float[Array, "m d"], a: Float[Array, " d"]) -> Float[Array, " m"]:
    """b @ a, so that vmap over a makes one matmul, with an anchor in each row."""
    b, a = common(widen(b), widen(a))
    return lax.dot_general(a, b, (((0,), (1,)), ((), ())), precision=HIGHEST)


def sqdist(a: Float[Array, " d"], b: Float[Array, "m d"]) -> Float[Array, " m"]:
    """|a - b_j|²: the difference in few dimensions, else one matvec, centred first."""
    b, a = common(widen(b), widen(a))
    if b.shape[1] <= FEW:
        return sum((b[:, k] - a[k]) ** 2 for k in range(b.shape[1]))  # pyright: ignore
    center = lax.stop_gradient(jnp.mean(b, 0))  # off centre the digits cancel
    a, b = a - center, b - center[None]
    return jnp.maximum(jnp.sum(a * a) + jnp.sum(b * b, 1) - 2 * matvec(b, a), 0)


def sqrt(x: Array) -> Array:
    """The square root, with a zero gradient instead of inf at zero."""
    return jnp.where(x == 0, 0, jnp.sqrt(jnp.where(x == 0, 1, x)))


def safe_log(x: Array) -> Array:
    """log, with a zero gradient instead of nan where x is zero."""
    return jnp.where(x == 0, -jnp.inf, jnp.log(jnp.where(x == 0, 1, x)))


def lse(x: Float[Array, " m"]) -> Float[Array, ""]:
    """logsumexp; where every entry is -inf, -inf with a zero gradient, not nan."""
    peak = _peak(x)
    return safe_log(jnp.sum(jnp.exp(x - peak))) + peak


def _peak(x):
    """The largest entry, to be subtracted; 0 where there is none."""
    peak = lax.stop_gradient(jnp.max(x, initial=-jnp.inf))
    return jnp.where(jnp.isfinite(peak), peak, 0)


def softmax(x: Float[Array, " m"]) -> Float[Array, " m"]:
    """e^x that sums to one, to the last digit; zeros where every entry is -inf.

    Not e^(x - lse x): a large log-mass has few digits left after the point.
    """
    weight = jnp.exp(x - _peak(x))
    total = jnp.sum(weight)
    return weight / jnp.where(total == 0, 1, total)


def unit(z: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """z / |z| along the last axis; a row of zeros stays zero, with a zero gradient.

    Divided by its largest entry first: squares of 1e-30 or 1e30 are not floats.
    """
    z = widen(z)
    peak = lax.stop_gradient(jnp.max(jnp.abs(z), -1, keepdims=True))
    z = z / jnp.where(peak > 0, peak, 1)
    square = jnp.sum(z * z, -1, keepdims=True)
    return z * jnp.where(square > 0, 1 / jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def log_mixture(x: Array, y: Array, alpha: Array) -> Array:
    """log((1 - alpha) e^x + alpha e^y), smooth in alpha up to both of its ends.

    Relative to the larger of the two, so that nothing overflows; to the one that is
    present when alpha is 0 or 1, where logaddexp would differentiate log 0.
    """
    gap = x - y
    over_x = jnp.where(gap > 0, alpha < 1, alpha == 0)
    low = jnp.clip(jnp.where(over_x, -gap, gap), max=80)  # only reached at an end
    rest = jnp.exp(low)
    inside = jnp.where(over_x, (1 - alpha) + alpha * rest, alpha + (1 - alpha) * rest)
    return jnp.where(over_x, x, y) + jnp.log(inside)


def log_odds(x: Array) -> Array:
    """log(e^x / (1 - e^x)): the log-odds of a log-probability, -inf and inf at ends."""
    inside = (x < 0) & (x > -jnp.inf)
    y = jnp.where(inside, x, -1)
    return jnp.where(inside, y - jnp.log(-jnp.expm1(y)), jnp.where(x >= 0, jnp.inf, x))
