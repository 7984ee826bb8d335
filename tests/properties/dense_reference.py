"""What is every neighbourhood and every loss, by its formula, pair after pair?

NumPy in float64, plain loops, nothing of the library. The names are those of the
library, so that one expression `lib.smooth(lib.gaussian(x), 0.3)` is built by either.
A candidate of anchor i is an integer j, or a point of latent space in a continuum.
"""

from __future__ import annotations

import dataclasses
import functools as ft
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np


class Refused(Exception):
    """There is no such neighbourhood, or no such loss."""


def require(held):
    if not held:
        raise Refused


# ------------------------------------------------------- log-masses, and probabilities


def log_sum(scores, weights):
    """log Σ e^s, and its gradient e^s / Σ e^s."""
    scores = np.asarray(scores, float)
    peak = max(scores, default=-np.inf)
    if peak in (-np.inf, np.inf):  # no probabilities: nothing, or inf / inf
        return peak, np.full(len(scores), 0.0 if peak < 0 else np.nan)
    mass = peak + math.log(sum(math.exp(s - peak) for s in scores))
    return mass, np.array([math.exp(s - mass) for s in scores])


def mean(scores, weights):
    """Σ w s / Σ w over the candidates that have a score, and its gradient w / Σ w."""
    shares = np.array(
        [w if s > -np.inf else 0 for s, w in zip(scores, weights, strict=True)], float
    )
    if not shares.sum():
        return -np.inf, shares
    shares = shares / shares.sum()
    return sum(w * s for s, w in zip(scores, shares, strict=True) if w), shares


def mean_and_variance(scores, weights):
    """mean + var / 2, whose gradient is w (1 + s - mean)."""
    middle, shares = mean(scores, weights)
    off = [s - middle if w else 0.0 for s, w in zip(scores, shares, strict=True)]
    variance = sum(w * x * x for w, x in zip(shares, off, strict=True))
    tilted = [w * (1 + x) for w, x in zip(shares, off, strict=True)]
    return middle + variance / 2, np.array(tilted)


def maximum(scores, weights):
    """max s over w > 0; its gradient is shared by the tied."""
    counted = [s if w else -np.inf for s, w in zip(scores, weights, strict=True)]
    best = max(counted)
    tied = np.array([s == best > -np.inf for s in counted], float)
    return best, tied / max(tied.sum(), 1)


# ------------------------------------------------------- what a neighbourhood is


def nothing(*_) -> Any:
    raise Refused


@dataclasses.dataclass
class Rows:
    """The scores, log-masses and probabilities of all anchors, as matrices."""

    score: np.ndarray  # [n, m], -inf where j is no candidate of i
    log_mass: np.ndarray  # [n]
    weight: np.ndarray | None  # [n, m], what p gives; None: it stands as q alone
    one_set: bool  # j = i is no candidate
    listed: Any = None  # [n, m], which candidates i has at all; None: all
    is_list: bool = False  # few candidates for each anchor
    repeats: bool = False  # a candidate may be drawn twice
    per_pair: bool = False
    placed: str = ""  # how it is summed
    is_points: bool = False  # which can be summed tile by tile
    is_whole: bool = True  # sums over all candidates, none of them listed
    mass: Callable = log_sum  # (scores, weights) -> mass, gradient
    candidate_weight: Any = None  # [m]
    reduced: Callable = nothing  # mass -> the same with that mass
    reweighed: Callable = nothing
    turned: Callable = nothing

    @property
    def shape(self):
        return self.score.shape

    @property
    def T(self):
        return self.turned()

    @property
    def is_signed(self):
        """Whether what stands for probabilities may be below zero."""
        return self.mass is mean_and_variance

    @property
    def others(self):
        return self.shape[1] - self.one_set

    def probability(self):
        """e^(s - mass); zeros for an anchor without a neighbour."""
        p = np.zeros(self.shape)
        for i, j in np.ndindex(self.shape):
            if self.log_mass[i] > -np.inf:
                p[i, j] = np.exp(self.score[i, j] - self.log_mass[i])
        return p

    def support(self, i):
        require(self.weight is not None)
        return range(self.shape[1]), self.weight[i]

    def scores_of(self, i, candidates):
        return [self.score[i, j] for j in candidates]


