"""Is a step back from noise what Bayes says, and is read only what was before?"""

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


def test_levels_are_guessed_by_bayes_rule():
    """π_l N(x_t; √ᾱ v_l, 1 - ᾱ), normalised."""
    at = steps.noise(T).at(np.array([1, 2, 9, 15, 20]))
    expected = RNG.normal(size=(N, D, steps.LEVELS)).astype(np.float32)
    noised = RNG.normal(size=(N, D)).astype(np.float32)
    found = np.exp(at.levels(jnp.asarray(expected), jnp.asarray(noised)))
    value = np.linspace(-1, 1, steps.LEVELS)
    for n in range(N):
        kept, noise = float(at.kept[n, 0]), float(at.noise[n, 0])
        for d in range(D):
            off = (noised[n, d] - kept * value) / noise
            log_prob = expected[n, d] - off**2 / 2
            exact = np.exp(log_prob - log_prob.max())
            np.testing.assert_allclose(found[n, d], exact / exact.sum(), atol=2e-6)


def test_without_a_network_bits_are_nearly_those_of_the_shares():
    """Of entries that know nothing of each other, at the limit of many small steps."""
    schedule, rows = steps.noise(500), RNG.integers(0, 3, (400, D))
    share = np.full(steps.LEVELS, 1e-9)
    share[:3] = 1 / 3
    expected = jnp.log(jnp.asarray(share, jnp.float32))[None, None]
    guessed = lambda noised, t: schedule.at(t).levels(expected, noised)
    bits = steps.bits_of(schedule, guessed, jnp.asarray(rows), jr.key(0))
    assert bits == pytest.approx(np.log2(3), abs=0.03)


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


def test_a_denoiser_that_knows_the_row_pays_for_the_level_and_the_end():
    schedule, found = steps.noise(T), np.full((4, D), 8)
    known = jnp.log(jnp.where(jnp.arange(steps.LEVELS) == 8, 0.9, 0.1 / 16))
    sides = jnp.broadcast_to(known, (4, D, steps.LEVELS))
    bits = steps.bits_of(schedule, lambda *_: sides, jnp.asarray(found), jr.key(0))
    end = np.log(1 / schedule.noise[-1]) + (schedule.noise[-1] ** 2 - 1) / 2
    assert bits == pytest.approx(-np.log2(0.9) + end / np.log(2), abs=1e-5)


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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["autoregression", "diffusion"])
def test_an_untrained_model_does_not_hold_its_floor(name, m):
    trained = recipes.train(icon.TABLE[name], m)
    found = dict(loss_value=0.0, scores=recipes.score(trained, m, recipes.Ground(m)))
    assert recipes.FLOORS[name].of(found)["held"] is False
