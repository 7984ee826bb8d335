"""What is p built from? A task: arrays, and the arguments that p and q get of them."""

import enum
import functools as ft
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import jax.random as jr
import optax

from icon._base import checks as check


BATCH, WIDTH = 256, 128


def rows(x):
    """All of the data, for a model that sees all of it."""
    return x


def ids_of(x):
    """An id of its own for every row: two views of it share one."""
    return jnp.arange(len(x), dtype=jnp.int32)


class Learned(enum.Enum):
    """By what a task can be learned."""

    POINTS = "an embedding of its own for every point"
    LINEAR_MAP = "an orthonormal map"
    MATRIX = "a linear map"
    NETWORK = "a network"
    PARAMETERS = "parameters of its own"


class Task(NamedTuple):
    """The arguments of p and q, and what of them is learned.

    `arguments` gets a key of the step (None where points are placed at once), a batch
    by the names of its arrays, and a model: `model(x)` embeds
    rows, `model(x, name)` does so by another of the `views`, `model.extra` are further
    parameters that are learned, `model.finish` brings them to where embeddings are,
    and `model.progress` goes from 0 at the first step to 1 at the last.

    Args:
        arrays: what batches are cut from: by name, [n, ...] each.
        arguments: (model, key, **batch) -> (arguments of p, arguments of q).
        views: by the name of each model, the part of the rows that it embeds.
        follows: models that are moving averages of others, by name.
        extra: (key, width) -> further parameters that are learned.
        size: rows of a batch; None: all of them, and p is built once.
        head: widths of layers between what is scored and what q gets, of a network.
        width: of a network's embedding; None: by the row of the table, which is the
            plane under Student's t.
        start: [n, d], from where free embeddings start; None: the features.
        solution: () -> the parameters of each view that minimise the loss exactly;
            None: they are trained.
        optimizer: steps -> an optax transformation; None: the learner's.
        scored: (params) -> what is scored, of all rows; None: what the models make.
        scores: (trained, m) -> numbers by name, the main one first; None: by labels.
        protocol: of those scores, in two words.
        summary: what is done, in a few words: the augmentation, the targets.

    Example:
        A task that a function makes of the data: rows that are near in time.

        >>> import icon, numpy as np
        >>> from icon import recipes
        >>> def in_order(m):
        ...     arrays = dict(x=m.x[m.train], t=np.float32(m.train))
        ...     def arguments(model, key, x, t):
        ...         return (t[:, None],), (model(x),)
        ...     return recipes.Task(arrays, arguments)
        >>> cell = icon.Cell("slow features", icon.gaussian, icon.cosine, icon.kl,
        ...     in_order)
        >>> budget = recipes.Budget(points=60, batches=5)
        >>> m = recipes.material(icon.data.digits(), budget=budget)
        >>> recipes.train(cell, m).embedding.shape
        (60, 128)
    """

    arrays: Mapping[str, Any]
    arguments: Callable
    views: Mapping[str, Callable] = {"z": rows}
    follows: Mapping[str, str] = {}
    extra: Callable = lambda key, width: ()
    size: int | None = BATCH
    head: tuple[int, ...] = ()
    width: int | None = None
    start: Any = None
    solution: Callable | None = None
    optimizer: Callable | None = None
    scored: Callable | None = None
    scores: Callable | None = None
    protocol: str = ""
    summary: str = ""


class Source(NamedTuple):
    """How a task is made of a data set.

    Args:
        task: (material, *trained) -> a Task.
        learned: by what it can be learned.
        after: rows of the table that are trained first, on the same data.
        data: the data set of `icon.data` that shows it, where the user has none.
        exact: whether eigenvectors are the minimum of its tasks: no step is taken.

    Example:
        Isomap of another neighbourhood: every number of a task is an argument.

        >>> import dataclasses, icon
        >>> from icon import recipes
        >>> near = recipes.SOURCES["geodesics"].at(n_neighbors=5, n_components=3)
        >>> isomap = dataclasses.replace(icon.TABLE["Isomap"], learns_from=near)
        >>> m = recipes.material(icon.data.digits(), budget=recipes.QUICK)
        >>> recipes.train(isomap, m).embedding.shape
        (500, 3)
    """

    task: Callable
    learned: Learned = Learned.NETWORK
    after: tuple[str, ...] = ()
    data: str = "mnist1d"
    exact: bool = False

    def at(self, **numbers) -> "Source":
        """The same with other numbers of its task, by their names."""
        return self._replace(task=ft.partial(self.task, **numbers))


