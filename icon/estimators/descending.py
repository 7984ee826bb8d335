"""How do points that are free follow any loss of p and q?"""

from collections.abc import Callable
from typing import Any

from icon._base import checks as check
from icon._neighborhoods import Graph
from icon.estimators.layouts import Layout
from icon.recipes import embedding


class Descending(Layout):
    """Points that follow the gradient of a loss, by Adam.

    An estimator says which q (`_learned`) and which loss (`_loss`).
    """

    max_iter: int
    learning_rate: float

    _spread = 1.0

    def _learned(self) -> Callable:
        """(points, candidates=None) -> the neighbours that are learned."""
        raise NotImplementedError

    def _loss(self) -> Callable:
        """(p, q) -> a number."""
        raise NotImplementedError

    def _check_settings(self) -> None:
        super()._check_settings()
        check.size("max_iter", self.max_iter, 0)
        check.single("learning_rate", self.learning_rate)

    def _embed(self, x, rng) -> None:
        q, loss, p = self._learned(), self._loss(), self.affinities_
        start, rate = self._start(x, rng), float(self.learning_rate)

        def descend(callbacks):
            return embedding.descend(q, loss, start, p, self.max_iter, rate, callbacks)

        z = self._watched(self.max_iter, embedding.EVERY, descend)
        self.embedding_ = z
        found = self.loss_[-1] if len(self.loss_) else embedding.value(q, loss, z, p)
        self.divergence_ = float(found)

    # --------------------------------------------------- new rows

    def _located(self, p: Graph) -> Any:
        return embedding.locate(self._learned(), self.embedding_, p)
