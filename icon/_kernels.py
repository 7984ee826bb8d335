"""How near is every candidate to one anchor? One anchor, all candidates -> scores."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from icon._numerics import matvec, sqdist, sqrt, widen


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
    """s = a·b / temperature."""
    return matvec(b, a) / temperature


def same(a: Int[Array, ""], b: Int[Array, " m"]) -> Float[Array, " m"]:
    """s = 0 where the ids are equal, else -inf."""
    return jnp.where(a == b, jnp.zeros((), jnp.result_type(float)), -jnp.inf)


def given(a, b: Int[Array, " s"], row: Float[Array, " m"], temperature):
    """s = row[j] / temperature: scores that were given, not computed."""
    return widen(row[b]) / temperature


def _umap(d2, a, b):
    """The log-odds of 1 / (1 + a d^2b); bounded where two points coincide."""
    return -jnp.log(a) - b * jnp.log(jnp.maximum(d2, 1e-12))


umap = Radial(_umap)
