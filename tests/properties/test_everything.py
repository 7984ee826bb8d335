"""Does everything meet everything, as its formula says, or is it refused?

Each neighbourhood of the zoo, each wrapper, and each wrapper around each other stands
as p and as q under every loss. What comes is one number that agrees with loops in
NumPy, with a gradient that agrees along a direction through all that is learned; or it
is InvalidInput. Here each pair of wrappers is asked one loss, in turn; what is marked
slow asks them all.
"""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from interpreter import interpret
from properties import dense_reference as reference
from zoo import (
    CONTINUUM,
    FORMULA,
    IDLE,
    KERNELS,
    KINDS,
    OURS,
    WRAPPERS,
    around,
    formula,
)

import icon


pytestmark = pytest.mark.usefixtures("x64")


# ------------------------------------------------------- losses


class Ask(NamedTuple):
    """A loss, and how it is asked."""

    verb: str
    joint: bool = False
    both: bool = False
    block: int | None = None
    weight: str = ""

    def options(self, lib, weight) -> dict[str, Any]:
        chosen = dict(weight=dict(learned=weight, idle=IDLE).get(self.weight))
        chosen |= dict(joint=True) if self.joint else {}
        return chosen | (dict(block=self.block) if self.block and lib is OURS else {})

    def of(self, lib, p, q, weight):
        """The loss, by either library; None where it is refused."""
        verb = getattr(lib, self.verb)
        verb = lib.both_ways(verb) if self.both else verb
        try:
            if lib is FORMULA and self.block:
                reference.require(not p.placed and not q.placed)
            return verb(p, q, **self.options(lib, weight))
        except (icon.InvalidInput, reference.Refused):
            return None


LINEAR = "kl", "cross_entropy", "attraction", "repulsion"
VERBS = *LINEAR, "tv", "jsd", "hellinger", "alpha"
ASKS = {
    **{verb: Ask(verb) for verb in VERBS},
    **{f"{verb}, in strips": Ask(verb, block=3) for verb in VERBS},
    **{f"{verb}, weighed": Ask(verb, weight="learned") for verb in VERBS},
    **{
        f"{verb}, weighed, in strips": Ask(verb, block=3, weight="learned")
        for verb in VERBS
    },
    **{f"{verb}, jointly": Ask(verb, True) for verb in LINEAR},
    **{f"{verb}, jointly, in strips": Ask(verb, True, block=3) for verb in LINEAR},
    **{f"{verb}, both ways": Ask(verb, both=True) for verb in VERBS},
    **{f"{verb}, both ways, in strips": Ask(verb, False, True, 3) for verb in VERBS},
    **{f"{verb}, jointly, both ways": Ask(verb, True, True) for verb in LINEAR},
    **{
        f"{verb}, jointly, both ways, in strips": Ask(verb, True, True, 3)
        for verb in LINEAR
    },
    **{
        f"{verb}, one anchor idle, in strips": Ask(verb, block=3, weight="idle")
        for verb in ("kl", "tv")
    },
}


WHOLE = tuple(x for x in ASKS if not ASKS[x].block)
TILES = tuple(x for x in WHOLE if ASKS[x].verb in LINEAR)


def some(turn: int, count: int, names=tuple(ASKS)) -> tuple[str, ...]:
    """A few of the losses: others in each turn, and all of them in the long run."""
    return tuple(names[(29 * turn + 17 * k) % len(names)] for k in range(count))


# ------------------------------------------------------- who meets whom


class Meeting(NamedTuple):
    """p and q, each built by either library from what is learned."""

    p: Any  # (lib, learned) -> neighbourhood
    q: Any

    def of(self, lib, s, dtype):
        """p, q and the weights of anchors, at a place along the direction."""
        build = zoo.traced if lib is OURS else zoo.exact
        one, two = build(0, s, dtype), build(1, s, dtype)
        return self.p(lib, one), self.q(lib, two), one.mass


def fits(p, q) -> bool:
    """Whether p can be averaged under, and has the candidates of q."""
    if p is None or p.weight is None:
        return False
    return p.shape == q.shape and p.per_pair == q.per_pair


def wrapped(bases: tuple[str, ...], *wrappers: str) -> Meeting | None:
    """A q in these wrappers, against a p in as many of them as it can have.

    p is around the first of the bases that there is, and q around the last.
    """
    makes = [around(base, *wrappers) for base in bases]
    q = next((make for make in reversed(makes) if formula(make)), None)
    if q is None:
        return None
    names = [wrappers, *itertools.combinations(wrappers, len(wrappers) - 1), ()]
    fewer = (around(base, *some) for some in names for base in bases)
    return Meeting(next(p for p in fewer if fits(formula(p), formula(q))), q)


