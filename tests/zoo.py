"""Which neighbourhoods are there, each built twice by one expression?

`KINDS[name](lib, learned)` builds one, by the library (`OURS`) or by loops in NumPy
(`FORMULA`), from floats that move along a direction: what is learned. Two seeds give
twins that differ in every number but not in what they list, so that twins can stand on
both sides of a loss. `WRAPPERS[name](lib, learned, q)` puts something around q.
"""

import dataclasses
import functools as ft
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from properties import dense_reference as reference

import icon


# ------------------------------------------------------- the data


N, M, GROUPS = 7, 5, 3
KEY = jax.random.key(5)
IDS = np.array([0, 0, 1, 1, 1, 2, 3])  # the last two have no neighbour
FINER = np.array([0, 0, 1, 1, 4, 2, 3])  # whose neighbours are neighbours there
OTHER_IDS = np.array([0, 1, 1, 2, 0])
GROUP = np.array([0, 1, 2, 0, 1, 2, 2])
IDLE = np.array([1.0, 2.0, 0.5, 1.5, 0.0, 1.0, 3.0])  # one anchor has no weight
LISTED = (np.arange(N)[:, None] + np.array([1, 2, 3, 5])) % N
PATTERN = np.zeros((N, N), bool)
np.put_along_axis(PATTERN, LISTED[:, :3], True, 1)
PATTERN[6] = False  # has no neighbour


class Learned(NamedTuple):
    """All floats that a neighbourhood is built from."""

    x: Any  # [n, 2]
    y: Any  # [m, 2]
    std: Any  # [n, 2]
    scale: Any  # [n]
    mass: Any  # [n], of candidates, and of anchors
    logits: Any  # [n, 3], of memberships
    other_logits: Any  # [m, 3]
    matrix: Any  # [n, m]
    log_weight: Any  # [n, n]
    mixture: Any  # [2]
    t: Any
    alpha: Any
    m: Any


