"""Are names classes, numbers a scale, and does something say which color is which?"""

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgba, to_rgba_array
from matplotlib.figure import Figure
from pictures import picture
from table_rows import Y, Z

from icon import plot
from icon._base.checks import InvalidInput
from icon.plot.colors import MISSING, palette
from icon.plot.paint import Classes, Plain, Scale, paint


ANIMALS = np.array(["dog", "cat", "emu"])[Y]


@pytest.mark.parametrize("labels", [ANIMALS, ANIMALS.astype(object), ANIMALS.tolist()])
def test_strings_are_classes_in_the_order_of_the_alphabet(labels):
    found = paint("labels", labels, 30)
    assert isinstance(found, Classes) and found.names == ["cat", "dog", "emu"]
    assert [found.names[c] for c in found.group] == [*ANIMALS]


@pytest.mark.parametrize("labels", [Y, jnp.asarray(Y), Y.astype(np.uint8), Y.tolist()])
def test_integers_are_classes_in_increasing_order(labels):
    found = paint("labels", labels, 30)
    assert isinstance(found, Classes) and found.names == ["0", "1", "2"]
    np.testing.assert_array_equal(found.group, Y)
    assert paint("labels", labels, 30, ["a", "b", "c"]).names == ["a", "b", "c"]


def test_booleans_are_two_classes():
    assert paint("labels", Y == 1, 30).names == ["False", "True"]


def test_no_labels_are_no_classes():
    assert paint("labels", None, 30) == Plain()


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16])
def test_other_numbers_are_on_a_scale(dtype):
    found = paint("labels", Y.astype(dtype), 30)
    assert isinstance(found, Scale) and found.values.dtype == float
    np.testing.assert_array_equal(found.values, Y)


def test_a_scale_has_a_color_bar_and_points_without_a_number_are_gray():
    values = np.linspace(3, 7, 30)
    values[4] = np.nan
    ax = plot.embedding(Z, values, ax=Figure().subplots())
    ax.figure.draw_without_rendering()
    dots = ax.collections[0]
    at = {tuple(place): i for i, place in enumerate(dots.get_offsets())}
    colors = dots.get_facecolors()[[at[tuple(z)] for z in Z]]
    np.testing.assert_array_equal(colors[4], to_rgba(MISSING))
    scale = colormaps["viridis"]((values - 3) / 4)
    np.testing.assert_allclose(np.delete(colors, 4, 0), np.delete(scale, 4, 0))
    assert ax.figure.axes[1].get_ylim() == (3, 7) and ax.get_legend() is None
    picture(ax.figure)


def test_up_to_twenty_classes_have_a_legend_and_more_stand_at_their_medians():
    z = np.random.default_rng(0).normal(size=(420, 2))
    few = plot.embedding(z, np.arange(420) % 20 * 3, ax=Figure().subplots())
    texts = [text.get_text() for text in few.get_legend().get_texts()]
    assert texts == [str(3 * i) for i in range(20)] and not few.texts
    names = [f"$class_{c}$" for c in range(21)]
    labels = np.arange(420) % 21
    many = plot.embedding(z, labels, names=names, ax=Figure().subplots())
    assert many.get_legend() is None
    found = {text.get_text(): text.get_position() for text in many.texts}
    assert {*found} == {*names}
    for c, name in enumerate(names):
        np.testing.assert_allclose(found[name], np.median(z[labels == c], axis=0))
    picture(many.figure)


def test_long_names_on_the_points_are_cut_and_small():
    labels = np.arange(42) % 21
    sizes = []
    for long in (2, 30):
        names = [f"{c}".zfill(long) for c in range(21)]
        more = dict(names=names, ax=Figure().subplots())
        texts = plot.embedding(np.ones((42, 2)), labels, **more).texts
        sizes.append(texts[0].get_fontsize())
        cut = [name if long == 2 else f"{name[:23]}…" for name in names]
        assert [text.get_text() for text in texts] == cut
    assert sizes[0] == 9 and 5 <= sizes[1] < 7


def test_names_on_the_points_leave_the_axes_as_wide_as_they_are():
    z, labels = np.random.default_rng(0).normal(size=(42, 2)), np.arange(42) % 21
    wide = []
    for long in (2, 30):
        names = [f"{c}".zfill(long) for c in range(21)]
        figure = plot.compare({"a": z, "b": -z}, labels, names=names)
        figure.draw_without_rendering()
        wide.append([ax.get_position().width for ax in figure.axes])
    np.testing.assert_allclose(*wide)


def test_of_very_many_classes_the_largest_have_their_names():
    labels = np.r_[np.arange(400), np.repeat(np.arange(250, 400), 2)]
    ax = plot.embedding(np.ones((700, 2)), labels, ax=Figure().subplots())
    assert {int(text.get_text()) for text in ax.texts} == {*range(250, 400)}


def test_points_are_ordered_by_their_labels():
    assert Plain().order(3).tolist() == [0, 1, 2] and Plain().blocks() == []
    classes = paint("labels", ["b", "a", "b", "a"], 4)
    assert classes.order(4).tolist() == [1, 3, 0, 2]
    assert classes.blocks() == [("a", 2), ("b", 2)]
    scale = paint("labels", [0.5, 0.1, 0.3], 3)
    assert scale.order(3).tolist() == [1, 2, 0] and scale.blocks() == []


def test_the_colors_follow_the_order_of_the_points():
    order = np.array([2, 0, 1])
    colors = to_rgba_array(palette(3))[[0, 1, 0]]
    classes = paint("labels", ["a", "b", "a"], 3)
    np.testing.assert_array_equal(
        to_rgba_array(classes.style(order)["c"]), colors[order]
    )
    scale = paint("labels", [5.0, 6.0, 7.0], 3)
    assert scale.style(order)["c"].tolist() == [7, 5, 6]


@pytest.mark.parametrize(
    "labels, names, argument, got",
    [
        (Y[:4], None, "labels", "one for each of 30 points, got shape (4,)"),
        (ANIMALS[:4], None, "labels", "(4,)"),
        (np.ones((30, 1)), None, "labels", "(30, 1)"),
        (np.full(30, np.nan), None, "labels", "no number"),
        (np.r_[np.inf, Y[1:]], None, "labels", "inf at row 0"),
        ([*ANIMALS[:29], None], None, "labels", "a NoneType at entry 29"),
        (1.5 * Y, ["a"], "names", "None for labels on a scale"),
        (ANIMALS, ["a"], "names", "one for each of 3 classes, got 1"),
        (Y, "abc", "names", "'abc'"),
    ],
)
def test_labels_that_cannot_be_colors_are_refused(labels, names, argument, got):
    with pytest.raises(InvalidInput) as refusal:
        paint("labels", labels, 30, names)
    assert refusal.value.argument == argument and got in str(refusal.value)
