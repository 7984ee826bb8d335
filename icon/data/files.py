"""How is a file read?"""

import contextlib
import csv
import itertools
import math
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from icon._base import checks as check
from icon._base.checks import InvalidInput, position
from icon.data.record import (
    DERIVE,
    STANDARD,
    Dataset,
    Where,
    bounded,
    dataset,
    is_rows,
    named,
)


_LABELS = ("label", "labels", "y")


Also = Mapping[str, str | Sequence[str]]


class Read(NamedTuple):
    """What was found in a file."""

    features: np.ndarray | None
    labels: np.ndarray | None
    also: dict[str, Any]
    where: Where = position


def load(
    path: str | os.PathLike,
    *,
    features: str | Sequence[str] | None = None,
    labels: str | None = None,
    also: Also | None = None,
) -> Dataset:
    r"""A file of rows: .npy, .npz or .csv, never unpickled.

    Images stored as bytes are divided by 255; other numbers stay as they are.
    A .csv has a header row when a cell of its first line is not a number;
    without one, the columns are named "0", "1" and so on.

    An .npz may have `edges` [m, 2] or [m, 3], (a, b, weight), of rows counted from 0:
    they become also["graph"], undirected, the weights of equal edges added up, an edge
    from a row to itself dropped. A file of `scipy.sparse.save_npz` is a graph if it is
    square, otherwise it is counts. Without an array of features, they are made of the
    graph (its Laplacian's first 32 eigenvectors, each of standard deviation 1), or of
    the counts, or of how often each token is in a row: log(1 + count).

    Args:
        path: the file, of at most 4 GiB once unpacked. Its array is [n, d], or
            [n, h, w] or [n, h, w, 3] for images.
        features: the name of the array in an .npz, by default its only 2-D (or
            else its only 3-D, or 4-D) one; the names of the columns of a .csv, by
            default all that are not used otherwise.
        labels: the name of the array in an .npz or of the column of a .csv, by
            default `label`, `labels` or `y`; beside an .npy, a second .npy file.
            Integers or names, counted from 0 in sorted order. Rows of -1, of an empty
            name or of nan have no label and get -1.
        also: further arrays by the name that they get: the array in an .npz, the
            column or columns of a .csv, beside an .npy another .npy file. Those of an
            .npz under a name that `Dataset` explains are kept without being named.

    Raises:
        InvalidInput: the file cannot be read, a name is not in it, a number is
            nan, infinite or too large for float32, or labels or others do not fit the
            rows.

    Example:
        >>> import pathlib, tempfile
        >>> from icon import data
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "flowers.csv"
        >>> _ = path.write_text("width,label,day\n1.5,rose,3\n2,iris,4\n1,,5\n")
        >>> found = data.load(path, also={"time": "day"})
        >>> found.labels, found.classes
        (array([ 1,  0, -1], dtype=int32), ('iris', 'rose'))
        >>> found.also["time"]
        array([3., 4., 5.])
    """
    path, also = file("path", path), _asked(also)
    readers = {".npy": _read_npy, ".npz": _read_npz, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise InvalidInput("path", path.name, "a .npy, .npz or .csv file")
    with reading("path", path):
        read = readers[path.suffix.lower()](path, features, labels, also)
    return dataset(path.stem, *read)


def _asked(also: Also | None) -> dict[str, Any]:
    """The names of further arrays, each with what it is called in the file."""
    expected = "names, each with what it is called in the file: {'time': 'date'}"
    if also is None:
        return {}
    check.require(isinstance(also, Mapping), "also", repr(also), expected)
    for name, source in also.items():
        good = isinstance(name, str) and name
        check.require(good, "also", repr(name), expected)
        several = not isinstance(source, str) and isinstance(source, Sequence)
        names = source if several else [source]
        strings = all(isinstance(x, str | os.PathLike) for x in names) and len(names)
        check.require(strings, named(name), repr(source), "a name, or several")
    return dict(also)


def _alone(argument: str, source: Any) -> Any:
    """The one array that something is read from."""
    check.require(not isinstance(source, list | tuple), argument, source, "one name")
    return source


def file(argument: str, path: str | os.PathLike) -> Path:
    file = check.path(argument, path)
    if not file.is_file():
        raise InvalidInput(argument, os.fspath(path), "a file that exists")
    bounded(file.stat().st_size, argument)
    return file


@contextlib.contextmanager
def reading(argument: str, path: Path) -> Iterator[None]:
    """Any error of a reader, as an InvalidInput that names one argument."""
    try:
        yield
    except InvalidInput:
        raise
    # A damaged file fails in as many ways as there are readers: zip, zlib, csv,
    # unicode and numpy each have their own.
    except Exception as error:
        got = f"{path.name}: {error}"
        raise InvalidInput(argument, got, "a readable file") from error


def _shape(stream: BinaryIO, size: int) -> tuple[int, ...]:
    """The shape in an .npy header, if as many bytes follow as it needs."""
    # NumPy allocates what the header asks for before it reads: a file of 100 bytes
    # could take all of the memory.
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"version {version} of the .npy format")
    shape, _, dtype = readers[version](stream)
    if dtype.hasobject or not dtype.itemsize:
        raise ValueError(f"dtype {dtype}, which is not read: numbers and strings are")
    follow = size - stream.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != follow:
        raise ValueError(f"a header of {dtype} {shape} before {follow} bytes")
    return shape


