"""Which rows are the nearest of each: searched, or given?"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import scipy.sparse as sp

from icon._base import checks as check
from icon._search import knn, near
from icon.estimators.frames import in_own_unit
from icon.recipes import ensemble


EXACT = 100_000  # rows up to which every pair is compared
HOST = 40_000  # rows up to which scikit-learn is as fast on a CPU, and compiles nothing
NEARBY = 1e-4  # of the largest entry: distances that products of rows blur

Listed = tuple[Any, Any]  # index [n, k], distance [n, k]


def nearest(x, k: int, metric, seed: int) -> Listed:
    """The k nearest rows of each: exact up to 100,000 rows, then approximate."""
    if not sp.issparse(x) and _is_for_the_host(x, metric):
        return _on_the_host(x, k, metric)
    if x.shape[0] <= EXACT or metric == "precomputed" or callable(metric):
        return knn(x, k, metric=metric)
    return near(x, k, metric=metric, seed=seed)


AS_ROWS: dict[str, Callable] = {  # the rows that Euclid compares
    "euclidean": lambda x: x,
    "cosine": ensemble.unit,
    "correlation": lambda x: ensemble.unit(x - x.mean(1, keepdims=True)),
}


def nearest_among(x, k: int, candidates, metric) -> Listed:
    """The k nearest candidates of each row, exactly."""
    if _is_for_the_host(candidates, metric):
        return _on_the_host(x, k, metric, candidates)
    return knn(x, k, candidates, metric=metric)


def _is_for_the_host(candidates, metric) -> bool:
    named = isinstance(metric, str) and metric in AS_ROWS
    return named and len(candidates) <= HOST and jax.default_backend() == "cpu"


def _on_the_host(x, k: int, metric: str, candidates=None) -> Listed:
    """As `icon.knn`, by scikit-learn.

    Near duplicates, and rows of another set, are measured by differences: a row does
    not depend on those beside it.
    """
    from sklearn.neighbors import NearestNeighbors

    rows = AS_ROWS[metric](np.asarray(x))
    others = rows if candidates is None else AS_ROWS[metric](np.asarray(candidates))
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(others)
    distance, index = search.kneighbors(None if candidates is None else rows)
    blurred = np.inf if candidates is not None else NEARBY * np.abs(rows).max()
    at = np.nonzero(distance <= blurred)
    distance[at] = np.linalg.norm(rows[at[0]] - others[index[at]], axis=1)
    order = np.argsort(distance, 1, kind="stable")
    index, distance = (np.take_along_axis(v, order, 1) for v in (index, distance))
    distance = distance if metric == "euclidean" else distance**2 / 2
    return index.astype(np.int32), distance.astype(np.float32)


def given_neighbors(neighbors, n: int) -> tuple[Listed, int]:
    """Neighbours of n rows as they are given, distances in their own unit; and that."""
    pair = isinstance(neighbors, tuple | list) and len(neighbors) == 2
    check.require(pair, "neighbors", "no pair", "(index [n, k], distance [n, k])")
    index, distance = map(np.asarray, neighbors)
    got = f"shapes {index.shape} and {distance.shape}"
    fits = index.ndim == 2 and index.shape == distance.shape and len(index) == n
    check.require(fits, "neighbors", got, f"two of shape ({n}, k)")
    distance, power = in_own_unit(distance)
    return (index, distance), power
