"""Is every row of the table the method that its paper describes?

A row is built as a user builds it. Every float leaf of its p and q is an argument of
the row's function in reference.py: the leaf must be the number that the paper has, and
the loss and its gradient in that leaf must be those of the paper's formula.
"""

import functools as ft
import inspect
import itertools
import types
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference as ref
from cases import slow, soon
from interpreter import interpret
from jax.extend.core import jaxprs_in_params

import icon
from icon._neighborhoods import Graph


# ------------------------------------------------------- inputs


RNG = np.random.default_rng(20250416)
N, CLASSES = 10, 4
IDS, CLASS = np.arange(N), np.arange(CLASSES)
VIEWS = IDS // 2
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 0, 3])  # the last is alone in its class
PAIRED = IDS % CLASSES  # none is alone


def normal(*shape):
    return RNG.normal(size=shape)


def simplex(n, parts=16):
    """Rows of sixteenths, which sum to one in every float type."""
    return (RNG.multinomial(parts - CLASSES, np.ones(CLASSES) / CLASSES, n) + 1) / parts


def random_graph():
    """Symmetric, six edges for each: as many as SNE lists, so programs are shared."""
    near = (IDS - IDS[:, None]) % N
    w = np.triu(RNG.uniform(0.2, 1, (N, N)) * np.isin(near, (1, 2, 3, 7, 8, 9)))
    return w + w.T


X, Z, U, W = normal(N, 5), normal(N, 3), normal(N, 3), normal(CLASSES, 3)
CAPTIONS, MANY, MIXTURES = normal(N, 5), normal(18, 3), normal(CLASSES, 2, 3)
PHI, PSI, THETA = simplex(N), simplex(N), simplex(CLASSES)
CENTERED, FLAT, GRAM = X - X.mean(0), Z - Z.mean(0), X @ X.T
GRAPH = random_graph()
LOG_GRAPH = np.where(GRAPH > 0, np.log(np.where(GRAPH > 0, GRAPH, 1)), -np.inf)
DEGREE = GRAPH.sum(1)
TRIPLETS = np.stack([(IDS + 1) % N, (IDS + 5) % N], 1)
NEGATIVES = np.stack([(IDS + 1) % N, (IDS + 5) % N, (IDS + 7) % N], 1)
WORDS = np.stack([LABELS, (LABELS + 1) % CLASSES, (LABELS + 2) % CLASSES], 1)
LOG_H = -((normal(N, 1) - CLASS) ** 2) / 2
FACTOR = np.tril(normal(CLASSES, 3, 3) / 4) + np.eye(3)
MIXTURE = W, FACTOR @ FACTOR.swapaxes(1, 2), np.array([3.0, 1.0, 2.0, 2.0])
PARTS = {
    "anchors": ("x", Z),
    "candidates.mean": ("mean", W),
    "candidates.whitening": ("whitening", np.linalg.inv(FACTOR)),
    "candidates.log_weight": ("log_weight", np.log(MIXTURE[2] / 8)),
}
ITEMS = normal(6, 3)
COUNTS = 2.0 ** RNG.integers(0, 8, (N, 6))
MODELS = normal(2, 3, 3)
OF_MODELS = {
    "anchors": ("x", Z),
    "candidates.unmixing": ("unmixing", MODELS),
    "candidates.log_volume": ("log_volume", np.linalg.slogdet(MODELS)[1]),
    "candidates.log_weight": ("log_weight", np.log([0.5, 0.5])),
}
CENTERS = {
    "anchors": ("x", Z),
    "candidates": ("centers", W),
    "params['scale']": ("scale", None),
}
STD, DECODER = np.exp(normal(N, 3) / 2), normal(5, 3)
NARROW = np.exp(normal(N, 3) / 2)
Y, RATES, ON = X + normal(N, 5) / 3, np.log(simplex(6)), np.log(simplex(6))
SAMPLES = 3


def log_joint(decoder, x, z):
    """log p(z) p(x | z): a linear decoder, both Gaussian of variance one."""
    x, decoder = x.astype(z.dtype), decoder.astype(z.dtype)
    of = lambda gap: -jnp.sum(gap**2) / 2 - gap.shape[0] * np.log(2 * np.pi).item() / 2
    return of(z) + of(x - decoder @ z)


# ------------------------------------------------------- rows


class Case(NamedTuple):
    """Inputs of a row, and which of its paper's quantities each leaf is."""

    evidence: tuple
    embedding: tuple
    leaves: dict  # path -> argument of the reference and its value (None: its default)
    fixed: dict = {}  # further arguments of the reference
    host: bool = False  # the evidence goes through scipy, which has no bfloat16


