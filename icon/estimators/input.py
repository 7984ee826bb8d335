"""What may X be? Features, distances or affinities, checked."""

import contextlib
import functools as ft
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from numpy.exceptions import DTypePromotionError
from sklearn.utils.validation import validate_data

from icon._base import checks as check
from icon._base.checks import InvalidInput
from icon._neighborhoods import Graph, graph
from icon._search import symmetrize
from icon.estimators.frames import in_own_unit


GIVEN = ("precomputed", "affinity")  # metrics that say what X is


def is_given(metric) -> bool:
    """Whether X holds distances or affinities, not features."""
    return isinstance(metric, str) and metric in GIVEN


def with_arguments(metric, arguments) -> Any:
    """The metric with arguments beside the rows, which only a function takes."""
    if arguments is None:
        return metric
    name, expected = "metric_params", "None, or a dict of arguments by their names"
    is_dict = isinstance(arguments, dict)
    check.require(is_dict, name, f"a {type(arguments).__name__}", expected)
    takes_some, expected = callable(metric) or not arguments, "a function as the metric"
    got = f"arguments of metric={metric!r}, which takes none"
    check.require(takes_some, name, got, expected)
    if not arguments:
        return metric
    check.function("metric", metric, "anchor", "candidates", **arguments)
    return ft.partial(metric, **arguments)


@contextlib.contextmanager
def _refused(expected: str) -> Iterator[None]:
    """A ValueError of scikit-learn as an InvalidInput of one line."""
    try:
        yield
    except InvalidInput:
        raise
    # an integer beyond all floats; dates beside numbers, in a frame
    except (ValueError, OverflowError, DTypePromotionError) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        # without the lines that print the array; "- " is before a name
        plain = (line for line in lines if line[:1].isalpha() or line[:2] == "- ")
        words = [line for line in plain if line[:6] != "array="]
        raise InvalidInput("X", " ".join(words).rstrip("."), expected) from None


def _readable(X) -> Any:
    """X as scikit-learn reads it; masks and dates, which it would misread, refused."""
    check.require(
        not np.ma.is_masked(X), "X", "a masked array", "numbers without a mask"
    )
    if not isinstance(X, np.ndarray | jax.Array):
        return X
    if isinstance(X, jax.Array):  # which may be deleted, or random keys
        check.shape("X", X)
    dates = np.dtype(X.dtype).kind in "mM"
    check.require(not dates, "X", f"dtype {X.dtype}", "numbers")
    return _wide(np.asarray(X))


def _wide(x: np.ndarray) -> np.ndarray:
    """Half precision as float32."""
    half = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4
    return x.astype(np.float32) if half else x


def features(estimator, X, *, reset: bool = True) -> np.ndarray:
    """X as a matrix of finite numbers, in its own unit."""
    dense = "a dense matrix: X.toarray()"
    check.require(not sp.issparse(X), "X", "a sparse matrix", dense)
    least = 2 if reset else 1
    options: Any = dict(ensure_all_finite=False, ensure_min_samples=least)
    options |= dict(accept_sparse=True)  # refused below: a frame may be sparse, too
    with _refused("a matrix of real numbers [n, d]"):
        x: Any = validate_data(estimator, _readable(X), reset=reset, **options)
        check.require(not sp.issparse(x), "X", "sparse columns", dense)
        return check.reals("X", x.astype(np.float64) if x.dtype == object else _wide(x))


def directed(x: np.ndarray, metric) -> np.ndarray:
    """Rows that have an angle to the others, where the metric is one of angles."""
    if metric == "cosine":
        bad = ~x.any(1)
    elif metric == "correlation":
        bad = np.ptp(x, 1) == 0
    else:
        return x
    got = f"zeros, or one number throughout, at row {np.argmax(bad)}"
    check.require(not bad.any(), "X", got, f"rows with a direction, for {metric!r}")
    return x


def labels(y, n: int) -> np.ndarray:
    """Labels as integers from 0 [n], -1 where y has -1: no label."""
    from sklearn.utils import column_or_1d
    from sklearn.utils.multiclass import type_of_target

    expected = f"a label for each of {n} rows"
    with check.renamed(X="y"), _refused(expected), np.errstate(invalid="ignore"):
        y = column_or_1d(y)
        kind = type_of_target(y, raise_unknown=True)
    numbers = "labels, of which several rows share one"
    check.require(kind in ("binary", "multiclass"), "y", f"a {kind} target", numbers)
    check.require(len(y) == n, "y", f"{len(y)} labels", f"{n}, one for each row")
    known = y != -1 if y.dtype.kind in "if" else np.ones(n, bool)
    codes = np.full(n, -1, np.int32)
    codes[known] = np.unique(y[known], return_inverse=True)[1]
    return codes


# ------------------------------------------------------- a row and a column per point


def distances(X) -> tuple[Any, int]:
    """Distances [n, n] in their own unit, zero on the diagonal; and its exponent."""
    x, power = _square(X)
    if not sp.issparse(x):
        own = x.diagonal()
        row = int(np.argmax(own != 0))
        got = f"another at row {row}, column {row}"
        check.require(not own.any(), "X", got, "distances of 0 on the diagonal")
    return x, power


def affinities(X) -> Graph:
    """Affinities [n, n], symmetrised; the diagonal is dropped."""
    x = sp.coo_array(_square(X)[0])
    off = x.row != x.col
    x = sp.coo_array((x.data[off], (x.row[off], x.col[off])), shape=x.shape)
    with check.renamed(matrix="X"):
        p = symmetrize(graph(x))
    positive = np.isfinite(np.asarray(p.logit)).any()
    check.require(positive, "X", "zeros only", "an affinity above 0")
    return p


def _square(X) -> tuple[Any, int]:
    """A square matrix in its own unit, and that; sparse, without the diagonal."""
    sparse = sp.issparse(X)
    with _refused("a square matrix of real numbers"):
        x: Any = sp.coo_array(X, copy=True) if sparse else np.asarray(_readable(X))
        real = "real numbers, no strings. Complex data not supported"
        check.require(x.dtype.kind in "biuf", "X", f"dtype {x.dtype}", real)
    shape = f"shape {x.shape}"
    check.require(x.ndim == 2, "X", shape, "a matrix of rank 2")
    check.require(x.shape[0] == x.shape[1], "X", shape, "a square matrix")
    check.require(x.shape[0] > 1, "X", f"n_samples = {x.shape[0]}", "two or more")
    return _entries(x) if sparse else in_own_unit(check.reals("X", x))


def _entries(x: sp.coo_array) -> tuple[sp.coo_array, int]:
    """The entries off the diagonal; zeros that are stored stay."""
    x.sum_duplicates()
    check.require(x.nnz, "X", "no entries", "at least one entry")
    place = lambda at: check.position((int(x.row[at]), int(x.col[at])))
    check.reals("X", x.data, where=place)
    off = x.row != x.col
    data, power = in_own_unit(x.data)
    entries = (data[off], (x.row[off], x.col[off]))
    return sp.coo_array(entries, shape=x.shape), power
