"""What is p built from where a model generates the rows, or a grid covers them?"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from icon._base import checks as check
from icon.recipes import likelihoods
from icon.recipes.material import Material
from icon.recipes.networks import applied, started
from icon.recipes.task import Task


def _bernoulli(params, x, z):
    """log N(z; 0, 1) plus, pixel by pixel, log p(x | z) under the decoded log-odds."""
    logits = _decoder(x.shape[0]).apply(params, z)
    return _prior(z) + likelihoods.bernoulli(x, logits)


def _normal(params, x, z):
    """log N(z; 0, 1) plus log N(x; the decoded mean, 1)."""
    mean = _decoder(x.shape[0]).apply(params, z)
    return _prior(z) + likelihoods.gaussian(x, mean)


def _prior(z):
    return likelihoods.gaussian(z, jnp.zeros_like(z))


def _decoder(width: int) -> Any:
    from icon import encoders

    return encoders.Decoder((128, width))


def a_posterior(m: Material) -> Task:
    """A code of two dimensions, by an encoder, of what a decoder makes of it.

    Rows from 0 to 1 are pixels, each a Bernoulli; others are divided by their
    deviation, each entry of a normal distribution of variance 1.
    """
    from icon import encoders

    x = m.flat
    pixels = x.min() >= 0 and x.max() <= 1
    spread = x[m.train].std(0)
    varied = bool(spread.max() > 0)
    check.require(varied, "data", "rows that are all alike", "rows that differ")
    if not pixels:
        x = (x - x[m.train].mean(0)) / np.where(spread > 0, spread, 1)
    log_joint = _bernoulli if pixels else _normal
    encoder: Any = encoders.Posterior(2)

    def extra(key, width):
        one, two = jr.split(key)
        code = jnp.zeros((1, 2))
        return started(encoder, one, x[:1]), started(_decoder(x.shape[1]), two, code)

    def arguments(model, key, x):
        encoding, decoding = model.extra
        return (*applied(encoder, encoding, x), key, 1), (log_joint, decoding, x)

    def scored(params):
        return applied(encoder, params["extra"][0], x)[0]

    kind = "Bernoulli" if pixels else "normal"
    return Task(
        dict(x=x[m.train]),
        arguments,
        views={},
        extra=extra,
        width=2,
        scored=scored,
        summary=f"a {kind} decoder of a code of two numbers",
    )


SIDE, WIDEST, NARROWEST = 12, 4.0, 0.5  # of the grid, and the radius in units of it


def a_grid(m: Material) -> Task:
    """Units on a grid: each row's best unit and its neighbours on the grid.

    The radius shrinks from 4 units to a half, by a factor a step.
    """
    x = m.flat - m.flat[m.train].mean(0)
    place = np.stack(np.divmod(np.arange(SIDE**2), SIDE), 1).astype(np.float32)
    squared = jnp.asarray(((place[:, None] - place[None]) ** 2).sum(-1))
    _, size, plane = np.linalg.svd(x[m.train], full_matrices=False)

    def extra(key, width):
        spread = size[:2] / math.sqrt(len(m.train))
        grid = (place - place.mean(0)) / place.std(0)
        return jnp.asarray(grid @ (spread[:, None] * plane[:2]), jnp.float32)

    def neighbors(radius):
        return jax.nn.log_softmax(-squared / (2 * radius**2))

    def best(units, x, h):
        energy = ((x[:, None] - units[None]) ** 2).sum(-1) @ jnp.exp(h).T
        return jnp.argsort(energy, 1)[:, :2]

    def arguments(model, key, x):
        h = neighbors(WIDEST * (NARROWEST / WIDEST) ** model.progress)
        nearest = best(jax.lax.stop_gradient(model.extra), x, h)[:, 0]
        return (h[nearest],), (x, model.extra)

    def scores(trained, m: Material) -> dict[str, float]:
        units = trained.params["extra"]
        rows = jnp.asarray(x[m.test] if len(m.test) else x)
        two = np.asarray(best(units, rows, neighbors(NARROWEST)))
        distance = np.abs(place[two[:, 0]] - place[two[:, 1]]).max(1)
        error = jnp.sqrt(((rows - units[two[:, 0]]) ** 2).sum(1)).mean()
        return {
            "topographic error": float((distance > 1).mean()),
            "quantisation error": float(error),
            "raw quantisation error": float(np.linalg.norm(rows, axis=1).mean()),
        }

    def scored(params):
        return place[best(params["extra"], x, neighbors(NARROWEST))[:, 0]]

    return Task(
        dict(x=x[m.train]),
        arguments,
        views={},
        extra=extra,
        scored=scored,
        scores=scores,
        protocol="held-out rows",
        summary=f"{SIDE} x {SIDE} units, the radius from {WIDEST:g} to {NARROWEST:g}",
    )
