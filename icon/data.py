"""What is there to learn from?"""

import contextlib
import csv
import functools as ft
import itertools
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Int32, PRNGKeyArray

from icon._base import checks as check
from icon._base.checks import InvalidInput, position


# ------------------------------------------------------- data sets


class Dataset(NamedTuple):
    """Rows to learn from, on the host, with their classes and pictures if known.

    Args:
        name: what to call it.
        features: float32 [n, d].
        labels: int32 [n], counted from 0, or None.
        images: float32 [n, h, w], the same rows as pictures, or None.

    Example:
        >>> from icon import data
        >>> data.digits().features.shape
        (1797, 64)
    """

    name: str
    features: Float[np.ndarray, "n d"]
    labels: Int32[np.ndarray, " n"] | None = None
    images: Float[np.ndarray, "n h w"] | None = None


def digits() -> Dataset:
    """1797 handwritten digits of 8 x 8 pixels between 0 and 1; no download.

    Example:
        >>> from icon import data
        >>> data.digits().images.shape
        (1797, 8, 8)

    Source: scikit-learn's `load_digits`, from the UCI repository.
    """
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return _dataset("digits", bunch.images / 16, bunch.target)


def mnist(folder: str | os.PathLike | None = None) -> Dataset:
    """20000 digits of 28 x 28 pixels: the first half to train on, then the test set.

    Args:
        folder: where `mnist20k.npz` lies, with the arrays `train_image`,
            `train_label`, `test_image` and `test_label`; by default the folder
            that the environment variable ICON_DATA names.

    Raises:
        InvalidInput: there is no folder, no such file, or it cannot be read.

    Example:
        >>> from icon import data
        >>> data.mnist("no such folder")
        Traceback (most recent call last):
        ...
        icon.InvalidInput: folder: expected a folder holding mnist20k.npz...

    Source: LeCun, Cortes and Burges, The MNIST database.
    """
    folder = os.environ.get("ICON_DATA") if folder is None else folder
    expected = "a folder holding mnist20k.npz, here or in ICON_DATA"
    check.require(folder not in (None, ""), "folder", folder, expected)
    path = check.path("folder", folder) / "mnist20k.npz"
    check.require(path.is_file(), "folder", folder, expected)
    with _reading("folder", path), zipfile.ZipFile(path) as bundle:
        _sizes(bundle)
        both = lambda name: np.concatenate(
            [_member(bundle, f"{part}_{name}") for part in ("train", "test")]
        )
        return _dataset("mnist", both("image"), both("label"))


