"""Which neighbours are nearest where the distances are given?"""

import functools as ft

import jax
import jax.numpy as jnp
import numpy as np

from icon._base import checks as check
from icon._base.numerics import widen
from icon._search.smallest import BUDGET, in_blocks, smallest, without_self


def nearest_given(matrix, k: int):
    """The k nearest by a matrix of distances [n, n], dense or sparse."""
    import scipy.sparse as sp

    if sp.issparse(matrix):
        return _of_entries(matrix, k)
    matrix = check.floats("anchors", matrix)
    _require_square(matrix.shape)
    k = check.count("k", k, 1, matrix.shape[0] - 1)
    if check.concrete(matrix):
        _require_distances(np.asarray(matrix))
    return _of_matrix(matrix, k)


def _require_square(shape):
    square = len(shape) == 2 and shape[0] == shape[1]
    good = "a square matrix with metric='precomputed'"
    check.require(square, "anchors", f"shape {shape}", good)


def _require_distances(matrix: np.ndarray):
    """Refuse negative or asymmetric entries off the diagonal, in blocks of rows."""
    n = len(matrix)
    step = max(1, BUDGET // n)
    for start in range(0, n, step):
        rows = matrix[start : start + step].astype(np.float64)
        columns = matrix[:, start : start + step].T.astype(np.float64)
        other = np.arange(n) != np.arange(start, start + len(rows))[:, None]
        gap, size = abs(rows - columns), np.maximum(abs(rows), abs(columns))
        for bad, expected in (
            ((rows < 0) & other, "distances from 0"),
            (gap > 1e-5 * size, "a symmetric matrix"),
        ):
            if bad.any():
                i, j = np.argwhere(bad)[0]
                got = f"{rows[i, j]} at {check.position((start + i, j))}"
                raise check.InvalidInput("anchors", got, expected)


@ft.partial(jax.jit, static_argnames="k")
def _of_matrix(matrix, k):
    def search(ids):
        at, distance = smallest(without_self(widen(matrix[ids]), ids), k)
        return at.astype(jnp.int32), distance

    n = matrix.shape[0]
    return in_blocks(search, jnp.arange(n), n)


def _of_entries(matrix, k):
    """The k smallest entries that each row stores off the diagonal."""
    _require_square(matrix.shape)
    n = matrix.shape[0]
    k = check.count("k", k, 1, n - 1)
    stored = matrix.tocoo()
    off = stored.row != stored.col
    row, column, distance = stored.row[off], stored.col[off], stored.data[off]
    if distance.size:
        check.at_least("anchors", check.floats("anchors", distance, 1), 0)
    entries = np.bincount(row, minlength=n)
    short = int(np.argmax(entries < k))
    got = f"{entries[short]} in row {short}"
    check.require(entries.min() >= k, "anchors", got, f"at least {k} entries in a row")
    order = np.lexsort((column, distance, row))
    first = np.cumsum(entries) - entries
    kept = order[first[:, None] + np.arange(k)]
    return jnp.asarray(column[kept], jnp.int32), widen(jnp.asarray(distance[kept]))
