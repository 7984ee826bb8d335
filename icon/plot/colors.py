"""Which color does a point have?"""

import colorsys
from typing import Any

import numpy as np
from jaxtyping import Int

from icon._base import checks as check


TAB10 = (
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
)
PLAIN = "#52616f"  # points without classes
MISSING = "#c9ced3"  # points without a number, beside those that have one

Ids = Int[np.ndarray, " n"]


def classes(argument: str, labels: Any, n: int) -> tuple[Int[np.ndarray, " c"], Ids]:
    """The distinct labels, and which of them each point has; one if there are none."""
    if labels is None:
        return np.zeros(1, int), np.zeros(n, int)
    if n == 0 and np.size(labels) == 0:  # an empty list has no dtype to check
        return np.zeros(0, int), np.zeros(0, int)
    return np.unique(check.integers(argument, labels, n), return_inverse=True)


def palette(count: int) -> list[str]:
    """Colors of so many classes: one is plain, up to ten are tab10."""
    if count <= 10:
        return [PLAIN] if count == 1 else list(TAB10[:count])
    # Steps of the golden ratio around the wheel: any number of hues are distinct.
    hues = [(i * 0.618034 % 1, (0.85, 0.6)[i % 2]) for i in range(count)]
    rgb = [colorsys.hsv_to_rgb(h, 0.75, v) for h, v in hues]
    return ["#" + "".join(f"{round(255 * c):02x}" for c in color) for color in rgb]


def matched(label: Ids, cluster: Ids) -> Ids:
    """Clusters renumbered as the classes they match, so that a color means a class."""
    from scipy.optimize import linear_sum_assignment

    size = 1 + max(label.max(initial=0), cluster.max(initial=0))
    hits = np.zeros((size, size))
    np.add.at(hits, (cluster, label), 1)
    return linear_sum_assignment(hits, maximize=True)[1][cluster]
