"""Does text stay within its width?"""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from icon.plot.ink import CARD, LEAST, card, cut, width_of, write


@pytest.fixture
def ax():
    figure = Figure((10, 10), dpi=130)
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 10), ylim=(10, 0))
    return ax


def written(ax, words, width, lines=1):
    write(ax, (1, 1), words, 10, width, lines)
    return ax.texts[-1]


def test_a_name_is_cut_to_a_length():
    assert cut("abcd", 4) == "abcd" and cut("abcde", 4) == "abc…" and cut("", 4) == ""


def test_a_short_text_is_as_it_is(ax):
    text = written(ax, "word", 2.0)
    assert text.get_text() == "word" and text.get_fontsize() == 10


def test_a_text_that_is_a_little_long_is_shrunk(ax):
    words = "word " * 6
    free = width_of(written(ax, words, 100))
    text = written(ax, words, 0.8 * free)
    assert text.get_text() == words and 10 * LEAST <= text.get_fontsize() < 9
    assert width_of(text) == pytest.approx(0.8 * free, rel=0.05)


def test_a_long_text_is_cut_not_illegible(ax):
    text = written(ax, "word " * 60, 2.0)
    assert text.get_fontsize() >= 10 * LEAST * 0.9
    assert text.get_text().endswith("…") and width_of(text) <= 2.05


def test_lines_are_broken_before_letters_are_shrunk(ax):
    words = "several words that fit two lines"
    half = 0.7 * width_of(written(ax, words, 100))
    text = written(ax, words, half, lines=2)
    first, second = text.get_text().split("\n")
    assert f"{first} {second}" == words and text.get_fontsize() > 9


def test_what_looks_like_a_formula_is_text(ax):
    assert not written(ax, "$x^2$", 2.0).get_parse_math()


@pytest.mark.parametrize("status", CARD)
def test_a_card_has_the_colors_of_its_status(ax, status):
    from matplotlib.colors import to_hex

    card(ax, (1, 1, 2, 2), status)
    patch = ax.patches[-1]
    colors = to_hex(patch.get_facecolor()), to_hex(patch.get_edgecolor())
    assert colors == CARD[status]
