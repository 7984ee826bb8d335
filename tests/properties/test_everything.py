"""Does everything meet everything, as its formula says, or is it refused?

Each neighbourhood, each wrapper, and each wrapper around each other is built twice by
one expression: by the library, and by `dense_reference`, which is NumPy in float64 and
plain loops. A loss between two of them is one number that agrees, with a gradient that
agrees along a random direction through all that is learned; or it is InvalidInput.
"""

import dataclasses
import functools as ft
import itertools
import math
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from interpreter import interpret

import icon
from properties import dense_reference as reference


pytestmark = pytest.mark.usefixtures("x64")


# ------------------------------------------------------- the data


N, M, GROUPS = 7, 5, 3
KEY = jax.random.key(5)
IDS = np.array([0, 0, 1, 1, 1, 2, 3])  # the last two have no partner
FINER = np.array([0, 0, 1, 1, 4, 2, 3])
OTHER_IDS = np.array([0, 1, 1, 2, 0])
GROUP = np.array([0, 1, 2, 0, 1, 2, 2])
WEIGHT = np.array([1.0, 2.0, 0.5, 1.5, 0.0, 1.0, 3.0])
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
    mass: Any  # [n]
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
    return Learned(*(v + near.uniform(-0.05, 0.05, np.shape(v)) for v in first))


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
    return Learned(*(np.float64(jnp.asarray(v).astype(dtype)) for v in learned(seed)))


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


