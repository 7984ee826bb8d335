"""Is every bad input refused, by its name, with what came?

One table over all public functions: a new one without rows fails. Each row is a call
that must raise InvalidInput, and the argument that it must blame.
"""

import functools as ft
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse as sp

import icon


N, D = 4, 2
X = np.arange(1.0, 1 + N * D, dtype=np.float32).reshape(N, D)
IDS = np.array([0, 0, 1, 1])
LISTED = np.array([[1, 2], [0, 2], [0, 1], [0, 1]])
FAR = np.ones((N, 2), np.float32)
PHI = np.full((N, 2), 0.5, np.float32)
W = np.ones((N, N), np.float32) - np.eye(N, dtype=np.float32)
KEY = jax.random.key(0)
P, Q = icon.same(IDS), icon.dot(X)
GRAPH = icon.graph(W)
CLOUD = icon.normal(X, X, KEY)
TAKEN_ON_THE_HOST = ("nothing", "sparse", "integers", "booleans", "beyond float32")
ITSELF, P_OF_OTHERS = icon.same(range(N), range(N)), icon.same(range(N), range(2))
ONES = np.stack([np.eye(D), 2 * np.eye(D)])
SGD = optax.sgd(0.1)


def with_entry(x, value, at=(0, 0), dtype=np.float32):
    x = np.array(x, dtype)
    x[at] = value
    return x


# ------------------------------------------------------- what is wrong, in general


class Broken:
    """What NumPy cannot make an array of."""

    def __array__(self, *_, **__):
        raise RuntimeError("no array today")


GONE = jnp.array(X) + 0
GONE.delete()  # as a donated array is


def matrices(x):
    """Arguments that are no matrix of finite floats."""
    x = np.asarray(x)
    return {
        "a vector": x[0],
        "a cube": x[None],
        "a number": 1.0,
        "empty": x[:0],
        "no columns": x[:, :0],
        "integers": x.astype(int),
        "booleans": x > 0,
        "complex": x.astype(complex),
        "strings": x.astype(str),
        "objects": x.astype(object),
        "dates": x.astype(int).astype("datetime64[s]"),
        "ragged": [[1.0], [1.0, 2.0]],
        "nothing": None,
        "a word": "x",
        "a dict": {},
        "sparse": sp.csr_array(x),
        "nan": with_entry(x, np.nan),
        "inf": with_entry(x, np.inf),
        "masked": np.ma.masked_array(x, x == x[0, 0]),
        "random keys": jax.random.split(KEY, x.shape),
        "deleted": GONE,
        "broken": Broken(),
        "beyond float32": with_entry(x, 1e39, dtype=np.float64),
        "far below": with_entry(x, -1e300, dtype=np.float64),
    }


def vectors_of_ids(x):
    x = np.asarray(x)
    return {
        "a column": x[:, None],
        "a number": 1,
        "empty": x[:0],
        "floats": x.astype(float),
        "complex": x.astype(complex),
        "strings": x.astype(str),
        "objects": x.astype(object),
        "ragged": [[1], [1, 2]],
        "a word": "x",
        "nan": np.array([0, np.nan, 1, 1]),
        "beyond int32": x + 2**40,
        "below int32": x - 2**40,
        "just beyond": x + 2**31,
        "unsigned": x.astype(np.uint64) + np.uint64(2**63),
        "sparse": sp.csr_array(x[None]),
    }


def lists(x):
    x = np.asarray(x)
    return {
        "a vector": x[0],
        "empty": x[:0],
        "floats": x.astype(float),
        "strings": x.astype(str),
        "nothing": None,
        "ragged": [[1], [0, 1]],
        "beyond int32": x + 2**40,
        "negative": np.where(x == 1, -1, x),
        "out of range": np.where(x == 2, 99, x),
    }


def positives(*more):
    return {
        "zero": 0.0,
        "negative": -1.0,
        "nan": np.nan,
        "a word": "x",
        "nothing": None,
        "complex": 1j,
        "two numbers": np.ones(2),
        "a list of words": ["x"],
        "an object": object(),
        "yes": True,
        "a boolean": np.bool(True),
        "beyond float32": 1e39,
        "far beyond": 1e300,
        "a huge integer": 10**400,
        "subnormal": 1e-40,
        "least of all": 1e-45,
        "beyond float64": 1e-300,
        "minus inf": -np.inf,
        **{str(x): x for x in more},
    }


BEYOND = "beyond float32", "far beyond"  # degrees of freedom of a Gaussian
SMALL = "zero", "subnormal", "least of all", "beyond float64"


def weights(size):
    one = np.ones(size)
    return {
        "negative": np.where(np.arange(size) == 1, -1.0, one),
        "nan": one * np.nan,
        "inf": one * np.inf,
        "zeros only": one * 0,
        "too few": one[:-1],
        "too many": np.ones(size + 1),
        "a matrix": one[None],
        "a number": 1.0,
        "words": one.astype(str),
        "complex": one * 1j,
        "sparse": sp.csr_array(one[None]),
        "beyond float32": one * 1e39,
        "subnormal": one * 1e-40,
        "booleans": one > 0,
    }


