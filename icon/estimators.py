"""The scikit-learn face: embeddings that fit, transform, and are cloned and piped."""

import contextlib
import math
import numbers
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Float
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from icon._base import checks as check
from icon._base.checks import InvalidInput
from icon._engines.fft import interpolated
from icon._loss.verbs import kl
from icon._neighborhoods.graph import (
    Graph,
    entropic,
    graph,
    symmetrize,
    to_sparse,
    uniform,
)
from icon._search.knn import METRICS, knn, near
from icon.recipes import layout as layout


EXACT = 100_000  # rows up to which every pair is compared
NEW = 15, 5.0  # the neighbours of a new point, and their perplexity
GIVEN = ("precomputed", "affinity")  # metrics that say what X is
INITS = ("pca", "spectral", "random")


# ------------------------------------------------------- what comes in


def _host(X) -> Any:
    """X as scikit-learn can check it; what it would misread is refused."""
    require = check.require
    require(not np.ma.is_masked(X), "X", "a masked array", "numbers without a mask")
    dtype = getattr(X, "dtype", None)
    if not isinstance(dtype, np.dtype):
        return X
    plain = dtype.kind not in "mM"
    require(plain, "X", f"dtype {dtype}", "numbers")
    small = jnp.issubdtype(dtype, np.floating) and dtype.itemsize < 4
    return np.asarray(X).astype(np.float32) if small else X


def _matrix(estimator, X, reset: bool = True) -> np.ndarray:
    """X as a matrix of finite numbers, as it came in."""
    dense = "a dense matrix: X.toarray()"
    check.require(not sp.issparse(X), "X", "a sparse matrix", dense)
    low = 2 if reset else 1
    options: Any = dict(ensure_all_finite=False, ensure_min_samples=low)
    with _refused("a matrix of real numbers [n, d]"):
        x: Any = validate_data(estimator, _host(X), reset=reset, **options)
        return _finite(x.astype(np.float64) if x.dtype.kind == "O" else x)


@contextlib.contextmanager
def _refused(expected: str) -> Iterator[None]:
    """What scikit-learn refuses, said as everything else is."""
    try:
        yield
    except InvalidInput:
        raise
    except ValueError as error:
        raise InvalidInput("X", _in_one_line(error), expected) from None


def _in_one_line(error: Exception) -> str:
    """What is said, without the array that is shown."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line[:1].isalpha() and line[:6] != "array="]
    return " ".join(said).rstrip(".")


@contextlib.contextmanager
def _named(**names: str) -> Iterator[None]:
    """An argument that is refused further down, under the name it has up here."""
    try:
        yield
    except InvalidInput as error:
        name = names.get(error.argument, error.argument)
        raise InvalidInput(name, error.got, error.expected) from None


def _finite(x: np.ndarray) -> np.ndarray:
    bad = ~np.isfinite(x)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        name = "NaN" if np.isnan(x[row, column]) else str(x[row, column])
        expected = "finite numbers, no NaN and no inf"
        raise InvalidInput("X", f"{name} at row {row}, column {column}", expected)
    return x


def _with_directions(x: np.ndarray, metric) -> np.ndarray:
    """Refuse rows that have no angle to any other."""
    flat = dict(cosine=lambda x: ~x.any(1), correlation=lambda x: np.ptp(x, 1) == 0)
    bad = flat[metric](x) if metric in ("cosine", "correlation") else np.zeros(1)
    got = f"zeros, or one number throughout, at row {np.argmax(bad)}"
    check.require(not bad.any(), "X", got, f"rows with a direction, for {metric!r}")
    return x


def _real(name: str, x, low: float, expected: str) -> float:
    """A finite Python number from low."""
    real = isinstance(x, numbers.Real) and not isinstance(x, bool | np.bool)
    check.require(real, name, repr(x), expected)
    x = float(x)
    check.require(math.isfinite(x) and x >= low, name, x, expected)
    return x


def _positive(name: str, x) -> float:
    return _real(name, x, sys.float_info.min, "a finite number above 0")


def _one_of(name: str, x, known: Sequence[str], more: str = "") -> None:
    expected = f"one of {', '.join(known)}{more}"
    check.require(isinstance(x, str) and x in known, name, repr(x), expected)


def _seed(random_state) -> int:
    """A seed that touches nobody else's random numbers."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return check.count("random_state", random_state, 0, 2**32 - 1)