def load(
    path: str | os.PathLike,
    *,
    features: str | Sequence[str] | None = None,
    labels: str | None = None,
) -> Dataset:
    r"""A file of rows: .npy, .npz or .csv, never unpickled.

    Pixels stored as bytes are divided by 255; other numbers stay as they are.
    A .csv has a header row when a cell of its first line is not a number;
    without one, the columns are named "0", "1" and so on.

    Args:
        path: the file, of at most 4 GiB once unpacked. Its array is [n, d], or
            [n, h, w] for images.
        features: the name of the array in an .npz, by default its only 2-D (or
            else its only 3-D) one; the names of the columns of a .csv, by default
            all but the label.
        labels: the name of the array in an .npz or of the column of a .csv, by
            default `label`, `labels` or `y`; beside an .npy, a second .npy file.
            Integers or strings, counted from 0 in sorted order.

    Raises:
        InvalidInput: the file cannot be read, a name is not in it, a number is
            nan, infinite or too large for float32, or labels do not fit the rows.

    Example:
        >>> import pathlib, tempfile
        >>> from icon import data
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "flowers.csv"
        >>> _ = path.write_text("width,label\n1.5,rose\n2,iris\n")
        >>> data.load(path).labels
        array([1, 0], dtype=int32)
    """
    path = _file("path", path)
    readers = {".npy": _read_npy, ".npz": _read_npz, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise InvalidInput("path", path.name, "a .npy, .npz or .csv file")
    with _reading("path", path):
        read = readers[path.suffix.lower()](path, features, labels)
    return _dataset(path.stem, *read)


# ------------------------------------------------------- files


_LIMIT = 4 << 30
_LABELS = ("label", "labels", "y")

Where = Callable[[tuple[int, ...]], str]  # an index in words


def _dataset(
    name: str, values: np.ndarray, classes: np.ndarray | None, where: Where = position
) -> Dataset:
    if values.ndim not in (2, 3) or not values.size:
        expected = "rows [n, d] or images [n, h, w], at least one"
        raise InvalidInput("features", f"shape {values.shape}", expected)
    x = check.reals("features", values, np.float32, where)
    if values.ndim == 3 and values.dtype == np.uint8:
        x = x / np.float32(255)
    labels = None if classes is None else _classes(classes, len(x), where)
    return Dataset(name, x.reshape(len(x), -1), labels, x if x.ndim == 3 else None)


def _classes(values: np.ndarray, n: int, where: Where) -> np.ndarray:
    """Labels counted from 0, on the host, since a device may have no int64."""
    if values.shape != (n,):
        raise InvalidInput("labels", f"shape {values.shape}", f"shape ({n},)")
    if values.dtype.kind not in "biufUS":
        raise InvalidInput("labels", f"dtype {values.dtype}", "integers or names")
    if values.dtype.kind == "f" and (wrong := values % 1 != 0).any():
        row = int(wrong.argmax())
        got = f"{values[row]} at {where((row,))}"
        raise InvalidInput("labels", got, "integers or names")
    return np.unique(values, return_inverse=True)[1].astype(np.int32)


def _file(argument: str, path: str | os.PathLike) -> Path:
    file = check.path(argument, path)
    if not file.is_file():
        raise InvalidInput(argument, os.fspath(path), "a file that exists")
    _bounded(file.stat().st_size, argument)
    return file


def _bounded(size: int, argument: str = "path") -> None:
    if size > _LIMIT:
        raise InvalidInput(argument, f"{size} bytes", f"at most {_LIMIT} bytes")


@contextlib.contextmanager
def _reading(argument: str, path: Path) -> Iterator[None]:
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


def _read_npy(path: Path, features, labels):
    if features is not None:
        raise InvalidInput("features", repr(features), "None: an .npy is one array")
    if labels is None:
        return _open_npy(path), None
    beside = _file("labels", labels)
    with _reading("labels", beside):
        return _open_npy(path), _open_npy(beside)


def _sizes(bundle: zipfile.ZipFile) -> dict[str, int]:
    """The arrays of an .npz and their bytes, which are not too many to unpack."""
    _bounded(sum(info.file_size for info in bundle.infolist()))
    return {
        info.filename.removesuffix(".npy"): info.file_size
        for info in bundle.infolist()
        if info.filename.endswith(".npy")
    }


def _member(bundle: zipfile.ZipFile, name: str, read=_array):
    with bundle.open(f"{name}.npy") as stream:
        return read(stream, bundle.getinfo(f"{name}.npy").file_size)


def _read_npz(path: Path, features, labels):
    with zipfile.ZipFile(path) as bundle:
        shapes = {name: _member(bundle, name, _shape) for name in _sizes(bundle)}
        labels = _label(list(shapes), labels)
        free = {name: shapes[name] for name in shapes if name != labels}
        features = _only(free) if features is None else features
        check.one_of("features", features, shapes)
        classes = None if labels is None else _member(bundle, labels)
        return _member(bundle, features), classes


def _label(names: list[str], labels: str | None) -> str | None:
    if labels is not None:
        check.one_of("labels", labels, names)
    return labels or next((name for name in _LABELS if name in names), None)


def _only(shapes: dict[str, tuple[int, ...]]) -> str:
    """The one array that can be rows, or else the one that can be images."""
    for ndim in (2, 3):
        names = [name for name, shape in shapes.items() if len(shape) == ndim]
        if len(names) == 1:
            return names[0]
        if names:
            break
    raise InvalidInput("features", None, f"the name of one array of {shapes}")


def _read_csv(path: Path, features, labels):
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, strict=True)
        rows = ((reader.line_num, row) for row in reader if row)
        if (first := next(rows, None)) is None:
            raise InvalidInput("path", "an empty file", "at least one row")
        names, header = _names(first[1])
        rows = rows if header else itertools.chain([first], rows)
        label = _label(names, labels)
        at = _columns(names, features, label)
        table = [_row(names, at, label, *row) for row in rows]
    if not table:
        raise InvalidInput("path", "a header alone", "at least one row")
    lines, values, cells = zip(*table, strict=True)
    where = lambda i: (
        f"line {lines[i[0]]}" + "".join(f", column {names[at[j]]!r}" for j in i[1:])
    )
    return np.stack(values), None if label is None else _typed(cells), where


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


