"""Is what a row has in closed form a minimum of its own loss, under its constraint?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from sklearn.decomposition import KernelPCA
from sklearn.manifold import Isomap

import icon
from icon import recipes


TINY = recipes.Budget(points=80, steps=5, batches=5)


def trained(name, data="digits"):
    data = getattr(icon.data, data)()
    return recipes.train(icon.TABLE[name], recipes.material(data, budget=TINY))


def slopes(found):
    """The gradient of the row's loss, of each of its views."""
    task = found.task

    def loss(params):
        params = found.params | params
        evidence, embedding = found.setup.arguments(params, None, task.arrays)
        return found.cell(evidence, embedding)

    own = {name: found.params[name] for name in task.views}
    return own, jax.grad(loss)(own)


def relative(gradient, allowed):
    """What of a gradient no Lagrange multiplier explains, relative to all of it."""
    multiplier = np.linalg.lstsq(allowed, gradient, rcond=None)[0]
    return np.linalg.norm(gradient - allowed @ multiplier) / np.linalg.norm(gradient)


@pytest.mark.parametrize(
    "name", ["classical MDS", slow("kernel PCA"), slow("Isomap"), "diffusion maps"]
)
def test_nothing_is_nearer_to_inner_products(name):
    found = trained(name)
    (z,), (slope,) = (x.values() for x in slopes(found))
    moved = {"z": 1.05 * z}
    evidence, embedding = found.setup.arguments(moved, None, found.task.arrays)
    _, far = slopes(found._replace(params=found.params | moved))
    assert np.abs(slope).max() < 1e-3 * np.abs(far["z"]).max()
    assert found.value < float(found.cell(evidence, embedding))


def covariance(x, weight=None):
    return np.cov(np.asarray(x, np.float64).T, bias=True, aweights=weight)


SHRUNKEN = ("LDA", "CCA")


@pytest.mark.parametrize(
    "name, data",
    [("LPP", "digits"), slow("LDA", "digits"), ("CCA", "digits")]
    + [slow("PLS-SVD", "digits"), slow("slow features", "slow_sources")],
)
def test_no_map_that_its_constraint_allows_is_better(name, data):
    found = trained(name, data)
    own, gradient = slopes(found)
    rows = list(found.task.arrays.values())
    weight = np.asarray(rows.pop()) if name == "LPP" else None
    for (view, w), x in zip(own.items(), rows, strict=True):
        w, x = np.asarray(w, np.float64), np.asarray(x).reshape(len(x), -1)
        metric = np.eye(len(w)) if name == "PLS-SVD" else covariance(x, weight)
        if name in SHRUNKEN:
            metric = metric + 1e-3 * np.trace(metric) / len(w) * np.eye(len(w))
        np.testing.assert_allclose(w.T @ metric @ w, np.eye(2), atol=1e-3)
        assert relative(np.asarray(gradient[view], np.float64), metric @ w) < 1e-2


def test_laplacian_eigenmaps_are_whitened_and_stationary():
    found = trained("Laplacian eigenmaps")
    own, gradient = slopes(found)
    degree = np.asarray(found.task.arrays["degree"])
    share = (degree / degree.sum())[:, None]
    z = np.asarray(own["z"])
    np.testing.assert_allclose(z.T @ (share * z), np.eye(2), atol=1e-4)
    assert relative(np.asarray(gradient["z"]), share * z) < 1e-3


def test_kernel_pca_is_that_of_scikit_learn():
    found = trained("kernel PCA")
    m = found.setup.m
    x = m.flat[m.train].astype(np.float64)
    square = ((x[:, None] - x[None]) ** 2).sum(-1)
    width = np.median(square[np.triu_indices(len(x), 1)])
    peer = KernelPCA(2, kernel="rbf", gamma=1 / width).fit_transform(x)
    for own, other in zip(found.embedding.T, peer.T, strict=True):
        assert abs(np.corrcoef(own, other)[0, 1]) > 1 - 1e-5


# ------------------------------------------------------- numbers of a task


