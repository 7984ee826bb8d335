"""Which neighbourhoods are made of others?"""

import dataclasses
import functools as ft
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icon._base import checks as check
from icon._base.numerics import HIGHEST, common, log_mixture, log_odds, lse, safe_log
from icon._base.pytrees import pytree, static
from icon._neighborhoods.protocol import (
    EVERYBODY,
    ONE_OR_TWO,
    Neighborhood,
    as_neighborhood,
    as_part,
    of_base,
)
from icon._neighborhoods.rows import finite


LOOKED_AT = 2**20  # scores, up to which values are checked


def _log_prob(q, i, at):
    """log q_ij; -inf for an anchor without a neighbour."""
    return q.score(i, at) - finite(q.log_mass(i))


def _drawn(key, i, count: int, q):
    """Ids of candidates, uniform, with replacement; not i in one set."""
    i = jnp.asarray(i, jnp.int32)
    others = q.shape[1] - q.excludes_self
    key = jax.random.fold_in(key, i)
    ids = jax.random.randint(key, (count,), 0, others, jnp.int32)
    return jnp.where(ids >= i, ids + 1, ids) if q.excludes_self else ids


@of_base("shape sets excludes_self is_self listed")
class Around(Neighborhood):
    """A neighbourhood around a base, over the same anchors and candidates."""

    base: Any


# ------------------------------------------------------- a mixture with the uniform


@pytree
class Smoothed(Around):
    """`base`, mixed with the uniform distribution over the candidates it allows."""

    base: Any
    alpha: Any

    @property
    def is_normalized(self):
        return self.base.is_normalized

    @property
    def T(self):
        return dataclasses.replace(self, base=self.base.T)

    @property
    def wants_edges(self):
        return self.base.wants_edges and not self.excludes_self

    def as_factors(self):
        base = None if self.excludes_self else self.base.as_factors()
        if base is None:
            return None
        alpha = self.alpha.astype(base.share.dtype)
        root, share, floor = base
        floor = (1 - alpha) * floor + alpha / self.shape[1]
        return base._replace(root=root, share=(1 - alpha) * share, floor=floor)

    def gathered(self, gather, first):
        return dataclasses.replace(self, base=self.base.gathered(gather, first))

    def listed(self, i):
        return EVERYBODY

    def support(self, i):
        # not exp(score), whose gradient in alpha is lost where alpha = 0 leaves a 0
        base = jnp.exp(_log_prob(self.base, i, EVERYBODY))
        alpha = self.alpha.astype(base.dtype)
        mixed = (1 - alpha) * base + alpha / (self.shape[1] - self.excludes_self)
        return EVERYBODY, jnp.where(self._excluded(i, EVERYBODY), 0, mixed)

    def score(self, i, at):
        base = _log_prob(self.base, i, at)
        uniform = -jnp.log(jnp.asarray(self.shape[1] - self.excludes_self, base.dtype))
        mixed = log_mixture(base, uniform, self.alpha.astype(base.dtype))
        return jnp.where(self._excluded(i, at), -jnp.inf, mixed)

    def _excluded(self, i, at):
        itself = self.is_self(i, at) if self.excludes_self else False
        return itself | (self.base.log_mass(i) == -jnp.inf)

    def log_mass(self, i):
        mass = self.base.log_mass(i)
        return jnp.where(mass == -jnp.inf, -jnp.inf, jnp.zeros_like(mass))


@pytree
class SampledSmoothed(Around):
    """A smoothed sparse p: its neighbours, and a few of all candidates at random."""

    base: Smoothed
    key: Any
    samples: int = static()
    repeats = True

    @property
    def is_normalized(self):
        return self.base.is_normalized

    def listed(self, i):
        return EVERYBODY

    def support(self, i):
        at, weight = self.base.base.support(i)
        drawn = _drawn(self.key, i, self.samples, self)
        alpha = self.base.alpha.astype(weight.dtype)
        uniform = jnp.full(self.samples, 1 / self.samples, weight.dtype)
        present = (self.log_mass(i) != -jnp.inf).astype(weight.dtype)
        weight = jnp.concatenate([weight * (1 - alpha), uniform * alpha * present])
        return jnp.concatenate([at, drawn.astype(at.dtype)]), weight

    def score(self, i, at):
        return self.base.score(i, at)

    def log_mass(self, i):
        return self.base.log_mass(i)


