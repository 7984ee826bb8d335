"""What minimises a cell of infinite width exactly? Generalised eigenvectors.

Its loss is a quadratic form of the embedding: the minimum under a quadratic constraint
is a sum of eigenvalues, and no step is taken.
"""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from icon._base import checks as check
from icon._neighborhoods import as_neighborhood
from icon.recipes.quadratic import Matrix, Quadratic, covariance, quadratic


DENSE = 1_000  # rows up to which free embeddings are eigenvectors of a dense matrix
SINGULAR = 1e-8  # of a constraint's largest eigenvalue: directions it leaves free
SPARE, FIRST, STEPS, RESIDUAL = 4, 20, 60, 1e-6  # of LOBPCG: vectors and steps
NARROW = 5e-3  # eigenvalues of the attraction that steps alone hardly reach
FINE = 1e-9  # the residual where eigenvalues are that near to 0
SHIFT, DROPPED, FILLED = 1e-6, 1e-3, 10.0  # of incomplete factors


# ------------------------------------------------------- constraints


class Metrics(NamedTuple):
    """What can be constrained of a map Y = Φ W, as matrices R with Wᵀ R W = 1.

    Of a free embedding, where Φ is the identity, as their diagonals [n].
    """

    gram: Callable  # () -> inner products of the features of the basis [k, k]
    covariance: Callable  # () -> covariance of the basis under the anchors' weights


def orthonormal(metrics: Metrics):
    r"""Columns of a map that are orthonormal: $W^\top W = 1$; of kernels $W^\top K W$.

    Args:
        metrics: of the map.

    Example:
        PCA: every row is its own neighbour.

        >>> import icon, numpy as np
        >>> x, ids = np.diag([3.0, 1.0, 2.0]), np.arange(3)
        >>> found = icon.spectral(
        ...     icon.same(ids, ids), x, components=2, constraint=icon.orthonormal)
        >>> bool(np.allclose(found.map.T @ found.map, np.eye(2)))
        True

    Source: Theorem 2 of the I-Con paper.
    """
    return metrics.gram()


def whitened(metrics: Metrics):
    r"""An embedding of covariance 1 under the anchors' weights.

    A constraint is a function like this one; a sum of two is one too, as of a
    regularised LDA or CCA: `lambda m: m.covariance() + 0.1 * m.gram()`.

    Args:
        metrics: of the map.

    Example:
        Laplacian eigenmaps: a path of five, unrolled.

        >>> import icon, numpy as np
        >>> path = np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)
        >>> found = icon.spectral(
        ...     icon.graph(path), components=1, constraint=icon.whitened,
        ...     weight=path.sum(1))
        >>> step = np.diff(found.embedding[:, 0])
        >>> bool(np.all(step > 0) or np.all(step < 0))
        True

    Source: Belkin & Niyogi, Laplacian eigenmaps, 2003.
    """
    return metrics.covariance()


# ------------------------------------------------------- bases


class Basis(NamedTuple):
    """What a map combines: features of rows, or kernels at rows that were seen."""

    rows: Matrix
    kernel: Callable | None
    offset: Float[np.ndarray, " k"]  # a mean that is taken off before, for precision

    def of(self, x) -> Matrix:
        """The same features, or kernels, of new rows."""
        width, x = self.rows.shape[1], _read("x", x)
        got = f"{x.shape[1]} columns"
        check.require(x.shape[1] == width, "x", got, f"{width}, as the rows had")
        if isinstance(self.rows, np.ndarray) and not isinstance(x, np.ndarray):
            x = x.toarray()
        x = x if self.kernel is None else np.asarray(self.kernel(x, self.rows))
        return x - self.offset if isinstance(x, np.ndarray) else x

    def metrics(self, matrix: Matrix, weight) -> Metrics:
        """Of this basis at its own rows, which is the matrix, under their weights."""
        if self.kernel is None:
            gram = lambda: np.eye(self.rows.shape[1])
        else:
            gram = lambda: matrix + self.offset
        return Metrics(gram, lambda: covariance(matrix, weight))


def _read(argument: str, x) -> Matrix:
    """Finite numbers as float64, sparse where they are."""
    import scipy.sparse as sp

    rows: Any
    if sp.issparse(x):
        rows = sp.csr_array(x, dtype=np.float64)
        check.reals(argument, rows.data, np.float64)
    else:
        rows = np.asarray(check.matrix(argument, x), np.float64)
    return rows


