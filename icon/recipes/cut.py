r"""How is a graph cut into clusters? Moves and exchanges, from a given start.

With hard memberships, the cell `cross_entropy(p, smooth(clusters(phi), alpha))` is a
sum over clusters: with W_c the mass of p inside of cluster c, and n_c its size,

    loss = -log(alpha / n) - 1/n Σ_c W_c log(1 + (1 - alpha) n / (alpha n_c))

so that what a single item changes is known from its own edges.
"""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from icon._base import checks as check
from icon._neighborhoods import Graph, to_sparse


Labels = Int[np.ndarray, " n"]

SHARE = 0.5  # of the items that gain by it move at once; all of them would swap places
SWEEPS = 50
LEAST = 1e-7  # what a move gains, or nothing moves
TRIES = 4  # exchanges that are worked out, of those that promise most
WHOLE = 0.9  # of a set that enters: the share of its largest connected piece
PROMISING = 400  # sets for which the cheapest merge is looked up


@dataclasses.dataclass(frozen=True)
class Cut:
    """The loss of hard memberships over a graph, and how it is lowered."""

    matrix: Any  # sparse [n, n], symmetric, mass n in total
    count: int  # clusters
    alpha: float

    @property
    def n(self) -> int:
        return self.matrix.shape[0]

    def loss(self, labels: Labels) -> float:
        """The cell's cross-entropy."""
        value = self._value(self._inside(labels), self._sizes(labels)).sum()
        return float(-value / self.n - np.log(self.alpha / self.n))

    def moved(self, labels: Labels, rng) -> Labels:
        """Items moved into clusters of their neighbours, until none gains by it."""
        for _ in range(SWEEPS):
            target, gain = self._best_moves(labels)
            if not (gain > LEAST).any():
                break
            go = (gain > LEAST) & (rng.random(self.n) < SHARE)
            labels = np.where(go, target, labels)
        return labels

    def all_moved(self, partitions: Sequence[Labels], seed: int) -> list[Labels]:
        """Each of some partitions after its moves, several at once."""
        several = np.random.default_rng(seed).spawn(len(partitions))
        with ThreadPoolExecutor() as pool:
            return list(pool.map(self.moved, partitions, several))

    def exchanged(self, labels: Labels, sets, rng, swaps: int) -> Labels:
        """A set put in as a cluster of its own, two clusters merged, as it gains most.

        Averages of partitions merge clusters that each of them cuts elsewhere, and no
        single move gets out of there.

        Args:
            labels: the start.
            sets: sparse zeros and ones [n, s]: clusters of other partitions.
            rng: a NumPy generator.
            swaps: how many exchanges, at most, beside those that fill empty clusters.
        """
        best, sets = self.loss(labels), sets[:, sets.sum(0) > 0]
        empty = int((self._sizes(labels) == 0).sum())
        for _ in range(swaps + empty):
            for s in self._promising(labels, sets)[:TRIES]:
                inside = sets[:, [s]].nonzero()[0]
                new = self.moved(self._with_cluster(labels, inside), rng)
                if self.loss(new) < best - LEAST:
                    labels, best = new, self.loss(new)
                    break
            else:
                break
        return labels

    # --------------------------------------------------- sums over a partition

    def _gain(self, size):
        """log (1 + (1 - alpha) n / (alpha size)): what an edge inside of c counts."""
        odds = (1 - self.alpha) / self.alpha
        return np.log1p(odds * self.n / np.maximum(size, 1e-9))

    def _value(self, inside, size):
        return inside * self._gain(size)

    def _sizes(self, labels):
        return np.bincount(labels, minlength=self.count).astype(float)

    def _inside(self, labels):
        own = np.asarray(self._same(labels).sum(1)).ravel()
        return np.bincount(labels, own, minlength=self.count)

    def _same(self, labels):
        """The edges within clusters."""
        edges = self.matrix.tocoo()
        row, column = edges.coords
        same = labels[row] == labels[column]
        entries = (edges.data[same], (row[same], column[same]))
        return sp.csr_array(entries, shape=edges.shape)

    def _best_moves(self, labels):
        """Of each item the cluster it gains most by moving to, and that gain."""
        to = sp.csr_array(self.matrix @ indicator(labels, self.count))
        row = np.repeat(np.arange(self.n), np.diff(to.indptr))
        cluster, mass = to.indices, to.data.astype(float)
        stays = labels[row] == cluster
        own = np.bincount(row[stays], mass[stays], minlength=self.n)
        inside, size = np.bincount(labels, own, self.count), self._sizes(labels)
        now, more, less = (self._gain(size + step) for step in (0, 1, -1))
        enters = 2 * mass * more[cluster] + (inside * (more - now))[cluster]
        leaves = (inside * now)[labels] - (inside[labels] - 2 * own) * less[labels]
        leaves[size[labels] == 1] = np.inf  # a cluster keeps its last item
        gain = np.where(stays, 0, enters - leaves[row])
        target, best = labels.copy(), np.zeros(self.n)
        joined = np.flatnonzero(np.diff(to.indptr))  # rows that have an edge
        if len(joined):
            best[joined] = np.maximum.reduceat(gain, to.indptr[joined])
        reached = np.flatnonzero(gain == best[row])[::-1]  # of equal ones the first
        target[row[reached]] = cluster[reached]
        return target, best

    # --------------------------------------------------- exchanges

    def _merge_costs(self, labels, count):
        """What merging two clusters c < e costs [count, count].

        inf for what no edge joins: the loss would gain by even sizes alone.
        """
        of = indicator(labels, count)
        mass = (of.T @ self.matrix @ of).toarray()
        size, inside = of.sum(0), mass.diagonal()
        value = self._value(inside, size)
        both = self._value(inside[:, None] + inside + 2 * mass, size[:, None] + size)
        cost = value[:, None] + value - both
        joined = (mass > 0) | (size == 0) | (size == 0)[:, None]
        return np.where(np.triu(joined, 1), cost, np.inf)

    def _gains(self, labels, sets):
        """What each set gains as a cluster of its own [s], and whom it empties [s, C].

        With O the overlap of a set s and a cluster c, the cluster keeps
        W_c - 2 w(O, c) + w(O, O).
        """
        of, same = indicator(labels, self.count), self._same(labels)
        own, size = np.asarray(same.sum(1)).ravel(), self._sizes(labels)
        overlap = (sets.T @ of).toarray()
        to_own = ((sets * own[:, None]).T @ of).toarray()
        within = ((sets * (same @ sets)).T @ of).toarray()
        inside = np.bincount(labels, own, self.count)
        left = np.maximum(inside - 2 * to_own + within, 0)
        change = self._value(left, size - overlap) - self._value(inside, size)
        mass = np.asarray((sets * (self.matrix @ sets)).sum(0)).ravel()
        count = np.asarray(sets.sum(0)).ravel()
        return self._value(mass, count) + change.sum(1), overlap > size / 2

    def _promising(self, labels, sets):
        """Sets by what they gain less the cheapest merge that leaves them alone."""
        gain, emptied = self._gains(labels, sets)
        cost = self._merge_costs(labels, self.count)
        pairs = np.argsort(cost, axis=None)[: 3 * self.count]
        first, second = np.unravel_index(pairs, cost.shape)
        some = np.argsort(-gain, kind="stable")[:PROMISING]
        touched = emptied[some][:, first] | emptied[some][:, second]
        cheapest = np.argmin(touched, 1)
        promise = gain[some] - cost[first[cheapest], second[cheapest]]
        return some[np.argsort(-promise, kind="stable")]

    def _with_cluster(self, labels, inside):
        """The partition with one set as a cluster, and the cheapest pair merged.

        Unchanged for a set in pieces: the loss would gain by even sizes alone.
        """
        from scipy.sparse.csgraph import connected_components

        pieces = connected_components(self.matrix[inside][:, inside], directed=False)[1]
        new = labels.copy()
        if np.bincount(pieces).max() < WHOLE * len(inside):
            return new
        new[inside] = self.count
        cost = self._merge_costs(new, self.count + 1)
        kept, merged = np.unravel_index(np.argmin(cost), cost.shape)
        if np.isinf(cost[kept, merged]):
            return labels
        new[new == merged] = kept
        new[new == self.count] = merged
        return new


