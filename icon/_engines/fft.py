"""Points that answer for all anchors at once: on a grid, or exactly."""

import dataclasses
import functools as ft
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from icon._base import checks as check
from icon._base.numerics import instantiated, widen
from icon._base.pytrees import pytree, static
from icon._engines import edges as along
from icon._engines import grid, pairs
from icon._neighborhoods.points import Points
from icon._neighborhoods.protocol import Neighborhood


FEW = 4000  # anchors up to which pairs are as fast as a grid
SPACING, ORDER = 0.45, 5


# ------------------------------------------------------- a kernel, as its profile


@dataclasses.dataclass(frozen=True)
class OnALine:
    """A kernel of points that sees only how far, read along one axis."""

    kernel: Callable
    d: int

    def __call__(self, d2, **params):
        r = jnp.sqrt(d2 + 4 * jnp.finfo(d2.dtype).tiny).reshape(-1)  # its slope is one
        away = jnp.stack([r, *[jnp.zeros_like(r)] * (self.d - 1)], -1)
        origin = jnp.zeros(self.d, d2.dtype)
        return self.kernel(origin, away, **params).reshape(d2.shape)


def profile_of(q: Points) -> Callable:
    """What the kernel is of the squared distance.

    Read in one dimension where it can be: sums over an axis of 1 cost nothing.
    """
    if q.kernel.profile is not None:
        return q.kernel.profile
    lines = [OnALine(q.kernel, d) for d in (1, q.anchors.shape[1])]
    told = [line for line in lines if _sees_only_how_far(q, line)]
    check.require(told, "q", "a kernel of more than the distance", "one of |a - b|")
    return told[0]


def _known(params):
    """Numbers that can be looked at: themselves, or ones in place of what is traced."""
    one = lambda x: x if check.concrete(x) else np.ones(jnp.shape(x), x.dtype)
    return jax.tree.map(one, params)


def _sees_only_how_far(q, profile) -> bool:
    """Whether a kernel is this function of the distance, at some random places."""
    rng, d = np.random.default_rng(0), q.anchors.shape[1]
    a, b = rng.normal(size=(2, 8, d)).astype(q.anchors.dtype)
    try:
        with jax.ensure_compile_time_eval():
            off, span = _off(q.kernel, profile, _known(q.params), a, b)
            return bool(off <= 1e-3 * span)
    except (TypeError, ValueError, IndexError):
        return False  # it wants points of as many dimensions as there are


@ft.partial(jax.jit, static_argnames=("kernel", "profile"))
def _off(kernel, profile, params, a, b):
    """How far a kernel is from a function of the distance, and how much it varies."""
    told = jax.vmap(lambda x: kernel(x, b, **params))(a)
    meant = profile(jnp.sum((a[:, None] - b[None]) ** 2, -1), **params)
    apart = jnp.where(told == meant, 0, jnp.abs(told - meant))  # both may be -inf
    there = told > -jnp.inf
    top = jnp.max(told, where=there, initial=-jnp.inf)
    return jnp.max(apart), top - jnp.min(told, where=there, initial=jnp.inf)


@ft.partial(jax.jit, static_argnames=("profile", "dtype"))
def width(profile: Callable, params, dtype):
    """How wide a kernel is: 1 - d²/width² near its top; nan where it has a cusp."""
    slope = lambda d2: pairs.slope_of(lambda d2: profile(d2, **params), d2)
    top = slope(jnp.zeros((), dtype))
    wide = lax.rsqrt(jnp.where(top < 0, -top, jnp.nan))
    beside = slope((0.01 * wide) ** 2)
    return jnp.where(jnp.abs(top - beside) < 0.1 * jnp.abs(top), wide, jnp.nan)


# ------------------------------------------------------- two ways to sum


@dataclasses.dataclass(frozen=True)
class ByPairs:
    """Every pair by itself: exact."""

    profile: Callable

    def ready(self, q) -> Any:
        """What can be worked out before the points are known."""
        return None

    def field(self, params, ready, x, y, charge):
        return pairs.field(self.kernel(params), x, y, charge)

    def kernel(self, params):
        """The kernel itself, divided by its top."""
        line = lambda d2: self.profile(d2, **params)
        return lambda d2: jnp.exp(line(d2) - self.top(params, d2.dtype))

    def top(self, params, dtype):
        """What is taken off every score."""
        return jnp.zeros((), dtype)

    def fits(self, params, *points) -> bool:
        """Whether there is room for everybody."""
        return True

    def floor(self, mass):
        """Below, a sum is not to be trusted."""
        return 1e3 * jnp.finfo(mass.dtype).tiny