def tile_of(kernel, one_set: bool):
    def make(lib, d):
        q = KERNELS[kernel](lib, d, d.x, None if one_set else d.y)
        return lib.tiled(q, 3, 2)

    return make


NAMED = {
    **{name: Meeting(make, make) for name, make in KINDS.items()},
    "same": Meeting(lambda lib, d: lib.same(zoo.FINER), KINDS["same"]),
    "density": Meeting(KINDS["normal"], KINDS["density"]),
    **{
        f"{p} against {q}": Meeting(KINDS[p], KINDS[q])
        for p, q in (
            ("same", "cosine"),
            ("graph", "student_t"),
            ("gaussian, a scale each", "lopsided"),
            ("same, two sets", "clusters, two sets"),
            ("clusters, two sets", "dot, two sets"),
            ("scores", "gaussian, two sets"),
        )
    },
    "a graph that does not learn against interpolated": Meeting(
        lambda lib, d: lib.known_graph(), around("student_t", "interpolated")
    ),
}
TILED = {
    f"{name}, {sets}, tiled": Meeting(
        around(name) if sets == "one set" else around(f"{name}, two sets"),
        tile_of(name, sets == "one set"),
    )
    for sets in ("one set", "two sets")
    for name in KERNELS
} | {"graph against laplace, tiled": Meeting(KINDS["graph"], tile_of("laplace", True))}
SINGLE = {
    f"{name} of {base}": (base, name)
    for name in WRAPPERS
    for base in ("gaussian", "graph", "clusters")
}
PAIRED = {
    f"{outer} of {inner}": (inner, outer)
    for outer, inner in itertools.product(WRAPPERS, WRAPPERS)
}
LATER = {
    *(f"{name} of clusters" for name in WRAPPERS if name != "mix"),
    *(f"{name}, two sets" for name in KERNELS),
    "lopsided",
    "laplace",
    "student_t",
    "graph against student_t",
    "a graph that does not learn against interpolated",
    "interpolated of gaussian",
    "grouped of gaussian",
    "sampled of gaussian",
    "mix of gaussian",
    "margin of gaussian",
    "among of graph",
    "scores against gaussian, two sets",
    "gaussian, a scale each against lopsided",
    "dot",
    "smooth, samples of graph",
}
IN_TILES = {"laplace, two sets, tiled", "cosine, two sets, tiled"}
RARE = "wide, order 2"  # which goes the way of the other limits
SOON = {name for k, name in enumerate(PAIRED) if k % 24 == 11 and RARE not in name}


# ------------------------------------------------------- the two answers


class Answer(NamedTuple):
    """The value of each loss, None where it is refused, and a sum of derivatives."""

    values: dict[str, Any]
    smooth: tuple[str, ...]  # the losses that are finite
    derivative: Any  # of Σ k L_k over these, along the direction


def by_formula(meeting, asks, s, dtype, step=1e-5) -> Answer:
    """Values by loops, the derivative by central differences."""
    here, *ends = (meeting.of(FORMULA, x, dtype) for x in (s, s + step, s - step))
    values = {name: ASKS[name].of(FORMULA, *here) for name in asks}
    finite = lambda x: x is not None and np.isfinite(x)
    smooth = tuple(name for name in asks if finite(values[name]))
    total = lambda end: sum(
        k * ASKS[name].of(FORMULA, *end) for k, name in enumerate(smooth, 1)
    )
    forward, backward = map(total, ends)
    return Answer(values, smooth, (forward - backward) / (2 * step))


def by_library(meeting, asks, smooth, dtype):
    """A function of s: the sum and its derivative, the values, and what is refused."""
    refused: list[str] = []

    def total(s):
        pair = meeting.of(OURS, s, dtype)
        values = {name: ASKS[name].of(OURS, *pair) for name in asks}
        refused[:] = [name for name, x in values.items() if x is None]
        values = {k: x.astype(float) for k, x in values.items() if x is not None}
        terms = [k * values[name] for k, name in enumerate(smooth, 1) if name in values]
        return sum(terms, jnp.zeros(())), values

    return jax.value_and_grad(total, has_aux=True), refused


