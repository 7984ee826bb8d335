"""What is p built from? A task: rows of data, and the arguments made of them."""

import enum
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from icon import data as datasets
from icon._base import checks as check
from icon._loss import terms
from icon._search import knn
from icon._table import cells


BATCH, WORDS, WIDTH, NEAR = 256, 32, 128, 15
SECOND_VIEWS = 3  # of how many nearest neighbours


# ------------------------------------------------------- the data


class Budget(NamedTuple):
    """How long to train."""

    points: int = 1797  # more are sampled down, by the seed
    steps: int = 500  # of a free embedding
    batches: int = 600  # of a map
    restarts: int = 8  # of a clustering
    annealing: int = 50  # steps of each


FULL = Budget()
QUICK = Budget(points=500, steps=50, batches=40, restarts=1)


class Material(NamedTuple):
    """A data set, split once by a seed, and how long to train."""

    x: np.ndarray  # [n, d] or images [n, h, w]
    labels: np.ndarray  # [n]; zeros where there are none
    train: np.ndarray  # the rows that may be learned from
    test: np.ndarray
    classes: int
    seed: int
    budget: Budget
    labelled: bool

    @property
    def flat(self) -> np.ndarray:
        return self.x.reshape(len(self.x), -1)

    def centered(self) -> "Material":
        """The same data with the mean of the training rows at the origin."""
        return self._replace(x=self.x - self.x[self.train].mean(0))

    def undivided(self) -> "Material":
        """The same data with every row among the training rows."""
        every = np.arange(len(self.x))
        return self._replace(train=every, test=every[:0])


def material(data, seed: int = 0, budget: Budget = FULL) -> Material:
    """A data set made ready: sampled down to the budget, and split 70/30 by the seed.

    Args:
        data: an `icon.data.Dataset`.
        seed: decides the sample and the split.
        budget: how many points, steps, batches and restarts.

    Example:
        >>> import icon
        >>> m = icon.recipes.material(icon.data.digits())
        >>> len(m.train), len(m.test)
        (1258, 539)
    """
    made = "a data set: icon.data.load"
    n = len(check.instance("data", data, datasets.Dataset, made).features)
    check.require(n > 1, "data", f"{n} rows", "two rows or more")
    seed, budget = check.seed("seed", seed), _affordable(budget)
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[: budget.points])
    x = np.asarray(data.features if data.images is None else data.images)[chosen]
    labelled = data.labels is not None
    labels = np.asarray(data.labels)[chosen] if labelled else np.zeros(len(x), np.int32)
    train, test = datasets.split(len(x), seed)
    classes = int(labels.max()) + 1 if labelled else 10
    return Material(x, labels, train, test, classes, seed, budget, labelled)


def _affordable(budget: Budget) -> Budget:
    """A budget of counts, of two points or more."""
    check.instance("budget", budget, Budget, "a recipes.Budget")
    for name, value in budget._asdict().items():
        low = 2 if name == "points" else 1
        check.size(f"budget.{name}", value, low)
    return budget


# ------------------------------------------------------- what a task is


def _rows(x):
    return x


class Task(NamedTuple):
    """The arguments of p and q, and what of them is learned.

    `arguments` gets a batch by the names of its arrays, and a model: `model(x)` embeds
    rows, `model(x, name)` does so by another of the `views`, `model.extra` are further
    parameters that are learned, and `model.finish` brings them to where embeddings are.

    Args:
        arrays: what batches are cut from: by name, [n, ...] each.
        arguments: (model, key, **batch) -> (arguments of p, arguments of q).
        views: by the name of each model, the part of the rows that it embeds.
        follows: models that are moving averages of others, by name.
        extra: (key, width) -> further parameters that are learned.
        size: rows of a batch; None: all of them, and p is built once.
        start: [n, d], from where free embeddings start; None: the features.
        scored: (params) -> what is scored, of all rows; None: what the models make.
        loss: (p, q) -> what is descended; None: the loss of the cell.
    """

    arrays: dict[str, Any]
    arguments: Callable
    views: dict[str, Callable] = {"z": _rows}
    follows: dict[str, str] = {}
    extra: Callable = lambda key, width: ()
    size: int | None = BATCH
    start: Any = None
    scored: Callable | None = None
    loss: Callable | None = None


class Learned(enum.Enum):
    """By what a task can be learned."""

    POINTS = "an embedding of its own for every point"
    LINEAR_MAP = "an orthonormal map"
    NETWORK = "a network"


