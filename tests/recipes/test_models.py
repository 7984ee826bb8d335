"""Does each learner start, step and stay where it should?"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from cases import slow

from icon._table import evidence
from icon.recipes.models import (
    FREE,
    LINEAR,
    MATRIX,
    SPREAD,
    WIDE_FREE,
    _natural_softmax,
    adam,
    annealed,
    encoder,
    learner_of,
    memberships,
    principal,
    retracted,
    whitened,
)
from icon.recipes.task import WIDTH, Learned


X = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)


def test_a_linear_map_has_orthonormal_columns_also_after_a_step():
    params = {"z": LINEAR.start(jr.key(0), X)}
    optimizer = optax.chain(optax.sgd(0.3), retracted(LINEAR, ["z"]))
    gradient = {"z": jr.normal(jr.key(1), params["z"].shape)}
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    after = optax.apply_updates(params, updates)
    for each in (params, after):
        np.testing.assert_allclose(each["z"].T @ each["z"], np.eye(2), atol=1e-6)
    np.testing.assert_allclose(LINEAR.apply(after["z"], X), X @ after["z"], atol=1e-5)
    assert not np.allclose(after["z"], params["z"], atol=1e-2)


def test_a_free_embedding_starts_at_the_principal_plane():
    z = FREE.start(jr.key(0), X)
    u, s, _ = np.linalg.svd(X - X.mean(0), full_matrices=False)
    ratio = np.abs(np.asarray(z) / (u[:, :2] * s[:2]))
    assert np.isclose(np.std(z), 1, atol=1e-5) and np.ptp(ratio) < 1e-3 * ratio.mean()
    assert np.array_equal(WIDE_FREE.start(jr.key(0), X), 10 * z)
    assert np.array_equal(principal(X), z)


def test_memberships_start_near_seeds_and_are_never_hard():
    learner = memberships(4)
    phi = learner.apply(learner.start(jr.key(0), X), X)
    assert phi.shape == (30, 4) and np.allclose(jnp.sum(phi, 1), 1, atol=1e-6)
    assert phi.min() > 1e-5 and len(np.unique(np.argmax(phi, 1))) == 4
    (other,) = learner.alternatives
    np.testing.assert_allclose(other.apply(np.log(phi), X), phi, atol=1e-6)


def test_the_natural_softmax_has_a_gradient_that_does_not_vanish():
    z = jnp.array([[30.0, 0.0, -30.0]])
    np.testing.assert_allclose(_natural_softmax(z), jax.nn.softmax(z))
    weights = jnp.array([[1.0, 2.0, 3.0]])
    gradient = jax.grad(lambda z: jnp.sum(weights * _natural_softmax(z)))(z)
    np.testing.assert_allclose(gradient, weights)


def test_a_step_without_memory_at_full_sharpness_is_lloyds():
    cost = jr.uniform(jr.key(0), (30, 4))  # of each point in each cluster
    optimizer = annealed(1, memory=0.0, sharpest=1e4)
    logits = {"z": jnp.zeros((30, 4))}
    updates, _ = optimizer.update({"z": cost}, jnp.ones(()), logits)
    after = jax.nn.softmax(optax.apply_updates(logits, updates)["z"])
    assert np.array_equal(np.argmax(after, 1), np.argmin(cost, 1))
    assert after.max(1).min() > 0.999


@pytest.mark.slow
def test_a_network_has_a_head_only_where_it_is_narrow():
    flat, wide = encoder(2), encoder(WIDTH)
    params = flat.start(jr.key(0), X)
    assert flat.apply(params, X).shape == (30, 2)
    assert flat.represent(params, X).shape == (30, WIDTH)
    params = wide.start(jr.key(0), X)
    assert params[1] == ()
    assert np.array_equal(wide.apply(params, X), wide.represent(params, X))
    headed = encoder(WIDTH, hidden=(16,))  # as contrastive rows have
    params = headed.start(jr.key(0), X)
    assert params[1] != () and headed.apply(params, X).shape == (30, WIDTH)
    assert not np.allclose(headed.apply(params, X), headed.represent(params, X))


@pytest.mark.parametrize("steps", [1, 5, 50, slow(600)])
def test_the_rate_rises_from_zero_and_ends_at_zero(steps):
    optimizer = adam(0.1)(steps)
    z = jnp.zeros(())
    state, sizes = optimizer.init(z), []
    for _ in range(steps):
        with jax.numpy_dtype_promotion("standard"):
            update, state = optimizer.update(jnp.ones(()), state, z)
        sizes.append(abs(float(update)))
    assert sizes[0] == 0 and max(sizes) <= 0.1001
    assert steps < 5 or sizes[-1] < 0.5 * max(sizes)


@pytest.mark.parametrize(
    ("row", "learned", "maps", "width"),
    [
        (evidence.W, Learned.POINTS, False, 2),
        (evidence.W, Learned.LINEAR_MAP, True, 2),
        (evidence.W, Learned.NETWORK, True, SPREAD),
        (evidence.C, Learned.POINTS, False, 10),
        (evidence.C, Learned.LINEAR_MAP, True, 10),
        (evidence.C, Learned.NETWORK, True, 10),
        (evidence.S, Learned.POINTS, False, 2),
        (evidence.S, Learned.NETWORK, True, WIDTH),
        (evidence.G, Learned.POINTS, False, 2),
        (evidence.G, Learned.LINEAR_MAP, True, 2),
        (evidence.G, Learned.NETWORK, True, WIDTH),
        (evidence.T, Learned.NETWORK, True, 2),
        (evidence.YES, Learned.POINTS, False, 2),
        (evidence.SUMS, Learned.POINTS, False, 2),
        (evidence.SUMS, Learned.LINEAR_MAP, True, 2),
        (evidence.SUMS, Learned.NETWORK, True, 2),
    ],
)
def test_what_learns_is_decided_by_the_row_and_the_source(row, learned, maps, width):
    learner = learner_of(row, learned, 10)
    assert (learner.maps, learner.width) == (maps, width)
    linear = learned is Learned.LINEAR_MAP and row not in (evidence.C, evidence.SUMS)
    assert (learner is LINEAR) == linear
    assert (learner is MATRIX) == (
        learned is Learned.LINEAR_MAP and row == evidence.SUMS
    )


def test_a_network_to_the_plane_is_one_to_many_numbers_first():
    narrow = learner_of(evidence.T, Learned.NETWORK, 10, (16,))
    assert (narrow.width, narrow.first.width) == (2, WIDTH)
    wide = learner_of(evidence.G, Learned.NETWORK, 10)
    assert wide.first is None
    one, two = (learner.start(jr.key(0), X)[0] for learner in (narrow, narrow.first))
    assert jax.tree.structure(one) == jax.tree.structure(two)  # its trunk is kept


@pytest.mark.parametrize(
    ("row", "good"),
    [
        (evidence.S, lambda z: np.allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)),
        (evidence.C, lambda z: np.allclose(z.sum(1), 1, atol=1e-5) and z.min() > 0),
        (evidence.W, lambda z: np.allclose(z.mean(0), 0, atol=1e-4)),
    ],
)
def test_an_embedding_is_where_its_row_says(row, good):
    learner = learner_of(row, Learned.NETWORK, 4)
    assert good(np.asarray(learner.apply(learner.start(jr.key(0), X), X)))


def test_whitened_rows_have_mean_zero_and_covariance_one():
    wide = 5 + X @ np.diag(np.float32([9, 3, 1, 0.5, 2]))
    z = np.asarray(whitened(jnp.asarray(wide)))
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(5), atol=0.2)
    flat = np.zeros((8, 3), np.float32)  # nothing to divide by
    assert np.isfinite(whitened(flat)).all()


def test_a_matrix_of_class_sums_is_any_matrix():
    params = MATRIX.start(jr.key(0), X)
    assert np.array_equal(MATRIX.apply(3 * params, X), X @ (3 * params))
    assert np.array_equal(MATRIX.retract(3 * params), 3 * params)
