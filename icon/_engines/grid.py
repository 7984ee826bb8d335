"""What does everybody sum to, met on a grid? Spread, transform, multiply, gather back.

For points in one to three dimensions and a smooth kernel of the distance: n log n. The
grid's spacing is fixed, in units of the kernel's width; how many nodes it has follows
the span of the points.
"""

import functools as ft
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from numpy.polynomial import Polynomial


IN_BOUNDS: Any = dict(mode="promise_in_bounds")
FAR = 2**30  # nodes that an integer can count
RUNGS = {  # nodes along one axis: six programs at most, the last for 1,000 widths
    1: (256, 1024, 4096, 16384, 65536),
    2: (64, 192, 320, 480, 640, 1024),
    3: (32, 48, 64, 96, 128),
}


class Mesh(NamedTuple):
    """A kernel of the squared distance, to be met on grids of one spacing."""

    kernel: Callable
    spacing: Any  # between two nodes
    order: int
    known: Any = None  # size -> what `spectrum` says, where it was worked out before


# ------------------------------------------------------- splines, as polynomials


@ft.lru_cache
def splines(order: int) -> np.ndarray:
    """[order, order]: the weight of each node around a point, by powers of its place.

    The place runs from 0 to 1 past the last node; the farthest node comes first.

    Source: Essmann et al., A smooth particle mesh Ewald method, 1995.
    """
    w = [Polynomial([1.0])]
    for k in range(2, order + 1):
        left, right = [*w, 0], [0, *w]
        t = [Polynomial([j, 1.0]) for j in range(k)]
        w = [(t[j] * left[j] + (k - t[j]) * right[j]) / (k - 1) for j in range(k)]
    return _coefficients(w[::-1], order)


def _coefficients(polynomials, count: int) -> np.ndarray:
    return np.stack([np.pad(p.coef, (0, count - len(p.coef))) for p in polynomials])


@ft.lru_cache
def echoes(order: int) -> np.ndarray:
    """[order, 2·order - 1]: how much of a point's charge meets itself, by the hops
    between the node it was spread to and the node it is read from.
    """
    w = [Polynomial(c) for c in splines(order)]
    pairs = [(abs(a - b), w[a] * w[b]) for a in range(order) for b in range(order)]
    met = [sum(p for hop, p in pairs if hop == k) for k in range(order)]
    return _coefficients(met, 2 * order - 1)


def _evaluated(coefficients: np.ndarray, t: Float[Array, " n"]):
    """Polynomials at places along one axis: a list of vectors, which XLA fuses best."""
    return [_horner(row, t) for row in coefficients.tolist()]


def _horner(row, t):
    return ft.reduce(
        lambda sum_, c: sum_ * t + c, row[-2::-1], jnp.full_like(t, row[-1])
    )


# ------------------------------------------------------- the kernel on the grid


def _undone(size: int, order: int, d: int):
    """What both splines do to a wave, divided out."""
    whole = np.sinc(np.fft.fftfreq(2 * size)) ** (-2.0 * order)
    half = np.sinc(np.arange(size + 1) / (2 * size)) ** (-2.0 * order)
    return ft.reduce(np.multiply.outer, [whole] * (d - 1) + [half])


def spectrum(m: Mesh, size: int, d: int, dtype):
    """The kernel on the grid, transformed, the splines of both ends divided out.

    And what comes back of it at the few nodes that one point spreads to.
    """
    away = jnp.asarray(np.fft.fftfreq(2 * size, 1 / (2 * size)), dtype) * m.spacing
    square = sum(jnp.meshgrid(*[away**2] * d, indexing="ij", sparse=True))
    waves = jnp.fft.rfftn(m.kernel(square)).real
    waves = waves * jnp.asarray(_undone(size, m.order, d), dtype)
    return waves, _near(waves, m.order, jnp)


def _near(waves, order: int, xp=np):
    """The inverse transform at the first few nodes only; waves are even."""
    size = waves.shape[-1] - 1
    hops = np.arange(order)[:, None]
    half = np.where(np.arange(size + 1) % size == 0, 1, 2)
    whole = np.cos(np.pi * hops * np.arange(2 * size) / size) / (2 * size)
    tables = [whole] * (waves.ndim - 1) + [whole[:, : size + 1] * half]
    for table in tables:  # the first axis goes, and comes back as the last
        waves = xp.tensordot(waves, xp.asarray(table, waves.dtype), (0, 1))
    return waves


def spectra(m: Mesh, sizes, d: int, dtype):
    """The same for several sizes at once, on the host: one look at the kernel.

    It is even, so that cosines will do, a quarter of the transform in the plane.
    """
    from scipy import fft

    away = np.arange(max(sizes) + 1, dtype=np.float64) * np.float64(m.spacing)
    square = sum(np.meshgrid(*[away**2] * d, indexing="ij", sparse=True))
    kernel = np.asarray(jax.jit(m.kernel)(jnp.asarray(square, dtype)))

    def one(size):
        quarter: Any = fft.dctn(kernel[(slice(size + 1),) * d].astype(np.float64), 1)
        hops = np.abs(np.fft.fftfreq(2 * size, 1 / (2 * size)).astype(int))
        waves = quarter[np.ix_(*[hops] * (d - 1), np.arange(size + 1))]
        waves = waves * _undone(size, m.order, d)
        return jnp.asarray(waves, dtype), jnp.asarray(_near(waves, m.order), dtype)

    return {size: one(size) for size in sizes}