@ft.cache
def learned(seed: int) -> Learned:
    """Nearly the same for all seeds, so that the best candidates stay the best."""
    rng, near = np.random.default_rng(0), np.random.default_rng(seed)
    grid = np.array([[1.2 * (i % 3), 1.2 * (i // 3)] for i in range(N)])
    first = Learned(
        x=grid + rng.uniform(-0.2, 0.2, (N, 2)),
        y=rng.normal(size=(M, 2)),
        std=rng.uniform(0.5, 1.5, (N, 2)),
        scale=rng.uniform(0.5, 0.8, N),
        mass=rng.uniform(0.3, 0.9, N),
        logits=rng.normal(size=(N, 3)),
        other_logits=rng.normal(size=(M, 3)),
        matrix=rng.normal(size=(N, M)),
        log_weight=np.log(rng.uniform(0.1, 0.4, (N, N))),
        mixture=np.array([0.4, 0.9]),
        t=np.array(0.65),
        alpha=np.array(0.35),
        m=np.array(0.3),
    )
    return Learned(*(v + np.array(near.uniform(-0.05, 0.05, v.shape)) for v in first))


@ft.cache
def direction(seed: int) -> Learned:
    rng = np.random.default_rng(100 + seed)
    return Learned(*(rng.normal(size=np.shape(v)) for v in learned(seed)))


def traced(seed: int, s, dtype) -> Learned:
    """What is learned, s along its direction, in this dtype."""
    both = zip(learned(seed), direction(seed), strict=True)
    return Learned(*((v + s * jnp.asarray(d)).astype(dtype) for v, d in both))


@ft.cache
def rounded(seed: int, dtype) -> Learned:
    return Learned(*(np.float64(v.astype(np.dtype(dtype))) for v in learned(seed)))


@ft.cache
def exact(seed: int, s: float, dtype) -> Learned:
    """The same numbers, in NumPy."""
    both = zip(rounded(seed, dtype), direction(seed), strict=True)
    return Learned(*(v + s * d for v, d in both))


# ------------------------------------------------------- the same names, twice


def lopsided(a, b):
    """A kernel that is not the same from the other side."""
    return a[0] * b[1] / 2 - (a[1] - b[1]) ** 2


def all_lopsided(a, b):
    return jax.vmap(ft.partial(lopsided, a))(b)


def log_joint(scale, x, z):
    return -((x[0] - scale * z[0]) ** 2 + (x[1] - z[1]) ** 2 + z[0] ** 2) / 2


def alpha_divergence(p, log_q):
    return p**1.5 * jnp.exp(-log_q / 2)


def renyi(total):
    return 2 * jnp.log(total)


def widen(x):
    """As a loss sees half precision."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


PLAIN = icon.graph(PATTERN.astype(np.float32))
KNOWN = np.where(PATTERN, learned(0).log_weight, -np.inf)  # log-weights, not learned


@ft.cache
def _known_graph(dtype):
    with jax.ensure_compile_time_eval():  # what is cached outlives a trace
        return icon.graph(np.exp(KNOWN).astype(dtype))


with jax.enable_x64(True):
    KNOWN_GRAPH = _known_graph(np.float64)


def learned_graph(log_weight):
    """A graph whose log-weights are traced."""
    return dataclasses.replace(PLAIN, logit=widen(log_weight[np.nonzero(PATTERN)]))


OURS = SimpleNamespace(
    **vars(icon)
    | dict(
        learned_graph=learned_graph,
        known_graph=lambda: _known_graph(np.dtype(jnp.result_type(float)).type),
        lopsided=lambda a, b: icon.points(all_lopsided, a, b),
        attraction=lambda p, q, **options: icon.terms(p, q, **options)[0],
        repulsion=lambda p, q, **options: icon.terms(p, q, **options)[1],
        alpha=icon.divergence(alpha_divergence, renyi),
        memberships=lambda x: jax.nn.softmax(widen(x)),
        exp=lambda x: jnp.exp(widen(x)),
    )
)
FORMULA = SimpleNamespace(
    **vars(reference)
    | dict(
        learned_graph=lambda w: reference.graph(np.where(PATTERN, w, -np.inf)),
        known_graph=lambda: reference.graph(KNOWN, known=True),
        lopsided=lambda a, b: reference.points(lopsided, a, b),
        alpha=reference.divergence(
            lambda p, log_q: p**1.5 * np.exp(-log_q / 2), lambda x: 2 * np.log(x)
        ),
        memberships=lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True),
        exp=np.exp,
    )
)


# ------------------------------------------------------- neighbourhoods


KERNELS = {
    "gaussian": lambda lib, d, a, b: lib.gaussian(a, b, scale=d.t),
    "gaussian, a scale each": lambda lib, d, a, b: lib.gaussian(a, b, scale=d.scale),
    "student_t": lambda lib, d, a, b: lib.student_t(a, b, dof=d.t, scale=1.3),
    "laplace": lambda lib, d, a, b: lib.laplace(a, b, scale=d.t),
    "dot": lambda lib, d, a, b: lib.dot(a, b, temperature=d.t),
    "cosine": lambda lib, d, a, b: lib.cosine(a, b, temperature=d.t),
    "lopsided": lambda lib, d, a, b: lib.lopsided(a, b),
}
ONE_SET = {
    name: lambda lib, d, f=f: f(lib, d, d.x, None) for name, f in KERNELS.items()
} | {
    "same": lambda lib, d: lib.same(IDS),
    "graph": lambda lib, d: lib.learned_graph(d.log_weight),
}
TWO_SETS = {
    f"{name}, two sets": lambda lib, d, f=f: f(lib, d, d.x, d.y)
    for name, f in KERNELS.items()
} | {
    "same, two sets": lambda lib, d: lib.same(IDS, OTHER_IDS),
    "scores": lambda lib, d: lib.scores(d.matrix, temperature=d.t),
    "clusters": lambda lib, d: lib.clusters(lib.memberships(d.logits)),
    "clusters, two sets": lambda lib, d: lib.clusters(
        lib.memberships(d.logits), lib.memberships(d.other_logits)
    ),
    "clusters, weighed": lambda lib, d: lib.clusters(
        lib.memberships(d.logits), candidate_weight=d.mass
    ),
}
CONTINUUM = {
    "normal": lambda lib, d: lib.normal(d.x, lib.exp(d.std), KEY, samples=3),
    "dirac": lambda lib, d: lib.dirac(d.x),
    "density": lambda lib, d: lib.density(log_joint, d.t, d.x),
}


# ------------------------------------------------------- wrappers, around one set


WRAPPERS = {
    "interpolated": lambda lib, d, q: lib.interpolated(q),
    "tiled": lambda lib, d, q: lib.tiled(q, 3, 4),
    "sampled": lambda lib, d, q: lib.sampled(q, KEY, 4),
    "among": lambda lib, d, q: lib.among(q, LISTED),
    "smooth": lambda lib, d, q: lib.smooth(q, d.alpha),
    "smooth, samples": lambda lib, d, q: lib.smooth(q, d.alpha, samples=4, key=KEY),
    "margin": lambda lib, d, q: lib.margin(q, lib.same(IDS), d.m),
    "reweigh": lambda lib, d, q: lib.reweigh(q, d.mass),
    "grouped": lambda lib, d, q: lib.grouped(q, GROUP, GROUPS),
    "odds": lambda lib, d, q: lib.odds(q),
    "bernoulli": lambda lib, d, q: lib.bernoulli(q),
    "mix": lambda lib, d, q: lib.mix((lib.learned_graph(d.log_weight), q), d.mixture),
    "wide": lambda lib, d, q: lib.wide(q),
    "wide, order 2": lambda lib, d, q: lib.wide(q, 2),
    "sharp": lambda lib, d, q: lib.sharp(q),
    "hard": lambda lib, d, q: lib.hard(q, 2),
    "unnormalized": lambda lib, d, q: lib.unnormalized(q),
}
KINDS = ONE_SET | TWO_SETS | CONTINUUM


def around(base: str, *wrappers: str):
    """A kind in these wrappers, the first of them inside."""

    def make(lib, d):
        q = KINDS[base](lib, d)
        for name in wrappers:
            q = WRAPPERS[name](lib, d, q)
        return q

    return make


def formula(make):
    """What a neighbourhood is by its formula; None where there is no such thing."""
    try:
        return make(FORMULA, exact(0, 0.0, jnp.float64))
    except reference.Refused:
        return None


# ------------------------------------------------------- lists that are searched for


def _distances(x):
    return np.linalg.norm(x[:, None] - x[LISTED], axis=-1)


def _uneven(x):
    return icon.graph(PATTERN * (1 + x[:, :1] ** 2))


GRAPHS = {
    "uniform": lambda x: icon.uniform(LISTED),
    "fuzzy": lambda x: icon.fuzzy(LISTED, _distances(x)),
    "self_tuning": lambda x: icon.self_tuning(LISTED, _distances(x)),
    "entropic": lambda x: icon.entropic(LISTED, _distances(x), perplexity=3.0),
    "symmetrized": lambda x: icon.symmetrize(icon.graph(PATTERN * (1 + x[:, :1] ** 2))),
    "restricted": lambda x: _uneven(x).restrict([4, 6, 0, 2, 1]),
    "propagated": lambda x: icon.propagate(
        icon.graph(PATTERN * (1 + x[:, :1] ** 2)), 1
    ),
}
