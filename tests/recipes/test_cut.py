"""Is the loss of a partition that of its cell, and do moves and exchanges lower it?"""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import icon
from icon.recipes.cut import cut, indicator


N, C = 40, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2)) + 6 * RNG.normal(size=(C, 2))[np.arange(N) % C]
P = icon.self_tuning(*icon.knn(X.astype(np.float32), 6))
LABELS = RNG.integers(C, size=N)
TRUTH = np.arange(N) % C


def rng():
    return np.random.default_rng(1)


@pytest.mark.parametrize("alpha", [0.05, 0.6, 0.95])
def test_the_loss_is_that_of_the_cell_at_hard_memberships(alpha):
    phi = jnp.eye(C)[LABELS]
    cell = icon.cross_entropy(P, icon.smooth(icon.clusters(phi), alpha))
    np.testing.assert_allclose(cut(P, C, alpha).loss(LABELS), cell, rtol=1e-5)


def test_masses_of_rows_do_not_matter():
    matrix = icon.dense(P) * jnp.linspace(1, 5, N)[:, None]
    by = cut(icon.graph(np.asarray(matrix)), C, 0.5)
    np.testing.assert_allclose(by.loss(LABELS), cut(P, C, 0.5).loss(LABELS), rtol=1e-5)


def test_a_move_gains_what_the_loss_loses():
    by = cut(P, C, 0.6)
    target, gain = by._best_moves(LABELS)
    for i in range(N):
        moved = LABELS.copy()
        moved[i] = target[i]
        change = by.n * (by.loss(LABELS) - by.loss(moved))
        np.testing.assert_allclose(gain[i], change, atol=1e-5)
        others = [np.where(np.arange(N) == i, c, LABELS) for c in range(C)]
        linked = [
            by.matrix[[i]][:, np.flatnonzero(LABELS == c)].sum() for c in range(C)
        ]
        near = [o for o, mass in zip(others, linked, strict=True) if mass]
        assert by.loss(moved) <= min(map(by.loss, near)) + 1e-6


def test_moves_lower_the_loss_to_where_none_gains():
    by = cut(P, C, 0.6)
    moved = by.moved(LABELS, rng())
    assert by.loss(moved) < by.loss(LABELS) - 0.1
    assert by._best_moves(moved)[1].max() <= 1e-7
    assert icon.evaluate.ari(TRUTH, by.moved(TRUTH, rng())) == 1


def test_a_set_gains_what_the_loss_loses_as_one_cluster_more():
    by, wider = cut(P, C, 0.6), cut(P, C + 1, 0.6)
    chosen = [RNG.random(N) < 0.3, LABELS == 2, TRUTH == 1]
    sets = sp.csc_array(np.stack(chosen, 1).astype(float))
    gain, emptied = by._gains(LABELS, sets)
    for s, inside in enumerate(chosen):
        new = np.where(inside, C, LABELS)
        change = by.n * (by.loss(LABELS) - wider.loss(new))
        np.testing.assert_allclose(gain[s], change, atol=1e-5)
    assert emptied[1].tolist() == [False, False, True, False]


def test_a_merge_costs_what_the_loss_gains():
    by = cut(P, C, 0.6)
    assert by.matrix[LABELS == 1][:, LABELS == 3].sum() > 0
    cost = by._merge_costs(LABELS, C)
    merged = np.where(LABELS == 3, 1, LABELS)
    change = by.n * (by.loss(merged) - by.loss(LABELS))
    np.testing.assert_allclose(cost[1, 3], change, atol=1e-5)
    assert np.isinf(cost[3, 1]) and np.isinf(cost[2, 2])


def test_an_exchange_takes_apart_what_was_merged():
    by = cut(P, C, 0.6)
    merged = np.where(TRUTH == 1, 0, TRUTH)  # 0 and 1 are one cluster,
    merged = np.where((TRUTH == 2) & (X[:, 0] > X[TRUTH == 2, 0].mean()), 1, merged)
    stuck = by.moved(merged, rng())
    assert icon.evaluate.ari(TRUTH, stuck) < 0.9
    free = by.exchanged(stuck, indicator(TRUTH, C).tocsc(), rng(), 2)
    assert icon.evaluate.ari(TRUTH, free) == 1
    assert (by.exchanged(stuck, indicator(TRUTH, C).tocsc(), rng(), 0) == stuck).all()


def test_what_no_edge_joins_is_not_merged():
    truth = np.repeat(np.arange(4), [60, 25, 15, 5])
    x = 99 * np.eye(4)[truth] + np.random.default_rng(3).normal(size=(105, 4))
    x[:60, 0] += np.arange(60)  # a chain
    by = cut(icon.self_tuning(*icon.knn(x.astype(np.float32), 4)), 4, 0.6)
    half = x[:, 0] > np.median(x[:60, 0])
    split = np.where(truth == 0, np.where(half, 3, 0), np.minimum(truth, 2))
    piece = by.moved(split, rng()) == 3
    both = piece | (truth == 3)
    assert 10 < piece.sum() < 50
    assert by.loss(np.where(both, 3, truth)) < by.loss(truth)  # by even sizes alone
    sets = sp.csc_array(np.stack([piece, both], 1).astype(float))
    assert (by.exchanged(truth, sets, rng(), 3) == truth).all()


def test_an_empty_cluster_of_a_member_is_no_set():
    by, members = cut(P, C, 0.6), indicator(np.minimum(TRUTH, 2), C).tocsc()
    merged = np.where(TRUTH == 1, 0, TRUTH)  # 1 is empty, and 3 in no member
    assert len(set(by.exchanged(merged, members, rng(), 2))) == C


def test_a_cluster_keeps_its_last_item():
    labels = np.zeros(N, int)
    labels[7] = 1
    assert set(cut(P, 2, 0.6).moved(labels, rng())) == {0, 1}


def test_an_item_without_a_neighbor_stays():
    matrix = np.zeros((5, 5))
    matrix[0, 1] = matrix[1, 0] = matrix[2, 3] = matrix[3, 2] = 1
    by = cut(icon.graph(matrix), 2, 0.5)
    moved = by.moved(np.array([0, 1, 1, 1, 1]), rng())
    assert moved[0] == moved[1] != moved[2] == moved[3] and moved[4] == 1


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, np.nan])
def test_without_a_share_of_everybody_a_cut_edge_costs_infinitely(alpha):
    with pytest.raises(icon.InvalidInput, match="^alpha"):
        cut(P, C, alpha)


def test_two_sets_are_refused():
    with pytest.raises(icon.InvalidInput, match="^p: expected a graph over one set"):
        cut(icon.uniform([[0], [1]], candidates=3), 2, 0.5)
