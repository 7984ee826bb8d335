"""Log-masses from a few candidates each, drawn at random."""

import dataclasses
import math
from typing import Any

from icon._base import checks as check
from icon._base.numerics import lse
from icon._neighborhoods.points import FINITE, drawn, pytree, static


@pytree
class Sampled:
    """The same scores; what they sum to is estimated from a few of everybody."""

    base: Any
    key: Any
    count: int = static()

    @property
    def shape(self):
        return self.base.shape

    @property
    def within(self) -> bool:
        return getattr(self.base, "within", False)

    @property
    def T(self):
        return dataclasses.replace(self, base=self.base.T)

    def score(self, i, at):
        return self.base.score(i, at)

    def log_mass(self, i):
        m = self.shape[1]
        at = drawn(self.key, i, self.count, m, self.within)
        return lse(self.score(i, at)) + math.log((m - self.within) / self.count)


def sampled(q, key, count: int) -> Sampled:
    r"""The same neighbours, what they sum to estimated from a few drawn at random.

    $$\hat Z_i = \frac{m}{k} \sum_{j \in S_i} e^{s_{ij}}, \quad
      S_i \text{ of } k \text{ candidates, uniform, with replacement}$$

    Every anchor draws its own, and the same again from the same key: fold the step
    into the key, as a schedule among the arguments of `minimize` can. The estimated
    mass has no bias; its logarithm is low by about half its relative variance, so a
    loss is not comparable between counts. To have the positive always among those that
    are met, list it first and say `among(q, index)`.

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
    check.answers("q", q, "shape", "score", "log_mass")
    check.require(q.shape[1] is not None, "q", "a continuum", "listed candidates")
    listed = hasattr(q, "listed") or hasattr(q, "visit")
    summed = getattr(q, "reduction", FINITE) is FINITE and not listed
    check.require(summed, "q", "a limit, or a list", "what sums over all candidates")
    others = q.shape[1] - getattr(q, "within", False)
    check.require(others > 0, "q", "one point alone", "somebody to draw")
    return Sampled(q, check.key("key", key), check.count("count", count, 1))
