"""How likely is a row, by what a decoder says of it?

Each is a sum over the entries of one row; priors and likelihoods add up to the
log-density that `icon.density` takes, and a VAE is kl(normal, density).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from icon._base.numerics import lse


def gaussian(
    x: Float[Array, " d"],
    mean: Float[Array, " d"],
    std: float | Float[Array, ""] | Float[Array, " d"] = 1.0,
) -> Float[Array, ""]:
    """Real numbers about a mean.

    $$\\sum_k -\\frac{(x_k - \\mathrm{mean}_k)^2}{2\\,\\mathrm{std}_k^2}
      - \\log \\mathrm{std}_k - \\tfrac12 \\log 2\\pi$$

    Args:
        x: floats [d].
        mean: floats [d].
        std: above 0: one number, or one of each entry [d].

    Example:
        >>> import jax.numpy as jnp
        >>> from icon.recipes import likelihoods
        >>> float(likelihoods.gaussian(jnp.zeros(2), jnp.zeros(2)))  # -log 2π
        -1.8379
    """
    std = jnp.broadcast_to(jnp.asarray(std, x.dtype), x.shape)
    return jnp.sum(jax.scipy.stats.norm.logpdf(x, mean, std))


def bernoulli(x: Float[Array, " d"], logits: Float[Array, " d"]) -> Float[Array, ""]:
    """Yes or no, or how much of yes, by log-odds.

    $$\\sum_k x_k l_k - \\log(1 + e^{l_k})$$

    Args:
        x: from 0 to 1 [d].
        logits: floats [d].

    Example:
        >>> import jax.numpy as jnp
        >>> from icon.recipes import likelihoods
        >>> float(likelihoods.bernoulli(jnp.ones(1), jnp.zeros(1)))  # log ½
        -0.6931
    """
    return jnp.sum(x * logits - jax.nn.softplus(logits))


def categorical(
    x: Int[Array, " d"], logits: Float[Array, "d levels"]
) -> Float[Array, ""]:
    """One of several levels, by a score of each.

    $$\\sum_k l_{k, x_k} - \\log \\sum_v e^{l_{kv}}$$

    Args:
        x: ids of levels [d].
        logits: floats [d, levels].

    Example:
        >>> import jax.numpy as jnp
        >>> from icon.recipes import likelihoods
        >>> x, logits = jnp.array([3, 0]), jnp.zeros((2, 4))
        >>> float(likelihoods.categorical(x, logits))  # 2 log ¼
        -2.7726
    """
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), x[:, None], 1)
    return jnp.sum(chosen)


def mixture(
    z: Float[Array, " k"],
    logits: Float[Array, " c"],
    mean: Float[Array, "c k"],
    std: Float[Array, "c k"],
) -> Float[Array, ""]:
    """A sum of normal distributions, as a prior that is learned.

    $$\\log \\sum_c w_c\\, N(z; \\mathrm{mean}_c, \\mathrm{std}_c^2), \\quad
      w = \\mathrm{softmax}(l)$$

    Args:
        z: floats [k].
        logits: of the weights [c].
        mean: floats [c, k].
        std: above 0 [c, k].

    Example:
        >>> import jax.numpy as jnp
        >>> from icon.recipes import likelihoods
        >>> two = jnp.zeros(2), jnp.zeros((2, 1)), jnp.ones((2, 1))
        >>> float(likelihoods.mixture(jnp.zeros(1), *two))  # -½ log 2π
        -0.9189

    Source: Tomczak & Welling, VAE with a VampPrior, 2018.
    """
    each = jax.vmap(gaussian, (None, 0, 0))(z, mean, std)
    return lse(jax.nn.log_softmax(logits) + each)
