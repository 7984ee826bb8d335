"""Is every fault of a cell found, and named with its number?"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from cases import slow

import icon
from icon._table.check import _double, _reordered, _row_error, examine


LABELS = np.arange(12, dtype=np.int32) % 3
Z = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
Z[3] = Z[0]  # of one label, in one place


def leaning(a, b, w):
    return b @ a + w


def centred(a, b):
    """Scores that depend on which candidates are asked."""
    return b @ a - jnp.mean(b @ a)


def lopsided(z):
    """Scores that depend on the place of a candidate."""
    return icon.points(leaning, z, w=jnp.arange(len(z), dtype=z.dtype))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Leaky:
    """Half of every row's mass is lost."""

    base: Any

    @property
    def shape(self):
        return self.base.shape

    def support(self, i):
        return self.base.support(i)

    def score(self, i, at):
        return self.base.score(i, at) - float(np.log(2))

    def log_mass(self, i):
        return self.base.log_mass(i)


def cusp(a, b):
    return -jnp.sqrt(jnp.sum((b - a[None]) ** 2, 1))  # no gradient where a = b


def far_off(a, b):
    d2 = jnp.sum((b - a[None] + 1e5) ** 2, 1)
    return (3e10 - d2) / 1e5  # float32 keeps few digits of it


def alone(z):
    """A cluster for each: the other members of a class have no probability."""
    return icon.clusters(jax.nn.one_hot(jnp.arange(len(z)), len(z)))


@pytest.mark.parametrize(
    ("q", "expected", "got"),
    [
        (lopsided, "no order among the data", "permutation = [0-9.]+"),
        (
            lambda z: Leaky(icon.cosine(z)),
            "rows of q that sum to one",
            "rows_of_q = 0.5",
        ),
        (lambda z: icon.points(cusp, z), "a finite gradient", "gradient = nan"),
        (
            lambda z: icon.points(centred, z),
            r"the score of j from candidate j alone, or points\(..., whole_rows=True\)",
            "candidates = [0-9.]+",
        ),
        (
            lambda z: icon.points(far_off, z),
            "float32 as good as float64",
            "precision = ",
        ),
        slow(alone, "a finite loss", "loss = inf"),
    ],
)
def test_a_fault_is_named_with_its_number(q, expected, got):
    cell = icon.Cell("faulty", icon.same, q)
    with pytest.raises(
        icon.InvalidInput, match=f"^cell: expected {expected}, got {got}"
    ):
        examine(cell, (LABELS,), (Z,))


@pytest.mark.slow
def test_a_fault_of_p_is_named_too():
    cell = icon.Cell("faulty", lambda ids: Leaky(icon.same(ids)), icon.cosine)
    with pytest.raises(icon.InvalidInput, match="got rows_of_p = 0.5$"):
        examine(cell, (LABELS,), (Z,))


def test_a_report_has_the_loss_and_the_norm_of_its_gradient():
    cell = icon.Cell("sound", icon.same, icon.cosine)
    report = examine(cell, (LABELS,), (Z,))
    unit = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    p, q = icon.same(LABELS), lambda u, t: icon.dot(u, temperature=t)
    loss = lambda u, t: icon.kl(p, q(u, t))
    value, gradient = jax.value_and_grad(loss, (0, 1))(
        jnp.asarray(unit), jnp.float32(0.1)
    )
    assert report.loss == pytest.approx(float(value), rel=1e-5)
    norm = np.sqrt(sum(float(jnp.sum(g**2)) for g in gradient))
    assert report.gradient == pytest.approx(norm, rel=1e-4)
    assert max(report.rows_of_p, report.rows_of_q) < 1e-6
    assert max(report.permutation, report.precision) < 1e-6


@pytest.mark.parametrize(
    ("q", "error"),
    [
        (icon.cosine(Z), 0),
        (Leaky(icon.cosine(Z)), 0.5),
        (icon.bernoulli(icon.dot(Z)), 0),  # as many rows as pairs
        (icon.wide(icon.dot(Z)), 0),  # a limit is no distribution
        (icon.odds(icon.same(LABELS)), 0),  # no support
        (icon.graph(np.eye(12)[::-1]), 0),
    ],
)
def test_rows_are_summed_over_the_support(q, error):
    assert _row_error(q) == pytest.approx(error, abs=1e-6)


ORDER = np.array([2, 0, 1])


@pytest.mark.parametrize(
    ("x", "m", "expected"),
    [
        (np.array([5.0, 6.0, 7.0]), 3, [7, 5, 6]),
        (np.arange(9.0).reshape(3, 3), 3, [[8, 6, 7], [2, 0, 1], [5, 3, 4]]),
        (np.arange(9.0).reshape(3, 3), 4, [[6, 7, 8], [0, 1, 2], [3, 4, 5]]),
        (np.array([[1], [2], [0]]), 3, [[1], [2], [0]]),  # ids of a cycle
        (np.array([[1], [2], [0]]), 4, [[0], [1], [2]]),  # ids of other candidates
        (np.arange(4), 3, [0, 1, 2, 3]),  # not one per anchor
        (7, 3, 7),
    ],
)
def test_data_are_put_in_another_order(x, m, expected):
    assert np.array_equal(_reordered(x, ORDER, m), expected)


def test_only_single_precision_is_doubled():
    single = np.float32([1.5])
    for x in (single, sp.csr_array(single[None]), jnp.asarray(single)):
        with jax.enable_x64(True):
            assert _double(x).dtype == np.float64
    for x in (np.int32([1]), jnp.asarray([1]), jax.random.key(0), "a word", 3):
        assert _double(x) is x


@pytest.mark.slow
def test_a_kernel_of_whole_rows_passes_where_it_says_so():
    whole = icon.Cell(
        "c", icon.same, lambda z: icon.points(centred, z, whole_rows=True)
    )
    assert examine(whole, (LABELS,), (Z,)).candidates == 0
