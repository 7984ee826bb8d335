"""What does each choice of p, of q and of the loss give, from the same start?

ICON_DATA=<folder> python benchmarks/clustering_cells.py [--only ablation family]
    [--data digits mnist banking77] [--seeds 5]
python benchmarks/clustering_cells.py --figure
The data of clustering.py, rows less their mean and of length one; a process for each
set. `ablation`: one head, 50 steps of Adam, one choice changed at a time; "alpha on p"
has none on q, where 50 steps are far from the minimum. Errors are standard errors over
seeds; a gain is over the base row, seed by seed. `hard_loss` is the base row's cell at
the labels, which compares rows of any loss. `family`: cells of the table by free
memberships or a head, each beside scikit-learn's solver of the same objective, and what
else scikit-learn has, at its defaults; a process for each, whose largest memory is that
of imports, data and all seeds; seconds are medians, compiling included. Prints a row
each, adds it to benchmarks/results/clustering_cells.json; --figure draws the ablation
that is kept.
"""

import argparse
import dataclasses
import functools as ft
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import clustering
import jax
import jax.numpy as jnp
import numpy as np
import optax

import icon
from icon.recipes import affinities, ensemble, heads
from icon.recipes.cut import cut, indicator


OUT = clustering.OUT.with_name("clustering_cells.json")
PICTURE = clustering.OUT.with_name("clustering_ablation.png")
STEPS, RATES = 50, dict(linear=0.1, mlp=0.01, free=0.5)
LONG, SMALL = 300, 2_000  # steps; rows up to which draws are affordable for so many
SAMPLES = 64  # rows that stand for all, per anchor and step, where p is debiased
SCORES = ("accuracy", "nmi", "ari")


# ------------------------------------------------------- what the choices share


