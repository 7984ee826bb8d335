"""Are the clusters good, the same every time, and is bad input refused?"""

import pickle

import numpy as np
import pytest
from cases import slow
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import icon
from icon.estimators import NeighborClustering
from icon.evaluate import ari, hungarian_accuracy
from icon.recipes import clustering, ensemble


RNG = np.random.default_rng(0)
TRUTH = np.repeat(np.arange(4), [40, 30, 20, 10])
CENTERS = np.array([[5, 0, 0], [0, 5, 0], [0, 0, 5], [-5, -5, -5.0]])
X = CENTERS[TRUTH] + RNG.normal(size=(100, 3))


@pytest.fixture(scope="module")
def fitted():
    return NeighborClustering(4, metric="cosine", random_state=0).fit(X)


def test_clear_clusters_are_found_the_largest_first(fitted):
    assert (fitted.labels_ == TRUTH).all()
    assert fitted.memberships_.shape == (100, 4) and fitted.n_neighbors_ == 6
    np.testing.assert_allclose(fitted.memberships_.sum(1), 1, rtol=1e-5)
    assert fitted.member_losses_.shape == (10,) and fitted.head_losses_ is None
    assert fitted.alpha_ == 0.9  # the graph is in four pieces: of finer ones none tells
    assert fitted.n_clusters_ == 4 and fitted.choice_ is None
    assert fitted.loss_ <= np.median(fitted.member_losses_) + 1e-6
    assert fitted.embedding_ is None  # too few rows to lay out


@pytest.mark.parametrize(
    ("sizes", "settings", "alpha"),
    [
        ([25, 25, 25, 25], {}, 0.9),
        ([70, 15, 10, 5], {}, 0.99),
        ([70, 15, 10, 5], dict(alpha=0.8), 0.8),
        ([20, 15, 10, 5], {}, 0.9),  # too few rows to tell
    ],
)
def test_alpha_is_chosen_by_how_even_clusters_are(sizes, settings, alpha):
    truth = np.repeat(np.arange(4), sizes)
    x = CENTERS[truth] + np.random.default_rng(5).normal(size=(len(truth), 3))
    model = NeighborClustering(4, random_state=0, **settings).fit(x)
    assert model.alpha_ == alpha


def test_a_large_cluster_is_not_cut_for_a_small_one():
    truth = np.repeat(np.arange(4), [240, 60, 30, 15])
    x = CENTERS[truth] + np.random.default_rng(6).normal(size=(len(truth), 3))
    model = NeighborClustering(4, random_state=0).fit(x)
    assert ari(truth, model.labels_) > 0.95
    even = NeighborClustering(4, alpha=0.9, random_state=0).fit(x)
    assert ari(truth, even.labels_) < ari(truth, model.labels_) - 0.1


@pytest.mark.parametrize(("clouds", "count"), [(8, 5), (6, 3)])
def test_more_clouds_than_clusters_are_merged_into_as_many(clouds, count):
    truth = np.repeat(np.arange(clouds), 40)
    centers = 20 * np.random.default_rng(7).normal(size=(clouds, 6))
    x = centers[truth] + np.random.default_rng(8).normal(size=(len(truth), 6))
    model = NeighborClustering(count, random_state=0).fit(x)
    assert (np.bincount(model.labels_, minlength=count) >= 40).all()
    assert model.alpha_ == 0.9  # which clouds are merged says nothing of their sizes


def test_new_rows_are_assigned(fitted):
    new = CENTERS[TRUTH] + np.random.default_rng(1).normal(size=(100, 3))
    assert (fitted.predict(new) == TRUTH).mean() > 0.97
    probability = fitted.predict_proba(new)
    np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-5)
    assert (fitted.predict_proba(new[:7]) == probability[:7]).all()
    assert (fitted.predict(X) == fitted.labels_).all()


