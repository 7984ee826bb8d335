"""Does every row come once an epoch, in an order that the key decides?"""

import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icon import data
from icon._base.checks import InvalidInput


X = np.zeros((6, 4), np.float32)


CALLS = [
    (lambda: data.split(1, 0), "n"),
    (lambda: data.split(9.0, 0), "n"),
    (lambda: data.split(9, 0, 0.0), "fraction"),
    (lambda: data.split(9, 0, 1.0), "fraction"),
    (lambda: data.batches((), 1, 1), "arrays"),
    (lambda: data.batches((X, X[1:]), 1, 1), "arrays"),
    (lambda: data.batches(X[:0], 1, 1), "arrays"),
    (lambda: data.batches(np.float32(1), 1, 1), "arrays"),
    (lambda: data.batches(X, 0, 1), "size"),
    (lambda: data.batches(X, 2.0, 1), "size"),
    (lambda: data.batches(X, 1, -1), "epochs"),
]


@pytest.mark.parametrize("call, argument", CALLS)
def test_calls_refuse(call, argument):
    with pytest.raises(InvalidInput) as caught:
        call()
    assert caught.value.argument == argument


@given(st.integers(2, 200), st.integers(0, 2**32), st.floats(0.001, 0.999))
def test_split_is_a_partition_fixed_by_the_seed(n, seed, fraction):
    train, test = data.split(n, seed, fraction)
    assert sorted([*train, *test]) == list(range(n))
    assert len(train) and len(test)
    assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
    np.testing.assert_array_equal(train, data.split(n, seed, fraction)[0])


def test_split_differs_by_seed_and_respects_the_fraction():
    assert len(data.split(1000, 0)[0]) == 700
    assert (data.split(1000, 0)[0] != data.split(1000, 1)[0]).any()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 2**31))
def test_an_epoch_shows_every_row_at_most_once(n, size, seed):
    rows = (np.arange(n), {"twice": np.arange(n) * 2})
    seen = list(data.batches(rows, size, 1)(jr.key(seed), 0))
    size = min(size, n)
    assert [len(at) for at, _ in seen] == [size] * (n // size)
    at = np.concatenate([at for at, _ in seen])
    assert len(set(at.tolist())) == len(at)
    twice = np.concatenate([rest["twice"] for _, rest in seen])
    np.testing.assert_array_equal(twice, 2 * at)


def test_order_depends_on_key_and_epoch_alone():
    run = lambda key, epoch: np.concatenate(
        list(data.batches(np.arange(50), 10, 3)(jr.key(key), epoch))
    )
    later = data.batches(np.arange(50), 10, 3)
    for epoch in range(3):
        list(later(jr.key(1), epoch))
    np.testing.assert_array_equal(np.concatenate(list(later(jr.key(0), 1))), run(0, 1))
    assert (run(0, 0) != run(0, 1)).any() and (run(0, 0) != run(1, 0)).any()
    assert not list(later(jr.key(0), 3)) and not list(later(jr.key(0), -1))
