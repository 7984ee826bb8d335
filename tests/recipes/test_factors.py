"""Do factors of ratings reach the minimum, by either side in turn and by the cell?"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from interpreter import interpret

import icon
from icon import evaluate
from icon.recipes import factors


RNG = np.random.default_rng(4)
RATINGS = RNG.integers(1, 6, (12, 9)) * (RNG.random((12, 9)) < 0.7).astype(float)
RATINGS[0, 0] = 5
RIDGE = 2.0
BEGUN = factors.start(RATINGS, 2, 0)
ROW, ITEM = np.nonzero(RATINGS)
LEVELS = np.arange(1.0, 6)


def objective(rows, items, mean=BEGUN.mean):
    """Half of the squared errors, and of the ridge."""
    total = 0.0
    for u, i in zip(ROW, ITEM, strict=True):
        (*a, b), (*v, c) = rows[u], items[i]
        total += (RATINGS[u, i] - mean - b - c - np.dot(a, v)) ** 2 / 2
    return total + RIDGE / 2 * (np.sum(rows**2) + np.sum(items**2))


def slope(function, x, direction, h=1e-5):
    return (function(x + h * direction) - function(x - h * direction)) / (2 * h)


def test_a_side_is_at_its_minimum_and_the_whole_never_rises():
    found, values = BEGUN, []
    for _ in range(15):
        found = factors.alternating_least_squares(RATINGS, found, RIDGE, 1)
        values.append(objective(found.rows, found.items))
    assert np.diff(values).max() < 1e-9 and values[0] - values[-1] > 0.1
    direction = RNG.normal(size=found.items.shape)
    at_items = lambda items: objective(found.rows, items)
    assert abs(slope(at_items, found.items, direction)) < 1e-5  # the side that is new


def cell_loss(rows, items):
    predicted = factors.predicted(factors.Factors(BEGUN.mean, rows, items), ROW, ITEM)
    q = icon.gaussian(predicted[:, None], LEVELS[:, None])
    level = (RATINGS[ROW, ITEM] - 1).astype(int)
    return icon.kl(icon.same(level, np.arange(5)), icon.unnormalized(q))


def test_the_cell_is_half_the_mean_squared_error_and_so_is_its_gradient(x64):
    rows, items = jnp.asarray(BEGUN.rows), jnp.asarray(BEGUN.items)
    plain = objective(BEGUN.rows, BEGUN.items)
    plain -= RIDGE / 2 * (np.sum(BEGUN.rows**2) + np.sum(BEGUN.items**2))
    assert float(cell_loss(rows, items)) * len(ROW) == pytest.approx(plain, rel=1e-9)
    gradient = interpret(jax.grad(cell_loss), rows, items)
    direction = RNG.normal(size=BEGUN.rows.shape)
    penalised = lambda rows: objective(rows, BEGUN.items)
    exact = slope(penalised, BEGUN.rows, direction) - RIDGE * np.sum(
        BEGUN.rows * direction
    )
    assert len(ROW) * np.sum(gradient * direction) == pytest.approx(exact, rel=1e-6)


def test_gradient_descent_of_the_cell_ends_where_least_squares_do(x64):
    least = factors.alternating_least_squares(RATINGS, BEGUN, RIDGE, 500)
    shrunk = optax.add_decayed_weights(RIDGE / len(ROW))
    by = optax.chain(shrunk, optax.adam(optax.cosine_decay_schedule(0.1, 800)))
    begun = tuple(map(jnp.asarray, BEGUN[1:]))
    (rows, items), _ = icon.minimize(lambda both: cell_loss(*both), begun, by, 800)
    reached = objective(np.asarray(rows), np.asarray(items))
    assert reached == pytest.approx(objective(*least[1:]), rel=1e-4)


# ------------------------------------------------------- choices


CHOICES = icon.data.ratings(500, 200, 0).also
KEPT, LEFT_OUT = evaluate.leave_out(CHOICES["counts"])
P = icon.graph(KEPT)
START = tuple(
    np.float32(np.random.default_rng(k).normal(size=(n, 5)) / 10)
    for k, n in enumerate(KEPT.shape)
)


def recall_of(q, steps=150):
    """The recall at 20 of what descends kl(P, q) from START."""
    loss = lambda both, step: icon.kl(P, q(*both, step))
    keys = jax.random.split(jax.random.key(0), steps)
    by = optax.adam(0.05)
    (rows, items), _ = icon.minimize(
        loss, START, by, steps, args=(lambda step: keys[step],)
    )
    return evaluate.recall(np.asarray(rows @ items.T), LEFT_OUT, KEPT)


@pytest.mark.slow
def test_factors_of_choices_recommend_better_than_popularity_and_truncated_svd():
    popular = np.broadcast_to(KEPT.sum(0), KEPT.shape)
    u, s, v = np.linalg.svd(KEPT, full_matrices=False)
    peers = popular, (u[:, :4] * s[:4]) @ v[:4]
    whole = recall_of(lambda rows, items, key: icon.dot(rows, items))
    assert all(whole > evaluate.recall(x, LEFT_OUT, KEPT) + 0.02 for x in peers)
    assert whole < evaluate.recall(CHOICES["truth"], LEFT_OUT, KEPT)  # who knows it
    few = recall_of(
        lambda rows, items, key: icon.sampled(icon.dot(rows, items), key, 20)
    )
    assert few > whole - 0.03  # of 20 items drawn a step, instead of all 200
