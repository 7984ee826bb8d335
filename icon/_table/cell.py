"""What is a cell? A choice of p, of q and of a loss; and a weighted sum of cells."""

import dataclasses
import difflib
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import numpy as np

from icon._base import checks as check
from icon._base.positive import value_of
from icon._loss import kl
from icon._table.evidence import COLUMNS, FAMILIES, STATUS, TASKS


@dataclasses.dataclass(frozen=True)
class Cell:
    """One square of the periodic table: two neighbourhoods and a loss.

    $$\\mathrm{cell}(\\mathrm{evidence}, \\mathrm{embedding}) =
      L\\big(p(\\mathrm{evidence}), q(\\mathrm{embedding})\\big)$$

    Cells of the same data add up: `0.5 * a + b` is a cell whose evidence is a tuple of
    both, and so is its embedding.

    Args:
        name: of the method.
        p: evidence -> the neighbours that supervise.
        q: embedding -> the neighbours that are learned.
        loss: (p, q) -> a number.
        learns_from: what p is built from: a name that `icon cells --tasks` prints, or a
            function of an `icon.recipes.Material` that returns an `icon.recipes.Task`,
            or an `icon.recipes.Source`; by default what its column says.
        row: the family of q in the table, which decides what learns.
        column: the family of p in the table; with a function in learns_from, any.
        status: "known", "predicted" (a grey square of the paper) or "new".
        reference: where it was published.
        learned: numbers that are learned with the encoder, by the names of arguments of
            p or q that they are handed to: floats, or `icon.positive(...)`.
        differs: where its training differs from its paper, in a line.

    Raises:
        InvalidInput: a name that is empty; p, q, loss that cannot be called; a row,
            column, status or evidence that is not known; a learned number that
            neither p nor q takes.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> supcon = icon.Cell("SupCon", icon.same, icon.cosine)
        >>> z = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> round(float(supcon(([0, 0, 1, 1],), (z,))), 4)
        0.0001

    Source: Alshammari et al., I-Con, 2025.
    """

    name: str
    p: Callable
    q: Callable
    loss: Callable = kl
    learns_from: Any = ""
    row: str = ""
    column: str = ""
    status: str = "new"
    reference: str = ""
    learned: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    differs: str = ""
    parts: tuple[tuple[float, "Cell"], ...] = ()  # of a sum

    def __post_init__(self):
        named = isinstance(self.name, str) and self.name.strip()
        check.require(named, "name", repr(self.name), "a name")
        for part, made in (("p", self.p), ("q", self.q), ("loss", self.loss)):
            check.require(callable(made), part, repr(made), "a function")
        known("status", self.status, STATUS)
        known("row", self.row, ("", *FAMILIES))
        if isinstance(self.learns_from, str):
            known("learns_from", self.learns_from, ("", *TASKS))
            known("column", self.column, ("", *COLUMNS))
        _refuse_unlearnable(self)

    def __call__(
        self, evidence: tuple, embedding: tuple, learned: Mapping | None = None, **how
    ):
        """The loss; `learned` has other values of the learned numbers."""
        return self.loss(*self.neighborhoods(evidence, embedding, learned), **how)

    def neighborhoods(
        self, evidence: tuple, embedding: tuple, learned: Mapping | None = None
    ):
        """p of the evidence and q of the embedding, with the learned numbers."""
        _refuse_arguments(self, "evidence", evidence)
        _refuse_arguments(self, "embedding", embedding)
        return self.supervised(evidence, learned), self.learning(embedding, learned)

    def supervised(self, evidence: tuple, learned: Mapping | None = None):
        """p of the evidence."""
        return _made(self.p, evidence, self.learned if learned is None else learned)

    def learning(self, embedding: tuple, learned: Mapping | None = None):
        """q of the embedding."""
        return _made(self.q, embedding, self.learned if learned is None else learned)

    def first(self, learned: Mapping) -> "tuple[Cell, dict[str, Any]]":
        """The first cell of a sum and the learned numbers it has; of no sum, itself."""
        if not self.parts:
            return self, dict(learned)
        beside: Any = self.q
        own = {inner: learned[outer] for outer, inner in beside.names[0].items()}
        return self.parts[0][1].first(own)

    def __mul__(self, weight: float) -> "Cell":
        weight = check.scalar("weight", weight, 0)
        return summed([(weight * w, cell) for w, cell in terms_of(self)])

    __rmul__ = __mul__

    def __add__(self, other: "Cell") -> "Cell":
        check.instance("cell", other, Cell, "a Cell to add to another")
        return summed([*terms_of(self), *terms_of(other)])


def known(argument: str, got: Any, allowed: Collection[str]) -> str:
    """One of the names there are; of one that is not, the nearest are suggested."""
    if isinstance(got, str) and got in allowed:
        return got
    listed = [name for name in allowed if name]
    near = difflib.get_close_matches(str(got), listed, n=3, cutoff=0.6)
    among = ("perhaps " if near else "one of ") + ", ".join(near or listed)
    shown = repr(got)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    raise check.InvalidInput(argument, shown, among)


