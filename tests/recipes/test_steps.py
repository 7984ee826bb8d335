"""Is a step back from noise what Bayes says, and is read only what was before?"""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import icon
from icon import encoders, recipes
from icon.recipes.tasks import steps


FEW = recipes.Budget(points=200, batches=1)
RNG = np.random.default_rng(0)
N, D, T = 5, 3, 20


@pytest.fixture(scope="module")
def m():
    return recipes.material(icon.data.digits(), budget=FEW)


def test_the_levels_of_digits_are_their_pixels(m):
    assert np.array_equal(steps.levels(m), np.rint(m.flat * 16))


def test_bits_by_share_are_counted():
    train, rows = np.array([[0, 1], [0, 1], [2, 1]]), np.array([[0, 3]])
    expected = -(np.log2(3 / 20) + np.log2(1 / 20)) / 2
    assert steps.bits_by_share(train, rows) == pytest.approx(expected)


# ------------------------------------------------------- from noise


def test_a_step_back_is_bayes_rule():
    """N(x_t; √α_t x_{t-1}, β_t) N(x_{t-1}; √ᾱ_{t-1} x, 1 - ᾱ_{t-1}), normalised."""
    schedule = steps.noise(T)
    share = schedule.kept**2
    np.testing.assert_allclose(share + schedule.noise**2, 1)
    odds = np.log(share / (1 - share))
    np.testing.assert_allclose(np.diff(odds), np.diff(odds)[0])
    for t in range(1, T):  # from 0
        alpha = share[t] / share[t - 1]
        precision = alpha / (1 - alpha) + 1 / (1 - share[t - 1])
        by_row = np.sqrt(share[t - 1]) / (1 - share[t - 1]) / precision
        by_noised = np.sqrt(alpha) / (1 - alpha) / precision
        found = schedule.of_row[t], schedule.of_noised[t], schedule.std[t]
        np.testing.assert_allclose(found, (by_row, by_noised, precision**-0.5))
    assert schedule.of_row[0] == 1 and schedule.of_noised[0] == 0


def test_the_row_is_that_of_its_velocity():
    x, epsilon = RNG.normal(size=(2, N, D)).astype(np.float32)
    at = steps.noise(T).at(np.array([1, 2, 9, 15, 20]))
    velocity = at.kept * epsilon - at.noise * x
    np.testing.assert_allclose(at.row(at.noised(x, epsilon), velocity), x, atol=1e-6)


def test_a_step_by_variance_is_that_by_noise_and_by_the_row(x64):
    """KL of a step = (SNR_{t-1} - SNR_t) |x - x̂|² / 2 = β² |ε - ε̂|² / (2 s² α (1 - ᾱ)).

    By variance, as the difference of signal over noise; by ε, as Ho et al. weigh it.
    """
    schedule = steps.noise(T)
    share = schedule.kept**2
    t = np.array([2, 3, 9, 15, 20])
    x, epsilon, guess = RNG.normal(size=(3, N, D))
    at = steps.Noise(*(jnp.asarray(part)[t - 1][:, None] for part in schedule))
    noised = at.noised(x, epsilon)
    guessed = (noised - at.noise * guess) / at.kept
    p, q = (icon.normal(*at.back(row, noised)) for row in (x, guessed))
    A, B, _, _ = icon.per_anchor(p, q)
    ratio = share / (1 - share)
    by_row = (ratio[t - 2] - ratio[t - 1]) * ((x - guessed) ** 2).sum(1) / 2
    alpha = share[t - 1] / share[t - 2]
    weight = (1 - alpha) ** 2 / (
        2 * schedule.std[t - 1] ** 2 * alpha * (1 - share[t - 1])
    )
    by_noise = weight * ((epsilon - guess) ** 2).sum(1)
    np.testing.assert_allclose(A - B, by_row, rtol=1e-9)
    np.testing.assert_allclose(by_noise, by_row, rtol=1e-9)
    np.testing.assert_allclose(icon.kl(p, q), by_row.mean(), rtol=1e-9)


def test_the_bits_of_rows_of_one_value_are_those_of_its_level():
    """A denoiser that knows the row pays for the level after the first step alone."""
    schedule, found = steps.noise(T), np.full((4, D), 8)
    at_zero = lambda noised, t: schedule.at(t).kept * noised / schedule.at(t).noise
    bits = steps.bits_of(schedule, at_zero, jnp.asarray(found), jr.key(0))
    near = math.erf(1 / 16 / schedule.std[0] / 2**0.5)
    end = np.log(1 / schedule.noise[-1]) + (schedule.noise[-1] ** 2 - 1) / 2
    assert bits == pytest.approx(-np.log2(near) + end / np.log(2), abs=1e-5)


def test_levels_of_a_normal_distribution_share_all_of_it():
    of = jax.vmap(steps._of_levels, (0, None, None))
    every = np.tile(np.arange(steps.LEVELS)[:, None], (1, 1))
    for mean, std in ((0.1, 0.3), (-3.0, 1.0)):
        found = of(jnp.asarray(every), jnp.array([mean]), jnp.array([std]))
        np.testing.assert_allclose(np.exp(found).sum(), 1, rtol=1e-5)


# ------------------------------------------------------- in its order


def test_a_place_reads_what_was_before_it_as_far_as_its_layers_reach():
    encoder, reach = encoders.CausalEncoder(7, width=8, layers=2), 2 * (1 + 2) + 1
    x = RNG.integers(0, 7, (1, 12))
    params = encoder.init(jr.key(0), jnp.asarray(x))
    before = encoder.apply(params, jnp.asarray(x))[0]
    for t in range(12):
        other = x.copy()
        other[0, t] = (x[0, t] + 1) % 7
        moved = np.abs(encoder.apply(params, jnp.asarray(other))[0] - before).sum(-1)
        assert np.array_equal(np.flatnonzero(moved), np.arange(t + 1, 12)[:reach])


@pytest.mark.parametrize("name", ["autoregression", "diffusion"])
def test_an_untrained_model_does_not_hold_its_floor(name, m):
    trained = recipes.train(icon.TABLE[name], m)
    found = dict(loss_value=0.0, scores=recipes.score(trained, m, recipes.Ground(m)))
    assert recipes.FLOORS[name].of(found)["held"] is False
