"""How do points that are free start, and where do new rows go among them?"""

import warnings

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float
from sklearn.utils.validation import check_is_fitted

from icon._base import checks as check
from icon._neighborhoods import Graph, entropic
from icon.estimators.embedding import Embedding
from icon.estimators.frames import in_own_unit
from icon.estimators.input import features
from icon.estimators.neighbors import Listed, nearest_among
from icon.recipes import embedding, layout


INITS = ("pca", "spectral", "random")
FEW = 15  # neighbours of a new row
NEAR = 5.0  # the perplexity of a new row


class Layout(Embedding):
    """Points that are free to move; a new row goes among those that then stay.

    Beside what `Embedding` asks, an estimator says where new points go (`_located`),
    and how wide its start is (`_spread`).
    """

    init: str | ArrayLike

    _spread = layout.SMALL  # the standard deviation of a start

    def _framed(self, X) -> Float[np.ndarray, "n d"]:
        self._rows = super()._framed(X)
        return self._rows

    def _check_settings(self) -> None:
        super()._check_settings()
        if self.init is None or np.isscalar(self.init):
            check.one_of("init", self.init, INITS, ", or an array")

    # --------------------------------------------------- the start

    def _start(self, x, rng) -> layout.Start:
        p, c = self.affinities_, self.n_components
        if not isinstance(self.init, str):
            return layout.given(self.init, (p.shape[0], c), rng)
        wider = np.float32(self._spread / layout.SMALL)
        return wider * self._named_start(x, rng)

    def _named_start(self, x, rng) -> layout.Start:
        p, c = self.affinities_, self.n_components
        if self.init == "random":
            return layout.scattered(p.shape[0], c, rng)
        if self.init == "pca" and x is not None:
            return layout.principal(x, c, rng)
        return self._spectral(x, rng)

    def _spectral(self, x, rng) -> layout.Start:
        p, c = self.affinities_, self.n_components
        start = layout.spectral(p, c, rng)
        if start is not None:
            return start
        instead = "random" if x is None else "pca"
        why = "the graph is not connected, or has no such eigenvectors"
        warnings.warn(f"init='spectral': {why}; {instead!r} is used", stacklevel=6)
        if x is None:
            return layout.scattered(p.shape[0], c, rng)
        return layout.principal(x, c, rng)

    # --------------------------------------------------- new rows

    def transform(self, X) -> Float[np.ndarray, "n c"]:
        """The places of rows in the layout, which stays as it is.

        Args:
            X: numbers [m, d]; with metric="precomputed", distances [m, n] to the rows
                that were fitted.
        """
        check_is_fitted(self)
        expected = "features or distances: affinities of new rows are not defined"
        check.require(self.metric != "affinity", "metric", "'affinity'", expected)
        x = features(self, X, reset=False)
        placed = [self._placed(x[block]) for block in self._blocks(len(x))]
        return np.concatenate(placed)[: len(x)]

    def _blocks(self, n: int) -> list[np.ndarray]:
        """New rows that are placed at once: as many, whatever their number."""
        return layout.blocks_of(n, embedding.block_size(len(self.embedding_)))

    def _located(self, p: Graph) -> Float[np.ndarray, "m c"]:
        """The best places of new points among those of the layout, p's candidates."""
        raise NotImplementedError

    def _placed(self, x) -> Float[np.ndarray, "m c"]:
        index, distance = self._fitted_neighbors(x)
        perplexity = min(NEAR, max(1, index.shape[1] / 2))
        candidates = len(self.embedding_)
        with warnings.catch_warnings():  # neighbours may tie
            warnings.simplefilter("ignore", UserWarning)
            p = entropic(index, distance, perplexity=perplexity, candidates=candidates)
        z = self._located(p)
        same = np.asarray(distance)[:, 0] == 0
        z[same] = self.embedding_[np.asarray(index)[same, 0]]
        return z

    def _fitted_neighbors(self, x) -> Listed:
        """The nearest fitted rows of new ones."""
        k = min(FEW, len(self.embedding_))
        if self.metric != "precomputed":
            return nearest_among(self._frame(x), k, self._rows, self._metric)
        below = (x < 0).any()
        check.require(not below, "X", "a negative number", "distances from 0")
        index = np.argsort(x, 1, kind="stable")[:, :k]
        return index, in_own_unit(np.take_along_axis(x, index, 1))[0]
