"""Are edges drawn by their weight, strangers alike, and do points follow both?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import icon
from icon._neighborhoods import umap
from icon.recipes import edges


WEIGHT = np.array([[0, 3, 1, 0], [3, 0, 2, 0], [1, 2, 0, 4], [0, 0, 4, 0]], float)
N = len(WEIGHT)
DRAWN = 4000


@pytest.fixture(scope="module")
def drawn():
    draws, _ = edges.draws(icon.graph(WEIGHT), seed=0, strangers=3)
    return np.asarray(jax.jit(jax.vmap(draws))(jnp.arange(DRAWN)))[:, :N]


def test_an_edge_is_drawn_by_its_weight(drawn):
    share = np.stack([np.bincount(drawn[:, i, 0], minlength=N) for i in range(N)])
    expected = WEIGHT / WEIGHT.sum(1, keepdims=True)
    np.testing.assert_allclose(share / DRAWN, expected, atol=0.03)
    assert not share[WEIGHT == 0].any()


def test_strangers_are_all_others_alike(drawn):
    for i in range(N):
        share = np.bincount(drawn[:, i, 1:].ravel(), minlength=N) / (3 * DRAWN)
        np.testing.assert_allclose(share, (np.arange(N) != i) / (N - 1), atol=0.02)


def test_long_and_empty_rows_are_drawn_from():
    weight = np.triu(np.random.default_rng(0).random((400, 400)), 1)
    weight[300:] = 0
    draws, mass = edges.draws(icon.graph(weight), seed=1)
    first = np.asarray(draws(7))[:400, 0]
    assert (weight[np.arange(300), first[:300]] > 0).all()
    np.testing.assert_allclose(mass[:400], weight.sum(1), rtol=1e-5)
    assert not mass[300:].any()


def q(z, index):
    return icon.bernoulli(icon.among(icon.points(umap, z, a=1.5, b=0.9), index))


INDEX = np.array([[1, 2, 3], [0, 3, 2], [3, 0, 1], [2, 1, 0]])


def exact(z):
    """-log(yes) of the first, -log(no) of the others, weighed by what edges weigh."""
    d2 = np.sum((z[:, None] - z[INDEX]) ** 2, -1)
    yes = 1 / (1 + 1.5 * d2**0.9)
    own = -np.log(yes[:, 0]) - np.log(1 - yes[:, 1:]).sum(1)
    return WEIGHT.sum(1) @ own / WEIGHT.sum()


def test_the_loss_is_that_of_the_edge_and_the_strangers():
    z = np.random.default_rng(2).normal(size=(N, 2))
    _, mass = edges.draws(icon.graph(WEIGHT), seed=0)
    padded = np.float32(np.pad(z, [(0, 1024 - N), (0, 0)]))
    index = np.int32(
        np.concatenate([INDEX, (np.arange(N, 1024)[:, None] + [1, 2, 3]) % 4])
    )
    objective = jax.value_and_grad(edges.OfDrawn(edges.CELL, q))
    value, gradient = objective(padded, index, mass, {})
    np.testing.assert_allclose(value, exact(z), rtol=1e-5)
    step = 1e-6 * np.eye(N * 2).reshape(-1, N, 2)
    slope = [(exact(z + h) - exact(z - h)) / 2e-6 for h in step]
    np.testing.assert_allclose(gradient[:N].ravel(), slope, rtol=1e-3, atol=1e-5)
    assert not np.asarray(gradient)[N:].any()


@pytest.mark.slow
def test_points_of_two_groups_come_apart():
    groups = np.kron(np.eye(2), np.ones((10, 10))) - np.eye(20)
    start = np.random.default_rng(0).normal(size=(20, 2))
    z, history = edges.descend(q, start, icon.graph(groups), 150)
    far = np.linalg.norm(z[:, None] - z[None], axis=-1)
    assert far[groups > 0].mean() < 0.3 * far[:10, 10:].mean()
    assert len(history.loss) == 3
    again, _ = edges.descend(q, start, icon.graph(groups), 150)
    other, _ = edges.descend(q, start, icon.graph(groups), 150, seed=1)
    assert np.array_equal(again, z) and not np.array_equal(other, z)
