"""What does it look like?"""

import base64
import colorsys
import dataclasses
import html
import io
import json
import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float, Int, Real, UInt

from icon._base.checks import require
from icon.evaluate import _integers, _rows


if TYPE_CHECKING:
    from matplotlib.axes import Axes


Host = np.ndarray | jax.Array

COLUMNS = (
    "Gaussian",
    "Student-t",
    "Identity",
    "Graph",
    "kNN",
    "Positive pairs",
    "Cross-modal pairs",
    "Classes",
    "Data-label pairs",
)
ROWS = ("Gaussian", "σ → ∞", "σ → 0", "Student-t", "Clusters")
STATUS = {
    "known": "known: published before the table",
    "predicted": "predicted: a grey square of the paper",
    "new": "new: a white square of the paper, filled",
}

_TITLE = "every method minimises   Eᵢ KL( p(·|i) ‖ q(·|i) )"
_P, _Q, _BEYOND = "p: what supervises →", "q: what learns ↓", "beyond the grid"
_READING = (
    "Each picture is one method, its points colored by class. The bar is its score, "
    "the tick on it that of the raw data. Rings mark clusters, colored by the class "
    "they match."
)
_TEXTS = ("name", "column", "row", "status", "p", "q", "loss", "reference")
_NEEDED = ("name", "column", "row", "status", "z")
_MOST = 3000  # points of one picture: more are ink, not information
_FAR = 65535
_TAB10 = (
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
)
_PLAIN = "#52616f"


# ------------------------------------------------------- one picture


