"""How do points answer for all anchors at once? On a grid, or pair by pair, exactly."""

import dataclasses
import functools as ft
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from icon._base import checks as check
from icon._base.blocks import on_device
from icon._base.numerics import custom_gradient, instantiated, widen
from icon._base.pytrees import pytree, static
from icon._engines import grid, pairs
from icon._engines.edges import attraction
from icon._neighborhoods import (
    EVERYBODY,
    Neighborhood,
    Points,
    Shortcut,
    candidate_ids,
    finite,
    of_base,
)


FEW = {1: 1024, 2: 1024, 3: 4096}  # points up to which pairs are as fast as a grid
SPACING, ORDER = 0.45, 5


# ------------------------------------------------------- a kernel, as its profile


@dataclasses.dataclass(frozen=True)
class OnALine:
    """A kernel of the distance alone, evaluated at points of one axis."""

    kernel: Callable
    d: int

    def __call__(self, d2, **params):
        # the derivative of sqrt(d2) is finite at 0
        r = jnp.sqrt(d2 + 4 * jnp.finfo(d2.dtype).tiny).reshape(-1)
        candidates = jnp.stack([r, *[jnp.zeros_like(r)] * (self.d - 1)], -1)
        origin = jnp.zeros(self.d, d2.dtype)
        return self.kernel(origin, candidates, **params).reshape(d2.shape)


def profile_of(q: Points) -> Callable:
    """The kernel as a function of the squared distance.

    Evaluated in one dimension where it can be: sums over an axis of 1 cost nothing.
    """
    if q.kernel.profile is not None:
        return q.kernel.profile
    lines = [OnALine(q.kernel, d) for d in (1, q.anchors.shape[1])]
    radial = [line for line in lines if _is_radial(q, line)]
    check.require(radial, "q", "a kernel of more than the distance", "one of |a - b|")
    return radial[0]


def _is_radial(q, profile) -> bool:
    """Whether the kernel is this function of the distance, at some random points."""
    rng, d = np.random.default_rng(0), q.anchors.shape[1]
    a, b = rng.normal(size=(2, 8, d)).astype(q.anchors.dtype)
    try:
        with jax.ensure_compile_time_eval():
            params = _concrete(q.params)
            deviation, spread = _deviation(q.kernel, profile, params, a, b)
            return bool(deviation <= 1e-3 * spread)
    except (TypeError, ValueError, IndexError):
        return False  # it wants points of as many dimensions as there are


def _concrete(params):
    """The parameters, with ones in place of what is traced."""
    one = lambda x: x if check.concrete(x) else np.ones(jnp.shape(x), x.dtype)
    return jax.tree.map(one, params)


@ft.partial(jax.jit, static_argnames=("kernel", "profile"))
def _deviation(kernel, profile, params, a, b):
    """How far a kernel is from a function of the distance, and how much it varies."""
    score = jax.vmap(lambda x: kernel(x, b, **params))(a)
    radial = profile(jnp.sum((a[:, None] - b[None]) ** 2, -1), **params)
    deviation = jnp.where(score == radial, 0, jnp.abs(score - radial))  # -inf is equal
    listed = score > -jnp.inf
    top = jnp.max(score, where=listed, initial=-jnp.inf)
    return jnp.max(deviation), top - jnp.min(score, where=listed, initial=jnp.inf)


@ft.partial(jax.jit, static_argnames=("profile", "dtype"))
def width(profile: Callable, params, dtype):
    """The w of a kernel that is 1 - d²/w² near its top; nan where it has a cusp."""
    derivative = lambda d2: pairs.derivative(lambda d2: profile(d2, **params), d2)
    top = derivative(jnp.zeros((), dtype))
    w = lax.rsqrt(jnp.where(top < 0, -top, jnp.nan))
    beside = derivative((0.01 * w) ** 2)
    return jnp.where(jnp.abs(top - beside) < 0.1 * jnp.abs(top), w, jnp.nan)


