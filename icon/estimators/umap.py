"""UMAP as scikit-learn's estimators are used."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from icon._base import checks as check
from icon._neighborhoods import Graph, among, bernoulli, fuzzy, points, umap
from icon._search import symmetrize, union
from icon.estimators.layouts import Layout
from icon.recipes import edges, embedding


def yes_among(z, index, a, b):
    """Yes or no of every point listed: near, by 1 / (1 + a d^2b), or not."""
    return bernoulli(among(points(umap, z, a=a, b=b), index))


def _log_membership(anchor, candidates, a, b):
    return jax.nn.log_sigmoid(umap(anchor, candidates, a=a, b=b))


@dataclasses.dataclass(frozen=True)
class Curve:
    """How likely two points are neighbours, by their distance: 1 / (1 + a d^2b)."""

    a: float
    b: float

    def __call__(self, anchors, candidates=None):
        return points(_log_membership, anchors, candidates, a=self.a, b=self.b)


def curve(min_dist: float, spread: float = 1.0) -> Curve:
    r"""The curve nearest to 1 below a distance, and an exponential beyond it.

    $$1 / (1 + a d^{2b}) \approx
      \exp(-\max(0, d - \mathrm{min\_dist}) / \mathrm{spread})$$

    Example:
        >>> from icon.estimators.umap import curve
        >>> round(curve(0.1).a, 3), round(curve(0.1).b, 3)
        (1.577, 0.895)
    """
    from scipy.optimize import curve_fit

    d = np.linspace(0, 3 * spread, 300)
    wanted = np.exp(-np.maximum(0, d - min_dist) / spread)
    (a, b), _ = curve_fit(lambda d, a, b: 1 / (1 + a * d ** (2 * b)), d, wanted)
    return Curve(float(a), float(b))


@dataclasses.dataclass(repr=False, eq=False)
class UMAP(Layout):
    r"""UMAP: each pair of rows is near or not, and so is each pair of points.

    $$\min_Z \sum_{ij} \mathrm{KL}\big(\mathrm{Ber}(w_{ij}) \,\|\,
      \mathrm{Ber}(1 / (1 + a \|z_i - z_j\|^{2b}))\big)$$

    w is the fuzzy union of each row's nearest neighbours. In a step every row draws one
    of its edges by weight, and a few other rows to which it says no. The same seed
    gives the same bits on one machine. A row that `transform` has seen in `fit` gets
    its own place; a new one, the place where the curve, normalised over points that do
    not move, fits its nearest neighbours best, to the same bits whatever other rows are
    new.

    Args:
        n_components: columns of the embedding.
        n_neighbors: how many nearest rows are neighbours.
        min_dist: below this distance neighbours are near for certain.
        spread: how fast that falls beyond.
        negatives: other rows that are drawn for every edge.
        max_iter: steps; 0 returns the start.
        learning_rate: of Adam, the largest step of a coordinate.
        init: "pca"; "spectral"; "random"; or an array [n, n_components]. Where X has
            no features "pca" is "spectral", and that is "pca" or "random" where the
            graph is not connected, with a warning.
        metric: as TSNE has it, "precomputed" and "affinity" among it.
        metric_params: arguments of a metric that is a function, by name: dict(order=3).
        neighbors: instead of a search, (index [n, k], distance [n, k]), without self.
        callbacks: (step, loss, embedding) -> True to stop; called every 50 steps.
        verbose: a progress bar (tqdm), or lines, on stderr.
        random_state: a seed; a generator; None: another one every time.

    Attributes:
        embedding_: the layout, float32 [n, n_components].
        n_iter_: how many steps were taken.
        interrupted_: whether Ctrl-C ended them.
        loss_: the loss of what was drawn, after every 50 of them.
        affinities_: w, an `icon.graph`.

    Raises:
        InvalidInput: in fit, what cannot be used, by name; sparse features among it.
        DivergenceError: a loss that stops being finite; it holds the last good layout.

    Example:
        >>> import numpy as np
        >>> from icon.estimators import UMAP
        >>> x = np.random.default_rng(0).normal(size=(40, 3))
        >>> model = UMAP(max_iter=50, random_state=0)
        >>> model.fit_transform(x).shape, model.n_iter_
        ((40, 2), 50)

    Source: McInnes, Healy & Melville, UMAP, 2018; Damrich et al., From t-SNE to UMAP
    with contrastive learning, 2023.
    """

    n_components: int = 2
    _: dataclasses.KW_ONLY
    n_neighbors: int = 15
    min_dist: float = 0.1
    spread: float = 1.0
    negatives: int = edges.STRANGERS
    max_iter: int = edges.STEPS
    learning_rate: float = edges.RATE
    init: str | ArrayLike = "pca"
    metric: str | Callable = "euclidean"
    metric_params: dict[str, Any] | None = None
    neighbors: tuple[ArrayLike, ArrayLike] | None = None
    callbacks: Sequence[Callable] = ()
    verbose: int = 0
    random_state: int | np.random.RandomState | np.random.Generator | None = None

    _spread = 10.0

    def _check_settings(self) -> None:
        super()._check_settings()
        check.size("n_neighbors", self.n_neighbors)
        near, spread = check.scalar("min_dist", self.min_dist, 0), self.spread
        within = near <= check.single("spread", spread)
        check.require(within, "min_dist", near, f"a number from 0 to spread, {spread}")
        check.draws("negatives", self.negatives)
        check.size("max_iter", self.max_iter, 0)
        check.single("learning_rate", self.learning_rate)

    def _neighbor_count(self, n: int) -> int:
        return min(n - 1, self.n_neighbors)

    def _affinity(self, index, distance) -> Graph:
        return symmetrize(fuzzy(index, distance), union)

    def _embed(self, x, rng) -> None:
        p, start = self.affinities_, self._start(x, rng)
        self._curve = curve(float(self.min_dist), float(self.spread))
        numbers, seed = dataclasses.asdict(self._curve), int(rng.integers(2**31))
        rate = float(self.learning_rate)

        def descend(callbacks):
            return edges.descend(
                yes_among, start, p, self.max_iter, rate, callbacks,
                params=numbers, strangers=self.negatives, seed=seed,
            )  # fmt: skip

        self.embedding_ = self._watched(self.max_iter, embedding.EVERY, descend)

    # --------------------------------------------------- new rows

    def _located(self, p: Graph) -> np.ndarray:
        return embedding.locate(self._curve, self.embedding_, p)
