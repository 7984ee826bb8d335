"""Are nearly all of the nearest found, at their distances?"""

import importlib
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from scipy.spatial.distance import cdist

import icon


MODULE = importlib.import_module("icon._search.near")  # the room offers its function
RNG = np.random.default_rng


def f32(x):
    return np.asarray(x, np.float32)


METRICS = {
    "euclidean": "euclidean",
    "cosine": "cosine",
    "correlation": "correlation",
    "manhattan": "cityblock",
}


def exact(a, b, metric):
    """All distances in double precision, inf where a candidate is the anchor."""
    wide = np.float64(a), np.float64(a if b is None else b)
    far = cdist(*wide, METRICS[metric])
    return far + np.diag(np.full(len(a), np.inf)) if b is None else far


@pytest.fixture
def few(monkeypatch):
    """No set is small enough to be searched exactly."""
    pytest.importorskip("pynndescent")
    monkeypatch.setattr(MODULE, "EXACT", 0)


@pytest.fixture
def stand_in(monkeypatch):
    """What pynndescent, which compiles for 30 s, might find: in any order, some not."""

    def found(a, b, k, metric, excludes_self, seed):
        a, b, _ = metric.prepare(a, b)
        far = cdist(a, b, "euclidean" if metric.is_euclidean else "cityblock")
        ids = np.argsort(far, 1)[:, : k + excludes_self + 3]
        ids = RNG(seed).permuted(ids, axis=1)
        return jnp.asarray(np.where(RNG(seed).random(ids.shape) < 0.01, -1, ids))

    monkeypatch.setattr(MODULE, "EXACT", 0)
    monkeypatch.setattr(MODULE, "_found", found)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("two", [slow(False), True])
def test_what_is_found_is_measured_and_put_in_order(stand_in, metric, two):
    nearly_all(metric, two)


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("two", [False, True])
def test_nearly_all_are_found(few, metric, two):
    nearly_all(metric, two)


def nearly_all(metric, two):
    a = f32(RNG(0).normal(size=(500, 6)) + 3)
    b = f32(RNG(1).normal(size=(400, 6)) + 3) if two else None
    index, distance = map(np.asarray, icon.near(a, 7, b, metric=metric))
    assert index.shape == (500, 7) and index.dtype == np.int32
    assert all(len(set(row)) == 7 for row in index.tolist())
    assert (np.diff(distance, axis=1) >= 0).all()
    far = exact(a, b, metric)
    exactly = np.take_along_axis(far, index, 1)
    np.testing.assert_allclose(distance, exactly, rtol=1e-5, atol=1e-6)
    best = np.argsort(far, 1)[:, :7]
    hits = [len(set(x) & set(y)) for x, y in zip(index, best, strict=True)]
    assert np.mean(hits) > 0.95 * 7


@pytest.mark.slow
def test_one_seed_gives_one_answer(few):
    a = f32(RNG(0).normal(size=(500, 6)))
    once, again = (icon.near(a, 7, seed=3)[0] for _ in range(2))
    assert np.array_equal(once, again)


def test_rows_that_are_not_found_are_repaired(stand_in, monkeypatch):
    """None found, too few, the anchor alone, or one of them twice."""
    a, broken = f32(RNG(0).normal(size=(300, 6))), [5, 9, 11, 13]
    whole = icon.near(a, 7)
    found = MODULE._found

    def damaged(*arguments):
        ids = np.array(found(*arguments))
        ids[5], ids[9, -1], ids[11] = -1, -1, 11
        ids[13, 1:] = ids[13, 1]
        return jnp.asarray(ids)

    monkeypatch.setattr(MODULE, "_found", damaged)
    index, distance = map(np.asarray, icon.near(a, 7))
    far = np.sort(exact(a, None, "euclidean"), 1)[:, :7]
    np.testing.assert_allclose(distance[broken], far[broken], rtol=1e-5)
    assert all(len({i, *index[i]}) == 8 for i in broken)
    rest = np.delete(np.arange(300), broken)
    assert np.array_equal(index[rest], whole[0][rest])
    assert np.array_equal(distance[rest], whole[1][rest])


@pytest.mark.slow
def test_all_in_one_place_are_found(few):
    index, distance = map(np.asarray, icon.near(np.ones((300, 3), np.float32), 5))
    assert not distance.any()
    assert all(len({i, *row}) == 6 for i, row in enumerate(index.tolist()))


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setattr(MODULE, "EXACT", 0)
    monkeypatch.setitem(sys.modules, "pynndescent", None)
    with pytest.raises(ImportError, match=r"pip install 'icon-jax\[ann\]'"):
        icon.near(np.ones((5, 2), np.float32), 1)


def test_few_candidates_are_searched_exactly():
    a = f32(RNG(0).normal(size=(60, 6)))
    for got, exactly in zip(icon.near(a, 7), icon.knn(a, 7), strict=True):
        assert np.array_equal(got, exactly)
