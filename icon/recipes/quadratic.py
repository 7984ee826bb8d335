r"""Which quadratic form is the loss of a cell of infinite width?

With d² as the energy, and weights A_ij = π_i p_ij and B_ij = a_i ω_j, where a_i is
π_i / Σ_k ω_k over the candidates k of i,

    Σ_ij (A_ij - B_ij) ‖y_i - y_j‖² = tr Yᵀ M Y,
    M = diag(W 1) - W,  W = A + Aᵀ - B - Bᵀ
"""

import functools as ft
import operator as op
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from icon._base import checks as check
from icon._loss import dense
from icon._neighborhoods import Graph, Mixture, Neighborhood, Smoothed, to_sparse


HELD = 2**28  # probabilities of a p that is not sparse: so many are held at once
LISTED = 64  # pairs of a row on average, up to which those of classes are listed
COLUMNS = 256  # of a sparse basis, made dense at once

Matrix = Any  # NumPy's, or SciPy's sparse one


class Quadratic(NamedTuple):
    """The loss of a cell of infinite width as a matrix, which is never formed."""

    attraction: Any  # π_i p_ij, a linear operator [n, m]
    edges: Any  # the same as a sparse matrix, where p is one; else None
    weight: Float[np.ndarray, " n"]  # π, of anchors
    against: Float[np.ndarray, " n"]  # a, so that B = a ωᵀ
    candidate: Float[np.ndarray, " m"]  # ω

    @property
    def attracted(self) -> Float[np.ndarray, " n"]:
        """diag((A + Aᵀ) 1)."""
        ones = np.ones(len(self.weight))
        return self.attraction @ ones + self.attraction.T @ ones

    @property
    def diagonal(self) -> Float[np.ndarray, " n"]:
        """diag(W 1); pairs of a row with itself cancel."""
        a, omega = self.against, self.candidate
        return self.attracted - a * omega.sum() - omega * a.sum()

    def times(self, y: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        """M Y."""
        made = self.diagonal[:, None] * y
        made -= self.attraction @ y
        made -= self.attraction.T @ y
        made += np.outer(self.against, self.candidate @ y)
        made += np.outer(self.candidate, self.against @ y)
        return made

    def between(self, basis: Matrix) -> Float[np.ndarray, "k k"]:
        """Φᵀ M Φ of a basis [n, k]."""
        one = self._half(basis)
        repelled = np.outer(basis.T @ self.against, basis.T @ self.candidate)
        return one + one.T + repelled + repelled.T

    def _half(self, basis: Matrix) -> Float[np.ndarray, "k k"]:
        """Φᵀ (D / 2 - A) Φ: with its transpose, Φᵀ M Φ without its repulsion."""
        degree, edges = self.diagonal / 2, self.edges
        if edges is not None and _is_diagonal(edges):
            return gram(basis, degree - edges.data)

        def half(y):
            made = degree[:, None] * y
            made -= self.attraction @ y
            return made

        return product(basis, half, basis)

    def across(self, one: Matrix, two: Matrix) -> Float[np.ndarray, "k l"]:
        """Φᵀ (A - B) Ψ of two bases [n, k] and [m, l], of unlike points."""
        attracted = product(one, lambda y: self.attraction @ y, two)
        return attracted - np.outer(one.T @ self.against, two.T @ self.candidate)


def quadratic(p: Neighborhood, weight=None) -> Quadratic:
    """Attraction along p, less the mean repulsion of all candidates.

    Args:
        p: of one set, or of two.
        weight: of anchors [n], and of the same points as candidates; None: alike.
    """
    n, m = p.shape[0], p.shape[1] or 0
    rows = _probabilities(p)
    given = np.ones(n) if weight is None else np.asarray(weight, np.float64)
    share = given * rows.valid / (given @ rows.valid)
    candidate = np.ones(m) / m if weight is None or n != m else given / given.sum()
    others = 1 - candidate if p.sets == 1 else np.ones(n)
    shared = rows.scaled(share)
    return Quadratic(shared.operator, shared.edges, share, share / others, candidate)


# ------------------------------------------------------- what p is


class Rows(NamedTuple):
    """Rows of probabilities, as what multiplies a matrix."""

    operator: Any  # [n, m]
    valid: Float[np.ndarray, " n"]  # 1 for an anchor with a neighbour, else 0
    edges: Any = None  # the same as a sparse matrix, where it is one

    def scaled(self, by: Float[np.ndarray, " n"]) -> "Rows":
        """Each row times a number."""
        if self.edges is None:
            return self._replace(operator=_diagonal(by) @ self.operator)
        return _of_edges(_scaled(self.edges, by), self.valid)


def _of_edges(edges, valid) -> Rows:
    from scipy.sparse.linalg import aslinearoperator

    return Rows(aslinearoperator(edges), valid, edges)


def _scaled(edges, by: Float[np.ndarray, " n"]):
    """A sparse matrix, each of its rows times a number."""
    import scipy.sparse as sp

    data = edges.data * np.repeat(by, np.diff(edges.indptr))
    return sp.csr_array((data, edges.indices, edges.indptr), shape=edges.shape)


def _is_diagonal(edges) -> bool:
    """Whether every row has itself alone: PCA's p."""
    n = edges.shape[0]
    alone = np.array_equal(edges.indptr, np.arange(n + 1))
    return alone and np.array_equal(edges.indices, np.arange(n))


def _diagonal(weight) -> Any:
    import scipy.sparse as sp
    from scipy.sparse.linalg import aslinearoperator

    return aslinearoperator(sp.diags_array(np.asarray(weight, np.float64)).tocsr())


def _probabilities(p: Neighborhood) -> Rows:
    from scipy.sparse.linalg import aslinearoperator

    if isinstance(p, Mixture):
        return _mixed(p)
    if isinstance(p, Smoothed):
        return _smoothed(p)
    labels = p.as_labels()
    if labels is not None:
        return _of_labels(p, *map(np.asarray, labels))
    if isinstance(p, Graph):
        return _normalized(to_sparse(p))
    n, m = p.shape[0], p.shape[1] or 0
    expected = f"{HELD} at most, or a sparse p: icon.entropic lists few neighbours"
    check.require(n * m <= HELD, "p", f"{n} x {m} probabilities", expected)
    matrix = np.asarray(dense(p), np.float64)
    return Rows(aslinearoperator(matrix), (matrix.sum(1) > 0).astype(np.float64))


def _inverse(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """1 / x, and 0 of 0."""
    return np.where(x > 0, 1 / np.where(x > 0, x, 1), 0)


def _normalized(weights) -> Rows:
    mass = np.asarray(weights.sum(1)).ravel()
    edges = _scaled(weights.tocsr(), _inverse(mass))
    return _of_edges(edges, (mass > 0).astype(np.float64))


def _of_labels(p: Neighborhood, anchors, candidates, present) -> Rows:
    """Classes by their members, where too many pairs would be listed."""
    import scipy.sparse as sp
    from scipy.sparse.linalg import aslinearoperator

    known, code = np.unique(np.r_[anchors, candidates], return_inverse=True)
    n = len(anchors)

    def members(code, weight):
        entries = weight, (np.arange(len(code)), code)
        return sp.csr_array(entries, shape=(len(code), len(known)))

    one = members(code[:n], present.astype(np.float64))
    two = members(code[n:], np.ones(len(code) - n))
    size = np.asarray(two.sum(0)).ravel()
    within = present.astype(np.float64) if p.sets == 1 else np.zeros(n)
    count = one @ size - within
    if size[code[:n]].sum() <= LISTED * n:
        pairs = one @ two.T
        return _normalized(pairs - sp.diags_array(within) if p.sets == 1 else pairs)
    pairs = aslinearoperator(one) @ aslinearoperator(two.T.tocsr()) - _diagonal(within)
    return Rows(_diagonal(_inverse(count)) @ pairs, (count > 0).astype(np.float64))


def _mixed(p: Mixture) -> Rows:
    """Parts by their weights: of an anchor, those in which it has a neighbour."""
    parts = [_probabilities(part) for part in p.parts]
    weight = np.asarray(p.weight, np.float64)
    total = sum(w * part.valid for w, part in zip(weight, parts, strict=True))
    share = _inverse(np.asarray(total))
    scaled = [part.scaled(w * share) for w, part in zip(weight, parts, strict=True)]
    valid = (share > 0).astype(np.float64)
    if all(part.edges is not None for part in scaled):
        return _of_edges(ft.reduce(op.add, [part.edges for part in scaled]), valid)
    return Rows(ft.reduce(op.add, [part.operator for part in scaled]), valid)


def _smoothed(p: Smoothed) -> Rows:
    """The base, and all candidates alike, for anchors that have a neighbour."""
    from scipy.sparse.linalg import aslinearoperator

    base, alpha, (n, m) = _probabilities(p.base), float(p.alpha), p.shape
    one, all_of = np.ones((n, 1)), np.ones((1, m or 0))
    everybody = aslinearoperator(one) @ aslinearoperator(all_of)
    if p.excludes_self:
        everybody = everybody - _diagonal(np.ones(n))
    others = all_of.size - p.excludes_self
    mean = _diagonal(alpha * base.valid / others) @ everybody
    return Rows(base.scaled(np.full(n, 1 - alpha)).operator + mean, base.valid)


# ------------------------------------------------------- products


def product(one: Matrix, times: Callable, two: Matrix) -> Float[np.ndarray, "k l"]:
    """Φᵀ A Ψ, of a sparse Ψ some columns at a time."""
    if isinstance(two, np.ndarray):
        return one.T @ times(two)
    parts = range(0, two.shape[1], COLUMNS)
    dense = (two[:, at : at + COLUMNS].toarray() for at in parts)
    return np.hstack([one.T @ times(part) for part in dense])


def gram(basis: Matrix, weight) -> Float[np.ndarray, "k k"]:
    """Σ_i w_i φ_i φ_iᵀ of the rows of a basis."""
    if not isinstance(basis, np.ndarray):
        return (basis.T @ basis.multiply(weight[:, None]).tocsr()).toarray()
    if np.ptp(weight):
        return basis.T @ (weight[:, None] * basis)
    return weight[0] * (basis.T @ basis)


def covariance(basis: Matrix, weight) -> Float[np.ndarray, "k k"]:
    """Of a basis whose rows have weights that sum to 1."""
    mean = basis.T @ weight
    return gram(basis, weight) - np.outer(mean, mean)
