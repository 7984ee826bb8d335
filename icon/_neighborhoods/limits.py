"""What is a log-mass that is no sum: a mean, a maximum, or none at all?"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from icon._base import checks as check
from icon._base.numerics import lse, safe_log
from icon._base.pytrees import pytree, static
from icon._neighborhoods.protocol import (
    EVERYBODY,
    Neighborhood,
    as_part,
    candidate_ids,
    of_base,
)


@dataclasses.dataclass(frozen=True)
class Reduction:
    """The log-mass, as a function of the scores and the weights of the candidates.

    The probabilities are its gradient: softmax of logsumexp, uniform of a mean, the
    best candidate of a maximum. In the limits the logarithm of a weight vanishes
    beside a score, so that only a finite temperature adds it to the score.
    """

    mass: Callable
    is_limit: bool = True
    is_signed: bool = False  # the gradient of the mass may be below zero


def _present(score, weight):
    """The weights of the candidates that have a score, summing to one."""
    weight = jnp.where(score == -jnp.inf, 0, weight)
    return weight / jnp.where(jnp.sum(weight) == 0, 1, jnp.sum(weight))


def _sum(score, weight):
    return lse(score)


def _mean(score, weight):
    share = _present(score, weight)
    mean = jnp.sum(share * jnp.where(share == 0, 0, score))
    return jnp.where(jnp.sum(share) == 0, -jnp.inf, mean)


def _mean_and_variance(score, weight):
    mean, share = _mean(score, weight), _present(score, weight)
    deviation = jnp.where(share == 0, 0, score - jnp.where(mean == -jnp.inf, 0, mean))
    return mean + jnp.sum(share * deviation**2) / 2


def _maximum(score, weight):
    best = jnp.max(jnp.where(weight == 0, -jnp.inf, score))
    return jnp.where(best == -jnp.inf, -jnp.inf, best)  # of no candidate, no gradient


FINITE = Reduction(_sum, is_limit=False)
WIDE = {1: Reduction(_mean), 2: Reduction(_mean_and_variance, is_signed=True)}
SHARP = Reduction(_maximum)


def wide(q, order: int = 1):
    """The limit of infinite temperature: the log-mass becomes a mean.

    $$\\log \\tfrac1m \\textstyle\\sum_j e^{\\beta s_j} = \\beta\\,\\mathrm{mean}(s) +
      \\tfrac{\\beta^2}{2}\\mathrm{var}(s) + \\dots$$

    The first order is the exact limit of the rescaled loss, without a huge sigma and
    its cancellation; the second keeps the variance. As p, its probabilities are the
    gradient of the log-mass: uniform, or tilted by the scores. Losses on it are
    unbounded below unless the embedding is constrained: orthonormal map, unit sphere,
    whitening.

    Args:
        q: points under a kernel, or a mix of them.
        order: 1 or 2.

    Raises:
        InvalidInput: something that has no temperature, or another order.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> y, ids = jnp.array([[0.0], [2.0]]), jnp.arange(2)
        >>> q = icon.wide(icon.gaussian(y, y, scale=0.5**0.5))
        >>> float(icon.cross_entropy(icon.same(ids, ids), q))  # PCA: -2 tr Cov
        -2.0

    Source: the I-Con paper's Proposition 1; Hoeffding's lemma bounds the rest.
    """
    order = check.count("order", order, 1, 2)
    return as_part("q", q).reduced(WIDE[order])


def sharp(q):
    """The limit of zero temperature: the log-mass becomes a maximum.

    $$T \\log \\textstyle\\sum_j e^{s_j / T} \\to \\max_j s_j$$

    At ties the gradient is the mean over the tied.

    Args:
        q: points under a kernel, or a mix of them.

    Raises:
        InvalidInput: something that has no temperature.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> q = icon.sharp(icon.dot(jnp.eye(2), jnp.eye(2)))
        >>> float(icon.cross_entropy(icon.same([0, 1], [1, 0]), q))  # both are wrong
        1.0

    Source: Schroff et al., FaceNet, 2015 (the triplet loss is this limit).
    """
    return as_part("q", q).reduced(SHARP)


@pytree
@of_base("shape sets excludes_self is_self")
class Hard(Neighborhood):
    """The k best candidates of each anchor, alike."""

    base: Any
    k: int = static()

    def support(self, i):
        best, at = jax.lax.top_k(self.base.score(i, EVERYBODY), self.k)
        valid = (best != -jnp.inf).astype(best.dtype)
        return at, valid / jnp.maximum(jnp.sum(valid), 1)

    def score(self, i, at):
        best, weight = self.support(i)
        chosen = candidate_ids(self.base.shape[1], at)[:, None] == best[None]
        return safe_log(jnp.sum(jnp.where(chosen, weight, 0), 1))

    def log_mass(self, i):
        return safe_log(jnp.sum(self.support(i)[1]))


def hard(q, k: int = 1) -> Hard:
    """The k best candidates of q, each with probability 1/k; no gradient.

    Args:
        q: points under a kernel.
        k: how many; ties go to the earlier candidate.

    Raises:
        InvalidInput: k below 1 or above the number of candidates.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> logits = icon.dot(jnp.eye(2), jnp.eye(2))
        >>> float(icon.tv(icon.same([0, 0], [0, 1]), icon.hard(logits)))  # error rate
        0.5
    """
    q = as_part("q", q)
    others = q.shape[1] - q.excludes_self
    return Hard(q, check.count("k", k, 1, others))


@pytree
@of_base("shape sets excludes_self is_self listed score")
class Unnormalized(Neighborhood):
    """The same scores, as log-densities that need not sum to one."""

    base: Any

    @property
    def is_normalized(self):
        return False

    @property
    def T(self):
        return Unnormalized(self.base.T)

    def gathered(self, gather, first):
        return Unnormalized(self.base.gathered(gather, first))

    def log_mass(self, i):
        score = jax.eval_shape(lambda: self.base.score(i, slice(0, 1)))
        return jnp.zeros((), score.dtype)


def unnormalized(q) -> Unnormalized:
    """The same scores with their mass left as it is: joint densities, plain energies.

    $$\\mathrm{KL}(p_i \\| q_i) = E_{j \\sim p_i}[\\log p_{ij} - s_{ij}] =
      \\mathrm{KL}\\big(p_i \\| \\mathrm{softmax}(s_i)\\big) -
      \\log \\textstyle\\sum_j e^{s_{ij}}$$

    The free energy of variational inference: lowest where p is the softmax of the
    scores, and there minus the log of what they sum to. Where the scores are joint
    log-densities of an anchor and a candidate, as of points and `components`, that is
    minus the log-likelihood, and p and q in turn are EM. It does among candidates what
    `density` does in a continuum, and stands on the right only.

    Args:
        q: the neighbours; their scores are kept.

    Raises:
        InvalidInput: a continuum, no neighbourhood; the verb, where it stands as p or
            where a divergence wants probabilities.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> joint = icon.scores(jnp.log(jnp.array([[0.1, 0.3], [0.2, 0.2]])))
        >>> loss = icon.kl(joint, icon.unnormalized(joint))  # -log 0.4
        >>> round(float(loss), 4)
        0.9163

    Source: Neal & Hinton, A view of the EM algorithm that justifies incremental, sparse
    and other variants, 1998.
    """
    return Unnormalized(as_part("q", q))
