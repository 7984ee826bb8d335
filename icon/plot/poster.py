"""How is the table drawn as one PNG?"""

import io
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from icon._base import checks as check
from icon._base.extras import required
from icon._base.files import replace
from icon.plot.ink import (
    BOLD,
    CENTER,
    ITALIC,
    QUIET,
    RULE,
    SOFT,
    At,
    Box,
    Style,
    card,
    rounded,
    write,
)
from icon.plot.results import (
    BEYOND,
    COLUMNS,
    READING,
    ROWS,
    STATUS,
    TITLE,
    P,
    Picture,
    Q,
    Square,
    beyond_grid,
    by_square,
    pictures,
)
from icon.plot.tile import SIDE, tile


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# In inches, y downwards.
_GAP, _LEFT, _TOP, _EDGE = 0.16, 1.55, 3.3, 0.6
_STEP = SIDE + _GAP
_DPI = 130


def table(results: Sequence[Mapping[str, Any]], path: str | os.PathLike) -> None:
    """The periodic table as one PNG: a small picture for every method.

        square (column, row): every method with p from the column and q from the row

    Squares hold one, two or more pictures; those that no method fills are outlined;
    methods of other columns or rows stand below, beyond the grid. The file is
    written beside its place and renamed; equal results give equal bytes. A picture
    shows at most 3000 points, evenly spaced by index.

    Args:
        results: a dict for each method, in order, with `name`, `column`, `row`,
            `status` ("known", "predicted" or "new") and `z` [m, 2]; where there are
            any also `labels` and `clusters` (integers [m]; a picture with clusters is
            colored by them), `scores` (name to number, the main one first, those of
            the raw data as "raw ..."), `protocol`, `p`, `q`, `loss`, `reference`,
            `loss_value`, `seconds`, `n`, `seed` and `note`. Other keys are ignored.
        path: of the file, replaced if there is one.

    Raises:
        InvalidInput: no results, a key that is missing, an unknown status, points
            outside the plane, labels or clusters of another length, a path where no
            file can be put.
        ImportError: matplotlib is missing.

    Example:
        >>> import numpy as np, pathlib, tempfile
        >>> place = dict(column="Gaussian", row="Student-t", status="known")
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "table.png"
        >>> table([dict(name="t-SNE", z=np.eye(2), **place)], file)
        >>> file.read_bytes()[1:4]
        b'PNG'

    Source: Alshammari et al. 2025, "I-Con: a unifying framework for representation
    learning", Figure 1.
    """
    shown, path = pictures(results), check.writable("path", path)
    replace(path, content(shown))


def content(shown: list[Picture]) -> bytes:
    """The picture as a file has it."""
    required("matplotlib", "plot")
    from matplotlib import style

    file = io.BytesIO()
    # Whatever style the user has set, equal results give equal bytes.
    with style.context("default"):
        options: Style = dict(format="png", dpi=_DPI, metadata={"Software": None})
        poster(shown).savefig(file, **options)
    return file.getvalue()


def poster(shown: list[Picture]) -> "Figure":
    """The figure: headings, the grid of squares, and what is beyond it."""
    squares = by_square(shown)
    extra = beyond_grid(squares)
    figure, ax = _canvas(math.ceil(len(extra) / len(COLUMNS)))
    _headings(ax, len(shown))
    for r, row in enumerate(ROWS):
        for c, column in enumerate(COLUMNS):
            at = (_LEFT + c * _STEP, _TOP + r * _STEP)
            _square(ax, squares.get((column, row), []), at)
    if extra:
        _strip(ax, [(square, squares[square]) for square in extra])
    return figure


