r"""Which clusterings are averaged, and how? Starts of three kinds, one consensus.

k-means of the features, of the graph's eigenvectors, and of layouts of the graph by the
t-SNE cell while its exaggeration falls: each errs elsewhere. Their average is a
neighbourhood as well, p̄ = 1/M Σ_m clusters(Φ_m), and its clusters are the consensus.
"""

import dataclasses
import functools as ft
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from icon._neighborhoods import Graph
from icon._training import Stages, completed
from icon.recipes import layout
from icon.recipes.cut import Cut, Labels, indicator


FEATURES, SPECTRAL, BY_LAYOUT = 4, 2, 3  # starts; the last two of every set of points
SEEN, EACH = 2_000, 30  # rows that k-means of features sees: so many, or per cluster
WIDTHS = (0.75, 1.0, 1.25)  # eigenvectors per cluster
SMALL = 300  # rows up to which eigenvectors are those of a dense matrix
SPARE, DEGREES = 8, (8, 16, 16)  # vectors beyond those wanted; of the polynomials
SEEDS = 2**32  # that scikit-learn takes
LAID_OUT = 300  # rows from which layouts are made: fewer have too few to lay out
LARGE, BATCH = 5_000, 2_048  # rows from which k-means sees them in batches of so many

Partition = Labels


def limited(function):
    """A function whose linear algebra and k-means have one thread each, and no warning.

    Their calls are so short that a second thread gains nothing, and waits where another
    program runs. And the bits do not depend on the number of cores.
    k-means warns of fewer places than clusters, of which the estimator tells.
    """

    @ft.wraps(function)
    def alone(*args, **named):
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return function(*args, **named)

    return alone


# ------------------------------------------------------- starts


def k_means(
    x: Float[np.ndarray, "n d"], count: int, seed: int, starts: int = 1
) -> Partition:
    """The best of some starts of k-means; clusters may be fewer than asked."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    options: Any = dict(n_init=starts, random_state=seed % SEEDS)
    if len(x) < LARGE or starts > 1:
        method = KMeans(count, **options)
    else:
        method = MiniBatchKMeans(count, batch_size=BATCH, **options)
    return np.asarray(method.fit(x).labels_)


class Spaces(NamedTuple):
    """The rows in spaces of three kinds."""

    features: Float[np.ndarray, "n d"]
    layouts: Sequence[Float[np.ndarray, "n 2"]]  # of few rows none
    spectra: Sequence[Float[np.ndarray, "n c"]]


def by_points(every: Sequence, count: int, seed: int, starts: int) -> list[Partition]:
    """Some starts of k-means of each of several sets of points."""
    return [k_means(x, count, seed + m) for x in every for m in range(starts)]


def by_features(x, count: int, seed: int, starts: int) -> list[Partition]:
    """Each from a sample of its own: moves will mend what a sample gets wrong."""
    from sklearn.cluster import KMeans

    seen = max(SEEN, EACH * count)
    options: Any = dict(n_init=1)

    def of_sample(seed):
        some = np.random.default_rng(seed).permutation(len(x))[:seen]
        model = KMeans(count, random_state=seed % SEEDS, **options).fit(x[some])
        return np.asarray(model.predict(x))

    return [of_sample(seed + m) for m in range(starts)]


def eigenvectors(matrix, count: int, seed: int) -> Float[np.ndarray, "n c"]:
    """The first eigenvectors of D^-1/2 P D^-1/2, the largest eigenvalue first.

    All at once, by a polynomial of the matrix that is small up to the last eigenvalue
    that is wanted and grows from there; that eigenvalue is estimated on the way. A
    block finds every vector of a multiple eigenvalue, as of a graph in components.

    Source: Zhou, Saad, Tiago & Chelikowsky, Self-consistent-field calculations using
    Chebyshev-filtered subspace iteration, 2006.
    """
    n = matrix.shape[0]
    degree = np.asarray(matrix.sum(1)).ravel()
    scale = 1 / np.sqrt(np.where(degree > 0, degree, 1))
    by_degree = sp.csr_array(matrix * scale[:, None] * scale)
    if n < max(SMALL, 4 * count):
        return np.linalg.eigh(by_degree.toarray())[1][:, ::-1][:, :count]
    by_degree = by_degree.astype(np.float32)
    start = np.random.default_rng(seed).normal(size=(n, count + SPARE))
    vectors, low = np.asarray(start, np.float32), 0.0
    for degree in DEGREES:
        vectors = _filtered(by_degree, np.linalg.qr(vectors)[0], low, degree)
        vectors = np.linalg.qr(vectors)[0]
        value, turn = np.linalg.eigh(vectors.T @ (by_degree @ vectors))
        vectors, low = vectors @ turn[:, ::-1], float(value[0])
    return vectors[:, :count]


def _filtered(matrix, vectors, low: float, degree: int):
    """Chebyshev's polynomial, its interval [-1, low], of a matrix, times vectors."""
    middle, half = (low - 1) / 2, (low + 1) / 2
    before, now = vectors, (matrix @ vectors - middle * vectors) / half
    for _ in range(degree - 1):
        before, now = now, 2 * (matrix @ now - middle * now) / half - before
    return now


