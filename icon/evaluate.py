"""How good is an embedding or a clustering?"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Real

from icon._base import checks as check


PROTOCOL = {
    "trustworthiness": "all rows, Euclidean distances, ranks in x of the k=12 nearest "
    "in z; exact, in blocks of rows, at any n",
    "neighborhood_recall": "all rows, Euclidean distances, the k=15 nearest in x and "
    "the k=15 nearest in z, the point itself left out",
    "knn_accuracy": "leave-one-out over all rows, or the rows outside train scored "
    "by train alone; k=10, majority vote, a tie goes to the nearest",
    "linear_probe": "multinomial logistic regression on features standardised by the "
    "train rows, L2 strength 1; accuracy on the rows outside train",
    "hungarian_accuracy": "all rows; clusters matched one to one to classes by the "
    "assignment with the most hits",
    "matched": "all rows; clusters matched one to one to classes by the assignment "
    "with the most hits, those left over with -1",
    "confusion": "all rows; classes in increasing order, clusters in the order of the "
    "classes that they are matched with, those left over last",
    "reliability": "all rows; 10 bins of equal width of the confidence, empty ones "
    "left out; right where the label is the class matched with the cluster",
    "calibration_error": "all rows; 10 bins of equal width of the confidence; right "
    "where the label is the class matched with the cluster",
    "amari_error": "rows and columns scaled, each by its largest entry; 0 where "
    "each source is found once, in any order and of any size, at most 1",
    "leave_out": "of every row with two entries or more a fifth of them, rounded, at "
    "least one, at random",
    "recall": "the k=20 highest scores of every row among the items it has not seen; "
    "hits over the smaller of k and what was left out; the mean over rows with some",
    "ndcg": "the k=20 highest scores of every row among the items it has not seen; "
    "gain 1 / log2(1 + place) over that of the best order; the mean over rows with "
    "some",
    "nmi": "all rows; mutual information over the mean of the two entropies",
    "ari": "all rows; Rand index of pairs, adjusted so that chance is 0",
    "alignment": "all pairs of rows scaled to length 1; mean distance to the power 2",
    "uniformity": "all ordered pairs i != j of rows scaled to length 1, t=2; exact, "
    "in blocks of rows, at any n",
    "cluster_entropy": "all rows; nats",
    "importance_bound": "each row; as many samples as p draws of it; nats",
}
"""Each metric's protocol at its defaults: what to print beside a number."""

METRICS = ("euclidean", "cosine", "manhattan")
_ENTRIES = 2**23  # of one block of distances: 64 MiB


class Reliability(NamedTuple):
    """How often items of about one confidence are right; a bin without any is none."""

    confidence: Float[np.ndarray, " b"]  # the mean of each bin
    accuracy: Float[np.ndarray, " b"]
    count: Int[np.ndarray, " b"]  # pyright: ignore  # not the tuple's method


