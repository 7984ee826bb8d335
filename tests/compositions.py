"""Which losses can be asked at all? Any of them, drawn by a seed.

A `Case` is a p and a q, each a neighbourhood in up to three wrappers, a loss, and how
it is run; `case(seed)` draws one. One in five is then changed: p and q get unlike
dtypes, or both are points whose bits depend on no device, or q is interpolated.
`build(lib, learned)` makes a neighbourhood by the library or by its formula, as the
expressions of the zoo do.
"""

import functools as ft
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import zoo
from properties import dense_reference as reference
from properties.test_everything import LINEAR, VERBS, Ask
from zoo import FORMULA, KERNELS, KEY, Learned, M, N


class Made(NamedTuple):
    """A neighbourhood, in words and as a function."""

    text: str
    build: Callable[[Any, Learned], Any]


class Case(NamedTuple):
    seed: int
    p: Made
    q: Made
    ask: Ask
    way: str  # interpreted, swept by vmap, compiled, or eager
    dtypes: tuple[Any, Any]  # of p and of q
    deterministic: bool = False
    slack: float = 0.0  # of an approximation, beside rounding

    @property
    def exact(self) -> bool:
        """Whether every number has 53 bits."""
        return self.dtypes == (jnp.float64, jnp.float64)

    @property
    def seeds(self) -> tuple[int, int]:
        """Of what p and q learn."""
        return 2 * self.seed, 2 * self.seed + 1

    def __str__(self):
        asked = ", ".join(f"{k}={v}" for k, v in self.ask._asdict().items() if v)
        kinds = ", ".join(np.dtype(x).name for x in self.dtypes)
        way = f"{self.way}{', deterministic' if self.deterministic else ''}"
        return f"p = {self.p.text}; q = {self.q.text}; {asked}; {way}, {kinds}"


# ------------------------------------------------------- the data


def drawn(seed: int) -> Learned:
    """Points near and far, twins among them, flat and steep scores."""
    rng = np.random.default_rng([1, seed])
    spread = rng.choice([0.5, 1.0, 3.0])
    x, y = (spread * rng.normal(size=(size, 2)) for size in (N, M))
    if rng.random() < 0.3:
        x[1], y[2] = x[0], x[3]
    return Learned(
        x=x,
        y=y,
        std=rng.uniform(-0.5, 0.5, (N, 2)),
        scale=rng.uniform(0.4, 2.0, N),
        mass=rng.uniform(0.1, 2.0, N),
        logits=3 * rng.normal(size=(N, 3)),
        other_logits=3 * rng.normal(size=(M, 3)),
        matrix=spread * rng.normal(size=(N, M)),
        log_weight=np.log(rng.uniform(0.01, 0.9, (N, N))),
        mixture=rng.uniform(0.1, 2.0, 3),
        t=rng.uniform(0.4, 2.0),
        alpha=rng.uniform(0.1, 0.9),
        m=rng.normal(),
    )


def direction(seed: int) -> Learned:
    rng = np.random.default_rng([2, seed])
    return Learned(*(rng.normal(size=np.shape(v)) for v in drawn(seed)))


def rounded(seed: int, s: float, dtype) -> Learned:
    """What is learned, s along a direction, in this dtype."""
    both = zip(drawn(seed), direction(seed), strict=True)
    return Learned(*(np.asarray(v + s * d).astype(dtype) for v, d in both))


def exact(seed: int, s: float, dtype, step: float = 0.0) -> Learned:
    """The same numbers in double precision, a step further on."""
    both = zip(rounded(seed, s, dtype), direction(seed), strict=True)
    return Learned(*(np.float64(v) + step * d for v, d in both))


# ------------------------------------------------------- neighbourhoods


def _ids(rng, size: int):
    return rng.integers(0, rng.choice([2, 4, 9]), size)


