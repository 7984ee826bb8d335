"""Are points placed by the loss they are given, and new ones each alone?"""

import functools as ft

import jax
import numpy as np
import pytest
from cases import slow
from interpreter import interpret
from scipy.optimize import minimize as scipy_minimize

import icon
from icon._base.blocks import filled
from icon.recipes import embedding


N = 30
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4)) * [4, 2, 1, 1]
P = icon.uniform(icon.knn(X, 5)[0])
Z = np.float32(X[:, :2])

LOSSES = [
    icon.kl, slow(icon.cross_entropy), icon.tv, slow(icon.jsd), slow(icon.hellinger),
    ft.partial(icon.kl, joint=True),
]  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
def test_what_fills_up_changes_no_loss_and_no_gradient(loss):
    objective, z, args = embedding._program(icon.student_t, loss, Z, P)
    assert isinstance(objective, embedding.OfPoints) and len(z) == 1024
    value, gradient = interpret(jax.value_and_grad(objective), z, *args)
    exact = lambda z: loss(P, icon.student_t(z))
    expected, slope = interpret(jax.value_and_grad(exact), Z)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient[:N], slope, atol=1e-6)
    assert not np.asarray(gradient)[N:].any()


def test_any_other_q_is_taken_as_it_is():
    smoothed = lambda z: icon.smooth(icon.student_t(z), 0.5)
    objective, z, _ = embedding._program(smoothed, icon.kl, Z, P)
    assert isinstance(objective, embedding.OfAny) and len(z) == N
    dense = icon.gaussian(X)
    objective, z, _ = embedding._program(icon.student_t, icon.kl, Z, dense)
    assert isinstance(objective, embedding.OfAny) and len(z) == N
    found, history = embedding.descend(icon.student_t, icon.kl, Z, dense, 50)
    value = embedding.value(icon.student_t, icon.kl, found, dense)
    assert value < embedding.value(icon.student_t, icon.kl, Z, dense)


def test_the_descent_is_that_of_adam():
    found, history = embedding.descend(icon.student_t, icon.kl, Z, P, 100, 0.5)
    adam = embedding.optimizer(0.5, 100)
    exact = lambda z: icon.kl(P, icon.student_t(z))

    @jax.jit
    def step(z, state):
        value, gradient = jax.value_and_grad(exact)(z)
        with jax.numpy_dtype_promotion("standard"):
            change, state = adam.update(gradient, state, z)
        return value, z + change, state

    z, state = Z, adam.init(Z)
    for _ in range(100):
        before, z, state = step(z, state)
    np.testing.assert_allclose(history.loss[-1], before, rtol=1e-3)
    at = step(found, state)[0], step(z, state)[0]
    assert float(at[0]) == pytest.approx(float(at[1]), rel=1e-3)
    assert len(history.loss) == 2 and not history.interrupted


def test_a_divergence_keeps_the_last_points():
    with pytest.raises(icon.DivergenceError) as error:
        embedding.descend(lambda z: icon.gaussian(z), icon.kl, Z * 1e25, P)
    assert np.array_equal(error.value.partial, np.float32(Z * 1e25))


@pytest.mark.parametrize("q", [icon.student_t, slow(icon.gaussian)])
def test_a_new_point_minimises_its_own_loss(q):
    index, distance = icon.knn(X[:3] + 0.5, 8, X)
    p = icon.entropic(index, distance, perplexity=4, candidates=N)
    found = embedding.locate(q, Z, p)
    weight = np.asarray(icon.dense(p), float)
    profile = {icon.student_t: np.log1p, icon.gaussian: lambda d2: d2 / 2}[q]

    def own(z, i):
        s = -profile(np.sum((Z.astype(float) - z) ** 2, 1))
        return np.log(np.exp(s).sum()) - weight[i] @ s

    for i, z in enumerate(found):
        best = scipy_minimize(own, z.astype(float), args=(i,), method="BFGS")
        assert own(z, i) < best.fun + 1e-4
        one = embedding.locate(q, Z, icon.graph(weight[i : i + 1]))
        assert own(one[0], i) == pytest.approx(own(z, i), abs=1e-4)


def test_blocks_of_new_points_are_of_few_sizes():
    sizes = [embedding.block_size(n) for n in (1, 1000, 60_000, 10**6, 10**9)]
    assert sizes == [64, 64, 64, 8, 8]
    assert [embedding._length(n) for n in (3, 65, 1000, 5000)] == [64, 128, 1024, 5120]
    assert len(filled(Z, embedding._length(N))) == 64