def basis_of(argument: str, x, n: int, kernel: Callable | None) -> tuple[Basis, Matrix]:
    """Features [n, k], or the kernel's values at all rows; and these at the rows."""
    rows = _read(argument, x)
    got = f"{rows.shape[0]} rows"
    check.require(rows.shape[0] == n, argument, got, f"{n}, as p has")
    if kernel is None:
        if not isinstance(rows, np.ndarray):
            return Basis(rows, None, np.zeros(rows.shape[1])), rows
        mean = rows.mean(0)
        return Basis(rows, None, mean), rows - mean
    made = np.asarray(kernel(rows, rows))
    check.require(made.shape == (n, n), "kernel", f"shape {made.shape}", f"[{n}, {n}]")
    made = check.reals("kernel", made, np.float64)
    mean = made.mean(0)
    return Basis(rows, kernel, mean), made - mean


# ------------------------------------------------------- eigenvectors


def _conditioned(metric) -> Float[np.ndarray, "k r"]:
    """Combinations of a basis that are orthonormal under a metric."""
    value, vectors = np.linalg.eigh((metric + metric.T) / 2)
    kept = value > SINGULAR * value.max(initial=0)
    return vectors[:, kept] / np.sqrt(value[kept])


def _enough(count: int, possible: int) -> None:
    expected = f"at most {possible}, all that rows and constraint leave"
    check.require(count <= possible, "components", count, expected)


def _lowest(matrix, metric, count: int):
    """The minimiser of tr Wᵀ M W under Wᵀ R W = 1, and what each column adds."""
    from scipy.linalg import eigh

    basis = _conditioned(metric)
    _enough(count, basis.shape[1])
    inside = basis.T @ matrix @ basis
    value, vectors = eigh((inside + inside.T) / 2, subset_by_index=(0, count - 1))
    return value, basis @ vectors


def _free(form: Quadratic, metric, count: int):
    """The same of an embedding that is free, of mean 0 under a diagonal metric."""
    n = len(metric)
    _enough(count, n - 1)
    scale = 1 / np.sqrt(metric)[:, None]
    constant = np.sqrt(metric / metric.sum())[:, None]
    inside = lambda u: scale * form.times(scale * u)
    if n <= DENSE:
        matrix = inside(np.eye(n))
        beyond = 2 * np.abs(matrix).sum(1).max() + 1  # than every eigenvalue
        value, vectors = _lowest(
            matrix + beyond * constant @ constant.T, np.eye(n), count
        )
    else:
        value, vectors = _by_steps(form, inside, scale, constant, count)
    return value, scale * vectors


def _by_steps(form: Quadratic, inside: Callable, scale, constant, count: int):
    """By LOBPCG; eigenvalues near 0 through incomplete factors of the attraction."""
    from scipy.sparse.linalg import LinearOperator, lobpcg

    n = len(scale)
    unit = (scale[:, 0] ** 2 * form.attracted).max()  # half of the largest eigenvalue
    options: Any = dict(matvec=inside, matmat=inside, dtype=np.float64)
    operator = LinearOperator((n, n), **options)

    def stepped(start, steps: int, residual: float, by=None):
        with warnings.catch_warnings():  # of a residual that is looked at below
            warnings.simplefilter("ignore")
            return lobpcg(
                operator, start, M=by, Y=constant, largest=False, maxiter=steps,
                tol=residual * unit,
            )[1]  # fmt: skip

    start = np.random.default_rng(0).normal(size=(n, count + SPARE))
    vectors = stepped(start, FIRST, RESIDUAL)
    factors = None
    if form.edges is not None:
        factors = _factors(form.edges, scale, unit, vectors)
    vectors = stepped(vectors, STEPS, RESIDUAL if factors is None else FINE, factors)
    return _checked(inside, vectors, count, unit)


def _checked(inside: Callable, vectors, count: int, unit: float):
    """The lowest eigenvectors of a subspace; what they are short of is warned of."""
    vectors = np.linalg.qr(vectors)[0]
    value, turn = np.linalg.eigh(vectors.T @ inside(vectors))
    value, vectors = value[:count], (vectors @ turn)[:, :count]
    residual = inside(vectors) - value * vectors
    worst = np.linalg.norm(residual, axis=0).max() / unit
    if worst > 100 * RESIDUAL:
        reached = f"eigenvectors to a residual of {worst:.1g} only"
        warnings.warn(f"{reached}: their eigenvalues lie close together", stacklevel=5)
    return value, vectors


