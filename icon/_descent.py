"""The only loops."""

import functools as ft
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax import lax

from icon import _checks as check


CHUNK = 25  # steps in one compiled loop, between callbacks


class History(NamedTuple):
    """What a descent leaves behind: the loss of every step, and how to go on."""

    loss: np.ndarray  # [steps], each before its update
    state: Any  # the optimizer's
    metrics: Sequence[Any] = ()
    interrupted: bool = False  # by Ctrl-C


class DivergenceError(ArithmeticError):
    """A loss that stopped being a number: at which step, and the last good result.

    Args:
        step: the first step whose loss is not finite.
        partial: the parameters before the chunk (minimize) or step (fit) it is in.

    Example:
        >>> import icon
        >>> print(icon.DivergenceError(3, None))
        the loss is not finite at step 3: lower the learning rate; .partial has ...
    """

    def __init__(self, step: int, partial):
        super().__init__(step)
        self.step, self.partial = step, partial

    def __str__(self) -> str:
        cure = "lower the learning rate; .partial has the last finite result"
        return f"the loss is not finite at step {self.step}: {cure}"


def _update(optimizer, slope, state, params):
    """optax counts steps in integers and needs them promoted, whatever we ask for."""
    with jax.numpy_dtype_promotion("standard"):
        return optimizer.update(slope, state, params)


@ft.partial(jax.jit, static_argnames=("loss", "optimizer", "steps"))
def _chunk(loss, optimizer, z, state, args, steps):
    def step(carry, _):
        z, state = carry
        value, slope = jax.value_and_grad(loss)(z, *args)
        change, state = _update(optimizer, slope, state, z)
        return (optax.apply_updates(z, change), state), value

    return lax.scan(step, (z, state), None, length=steps)


def _told(callbacks, step, loss, z) -> bool:
    """Every callback is told; whether any of them says stop."""
    return any([bool(tell(step, loss, z)) for tell in callbacks])


def minimize(
    loss: Callable,
    z,
    optimizer: optax.GradientTransformation,
    steps: int,
    *,
    args: tuple = (),
    state=None,
    callbacks: Sequence[Callable] = (),
):
    """Follow the gradient of a loss for a number of steps.

    $$z \\leftarrow z + \\mathrm{optimizer}(\\nabla_z \\mathrm{loss}(z, \\ldots))$$

    Compiled in chunks of 25 steps; Ctrl-C between two of them returns what there is.

    Args:
        loss: (z, *args) -> a number. What is in `args` is passed, not compiled in.
        z: a pytree of floats, not changed in place.
        optimizer: any optax transformation.
        steps: how many, from 0.
        args: what else the loss takes: p, a graph, features.
        state: the optimizer's, from an earlier history; None: a fresh one.
        callbacks: (step, loss, z) -> True to stop; called after every chunk.

    Returns:
        z, and a history with `.loss` [steps] and `.state`.

    Raises:
        InvalidInput: steps < 0, a loss that is no number, a z that is not finite.
        DivergenceError: a loss that stops being finite; it holds the last good z.

    Example:
        >>> import icon, optax, jax.numpy as jnp
        >>> def bowl(z):
        ...     return jnp.sum(z**2)
        >>> z, history = icon.minimize(bowl, jnp.ones(2), optax.sgd(0.1), 50)
        >>> bool(jnp.all(jnp.abs(z) < 1e-4)), len(history.loss)
        (True, 50)
    """
    steps = check.count("steps", steps, 0)
    z = jax.tree.map(lambda x: check.floats("z", x, None), z)
    said = jax.eval_shape(loss, z, *args)
    got = f"shape {getattr(said, 'shape', type(said).__name__)}"
    check.require(
        getattr(said, "shape", None) == (), "loss", got, "a function to a number"
    )
    state, history, done = optimizer.init(z) if state is None else state, [], 0
    interrupted = False
    try:
        while done < steps:
            length = min(CHUNK, steps - done)
            (after, new), values = _chunk(loss, optimizer, z, state, args, length)
            history.append(_finite(np.asarray(values), done, z))
            z, state, done = after, new, done + length
            if _told(callbacks, done, float(values[-1]), z):
                break
    except KeyboardInterrupt:
        interrupted = True  # what was reached by then is the result
    values = np.concatenate([*history, np.zeros(0, np.float32)])
    return z, History(values, state, interrupted=interrupted)


def _finite(values, done, z):
    bad = ~np.isfinite(values)
    if bad.any():
        raise DivergenceError(done + int(np.argmax(bad)), z)
    return values


@ft.partial(jax.jit, static_argnames=("loss", "optimizer"))
def _step(loss, optimizer, params, state, batch, key):
    def value(params):
        said = loss(params, batch, key)
        return said if isinstance(said, tuple) else (said, None)

    (value_, metrics), slope = jax.value_and_grad(value, has_aux=True)(params)
    change, state = _update(optimizer, slope, state, params)
    return optax.apply_updates(params, change), state, value_, metrics


def fit(
    loss: Callable,
    params,
    batches: Callable[..., Iterable],
    optimizer: optax.GradientTransformation,
    key,
    *,
    callbacks: Sequence[Callable] = (),
):
    """Train parameters on batches until there are no more.

    Args:
        loss: (params, batch, key) -> a number, or (a number, metrics).
        params: a pytree of floats, not changed in place.
        batches: (key, epoch) -> an iterable of pytrees; an epoch without any ends it.
            `icon.data.batches` makes one.
        optimizer: any optax transformation.
        key: a JAX key; each epoch and each step gets its own from it.
        callbacks: (step, loss, params) -> True to stop; called after every step.

    Returns:
        params, and a history with `.loss`, `.state` and `.metrics`, one per step.

    Raises:
        InvalidInput: something that is no key, or batches that cannot be called.
        DivergenceError: a loss that stops being finite; it holds the last good params.

    Example:
        >>> import icon, jax, optax, jax.numpy as jnp
        >>> from icon.data import batches
        >>> def error(w, batch, key):
        ...     x, y = batch
        ...     return jnp.mean((x @ w - y) ** 2)
        >>> x = jax.random.normal(jax.random.key(0), (64, 3))
        >>> feed = batches((x, x @ jnp.ones(3)), 16, epochs=40)
        >>> adam, key = optax.adam(0.1), jax.random.key(1)
        >>> w, history = icon.fit(error, jnp.zeros(3), feed, adam, key)
        >>> w.round(2).tolist()
        [1.0, 1.0, 1.0]
    """
    check.key("key", key)
    known = type(batches).__name__
    check.require(callable(batches), "batches", known, "a function (key, epoch)")
    params = jax.tree.map(lambda x: check.floats("params", x, None), params)
    state, losses, metrics, step = optimizer.init(params), [], [], 0
    interrupted = False
    try:
        for batch in _epochs(batches, jax.random.fold_in(key, 0)):
            now = jax.random.fold_in(jax.random.fold_in(key, 1), step)
            after, new, value, said = _step(loss, optimizer, params, state, batch, now)
            losses.append(_finite(np.asarray(value)[None], step, params))
            params, state, step = after, new, step + 1
            metrics.append(said)
            if _told(callbacks, step, float(value), params):
                break
    except KeyboardInterrupt:
        interrupted = True  # what was reached by then is the result
    values = np.concatenate([*losses, np.zeros(0, np.float32)])
    return params, History(values, state, metrics, interrupted)


def _epochs(batches, key):
    """Batch after batch, epoch after epoch, until an epoch has none."""
    epoch, more = 0, True
    while more:
        more = False
        for batch in batches(jax.random.fold_in(key, epoch), epoch):
            more = True
            yield batch
        epoch += 1
