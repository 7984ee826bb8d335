"""Is the table one PNG, the same each time, with every name and score on it?"""

import functools
import sys

import matplotlib
import numpy as np
import pytest
from cases import soon
from table_rows import RESULTS as FEW
from table_rows import TAKEN, row

from icon import plot
from icon.plot import poster as drawing
from icon.plot.results import pictures
from icon.plot.tile import SIDE


RESULTS = [*FEW, row("one more", "Positive pairs", "Gaussian")]
LONG = dict(
    name="contrastive predictive coding with debiased hard negatives",
    reference="van den Oord, Li and Vinyals 2018; Robinson and others 2021",
    protocol="held-out 30%, stratified by class, five folds",
    scores={"accuracy of a linear probe": 0.734, "raw accuracy": 0.65},
    errors={"accuracy of a linear probe": 0.0123},
    learned={"temperature": 0.051, "scale": 1.25},
    trained="a perceptron of 512 units, crops and jitter, a head of 128, AdamW at 1e-3",
    seeds=5,
)
LOW = dict(floor=dict(score="10-NN", value=0.99, held=False, why="of the paper"))
HELD = dict(floor=dict(score="10-NN", value=0.75, held=True, why="chance is 0.1"))
RAISED = dict(z=np.zeros((0, 2)), labels=None, failed=True, note="it diverged " * 5)
KINDS = LONG, LOW, RAISED, HELD | dict(learned={"temperature": 0.051}), LONG | LOW


@pytest.fixture(scope="module")
def ax():
    return drawing.poster(pictures(RESULTS)).axes[0]


def test_it_is_a_png_and_the_same_bytes_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "_DPI", 20)
    plot.table(RESULTS, tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):
        plot.table(RESULTS, str(tmp_path / "b.png"))
    first = (tmp_path / "a.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert first == (tmp_path / "b.png").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_it_has_every_name_score_and_protocol(ax):
    words = [text.get_text().replace("\n", " ") for text in ax.texts]
    for result in RESULTS:
        assert result["name"] in words
    assert {*plot.COLUMNS, *plot.ROWS, "0.981", "beyond the grid"} <= set(words)
    assert {*plot.STATUS.values(), "Tokens × Yes or no", "it diverged"} <= set(words)
    assert any("leave-one-out" in x and "raw 10-NN 0.970" in x for x in words)


def test_it_outlines_the_empty_squares(ax):
    outlines = [patch for patch in ax.patches if not patch.get_fill()]
    assert len(outlines) == 45 - TAKEN - 1


def extents(ax):
    renderer = ax.figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in ax.texts]


def test_no_text_leaves_it(ax):
    width, height = ax.figure.bbox.size
    for box in extents(ax):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


# ------------------------------------------------------- few pictures


def kinds(places):
    """Long names, low scores, runs that raised: one of each by turns, in these."""
    return [row(column=c, row=r) | KINDS[i % 5] for i, (c, r) in enumerate(places)]


COLUMNS, ROWS = plot.COLUMNS, plot.ROWS
PLACES = {
    "one": [("Tokens", "Yes or no")],
    "two in a line": [(c, "Gaussian") for c in COLUMNS[:2]],
    "two in a column": [("Gaussian", r) for r in ROWS[:2]],
    "two in a square": [("Gaussian", "Gaussian")] * 2,
    "three": [*zip(COLUMNS, ROWS[:3], strict=False)],
    "five in a square": [("Gaussian", "Gaussian")] * 5,
    "five": [*zip(COLUMNS, ROWS, strict=False)],
    "nine in a line": [(c, "Student-t") for c in COLUMNS],
    "twelve": [(c, r) for c in COLUMNS[:4] for r in ROWS[:3]],
    "shared": [(c, r) for c in COLUMNS[:2] for r in ROWS[:2]] * 3,
}


@functools.cache
def few(case):
    return drawing.poster(pictures(kinds(PLACES[case])))


@pytest.mark.parametrize("case", soon(PLACES, "one", "three", "five"))
def test_no_text_of_few_pictures_covers_another(case):
    ax = few(case).axes[0]
    width, height = ax.figure.bbox.size
    boxes = extents(ax)
    for i, a in enumerate(boxes):
        assert a.x0 >= 0 and a.y0 >= 0 and a.x1 <= width and a.y1 <= height
        for j, b in enumerate(boxes[i + 1 :], i + 1):
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            down = min(a.y1, b.y1) - max(a.y0, b.y0)
            # Up to the room that a line leaves below its letters.
            words = ax.texts[i].get_text(), ax.texts[j].get_text()
            assert across < 2 or down < 0.25 * min(a.height, b.height), words


@pytest.mark.parametrize("case", PLACES)
def test_a_figure_of_few_pictures_fits_a_screen(case):
    width, height = few(case).get_size_inches()
    assert 14 <= width <= (24 if case == "nine in a line" else 20)
    assert 5 <= height <= 22


def test_few_pictures_have_only_the_headings_in_use():
    places = [("kNN", "Student-t"), ("Tokens", "Yes or no"), ("Gaussian", "Clusters")]
    ax = drawing.poster(pictures(kinds(places))).axes[0]
    words = [text.get_text() for text in ax.texts]
    heads = [x for x in words if x in (*COLUMNS, *ROWS, "Tokens", "Yes or no")]
    assert heads == ["Gaussian", "kNN", "Tokens", "Student-t", "Clusters", "Yes or no"]
    assert "beyond the grid" not in words
    assert len([x for x in ax.patches if not x.get_fill()]) == 9 - 3


def test_one_picture_has_all_that_is_known_beside_it():
    more = dict(errors={"10-NN": 0.004}, trained="a perceptron, Adam", seeds=5)
    ax = drawing.poster(pictures([row(**more, **LOW)])).axes[0]
    words = [text.get_text() for text in ax.texts]
    for term in ("p", "nearest(perplexity=30)", "q", "student_t", "loss"):
        assert term in words
    assert {"kl(joint=True)", "raw 10-NN", "0.970", "a perceptron, Adam"} <= set(words)
    assert words.count("0.981 ± 0.004") == 2 and "below its floor 0.99" in words
    x = ax.collections[0].get_offsets()[:, 0]
    assert np.ptp(x) > 0.3 * ax.get_xlim()[1]  # inches


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 12])
def test_few_pictures_are_the_same_bytes_each_time(count, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "_DPI", 20)
    for name in "ab":
        plot.table(kinds(PLACES["twelve"][:count]), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# ------------------------------------------------------- squares


@pytest.mark.parametrize("count", range(10))
def test_the_tiles_of_a_square_cover_it_and_do_not_overlap(count):
    boxes = drawing.boxes((1.0, 2.0, SIDE, SIDE), count)
    assert len(boxes) == count
    for i, (x, y, w, h) in enumerate(boxes):
        assert x >= 1 and y >= 2 and w > 0.5 and h > 0.5
        assert x + w <= 1 + SIDE + 1e-9 and y + h <= 2 + SIDE + 1e-9
        for u, v, s, t in boxes[i + 1 :]:
            across, down = min(x + w, u + s) - max(x, u), min(y + h, v + t) - max(y, v)
            assert min(across, down) < 0  # there is a gap one way or the other
    gaps = SIDE**2 - sum(w * h for *_, w, h in boxes) if boxes else 0
    assert 0 <= gaps < 0.2 * SIDE**2


def test_it_needs_matplotlib_and_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'icon-jax\[plot\]'"):
        plot.table(RESULTS, tmp_path / "table.png")
    assert not list(tmp_path.iterdir())
