"""How does an encoder learn the points of rows, batch after batch?"""

import dataclasses
import functools as ft
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from icon import data as datasets
from icon._loss import kl
from icon._neighborhoods import Graph, filled_up, same, scores, to_sparse
from icon._training import any_stops, fit
from icon.recipes.embedding import EVERY, optimizer
from icon.recipes.layout import blocks_of
from icon.recipes.networks import Network, network


HIDDEN = (256, 256)  # layers of the network where none is given
FEW = 64  # rows of the smallest batch
NONE = -1  # the id of what has none


# ------------------------------------------------------- the network


def network_of(model, width: int) -> Network:
    """A model as functions; None: dense layers to so many columns.

    One for equal models, where they have a hash: programs are found by it.
    """
    if model is None:
        from icon import encoders

        model = encoders.MLP((*HIDDEN, width))
    known: Any = _known
    try:
        return known(model)
    except TypeError:  # it has no hash
        return network(model)


@ft.lru_cache(16)
def _known(model) -> Network:
    return network(model)


def encoded(
    made: Network, params, state, x: Float[np.ndarray, "n d"], key=None
) -> Float[np.ndarray, "n c"]:
    """The points of rows, in blocks of one size: none depends on the others.

    With a key, as the network sees them while it learns.
    """
    rows = [
        np.asarray(made.apply(params, state, jnp.asarray(x[block]), key)[0])
        for block in blocks_of(len(x))
    ]
    return np.concatenate(rows)[: len(x)].astype(np.float32)


# ------------------------------------------------------- what it follows


@dataclasses.dataclass(frozen=True)
class Alike:
    """The cell of rows that share an id: a class, a pair, two views of one."""

    q: Callable

    def __call__(self, z, batch: Mapping[str, Any]):
        return kl(same(batch["ids"], ignore=NONE), self.q(z))


@dataclasses.dataclass(frozen=True)
class Near:
    """The cell of one distribution over pairs, among the rows of a batch."""

    q: Callable

    def __call__(self, z, batch: Mapping[str, Any]):
        p = scores(between(batch["graph"], batch["ids"]))
        return kl(p, self.q(z), joint=True)


def between(graph: Graph, ids: Int[Array, " b"]) -> Float[Array, "b b"]:
    """The log-weights of a graph among a batch, -inf where there is no edge.

    `graph.restrict(ids)` as a table, which of few rows is many times faster.
    """
    count, order = len(ids), jnp.arange(len(ids), dtype=jnp.int32)
    place = jnp.full(graph.shape[1], count, jnp.int32).at[ids].set(order)

    def row(i):
        at, _, score, _ = graph.visit(i)
        none = jnp.full(count, -jnp.inf, score.dtype)
        return none.at[place[at]].max(score, mode="drop")

    return jax.vmap(row)(ids)


@dataclasses.dataclass(frozen=True)
class Objective:
    """The loss of a batch by the parameters of a network; equal ones share a program.

    Args:
        made: the network.
        cell: (points of a batch, the batch) -> a number.
        view: (key, rows) -> rows: a batch is then two views of its rows; None: they
            are as they are.
    """

    made: Network
    cell: Callable
    view: Callable | None = None

    def __call__(self, params, batch: Mapping[str, Any], key, carried):
        x = batch["x"]
        if self.view is not None:
            key, own = jr.split(key)
            x = jnp.concatenate(datasets.two_views(own, x, self.view))
        z, carried = self.made.apply(params, carried, x, key)
        return self.cell(z, batch), carried


# ------------------------------------------------------- batches


class Batches(NamedTuple):
    """How rows become a batch: so many of them, and what is made of their ids."""

    size: int
    batch: Callable  # (ids of up to `size` rows, a NumPy generator) -> a batch


def _few(size: int, x) -> int:
    """That of a batch of rows: few sizes, where there are fewer than is wanted."""
    return min(size, max(FEW, 1 << (len(x) - 1).bit_length()))


def labelled(x, ids, size: int) -> Batches:
    """Rows with their ids, the first again where there are fewer."""
    size = _few(size, x)

    def batch(rows, rng):
        rows = np.resize(rows, size)
        return dict(x=x[rows], ids=ids[rows])

    return Batches(size, batch)


def viewed(x, ids, size: int) -> Batches:
    """The same, of rows that are seen twice."""
    size = _few(size, x) // 2

    def batch(rows, rng):
        rows = np.resize(rows, size)
        return dict(x=x[rows], ids=np.tile(ids[rows], 2))

    return Batches(size, batch)


def paired(x, near, size: int) -> Batches:
    """Rows, and beside each one that is near it, which shares its id."""
    size = _few(size, x) // 2

    def batch(rows, rng):
        rows = np.resize(rows, size).astype(np.int32)
        others = near[rows, rng.integers(near.shape[1], size=len(rows))]
        return dict(x=x[np.concatenate([rows, others])], ids=np.tile(rows, 2))

    return Batches(size, batch)


def among(x, graph: Graph, size: int) -> Batches:
    """Rows and the graph that they are part of, filled up: few shapes for many sets."""
    whole: Any = filled_up(graph, to_sparse(graph)).base

    def batch(rows, rng):
        return dict(x=x[rows], ids=rows.astype(np.int32), graph=whole)

    return Batches(min(size, len(x)), batch)


@dataclasses.dataclass(frozen=True)
class Feed:
    """Batches of n rows in a random order, until there were so many."""

    n: int
    batches: Batches
    steps: int
    seed: int

    def __call__(self, key, epoch: int) -> Iterator[Any]:
        size, batch = self.batches
        rng = np.random.default_rng((self.seed, epoch))
        order, each = rng.permutation(self.n), max(1, self.n // size)
        for k in range(min(each, self.steps - epoch * each)):
            yield batch(order[k * size : (k + 1) * size], rng)


# ------------------------------------------------------- the descent


def learn(
    objective: Objective,
    x: Float[np.ndarray, "n d"],
    feed: Feed,
    rate: float,
    callbacks: Sequence[Callable] = (),
) -> tuple[tuple[Any, Any], Any]:
    """The parameters and the state of a network after its batches, and the history.

    Args:
        objective: what it follows.
        x: all rows, which callbacks see the points of.
        feed: the batches.
        rate: of Adam, at its highest.
        callbacks: (step, loss, z) -> True to stop; every 50 steps, and after the last.
    """
    key, made = jr.key(feed.seed), objective.made
    params, state = made.init(key, jnp.asarray(x[:2]))
    learning = key if jax.tree.leaves(state) else None  # its state is not known yet

    def seen(step, loss, params) -> bool:
        if not callbacks or (step % EVERY and step < feed.steps):
            return False
        z = encoded(made, params, state, x, learning)
        return any_stops(callbacks, step, loss, z)

    params, history = fit(
        objective, params, feed, optimizer(rate, feed.steps), key,
        carried=state, callbacks=[seen],
    )  # fmt: skip
    return jax.tree.map(np.asarray, (params, history.carried)), history
