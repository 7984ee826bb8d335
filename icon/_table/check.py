"""Is a cell well made? Its rows, its gradient, its symmetry and its digits."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from icon._base import checks as checks
from icon._neighborhoods.points import FINITE
from icon._table.cells import Cell


class Report(NamedTuple):
    """What was found: all errors are relative to max(1, |loss|), but for the rows."""

    loss: float
    rows_of_p: float  # how far from one the rows of p sum
    rows_of_q: float  # the same of q; 0 for a limit, whose rows are no distribution
    gradient: float  # its norm over every float leaf of p and q
    permutation: float  # what shuffling the data changes
    precision: float  # float32 against float64


ROUGHLY, SHUFFLED, DIGITS = 1e-4, 1e-4, 1e-4


def check(
    cell: Cell, evidence: tuple | None = None, embedding: tuple | None = None
) -> Report:
    """Look a cell over: rows that sum to one, finite gradients, permutation, digits.

    Args:
        cell: any cell, of the table or of your own.
        evidence: what its p is built from; None: a small random data set, as the recipe
            of its column has it.
        embedding: what its q is built from; given together with evidence.

    Returns:
        a report of numbers.

    Raises:
        InvalidInput: what is wrong, with the number: rows that do not sum to one, a
            gradient that is not finite, a loss that depends on the order of the data,
            or whose float32 digits are lost.

    Example:
        >>> import icon
        >>> report = icon.check(icon.TABLE["SupCon"])
        >>> report.rows_of_p < 1e-5, report.permutation < 1e-5
        (True, True)
    """
    checks.answers("cell", cell, "p", "q", "loss")
    together = (evidence is None) == (embedding is None)
    checks.require(together, "embedding", "one without the other", "both or none")
    if evidence is None or embedding is None:
        from icon.recipes import example

        evidence, embedding = example(cell)
    loss, gradient = _slope(cell, evidence, embedding)
    size = max(1.0, abs(loss))
    report = Report(
        loss,
        _rows(cell.p(*evidence)),
        _rows(cell.q(*embedding)),
        gradient,
        abs(_shuffled(cell, evidence, embedding) - loss) / size,
        abs(_wide(cell, evidence, embedding) - loss) / size,
    )
    _refuse(report)
    return report


def _refuse(report: Report) -> None:
    sound = [
        (np.isfinite(report.loss), "loss", "a finite loss"),
        (np.isfinite(report.gradient), "gradient", "a finite gradient"),
        (report.rows_of_p <= ROUGHLY, "rows_of_p", "rows of p that sum to one"),
        (report.rows_of_q <= ROUGHLY, "rows_of_q", "rows of q that sum to one"),
        (report.permutation <= SHUFFLED, "permutation", "no order among the data"),
        (report.precision <= DIGITS, "precision", "float32 as good as float64"),
    ]
    for held, name, expected in sound:
        checks.require(held, "cell", f"{name} = {getattr(report, name):.3g}", expected)


def _slope(cell, evidence, embedding):
    """The loss, and the norm of its gradient in every float leaf of p and q."""
    leaves, shape = jax.tree.flatten((cell.p(*evidence), cell.q(*embedding)))
    asked = [jnp.issubdtype(x.dtype, jnp.floating) for x in leaves]

    def loss(floats):
        new = iter(floats)
        both = zip(leaves, asked, strict=True)
        p, q = jax.tree.unflatten(shape, [next(new) if a else x for x, a in both])
        return cell.loss(p, q)

    floats = [x for x, a in zip(leaves, asked, strict=True) if a]
    value, slope = jax.value_and_grad(loss)(floats)
    norms = [jnp.linalg.norm(x.astype(jnp.float32).reshape(-1)) for x in slope]
    return float(value), float(np.linalg.norm(np.asarray(norms)))


def _rows(q) -> float:
    """How far from one the rows sum; pairs of yes and no are rows of their own."""
    limit = getattr(q, "reduction", FINITE) is not FINITE
    if limit or q.shape[1] is None or not hasattr(q, "support"):
        return 0.0

    def total(i):
        at, weight = q.support(i)
        mass = q.log_mass(i)
        there = mass > -jnp.inf
        share = jnp.exp(q.score(i, at) - jnp.where(there, mass, 0))
        return jnp.where(there, jnp.sum(jnp.where(weight != 0, share, 0)), 1)

    sums = np.asarray(jax.vmap(total)(jnp.arange(q.shape[0])), np.float64)
    each = np.maximum(np.round(sums), 1)
    return float(np.max(np.abs(sums / each - 1)))


def _shuffled(cell, evidence, embedding) -> float:
    """The loss of the same data in another order."""
    n, m = cell.q(*embedding).shape
    if m is None:  # who comes when decides what is drawn
        return float(cell(evidence, embedding))
    order = np.random.default_rng(0).permutation(n)
    move = lambda x: _moved(x, order, n, m)
    return float(cell(tuple(map(move, evidence)), tuple(map(move, embedding))))


def _moved(x, order, n, m):
    """One argument in another order: rows, both sides of a matrix, or listed ids."""
    shape = jnp.shape(x)
    if callable(x) or not shape or shape[0] != n:
        return x
    if len(shape) == 2 and shape[1] == n and n == m:
        return x[order][:, order]
    listed = len(shape) == 2 and m == n and np.dtype(x.dtype).kind in "iu"
    return np.argsort(order).astype(np.int32)[x[order]] if listed else x[order]


def _wide(cell, evidence, embedding) -> float:
    """The loss in float64; where it is sampled, other draws would be compared."""
    if cell.q(*embedding).shape[1] is None:
        return float(cell(evidence, embedding))
    with jax.enable_x64(True):
        double = lambda x: (
            x.astype(np.float64) if getattr(x, "dtype", None) == np.float32 else x
        )
        both = jax.tree.map(double, (evidence, embedding), is_leaf=callable)
        return float(cell(*both))
