"""What is p of the rows at one perplexity, or of several?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from icon._base import checks as check
from icon._neighborhoods import Graph, entropic, uniform
from icon.estimators.embedding import Embedding
from icon.estimators.settings import lowered, perplexities, reach


FEW = 15  # neighbours of every row, where they are all alike


class ByPerplexity(Embedding):
    """Neighbours of a row at a perplexity, or all alike."""

    perplexity: float | Sequence[float]
    affinity: str

    def _check_settings(self) -> None:
        super()._check_settings()
        perplexities(self.perplexity)
        check.one_of("affinity", self.affinity, ("perplexity", "uniform"))
        self.perplexity_: Any = None  # of affinities that are given

    def _neighbor_count(self, n: int) -> int:
        """How many neighbours, at the perplexities that n rows allow."""
        if self.affinity == "uniform":
            return min(n - 1, self.n_neighbors or FEW)
        used = lowered(self.perplexity, n)
        self.perplexity_ = used if np.ndim(self.perplexity) else used[0]
        return min(n - 1, self.n_neighbors or reach(used))

    def _affinity(self, index, distance) -> Graph:
        if self.affinity == "uniform":
            return uniform(index)
        return entropic(index, distance, perplexity=self.perplexity_)
