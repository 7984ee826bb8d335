r"""How are independent sources found? Along the relative gradient of the likelihood.

    ΔW = -∂L/∂W WᵀW = (1 - E[φ(y) yᵀ]) W,    y = Wx, φ = -(log p)'

It depends on the sources alone, not on how they were mixed.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from icon._base.numerics import HIGHEST


def whitened(
    x: Float[np.ndarray, "n d"], axes: int | None = None
) -> Float[np.ndarray, "n k"]:
    """Rows of mean 0 and covariance 1, along the principal axes that have any spread.

    Args:
        x: rows.
        axes: how many axes at most; None: all.

    Example:
        >>> import numpy as np
        >>> from icon.recipes import unmixing
        >>> x = np.random.default_rng(0).normal(size=(50, 3)) @ np.diag([1, 5, 0])
        >>> z = unmixing.whitened(x)
        >>> (z.T @ z / 50).round(3).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    x = x - x.mean(0)
    u, size, _ = np.linalg.svd(x, full_matrices=False)
    kept = (size > 1e-6 * size[0]).sum()
    return u[:, : min(kept, axes or kept)] * np.sqrt(len(x))


def relative(steps: int, rate: float = 1.0) -> optax.GradientTransformation:
    """The relative (natural) gradient of `icon.sources`, as an optax transformation.

    Args:
        steps: over which the rate falls to 0.
        rate: the first.

    Example:
        >>> import icon, jax.numpy as jnp, numpy as np
        >>> from icon.recipes import unmixing
        >>> s = np.random.default_rng(0).laplace(size=(500, 2))
        >>> mixing = np.array([[1.0, 0.0], [0.5, 1.0]])
        >>> x = jnp.asarray(s @ mixing.T)
        >>> def loss(found):
        ...     q = icon.sources(x, found)
        ...     return icon.kl(q, icon.unnormalized(q))
        >>> by = unmixing.relative(100)
        >>> found, _ = icon.minimize(loss, jnp.eye(2)[None], by, 100)
        >>> icon.evaluate.amari_error(found[0], mixing) < 0.1
        True

    Source: Amari, Cichocki & Yang, A new learning algorithm for blind signal
    separation, 1996; Cardoso & Laheld, Equivariant adaptive source separation, 1996.
    """

    def step(gradient: Any, params: Any) -> Any:
        product = "cij,ckj,ckl->cil"
        return -jnp.einsum(product, gradient, params, params, precision=HIGHEST)

    fall = optax.cosine_decay_schedule(rate, steps)
    return optax.chain(optax.stateless(step), optax.scale_by_schedule(fall))
