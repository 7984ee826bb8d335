"""Are the members of three kinds, and is their average what it says?"""

import numpy as np
import pytest

import icon
from icon.recipes import ensemble, layout
from icon.recipes.cut import cut


RNG = np.random.default_rng(0)
N, C = 60, 3
TRUTH = np.arange(N) % C
X = (RNG.normal(size=(N, 4)) + 8 * np.eye(C, 4)[TRUTH]).astype(np.float32)
BY = cut(icon.self_tuning(*icon.knn(X, 8)), C, 0.6)


@pytest.mark.parametrize("apart", [8, 1], ids=["three components", "one"])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_eigenvectors_are_those_of_the_normalised_graph(apart, count, monkeypatch):
    x = RNG.normal(size=(N, 4)) + apart * np.eye(C, 4)[TRUTH]
    matrix = cut(icon.self_tuning(*icon.knn(x.astype(np.float32), 8)), C, 0.6).matrix
    degree = np.asarray(matrix.sum(1)).ravel()
    dense = matrix.toarray() / np.sqrt(degree[:, None] * degree)
    value = np.linalg.eigvalsh(dense)[::-1][:count]
    for small in (0, 300):  # by Lanczos' method, and whole
        monkeypatch.setattr(ensemble, "SMALL", small)
        found = ensemble.eigenvectors(matrix, count, 0)
        np.testing.assert_allclose(found.T @ found, np.eye(count), atol=1e-5)
        rayleigh = np.diag(found.T @ dense @ found)
        np.testing.assert_allclose(rayleigh, value, atol=2e-3)


@pytest.mark.parametrize("kind", ["spectra", "features"])
def test_clear_clusters_are_found_from_every_start(kind):
    if kind == "spectra":
        spectra = ensemble.spectra(ensemble.spectrum(BY.matrix, C, 0), C)
        assert [z.shape for z in spectra] == [(N, 2), (N, 3), (N, 3)]
        every = ensemble.by_points(spectra, C, 0, 4)
    else:
        every = ensemble.by_features(X, C, 0, 12)
    assert len(every) == 12
    scores = [icon.evaluate.ari(TRUTH, labels) for labels in every]
    assert np.mean(np.array(scores) == 1) >= 0.5


def test_a_stage_of_exaggeration_ends_where_it_says():
    stages = ensemble.FALLING.exaggerations()
    at = [float(stages(step)) for step in (0, 199, 200, 299, 300, 399)]
    assert at == [12, 12, 6, 6, 3, 3]
    rates = ensemble.FALLING.rates(120)
    assert [float(rates(step)) for step in (0, 200, 399)] == [10, 20, 40]


def test_a_layout_is_kept_at_the_end_of_every_stage():
    p = icon.self_tuning(*icon.knn(X, 8))
    kept = ensemble.layouts(p, layout.principal(X, 2, np.random.default_rng(0)))
    assert [z.shape for z in kept] == [(N, 2)] * 3
    assert np.ptp(kept[-1]) > np.ptp(kept[0])  # less attraction, more room
    members = ensemble.by_points(kept, C, 0, 3)
    assert len(members) == 9 and icon.evaluate.ari(TRUTH, members[-1]) == 1


def test_members_are_of_three_kinds_and_none_gains_by_a_move():
    p = icon.self_tuning(*icon.knn(X, 8))
    assert ensemble.layouts_of(X, p, 0) == []  # few rows
    every = ensemble.layouts(p, layout.principal(X, 2, np.random.default_rng(0)))
    spaces = ensemble.Spaces(
        X, every, ensemble.spectra(ensemble.spectrum(BY.matrix, C, 0), C)
    )
    found = ensemble.members(spaces, BY, 0)
    assert len(found) == 9 + 6 + 4
    again = BY.all_moved(found, 1)
    assert all((a == b).all() for a, b in zip(found, again, strict=True))


def test_members_that_agree_are_their_consensus():
    other = np.array([2, 0, 1])[TRUTH]
    found = ensemble.consensus([TRUTH, other, TRUTH], C, 0)
    assert icon.evaluate.ari(TRUTH, found) == 1


def test_the_majority_decides():
    wrong = RNG.integers(C, size=(2, N))
    found = ensemble.consensus([TRUTH, wrong[0], TRUTH, wrong[1], TRUTH], C, 0)
    assert icon.evaluate.ari(TRUTH, found) > 0.9


def test_memberships_are_the_shares_of_clusters_among_the_rows_one_is_with():
    members = [RNG.integers(c, size=N) for c in (C, C, 2 * C, 5)]
    expected = np.zeros((N, C))
    for i in range(N):
        for m in members:
            beside = TRUTH[m == m[i]]
            expected[i] += np.bincount(beside, minlength=C) / len(beside) / len(members)
    found = ensemble.memberships(members, TRUTH, C)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_loss_of_the_result_is_at_most_that_of_the_average():
    members = [
        BY.moved(RNG.integers(C, size=N), np.random.default_rng(m)) for m in (0, 1)
    ]
    found = ensemble.best_of(BY, members, 2, 0)
    assert BY.loss(found) <= BY.loss(ensemble.consensus(members, C, 0)) + 1e-9


@pytest.mark.parametrize("degree", [1, 2, 7])
@pytest.mark.parametrize("low", [0.0, 0.6])
def test_the_filter_is_chebyshevs_polynomial(degree, low):
    value, vector = np.linalg.eigh(BY.matrix.toarray())
    mapped = (2 * value - (low - 1)) / (low + 1)  # [-1, low] to [-1, 1]
    expected = np.polynomial.chebyshev.chebval(mapped, [0] * degree + [1])
    start = RNG.normal(size=(N, 2))
    found = ensemble._filtered(BY.matrix, start, low, degree)
    whole = vector @ (expected[:, None] * (vector.T @ start))
    np.testing.assert_allclose(found, whole, rtol=1e-8, atol=1e-8)
