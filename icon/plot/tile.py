"""How is one method drawn on the poster?"""

import math
from typing import TYPE_CHECKING

from icon.plot.ink import BOLD, QUIET, Box, card, flagged, write
from icon.plot.marks import bar, points, small, verdict
from icon.plot.results import Picture
from icon.plot.sheet import sheet


if TYPE_CHECKING:
    from matplotlib.axes import Axes


SIDE = 3.6  # of a square of the whole table, in inches
_HIGH = 2.6  # inches from which a wide tile has room for all that is known


def tile(ax: "Axes", picture: Picture, box: Box) -> None:
    """A method in a box: words above and below its picture, or beside it."""
    *_, w, h = box
    card(ax, box, picture.text["status"])
    if picture.below:
        flagged(ax, box)
    wide = _beside if h < _HIGH else sheet
    (wide if w > 1.4 * h else _stacked)(ax, picture, box)


def _stacked(ax: "Axes", picture: Picture, box: Box) -> None:
    """Name, picture, score: the tile of a square, or of a quarter of one."""
    x, y, w, h = box
    u = min(w, h) / SIDE
    grown = max(1.0, u) ** 0.6  # letters grow less than the picture
    pad, big = 0.06 + 0.08 * min(u, 1), max(9.0, 17 * min(u, 1) * grown)
    wide = w - 2 * pad
    head, foot = (0.7 * grown, 0.66 * grown) if u > 0.7 else (0.28, 0.45)
    lines = _print(picture, wide * 72 / (0.36 * big) if u > 0.7 else math.inf)
    foot += 0.6 * big * 1.25 / 72 * (len(lines) - 1) if lines else 0
    write(ax, (x + pad, y + pad), picture.text["name"], big, wide, **BOLD)
    if u > 0.7:
        at = (x + pad, y + pad + 0.32 * grown)
        write(ax, at, picture.text["reference"], 10 * grown, wide, **QUIET)
    side = min(wide, h - head - foot)
    points(ax, picture, (x + (w - side) / 2, y + head, side, side))
    _below(ax, picture, (x + pad, y + h - foot, wide, foot - pad), big, lines)


def _learned(picture: Picture) -> str:
    """The line of learned numbers, which gives way to that of a floor."""
    return "" if picture.below else picture.learned_text


def _print(picture: Picture, room: float) -> list[str]:
    """The small print: in one line if the letters have room, and what was learned."""
    joined = "  ·  ".join(picture.small_print)
    first, more = picture.small_print[:1], "  ·  ".join(picture.small_print[1:])
    lines = [joined] if len(joined) <= 1.25 * room else [*first, more]
    return [words for words in (*lines, _learned(picture)) if words]


def _below(
    ax: "Axes", picture: Picture, box: Box, big: float, lines: list[str]
) -> None:
    """The main score as number and bar, and in small how it was measured."""
    x, y, w, h = box
    size, number = max(7.0, 0.58 * big), max(9.0, 0.95 * big)
    for i, words in enumerate(reversed(lines)):
        small(ax, picture, (x, y + h - i * size * 1.25 / 72), words, size, w)
    if not picture.main:
        return
    verdict(ax, picture, (x, y + number / 72 - 0.02), w, size + 1, number)
    thick = 0.055 * max(1.0, big / 17)
    last = y + h - max(1, len(lines)) * size * 1.25 / 72
    bar(ax, picture, (x, last - thick, w, thick))


def _beside(ax: "Axes", picture: Picture, box: Box) -> None:
    """Picture on the left, words on the right: the tile of half a square."""
    x, y, w, h = box
    pad = 0.1
    side = min(h - 2 * pad, 0.5 * w)
    points(ax, picture, (x + pad, y + (h - side) / 2, side, side))
    left, wide = x + side + 2 * pad, w - side - 3 * pad
    lines = _print(picture, 0)
    top = y + h - 0.51 - 0.14 * max(0, len(lines) - 2)
    line = y + pad + 0.02
    line += write(ax, (left, line), picture.text["name"], 14, wide, 2, **BOLD)[1] + 0.05
    rows = 2 if top - 0.3 - line > 0.3 else 1
    write(ax, (left, line), picture.text["reference"], 8.5, wide, rows, **QUIET)
    for i, words in enumerate(lines):
        small(ax, picture, (left, top + 0.23 + 0.15 * i), words, 8, wide)
    verdict(ax, picture, (left, top - 0.07), wide, 10, 15)
    bar(ax, picture, (left, top, wide, 0.07))
