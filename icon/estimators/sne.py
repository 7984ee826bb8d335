"""Stochastic neighbour embedding as scikit-learn's estimators are used."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from icon._loss import kl
from icon._table import TABLE
from icon.estimators.descending import Descending
from icon.estimators.perplexity import ByPerplexity


@dataclasses.dataclass(repr=False, eq=False)
class SNE(ByPerplexity, Descending):
    r"""SNE: every row has a distribution over its neighbours, and so has its point.

    $$\min_Z \frac{1}{n} \sum_i \mathrm{KL}(p_i \| q_i), \quad
      q_{ij} \propto \exp(-\|z_i - z_j\|^2)$$

    The same seed gives the same bits on one machine. A row that `transform` has seen in
    `fit` gets its own place; a new one, the place that fits its nearest neighbours best
    among points that do not move, to the same bits whatever other rows are new.

    Args:
        n_components: columns of the embedding.
        perplexity: the effective number of neighbours, from 1; several give the mean
            of their affinities. Above (n - 1) / 3 it is lowered, with one warning.
        sigma: instead of a perplexity the width of a Gaussian, one for all rows, in the
            unit of the distances: rows in dense regions have more neighbours.
        affinity: "perplexity"; "uniform", the nearest neighbours all alike.
        max_iter: steps; 0 returns the start.
        learning_rate: of Adam, the largest step of a coordinate.
        init: "pca"; "spectral"; "random"; or an array [n, n_components]. Where X has
            no features "pca" is "spectral", and that is "pca" or "random" where the
            graph is not connected, with a warning.
        metric: as TSNE has it, "precomputed" and "affinity" among it.
        metric_params: arguments of a metric that is a function, by name: dict(order=3).
        n_neighbors: None: three times the perplexity; 90 with a sigma; 15 with
            affinity="uniform".
        neighbors: instead of a search, (index [n, k], distance [n, k]), without self.
        callbacks: (step, loss, embedding) -> True to stop; called every 50 steps.
        verbose: a progress bar (tqdm), or lines, on stderr.
        random_state: a seed; a generator; None: another one every time.

    Attributes:
        embedding_: the layout, float32 [n, n_components].
        kl_divergence_: at the end, the mean over rows.
        n_iter_: how many steps were taken.
        interrupted_: whether Ctrl-C ended them.
        loss_: the loss after every 50 of them.
        perplexity_: the one used, or a list of those; None where there is none.
        affinities_: p, an `icon.graph`.

    Raises:
        InvalidInput: in fit, what cannot be used, by name; sparse features among it.
        DivergenceError: a loss that stops being finite; it holds the last good layout.

    Example:
        >>> import numpy as np
        >>> from icon.estimators import SNE
        >>> x = np.random.default_rng(0).normal(size=(40, 3))
        >>> model = SNE(perplexity=5, max_iter=50, random_state=0)
        >>> model.fit_transform(x).shape, model.n_iter_
        ((40, 2), 50)

    Source: Hinton & Roweis, Stochastic neighbor embedding, 2002.
    """

    n_components: int = 2
    _: dataclasses.KW_ONLY
    perplexity: float | Sequence[float] = 30.0
    sigma: float | None = None
    affinity: str = "perplexity"
    max_iter: int = 300
    learning_rate: float = 3.0
    init: str | ArrayLike = "pca"
    metric: str | Callable = "euclidean"
    metric_params: dict[str, Any] | None = None
    n_neighbors: int | None = None
    neighbors: tuple[ArrayLike, ArrayLike] | None = None
    callbacks: Sequence[Callable] = ()
    verbose: int = 0
    random_state: int | np.random.RandomState | np.random.Generator | None = None

    def _learned(self) -> Callable:
        return TABLE["SNE"].q

    def _loss(self) -> Callable:
        return kl

    @property
    def kl_divergence_(self) -> float:
        return self.divergence_