FIELDS = (
    "anchors",
    "candidates",
    "weight",
    "logit",
    "alpha",
    "mean",
    "std",
    "params",
    "points",
)


def leaves(side, base=0, /, **names):
    """anchors=(y, Z): the leaf q.anchors is the argument y, which is Z.

    scale="scale": the leaf q.params['scale'] is the argument scale, at its default.
    """

    def path(leaf):
        if leaf in FIELDS:
            return f"{side}{'.base' * base}.{leaf}"
        group = "per_anchor" if leaf == "row" else "params"
        return f"{side}{'.base' * base}.{group}['{leaf}']"

    pair = lambda name: (name, None) if isinstance(name, str) else name
    return {path(leaf): pair(name) for leaf, name in names.items()}


p, q = ft.partial(leaves, "p"), ft.partial(leaves, "q")
SCALE, HOT = q(scale="scale"), q(temperature="temperature")
STUDENT = SCALE | q(dof="dof")


def of_both_sides(parts, of_p="p"):
    """The same leaves of p, where arguments are p_..., and of an unnormalized q."""
    named = {f"{of_p}.{path}": (f"p_{x}", value) for path, (x, value) in parts.items()}
    return named | {f"q.base.{path}": part for path, part in parts.items()}


def weights(matrix):
    return p(logit=("log_weights", matrix))


def one(kernel, **anchors):
    """One set under a kernel, by its name in the reference: y=Z."""
    ((name, value),) = anchors.items()
    return q(anchors=(name, value)) | kernel


def two(kernel, **sets):
    """Two sets under a kernel, anchors and candidates in this order."""
    (name, value), (other, others) = sets.items()
    return q(anchors=(name, value), candidates=(other, others)) | kernel


def inside(found):
    """The same leaves, of what is wrapped."""
    return {path.replace("q.", "q.base.", 1): name for path, name in found.items()}


UNIT, UNIT_U = ref.unit(Z), ref.unit(U)
PAIRS, LABELED = (IDS, IDS), (LABELS, CLASS)
KNN_6 = ref.uniform(ref.nearest(X, 6), N)
GAUSSIAN_6 = ref.gaussian_perplexity(X, 6, 4.0)
FIRST = ref.uniform(TRIPLETS[:, :1], N)
P_SETS = p(anchors=("x", X), candidates=("candidates", X), scale="scale")
PHI_LEAF = q(anchors=("phi", PHI))
HEAVY = p(anchors=("x", X), scale=("x_scale", ref.reach(X, 7)), dof="x_dof")