def _factors(edges, scale, unit: float, vectors):
    """Incomplete factors of the attraction, where eigenvalues are near 0; else None.

    Where they are not, steps alone are soon there, and factors of such a graph fill up.
    """
    import scipy.sparse as sp
    from scipy.sparse.linalg import LinearOperator, spilu

    side = sp.diags_array(scale[:, 0] / np.sqrt(unit)).tocsr()
    both = edges + edges.T
    degree = sp.diags_array(np.asarray(both.sum(1)).ravel())
    laplacian = (side @ (degree - both) @ side).tocsr()
    if np.sum(vectors * (laplacian @ vectors), 0).min() > NARROW:
        return None
    shifted = (laplacian + SHIFT * sp.eye_array(len(scale))).tocsc()
    options: Any = dict(
        drop_tol=DROPPED, fill_factor=FILLED, permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0, options=dict(SymmetricMode=True),
    )  # fmt: skip
    factors: Any = spilu(sp.csc_matrix(shifted), **options)
    solve: Any = dict(matvec=factors.solve, matmat=factors.solve, dtype=np.float64)
    return LinearOperator(laplacian.shape, **solve)


# ------------------------------------------------------- the minimiser


@dataclasses.dataclass(frozen=True)
class Spectral:
    """The minimiser of a cell of infinite width.

    Args:
        embedding: of all rows [n, c]; of two sets, a pair.
        loss: what it has of the loss, the least.
        value: what each of its columns adds to the loss [c].
        map: what makes it of the basis [k, c], or a pair; None: it is free.
        basis: what the map combines, or a pair; None: it is free.
    """

    embedding: Any
    loss: float
    value: Float[np.ndarray, " c"]
    map: Any = None
    basis: Any = None

    def transform(self, x) -> Any:
        """New rows through the map, [m, d] -> [m, c]; of two sets, a pair of them.

        Raises:
            InvalidInput: an embedding that is free: it has no map; rows that are not
                finite, or have other columns.
        """
        check.require(self.map is not None, "x", "a free embedding", "one with a map")
        if isinstance(self.basis, Basis):
            return _mapped(self.basis.of(x), self.map)
        return tuple(
            _mapped(basis.of(rows), part)
            for basis, rows, part in zip(self.basis, x, self.map, strict=True)
        )

    def of_anchors(self) -> "Spectral":
        """The first of two sets alone."""
        return dataclasses.replace(
            self, embedding=self.embedding[0], map=self.map[0], basis=self.basis[0]
        )


def rayleigh(p, z: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " c"]:
    """λ of p z = λ z, of every column: what divides the mean of neighbours (Nyström).

    Source: Bengio et al., Out-of-sample extensions for LLE, Isomap, MDS, eigenmaps, and
    spectral clustering, 2004.
    """
    form = quadratic(p)
    weighed = form.weight[:, None] * z
    return np.sum(z * (form.attraction @ z), 0) / np.sum(z * weighed, 0)


def _mapped(matrix: Matrix, coefficients) -> Float[np.ndarray, "n c"]:
    return np.asarray(matrix @ coefficients)


def _signs(z) -> Float[np.ndarray, " c"]:
    """Of the largest entry of each column, which is to be above 0."""
    largest = np.take_along_axis(z, np.abs(z).argmax(0)[None], 0)[0]
    return np.where(largest < 0, -1.0, 1.0)


