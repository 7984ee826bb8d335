"""Is every point drawn, in its color, none hidden by its class?"""

import sys

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.figure import Figure
from pictures import picture
from table_rows import Y, Z

from icon import plot
from icon._base.checks import InvalidInput
from icon.plot.colors import PLAIN, palette


RNG = np.random.default_rng(0)
SPACE = RNG.normal(size=(30, 3))


def rgba(colors):
    return matplotlib.colors.to_rgba_array(colors)


def drawn(ax):
    """The points as they are drawn, first to last: their places and their colors."""
    dots = ax.collections[0]
    return np.asarray(dots.get_offsets()), dots.get_facecolors()


def as_given(ax, z):
    """The colors of the points in the order of the rows of z."""
    places, colors = drawn(ax)
    at = [int(np.flatnonzero((places == row).all(1))[0]) for row in z]
    assert sorted(at) == list(range(len(z)))
    return colors[at]


def test_embedding_draws_every_point_and_a_legend():
    ax = Figure().subplots()
    assert plot.embedding(Z, Y, names=["a", "b", "c"], title="three", ax=ax) is ax
    colors = rgba(palette(3))
    np.testing.assert_array_equal(as_given(ax, Z), colors[Y])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b", "c"]
    handles = [h.get_facecolor()[0] for h in ax.get_legend().legend_handles]
    np.testing.assert_array_equal(handles, colors)
    assert ax.get_title() == "three"
    picture(ax.figure)


def test_embedding_without_labels_is_one_color_and_has_no_legend():
    ax = plot.embedding(Z, size=3.0, ax=Figure().subplots())
    colors = np.unique(ax.collections[0].get_facecolors(), axis=0)
    np.testing.assert_array_equal(colors, rgba([PLAIN]))
    assert ax.get_legend() is None and ax.collections[0].get_sizes().tolist() == [3.0]


def test_no_class_covers_the_others():
    z, labels = np.zeros((900, 2)) + np.arange(900)[:, None], np.arange(900) // 300
    ax, again = (plot.embedding(z, labels, ax=Figure().subplots()) for _ in range(2))
    order = drawn(ax)[0][:, 0].astype(int)
    assert sorted(order) == list(range(900))
    np.testing.assert_array_equal(order, drawn(again)[0][:, 0])
    for part in np.split(labels[order], 3):
        assert np.bincount(part, minlength=3).min() > 60  # of 100


def test_points_become_smaller_and_fainter_where_there_are_more():
    seen = []
    for n in (100, 10_000, 70_000):
        dots = plot.embedding(RNG.normal(size=(n, 2)), ax=Figure().subplots())
        seen.append(
            (dots.collections[0].get_sizes()[0], dots.collections[0].get_alpha())
        )
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == (30.0, 1.0) and seen[2] == (1.2, 0.5)


def test_points_of_space_are_drawn_in_space():
    ax = Figure().add_subplot(projection="3d")
    assert plot.embedding(SPACE, Y, ax=ax) is ax
    at = np.stack(ax.collections[0]._offsets3d, 1)
    assert {*map(tuple, at)} == {*map(tuple, SPACE)}
    picture(ax.figure)
    made = plot.embedding(SPACE)
    assert made.name == "3d"


def test_the_names_of_many_classes_of_space_stand_at_their_medians():
    z, labels = RNG.normal(size=(210, 3)), np.arange(210) % 21
    ax = plot.embedding(z, labels, ax=Figure().add_subplot(projection="3d"))
    for text, c in zip(ax.texts, range(21), strict=True):
        median = np.median(z[labels == c], axis=0)
        np.testing.assert_allclose(text.get_position_3d(), median)


# ------------------------------------------------------- several side by side


def test_embeddings_are_compared_in_one_set_of_colors():
    shown = {"t-SNE": Z, "$UMAP$": Z[:, ::-1], "PCA": -Z, "SNE": 2 * Z, "LDA": Z}
    figure = plot.compare(shown, Y)
    assert [ax.get_title() for ax in figure.axes] == [*shown]
    for ax, z in zip(figure.axes, shown.values(), strict=True):
        np.testing.assert_array_equal(as_given(ax, z), rgba(palette(3))[Y])
        assert ax.get_legend() is None
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["0", "1", "2"]
    tops = [ax.get_subplotspec().rowspan.start for ax in figure.axes]
    assert tops == [0, 0, 0, 0, 1]
    picture(figure)


def test_embeddings_on_one_scale_have_one_color_bar():
    figure = plot.compare({"one": Z, "two": -Z}, Z[:, 0])
    *pair, bar = figure.axes
    assert [ax.get_title() for ax in pair] == ["one", "two"]
    limits = [*(ax.collections[0].get_clim() for ax in pair), bar.get_ylim()]
    np.testing.assert_allclose(limits, [(Z[:, 0].min(), Z[:, 0].max())] * 3)
    picture(figure)


def test_embeddings_of_space_are_compared_in_space():
    assert [ax.name for ax in plot.compare({"a": SPACE, "b": SPACE}).axes] == ["3d"] * 2


# ------------------------------------------------------- axes, extras, refusals


def test_a_picture_without_axes_makes_its_own(monkeypatch):
    from matplotlib import pyplot

    made = []

    def subplots(**_):
        made.append(Figure().subplots())
        return None, made[-1]

    monkeypatch.setattr(pyplot, "subplots", subplots)
    assert plot.embedding(Z, Y) is made[0]


def test_pictures_without_matplotlib_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (lambda: plot.embedding(Z), lambda: plot.compare({"a": Z})):
        with pytest.raises(ImportError, match=r"pip install 'icon-jax\[plot\]'"):
            draw()


@pytest.mark.parametrize(
    "draw, argument, got",
    [
        (lambda: plot.embedding(np.ones((4, 4))), "z", "t-SNE"),
        (lambda: plot.embedding([[0, 1], [np.nan, 2]]), "z", "row 1, column 0"),
        (lambda: plot.embedding([[0, 1]]), "z", "(1, 2)"),
        (lambda: plot.embedding(Z, Y[:3]), "labels", "(3,)"),
        (lambda: plot.embedding(Z, 1j * Y), "labels", "complex128"),
        (lambda: plot.embedding(Z, Y, names=["a"]), "names", "3 classes"),
        (lambda: plot.embedding(Z, Y, names=[]), "names", "got 0"),
        (lambda: plot.embedding(SPACE, ax=Figure().subplots()), "ax", "'3d'"),
        (lambda: plot.compare({}), "embeddings", "nothing"),
        (lambda: plot.compare([Z]), "embeddings", "a list"),
        (lambda: plot.compare({"a": Z, "b": Z[:9]}), "embeddings['b']", "(9, 2)"),
        (lambda: plot.compare({"a": Z, "b": SPACE}), "embeddings['b']", "(30, 3)"),
        (lambda: plot.compare({"a": Z}, Y[:3]), "labels", "(3,)"),
    ],
)
def test_bad_pictures_are_refused(draw, argument, got):
    with pytest.raises(InvalidInput) as refusal:
        draw()
    assert refusal.value.argument == argument and got in str(refusal.value)
