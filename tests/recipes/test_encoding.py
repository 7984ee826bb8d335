"""Are batches what they should be, and does a network follow the cell of each?"""

import jax
import numpy as np
import pytest
from cases import slow

import icon
from icon import encoders
from icon._neighborhoods import filled_up, to_sparse
from icon.recipes import encoding


N = 40
X = np.float32(np.random.default_rng(0).normal(size=(N, 3)))
P = icon.symmetrize(icon.entropic(*icon.knn(X, 9), perplexity=3))


def rng():
    return np.random.default_rng(1)


@pytest.mark.parametrize("ids", [slow(range(N)), [3, 39, 7, 0, 12], slow([5])])
def test_a_table_of_edges_is_the_graph_among_a_batch(ids):
    ids = np.random.default_rng(0).permutation(np.array(ids)).astype(np.int32)
    whole = filled_up(P, to_sparse(P)).base
    found = np.exp(encoding.between(whole, ids))
    expected = to_sparse(P).toarray()[np.ix_(ids, ids)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow
def test_the_cell_of_a_graph_is_that_of_restrict():
    ids = np.random.default_rng(0).permutation(N)[:20].astype(np.int32)
    z = np.float32(np.random.default_rng(1).normal(size=(20, 2)))
    batch = dict(graph=P, ids=ids)
    cell = lambda z: encoding.Near(icon.student_t)(z, batch)
    exact = lambda z: icon.kl(P.restrict(ids), icon.student_t(z), joint=True)
    (one, slope), (two, expected) = map(
        lambda f: jax.value_and_grad(f)(z), (cell, exact)
    )
    np.testing.assert_allclose(one, two, rtol=1e-5)
    np.testing.assert_allclose(slope, expected, atol=1e-6)


def test_a_pair_is_a_row_and_one_near_it():
    near = np.asarray(icon.knn(X, 4)[0])
    size, batch = encoding.paired(X, near, 32)
    made = batch(np.arange(size), rng())
    assert size == 16 and made["x"].shape == (32, 3)
    assert np.array_equal(made["ids"], np.tile(np.arange(16), 2))
    assert np.array_equal(made["x"][:16], X[:16])
    for i in range(16):
        assert (X[near[i]] == made["x"][16 + i]).all(1).any()


def test_few_rows_come_again():
    size, batch = encoding.labelled(X, np.arange(N) % 3, 256)
    assert size == 64
    made = batch(np.arange(N), rng())
    assert np.array_equal(made["x"], X[np.arange(64) % N])
    assert np.array_equal(made["ids"], np.arange(64) % N % 3)
    size, batch = encoding.viewed(X, np.arange(N), 256)
    assert batch(np.arange(5), rng())["ids"].tolist() == [*np.arange(32) % 5] * 2


def test_every_epoch_shows_every_row_once_in_another_order():
    batches = encoding.Batches(10, lambda rows, rng: rows)
    feed = encoding.Feed(N, batches, steps=7, seed=0)
    one, two = ([*feed(None, epoch)] for epoch in (0, 1))
    assert [len(one), len(two), len([*feed(None, 2)])] == [4, 3, 0]
    assert sorted(np.concatenate(one)) == list(range(N))
    assert not np.array_equal(one[0], two[0])
    assert np.array_equal([*feed(None, 0)], one)


def test_equal_models_share_a_network_and_others_learn_as_well():
    made = [encoding.network_of(encoders.MLP((4, 2)), 2) for _ in range(2)]
    assert made[0] is made[1]
    assert encoding.network_of(None, 3) is encoding.network_of(None, 3)
    assert encoding.network_of(None, 3) is not encoding.network_of(None, 2)


@pytest.mark.parametrize("n", [1, 5, 300])
def test_a_row_has_its_bits_whatever_rows_are_beside_it(n):
    made = encoding.network_of(None, 3)
    params, state = made.init(jax.random.key(0), X[:2])
    x = np.resize(X, (n, 3))
    whole = encoding.encoded(made, params, state, x)
    assert whole.shape == (n, 3)
    assert np.array_equal(whole[-1], encoding.encoded(made, params, state, x[-1:])[0])