def test_the_same_seed_gives_the_same_bits(fitted):
    again = clone(fitted).fit(X)
    assert (again.memberships_ == fitted.memberships_).all()
    assert (again.predict_proba(X) == fitted.predict_proba(X)).all()
    stored = pickle.loads(pickle.dumps(fitted))
    assert (stored.predict_proba(X) == fitted.predict_proba(X)).all()


@pytest.mark.parametrize("head", [None, slow("linear")])
def test_the_largest_seed_is_one_as_well(head):
    model = NeighborClustering(4, head=head, random_state=2**32 - 1).fit(X)
    assert ari(TRUTH, model.labels_) > 0.7


def test_neither_the_unit_nor_the_place_nor_the_order_of_the_rows_matters():
    far = X + 3 * CENTERS[TRUTH]
    order = np.random.default_rng(2).permutation(100)
    other = NeighborClustering(4, random_state=0).fit_predict(1e9 * far[order] - 1e9)
    assert ari(TRUTH[order], other) == 1


@pytest.mark.slow
def test_euclidean_distances_tell_what_angles_do_not():
    x = (
        np.outer(np.repeat([1.0, 10.0, 30.0], 20), [1, 1])
        + RNG.normal(size=(60, 2)) / 9
    )
    model = NeighborClustering(3, metric="euclidean", random_state=0)
    assert ari(np.repeat([0, 1, 2], 20), model.fit_predict(x)) == 1


def test_the_typical_rows_are_those_nearest_to_the_mean(fitted):
    x = X - X.mean(0)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    for c in range(4):
        inside = np.flatnonzero(TRUTH == c)
        far = np.linalg.norm(x[inside] - x[inside].mean(0), axis=1)
        assert set(fitted.typical_[c]) == set(inside[np.argsort(far)[:10]])


@pytest.mark.parametrize("head", ["linear", slow("mlp"), slow("free")])
def test_heads_give_the_clusters_of_the_lowest_loss(head):
    model = NeighborClustering(4, head=head, random_state=0).fit(X)
    assert model.head_losses_.shape == (4,)
    assert ari(TRUTH, model.labels_) > 0.7
    assert (model.predict(X) == model.labels_).mean() > 0.97
    q = icon.smooth(icon.clusters(model.memberships_), model.alpha_)
    loss = icon.kl(model.affinities_, q)
    assert model.head_losses_.min() == pytest.approx(float(loss), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("divergence", ["tv", "jsd", "hellinger"])
def test_a_head_may_follow_another_divergence_and_debias_p(divergence):
    settings = dict(head="linear", divergence=divergence, alpha_p=0.2)
    model = NeighborClustering(4, random_state=0, **settings).fit(X)
    assert ari(TRUTH, model.labels_) > 0.9 and model.samples_ is None
    verb = getattr(icon, divergence)
    q = icon.smooth(icon.clusters(model.memberships_), model.alpha_)
    loss = verb(icon.smooth(model.affinities_, 0.2), q)
    assert model.head_losses_.min() == pytest.approx(float(loss), abs=1e-4)


@pytest.mark.slow
def test_of_many_pairs_some_are_drawn(monkeypatch):
    monkeypatch.setattr(clustering, "PAIRS", 1)
    model = NeighborClustering(4, head="linear", alpha_p=0.2, random_state=0).fit(X)
    assert model.samples_ == clustering.DRAWN and ari(TRUTH, model.labels_) > 0.9


@pytest.mark.parametrize("neighbors", ["alike", "mutual", "shared", "within"])
def test_which_neighbors_count_is_a_choice(neighbors, fitted):
    settings = dict(neighbors=neighbors, walks=1, rounds=1)
    far = X + 2 * CENTERS[TRUTH]
    model = NeighborClustering(4, random_state=0, **settings).fit(far)
    assert ari(TRUTH, model.labels_) > 0.9
    p, other = icon.dense(model.affinities_), icon.dense(fitted.affinities_)
    assert abs(p - other).max() > 0.01
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)


