"""How do edges that are drawn, and strangers beside them, lay points out?"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from icon._base import checks as check
from icon._base.blocks import filled, filled_length, on_device, rounded_up
from icon._base.pytrees import pytree, static
from icon._neighborhoods import Graph, to_sparse
from icon._table import TABLE, Cell
from icon.recipes.embedding import followed


CELL = TABLE["UMAP, negative sampling"]
STEPS, RATE, STRANGERS = 500, 0.3, 5


@pytree
class Draws:
    """Of every anchor an edge by its weight and other points, anew in every step."""

    index: Any  # [e], candidates, one anchor's after the other's
    share: Any  # [e], of the anchor's weight up to and with each edge
    start: Any  # [rows + 1], where each anchor's begin
    count: Any  # of the anchors; others fill them up
    key: Any
    strangers: int = static()
    halvings: int = static()  # of an anchor's edges, until one is left

    def __call__(self, step) -> Int[Array, "rows 1+strangers"]:
        one, two = jr.split(jr.fold_in(self.key, step))
        anchor = jnp.arange(len(self.start) - 1, dtype=jnp.int32)
        first = self._edge(jr.uniform(one, anchor.shape, self.share.dtype))
        hops = jr.randint(two, (len(anchor), self.strangers), 1, self.count, jnp.int32)
        others = (anchor[:, None] + hops) % self.count
        return jnp.concatenate([self.index[first][:, None], others], 1)

    def _edge(self, u):
        """The first edge of every anchor whose share is above its u, by bisection."""
        low, high = self.start[:-1], self.start[1:] - 1
        for _ in range(self.halvings):
            middle = (low + high) // 2
            above = self.share[middle] > u
            high = jnp.where(above, middle, high)
            low = jnp.minimum(jnp.where(above, low, middle + 1), high)
        return high


def draws(p: Graph, seed: int, strangers: int = STRANGERS) -> tuple[Draws, np.ndarray]:
    """Draws of the edges of a graph, and the weight of every anchor: that of its edges.

    Filled up to few lengths, so that graphs of about one size share a program.

    Args:
        p: a graph over one set.
        seed: of what is drawn.
        strangers: other points for every edge.

    Example:
        >>> import icon, numpy as np
        >>> from icon.recipes import edges
        >>> p = icon.graph([[0.0, 3.0, 1.0], [3.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
        >>> drawn, weight = edges.draws(p, seed=0)
        >>> drawn(0).shape, weight[:4].tolist()
        ((1024, 6), [4.0, 3.0, 1.0, 0.0])
    """
    matrix: Any = to_sparse(p)
    n, rows = p.shape[0], filled_length(p.shape[0])
    mass = np.asarray(matrix.sum(1)).ravel()
    before = np.concatenate([[0.0], np.cumsum(matrix.data)])
    own = np.repeat(before[matrix.indptr[:-1]], np.diff(matrix.indptr))
    share = (before[1:] - own) / np.repeat(mass, np.diff(matrix.indptr))
    share[matrix.indptr[1:][mass > 0] - 1] = 1  # whatever sums are rounded to
    edges = rounded_up(max(matrix.nnz, 32 * rows), coarse=False)
    longest = int(np.diff(matrix.indptr).max())
    drawn = Draws(
        on_device(filled(matrix.indices.astype(np.int32), edges)),
        on_device(filled(share.astype(np.float32), edges)),
        on_device(filled(matrix.indptr.astype(np.int32), rows + 1, matrix.nnz)),
        np.int32(n),
        jr.key(seed),
        strangers,
        max(8, (longest - 1).bit_length()),
    )
    return drawn, filled(mass.astype(np.float32), rows)


@dataclasses.dataclass(frozen=True)
class OfDrawn:
    """The loss of a cell over what is drawn; equal ones share a program."""

    cell: Cell
    q: Callable

    def __call__(self, z, index, weight, params):
        p, q = self.cell.supervised((index,)), self.q(z, index, **params)
        # all anchors at once: each has few candidates
        return self.cell.loss(p, q, weight=weight, block=len(z))


def descend(
    q: Callable,
    start: Float[ArrayLike, "n c"],
    p: Graph,
    steps: int = STEPS,
    rate: float = RATE,
    callbacks: Sequence[Callable] = (),
    *,
    params: dict[str, float] | None = None,
    strangers: int = STRANGERS,
    seed: int = 0,
):
    """Points that follow the gradient of sampled edges and strangers, by Adam.

    Of every anchor an edge is drawn by its weight, and a few other points: yes to the
    first, no to the others. Anchors count by the weight of their edges, so that on
    average every edge of the graph counts by its own. A step costs the same for every
    anchor, however many there are.

    Args:
        q: (points [n, c], index [n, k], **params) -> log-odds among those listed.
        start: [n, c].
        p: the graph, over one set.
        steps: how many.
        rate: the largest step of a coordinate.
        callbacks: (step, loss, z) -> True to stop; every 50 steps, z in NumPy.
        params: numbers of q by name.
        strangers: for every edge.
        seed: of what is drawn.

    Returns:
        z [n, c], and the history of icon.minimize, a loss for every 50 steps.

    Raises:
        DivergenceError: a loss that stops being finite; it holds the last good z.

    Example:
        >>> import icon, numpy as np
        >>> from icon.recipes import edges
        >>> x = np.random.default_rng(0).normal(size=(20, 3))
        >>> p = icon.symmetrize(icon.fuzzy(*icon.knn(x, 3)), icon.union)
        >>> q = lambda z, index: icon.bernoulli(icon.among(icon.student_t(z), index))
        >>> z, history = edges.descend(q, x[:, :2], p, steps=50)
        >>> z.shape, len(history.loss)
        ((20, 2), 1)

    Source: McInnes, Healy & Melville, UMAP, 2018; Damrich et al., From t-SNE to UMAP
    with contrastive learning, 2023.
    """
    z = np.asarray(check.floats("start", start))
    drawn, weight = draws(p, seed, strangers)
    numbers = {name: np.float32(x) for name, x in (params or {}).items()}
    args = drawn, on_device(weight), numbers
    start = on_device(filled(z, len(weight)))
    steps = check.size("steps", steps, 0)
    return followed(OfDrawn(CELL, q), start, args, len(z), steps, rate, callbacks)
