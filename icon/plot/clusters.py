"""What do clusters, and how far to trust them, look like?"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int, Real

from icon._base import checks as check
from icon._base.extras import required
from icon.plot.colors import TAB10
from icon.plot.colors import classes as distinct
from icon.plot.ink import CENTER, INK, SOFT, Style, cut
from icon.plot.paint import named
from icon.plot.scatter import canvas, plane
from icon.plot.scatter import embedding as scatter


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


_LEGIBLE = 4.5  # points: a smaller text is left out instead
_LONG = 32  # characters: a longer name is cut, or it would take the room of the picture

Draw = Callable[["Axes"], Any]
Shares = Float[np.ndarray, " b"]
Bins = tuple[Shares, Shares, Int[np.ndarray, " b"]]  # confidence, accuracy, count


def cluster_sizes(
    sizes: Int[ArrayLike, " clusters"], *, ax: "Axes | None" = None
) -> "Axes":
    """How many points each cluster has, the largest first.

        n_c in falling order; a line at the mean

    Up to 20 clusters have their numbers below their bars.

    Args:
        sizes: how many points cluster 0, 1, ... has.
        ax: where to draw; a new figure by default.

    Raises:
        InvalidInput: other than a vector of integers from 0, not empty.
        ImportError: matplotlib is missing.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> ax = cluster_sizes(np.array([3, 9]), ax=Figure().subplots())
        >>> [int(bar.get_height()) for bar in ax.patches]
        [9, 3]

    Source: none; bars.
    """
    counts = _whole("sizes", sizes, 1)
    return _bars(canvas(ax), counts)


def confusion(
    matrix: Int[ArrayLike, "classes clusters"],
    *,
    classes: Sequence[str] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Which classes the points of a cluster are of.

        color of (y, c): counts_yc / sum_c counts_yc, on a scale of square roots

    The counts themselves are written into up to 20 rows and columns.

    Args:
        matrix: counts, as `icon.evaluate.confusion` gives them.
        classes: names of the classes, in the order of the rows; numbers by default.
        ax: where to draw; a new figure, larger for more classes, by default.

    Raises:
        InvalidInput: other than a matrix of integers from 0, not empty, or classes of
            another length.
        ImportError: matplotlib is missing.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> ax = confusion(np.array([[8, 1], [0, 9]]), ax=Figure().subplots())
        >>> [text.get_text() for text in ax.texts]
        ['8', '1', '9']

    Source: none; a contingency table.
    """
    counts = _whole("matrix", matrix, 2)
    names = named("classes", classes, range(len(counts)))
    side = _side(len(counts))
    return _heat(canvas(ax, (1.2 * side, side)), counts, names)


def reliability(found: Bins, *, ax: "Axes | None" = None) -> "Axes":
    """How often points of about one confidence are right, and how often they should be.

        accuracy_b at confidence_b, the area by count_b; the diagonal is calibrated

    Args:
        found: confidence, accuracy and count of each bin, as
            `icon.evaluate.reliability` gives them.
        ax: where to draw; a new figure by default.

    Raises:
        InvalidInput: other than three equally long vectors, the first two from 0 to 1,
            the last one of integers from 0.
        ImportError: matplotlib is missing.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> found = np.array([0.55, 0.95]), np.array([0.5, 0.9]), np.array([20, 80])
        >>> reliability(found, ax=Figure().subplots()).collections[0].get_sizes()
        array([ 75., 300.])

    Source: Niculescu-Mizil and Caruana 2005, "Predicting good probabilities with
    supervised learning".
    """
    bins = _binned("found", found)
    return _calibration(canvas(ax, (5, 5)), bins)


def choice(
    counts: Int[ArrayLike, " m"],
    loss: Real[ArrayLike, " m"],
    stability: Real[ArrayLike, " m"],
    chosen: int,
    *,
    ax: "Axes | None" = None,
) -> "Axes":
    """What loss and stability say of how many clusters there are.

        loss_k and stability_k at k, on axes of their own; a line at the chosen k

    Args:
        counts: numbers of clusters that were tried, each once, in any order.
        loss: of each.
        stability: of each.
        chosen: one of the counts.
        ax: where to draw; a new figure by default. The stability's axes are its twin.

    Raises:
        InvalidInput: other than three equally long vectors of finite numbers, counts
            that are not integers from 1 or repeat, a choice that is none of them.
        ImportError: matplotlib is missing.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> choice([2, 3, 4], [3, 2, 1.9], [0.8, 0.9, 0.5], 3, ax=ax).get_title()
        '3 clusters chosen'

    Source: Ben-Hur et al. 2002, "A stability based method for discovering structure
    in clustered data".
    """
    tried = check.integers("counts", counts)
    once = tried.min() >= 1 and len(np.unique(tried)) == len(tried)
    check.require(once, "counts", tried.tolist(), "integers from 1, each once")
    curves = {"loss": loss, "stability": stability}
    values = {name: _real(name, x, len(tried)) for name, x in curves.items()}
    chosen = check.count("chosen", chosen, 1)
    check.require(chosen in tried, "chosen", chosen, "one of the counts")
    order, ax = np.argsort(tried), canvas(ax)
    for on, color, name in zip((ax, ax.twinx()), TAB10, values, strict=False):
        _curve(on, tried[order], values[name][order], color, name)
    ax.axvline(chosen, color=SOFT, linewidth=1, linestyle="--", zorder=0)
    ax.locator_params("x", integer=True)
    ax.set(xlabel="number of clusters", title=f"{chosen} clusters chosen")
    return ax


