"""Contrastive learning as scikit-learn's estimators are used."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from icon._base import checks as check
from icon._neighborhoods import Graph, cosine, uniform
from icon.estimators.encoder import Encoder
from icon.estimators.frames import Frame, Verbatim
from icon.estimators.input import labels
from icon.recipes import encoding


@dataclasses.dataclass(repr=False, eq=False)
class ContrastiveEncoder(Encoder):
    r"""A network that brings rows together that share a label, or are neighbours.

    $$\min_\theta \sum_{i \in B} \mathrm{KL}(p_i \| q_i), \quad
      q_{ij} \propto \exp(\cos(f_\theta(x_i), f_\theta(x_j)) / \tau)$$

    p is uniform over the other rows of a batch B that share i's label, given as the y
    of `fit`, of which -1 is none (SupCon); without labels over one row, drawn from i's
    nearest neighbours; with `views` over another view of i (SimCLR). The same seed
    gives the same bits on one machine, and a row the same point whatever other rows are
    beside it.

    Args:
        n_components: columns of the embedding, of the network there is by default.
        q: points [b, c] -> the neighbours that are learned, of a batch; under
            icon.cosine, at a temperature of 0.1, only the direction of a point counts.
        views: (key, rows) -> rows, a random change that keeps their meaning, in JAX;
            rows are then taken as they are. None: labels, or neighbours, are enough.
        model: the network, a Flax module or a pair (init, apply) with init(key, rows)
            -> params and apply(params, rows) -> points [b, c]; None: two dense layers
            of 256, and one to the embedding.
        batch_size: rows of a batch, those drawn beside them included.
        max_iter: how many batches.
        learning_rate: of Adam, at its highest.
        metric: of neighbours: "euclidean", "cosine", "manhattan", "correlation"; a
            function (one row [d], all rows [n, d]) -> distances [n], in JAX.
        metric_params: arguments of a metric that is a function, by name: dict(order=3).
        n_neighbors: how many nearest rows one is drawn from.
        neighbors: instead of a search, (index [n, k], distance [n, k]), without self.
        callbacks: (step, loss, embedding) -> True to stop; called every 50 steps.
        verbose: a progress bar (tqdm), or lines, on stderr.
        random_state: a seed; a generator; None: another one every time.

    Attributes:
        embedding_: the points of the rows, float32 [n, n_components].
        n_iter_: how many batches there were.
        interrupted_: whether Ctrl-C ended them.
        loss_: the loss of every one of them.
        affinities_: the neighbours, an `icon.graph`; None with labels or views.

    Raises:
        InvalidInput: in fit, what cannot be used, by name; sparse features among it.
        DivergenceError: a loss that stops being finite; it holds the last parameters.

    Example:
        >>> import numpy as np
        >>> from icon.estimators import ContrastiveEncoder
        >>> x = np.random.default_rng(0).normal(size=(40, 3))
        >>> model = ContrastiveEncoder(4, max_iter=20, random_state=0)
        >>> model.fit(x, np.arange(40) % 2).transform(x[:2]).shape
        (2, 4)

    Source: Khosla et al., Supervised contrastive learning, 2020; Oord et al., 2018;
    El Banani et al., Learning visual representations via language-guided sampling,
    2023, for neighbours.
    """

    n_components: int = 16
    _: dataclasses.KW_ONLY
    q: Callable = cosine
    views: Callable | None = None
    model: Any = None
    batch_size: int = 256
    max_iter: int = 300
    learning_rate: float = 2e-3
    metric: str | Callable = "euclidean"
    metric_params: dict[str, Any] | None = None
    n_neighbors: int = 10
    neighbors: tuple[ArrayLike, ArrayLike] | None = None
    callbacks: Sequence[Callable] = ()
    verbose: int = 0
    random_state: int | np.random.RandomState | np.random.Generator | None = None

    def _check_settings(self) -> None:
        super()._check_settings()
        check.size("n_neighbors", self.n_neighbors)
        check.function("q", self.q, "z")
        if self.views is not None:
            check.function("views", self.views, "key", "rows")

    def _frame_of(self, x) -> Frame | Verbatim:
        return super()._frame_of(x) if self.views is None else Verbatim()

    def _supervision(self, X, x, y, seed: int) -> Graph | None:
        self._labels = None if y is None else labels(y, len(x))
        if y is not None or self.views is not None:
            return None
        return super()._supervision(X, x, y, seed)

    def _neighbor_count(self, n: int) -> int:
        return min(n - 1, self.n_neighbors)

    def _affinity(self, index, distance) -> Graph:
        self._near = np.asarray(index)
        return uniform(index)

    def _cell(self) -> Callable:
        return encoding.Alike(self.q)

    def _views(self) -> Callable | None:
        return self.views

    def _batches(self, x) -> encoding.Batches:
        if self._labels is None and self.views is None:
            return encoding.paired(x, self._near, self.batch_size)
        ids = np.arange(len(x), dtype=np.int32)
        ids = ids if self._labels is None else self._labels
        batches = encoding.labelled if self.views is None else encoding.viewed
        return batches(x, ids, self.batch_size)
