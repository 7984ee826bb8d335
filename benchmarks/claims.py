"""Which claims of the I-Con papers hold here?

ICON_DATA=<folder of mnist20k.npz> python benchmarks/claims.py NAME [--seeds 5]
    [--steps 150] [--quick]
NAME is one of unification, temperature, divergences, debiasing, calibration, batches,
propagation. Networks are small and trained briefly (the file says for how many steps):
a claim is tried at this size, no other. Seeds decide splits, starts and batches. A
claim is a difference between two rows, seed by seed, over its standard error; it holds
where that is beyond the 97.5% quantile of Student's t for so many seeds, which one in
forty does by chance.
Prints a table and a line a claim, keeps them with the hardware and the versions in
benchmarks/results/claims.json, draws benchmarks/results/claims_NAME.png. --quick: two
seeds, few steps, kept in the folder for temporary files.
"""

import argparse
import dataclasses
import functools as ft
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cells
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import icon
from icon import encoders, evaluate, recipes
from icon.recipes.models import adam


HERE = Path(__file__).parent
FEATURES = "Gaussian"  # the row whose networks end in 128 numbers, not in the plane
SQUARED = 0.5**0.5  # the scale at which a Gaussian's score is -d²
POINTS = dict(mnist1d=3000, mnist=4000, digits=1000)
NETWORK = dict(
    mnist1d=encoders.Signals((32, 32, 32), 128), mnist=encoders.MLP((256, 128))
)


class Plan(NamedTuple):
    """How many seeds, steps of a network, and steps of a layout."""

    seeds: int
    steps: int = 150
    layout: int = 250

    def over_seeds(self, one: Callable) -> dict[str, list[float]]:
        """The numbers of each seed, by name."""
        found = [one(seed) for seed in range(self.seeds)]
        return {name: [float(each[name]) for each in found] for name in found[0]}


Rows = Iterator[dict[str, Any]]


def row(panel: str, line: str, at, values: dict[str, list[float]]) -> dict[str, Any]:
    """Where in the figure, and its numbers by seed; at None: a line across."""
    return dict(panel=panel, line=line, at=at, values=values)


# ------------------------------------------------------- trained and scored


def learned(plan: Plan, cell: icon.Cell, data: str, seed: int):
    """The data of a seed, and a cell trained on them."""
    budget = recipes.Budget(POINTS[data], plan.layout, plan.steps)
    bench = recipes.Bench(data, budget, NETWORK.get(data))
    m = bench.material(cell, seed)
    return m, recipes.train(cell, m, model=bench.model)


def probe(z, m: recipes.Material, share: float = 1.0) -> float:
    """A linear probe of the unseen rows that is told some of the labels."""
    order = np.random.default_rng(m.seed).permutation(m.train)
    told = order[: round(share * len(order))]
    rows = np.concatenate([told, m.test])
    return evaluate.linear_probe(z[rows], m.labels[rows], train=np.arange(len(told)))


def probes(plan: Plan, cell: icon.Cell, data: str, shares: dict[str, float]):
    """Linear probes of a cell, over the seeds."""

    def one(seed):
        m, trained = learned(plan, cell, data, seed)
        z = trained.represented
        return {name: probe(z, m, share) for name, share in shares.items()}

    return plan.over_seeds(one)


def layouts(plan: Plan, cell: icon.Cell):
    """How a layout of the digits keeps classes and neighbours, over the seeds."""

    def one(seed):
        m, trained = learned(plan, cell, "digits", seed)
        z = trained.embedding
        near = evaluate.knn_accuracy(z, m.labels, k=10)
        return {"10-NN": near, "trust": evaluate.trustworthiness(m.flat, z)}

    return plan.over_seeds(one)


ALL = {"probe": 1.0}
FEW = {"1% of labels": 0.01, "10% of labels": 0.1}


def still(number):
    """A number that goes with the parameters but is not learned.

    So one program serves all of its values.
    """
    return jax.lax.stop_gradient(number)


# ------------------------------------------------------- claims


