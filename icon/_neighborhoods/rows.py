"""What does p give each candidate of one anchor? Scores, or a mask; one set of answers.

A mask is a row whose scores are 0 or -inf: it needs no exponential and has no gradient.
"""

from typing import Any

import jax.numpy as jnp

from icon._base.numerics import common, lse, safe_log, softmax
from icon._base.pytrees import pytree


def finite(log_mass):
    """A log-mass to be subtracted: 0 where there is no neighbour."""
    return jnp.where(log_mass == -jnp.inf, 0, log_mass)


def weighted_sum(weight, score):
    """Σ w s over the candidates that have a weight; 0 · -inf is nan."""
    weight, score = common(weight, score)
    return jnp.sum(jnp.where(weight == 0, 0, weight * score))


@pytree
class Scores:
    """A row of scores."""

    score: Any  # [m]

    def self_report(self):
        """E_{j~p} s_j and the log-mass."""
        return weighted_sum(softmax(self.score), self.score), lse(self.score)

    def probability(self, log_mass):
        """The probability of each candidate; sums to one, to the last digit."""
        return softmax(self.score)

    def share(self, log_mass):
        """e^(score - log_mass): the same where the log-mass is of a longer row."""
        return jnp.exp(self.score - finite(log_mass))

    def where(self, mask) -> "Scores":
        """The row with no other candidates than these."""
        return Scores(jnp.where(mask, self.score, -jnp.inf))

    def learned(self):
        """What of the row has a gradient."""
        return self.score


@pytree
class Mask:
    """A row of candidates that are neighbours, all alike, or not."""

    mask: Any  # [m], bool

    def self_report(self):
        count = jnp.sum(self.mask, dtype=jnp.result_type(float))
        return jnp.zeros_like(count), safe_log(count)

    def probability(self, log_mass):
        return self.share(log_mass)

    def share(self, log_mass):
        return jnp.where(self.mask, jnp.exp(-finite(log_mass)), 0)

    def where(self, mask) -> "Mask":
        return Mask(jnp.where(mask, self.mask, False))

    def learned(self):
        return None