def rows_of(score, one_set, mass=log_sum, candidate_weight=None, **more) -> Rows:
    """The rows of these scores, their log-mass by a reduction of the scores."""
    score = np.array(score, float)
    n, m = score.shape
    weights = np.ones(m) if candidate_weight is None else candidate_weight
    reduced = [mass(score[i], weights) for i in range(n)]
    masses = np.array([x[0] for x in reduced])
    weight = np.stack([x[1] for x in reduced])
    known = dict(mass=mass, candidate_weight=candidate_weight)
    return Rows(score, masses, weight, one_set, **known | more)


def normalized(probability, one_set, **more) -> Rows:
    """The rows of these probabilities: scores are their logarithms, the mass is 0."""
    probability = np.array(probability, float)
    with np.errstate(divide="ignore"):
        score = np.log(probability)
    mass = np.where(probability.any(1), 0.0, -np.inf)
    return Rows(score, mass, probability, one_set, **more)


# ------------------------------------------------------- points under a kernel


def _compared(kernel, a, b, mass=log_sum, weight=None, own=False) -> Rows:
    """kernel(i, a, b): the score of candidate b for anchor i, which is a.

    own: anchors have numbers of their own, and are not turned into candidates.
    """
    one_set = b is None
    anchors, others = a, a if one_set else b
    score = np.full((len(anchors), len(others)), -np.inf)
    for i, j in np.ndindex(score.shape):
        if not (one_set and i == j):
            score[i, j] = kernel(i, anchors[i], others[j])
            if weight is not None and mass is log_sum:
                score[i, j] += math.log(weight[j]) if weight[j] else -np.inf

    def reweighed(more):
        before = np.ones(len(others)) if weight is None else weight
        return _compared(kernel, a, b, mass, before * more, own)

    def turned():
        require(weight is None)
        if one_set:
            return _compared(lambda i, a, b: kernel(i, b, a), a, None, mass)
        return _compared(lambda i, a, b: kernel(i, b, a), b, a, mass)

    return rows_of(
        score,
        one_set,
        mass,
        weight,
        is_points=mass is log_sum,
        is_whole=mass is log_sum,
        reduced=lambda other: _compared(kernel, a, b, other, weight, own),
        reweighed=reweighed,
        turned=nothing if own else turned,
    )


