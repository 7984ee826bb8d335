"""Any p and any q as scikit-learn's estimators are used."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from icon._base import checks as check
from icon._loss import kl
from icon._neighborhoods import as_neighborhood, self_tuning, student_t
from icon.estimators.descending import Descending
from icon.estimators.frames import Frame, Verbatim
from icon.estimators.input import distances


@dataclasses.dataclass(repr=False, eq=False)
class NeighborEmbedding(Descending):
    r"""Points whose neighbours under q are those that rows have under p: any p, any q.

    $$\min_Z L\big(p(X), q(Z)\big)$$

    Every cell of the table that places points is a choice of these three. The same
    seed gives the same bits on one machine. A row that `transform` has seen in `fit`
    gets its own place; a new one, the place where q fits its nearest neighbours best
    among points that do not move, to the same bits whatever other rows are new.

    Args:
        n_components: columns of the embedding.
        p: of the nearest rows, (index [n, k], distance [n, k]) -> neighbours, such as
            icon.entropic, icon.fuzzy, icon.uniform or icon.self_tuning, in a unit of
            the estimator's own; with n_neighbors=None of all rows, x [n, d] ->
            neighbours; or neighbours [n, n], such as those of icon.fixed_scale, which
            have a unit.
        q: (z, candidates=None) -> the neighbours of points, such as icon.student_t.
        loss: (p, q) -> a number; `functools.partial(icon.kl, joint=True)` is one
            distribution over all pairs.
        n_neighbors: how many nearest rows p is a function of; None: p is one of X.
        max_iter: steps; 0 returns the start.
        learning_rate: of Adam, the largest step of a coordinate, where points start
            with a standard deviation of 1.
        init: "pca"; "spectral"; "random"; or an array [n, n_components]. Where X has no
            features "pca" is "spectral", which needs a listed p.
        metric: "euclidean", "cosine", "manhattan", "correlation"; a function (one row
            [d], all rows [n, d]) -> distances [n], in JAX; "precomputed": X has the
            distances [n, n], not squared, and where it is sparse every stored entry is
            one; "affinity": X has the affinities, symmetrised, and they are p.
        metric_params: arguments of a metric that is a function, by name: dict(order=3).
        neighbors: instead of a search, (index [n, k], distance [n, k]), without self.
        callbacks: (step, loss, embedding) -> True to stop; called every 50 steps.
        verbose: a progress bar (tqdm), or lines, on stderr.
        random_state: a seed; a generator; None: another one every time.

    Attributes:
        embedding_: the points, float32 [n, n_components].
        divergence_: the loss at the end.
        n_iter_: how many steps were taken.
        interrupted_: whether Ctrl-C ended them.
        loss_: the loss after every 50 of them.
        affinities_: p.

    Raises:
        InvalidInput: in fit, what cannot be used, by name; sparse features among it.
        DivergenceError: a loss that stops being finite; it holds the last good points.

    Example:
        >>> import icon, numpy as np
        >>> from icon.estimators import NeighborEmbedding
        >>> x = np.random.default_rng(0).normal(size=(40, 3))
        >>> model = NeighborEmbedding(q=icon.gaussian, max_iter=50, random_state=0)
        >>> model.fit_transform(x).shape, model.n_iter_
        ((40, 2), 50)

    Source: Alshammari et al., I-Con: a unifying framework for representation learning,
    2025.
    """

    n_components: int = 2
    _: dataclasses.KW_ONLY
    p: Any = self_tuning
    q: Callable = student_t
    loss: Callable = kl
    n_neighbors: int | None = 15
    max_iter: int = 300
    learning_rate: float = 3.0
    init: str | ArrayLike = "pca"
    metric: str | Callable = "euclidean"
    metric_params: dict[str, Any] | None = None
    neighbors: tuple[ArrayLike, ArrayLike] | None = None
    callbacks: Sequence[Callable] = ()
    verbose: int = 0
    random_state: int | np.random.RandomState | np.random.Generator | None = None

    def _learned(self) -> Callable:
        return self.q

    def _loss(self) -> Callable:
        return self.loss

    def _check_settings(self) -> None:
        super()._check_settings()
        if callable(self.p):
            of = ("x",) if self.n_neighbors is None else ("index", "distance")
            check.function("p", self.p, *of)
        else:
            as_neighborhood("p", self.p, "support")
        check.function("q", self.q, "z")
        check.function("loss", self.loss, "p", "q")

    def _frame_of(self, x) -> Frame | Verbatim:
        """A p of the rows may depend on their unit."""
        return Verbatim() if self.n_neighbors is None else super()._frame_of(x)

    def _supervision(self, X, x, y, seed: int) -> Any:
        if self.metric == "affinity":
            return super()._supervision(X, x, y, seed)
        if not callable(self.p):
            p, n = self.p, (distances(X)[0] if x is None else x).shape[0]
            got = f"{p.shape[0]} anchors"
            check.require(p.shape[0] == n, "p", got, f"{n}, as X has rows")
            return as_neighborhood("p", p, "support")
        if self.n_neighbors is None:
            x = distances(X)[0] if x is None else x
            return as_neighborhood("p", self.p(x), "support")
        return super()._supervision(X, x, y, seed)

    def _neighbor_count(self, n: int) -> int:
        return min(n - 1, self.n_neighbors or n - 1)

    def _affinity(self, index, distance) -> Any:
        return as_neighborhood("p", self.p(index, distance), "support")
