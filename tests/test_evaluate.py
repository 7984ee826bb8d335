"""Does every metric equal its definition, and refuse what it cannot judge?"""

import inspect
import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from icon import evaluate
from icon._base.checks import InvalidInput


RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5))
Y = RNG.integers(0, 3, 60)
TRAIN = RNG.permutation(60)[:40]


def distances(a, b):
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))


def nearest(z, k):
    d = distances(z, z)
    np.fill_diagonal(d, np.inf)
    return np.argsort(d, axis=1)[:, :k]


def vote(order, labels):
    """Naive: count, and of the most frequent labels take the first in the order."""
    votes = [int(labels[j]) for j in order]
    most = max(votes.count(v) for v in votes)
    return next(v for v in votes if votes.count(v) == most)


# ------------------------------------------------------- neighbors


@pytest.mark.parametrize("k", [1, 5, 29])
def test_trustworthiness_is_scikit_learns(k):
    from sklearn.manifold import trustworthiness

    z = X[:, :2]
    found = evaluate.trustworthiness(X, z, k=k)
    assert found == pytest.approx(trustworthiness(X, z, n_neighbors=k), abs=1e-12)


def test_blocks_change_nothing(monkeypatch):
    z = X[:, :2]
    whole = evaluate.trustworthiness(X, z), evaluate.uniformity(X)
    monkeypatch.setattr(evaluate, "_ENTRIES", 7 * 60)
    blocked = evaluate.trustworthiness(X, z), evaluate.uniformity(X)
    assert blocked == pytest.approx(whole, rel=1e-14)


@pytest.mark.parametrize(
    "metric", [evaluate.trustworthiness, evaluate.neighborhood_recall]
)
def test_a_perfect_embedding_is_1_and_a_shuffled_one_chance(metric):
    x = RNG.normal(size=(400, 3))
    shuffled = metric(x, RNG.permutation(x))
    chance = {evaluate.trustworthiness: 0.5, evaluate.neighborhood_recall: 15 / 399}
    assert metric(x, 7 - 2 * x) == 1.0
    assert shuffled == pytest.approx(chance[metric], abs=0.03)


def test_neighborhood_recall_is_the_naive_loop():
    z, k = X[:, :2], 7
    pairs = zip(nearest(X, k), nearest(z, k), strict=True)
    naive = np.mean([len(set(a) & set(b)) / k for a, b in pairs])
    assert evaluate.neighborhood_recall(X, z, k=k) == pytest.approx(naive)


@pytest.mark.parametrize("k", [1, 2, 4, 10])
def test_knn_accuracy_is_the_naive_loop(k):
    hits = [vote(order, Y) == y for order, y in zip(nearest(X, k), Y, strict=True)]
    assert evaluate.knn_accuracy(X, Y, k=k) == pytest.approx(np.mean(hits))


@pytest.mark.parametrize("metric", evaluate.METRICS)
def test_knn_accuracy_on_rows_outside_train(metric):
    from scipy.spatial.distance import cdist

    rest = np.setdiff1d(np.arange(60), TRAIN)
    d = cdist(X[rest], X[TRAIN], metric.replace("manhattan", "cityblock"))
    votes = [vote(row, Y[TRAIN]) for row in np.argsort(d, axis=1)[:, :6]]
    found = evaluate.knn_accuracy(X, Y, k=6, train=TRAIN, metric=metric)
    assert found == pytest.approx(np.mean(votes == Y[rest]))


def test_a_tie_goes_to_the_nearest():
    z = np.array([[0.0], [1.0], [-1.5], [9.0]])
    found = evaluate.knn_accuracy(
        z, np.array([5, 5, 8, 8]), k=2, train=np.array([1, 2, 3])
    )
    assert found == 1.0


def test_points_that_coincide_do_not_vote_for_themselves():
    z = np.zeros((4, 2))
    assert evaluate.knn_accuracy(z, np.array([0, 1, 2, 3]), k=3) == 0.0


