"""How is the table drawn as one PNG?"""

import dataclasses
import io
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from icon._base import checks as check
from icon._base.extras import required
from icon._base.files import replace
from icon.plot.grid import Grid, Square, grid
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
from icon.plot.results import BEYOND, STATUS, TITLE, P, Picture, Q, pictures, reading
from icon.plot.tile import SIDE, tile


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# In inches, y downwards.
_GAP, _LEFT, _EDGE = 0.16, 1.55, 0.6
_WIDE, _HIGH = 18.0, 20.0  # of a figure with few pictures, where they fit
_LARGE = 7.0  # a square of one picture is no higher
_DPI = 130


def table(results: Sequence[Mapping[str, Any]], path: str | os.PathLike) -> None:
    """The periodic table as one PNG: a small picture for every method.

        square (column, row): every method with p from the column and q from the row

    Squares hold one, two or more pictures; those that no method fills are outlined;
    methods of other columns or rows stand below, beyond the grid. Of at most 12
    pictures only the columns and rows in use are drawn, and larger, those beyond the
    grid after its own. The file is written beside its place and renamed; equal
    results give equal bytes. A picture shows at most 3000 points, evenly spaced by
    index.

    Args:
        results: a dict for each method, in order, with `name`, `column`, `row`,
            `status` ("known", "predicted" or "new") and `z` [m, 2]; where there are
            any also `labels` and `clusters` (integers [m]; a picture with clusters is
            colored by them), `scores` (name to number, the main one first, those of
            the raw data as "raw ..."), `protocol`, `p`, `q`, `loss`, `reference`,
            `loss_value`, `seconds`, `n`, `seed` and `note`; `errors` (name of a score
            to its standard error) and `seeds` (how many there were); `learned` (name
            to the final value of a learned number); `floor` (a dict of `score`,
            `value`, `held` and `why`: the least that a score is to be, and whether it
            is); `trained` (one line: what, with which augmentation, head and
            optimiser); `failed` (True: it raised, and `note` says what). Other keys
            are ignored.
        path: of the file, replaced if there is one.

    Raises:
        InvalidInput: no results, a key that is missing, an unknown status, points
            outside the plane, labels or clusters of another length, an error of no
            score or below 0, a floor that lacks a key, a path where no file can be
            put.
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
    table = grid(shown)
    frame = _few(table) if table.few else _whole(table)
    figure, ax = _canvas(frame)
    (_few_headings if table.few else _whole_headings)(ax, frame, reading(shown))
    _names(ax, table, frame)
    for r, row in enumerate(table.rows):
        for c, column in enumerate(table.columns):
            inside = table.squares.get((column, row), [])
            _square(ax, inside, frame.square(c, r))
    if table.beyond:
        _strip(ax, frame, [(at, table.squares[at]) for at in table.beyond])
    return figure


# ------------------------------------------------------- sizes


@dataclasses.dataclass(frozen=True)
class Frame:
    """Where the squares of a table stand, in inches."""

    columns: int
    rows: int
    wide: float  # of a square
    high: float
    top: float
    below: float = 0  # the height of what is beyond the grid

    @property
    def size(self) -> tuple[float, float]:
        """Of the whole figure."""
        width = _LEFT + self.columns * (self.wide + _GAP) - _GAP + _EDGE
        height = self.bottom - _GAP + self.below + _EDGE
        return width, height

    @property
    def right(self) -> float:
        """Where the squares end."""
        return self.size[0] - _EDGE

    @property
    def bottom(self) -> float:
        """Where one more row would start."""
        return self.top + self.rows * (self.high + _GAP)

    def square(self, column: int, row: int) -> Box:
        x = _LEFT + column * (self.wide + _GAP)
        return x, self.top + row * (self.high + _GAP), self.wide, self.high


def _whole(table: Grid) -> Frame:
    """Of all columns and rows, and lines of squares below them."""
    columns, rows = len(table.columns), len(table.rows)
    strips = math.ceil(len(table.beyond) / columns)
    below = 0.75 + strips * (SIDE + _GAP + 0.4) if strips else 0
    return Frame(columns, rows, SIDE, SIDE, 3.3, below)


def _few(table: Grid) -> Frame:
    """Of the columns and rows in use: squares as large as a screen can show."""
    columns, rows, top = len(table.columns), len(table.rows), 3.15
    # A square of one picture can be small, one that is shared cannot.
    least = 2.2 if table.most == 1 else SIDE
    wide = max(least, (_WIDE - _LEFT - _EDGE) / columns - _GAP)
    wide = min(wide, 13.0)
    lines = len({y for _, y, *_ in boxes((0, 0, wide, wide), table.most)})
    high = min(_LARGE * lines, (_HIGH - top - _EDGE) / rows - _GAP)
    return Frame(columns, rows, wide, min(wide, max(least, high)), top)


def _canvas(frame: Frame) -> "tuple[Figure, Axes]":
    """Axes in inches over the whole figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = frame.size
    figure = Figure((width, height), dpi=_DPI, facecolor="#fbfaf6")
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.axis("off")
    return figure, ax