def counts(*more):
    return {
        "zero": 0,
        "negative": -1,
        "a float": 2.0,
        "a word": "2",
        "yes": True,
        "nothing": None,
        "an array": np.ones(2, int),
        **{str(x): x for x in more},
    }


def fractions():
    keep = positives(1.5, -0.1, np.inf)
    return {name: bad for name, bad in keep.items() if name not in SMALL}


def functions():
    """What cannot be called with so many arguments."""
    return {
        "a word": "x",
        "nothing": None,
        "a number": 1.0,
        "an array": X,
        "too few arguments": lambda: 0.0,
        "too many": lambda a, b, c, d, e, f: 0.0,
    }


def keys():
    return {
        "a seed": 0,
        "many": jax.random.split(KEY, 3),
        "floats": np.zeros(2, np.float32),
        "a word": "key",
        "a list": [0, 1],
    }


NO_BOOLEANS = {"a word": "no", "one": 1, "nothing": None, "an array": np.array(True)}


def strangers():
    """Objects that are no neighbourhood."""
    return {"an array": X, "nothing": None, "a word": "t-SNE", "a function": len}


def rows(call, **arguments):
    """Rows for each argument, everything else as it should be."""
    return [
        (f"{argument}: {what}", argument, ft.partial(call, **{argument: bad}))
        for argument, values in arguments.items()
        for what, bad in values.items()
    ]


# ------------------------------------------------------- what each function takes


def two_sets(make, **more):
    call = lambda anchors=X, candidates=None, **k: make(anchors, candidates, **k)
    others = matrices(X) | {"other columns": np.ones((N, 3), np.float32)}
    del others["nothing"]
    return [*rows(call, anchors=matrices(X), candidates=others, **more)]


def each_scale(make):
    call = lambda scale: make(X, scale=scale)
    bad = positives() | {
        "one too many": np.ones(N + 1),
        "one is zero": np.array([1.0, 0, 1, 1]),
        "a column": np.ones((N, 1)),
    }
    return [*rows(call, scale=bad)]


def flat(params, anchor, z):
    return jnp.sum(z) * 0.0


def kept(params, batch):
    return batch


def wrong_kernel(a, b):
    return jnp.zeros(())


def points(anchors=X, candidates=None, kernel=lambda a, b: b @ a, **options):
    return icon.points(kernel, anchors, candidates, **options)


LEAVES = {
    "nothing": {},
    "a number": 1.0,
    "lengths": dict(a=np.ones(3), b=np.ones(4)),
    "empty": np.ones((0, 2)),
}


def same(anchors=IDS, candidates=None, ignore=None):
    return icon.same(anchors, candidates, ignore=ignore)


BOTH = "same(anchors, candidates)"


def entropic(index=LISTED, distance=FAR, perplexity=1.5, candidates=None):
    return icon.entropic(index, distance, perplexity=perplexity, candidates=candidates)


INDEX = lists(LISTED) | {
    "itself": np.array([[0, 1], [0, 2], [0, 1], [0, 1]]),
    "twice": np.array([[1, 1], [0, 2], [0, 1], [0, 1]]),
}
CANDIDATES = {k: v for k, v in counts().items() if k != "nothing"}
DISTANCES = matrices(FAR) | {
    "negative": with_entry(FAR, -1.0),
    "another shape": np.ones((N, 3), np.float32),
}


def verb(loss):
    def call(p=P, q=Q, **options):
        return loss(p, q, **options)

    unlike = {
        "other candidates": icon.dot(X, X[:3]),
        "other anchors": icon.dot(X[:3]),
        "a continuum": CLOUD,
        "transposed": icon.dot(X[:3], X),
    }
    made = [*rows(call, p=strangers(), q=strangers() | unlike)]
    if loss is not icon.per_anchor:
        block = {k: v for k, v in counts().items() if k != "nothing"}
        axes = {"not there": "data", "a number": 3, "a list": ["data"]}
        made += rows(call, weight=weights(N), block=block, axis_name=axes)
    return made


def with_joint(loss, blamed):
    call = ft.partial(loss, P, Q, joint=True)
    weight = np.ones(N) if blamed == "weight" else None
    booleans = rows(ft.partial(loss, P, Q), joint=NO_BOOLEANS)
    return [("joint", blamed, ft.partial(call, weight=weight)), *booleans]


def turned(p=P, q=Q):
    return icon.both_ways(icon.kl)(p, q)


def swapped(p=P, q=Q):
    return icon.reverse(icon.kl)(p, q)


