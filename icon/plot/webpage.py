"""How is the table shown as one HTML file?"""

import base64
import html
import json
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

from icon._base import checks as check
from icon._base.files import replace
from icon.plot.grid import Grid, Square, grid
from icon.plot.results import BEYOND, STATUS, TITLE, P, Picture, Q, pictures, reading


Draw = Callable[[Square], str]  # the tiles of a square, as HTML


def page(results: Sequence[Mapping[str, Any]], path: str | os.PathLike) -> None:
    """The periodic table as one HTML file that needs nothing else.

        square (column, row): every method with p from the column and q from the row

    Pointing at a picture, or reaching it with Tab or the arrow keys, opens a card
    with its formula, its numbers and its scores; Enter keeps it open, Escape closes
    it. Of at most 12 pictures only the columns and rows in use are shown, and larger;
    one alone has its card beside it. No network and no library: it opens from a
    disk. Points are drawn by a few lines of script from 16-bit coordinates, at most
    3000 of them a picture. Written as `table` writes, from the same results.

    Args:
        results: as for `table`: also `errors`, `seeds`, `learned`, `floor` (one that
            is not held is outlined in red, its `why` in the card), `trained` (in the
            card) and `failed`.
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
    shown, path = pictures(results), check.writable("path", path)
    replace(path, content(shown))


def content(shown: list[Picture]) -> bytes:
    """The page as a file has it."""
    cells = grid(shown)
    index = {id(picture): i for i, picture in enumerate(shown)}
    draw = lambda at: _tiles([(x, index[id(x)]) for x in cells.squares.get(at, [])])
    points = json.dumps([_compact(x) for x in shown], separators=(",", ":"))
    parts = dict(
        style=beside("webpage.css"),
        script=beside("webpage.js"),
        title=html.escape(TITLE),
        size="alone" if len(shown) == 1 else "few" if cells.few else "all",
        columns=len(cells.columns),
        reading=html.escape(reading(shown)),
        key="".join(map(_key, STATUS)),
        axes=html.escape(f"{P}  {Q}"),
        table=_grid(draw, cells),
        beyond=_beyond(draw, cells.beyond),
        points=points,
    )
    return beside("webpage.html").format(**parts).encode("utf-8")


def beside(name: str) -> str:
    """A file that lies beside this one."""
    return resources.files("icon.plot").joinpath(name).read_text(encoding="utf-8")


def _compact(picture: Picture) -> dict[str, Any]:
    """Points as base64 of 16-bit pairs, classes as base64 of bytes."""
    text = lambda x: base64.b64encode(x.tobytes()).decode("ascii")
    return dict(
        xy=text(picture.xy.astype("<u2")),
        c=text(picture.color),
        colors=picture.palette,
        rings=picture.rings,
    )


# ------------------------------------------------------- squares


def _key(status: str) -> str:
    return f'<li><i class="{status}"></i>{html.escape(STATUS[status])}</li>'


def _grid(draw: Draw, cells: Grid) -> str:
    heads = [f"<b role=columnheader>{html.escape(x)}</b>" for x in cells.columns]
    lines = [f"<div role=row><i role=columnheader></i>{''.join(heads)}</div>"]
    for row in cells.rows:
        line = [_cell(draw((column, row))) for column in cells.columns]
        head = f"<b role=rowheader><span>{html.escape(row)}</span></b>"
        lines.append(f"<div role=row>{head}{''.join(line)}</div>")
    return "\n".join(lines)


def _cell(tiles: str) -> str:
    if not tiles:
        return '<div role=cell class="empty" aria-label="empty"></div>'
    return f'<div role=cell class="square">{tiles}</div>'


def _beyond(draw: Draw, extra: list[Square]) -> str:
    if not extra:
        return ""
    squares = [
        f"<section><h3>{html.escape(column)} × {html.escape(row)}</h3>"
        f'<div class="square">{draw((column, row))}</div></section>'
        for column, row in extra
    ]
    return f'<h2>{BEYOND}</h2><div class="beyond">{"".join(squares)}</div>'


# ------------------------------------------------------- one method


def _tiles(inside: list[tuple[Picture, int]]) -> str:
    """One method has the whole square, two a half each, more a quarter each."""
    count = len(inside)
    shapes = ["whole"] if count == 1 else ["half"] * (2 if count == 2 else count % 2)
    shapes += ["quarter"] * (count - len(shapes))
    return "".join(_tile(*at, shape) for at, shape in zip(inside, shapes, strict=True))


def _tile(picture: Picture, i: int, shape: str) -> str:
    """A small picture, and the card that it opens."""
    name, status = html.escape(picture.text["name"]), picture.text["status"]
    key = html.escape(picture.main[0]) if picture.main else ""
    main = f"{key} <b>{picture.main_text}</b>" if picture.main else ""
    lines = picture.small_print + [picture.learned_text] * (not picture.below)
    small = "".join(f"<span>{html.escape(line)}</span>" for line in lines if line)
    marks = " below" * picture.below + " failed" * picture.failed
    return (
        f'<div class="tile {shape} {status}{marks}">'
        f'<button type="button" data-i="{i}" aria-describedby="more-{i}">'
        f"<strong>{name}</strong>{_middle(picture)}"
        f'<span class="score">{main}{_bar(picture)}</span>'
        f"<small>{small}</small></button>"
        f'<div class="more" id="more-{i}" hidden>{_card(picture)}</div></div>'
    )


def _middle(picture: Picture) -> str:
    """Where the points are drawn; without points, or of a run that raised, the note."""
    if len(picture.xy) and not picture.failed:
        return "<canvas></canvas>"
    why = picture.text["note"] or ("failed" if picture.failed else "no points")
    return f"<em>{html.escape(why)}</em>"


def _bar(picture: Picture) -> str:
    """The score as a length from 0 to 1, with its error, the raw data's, the floor."""
    score, raw = picture.bar
    if score is None:
        return ""
    tick = "" if raw is None else f'<i style="left:{100 * raw:.1f}%"></i>'
    if picture.least is not None:
        tick += f'<i class="floor" style="left:{100 * picture.least:.1f}%"></i>'
    if picture.whisker:
        low, high = picture.whisker
        place = f"left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"
        tick += f'<i class="whisker" style="{place}"></i>'
    return f'<u><s style="width:{100 * score:.1f}%"></s>{tick}</u>'


def _card(picture: Picture) -> str:
    """The texts and numbers of a method, as a list of terms."""
    text = picture.text
    square = f"{text['column']} × {text['row']}, {text['status']}"
    lines = [_term(key, value, picture.below) for key, value in picture.terms]
    head = f"<h4>{html.escape(text['name'])}</h4><p>{html.escape(square)}</p>"
    return f"{head}<dl>{''.join(lines)}</dl>"


def _term(key: str, value: str, below: bool) -> str:
    code = key in ("p", "q", "loss")
    text = f"<code>{html.escape(value)}</code>" if code else html.escape(value)
    mark = ' class="low"' if below and key == "floor" else ""
    return f"<dt>{html.escape(key)}</dt><dd{mark}>{text}</dd>"
