"""What do all points sum to, on a grid? Spread, transform, multiply, gather: n log n.

For points in one to three dimensions and a smooth kernel of the distance. The spacing
of the grid is fixed, in units of the kernel's width; how many nodes it has follows the
span of the points.
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

from icon._base.blocks import on_device


IN_BOUNDS: Any = dict(mode="promise_in_bounds")
FAR = 2**30  # nodes that an integer can count
LADDERS = {  # nodes along one axis, twice each a product of 2, 3 and 5
    1: (256, 1024, 4096, 16384, 65536),
    2: (64, 128, 192, 256, 320, 360, 400, 432, 480, 540, 600, 648, 720, 810, 900, 1024),
    3: (32, 48, 64, 96, 128),
}
RUNGS = 4  # sizes to choose from while a program runs: each is compiled


def rungs(d: int, needed: float) -> tuple[int, ...]:
    """Four sizes at most, evenly up to the first with as many nodes as needed."""
    ladder = LADDERS[d]
    below = sum(size < needed for size in ladder)
    last = min(below, len(ladder) - 1)
    chosen = np.linspace(0, last, min(last + 1, RUNGS)).round().astype(int)
    return tuple(ladder[k] for k in chosen)


class Mesh(NamedTuple):
    """A kernel of the squared distance, sampled on grids of one spacing."""

    kernel: Callable
    spacing: Any  # between two nodes
    order: int  # of the splines
    spectra: Any = None  # {nodes: what `spectrum` returns}; None: computed when needed
    valid: Any = True  # whether the spectra are those of this kernel


# ------------------------------------------------------- splines, as polynomials


@ft.lru_cache
def splines(order: int) -> np.ndarray:
    """[order, order]: the weight of each node around a point, by powers of its offset.

    The offset runs from 0 to 1 past the last node; the farthest node comes first.

    Source: Essmann et al., A smooth particle mesh Ewald method, 1995.
    """
    w = [Polynomial([1.0])]
    for k in range(2, order + 1):
        left, right = [*w, 0], [0, *w]
        t = [Polynomial([j, 1.0]) for j in range(k)]
        w = [(t[j] * left[j] + (k - t[j]) * right[j]) / (k - 1) for j in range(k)]
    return _coefficients(w[::-1], order)


@ft.lru_cache
def autocorrelation(order: int) -> np.ndarray:
    """[order, 2·order - 1]: Σ_a w_a w_(a+k) of a point's own weights, for every k.

    It is what a point reads of its own charge, by the distance k between the node it
    is spread to and the node it is read from.
    """
    w = [Polynomial(c) for c in splines(order)]
    pairs = [(abs(a - b), w[a] * w[b]) for a in range(order) for b in range(order)]
    sums = [sum(p for hop, p in pairs if hop == k) for k in range(order)]
    return _coefficients(sums, 2 * order - 1)


def _coefficients(polynomials, count: int) -> np.ndarray:
    return np.stack([np.pad(p.coef, (0, count - len(p.coef))) for p in polynomials])


def _evaluated(coefficients: np.ndarray, t: Float[Array, " n"]):
    """Polynomials at offsets on one axis: a list of vectors, which XLA fuses best."""

    def horner(row):
        step = lambda total, c: total * t + c
        return ft.reduce(step, row[-2::-1], jnp.full_like(t, row[-1]))

    return [horner(row) for row in coefficients.tolist()]


def _with_derivatives(coefficients, offset):
    """Polynomials along each axis, and their derivatives."""
    derivatives = coefficients[:, 1:] * np.arange(1, coefficients.shape[1])
    return [[_evaluated(c, t) for t in offset] for c in (coefficients, derivatives)]


# ------------------------------------------------------- the kernel on the grid


def _deconvolution(size: int, order: int, d: int):
    """1 over the transform of the splines of both ends, [2·size, …, size + 1]."""
    whole = np.sinc(np.fft.fftfreq(2 * size)) ** (-2.0 * order)
    half = np.sinc(np.arange(size + 1) / (2 * size)) ** (-2.0 * order)
    return ft.reduce(np.multiply.outer, [whole] * (d - 1) + [half])


def spectrum(mesh: Mesh, size: int, d: int, dtype):
    """The transform of the kernel on the grid, without the splines of both ends.

    And its inverse transform at the few nodes that one point is spread to.
    """
    hops = jnp.asarray(np.fft.fftfreq(2 * size, 1 / (2 * size)), dtype)
    axis = (hops * mesh.spacing) ** 2
    d2 = sum(jnp.meshgrid(*[axis] * d, indexing="ij", sparse=True))
    waves = jnp.fft.rfftn(mesh.kernel(d2)).real
    waves = waves * jnp.asarray(_deconvolution(size, mesh.order, d), dtype)
    return waves, _near_origin(waves, mesh.order, jnp)


def _near_origin(waves, order: int, xp=np):
    """The inverse transform at the first few nodes only; waves are even."""
    size = waves.shape[-1] - 1
    hops = np.arange(order)[:, None]
    half = np.where(np.arange(size + 1) % size == 0, 1, 2)
    whole = np.cos(np.pi * hops * np.arange(2 * size) / size) / (2 * size)
    tables = [whole] * (waves.ndim - 1) + [whole[:, : size + 1] * half]
    for table in tables:  # the first axis goes, and comes back as the last
        waves = xp.tensordot(waves, xp.asarray(table, waves.dtype), (0, 1))
    return waves


def spectra(mesh: Mesh, sizes, d: int, dtype):
    """The spectrum of every size, on the host: the kernel is evaluated once.

    It is even, so that cosines will do, a quarter of the transform in the plane.
    """
    from scipy import fft

    axis = (np.arange(max(sizes) + 1, dtype=np.float64) * np.float64(mesh.spacing)) ** 2
    d2: Any = sum(np.meshgrid(*[axis] * d, indexing="ij", sparse=True))
    kernel = np.asarray(mesh.kernel(d2.astype(dtype)))

    def of_size(size):
        quarter: Any = fft.dctn(kernel[(slice(size + 1),) * d].astype(np.float64), 1)
        hops = np.abs(np.fft.fftfreq(2 * size, 1 / (2 * size)).astype(int))
        waves = quarter[np.ix_(*[hops] * (d - 1), np.arange(size + 1))]
        waves = waves * _deconvolution(size, mesh.order, d)
        near = _near_origin(waves, mesh.order)
        return on_device(waves, dtype), on_device(near, dtype)

    return {size: of_size(size) for size in sizes}


# ------------------------------------------------------- where points lie


class Position(NamedTuple):
    """The last node below each point, counted from the middle, and how far past it."""

    node: Any  # [n, d]
    offset: Any  # d times [n], from 0 to 1


def midpoint(*sets):
    """The middle of the box around all points, axis by axis."""
    low = ft.reduce(jnp.minimum, [jnp.min(x, 0) for x in sets])
    return (low + ft.reduce(jnp.maximum, [jnp.max(x, 0) for x in sets])) / 2


def position(x: Float[Array, "n d"], center, mesh: Mesh) -> Position:
    at = (x - center[None]) / mesh.spacing + mesh.order / 2
    below = jnp.clip(jnp.floor(at), -FAR, FAR)
    offset = at - below
    return Position(below.astype(jnp.int32), [offset[:, k] for k in range(x.shape[1])])


def rung(sizes, order: int, *positions: Position):
    """The index of the first size with room for all points, or one past the last."""
    reach = ft.reduce(jnp.maximum, [jnp.max(jnp.abs(p.node)) for p in positions])
    room = jnp.asarray([(size - order - 1) // 2 for size in sizes], jnp.int32)
    return jnp.sum(reach > room)


def _first_node(position: Position, size: int, order: int):
    """The first node that a point is spread to; at the edge for one that is outside."""
    return jnp.clip(position.node + (size // 2 - order + 1), 0, size - order)


# ------------------------------------------------------- to the grid and back


def _products(ws):
    """[n, order, ...]: the products of one weight along each axis, last axis last."""
    if len(ws) == 1:
        return jnp.stack(ws[0], -1)
    second, *rest = ws[1:]
    rows = [_products([[a * b for b in second], *rest]) for a in ws[0]]
    return jnp.stack(rows, 1)


def _spread(values, first, size: int):
    """Windows of values [n, order, ...] added to a grid at their first nodes.

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


