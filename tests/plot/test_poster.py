"""Is the table one PNG, the same each time, with every name and score on it?"""

import sys

import matplotlib
import pytest
from table_rows import RESULTS, TAKEN

from icon import plot
from icon.plot import poster as drawing
from icon.plot.results import pictures
from icon.plot.tile import SIDE


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
    assert len(outlines) == 45 - TAKEN


def test_no_text_leaves_it(ax):
    renderer = ax.figure.canvas.get_renderer()
    width, height = ax.figure.bbox.size
    for text in ax.texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


@pytest.mark.parametrize("count", range(10))
def test_the_tiles_of_a_square_cover_it_and_do_not_overlap(count):
    boxes = drawing.boxes((1.0, 2.0), count)
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
