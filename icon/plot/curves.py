"""How do a loss and what is measured beside it move from step to step?"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Real

from icon._base import checks as check
from icon._base.extras import required
from icon._training import History
from icon.plot.colors import palette
from icon.plot.ink import Style, printable
from icon.plot.paint import FEW, plainly
from icon.plot.scatter import canvas


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Curve = Real[ArrayLike, " steps"]
Curves = dict[str, Float[np.ndarray, " steps"]]


def history(losses: Curve | Mapping[str, Curve], *, ax: "Axes | None" = None) -> "Axes":
    """The loss against the step, of one training or of several.

        losses_t at t; a step whose loss is not a number is a gap

    Args:
        losses: one number a step; or several such vectors by name, of up to 20 runs,
            each of any length.
        ax: where to draw; a new figure by default.

    Raises:
        InvalidInput: other than vectors of real numbers, not empty; none, or too many.
        ImportError: matplotlib is missing.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> history(np.array([3.0, 2.0, 1.5]), ax=Figure().subplots()).get_xlabel()
        'step'
        >>> runs = {"slow": [3.0, 2.9], "fast": [3.0, 1.0]}
        >>> len(history(runs, ax=Figure().subplots()).lines)
        2

    Source: none; lines.
    """
    several = isinstance(losses, Mapping)
    runs = _runs("losses", losses) if several else {"": _curve("losses", losses)}
    got = f"{len(runs)} curves"
    check.require(len(runs) <= FEW, "losses", got, f"at most {FEW} on one axis")
    ax = canvas(ax)
    lines = _drawn(ax, runs)
    ax.set(xlabel="step", ylabel="loss")
    if several:
        made = ax.legend(lines, ["name"] * len(lines), frameon=False)
        plainly(made, [printable(name) for name in runs])
    return ax


def curves(measured: History | Mapping[str, Curve]) -> "Figure":
    """What was measured at every step, each on axes of its own over the same steps.

        row k: measured^k_t at t; a step at which it is not a number is a gap

    Args:
        measured: what `icon.fit` or `icon.minimize` leave behind: its loss, and each
            number among its metrics by its path; or vectors by name.

    Raises:
        InvalidInput: other than vectors of real numbers, not empty; metrics that are
            not the same numbers at each step.
        ImportError: matplotlib is missing.

    Example:
        >>> figure = curves({"loss": [3.0, 2.0, 1.5], "accuracy": [0.1, 0.4, 0.5]})
        >>> [ax.get_ylabel() for ax in figure.axes]
        ['loss', 'accuracy']

    Source: Tufte 1990, "Envisioning information", small multiples.
    """
    required("matplotlib", "plot")
    from matplotlib.figure import Figure

    kept = isinstance(measured, History)
    found = _runs("measured", _columns(measured) if kept else measured)
    figure = Figure((7, 0.6 + 1.8 * len(found)), layout="constrained")
    rows = figure.subplots(len(found), sharex=True, squeeze=False)[:, 0]
    for ax, (name, y) in zip(rows, found.items(), strict=True):
        _drawn(ax, {name: y})
        ax.set_ylabel(printable(name), parse_math=False)
    rows[-1].set_xlabel("step")
    return figure


def _columns(history: History) -> dict[str, Any]:
    """The loss and the metrics of every step, by name."""
    steps = [jax.tree.flatten_with_path(metrics) for metrics in history.metrics]
    got, expected = "other ones later", "the same metrics at each step"
    alike = all(structure == steps[0][1] for _, structure in steps)
    check.require(alike, "measured.metrics", got, expected)
    columns: dict[str, Any] = {"loss": history.loss}
    for found in zip(*(leaves for leaves, _ in steps), strict=True):
        name = jax.tree_util.keystr(found[0][0], simple=True, separator=".")
        columns[name] = np.array([np.asarray(x, float) for _, x in found])
    return columns


def _runs(argument: str, given: Any) -> Curves:
    """Curves by their names, at least one."""
    expected = "vectors by name, at least one"
    check.instance(argument, given, Mapping, expected)
    check.require(given, argument, "nothing", expected)
    return {name: _curve(f"{argument}[{name!r}]", y) for name, y in given.items()}


def _curve(argument: str, y: Any) -> Float[np.ndarray, " steps"]:
    """One number a step, whatever it is."""
    check.shape(argument, y)
    y = np.asarray(y)
    vector = y.ndim == 1 and y.size
    check.require(vector, argument, f"shape {y.shape}", "a vector, not empty")
    # V: bfloat16 and its like, which NumPy knows only by size.
    real = y.dtype.kind in "biufV"
    check.require(real, argument, f"dtype {y.dtype}", "real numbers")
    return y.astype(float)


def _drawn(ax: "Axes", runs: Curves) -> list[Any]:
    """A line for each run, in a color of its own."""
    colors = palette(max(2, len(runs)))
    lines: list[Any] = []
    for color, y in zip(colors, runs.values(), strict=False):
        # A single step is a point, or it would not be seen.
        style: Style = dict(marker="o") if len(y) == 1 else {}
        lines += ax.plot(np.arange(len(y)), y, color=color, linewidth=1.6, **style)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25)
    return lines
