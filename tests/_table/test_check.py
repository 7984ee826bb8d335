"""Is every fault of a cell found, and named with its number?"""

import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import icon
from icon._table.check import _double, _reordered, _row_error, examine


Z = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
LABELS = np.arange(12) % 3


def leaning(a, b, w):
    return b @ a + w


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


def distance(a, b):
    return -jnp.sqrt(jnp.sum((b - a[None]) ** 2, 1))  # has no gradient at 0


def rounded(z):
    """Scores of which float32 keeps few digits."""
    return icon.points(far_off, z)


def far_off(a, b):
    return -jnp.sum((b - a[None] + 1e4) ** 2, 1) / 1e4


def infinite(z):
    return icon.clusters(jax.nn.one_hot(jnp.arange(len(z)), len(z)))


def cell(q):
    return icon.Cell("faulty", icon.same, q)


@pytest.mark.parametrize(
    ("q", "fault", "expected"),
    [
        (lopsided, r"permutation = [0-9.]+", "no order among the data"),
        (lambda z: Leaky(icon.cosine(z)), "rows_of_q = 0.5", "rows of q that sum to"),
        (lambda z: icon.points(distance, z, z), "gradient = nan", "a finite gradient"),
        (infinite, "loss = inf", "a finite loss"),
        (rounded, r"precision = [0-9.e-]+", "float32 as good as float64"),
    ],
)
def test_a_fault_is_named_with_its_number(q, fault, expected):
    p_arguments = (LABELS, LABELS) if q(Z).shape == icon.same(LABELS, LABELS).shape else ()
    made = icon.Cell("faulty", icon.same, q)
    evidence = (LABELS,) if fault != "never" else p_arguments
    with pytest.raises(icon.InvalidInput, match=f"cell: expected {expected}.* got {fault}"):
        examine(made, evidence, (Z,))