def compared(words: str, gaps) -> dict[str, Any]:
    """Whether a difference, seed by seed, is above 0 beyond its error."""
    from scipy import stats

    gaps = np.asarray(gaps, float)
    error = max(gaps.std(ddof=1) / len(gaps) ** 0.5, 1e-12)
    ratio, limit = gaps.mean() / error, stats.t.ppf(0.975, len(gaps) - 1)
    verdict = "not decided"
    if abs(ratio) > limit:
        verdict = "holds" if ratio > 0 else "does not hold, the opposite does"
    said = dict(claim=words, difference=float(gaps.mean()), error=float(error))
    return said | dict(over_error=float(ratio), beyond=float(limit), verdict=verdict)


def shown(words: str, worst: float, allowed: float) -> dict[str, Any]:
    """Whether what should be small is at every seed."""
    verdict = "holds" if worst <= allowed else "does not hold"
    return dict(claim=words, worst=worst, allowed=allowed, verdict=verdict)


class Found:
    """The rows that were found, to be compared."""

    def __init__(self, rows: list[dict[str, Any]]):
        self.rows = rows

    def of(self, score: str, panel: str, line: str, at) -> np.ndarray:
        (found,) = [r for r in self.rows if [r[k] for k in PLACE] == [panel, line, at]]
        return np.array(found["values"][score])

    def gap(self, score: str, panel: str, one: tuple, other: tuple) -> dict[str, Any]:
        """That one row is above another in a score."""
        named = lambda line, at: line if at is None else f"{line} {at}"
        words = f"{panel}, {score}: {named(*one)} is above {named(*other)}"
        of = ft.partial(self.of, score, panel)
        return compared(words, of(*one) - of(*other))


PLACE = ("panel", "line", "at")


# ------------------------------------------------------- unification


THEOREMS = {  # of the I-Con paper: T theorem, C corollary
    "T1 SNE": "SNE",
    "C1 t-SNE": "t-SNE",
    "T2 PCA": "PCA",
    "T3 InfoNCE": "SimCLR",
    "C2 t-SimCLR": "t-SimCLR",
    "T4 VICReg*": "VICReg*",
    "T5 triplet": "triplet",
    "T6 SupCon": "SupCon",
    "T7 X-Sample": "X-Sample CL",
    "T8 CMC": "CMC",
    "T8 CLIP": "CLIP",
    "T9 cross-entropy": "cross-entropy",
    "T10 harmonic": "harmonic loss",
    "T11 masked LM": "masked LM",
    "T13 k-means": "k-means",
    "C4 spectral clustering": "spectral clustering",
    "T14 normalized cuts": "normalized cuts",
    "T15 PMI clustering": "InfoNCE clustering",
    "VAE": "VAE",
}
SHOWN_BY = "tests/_table/test_cells.py::test_value_and_gradient_are_the_papers"
WIDTHS = (0.1, 1.0, 10.0, 100.0)


@ft.cache
def tests():
    """The tests of the table: its inputs, and each paper's formula in NumPy."""
    sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "tests/_table")]
    import test_cells

    return test_cells


def both_values(name: str, seed: int) -> dict[str, float]:
    """A cell of random numbers in float64, and its paper's formula of the same."""
    rng, at = np.random.default_rng(seed), tests()

    def drawn(x):
        return x * np.exp(0.3 * rng.normal(size=x.shape)) if at.is_float(x) else x

    pair = jax.tree.map(drawn, at.build(name, float))
    value = at.measure(name, pair).value
    paper = float(at.ref.REFERENCE[name](**at.arguments(name, pair)))
    return dict(icon=value, paper=paper, difference=abs(value - paper))


def pca_at(width, z, ids):
    loss = icon.cross_entropy(icon.same(ids, ids), icon.gaussian(z, z, scale=width))
    return 2 * width**2 * (loss - np.log(len(z))), tests().ref.pca(z, z)