def test_labels_may_be_any_integers():
    renamed = np.array([-7, 10**12, 4])[Y]
    assert evaluate.knn_accuracy(X, renamed) == evaluate.knn_accuracy(X, Y)


def test_jax_arrays_of_half_precision_are_read():
    z = jnp.arange(10.0, dtype=jnp.bfloat16)[:, None]
    assert evaluate.trustworthiness(z, z, k=2) == 1.0
    t = jnp.asarray(0.5)
    assert evaluate.uniformity(X, t=t) == evaluate.uniformity(X, t=0.5)


# ------------------------------------------------------- probes


def test_linear_probe_separates_and_does_not_cheat():
    z = np.concatenate([X + 20 * (Y == c)[:, None] for c in range(3)], axis=1)
    shuffled = RNG.permutation(Y)
    assert evaluate.linear_probe(z, Y, train=TRAIN) == 1.0
    assert evaluate.linear_probe(z, shuffled, train=TRAIN) < 0.75


def test_linear_probe_ignores_the_scale_of_a_feature():
    scaled = evaluate.linear_probe(X * 10.0 ** np.arange(5), Y, train=TRAIN)
    assert scaled == evaluate.linear_probe(X, Y, train=TRAIN)


def test_linear_probe_counts_an_unseen_class_as_errors():
    z = np.array([[0.0], [0.1], [9.0], [9.1], [0.0], [9.0], [4.0], [4.1]])
    labels = np.array([0, 0, 1, 1, 0, 1, 2, 2])
    assert evaluate.linear_probe(z, labels, train=np.arange(4)) == 0.5


def test_strong_l2_leaves_only_the_majority():
    z, labels = np.array([[0.0], [0.1], [0.2], [9.0], [8.0]]), np.array([0, 0, 0, 1, 1])
    train = np.arange(4)
    assert evaluate.linear_probe(z, labels, train=train, l2=0.01) == 1.0
    assert evaluate.linear_probe(z, labels, train=train, l2=1e6) == 0.0


# ------------------------------------------------------- clusterings


@pytest.mark.parametrize("count", [2, 3, 4])
def test_hungarian_is_the_best_of_all_permutations(count):
    clusters = RNG.integers(0, count, 60)
    ways = itertools.permutations(range(max(count, 3)), count)
    best = max(np.mean(np.array(way)[clusters] == Y) for way in ways)
    assert evaluate.hungarian_accuracy(Y, clusters) == pytest.approx(best)


def test_a_renamed_clustering_is_perfect():
    renamed = np.array([40, -1, 7])[Y]
    for metric in (evaluate.hungarian_accuracy, evaluate.nmi, evaluate.ari):
        assert metric(Y, renamed) == pytest.approx(1.0)


def test_nmi_by_hand():
    a, b = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    joint = {(0, 0): 0.5, (0, 1): 0.25, (1, 1): 0.25}
    pa, pb = [0.75, 0.25], [0.5, 0.5]
    shared = sum(p * math.log(p / (pa[i] * pb[j])) for (i, j), p in joint.items())
    entropies = sum(-p * math.log(p) for p in pa + pb)
    assert evaluate.nmi(a, b) == pytest.approx(2 * shared / entropies)


def test_ari_by_hand():
    # Of 6 pairs, 1 is joined in both; 3 and 2 are joined in either.
    a, b = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    expected = 3 * 2 / 6
    assert evaluate.ari(a, b) == pytest.approx((1 - expected) / (2.5 - expected))


def test_cluster_entropy_by_hand():
    sizes = np.array([0, 0, 3, 9])
    by_hand = 0.5 * math.log(2) + 2 * 0.25 * math.log(4)
    assert evaluate.cluster_entropy(sizes) == pytest.approx(by_hand)


# ------------------------------------------------------- matched clusters


