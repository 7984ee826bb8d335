"""How are the points and the score of one method drawn?"""

from typing import TYPE_CHECKING

import numpy as np

from icon.plot.ink import (
    BAD,
    CARD,
    CENTER,
    FAILED,
    INK,
    ITALIC,
    QUIET,
    RIGHT,
    SOFT,
    At,
    Box,
    write,
)
from icon.plot.results import GRID, Picture


if TYPE_CHECKING:
    from matplotlib.axes import Axes


def verdict(
    ax: "Axes", picture: Picture, at: At, wide: float, key: float, number: float
) -> None:
    """The main score on a baseline: its name at the left, the number at the right."""
    if not picture.main:
        return
    x, y = at
    taken, _ = write(ax, (x + wide, y), picture.main_text, number, 0.7 * wide, **RIGHT)
    left = wide - taken - 0.06
    write(ax, at, picture.main[0], key, left, va="baseline", **QUIET)


def small(
    ax: "Axes", picture: Picture, at: At, words: str, size: float, wide: float
) -> None:
    """A line of small print on a baseline, in red where a score is too low."""
    color = BAD if picture.below else SOFT
    write(ax, at, words, size, wide, va="baseline", color=color)


def bar(ax: "Axes", picture: Picture, box: Box) -> None:
    """The score as a length from 0 to 1, with its error, the raw data's, the floor."""
    from matplotlib.patches import Rectangle

    x, y, w, h = box
    score, raw = picture.bar
    if score is None:
        return
    ax.add_patch(Rectangle((x, y), w, h, color="#0000001c", lw=0))
    color = CARD[picture.text["status"]][1]
    ax.add_patch(Rectangle((x, y), w * score, h, color=color, lw=0))
    if raw is not None:
        _tick(ax, x + w * raw, (y - 0.02, y + h + 0.02), INK, 1.8)
    if picture.least is not None:
        short = (y, y + h)
        _tick(ax, x + w * picture.least, short, BAD if picture.below else INK, 1.1)
    if picture.whisker:
        low, high = (x + w * end for end in picture.whisker)
        ax.plot([low, high], [y + h / 2] * 2, color=INK, lw=0.9)
        for end in (low, high):
            _tick(ax, end, (y + 0.2 * h, y + 0.8 * h), INK, 0.9)


def _tick(
    ax: "Axes", x: float, ends: tuple[float, float], color: str, lw: float
) -> None:
    ax.plot([x, x], ends, color=color, lw=lw, solid_capstyle="butt")


def points(ax: "Axes", picture: Picture, box: Box) -> None:
    """The points and the rings; without points, or of a run that raised, the note."""
    x, y, side, _ = box
    if picture.failed or not len(picture.xy):
        style = CENTER | ITALIC | (dict(color=FAILED) if picture.failed else {})
        words = picture.text["note"] or ("failed" if picture.failed else "no points")
        middle = (x + side / 2, y + side / 2)
        size = max(12, 4 * side)
        write(ax, middle, words, size, 0.96 * side, 9, **style)
        return
    unit = picture.xy / GRID
    most = 40 * max(1.0, side / 3) ** 2
    area = np.clip((side * 72) ** 2 / len(unit) / 3.6, 1.2, most)
    colors = np.array(picture.palette)[picture.color % len(picture.palette)]
    at = (x + side * unit[:, 0], y + side * (1 - unit[:, 1]))
    ax.scatter(*at, s=area, c=colors, linewidths=0, alpha=0.85)
    for px, py, c in picture.rings:
        middle = (x + side * px / GRID, y + side * (1 - py / GRID))
        color = picture.palette[c % len(picture.palette)]
        _ring(ax, middle, color, 3 + 2.5 * min(side, 4))


def _ring(ax: "Axes", at: At, color: str, size: float) -> None:
    """A disc in white in ink, so that it shows on points of any color."""
    x, y = [at[0]], [at[1]]
    ax.plot(x, y, "o", ms=size + 2.5, color=INK, mew=0)
    ax.plot(x, y, "o", ms=size, mfc=color, mec="white", mew=0.22 * size)
