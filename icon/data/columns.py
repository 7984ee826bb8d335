"""How is a table of columns read? .csv, .tsv and .parquet."""

import contextlib
import csv
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from icon._base import checks as check
from icon._base.cells import is_number, style_of
from icon._base.checks import InvalidInput
from icon._base.extras import required
from icon.data.record import (
    DERIVE,
    LABELS,
    Read,
    Where,
    bounded,
    label_name,
    named,
)


INDEX = ("", "Unnamed: 0")  # what pandas calls the column of its index, in a .csv
TEXT = 64  # bytes that a cell of text has at least, as Python holds it


class Asked(NamedTuple):
    """What is asked for, by the names that it has in a file."""

    features: str | Sequence[str] | None
    drop: str | Sequence[str]
    labels: str | None
    also: Mapping[str, Any]

    def require_none(self, why: str, *names: str) -> None:
        """Refuse what a file of this kind cannot have."""
        for name, given in self._asdict().items():
            refused = name in names and given
            check.require(not refused, name, repr(given), f"None: {why}")

    def names(self) -> set[str]:
        """Of all columns that are named."""
        sources = (self.features, self.drop, self.labels, *self.also.values())
        return {name for source in sources for name in _several(source)}


class Columns(NamedTuple):
    """Which columns of a table hold what."""

    names: list[str]
    numbers: dict[str, list[int]]  # by the argument that asks for them
    cells: dict[str, list[int]]
    rest: bool  # whether features are all that have no other use


class Parsed(NamedTuple):
    """The columns of a table, as they were found."""

    numbers: dict[str, np.ndarray]  # [n, columns]; nan where a cell is none
    cells: Mapping[str, Sequence[Sequence[str]]]
    texts: dict[int, str]  # of a column its first cell that is no number, in words
    empty: set[int]  # columns without any number
    where: Where


def _several(source: Any) -> list[str]:
    if source is None:
        return []
    return [source] if isinstance(source, str) else list(source)


# ------------------------------------------------------- which columns


def _columns(names: list[str], asked: Asked, index: Sequence[str]) -> Columns:
    """Columns by name; the features are by default all that have no other use."""
    label = label_name(names, asked.labels)
    further = {named(x): _listed(names, asked.also[x], named(x)) for x in asked.also}
    levels = {x: further.pop(x) for x in (named("hierarchy"),) if x in further}
    cells = levels if label is None else {"labels": [names.index(label)], **levels}
    rows = [names.index(x) for x in index if x not in asked.names()]
    cells |= {"words": rows} if rows else {}
    dropped = _listed(names, asked.drop, "drop") if asked.drop else []
    if asked.features is None:
        used = {i for at in (*further.values(), *cells.values()) for i in at}
        at = [i for i in range(len(names)) if i not in {*used, *dropped}]
        some = at or not {*DERIVE}.isdisjoint(asked.also)
        check.require(some, "features", [], f"some of the columns {names}")
    else:
        at = _listed(names, asked.features, "features")
        both = [names[i] for i in at if i in dropped]
        check.require(not both, "drop", both, "columns that are not the features")
    numbers = ({"features": at} if at else {}) | further
    return Columns(names, numbers, cells, asked.features is None)


def _listed(names: list[str], wanted, argument: str) -> list[int]:
    """Where these columns are."""
    chosen = _several(wanted)
    once = all(names.count(x) == chosen.count(x) == 1 for x in chosen)
    if not chosen or not once:
        raise InvalidInput(argument, chosen, f"some of the columns {names}")
    return [names.index(name) for name in chosen]


def _read(columns: Columns, parsed: Parsed, asked: Asked) -> Read:
    """What the columns hold, those without a number left out of the features."""
    at = columns.numbers.get("features", [])
    left_out = [i for i in at if columns.rest and i in parsed.empty]
    _require_numbers(columns, parsed, left_out)
    found: dict[str, Any] = dict(parsed.numbers)
    if left_out:
        kept = [k for k, i in enumerate(at) if i not in left_out]
        found["features"], at = found["features"][:, kept], [at[k] for k in kept]
    texts = dict(parsed.cells)
    rows = zip(*texts.pop("words", []), strict=True)
    found |= _texts(texts)
    further = {name: found[named(name)] for name in asked.also}
    for name, source in asked.also.items():
        if isinstance(source, str) and name != "hierarchy":
            further[name] = further[name][:, 0]
    return Read(
        found.get("features"),
        found.get("labels"),
        further,
        lambda i: parsed.where((*i[:1], *(at[j] for j in i[1:]))),
        tuple(map(", ".join, rows)),
        _note([columns.names[i] for i in left_out]),
    )