class Problem(NamedTuple):
    """A data set in the frame of the estimator, and the nearest rows of each."""

    x: np.ndarray  # [n, d]
    y: np.ndarray
    count: int
    index: np.ndarray  # [n, 40]
    distance: np.ndarray

    @property
    def near(self) -> int:
        """The estimator's number of neighbours."""
        return min(20, max(5, len(self.x) // (4 * self.count)))


@ft.cache
def problem(data: str) -> Problem:
    x, y, count = clustering.DATA[data]()
    x = ensemble.unit(x - x.mean(0, dtype=np.float64)).astype(np.float32)
    index, distance = map(np.asarray, icon.knn(x, max(FACTORS["neighbors"])))
    return Problem(x, y, count, index, distance)


@ft.cache
def graph(data: str, kind: str, k: int | None, walks: int):
    at = problem(data)
    k = k or at.near
    p = affinities.NEIGHBORS[kind](at.index[:, :k], at.distance[:, :k])
    return affinities.walked(p, walks)


@ft.cache
def base_cut(data: str):
    """The base row's graph, made symmetric, and its cell at hard memberships."""
    return cut(graph(data, *BASE.graph), problem(data).count, BASE.alpha_q)


@ft.cache
def start(data: str, kind: str, seed: int):
    """Labels: of k-means, of k-means of the graph's eigenvectors, or at random.

    k-means as the members of the ensemble have it: in mini-batches from 5,000 rows.
    """
    at = problem(data)
    if kind == "random":
        return np.random.default_rng(seed).integers(at.count, size=len(at.x))
    if kind == "k-means":
        return ensemble.k_means(at.x, at.count, seed)
    vectors = ensemble.eigenvectors(base_cut(data).matrix, at.count, seed)
    return ensemble.k_means(ensemble.unit(vectors), at.count, seed)


def scores(y, labels) -> dict[str, float]:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    nmi, ari = normalized_mutual_info_score, adjusted_rand_score
    of = (clustering.accuracy(y, labels), nmi(y, labels), ari(y, labels))
    return dict(zip(SCORES, map(float, of), strict=True))


# ------------------------------------------------------- one choice at a time


class Choice(NamedTuple):
    """A setting; the one without arguments is the base row."""

    alpha_q: float = 0.6
    alpha_p: float = 0.0
    kind: str = "self-tuning"
    k: int | None = None  # None: the estimator's number
    walks: int = 0
    divergence: str = "kl"
    head: str = "linear"
    start: str = "k-means"
    steps: int = STEPS

    @property
    def graph(self):
        return self.kind, self.k, self.walks

    @property
    def objective(self):
        sampled = dict(samples=SAMPLES, debiases_p=True) if self.alpha_p else {}
        divergence = heads.DIVERGENCES[self.divergence]
        return heads.Objective(heads.HEADS[self.head].logits, divergence, **sampled)


BASE = Choice()
ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8)
FACTORS: dict[str, dict[Any, Choice]] = {
    "alpha on q": {a: Choice(alpha_q=a) for a in ALPHAS},
    "walks": {w: Choice(walks=w) for w in range(4)},
    "neighbors": {k: Choice(k=k) for k in (5, 10, 15, 20, 30, 40)},
    "graph": {kind: Choice(kind=kind) for kind in affinities.NEIGHBORS},
    "divergence": {name: Choice(divergence=name) for name in heads.DIVERGENCES},
    "head": {name: Choice(head=name) for name in heads.HEADS},
    "start": {s: Choice(start=s) for s in ("k-means", "spectral", "random")},
    "steps": {steps: Choice(steps=steps) for steps in (STEPS, LONG)},
    # the slowest last: every pair counts
    "alpha on p": {a: Choice(alpha_q=0.0, alpha_p=a) for a in ALPHAS},
    "alpha on both": {a: Choice(alpha_q=a, alpha_p=a) for a in ALPHAS},
    f"alpha on p, {LONG} steps": {
        a: Choice(alpha_q=0.0, alpha_p=a, steps=LONG) for a in (0.2, 0.8)
    },
}


def trained(data: str, choice: Choice, seeds: int):
    """A head and its loss for every seed, all side by side; None of one that diverges.

    The gradient of all is taken at once: where one is not finite, each trains alone.
    """
    at, head = problem(data), heads.HEADS[choice.head]
    begin = lambda s: head.start(
        at.x, start(data, choice.start, s), at.count, np.random.default_rng(s)
    )
    train = ft.partial(
        heads.trained,
        choice.objective,
        p=graph(data, *choice.graph).prepared(),
        x=at.x,
        alpha=heads.Debiasing(choice.alpha_q, choice.alpha_p),
        steps=choice.steps,
        rate=RATES[choice.head],
    )
    begun = [begin(s) for s in range(seeds)]
    try:
        return list(zip(*train(begun), strict=True))
    except icon.DivergenceError:
        return [_alone(train, one) for one in begun]


def _alone(train: Callable, begun):
    try:
        (found,), (loss,) = train([begun])
        return found, loss
    except icon.DivergenceError:
        return None


@ft.cache
def outcomes(data: str, choice: Choice, seeds: int) -> list[dict[str, float] | None]:
    """What each seed gives; None where it diverges."""
    at, before = problem(data), time.perf_counter()
    found = trained(data, choice, seeds)
    took = (time.perf_counter() - before) / seeds

    def outcome(seed, params, loss):
        labels = np.asarray(heads.HEADS[choice.head].logits(params, at.x)).argmax(1)
        first = start(data, choice.start, seed)
        said = dict(loss=float(loss), hard_loss=base_cut(data).loss(labels))
        of_start = {f"start_{k}": v for k, v in scores(at.y, first).items()}
        return scores(at.y, labels) | said | of_start | dict(seconds=took)

    return [one and outcome(seed, *one) for seed, one in enumerate(found)]


def gains(found: list, base: list) -> dict[str, float | None]:
    """The mean difference to the base row and its error, seed by seed."""
    both = [(a, b) for a, b in zip(found, base, strict=True) if a and b]
    said = {}
    for key in (*SCORES, "hard_loss") if both else ():
        said |= mean(f"{key}_gain", [a[key] - b[key] for a, b in both])
    return said


def ablation(data: str, seeds: int):
    """A row for every choice."""
    at = problem(data)
    base = outcomes(data, BASE, seeds)
    for factor, choices in FACTORS.items():
        for value, choice in choices.items():
            if choice.alpha_p and choice.steps == LONG and len(at.x) > SMALL:
                continue
            if choice.k == at.near:
                choice = choice._replace(k=None)  # the base row, which is trained once
            found = outcomes(data, choice, seeds)
            row = dict(data=data, method=f"{factor}: {value}", seeds=seeds)
            row |= dict(factor=factor, value=value, diverged=found.count(None))
            yield row | summary([one for one in found if one]) | gains(found, base)


# ------------------------------------------------------- what is learned from a cell


@dataclasses.dataclass(frozen=True)
class Learned:
    """A cell of a head's memberships; equal ones share one program."""

    cell: icon.Cell
    logits: Callable

    def __call__(self, params, p, x, others: tuple = ()):
        phi = jax.nn.softmax(self.logits(params, x))
        return self.cell.loss(p, self.cell.q(phi, *others))


class Task(NamedTuple):
    """A cell, its p, and the labels that its memberships start from."""

    cell: icon.Cell
    p: Any
    others: tuple  # what q is built from beside memberships
    x: np.ndarray  # what a head sees
    labels: np.ndarray
    count: int


@ft.cache
def adam(rate: float, steps: int):
    """Means over all pairs have tiny gradients: eps is smaller."""
    return optax.adam(optax.cosine_decay_schedule(rate, steps), eps=1e-16)


def by_adam(task: Task, head: str = "free", steps: int = STEPS):
    """The logits of a head that follows the gradient, and the loss before and after."""
    kind, rng = heads.HEADS[head], np.random.default_rng(0)
    params = kind.start(task.x, task.labels, task.count, rng)
    loss = Learned(task.cell, kind.logits)
    args = task.p, jnp.asarray(task.x), task.others
    before = float(jax.jit(loss)(params, *args))
    params, _ = icon.minimize(
        loss, params, adam(RATES[head], steps), steps, args=args, every=steps
    )
    return ft.partial(kind.logits, params), before, float(jax.jit(loss)(params, *args))


SURE = 15.0  # a logit of memberships that are hard but for e^-15
SWEEPS = 200  # of all rows, at most


@ft.partial(jax.jit, static_argnames=("cell", "count"))
def _slope(labels, p, others, *, cell: icon.Cell, count: int):
    """The loss at all but hard memberships, and its gradient in them."""
    phi = jax.nn.softmax(SURE * jax.nn.one_hot(labels, count))
    return jax.value_and_grad(lambda phi: cell.loss(p, cell.q(phi, *others)))(phi)


def by_lloyd(task: Task):
    """Of every row the cluster whose gradient is least, until no row moves.

    k-means' loss is concave in memberships: each step lowers it, and is Lloyd's.
    """
    labels, losses = task.labels, []
    for _ in range(SWEEPS):
        given = labels, task.p, task.others
        loss, slope = _slope(*given, cell=task.cell, count=task.count)
        losses.append(float(loss))
        before, labels = labels, np.asarray(slope).argmin(1)
        if (labels == before).all():
            break
    onehot = np.eye(task.count)[labels]
    return lambda x: onehot, losses[0], losses[-1]


# ------------------------------------------------------- p of each, start and peer


def table(name: str, p: Callable) -> Callable:
    """A task of a cell, its p made by a function of (cell, data, seed)."""

    def made(data: str, seed: int, labels) -> Task:
        at, cell = problem(data), icon.TABLE[name]
        return Task(cell, *p(cell, data, seed), at.x, labels, at.count)

    return made


def features(cell, data: str, seed: int):
    return cell.p(jnp.asarray(problem(data).x)), ()


def eigenvectors(cell, data: str, seed: int):
    return cell.p(jnp.asarray(spectrum(data, seed)[0])), ()


def edges(cell, data: str, seed: int):
    """The base row's graph, symmetric."""
    return cell.p(base_cut(data).matrix).prepared(), ()


def neighbors(cell, data: str, seed: int):
    """The base row's graph in the place of views."""
    return graph(data, *BASE.graph).prepared(), ()


def listed(row, ids):
    """The scores of `icon.scores` where most are 0: those that are not, in a list."""
    index, weight = row
    return jnp.zeros(len(ids), weight.dtype).at[index].add(weight, mode="drop")


def over_degrees(cell, data: str, seed: int):
    """w_ij / d_j, as the cell has it, without a matrix [n, n]."""
    matrix = base_cut(data).matrix.tocsr()
    n, degree = matrix.shape[0], np.asarray(matrix.sum(1)).ravel()
    length = np.diff(matrix.indptr)
    row = np.repeat(np.arange(n), length)
    slot = np.arange(matrix.nnz) - matrix.indptr[row]
    index = np.full((n, length.max()), n, np.int32)
    weight = np.zeros(index.shape, np.float32)
    index[row, slot] = matrix.indices
    weight[row, slot] = matrix.data / degree[matrix.indices]
    rows = jnp.asarray(index), jnp.asarray(weight)
    p = icon.points(listed, rows, jnp.arange(n), whole_rows=True)
    return p, (jnp.asarray(degree, jnp.float32),)


def seeded(x, count: int, rng):
    """The centres that k-means++ chooses, and of every row the nearest."""
    from sklearn.cluster import kmeans_plusplus
    from sklearn.metrics import pairwise_distances_argmin

    centers = kmeans_plusplus(x, count, random_state=rng)[0]
    return centers, pairwise_distances_argmin(x, centers)


@ft.cache
def spectrum(data: str, seed: int):
    """What SpectralClustering has k-means cluster, and the labels of its first step.

    One generator draws both, as it does there.
    """
    from sklearn.manifold import spectral_embedding

    rng, count = np.random.RandomState(seed), problem(data).count
    vectors = spectral_embedding(
        base_cut(data).matrix, n_components=count, drop_first=False, random_state=rng
    )
    x = vectors / vectors.std()
    return x.astype(np.float32), seeded(x, count, rng)[1]


def seeds_of_features(data: str, seed: int):
    return seeded(problem(data).x, problem(data).count, seed)[1]


def seeds_of_spectrum(data: str, seed: int):
    return spectrum(data, seed)[1]


def k_means(data: str, seed: int):
    from sklearn.cluster import KMeans

    at = problem(data)
    centers, _ = seeded(at.x, at.count, seed)
    return KMeans(at.count, init=centers, n_init=1).fit(at.x).labels_


def spectral_clustering(data: str, seed: int):
    from sklearn.cluster import SpectralClustering

    options = dict(affinity="precomputed", n_init=1, random_state=seed)
    return SpectralClustering(problem(data).count, **options).fit_predict(
        base_cut(data).matrix
    )


# ------------------------------------------------------- each in its own terms


def inertia(points: Callable) -> Callable:
    """Σ_i |x_i - mean of its cluster|²."""

    def of(data: str, seed: int, task: Task, labels) -> float:
        x = np.asarray(points(data, seed), np.float64)
        member = indicator(labels, task.count)
        center = (member.T @ x) / np.maximum(member.sum(0), 1)[:, None]
        return float(((x - center[labels]) ** 2).sum())

    return of


def normalized_cut(data: str, seed: int, task: Task, labels) -> float:
    """Σ_c of the weight that leaves c over the degrees of c."""
    matrix, member = base_cut(data).matrix, indicator(labels, task.count)
    within = (member.T @ matrix @ member).diagonal()
    volume = member.T @ np.asarray(matrix.sum(1)).ravel()
    return float((1 - within / np.where(volume > 0, volume, 1)).sum())


def at_labels(data: str, seed: int, task: Task, labels) -> float:
    """The cell at hard memberships."""
    phi = jax.nn.one_hot(labels, task.count)
    return float(task.cell.loss(task.p, task.cell.q(phi, *task.others)))


# ------------------------------------------------------- the methods


Named = tuple[str, Callable]


class Method(NamedTuple):
    """A cell of the table that clusters, how it is learned, and its peer."""

    task: Callable  # (data, seed, labels) -> Task
    start: Named  # (data, seed) -> labels
    learn: Named  # Task -> (x -> logits), loss before, loss after
    peer: Named  # (data, seed) -> labels
    objective: Named  # (data, seed, task, labels) -> a number
    of_pair: Callable | None = None  # (d, C) -> what a step costs for each of n² pairs

    def __call__(self, data: str, seed: int) -> dict[str, float]:
        at, (first, _) = problem(data), labelled(self.start[1], data, seed)
        task = self.task(data, seed, first)
        (logits, before, after), took = timed(self.learn[1], task)
        labels = np.asarray(logits(task.x)).argmax(1)
        peer, peer_took = labelled(self.peer[1], data, seed)
        of = ft.partial(self.objective[1], data, seed, task)
        said = dict(loss=after, start_loss=before, start_objective=of(first))
        said |= dict(objective=of(labels), peer_objective=of(peer))
        said |= dict(seconds=took, peer_seconds=peer_took)
        return scores(at.y, labels) | named("peer", scores(at.y, peer)) | said


def timed(f: Callable, *args):
    before = time.perf_counter()
    return f(*args), time.perf_counter() - before


@ft.cache
def labelled(by: Callable, data: str, seed: int):
    """The labels of a start or of a peer, and the seconds that they took."""
    return timed(by, data, seed)


def named(who: str, values: dict) -> dict:
    return {f"{who}_{key}": value for key, value in values.items()}


KNOWN = 2048  # rows at most whose labels supervised clustering sees


def supervised(data: str, seed: int) -> dict[str, float]:
    """A linear head and its peer learn the labels of half of the rows."""
    from sklearn.linear_model import LogisticRegression

    at, cell = problem(data), icon.TABLE["supervised clustering"]
    order = np.random.default_rng(seed).permutation(len(at.x))
    train, test = np.split(order, [min(KNOWN, len(order) // 2)])
    p, first = cell.p(jnp.asarray(at.y[train])), start(data, "k-means", seed)
    task = Task(cell, p, (), at.x[train], first[train], at.count)
    (logits, before, after), took = timed(by_adam, task, "linear", LONG)
    fit = LogisticRegression(max_iter=1000).fit
    peer, peer_took = timed(fit, at.x[train], at.y[train])
    phi = jnp.asarray(peer.predict_proba(at.x[train]), jnp.float32)
    said = dict(loss=after, objective=after, start_loss=before, start_objective=before)
    said |= dict(seconds=took, peer_seconds=peer_took)
    said |= dict(peer_objective=float(cell.loss(p, cell.q(phi))))
    labels = np.asarray(logits(at.x[test])).argmax(1)
    of_peer = scores(at.y[test], peer.predict(at.x[test]))
    return scores(at.y[test], labels) | named("peer", of_peer) | said


LLOYD = "Lloyd's steps", by_lloyd
ADAM = "free memberships, Adam", by_adam
HEAD = "linear head, Adam", ft.partial(by_adam, head="linear")
SEEDS = "k-means++", seeds_of_features
KMEANS = "KMeans, n_init=1", k_means
SPECTRAL = "SpectralClustering of the same graph, n_init=1", spectral_clustering
STARTED = "k-means, as the ablation", lambda data, seed: start(data, "k-means", seed)
INERTIA = "inertia", inertia(lambda data, seed: problem(data).x)
CELL = "the cell at the labels", at_labels

FAMILY: dict[str, Callable] = {
    "k-means": Method(table("k-means", features), SEEDS, LLOYD, KMEANS, INERTIA, sum),
    "t k-means": Method(table("t k-means", features), KMEANS, LLOYD, KMEANS, CELL, sum),
    "spectral clustering": Method(
        table("spectral clustering", eigenvectors),
        ("k-means++ of spectral_embedding", seeds_of_spectrum),
        LLOYD,
        SPECTRAL,
        ("inertia", inertia(lambda data, seed: spectrum(data, seed)[0])),
        lambda size: 2 * size[1],
    ),
    "normalized cuts": Method(
        table("normalized cuts", over_degrees),
        SPECTRAL,
        ADAM,
        SPECTRAL,
        ("normalised cut", normalized_cut),
        lambda size: size[1],
    ),
    "DCD": Method(table("DCD", edges), SPECTRAL, ADAM, SPECTRAL, CELL),
    "InfoNCE clustering": Method(
        table("InfoNCE clustering", neighbors), STARTED, ADAM, SPECTRAL, CELL
    ),
    "InfoNCE clustering, linear head": Method(
        table("InfoNCE clustering", neighbors), STARTED, HEAD, SPECTRAL, CELL
    ),
    "supervised clustering": supervised,
}
NOTES = {
    "DCD": "a cut edge costs infinitely at hard memberships; `loss` is of soft ones",
    "InfoNCE clustering": "p: the base row's graph in the place of views, not debiased",
    "InfoNCE clustering, linear head": "p as without a head",
    "supervised clustering": (
        "uses labels, of half of the rows and at most 2,048; scores are of the others, "
        "objectives of the first at soft memberships"
    ),
}
MOST = 2**33  # multiplications of one sweep over all pairs; beyond, a step takes long
MANY, FEW = 2**26, 2  # pairs beyond which so many seeds do


def plan(method, data: str, seeds: int) -> tuple[int, str]:
    """How many seeds, and why fewer than asked."""
    x, count = problem(data).x, problem(data).count
    if not isinstance(method, Method) or method.of_pair is None:
        return seeds, ""
    if len(x) ** 2 * method.of_pair((x.shape[1], count)) > MOST:
        return 0, "not run: each step visits all pairs, and takes several seconds"
    if len(x) ** 2 > MANY and seeds > FEW:
        return FEW, "each step visits all pairs: fewer seeds"
    return seeds, ""


def described(method) -> dict[str, str]:
    if not isinstance(method, Method):
        words = STARTED[0], HEAD[0], "LogisticRegression", "the cell, memberships soft"
    else:
        words = [x[0] for x in (method.start, method.learn, method.peer)]
        words.append(method.objective[0])
    return dict(zip(("starts_from", "by", "peer", "measure"), words, strict=True))


class Peer(NamedTuple):
    """A method of scikit-learn on the rows that the cells see."""

    fit: Callable  # (x, count, seed) -> labels

    def __call__(self, data: str, seed: int) -> dict[str, float]:
        at = problem(data)
        labels, took = timed(self.fit, at.x, at.count, seed)
        return scores(at.y, labels) | dict(seconds=took)


PEERS = {
    f"scikit-learn's {name}": Peer(clustering.PEERS[name])
    for name in (
        "KMeans, 10 starts",
        "MiniBatchKMeans, 10 starts",
        "SpectralClustering, 20 neighbours",
        "GaussianMixture, diagonal",
        "HDBSCAN",
    )
}


def of_cell(name: str, data: str, seeds: int) -> dict[str, Any]:
    method = FAMILY[name]
    few, why = plan(method, data, seeds)
    row = dict(data=data, method=name, seeds=few) | described(method)
    note = "; ".join(filter(None, [NOTES.get(name), why]))
    row |= dict(note=note) if note else {}
    return row | summary([method(data, seed) for seed in range(few)])


def of_peer(name: str, data: str, seeds: int) -> dict[str, Any]:
    found = [PEERS[name](data, seed) for seed in range(seeds)]
    return dict(data=data, method=name, seeds=seeds) | summary(found)


def one(name: str, data: str, seeds: int) -> None:
    """The row of a method, and the largest memory of this process, as JSON."""
    row = (of_cell if name in FAMILY else of_peer)(name, data, seeds)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(json.dumps(row | dict(memory_mb=round(memory))))


def family(data: str, seeds: int):
    """A row for every method, each from a process of its own."""
    for name in (*FAMILY, *PEERS):
        order = [sys.executable, str(Path(__file__)), "--method", name]
        order += ["--data", data, "--seeds", str(seeds)]
        found = subprocess.run(order, check=True, stdout=subprocess.PIPE, text=True)
        yield json.loads(found.stdout.splitlines()[-1])


# ------------------------------------------------------- what is kept


def mean(name: str, values: list[float]) -> dict[str, float | None]:
    """The mean over seeds and its standard error; None where they are not finite."""
    brief = lambda v: float(f"{round(v, 9):.5g}") if np.isfinite(v) else None
    if "seconds" in name:
        return {name: brief(statistics.median(values))}
    middle = {name: brief(np.mean(values))}
    if len(values) < 2 or middle[name] is None:
        return middle
    error = statistics.stdev(values) / len(values) ** 0.5
    return middle | {f"{name}_error": brief(error)}


def summary(found: list[dict[str, float]]) -> dict[str, float | None]:
    said = {}
    for key in found[0] if found else ():
        said |= mean(key, [one[key] for one in found])
    return said


def keep(section: str, row: dict) -> None:
    kept = json.loads(OUT.read_text()) if OUT.exists() else {}
    named = {(old["data"], old["method"]): old for old in kept.get(section, [])}
    named[row["data"], row["method"]] = row
    kept |= clustering.machine() | {section: list(named.values())}
    OUT.write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n")


# ------------------------------------------------------- the figure


COLORS = dict(accuracy="#1f77b4", nmi="#ff7f0e")
PANELS = {
    "alpha": ["alpha on q", "alpha on both"],
    "alpha on p alone": [name for name in FACTORS if name.startswith("alpha on p")],
} | {name: [name] for name in FACTORS if not name.startswith("alpha")}
OWN_SCALE = ("alpha on p alone", "start")  # they change most
LINES = ("o-", "s--")
BARS = "bars: standard error of the difference to the base row, seed by seed"


def panel(ax, rows: list[dict], title: str, base: dict) -> None:
    """Scores by the value of a factor; lines at the base row's."""
    if not any(row["factor"] in PANELS[title] for row in rows):
        ax.set_axis_off()  # not run on this data
        return
    for score, color in COLORS.items():
        ax.axhline(base[score], color=color, lw=0.5, alpha=0.6)
        for factor, line in zip(PANELS[title], LINES, strict=False):
            some = [row for row in rows if row["factor"] == factor]
            some = [row for row in some if row.get(score) is not None]
            series(ax, some, score, line if ordered(some) else "o", color)
    ax.tick_params(labelsize=7)
    if not ordered(some):
        ax.tick_params("x", rotation=35)
        ax.margins(x=0.15)


def ordered(rows: list[dict]) -> bool:
    return not any(isinstance(row["value"], str) for row in rows)


def series(ax, rows: list[dict], score: str, line: str, color: str) -> None:
    at, height = ([row[key] for row in rows] for key in ("value", score))
    at = list(map(str, at))
    error = [row.get(f"{score}_gain_error") or 0 for row in rows]
    ax.errorbar(at, height, error, fmt=line, color=color, ms=4, lw=1, capsize=2)
    if any(row["factor"] == "start" for row in rows):
        first = [row[f"start_{score}"] for row in rows]
        ax.plot(at, first, "o", mfc="none", color=color, ms=5)


def legend_of(ax, title: str) -> None:
    """Which line is which factor, where there are several."""
    names = [name.removeprefix("alpha ") for name in PANELS[title]]
    if len(names) > 1:
        mark = lambda line: ax.plot([], [], line, color="gray", ms=4, lw=1)[0]
        ax.legend([mark(line) for line in LINES], names, fontsize=6, frameon=False)


def legend_of_all(figure) -> None:
    from matplotlib.lines import Line2D

    keys = [Line2D([], [], marker="o", color=color) for color in COLORS.values()]
    keys += [Line2D([], [], ls="", marker="o", mfc="none", color="gray")]
    words = ["accuracy", "NMI", "the start's own", BARS]
    place = dict(ncols=4, loc="outside upper left", fontsize=8, frameon=False)
    figure.legend([*keys, Line2D([], [], ls="")], words, **place)


def draw() -> None:
    """A row of panels for every data set whose base row is kept."""
    from matplotlib.figure import Figure

    rows = json.loads(OUT.read_text())["ablation"]
    bases = {row["data"]: row for row in rows if row["method"] == "walks: 0"}
    sets = [data for data in clustering.DATA if data in bases]
    size = (1.9 * len(PANELS), 0.4 + 2.4 * len(sets))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(sets), len(PANELS), squeeze=False)
    for data, line in zip(sets, axes, strict=True):
        own, base = [row for row in rows if row["data"] == data], bases[data]
        shared = [ax for ax, t in zip(line, PANELS, strict=True) if t not in OWN_SCALE]
        for ax, title in zip(line, PANELS, strict=True):
            panel(ax, own, title, base)
            legend_of(ax, title)
            ax.set_title(title if data == sets[0] else "", fontsize=9)
            if ax in shared[1:]:
                ax.sharey(shared[0])
        line[0].set_ylabel(f"{data}, {base['seeds']} seeds", fontsize=9)
    legend_of_all(figure)
    figure.savefig(PICTURE, dpi=150)


# ------------------------------------------------------- together


SECTIONS = dict(ablation=ablation, family=family)


def run(data: str, sections: list[str], seeds: int) -> None:
    for section in sections:
        for row in SECTIONS[section](data, seeds):
            keep(section, row)
            print(section, row, flush=True)


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sets = clustering.DATA
    ask.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    ask.add_argument("--data", nargs="+", choices=sets, default=list(sets)[:3])
    ask.add_argument("--seeds", type=int, default=5)
    ask.add_argument("--figure", action="store_true", help="draw what is kept")
    ask.add_argument("--method", choices=(*FAMILY, *PEERS), help=argparse.SUPPRESS)
    asked = ask.parse_args()
    if asked.figure:
        draw()
    elif asked.method:
        one(asked.method, *asked.data, asked.seeds)
    elif len(asked.data) == 1:
        run(*asked.data, asked.only, asked.seeds)
    else:
        for data in asked.data:
            order = [sys.executable, str(Path(__file__)), "--data", data]
            order += ["--seeds", str(asked.seeds), "--only", *asked.only]
            subprocess.run(order, check=True)


if __name__ == "__main__":
    main()
