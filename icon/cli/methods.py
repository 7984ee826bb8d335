"""Which methods lay out rows, by which settings? Estimators, and rows of TABLE."""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any, NamedTuple

from icon import TABLE, Cell
from icon._base import checks as check
from icon._table import known
from icon.cli.settings import flags, numbers


# ------------------------------------------------------- methods that are estimators


def _nothing(dataset, method: str) -> None:
    """What a method learns from besides the rows."""


def _labels(dataset, method: str):
    got, expected = "none", f"a column or array of labels, for {method}"
    check.require(dataset.labels is not None, "labels", got, expected)
    return dataset.labels


def _second(dataset, method: str):
    expected = f"a file of the same rows, or an .npz with such an array, for {method}"
    check.require("second" in dataset.also, "second", "none", expected)
    return dataset.also["second"].reshape(len(dataset.features), -1)


class Method(NamedTuple):
    """An estimator, what makes it this method, and what of it is reported."""

    estimator: str  # its name in icon.estimators
    reported: dict[str, str]  # the name in the report: that of the attribute
    fixed: dict[str, Any] = {}
    without: tuple[str, ...] = ()  # settings that this method does not look at
    learns_from: Callable = _nothing  # the y of fit


LOSS = dict(loss="loss_")
DIVERGENCE = dict(kl_divergence="kl_divergence_", perplexity_used="perplexity_")
PERPLEXITY = dict(perplexity_used="perplexity_")
SEARCH = ("n_neighbors", "metric")
WHITENED: Any = dict(map="linear", constraint="whitened")
EIGENMAPS: Any = dict(p="neighbors", map="free", constraint="whitened")
ORTHONORMAL: Any = dict(map="linear", constraint="orthonormal")

METHODS = {
    "t-SNE": Method("TSNE", DIVERGENCE),
    "SNE": Method("SNE", DIVERGENCE),
    "UMAP": Method("UMAP", {}),
    "parametric t-SNE": Method("ParametricTSNE", PERPLEXITY),
    "SupCon": Method("ContrastiveEncoder", {}, {}, SEARCH, _labels),
    "LGSimCLR": Method("ContrastiveEncoder", {}),
    "PCA": Method("SpectralEmbedding", LOSS, ORTHONORMAL | dict(p="items"), SEARCH),
    "LDA": Method(
        "SpectralEmbedding", LOSS, WHITENED | dict(p="labels"), SEARCH, _labels
    ),
    "LPP": Method("SpectralEmbedding", LOSS, WHITENED | dict(p="neighbors")),
    "Laplacian eigenmaps": Method("SpectralEmbedding", LOSS, EIGENMAPS),
    "PLS-SVD": Method(
        "SpectralEmbedding", LOSS, ORTHONORMAL | dict(p="pairs"), SEARCH, _second
    ),
    "CCA": Method(
        "SpectralEmbedding", LOSS, WHITENED | dict(p="pairs"), SEARCH, _second
    ),
}


# ------------------------------------------------------- rows of the table


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long a row of the table is trained that has no estimator."""

    steps: int | None = None
    """Of training; by default 750 of points, 600 of networks."""


def _parts(row: Cell) -> dict[str, type]:
    """The numbers of q and of the loss that are not learned."""
    return {part: numbers(getattr(row, part), row.learned) for part in ("q", "loss")}


def numbers_of(name: str | None, beside: tuple[type, ...] = ()) -> type:
    """The numbers of a row's p, q and loss as flags; of any other cell none."""
    from icon import recipes

    if name is None or name not in TABLE:
        return dataclasses.make_dataclass("Numbers", [], bases=beside, frozen=True)
    row = TABLE[name]
    task = recipes.SOURCES[row.learns_from].task
    return flags(task, beside=(*_parts(row).values(), *beside))


def row_with(name: str, **values: Any) -> Cell:
    """A row of the table with these numbers of its p, its q and its loss."""
    from icon import recipes

    row, changed = TABLE[name], {}
    for part, kind in _parts(row).items():
        own = {x.name: values.pop(x.name) for x in dataclasses.fields(kind)}
        changed |= {part: ft.partial(getattr(row, part), **own)} if own else {}
    source = recipes.SOURCES[row.learns_from].at(**values)
    return dataclasses.replace(row, learns_from=source, **changed)


# ------------------------------------------------------- either


def named(name: str) -> str:
    """The name of a method, whatever its letters' case."""
    names = {**METHODS, **TABLE}
    cases = {x.casefold(): x for x in names}
    return known("method", cases.get(name.casefold(), name), names)


def flags_of(name: str) -> type:
    """The settings of a method, or of a row of the table, as flags."""
    from icon import estimators, recipes

    if named(name) not in METHODS:
        exact = recipes.SOURCES[TABLE[named(name)].learns_from].exact
        return numbers_of(named(name), () if exact else (Budget,))
    method = METHODS[named(name)]
    kind = getattr(estimators, method.estimator)
    return flags(kind, (*method.fixed, *method.without))
