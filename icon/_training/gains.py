"""How does t-SNE descend? Momentum, and a gain for every coordinate."""

import functools as ft
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from icon._base import checks as check
from icon._base.blocks import on_device
from icon._base.pytrees import pytree


@pytree
class Stages:
    """A number by the step: one until each end, and one after the last.

    Its numbers are leaves: others are no other program.

    Args:
        ends: the steps [s] before which each of the first s numbers holds.
        values: the numbers [s + 1].

    Example:
        >>> from icon._training import Stages
        >>> early_and_late = Stages((250,), (12.0, 1.0))
        >>> float(early_and_late(249)), float(early_and_late(250))
        (12.0, 1.0)
    """

    ends: Any
    values: Any

    def __call__(self, step):
        stage = jnp.searchsorted(jnp.asarray(self.ends, jnp.int32), step, side="right")
        return jnp.asarray(self.values, jnp.float32)[stage]


class Momentum(NamedTuple):
    """Of every coordinate its velocity, and the gain that multiplies its gradient."""

    count: Any
    velocity: Any
    gain: Any
    pace: Any  # the learning rate and the momentum, where they are `Stages`


def gains(learning_rate, momentum: Any = 0.8, longest: float = 5.0):
    """t-SNE's descent: momentum, and a gain for every coordinate.

    $$v \\leftarrow \\mu v - \\eta\\,\\gamma \\odot g, \\qquad
      \\gamma \\leftarrow \\begin{cases} \\gamma + 0.2 & v g < 0 \\\\
      0.8\\,\\gamma + 0.01 & \\mathrm{else} \\end{cases}$$

    A gain grows while its coordinate keeps going downhill, and shrinks when it turns.
    Numbers of `Stages` are part of the state, and where a state has some they count:
    a loop compiled for one transformation then serves other rates.

    Args:
        learning_rate: η, a number or an optax schedule of the step. Kobak & Berens:
            the number of points, divided by the exaggeration.
        momentum: μ, from 0 to below 1; a number or a schedule.
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
    check.positive("longest", longest, one)
    if not callable(momentum):
        momentum = check.scalar("momentum", momentum, 0)
        check.require(momentum < 1, "momentum", momentum, "a number from 0 to below 1")
    given = learning_rate, momentum
    pace = tuple(x if isinstance(x, Stages) else None for x in given)

    def start(params):
        filled = lambda value: jax.tree.map(ft.partial(_full_like, value), params)
        return Momentum(on_device(np.int32(0)), filled(0), filled(1), pace)

    def update(updates, state: Any, params: Any = None):
        gradient: Any = updates
        pairs = zip(given, state.pace, strict=True)
        pace = [own if kept is None else kept for own, kept in pairs]
        with jax.numpy_dtype_promotion("standard"):
            pace = [x(state.count) if callable(x) else x for x in pace]
        step = ft.partial(_step, *pace, longest)
        both = jax.tree.map(step, gradient, state.velocity, state.gain)
        pair, outer = jax.tree.structure((0, 0)), jax.tree.structure(gradient)
        velocity, gain = jax.tree.transpose(outer, pair, both)
        count = optax.safe_increment(state.count)
        return velocity, Momentum(count, velocity, gain, state.pace)

    return optax.GradientTransformation(start, update)


def _full_like(value, x):
    """As many of a value, where x lies; of known arrays nothing is compiled."""
    if not (isinstance(x, jax.Array) and check.concrete(x)):
        return jnp.full_like(x, value)
    where = x.sharding if x.committed else None  # else the next step is compiled anew
    return jax.device_put(np.full(x.shape, value, x.dtype), where)


def _step(eta, momentum, longest, gradient, velocity, gain):
    """The new velocity and gain of a matrix of coordinates."""
    downhill = jnp.sign(velocity) != jnp.sign(gradient)
    gain = jnp.where(downhill, gain + 0.2, gain * 0.8 + 0.01)
    eta, momentum = (jnp.asarray(x).astype(gradient.dtype) for x in (eta, momentum))
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