def _require_numbers(columns: Columns, parsed: Parsed, left_out: list[int]) -> None:
    for argument, at in columns.numbers.items():
        kept = [i for i in at if i not in left_out]
        got = f"{[columns.names[i] for i in at]}, none of which has a number"
        check.require(kept, argument, got, "a column of numbers")
        bad = next((i for i in kept if i in parsed.texts), None)
        cure = ", or that column in `drop`" if argument == "features" else ""
        if bad is not None:
            raise InvalidInput(argument, parsed.texts[bad], f"numbers{cure}")


def _note(names: list[str]) -> str:
    """Which columns are left out, as a warning says it."""
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    shown = ", ".join(map(repr, names[:5]))
    return f"columns without a number are left out: {shown}{more}"


def _texts(columns: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, np.ndarray]:
    """The labels [n], and the hierarchy's [n, levels], of the columns' cells."""
    found = {}
    for argument, of in columns.items():
        levels = [_typed(cells) for cells in of]
        texts = any(level.dtype.kind == "U" for level in levels)
        levels = [x.astype(str) for x in levels] if texts else levels
        found[argument] = levels[0] if argument == "labels" else np.stack(levels, 1)
    return found


def _typed(cells: Sequence[str]) -> np.ndarray:
    """Labels as numbers where all of them are, so that 10 sorts after 9.

    An empty cell is -1, nan or "": what `factors` takes for a row without a label.
    """
    cells = ["" if cell.lower() == "nan" else cell for cell in cells]
    if all(is_number(cell) for cell in cells if cell) and any(cells):
        with contextlib.suppress(ValueError, OverflowError):
            return np.array([int(cell or "-1") for cell in cells], np.int64)
        return np.array([float(cell or "nan") for cell in cells])
    return np.array(cells)


# ------------------------------------------------------- .csv and .tsv