@dataclasses.dataclass(frozen=True)
class OnGrid(ByPairs):
    """On a grid whose spacing is in units of the kernel's width."""

    spacing: float = SPACING
    order: int = ORDER

    def ready(self, q) -> Any:
        """The spectra of the kernel, worked out once where its numbers are known."""
        if not check.concrete(q.params) or any(map(np.ndim, q.params.values())):
            return None
        d, kind = q.anchors.shape[1], np.dtype(q.anchors.dtype).name
        params = tuple((k, np.asarray(v).item()) for k, v in q.params.items())
        return _spectra(self, params, d, kind), q.params

    def top(self, params, dtype):
        return self.profile(jnp.zeros((), dtype), **params)

    def fits(self, params, *points) -> bool:
        """Whether the largest grid has room for everybody."""
        x = np.concatenate([np.asarray(x) for x in points if x is not None])
        spacing = self.spacing * float(width(self.profile, params, x.dtype))
        nodes = np.ptp(x, 0).max() / spacing + self.order + 2
        return bool(nodes <= max(grid.RUNGS[x.shape[1]]))

    def mesh(self, params, ready, dtype) -> grid.Mesh:
        wide = lax.stop_gradient(width(self.profile, params, np.dtype(dtype)))
        spacing, known = self.spacing * wide, ready and ready[0]
        return grid.Mesh(self.kernel(params), spacing, self.order, known)

    def field(self, params, ready, x, y, charge):
        m, sizes = self.mesh(params, ready, x.dtype), grid.RUNGS[x.shape[1]]
        center = grid.middle(*((x,) if y is None else (x, y)))
        targets = grid.place(x, center, m)
        if y is None:
            return grid.field(m, sizes, targets, charge)
        sources = grid.place(y, center, m)
        return grid.field(m, sizes, sources, charge, targets)

    def floor(self, mass):
        """What the transform resolves, and the splines of a kernel whose top is 1."""
        return jnp.maximum(64 * jnp.finfo(mass.dtype).eps * jnp.max(mass), 1e-4)


@ft.lru_cache(16)
def _spectra(engine: OnGrid, params, d: int, kind: str):
    with jax.ensure_compile_time_eval():
        known = {name: jnp.asarray(value, kind) for name, value in params}
        m = engine.mesh(known, None, kind)
        return grid.spectra(m, grid.RUNGS[d], d, kind)


# ------------------------------------------------------- log-masses, and their gradient


def _masses(engine, x, y, params, ready):
    """log Σ_j k(x_i - y_j) of all anchors; the sums, their slopes, who is faint."""
    one = jnp.ones(len(x if y is None else y), x.dtype)
    mass, slope = engine.field(params, ready, x, y, one)
    faint = ~((mass > engine.floor(mass)) & (mass < jnp.inf))
    known = jnp.log(jnp.where(faint, 1, mass)) + engine.top(params, x.dtype)
    profile = ft.partial(engine.profile, **params)
    return pairs.log_masses(profile, x, y, faint, known), mass, slope, faint


@ft.partial(jax.custom_vjp, nondiff_argnums=(0,))
def log_masses(engine, x, y, params, ready):
    """M_i = log Σ_j exp s_ij of every anchor; y = None leaves out j = i.

    Its gradient is two fields: what i feels of the others, and what they feel of i.
    """
    return _masses(engine, x, y, params, ready)[0]


def _value(tree):
    return jax.tree.map(lambda leaf: leaf.value, tree, is_leaf=_is_told)


def _is_told(leaf):
    return hasattr(leaf, "perturbed")


def _perturbed(tree) -> bool:
    return any(leaf.perturbed for leaf in jax.tree.leaves(tree, is_leaf=_is_told))


def _log_masses_fwd(engine, x, y, params, ready):
    learned = _perturbed(params)
    x, y, params, ready = map(_value, (x, y, params, ready))
    M, mass, slope, faint = _masses(engine, x, y, params, ready)
    return M, (x, y, params, ready, mass, slope, faint, params if learned else None)


def _log_masses_bwd(engine, saved, g):
    x, y, params, ready, mass, slope, faint, learned = saved
    g = instantiated(g)
    charge = jnp.where(faint, 0, g / jnp.where(faint, 1, mass))
    profile = ft.partial(engine.profile, **params)
    by_x, by_y = pairs.forces(profile, x, y, faint, g)
    by_x = by_x + charge[:, None] * slope
    if y is None:
        by_x = by_x + by_y + engine.field(params, ready, x, None, charge)[1]
    else:
        by_y = by_y + engine.field(params, ready, y, x, charge)[1]
    by_params = _by_params(_masses, engine, x, y, learned, g)
    return by_x, None if y is None else by_y, by_params, None