def noisy(count):
    """Clusters that mostly follow the classes, renumbered, up to `count` of them."""
    names = RNG.permutation(1000)[:count] - 500
    wrong = RNG.random(60) < 0.4
    return names[np.where(wrong, RNG.integers(0, count, 60), Y % count)]


def best_hits(labels, clusters):
    """The most hits of all one-to-one matchings, tried one by one."""
    found = sorted(set(clusters.tolist()))
    left_over = [None] * len(found)
    hits = []
    for way in itertools.permutations([*sorted(set(labels.tolist())), *left_over]):
        match = dict(zip(found, way, strict=False))
        pairs = zip(labels.tolist(), clusters.tolist(), strict=True)
        hits.append(sum(match[c] == y for y, c in pairs))
    return max(hits)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_each_cluster_is_matched_with_one_class(count):
    labels, clusters = np.array([-7, 10**12, 4])[Y], noisy(count)
    match = evaluate.matched(labels, clusters)
    pairs = set(zip(clusters.tolist(), match.tolist(), strict=True))
    taken = [y for _, y in pairs if y != -1]
    assert len(pairs) == len(set(clusters.tolist())) == count
    assert len(taken) == len(set(taken)) == min(3, count)
    assert (match == labels).sum() == best_hits(labels, clusters)
    accuracy = evaluate.hungarian_accuracy(labels, clusters)
    assert accuracy == pytest.approx((match == labels).mean())


def test_classes_of_unsigned_integers_are_marked_with_minus_one():
    match = evaluate.matched(np.array([3, 3, 9], np.uint8), [0, 0, 0])
    assert match.tolist() == [3, 3, 3]
    match = evaluate.matched(np.array([255, 255, 255], np.uint8), [0, 0, 1])
    assert match.tolist() == [255, 255, -1]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_confusion_is_the_naive_count(count):
    clusters = noisy(count)
    match = dict(zip(clusters.tolist(), evaluate.matched(Y, clusters), strict=True))
    # a cluster left over comes after all classes
    columns = sorted(match, key=lambda c: (match[c] == -1, match[c], c))
    naive = [
        [
            sum(y == row and c == column for y, c in zip(Y, clusters, strict=True))
            for column in columns
        ]
        for row in range(3)
    ]
    assert evaluate.confusion(Y, clusters).tolist() == naive


def test_the_matching_is_on_the_diagonal():
    counts = evaluate.confusion(Y, noisy(5))
    assert counts.shape == (3, 5) and counts.sum() == 60
    renamed = np.array([40, -1, 7])[Y]
    assert evaluate.confusion(Y, renamed).tolist() == np.diag(np.bincount(Y)).tolist()


def bins_of(confidence, bins):
    """The rows of each bin, one confidence at a time; its upper edge is in it."""
    rows = [[] for _ in range(bins)]
    for i, p in enumerate(confidence.tolist()):
        b = 0
        while p > (b + 1) / bins:
            b += 1
        rows[b].append(i)
    return [each for each in rows if each]


@pytest.mark.parametrize("bins", [1, 7, 10, 300])
def test_reliability_is_the_naive_loop(bins):
    clusters = noisy(4)
    edges = np.arange(11) / 10
    confidence = np.concatenate([edges, RNG.random(49) ** 0.2])
    right = evaluate.matched(Y, clusters) == Y
    found = evaluate.reliability(Y, clusters, confidence, bins=bins)
    rows = bins_of(confidence, bins)
    assert found.count.tolist() == [len(each) for each in rows]
    for b, each in enumerate(rows):
        mean = sum(confidence[i] for i in each) / len(each)
        assert found.confidence[b] == pytest.approx(mean)
        assert found.accuracy[b] == pytest.approx(sum(right[each]) / len(each))


