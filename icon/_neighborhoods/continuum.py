"""Which neighbours lie in a continuum? Points, Gaussian clouds, evaluated densities."""

import dataclasses
import functools as ft
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.scipy.linalg import solve_triangular
from jax.typing import ArrayLike
from jaxtyping import Float

from icon._base import checks as check
from icon._base.numerics import HIGHEST, common, widen
from icon._base.pytrees import pytree, static, take
from icon._neighborhoods.protocol import Neighborhood, of_base


LOG_2PI = math.log(2 * math.pi)


class Moments(NamedTuple):
    """Clouds of neighbours, each as one: where it is, and its deviation or factor."""

    mean: Any  # [s, d]
    std: Any  # [s, d] or [s, d, d]


# E_{z ~ N(m, F Fᵀ)} log N(z; μ, L Lᵀ)
#     = -(|L⁻¹ (m - μ)|² + |L⁻¹ F|²) / 2 - log det L - d/2 log 2π
# F = 0 is a point; deviations are factors that are diagonal.


@pytree
class Normal(Neighborhood):
    """A Gaussian cloud of neighbours around every anchor."""

    mean: Any  # [n, d]
    std: Any  # one number, [n, d], or Cholesky factors [n, d, d]
    key: Any
    samples: int = static()
    first: Any = None  # the first anchor's id, in a batch spread over devices

    @property
    def shape(self):
        return self.mean.shape[0], None

    def gathered(self, gather, first) -> "Normal":
        return dataclasses.replace(self, first=first)

    def against(self, q) -> Neighborhood:
        """By its moments, where the scores of q are quadratic."""
        return Whole(self) if isinstance(q, Normal) else self

    def moments(self, i) -> Moments:
        mean = widen(self.mean[i])
        std = widen(self.std if self.std.ndim == 0 else self.std[i])
        mean, std = common(mean, jnp.broadcast_to(std, std.shape or mean.shape))
        return Moments(mean[None], std[None])

    def support(self, i):
        expected = "a JAX key: against this q the cloud is sampled"
        check.require(self.key is not None, "key", None, expected)
        (mean,), (std,) = self.moments(i)
        anchor = i if self.first is None else i + self.first
        shape = (self.samples, len(mean))
        noise = jr.normal(jr.fold_in(self.key, anchor), shape, mean.dtype)
        weight = jnp.full(self.samples, 1 / self.samples, mean.dtype)
        return mean[None] + _scaled(noise, std), weight

    def score(self, i, at):
        at = at if isinstance(at, Moments) else Moments(at, None)
        (mean,), (std,) = self.moments(i)
        gap = jnp.subtract(*common(at.mean, mean[None]))
        std = std.astype(gap.dtype)
        squares = jnp.sum(_standardized(gap, std) ** 2, -1)
        if at.std is not None:
            squares = squares + _spread(at.std, std)
        log_det = jnp.sum(jnp.log(std if std.ndim == 1 else jnp.diagonal(std)))
        return -squares / 2 - log_det - len(mean) / 2 * LOG_2PI

    def log_mass(self, i):
        return jnp.zeros((), widen(self.mean).dtype)


def _scaled(x, std):
    """L x of rows x [s, d], by a deviation [d] or a lower factor [d, d]."""
    if std.ndim == 1:
        return x * std[None]
    return jnp.matmul(x, std.T, precision=HIGHEST)


def _standardized(x, std):
    """L⁻¹ x of rows x [s, d], by a deviation [d] or a lower factor [d, d]."""
    x, std = common(x, std)
    if std.ndim == 1:  # by the logarithm: the derivative of 1 / std has std² in it
        return x * jnp.exp(-jnp.log(std))[None]
    return solve_triangular(std, x.T, lower=True).T


def _spread(inner, std):
    """|L⁻¹ F|² of each F: deviations [s, d] or factors [s, d, d]."""
    if inner.ndim == 2 and std.ndim == 1:
        return jnp.sum(_standardized(inner, std) ** 2, -1)
    inner = inner if inner.ndim == 3 else jax.vmap(jnp.diag)(inner)
    std = jnp.diag(std) if std.ndim == 1 else std
    columns = jax.vmap(lambda f: _standardized(f.T, std))(inner)
    return jnp.sum(columns**2, (-2, -1))


@pytree
@of_base("shape score log_mass")
class Whole(Neighborhood):
    """A Gaussian cloud as one neighbour, known by its moments: nothing is sampled."""

    base: Any

    def support(self, i):
        at = self.base.moments(i)
        return at, jnp.ones(1, at.mean.dtype)


@pytree
class Dirac(Neighborhood):
    """The only neighbour of every anchor is a point, certainly there."""

    points: Any  # [n, d]

    @property
    def shape(self):
        return self.points.shape[0], None

    def gathered(self, gather, first) -> "Dirac":
        return self

    def support(self, i):
        point = widen(self.points[i])
        return point[None], jnp.ones(1, point.dtype)

    def score(self, i, at):
        at, point = common(at, widen(self.points[i][None]))
        return jnp.where(jnp.all(at == point, -1), 0.0, -jnp.inf).astype(at.dtype)

    def log_mass(self, i):
        return jnp.zeros((), widen(self.points).dtype)


