"""Are the nearest those of the distances that are given?"""

import jax
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist

import icon


RNG = np.random.default_rng


def f32(x):
    return np.asarray(x, np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_distances_that_are_given(dtype):
    a = RNG(0).normal(size=(70, 3))
    matrix = cdist(a, a).astype(dtype)
    np.fill_diagonal(matrix, 7)  # not read
    index, distance = map(np.asarray, icon.knn(matrix, 5, metric="precomputed"))
    assert index.dtype == np.int32 and distance.dtype == np.float32
    for i in range(70):
        others = np.delete(np.arange(70), i)
        best = sorted(others, key=lambda j, i=i: matrix[i, j])[:5]
        assert (distance[i] == matrix[i, best]).all() and i not in index[i]
        assert (matrix[i, index[i]] == distance[i]).all()


def test_distances_that_are_given_inside_of_a_jit():
    matrix = f32(cdist(*[RNG(0).normal(size=(30, 3))] * 2))
    search = lambda x: icon.knn(x, 29, metric="precomputed")
    for inside, outside in zip(jax.jit(search)(matrix), search(matrix), strict=True):
        assert np.array_equal(inside, outside)


@pytest.mark.parametrize("make", [sp.csr_array, sp.coo_array, sp.csc_matrix])
def test_stored_entries_are_the_neighbours(make):
    row = np.repeat(np.arange(5), 3)
    column = (row + np.tile([0, 1, 3], 5)) % 5  # the diagonal is not read
    data = f32(RNG(0).uniform(1, 2, 15))
    data[1::3] = 0
    matrix = make(sp.coo_array((data, (row, column)), shape=(5, 5)))
    index, distance = icon.knn(matrix, 2, metric="precomputed")
    assert index.tolist() == [[(i + 1) % 5, (i + 3) % 5] for i in range(5)]
    assert distance.tolist() == [[0.0, float(x)] for x in data[2::3]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_and_dense_are_one(dtype):
    a = RNG(0).normal(size=(40, 3))
    matrix = cdist(a, a).astype(dtype)
    dense = icon.knn(f32(matrix), 6, metric="precomputed")
    sparse = icon.knn(sp.csr_array(matrix), 6, metric="precomputed")
    assert np.array_equal(dense[0], sparse[0])
    assert np.array_equal(dense[1], sparse[1]) and sparse[1].dtype == np.float32


def test_double_distances_stay_double(x64):
    matrix = cdist(*[RNG(0).normal(size=(9, 3))] * 2)
    for given in (matrix, sp.csr_array(matrix)):
        _, distance = icon.knn(given, 3, metric="precomputed")
        assert distance.dtype == np.float64
        assert np.array_equal(distance, np.sort(matrix, 1)[:, 1:4])


def test_a_short_row_is_named():
    matrix = sp.csr_array(np.ones((4, 4), np.float32) - np.eye(4, dtype=np.float32))
    matrix = matrix.tolil()
    matrix[2, 0] = 0
    with pytest.raises(icon.InvalidInput, match="3 entries in a row, got 2 in row 2"):
        icon.knn(matrix.tocsr(), 3, metric="precomputed")


def test_a_negative_distance_is_named():
    matrix = f32(cdist(*[RNG(0).normal(size=(9, 3))] * 2))
    matrix[4, 2] = matrix[2, 4] = -1
    for given in (matrix, sp.csr_array(matrix)):
        with pytest.raises(icon.InvalidInput, match="from 0, got -1.0 at row "):
            icon.knn(given, 2, metric="precomputed")
    np.fill_diagonal(matrix, -1)  # not read
    with pytest.raises(icon.InvalidInput, match="-1.0 at row 2, column 4"):
        icon.knn(matrix, 2, metric="precomputed")


def test_a_little_asymmetry_is_rounding():
    matrix = f32(cdist(*[RNG(0).normal(size=(9, 3))] * 2))
    index, _ = icon.knn(matrix, 2, metric="precomputed")
    rounded = matrix * f32(1 + 1e-6 * np.tri(9))
    assert np.array_equal(icon.knn(rounded, 2, metric="precomputed")[0], index)
    with pytest.raises(icon.InvalidInput, match="a symmetric matrix, got .* row 0"):
        icon.knn(matrix * f32(1 + 1e-4 * np.tri(9)), 2, metric="precomputed")
