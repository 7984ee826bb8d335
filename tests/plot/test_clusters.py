"""Does every picture of clusters show the numbers that it was given?"""

import sys

import matplotlib.colors
import numpy as np
import pytest
from cases import slow
from matplotlib.figure import Figure
from pictures import picture
from table_rows import Y, Z

from icon import evaluate, plot
from icon._base.checks import InvalidInput
from icon.plot.colors import palette
from icon.plot.scatter import shuffled


RNG = np.random.default_rng(0)
MATRIX = np.array([[8, 1, 1], [0, 9, 3], [2, 0, 6]])
FOUND = np.array([0.15, 0.55, 0.95]), np.array([0.3, 0.5, 0.9]), np.array([1, 20, 80])
TRIED = [4, 2, 3]


def axes():
    return Figure().subplots()


def ticks(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def overlap(boxes):
    """Whether any box covers another one."""
    return any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


# ------------------------------------------------------- sizes


def test_sizes_fall_and_keep_the_numbers_of_their_clusters():
    ax = axes()
    assert plot.cluster_sizes(np.array([3, 9, 0, 9], np.uint8), ax=ax) is ax
    assert [bar.get_height() for bar in ax.patches] == [9, 9, 3, 0]
    assert ticks(ax.xaxis) == ["1", "3", "0", "2"]
    assert ax.lines[0].get_ydata()[0] == 21 / 4
    picture(ax.figure)


def test_many_sizes_are_not_numbered():
    few = plot.cluster_sizes(np.arange(20), ax=axes())
    assert len(ticks(few.xaxis)) == 20
    many = plot.cluster_sizes(np.arange(77), ax=axes())
    assert not ticks(many.xaxis) and "77 clusters" in many.get_xlabel()
    assert len(many.patches) == 77
    picture(many.figure)


# ------------------------------------------------------- confusion


def test_confusion_shows_the_share_of_each_class_and_its_counts():
    ax = axes()
    assert plot.confusion(MATRIX, classes=["a", "$b$", "_c"], ax=ax) is ax
    shares = [[count / sum(row) for count in row] for row in MATRIX]
    np.testing.assert_allclose(ax.images[0].get_array(), shares)
    assert ax.images[0].norm(0.25) == 0.5 and ax.images[0].norm(1) == 1
    drawn = {text.get_position(): text.get_text() for text in ax.texts}
    counts = {
        (column, row): str(MATRIX[row][column])
        for row in range(3)
        for column in range(3)
        if MATRIX[row][column]
    }
    assert drawn == counts
    assert ticks(ax.yaxis) == ticks(ax.xaxis) == ["a", "$b$", "_c"]
    assert not ax.yaxis.get_ticklabels()[1].get_parse_math()
    picture(ax.figure)


def test_a_class_without_points_has_no_share():
    ax = plot.confusion([[0, 0], [1, 3]], ax=axes())
    assert ax.images[0].get_array().tolist() == [[0, 0], [0.25, 0.75]]


def test_columns_have_the_names_of_classes_where_they_are_known():
    more = plot.confusion(np.ones((2, 4), int), ax=axes())
    assert ticks(more.xaxis) == ["0", "1", "–", "–"]
    fewer = plot.confusion(np.ones((4, 2), int), ax=axes())
    assert ticks(fewer.xaxis) == [] and ticks(fewer.yaxis) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("count", [10, slow(77)])
@pytest.mark.parametrize("alone", [True, False])
def test_names_can_be_read_and_do_not_overlap(count, alone, monkeypatch):
    from matplotlib import pyplot

    def subplots(figsize, layout, **_):
        figure = Figure(figsize, layout=layout)
        return figure, figure.subplots()

    monkeypatch.setattr(pyplot, "subplots", subplots)
    names = [f"a class with quite a long name, {i}" for i in range(count)]
    matrix = RNG.integers(0, 9, (count, count))
    ax = None if alone else Figure(layout="constrained").subplots()
    ax = plot.confusion(matrix, classes=names, ax=ax)
    picture(ax.figure, dpi=100)
    for axis in (ax.xaxis, ax.yaxis):
        texts = axis.get_ticklabels()
        assert not overlap([text.get_window_extent() for text in texts])
        assert min(text.get_fontsize() for text in texts) >= 4.5
        assert max(len(text.get_text()) for text in texts) == 32
        assert len(texts) == count or not alone
    assert bool(ax.texts) == (count == 10)


# ------------------------------------------------------- reliability


def test_reliability_is_accuracy_over_confidence():
    ax = axes()
    assert plot.reliability(FOUND, ax=ax) is ax
    points = ax.collections[0].get_offsets()
    np.testing.assert_array_equal(points, np.stack(FOUND[:2], 1))
    # in proportion to the counts, but for what would not be seen
    assert ax.collections[0].get_sizes().tolist() == [8, 75, 300]
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0, 0], [1, 1]])
    assert ax.get_xlim() == ax.get_ylim() == (0, 1) and ax.get_aspect() == 1
    picture(ax.figure)