def solved(source, **numbers):
    """The embedding of a blob of 60 rows, which is connected."""
    x = np.random.default_rng(0).normal(size=(60, 4))
    m = recipes.material(icon.data.dataset("blob", x)).undivided()
    found = recipes.SOURCES[source].at(**numbers).task(m)
    return np.asarray(m.flat, np.float64), np.asarray(found.solution()["z"])


def near_up_to_signs(z, other):
    signs = np.sign((z * other).sum(0))
    np.testing.assert_allclose(z, other * signs, atol=1e-4 * np.abs(other).max())


@pytest.mark.parametrize("k, columns", [(6, 3), (20, 2)])
def test_isomap_of_other_numbers_is_that_of_scikit_learn(k, columns):
    x, z = solved("geodesics", n_neighbors=k, n_components=columns)
    near_up_to_signs(z, Isomap(n_neighbors=k, n_components=columns).fit_transform(x))


def test_rows_in_one_place_have_no_way_between_them(monkeypatch):
    twins = np.repeat(np.random.default_rng(0).normal(size=(30, 4)), 2, 0)
    m = recipes.material(icon.data.dataset("twins", twins)).undivided()
    found = recipes.SOURCES["geodesics"].at(n_neighbors=12).task(m)
    z, x = np.asarray(found.solution()["z"]), np.asarray(m.flat, np.float64)
    near_up_to_signs(z, Isomap(n_neighbors=12, n_components=2).fit_transform(x))
    m = recipes.material(icon.data.dataset("one", np.ones((20, 4)))).undivided()
    with pytest.raises(icon.InvalidInput, match="one place"):
        recipes.SOURCES["geodesics"].task(m).solution()


OF_SQUARE = {  # of a squared distance, at a width of 3
    "gaussian": lambda square: np.exp(-square / 18),
    "laplace": lambda square: np.exp(-np.sqrt(square) / 3),
    "student_t": lambda square: 9 / (9 + square),
}


@pytest.mark.parametrize("kernel", OF_SQUARE)
def test_kernel_pca_of_other_kernels_is_that_of_scikit_learn(kernel):
    x, z = solved("kernels", kernel=kernel, scale=3.0, n_components=3)
    gram = OF_SQUARE[kernel](((x[:, None] - x[None]) ** 2).sum(-1))
    near_up_to_signs(z, KernelPCA(3, kernel="precomputed").fit_transform(gram))


@pytest.mark.parametrize("time", [1, 5])
def test_a_diffusion_map_has_the_distances_of_its_walks(time):
    """Of all columns: sum_k (p^t_ik - p^t_jk)^2 / pi_k, of a dense graph."""
    x, z = solved("diffusion", n_neighbors=40, n_components=59, time=time)
    square = ((x[:, None] - x[None]) ** 2).sum(-1)
    near = square.argsort(1)[:, 1:41]
    weight = np.zeros((60, 60))
    np.put_along_axis(weight, near, 1, 1)
    weight = np.maximum(weight, weight.T)
    degree = weight.sum(1)
    walk = np.linalg.matrix_power(weight / degree[:, None], time)
    ends = walk * np.sqrt(degree.sum() / degree)
    of = lambda y: ((y[:, None] - y[None]) ** 2).sum(-1)
    np.testing.assert_allclose(of(z), of(ends), rtol=1e-3, atol=1e-4)


def test_eigenmaps_of_a_graph_have_the_columns_asked_for():
    for source in ("graph and degrees", "centered features"):
        assert solved(source, n_components=4)[1].shape == (60, 4)


def test_slow_features_find_the_slow_source():
    found = trained("slow features", "slow_sources")
    slow = found.setup.m.also["second"][:, 0]
    assert abs(np.corrcoef(found.embedding[:, 0], slow)[0, 1]) > 0.99
    raw = found.setup.m.flat.T
    assert max(abs(np.corrcoef(x, slow)[0, 1]) for x in raw) < 0.95


def test_what_is_learned_is_in_float32():
    assert trained("CCA").params["left"].dtype == jnp.float32
