"""Is what a row has in closed form a minimum of its own loss, under its constraint?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from sklearn.decomposition import KernelPCA

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


def test_slow_features_find_the_slow_source():
    found = trained("slow features", "slow_sources")
    slow = found.setup.m.also["second"][:, 0]
    assert abs(np.corrcoef(found.embedding[:, 0], slow)[0, 1]) > 0.99
    raw = found.setup.m.flat.T
    assert max(abs(np.corrcoef(x, slow)[0, 1]) for x in raw) < 0.95


def test_what_is_learned_is_in_float32():
    assert trained("CCA").params["left"].dtype == jnp.float32
