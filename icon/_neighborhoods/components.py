"""Which neighbours are the components of a mixture?"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from icon._base import checks as check
from icon._base.numerics import HIGHEST, common, safe_log, widen
from icon._neighborhoods.kernels import Kernel
from icon._neighborhoods.points import Points, points


class Components(NamedTuple):
    """Normal distributions; with S = L Lᵀ the whitening is L⁻¹, or its diagonal."""

    mean: Any  # [C, d]
    whitening: Any  # [C], [C, d] or [C, d, d]
    log_weight: Any  # [C]


@dataclasses.dataclass(frozen=True)
class Joint(Kernel):
    """s = log w_c + log N(a; mean_c, S_c)."""

    def __call__(
        self, a: Float[Array, " d"], b: Components, /, *args, **params
    ) -> Float[Array, " C"]:
        mean, a = common(b.mean, widen(a))
        white = _whitened(b.whitening, a[None] - mean)
        likelihood = _log_volume(b) - jnp.sum(white * white, 1) / 2
        return b.log_weight + likelihood - len(a) / 2 * math.log(2 * math.pi)


def _whitened(whitening, gap: Float[Array, "C d"]) -> Float[Array, "C d"]:
    if whitening.ndim == 3:
        return jnp.einsum("cij,cj->ci", whitening, gap, precision=HIGHEST)
    return gap * (whitening[:, None] if whitening.ndim == 1 else whitening)


def _log_volume(b: Components) -> Float[Array, " C"]:
    """log |L⁻¹| of each component."""
    if b.whitening.ndim == 1:
        return b.mean.shape[1] * jnp.log(b.whitening)
    scale = b.whitening
    scale = jnp.diagonal(scale, axis1=1, axis2=2) if scale.ndim == 3 else scale
    return jnp.sum(jnp.log(scale), 1)


def _whitening(covariance):
    """1 / deviation, or the inverse of the Cholesky factor."""
    if covariance.ndim < 3:
        return 1 / jnp.sqrt(covariance)
    factor = jnp.linalg.cholesky(covariance)
    one = jnp.broadcast_to(jnp.eye(factor.shape[-1], dtype=factor.dtype), factor.shape)
    return jax.scipy.linalg.solve_triangular(factor, one, lower=True)


def components(
    anchors: Float[ArrayLike, "n d"],
    mean: Float[ArrayLike, "C d"],
    covariance: Float[ArrayLike, " C"]
    | Float[ArrayLike, "C d"]
    | Float[ArrayLike, "C d d"],
    weight: Float[ArrayLike, " C"] | None = None,
) -> Points:
    """Neighbours that are the components of a Gaussian mixture.

    $$s_{ic} = \\log w_c + \\log N(x_i; \\mu_c, S_c)$$

    As p it is the posterior, who of them made a point; `unnormalized`, it is the joint
    density. kl of the two is minus the mean log-likelihood, and p and q in turn are EM.

    Args:
        anchors: x, floats [n, d].
        mean: μ, floats [C, d].
        covariance: S: a variance of each component [C], of each of its axes [C, d], or
            a matrix [C, d, d], whose symmetric part counts.
        weight: w [C], from 0, relative; None: all alike.

    Raises:
        InvalidInput: shapes that disagree, values that are not finite, variances that
            are not above 0, a matrix that is not positive definite.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> x, mean = jnp.array([[0.0], [1.0], [4.0]]), jnp.array([[0.0], [4.0]])
        >>> posterior = icon.components(x, mean, jnp.ones(2), [3.0, 1.0])
        >>> icon.dense(posterior).round(3).tolist()
        [[1.0, 0.0], [0.994, 0.006], [0.001, 0.999]]
        >>> loss = icon.kl(posterior, icon.unnormalized(posterior))
        >>> round(float(loss), 3)  # minus the mean log-likelihood
        1.737

    Source: Dempster, Laird & Rubin, Maximum likelihood from incomplete data via the EM
    algorithm, 1977.
    """
    x = check.floats("anchors", anchors)
    like, d = jax.eval_shape(widen, x), x.shape[1]
    mean = widen(check.floats("mean", mean)).astype(like.dtype)
    count = mean.shape[0]
    got = f"shape {mean.shape}"
    check.require(
        mean.shape[1] == d, "mean", got, "as many columns as the anchors have"
    )
    shapes = (count,), (count, d), (count, d, d)
    given, covariance = (
        covariance,
        check.numbers("covariance", covariance, like, shapes),
    )
    _require_definite(given, covariance)
    weight = jnp.ones(count) if weight is None else weight
    weight = check.weights("weight", weight, like, count)
    log_weight = safe_log(weight) - jnp.log(jnp.sum(weight))
    made = Components(mean, _whitening(covariance), log_weight)
    return points(Joint(), x, made)


def _require_definite(given, covariance) -> None:
    """Refuse, where they can be looked at, variances of 0 and indefinite matrices."""
    if not check.concrete(given):
        return
    found = np.asarray(covariance, np.float64)
    if found.ndim < 3:
        check.positive("covariance", given, covariance, (covariance.shape,))
        return
    values = np.linalg.eigvalsh((found + found.swapaxes(1, 2)) / 2)
    ratio = values[:, 0] / np.maximum(values[:, -1], np.finfo(float).tiny)
    at, digits = int(np.argmin(ratio)), np.finfo(covariance.dtype).eps
    got = f"an eigenvalue of {values[at, 0]:.3g} in matrix {at}"
    definite = "positive definite matrices, to their last digit"
    check.require(ratio[at] > digits, "covariance", got, definite)
