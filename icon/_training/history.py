"""What does a descent leave behind, and when is it refused? What both loops share."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from icon._base import checks as check


class History(NamedTuple):
    """What a descent leaves behind: the loss of every step, and how to go on."""

    loss: np.ndarray  # [steps], each before its update
    state: Any  # the optimizer's
    metrics: Sequence[Any] = ()
    interrupted: bool = False  # by Ctrl-C
    carried: Any = None  # what the loss carries from step to step, where it does
    averaged: Any = None  # the parameters' moving average, where there is one


def completed(found):
    """What a descent has returned; a KeyboardInterrupt where Ctrl-C ended it.

    For a descent within a computation: a part of it would be taken for the whole.
    """
    if found[1].interrupted:
        raise KeyboardInterrupt
    return found


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


class PeerLost(RuntimeError):
    """Another process that is gone: at which step, and the last good result.

    Args:
        step: the step that could not be finished without it.
        partial: the parameters before that step, as NumPy arrays; None if they were
            out of reach.

    Example:
        >>> import icon
        >>> print(icon.PeerLost(3, None))
        a process was lost at step 3: start all of them again; .partial has ...
    """

    def __init__(self, step: int, partial):
        super().__init__(step, partial)
        self.step, self.partial = step, partial

    def __str__(self) -> str:
        cure = "start all of them again; .partial has the last good result"
        return f"a process was lost at step {self.step}: {cure}"


# ------------------------------------------------------- a step, and what is seen of it


def refuse_unusable(optimizer, callbacks) -> None:
    """Refuse what is no optimizer of optax, and callbacks that cannot be called."""
    known = isinstance(optimizer, optax.GradientTransformation)
    got = f"a {type(optimizer).__name__}"
    check.require(
        known, "optimizer", got, "a transformation of optax: optax.adam(1e-3)"
    )
    several = isinstance(callbacks, Sequence) and not isinstance(callbacks, str)
    got = f"a {type(callbacks).__name__}"
    check.require(several, "callbacks", got, "a list of functions (step, loss, z)")
    for callback in callbacks:
        check.function("callbacks", callback, "step", "loss", "z")


def updated(optimizer: optax.GradientTransformation, gradient, state, params):
    """The parameters and the optimizer's state after one step."""
    with jax.numpy_dtype_promotion("standard"):  # optax counts steps in integers
        change, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, change), state


def all_finite(tree):
    """Whether every number of a tree is finite, as one boolean."""
    finite = jnp.ones((), bool)
    for x in jax.tree.leaves(tree):
        finite = finite & jnp.all(jnp.isfinite(x))
    return finite


def refuse_divergence(losses, finite, step: int, partial) -> None:
    """Raise at the first step from `step` on whose loss is not finite.

    Where all losses are, but not the parameters they lead to, the next loss is not.
    """
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad) or not finite:
        first = bad[0] if len(bad) else len(losses)
        raise DivergenceError(step + int(first), partial)


def any_stops(callbacks: Sequence[Callable], step: int, loss: float, params) -> bool:
    """Call every callback; whether any of them wants to stop."""
    return any([bool(callback(step, loss, params)) for callback in callbacks])


def joined(losses: Sequence[np.ndarray]) -> np.ndarray:
    """The losses of all steps, in one vector."""
    return np.concatenate([*losses, np.zeros(0, np.float32)])