def test_reliability_takes_what_evaluate_gives():
    found = evaluate.reliability(Y, Y, np.arange(30) / 29)
    ax = plot.reliability(found, ax=axes())
    assert len(ax.collections[0].get_offsets()) == 10


# ------------------------------------------------------- the choice


def test_choice_has_two_curves_and_a_line_at_the_chosen():
    ax = axes()
    assert plot.choice(TRIED, [1, 3, 2], [0.5, 0.8, 0.9], 3, ax=ax) is ax
    _, twin = ax.figure.axes
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[2, 3], [3, 2], [4, 1]])
    curve = [[2, 0.8], [3, 0.9], [4, 0.5]]
    np.testing.assert_array_equal(twin.lines[0].get_xydata(), curve)
    assert (ax.get_ylabel(), twin.get_ylabel()) == ("loss", "stability")
    assert ax.lines[0].get_color() != twin.lines[0].get_color()
    assert list(ax.lines[1].get_xdata()) == [3, 3] and ax.get_title()[0] == "3"
    picture(ax.figure)


# ------------------------------------------------------- all in one


def test_report_has_what_is_given():
    sizes = np.bincount(Y)
    assert len(plot.report(None, None, sizes).axes) == 1
    assert len(plot.report(Z, Y, sizes).axes) == 2
    assert len(plot.report(Z, None, sizes, reliability=FOUND).axes) == 3
    # the scale of the colors has axes of its own
    assert len(plot.report(None, None, sizes, confusion=MATRIX).axes) == 3
    both = dict(confusion=MATRIX, reliability=FOUND)
    figure = plot.report(Z, Y, sizes, classes=["a", "b", "c"], **both)
    scattered, heat, bars, found, _ = sorted(figure.axes, key=kind)
    colors = matplotlib.colors.to_rgba_array(palette(3))
    drawn = scattered.collections[0]
    order = shuffled(len(Z))
    np.testing.assert_array_equal(drawn.get_offsets(), Z[order])
    np.testing.assert_array_equal(drawn.get_facecolors(), colors[Y[order]])
    assert scattered.get_title() == "30 points, 3 clusters"
    assert ticks(heat.yaxis) == ["a", "b", "c"]
    alone = plot.confusion(MATRIX, ax=axes()).images[0].get_array()
    np.testing.assert_array_equal(heat.images[0].get_array(), alone)
    assert [bar.get_height() for bar in bars.patches] == [10, 10, 10]
    assert found.collections[0].get_sizes().tolist() == [8, 75, 300]
    picture(figure)


def kind(ax):
    """Its place in the order of a report."""
    labels = ["", "cluster, by", "cluster, largest", "mean confidence"]
    named = [i for i, x in enumerate(labels) if x and ax.get_xlabel().startswith(x)]
    return named[0] if named else 0 if ax.get_title() else 4


@pytest.mark.slow
def test_a_report_of_many_clusters_is_a_larger_picture():
    labels = np.arange(1300) % 77
    clusters = np.where(RNG.random(1300) < 0.3, RNG.integers(0, 80, 1300), labels)
    given = dict(
        confusion=evaluate.confusion(labels, clusters),
        reliability=evaluate.reliability(labels, clusters, RNG.random(1300)),
    )
    z = RNG.normal(size=(1300, 2))
    many = plot.report(z, clusters, np.bincount(clusters), **given)
    few = plot.report(Z, Y, np.bincount(Y), confusion=MATRIX, reliability=FOUND)
    assert many.get_size_inches()[1] > 1.5 * few.get_size_inches()[1]
    picture(many)
    boxes = [ax.get_window_extent() for ax in many.axes]
    assert not overlap(boxes) and min(min(box.width, box.height) for box in boxes) > 9


# ------------------------------------------------------- what is refused