NO_OPTIMIZERS = {"a word": "sgd", "nothing": None, "a rate": 0.1, "a function": len}
NO_CALLBACKS = {
    **{"nothing": None, "a function": print, "a word": "print", "words": ["print"]},
    "too few arguments": [lambda step: True],
}
NO_DISTRIBUTIONS = {
    "wide": icon.wide(Q),
    "wide, order 2": icon.wide(Q, 2),
    "sharp": icon.sharp(Q),
    "sampled": icon.sampled(Q, KEY, 2),
    "smooth of wide": icon.smooth(icon.wide(Q), 0.1),
    "a mix with sharp": icon.mix(Q, icon.sharp(Q), weights=[1.0, 1.0]),
    "margin of wide": icon.margin(icon.wide(Q), P, 0.5),
    "among sharp": icon.among(icon.sharp(Q), LISTED),
}


def descent(loss=lambda z: jnp.sum(z), z=X, optimizer=SGD, steps=1, every=1, **more):
    return icon.minimize(loss, z, optimizer, steps, every=every, **more)


def training(
    *,
    key=KEY,
    batches=lambda key, epoch: [],
    params=X,
    loss=lambda *a: jnp.zeros(()),
    optimizer=SGD,
    callbacks=(),
    carried=None,
    **how,
):
    if carried is not None:
        loss = lambda params, batch, key, carried: (jnp.zeros(()), carried)
    how |= dict(callbacks=callbacks, carried=carried)
    return icon.fit(loss, params, batches, optimizer, key, **how)


def no_distances():
    """Matrices that are no distances."""
    twice = sp.csr_array((np.ones(2, np.float32), ([0, 1], [1, 0])), shape=(N, N))
    return {k: v for k, v in matrices(W).items() if k != "sparse"} | {
        "not square": W[:2],
        "negative": with_entry(with_entry(W, -1.0, (1, 2)), -1.0, (2, 1)),
        "not symmetric": with_entry(W, 1.001, (1, 2)),
        "sparse and not square": sp.csr_array(W[:2]),
        "sparse and negative": sp.csr_array(-W),
        "sparse and nan": sp.csr_array(with_entry(W, np.nan, (0, 1))),
        "sparse and short": twice,
        "sparse and integers": sp.csr_array(W.astype(int)),
    }


