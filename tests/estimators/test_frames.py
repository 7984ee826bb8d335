"""Does float32 get differences between rows, whatever their unit and offset?"""

import numpy as np
import pytest
from few_rows import X

from icon._base.checks import InvalidInput
from icon.estimators.frames import (
    Frame,
    Verbatim,
    divided,
    exponent,
    frame,
    in_own_unit,
)


@pytest.mark.parametrize(
    "x, power", [([1.0], 1), ([-8.0, 3], 4), ([0.75], 0), ([2.0**-500], -499), ([], 0)]
)
def test_the_exponent_is_that_of_the_largest_magnitude(x, power):
    assert exponent(np.array(x)) == power


def test_dividing_rounds_nothing_and_makes_floats():
    assert np.array_equal(divided(X, 300) * 2.0**300, X)
    assert divided(np.float32(X), 3).dtype == np.float32
    for x in (np.int8([1, 2]), np.array([True, False])):
        assert divided(x, 1).dtype == np.float64
        assert divided(x, 1).tolist() == (x / 2).tolist()


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_an_own_unit_is_of_order_one(scale):
    y, power = in_own_unit(X * scale)
    assert power == exponent(X * scale)
    assert y.dtype == np.float32 and 0.5 <= abs(y).max() <= 1
    ratio = y / np.float32(X)
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-6)


@pytest.mark.parametrize("offset, scale", [(0, 1), (1e8, 1), (-3e9, 1e150), (7, 1e-9)])
def test_a_frame_keeps_differences_of_rows(offset, scale):
    x = (X + offset) * scale
    y = Frame(x, centered=True)(x)
    one, two = y - y[0], x - x[0]
    np.testing.assert_allclose(one / one.std(), two / two.std(), atol=1e-6)
    assert 0.5 <= abs(y).max() <= 1


def test_a_frame_without_a_center_keeps_the_origin():
    x = X + 20
    y = Frame(x, centered=False)(x)
    ratio = y / np.float32(x)
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-6)


def test_an_outlier_does_not_move_the_middle():
    far = X.copy()
    far[7] = 1e12
    one, two = (Frame(x, centered=True) for x in (X, far))
    moved = np.ldexp(np.float64(two.middle), two.outer)
    stays = np.ldexp(np.float64(one.middle), one.outer)
    assert abs(moved - stays).max() < X.std(0).max()


def test_new_rows_are_moved_as_the_fitted_ones_were():
    old = Frame(X + 100, centered=True)
    np.testing.assert_array_equal(old(X[:3] + 100), old(X + 100)[:3])
    assert not np.array_equal(old(X[:3]), old(X + 100)[:3])


def test_what_float32_does_not_hold_is_refused():
    with pytest.raises(InvalidInput, match="^X: .* got rows beyond float32"):
        Frame(X * 1e-200, centered=True)(X * 1e200)
    with pytest.raises(InvalidInput, match="^X: .* got an overflow"):
        Verbatim()(X * 1e200)


def test_a_metric_of_ones_own_sees_the_rows_as_they_are():
    np.testing.assert_array_equal(frame(X, max)(X), np.float32(X))


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine", "correlation"])
def test_distances_have_no_origin_and_angles_have_one(metric):
    centered = metric in ("euclidean", "manhattan")
    assert frame(X + 20, metric).middle.any() == centered