def _kernel(rng, sets: str, names=KERNELS) -> Made:
    name = rng.choice(list(names))
    others = {"one": None, "twice": "x", "two": "y"}[sets]
    other = lambda d: dict(x=d.x, y=d.y).get(others)
    text = f"{name} of {'x' if others is None else f'x and {others}'}"
    return Made(text, lambda lib, d: KERNELS[name](lib, d, d.x, other(d)))


def _same(rng, sets: str) -> Made:
    a, others = _ids(rng, N), _ids(rng, M)
    a[0] = others[0] = a[1]  # somebody has a neighbour
    b = {"one": None, "twice": a, "two": others}[sets]
    text = f"same({a.tolist()}, {b if b is None else b.tolist()})"
    return Made(text, lambda lib, d: lib.same(a, b))


def _clusters(rng, sets: str) -> Made:
    if sets == "two":
        both = lambda lib, d: map(lib.memberships, (d.logits, d.other_logits))
        return Made("clusters, two sets", lambda lib, d: lib.clusters(*both(lib, d)))
    if rng.random() < 0.5:
        return Made("clusters", zoo.KINDS["clusters"])
    return Made("clusters, weighed", zoo.KINDS["clusters, weighed"])


def _listed(rng, sets: str) -> Made:
    """Scores, some of them -inf, or a graph."""
    if sets == "two":
        holes = np.where(rng.random((N, M)) < rng.choice([0, 0.4]), -np.inf, 0)
        matrix = lambda d: d.matrix + holes.astype(d.matrix.dtype)
        make = lambda lib, d: lib.scores(matrix(d), temperature=d.t)
        return Made(f"scores, -inf at {np.argwhere(holes).tolist()}", make)
    if rng.random() < 0.3:
        return Made("a graph that does not learn", lambda lib, d: lib.known_graph())
    return Made("graph", zoo.KINDS["graph"])


def _continuum(rng, sets: str) -> Made:
    name = rng.choice(list(zoo.CONTINUUM))
    return Made(name, zoo.CONTINUUM[name])


def _base(rng, sets: str) -> Made:
    if sets == "latent":
        return _continuum(rng, sets)
    kinds = _kernel, _same, _clusters, _listed
    return kinds[rng.choice(4, p=[0.55, 0.15, 0.15, 0.15])](rng, sets)


# ------------------------------------------------------- wrappers


def _smooth(rng, inside):
    alpha = rng.choice([None, 0.0, 1.0], p=[0.8, 0.1, 0.1])
    at = lambda d: d.alpha if alpha is None else alpha
    text = "alpha" if alpha is None else alpha
    if rng.random() < 0.2:
        options = dict(samples=int(rng.integers(1, 5)), key=KEY)
        make = lambda lib, d, q: lib.smooth(q, at(d), **options)
        return f"smooth(·, {text}, samples={options['samples']})", make
    return f"smooth(·, {text})", lambda lib, d, q: lib.smooth(q, at(d))


def _mix(rng, inside):
    parts = [_fitting(rng, inside) for _ in range(rng.integers(1, 3))]
    lost = rng.integers(len(parts) + 1) if rng.random() < 0.2 else None
    kept = np.arange(len(parts) + 1) != lost

    def make(lib, d, q):
        weight = d.mixture[: len(kept)] * kept.astype(d.mixture.dtype)
        return lib.mix((q, *(part.build(lib, d) for part in parts)), weight)

    texts = ", ".join(part.text for part in parts)
    return f"mix(·, {texts}; weights {kept.astype(int).tolist()})", make


def _among(rng, inside):
    n, m = inside.shape
    k = rng.integers(1, m + 1)
    index = np.argsort(rng.random((n, m)), 1)[:, :k]
    return f"among(·, {index.tolist()})", lambda lib, d, q: lib.among(q, index)


def _margin(rng, inside):
    part = _fitting(rng, inside)
    make = lambda lib, d, q: lib.margin(q, part.build(lib, d), d.m)
    return f"margin(·, {part.text}, m)", make


