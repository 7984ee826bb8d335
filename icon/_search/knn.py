"""Which candidates are the nearest of every anchor, exactly?"""

import functools as ft
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from icon._base import checks as check
from icon._base.numerics import FEW, HIGHEST, common, widen
from icon._search.metrics import Metric, euclidean_length, named
from icon._search.precomputed import nearest_given
from icon._search.smallest import in_blocks, in_order, smallest, without_self


Nearest = tuple[Int[Array, "n k"], Float[Array, "n k"]]

SLACK = 1e-5  # of a squared distance: nearer than that, two of them are a tie


# ------------------------------------------------------- by any function


def _by_function(a, b, ids, k, excludes_self, distances):
    """The k smallest of distances(anchor [d], candidates [m, d]) -> [m].

    And whether all of an anchor's are distances: none of them nan or below 0.
    """

    def search(ids):
        rows = jax.vmap(distances, (0, None))(a[ids], b)
        good = jnp.all(rows >= 0, 1)
        return *smallest(without_self(rows, ids) if excludes_self else rows, k), good

    return in_blocks(search, ids, b.shape[0])


@ft.partial(jax.jit, static_argnames=("k", "excludes_self", "distances"))
def _nearest_by_function(a, b, ids, k, excludes_self, distances):
    index, distance, good = _by_function(a, b, ids, k, excludes_self, distances)
    return index.astype(jnp.int32), distance, good


# ------------------------------------------------------- by a product of matrices


def _ranking(a, b):
    """A function of anchors: the scores that rank their candidates, what makes squared
    distances of these, and how wrong they may be for a candidate at a distance.

    |b|² - 2ab after centring; in few dimensions the difference, which is as fast. The
    error of a product is that of a random walk of d roundings of numbers as large as
    (|a| + distance)²: a nearer candidate is no farther from the centre than that.
    """
    d, info = b.shape[1], jnp.finfo(b.dtype)
    underflow = d * float(info.tiny)  # squares that are no floats
    if d <= FEW:
        squares = lambda x: [(x[:, None, j] - b[None, :, j]) ** 2 for j in range(d)]
        error = lambda distance: jnp.full_like(distance, underflow)
        return lambda i: (ft.reduce(jnp.add, squares(a[i])), 0.0, error)
    center = jnp.mean(b, 0, keepdims=True)
    a, b = a - center, b - center
    a_square, b_square = jnp.sum(a * a, 1), jnp.sum(b * b, 1)[None]
    rounding = 2 * math.sqrt(d) * float(info.eps)

    def rank(i):
        score = b_square - 2 * jnp.matmul(a[i], b.T, precision=HIGHEST)
        reach = lambda distance: jnp.sqrt(a_square[i]) + distance
        return score, a_square[i], lambda x: rounding * reach(x) ** 2 + underflow

    return rank


def _by_product(a, b, ids, k, excludes_self):
    """The k nearest by Euclid: ranked by products, measured by differences.

    A few more than k are kept, so that rounding at the border of k seldom matters: the
    last one kept bounds all that are not, and a row whose k-th distance does not stay
    below that bound is searched again by differences alone.
    """
    m, d = b.shape
    keep = min(k + max(8, k // 8), m - excludes_self)
    rank = _ranking(a, b)
    others = without_self if excludes_self else lambda score, ids: score

    def search(ids):
        score, offset, error = rank(ids)
        at, low = smallest(others(score, ids), keep)
        found = in_order(at, euclidean_length(b[at] - a[ids][:, None]), k)
        last = found[1][:, -1]
        sure = low[:, -1] + offset - error(last) >= last * last * (1 - SLACK)
        return found, sure | (last == 0)

    def by_differences(i):
        distance = euclidean_length(b - a[i][None])[None]
        at, low = smallest(others(distance, i[None]), k)
        return at[0], low[0]

    found, sure = in_blocks(search, ids, max(m, keep * d))
    row = lambda x: lax.cond(x[0], lambda: x[1], lambda: by_differences(x[2]))
    again = lambda: lax.map(row, (sure, found, ids))
    return lax.cond(jnp.all(sure), lambda: found, again)


# ------------------------------------------------------- the search


@ft.partial(jax.jit, static_argnames=("k", "metric", "excludes_self"))
def nearest(a, b, ids, k: int, metric: Metric, excludes_self: bool) -> Nearest:
    """The k nearest rows of b to these rows of a."""
    a, b, unit = metric.prepare(*common(widen(a), widen(b)))
    distances = lambda anchor, candidates: metric.length(candidates - anchor[None])
    by_function = ft.partial(_by_function, distances=distances)
    search = _by_product if metric.is_euclidean else by_function
    index, length, *_ = search(a, b, ids, k, excludes_self)
    return index.astype(jnp.int32), metric.restore(length, unit)


def two_sets(anchors, candidates):
    """Anchors and candidates, checked, and whether they are one set, without j = i."""
    a = check.floats("anchors", anchors)
    if candidates is None:
        return a, a, True
    b = check.floats("candidates", candidates)
    got, same = f"shapes {a.shape} and {b.shape}", a.shape[1] == b.shape[1]
    check.require(same, "candidates", got, "as many columns as the anchors have")
    return a, b, False


def knn(
    anchors: Float[ArrayLike, "n d"] | Any,
    k: int,
    candidates: Float[ArrayLike, "m d"] | None = None,
    *,
    metric: str | Callable = "euclidean",
) -> Nearest:
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
            not finite; a function to anything but distances; a matrix of distances that
            is not square, has negative numbers or is not symmetric, a sparse row with
            fewer than k entries.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> index, distance = icon.knn(jnp.array([[0.0], [1.0], [5.0]]), 1)
        >>> index.tolist(), distance.tolist()
        ([[1], [0], [1]], [[1.0], [1.0], [4.0]])

    Source: Fix & Hodges, Discriminatory analysis: nonparametric discrimination, 1951.
    """
    if isinstance(metric, str) and metric == "precomputed":
        got, good = f"two sets with metric={metric!r}", "None: the matrix has both"
        check.require(candidates is None, "candidates", got, good)
        return nearest_given(anchors, k)
    a, b, excludes_self = two_sets(anchors, candidates)
    k = check.count("k", k, 1, b.shape[0] - excludes_self)
    ids = jnp.arange(a.shape[0])
    if callable(metric):
        check.function("metric", metric, "anchor", "candidates")
        check.gives("metric", jax.eval_shape(metric, a[0], b), b.shape[:1])
        found = _nearest_by_function(a, b, ids, k, excludes_self, metric)
        index, distance, good = found
        if check.concrete(good):
            check.require(good.all(), "metric", "one to nan or below 0", "distances")
        return index, distance
    by = named(metric, "precomputed, or a function")
    return nearest(a, b, ids, k, by, excludes_self)