TABLE = {
    "divergence": [
        *rows(icon.divergence, f=functions()),
        *rows(
            lambda outer: icon.divergence(np.maximum, outer),
            outer={k: v for k, v in functions().items() if k != "nothing"},
        ),
        *verb(icon.divergence(lambda p, log_q: p - np.e * log_q)),
        *rows(lambda q: icon.tv(P, q), q=NO_DISTRIBUTIONS),
        *rows(lambda q: icon.jsd(P, q), q=NO_DISTRIBUTIONS),
        *rows(lambda q: icon.hellinger(P, q), q=NO_DISTRIBUTIONS),
    ],
    "among": rows(
        lambda q=Q, index=LISTED: icon.among(q, index),
        q=strangers(),
        index=lists(LISTED) | {"other anchors": LISTED[:3]},
    ),
    "bernoulli": rows(icon.bernoulli, q=strangers() | {"a continuum": CLOUD}),
    "both_ways": [
        *rows(turned, p=strangers(), q=strangers()),
        *rows(icon.both_ways, loss=functions() | {"a loss": icon.kl(P, Q)}),
        ("one set against two", "q", lambda: turned(icon.same(IDS, IDS), Q)),
        ("two sets against one", "q", lambda: turned(P, icon.cosine(X, X))),
        ("a scale each", "q", lambda: turned(q=icon.gaussian(X, scale=np.ones(N)))),
        (
            "one for each of fewer anchors",
            "weight",
            lambda: icon.both_ways(icon.kl)(
                icon.same(IDS[:3], IDS), icon.dot(X[:3], X), weight=np.ones(3)
            ),
        ),
    ],
    "clusters": [
        *rows(
            icon.clusters,
            memberships=matrices(PHI)
            | {"negative": PHI + [[1, -1]], "not one": PHI * 0.9, "zeros": PHI * 0},
        ),
        *rows(
            ft.partial(icon.clusters, PHI),
            candidates={k: v for k, v in matrices(PHI).items() if k != "nothing"}
            | {"negative": with_entry(PHI, -0.1), "clusters": np.full((N, 3), 1 / 3)},
            candidate_weight=weights(N),
            size=weights(PHI.shape[1]),
        ),
    ],
    "components": [
        *rows(
            lambda anchors=X, mean=X[:2], covariance=(1.0, 1.0), **weight: (
                icon.components(anchors, mean, covariance, **weight)
            ),
            anchors=matrices(X),
            mean=matrices(X[:2]) | {"other columns": np.ones((2, 3), np.float32)},
            covariance={k: v for k, v in positives().items() if k != "two numbers"}
            | {
                "three": np.ones(3),
                "a matrix for all": np.eye(3),
                "a row of zeros": np.zeros((2, D)),
                "indefinite": np.ones((2, D, D)) - 2 * np.eye(D),
                "singular": np.ones((2, D, D)),
            },
            weight=weights(2),
        ),
    ],
    "cosine": two_sets(icon.cosine, temperature=positives()),
    "cross_entropy": verb(icon.cross_entropy)
    + with_joint(icon.cross_entropy, "weight"),
    "dense": rows(icon.dense, p=strangers() | {"a continuum": CLOUD}),
    "deterministic": rows(
        icon.deterministic, on={"a word": "no", "one": 1, "nothing": None}
    ),
    "density": [
        *rows(
            lambda log_density=flat, anchors=X: icon.density(log_density, 1.0, anchors),
            log_density=functions(),
            anchors=LEAVES,
        ),
        ("as p", "p", lambda: icon.kl(icon.density(flat, 1.0, X), CLOUD)),
    ],
    "dirac": rows(icon.dirac, points=matrices(X)),
    "dot": two_sets(icon.dot, temperature=positives()),
    "entropic": rows(
        entropic,
        index=INDEX,
        distance=DISTANCES,
        perplexity={k: v for k, v in positives(2.5, 0.5).items() if "two" not in k}
        | {
            "infinite": np.inf,
            "a matrix": np.ones((2, 2)),
            "none at all": [],
            "one too high": [1.5, 2.5],
            "one is zero": np.array([1.5, 0.0]),
        },
        candidates=CANDIDATES,
    ),
    "fit": rows(
        training,
        key=keys(),
        batches=functions() | {"a list": [X]},
        loss=functions(),
        optimizer=NO_OPTIMIZERS,
        callbacks=NO_CALLBACKS,
        params={
            "integers": X.astype(int),
            "nan": with_entry(X, np.nan),
            "words": ["x"],
        },
        carried={"words": ["x"]},
        ema={"below 0": -0.1, "one": 1.0, "nan": np.nan, "a word": "x"},
        checkpoint={"a number": 3, "a list": [1]},
        save_every={"none": 0, "a half": 0.5, "a word": "x"},
    ),
    "fuzzy": rows(
        lambda index=LISTED, distance=FAR, candidates=None: icon.fuzzy(
            index, distance, candidates=candidates
        ),
        index=INDEX,
        distance=DISTANCES,
        candidates=CANDIDATES,
    ),
    "fixed_scale": rows(
        lambda index=LISTED, distance=FAR, scale=1.0, candidates=None: icon.fixed_scale(
            index, distance, scale=scale, candidates=candidates
        ),
        index=INDEX,
        distance=DISTANCES,
        scale=positives() | {"far too small": 1e-30, "too many": np.ones(N + 1)},
        candidates=CANDIDATES,
    ),
    "self_tuning": rows(
        lambda index=LISTED, distance=FAR, rank=7, candidates=None: icon.self_tuning(
            index, distance, rank=rank, candidates=candidates
        ),
        index=INDEX,
        distance=DISTANCES,
        rank=counts(),
        candidates=CANDIDATES,
    ),
    "gains": rows(
        lambda learning_rate=1.0, momentum=0.8, longest=5.0: icon.gains(
            learning_rate, momentum, longest
        ),
        learning_rate=positives(),
        momentum={"one": 1.0, "negative": -0.1, "nan": np.nan, "a word": "0.8"},
        longest=positives(),
    ),
    "gaussian": two_sets(icon.gaussian) + each_scale(icon.gaussian),
    "graph": rows(
        icon.graph,
        matrix={k: v for k, v in matrices(W).items() if k != "sparse"}
        | {
            "negative": with_entry(W, -1.0),
            "no edge": 0 * W,
            "no entry": sp.csr_array(W.shape),
            "sparse and negative": sp.csr_array(with_entry(W, -1.0)),
            "sparse and nan": sp.csr_array(with_entry(W, np.nan)),
            "sparse and complex": sp.csr_array(W.astype(complex)),
            "sparse and empty": sp.csr_array((0, 4)),
        },
    ),
    "grouped": rows(
        lambda q=Q, groups=IDS, count=2: icon.grouped(q, groups, count),
        q=strangers(),
        groups=vectors_of_ids(IDS) | {"out of range": IDS + 1, "too few": IDS[:3]},
        count=counts(2**31),
    ),
    "hard": rows(lambda q=Q, k=1: icon.hard(q, k), q=strangers(), k=counts(4, 100)),
    "hellinger": verb(icon.hellinger),
    "hinge": rows(
        lambda p=P, q=Q, m=1.0, **options: icon.hinge(p, q, m=m, **options),
        p=strangers() | {"other candidates": icon.same(IDS[:3])},
        q=strangers() | {"a continuum": CLOUD, "a graph": GRAPH},
        m={"nan": np.nan, "a word": "x", "two": np.ones(2), "nothing": None},
        weight=weights(N),
        block={k: v for k, v in counts().items() if k != "nothing"},
        axis_name={"not there": "data", "a number": 3, "a list": ["data"]},
    ),
    "grad_cache": [
        *rows(
            lambda encode=kept, loss=len, block=2: icon.grad_cache(encode, loss, block),
            encode=functions(),
            loss={"a word": "x", "nothing": None, "a number": 1.0},
            block=counts(),
        ),
        (
            "unlike rows",
            "batch",
            lambda: icon.grad_cache(kept, len)(0.0, (np.ones(3), np.ones(2))),
        ),
    ],
    "interpolated": [
        *rows(
            icon.interpolated,
            q=strangers()
            | {
                "a graph": GRAPH,
                "no distance": icon.dot(X),
                "no points": icon.same(IDS),
                "a scale each": icon.gaussian(X, scale=np.ones(N)),
                "weights": icon.reweigh(icon.gaussian(X), np.ones(N)),
                "a limit": icon.wide(icon.gaussian(X)),
            },
        ),
        *rows(
            ft.partial(icon.interpolated, icon.gaussian(X[:, :2])),
            spacing={"zero": 0.0, "negative": -1.0, "wide": 1.5, "nan": np.nan},
        ),
        *rows(
            ft.partial(icon.interpolated, icon.gaussian(X[:, :2]), spacing=0.4),
            order=counts(9) | {"two": 2},
            reach={"zero": 0.0, "negative": -1.0, "nan": np.nan, "a name": "far"},
        ),
        (
            "four dimensions",
            "spacing",
            lambda: icon.interpolated(icon.gaussian(np.eye(4)), spacing=0.4),
        ),
    ],
    "jsd": verb(icon.jsd),
    "kl": verb(icon.kl) + with_joint(icon.kl, "weight"),
    "knn": [
        *two_sets(lambda anchors, candidates: icon.knn(anchors, 1, candidates)),
        *rows(ft.partial(icon.knn, X), k=counts(N, 100)),
        *rows(ft.partial(icon.knn, X, candidates=X[:2]), k=counts(3)),
        *rows(
            ft.partial(icon.knn, X, 1),
            metric={
                **{"unknown": "hyperbolic", "nothing": None, "a number": 2},
                "too few arguments": lambda: X,
                "one distance": lambda a, b: jnp.sum(a[None] - b),
                "integers": lambda a, b: jnp.arange(len(b)),
                "nan": lambda a, b: jnp.full(len(b), np.nan),
                "negative": lambda a, b: 2 - jnp.sum((a[None] - b) ** 2, 1),
            },
        ),
        *rows(ft.partial(icon.knn, metric="precomputed", k=1), anchors=no_distances()),
        *rows(ft.partial(icon.knn, W, metric="precomputed"), k=counts(N, 100)),
        ("two sets", "candidates", lambda: icon.knn(W, 1, W, metric="precomputed")),
    ],
    "laplace": two_sets(icon.laplace, scale=positives()),
    "margin": [
        *rows(
            lambda q=Q, p=P, m=1.0: icon.margin(q, p, m),
            q=strangers() | {"a continuum": CLOUD},
            p=strangers() | {"other candidates": icon.same(IDS[:3])},
            m={"nan": np.nan, "a word": "x", "two": np.ones(2), "nothing": None},
        ),
    ],
    "mix": rows(
        lambda neighborhoods=(P, Q), weights=(0.5, 0.5): icon.mix(
            neighborhoods, weights
        ),
        neighborhoods={f"one is {k}": (P, v) for k, v in strangers().items()}
        | {
            "none": (),
            "a continuum": (P, CLOUD),
            "other candidates": (P, icon.same(IDS[:3])),
            "pairs": (P, icon.bernoulli(Q)),
        },
        weights={
            "negative": [-1.0, 1.0],
            "zeros": [0.0, 0.0],
            "nan": [np.nan, 1.0],
            "one": [1.0],
            "a word": "x",
        },
    ),
    "minimize": rows(
        descent,
        loss=functions()
        | {
            "no number": lambda z: z,
            "two": lambda z: (z.sum(), z.sum()),
            "an integer": lambda z: 3,
            "a word": lambda z: "x",
            "a boolean": lambda z: z[0, 0] > 0,
        },
        optimizer=NO_OPTIMIZERS,
        callbacks=NO_CALLBACKS,
        z={k: v for k, v in matrices(X).items() if k in ("integers", "nan", "inf")}
        | {"words": ["x"], "complex": X * 1j},
        steps={k: v for k, v in counts(2**31).items() if k != "zero"},
        first={k: v for k, v in counts(2**31).items() if k != "zero"},
        every=counts(2**31),
        args={"nothing": None, "a graph": GRAPH, "a list": [X]},
    ),
    "near": [
        *two_sets(lambda anchors, candidates: icon.near(anchors, 1, candidates)),
        *rows(ft.partial(icon.near, X), k=counts(N, 100)),
        *rows(
            ft.partial(icon.near, X, 1),
            metric={"unknown": "precomputed", "nothing": None, "a function": len},
            seed={"negative": -1, "a float": 2.0, "nothing": None, "huge": 2**32},
        ),
        ("traced", "anchors", lambda: jax.jit(lambda x: icon.near(x, 1))(X)),
    ],
    "normal": rows(
        lambda mean=X, std=X, key=KEY, samples=1: icon.normal(mean, std, key, samples),
        mean=matrices(X),
        std={k: v for k, v in matrices(X).items() if k != "a number"}
        | {"zero": X * 0, "negative": -X, "other": X[:3], "no scale": 0.0}
        | {"no lower factors": np.ones((N, D, D)), "other factors": W[:, :, None]}
        | {"no inverse": np.zeros((N, D, D))},
        key=keys(),
        samples=counts(2**31),
    )
    + [
        (
            "no key",
            "key",
            lambda: icon.kl(icon.normal(X, X), icon.density(flat, 1.0, X)),
        )
    ],
    "odds": rows(
        icon.odds,
        p=strangers()
        | {
            "weights above 1": icon.graph(2 * W),
            "scores above 0": icon.dot(X),
        },
    ),
    "per_anchor": verb(icon.per_anchor),
    "points": rows(
        points,
        anchors=LEAVES,
        candidates={k: v for k, v in LEAVES.items() if k != "nothing"},
        kernel=functions()
        | {
            "one score for all": wrong_kernel,
            "integers": lambda a, b: jnp.arange(len(b)),
            "two arrays": lambda a, b: (b @ a, b @ a),
            "a matrix": lambda a, b: b * a[None],
        },
        whole_rows={"a word": "yes", "one": 1, "nothing": None},
    ),
    "positive": [
        *rows(
            lambda start=1.0, low=0.01, high=100.0: icon.positive(
                start, low=low, high=high
            ),
            start=positives() | {"too low": 1e-3, "too high": 1e3},
            low=positives(),
            high=positives(),
        ),
        ("no room", "high", lambda: icon.positive(1.0, low=1.0, high=1.0)),
    ],
    "propagate": [
        *rows(
            lambda graph=GRAPH, steps=1, keep=None: icon.propagate(
                graph, steps, keep=keep
            ),
            graph=strangers() | {"points": Q, "wide": icon.graph(W[:2])},
            steps={k: v for k, v in counts(2**31).items() if k != "zero"},
            keep=CANDIDATES,
        ),
        *rows(
            lambda uniform: icon.propagate(GRAPH, 1, uniform=uniform),
            uniform=NO_BOOLEANS,
        ),
    ],
    "reverse": [
        *rows(icon.reverse, loss=functions() | {"a loss": icon.kl(P, Q)}),
        ("other candidates", "q", lambda: swapped(icon.same(IDS[:3]))),
        ("no neighborhood", "p", lambda: swapped(P, X)),
    ],
    "reweigh": rows(
        lambda q=Q, weight=tuple([1.0] * N): icon.reweigh(q, weight),
        q=strangers() | {"clusters": icon.clusters(PHI)},
        weight=weights(N),
    ),
    "same": [
        *rows(
            same,
            anchors={k: v for k, v in vectors_of_ids(IDS).items() if k != "strings"},
            ignore={
                "a vector": IDS,
                "a float": -1.0,
                "nan": np.nan,
                "a word": "x",
                "an object": object(),
                "beyond int32": 2**40,
            },
        ),
        *(
            (what, BOTH if name in ("a column", "a number") else who, call)
            for name, (what, who, call) in zip(
                vectors_of_ids(IDS),
                rows(same, candidates=vectors_of_ids(IDS)),
                strict=True,
            )
        ),
    ],
    "sampled": rows(
        lambda q=Q, key=KEY, count=2: icon.sampled(q, key, count),
        q=strangers()
        | {
            "a continuum": CLOUD,
            "a limit": icon.wide(Q),
            "a graph": GRAPH,
            "a list": icon.among(Q, LISTED),
        },
        key=keys(),
        count=counts(2**31),
    ),
    "sharded": rows(
        lambda q=Q, axis_name="data": icon.sharded(q, axis_name),
        q=strangers() | {"a list": icon.among(Q, LISTED), "a graph": GRAPH},
        axis_name={"nothing": None, "a number": 3},
    )
    + rows(
        lambda ring: icon.sharded(Q, "data", ring=ring),
        ring=NO_BOOLEANS,
    ),
    "scores": rows(
        lambda matrix=W, temperature=1.0: icon.scores(matrix, temperature=temperature),
        matrix=matrices(W),
        temperature=positives(),
    ),
    "sharp": rows(icon.sharp, q=strangers() | {"a graph": GRAPH}),
    "smooth": [
        *rows(
            lambda p=GRAPH, alpha=0.5, samples=1, key=KEY: icon.smooth(
                p, alpha, samples=samples, key=key
            ),
            p=strangers() | {"a continuum": CLOUD},
            alpha=fractions(),
            samples={k: v for k, v in counts(2**31).items() if k != "nothing"},
            key=keys() | {"nothing": None},
        ),
        ("everybody", "samples", lambda: icon.smooth(P, 0.5, samples=1, key=KEY)),
        ("no samples", "key", lambda: icon.smooth(GRAPH, 0.5, key=KEY)),
    ],
    "student_t": two_sets(
        icon.student_t,
        dof={k: v for k, v in positives().items() if k not in BEYOND},
        scale=positives(),
    ),
    "sources": rows(
        lambda anchors=X, unmixing=ONES, **weight: icon.sources(
            anchors, unmixing, **weight
        ),
        anchors=matrices(X),
        unmixing={
            "a matrix": ONES[0],
            "other columns": np.ones((2, D, D + 1)),
            "integers": ONES.astype(int),
            "nan": ONES * np.nan,
            "singular": 0 * ONES + 1,
            "nothing": None,
            "words": "W",
        },
        weight=weights(2),
    ),
    "symmetrize": rows(
        icon.symmetrize,
        graph=strangers() | {"points": Q, "wide": icon.graph(W[:2])},
    )
    + [
        (
            "union of weights above 1",
            "union",
            lambda: icon.symmetrize(icon.graph(2 * W), icon.union),
        )
    ]
    + rows(
        lambda combine: icon.symmetrize(icon.graph(2 * W), combine),
        combine=functions()
        | {
            "negative": lambda a, b: a - b - 5,
            "nan": lambda a, b: a * np.nan,
            "a number": lambda a, b: 1.0,
        },
    ),
    "terms": verb(icon.terms) + with_joint(icon.terms, "weight"),
    "tiled": rows(
        lambda q=Q, rows=4, columns=4: icon.tiled(q, rows, columns),
        q=strangers() | {"a limit": icon.wide(Q), "a graph": GRAPH},
        rows=counts(),
        columns=counts(),
    ),
    "tv": verb(icon.tv),
    "spectral": rows(
        lambda p=ITSELF, x=X, components=1, constraint=icon.orthonormal, **more: (
            icon.spectral(p, x, components=components, constraint=constraint, **more)
        ),
        p=strangers() | {"a continuum": CLOUD, "other candidates": P_OF_OTHERS},
        x={k: v for k, v in matrices(X).items() if k not in TAKEN_ON_THE_HOST}
        | {"other rows": X[:2], "sparse and nan": sp.csr_array(X * np.nan)}
        | {"three sets": (X, X, X), "a set of other rows": (X, X[:2])},
        components=counts(D + 1),
        constraint=functions(),
        kernel={k: v for k, v in functions().items() if k != "nothing"}
        | {"numbers of another shape": lambda a, b: np.ones(2)},
        weight=weights(N),
    ),
    "uniform": rows(
        lambda index=LISTED, **options: icon.uniform(index, **options),
        index=INDEX,
        candidates=CANDIDATES,
    ),
    "unnormalized": [
        *rows(icon.unnormalized, q=strangers() | {"a continuum": CLOUD}),
        ("as p", "p", lambda: icon.kl(icon.unnormalized(Q), Q)),
        ("under tv", "q", lambda: icon.tv(Q, icon.unnormalized(Q))),
    ],
    "wide": [
        *rows(icon.wide, q=strangers() | {"a graph": GRAPH}),
        *rows(ft.partial(icon.wide, Q), order=counts(3)),
    ],
}

