"""Neighbours that are listed."""

import dataclasses
import functools as ft
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from icon._base import checks as check
from icon._base.numerics import lse, safe_log, widen
from icon._neighborhoods.points import EVERYBODY, gaussian, pytree, static


Listed = Int[ArrayLike, "n k"] | Sequence[Sequence[int]]
Apart = Float[ArrayLike, "n k"]


@pytree
class Graph:
    """A row of listed neighbours per anchor, one row after the other, by rising id."""

    index: Any  # [e], candidates
    logit: Any  # [e], log-weights
    start: Any  # [n + 1], where each row starts
    width: int = static()  # the longest row
    count: int = static()  # candidates
    within: bool = static()  # nobody is their own neighbour

    @property
    def shape(self) -> tuple[int, int]:
        return self.start.shape[0] - 1, self.count

    def _row(self, i):
        """i's candidates and their scores; past its end, the id `count` and -inf."""
        slot = self.start[i] + jnp.arange(self.width, dtype=jnp.int32)
        there = slot < self.start[i + 1]
        slot = jnp.where(there, slot, 0)
        ids = jnp.where(there, self.index[slot], self.count)
        return ids, jnp.where(there, self.logit[slot], -jnp.inf)

    def visit(self, i):
        ids, score = self._row(i)
        mass = lse(score)
        weight = jnp.exp(score - jnp.where(mass > -jnp.inf, mass, 0))
        return jnp.where(ids < self.count, ids, 0), weight, score, mass

    def support(self, i):
        return self.visit(i)[:2]

    def score(self, i, at) -> Float[Array, " s"]:
        ids, score = self._row(i)
        if isinstance(at, slice):
            nobody = jnp.full(self.count, -jnp.inf, score.dtype)
            return nobody.at[ids].set(score, mode="drop")[at]
        place = jnp.minimum(jnp.searchsorted(ids, at), self.width - 1)
        return jnp.where(ids[place] == at, score[place], -jnp.inf)

    def log_mass(self, i) -> Float[Array, ""]:
        return lse(self._row(i)[1])

    @property
    def T(self) -> "Graph":
        check.require(check.concrete(self), "q.T", "a traced graph", "T outside of jit")
        return _from_sparse(to_sparse(self).T, self.logit.dtype, self.within)

    def prepared(self):
        """The same p with its edges seen from both ends, once, before many steps."""
        return self._both_ends if self.within and check.concrete(self) else self

    @ft.cached_property
    def _both_ends(self):
        from icon._engines.edges import both_ends

        with jax.ensure_compile_time_eval():  # it outlives whoever traces
            return both_ends(self, to_sparse(self))

    def reweighed(self, weight) -> "Graph":
        weight = check.weights("weight", weight, self.logit, self.count)
        return dataclasses.replace(
            self, logit=self.logit + safe_log(weight[self.index])
        )


# ------------------------------------------------------- graphs from lists


def _listed(index, candidates, rank: int = 2):
    """A list of neighbours [n, k], checked; how many candidates, and whether j ≠ i."""
    index = check.ids("index", index, rank=rank)
    n, within = index.shape[0], candidates is None
    count = n if within else check.count("candidates", candidates, 1)
    check.ids("index", index, below=count, rank=rank)
    if check.concrete(index):
        rows = np.sort(np.asarray(index), 1)
        _no_row("index", (rows[:, 1:] == rows[:, :-1]).any(1), "lists an id twice")
        if within:
            mine = (rows == np.arange(n)[:, None]).any(1)
            _no_row("index", mine, "lists itself; drop it, or pass candidates=")
    return index, count, within


def _no_row(argument, bad, what):
    row = int(np.argmax(bad)) if bad.size else 0
    good = "ids of others, each once"
    check.require(not bad.any(), argument, f"a row {row} that {what}", good)


def _from_rows(index, logit, count, within) -> Graph:
    """Rows of one length, sorted by id so that a score can be looked up."""
    n, k = index.shape
    order = jnp.argsort(index, 1)
    sort = lambda x: jnp.take_along_axis(x, order, 1).reshape(-1)
    start = jnp.arange(n + 1, dtype=jnp.int32) * k
    return Graph(sort(index), sort(logit), start, k, count, within)


