"""What input is refused, and in which words?"""

import contextlib
import inspect
import math
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from icon._base.blocks import on_device


class InvalidInput(ValueError):
    """An argument that cannot be used: which one, what came, what was expected.

    Args:
        argument: the argument's name, as the caller wrote it.
        got: what came: a shape, a dtype, a value or the first bad index.
        expected: what was expected, and the fix where there is one.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> icon.gaussian(jnp.ones((3, 2)), scale=0.0)
        Traceback (most recent call last):
        ...
        icon.InvalidInput: scale: expected numbers above 0, got 0.0
    """

    __module__ = "icon"  # where users find it

    def __init__(self, argument: str, got: Any, expected: str):
        super().__init__(argument, got, expected)
        self.argument, self.got, self.expected = argument, got, expected

    def __str__(self) -> str:
        return f"{self.argument}: expected {self.expected}, got {self.got}"


def require(held, argument: str, got: Any, expected: str) -> None:
    if not held:
        raise InvalidInput(argument, got, expected)


@contextlib.contextmanager
def renamed(**names: str) -> Iterator[None]:
    """InvalidInput of a function that is called, with the caller's argument names."""
    try:
        yield
    except InvalidInput as error:
        name = names.get(error.argument, error.argument)
        raise InvalidInput(name, error.got, error.expected) from None


def concrete(*trees) -> bool:
    """Whether the values can be looked at, not only their shapes."""
    return not any(isinstance(x, Tracer) for x in jax.tree.leaves(trees))


def _first(bad) -> str:
    """Where the first bad entry stands, in words."""
    return position(tuple(np.argwhere(np.asarray(bad))[0].tolist()))


def _array(argument: str, x, expected: str) -> jax.Array:
    sparse = type(x).__module__.startswith("scipy.sparse")
    require(not sparse, argument, "a sparse matrix", f"a dense {expected}")
    masked = np.ma.is_masked(x)
    require(not masked, argument, "a masked array", f"{expected}, without a mask")
    gone = isinstance(x, jax.Array) and concrete(x) and x.is_deleted()
    require(not gone, argument, "an array that was deleted, or donated", expected)
    try:
        x = x if isinstance(x, jax.Array) else np.asarray(x)
    except Exception as error:  # whatever the object's own __array__ raises
        raise InvalidInput(argument, str(error), expected) from None
    is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    require(not is_key, argument, f"dtype {x.dtype}", expected)
    dtype = np.dtype(x.dtype)
    known = dtype.kind in "biuf" or jnp.issubdtype(dtype, jnp.floating)
    require(known, argument, f"dtype {dtype}", expected)
    wide = dtype.kind == "f" and dtype.itemsize > 8  # JAX has none
    own = np.dtype(np.float64) if wide else dtype.newbyteorder("=")
    with np.errstate(over="ignore"):
        return x if dtype == own else x.astype(own)  # pyright: ignore


def shape(argument: str, x) -> tuple[int, ...]:
    return _array(argument, x, "integers").shape


def _all(argument: str, x, good, expected: str) -> None:
    """Refuse values, where they can be looked at."""
    if concrete(x):
        bad = ~np.asarray(good(np.asarray(x, np.float64)))
        if bad.any():
            value = np.asarray(x, np.float64)[bad][0]
            raise InvalidInput(
                argument, f"{value} at {_first(bad)}" if bad.ndim else value, expected
            )


def _held(argument: str, x, dtype=None) -> jax.Array:
    """x in a dtype, JAX's own if None; refused where that cannot hold a value."""
    dtype = jax.dtypes.canonicalize_dtype(x.dtype if dtype is None else dtype)
    if isinstance(x, jax.Array) and x.dtype == dtype:
        return x
    if concrete(x) and jnp.finfo(dtype).bits < jnp.finfo(_float_of(x)).bits:
        fits = lambda x: np.isfinite(x.astype(dtype)) | ~np.isfinite(x)
        with np.errstate(over="ignore"):
            _all(argument, x, fits, f"numbers that {np.dtype(dtype)} holds")
    return array(x, dtype)


def _float_of(x) -> Any:
    """The dtype of x, or the one that an integer is compared in."""
    return x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else np.float64


