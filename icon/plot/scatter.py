"""What do points of a plane or a space look like?"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int, Real

from icon._base import checks as check
from icon._base.extras import required
from icon.plot.ink import Style, printable
from icon.plot.paint import BESIDE, OUTSIDE, Plain, paint


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Labels = Real[ArrayLike, " n"] | Sequence[str]

_WIDE = 4  # pictures side by side


def embedding(
    z: Real[ArrayLike, "n 2"] | Real[ArrayLike, "n 3"],
    labels: Labels | None = None,
    *,
    names: Sequence[str] | None = None,
    title: str = "",
    size: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Points of the plane, or of space, colored by their labels.

        point i at z_i, in the color of labels_i

    Strings, integers and booleans are classes, in increasing order: up to 20 have a
    legend, more their names at the medians of their points. In the plane no name covers
    that of a larger class: it stands a little beside, or is left out. Other numbers are
    on a scale, beside a color bar; NaN is gray. The points are drawn in a shuffled
    order, the same each time, so that no class covers the others.

    Args:
        z: the points, one row each; of three columns a picture of space.
        labels: one for each point; none: all in one color.
        names: of the classes, in increasing order of their labels.
        title: above the picture.
        size: of a point, as an area in points²; smaller for more points by default.
        ax: where to draw; a new figure by default.

    Raises:
        InvalidInput: other than two or three columns of finite numbers, labels or names
            of another length, axes of the plane for points of space.
        ImportError: matplotlib is missing.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> embedding(np.eye(2), ["cat", "dog"], ax=ax).get_aspect()
        1.0

    Source: Cleveland and McGill 1984, "The many faces of a scatterplot".
    """
    points = placed("z", z)
    colors = paint("labels", labels, len(points), names)
    ax = canvas(ax, space=points.shape[1] == 3)
    scattered(ax, points, colors, size)
    ax.set_title(printable(title), parse_math=False)
    colors.key(ax, [ax], BESIDE)
    return ax


def compare(
    embeddings: Mapping[str, Real[ArrayLike, "n 2"]],
    labels: Labels | None = None,
    *,
    names: Sequence[str] | None = None,
    size: float | None = None,
) -> "Figure":
    """Several embeddings of the same rows side by side, in one set of colors.

        picture m has point i at z^m_i, in the color of labels_i

    Args:
        embeddings: the points of each, by the title of its picture.
        labels: as for `embedding`, one for each row.
        names: as for `embedding`.
        size: as for `embedding`.

    Raises:
        InvalidInput: no embedding, one that `embedding` refuses, or other numbers of
            rows or of columns than the first has.
        ImportError: matplotlib is missing.

    Example:
        >>> import numpy as np
        >>> figure = compare({"one": np.eye(2), "two": 1 - np.eye(2)}, ["a", "b"])
        >>> [ax.get_title() for ax in figure.axes]
        ['one', 'two']

    Source: Tufte 1990, "Envisioning information", small multiples.
    """
    required("matplotlib", "plot")
    from matplotlib.figure import Figure

    shown = _alike(embeddings)
    n, columns = next(iter(shown.values())).shape
    colors = paint("labels", labels, n, names)
    wide = min(_WIDE, len(shown))
    high = -(-len(shown) // wide)
    figure = Figure((4 * wide, 4.2 * high), layout="constrained")
    projection = projected(columns == 3)
    for at, (title, points) in enumerate(shown.items(), 1):
        ax = figure.add_subplot(high, wide, at, **projection)
        scattered(ax, points, colors, size)
        ax.set_title(printable(title), parse_math=False)
    colors.key(figure, figure.axes, OUTSIDE)
    return figure


def _alike(embeddings: Any) -> dict[str, Float[np.ndarray, "n c"]]:
    """The points of every embedding, as many and as wide in each."""
    expected = "a dict of embeddings by name"
    check.instance("embeddings", embeddings, Mapping, expected)
    check.require(embeddings, "embeddings", "nothing", expected)
    shown = {k: placed(f"embeddings[{k!r}]", z) for k, z in embeddings.items()}
    first = next(iter(shown.values())).shape
    for name, points in shown.items():
        got, expected = f"shape {points.shape}", f"{first}, as the first has"
        check.require(points.shape == first, f"embeddings[{name!r}]", got, expected)
    return shown


# ------------------------------------------------------- points on axes


def scattered(
    ax: "Axes", points: Float[np.ndarray, "n c"], colors: Plain, size: float | None
) -> Any:
    """The points on axes without ticks, with the names of many classes among them."""
    n = len(points)
    order = shuffled(n)
    area = min(30.0, max(1.2, 2e4 / n)) if size is None else check.single("size", size)
    # Where points lie over each other, dense places are to be darker than thin ones.
    alpha = float(np.clip((5e3 / n) ** 0.4, 0.5, 1))
    style = dict(s=area, alpha=alpha, linewidths=0) | colors.style(order)
    dots = ax.scatter(*points[order].T, **style)
    ax.set_aspect("equal", "datalim")
    ax.set(**{f"{axis}ticks": [] for axis in "xyz"[: points.shape[1]]})
    colors.write(ax, points)
    return dots


def shuffled(n: int) -> Int[np.ndarray, " n"]:
    """An order of n points that has nothing to do with their classes."""
    return np.random.default_rng(0).permutation(n)


def placed(argument: str, z: Any) -> Float[np.ndarray, "n c"]:
    """Points of the plane or of space."""
    points = check.matrix(argument, z)
    expected = "points [n, 2] or [n, 3]; of more columns, draw a t-SNE or a PCA"
    few = points.shape[1] in (2, 3)
    check.require(few, argument, f"shape {points.shape}", expected)
    return points


def plane(argument: str, z: Any) -> Float[np.ndarray, "n 2"]:
    """Points of the plane."""
    points = check.matrix(argument, z)
    expected = "points [n, 2]; of more columns, draw a t-SNE or a PCA"
    check.require(points.shape[1] == 2, argument, f"shape {points.shape}", expected)
    return points


def projected(space: bool) -> Style:
    """Arguments of new axes of the plane, or of space."""
    return dict(projection="3d") if space else {}


def canvas(
    ax: "Axes | None", inches: tuple[float, float] | None = None, space: bool = False
) -> "Axes":
    """The given axes, or those of a new figure."""
    required("matplotlib", "plot")
    from matplotlib import axes, pyplot
    from mpl_toolkits.mplot3d import Axes3D

    if ax is not None:
        kinds = {False: (axes.Axes, ""), True: (Axes3D, ", with projection='3d'")}
        kind, how = kinds[space]
        return check.instance("ax", ax, kind, f"axes of matplotlib{how}")

    style: Style = dict(figsize=inches, layout="constrained")
    return pyplot.subplots(subplot_kw=projected(space), **style)[1]