CASES = {
    # ---- q is Gaussian
    "SNE": Case((X, 6, 4.0), (Z,), weights(GAUSSIAN_6) | one(SCALE, y=Z)),
    "symmetric SNE": Case(
        (X, 6, 4.0), (Z,), weights(ref.symmetric(GAUSSIAN_6)) | one(SCALE, y=Z)
    ),
    "X-Sample CL": Case(
        (X,),
        (Z,),
        p(anchors=("g", ref.unit(X)), temperature="side_temperature")
        | one(HOT, u=UNIT),
    ),
    "Dual t-SNE": Case((X,), (Z,), HEAVY | one(SCALE, y=Z)),
    "uniformity": Case(PAIRS, (Z,), two(SCALE, x=Z, candidates=Z)),
    "SNE graph embedding": Case(
        (GRAPH,), (Z,), weights(LOG_GRAPH) | one(SCALE, y=Z), host=True
    ),
    "implicit recommender": Case(
        (COUNTS,),
        (Z, ITEMS),
        weights(np.log(COUNTS)) | two(HOT, rows=Z, items=ITEMS),
        host=True,
    ),
    "SNE, uniform affinities": Case((X, 6), (Z,), weights(KNN_6) | one(SCALE, y=Z)),
    "LGSimCLR": Case(
        (CAPTIONS,),
        (Z,),
        weights(ref.uniform(ref.nearest(CAPTIONS, 1), N)) | one(HOT, u=UNIT),
    ),
    "SimCLR": Case((VIEWS,), (Z,), one(HOT, u=UNIT), dict(views=VIEWS)),
    "MoCo v3": Case(PAIRS, (Z, U), two(HOT, queries=UNIT, keys=UNIT_U)),
    "CLIP": Case(PAIRS, (Z, U), two(HOT, image=UNIT, text=UNIT_U)),
    "CMC": Case(PAIRS, (Z, U), two(HOT, one=UNIT, other=UNIT_U)),
    "SupCon": Case((LABELS,), (Z,), one(HOT, u=UNIT), dict(labels=LABELS)),
    "cross-entropy": Case(LABELED, (Z, W), two(HOT, z=Z, w=W), dict(labels=LABELS)),
    "matrix factorisation": Case(
        LABELED,
        (Z[:, :1], W[:, :1]),
        inside(two(SCALE, predicted=Z[:, :1], levels=W[:, :1])),
        dict(rated=LABELS),
    ),
    # ---- sigma to infinity
    "classical MDS": Case(
        (CENTERED,),
        (FLAT,),
        p(
            anchors=("x", CENTERED),
            candidates=("x_candidates", CENTERED),
            temperature="x_temperature",
        )
        | two(q(temperature="y_temperature"), y=FLAT, y_candidates=FLAT),
    ),
    "PCA": Case(PAIRS, (Z,), two(SCALE, y=Z, candidates=Z)),
    "kernel PCA": Case(
        (GRAM,),
        (Z,),
        p(row=("gram", GRAM), temperature="gram_temperature")
        | two(HOT, y=Z, candidates=Z),
    ),
    "Laplacian eigenmaps": Case(
        (GRAPH,),
        (Z, DEGREE),
        weights(LOG_GRAPH)
        | two(SCALE, y=Z, candidates=Z)
        | q(weight=("degree", DEGREE)),
        host=True,
    ),
    "LPP": Case(
        (GRAPH,),
        (Z, DEGREE),
        weights(LOG_GRAPH)
        | two(SCALE, y=Z, candidates=Z)
        | q(weight=("degree", DEGREE)),
        host=True,
    ),
    "diffusion maps": Case(
        (GRAM / 20, DEGREE),
        (Z / 4, DEGREE),
        p(row=("gram", GRAM / 20), temperature="gram_t")
        | p(weight=("gram_degree", DEGREE))
        | two(q(temperature="t"), y=Z / 4, candidates=Z / 4)
        | q(weight=("degree", DEGREE)),
    ),
    "Isomap": Case(
        (GRAM,),
        (Z,),
        p(row=("gram", GRAM), temperature="gram_temperature")
        | two(HOT, y=Z, candidates=Z),
    ),
    "VICReg*": Case((VIEWS,), (Z,), one(SCALE, z=Z), dict(views=VIEWS)),
    "average-margin CLIP": Case(PAIRS, (Z, U), two(SCALE, u=Z, v=U)),
    "PLS-SVD": Case(PAIRS, (Z, U), two(HOT, u=Z, v=U)),
    "CCA": Case(PAIRS, (Z, U), two(HOT, u=Z, v=U)),
    "LDA": Case(
        (LABELS, LABELS), (Z,), two(SCALE, z=Z, candidates=Z), dict(labels=LABELS)
    ),
    "slow features": Case(
        (GRAPH,), (Z,), weights(LOG_GRAPH) | two(SCALE, z=Z, candidates=Z), host=True
    ),
    "average-margin SupCon": Case(
        (LABELS,), (Z,), one(SCALE, z=Z), dict(labels=LABELS)
    ),
    "class means": Case(LABELED, (Z, W), two(HOT, z=Z, w=W), dict(labels=LABELS)),
    # ---- sigma to zero
    "graph triplet": Case(
        (GRAPH,), (Z,), weights(LOG_GRAPH) | one(SCALE, y=Z), host=True
    ),
    "neighborhood recall": Case(
        (MANY, 15),
        (MANY[::-1],),
        weights(ref.uniform(ref.nearest(MANY, 15), 18))
        | inside(one(SCALE, y=MANY[::-1])),
    ),
    "triplet": Case(
        (TRIPLETS,),
        (Z, TRIPLETS),
        weights(FIRST) | inside(one(SCALE, z=Z)),
        dict(negatives=TRIPLETS[:, 1]),
    ),
    "triplet CLIP": Case(PAIRS, (Z, U), two(SCALE, image=Z, text=U)),
    "triplet SupCon": Case((LABELS,), (Z,), one(SCALE, z=Z), dict(labels=LABELS)),
    "error rate": Case(
        LABELED, (Z, W), inside(two(HOT, z=Z, w=W)), dict(labels=LABELS)
    ),
    # ---- q is Student's t
    "t-SNE": Case(
        (X, 6, 4.0), (Z,), weights(ref.symmetric(GAUSSIAN_6)) | one(STUDENT, y=Z)
    ),
    "heavy-tailed t-SNE": Case(
        (X, 6, 4.0), (Z,), weights(ref.symmetric(GAUSSIAN_6)) | one(STUDENT, y=Z)
    ),
    "doubly t-SNE": Case((X,), (Z,), HEAVY | one(STUDENT, y=Z)),
    "heavy-tailed uniformity": Case(PAIRS, (Z,), two(STUDENT, x=Z, candidates=Z)),
    "t-SNE graph embedding": Case(
        (GRAPH,), (Z,), weights(LOG_GRAPH) | one(STUDENT, y=Z), host=True
    ),
    "t-SNE, uniform affinities": Case(
        (X, 6), (Z,), weights(ref.symmetric(KNN_6)) | one(STUDENT, y=Z)
    ),
    "InfoNC-t-SNE": Case(
        (NEGATIVES,),
        (Z, NEGATIVES),
        weights(FIRST) | inside(one(STUDENT, y=Z)),
        dict(negatives=NEGATIVES[:, 1:]),
    ),
    "t-SimCNE": Case((VIEWS,), (Z,), one(STUDENT, z=Z), dict(views=VIEWS)),
    "t-SimCLR": Case((VIEWS,), (Z,), one(STUDENT, z=Z), dict(views=VIEWS)),
    "t-CLIP": Case(PAIRS, (Z, U), two(STUDENT, image=Z, text=U)),
    "t-SupCon": Case((LABELS,), (Z,), one(STUDENT, z=Z), dict(labels=LABELS)),
    "harmonic loss": Case(LABELED, (Z, W), two(STUDENT, z=Z, w=W), dict(labels=LABELS)),
    # ---- q shares clusters
    "k-means": Case((X,), (PHI,), P_SETS | PHI_LEAF),
    "t k-means": Case((X,), (PHI,), P_SETS | p(dof="dof") | PHI_LEAF),
    "cluster balance": Case(PAIRS, (PHI,), PHI_LEAF),
    "spectral clustering": Case((X,), (PHI,), P_SETS | PHI_LEAF),
    "normalized cuts": Case(
        (GRAPH / DEGREE,),
        (PHI, DEGREE),
        p(row=("ratio", GRAPH / DEGREE), temperature="temperature")
        | PHI_LEAF
        | q(weight=("degree", DEGREE)),
    ),
    "DCD": Case((GRAPH,), (PHI,), weights(LOG_GRAPH) | PHI_LEAF, host=True),
    "InfoNCE clustering": Case(
        (VIEWS,),
        (PHI,),
        p(alpha="p_alpha") | q(alpha="q_alpha") | inside(PHI_LEAF),
        dict(views=VIEWS),
    ),
    "co-clustering": Case(PAIRS, (PHI, PSI), two({}, phi=PHI, psi=PSI)),
    "supervised clustering": Case((LABELS,), (PHI,), PHI_LEAF, dict(labels=LABELS)),
    "information gain": Case(
        LABELED, (PHI, THETA), two({}, phi=PHI, psi=THETA), dict(labels=LABELS)
    ),
    # ---- beyond the grid
    "NCA": Case(
        (PAIRED, CLASS),
        (Z, PAIRED, CLASS),
        inside(one(SCALE, z=Z)),
        dict(labels=PAIRED),
    ),
    "RSLVQ": Case(
        LABELED,
        (Z, MIXTURES),
        inside(two(SCALE, z=Z, prototypes=MIXTURES.reshape(-1, 3))),
        dict(labels=LABELS, owner=np.repeat(CLASS, 2)),
    ),
    "UMAP": Case(
        (X, 3),
        (Z,),
        p(2, logit=("log_weights", ref.fuzzy_union(X, 3)))
        | inside(one(q(a="a", b="b"), y=Z)),
    ),
    "UMAP, negative sampling": Case(
        (NEGATIVES,),
        (Z, NEGATIVES),
        inside(inside(one(q(a="a", b="b"), y=Z))),
        dict(edges=NEGATIVES[:, 0], negatives=NEGATIVES[:, 1:]),
    ),
    "skip-gram, negative sampling": Case(
        (LABELS, CLASS, WORDS),
        (Z, W, WORDS),
        inside(inside(two(HOT, u=Z, v=W))),
        dict(contexts=LABELS, negatives=WORDS[:, 1:]),
    ),
    "skip-gram": Case(LABELED, (Z, W), two(HOT, u=Z, v=W), dict(contexts=LABELS)),
    "PLSA": Case(
        (COUNTS,),
        (PHI, PSI[:6]),
        weights(np.log(COUNTS)) | two({}, phi=PHI, psi=PSI[:6]),
        host=True,
    ),
    "masked LM": Case(
        LABELED, (Z, W), two(HOT, hidden=Z, tokens=W), dict(masked=LABELS)
    ),
    "autoregression": Case(
        LABELED, (Z, W), two(HOT, hidden=Z, levels=W), dict(following=LABELS)
    ),
    "distillation": Case(
        ((X,), (LABELS, np.arange(5))),
        ((CAPTIONS,), (CAPTIONS,)),
        leaves("p[0]", row=("teacher", X), temperature="hot")
        | leaves("q[0]", row=("student", CAPTIONS), temperature="hot_student")
        | leaves("q[1]", row=("logits", CAPTIONS), temperature="temperature"),
        dict(labels=LABELS),
    ),
    "SOM": Case(
        (LOG_H,),
        (Z, W),
        p(row=("log_h", LOG_H), temperature="temperature") | two(SCALE, x=Z, units=W),
    ),
    "autoencoder": Case(
        (X,), (Y,), p(points=("x", X)) | q(mean=("decoded", Y), std="std")
    ),
    "sparse autoencoder": Case(
        ((X,), (RATES,)),
        ((Y,), (ON,)),
        leaves("p[0]", points=("x", X))
        | leaves("q[0]", mean=("decoded", Y), std="std")
        | leaves("p[1]", row=("rate", RATES), temperature="temperature")
        | leaves("q[1]", row=("on", ON), temperature="temperature_on"),
    ),
    "denoising autoencoder": Case(
        (X,), (Y,), p(points=("x", X)) | q(mean=("decoded", Y), std="std")
    ),
    "k-medians": Case((Z, W), (Z, W), of_both_sides(CENTERS, "p.base")),
    "fuzzy c-means": Case((Z, W), (Z, W), of_both_sides(CENTERS)),
    "VAE": Case(
        (Z, STD, jax.random.key(7), SAMPLES),
        (log_joint, DECODER, X),
        p(mean=("mean", Z), std=("std", STD))
        | q(params=("decoder", DECODER), anchors=("x", X)),
    ),
    "diffusion": Case(
        (Z, STD),
        (U, NARROW),
        p(mean=("posterior", Z), std=("posterior_std", STD))
        | q(mean=("mean", U), std=("std", NARROW)),
    ),
    "Gaussian mixture": Case((Z, *MIXTURE), (Z, *MIXTURE), of_both_sides(PARTS)),
    "ICA": Case((Z, MODELS), (Z, MODELS), of_both_sides(OF_MODELS)),
}


