"""What is learned from? A data set, split once, and how long to train."""

import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from icon import data as datasets
from icon._base import checks as check


class Budget(NamedTuple):
    """How long to train.

    Args:
        points: rows at most, sampled by the seed.
        steps: of a free embedding.
        batches: steps of a map.
        restarts: of a clustering.
        annealing: steps of each.
    """

    points: int = 5000
    steps: int = 750
    batches: int = 600
    restarts: int = 8
    annealing: int = 50


FULL = Budget()
QUICK = Budget(points=500, steps=50, batches=20, restarts=1)


class Material(NamedTuple):
    """A data set, split once by a seed, and how long to train."""

    x: np.ndarray  # [n, d] or images [n, h, w] or [n, h, w, c]
    labels: np.ndarray  # [n], -1 where there is none; zeros where there are none at all
    train: np.ndarray  # the rows that may be learned from
    test: np.ndarray
    classes: int
    seed: int
    budget: Budget
    labelled: bool
    also: Mapping[str, Any] = types.MappingProxyType({})  # more of the same rows
    view: Callable | None = None  # (key, rows) -> rows; None: by their shape
    words: tuple[str, ...] = ()
    rows: np.ndarray = np.arange(0)  # which of the data set's rows these are

    @property
    def flat(self) -> np.ndarray:
        return self.x.reshape(len(self.x), -1)

    @property
    def known(self) -> np.ndarray:
        """The rows to learn from that have a label."""
        check.require(self.labelled, "data", "rows without labels", "labels, for p")
        return self.train[self.labels[self.train] >= 0]

    def of(self, name: str, expected: str) -> Any:
        """More of the rows, by its name in `Dataset.also`."""
        there = ", ".join(self.also) or "nothing"
        got = f"a data set whose `also` has {there}"
        check.require(name in self.also, "data", got, f"also[{name!r}]: {expected}")
        return self.also[name]

    def two_views(self, key, x):
        """Two random changes of the same rows."""
        return datasets.two_views(key, x, self.view)

    def centered(self) -> "Material":
        """The same data with the mean of the training rows at the origin."""
        return self._replace(x=self.x - self.x[self.train].mean(0))

    def undivided(self) -> "Material":
        """The same data with every row among the training rows."""
        every = np.arange(len(self.x))
        return self._replace(train=every, test=every[:0])


def material(data, seed: int = 0, budget: Budget = FULL, view=None) -> Material:
    """A data set made ready: sampled down to the budget, and split by the seed.

    70 of 100 rows are learned from, the others tested on; a data set with a split of
    its own, `also["train"]`, keeps it.

    Args:
        data: an `icon.data.Dataset`.
        seed: decides the sample and the split.
        budget: how many points, steps, batches and restarts.
        view: (key, rows) -> rows, a random change that keeps their meaning; None: that
            of the data set.

    Example:
        >>> import icon
        >>> m = icon.recipes.material(icon.data.digits())
        >>> len(m.train), len(m.test)
        (1258, 539)
    """
    made = "a data set: icon.data.load"
    n = len(check.instance("data", data, datasets.Dataset, made).features)
    check.require(n > 1, "data", f"{n} rows", "two rows or more")
    seed, budget = check.seed("seed", seed), _affordable(budget)
    if view is not None:
        check.function("views", view, "key", "x")
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[: budget.points])
    labelled = data.labels is not None
    labels = data.labels if labelled else np.zeros(n, np.int32)
    also = {name: _rows(x, chosen) for name, x in data.also.items()}
    train, test = _split(also, len(chosen), seed)
    return Material(
        x=np.asarray(data.features if data.images is None else data.images)[chosen],
        labels=np.asarray(labels)[chosen],
        train=train,
        test=test,
        classes=int(labels.max()) + 1 if labelled else 10,
        seed=seed,
        budget=budget,
        labelled=labelled,
        also=types.MappingProxyType(also),
        view=data.views if view is None else view,
        words=data.words,
        rows=chosen,
    )


def _rows(x, chosen: np.ndarray):
    """Some rows of an array; of a graph, the edges between them."""
    from scipy.sparse import issparse

    return x[chosen][:, chosen] if issparse(x) else np.asarray(x)[chosen]


def _split(also: Mapping[str, Any], n: int, seed: int):
    """The rows to learn from and those to test on: the data's own, or by the seed."""
    if "train" in also:
        first = np.asarray(also["train"], bool)
        if 0 < first.sum() < n:
            return np.flatnonzero(first), np.flatnonzero(~first)
    return datasets.split(n, seed)


def _affordable(budget: Budget) -> Budget:
    """A budget of counts, of two points or more."""
    check.instance("budget", budget, Budget, "a recipes.Budget")
    for name, value in budget._asdict().items():
        low = 2 if name == "points" else 1
        check.size(f"budget.{name}", value, low)
    return budget