def _reweigh(rng, inside):
    kept = rng.random(inside.shape[1]) < rng.choice([0.6, 1.0])
    kept[rng.integers(inside.shape[1])] = True

    def make(lib, d, q):
        weight = d.mass[np.arange(len(kept)) % N]
        return lib.reweigh(q, weight * kept.astype(weight.dtype))

    return f"reweigh(·, {kept.astype(int).tolist()})", make


def _grouped(rng, inside):
    groups = rng.integers(0, 3, inside.shape[1])
    make = lambda lib, d, q: lib.grouped(q, groups, 3)
    return f"grouped(·, {groups.tolist()}, 3)", make


def _hard(rng, inside):
    k = int(rng.integers(1, 4))
    return f"hard(·, {k})", lambda lib, d, q: lib.hard(q, k)


def _wide(rng, inside):
    order = int(rng.integers(1, 3))
    given = (order,) * (order > 1)
    return f"wide(·, {order})", lambda lib, d, q: lib.wide(q, *given)


def _sampled(rng, inside):
    count = int(rng.integers(1, 6))
    return f"sampled(·, {count})", lambda lib, d, q: lib.sampled(q, KEY, count)


def _tiled(rng, inside):
    size = rng.integers(1, 9, 2).tolist()
    return f"tiled(·, *{size})", lambda lib, d, q: lib.tiled(q, *size)


SIMPLE = {
    "odds": lambda lib, d, q: lib.odds(q),
    "bernoulli": lambda lib, d, q: lib.bernoulli(q),
    "sharp": lambda lib, d, q: lib.sharp(q),
    "T": lambda lib, d, q: q.T,
}
WRAPPERS = (
    *(_smooth, _mix, _among, _margin, _reweigh, _grouped, _hard, _wide, _sampled),
    *(lambda rng, inside, x=x: (f"{x[0]}(·)", x[1]) for x in SIMPLE.items()),
)


def _fitting(rng, inside) -> Made:
    """A part of something larger, of this shape where there is one."""
    square = "one" if inside.one_set ^ (rng.random() < 0.05) else "twice"
    base = _base(rng, square if inside.shape == (N, N) else "two")
    if inside.shape == (M, N):
        return Made(f"T({base.text})", lambda lib, d: base.build(lib, d).T)
    return base


@ft.cache
def _example() -> Learned:
    return exact(0, 0.0, jnp.float64)


def _formula(build):
    """What is built of an example, by its formula; None where it is refused."""
    try:
        return build(FORMULA, _example())
    except reference.Refused:
        return None


def _around(rng, base: Made, depth: int) -> tuple[Made, Any]:
    """Wrappers that fit, around it; and what comes of it, by its formula."""
    made, inside = base, _formula(base.build)
    for _ in range(depth):
        if inside is None or inside.shape[1] is None:
            break
        last = rng.random() < 0.1
        wrapper = _tiled if last else WRAPPERS[rng.integers(len(WRAPPERS))]
        text, wrap = wrapper(rng, inside)
        build = lambda lib, d, one=made, wrap=wrap: wrap(lib, d, one.build(lib, d))
        made = Made(text.replace("·", made.text, 1), build)
        inside = _formula(lambda lib, d, q=inside, wrap=wrap: wrap(lib, d, q))
    return made, inside


# ------------------------------------------------------- p, q and a loss


def _fits(p, q, ask: Ask) -> bool:
    """Whether the loss is finite by its formula."""
    if p is None or q is None:
        return False
    loss = ask.of(FORMULA, p, q, _example().mass[: p.shape[0]])
    return loss is not None and np.isfinite(loss)


def _asked(rng) -> Ask:
    """Strips, both ways and both terms take twice as long to trace, and are rarer."""
    rare = [0.02 if verb in ("attraction", "repulsion") else 0.16 for verb in VERBS]
    verb = rng.choice(VERBS, p=rare)
    joint = verb in LINEAR and rng.random() < 0.4
    block = rng.choice([None, 1, 2, 3, 50], p=[0.84, 0.04, 0.04, 0.04, 0.04])
    weight = rng.choice(["", "learned", "idle"], p=[0.7, 0.2, 0.1])
    return Ask(str(verb), joint, rng.random() < 0.15, block, str(weight))


