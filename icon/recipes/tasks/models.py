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
    grid = _Grid(m)
    return Task(
        dict(x=grid.x[m.train]),
        grid.arguments,
        views={},
        extra=grid.start,
        scored=grid.scored,
        scores=grid.scores,
        protocol="held-out rows",
        summary=f"{SIDE} x {SIDE} units, the radius from {WIDEST:g} to {NARROWEST:g}",
    )


class _Grid:
    """Units on a grid around the mean of some rows, and which of them are best."""

    def __init__(self, m: Material):
        place = np.stack(np.divmod(np.arange(SIDE**2), SIDE), 1).astype(np.float32)
        self.place, self.m = place, m
        self.x = m.flat - m.flat[m.train].mean(0)
        self._squared = jnp.asarray(((place[:, None] - place[None]) ** 2).sum(-1))

    def start(self, key, width):
        """In the plane of the first principal components, as wide as the rows."""
        _, size, plane = np.linalg.svd(self.x[self.m.train], full_matrices=False)
        spread = size[:2] / math.sqrt(len(self.m.train))
        grid = (self.place - self.place.mean(0)) / self.place.std(0)
        return jnp.asarray(grid @ (spread[:, None] * plane[:2]), jnp.float32)

    def neighbors(self, radius):
        return jax.nn.log_softmax(-self._squared / (2 * radius**2))

    def best(self, units, x, h):
        """The two units around which a row's energy is least."""
        energy = ((x[:, None] - units[None]) ** 2).sum(-1) @ jnp.exp(h).T
        return jnp.argsort(energy, 1)[:, :2]

    def arguments(self, model, key, x):
        h = self.neighbors(WIDEST * (NARROWEST / WIDEST) ** model.progress)
        nearest = self.best(jax.lax.stop_gradient(model.extra), x, h)[:, 0]
        return (h[nearest],), (x, model.extra)

    def scored(self, params):
        best = self.best(params["extra"], self.x, self.neighbors(NARROWEST))
        return self.place[best[:, 0]]

    def scores(self, trained, m: Material) -> dict[str, float]:
        units = trained.params["extra"]
        rows = jnp.asarray(self.x[m.test] if len(m.test) else self.x)
        two = np.asarray(self.best(units, rows, self.neighbors(NARROWEST)))
        distance = np.abs(self.place[two[:, 0]] - self.place[two[:, 1]]).max(1)
        error = jnp.sqrt(((rows - units[two[:, 0]]) ** 2).sum(1)).mean()
        return {
            "topographic error": float((distance > 1).mean()),
            "quantisation error": float(error),
            "raw quantisation error": float(np.linalg.norm(rows, axis=1).mean()),
        }