# ------------------------------------------------------- two ways to sum


class Spectra(NamedTuple):
    """The transforms of a kernel, its width, and the parameters that they hold for."""

    of_size: dict[int, Any]
    width: Any
    params: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class ByPairs:
    """Every pair by itself: exact."""

    profile: Callable
    shortcut: Shortcut | None = None  # to it, which held for the first parameters
    heavy: bool = False  # a kernel that no distance takes below the least float

    def spectra(self, q) -> Spectra | None:
        """What can be worked out before the points are."""
        return None

    def field(self, cloud: "Cloud", charge):
        """Σ_j c_j k(x_i - y_j) and its gradient in x_i, of a kernel whose top is 1."""
        of = lambda k: pairs.field(k, cloud.x, cloud.y, charge, cloud.count)
        in_full = ft.partial(of, self.kernel(cloud.params))
        if self.shortcut is None:
            return in_full()
        holds, mass = self.shortcut
        shorter = ft.partial(of, ft.partial(mass, **cloud.params))
        return lax.cond(holds(**cloud.params), shorter, in_full)

    def kernel(self, params):
        """The kernel itself, divided by its top."""
        score = ft.partial(self.profile, **params)
        return lambda d2: jnp.exp(score(d2) - self.top(params, d2.dtype))

    def top(self, params, dtype):
        """What is subtracted from every score."""
        return jnp.zeros((), dtype)

    @property
    def reach(self) -> float:
        """How many widths of the kernel all points may span."""
        return np.inf

    def floor(self, most):
        """Sums below it have lost their digits, where the largest is this."""
        return 1e3 * jnp.finfo(most.dtype).tiny


@dataclasses.dataclass(frozen=True)
class OnGrid(ByPairs):
    """On a grid whose spacing is in units of the kernel's width."""

    sizes: tuple[int, ...] = ()  # nodes along one axis, of the grids to choose from
    spacing: float = SPACING
    order: int = ORDER

    def spectra(self, q) -> Spectra | None:
        """The spectra of the kernel, once for each value of its parameters."""
        if not check.concrete(q.params) or any(map(np.ndim, q.params.values())):
            return None
        params = tuple((k, np.asarray(v).item()) for k, v in q.params.items())
        d, dtype = q.anchors.shape[1], np.dtype(q.anchors.dtype).name
        return Spectra(*_spectra(self, params, d, dtype), q.params)

    def top(self, params, dtype):
        return self.profile(jnp.zeros((), dtype), **params)

    @property
    def reach(self) -> float:
        return (max(self.sizes) - self.order - 2) * self.spacing

    def mesh(self, params, spectra: Spectra | None, dtype) -> grid.Mesh:
        if spectra is None:
            w = lax.stop_gradient(width(self.profile, params, np.dtype(dtype)))
            return grid.Mesh(self.kernel(params), self.spacing * w, self.order)
        spacing = self.spacing * spectra.width
        mesh = grid.Mesh(self.kernel(params), spacing, self.order)
        # changed since: no sum of the grid is used, and every pair is summed exactly
        same = [jnp.all(params[name] == x) for name, x in spectra.params.items()]
        valid = ft.reduce(jnp.logical_and, same, jnp.ones((), bool))
        return mesh._replace(spectra=spectra.of_size, valid=valid)

    def field(self, cloud: "Cloud", charge):
        x, y, params, spectra, _ = cloud
        mesh = self.mesh(params, spectra, x.dtype)
        center = grid.midpoint(*((x,) if y is None else (x, y)))
        targets = grid.position(x, center, mesh)
        if y is None:
            return grid.field(mesh, self.sizes, targets, charge)
        sources = grid.position(y, center, mesh)
        return grid.field(mesh, self.sizes, sources, charge, targets)

    def floor(self, most):
        """What the transform resolves, and the splines of a kernel whose top is 1."""
        return jnp.maximum(64 * jnp.finfo(most.dtype).eps * most, 1e-4)


