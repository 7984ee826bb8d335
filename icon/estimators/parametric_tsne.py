"""t-SNE by a network as scikit-learn's estimators are used."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from icon._base import checks as check
from icon._neighborhoods import Graph
from icon._search import symmetrize
from icon.estimators.encoder import Encoder
from icon.estimators.perplexity import ByPerplexity
from icon.recipes import encoding, layout


@dataclasses.dataclass(repr=False, eq=False)
class ParametricTSNE(ByPerplexity, Encoder):
    r"""t-SNE by a network: what places a row in the plane is a function of the row.

    $$\min_\theta \mathrm{KL}(P_B \| Q_B), \quad q_{ij} \propto
      (1 + \|f_\theta(x_i) - f_\theta(x_j)\|^2 / \nu)^{-(\nu + 1)/2}$$

    over the pairs inside of a batch B, one distribution of all of them. P is that of
    all rows, and what a batch keeps of it counts: a batch should have several
    neighbours of each of its rows, as with n / perplexity rows or more. Data is moved
    and rescaled to its own unit first. The same seed gives the same bits on one
    machine, and a row the same point whatever other rows are beside it.

    Args:
        n_components: columns of the embedding, of the network there is by default.
        perplexity: the effective number of neighbours, from 1; several give the mean
            of their affinities. Above (n - 1) / 3 it is lowered, with one warning.
        sigma: instead of a perplexity the width of a Gaussian, one for all rows, in the
            unit of the distances: rows in dense regions have more neighbours.
        affinity: "perplexity"; "uniform", the nearest neighbours all alike.
        dof: ν, degrees of freedom of the tail.
        model: the network, a Flax module or a pair (init, apply) with init(key, rows)
            -> params and apply(params, rows) -> points [b, c]; None: two dense layers
            of 256, and one to the embedding.
        batch_size: rows of a batch; all rows where there are fewer.
        max_iter: how many batches.
        learning_rate: of Adam, at its highest.
        metric: "euclidean", "cosine", "manhattan", "correlation"; a function (one row
            [d], all rows [n, d]) -> distances [n], in JAX.
        metric_params: arguments of a metric that is a function, by name: dict(order=3).
        n_neighbors: None: three times the perplexity; 90 with a sigma; 15 with
            affinity="uniform".
        neighbors: instead of a search, (index [n, k], distance [n, k]), without self.
        callbacks: (step, loss, embedding) -> True to stop; called every 50 steps.
        verbose: a progress bar (tqdm), or lines, on stderr.
        random_state: a seed; a generator; None: another one every time.

    Attributes:
        embedding_: the points of the rows, float32 [n, n_components].
        n_iter_: how many batches there were.
        interrupted_: whether Ctrl-C ended them.
        loss_: the loss of every one of them.
        perplexity_: the one used, or a list of those; None where there is none.
        affinities_: P, an `icon.graph`.

    Raises:
        InvalidInput: in fit, what cannot be used, by name; sparse features among it.
        DivergenceError: a loss that stops being finite; it holds the last parameters.

    Example:
        >>> import numpy as np
        >>> from icon.estimators import ParametricTSNE
        >>> x = np.random.default_rng(0).normal(size=(40, 3))
        >>> model = ParametricTSNE(perplexity=5, max_iter=20, random_state=0).fit(x)
        >>> model.transform(x[:2]).shape, model.n_iter_
        ((2, 2), 20)

    Source: van der Maaten, Learning a parametric embedding by preserving local
    structure, 2009.
    """

    n_components: int = 2
    _: dataclasses.KW_ONLY
    perplexity: float | Sequence[float] = 30.0
    sigma: float | None = None
    affinity: str = "perplexity"
    dof: float = 1.0
    model: Any = None
    batch_size: int = 512
    max_iter: int = 500
    learning_rate: float = 2e-3
    metric: str | Callable = "euclidean"
    metric_params: dict[str, Any] | None = None
    n_neighbors: int | None = None
    neighbors: tuple[ArrayLike, ArrayLike] | None = None
    callbacks: Sequence[Callable] = ()
    verbose: int = 0
    random_state: int | np.random.RandomState | np.random.Generator | None = None

    def _check_settings(self) -> None:
        super()._check_settings()
        check.single("dof", self.dof)

    def _affinity(self, index, distance) -> Graph:
        return symmetrize(super()._affinity(index, distance))

    def _cell(self) -> Callable:
        return encoding.Near(layout.Tail(float(self.dof)))

    def _batches(self, x) -> encoding.Batches:
        return encoding.among(x, self.affinities_, self.batch_size)
