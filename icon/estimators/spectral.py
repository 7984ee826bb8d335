"""Closed forms as scikit-learn's estimators are used."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float
from sklearn.utils.validation import check_is_fitted

from icon._base import checks as check
from icon._neighborhoods import (
    Graph,
    Neighborhood,
    as_neighborhood,
    same,
    to_sparse,
    uniform,
)
from icon._search import symmetrize
from icon.estimators.embedding import Embedding
from icon.estimators.frames import Frame, Verbatim
from icon.estimators.input import features, labels
from icon.estimators.neighbors import nearest_among
from icon.recipes import layout, orthonormal, rayleigh, spectral, whitened


CONSTRAINTS: dict[Any, Any] = {"whitened": whitened, "orthonormal": orthonormal}
SUPERVISION = ("neighbors", "items", "labels", "pairs")
MAPS = ("free", "linear")
BLOCK = 64  # new rows that go through the map at once


@dataclasses.dataclass(repr=False, eq=False)
class SpectralEmbedding(Embedding):
    r"""The exact minimiser of a cell of infinite width: PCA, LDA, LPP, CCA, eigenmaps.

    $$\min_Z \; \mathbb{E}_{j \sim p_i} \lVert z_i - z_j \rVert^2
      - \mathbb{E}_j \lVert z_i - z_j \rVert^2$$

    under a constraint, by eigenvectors: no step is taken.

    | p         | map    | constraint   | is                                   |
    |-----------|--------|--------------|--------------------------------------|
    | neighbors | free   | whitened     | Laplacian eigenmaps                  |
    | neighbors | linear | whitened     | LPP                                  |
    | items     | linear | orthonormal  | PCA; with a kernel as map kernel PCA |
    | labels    | linear | whitened     | Fisher's LDA                         |
    | pairs     | linear | orthonormal  | PLS-SVD                              |
    | pairs     | linear | whitened     | CCA                                  |

    A new row goes through the map. Where the embedding is free, it goes to the mean of
    its nearest rows, divided by the eigenvalues (Nyström); a row that was fitted gets
    its own place.

    Args:
        n_components: columns of the embedding.
        p: "neighbors", the nearest rows of each; "items", every row itself; "labels",
            the rows of its label, the y of `fit`, of which -1 is none; "pairs", the
            same row of y [n, e], which gets a map of its own; or neighbours [n, n].
        map: "free"; "linear"; or a kernel, (rows [a, d], rows [b, d]) -> [a, b].
        constraint: "whitened"; "orthonormal"; or a function of the same kind as
            `icon.whitened`, such as `lambda m: m.covariance() + 0.1 * m.gram()`.
        n_neighbors: how many nearest rows.
        metric: of neighbours: "euclidean", "cosine", "manhattan", "correlation"; a
            function (one row [d], all rows [n, d]) -> distances [n], in JAX.
        metric_params: arguments of a metric that is a function, by name: dict(order=3).
        neighbors: instead of a search, (index [n, k], distance [n, k]), without self.
        random_state: of the search, where more than 100,000 rows are searched.

    Attributes:
        embedding_: the points, float32 [n, n_components].
        loss_: what they have of the loss, the least.
        values_: what each column adds to it [n_components].
        components_: the map [n_components, d]; of a kernel [n_components, n].
        affinities_: p.

    Raises:
        InvalidInput: in fit, what cannot be used, by name; more components than rows
            and constraint leave.

    Example:
        >>> import numpy as np
        >>> from icon.estimators import SpectralEmbedding
        >>> x = np.random.default_rng(0).normal(size=(40, 3))
        >>> pca = SpectralEmbedding(p="items", map="linear", constraint="orthonormal")
        >>> pca.fit(x).components_.shape
        (2, 3)

    Source: Belkin & Niyogi 2003; He & Niyogi 2004; Yan et al., Graph embedding and
    extensions, 2007.
    """

    n_components: int = 2
    _: dataclasses.KW_ONLY
    p: Any = "neighbors"
    map: str | Callable = "free"
    constraint: str | Callable = "whitened"
    n_neighbors: int = 15
    metric: str | Callable = "euclidean"
    metric_params: dict[str, Any] | None = None
    neighbors: tuple[ArrayLike, ArrayLike] | None = None
    random_state: int | np.random.RandomState | np.random.Generator | None = None

    callbacks = ()  # no step is taken
    verbose = 0
    _given = ()  # a map needs features

    def _check_settings(self) -> None:
        super()._check_settings()
        if isinstance(self.p, str):
            check.one_of("p", self.p, SUPERVISION, ", or neighbours")
        else:
            as_neighborhood("p", self.p, "support")
        if not callable(self.map):
            check.one_of("map", self.map, MAPS, ", or a kernel")
        if not callable(self.constraint):
            check.one_of("constraint", self.constraint, CONSTRAINTS, ", or a function")
        free = isinstance(self.p, str) and self.p == "pairs" and self._is_free
        check.require(not free, "map", "'free'", "a map of new rows, for pairs")

    @property
    def _is_free(self) -> bool:
        return isinstance(self.map, str) and self.map == "free"

    def _frame_of(self, x) -> Frame | Verbatim:
        """A map is one of the rows in their own unit."""
        return super()._frame_of(x) if self._is_free else Verbatim()

    # --------------------------------------------------- p

    def _supervision(self, X, x, y, seed: int) -> Neighborhood:
        self._second = None
        if not isinstance(self.p, str):
            return as_neighborhood("p", self.p, "support")
        if self.p == "neighbors":
            return super()._supervision(X, x, y, seed)
        ids = np.arange(len(x), dtype=np.int32)
        if self.p == "labels":
            check.require(y is not None, "y", "None", "labels, for p='labels'")
            known = labels(y, len(x))
            return same(known, known, ignore=-1)
        if self.p == "pairs":
            check.require(y is not None, "y", "None", "a second matrix, for p='pairs'")
            y = np.asarray(y)
            self._second = check.matrix("y", y[:, None] if y.ndim == 1 else y)
        return same(ids, ids)

    def _neighbor_count(self, n: int) -> int:
        return min(n - 1, self.n_neighbors)

    def _affinity(self, index, distance) -> Graph:
        return symmetrize(uniform(index), jnp.maximum)

    # --------------------------------------------------- the minimiser

    def _embed(self, x: Any, rng) -> None:
        p, second = self.affinities_, self._second
        constraint: Any = self.constraint
        with check.renamed(components="n_components", x="X"):
            found = spectral(
                p,
                None if self._is_free else x if second is None else (x, second),
                components=self.n_components,
                constraint=CONSTRAINTS.get(constraint, constraint),
                kernel=self.map if callable(self.map) else None,
                weight=to_sparse(p).sum(1) if isinstance(p, Graph) else None,
            )
        self._found = found if second is None else found.of_anchors()
        self.loss_, self.values_, self.n_iter_ = found.loss, found.value, 0
        if self._is_free:
            self._rows, self._eigenvalues = x, rayleigh(p, found.embedding)
            self.embedding_ = found.embedding.astype(np.float32)
        else:
            self.components_ = self._found.map.T
            self.embedding_ = self._placed(x)

    # --------------------------------------------------- new rows

    def transform(self, X) -> Float[np.ndarray, "n c"]:
        """The points of rows: through the map, or from their nearest rows.

        Args:
            X: numbers [m, d].
        """
        check_is_fitted(self)
        x = self._frame(features(self, X, reset=False))
        return self._extended(x) if self._is_free else self._placed(x)

    def _placed(self, x) -> Float[np.ndarray, "m c"]:
        """Through the map, in blocks of one size: no row depends on those beside it."""
        blocks = layout.blocks_of(len(x), BLOCK)
        made = [self._found.transform(x[block]) for block in blocks]
        return np.concatenate(made)[: len(x)].astype(np.float32)

    def _extended(self, x) -> Float[np.ndarray, "m c"]:
        """Nyström's formula: Σ_j p(j|x) z_j / λ."""
        k = min(self.n_neighbors, len(self._rows))
        index, distance = map(np.asarray, nearest_among(x, k, self._rows, self._metric))
        made = self.embedding_[index].mean(1) / self._eigenvalues
        known = distance[:, 0] == 0
        made[known] = self.embedding_[index[known, 0]]
        return made.astype(np.float32)
