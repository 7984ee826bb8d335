"""How are the losses and metrics of many steps few arrays? Stacked, as on the disk."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from icon._base import checks as check


class Columns(NamedTuple):
    """Rows, each a pytree of NumPy arrays, of which those of one kind are stacked.

    Rows are of one kind if they have one structure, and leaves of the same shapes and
    dtypes: those of a smaller last batch may be of another kind.
    """

    kinds: tuple[str, ...] = ()  # the structure, dtypes and shapes of each, as JSON
    of_rows: np.ndarray = np.zeros(0, np.int32)  # the kind of each row
    arrays: tuple[tuple[np.ndarray, ...], ...] = ()  # of each kind, of each leaf

    def extended(self, rows: Sequence) -> "Columns":
        """These rows and more."""
        kinds = {kind: at for at, kind in enumerate(self.kinds)}
        of_rows, new = self.of_rows.tolist(), defaultdict(list)
        for row in rows:
            structure, leaves = taken_apart(row)
            specs = [[x.dtype.name, x.shape] for x in leaves]
            at = kinds.setdefault(json.dumps([structure, specs]), len(kinds))
            of_rows.append(at)
            new[at].append(leaves)
        known = dict(enumerate(self.arrays))
        arrays = tuple(_below(known.get(at), new[at]) for at in range(len(kinds)))
        return Columns(tuple(kinds), np.array(of_rows, np.int32), arrays)

    def rows(self) -> Iterator[Any]:
        """Every row, in its order."""
        structures = [json.loads(kind)[0] for kind in self.kinds]
        seen = [0] * len(structures)
        for kind in self.of_rows:
            leaves = [x[seen[kind], ...] for x in self.arrays[kind]]
            seen[kind] += 1
            yield put_together(structures[kind], iter(leaves))


def _below(known, rows: list[list[np.ndarray]]) -> tuple[np.ndarray, ...]:
    """The leaves of some rows of one kind, stacked, below those known already."""
    if not rows:
        return known
    new = map(np.stack, zip(*rows, strict=True))
    if known is None:
        return tuple(new)
    return tuple(map(np.concatenate, zip(known, new, strict=True)))


# ------------------------------------------------------- trees as JSON


LEAF = "*"


def taken_apart(tree) -> tuple[Any, list[np.ndarray]]:
    """The structure of a pytree as JSON has it, and its leaves as NumPy arrays."""
    leaves: list[np.ndarray] = []

    def structure(x):
        if x is None:
            return None
        if type(x) is dict and all(isinstance(name, str | int) for name in x):
            return ["dict", [[name, structure(value)] for name, value in x.items()]]
        if type(x) in (list, tuple):
            return [type(x).__name__, [*map(structure, x)]]
        leaves.append(_leaf(x))
        return LEAF

    return structure(tree), leaves


def put_together(structure, leaves: Iterator[np.ndarray]) -> Any:
    """The pytree of this structure and these leaves."""
    if structure is None:
        return None
    if structure == LEAF:
        return next(leaves)
    kind, parts = structure
    if kind == "dict":
        return {name: put_together(part, leaves) for name, part in parts}
    values = [put_together(part, leaves) for part in parts]
    return tuple(values) if kind == "tuple" else values


def _leaf(x) -> np.ndarray:
    """An array that this process has as a whole."""
    expected = "metrics in dicts, lists and tuples, where there is a checkpoint"
    got = f"one with a {type(x).__name__} in its metrics"
    check.require(isinstance(x, jax.Array | np.ndarray), "loss", got, expected)
    try:
        return np.asarray(x)
    except (TypeError, RuntimeError) as error:  # a key; a part of it is elsewhere
        raise check.InvalidInput("loss", str(error), expected) from None
