"""What is p built from where a row is made step by step: from noise, or in its order?

Entries are cut into 17 levels between the lowest and the highest of the training rows,
as many as the digits have, so that a model has a number of bits for each.
"""

import functools as ft
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Int

from icon._base import checks as check
from icon._loss import kl
from icon._neighborhoods import normal
from icon.recipes import likelihoods
from icon.recipes.material import Material
from icon.recipes.networks import applied, started
from icon.recipes.task import Task


LEVELS = 17
HELD_OUT: Any = dict(views={}, protocol="held-out rows")
DRAWS = 7  # the seed of the noise that held-out rows are scored with


def levels(m: Material) -> Int[np.ndarray, "n d"]:
    """The level of every entry, from 0 to 16."""
    train = m.flat[m.train]
    low, high = float(train.min()), float(train.max())
    expected = "rows that differ"
    check.require(high > low, "data", "entries that are all alike", expected)
    place = np.rint((m.flat - low) / (high - low) * (LEVELS - 1))
    return np.clip(place, 0, LEVELS - 1).astype(np.int32)


def values(level):
    """Levels as float32 from -1 to 1."""
    return level.astype(np.float32) / (LEVELS - 1) * 2 - 1


VALUES = values(np.arange(LEVELS))


def mean(log_prob):
    """The mean of levels that have these log-probabilities."""
    return jnp.exp(log_prob) @ VALUES


def bits_by_share(train: Int[np.ndarray, "n d"], rows: Int[np.ndarray, "r d"]) -> float:
    """Bits of an entry by the shares of the levels at its place, each once more."""
    counts = (train[..., None] == np.arange(LEVELS)).sum(0) + 1.0
    shares = counts / counts.sum(1, keepdims=True)
    return float(-np.log2(np.take_along_axis(shares, rows.T, 1)).mean())


def _by_bits(m: Material, found: Int[np.ndarray, "n d"], bits: Callable) -> Callable:
    """The bits of an entry of held-out rows, beside those by the levels' shares."""
    held = found[m.test if len(m.test) else m.train]
    raw = bits_by_share(found[m.train], held)

    def scores(trained, m: Material) -> dict[str, float]:
        own = bits(trained.params["extra"], jnp.asarray(held))
        return {"bits per entry": own, "raw bits per entry": raw}

    return scores


# ------------------------------------------------------- in its order


WIDTH, LAYERS, SEQUENCES = 32, 5, 8  # of the network; rows of a batch


def next_levels(m: Material) -> Task:
    """Each entry of a row, from those before it."""
    from icon import encoders

    found = levels(m)
    encoder: Any = encoders.CausalEncoder(LEVELS, WIDTH, LAYERS)

    def extra(key, width):
        one, two = jr.split(key)
        table = jr.normal(two, (LEVELS, WIDTH)) / math.sqrt(WIDTH)
        return started(encoder, one, found[:1]), table

    def arguments(model, key, level):
        encoding, table = model.extra
        hidden = applied(encoder, encoding, jnp.asarray(level))
        hidden = hidden.reshape(-1, hidden.shape[-1])
        return (level.reshape(-1), jnp.arange(LEVELS)), (hidden, table)

    def scored(params):
        return applied(encoder, params["extra"][0], jnp.asarray(found)).mean(1)

    def bits(extra, rows) -> float:
        logits = applied(encoder, extra[0], rows) @ extra[1].T
        each = jax.vmap(likelihoods.categorical)(rows, logits)
        return float(-each.mean()) / math.log(2) / rows.shape[1]

    return Task(
        dict(level=found[m.train]),
        arguments,
        extra=extra,
        size=SEQUENCES,
        width=WIDTH,
        scored=scored,
        scores=_by_bits(m, found, bits),
        **HELD_OUT,
        summary=f"{LEVELS} levels, by {LAYERS} causal convolutions",
    )


# ------------------------------------------------------- from noise


STEPS, HIDDEN = 300, 256  # of noise; units of the denoiser
WAVES = np.arange(1, 9, dtype=np.float32)  # of a time
CLEAR, FAINT = 7.0, -6.0  # the log of signal over noise, at both ends


class Noise(NamedTuple):
    """x_t = √ᾱ_t x + √(1 - ᾱ_t) ε, and the step back from it; t from 1 to T.

    p(x_{t-1} | x_t, x) = N(c_t x + k_t x_t, s_t²), with the noise of the first step for
    its own deviation, which is 0.
    """

    kept: Any  # √ᾱ [T]
    noise: Any  # √(1 - ᾱ) [T]
    of_row: Any  # c [T]
    of_noised: Any  # k [T]
    std: Any  # s [T]

    def at(self, t) -> "Noise":
        """The numbers of these steps, as columns."""
        return Noise(*(jnp.asarray(x, jnp.float32)[t - 1][:, None] for x in self))

    def noised(self, x, epsilon):
        return self.kept * x + self.noise * epsilon

    def levels(self, expected, noised):
        """Log-probabilities of levels: as expected, times what made the noised entry.

        log π_l - (x_t - √ᾱ v_l)² / 2 (1 - ᾱ) + const.
        """
        off = noised[..., None] - self.kept[..., None] * VALUES[None, None]
        evidence = (off / self.noise[..., None]) ** 2 / 2
        return jax.nn.log_softmax(expected - evidence)

    def back(self, x, noised):
        """The mean and the deviation of the step before, where the row is x."""
        mean = self.of_row * x + self.of_noised * noised
        return mean, jnp.broadcast_to(self.std, mean.shape)