# Rows whose p, q and loss are the same functions, of other evidence.
TWINS = [
    {"SimCLR", "SupCon"},
    {"cross-entropy", "skip-gram", "masked LM", "autoregression"},
    {"PCA", "LDA"},
    {"kernel PCA", "Isomap"},
    {"Laplacian eigenmaps", "LPP"},
    {"VICReg*", "average-margin SupCon"},
    {"PLS-SVD", "CCA", "class means"},
    {"t-SimCNE", "t-SupCon"},
    {"k-means", "spectral clustering"},
    {"cluster balance", "information gain"},
    {"DCD", "PLSA"},
    {"autoencoder", "denoising autoencoder"},
]


# ------------------------------------------------------- one row, built and measured


def cast(inputs, *dtypes):
    """Floats in these types, one after the other; ids in 32 bits; the rest as it is."""

    def convert(x):
        if isinstance(x, tuple):  # the arguments of a part of a sum
            return cast(x, *dtypes)
        if not isinstance(x, np.ndarray):
            return x
        steps = dtypes if x.dtype.kind == "f" else (np.int32,)
        return jnp.asarray(ft.reduce(np.ndarray.astype, steps, x))

    return tuple(map(convert, inputs))


@ft.cache
def build(name, *dtypes):
    """p and q with the learned numbers, from inputs cast to these types in turn."""
    case, cell = CASES[name], icon.TABLE[name]
    safe = [np.float32 if t is jnp.bfloat16 and case.host else t for t in dtypes]
    return cell.neighborhoods(cast(case.evidence, *safe), cast(case.embedding, *dtypes))