def floats(argument: str, x, rank: int | None = 2) -> jax.Array:
    """Finite floating-point numbers, of this rank."""
    expected = "an array of floats" if rank is None else f"floats of rank {rank}"
    x = _array(argument, x, expected)
    got = f"dtype {x.dtype}; cast it with astype(float)"
    require(jnp.issubdtype(x.dtype, jnp.floating), argument, got, expected)
    require(rank in (None, x.ndim), argument, f"shape {x.shape}", expected)
    require(math.prod(x.shape) > 0, argument, f"shape {x.shape}", "at least one entry")
    _all(argument, x, np.isfinite, "finite numbers")
    return _held(argument, x)


def ids(argument: str, x, below: int | None = None, rank: int = 1) -> jax.Array:
    """Whole numbers that int32 holds, below a bound if there is one."""
    of_rank = {0: "an integer", 1: "integers"}
    expected = of_rank.get(rank, f"integers of rank {rank}")
    x = _array(argument, x, expected)
    require(np.dtype(x.dtype).kind in "biu", argument, f"dtype {x.dtype}", expected)
    require(x.ndim == rank, argument, f"shape {x.shape}", expected)
    require(math.prod(x.shape) > 0, argument, f"shape {x.shape}", "at least one entry")
    fits = "int32 ids; number them with np.unique(ids, return_inverse=True)[1]"
    _all(argument, x, lambda x: (x < 2**31) & (x >= -(2**31)), fits)
    if below is not None:
        _all(
            argument, x, lambda x: (x >= 0) & (x < below), f"ids from 0 to {below - 1}"
        )
    if isinstance(x, jax.Array):
        return x if x.dtype == jnp.int32 else jnp.asarray(x, jnp.int32)
    return on_device(x, np.int32)


def distinct(argument: str, x, below: int) -> jax.Array:
    """Ids below a bound, each of them once."""
    x = ids(argument, x, below)
    if concrete(x):
        values, counts = np.unique(np.asarray(x), return_counts=True)
        twice = f"{values[np.argmax(counts)]} more than once"
        require(len(values) == len(x), argument, twice, "ids that are all different")
    return x


def words(argument: str, x) -> np.ndarray | None:
    """Strings, as Python has them; None where there are none, or what is no array."""
    try:
        found = None if isinstance(x, jax.Array) else np.asarray(x)
        if found is None or found.dtype.kind not in "UTO" or np.ma.is_masked(x):
            return None
        found = np.asarray(x, object)  # NumPy reads ["a", 1] as two strings
    except Exception:  # whatever the object's own __array__ raises: it has no strings
        return None
    bad = [not isinstance(word, str) for word in found.ravel()]
    if bad and all(bad):
        return None
    if any(bad):
        at = int(np.argmax(bad))
        got = f"a {type(found.ravel()[at]).__name__} at entry {at} of strings"
        named = "strings only; give what has no label one of its own, and ignore it"
        raise InvalidInput(argument, got, named)
    return found


def coded(**labels) -> dict[str, Any]:
    """Labels that are strings as integers, the same for equal ones; integers as is."""
    strings = {name: words(name, x) for name, x in labels.items()}
    first = next(iter(labels))
    kinds = {True: "integers", False: "strings"}
    for name, x in strings.items():
        alike = (x is None) == (strings[first] is None)
        expected = f"{kinds[strings[first] is None]}, as {first} are"
        require(alike, name, kinds[x is None], expected)
    code: dict[str, int] = {}
    number = lambda word: code.setdefault(word, len(code))

    def integers(x):
        return np.array([number(word) for word in x.ravel()], int).reshape(x.shape)

    return {
        name: labels[name] if x is None else integers(x) for name, x in strings.items()
    }


def numbers(argument: str, x, like, shapes=((),)) -> jax.Array:
    """Finite numbers in the dtype of `like` or float32, in one of these shapes."""
    x = _array(argument, x, "a number")
    is_bool = np.dtype(x.dtype).kind == "b"
    require(not is_bool, argument, "a boolean", "a number")
    expected = (
        "a number" if shapes == ((),) else f"shape {' or '.join(map(str, shapes))}"
    )
    require(x.shape in shapes, argument, f"shape {x.shape}", expected)
    _all(argument, x, np.isfinite, "finite numbers")
    dtype = like.dtype if jnp.finfo(like.dtype).bits >= 32 else jnp.float32
    return _held(argument, x, dtype)


