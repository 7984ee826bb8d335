"""Which neighbours are listed? Few per anchor, in rows of any length."""

import dataclasses
import functools as ft
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from icon._base import checks as check
from icon._base.blocks import on_device
from icon._base.numerics import lse, safe_log, widen
from icon._base.pytrees import pytree, static
from icon._neighborhoods.both_ends import both_ends
from icon._neighborhoods.protocol import Neighborhood
from icon._neighborhoods.rows import finite


VISITS = 2**20  # rows times the longest of them; beyond, edges are many times faster


@pytree
class Graph(Neighborhood):
    """A row of listed neighbours per anchor, one row after the other, by rising id."""

    index: Any  # [e], candidates
    logit: Any  # [e], log-weights
    start: Any  # [n + 1], where each row starts
    width: int = static()  # the longest row
    count: int = static()  # candidates
    excludes_self: bool = static()  # anchors are candidates too, and j = i is none

    is_sparse = True

    @property
    def shape(self) -> tuple[int, int]:
        return self.start.shape[0] - 1, self.count

    def _row(self, i):
        """i's candidates and their scores; past its end, the id `count` and -inf."""
        slot = self.start[i] + jnp.arange(self.width, dtype=jnp.int32)
        valid = slot < self.start[i + 1]
        slot = jnp.where(valid, slot, 0)
        ids = jnp.where(valid, self.index[slot], self.count)
        return ids, jnp.where(valid, self.logit[slot], -jnp.inf)

    def visit(self, i):
        ids, score = self._row(i)
        mass = lse(score)
        weight = jnp.exp(score - finite(mass))
        return jnp.where(ids < self.count, ids, 0), weight, score, mass

    def support(self, i):
        return self.visit(i)[:2]

    def score(self, i, at) -> Float[Array, " s"]:
        ids, score = self._row(i)
        if isinstance(at, slice):
            unlisted = jnp.full(self.count, -jnp.inf, score.dtype)
            return unlisted.at[ids].set(score, mode="drop")[at]
        place = jnp.minimum(jnp.searchsorted(ids, at), self.width - 1)
        return jnp.where(ids[place] == at, score[place], -jnp.inf)

    def log_mass(self, i) -> Float[Array, ""]:
        return lse(self._row(i)[1])

    @property
    def T(self) -> "Graph":
        check.require(check.concrete(self), "q.T", "a traced graph", "T outside of jit")
        return from_sparse(to_sparse(self).T, self.logit.dtype, self.excludes_self)

    def prepared(self):
        """The same with its edges listed from both ends, unless it is traced.

        A traced graph may learn; its rows are then padded to the longest, and visited.
        """
        if self.excludes_self and check.concrete(self):
            return self._both_ends
        if self.excludes_self and self.shape[0] * self.width > VISITS:
            slow = "a large graph that is traced is visited row by row, slowly"
            warnings.warn(
                f"{slow}; pass p.prepared() if it does not learn", stacklevel=2
            )
        return self

    @ft.cached_property
    def _both_ends(self):
        with jax.ensure_compile_time_eval():  # what is cached outlives a trace
            return both_ends(self, to_sparse(self))

    def restrict(self, ids, candidates=None) -> "Graph":
        r"""The listed neighbours that are among a batch of items.

        $$s_{ab} = \log w_{\mathrm{ids}_a\,\mathrm{ids}_b}$$

        Scores are those of the edges that stay inside, masses are what is left of
        them; a row that loses all its neighbours counts for nothing. Ids may be traced
        and the weights learn: one compilation serves all batches of a size. Each takes
        O(n + b k) memory, and the time to sort b rows of k, the longest row of the
        graph: a few long ones make all of them long.

        Args:
            ids: integers [b], each once, in any order. Where traced, one from n on or
                below 0 is an item without neighbours, which fills a short batch up;
                one that comes again is a candidate in its first place only.
            candidates: integers [c], of the candidates, where these are another set;
                j = i is then not left out.

        Raises:
            InvalidInput: ids out of range, or twice, where they are known; one list of
                ids for a graph that is not square.

        Example:
            >>> import icon
            >>> p = icon.graph([[0.0, 3.0, 1.0], [3.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
            >>> icon.dense(p.restrict([2, 0])).tolist()
            [[0.0, 1.0], [1.0, 0.0]]

        Source: Zeng et al., GraphSAINT, 2020 (a batch is the subgraph of its items).
        """
        n, m = self.shape
        both = "those of the candidates: restrict(ids, candidates)"
        square = candidates is not None or n == m
        check.require(square, "candidates", f"none for shape {(n, m)}", both)
        rows = columns = check.distinct("ids", ids, n)
        if candidates is not None:
            columns = check.distinct("candidates", candidates, m)
        excludes_self = self.excludes_self and candidates is None
        return dataclasses.replace(
            _restricted(self, rows, columns), excludes_self=excludes_self
        )

    def reweighed(self, weight) -> "Graph":
        weight = check.weights("weight", weight, self.logit, self.count)
        logit = self.logit + safe_log(weight[self.index])
        return dataclasses.replace(self, logit=logit)