def agree(meeting, asks, run=interpret, at=(0.0,), dtype=jnp.float64, slack=1e-6):
    """Both answers are one, refusals included, at each place along the direction."""
    exact = [by_formula(meeting, asks, s, dtype) for s in at]
    f, refused = by_library(meeting, asks, exact[0].smooth, dtype)
    (_, values), derivative = run(f, jnp.zeros(()) if len(at) == 1 else jnp.array(at))
    assert refused == [name for name, x in exact[0].values.items() if x is None]
    for name, value in values.items():
        close(value, [x.values[name] for x in exact], slack / 100, name)
    what = f"the gradient of {' + '.join(exact[0].smooth)}"
    close(derivative, [x.derivative for x in exact], slack, what)


def close(got, expected, slack, what):
    expected = np.reshape(expected, np.shape(got))
    size = max(1.0, np.max(np.abs(expected), where=np.isfinite(expected), initial=0))
    np.testing.assert_allclose(got, expected, slack, slack * size, err_msg=what)


def swept(f, s):
    return interpret(jax.vmap(f), s)


def compiled(f, s):
    return jax.jit(jax.vmap(f))(s)


# how a loss is run: by what, at which places along the direction, and in which dtype
INTERPRETED = {}
SWEPT = dict(run=swept, at=(0.0, 0.02))
COMPILED = dict(run=compiled, at=(0.0, 0.02))
HALF = dict(dtype=jnp.bfloat16, slack=2e-2)
WAYS = SWEPT, INTERPRETED, HALF, INTERPRETED


# ------------------------------------------------------- the table


def numbered(names, slow=()):
    """Parameters with their place in the table, which chooses what they are asked."""
    marks = lambda name: [pytest.mark.slow] if name in slow else []
    both = enumerate(names)
    return [pytest.param(k, name, id=name, marks=marks(name)) for k, name in both]


def refused(base, *wrappers):
    with pytest.raises(icon.InvalidInput):
        around(base, *wrappers)(OURS, zoo.traced(0, 0.0, jnp.float32))


@pytest.mark.parametrize("turn, name", numbered(NAMED, LATER))
def test_a_neighborhood_meets_another(turn, name):
    way = {} if name in CONTINUUM else WAYS[turn % len(WAYS)]  # draws have a dtype
    agree(NAMED[name], some(turn, 1), **way)


@pytest.mark.parametrize("turn, name", numbered(TILED, TILED.keys() - IN_TILES))
def test_a_neighborhood_is_summed_in_tiles(turn, name):
    agree(TILED[name], some(turn, 2, TILES))


@pytest.mark.parametrize("turn, name", numbered(SINGLE, LATER))
def test_a_wrapper_is_its_formula(turn, name):
    base, wrapper = SINGLE[name]
    meeting = wrapped((base,), wrapper)
    if meeting is None:
        return refused(base, wrapper)
    way = COMPILED if turn % 8 == 0 else WAYS[turn % len(WAYS)]
    agree(meeting, some(turn, 1), **way)


@pytest.mark.parametrize("turn, name", numbered(PAIRED, PAIRED.keys() - SOON))
def test_a_wrapper_around_another_is_its_formula(turn, name):
    bases = ("graph", "gaussian") if turn % 2 else ("gaussian",)
    meeting = wrapped(bases, *PAIRED[name])
    if meeting is None:
        return refused("gaussian", *PAIRED[name])
    agree(meeting, some(turn, 1, WHOLE))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED | TILED)
def test_a_neighborhood_meets_another_under_every_loss(name):
    meeting = (NAMED | TILED)[name]
    agree(meeting, TILES if name in TILED else tuple(ASKS))


@pytest.mark.slow
@pytest.mark.parametrize("name", SINGLE)
def test_a_wrapper_is_its_formula_under_every_loss(name):
    meeting = wrapped(SINGLE[name][:1], SINGLE[name][1])
    if meeting is not None:
        agree(meeting, tuple(ASKS))


@pytest.mark.slow
@pytest.mark.parametrize("turn, name", numbered(PAIRED))
def test_a_wrapper_around_another_is_its_formula_under_more_losses(turn, name):
    for bases in (("graph", "gaussian"), ("gaussian",)):
        meeting = wrapped(bases, *PAIRED[name])
        if meeting is not None:
            agree(meeting, some(turn + 1, 5))


# ------------------------------------------------------- what is around what


