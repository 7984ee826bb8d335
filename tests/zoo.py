"""Which neighbourhoods are there, one of each kind and over the same data?

`ZOO[name](data)` builds one; two seeds give twins that differ in every number but not
in whom they list, so that twins can stand on both sides of a loss.
"""

import dataclasses
import functools as ft
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import icon


N, D, C, K = 9, 3, 4, 4


@dataclasses.dataclass
class Data:
    """What every neighbourhood is built from; anchors and candidates in one order."""

    x: Any  # [n, d]
    y: Any  # [n, d]
    ids: Any  # [n]
    weights: Any  # [n, n], zero where nobody is listed
    listed: Any  # [n, k]
    phi: Any  # [n, c]
    psi: Any  # [n, c]
    mass: Any  # [n]
    scale: Any  # [n]
    number: float


def data(seed=0, order=None, n=N) -> Data:
    rng, shape = np.random.default_rng(seed), np.random.default_rng(99)
    order = np.arange(n) if order is None else order
    place = np.argsort(order)
    others = (
        np.arange(n)[:, None]
        + shape.permuted(np.tile(np.arange(1, n), (n, 1)), axis=1)[:, :K]
    ) % n
    pattern = np.zeros((n, n))
    np.put_along_axis(pattern, others, 1, 1)
    softmax = lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)
    x, y = rng.normal(size=(2, n, D))
    phi, psi = softmax(rng.normal(size=(n, C))), softmax(rng.normal(size=(n, C)))
    weights = pattern * rng.uniform(0.2, 0.9, (n, n))
    mass, scale = rng.uniform(0.5, 2, (2, n))
    rows = [jnp.asarray(v[order]) for v in (x, y, phi, psi, mass, scale)]
    return Data(
        *rows[:2],
        jnp.asarray((np.arange(n) // 3)[order], jnp.int32),
        weights[np.ix_(order, order)],
        place[others[order]],
        *rows[2:],
        float(rng.uniform(0.5, 1.5)),
    )


def cauchy(a, b, width):
    """A kernel of one's own, over pytrees."""
    return -jnp.log1p(jnp.sum((a["z"][None] - b["z"]) ** 2, 1) / width)


def log_joint(params, x, z):
    return -jnp.sum((x - params * z) ** 2) / 2 - jnp.sum(z**2) / 2


def key():
    return jax.random.key(3)


def _odds(d):
    return icon.odds(icon.graph(d.weights))


KERNELS = {
    "gaussian": lambda a, b, d: icon.gaussian(a, b, scale=d.number),
    "gaussian, a scale each": lambda a, b, d: icon.gaussian(a, b, scale=d.scale),
    "student_t": lambda a, b, d: icon.student_t(a, b, dof=d.number, scale=1.3),
    "laplace": lambda a, b, d: icon.laplace(a, b, scale=d.number),
    "dot": lambda a, b, d: icon.dot(a, b, temperature=d.number),
    "cosine": lambda a, b, d: icon.cosine(a, b, temperature=d.number),
    "same": lambda a, b, d: icon.same(d.ids, None if b is None else d.ids),
}

# anchors without themselves
ONE_SET = {
    **{k: ft.partial(lambda f, d: f(d.x, None, d), f) for k, f in KERNELS.items()},
    "kernel of one's own": lambda d: icon.points(cauchy, dict(z=d.x), width=d.number),
    "wide": lambda d: icon.wide(icon.gaussian(d.x, scale=d.number)),
    "wide, 2nd order": lambda d: icon.wide(icon.gaussian(d.x, scale=d.number), 2),
    "sharp": lambda d: icon.sharp(icon.dot(d.x, temperature=d.number)),
    "hard": lambda d: icon.hard(icon.gaussian(d.x), 3),
    "graph": lambda d: icon.graph(d.weights),
    "uniform": lambda d: icon.uniform(d.listed),
    "symmetrized": lambda d: icon.symmetrize(icon.graph(d.weights)),
    "propagated": lambda d: icon.propagate(icon.graph(d.weights), 1),
    "fuzzy": lambda d: icon.fuzzy(d.listed, _distances(d)),
    "entropic": lambda d: icon.entropic(d.listed, _distances(d), perplexity=3.0),
    "smooth, points": lambda d: icon.smooth(icon.gaussian(d.x), d.number / 4),
    "smooth, same": lambda d: icon.smooth(icon.same(d.ids), d.number / 4),
    "smooth, graph": lambda d: icon.smooth(icon.graph(d.weights), d.number / 4),
    "smooth, samples": lambda d: icon.smooth(
        icon.graph(d.weights), d.number / 4, samples=5, key=key()
    ),
    "among": lambda d: icon.among(icon.student_t(d.x), d.listed),
    "among, sharp": lambda d: icon.sharp(icon.among(icon.dot(d.x), d.listed)),
    "margin": lambda d: icon.margin(icon.gaussian(d.x), icon.same(d.ids), d.number),
    "margin among": lambda d: icon.margin(
        icon.among(icon.dot(d.x), d.listed), icon.same(d.ids), d.number
    ),
    "margin, sharp": lambda d: icon.sharp(
        icon.margin(icon.gaussian(d.x), icon.same(d.ids), d.number)
    ),
    "reweigh": lambda d: icon.reweigh(icon.gaussian(d.x), d.mass),
    "reweigh, graph": lambda d: icon.reweigh(icon.graph(d.weights), d.mass),
    "wide reweigh": lambda d: icon.wide(icon.reweigh(icon.gaussian(d.x), d.mass)),
    "sharp reweigh": lambda d: icon.sharp(icon.reweigh(icon.dot(d.x), d.mass)),
}

TWO_SETS = {
    **{
        f"{k}, two sets": ft.partial(lambda f, d: f(d.x, d.y, d), f)
        for k, f in KERNELS.items()
    },
    "scores": lambda d: icon.scores(d.x @ d.y.T, temperature=d.number),
    "clusters": lambda d: icon.clusters(d.phi),
    "clusters, two sets": lambda d: icon.clusters(d.phi, d.psi),
    "clusters, weighed": lambda d: icon.clusters(d.phi, candidate_weight=d.mass),
    "smooth, two sets": lambda d: icon.smooth(icon.dot(d.x, d.y), d.number / 4),
    "smooth, clusters": lambda d: icon.smooth(icon.clusters(d.phi), d.number / 4),
    "wide, two sets": lambda d: icon.wide(icon.dot(d.x, d.y, temperature=d.number)),
    "hard, two sets": lambda d: icon.hard(icon.dot(d.x, d.y)),
}

CLASSES = {
    "grouped": lambda d: icon.grouped(icon.gaussian(d.x), _classes(d), 3),
    "grouped, clusters": lambda d: icon.grouped(icon.clusters(d.phi), _classes(d), 3),
}

PAIRS = {
    "bernoulli": lambda d: icon.bernoulli(icon.gaussian(d.x)),
    "bernoulli, two sets": lambda d: icon.bernoulli(icon.dot(d.x, d.y)),
    "bernoulli, reweighed": lambda d: icon.bernoulli(
        icon.reweigh(icon.dot(d.x, d.y), d.mass)
    ),
}

LISTED_PAIRS = {
    "bernoulli, among": lambda d: icon.bernoulli(
        icon.among(icon.student_t(d.x), d.listed)
    ),
    "bernoulli, odds among": lambda d: icon.bernoulli(icon.among(_odds(d), d.listed)),
}

CONTINUUM = {
    "normal": lambda d: icon.normal(d.x, jnp.exp(d.y), key(), samples=3),
    "density": lambda d: icon.density(log_joint, jnp.asarray(d.number, d.x.dtype), d.x),
}

ZOO = ONE_SET | TWO_SETS | CLASSES | PAIRS | LISTED_PAIRS | CONTINUUM

# whose support moves with their numbers, so that a twin may not allow it
MOVING = ("hard", "hard, two sets")
NO_SUPPORT = ("density",)
# what they call probabilities may be below zero
TILTED = ("wide, 2nd order",)
# draws belong to an anchor's place, not to the anchor
DRAWN = ("smooth, samples", "normal", "density")


def _classes(d):
    return jnp.asarray(np.asarray(d.ids))


def _distances(d):
    x = np.asarray(d.x)
    return jnp.asarray(np.linalg.norm(x[:, None] - x[d.listed], axis=-1), d.x.dtype)


def partner(name, d):
    """A q that allows whatever this p may expect."""
    if name in ONE_SET:
        return icon.student_t(d.x)
    return icon.dot(d.x, d.y) if name in TWO_SETS else ZOO["density"](d)


def pair(name):
    """p and q of this kind; where a twin will not do, what stands against it."""
    a, b = data(0), data(1)
    if name in NO_SUPPORT:
        return ZOO["normal"](a), ZOO[name](b)
    q = partner(name, b) if name in MOVING else ZOO[name](b)
    return ZOO[name](a), q


def is_float(x):
    return jnp.issubdtype(jnp.result_type(x), jnp.floating)


def floats(tree):
    """The float leaves of a pytree, and how to put others in their place."""
    leaves, shape = jax.tree.flatten(tree)

    def rebuild(new):
        new = iter(new)
        return shape.unflatten([next(new) if is_float(x) else x for x in leaves])

    return [x for x in leaves if is_float(x)], rebuild


def seed_of(name):
    return zlib.crc32(name.encode())
