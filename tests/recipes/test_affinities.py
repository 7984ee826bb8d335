"""Is every choice of neighbours what its definition says?"""

import numpy as np
import pytest

import icon
from icon.recipes import affinities


RNG = np.random.default_rng(0)
N, K = 30, 6
X = RNG.normal(size=(N, 3)).astype(np.float32)
INDEX, DISTANCE = map(np.asarray, icon.knn(X, K))
NEAR = [set(row) for row in INDEX.tolist()]


def normalized(weight):
    return weight / weight.sum(1, keepdims=True)


def alike():
    return normalized(np.array([[j in NEAR[i] for j in range(N)] for i in range(N)]))


def mutual():
    weight = np.zeros((N, N))
    for i in range(N):
        for rank, j in enumerate(INDEX[i]):
            weight[i, j] = i in NEAR[j] or rank < 3
    return normalized(weight)


def shared():
    weight = np.zeros((N, N))
    for i in range(N):
        for j in NEAR[i]:
            mine, others = NEAR[i] | {i}, NEAR[j] | {j}
            weight[i, j] = len(mine & others) / len(mine | others)
    return normalized(weight)


def within():
    weight, middle = np.zeros((N, N)), np.median(DISTANCE)
    for i in range(N):
        for rank, j in enumerate(INDEX[i]):
            weight[i, j] = rank < 3 or DISTANCE[i, rank] <= middle
    return normalized(weight)


@pytest.mark.parametrize("expected", [alike, mutual, shared, within])
def test_neighbors_count_as_defined(expected):
    found = affinities.NEIGHBORS[expected.__name__](INDEX, DISTANCE)
    np.testing.assert_allclose(icon.dense(found), expected(), atol=1e-6)
    assert found.excludes_self


def test_walks_are_those_of_propagate_and_none_is_p():
    p = icon.uniform(INDEX)
    assert affinities.walked(p, 0) is p
    walked = affinities.walked(p, 1)
    np.testing.assert_allclose(icon.dense(walked), icon.dense(icon.propagate(p, 1)))
    assert int(np.diff(affinities.walked(p, 3).start).max()) <= affinities.KEPT * K


def test_graphs_are_averaged_as_mix_does():
    a, b = icon.uniform(INDEX), icon.self_tuning(INDEX, DISTANCE)
    found = icon.dense(affinities.averaged([a, b], [1.0, 3.0]))
    np.testing.assert_allclose(found, icon.dense(icon.mix(a, b, [1.0, 3.0])), atol=1e-6)


def test_pairs_are_weighed_by_how_many_partitions_agree():
    p = icon.self_tuning(INDEX, DISTANCE)
    members = [RNG.integers(3, size=N) for _ in range(4)]
    together = np.mean([m[:, None] == m for m in members], 0)
    expected = np.asarray(icon.dense(p)) * together
    mass = expected.sum(1, keepdims=True)
    expected = expected / np.where(mass > 0, mass, 1)
    found = icon.dense(affinities.agreed(p, members))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_known_labels_are_half_of_p_where_there_are_some():
    labels = np.full(N, -1)
    labels[[0, 4, 9]], labels[[1, 7]], labels[2] = 5, 0, 3  # 3 alone
    p = icon.uniform(INDEX)
    found = np.asarray(icon.dense(affinities.supervised(p, labels, 0.5, 0)))
    expected = alike()
    for group in ([0, 4, 9], [1, 7]):
        for i in group:
            others = [j for j in group if j != i]
            expected[i] /= 2
            expected[i, others] += 0.5 / len(others)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_of_a_large_class_some_are_drawn():
    p = affinities.known(np.zeros(N, int), 4, 0)
    assert (np.diff(p.start) == 4).all()
    again = affinities.known(np.zeros(N, int), 4, 0)
    assert (p.index == again.index).all()


def test_drawn_rows_share_the_label_and_all_are_drawn_alike():
    labels = np.repeat([3, 0, 7], [20, 5, 1])
    total = np.zeros((26, 26))
    for seed in range(200):
        p = np.asarray(icon.dense(affinities.known(labels, 4, seed)))
        assert ((p > 0).sum(1) == [4] * 25 + [0]).all()
        total += p > 0
    same = (labels[:, None] == labels) & ~np.eye(26, dtype=bool)
    assert (total[~same] == 0).all()
    assert (total[20:25, 20:25] == 200 * (1 - np.eye(5))).all()
    often = total[:20, :20][~np.eye(20, dtype=bool)]  # 200 * 4 / 19, deviation 5.8
    assert often.min() > 15 and often.max() < 75


def test_labels_that_no_two_share_leave_p_as_it_is():
    p = icon.uniform(INDEX)
    assert affinities.supervised(p, np.arange(N), 0.5, 0) is p
    assert affinities.supervised(p, np.full(N, -1), 0.5, 0) is p