def _columns(names: list[str], features, label: str | None) -> list[int]:
    if features is None:
        features = [name for name in names if name != label]
    chosen = [features] if isinstance(features, str) else list(features)
    once = all(names.count(x) == chosen.count(x) == 1 for x in chosen)
    if not chosen or not once:
        raise InvalidInput("features", chosen, f"some of the columns {names}")
    return [names.index(name) for name in chosen]


def _row(names, at, label, line, row):
    """One line of a .csv: its number, its features and its label's cell."""
    if len(row) != len(names):
        got = f"{len(row)} cells on line {line}"
        raise InvalidInput("path", got, f"{len(names)} cells, as on the first line")
    cell = "" if label is None else row[names.index(label)].strip()
    if label is not None and not cell:
        raise InvalidInput("labels", f"an empty cell on line {line}", "a label a row")
    try:
        return line, np.array([_number(row[i]) for i in at]), cell
    except ValueError:
        bad = next(i for i in at if not _is_number(row[i]))
        got = f"{row[bad]!r} on line {line}, column {names[bad]!r}"
        raise InvalidInput("features", got, "numbers") from None


def _number(cell: str) -> float:
    if "_" in cell:  # to Python 1_2 is 12, in a file it is a name
        raise ValueError(cell)
    return float(cell)


def _is_number(cell: str) -> bool:
    with contextlib.suppress(ValueError):
        return _number(cell) is not None
    return False


def _typed(cells: Sequence[str]) -> np.ndarray:
    """Labels as numbers where all of them are, so that 10 sorts after 9."""
    if all(_is_number(cell) for cell in cells):
        with contextlib.suppress(ValueError, OverflowError):
            return np.array([int(cell) for cell in cells], np.int64)
        return np.array([float(cell) for cell in cells])
    return np.array(cells)


# ------------------------------------------------------- rows and batches


