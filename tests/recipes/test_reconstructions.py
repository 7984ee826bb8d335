"""Do rows come back: as PCA brings them, from noise, by few units?"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from cases import soon
from scipy.optimize import minimize
from sklearn.decomposition import PCA

import icon
from icon import recipes
from icon.recipes.tasks import reconstructions


DATA = icon.data.digits()
FEW = recipes.Budget(points=300, batches=1)
NAMES = "autoencoder", "sparse autoencoder", "denoising autoencoder"


# ------------------------------------------------------- by formula


def test_a_linear_autoencoder_is_pca(x64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8)) * np.arange(8, 0, -1) @ rng.normal(size=(8, 8))
    x = jnp.asarray(x - x.mean(0))

    @jax.jit
    @jax.value_and_grad
    def loss(w):
        encoder, decoder = w.reshape(2, 8, 3)
        decoded = x @ encoder @ decoder.T
        return icon.kl(icon.dirac(x), icon.normal(decoded, 3.0))

    start = rng.normal(size=48) / 8
    options = dict(maxiter=3000, maxfun=4000, maxcor=40, ftol=1e-16, gtol=1e-10)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    encoder, decoder = found.x.reshape(2, 8, 3)
    error = ((x - x @ encoder @ decoder.T) ** 2).sum()
    pca = PCA(3).fit(x)
    by_pca = ((x - pca.inverse_transform(pca.transform(x))) ** 2).sum()
    np.testing.assert_allclose(error, by_pca, rtol=1e-6)
    np.testing.assert_allclose(encoder @ decoder.T, pca.components_.T @ pca.components_,
                               atol=1e-3)  # fmt: skip


def test_codes_that_noise_does_not_move_are_contractive_in_the_limit(x64):
    """Σ_k KL(N(f(x), s) ‖ N(f(x + s e_k), s)) -> |∂f/∂x|² / 2, as s -> 0."""
    rng = np.random.default_rng(1)
    w, v = jnp.asarray(rng.normal(size=(5, 7))), jnp.asarray(rng.normal(size=(7, 3)))
    x = jnp.asarray(rng.normal(size=(6, 5)))
    encode = lambda x: jnp.tanh(x @ w) @ v
    slopes = np.einsum("dh,nh,hk->ndk", w, 1 - np.tanh(x @ w) ** 2, v)
    penalty = (slopes**2).sum() / len(x) / 2

    def moved(s):
        along = (x + s * jnp.eye(5)[k][None] for k in range(5))
        p = icon.normal(encode(x), s)
        return sum(icon.kl(p, icon.normal(encode(y), s)) for y in along)

    errors = [abs(moved(s) / penalty - 1) for s in (1e-1, 1e-2, 1e-3, 1e-4)]
    assert errors[-1] < 1e-4
    assert all(
        small < large / 5 for large, small in zip(errors, errors[1:], strict=False)
    )


# ------------------------------------------------------- the tasks


@pytest.fixture(scope="module")
def m():
    return recipes.material(DATA, budget=FEW)


def test_a_quarter_of_a_row_is_masked(m):
    ones = jnp.ones((200, 64))
    masked = np.asarray(reconstructions._masked(jr.key(0), ones))
    assert set(np.unique(masked)) == {0, 1}
    assert abs(masked.mean() - 0.75) < 0.01


def test_the_error_of_pca_is_scikit_learns(m):
    task = reconstructions.themselves(m)
    cell = icon.TABLE["autoencoder"]
    found = task.scores(recipes.train(cell, m), m)
    pca = PCA(2).fit(m.flat[m.train])
    rows = m.flat[m.test]
    left = ((rows - pca.inverse_transform(pca.transform(rows))) ** 2).sum()
    total = ((rows - m.flat[m.train].mean(0)) ** 2).sum()
    np.testing.assert_allclose(found["error of PCA"], left / total, rtol=1e-4)
    target = task.arrays["target"]
    np.testing.assert_allclose(target.std(), 1, rtol=1e-5)
    np.testing.assert_allclose(target.mean(0), 0, atol=1e-5)


@pytest.mark.parametrize("name", soon(NAMES, "autoencoder"))
def test_an_untrained_autoencoder_does_not_hold_its_floor(name, m):
    trained = recipes.train(icon.TABLE[name], m)
    found = dict(loss_value=0.0, scores=recipes.score(trained, m, recipes.Ground(m)))
    assert recipes.FLOORS[name].of(found)["held"] is False


def test_rates_of_units_are_a_distribution_over_on_and_off(m):
    cell = icon.TABLE["sparse autoencoder"]
    (_, (rate,)), (_, (on,)) = recipes.example(cell)
    assert rate.shape == on.shape == (reconstructions.UNITS, 2)
    for log_p in (rate, on):
        np.testing.assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-6)
    r, u = np.exp(rate[:, 0]), np.exp(on[:, 0])
    by_hand = r * np.log(r / u) + (1 - r) * np.log((1 - r) / (1 - u))
    (_, units) = cell.parts[1]
    np.testing.assert_allclose(units((rate,), (on,)), by_hand.mean(), rtol=1e-5)


def test_rows_that_are_all_alike_are_refused():
    same = icon.data.Dataset("same", np.ones((20, 4), np.float32), None, None)
    with pytest.raises(icon.InvalidInput) as error:
        reconstructions.themselves(recipes.material(same))
    assert error.value.argument == "data"