def is_float(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def floats(pair):
    """Every float leaf of (p, q), by its path."""
    found, _ = jax.tree_util.tree_flatten_with_path(pair)
    name = lambda path: "pq"[path[0].idx] + jax.tree_util.keystr(path[1:])
    return {name(path): leaf for path, leaf in found if is_float(leaf)}


def nudged(pair):
    """Log-weights without ties and, read as probabilities, without certainty."""

    def nudge(path, leaf):
        if not jax.tree_util.keystr(path).endswith(".logit"):
            return leaf
        shift = np.random.default_rng(1).uniform(0.1, 0.6, leaf.shape)
        return jnp.asarray(np.asarray(leaf) - shift.astype(leaf.dtype))

    return jax.tree_util.tree_map_with_path(nudge, pair)


def split(pair):
    """Float leaves, other leaves, and how to put them together again."""
    found, structure = jax.tree.flatten(pair)
    learned = tuple(map(is_float, found))
    pick = lambda wanted: [
        x for x, flag in zip(found, learned, strict=True) if flag == wanted
    ]
    return pick(True), pick(False), (structure, learned)


def loss_of(floats, rest, form, loss, block):
    new, old, (structure, learned) = iter(floats), iter(rest), form
    p, q = structure.unflatten([next(new if flag else old) for flag in learned])
    return loss(p, q, block=block)


SMALL = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
AS_USERS = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
}
COMPILED = {
    optimized: jax.jit(
        jax.value_and_grad(loss_of),
        static_argnames=("form", "loss", "block"),
        compiler_options=SMALL | (AS_USERS if optimized else QUICK),
    )
    for optimized in (False, True)
}