class Source(NamedTuple):
    """How a task is made of a data set."""

    task: Callable  # (material, *trained) -> Task
    learned: Learned = Learned.NETWORK
    after: tuple[str, ...] = ()  # rows of the table that are trained first


# ------------------------------------------------------- all rows at once


def _ids(x):
    return jnp.arange(len(x), dtype=jnp.int32)


def _at_once(m: Material, *evidence, start=None, **others) -> Task:
    """p of this evidence, q of the embedding of the training rows and these arrays."""

    def arguments(model, key, x, **others):
        return evidence, (model(x), *others.values())

    x = jnp.asarray(m.x[m.train])
    return Task(dict(x=x, **others), arguments, size=None, start=start)


def features(m: Material) -> Task:
    return _at_once(m, jnp.asarray(m.flat[m.train]))


def neighborhoods(m: Material) -> Task:
    """Features, with a perplexity of 30 or as much as they allow."""
    n = len(m.train)
    perplexity = min(30.0, (n - 1) / 3)
    near = min(n - 1, math.ceil(3 * perplexity))
    return _at_once(m, jnp.asarray(m.flat[m.train]), near, perplexity)


def items(m: Material) -> Task:
    return _at_once(m, _ids(m.train), _ids(m.train))


def centered(m: Material) -> Task:
    x = m.flat[m.train]
    return _at_once(m, jnp.asarray(x - x.mean(0)))


def _adjacency(x):
    """1 where either of two rows is among the nearest of the other; sparse."""
    import scipy.sparse as sp

    n, k = len(x), min(NEAR, len(x) - 1)
    index = np.asarray(knn(x, k)[0]).ravel()
    start = np.arange(0, n * k + 1, k, dtype=np.int32)
    one = sp.csr_array((np.ones(n * k, np.float32), index, start), shape=(n, n))
    return one.maximum(one.T)


def _spectral(weights, m: Material):
    """The first eigenvectors of the graph's normalised Laplacian, of variance 1."""
    from sklearn.manifold import spectral_embedding

    count = min(m.classes, weights.shape[0] - 1)
    vectors = spectral_embedding(
        weights, n_components=count, drop_first=False, random_state=m.seed
    )
    return np.asarray(vectors / vectors.std(), np.float32)


def adjacency(m: Material) -> Task:
    weights = _adjacency(m.flat[m.train])
    return _at_once(m, weights, start=_spectral(weights, m))


def with_degrees(m: Material) -> Task:
    weights = _adjacency(m.flat[m.train])
    return _at_once(m, weights, degree=jnp.asarray(weights.sum(1)))


def over_degrees(m: Material) -> Task:
    weights = _adjacency(m.flat[m.train])
    degree = weights.sum(1)
    matrix = jnp.asarray(weights.toarray() / degree[None])
    start = _spectral(weights, m)
    return _at_once(m, matrix, start=start, degree=jnp.asarray(degree))


def geodesics(m: Material) -> Task:
    """The Gram matrix of the lengths of the shortest paths along the graph."""
    from scipy.sparse.csgraph import shortest_path

    n = len(m.train)
    index, distance = map(np.asarray, knn(m.flat[m.train], min(NEAR, n - 1)))
    table = np.full((n, n), np.inf)
    np.put_along_axis(table, index, distance, 1)
    path = shortest_path(np.minimum(table, table.T), directed=False)
    path = np.minimum(path, path[np.isfinite(path)].max())  # between components
    square = path**2
    square = square - square.mean(0) - square.mean(1)[:, None] + square.mean()
    return _at_once(m, jnp.asarray(-square / 2, jnp.float32))


def spectral_features(m: Material) -> Task:
    vectors = _spectral(_adjacency(m.flat[m.train]), m)
    return _at_once(m, jnp.asarray(vectors), start=vectors)


# ------------------------------------------------------- batches of rows


def views(m: Material) -> Task:
    """Two views of each image."""

    def arguments(model, key, x):
        a, b = datasets.two_views(key, x)
        return (jnp.tile(_ids(a), 2),), (model(jnp.concatenate([a, b])),)

    return Task(dict(x=m.x[m.train]), arguments)


def momentum_keys(m: Material) -> Task:
    """Two views, the second embedded by a moving average of the model."""

    def arguments(model, key, x):
        a, b = datasets.two_views(key, x)
        keys = jax.lax.stop_gradient(model(b, "slow"))
        return (_ids(a), _ids(a)), (model(a), keys)

    models = {"z": _rows, "slow": _rows}
    return Task(dict(x=m.x[m.train]), arguments, models, {"slow": "z"})


