"""What is p built from where rows come in views, or in two modalities?"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icon import data as datasets
from icon._search import knn
from icon.recipes.material import Material
from icon.recipes.task import BATCH, WIDTH, Task, ids_of, prototypes, rows


SECOND_VIEWS = 3  # of how many nearest neighbours
ROWS = BATCH // 2  # of a batch that shows each of them twice or more
HEAD = (256,)  # hidden, between what is scored and what q gets


def _both(m: Material, key, x):
    """Two views of each row, one set below the other."""
    return jnp.concatenate(m.two_views(key, x))


def views(m: Material) -> Task:
    """Two views of each row."""

    def arguments(model, key, x):
        return (jnp.tile(ids_of(x), 2),), (model(_both(m, key, x)),)

    summary = "two views of a row"
    return Task(dict(x=m.x[m.train]), arguments, size=ROWS, head=HEAD, summary=summary)


def momentum_keys(m: Material) -> Task:
    """Two views, the second embedded by a moving average of the model.

    A predictor follows the model on the side of the queries.
    """
    from icon import encoders

    predictor = lambda width: encoders.MLP((*HEAD, width))

    def arguments(model, key, x):
        a, b = m.two_views(key, x)
        keys = jax.lax.stop_gradient(model(b, "slow"))
        queries = predictor(keys.shape[1]).apply(model.extra, model(a))
        return (ids_of(a), ids_of(a)), (queries, keys)

    def extra(key, width):
        return predictor(width).init(key, jnp.zeros((1, width)))

    summary = "two views; a predictor on the queries, keys by a moving average (.99)"
    models = {"z": rows, "slow": rows}
    return Task(
        dict(x=m.x[m.train]), arguments, models, {"slow": "z"}, extra,
        head=HEAD, summary=summary,
    )  # fmt: skip


def views_of_neighbors(m: Material) -> Task:
    """Two views of each row, and its three nearest neighbours as further views."""
    x = m.x[m.train]
    near = np.asarray(knn(m.flat[m.train], min(SECOND_VIEWS, len(x) - 1))[0])

    def arguments(model, key, x, neighbors):
        count = neighbors.shape[1]
        others = (neighbors[:, k] for k in range(count))
        every = jnp.concatenate([_both(m, key, x), *others])
        return (jnp.tile(ids_of(x), 2 + count),), (model(every),)

    summary = f"two views of a row and its {SECOND_VIEWS} nearest rows"
    arrays = dict(x=x, neighbors=x[near])
    return Task(arrays, arguments, size=ROWS, summary=summary)


def triplets(m: Material) -> Task:
    """A view, another view of the same row, and a semi-hard view of another row.

    Of the others that are further than the positive, the nearest; else the furthest.
    """

    def arguments(model, key, x):
        z = model(_both(m, key, x))
        n = len(x)
        anchor = jnp.arange(2 * n)
        positive = (anchor + n) % (2 * n)
        still = jax.lax.stop_gradient(z)
        square = jnp.sum(still * still, 1)
        far = square[:, None] + square[None] - 2 * still @ still.T
        own = (anchor[:, None] - anchor[None]) % n == 0
        further = ~own & (far > far[anchor, positive][:, None])
        nearest = jnp.argmin(jnp.where(further, far, jnp.inf), 1)
        furthest = jnp.argmax(jnp.where(own, -jnp.inf, far), 1)
        negative = jnp.where(jnp.any(further, 1), nearest, furthest)
        index = jnp.stack([positive, negative], 1).astype(jnp.int32)
        return (index,), (z, index)

    summary = "two views of a row, the negative semi-hard"
    return Task(dict(x=m.x[m.train]), arguments, size=ROWS, summary=summary)


# ------------------------------------------------------- two modalities


def pairs(m: Material) -> Task:
    """Either modality of each row: also["second"], or the halves of a view of it."""
    if "second" in m.also:
        return _modalities(m)

    def arguments(model, key, x):
        left, right = datasets.halves(m.two_views(key, x)[0])
        embedding = model(left, "left"), model(right, "right")
        return (ids_of(left), ids_of(left)), embedding

    summary = "the left and the right half of a view"
    arrays = dict(x=m.x[m.train])
    return Task(arrays, arguments, HALVES, width=WIDTH, summary=summary)


HALVES = dict(
    left=lambda x: datasets.halves(x)[0], right=lambda x: datasets.halves(x)[1]
)


@dataclasses.dataclass(frozen=True, eq=False)
class Second:
    """The second modality; of the same array one and the same."""

    rows: Any

    def __call__(self, x):
        return self.rows[:, None] if self.rows.ndim == 1 else self.rows

    def __eq__(self, other):
        return isinstance(other, Second) and other.rows is self.rows

    def __hash__(self):
        return id(self.rows)


def _modalities(m: Material) -> Task:
    see = Second(m.also["second"])
    second = see(m.x)

    def arguments(model, key, x, second):
        one = m.two_views(key, x)[0]
        return (ids_of(x), ids_of(x)), (model(one, "left"), model(second, "right"))

    arrays = dict(x=m.x[m.train], second=second[m.train])
    models = dict(left=rows, right=see)
    summary = "a view of a row and its second form"
    return Task(arrays, arguments, models, width=WIDTH, summary=summary)


# ------------------------------------------------------- what else is known of rows


def side_information(m: Material) -> Task:
    """Two views; what is known beside of each row has cosines that say who is alike."""
    side = _side(m)[m.train]

    def arguments(model, key, x, side):
        return (jnp.tile(side, (2, 1)),), (model(_both(m, key, x)),)

    summary = "two views; p of what is known beside of the rows"
    arrays = dict(x=m.x[m.train], side=side)
    return Task(arrays, arguments, size=ROWS, head=HEAD, summary=summary)


def _side(m: Material):
    """What is known beside of rows: also["side"], else tags, else their class."""
    if "side" in m.also or "tags" in m.also:
        known = m.also["side" if "side" in m.also else "tags"]
        return np.asarray(known, np.float32).reshape(len(known), -1)
    of = "also['side'], also['tags'] or labels"
    if not m.labelled:
        m.of("side", of)
    return np.eye(m.classes, dtype=np.float32)[m.labels] * (m.labels >= 0)[:, None]


def captions(m: Material) -> Task:
    """Rows with a caption each; batches of a row and the one of the nearest caption.

    The caption is also["side"], or of an image the brightness of its patches.
    """
    x = m.x[m.train]
    caption = m.also["side"] if "side" in m.also else datasets.patches(m.x).mean(-1)
    caption = np.asarray(caption, np.float32).reshape(len(m.x), -1)[m.train]
    near = np.asarray(knn(caption, 1)[0])[:, 0]

    def arguments(model, key, x, other, caption, caption_of_other):
        captions = jnp.concatenate([caption, caption_of_other])
        one_view = m.two_views(key, jnp.concatenate([x, other]))[0]
        return (captions,), (model(one_view),)

    arrays = dict(x=x, other=x[near], caption=caption, caption_of_other=caption[near])
    summary = "one view of a row and one of that with the nearest caption"
    return Task(arrays, arguments, size=ROWS, head=HEAD, summary=summary)


def times(m: Material) -> Task:
    """Rows with the time of each, of standard deviation 1."""
    time = np.asarray(m.of("time", "a number a row [n]"), np.float64)
    time = ((time - time.mean()) / max(time.std(), 1e-12)).astype(np.float32)

    def arguments(model, key, x, time):
        return (time[:, None],), (model(x),)

    arrays = dict(x=m.x[m.train], time=time[m.train])
    return Task(arrays, arguments, summary="rows and their times")


def nodes(m: Material) -> Task:
    """Batches of nodes; the graph among them."""
    from icon._neighborhoods import graph

    weights = m.of("graph", "a sparse matrix [n, n]")[m.train][:, m.train]
    whole = graph(weights)

    def arguments(model, key, x, node):
        return (whole.restrict(node),), (model(x),)

    arrays = dict(x=m.x[m.train], node=np.arange(len(m.train), dtype=np.int32))
    return Task(arrays, arguments, summary="the edges of the graph inside of a batch")


def counts(m: Material) -> Task:
    """Rows that count items: users by a network, an embedding for every item."""
    table = m.of("counts", "counts from 0 [n, items]")
    table = np.asarray(table, np.float32)

    def arguments(model, key, x, counts):
        return (counts,), (model(x), model.finish(model.extra))

    arrays = dict(x=m.x[m.train], counts=table[m.train])
    extra = prototypes(table.shape[1])
    return Task(
        arrays, arguments, extra=extra, summary="users and the items they count"
    )
