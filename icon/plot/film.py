"""How did points get to where they are?"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from icon._base import checks as check
from icon._base.extras import required
from icon._base.files import replace
from icon.plot.ink import Style
from icon.plot.paint import BESIDE, OUTSIDE, Plain, paint
from icon.plot.scatter import Labels, placed, projected, scattered, shuffled


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_INCHES, _DPI = (6.0, 5.0), 100
_STAYS = 1.5  # seconds for which the last frame is seen

Points = Float[np.ndarray, "n c"]


class Frame(NamedTuple):
    """Where the points were after a step."""

    step: int
    loss: float
    points: Points


class Film:
    """The frames of a fit: a callback that keeps every embedding it is shown.

        frame t: point i at z_i after step t, on the same axes in all frames

    A callback of an estimator sees every 50th step, one of `icon.minimize` as many as
    its `every=` says; each frame is a copy of the embedding, kept in memory.

    Args:
        labels: as for `icon.plot.embedding`, one for each point.
        names: of the classes, in increasing order of their labels.

    Raises:
        InvalidInput: when it is saved or shown: no frame, points that `embedding`
            refuses, other numbers of points in one frame than in another.
        ImportError: matplotlib is missing.

    Example:
        >>> import icon, numpy as np
        >>> from icon.estimators import TSNE
        >>> x = np.random.default_rng(0).normal(size=(60, 5))
        >>> film = icon.plot.Film()
        >>> z = TSNE(perplexity=9, callbacks=[film]).fit_transform(x)
        >>> [frame.step for frame in film.frames]
        [50, 100, 150, 200, 250, 300]

    Source: none; pictures one after the other.
    """

    def __init__(
        self, labels: Labels | None = None, *, names: Sequence[str] | None = None
    ):
        self.labels, self.names = labels, names
        self.frames: list[Frame] = []

    def __call__(self, step: int, loss: float, z: Any) -> None:
        """Keep a copy of the embedding; the fit goes on."""
        self.frames.append(Frame(int(step), float(loss), np.array(z)))

    def save(self, path: str | os.PathLike, *, fps: float = 12.0) -> None:
        """Write the film: a .gif that repeats, or an .mp4, for which ffmpeg is needed.

        Args:
            path: of the file, replaced if there is one.
            fps: frames a second; the last one stays for a second and a half.
        """
        required("matplotlib", "plot")
        path, fps = check.writable("path", path), check.single("fps", fps)
        writer = _writer(path, fps)
        points, colors = self._checked()
        figure, ax, dots = _first(points, colors)
        order, ax_title = shuffled(len(points[0])), ax.title
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / f"film{path.suffix}"
            with writer.saving(figure, str(made), _DPI):
                for frame, z in zip(self.frames, points, strict=True):
                    _moved(dots, z[order])
                    ax_title.set_text(_title(frame))
                    writer.grab_frame()
                for _ in range(round(_STAYS * fps)):
                    writer.grab_frame()
            replace(path, made.read_bytes())

    def sheet(self, count: int = 6) -> "Figure":
        """Some of the frames side by side, evenly chosen, the first and the last among
        them.

        Args:
            count: how many; all of them where there are no more.
        """
        required("matplotlib", "plot")
        from matplotlib.figure import Figure

        count = check.size("count", count, 2)
        points, colors = self._checked()
        chosen = np.unique(np.linspace(0, len(points) - 1, count).round().astype(int))
        wide = min(3, len(chosen))
        high = -(-len(chosen) // wide)
        figure = Figure((3 * wide + 1, 3.2 * high), layout="constrained")
        projection = projected(points[0].shape[1] == 3)
        for at, t in enumerate(chosen.tolist(), 1):
            ax = figure.add_subplot(high, wide, at, **projection)
            scattered(ax, points[t], colors, None)
            _fixed(ax, points)
            ax.set_title(_title(self.frames[t]))
        colors.key(figure, figure.axes, OUTSIDE)
        return figure

    def _checked(self) -> tuple[list[Points], Plain]:
        """The points of every frame, as many in each, and their colors."""
        check.require(self.frames, "frames", "none", "a fit with callbacks=[film]")
        points = [placed(f"frames[{t}]", x.points) for t, x in enumerate(self.frames)]
        first = points[0].shape
        for t, z in enumerate(points):
            got, expected = f"shape {z.shape}", f"{first}, as the first has"
            check.require(z.shape == first, f"frames[{t}]", got, expected)
        return points, paint("labels", self.labels, first[0], self.names)


def _writer(path: Path, fps: float) -> Any:
    """What writes a file of this name."""
    from matplotlib import animation

    kinds = {".gif": animation.PillowWriter, ".mp4": animation.FFMpegWriter}
    suffix = path.suffix.lower()
    check.require(suffix in kinds, "path", path.name, "a .gif or .mp4 file")
    there = kinds[suffix].isAvailable()
    cure = "a .gif, or ffmpeg installed where PATH finds it, which writes .mp4"
    check.require(there, "path", path.name, cure)
    return kinds[suffix](fps=fps)


def _first(points: list[Points], colors: Plain) -> tuple["Figure", "Axes", Any]:
    """A figure with the points of the first frame, on the axes of all frames."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot(**projected(points[0].shape[1] == 3))
    dots = scattered(ax, points[0], colors, None)
    _fixed(ax, points)
    ax.set_title("step")  # the layout leaves room for it
    colors.key(ax, [ax], BESIDE)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the axes stay where they are in this frame
    return figure, ax, dots


def _fixed(ax: "Axes", points: list[Points]) -> None:
    """Limits that hold the points of every frame, as wide as they are high."""
    low = np.min([z.min(0) for z in points], axis=0)
    high = np.max([z.max(0) for z in points], axis=0)
    half = 0.53 * max((high - low).max(), np.finfo(float).tiny)
    middle = (low + high) / 2
    limits: Style = {
        f"{axis}lim": (m - half, m + half)
        for axis, m in zip("xyz", middle, strict=False)
    }
    ax.set_aspect("equal", "box")
    ax.set(**limits)


def _moved(dots: Any, points: Points) -> None:
    """The same dots at other places."""
    if points.shape[1] == 3:
        dots._offsets3d = tuple(points.T)  # there is no other way in matplotlib
    else:
        dots.set_offsets(points)


def _title(frame: Frame) -> str:
    return f"step {frame.step:,}   loss {frame.loss:.4g}"
