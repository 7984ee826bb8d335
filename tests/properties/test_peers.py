"""Are the numbers those of scikit-learn and optax, where a row is what they compute?"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg
from interpreter import interpret
from scipy.spatial.distance import squareform
from sklearn.cluster import KMeans
from sklearn.cross_decomposition import PLSSVD
from sklearn.decomposition import PCA
from sklearn.manifold import ClassicalMDS, _t_sne, spectral_embedding

import icon


pytestmark = pytest.mark.usefixtures("x64")

RNG = np.random.default_rng(1)
N, CLASSES = 20, 3
X, Y = RNG.normal(size=(N, 6)), RNG.normal(size=(N, 2))
IDS, VIEWS, LABELS = np.arange(N), np.arange(N) // 2, RNG.integers(0, CLASSES, N)
AFFINITY = np.exp(-((X[:, None] - X[None]) ** 2).sum(-1) / 8) * (1 - np.eye(N))
DEGREE = AFFINITY.sum(1)


@pytest.fixture
def lenient():
    """optax promotes and broadcasts."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


# ------------------------------------------------------- scikit-learn


def test_t_sne_is_sklearns():
    cell = icon.TABLE["t-SNE"]
    p = cell.p(X, None, 5.0)
    report, rows = interpret(lambda p: (icon.per_anchor(p, p), icon.dense(p)), p)
    joint = rows * np.exp(report.N)[:, None]
    joint = joint / joint.sum()
    d2 = ((X[:, None] - X[None]) ** 2).sum(-1)
    peer = _t_sne._joint_probabilities(d2, 5.0, 0)
    np.testing.assert_allclose(joint, squareform(peer), atol=1e-7)
    pairs = squareform(joint, checks=False)
    value, gradient = _t_sne._kl_divergence(Y.ravel(), pairs, 1.0, N, 2)
    ask = jax.value_and_grad(lambda y: cell.loss(p, cell.q(y)))
    found = interpret(ask, jnp.asarray(Y))
    assert float(found[0]) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(found[1].ravel(), gradient, rtol=1e-9, atol=1e-12)
    looser, _ = _t_sne._kl_divergence(Y.ravel(), peer, 1.0, N, 2)
    assert float(found[0]) == pytest.approx(looser, rel=1e-5)


def test_k_means_is_the_inertia():
    """n CE = inertia / σ² + Σ_i log Z_i, with sigma 1."""
    fitted = KMeans(CLASSES, n_init=1, random_state=0).fit(X)
    loss = float(icon.TABLE["k-means"]((X,), (np.eye(CLASSES)[fitted.labels_],)))
    d2 = ((X[:, None] - X[None]) ** 2).sum(-1)
    log_z = np.log(np.exp(-d2 / 2).sum(1))
    assert N * loss - log_z.sum() == pytest.approx(fitted.inertia_, rel=1e-12)


def test_spectral_clustering_is_the_inertia_of_the_spectral_embedding():
    features = spectral_embedding(AFFINITY, n_components=2, drop_first=False)
    fitted = KMeans(2, n_init=1, random_state=0).fit(features)
    phi = np.eye(2)[fitted.labels_]
    loss = float(icon.TABLE["spectral clustering"]((features,), (phi,)))
    d2 = ((features[:, None] - features[None]) ** 2).sum(-1)
    log_z = np.log(np.exp(-d2 / 2).sum(1))
    assert N * loss - log_z.sum() == pytest.approx(fitted.inertia_, rel=1e-9)


def test_pca_is_minus_twice_the_variance():
    fitted = PCA(2).fit(X)
    variance = fitted.explained_variance_.sum() * (N - 1) / N
    loss = lambda y: float(icon.TABLE["PCA"]((IDS, IDS), (y,)))
    assert loss(fitted.transform(X)) == pytest.approx(-2 * variance, rel=1e-12)
    other = np.linalg.qr(RNG.normal(size=(6, 2)))[0]
    assert loss(X @ other) > loss(fitted.transform(X))


