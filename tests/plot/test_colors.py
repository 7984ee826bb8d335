"""Does a class have one color, its own?"""

import re

import numpy as np
import pytest
from table_rows import Y

from icon._base.checks import InvalidInput
from icon.plot.colors import PLAIN, TAB10, classes, matched, palette


@pytest.mark.parametrize("count", [1, 2, 10, 11, 40])
def test_every_class_has_its_own_color(count):
    colors = palette(count)
    assert len(set(colors)) == count
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in colors)


def test_few_classes_have_the_colors_of_matplotlib():
    import matplotlib
    from matplotlib.colors import to_hex

    cycle = matplotlib.rcParamsDefault["axes.prop_cycle"].by_key()["color"]
    assert palette(10) == list(TAB10) == [to_hex(color) for color in cycle]
    assert palette(1) == [PLAIN] and palette(0) == []


def test_labels_are_counted_in_increasing_order():
    values, group = classes("y", [7, -1, 10**12, 7], 4)
    assert values.tolist() == [-1, 7, 10**12] and group.tolist() == [1, 0, 2, 1]


def test_points_without_labels_are_of_one_class():
    values, group = classes("y", None, 4)
    assert values.tolist() == [0] and group.tolist() == [0] * 4


def test_no_points_have_no_labels():
    assert [x.tolist() for x in classes("y", [], 0)] == [[], []]
    with pytest.raises(InvalidInput, match="^y: .* got length 2"):
        classes("y", [1, 2], 0)


def test_clusters_take_the_numbers_of_the_classes_they_match():
    assert (matched(Y, (Y + 1) % 3) == Y).all()
    few = matched(Y, np.zeros(30, int))
    assert len(set(few)) == 1 and few[0] in Y
    many = matched(Y, np.arange(30) % 6)
    assert len(set(many)) == 6
    # of two clusters within a class one is matched to it, and the other to no class
    assert set(many[(many < 3)] - Y[(many < 3)]) == {0} and (many < 3).sum() == 15