# ------------------------------------------------------- units


def _unit(x: np.ndarray) -> int:
    """The binary exponent of the largest number."""
    low, high = float(x.min(initial=0)), float(x.max(initial=0))
    return int(np.frexp(max(-low, high))[1])


def _shrunk(x: np.ndarray, digits: int) -> np.ndarray:
    """Divided by a power of 2, which rounds nothing; bytes and booleans as floats."""
    kind = x.dtype if x.dtype.kind == "f" else np.float64
    return np.ldexp(x.astype(kind, copy=False), -digits)


class Frame:
    """Where the data lies and in which unit: new rows are moved as the old ones were.

    The middle is a median of some rows, in which an outlier has no say, and units are
    powers of 2: float32 gets differences, not offsets.
    """

    def __init__(self, x: np.ndarray, centered: bool):
        self.large = _unit(x)
        x = _shrunk(x, self.large)
        some = x[:: max(1, len(x) // 101)]
        self.middle = np.median(some, 0) if centered else np.zeros(x.shape[1])
        self.middle = self.middle.astype(x.dtype)
        self.small = _unit(x - self.middle)

    def __call__(self, x: np.ndarray) -> Float[np.ndarray, "n d"]:
        with np.errstate(over="ignore"):
            x = _shrunk(x, self.large).astype(self.middle.dtype)
            x = np.asarray(_shrunk(x - self.middle, self.small), np.float32)
        fits = "rows within 1e38 times the span of those fitted"
        check.require(np.isfinite(x).all(), "X", "rows beyond float32", fits)
        return x


class Verbatim:
    """Data in its own unit, which a metric of the caller's may count on."""

    def __call__(self, x: np.ndarray) -> Float[np.ndarray, "n d"]:
        with np.errstate(over="ignore"):
            x = np.asarray(x, np.float32)
        fits = "numbers that float32 holds, with a metric of your own"
        check.require(np.isfinite(x).all(), "X", "an overflow", fits)
        return x


def _frame(x: np.ndarray, metric) -> Frame | Verbatim:
    """Angles have an origin of their own; a function has its own unit, too."""
    if callable(metric):
        return Verbatim()
    return Frame(x, centered=metric in ("euclidean", "manhattan"))


# ------------------------------------------------------- neighbours


def _neighbors(x, k: int, metric, seed: int):
    """Exactly; from 100,000 rows on, nearly."""
    if x.shape[0] <= EXACT or metric == "precomputed" or callable(metric):
        return knn(x, k, metric=metric)
    return near(x, k, metric=metric, seed=seed)


def _square(X) -> Any:
    """A matrix of one row and one column per point, in one unit, diagonal dropped."""
    sparse = sp.issparse(X)
    with _refused("a square matrix of real numbers"):
        x: Any = sp.coo_array(X, copy=True) if sparse else np.asarray(_host(X))
        real = "real numbers, no strings. Complex data not supported"
        check.require(x.dtype.kind in "biuf", "X", f"dtype {x.dtype}", real)
    shape = f"shape {x.shape}"
    check.require(x.ndim == 2, "X", shape, "a matrix of rank 2")
    check.require(x.shape[0] == x.shape[1], "X", shape, "a square matrix")
    check.require(x.shape[0] > 1, "X", f"n_samples = {x.shape[0]}", "two or more")
    return _entries(x) if sparse else _scaled_down(_finite(x))


def _scaled_down(x: np.ndarray) -> np.ndarray:
    return np.asarray(_shrunk(x, _unit(x)), np.float32)


def _entries(x) -> Any:
    """A sparse matrix without its diagonal; what it stores as 0 stays."""
    x.sum_duplicates()
    check.floats("X", x.data.astype(np.float64), 1)
    off = x.row != x.col
    data, at = _scaled_down(x.data)[off], (x.row[off], x.col[off])
    return sp.coo_array((data, at), shape=x.shape)


def _distances(X) -> Any:
    """Given distances; nobody is away from themselves."""
    x = _square(X)
    if not sp.issparse(x):
        own = x.diagonal()
        row = int(np.argmax(own != 0))
        got = f"{own[row]} at row {row}, column {row}"
        check.require(not own.any(), "X", got, "distances of 0 on the diagonal")
    return x


def _affinities(X) -> Graph:
    """Given affinities, symmetrised: weights that are kept, but for the diagonal."""
    x = sp.coo_array(_square(X))
    off = x.row != x.col
    x = sp.coo_array((x.data[off], (x.row[off], x.col[off])), shape=x.shape)
    with _named(matrix="X"):
        p = symmetrize(graph(x))
    somebody = np.isfinite(np.asarray(p.logit)).any()
    check.require(somebody, "X", "zeros only", "an affinity above 0")
    return p


def _levels(perplexity, n: int) -> tuple[list[float], list[float]]:
    """The perplexities asked for, and those that n points allow."""
    many = isinstance(perplexity, list | tuple | np.ndarray)
    asked = list(perplexity) if many else [perplexity]
    check.require(asked, "perplexity", "nothing", "a number, or several")
    expected = "a finite number from 1, or several"
    asked = [_real("perplexity", x, 1, expected) for x in asked]
    return asked, [min(x, max(1.0, (n - 1) / 3)) for x in asked]


def entropy(p: Graph) -> float:
    """-Σ_ij p_ij log p_ij over all pairs: what a cross-entropy has more than a KL."""
    weight = to_sparse(p).data
    share = weight[weight > 0] / weight.sum()
    return float(-np.sum(share * np.log(share)))


# ------------------------------------------------------- telling


class _Bar:
    """A progress bar where tqdm is there; else a line for every look."""

    def __init__(self, steps: int):
        try:
            from tqdm import tqdm

            self.bar = tqdm(total=steps, unit="step", dynamic_ncols=True)
        except ImportError:
            self.bar = None

    def __call__(self, step, loss, _) -> None:
        if self.bar is None:
            print(f"step {step}: loss {loss:.4f}", file=sys.stderr, flush=True)
            return
        self.bar.update(step - self.bar.n)
        self.bar.set_postfix_str(f"loss {loss:.4f}")

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


@contextlib.contextmanager
def _telling(verbose, steps: int) -> Iterator[list[Callable]]:
    bar = _Bar(steps) if verbose else None
    try:
        yield [bar] if bar else []
    finally:
        if bar:
            bar.close()


# ------------------------------------------------------- t-SNE


class TSNE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""t-SNE: neighbours of the data become neighbours in few dimensions.

    $$\min_Z \mathrm{KL}(P \| Q), \quad q_{ij} \propto
      (1 + \|z_i - z_j\|^2 / \nu)^{-(\nu + 1)/2}$$

    Data is moved and rescaled to its own unit first, and everything computed and
    returned in float32. The same seed gives the same bits on one machine. A row that
    `transform` has seen in `fit` gets its own place; a new one, the place where its
    nearest neighbours want it among points that do not move, whoever comes with it.

    Args:
        n_components: columns of the embedding.
        perplexity: the effective number of neighbours, from 1; several give the mean
            of their affinities. Above (n - 1) / 3 it is lowered, with one warning.
        early_exaggeration: of the attraction, at first.
        early_exaggeration_iter: for so many steps.
        exaggeration: of the attraction, later.
        max_iter: steps in total; 0 returns the start.
        learning_rate: on the true gradient of the divergence; "auto" is n divided by
            the exaggeration of the moment. openTSNE's gradient is a quarter of it.
        init: "pca"; "spectral"; "random"; or an array [n, n_components]. Where X has
            no features "pca" is "spectral", and that is "pca" or "random" where the
            graph falls apart, with a warning.
        metric: "euclidean", "cosine", "manhattan", "correlation"; a function (one row
            [d], all rows [n, d]) -> distances [n], in JAX; "precomputed": X has the
            distances [n, n], not squared, and where it is sparse every stored entry is
            one; "affinity": X has the affinities, symmetrised and used as they are.
        affinity: "perplexity"; "uniform", the nearest neighbours all alike.
        n_neighbors: None: three times the perplexity; 15 with affinity="uniform".
        neighbors: instead of a search, (index [n, k], distance [n, k]), without self.
        dof: ν, degrees of freedom of the tail; below 1, clusters fall apart.
        tol: stop once 100 steps improve the loss by no more than this share of it; at
            0 that is not at all, and a run that improves is never stopped.
        callbacks: (step, loss, embedding) -> True to stop; called every 50 steps.
        verbose: a progress bar (tqdm), or lines, on stderr.
        random_state: a seed; a generator; None: another one every time.

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

    embedding_: np.ndarray
    kl_divergence_: float
    n_iter_: int
    perplexity_: Any
    learning_rate_: float
    loss_: np.ndarray
    affinities_: Graph

    def __init__(
        self,
        n_components=2,
        *,
        perplexity=30.0,
        early_exaggeration=12.0,
        early_exaggeration_iter=250,
        exaggeration=1.0,
        max_iter=750,
        learning_rate="auto",
        init="pca",
        metric="euclidean",
        affinity="perplexity",
        n_neighbors=None,
        neighbors=None,
        dof=1.0,
        tol=0.0,
        callbacks=(),
        verbose=0,
        random_state=None,
    ):
        self.n_components = n_components
        self.perplexity = perplexity
        self.early_exaggeration = early_exaggeration
        self.early_exaggeration_iter = early_exaggeration_iter
        self.exaggeration = exaggeration
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.init = init
        self.metric = metric
        self.affinity = affinity
        self.n_neighbors = n_neighbors
        self.neighbors = neighbors
        self.dof = dof
        self.tol = tol
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X, y=None):
        """Lay out the rows of X.

        Args:
            X: numbers [n, d], two rows or more; or what `metric` says.
            y: ignored.
        """
        self._check_metric()
        x = self._taken(X)
        self._checked()
        plan, seed = self._plan(), _seed(self.random_state)
        rng = np.random.default_rng(seed)
        self.affinities_ = self._supervised(X, x, seed)
        if x is None:
            self.n_features_in_ = self.affinities_.shape[1]
        start = self._start(x, rng)
        self._descend(start, plan)
        return self

    def fit_transform(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X, y=None
    ) -> Float[np.ndarray, "n c"]:
        """Lay out the rows of X, and return where they are."""
        return self.fit(X).embedding_

    def transform(self, X) -> Float[np.ndarray, "n c"]:
        """Where rows belong in the layout, which stays as it is.

        Args:
            X: numbers [m, d]; with metric="precomputed", distances [m, n] to the rows
                that were fitted.
        """
        check_is_fitted(self)
        features = "features or distances: affinities of new rows are not defined"
        check.require(self.metric != "affinity", "metric", "'affinity'", features)
        x = _matrix(self, X, reset=False)
        placed = [self._placed(x[block]) for block in layout.blocks(len(x))]
        return np.concatenate(placed)[: len(x)]

    @property
    def _n_features_out(self) -> int:
        return self.embedding_.shape[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        given = isinstance(self.metric, str) and self.metric in GIVEN
        tags.input_tags.pairwise = tags.input_tags.sparse = given
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    # --------------------------------------------------- what was asked for

    def _checked(self) -> None:
        """Refuse every argument that can be refused without the data."""
        check.count("n_components", self.n_components, 1)
        _levels(self.perplexity, 2)
        _positive("dof", self.dof)
        _real("tol", self.tol, 0, "a finite number from 0")
        _one_of("affinity", self.affinity, ["perplexity", "uniform"])
        if isinstance(self.init, str) or not hasattr(self.init, "__len__"):
            _one_of("init", self.init, INITS, ", or an array")
        if self.n_neighbors is not None:
            check.count("n_neighbors", self.n_neighbors, 1)
        several = isinstance(self.callbacks, list | tuple)
        good = several and all(map(callable, self.callbacks))
        call = "a tuple of functions (step, loss, embedding)"
        check.require(good, "callbacks", repr(self.callbacks), call)

    def _plan(self) -> layout.Plan:
        auto = isinstance(self.learning_rate, str) and self.learning_rate == "auto"
        rate = None if auto else _positive("learning_rate", self.learning_rate)
        steps = ("max_iter", "early_exaggeration_iter")
        pulls = ("early_exaggeration", "exaggeration")
        counts = [check.count(name, getattr(self, name), 0) for name in steps]
        factors = [_positive(name, getattr(self, name)) for name in pulls]
        return layout.Plan(counts[0], counts[1], factors[0], factors[1], rate)

    def _check_metric(self):
        if not callable(self.metric):
            _one_of("metric", self.metric, [*METRICS, *GIVEN], ", or a function")
        given = isinstance(self.metric, str) and self.metric in GIVEN
        both = f"a pair with metric={self.metric!r}"
        free = self.neighbors is None or not given
        check.require(free, "neighbors", both, "None: X has the neighbours")

    def _tail(self) -> layout.Tail:
        return layout.Tail(float(self.dof))

    # --------------------------------------------------- from data to a layout

    def _taken(self, X) -> np.ndarray | None:
        """The rows in their own unit; None where X has no features."""
        if isinstance(self.metric, str) and self.metric in GIVEN:
            return None
        x = _with_directions(_matrix(self, X), self.metric)
        self._frame = _frame(x, self.metric)
        self._rows = self._frame(x)
        return self._rows

    def _supervised(self, X, x, seed: int) -> Graph:
        """p: who is near whom, symmetrised."""
        if isinstance(self.metric, str) and self.metric == "affinity":
            self.perplexity_ = None
            return _affinities(X)
        x = _distances(X) if x is None else x
        alike = not sp.issparse(x) and not np.ptp(x, 0).any()
        k = self._width(x.shape[0])
        with warnings.catch_warnings(), _named(index="neighbors", anchors="X"):
            if alike:
                warnings.warn("all rows of X are identical in float32", stacklevel=4)
                warnings.simplefilter("ignore", UserWarning)  # that they tie, too
            return symmetrize(self._affinity(*self._listed(x, k, seed)))

    def _width(self, n: int) -> int:
        """How many neighbours, and at which perplexities: as many as n allows."""
        if self.affinity == "uniform":
            self.perplexity_ = None
            return min(n - 1, self.n_neighbors or NEW[0])
        asked, levels = _levels(self.perplexity, n)
        if asked != levels:
            low, high = f"perplexity {max(asked):g}", f"{max(levels):.4g}"
            said = f"{low} is too large for {n} rows: {high} is used"
            warnings.warn(said, stacklevel=4)
        self.perplexity_ = levels if np.ndim(self.perplexity) else levels[0]
        return min(n - 1, self.n_neighbors or math.ceil(3 * max(levels)))

    def _listed(self, x, k: int, seed: int):
        if self.neighbors is None:
            return _neighbors(x, k, self.metric, seed)
        pair = isinstance(self.neighbors, tuple | list) and len(self.neighbors) == 2
        check.require(pair, "neighbors", "no pair", "(index [n, k], distance [n, k])")
        index, distance = map(np.asarray, self.neighbors)
        got = f"shapes {index.shape} and {distance.shape}"
        fits = index.ndim == 2 and index.shape == distance.shape
        fits = fits and len(index) == x.shape[0]
        check.require(fits, "neighbors", got, f"two of shape ({x.shape[0]}, k)")
        return index, _scaled_down(distance)

    def _affinity(self, index, distance) -> Graph:
        if self.affinity == "uniform":
            return uniform(index)
        return entropic(index, distance, perplexity=self.perplexity_)

    def _start(self, x, rng):
        p, c = self.affinities_, self.n_components
        if not isinstance(self.init, str):
            return layout.given(self.init, (p.shape[0], c), rng)
        if self.init == "random":
            return layout.scattered(p.shape[0], c, rng)
        if self.init == "pca" and x is not None:
            return layout.principal(x, c, rng)
        return self._spectral(x, rng)

    def _spectral(self, x, rng):
        p, c = self.affinities_, self.n_components
        start = layout.spectral(p, c, rng)
        if start is not None:
            return start
        instead = "random" if x is None else "pca"
        why = "the graph falls apart, or has no such eigenvectors"
        warnings.warn(f"init='spectral': {why}; {instead!r} is used", stacklevel=4)
        if x is None:
            return layout.scattered(p.shape[0], c, rng)
        return layout.principal(x, c, rng)

    def _descend(self, start, plan: layout.Plan) -> None:
        loss, p = layout.Layout(self._tail()), self.affinities_
        tell = lambda f: lambda step, loss, z: f(step, loss, np.asarray(z))
        with _telling(self.verbose, plan.steps) as bar:
            own = [tell(f) for f in self.callbacks]
            done = layout.settled(plan, float(self.tol))
            watch = [*bar, *own, layout.wide(loss), done]
            z, history = layout.lay_out(loss, start, p, plan, watch)
        self.embedding_ = np.array(z)
        self.loss_, self.learning_rate_ = history.loss, plan.rates(len(z)).then
        looks = len(history.loss)
        self.n_iter_ = min(layout.EVERY * looks, plan.steps)
        if history.interrupted:
            said = f"interrupted after {self.n_iter_} of {plan.steps} steps"
            warnings.warn(f"{said}: embedding_ is what there was", stacklevel=3)
        told = plan.exaggeration == 1 and self.n_iter_ > plan.early
        q = lambda: interpolated(loss.q(jnp.asarray(z)))
        value = history.loss[-1] - entropy(p) if told else kl(p, q(), joint=True)
        self.kl_divergence_ = float(value)

    # --------------------------------------------------- new rows

    def _placed(self, x) -> np.ndarray:
        index, distance = self._old_neighbors(x)
        k = index.shape[1]
        options: Any = dict(candidates=len(self.embedding_))
        options["perplexity"] = min(NEW[1], max(1, k / 2))
        with warnings.catch_warnings():  # ties among neighbours are no news here
            warnings.simplefilter("ignore", UserWarning)
            p = entropic(index, distance, **options)
        z = layout.place(self._tail(), self.embedding_, p)
        seen = np.asarray(distance)[:, 0] == 0
        z[seen] = self.embedding_[np.asarray(index)[seen, 0]]
        return z

    def _old_neighbors(self, x):
        """The nearest fitted rows of new ones."""
        k = min(NEW[0], len(self.embedding_))
        if self.metric != "precomputed":
            return knn(self._frame(x), k, self._rows, metric=self.metric)
        below = (x < 0).any()
        check.require(not below, "X", "a negative number", "distances from 0")
        index = np.argsort(x, 1, kind="stable")[:, :k]
        return index, _scaled_down(np.take_along_axis(x, index, 1))
