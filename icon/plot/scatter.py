"""What do points of the plane, and a loss, look like?"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int, Real

from icon._base import checks as check
from icon._base.extras import required
from icon.plot.colors import TAB10, classes, palette
from icon.plot.ink import printable


if TYPE_CHECKING:
    from matplotlib.axes import Axes


def embedding(
    z: Real[ArrayLike, "n 2"],
    labels: Int[ArrayLike, " n"] | None = None,
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
        labels: an integer for each point; none: all in one color.
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
    points = plane("z", z)
    values, group = classes("labels", labels, len(points))
    texts = named("names", names, values)
    ax = canvas(ax)
    colors = palette(len(values))
    usual = min(30.0, max(2.0, 2e4 / len(points)))
    area = usual if size is None else check.single("size", size)
    ax.scatter(*points.T, s=area, c=np.array(colors)[group], linewidths=0)
    ax.set_aspect("equal", "datalim")
    ax.set(xticks=[], yticks=[])
    ax.set_title(printable(title), parse_math=False)
    if labels is not None and len(values) <= 20:
        _legend(ax, colors, texts)
    return ax


def history(losses: Real[ArrayLike, " steps"], *, ax: "Axes | None" = None) -> "Axes":
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
    check.shape("losses", losses)
    y = np.asarray(losses)
    vector = y.ndim == 1 and y.size
    check.require(vector, "losses", f"shape {y.shape}", "a vector, not empty")
    # V: bfloat16 and its like, which NumPy knows only by size.
    real = y.dtype.kind in "biufV"
    check.require(real, "losses", f"dtype {y.dtype}", "real numbers")
    ax = canvas(ax)
    ax.plot(np.arange(len(y)), y.astype(float), color=TAB10[0], linewidth=1.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25)
    ax.set(xlabel="step", ylabel="loss")
    return ax


def plane(argument: str, z: Any) -> Float[np.ndarray, "n 2"]:
    """Points of the plane."""
    points = check.matrix(argument, z)
    expected = "points [n, 2]; of more columns, draw a t-SNE or a PCA"
    check.require(points.shape[1] == 2, argument, f"shape {points.shape}", expected)
    return points


def named(argument: str, names: Any, values: Iterable[Any]) -> list[str]:
    """The names of classes, or their values where there are none, as text."""
    values = list(values)
    expected = f"one for each of {len(values)} classes"
    listed = names is None or (isinstance(names, Sequence) and names != str(names))
    check.require(listed, argument, repr(names), expected)
    texts = [printable(name) for name in (values if names is None else names)]
    check.require(len(texts) == len(values), argument, len(texts), expected)
    return texts


def canvas(ax: "Axes | None", inches: tuple[float, float] | None = None) -> "Axes":
    """The given axes, or those of a new figure."""
    required("matplotlib", "plot")
    from matplotlib import axes, pyplot

    if ax is not None:
        return check.instance("ax", ax, axes.Axes, "axes of matplotlib")

    return pyplot.subplots(figsize=inches, layout="constrained")[1]


def _legend(ax: "Axes", colors: Sequence[str], names: Sequence[str]) -> None:
    dots = [ax.scatter([], [], c=[color], linewidths=0) for color in colors]
    place = dict[str, Any](loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    legend = ax.legend(dots, ["name"] * len(dots), **place)
    # afterwards, as plain text: matplotlib hides a label _a and sets $a$ in italics
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)
