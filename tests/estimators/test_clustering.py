"""Are the clusters good, the same every time, and is bad input refused?"""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

import icon
from icon.estimators import NeighborClustering
from icon.evaluate import ari, hungarian_accuracy


RNG = np.random.default_rng(0)
TRUTH = np.repeat(np.arange(4), [40, 30, 20, 10])
CENTERS = np.array([[5, 0, 0], [0, 5, 0], [0, 0, 5], [-5, -5, -5.0]])
X = CENTERS[TRUTH] + RNG.normal(size=(100, 3))


@pytest.fixture(scope="module")
def fitted():
    return NeighborClustering(4, random_state=0).fit(X)


def test_clear_clusters_are_found_the_largest_first(fitted):
    assert (fitted.labels_ == TRUTH).all()
    assert fitted.memberships_.shape == (100, 4) and fitted.n_neighbors_ == 6
    np.testing.assert_allclose(fitted.memberships_.sum(1), 1, rtol=1e-5)
    assert fitted.member_losses_.shape == (20,)
    assert fitted.loss_ <= np.median(fitted.member_losses_) + 1e-6
    assert fitted.embedding_ is None  # too few rows to lay out


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


def test_neither_the_unit_nor_the_place_nor_the_order_of_the_rows_matters():
    far = X + 3 * CENTERS[TRUTH]
    order = np.random.default_rng(2).permutation(100)
    other = NeighborClustering(4, random_state=0).fit_predict(1e9 * far[order] - 1e9)
    assert ari(TRUTH[order], other) == 1


def test_euclidean_distances_tell_what_angles_do_not():
    x = (
        np.outer(np.repeat([1.0, 10.0, 30.0], 20), [1, 1])
        + RNG.normal(size=(60, 2)) / 9
    )
    model = NeighborClustering(3, metric="euclidean", random_state=0)
    assert ari(np.repeat([0, 1, 2], 20), model.fit_predict(x)) == 1


def test_one_cluster_and_as_many_as_rows():
    assert set(NeighborClustering(1, random_state=0).fit_predict(X)) == {0}
    with pytest.warns(UserWarning, match="of 12 clusters have a row"):
        labels = NeighborClustering(12, random_state=0).fit_predict(X[:12])
    assert labels.shape == (12,) and len(np.unique(labels)) > 3


@pytest.mark.parametrize("x", [np.ones((20, 3)), np.repeat(X[:3], 10, 0)])
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
        ("random_state", dict(random_state="0"), X),
        ("X", {}, X[:1]),
        ("X", {}, np.where(np.arange(3) == 1, np.nan, X)),
        ("X", {}, X.astype(complex)),
        ("X", {}, X[0]),
    ],
)
def test_bad_input_is_refused_by_name(argument, settings, x):
    with pytest.raises(icon.InvalidInput, match=f"^{argument}: "):
        NeighborClustering(**dict(n_clusters=4) | settings).fit(x)


def test_new_rows_of_another_width_are_refused(fitted):
    with pytest.raises(icon.InvalidInput, match="^X: "):
        fitted.predict(X[:, :2])


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