def test_pictures_without_axes_make_their_own(monkeypatch):
    from matplotlib import pyplot

    made = []

    def subplots(**_):
        made.append(Figure().subplots())
        return None, made[-1]

    monkeypatch.setattr(pyplot, "subplots", subplots)
    drawn = [
        plot.cluster_sizes([3, 1]),
        plot.confusion(MATRIX),
        plot.reliability(FOUND),
        plot.choice(TRIED, [1, 3, 2], [0.5, 0.8, 0.9], 3),
    ]
    assert drawn == made and len(set(map(id, made))) == 4


def test_pictures_without_matplotlib_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (
        lambda: plot.cluster_sizes([3, 1]),
        lambda: plot.confusion(MATRIX),
        lambda: plot.reliability(FOUND),
        lambda: plot.choice(TRIED, [1, 3, 2], [0.5, 0.8, 0.9], 3),
        lambda: plot.report(Z, Y, [3, 1]),
    ):
        with pytest.raises(ImportError, match=r"pip install 'icon-jax\[plot\]'"):
            draw()


def chosen(counts=TRIED, loss=(1, 2, 3), stability=(0.5, 0.5, 0.5), best=3):
    return lambda: plot.choice(counts, loss, stability, best)


def reliable(confidence=(0.5, 0.9), accuracy=(0.5, 0.9), count=(3, 4)):
    return lambda: plot.reliability((confidence, accuracy, count))


REFUSED = {
    "no sizes": (lambda: plot.cluster_sizes([]), "sizes", "(0,)"),
    "a matrix of sizes": (lambda: plot.cluster_sizes(MATRIX), "sizes", "(3, 3)"),
    "shares": (lambda: plot.cluster_sizes([0.5, 0.5]), "sizes", "float64"),
    "a size below 0": (lambda: plot.cluster_sizes([3, -1]), "sizes", "got -1"),
    "a size of NaN": (lambda: plot.cluster_sizes([3, np.nan]), "sizes", "nan at row 1"),
    "no axes": (lambda: plot.cluster_sizes([3], ax=Figure()), "ax", "a Figure"),
    "a vector": (lambda: plot.confusion([1, 2]), "matrix", "(2,)"),
    "a share": (lambda: plot.confusion(MATRIX / 2), "matrix", "float64"),
    "a count below 0": (lambda: plot.confusion(MATRIX - 1), "matrix", "got -1"),
    "a class": (lambda: plot.confusion(MATRIX, classes=["a"]), "classes", "3 classes"),
    "a word": (lambda: plot.confusion(MATRIX, classes="abc"), "classes", "'abc'"),
    "two vectors": (lambda: plot.reliability(FOUND[:2]), "found", "a tuple"),
    "no vectors": (lambda: plot.reliability(3), "found", "a int"),
    "lengths": (reliable(count=[3]), "found", "shape (2,)"),
    "sure above 1": (reliable(confidence=(0.5, 1.5)), "found", "0.5 to 1.5"),
    "right below 0": (reliable(accuracy=(-0.5, 1)), "found", "-0.5 to 1"),
    "half a point": (reliable(count=(0.5, 1.0)), "found", "float64"),
    "empty bins": (reliable(count=(0, 0)), "found", "no points"),
    "tried twice": (chosen(counts=[2, 3, 3]), "counts", "[2, 3, 3]"),
    "tried none": (chosen(counts=[0, 2, 3]), "counts", "[0, 2, 3]"),
    "losses": (chosen(loss=[1, 2]), "loss", "(2,)"),
    "a loss of NaN": (chosen(loss=[1, np.nan, 2]), "loss", "nan at row 1"),
    "stabilities": (chosen(stability=[[1, 1, 1]]), "stability", "(1, 3)"),
    "another choice": (chosen(best=5), "chosen", "got 5"),
    "no choice": (chosen(best=2.5), "chosen", "got 2.5"),
    "points": (lambda: plot.report(MATRIX, Y, [3]), "embedding", "t-SNE"),
    "clusters": (lambda: plot.report(Z, Y[:3], [3]), "clusters", "length 3"),
    "sizes": (lambda: plot.report(Z, Y, [[3]]), "sizes", "(1, 1)"),
    "confusion": (
        lambda: plot.report(Z, Y, [3], confusion=[3]),
        "confusion",
        "(1,)",
    ),
    "classes": (
        lambda: plot.report(Z, Y, [3], confusion=MATRIX, classes=["a"]),
        "classes",
        "got 1",
    ),
    "reliability": (
        lambda: plot.report(Z, Y, [3], reliability=([0.5], [0.5], [-1])),
        "reliability",
        "got -1",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    draw, argument, got = REFUSED[case]
    with pytest.raises(InvalidInput) as refusal:
        draw()
    assert refusal.value.argument == argument and got in str(refusal.value)