def widen(x):
    """As a loss sees half precision."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


GRAPH = icon.graph(PATTERN.astype(np.float32))


def learned_graph(log_weight):
    """A graph whose log-weights are traced."""
    return dataclasses.replace(GRAPH, logit=log_weight[np.nonzero(PATTERN)])


OURS = SimpleNamespace(
    **{name: getattr(icon, name) for name in icon.__all__}
    | dict(
        learned_graph=learned_graph,
        lopsided=lambda a, b: icon.points(all_lopsided, a, b),
        own=icon.divergence(alpha_divergence),
        memberships=lambda x: jax.nn.softmax(widen(x)),
        exp=lambda x: jnp.exp(widen(x)),
    )
)
FORMULA = SimpleNamespace(
    **vars(reference)
    | dict(
        learned_graph=lambda w: reference.graph(np.where(PATTERN, w, -np.inf)),
        lopsided=lambda a, b: reference.points(lopsided, a, b),
        own=reference.divergence(lambda p, log_q: p**1.5 * math.exp(-log_q / 2)),
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
    "mix": lambda lib, d, q: lib.mix(
        (lib.learned_graph(d.log_weight), q), d.mixture
    ),
    "wide": lambda lib, d, q: lib.wide(q),
    "wide, order 2": lambda lib, d, q: lib.wide(q, 2),
    "sharp": lambda lib, d, q: lib.sharp(q),
    "hard": lambda lib, d, q: lib.hard(q, 2),
}


# ------------------------------------------------------- losses


class Ask(NamedTuple):
    """A loss, and how it is asked."""

    verb: str
    weight: Any = None
    joint: bool = False
    both: bool = False
    block: int | None = None

    @property
    def linear(self) -> bool:
        return self.verb in ("kl", "cross_entropy")

    def of(self, lib, p, q):
        verb = getattr(lib, self.verb)
        options: dict[str, Any] = dict(joint=True) if self.joint else {}
        if self.weight is not None:
            options["weight"] = self.weight
        if self.block and lib is OURS:
            options["block"] = self.block
        require_unplaced = lib is FORMULA and self.block
        if require_unplaced:
            reference.require(not (p.placed or q.placed))
        return (lib.both_ways(verb) if self.both else verb)(p, q, **options)


VERBS = "kl", "cross_entropy", "tv", "jsd", "hellinger", "own"
ASKS = {
    **{verb: Ask(verb) for verb in VERBS},
    **{f"{verb}, weighed": Ask(verb, WEIGHT) for verb in VERBS},
    **{f"{verb}, strips": Ask(verb, block=3) for verb in VERBS},
    **{f"{verb}, both ways": Ask(verb, both=True) for verb in VERBS},
    **{f"{verb}, weighed, strips": Ask(verb, WEIGHT, block=3) for verb in VERBS},
    **{f"{verb}, joint": Ask(verb, joint=True) for verb in VERBS[:2]},
    **{f"{verb}, joint, strips": Ask(verb, joint=True, block=3) for verb in VERBS[:2]},
    **{
        f"{verb}, joint, both ways, strips": Ask(verb, None, True, True, 3)
        for verb in VERBS[:2]
    },
}


# ------------------------------------------------------- what meets what


class Meeting(NamedTuple):
    """p and q, each built by either library from what is learned."""

    p: Any  # (lib, learned) -> neighbourhood
    q: Any

    def of(self, lib, s, dtype):
        build = traced if lib is OURS else exact
        return self.p(lib, build(0, s, dtype)), self.q(lib, build(1, s, dtype))


def formula(make):
    """What a neighbourhood is by its formula; None where there is no such thing."""
    try:
        return make(FORMULA, exact(0, 0.0, jnp.float64))
    except reference.Refused:
        return None


@ft.cache
def around(base: str, *wrappers):
    """A neighbourhood in these wrappers, the first of them inside."""

    def make(lib, d):
        q = KINDS[base](lib, d)
        for name in wrappers:
            q = WRAPPERS[name](lib, d, q)
        return q

    return make


def fits(p, q) -> bool:
    """Whether p can be averaged under, and has the candidates of q."""
    if p is None or p.weight is None:
        return False
    return p.shape == q.shape and p.per_pair == q.per_pair


def wrapped(base: str, *wrappers, p_base: str = "") -> Meeting | None:
    """A q in these wrappers, against a p in as many of them as it can have."""
    bases = (p_base, base) if p_base else (base,)
    makes = [around(x, *wrappers) for x in bases]
    q = next((make for make in reversed(makes) if formula(make)), None)
    if q is None:
        return None
    some = [wrappers, *itertools.combinations(wrappers, len(wrappers) - 1), ()]
    fewer = (around(x, *names) for names in some for x in bases)
    return Meeting(next(p for p in fewer if fits(formula(p), formula(q))), q)


KINDS = ONE_SET | TWO_SETS | CONTINUUM
NAMED = {
    **{name: Meeting(make, make) for name, make in KINDS.items()},
    "same": Meeting(lambda lib, d: lib.same(FINER), KINDS["same"]),
    "density": Meeting(KINDS["normal"], KINDS["density"]),
}
for p, q in (
    ("same", "cosine"),
    ("graph", "student_t"),
    ("gaussian, a scale each", "lopsided"),
    ("same, two sets", "clusters, two sets"),
    ("clusters, two sets", "dot, two sets"),
    ("scores", "gaussian, two sets"),
):
    NAMED[f"{p} against {q}"] = Meeting(KINDS[p], KINDS[q])


# ------------------------------------------------------- the two answers


class Answer(NamedTuple):
    """The value of each loss, None where it is refused, and a sum of derivatives."""

    values: dict[str, Any]
    derivative: Any  # of Σ k L_k over the losses in `smooth`, along the direction
    smooth: tuple[str, ...]


def value_of(ask, lib, pair):
    try:
        return ask.of(lib, *pair)
    except (icon.InvalidInput, reference.Refused):
        return None


def is_finite(x) -> bool:
    return x is not None and bool(np.isfinite(x))


def by_formula(meeting, asks, s=0.0, dtype=jnp.float64, step=1e-5) -> Answer:
    """Values by loops, the derivative by central differences."""
    here, *ends = (meeting.of(FORMULA, x, dtype) for x in (s, s + step, s - step))
    values = {name: value_of(ASKS[name], FORMULA, here) for name in asks}
    smooth = tuple(name for name in asks if is_finite(values[name]))
    forward, backward = (
        sum(k * value_of(ASKS[name], FORMULA, pair) for k, name in enumerate(smooth, 1))
        for pair in ends
    )
    return Answer(values, (forward - backward) / (2 * step), smooth)


def by_library(meeting, asks, smooth, dtype=jnp.float64):
    """A function of s: the derivative, and the values; and a list of what is refused."""
    refused: list[str] = []

    def total(s):
        pair = meeting.of(OURS, s, dtype)
        values = {name: value_of(ASKS[name], OURS, pair) for name in asks}
        refused[:] = [name for name, x in values.items() if x is None]
        values = {name: x for name, x in values.items() if x is not None}
        terms = [k * values[name] for k, name in enumerate(smooth, 1) if name in values]
        return sum(terms, jnp.zeros(())), values

    return jax.value_and_grad(total, has_aux=True), refused


def agree(meeting, asks, run=interpret, at=(0.0,), dtype=jnp.float64, slack=1e-6):
    """Both answers are one, refusals included, at each place along the direction."""
    exact = [by_formula(meeting, asks, s, dtype) for s in at]
    f, refused = by_library(meeting, asks, exact[0].smooth, dtype)
    (_, values), derivative = run(f, jnp.asarray(at) if len(at) > 1 else jnp.zeros(()))
    assert refused == [name for name, x in exact[0].values.items() if x is None]
    for name, value in values.items():
        by_loops = np.array([answer.values[name] for answer in exact])
        close(value, by_loops, slack / 100, name)
    by_loops = np.array([answer.derivative for answer in exact])
    close(derivative, by_loops, slack, f"gradient of {' + '.join(exact[0].smooth)}")


def close(got, expected, slack, what):
    size = max(1.0, np.max(np.abs(expected), where=np.isfinite(expected), initial=0))
    expected = expected.reshape(np.shape(got))
    np.testing.assert_allclose(got, expected, slack, slack * size, err_msg=what)


# the ways a loss is run: (how, at which places along the direction, dtype, slack)
def swept(f, s):
    return interpret(jax.vmap(f), s)


def compiled(f, s):
    return jax.jit(jax.vmap(f))(s)


WAYS = {
    "interpreted": {},
    "swept by vmap": dict(run=swept, at=(0.0, 0.02)),
    "compiled": dict(run=compiled, at=(0.0, 0.02)),
    "in half precision": dict(dtype=jnp.bfloat16, slack=2e-2),
}
