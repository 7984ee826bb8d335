"""What is p built from? On a data set, by what the cell says it learns from."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from icon import data as datasets
from icon._loss.verbs import terms
from icon._search.knn import knn
from icon._table import cells as cells


BATCH, WORDS, WIDTH, NEAR = 256, 32, 128, 15
SECOND_VIEWS = 3  # of how many nearest neighbours


class Budget(NamedTuple):
    """How long to try."""

    points: int = 1797  # more are sampled down, by the seed
    steps: int = 500  # of a free embedding
    batches: int = 600  # of a map
    restarts: int = 8  # of a clustering
    annealing: int = 50  # steps of each


class Material(NamedTuple):
    """A data set, split once by a seed, and how long to try."""

    x: np.ndarray  # [n, d] or images [n, h, w]
    labels: np.ndarray  # [n]; zeros where there are none
    train: np.ndarray
    test: np.ndarray
    classes: int
    seed: int
    budget: Budget
    labelled: bool

    @property
    def flat(self) -> np.ndarray:
        return self.x.reshape(len(self.x), -1)

    def centered(self) -> "Material":
        """The same data, the mean of what is learned from at the origin."""
        return self._replace(x=self.x - self.x[self.train].mean(0))

    def only(self, rows) -> "Material":
        """The same data, without the other rows."""
        return self._replace(x=self.x[rows], labels=self.labels[rows])


class Whole(NamedTuple):
    """A lesson on all points at once: p is built once."""

    evidence: tuple
    beside: tuple = ()  # what q is given beside what is learned
    start: Any = None  # what a free learner looks at to start; None: the features


class Batches(NamedTuple):
    """A lesson on batches of rows: p is built from each."""

    arrays: Any
    meet: Callable  # (params, batch, key, net) -> (evidence, embedding)
    beside: Callable = lambda key, width: ()  # what learns beside the learners
    sides: tuple = ("z",)  # one learner each
    size: int = BATCH
    represent: Callable | None = None  # params -> what is scored, of all rows
    loss: Callable | None = None  # (p, q) -> what is descended; None: the cell's loss


def _ids(x):
    return jnp.arange(len(x), dtype=jnp.int32)


def features(m):
    return Whole((jnp.asarray(m.flat),))


def neighborhoods(m):
    n = len(m.x)
    perplexity = min(30.0, (n - 1) / 3)
    near = min(n - 1, math.ceil(3 * perplexity))
    return Whole((jnp.asarray(m.flat), near, perplexity))


def items(m):
    return Whole((_ids(m.x), _ids(m.x)))


def centered(m):
    return Whole((jnp.asarray(m.flat - m.flat.mean(0)),))


def _adjacency(x):
    """Who is among the nearest of whom, either way, as a sparse matrix."""
    import scipy.sparse as sp

    n, k = len(x), min(NEAR, len(x) - 1)
    index = np.asarray(knn(x, k)[0]).ravel()
    start = np.arange(0, n * k + 1, k, dtype=np.int32)
    one = sp.csr_array((np.ones(n * k, np.float32), index, start), shape=(n, n))
    return one.maximum(one.T)


def adjacency(m):
    return Whole((_adjacency(m.flat),), start=_spectral(m))


def with_degrees(m):
    weights = _adjacency(m.flat)
    return Whole((weights,), (jnp.asarray(weights.sum(1)),))


def over_degrees(m):
    weights = _adjacency(m.flat)
    degree = weights.sum(1)
    matrix = jnp.asarray(weights.toarray() / degree[None])
    return Whole((matrix,), (jnp.asarray(degree),), start=_spectral(m))


def geodesics(m):
    """The Gram matrix of the lengths of the shortest paths along the graph."""
    from scipy.sparse.csgraph import shortest_path

    n = len(m.x)
    index, distance = map(np.asarray, knn(m.flat, min(NEAR, n - 1)))
    table = np.full((n, n), np.inf)
    np.put_along_axis(table, index, distance, 1)
    path = shortest_path(np.minimum(table, table.T), directed=False)
    path = np.minimum(path, path[np.isfinite(path)].max())  # parts that do not touch
    square = path**2
    square = square - square.mean(0) - square.mean(1)[:, None] + square.mean()
    return Whole((jnp.asarray(-square / 2, jnp.float32),))


def _spectral(m):
    """The first eigenvectors of the graph's normalised Laplacian, of variance 1."""
    from sklearn.manifold import spectral_embedding

    count = min(m.classes, len(m.x) - 1)
    weights = _adjacency(m.flat)
    vectors = spectral_embedding(
        weights, n_components=count, drop_first=False, random_state=m.seed
    )
    return np.asarray(vectors / vectors.std(), np.float32)