def _array(stream: BinaryIO, size: int) -> np.ndarray:
    _shape(stream, size)
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _open_npy(path: Path) -> np.ndarray:
    with path.open("rb") as stream:
        return _array(stream, path.stat().st_size)


def _read_npy(path: Path, features, labels, also) -> Read:
    if features is not None:
        raise InvalidInput("features", repr(features), "None: an .npy is one array")
    beside = {named(name): _alone(named(name), also[name]) for name in also}
    if labels is not None:
        beside["labels"] = labels
    found = {}
    for argument, name in beside.items():
        other = file(argument, name)
        with reading(argument, other):
            found[argument] = _open_npy(other)
    further = {name: found[named(name)] for name in also}
    return Read(_open_npy(path), found.get("labels"), further)


def sizes(bundle: zipfile.ZipFile) -> dict[str, int]:
    """The arrays of an .npz and their bytes, which are not too many to unpack."""
    bounded(sum(info.file_size for info in bundle.infolist()))
    return {
        info.filename.removesuffix(".npy"): info.file_size
        for info in bundle.infolist()
        if info.filename.endswith(".npy")
    }


def member(bundle: zipfile.ZipFile, name: str, read=_array):
    with bundle.open(f"{name}.npy") as stream:
        return read(stream, bundle.getinfo(f"{name}.npy").file_size)


_SPARSE = {  # the arrays that `scipy.sparse.save_npz` writes
    b"csr": ("data", "indices", "indptr"),
    b"csc": ("data", "indices", "indptr"),
    b"coo": ("data", "row", "col"),
}


def _read_npz(path: Path, features, labels, also) -> Read:
    with zipfile.ZipFile(path) as bundle:
        shapes = {name: member(bundle, name, _shape) for name in sizes(bundle)}
        if {"format", "shape", "data"} <= shapes.keys():
            return _read_sparse(bundle, features, labels, also)
        labels = _label(list(shapes), labels)
        standard = (x for x in STANDARD if x in shapes and x not in (features, labels))
        also = {name: name for name in standard} | also
        for name in also:
            check.one_of(named(name), _alone(named(name), also[name]), shapes)
        used = {labels, *also.values()}
        free = {name: shapes[name] for name in shapes if name not in used}
        if features is None and not _made(free, also):
            features = _only(free)
        if features is not None:
            check.one_of("features", features, shapes)
        read = lambda name: None if name is None else member(bundle, name)
        further = {name: member(bundle, also[name]) for name in also}
        return Read(read(features), read(labels), further)


