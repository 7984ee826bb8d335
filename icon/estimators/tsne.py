"""t-SNE as scikit-learn's estimators are used."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from icon._base import checks as check
from icon._engines import interpolated
from icon._loss import kl
from icon._neighborhoods import Graph, to_sparse
from icon._search import symmetrize
from icon.estimators.layouts import Layout
from icon.estimators.perplexity import ByPerplexity
from icon.recipes import layout


@dataclasses.dataclass(repr=False, eq=False)
class TSNE(ByPerplexity, Layout):
    r"""t-SNE: neighbours of the data become neighbours in few dimensions.

    $$\min_Z \mathrm{KL}(P \| Q), \quad q_{ij} \propto
      (1 + \|z_i - z_j\|^2 / \nu)^{-(\nu + 1)/2}$$

    Data is moved and rescaled to its own unit first, and everything computed and
    returned in float32. The same seed gives the same bits on one machine. A row that
    `transform` has seen in `fit` gets its own place; a new one, the place that fits its
    nearest neighbours best among points that do not move, whatever other rows are new.

    Args:
        n_components: columns of the embedding.
        perplexity: the effective number of neighbours, from 1; several give the mean
            of their affinities. Above (n - 1) / 3 it is lowered, with one warning.
        sigma: instead of a perplexity the width of a Gaussian, one for all rows, in the
            unit of the distances: rows in dense regions have more neighbours.
        early_exaggeration: of the attraction, at first.
        early_exaggeration_iter: for so many steps; None: as the schedule says.
        exaggeration: of the attraction, later.
        max_iter: steps in total; None: as the schedule says; 0 returns the start.
        schedule: "fast": 300 steps, 100 of them early, at a momentum of 0.95 from the
            150th on; "openTSNE": 750 steps, 250 of them early, at 0.8.
        learning_rate: on the true gradient of the divergence; "auto" is n divided by
            the exaggeration of the moment. openTSNE's gradient is a quarter of it.
            Where the first 50 steps climb it is halved for the early ones.
        init: "pca"; "spectral"; "random"; or an array [n, n_components]. Where X has
            no features "pca" is "spectral", and that is "pca" or "random" where the
            graph is not connected, with a warning.
        metric: "euclidean", "cosine", "manhattan", "correlation"; a function (one row
            [d], all rows [n, d]) -> distances [n], in JAX; "precomputed": X has the
            distances [n, n], not squared, and where it is sparse every stored entry is
            one; "affinity": X has the affinities, symmetrised and used as they are.
        metric_params: arguments of a metric that is a function, by name: dict(order=3).
        affinity: "perplexity"; "uniform", the nearest neighbours all alike.
        n_neighbors: None: three times the perplexity; 90 with a sigma; 15 with
            affinity="uniform".
        neighbors: instead of a search, (index [n, k], distance [n, k]), without self.
        dof: ν, degrees of freedom of the tail; below 1, clusters are further separated.
        tol: stop once 100 steps improve the loss by no more than this share of it; at
            0 that is not at all, and a run that improves is never stopped.
        callbacks: (step, loss, embedding) -> True to stop; called every 50 steps.
        verbose: a progress bar (tqdm), or lines, on stderr.
        random_state: a seed; a generator; None: another one every time.

    Attributes:
        embedding_: the layout, float32 [n, n_components].
        kl_divergence_: at the end, without exaggeration.
        n_iter_: how many steps were taken.
        interrupted_: whether Ctrl-C ended them.
        loss_: the loss after every 50 of them, early on the exaggerated one.
        learning_rate_: that of the last steps.
        perplexity_: the one used, or a list of those; None where there is none.
        affinities_: p, an `icon.graph`.

    Raises:
        InvalidInput: in fit, what cannot be used, by name; sparse features among it.
        DivergenceError: a loss that stops being finite; it holds the last good layout.

    Example:
        >>> import numpy as np
        >>> from icon.estimators import TSNE
        >>> x = np.random.default_rng(0).normal(size=(40, 3))
        >>> model = TSNE(perplexity=5, max_iter=50, random_state=0)
        >>> model.fit_transform(x).shape, model.n_iter_
        ((40, 2), 50)

    Source: van der Maaten & Hinton, Visualizing data using t-SNE, 2008; defaults: Kobak
    & Berens, The art of using t-SNE for single-cell transcriptomics, 2019.
    """

    n_components: int = 2
    _: dataclasses.KW_ONLY
    perplexity: float | Sequence[float] = 30.0
    sigma: float | None = None
    early_exaggeration: float = 12.0
    early_exaggeration_iter: int | None = None
    exaggeration: float = 1.0
    max_iter: int | None = None
    schedule: str = "fast"
    learning_rate: float | str = "auto"
    init: str | ArrayLike = "pca"
    metric: str | Callable = "euclidean"
    metric_params: dict[str, Any] | None = None
    affinity: str = "perplexity"
    n_neighbors: int | None = None
    neighbors: tuple[ArrayLike, ArrayLike] | None = None
    dof: float = 1.0
    tol: float = 0.0
    callbacks: Sequence[Callable] = ()
    verbose: int = 0
    random_state: int | np.random.RandomState | np.random.Generator | None = None

    # --------------------------------------------------- settings

    def _check_settings(self) -> None:
        super()._check_settings()
        check.single("dof", self.dof)
        check.scalar("tol", self.tol, 0)
        self._plan()

    def _plan(self) -> layout.Plan:
        plan = layout.PLANS[check.one_of("schedule", self.schedule, layout.PLANS)]
        steps, early = self.max_iter, self.early_exaggeration_iter
        if steps is None:
            steps = plan.steps
        if early is None:
            early = plan.early
        rate = self.learning_rate
        auto = isinstance(rate, str) and rate == "auto"
        return dataclasses.replace(
            plan,
            steps=check.size("max_iter", steps, 0),
            early=check.size("early_exaggeration_iter", early, 0),
            early_exaggeration=check.single(
                "early_exaggeration", self.early_exaggeration
            ),
            exaggeration=check.single("exaggeration", self.exaggeration),
            rate=None if auto else check.single("learning_rate", rate),
        )

    # --------------------------------------------------- the layout

    def _affinity(self, index, distance) -> Graph:
        """p, symmetrised."""
        return symmetrize(super()._affinity(index, distance))

    def _tail(self) -> layout.Tail:
        return layout.Tail(float(self.dof))

    def _embed(self, x, rng) -> None:
        q, p, plan = self._tail(), self.affinities_, self._plan()
        start, ends = self._start(x, rng), layout.settled(plan, float(self.tol))

        def descend(callbacks):
            return layout.lay_out(q, start, p, plan, [*callbacks, ends])

        z = self._watched(plan.steps, layout.EVERY, descend)
        self.embedding_ = np.array(z)
        self.learning_rate_ = float(plan.rates(len(z)).values[-1])
        if plan.exaggeration == 1 and self.n_iter_ > plan.early:
            divergence = self.loss_[-1] - _entropy(p)  # the loss: a cross-entropy
        else:
            divergence = kl(p, interpolated(q(z)), joint=True)
        self.kl_divergence_ = float(divergence)

    def _blocks(self, n: int) -> list[np.ndarray]:
        few = len(self.embedding_) < layout.MANY
        return layout.blocks_of(n, layout.FEW if few else layout.MANY)

    def _located(self, p: Graph) -> np.ndarray:
        return layout.place(self._tail(), self.embedding_, p)


def _entropy(p: Graph) -> float:
    """-Σ_ij p_ij log p_ij over all pairs: what a cross-entropy has more than a KL."""
    weight = to_sparse(p).data
    share = weight[weight > 0] / weight.sum()
    return float(-np.sum(share * np.log(share)))