def views_of_neighbors(m: Material) -> Task:
    """Two views of each image, and its three nearest neighbours as further views."""
    x = m.x[m.train]
    near = np.asarray(knn(m.flat[m.train], min(SECOND_VIEWS, len(x) - 1))[0])

    def arguments(model, key, x, neighbors):
        a, b = datasets.two_views(key, x)
        count = neighbors.shape[1]
        every = jnp.concatenate([a, b, *(neighbors[:, k] for k in range(count))])
        return (jnp.tile(_ids(a), 2 + count),), (model(every),)

    return Task(dict(x=x, neighbors=x[near]), arguments, size=BATCH // 2)


def pairs(m: Material) -> Task:
    """The left and the right half of a view of each image."""

    def arguments(model, key, x):
        left, right = datasets.halves(datasets.two_views(key, x)[0])
        embedding = model(left, "left"), model(right, "right")
        return (_ids(left), _ids(left)), embedding

    left, right = (lambda x: datasets.halves(x)[0]), (lambda x: datasets.halves(x)[1])
    return Task(dict(x=m.x[m.train]), arguments, dict(left=left, right=right))


def _labelled(m: Material) -> dict[str, Any]:
    return dict(x=m.x[m.train], label=m.labels[m.train])


def labels(m: Material) -> Task:
    def arguments(model, key, x, label):
        return (label,), (model(x),)

    return Task(_labelled(m), arguments)


def _prototypes(*shape: int) -> Callable:
    """Points of the model's width, of length about 1, to be learned."""
    return lambda key, width: jr.normal(key, (*shape, width)) / math.sqrt(width)


def labels_and_classes(m: Material) -> Task:
    """Labels as anchors, classes as candidates: a learned prototype of each."""
    classes = jnp.arange(m.classes, dtype=jnp.int32)

    def arguments(model, key, x, label):
        return (label, classes), (model(x), model.finish(model.extra))

    return Task(_labelled(m), arguments, extra=_prototypes(m.classes))


def labels_and_mixtures(m: Material) -> Task:
    """The same with three prototypes of each class."""
    return labels_and_classes(m)._replace(extra=_prototypes(m.classes, 3))


def labels_of_all(m: Material) -> Task:
    """Labels as anchors, classes as candidates: all rows of that label."""
    classes = jnp.arange(m.classes, dtype=jnp.int32)

    def arguments(model, key, x, label):
        return (label, classes), (model(x), label, classes)

    return Task(_labelled(m), arguments)


def side_information(m: Material) -> Task:
    """The centred pixels, whose cosines are the similarities of images."""
    flat = m.flat[m.train] - m.flat[m.train].mean(0)

    def arguments(model, key, x, pixels):
        return (pixels,), (model(x),)

    return Task(dict(x=m.x[m.train], pixels=flat), arguments)


def captions(m: Material) -> Task:
    """The brightness of an image's patches as its caption; batches of such pairs.

    An image comes with the one whose caption is nearest.
    """
    x = m.x[m.train]
    caption = datasets.patches(x).mean(-1)
    near = np.asarray(knn(caption, 1)[0])[:, 0]

    def arguments(model, key, x, other, caption, caption_of_other):
        images = jnp.concatenate([x, other])
        captions = jnp.concatenate([caption, caption_of_other])
        both_views = jnp.concatenate(datasets.two_views(key, images))
        return (jnp.tile(captions, (2, 1)),), (model(both_views),)

    arrays = dict(x=x, other=x[near], caption=caption, caption_of_other=caption[near])
    return Task(arrays, arguments, size=BATCH // 2)


def triplets(m: Material) -> Task:
    """A view, another view of the same image, and a view of another image."""

    def arguments(model, key, x):
        one, two = jr.split(key)
        a, b = datasets.two_views(one, x)
        n = len(a)
        positive = (jnp.arange(2 * n) + n) % (2 * n)
        negative = (jnp.arange(2 * n) + jr.randint(two, (2 * n,), 1, n)) % (2 * n)
        index = jnp.stack([positive, negative], 1).astype(jnp.int32)
        return (index,), (model(jnp.concatenate([a, b])), index)

    return Task(dict(x=m.x[m.train]), arguments)


def edges_and_negatives(m: Material) -> Task:
    """Of every point one of its nearest neighbours, and five other points."""
    x = m.x[m.train]
    near = knn(m.flat[m.train], min(NEAR, len(x) - 1))[0]

    def arguments(model, key, row):
        n = len(near)
        one, two = jr.split(key)
        pick = jr.randint(one, (n, 1), 0, near.shape[1])
        others = jr.randint(two, (n, 5), 1, n) + jnp.arange(n)[:, None]
        first = jnp.take_along_axis(near, pick, 1)
        index = jnp.concatenate([first, (others % n).astype(jnp.int32)], 1)
        return (index,), (model(x), index)

    return Task(dict(row=np.arange(len(x))), arguments, size=len(x))


# ------------------------------------------------------- an image as a sentence


def _sentences(m: Material):
    """All images as rows of words, which are chosen from the training rows."""
    return datasets.tokens(m.x, WORDS, m.seed, among=m.x[m.train])


def _windows(m: Material, sentences):
    """(word, a word next to it on the grid of patches), of the training rows."""
    height = -(-m.x.shape[1] // 2) if m.x.ndim == 3 else 1  # of the grid; of a vector
    grid = sentences[m.train].reshape(len(m.train), height, -1)
    across = grid[:, :, :-1].ravel(), grid[:, :, 1:].ravel()
    down = grid[:, :-1].ravel(), grid[:, 1:].ravel()
    pairs = np.stack([np.concatenate(x) for x in (across, down)], 1)
    return np.concatenate([pairs, pairs[:, ::-1]])


def words(m: Material) -> Task:
    """A word and one next to it, each with a learned vector for either part."""
    sentences = _sentences(m)
    windows = _windows(m, sentences)

    def arguments(model, key, center, context):
        inner, outer = model.extra
        return (context, jnp.arange(WORDS)), (inner[center], outer)

    return Task(
        dict(center=windows[:, 0], context=windows[:, 1]),
        arguments,
        views={},
        extra=lambda key, width: jr.normal(key, (2, WORDS, WORDS)) / math.sqrt(WORDS),
        scored=lambda params: params["extra"][0][sentences].mean(1),
    )


def words_and_negatives(m: Material) -> Task:
    """The same, with five random words for each pair."""
    task = words(m)

    def arguments(model, key, center, context):
        (context, every), embedding = task.arguments(model, key, center, context)
        others = context[:, None] + jr.randint(key, (len(context), 5), 1, WORDS)
        index = jnp.concatenate([context[:, None], others % WORDS], 1)
        index = index.astype(jnp.int32)
        return (context, every, index), (*embedding, index)

    return task._replace(arguments=arguments)


def masked_words(m: Material) -> Task:
    """Three words of each sentence are hidden, and predicted from the others."""
    from icon import encoders

    sentences = _sentences(m)
    encoder: Any = encoders.TokenEncoder(WORDS, WORDS)

    def extra(key, width):
        one, two = jr.split(key)
        table = jr.normal(two, (WORDS, WORDS)) / math.sqrt(WORDS)
        return encoder.init(one, sentences[:1]), table

    def arguments(model, key, sentence):
        params, table = model.extra
        place = jnp.argsort(jr.uniform(key, sentence.shape), 1)[:, :3]
        row = jnp.arange(len(sentence))[:, None]
        words = jnp.asarray(sentence)
        hidden = encoder.apply(params, words.at[row, place].set(WORDS))[row, place]
        truth = words[row, place].reshape(-1)
        return (truth, jnp.arange(WORDS)), (hidden.reshape(-1, WORDS), table)

    def scored(params):
        return encoder.apply(params["extra"][0], sentences).mean(1)

    return Task(
        dict(sentence=sentences[m.train]),
        arguments,
        views={},
        extra=extra,
        size=BATCH // 2,
        scored=scored,
    )


# ------------------------------------------------------- teachers, codes, grids


def a_teacher(m: Material, teacher) -> Task:
    """The logits of a classifier that is trained first."""
    logits = teacher.embedding @ np.asarray(teacher.params["extra"]).T

    def arguments(model, key, x, logits):
        return (logits,), (model(x) @ model.extra.T,)

    arrays = dict(x=m.x[m.train], logits=logits[m.train])
    return Task(arrays, arguments, extra=_prototypes(m.classes))


def _log_joint(params, x, z):
    """log N(z; 0, 1) plus, pixel by pixel, log p(x | z) under the decoded log-odds."""
    from icon import encoders

    decoder: Any = encoders.Decoder((128, x.shape[0]))
    logits = decoder.apply(params, z)
    prior = -jnp.sum(z**2) / 2 - z.shape[0] / 2 * math.log(2 * math.pi)
    return prior + jnp.sum(x * logits - jax.nn.softplus(logits))


def a_posterior(m: Material) -> Task:
    """A code of two dimensions, by an encoder, of what a decoder makes of it."""
    from icon import encoders

    x = m.flat / max(m.flat.max(), 1e-12)
    encoder, decoder = encoders.Posterior(2), encoders.Decoder((128, x.shape[1]))

    def extra(key, width):
        one, two = jr.split(key)
        return encoder.init(one, x[:1]), decoder.init(two, jnp.zeros((1, 2)))

    def arguments(model, key, x):
        encoding, decoding = model.extra
        return (*encoder.apply(encoding, x), key, 1), (_log_joint, decoding, x)

    def scored(params):
        return encoder.apply(params["extra"][0], x)[0]

    return Task(dict(x=x[m.train]), arguments, views={}, extra=extra, scored=scored)


def a_grid(m: Material, side: int = 12) -> Task:
    """Units on a grid: each point's best unit and its neighbours on the grid.

    What is descended is the attraction alone, Heskes' energy: the limit's repulsion is
    the quantisation error, which Kohonen's rule leaves out.
    """
    x = m.flat - m.flat[m.train].mean(0)
    place = np.stack(np.divmod(np.arange(side**2), side), 1).astype(np.float32)
    squared = jnp.asarray(((place[:, None] - place[None]) ** 2).sum(-1))
    _, size, plane = np.linalg.svd(x[m.train], full_matrices=False)

    def extra(key, width):
        spread = size[:2] / math.sqrt(len(m.train))
        grid = (place - place.mean(0)) / place.std(0)
        return jnp.asarray(grid @ (spread[:, None] * plane[:2]))

    def nearest(units, x, radius=1.0):
        h = jax.nn.log_softmax(-squared / (2 * radius**2))
        energy = ((x[:, None] - units[None]) ** 2).sum(-1) @ jnp.exp(h).T
        return h, jnp.argmin(energy, 1)

    def arguments(model, key, x):
        h, best = nearest(jax.lax.stop_gradient(model.extra), x)
        return (h[best],), (x, model.extra)

    return Task(
        dict(x=x[m.train]),
        arguments,
        views={},
        extra=extra,
        scored=lambda params: place[nearest(params["extra"], x)[1]],
        loss=lambda p, q: terms(p, q)[0],
    )


# ------------------------------------------------------- by name


SOURCES = {
    "features": Source(features, Learned.POINTS),
    "neighborhoods": Source(neighborhoods, Learned.POINTS),
    "centered features": Source(centered, Learned.POINTS),
    "items": Source(items, Learned.LINEAR_MAP),  # no free embedding can follow ids
    "graph": Source(adjacency, Learned.POINTS),
    "graph and degrees": Source(with_degrees, Learned.POINTS),
    "graph over degrees": Source(over_degrees, Learned.POINTS),
    "geodesics": Source(geodesics, Learned.POINTS),
    "spectral features": Source(spectral_features, Learned.POINTS),
    "views": Source(views),
    "momentum keys": Source(momentum_keys),
    "views of neighbors": Source(views_of_neighbors),
    "triplets": Source(triplets),
    "pairs": Source(pairs),
    "labels": Source(labels),
    "labels and classes": Source(labels_and_classes),
    "labels and mixtures": Source(labels_and_mixtures),
    "labels of all": Source(labels_of_all),
    "side information": Source(side_information),
    "captions": Source(captions),
    "edges and strangers": Source(edges_and_negatives, Learned.POINTS),
    "words": Source(words),
    "words and strangers": Source(words_and_negatives),
    "masked words": Source(masked_words),
    "a teacher": Source(a_teacher, after=("cross-entropy",)),
    "a posterior": Source(a_posterior),
    "a grid of units": Source(a_grid),
}
BY_COLUMN = {  # what p is built from, unless the cell names it
    cells.G: "features",
    cells.T: "features",
    cells.KNN: "features",
    cells.SELF: "items",
    cells.GRAPH: "graph",
    cells.POSITIVE: "views",
    cells.MODAL: "pairs",
    cells.CLASS: "labels",
    cells.LABEL: "labels and classes",
    cells.TOKENS: "words",
    cells.TEACHER: "a teacher",
    cells.LATENT: "a posterior",
    cells.GRID: "a grid of units",
}