def _made(free: Mapping[str, tuple[int, ...]], also: Mapping[str, Any]) -> bool:
    """Whether features have to be made of the rest, and can be."""
    return not any(map(is_rows, free.values())) and not {*DERIVE, "edges"}.isdisjoint(
        also
    )


def _read_sparse(bundle: zipfile.ZipFile, features, labels, also) -> Read:
    """A file of `scipy.sparse.save_npz`: a graph if it is square, otherwise counts."""
    for name, key in (("features", features), ("labels", labels), ("also", also)):
        expected = "None: a sparse matrix is all that its file has"
        check.require(not key, name, repr(key), expected)
    matrix = _sparse(bundle)
    n, columns = matrix.shape
    if n == columns:
        return Read(None, None, {"graph": matrix})
    bounded(4 * n * columns)
    return Read(None, None, {"counts": matrix.toarray()})


def _sparse(bundle: zipfile.ZipFile) -> Any:
    """The matrix, as a csr_array whose indices are all inside."""
    from scipy import sparse

    found = member(bundle, "format")[()]
    layout = found.encode() if isinstance(found, str) else bytes(found)
    if layout not in _SPARSE:
        raise ValueError(f"a sparse matrix in the format {layout!r}: save it as csr")
    names = _SPARSE[layout]
    if layout == b"coo" and "coords.npy" in bundle.namelist():
        names = ("data", "coords")
    values, *index = (member(bundle, name) for name in names)
    shape = tuple(int(side) for side in member(bundle, "shape"))
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"a sparse matrix of shape {shape}")
    bounded(8 * max(shape))
    if layout == b"coo":
        entries = (values, tuple(index if len(index) == 2 else index[0]))
        return sparse.coo_array(entries, shape=shape).tocsr()
    kind = sparse.csr_array if layout == b"csr" else sparse.csc_array
    matrix = kind((values, *index), shape=shape)
    matrix.check_format(full_check=True)
    return matrix.tocsr()


def _label(names: list[str], labels: str | None) -> str | None:
    if labels is not None:
        check.one_of("labels", labels, names)
    return labels or next((name for name in _LABELS if name in names), None)


def _only(shapes: dict[str, tuple[int, ...]]) -> str:
    """The one array that can be rows, or else the one that can be images."""
    for ndim in (2, 3, 4):
        names = [x for x in shapes if len(shapes[x]) == ndim and is_rows(shapes[x])]
        if len(names) == 1:
            return names[0]
        if names:
            break
    raise InvalidInput("features", None, f"the name of one array of {shapes}")


class Columns(NamedTuple):
    """Which columns of a .csv hold what."""

    names: list[str]
    numbers: dict[str, list[int]]  # by the argument that asks for them
    cells: dict[str, list[int]]


def _read_csv(path: Path, features, labels, also) -> Read:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, strict=True)
        rows = ((reader.line_num, row) for row in reader if row)
        if (first := next(rows, None)) is None:
            raise InvalidInput("path", "an empty file", "at least one row")
        names, header = _names(first[1])
        rows = rows if header else itertools.chain([first], rows)
        columns = _columns(names, features, _label(names, labels), also)
        table = [_row(columns, *row) for row in rows]
    if not table:
        raise InvalidInput("path", "a header alone", "at least one row")
    lines, numbers, cells = zip(*table, strict=True)
    stacked = map(np.stack, zip(*numbers, strict=True))
    found = dict(zip(columns.numbers, stacked, strict=True))
    found |= _texts(columns.cells, [*zip(*cells, strict=True)])
    at = columns.numbers.get("features", [])
    where = lambda i: (
        f"line {lines[i[0]]}" + "".join(f", column {names[at[j]]!r}" for j in i[1:])
    )
    further = {name: found[named(name)] for name in also}
    for name in also:
        if isinstance(also[name], str) and name != "hierarchy":
            further[name] = further[name][:, 0]
    return Read(found.get("features"), found.get("labels"), further, where)


