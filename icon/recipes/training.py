"""How is a cell trained? By its column and its row, never by its name."""

import time
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from icon import data as datasets
from icon._base import checks
from icon._engines import interpolated
from icon._loss import cross_entropy, kl
from icon._neighborhoods import tabulated
from icon._table import TABLE, Cell, cells
from icon._training import DivergenceError, fit, minimize
from icon.recipes.models import LINEAR, Learner, Model, learner_of, retracted
from icon.recipes.tasks import BY_COLUMN, SOURCES, Material, Task


class Trained(NamedTuple):
    """A cell after its training."""

    cell: Cell
    learner: Learner
    params: Any
    loss: np.ndarray  # of every step
    value: float  # of the cell's own loss, at the end
    seconds: float
    embedding: np.ndarray  # of all rows, as q has it
    represented: np.ndarray  # of all rows, what is scored
    untrained: np.ndarray  # the same before the first step
    note: str = ""


# ------------------------------------------------------- what is trained on what


class Setup(NamedTuple):
    """What learns, by which task, on which data."""

    learner: Learner
    task: Task
    m: Material

    def start(self, key, extra_key) -> dict[str, Any]:
        """The parameters before the first step, by the names of the task's views."""
        learner, task, x = self.learner, self.task, self.m.x
        if not learner.maps:
            x = self.m.flat if task.start is None else task.start
        params = {name: learner.start(key, see(x)) for name, see in task.views.items()}
        return {**params, "extra": task.extra(extra_key, learner.width)}

    def arguments(self, params, key, batch: dict[str, Any]):
        """The arguments of p and of q on a batch."""
        return self.task.arguments(Model(self.learner, params), key, **batch)

    def optimizer(self, steps: int) -> optax.GradientTransformation:
        return optax.chain(
            self.learner.optimizer(steps),
            retracted(self.learner, self.task.views),
            _averaged(self.task.follows),
        )

    def batches(self, epochs: int) -> Callable:
        """Batches of the task; of few parameters, all rows are one."""
        size = len(self.m.x) if self.learner is LINEAR else self.task.size
        return datasets.batches(self.task.arrays, size or len(self.m.x), epochs)


def setup_of(cell: Cell, m: Material) -> Setup:
    """What learns, by which task, on which data: by the cell's row and column."""
    source = SOURCES[source_of(cell, m)]
    row = _one_of("row", cell.row or cells.G, cells.FAMILIES)
    learner = learner_of(row, source.learned, m.classes)
    m = m.centered() if learner is LINEAR else m
    m = m if learner.maps else m.undivided()
    before = [train(TABLE[name], m) for name in source.after]
    return Setup(learner, source.task(m, *before), m)


def source_of(cell: Cell, m: Material) -> str:
    """What p is built from: as the cell or its column names it, or as p accepts."""
    if cell.learns_from:
        return _one_of("learns_from", cell.learns_from, SOURCES)
    if cell.column:
        return BY_COLUMN[_one_of("column", cell.column, BY_COLUMN)]
    try:
        cell.p(jnp.asarray(m.flat[:50]))
    except (checks.InvalidInput, TypeError):
        return "labels"
    return "features"


def _one_of(argument: str, got: str, allowed: Collection[str]) -> str:
    among = "one of " + ", ".join(allowed)
    checks.require(got in allowed, argument, repr(got), among)
    return got


def _averaged(
    follows: dict[str, str], decay: float = 0.99
) -> optax.GradientTransformation:
    """After the step, some parameters are moving averages of what others were."""

    def update(updates, state, params: Any = None):
        follow = lambda new, old: (1 - decay) * (new - old)
        steps = {}
        for slow, fast in follows.items():
            new: Any = optax.apply_updates(params[fast], updates[fast])
            steps[slow] = jax.tree.map(follow, new, params[slow])
        return {**updates, **steps}, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


# ------------------------------------------------------- descents


class Descent(NamedTuple):
    """Parameters before and after, and the loss of every step."""

    start: dict[str, Any]
    params: dict[str, Any]
    losses: np.ndarray


class ZeroGradient(Exception):
    """The gradient is exactly zero: a ranking cannot be descended."""


def _require_moved(before, after) -> None:
    """Refuse parameters none of which has changed."""
    same = jax.tree.map(lambda x, y: bool(jnp.all(x == y)), before, after)
    if all(jax.tree.leaves(same)):
        raise ZeroGradient


def _losses(history) -> np.ndarray:
    """The losses of a descent; Ctrl-C ends the table, not one row."""
    if history.interrupted:
        raise KeyboardInterrupt
    return history.loss


def _descend_at_once(cell: Cell, setup: Setup) -> Descent:
    """All points at once, p built once; the best of several starts of a clustering."""
    learner, m = setup.learner, setup.m
    tries = m.budget.restarts if learner.alternatives else 1
    keys = jr.split(jr.key(m.seed), tries)
    start = setup.start(keys[0], keys[0])
    evidence, _ = setup.arguments(start, keys[0], setup.task.arrays)
    p = tabulated(cell.p(*evidence)).prepared()
    descents = [
        _descent(cell, setup._replace(learner=each), p)
        for each in (learner, *learner.alternatives)
    ]
    ended: list[Descent] = []
    for k, key in enumerate(keys):
        try:
            ended.append(descents[k % len(descents)](key))
        except DivergenceError:
            if k == tries - 1 and not ended:
                raise
    return min(ended, key=lambda end: end.losses[-1])


