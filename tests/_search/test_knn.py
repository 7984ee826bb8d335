"""Are they the nearest candidates, at their distances?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow, soon
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import icon
from icon._search.knn import nearest
from icon._search.metrics import METRICS as BY_NAME
from icon._search.smallest import BLOCK


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


def is_nearest(a, b, k, metric, rtol=1e-5, atol=0.0, scale=1.0):
    """Ids are others, each once, at their distances, and no nearer one is left out."""
    other = None if b is None else f32(b)
    index, distance = map(np.asarray, icon.knn(f32(a), k, other, metric=metric))
    far = exact(f32(a), other, metric)
    assert index.shape == distance.shape == (len(a), k) and index.dtype == np.int32
    assert all(len(set(row)) == k for row in index.tolist())
    assert (np.diff(distance, axis=1) >= 0).all()
    exactly = np.take_along_axis(far, index, 1)
    np.testing.assert_allclose(distance, exactly, rtol=rtol, atol=atol * scale)
    best = np.sort(far, 1)[:, :k]
    np.testing.assert_allclose(distance, best, rtol=rtol, atol=atol * scale)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [3, slow(12)])  # 9 below, by the one metric that asks
def test_the_nearest_are_found(metric, d):
    a, b = RNG(0).normal(size=(60, d)), RNG(1).normal(size=(25, d))
    is_nearest(a, None, 5, metric, atol=1e-6)
    is_nearest(a, b, 5, metric, atol=1e-6)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_all_others_may_be_neighbours(metric):
    is_nearest(RNG(0).normal(size=(60, 3)), None, 59, metric, atol=1e-6)
    is_nearest(RNG(0).normal(size=(60, 3)), RNG(1).normal(size=(25, 3)), 25, metric)


@pytest.mark.parametrize("d", [slow(3), 12])  # not by differences alone
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_duplicates_are_at_zero(d, offset):
    a = np.repeat(RNG(0).normal(size=(30, d)), 2, 0) + offset
    index, distance = icon.knn(f32(a), 3)
    assert not np.asarray(distance)[:, 0].any()
    assert (np.asarray(index)[:, 0] == np.arange(60) ^ 1).all()
    same, zero = icon.knn(np.ones((60, d), np.float32), 5)
    assert not np.asarray(zero).any()
    rows = [{i, *row} for i, row in enumerate(same.tolist())]
    assert all(len(row) == 6 for row in rows)


def test_ties_are_others_each_once():
    grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(10.0)), -1).reshape(-1, 2)
    is_nearest(grid, None, 4, "euclidean", atol=1e-6)
    is_nearest(grid, None, 4, "manhattan", atol=1e-6)


@pytest.mark.parametrize("d", [slow(3), 12])  # not by differences alone
def test_offsets_do_not_count(d):
    is_nearest(RNG(0).normal(size=(60, d)) + 1e4, None, 5, "euclidean", atol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e10, 1e20])
@pytest.mark.parametrize("metric", METRICS)
def test_scales_do_not_count(metric, scale):
    a = RNG(0).normal(size=(60, 3)) * scale
    size = scale if metric in ("euclidean", "manhattan") else 1
    is_nearest(a, None, 5, metric, atol=1e-6, scale=size)


@pytest.mark.parametrize("crowd", [False, True])
def test_many_candidates_are_searched_exactly(crowd):
    a, b = RNG(0).normal(size=(40, 3)), RNG(1).normal(size=(300, 3))
    if crowd:  # all the best of one group
        b[:] += 10
        b[5::19][:4] = a[0] + 1e-3 * RNG(2).normal(size=(4, 3))
    is_nearest(a, b, 4, "euclidean", atol=1e-6)
    is_nearest(RNG(0).normal(size=(300, 3)), None, 4, "euclidean", atol=1e-6)


def test_more_anchors_than_one_block():
    a = RNG(0).normal(size=(BLOCK + 44, 3))
    index, _ = icon.knn(f32(a), 3)
    far = exact(f32(a), None, "euclidean")
    assert (np.sort(index, 1) == np.sort(np.argsort(far, 1)[:, :3], 1)).all()


def chebyshev(a, b):
    return jnp.max(jnp.abs(b - a[None]), 1)


def test_a_function_of_yours_is_a_metric():
    a = f32(RNG(0).normal(size=(60, 3)))
    far = cdist(a, a, "chebyshev") + np.diag(np.full(60, np.inf))
    index, distance = icon.knn(a, 5, metric=chebyshev)
    assert np.array_equal(index, np.argsort(far, 1)[:, :5])
    np.testing.assert_allclose(distance, np.sort(far, 1)[:, :5], rtol=1e-6)
    two, between = icon.knn(a[:9], 60, a, metric=chebyshev)
    assert (two[:, 0] == np.arange(9)).all() and not np.asarray(between)[:, 0].any()


@pytest.mark.parametrize("half", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_searched_in_float32(half):
    a = jnp.asarray(RNG(0).normal(size=(60, 3)) * 1e3, half)
    _, distance = icon.knn(a, 5)
    far = np.sort(exact(np.float32(a), None, "euclidean"), 1)[:, :5]
    np.testing.assert_allclose(distance, far, rtol=1e-5)


def test_double_precision(x64):
    a = RNG(0).normal(size=(60, 3))
    _, distance = icon.knn(a, 5)
    far = np.sort(cdist(a, a), 1)[:, 1:6]
    np.testing.assert_allclose(distance, far, rtol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_single_and_double_precision_together(x64, metric):
    a, b = RNG(0).normal(size=(20, 12)), RNG(1).normal(size=(30, 12))
    _, distance = icon.knn(np.float32(a), 4, b, metric=metric)
    far = np.sort(exact(np.float32(a), b, metric), 1)[:, :4]
    np.testing.assert_allclose(distance, far, rtol=1e-6)


# ------------------------------------------------------- where rounding would cost one


def by_loop(a, k):
    """The k smallest distances of each row, one pair at a time."""
    far = np.empty((len(a), k))
    for i, one in enumerate(np.float64(a)):
        others = np.float64(np.delete(a, i, 0))
        peak = abs(others - one).max(1)
        part = (others - one) / np.where(peak > 0, peak, 1)[:, None]
        far[i] = np.sort(peak * np.sqrt((part**2).sum(1)))[:k]
    return far


@given(
    seed=st.integers(0, 10**6),
    d=st.sampled_from([1, 9]),  # of each way to measure
    k=st.sampled_from([1, 30]),
    tight=st.sampled_from([1.0, 1e-3, 1e-6, 1e-15]),
    scale=st.sampled_from([1e-30, 1.0, 1e20]),
    tied=st.booleans(),
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_it_is_the_loop(seed, d, k, tight, scale, tied):
    """Crowds far from the centre, much narrower than the data are wide."""
    rng = RNG(seed)
    spread = rng.integers(0, 2, (120, d)) if tied else rng.normal(size=(120, d))
    a = f32(scale * (rng.normal(size=(3, d))[np.arange(120) % 3] + tight * spread))
    index, distance = map(np.asarray, icon.knn(a, k))
    np.testing.assert_allclose(distance, by_loop(a, k), rtol=2e-6)
    exactly = np.linalg.norm(np.float64(a)[index] - np.float64(a)[:, None], axis=2)
    np.testing.assert_allclose(distance, exactly, rtol=2e-6)


@pytest.mark.parametrize("d", [slow(3), 12])  # not by differences alone
def test_crowds_far_from_the_centre(d):
    """|b|² - 2ab has no digit left for these; only differences have."""
    rng = RNG(0)
    crowd = 1 + 1e-5 * rng.normal(size=(150, d))
    a = f32(np.concatenate([crowd, -crowd]))
    _, distance = icon.knn(a, 5)
    np.testing.assert_allclose(distance, by_loop(a, 5), rtol=1e-5)


@pytest.mark.parametrize("d", [slow(3), 12])  # not by differences alone
def test_an_outlier_takes_no_digits_from_the_others(d):
    a = f32(RNG(0).normal(size=(80, d)))
    a[0] = 1e25
    _, distance = icon.knn(a, 3)
    np.testing.assert_allclose(distance, by_loop(a, 3), rtol=1e-5)


@pytest.mark.parametrize("d", [slow(3), 12])  # not by differences alone
def test_an_offset_of_1e8_keeps_the_duplicates_and_the_order(d):
    a = f32(1e8 + 1e3 * np.repeat(RNG(0).normal(size=(60, d)), 2, 0))
    index, distance = map(np.asarray, icon.knn(a, 3))
    assert not distance[:, 0].any() and (index[:, 0] == np.arange(120) ^ 1).all()
    np.testing.assert_allclose(distance, by_loop(a, 3), rtol=1e-5)


@pytest.mark.parametrize("metric", soon(METRICS, "euclidean"))
def test_inside_of_a_jit(metric):
    a = f32(RNG(0).normal(size=(90, 12)))
    inside = jax.jit(lambda x: icon.knn(x, 4, metric=metric))(a)
    outside = icon.knn(a, 4, metric=metric)
    assert np.array_equal(inside[0], outside[0])
    np.testing.assert_allclose(inside[1], outside[1], rtol=1e-6)


def test_a_block_is_small():
    """Never n x n: what a search takes besides its input and its answer."""
    n = 20_000
    x, ids = jnp.zeros((n, 16)), jnp.arange(n)
    lowered = nearest.lower(x, x, ids, 15, BY_NAME["euclidean"], True)
    assert lowered.compile().memory_analysis().temp_size_in_bytes < 4 * n * n / 10