def report(
    embedding: Real[ArrayLike, "n 2"] | None,
    clusters: Int[ArrayLike, " n"] | None,
    sizes: Int[ArrayLike, " clusters"],
    *,
    confusion: Int[ArrayLike, "classes clusters"] | None = None,
    reliability: Bins | None = None,
    classes: Sequence[str] | None = None,
) -> "Figure":
    """A clustering in one figure: what is given of it, side by side.

        the embedding by cluster | the confusion | the sizes over the reliability

    Args:
        embedding: points of the plane, one row each; fewer than the sizes add up to
            are a sample, as the title then says; none: no such picture.
        clusters: an integer for each point of the embedding; none: all in one color.
        sizes: as for `cluster_sizes`.
        confusion: as the matrix of `confusion`; none: no such picture.
        reliability: as for `reliability`; none: no such picture.
        classes: names of the rows of the confusion.

    Raises:
        InvalidInput: as `embedding`, `cluster_sizes`, `confusion`, `reliability`.
        ImportError: matplotlib is missing.

    Example:
        >>> import numpy as np
        >>> len(report(np.eye(2), np.array([0, 1]), np.array([1, 1])).axes)
        2

    Source: none; the pictures side by side.
    """
    required("matplotlib", "plot")
    counts = _whole("sizes", sizes, 1)
    draw: dict[str, Draw] = dict(sizes=lambda ax: _bars(ax, counts))
    side = 5.0
    if embedding is not None:
        draw["embedding"] = _scattered(embedding, clusters, int(counts.sum()))
    if confusion is not None:
        table = _whole("confusion", confusion, 2)
        names, side = named("classes", classes, range(len(table))), _side(len(table))
        draw["confusion"] = lambda ax: _heat(ax, table, names)
    if reliability is not None:
        bins = _binned("reliability", reliability)
        draw["reliability"] = lambda ax: _calibration(ax, bins)
    return _figure(draw, side)


# ------------------------------------------------------- what is given


def _whole(argument: str, x: Any, rank: int) -> Int[np.ndarray, "..."]:
    """Counts in an array of this rank."""
    x = check.reals(argument, x)
    expected = f"an array of rank {rank}, not empty"
    check.require(x.ndim == rank and x.size, argument, f"shape {x.shape}", expected)
    check.require(x.dtype.kind in "iu", argument, f"dtype {x.dtype}", "integers")
    check.require(x.min() >= 0, argument, x.min(), "counts from 0")
    return x.astype(np.int64)


def _real(argument: str, x: Any, n: int) -> Float[np.ndarray, " n"]:
    """A finite number for each of n places."""
    x = check.reals(argument, x, np.float64)
    expected = f"a vector, one for each of {n}"
    check.require(x.shape == (n,), argument, f"shape {x.shape}", expected)
    return x


def _binned(argument: str, found: Any) -> Bins:
    """Confidence, accuracy and count of bins."""
    three = isinstance(found, Sequence) and len(found) == 3
    expected = "confidence, accuracy and count of each bin"
    check.require(three, argument, f"a {type(found).__name__}", expected)
    count = _whole(argument, found[2], 1)
    confidence, accuracy = (_real(argument, x, len(count)) for x in found[:2])
    for share in (confidence, accuracy):
        inside = 0 <= share.min() and share.max() <= 1
        got = f"{share.min():g} to {share.max():g}"
        check.require(inside, argument, got, "confidences and accuracies from 0 to 1")
    check.require(count.any(), argument, "no points", "a bin with a point")
    return confidence, accuracy, count


# ------------------------------------------------------- one picture


def _bars(ax: "Axes", sizes: Int[np.ndarray, " c"]) -> "Axes":
    order = np.argsort(-sizes, stable=True)
    ax.bar(range(len(sizes)), sizes[order], width=0.8, color=TAB10[0])
    ax.axhline(sizes.mean(), color=SOFT, linewidth=1, linestyle="--")
    ax.spines[["top", "right"]].set_visible(False)
    few = len(sizes) <= 20
    ax.set_xticks(range(len(sizes)) if few else [], order.tolist() if few else [])
    ax.margins(x=0.01)
    among = "cluster" if few else f"{len(sizes)} clusters"
    ax.set(xlabel=f"{among}, largest first", ylabel="points")
    return ax


