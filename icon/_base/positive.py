"""How is a number learned that has to stay above zero, and within bounds?"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icon._base import checks as check
from icon._base.numerics import custom_gradient
from icon._base.pytrees import pytree, static


@pytree
class Positive:
    """A number that is learned by its logarithm."""

    log: Any
    low: float = static()
    high: float = static()

    @property
    def value(self):
        """The number itself, within its bounds."""
        return jnp.exp(_clipped((math.log(self.low), math.log(self.high)), self.log))


# With y = clip(θ, low, high) and a cotangent g:
#     ∂/∂θ = 0 where θ <= low and g > 0, or θ >= high and g < 0;  else g
# Descent follows -g: at a bound, and beyond it, only what leads back has a gradient.


@custom_gradient
def _clipped(bounds: tuple[float, float], x):
    return jnp.clip(x, *bounds)


def _clipped_fwd(bounds, x):
    low, high = bounds
    return _clipped(bounds, x), (x <= low, x >= high)


def _clipped_bwd(bounds, saved, g):
    at_low, at_high = saved
    outward = (at_low & (g > 0)) | (at_high & (g < 0))
    return (jnp.where(outward, 0, g),)


_clipped.defvjp(_clipped_fwd, _clipped_bwd)


def positive(start: float, *, low: float = 0.01, high: float = 100.0) -> Positive:
    r"""A temperature, a scale or degrees of freedom to be learned with an encoder.

    $$\tau = \exp(\mathrm{clip}(\theta, \log \mathrm{low}, \log \mathrm{high}))$$

    It is learned by its logarithm θ, its only leaf: a step is a factor, whatever its
    size. At a bound a gradient that leads further out is zero and one that leads back
    is not, so that it stays there without being stuck; an optimizer's momentum may
    carry θ some steps beyond. There is no forward mode through it.

    Args:
        start: what `.value` is at first.
        low: its least value; CLIP's largest logit scale 100 is low=0.01.
        high: its largest value.

    Raises:
        InvalidInput: bounds that are not 0 < low < high, a start outside of them.

    Example:
        >>> import icon, jax, jax.numpy as jnp
        >>> t = icon.positive(0.07)
        >>> def loss(t, z):
        ...     q = icon.cosine(z, temperature=t.value)
        ...     return icon.kl(icon.same([0, 0, 1]), q)
        >>> gradient = jax.jit(jax.grad(loss))(t, jnp.eye(3)[:, :2] + 1)
        >>> round(float(t.value), 4), type(gradient).__name__
        (0.07, 'Positive')

    Source: Radford et al., Learning transferable visual models (CLIP), 2021.
    """
    low, high = check.single("low", low), check.single("high", high)
    start = check.single("start", start)
    check.require(low < high, "high", high, f"a number above low={low}")
    inside = f"a number from {low} to {high}"
    check.require(low <= start <= high, "start", start, inside)
    # of NumPy: a table of cells is made on import, and no device is started by that
    return Positive(np.asarray(math.log(start), np.float32), low, high)


def value_of(learned):
    """A learned number as p and q are given it: of `positive`, the number itself."""
    of = lambda x: x.value if isinstance(x, Positive) else x
    return jax.tree.map(of, learned, is_leaf=lambda x: isinstance(x, Positive))