def uniform(index: Listed, *, candidates: int | None = None) -> Graph:
    """The listed neighbours, all alike.

    $$p_{ij} = 1/k \\text{ for the } k \\text{ listed } j$$

    Args:
        index: integers [n, k], as knn gives them.
        candidates: how many there are; None: the anchors themselves, without j = i.

    Raises:
        InvalidInput: ids out of range, listed twice, or an anchor that lists itself.

    Example:
        >>> import icon
        >>> icon.dense(icon.uniform([[1, 2], [0, 2], [0, 1]]))[0].tolist()
        [0.0, 0.5, 0.5]

    Source: Böhm, Berens & Kobak, Attraction-repulsion spectrum, 2022.
    """
    listed, count, within = _listed(index, candidates)
    zero = jnp.zeros(listed.shape, jnp.result_type(float))
    return _from_rows(listed, zero - math.log(listed.shape[1]), count, within)


# ------------------------------------------------------- perplexity


def _row_entropy(kernel, distance, log_scale):
    """log p of one row at a scale, and its entropy."""
    near = (distance / jnp.exp(log_scale))[:, None]
    at_zero = kernel(jnp.zeros((1, 1), near.dtype), near)
    score = at_zero.score(0, EVERYBODY)
    log_p = score - lse(score)
    p = jnp.exp(log_p)
    return log_p, -jnp.sum(jnp.where(p > 0, p * jnp.where(p > 0, log_p, 0), 0))


def _bisect(kernel, distance, target):
    """The scale of one row at the target entropy, which rises with the scale."""
    entropy = lambda log_scale: _row_entropy(kernel, distance, log_scale)[1]

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        above = entropy(middle) > target
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    # in units of the row's mean distance; e^60 is out of reach, and so is e^-20 of the
    # nearest, where the squares of the others are still floats: a tail is not cut off
    near = jnp.min(jnp.where(distance > 0, distance, 1))
    bounds = jnp.log(near) - 20, jnp.full((), 60, distance.dtype)
    steps = jnp.finfo(distance.dtype).nmant + 8  # 2^-8 of the bounds is below 1
    low, high = lax.fori_loop(0, steps, halve, bounds)
    return _row_entropy(kernel, distance, (low + high) / 2)


@ft.partial(jax.jit, static_argnames=("kernel",))
def _calibrate(distance, target, kernel):
    """log p [h, n, k] of every row at h entropies, and the entropies reached."""
    mean = jnp.mean(distance, 1, keepdims=True)
    distance = distance / jnp.where(mean > 0, mean, 1)
    rows = jax.vmap(ft.partial(_bisect, kernel), (0, None))
    return jax.vmap(rows, (None, 0))(distance, target)


def _mixed(log_p):
    """The mean of several distributions, of their logs [h, n, k]."""
    many = len(log_p)
    return log_p[0] if many == 1 else jax.nn.logsumexp(log_p, 0) - math.log(many)


def _levels(perplexity, like):
    """One perplexity or several, as a vector."""
    some = len(perplexity) if isinstance(perplexity, list | tuple) else 1
    some = next(iter(getattr(perplexity, "shape", ())), some)
    shapes = (), (max(1, some),)
    return jnp.atleast_1d(check.positive("perplexity", perplexity, like, shapes))


def _settle(log_p, entropy, distance, perplexity):
    """Rows that no scale brings to the perplexity: ties are told, the rest refused."""
    log_p, reached = np.asarray(log_p), np.exp(np.asarray(entropy, np.float64))
    off = reached > perplexity * (1 + 1e-4)
    nearest = distance <= distance.min(1, keepdims=True)
    tied = off & (nearest.sum(1) > perplexity)
    floor = reached[off & ~tied].max(initial=0)
    check.require(
        floor == 0,
        "perplexity",
        perplexity,
        f"{floor:.4g} to {distance.shape[1]}, what this kernel can reach on these rows",
    )
    if tied.any():
        many = f"{tied.sum()} of {len(tied)} anchors have more than {perplexity:.4g}"
        warnings.warn(f"{many} nearest neighbours that tie: all alike", stacklevel=4)
        alike = np.where(nearest, -np.log(nearest.sum(1, keepdims=True)), -np.inf)
        log_p = np.where(tied[:, None], alike, log_p).astype(log_p.dtype)
    return jnp.asarray(log_p)


