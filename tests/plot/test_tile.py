"""Does the drawing of one method show its points, its score and its reasons?"""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from table_rows import Y, row

from icon.plot.results import picture
from icon.plot.tile import SIDE, tile


BOXES = {
    "whole": (0.5, 0.5, SIDE, SIDE),
    "half": (0.5, 0.5, SIDE, SIDE / 2),
    "quarter": (0.5, 0.5, SIDE / 2, SIDE / 2),
}


def drawn(box, **fields):
    figure = Figure((5, 5), dpi=100)
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 5), ylim=(5, 0))
    tile(ax, picture("r", row(**fields)), BOXES[box])
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