@ft.lru_cache(16)
def _spectra(engine: OnGrid, params, d: int, dtype: str):
    """The spectra of every size, and the width of the kernel."""
    with jax.ensure_compile_time_eval():
        params = {name: np.asarray(value, dtype) for name, value in params}
        w = np.asarray(width(engine.profile, params, np.dtype(dtype)))
        kernel = ft.partial(_sampled, engine, params)
        mesh = grid.Mesh(kernel, engine.spacing * w, engine.order)
        return grid.spectra(mesh, engine.sizes, d, dtype), on_device(w)


@ft.partial(jax.jit, static_argnums=0)
def _sampled(engine: OnGrid, params, d2):
    """The kernel at squared distances, as one program."""
    return engine.kernel(params)(d2)


# ------------------------------------------------------- log-masses, and their gradient


class Cloud(NamedTuple):
    """Points under a kernel of the distance, and what was worked out of the kernel."""

    x: Any  # [n, d], the anchors
    y: Any  # [m, d], the candidates; None: x, without j = i
    params: Any
    spectra: Spectra | None
    count: Any = None  # of the sources; the others fill them up. None: all count

    @property
    def sources(self):
        return self.x if self.y is None else self.y

    @property
    def present(self):
        """Which sources count; None: all."""
        ids = jnp.arange(len(self.sources), dtype=jnp.int32)
        return None if self.count is None else ids < self.count

    @property
    def charge(self):
        """1 for every source that counts."""
        present, one = self.present, jnp.ones(len(self.sources), self.sources.dtype)
        return one if present is None else present.astype(one.dtype)

    def exchanged(self) -> "Cloud":
        """Of two sets, the anchors as sources."""
        if self.y is None:
            return self
        return self._replace(x=self.y, y=self.x, count=None)


@ft.partial(jax.jit, static_argnums=0)
def _field(engine: ByPairs, cloud: Cloud, charge):
    """Σ_j c_j k(x_i - y_j) and its gradient in x_i, of a kernel whose top is 1.

    Its own function of JAX, so that it is traced once for a value and for a gradient.
    """
    return engine.field(cloud, charge)


def _values(tree):
    return jax.tree.map(lambda leaf: leaf.value, tree)


def _if_learned(cloud: Cloud) -> Cloud | None:
    """The points, if their kernel has a parameter that a gradient is asked for."""
    learned = any(leaf.perturbed for leaf in jax.tree.leaves(cloud.params))
    return _values(cloud) if learned else None


def _by_params(answer: Callable, engine, cloud: Cloud | None, g):
    """Few numbers, many anchors: forward mode, through the kernel's spectrum."""
    if cloud is None:
        return None

    engine = dataclasses.replace(engine, shortcut=None)  # it does not read them all

    def weighted(params):
        M = answer(engine, cloud._replace(params=params, spectra=None))[0]
        return jnp.sum(g * finite(M))

    return jax.jacfwd(weighted)(cloud.params)


def _masses(engine, cloud: Cloud):
    """M_i of every anchor; the sums and their gradients, and which are too faint."""
    x, y, params, *_ = cloud
    mass, gradient = _field(engine, cloud, cloud.charge)
    # of two sets no mass is above this, and an anchor does not depend on the others
    most = jnp.max(mass) if y is None else jnp.sum(cloud.charge)
    faint = ~((mass > engine.floor(most)) & (mass < jnp.inf))
    M = jnp.log(jnp.where(faint, 1, mass)) + engine.top(params, x.dtype)
    profile = ft.partial(engine.profile, **params)
    M = pairs.log_masses(profile, x, y, faint, M, cloud.present)
    return M, mass, gradient, faint


# With Z_i = Σ_j k(x_i - y_j), a kernel that is even, and a cotangent g:
#     ∂/∂x_i Σ_l g_l log Z_l = g_i / Z_i Σ_j ∇k(x_i - y_j)      a field of charges 1
#     ∂/∂y_j Σ_l g_l log Z_l = Σ_i g_i / Z_i ∇k(y_j - x_i)      of charges g_i / Z_i
# The first is kept from the forward pass. Within one set a point has both.


