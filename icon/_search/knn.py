"""Who is near? The nearest candidates of every anchor, and how far they are."""

import functools as ft
import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from icon._base import checks as check
from icon._base.numerics import FEW, HIGHEST, common, sqrt, unit, widen


BLOCK = 128  # anchors at a time
CHAIN = 64  # of which so many after each other: top_k has one thread
BUDGET = 2**24  # floats that a block may take
GROUPS = 16

Listed = tuple[Int[Array, "n k"], Float[Array, "n k"]]


# ------------------------------------------------------- the smallest of a row


def _smallest(score: Float[Array, "b m"], k: int):
    """Where the k smallest of each row are, and what they are, exactly.

    The best groups first, then their members. Strided groups: the minimum over them
    vectorises, which one long top_k does not.
    """
    b, m = score.shape
    if m <= GROUPS * 2 * k:
        low, at = lax.top_k(-score, k)
        return at, -low
    size = -(-m // GROUPS)
    pad = (0, 0), (0, size * GROUPS - m)
    table = jnp.pad(score, pad, constant_values=np.inf).reshape(b, GROUPS, size)
    best = lax.top_k(-jnp.min(table, 1), k)[1]
    members = jnp.take_along_axis(table, best[:, None], 2).reshape(b, -1)
    low, among = lax.top_k(-members, k)
    at = jnp.take_along_axis(best, among % k, 1) + among // k * size
    return jnp.minimum(at, m - 1), -low


def _in_order(at, distance, k: int):
    """The k nearest of those kept, nearest first."""
    near, order = lax.top_k(-distance, k)
    return jnp.take_along_axis(at, order, 1), -near


def _in_blocks(one, ids, cost: int):
    """`one` of blocks of these anchors, one block after the other."""
    n = ids.shape[0]
    size = max(1, min(BLOCK, n, BUDGET // cost))
    blocks = jnp.pad(ids, (0, -n % size), mode="edge").reshape(-1, size)
    parts = lambda block: [one(block[i : i + CHAIN]) for i in range(0, size, CHAIN)]
    join = lambda block: jax.tree.map(lambda *x: jnp.concatenate(x), *parts(block))
    out = lax.map(join, blocks)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n], out)


def _but_me(score, ids, within: bool):
    """Nobody is near themselves."""
    me = jnp.arange(score.shape[1])[None] == ids[:, None]
    return jnp.where(me, np.inf, score) if within else score


# ------------------------------------------------------- by any function


def _by_function(a, b, ids, k, within, measure):
    """Everybody's distance, and the k smallest."""

    def one(block):
        distance = jax.vmap(measure, (0, None))(a[block], b)
        return _smallest(_but_me(distance, block, within), k)

    return _in_blocks(one, ids, b.shape[0])


def _manhattan(a, b):
    return jnp.sum(jnp.abs(b - a[None]), 1)


# ------------------------------------------------------- by a product of matrices


def _apart(difference: Float[Array, "*n d"]) -> Float[Array, "*n"]:
    """The length of a difference, whose squares need not be floats."""
    peak = lax.stop_gradient(jnp.max(jnp.abs(difference), -1, keepdims=True))
    part = difference / jnp.where(peak > 0, peak, 1)
    return peak[..., 0] * sqrt(jnp.sum(part * part, -1))


def _ranking(a, b):
    """How the candidates of a block are ranked, and by how much that may be wrong.

    |b|² - 2ab after centring; in few dimensions the difference, which is as fast. The
    error of a product is that of a random walk of d roundings of numbers as large as
    (|a| + distance)²: a nearer candidate is no farther from the centre than that.
    """
    d, kind = b.shape[1], jnp.finfo(b.dtype)
    lost = d * float(kind.tiny)  # squares that are no floats
    if d <= FEW:
        step = lambda x, j: (x[:, None, j] - b[None, :, j]) ** 2
        square = lambda x: ft.reduce(jnp.add, [step(x, j) for j in range(d)])
        return lambda i: (square(a[i]), 0.0, lambda far: jnp.full_like(far, lost))
    center = jnp.mean(b, 0, keepdims=True)
    a, b = a - center, b - center
    size, squares = jnp.sum(a * a, 1), jnp.sum(b * b, 1)[None]
    slip = 2 * math.sqrt(d) * float(kind.eps)

    def rank(i):
        score = squares - 2 * jnp.matmul(a[i], b.T, precision=HIGHEST)
        wrong = lambda far: slip * (jnp.sqrt(size[i]) + far) ** 2 + lost
        return score, size[i], wrong

    return rank


def _by_product(a, b, ids, k, within):
    """The k nearest in Euclid's sense: ranked by products, told by differences.

    A few more than k are kept, so that rounding at the border of k is seldom felt: the
    last one kept is a bound for all those that are not, and a row whose k-th distance
    does not stay below it is searched again by plain differences.
    """
    m, d = b.shape
    keep = min(k + max(8, k // 8), m - within)
    rank = _ranking(a, b)

    def plainly(i):
        distance = _apart(b - a[i][None])[None]
        at, low = _smallest(_but_me(distance, i[None], within), k)
        return at[0], low[0]

    def one(block):
        score, size, wrong = rank(block)
        at, low = _smallest(_but_me(score, block, within), keep)
        found = _in_order(at, _apart(b[at] - a[block][:, None]), k)
        far = found[1][:, -1]
        sure = low[:, -1] + size - wrong(far) >= far * far * (1 - ENOUGH)
        return found, sure | (far == 0)

    found, sure = _in_blocks(one, ids, max(m, keep * d))
    return _again(plainly, ids, found, sure)


ENOUGH = 1e-5  # of a squared distance: what float32 cannot tell apart is a tie


def _again(search, ids, found, sure):
    """What was found, and another search for the rows that are not sure."""
    row = lambda x: lax.cond(x[0], lambda: x[1], lambda: search(x[2]))
    redo = lambda: lax.map(row, (sure, found, ids))
    return lax.cond(jnp.all(sure), lambda: found, redo)


# ------------------------------------------------------- metrics


def _in_one_unit(a, b):
    """Both below 2, divided by a power of 2, which rounds nothing; and this unit."""
    peak = jnp.maximum(jnp.max(jnp.abs(a)), jnp.max(jnp.abs(b)))
    digits = jnp.frexp(jnp.where(peak > 0, peak, 1))[1] - 1
    one = jnp.ones((), a.dtype)
    return jnp.ldexp(a, -digits), jnp.ldexp(b, -digits), jnp.ldexp(one, digits)


def _as_units(a, b):
    return unit(a), unit(b), 1


def _as_centered_units(a, b):
    return *(unit(x - jnp.mean(x, 1, keepdims=True)) for x in (a, b)), 1


def _angle(distance, _):
    """1 - cos of unit vectors, as half their squared distance: exact where it is 0."""
    return distance * distance / 2


def _in_unit(distance, size):
    return distance * size


_by_steps = ft.partial(_by_function, measure=_manhattan)

# what is done to the rows first, how they are searched, what distance is told
METRICS = {
    "euclidean": (_in_one_unit, _by_product, _in_unit),
    "cosine": (_as_units, _by_product, _angle),
    "correlation": (_as_centered_units, _by_product, _angle),
    "manhattan": (_in_one_unit, _by_steps, _in_unit),
}


@ft.partial(jax.jit, static_argnames=("k", "metric", "within"))
def _search(a, b, ids, k, metric, within):
    """The k nearest of b to these of a."""
    if callable(metric):
        at, distance = _by_function(a, b, ids, k, within, metric)
        return at.astype(jnp.int32), distance
    prepare, search, tell = METRICS[metric]
    a, b, size = prepare(*common(widen(a), widen(b)))
    at, distance = search(a, b, ids, k, within)
    return at.astype(jnp.int32), tell(distance, size)


def _two_sets(anchors, candidates):
    """Anchors and candidates, checked, and whether they are one set."""
    a = check.floats("anchors", anchors)
    if candidates is None:
        return a, a, True
    b = check.floats("candidates", candidates)
    got, alike = f"shapes {a.shape} and {b.shape}", a.shape[1] == b.shape[1]
    check.require(alike, "candidates", got, "as many columns as the anchors have")
    return a, b, False


def _named(metric, more: str):
    known = isinstance(metric, str) and metric in METRICS
    check.require(
        known, "metric", repr(metric), f"one of {', '.join(METRICS)}, or {more}"
    )


def knn(
    anchors: Float[ArrayLike, "n d"] | Any,
    k: int,
    candidates: Float[ArrayLike, "m d"] | None = None,
    *,
    metric: str | Callable = "euclidean",
) -> Listed:
    """The k nearest candidates of every anchor, exactly.

    Candidates are ranked by products of matrices, and distances recomputed by direct
    difference for those that are kept, so duplicates are at 0 and offsets do not count.
    Where rounding might have cost a neighbour, the row is searched by differences.

    Args:
        anchors: floats [n, d]; with metric="precomputed" the distances [n, n], not
            squared: a symmetric array, whose diagonal is not read, or any scipy sparse
            matrix, where every stored entry is a neighbour, also at 0.
        k: how many.
        candidates: floats [m, d]; None: the anchors, without j = i.
        metric: "euclidean", "cosine" (1 - cos), "correlation", "manhattan",
            "precomputed", or a function
            (one anchor [d], all candidates [m, d]) -> distances [m].

    Returns:
        index [n, k] and distance [n, k], nearest first; distances, not squared.

    Raises:
        InvalidInput: k above the number of others, an unknown metric, values that are
            not finite; a matrix of distances that is not square, has negative numbers
            or is not symmetric, a sparse row with fewer than k entries.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> index, distance = icon.knn(jnp.array([[0.0], [1.0], [5.0]]), 1)
        >>> index.tolist(), distance.tolist()
        ([[1], [0], [1]], [[1.0], [1.0], [4.0]])

    Source: Fix & Hodges, Discriminatory analysis: nonparametric discrimination, 1951.
    """
    if isinstance(metric, str) and metric == "precomputed":
        return _given(anchors, k, candidates)
    a, b, within = _two_sets(anchors, candidates)
    k = check.count("k", k, 1, b.shape[0] - within)
    if not callable(metric):
        _named(metric, "precomputed, or a function")
    return _search(a, b, jnp.arange(a.shape[0]), k, metric, within)


# ------------------------------------------------------- distances that are given


def _given(matrix, k, candidates) -> Listed:
    got = "two sets with metric='precomputed'"
    check.require(candidates is None, "candidates", got, "None: the matrix has both")
    if hasattr(matrix, "tocsr"):
        return _from_entries(matrix, k)
    matrix = check.floats("anchors", matrix)
    _square(matrix.shape)
    k = check.count("k", k, 1, matrix.shape[0] - 1)
    if check.concrete(matrix):
        _distances(np.asarray(matrix))
    return _from_matrix(matrix, k)


def _square(shape):
    square = len(shape) == 2 and shape[0] == shape[1]
    check.require(
        square, "anchors", f"shape {shape}", "a square matrix with metric='precomputed'"
    )


def _distances(matrix: np.ndarray):
    """Refuse what no distances are, some rows at a time."""
    n = len(matrix)
    step = max(1, BUDGET // n)
    for start in range(0, n, step):
        rows = matrix[start : start + step].astype(np.float64)
        back = matrix[:, start : start + step].T.astype(np.float64)
        other = np.arange(n) != np.arange(start, start + len(rows))[:, None]
        _no_entry(rows, (rows < 0) & other, start, "distances from 0")
        uneven = abs(rows - back) > 1e-5 * np.maximum(abs(rows), abs(back))
        _no_entry(rows, uneven, start, "a symmetric matrix")


def _no_entry(rows, bad, start, expected):
    if bad.any():
        i, j = np.argwhere(bad)[0]
        at = f"{rows[i, j]} at row {start + i}, column {j}"
        raise check.InvalidInput("anchors", at, expected)


@ft.partial(jax.jit, static_argnames="k")
def _from_matrix(matrix, k) -> Listed:
    def one(block):
        at, distance = _smallest(_but_me(widen(matrix[block]), block, True), k)
        return at.astype(jnp.int32), distance

    n = matrix.shape[0]
    return _in_blocks(one, jnp.arange(n), n)


def _from_entries(matrix, k) -> Listed:
    """The k smallest entries that each row stores."""
    _square(matrix.shape)
    n = matrix.shape[0]
    k = check.count("k", k, 1, n - 1)
    stored = matrix.tocoo()
    off = stored.row != stored.col
    row, column, far = stored.row[off], stored.col[off], stored.data[off]
    if far.size:
        check.at_least("anchors", check.floats("anchors", far, 1), 0)
    entries = np.bincount(row, minlength=n)
    short = int(np.argmax(entries < k))
    got = f"{entries[short]} in row {short}"
    check.require(entries.min() >= k, "anchors", got, f"at least {k} entries in a row")
    order = np.lexsort((column, far, row))
    first = np.cumsum(entries) - entries
    kept = order[first[:, None] + np.arange(k)]
    kind = far.dtype if far.dtype.itemsize < 8 else jnp.result_type(float)
    return jnp.asarray(column[kept], jnp.int32), widen(jnp.asarray(far[kept], kind))


# ------------------------------------------------------- not exactly, but soon


ALL = 4096  # so many candidates are searched exactly before an index is built


def near(
    anchors: Float[ArrayLike, "n d"],
    k: int,
    candidates: Float[ArrayLike, "m d"] | None = None,
    *,
    metric: str = "euclidean",
    seed: int = 0,
) -> Listed:
    """The k nearest candidates of every anchor, nearly all of them, by NN-descent.

    Up to 4096 candidates, or 4 k, are searched exactly. Of the true neighbours in MNIST
    (70,000 x 50 by PCA) 0.992 are found for k = 15, in 0.4 of the time that `knn`
    takes, and 0.9998 for k = 90, in twice its time: prefer `knn` there.

    Args:
        anchors: floats [n, d].
        k: how many.
        candidates: floats [m, d]; None: the anchors, without j = i.
        metric: "euclidean", "cosine" (1 - cos), "correlation" or "manhattan".
        seed: the same one gives the same neighbours.

    Returns:
        index [n, k] and distance [n, k], nearest first, as `knn` gives them: distances
        are exact, by direct difference, of those that were found.

    Raises:
        InvalidInput: k above the number of others, an unknown metric, values that are
            not finite.
        ImportError: without pynndescent: pip install 'icon-jax[ann]'.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> index, distance = icon.near(jnp.array([[0.0], [1.0], [5.0]]), 1)
        >>> index.tolist(), distance.tolist()
        ([[1], [0], [1]], [[1.0], [1.0], [4.0]])

    Source: Dong, Moses & Li, Efficient k-nearest neighbor graph construction for
    generic similarity measures, 2011.
    """
    a, b, within = _two_sets(anchors, candidates)
    check.require(check.concrete(a, b), "anchors", "traced", "near outside of jit")
    k = check.count("k", k, 1, b.shape[0] - within)
    seed = check.count("seed", seed, 0, 2**32 - 1)
    _named(metric, "knn for a function")
    descend = _descent()
    if b.shape[0] <= max(ALL, 4 * k):
        return _search(a, b, jnp.arange(a.shape[0]), k, metric, within)
    a, b = common(widen(a), widen(b))
    at = _descended(descend, *_flat(a, b, metric), k, metric, within, seed)
    index, distance = _measured(a, b, jnp.asarray(at, jnp.int32), k, metric, within)
    return _repaired(a, b, index, distance, k, metric, within)


def _descent():
    try:
        from pynndescent import NNDescent
    except ImportError as error:
        need = "near needs pynndescent: pip install 'icon-jax[ann]'"
        raise ImportError(need) from error
    return NNDescent


def _flat(a, b, metric):
    """Rows that pynndescent may compare in float32, whatever their origin and unit."""
    a, b, _ = METRICS[metric][0](a, b)
    center = jnp.mean(b, 0, keepdims=True)
    size = jnp.max(jnp.abs(b - center))
    fit = lambda x: np.asarray((x - center) / jnp.where(size > 0, size, 1), np.float32)
    return fit(a), fit(b)


def _descended(descend, a, b, k, metric, within, seed):
    """Ids that pynndescent finds, -1 where it finds nobody."""
    how = metric if metric == "manhattan" else "euclidean"
    with warnings.catch_warnings():  # it tells of rows that it gives up: repaired here
        warnings.simplefilter("ignore")
        wide = k + 1 if within else max(30, k + 1)  # a search walks along these
        found = descend(b, metric=how, n_neighbors=wide, random_state=seed)
        return found.neighbor_graph[0] if within else found.query(a, k, 0.3)[0]


@ft.partial(jax.jit, static_argnames=("k", "metric", "within"))
def _measured(a, b, at, k, metric, within):
    """The distances of those found, by direct difference; inf where nobody was."""
    prepare, search, tell = METRICS[metric]
    a, b, size = prepare(a, b)
    length = _apart if search is _by_product else lambda x: jnp.sum(jnp.abs(x), -1)

    def one(block):
        ids = jnp.sort(at[block], 1)
        again = jnp.pad(ids[:, 1:] == ids[:, :-1], ((0, 0), (1, 0)))
        nobody = (ids < 0) | again | (within & (ids == block[:, None]))
        far = length(b[ids] - a[block][:, None])
        return _in_order(ids, jnp.where(nobody, np.inf, far), k)

    cost = at.shape[1] * b.shape[1]
    index, distance = _in_blocks(one, jnp.arange(a.shape[0]), cost)
    return index, tell(distance, size)


def _repaired(a, b, index, distance, k, metric, within) -> Listed:
    """Rows with fewer than k neighbours, searched exactly."""
    short = np.flatnonzero(~np.isfinite(np.asarray(distance)).all(1))
    if not len(short):
        return index, distance
    ids, far = _search(a, b, jnp.asarray(short), k, metric, within)
    return index.at[short].set(ids), distance.at[short].set(far)
