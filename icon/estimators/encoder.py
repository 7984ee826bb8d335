"""How does a network learn the points of rows, and where does it put new ones?"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.utils.validation import check_is_fitted

from icon._base import checks as check
from icon.estimators.embedding import Embedding
from icon.estimators.input import features
from icon.recipes import encoding


class Encoder(Embedding):
    """A network that turns rows into points, trained batch after batch.

    Beside what `Embedding` asks, an estimator says what it follows (`_cell`) and
    what its batches are (`_batches`).
    """

    model: Any
    batch_size: int
    max_iter: int
    learning_rate: float

    _given = ()  # a network needs features
    _phase = "training"

    def _cell(self) -> Callable:
        """(points of a batch, the batch) -> a number."""
        raise NotImplementedError

    def _batches(self, x) -> encoding.Batches:
        """How rows of x become batches."""
        raise NotImplementedError

    def _views(self) -> Callable | None:
        """(key, rows) -> rows, where a batch is two views of its rows."""
        return None

    def _check_settings(self) -> None:
        super()._check_settings()
        check.size("batch_size", self.batch_size, 2)
        check.size("max_iter", self.max_iter)
        check.single("learning_rate", self.learning_rate)

    def _embed(self, x: Any, rng) -> None:
        made = encoding.network_of(self.model, self.n_components)
        seed, rate = int(rng.integers(2**31)), float(self.learning_rate)
        batches = self._batches(x)
        feed = encoding.Feed(len(x), batches, self.max_iter, seed)
        objective = encoding.Objective(made, self._cell(), self._views())

        def descend(callbacks):
            return encoding.learn(objective, x, feed, rate, callbacks)

        self._params, self._state = self._watched(self.max_iter, 1, descend)
        self.embedding_ = encoding.encoded(made, self._params, self._state, x)

    def transform(self, X) -> Float[np.ndarray, "n c"]:
        """The points of rows, by the network.

        Args:
            X: numbers [m, d].
        """
        check_is_fitted(self)
        x = self._frame(features(self, X, reset=False))
        made = encoding.network_of(self.model, self.embedding_.shape[1])
        return encoding.encoded(made, self._params, self._state, x)
