r"""Which quadratic form is the loss of a cell of infinite width?

With d² as the energy, and weights A_ij = π_i p_ij and B_ij = a_i ω_j, where a_i is
π_i / Σ_k ω_k over the candidates k of i,

    Σ_ij (A_ij - B_ij) ‖y_i - y_j‖² = tr Yᵀ M Y,
    M = diag(W 1) - W,  W = A + Aᵀ - B - Bᵀ
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from icon._base import checks as check
from icon._loss import dense
from icon._neighborhoods import Graph, Neighborhood, to_sparse


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
        attracted = product(basis, self.attraction, basis)
        repelled = np.outer(basis.T @ self.against, basis.T @ self.candidate)
        alone = _weighed(basis, self.diagonal)
        return alone - attracted - attracted.T + repelled + repelled.T

    def across(self, one: Matrix, two: Matrix) -> Float[np.ndarray, "k l"]:
        """Φᵀ (A - B) Ψ of two bases [n, k] and [m, l], of unlike points."""
        attracted = product(one, self.attraction, two)
        return attracted - np.outer(one.T @ self.against, two.T @ self.candidate)


def quadratic(p: Neighborhood, weight=None) -> Quadratic:
    """Attraction along p, less the mean repulsion of all candidates.

    Args:
        p: of one set, or of two.
        weight: of anchors [n], and of the same points as candidates; None: alike.
    """
    from scipy.sparse.linalg import aslinearoperator

    n, m = p.shape[0], p.shape[1] or 0
    rows, valid, edges = _probabilities(p)
    given = np.ones(n) if weight is None else np.asarray(weight, np.float64)
    share = given * valid / (given @ valid)
    candidate = np.ones(m) / m if weight is None or n != m else given / given.sum()
    others = 1 - candidate if p.sets == 1 else np.ones(n)
    attraction = _diagonal(share) @ rows
    if edges is not None:
        edges = edges.multiply(share[:, None]).tocsr()
        attraction = aslinearoperator(edges)
    return Quadratic(attraction, edges, share, share / others, candidate)


def _diagonal(weight) -> Any:
    import scipy.sparse as sp
    from scipy.sparse.linalg import aslinearoperator

    return aslinearoperator(sp.diags_array(np.asarray(weight, np.float64)).tocsr())


def _probabilities(p: Neighborhood) -> tuple[Any, Float[np.ndarray, " n"], Any]:
    """p as a linear operator, which anchors have a neighbour, and its sparse matrix."""
    from scipy.sparse.linalg import aslinearoperator

    labels = p.as_labels()
    if labels is not None:
        return _of_labels(p, *map(np.asarray, labels))
    if isinstance(p, Graph):
        return _of_edges(to_sparse(p))
    n, m = p.shape[0], p.shape[1] or 0
    expected = f"{HELD} at most, or a sparse p: icon.entropic lists few neighbours"
    check.require(n * m <= HELD, "p", f"{n} x {m} probabilities", expected)
    matrix = np.asarray(dense(p), np.float64)
    return aslinearoperator(matrix), (matrix.sum(1) > 0).astype(np.float64), None


def _of_edges(weights):
    from scipy.sparse.linalg import aslinearoperator

    mass = np.asarray(weights.sum(1)).ravel()
    edges = weights.multiply(1 / np.where(mass > 0, mass, 1)[:, None]).tocsr()
    return aslinearoperator(edges), (mass > 0).astype(np.float64), edges


def _of_labels(p: Neighborhood, anchors, candidates, present):
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
        return _of_edges(pairs - sp.diags_array(within) if p.sets == 1 else pairs)
    pairs = aslinearoperator(one) @ aslinearoperator(two.T.tocsr()) - _diagonal(within)
    valid = (count > 0).astype(np.float64)
    return _diagonal(valid / np.where(count > 0, count, 1)) @ pairs, valid, None


def product(one: Matrix, operator, two: Matrix) -> Float[np.ndarray, "k l"]:
    """Φᵀ A Ψ, of a sparse Ψ some columns at a time."""
    if isinstance(two, np.ndarray):
        return one.T @ (operator @ two)
    parts = range(0, two.shape[1], COLUMNS)
    dense = (two[:, at : at + COLUMNS].toarray() for at in parts)
    return np.hstack([one.T @ (operator @ part) for part in dense])


def _weighed(basis: Matrix, weight) -> Float[np.ndarray, "k k"]:
    """Φᵀ diag(w) Φ."""
    if isinstance(basis, np.ndarray) and not np.ptp(weight):
        return weight[0] * (basis.T @ basis)
    if isinstance(basis, np.ndarray):
        return basis.T @ (weight[:, None] * basis)
    return (basis.T @ basis.multiply(weight[:, None]).tocsr()).toarray()


def covariance(basis: Matrix, weight) -> Float[np.ndarray, "k k"]:
    mean = basis.T @ weight
    return _weighed(basis, weight) - np.outer(mean, mean)