def _heat(ax: "Axes", counts: Int[np.ndarray, "r c"], names: list[str]) -> "Axes":
    from matplotlib.colors import PowerNorm

    share = counts / np.maximum(1, counts.sum(1, keepdims=True))
    # A class that is spread over many clusters still shows in all of them.
    scale = PowerNorm(0.5, 0, 1)
    image = ax.imshow(share, cmap="Blues", norm=scale, aspect="auto")
    ticks = [0, 0.05, 0.2, 0.5, 1]
    bar = ax.figure.colorbar(image, ax=ax, ticks=ticks, aspect=40, pad=0.02)
    bar.set_label("share of the class")
    if max(counts.shape) <= 20:
        _numbers(ax, counts, share)
    r, c = counts.shape
    names = [cut(name, _LONG) for name in names]
    _named(ax.yaxis, names, _room(ax, r, 1), 0)
    ax.set_ylabel("class")
    if c < r:  # which classes have no cluster is not known
        matched, order = [], "in the order of the classes"
    else:
        matched = names + ["–"] * (c - r)
        order = "by the class that it is matched with"
    turn = 0 if r <= 20 and max(map(len, names)) <= 2 else 90
    _named(ax.xaxis, matched, _room(ax, c, 0), turn)
    ax.set_xlabel(f"cluster, {order}")
    return ax


def _numbers(ax: "Axes", counts: Int[np.ndarray, "r c"], share: np.ndarray) -> None:
    high, wide = _room(ax, counts.shape[0], 1), _room(ax, counts.shape[1], 0)
    size = min(10.0, 0.6 * high, 0.4 * wide)
    for row, column in np.argwhere(counts):
        color = "white" if share[row, column] > 0.4 else INK
        style: Style = dict(color=color, fontsize=size, **CENTER)
        ax.text(column, row, str(counts[row, column]), **style)


def _room(ax: "Axes", count: int, way: int) -> float:
    """The points of width (0) or height (1) that each of so many has."""
    extent = ax.get_window_extent()
    return 72 / ax.figure.dpi * (extent.height if way else extent.width) / count


def _named(axis: "Axis", names: list[str], room: float, turn: float) -> None:
    """Names beside an axis: smaller where there is less room, and then fewer."""
    size = min(10.0, 0.75 * room)
    step = math.ceil(_LEGIBLE / size)
    size = max(size, _LEGIBLE)
    axis.set_ticks(range(0, len(names), step))
    axis.set_ticklabels(names[::step], fontsize=size, rotation=turn, parse_math=False)
    axis.set_tick_params(length=0)


def _calibration(ax: "Axes", bins: Bins) -> "Axes":
    confidence, accuracy, count = bins
    ax.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--")
    # A bin of few points stays visible.
    area = np.maximum(8, 300 * count / count.max())
    ax.scatter(confidence, accuracy, s=area, color=TAB10[0], clip_on=False, zorder=3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_aspect("equal")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean confidence", ylabel="accuracy")
    return ax


def _curve(ax: "Axes", x: np.ndarray, y: np.ndarray, color: str, name: str) -> None:
    ax.plot(x, y, "o-", color=color, linewidth=1.6, markersize=4)
    ax.set_ylabel(name, color=color)
    ax.tick_params(axis="y", colors=color)
    ax.spines["top"].set_visible(False)


# ------------------------------------------------------- many in one figure


def _scattered(embedding: Any, clusters: Any, of: int) -> Draw:
    """The layout of all points, or of a sample of so many."""
    points = plane("embedding", embedding)
    values, _ = distinct("clusters", clusters, len(points))
    title = f"{len(points):,} points"
    if len(points) < of:
        title = f"{len(points):,} of {of:,} points, a sample"
    if clusters is not None:
        title += f", {len(values)} clusters"
    return lambda ax: scatter(points, clusters, title=title, ax=ax)


def _side(rows: int) -> float:
    """The height in inches of a picture with so many rows."""
    return min(14.0, max(5.0, 0.13 * rows))


def _figure(draw: dict[str, Draw], side: float) -> "Figure":
    """Columns: two large pictures, and the small ones over each other."""
    from matplotlib.figure import Figure

    columns = [("embedding",), ("confusion",), ("sizes", "reliability")]
    there = [[name for name in column if name in draw] for column in columns]
    kept = [column for column in there if column]
    widths = [0.8 if "sizes" in column else 1.2 for column in kept]
    figure = Figure((side * sum(widths), side), layout="constrained")
    # Figures of their own: the names below one picture take no room from the others.
    parts = figure.subfigures(1, len(kept), width_ratios=widths, squeeze=False)[0]
    for part, column in zip(parts, kept, strict=True):
        axes = part.subplots(len(column), squeeze=False)[:, 0]
        for name, ax in zip(column, axes, strict=True):
            draw[name](ax)
    return figure
