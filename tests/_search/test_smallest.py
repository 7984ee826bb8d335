"""Are they the smallest of each row, however the rows are cut?"""

import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow

from icon._search import smallest as s


RNG = np.random.default_rng


@pytest.mark.parametrize("m", [s.GROUPS * 6, s.GROUPS * 6 + 1, 101, 256, 333])
def test_the_smallest_of_a_row(m):
    """Up to 2 k entries per group a row is searched whole, beyond in groups."""
    k, row = 3, RNG(m).permutation(m).astype(np.float32)
    row[::7] = row[3]  # ties
    at, low = (np.asarray(x)[0] for x in s.smallest(row[None], k))
    assert (row[at] == low).all() and len(set(at.tolist())) == k
    assert low.tolist() == sorted(row)[:k]


def test_the_smallest_may_all_be_of_one_group():
    m, k = 333, 4
    row = np.arange(m, dtype=np.float32) + 10
    size = -(-m // s.GROUPS)
    row[5::size][:k] = 4, 3, 2, 1
    at, low = s.smallest(jnp.asarray(row)[None], k)
    assert low[0].tolist() == [1, 2, 3, 4]
    assert at[0].tolist() == [5 + 3 * size, 5 + 2 * size, 5 + size, 5]


def test_in_order():
    ids, distance = jnp.array([[7, 8, 9]]), jnp.array([[3.0, 1.0, 2.0]])
    at, near = s.in_order(ids, distance, 2)
    assert at.tolist() == [[8, 9]] and near.tolist() == [[1, 2]]


def test_without_self():
    score = s.without_self(jnp.zeros((2, 4)), jnp.array([3, 1]))
    assert np.argwhere(np.isinf(score)).tolist() == [[0, 3], [1, 1]]
    assert np.sum(score == 0) == 6


@pytest.mark.parametrize("n", [1, s.CHAIN, s.CHAIN + 1, s.BLOCK, s.BLOCK + 44])
@pytest.mark.parametrize("cost", [slow(1), s.BUDGET // 3, slow(2 * s.BUDGET)])
def test_blocks_are_the_whole(n, cost):
    seen = []

    def search(ids):
        seen.append(ids.shape[0])
        return ids + 1, jnp.stack([ids, -ids], 1)

    one, two = s.in_blocks(search, jnp.arange(n), cost)
    assert np.array_equal(one, np.arange(n) + 1)
    assert np.array_equal(two, np.stack([np.arange(n), -np.arange(n)], 1))
    assert max(seen) <= s.CHAIN and sum(seen) <= max(1, s.BUDGET // cost)
