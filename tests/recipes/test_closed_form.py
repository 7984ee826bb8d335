"""Is the closed form the minimum of its cell, and what its peers compute?"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from scipy.linalg import subspace_angles
from sklearn.cross_decomposition import CCA, PLSSVD
from sklearn.datasets import load_iris, load_linnerud, make_swiss_roll
from sklearn.decomposition import PCA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.kernel_approximation import Nystroem
from sklearn.manifold import Isomap, spectral_embedding
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import kneighbors_graph

import icon
from icon.recipes import closed_form, quadratic


pytestmark = pytest.mark.usefixtures("x64")

X, Y = (part[::2] for part in load_iris(return_X_y=True))
X = X + 1e-3 * np.random.default_rng(0).normal(size=X.shape)
N = len(X)
IDS = np.arange(N)
NEAR = kneighbors_graph(X, 8)
W = NEAR.maximum(NEAR.T).toarray()
W[0, -1] = W[-1, 0] = 1  # in one piece
DEGREE = W.sum(1)
SCALE = 0.5**0.5
SOME = np.where(IDS % 3 == 0, -1, Y)


def rbf(a, b):
    return rbf_kernel(a, b, gamma=0.3)


def inner(rows, _):
    return rows


def energy(one_set, weight):
    """The wide q of an embedding: over one set, or over two."""

    def q(z):
        z = jnp.asarray(z)
        made = icon.gaussian(z, None if one_set else z, scale=SCALE)
        return icon.wide(made if weight is None else icon.reweigh(made, weight))

    return q


CASES = {  # p, whether it is over one set, weights
    "itself": (lambda: icon.same(IDS, IDS), False, None),
    "classes": (lambda: icon.same(Y, Y), False, None),
    "other members": (lambda: icon.same(Y), True, None),
    "some labels": (lambda: icon.same(SOME, ignore=-1), True, None),
    "near": (lambda: icon.graph(W), False, None),
    "near, by degree": (lambda: icon.graph(W), False, DEGREE),
    "one way": (lambda: icon.uniform(icon.knn(X, 5)[0]), False, None),
    "all": (lambda: icon.gaussian(X, scale=0.7), True, np.linspace(1, 3, N)),
    "all, and itself": (lambda: icon.student_t(X, X), False, None),
    "hierarchy": (
        lambda: icon.mix(icon.same(Y), icon.same(Y // 2), weights=[1.0, 3.0]),
        True,
        None,
    ),
    "near and some labels": (
        lambda: icon.mix(icon.graph(W), icon.same(SOME, ignore=-1), [1.0, 2.0]),
        True,
        DEGREE,
    ),
    "smoothed": (lambda: icon.smooth(icon.graph(W), 0.3), False, None),
    "others smoothed": (lambda: icon.smooth(icon.same(Y), 0.3), True, None),
}
FORMS = {
    "free": (None, None),
    "linear": (X, None),
    "sparse": (sp.csr_array(X), None),
    "kernel": (X, rbf),
}
CONSTRAINTS = {
    "orthonormal": icon.orthonormal,
    "whitened": icon.whitened,
    "both": lambda m: m.covariance() + 0.1 * m.gram(),
}


def cell_loss(p, q, weight):
    return float(icon.cross_entropy(p, q, weight=weight))


@pytest.mark.parametrize(
    "case, form, constraint",
    [
        *itertools.product(CASES, ["linear"], CONSTRAINTS),
        *itertools.product(CASES, ["kernel"], ["both"]),
        *itertools.product(CASES, ["sparse"], ["whitened"]),
        *itertools.product(
            [c for c in CASES if c != "some labels"], ["free"], ["whitened"]
        ),
        ("near", "free", "orthonormal"),
        ("near", "kernel", "orthonormal"),
    ],
)
def test_its_loss_is_that_of_the_cell(case, form, constraint):
    make, one_set, weight = CASES[case]
    x, kernel = FORMS[form]
    found = icon.spectral(
        make(), x, components=2, constraint=CONSTRAINTS[constraint], kernel=kernel,
        weight=weight,
    )  # fmt: skip
    loss = cell_loss(make(), energy(one_set, weight)(found.embedding), weight)
    np.testing.assert_allclose(found.loss, loss, rtol=1e-7)
    np.testing.assert_allclose(found.value.sum(), found.loss)
    assert (np.diff(found.value) >= -1e-12).all()


@pytest.mark.parametrize("form", ["free", "linear", "kernel"])
@pytest.mark.parametrize("case", ["near, by degree", "other members", "all"])
def test_nothing_that_is_whitened_has_less(case, form):
    make, one_set, weight = CASES[case]
    x, kernel = FORMS[form]
    basis = np.eye(N) if x is None else x if kernel is None else rbf(x, x)
    found = icon.spectral(
        make(), x, components=2, constraint=icon.whitened, kernel=kernel, weight=weight
    )
    share = np.ones(N) / N if weight is None else weight / weight.sum()

    def white(w):
        z = basis @ w
        z = z - share @ z
        return z @ np.linalg.inv(np.linalg.cholesky(z.T @ (share[:, None] * z))).T

    rng = np.random.default_rng(0)
    start = np.linalg.lstsq(basis, found.embedding, rcond=None)[0]
    np.testing.assert_allclose(
        white(start).T @ (share[:, None] * white(start)), np.eye(2), atol=1e-9
    )
    for size in (1e-3, 1e-1, 10):
        w = start + size * np.abs(start).max() * rng.normal(size=start.shape)
        other = cell_loss(make(), energy(one_set, weight)(white(w)), weight)
        assert other > found.loss


def test_a_descent_of_the_cell_reaches_it():
    p = icon.same(Y, Y)
    found = icon.spectral(p, X, components=2, constraint=icon.orthonormal)
    loss = jax.jit(
        lambda w: icon.cross_entropy(p, energy(False, None)(jnp.asarray(X) @ w))
    )
    slope = jax.jit(jax.grad(loss))
    w = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 2)))[0]
    assert loss(w) > found.loss + 0.05
    for _ in range(1_000):
        w = np.linalg.qr(w - 0.2 * np.asarray(slope(w)))[0]
    np.testing.assert_allclose(loss(w), found.loss, rtol=1e-9)
    assert subspace_angles(w, found.map).max() < 1e-6


# ------------------------------------------------------- peers


def alike(a, b):
    """The smallest correlation of a column with its counterpart, whatever its sign."""
    return min(abs(np.corrcoef(u, v)[0, 1]) for u, v in zip(a.T, b.T, strict=True))


def test_pca():
    found = icon.spectral(
        icon.same(IDS, IDS), X, components=3, constraint=icon.orthonormal
    )
    peer = PCA(3).fit(X)
    assert subspace_angles(found.map, peer.components_.T).max() < 1e-6
    np.testing.assert_allclose(found.map.T @ found.map, np.eye(3), atol=1e-12)
    variance = peer.explained_variance_ * (N - 1) / N
    np.testing.assert_allclose(found.value, -2 * variance)


def test_kernel_pca_and_its_new_rows():
    found = icon.spectral(
        icon.same(IDS, IDS), X, components=3, constraint=icon.orthonormal, kernel=rbf
    )
    peer = KernelPCA(3, kernel="rbf", gamma=0.3).fit(X)
    new = X[:20] + 0.1
    sign = np.sign(np.sum(found.embedding * peer.transform(X), 0))
    moved = found.embedding - found.embedding.mean(0)
    np.testing.assert_allclose(moved * sign, peer.transform(X), atol=1e-8)
    moved = found.transform(new) - found.embedding.mean(0)
    np.testing.assert_allclose(moved * sign, peer.transform(new), atol=1e-8)


@pytest.mark.parametrize("landmarks, tolerance", [(N, 1e-6), (30, 0.05)])
def test_kernels_at_some_rows_are_features(landmarks, tolerance):
    options = dict(components=3, constraint=icon.orthonormal)
    exact = icon.spectral(icon.same(IDS, IDS), X, kernel=rbf, **options)
    by_landmarks = Nystroem(gamma=0.3, n_components=landmarks, random_state=0)
    features = by_landmarks.fit_transform(X)
    found = icon.spectral(icon.same(IDS, IDS), features, **options)
    np.testing.assert_allclose(found.value, exact.value, rtol=tolerance)
    assert alike(found.embedding, exact.embedding) > 1 - tolerance


def test_lda():
    found = icon.spectral(icon.same(Y, Y), X, components=2, constraint=icon.whitened)
    peer = LinearDiscriminantAnalysis(solver="eigen").fit(X, Y)
    assert subspace_angles(found.map, peer.scalings_[:, :2]).max() < 1e-6


def test_a_shrunken_lda():
    ridge = 0.2
    found = icon.spectral(
        icon.same(Y, Y), X, components=2,
        constraint=lambda m: m.covariance() + ridge * m.gram(),
    )  # fmt: skip
    total = np.cov(X.T, bias=True) + ridge * np.eye(4)
    means = np.stack([X[Y == c].mean(0) for c in Y])
    _, vectors = scipy.linalg.eigh(np.cov(means.T, bias=True), total)
    assert subspace_angles(found.map, vectors[:, -2:]).max() < 1e-6


def test_laplacian_eigenmaps():
    found = icon.spectral(
        icon.graph(W), components=3, constraint=icon.whitened, weight=DEGREE
    )
    peer = spectral_embedding(W, n_components=3, random_state=0)
    assert alike(found.embedding, peer) > 1 - 1e-9
    share = DEGREE / DEGREE.sum()
    covariance = found.embedding.T @ (share[:, None] * found.embedding)
    np.testing.assert_allclose(covariance, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(share @ found.embedding, 0, atol=1e-9)


def test_lpp():
    found = icon.spectral(
        icon.graph(W), X, components=2, constraint=icon.whitened, weight=DEGREE
    )
    centered = X - DEGREE @ X / DEGREE.sum()
    laplacian = np.diag(DEGREE) - W
    _, vectors = scipy.linalg.eigh(
        centered.T @ laplacian @ centered, centered.T @ (DEGREE[:, None] * centered)
    )
    assert subspace_angles(found.map, vectors[:, :2]).max() < 1e-6


def test_slow_features():
    t = np.linspace(0, 2 * np.pi, 200)
    slow = np.sin(t)
    x = np.stack([slow + np.cos(11 * t) ** 2, np.cos(11 * t), np.cos(11 * t) ** 2], 1)
    after = sp.diags_array(np.ones(199), offsets=1)
    p = icon.graph(after + after.T)
    found = icon.spectral(p, x, components=1, constraint=icon.whitened)
    assert abs(np.corrcoef(found.embedding[:, 0], slow)[0, 1]) > 0.999


@pytest.fixture(scope="module")
def exercise():
    data = load_linnerud()
    return np.asarray(data.data), np.asarray(data.target)


def test_pls_svd(exercise):
    ids = np.arange(20)
    p = icon.same(ids, ids)
    found = icon.spectral(p, exercise, components=2, constraint=icon.orthonormal)
    peer = PLSSVD(2, scale=False).fit(*exercise)
    for k in range(2):
        assert subspace_angles(found.map[0][:, [k]], peer.x_weights_[:, [k]]) < 1e-6
        assert subspace_angles(found.map[1][:, [k]], peer.y_weights_[:, [k]]) < 1e-6
    u, v = map(jnp.asarray, found.embedding)
    loss = float(icon.cross_entropy(p, icon.wide(icon.dot(u, v))))
    np.testing.assert_allclose(found.loss, loss)
    apart = float(icon.cross_entropy(p, icon.wide(icon.gaussian(u, v, scale=SCALE))))
    np.testing.assert_allclose(apart, 2 * loss)  # as all columns of p weigh alike


def test_cca(exercise):
    ids = np.arange(20)
    found = icon.spectral(
        icon.same(ids, ids), exercise, components=2, constraint=icon.whitened
    )
    peer = CCA(2, max_iter=10_000, tol=1e-14).fit(*exercise)
    one, two = peer.transform(*exercise)
    correlation = [np.corrcoef(u, v)[0, 1] for u, v in zip(one.T, two.T, strict=True)]
    np.testing.assert_allclose(-found.value, correlation, rtol=1e-6)
    assert alike(found.embedding[0], one) > 1 - 1e-6
    again = found.transform(exercise)
    np.testing.assert_allclose(again[1], found.embedding[1])


@pytest.fixture(scope="module")
def roll():
    return make_swiss_roll(1_000, random_state=0)


def test_isomap_unrolls_what_pca_does_not(roll):
    x, angle = roll
    ids = np.arange(len(x))
    peer = Isomap(n_neighbors=8, n_components=2).fit(x)
    square = peer.dist_matrix_**2
    centered = square - square.mean(0) - square.mean(1)[:, None] + square.mean()
    found = icon.spectral(
        icon.same(ids, ids), -centered / 2, components=2, constraint=icon.orthonormal,
        kernel=inner,
    )  # fmt: skip
    assert alike(found.embedding, peer.embedding_) > 1 - 1e-6
    # the length of the spiral up to an angle
    length = (angle * np.sqrt(1 + angle**2) + np.arcsinh(angle)) / 2
    assert abs(np.corrcoef(found.embedding[:, 0], length)[0, 1]) > 0.99
    plain = icon.spectral(
        icon.same(ids, ids), x, components=2, constraint=icon.orthonormal
    )
    assert max(abs(np.corrcoef(c, length)[0, 1]) for c in plain.embedding.T) < 0.6


# ------------------------------------------------------- sizes


def test_many_rows_are_as_few(monkeypatch):
    options = dict(components=3, constraint=icon.whitened, weight=DEGREE)
    exact = icon.spectral(icon.graph(W), **options)
    monkeypatch.setattr(closed_form, "DENSE", 10)
    found = icon.spectral(icon.graph(W), **options)
    np.testing.assert_allclose(found.value, exact.value, rtol=1e-8)
    assert alike(found.embedding, exact.embedding) > 1 - 1e-6


@pytest.mark.parametrize(
    "case", ["itself", "classes", "other members", "some labels", "hierarchy"]
)
def test_large_classes_are_known_by_their_members(case, monkeypatch):
    make, _, weight = CASES[case]
    listed = quadratic.quadratic(make(), weight)
    monkeypatch.setattr(quadratic, "LISTED", 0)
    monkeypatch.setattr(quadratic, "HELD", 0)
    by_members = quadratic.quadratic(make(), weight)
    assert listed.edges is not None
    assert by_members.edges is None
    np.testing.assert_allclose(by_members.times(X), listed.times(X), atol=1e-12)
    exact = np.asarray(icon.dense(make())) * listed.weight[:, None]
    np.testing.assert_allclose(by_members.attraction @ np.eye(N), exact, atol=1e-15)


def test_a_distant_origin_changes_nothing():
    options = dict(components=2, constraint=icon.whitened)
    near = icon.spectral(icon.same(Y, Y), X, **options)
    far = icon.spectral(icon.same(Y, Y), X + 1e6, **options)
    np.testing.assert_allclose(far.loss, near.loss, rtol=1e-7)


def test_a_long_path_is_found_through_its_factors():
    n = 5_000
    path = sp.diags_array(np.ones(n - 1), offsets=1)
    path = sp.csr_array(path + path.T)
    degree = np.asarray(path.sum(1)).ravel()
    found = icon.spectral(
        icon.graph(path), components=2, constraint=icon.whitened, weight=degree
    )
    turns = np.arange(1, 3) * np.pi / (n - 1)
    np.testing.assert_allclose(found.value + 2, 2 * (1 - np.cos(turns)), rtol=1e-4)
    step = np.diff(found.embedding[:, 0])
    assert (step > 0).all() or (step < 0).all()


def test_what_is_not_reached_is_warned_of(monkeypatch):
    n = 1_200
    rng = np.random.default_rng(0)
    pairs = sp.csr_array((np.ones(5 * n), rng.integers(n, size=(2, 5 * n))), (n, n))
    weights = pairs + pairs.T + sp.eye_array(n)
    monkeypatch.setattr(closed_form, "STEPS", 2)
    with pytest.warns(UserWarning, match="lie close together"):
        icon.spectral(icon.graph(weights), components=3, constraint=icon.whitened)


# ------------------------------------------------------- bad input


def refused(match, *args, **options):
    with pytest.raises(icon.InvalidInput, match=match):
        icon.spectral(*args, **dict(constraint=icon.whitened) | options)


def test_bad_input_is_named():
    p = icon.same(IDS, IDS)
    refused("x: expected 75", p, X[:9], components=1)
    refused("components: expected", p, X, components=5)
    refused("components: expected", p, X, components=0)
    refused("components: expected", icon.graph(W), components=N)
    refused(
        "x: expected .* got", p, np.where(IDS[:, None] == 3, np.nan, X), components=1
    )
    refused("p: expected", icon.same(IDS, IDS[:9]), X, components=1)
    refused("kernel: expected", p, X, components=1, kernel=lambda a, b: np.ones((2, 2)))
    refused("x: expected a pair", p, (X, X, X), components=1)
    refused("weight", p, X, components=1, weight=np.ones(3))
    lonely = W.copy()
    lonely[7] = lonely[:, 7] = 0
    refused("point 7 without", icon.graph(lonely), components=1)
    free = icon.spectral(icon.graph(W), components=1, constraint=icon.whitened)
    with pytest.raises(icon.InvalidInput, match="free embedding"):
        free.transform(X)


def test_new_rows_are_read_as_the_rows_were():
    found = icon.spectral(icon.same(Y, Y), X, components=2, constraint=icon.whitened)
    for x in (X, X.tolist(), sp.csr_array(X)):
        np.testing.assert_allclose(found.transform(x), found.embedding, atol=1e-12)
    sparse = icon.spectral(
        icon.same(Y, Y), sp.csr_array(X), components=2, constraint=icon.whitened
    )
    np.testing.assert_allclose(sparse.transform(X), sparse.embedding, atol=1e-12)
    for x in (X[:, :3], X * np.nan, X[0]):
        with pytest.raises(icon.InvalidInput, match="^x: expected "):
            found.transform(x)


def test_a_constant_feature_is_left_out():
    x = np.c_[X, np.ones(N), X[:, 0]]
    options = dict(components=2, constraint=icon.whitened)
    found = icon.spectral(icon.same(Y, Y), x, **options)
    fewer = icon.spectral(icon.same(Y, Y), X, **options)
    np.testing.assert_allclose(found.loss, fewer.loss)
    refused("components: expected at most 4", icon.same(Y, Y), x, components=5)


def test_a_graph_of_two_sets_is_not_taken_for_pcas():
    """Its edges, one after the other, are those of rows that have themselves."""
    rng, weights = np.random.default_rng(0), np.zeros((6, 6))
    weights[0, :2] = weights[2, 2:4] = weights[4, 4:] = 1
    x, p = rng.normal(size=(6, 3)), icon.graph(weights)
    form = quadratic.quadratic(p)
    np.testing.assert_allclose(form.between(x), x.T @ form.times(x), atol=1e-12)