@pytest.mark.parametrize("bins", [1, 10])
def test_calibration_error_is_the_naive_sum(bins):
    clusters, confidence = noisy(5), RNG.random(60)
    right = evaluate.matched(Y, clusters) == Y
    error = 0.0
    for each in bins_of(confidence, bins):
        accuracy = sum(right[i] for i in each) / len(each)
        error += len(each) / 60 * abs(accuracy - sum(confidence[each]) / len(each))
    found = evaluate.calibration_error(Y, clusters, confidence, bins=bins)
    assert found == pytest.approx(error)


def test_the_usual_bins_are_ten():
    confidence = RNG.random(60)
    usual = evaluate.reliability(Y, Y, confidence)
    assert usual.count.tolist() == [len(each) for each in bins_of(confidence, 10)]
    error = evaluate.calibration_error(Y, Y, confidence)
    assert error == evaluate.calibration_error(Y, Y, confidence, bins=10)


def test_a_clustering_as_sure_as_it_is_right_is_calibrated():
    assert evaluate.calibration_error(Y, (Y + 1) % 3, np.ones(60)) == 0
    assert evaluate.calibration_error(Y, (Y + 1) % 3, np.zeros(60)) == 1
    half = jnp.full(60, 0.5, jnp.float32)
    assert evaluate.calibration_error(Y, Y, half) == 0.5


# ------------------------------------------------------- the sphere


def test_alignment_is_the_naive_mean():
    a, b = X[:30], X[30:]
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    length = np.linalg.norm(unit(a) - unit(b), axis=1)
    assert evaluate.alignment(a, b) == pytest.approx((length**2).mean())
    assert evaluate.alignment(a, b, power=1) == pytest.approx(length.mean())
    assert evaluate.alignment(a, 5 * a) == pytest.approx(0)


@pytest.mark.parametrize("t", [0.5, 2, 400])
def test_uniformity_is_the_naive_mean(t):
    z = X / np.linalg.norm(X, axis=1, keepdims=True)
    pairs = [
        -t * ((z[i] - z[j]) ** 2).sum() for i in range(60) for j in range(60) if i != j
    ]
    largest = max(pairs)
    naive = largest + math.log(np.mean(np.exp(np.array(pairs) - largest)))
    assert evaluate.uniformity(X, t=t) == pytest.approx(naive)


# ------------------------------------------------------- what is refused

