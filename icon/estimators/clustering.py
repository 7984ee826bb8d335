"""Clustering of given features, as scikit-learn's estimators are used."""

import dataclasses
import functools as ft
import warnings
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float, Int
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted

from icon._base import checks as check
from icon._search import knn
from icon.estimators.frames import divided, exponent, frame
from icon.estimators.input import features
from icon.estimators.neighbors import nearest, nearest_among
from icon.estimators.settings import seed_of
from icon.recipes import affinities, clustering, cut, ensemble, heads, reservoir


METRICS = ("cosine", "euclidean")
ROWS = 2**16  # that are moved and rescaled at once
UNEVEN = 0.01  # lengths of rows that differ by less count as one length
BESIDE = 4  # earlier rows for each row of a batch


@dataclasses.dataclass(repr=False, eq=False)
class NeighborClustering(ClusterMixin, BaseEstimator):
    r"""Clusters that keep neighbours together: debiased InfoNCE clustering of features.

    $$\min_\varphi \mathrm{KL}(p \,\|\, q), \quad
      q_{ij} = (1 - \alpha) \sum_c \varphi_{ic} \varphi_{jc} / n_c + \alpha / n$$

    p is a graph of nearest neighbours with self-tuning weights. Its minimum has many
    neighbours that are nearly as good, and the graph errs where features do; so 28
    partitions from k-means of the features, of eigenvectors and of t-SNE layouts of the
    graph are each improved, averaged, and the average improved again. Unless alpha is
    set, partitions into twice and three times as many clusters are made before, and
    merged by how often rows are together in them: where the merged ones are of very
    different sizes, these are averaged instead. A classifier of the features then
    learns the clusters, most of all where the partitions agree.

    Above 25,000 rows the partitions are of a sample of so many; the clusters of the
    others come from the classifier, and are improved on the graph of all rows.

    Args:
        n_clusters: K, from 1 to the number of rows; of several the most stable one.
        n_neighbors: None: n / (4 K), a quarter of a cluster, but from 5 to 20.
        neighbors: which of them count: "self-tuning", by local scale; "alike";
            "mutual"; "shared", by common neighbours; "within" a distance.
        walks: neighbours of neighbours as well, over so many further steps.
        metric: "cosine", of rows less their mean; "euclidean"; None: cosine where all
            rows have one length to a hundredth, as embeddings of text have that were
            made so; elsewhere lengths tell something, and it is Euclid's.
        alpha: the share of q that is uniform, above 0 and below 1. Near 1 the loss is
            that of a normalised cut, to which sizes are indifferent; the further below,
            the more it prefers even ones. None: .99, of merged partitions, where these
            are uneven: where the entropy of their sizes is below .945 of its maximum;
            .9 else, and above 50 clusters, and with fewer than 15 rows for each. A
            number never averages merged ones.
        swaps: how many clusters of the members may take the place of merged ones in the
            average of even clusters; each lowers the loss, and more of them fit the
            errors of the graph.
        head: None: the clusters are the average. "linear", "mlp" or "free": four heads
            start from it and from the best partitions, follow the gradient of the loss,
            and the clusters are those of the head with the lowest.
        divergence: of a head: "kl", "tv", "jsd" or "hellinger".
        alpha_p: of a head: the share of p that is uniform. Then every pair counts: as
            long as n² K is at most 2^34, beyond by 64 rows drawn for each anchor and
            step, without bias.
        rounds: how often p is weighed by how far the partitions agree about a pair, and
            the average made anew.
        size_decay: of `partial_fit`: what cluster sizes that earlier batches had count
            beside those of a batch, from 0, which is nothing, and below 1. None: by how
            many rows both have seen, 1 - B / m in a batch of B, m the rows so far or
            50 K, whichever is less. It changes little where a batch has 25 rows of each
            cluster or more.
        reservoir: of `partial_fit`: how many earlier rows are kept, each as likely. The
            nearest of them, four for each row of a batch, are clustered with it; and
            all of them anew whenever they are twice as many. 0: none, and a batch has
            only those neighbours that are in it.
        random_state: a seed; a generator; None: another one every time.

    Attributes:
        labels_: the cluster of every row, 0 the largest.
        n_clusters_: K, the one that was chosen.
        choice_: loss, at alpha .9 unless it is set, and stability of every K; None
            where one was given.
        memberships_: the share of each cluster among the rows that a row is with in
            the partitions, float32 [n, K]; with a head, φ.
        shares_: of every cluster, the share of rows, float64 [K]; of batches a running
            mean.
        n_samples_seen_: rows so far, of all batches.
        alpha_: which was used.
        loss_: KL's cross-entropy at these labels.
        member_losses_: those of the partitions that were averaged.
        head_losses_: of every head, the divergence it reached; None without.
        affinities_: p, an `icon.graph`.
        embedding_: a layout of it [n, 2], above 25,000 rows of the sample [25000, 2];
            None below 300 rows.
        embedding_rows_: which rows the layout has, rising; None without one.
        typical_: of every cluster the ten rows nearest to its mean, int [K, 10]; -1
            where it has fewer.
        n_neighbors_: how many were used.
        metric_: which was used.
        samples_: rows drawn for each anchor where alpha_p acts; None: all.

    Raises:
        InvalidInput: in fit, what cannot be used, by name.

    Warns: where fewer clusters than asked could be made, as of rows in few places.

    Example:
        >>> import numpy as np
        >>> from icon.estimators import NeighborClustering
        >>> x = np.repeat([[0.0, 1.0], [1.0, 0.0], [-1.0, -1.0]], 10, 0)
        >>> x += 0.01 * np.random.default_rng(0).normal(size=x.shape)
        >>> NeighborClustering(3, random_state=0).fit_predict(x)[::10].tolist()
        [0, 1, 2]

    Source: Alshammari et al., I-Con: a unifying framework for representation learning,
    2025; Zelnik-Manor & Perona, Self-tuning spectral clustering, 2004.
    """

    n_clusters: int | Sequence[int] = 8
    _: dataclasses.KW_ONLY
    n_neighbors: int | None = None
    neighbors: str = "self-tuning"
    walks: int = 0
    metric: str | None = None
    alpha: float | None = None
    swaps: int = 2
    head: str | None = None
    divergence: str = "kl"
    alpha_p: float = 0.0
    rounds: int = 0
    size_decay: float | None = 0.0
    reservoir: int = 10_000
    random_state: int | np.random.RandomState | np.random.Generator | None = None

    def fit(self, X, y=None, *, known=None, views: Sequence = ()):
        """Cluster the rows of X.

        Args:
            X: numbers [n, d], two rows or more.
            y: ignored.
            known: labels of a few rows, integers [n] from 0, -1 where there is none:
                nine tenths of p are then, for these rows, rows that share the label.
            views: the same rows seen in other ways, as augmented, each [n, d]: p is the
                mean over the neighbours that rows have in each.
        """
        settings, seed = self._settings(), seed_of(self.random_state)
        x = self._framed(features(self, X))
        counts = _counts(self.n_clusters, len(x))
        known = None if known is None else _known(known, len(x))
        rows = clustering.Rows(x, [self._view(view, x) for view in views], known)
        settings = settings._replace(search=ft.partial(_search, seed=seed))
        found = clustering.clusters_of(rows, counts, settings, seed)
        self.n_neighbors_ = clustering.neighbor_count(len(x), counts[-1], settings)
        self._keep(found, x, settings)
        used, k = len(np.unique(self.labels_)), self.n_clusters_
        if used < k:
            warnings.warn(f"{used} of {k} clusters have a row", stacklevel=2)
        return self

    def partial_fit(self, X, y=None):
        r"""Cluster a batch, of rows that do not fit all at once.

        The first batch is clustered as in `fit`, and should have many rows of every
        cluster. With every further one the classifier follows the gradient of the loss
        for ten steps, p of the neighbours among its rows and earlier ones near to them,
        together B, and

        $$n_c = \delta\, |B|\, s_c + (1 - \delta) \textstyle\sum_{i \in B} \varphi_{ic},
          \quad s_c \leftarrow n_c / |B|$$

        s the `shares_`, of the batch's own rows, δ the `size_decay`. Whenever twice as
        many rows are kept as were clustered last, they are clustered as in `fit`; every
        cluster keeps its number, by the most rows that it shares. `fit` itself keeps
        none of its rows. `labels_` and `memberships_` are then those of the batch,
        `alpha_` that of what was clustered last; what else there is stays that of the
        first.

        Args:
            X: numbers [n, d], two rows or more.
            y: ignored.
        """
        seed = seed_of(self.random_state)
        if "labels_" not in vars(self):
            self.fit(X)
            self._kept = self._kept.after(self._seen(X), seed)
            return self
        settings, x = self._settings(), self._seen(X)
        check.require(len(x) > 1, "X", "n_samples = 1", "two or more")
        self._kept = self._kept.resized(self.reservoir, seed)
        rows = clustering.Rows(np.concatenate([x, self._kept_near(x)]))
        p = clustering.supervision(rows, settings, self.n_clusters_, seed)
        decay = self._decay(len(x))
        sizes = heads.Sizes(self.shares_, decay)
        self._classifier = heads.continued(
            self._classifier, p, rows.x, settings.alpha or self.alpha_, sizes
        )
        self._kept = self._kept.after(x, seed)
        self._cluster_kept(settings, seed)
        self.memberships_ = self._classifier.probabilities(x)
        self.labels_ = self.memberships_.argmax(1)
        self.shares_ = heads.Sizes(self.shares_, decay).after(self.memberships_)
        self.n_samples_seen_ += len(x)
        return self

    def predict(self, X) -> Int[np.ndarray, " m"]:
        """The clusters of rows, new or old, by the classifier."""
        rows = self._seen(X)  # first: before fit there is no classifier, and it says so
        return self._classifier.labels(rows)

    def predict_proba(self, X) -> Float[np.ndarray, "m K"]:
        """The probability of every cluster, by the classifier."""
        rows = self._seen(X)
        return self._classifier.probabilities(rows)

    # --------------------------------------------------- what is clustered

    def _seen(self, X) -> Float[np.ndarray, "m d"]:
        """Rows as the classifier sees them."""
        check_is_fitted(self)
        return self._in_frame(features(self, X, reset=False))

    def _cluster_kept(self, settings: clustering.Settings, seed: int) -> None:
        """What is kept is clustered once it has twice as many rows as last time."""
        rows, k = clustering.Rows(self._kept.rows), self.n_clusters_
        if len(rows.x) < 2 * self._clustered:
            return
        found = clustering.clusters_of(rows, [k], settings, seed)
        before = self._classifier.labels(rows.x)
        same = clustering.matched(before, found.labels, k)
        self._classifier, self.alpha_ = found.classifier.reordered(same), found.alpha
        self.shares_ = self._classifier.probabilities(rows.x).mean(0, dtype=np.float64)
        self._clustered = len(rows.x)

    def _kept_near(self, x) -> Float[np.ndarray, "m d"]:
        """Earlier rows near to a batch's: as many for every batch of its size."""
        kept = self._kept.rows
        count = min(len(kept), BESIDE * len(x))
        if not count:
            return kept[:0]
        near, _ = nearest_among(x, min(len(kept), clustering.MOST), kept, "euclidean")
        return kept[reservoir.nearest_first(near, len(kept), count)]

    def _decay(self, rows: int) -> float:
        if self.size_decay is not None:
            return self.size_decay
        return clustering.decay(rows, self.n_samples_seen_ + rows, self.n_clusters_)

    def _settings(self) -> clustering.Settings:
        if self.metric is not None:
            check.one_of("metric", self.metric, METRICS)
        wanted = self.n_neighbors
        verb = check.one_of("divergence", self.divergence, heads.DIVERGENCES)
        alpha_p = check.fraction("alpha_p", self.alpha_p, np.zeros(()))
        if self.size_decay is not None:
            decay = check.scalar("size_decay", self.size_decay, 0)
            check.require(decay < 1, "size_decay", decay, "a number from 0, below 1")
        check.size("reservoir", self.reservoir, 0)
        acts = self.head is not None or (alpha_p == 0 and self.divergence == "kl")
        only = "a head, which alone sees alpha_p and the divergence"
        check.require(acts, "head", self.head, only)
        if self.head is not None:
            check.one_of("head", self.head, heads.HEADS)
        return clustering.Settings(
            search=_search,
            n_neighbors=None if wanted is None else check.size("n_neighbors", wanted),
            neighbors=affinities.NEIGHBORS[
                check.one_of("neighbors", self.neighbors, affinities.NEIGHBORS)
            ],
            walks=check.count("walks", self.walks, 0, 8),
            alpha=None if self.alpha is None else cut.debiasing(self.alpha),
            alpha_p=float(alpha_p),
            swaps=check.size("swaps", self.swaps, 0),
            rounds=check.size("rounds", self.rounds, 0),
            head=self.head,
            divergence=heads.DIVERGENCES[verb],
        )

    def _framed(self, x) -> Float[np.ndarray, "n d"]:
        """Rows around their middle; of one length under "cosine"."""
        usual = "cosine" if _have_one_length(x) else "euclidean"
        self.metric_ = usual if self.metric is None else self.metric
        self._frame = frame(x, "euclidean")
        sums = [self._frame(x[at]).sum(0, dtype=np.float64) for at in _slices(len(x))]
        self._mean = (np.sum(sums, 0) / len(x)).astype(np.float32)
        return self._in_frame(x)

    def _in_frame(self, x) -> Float[np.ndarray, "n d"]:
        found = np.empty(x.shape, np.float32)
        for at in _slices(len(x)):
            moved = self._frame(x[at]) - self._mean
            found[at] = ensemble.unit(moved) if self.metric_ == "cosine" else moved
        return found

    def _view(self, view, x) -> Float[np.ndarray, "n d"]:
        with check.renamed(X="views"):
            view = self._in_frame(features(self, view, reset=False))
        got = f"{len(view)} rows"
        check.require(len(view) == len(x), "views", got, f"{len(x)}, as X has")
        return view

    def _keep(self, found: clustering.Found, x, settings: clustering.Settings) -> None:
        n, k = found.memberships.shape
        self.labels_: Int[np.ndarray, " n"] = found.labels
        self.memberships_: Float[np.ndarray, "n K"] = found.memberships
        self.n_clusters_, self.choice_ = k, found.choice
        self.shares_ = found.memberships.mean(0, dtype=np.float64)
        self.n_samples_seen_ = n
        self._clustered = n
        none = np.empty((0, x.shape[1]), x.dtype)
        self._kept = reservoir.Reservoir(none, self.reservoir, 0)
        self.loss_, self.member_losses_ = found.loss, found.member_losses
        self.alpha_ = found.alpha
        self.head_losses_ = found.head_losses
        self.affinities_ = found.p
        self.embedding_, self.embedding_rows_ = found.layout, found.laid_out
        self.typical_ = clustering.typical(x, found.labels, k)
        self.samples_ = clustering.draws(settings, n, k)
        self._classifier = found.classifier