@pytest.mark.slow
def test_of_several_numbers_the_most_stable_is_taken():
    far = X + 2 * CENTERS[TRUTH]
    model = NeighborClustering([2, 4, 9], random_state=0).fit(far)
    assert model.n_clusters_ == model.choice_.best == 4
    assert model.choice_.counts.tolist() == [2, 4, 9]
    assert ari(TRUTH, model.labels_) == 1


def test_a_few_known_labels_tell_apart_what_features_do_not():
    rng = np.random.default_rng(3)
    x, truth = rng.normal(size=(60, 3)), np.arange(60) % 2  # features say nothing
    known = np.where(np.arange(60) < 40, truth, -1)
    model = NeighborClustering(2, random_state=0).fit(x, known=known)
    rows = np.asarray(icon.dense(model.affinities_))
    same = truth[:40, None] == truth[None, :40]
    alone = np.asarray(icon.dense(NeighborClustering(2).fit(x).affinities_))
    assert (rows[:40, :40] * same).sum() > (alone[:40, :40] * same).sum() + 5
    assert ari(truth[:40], model.labels_[:40]) > 0.5


def test_p_is_the_mean_over_views():
    other = X + np.random.default_rng(4).normal(size=X.shape)
    model = NeighborClustering(4, random_state=0).fit(X, views=[other])
    one = NeighborClustering(4, random_state=0).fit(X)
    p, alone = icon.dense(model.affinities_), icon.dense(one.affinities_)
    assert (p[alone > 0] >= alone[alone > 0] / 2 - 1e-6).all()
    assert abs(p - alone).max() > 0.01 and ari(TRUTH, model.labels_) > 0.9


def test_of_many_rows_a_sample_is_averaged(monkeypatch):
    even = np.repeat(np.arange(4), 25)
    far = 3 * CENTERS[even] + np.random.default_rng(6).normal(size=(100, 3))
    monkeypatch.setattr(clustering, "MANY", 60)
    model = NeighborClustering(4, random_state=0).fit(far)
    assert (model.labels_ == even).all() and model.memberships_.shape == (100, 4)
    assert model.affinities_.shape == (100, 100)
    assert (model.predict(far) == even).all()


def test_a_sample_of_many_rows_is_laid_out(monkeypatch):
    monkeypatch.setattr(clustering, "MANY", 60)
    plane = lambda x, p, seed: [np.zeros((len(x), 2)), np.array(x[:, :2])]
    monkeypatch.setattr(ensemble, "layouts_of", plane)
    model = NeighborClustering(4, metric="euclidean", random_state=0).fit(X)
    rows = model.embedding_rows_
    assert rows.shape == (60,) and (np.diff(rows) > 0).all() and rows[-1] > 90
    x = X - X.mean(0)
    scale = x[rows, :2] / model.embedding_  # the unit that rows are computed in
    np.testing.assert_allclose(scale, scale[0, 0], rtol=1e-3)


def test_batches_follow_rows_that_drift():
    far = X + 2 * CENTERS[TRUTH]
    model = NeighborClustering(4, reservoir=99, random_state=0).partial_fit(far)
    first = model.labels_
    assert (first == TRUTH).all()
    turn = np.array([[np.cos(0.05), np.sin(0.05), 0], [-np.sin(0.05), np.cos(0.05), 0]])
    turn = np.vstack([turn, [0, 0, 1]])
    for _ in range(3):
        far = far @ turn
        model.partial_fit(far[::-1])
    assert ari(TRUTH[::-1], model.labels_) > 0.95
    assert (model.predict(far) == model.labels_[::-1]).all()


@pytest.mark.parametrize(
    ("lengths", "metric"), [(1, "cosine"), (1.009, "cosine"), (1.02, "euclidean")]
)
def test_rows_of_one_length_are_compared_by_their_direction(lengths, metric):
    x = X / np.linalg.norm(X, axis=1, keepdims=True)
    x[1::2] *= lengths
    model = NeighborClustering(4, random_state=0).fit(x)
    assert model.metric_ == metric
    other = dict(cosine="euclidean", euclidean="cosine")[metric]
    assert NeighborClustering(4, metric=other, random_state=0).fit(x).metric_ == other
    for unit in (1e200, 1e-200):
        assert NeighborClustering(4, random_state=0).fit(x * unit).metric_ == metric