@custom_gradient
def log_masses(engine: ByPairs, cloud: Cloud):
    """M_i = log Σ_j exp s_ij of every anchor."""
    return _masses(engine, cloud)[0]


def _log_masses_fwd(engine, primals):
    cloud = _values(primals)
    M, *sums = _masses(engine, cloud)
    return M, (cloud, *sums, _if_learned(primals))


def _log_masses_bwd(engine, saved, g):
    cloud, mass, gradient, faint, learned = saved
    g = instantiated(g)
    g = g * cloud.charge if cloud.y is None else g
    charge = jnp.where(faint, 0, g / jnp.where(faint, 1, mass))
    profile = ft.partial(engine.profile, **cloud.params)
    x, y = cloud.x, cloud.y
    by_x, by_y = pairs.gradients(profile, x, y, faint, g, cloud.present)
    by_x = by_x + charge[:, None] * gradient
    by_y = by_y + _field(engine, cloud.exchanged(), charge)[1]
    by_y = by_y * cloud.charge[:, None]
    if cloud.y is None:
        by_x, by_y = by_x + by_y, None
    by_params = _by_params(_masses, engine, learned, g)
    return (Cloud(by_x, by_y, by_params, None),)


log_masses.defvjp(_log_masses_fwd, _log_masses_bwd, symbolic_zeros=True)


def _joint(engine, cloud: Cloud):
    """The logarithm of the sum over all pairs, and its gradient in x and in y."""
    x, y, params, *_ = cloud
    mass, gradient = _field(engine, cloud, cloud.charge)
    if y is None:  # what fills up has no mass of its own
        mass, gradient = mass * cloud.charge, gradient * cloud.charge[:, None]
    total = jnp.sum(mass)
    some = jnp.where(total > 0, total, 1)

    def of_the_field():
        M = jnp.log(some) + engine.top(params, x.dtype)
        if y is None:
            return M, 2 * gradient / some, None
        back = _field(engine, cloud.exchanged(), jnp.ones(len(x), x.dtype))[1]
        return M, gradient / some, back * cloud.charge[:, None] / some

    def by_pairs():
        return _joint(ByPairs(engine.profile, heavy=True), cloud)

    def in_logarithms():
        profile = ft.partial(engine.profile, **params)
        M, by_x, by_y = pairs.joint(profile, x, y, cloud.present)
        return (M, by_x + by_y, None) if y is None else (M, by_x, by_y)

    resolved = (total > len(x) * engine.floor(jnp.max(mass))) & (total < jnp.inf)
    if not engine.heavy:
        return lax.cond(resolved, of_the_field, in_logarithms)
    if isinstance(engine, OnGrid):
        return lax.cond(resolved, of_the_field, by_pairs)
    return of_the_field()


# With Z = Σ_ij k(x_i - y_j):
#     ∂/∂x_i log Z = Σ_j ∇k(x_i - y_j) / Z      ∂/∂y_j log Z = Σ_i ∇k(y_j - x_i) / Z
# Within one set both are the same field, which counts twice.


@custom_gradient
def joint_log_mass(engine: ByPairs, cloud: Cloud):
    """log Σ_ij exp s_ij, one number."""
    return _joint(engine, cloud)[0]


def _joint_fwd(engine, primals):
    M, by_x, by_y = _joint(engine, _values(primals))
    return M, (by_x, by_y, _if_learned(primals))


def _joint_bwd(engine, saved, g):
    by_x, by_y, learned = saved
    g = instantiated(g)
    by_params = _by_params(_joint, engine, learned, g)
    return (Cloud(g * by_x, None if by_y is None else g * by_y, by_params, None),)


joint_log_mass.defvjp(_joint_fwd, _joint_bwd, symbolic_zeros=True)