def split(
    n: int, seed: int, fraction: float = 0.7
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Rows to learn from and rows to test on, neither empty, fixed by the seed.

    Args:
        n: how many rows there are, at least 2.
        seed: which split.
        fraction: the share of the rows to learn from, between 0 and 1.

    Raises:
        InvalidInput: n is below 2, or the fraction not between 0 and 1.

    Example:
        >>> from icon import data
        >>> train, test = data.split(10, seed=0)
        >>> len(train), len(test)
        (7, 3)
    """
    n, seed = check.size("n", n, 2), check.count("seed", seed, 0)
    between = check.scalar("fraction", fraction, 0, above=True) < 1
    check.require(between, "fraction", fraction, "a number between 0 and 1")
    order = np.random.default_rng(seed).permutation(n)
    cut = min(max(round(fraction * n), 1), n - 1)
    return np.sort(order[:cut]), np.sort(order[cut:])


def batches(
    arrays: Any, size: int, epochs: int
) -> Callable[[PRNGKeyArray, int], Iterator[Any]]:
    """Shuffled batches of some rows, an epoch at a time.

    Args:
        arrays: a pytree of arrays [n, ...] that are cut alike.
        size: rows in a batch; all n of them if there are fewer than that. The
            rows left over when an epoch ends are dropped.
        epochs: how many epochs there are; later ones are empty.

    Returns:
        a function of (key, epoch) that iterates over pytrees like `arrays`, of
        leading axis `size`. The order depends on the key and the epoch alone.

    Raises:
        InvalidInput: the arrays have no rows or unlike numbers of them, or size
            or epochs is too small.

    Example:
        >>> import jax, numpy as np
        >>> from icon import data
        >>> epoch = data.batches((np.arange(10), np.ones((10, 3))), 4, epochs=2)
        >>> [x.shape for x, _ in epoch(jax.random.key(0), 0)]
        [(4,), (4,)]
    """
    on_host = lambda x: x if isinstance(x, jax.Array) else np.asarray(x)
    arrays = jax.tree.map(on_host, arrays)
    n = check.rows("arrays", arrays)
    size = min(check.count("size", size, 1), n)
    epochs = check.count("epochs", epochs, 0)

    def epoch_of(key: PRNGKeyArray, epoch: int) -> Iterator[Any]:
        check.key("key", key)
        if 0 <= check.count("epoch", epoch, -(2**31)) < epochs:
            order = np.asarray(jr.permutation(jr.fold_in(key, epoch), n))
            for start in range(0, n - size + 1, size):
                yield _take(arrays, order[start : start + size])

    return epoch_of


def spread(
    batches: Callable[[PRNGKeyArray, int], Iterable[Any]],
    mesh: Mesh,
    axis_name: str = "data",
) -> Callable[[PRNGKeyArray, int], Iterator[Any]]:
    """The same batches, each cut over the devices along an axis of a mesh.

    Device d of D has the rows d b / D to (d + 1) b / D of a batch of b. The devices may
    be those of several processes: all of them go through the same batches in the same
    order, and each puts only the rows of its own devices on them.

    Args:
        batches: a function of (key, epoch), as `batches` makes it, of pytrees [b, ...].
        mesh: the devices, as `jax.make_mesh` makes it, of automatic or explicit axes.
        axis_name: the axis of the mesh that rows are cut along.

    Returns:
        a function of (key, epoch) that iterates over pytrees of global arrays.

    Raises:
        InvalidInput: batches that cannot be called, something that is no mesh, an axis
            that it has not; when a batch comes, rows that the devices do not divide.

    Example:
        >>> import jax, numpy as np
        >>> from icon import data
        >>> mesh = jax.make_mesh((1,), ("data",), (jax.sharding.AxisType.Auto,))
        >>> epoch = data.spread(data.batches(np.arange(10), 4, epochs=1), mesh)
        >>> [(x.shape, x.sharding.spec[0]) for x in epoch(jax.random.key(0), 0)]
        [((4,), 'data'), ((4,), 'data')]
    """
    if not callable(batches):
        raise InvalidInput("batches", type(batches).__name__, "a function (key, epoch)")
    if not isinstance(mesh, Mesh):
        raise InvalidInput("mesh", type(mesh).__name__, "a mesh: jax.make_mesh")
    if axis_name not in mesh.axis_names:
        expected = f"one of the axes of the mesh, {', '.join(mesh.axis_names)}"
        raise InvalidInput("axis_name", repr(axis_name), expected)
    cut = ft.partial(_cut, NamedSharding(mesh, PartitionSpec(axis_name)))

    def epoch_of(key: PRNGKeyArray, epoch: int) -> Iterator[Any]:
        for batch in batches(key, epoch):
            yield jax.tree.map(cut, batch)

    return epoch_of


def _cut(share: NamedSharding, leaf: Any) -> Array:
    """One array of a batch, of which each device gets its own rows."""
    (axis,), shape = share.spec, np.shape(leaf)
    count = share.mesh.shape[axis]
    if not shape:
        raise InvalidInput("batches", "a number", "arrays with a leading axis")
    if shape[0] % count:
        more = shape[0] + -shape[0] % count
        expected = f"rows for each of the {count} devices: a `size` that is a multiple"
        got = f"{shape[0]} rows"
        raise InvalidInput("batches", got, f"{expected} of {count}, such as {more}")
    return jax.make_array_from_callback(shape, share, lambda at: leaf[at])


def _take(arrays: Any, at: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: leaf[at], arrays)


# ------------------------------------------------------- views


_TURN = 0.25  # radians
_SHEAR = 0.2
_ZOOM = 0.15  # of the logarithm of either side's length
_SHIFT = 0.125  # of either side: one pixel in eight
_LIGHT = 0.3  # of the logarithm of the brightness
_GRAIN = 0.05  # of the image's range
_NOISE = 0.3  # of a feature's standard deviation
_DROP = 0.2  # of the features


def augment(key: PRNGKeyArray, image: Float[Array, "h w"]) -> Float[Array, "h w"]:
    """One image, moved, brightened and with noise.

    x'(p) = exp(b) x(A (p - c) + c + t) + e, where A turns, shears and zooms
    about the center c. What comes in from outside the image is 0.

    Args:
        key: decides the change.
        image: floats, at any scale.

    Raises:
        InvalidInput: the image is not a matrix of floats.

    Example:
        >>> import jax
        >>> from icon import data
        >>> image = data.digits().images[0]
        >>> data.augment(jax.random.key(0), image).shape
        (8, 8)
    """
    image, key = check.floating("image", image, (2,)), check.key("key", key)
    motion, light, grain = jr.split(key, 3)
    moved = map_coordinates(image, list(_sources(motion, image)), order=1)
    spread = jnp.max(image) - jnp.min(image)
    noise = _GRAIN * spread * jr.normal(grain, image.shape, image.dtype)
    return jnp.exp(_symmetric(light, (), _LIGHT, image.dtype)) * moved + noise


def two_views(
    key: PRNGKeyArray, x: Float[Array, "b ..."]
) -> tuple[Float[Array, "b ..."], Float[Array, "b ..."]]:
    """Two random changes of the same rows, which keep their meaning.

    An image goes through `augment`. A vector gets x' = m + k (x + 0.3 s e - m),
    with m and s the batch's mean and standard deviation of each feature, e normal,
    and k 0 for one feature in five, else 1.

    Args:
        key: decides both changes.
        x: images [b, h, w] or vectors [b, d].

    Raises:
        InvalidInput: x is neither, or not floats.

    Example:
        >>> import jax
        >>> from icon import data
        >>> a, b = data.two_views(jax.random.key(0), data.digits().images[:32])
        >>> a.shape, b.shape
        ((32, 8, 8), (32, 8, 8))

    Source: Chen et al., A Simple Framework for Contrastive Learning (2020).
    """
    x, key = check.floating("x", x, (2, 3)), check.key("key", key)
    view = _images if x.ndim == 3 else _vectors
    first, second = jr.split(key)
    return view(first, x), view(second, x)


def _symmetric(key: PRNGKeyArray, shape: tuple[int, ...], size: float, dtype) -> Array:
    """Uniform numbers from -size to size."""
    return jr.uniform(key, shape, dtype, -size, size)


def _sources(key: PRNGKeyArray, image: Array) -> Array:
    """Where each pixel of the moved image comes from: [2, h, w]."""
    turn, shear, zoom, shift = jr.split(key, 4)
    sides = jnp.array(image.shape, image.dtype)
    middle = ((sides - 1) / 2)[:, None, None]
    angle = _symmetric(turn, (), _TURN, image.dtype)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    lean = _symmetric(shear, (), _SHEAR, image.dtype)
    affine = jnp.stack([cos - lean * sin, -sin, sin + lean * cos, cos]).reshape(2, 2)
    affine = affine * jnp.exp(_symmetric(zoom, (1, 2), _ZOOM, image.dtype))
    move = sides * _symmetric(shift, (2,), _SHIFT, image.dtype)
    grid = jnp.indices(image.shape, image.dtype) - middle
    return jnp.einsum("ij,jhw->ihw", affine, grid) + middle + move[:, None, None]


def _images(key: PRNGKeyArray, x: Array) -> Array:
    return jax.vmap(augment)(jr.split(key, len(x)), x)


def _vectors(key: PRNGKeyArray, x: Array) -> Array:
    # No gradient: the square root has none where a feature is constant.
    mean = jax.lax.stop_gradient(jnp.mean(x, 0, keepdims=True))
    std = jax.lax.stop_gradient(jnp.std(x, 0, keepdims=True))
    noise, keep = jr.split(key)
    noisy = x + _NOISE * std * jr.normal(noise, x.shape, x.dtype)
    return jnp.where(jr.bernoulli(keep, 1 - _DROP, x.shape), noisy, mean)


def halves(x: Any) -> tuple[Float[Array, "n a"], Float[Array, "n a"]]:
    """The two sides of each row, as two modalities of it.

    Args:
        x: images [n, h, w], cut into left and right and flattened, or vectors
            [n, d], cut into first and last. The middle of an odd width is dropped.

    Raises:
        InvalidInput: x is neither, or one column wide.

    Example:
        >>> from icon import data
        >>> left, right = data.halves(data.digits().images)
        >>> left.shape, right.shape
        ((1797, 32), (1797, 32))
    """
    shape = check.shape("x", x)
    expected = "images [n, h, w] or vectors [n, d], 2 columns wide or more"
    wide = len(shape) in (2, 3) and shape[0] and shape[-1] >= 2
    check.require(wide, "x", f"shape {shape}", expected)
    x = x if isinstance(x, jax.Array) else np.asarray(x)
    half, n = x.shape[-1] // 2, x.shape[0]
    return x[..., :half].reshape(n, -1), x[..., -half:].reshape(n, -1)


_SAMPLE = 20_000  # patches are enough to choose the words from


def tokens(
    images: Float[np.ndarray, "n ..."],
    words: int = 32,
    seed: int = 0,
    *,
    among: Float[np.ndarray, "m ..."] | None = None,
) -> Int32[np.ndarray, "n t"]:
    """Each row as a sentence: its 2 x 2 patches, each by the nearest word.

    token = argmin_w |patch - center_w|^2, the centers by k-means.

    Args:
        images: [n, h, w], or vectors [n, d], which are read 4 columns at a time.
            Sides that do not divide are filled up with 0.
        words: how many centers.
        seed: decides where k-means starts.
        among: the images that the words are chosen from, so that they do not depend
            on those to be tested on; None: all of them.

    Raises:
        InvalidInput: the images have another shape or a number that is not
            finite, or fewer unlike patches than words.

    Example:
        >>> from icon import data
        >>> data.tokens(data.digits().images[:100], words=8).shape
        (100, 16)
    """
    from sklearn.cluster import KMeans

    cut = patches(check.reals("images", images, np.float32))
    source = cut if among is None else patches(check.reals("among", among, np.float32))
    flat, seed = source.reshape(-1, 4), check.seed("seed", seed)
    order = np.random.default_rng(seed).permutation(len(flat))
    sample = flat[order[:_SAMPLE]]
    words = check.count("words", words, 1, len(np.unique(sample, axis=0)))
    centers: Any = KMeans(words, random_state=seed).fit(sample)
    return centers.predict(cut.reshape(-1, 4)).reshape(cut.shape[:2]).astype(np.int32)


def patches(x: np.ndarray) -> np.ndarray:
    """Images [n, h, w] cut into 2 x 2 patches [n, t, 4]; vectors, 4 columns each."""
    x = check.reals("images", x)
    if x.ndim not in (2, 3) or not x.size:
        expected = "images [n, h, w] or vectors [n, d]"
        raise InvalidInput("images", f"shape {x.shape}", expected)
    if x.ndim == 2:
        return np.pad(x, ((0, 0), (0, -x.shape[1] % 4))).reshape(len(x), -1, 4)
    n, h, w = x.shape
    x = np.pad(x, ((0, 0), (0, h % 2), (0, w % 2)))
    x = x.reshape(n, (h + 1) // 2, 2, (w + 1) // 2, 2)
    return x.swapaxes(2, 3).reshape(n, -1, 4)