# what a table of arguments says nothing about, and why
EXEMPT = {
    "Cell": "data: a row of the table",
    "DivergenceError": "raised, not called",
    "InvalidInput": "raised, not called",
    "PeerLost": "raised, not called",
    "Neighborhood": "a protocol",
    "TABLE": "data",
    "check": "looks at cells; test_cells has it",
    "orthonormal": "handed to spectral, and called by it",
    "whitened": "handed to spectral, and called by it",
    "data": "a module",
    "encoders": "a module",
    "evaluate": "a module",
    "plot": "a module",
    "estimators": "a module",
    "recipes": "a module",
    "union": "arithmetic, on whatever it is given",
}


def test_every_public_name_has_rows():
    assert set(TABLE) | set(EXEMPT) == set(icon.__all__)
    assert not set(TABLE) & set(EXEMPT)


# arguments that are taken as they are
FREE = {
    "params": "a pytree",
    "state": "a pytree",
    "kernel": "a function, where distances are given",
}


@pytest.mark.parametrize("name", TABLE)
def test_every_argument_has_rows_or_is_taken_as_it_is(name):
    blamed = {argument for _, argument, _ in TABLE[name]}
    arguments = inspect.signature(getattr(icon, name)).parameters
    assert set(arguments) <= blamed | set(FREE)