# ------------------------------------------------------- where points lie


class Place(NamedTuple):
    """The last node under each point, counted from the middle, and how far past it."""

    node: Any  # [n, d]
    past: Any  # d times [n], from 0 to 1


def middle(*sets):
    """The middle of the box around all points, axis by axis."""
    low = ft.reduce(jnp.minimum, [jnp.min(x, 0) for x in sets])
    return (low + ft.reduce(jnp.maximum, [jnp.max(x, 0) for x in sets])) / 2


def place(x: Float[Array, "n d"], center, m: Mesh) -> Place:
    at = (x - center[None]) / m.spacing + m.order / 2
    under = jnp.clip(jnp.floor(at), -FAR, FAR)
    past = at - under
    return Place(under.astype(jnp.int32), [past[:, k] for k in range(x.shape[1])])


def _first(place: Place, size: int, order: int):
    """The first node that a point spreads to; whoever is outside stands at the edge."""
    return jnp.clip(place.node + (size // 2 - order + 1), 0, size - order)


# ------------------------------------------------------- there and back


def _outer(ws):
    """[n, order, ...]: the products of one weight along each axis, last axis last."""
    if len(ws) == 1:
        return jnp.stack(ws[0], -1)
    rest = ws[1:]
    return jnp.stack([_outer([[a * b for b in rest[0]], *rest[1:]]) for a in ws[0]], 1)


def _spread(values, first, size: int):
    """Windows of values [n, order, ...] added up at their places on a grid.

    The last axis is a contiguous window, the others are listed.
    """
    order, d = values.shape[-1], values.ndim - 1
    axes = [jnp.arange(order, dtype=jnp.int32)] * (d - 1) + [jnp.zeros(1, jnp.int32)]
    steps = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1).reshape(-1, d)
    strides = jnp.asarray([size**k for k in range(d)][::-1], jnp.int32)
    at = jnp.sum((first[:, None] + steps[None]) * strides[None, None], -1)
    numbers = lax.ScatterDimensionNumbers((1,), (), (0,))
    grid, rows = jnp.zeros(size**d, values.dtype), values.reshape(-1, order)
    at = at.reshape(-1, 1)
    return lax.scatter_add(grid, at, rows, numbers, **IN_BOUNDS).reshape((size,) * d)


def _windows(grid, first, order: int):
    """The nodes around each point, [order, ..., n]."""
    cut = lambda at: lax.dynamic_slice(grid, tuple(at), (order,) * grid.ndim)
    return jax.vmap(cut, out_axes=-1)(first)


def _contracted(v, ws, dws):
    """The grid's spline at each point, and its derivative along each axis [n, d]."""
    lift = lambda w, v: w.reshape(*[1] * (v.ndim - 2), -1)
    along = lambda v, ws: sum(v[a] * lift(w, v) for a, w in enumerate(ws))
    value, slopes = v, []
    for w, dw in zip(ws, dws, strict=True):
        slopes = [*(along(s, w) for s in slopes), along(value, dw)]
        value = along(value, w)
    return value, jnp.stack(slopes, -1)


def _both(coefficients, past):
    """Polynomials and their derivatives, along each axis."""
    slope = coefficients[:, 1:] * np.arange(1, coefficients.shape[1])
    return [[_evaluated(c, t) for t in past] for c in (coefficients, slope)]


def _itself(near, past, order: int):
    """What the grid tells each point about itself, and half the slope of that."""
    value, slope = _contracted(near[..., None], *_both(echoes(order), past))
    return value, slope / 2


def field(m: Mesh, sizes, sources: Place, charge, targets: Place | None = None):
    """Σ_j c_j k(x_i - y_j) and its gradient in x_i; one set leaves out j = i.

    Only what depends on the size of the grid is compiled for every size. Where the
    last one has no room for everybody, no sum is there: -inf.
    """
    at = sources if targets is None else targets
    d, order = at.node.shape[1], m.order
    ws = [_evaluated(splines(order), t) for t in sources.past]
    values = _outer([[w * charge for w in ws[0]], *ws[1:]])

    def rung(size):
        known = m.known[size] if m.known else spectrum(m, size, d, charge.dtype)
        waves, near = known
        box = (2 * size,) * d
        grid = _spread(values, _first(sources, size, order), size)
        sent = jnp.fft.rfftn(grid, box)
        sent = lax.complex(sent.real * waves, sent.imag * waves)
        grid = jnp.fft.irfftn(sent, box)
        windows = _windows(grid[(slice(size),) * d], _first(at, size, order), order)
        return windows, near

    which = smallest(sizes, order, sources, at)
    rungs = [ft.partial(rung, size) for size in sizes]
    v, near = lax.switch(jnp.minimum(which, len(sizes) - 1), rungs)
    value, slope = _contracted(v, *_both(splines(order), at.past))
    if targets is None:
        own, tilt = _itself(near, at.past, order)
        value, slope = value - charge * own, slope - charge[:, None] * tilt
    return jnp.where(which < len(sizes), value, -jnp.inf), slope / m.spacing


def smallest(sizes, order: int, *places: Place):
    """The first rung with room for everybody, or one past the last."""
    reach = ft.reduce(jnp.maximum, [jnp.max(jnp.abs(p.node)) for p in places])
    room = jnp.asarray([(size - order - 1) // 2 for size in sizes], jnp.int32)
    return jnp.sum(reach > room)
