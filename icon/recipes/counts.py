"""How many clusters are there? As many as starts of every kind agree about."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from icon.recipes import ensemble
from icon.recipes.cut import Cut, Labels


STARTS = 4  # of each k-means, of few rows: a bad one would pass for an unstable K


class Choice(NamedTuple):
    """What each number of clusters gives, and the most stable of them."""

    counts: Int[np.ndarray, " k"]
    loss: Float[np.ndarray, " k"]  # the lowest; it falls with every further cluster
    stability: Float[np.ndarray, " k"]  # 1 where all partitions are the same
    best: int


def stability(members: Sequence[Labels]) -> float:
    r"""How far partitions agree: the mean adjusted Rand index of all pairs.

    $$\frac{2}{M (M - 1)} \sum_{a < b} \mathrm{ARI}(\Phi_a, \Phi_b)$$

    Args:
        members: two partitions or more of the same items.

    Example:
        >>> import numpy as np
        >>> from icon.recipes import counts
        >>> counts.stability([np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])])
        1.0

    Source: Ben-Hur, Elisseeff & Guyon, A stability based method for discovering
    structure in clustered data, 2002.
    """
    from sklearn.metrics import adjusted_rand_score

    pairs = [(a, b) for k, b in enumerate(members) for a in members[:k]]
    return float(np.mean([adjusted_rand_score(a, b) for a, b in pairs]))


@ensemble.limited
def chosen(
    by: Cut, vectors, layouts: Sequence, counts: Sequence[int], seed: int
) -> Choice:
    """The choice among some numbers of clusters.

    Partitions are made from the graph's eigenvectors, .75 to 1.25 for every cluster,
    and from layouts of the graph, and each is improved by moves.

    Args:
        by: the graph that is cut, into any number of clusters.
        vectors: the graph's eigenvectors, 1.25 for every cluster of the most.
        layouts: of the graph; may be none.
        counts: the numbers of clusters, rising.
        seed: of every start.

    Returns:
        a Choice; of equally stable ones the most clusters, which say more.
    """
    tries = STARTS if by.n < ensemble.LARGE else 1

    def tried(count):
        cut = dataclasses.replace(by, count=count)
        points = [*ensemble.spectra(vectors, count), *layouts]
        starts = [
            ensemble.k_means(x, count, seed + m, tries) for m, x in enumerate(points)
        ]
        found = cut.all_moved(starts, seed)
        return min(map(cut.loss, found)), stability(found)

    loss, stable = map(np.array, zip(*map(tried, counts), strict=True))
    best = np.flatnonzero(stable == stable.max())[-1]
    return Choice(np.array(counts), loss, stable, int(counts[best]))
