"""Is it what scikit-learn computes step by step, and does it place new rows?"""

import numpy as np
import pytest
from few_rows import N, X
from scipy.linalg import subspace_angles
from sklearn.cross_decomposition import PLSSVD
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.manifold import SpectralEmbedding as Eigenmaps
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KNeighborsClassifier

import icon
from icon.estimators import SpectralEmbedding


ROWS, LABELS = load_iris(return_X_y=True)


def plane(**options):
    return SpectralEmbedding(**dict(p="items", map="linear") | options)


def test_pca():
    model = plane(constraint="orthonormal").fit(ROWS)
    peer = PCA(2).fit(ROWS)
    found = np.abs(model.embedding_), np.abs(peer.transform(ROWS))
    np.testing.assert_allclose(*found, atol=1e-4)
    np.testing.assert_allclose(
        np.abs(model.components_), np.abs(peer.components_), atol=1e-6
    )
    np.testing.assert_allclose(model.loss_, model.values_.sum())
    assert "components" not in model.get_params()


def test_kernel_pca_of_new_rows():
    kernel = lambda a, b: rbf_kernel(a, b, gamma=0.3)
    model = plane(constraint="orthonormal", map=kernel).fit(ROWS[::2])
    peer = KernelPCA(2, kernel="rbf", gamma=0.3).fit(ROWS[::2])
    for own, other in zip(
        model.transform(ROWS[1::2]).T, peer.transform(ROWS[1::2]).T, strict=True
    ):
        assert abs(np.corrcoef(own, other)[0, 1]) > 1 - 1e-5


def test_labels_and_some_that_are_none():
    model = SpectralEmbedding(p="labels", map="linear").fit(ROWS, LABELS)
    peer = LinearDiscriminantAnalysis(solver="eigen").fit(ROWS, LABELS)
    assert subspace_angles(model.components_.T, peer.scalings_[:, :2]).max() < 1e-4
    few = np.where(np.arange(len(LABELS)) % 5 == 0, LABELS, -1)
    some = SpectralEmbedding(p="labels", map="linear").fit(ROWS, few)
    near = KNeighborsClassifier(3).fit(some.embedding_[few >= 0], few[few >= 0])
    assert near.score(some.embedding_, LABELS) > 0.9


def test_eigenmaps_and_the_places_of_new_rows():
    digits = icon.data.digits()
    x, y = digits.features[:900], digits.labels[:900]
    model = SpectralEmbedding(n_neighbors=10).fit(x[:600])
    adjacency = np.asarray(icon.dense(model.affinities_)) > 0
    peer = Eigenmaps(2, affinity="precomputed", random_state=0)
    peer = peer.fit_transform(adjacency.astype(float))
    for own, other in zip(model.embedding_.T, peer.T, strict=True):
        assert abs(np.corrcoef(own, other)[0, 1]) > 1 - 1e-4
    near = KNeighborsClassifier(10).fit(model.embedding_, y[:600])
    assert near.score(model.transform(x[600:]), y[600:]) > 0.75
    # z = p z / λ, with p uniform over the ten nearest
    far = ((x[600:, None] - x[None, :600]) ** 2).sum(-1)
    nearest = model.embedding_[np.argsort(far, 1)[:, :10]].mean(1)
    walk = adjacency / adjacency.sum(1, keepdims=True)
    value = np.sort(np.linalg.eigvals(walk).real)[-2:-4:-1]
    assert (value < 0.999).all()
    expected = nearest / value
    close = np.isclose(model.transform(x[600:]), expected, atol=1e-4).all(1)
    assert close.mean() > 0.97  # but for ties of digits that are as near


def test_pairs_have_a_map_each():
    other = ROWS[:, 2:]
    model = SpectralEmbedding(p="pairs", map="linear", constraint="orthonormal")
    model.fit(ROWS[:, :2], other)
    peer = PLSSVD(2, scale=False).fit(ROWS[:, :2], other)
    found = np.abs(model.embedding_), np.abs(peer.transform(ROWS[:, :2]))
    np.testing.assert_allclose(*found, atol=1e-4)
    assert model.transform(ROWS[:3, :2]).shape == (3, 2)


def test_a_neighbourhood_and_a_constraint_of_ones_own():
    p = icon.uniform(icon.knn(np.float32(X), 5)[0])
    ridge = lambda m: m.covariance() + 0.1 * m.gram()
    model = SpectralEmbedding(p=p, map="linear", constraint=ridge).fit(X)
    w = model.components_
    found = w @ (np.cov(X.T, bias=True) + 0.1 * np.eye(X.shape[1])) @ w.T
    np.testing.assert_allclose(found, np.eye(2), atol=1e-4)


@pytest.mark.parametrize("setting, value", [
    ("n_components", 0), ("n_components", X.shape[1] + 1), ("p", "foo"), ("p", 3),
    ("map", "foo"), ("map", None), ("constraint", "foo"), ("constraint", None),
    ("metric", "precomputed"), ("n_neighbors", 0), ("random_state", "a"),
])  # fmt: skip
def test_a_setting_is_refused_by_name(setting, value):
    with pytest.raises(icon.InvalidInput, match=f"^{setting}: expected "):
        SpectralEmbedding(**dict(map="linear") | {setting: value}).fit(X)


def test_what_is_learned_from_must_be_there():
    for p in ("labels", "pairs"):
        with pytest.raises(icon.InvalidInput, match="^y: expected "):
            SpectralEmbedding(p=p, map="linear").fit(X)
    with pytest.raises(icon.InvalidInput, match="^map: expected "):
        SpectralEmbedding(p="pairs").fit(X, X)
    with pytest.raises(icon.InvalidInput, match="9 rows"):
        SpectralEmbedding(p="pairs", map="linear").fit(X, X[:9])
    assert N > 9


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_agrees_on_a_map():
    from sklearn.utils.estimator_checks import check_estimator

    model = plane(n_components=1, constraint="orthonormal")
    checks = check_estimator(model, on_fail=None, on_skip=None)
    other = {x["check_name"]: x for x in checks if x["status"] != "passed"}
    assert set(other) <= {"check_array_api_input"}, other