def _canvas(strips: int) -> "tuple[Figure, Axes]":
    """Axes in inches over the whole figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = _LEFT + len(COLUMNS) * _STEP - _GAP + _EDGE
    below = 0.75 + strips * (_STEP + 0.4) if strips else 0
    height = _TOP + len(ROWS) * _STEP - _GAP + below + _EDGE
    figure = Figure((width, height), dpi=_DPI, facecolor="#fbfaf6")
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.axis("off")
    return figure, ax


# ------------------------------------------------------- headings


def _headings(ax: "Axes", count: int) -> None:
    right = ax.get_xlim()[1] - _EDGE
    write(ax, (_EDGE, 0.6), TITLE, 46, **BOLD)
    reading = f"{count} methods. {READING}"
    write(ax, (_EDGE, 1.55), reading, 16, right - _EDGE, **QUIET)
    write(ax, (_LEFT, 2.28), P, 20, **ITALIC)
    # Turned to read downwards, an arrow to the right points down.
    down = Q.replace("↓", "→")
    write(ax, (0.46, _TOP), down, 20, rotation=270, ha="center", va="top", **ITALIC)
    for c, name in enumerate(COLUMNS):
        _heading(ax, (_LEFT + c * _STEP + SIDE / 2, _TOP - 0.32), name, 0)
    for r, name in enumerate(ROWS):
        _heading(ax, (1.12, _TOP + r * _STEP + SIDE / 2), name, 90)
    _key(ax, right)


def _heading(ax: "Axes", at: At, name: str, rotation: int) -> None:
    """The name of a row, turned, or of a column, on the baseline of all columns."""
    x, y = at
    w, h = (0.46, SIDE) if rotation else (SIDE, 0.46)
    rounded(ax, (x - w / 2, y - h / 2, w, h), color="#26384d", lw=0)
    line, va = (y, "center") if rotation else (y + 0.09, "baseline")
    white: Style = dict(color="white", weight="bold", ha="center", va=va)
    write(ax, (x, line), name, 18, rotation=rotation, **white)


def _key(ax: "Axes", right: float) -> None:
    """What the color of a card means, at the top right."""
    for i, (status, words) in enumerate(reversed(STATUS.items())):
        left = right - 5.1 * (i + 1) + 0.3
        card(ax, (left, 0.68, 0.5, 0.42), status)
        write(ax, (left + 0.64, 0.89), words, 14, 4.1, va="center")


# ------------------------------------------------------- squares


def _strip(ax: "Axes", squares: list[tuple[Square, list[Picture]]]) -> None:
    """What has a column or a row that the paper has not, each square under its own."""
    top = _TOP + len(ROWS) * _STEP + 0.3
    ax.plot([_LEFT, ax.get_xlim()[1] - _EDGE], [top, top], color=RULE, lw=2)
    turned: Style = dict(rotation=90, ha="center", style="italic", color=SOFT)
    write(ax, (1.12, top + 0.75), BEYOND, 20, **turned)
    for i, ((column, row), inside) in enumerate(squares):
        down, across = divmod(i, len(COLUMNS))
        x, y = _LEFT + across * _STEP, top + 0.6 + down * (_STEP + 0.4)
        middle, words = (x + SIDE / 2, y - 0.22), f"{column} × {row}"
        write(ax, middle, words, 15, SIDE, **CENTER | BOLD)
        _square(ax, inside, (x, y))


def _square(ax: "Axes", inside: list[Picture], at: At) -> None:
    if not inside:
        rounded(ax, (*at, SIDE, SIDE), fill=False, edgecolor=RULE, lw=1.6)
    for picture, box in zip(inside, boxes(at, len(inside)), strict=True):
        tile(ax, picture, box)


def boxes(at: At, count: int) -> list[Box]:
    """A square cut into so many tiles: lines of them, the wider ones on top."""
    lines = max(1, round(math.sqrt(count) + 0.25)) if count else 0
    found: list[Box] = []
    for line in range(lines):
        across = count // lines + (line >= lines - count % lines)
        w, h = (SIDE + 0.08) / across, (SIDE + 0.08) / lines
        y = at[1] + line * h
        found += [(at[0] + i * w, y, w - 0.08, h - 0.08) for i in range(across)]
    return found