def array(x, dtype=None) -> jax.Array:
    """x as an array; what is known stays known, also inside of jit."""
    if isinstance(x, np.ndarray) and dtype is not None:
        x = x.astype(dtype)  # JAX cuts an integer to 32 bits first
    with jax.ensure_compile_time_eval() if concrete(x) else contextlib.nullcontext():
        x = jnp.asarray(x) if isinstance(x, jax.Array) else on_device(x)
        return x if dtype is None else x.astype(dtype)


def positive(argument: str, x, like, shapes=((),)) -> jax.Array:
    """Finite numbers above 0, in all their digits: below `tiny` they become 0."""
    given, x = x, numbers(argument, x, like, shapes)
    _all(argument, given, lambda x: x > 0, "numbers above 0")
    tiny = float(jnp.finfo(x.dtype).tiny)
    _all(argument, given, lambda x: x >= tiny, f"{x.dtype} numbers from {tiny:.3g}")
    return x


def triangular(argument: str, x, like, shape: tuple[int, ...]) -> jax.Array:
    """Lower triangular factors in one shape [..., d, d], each diagonal above 0."""
    x = numbers(argument, x, like, (shape,))
    if concrete(x):
        upper = np.triu(np.asarray(x, np.float64), 1)
        _all(argument, upper, lambda x: x == 0, "lower triangular factors")
        diagonal = np.diagonal(np.asarray(x), axis1=-2, axis2=-1)
        positive(argument, diagonal, like, (shape[:-1],))
    return x


def weights(argument: str, x, like, size: int) -> jax.Array:
    """One non-negative number each, not all of them zero."""
    x = numbers(argument, x, like, ((size,),))
    _all(argument, x, lambda x: x >= 0, "numbers from 0")
    if concrete(x):
        some = np.any(np.asarray(x) >= float(jnp.finfo(x.dtype).tiny))
        require(some, argument, "zeros only", "a number above 0")
    return x


def fraction(argument: str, x, like) -> jax.Array:
    """One number from 0 to 1."""
    x = numbers(argument, x, like)
    _all(argument, x, lambda x: (x >= 0) & (x <= 1), "a number from 0 to 1")
    return x


def count(argument: str, x, low: int, high: int | None = None) -> int:
    """A Python integer in this range."""
    expected = f"an integer from {low}" + ("" if high is None else f" to {high}")
    whole = isinstance(x, int | np.integer) and not isinstance(x, bool)
    require(whole, argument, repr(x), expected)
    require(low <= x and (high is None or x <= high), argument, x, expected)
    return int(x)


def boolean(argument: str, x) -> bool:
    require(isinstance(x, bool | np.bool), argument, repr(x), "True or False")
    return bool(x)


def rows(argument: str, tree) -> int:
    """The common length of every leaf of a pytree."""
    sizes = [jnp.shape(x) for x in jax.tree.leaves(tree)]
    require(sizes, argument, "nothing", "at least one array")
    require(all(sizes), argument, "a number", "arrays with a leading axis")
    lengths = sorted({shape[0] for shape in sizes})
    got = f"lengths {' and '.join(map(str, lengths))}"
    require(len(lengths) == 1, argument, got, "leaves of one length")
    require(lengths[0] > 0, argument, "no rows", "at least one row")
    return lengths[0]


def log_weights(argument: str, x) -> jax.Array:
    """A matrix of log-weights: finite, or -inf where there is nothing."""
    x = _array(argument, x, "floats of rank 2")
    require(x.ndim == 2 and x.size, argument, f"shape {x.shape}", "floats of rank 2")
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    require(floating, argument, f"dtype {x.dtype}", "floats of rank 2")
    _all(argument, x, lambda x: x < np.inf, "numbers below inf")
    return _held(argument, x)


def simplex(argument: str, x, rows_sum_to_one: bool = True) -> jax.Array:
    """Memberships: numbers from 0, [n, C], rows that sum to one if they must."""
    x = floats(argument, x)
    _all(argument, x, lambda x: x >= 0, "numbers from 0")
    if rows_sum_to_one and concrete(x):
        slack = max(1e-5, 64 * float(jnp.finfo(x.dtype).eps))
        sums = np.asarray(x, np.float64).sum(1)
        _all(argument, sums, lambda s: abs(s - 1) <= slack, "rows that sum to 1")
    return x