def indicator(labels: Labels, count: int):
    """Zeros and ones [n, count]: who is in which cluster."""
    n = len(labels)
    return sp.csr_array((np.ones(n), labels, np.arange(n + 1)), shape=(n, count))


def debiasing(alpha) -> float:
    """A share of q that is uniform: without one a cut edge costs infinitely."""
    alpha = check.scalar("alpha", alpha, 0)
    check.require(0 < alpha < 1, "alpha", alpha, "a number above 0 and below 1")
    return float(alpha)


def cut(p: Graph, count: int, alpha: float) -> Cut:
    """The cut of a graph into clusters; an anchor without a neighbour counts nowhere.

    Args:
        p: a graph over one set.
        count: clusters.
        alpha: debiasing, above 0 and below 1: without it a cut edge costs infinitely.

    Raises:
        InvalidInput: alpha of 0 or 1, a graph over two sets.

    Example:
        >>> import icon, numpy as np
        >>> from icon.recipes.cut import cut
        >>> pairs = icon.uniform([[1], [0], [3], [2]])
        >>> by = cut(pairs, 2, 0.5)
        >>> rng = np.random.default_rng(0)
        >>> by.loss(np.array([0, 0, 1, 1])) < by.loss(np.array([0, 1, 0, 1]))
        True

    Source: the cell "InfoNCE clustering" of icon.TABLE, with alpha on q, at hard
    memberships.
    """
    check.require(p.excludes_self, "p", "two sets", "a graph over one set")
    alpha = debiasing(alpha)
    rows = to_sparse(p)
    mass = np.asarray(rows.sum(1)).ravel()
    rows = sp.csr_array(rows / np.where(mass > 0, mass, 1)[:, None])
    return Cut(sp.csr_array((rows + rows.T) / 2), count, alpha)
