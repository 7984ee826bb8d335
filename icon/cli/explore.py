"""icon explore: what is each point of an embedding?"""

from pathlib import Path
from typing import Any

import numpy as np

from icon._base import checks as check
from icon._base.extras import required
from icon.cli.columns import Columns, Points, points_of
from icon.cli.shared import dataset_of, known_of, require_free


def explore(
    file: Path,
    /,
    position: tuple[str, ...] = (),
    data: str | None = None,
    features: str | None = None,
    labels: str | None = None,
    out: Path = Path("icon-explore.html"),
    force: bool = False,
) -> None:
    """Look through an embedding, point by point, in a page that needs no network.

    Pointing at a point shows its row and its image; a lasso, a search or a click on a
    class chooses rows, which are listed and saved as a .csv; any column gives colors.
    Points of three columns are turned by dragging; there is no lasso among them.

    Args:
        file: a folder that icon embed or icon cluster wrote; or a .csv, .tsv, .npz or
            .npy file of points, with whatever else is known of the rows.
        position: the two or three columns of a .csv or .tsv, or the array of an .npz,
            that say where the points are; by default x and y, or else the first two, or
            three as `icon embed --n-components 3` wrote them.
        data: the file that was laid out, or the name of a set as of icon table: its
            images, labels and other numbers are shown too.
        features: which array or columns of the data are its features.
        labels: which array or column of the data has the labels.
        out: the page to write.
        force: replace a page that is there.
    """
    required("plotly", "explore")
    require_free(out, force)
    points = points_of(file, position)
    if data is not None:
        points = _joined(points, _dataset(data, features, labels))
    for name, key in (("features", features), ("labels", labels)):
        check.require(data or key is None, name, repr(key), "None without --data")
    _drawn(points, out, file.resolve().stem)
    print(out)


def _dataset(data: str, features: str | None, labels: str | None):
    from icon import data as datasets

    if data in datasets.SETS:
        return datasets.SETS[data]()
    return dataset_of(Path(data), dict(features=features, labels=labels))


def _joined(points: Points, dataset) -> Points:
    """What is known of the points, and what the data that were laid out say of them."""
    n = len(points.place)
    got = f"{len(dataset.features)} rows"
    check.require(len(dataset.features) == n, "data", got, f"{n}, as many as points")
    images = points.images if dataset.images is None else dataset.images
    return points._replace(known=points.known | _known(dataset, n), images=images)


def _known(dataset, n: int) -> Columns:
    """Labels by their names, names of rows, and numbers [n]."""
    single = {k: x for k, x in dataset.also.items() if x.ndim == 1 and len(x) == n}
    return known_of(dataset) | single


def _drawn(points: Points, out: Path, title: str) -> None:
    """The page of the rows that have a place."""
    from icon import plot

    kept = np.flatnonzero(np.isfinite(points.place).all(1))
    expected = "two points or more that have a place"
    check.require(len(kept) >= 2, "file", f"{len(kept)} points", expected)
    columns: dict[str, Any] = {name: x[kept] for name, x in points.known.items()}
    if len(kept) < len(points.place):  # the page counts the rows that it has
        columns["row of the file"] = kept.astype(float)
    images = None if points.images is None else points.images[kept]
    plot.explorer(points.place[kept], out, columns, images=images, title=title)
