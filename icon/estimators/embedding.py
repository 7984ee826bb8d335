"""What do estimators share that turn rows into points? Their input, p and columns."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)

from icon._base import checks as check
from icon._search import METRICS
from icon.estimators.frames import Frame, Verbatim, frame
from icon.estimators.input import (
    GIVEN,
    affinities,
    directed,
    distances,
    features,
    is_given,
    with_arguments,
)
from icon.estimators.neighbors import Listed, given_neighbors, nearest
from icon.estimators.progress import phase, progress
from icon.estimators.settings import functions, seed_of


MOST = 2**16  # columns of an embedding


class Embedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Rows that become points, supervised by the neighbours that they have.

    An estimator of the family is a dataclass of its settings, these among them, and
    says how many neighbours count (`_neighbor_count`), with which weights (`_affinity`)
    and how the points are found (`_embed`); where it has settings of its own, what is
    refused (`_check_settings`).
    """

    n_components: int
    metric: str | Callable
    metric_params: dict[str, Any] | None
    n_neighbors: int | None
    neighbors: Any
    callbacks: Sequence[Callable]
    verbose: int
    random_state: Any

    affinities_: Any
    n_iter_: int
    interrupted_: bool = False  # unless a descent says so
    embedding_: Float[np.ndarray, "n c"]

    _exponent: int  # of the unit of listed distances, a power of 2
    _given: tuple[str, ...] = GIVEN  # metrics that say what X is
    _phase = "layout"  # what a descent is called

    def fit(self, X, y=None):
        """Find the points of the rows of X.

        Args:
            X: numbers [n, d], two rows or more; or what `metric` says.
            y: labels [n], of an estimator that learns from some; else ignored.
        """
        self._check_metric()
        x = None if is_given(self.metric) else self._framed(X)
        self._check_settings()
        seed = seed_of(self.random_state)
        self.affinities_ = self._supervision(X, x, y, seed)
        if x is None:
            self.n_features_in_ = self.affinities_.shape[1]
        self._embed(x, np.random.default_rng(seed))
        if self.interrupted_:
            what = f"interrupted after {self.n_iter_} of {self._steps} steps"
            warnings.warn(f"{what}: embedding_ is what there was", stacklevel=2)
        return self

    def fit_transform(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X, y=None
    ) -> Float[np.ndarray, "n c"]:
        """Find the points of the rows of X, and return them."""
        return self.fit(X, y).embedding_

    @property
    def _n_features_out(self) -> int:
        return self.embedding_.shape[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        pairwise = is_given(self.metric) and self.metric in self._given
        tags.input_tags.pairwise = tags.input_tags.sparse = pairwise
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    # --------------------------------------------------- what each of them says

    def _neighbor_count(self, n: int) -> int:
        """How many of n rows are neighbours of each."""
        raise NotImplementedError

    def _affinity(self, index, distance) -> Any:
        """p of the nearest rows [n, k] and their distances [n, k]."""
        raise NotImplementedError

    def _embed(self, x: Float[np.ndarray, "n d"] | None, rng) -> None:
        """Find the points of rows, None where X has none, and keep what is found."""
        raise NotImplementedError

    # --------------------------------------------------- settings

    def _check_metric(self) -> None:
        if not callable(self.metric):
            names = (*METRICS, *self._given)
            check.one_of("metric", self.metric, names, ", or a function")
        free = self.neighbors is None or not is_given(self.metric)
        got = f"a pair with metric={self.metric!r}"
        check.require(free, "neighbors", got, "None: X has the neighbours")
        # made once: a search is compiled for each function that it is given
        self._metric = with_arguments(self.metric, self.metric_params)

    def _check_settings(self) -> None:
        """Refuse every other setting that can be refused without the data."""
        check.count("n_components", self.n_components, 1, MOST)
        if self.n_neighbors is not None:
            check.size("n_neighbors", self.n_neighbors)
        functions("callbacks", self.callbacks)

    # --------------------------------------------------- neighbours of the data

    def _framed(self, X) -> Float[np.ndarray, "n d"]:
        """The rows of X in their own unit, which new rows will be in as well."""
        x = directed(features(self, X), self.metric)
        self._frame = self._frame_of(x)
        self._exponent = self._frame.exponent
        return self._frame(x)

    def _frame_of(self, x) -> Frame | Verbatim:
        return frame(x, self.metric)

    def _supervision(self, X, x, y, seed: int) -> Any:
        """p: the neighbours of every row."""
        if self.metric == "affinity":
            return affinities(X)
        if x is None:
            x, self._exponent = distances(X)
        identical = not sp.issparse(x) and not np.ptp(x, 0).any()
        k = self._neighbor_count(x.shape[0])
        with warnings.catch_warnings(), check.renamed(index="neighbors", anchors="X"):
            if identical:
                warnings.warn("all rows of X are identical in float32", stacklevel=3)
                warnings.simplefilter("ignore", UserWarning)  # that they tie, too
            with phase(self.verbose, "neighbors"):
                near = self._listed(x, k, seed)
            with phase(self.verbose, "affinities"):
                return self._affinity(*near)

    def _listed(self, x, k: int, seed: int) -> Listed:
        if self.neighbors is None:
            return nearest(x, k, self._metric, seed)
        listed, self._exponent = given_neighbors(self.neighbors, x.shape[0])
        return listed

    # --------------------------------------------------- the descent

    def _watched(self, steps: int, every: int, descend: Callable) -> Any:
        """What a descent leads to, shown as it goes, and what is known of it after.

        Args:
            steps: how many there are to be.
            every: steps between two calls of the callbacks.
            descend: callbacks -> (what is found, its history).
        """
        with progress(self.verbose, steps, self._phase) as bar:
            found, history = descend([*bar, *self.callbacks])
        self.loss_, self._steps = history.loss, steps
        self.n_iter_ = min(every * len(history.loss), steps)
        self.interrupted_ = history.interrupted
        return found