WAYS = "interpreted", "swept", "compiled", "eager"


def case(seed: int) -> Case:
    """The seed's p, q and loss: most of them finite, a few whatever comes."""
    drawn = _composed(seed)
    rng = np.random.default_rng([4, seed])
    changes = None, _unlike, _deterministic, _interpolated
    change = changes[rng.choice(4, p=[0.8, 0.08, 0.07, 0.05])]
    return drawn if change is None else change(rng, drawn)


def case_on_a_grid(seed: int) -> Case:
    """Points, of which q is interpolated however few there are."""
    rng, drawn = np.random.default_rng([5, seed]), _composed(seed)
    p, pairs = _points(rng, "gaussian", "student_t")
    make = lambda lib, d: lib.interpolated(pairs.build(lib, d), spacing=0.25)
    q = Made(f"interpolated({pairs.text}, spacing=0.25)", make)
    kinds = (jnp.float64,) * 2 if rng.random() < 0.5 else (jnp.float32,) * 2
    ask = drawn.ask._replace(verb=str(rng.choice(LINEAR)), block=None)
    return Case(seed, p, q, ask, "compiled", kinds, slack=2e-3)


def _composed(seed: int) -> Case:
    rng = np.random.default_rng([3, seed])
    dtype = [jnp.float64, jnp.float32, jnp.bfloat16][rng.choice(3, p=[0.6, 0.2, 0.2])]
    way = WAYS[rng.choice(4, p=[0.88, 0.10, 0.015, 0.005])]
    picky = rng.random() < 0.85
    for turn in itertools.count():
        sets = rng.choice(["one", "twice", "two", "latent"], p=[0.5, 0.1, 0.37, 0.03])
        depths = rng.choice(4, 2, p=[0.3, 0.4, 0.2, 0.1])
        (p, q), formulas = zip(
            *(_around(rng, _base(rng, sets), depth) for depth in depths), strict=True
        )
        ask = _asked(rng)
        if not picky or turn > 50 or _fits(*formulas, ask):
            dtype = jnp.float64 if sets == "latent" else dtype  # draws have a dtype
            return Case(seed, p, q, ask, way, (dtype, dtype))


# ------------------------------------------------------- what else there is


def _points(rng, *names: str) -> tuple[Made, Made]:
    """p and q of points, over the same candidates."""
    sets = rng.choice(["one", "twice", "two"])
    return tuple(_kernel(rng, sets, names or KERNELS) for _ in range(2))


def _unlike(rng, drawn: Case) -> Case:
    """p and q of two dtypes; what has draws keeps its own."""
    if drawn.p.text in zoo.CONTINUUM or drawn.q.text in zoo.CONTINUUM:
        return drawn
    both = rng.permutation(3)[:2]
    kinds = jnp.float64, jnp.float32, jnp.bfloat16
    return drawn._replace(dtypes=tuple(kinds[i] for i in both))


def _deterministic(rng, drawn: Case) -> Case:
    p, q = _points(rng)
    verb = str(rng.choice(LINEAR)) if rng.random() < 0.9 else drawn.ask.verb
    joint = verb in LINEAR and drawn.ask.joint
    ask = drawn.ask._replace(verb=verb, joint=joint)
    return drawn._replace(p=p, q=q, ask=ask, deterministic=True)


def _interpolated(rng, drawn: Case) -> Case:
    """Of few points: pair after pair."""
    p, q = _points(rng, "gaussian", "student_t")
    if rng.random() < 0.3:
        p, q = drawn.p, drawn.q
    make = lambda lib, d: lib.interpolated(q.build(lib, d))
    return drawn._replace(p=p, q=Made(f"interpolated({q.text})", make))
