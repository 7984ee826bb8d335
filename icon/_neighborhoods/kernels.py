"""How near is every candidate to one anchor? One anchor, all candidates -> scores."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from icon._base.numerics import matvec, sqdist, sqrt, widen


@dataclasses.dataclass(frozen=True)
class Radial:
    """A kernel that sees only how far: `profile` of the squared distance."""

    profile: Callable

    def __call__(self, a, b, /, **params):
        return self.profile(sqdist(a, b), **params)


def _gaussian(d2, scale):
    narrow = 1 / scale  # one division for all; never scale², which may be no float
    return -(d2 * narrow) * (narrow / 2)


def _student_t(d2, dof, scale):
    narrow = 1 / scale
    return -(dof + 1) / 2 * jnp.log1p(d2 * narrow * narrow * (1 / dof))


def _laplace(d2, scale):
    return -sqrt(d2) / scale


gaussian = Radial(_gaussian)
student_t = Radial(_student_t)
laplace = Radial(_laplace)


def dot(a: Float[Array, " d"], b: Float[Array, "m d"], temperature):
    """s = a·b / temperature, divided where there are fewer numbers to divide."""
    return matvec(b, widen(a) / temperature)


@dataclasses.dataclass(frozen=True)
class Alike:
    """A kernel that sees only whether: s = 0 where it `holds`, else -inf."""

    holds: Callable

    def __call__(self, a, b, /) -> Float[Array, " m"]:
        there = self.holds(a, b)
        return jnp.where(there, jnp.zeros((), jnp.result_type(float)), -jnp.inf)


def _equal(a: Int[Array, ""], b: Int[Array, " m"]) -> Bool[Array, " m"]:
    return a == b


same = Alike(_equal)


def given(a, b: Int[Array, " s"], row: Float[Array, " m"], temperature):
    """s = row[j] / temperature: scores that were given, not computed."""
    return widen(row[b]) / temperature


def _umap(d2, a, b):
    """The log-odds of 1 / (1 + a d^2b); bounded where two points coincide."""
    return -jnp.log(a) - b * jnp.log(jnp.maximum(d2, 1e-12))


umap = Radial(_umap)


@dataclasses.dataclass(frozen=True)
class Turned:
    """A kernel seen from the candidate: s(a, b) of what was compared as s(b, a)."""

    kernel: Callable

    def __call__(self, a, b, /, **params):
        one = lambda b: self.kernel(b, jax.tree.map(lambda x: x[None], a), **params)[0]
        return jax.vmap(one)(b)


def symmetric(kernel: Callable) -> bool:
    """Whether s(a, b) = s(b, a) is known; of a kernel of one's own it is not."""
    return kernel is dot or isinstance(kernel, Radial | Alike)


def turned(kernel: Callable) -> Callable:
    """The kernel with its two arguments exchanged."""
    if symmetric(kernel):
        return kernel
    return kernel.kernel if isinstance(kernel, Turned) else Turned(kernel)
