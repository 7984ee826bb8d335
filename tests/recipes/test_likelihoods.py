"""Are priors and likelihoods SciPy's, and is what they make of a VAE its bound?"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from cases import slow
from interpreter import interpret

import icon
from icon import evaluate
from icon.recipes import likelihoods


RNG = np.random.default_rng(0)
N, D, K = 5, 4, 2
X, W = RNG.normal(size=(N, D)), RNG.normal(size=(K, D))
MEAN, STD = RNG.normal(size=(N, K)), np.exp(RNG.normal(size=(N, K)) / 2)


# ------------------------------------------------------- by formula


def test_each_is_scipys(x64):
    x, mean, std = X[0], X[1], np.exp(X[2])
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12)
    normal = scipy.stats.norm
    close(likelihoods.gaussian(x, mean, std), normal(mean, std).logpdf(x).sum())
    close(likelihoods.gaussian(x, mean, 2.0), normal(mean, 2).logpdf(x).sum())
    yes, odds = np.array([1.0, 0, 1, 0]), np.array([0.3, 800, -800, -2])
    finite = [0, 3]
    by_scipy = scipy.stats.bernoulli(1 / (1 + np.exp(-odds[finite])))
    close(
        likelihoods.bernoulli(yes[finite], jnp.asarray(odds[finite])),
        by_scipy.logpmf(yes[finite]).sum(),
    )
    assert likelihoods.bernoulli(yes, jnp.asarray(odds)) < -1599  # as sure as wrong
    logits, level = RNG.normal(size=(D, 3)), np.array([2, 0, 1, 1])
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = np.log(share[np.arange(D), level]).sum()
    close(likelihoods.categorical(jnp.asarray(level), jnp.asarray(logits)), expected)


def test_a_mixture_is_the_sum_of_its_parts_and_learns(x64):
    z, logits = RNG.normal(size=K), RNG.normal(size=3)
    mean, std = RNG.normal(size=(3, K)), np.exp(RNG.normal(size=(3, K)))
    share = np.exp(logits) / np.exp(logits).sum()
    each = scipy.stats.norm(mean, std).pdf(z).prod(1)
    given = [jnp.asarray(x) for x in (z, logits, mean, std)]
    ask = jax.value_and_grad(likelihoods.mixture, (1, 2))
    found, gradient = interpret(ask, *given)
    np.testing.assert_allclose(found, np.log(share @ each), rtol=1e-12)
    owner = share * each / (share @ each)
    np.testing.assert_allclose(gradient[0], owner - share, rtol=1e-10)
    by_hand = owner[:, None] * (z - mean) / std**2
    np.testing.assert_allclose(gradient[1], by_hand, rtol=1e-10)


# ------------------------------------------------------- the bound of a VAE


def decoded(params, x, z):
    return likelihoods.gaussian(x, z @ params)


def joint(params, x, z):
    return likelihoods.gaussian(z, jnp.zeros_like(z)) + decoded(params, x, z)


def bound(beta):
    """E log N(x; Wz, 1) - β KL(N(m, s) ‖ N(0, 1)), of every row."""
    error = ((X - MEAN @ W) ** 2).sum(1) + ((STD**2) @ (W**2)).sum(1)
    likelihood = -error / 2 - D / 2 * np.log(2 * np.pi)
    kl = (MEAN**2 + STD**2 - 1 - 2 * np.log(STD)).sum(1) / 2
    return likelihood - beta * kl


@pytest.mark.parametrize("beta", [slow(1.0), 4.0])
def test_a_vae_is_a_sum_of_two_cells_with_beta_its_weight(beta, x64):
    """The reconstruction is sampled, the prior is met exactly."""
    near = icon.Cell("reconstruction", icon.normal, icon.density, icon.cross_entropy)
    prior = icon.Cell("prior", icon.normal, icon.normal)
    cell = near + beta * prior
    cloud = MEAN, STD, jr.key(0), 20_000
    pair = cell.neighborhoods(
        (cloud, cloud), ((decoded, W, X), (np.zeros((N, K)), 1.0))
    )
    loss = interpret(cell.loss, *pair)
    np.testing.assert_allclose(-loss, bound(beta).mean(), rtol=0.01)


def test_a_vae_in_one_cell_has_the_same_bound(x64):
    cloud = icon.normal(MEAN, STD, jr.key(0), 20_000)
    loss = icon.kl(cloud, icon.density(joint, W, X))
    np.testing.assert_allclose(-loss, bound(1.0).mean(), rtol=0.01)


# ------------------------------------------------------- more samples


def evidence():
    """log p(x), x ~ N(0, WᵀW + 1)."""
    covariance = W.T @ W + np.eye(D)
    return scipy.stats.multivariate_normal(np.zeros(D), covariance).logpdf(X)


@pytest.mark.slow
def test_more_samples_bound_the_evidence_closer(x64):
    often = lambda x: np.tile(x, (30, 1))  # every row draws its own
    q, bounds = icon.density(joint, W, often(X)), []
    for samples in (1, 10, 100):
        p = icon.normal(often(MEAN), often(STD), jr.key(0), samples)
        bounds.append(np.mean(evaluate.importance_bound(p, q, rows=70)))
    assert bounds[0] < bounds[1] < bounds[2] < evidence().mean() + 0.1
    one, q = icon.normal(MEAN, STD, jr.key(3)), icon.density(joint, W, X)
    found = evaluate.importance_bound(one, q).mean()
    np.testing.assert_allclose(found, -icon.kl(one, q), rtol=1e-12)


def test_the_bound_of_the_posterior_is_the_evidence(x64):
    """Whatever is drawn: p(x, z) / p(z | x) is p(x)."""
    covariance = np.linalg.inv(np.eye(K) + W @ W.T)
    factor = np.linalg.cholesky(covariance)
    p = icon.normal(X @ W.T @ covariance, np.stack([factor] * N), jr.key(0), 3)
    q = icon.density(joint, W, X)
    found = interpret(lambda: evaluate.importance_bound(p, q))
    np.testing.assert_allclose(found, evidence(), rtol=1e-10)


def test_a_bound_of_other_rows_is_refused():
    p = icon.normal(MEAN, STD, jr.key(0))
    with pytest.raises(icon.InvalidInput) as error:
        evaluate.importance_bound(p, icon.density(joint, W, X[:3]))
    assert error.value.argument == "q"
