"""Who is whose neighbour, of a few rows?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float

from icon._base import checks as check
from icon._base.extras import required
from icon._loss import dense
from icon._neighborhoods import Neighborhood
from icon.plot.ink import SOFT, Style
from icon.plot.paint import FEW, paint
from icon.plot.scatter import Labels


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST = 2000  # anchors or candidates: more have no pixel each

Matrix = Float[np.ndarray, "n m"]


def neighborhoods(
    p: Neighborhood,
    q: Neighborhood,
    labels: Labels | None = None,
    *,
    names: Sequence[str] | None = None,
) -> "Figure":
    """What p asks for and what q has learned: two matrices on one scale.

        color of (i, j): p_ij at the left, q_ij at the right, on a scale of square roots

    Args:
        p: neighbours of up to 2000 anchors among up to 2000 candidates.
        q: the same anchors and candidates.
        labels: one for each anchor, by which the rows are ordered; where there are as
            many candidates the columns are too.
        names: of the classes, in increasing order of their labels.

    Raises:
        InvalidInput: a continuum, too many anchors or candidates, q of another shape
            than p, labels or names of another length.
        ImportError: matplotlib is missing.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> ids = jnp.array([0, 0, 1, 1])
        >>> x = jnp.arange(8.0).reshape(4, 2)
        >>> figure = neighborhoods(icon.same(ids), icon.gaussian(x), ids)
        >>> [ax.get_title() for ax in figure.axes[:2]]
        ['p', 'q']

    Source: none; heat maps.
    """
    required("matplotlib", "plot")
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    shown = {"p": _matrix("p", p), "q": _matrix("q", q)}
    n, m = shown["p"].shape
    got = f"shape {shown['q'].shape}"
    check.require(shown["q"].shape == (n, m), "q", got, f"{(n, m)}, as p has")
    colors = paint("labels", labels, n, names)
    order = colors.order(n)
    columns = order if m == n else np.arange(m)
    figure = Figure((11, 5.2), layout="constrained")
    pair = figure.subplots(1, 2, sharey=True)
    # Small probabilities of many candidates still show beside a few large ones.
    scale = PowerNorm(0.5, 0, max(x.max() for x in shown.values()))
    for ax, (title, x) in zip(pair, shown.items(), strict=True):
        style: Style = dict(cmap="Blues", norm=scale, interpolation="nearest")
        ax.imshow(x[order][:, columns], aspect="auto", **style)
        ax.set(title=title, xticks=[], yticks=[], xlabel=f"{m:,} candidates")
        _framed(ax, colors.blocks(), m == n)
    pair[0].set_ylabel(f"{n:,} anchors")
    bar = figure.colorbar(pair[0].images[0], ax=pair, aspect=40, pad=0.02)
    bar.set_label("probability")
    return figure


def _matrix(argument: str, x: Any) -> Matrix:
    """The probabilities themselves, of few enough anchors and candidates."""
    shape = jax.eval_shape(dense, x).shape
    expected = f"at most {MOST} anchors and candidates: a sample of the rows"
    check.require(max(shape) <= MOST, argument, f"shape {shape}", expected)
    return np.asarray(dense(x), np.float64)


def _framed(ax: "Axes", blocks: list[tuple[str, int]], square: bool) -> None:
    """A line between two classes, and the names of the classes at the left."""
    ends = np.cumsum([0, *(size for _, size in blocks)]) - 0.5
    for end in ends[1:-1]:
        ax.axhline(end, color=SOFT, linewidth=0.4)
        if square:
            ax.axvline(end, color=SOFT, linewidth=0.4)
    if len(blocks) <= FEW:
        middles = (ends[1:] + ends[:-1]) / 2
        ax.set_yticks(middles, [name for name, _ in blocks], parse_math=False)
        ax.tick_params(length=0)