def smooth(p, alpha, *, samples: int | None = None, key=None):
    """p mixed with the uniform distribution: label smoothing, debiasing.

    $$\\tilde p_{ij} = (1 - \\alpha)\\,p_{ij} + \\alpha / |J(i)|$$

    over the candidates J(i) that p allows: one set never gives mass to j = i. alpha = 0
    is p itself, and a lonely anchor stays lonely. Works on either side of the loss.

    Args:
        p: neighbours among listed candidates.
        alpha: from 0 to 1, learnable.
        samples: on a listed p, only this many of all candidates, drawn uniformly
            per anchor, without bias; None: all of them.
        key: a JAX key, with samples.

    Raises:
        InvalidInput: alpha outside [0, 1], samples without a key or without a listed p.

    Example:
        >>> import icon
        >>> p = icon.smooth(icon.same([0, 0, 1, 1, 1]), 0.4)
        >>> icon.dense(p)[0].round(2).tolist()
        [0.0, 0.7, 0.1, 0.1, 0.1]

    Source: Alshammari et al., I-Con, 2025 (debiasing).
    """
    p = as_part("p", p)
    smoothed = Smoothed(p, check.fraction("alpha", alpha, jnp.zeros(())))
    if samples is None:
        check.require(key is None, "key", "a key", "None unless there are samples")
        return smoothed
    dense = "None where p has all candidates as neighbours"
    check.require(p.is_sparse, "samples", samples, dense)
    count = check.draws("samples", samples)
    return SampledSmoothed(smoothed, check.key("key", key), count)


# ------------------------------------------------------- a mixture of several


@pytree
class Mixture(Neighborhood):
    """Several neighbourhoods over the same anchors and candidates, by their weights."""

    parts: tuple
    weight: Any  # [k], relative

    @property
    def shape(self):
        return self.parts[0].shape

    @property
    def sets(self):
        return next((p.sets for p in self.parts if p.sets), None)

    @property
    def is_normalized(self):
        return all(p.is_normalized for p in self.parts)

    @property
    def excludes_self(self):
        return all(p.excludes_self for p in self.parts)

    @property
    def is_sparse(self):
        return all(p.is_sparse for p in self.parts)

    def is_self(self, i, at):
        return self.parts[0].is_self(i, at)

    @property
    def T(self):
        return Mixture(tuple(p.T for p in self.parts), self.weight)

    def gathered(self, gather, first):
        parts = tuple(p.gathered(gather, first) for p in self.parts)
        return Mixture(parts, self.weight)

    def _weights(self, i):
        """The weights of the parts in which i has a neighbour, summing to one."""
        present = jnp.stack([p.log_mass(i) != -jnp.inf for p in self.parts])
        weight = jnp.where(present, self.weight, 0)
        return weight / jnp.where(jnp.sum(weight) == 0, 1, jnp.sum(weight))

    def score(self, i, at):
        parts = [_log_prob(p, i, at) for p in self.parts]
        dtype = ft.reduce(np.promote_types, [x.dtype for x in parts])
        log_prob = jnp.stack([x.astype(dtype) for x in parts])
        peak = finite(jax.lax.stop_gradient(jnp.max(log_prob, 0)))
        weight = self._weights(i).astype(log_prob.dtype)
        return safe_log(weight @ jnp.exp(log_prob - peak[None])) + peak

    def support(self, i):
        if not self.is_sparse:
            return EVERYBODY, jnp.exp(self.score(i, EVERYBODY))
        supports = [p.support(i) for p in self.parts]
        at = jnp.concatenate([ids for ids, _ in supports])
        first = [weight != 0 for _, weight in supports]
        for k, p in enumerate(self.parts):  # listed by one part, it counts in that one
            for later in range(k + 1, len(self.parts)):
                first[later] &= p.score(i, supports[later][0]) == -jnp.inf
        prob = jnp.exp(self.score(i, at))
        return at, jnp.where(jnp.concatenate(first), prob, 0)

    def log_mass(self, i):
        dtypes = [p.log_mass(i).dtype for p in self.parts]
        mass = jnp.zeros((), ft.reduce(np.promote_types, dtypes))
        return jnp.where(jnp.sum(self._weights(i)) == 0, -jnp.inf, mass)


