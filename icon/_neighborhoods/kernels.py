"""How near is every candidate to one anchor? One anchor, all candidates -> scores."""

import dataclasses
import functools as ft
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from icon._base import checks as check
from icon._base.numerics import matvec, sqdist, sqrt, widen


class Kernel:
    """A function of one anchor and all candidates, and what is known of it.

    Instances are hashed by value: what is compiled for one serves an equal one.
    """

    symmetric: bool = False  # s(a, b) = s(b, a)
    spreads: bool = True  # any candidate can be scored wherever its point is
    whole_rows: bool = False  # the score of a candidate depends on the others
    is_smooth: bool = True  # it has a gradient where a = b, too
    profile: Callable | None = None  # of the squared distance, where that is all
    shortcut: "Shortcut | None" = None  # to e^s, for some parameters
    matches: Callable | None = None  # (a, b, **params) -> mask, where s is 0 or -inf
    present: Callable | None = (
        None  # (a, **params) -> mask, where a matches itself alone
    )

    def __call__(self, a, b, /, *args: Any, **params: Any) -> Float[Array, " m"]:
        raise NotImplementedError

    def transposed(self, per_anchor: dict) -> tuple["Kernel", dict]:
        """The kernel with its arguments exchanged, and its parameters per anchor."""
        lost = "numbers per anchor or candidate"
        check.require(not per_anchor, "q.T", lost, "none to lose")
        return (self if self.symmetric else Exchanged(self)), {}


class Shortcut(NamedTuple):
    """e^s without a logarithm, a quarter of the time, where the parameters allow it."""

    holds: Callable  # (**params) -> whether they do
    mass: Callable  # (squared distance, **params)


@dataclasses.dataclass(frozen=True)
class Radial(Kernel):
    """A function of the squared distance."""

    profile: Callable
    shortcut: Shortcut | None = None
    symmetric = True

    def __call__(self, a, b, /, **params):
        return self.profile(sqdist(a, b), **params)


def _gaussian(d2, scale):
    narrow = 1 / scale  # one division for all; scale² may be no float
    return -(d2 * narrow) * (narrow / 2)


def _student_t(d2, dof, scale):
    narrow = 1 / scale
    return -(dof + 1) / 2 * jnp.log1p(d2 * narrow * narrow * (1 / dof))


def _cauchy(d2, dof, scale):
    narrow = 1 / scale
    return 1 / (1 + d2 * narrow * narrow)


def _laplace(d2, scale):
    return -sqrt(d2) / scale


def _umap(d2, a, b):
    """The log-odds of 1 / (1 + a d^2b); bounded where two points coincide."""
    return -jnp.log(a) - b * jnp.log(jnp.maximum(d2, 1e-12))


gaussian = Radial(_gaussian)
student_t = Radial(_student_t, Shortcut(lambda dof, scale: dof == 1, _cauchy))
laplace = Radial(_laplace)
umap = Radial(_umap)


@dataclasses.dataclass(frozen=True)
class Dot(Kernel):
    """s = a·b / temperature, divided on the side that has fewer numbers."""

    symmetric = True

    def __call__(self, a: Float[Array, " d"], b: Float[Array, "m d"], /, temperature):
        return matvec(b, widen(a) / temperature)


dot = Dot()


@dataclasses.dataclass(frozen=True)
class Same(Kernel):
    """s = 0 where two ids are equal and are not the ignored one, else -inf."""

    symmetric = True

    def present(self, a: Int[Array, " n"], /, ignore=None) -> Bool[Array, " n"]:
        return jnp.full(a.shape, True) if ignore is None else a != ignore

    def matches(
        self, a: Int[Array, ""], b: Int[Array, " m"], /, ignore=None
    ) -> Bool[Array, " m"]:
        return a == b if ignore is None else (a == b) & self.present(a, ignore)

    def __call__(self, a, b, /, **params):
        zero = jnp.zeros((), jnp.result_type(float))
        return jnp.where(self.matches(a, b, **params), zero, -jnp.inf)


same = Same()


@dataclasses.dataclass(frozen=True)
class Given(Kernel):
    """s = row[j] / temperature: scores that are given, a row [m] per anchor."""

    spreads = False

    def __call__(self, a, b: Int[Array, " s"], /, row: Float[Array, " m"], temperature):
        score = widen(row[b])
        absent = score == -jnp.inf  # -inf / T has the gradient nan in T
        return jnp.where(absent, -jnp.inf, jnp.where(absent, 0, score) / temperature)

    def transposed(self, per_anchor):
        return self, dict(row=per_anchor["row"].T)


given = Given()


@dataclasses.dataclass(frozen=True)
class Own(Kernel):
    """A function of the user's: one anchor, all candidates, **params -> scores."""

    function: Callable
    whole_rows: bool = False
    is_smooth: bool = True

    def __call__(self, a, b, /, **params):
        return self.function(a, b, **params)

    def transposed(self, per_anchor):
        row = "a kernel that sees whole rows"
        check.require(not self.whole_rows, "q.T", row, "one of a pair of points")
        return super().transposed(per_anchor)


@dataclasses.dataclass(frozen=True)
class Exchanged(Kernel):
    """A kernel with its arguments exchanged: s(a, b) is the base's s(b, a)."""

    base: Kernel

    @property
    def is_smooth(self):
        return self.base.is_smooth

    def __call__(self, a, b, /, **params):
        one_row: Any = jax.tree.map(lambda x: x[None], a)
        return jax.vmap(lambda b: self.base(b, one_row, **params)[0])(b)

    def transposed(self, per_anchor):
        check.require(not per_anchor, "q.T", "numbers per anchor", "none to lose")
        return self.base, {}


def is_smooth(kernel: Kernel, anchors, params) -> bool:
    """Whether a kernel has a gradient where a = b, tried at a point of norm 1."""

    def point(x):
        along = jnp.linspace(1, 2, max(1, math.prod(x.shape[1:])))
        along = along / jnp.linalg.norm(along)
        return along.reshape(x.shape[1:]).astype(x.dtype)

    ones = lambda x: x if check.concrete(x) else jnp.ones(x.shape, x.dtype)
    try:
        with jax.ensure_compile_time_eval():
            at, known = jax.tree.map(point, anchors), jax.tree.map(ones, params)
            return bool(_is_finite_at(kernel, at, known))
    except (TypeError, ValueError):  # it wants as many candidates as there are
        return True


@ft.partial(jax.jit, static_argnames=("kernel",))
def _is_finite_at(kernel, point, params):
    def score(a, b, params):
        return kernel(a, jax.tree.map(lambda x: x[None], b), **params)[0]

    gradients = jax.grad(score, (0, 1, 2), allow_int=True)(point, point, params)
    leaves = [x for x in jax.tree.leaves(gradients) if x.dtype != jax.dtypes.float0]
    return jnp.stack([jnp.all(jnp.isfinite(x)) for x in leaves]).all()
