"""How fast is a contrastive loss by icon, and how big, beside those of its peers?

python benchmarks/contrastive.py [--only clip ...] [--out results.json] [--quick]
Value and gradient in the embeddings, float32, rows of norm 1, temperature 0.07. All
contenders take turns in one process (A B A B), compiled and warm; medians. `ratio` is
icon's time over theirs, the median over the rounds; `target` is the most it may be.
`mb` is what XLA needs beside arguments and results, `off` how far values and gradients
are from icon's: a loss that disagrees is an error. A dash is a peer that is not there.
Every product is in full float32, as icon's are, on a GPU as well.
Prints a table per section and adds it to benchmarks/results/contrastive.json; --quick
is a trial at an eighth of every size, which is not kept.
"""

import argparse
import functools as ft
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import cells
import jax
import jax.numpy as jnp
import numpy as np
import optax
from embedding import show, timed
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.tree_util import Partial

import icon


T, CLASSES, WORDS, LIMIT, DEVICES = 0.07, 10, 50_000, 6, 8
HERE = Path(__file__).parent
MOST = {"optax ntxent": 1024, "pml": 256}  # beyond, they take gigabytes and minutes
NORMALISES = {"optax ntxent", "pml"}  # no slope of theirs is along an embedding
DASHES = dict.fromkeys("ms ratio mb compile_s rounds value_off slope_off".split())
HALVES = ("float32", "bfloat16", "float16")
TARGETS = {
    ("infonce", 16384, 128, "dense"): 0.95,
    ("clip", 16384, 128, "dense"): 0.9,
    ("clip", 16384, 128, "torch"): 0.4,
    ("ntxent", 4096, 128, "dense"): 0.7,
    ("ntxent", 1024, 128, "optax ntxent"): 1 / 50,
}
FITS = {16384: 100, 65536: 350}  # megabytes that are enough


class Plan(NamedTuple):
    """By what sizes are divided, and how many rounds there are, how long at least."""

    by: int = 1
    rounds: int = 9
    seconds: float = 2.0

    def wants(self, rounds, spent) -> bool:
        unsure = rounds < self.rounds or spent < self.seconds
        return rounds == 0 or (unsure and spent < 120)


# ------------------------------------------------------- the data


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def directions(rng, n, d):
    return unit(rng.standard_normal((n, d), np.float32))


def around(rng, z):
    """Rows that one can tell are near to those of z, with some effort."""
    return unit(z + 2 * directions(rng, *z.shape))


def pairs(n, d):
    """Two views of n things: who is who, anchors, candidates."""
    rng = np.random.default_rng(0)
    a = directions(rng, n, d)
    return np.arange(n, dtype=np.int32), a, around(rng, a)