ROWS = [
    pytest.param(call, argument, id=f"{name}({what})")
    for name, rows in TABLE.items()
    for what, argument, call in rows
]


@pytest.mark.parametrize("call, argument", ROWS)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(icon.InvalidInput) as error:
        call()
    refused, text = error.value, str(error.value)
    assert refused.argument == argument
    assert text.startswith(f"{argument}: expected {refused.expected}")
    assert text.endswith(f"got {refused.got}") and len(text) < 300
    assert " at 0x" not in text


# ------------------------------------------------------- how it is said


TEXTS = {
    "both shapes": (
        lambda: icon.same(np.zeros(512, int), np.zeros((10, 1), int)),
        "same(anchors, candidates): expected two vectors, "
        "got shapes (512,) and (10, 1)",
    ),
    "the first bad entry": (
        lambda: icon.dot(with_entry(X, np.nan, (2, 1))),
        "anchors: expected finite numbers, got nan at row 2, column 1",
    ),
    "the dtype, and the cure": (
        lambda: icon.cosine(X.astype(np.int32)),
        "anchors: expected floats of rank 2, got dtype int32; "
        "cast it with astype(float)",
    ),
    "the shape": (
        lambda: icon.dot(X[0]),
        "anchors: expected floats of rank 2, got shape (2,)",
    ),
    "the number": (
        lambda: icon.dot(X, temperature=-0.5),
        "temperature: expected numbers above 0, got -0.5",
    ),
    "the range": (
        lambda: icon.knn(X, 4),
        "k: expected an integer from 1 to 3, got 4",
    ),
    "the row": (
        lambda: icon.uniform([[1, 2], [1, 0], [0, 1]]),
        "index: expected ids of others, each once, got a row 1 that lists itself; "
        "drop it, or pass candidates=",
    ),
    "big ids": (
        lambda: icon.same([1, 2**40]),
        "anchors: expected int32 ids; number them with np.unique(ids, "
        "return_inverse=True)[1], got 1099511627776.0 at row 1",
    ),
}


