"""Are the neighbours those that are nearest, or those that are given?"""

import numpy as np
import pytest
from few_rows import FAR, N, X

import icon
from icon._base.checks import InvalidInput
from icon.estimators import neighbors
from icon.estimators.neighbors import (
    AS_ROWS,
    given_neighbors,
    nearest,
    nearest_among,
)


def test_few_rows_are_searched_exactly():
    index, distance = nearest(np.float32(X), 7, "euclidean", 0)
    order = np.argsort(FAR + np.diag([np.inf] * N), 1)[:, :7]
    np.testing.assert_array_equal(index, order)
    np.testing.assert_allclose(distance, np.take_along_axis(FAR, order, 1), rtol=1e-5)


@pytest.mark.parametrize("metric", [*AS_ROWS])
def test_the_host_finds_the_neighbours_that_knn_finds(metric, monkeypatch):
    """Near duplicates at a large offset among them, whose distances are exact."""
    rng = np.random.default_rng(0)
    x = np.float32(rng.normal(size=(60, 50))) + np.float32(4)
    close = [x[:5] + np.float32(1e-6 * rng.normal(size=(5, 50))) for _ in range(8)]
    x = np.concatenate([x, *close, x[:3]])
    index, distance = nearest(x, 9, metric, 0)
    monkeypatch.setattr(neighbors, "HOST", 0)
    expected = nearest(x, 9, metric, 0)
    atol = 1e-6 * np.asarray(expected[1]).max()
    np.testing.assert_allclose(distance, expected[1], rtol=1e-4, atol=atol)
    assert distance.dtype == np.float32 and index.dtype == np.int32
    assert not (index == np.arange(len(x))[:, None]).any()
    rows = AS_ROWS[metric](x.astype(np.float64))
    far = np.linalg.norm(rows[:, None] - rows[index], axis=2)
    far = far if metric == "euclidean" else far**2 / 2
    np.testing.assert_allclose(distance, far, rtol=1e-4, atol=1e-3 * atol)
    assert (np.diff(distance, axis=1) >= 0).all()
    assert (distance[:3, 0] == 0).all() and (distance[-3:, 0] == 0).all()


@pytest.mark.parametrize("metric", [*AS_ROWS])
def test_the_host_finds_candidates_whatever_rows_are_beside(metric, monkeypatch):
    rng = np.random.default_rng(0)
    old, new = (np.float32(rng.normal(size=(n, 4))) for n in (50, 12))
    new[3] = old[7]
    index, distance = nearest_among(new, 5, old, metric)
    alone = nearest_among(new[:5], 5, old, metric)
    np.testing.assert_array_equal(distance[:5], alone[1])
    assert index[3, 0] == 7 and distance[3, 0] == 0
    monkeypatch.setattr(neighbors, "HOST", 0)
    expected = nearest_among(new, 5, old, metric)
    np.testing.assert_array_equal(index, expected[0])
    np.testing.assert_allclose(distance, expected[1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "metric, approximate", [("euclidean", True), ("precomputed", False), (max, False)]
)
def test_many_rows_are_searched_approximately(metric, approximate, monkeypatch):
    asked = []
    monkeypatch.setattr(neighbors, "EXACT", N - 1)
    monkeypatch.setattr(neighbors, "HOST", N - 1)
    monkeypatch.setattr(neighbors, "near", lambda *_, **options: asked.append(options))
    monkeypatch.setattr(neighbors, "knn", lambda *_, **options: None)
    nearest(X, 7, metric, seed=3)
    assert asked == ([dict(metric=metric, seed=3)] if approximate else [])


def test_given_neighbors_keep_their_order_in_a_unit_of_their_own():
    index, distance = map(np.asarray, icon.knn(np.float32(X), 5))
    for pair in ((index, distance * 1e30), [index.tolist(), distance.tolist()]):
        (found, far), power = given_neighbors(pair, N)
        np.testing.assert_allclose(np.ldexp(far, power, dtype=float), pair[1], 1e-6)
        np.testing.assert_array_equal(found, index)
        np.testing.assert_allclose(far / far.max(), distance / distance.max(), 1e-6)
        assert far.dtype == np.float32 and 0.5 <= far.max() <= 1


@pytest.mark.parametrize(
    "pair, got",
    [
        (3, "no pair"),
        ((FAR,), "no pair"),
        ((FAR, FAR[:3]), "(60, 60) and (3, 60)"),
        ((FAR[:3], FAR[:3]), "(3, 60) and (3, 60)"),
        ((FAR[0], FAR[0]), "(60,) and (60,)"),
    ],
)
def test_what_is_no_pair_of_rows_is_refused(pair, got):
    with pytest.raises(InvalidInput, match="^neighbors: ") as refusal:
        given_neighbors(pair, N)
    assert got in str(refusal.value)
