"""Which columns does a file of points have? A folder, a .csv, .tsv, .npz or .npy."""

import csv
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from icon._base import checks as check
from icon._base.cells import style_of
from icon._base.checks import InvalidInput


KEPT = ("embedding.csv", "clusters.csv")  # what `icon embed`, `icon cluster` write
EXACT = 2**53  # integers that float64 tells from their neighbours are below
FEW = 50  # integers of so many values or fewer are classes, of more a scale

Columns = dict[str, np.ndarray]


class Points(NamedTuple):
    """Where rows are, and what is known of them."""

    place: np.ndarray  # [n, 2] or [n, 3], NaN for a row without a place
    known: Columns
    images: np.ndarray | None = None


def points_of(path: Path, position: Sequence[str]) -> Points:
    """The points of a file, or of the folder that a command has written.

    Their places are two or three columns by their names; by default x and y, or else
    the first three if they are numbered from 0 and no fourth is, or else the first two.
    Of an .npz they are the array `embedding`, or else the only one of two columns, or
    of three, and the arrays of one number or one image a row are what is known of the
    rows.
    """
    file = _found(check.path("file", path))
    readers = {".csv": _of_text, ".tsv": _of_text, ".npz": _of_npz, ".npy": _of_npy}
    expected = "a folder of icon embed or icon cluster, or a .csv, .tsv, .npz or .npy"
    check.require(file.suffix.lower() in readers, "file", str(path), expected)
    try:
        return readers[file.suffix.lower()](file, position)
    except InvalidInput:
        raise
    # csv, unicode, zip and NumPy each have errors of their own for a damaged file
    except (ValueError, OSError, csv.Error, zipfile.BadZipFile, EOFError) as error:
        got = f"{file.name}: {error}"
        raise InvalidInput("file", got, "a readable file") from error


def _found(path: Path) -> Path:
    """The file itself, or that of a folder."""
    inside = [path / name for name in KEPT] if path.is_dir() else [path]
    there = [file for file in inside if file.is_file()]
    expected = f"a file that exists, or a folder with {' or '.join(KEPT)}"
    check.require(there, "file", str(path), expected)
    return there[0]


# ------------------------------------------------------- .csv and .tsv


def _of_text(file: Path, position: Sequence[str]) -> Points:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        style = style_of(file, stream)
        reader = csv.reader(stream, delimiter=style.separator, strict=True)
        lines = [*filter(None, reader)]
    expected = "a line of names, and one for each row"
    check.require(len(lines) > 1, "file", f"{len(lines)} lines", expected)
    names, *rows = lines
    for i, row in enumerate(rows):
        got = f"{len(row)} cells in row {i}"
        expected = f"{len(names)} cells, as the first line has"
        check.require(len(row) == len(names), "file", got, expected)
    once = len(set(names)) == len(names)
    check.require(once, "file", f"columns {names}", "a name of its own for each column")
    cells = dict(zip(names, zip(*rows, strict=True), strict=True))
    found = {
        name: _typed(column, style.number)
        for name, column in cells.items()
        if any(column)
    }
    return _of_columns(found, position)


def _of_columns(found: Columns, position: Sequence[str]) -> Points:
    axes = list(position) or _axes([*found])
    numbers = [name for name in found if found[name].dtype.kind in "if"]
    expected = (
        "two or three columns of numbers, of "
        f"{', '.join(numbers) or 'which there are none'}"
    )
    several = len({*axes}) == len(axes) and len(axes) in (2, 3)
    good = several and {*axes} <= {*numbers}
    check.require(good, "position", " ".join(axes) or "none", expected)
    rest = {name: x for name, x in found.items() if name not in axes}
    return Points(np.stack([found[name].astype(float) for name in axes], 1), rest)


def _axes(names: list[str]) -> list[str]:
    """The columns that are places by default."""
    if {"x", "y"} <= {*names}:
        return ["x", "y"]
    stem = "".join(names[:1]).removesuffix("0")
    numbered = lambda count: names[:count] == [f"{stem}{k}" for k in range(count)]
    return names[:3] if numbered(3) and not numbered(4) else names[:2]


def _typed(cells: Sequence[str], number: Callable[[str], float]) -> np.ndarray:
    """Numbers where all cells are, NaN for an empty one; else the strings they are."""
    try:
        numbers = np.array([number(cell or "nan") for cell in cells])
    except ValueError:
        return np.array(cells, object)
    digits = [cell.strip().lstrip("-") for cell in cells]
    if any(x[:1] == "0" and x.isdecimal() and len(x) > 1 for x in digits):
        return np.array(cells, object)  # codes, as of places
    whole = all(map(str.isdecimal, digits))
    if whole and np.abs(numbers).max(initial=0) >= EXACT:
        return np.array(cells, object)
    return numbers.astype(np.int64) if whole and len(set(cells)) <= FEW else numbers


# ------------------------------------------------------- .npy, .npz


def _of_npy(file: Path, position: Sequence[str]) -> Points:
    alone = "names of columns, which an .npy has not: leave it out"
    check.require(not position, "position", " ".join(position), alone)
    return Points(_placed(np.load(file, allow_pickle=False)), {})


def _placed(x: np.ndarray) -> np.ndarray:
    good = x.ndim == 2 and x.shape[1] in (2, 3) and x.dtype.kind in "iuf"
    check.require(good, "file", f"{x.dtype} {x.shape}", "points [n, 2] or [n, 3]")
    return x.astype(float)


def _of_npz(file: Path, position: Sequence[str]) -> Points:
    with np.load(file, allow_pickle=False) as bundle:
        arrays = {name: bundle[name] for name in bundle.files}
    wide = lambda c: [k for k, x in arrays.items() if x.ndim == 2 and x.shape[1] == c]
    usual = [x for x in ("embedding",) if x in arrays]
    named = [*position] or usual or wide(2) or wide(3)
    shapes = {name: x.shape for name, x in arrays.items()}
    one = len(named) == 1 and named[0] in arrays
    check.require(one, "position", named, f"the name of one array [n, c] of {shapes}")
    place = _placed(arrays.pop(named[0]))
    rows = {k: x for k, x in arrays.items() if x.ndim and len(x) == len(place)}
    pictures = [x for x in rows.values() if x.ndim == 3 or x.shape[3:] == (3,)]
    known = {name: _column(x) for name, x in rows.items() if x.ndim == 1}
    return Points(place, known, pictures[0] if pictures else None)


def _column(x: np.ndarray) -> np.ndarray:
    """Classes or numbers, by the same rule as of a .csv."""
    many = x.dtype.kind in "iu" and len(np.unique(x)) > FEW
    return x.astype(float) if many or x.dtype.kind == "f" else x
