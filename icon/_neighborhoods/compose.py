"""Neighbours made of other neighbours."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from icon._base import checks as check
from icon._base.numerics import log_mixture, log_odds, lse, safe_log
from icon._neighborhoods.points import EVERYBODY, FINITE, drawn, is_me, pytree, static


def _within(q) -> bool:
    """Whether the anchors are the candidates, and nobody their own neighbour."""
    return getattr(q, "within", False)


def _is_me(q, i, at):
    """Which of the candidates i itself is."""
    return q.is_me(i, at) if hasattr(q, "is_me") else is_me(i, q.shape[1], at)


def _moved(q, bring, first):
    return check.answers("q", q, "moved").moved(bring, first)


def _listed(q, i):
    """Whom an anchor meets at all: everybody, unless q lists them."""
    return q.listed(i) if hasattr(q, "listed") else EVERYBODY


def _log_prob(q, i, at):
    """log q_ij; -inf for a lonely anchor."""
    mass = q.log_mass(i)
    return q.score(i, at) - jnp.where(mass > -jnp.inf, mass, 0)


def _known(q, name="q"):
    return check.answers(name, q, "shape", "score", "log_mass")


# ------------------------------------------------------- mostly q, sometimes anybody


@pytree
class Smoothed:
    """Mostly `base`, and with probability alpha anybody whom it allows."""

    base: Any
    alpha: Any

    @property
    def shape(self):
        return self.base.shape

    @property
    def within(self):
        return _within(self.base)

    @property
    def T(self):
        return dataclasses.replace(self, base=self.base.T)

    def moved(self, bring, first):
        return dataclasses.replace(self, base=_moved(self.base, bring, first))

    def is_me(self, i, at):
        return _is_me(self.base, i, at)

    def support(self, i):
        # not exp(score), whose slope in alpha is lost where alpha = 0 leaves nobody
        known = jnp.exp(_log_prob(self.base, i, EVERYBODY))
        alpha = self.alpha.astype(known.dtype)
        mixed = (1 - alpha) * known + alpha / (self.shape[1] - self.within)
        return EVERYBODY, jnp.where(self._nobody(i, EVERYBODY), 0, mixed)

    def score(self, i, at):
        known = _log_prob(self.base, i, at)
        anybody = -jnp.log(jnp.asarray(self.shape[1] - self.within, known.dtype))
        mixed = log_mixture(known, anybody, self.alpha.astype(known.dtype))
        return jnp.where(self._nobody(i, at), -jnp.inf, mixed)

    def _nobody(self, i, at):
        me = _is_me(self.base, i, at) if self.within else False
        return me | (self.base.log_mass(i) == -jnp.inf)

    def log_mass(self, i):
        mass = self.base.log_mass(i)
        return jnp.where(mass == -jnp.inf, -jnp.inf, jnp.zeros_like(mass))


@pytree
class Sampled:
    """A smoothed p that meets its listed neighbours and a few of everybody else."""

    whole: Smoothed
    key: Any
    samples: int = static()

    @property
    def shape(self):
        return self.whole.shape

    @property
    def within(self):
        return self.whole.within

    def support(self, i):
        at, weight = self.whole.base.support(i)
        others = drawn(self.key, i, self.samples, self.shape[1], self.within)
        alpha = self.whole.alpha.astype(weight.dtype)
        alike = jnp.full(self.samples, 1 / self.samples, weight.dtype)
        there = (self.log_mass(i) > -jnp.inf).astype(weight.dtype)
        weight = jnp.concatenate([weight * (1 - alpha), alike * alpha * there])
        return jnp.concatenate([at, others.astype(at.dtype)]), weight

    def score(self, i, at):
        return self.whole.score(i, at)

    def log_mass(self, i):
        return self.whole.log_mass(i)


def smooth(p, alpha, *, samples: int | None = None, key=None):
    """Mostly p, and with probability alpha anybody: label smoothing, debiasing.

    $$\\tilde p_{ij} = (1 - \\alpha)\\,p_{ij} + \\alpha / |J(i)|$$

    over the candidates J(i) that p allows: one set never gives mass to j = i. alpha = 0
    is p itself, and a lonely anchor stays lonely. Works on either side of the loss.

    Args:
        p: neighbours among listed candidates.
        alpha: from 0 to 1, learnable.
        samples: on a listed p, meet only this many of everybody, drawn uniformly per
            anchor, without bias; None: everybody.
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
    _known(p, "p")
    check.require(p.shape[1] is not None, "p", "a continuum", "listed candidates")
    smoothed = Smoothed(p, check.fraction("alpha", alpha, jnp.zeros(())))
    if samples is None:
        check.require(key is None, "key", "a key", "None unless there are samples")
        return smoothed
    listed = hasattr(p, "visit")
    check.require(listed, "samples", samples, "None where p visits everybody")
    return Sampled(smoothed, check.key("key", key), check.count("samples", samples, 1))