@pytree
class Density(Neighborhood):
    """Neighbours scored by log q(anchor, z); its mass is left as it is."""

    params: Any
    anchors: Any
    log_density: Callable = static()

    @property
    def shape(self):
        return jax.tree.leaves(self.anchors)[0].shape[0], None

    def gathered(self, gather, first) -> "Density":
        return self

    def support(self, i):
        raise check.InvalidInput(
            "p", "a density", "p that can be sampled; swap p and q"
        )

    def score(self, i, at):
        anchor = take(self.anchors, i)
        score = jax.vmap(ft.partial(self.log_density, self.params, anchor))(at)
        each = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), score)
        check.gives("log_density", each, ())
        return score

    def log_mass(self, i):
        return jnp.zeros((), jnp.result_type(float))


def normal(
    mean: Float[ArrayLike, "n d"],
    std: Float[ArrayLike, ""] | Float[ArrayLike, "n d"] | Float[ArrayLike, "n d d"],
    key=None,
    samples: int = 1,
) -> Normal:
    """A Gaussian cloud of neighbours around every anchor.

    $$s_i(z) = \\log N(z; \\mathrm{mean}_i, L_i L_i^T), \\quad
      L_i = \\mathrm{diag}(\\mathrm{std}_i)$$

    Two of them meet exactly, kl and cross_entropy without a sample:

    $$\\mathrm{KL}(p_i \\| q_i) = \\tfrac12 \\left(|L_q^{-1} (m_p - m_q)|^2
      + |L_q^{-1} L_p|^2 - d\\right) + \\log \\det L_q - \\log \\det L_p$$

    Against another q, p is sampled: z = mean + L ε, and gradients reach mean and std
    through the samples.

    Args:
        mean: floats [n, d].
        std: above 0: one number, one for each coordinate [n, d], or lower Cholesky
            factors of covariances [n, d, d].
        key: a JAX key; anchor i folds in its own i, so batches of any size draw alike.
            None: as p it meets normal distributions only.
        samples: how many per anchor.

    Raises:
        InvalidInput: shapes that differ, std <= 0, a factor that is not lower
            triangular, samples < 1; by the verbs, no key where p is sampled.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> p = icon.normal(jnp.zeros((2, 3)), 1.0)
        >>> q = icon.normal(jnp.ones((2, 3)), 1.0)
        >>> float(icon.kl(p, q)), float(icon.kl(p, p))
        (1.5, 0.0)

    Source: Kingma & Welling, Auto-encoding variational Bayes, 2014.
    """
    mean = check.floats("mean", mean)
    n, d = mean.shape
    rank = len(check.shape("std", std))
    std = std if rank == 0 else check.floats("std", std, None)
    if rank == 3:
        std = check.triangular("std", std, mean, (n, d, d))
    else:
        std = check.positive("std", std, mean, ((), (n, d)))
    key = None if key is None else check.key("key", key)
    return Normal(mean, std, key, check.draws("samples", samples))


def dirac(points: Float[ArrayLike, "n d"]) -> Dirac:
    """The only neighbour of every anchor is a point, certainly there: the data.

    $$\\mathrm{KL}(p_i \\| q_i) = -\\log q_i(x_i)$$

    Against a normal around a decoder this is an autoencoder, against a density the
    negative log-likelihood.

    Args:
        points: x, floats [n, d].

    Raises:
        InvalidInput: points that are no matrix of finite floats.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> x, decoded = jnp.ones((4, 2)), jnp.zeros((4, 2))
        >>> float(icon.kl(icon.dirac(x), icon.normal(decoded, 1.0)))  # 1 + log 2π
        2.8378

    Source: Vincent et al., Stacked denoising autoencoders, 2010.
    """
    return Dirac(check.floats("points", points))


def density(log_density: Callable, params, anchors) -> Density:
    """Neighbours scored by a log-density of yours, such as prior × decoder.

    $$s_i(z) = \\log q(x_i, z), \\quad \\mathrm{KL}(p_i \\| q_i) = -\\mathrm{ELBO}_i$$

    Its mass is left as it is: log q(x_i) is what the ELBO bounds.

    Args:
        log_density: (params, one anchor, one z) -> a number.
        params: a pytree, learnable.
        anchors: a pytree of arrays with one leading axis of n, the data.

    Raises:
        InvalidInput: something that cannot be called, or leaves of different lengths.

    Example:
        >>> import icon, jax, jax.numpy as jnp
        >>> def log_joint(scale, x, z):
        ...     return -jnp.sum(z**2) / 2 - jnp.sum((x - scale * z) ** 2) / 2
        >>> x = jnp.ones((4, 2))
        >>> cloud = icon.normal(x / 2, x, jax.random.key(0), samples=8)
        >>> icon.kl(cloud, icon.density(log_joint, 1.0, x)).shape  # -ELBO, one number
        ()

    Source: Kingma & Welling, Auto-encoding variational Bayes, 2014.
    """
    check.function("log_density", log_density, "params", "anchor", "z")
    check.rows("anchors", anchors)
    params, anchors = jax.tree.map(jnp.asarray, (params, anchors))
    return Density(params, anchors, log_density)
