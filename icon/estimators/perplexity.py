"""What is p of the rows at one perplexity or several, or at one width for all?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from icon._base import checks as check
from icon._neighborhoods import Graph, entropic, fixed_scale, uniform
from icon.estimators.embedding import Embedding
from icon.estimators.settings import lowered, perplexities, reach


FEW = 15  # neighbours of every row, where they are all alike
WIDE = 90  # the same under one width for all


class ByPerplexity(Embedding):
    """Neighbours of a row at a perplexity, or at a width, or all alike."""

    perplexity: float | Sequence[float]
    sigma: float | None
    affinity: str

    def _check_settings(self) -> None:
        super()._check_settings()
        perplexities(self.perplexity)
        check.one_of("affinity", self.affinity, ("perplexity", "uniform"))
        if self.sigma is not None:
            check.scalar("sigma", self.sigma, 0, above=True)
            usual = np.array_equal(self.perplexity, type(self).perplexity)
            searched = self.affinity == "perplexity" and self.metric != "affinity"
            others = "a perplexity, affinity='uniform' or affinities"
            expected = f"None, where {others} are given"
            check.require(usual and searched, "sigma", self.sigma, expected)
        self.perplexity_: Any = None  # of affinities that are given

    def _neighbor_count(self, n: int) -> int:
        """How many neighbours, at the perplexities that n rows allow."""
        if self.affinity == "uniform":
            return min(n - 1, self.n_neighbors or FEW)
        if self.sigma is not None:
            return min(n - 1, self.n_neighbors or WIDE)
        used = lowered(self.perplexity, n)
        self.perplexity_ = used if np.ndim(self.perplexity) else used[0]
        return min(n - 1, self.n_neighbors or reach(used))

    def _affinity(self, index, distance) -> Graph:
        if self.affinity == "uniform":
            return uniform(index)
        if self.sigma is not None:
            return self._at_width(index, distance, float(self.sigma))
        return entropic(index, distance, perplexity=self.perplexity_)

    def _at_width(self, index, distance, sigma: float) -> Graph:
        """A Gaussian of this width, which is in the unit that distances had."""
        scale = np.ldexp(sigma, -self._exponent)
        try:
            return fixed_scale(index, distance, scale=scale)
        except check.InvalidInput as error:
            if error.argument != "scale":
                raise
            got = f"{sigma}, in the unit of the distances"
            raise check.InvalidInput("sigma", got, error.expected) from None
