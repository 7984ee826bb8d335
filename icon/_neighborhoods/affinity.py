"""How much does each listed neighbour weigh, by how far it is?"""

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
from jaxtyping import Float, Int

from icon._base import checks as check
from icon._base.blocks import filled_length, on_device
from icon._base.numerics import lse, widen
from icon._neighborhoods.graph import Graph
from icon._neighborhoods.points import Points, gaussian
from icon._neighborhoods.protocol import EVERYBODY


COLUMNS = 96  # listed neighbours are filled up to a multiple of it
Listed = Int[ArrayLike, "n k"] | Sequence[Sequence[int]]
Distances = Float[ArrayLike, "n k"]


# ------------------------------------------------------- a list and its distances


def _checked_list(index, candidates):
    """Listed ids [n, k], how many candidates there are, and whether j = i is none."""
    index = check.ids("index", index, rank=2)
    n, excludes_self = index.shape[0], candidates is None
    count = n if excludes_self else check.count("candidates", candidates, 1)
    check.ids("index", index, below=count, rank=2)
    if check.concrete(index):
        rows = np.sort(np.asarray(index), 1)
        _require_no_row((rows[:, 1:] == rows[:, :-1]).any(1), "lists an id twice")
        is_self = excludes_self & (rows == np.arange(n)[:, None])
        _require_no_row(is_self.any(1), "lists itself; drop it, or pass candidates=")
    return index, count, excludes_self


def _require_no_row(bad, what: str):
    row = int(np.argmax(bad))
    good = "ids of others, each once"
    check.require(not bad.any(), "index", f"a row {row} that {what}", good)


def _checked_distances(distance, index):
    distance = check.floats("distance", distance)
    got = f"shapes {distance.shape} and {index.shape}"
    check.require(distance.shape == index.shape, "distance", got, "one per listed id")
    return check.at_least("distance", widen(distance), 0)


def _from_rows(index, logit, count, excludes_self) -> Graph:
    """Rows of one length, sorted by id so that a score can be looked up.

    On the host where they can be looked at: nothing is compiled for their size.
    """
    n, k = index.shape
    known = check.concrete(index, logit)
    xp: Any = np if known else jnp
    index, logit = map(xp.asarray, (index, logit))
    order = xp.argsort(index, 1)
    sort = lambda x: xp.take_along_axis(x, order, 1).reshape(-1)
    index, logit = map(sort, (index, logit))
    if known:
        index, logit = map(on_device, (index, logit))
    start = on_device(np.arange(n + 1) * k, np.int32)
    return Graph(index, logit, start, k, count, excludes_self)


def _bisect(rising: Callable, target, low, high, steps: int):
    """Where a rising function reaches the target, between two bounds."""

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        above = rising(middle) > target
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    low, high = lax.fori_loop(0, steps, halve, (low, high))
    return (low + high) / 2


# ------------------------------------------------------- all of one weight


