"""How are features clustered? A p, an average of partitions, heads, a classifier."""

import dataclasses
import functools as ft
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from icon._loss import kl
from icon._neighborhoods import Graph
from icon.recipes import affinities, ensemble, heads, uneven
from icon.recipes.counts import Choice, chosen
from icon.recipes.cut import Cut, Labels, cut, indicator


FEWEST, MOST = 5, 20  # neighbours
ALPHA, OF_UNEVEN = 0.9, 0.99  # where it is not set: usually, and of uneven clusters
MANY = 25_000  # rows whose partitions are averaged; beyond, so many are drawn
KNOWN = 0.9  # what a known label counts, and 1 - it the neighbours of its row
PAIRS, DRAWN = 2**34, 64  # n² K up to which all pairs count; draws per anchor beyond
HEADS = 4  # side by side: from the average and from the best partitions
STEPS = 30
ENOUGH = 50  # rows of a cluster that tell its size to a seventh, 1 / sqrt(50)
TYPICAL = 10  # rows nearest to the centre of a cluster


class Rows(NamedTuple):
    """What is clustered."""

    x: Float[np.ndarray, "n d"]
    views: Sequence[Float[np.ndarray, "n d"]] = ()  # the same rows, seen otherwise
    known: Int[np.ndarray, " n"] | None = None  # labels of some; -1 of the others

    def only(self, some) -> "Rows":
        known = None if self.known is None else self.known[some]
        return Rows(self.x[some], [view[some] for view in self.views], known)


class Settings(NamedTuple):
    """The choices of p, of q, of the loss, and of how it is lowered."""

    search: Callable  # (x, k) -> index [n, k], distance [n, k]
    n_neighbors: int | None = None
    neighbors: Callable = affinities.self_tuning
    walks: int = 0
    alpha: float | None = None
    alpha_p: float = 0.0
    swaps: int = 2
    rounds: int = 0
    head: str | None = None
    divergence: Callable = kl


class Found(NamedTuple):
    """A clustering, and how it came about."""

    labels: Labels
    memberships: Float[np.ndarray, "n K"]
    p: Graph
    loss: float
    member_losses: Float[np.ndarray, " m"]
    head_losses: Float[np.ndarray, " h"] | None
    classifier: heads.Classifier
    alpha: float
    layout: Float[np.ndarray, "s 2"] | None = None
    laid_out: Int[np.ndarray, " s"] | None = None  # which rows the layout has
    choice: Choice | None = None


# ------------------------------------------------------- p