class Measured(NamedTuple):
    value: float
    gradient: dict  # by path


def program(name, pair, block=None):
    """Loss and gradient in the float leaves: a function, and what it is called with.

    Only float32, which users run, is compiled to be fast.
    """
    floats, rest, form = split(pair)
    optimized = {x.dtype for x in floats} == {np.dtype(np.float32)}
    options = dict(form=form, loss=icon.TABLE[name].loss, block=block)
    return COMPILED[optimized], (floats, rest), options


def by_path(pair, value, gradient):
    gradient = dict(zip(floats(pair), map(np.float64, gradient), strict=True))
    return Measured(float(value), gradient)


def measure(name, pair, block=None):
    run, args, options = program(name, pair, block)
    return by_path(pair, *run(*args, **options))


def interpreted(name, pair):
    """The same without a compiler, which takes more time than all else."""
    learned, rest, form = split(pair)
    fixed = dict(form=form, loss=icon.TABLE[name].loss, block=None)
    ask = jax.value_and_grad(ft.partial(loss_of, **fixed))
    return by_path(pair, *interpret(ask, learned, rest))


@jax.jit
def largest_score(p, q):
    """The largest finite score: a float32 keeps only so many of its digits."""
    if isinstance(p, tuple):
        return max(itertools.starmap(largest_score, zip(p, q, strict=True)))

    def of_anchor(i):
        at = p.support(i)[0] if p.shape[1] is None else slice(None)
        sizes = (jnp.abs(x.score(i, at)).astype(float) for x in (p, q))
        return [jnp.max(jnp.where(size < jnp.inf, size, 0)) for size in sizes]

    return sum(jax.tree.map(jnp.max, jax.vmap(of_anchor)(jnp.arange(p.shape[0]))))


def operations(jaxpr):
    """Every operation of a program, whatever it is nested in."""
    for step in jaxpr.eqns:
        inner = list(jaxprs_in_params(step.params))
        for each in inner:
            yield from operations(each)
        if not inner:
            yield step


# ------------------------------------------------------- what it should be


def edges_of(p):
    """The anchors and the candidates of the edges of a listed p."""
    while not isinstance(p, Graph):
        p = p.base
    return np.repeat(np.arange(p.shape[0]), np.diff(p.start)), np.asarray(p.index)


def arguments(name, pair):
    """The arguments of the reference, read from the leaves."""
    case, (p, _) = CASES[name], pair
    found = {case.leaves[k][0]: np.float64(v) for k, v in floats(pair).items()}
    if "log_weights" in found:
        found["edges"] = edges_of(p)
    if name == "VAE":
        found["noise"] = noise_of(p)
    return found | case.fixed


def noise_of(p):
    """What icon.normal draws: anchor i folds its own i into the key."""
    shape = (p.samples, p.mean.shape[1])
    dtype = np.promote_types(p.mean.dtype, np.float32)
    draw = lambda i: jax.random.normal(jax.random.fold_in(p.key, i), shape, dtype)
    return np.float64(jax.vmap(draw)(jnp.arange(p.shape[0])))


