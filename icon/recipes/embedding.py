"""How are points placed by any p, q and loss? All of them, or a new one among them."""

import dataclasses
import functools as ft
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from icon._base import checks as check
from icon._base.blocks import filled, filled_length, on_device, rounded_up
from icon._engines import interpolated
from icon._loss import cross_entropy
from icon._neighborhoods import (
    Graph,
    Neighborhood,
    Points,
    as_neighborhood,
    candidate_ids,
    filled_up,
    reweigh,
    to_sparse,
)
from icon._training import DivergenceError, any_stops, completed, gains, minimize
from icon.recipes.models import adam


STEPS, RATE = 300, 3.0  # of Adam, on points that start with a deviation of 1
EVERY = 50  # steps between two calls of the callbacks
REACH = 48  # n points are expected to span 48 n^(1/4) widths of a kernel
PLACED = 250  # steps of a new point
PLACING = gains(0.3)  # on a point's own loss
BLOCK, HELD = 64, 2**22  # new points, and scores of these, that are held at once


# ------------------------------------------------------- all of them


@dataclasses.dataclass(frozen=True)
class OfPoints:
    """A loss of points under a kernel; equal ones share a program."""

    loss: Callable

    def __call__(self, z, p, q, count):
        return self.loss(p, q.moved(z, count))


@dataclasses.dataclass(frozen=True)
class OfAny:
    """A loss of points under any q; equal ones share a program."""

    q: Callable
    loss: Callable

    def __call__(self, z, p):
        return self.loss(p, self.q(z))


@ft.lru_cache(16)
def optimizer(rate: float, steps: int):
    """Adam that warms up and cools down; one for equal settings, by its identity."""
    return adam(rate)(steps)


def descend(
    q: Callable,
    loss: Callable,
    start: Float[ArrayLike, "n c"],
    p: Neighborhood,
    steps: int = STEPS,
    rate: float = RATE,
    callbacks: Sequence[Callable] = (),
):
    """Points that follow the gradient of a loss from a start, by Adam.

    Under a kernel of the distance, and of a listed p, one program serves all numbers of
    points and of neighbours of about one size, by a grid where there are many points.

    Args:
        q: points [n, c] -> the neighbours that are learned.
        loss: (p, q) -> a number.
        start: [n, c], of a standard deviation like the width of q's kernel.
        p: the neighbours that supervise.
        steps: how many.
        rate: the largest step of a coordinate.
        callbacks: (step, loss, z) -> True to stop; every 50 steps, z in NumPy.

    Returns:
        z [n, c], and the history of icon.minimize, a loss for every 50 steps.

    Raises:
        InvalidInput: a q that is no neighbourhood, or over other points than p.
        DivergenceError: a loss that stops being finite; it holds the last good z.

    Example:
        >>> import icon, jax, numpy as np
        >>> from icon.recipes import embedding
        >>> x = np.random.default_rng(0).normal(size=(20, 3))
        >>> p = icon.uniform(icon.knn(x, 3)[0])
        >>> z, history = embedding.descend(icon.student_t, icon.kl, x[:, :2], p, 100)
        >>> z.shape, bool(history.loss[-1] < history.loss[0])
        ((20, 2), True)

    Source: Alshammari et al., I-Con, 2025; Kingma & Ba, Adam, 2015.
    """
    z = np.asarray(check.floats("start", start))
    steps = check.size("steps", steps, 0)
    objective, start, args = _program(q, loss, z, p)
    return followed(objective, start, args, len(z), steps, rate, callbacks)


def followed(objective: Callable, z, args: tuple, n: int, steps, rate, callbacks):
    """The first n points of a descent, which alone are seen, and its history."""
    seen = lambda z: np.asarray(z)[:n]
    watch = lambda step, loss, z: any_stops(callbacks, step, loss, seen(z))
    more: Any = dict(args=args, callbacks=[watch], every=EVERY)
    try:
        z, history = minimize(objective, z, optimizer(rate, steps), steps, **more)
    except DivergenceError as error:
        raise DivergenceError(error.step, seen(error.partial)) from None
    return np.array(seen(z)), history


