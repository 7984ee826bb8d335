"""How is a loss of everything at once minimised? In chunks of steps, compiled."""

import functools as ft
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from icon._base import checks as check
from icon._training.history import (
    History,
    all_finite,
    any_stops,
    joined,
    refuse_divergence,
    refuse_unusable,
    updated,
)


CHUNK = 25  # steps in one compiled loop, between callbacks


def minimize(
    loss: Callable,
    z,
    optimizer: optax.GradientTransformation,
    steps: int,
    *,
    args: tuple = (),
    state=None,
    first: int = 0,
    callbacks: Sequence[Callable] = (),
    every: int = 1,
):
    """Follow the gradient of a loss for a number of steps.

    $$z \\leftarrow z + \\mathrm{optimizer}(\\nabla_z \\mathrm{loss}(z, \\ldots))$$

    Compiled in chunks of 25 steps; Ctrl-C between two of them returns what there is.

    Args:
        loss: (z, *args) -> a number. What is in `args` is passed, not compiled in.
        z: a pytree of floats, not changed in place.
        optimizer: any optax transformation.
        steps: how many, from 0.
        args: what else the loss takes: p, a graph, features. A function among them is
            a schedule: the loss gets its value at the step; so is a pytree that can
            be called, whose numbers are passed. Of a listed p, pass `p.prepared()`,
            whose edges are then listed from both ends once.
        state: the optimizer's, from an earlier history; None: a fresh one.
        first: the number of the first step, where a descent goes on.
        callbacks: (step, loss, z) -> True to stop; called after every chunk.
        every: 1 gives the loss of each step. A larger number makes chunks of so many
            steps and gives the loss of the last; the others take the gradient alone,
            which may cost half as much.

    Returns:
        z, and a history with `.loss` (of each step, or of the last of every so many,
        before its update) and `.state`.

    Raises:
        InvalidInput: steps < 0, every < 1, a loss that is no number, a z that is not
            finite.
        DivergenceError: a loss that stops being finite; it holds the last good z.

    Example:
        >>> import icon, optax, jax.numpy as jnp
        >>> def bowl(z):
        ...     return jnp.sum(z**2)
        >>> z, history = icon.minimize(bowl, jnp.ones(2), optax.sgd(0.1), 50)
        >>> bool(jnp.all(jnp.abs(z) < 1e-4)), len(history.loss)
        (True, 50)
    """
    steps, every = check.size("steps", steps, 0), check.size("every", every)
    done = check.size("first", first, 0)
    end = done + steps
    check.instance("args", args, tuple, "a tuple")
    check.function("loss", loss, "z", *map(str, range(len(args))))
    refuse_unusable(optimizer, callbacks)
    z = jax.tree.map(lambda x: check.floats("z", x, None), z)
    schedules = tuple(arg if check.is_function(arg) else None for arg in args)
    passed = tuple(() if check.is_function(arg) else arg for arg in args)
    chunk = ft.partial(_chunk, loss, optimizer, schedules, passed, every)
    state = optimizer.init(z) if state is None else state
    history, interrupted = [], False
    try:
        while done < end:
            length = min(CHUNK if every == 1 else every, end - done)
            z, state, losses = chunk(z, state, done, length)
            history.append(losses)
            done += length
            if any_stops(callbacks, done, float(losses[-1]), z):
                break
    except KeyboardInterrupt:
        interrupted = True  # what was reached by then is the result
    return z, History(joined(history), state, interrupted=interrupted)


def _chunk(loss, optimizer, schedules, args, every, z, state, done, steps):
    """z and state after some steps, and the losses that are given of them."""
    which = loss, optimizer, schedules
    run = ft.partial(_steps, *which, args, z, state, np.int32(done), np.int32(steps))
    after, state, losses, finite = run(room=CHUNK if every == 1 else 1)
    if every > 1 and not (finite and np.isfinite(losses[0])):  # at which step?
        after, state, losses, finite = run(room=every)
    losses = np.asarray(losses)[:steps]
    refuse_divergence(losses, finite, done, z)
    return after, state, losses if every == 1 else losses[-1:]


@ft.partial(jax.jit, static_argnames=("loss", "optimizer", "schedules", "room"))
def _steps(loss, optimizer, schedules, args, z, state, first, steps, *, room):
    """Some steps in one loop, and their losses [room], or where that is 1 the last one.

    Where only the last loss is wanted, the others are dead code, and are not computed
    unless the gradient depends on them. How many steps there are is a number: one
    program serves all.
    """

    def loss_at(z, step):
        both = zip(args, schedules, strict=True)
        given = [arg if schedule is None else schedule for arg, schedule in both]
        with jax.numpy_dtype_promotion("standard"):  # steps are integers
            current = [arg(step) if callable(arg) else arg for arg in given]
        return _scalar(loss(z, *current))

    def body(k, carry):
        z, _, state, losses = carry
        value, gradient = jax.value_and_grad(loss_at)(z, first + k)
        after, state = updated(optimizer, gradient, state, z)
        return after, z, state, losses if losses is None else losses.at[k].set(value)

    losses = None
    if room > 1:
        losses = jnp.full(room, jnp.nan, jax.eval_shape(loss_at, z, first).dtype)
    start = z, z, state, losses
    z, before, state, losses = lax.fori_loop(0, steps, body, start)
    if losses is None:
        losses = loss_at(before, first + steps - 1)[None]
    return z, state, losses, all_finite(z)


def _scalar(value):
    """A loss, refused unless it is one number."""
    return jnp.asarray(check.gives("loss", value, ()))


def forget_loops() -> None:
    """Let go of the compiled loops of every loss, where losses do not come again."""
    compiled: Any = _steps
    compiled.clear_cache()
