"""How is one method drawn where there is room for all that is known of it?"""

import textwrap
from typing import TYPE_CHECKING

from icon.plot.ink import BAD, BOLD, INK, QUIET, At, Box, Style, write
from icon.plot.marks import bar, points, verdict
from icon.plot.results import Picture


if TYPE_CHECKING:
    from matplotlib.axes import Axes


_SIZES = (15.0, 14.0, 13.0, 12.0, 11.0, 10.0, 9.0, 8.0)  # points, the largest that fits
_LINE = 1.4 / 72  # inches of height for each point of size
_LETTER = 0.58 / 72  # inches of width, on average and a little more

Term = tuple[str, list[str]]  # its name, the lines of its text


def sheet(ax: "Axes", picture: Picture, box: Box) -> None:
    """A picture on the left, and a list of all that is known on the right."""
    x, y, w, h = box
    pad = 0.2
    side = min(h - 2 * pad, 0.55 * w)
    points(ax, picture, (x + pad, y + (h - side) / 2, side, side))
    left, wide = x + side + 2.5 * pad, w - side - 3.5 * pad
    top = _head(ax, picture, (left, y + pad), wide, min(26.0, max(15.0, 4.5 * h)))
    _list(ax, picture, (left, top, wide, y + h - pad - top))


def _head(ax: "Axes", picture: Picture, at: At, wide: float, big: float) -> float:
    """The name, the square and the main score; where they end."""
    x, y = at
    small = 0.55 * big
    y += write(ax, at, picture.text["name"], big, wide, 2, **BOLD)[1] + 0.12
    square = "{column} × {row}, {status}".format(**picture.text)
    y += write(ax, (x, y), square, small, wide, **QUIET)[1] + 0.08
    if picture.main:
        y += 0.9 * big * _LINE
        verdict(ax, picture, (x, y), wide, 0.6 * big, 0.9 * big)
        bar(ax, picture, (x, y + 0.1, wide, 0.09))
        y += 0.2
    if picture.below:
        y += 0.1
        y += write(ax, (x, y), picture.small_print[0], small, wide, color=BAD)[1]
    return y + 0.2


def _list(ax: "Axes", picture: Picture, box: Box) -> None:
    """Terms and their texts, in the largest letters that fit; what does not is cut."""
    x, y, w, h = box
    terms, size = _fitted(picture.terms, w, h)
    aside = _aside(picture.terms, w)
    line = size * _LINE
    y += size / 72  # to the baseline
    for name, lines in terms:
        write(ax, (x, y), name, size, aside - 0.12, va="baseline", **QUIET)
        low = picture.below and name == "floor"
        for words in lines:
            color = BAD if low else INK
            style: Style = dict(va="baseline", color=color)
            write(ax, (x + aside, y), words, size, w - aside, **style)
            y += line


def _aside(terms: list[tuple[str, str]], wide: float) -> float:
    """The width of the column of names."""
    longest = max((len(name) for name, _ in terms), default=0)
    return min(0.36 * wide, 0.2 + 13 * _LETTER * longest)


def _fitted(
    terms: list[tuple[str, str]], wide: float, high: float
) -> tuple[list[Term], float]:
    """The terms in lines, and the size of their letters."""
    broken: list[Term] = []
    for size in _SIZES:
        length = int((wide - _aside(terms, wide)) / (_LETTER * size))
        broken = [(name, textwrap.wrap(x, max(8, length)) or [x]) for name, x in terms]
        if sum(len(lines) for _, lines in broken) * size * _LINE <= high:
            return broken, size
    return _cut(broken, int(high / (_SIZES[-1] * _LINE))), _SIZES[-1]


def _cut(terms: list[Term], room: int) -> list[Term]:
    """So many lines of the terms, with an ellipsis where some are missing."""
    kept: list[Term] = []
    for name, lines in terms:
        if room <= 0:
            break
        short = lines[:room] if len(lines) <= room else [*lines[: room - 1], "…"]
        kept.append((name, short))
        room -= len(lines)
    return kept