def mix(*neighborhoods, weights=None) -> Mixture:
    """A mixture of neighbourhoods: kNN and labels, a teacher and pairs.

    $$p_{ij} = \\textstyle\\sum_k w_k\\,p^k_{ij} \\big/ \\sum_k w_k$$

    summed over the parts in which anchor i has a neighbour, so that an item without a
    label follows its kNN alone. Works on either side of the loss, also in a jitted
    batch.

    Args:
        *neighborhoods: over the same anchors and candidates, one after the other or in
            one sequence; the weights may come last instead of by name.
        weights: floats [k], from 0, relative; learnable.

    Raises:
        InvalidInput: fewer than one neighbourhood, other shapes, a continuum, another
            number of weights, negative ones.

    Example:
        >>> import icon
        >>> labels, pairs = icon.same([0, 0, 0, 1]), icon.same([0, 0, 1, 1])
        >>> icon.dense(icon.mix(labels, pairs, [1.0, 3.0])).round(3).tolist()[:3]
        [[0.0, 0.875, 0.125, 0.0], [0.875, 0.0, 0.125, 0.0], [0.125, 0.125, 0.0, 0.75]]

    Source: Alshammari et al., I-Con, 2025 (mixtures of supervisory distributions).
    """
    expected = "a weight for each: mix(p1, p2, weights) or weights=weights"
    if weights is None:
        *neighborhoods, weights = neighborhoods or (None,)
        is_part = weights is None or isinstance(weights, Neighborhood)
        check.require(not is_part, "weights", "none", expected)
    if len(neighborhoods) == 1 and isinstance(neighborhoods[0], Sequence):
        (neighborhoods,) = neighborhoods
    check.require(len(neighborhoods), "neighborhoods", "none", "one at least")
    parts = tuple(as_part("neighborhoods", p) for p in neighborhoods)
    shapes = {p.shape for p in parts}
    got = f"shapes {' and '.join(map(str, sorted(shapes)))}"
    check.require(len(shapes) == 1, "neighborhoods", got, "one shape")
    both = {1, 2} <= {p.sets for p in parts}
    check.require(not both, "neighborhoods", "one set, and two", ONE_OR_TWO)
    return Mixture(parts, check.weights("weights", weights, jnp.zeros(()), len(parts)))


# ------------------------------------------------------- only some, some nearer


@pytree
class Among(Around):
    """The same scores over the candidates that are listed for each anchor."""

    base: Any
    index: Any  # [n, k]

    @property
    def sets(self):
        return None  # candidates are listed, whichever they are

    @property
    def is_limit(self):
        return self.base.is_limit

    @property
    def is_signed(self):
        return self.base.is_signed

    def listed(self, i):
        return self.index[i]

    def support(self, i):
        score = self.base.score(i, self.index[i])
        return self.index[i], jax.grad(self.mass)(score, self.index[i])

    def score(self, i, at):
        score, count = self.base.score(i, at), self._count(i, at)
        if not self.is_limit:
            score = score + jnp.log(jnp.maximum(count, 1).astype(score.dtype))
        return jnp.where(count > 0, score, -jnp.inf)

    def _count(self, i, at):
        """How often each candidate is listed."""
        if isinstance(at, slice):
            return jnp.zeros(self.shape[1], jnp.int32).at[self.index[i]].add(1)[at]
        return jnp.sum(at[:, None] == self.index[i][None], 1, dtype=jnp.int32)

    def log_mass(self, i):
        return self.mass(self.base.score(i, self.index[i]), self.index[i])

    def mass(self, score, at):
        return self.base.mass(score, at)

    def reduced(self, reduction):
        return dataclasses.replace(self, base=self.base.reduced(reduction))


def among(q, index) -> Among:
    """The same scores over the candidates that are listed for each anchor.

    $$q_{ij} = e^{s_{ij}} / \\textstyle\\sum_{k \\in \\mathrm{index}_i} e^{s_{ik}}$$

    Sampled negatives, memory banks, triplets: list the positive among them.

    Args:
        q: the neighbours.
        index: integers [n, k], the candidates of each anchor; one that is listed twice
            counts twice.

    Raises:
        InvalidInput: ids out of range, or another number of anchors.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> q = icon.among(icon.dot(jnp.eye(4)), [[1, 2], [0, 2], [0, 1], [0, 1]])
        >>> float(q.log_mass(0))
        0.6931471824645996

    Source: Oord et al., 2018; Damrich et al., From t-SNE to UMAP with contrastive
    learning, 2023.
    """
    q = as_part("q", q)
    n, m = q.shape
    index = check.ids("index", index, below=m, rank=2)
    got = f"{index.shape[0]} rows for {n} anchors"
    check.require(index.shape[0] == n, "index", got, "one row per anchor")
    return Among(q, index)