# ------------------------------------------------------- numbers that are learned


def takes(function: Callable, name: str) -> bool:
    """Whether a function has an argument of this name, or takes any."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # of a builtin
        return False
    if any(x.kind is x.VAR_KEYWORD for x in parameters.values()):
        return True
    by_name = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return name in parameters and parameters[name].kind in by_name


def _taken(function: Callable, numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: x for name, x in numbers.items() if takes(function, name)}


def _made(function: Callable, arguments: tuple, learned: Mapping[str, Any]):
    """p or q of its arguments and of those learned numbers that it takes."""
    numbers = {name: value_of(x) for name, x in learned.items()}
    return function(*arguments, **_taken(function, numbers))


def _refuse_unlearnable(cell: Cell) -> None:
    got = f"a {type(cell.learned).__name__}"
    check.require(isinstance(cell.learned, Mapping), "learned", got, "a dict by name")
    for name, value in cell.learned.items():
        taken = isinstance(name, str) and (takes(cell.p, name) or takes(cell.q, name))
        expected = "the name of an argument of p or q"
        check.require(taken, "learned", repr(name), expected)
        for leaf in jax.tree.leaves(value):
            check.reals(f"learned[{name!r}]", leaf, np.float32)


# ------------------------------------------------------- sums of cells


@dataclasses.dataclass(frozen=True)
class Beside:
    """The neighbourhoods of several cells, each of its own tuple of arguments."""

    parts: tuple[Callable, ...]
    # a learned number of the sum -> of the part
    names: tuple[Mapping[str, str], ...] = dataclasses.field(hash=False)

    @property
    def __name__(self) -> str:
        from icon._table.formula import formula

        return " & ".join(map(formula, self.parts))

    def __call__(self, *arguments: tuple, **learned):
        pairs = zip(self.parts, self.names, arguments, strict=True)
        return tuple(
            part(*given, **_taken(part, {own: learned[x] for x, own in names.items()}))
            for part, names, given in pairs
        )


@dataclasses.dataclass(frozen=True)
class Weighted:
    """The sum of several losses, each of its own p and q, with its weight."""

    weights: tuple[float, ...]
    losses: tuple[Callable, ...]

    @property
    def __name__(self) -> str:
        from icon._table.formula import formula

        pairs = zip(self.weights, self.losses, strict=True)
        return " + ".join(_times(w, formula(loss)) for w, loss in pairs)

    def __call__(self, p: tuple, q: tuple, **options):
        pairs = zip(self.weights, self.losses, p, q, strict=True)
        return sum(w * loss(one, two, **options) for w, loss, one, two in pairs)


def _times(weight: float, words: str) -> str:
    return words if weight == 1 else f"{weight:g} {words}"


def _refuse_arguments(cell: Cell, name: str, given: Any) -> None:
    """p and q take a tuple of arguments; of a sum, one tuple for each part."""
    got = f"a {type(given).__name__}"
    check.require(isinstance(given, tuple), name, got, "a tuple of arguments")
    if cell.parts:
        kinds = [type(x) for x in given]
        got = f"({', '.join(kind.__name__ for kind in kinds)})"
        expected = f"a tuple for each of {len(cell.parts)} cells"
        check.require(kinds == [tuple] * len(cell.parts), name, got, expected)


def terms_of(cell: Cell) -> list[tuple[float, Cell]]:
    """The cells that a cell sums, with their weights; of no sum, itself.

    A sum whose parts are built from one thing, as distillation, stays one cell.
    """
    whole = not cell.parts or not isinstance(cell.learns_from, tuple)
    return [(1.0, cell)] if whole else list(cell.parts)


def summed(parts: list[tuple[float, Cell]]) -> Cell:
    """The weighted sum of cells as one cell, in the square of its first."""
    weights, cells = zip(*parts, strict=True)
    for weight in weights:
        finite = 0 < check.scalar("weight", weight, 0) < math.inf
        check.require(finite, "weight", weight, "a number above 0")
    names = tuple(
        {_apart(k, cells, x): x for x in c.learned} for k, c in enumerate(cells)
    )
    learned = {
        name: cell.learned[own]
        for cell, each in zip(cells, names, strict=True)
        for name, own in each.items()
    }
    first = cells[0]
    return Cell(
        " + ".join(_times(w, cell.name) for w, cell in parts),
        Beside(tuple(cell.p for cell in cells), names),
        Beside(tuple(cell.q for cell in cells), names),
        Weighted(weights, tuple(cell.loss for cell in cells)),
        tuple(cell.learns_from or cell.column for cell in cells),
        first.row,
        first.column,
        learned=learned,
        parts=tuple(parts),
    )


def _apart(k: int, cells: tuple[Cell, ...], name: str) -> str:
    """The name of a part's learned number in the sum: with the cell's, if several."""
    alike = sum(name in cell.learned for cell in cells)
    return name if alike == 1 else f"{name} of {cells[k].name} ({k + 1})"