# ------------------------------------------------------- the neighbourhood


@pytree
@of_base(
    "shape sets excludes_self symmetric is_self support score log_mass read "
    "mass reduced reweighed"
)
class Interpolated(Neighborhood):
    """Points under a radial kernel that answer for all anchors at once."""

    base: Points
    spectra: Spectra | None
    engine: ByPairs = static()
    count: Any = None  # of the candidates; the others fill them up. None: all count

    wants_edges = True

    def moved(self, anchors, count=None) -> "Interpolated":
        """The same kernel around other points, the first `count` of whom count.

        Of two sets the candidates stay, and the first of them count: an anchor that is
        asked by itself gives the others no weight.
        """
        base = dataclasses.replace(self.base, anchors=widen(anchors))
        if count is not None:
            present = candidate_ids(base.shape[1], EVERYBODY) < count
            base = dataclasses.replace(base, weight=present.astype(base.anchors.dtype))
        return dataclasses.replace(self, base=base, count=count)

    @property
    def T(self):
        return dataclasses.replace(self, base=self.base.T)

    def along(self, edges):
        """Σ_e w_e s_e along the edges of one set; None for two."""
        q = self.base
        if not q.excludes_self:
            return None
        edges = edges._replace(weight=edges.weight.astype(q.anchors.dtype))
        return attraction(self.engine.profile, q.anchors, q.params, edges)

    def log_masses(self):
        return log_masses(self.engine, self._cloud)

    def joint_log_mass(self):
        return joint_log_mass(self.engine, self._cloud)

    @property
    def _cloud(self) -> Cloud:
        q = self.base
        if self.count is None:
            return Cloud(q.anchors, q.candidates, q.params, self.spectra)
        cloud = Cloud(q.anchors, q.candidates, q.params, self.spectra, self.count)
        present: Any = cloud.present  # what fills up lies on the first, within the grid
        sources = jnp.where(present[:, None], cloud.sources, cloud.sources[:1])
        one = cloud.y is None
        return cloud._replace(x=sources) if one else cloud._replace(y=sources)

    def without_logarithms(self) -> "Interpolated":
        """The same for whoever leaves its parameters as they are: less to compile.

        No sum of a kernel that falls as 1 / d² vanishes: none is made in logarithms.
        """
        if _shortcut(self.base) is None:
            return self
        engine = dataclasses.replace(self.engine, heavy=True)
        return dataclasses.replace(self, engine=engine)

    def width(self) -> float:
        """The width of the kernel, in the units of the points."""
        q = self.base
        return float(width(self.engine.profile, q.params, np.dtype(q.anchors.dtype)))

    def room(self) -> float:
        """How far all points may span; beyond, every pair is summed, slowly."""
        return self.engine.reach * self.width()


