"""Is a step along the gradient EM's, and where does EM lead?"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import slow, soon
from interpreter import interpret
from sklearn.mixture import GaussianMixture

import icon
from icon.recipes import mixture


pytestmark = pytest.mark.usefixtures("x64")
RNG = np.random.default_rng(5)
N, C, D = 300, 3, 2
TRUTH = RNG.integers(0, C, N)
SHEAR = np.array([[1.0, 0.6], [0.0, 0.5]])
X = RNG.normal(size=(N, D)) @ SHEAR + 3 * RNG.normal(size=(C, D))[TRUTH]
LABELS = np.where(RNG.random(N) < 0.3, RNG.integers(0, C, N), TRUTH)
SHAPES = {
    "full": mixture.full,
    "diag": mixture.diagonal,
    "spherical": mixture.spherical,
}
EACH = pytest.mark.parametrize("name", SHAPES)


def loss(found):
    q = icon.components(X, *found)
    return icon.kl(q, icon.unnormalized(q))


def start(name):
    return mixture.of_labels(X, LABELS, C, SHAPES[name])


def m_step(x, r, name, floor):
    """The parameters of largest expected log-likelihood under memberships r."""
    size = r.sum(0)
    mean = np.stack([r[:, c] @ x / size[c] for c in range(C)])
    covariance = []
    for c in range(C):
        gap = x - mean[c]
        scatter = (r[:, c, None] * gap).T @ gap / size[c] + floor * np.eye(D)
        scatter = scatter if name == "full" else np.diag(scatter)
        covariance.append(np.mean(scatter) if name == "spherical" else scatter)
    return mean, np.stack(covariance), size / len(x)


@EACH
def test_a_start_is_the_m_step_of_hard_memberships(name):
    exact = m_step(X, np.eye(C)[LABELS], name, mixture.FLOOR)
    for got, expected in zip(start(name), exact, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


@EACH
@pytest.mark.parametrize("floor", [slow(1e-6), 0.1])
def test_a_step_is_the_textbooks_em(name, floor):
    before, by = start(name), mixture.em(floor)

    def one(before):
        step, _ = by.update(jax.grad(loss)(before), by.init(before), before)
        return optax.apply_updates(before, step), icon.dense(
            icon.components(X, *before)
        )

    found, responsibility = interpret(one, before)
    exact = m_step(X, responsibility, name, floor)
    for got, expected in zip(found, exact, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def peer(name):
    """scikit-learn's EM from the same start, and minus its log-likelihood."""
    mean, covariance, weight = map(np.asarray, start(name))
    inverse = np.linalg.inv(covariance) if name == "full" else 1 / covariance
    model = GaussianMixture(
        C,
        covariance_type=name,
        tol=1e-10,
        max_iter=2000,
        means_init=mean,
        precisions_init=inverse,
        weights_init=weight,
    )
    return -model.fit(X).score(X)


@pytest.mark.parametrize("name", soon(SHAPES, "full"))  # a step is one of each
def test_em_is_the_cells_alternation_and_ends_where_scikit_learns_does(name):
    found, history = icon.minimize(loss, start(name), mixture.em(), 300)
    assert np.diff(history.loss).max() <= 1e-12  # never up
    assert history.loss[0] - history.loss[-1] > 0.05
    assert float(loss(found)) == pytest.approx(peer(name), abs=1e-5)


@pytest.mark.parametrize("name", soon(SHAPES, "diag"))
def test_gradient_descent_ends_there_too(name):
    """On weights by their logits and covariances by a factor."""
    shape = {"full": lambda f: f @ f.swapaxes(1, 2)}.get(name, jnp.square)

    def parameters(free):
        mean, factor, logit = free
        return mean, shape(factor), jax.nn.softmax(logit)

    mean, covariance, weight = start(name)
    root = jnp.linalg.cholesky if name == "full" else jnp.sqrt
    free = mean, root(covariance), jnp.log(weight)
    by = optax.adam(optax.cosine_decay_schedule(0.05, 600))
    free, _ = icon.minimize(lambda free: loss(parameters(free)), free, by, 600)
    assert float(loss(parameters(free))) == pytest.approx(peer(name), abs=1e-3)


def test_a_component_without_a_point_stays_as_it_is():
    far = start("full")
    far = far._replace(weight=far.weight.at[1].set(0) / (1 - far.weight[1]))
    by = mixture.em()
    step, _ = by.update(jax.grad(loss)(far), by.init(far), far)
    assert not step.mean[1].any() and not step.covariance[1].any()
    assert np.isfinite(np.concatenate([np.ravel(x) for x in step])).all()