def key(argument: str, x) -> jax.Array:
    """One JAX key, as jax.random.key gives it."""
    one = "one key: jax.random.key(seed)"
    arrays = jax.Array | np.ndarray
    require(isinstance(x, arrays), argument, f"a {type(x).__name__}", one)
    typed = jnp.issubdtype(x.dtype, jax.dtypes.prng_key) and x.shape == ()
    raw = x.dtype == jnp.uint32 and x.shape == (2,)
    require(typed or raw, argument, f"dtype {x.dtype}, shape {x.shape}", one)
    return x


def at_least(argument: str, x, low) -> jax.Array:
    _all(argument, x, lambda x: x >= low, f"numbers from {low}")
    return x


# ------------------------------------------------------- functions


def is_function(x) -> bool:
    """Whether this can be called and has no numbers of its own, as a pytree has."""
    return callable(x) and jax.tree_util.all_leaves([x])


def function(argument: str, f, *takes: str, **named) -> Any:
    """A function that can be called with these arguments, given here by their names."""
    expected = f"a function ({', '.join([*takes, *named])})"
    require(callable(f), argument, f"a {type(f).__name__}", expected)
    try:
        inspect.signature(f).bind(*takes, **named)
    except TypeError as error:
        raise InvalidInput(argument, f"one with {error}", expected) from None
    except ValueError:  # of some built-in functions nothing is known
        pass
    return f


def gives(argument: str, x, shape: tuple[int, ...]) -> Any:
    """What a function of the user's has given: one array of floats, of this shape."""
    expected = f"a function to {'a number' if shape == () else f'floats {shape}'}"
    leaves, structure = jax.tree.flatten(x)
    one = structure == jax.tree.structure(0)
    got = f"one to a {type(x).__name__}"
    require(one and not isinstance(x, bool | str), argument, got, expected)
    got = f"one to shape {jnp.shape(leaves[0])}"
    require(jnp.shape(leaves[0]) == shape, argument, got, expected)
    dtype = jnp.result_type(leaves[0])
    floating = jnp.issubdtype(dtype, jnp.floating)
    require(floating, argument, f"one to {dtype}", expected)
    return x


# ------------------------------------------------------- on the host, in NumPy


def position(at: tuple[int, ...]) -> str:
    """An index in words: row 3, column 2."""
    names = ("row", "column") if len(at) <= 2 else ("index",) * len(at)
    return ", ".join(f"{name} {i}" for name, i in zip(names, at, strict=False))


def reals(
    argument: str,
    x,
    dtype: Any = None,
    where: Callable[[tuple[int, ...]], str] = position,
) -> np.ndarray:
    """Finite real numbers of any shape, in this dtype or in their own.

    `where` puts the index of the first bad entry into words.
    """
    x = np.asarray(_array(argument, x, "real numbers"))
    with np.errstate(over="ignore"):
        y = x if dtype is None else x.astype(dtype)
    bad = ~np.isfinite(y)
    if bad.any():
        at = tuple(np.argwhere(bad)[0].tolist())
        overflow = f"numbers that {y.dtype} holds"
        expected = overflow if np.isfinite(x[at]) else "finite numbers, no NaN, no inf"
        raise InvalidInput(argument, f"{x[at]} at {where(at)}", expected)
    return y


def matrix(argument: str, x) -> np.ndarray:
    """Two or more rows of finite real numbers, as float64."""
    x = _array(argument, x, "real numbers")
    two = x.ndim == 2 and x.shape[0] >= 2 and x.shape[1] >= 1
    require(two, argument, f"shape {x.shape}", "a matrix of two or more rows")
    x = reals(argument, x, np.float64)
    largest = max(x.max(), -x.min())
    require(largest <= 1e150, argument, largest, "numbers whose squares are floats")
    return x


def integers(argument: str, x, size: int | None = None) -> np.ndarray:
    """A vector of integers of any magnitude, one for each of `size` rows."""
    x = np.asarray(_array(argument, x, "integers"))
    got = f"shape {x.shape}"
    require(x.ndim == 1 and x.size, argument, got, "a vector, not empty")
    require(x.dtype.kind in "iu", argument, f"dtype {x.dtype}", "integers")
    expected = f"one for each of {size} rows"
    require(size in (None, len(x)), argument, f"length {len(x)}", expected)
    return x