def read_text(path: Path, asked: Asked) -> Read:
    """Columns of lines of text."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        style = style_of(path, stream)
        reader = csv.reader(stream, delimiter=style.separator, strict=True)
        rows = ((reader.line_num, row) for row in reader if row)
        first = list(itertools.islice(rows, 2))
        if not first:
            raise InvalidInput("path", "an empty file", "at least one row")
        names, index = _names([row for _, row in first], asked, style.number)
        if names:
            del first[0]
        else:
            names = [str(i) for i in range(len(first[0][1]))]
        columns = _columns(names, asked, index)
        parsed = _parsed(columns, itertools.chain(first, rows), style.number)
    return _read(columns, parsed, asked)


def _names(first: list[list[str]], asked: Asked, number) -> tuple[list[str], list[str]]:
    """The names in the first line, if it has some, and which are of an index."""
    names = [cell.strip() for cell in first[0]]
    if not _has_names(first, asked, number):
        return [], []
    index = [name for name in names[:1] if name in INDEX]
    for i, name in enumerate(names):
        if (not name and i) or name in names[:i]:
            expected = "a name of its own for every column"
            raise InvalidInput("path", f"{name!r} for column {i}", expected)
    return names, index


def _has_names(first: list[list[str]], asked: Asked, number) -> bool:
    """Text above a number, text alone, or a name that is asked for."""
    names = [cell.strip() for cell in first[0]]
    texts = [bool(cell) and not is_number(cell, number) for cell in names]
    if not any(texts):  # ",0,1,2" is what pandas calls columns without names
        return names[0] == "" and names[1:] == [str(i) for i in range(len(names) - 1)]
    if all(text or not name for text, name in zip(texts, names, strict=True)):
        return True
    if {*names} & {*LABELS, *asked.names()}:
        return True
    below = first[1] if len(first) > 1 else []
    pairs = zip(texts, below, strict=False)
    return any(text and is_number(cell, number) for text, cell in pairs)


def _parsed(columns: Columns, rows: Iterable, number: Callable) -> Parsed:
    """The numbers and cells of all lines, in one pass."""
    texts: dict[int, str] = {}
    counts = dict.fromkeys(range(len(columns.names)), 0)
    lines, numbers, cells = [], [], []

    def tried(line: int, row: list[str], i: int) -> float:
        if is_number(row[i], number):
            return number(row[i])
        place = f"{row[i]!r} on line {line}, column {columns.names[i]!r}"
        texts.setdefault(i, place)
        counts[i] += 1
        return np.nan

    for line, row in rows:
        _require_width(columns, line, row)
        lines.append(line)
        cells.append([row[i].strip() for at in columns.cells.values() for i in at])
        for at in columns.numbers.values():
            try:
                numbers.append(np.array([number(row[i]) for i in at]))
            except ValueError:
                numbers.append(np.array([tried(line, row, i) for i in at]))
    if not lines:
        raise InvalidInput("path", "a header alone", "at least one row")
    k = len(columns.numbers)
    stacked = {x: np.stack(numbers[i::k]) for i, x in enumerate(columns.numbers)}
    texts_by = iter(zip(*cells, strict=True))
    by_argument = {x: [next(texts_by) for _ in at] for x, at in columns.cells.items()}
    empty = {i for i, count in counts.items() if count == len(lines)}
    return Parsed(stacked, by_argument, texts, empty, _line(lines, columns.names))


def _require_width(columns: Columns, line: int, row: list[str]) -> None:
    expected = f"{len(columns.names)} cells, as on the first line"
    fits = len(row) == len(columns.names)
    check.require(fits, "path", f"{len(row)} cells on line {line}", expected)


def _line(lines: list[int], names: list[str]) -> Where:
    return lambda i: (
        f"line {lines[i[0]]}" + "".join(f", column {names[j]!r}" for j in i[1:])
    )


# ------------------------------------------------------- .parquet


def read_parquet(path: Path, asked: Asked) -> Read:
    """Columns of a .parquet, of which only those in use are read."""
    parquet = required("pyarrow.parquet", "frames")
    with parquet.ParquetFile(path) as file:
        schema, n = file.schema_arrow, file.metadata.num_rows
        check.require(n > 0, "path", "no rows", "at least one row")
        names = list(schema.names)
        twice = next((name for name in names if names.count(name) > 1), None)
        expected = "a name of its own for every column"
        check.require(twice is None, "path", f"{twice!r} twice", expected)
        index = (schema.pandas_metadata or {}).get("index_columns", [])
        columns = _columns(names, asked, [x for x in index if x in names])
        bounded(8 * n * sum(map(len, columns.numbers.values())))
        bounded(TEXT * n * sum(map(len, columns.cells.values())))
        return _read(columns, _of_file(file, columns), asked)


def _of_file(file: Any, columns: Columns) -> Parsed:
    """The columns that are in use; a missing number is nan, a missing text empty."""
    pa, names, n = required("pyarrow", "frames"), columns.names, file.metadata.num_rows
    kinds = [_number_of(pa, kind) for kind in file.schema_arrow.types]
    used = {i for at in columns.numbers.values() for i in at}
    empty = {i for i in used if kinds[i] is None}
    used = (used - empty) | {i for at in columns.cells.values() for i in at}
    table = file.read(columns=[names[i] for i in sorted(used)])

    def numbers(i: int) -> np.ndarray:
        if i in empty:
            return np.full(n, np.nan)
        return table.column(names[i]).cast(kinds[i]).cast(pa.float64()).to_numpy()

    def texts(i: int) -> list[str]:
        column = table.column(names[i])
        column = column if kinds[i] is None else column.cast(kinds[i])
        return ["" if x is None else str(x) for x in column.to_pylist()]

    kind = lambda i: f"{file.schema_arrow.types[i]} in column {names[i]!r}"
    return Parsed(
        {x: np.stack([*map(numbers, at)], 1) for x, at in columns.numbers.items()},
        {x: [*map(texts, at)] for x, at in columns.cells.items()},
        {i: kind(i) for i in empty},
        empty,
        lambda i: f"row {i[0]}" + "".join(f", column {names[j]!r}" for j in i[1:]),
    )


def _number_of(pa: Any, kind: Any) -> Any:
    """What a column of numbers, or of true and false, is read as; None of another."""
    types = pa.types
    if types.is_boolean(kind):
        return pa.int8()
    numeric = types.is_integer(kind), types.is_floating(kind), types.is_decimal(kind)
    return kind if any(numeric) else None
