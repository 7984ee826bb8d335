r"""How is a Gaussian mixture fitted? By EM, of which the cell's gradient knows all.

With the posterior r as p and L = KL(p || q), the gradient in the parameters of q has
what the M-step needs. Of component c, with s_c = Σ_i r_ic / n,

    ∂L/∂w_c = 1 - s_c / w_c                     (Σ w = 1)
    ∂L/∂μ_c = -s_c S_c⁻¹ (m_c - μ_c)            m_c the mean under r
    ∂L/∂S_c = s_c (S_c⁻¹ - S_c⁻¹ T_c S_c⁻¹) / 2   T_c the scatter around μ_c under r

so that s, m and T - (m - μ)(m - μ)ᵀ, the covariance around the new mean, are known.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from icon._base.numerics import HIGHEST


FLOOR = 1e-6  # added to every variance, as scikit-learn does


class Mixture(NamedTuple):
    """The parameters of `icon.components`, after the points."""

    mean: Any  # [C, d]
    covariance: Any  # [C], [C, d] or [C, d, d]
    weight: Any  # [C]


# ------------------------------------------------------- what a covariance may be


def full(scatter: Float[np.ndarray, "C d d"]):
    """A matrix of each component."""
    return scatter


def diagonal(scatter: Float[np.ndarray, "C d d"]) -> Float[np.ndarray, "C d"]:
    """A variance of each axis."""
    return np.diagonal(scatter, axis1=1, axis2=2)


def spherical(scatter: Float[np.ndarray, "C d d"]) -> Float[np.ndarray, " C"]:
    """One variance for all axes."""
    return diagonal(scatter).mean(1)


# ------------------------------------------------------- the two steps


def of_labels(
    x: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    count: int,
    shape: Callable = full,
    floor: float = FLOOR,
) -> Mixture:
    """The mixture whose components are clusters: where EM starts.

    Args:
        x: points.
        labels: the cluster of each, from 0.
        count: how many clusters; none is empty.
        shape: of a covariance: `full`, `diagonal` or `spherical`.
        floor: added to every variance.

    Example:
        >>> import numpy as np
        >>> from icon.recipes import mixture
        >>> x = np.array([[0.0], [2.0], [9.0]])
        >>> found = mixture.of_labels(x, np.array([0, 0, 1]), 2, mixture.spherical)
        >>> found.mean.tolist(), found.covariance.round(3).tolist()
        ([[1.0], [9.0]], [1.0, 0.0])
    """
    one = np.eye(count)[labels]
    size = one.sum(0)
    mean = one.T @ x / size[:, None]
    gap = x - mean[labels]
    scatter = np.einsum("nc,nd,ne->cde", one, gap, gap) / size[:, None, None]
    covariance = shape(scatter + floor * np.eye(x.shape[1]))
    return Mixture(*map(jnp.asarray, (mean, covariance, size / len(x))))


def em(floor: float = FLOOR) -> optax.GradientTransformation:
    """EM as an optax transformation: a step is a whole M-step.

    It wants the gradient of kl(p, unnormalized(q)), both `icon.components` of the same
    parameters; that of p vanishes, as p is its own minimiser.

    Args:
        floor: added to every variance.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> from icon.recipes import mixture
        >>> x = jnp.array([[0.0], [1.0], [5.0], [6.0]])
        >>> def loss(found):
        ...     q = icon.components(x, *found)
        ...     return icon.kl(q, icon.unnormalized(q))
        >>> mean = jnp.array([[2.0], [3.0]])
        >>> start = mixture.Mixture(mean, jnp.ones(2), jnp.ones(2) / 2)
        >>> found, history = icon.minimize(loss, start, mixture.em(), 30)
        >>> found.mean.round(2).tolist()
        [[0.5], [5.5]]

    Source: Xu & Jordan, On convergence properties of the EM algorithm for Gaussian
    mixtures, 1996 (a step is a gradient, preconditioned).
    """

    def step(gradient: Any, params: Any) -> Any:
        mean, covariance, _ = params
        share = params.weight * (1 - gradient.weight)
        some = jnp.where(share > 0, share, 1)
        move = -_times(covariance, gradient.mean / some[:, None])
        new = Mixture(
            mean + move,
            _scatter(covariance, gradient.covariance, some, mean.shape[1])
            - _of_move(move, covariance.ndim)
            + floor * _one(covariance),
            share,
        )
        kept = jax.tree.map(lambda x: _rows(share > 0, x.ndim), params)
        change = lambda kept, new, old: jnp.where(kept, new - old, 0)
        return jax.tree.map(change, kept, new, params)

    return optax.stateless(step)


# ------------------------------------------------------- by the rank of a covariance


def _rows(x, rank: int):
    """A number a component, beside arrays of this rank."""
    return x.reshape(-1, *[1] * (rank - 1))


def _one(covariance):
    """The covariance of a standard normal distribution."""
    if covariance.ndim < 3:
        return jnp.ones_like(covariance)
    return jnp.eye(covariance.shape[-1], dtype=covariance.dtype)[None]


def _times(covariance, rows: Float[Array, "C d"]) -> Float[Array, "C d"]:
    if covariance.ndim < 3:
        return rows * covariance.reshape(len(rows), -1)
    return jnp.einsum("cij,cj->ci", covariance, rows, precision=HIGHEST)


def _scatter(covariance, gradient, share, d: int):
    """T = S - 2 S G S / s; of one variance for d axes, their mean."""
    if covariance.ndim == 3:
        back = jnp.einsum(
            "cij,cjk,ckl->cil", covariance, gradient, covariance, precision=HIGHEST
        )
        return covariance - (back + back.swapaxes(1, 2)) / share[:, None, None]
    axes = d if covariance.ndim == 1 else 1
    return covariance - 2 * covariance**2 * gradient / _rows(
        axes * share, covariance.ndim
    )


def _of_move(move, rank: int):
    """What scatter around the old mean has more than around the new one."""
    if rank == 3:
        return move[:, :, None] * move[:, None]
    return move**2 if rank == 2 else jnp.mean(move**2, 1)