@pytree
class Margin(Around):
    """The same scores, raised by m for candidates that are no neighbours under p."""

    base: Any
    p: Any
    m: Any

    @property
    def is_limit(self):
        return self.base.is_limit

    @property
    def is_signed(self):
        return self.base.is_signed

    @property
    def T(self):
        return dataclasses.replace(self, base=self.base.T, p=self.p.T)

    def gathered(self, gather, first):
        base, p = (x.gathered(gather, first) for x in (self.base, self.p))
        return dataclasses.replace(self, base=base, p=p)

    def support(self, i):
        at = self.listed(i)
        return at, jax.grad(self.mass)(self.score(i, at), at)

    def score(self, i, at):
        score = self.base.score(i, at)
        m = self.m.astype(score.dtype)
        return score + jnp.where(self.p.score(i, at) == -jnp.inf, m, 0)

    def log_mass(self, i):
        at = self.listed(i)
        return self.mass(self.score(i, at), at)

    def mass(self, score, at):
        return self.base.mass(score, at)

    def reduced(self, reduction):
        return dataclasses.replace(self, base=self.base.reduced(reduction))


def margin(q, p, m) -> Margin:
    """Scores raised by m for candidates that are no neighbours: the margin of a hinge.

    $$s_{ij} \\leftarrow s_{ij} + m \\cdot 1[p_{ij} = 0]$$

    Args:
        q: points under a kernel, or a mix of them.
        p: who counts as a neighbour.
        m: in units of the score, learnable.

    Raises:
        InvalidInput: p and q over different candidates, m that is nan.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> p, z = icon.same([0, 0, 1]), jnp.array([[0.0], [0.0], [1.0]])
        >>> q = icon.sharp(icon.margin(icon.gaussian(z, scale=0.5**0.5), p, 3.0))
        >>> float(icon.cross_entropy(p, q))  # d⁺ - d⁻ + 3
        2.0

    Source: Schroff et al., FaceNet, 2015; Faghri et al., VSE++, 2018.
    """
    q, p = as_part("q", q), as_part("p", p)
    got = f"shapes {q.shape} and {p.shape}"
    check.require(q.shape == p.shape, "p", got, "the anchors and candidates of q")
    return Margin(q, p, check.numbers("m", m, jnp.zeros(())))


def reweigh(q, weight):
    """The same neighbours, each candidate counted with a weight.

    $$q_{ij} \\propto w_j\\,e^{s_{ij}}$$

    Class priors, corrections for how candidates were sampled, masks (weight 0).

    Args:
        q: points under a kernel, or a graph.
        weight: floats [m], from 0, relative.

    Raises:
        InvalidInput: negative weights, another number of candidates, something whose
            candidates cannot be reweighed.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> q = icon.reweigh(icon.dot(jnp.eye(2), jnp.zeros((2, 2))), [1.0, 3.0])
        >>> icon.dense(q)[0].round(2).tolist()
        [0.25, 0.75]

    Source: Menon et al., Long-tail learning via logit adjustment, 2021.
    """
    return as_part("q", q).reweighed(weight)


# ------------------------------------------------------- classes of candidates


@pytree
class Grouped(Neighborhood):
    """Candidates taken together: the log of the sum over each group."""

    base: Any
    groups: Any  # [m]
    count: int = static()

    @property
    def shape(self):
        return self.base.shape[0], self.count

    @property
    def is_normalized(self):
        return self.base.is_normalized

    def support(self, i):
        return EVERYBODY, jnp.exp(_log_prob(self, i, EVERYBODY))

    def score(self, i, at):
        score = self.base.score(i, EVERYBODY)
        peak = finite(jax.lax.stop_gradient(jnp.max(score)))
        sums = jax.ops.segment_sum(jnp.exp(score - peak), self.groups, self.count)
        return (safe_log(sums) + peak)[at]

    def log_mass(self, i):
        return self.base.log_mass(i)


