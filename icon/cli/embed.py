"""icon embed: how are the rows of a file laid out?"""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np

from icon._base import checks as check
from icon._base.extras import required
from icon.cli.shared import (
    as_json,
    dataset_of,
    folder_for,
    origin,
    rendered,
    replaced,
    timed,
    versions,
)


SUFFIXES = ("npy", "csv", "json", "png")


@dataclasses.dataclass(frozen=True)
class How:
    """How rows are laid out: as icon.estimators.TSNE takes it."""

    n_components: int = 2
    """Columns of the embedding."""
    perplexity: tuple[float, ...] = (30.0,)
    """The effective number of neighbours; several for several scales."""
    early_exaggeration: float = 12.0
    """Of the attraction, at first."""
    early_exaggeration_iter: int | None = None
    """For so many steps; as the schedule says."""
    exaggeration: float = 1.0
    """Of the attraction, later."""
    max_iter: int | None = None
    """Steps in total; as the schedule says."""
    schedule: str = "fast"
    """fast, or openTSNE: 250 early steps of 750, with less momentum."""
    init: str = "pca"
    """pca, spectral or random."""
    metric: str = "euclidean"
    """euclidean, cosine, manhattan, correlation, precomputed or affinity."""
    dof: float = 1.0
    """Degrees of freedom of the tail."""


def embed(
    file: Path | None = None,
    /,
    how: How = How(),  # noqa: B008
    features: str | None = None,
    labels: str | None = None,
    out: Path = Path("icon-embed"),
    seed: int = 0,
) -> None:
    """Lay out the rows of a file with t-SNE.

    Writes embedding.npy, embedding.csv, embedding.json and, of two components,
    embedding.png into a folder, replacing them. Ctrl-C ends it early and writes what
    there is.

    Args:
        file: a .npy, .npz or .csv file; scikit-learn's digits without one.
        how: the settings of t-SNE.
        features: which array or columns to lay out; by default the only matrix.
        labels: which array or column has the labels; by default label, labels or y.
        out: the folder to write to.
        seed: decides a random start.
    """
    check.seed("seed", seed)
    if how.n_components == 2:
        required("matplotlib", "plot")
    names = [f"embedding.{suffix}" for suffix in SUFFIXES]
    dataset, folder = (
        dataset_of(file, features, labels, "a file"),
        folder_for(out, names),
    )
    settings = dataclasses.asdict(how) | dict(seed=seed)
    if len(how.perplexity) == 1:
        settings["perplexity"] = how.perplexity[0]
    model, seconds = _fitted(dataset.features, **settings)
    run = _outcome(model, dataset) | dict(settings=settings, seconds=seconds)
    _keep(folder, model.embedding_, dataset.labels, run | versions())
    if model.interrupted_:
        raise KeyboardInterrupt("the embedding was written as it was")


def _fitted(x, seed: int, **settings):
    """A t-SNE and its seconds."""
    from icon.estimators import TSNE

    required("tqdm", "cli")
    return timed(TSNE(**settings, random_state=seed, verbose=1), x)


def _outcome(model, dataset) -> dict[str, Any]:
    """What an embedding is of, and how good it became."""
    return dict(
        data=origin(dataset),
        kl_divergence=model.kl_divergence_,
        perplexity_used=model.perplexity_,
        steps=model.n_iter_,
    )


def _keep(folder: Path, z, labels, run: dict[str, Any]) -> None:
    contents = {"npy": _npy(z), "csv": _csv(z, labels), "json": as_json(run)}
    if z.shape[1] == 2:
        contents["png"] = _png(z, labels)
    replaced(folder, {f"embedding.{suffix}": x for suffix, x in contents.items()})


def _npy(z) -> bytes:
    file = io.BytesIO()
    np.save(file, z, allow_pickle=False)
    return file.getvalue()


def _csv(z, labels) -> bytes:
    """A column per component, and one of labels; digits to the last bit of float32."""
    head = [f"tsne{k}" for k in range(z.shape[1])]
    rows = [[f"{x:.9g}" for x in row] for row in z]
    if labels is not None:
        head = [*head, "label"]
        rows = [[*row, str(y)] for row, y in zip(rows, labels, strict=True)]
    return "".join(",".join(row) + "\n" for row in [head, *rows]).encode()


def _png(z, labels) -> bytes:
    from matplotlib.figure import Figure

    from icon import plot

    figure = Figure((8, 7), layout="constrained")
    plot.embedding(z, labels, ax=figure.subplots())
    return rendered(figure)
