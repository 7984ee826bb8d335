"""Is every point drawn, in its color, and every loss at its step?"""

import sys

import matplotlib.colors
import ml_dtypes
import numpy as np
import pytest
from matplotlib.figure import Figure
from table_rows import Y, Z

from icon import plot
from icon._base.checks import InvalidInput
from icon.plot.colors import PLAIN, palette


def rgba(colors):
    return matplotlib.colors.to_rgba_array(colors)


def test_embedding_draws_every_point_and_a_legend():
    ax = Figure().subplots()
    assert plot.embedding(Z, Y, names=["a", "b", "c"], title="three", ax=ax) is ax
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), Z)
    colors = rgba(palette(3))
    np.testing.assert_array_equal(ax.collections[0].get_facecolors(), colors[Y])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b", "c"]
    handles = [h.get_facecolor()[0] for h in ax.get_legend().legend_handles]
    np.testing.assert_array_equal(handles, colors)
    assert ax.get_title() == "three"


def test_embedding_without_labels_is_one_color_and_has_no_legend():
    ax = plot.embedding(Z, size=3.0, ax=Figure().subplots())
    colors = np.unique(ax.collections[0].get_facecolors(), axis=0)
    np.testing.assert_array_equal(colors, rgba([PLAIN]))
    assert ax.get_legend() is None and ax.collections[0].get_sizes().tolist() == [3.0]


def test_a_legend_has_at_most_twenty_classes():
    z = np.arange(84.0).reshape(42, 2)
    few = plot.embedding(z, np.arange(42) % 20 * 3, ax=Figure().subplots())
    texts = [text.get_text() for text in few.get_legend().get_texts()]
    assert texts == [str(3 * i) for i in range(20)]
    many = plot.embedding(z, np.arange(42) % 21, ax=Figure().subplots())
    assert many.get_legend() is None


def test_history_is_the_losses_at_their_steps():
    losses = np.array([3.0, np.nan, 1.0], ml_dtypes.bfloat16)
    (line,) = plot.history(losses, ax=Figure().subplots()).lines
    np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2])
    np.testing.assert_array_equal(line.get_ydata(), [3.0, np.nan, 1.0])


def test_pictures_without_axes_make_their_own(monkeypatch):
    from matplotlib import pyplot

    made = []

    def subplots(**_):
        made.append(Figure().subplots())
        return None, made[-1]

    monkeypatch.setattr(pyplot, "subplots", subplots)
    drawn = [plot.embedding(Z, Y), plot.history([3.0, 1.0])]
    assert drawn == made and made[0] is not made[1]


def test_pictures_without_matplotlib_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (lambda: plot.embedding(Z), lambda: plot.history([1.0])):
        with pytest.raises(ImportError, match=r"pip install 'icon-jax\[plot\]'"):
            draw()


@pytest.mark.parametrize(
    "draw, argument, got",
    [
        (lambda: plot.embedding(np.ones((4, 3))), "z", "t-SNE"),
        (lambda: plot.embedding([[0, 1], [np.nan, 2]]), "z", "row 1, column 0"),
        (lambda: plot.embedding([[0, 1]]), "z", "(1, 2)"),
        (lambda: plot.embedding(Z, Y[:3]), "labels", "length 3"),
        (lambda: plot.embedding(Z, Y / 2), "labels", "float64"),
        (lambda: plot.embedding(Z, Y, names=["a"]), "names", "3 classes"),
        (lambda: plot.embedding(Z, Y, names=[]), "names", "got 0"),
        (lambda: plot.history(np.ones((2, 2))), "losses", "(2, 2)"),
        (lambda: plot.history([]), "losses", "(0,)"),
        (lambda: plot.history(["a"]), "losses", "<U1"),
    ],
)
def test_bad_pictures_are_refused(draw, argument, got):
    with pytest.raises(InvalidInput) as refusal:
        draw()
    assert refusal.value.argument == argument and got in str(refusal.value)
