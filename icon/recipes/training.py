"""How is a cell trained? By its column and its row, never by its name."""

import functools as ft
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from icon import data as datasets
from icon._base import checks
from icon._base.positive import value_of
from icon._engines import interpolated
from icon._neighborhoods import tabulated
from icon._table import TABLE, Cell, evidence, known, takes
from icon._training import (
    DivergenceError,
    completed,
    fit,
    forget_loops,
    forget_steps,
    minimize,
)
from icon.recipes.material import Material
from icon.recipes.models import LINEAR, Learner, Model, learner_of, retracted
from icon.recipes.networks import networks, require_starts
from icon.recipes.task import Source, Task, together
from icon.recipes.tasks import BY_COLUMN, SOURCES


# ------------------------------------------------------- what is trained on what


class Setup(NamedTuple):
    """What learns, by which task, on which data."""

    learner: Learner
    task: Task
    m: Material
    own: Mapping[str, Learner] = {}  # of views that have a network of their own

    def of(self, view: str) -> Learner:
        return self.own.get(view, self.learner)

    def start(self, key, extra_key) -> dict[str, Any]:
        """The parameters before the first step, by the names of the task's views.

        No two views start alike, but for one that follows another.
        """
        learner, task = self.learner, self.task
        keys = {name: jr.fold_in(key, k) for k, name in enumerate(task.views)}
        keys |= {slow: keys[fast] for slow, fast in task.follows.items()}
        params = {
            name: self.of(name).start(keys[name], see(self._rows))
            for name, see in task.views.items()
        }
        return {**params, "extra": task.extra(extra_key, learner.width)}

    def states(self, key) -> dict[str, Any]:
        """What models carry from step to step besides, by view."""
        views = self.task.views.items()
        return {name: self.of(name).state(key, see(self._rows)) for name, see in views}

    @property
    def _rows(self):
        if self.learner.maps:
            return self.m.x
        return self.m.flat if self.task.start is None else self.task.start

    def arguments(self, params, key, batch: Mapping[str, Any], states=None):
        """The arguments of p and of q on a batch."""
        return self.learn(params, key, batch, states)[:2]

    def learn(self, params, key, batch: Mapping[str, Any], states, learning=False):
        """The arguments of p and of q on a batch, and the states after it."""
        batch = dict(batch)
        progress = batch.pop(PROGRESS, 1.0)
        own = jr.fold_in(key, OWN) if learning else None
        model = Model(self.of, self.learner, params, states, own, progress)
        p, q = self.task.arguments(model, key, **batch)
        return p, q, model.states

    def optimizer(self, steps: int) -> optax.GradientTransformation:
        learner, task = self.learner, self.task
        by = learner.optimizer if task.optimizer is None else task.optimizer
        return optax.chain(
            by(steps), retracted(learner, task.views), _averaged(task.follows)
        )

    def batches(self, steps: int) -> Callable:
        """So many batches of the task, each with how far along it is.

        Of few parameters, all rows are a batch.
        """
        size = len(self.m.x) if self.learner is LINEAR else self.task.size
        arrays = dict(self.task.arrays)
        length = len(next(iter(arrays.values())))
        each = max(1, length // min(size or length, length))
        feed = datasets.batches(arrays, size or length, steps)

        def epoch_of(key, epoch: int) -> Iterator[dict[str, Any]]:
            # all rows are in their order, which p may know
            cut = [arrays] if size is None else feed(key, epoch)
            for place, batch in enumerate(cut):
                step = epoch * each + place
                if step >= steps:
                    return
                yield batch | {PROGRESS: np.float32(step / max(1, steps - 1))}

        return epoch_of


PROGRESS, OWN = "progress of the training", 10**6


def setup_of(cell: Cell, m: Material, model=None) -> Setup:
    """What learns, by which task, on which data: by the cell's row and column."""
    source = source_of(cell, m)
    if cell.row:
        return _setup(cell, cell.row, source, m, model)
    setup = _setup(cell, evidence.G, source, m, model)
    try:
        _first_loss(cell, setup)
    except checks.InvalidInput as error:
        if error.argument != "memberships":
            raise
        memberships = _setup(cell, evidence.C, source, m, model)
        try:
            _first_loss(cell, memberships)
        except checks.InvalidInput:
            raise error from None
        return memberships
    return setup


def _first_loss(cell: Cell, setup: Setup):
    """The loss before the first step, of as many rows as a batch has."""
    key, size = jr.key(0), setup.task.size
    arrays = {name: x[:size] for name, x in setup.task.arrays.items()}
    start = setup.start(key, key)
    return cell(*setup.arguments(start, key, arrays, setup.states(key)))


def _setup(cell: Cell, row: str, source: Source, m: Material, model) -> Setup:
    make = ft.partial(learner_of, row, source.learned, m.classes)
    m = m.centered() if make() is LINEAR else m
    m = m if make().maps else m.undivided()
    before = [train(TABLE[name], m) for name in source.after]
    task = source.task(m, *before)
    checks.instance("learns_from", task, Task, "a function that makes a recipes.Task")
    if model is not None:
        got = f"a model for a cell that learns {source.learned.value}"
        checks.require(make().maps, "model", got, "None")
        got = "a model for a task that has a network of its own"
        checks.require(task.views, "model", got, "None")
    separate = [name for name in task.views if name not in task.follows]
    require_starts(model, len(separate), "views")
    by_view = networks(model)
    layers = dict(hidden=task.head, width=task.width)
    own = {name: make(network=by_view(name), **layers) for name in task.views}
    return Setup(next(iter(own.values()), make(**layers)), task, m, own)


def source_of(cell: Cell, m: Material) -> Source:
    """What p is built from: as the cell or its column names it, or as p accepts."""
    given = cell.learns_from or (BY_COLUMN[cell.column] if cell.column else "")
    if isinstance(given, Source):
        return given
    if isinstance(given, tuple):
        return _source_of_parts(cell, m)
    if callable(given):
        return Source(given)
    if given:
        return SOURCES[known("learns_from", given, SOURCES)]
    try:
        cell.supervised((jnp.asarray(m.flat[:50]),))
    except (checks.InvalidInput, TypeError):
        return SOURCES["labels"]
    return SOURCES["features"]


def _source_of_parts(cell: Cell, m: Material) -> Source:
    """The sources of the parts of a sum, which are learned by the same."""
    sources = [source_of(part, m) for _, part in cell.parts]
    first = sources[0]
    for source in sources:
        got = f"{first.learned.value} beside {source.learned.value}"
        alike = source.learned is first.learned
        checks.require(alike, "cell", got, "a sum of cells that learn alike")
    after = tuple(dict.fromkeys(name for source in sources for name in source.after))

    def task(m: Material, *before):
        trained = dict(zip(after, before, strict=True))
        return together(
            [each.task(m, *(trained[name] for name in each.after)) for each in sources]
        )

    return Source(task, first.learned, after, first.data)


def _averaged(
    follows: Mapping[str, str], decay: float = 0.99
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
    states: Any = ()
    setup: Any = None  # what it was of


class ZeroGradient(Exception):
    """The gradient is exactly zero: a ranking cannot be descended."""


def _require_moved(before, after) -> None:
    """Refuse parameters none of which has changed."""
    same = jax.tree.map(lambda x, y: bool(jnp.all(x == y)), before, after)
    if all(jax.tree.leaves(same)):
        raise ZeroGradient


def _solved(cell: Cell, setup: Setup, solution: Mapping[str, Any]) -> Descent:
    """The minimum in closed form, and its loss."""
    key = jr.key(setup.m.seed)
    start = {**setup.start(key, key), "learned": _numbers_of(cell)}
    params = {**start, **solution}
    loss = valued(cell, setup)(params)
    return Descent(start, params, np.array([loss]), setup=setup)


def _descend_at_once(cell: Cell, setup: Setup, checkpoint=None) -> Descent:
    """All points at once, p built once; the best of several starts of a clustering."""
    learner, m = setup.learner, setup.m
    tries = m.budget.restarts if learner.alternatives else 1
    keys = jr.split(jr.key(m.seed), tries)
    start = setup.start(keys[0], keys[0])
    evidence, _ = setup.arguments(start, keys[0], setup.task.arrays)
    p = None
    learns = any(takes(cell.p, name) for name in cell.learned)
    if not (learns or learner.on_both_sides):
        p = _each(lambda p: tabulated(p).prepared(), cell.p(*evidence))
    whole = m.budget.annealing if learner.alternatives else m.budget.steps
    steps = max(1, round(learner.share * whole))
    descents = [
        _descent(cell, setup._replace(learner=each, own={}), p, steps)
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


def _each(f: Callable, x):
    """f of a neighbourhood, or of each of those of a sum."""
    return tuple(_each(f, one) for one in x) if isinstance(x, tuple) else f(x)


def _interpolated(q):
    """q with log-masses from a grid, if it can have them."""
    try:
        return interpolated(q)
    except checks.InvalidInput:
        return q


def _descent(cell: Cell, setup: Setup, p, steps: int) -> Callable:
    """A descent by one learner, as a function of the key of its start."""
    learner = setup.learner
    optimizer = setup.optimizer(steps)

    def loss_by(faster: Callable):
        def loss(params, p, arrays):
            evidence, embedding = setup.arguments(params, None, arrays)
            q = cell.learning(embedding, params["learned"])
            made = cell.supervised(evidence, params["learned"]) if p is None else p
            return cell.loss(made, _each(faster, q))

        return loss

    def descend(key) -> Descent:
        start = {**setup.start(key, key), "learned": _numbers_of(cell)}
        args = p, setup.task.arrays
        loss = loss_by(lambda q: q)
        if not learner.maps and _answers(loss_by(_interpolated), start, *args):
            loss = loss_by(_interpolated)
        moved = lambda step, loss, params: _require_moved(start, params)
        params, history = completed(
            minimize(loss, start, optimizer, steps, args=args, callbacks=[moved])
        )
        return Descent(start, params, history.loss, setup=setup)

    return descend


def _answers(loss: Callable, *args) -> bool:
    """Whether a loss asks q for no more than a grid can say."""
    try:
        jax.eval_shape(loss, *args)
    except checks.InvalidInput:
        return False
    return True


def _descend_batches(cell: Cell, setup: Setup, checkpoint=None) -> Descent:
    """Batch after batch, p built from each; narrow networks after wide ones."""
    steps = setup.m.budget.batches if setup.learner.maps else setup.m.budget.steps
    steps = steps // 2 if setup.task.size is None else steps
    if setup.learner.first is None:
        return _stage(cell, setup, steps, checkpoint=checkpoint)
    wide = {name: learner.first for name, learner in setup.own.items()}
    before = setup._replace(learner=setup.learner.first, own=wide)
    folder = None if checkpoint is None else f"{checkpoint}-wide"
    return _stage(
        cell, setup, steps - steps // 2, _stage(cell, before, steps // 2, None, folder),
        checkpoint,
    )  # fmt: skip


def _stage(
    cell: Cell, setup: Setup, steps: int, before=None, checkpoint=None
) -> Descent:
    """A number of batches, from the networks of a stage before, if there was one."""
    key = jr.key(setup.m.seed)
    begun = {**setup.start(*jr.split(key)), "learned": _numbers_of(cell)}
    start, states = begun, setup.states(key)
    if before is not None:
        start, states = dict(begun), before.states
        for name in setup.task.views:
            start[name] = before.params[name][0], begun[name][1]
    optimizer, feed = setup.optimizer(steps), setup.batches(steps)

    def loss(params, batch, key, carried):
        evidence, embedding, after = setup.learn(params, key, batch, carried, True)
        return cell(evidence, embedding, params["learned"]), after

    def moved(step, loss, params):
        if step == 2:  # the first step warms up
            _require_moved(start, params)

    params, history = completed(fit(
        loss, start, feed, optimizer, key,
        carried=states, callbacks=[moved], checkpoint=checkpoint,
    ))  # fmt: skip
    return Descent(begun, params, history.loss, history.carried, setup)


# ------------------------------------------------------- training


class Trained(NamedTuple):
    """A cell after its training."""

    cell: Cell
    setup: Setup
    params: Any
    loss: np.ndarray  # of every step
    value: float  # of the cell's own loss, at the end
    seconds: float
    embedding: np.ndarray  # of all rows, as q has it
    represented: np.ndarray  # of all rows, what is scored
    untrained: np.ndarray  # the same before the first step
    note: str = ""
    learned: Mapping[str, float] = {}  # numbers of p and q, by name
    states: Any = ()  # of models, by view

    @property
    def learner(self) -> Learner:
        return self.setup.learner

    @property
    def task(self) -> Task:
        return self.setup.task

    @property
    def summary(self) -> str:
        """What was trained, with what: and where it differs from the paper."""
        learner = self.learner
        network = learner.summary if self.task.views else ""
        by = learner.by if self.task.optimizer is None else ""
        by = by if self.task.solution is None else "in closed form"
        words = [self.task.summary, network, by]
        differs = self.cell.differs
        return ". ".join([", ".join(filter(None, words)), *filter(None, [differs])])


def train(cell: Cell, m: Material, *, model=None, checkpoint=None) -> Trained:
    """Train a cell on a data set, by its column and its row.

    Args:
        cell: any cell, of the table or of your own.
        m: what `material` makes of a data set.
        model: the network of a cell that learns one, as `networks.network` takes it, or
            a dict of one for each view of its task; None: one for the rows' shape.
        checkpoint: a folder in which the state of the training is kept, so that the
            same call goes on after it was killed; of batches only.

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
    from threadpoolctl import threadpool_limits

    checks.instance("cell", cell, Cell, "a Cell")
    checks.instance("m", m, Material, "what recipes.material returns")
    began = time.monotonic()
    setup = setup_of(cell, m, model)
    # factors inside of a step are small: LAPACK's threads would wait for those of XLA
    with threadpool_limits(1, "blas"):
        end, note = _descended(cell, setup, checkpoint)
    _, untrained = _all_rows(setup, end.start, setup.states(jr.key(m.seed)))
    embedding, scored = _all_rows(setup, end.params, end.states)
    value = (
        valued(cell, setup, end.states)(end.params)
        if note
        else float(np.mean(end.losses[-20:]))
    )
    return Trained(
        cell,
        setup,
        end.params,
        end.losses,
        value,
        time.monotonic() - began,
        embedding,
        scored,
        untrained,
        note,
        _numbers(end.params["learned"]),
        end.states,
    )


def _descended(cell: Cell, setup: Setup, checkpoint) -> tuple[Descent, str]:
    """What was reached, and a note where it is by the loss of another row."""
    if (solution := setup.task.solution) is not None:
        return _solved(cell, setup, solution()), ""
    by_steps = setup.task.size is not None or setup.learner.training is not None
    descend = _descend_batches if by_steps else _descend_at_once
    try:
        return descend(cell, setup, checkpoint), ""
    except ZeroGradient:
        other = _differentiable(cell)
        end = descend(other, setup, checkpoint)
        # its own numbers stay where they were: no gradient moves them
        params = {**end.params, "learned": _numbers_of(cell)}
        return end._replace(
            params=params
        ), f"its gradient is zero: descends {other.name}"
    finally:  # the losses were made for this training, and do not come again
        forget_steps() if by_steps else forget_loops()


def _numbers_of(cell: Cell) -> dict[str, Any]:
    """What is learned of p and q beside, before the first step."""
    return jax.tree.map(jnp.asarray, dict(cell.learned))


def _numbers(learned: Mapping[str, Any]) -> dict[str, float]:
    """The learned numbers by name; of several in one, their mean."""
    values = {name: value_of(x) for name, x in learned.items()}
    mean = lambda x: float(np.mean([np.mean(leaf) for leaf in jax.tree.leaves(x)]))
    return {name: mean(value) for name, value in values.items()}


def _differentiable(cell: Cell) -> Cell:
    """The row at a temperature above zero, of the same evidence and column."""
    near = [
        c
        for c in TABLE.values()
        if c.row == evidence.G and c.learns_from == cell.learns_from
    ]
    near.sort(key=lambda c: c.column != cell.column)
    got = f"{cell.name}, whose gradient is zero"
    checks.require(near, "cell", got, "a gradient to descend")
    return near[0]


def valued(cell: Cell, setup: Setup, states=()) -> Callable[[Any], float]:
    """The cell's own loss by its parameters: of all rows, or of the first batch."""
    key, batch = jr.key(setup.m.seed), setup.task.arrays
    batches = setup.task.size is not None
    if batches:
        batch = next(setup.batches(1)(key, 0))

    def value(params, batch):
        p, q = setup.arguments(params, key, batch, states)
        return cell(p, q, {name: params["learned"][name] for name in cell.learned})

    value = jax.jit(value) if batches else value  # a p of all rows is no traced one
    return lambda params: float(value(params, batch))


def _all_rows(setup: Setup, params, states) -> tuple[np.ndarray, np.ndarray]:
    """The embedding of all rows, and what of it is scored."""
    task, states = setup.task, dict(states or {})
    if task.scored is not None:
        scored = np.asarray(task.scored(params))
        return scored, scored

    def rows(of: Callable) -> np.ndarray:
        shown = [
            of(setup.of(name))(
                params[name], jnp.asarray(see(setup.m.x)), states.get(name, ())
            )
            for name, see in task.views.items()
            if name not in task.follows
        ]
        return np.concatenate([np.asarray(z.reshape(len(z), -1)) for z in shown], 1)

    return (
        rows(lambda learner: learner.apply),
        rows(lambda learner: learner.represent),
    )