def _search(x, k: int, seed: int = 0):
    """The nearest rows: exact on an accelerator, where n² d products are cheap."""
    if jax.default_backend() != "cpu":
        return knn(x, k)
    return nearest(x, k, "euclidean", seed)


def _slices(n: int) -> list[slice]:
    """Rows in blocks: what is made on the way is small beside all of them."""
    return [slice(i, i + ROWS) for i in range(0, n, ROWS)]


def _have_one_length(x) -> bool:
    """Whether all rows have the same Euclidean length, but for a hundredth."""
    low, high, unit = np.inf, 0.0, exponent(x)
    for at in _slices(len(x)):
        length = np.linalg.norm(divided(x[at], unit), axis=1)
        low, high = min(low, length.min()), max(high, length.max())
    return bool(0 < high <= (1 + UNEVEN) * low)


def _counts(n_clusters, n: int) -> list[int]:
    """The numbers of clusters to choose from, rising."""
    several = isinstance(n_clusters, Sequence) and not isinstance(n_clusters, str)
    some = n_clusters if several else [n_clusters]
    check.require(some, "n_clusters", "none", "an integer, or several")
    return sorted({check.count("n_clusters", k, 1, n) for k in some})


def _known(known, n: int) -> Int[np.ndarray, " n"]:
    """Labels of some rows; -1 of the others."""
    known = np.asarray(known)
    got = f"shape {known.shape} and dtype {known.dtype}"
    fits = known.shape == (n,) and known.dtype.kind in "iu"
    check.require(fits, "known", got, f"integers of shape ({n},), -1 for unknown")
    check.require(known.min() >= -1, "known", known.min(), "labels from 0, or -1")
    return known
