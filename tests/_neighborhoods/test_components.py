"""Are scores of components the joint log-densities, for any shape of a covariance?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from interpreter import interpret
from scipy.stats import multivariate_normal

import icon


pytestmark = pytest.mark.usefixtures("x64")
RNG = np.random.default_rng(3)
N, C, D = 7, 3, 2
X, MEAN = RNG.normal(size=(N, D)), 2 * RNG.normal(size=(C, D))
WEIGHT = np.array([1.0, 3.0, 4.0])
ROOT = np.eye(D) + RNG.normal(size=(C, D, D)) / 3
COVARIANCES = {
    "a variance of each": np.array([0.5, 1.0, 2.0]),
    "a variance of each axis": RNG.uniform(0.5, 2.0, (C, D)),
    "a matrix of each": ROOT @ ROOT.swapaxes(1, 2),
}
SHAPES = pytest.mark.parametrize("name", COVARIANCES)


def matrix(covariance):
    return covariance if covariance.ndim == 2 else covariance * np.eye(D)


def joint(covariance):
    """log w_c + log N(x_i; mean_c, S_c), by SciPy."""
    columns = [
        np.log(w / WEIGHT.sum()) + multivariate_normal(m, matrix(s)).logpdf(X)
        for m, s, w in zip(MEAN, covariance, WEIGHT, strict=True)
    ]
    return np.stack(columns, 1)


@SHAPES
def test_scores_are_joint_log_densities_and_the_mass_that_of_a_point(name):
    q, exact = (
        icon.components(X, MEAN, COVARIANCES[name], WEIGHT),
        joint(COVARIANCES[name]),
    )
    score, mass = jax.vmap(lambda i: q.read(i, slice(None)))(jnp.arange(N))
    np.testing.assert_allclose(score, exact, rtol=1e-12)
    np.testing.assert_allclose(mass, np.log(np.exp(exact).sum(1)), rtol=1e-12)
    posterior = np.exp(exact) / np.exp(exact).sum(1, keepdims=True)
    np.testing.assert_allclose(icon.dense(q), posterior, rtol=1e-11)


@SHAPES
def test_kl_of_the_posterior_and_the_joint_density_is_minus_the_log_likelihood(name):
    """And so is its gradient, whether or not that of p is followed."""
    covariance = COVARIANCES[name]
    exact = -np.log(np.exp(joint(covariance)).sum(1)).mean()
    still = icon.components(X, MEAN, covariance, WEIGHT)

    def loss(parameters, p=None):
        q = icon.components(X, *parameters)
        return icon.kl(q if p is None else p, icon.unnormalized(q))

    def minus_log_likelihood(parameters):
        q = icon.components(X, *parameters)
        return -jnp.mean(jax.vmap(q.log_mass)(jnp.arange(N)))

    at = MEAN, covariance, WEIGHT
    ask = jax.value_and_grad(loss)
    wanted = interpret(jax.grad(minus_log_likelihood), at)
    for value, found in (interpret(ask, at), interpret(ask, at, still)):
        assert float(value) == pytest.approx(exact, rel=1e-12)
        for got, expected in zip(found, wanted, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)
    step, mean = 1e-6 * RNG.normal(size=MEAN.shape), at[0]
    ends = [float(interpret(loss, (mean + sign * step, *at[1:]))) for sign in (1, -1)]
    slope = (ends[0] - ends[1]) / 2
    assert float(np.sum(wanted[0] * step)) == pytest.approx(slope, rel=1e-4)


def test_off_the_posterior_the_loss_is_above_by_the_kl_to_it():
    covariance = COVARIANCES["a matrix of each"]
    q = icon.components(X, MEAN, covariance, WEIGHT)
    p = icon.scores(RNG.normal(size=(N, C)))
    apart = float(icon.kl(p, icon.unnormalized(q)) - icon.kl(q, icon.unnormalized(q)))
    assert apart == pytest.approx(float(icon.kl(p, q)), rel=1e-12) and apart > 0.1


def test_half_precision_is_read_in_float32_and_a_component_may_have_no_weight():
    x = jnp.asarray(X, jnp.bfloat16)
    q = icon.components(x, MEAN.astype(np.float32), np.ones(C), [1.0, 0.0, 1.0])
    assert q.score(0, slice(None)).dtype == np.float32
    posterior = icon.dense(q)
    np.testing.assert_allclose(posterior.sum(1), 1, rtol=1e-6)
    assert not posterior[:, 1].any()
