"""Are lengths few, and is what fills them up what it should be?"""

import numpy as np
import pytest

from icon._base.blocks import filled, filled_length, rounded_up


@pytest.mark.parametrize("coarse", [True, False])
def test_lengths_are_few_and_near(coarse):
    lengths = [rounded_up(n, coarse=coarse) for n in range(1, 5000)]
    slack = 2 if coarse else 9 / 8
    assert all(n <= x < max(n + 1, slack * n) for n, x in enumerate(lengths, 1))
    assert lengths == sorted(lengths)
    assert len({*lengths}) < (15 if coarse else 90)


def test_few_rows_share_one_length():
    assert {filled_length(n) for n in (1, 151, 600, 1024)} == {1024}
    assert filled_length(1025) == 2048 and filled_length(70_000) == 73_728


def test_rows_are_filled_up_with_a_value():
    x = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(filled(x, 5, 7)[:3], x)
    assert (filled(x, 5, 7)[3:] == 7).all() and filled(x, 3).shape == (3, 2)