def interpolated(
    q: Points,
    *,
    spacing: float | None = None,
    order: int = ORDER,
    reach: float | None = None,
):
    r"""The same points, answering for all anchors at once, at the speed of an FFT.

    $$Z_i = \sum_j k(\|x_i - y_j\|^2), \quad
      \nabla_{x_i} \sum_l g_l \log Z_l =
      \sum_j \Big(\frac{g_i}{Z_i} + \frac{g_j}{Z_j}\Big) \nabla k(x_i - x_j)$$

    Any smooth kernel of the distance, yours too, in one to three dimensions: charges
    are spread to a grid with B-splines, transformed, multiplied by the kernel's
    spectrum, and gathered back; forces are the derivative of the same splines. Up to
    1,024 points (in space 4,096; of Student's t with one degree of freedom twice as
    many), and above three dimensions, every pair is summed exactly instead; so it is
    for a kernel with a cusp, with a warning, where the points span more than the grid,
    and after a parameter of the result was replaced.

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
        q: points under a kernel of the distance alone: student_t, gaussian, or
            points(kernel, …). Its parameters may be learned.
        spacing: of the grid, in widths of the kernel; a number forces the grid.
            None: 0.45.
        order: of the B-splines, from 3 to 8.
        reach: how many widths the points are expected to span, so that larger grids
            need not be compiled; None: as many as the largest of all, about 500 in the
            plane.

    Raises:
        InvalidInput: a kernel of more than the distance, numbers per anchor or per
            candidate, a forced grid for a kernel with a cusp or above three dimensions.

    Example:
        >>> import icon, jax
        >>> q = icon.student_t(jax.random.normal(jax.random.key(0), (500, 2)))
        >>> mass = jax.jit(lambda q: q.joint_log_mass())
        >>> fast = mass(icon.interpolated(q, spacing=0.45))
        >>> bool(abs(fast - mass(icon.interpolated(q))) < 1e-3)
        True

    Source: Linderman et al., Fast interpolation-based t-SNE, 2019; Essmann et al., A
    smooth particle mesh Ewald method, 1995.
    """
    _refuse_all_but_plain(q)
    wider = lambda x: None if x is None else widen(x)
    sets = dict(anchors=wider(q.anchors), candidates=wider(q.candidates))
    q = dataclasses.replace(q, **sets)
    profile, d = profile_of(q), q.anchors.shape[1]
    shortcut = _shortcut(q)
    few = FEW.get(d, np.inf) * (1 if shortcut is None else 2)
    if spacing is None and q.shape[0] * q.shape[1] <= few**2:
        return Interpolated(q, None, ByPairs(profile, shortcut))
    check.require(d <= 3, "spacing", spacing, f"None: {d} dimensions have no grid")
    if not _is_smooth(q, profile):
        smooth = "a kernel that is smooth at 0 and falls from there"
        check.require(spacing is None, "q", "a kernel with a cusp", smooth)
        why = "a kernel with a cusp is beyond a grid: every pair is summed exactly"
        warnings.warn(why, stacklevel=2)
        return Interpolated(q, None, ByPairs(profile))
    spacing = SPACING if spacing is None else spacing
    spacing = check.scalar("spacing", spacing, 0, above=True)
    check.require(spacing <= 1, "spacing", spacing, "a number above 0, up to 1")
    order = check.count("order", order, 3, 8)
    sizes = _rungs(d, spacing, order, reach)
    engine = OnGrid(profile, None, False, sizes, spacing, order)
    return Interpolated(q, engine.spectra(q), engine)


def _rungs(d: int, spacing: float, order: int, reach) -> tuple[int, ...]:
    """The sizes of grids up to the first with room for what is expected."""
    if reach is None:
        return grid.rungs(d, np.inf)
    reach = check.scalar("reach", reach, 0, above=True)
    return grid.rungs(d, reach / spacing + order + 2)


def _refuse_all_but_plain(q) -> None:
    """Refuse what a field of equal charges cannot say."""
    points = isinstance(q, Points) and q.anchor_id is None
    got = f"a {type(q).__name__}"
    check.require(points, "q", got, "points under a kernel, as they are")
    matrix = isinstance(q.anchors, jax.Array) and q.anchors.ndim == 2
    check.require(matrix, "q", "anchors that are no matrix", "points [n, d]")
    bare = q.is_bare and not q.is_limit
    got = "numbers per anchor or per candidate, or a limit"
    check.require(bare, "q", got, "one kernel for all pairs, summed")


def _shortcut(q) -> Shortcut | None:
    """That of the kernel, if its parameters are known to allow it."""
    shortcut = q.kernel.shortcut
    if shortcut is None or not check.concrete(q.params):
        return None
    known = {name: np.asarray(value) for name, value in q.params.items()}
    return shortcut if np.all(shortcut.holds(**known)) else None


def _is_smooth(q, profile) -> bool:
    with jax.ensure_compile_time_eval():
        w = width(profile, _concrete(q.params), np.dtype(q.anchors.dtype))
        return bool(np.asarray(w) > 0)
