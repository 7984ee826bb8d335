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
    vectors = ensemble.spectrum(by.matrix, count, 0)
    spaces = ensemble.Spaces(x, [], ensemble.spectra(vectors, count))
    return by, uneven.finer(spaces, by, 0)


def averaged(ground, members, count):
    """Average linkage of pieces, which count alike, whatever their sizes."""
    together = np.mean([m[:, None] == m for m in members], 0)
    groups = [[np.flatnonzero(ground == c)] for c in np.unique(ground)]
    mean = lambda i, j: together[np.ix_(i, j)].mean()
    while len(groups) > count:
        score = {
            (a, b): np.mean([mean(i, j) for i in groups[a] for j in groups[b]])
            for b in range(len(groups))
            for a in range(b)
        }
        a, b = max(score, key=lambda pair: score[pair])
        groups[a] += groups.pop(b)
    labels = np.zeros(len(ground), int)
    for label, group in enumerate(groups):
        labels[np.concatenate(group)] = label
    return labels


@pytest.mark.parametrize("seed", range(6))
def test_merging_is_average_linkage_of_how_often_rows_are_together(seed):
    rng = np.random.default_rng(seed)
    members = [rng.integers(c, size=300) for c in (3, 4, 5, 6, 7)]
    ground = rng.integers(9, size=300)
    found = uneven.merged(ground, members, 3)
    assert icon.evaluate.ari(averaged(ground, members, 3), found) == 1
    assert set(found) == {0, 1, 2}


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_as_many_clusters_as_asked_are_made_of_what_no_partition_joins(count):
    labels = np.repeat(np.arange(6), 2)
    found = uneven.merged(labels, [labels] * 4, count)
    assert len(set(found)) == count
    assert uneven.components([labels] * 4) == 6
    assert not uneven.can_tell([labels] * 4, count)


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


def test_components_are_what_some_partition_joins():
    one, two = np.array([0, 0, 1, 1, 2, 3]), np.array([0, 1, 1, 2, 4, 4])
    assert uneven.components([one]) == 4 and uneven.components([one, two]) == 2
    assert uneven.can_tell([one, two], 2) and uneven.can_tell([one, two], 3)
    assert not uneven.can_tell([one], 3)  # of which none joins rows of two clusters
    assert not uneven.can_tell([one, two], 4)  # of which one has no more


def test_shares_up_to_63_to_37_are_even():
    shares = lambda small: np.arange(1000) < small
    assert uneven.are_even([shares(375).astype(int)], 2)
    assert not uneven.are_even([shares(355).astype(int)], 2)
    both = [shares(330).astype(int), shares(500).astype(int)]  # .915 and 1
    assert uneven.are_even(both, 2)


def test_the_ground_is_the_finest_of_the_lowest_loss():
    x, _ = drawn([40, 40, 40], apart=2.0)
    by, found = finer_of(x, 3)
    wide = dataclasses.replace(by, count=9)
    losses = [wide.loss(labels) for labels in found[6:]]
    assert len(set(np.round(losses, 6))) > 1
    assert uneven.best_ground(by, found) is found[6 + int(np.argmin(losses))]


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
    assert (by.moved(labels, np.random.default_rng(1)) == labels).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_even_clusters_are_told_apart(seed):
    x, _ = drawn([60, 70, 80, 90], seed)
    _, found = finer_of(x, 4)
    assert uneven.are_even(uneven.from_every_ground(found, 4), 4)