def complex_step(reference, given, argument):
    """The derivative, exactly: nothing is subtracted."""
    x, g = np.array(given[argument], complex), np.zeros(np.shape(given[argument]))
    for at in np.ndindex(g.shape):
        moved = x.copy()
        moved[at] += 1e-200j
        g[at] = np.imag(reference(**given | {argument: moved})) / 1e-200
    return g


def expected(name, given):
    """The paper's value, and its derivative in every leaf."""
    reference, paths = ref.REFERENCE[name], CASES[name].leaves
    gradient = {k: complex_step(reference, given, a) for k, (a, _) in paths.items()}
    return float(reference(**given)), gradient


def errors(found, wanted, tiny):
    """Each leaf's error in the gradient, relative to its norm.

    A leaf that hardly matters is judged by the `tiny` part of the whole gradient's
    norm, a number (temperature, dof) in float32 by all of it: it is a sum over all
    pairs in which attraction and repulsion cancel.
    """
    norm = lambda g: np.linalg.norm(np.ravel(g))
    whole = norm([norm(g) for g in wanted.values()])
    part = lambda g: 1.0 if g.ndim == 0 and tiny > TINY else tiny
    off = {path: norm(found[path] - g) for path, g in wanted.items()}
    size = {path: max(norm(g), part(g) * whole) for path, g in wanted.items()}
    return {path: off[path] and off[path] / (size[path] or TINY) for path in wanted}


@ft.cache
def in_double(name):
    """Measured and expected in double precision, off ties."""
    with jax.enable_x64(True):
        pair = nudged(build(name, float))
        return interpreted(name, pair), expected(name, arguments(name, pair))


TINY = 1e-6  # of the whole gradient: what counts as nothing in double precision
ROWS = pytest.mark.parametrize("name", CASES)
DIGITS = 1e-7, 2e-7  # of float32, in units of the largest score
UNIT_OF = {"distillation": 16.0}  # T² KL: KL is what is rounded
HALF = 4e-3  # two roundings to bfloat16
# the kernels, log-masses and ways to sum that are least alike
SOON = "CLIP", "PCA", "t-SNE", "VAE"
SOME = pytest.mark.parametrize("name", soon(CASES, *SOON))
OPTIMIZED = pytest.mark.parametrize("name", soon(CASES, "CLIP", "t-SNE"))
STRIPS = {
    "1": lambda n: 1,
    "7": lambda n: 7,
    "n": lambda n: n,
    "n + 1": lambda n: n + 1,
}


# ------------------------------------------------------- the tests


def test_every_row_has_a_reference_and_inputs():
    assert list(icon.TABLE) == list(ref.REFERENCE) == list(CASES)


@ROWS
def test_p_and_q_are_built_of_the_papers_numbers(name, x64):
    pair, reference = build(name, float), ref.REFERENCE[name]
    found, defaults = floats(pair), inspect.signature(reference).parameters
    assert set(found) == set(CASES[name].leaves)
    for path, (argument, value) in CASES[name].leaves.items():
        value = defaults[argument].default if value is None else value
        if path.endswith(".logit"):
            edges = edges_of(pair[0])
            assert set(zip(*edges, strict=True)) == set(
                zip(*np.nonzero(value > -np.inf), strict=True)
            )
            value = value[edges]
        # a learned number is the float32 of its logarithm
        rtol = 1e-8 if icon.TABLE[name].learned else 1e-9
        np.testing.assert_allclose(found[path], value, rtol=rtol, atol=1e-12)


@SOME
def test_the_value_of_the_papers_numbers_is_theirs(name, x64):
    pair = build(name, float)
    paper = float(ref.REFERENCE[name](**arguments(name, pair)))
    assert measure(name, pair).value == pytest.approx(paper, 1e-12)


@ROWS
def test_value_and_gradient_are_the_papers(name):
    found, (value, gradient) = in_double(name)
    assert abs(found.value - value) <= 1e-12 * max(abs(value), 1)
    assert max(errors(found.gradient, gradient, TINY).values()) <= 1e-8


@SOME
def test_a_compiler_changes_neither(name):
    read, _ = in_double(name)
    with jax.enable_x64(True):
        compiled = measure(name, nudged(build(name, float)))
    assert compiled.value == pytest.approx(read.value, 1e-12)
    assert max(errors(compiled.gradient, read.gradient, TINY).values()) <= 1e-8


