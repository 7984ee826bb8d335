"""How near is every candidate to one anchor? One anchor, all candidates -> scores."""

import dataclasses
from collections.abc import Callable
from typing import Any

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
    matches: Callable | None = None  # (a, b) -> mask, where s is 0 or -inf

    def __call__(self, a, b, /, *args: Any, **params: Any) -> Float[Array, " m"]:
        raise NotImplementedError

    def transposed(self, per_anchor: dict) -> tuple["Kernel", dict]:
        """The kernel with its arguments exchanged, and its parameters per anchor."""
        lost = "numbers per anchor or candidate"
        check.require(not per_anchor, "q.T", lost, "none to lose")
        return (self if self.symmetric else Exchanged(self)), {}


@dataclasses.dataclass(frozen=True)
class Radial(Kernel):
    """A function of the squared distance."""

    profile: Callable
    symmetric = True

    def __call__(self, a, b, /, **params):
        return self.profile(sqdist(a, b), **params)


def _gaussian(d2, scale):
    narrow = 1 / scale  # one division for all; scale² may be no float
    return -(d2 * narrow) * (narrow / 2)


def _student_t(d2, dof, scale):
    narrow = 1 / scale
    return -(dof + 1) / 2 * jnp.log1p(d2 * narrow * narrow * (1 / dof))


def _laplace(d2, scale):
    return -sqrt(d2) / scale


def _umap(d2, a, b):
    """The log-odds of 1 / (1 + a d^2b); bounded where two points coincide."""
    return -jnp.log(a) - b * jnp.log(jnp.maximum(d2, 1e-12))


gaussian = Radial(_gaussian)
student_t = Radial(_student_t)
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
    """s = 0 where two ids are equal, else -inf."""

    symmetric = True

    def matches(self, a: Int[Array, ""], b: Int[Array, " m"]) -> Bool[Array, " m"]:
        return a == b

    def __call__(self, a, b, /):
        zero = jnp.zeros((), jnp.result_type(float))
        return jnp.where(self.matches(a, b), zero, -jnp.inf)


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
    is_smooth = False  # nothing is known of it

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


def as_kernel(kernel: Callable, whole_rows: bool = False) -> Kernel:
    """A user's function as a kernel; a kernel as it is."""
    return kernel if isinstance(kernel, Kernel) else Own(kernel, whole_rows)
