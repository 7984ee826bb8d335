"""Is every row of the table the method that its paper describes?

A row is built as a user builds it. Every float leaf of its p and q is an argument of the
row's function in reference.py: the leaf must be the number that the paper says, and the
loss and its gradient in that leaf must be those of the paper's formula.
"""

import dataclasses
import functools as ft
import inspect
import types
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference as ref

import icon


# ------------------------------------------------------- inputs


RNG = np.random.default_rng(20250416)
N, CLASSES = 10, 4
IDS, CLASS = np.arange(N), np.arange(CLASSES)
VIEWS = IDS // 2
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 0, 3])  # the last is alone in its class
IN_COMPANY = IDS % CLASSES  # nobody is


def normal(*shape):
    return RNG.normal(size=shape)


def simplex(n, parts=16):
    """Rows of sixteenths, which sum to one in every float type."""
    return (RNG.multinomial(parts - CLASSES, np.ones(CLASSES) / CLASSES, n) + 1) / parts


def random_graph():
    """Symmetric, sparse, and nobody alone."""
    w = np.triu(RNG.uniform(0.2, 1, (N, N)) * (RNG.uniform(size=(N, N)) < 0.3), 2)
    w = w + np.diag(RNG.uniform(0.2, 1, N - 1), 1)
    return w + w.T


X, Z, U, W = normal(N, 5), normal(N, 3), normal(N, 3), normal(CLASSES, 3)
CAPTIONS, MANY, MIXTURES = normal(N, 5), normal(18, 3), normal(CLASSES, 2, 3)
PHI, PSI, THETA = simplex(N), simplex(N), simplex(CLASSES)
CENTERED, FLAT, GRAM = X - X.mean(0), Z - Z.mean(0), X @ X.T
GRAPH = random_graph()
LOG_GRAPH = np.where(GRAPH > 0, np.log(np.where(GRAPH > 0, GRAPH, 1)), -np.inf)
DEGREE = GRAPH.sum(1)
TRIPLETS = np.stack([(IDS + 1) % N, (IDS + 5) % N], 1)
STRANGERS = np.stack([(IDS + 1) % N, (IDS + 5) % N, (IDS + 7) % N], 1)
WORDS = np.stack([LABELS, (LABELS + 1) % CLASSES, (LABELS + 2) % CLASSES], 1)
LOG_H = -((normal(N, 1) - CLASS) ** 2) / 2
STD, DECODER = np.exp(normal(N, 3) / 2), normal(5, 3)
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
    fixed: dict = {}  # what the reference is told beside
    host: bool = False  # the evidence goes through scipy, which has no bfloat16


FIELDS = ("anchors", "candidates", "weight", "logit", "alpha", "mean", "std", "params")


def leaves(side, base=0, /, **names):
    """anchors=(y, Z): the leaf q.anchors is the argument y, which is Z.

    scale="scale": the leaf q.params['scale'] is the argument scale, at its default.
    """

    def path(leaf):
        if leaf in FIELDS:
            return f"{side}{'.base' * base}.{leaf}"
        kind = "own" if leaf == "row" else "params"
        return f"{side}{'.base' * base}.{kind}['{leaf}']"

    value = lambda said: (said, None) if isinstance(said, str) else said
    return {path(leaf): value(said) for leaf, said in names.items()}


p, q = ft.partial(leaves, "p"), ft.partial(leaves, "q")
SCALE, HOT = q(scale="scale"), q(temperature="temperature")
STUDENT = SCALE | q(dof="dof")


def weights(matrix):
    return p(logit=("log_weights", matrix))


def one(kernel, **anchors):
    """One set under a kernel: y=Z says which."""
    ((name, value),) = anchors.items()
    return q(anchors=(name, value)) | kernel


def two(kernel, **sets):
    """Two sets under a kernel, anchors and candidates in this order."""
    (name, value), (other, others) = sets.items()
    return q(anchors=(name, value), candidates=(other, others)) | kernel


def inside(found):
    """The same leaves, of what is wrapped."""
    return {path.replace("q.", "q.base.", 1): said for path, said in found.items()}


UNIT, UNIT_U = ref.unit(Z), ref.unit(U)
PAIRS, LABELED = (IDS, IDS), (LABELS, CLASS)
KNN_3 = ref.uniform(ref.nearest(X, 3), N)
GAUSSIAN_6 = ref.gaussian_perplexity(X, 6, 4.0)
STUDENT_9 = ref.student_perplexity(X, 9, 6.0)
FIRST = ref.uniform(TRIPLETS[:, :1], N)
P_SETS = p(anchors=("x", X), candidates=("candidates", X), scale="scale")
PHI_LEAF = q(anchors=("phi", PHI))

