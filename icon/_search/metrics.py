"""How far is a candidate? The metrics that have a name."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from icon._base import checks as check
from icon._base.numerics import sqrt, unit


class Metric(NamedTuple):
    """A distance, as the length of a difference between prepared rows."""

    prepare: Callable  # (a, b) -> a, b, their unit: the rows that are compared
    length: Callable  # difference [..., d] -> [...]
    restore: Callable  # (length, unit) -> distance, rising with the length
    is_euclidean: bool  # then products of matrices rank the candidates


# ------------------------------------------------------- rows that are compared


def _in_one_unit(a, b):
    """Both below 2, divided by a power of 2, which rounds nothing; and this unit."""
    peak = jnp.maximum(jnp.max(jnp.abs(a)), jnp.max(jnp.abs(b)))
    digits = jnp.frexp(jnp.where(peak > 0, peak, 1))[1] - 1
    one = jnp.ones((), a.dtype)
    return jnp.ldexp(a, -digits), jnp.ldexp(b, -digits), jnp.ldexp(one, digits)


def _as_units(a, b):
    return unit(a), unit(b), 1


def _as_centered_units(a, b):
    return *(unit(x - jnp.mean(x, 1, keepdims=True)) for x in (a, b)), 1


# ------------------------------------------------------- lengths and distances


def euclidean_length(difference: Float[Array, "*n d"]) -> Float[Array, "*n"]:
    """The root of the sum of squares, also where the squares are no floats."""
    peak = lax.stop_gradient(jnp.max(jnp.abs(difference), -1, keepdims=True))
    part = difference / jnp.where(peak > 0, peak, 1)
    return peak[..., 0] * sqrt(jnp.sum(part * part, -1))


def _manhattan_length(difference):
    return jnp.sum(jnp.abs(difference), -1)


def _in_unit(length, size):
    return length * size


def _one_minus_cos(length, _):
    """1 - cos of unit vectors, as half their squared distance: exact where it is 0."""
    return length * length / 2


METRICS = {
    "euclidean": Metric(_in_one_unit, euclidean_length, _in_unit, True),
    "cosine": Metric(_as_units, euclidean_length, _one_minus_cos, True),
    "correlation": Metric(_as_centered_units, euclidean_length, _one_minus_cos, True),
    "manhattan": Metric(_in_one_unit, _manhattan_length, _in_unit, False),
}


def named(metric: str, alternative: str) -> Metric:
    """The metric of this name; where there is none, the error has the alternative."""
    return METRICS[check.one_of("metric", metric, METRICS, f", or {alternative}")]
