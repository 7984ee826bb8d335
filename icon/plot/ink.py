"""How are text and boxes drawn, on axes in inches?"""

import math
import textwrap
import unicodedata
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text


INK, SOFT, RULE = "#1c2733", "#66727f", "#e3e0d8"
CARD = {  # fill, border
    "known": ("#e6eefa", "#7fa3d6"),
    "predicted": ("#e4e4e2", "#a3a3a0"),
    "new": ("#ffffff", "#e8963c"),
}
BAD, FAILED = "#c0271d", "#8a3b22"  # below a floor; a run that raised
LEAST = 0.6  # smaller than this share of its size, text is cut instead

At = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, width, height
Style = dict[str, Any]

BOLD: Style = dict(weight="bold")
QUIET: Style = dict(color=SOFT)
ITALIC: Style = dict(color=SOFT, style="italic")
RIGHT: Style = dict(ha="right", va="baseline", weight="bold")
CENTER: Style = dict(ha="center", va="center")


def printable(words: object) -> str:
    """Text that every font and encoding takes: no control codes, no half characters."""
    bad = lambda c: unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"
    return "".join("\ufffd" if bad(c) else c for c in str(words))


def cut(words: str, length: int) -> str:
    """At most so many characters, the last one an ellipsis where some are missing."""
    return words if len(words) <= length else f"{words[: length - 1]}…"


def write(
    ax: "Axes",
    at: At,
    words: str,
    size: float,
    width: float = math.inf,
    lines: int = 1,
    **style: Any,
) -> At:
    """Text at a point that fits a width: broken into lines, shrunk, or cut.

    Returns the inches that it takes along its lines, and across them.
    """
    style = dict[str, Any](color=INK, va="top", parse_math=False) | style
    text = ax.text(*at, words, fontsize=size, linespacing=1.15, **style)
    wide = width_of(text)
    if wide > width and lines > 1:
        text.set_text(_wrapped(words, int(len(words) * width / wide), lines))
        wide = width_of(text)
    if wide > width / LEAST:
        text.set_text(_wrapped(words, int(len(words) * width / wide / LEAST), lines))
        wide = width_of(text)
    for _ in range(2):  # letters are hinted: their width is not quite their size
        if wide > width:
            size *= width / wide
            text.set_fontsize(size)
            wide = width_of(text)
    return _extent(text)


def width_of(text: "Text") -> float:
    """In inches, along its lines."""
    return _extent(text)[0]


def _extent(text: "Text") -> At:
    """In inches, along the lines and across them."""
    figure: Any = text.figure
    box = text.get_window_extent(figure.canvas.get_renderer())
    wide, high = box.width / figure.dpi, box.height / figure.dpi
    return (high, wide) if text.get_rotation() in (90, 270) else (wide, high)


def _wrapped(words: str, length: int, lines: int) -> str:
    """At most so many lines, the last one cut with an ellipsis."""
    length = max(length, 8)
    return "\n".join(textwrap.wrap(words, length, max_lines=lines, placeholder="…"))


def rounded(ax: "Axes", box: Box, **style: Any) -> None:
    """A box with round corners."""
    from matplotlib.patches import FancyBboxPatch

    x, y, w, h = box
    boxstyle = "round,pad=0,rounding_size=0.1"
    ax.add_patch(FancyBboxPatch((x, y), w, h, boxstyle=boxstyle, **style))


def card(ax: "Axes", box: Box, status: str) -> None:
    """The ground of a method, in the colors of its status."""
    fill, edge = CARD[status]
    rounded(ax, box, facecolor=fill, edgecolor=edge, lw=2.2)


def flagged(ax: "Axes", box: Box) -> None:
    """A thin red line within the border of a card."""
    x, y, w, h = box
    inside = (x + 0.045, y + 0.045, w - 0.09, h - 0.09)
    rounded(ax, inside, facecolor="none", edgecolor=BAD, lw=1.5)