def neighbor_count(n: int, count: int, settings: Settings) -> int:
    """A quarter of a cluster, n / (4 K), from 5 to 20, unless it is set."""
    usual = min(MOST, max(FEWEST, n // (4 * count)))
    return min(n - 1, settings.n_neighbors or usual)


def supervision(rows: Rows, settings: Settings, count: int, seed: int) -> Graph:
    """p: neighbours in every view, walks among them, and known labels."""
    k = neighbor_count(len(rows.x), count, settings)
    seen = [settings.neighbors(*settings.search(x, k)) for x in (rows.x, *rows.views)]
    p = seen[0] if len(seen) == 1 else affinities.averaged(seen, [1.0] * len(seen))
    p = affinities.walked(p, settings.walks)
    known = rows.known
    return p if known is None else affinities.supervised(p, known, KNOWN, seed)


# ------------------------------------------------------- q


def draws(settings: Settings, n: int, count: int) -> int | None:
    """How many rows stand for all in a debiased p; None: all of them do."""
    few = settings.alpha_p == 0 or n**2 * count <= PAIRS
    return None if few else DRAWN


def decay(rows: int, seen: int, count: int) -> float:
    """What cluster sizes of earlier batches count beside those of a batch of B rows.

    1 - B / min(m, 50 K), m rows so far: the mean reaches back as far as it takes to
    know sizes to a seventh; from 50 rows of a cluster on, a batch is enough.
    """
    return max(0.0, 1 - rows / min(seen, ENOUGH * count))


def by_heads(
    settings: Settings, x, p: Graph, starts: Sequence[Labels], by: Cut, seed: int
):
    """The head of the lowest loss, and the losses of all of them."""
    name, rng = settings.head or "linear", np.random.default_rng(seed)
    count = by.count
    kind = heads.HEADS[name]
    objective = heads.Objective(
        kind.logits,
        settings.divergence,
        draws(settings, len(x), count),
        debiases_p=settings.alpha_p > 0,
    )
    found, losses = heads.trained(
        objective,
        [kind.start(x, labels, count, rng) for labels in starts],
        p.prepared(),
        jnp.asarray(x),
        heads.Debiasing(by.alpha, settings.alpha_p),
        steps=STEPS,
        rate=kind.rate,
        seed=seed,
    )
    best = found[int(np.argmin(losses))]
    return heads.Classifier(name, best, np.arange(count)), losses


# ------------------------------------------------------- together


def clustered(rows: Rows, counts: Sequence[int], settings: Settings, seed: int):
    """The clusters of some rows.

    Args:
        rows: what is clustered.
        counts: the numbers of clusters to choose from, rising.
        settings: the choices.
        seed: of every start.

    Example:
        >>> import icon, numpy as np
        >>> from icon.recipes import clustering
        >>> x = np.float32([[0, 1], [0, 1.1], [1, 0], [1.1, 0]])
        >>> settings = clustering.Settings(icon.knn, 1)
        >>> clustering.clustered(clustering.Rows(x), [2], settings, 0).labels.tolist()
        [0, 0, 1, 1]
    """
    p = supervision(rows, settings, max(counts), seed)
    alpha = ALPHA if settings.alpha is None else settings.alpha
    by, choice = cut(p, max(counts), alpha), None
    layouts = ensemble.layouts_of(rows.x, p, seed)
    vectors = ensemble.spectrum(by.matrix, by.count, seed)
    if len(counts) > 1:
        choice = chosen(by, vectors, layouts, counts, seed)
        by = dataclasses.replace(by, count=choice.best)
    spaces = ensemble.Spaces(rows.x, layouts, ensemble.spectra(vectors, by.count))
    by, members, average = averaging(spaces, by, settings, seed)
    labels = average(by, members, seed=seed)
    for _ in range(settings.rounds):
        again = cut(affinities.agreed(p, members), by.count, by.alpha)
        members = again.all_moved(members, seed)
        labels = average(by, members, seed=seed)
    found = _finished(rows.x, p, by, [labels, *members], settings, seed)
    if layouts:
        found = found._replace(layout=layouts[-1], laid_out=np.arange(len(rows.x)))
    return found._replace(choice=choice)


def averaging(spaces: ensemble.Spaces, by: Cut, settings: Settings, seed: int):
    """The cut, the partitions that are averaged, and how.

    Where alpha is not set, finer partitions that are merged tell whether clusters are
    of about one size. Where they are not, these are averaged, and alpha is near 1.
    """
    few = 1 < by.count <= uneven.CLUSTERS and by.n >= uneven.ROWS * by.count
    if settings.alpha is None and few:
        finer = uneven.finer(spaces, by, seed)
        members = uneven.from_every_ground(finer, by.count)
        can_tell = uneven.can_tell(finer, by.count)
        if can_tell and not uneven.are_even(members, by.count):
            ground = uneven.best_ground(by, finer)  # by the loss that made them
            by = dataclasses.replace(by, alpha=OF_UNEVEN)
            average = ft.partial(uneven.average, ground=ground)
            return by, by.all_moved(members, seed), average
    average = ft.partial(ensemble.best_of, swaps=settings.swaps)
    return by, ensemble.members(spaces, by, seed), average


def clusters_of(rows: Rows, counts: Sequence[int], settings: Settings, seed: int):
    """The clusters of rows, of many by a sample; as `clustered` is called."""
    few = len(rows.x) <= MANY
    return (clustered if few else by_sample)(rows, counts, settings, seed)


def by_sample(rows: Rows, counts: Sequence[int], settings: Settings, seed: int):
    """The clusters of many rows: of a sample, carried to the others by its classifier.

    Then rows move between clusters on the graph of all of them, and heads see them all.
    """
    drawn = np.sort(np.random.default_rng(seed).permutation(len(rows.x))[:MANY])
    few = settings._replace(head=None)
    sample = clustered(rows.only(drawn), counts, few, seed)
    count = sample.memberships.shape[1]
    p = supervision(rows, settings, count, seed)
    by = cut(p, count, sample.alpha)
    labels = sample.classifier.labels(rows.x)
    labels = by.moved(labels, np.random.default_rng(seed))
    return _finished(rows.x, p, by, [labels], settings, seed)._replace(
        choice=sample.choice,
        member_losses=sample.member_losses,
        layout=sample.layout,
        laid_out=None if sample.laid_out is None else drawn[sample.laid_out],
    )


def _finished(x, p: Graph, by: Cut, found: Sequence[Labels], settings: Settings, seed):
    """The first partition found, or what heads make of it; clusters by their size."""
    labels, *members = found
    losses = None
    if settings.head is None:
        labels = np.argsort(by_size(labels, by.count))[labels]
        memberships = ensemble.memberships(members or [labels], labels, by.count)
        agreement = np.take_along_axis(memberships, labels[:, None], 1)[:, 0]
        classifier = heads.taught(x, labels, agreement, by.count, seed)
    else:
        starts = [labels, *sorted(members, key=by.loss)[: HEADS - 1]]
        classifier, losses = by_heads(settings, x, p, starts, by, seed)
        memberships = classifier.probabilities(x)
        order = by_size(memberships.argmax(1), by.count)
        memberships, classifier = memberships[:, order], classifier.reordered(order)
        labels = memberships.argmax(1)
        if settings.head == "free":
            classifier = heads.taught(x, labels, memberships.max(1), by.count, seed)
    member_losses = np.array([by.loss(member) for member in members])
    loss = by.loss(labels)
    return Found(
        *(labels, memberships, p, loss, member_losses, losses, classifier, by.alpha)
    )


# ------------------------------------------------------- what describes clusters


def by_size(labels: Labels, count: int) -> Int[np.ndarray, " K"]:
    """The clusters by their size, the largest first, then by their first rows."""
    size, first = np.bincount(labels, minlength=count), np.full(count, len(labels))
    np.minimum.at(first, labels, np.arange(len(labels)))
    return np.lexsort((first, -size))


def matched(before: Labels, now: Labels, count: int) -> Int[np.ndarray, " K"]:
    """Of every earlier cluster the one that takes its place: together they share most.

    Example:
        >>> import numpy as np
        >>> from icon.recipes import clustering
        >>> before, now = np.array([0, 0, 1, 2]), np.array([2, 2, 0, 1])
        >>> clustering.matched(before, now, 3).tolist()
        [2, 0, 1]
    """
    from scipy.optimize import linear_sum_assignment

    shared = indicator(before, count).T @ indicator(now, count)
    return linear_sum_assignment(-shared.toarray())[1]


def typical(x, labels: Labels, count: int) -> Int[np.ndarray, "K 10"]:
    """Of every cluster the rows nearest to its mean; -1 where it has fewer than 10."""
    nearest = np.full((count, TYPICAL), -1)
    for c in range(count):
        inside = np.flatnonzero(labels == c)
        if len(inside):
            far = ((x[inside] - x[inside].mean(0)) ** 2).sum(1)
            rows = inside[np.argsort(far, kind="stable")[:TYPICAL]]
            nearest[c, : len(rows)] = rows
    return nearest