def entropic(
    index: Listed,
    distance: Apart,
    *,
    perplexity: Float[ArrayLike, "*h"] | float | Sequence[float] = 30.0,
    kernel: Callable = gaussian,
    candidates: int | None = None,
) -> Graph:
    """The listed neighbours under a kernel whose width gives every anchor one entropy.

    $$p_{ij} \\propto k(d_{ij} / \\sigma_i), \\quad
      \\exp H(p_i) = \\mathrm{perplexity}$$

    Several perplexities give the mean of their distributions,
    $p_{ij} = \\tfrac{1}{h} \\sum_{l=1}^{h} p_{ij}^{(l)}$, each at a width of its own.

    Args:
        index: integers [n, k], as knn gives them.
        distance: floats [n, k], from 0, not squared.
        perplexity: the effective number of neighbours, from 1 to k; or several [h].
        kernel: what makes points from (anchors, candidates): gaussian, laplace, or
            functools.partial(student_t, dof=…), whose perplexity has a floor.
        candidates: how many there are; None: the anchors themselves, without j = i.

    Raises:
        InvalidInput: a perplexity above k or below the kernel's floor (the text names
            what is feasible), negative distances, ids out of range.

    Warns: once per perplexity, with the number of anchors that have more tied nearest
    neighbours than that; those get the nearest feasible distribution, all tied alike.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> x = jnp.arange(10.0)[:, None]
        >>> p = icon.dense(icon.entropic(*icon.knn(x, 9), perplexity=4))
        >>> entropy = -jnp.sum(jnp.where(p > 0, p * jnp.log(p), 0), 1)
        >>> bool(jnp.allclose(jnp.exp(entropy), 4, rtol=1e-5))
        True

    Source: Hinton & Roweis, Stochastic neighbor embedding, 2002; several perplexities:
    Kobak & Berens, The art of using t-SNE for single-cell transcriptomics, 2019, after
    De Bodt et al., Perplexity-free t-SNE and twice Student tt-SNE, 2018.
    """
    listed, count, within = _listed(index, candidates)
    distance = _distances(distance, listed)
    levels = _levels(perplexity, distance)
    seen = check.concrete(distance, levels)
    if seen:
        _feasible(levels, listed.shape[1])
    log_p, entropy = _calibrate(distance, jnp.log(levels), kernel)
    if seen:
        log_p = _settled(log_p, entropy, np.asarray(distance), levels)
    return _from_rows(listed, _mixed(log_p), count, within)


def _feasible(levels, k):
    for level in levels.tolist():
        feasible = f"1 to {k}, the neighbours listed"
        check.require(1 <= level <= k, "perplexity", level, feasible)


def _settled(log_p, entropy, distance, levels):
    settled = []  # a comprehension is a frame more to warn past, before Python 3.12
    for p, h, level in zip(log_p, entropy, levels.tolist(), strict=True):
        settled.append(_settle(p, h, distance, level))
    return jnp.stack(settled)


def _distances(distance, index):
    distance = check.floats("distance", distance)
    got = f"shapes {distance.shape} and {index.shape}"
    check.require(distance.shape == index.shape, "distance", got, "one per listed id")
    return check.at_least("distance", widen(distance), 0)


