"""Which rows are the nearest of each: searched, or given?"""

from typing import Any

import numpy as np

from icon._base import checks as check
from icon._search import knn, near
from icon.estimators.frames import in_own_unit


EXACT = 100_000  # rows up to which every pair is compared

Listed = tuple[Any, Any]  # index [n, k], distance [n, k]


def nearest(x, k: int, metric, seed: int) -> Listed:
    """The k nearest rows of each: exact up to 100,000 rows, then approximate."""
    if x.shape[0] <= EXACT or metric == "precomputed" or callable(metric):
        return knn(x, k, metric=metric)
    return near(x, k, metric=metric, seed=seed)


def given_neighbors(neighbors, n: int) -> Listed:
    """Neighbours of n rows as they are given, their distances in their own unit."""
    pair = isinstance(neighbors, tuple | list) and len(neighbors) == 2
    check.require(pair, "neighbors", "no pair", "(index [n, k], distance [n, k])")
    index, distance = map(np.asarray, neighbors)
    got = f"shapes {index.shape} and {distance.shape}"
    fits = index.ndim == 2 and index.shape == distance.shape and len(index) == n
    check.require(fits, "neighbors", got, f"two of shape ({n}, k)")
    return index, in_own_unit(distance)