def grouped(q, groups, count: int) -> Grouped:
    """Candidates taken together: a class instead of its members.

    $$q_{ic} = \\textstyle\\sum_{j \\in c} q_{ij}$$

    The logarithm stands outside of the sum over a class, as in NCA and RSLVQ.

    Args:
        q: the neighbours, [n, m].
        groups: integers [m]: which of the `count` groups each candidate is in.
        count: how many groups.

    Raises:
        InvalidInput: groups out of range, or not one per candidate.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> q = icon.grouped(icon.gaussian(jnp.eye(4)), [0, 0, 0, 1], 2)
        >>> icon.dense(q)[0].round(3).tolist()
        [0.667, 0.333]

    Source: Goldberger et al., Neighbourhood components analysis, 2004.
    """
    q = as_part("q", q)
    m = q.shape[1]
    count = check.draws("count", count)
    groups = check.ids("groups", groups, below=count)
    got = f"{groups.shape[0]} groups for {m} candidates"
    check.require(groups.shape[0] == m, "groups", got, "one per candidate")
    return Grouped(q, groups, count)


# ------------------------------------------------------- each pair its own yes or no


@pytree
class Odds(Around):
    """Weights that are probabilities, as log-odds."""

    base: Any

    @property
    def T(self):
        return Odds(self.base.T)

    def gathered(self, gather, first):
        return Odds(self.base.gathered(gather, first))

    def score(self, i, at):
        return log_odds(self.base.score(i, at))

    def log_mass(self, i):
        return lse(self.score(i, self.listed(i)))


def odds(p) -> Odds:
    """Weights from 0 to 1 that are probabilities, as log-odds, for bernoulli.

    $$s_{ij} \\leftarrow \\log\\big(w_{ij} / (1 - w_{ij})\\big)$$

    Args:
        p: neighbours whose weights e^s are probabilities: same, fuzzy, their mixes.

    Raises:
        InvalidInput: no neighbourhood; weights above 1, or none at all, where they are
            known and few enough to be looked at.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> p = icon.odds(icon.graph([[0.0, 0.5], [0.5, 0.0]]))
        >>> p.score(0, jnp.array([1])).tolist()
        [0.0]
    """
    p = as_part("p", p)
    if check.concrete(p) and (p.is_sparse or math.prod(p.shape) <= LOOKED_AT):
        with jax.ensure_compile_time_eval():
            most = float(np.max(_largest_scores(p)))
        check.require(most != -math.inf, "p", "no neighbour", "one at least")
        above = f"a weight of {math.exp(min(most, 700)):.6g}"
        check.require(not most > 1e-5, "p", above, "probabilities, up to 1")
    return Odds(p)


@jax.jit
def _largest_scores(p):
    scores = lambda i: p.visit(i)[2] if p.is_sparse else p.score(i, EVERYBODY)
    return jax.vmap(lambda i: jnp.max(scores(i)))(jnp.arange(p.shape[0]))


@pytree
class Bernoulli(Neighborhood):
    """Each pair its own yes (first half) or no (second half)."""

    base: Any
    per_pair = True

    @property
    def shape(self):
        n, m = self.base.shape
        return n, 2 * m

    @property
    def sets(self):
        return self.base.sets

    @property
    def T(self):
        return Bernoulli(self.base.T)

    def gathered(self, gather, first):
        return Bernoulli(self.base.gathered(gather, first))

    def support(self, i):
        at = self.base.listed(i)
        score = self.base.score(i, at)
        present = jnp.ones_like(score)
        if self.base.excludes_self:
            present = jnp.where(self.base.is_self(i, at), 0, present)
        yes, no = jax.nn.sigmoid(score), jax.nn.sigmoid(-score)
        return at, jnp.concatenate([yes * present, no * present])

    def score(self, i, at):
        score = self.base.score(i, at)
        yes = jax.nn.log_sigmoid(score)
        no = jnp.where(score == -jnp.inf, 0, yes - score)  # one exponential, not two
        return jnp.concatenate([yes, no])

    def log_mass(self, i):
        return jnp.zeros_like(self.base.log_mass(i))


def bernoulli(q) -> Bernoulli:
    """Each pair its own yes or no, with log-odds equal to its score.

    $$\\mathrm{KL}_i = \\textstyle\\sum_j \\mathrm{KL}\\big(
      \\mathrm{Ber}(\\sigma(s^p_{ij})) \\|
      \\mathrm{Ber}(\\sigma(s^q_{ij}))\\big)$$

    summed over the candidates of an anchor (those listed, if q is `among` a list) and
    averaged over anchors: SigLIP; UMAP, up to its factor n; negative sampling. Both
    sides of the loss are bernoulli.

    Args:
        q: neighbours whose scores are log-odds; `odds` makes them from probabilities.

    Raises:
        InvalidInput: no neighbourhood, or a continuum.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> ids, z = jnp.arange(2), jnp.zeros((2, 3))
        >>> p = icon.bernoulli(icon.odds(icon.same(ids, ids)))
        >>> float(icon.kl(p, icon.bernoulli(icon.dot(z, z))))  # 2 log 2: two coins each
        1.3862943649291992

    Source: McInnes et al., UMAP, 2018; Zhai et al., SigLIP, 2023.
    """
    return Bernoulli(as_part("q", q))