def _by_params(answer, engine, x, y, learned, g):
    """Few numbers, many anchors: forward through the kernel's spectrum."""
    if learned is None:
        return None

    def said(params):
        M = answer(engine, x, y, params, None)[0]
        return jnp.sum(g * jnp.where(M > -jnp.inf, M, 0))

    return jax.jacfwd(said)(learned)


log_masses.defvjp(_log_masses_fwd, _log_masses_bwd, symbolic_zeros=True)


@ft.partial(jax.custom_vjp, nondiff_argnums=(0,))
def joint_log_mass(engine, x, y, params, ready):
    """log Σ_ij exp s_ij, one number. Within one set both fields are the same one."""
    return _joint(engine, x, y, params, ready)[0]


def _joint(engine, x, y, params, ready):
    """The logarithm, and the gradient in x and y."""
    n, m = len(x), len(x if y is None else y)
    mass, slope = engine.field(params, ready, x, y, jnp.ones(m, x.dtype))
    total = jnp.sum(mass)
    profile = ft.partial(engine.profile, **params)

    def met():
        M = jnp.log(total) + engine.top(params, x.dtype)
        if y is None:
            return M, 2 * slope / total, None
        back = engine.field(params, ready, y, x, jnp.ones(n, x.dtype))[1]
        return M, slope / total, back / total

    def far():
        M, by_x, by_y = pairs.joint(profile, x, y)
        return M, by_x + by_y if y is None else by_x, None if y is None else by_y

    sound = (total > n * engine.floor(mass)) & (total < jnp.inf)
    return lax.cond(sound, met, far)


def _joint_fwd(engine, x, y, params, ready):
    learned = _perturbed(params)
    x, y, params, ready = map(_value, (x, y, params, ready))
    M, by_x, by_y = _joint(engine, x, y, params, ready)
    return M, (by_x, by_y, x, y, params if learned else None)


def _joint_bwd(engine, saved, g):
    by_x, by_y, x, y, learned = saved
    g = instantiated(g)
    by_params = _by_params(_joint, engine, x, y, learned, g)
    return g * by_x, None if by_y is None else g * by_y, by_params, None


joint_log_mass.defvjp(_joint_fwd, _joint_bwd, symbolic_zeros=True)


# ------------------------------------------------------- the neighbourhood


@pytree
class Interpolated(Neighborhood):
    """Points under a radial kernel that answer for all anchors at once."""

    base: Points
    ready: Any
    engine: ByPairs = static()

    wants_edges = True

    @property
    def shape(self):
        return self.base.shape

    @property
    def excludes_self(self):
        return self.base.excludes_self

    @property
    def symmetric(self):
        return self.base.symmetric

    def is_self(self, i, at):
        return self.base.is_self(i, at)

    def support(self, i):
        return self.base.support(i)

    def score(self, i, at):
        return self.base.score(i, at)

    def log_mass(self, i):
        return self.base.log_mass(i)

    def read(self, i, at):
        return self.base.read(i, at)

    def mass(self, score, at):
        return self.base.mass(score, at)

    @property
    def T(self):
        return dataclasses.replace(self, base=self.base.T)

    def along(self, edges):
        """Σ_e w_e s_e along the edges of one set; None for two."""
        q = self.base
        if not q.excludes_self:
            return None
        edges = edges._replace(weight=edges.weight.astype(q.anchors.dtype))
        return along.pull(self.engine.profile, q.anchors, q.params, edges)

    def fits(self) -> bool:
        """Whether the grid has room; where it has not, every pair is summed, slowly."""
        q = self.base
        return self.engine.fits(q.params, q.anchors, q.candidates)

    def log_masses(self):
        return self._sure(log_masses(self.engine, *self._parts()))

    def joint_log_mass(self):
        return self._sure(joint_log_mass(self.engine, *self._parts()))

    def _sure(self, mass):
        """nan where a number was changed after its spectrum was worked out."""
        known = self.ready[1] if self.ready else {}
        same = [jnp.all(self.base.params[name] == known[name]) for name in known]
        return jnp.where(ft.reduce(jnp.logical_and, same, True), mass, jnp.nan)

    def _parts(self):
        return self.base.anchors, self.base.candidates, self.base.params, self.ready


