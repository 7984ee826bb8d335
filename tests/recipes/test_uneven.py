"""Are clusters of any size found, where they are uneven, and is that told apart?"""

import dataclasses

import numpy as np
import pytest

import icon
from icon.recipes import ensemble, uneven
from icon.recipes.cut import cut


def drawn(sizes, seed=0, apart=5.0):
    """Rows of as many normal clusters as there are sizes, and whose they are."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.normal(size=(len(truth), 8)) + apart * np.eye(len(sizes), 8)[truth]
    return x.astype(np.float32), truth


def finer_of(x, count):
    by = cut(icon.self_tuning(*icon.knn(x, 8)), count, 0.9)
    places = ensemble.Places(x, [], ensemble.spectra(by.matrix, count, 0))
    return by, uneven.finer(places, by, 0)


def test_merging_is_average_linkage_of_how_often_rows_are_together():
    rng = np.random.default_rng(1)
    members = [rng.integers(c, size=12) for c in (3, 4, 6)]
    ground = np.array([0, 0, 1, 1, 2, 2, 5, 5, 5, 7, 7, 9])
    together = np.mean([m[:, None] == m for m in members], 0)
    pieces = [np.flatnonzero(ground == c) for c in np.unique(ground)]
    groups = [[piece] for piece in pieces]
    while len(groups) > 3:  # pairs of pieces count alike, whatever their sizes
        score = {
            (a, b): np.mean(
                [together[np.ix_(i, j)].mean() for i in groups[a] for j in groups[b]]
            )
            for b in range(len(groups))
            for a in range(b)
        }
        a, b = max(score, key=lambda pair: score[pair])
        groups[a] += groups.pop(b)
    expected = np.zeros(12, int)
    for label, group in enumerate(groups):
        expected[np.concatenate(group)] = label
    found = uneven.merged(ground, members, 3)
    assert icon.evaluate.ari(expected, found) == 1
    assert found.min() == 0 and found.max() == 2


def test_fewer_pieces_than_clusters_stay_as_they_are():
    found = uneven.merged(np.array([4, 4, 2, 9]), [np.array([0, 0, 1, 1])], 3)
    assert found.tolist() == [1, 1, 0, 2]


@pytest.mark.parametrize(
    ["sizes", "expected"],
    [([5, 5, 5], 1.0), ([6, 2], 0.8112781), ([7, 0, 7], 0.6309298)],
)
def test_evenness_is_entropy_over_that_of_equal_sizes(sizes, expected):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    np.testing.assert_allclose(uneven.evenness(labels, len(sizes)), expected)


def test_finer_partitions_are_of_two_kinds_and_none_gains_by_a_move():
    x, _ = drawn([40, 40, 40], apart=2.0)
    by, found = finer_of(x, 3)
    assert [labels.max() + 1 for labels in found] == [6] * 6 + [9] * 6
    assert list(map(id, uneven.grounds(found))) == list(map(id, found[6:]))
    again = uneven.widest(by, found).all_moved(found, 1)
    assert all((a == b).all() for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("seed", [0, 1])
def test_uneven_clusters_are_found_that_even_ones_would_cut(seed):
    x, truth = drawn([240, 60, 40, 20], seed, apart=4.0)
    by, found = finer_of(x, 4)
    members = uneven.from_every_ground(found, 4)
    assert not uneven.are_even(members, 4)
    ground = uneven.best_ground(by, found)
    by = dataclasses.replace(by, alpha=0.99)
    labels = uneven.average(by, members, 0, ground)
    assert icon.evaluate.ari(truth, labels) > 0.97


@pytest.mark.parametrize("seed", [0, 1])
def test_even_clusters_are_told_apart(seed):
    x, _ = drawn([60, 70, 80, 90], seed)
    _, found = finer_of(x, 4)
    assert uneven.are_even(uneven.from_every_ground(found, 4), 4)