def value(q: Callable, loss: Callable, z: Float[ArrayLike, "n c"], p) -> float:
    """The loss of points, as `descend` sees it."""
    objective, z, args = _program(q, loss, np.asarray(z), p)
    return float(objective(z, *args))


def _program(q: Callable, loss: Callable, z, p) -> tuple[Callable, jax.Array, tuple]:
    """The objective, where it starts and what else it takes.

    Filled up where q is a kernel of the distance and p is listed.
    """
    made = as_neighborhood("q", q(on_device(z)))
    got = f"shapes {made.shape} and {p.shape}"
    check.require(made.shape == p.shape, "q", got, "the anchors and candidates of p")
    kernel = _kernel(q, z) if isinstance(p, Graph) else None
    if kernel is None:
        return OfAny(q, loss), on_device(z), (p.prepared(),)
    args = filled_up(p, to_sparse(p)), kernel, np.int32(len(z))
    return OfPoints(loss), on_device(filled(z, filled_length(len(z)))), args


def _kernel(q: Callable, z):
    """The kernel of q, answering for all points at once; None where it is none."""
    made = q(on_device(filled(z, filled_length(len(z)))))
    if not isinstance(made, Points):
        return None
    try:
        return interpolated(made, reach=REACH * len(z) ** 0.25)
    except check.InvalidInput:  # no kernel of the distance alone
        return None


# ------------------------------------------------------- a new one


@dataclasses.dataclass(frozen=True)
class Alone:
    """The sum of new points' own losses, among old ones that stay."""

    q: Callable

    def __call__(self, z, index, logit, old, count):
        own = ft.partial(self._own, old=old, count=count)
        return jnp.sum(jax.vmap(own)(z, index, logit))

    def _own(self, z, index, logit, old, count):
        k = len(index)
        start = jnp.array([0, k], jnp.int32)
        p = Graph(index, logit, start, k, len(old), False)
        q = self.q(z[None], old)
        if isinstance(q, Points):
            present = candidate_ids(len(old), slice(None)) < count
            q = reweigh(q, present.astype(z.dtype))
        return cross_entropy(p, q)


def block_size(candidates: int) -> int:
    """How many new points are placed at once, whatever their number."""
    return max(8, min(BLOCK, HELD // _length(candidates)))


def _length(candidates: int) -> int:
    """What the points of a layout are filled up to: a power of two, while few."""
    few = max(BLOCK, rounded_up(candidates, coarse=True))
    return min(few, filled_length(candidates))


def locate(q: Callable, old: Float[ArrayLike, "m c"], p: Graph) -> np.ndarray:
    r"""The best place of each new point in a layout that stays as it is.

    $$\min_{z_i} \mathrm{KL}(p_i \| q_i)$$

    from the mean of p_i, over every old point. In blocks of one size a point gets the
    same bits whatever others are beside it.

    Args:
        q: (new [n, c], old [m, c]) -> neighbours of the new among the old.
        old: the layout [m, c].
        p: the old neighbours of every new point [n, m], as many of each.

    Returns:
        float32 [n, c].

    Example:
        >>> import icon, numpy as np
        >>> from icon.recipes import embedding
        >>> old = np.float32([[0, 0], [0, 1], [9, 9], [9, 8]])
        >>> p = icon.entropic([[0, 1]], [[1.0, 1.0]], perplexity=2, candidates=4)
        >>> round(float(embedding.locate(icon.student_t, old, p)[0, 1]), 3)
        0.5

    Source: Policar, Strazar & Zupan, Embedding to reference t-SNE space addresses batch
    effects in single-cell classification, 2021.
    """
    old = np.asarray(old, np.float32)
    check.function("q", q, "anchors", "candidates")
    start = on_device(to_sparse(p) @ old.astype(np.float64), np.float32)
    n, m = p.shape
    index, logit = (np.asarray(x).reshape(n, -1) for x in (p.index, p.logit))
    if isinstance(q(old[:1], old), Points):  # they can have a weight of 0
        old = filled(old, _length(m))
    args = on_device(index), on_device(logit), on_device(old), np.int32(m)
    which: Any = Alone(q), start, PLACING, PLACED
    z, _ = completed(minimize(*which, args=args, every=PLACED))
    return np.array(z)