def interpolated(q: Points, *, spacing: float | None = None, order: int = ORDER):
    r"""The same points, answering for all anchors at once, at the speed of an FFT.

    $$Z_i = \sum_j k(\|x_i - y_j\|^2), \quad
      \nabla_{x_i} \sum_l g_l \log Z_l =
      \sum_j \Big(\frac{g_i}{Z_i} + \frac{g_j}{Z_j}\Big) \nabla k(x_i - x_j)$$

    Any smooth kernel of the distance, yours too, in one to three dimensions: charges
    are spread to a grid with B-splines, transformed, met with the kernel's spectrum,
    and read back; forces are the derivative of the same splines. Up to 4,000 points,
    and above three dimensions, every pair is summed exactly instead; so it is for a
    kernel with a cusp, with a warning, and where the points span more than the grid.

    The width of a kernel is that of 1 - d²/width² near its top: 1 for Student's t with
    one degree of freedom, √2 · scale for a Gaussian. Relative error of the force of all
    pairs, at a t-SNE layout of 10,000 digits that spans 169; `benchmarks/embedding.py`
    has other orders, and the times:

    | spacing | Student-t 1 | Student-t 0.5 | Student-t 3 | Gaussian |
    |---------|-------------|---------------|-------------|----------|
    | 0.5     | 3.0e-2      | 3.9e-2        | 1.8e-2      | 5.5e-3   |
    | 0.45    | 1.8e-2      | 2.5e-2        | 9.3e-3      | 2.9e-3   |
    | 0.4     | 9.8e-3      | 1.4e-2        | 4.4e-3      | 1.5e-3   |
    | 0.333   | 3.4e-3      | 5.1e-3        | 1.4e-3      | 5.7e-4   |
    | 0.25    | 5.6e-4      | 8.8e-4        | 2.7e-4      | 1.5e-4   |

    Args:
        q: points under a kernel that sees only how far: student_t, gaussian, or
            points(kernel, …). Its numbers may be learned.
        spacing: of the grid, in widths of the kernel; a number forces the grid.
            None: 0.45.
        order: of the B-splines, from 3 to 8.

    Raises:
        InvalidInput: a kernel of more than the distance, numbers per anchor or per
            candidate, a forced grid for a kernel with a cusp or above three dimensions.

    Example:
        >>> import icon, jax
        >>> q = icon.student_t(jax.random.normal(jax.random.key(0), (500, 2)))
        >>> fast = icon.interpolated(q, spacing=0.45).joint_log_mass()
        >>> bool(abs(fast - icon.interpolated(q).joint_log_mass()) < 1e-3)
        True

    Source: Linderman et al., Fast interpolation-based t-SNE, 2019; Essmann et al., A
    smooth particle mesh Ewald method, 1995.
    """
    _plain(q)
    wider = lambda x: None if x is None else widen(x)
    wide = dict(anchors=wider(q.anchors), candidates=wider(q.candidates))
    q = dataclasses.replace(q, **wide)
    profile, d = profile_of(q), q.anchors.shape[1]
    if spacing is None and (d > 3 or q.shape[0] * q.shape[1] <= FEW**2):
        return Interpolated(q, None, ByPairs(profile))
    check.require(d <= 3, "spacing", spacing, f"None: {d} dimensions have no grid")
    if not _smooth(q, profile):
        cusp = "a kernel that is smooth at 0 and falls from there"
        check.require(spacing is None, "q", "a kernel with a cusp", cusp)
        why = "a kernel with a cusp is beyond a grid: every pair is summed exactly"
        warnings.warn(why, stacklevel=2)
        return Interpolated(q, None, ByPairs(profile))
    spacing = SPACING if spacing is None else float(spacing)
    check.require(0 < spacing <= 1, "spacing", spacing, "a number above 0, up to 1")
    engine = OnGrid(profile, spacing, check.count("order", order, 3, 8))
    return Interpolated(q, engine.ready(q), engine)


def _plain(q):
    """Refuse what a field of equal charges cannot say."""
    points = isinstance(q, Points) and q.anchor_id is None
    kind = type(q).__name__
    check.require(points, "q", f"a {kind}", "points under a kernel, as they are")
    flat = isinstance(q.anchors, jax.Array) and q.anchors.ndim == 2
    check.require(flat, "q", "anchors that are no matrix", "points [n, d]")
    got = "numbers per anchor or per candidate, or a limit"
    bare = q.is_bare and not q.is_limit
    check.require(bare, "q", got, "one kernel for all pairs, summed")


def _smooth(q, profile) -> bool:
    with jax.ensure_compile_time_eval():
        wide = width(profile, _known(q.params), np.dtype(q.anchors.dtype))
        return bool(wide > 0)