def vicreg_at(width, z, ids):
    loss = icon.cross_entropy(icon.same(ids // 2), icon.gaussian(z, scale=width))
    limit = tests().ref.vicreg_star(z, ids // 2)
    return 2 * width**2 * (loss - np.log(len(z) - 1)), limit


def triplet_at(width, z, ids):
    index, T = np.stack([ids ^ 1, (ids + 5) % len(z)], 1), 1 / width
    p, q = icon.uniform(index[:, :1]), icon.gaussian(z, scale=(T / 2) ** 0.5)
    q = icon.margin(icon.among(q, index), p, 0.2 / T)
    edges = np.stack([ids, index[:, 0]]), np.zeros(len(z))
    return T * icon.cross_entropy(p, q), tests().ref.triplet(*edges, z, index[:, 1])


LIMITS = {
    "PCA, by σ": pca_at,
    "VICReg*, by σ": vicreg_at,
    "triplet, by 1/T": triplet_at,
}


def distance_to_limit(of: Callable, width: float, seed: int) -> dict[str, float]:
    """How far the cell of a finite width is from its limit's published formula."""
    z, ids = np.random.default_rng(seed).normal(size=(40, 3)), np.arange(40)
    value, limit = of(width, z, ids)
    return {"distance to the limit": abs(float(value) - limit)}


def unification(plan: Plan) -> Rows:
    """The value of each cell and of its paper's formula, in float64."""
    with jax.enable_x64(True):
        for theorem, name in THEOREMS.items():
            values = plan.over_seeds(ft.partial(both_values, name))
            kept = row("cell and paper", "random numbers", theorem, values)
            yield kept | dict(test=f"{SHOWN_BY}[{name}]")
        for name, of in LIMITS.items():
            for width in WIDTHS:
                one = ft.partial(distance_to_limit, of, width)
                yield row("limits", name, width, plan.over_seeds(one))


def unified(found: Found):
    for r in found.rows:
        if r["panel"] == "cell and paper":
            icons = np.maximum(np.abs(r["values"]["icon"]), 1)
            worst = max(np.array(r["values"]["difference"]) / icons)
            yield shown(f"{r['at']} is the paper's ({r['test']})", worst, 1e-12)
    for name in LIMITS:
        at = ft.partial(found.of, "distance to the limit", "limits", name)
        words = f"{name}: ten times as wide is a tenth as far from the limit, or less"
        yield shown(words, max(at(WIDTHS[-1]) / at(WIDTHS[-2])), 0.1)


# ------------------------------------------------------- temperature


TEMPERATURES = (0.02, 0.1, 0.3, 1.0, 10.0)
EVIDENCE = {"SimCLR": "views", "SupCon": "labels"}
LIMIT = {"the mean": icon.wide, "the maximum": icon.sharp}


def at_temperature(name: str, temperature: float) -> icon.Cell:
    q = lambda z, t: icon.cosine(z, temperature=still(t))
    fixed = dict(learned={"t": temperature})
    return icon.Cell(name, icon.same, q, icon.kl, EVIDENCE[name], FEATURES, **fixed)


def in_the_limit(name: str, limit: Callable) -> icon.Cell:
    q = lambda z: limit(icon.cosine(z, temperature=1.0))
    cell = ft.partial(icon.Cell, name, icon.same, q, icon.cross_entropy)
    return cell(EVIDENCE[name], FEATURES)


def two_views(plan: Plan, seed: int):
    """Unseen rows in two views by SimCLR, as float64, with their ids and labels."""
    m, trained = learned(plan, icon.TABLE["SimCLR"], "mnist1d", seed)
    rows = m.test[:200]
    views = jnp.concatenate(m.two_views(jr.key(seed), jnp.asarray(m.x[rows])))
    z = trained.learner.apply(trained.params["z"], views, trained.states["z"])
    return np.float64(z), dict(
        SimCLR=np.tile(rows, 2), SupCon=np.tile(m.labels[rows], 2)
    )


def rescaled(p, z, temperature: float, limit: Callable):
    """The loss times its temperature, and less log of how many for the mean."""
    loss = icon.cross_entropy(p, icon.cosine(z, temperature=temperature))
    many = jnp.log(len(z) - 1.0) if limit is icon.wide else 0.0
    return temperature * (loss - many)


def off(p, z, temperature: float, limit: Callable) -> dict[str, float]:
    """Value and gradient of a temperature beside those of the limit, relatively."""
    exact = lambda z: icon.cross_entropy(p, limit(icon.cosine(z, temperature=1.0)))
    value, slope = jax.value_and_grad(rescaled, 1)(p, z, temperature, limit)
    wanted, ideal = jax.value_and_grad(exact)(z)
    far = jnp.linalg.norm(slope - ideal) / jnp.linalg.norm(ideal)
    return dict(value=abs(value / wanted - 1), gradient=far)


def temperature(plan: Plan) -> Rows:
    """Temperatures, and the limits of infinite and of zero temperature."""
    for name in EVIDENCE:
        for t in TEMPERATURES:
            values = probes(plan, at_temperature(name, t), "mnist1d", ALL)
            yield row("mnist1d", name, t, values)
        for words, limit in LIMIT.items():
            values = probes(plan, in_the_limit(name, limit), "mnist1d", ALL)
            yield row("mnist1d", f"{name}, {words}", None, values)
    some = [two_views(plan, seed) for seed in range(plan.seeds)]
    with jax.enable_x64(True):
        for name in EVIDENCE:
            for words, limit in LIMIT.items():
                for t in TEMPERATURES:
                    one = lambda k, n=name, t=t, limit=limit: off(
                        icon.same(some[k][1][n]), jnp.asarray(some[k][0]), t, limit
                    )
                    values = plan.over_seeds(one)
                    yield row("off the limit", f"{name}, {words}", t, values)


def at_which_temperature(found: Found):
    low, *_, high = TEMPERATURES
    for name in EVIDENCE:
        for other in [
            (name, low),
            (name, high),
            *((f"{name}, {w}", None) for w in LIMIT),
        ]:
            yield found.gap("probe", "mnist1d", (name, 0.1), other)
        yield found.gap("probe", "mnist1d", (name, high), (f"{name}, the mean", None))
        for score in ("value", "gradient"):
            of = ft.partial(found.of, score, "off the limit")
            words = f"{name}, {score}: at τ = {{}} within 10% of {{}}"
            far = max(of(f"{name}, the mean", high))
            yield shown(words.format(high, "the mean"), far, 0.1)
            far = max(of(f"{name}, the maximum", low))
            yield shown(words.format(low, "the maximum"), far, 0.1)


# ------------------------------------------------------- divergences


DIVERGENCES = dict(kl=icon.kl, tv=icon.tv, jsd=icon.jsd, hellinger=icon.hellinger)
KERNELS = {"cosine": icon.cosine, "distance": icon.gaussian}


def supcon(kernel: Callable, loss: Callable) -> icon.Cell:
    return icon.Cell("SupCon", icon.same, kernel, loss, "labels", FEATURES)


def sne(loss: Callable) -> icon.Cell:
    sne = icon.TABLE["SNE"]
    return dataclasses.replace(sne, loss=loss)


def divergences(plan: Plan) -> Rows:
    """Other divergences between the same p and q."""
    for kernel, q in KERNELS.items():
        for name, loss in DIVERGENCES.items():
            values = probes(plan, supcon(q, loss), "mnist1d", ALL)
            yield row("SupCon, mnist1d", kernel, name, values)
    for name, loss in DIVERGENCES.items():
        yield row("digits", "SNE", name, layouts(plan, sne(loss)))


def which_divergence(found: Found):
    for name in list(DIVERGENCES)[1:]:
        for kernel in KERNELS:
            pair = (kernel, name), (kernel, "kl")
            yield found.gap("probe", "SupCon, mnist1d", *pair)
        for score in ("10-NN", "trust"):
            yield found.gap(score, "digits", ("SNE", name), ("SNE", "kl"))


# ------------------------------------------------------- debiasing


ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8)
KERNEL = {
    "SimCLR": ft.partial(icon.cosine, temperature=0.1),
    "t-SimCLR": ft.partial(icon.student_t, dof=5.0, scale=0.1**0.5),
}
PRIOR = 0.1  # of another row's being of the same class, out of ten


def debiased(kernel: str, alpha: float) -> icon.Cell:
    q = lambda z, alpha: icon.smooth(KERNEL[kernel](z), still(alpha))
    fixed = dict(learned={"alpha": alpha})
    return icon.Cell(kernel, icon.same, q, icon.kl, "views", FEATURES, **fixed)


def chuang(p, q):
    """The debiased contrastive loss: log q's mass is not a sum over candidates.

    Of each anchor B is the score of its positive and M the log-mass of q. No q has
    this loss as a divergence: a cell in its p, q and training, not in its loss.
    """
    _, B, _, M = icon.per_anchor(p, q)
    count = q.shape[0] - 2
    negative = (jnp.exp(M) - (1 + PRIOR * count) * jnp.exp(B)) / (1 - PRIOR)
    least = count * jnp.exp(-1 / 0.1)  # at the temperature of 0.1
    return jnp.mean(jnp.logaddexp(B, jnp.log(jnp.maximum(negative, least))) - B)


def dcl() -> icon.Cell:
    return icon.Cell("DCL", icon.same, KERNEL["SimCLR"], chuang, "views", FEATURES)


def debiasing(plan: Plan) -> Rows:
    """A share of the uniform distribution in q, beside Chuang et al. 2020."""
    for data in NETWORK:
        for kernel in KERNEL:
            for alpha in ALPHAS:
                values = probes(plan, debiased(kernel, alpha), data, FEW)
                yield row(data, kernel, alpha, values)
        yield row(data, "DCL", None, probes(plan, dcl(), data, FEW))


def does_debiasing_help(found: Found):
    for data in NETWORK:
        for score in FEW:
            for kernel in KERNEL:
                yield found.gap(score, data, (kernel, 0.4), (kernel, 0.0))
            yield found.gap(score, data, ("SimCLR", 0.4), ("DCL", None))
            yield found.gap(score, data, ("DCL", None), ("SimCLR", 0.0))
            yield found.gap(score, data, ("t-SimCLR", 0.0), ("SimCLR", 0.0))


# ------------------------------------------------------- calibration


def smoothed(labels, classes):
    return icon.smooth(icon.same(labels, classes), 0.4)


def smoothed_dot(z, w):
    return icon.smooth(icon.dot(z, w), 0.4)


def labels_in_batch(m: recipes.Material) -> recipes.Task:
    """The rows of a batch, each by the others of its class."""
    classes = jnp.arange(m.classes)

    def arguments(model, key, x, label):
        return (label, classes), (model(m.two_views(key, x)[0]), label, classes)

    return recipes.Task(dict(x=m.x[m.train], label=m.labels[m.train]), arguments)


def class_sums() -> icon.Cell:
    q = icon.TABLE["NCA"].q
    return icon.Cell("class sums", icon.same, q, icon.kl, labels_in_batch, FEATURES)


def by_prototypes(kernel: Callable, trained, m, rows):
    """q of some rows among the learned prototypes."""
    w = trained.learner.finish(trained.params["extra"])
    return kernel(jnp.asarray(trained.embedding[rows]), w)


def by_rows(trained, m, rows):
    """q of some rows among the rows that were learned from, summed by class."""
    z = jnp.asarray(trained.embedding)
    q = icon.gaussian(z[rows], z[m.train], scale=SQUARED)
    return icon.grouped(q, m.labels[m.train], m.classes)


ENTROPY, HARMONIC = icon.TABLE["cross-entropy"], icon.TABLE["harmonic loss"]
CLASSIFIERS = {  # a cell, and the q that its confidence is read from
    "cross-entropy": (ENTROPY, ft.partial(by_prototypes, icon.dot)),
    "debiased": (
        dataclasses.replace(ENTROPY, p=smoothed, q=smoothed_dot),
        ft.partial(by_prototypes, icon.dot),
    ),
    "harmonic loss": (
        dataclasses.replace(HARMONIC, row=FEATURES),
        ft.partial(by_prototypes, HARMONIC.q),
    ),
    "class means": (icon.TABLE["class means"], ft.partial(by_prototypes, icon.dot)),
    "class sums": (class_sums(), by_rows),
}


def cooled(log_q, labels) -> float:
    """The exponent of q under which held-out labels are likeliest (Guo et al. 2017)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def surprise(log_power):
        told = log_softmax(np.exp(log_power) * log_q, 1)
        return -told[np.arange(len(labels)), labels].mean()

    return float(np.exp(minimize_scalar(surprise, bounds=(-5, 5)).x))


def calibrated(plan: Plan, name: str, seed: int) -> dict[str, float]:
    """Accuracy and calibration of the test rows, as learned and at a temperature
    chosen on a fifth of the training rows, which the network has not seen."""
    from scipy.special import softmax

    cell, q_of = CLASSIFIERS[name]
    budget = recipes.Budget(POINTS["mnist1d"], plan.layout, plan.steps)
    whole = recipes.Bench("mnist1d", budget).material(cell, seed)
    order = np.random.default_rng(seed).permutation(whole.train)
    apart, train = np.split(order, [len(order) // 5])
    m = whole._replace(train=np.sort(train))
    trained = recipes.train(cell, m, model=NETWORK["mnist1d"])
    of = lambda rows: np.log(np.maximum(icon.dense(q_of(trained, m, rows)), 1e-30))
    truth, log_q = m.labels[m.test], np.float64(of(m.test))
    power = cooled(np.float64(of(apart)), m.labels[apart])
    found = {"accuracy": (log_q.argmax(1) == truth).mean(), "1 / temperature": power}
    for words, by in {"ECE": 1.0, "ECE, temperature scaled": power}.items():
        q = np.minimum(softmax(by * log_q, 1), 1)
        sure = evaluate.calibration_error(truth, q.argmax(1), q.max(1))
        found[words] = sure
    return found


def calibration(plan: Plan) -> Rows:
    """How far confidence is from how often it is right, on unseen rows."""
    for name in CLASSIFIERS:
        values = plan.over_seeds(ft.partial(calibrated, plan, name))
        yield row("mnist1d", "test rows", name, values)


def who_is_calibrated(found: Found):
    of = lambda score, name: found.of(score, "mnist1d", "test rows", name)
    first, *others = CLASSIFIERS
    for name in others:
        gap = of("ECE", first) - of("ECE", name)
        yield compared(f"ECE of {name} is below that of {first}", gap)
    for name in CLASSIFIERS:
        gap = of("ECE", name) - of("ECE, temperature scaled", name)
        yield compared(f"{name}: temperature scaling lowers its ECE", gap)


# ------------------------------------------------------- batches


SIZES = (64, 256, 1024)
RATES = {  # Adam's, by the size of a batch
    "the same rate": lambda size: 2e-3,
    "rate by √size": lambda size: 2e-3 * (size / 256) ** 0.5,
}


def in_batches(size: int, rate: float) -> icon.Cell:
    views = recipes.SOURCES["views"].task
    task = lambda m: views(m)._replace(size=size, optimizer=adam(rate))
    return icon.Cell("SimCLR", icon.same, KERNEL["SimCLR"], icon.kl, task, FEATURES)


def batches(plan: Plan) -> Rows:
    """Batches of other sizes that see as many rows in all."""
    for words, rate in RATES.items():
        for size in SIZES:
            steps = max(2, plan.steps * 256 // size)
            cell = in_batches(size, rate(size))
            values = probes(plan._replace(steps=steps), cell, "mnist1d", ALL | FEW)
            yield row("SimCLR, mnist1d", words, size, values) | dict(steps=steps)


def are_large_batches_better(found: Found):
    small, middle, large = SIZES
    for words in RATES:
        for score in ALL | FEW:
            gap = ft.partial(found.gap, score, "SimCLR, mnist1d")
            yield gap((words, large), (words, middle))
            yield gap((words, middle), (words, small))


# ------------------------------------------------------- propagation


WALKS, NEAR = (0, 1, 2, 3), 5


def walked(x, walks: int):
    return icon.propagate(icon.uniform(icon.knn(x, NEAR)[0]), walks)


def laid_out(kernel: str, walks: int) -> icon.Cell:
    near = ft.partial(walked, walks=walks)
    if kernel == "SNE":
        return dataclasses.replace(icon.TABLE["SNE, uniform affinities"], p=near)
    both = lambda x: icon.symmetrize(near(x))
    return dataclasses.replace(icon.TABLE["t-SNE, uniform affinities"], p=both)


def neighbors(m: recipes.Material, walks: int) -> recipes.Task:
    """A view of a row, and one of a row that a walk from it leads to."""
    every, p = jnp.asarray(m.x[m.train]), walked(m.flat[m.train], walks)

    def arguments(model, key, x, i):
        at, weight = jax.vmap(p.support)(i)
        pick = jr.categorical(key, jnp.log(weight))[:, None]
        other = every[jnp.take_along_axis(at, pick, 1)[:, 0]]
        views = m.two_views(jr.fold_in(key, 1), jnp.concatenate([x, other]))[0]
        return (jnp.tile(jnp.arange(len(x)), 2),), (model(views),)

    arrays = dict(x=m.x[m.train], i=np.arange(len(m.train), dtype=np.int32))
    return recipes.Task(arrays, arguments, head=(256,))


def of_neighbors(walks: int) -> icon.Cell:
    task = ft.partial(neighbors, walks=walks)
    return icon.Cell("walks", icon.same, KERNEL["SimCLR"], icon.kl, task, FEATURES)


def propagation(plan: Plan) -> Rows:
    """Neighbours of neighbours of the 5 nearest as p; walks beyond the first step."""
    for kernel in ("SNE", "t-SNE"):
        for walks in WALKS:
            yield row("digits", kernel, walks, layouts(plan, laid_out(kernel, walks)))
    for walks in WALKS:
        values = probes(plan, of_neighbors(walks), "mnist1d", ALL)
        yield row("mnist1d", "contrastive", walks, values)
    values = probes(plan, debiased("SimCLR", 0.0), "mnist1d", ALL)
    yield row("mnist1d", "views of one row", None, values)


def do_walks_help(found: Found):
    for walks in WALKS[1:]:
        for kernel in ("SNE", "t-SNE"):
            for score in ("10-NN", "trust"):
                yield found.gap(score, "digits", (kernel, walks), (kernel, 0))
        pair = ("contrastive", walks), ("contrastive", 0)
        yield found.gap("probe", "mnist1d", *pair)
    pair = ("contrastive", 0), ("views of one row", None)
    yield found.gap("probe", "mnist1d", *pair)


# ------------------------------------------------------- told, kept and drawn


NAMES = {
    "unification": (unification, unified),
    "temperature": (temperature, at_which_temperature),
    "divergences": (divergences, which_divergence),
    "debiasing": (debiasing, does_debiasing_help),
    "calibration": (calibration, who_is_calibrated),
    "batches": (batches, are_large_batches_better),
    "propagation": (propagation, do_walks_help),
}
HIDDEN = ("icon", "paper")  # what a difference is of
LOGARITHMIC = ("distance to the limit", "value", "gradient")


def brief(x: float) -> float:
    return float(f"{x:.4g}")


def middle(values: list[float]) -> tuple[float, float]:
    """The mean over seeds and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5)


def summary(values: dict[str, list[float]]) -> dict[str, Any]:
    """Mean and standard error of each number, and the seeds themselves."""
    mean, error = ({k: brief(middle(x)[i]) for k, x in values.items()} for i in (0, 1))
    return dict(mean=mean, error=error, by_seed=values)


def told(kept: dict[str, Any]) -> str:
    """A row of the table."""
    numbers = [f"{k} {v:.4g} ± {kept['error'][k]:.2g}" for k, v in kept["mean"].items()]
    at = "" if kept["at"] is None else kept["at"]
    return f"{kept['panel']:16s} {kept['line']:22s} {at:<8} {'  '.join(numbers)}"


def said(claim: dict[str, Any]) -> str:
    """A line a claim."""
    if "worst" in claim:
        numbers = f"{claim['worst']:.2g}, at most {claim['allowed']:g} allowed"
    else:
        numbers = f"{claim['difference']:+.4f} ± {claim['error']:.4f}"
        numbers += f", {claim['over_error']:+.1f} errors"
    return f"{claim['claim']}: {numbers}: {claim['verdict']}"


def series(ax, rows: list[dict], score: str, **style) -> None:
    """A score of one line, with its errors; of a row without a place, across."""
    height, error = np.transpose([middle(r["values"][score]) for r in rows])
    at = [r["at"] for r in rows]
    if at == [None]:
        ax.axhline(height[0], ls="--", lw=1, **style)
        edges = height[0] - error[0], height[0] + error[0]
        ax.axhspan(*edges, color=style["color"], alpha=0.1, lw=0)
    else:
        mark = "o" if isinstance(at[0], str) else "o-"
        ax.errorbar(at, height, error, fmt=mark, ms=4, lw=1, capsize=2, **style)


def panel(ax, rows: list[dict], score: str) -> None:
    """A score of all lines of a panel."""
    lines = list(dict.fromkeys(r["line"] for r in rows))
    for k, line in enumerate(lines):
        own = [r for r in rows if r["line"] == line]
        series(ax, own, score, color=f"C{k}", label=line)
    ax.set_title(f"{rows[0]['panel']}: {score}", fontsize=8)
    ax.tick_params(labelsize=7)
    at = [r["at"] for r in rows if r["at"] is not None]
    if isinstance(at[0], str):
        ax.tick_params("x", rotation=90 if len(at) > 12 else 20)
    elif min(at) > 0 and max(at) >= 10 * min(at):
        ax.set_xscale("log")
    if score in LOGARITHMIC:
        ax.set_yscale("log")
    if len(lines) > 1:
        ax.legend(fontsize=6, frameon=False)


def draw(rows: list[dict], path: Path) -> None:
    """A panel for every score of every panel."""
    from matplotlib.figure import Figure

    wanted = dict.fromkeys((r["panel"], s) for r in rows for s in r["values"])
    wanted = [key for key in wanted if key[1] not in HIDDEN]
    figure = Figure(figsize=(3.4 * len(wanted), 3.2), layout="constrained")
    axes = figure.subplots(1, len(wanted), squeeze=False)[0]
    for ax, (name, score) in zip(axes, wanted, strict=True):
        panel(ax, [r for r in rows if r["panel"] == name], score)
    figure.savefig(path, dpi=110)


def keep(name: str, plan: Plan, rows: list[dict], claims: list[dict], folder: Path):
    """The rows and claims of a name, with the machine; others stay as they were."""
    path = folder / "claims.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    lines = [
        {k: v for k, v in r.items() if k != "values"} | summary(r["values"])
        for r in rows
    ]
    how = plan._asdict() | dict(points=POINTS, load=round(os.getloadavg()[0], 1))
    kept[name] = dict(machine=cells.machine(), **how, rows=lines, claims=claims)
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def run(name: str, plan: Plan, folder: Path) -> None:
    """Find the rows of a name, judge its claims, keep and draw them."""
    find, judge = NAMES[name]
    rows, began = [], time.monotonic()
    for found in find(plan):
        rows.append(found)
        print(told(found | summary(found["values"])), flush=True)
        keep(name, plan, rows, [], folder)
    claims = list(judge(Found(rows)))
    print(*map(said, claims), sep="\n")
    keep(name, plan, rows, claims, folder)
    draw(rows, folder / f"claims_{name}.png")
    print(f"{time.monotonic() - began:.0f} s")


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("name", choices=NAMES)
    ask.add_argument("--seeds", type=int, default=5)
    ask.add_argument("--steps", type=int, default=150, help="of a network")
    ask.add_argument("--quick", action="store_true", help="a trial, kept elsewhere")
    asked = ask.parse_args()
    if asked.quick:
        return run(asked.name, Plan(2, 3, 3), Path(tempfile.gettempdir()))
    run(asked.name, Plan(asked.seeds, asked.steps), HERE / "results")


if __name__ == "__main__":
    main()