def spectral(
    p, x=None, *, components: int, constraint: Callable, kernel=None, weight=None
) -> Spectral:
    r"""The exact minimiser of a cell of infinite width, under a constraint.

    $$\min_Y \; \sum_i \pi_i \big( \mathbb{E}_{j \sim p_i} \lVert y_i - y_j \rVert^2
      - \mathbb{E}_j \lVert y_i - y_j \rVert^2 \big)$$

    which is `cross_entropy(p, wide(gaussian(y, y, scale=0.5**0.5)))`, or of one set,
    `gaussian(y, ...)`. Y is free, linear in the rows, or in kernels at them. Of two
    sets of unlike points the energy is -u · v, `cross_entropy(p, wide(dot(u, v)))`.

    | p                      | x          | constraint  | is                        |
    |------------------------|------------|-------------|---------------------------|
    | `same(ids, ids)`       | x          | orthonormal | PCA; of kernels, KPCA     |
    | `graph(w)`             |            | whitened    | Laplacian eigenmaps       |
    | `graph(w)`             | x          | whitened    | LPP                       |
    | `same(labels, labels)` | x          | whitened    | LDA                       |
    | `graph`: next in time  | x          | whitened    | slow features             |
    | `same(ids, ids)`       | (x, other) | orthonormal | PLS-SVD                   |
    | `same(ids, ids)`       | (x, other) | whitened    | CCA                       |

    The two of `graph(w)` have its degrees as their weight.

    Args:
        p: neighbours of n points among themselves, or, with a pair as x, among m other
            ones. A graph stays sparse, classes are known by their members, a mixture
            by its parts; of others all n · m probabilities are held.
        x: rows [n, d], dense or sparse; None: the embedding is free; a pair of rows
            [n, d] and [m, e]: two sets, each with a map of its own.
        components: columns of the embedding.
        constraint: `orthonormal`, `whitened`, or another function of the same kind.
        kernel: (rows [a, d], rows [b, d]) -> inner products [a, b], as those of
            `sklearn.metrics.pairwise`; the embedding is a sum of kernels at all rows.
            Of rows that are inner products already: `lambda rows, _: rows`.
            Of many rows leave it out, and have x made of kernels at some of them by
            `sklearn.kernel_approximation.Nystroem`.
        weight: of anchors [n], and of the same points as candidates; None: alike.

    Raises:
        InvalidInput: x of another number of rows, more components than there are
            directions, a free anchor without neighbours, a p that is too large and not
            sparse.

    Example:
        >>> import icon, numpy as np
        >>> x, ids = np.array([[2.0, 0], [-2, 0], [0, 1], [0, -1]]), np.arange(4)
        >>> p = icon.same(ids, ids)
        >>> found = icon.spectral(p, x, components=1, constraint=icon.orthonormal)
        >>> found.embedding[:, 0].tolist(), found.loss  # -2 tr Cov
        ([2.0, -2.0, 0.0, 0.0], -4.0)

    Source: CELLS of σ → ∞: Belkin & Niyogi 2003, He & Niyogi 2004 (LPP), Yan et al.,
    Graph embedding and extensions, 2007.
    """
    p = as_neighborhood("p", p, "support")
    check.require(p.shape[1] is not None, "p", "a continuum", "listed candidates")
    count = check.count("components", components, 1)
    check.function("constraint", constraint, "metrics")
    if kernel is not None:
        check.function("kernel", kernel, "rows", "rows")
    if weight is not None:
        like = jax.ShapeDtypeStruct((), jnp.result_type(float))
        weight = np.asarray(check.weights("weight", weight, like, p.shape[0]))
    if isinstance(x, tuple):
        return _of_two(p, x, count, constraint, kernel, weight)
    got = f"{p.shape[0]} anchors and {p.shape[1]} candidates"
    check.require(p.shape[0] == p.shape[1], "p", got, "as many; or a pair of rows as x")
    form = quadratic(p, weight)
    if x is None:
        return _of_points(form, count, constraint)
    basis, matrix = basis_of("x", x, p.shape[0], kernel)
    metric = constraint(basis.metrics(matrix, form.weight))
    value, found = _lowest(form.between(matrix), metric, count)
    embedding = _mapped(matrix, found)
    signs = _signs(embedding)
    return Spectral(embedding * signs, float(value.sum()), value, found * signs, basis)


def _of_points(form: Quadratic, count: int, constraint: Callable) -> Spectral:
    """A free embedding."""
    lonely = np.flatnonzero(form.attracted <= 0)
    got = f"point {lonely[0] if len(lonely) else 0} without neighbours"
    check.require(not len(lonely), "p", got, "a neighbour of every point that is free")
    weight = form.weight
    metric = constraint(Metrics(lambda: np.ones(len(weight)), lambda: weight))
    value, found = _free(form, metric, count)
    return Spectral(found * _signs(found), float(value.sum()), value)


def _of_two(p, x, count: int, constraint: Callable, kernel, weight) -> Spectral:
    """Two maps at once: singular vectors between two conditioned bases."""
    check.require(len(x) == 2, "x", f"{len(x)} sets", "a pair")
    form = quadratic(p, weight)
    sets = [basis_of("x", rows, n, kernel) for rows, n in zip(x, p.shape, strict=True)]
    bases, matrices = zip(*sets, strict=True)
    shares = form.weight, form.candidate
    made = [
        _conditioned(constraint(basis.metrics(matrix, share)))
        for (basis, matrix), share in zip(sets, shares, strict=True)
    ]
    _enough(count, min(part.shape[1] for part in made))
    between = made[0].T @ form.across(*matrices) @ made[1]
    one, value, two = np.linalg.svd(between, full_matrices=False)
    maps = [made[0] @ one[:, :count], made[1] @ two[:count].T]
    signs = _signs(_mapped(matrices[0], maps[0]))
    maps = tuple(part * signs for part in maps)
    embedding = tuple(map(_mapped, matrices, maps))
    value = -value[:count]
    return Spectral(embedding, float(value.sum()), value, maps, bases)
