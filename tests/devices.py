"""What are losses where a batch is spread over devices? One process per number of them.

`python devices.py WHICH COUNT OUT` writes the answers on `COUNT` virtual devices, for
the tests to compare: the number of devices of a process cannot be changed.
"""

import functools as ft
import json
import pickle
import re
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flags import LITTLE
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import icon


N, D, WIDE, CLASSES = 40, 6, 10, 6
ANCHORS, ALL = P("data"), P()


# ------------------------------------------------------- the batch


class Batch(NamedTuple):
    """What is learned by all, what each anchor has, and the ids of the anchors."""

    learn: dict[str, Any]
    points: dict[str, Any]
    ids: dict[str, Any]


def batch() -> Batch:
    """Different rows on every device; the first half lonely in the ids `lonely`."""
    rng = np.random.default_rng(0)
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
    uniform = lambda low: rng.uniform(low, 2, N).astype(np.float32)
    at = np.arange(N, dtype=np.int32)
    return Batch(
        dict(W=normal(D, WIDE) / 2, C=normal(CLASSES, WIDE), t=np.float32(0.7)),
        dict(x=normal(N, D), y=normal(N, D), w=uniform(0.2), scale=uniform(0.8)),
        dict(
            view=at % (N // 2),  # two views of an item, half a batch apart
            label=at // 7,  # classes that begin on one device and end on another
            prototype=at % CLASSES,
            own=at,
            lonely=np.where(at < N // 2, at, N + at // 3).astype(np.int32),
        ),
    )


# ------------------------------------------------------- the losses


class Ask(NamedTuple):
    """How a loss is asked: in strips, over which axis, gathered or round the ring."""

    block: int | None = None
    axis: Any = None
    ring: bool = False

    def __call__(self, verb, p, q, **options):
        if self.ring:
            q = icon.sharded(q, self.axis, ring=True)
        elif self.axis:
            options["axis_name"] = self.axis
        return verb(p, q, block=self.block, **options)


def cosine(b):
    return icon.cosine(b.z, temperature=b.t)


def clip(b):
    return icon.same(b.own, b.own), icon.dot(b.z, b.z_other, temperature=b.t)


def log_joint(scale, x, z):
    return -jnp.sum((jnp.sum(x) - scale * z) ** 2) / 8 - jnp.sum(z**2) / 2


def cloud(b):
    std = jnp.exp(b.z_other / 8)
    return icon.normal(b.z, std, jax.random.key(3), samples=2)


def triplet(b):
    p = icon.same(b.view)
    return p, icon.sharp(icon.margin(icon.gaussian(b.z, scale=b.t), p, 1.0))


def siglip(b):
    p, q = clip(b)
    return icon.bernoulli(icon.odds(p)), icon.bernoulli(q)


PLAIN = {
    "SimCLR": lambda b, ask: ask(icon.kl, icon.same(b.view), cosine(b)),
    "SupCon": lambda b, ask: ask(icon.kl, icon.same(b.label), cosine(b)),
    "InfoNCE": lambda b, ask: ask(icon.kl, *clip(b)),
    "CLIP": lambda b, ask: ask(icon.both_ways(icon.kl), *clip(b)),
    "weighed anchors": lambda b, ask: ask(
        icon.kl, icon.same(b.view), cosine(b), weight=b.w
    ),
    "t-SNE": lambda b, ask: ask(
        icon.kl, icon.gaussian(b.x), icon.student_t(b.z, scale=b.t), joint=True
    ),
    "p learns": lambda b, ask: ask(
        icon.kl, icon.gaussian(b.z, scale=2 * b.t), icon.student_t(b.y)
    ),
    "p learns, joint": lambda b, ask: ask(
        icon.kl, icon.gaussian(b.z, scale=2 * b.t), icon.student_t(b.y), joint=True
    ),
    "lonely anchors": lambda b, ask: ask(icon.kl, icon.same(b.lonely), cosine(b)),
    "lonely anchors, weighed": lambda b, ask: ask(
        icon.cross_entropy, icon.same(b.lonely), cosine(b), weight=b.w
    ),
    "lonely anchors, joint": lambda b, ask: ask(
        icon.cross_entropy,
        icon.same(b.lonely),
        icon.student_t(b.z, scale=b.t),
        joint=True,
    ),
    "a scale each, p": lambda b, ask: ask(
        icon.kl, icon.gaussian(b.x, scale=b.scale), icon.student_t(b.z, scale=b.t)
    ),
    "a scale each, q": lambda b, ask: ask(
        icon.kl, icon.same(b.view), icon.gaussian(b.z, scale=b.scale * b.t)
    ),
    "reweighed candidates": lambda b, ask: ask(
        icon.kl, icon.same(b.view), icon.reweigh(cosine(b), b.w)
    ),
}
# whose candidates are the same everywhere, or that cannot be passed round
GATHERED = {
    "prototypes": lambda b, ask: ask(
        icon.cross_entropy,
        icon.same(b.prototype, jnp.arange(CLASSES)),
        icon.dot(b.z, b.C, temperature=b.t),
    ),
    "smooth p": lambda b, ask: ask(
        icon.kl, icon.smooth(icon.same(b.view), b.t / 8), cosine(b)
    ),
    "smooth q": lambda b, ask: ask(
        icon.kl, icon.same(b.view), icon.smooth(cosine(b), b.t / 4)
    ),
    "a mix": lambda b, ask: ask(
        icon.kl,
        icon.mix(icon.same(b.view), icon.gaussian(b.x), weights=b.t * jnp.ones(2)),
        cosine(b),
    ),
    "wide": lambda b, ask: ask(
        icon.cross_entropy,
        icon.same(b.view),
        icon.wide(icon.gaussian(b.z, scale=b.t)),
    ),
    "triplets": lambda b, ask: ask(icon.cross_entropy, *triplet(b)),
    "tv": lambda b, ask: ask(icon.tv, icon.same(b.view), cosine(b)),
    "jsd": lambda b, ask: ask(icon.jsd, icon.same(b.label), cosine(b), weight=b.w),
    "lonely anchors, tv": lambda b, ask: ask(icon.tv, icon.same(b.lonely), cosine(b)),
    "clusters": lambda b, ask: ask(
        icon.kl, icon.same(b.view, b.view), icon.clusters(jax.nn.softmax(b.z / b.t))
    ),
    "SigLIP": lambda b, ask: ask(icon.kl, *siglip(b)),
    "VAE": lambda b, ask: ask(icon.kl, cloud(b), icon.density(log_joint, b.t, b.x)),
    "two normals": lambda b, ask: ask(icon.kl, cloud(b), icon.normal(b.z_other, b.t)),
}
LOSSES = PLAIN | GATHERED


def value(loss, ask: Ask, learn, points, ids):
    """One number, from what is learned, what each anchor has and its ids."""
    b = SimpleNamespace(**learn, **points, **ids)
    b.z, b.z_other = b.x @ b.W, b.y @ b.W
    return loss(b, ask)


def gradients(losses, ask: Ask):
    """Of every loss its value, and its gradients in what is learned and the points."""

    def all_of_them(learn, points, ids):
        of = lambda loss: jax.value_and_grad(ft.partial(value, loss, ask), (0, 1))
        return {name: of(loss)(learn, points, ids) for name, loss in losses.items()}

    return all_of_them


# ------------------------------------------------------- the ways to spread it


FLAGS = dict(flag.removeprefix("--").split("=") for flag in LITTLE)
QUICK = {name: json.loads(value) for name, value in FLAGS.items()}


def quick(f):
    """Compiled for a few numbers: programs that compile longer than they run."""
    return jax.jit(f, compiler_options=QUICK)


def mesh(axis_type=AxisType.Auto):
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(axis_type,))


def put(on, at: Batch):
    place = lambda where: NamedSharding(on, where)
    return Batch(
        jax.device_put(at.learn, place(ALL)),
        jax.device_put(at.points, place(ANCHORS)),
        jax.device_put(at.ids, place(ANCHORS)),
    )


def alone(losses):
    """Nothing is spread at all: what everything else is compared with."""
    return quick(gradients(losses, Ask()))(*batch())


def mapped(losses, ask: Ask, on=None, where=ANCHORS):
    """Inside of a shard_map, gradients and all."""
    f = jax.shard_map(
        gradients(losses, ask),
        mesh=on or mesh(),
        in_specs=(ALL, where, where),
        out_specs=dict.fromkeys(losses, (ALL, (ALL, where))),
    )
    return quick(f)(*batch())


def mapped_value(losses, ask: Ask):
    """Only the loss inside of the shard_map, its gradients taken outside of it."""
    specs = dict(mesh=mesh(), in_specs=(ALL, ANCHORS, ANCHORS), out_specs=ALL)

    def all_of_them(*at):
        f = lambda loss: jax.shard_map(ft.partial(value, loss, ask), **specs)
        of = lambda loss: jax.value_and_grad(f(loss), (0, 1))
        return {name: of(loss)(*at) for name, loss in losses.items()}

    return quick(all_of_them)(*batch())


def compiled(losses, ask: Ask, axis_type):
    """Sharded inputs: the compiler decides what is sent where."""
    on = mesh(axis_type)
    with jax.set_mesh(on):
        return quick(gradients(losses, ask))(*put(on, batch()))


def eager(losses):
    """Called outside of any jit and any mesh, on arrays with an explicit sharding."""
    at = put(mesh(AxisType.Explicit), batch())
    return {name: value(loss, Ask(), *at) for name, loss in losses.items()}


def two_axes(losses):
    half = 2 if jax.device_count() > 1 else 1
    shape, names = (half, jax.device_count() // half), ("a", "b")
    on = jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * 2)
    return mapped(losses, Ask(axis=names), on, P(names))


LONELY = "lonely anchors, weighed", "lonely anchors, joint"
# those that go through the code in ways of their own
FEW = "SimCLR", "CLIP", "t-SNE", "prototypes", "jsd", *LONELY
SOME = {name: LOSSES[name] for name in FEW}
SOME_PLAIN = {name: loss for name, loss in SOME.items() if name in PLAIN}
# in most ways by default: one by rows, and one jointly with anchors that are lonely
PAIR = {name: LOSSES[name] for name in ("SimCLR", "lonely anchors, joint")}
MORE = "CLIP", "prototypes", "jsd"
MOST = PAIR | {name: LOSSES[name] for name in MORE}
EAGER = {"CLIP": LOSSES["CLIP"]}
STRIP = 3  # divides no device's share
COUNTS = 1, 2, 4, 8


def ways(count: int) -> dict[str, Any]:
    """How the losses are asked on several devices, and which of them."""
    return {
        "auto": lambda: compiled(PAIR, Ask(), AxisType.Auto),
        "explicit, strips": lambda: compiled(PAIR, Ask(STRIP), AxisType.Explicit),
        "gathered": lambda: mapped(MOST, Ask(axis="data")),
        "ring, strips": lambda: mapped(PAIR, Ask(STRIP, "data", True)),
        "two axes": lambda: two_axes(PAIR),
        "gradients outside": lambda: mapped_value(PAIR, Ask(axis="data")),
        "eager": lambda: eager(EAGER),
    }


def all_ways(count: int) -> dict[str, Any]:
    """All losses in most ways, on any number of devices."""
    explicit = AxisType.Explicit
    return ways(count) | {
        "auto": lambda: compiled(SOME, Ask(), AxisType.Auto),
        "explicit, strips": lambda: compiled(SOME, Ask(STRIP), explicit),
        "ring, strips": lambda: mapped(SOME_PLAIN, Ask(STRIP, "data", True)),
        "two axes": lambda: two_axes(SOME),
        "auto, strips": lambda: compiled(SOME, Ask(STRIP), AxisType.Auto),
        "explicit": lambda: compiled(LOSSES, Ask(), explicit),
        "gathered": lambda: mapped(LOSSES, Ask(axis="data")),
        "gathered, strips": lambda: mapped(LOSSES, Ask(STRIP, "data")),
        "ring": lambda: mapped(PLAIN, Ask(None, "data", True)),
        "gradients outside": lambda: mapped_value(SOME, Ask(axis="data")),
    }


# ------------------------------------------------------- the same bits


def simclr(b, ask, **options):
    return ask(icon.kl, icon.same(b.view), icon.cosine(b.x, temperature=b.t), **options)


def pairs(b):
    return icon.same(b.own, b.own), icon.dot(b.x, b.y, temperature=b.t)


EXACT = {
    "SimCLR": simclr,
    "weighed SimCLR": lambda b, ask: simclr(b, ask, weight=b.w),
    "SupCon": lambda b, ask: ask(
        icon.kl, icon.same(b.label), icon.cosine(b.x, temperature=b.t)
    ),
    "InfoNCE": lambda b, ask: ask(icon.kl, *pairs(b)),
    "CLIP": lambda b, ask: ask(icon.both_ways(icon.kl), *pairs(b)),
    "prototypes": lambda b, ask: ask(
        icon.cross_entropy,
        icon.same(b.prototype, jnp.arange(CLASSES)),
        icon.dot(b.x, b.C, temperature=b.t),
    ),
    "t-SNE": lambda b, ask: ask(
        icon.kl, icon.gaussian(b.fixed), icon.student_t(b.x, scale=b.t), joint=True
    ),
}
SIZES = (64, 5), (512, 64), (96, 16)
ALL_SIZES = [(name, size) for name in EXACT for size in SIZES]
ONCE = [("CLIP", (96, 16))]  # a gradient of both directions


def sized(n: int, d: int) -> Batch:
    rng = np.random.default_rng(n)
    normal = lambda *shape: rng.normal(0, 2 / d**0.5, shape).astype(np.float32)
    at = np.arange(n, dtype=np.int32)
    ids = dict(view=at % (n // 2), label=at // 7, prototype=at % CLASSES, own=at)
    return Batch(
        dict(C=normal(CLASSES, d), t=np.float32(0.7)),
        dict(x=normal(n, d), y=normal(n, d)),
        dict(ids, w=rng.uniform(0.2, 2, n).astype(np.float32), fixed=normal(n, d)),
    )


def in_one_place(name):
    ask = lambda *at: EXACT[name](SimpleNamespace(**(at[0] | at[1] | at[2])), Ask())
    return jax.value_and_grad(ask, (0, 1))


def spread_out(name):
    axis = Ask(axis="data")
    ask = lambda *at: EXACT[name](SimpleNamespace(**(at[0] | at[1] | at[2])), axis)
    return jax.shard_map(
        jax.value_and_grad(ask, (0, 1)),
        mesh=mesh(),
        in_specs=(ALL, ANCHORS, ANCHORS),
        out_specs=(ALL, (ALL, ANCHORS)),
    )


def asked(make, which, jit=jax.jit):
    """Each in a program of its own, as users make it: how it is fused may matter."""
    return {
        (name, size): jax.device_get(jit(make(name))(*sized(*size)))
        for name, size in which
    }


def exactly_asked(make, which):
    with icon.deterministic():
        return asked(make, which)


def traced():
    """How often one function is traced in and out of the context, and its values."""
    times = []

    @jax.jit
    def loss(z):
        times.append(1)
        return icon.kl(icon.same(jnp.arange(8) % 4), icon.dot(z))

    z = jnp.asarray(sized(8, 3).points["x"])
    of_one_size = lambda: "optimization_barrier" in str(loss.trace(z).jaxpr)
    seen = []
    for on in (False, True, False, True):
        with icon.deterministic(on):
            seen.append((float(loss(z)), of_one_size(), len(times)))
    return seen


# ------------------------------------------------------- what is held


BIG, COLUMNS = 8192, 64


def program(name: str, ask: Ask, n: int):
    """A compiled loss of many points, which is not run."""
    losses = {
        "SimCLR": lambda x, y, ids: ask(icon.kl, icon.same(ids), icon.cosine(x)),
        "InfoNCE": lambda x, y, ids: ask(icon.kl, icon.same(ids, ids), icon.dot(x, y)),
    }
    f = jax.value_and_grad(losses[name], (0, 1))
    specs = dict(in_specs=(ANCHORS,) * 3, out_specs=(ALL, (ANCHORS, ANCHORS)))
    f = jax.shard_map(f, mesh=mesh(), **specs)
    points = jax.ShapeDtypeStruct((n, COLUMNS), np.float32)
    ids = jax.ShapeDtypeStruct((n,), np.int32)
    return quick(f).lower(points, points, ids).compile()


def held(name: str, ring: bool, n: int):
    """The bytes a device needs besides its share, and what is gathered, and where."""
    made = program(name, Ask(16, "data", ring), n)
    text, gather = made.as_text(), r"= (\S+) all-gather(?:-start)?\("
    whole = re.findall(gather, text)
    return dict(
        bytes=made.memory_analysis().temp_size_in_bytes,
        points=sum(f"f32[{n},{COLUMNS}]" in shape for shape in whole),
        gathers=len(whole),
        outside_of_loops=len(re.findall(gather, text[text.index("\nENTRY") :])),
        passed_on="collective-permute" in text,
    )


HELD = {
    "questions": [("InfoNCE", False, BIG), ("InfoNCE", True, BIG)]
    + [("InfoNCE", True, 2 * BIG)],
    "thorough": [("SimCLR", False, BIG), ("SimCLR", True, BIG)],
}


def all_held(which: str):
    return {what: held(*what) for what in HELD[which]}


# ------------------------------------------------------- what is refused


def within(loss, **options):
    """Traced inside of a shard_map, where nothing is computed."""
    specs = dict(mesh=mesh(), in_specs=(ALL, ANCHORS, ANCHORS), out_specs=ALL)
    f = jax.shard_map(ft.partial(value, loss, None), **specs, **options)
    return lambda: jax.eval_shape(f, *batch())


def outside(loss):
    return lambda: jax.eval_shape(ft.partial(value, loss, None), *batch())


def exactly(loss, how=within):
    def trace():
        with icon.deterministic():
            how(loss)()

    return trace


def on_explicit_mesh(loss):
    def trace():
        on = mesh(AxisType.Explicit)
        with jax.set_mesh(on):
            jax.jit(ft.partial(value, loss, None)).trace(*put(on, batch()))

    return trace


def ring(q):
    return icon.sharded(q, "data", ring=True)


def gathered(p, q, verb=icon.kl, axis="data"):
    return verb(p, q, axis_name=axis)


def listed(b):
    return np.zeros((len(b.own), 1), np.int32)


def graph(b):
    return icon.uniform(listed(b), candidates=len(b.own))


def few(b):
    """As many prototypes as a device has anchors, the same on every device."""
    return jnp.ones((len(b.own), WIDE))


def reweighed(b):
    return icon.reweigh(cosine(b), b.w)


def smoothed(b):
    return icon.smooth(cosine(b), 0.1)


REFUSED = {
    "a shard_map that checks nothing": (
        "axis_name",
        lambda: within(lambda b, _: gathered(icon.same(b.view), cosine(b)), **BLIND),
    ),
    "a ring in a shard_map that checks nothing": (
        "axis_name",
        lambda: within(
            lambda b, _: icon.kl(icon.same(b.view), ring(cosine(b))), **BLIND
        ),
    ),
    "an axis that is not there": (
        "axis_name",
        lambda: within(lambda b, _: gathered(*clip(b), axis="nope")),
    ),
    "one axis of two that is not there": (
        "axis_name",
        lambda: within(lambda b, _: gathered(*clip(b), axis=("data", "nope"))),
    ),
    "an axis outside of any shard_map": (
        "axis_name",
        lambda: outside(lambda b, _: gathered(*clip(b))),
    ),
    "sharded outside of any shard_map": (
        "axis_name",
        lambda: outside(lambda b, _: icon.kl(icon.same(b.view), ring(cosine(b)))),
    ),
    "an axis without a name": (
        "axis_name",
        lambda: outside(lambda b, _: icon.sharded(cosine(b), None)),
    ),
    "a graph as p": (
        "p",
        lambda: within(lambda b, _: gathered(graph(b), icon.dot(b.z, b.z))),
    ),
    "given scores": (
        "q",
        lambda: within(
            lambda b, _: gathered(icon.same(b.own, b.own), icon.scores(b.z @ b.z.T))
        ),
    ),
    "a ring of smoothed points": (
        "q",
        lambda: within(lambda b, _: icon.kl(icon.same(b.view), ring(smoothed(b)))),
    ),
    "a ring and a smoothed p": (
        "p",
        lambda: within(
            lambda b, _: icon.kl(icon.smooth(icon.same(b.view), 0.1), ring(cosine(b)))
        ),
    ),
    "a ring of wide points": (
        "q",
        lambda: within(
            lambda b, _: icon.cross_entropy(
                icon.same(b.view), ring(icon.wide(cosine(b)))
            )
        ),
    ),
    "a ring under another divergence": (
        "q",
        lambda: within(lambda b, _: icon.tv(icon.same(b.view), ring(cosine(b)))),
    ),
    "sharded best candidates": (
        "q",
        lambda: within(lambda b, _: icon.sharded(icon.hard(cosine(b)), "data")),
    ),
    "sharded lists": (
        "q",
        lambda: within(
            lambda b, _: icon.sharded(icon.among(cosine(b), listed(b)), "data")
        ),
    ),
    "a sharded graph": (
        "q",
        lambda: within(lambda b, _: icon.sharded(graph(b), "data")),
    ),
    "weights of all devices on each": (
        "weight",
        lambda: within(
            lambda b, _: icon.kl(*clip(b), weight=np.ones(N), axis_name="data")
        ),
    ),
    "other candidates on a device": (
        "q",
        lambda: within(
            lambda b, _: gathered(icon.same(b.own, b.own), icon.dot(b.z, b.C))
        ),
    ),
    "candidates of p that are gathered, of q that stay": (
        "q",
        lambda: within(
            lambda b, _: gathered(icon.same(b.own, b.own), icon.dot(b.z, few(b)))
        ),
    ),
    "candidates of q that are gathered, of p that stay": (
        "q",
        lambda: within(
            lambda b, _: gathered(
                icon.same(b.own, jnp.arange(len(b.own))), icon.dot(b.z, b.z_other)
            )
        ),
    ),
    "a whole batch on every device": (
        "q",
        lambda: within(
            lambda b, _: gathered(
                icon.same(jnp.arange(len(b.own))), icon.cosine(few(b))
            )
        ),
    ),
    "candidates of p that go round, of q that stay": (
        "q",
        lambda: within(
            lambda b, _: icon.kl(icon.same(b.own, b.own), ring(icon.dot(b.z, few(b))))
        ),
    ),
    "candidates that are the same everywhere, and go round": (
        "q",
        lambda: within(
            lambda b, _: icon.cross_entropy(
                icon.same(b.prototype, jnp.arange(CLASSES)), ring(icon.dot(b.z, b.C))
            )
        ),
    ),
    "deterministic, candidates of p that are gathered, of q that stay": (
        "q",
        lambda: exactly(
            lambda b, _: gathered(icon.same(b.own, b.own), icon.dot(b.z, few(b)))
        ),
    ),
    "deterministic smoothed points": (
        "q",
        lambda: exactly(lambda b, _: gathered(icon.same(b.view), smoothed(b))),
    ),
    "deterministic smoothed p": (
        "p",
        lambda: exactly(
            lambda b, _: icon.kl(icon.smooth(icon.same(b.view), 0.1), cosine(b)),
            outside,
        ),
    ),
    "deterministic reweighed points": (
        "q",
        lambda: exactly(lambda b, _: gathered(icon.same(b.view), reweighed(b))),
    ),
    "another divergence that is to be deterministic": (
        "deterministic",
        lambda: exactly(lambda b, _: gathered(icon.same(b.view), cosine(b), icon.tv)),
    ),
    "a deterministic explicit mesh": (
        "deterministic",
        lambda: exactly(
            lambda b, _: icon.kl(icon.same(b.own, b.own), icon.dot(b.x, b.y)),
            on_explicit_mesh,
        ),
    ),
    "deterministic cosines on an explicit mesh": (
        "deterministic",
        lambda: exactly(
            lambda b, _: icon.kl(icon.same(b.view), icon.cosine(b.x)), on_explicit_mesh
        ),
    ),
}
BLIND = dict(check_vma=False)


def refusal(trace) -> str:
    """Which argument is refused, or what happens instead."""
    try:
        trace()
    except icon.InvalidInput as error:
        return error.argument
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing is refused"


# ------------------------------------------------------- all of it


def questions(count: int) -> dict[str, Any]:
    """What is asked by default: of one device, and of many."""
    asks = dict(bits=lambda: exactly_asked(spread_out, ONCE))
    if count > 1:
        refused = lambda: {name: refusal(f()) for name, (_, f) in REFUSED.items()}
        held_here = lambda: all_held("questions")
        return asks | ways(count) | dict(held=held_here, refused=refused)
    one_place = {
        "alone": lambda: alone(MOST),
        "bits in one place": lambda: exactly_asked(in_one_place, ONCE),
        "plain": lambda: asked(in_one_place, ONCE, quick),
        "traced": traced,
    }
    return asks | one_place


def thorough(count: int) -> dict[str, Any]:
    """What takes minutes."""
    asks = dict(bits=lambda: exactly_asked(spread_out, ALL_SIZES))
    if count == 1:
        asks["plain"] = lambda: asked(in_one_place, ALL_SIZES, quick)
        asks["alone"] = lambda: alone(LOSSES)
    if count == max(COUNTS):
        asks["held"] = lambda: all_held("thorough")
    return asks | all_ways(count)


def answer(ask):
    """The answer, or how it fails: the others are to be answered as well."""
    try:
        return jax.device_get(ask())
    except Exception:
        return traceback.format_exc()


def main(which: str, count: int, out: Path):
    jax.config.update("jax_num_cpu_devices", count)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    asks = dict(questions=questions, thorough=thorough)[which](count)
    answers = {name: answer(ask) for name, ask in asks.items()}
    part = out.with_suffix(".part")
    part.write_bytes(pickle.dumps(answers))
    part.rename(out)  # all of it, or nothing


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
