"""Is what clusters score along edges what the scores of all pairs say? And how big?"""

import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from interpreter import interpret

import icon
from icon._engines import Factored
from icon._neighborhoods import from_sparse, to_sparse


N, C = 40, 5
RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(N, 3)), RNG.normal(size=(N, C))
WEIGHT = RNG.uniform(size=N)


def graph():
    """Rows of unlike lengths, one of them empty."""
    p = to_sparse(icon.self_tuning(*icon.knn(X, 7))).tolil()
    p[3] = 0
    p[4, :] = 0
    p[4, 9] = 1
    return from_sparse(p.tocsr(), jnp.asarray(X).dtype, True)


def expected(p, w, alpha, joint=False, weight=None):
    """Σ_i π_i KL(p_i ‖ q_i), or that over pairs, from whole rows."""
    phi = jax.nn.softmax(w)
    q = (1 - alpha) * (phi / jnp.sum(phi, 0)[None]) @ phi.T + alpha / N
    rows = icon.dense(p)
    mass = jnp.sum(rows, 1)
    share = jnp.where(mass > 0, 1.0 if weight is None else jnp.asarray(weight), 0)
    share = share / jnp.sum(share)
    if joint:
        q = q / N
    rows = share[:, None] * rows
    p_prob = rows if joint else rows / jnp.where(share > 0, share, 1)[:, None]
    log = jnp.log(jnp.where(rows > 0, p_prob, 1)) - jnp.log(q)
    return jnp.sum(jnp.where(rows > 0, rows * log, 0))


@pytest.mark.parametrize(
    ("alpha", "joint", "weight"),
    [
        *((alpha, False, None) for alpha in (0.0, 0.3, 1.0)),
        *(slow(alpha, True, None) for alpha in (0.0, 0.3, 1.0)),
        (0.3, False, WEIGHT),
    ],
)
def test_along_edges_value_and_gradient_are_those_of_all_pairs(
    alpha, joint, weight, x64
):
    p, w, alpha = graph(), jnp.asarray(W), jnp.asarray(alpha)

    def loss(w, alpha, p):
        q = icon.smooth(icon.clusters(jax.nn.softmax(w)), alpha)
        return icon.kl(p, q, joint=joint, weight=weight)

    ask = jax.value_and_grad(loss, (0, 1))
    reference = jax.value_and_grad(
        lambda w, a: expected(p, w, a, joint, weight), (0, 1)
    )
    value, gradients = interpret(reference, w, alpha)
    known = [ft.partial(ask, p=each) for each in (p, p.prepared())]
    answers = [interpret(each, w, alpha) for each in known]
    for found, by in (*answers, jax.jit(ask)(w, alpha, p)):
        np.testing.assert_allclose(found, value, rtol=1e-12)
        for a, b in zip(by, gradients, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.slow
def test_half_precision_is_summed_in_single():
    p, phi = graph(), jnp.full((N, 4), 0.25).at[::3].set(jnp.eye(4)[1])
    loss = lambda phi: icon.kl(p, icon.smooth(icon.clusters(phi), 0.5))
    value, gradient = jax.value_and_grad(loss)(phi.astype(jnp.bfloat16))
    assert value.dtype == jnp.float32 and gradient.dtype == jnp.bfloat16
    np.testing.assert_allclose(value, loss(phi), rtol=1e-6)


def test_what_q_never_lists_is_infinitely_far_with_a_finite_gradient():
    p, hard = graph(), jax.nn.one_hot(jnp.arange(N) % C, C)
    loss = lambda phi: icon.kl(p, icon.clusters(phi))
    value, gradient = interpret(jax.value_and_grad(loss), hard)
    by_rows = jax.grad(lambda phi: icon.kl(p, icon.clusters(phi), block=7))
    assert value == jnp.inf and np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient, interpret(by_rows, hard), atol=1e-6)


def test_an_empty_cluster_and_a_nan():
    p = graph()
    phi = jnp.pad(jax.nn.softmax(jnp.asarray(W, jnp.float32)), ((0, 0), (0, 1)))
    loss = lambda phi: icon.kl(p, icon.smooth(icon.clusters(phi), 0.5))
    assert np.isfinite(interpret(jax.grad(loss), phi)).all()
    lost = jax.jit(jax.value_and_grad(loss))(phi.at[0, 0].set(jnp.nan))
    assert np.isnan(lost[0]) and np.isnan(lost[1]).any()


@pytest.mark.slow
def test_heads_side_by_side_are_each_their_own():
    p = graph().prepared()
    w = jnp.asarray(RNG.normal(size=(3, N, C)), jnp.float32)
    loss = lambda w: icon.kl(p, icon.smooth(icon.clusters(jax.nn.softmax(w)), 0.5))
    values, gradients = jax.vmap(jax.value_and_grad(loss))(w)
    for one, value, gradient in zip(w, values, gradients, strict=True):
        alone = jax.value_and_grad(loss)(one)
        np.testing.assert_allclose(value, alone[0], rtol=1e-6)
        np.testing.assert_allclose(gradient, alone[1], atol=1e-7)


def test_candidates_with_weights_or_of_another_set_are_asked_one_by_one():
    phi = jax.nn.softmax(jnp.asarray(W, jnp.float32))
    assert icon.clusters(phi).as_factors() is not None
    assert icon.clusters(phi, phi).as_factors() is None
    assert icon.clusters(phi, candidate_weight=WEIGHT).as_factors() is None
    assert icon.smooth(graph(), 0.5).as_factors() is None
    twice = icon.smooth(icon.smooth(icon.clusters(phi), 0.5), 0.25)
    root, share, floor = twice.as_factors()
    found = share * root @ root.T + floor
    np.testing.assert_allclose(found, icon.dense(twice), rtol=1e-5)
    mass = Factored(twice.as_factors()).log_masses()
    np.testing.assert_allclose(mass, np.zeros(N))


@pytest.mark.slow
def test_memory_grows_with_the_edges_not_with_the_pairs():
    def needed(n):
        index = (np.arange(n)[:, None] + np.arange(1, 9)) % n
        p = icon.uniform(index).prepared()

        def loss(w, p):
            return icon.kl(p, icon.smooth(icon.clusters(jax.nn.softmax(w)), 0.5))

        w = jnp.zeros((n, 16), jnp.float32)
        made = jax.jit(jax.value_and_grad(loss)).lower(w, p).compile()
        return made.memory_analysis().temp_size_in_bytes

    small, large = needed(4096), needed(32768)
    assert large < 12 * small and large < 32768 * 16 * 4 * 12