def _membership(distance, target):
    """UMAP's strengths of one row: 1 for the nearest, log2(k + 1) in total."""
    near = jnp.min(jnp.where(distance > 0, distance, jnp.inf))
    past = jnp.maximum(distance - jnp.where(jnp.isfinite(near), near, 0), 0)
    total = lambda log_scale: jnp.sum(jnp.exp(-past / jnp.exp(log_scale)))

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        above = total(middle) > target
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    mean = jnp.mean(distance)
    middle = jnp.log(jnp.where(mean > 0, mean, 1))  # all in one place: any will do
    low, high = lax.fori_loop(0, 60, halve, (middle - 40, middle + 40))
    return -past / jnp.exp(jnp.maximum((low + high) / 2, middle + math.log(1e-3)))


def fuzzy(index: Listed, distance: Apart, *, candidates: int | None = None) -> Graph:
    """UMAP's membership strengths: the nearest neighbour of everybody is certain.

    $$v_{ij} = \\exp(-\\max(0, d_{ij} - \\rho_i) / \\sigma_i), \\quad
      \\textstyle\\sum_j v_{ij} = \\log_2(k + 1)$$

    Masses are kept as they are, so that `symmetrize(…, combine=union)` and `odds` read
    each strength as a probability; k + 1 because UMAP counts the anchor itself.

    Args:
        index: integers [n, k], as knn gives them.
        distance: floats [n, k], from 0, not squared.
        candidates: how many there are; None: the anchors themselves, without j = i.

    Raises:
        InvalidInput: negative distances, ids out of range.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> strength = icon.fuzzy(*icon.knn(jnp.array([[0.0], [1.0], [3.0], [4.0]]), 2))
        >>> float(jnp.exp(strength.score(0, jnp.array([1]))[0]))
        1.0

    Source: McInnes, Healy & Melville, UMAP, 2018.
    """
    listed, count, within = _listed(index, candidates)
    distance = _distances(distance, listed)
    logit = jax.vmap(_membership, (0, None))(distance, math.log2(listed.shape[1] + 1))
    return _from_rows(listed, logit, count, within)


# ------------------------------------------------------- from graphs, on the host


def to_sparse(graph: Graph):
    """A graph's weights as a sparse matrix, on the host."""
    import scipy.sparse as sp

    index, start = np.asarray(graph.index), np.asarray(graph.start)
    data = np.exp(np.asarray(graph.logit, np.float64))
    there = slice(start[-1])  # a graph without an edge still stores one, of no weight
    return sp.csr_array((data[there], index[there], start), shape=graph.shape)


def _from_sparse(matrix, dtype, within: bool) -> Graph:
    matrix = matrix.tocsr()
    matrix.sum_duplicates()
    with np.errstate(divide="ignore"):
        logit = jnp.asarray(np.log(matrix.data), dtype)
    index, start = (jnp.asarray(x, jnp.int32) for x in (matrix.indices, matrix.indptr))
    width = max(1, int(np.diff(matrix.indptr).max(initial=0)))
    if not len(index):  # a row is read even where nobody lists anybody
        index, logit = jnp.zeros(1, jnp.int32), jnp.full(1, -jnp.inf, dtype)
    return Graph(index, logit, start, width, matrix.shape[1], within)


def _normalized(matrix):
    """Rows of mass one; an empty row stays empty."""
    import scipy.sparse as sp

    mass = matrix.sum(1)
    return sp.csr_array(sp.diags_array(1 / np.where(mass > 0, mass, 1)) @ matrix)