# ------------------------------------------------------- headings


def _whole_headings(ax: "Axes", frame: Frame, how: str) -> None:
    write(ax, (_EDGE, 0.6), TITLE, 46, **BOLD)
    write(ax, (_EDGE, 1.55), how, 16, frame.right - _EDGE, **QUIET)
    _key(ax, (frame.right - 15, 0.68), 5.1, 14)
    _sides(ax, frame, 20)


def _few_headings(ax: "Axes", frame: Frame, how: str) -> None:
    """The same, one below the other: a narrow figure has no room at the right."""
    wide = frame.right - _EDGE
    write(ax, (_EDGE, 0.4), TITLE, 28, wide, **BOLD)
    write(ax, (_EDGE, 0.98), how, 12, wide, 3, **QUIET)
    _key(ax, (_EDGE, 1.68), min(5.1, wide / 3), 12)
    _sides(ax, frame, 15)


def _sides(ax: "Axes", frame: Frame, size: float) -> None:
    """What the columns are, and the rows."""
    write(ax, (_LEFT, frame.top - 0.62), P, size, va="bottom", **ITALIC)
    # Turned to read downwards, an arrow to the right points down.
    down, at = Q.replace("↓", "→"), (0.46, frame.top)
    turned: Style = dict(rotation=270, ha="center", va="top") | ITALIC
    write(ax, at, down, size, frame.bottom - _GAP - frame.top, **turned)


def _names(ax: "Axes", table: Grid, frame: Frame) -> None:
    """The name of every column and row."""
    for c, name in enumerate(table.columns):
        x, y, w, _ = frame.square(c, 0)
        _heading(ax, (x, y - 0.55, w, 0.46), name, 0)
    for r, name in enumerate(table.rows):
        x, y, _, h = frame.square(0, r)
        _heading(ax, (0.89, y, 0.46, h), name, 90)


def _heading(ax: "Axes", box: Box, name: str, rotation: int) -> None:
    """The name of a row, turned, or of a column, on the baseline of all columns."""
    x, y, w, h = box
    rounded(ax, box, color="#26384d", lw=0)
    middle, room = y + h / 2, max(w, h) - 0.16
    line, va = (middle, "center") if rotation else (middle + 0.09, "baseline")
    white: Style = dict(color="white", weight="bold", ha="center", va=va)
    write(ax, (x + w / 2, line), name, 18, room, rotation=rotation, **white)


def _key(ax: "Axes", at: At, step: float, size: float) -> None:
    """What the color of a card means."""
    for i, (status, words) in enumerate(STATUS.items()):
        left, y = at[0] + i * step, at[1]
        card(ax, (left, y, 0.5, 0.42), status)
        write(ax, (left + 0.64, y + 0.21), words, size, step - 1, va="center")


# ------------------------------------------------------- squares


def _strip(
    ax: "Axes", frame: Frame, squares: list[tuple[Square, list[Picture]]]
) -> None:
    """What has a column or a row that the paper has not, each square under its own."""
    top = frame.bottom + 0.3
    ax.plot([_LEFT, frame.right], [top, top], color=RULE, lw=2)
    turned: Style = dict(rotation=90, ha="center", style="italic", color=SOFT)
    write(ax, (1.12, top + 0.75), BEYOND, 20, **turned)
    for i, ((column, row), inside) in enumerate(squares):
        down, across = divmod(i, frame.columns)
        x = frame.square(across, 0)[0]
        y = top + 0.6 + down * (SIDE + _GAP + 0.4)
        middle, words = (x + SIDE / 2, y - 0.22), f"{column} × {row}"
        write(ax, middle, words, 15, SIDE, **CENTER | BOLD)
        _square(ax, inside, (x, y, SIDE, SIDE))


def _square(ax: "Axes", inside: list[Picture], box: Box) -> None:
    if not inside:
        rounded(ax, box, fill=False, edgecolor=RULE, lw=1.6)
    for picture, part in zip(inside, boxes(box, len(inside)), strict=True):
        tile(ax, picture, part)


def boxes(box: Box, count: int) -> list[Box]:
    """A square cut into so many tiles: lines of them, the wider ones on top."""
    x, y, wide, high = box
    longer = wide / high if wide > 1.4 * high else 1.0
    lines = max(1, round(math.sqrt(count / longer) + 0.25)) if count else 0
    found: list[Box] = []
    for line in range(lines):
        across = count // lines + (line >= lines - count % lines)
        w, h = (wide + 0.08) / across, (high + 0.08) / lines
        top = y + line * h
        found += [(x + i * w, top, w - 0.08, h - 0.08) for i in range(across)]
    return found