def _convolved(grid, waves):
    """A grid times the kernel: transformed with as many zeros again, and back."""
    box = [2 * size for size in grid.shape]
    sent = jnp.fft.rfftn(grid, box)
    sent = lax.complex(sent.real * waves, sent.imag * waves)
    return jnp.fft.irfftn(sent, box)[tuple(map(slice, grid.shape))]


def _windows(grid, first, order: int):
    """The nodes around each point, [order, ..., n]."""
    cut = lambda at: lax.dynamic_slice(grid, tuple(at), (order,) * grid.ndim)
    return jax.vmap(cut, out_axes=-1)(first)


def _contracted(nodes, ws, dws):
    """The spline through nodes at each point, and its derivative along each axis."""
    lift = lambda w, v: w.reshape(*[1] * (v.ndim - 2), -1)
    along = lambda v, ws: sum(v[a] * lift(w, v) for a, w in enumerate(ws))
    value, gradient = nodes, []
    for w, dw in zip(ws, dws, strict=True):
        gradient = [*(along(g, w) for g in gradient), along(value, dw)]
        value = along(value, w)
    return value, jnp.stack(gradient, -1)


def _of_itself(near, offset, order: int):
    """What a point of charge 1 reads of itself, and half the gradient of that."""
    polynomials = _with_derivatives(autocorrelation(order), offset)
    value, gradient = _contracted(near[..., None], *polynomials)
    return value, gradient / 2


def field(
    mesh: Mesh, sizes, sources: Position, charge, targets: Position | None = None
):
    """Σ_j c_j k(x_i - y_j) and its gradient in x_i; one set leaves out j = i.

    Only what depends on the size of the grid is compiled for every size. Where no grid
    has room for all points, or the spectra are not valid, both are 0.
    """
    at = sources if targets is None else targets
    d, order = at.node.shape[1], mesh.order
    ws = [_evaluated(splines(order), t) for t in sources.offset]
    values = _products([[w * charge for w in ws[0]], *ws[1:]])

    def on(size):
        ready = mesh.spectra and mesh.spectra[size]
        waves, near = ready or spectrum(mesh, size, d, charge.dtype)
        grid = _spread(values, _first_node(sources, size, order), size)
        grid = _convolved(grid, waves)
        return _windows(grid, _first_node(at, size, order), order), near

    chosen = rung(sizes, order, sources, at)
    resolved = mesh.valid & (chosen < len(sizes))
    chosen = jnp.minimum(chosen, len(sizes) - 1)
    nodes, near = lax.switch(chosen, [ft.partial(on, size) for size in sizes])
    value, gradient = _contracted(nodes, *_with_derivatives(splines(order), at.offset))
    if targets is None:
        own, own_gradient = _of_itself(near, at.offset, order)
        value = value - charge * own
        gradient = gradient - charge[:, None] * own_gradient
    return jax.tree.map(
        lambda x: jnp.where(resolved, x, 0), (value, gradient / mesh.spacing)
    )