def graph(matrix) -> Graph:
    """A graph from its weights, which are kept as they are.

    $$p_{ij} = w_{ij} / \\textstyle\\sum_k w_{ik}$$

    A square matrix with an empty diagonal is one set, where nobody is their own
    neighbour.

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
        matrix = np.asarray(check.floats("matrix", matrix))
    weights: Any = sp.csr_array(matrix)
    n, m = weights.shape
    check.require(n and m, "matrix", f"shape {(n, m)}", "at least one entry")
    if weights.nnz:
        check.at_least("matrix", check.floats("matrix", weights.data, 1), 0)
    alone = n == m and not weights.diagonal().any()
    kind = weights.data.dtype
    kind = kind if kind.itemsize < 8 else jnp.result_type(float)
    return _from_sparse(weights, kind, alone)


def union(a, b):
    """The probabilistic or of two strengths: a + b - ab."""
    return a + b - a * b


def mean(a, b):
    return (a + b) / 2


def symmetrize(graph: Graph, combine: Callable = mean) -> Graph:
    """A graph made symmetric: every edge combined with its reverse.

    $$p_{ij} \\leftarrow c(p_{ij}, p_{ji})$$

    Weights are combined as they are, and rows are not normalised again.

    Args:
        graph: over one set, as many candidates as anchors.
        combine: (weights, weights of the reverse) -> weights, 0 where there is no
            edge: the mean, numpy.maximum, or a + b - ab.

    Raises:
        InvalidInput: a graph that is not square, or no graph.

    Example:
        >>> import icon
        >>> p = icon.symmetrize(icon.graph([[0.0, 1.0], [0.0, 0.0]]))
        >>> icon.dense(p).tolist()
        [[0.0, 1.0], [1.0, 0.0]]

    Source: van der Maaten & Hinton, Visualizing data using t-SNE, 2008.
    """
    import scipy.sparse as sp

    _square(graph)
    there = to_sparse(graph)
    kind = np.result_type(graph.logit.dtype, np.complex64)
    there = there.astype(kind)  # an edge and its reverse, as one number
    both = sp.csr_array(there + 1j * there.T)
    pairs: Any = both.data
    weight = combine(pairs.real, pairs.imag)
    merged = sp.csr_array((weight, both.indices, both.indptr), shape=graph.shape)
    return _from_sparse(merged, graph.logit.dtype, graph.within)


def _square(graph):
    check.answers("graph", graph, "logit", "start")
    square = graph.shape[0] == graph.shape[1]
    check.require(
        square, "graph", f"shape {graph.shape}", "as many candidates as anchors"
    )
    check.require(check.concrete(graph), "graph", "a traced graph", "it outside of jit")


def _heaviest(matrix, keep: int):
    """The `keep` heaviest entries of each row."""
    import scipy.sparse as sp

    matrix = matrix.tocsr()
    rank = np.empty(matrix.nnz, int)
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))
    rank[order] = np.arange(matrix.nnz) - matrix.indptr[row[order]]
    data = np.where(rank < keep, matrix.data, 0)
    kept = sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
    kept.eliminate_zeros()
    return kept


def propagate(
    graph: Graph, steps: int, *, uniform: bool = False, keep: int | None = None
) -> Graph:
    """Neighbours of neighbours: the mean of the walks of 1 to steps + 1 steps.

    $$\\tilde P = \\tfrac{1}{s+1}(P + P^2 + \\dots + P^{s+1}), \\quad
      \\tilde P^{\\mathrm{uniform}} \\propto 1[\\tilde P > 0]$$

    Over one set, the mass that returns to its anchor is dropped; rows have mass 1.

    Args:
        graph: over one set, as many candidates as anchors.
        steps: s, from 0, which is P itself.
        uniform: everybody who can be reached, alike.
        keep: only this many of the heaviest neighbours per anchor; None: all.

    Raises:
        InvalidInput: a graph that is not square, steps < 0, keep < 1.

    Example:
        >>> import icon
        >>> chain = icon.graph([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
        >>> icon.dense(icon.propagate(chain, 1))[0].tolist()
        [0.0, 0.5, 0.5]

    Source: Alshammari et al., I-Con, 2025 (neighbour propagation).
    """
    import scipy.sparse as sp

    _square(graph)
    steps = check.count("steps", steps, 0)
    walk = step = _normalized(to_sparse(graph))
    total = walk
    for _ in range(steps):
        walk = walk @ step
        total = total + walk
    if graph.within:
        total = total - sp.diags_array(total.diagonal())
        total.eliminate_zeros()
    if keep is not None:
        total = _heaviest(total, check.count("keep", keep, 1))
    if uniform:
        total.data = np.ones_like(total.data)
    return _from_sparse(_normalized(total), graph.logit.dtype, graph.within)
