"""How are clusters of unlike sizes found? Finer ones, merged as they agree.

Partitions into K clusters cut a large cluster before they find a small one. Into twice
and three times as many they cut it as well, but each elsewhere, so that its pieces are
together more often than they are with others: p̄, the average of the partitions, tells
which of them belong together.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from icon import evaluate
from icon.recipes.cut import Cut, indicator
from icon.recipes.ensemble import (
    Partition,
    Spaces,
    by_features,
    by_points,
    limited,
    stacked,
)


FINER = (2, 3)  # clusters for each that is wanted
SAMPLES = 3  # starts from features, and one from every other space
ROWS = 15  # for each cluster, which are 5 for each of the finest
CLUSTERS = 50  # at most: of 77, merged ones are worse if even, and no better if not
# The least evenness of even clusters: that of two with shares of .63 and .37, or of ten
# that fall evenly, the largest five times the smallest.
EVENNESS = 0.945


@limited
def finer(spaces: Spaces, cut: Cut, seed: int) -> list[Partition]:
    """Partitions into twice and three times as many clusters, each improved."""
    found = []
    for count in (times * cut.count for times in FINER):
        found += by_points([*spaces.layouts, *spaces.spectra], count, seed, 1)
        found += by_features(spaces.features, count, seed, SAMPLES)
    return widest(cut, found).all_moved(found, seed)


def widest(cut: Cut, members: Sequence[Partition]) -> Cut:
    """The cut into as many clusters as the finest of some partitions has."""
    return dataclasses.replace(cut, count=1 + max(labels.max() for labels in members))


def merged(ground: Partition, members: Sequence[Partition], count: int) -> Partition:
    r"""A finer partition's clusters, merged by the average linkage of p̄.

    $$s(a, b) = \frac{1}{n_a n_b} \sum_{i \in a, j \in b} \frac{1}{M}
      \sum_m [\Phi_m(i) = \Phi_m(j)]$$

    Source: Fred & Jain, Combining multiple clusterings using evidence accumulation,
    2005.
    """
    from scipy.cluster.hierarchy import cut_tree, linkage
    from scipy.spatial.distance import squareform

    pieces, piece = np.unique(ground, return_inverse=True)
    if len(pieces) <= count:
        return piece
    of = indicator(piece, len(pieces))
    shares: Any = sp.csr_array(of.T @ stacked(members)) / of.sum(0)[:, None]
    distance = 1 - (shares @ shares.T).toarray() / len(members)
    tree = linkage(squareform(np.maximum(distance, 0), checks=False), "average")
    return cut_tree(tree, count)[piece, 0]


def evenness(labels: Partition, count: int) -> float:
    r"""The entropy of cluster sizes over that of equal ones: 1 where all are equal.

    $$-\sum_c \frac{n_c}{n} \log \frac{n_c}{n} \Big/ \log K$$

    Example:
        >>> import numpy as np
        >>> from icon.recipes import uneven
        >>> uneven.evenness(np.array([0, 0, 1, 1]), 2)
        1.0

    Source: Pielou, The measurement of diversity in different types of biological
    collections, 1966.
    """
    return evaluate.cluster_entropy(labels) / math.log(count)


def grounds(members: Sequence[Partition]) -> Sequence[Partition]:
    """The finest of the partitions that `finer` makes: each can be what is merged."""
    return members[-(len(members) // len(FINER)) :]


def best_ground(cut: Cut, members: Sequence[Partition]) -> Partition:
    """The one of the lowest loss."""
    return min(grounds(members), key=widest(cut, members).loss)


def from_every_ground(members: Sequence[Partition], count: int) -> list[Partition]:
    return [merged(ground, members, count) for ground in grounds(members)]


def components(members: Sequence[Partition]) -> int:
    """How many sets of rows there are that no partition joins."""
    from scipy.sparse.csgraph import connected_components

    of = stacked(members)
    used = of[:, of.sum(0) > 0]
    return connected_components(used.T @ used, directed=False)[0]


def can_tell(members: Sequence[Partition], count: int) -> bool:
    """Whether sizes of what is merged into so many clusters say something of the rows.

    Not where k-means found only so many unlike rows, as in few eigenvectors of a graph
    in pieces, nor where rows are merged that no partition joins.
    """
    fewest = min(len(np.unique(labels)) for labels in members)
    return fewest > count >= components(members)


def are_even(partitions: Sequence[Partition], count: int) -> bool:
    """Whether clusters are of about one size, in the mean over some partitions."""
    found = [evenness(labels, count) for labels in partitions]
    return bool(np.mean(found) >= EVENNESS)


def average(
    cut: Cut, members: Sequence[Partition], seed: int, ground: Partition
) -> Partition:
    """The members' average, merged from a finer partition, its items moved."""
    labels = merged(ground, members, cut.count)
    return cut.moved(labels, np.random.default_rng(seed))