# ------------------------------------------------------- a mass that is estimated


@pytree
class Sampled(Around):
    """The same scores; their log-mass is estimated from a few candidates."""

    base: Any
    key: Any
    count: int = static()

    @property
    def is_normalized(self):
        return False

    @property
    def T(self):
        return dataclasses.replace(self, base=self.base.T)

    def score(self, i, at):
        return self.base.score(i, at)

    def log_mass(self, i):
        at = _drawn(self.key, i, self.count, self)
        others = self.shape[1] - self.excludes_self
        return lse(self.score(i, at)) + math.log(others / self.count)


def sampled(q, key, count: int) -> Sampled:
    r"""The same scores, their log-mass estimated from a few candidates drawn at random.

    $$\hat Z_i = \frac{m}{k} \sum_{j \in S_i} e^{s_{ij}}, \quad
      S_i \text{ of } k \text{ candidates, uniform, with replacement}$$

    Every anchor draws its own, and the same again from the same key: fold the step
    into the key, as a schedule among the arguments of `minimize` can. The estimated
    mass has no bias; its logarithm is low by about half its relative variance, so a
    loss is not comparable between counts. To have the positive always among those
    that are summed, list it first and say `among(q, index)`.

    Args:
        q: the neighbours, among listed candidates.
        key: a JAX key.
        count: k, how many are drawn for each anchor.

    Raises:
        InvalidInput: a continuum, something that is no key, count < 1.

    Example:
        >>> import icon, jax
        >>> z = jax.random.normal(jax.random.key(0), (500, 2))
        >>> q, few = icon.student_t(z), jax.random.key(1)
        >>> exact, guess = q.log_mass(3), icon.sampled(q, few, 200).log_mass(3)
        >>> bool(abs(exact - guess) < 0.2)
        True

    Source: Damrich et al., From t-SNE to UMAP with contrastive learning, 2023.
    """
    q = as_part("q", q)
    whole = q.listed(0) is EVERYBODY and not q.is_sparse and not q.is_limit
    check.require(whole, "q", "a limit, or a list", "what sums over all candidates")
    others = q.shape[1] - q.excludes_self
    check.require(others > 0, "q", "one point alone", "a candidate to draw")
    return Sampled(q, check.key("key", key), check.draws("count", count))


# ------------------------------------------------------- a p worked out once


@pytree
class Tabulated(Neighborhood):
    """What a p gives all candidates, worked out once for many steps."""

    weight: Any  # [n, m]
    scores: Any  # [n, m]
    masses: Any  # [n]
    count: int = static()
    is_finite: bool = static()  # every score

    @property
    def shape(self):
        return self.masses.shape[0], self.count

    def bilinear(self, u, v):
        if not self.is_finite:  # 0 · -inf is nan
            return None
        v, scores = common(v, self.scores)
        u, expected = common(u, jnp.matmul(scores, v, precision=HIGHEST))
        return jnp.sum(u * expected)

    def visit(self, i):
        return EVERYBODY, self.weight[i], self.scores[i], self.masses[i]

    def support(self, i):
        return EVERYBODY, self.weight[i]

    def score(self, i, at):
        return self.scores[i][at]

    def log_mass(self, i):
        return self.masses[i]


def tabulated(p):
    """A p that does not learn as tables [n, m]; one that lists candidates as it is."""
    p = as_neighborhood("p", p)
    if p.is_sparse or p.shape[1] is None:
        return p

    def row(i):
        at, weight = p.support(i)
        return (weight, p.score(i, at), p.log_mass(i)) if at is EVERYBODY else None

    tables: Any = jax.jit(jax.vmap(row))(jnp.arange(p.shape[0]))
    if tables is None:
        return p
    weight, scores, masses = tables
    return Tabulated(
        weight, scores, masses, p.shape[1], bool(jnp.isfinite(scores).all())
    )