def spectral_features(m):
    vectors = _spectral(m)
    return Whole((jnp.asarray(vectors),), start=vectors)


def two_views(m):
    def meet(params, batch, key, net):
        a, b = datasets.two_views(key, batch)
        ids = jnp.tile(_ids(a), 2)
        return (ids,), (net(params, "z", jnp.concatenate([a, b])),)

    return Batches(m.x[m.train], meet)


def momentum_keys(m):
    def meet(params, batch, key, net):
        a, b = datasets.two_views(key, batch)
        keys = jax.lax.stop_gradient(net(params, "slow", b))
        return (_ids(a), _ids(a)), (net(params, "z", a), keys)

    return Batches(m.x[m.train], meet, sides=("z", "slow"))


def views_of_neighbors(m):
    """Two views of each image, and one each of its three nearest neighbours."""
    rows = m.x[m.train]
    near = np.asarray(knn(m.flat[m.train], min(SECOND_VIEWS, len(rows) - 1))[0])

    def meet(params, batch, key, net):
        x, others = batch
        a, b = datasets.two_views(key, x)
        c = jnp.concatenate([a, b, *(others[:, k] for k in range(others.shape[1]))])
        ids = jnp.tile(_ids(a), 2 + others.shape[1])
        return (ids,), (net(params, "z", c),)

    return Batches((rows, rows[near]), meet, size=BATCH // 2)


def pairs(m):
    """The left and the right half of a view of each image."""

    def meet(params, batch, key, net):
        left, right = datasets.halves(datasets.two_views(key, batch)[0])
        embedding = net(params, "left", left), net(params, "right", right)
        return (_ids(left), _ids(left)), embedding

    return Batches(m.x[m.train], meet, sides=("left", "right"))


def labels(m):
    def meet(params, batch, key, net):
        x, y = batch
        return (y,), (net(params, "z", x),)

    return Batches((m.x[m.train], m.labels[m.train]), meet)


def labels_and_classes(m):
    classes = jnp.arange(m.classes, dtype=jnp.int32)

    def meet(params, batch, key, net):
        x, y = batch
        return (y, classes), (net(params, "z", x), net.finish(params["beside"]))

    arrays = m.x[m.train], m.labels[m.train]
    return Batches(arrays, meet, beside=_table(m.classes))


def _table(*shape):
    """Learned points of the learner's width, of length about 1."""
    return lambda key, width: jr.normal(key, (*shape, width)) / math.sqrt(width)


def labels_and_mixtures(m):
    return labels_and_classes(m)._replace(beside=_table(m.classes, 3))


def labels_of_all(m):
    classes = jnp.arange(m.classes, dtype=jnp.int32)

    def meet(params, batch, key, net):
        x, y = batch
        return (y, classes), (net(params, "z", x), y, classes)

    return Batches((m.x[m.train], m.labels[m.train]), meet)


def side_information(m):
    """The pixels themselves, centred, say how alike two images are."""
    flat = m.flat[m.train] - m.flat[m.train].mean(0)

    def meet(params, batch, key, net):
        x, side = batch
        return (side,), (net(params, "z", x),)

    return Batches((m.x[m.train], flat), meet)


def captions(m):
    """What is said of an image is the brightness of its patches; who is told alike."""
    rows = m.x[m.train]
    caption = datasets.patches(rows).mean(-1)
    near = np.asarray(knn(caption, 1)[0])[:, 0]

    def meet(params, batch, key, net):
        views = jnp.concatenate(datasets.two_views(key, jnp.concatenate(batch[:2])))
        return (jnp.tile(jnp.concatenate(batch[2:]), (2, 1)),), (
            net(params, "z", views),
        )

    return Batches((rows, rows[near], caption, caption[near]), meet, size=BATCH // 2)


def triplets(m):
    """A view, another view of the same, and a view of somebody else."""

    def meet(params, batch, key, net):
        one, two = jr.split(key)
        a, b = datasets.two_views(one, batch)
        n = len(a)
        twin = (jnp.arange(2 * n) + n) % (2 * n)
        stranger = (jnp.arange(2 * n) + jr.randint(two, (2 * n,), 1, n)) % (2 * n)
        index = jnp.stack([twin, stranger], 1).astype(jnp.int32)
        return (index,), (net(params, "z", jnp.concatenate([a, b])), index)

    return Batches(m.x[m.train], meet)


def edges_and_strangers(m):
    """One of the nearest neighbours of each point, and five others."""
    near = knn(m.flat, min(NEAR, len(m.flat) - 1))[0]

    def meet(params, batch, key, net):
        n = len(near)
        one, two = jr.split(key)
        pick = jr.randint(one, (n, 1), 0, near.shape[1])
        others = jr.randint(two, (n, 5), 1, n) + jnp.arange(n)[:, None]
        first = jnp.take_along_axis(near, pick, 1)
        index = jnp.concatenate([first, (others % n).astype(jnp.int32)], 1)
        return (index,), (net(params, "z", None), index)

    return Batches(np.arange(len(near)), meet, size=len(near))


# ---- an image as a sentence


def _sentences(m):
    """The words are chosen from the rows that may be learned from."""
    return datasets.tokens(m.x, WORDS, m.seed, among=m.x[m.train])


def _windows(sentences, height: int):
    """(word, a word next to it on the grid of patches), over all images."""
    grid = sentences.reshape(len(sentences), height, -1)
    across = grid[:, :, :-1].ravel(), grid[:, :, 1:].ravel()
    down = grid[:, :-1].ravel(), grid[:, 1:].ravel()
    pairs = np.stack([np.concatenate(x) for x in (across, down)], 1)
    return np.concatenate([pairs, pairs[:, ::-1]])


def words(m):
    lesson = _sentences(m)
    windows = _windows(lesson[m.train], _height(m, lesson.shape[1]))

    def meet(params, batch, key, net):
        inside, outside = params["beside"]
        center, context = batch[:, 0], batch[:, 1]
        return (context, jnp.arange(WORDS)), (inside[center], outside)

    def represent(params):
        return params["beside"][0][lesson].mean(1)

    tables = lambda key, width: jr.normal(key, (2, WORDS, WORDS)) / math.sqrt(WORDS)
    return Batches(windows, meet, tables, (), represent=represent)


def words_and_strangers(m):
    lesson = words(m)

    def meet(params, batch, key, net):
        (context, every), (u, v) = lesson.meet(params, batch, key, net)
        others = context[:, None] + jr.randint(key, (len(context), 5), 1, WORDS)
        index = jnp.concatenate([context[:, None], others % WORDS], 1)
        index = index.astype(jnp.int32)
        return (context, every, index), (u, v, index)

    return lesson._replace(meet=meet)


def _height(m, count: int) -> int:
    """How many rows the grid of an image's patches has; vectors have one."""
    return -(-m.x.shape[1] // 2) if m.x.ndim == 3 else 1


def masked_words(m):
    """Three words of each sentence are hidden, and guessed from the others."""
    from icon import encoders

    lesson = _sentences(m)
    model: Any = encoders.TokenEncoder(WORDS, WORDS)

    def beside(key, width):
        one, two = jr.split(key)
        table = jr.normal(two, (WORDS, WORDS)) / math.sqrt(WORDS)
        return model.init(one, lesson[:1]), table

    def meet(params, batch, key, net):
        body, table = params["beside"]
        order = jnp.argsort(jr.uniform(key, batch.shape), 1)[:, :3]
        rows = jnp.arange(len(batch))[:, None]
        words = jnp.asarray(batch)
        hidden = model.apply(body, words.at[rows, order].set(WORDS))[rows, order]
        truth = words[rows, order].reshape(-1)
        return (truth, jnp.arange(WORDS)), (hidden.reshape(-1, WORDS), table)

    def represent(params):
        return model.apply(params["beside"][0], lesson).mean(1)

    return Batches(lesson[m.train], meet, beside, (), BATCH // 2, represent)


def a_teacher(m):
    """The logits of the cross-entropy row, trained first."""
    from icon.recipes import train

    teacher = train(cells.TABLE["cross-entropy"], m)
    logits = teacher.embedding @ np.asarray(teacher.params["beside"]).T

    def meet(params, batch, key, net):
        x, said = batch
        return (said,), (net(params, "z", x) @ params["beside"].T,)

    return Batches((m.x[m.train], logits[m.train]), meet, _table(m.classes))


def _log_joint(params, x, z):
    """log N(z; 0, 1) plus, pixel by pixel, the log-odds of what is painted."""
    from icon import encoders

    painter: Any = encoders.Decoder((128, x.shape[0]))
    logits = painter.apply(params, z)
    prior = -jnp.sum(z**2) / 2 - z.shape[0] / 2 * math.log(2 * math.pi)
    return prior + jnp.sum(x * logits - jax.nn.softplus(logits))


def a_posterior(m):
    from icon import encoders

    x = m.flat / max(m.flat.max(), 1e-12)
    see, paint = encoders.Posterior(2), encoders.Decoder((128, x.shape[1]))

    def beside(key, width):
        one, two = jr.split(key)
        return see.init(one, x[:1]), paint.init(two, jnp.zeros((1, 2)))

    def meet(params, batch, key, net):
        seer, painter = params["beside"]
        return (*see.apply(seer, batch), key, 1), (_log_joint, painter, batch)

    def represent(params):
        return see.apply(params["beside"][0], x)[0]

    return Batches(x[m.train], meet, beside, (), represent=represent)


def a_grid(m, side: int = 12):
    """Units on a grid: each point's best unit and its neighbours on the grid.

    What is descended is the attraction alone, Heskes' energy: the limit's repulsion is
    the quantisation error, which Kohonen's rule leaves out.
    """
    x = m.flat - m.flat[m.train].mean(0)
    place = np.stack(np.divmod(np.arange(side**2), side), 1).astype(np.float32)
    apart = jnp.asarray(((place[:, None] - place[None]) ** 2).sum(-1))
    plane = np.linalg.svd(x[m.train], full_matrices=False)

    def beside(key, width):
        spread = plane[1][:2] / math.sqrt(len(m.train))
        grid = (place - place.mean(0)) / place.std(0)
        return jnp.asarray(grid @ (spread[:, None] * plane[2][:2]))

    def near(units, rows, radius=1.0):
        h = jax.nn.log_softmax(-apart / (2 * radius**2))
        energy = ((rows[:, None] - units[None]) ** 2).sum(-1) @ jnp.exp(h).T
        return h, jnp.argmin(energy, 1)

    def meet(params, batch, key, net):
        h, best = near(jax.lax.stop_gradient(params["beside"]), batch)
        return (h[best],), (batch, params["beside"])

    def represent(params):
        return place[near(params["beside"], x)[1]]

    attraction = lambda p, q: terms(p, q)[0]
    return Batches(x[m.train], meet, beside, (), BATCH, represent, attraction)


WHOLE = {
    "features": features,
    "neighborhoods": neighborhoods,
    "centered features": centered,
    "items": items,
    "graph": adjacency,
    "graph and degrees": with_degrees,
    "graph over degrees": over_degrees,
    "geodesics": geodesics,
    "spectral features": spectral_features,
}
BATCHED = {
    "views": two_views,
    "momentum keys": momentum_keys,
    "views of neighbors": views_of_neighbors,
    "triplets": triplets,
    "pairs": pairs,
    "labels": labels,
    "labels and classes": labels_and_classes,
    "labels and mixtures": labels_and_mixtures,
    "labels of all": labels_of_all,
    "side information": side_information,
    "captions": captions,
    "edges and strangers": edges_and_strangers,
    "words": words,
    "words and strangers": words_and_strangers,
    "masked words": masked_words,
    "a teacher": a_teacher,
    "a posterior": a_posterior,
    "a grid of units": a_grid,
}
USUAL = {  # what a column's p is built from, unless the cell says
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
# learned point by point, not by a map; items say nothing that a point could follow
FREELY = (*(name for name in WHOLE if name != "items"), "edges and strangers")