def uniform(index: Listed, *, candidates: int | None = None) -> Graph:
    """The listed neighbours, each with the same probability.

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
    listed, count, excludes_self = _checked_list(index, candidates)
    zero = jnp.zeros(listed.shape, jnp.result_type(float))
    return _from_rows(listed, zero - math.log(listed.shape[1]), count, excludes_self)


# ------------------------------------------------------- perplexity


def entropic(
    index: Listed,
    distance: Distances,
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
    listed, count, excludes_self = _checked_list(index, candidates)
    distance = _checked_distances(distance, listed)
    levels, k = _levels(perplexity, distance), listed.shape[1]
    if not check.concrete(distance, levels):
        log_p, _ = _calibrate(distance, k, jnp.log(levels), kernel)
        mean = jax.nn.logsumexp(log_p, 0) - math.log(len(levels))
        return _from_rows(listed, mean, count, excludes_self)
    for level in levels.tolist():
        good = f"1 to {k}, the neighbours listed"
        check.require(1 <= level <= k, "perplexity", level, good)
    distance, levels = np.asarray(distance), np.asarray(levels)
    log_p, entropy = _calibrated(distance, levels, kernel)
    settle = ft.partial(_settled, distance)
    log_p = np.stack([*map(settle, levels.tolist(), log_p, entropy)])
    mean = np.logaddexp.reduce(log_p, 0) - log_p.dtype.type(math.log(len(log_p)))
    return _from_rows(listed, mean, count, excludes_self)


def _levels(perplexity, like):
    """One perplexity or several, as a vector."""
    several = isinstance(perplexity, list | tuple)
    h = len(perplexity) if several else (*np.shape(perplexity), 1)[0]
    shapes = (), (max(1, h),)
    levels = check.positive("perplexity", perplexity, like, shapes)
    return np.atleast_1d(levels) if check.concrete(levels) else jnp.atleast_1d(levels)


def _calibrated(distance: np.ndarray, levels: np.ndarray, kernel):
    """log p [h, n, k] and the entropies [h, n] reached, by a program of few sizes."""
    n, k = distance.shape
    more = (0, filled_length(n) - n), (0, 0 if _reads_rows(kernel) else -k % COLUMNS)
    full = np.pad(distance, more, constant_values=1)
    found = _calibrate(full, np.int32(k), np.log(levels), kernel)
    log_p, entropy = map(np.asarray, found)
    return log_p[:, :n, :k], entropy[:, :n]


def _reads_rows(kernel) -> bool:
    """Whether scores depend on the candidates beside: such a row is not filled up."""
    q = kernel(np.zeros((1, 1), np.float32), np.ones((2, 1), np.float32))
    return not isinstance(q, Points) or q.kernel.whole_rows


@ft.partial(jax.jit, static_argnames=("kernel",))
def _calibrate(distance, count, target, kernel):
    """log p [h, n, k] of every row at h entropies, and the entropies reached.

    Of its first `count` columns; others fill it up.
    """
    listed = jnp.arange(distance.shape[1], dtype=jnp.int32) < count
    total = jnp.sum(jnp.where(listed[None], distance, 0), 1, keepdims=True)
    mean = total / jnp.asarray(count, total.dtype)
    distance = distance / jnp.where(mean > 0, mean, 1)
    rows = jax.vmap(ft.partial(_at_entropy, kernel), (0, None, None))
    return jax.vmap(rows, (None, None, 0))(distance, listed, target)


def _at_entropy(kernel, distance, listed, target):
    """log p of one row at the scale that gives it this entropy, and the entropy.

    Scales are in units of the row's mean distance. e^60 is above all that are needed,
    and so is e^-20 of the nearest below, where the squares of the others are still
    floats: a tail is not cut off.
    """
    entropy = lambda log_scale: _log_p(kernel, distance, listed, log_scale)[1]
    nearest = jnp.min(jnp.where(listed & (distance > 0), distance, 1))
    bounds = jnp.log(nearest) - 20, jnp.full((), 60, distance.dtype)
    steps = jnp.finfo(distance.dtype).nmant + 8  # 2^-8 of the bounds is below 1
    scale = _bisect(entropy, target, *bounds, steps)
    log_p, reached = _log_p(kernel, distance, listed, scale)
    # above the least scale only rounding is between it and the target, as of a row
    # that is far from all others
    least = scale < bounds[0] + 1
    return log_p, jnp.where(least, reached, jnp.minimum(reached, target))


def _log_p(kernel, distance, listed, log_scale):
    """log p of one row at a scale, and its entropy, which rises with the scale."""
    candidates = (distance / jnp.exp(log_scale))[:, None]
    origin = jnp.zeros((1, 1), candidates.dtype)
    score = kernel(origin, candidates).score(0, EVERYBODY)
    score = jnp.where(listed, score, -jnp.inf)
    log_p = score - lse(score)
    p = jnp.exp(log_p)
    return log_p, -jnp.sum(jnp.where(p > 0, p * jnp.where(p > 0, log_p, 0), 0))


def _settled(distance, perplexity, log_p, entropy):
    """log p with ties spread evenly; other rows above the perplexity are refused."""
    log_p, reached = np.asarray(log_p), np.exp(np.asarray(entropy, np.float64))
    above = reached > perplexity * (1 + 1e-4)
    nearest = distance <= distance.min(1, keepdims=True)
    tied = above & (nearest.sum(1) > perplexity)
    floor = reached[above & ~tied].max(initial=0)
    feasible = f"{floor:.4g} to {distance.shape[1]}"
    good = f"{feasible}, what this kernel can reach on these rows"
    check.require(floor == 0, "perplexity", perplexity, good)
    if tied.any():
        got = f"{tied.sum()} of {len(tied)} anchors have more than {perplexity:.4g}"
        text = f"{got} nearest neighbours that tie: all alike"
        warnings.warn(text, stacklevel=3)  # to the caller of entropic
        alike = np.where(nearest, -np.log(nearest.sum(1, keepdims=True)), -np.inf)
        log_p = np.where(tied[:, None], alike, log_p).astype(log_p.dtype)
    return log_p


# ------------------------------------------------------- a width that is given


def fixed_scale(
    index: Listed,
    distance: Distances,
    *,
    scale: Float[ArrayLike, "*n"] | float,
    kernel: Callable = gaussian,
    candidates: int | None = None,
) -> Graph:
    """The listed neighbours under a kernel whose width is given, not searched for.

    $$p_{ij} \\propto k(d_{ij} / \\sigma)$$

    Under one width for all, anchors in dense regions have more neighbours than those in
    sparse ones, where `entropic` gives each as many.

    Args:
        index: integers [n, k], as knn gives them.
        distance: floats [n, k], from 0, not squared.
        scale: σ, in the unit of the distances, learnable; one, or one per anchor [n].
        kernel: what makes points from (anchors, candidates): gaussian, laplace, or
            functools.partial(student_t, dof=…).
        candidates: how many there are; None: the anchors themselves, without j = i.

    Raises:
        InvalidInput: a scale that is not above 0, or so small beside the distances of
            an anchor that no neighbour is left; negative distances, ids out of range.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> near = icon.knn(jnp.array([[0.0], [1.0], [3.0]]), 2)
        >>> icon.dense(icon.fixed_scale(*near, scale=2.0))[0].round(2).tolist()
        [0.0, 0.73, 0.27]

    Source: Poličar, Stražar & Zupan, openTSNE, 2024 (FixedSigma).
    """
    listed, count, excludes_self = _checked_list(index, candidates)
    distance = _checked_distances(distance, listed)
    n = listed.shape[0]
    widths = check.positive("scale", scale, distance, ((), (n,)))
    logit = _at_scale(distance, jnp.broadcast_to(widths, (n,)), kernel)
    if check.concrete(logit):
        lost = np.isnan(np.asarray(logit)).any(1)
        got = f"{np.min(np.asarray(widths)):.4g}: anchor {np.argmax(lost)} is alone"
        check.require(not lost.any(), "scale", got, "one nearer to the distances")
    return _from_rows(listed, logit, count, excludes_self)


@ft.partial(jax.jit, static_argnames=("kernel",))
def _at_scale(distance, scale, kernel):
    """log p [n, k] of every row at its scale."""
    every = jnp.ones(distance.shape[1:], bool)
    row = lambda distance, scale: _log_p(kernel, distance, every, jnp.log(scale))[0]
    return jax.vmap(row)(distance, scale)


# ------------------------------------------------------- local scales


def self_tuning(
    index: Listed,
    distance: Distances,
    *,
    rank: int = 7,
    candidates: int | None = None,
) -> Graph:
    """A Gaussian over given neighbours whose width both ends of a pair decide.

    $$p_{ij} \\propto \\exp(-d_{ij}^2 / (s_i s_j)), \\quad
      s_i = d(i, \\text{its neighbour of rank } r)$$

    Dense and sparse regions are each seen in their own unit. Of anchors that share
    their place with as many others as the rank, s is a thousandth of the median scale.

    Args:
        index: integers [n, k], as knn gives them, nearest first.
        distance: floats [n, k], from 0, not squared.
        rank: of the neighbour whose distance is the scale; k where there are fewer.
        candidates: None: the anchors themselves. Of another set the scales of the
            candidates are not known: s_i^2 stands for s_i s_j.

    Raises:
        InvalidInput: negative distances, ids out of range, rank < 1.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> p = icon.self_tuning(*icon.knn(jnp.array([[0.0], [1.0], [3.0]]), 2), rank=1)
        >>> icon.dense(p)[0].round(2).tolist()
        [0.0, 0.97, 0.03]

    Source: Zelnik-Manor & Perona, Self-tuning spectral clustering, 2004.
    """
    listed, count, excludes_self = _checked_list(index, candidates)
    distance = _checked_distances(distance, listed)
    column = min(check.count("rank", rank, 1), listed.shape[1]) - 1
    logit = _by_local_scale(distance, listed if excludes_self else None, column)
    return _from_rows(listed, logit, count, excludes_self)


@jax.jit
def _by_local_scale(distance, listed, column):
    """-d² / (s_i s_j), normalised; s_i² where the scales of others are not known."""
    scale = distance[:, column]
    least = 1e-3 * jnp.median(scale)
    scale = jnp.maximum(scale, jnp.where(least > 0, least, 1))
    other = scale[:, None] if listed is None else scale[listed]
    return jax.nn.log_softmax(-(distance / scale[:, None]) * (distance / other), 1)


# ------------------------------------------------------- memberships


def fuzzy(
    index: Listed, distance: Distances, *, candidates: int | None = None
) -> Graph:
    """UMAP's membership strengths, 1 for the nearest neighbour of every anchor.

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
    listed, count, excludes_self = _checked_list(index, candidates)
    distance = _checked_distances(distance, listed)
    logit = _log_strengths(distance, math.log2(listed.shape[1] + 1))
    return _from_rows(listed, logit, count, excludes_self)


@jax.jit
@ft.partial(jax.vmap, in_axes=(0, None))
def _log_strengths(distance, target):
    """log v of one row at the scale that gives its strengths this sum."""
    nearest = jnp.min(jnp.where(distance > 0, distance, jnp.inf))
    rho = jnp.where(jnp.isfinite(nearest), nearest, 0)
    beyond = jnp.maximum(distance - rho, 0)
    total = lambda log_scale: jnp.sum(jnp.exp(-beyond / jnp.exp(log_scale)))
    mean = jnp.mean(distance)
    unit = jnp.log(jnp.where(mean > 0, mean, 1))  # all in one place: any will do
    log_scale = _bisect(total, target, unit - 40, unit + 40, 60)
    return -beyond / jnp.exp(jnp.maximum(log_scale, unit + math.log(1e-3)))
