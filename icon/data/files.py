"""How is a file read?"""

import contextlib
import math
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from icon._base import checks as check
from icon._base.checks import InvalidInput
from icon.data.columns import Asked, read_parquet, read_text
from icon.data.pictures import read_folder
from icon.data.record import (
    DERIVE,
    STANDARD,
    Dataset,
    Read,
    bounded,
    dataset,
    is_rows,
    label_name,
    named,
)


Also = Mapping[str, str | Sequence[str]]


def load(
    path: str | os.PathLike,
    *,
    features: str | Sequence[str] | None = None,
    drop: str | Sequence[str] = (),
    labels: str | None = None,
    also: Also | None = None,
    size: int | Sequence[int] | None = None,
) -> Dataset:
    r"""A file of rows, or a folder of images, of which nothing is ever unpickled.

    Arrays are read from .npy and .npz, columns from .csv, .tsv and .parquet. Images
    stored as bytes are divided by 255; other numbers stay as they are.

    The first line of a .csv has the names where it has text above a number, text alone,
    or a name that is asked for; else columns are named "0", "1" and so on. Cells are
    separated by commas, semicolons or tabs, as most lines agree; with semicolons a
    comma is the decimal point. Columns without any number are left out, with a warning
    that names them. A first column without a name, as pandas writes its index, has the
    names of the rows: `words`.

    A folder has images, grey or in colour, of 8 bits (Pillow reads them); those in a
    sub-folder have its name as their label. `words` are their paths. Images of several
    sizes are resized to their median width and height, as a warning says: nothing is
    cropped, proportions may change.

    An .npz may have `edges` [m, 2] or [m, 3], (a, b, weight), of rows counted from 0:
    they become also["graph"], undirected, the weights of equal edges added up, an edge
    from a row to itself dropped. A file of `scipy.sparse.save_npz` is a graph if it is
    square, otherwise it is counts. Without an array of features, they are made of the
    graph (its Laplacian's first 32 eigenvectors, each of standard deviation 1), or of
    the counts, or of how often each token is in a row: log(1 + count).

    Args:
        path: the file or folder, of at most 4 GiB once unpacked. The array of a file
            is [n, d], or [n, h, w] or [n, h, w, 3] for images.
        features: the name of the array in an .npz, by default its only 2-D (or else
            its only 3-D, or 4-D) one; the names of columns, by default all that are
            not used otherwise.
        drop: the names of columns that are no features.
        labels: the name of the array in an .npz or of a column, by default `label`,
            `labels` or `y`; beside an .npy, a second .npy file. Integers or names,
            counted from 0 in sorted order. Rows of -1, of an empty name or of nan have
            no label and get -1.
        also: further arrays by the name that they get: the array in an .npz, a column
            or columns, beside an .npy another .npy file. Those of an .npz under a name
            that `Dataset` explains are kept without being named.
        size: of the images of a folder, to which they are resized: (width, height), or
            a number for both; by default their own.

    Raises:
        InvalidInput: the file cannot be read, a name is not in it, a number is
            missing, nan, infinite or too large for float32, or labels or others do not
            fit the rows.
        ImportError: the package that reads .parquet or images is missing.

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
    path, also = check.path("path", path), _asked(also)
    is_folder = path.is_dir()
    if not is_folder:
        path = file("path", path)
        suffixes = f"a {', '.join(READERS)} file, or a folder of images"
        check.require(path.suffix.lower() in READERS, "path", path.name, suffixes)
    pair, asked = _pair(size), Asked(features, drop, labels, also)
    folders = "None: images of a folder are resized"
    check.require(is_folder or pair is None, "size", repr(size), folders)
    with reading("path", path):
        if is_folder:
            found = read_folder(path, asked, pair)
        else:
            found = READERS[path.suffix.lower()](path, asked)
    if found.note:
        warnings.warn(found.note, stacklevel=2)
    made = dataset(path.stem or path.resolve().name, *found[:4])
    return made._replace(words=() if "tokens" in also else found.words)


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


def _pair(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """Width and height, where they are asked for."""
    if size is None:
        return None
    sides = list(size) if isinstance(size, list | tuple) else [size]
    check.require(len(sides) in (1, 2), "size", repr(size), "a width and a height")
    width, height = sides[0], sides[-1]
    return check.size("size", width), check.size("size", height)


def _alone(argument: str, source: Any) -> Any:
    """The one array that something is read from."""
    check.require(not isinstance(source, list | tuple), argument, source, "one name")
    return source


def _one(argument: str, source: Any) -> Any:
    """The same, where a list of one name will do."""
    several = isinstance(source, list | tuple)
    return source[0] if several and len(source) == 1 else _alone(argument, source)


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
    except (InvalidInput, ImportError):
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


def _read_npy(path: Path, asked: Asked) -> Read:
    features, _, labels, also = asked
    asked.require_none("an .npy is one array", "features", "drop")
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


def _read_npz(path: Path, asked: Asked) -> Read:
    asked.require_none("arrays of an .npz that are not named are not read", "drop")
    labels, also = asked.labels, dict(asked.also)
    features = _one("features", asked.features)
    with zipfile.ZipFile(path) as bundle:
        shapes = {name: member(bundle, name, _shape) for name in sizes(bundle)}
        if {"format", "shape", "data"} <= shapes.keys():
            return _read_sparse(bundle, asked)
        labels = label_name(list(shapes), labels)
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


def _read_sparse(bundle: zipfile.ZipFile, asked: Asked) -> Read:
    """A file of `scipy.sparse.save_npz`: a graph if it is square, otherwise counts."""
    alone = "a sparse matrix is all that its file has"
    asked.require_none(alone, "features", "labels", "also")
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


def _only(shapes: dict[str, tuple[int, ...]]) -> str:
    """The one array that can be rows, or else the one that can be images."""
    for ndim in (2, 3, 4):
        names = [x for x in shapes if len(shapes[x]) == ndim and is_rows(shapes[x])]
        if len(names) == 1:
            return names[0]
        if names:
            break
    raise InvalidInput("features", None, f"the name of one array of {shapes}")


READERS = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": read_text,
    ".tsv": read_text,
    ".parquet": read_parquet,
}
