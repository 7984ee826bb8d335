"""Which neighbours lie in a continuum? Sampled clouds, evaluated densities."""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.typing import ArrayLike
from jaxtyping import Float

from icon._base import checks as check
from icon._base.numerics import common, widen
from icon._base.pytrees import pytree, static, take
from icon._neighborhoods.protocol import Neighborhood


@pytree
class Normal(Neighborhood):
    """A Gaussian cloud of neighbours around every anchor, by samples of it."""

    mean: Any  # [n, d]
    std: Any  # [n, d]
    key: Any
    samples: int = static()
    first: Any = None  # the first anchor's id, in a batch spread over devices

    @property
    def shape(self):
        return self.mean.shape[0], None

    def gathered(self, gather, first) -> "Normal":
        return dataclasses.replace(self, first=first)

    def support(self, i):
        mean, std = common(widen(self.mean[i][None]), widen(self.std[i][None]))
        shape = (self.samples, mean.shape[1])
        anchor = i if self.first is None else i + self.first
        noise = jr.normal(jr.fold_in(self.key, anchor), shape, mean.dtype)
        return mean + std * noise, jnp.full(self.samples, 1 / self.samples, mean.dtype)

    def score(self, i, at):
        mean, std = common(widen(self.mean[i][None]), widen(self.std[i][None]))
        return jnp.sum(jax.scipy.stats.norm.logpdf(at, mean, std), -1)

    def log_mass(self, i):
        return jnp.zeros((), widen(self.mean).dtype)


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
    mean: Float[ArrayLike, "n d"], std: Float[ArrayLike, "n d"], key, samples: int = 1
) -> Normal:
    """A Gaussian cloud of neighbours around every anchor, by samples of it.

    $$z = \\mathrm{mean}_i + \\mathrm{std}_i\\,\\varepsilon, \\quad
      s_i(z) = \\log N(z; \\mathrm{mean}_i, \\mathrm{std}_i^2)$$

    Gradients reach mean and std through the samples.

    Args:
        mean: floats [n, d].
        std: floats [n, d], above 0.
        key: a JAX key; anchor i folds in its own i, so batches of any size draw alike.
        samples: how many per anchor.

    Raises:
        InvalidInput: shapes that differ, std <= 0, samples < 1.

    Example:
        >>> import icon, jax, jax.numpy as jnp
        >>> cloud = icon.normal(jnp.zeros((2, 3)), jnp.ones((2, 3)), jax.random.key(0))
        >>> float(icon.kl(cloud, cloud))
        0.0

    Source: Kingma & Welling, Auto-encoding variational Bayes, 2014.
    """
    mean = check.floats("mean", mean)
    std = check.positive("std", check.floats("std", std), mean, (mean.shape,))
    return Normal(mean, std, check.key("key", key), check.draws("samples", samples))


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