def measured(argument: str, x) -> np.ndarray:
    """Real numbers of any shape in their own dtype, NaN where there is none."""
    x = np.asarray(_array(argument, x, "real numbers"))
    endless = np.isinf(x)
    if endless.any():
        raise InvalidInput(argument, f"inf at {_first(endless)}", "finite numbers")
    return x


def scalar(argument: str, x, low: float, *, above: bool = False) -> float:
    """A finite Python number from `low`, or above it."""
    expected = f"a finite number {'above' if above else 'from'} {low:g}"
    single = isinstance(x, np.ndarray | jax.Array) and x.ndim == 0
    single = single and concrete(x) and jnp.issubdtype(x.dtype, np.number)
    number = x.item() if single else x
    real = isinstance(number, Real) and not isinstance(number, bool | np.bool)
    # the place of an object in memory says nothing
    got = f"a {type(x).__name__}" if " at 0x" in repr(x) else repr(x)
    require(real, argument, got, expected)
    try:
        value = float(number)
    except OverflowError:  # an integer beyond all floats
        value = math.inf
    inside = low < value if above else low <= value
    require(inside and value < math.inf, argument, value, expected)
    return value


def one_of(argument: str, x, names: Collection[str], more: str = "") -> str:
    """One of some names."""
    expected = f"one of {', '.join(names)}{more}"
    require(isinstance(x, str) and x in names, argument, repr(x), expected)
    return x


def floating(argument: str, x, ranks: Collection[int]) -> jax.Array:
    """Floating-point numbers of one of these ranks, whatever their values."""
    expected = f"floats of rank {' or '.join(map(str, ranks))}"
    x = _array(argument, x, expected)
    good = x.ndim in ranks and jnp.issubdtype(x.dtype, jnp.floating)
    require(good, argument, f"dtype {x.dtype}, shape {x.shape}", expected)
    require(math.prod(x.shape) > 0, argument, f"shape {x.shape}", "at least one entry")
    return _held(argument, x)


def real(argument: str, x) -> jax.Array:
    """Real numbers of any shape, whatever their values."""
    x = _array(argument, x, "real numbers")
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    return _held(argument, x) if floating else jnp.asarray(x)


# ------------------------------------------------------- paths, seeds, settings


def path(argument: str, x) -> Path:
    """A path that can be looked up, whether or not something is there."""
    expected = "a path"
    named = isinstance(x, str | os.PathLike) and isinstance(os.fspath(x), str)
    require(named, argument, f"a {type(x).__name__}", expected)
    name = os.fspath(x)
    require(name and "\0" not in name, argument, repr(name), expected)
    try:
        os.lstat(name)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, UnicodeError) as error:
        raise InvalidInput(argument, f"{name!r}: {error.args[-1]}", expected) from None
    return Path(name)


def writable(argument: str, x) -> Path:
    """Where a file can be put: in a folder that is there, over a file or nothing."""
    file = path(argument, x)
    place = os.path.isfile(file) or not os.path.exists(file)
    require(place, argument, str(file), "the name of a file, not of a folder or device")
    require(file.parent.is_dir(), argument, str(file), "a file in a folder that exists")
    return file


def seed(argument: str, x) -> int:
    """What every generator of NumPy and scikit-learn takes as a seed."""
    return count(argument, x, 0, 2**32 - 1)


def draws(argument: str, x) -> int:
    """How many more an array gets: an axis of it stays below 2^31."""
    return count(argument, x, 1, 2**30)


def size(argument: str, x, low: int = 1) -> int:
    """How many of something that an array has one each of."""
    return count(argument, x, low, 2**31 - 1)


def sizes(argument: str, x) -> tuple[int, ...]:
    """The widths of layers, at least one."""
    several = isinstance(x, Sequence) and not isinstance(x, str | bytes) and len(x) > 0
    require(several, argument, repr(x), "a width for each layer")
    return tuple(size(argument, width) for width in x)


def single(argument: str, x) -> float:
    """A Python number above 0 that float32 holds to all its digits."""
    limits = np.finfo(np.float32)
    least, most = float(limits.tiny), float(limits.max)
    expected = f"a number from {least:.2g} to {most:.2g}"
    value = scalar(argument, x, 0, above=True)
    require(least <= value <= most, argument, value, expected)
    return value


def instance(argument: str, x, kind: type, expected: str) -> Any:
    """An object of a class."""
    require(isinstance(x, kind), argument, f"a {type(x).__name__}", expected)
    return x