def test_average_margin_clip_is_pls():
    other = X @ RNG.normal(size=(6, 5)) + RNG.normal(size=(N, 5))
    fitted = PLSSVD(2, scale=False).fit(X, other)
    u, v = X @ fitted.x_weights_, other @ fitted.y_weights_
    covariance = (X - X.mean(0)).T @ (other - other.mean(0)) / N
    best = np.linalg.svd(covariance, compute_uv=False)[:2].sum()
    loss = float(icon.TABLE["average-margin CLIP"]((IDS, IDS), (u, v)))
    assert loss == pytest.approx(-2 * best, rel=1e-10)


def test_laplacian_eigenmaps_are_sklearns():
    """Whitened by the degrees, the loss of the best map is 2 Σ (λ_k - 1)."""
    y = spectral_embedding(AFFINITY, n_components=2, random_state=0)
    y = y - (DEGREE @ y / DEGREE.sum())
    y = y / np.sqrt(DEGREE @ y**2 / DEGREE.sum())
    values = scipy.linalg.eigvalsh(np.diag(DEGREE) - AFFINITY, np.diag(DEGREE))
    loss = float(icon.TABLE["Laplacian eigenmaps"]((AFFINITY,), (y, DEGREE)))
    assert loss == pytest.approx(2 * (values[1:3] - 1).sum(), rel=1e-9)


def test_classical_mds_is_sklearns():
    """At the scores the strain is what was dropped: Σ λ² / 2n²."""
    y = ClassicalMDS(n_components=2).fit_transform(X)
    centered = X - X.mean(0)
    dropped = np.linalg.eigvalsh(centered @ centered.T)[:-2]
    for name, given in (("classical MDS", centered), ("Isomap", centered @ centered.T)):
        loss = float(icon.TABLE[name]((given,), (y - y.mean(0),)))
        assert loss == pytest.approx((dropped**2).sum() / (2 * N**2), rel=1e-10)


# ------------------------------------------------------- optax


@pytest.mark.slow
def test_simclr_is_optaxs_ntxent(lenient):
    loss = icon.TABLE["SimCLR"]((VIEWS,), (Y,))
    peer = optax.losses.ntxent(jnp.asarray(Y), jnp.asarray(VIEWS), temperature=0.1)
    assert float(loss) == pytest.approx(float(peer), rel=1e-12)


@pytest.mark.parametrize("name", ["cross-entropy", "skip-gram", "masked LM"])
def test_softmax_rows_are_optaxs(name, lenient):
    w = RNG.normal(size=(CLASSES, 2))
    loss = icon.TABLE[name]((LABELS, np.arange(CLASSES)), (Y, w))
    of = optax.losses.softmax_cross_entropy_with_integer_labels
    peer = of(jnp.asarray(Y @ w.T), jnp.asarray(LABELS)).mean()
    assert float(loss) == pytest.approx(float(peer), rel=1e-12)


@pytest.mark.slow
def test_distillation_is_optaxs_kl_divergence(lenient):
    teacher, student = jnp.asarray(X), jnp.asarray(RNG.normal(size=(N, 6)))
    label, classes = LABELS, np.arange(6)
    evidence = (teacher,), (label, classes)
    loss = icon.TABLE["distillation"](evidence, ((student,), (student,)))
    log_q, p = jax.nn.log_softmax(student / 4), jax.nn.softmax(teacher / 4)
    soft = 16 * optax.losses.kl_divergence(log_q, p).mean()
    of = optax.losses.softmax_cross_entropy_with_integer_labels
    peer = 0.9 * soft + 0.1 * of(student, jnp.asarray(label)).mean()
    assert float(loss) == pytest.approx(float(peer), rel=1e-12)


@pytest.mark.slow
def test_a_triplet_of_plain_distances_is_optaxs(lenient):
    """The row is FaceNet's, of squared distances; optax's energy is the distance."""
    listed = np.stack([(IDS + 1) % N, (IDS + 7) % N], 1)
    p = icon.TABLE["triplet"].p(listed)
    q = icon.margin(icon.among(icon.laplace(Y), listed), p, 1.0)
    loss = icon.cross_entropy(p, icon.sharp(q))
    peer = optax.losses.triplet_margin_loss(
        jnp.asarray(Y), jnp.asarray(Y[listed[:, 0]]), jnp.asarray(Y[listed[:, 1]])
    )
    assert float(loss) == pytest.approx(float(peer.mean()), rel=1e-5)  # its eps