CASES = {
    # ---- q is Gaussian
    "SNE": Case((X, 6, 4.0), (Z,), weights(GAUSSIAN_6) | one(SCALE, y=Z)),
    "X-Sample CL": Case(
        (X,),
        (Z,),
        p(anchors=("g", ref.unit(X)), temperature="side_temperature") | one(HOT, u=UNIT),
    ),
    "Dual t-SNE": Case((X, None, 6.0), (Z,), weights(STUDENT_9) | one(SCALE, y=Z)),
    "uniformity": Case(PAIRS, (Z,), two(SCALE, x=Z, candidates=Z)),
    "SNE graph embedding": Case(
        (GRAPH,), (Z,), weights(LOG_GRAPH) | one(SCALE, y=Z), host=True
    ),
    "SNE, uniform affinities": Case((X, 3), (Z,), weights(KNN_3) | one(SCALE, y=Z)),
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
    "Laplacian eigenmaps": Case(
        (GRAPH,),
        (Z, DEGREE),
        weights(LOG_GRAPH)
        | two(SCALE, y=Z, candidates=Z)
        | q(weight=("degree", DEGREE)),
        host=True,
    ),
    "Isomap": Case(
        (GRAM,),
        (Z,),
        p(row=("gram", GRAM), temperature="gram_temperature")
        | two(HOT, y=Z, candidates=Z),
    ),
    "VICReg*": Case((VIEWS,), (Z,), one(SCALE, z=Z), dict(views=VIEWS)),
    "average-margin CLIP": Case(PAIRS, (Z, U), two(SCALE, u=Z, v=U)),
    "average-margin SupCon": Case((LABELS,), (Z,), one(SCALE, z=Z), dict(labels=LABELS)),
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
    "error rate": Case(LABELED, (Z, W), inside(two(HOT, z=Z, w=W)), dict(labels=LABELS)),
    # ---- q is Student's t
    "t-SNE": Case(
        (X, 6, 4.0), (Z,), weights(ref.symmetric(GAUSSIAN_6)) | one(STUDENT, y=Z)
    ),
    "doubly t-SNE": Case(
        (X, None, 6.0), (Z,), weights(ref.symmetric(STUDENT_9)) | one(STUDENT, y=Z)
    ),
    "heavy-tailed uniformity": Case(PAIRS, (Z,), two(STUDENT, x=Z, candidates=Z)),
    "t-SNE graph embedding": Case(
        (GRAPH,), (Z,), weights(LOG_GRAPH) | one(STUDENT, y=Z), host=True
    ),
    "t-SNE, uniform affinities": Case(
        (X, 3), (Z,), weights(ref.symmetric(KNN_3)) | one(STUDENT, y=Z)
    ),
    "InfoNC-t-SNE": Case(
        (STRANGERS,),
        (Z, STRANGERS),
        weights(FIRST) | inside(one(STUDENT, y=Z)),
        dict(negatives=STRANGERS[:, 1:]),
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
        (IN_COMPANY, CLASS),
        (Z, IN_COMPANY, CLASS),
        inside(one(SCALE, z=Z)),
        dict(labels=IN_COMPANY),
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
    "skip-gram, negative sampling": Case(
        (LABELS, CLASS, WORDS),
        (Z, W, WORDS),
        inside(inside(two(HOT, u=Z, v=W))),
        dict(contexts=LABELS, negatives=WORDS[:, 1:]),
    ),
    "skip-gram": Case(LABELED, (Z, W), two(HOT, u=Z, v=W), dict(contexts=LABELS)),
    "masked LM": Case(
        LABELED, (Z, W), two(HOT, hidden=Z, tokens=W), dict(masked=LABELS)
    ),
    "distillation": Case(
        (X,),
        (CAPTIONS,),
        p(row=("teacher", X), temperature="hot")
        | q(row=("student_logits", CAPTIONS), temperature="hot_student"),
    ),
    "SOM": Case(
        (LOG_H,),
        (Z, W),
        p(row=("log_h", LOG_H), temperature="temperature")
        | two(SCALE, x=Z, units=W),
    ),
    "VAE": Case(
        (Z, STD, jax.random.key(7), SAMPLES),
        (log_joint, DECODER, X),
        p(mean=("mean", Z), std=("std", STD))
        | q(params=("decoder", DECODER), anchors=("x", X)),
    ),
}


# Rows whose p, q and loss are the same functions: the table tells them apart by what
# they are given.
TWINS = [
    {"SimCLR", "SupCon"},
    {"cross-entropy", "skip-gram", "masked LM"},
    {"VICReg*", "average-margin SupCon"},
    {"t-SimCNE", "t-SupCon"},
    {"k-means", "spectral clustering"},
    {"cluster balance", "information gain"},
]


# ------------------------------------------------------- one row, built and measured


def cast(inputs, *dtypes):
    """Floats of these types, one after the other; ids of 32 bits; the rest as it is."""

    def told(x):
        if not isinstance(x, np.ndarray):
            return x
        kinds = dtypes if x.dtype.kind == "f" else (np.int32,)
        return jnp.asarray(ft.reduce(lambda x, kind: x.astype(kind), kinds, x))

    return tuple(map(told, inputs))


def build(name, *dtypes):
    """p and q, from inputs of these types."""
    case, cell = CASES[name], icon.TABLE[name]
    safe = [np.float32 if t is jnp.bfloat16 and case.host else t for t in dtypes]
    return cell.p(*cast(case.evidence, *safe)), cell.q(*cast(case.embedding, *dtypes))


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
        return leaf - jnp.asarray(shift, leaf.dtype)

    return jax.tree_util.tree_map_with_path(nudge, pair)


def split(pair):
    """Float leaves, other leaves, and how to put them together again."""
    found, shape = jax.tree.flatten(pair)
    mine = tuple(map(is_float, found))
    pick = lambda wanted: [x for x, m in zip(found, mine, strict=True) if m == wanted]
    return pick(True), pick(False), (shape, mine)


def loss_of(learned, rest, form, loss, block):
    new, old, (shape, mine) = iter(learned), iter(rest), form
    p, q = jax.tree.unflatten(shape, [next(new if m else old) for m in mine])
    return loss(p, q, block=block), largest_score(p, q)


def largest_score(p, q):
    """The largest finite score: a float32 keeps only so many of its digits."""

    def of_anchor(i):
        at = p.support(i)[0] if p.shape[1] is None else slice(None)
        sizes = (jnp.abs(x.score(i, at)).astype(float) for x in (p, q))
        return [jnp.max(jnp.where(size < jnp.inf, size, 0)) for size in sizes]

    return sum(jax.tree.map(jnp.max, jax.vmap(of_anchor)(jnp.arange(p.shape[0]))))


STATIC = ("form", "loss", "block")
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
slope_of = jax.value_and_grad(loss_of, has_aux=True)
compiled = jax.jit(slope_of, static_argnames=STATIC)
quickly_compiled = jax.jit(slope_of, static_argnames=STATIC, compiler_options=QUICK)


class Measured(NamedTuple):
    value: float
    slopes: dict  # by path
    size: float  # of the largest score


def measure(name, pair, block=None):
    """Loss and gradient; only float32, which users run, is compiled with all care."""
    learned, rest, form = split(pair)
    alike = {x.dtype for x in learned} == {np.dtype(np.float32)}
    run = compiled if alike else quickly_compiled
    (value, size), slopes = run(
        learned, rest, form=form, loss=icon.TABLE[name].loss, block=block
    )
    slopes = map(np.float64, slopes)
    return Measured(float(value), dict(zip(floats(pair), slopes, strict=True)), size)


# ------------------------------------------------------- what it should be


def edges_of(p):
    """Whom a listed p lists: anchors and candidates."""
    while not hasattr(p, "logit"):
        p = p.base
    return np.repeat(np.arange(p.shape[0]), np.diff(p.start)), np.asarray(p.index)


def arguments(name, pair):
    """What the reference is told, read from the leaves."""
    case, (p, _) = CASES[name], pair
    told = {case.leaves[k][0]: np.float64(v) for k, v in floats(pair).items()}
    if "log_weights" in told:
        told["edges"] = edges_of(p)
    if name == "VAE":
        told["noise"] = noise_of(p)
    return told | case.fixed


def noise_of(p):
    """What icon.normal draws: anchor i folds its own i into the key."""
    shape, dtype = (p.samples, p.mean.shape[1]), p.mean.dtype
    draw = lambda i: jax.random.normal(jax.random.fold_in(p.key, i), shape, dtype)
    return np.float64(jax.vmap(draw)(jnp.arange(p.shape[0])))


def complex_step(reference, told, argument):
    """The derivative, exactly: nothing is subtracted."""
    x, g = np.array(told[argument], complex), np.zeros(np.shape(told[argument]))
    for at in np.ndindex(g.shape):
        moved = x.copy()
        moved[at] += 1e-200j
        g[at] = np.imag(reference(**told | {argument: moved})) / 1e-200
    return g


def expected(name, told):
    """The paper's value, and its derivative in every leaf."""
    reference, paths = ref.REFERENCE[name], CASES[name].leaves
    slopes = {k: complex_step(reference, told, a) for k, (a, _) in paths.items()}
    return float(reference(**told)), slopes


def gap(found, wanted, floor):
    """The worst relative error of a leaf's gradient, by its norm.

    A leaf that hardly matters is judged by `floor` of the whole gradient's norm.
    """
    norm = lambda g: np.linalg.norm(np.ravel(g))
    whole = norm([norm(g) for g in wanted.values()])
    errors = {}
    for path, g in wanted.items():
        off = norm(found[path] - g)
        with np.errstate(divide="ignore"):
            errors[path] = off and off / np.float64(max(norm(g), floor * whole))
    return max(errors.values()), max(errors, key=errors.get)
