"""What comes of a cell on some data? All that the table shows of it."""

import dataclasses
import functools as ft
import operator
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from icon import data as datasets
from icon._base import checks as check
from icon._table import TABLE, Cell, known
from icon.recipes.floors import floor_of
from icon.recipes.material import FULL, Budget, Material, material
from icon.recipes.networks import require_starts
from icon.recipes.scoring import Ground, refused, result
from icon.recipes.task import Source
from icon.recipes.tasks import BY_COLUMN, SOURCES
from icon.recipes.training import train


USUAL = "digits"  # for a cell that says nothing of its data


@dataclasses.dataclass(frozen=True)
class Bench:
    """A data set for every cell, how long to train, and what is not the usual.

    Args:
        data: an `icon.data.Dataset`, a file, the name of one of `icon.data.SETS`, rows
            [n, d], or None: for each cell the set that tells most about it.
        budget: how many points and steps.
        model: as `recipes.train` takes it.
        views: (key, rows) -> rows, a random change that keeps their meaning.
        metric: (z, m) -> a number or several by name, shown first.
    """

    data: Any = None
    budget: Budget = FULL
    model: Any = None
    views: Callable | None = None
    metric: Callable | None = None

    def __post_init__(self):
        for name, given in (("views", self.views), ("metric", self.metric)):
            fits = given is None or callable(given)
            check.require(fits, name, repr(given), "a function")

    def material(self, cell: Cell, seed: int) -> Material:
        """The data of a cell, split by the seed."""
        return self._ground(cell, seed).m

    def _ground(self, cell: Cell, seed: int) -> Ground:
        data = data_of(cell) if self.data is None else self.data
        views = None if self.views is None else _counted(self.views)
        return _ready(_key(data), seed, self.budget, views)

    def result(self, cell: Cell, seed: int = 0, checkpoint=None) -> dict[str, Any]:
        """What the table shows of a cell trained once."""
        data = data_of(cell) if self.data is None else self.data
        raw, views = self._ground(cell, seed), _counted(self.views)
        before = views.calls
        trained = train(cell, raw.m, model=self.model, checkpoint=checkpoint)
        found = result(trained, raw.m, raw, self.metric) | dict(data=_named(data))
        if self.views is not None and views.calls == before:
            found["note"] = "; ".join(filter(None, [found["note"], UNUSED]))
        return found

    def attempt(self, cell: Cell, seeds: range) -> dict[str, Any]:
        """The same of several seeds; or why there is none: any row may fail alone."""
        require_starts(self.model, len(seeds), "seeds")
        try:
            found = averaged([self.result(cell, seed) for seed in seeds])
        except Exception as error:
            why = " ".join(str(error).split())
            return refused(cell, f"{type(error).__name__}: {why}"[:400])
        return found | dict(floor=self.floor(cell, found))

    def floor(self, cell: Cell, found: dict[str, Any]) -> dict[str, Any] | None:
        """The floor of a row: on the data and of the training it was set for."""
        full = all(map(operator.ge, self.budget, FULL))
        return floor_of(cell, found) if full and self.data is None else None


def data_of(cell: Cell) -> str:
    """The data set that shows a cell, where the user has none."""
    given = cell.learns_from or BY_COLUMN.get(cell.column, "")
    if isinstance(given, Source):
        return given.data
    if isinstance(given, tuple):  # of a sum
        return data_of(cell.parts[0][1])
    return SOURCES[given].data if isinstance(given, str) and given else USUAL


UNUSED = "the given views are of no use to it"


class _Counted:
    """Views of the user's, and how often they were asked for."""

    def __init__(self, views):
        self.views, self.calls = views, 0

    def __call__(self, key, x):
        self.calls += 1
        return self.views(key, x)


@ft.lru_cache(maxsize=8)
def _counted(views) -> _Counted:
    """One of each views, as what is made ready is looked up by them."""
    return _Counted(views)


class _Key:
    """A data set by its identity, as what is made ready once is looked up by it."""

    def __init__(self, data: datasets.Dataset):
        self.data = data  # which keeps the arrays that the ids are of
        known = (*data[1:4], data.views, data.words, *data.also.values())
        self._ids = (*data.also, *map(id, known))

    def __hash__(self):
        return hash(self._ids)

    def __eq__(self, other):
        return self._ids == other._ids