def squared(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def inner(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def gaussian(anchors, candidates=None, *, scale=1.0):
    if np.ndim(scale) == 0:
        kernel = lambda i, a, b: -squared(a, b) / (2 * scale**2)
        return _compared(kernel, anchors, candidates)
    kernel = lambda i, a, b: -squared(a, b) / (2 * scale[i] ** 2)
    return _compared(kernel, anchors, candidates, own=True)


def student_t(anchors, candidates=None, *, dof=1.0, scale=1.0):
    far = lambda a, b: math.log(1 + squared(a, b) / (dof * scale**2))
    return _compared(lambda i, a, b: -(dof + 1) / 2 * far(a, b), anchors, candidates)


def laplace(anchors, candidates=None, *, scale=1.0):
    kernel = lambda i, a, b: -math.sqrt(squared(a, b)) / scale
    return _compared(kernel, anchors, candidates)


def dot(anchors, candidates=None, *, temperature=1.0):
    return _compared(lambda i, a, b: inner(a, b) / temperature, anchors, candidates)


def cosine(anchors, candidates=None, *, temperature=0.1):
    norm = lambda a, b: math.sqrt(squared(a, 0 * a) * squared(b, 0 * b))
    kernel = lambda i, a, b: inner(a, b) / norm(a, b) / temperature
    return _compared(kernel, anchors, candidates)


def same(anchors, candidates=None):
    kernel = lambda i, a, b: 0.0 if a == b else -np.inf
    return _compared(kernel, anchors, candidates)


def scores(matrix, *, temperature=1.0):
    n, m = matrix.shape
    return _compared(lambda i, a, b: matrix[a, b] / temperature, range(n), range(m))


def points(kernel, anchors, candidates=None, /, **params):
    """Under a kernel of one anchor and one candidate."""
    return _compared(lambda i, a, b: kernel(a, b, **params), anchors, candidates)


# ------------------------------------------------------- lists and clusters


def _log(weight):
    with np.errstate(divide="ignore"):
        return np.log(weight)


def graph(log_weight, known=False):
    """From a matrix of log-weights, -inf where j is not listed for i; one set.

    It is turned round where its weights are known, and not learned.
    """
    return rows_of(
        log_weight,
        True,
        is_list=True,
        is_whole=False,
        reweighed=lambda weight: graph(log_weight + _log(weight)[None]),
        turned=(lambda: graph(log_weight.T, known)) if known else nothing,
    )


def clusters(memberships, candidates=None, *, candidate_weight=None):
    phi = memberships
    psi = phi if candidates is None else candidates
    weight = np.ones(len(psi)) if candidate_weight is None else candidate_weight
    size = [inner(psi[:, c], weight) for c in range(phi.shape[1])]
    q = np.zeros((len(phi), len(psi)))
    for i, j in np.ndindex(q.shape):
        q[i, j] = weight[j] * inner(phi[i] / size, psi[j])

    def turned():
        require(candidate_weight is None)
        return clusters(psi, phi)

    return normalized(q, False, turned=turned)


# ------------------------------------------------------- limits


def wide(q, order=1):
    require(not q.placed)
    return q.reduced({1: mean, 2: mean_and_variance}[order])


def sharp(q):
    require(not q.placed)
    return q.reduced(maximum)


def hard(q, k=1):
    part(q)
    best = np.zeros(q.shape)
    for i, row in enumerate(q.score):
        ids = [j for j in np.argsort(-row, kind="stable")[:k] if row[j] > -np.inf]
        best[i, ids] = 1 / max(len(ids), 1)
    return normalized(best, q.one_set)


def unnormalized(q):
    part(q)
    return Rows(
        q.score,
        np.zeros(len(q.score)),
        None,
        q.one_set,
        listed=q.listed,
        is_whole=q.listed is None,
        turned=lambda: unnormalized(q.T),
    )


# ------------------------------------------------------- made of others


def part(*neighborhoods):
    """Neighbourhoods that others can be made of."""
    for q in neighborhoods:
        require(isinstance(q, Rows) and not q.placed and not q.per_pair)


@ft.lru_cache
def _uniform(key: bytes, i, count, others):
    key = jax.random.wrap_key_data(np.frombuffer(key, np.uint32))
    ids = jax.random.randint(jax.random.fold_in(key, i), (count,), 0, others, np.int32)
    return np.asarray(ids).tolist()


def drawn(key, i, count, q):
    """`count` candidates of i, uniform, with replacement: never i itself in one set."""
    ids = _uniform(np.asarray(jax.random.key_data(key)).tobytes(), i, count, q.others)
    return [j + 1 if q.one_set and j >= i else j for j in ids]


def smooth(p, alpha, *, samples=None, key=None):
    part(p)
    base, mixed = p.probability(), np.zeros(p.shape)
    lonely = p.log_mass == -np.inf
    for i, j in np.ndindex(p.shape):
        if not lonely[i] and not (p.one_set and i == j):
            mixed[i, j] = (1 - alpha) * base[i, j] + alpha / p.others
    turned = lambda: smooth(p.T, alpha)
    if samples is None:
        return normalized(mixed, p.one_set, turned=turned)
    require(p.is_list)
    weight = (1 - alpha) * p.weight
    for i in range(p.shape[0]):
        for j in drawn(key, i, samples, p):
            weight[i, j] += 0 if lonely[i] else alpha / samples
    whole = normalized(mixed, p.one_set)
    return dataclasses.replace(whole, weight=weight, repeats=True)


def mix(neighborhoods: Sequence[Rows], weights):
    part(*neighborhoods)
    require(len({p.shape for p in neighborhoods}) == 1)
    mixed, total = np.zeros(neighborhoods[0].shape), np.zeros(neighborhoods[0].shape[0])
    for p, weight in zip(neighborhoods, weights, strict=True):
        mixed += weight * p.probability()
        total += weight * (p.log_mass > -np.inf)
    mixed /= np.where(total > 0, total, 1)[:, None]
    return normalized(
        mixed,
        all(p.one_set for p in neighborhoods),
        is_list=all(p.is_list for p in neighborhoods),
        is_whole=not all(p.is_list for p in neighborhoods),
        turned=lambda: mix([p.T for p in neighborhoods], weights),
    )


def among(q, index):
    part(q)
    require(np.max(index) < q.shape[1])
    listed = np.zeros(q.shape, bool)
    for i, row in enumerate(index):
        listed[i, row] = True
    return rows_of(
        np.where(listed, q.score, -np.inf),
        q.one_set,
        q.mass,
        q.candidate_weight,
        listed=listed,
        is_whole=False,
        reduced=lambda mass: among(q.reduced(mass), index),
    )


def margin(q, p, m):
    part(q, p)
    require(q.shape == p.shape)
    score = q.score.copy()
    for i, j in np.ndindex(score.shape):
        score[i, j] += m if p.score[i, j] == -np.inf else 0
    return rows_of(
        score,
        q.one_set,
        q.mass,
        q.candidate_weight,
        listed=q.listed,
        is_whole=q.listed is None and q.mass is log_sum,
        reduced=lambda mass: margin(q.reduced(mass), p, m),
        turned=lambda: margin(q.T, p.T, m),
    )


def reweigh(q, weight):
    part(q)
    return q.reweighed(np.asarray(weight, float))


def grouped(q, groups, count):
    part(q)
    require(len(groups) == q.shape[1])
    score = np.full((q.shape[0], count), -np.inf)
    for i, c in np.ndindex(score.shape):
        score[i, c] = log_sum(q.score[i, np.asarray(groups) == c], None)[0]
    of = Rows(score, q.log_mass, None, False)
    return dataclasses.replace(of, weight=of.probability())


def odds(p):
    part(p)

    def log_odds(s):
        if s >= 0:
            return np.inf
        return s if s == -np.inf else s - math.log(-math.expm1(s))

    score = [[log_odds(s) for s in row] for row in p.score]
    return dataclasses.replace(
        rows_of(score, p.one_set),
        weight=None,
        listed=p.listed,
        is_whole=p.listed is None,
        turned=lambda: odds(p.T),
    )


def bernoulli(q):
    """Each pair its own yes, in the first half, or no, in the second."""
    part(q)
    n, m = q.shape
    weight, score = np.zeros((n, 2 * m)), np.zeros((n, 2 * m))
    listed = np.ones((n, m), bool) if q.listed is None else q.listed
    for i, j in np.ndindex(n, m):
        s = q.score[i, j]
        score[i, j], score[i, m + j] = -np.logaddexp(0, -s), -np.logaddexp(0, s)
        if listed[i, j] and not (q.one_set and i == j):
            weight[i, [j, m + j]] = np.exp(score[i, [j, m + j]])
    turned = lambda: bernoulli(q.T)
    return Rows(score, np.zeros(n), weight, False, per_pair=True, turned=turned)


def sampled(q, key, count):
    part(q)
    require(q.is_whole)
    masses = np.zeros(q.shape[0])
    for i in range(len(masses)):
        score = q.score[i, drawn(key, i, count, q)]
        masses[i] = log_sum(score, None)[0] + math.log(q.others / count)
    turned = lambda: sampled(q.T, key, count)
    return Rows(q.score, masses, None, q.one_set, turned=turned)


# ------------------------------------------------------- where it is summed


def interpolated(q, *, spacing=None):
    require(isinstance(q, Rows))
    plain = q.is_points and q.candidate_weight is None and q.turned is not nothing
    require(plain and not q.placed)
    return dataclasses.replace(q, is_points=False)


def tiled(q, rows, columns):
    placed = f"tiled, {rows} x {columns}"
    require(isinstance(q, Rows) and q.is_points and q.placed in ("", placed))
    turned = lambda: tiled(q.T, rows, columns)
    return dataclasses.replace(q, placed=placed, turned=turned)


def sharded(q, axis_name):
    require(q.is_points or q.turned is not nothing)
    return dataclasses.replace(q, placed="sharded")


# ------------------------------------------------------- a continuum


@dataclasses.dataclass
class Cloud:
    """Neighbours that are points of a latent space."""

    shape: tuple
    samples: Callable  # i -> points [S, d]
    density: Callable  # i, point -> log-probability
    corners: Any = None  # i -> points over which the mean of any quadratic is its own
    placed: str = ""

    @property
    def log_mass(self):
        return np.zeros(self.shape[0])

    @property
    def T(self):
        raise Refused

    repeats = is_signed = False

    def support(self, i):
        points = self.samples(i)
        return points, np.full(len(points), 1 / len(points))

    def scores_of(self, i, points):
        return [self.density(i, z) for z in points]


def normal(mean, std, key, samples=1):
    def of(i):
        noise = jax.random.fold_in(key, i)
        noise = jax.random.normal(noise, (samples, mean.shape[1]), np.float64)
        return mean[i] + std[i] * np.asarray(noise)

    def density(i, z):
        return sum(
            -((a - b) ** 2) / (2 * s**2) - math.log(s * math.sqrt(2 * math.pi))
            for a, b, s in zip(z, mean[i], std[i], strict=True)
        )

    def corners(i):
        signs = itertools.product([-1, 1], repeat=mean.shape[1])
        return [mean[i] + std[i] * np.array(sign) for sign in signs]

    return Cloud((len(mean), None), of, density, corners)


def dirac(points):
    there = lambda i, z: 0.0 if np.array_equal(z, points[i]) else -np.inf
    return Cloud((len(points), None), lambda i: points[i][None], there)


def density(log_density, params, anchors):
    of = lambda i, z: log_density(params, anchors[i], z)
    return Cloud((len(anchors), None), nothing, of)


# ------------------------------------------------------- the losses


def expectation(weights, values):
    """Σ w v over the candidates that have a weight."""
    return sum(w * v for w, v in zip(weights, values, strict=True) if w)


def report(p, q):
    """E_p of both scores and both log-masses, of every anchor."""
    require(p.shape == q.shape and "sharded" not in (p.placed, q.placed))
    require("" in (p.placed, q.placed) or p.placed == q.placed)
    A, B = np.zeros(p.shape[0]), np.zeros(p.shape[0])
    clouds = isinstance(p, Cloud) and p.corners and q.corners
    for i in range(len(A)):
        at, weight = p.support(i)
        if clouds:  # two normals meet exactly
            at = p.corners(i)
            weight = np.full(len(at), 1 / len(at))
        A[i] = expectation(weight, p.scores_of(i, at))
        B[i] = expectation(weight, q.scores_of(i, at))
    return A, B, np.array(p.log_mass), np.array(q.log_mass)


def shares(p_mass, weight, joint):
    """π_i: given weights, or p's masses, of the anchors that have a neighbour."""
    weight = np.ones(len(p_mass)) if weight is None else np.asarray(weight, float)
    require(len(weight) == len(p_mass))
    if joint:
        weight = np.exp(p_mass - max(p_mass))
    weight = np.where(p_mass > -np.inf, weight, 0)
    return weight / (weight.sum() or 1)


def log_ratio(score, log_mass):
    """log q; -inf as well where q has no neighbour at all."""
    return score if log_mass == -np.inf else score - log_mass


def linear(contribution):
    """Σ π contribution(A, B, N, M); joint: N and M of all anchors together."""

    def verb(p, q, *, weight=None, joint=False):
        require(weight is None or not joint)
        A, B, N, M = report(p, q)
        share = shares(N, weight, joint)
        if joint:
            N, M = (np.full(len(x), log_sum(x, None)[0]) for x in (N, M))
        rows = zip(share, A, B, N, M, strict=True)
        return sum(w * contribution(*x) for w, *x in rows if w)

    return verb


kl = linear(lambda A, B, N, M: (A - N) - log_ratio(B, M))
cross_entropy = linear(lambda A, B, N, M: -log_ratio(B, M))
attraction = linear(lambda A, B, N, M: -B)
repulsion = linear(lambda A, B, N, M: M)


def sums_to_one(q):
    """Whether every row of q does, where it has a neighbour."""
    if q.shape[1] is None or q.per_pair:
        return True
    mass = np.where(np.isneginf(q.log_mass), 0, q.log_mass)[:, None]
    total = np.sum(np.exp(q.score - mass), 1)
    known = ~np.isneginf(q.log_mass) & ~np.isnan(total)  # inf - inf is anything
    return np.allclose(total[known], 1, atol=1e-6)


def divergence(f, outer=lambda x: x):
    """g(Σ f(p_ij, log q_ij)) over p's support, averaged over anchors."""

    def verb(p, q, *, weight=None):
        require(p.shape == q.shape and not p.repeats and not p.is_signed)
        require(not p.placed and not q.placed and sums_to_one(q))
        total = 0.0
        for i, share in enumerate(shares(np.array(p.log_mass), weight, False)):
            if share:
                at, probability = p.support(i)
                log_q = [log_ratio(s, q.log_mass[i]) for s in q.scores_of(i, at)]
                pairs = zip(probability, log_q, strict=True)
                total += share * outer(sum(f(x, y) for x, y in pairs if x))
        return total

    return verb


def half_jsd(p, log_q):
    """½ p log(p/m) + ½ q log(q/m), m = (p + q) / 2, and log 2 / 2 of q elsewhere.

    Elsewhere q has what p has here, less what q has here.
    """
    q = np.exp(log_q)
    middle = (p + q) / 2
    of_q = q * np.log(q / middle) if q else 0.0
    return (p * np.log(p / middle) + of_q + np.log(2) * (p - q)) / 2


tv = divergence(lambda p, log_q: max(p - np.exp(log_q), 0))
jsd = divergence(half_jsd)
hellinger = divergence(lambda p, log_q: p - math.sqrt(p * np.exp(log_q)))


def both_ways(verb):
    return lambda p, q, **options: (
        (verb(p, q, **options) + verb(p.T, q.T, **options)) / 2
    )
