"""Is a cell well made? Its rows, its gradient, its symmetry and its digits."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from icon._base import checks
from icon._base.pytrees import floats_of
from icon._neighborhoods import EVERYBODY, as_neighborhood
from icon._table.cell import Cell


class Report(NamedTuple):
    """What was found: all errors are relative to max(1, |loss|), but for the rows."""

    loss: float
    rows_of_p: float  # how far from one the rows of p sum
    rows_of_q: float  # the same of q; 0 for a limit, whose rows are no distribution
    gradient: float  # its norm over every float leaf of p and q
    permutation: float  # what shuffling the data changes
    precision: float  # float32 against float64
    candidates: float  # scores of some candidates against those of all


ROWS, SHUFFLED, DIGITS, LISTED = 1e-4, 1e-4, 1e-4, 1e-4


def examine(cell: Cell, evidence: tuple, embedding: tuple) -> Report:
    """What is found of a cell on these arguments; refused if some of it is wrong."""
    loss, gradient = _value_and_norm(cell, evidence, embedding)
    p, q = cell.neighborhoods(evidence, embedding)
    size = max(1.0, abs(loss))
    report = Report(
        loss,
        _row_error(p),
        _row_error(q),
        gradient,
        abs(_shuffled(cell, evidence, embedding) - loss) / size,
        abs(_in_double(cell, evidence, embedding) - loss) / size,
        max(map(_listed_error, (p, q))),
    )
    _refuse_faults(report)
    return report


def _refuse_faults(found: Report) -> None:
    within = lambda error, most: bool(error <= most)
    sound = {
        "loss": (np.isfinite(found.loss), "a finite loss"),
        "gradient": (np.isfinite(found.gradient), "a finite gradient"),
        "rows_of_p": (within(found.rows_of_p, ROWS), "rows of p that sum to one"),
        "rows_of_q": (within(found.rows_of_q, ROWS), "rows of q that sum to one"),
        "permutation": (within(found.permutation, SHUFFLED), "no order among the data"),
        "precision": (within(found.precision, DIGITS), "float32 as good as float64"),
        "candidates": (
            within(found.candidates, LISTED),
            "the score of j from candidate j alone, or points(..., whole_rows=True)",
        ),
    }
    numbers = found._asdict()
    for name, (held, expected) in sound.items():
        checks.require(held, "cell", f"{name} = {numbers[name]:.3g}", expected)


def _value_and_norm(cell, evidence, embedding) -> tuple[float, float]:
    """The loss, and the norm of its gradient in every float leaf of p and q."""
    floats, rebuild = floats_of(cell.neighborhoods(evidence, embedding))
    of = jax.value_and_grad(lambda x: cell.loss(*rebuild(x)))
    value, gradient = jax.jit(of)(floats)
    norms = [np.linalg.norm(np.asarray(g, np.float32).ravel()) for g in gradient]
    return float(value), float(np.linalg.norm(np.asarray(norms)))


def _value(cell, evidence, embedding) -> float:
    """The loss alone."""
    floats, rebuild = floats_of(cell.neighborhoods(evidence, embedding))
    return float(jax.jit(lambda x: cell.loss(*rebuild(x)))(floats))


def _row_error(q) -> float:
    """How far from one the rows sum; pairs of yes and no are rows of their own."""
    q = as_neighborhood("cell", q)
    if not q.is_normalized or q.shape[1] is None:
        return 0.0

    def total(i):
        at, weight, score, mass = q.visit(i)
        present = mass > -jnp.inf
        share = jnp.exp(score - jnp.where(present, mass, 0))
        return jnp.where(present, jnp.sum(jnp.where(weight != 0, share, 0)), 1)

    try:
        sums = jax.jit(jax.vmap(total))(jnp.arange(q.shape[0]))
    except checks.InvalidInput:  # a q that has no support, and needs none
        return 0.0
    sums = np.asarray(sums, np.float64)
    each = np.maximum(np.round(sums), 1)
    return float(np.max(np.abs(sums / each - 1)))


def _listed_error(q) -> float:
    """How far the scores of every other candidate are from those among all of them."""
    q = as_neighborhood("cell", q)
    if q.shape[1] is None or q.per_pair:
        return 0.0
    some = jnp.arange(0, q.shape[1], 2, dtype=jnp.int32)
    of_all = lambda i: q.score(i, EVERYBODY)[some]
    both = lambda i: (q.score(i, some), of_all(i))
    try:
        pairs = jax.jit(jax.vmap(both))(jnp.arange(q.shape[0]))
    except (TypeError, ValueError):  # a kernel that knows how many candidates there are
        return np.inf
    listed, among_all = (np.asarray(x, np.float64) for x in pairs)
    same = listed == among_all  # -inf too
    error = np.abs(np.where(same, 0, listed) - np.where(same, 0, among_all))
    return float(np.max(error / np.maximum(1, np.where(same, 1, np.abs(among_all)))))


def _shuffled(cell, evidence, embedding) -> float:
    """The loss of the same data in another order."""
    n, m = cell.learning(embedding).shape
    if m is None:  # what is drawn depends on the order
        return _value(cell, evidence, embedding)
    order = np.random.default_rng(0).permutation(n)
    move = lambda x: _reordered(x, order, m)
    return _value(cell, tuple(map(move, evidence)), tuple(map(move, embedding)))


def _reordered(x, order, m: int):
    """One argument in another order: rows, both sides of a matrix, or listed ids."""
    n, shape = len(order), jnp.shape(x)
    if callable(x) or not shape or shape[0] != n:
        return x
    if len(shape) == 2 and shape[1] == n and n == m:
        return x[order][:, order]
    listed = len(shape) == 2 and m == n and np.dtype(x.dtype).kind in "iu"
    return np.argsort(order).astype(np.int32)[x[order]] if listed else x[order]


def _in_double(cell, evidence, embedding) -> float:
    """The loss in float64; where it is sampled, other draws would be compared."""
    if cell.learning(embedding).shape[1] is None:
        return _value(cell, evidence, embedding)
    with jax.enable_x64(True):
        learned = dict(cell.learned)
        return float(cell(*jax.tree.map(_double, (evidence, embedding, learned))))


def _double(x: Any) -> Any:
    """Single precision in double; anything else as it is."""
    from scipy.sparse import csr_array

    array = isinstance(x, np.ndarray | jax.Array | csr_array)
    return x.astype(np.float64) if array and x.dtype == np.float32 else x
