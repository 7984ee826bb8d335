"""How are the cells of a text file separated, and its numbers written?"""

import contextlib
import csv
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TextIO


FIRST = 20  # lines that say how cells are separated


class Style(NamedTuple):
    """How the cells of a file are separated, and its numbers written."""

    separator: str
    number: Callable[[str], float]


def style_of(path: Path, stream: TextIO) -> Style:
    """What most of the first lines agree about; tabs in a .tsv."""
    separator = "\t"
    if path.suffix.lower() != ".tsv":
        counts = {}
        for candidate in ";\t,":
            cells = _lengths(stream, candidate)
            alike = cells.count(cells[0]) if cells and cells[0] > 1 else 0
            counts[candidate] = alike
            stream.seek(0)
        most = max(counts.values())
        found = (x for x, count in counts.items() if count == most)
        separator = next(found) if most else ","
    return Style(separator, _continental if separator == ";" else number)


def _lengths(stream: TextIO, separator: str) -> list[int]:
    """How many cells the first lines have; none where a cell is longer than any is."""
    lines = itertools.islice(csv.reader(stream, delimiter=separator), FIRST)
    with contextlib.suppress(csv.Error):
        return [len(row) for row in lines if row]
    return []


def number(cell: str) -> float:
    """The number that a cell holds; a ValueError where it holds none."""
    if "_" in cell:  # to Python 1_2 is 12, in a file it is a name
        raise ValueError(cell)
    return float(cell)


def _continental(cell: str) -> float:
    """1,5 is one and a half."""
    return number(cell.replace(",", "."))


def is_number(cell: str, read: Callable[[str], float] = number) -> bool:
    """Whether a cell holds one."""
    with contextlib.suppress(ValueError):
        return read(cell) is not None
    return False