@pytest.mark.parametrize(("scale", "most"), [(1, 1e-6), (0.5, 1e-3)])
def test_a_batch_brings_its_earlier_neighbors_along(scale, most):
    x = X + (scale - 1) * CENTERS[TRUTH]
    settings = dict(metric="cosine", reservoir=100, random_state=0)
    model = NeighborClustering(4, **settings).partial_fit(x)
    one_of_each = np.array([0, 40, 70, 90])  # no two of a cluster in any batch
    for k in range(6):
        model.partial_fit(x[one_of_each + k])
    # alone they would be taken for neighbours of each other: 5e-4 and more
    assert 1 - model.predict_proba(x).max(1).mean() < most


@pytest.mark.parametrize(("seed", "first", "moved"), [(0, 0.7, 0.4), (2, 1, 0.05)])
def test_what_is_kept_is_clustered_anew_under_the_same_numbers(seed, first, moved):
    rows = np.random.default_rng(seed).permutation(100)
    x, truth = X[rows], TRUTH[rows]
    model = NeighborClustering(4, metric="cosine", random_state=0).partial_fit(x[:16])
    assert ari(truth, model.predict(x)) < first  # so few tell little
    for at in range(16, 94, 6):
        before = model.predict(x)
        model.partial_fit(x[at : at + 6])
        assert (model.predict(x) != before).mean() < moved
        assert (model.predict(x[at : at + 6]) == model.labels_).all()
    assert ari(truth, model.predict(x)) > 0.95


@pytest.mark.parametrize("decay", [None, 0.9])
def test_shares_are_a_running_mean_over_batches(decay):
    model = NeighborClustering(4, size_decay=decay, random_state=0).partial_fit(X)
    expected = model.memberships_.astype(np.float64).mean(0)
    np.testing.assert_allclose(model.shares_, expected, rtol=1e-6)
    for batch, seen in ((X[::3], 134), (X[1:61], 194)):
        of_formula = 1 - len(batch) / seen  # below 50 rows of each of 4 clusters
        weight = of_formula if decay is None else decay
        model.partial_fit(batch)
        now = model.memberships_.astype(np.float64).mean(0)
        expected = weight * expected + (1 - weight) * now
        np.testing.assert_allclose(model.shares_, expected, rtol=1e-6)
        assert model.n_samples_seen_ == seen


@pytest.mark.slow
def test_one_cluster_and_as_many_as_rows():
    assert set(NeighborClustering(1, random_state=0).fit_predict(X)) == {0}
    with pytest.warns(UserWarning, match="of 12 clusters have a row"):
        labels = NeighborClustering(12, random_state=0).fit_predict(X[:12])
    assert labels.shape == (12,) and len(np.unique(labels)) > 3


@pytest.mark.parametrize("x", [slow(np.ones((20, 3))), np.repeat(X[:3], 10, 0)])
def test_rows_in_few_places_are_few_clusters_and_a_warning(x):
    with pytest.warns(UserWarning, match="of 5 clusters have a row"):
        model = NeighborClustering(5, random_state=0).fit(x)
    assert np.isfinite(model.memberships_).all()
    assert len(np.unique(model.labels_)) == len(np.unique(x, axis=0))