# rows are outside, columns inside, around a Gaussian: 2 stands on both sides of a loss,
# q on the right alone, and . is refused
AROUND = """
                 i t s a s s m r g o b m w w s h u
    interpolated . . . . . . . . . . . . . . . . .
    tiled        . 2 . . . . . 2 . . . . . . . . .
    sampled      q . q . q . q q q q . q . . . q q
    among        2 . 2 2 2 . 2 2 . 2 . 2 2 2 2 2 2
    smooth       2 . 2 2 2 . 2 2 2 2 . 2 2 2 2 2 2
    smooth, s    . . . . . . . . . . . . . . . . .
    margin       2 . 2 2 2 . 2 2 . 2 . 2 2 2 2 2 2
    reweigh      2 . . . . . . 2 . . . . 2 2 2 . .
    grouped      2 . 2 2 2 . 2 2 . 2 . 2 2 2 2 2 2
    odds         q . q q q . q q q q . q q q q q q
    bernoulli    2 . 2 2 2 . 2 2 2 2 . 2 2 2 2 2 2
    mix          2 . 2 2 2 . 2 2 . 2 . 2 2 2 2 2 2
    wide         2 . . 2 . . 2 2 . . . . 2 2 2 . .
    wide, 2      2 . . 2 . . 2 2 . . . . 2 2 2 . .
    sharp        2 . . 2 . . 2 2 . . . . 2 2 2 . .
    hard         2 . 2 2 2 . 2 2 2 2 . 2 2 2 2 2 2
    unnormalized q . q q q . q q q q . q q q q q q
"""


def stands(lib, learned, *wrappers) -> str:
    """2 where it stands on both sides, q on the right alone, . where it is refused."""
    refused = reference.Refused if lib is FORMULA else icon.InvalidInput
    try:
        q = around("gaussian", *wrappers)(lib, learned)
    except refused:
        return "."
    try:
        q.support(0)
    except refused:
        return "q"
    return "2"


@pytest.mark.parametrize("lib", [OURS, FORMULA], ids=["ours", "formula"])
def test_what_may_be_around_what(lib):
    found = {}

    def build():
        make = zoo.exact if lib is FORMULA else zoo.traced
        learned = make(0, 0.0, jnp.float64)
        for outer in WRAPPERS:
            found[outer] = [stands(lib, learned, inner, outer) for inner in WRAPPERS]

    build() if lib is FORMULA else jax.eval_shape(build)  # nothing is computed there
    _, *rows = AROUND.strip().splitlines()
    expected = [row.split()[-len(WRAPPERS) :] for row in rows]
    assert found == dict(zip(WRAPPERS, expected, strict=True))


# ------------------------------------------------------- what is refused everywhere


@pytest.mark.parametrize("verb", ("kl", "tv"))
@pytest.mark.parametrize("name", ("odds", "sampled", "unnormalized"))
def test_what_gives_no_probabilities_is_no_p(name, verb):
    p = around("gaussian", name)(OURS, zoo.traced(0, 0.0, jnp.float32))
    q = KINDS["gaussian"](OURS, zoo.traced(1, 0.0, jnp.float32))
    with pytest.raises(icon.InvalidInput) as error:
        getattr(icon, verb)(p, q)
    assert error.value.argument == "p"


@pytest.mark.parametrize("verb", ("tv", "jsd", "hellinger", "alpha"))
def test_probabilities_below_zero_are_refused_where_they_have_no_meaning(verb):
    p, q = (zoo.traced(k, 0.0, jnp.float32) for k in (0, 1))
    p = around("gaussian", "wide, order 2")(OURS, p)
    with pytest.raises(icon.InvalidInput) as error:
        getattr(OURS, verb)(p, KINDS["gaussian"](OURS, q))
    assert error.value.argument == "p"


SHARDED = (
    "gaussian",
    "smooth",
    "margin",
    "reweigh",
    "bernoulli",
    "wide",
    "sharp",
)


@pytest.mark.parametrize("name", SHARDED)
def test_a_share_of_a_batch_wants_its_mesh(name):
    wrappers = () if name == "gaussian" else (name,)
    q = around("gaussian", *wrappers)(OURS, zoo.traced(0, 0.0, jnp.float32))
    for verb in ("kl", "cross_entropy"):
        with pytest.raises(icon.InvalidInput) as error:
            getattr(icon, verb)(q, icon.sharded(q, "data"))
        assert error.value.argument == "axis_name"