# ------------------------------------------------------- among a batch


@jax.jit
def _restricted(graph: Graph, rows, columns) -> Graph:
    """The graph among these rows and columns, its edges one row after the other."""
    at, score = _inside(graph, rows, columns)
    b, width = at.shape
    kept = at < columns.shape[0]
    end = jnp.cumsum(jnp.sum(kept, 1, dtype=jnp.int32))
    start = jnp.concatenate([jnp.zeros_like(end[:1]), end])
    slot = start[:-1, None] + jnp.arange(width, dtype=jnp.int32)[None]
    slot = jnp.where(kept, slot, b * width)  # dropped
    index = jnp.zeros(b * width, jnp.int32).at[slot].set(at, mode="drop")
    logit = jnp.full(b * width, -jnp.inf, score.dtype).at[slot].set(score, mode="drop")
    return Graph(index, logit, start, width, columns.shape[0], False)


def _inside(graph: Graph, rows, columns):
    """The place of each neighbour in the batch, rising, and its score, [b, width].

    The place is the number of columns where it has none, and where a row has ended.
    """
    n, m = graph.shape
    none = columns.shape[0]
    columns = jnp.where(columns < 0, m, columns)  # an index from the end is none
    order = jnp.arange(none, dtype=jnp.int32)
    place = jnp.full(m, none, jnp.int32).at[columns].min(order, mode="drop")
    valid = (rows >= 0) & (rows < n)
    ids, score = jax.vmap(graph._row)(jnp.where(valid, rows, 0))
    at = place.at[ids].get(mode="fill", fill_value=none)
    at = jnp.where(valid[:, None], at, none)
    at, score = jax.lax.sort((at, score), dimension=1, num_keys=1)
    return at[:, :none], score[:, :none]


# ------------------------------------------------------- to and from the host


def to_sparse(graph: Graph):
    """A graph's weights as a sparse matrix, on the host."""
    import scipy.sparse as sp

    index, start = np.asarray(graph.index), np.asarray(graph.start)
    weight = np.exp(np.asarray(graph.logit, np.float64))
    edges = slice(start[-1])  # a graph without an edge still stores one, of no weight
    return sp.csr_array((weight[edges], index[edges], start), shape=graph.shape)


def from_sparse(matrix, dtype, excludes_self: bool) -> Graph:
    """The graph of a sparse matrix of weights; its scores have this dtype."""
    matrix = matrix.tocsr()
    matrix.sum_duplicates()
    with np.errstate(divide="ignore"):
        logit = on_device(np.log(matrix.data), dtype)
    index, start = (on_device(x, np.int32) for x in (matrix.indices, matrix.indptr))
    width = max(1, int(np.diff(matrix.indptr).max(initial=0)))
    if not len(index):  # a row is read even where none has an edge
        index, logit = jnp.zeros(1, jnp.int32), jnp.full(1, -jnp.inf, dtype)
    return Graph(index, logit, start, width, matrix.shape[1], excludes_self)


def graph(matrix) -> Graph:
    """A graph from its weights, which are kept as they are.

    $$p_{ij} = w_{ij} / \\textstyle\\sum_k w_{ik}$$

    A square matrix with an empty diagonal is one set, without j = i.

    Args:
        matrix: [n, m], dense or any scipy sparse format, from 0. Entries that a sparse
            format stores count as listed even where they are 0.

    Raises:
        InvalidInput: not a matrix, negative weights, nan.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> p = icon.graph([[0.0, 3.0, 1.0], [3.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
        >>> icon.dense(p)[0].tolist()
        [0.0, 0.75, 0.25]

    Source: Tang et al., LINE: large-scale information network embedding, 2015.
    """
    import scipy.sparse as sp

    if not sp.issparse(matrix):
        matrix = np.asarray(widen(check.floats("matrix", matrix)))
    weights: Any = sp.csr_array(matrix)
    n, m = weights.shape
    check.require(n and m, "matrix", f"shape {(n, m)}", "at least one entry")
    check.require(weights.nnz, "matrix", "no entry", "a neighbour for some anchor")
    check.at_least("matrix", check.floats("matrix", weights.data, 1), 0)
    check.require(
        weights.data.max() > 0, "matrix", "zeros only", "a neighbour for some anchor"
    )
    excludes_self = n == m and not weights.diagonal().any()
    dtype = np.promote_types(weights.dtype, np.float32)
    return from_sparse(weights, jax.dtypes.canonicalize_dtype(dtype), excludes_self)