def _key(data) -> _Key:
    return _Key(_loaded(data))


def _loaded(data) -> datasets.Dataset:
    """A data set by its name, of a file, or of an array."""
    if isinstance(data, datasets.Dataset):
        return data
    if isinstance(data, str) and data in datasets.SETS:
        return _built_in(data)
    if isinstance(data, str | os.PathLike):
        if not Path(data).exists():
            known("data", str(data), (*datasets.SETS, "a file"))
        return datasets.load(data)
    return datasets.dataset("data", np.asarray(check.reals("data", data, None)))


@ft.cache
def _built_in(name: str) -> datasets.Dataset:
    return datasets.SETS[name]()


@ft.lru_cache(maxsize=8)
def _ready(key: _Key, seed: int, budget: Budget, views) -> Ground:
    """The data split by a seed, and what the raw data score, once asked for."""
    return Ground(material(key.data, seed, budget, views))


def _named(data) -> str:
    return data if isinstance(data, str) else _loaded(data).name


def averaged(results: list[dict[str, Any]]) -> dict[str, Any]:
    """One result of several seeds: means, standard errors, the first one's picture."""
    first, count = results[0], len(results)
    if count == 1:
        return first | dict(errors={}, seeds=1)
    mean = lambda key: {
        name: float(np.mean([each[key][name] for each in results]))
        for name in first[key]
    }
    errors = {
        name: float(np.std([each["scores"][name] for each in results], ddof=1))
        / count**0.5
        for name in first["scores"]
    }
    return first | dict(
        scores=mean("scores"),
        errors=errors,
        learned=mean("learned"),
        loss_value=float(np.mean([each["loss_value"] for each in results])),
        seconds=float(np.sum([each["seconds"] for each in results])),
        seeds=count,
    )


def run(
    cell: Cell | str,
    data: Any = None,
    *,
    model: Any = None,
    views: Callable | None = None,
    metric: Callable | None = None,
    points: int | None = None,
    steps: int | None = None,
    seeds: int = 1,
    seed: int = 0,
    budget: Budget = FULL,
) -> dict[str, Any]:
    """Train a cell on data, score it, and return what the table shows of it.

    Args:
        cell: any cell, or the name of a row.
        data: an `icon.data.Dataset`, a .npy, .npz or .csv file, the name of one of
            `icon.data.SETS`, or rows [n, d]; None: the set that tells most about it.
        model: a Flax (linen, nnx) or Equinox module, a function of a key that makes
            one, (init, apply), or a dict of one for each view; None: by the shape.
        views: (key, rows [b, ...]) -> rows, a random change that keeps their meaning;
            None: that of the data.
        metric: (z [n, k], m) -> a number, or several by name; shown first.
        points: rows at most.
        steps: of training.
        seeds: how many, from `seed` on; means and standard errors are of these.
        seed: decides the split, the start and every batch.
        budget: of points and steps, where those are not given.

    Returns:
        a dict: `scores` (the main one first, those of the raw data as "raw ..."),
        `errors` of several seeds, `z`, `labels`, `loss_value`, `learned`, `trained`,
        `seconds` and what else `icon.plot.table` draws.

    Raises:
        InvalidInput: data, a model, views or a metric that do not fit.
        DivergenceError: a loss that stops being finite.

    Example:
        >>> import icon
        >>> found = icon.recipes.run("PCA", icon.data.digits(), points=100, steps=20)
        >>> found["name"], found["z"].shape
        ('PCA', (30, 2))
    """
    cell = TABLE[known("cell", cell, TABLE)] if isinstance(cell, str) else cell
    check.instance("cell", cell, Cell, "a Cell, or the name of one")
    bench = Bench(data, spent(budget, points, steps), model, views, metric)
    first, count = check.seed("seed", seed), check.size("seeds", seeds)
    require_starts(model, count, "seeds")
    found = averaged([bench.result(cell, k) for k in range(first, first + count)])
    return found | dict(floor=bench.floor(cell, found))


def spent(budget: Budget, points: int | None, steps: int | None) -> Budget:
    """A budget of other points, and of other steps of whatever is trained."""
    if points is not None:
        budget = budget._replace(points=check.size("points", points, 2))
    if steps is not None:
        steps = check.size("steps", steps)
        budget = budget._replace(steps=steps, batches=steps, annealing=steps)
    return budget