def embedding(
    z: Real[Host, "n 2"],
    labels: Int[Host, " n"] | None = None,
    *,
    names: Sequence[str] | None = None,
    title: str = "",
    size: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Points of the plane, colored by their labels.

        point i at z_i, in the color of labels_i

    Args:
        z: the points, one row each.
        labels: a whole number for each point; none: all in one color.
        names: of the classes, in increasing order of their numbers.
        title: above the picture.
        size: of a point, as an area in points²; smaller for more points by default.
        ax: where to draw; a new figure by default.

    Raises:
        InvalidInput: other than two columns of finite numbers, or labels or names
            of another length.
        ImportError: matplotlib is missing.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> embedding(np.eye(2), np.array([0, 1]), ax=ax).get_aspect()
        1.0

    Source: Cleveland and McGill 1984, "The many faces of a scatterplot".
    """
    points = _plane("z", z)
    classes, group = _classes("labels", labels, len(points))
    require(
        names is None or len(names) == len(classes),
        "names",
        names and len(names),
        f"one for each of {len(classes)} classes",
    )
    ax = _axes(ax)
    colors = _palette(len(classes))
    area = size or min(30.0, max(2.0, 2e4 / len(points)))
    ax.scatter(*points.T, s=area, c=np.array(colors)[group], linewidths=0)
    ax.set_aspect("equal", "datalim")
    ax.set(xticks=[], yticks=[], title=title)
    if labels is not None and len(classes) <= 20:
        _legend(ax, colors, names or [str(c) for c in classes])
    return ax


def history(losses: Real[Host, " steps"], *, ax: "Axes | None" = None) -> "Axes":
    """The loss against the step.

        losses_t at t; a step whose loss is not a number is a gap

    Args:
        losses: one number a step.
        ax: where to draw; a new figure by default.

    Raises:
        InvalidInput: other than a vector of real numbers, not empty.
        ImportError: matplotlib is missing.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> history(np.array([3.0, 2.0, 1.5]), ax=Figure().subplots()).get_xlabel()
        'step'

    Source: none; a line.
    """
    y = np.asarray(losses)
    require(y.ndim == 1 and y.size, "losses", f"shape {y.shape}", "a vector, not empty")
    require(y.dtype.kind in "biufV", "losses", f"dtype {y.dtype}", "real numbers")
    ax = _axes(ax)
    ax.plot(np.arange(len(y)), y.astype(float), color=_TAB10[0], linewidth=1.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25)
    ax.set(xlabel="step", ylabel="loss")
    return ax


def _axes(ax: "Axes | None") -> "Axes":
    _matplotlib()
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(layout="constrained")[1]


def _matplotlib() -> Any:
    """matplotlib, or the name of the extra that brings it."""
    try:
        import matplotlib.style

        return matplotlib
    except ImportError as error:
        extra = "pip install 'icon-jax[plot]'"
        raise ImportError(f"pictures need matplotlib: {extra}") from error


def _legend(ax: "Axes", colors: Sequence[str], names: Sequence[str]) -> None:
    for color, name in zip(colors, names, strict=True):
        ax.scatter([], [], c=[color], label=name, linewidths=0)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _plane(name: str, z: Any) -> Float[np.ndarray, "n 2"]:
    shape = np.shape(z)
    fix = "points [n, 2]; of more columns, draw a t-SNE or a PCA"
    require(len(shape) == 2 and shape[1] == 2, name, f"shape {shape}", fix)
    return _rows(name, z)


def _classes(
    name: str, labels: Any, n: int
) -> tuple[Int[np.ndarray, " c"], Int[np.ndarray, " n"]]:
    """The distinct labels, and which of them each point has; one if there are none."""
    if labels is None:
        return np.zeros(1, int), np.zeros(n, int)
    # No points have no labels: an empty list is not yet of any type.
    y = _integers(name, labels) if n else np.zeros(np.shape(labels), int)
    require(y.shape == (n,), name, f"length {len(y)}", f"one for each of {n} points")
    return np.unique(y, return_inverse=True)


def _palette(count: int) -> list[str]:
    """Colors of so many classes: one is plain, up to ten are tab10."""
    if count <= 10:
        return [_PLAIN] if count == 1 else list(_TAB10[:count])
    # Golden-ratio steps around the wheel keep any number of hues apart.
    hues = [(i * 0.618034 % 1, (0.85, 0.6)[i % 2]) for i in range(count)]
    rgb = [colorsys.hsv_to_rgb(h, 0.75, v) for h, v in hues]
    return ["#" + "".join(f"{round(255 * c):02x}" for c in color) for color in rgb]


# ------------------------------------------------------- what the table shows


@dataclasses.dataclass(frozen=True)
class _Picture:
    """One row of the table, checked, its points on a grid of 16 bits."""

    text: dict[str, str]
    xy: UInt[np.ndarray, "m 2"]
    color: UInt[np.ndarray, " m"]
    palette: list[str]
    rings: list[tuple[int, int, int]]
    scores: dict[str, float]
    n: int
    numbers: dict[str, str]

    @property
    def place(self) -> tuple[str, str]:
        return self.text["column"], self.text["row"]

    @property
    def main(self) -> tuple[str, float] | None:
        return next(iter(self.scores.items()), None)

    @property
    def raw(self) -> tuple[str, float] | None:
        """The main score's own raw counterpart, before any other's."""
        raws = {k: v for k, v in self.scores.items() if k.startswith("raw")}
        own = f"raw {self.main[0]}" if self.main else ""
        first = next(iter(raws), None)
        key = own if own in raws else first
        return None if key is None else (key, raws[key])

    @property
    def below(self) -> list[str]:
        """The small print: how the score was measured, and what the raw data has."""
        raw = self.raw and f"{self.raw[0]} {_score(self.raw[1])}"
        return [line for line in (self.text["protocol"], raw) if line]


def _pictures(results: Sequence[Mapping[str, Any]]) -> list[_Picture]:
    require(len(results), "results", "nothing", "at least one row of the table")
    return [_picture(f"results[{i}]", row) for i, row in enumerate(results)]


def _picture(at: str, row: Mapping[str, Any]) -> _Picture:
    _keys(at, row)
    z = _drawn(f"{at}['z']", row["z"])
    n, clusters = len(z), row.get("clusters")
    _, color = _classes(f"{at}['labels']", row.get("labels"), n)
    if clusters is not None:
        color = _matched(color, _classes(f"{at}['clusters']", clusters, n)[1])
    count = 1 + max(color.max(initial=0), 0)
    kept = np.flatnonzero(np.isfinite(z).all(1))
    kept = kept[:: math.ceil(len(kept) / _MOST) or 1]
    xy, color = _grid(z[kept]), (color[kept] % 256).astype(np.uint8)
    return _Picture(
        text={key: str(row.get(key) or "") for key in (*_TEXTS, "protocol", "note")},
        xy=xy,
        color=color,
        palette=_palette(int(count)),
        rings=[] if clusters is None else _rings(xy, color),
        scores=_scores(row.get("scores") or {}),
        n=n,
        numbers=_numbers(row, n),
    )


def _drawn(name: str, z: Any) -> Float[np.ndarray, "n 2"]:
    """Points of the plane, or none; those that are not finite are left out later."""
    x = np.asarray(z)
    require(x.dtype.kind in "biufVO", name, f"dtype {x.dtype}", "real numbers")
    x = x.astype(float).reshape(0, 2) if not x.size else x.astype(float)
    require(x.ndim == 2 and x.shape[1] == 2, name, f"shape {x.shape}", "points [m, 2]")
    return x


def _scores(said: Mapping[str, Any]) -> dict[str, float]:
    """Numbers by name; null, as JSON has it, is not a number."""
    return {str(k): math.nan if v is None else float(v) for k, v in said.items()}


def _keys(at: str, row: Mapping[str, Any]) -> None:
    known = isinstance(row, Mapping)
    require(known, at, type(row).__name__, f"a dict with {', '.join(_NEEDED)}")
    missing = [key for key in _NEEDED if key not in row]
    got = f"no {', '.join(missing)}"
    require(not missing, at, got, f"a dict with {', '.join(_NEEDED)}")
    status, expected = row["status"], f"one of {', '.join(STATUS)}"
    require(status in STATUS, f"{at}['status']", repr(status), expected)


def _matched(
    label: Int[np.ndarray, " n"], cluster: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Clusters renumbered as the classes they match, so that a color means a class."""
    from scipy.optimize import linear_sum_assignment

    size = 1 + max(label.max(initial=0), cluster.max(initial=0))
    together = np.zeros((size, size))
    np.add.at(together, (cluster, label), 1)
    return linear_sum_assignment(together, maximize=True)[1][cluster]


def _grid(z: Float[np.ndarray, "m 2"]) -> UInt[np.ndarray, "m 2"]:
    """Points in a square box, x to the right and y up; a few far ones on its edge."""
    if not len(z):
        return np.zeros((0, 2), np.uint16)
    low, inner, outer, high = np.percentile(z, [0, 0.5, 99.5, 100], axis=0)
    # One stray point must not shrink all the others to a dot.
    room = 0.75 * (outer - inner).max() or 0.52 * (high - low).max()
    half = max(min(room, 0.52 * (high - low).max()), np.finfo(float).tiny)
    whole = half >= 0.52 * (high - low).max()
    middle = (low + high) / 2 if whole else (inner + outer) / 2
    unit = np.clip((z - middle) / (2 * half) + 0.5, 0, 1)
    return np.rint(unit * _FAR).astype(np.uint16)


def _rings(
    xy: UInt[np.ndarray, "m 2"], color: UInt[np.ndarray, " m"]
) -> list[tuple[int, int, int]]:
    """Where each cluster's middle is, with its color."""
    middles = [(np.median(xy[color == c], axis=0), int(c)) for c in np.unique(color)]
    return [(int(x), int(y), c) for (x, y), c in middles]


def _numbers(row: Mapping[str, Any], n: int) -> dict[str, str]:
    said = {
        "loss value": _number(row.get("loss_value")),
        "seconds": _number(row.get("seconds")),
        "n": str(row.get("n", n)),
        "seed": str(row.get("seed", "")),
    }
    return {key: value for key, value in said.items() if value}


def _number(value: Any) -> str:
    known = value is not None and math.isfinite(value)
    return f"{value:.4g}" if known else ""


def _score(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "none"


def _shares_of_one(picture: _Picture) -> list[float | None]:
    """The main score and the raw data's, where they are from 0 to 1."""
    values = [math.nan if f is None else f[1] for f in (picture.main, picture.raw)]
    return [v if 0 <= v <= 1 else None for v in values]


def _by_place(pictures: Sequence[_Picture]) -> dict[tuple[str, str], list[_Picture]]:
    """The squares that are taken, in the order in which they first occur."""
    squares: dict[tuple[str, str], list[_Picture]] = {}
    for picture in pictures:
        squares.setdefault(picture.place, []).append(picture)
    return squares


def _outside(squares: dict[tuple[str, str], list[_Picture]]) -> list[tuple[str, str]]:
    return [at for at in squares if at[0] not in COLUMNS or at[1] not in ROWS]


def _replace(path: str | os.PathLike, content: bytes) -> None:
    """Written beside, then renamed: a reader sees the old file or the new one."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


# ------------------------------------------------------- the poster

_INK, _SOFT, _PAPER, _RULE = "#1c2733", "#66727f", "#fbfaf6", "#e3e0d8"
_CARD = {  # fill, border
    "known": ("#e6eefa", "#7fa3d6"),
    "predicted": ("#e4e4e2", "#a3a3a0"),
    "new": ("#ffffff", "#e8963c"),
}
# In inches, y downwards.
_SIDE, _GAP, _LEFT, _TOP, _EDGE = 3.6, 0.16, 1.55, 3.3, 0.6
_STEP = _SIDE + _GAP
_DPI = 130
_LEAST = 0.6  # smaller than this share of its size, text is cut instead
_Box = tuple[float, float, float, float]  # left, top, width, height
_Style = dict[str, Any]


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
            outside the plane, labels or clusters of another length.
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
    pictures = _pictures(results)
    # Whatever style the user has set, equal results give equal bytes.
    with _matplotlib().style.context("default"):
        _replace(path, _png(_poster(pictures)))


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _poster(pictures: list[_Picture]) -> Any:
    squares = _by_place(pictures)
    extra = _outside(squares)
    ax = _canvas(math.ceil(len(extra) / len(COLUMNS)))
    _headings(ax, len(pictures))
    for r, row in enumerate(ROWS):
        for c, column in enumerate(COLUMNS):
            at = (_LEFT + c * _STEP, _TOP + r * _STEP)
            _square(ax, squares.get((column, row), []), at)
    if extra:
        _strip(ax, [(at, squares[at]) for at in extra])
    return ax.figure


def _canvas(strips: int) -> "Axes":
    """Axes in inches over the whole figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = _LEFT + len(COLUMNS) * _STEP - _GAP + _EDGE
    below = 0.75 + strips * (_STEP + 0.4) if strips else 0
    height = _TOP + len(ROWS) * _STEP - _GAP + below + _EDGE
    figure = Figure((width, height), dpi=_DPI, facecolor=_PAPER)
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.axis("off")
    return ax


def _headings(ax: "Axes", count: int) -> None:
    right = ax.get_xlim()[1] - _EDGE
    _say(ax, _EDGE, 0.6, _TITLE, 46, weight="bold")
    said = f"{count} methods. {_READING}"
    _say(ax, _EDGE, 1.55, said, 16, color=_SOFT, width=right - _EDGE)
    _say(ax, _LEFT, 2.28, _P, 20, color=_SOFT, style="italic")
    # Turned to read downwards, an arrow to the right points down.
    turned: _Style = dict(
        rotation=270, ha="center", va="top", style="italic", color=_SOFT
    )
    _say(ax, 0.46, _TOP, _Q.replace("↓", "→"), 20, **turned)
    for c, name in enumerate(COLUMNS):
        middle = _LEFT + c * _STEP + _SIDE / 2
        _heading(ax, middle, _TOP - 0.32, name, _SIDE, 0)
    for r, name in enumerate(ROWS):
        _heading(ax, 1.12, _TOP + r * _STEP + _SIDE / 2, name, _SIDE, 90)
    _key(ax, right)


def _heading(ax: "Axes", x: float, y: float, name: str, long: float, turn: int) -> None:
    w, h = (0.46, long) if turn else (long, 0.46)
    _rounded(ax, (x - w / 2, y - h / 2, w, h), color="#26384d", lw=0)
    white: _Style = dict(rotation=turn, color="white", weight="bold", ha="center")
    if turn:
        _say(ax, x, y, name, 18, va="center", **white)
    else:  # on one baseline, whatever reaches below it
        _say(ax, x, y + 0.09, name, 18, va="baseline", **white)


def _key(ax: "Axes", right: float) -> None:
    """The three kinds of card, at the top right."""
    for i, (status, words) in enumerate(reversed(STATUS.items())):
        left = right - 5.1 * (i + 1) + 0.3
        _card(ax, (left, 0.68, 0.5, 0.42), status)
        _say(ax, left + 0.64, 0.89, words, 14, va="center", width=4.1)


def _strip(ax: "Axes", squares: list[tuple[tuple[str, str], list[_Picture]]]) -> None:
    """What has a column or a row that the paper has not, each square under its own."""
    top = _TOP + len(ROWS) * _STEP + 0.3
    ax.plot([_LEFT, ax.get_xlim()[1] - _EDGE], [top, top], color=_RULE, lw=2)
    turned: _Style = dict(rotation=90, ha="center", style="italic", color=_SOFT)
    _say(ax, 1.12, top + 0.75, _BEYOND, 20, **turned)
    for i, ((column, row), inside) in enumerate(squares):
        down, across = divmod(i, len(COLUMNS))
        x, y = _LEFT + across * _STEP, top + 0.6 + down * (_STEP + 0.4)
        said = f"{column} × {row}"
        middle: _Style = dict(ha="center", va="center", weight="bold", color=_INK)
        _say(ax, x + _SIDE / 2, y - 0.22, said, 15, width=_SIDE, **middle)
        _square(ax, inside, (x, y))


def _square(ax: "Axes", inside: list[_Picture], at: tuple[float, float]) -> None:
    if not inside:
        _rounded(ax, (*at, _SIDE, _SIDE), fill=False, edgecolor=_RULE, lw=1.6)
    for picture, box in zip(inside, _shares(at, len(inside)), strict=True):
        _tile(ax, picture, box)


def _shares(at: tuple[float, float], count: int) -> list[_Box]:
    """A square cut into so many tiles: lines of them, the wider ones on top."""
    lines = max(1, round(math.sqrt(count) + 0.25)) if count else 0
    boxes: list[_Box] = []
    for line in range(lines):
        across = count // lines + (line >= lines - count % lines)
        w, h = (_SIDE + 0.08) / across, (_SIDE + 0.08) / lines
        y = at[1] + line * h
        boxes += [(at[0] + i * w, y, w - 0.08, h - 0.08) for i in range(across)]
    return boxes


def _rounded(ax: "Axes", box: _Box, **style: Any) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y, w, h = box
    boxstyle = "round,pad=0,rounding_size=0.1"
    ax.add_patch(FancyBboxPatch((x, y), w, h, boxstyle=boxstyle, **style))


def _card(ax: "Axes", box: _Box, status: str) -> None:
    fill, edge = _CARD[status]
    _rounded(ax, box, facecolor=fill, edgecolor=edge, lw=2.2)


def _tile(ax: "Axes", picture: _Picture, box: _Box) -> None:
    _card(ax, box, picture.text["status"])
    (_beside if box[2] > 1.4 * box[3] else _stacked)(ax, picture, box)


def _stacked(ax: "Axes", picture: _Picture, box: _Box) -> None:
    """Name, picture, score: the tile of a whole or a quarter square."""
    x, y, w, h = box
    u = min(w, h) / _SIDE
    pad, big = 0.06 + 0.08 * u, max(9.0, 17 * u)
    wide = w - 2 * pad
    head, foot = (0.7, 0.66) if u > 0.7 else (0.28, 0.45)
    _say(ax, x + pad, y + pad, picture.text["name"], big, width=wide, weight="bold")
    if u > 0.7:
        source: _Style = dict(color=_SOFT, width=wide)
        _say(ax, x + pad, y + pad + 0.32, picture.text["reference"], 10, **source)
    side = min(wide, h - head - foot)
    _points(ax, picture, (x + (w - side) / 2, y + head, side, side))
    _verdict(ax, picture, (x + pad, y + h - foot, wide, foot - pad), big)


def _beside(ax: "Axes", picture: _Picture, box: _Box) -> None:
    """Picture on the left, words on the right: the tile of half a square."""
    x, y, w, h = box
    pad = 0.1
    side = min(h - 2 * pad, 0.5 * w)
    _points(ax, picture, (x + pad, y + (h - side) / 2, side, side))
    left, wide = x + side + 2 * pad, w - side - 3 * pad
    name: _Style = dict(width=wide, lines=2, weight="bold")
    _say(ax, left, y + pad + 0.02, picture.text["name"], 14, **name)
    source: _Style = dict(color=_SOFT, width=wide, lines=2)
    _say(ax, left, y + pad + 0.54, picture.text["reference"], 8.5, **source)
    if not picture.main:
        return
    key, value = picture.main
    _say(ax, left, y + h - 0.58, key, 10, va="baseline", color=_SOFT)
    right: _Style = dict(ha="right", va="baseline", weight="bold")
    _say(ax, left + wide, y + h - 0.58, _score(value), 15, **right)
    _bar(ax, picture, (left, y + h - 0.51, wide, 0.07))
    for i, line in enumerate(picture.below):
        _say(ax, left, y + h - 0.38 + 0.15 * i, line, 8, color=_SOFT, width=wide)


def _verdict(ax: "Axes", picture: _Picture, box: _Box, big: float) -> None:
    """The main score as number and bar, and in small how it was measured."""
    if not picture.main:
        return
    x, y, w, h = box
    key, value = picture.main
    small, number = max(7.0, 0.58 * big), max(9.0, 0.95 * big)
    line = y + number / 72
    _bar(ax, picture, (x, y + h - 0.07 - small / 72, w, 0.055))
    _say(ax, x, line - 0.02, key, small + 1, va="baseline", color=_SOFT)
    right: _Style = dict(ha="right", va="baseline", weight="bold")
    _say(ax, x + w, line - 0.02, _score(value), number, **right)
    said = "  ·  ".join(picture.below)
    _say(ax, x, y + h, said, small, va="baseline", color=_SOFT, width=w)


def _bar(ax: "Axes", picture: _Picture, box: _Box) -> None:
    """The score as a length from 0 to 1, the raw data's as a tick."""
    from matplotlib.patches import Rectangle

    x, y, w, h = box
    score, raw = _shares_of_one(picture)
    if score is None:
        return
    ax.add_patch(Rectangle((x, y), w, h, color="#0000001c", lw=0))
    color = _CARD[picture.text["status"]][1]
    ax.add_patch(Rectangle((x, y), w * score, h, color=color, lw=0))
    if raw is not None:
        tick = [x + w * raw] * 2
        ax.plot(tick, [y - 0.02, y + h + 0.02], color=_INK, lw=1.8)


def _points(ax: "Axes", picture: _Picture, box: _Box) -> None:
    x, y, side, _ = box
    if not len(picture.xy):
        _nothing(ax, picture, box)
        return
    unit = picture.xy / _FAR
    area = np.clip((side * 72) ** 2 / len(unit) / 3.6, 1.2, 40)
    colors = np.array(picture.palette)[picture.color % len(picture.palette)]
    at = (x + side * unit[:, 0], y + side * (1 - unit[:, 1]))
    ax.scatter(*at, s=area, c=colors, linewidths=0, alpha=0.85)
    for px, py, c in picture.rings:
        middle = (x + side * px / _FAR, y + side * (1 - py / _FAR))
        _ring(ax, middle, picture.palette[c % len(picture.palette)], 3 + 2.5 * side)


def _ring(ax: "Axes", at: tuple[float, float], color: str, size: float) -> None:
    """A disc in white in ink, so that it shows on points of any color."""
    x, y = [at[0]], [at[1]]
    white: _Style = dict(
        markerfacecolor=color, markeredgecolor="white", mew=0.22 * size
    )
    ax.plot(x, y, "o", ms=size + 2.5, color=_INK, mew=0)
    ax.plot(x, y, "o", ms=size, **white)


def _nothing(ax: "Axes", picture: _Picture, box: _Box) -> None:
    """No points: the note says why."""
    x, y, side, _ = box
    middle: _Style = dict(ha="center", va="center", color=_SOFT, style="italic")
    note = picture.text["note"] or "no points"
    _say(ax, x + side / 2, y + side / 2, note, 12, width=side, lines=9, **middle)


def _say(
    ax: "Axes",
    x: float,
    y: float,
    said: str,
    size: float,
    width: float = math.inf,
    lines: int = 1,
    **style: Any,
) -> None:
    """Text at a point that fits a width: broken into lines, shrunk, or cut."""
    style = dict[str, Any](color=_INK, va="top", parse_math=False) | style
    text = ax.text(x, y, said, fontsize=size, linespacing=1.15, **style)
    wide = _width(text)
    if wide > width and lines > 1:
        text.set_text(_broken(said, int(len(said) * width / wide), lines))
        wide = _width(text)
    if wide > width / _LEAST:
        text.set_text(_broken(said, int(len(said) * width / wide / _LEAST), lines))
        wide = _width(text)
    if wide > width:
        text.set_fontsize(size * width / wide)


def _width(text: Any) -> float:
    """In inches."""
    figure = text.figure
    renderer = figure.canvas.get_renderer()
    return text.get_window_extent(renderer).width / figure.dpi


def _broken(said: str, across: int, lines: int) -> str:
    """At most so many lines, the last one cut with an ellipsis."""
    return "\n".join(
        textwrap.wrap(said, max(across, 8), max_lines=lines, placeholder="…")
    )


# ------------------------------------------------------- the page


def page(results: Sequence[Mapping[str, Any]], path: str | os.PathLike) -> None:
    """The periodic table as one HTML file that needs nothing else.

        square (column, row): every method with p from the column and q from the row

    Pointing at a picture, or reaching it with Tab or the arrow keys, opens a card
    with its formula, its numbers and its scores; Enter keeps it open, Escape closes
    it. No network and no library: it opens from a disk. Points are drawn by a few
    lines of script from 16-bit coordinates, at most 3000 of them a picture. Written
    as `table` writes, from the same results.

    Args:
        results: as for `table`.
        path: of the file, replaced if there is one.

    Raises:
        InvalidInput: as `table`.

    Example:
        >>> import numpy as np, pathlib, tempfile
        >>> place = dict(column="Gaussian", row="Student-t", status="known")
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "table.html"
        >>> page([dict(name="t-SNE", z=np.eye(2), **place)], file)
        >>> "t-SNE" in file.read_text(encoding="utf-8")
        True

    Source: Alshammari et al. 2025, "I-Con: a unifying framework for representation
    learning", Figure 1.
    """
    pictures = _pictures(results)
    squares = _by_place(pictures)
    number = {id(picture): i for i, picture in enumerate(pictures)}
    draw = lambda at: _inside([(x, number[id(x)]) for x in squares.get(at, [])])
    points = json.dumps([_compact(x) for x in pictures], separators=(",", ":"))
    parts = dict(
        style=_STYLE,
        script=_SCRIPT,
        title=html.escape(_TITLE),
        reading=html.escape(f"{len(pictures)} methods. {_READING}"),
        key="".join(_kind(status) for status in STATUS),
        axes=html.escape(f"{_P}  {_Q}"),
        table=_grid_html(draw),
        beyond=_beyond_html(draw, _outside(squares)),
        points=points,
    )
    _replace(path, _PAGE.format(**parts).encode("utf-8"))


def _kind(status: str) -> str:
    return f'<li><i class="{status}"></i>{html.escape(STATUS[status])}</li>'


def _grid_html(draw: Any) -> str:
    heads = [f"<b role=columnheader>{html.escape(name)}</b>" for name in COLUMNS]
    lines = [f"<div role=row><i role=columnheader></i>{''.join(heads)}</div>"]
    for row in ROWS:
        cells = [_cell(draw((column, row))) for column in COLUMNS]
        head = f"<b role=rowheader><span>{html.escape(row)}</span></b>"
        lines.append(f"<div role=row>{head}{''.join(cells)}</div>")
    return "\n".join(lines)


def _cell(inside: str) -> str:
    if not inside:
        return '<div role=cell class="empty" aria-label="empty"></div>'
    return f'<div role=cell class="square">{inside}</div>'


def _beyond_html(draw: Any, extra: list[tuple[str, str]]) -> str:
    if not extra:
        return ""
    squares = [
        f"<section><h3>{html.escape(column)} × {html.escape(row)}</h3>"
        f'<div class="square">{draw((column, row))}</div></section>'
        for column, row in extra
    ]
    return f'<h2>{_BEYOND}</h2><div class="beyond">{"".join(squares)}</div>'


def _inside(pictures: list[tuple[_Picture, int]]) -> str:
    """One method has the whole square, two a half each, more a quarter each."""
    count = len(pictures)
    shapes = ["whole"] if count == 1 else ["half"] * (2 if count == 2 else count % 2)
    shapes += ["quarter"] * (count - len(shapes))
    tiles = [_figure(*at, shape) for at, shape in zip(pictures, shapes, strict=True)]
    return "".join(tiles)


def _figure(picture: _Picture, i: int, shape: str) -> str:
    """A small picture, and the card that it opens."""
    name, status = html.escape(picture.text["name"]), picture.text["status"]
    key, value = picture.main or ("", None)
    main = "" if value is None else f"{html.escape(key)} <b>{_score(value)}</b>"
    small = "".join(f"<span>{html.escape(line)}</span>" for line in picture.below)
    none = html.escape(picture.text["note"] or "no points")
    drawn = "<canvas></canvas>" if len(picture.xy) else f"<em>{none}</em>"
    return (
        f'<div class="tile {shape} {status}">'
        f'<button type="button" data-i="{i}" aria-describedby="more-{i}">'
        f"<strong>{name}</strong>{drawn}"
        f'<span class="score">{main}{_bar_html(picture)}</span>'
        f"<small>{small}</small></button>"
        f'<div class="more" id="more-{i}" hidden>{_more(picture)}</div></div>'
    )


def _bar_html(picture: _Picture) -> str:
    score, raw = _shares_of_one(picture)
    if score is None:
        return ""
    tick = "" if raw is None else f'<i style="left:{100 * raw:.1f}%"></i>'
    return f'<u><s style="width:{100 * score:.1f}%"></s>{tick}</u>'


def _more(picture: _Picture) -> str:
    text = picture.text
    place = f"{text['column']} × {text['row']}, {text['status']}"
    listed = {key: text[key] for key in ("p", "q", "loss", "reference")}
    scores = {key: _score(value) for key, value in picture.scores.items()}
    listed |= scores | {"protocol": text["protocol"]} | picture.numbers
    listed["note"] = text["note"]
    lines = [_term(key, value) for key, value in listed.items() if value]
    head = f"<h4>{html.escape(text['name'])}</h4><p>{html.escape(place)}</p>"
    return f"{head}<dl>{''.join(lines)}</dl>"


def _term(key: str, value: str) -> str:
    code = key in ("p", "q", "loss")
    said = html.escape(value)
    said = f"<code>{said}</code>" if code else said
    return f"<dt>{html.escape(key)}</dt><dd>{said}</dd>"


def _compact(picture: _Picture) -> dict[str, Any]:
    """Points as base64 of 16-bit pairs, classes as base64 of bytes."""
    text = lambda x: base64.b64encode(x.tobytes()).decode("ascii")
    return dict(
        xy=text(picture.xy.astype("<u2")),
        c=text(picture.color),
        colors=picture.palette,
        rings=picture.rings,
    )


_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf6; --ink: #1c2733; --soft: #5b6773;
  --rule: #dcd9d0; --head: #26384d; --known: #e6eefa; --known-edge: #7fa3d6;
  --predicted: #e4e4e2; --predicted-edge: #a3a3a0; --new: #fff; --new-edge: #e8963c; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e8ebee;
  --soft: #9aa5b0; --rule: #2c343d; --head: #2d4059; --known: #1b2838;
  --known-edge: #4a6d9c; --predicted: #2b2c2e; --predicted-edge: #68696b;
  --new: #191512; --new-edge: #c57c2c; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 14px/1.3 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; min-width: 1680px; }
h1 { margin: 0 0 .3rem; font-size: 1.9rem; }
header p, header ul { margin: .2rem 0; color: var(--soft); }
header ul { display: flex; gap: 1.6rem; padding: 0; list-style: none; }
header i { display: inline-block; width: 1.1em; height: .9em; margin-right: .45em;
  border-radius: 3px; vertical-align: -.1em; }
.known { --edge: var(--known-edge); background: var(--known); }
.predicted { --edge: var(--predicted-edge); background: var(--predicted); }
.known, .predicted, .new { border: 1.5px solid var(--edge); }
.new { --edge: var(--new-edge); background: var(--new); }
.axes { margin: 1rem 0 .4rem 2.7rem; color: var(--soft); font-style: italic;
  white-space: pre-wrap; word-spacing: .05em; }
.grid, .beyond { display: grid; gap: 8px;
  grid-template-columns: 2.2rem repeat(9, minmax(0, 1fr)); }
[role=row] { display: contents; }
b[role] { background: var(--head); color: #fff; border-radius: 6px; padding: .35rem;
  display: grid; place-items: center; }
b[role=rowheader] span { writing-mode: vertical-rl; transform: rotate(180deg); }
.empty { border: 1.5px solid var(--rule); border-radius: 8px; }
.square { display: grid; gap: 5px; grid-template-columns: 1fr 1fr;
  grid-auto-rows: 1fr; min-height: 258px; }
.tile { border-radius: 8px; grid-column: span 2; min-width: 0; }
.quarter { grid-column: span 1; font-size: 11px; }
button { display: grid; grid-template: auto 1fr auto auto / minmax(0, 1fr); gap: 3px;
  width: 100%; height: 100%; padding: 8px; border: 0; border-radius: 7px;
  background: none; color: inherit; font: inherit; text-align: left; cursor: pointer; }
button strong { line-height: 1.15; overflow-wrap: break-word; hyphens: auto; }
button canvas { aspect-ratio: 1; width: 100%; max-width: 160px; place-self: center; }
button em { color: var(--soft); font-size: 12px; place-self: center;
  text-align: center; }
.half button { grid-template: auto 1fr auto / 46% minmax(0, 1fr); column-gap: 8px; }
.half strong { grid-column: span 2; font-size: 13px; }
.half canvas, .half em { grid-area: 2 / 1 / span 2; }
.half .score { align-self: end; }
.half small, .quarter small { font-size: 10px; white-space: normal; }
.quarter canvas { max-width: 66px; }
button b { float: right; }
button u { display: block; clear: both; position: relative; height: 4px; top: 1px;
  background: #8883; }
u s { display: block; height: 4px; background: var(--edge); }
u i { position: absolute; top: -2px; width: 2px; height: 8px; background: var(--ink); }
small { display: flex; flex-wrap: wrap; gap: 0 .9em; color: var(--soft);
  font-size: 11px; white-space: nowrap; }
button:hover, button:focus-visible { outline: 3px solid var(--known-edge); }
h2 { margin: 1.2rem 0 .4rem; font-size: 1.2rem; font-style: italic; font-weight: 500;
  color: var(--soft); border-top: 2px solid var(--rule); padding-top: .8rem; }
h3 { margin: 0 0 .2rem; font-size: 12.5px; line-height: 1.1; text-align: center;
  align-self: end; }
.beyond section { display: grid; grid-template-rows: 2.4em 1fr; }
.beyond section:nth-child(9n + 1) { grid-column-start: 2; }
#card { position: fixed; z-index: 2; width: 340px; max-height: 96vh; overflow: auto;
  padding: 14px; border-radius: 10px; background: var(--paper); color: var(--ink);
  border: 1.5px solid var(--soft); box-shadow: 0 8px 30px #0006; }
#card[hidden] { display: none; }
#card canvas { width: 310px; height: 310px; }
#card h4 { margin: 0; font-size: 1.15rem; }
#card p { margin: 0 0 .5rem; color: var(--soft); }
dl { display: grid; grid-template-columns: auto 1fr; gap: 2px 12px; margin: .5rem 0 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
"""

_SCRIPT = """
const data = JSON.parse(document.getElementById("points").textContent);
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const card = document.getElementById("card");
const tiles = [...document.querySelectorAll("button[data-i]")];
let kept = null;

function draw(canvas, i) {
  const d = data[i], side = Math.round(canvas.clientWidth * devicePixelRatio);
  const at = new Uint16Array(bytes(d.xy).buffer), kind = bytes(d.c);
  const dot = Math.max(1.4, Math.min(9, side / 2.2 / Math.sqrt(kind.length)));
  const pen = canvas.getContext("2d");
  canvas.width = canvas.height = side;
  pen.globalAlpha = .85;
  for (let k = 0; k < kind.length; k++) {
    pen.fillStyle = d.colors[kind[k] % d.colors.length];
    const x = at[2 * k] / 65535 * (side - dot);
    const y = (1 - at[2 * k + 1] / 65535) * (side - dot);
    pen.fillRect(x, y, dot, dot);
  }
  pen.globalAlpha = 1;
  for (const [x, y, c] of d.rings) {
    pen.beginPath();
    pen.arc(x / 65535 * side, (1 - y / 65535) * side, side / 34, 0, 7);
    pen.fillStyle = d.colors[c % d.colors.length]; pen.fill();
    pen.lineWidth = side / 50; pen.strokeStyle = "#1c2733"; pen.stroke();
    pen.lineWidth = side / 80; pen.strokeStyle = "#fff"; pen.stroke();
  }
}

function show(tile) {
  const i = +tile.dataset.i, box = tile.getBoundingClientRect();
  const more = document.getElementById("more-" + i).cloneNode(true);
  card.replaceChildren(...more.childNodes);
  card.hidden = false;
  if (tile.querySelector("canvas")) {
    const canvas = document.createElement("canvas");
    card.querySelector("dl").before(canvas);
    draw(canvas, i);
  }
  const fits = box.right + card.offsetWidth + 12 < innerWidth;
  const left = fits ? box.right + 8 : box.left - card.offsetWidth - 8;
  const top = Math.min(box.top, innerHeight - card.offsetHeight - 8);
  card.style.left = Math.max(8, left) + "px";
  card.style.top = Math.max(8, top) + "px";
}

function hide() { card.hidden = true; kept = null; }

const middle = box => [box.left + box.width / 2, box.top + box.height / 2];
const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1],
  ArrowDown: [0, 1] };

function step(tile, [dx, dy]) {
  const [x, y] = middle(tile.getBoundingClientRect());
  let best = null, least = Infinity;
  for (const other of tiles) {
    const [u, v] = middle(other.getBoundingClientRect());
    const along = (u - x) * dx + (v - y) * dy;
    const aside = Math.abs((u - x) * dy) + Math.abs((v - y) * dx);
    const far = along + 3 * aside;
    if (along > 20 && far < least) [best, least] = [other, far];
  }
  if (best) best.focus();
}

for (const tile of tiles) {
  const canvas = tile.querySelector("canvas");
  if (canvas) draw(canvas, +tile.dataset.i);
  tile.addEventListener("pointerenter", () => kept || show(tile));
  tile.addEventListener("pointerleave", () => kept || hide());
  tile.addEventListener("focus", () => { kept = null; show(tile); });
  tile.addEventListener("blur", () => kept || hide());
  tile.addEventListener("click", () => {
    if (kept === tile) hide(); else { show(tile); kept = tile; }
  });
  tile.addEventListener("keydown", event => {
    if (!(event.key in ways)) return;
    event.preventDefault();
    step(tile, ways[event.key]);
  });
}
addEventListener("keydown", event => { if (event.key === "Escape") hide(); });
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1><p>{reading}</p><ul>{key}</ul></header>
<main>
<p class="axes">{axes}</p>
<div role="table" class="grid">
{table}
</div>
{beyond}
</main>
<aside id="card" aria-live="polite" hidden></aside>
<script type="application/json" id="points">{points}</script>
<script>{script}</script>
</body>
</html>
"""
