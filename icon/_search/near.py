"""Which candidates are near every anchor, nearly all of them but soon?"""

import functools as ft
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from icon._base import checks as check
from icon._base.numerics import common, widen
from icon._search.knn import Nearest, nearest, two_sets
from icon._search.metrics import Metric, named
from icon._search.smallest import in_blocks, in_order


EXACT = 4096  # up to so many candidates are searched exactly, without an index


def near(
    anchors: Float[ArrayLike, "n d"],
    k: int,
    candidates: Float[ArrayLike, "m d"] | None = None,
    *,
    metric: str = "euclidean",
    seed: int = 0,
) -> Nearest:
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
        ImportError: more candidates than that without pynndescent: 'icon-jax[ann]'.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> index, distance = icon.near(jnp.array([[0.0], [1.0], [5.0]]), 1)
        >>> index.tolist(), distance.tolist()
        ([[1], [0], [1]], [[1.0], [1.0], [4.0]])

    Source: Dong, Moses & Li, Efficient k-nearest neighbor graph construction for
    generic similarity measures, 2011.
    """
    a, b, excludes_self = two_sets(anchors, candidates)
    check.require(check.concrete(a, b), "anchors", "traced", "near outside of jit")
    k = check.count("k", k, 1, b.shape[0] - excludes_self)
    seed = check.seed("seed", seed)
    by = named(metric, "knn for a function")
    if b.shape[0] <= max(EXACT, 4 * k):
        return nearest(a, b, jnp.arange(a.shape[0]), k, by, excludes_self)
    a, b = common(widen(a), widen(b))
    found = _found(a, b, k, by, excludes_self, seed)
    index, distance = _measured(a, b, found, k, by, excludes_self)
    short = np.flatnonzero(~np.isfinite(np.asarray(distance)).all(1))
    if not len(short):
        return index, distance
    ids, exact = nearest(a, b, jnp.asarray(short), k, by, excludes_self)
    return index.at[short].set(ids), distance.at[short].set(exact)


def _found(a, b, k, metric: Metric, excludes_self, seed):
    """The ids [n, s] that pynndescent finds, -1 where it finds none.

    It compares rows in float32, so they are centred and scaled first.
    """
    try:
        from pynndescent import NNDescent
    except ImportError as error:
        missing = "near needs pynndescent: pip install 'icon-jax[ann]'"
        raise ImportError(missing) from error
    a, b, _ = metric.prepare(a, b)
    center = jnp.mean(b, 0, keepdims=True)
    size = jnp.max(jnp.abs(b - center))
    fit = lambda x: np.asarray((x - center) / jnp.where(size > 0, size, 1), np.float32)
    name = "euclidean" if metric.is_euclidean else "manhattan"
    width = k + 1 if excludes_self else max(30, k + 1)  # a query walks along these
    with warnings.catch_warnings():  # of rows that it gives up: these are repaired
        warnings.simplefilter("ignore")
        tree = NNDescent(fit(b), metric=name, n_neighbors=width, random_state=seed)
        found: Any = (
            tree.neighbor_graph if excludes_self else tree.query(fit(a), k, 0.3)
        )
    return jnp.asarray(found[0], jnp.int32)


@ft.partial(jax.jit, static_argnames=("k", "metric", "excludes_self"))
def _measured(a, b, found, k, metric: Metric, excludes_self):
    """The k nearest of the ids that were found; inf where there are fewer."""
    a, b, unit = metric.prepare(a, b)

    def search(anchors):
        ids = jnp.sort(found[anchors], 1)
        twice = jnp.pad(ids[:, 1:] == ids[:, :-1], ((0, 0), (1, 0)))
        is_self = excludes_self & (ids == anchors[:, None])
        length = metric.length(b[ids] - a[anchors][:, None])
        return in_order(ids, jnp.where((ids < 0) | twice | is_self, np.inf, length), k)

    cost = found.shape[1] * b.shape[1]
    index, length = in_blocks(search, jnp.arange(a.shape[0]), cost)
    return index, metric.restore(length, unit)