# ------------------------------------------------------- only some, some nearer


@pytree
class Among:
    """The same scores, but anchor i only ever meets the candidates listed for it."""

    base: Any
    index: Any  # [n, k]

    @property
    def shape(self):
        return self.base.shape

    @property
    def within(self):
        return _within(self.base)

    @property
    def reduction(self):
        return getattr(self.base, "reduction", FINITE)

    def listed(self, i):
        return self.index[i]

    def support(self, i):
        score = self.score(i, self.index[i])
        return self.index[i], jax.grad(self.mass)(score, self.index[i])

    def score(self, i, at):
        return self.base.score(i, at)

    def log_mass(self, i):
        return self.mass(self.score(i, self.index[i]), self.index[i])

    def mass(self, score, at):
        return self.base.mass(score, at) if hasattr(self.base, "mass") else lse(score)

    def reduced(self, reduction):
        return dataclasses.replace(self, base=_reduced(self.base, reduction))


def _reduced(q, reduction):
    return check.answers("q", q, "reduced").reduced(reduction)


def among(q, index) -> Among:
    """The same scores, but anchor i only ever meets the candidates listed for it.

    $$q_{ij} = e^{s_{ij}} / \\textstyle\\sum_{k \\in \\mathrm{index}_i} e^{s_{ik}}$$

    Sampled negatives, memory banks, triplets: list the positive among them.

    Args:
        q: the neighbours.
        index: integers [n, k], the candidates of each anchor.

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
    n, m = _known(q).shape
    index = check.ids("index", index, below=m, rank=2)
    got = f"{index.shape[0]} rows for {n} anchors"
    check.require(index.shape[0] == n, "index", got, "one row per anchor")
    return Among(q, index)


@pytree
class Margin:
    """The same scores, with a head start for everybody who is no neighbour under p."""

    base: Any
    p: Any
    m: Any

    @property
    def shape(self):
        return self.base.shape

    @property
    def within(self):
        return _within(self.base)

    @property
    def reduction(self):
        return self.base.reduction

    @property
    def T(self):
        return dataclasses.replace(self, base=self.base.T, p=self.p.T)

    def moved(self, bring, first):
        base, p = (_moved(x, bring, first) for x in (self.base, self.p))
        return dataclasses.replace(self, base=base, p=p)

    def is_me(self, i, at):
        return _is_me(self.base, i, at)

    def listed(self, i):
        return _listed(self.base, i)

    def support(self, i):
        at = self.listed(i)
        return at, jax.grad(self.mass)(self.score(i, at), at)

    def score(self, i, at):
        score = self.base.score(i, at)
        ahead = jnp.where(
            self.p.score(i, at) == -jnp.inf, self.m.astype(score.dtype), 0
        )
        return score + ahead

    def log_mass(self, i):
        at = self.listed(i)
        return self.mass(self.score(i, at), at)

    def mass(self, score, at):
        return self.base.mass(score, at)

    def reduced(self, reduction):
        return dataclasses.replace(self, base=_reduced(self.base, reduction))


def margin(q, p, m) -> Margin:
    """A head start for everybody who is no neighbour under p: the margin of a hinge.

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
    check.answers("q", q, "mass", "reduced")
    got = f"shapes {_known(q).shape} and {check.answers('p', p, 'score').shape}"
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
    return check.answers("q", q, "reweighed").reweighed(weight)


# ------------------------------------------------------- classes of candidates