E = evaluate
SURE = np.arange(60) / 60
NAN = np.where(np.arange(300).reshape(60, 5) == 17, np.nan, X)
REFUSED = {
    "a NaN, by its place": (E.knn_accuracy, (NAN, Y), {}, "z", "row 3, column 2"),
    "an infinity": (E.uniformity, (NAN * np.inf,), {}, "z", "row 0, column 0"),
    "a vector of points": (E.uniformity, (X[0],), {}, "z", "shape (5,)"),
    "one point": (E.uniformity, (X[:1],), {}, "z", "shape (1, 5)"),
    "words": (E.uniformity, (X.astype(str),), {}, "z", "dtype <U"),
    "complex numbers": (E.uniformity, (X + 1j,), {}, "z", "complex128"),
    "a ragged list": (E.uniformity, ([[1, 2], [3]],), {}, "z", "inhomogeneous"),
    "a mask": (E.uniformity, (np.ma.masked_greater(X, 1),), {}, "z", "masked"),
    "a sparse matrix": (E.uniformity, (sp.csr_array(X),), {}, "z", "sparse"),
    "rows that differ": (E.trustworthiness, (X, X[:9]), {}, "z", "9 rows"),
    "k of half": (E.trustworthiness, (X, X), {"k": 30}, "k", "1 to 29"),
    "k of n": (E.neighborhood_recall, (X, X), {"k": 60}, "k", "1 to 59"),
    "k of 0": (E.knn_accuracy, (X, Y), {"k": 0}, "k", "got 0"),
    "k of 2.0": (E.knn_accuracy, (X, Y), {"k": 2.0}, "k", "got 2.0"),
    "k of True": (E.knn_accuracy, (X, Y), {"k": True}, "k", "got True"),
    "k above train": (
        E.knn_accuracy,
        (X, Y),
        {"k": 41, "train": TRAIN},
        "k",
        "from 1 to 40",
    ),
    "a metric": (E.knn_accuracy, (X, Y), {"metric": "cos"}, "metric", "cosine"),
    "labels too short": (E.knn_accuracy, (X, Y[:7]), {}, "labels", "length 7"),
    "labels of floats": (E.knn_accuracy, (X, Y + 0.0), {}, "labels", "float64"),
    "labels in a matrix": (E.knn_accuracy, (X, Y[:, None]), {}, "labels", "(60, 1)"),
    "train outside": (E.knn_accuracy, (X, Y), {"train": [0, 60]}, "train", "got 60"),
    "train negative": (E.linear_probe, (X, Y), {"train": [-1]}, "train", "got -1"),
    "train twice": (E.linear_probe, (X, Y), {"train": [4, 4]}, "train", "row 4 twice"),
    "train a mask": (E.linear_probe, (X, Y), {"train": Y > 0}, "train", "flatnonzero"),
    "train is all": (
        E.linear_probe,
        (X, Y),
        {"train": np.arange(60)},
        "train",
        "all 60 rows",
    ),
    "train is empty": (E.knn_accuracy, (X, Y), {"train": []}, "train", "shape (0,)"),
    "one class": (
        E.linear_probe,
        (X, Y),
        {"train": np.flatnonzero(Y == 1)},
        "train",
        "single class",
    ),
    "l2 of 0": (E.linear_probe, (X, Y), {"train": TRAIN, "l2": 0}, "l2", "above 0"),
    "no iterations": (
        E.linear_probe,
        (X, Y),
        {"train": TRAIN, "iterations": 0},
        "iterations",
        "an integer from 1",
    ),
    "clusters too long": (E.nmi, (Y[:5], Y), {}, "clusters", "length 60"),
    "soft clusters": (E.ari, (Y, X), {}, "clusters", "shape (60, 5)"),
    "clusters of floats": (E.hungarian_accuracy, (Y, X[:, 0]), {}, "clusters", "float"),
    "matched too long": (E.matched, (Y[:5], Y), {}, "clusters", "length 60"),
    "a class of -1": (E.matched, (Y - 1, Y), {}, "labels", "from -1 to 1"),
    "a class beyond int64": (
        E.matched,
        (Y.astype(np.uint64) + np.uint64(2**63), Y),
        {},
        "labels",
        f"to {2**63 + 2}",
    ),
    "confused too long": (E.confusion, (Y[:5], Y), {}, "clusters", "length 60"),
    "confused floats": (E.confusion, (Y / 2, Y), {}, "labels", "float64"),
    "sure too short": (E.reliability, (Y, Y, SURE[:9]), {}, "confidence", "(9,)"),
    "sure of a matrix": (E.reliability, (Y, Y, X), {}, "confidence", "(60, 5)"),
    "sure above 1": (
        E.calibration_error,
        (Y, Y, np.where(np.arange(60) == 7, 1.5, SURE)),
        {},
        "confidence",
        "1.5 at row 7",
    ),
    "sure below 0": (
        E.reliability,
        (Y, Y, SURE - 0.5),
        {},
        "confidence",
        "-0.5 at row 0",
    ),
    "sure of NaN": (
        E.calibration_error,
        (Y, Y, SURE * np.nan),
        {},
        "confidence",
        "nan at row 0",
    ),
    "reliable too long": (
        E.calibration_error,
        (Y[:5], Y, SURE),
        {},
        "clusters",
        "length 60",
    ),
    "no bins": (E.reliability, (Y, Y, SURE), {"bins": 0}, "bins", "got 0"),
    "bins of 2.0": (E.calibration_error, (Y, Y, SURE), {"bins": 2.0}, "bins", "2.0"),
    "no clusters": (E.cluster_entropy, ([],), {}, "clusters", "shape (0,)"),
    "views that differ": (E.alignment, (X, X[:, :3]), {}, "b", "(60, 3)"),
    "a row of zeros": (E.alignment, (X, 0 * X), {}, "b", "row 0"),
    "power of 0": (E.alignment, (X, X), {"power": 0}, "power", "above 0"),
    "t below 0": (E.uniformity, (X,), {"t": -1}, "t", "above 0"),
    "t of NaN": (E.uniformity, (X,), {"t": np.nan}, "t", "got nan"),
    "t in words": (E.uniformity, (X,), {"t": "2"}, "t", "got '2'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    metric, args, options, argument, got = REFUSED[case]
    with pytest.raises(InvalidInput) as refusal:
        metric(*args, **options)
    assert refusal.value.argument == argument
    assert got in str(refusal.value)


# ------------------------------------------------------- recommendations


COUNTS = RNG.integers(0, 3, (40, 25))
COUNTS[0], COUNTS[1] = 0, 0
COUNTS[1, 3] = 2  # no entry, and one alone


def test_a_fifth_of_a_row_is_left_out_and_nothing_is_lost():
    kept, left_out = evaluate.leave_out(COUNTS, seed=3)
    assert np.array_equal(kept + left_out, COUNTS) and not (kept * left_out).any()
    entries, out = (COUNTS > 0).sum(1), (left_out > 0).sum(1)
    assert out[:2].tolist() == [0, 0]
    assert np.array_equal(out[2:], np.rint(0.2 * entries[2:]))
    again, other = (evaluate.leave_out(COUNTS, seed=s)[1] for s in (3, 4))
    assert np.array_equal(again, left_out) and (other != left_out).any()


def test_of_two_entries_one_is_left_out_and_never_all():
    two = np.array([[1.0, 1, 0], [1, 0, 1]])
    for share in (0.01, 0.99):
        _, left_out = evaluate.leave_out(two, share=share)
        assert left_out.sum(1).tolist() == [1, 1]


def recommended(scores, wanted, seen, k):
    """Hits by place, of one row, by sorting what is not seen."""
    items = [j for j in range(len(scores)) if not seen[j]]
    items.sort(key=lambda j: -scores[j])
    return [bool(wanted[j]) for j in items[:k]]


@pytest.mark.parametrize("k", [1, 5, 24])
def test_recall_and_ndcg_are_their_definitions(k):
    kept, left_out = evaluate.leave_out(COUNTS, share=0.4)
    scores = RNG.normal(size=COUNTS.shape)
    recalls, gains = [], []
    for row in zip(scores, left_out, kept, strict=True):
        most = min(k, int((row[1] > 0).sum()))
        if most:
            hits = recommended(*row, k)
            recalls.append(sum(hits) / most)
            best = sum(1 / math.log2(1 + r) for r in range(1, most + 1))
            found = [1 / math.log2(1 + r) for r, hit in enumerate(hits, 1) if hit]
            gains.append(sum(found) / best)
    args = scores, left_out, kept
    assert evaluate.recall(*args, k=k) == pytest.approx(np.mean(recalls), rel=1e-12)
    assert evaluate.ndcg(*args, k=k) == pytest.approx(np.mean(gains), rel=1e-12)


def test_ndcg_is_scikit_learns_where_nothing_was_seen():
    from sklearn.metrics import ndcg_score

    wanted = (COUNTS[2:] > 1).astype(float)
    scores = RNG.normal(size=wanted.shape)
    exact = ndcg_score(wanted, scores, k=7)
    found = evaluate.ndcg(scores, wanted, 0 * wanted, k=7)
    assert found == pytest.approx(exact, rel=1e-12)


def test_what_was_left_out_first_is_perfect_and_what_was_seen_is_not_recommended():
    kept, left_out = evaluate.leave_out(COUNTS)
    for measure in (evaluate.recall, evaluate.ndcg):
        assert measure(left_out + 9 * kept, left_out, kept, k=5) == 1
        assert measure(-left_out, left_out, kept, k=1) == 0


RECOMMENDED = np.ones((3, 4)), np.eye(3, 4), np.zeros((3, 4))


@pytest.mark.parametrize("measure", [evaluate.recall, evaluate.ndcg])
@pytest.mark.parametrize(
    "at, bad, argument",
    [
        (0, np.ones(4), "scores"),
        (1, np.ones((3, 5)), "left_out"),
        (1, np.zeros((3, 4)), "left_out"),
        (2, np.ones((2, 4)), "seen"),
        (2, np.full((3, 4), np.nan), "seen"),
    ],
)
def test_what_is_no_recommendation_is_refused(measure, at, bad, argument):
    given = [*RECOMMENDED]
    given[at] = bad
    with pytest.raises(InvalidInput) as refusal:
        measure(*given, k=2)
    assert refusal.value.argument == argument
    with pytest.raises(InvalidInput, match="^k: "):
        measure(*RECOMMENDED, k=4)


@pytest.mark.parametrize(
    "options, argument",
    [
        (dict(counts=-np.ones((2, 2))), "counts"),
        (dict(counts=np.ones(3)), "counts"),
        (dict(share=0.0), "share"),
        (dict(share=1.0), "share"),
        (dict(seed=-1), "seed"),
    ],
)
def test_what_cannot_be_left_out_is_refused(options, argument):
    with pytest.raises(InvalidInput) as refusal:
        evaluate.leave_out(**dict(counts=COUNTS) | options)
    assert refusal.value.argument == argument


# ------------------------------------------------------- sources


def test_the_amari_error_is_its_definition():
    w, a = RNG.normal(size=(2, 4, 4))
    p, d = abs(w @ a), 4
    by_rows = sum(sum(p[i, j] for j in range(d)) / max(p[i]) - 1 for i in range(d))
    by_columns = sum(
        sum(p[i, j] for i in range(d)) / max(p[:, j]) - 1 for j in range(d)
    )
    exact = (by_rows + by_columns) / (2 * d * (d - 1))
    assert evaluate.amari_error(w, a) == pytest.approx(exact, rel=1e-12)


def test_neither_the_order_nor_the_size_of_sources_counts_for_the_amari_error():
    mixing = RNG.normal(size=(4, 4))
    found = np.diag([2.0, -1, 0.1, 5])[[2, 0, 3, 1]] @ np.linalg.inv(mixing)
    assert evaluate.amari_error(found, mixing) < 1e-12
    assert evaluate.amari_error(np.ones((3, 3)), np.eye(3)) == 1


@pytest.mark.parametrize(
    "unmixing, mixing, argument",
    [
        (np.ones((2, 3)), np.eye(3), "unmixing"),
        (np.eye(3), np.eye(4), "mixing"),
        (np.diag([1.0, 0]), np.eye(2), "unmixing"),
        (np.eye(2) * np.nan, np.eye(2), "unmixing"),
    ],
)
def test_what_has_no_amari_error_is_refused(unmixing, mixing, argument):
    with pytest.raises(InvalidInput) as refusal:
        evaluate.amari_error(unmixing, mixing)
    assert refusal.value.argument == argument


# ------------------------------------------------------- protocols


def test_every_metric_states_its_protocol():
    public = [
        name
        for name, f in inspect.getmembers(evaluate, inspect.isfunction)
        if f.__module__ == evaluate.__name__ and not name.startswith("_")
    ]
    assert sorted(evaluate.PROTOCOL) == public
    for name in public:
        text = " ".join(inspect.getdoc(getattr(evaluate, name)).split())
        assert f"Protocol: {evaluate.PROTOCOL[name]}" in text
