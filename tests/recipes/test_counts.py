"""Is the number of clusters the one that all partitions agree about?"""

import numpy as np
import pytest
from cases import slow
from sklearn.metrics import adjusted_rand_score

import icon
from icon.recipes import counts, ensemble
from icon.recipes.cut import cut


RNG = np.random.default_rng(0)


def blobs(count):
    truth = np.arange(40 * count) % count
    centers = 4 * np.eye(count, 6)
    x = (centers[truth] + RNG.normal(size=(len(truth), 6))).astype(np.float32)
    return cut(icon.self_tuning(*icon.knn(x, 8)), count, 0.6), x


def test_stability_is_the_mean_agreement_of_all_pairs():
    members = [RNG.integers(3, size=20) for _ in range(4)]
    every = [
        adjusted_rand_score(a, b)
        for k, a in enumerate(members)
        for b in members[k + 1 :]
    ]
    assert counts.stability(members) == pytest.approx(np.mean(every))


@pytest.mark.parametrize("count", [3, slow(5)])
def test_the_number_of_clear_clusters_is_chosen(count):
    by, x = blobs(count)
    vectors = ensemble.spectrum(by.matrix, 8, 0)
    found = counts.chosen(by, vectors, [x[:, :count]], [2, 3, 4, 5, 6, 8], 0)
    assert found.best == count
    assert found.stability[list(found.counts).index(count)] > 0.9
    assert (np.diff(found.loss) < 0).all()  # which alone would choose the most


def test_the_choice_is_the_same_every_time():
    by, x = blobs(3)
    one, two = (
        counts.chosen(by, ensemble.spectrum(by.matrix, 4, 0), [x[:, :3]], [2, 3, 4], 0)
        for _ in range(2)
    )
    assert (one.stability == two.stability).all() and (one.loss == two.loss).all()