@pytree
class Grouped:
    """Candidates taken together: the log of the sum over each group."""

    base: Any
    groups: Any  # [m]
    count: int = static()

    @property
    def shape(self):
        return self.base.shape[0], self.count

    def support(self, i):
        return EVERYBODY, jnp.exp(_log_prob(self, i, EVERYBODY))

    def score(self, i, at):
        score = self.base.score(i, EVERYBODY)
        peak = jax.lax.stop_gradient(jnp.max(score))
        peak = jnp.where(peak > -jnp.inf, peak, 0)
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
    m = _known(q).shape[1]
    count = check.count("count", count, 1)
    groups = check.ids("groups", groups, below=count)
    got = f"{groups.shape[0]} groups for {m} candidates"
    check.require(groups.shape[0] == m, "groups", got, "one per candidate")
    return Grouped(q, groups, count)


# ------------------------------------------------------- each pair its own yes or no


@pytree
class Odds:
    """Weights read as probabilities, told as log-odds."""

    base: Any

    @property
    def shape(self):
        return self.base.shape

    @property
    def within(self):
        return _within(self.base)

    @property
    def T(self):
        return Odds(self.base.T)

    def moved(self, bring, first):
        return dataclasses.replace(self, base=_moved(self.base, bring, first))

    def is_me(self, i, at):
        return _is_me(self.base, i, at)

    def listed(self, i):
        return _listed(self.base, i)

    def score(self, i, at):
        return log_odds(self.base.score(i, at))

    def log_mass(self, i):
        return lse(self.score(i, self.listed(i)))


def odds(p) -> Odds:
    """Weights from 0 to 1 read as probabilities and told as log-odds, for bernoulli.

    $$s_{ij} \\leftarrow \\log\\big(w_{ij} / (1 - w_{ij})\\big)$$

    Args:
        p: neighbours whose weights e^s are probabilities: same, fuzzy, their mixes.

    Raises:
        InvalidInput: no neighbourhood.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> p = icon.odds(icon.graph([[0.0, 0.5], [0.5, 0.0]]))
        >>> p.score(0, jnp.array([1])).tolist()
        [0.0]
    """
    return Odds(check.answers("p", p, "shape", "score"))


@pytree
class Bernoulli:
    """Each pair its own yes (first half) or no (second half)."""

    base: Any

    @property
    def shape(self):
        n, m = self.base.shape
        return n, 2 * m

    @property
    def T(self):
        return Bernoulli(self.base.T)

    def moved(self, bring, first):
        return dataclasses.replace(self, base=_moved(self.base, bring, first))

    def support(self, i):
        at = _listed(self.base, i)
        score = self.base.score(i, at)
        there = jnp.ones_like(score)
        if _within(self.base):
            there = jnp.where(_is_me(self.base, i, at), 0, there)
        yes, no = jax.nn.sigmoid(score), jax.nn.sigmoid(-score)
        return at, jnp.concatenate([yes * there, no * there])

    def score(self, i, at):
        score = self.base.score(i, at)
        yes = jax.nn.log_sigmoid(score)
        no = jnp.where(score > -jnp.inf, yes - score, 0)  # one exponential, not two
        return jnp.concatenate([yes, no])

    def log_mass(self, i):
        return jnp.zeros((), jnp.result_type(float))


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
    check.answers("q", q, "shape", "score")
    check.require(q.shape[1] is not None, "q", "a continuum", "listed candidates")
    return Bernoulli(q)


# ------------------------------------------------------- the same, told once


@pytree
class Remembered:
    """What a p said of everybody, written down: it is not asked again at every step."""

    weight: Any  # [n, s]
    said: Any  # [n, s], its scores
    mass: Any  # [n]
    count: int = static()

    @property
    def shape(self):
        return self.mass.shape[0], self.count

    def visit(self, i):
        return EVERYBODY, self.weight[i], self.said[i], self.mass[i]

    def support(self, i):
        return EVERYBODY, self.weight[i]

    def score(self, i, at):
        return self.said[i][at]

    def log_mass(self, i):
        return self.mass[i]


def remembered(p):
    """A p that does not learn, asked once; what lists its neighbours stays as it is."""
    if hasattr(p, "visit") or p.shape[1] is None:
        return p

    def ask(i):
        at, weight = p.support(i)
        return (weight, p.score(i, at), p.log_mass(i)) if at is EVERYBODY else None

    said = jax.jit(jax.vmap(ask))(jnp.arange(p.shape[0]))
    if said is None:
        return p
    weight, score, mass = said
    return Remembered(weight, score, mass, p.shape[1])
