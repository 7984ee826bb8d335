"""t-SNE as scikit-learn's estimators are used."""

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from jax.typing import ArrayLike
from jaxtyping import Float
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from icon._base import checks as check
from icon._engines import interpolated
from icon._loss import kl
from icon._neighborhoods import Graph, entropic, to_sparse, uniform
from icon._search import METRICS, symmetrize
from icon.estimators.frames import frame, in_own_unit
from icon.estimators.input import (
    GIVEN,
    affinities,
    directed,
    distances,
    features,
    is_given,
    renamed,
)
from icon.estimators.neighbors import (
    Listed,
    given_neighbors,
    nearest,
    nearest_among,
)
from icon.estimators.progress import progress
from icon.estimators.settings import feasible, functions, perplexities, seed_of
from icon.recipes import layout


INITS = ("pca", "spectral", "random")
MOST = 2**16  # columns of an embedding
FEW = 15  # neighbours of a new row, and of every row with affinity="uniform"
NEAR = 5.0  # the perplexity of a new row


@dataclasses.dataclass(repr=False, eq=False)
class TSNE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
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
        affinity: "perplexity"; "uniform", the nearest neighbours all alike.
        n_neighbors: None: three times the perplexity; 15 with affinity="uniform".
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
    early_exaggeration: float = 12.0
    early_exaggeration_iter: int | None = None
    exaggeration: float = 1.0
    max_iter: int | None = None
    schedule: str = "fast"
    learning_rate: float | str = "auto"
    init: str | ArrayLike = "pca"
    metric: str | Callable = "euclidean"
    affinity: str = "perplexity"
    n_neighbors: int | None = None
    neighbors: tuple[ArrayLike, ArrayLike] | None = None
    dof: float = 1.0
    tol: float = 0.0
    callbacks: Sequence[Callable] = ()
    verbose: int = 0
    random_state: int | np.random.RandomState | np.random.Generator | None = None

    def fit(self, X, y=None):
        """Lay out the rows of X.

        Args:
            X: numbers [n, d], two rows or more; or what `metric` says.
            y: ignored.
        """
        self._check_metric()
        x = None if is_given(self.metric) else self._framed(X)
        self._check_settings()
        plan, seed = self._plan(), seed_of(self.random_state)
        rng = np.random.default_rng(seed)
        self.affinities_: Graph = self._supervision(X, x, seed)
        if x is None:
            self.n_features_in_ = self.affinities_.shape[1]
        self._descend(self._start(x, rng), plan)
        return self

    def fit_transform(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X, y=None
    ) -> Float[np.ndarray, "n c"]:
        """Lay out the rows of X, and return the layout."""
        return self.fit(X).embedding_

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
        placed = [self._placed(x[block]) for block in layout.blocks(len(x))]
        return np.concatenate(placed)[: len(x)]

    @property
    def _n_features_out(self) -> int:
        return self.embedding_.shape[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        pairwise = is_given(self.metric)
        tags.input_tags.pairwise = tags.input_tags.sparse = pairwise
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    # --------------------------------------------------- settings

    def _check_metric(self) -> None:
        if not callable(self.metric):
            names = (*METRICS, *GIVEN)
            check.one_of("metric", self.metric, names, ", or a function")
        free = self.neighbors is None or not is_given(self.metric)
        got = f"a pair with metric={self.metric!r}"
        check.require(free, "neighbors", got, "None: X has the neighbours")

    def _check_settings(self) -> None:
        """Refuse every other setting that can be refused without the data."""
        check.count("n_components", self.n_components, 1, MOST)
        perplexities(self.perplexity)
        check.single("dof", self.dof)
        check.scalar("tol", self.tol, 0)
        check.one_of("affinity", self.affinity, ("perplexity", "uniform"))
        if self.init is None or np.isscalar(self.init):
            check.one_of("init", self.init, INITS, ", or an array")
        if self.n_neighbors is not None:
            check.size("n_neighbors", self.n_neighbors)
        functions("callbacks", self.callbacks)

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

    # --------------------------------------------------- neighbours of the data

    def _framed(self, X) -> Float[np.ndarray, "n d"]:
        """The rows of X in their own unit, which new rows will be in as well."""
        x = directed(features(self, X), self.metric)
        self._frame = frame(x, self.metric)
        self._rows = self._frame(x)
        return self._rows

    def _supervision(self, X, x, seed: int) -> Graph:
        """p: the neighbours of every row, symmetrised."""
        if self.metric == "affinity":
            self.perplexity_: Any = None
            return affinities(X)
        x = distances(X) if x is None else x
        identical = not sp.issparse(x) and not np.ptp(x, 0).any()
        k = self._neighbor_count(x.shape[0])
        with warnings.catch_warnings(), renamed(index="neighbors", anchors="X"):
            if identical:
                warnings.warn("all rows of X are identical in float32", stacklevel=3)
                warnings.simplefilter("ignore", UserWarning)  # that they tie, too
            return symmetrize(self._affinity(*self._listed(x, k, seed)))

    def _neighbor_count(self, n: int) -> int:
        """How many neighbours, at the perplexities that n rows allow."""
        if self.affinity == "uniform":
            self.perplexity_ = None
            return min(n - 1, self.n_neighbors or FEW)
        wanted = perplexities(self.perplexity)
        used = feasible(wanted, n)
        if wanted != used:
            large = f"perplexity {max(wanted):g} is too large for {n} rows"
            warnings.warn(f"{large}: {max(used):.4g} is used", stacklevel=4)
        self.perplexity_ = used if np.ndim(self.perplexity) else used[0]
        return min(n - 1, self.n_neighbors or math.ceil(3 * max(used)))

    def _listed(self, x, k: int, seed: int) -> Listed:
        if self.neighbors is None:
            return nearest(x, k, self.metric, seed)
        return given_neighbors(self.neighbors, x.shape[0])

    def _affinity(self, index, distance) -> Graph:
        if self.affinity == "uniform":
            return uniform(index)
        return entropic(index, distance, perplexity=self.perplexity_)

    # --------------------------------------------------- the layout

    def _start(self, x, rng) -> layout.Start:
        p, c = self.affinities_, self.n_components
        if not isinstance(self.init, str):
            return layout.given(self.init, (p.shape[0], c), rng)
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
        warnings.warn(f"init='spectral': {why}; {instead!r} is used", stacklevel=4)
        if x is None:
            return layout.scattered(p.shape[0], c, rng)
        return layout.principal(x, c, rng)

    def _tail(self) -> layout.Tail:
        return layout.Tail(float(self.dof))

    def _descend(self, start: layout.Start, plan: layout.Plan) -> None:
        q, p = self._tail(), self.affinities_
        with progress(self.verbose, plan.steps) as bar:
            ends = layout.settled(plan, float(self.tol))
            callbacks = [*bar, *self.callbacks, ends]
            z, history = layout.lay_out(q, start, p, plan, callbacks)
        self.embedding_ = np.array(z)
        self.loss_ = history.loss
        self.learning_rate_ = float(plan.rates(len(z)).values[-1])
        self.n_iter_ = min(layout.EVERY * len(history.loss), plan.steps)
        self.interrupted_ = history.interrupted
        if self.interrupted_:
            steps = f"interrupted after {self.n_iter_} of {plan.steps} steps"
            warnings.warn(f"{steps}: embedding_ is what there was", stacklevel=3)
        if plan.exaggeration == 1 and self.n_iter_ > plan.early:
            divergence = history.loss[-1] - _entropy(p)  # the loss: a cross-entropy
        else:
            divergence = kl(p, interpolated(q(z)), joint=True)
        self.kl_divergence_ = float(divergence)

    # --------------------------------------------------- new rows

    def _placed(self, x) -> Float[np.ndarray, "m c"]:
        index, distance = self._fitted_neighbors(x)
        perplexity = min(NEAR, max(1, index.shape[1] / 2))
        candidates = len(self.embedding_)
        with warnings.catch_warnings():  # neighbours may tie
            warnings.simplefilter("ignore", UserWarning)
            p = entropic(index, distance, perplexity=perplexity, candidates=candidates)
        z = layout.place(self._tail(), self.embedding_, p)
        same = np.asarray(distance)[:, 0] == 0
        z[same] = self.embedding_[np.asarray(index)[same, 0]]
        return z

    def _fitted_neighbors(self, x) -> Listed:
        """The nearest fitted rows of new ones."""
        k = min(FEW, len(self.embedding_))
        if self.metric != "precomputed":
            return nearest_among(self._frame(x), k, self._rows, self.metric)
        below = (x < 0).any()
        check.require(not below, "X", "a negative number", "distances from 0")
        index = np.argsort(x, 1, kind="stable")[:, :k]
        return index, in_own_unit(np.take_along_axis(x, index, 1))


def _entropy(p: Graph) -> float:
    """-Σ_ij p_ij log p_ij over all pairs: what a cross-entropy has more than a KL."""
    weight = to_sparse(p).data
    share = weight[weight > 0] / weight.sum()
    return float(-np.sum(share * np.log(share)))