@pytest.mark.parametrize("what", TEXTS)
def test_it_says(what):
    call, text = TEXTS[what]
    with pytest.raises(icon.InvalidInput) as error:
        call()
    assert str(error.value) == text


# ------------------------------------------------------- what is no bad input


GOOD = {
    "lists": lambda: icon.dot([[1.0, 2.0], [3.0, 4.0]]),
    "float16": lambda: icon.dot(X.astype(np.float16)),
    "bfloat16": lambda: icon.dot(jnp.asarray(X, jnp.bfloat16)),
    "Fortran order": lambda: icon.dot(np.asfortranarray(X)),
    "strided": lambda: icon.dot(X[::2, ::-1]),
    "read-only": lambda: icon.dot(np.broadcast_to(X[0], (3, 2))),
    "big-endian": lambda: icon.dot(X.astype(">f4")),
    "longer than double": lambda: icon.dot(X.astype(np.longdouble)),
    "negative ids": lambda: icon.same([-1, -1, 5]),
    "ids of one byte": lambda: icon.same(np.uint8([200, 200, 3])),
    "the largest id": lambda: icon.same([2**31 - 1, -(2**31), -(2**31)]),
    "yes and no": lambda: icon.same([True, True, False]),
    "infinite dof": lambda: icon.student_t(X, dof=1e30),
    "a whole number": lambda: icon.dot(X, temperature=1),
    "a NumPy number": lambda: icon.dot(X, temperature=np.float64(0.5)),
    "k from NumPy": lambda: icon.uniform(icon.knn(X, np.int64(2))[0]),
    "one anchor": lambda: icon.dot(X[:1]),
    "-inf scores": lambda: icon.scores(with_entry(W, -np.inf)),
    "memberships of float16": lambda: icon.clusters(PHI.astype(np.float16)),
    "half the weights": lambda: icon.reweigh(Q, [1, 0, 1, 0]),
}


@pytest.mark.parametrize("what", GOOD)
def test_what_is_taken(what):
    assert np.isfinite(icon.dense(GOOD[what]())).all()


@pytest.mark.parametrize("number", [2**31, 2**32, 10**10, 2**63])
def test_an_integer_beyond_int32_is_the_same_number_as_a_float(number):
    q = icon.gaussian(X, scale=number)
    assert q.params["scale"] == np.float32(number)
    weighed = icon.reweigh(Q, np.array([number, 1, 1, 1], np.uint64))
    assert weighed.weight[0] == np.float32(number)


KNOWN = {
    "scores": lambda: icon.scores(W),
    "graph": lambda: icon.graph(W),
    "same": lambda: icon.same(IDS),
    "odds": lambda: icon.odds(icon.same(IDS)),
    "odds of a graph": lambda: icon.odds(icon.graph(W / 9)),
    "student_t": lambda: icon.student_t(X, dof=np.inf),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_is_looked_at_inside_of_a_jit_too(name):
    inside = jax.eval_shape(lambda: KNOWN[name]().log_mass(0))
    assert inside.shape == KNOWN[name]().log_mass(0).shape == ()
