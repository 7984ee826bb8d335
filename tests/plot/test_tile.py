"""Does the drawing of one method show its points, its score and its reasons?"""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from table_rows import Y, row

from icon.plot.results import picture
from icon.plot.tile import SIDE, tile


BOXES = {
    "whole": (0.5, 0.5, SIDE, SIDE),
    "half": (0.5, 0.5, SIDE, SIDE / 2),
    "quarter": (0.5, 0.5, SIDE / 2, SIDE / 2),
}
SHEET = (0.5, 0.5, 9.0, 4.0)


def drawn(box, **fields):
    figure = Figure((10, 10), dpi=100)
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 10), ylim=(10, 0))
    tile(ax, picture("r", row(**fields)), BOXES.get(box, SHEET))
    return ax


def words(ax):
    return [text.get_text().replace("\n", " ") for text in ax.texts]


@pytest.mark.parametrize("box", BOXES)
def test_name_score_and_every_point_are_in_the_box(box):
    ax = drawn(box, clusters=(Y + 1) % 3)
    assert {"t-SNE", "10-NN", "0.981"} <= set(words(ax))
    x, y, w, h = BOXES[box]
    at = ax.collections[0].get_offsets()
    assert len(at) == 30
    assert (at >= [x, y]).all() and (at <= [x + w, y + h]).all()
    discs = [line for line in ax.lines if line.get_marker() == "o"]
    assert len(discs) == 2 * 3  # a ring is one disc on another


@pytest.mark.parametrize("box", BOXES)
def test_the_bar_is_as_long_as_the_score_and_ticked_at_the_raw_one(box):
    ax = drawn(box, scores={"a": 0.75, "raw a": 0.5})
    ground, bar = ax.patches[-2:]
    assert bar.get_width() == pytest.approx(0.75 * ground.get_width())
    (tick,) = ax.lines
    middle = ground.get_x() + 0.5 * ground.get_width()
    np.testing.assert_allclose(tick.get_xdata(), [middle, middle])


@pytest.mark.parametrize("scores", [{}, {"loss": 3.0}, {"a": None}])
def test_what_is_no_share_has_no_bar(scores):
    ax = drawn("whole", scores=scores)
    assert len(ax.patches) == 1 and not ax.lines  # the card


@pytest.mark.parametrize(
    "note, shown", [("it diverged", "it diverged"), ("", "no points")]
)
def test_no_points_say_why(note, shown):
    ax = drawn("whole", z=np.zeros((0, 2)), labels=None, note=note)
    assert shown in words(ax) and not ax.collections


# ------------------------------------------------------- several seeds, floors


LOW = dict(score="10-NN", value=0.99, held=False, why="0.99 was published")
HELD = dict(score="10-NN", value=0.75, held=True, why="chance")
RED = "#c0271d"


@pytest.mark.parametrize("box", BOXES)
def test_a_score_is_written_with_its_error_within_the_box(box):
    ax = drawn(box, errors={"10-NN": 0.004}, seeds=5, learned={"temperature": 0.051})
    assert {"10-NN", "0.981 ± 0.004", "temperature 0.051"} <= set(words(ax))
    assert "5 seeds" in " ".join(words(ax))
    x, y, w, h = BOXES[box]
    for text in ax.texts:
        extent = text.get_window_extent().transformed(ax.transData.inverted())
        assert x <= extent.x0 and extent.x1 <= x + w
        assert y <= min(extent.y0, extent.y1) and max(extent.y0, extent.y1) <= y + h


@pytest.mark.parametrize("box", BOXES)
def test_a_whisker_is_one_error_each_side_of_the_bars_end(box):
    ax = drawn(box, scores={"a": 0.75}, errors={"a": 0.1})
    ground = ax.patches[-2]
    end = lambda share: ground.get_x() + share * ground.get_width()
    whisker, *caps = ax.lines
    np.testing.assert_allclose(whisker.get_xdata(), [end(0.65), end(0.85)])
    assert [cap.get_xdata()[0] for cap in caps] == list(whisker.get_xdata())


@pytest.mark.parametrize("box", BOXES)
def test_a_floor_is_a_short_tick_on_the_bar(box):
    ax = drawn(box, scores={"10-NN": 0.9, "raw 10-NN": 0.5}, floor=HELD)
    ground = ax.patches[-2]
    raw, floor = ax.lines
    at = ground.get_x() + 0.75 * ground.get_width()
    np.testing.assert_allclose(floor.get_xdata(), [at, at])
    assert np.ptp(floor.get_ydata()) < np.ptp(raw.get_ydata())
    assert not any("floor" in text for text in words(ax))
    assert len(ax.patches) == 3  # the card, and the two of the bar


@pytest.mark.parametrize("box", BOXES)
def test_a_score_below_its_floor_is_outlined_and_says_so_in_red(box):
    ax = drawn(box, floor=LOW, learned={"temperature": 0.051}, seeds=5)
    said = [text for text in ax.texts if text.get_text() == "below its floor 0.99"]
    assert len(said) == 1 and said[0].get_color() == RED
    assert not any("seeds" in text or "temperature" in text for text in words(ax))
    outline = ax.patches[1]
    assert to_hex(outline.get_edgecolor()) == RED and outline.get_linewidth() < 2
    assert not any(to_hex(x.get_edgecolor()) == RED for x in drawn(box).patches)


@pytest.mark.parametrize("z", [np.zeros((0, 2)), np.ones((30, 2))])
def test_a_run_that_raised_shows_its_note_in_red_brown_italics(z):
    ax = drawn("whole", z=z, labels=None, failed=True, note="it diverged")
    (note,) = (text for text in ax.texts if text.get_text() == "it diverged")
    assert note.get_style() == "italic" and note.get_color() == "#8a3b22"
    assert not ax.collections
    assert "failed" in words(drawn("whole", z=z, labels=None, failed=True))


# ------------------------------------------------------- sheets


def test_a_large_wide_tile_lists_all_that_is_known():
    ax = drawn("sheet", trained="a perceptron, Adam", floor=LOW)
    shown = words(ax)
    for name, value in picture("r", row(trained="a perceptron, Adam")).terms:
        assert name in shown and value in " ".join(shown)
    (low,) = (x for x in ax.texts if x.get_text().startswith("10-NN at least"))
    assert low.get_color() == RED


def test_a_list_that_is_too_long_is_cut_with_an_ellipsis():
    scores = {f"score {i}": 0.5 for i in range(40)}
    ax = drawn("sheet", scores=scores, trained="word " * 300)
    x, y, w, h = SHEET
    for text in ax.texts:
        extent = text.get_window_extent().transformed(ax.transData.inverted())
        assert max(extent.y0, extent.y1) <= y + h and extent.x1 <= x + w
    assert "score 39" not in words(ax)
    assert "…" in words(drawn("sheet", trained="word " * 300))
