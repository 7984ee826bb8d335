"""Clustering of given features, as scikit-learn's estimators are used."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Float, Int
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted

from icon._base import checks as check
from icon._loss import kl
from icon._neighborhoods import Graph, same, scores, self_tuning
from icon._training import minimize
from icon.estimators.frames import frame
from icon.estimators.input import features
from icon.estimators.neighbors import Listed, nearest
from icon.estimators.settings import seed_of
from icon.recipes import cut, ensemble, layout


METRICS = ("cosine", "euclidean")
FEWEST, MOST = 5, 20  # neighbours
HIDDEN, SHARP = 256, 30.0  # of the classifier: units; the length of its first rows
STEPS, BATCH, RATE = 250, 1024, 0.01


@dataclasses.dataclass(repr=False, eq=False)
class NeighborClustering(ClusterMixin, BaseEstimator):
    r"""Clusters that keep neighbours together: debiased InfoNCE clustering of features.

    $$\min_\varphi \mathrm{KL}(p \,\|\, q), \quad
      q_{ij} = (1 - \alpha) \sum_c \varphi_{ic} \varphi_{jc} / n_c + \alpha / n$$

    p is a graph of nearest neighbours with self-tuning weights. Its minimum has many
    neighbours that are nearly as good, and the graph errs where features do; so 44
    partitions from k-means of the features, of eigenvectors and of t-SNE layouts of the
    graph are each improved, averaged, and the average improved again. A classifier of
    the features then learns the clusters, most of all where the partitions agree.

    Of two partitions that cut the same edges the loss prefers the more even one.

    Args:
        n_clusters: K, from 1 to the number of rows.
        n_neighbors: None: n / (4 K), a quarter of a cluster, but from 5 to 20.
        metric: "cosine", of rows less their mean; or "euclidean".
        alpha: the share of q that is uniform, above 0 and below 1.
        swaps: how many clusters of the members may take the place of merged ones in the
            average; each lowers the loss, and more of them fit the errors of the graph.
        random_state: a seed; a generator; None: another one every time.

    Attributes:
        labels_: the cluster of every row, 0 the largest.
        memberships_: how often each row is with each cluster, float32 [n, K].
        loss_: KL's cross-entropy at these labels.
        member_losses_: those of the partitions that were averaged.
        affinities_: p, an `icon.graph`.
        embedding_: a layout of it [n, 2]; None below 300 rows.
        n_neighbors_: how many were used.

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

    n_clusters: int = 8
    _: dataclasses.KW_ONLY
    n_neighbors: int | None = None
    metric: str = "cosine"
    alpha: float = 0.6
    swaps: int = 2
    random_state: int | np.random.RandomState | np.random.Generator | None = None

    def fit(self, X, y=None):
        """Cluster the rows of X.

        Args:
            X: numbers [n, d], two rows or more.
            y: ignored.
        """
        check.one_of("metric", self.metric, METRICS)
        x = self._framed(features(self, X))
        n, k = len(x), self.n_clusters
        k = check.count("n_clusters", k, 1, n)
        swaps, seed = check.size("swaps", self.swaps, 0), seed_of(self.random_state)
        self.affinities_: Graph = self._affinities(x, k, seed)
        by = cut.cut(self.affinities_, k, self.alpha)
        members = self._members(x, by, seed)
        labels = _by_size(ensemble.best_of(by, members, swaps, seed), k)
        self.labels_: Int[np.ndarray, " n"] = labels
        self.loss_ = by.loss(labels)
        self.member_losses_ = np.array([by.loss(member) for member in members])
        self.memberships_ = ensemble.memberships(members, labels, k)
        self._classifier = _taught(x, self.memberships_, labels, seed)
        used = len(np.unique(labels))
        if used < k:
            warnings.warn(f"{used} of {k} clusters have a row", stacklevel=2)
        return self

    def predict(self, X) -> Int[np.ndarray, " m"]:
        """The clusters of rows, new or old, by the classifier."""
        return self.predict_proba(X).argmax(1)

    def predict_proba(self, X) -> Float[np.ndarray, "m K"]:
        """The probability of every cluster, by the classifier."""
        check_is_fitted(self)
        x = self._in_frame(features(self, X, reset=False))
        blocks = [x[at] for at in layout.blocks(len(x))]
        logits = np.concatenate([_logits(self._classifier, block) for block in blocks])
        return np.asarray(jax.nn.softmax(logits[: len(x)], 1))

    # --------------------------------------------------- what is clustered

    def _framed(self, x) -> Float[np.ndarray, "n d"]:
        """Rows around their middle; of one length under "cosine"."""
        self._frame = frame(x, "euclidean")
        moved = self._frame(x)
        self._mean = moved.mean(0, dtype=np.float64).astype(np.float32)
        return self._in_frame(x)

    def _in_frame(self, x) -> Float[np.ndarray, "n d"]:
        x = self._frame(x) - self._mean
        return ensemble.unit(x) if self.metric == "cosine" else x

    def _affinities(self, x, k: int, seed: int) -> Graph:
        n, wanted = len(x), self.n_neighbors
        if wanted is None:
            wanted = min(MOST, max(FEWEST, n // (4 * k)))
        self.n_neighbors_ = min(n - 1, check.size("n_neighbors", wanted))
        listed: Listed = nearest(x, self.n_neighbors_, "euclidean", seed)
        return self_tuning(*listed)

    def _members(self, x, by, seed: int) -> list[ensemble.Partition]:
        """Partitions from starts of three kinds, each improved."""
        self.embedding_ = None
        every = []
        if len(x) >= ensemble.LAID_OUT:
            rng = np.random.default_rng(seed)
            starts = [layout.principal(x, 2, rng), layout.scattered(len(x), 2, rng)]
            p = self.affinities_
            every = [z for start in starts for z in ensemble.layouts(p, start)]
            self.embedding_ = every[len(every) // 2 - 1]
        found = ensemble.by_layouts(every, by.count, seed)
        found += ensemble.by_spectrum(by.matrix, by.count, seed)
        found += ensemble.by_features(x, by.count, seed)
        rng = np.random.default_rng(seed)
        return [by.moved(labels, rng) for labels in found]


def _by_size(labels, count: int):
    """The clusters numbered by their size, then by their first rows."""
    size, first = np.bincount(labels, minlength=count), np.full(count, len(labels))
    np.minimum.at(first, labels, np.arange(len(labels)))
    return np.argsort(np.lexsort((first, -size)))[labels]


# ------------------------------------------------------- new items


def _start(x, labels, count: int, rng) -> dict[str, jax.Array]:
    """Logits from the means of the clusters; the hidden part adds nothing yet."""
    d = x.shape[1]
    sums = np.zeros((count, d), np.float32)
    np.add.at(sums, labels, x)
    return dict(
        linear=jnp.asarray(SHARP * ensemble.unit(sums).T),
        bias=jnp.zeros((1, count)),
        hidden=jnp.asarray(np.sqrt(2) * rng.normal(size=(d, HIDDEN)), jnp.float32),
        shift=jnp.zeros((1, HIDDEN)),
        out=jnp.zeros((HIDDEN, count)),
    )


@jax.jit
def _logits(params, x):
    hidden = jax.nn.relu(x @ params["hidden"] + params["shift"])
    return x @ params["linear"] + params["bias"] + hidden @ params["out"]


def _imitation(params, labels, agreement, x, first):
    """The cell "cross-entropy", each row weighed by how far the members agree on it."""
    rows = lambda table: lax.dynamic_slice_in_dim(table, first, min(len(x), BATCH))
    logits = _logits(params, rows(x))
    p = same(rows(labels), jnp.arange(logits.shape[1]))
    return kl(p, scores(logits), weight=rows(agreement))


@dataclasses.dataclass(frozen=True)
class Turns:
    """Where the batch of a step starts, in rows that were shuffled."""

    n: int

    def __call__(self, step):
        return (step * BATCH) % max(1, self.n - BATCH + 1)


def _taught(x, memberships, labels, seed: int):
    """A classifier of the features that learns the clusters."""
    rng = np.random.default_rng(seed)
    params = _start(x, labels, memberships.shape[1], rng)
    agreement = memberships[np.arange(len(x)), labels]
    order = rng.permutation(len(x))
    data = [jnp.asarray(table[order]) for table in (labels, agreement, x)]
    rate = optax.cosine_decay_schedule(RATE, STEPS)
    args = (*data, Turns(len(x)))
    return minimize(_imitation, params, optax.adam(rate), STEPS, args=args)[0]