def trustworthiness(
    x: Real[ArrayLike, "n d"], z: Real[ArrayLike, "n e"], *, k: int = 12
) -> float:
    """Whether the neighbors seen in the embedding are neighbors in the data.

        1 - 2/(n k (2n - 3k - 1)) sum_i sum_{j in N_z(i)} max(0, rank_x(i, j) - k)

    Protocol: all rows, Euclidean distances, ranks in x of the k=12 nearest in z;
    exact, in blocks of rows, at any n. Equals scikit-learn's where no two
    distances tie, without its three n x n arrays.

    Args:
        x: the data, one row a point.
        z: the embedding of the same points.
        k: how many neighbors; below n / 2, or the formula leaves [0, 1].

    Raises:
        InvalidInput: not matrices of equally many finite rows, or k >= n / 2.

    Example:
        >>> import numpy as np
        >>> x = np.arange(10.0)[:, None]
        >>> trustworthiness(x, 3 * x, k=3)
        1.0

    Source: Venna and Kaski 2001, "Neighborhood preservation in nonlinear
    projection methods".
    """
    x, z = _same_rows(x, z)
    n = len(x)
    k = check.count("k", k, 1, (n - 1) // 2)
    near = _nearest(z, k)
    excess = sum(_excess(x, near, rows) for rows in _blocks(n))
    return float(1 - 2 * excess / (n * k * (2 * n - 3 * k - 1)))


def neighborhood_recall(
    x: Real[ArrayLike, "n d"], z: Real[ArrayLike, "n e"], *, k: int = 15
) -> float:
    """How many of a point's neighbors in the data are still its neighbors.

        1/(n k) sum_i |N_x(i) ∩ N_z(i)|

    Protocol: all rows, Euclidean distances, the k=15 nearest in x and the k=15
    nearest in z, the point itself left out. Chance is k / (n - 1).

    Args:
        x: the data, one row a point.
        z: the embedding of the same points.
        k: how many neighbors, below n.

    Raises:
        InvalidInput: not matrices of equally many finite rows, or k >= n.

    Example:
        >>> import numpy as np
        >>> x = np.arange(10.0)[:, None] ** 2
        >>> neighborhood_recall(x, -x, k=3)
        1.0

    Source: Lee and Verleysen 2009, "Quality assessment of dimensionality
    reduction" (there Q_NX).
    """
    x, z = _same_rows(x, z)
    k = check.count("k", k, 1, len(x) - 1)
    # One number for each (anchor, neighbor), so that one set lookup compares all.
    anchor = len(x) * np.arange(len(x))[:, None]
    return float(np.isin(anchor + _nearest(x, k), anchor + _nearest(z, k)).mean())


def knn_accuracy(
    z: Real[ArrayLike, "n d"],
    labels: Int[ArrayLike, " n"],
    *,
    k: int = 10,
    train: Int[ArrayLike, " m"] | None = None,
    metric: str = "euclidean",
) -> float:
    """How often the majority of a point's nearest neighbors has its label.

        1/|test| sum_{i in test} [label_i = majority of label_j, j in N_k(i)]

    Protocol: leave-one-out over all rows, or the rows outside train scored by train
    alone; k=10, majority vote, a tie goes to the nearest. Equal distances are
    ordered as scikit-learn orders them.

    Args:
        z: features, one row a point.
        labels: an integer for each point.
        k: how many neighbors vote; below n, and at most the number of train rows.
        train: the rows that vote; all the others are scored. None: leave-one-out.
        metric: "euclidean", "cosine" or "manhattan".

    Raises:
        InvalidInput: labels of another length or not integers, non-finite
            features, too large a k, train rows that repeat or do not exist.

    Example:
        >>> import numpy as np
        >>> z = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
        >>> knn_accuracy(z, np.array([0, 0, 0, 1, 1, 1]), k=2)
        1.0

    Source: Wu et al. 2018, "Unsupervised feature learning via non-parametric
    instance discrimination", without the weights on the votes.
    """
    z = check.matrix("z", z)
    y = _classes("labels", labels, len(z))
    check.one_of("metric", metric, METRICS)
    if train is None:
        k = check.count("k", k, 1, len(z) - 1)
        return _hits(y[_nearest(z, k, metric)], y)
    fit, rest = _split(train, len(z))
    k = check.count("k", k, 1, len(fit))
    return _hits(y[fit][_nearest(z[fit], k, metric, z[rest])], y[rest])


def linear_probe(
    z: Real[ArrayLike, "n d"],
    labels: Int[ArrayLike, " n"],
    *,
    train: Int[ArrayLike, " m"],
    l2: float = 1.0,
    iterations: int = 1000,
) -> float:
    """How well a linear classifier on frozen features does on unseen points.

        min_W  sum_{i in train} CE(label_i, W z_i + b) + l2/2 ||W||²

    Protocol: multinomial logistic regression on features standardised by the train
    rows, L2 strength 1; accuracy on the rows outside train. A class that train
    lacks counts as errors.

    Args:
        z: features, one row a point.
        labels: an integer for each point.
        train: the rows to fit; all the others are scored.
        l2: the weight on the squared coefficients, above 0.
        iterations: the most L-BFGS steps; scikit-learn warns when they are too few.

    Raises:
        InvalidInput: as `knn_accuracy`, or train rows of a single class.

    Example:
        >>> import numpy as np
        >>> z = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
        >>> linear_probe(z, np.array([0, 0, 0, 1, 1, 1]), train=np.array([0, 1, 3, 4]))
        1.0

    Source: Alain and Bengio 2016, "Understanding intermediate layers using linear
    classifier probes".
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    z = check.matrix("z", z)
    y = _classes("labels", labels, len(z))
    fit, rest = _split(train, len(z))
    several = len(np.unique(y[fit])) > 1
    check.require(several, "train", "rows of a single class", "rows of two or more")
    l2 = check.scalar("l2", l2, 0, above=True)
    steps = check.count("iterations", iterations, 1)
    probe = LogisticRegression(C=1 / l2, max_iter=steps)
    with threadpool_limits(1):  # its products are small: threads wait for each other
        model = make_pipeline(StandardScaler(), probe).fit(z[fit], y[fit])
    return float(model.score(z[rest], y[rest]))


def hungarian_accuracy(
    labels: Int[ArrayLike, " n"], clusters: Int[ArrayLike, " n"]
) -> float:
    """Accuracy of a clustering after the best matching of clusters to classes.

        max over one-to-one matchings m of  1/n sum_i [m(cluster_i) = label_i]

    Protocol: all rows; clusters matched one to one to classes by the assignment
    with the most hits. Clusters left over, when there are more of them than
    classes, count as errors.

    Args:
        labels: an integer for each point.
        clusters: likewise; the numbers need not agree with those of the labels.

    Raises:
        InvalidInput: other than two equally long vectors of integers.

    Example:
        >>> import numpy as np
        >>> hungarian_accuracy(np.array([0, 0, 1, 1]), np.array([7, 7, 7, 3]))
        0.75

    Source: Kuhn 1955, "The Hungarian method for the assignment problem".
    """
    return float(_right(labels, clusters).mean())


def matched(
    labels: Int[ArrayLike, " n"], clusters: Int[ArrayLike, " n"]
) -> Int[np.ndarray, " n"]:
    """The class that each point's cluster is matched with.

        m(cluster_i), -1 for a cluster left over;  m as in `hungarian_accuracy`

    Protocol: all rows; clusters matched one to one to classes by the assignment with
    the most hits, those left over with -1. Clusters are left over where there are more
    of them than classes.

    Args:
        labels: an integer for each point, other than -1.
        clusters: likewise; the numbers need not agree with those of the labels.

    Raises:
        InvalidInput: other than two equally long vectors of integers, or labels that
            int64 cannot tell from -1.

    Example:
        >>> import numpy as np
        >>> matched(np.array([4, 4, 8, 8]), np.array([7, 7, 3, 5]))
        array([ 4,  4,  8, -1])

    Source: Kuhn 1955, "The Hungarian method for the assignment problem".
    """
    y, c = _partitions(labels, clusters)
    values = np.unique(check.integers("labels", labels))
    distinct = -1 not in values and values[-1] < 2**63
    got = f"labels from {values[0]} to {values[-1]}"
    expected = "int64 numbers other than -1, the mark of a cluster left over"
    check.require(distinct, "labels", got, expected)
    # The index -1, of clusters left over, is that of the number put last.
    return np.append(values.astype(np.int64), -1)[_matching(y, c)[1][c]]


def confusion(
    labels: Int[ArrayLike, " n"], clusters: Int[ArrayLike, " n"]
) -> Int[np.ndarray, "classes clusters"]:
    """How many points of each class are in each cluster.

        counts_yc = |{i: label_i = y, cluster_i = c}|

    Protocol: all rows; classes in increasing order, clusters in the order of the
    classes that they are matched with, those left over last. The matching is that of
    `hungarian_accuracy`, here on the diagonal; where clusters are fewer than classes,
    it steps down past the classes without one.

    Args:
        labels: an integer for each point.
        clusters: likewise; the numbers need not agree with those of the labels.

    Raises:
        InvalidInput: other than two equally long vectors of integers.

    Example:
        >>> import numpy as np
        >>> confusion(np.array([0, 0, 1, 1]), np.array([7, 7, 7, 3]))
        array([[2, 0],
               [1, 1]])

    Source: Kuhn 1955, "The Hungarian method for the assignment problem".
    """
    counts, match = _matching(*_partitions(labels, clusters))
    last = np.where(match < 0, len(counts), match)
    return counts[:, np.argsort(last, stable=True)]


def reliability(
    labels: Int[ArrayLike, " n"],
    clusters: Int[ArrayLike, " n"],
    confidence: Real[ArrayLike, " n"],
    *,
    bins: int = 10,
) -> Reliability:
    """How often a clustering is right where it is so confident.

        bin b: (b-1)/bins < confidence_i <= b/bins, the first one from 0
        confidence_b, accuracy_b: the means of confidence_i and
        [m(cluster_i) = label_i] in b;  m as in `hungarian_accuracy`

    Protocol: all rows; 10 bins of equal width of the confidence, empty ones left out;
    right where the label is the class matched with the cluster.

    Args:
        labels: an integer for each point.
        clusters: likewise; the numbers need not agree with those of the labels.
        confidence: of each point in its cluster, from 0 to 1.
        bins: how many, empty ones included.

    Raises:
        InvalidInput: other than three equally long vectors, the first two of integers;
            a confidence outside [0, 1]; no bins.

    Example:
        >>> import numpy as np
        >>> labels, clusters = np.array([0, 0, 1, 1]), np.array([7, 7, 7, 3])
        >>> reliability(labels, clusters, np.array([1.0, 0.95, 0.5, 0.5])).accuracy
        array([0.5, 1. ])

    Source: Niculescu-Mizil and Caruana 2005, "Predicting good probabilities with
    supervised learning".
    """
    right = _right(labels, clusters)
    confidence = _confidences(confidence, len(right))
    edges = np.arange(1, check.size("bins", bins)) / bins
    filled, bin_of = np.unique(np.searchsorted(edges, confidence), return_inverse=True)
    count = np.bincount(bin_of)
    mean = lambda x: np.bincount(bin_of, x, len(filled)) / count
    return Reliability(mean(confidence), mean(right), count)


def calibration_error(
    labels: Int[ArrayLike, " n"],
    clusters: Int[ArrayLike, " n"],
    confidence: Real[ArrayLike, " n"],
    *,
    bins: int = 10,
) -> float:
    """How far a clustering's confidence is from how often it is right; 0 is best.

        sum_b n_b/n |accuracy_b - confidence_b|,  the bins of `reliability`

    Protocol: all rows; 10 bins of equal width of the confidence; right where the label
    is the class matched with the cluster. Clusters left over count as errors.

    Args:
        labels: an integer for each point.
        clusters: likewise; the numbers need not agree with those of the labels.
        confidence: of each point in its cluster, from 0 to 1.
        bins: how many, empty ones included.

    Raises:
        InvalidInput: as `reliability`.

    Example:
        >>> import numpy as np
        >>> labels, clusters = np.array([0, 0, 1, 1]), np.array([7, 7, 7, 3])
        >>> calibration_error(labels, clusters, np.array([0.75, 0.75, 0.75, 0.75]))
        0.0

    Source: Guo et al. 2017, "On calibration of modern neural networks".
    """
    found = reliability(labels, clusters, confidence, bins=bins)
    gap = abs(found.accuracy - found.confidence)
    return float(found.count @ gap / found.count.sum())


def nmi(labels: Int[ArrayLike, " n"], clusters: Int[ArrayLike, " n"]) -> float:
    """Mutual information of classes and clusters, as a share of their entropies.

        2 I(labels; clusters) / (H(labels) + H(clusters))

    Protocol: all rows; mutual information over the mean of the two entropies. Not
    adjusted for chance: it grows with the number of clusters.

    Args:
        labels: an integer for each point.
        clusters: likewise.

    Raises:
        InvalidInput: other than two equally long vectors of integers.

    Example:
        >>> import numpy as np
        >>> nmi(np.array([0, 0, 1, 1]), np.array([1, 0, 1, 0]))
        0.0

    Source: Strehl and Ghosh 2002, "Cluster ensembles" (with the arithmetic mean).
    """
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(*_partitions(labels, clusters)))


def ari(labels: Int[ArrayLike, " n"], clusters: Int[ArrayLike, " n"]) -> float:
    """How many pairs classes and clusters agree on, beyond chance.

        (Rand - E Rand) / (1 - E Rand),  E over shuffles of fixed sizes

    Protocol: all rows; Rand index of pairs, adjusted so that chance is 0. May be
    negative, for worse than chance.

    Args:
        labels: an integer for each point.
        clusters: likewise.

    Raises:
        InvalidInput: other than two equally long vectors of integers.

    Example:
        >>> import numpy as np
        >>> ari(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
        1.0

    Source: Hubert and Arabie 1985, "Comparing partitions".
    """
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(*_partitions(labels, clusters)))


def alignment(
    a: Real[ArrayLike, "n d"], b: Real[ArrayLike, "n d"], *, power: float = 2
) -> float:
    """How close the two views of a point are on the sphere; 0 is best.

        1/n sum_i ||a_i/|a_i| - b_i/|b_i| ||^power

    Protocol: all pairs of rows scaled to length 1; mean distance to the power 2.

    Args:
        a: one view of each point, one row a point.
        b: another view of the same points, in the same order.
        power: of the distance, above 0.

    Raises:
        InvalidInput: shapes that differ, a row of length 0, a power of 0 or less.

    Example:
        >>> import numpy as np
        >>> alignment(np.eye(2), np.eye(2)[::-1])
        2.0

    Source: Wang and Isola 2020, "Understanding contrastive representation learning
    through alignment and uniformity on the hypersphere".
    """
    a, b = check.matrix("a", a), check.matrix("b", b)
    check.require(a.shape == b.shape, "b", b.shape, f"the shape of a, {a.shape}")
    power = check.scalar("power", power, 0, above=True)
    square = ((_unit("a", a) - _unit("b", b)) ** 2).sum(1)
    # Not sqrt then power: 2 is the usual one, and this leaves it exact.
    return float((square ** (power / 2)).mean())


def uniformity(z: Real[ArrayLike, "n d"], *, t: float = 2) -> float:
    """How evenly points spread over the sphere; 0 is a single point, lower is better.

        log 1/(n(n-1)) sum_{i != j} exp(-t ||z_i/|z_i| - z_j/|z_j| ||²)

    Protocol: all ordered pairs i != j of rows scaled to length 1, t=2; exact, in
    blocks of rows, at any n.

    Args:
        z: features, one row a point.
        t: how sharply near pairs count, above 0.

    Raises:
        InvalidInput: fewer than two rows, a row of length 0, t of 0 or less.

    Example:
        >>> import numpy as np
        >>> uniformity(np.array([[1.0, 0.0], [-1.0, 0.0]]))
        -8.0

    Source: Wang and Isola 2020, "Understanding contrastive representation learning
    through alignment and uniformity on the hypersphere".
    """
    from scipy.special import logsumexp

    z = _unit("z", check.matrix("z", z))
    t, n = check.scalar("t", t, 0, above=True), len(z)
    sums = [logsumexp(-t * _squares(z, rows)) for rows in _blocks(n)]
    return float(logsumexp(sums) - np.log(n * (n - 1)))


def cluster_entropy(clusters: Int[ArrayLike, " n"]) -> float:
    """Entropy of the cluster sizes: how many clusters are really used.

        H = -sum_c n_c/n log n_c/n;  exp(H) is the effective number of clusters

    Protocol: all rows; nats. 0 is collapse onto a single cluster, log C is C equal
    ones.

    Args:
        clusters: an integer for each point.

    Raises:
        InvalidInput: other than a vector of integers.

    Example:
        >>> import math, numpy as np
        >>> math.exp(cluster_entropy(np.array([0, 1, 2, 3])))
        4.0
        >>> cluster_entropy(np.array([5, 5, 5, 5]))
        0.0

    Source: Hill 1973, "Diversity and evenness" (the number of order 1).
    """
    sizes = np.bincount(_classes("clusters", clusters))
    share = sizes / sizes.sum()
    return float(share @ np.log(1 / share))


def importance_bound(p, q, *, rows: int = 256) -> Float[Array, " n"]:
    """How likely each anchor is at least, by the samples of its cloud.

        log 1/S sum_s q(x_i, z_s) / p_i(z_s),  z_s ~ p_i

    Protocol: each row; as many samples as p draws of it; nats. In the mean it is from
    -kl(p, q), which it is at one sample, up to log q(x_i), and rises with S.

    Args:
        p: a cloud that is sampled, `icon.normal(mean, std, key, samples=S)`.
        q: a density over the same anchors.
        rows: how many anchors are evaluated at once.

    Raises:
        InvalidInput: rows < 1, p and q over different anchors.

    Example:
        >>> import icon, jax, jax.numpy as jnp
        >>> x, half = jnp.ones((3, 1)), 0.5**0.5  # z ~ N(0, 1), x ~ N(z, 1)
        >>> def log_joint(params, x, z):
        ...     normal = jax.scipy.stats.norm.logpdf
        ...     return jnp.sum(normal(z) + normal(x, z))
        >>> p = icon.normal(x / 2, half, jax.random.key(0), samples=5)
        >>> evidence = jax.scipy.stats.norm.logpdf(1.0, 0.0, 2**0.5)
        >>> bound = jax.jit(importance_bound)(p, icon.density(log_joint, (), x))
        >>> bool(jnp.allclose(bound, evidence))  # p is the posterior
        True

    Source: Burda et al. 2016, "Importance weighted autoencoders".
    """
    rows = check.size("rows", rows)
    got = f"{p.shape[0]} and {q.shape[0]} anchors"
    check.require(p.shape[0] == q.shape[0], "q", got, "the anchors of p")

    def bound(i):
        at, weight = p.support(i)
        ratio = q.score(i, at) - (p.score(i, at) - p.log_mass(i))
        return jax.nn.logsumexp(jnp.log(weight) + ratio)

    return jax.lax.map(bound, jnp.arange(p.shape[0]), batch_size=rows)


def amari_error(
    unmixing: Real[ArrayLike, "d d"], mixing: Real[ArrayLike, "d d"]
) -> float:
    """How far independent sources are from being found.

        P = |W A|:  1/(2 d (d - 1)) [sum_i (sum_j P_ij / max_j P_ij - 1)
                                     + sum_j (sum_i P_ij / max_i P_ij - 1)]

    Protocol: rows and columns scaled, each by its largest entry; 0 where each
    source is found once, in any order and of any size, at most 1.

    Args:
        unmixing: W, from what was mixed to the sources.
        mixing: A, from the sources to what was mixed; d of 2 or more.

    Raises:
        InvalidInput: matrices that are not square, of other sizes, or whose product has
            a row or a column of zeros.

    Example:
        >>> import numpy as np
        >>> amari_error(np.array([[0.0, 2.0], [1.0, 0.0]]), np.eye(2))
        0.0

    Source: Amari, Cichocki and Yang 1996, "A new learning algorithm for blind signal
    separation".
    """
    w, a = check.matrix("unmixing", unmixing), check.matrix("mixing", mixing)
    d = len(w)
    check.require(w.shape == (d, d), "unmixing", f"shape {w.shape}", "a square matrix")
    check.require(a.shape == (d, d), "mixing", f"shape {a.shape}", f"a matrix {(d, d)}")
    product = np.abs(w @ a)
    rows, columns = (product.max(axis) for axis in (1, 0))
    least = min(rows.min(), columns.min())
    check.require(least > 0, "unmixing", "a product of zeros", "matrices of full rank")
    total = (product / rows[:, None]).sum() + (product / columns).sum()
    return float((total - 2 * d) / (2 * d * (d - 1)))


def leave_out(
    counts: Real[ArrayLike, "n items"], *, share: float = 0.2, seed: int = 0
) -> tuple[Real[np.ndarray, "n items"], Real[np.ndarray, "n items"]]:
    """What is learned from, and what is left out to be recommended: counts in two.

        counts = kept + left_out,  each entry whole in one of them

    Protocol: of every row with two entries or more a fifth of them, rounded, at least
    one, at random.

    Args:
        counts: from 0, dense.
        share: of the entries of a row that is left out, above 0 and below 1.
        seed: decides which.

    Raises:
        InvalidInput: no matrix of finite numbers, negative ones, a share of 0 or 1.

    Example:
        >>> import numpy as np
        >>> kept, left_out = leave_out(np.ones((2, 5)))
        >>> kept.sum(1).tolist(), left_out.sum(1).tolist()
        ([4.0, 4.0], [1.0, 1.0])

    Source: Liang et al. 2018, "Variational autoencoders for collaborative filtering"
    (there for users who are not learned from).
    """
    table = check.matrix("counts", counts)
    check.require((table >= 0).all(), "counts", table.min(), "numbers from 0")
    share = check.scalar("share", share, 0, above=True)
    check.require(share < 1, "share", share, "a number above 0 and below 1")
    rng = np.random.default_rng(check.seed("seed", seed))
    draw = np.where(table > 0, rng.random(table.shape), np.inf)
    place, size = np.argsort(np.argsort(draw, 1), 1), (table > 0).sum(1)
    count = np.where(size < 2, 0, np.maximum(1, np.rint(share * size)))
    left_out = np.where(place < np.minimum(count, size - 1)[:, None], table, 0)
    return table - left_out, left_out


def recall(
    scores: Real[ArrayLike, "n items"],
    left_out: Real[ArrayLike, "n items"],
    seen: Real[ArrayLike, "n items"],
    *,
    k: int = 20,
) -> float:
    """How much of what was left out is recommended.

        mean_u |top_k(u) ∩ left_out_u| / min(k, |left_out_u|)

    Protocol: the k=20 highest scores of every row among the items it has not seen; hits
    over the smaller of k and what was left out; the mean over rows with some. Of equal
    scores the earlier item comes first.

    Args:
        scores: how much each row is thought to want each item.
        left_out: above 0 where it did: what `leave_out` left out.
        seen: above 0 what it has already, and what is not recommended.
        k: how many are recommended, below the number of items.

    Raises:
        InvalidInput: matrices of other shapes, nothing left out, too large a k.

    Example:
        >>> import numpy as np
        >>> scores, item = np.array([[3.0, 2.0, 1.0]] * 2), np.eye(3)
        >>> recall(scores, left_out=item[[1, 2]], seen=item[[0, 0]], k=1)
        0.5

    Source: Liang et al. 2018, "Variational autoencoders for collaborative filtering".
    """
    hits, most, _ = _recommended(scores, left_out, seen, k)
    return float((hits.sum(1) / most).mean())


def ndcg(
    scores: Real[ArrayLike, "n items"],
    left_out: Real[ArrayLike, "n items"],
    seen: Real[ArrayLike, "n items"],
    *,
    k: int = 20,
) -> float:
    """How far up in a recommendation what was left out stands.

        mean_u  sum_{r <= k} [item at place r left out] / log2(1 + r)
                over the same with all that was left out first

    Protocol: the k=20 highest scores of every row among the items it has not seen;
    gain 1 / log2(1 + place) over that of the best order; the mean over rows with some.

    Args:
        scores: how much each row is thought to want each item.
        left_out: above 0 where it did: what `leave_out` left out.
        seen: above 0 what it has already, and what is not recommended.
        k: how many are recommended, below the number of items.

    Raises:
        InvalidInput: as `recall`.

    Example:
        >>> import numpy as np
        >>> scores, item = np.array([[3.0, 2.0, 1.0]] * 2), np.eye(3)
        >>> ndcg(scores, left_out=item[[1, 2]], seen=item[[0, 0]], k=1)
        0.5

    Source: Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR
    techniques".
    """
    hits, most, k = _recommended(scores, left_out, seen, k)
    gain = 1 / np.log2(2 + np.arange(k))
    return float((hits @ gain / np.cumsum(gain)[most - 1]).mean())


def _nearest(
    z: Float[np.ndarray, "n d"],
    k: int,
    metric: str = "euclidean",
    ask: Float[np.ndarray, "m d"] | None = None,
) -> Int[np.ndarray, "m k"]:
    """The k rows of z nearest to each row of `ask`, or of z itself without self."""
    from sklearn.neighbors import NearestNeighbors

    fitted = NearestNeighbors(n_neighbors=k, metric=metric).fit(z)
    return fitted.kneighbors(ask, return_distance=False)


def _recommended(
    scores: Any, left_out: Any, seen: Any, k: int
) -> tuple[Bool[np.ndarray, "r k"], Int[np.ndarray, " r"], int]:
    """Of rows with something left out: hits by place, the most there can be, and k."""
    scores = check.matrix("scores", scores)
    tables = dict(left_out=check.matrix("left_out", left_out))
    tables |= dict(seen=check.matrix("seen", seen))
    for name, table in tables.items():
        got, expected = f"shape {table.shape}", f"that of the scores, {scores.shape}"
        check.require(table.shape == scores.shape, name, got, expected)
    k = check.count("k", k, 1, scores.shape[1] - 1)
    wanted = tables["left_out"] > 0
    some = wanted.any(1)
    check.require(some.any(), "left_out", "nothing above 0", "an entry in some row")
    scores = np.where(tables["seen"] > 0, -np.inf, scores)[some]
    top = np.argsort(-scores, 1, kind="stable")[:, :k]
    most = np.minimum(k, wanted[some].sum(1))
    return np.take_along_axis(wanted[some], top, 1), most, k


def _hits(votes: Int[np.ndarray, "m k"], truth: Int[np.ndarray, " m"]) -> float:
    """The share of rows whose votes, nearest first, elect the truth."""
    count = np.zeros((len(votes), votes.max() + 1), int)
    np.add.at(count, (np.arange(len(votes))[:, None], votes), 1)
    # argmax takes the first of equals, and the votes are ordered by distance.
    best = np.take_along_axis(count, votes, 1).argmax(1)
    return float((votes[np.arange(len(votes)), best] == truth).mean())


def _blocks(n: int) -> Iterator[slice]:
    """Rows whose distances to all n points fit in one block of memory."""
    size = max(1, _ENTRIES // n)
    return (slice(start, start + size) for start in range(0, n, size))


def _squares(z: Float[np.ndarray, "n d"], rows: slice) -> Float[np.ndarray, "b n"]:
    """Squared distances of some rows to all rows; infinite to themselves."""
    from sklearn.metrics.pairwise import euclidean_distances

    square = euclidean_distances(z[rows], z, squared=True)
    here = np.arange(len(square))
    square[here, here + rows.start] = np.inf
    return square


def _excess(
    x: Float[np.ndarray, "n d"], near: Int[np.ndarray, "n k"], rows: slice
) -> int:
    """By how much the ranks in x of these rows' neighbors exceed k, summed."""
    square, near = _squares(x, rows), near[rows]
    distance = np.take_along_axis(square, near, 1)
    # A rank is one more than the number of strictly closer points.
    rank = np.stack([(square < d[:, None]).sum(1) + 1 for d in distance.T], 1)
    return int(np.maximum(0, rank - near.shape[1]).sum())


def _unit(argument: str, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows scaled to length 1."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    got = f"length 0 in row {int(length.argmin())}"
    check.require(length.all(), argument, got, "rows longer than 0")
    return x / length


def _same_rows(
    x: Any, z: Any
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n e"]]:
    """Two matrices of equally many rows."""
    x, z = check.matrix("x", x), check.matrix("z", z)
    check.require(len(x) == len(z), "z", f"{len(z)} rows", f"the {len(x)} rows of x")
    return x, z


def _classes(argument: str, ids: Any, n: int | None = None) -> Int[np.ndarray, " n"]:
    """Integers renumbered from 0; one for each of n rows where n is given."""
    return np.unique(check.integers(argument, ids, n), return_inverse=True)[1]


def _partitions(
    labels: Any, clusters: Any
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Two vectors of integers of one length."""
    y = _classes("labels", labels)
    return y, _classes("clusters", clusters, len(y))


def _matching(
    y: Int[np.ndarray, " n"], c: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, "classes clusters"], Int[np.ndarray, " clusters"]]:
    """The counts of classes in clusters; the class of each cluster, or -1."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((y.max() + 1, c.max() + 1), int)
    np.add.at(counts, (y, c), 1)
    match = np.full(counts.shape[1], -1)
    row, column = linear_sum_assignment(counts, maximize=True)
    match[column] = row
    return counts, match


def _right(labels: Any, clusters: Any) -> Bool[np.ndarray, " n"]:
    """Whether the class matched with a point's cluster is the point's own."""
    y, c = _partitions(labels, clusters)
    return _matching(y, c)[1][c] == y


def _confidences(x: Any, n: int) -> Float[np.ndarray, " n"]:
    """A number from 0 to 1 for each of n rows."""
    x = check.reals("confidence", x, np.float64)
    expected = f"a vector, one for each of {n} rows"
    check.require(x.shape == (n,), "confidence", f"shape {x.shape}", expected)
    outside = np.flatnonzero((x < 0) | (x > 1))
    got = f"{x[outside[0]]} at row {outside[0]}" if len(outside) else None
    check.require(not len(outside), "confidence", got, "numbers from 0 to 1")
    return x


def _split(train: Any, n: int) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " r"]]:
    """The train rows and the rows that are left."""
    mask = np.asarray(train).dtype == bool
    check.require(not mask, "train", "dtype bool", "row numbers: np.flatnonzero(mask)")
    rows = check.integers("train", train)
    outside = rows[(rows < 0) | (rows >= n)]
    got = int(outside[0]) if len(outside) else None
    check.require(not len(outside), "train", got, f"rows from 0 to {n - 1}")
    values, counts = np.unique(rows, return_counts=True)
    twice = f"row {values[counts.argmax()]} twice"
    check.require(counts.max() == 1, "train", twice, "each row at most once")
    check.require(
        len(rows) < n, "train", f"all {n} rows", "some rows left to be scored"
    )
    return rows, np.setdiff1d(np.arange(n), rows)
