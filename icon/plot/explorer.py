"""How is an embedding looked through, point by point, in one HTML file?"""

import base64
import html
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Real, UInt16

from icon._base import checks as check
from icon._base.extras import required
from icon._base.files import replace
from icon.plot.colors import MISSING, PLAIN, palette
from icon.plot.ink import printable
from icon.plot.paint import Classes, Plain, Scale, paint
from icon.plot.results import GRID
from icon.plot.scatter import Labels, placed
from icon.plot.thumbnails import sheet
from icon.plot.webpage import beside


_COLORED = 500  # classes of a column: more are shown and searched, but have no colors


def explorer(
    z: Real[ArrayLike, "n 2"] | Real[ArrayLike, "n 3"],
    path: str | os.PathLike,
    columns: Mapping[str, Labels] | None = None,
    *,
    images: Real[ArrayLike, "n h w"] | Real[ArrayLike, "n h w 3"] | None = None,
    title: str = "",
) -> None:
    """An embedding as one HTML file to look through: point, search, choose, save.

        point i at z_i, in the color of columns[name]_i for the name that is chosen

    Pointing at a point shows what its columns say, and its image. Points are chosen
    with the lasso or the box (of the plane), by a click on the name of a class, or by a
    search in all that the columns say; the chosen rows are listed, and saved as a .csv.
    In the plane, the names of classes are written at the medians of their points, the
    largest first, as far as they have room: zooming in makes room for others. Points of
    space are turned by dragging, and come nearer by scrolling. The page is
    complete: it asks for nothing over the network, and opens from a disk. Images are
    made as small as their number needs: 70,000 points with their images take less
    than 10 MB.

    Args:
        z: points of the plane or of space, one row each.
        path: of the file, replaced if there is one.
        columns: what is known of the rows, by name, each one for each row; of a pandas
            DataFrame, `dict(frame)`. Strings, booleans and integers of up to 500 values
            are classes, other numbers are on a scale, NaN for none; strings of more
            values are shown and searched, but give no colors. The first column colors
            the points at first.
        images: a picture of each row, of bytes or of other numbers, the least black and
            the largest white.
        title: above the points.

    Raises:
        InvalidInput: other than two or three columns of finite numbers, columns or
            images of another length, a folder that does not exist.
        ImportError: plotly is missing.

    Example:
        >>> import numpy as np, pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "page.html"
        >>> explorer(np.eye(2), file, {"animal": ["cat", "dog"]}, title="two")
        >>> "<title>two</title>" in file.read_text(encoding="utf-8")
        True

    Source: Shneiderman 1996, "The eyes have it: a task by data type taxonomy".
    """
    required("plotly", "explore")
    points, path = placed("z", z), check.writable("path", path)
    columns = {} if columns is None else columns
    expected = "a dict of columns by name"
    check.instance("columns", columns, Mapping, expected)
    n = len(points)
    known = [_column(name, values, n) for name, values in columns.items()]
    shown = None if images is None else sheet("images", images, n)
    data = dict(points=_packed(_gridded(points)), known=known, sheet=shown)
    data |= dict(
        n=n, axes=points.shape[1], plain=PLAIN, missing=MISSING, title=printable(title)
    )
    replace(path, _page(printable(title) or "points", data))


def _column(name: Any, values: Any, n: int) -> dict[str, Any]:
    """A column as the page reads it: names and who has which, or numbers."""
    argument, name = f"columns[{name!r}]", printable(name)
    match _scaled(argument, values, n):
        case Classes(names, group):
            few = len(names) <= _COLORED
            shown = palette(len(names)) if few else []
            smallest = np.min_scalar_type(max(len(names) - 1, 0))
            codes = _packed(group.astype(smallest))
            return dict(name=name, names=names, colors=shown, codes=codes)
        case Scale(values):
            with np.errstate(over="ignore"):
                short = values.astype(np.float32)
            same = np.array_equal(short, values, equal_nan=True)
            return dict(name=name, values=_packed(short if same else values))
    raise check.InvalidInput(argument, None, f"one for each of {n} points")


def _scaled(argument: str, values: Any, n: int) -> Plain:
    """Classes or a scale; integers of more values than there are colors are a scale."""
    found = paint(argument, values, n)
    many = isinstance(found, Classes) and len(found.names) > _COLORED
    if many and check.words(argument, values) is None:
        return paint(argument, np.asarray(values, float), n)
    return found


def _gridded(points: Float[np.ndarray, "n c"]) -> UInt16[np.ndarray, "n c"]:
    """Points in a square, or a cube, on a grid of 16 bits, half the bytes of floats."""
    low, span = points.min(0), np.ptp(points, axis=0).max()
    unit = (points - low) / max(span, np.finfo(float).tiny)
    return np.rint(GRID * unit).astype(np.uint16)


def _packed(x: np.ndarray) -> dict[str, str]:
    """An array as JavaScript can read it: the name of its type, its bytes in base64."""
    kinds = {"u": "Uint", "f": "Float"}
    little = x.astype(x.dtype.newbyteorder("<"))
    text = base64.b64encode(little.tobytes()).decode("ascii")
    return dict(type=f"{kinds[x.dtype.kind]}{8 * x.itemsize}Array", bytes=text)


def _page(title: str, data: dict[str, Any]) -> bytes:
    """The page as a file has it, with plotly.js in it."""
    from plotly.offline import get_plotlyjs

    # In a script element a < could begin the tag that ends it.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    parts = dict(
        style=beside("explorer.css"),
        plotly=get_plotlyjs(),
        script=beside("explorer.js"),
        title=html.escape(title),
        data=text,
    )
    return beside("explorer.html").format(**parts).encode("utf-8")