BY_MASSES = (kl, cross_entropy, cells.joint)  # they ask q for its log-masses, no more


def _interpolated(q):
    """q with log-masses from a grid, if it can have them."""
    try:
        return interpolated(q)
    except checks.InvalidInput:
        return q


def _descent(cell: Cell, setup: Setup, p) -> Callable:
    """A descent by one learner, as a function of the key of its start."""
    learner, budget = setup.learner, setup.m.budget
    clustering = cell.row == cells.C and not learner.maps
    steps = budget.annealing if clustering else budget.steps
    steps = steps // 2 if learner.maps else steps
    optimizer = setup.optimizer(steps)
    on_grid = cell.loss in BY_MASSES and not learner.maps
    faster = _interpolated if on_grid else lambda q: q

    def loss(params, p, arrays):
        _, embedding = setup.arguments(params, None, arrays)
        return cell.loss(p, faster(cell.q(*embedding)))

    def descend(key) -> Descent:
        start = setup.start(key, key)
        moved = lambda step, loss, params: _require_moved(start, params)
        args = p, setup.task.arrays
        params, history = minimize(
            loss, start, optimizer, steps, args=args, callbacks=[moved]
        )
        return Descent(start, params, _losses(history))

    return descend


def _descend_batches(cell: Cell, setup: Setup) -> Descent:
    """Batch after batch, p built from each."""
    key, budget = jr.key(setup.m.seed), setup.m.budget
    start = setup.start(*jr.split(key))
    steps = budget.batches if setup.learner.maps else budget.steps
    optimizer, feed = setup.optimizer(steps), setup.batches(steps)
    criterion = setup.task.loss or cell.loss

    def loss(params, batch, key):
        evidence, embedding = setup.arguments(params, key, batch)
        return criterion(cell.p(*evidence), cell.q(*embedding))

    def moved(step, loss, params):
        if step == 2:  # the first step warms up
            _require_moved(start, params)

    done = lambda step, loss, params: step >= steps
    params, history = fit(loss, start, feed, optimizer, key, callbacks=[moved, done])
    return Descent(start, params, _losses(history))


# ------------------------------------------------------- training


def train(cell: Cell, m: Material) -> Trained:
    """Train a cell on a data set, by its column and its row.

    Args:
        cell: any cell, of the table or of your own.
        m: what `material` makes of a data set.

    Raises:
        InvalidInput: a column, row or evidence that no recipe knows.
        DivergenceError: a loss that stops being finite.

    Example:
        >>> import icon
        >>> from icon import recipes
        >>> m = recipes.material(icon.data.digits(), budget=recipes.QUICK)
        >>> recipes.train(icon.TABLE["PCA"], m).embedding.shape
        (500, 2)
    """
    checks.instance("cell", cell, Cell, "a Cell")
    checks.instance("m", m, Material, "what recipes.material returns")
    began, note = time.monotonic(), ""
    setup = setup_of(cell, m)
    descend = _descend_at_once if setup.task.size is None else _descend_batches
    try:
        end = descend(cell, setup)
    except ZeroGradient:
        other = _differentiable(cell, source_of(cell, m))
        end = descend(other, setup)
        note = f"its gradient is zero: descends {other.name}"
    _, untrained = _all_rows(setup, end.start)
    embedding, scored = _all_rows(setup, end.params)
    value = _value(cell, setup, end) if note else float(np.mean(end.losses[-20:]))
    return Trained(
        cell,
        setup.learner,
        end.params,
        end.losses,
        value,
        time.monotonic() - began,
        embedding,
        scored,
        untrained,
        note,
    )


def _differentiable(cell: Cell, source: str) -> Cell:
    """The row at a temperature above zero, of the same evidence and column."""
    near = [c for c in TABLE.values() if c.row == cells.G and c.learns_from == source]
    near.sort(key=lambda c: c.column != cell.column)
    got = f"{cell.name}, whose gradient is zero"
    checks.require(near, "cell", got, "a gradient to descend")
    return near[0]


def _value(cell: Cell, setup: Setup, end: Descent) -> float:
    """The cell's own loss after the descent of another: of all rows, or of a batch."""
    key, batch = jr.key(setup.m.seed), setup.task.arrays
    if setup.task.size is not None:
        batch = next(setup.batches(1)(key, 0))
    return float(cell(*setup.arguments(end.params, key, batch)))


def _all_rows(setup: Setup, params) -> tuple[np.ndarray, np.ndarray]:
    """The embedding of all rows, and what of it is scored."""
    learner, task = setup.learner, setup.task
    if task.scored is not None:
        scored = np.asarray(task.scored(params))
        return scored, scored

    def rows(of: Callable) -> np.ndarray:
        shown = [
            of(params[name], jnp.asarray(see(setup.m.x)))
            for name, see in task.views.items()
            if name not in task.follows
        ]
        return np.concatenate([np.asarray(z.reshape(len(z), -1)) for z in shown], 1)

    return rows(learner.apply), rows(learner.represent)