def views(n, d):
    """Two views of n / 2 things in one batch."""
    ids, a, b = pairs(n // 2, d)
    return np.concatenate([ids, ids]), np.concatenate([a, b])


def classes(n, d):
    """Embeddings around a mean of their class."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, CLASSES, n).astype(np.int32)
    return label, around(rng, directions(rng, CLASSES, d)[label])


def words(n, d, by=1):
    """Which word comes next, hidden states, and a layer with a row for every word."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, WORDS // by, n).astype(np.int32)
    layer = directions(rng, WORDS // by, d)
    return label, around(rng, layer[label]), layer / np.float32(T)


# ------------------------------------------------------- the losses, by icon


def icon_infonce(ids, a, b):
    return icon.kl(icon.same(ids, ids), icon.dot(a, b, temperature=T))


def icon_clip(ids, a, b):
    p, q = icon.same(ids, ids), icon.dot(a, b, temperature=T)
    return icon.both_ways(icon.kl)(p, q)


def icon_batch(source, z):
    """NT-Xent of views, SupCon of classes."""
    return icon.kl(icon.same(source), icon.dot(z, temperature=T))


def icon_words(label, h, layer):
    return icon.kl(icon.same(label, jnp.arange(len(layer))), icon.dot(h, layer))


# ------------------------------------------------------- plain, with all scores


def among_others(z):
    return jnp.where(jnp.eye(len(z), dtype=bool), -jnp.inf, z @ z.T / T)


def dense_infonce(ids, a, b):
    s = a @ b.T / T
    return jnp.mean(jax.nn.logsumexp(s, 1) - jnp.diagonal(s))


def dense_clip(ids, a, b):
    s = a @ b.T / T
    masses = jax.nn.logsumexp(s, 1) + jax.nn.logsumexp(s, 0)
    return jnp.mean(masses - 2 * jnp.diagonal(s)) / 2


def dense_ntxent(source, z):
    twin = jnp.sum(z * jnp.roll(z, len(z) // 2, 0), 1) / T
    return jnp.mean(jax.nn.logsumexp(among_others(z), 1) - twin)


def dense_supcon(label, z):
    """The sum over positives is outside the logarithm; less log |P|, as KL is."""
    s = among_others(z)
    mates = (label[:, None] == label[None]) & (s > -jnp.inf)
    count = jnp.sum(mates, 1)
    mean = jnp.sum(jnp.where(mates, s, 0), 1) / count
    return jnp.mean(jax.nn.logsumexp(s, 1) - mean - jnp.log(count))


def optax_ntxent(source, z):
    return optax.losses.ntxent(z, source, temperature=T)


def optax_words(label, h, layer):
    told = optax.losses.softmax_cross_entropy_with_integer_labels(h @ layer.T, label)
    return jnp.mean(told)


def torch_infonce(ids, a, b):
    from torch.nn import functional

    return functional.cross_entropy(a @ b.T / T, ids)


def torch_clip(ids, a, b):
    """As in open_clip: a matrix of logits for each direction."""
    return (torch_infonce(ids, a, b) + torch_infonce(ids, b, a)) / 2


def torch_words(label, h, layer):
    from torch.nn import functional

    return functional.cross_entropy(h @ layer.T, label)


def pml_ntxent(source, z):
    from pytorch_metric_learning.losses import NTXentLoss

    return NTXentLoss(temperature=T)(z, source)


# ------------------------------------------------------- contenders


class Contender(NamedTuple):
    """Value and slopes at the call, all computed; seconds and megabytes, if known."""

    go: Callable
    compile_s: float | None = None
    mb: float | None = None


def compiled(f, *args):
    """Compiled, with the seconds it took and the megabytes it needs."""
    took, run = timed(jax.jit(f).lower(*args).compile)
    return run, took, run.memory_analysis().temp_size_in_bytes / 1e6


def slope_of(loss, floats):
    """Value and gradient in the floats, which come after the ids."""
    return jax.value_and_grad(loss, tuple(range(1, 1 + floats)))


def by_xla(f, *args) -> Contender:
    args = jax.device_put(args)
    run, *told = compiled(f, *args)
    return Contender(lambda: jax.block_until_ready(run(*args)), *told)


def by_jax(loss, ids, *floats) -> Contender:
    return by_xla(slope_of(loss, len(floats)), ids, *floats)


def there(*packages) -> bool:
    return all(importlib.util.find_spec(name) for name in packages)


def by_torch(loss, ids, *floats) -> Contender | None:
    if not there("torch"):
        return None
    import torch

    gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    where = torch.device("cuda" if gpu else "cpu")
    ids = torch.tensor(ids, device=where).long()
    floats = [torch.tensor(x, device=where).requires_grad_() for x in floats]

    def go():
        value = loss(ids, *floats)
        said = value, torch.autograd.grad(value, floats)
        if gpu:
            torch.cuda.synchronize()
        return said

    return Contender(go)


def by_pml(loss, *args):
    return by_torch(loss, *args) if there("pytorch_metric_learning") else None


LOSSES = {
    "infonce": {
        "icon": Partial(by_jax, icon_infonce),
        "dense": Partial(by_jax, dense_infonce),
        "torch": Partial(by_torch, torch_infonce),
    },
    "clip": {
        "icon": Partial(by_jax, icon_clip),
        "dense": Partial(by_jax, dense_clip),
        "torch": Partial(by_torch, torch_clip),
    },
    "ntxent": {
        "icon": Partial(by_jax, icon_batch),
        "dense": Partial(by_jax, dense_ntxent),
        "optax ntxent": Partial(by_jax, optax_ntxent),
        "pml": Partial(by_pml, pml_ntxent),
    },
    "supcon": {
        "icon": Partial(by_jax, icon_batch),
        "dense": Partial(by_jax, dense_supcon),
    },
    "vocabulary": {
        "icon": Partial(by_jax, icon_words),
        "optax": Partial(by_jax, optax_words),
        "torch": Partial(by_torch, torch_words),
    },
}


# ------------------------------------------------------- in turn


def rested(go, again) -> float:
    """Seconds, after a pause in which the threads of the one before fall asleep."""
    time.sleep(0.02)
    if again:
        go()
    return timed(go)[0]


def in_turn(plan, runs):
    """The seconds of everybody, [rounds, who]; short runs warm up at every turn.

    They would pay for what the one before them has left of caches and threads.
    """
    goes = [(run.go, timed(run.go)[0] < 0.1) for run in runs]
    times = []
    while plan.wants(len(times), np.sum(times)):
        times.append([rested(*go) for go in goes])
    return np.array(times)


def host(x):
    x = x.detach().cpu().numpy() if hasattr(x, "detach") else x
    return np.asarray(x, np.float64)


def said_by(run):
    """The value, and all slopes in one list."""
    value, slopes = run.go()
    return host(value), [host(x) for x in slopes]


def tangent(slopes, floats):
    """What is left of slopes along the sphere, where embeddings are normalised."""
    both = zip(slopes, floats, strict=True)
    return [g - z * np.sum(g * z, 1, keepdims=True) for g, z in both]


def norm(arrays) -> float:
    return float(np.sqrt(sum(np.sum(x**2) for x in arrays)))


def distance(told, first, floats, normalises):
    """How far a value and its slopes are from the first one's, relatively."""
    slopes = tangent(first[1], floats) if normalises else first[1]
    away = norm([x - y for x, y in zip(told[1], slopes, strict=True)])
    value, slope = abs(told[0] / first[0] - 1), away / norm(slopes)
    return dict(value_off=float(value), slope_off=slope)


def agreed(runs, floats):
    """How far everybody is from icon; an error if it is another loss."""
    first, found = said_by(runs["icon"]), {}
    for who, run in runs.items():
        found[who] = distance(said_by(run), first, floats, who in NORMALISES)
        near = found[who]["value_off"] < 1e-4 and found[who]["slope_off"] < 1e-3
        if not near:
            raise AssertionError(f"{who} has another loss than icon: {found[who]}")
    return found


def race(plan, name, args, n, d):
    """A row for each contender, in the order of the table."""
    called = {w: c for w, c in LOSSES[name].items() if n <= MOST.get(w, n)}
    built = {who: build(*args) for who, build in called.items()}
    runs = {who: run for who, run in built.items() if run}
    off = agreed(runs, args[1:])
    times = dict(zip(runs, in_turn(plan, runs.values()).T, strict=True))
    for who, run in built.items():
        row = dict(n=n, d=d, who=who, target=TARGETS.get((name, n, d, who)))
        yield row | DASHES | told(run, times.get(who), times["icon"]) | off.get(who, {})


def told(run, took, icon_took):
    """The times of a contender, if it is there."""
    if not run:
        return {}
    middle = dict(ms=1e3 * np.median(took), ratio=np.median(icon_took / took))
    return middle | dict(mb=run.mb, compile_s=run.compile_s, rounds=len(took))


# ------------------------------------------------------- the sections


def infonce(plan, sizes=(1024, 4096, 16384)):
    """n anchors, n candidates, one direction."""
    for n, d in ((n // plan.by, d) for n in sizes for d in (128, 512)):
        yield from race(plan, "infonce", pairs(n, d), n, d)


def clip(plan, sizes=((4096, 128), (4096, 512), (16384, 128))):
    """n anchors, n candidates, both directions."""
    for n, d in ((n // plan.by, d) for n, d in sizes):
        yield from race(plan, "clip", pairs(n, d), n, d)


def ntxent(plan, sizes=(256, 1024, 4096), d=128):
    """Two views in one batch of n; optax and pml normalise inside."""
    for n in (n // plan.by for n in sizes):
        yield from race(plan, "ntxent", views(n, d), n, d)


def supcon(plan, sizes=(4096,), d=128):
    """A batch of n in ten classes."""
    for n in (n // plan.by for n in sizes):
        yield from race(plan, "supcon", classes(n, d), n, d)


def vocabulary(plan, sizes=(1024,), d=128):
    """Cross-entropy of n anchors over 50,000 classes."""
    for n in (n // plan.by for n in sizes):
        yield from race(plan, "vocabulary", words(n, d, plan.by), n, d)


HELD = {
    "infonce": (icon_infonce, 2),
    "clip": (icon_clip, 2),
    "ntxent": (icon_batch, 1),
    "dense": (dense_infonce, 2),
    "dense clip": (dense_clip, 2),
    "dense ntxent": (dense_ntxent, 1),
}


def held(loss, floats, n, d):
    """Megabytes by XLA's account, without a run; None if it will not even compile."""
    ids, z = (jax.ShapeDtypeStruct(s, t) for s, t in (((n,), int), ((n, d), float)))
    try:
        return compiled(slope_of(loss, floats), ids, *[z] * floats)[-1]
    except jax.errors.JaxRuntimeError:
        return None


def memory(plan, sizes=(1024, 4096, 16384, 65536, 262144), d=128):
    """Megabytes beside arguments and results; the target is for infonce."""
    for n in (n // plan.by for n in sizes):
        found = {who: held(*loss, n, d) for who, loss in HELD.items()}
        yield dict(n=n, d=d, target=FITS.get(n)) | found


def child(call, **env):
    """What a call says, in a fresh process on the CPU; None if that died."""
    code = f"import json, contrastive; print(json.dumps(contrastive.{call}))"
    env = os.environ | dict(JAX_PLATFORMS="cpu") | env
    run = ft.partial(subprocess.run, capture_output=True, text=True, cwd=HERE, env=env)
    done = run([sys.executable, "-c", code])
    return None if done.returncode else json.loads(done.stdout.splitlines()[-1])


def peak_gb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return [int(s.split()[1]) for s in lines if s.startswith("VmHWM")][0] / 2**20


def within(gb, who, n, d):
    """One run in an address space of so many GiB: seconds, value, most memory held."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (gb * 2**30,) * 2)
    try:
        run = LOSSES["infonce"][who](*pairs(n, d))
        seconds, (value, slopes) = timed(run.go)
    except jax.errors.JaxRuntimeError as error:
        return dict(seconds=None, rss_gb=peak_gb(), why=str(error).splitlines()[0])
    said = dict(seconds=seconds, rss_gb=peak_gb(), compile_s=run.compile_s)
    return said | dict(value=float(value), slope=norm(map(host, slopes)))


def limit(plan, sizes=(65536,), d=128):
    """InfoNCE in 6 GiB of addresses for the whole process, cold; or why it is not."""
    blank = dict.fromkeys("seconds rss_gb compile_s value slope why".split())
    for n in (n // plan.by for n in sizes):
        for who in ("icon", "dense"):
            found = child(f"within({LIMIT}, {who!r}, {n}, {d})") or dict(why="died")
            yield dict(n=n, d=d, who=who, limit_gb=LIMIT) | blank | found


def products(block, ids, a, b):
    """The three products of a loss and its slopes, strip by strip: nothing else."""

    def strip(db, a):
        s = a @ b.T
        return db + s.T @ a, s @ b

    db, da = lax.scan(strip, jnp.zeros_like(b), a.reshape(-1, block, a.shape[1]))
    return da, db


def throughput(plan, n, d):
    """icon's seconds and those of the bare products, by length of strip, in turn."""
    args = jax.device_put(pairs(n, d))
    blocks = {min(n, size, 2**30 // n) for size in (256, 1024, 4096, 16384)}
    ask = lambda block: by_xla(ft.partial(products, block), *args)
    bare = {f"strips {block}": ask(block) for block in sorted(blocks)}
    runs = {"icon": by_jax(icon_infonce, *args)} | bare
    return dict(zip(runs, in_turn(plan, runs.values()).T, strict=True))


def rates(times, flops):
    """GFLOP/s, and what part of the rate of the fastest bare products that is."""
    middle = {who: np.median(took) for who, took in times.items()}
    best = times[min([who for who in times if who != "icon"], key=middle.get)]
    for who, took in times.items():
        ms, rate = 1e3 * middle[who], 1e-9 * flops / middle[who]
        yield dict(who=who, ms=ms, gflops=rate, fraction=np.median(best / took))


def peak(plan):
    """icon's InfoNCE as a fraction of the fastest three products of the same size."""
    gpu = jax.default_backend() == "gpu"
    wide, narrow = [(2**k, 512) for k in (16, 18, 20)], [(2**14, d) for d in (128, 512)]
    for n, d in ((n // plan.by, d) for n, d in (wide if gpu else narrow)):
        try:
            for row in rates(throughput(plan, n, d), 6 * n * n * d):
                yield dict(n=n, d=d) | row
        except jax.errors.JaxRuntimeError:  # does not fit
            yield dict(n=n, d=d, who="icon", ms=None, gflops=None, fraction=None)


def exact_slopes(a, b):
    """The gradient of InfoNCE, in float64, by NumPy."""
    a, b = np.float64(a), np.float64(b)
    s = a @ b.T / T
    e = np.exp(s - s.max(1, keepdims=True))
    g = (e / e.sum(1, keepdims=True) - np.eye(len(a))) / (len(a) * T)
    return [g @ b, g.T @ a]


def slope_error(dtype, block, n, d):
    """How far the gradient is, relatively, and how far a merely rounded one is."""
    ids, *floats = jax.device_put(pairs(n, d))
    floats = [x.astype(dtype) for x in floats]
    q = lambda a, b: icon.dot(a, b, temperature=T)
    loss = lambda ids, *z: icon.kl(icon.same(ids, ids), q(*z), block=block)
    exact = exact_slopes(*floats)
    _, slopes = slope_of(loss, 2)(ids, *floats)
    rounded = [jnp.asarray(x, dtype) for x in exact]
    away = lambda found: norm([host(x) - y for x, y in zip(found, exact, strict=True)])
    return away(slopes) / norm(exact), away(rounded) / norm(exact)


def half(plan, sizes=(4096, 16384), d=128, few=512):
    """InfoNCE of half-precision embeddings; errors at n = 512, whole and in strips."""
    few //= plan.by
    for n in (n // plan.by for n in sizes):
        ids, *floats = pairs(n, d)
        cast = lambda dtype, floats=floats: [jnp.asarray(x, dtype) for x in floats]
        runs = [by_jax(icon_infonce, ids, *cast(dtype)) for dtype in HALVES]
        times = in_turn(plan, runs)
        for dtype, run, took in zip(HALVES, runs, times.T, strict=True):
            row = dict(n=n, d=d, dtype=dtype, ms=1e3 * np.median(took), mb=run.mb)
            (error, rounded), (strips, _) = (
                slope_error(dtype, block, few, d) for block in (None, few // 4)
            )
            off = dict(error=error, error_strips=strips, rounded=rounded)
            yield row | dict(ratio=np.median(took / times[:, 0])) | off


def apart(ring, ids, a, b):
    q = icon.sharded(icon.dot(a, b, temperature=T), "data", ring=ring)
    return icon.kl(icon.same(ids, ids), q)


def dense_apart(ids, a, b):
    """All scores of the anchors of a device, with candidates from everywhere."""
    s = a @ lax.all_gather(b, "data", tiled=True).T / T
    mine = jnp.sum(a * b, 1) / T
    return lax.pmean(jnp.mean(jax.nn.logsumexp(s, 1) - mine), "data")


SPREAD = {
    "dense": dense_apart,
    "gathered": ft.partial(apart, False),
    "ring": ft.partial(apart, True),
}


def spread_out(n, d):
    """Megabytes that each of these devices needs, by XLA's account."""
    mesh = jax.make_mesh((DEVICES,), ("data",), (AxisType.Auto,))
    place = NamedSharding(mesh, P("data"))
    shape = ft.partial(jax.ShapeDtypeStruct, sharding=place)
    args = shape((n,), int), shape((n, d), float), shape((n, d), float)
    how = dict(mesh=mesh, in_specs=P("data"), out_specs=P())
    ask = lambda loss: compiled(slope_of(jax.shard_map(loss, **how), 2), *args)
    found = {who: ask(loss) for who, loss in SPREAD.items()}
    given = lambda run: run.memory_analysis().argument_size_in_bytes / 1e6
    return [
        dict(who=who, mb=mb, arguments_mb=given(run), compile_s=took)
        for who, (run, took, mb) in found.items()
    ]


def devices(plan, sizes=(16384,), d=128):
    """InfoNCE over 8 devices (virtual ones): megabytes for each of them."""
    flags = f"--xla_force_host_platform_device_count={DEVICES}"
    for n in (n // plan.by for n in sizes):
        for row in child(f"spread_out({n}, {d})", XLA_FLAGS=flags):
            yield dict(n=n, d=d, devices=DEVICES) | row


SECTIONS = (
    *(infonce, clip, ntxent, supcon, vocabulary),
    *(memory, limit, peak, half, devices),
)


# ------------------------------------------------------- told, and kept


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    found = cells.machine() | dict(processor=models[:1], gib=memory)
    peers = [name for name in ("torch", "pytorch_metric_learning") if there(name)]
    found["versions"] |= {name: version(name) for name in peers}
    return found


def keep(path, section, rows):
    """New rows; of the old ones of this machine, those of other sizes."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    here, size, old = machine(), lambda row: (row["n"], row["d"]), kept.get(section, {})
    rest = old.get("rows", []) if old.get("machine") == here else []
    rest = [row for row in rest if size(row) not in set(map(size, rows))]
    kept[section] = dict(machine=here, rows=rest + rows)
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def measure(section, plan, path):
    rows, known = [], []
    print(f"\n{section.__name__}: {section.__doc__}")
    for row in section(plan):
        for name, value in row.items():
            rounds = isinstance(value, float | np.floating)
            row[name] = float(f"{value:.4g}") if rounds else value
        rows.append(row | dict(load=round(os.getloadavg()[0], 2)))
        show({k: "-" if v is None else v for k, v in rows[-1].items()}, known)
        if path:
            keep(path, section.__name__, rows)


def main():
    names = {section.__name__: section for section in SECTIONS}
    say = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    say.add_argument("--only", nargs="+", choices=names, default=list(names))
    say.add_argument("--out", type=Path)
    say.add_argument("--quick", action="store_true", help="an eighth of every size")
    asked = say.parse_args()
    jax.config.update("jax_default_matmul_precision", "highest")
    jax.config.update("jax_enable_compilation_cache", False)
    plan = Plan(8, 3, 0.0) if asked.quick else Plan()
    results = None if asked.quick else HERE / "results/contrastive.json"
    for name in asked.only:
        measure(names[name], plan, asked.out or results)


if __name__ == "__main__":
    main()