@limited
def spectrum(matrix, count: int, seed: int) -> Float[np.ndarray, "n c"]:
    """As many eigenvectors as the widest of `spectra` has."""
    most = min(matrix.shape[0], int(np.ceil(WIDTHS[-1] * count)))
    return eigenvectors(matrix, most, seed)


def spectra(vectors, count: int) -> list[Float[np.ndarray, "n c"]]:
    """.75, 1 and 1.25 eigenvectors per cluster, in rows of length one."""
    return [unit(vectors[:, : max(1, int(width * count))]) for width in WIDTHS]


# ------------------------------------------------------- layouts


@dataclasses.dataclass(frozen=True)
class Falling:
    """A plan whose exaggeration falls in stages; as `layout.Plan` is used."""

    ends: tuple[int, ...] = (200, 300, 400)
    exaggeration: tuple[float, ...] = (12.0, 6.0, 3.0)

    @property
    def steps(self) -> int:
        return self.ends[-1]

    def exaggerations(self) -> Stages:
        return Stages(self.ends[:-1], self.exaggeration)

    def rates(self, n: int) -> Stages:
        return Stages(self.ends[:-1], tuple(n / x for x in self.exaggeration))

    def momenta(self) -> Stages:
        return Stages((), (0.8,))


FALLING = Falling()


def layouts(p: Graph, start: layout.Start) -> list[Float[np.ndarray, "n 2"]]:
    """The layout at the end of every stage."""
    kept = []

    def keep(step, loss, z):
        if step in FALLING.ends:
            kept.append(np.array(z))

    completed(layout.lay_out(layout.Tail(), start, p, FALLING, [keep]))
    return kept


def layouts_of(x, p: Graph, seed: int) -> list[Float[np.ndarray, "n 2"]]:
    """The layouts of a graph, from principal components and from noise.

    None of few rows.
    """
    if len(x) < LAID_OUT:
        return []
    rng = np.random.default_rng(seed)
    starts = [layout.principal(x, 2, rng), layout.scattered(len(x), 2, rng)]
    return [z for start in starts for z in layouts(p, start)]


@limited
def members(spaces: Spaces, cut: Cut, seed: int) -> list[Partition]:
    """Partitions from starts of three kinds, each improved: what is averaged.

    Args:
        spaces: what k-means sees of the rows.
        cut: the graph, cut into so many clusters.
        seed: of every start.
    """
    found = by_points(spaces.layouts, cut.count, seed, BY_LAYOUT)
    found += by_points(spaces.spectra, cut.count, seed, SPECTRAL)
    found += by_features(spaces.features, cut.count, seed, FEATURES)
    return cut.all_moved(found, seed)


# ------------------------------------------------------- consensus


def unit(x):
    """Rows of length one; rows of zeros stay."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)


def stacked(members: Sequence[Partition]):
    """The clusters of all members as one sparse matrix, zeros and ones [n, Σ_m C_m]."""
    every = [indicator(labels, labels.max() + 1) for labels in members]
    return sp.csc_array(sp.hstack(every))


def consensus(members: Sequence[Partition], count: int, seed: int) -> Partition:
    r"""The clusters of the members' average.

    $$\bar p = \tfrac{1}{M} \sum_m \Phi_m N_m^{-1} \Phi_m^\top$$

    by its first eigenvectors, which are singular vectors of [Φ_m N_m^-1/2].
    """
    from scipy.sparse.linalg import svds

    of: Any = stacked(members)
    size = np.asarray(of.sum(0)).ravel()
    of = of / np.sqrt(np.where(size > 0, size, 1))
    least = min(of.shape)
    if count < least // 2:
        options: Any = dict(v0=np.ones(least), tol=1e-3)
        vectors = svds(of, count, **options)[0]
    else:
        vectors = np.linalg.svd(of.toarray(), full_matrices=False)[0][:, :count]
    return k_means(unit(vectors), count, seed, starts=4)


def memberships(members: Sequence[Partition], labels: Partition, count: int):
    r"""The share of each cluster among the rows that a row is with [n, count].

    $$\varphi_{ic} = \sum_{j \in c} \bar p_{ij}$$

    An item that the members disagree about is shared.
    """
    of, final = stacked(members), indicator(labels, count)
    inside: Any = sp.csr_array(of.T @ final)
    inside.data /= np.repeat(inside.sum(1), np.diff(inside.indptr))
    return (of @ inside / len(members)).astype(np.float32).toarray()


@limited
def best_of(cut: Cut, members: Sequence[Partition], swaps: int, seed: int) -> Partition:
    """The consensus, with the clusters split that averaging merged."""
    rng = np.random.default_rng(seed)
    start = cut.moved(consensus(members, cut.count, seed), rng)
    return cut.exchanged(start, stacked(members), rng, swaps)