def _names(first: list[str]) -> tuple[list[str], bool]:
    """The names of the columns, and whether the first line has them."""
    if all(_is_number(cell) for cell in first):
        return [str(i) for i in range(len(first))], False
    names = [cell.strip() for cell in first]
    for i, name in enumerate(names):
        if not name or name in names[:i]:
            # A column without a name is most often the row number: no feature.
            expected = "a name of its own for every column"
            raise InvalidInput("path", f"{name!r} for column {i}", expected)
    return names, True


def _columns(names: list[str], features, label: str | None, also) -> Columns:
    """Columns by name; the features are by default all that have no other use."""
    further = {named(x): _listed(names, also[x], named(x)) for x in also}
    levels = {x: further.pop(x) for x in (named("hierarchy"),) if x in further}
    cells = levels if label is None else {"labels": [names.index(label)], **levels}
    if features is None:
        used = {i for at in (*further.values(), *cells.values()) for i in at}
        at = [i for i in range(len(names)) if i not in used]
        some = at or not {*DERIVE}.isdisjoint(also)
        check.require(some, "features", [], f"some of the columns {names}")
    else:
        at = _listed(names, features, "features")
    return Columns(names, ({"features": at} if at else {}) | further, cells)


def _listed(names: list[str], wanted, argument: str) -> list[int]:
    """Where these columns are."""
    chosen = [wanted] if isinstance(wanted, str) else list(wanted)
    once = all(names.count(x) == chosen.count(x) == 1 for x in chosen)
    if not chosen or not once:
        raise InvalidInput(argument, chosen, f"some of the columns {names}")
    return [names.index(name) for name in chosen]


def _row(columns: Columns, line: int, row: list[str]):
    """One line of a .csv: its number, its numbers and its names."""
    if len(row) != len(columns.names):
        got = f"{len(row)} cells on line {line}"
        expected = f"{len(columns.names)} cells, as on the first line"
        raise InvalidInput("path", got, expected)
    cells = [row[i].strip() for at in columns.cells.values() for i in at]
    numbers = []
    for argument, at in columns.numbers.items():
        try:
            numbers.append(np.array([_number(row[i]) for i in at]))
        except ValueError:
            bad = next(i for i in at if not _is_number(row[i]))
            got = f"{row[bad]!r} on line {line}, column {columns.names[bad]!r}"
            raise InvalidInput(argument, got, "numbers") from None
    return line, numbers, ["" if cell.lower() == "nan" else cell for cell in cells]


def _texts(columns: dict[str, list[int]], cells: list) -> dict[str, np.ndarray]:
    """The labels [n], and the hierarchy's [n, levels], of the columns' cells."""
    typed, found = iter(map(_typed, cells)), {}
    for argument, at in columns.items():
        levels = [next(typed) for _ in at]
        texts = any(level.dtype.kind == "U" for level in levels)
        levels = [x.astype(str) for x in levels] if texts else levels
        found[argument] = levels[0] if argument == "labels" else np.stack(levels, 1)
    return found


def _number(cell: str) -> float:
    if "_" in cell:  # to Python 1_2 is 12, in a file it is a name
        raise ValueError(cell)
    return float(cell)


def _is_number(cell: str) -> bool:
    with contextlib.suppress(ValueError):
        return _number(cell) is not None
    return False


def _typed(cells: Sequence[str]) -> np.ndarray:
    """Labels as numbers where all of them are, so that 10 sorts after 9.

    An empty cell is -1, nan or "": what `factors` takes for a row without a label.
    """
    if all(_is_number(cell) for cell in cells if cell) and any(cells):
        with contextlib.suppress(ValueError, OverflowError):
            return np.array([int(cell or "-1") for cell in cells], np.int64)
        return np.array([float(cell or "nan") for cell in cells])
    return np.array(cells)
