"""How do labels color points, and what says which color means what?"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from icon._base import checks as check
from icon.plot.colors import MISSING, PLAIN, Ids, palette
from icon.plot.ink import CENTER, INK, Style, cut, printable


if TYPE_CHECKING:
    from matplotlib.axes import Axes


FEW = 20  # classes: so many or fewer have a legend, more have their names on the points
_MOST = 150  # names on the points: more cover them
_LONG = 24  # characters of such a name: the rest is cut
BESIDE: Style = dict(loc="center left", bbox_to_anchor=(1, 0.5))  # of axes
OUTSIDE: Style = dict(loc="outside right center")  # of a figure


@dataclasses.dataclass(frozen=True)
class Plain:
    """One color for every point, which needs no words."""

    def style(self, order: Ids) -> Style:
        """Arguments of `Axes.scatter`: the colors of points in this order."""
        return dict(c=PLAIN)

    def write(self, ax: "Axes", points: np.ndarray) -> None:
        """Write among the points what they are."""

    def key(self, on: Any, axes: Sequence["Axes"], place: Style) -> None:
        """Say beside the axes what the colors mean; a legend is put on `on`."""

    def order(self, n: int) -> Ids:
        """The points by their labels, else as they are."""
        return np.arange(n)

    def blocks(self) -> list[tuple[str, int]]:
        """The classes in that order, each with how many points it has."""
        return []


@dataclasses.dataclass(frozen=True)
class Classes(Plain):
    """A color for each class; the classes in increasing order of their labels."""

    names: list[str]
    group: Ids

    def style(self, order: Ids) -> Style:
        return dict(c=np.array(palette(len(self.names)))[self.group[order]])

    def write(self, ax: "Axes", points: np.ndarray) -> None:
        if len(self.names) <= FEW:
            return
        from matplotlib.patheffects import withStroke

        counts = np.bincount(self.group, minlength=len(self.names))
        largest = np.argsort(-counts, stable=True)[:_MOST]
        names = {c: cut(self.names[c], _LONG) for c in largest}
        # The more letters there are the smaller, so that they do not cover the points.
        size = min(9.0, max(5.0, 9 * (200 / sum(map(len, names.values()))) ** 0.3))
        style: Style = dict(color=INK, fontsize=size, weight="bold", zorder=5) | CENTER
        # A name may reach beyond the axes, which are not to become smaller for it.
        style |= dict(parse_math=False, in_layout=False)
        place: Any = ax.text  # x, y, or x, y, z in space
        halo = [withStroke(linewidth=size / 4, foreground="white")]
        texts = []
        for c in largest:
            middle: Any = np.median(points[self.group == c], axis=0)
            texts.append(place(*middle, names[c], path_effects=halo, **style))
        if points.shape[1] == 2:
            from icon.plot.names import Apart

            ax.add_artist(Apart(texts))

    def key(self, on: Any, axes: Sequence["Axes"], place: Style) -> None:
        if len(self.names) > FEW:
            return
        legend(on, axes[0], palette(len(self.names)), self.names, place)

    def order(self, n: int) -> Ids:
        return np.argsort(self.group, stable=True)

    def blocks(self) -> list[tuple[str, int]]:
        counts = np.bincount(self.group, minlength=len(self.names))
        return [*zip(self.names, counts.tolist(), strict=True)]


@dataclasses.dataclass(frozen=True)
class Scale(Plain):
    """Colors from the least number to the largest; gray where there is none."""

    values: Float[np.ndarray, " n"]

    def style(self, order: Ids) -> Style:
        from matplotlib import colormaps

        ends = dict(vmin=np.nanmin(self.values), vmax=np.nanmax(self.values))
        scale = colormaps["viridis"].with_extremes(bad=MISSING)
        return dict(c=self.values[order], cmap=scale, plotnonfinite=True, **ends)

    def key(self, on: Any, axes: Sequence["Axes"], place: Style) -> None:
        style: Style = dict(ax=axes, aspect=40, pad=0.02)
        bar: Any = axes[0].figure.colorbar(axes[0].collections[0], **style)
        bar.solids.set_alpha(1)

    def order(self, n: int) -> Ids:
        return np.argsort(self.values, stable=True)


def paint(argument: str, labels: Any, n: int, names: Any = None) -> Plain:
    """What the labels of n points ask for: strings, integers and booleans are classes,
    other numbers are on a scale."""
    if labels is None:
        named("names", names, ["all"])
        return Plain()
    words = check.words(argument, labels)
    x = check.measured(argument, labels) if words is None else words
    expected = f"one for each of {n} points"
    check.require(x.shape == (n,), argument, f"shape {x.shape}", expected)
    if x.dtype.kind in "biuO":
        values, group = np.unique(x, return_inverse=True)
        return Classes(named("names", names, values), group)
    check.require(names is None, "names", "names", "None for labels on a scale")
    some = not np.isnan(x).all()
    check.require(some, argument, "no number", "a number for at least one point")
    return Scale(x.astype(float))


def named(argument: str, names: Any, values: Iterable[Any]) -> list[str]:
    """The names of classes, or their values where there are none, as text."""
    values = list(values)
    expected = f"one for each of {len(values)} classes"
    listed = names is None or (isinstance(names, Sequence) and names != str(names))
    check.require(listed, argument, repr(names), expected)
    texts = [printable(name) for name in (values if names is None else names)]
    check.require(len(texts) == len(values), argument, len(texts), expected)
    return texts


def legend(
    on: Any, ax: "Axes", colors: Sequence[str], names: Sequence[str], place: Style
) -> None:
    """A dot in each color, with the name that it stands for."""
    dots = [ax.scatter([], [], c=[color], linewidths=0) for color in colors]
    made = on.legend(dots, ["name"] * len(dots), frameon=False, **place)
    plainly(made, names)


def plainly(legend: Any, names: Sequence[str]) -> None:
    """Names as plain text: matplotlib hides a label _a and sets $a$ in italics."""
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)
