"""How is one method drawn on the poster?"""

from typing import TYPE_CHECKING

import numpy as np

from icon.plot.ink import (
    BOLD,
    CARD,
    CENTER,
    INK,
    ITALIC,
    QUIET,
    RIGHT,
    At,
    Box,
    card,
    write,
)
from icon.plot.results import GRID, Picture, score_text


if TYPE_CHECKING:
    from matplotlib.axes import Axes


SIDE = 3.6  # of a square of the table, in inches


def tile(ax: "Axes", picture: Picture, box: Box) -> None:
    """A method in a box: words above and below its picture, or beside it."""
    card(ax, box, picture.text["status"])
    (_beside if box[2] > 1.4 * box[3] else _stacked)(ax, picture, box)


def _stacked(ax: "Axes", picture: Picture, box: Box) -> None:
    """Name, picture, score: the tile of a whole or a quarter square."""
    x, y, w, h = box
    u = min(w, h) / SIDE
    pad, big = 0.06 + 0.08 * u, max(9.0, 17 * u)
    wide = w - 2 * pad
    head, foot = (0.7, 0.66) if u > 0.7 else (0.28, 0.45)
    write(ax, (x + pad, y + pad), picture.text["name"], big, wide, **BOLD)
    if u > 0.7:
        at = (x + pad, y + pad + 0.32)
        write(ax, at, picture.text["reference"], 10, wide, **QUIET)
    side = min(wide, h - head - foot)
    _points(ax, picture, (x + (w - side) / 2, y + head, side, side))
    _verdict(ax, picture, (x + pad, y + h - foot, wide, foot - pad), big)


def _beside(ax: "Axes", picture: Picture, box: Box) -> None:
    """Picture on the left, words on the right: the tile of half a square."""
    x, y, w, h = box
    pad = 0.1
    side = min(h - 2 * pad, 0.5 * w)
    _points(ax, picture, (x + pad, y + (h - side) / 2, side, side))
    left, wide = x + side + 2 * pad, w - side - 3 * pad
    write(ax, (left, y + pad + 0.02), picture.text["name"], 14, wide, 2, **BOLD)
    at = (left, y + pad + 0.54)
    write(ax, at, picture.text["reference"], 8.5, wide, 2, **QUIET)
    if not picture.main:
        return
    key, value = picture.main
    line = y + h - 0.58
    write(ax, (left, line), key, 10, va="baseline", **QUIET)
    write(ax, (left + wide, line), score_text(value), 15, **RIGHT)
    _bar(ax, picture, (left, y + h - 0.51, wide, 0.07))
    for i, words in enumerate(picture.small_print):
        write(ax, (left, y + h - 0.38 + 0.15 * i), words, 8, wide, **QUIET)


def _verdict(ax: "Axes", picture: Picture, box: Box, big: float) -> None:
    """The main score as number and bar, and in small how it was measured."""
    if not picture.main:
        return
    x, y, w, h = box
    key, value = picture.main
    small, number = max(7.0, 0.58 * big), max(9.0, 0.95 * big)
    line = y + number / 72 - 0.02
    _bar(ax, picture, (x, y + h - 0.07 - small / 72, w, 0.055))
    write(ax, (x, line), key, small + 1, va="baseline", **QUIET)
    write(ax, (x + w, line), score_text(value), number, **RIGHT)
    words = "  ·  ".join(picture.small_print)
    write(ax, (x, y + h), words, small, w, va="baseline", **QUIET)


def _bar(ax: "Axes", picture: Picture, box: Box) -> None:
    """The score as a length from 0 to 1, the raw data's as a tick."""
    from matplotlib.patches import Rectangle

    x, y, w, h = box
    score, raw = picture.bar
    if score is None:
        return
    ax.add_patch(Rectangle((x, y), w, h, color="#0000001c", lw=0))
    color = CARD[picture.text["status"]][1]
    ax.add_patch(Rectangle((x, y), w * score, h, color=color, lw=0))
    if raw is not None:
        tick = [x + w * raw] * 2
        ax.plot(tick, [y - 0.02, y + h + 0.02], color=INK, lw=1.8)


def _points(ax: "Axes", picture: Picture, box: Box) -> None:
    """The points and the rings; without points, the note."""
    x, y, side, _ = box
    if not len(picture.xy):
        middle, note = (x + side / 2, y + side / 2), picture.text["note"]
        write(ax, middle, note or "no points", 12, side, 9, **CENTER | ITALIC)
        return
    unit = picture.xy / GRID
    area = np.clip((side * 72) ** 2 / len(unit) / 3.6, 1.2, 40)
    colors = np.array(picture.palette)[picture.color % len(picture.palette)]
    at = (x + side * unit[:, 0], y + side * (1 - unit[:, 1]))
    ax.scatter(*at, s=area, c=colors, linewidths=0, alpha=0.85)
    for px, py, c in picture.rings:
        middle = (x + side * px / GRID, y + side * (1 - py / GRID))
        _ring(ax, middle, picture.palette[c % len(picture.palette)], 3 + 2.5 * side)


def _ring(ax: "Axes", at: At, color: str, size: float) -> None:
    """A disc in white in ink, so that it shows on points of any color."""
    x, y = [at[0]], [at[1]]
    ax.plot(x, y, "o", ms=size + 2.5, color=INK, mew=0)
    ax.plot(x, y, "o", ms=size, mfc=color, mec="white", mew=0.22 * size)