@OPTIMIZED
def test_float32_keeps_its_digits(name):
    """Each error is no more than the rounding of a score, of 5 or of the largest."""
    pair = nudged(build(name, np.float32))
    found = measure(name, pair)
    value, gradient = expected(name, arguments(name, pair))
    off = abs(found.value - value) / DIGITS[0]
    scores = [0 if off <= abs(value) else off / UNIT_OF.get(name, 1)]
    for path, error in errors(found.gradient, gradient, 0.05).items():
        sums = 2 if gradient[path].ndim == 0 else 1
        scores.append(error / sums / DIGITS[1])
    assert max(scores) <= 5 or max(scores) <= largest_score(*pair)


@SOME
def test_bfloat16_input_is_summed_in_float32(name):
    """Bits are cast, filled in and copied, and two gradients of a leaf are added."""
    pair = nudged(build(name, jnp.bfloat16))
    run, args, options = program(name, pair)
    traced = run.trace(*args, **options).jaxpr
    in_half = {
        step.primitive.name
        for step in operations(traced.jaxpr)
        for x in (*step.invars, *step.outvars)
        if x.aval.dtype == jnp.bfloat16
    }
    assert in_half <= {"convert_element_type", "broadcast_in_dim", "add_any"}
    value, *gradient = traced.out_avals
    assert value.dtype == np.float32
    assert [g.dtype for g in gradient] == [x.dtype for x in args[0]]


@SOME
def test_p_and_q_of_bfloat16_are_those_of_its_numbers(name):
    found = floats(nudged(build(name, jnp.bfloat16)))
    with jax.enable_x64(True):
        wanted = floats(nudged(build(name, jnp.bfloat16, float)))
    assert found.keys() == wanted.keys()
    for path, leaf in wanted.items():
        error = np.linalg.norm(np.float64(found[path]) - np.float64(leaf))
        assert error <= HALF * np.linalg.norm(leaf), path


@pytest.mark.slow
@ROWS
def test_value_and_gradient_of_bfloat16_are_those_of_its_numbers(name):
    pair = nudged(build(name, jnp.bfloat16))
    found, noise = measure(name, pair), arguments(name, pair).get("noise")
    with jax.enable_x64(True):
        given = arguments(name, nudged(build(name, jnp.bfloat16, float)))
    given |= {} if noise is None else dict(noise=noise)
    value, gradient = expected(name, given)
    assert abs(found.value - value) <= HALF * max(abs(value), 1)
    assert max(errors(found.gradient, gradient, 0.05).values()) <= HALF


@pytest.mark.parametrize("name", ["SupCon", slow("t-SNE"), "neighborhood recall"])
@pytest.mark.parametrize("block", soon(STRIPS, "7"))
def test_strips_of_anchors_are_the_whole(name, block, x64):
    whole, _ = in_double(name)
    pair = nudged(build(name, float))
    strips = measure(name, pair, STRIPS[block](pair[0].shape[0]))
    assert strips.value == pytest.approx(whole.value, rel=1e-12, abs=1e-12)
    assert max(errors(strips.gradient, whole.gradient, TINY).values()) <= 1e-12


def by_code(made):
    """A function by what it does: itself, a partial, or a closure's code and cells."""
    if isinstance(made, ft.partial):
        options = tuple((k, by_code(v)) for k, v in sorted(made.keywords.items()))
        return by_code(made.func), tuple(map(by_code, made.args)), options
    if isinstance(made, dict):
        return tuple(sorted(made.items()))
    if not isinstance(made, types.FunctionType):
        return made
    code, cells = made.__code__, made.__closure__ or ()
    inside = tuple(by_code(cell.cell_contents) for cell in cells)
    return code.co_code, code.co_consts, code.co_names, code.co_argcount, inside


def test_rows_that_are_the_same_functions_are_these():
    groups = {}
    for name, cell in icon.TABLE.items():
        parts = tuple(map(by_code, (cell.p, cell.q, cell.loss)))
        groups.setdefault(parts, set()).add(name)
    assert [names for names in groups.values() if len(names) > 1] == TWINS


def test_every_two_rows_give_different_numbers():
    value = {name: in_double(name)[0].value for name in CASES}
    equal = [
        {a, b}
        for a, b in itertools.combinations(CASES, 2)
        if abs(value[a] - value[b]) <= 1e-9 * abs(value[a])
    ]
    assert all(any(pair <= group for group in TWINS) for pair in equal), equal