def prototypes(*shape: int) -> Callable:
    """Points of the model's width, of length about 1, to be learned."""
    return lambda key, width: jr.normal(key, (*shape, width)) / math.sqrt(width)


def of_parameters(start: Callable, arrays, arguments: Callable, **others) -> Task:
    """A task of all rows, of which further parameters are all that is learned.

    Args:
        start: key -> the parameters before the first step.
        arrays: as those of a Task.
        arguments: as those of a Task.
        others: what else a Task has.
    """
    extra = lambda key, width: start(key)
    return Task(arrays, arguments, views={}, extra=extra, size=None, **others)


def of_extra(transformation: optax.GradientTransformation) -> Callable:
    """An optimizer of a task whose further parameters are all that it learns."""

    def update(updates: Any, state, params: Any = None):
        own = updates["extra"], state, params["extra"]
        steps, state = transformation.update(*own)
        return updates | {"extra": steps}, state

    begin = lambda params: transformation.init(params["extra"])
    return lambda steps: optax.GradientTransformation(begin, update)


# ------------------------------------------------------- several at once


class Part(NamedTuple):
    """A model as one task of several sees it: with the further parameters it has."""

    model: Any
    place: int

    def __call__(self, x, view: str = "z"):
        return self.model(x, view)

    def finish(self, x):
        return self.model.finish(x)

    @property
    def extra(self):
        return self.model.extra[self.place]

    @property
    def progress(self):
        return self.model.progress


def together(tasks: list[Task]) -> Task:
    """One task of several: batches of the same rows, one model, a tuple of each's.

    Args:
        tasks: of the same data set and the same number of rows.

    Raises:
        InvalidInput: tasks of unlike numbers of rows, of all rows and of batches, or
            with models of the same name for unlike parts of the rows.
    """
    _require_alike(tasks)
    first, sizes = tasks[0], [task.size for task in tasks if task.size is not None]
    return first._replace(
        head=max((task.head for task in tasks), key=len),
        width=max((task.width for task in tasks if task.width), default=None),
        summary="; beside ".join(task.summary for task in tasks),
        arrays={f"{x} {k}": t.arrays[x] for k, t in enumerate(tasks) for x in t.arrays},
        arguments=_arguments_of(tasks),
        views={name: see for task in tasks for name, see in task.views.items()},
        follows={name: of for task in tasks for name, of in task.follows.items()},
        extra=lambda key, width: tuple(
            task.extra(jr.fold_in(key, k), width) for k, task in enumerate(tasks)
        ),
        size=min(sizes, default=None),
        scored=first.scored and _scored_by_first(first.scored),
        scores=first.scores and _scores_of_first(first.scores),
    )


def _require_alike(tasks: list[Task]) -> None:
    """Refuse tasks that no batch, or no model, can be of together."""
    lengths = {len(x) for task in tasks for x in task.arrays.values()}
    got = f"tasks of {' and '.join(map(str, sorted(lengths)))} rows"
    check.require(len(lengths) == 1, "cell", got, "a sum of cells of the same rows")
    mixed = len({task.size is None for task in tasks}) == 2
    got = "batches beside all rows at once"
    check.require(not mixed, "cell", got, "a sum of cells that are trained alike")
    first = tasks[0]
    for task in tasks:
        for name in task.views.keys() & first.views.keys():
            alike = task.views[name] == first.views[name]
            got = f"two models named {name!r}"
            check.require(alike, "cell", got, "a sum of cells of the same models")


def _arguments_of(tasks: list[Task]) -> Callable:
    """A tuple of the arguments of each task, of its own arrays and its own key."""

    def arguments(model, key, **batch):
        made = [
            task.arguments(
                Part(model, k),
                None if key is None else jr.fold_in(key, k),
                **{name: batch[f"{name} {k}"] for name in task.arrays},
            )
            for k, task in enumerate(tasks)
        ]
        return tuple(p for p, _ in made), tuple(q for _, q in made)

    return arguments


def _of_first(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the first task has them."""
    return {**params, "extra": params["extra"][0]}


def _scored_by_first(scored: Callable) -> Callable:
    return lambda params: scored(_of_first(params))


def _scores_of_first(scores: Callable) -> Callable:
    return lambda trained, m: scores(
        trained._replace(params=_of_first(trained.params)), m
    )
