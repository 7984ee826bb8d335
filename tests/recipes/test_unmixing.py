"""Are mixed sources found, and as well as FastICA finds them?"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from interpreter import interpret
from sklearn.decomposition import FastICA

import icon
from icon import evaluate
from icon.recipes import unmixing


def loss(w, x):
    q = icon.sources(x, w)
    return icon.kl(q, icon.unnormalized(q))


def mixed(seed):
    found = icon.data.mixed_sources(2000, 4, seed)
    x = unmixing.whitened(found.features.astype(float))
    mixing = np.linalg.lstsq(found.also["sources"], x, rcond=None)[0].T
    return x, mixing


def by_icon(x, steps=100):
    start = jnp.eye(x.shape[1])[None]
    args = (jnp.asarray(x, jnp.float32),)
    w, _ = icon.minimize(loss, start, unmixing.relative(steps), steps, args=args)
    return np.asarray(w[0])


def by_fast_ica(x):
    model = FastICA(random_state=0, whiten="unit-variance", max_iter=1000, tol=1e-6)
    return model.fit(x).components_


def test_laplace_sources_are_found_as_well_as_by_fast_ica():
    errors = []
    for seed in range(4):
        x, mixing = mixed(seed)
        both = by_icon(x), by_fast_ica(x)
        errors.append([evaluate.amari_error(w, mixing) for w in both])
    own, peer = np.mean(errors, 0)
    assert own <= peer and max(e for e, _ in errors) < 0.03


def test_the_relative_gradient_is_its_formula_and_does_not_see_the_mixing(x64):
    x, _ = mixed(0)
    w, a = np.random.default_rng(1).normal(size=(2, 4, 4))
    by = unmixing.relative(10, rate=0.5)

    def moved(w, x):
        given = jnp.asarray(w)[None]
        gradient = interpret(jax.grad(loss), given, jnp.asarray(x))
        with jax.numpy_dtype_promotion("standard"):  # as optax needs outside of icon
            step, _ = by.update(gradient, by.init(given), given)
        return optax.apply_updates(given, step)[0]

    y = x @ w.T
    exact = w + 0.5 * (np.eye(4) - 2**0.5 * np.sign(y).T @ y / len(y)) @ w
    np.testing.assert_allclose(moved(w, x), exact, rtol=1e-9)
    sources = moved(w @ np.linalg.inv(a), x @ a.T) @ a  # as without a
    np.testing.assert_allclose(sources, exact, rtol=1e-7)


@pytest.mark.parametrize("axes", [None, 2])
def test_white_rows_have_covariance_one_along_the_largest_axes(axes):
    x = np.random.default_rng(0).normal(size=(90, 3)) * [5, 1, 0.1] + 7
    x = np.concatenate([x, x[:, :1]], 1)  # an axis without spread
    z = unmixing.whitened(x, axes)
    k = axes or 3
    np.testing.assert_allclose(z.T @ z / 90, np.eye(k), atol=1e-12)
    assert abs(z.mean(0)).max() < 1e-12
    assert abs(np.corrcoef(z[:, 0], x[:, 0])[0, 1]) > 0.99
