"""Are scores of models the log-densities of points by their sources?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from interpreter import interpret
from scipy.stats import laplace

import icon


pytestmark = pytest.mark.usefixtures("x64")
RNG = np.random.default_rng(8)
X = RNG.normal(size=(6, 3))
W = RNG.normal(size=(2, 3, 3))
WEIGHT = np.array([1.0, 3.0])


def joint():
    """log w_c + log |det W_c| + Σ_k log p(s_k) by SciPy's Laplace of variance 1."""
    columns = [
        np.log(w) + np.log(abs(np.linalg.det(m)))
        + laplace(scale=0.5**0.5).logpdf(X @ m.T).sum(1)
        for m, w in zip(W, WEIGHT / 4, strict=True)
    ]  # fmt: skip
    return np.stack(columns, 1)


def test_scores_are_log_densities_of_the_sources():
    q, exact = icon.sources(X, W, WEIGHT), joint()
    read = jax.vmap(lambda i: q.read(i, slice(None)))
    score, mass = interpret(read, np.arange(6))
    np.testing.assert_allclose(score, exact, rtol=1e-12)
    np.testing.assert_allclose(mass, np.log(np.exp(exact).sum(1)), rtol=1e-12)


def test_a_density_sums_to_one_over_the_plane():
    line = np.linspace(-12, 12, 601)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    q = icon.sources(grid, np.array([[[1.0, 0.4], [-0.5, 1.5]]]))
    density = np.exp(jax.vmap(q.log_mass)(jnp.arange(len(grid))))
    assert density.sum() * (line[1] - line[0]) ** 2 == pytest.approx(1, abs=5e-3)


def test_kl_is_minus_the_log_likelihood_and_its_gradient_the_likelihoods():
    def loss(w):
        q = icon.sources(X, w, WEIGHT)
        return icon.kl(q, icon.unnormalized(q))

    exact = -np.log(np.exp(joint()).sum(1)).mean()
    value, gradient = interpret(jax.value_and_grad(loss), W)
    assert float(value) == pytest.approx(exact, rel=1e-12)
    direction = RNG.normal(size=W.shape)
    ends = [float(interpret(loss, W + h * direction)) for h in (1e-6, -1e-6)]
    slope = (ends[0] - ends[1]) / 2e-6
    assert float(np.sum(gradient * direction)) == pytest.approx(slope, rel=1e-6)


def test_of_one_model_the_gradient_is_that_of_ica():
    """E[√2 sign(y) xᵀ] - W⁻ᵀ."""

    def loss(w):
        q = icon.sources(X, w)
        return icon.kl(q, icon.unnormalized(q))

    w = W[:1]
    exact = 2**0.5 * np.sign(X @ w[0].T).T @ X / 6 - np.linalg.inv(w[0]).T
    np.testing.assert_allclose(jax.grad(loss)(w)[0], exact, rtol=1e-10)