def noise(steps: int) -> Noise:
    """Steps that are alike in log(ᾱ / (1 - ᾱ)), from 7 down to -6.

    The noise of the first is a quarter of what is between two levels.
    """
    share = 1 / (1 + np.exp(-np.linspace(CLEAR, FAINT, steps)))  # ᾱ
    before = np.concatenate([[1.0], share[:-1]])
    ratio = share / before
    variance = (1 - before) / (1 - share) * (1 - ratio)
    variance[0] = 1 - share[0]
    return Noise(
        kept=np.sqrt(share),
        noise=np.sqrt(1 - share),
        of_row=np.sqrt(before) * (1 - ratio) / (1 - share),
        of_noised=np.sqrt(ratio) * (1 - before) / (1 - share),
        std=np.sqrt(variance),
    )


def steps_of_noise(m: Material) -> Task:
    """One step back from noise: of the row that it hides, and of one that is guessed.

    The guess is a mean over the levels: what a network expects of each, from the noised
    row and the time, times what the noised entry itself says.
    """
    found, schedule = levels(m), noise(STEPS)
    x = values(found)
    denoiser = denoiser_of(x.shape[1])

    def extra(key, width):
        return started(denoiser, key, seen(x[:1], jnp.ones(1, jnp.int32)))

    def guessed(extra, noised, t):
        return guess(schedule, ft.partial(applied, denoiser, extra), noised, t)

    def arguments(model, key, x):
        one, two = jr.split(key)
        t = jr.randint(one, (len(x),), 1, STEPS + 1)
        at = schedule.at(t)
        noised = at.noised(x, jr.normal(two, x.shape))
        row = mean(guessed(model.extra, noised, t))
        return at.back(x, noised), at.back(row, noised)

    def bits(extra, rows) -> float:
        return bits_of(schedule, ft.partial(guessed, extra), rows, jr.key(DRAWS))

    def scored(params):
        """The row that is guessed after a fifth of the steps, without their noise."""
        t = jnp.full(len(x), STEPS // 5)
        return mean(guessed(params["extra"], schedule.at(t).kept * x, t))

    return Task(
        dict(x=x[m.train]),
        arguments,
        extra=extra,
        width=x.shape[1],
        scored=scored,
        scores=_by_bits(m, found, bits),
        **HELD_OUT,
        summary=f"{STEPS} steps of noise, a denoiser of two layers of {HIDDEN} units",
    )


def denoiser_of(d: int) -> Any:
    from icon import encoders

    return encoders.Decoder((HIDDEN, HIDDEN, d * LEVELS))


def seen(noised, t):
    """A noised row [b, d], and its time as waves [b, 16]."""
    turn = jnp.pi / STEPS * t[:, None].astype(noised.dtype) * WAVES[None]
    return jnp.concatenate([noised, jnp.sin(turn), jnp.cos(turn)], 1)


def guess(schedule: Noise, denoise: Callable, noised, t):
    """Log-probabilities of the levels [b, d, 17] of rows that were noised t times.

    Args:
        schedule: of the noise.
        denoise: what `seen` makes -> scores [b, 17 d].
        noised: floats [b, d].
        t: integers [b].
    """
    expected = denoise(seen(noised, t)).reshape(*noised.shape, LEVELS)
    return schedule.at(t).levels(expected, noised)


def bits_of(schedule: Noise, guessed, found: Int[Array, "n d"], key) -> float:
    """A bound on the bits of an entry: of every step back, of the end, of the levels.

    KL(p(x_T | x) ‖ N(0, 1)) + Σ_{t > 1} KL(p(x_{t-1} | x_t, x) ‖ q(x_{t-1} | x_t))
    - log q(x | x_1)

    Args:
        schedule: of the noise.
        guessed: (x_t, t) -> log q of the levels of each entry.
        found: the levels.
        key: of the noise.
    """
    x = values(found)
    steps = len(schedule.std)
    of_entries = jax.vmap(likelihoods.categorical)

    def parts(t):
        times = jnp.full(len(x), t)
        at = schedule.at(times)
        noised = at.noised(x, jr.normal(jr.fold_in(key, t), x.shape))
        log_prob = guessed(noised, times)
        back, guessed_back = at.back(x, noised), at.back(mean(log_prob), noised)
        first = -jnp.mean(of_entries(found, log_prob))
        return jnp.where(t > 1, kl(normal(*back), normal(*guessed_back)), first)

    last = schedule.at(jnp.full(len(x), steps))
    end = normal(last.kept * x, jnp.broadcast_to(last.noise, x.shape))
    nats = kl(end, normal(jnp.zeros_like(x), 1.0))
    nats = nats + jnp.sum(jax.lax.map(parts, jnp.arange(1, steps + 1)))
    return float(nats) / math.log(2) / x.shape[1]
