"""How do names on points keep clear of one another? They move, or give way."""

import itertools
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Bbox


LINES, HALVES = (0, 1, -1, 2, -2, 3, -3), (0, 1, -1)  # steps of its height, half width


class Apart(Artist):
    """Texts of the plane of which none covers one that is listed before it.

    Each moves by up to three lines and half its width, to the nearest place that is
    free; where none is, it is not shown. Places are known once the picture is drawn,
    so that is when they move: this is drawn before the texts are.
    """

    def __init__(self, texts: Sequence[Text]):
        super().__init__()
        self.texts = texts
        self.set_zorder(min(text.get_zorder() for text in texts) - 0.1)
        self.set_in_layout(False)

    def draw(self, renderer: Any) -> None:
        taken: list[Bbox] = []
        for text in self.texts:
            usual = self.axes.transData  # pyright: ignore[reportOptionalMemberAccess]
            text.set_transform(usual)
            box = text.get_window_extent(renderer)
            free = (
                (step, moved)
                for step, moved in _around(box)
                if not any(map(moved.overlaps, taken))
            )
            step, moved = next(free, (None, box))
            text.set_alpha(0.0 if step is None else 1.0)
            if step is not None:
                taken.append(moved)
                text.set_transform(usual + Affine2D().translate(*step))


def _around(box: Bbox):
    """Steps, the shortest first, and where they move a box."""
    pairs = itertools.product(HALVES, LINES)
    line, half = 1.02 * box.height, box.width / 2  # boxes that touch would overlap
    steps = [(dx * half, dy * line) for dx, dy in pairs]
    for dx, dy in sorted(steps, key=lambda step: step[0] ** 2 + step[1] ** 2):
        yield (dx, dy), box.translated(dx, dy)
