"""How fast is an embedding by icon, and how good, beside those of its peers?

ICON_DATA=<folder of mnist20k.npz> python benchmarks/embedding.py [--only families ...]
    [--n 10000 70000] [--rate 1] [--out results.json] [--quick]
MNIST, PCA to 50: the 10,000 test images, then 10,000 others, then copies of all these,
shifted and noised. openTSNE runs in turn with icon: same affinities, start and steps.
Its gradient lacks the true one's factor 4, so its learning rate n is icon's n / 4;
`--rate` is in its units, n / exaggeration, for both. It evaluates its KL after every
chunk of 50 steps, icon its loss. KL is told exactly, in float64, for everybody.
Prints a table per section and adds it to benchmarks/results/embedding.json; --quick is
a trial of few steps and points, which is not kept.
"""

import argparse
import functools as ft
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any, NamedTuple

import cells
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax

import icon


LISTED, NEAR, CHUNK, JOBS = 90, 15, 50, os.cpu_count() or 1


class Plan(NamedTuple):
    """The schedule that everybody follows; phases are whole chunks."""

    early: int = 250  # steps with exaggeration 12
    late: int = 500
    rate: float = 1.0

    @property
    def exaggerations(self):
        """One per chunk."""
        return np.repeat([12.0, 1.0], [self.early // CHUNK, self.late // CHUNK])


class Problem(NamedTuple):
    x: Any  # [n, 50]
    label: Any
    near: Any  # [n, 15], who is near in x
    rows: Any  # p, every row by itself
    p: Any  # symmetrised
    matrix: Any  # the same, summing to one, for openTSNE
    start: Any  # [n, 2]


# ------------------------------------------------------- the data


def images(n):
    """The digits, the test half first, and then copies; labels."""
    digits, rng = icon.data.mnist(), np.random.default_rng(0)
    label, real = (np.roll(a, 10_000, 0) for a in (digits.labels, digits.images))
    pick, by = rng.integers(0, 20_000, 50_000), rng.integers(-1, 2, (50_000, 2))
    pick = pick[: max(0, n - 20_000)]
    moved = [np.roll(real[i], s, (0, 1)) for i, s in zip(pick, by, strict=False)]
    copies = np.array(moved, np.float32).reshape(-1, 28, 28)
    copies += 0.1 * rng.standard_normal(copies.shape, np.float32)
    x, label = np.concatenate([real, copies]), np.concatenate([label, label[pick]])
    return x[:n].reshape(n, -1), label[:n]


@ft.lru_cache(2)
def problem(n) -> Problem:
    from sklearn.decomposition import PCA

    pixels, label = images(n)
    x = PCA(50, random_state=0).fit_transform(pixels).astype(np.float32)
    index, distance = icon.knn(x, LISTED)
    rows = icon.entropic(index, distance, perplexity=30)
    p = icon.symmetrize(rows)
    weight = np.exp(np.asarray(p.logit, np.float64))
    parts = weight / weight.sum(), np.asarray(p.index), np.asarray(p.start)
    start, near = x[:, :2] / x[:, 0].std() * 1e-4, np.asarray(index[:, :NEAR])
    return Problem(x, label, near, rows, p, sp.csr_matrix(parts, (n, n)), start)


# ------------------------------------------------------- exactly, in float64


@ft.partial(jax.jit, static_argnames="score")
def _mass(score, x, y):
    one = lambda a: jnp.sum(jnp.exp(score((a[0] - x) ** 2 + (a[1] - y) ** 2)))
    everybody = jnp.sum(lax.map(one, (x, y), batch_size=64))
    return everybody - len(x) * jnp.exp(score(jnp.zeros(())))


def mass(score, z) -> float:
    """The sum over all pairs; `score` is a kernel's log, of the squared distance."""
    with jax.enable_x64(True):
        return float(_mass(score, *jnp.asarray(np.float64(z).T)))


def forces(score, z, ids):
    """The gradient of the logarithm of `mass`, at some of the points."""
    with jax.enable_x64(True):
        z = jnp.asarray(np.float64(z))
        kernel = lambda a: jnp.sum(jnp.exp(score(jnp.sum((a - z) ** 2, 1))))
        slope = jax.jit(lambda a: lax.map(jax.grad(kernel), a, batch_size=64))(z[ids])
        return 2 * np.asarray(slope) / mass(score, z)


def nearest(z):
    from scipy.spatial import cKDTree

    found = cKDTree(z).query(z, NEAR + 1, workers=JOBS)[1]
    others = found != np.arange(len(z))[:, None]
    others[others.all(1), -1] = False  # among duplicates, one may not find itself
    return found[others].reshape(-1, NEAR)


def quality(z, given: Problem):
    """KL; accuracy of the 10 nearest, leave-one-out; recall of the 15 nearest."""
    z, p = np.asarray(z, np.float64), given.matrix.tocoo()
    d2 = ((z[p.row] - z[p.col]) ** 2).sum(1)
    kl = p.data @ (np.log(np.maximum(p.data, 1e-300)) + np.log1p(d2))
    near = nearest(z)
    votes = (given.label[near[:, :10]][..., None] == np.arange(10)).sum(1)
    hits = votes.argmax(1) == given.label
    recall = (near[:, :, None] == given.near[:, None]).any(2)
    kl = float(kl + np.log(mass(KERNELS["dof 1.0"][1], z)))
    return dict(kl=kl, accuracy=float(hits.mean()), recall=float(recall.mean()))


# ------------------------------------------------------- embeddings


def rational(a, b, shape):
    """A kernel that icon does not have: the rational quadratic."""
    return -shape * jnp.log1p(jnp.sum((a[None] - b) ** 2, 1) / (2 * shape))


def rational_score(d2):
    return -2 * jnp.log1p(d2 / 4)


def student_t(dof):
    score = lambda d2: -(dof + 1) / 2 * jnp.log1p(d2 / dof)
    return ft.partial(icon.student_t, dof=dof), score


KERNELS = {f"dof {dof}": student_t(dof) for dof in (1.0, 0.5, 3.0)} | {
    "Gaussian": (ft.partial(icon.gaussian, scale=0.5**0.5), lambda d2: -d2),
    "rational": (ft.partial(icon.points, rational, shape=2.0), rational_score),
}  # each as icon has it, and its logarithm as a function of the squared distance


def loss_of(kernel, joint=True):
    def loss(z, p, exaggeration):
        q = icon.interpolated(KERNELS[kernel][0](z))
        attraction, repulsion = icon.terms(p, q, joint=joint)
        return exaggeration * attraction + repulsion

    return loss


FAMILIES = {
    "t-SNE": loss_of("dof 1.0"),
    "SNE": loss_of("Gaussian", joint=False),
    "symmetric SNE": loss_of("Gaussian"),
    "rational": loss_of("rational"),
    "dof 0.5": loss_of("dof 0.5"),
}


@ft.cache
def schedules(n, plan):
    """The optimizer and the exaggeration; once, for what is compiled is found by it."""
    exaggeration = lambda step: jnp.where(step < plan.early, 12.0, 1.0)
    rate = plan.rate * n / 4
    return icon.gains(lambda step: rate / exaggeration(step)), exaggeration


def timed(f, *args, **options):
    began = time.perf_counter()
    said = jax.block_until_ready(f(*args, **options))
    return time.perf_counter() - began, said


def by_icon(given, plan, between=lambda: None):
    """The embedding, and the seconds of every chunk; `between` has its turn after."""
    seconds, began = [], [time.perf_counter()]

    def tell(step, loss, z):
        seconds.append(time.perf_counter() - began[0])
        between()
        began[0] = time.perf_counter()

    step, exaggeration = schedules(len(given.x), plan)
    how = dict(args=(given.p.prepared(), exaggeration), every=CHUNK, callbacks=[tell])
    steps = plan.early + plan.late
    z, _ = icon.minimize(FAMILIES["t-SNE"], given.start, step, steps, **how)
    return z, seconds


def by_opentsne(given, plan):
    """(seconds, embedding) after every chunk."""
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PrecomputedAffinities

    p, start = PrecomputedAffinities(given.matrix.copy()), np.float64(given.start)
    how = dict(negative_gradient_method="fft", n_jobs=JOBS, momentum=0.8)
    z = TSNEEmbedding(start, p, random_state=0, **how)
    for by in map(float, plan.exaggerations):
        rate = plan.rate * len(start) / by
        now = dict(inplace=True, exaggeration=by, learning_rate=rate)
        yield timed(z.optimize, CHUNK, **now)[0], np.array(z)


@ft.lru_cache(2)
def layout(n, plan):
    """A finished t-SNE."""
    return by_icon(problem(n), plan)[0]


def race(given, plan):
    """icon and openTSNE in turn: [2, chunks] seconds, both embeddings."""
    other, runs = by_opentsne(given, plan), []
    z, seconds = by_icon(given, plan, lambda: runs.append(next(other)))
    return np.array([seconds, [took for took, _ in runs]]), (z, runs[-1][1])


# ------------------------------------------------------- the sections


def optimisation(plan, sizes=(10_000, 20_000, 70_000)):
    """The same affinities, start and steps; cold has all that is compiled in it."""
    for n in sizes:
        given = problem(n)
        (cold, _), (warm, both) = race(given, plan), race(given, plan)
        early = plan.exaggerations > 1
        phases = {"early_ms": early, "late_ms": ~early}
        total = {"warm_s": warm.sum(1), "cold_s": cold.sum(1)}
        for k, who in enumerate(("icon", "openTSNE")):
            ms = 1e3 / CHUNK * warm[k]
            said = {name: ms[at].mean() for name, at in phases.items()}
            said |= {name: seconds[k] for name, seconds in total.items()}
            yield dict(n=n, who=who, rate=plan.rate) | said | quality(both[k], given)
        ratio = warm[1] / warm[0]
        said = {name: np.median(ratio[at]) for name, at in phases.items()}
        said |= {name: seconds[1] / seconds[0] for name, seconds in total.items()}
        yield dict(n=n, who="ratio", rate=plan.rate) | said


CHILD = """
import os, sys, time, numpy as np
began = float(os.environ["BEGAN"])  # when the process was asked for
x = np.load("x.npy")
{body}
np.save("z.npy", np.asarray(z, np.float32))
print([s.split()[1] for s in open("/proc/self/status") if s.startswith("VmHWM")][0])
"""  # not getrusage, which would count what the parent held when it forked
WHOLE = {
    "icon": """from icon.estimators import TSNE
z = TSNE(n_components=2, perplexity=30.0, random_state=0).fit_transform(x)""",
    "openTSNE": f"""from openTSNE import TSNE
z = TSNE(negative_gradient_method="fft", n_jobs={JOBS}, random_state=0).fit(x)""",
    "intelex": f"""from sklearnex import patch_sklearn
patch_sklearn(verbose=False)
from sklearn.manifold import TSNE
z = TSNE(init="pca", max_iter=750, n_jobs={JOBS}, random_state=0).fit_transform(x)""",
    "scikit-learn": f"""from sklearn.manifold import TSNE
z = TSNE(init="pca", max_iter=750, n_jobs={JOBS}, random_state=0).fit_transform(x)""",
    "umap-learn": f"""from umap import UMAP
z = UMAP(n_jobs={JOBS}).fit_transform(x)""",
}
WATCHED = """from icon.estimators import TSNE
z = []
def keep(step, loss, now):
    z.append(np.append(time.time() - began, now))
TSNE(random_state=0, callbacks=[keep]).fit(x)"""  # the seconds, then the layout
TORCHDR = """import time
from torchdr import TSNE
stamps = [time.perf_counter()]
class Timed(TSNE):
    def on_training_step_end(self):
        super().on_training_step_end()
        stamps.append(time.perf_counter())
Timed(perplexity=30, max_iter=12, random_state=0).fit_transform(x)
z = np.diff(stamps)"""


def child(body, x):
    """A fresh process: its seconds with imports and compilations, peak GiB, result."""
    without = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/x.npy", x)
        run = ft.partial(subprocess.run, check=True, stdout=-1, text=True)
        code, without["BEGAN"] = CHILD.format(body=body), str(time.time())
        took, said = timed(run, [sys.executable, "-c", code], cwd=folder, env=without)
        return took, int(said.stdout.split()[-1]) / 2**20, np.load(f"{folder}/z.npy")


def whole(n, who, runs):
    seconds, gib = np.median([run[:2] for run in runs], 0)
    said = dict(n=n, who=who, seconds=seconds, gib=gib)
    return said | quality(runs[-1][2], problem(n))


def end_to_end(plan, sizes=(10_000, 20_000, 70_000)):
    """From x to the embedding, each by its defaults, processes in turn; medians."""
    del plan
    for n in sizes:
        runs = {"icon": [], "openTSNE": []}
        for who in [*runs] * (1 if n > 20_000 else 2):
            runs[who].append(child(WHOLE[who], problem(n).x))
        a, b = (whole(n, who, told) for who, told in runs.items())
        ratio = {name: b[name] / a[name] for name in ("seconds", "gib")}
        yield from (a, b, dict(n=n, who="ratio") | ratio)


def kl_of(z, given: Problem) -> float:
    return quality(z, given)["kl"]


def until(plan, sizes=(2_000, 10_000)):
    """Processes in turn: how soon icon has a peer's KL, and what it has by then."""
    del plan
    for n in sizes:
        given, runs = problem(n), {who: [] for who in ("icon", "intelex", "openTSNE")}
        bodies = WHOLE | {"icon": WATCHED}
        for who in [*runs] * 3:
            runs[who].append(child(bodies[who], given.x))
        middle = {who: np.median([run[:2] for run in runs[who]], 0) for who in runs}
        at = np.median([z[:, 0] for *_, z in runs["icon"]], 0)
        curve = [kl_of(z[1:].reshape(n, 2), given) for z in runs["icon"][-1][2]]
        final = {"icon": curve[-1]}
        for who in ("intelex", "openTSNE"):
            final[who] = kl_of(runs[who][-1][2], given)
        for who, (seconds, gib) in middle.items():
            soon = at[np.array(curve) <= final[who]]
            by = np.array(curve)[at <= seconds]
            said = dict(n=n, who=who, seconds=seconds, gib=gib, kl=final[who])
            yield said | dict(until=min(soon, default=None), by=min(by, default=None))


def peers(plan, sizes=(10_000,)):
    """Whole runs from x; TorchDR's is extrapolated from the median of 10 steps."""
    for n in sizes:
        for who, body in WHOLE.items():
            kl = dict(kl=None) if who == "umap-learn" else {}  # it has another loss
            yield whole(n, who, [child(body, problem(n).x)]) | kl
        took, gib, steps = child(TORCHDR, problem(n).x)
        step = float(np.median(steps[2:]))
        seconds = took + (plan.early + plan.late - len(steps)) * step
        said = dict(who="TorchDR", seconds=seconds, gib=gib, step_ms=1e3 * step)
        yield dict(n=n) | said


def families(plan, sizes=(10_000, 70_000), rounds=6):
    """Other kernels and normalisations, from a finished t-SNE on, in turn."""
    for n in sizes:
        given, step = problem(n), icon.gains(plan.rate * n / 4)
        at = dict.fromkeys(FAMILIES, (layout(n, plan), None))
        span = lambda z: float(jnp.max(jnp.ptp(z, 0)))
        times, before = {name: [] for name in FAMILIES}, span(layout(n, plan))
        for _, name in itertools.product(range(1 + rounds), FAMILIES):
            p, (z, state) = given.rows if name == "SNE" else given.p, at[name]
            how = dict(args=(p.prepared(), jnp.asarray(1.0)), state=state, every=25)
            go = ft.partial(icon.minimize, FAMILIES[name], z, step, 25)
            took, (z, history) = timed(go, **how)
            at[name] = z, history.state
            times[name].append(1e3 * took / 25)
        middle = {name: np.median(took[1:]) for name, took in times.items()}
        for name, ms in middle.items():
            spans = dict(span_before=before, span_after=span(at[name][0]))
            yield dict(n=n, family=name, ms=ms, ratio=ms / middle["t-SNE"]) | spans


def field_of_icon(kernel, order, spacing):
    """The gradient of the log-mass."""
    q = ft.partial(icon.interpolated, order=order, spacing=spacing)
    return jax.jit(jax.grad(lambda z: q(KERNELS[kernel][0](z)).joint_log_mass()))


def field_of_opentsne(z):
    from openTSNE import _tsne

    slope = np.zeros(z.shape)
    _tsne.estimate_negative_gradient_fft_2d(np.float64(z), slope, 3, 50, 1, dof=1.0)
    return 4 * slope


def accuracy(plan, sizes=(10_000,)):
    """One field: relative error of the force on 1,000 points, and its time."""
    spacings = 0.5, 0.45, 0.4, 1 / 3, 0.25, 0.2
    every = [("dof 1.0", "openTSNE", None)]
    every += itertools.product(KERNELS, (5,), spacings)
    every += itertools.product(KERNELS, (4, 6), (0.45, 0.25))
    for n in sizes:
        z = layout(n, plan)
        ids = np.random.default_rng(0).choice(n, min(n, 1000), replace=False)
        exact = {name: forces(score, z, ids) for name, (_, score) in KERNELS.items()}
        for name, order, spacing in every:
            mine = spacing and field_of_icon(name, order, spacing)
            runs = [timed(mine or field_of_opentsne, z) for _ in range(8)]
            ms, slope = 1e3 * np.median([took for took, _ in runs[1:]]), runs[-1][1]
            away = np.linalg.norm(np.asarray(slope, np.float64)[ids] - exact[name])
            error = away / np.linalg.norm(exact[name])
            about = dict(n=n, kernel=name, order=order, spacing=spacing)
            yield about | dict(error=error, ms=ms)


def scaling(plan, sizes=(5_000, 10_000, 20_000, 40_000, 70_000)):
    """The whole optimisation, compiled before; its seconds grow as n^exponent."""
    totals = []
    for n in sizes:
        totals.append([sum(by_icon(problem(n), plan)[1]) for _ in range(2)][1])
        x, y = np.log(sizes[: len(totals)]), np.log(totals)
        exponent = np.polyfit(x, y, 1)[0] if len(x) > 1 else None
        yield dict(n=n, seconds=totals[-1], exponent_so_far=exponent)


SECTIONS = (optimisation, end_to_end, until, families, peers, accuracy, scaling)


# ------------------------------------------------------- told, and kept


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    packages = (
        "scipy scikit-learn scikit-learn-intelex openTSNE umap-learn torch torchdr"
    ).split()
    found = cells.machine() | dict(processor=models[:1], gib=memory)
    here = {found.name for found in distributions()}
    found["versions"] |= {name: version(name) for name in packages if name in here}
    return found


def show(row, known):
    """A line of the table, under a new head where there are new columns."""
    if not set(row) <= set(known):
        known[:] = row
        print(*[f"{name:>12s}" for name in known])
    said = ["" if row.get(name) is None else row[name] for name in known]
    print(*[f"{value:>12}" for value in said], flush=True)


def keep(path, section, rows):
    """New rows; of the old ones of this machine, those of other n."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    here, new, old = machine(), {row["n"] for row in rows}, kept.get(section, {})
    rest = old.get("rows", []) if old.get("machine") == here else []
    rest = [row for row in rest if row["n"] not in new]
    kept[section] = dict(machine=here, rows=rest + rows)
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def measure(section, plan, sizes, path):
    rows, known = [], []
    print(f"\n{section.__name__}: {section.__doc__}")
    for row in section(plan, *sizes):
        for name, value in row.items():
            rounds = isinstance(value, float | np.floating)
            row[name] = float(f"{value:.4g}") if rounds else value
        rows.append(row | dict(load=round(os.getloadavg()[0], 2)))
        show(rows[-1], known)
        if path:
            keep(path, section.__name__, rows)


def main():
    names = {section.__name__: section for section in SECTIONS}
    say = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    say.add_argument("--only", nargs="+", choices=names, default=list(names))
    say.add_argument("--n", nargs="+", type=int, help="default: as each section says")
    say.add_argument("--rate", type=float, default=1.0)
    say.add_argument("--out", type=Path)
    say.add_argument("--quick", action="store_true", help="150 steps, 2,000 points")
    asked = say.parse_args()
    results = None if asked.quick else Path(__file__).parent / "results/embedding.json"
    plan = Plan(*((50, 100) if asked.quick else ()), rate=asked.rate)
    sizes = asked.n or ([2000] if asked.quick else None)
    for name in asked.only:
        section = names[name]
        measure(section, plan, [tuple(sizes)] if sizes else [], asked.out or results)


if __name__ == "__main__":
    main()