@pytest.mark.parametrize(
    ("argument", "settings", "x"),
    [
        ("n_clusters", dict(n_clusters=101), X),
        ("n_clusters", dict(n_clusters=0), X),
        ("n_clusters", dict(n_clusters=2.5), X),
        ("n_clusters", dict(n_clusters=True), X),
        ("n_neighbors", dict(n_neighbors=0), X),
        ("n_neighbors", dict(n_neighbors="5"), X),
        ("metric", dict(metric="cosin"), X),
        ("metric", dict(metric=len), X),
        ("alpha", dict(alpha=0.0), X),
        ("alpha", dict(alpha=1), X),
        ("alpha", dict(alpha=np.nan), X),
        ("swaps", dict(swaps=-1), X),
        ("size_decay", dict(size_decay=-0.1), X),
        ("size_decay", dict(size_decay=1), X),
        ("size_decay", dict(size_decay=np.nan), X),
        ("size_decay", dict(size_decay="0.5"), X),
        ("random_state", dict(random_state="0"), X),
        ("n_clusters", dict(n_clusters=[]), X),
        ("n_clusters", dict(n_clusters=[2, 0]), X),
        ("n_clusters", dict(n_clusters="4"), X),
        ("neighbors", dict(neighbors="near"), X),
        ("walks", dict(walks=-1), X),
        ("walks", dict(walks=1.0), X),
        ("rounds", dict(rounds=-1), X),
        ("head", dict(head="cnn"), X),
        ("head", dict(divergence="tv"), X),
        ("head", dict(alpha_p=0.1), X),
        ("divergence", dict(head="mlp", divergence="chi"), X),
        ("alpha_p", dict(head="mlp", alpha_p=1.5), X),
        ("alpha_p", dict(head="mlp", alpha_p=np.nan), X),
        ("X", {}, X[:1]),
        ("X", {}, np.where(np.arange(3) == 1, np.nan, X)),
        ("X", {}, X.astype(complex)),
        ("X", {}, X[0]),
    ],
)
def test_bad_input_is_refused_by_name(argument, settings, x):
    with pytest.raises(icon.InvalidInput, match=f"^{argument}: "):
        NeighborClustering(**dict(n_clusters=4) | settings).fit(x)


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("known", dict(known=np.zeros(99, int))),
        ("known", dict(known=np.zeros(100))),
        ("known", dict(known=np.full(100, -2))),
        ("views", dict(views=[X[:50]])),
        ("views", dict(views=[X[:, :2]])),
        ("views", dict(views=[np.full_like(X, np.nan)])),
    ],
)
def test_bad_labels_and_views_are_refused_by_name(argument, given):
    with pytest.raises(icon.InvalidInput, match=f"^{argument}: "):
        NeighborClustering(4).fit(X, **given)


def test_a_batch_that_is_refused_changes_nothing():
    model = NeighborClustering(4, random_state=0).partial_fit(X)
    before = model.predict_proba(X)
    refused = (("X", 0.5, X[:1]), ("alpha", 1.0, X), ("alpha", "x", X))
    for argument, alpha, batch in refused:
        with pytest.raises(icon.InvalidInput, match=f"^{argument}: "):
            model.set_params(alpha=alpha).partial_fit(batch)
    assert (model.predict_proba(X) == before).all() and model.n_samples_seen_ == 100


def test_new_rows_of_another_width_are_refused(fitted):
    with pytest.raises(icon.InvalidInput, match="^X: "):
        fitted.predict(X[:, :2])


@pytest.mark.parametrize("ask", ["predict", "predict_proba"])
def test_an_estimator_that_was_not_fitted_says_so(ask):
    with pytest.raises(NotFittedError):
        getattr(NeighborClustering(), ask)(np.eye(3))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* clusters have a row")
def test_it_is_an_estimator_by_scikit_learns_checks():
    from sklearn.utils.estimator_checks import check_estimator

    checks = check_estimator(NeighborClustering(), on_fail=None, on_skip=None)
    other = {x["check_name"]: x for x in checks if x["status"] != "passed"}
    # it is skipped unless the environment sets SCIPY_ARRAY_API
    assert set(other) <= {"check_array_api_input"}, other
    assert all(x["status"] == "skipped" for x in other.values())
    assert len(checks) > 40


@pytest.mark.slow
def test_digits_are_found():
    digits = icon.data.digits()
    model = NeighborClustering(10, random_state=0).fit(digits.features)
    assert hungarian_accuracy(digits.labels, model.labels_) >= 0.9
    assert model.embedding_.shape == (1797, 2)
    assert (model.predict(digits.features) == model.labels_).mean() > 0.98
