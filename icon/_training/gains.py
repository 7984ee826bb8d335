"""How does t-SNE descend? Momentum, and a gain for every coordinate."""

import functools as ft
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from icon._base import checks as check


class Momentum(NamedTuple):
    """Of every coordinate its velocity, and the gain that multiplies its gradient."""

    count: Any
    velocity: Any
    gain: Any


def gains(learning_rate, momentum: float = 0.8, longest: float = 5.0):
    """t-SNE's descent: momentum, and a gain for every coordinate.

    $$v \\leftarrow \\mu v - \\eta\\,\\gamma \\odot g, \\qquad
      \\gamma \\leftarrow \\begin{cases} \\gamma + 0.2 & v g < 0 \\\\
      0.8\\,\\gamma + 0.01 & \\mathrm{else} \\end{cases}$$

    A gain grows while its coordinate keeps going downhill, and shrinks when it turns.

    Args:
        learning_rate: η, a number or an optax schedule of the step. Kobak & Berens:
            the number of points, divided by the exaggeration.
        momentum: μ, from 0 to below 1.
        longest: the longest step of a point, in the units of the embedding.

    Raises:
        InvalidInput: a learning rate or a longest step that is not above 0, a momentum
            out of range.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> def bowl(z):
        ...     return jnp.sum(z**2)
        >>> z, _ = icon.minimize(bowl, jnp.ones((1, 2)), icon.gains(0.05), 200)
        >>> bool(jnp.all(jnp.abs(z) < 1e-3))
        True

    Source: Jacobs, Increased rates of convergence through learning rate adaptation,
    1988; van der Maaten & Hinton, 2008; Policar et al., openTSNE, 2024.
    """
    one = np.ones((), np.float32)
    if not callable(learning_rate):
        check.positive("learning_rate", learning_rate, one)
    rate = learning_rate if callable(learning_rate) else lambda count: learning_rate
    check.positive("longest", longest, one)
    momentum = check.scalar("momentum", momentum, 0)
    check.require(momentum < 1, "momentum", momentum, "a number from 0 to below 1")

    def start(params):
        zero = jax.tree.map(jnp.zeros_like, params)
        one = jax.tree.map(jnp.ones_like, params)
        return Momentum(jnp.zeros((), jnp.int32), zero, one)

    def update(updates, state: Any, params: Any = None):
        gradient: Any = updates
        with jax.numpy_dtype_promotion("standard"):
            eta = rate(state.count)
        step = ft.partial(_step, eta, momentum, longest)
        both = jax.tree.map(step, gradient, state.velocity, state.gain)
        pair, outer = jax.tree.structure((0, 0)), jax.tree.structure(gradient)
        velocity, gain = jax.tree.transpose(outer, pair, both)
        return velocity, Momentum(optax.safe_increment(state.count), velocity, gain)

    return optax.GradientTransformation(start, update)


def _step(eta, momentum, longest, gradient, velocity, gain):
    """The new velocity and gain of a matrix of coordinates."""
    downhill = jnp.sign(velocity) != jnp.sign(gradient)
    gain = jnp.where(downhill, gain + 0.2, gain * 0.8 + 0.01)
    eta = jnp.asarray(eta).astype(gradient.dtype)
    velocity = momentum * velocity - eta * gain * gradient
    return velocity * _shortening(
        jnp.atleast_1d(velocity), longest, velocity.ndim
    ), gain


def _shortening(velocity, longest, rank: int):
    """What a step is multiplied by so that none is too long."""
    peak = jnp.max(jnp.abs(velocity), -1, keepdims=True)  # its square may be no float
    peak = jnp.where(peak > 0, peak, 1)
    length = jnp.linalg.norm(velocity / peak, axis=-1, keepdims=True)
    factor = jnp.minimum(1, longest / peak / jnp.maximum(length, 1e-12))
    return factor if rank else factor[0]
