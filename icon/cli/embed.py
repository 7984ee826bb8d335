"""icon embed: how are the rows of a file laid out?"""

import dataclasses
import io
from pathlib import Path
from typing import Any, NamedTuple

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
    """How rows are laid out: as the estimator of the method takes it."""

    method: str = "t-SNE"
    """t-SNE, SNE, UMAP, PCA, LDA, LPP or eigenmaps; which has the settings it knows."""
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
    n_neighbors: int | None = None
    """How many nearest rows count; as the method says."""


class Method(NamedTuple):
    """An estimator, by its name in icon.estimators, and what of it is reported."""

    estimator: str
    reported: dict[str, str]  # the name in the report: that of the attribute
    options: dict[str, Any] = {}
    supervised: bool = False


CLOSED: Any = dict(map="linear")
LOSS = dict(loss="loss_")
DIVERGENCE = dict(kl_divergence="kl_divergence_", perplexity_used="perplexity_")
METHODS = {
    "t-SNE": Method("TSNE", DIVERGENCE),
    "SNE": Method("SNE", DIVERGENCE),
    "UMAP": Method("UMAP", {}),
    "PCA": Method(
        "SpectralEmbedding", LOSS, CLOSED | dict(p="items", constraint="orthonormal")
    ),
    "LDA": Method("SpectralEmbedding", LOSS, CLOSED | dict(p="labels"), True),
    "LPP": Method("SpectralEmbedding", LOSS, CLOSED),
    "eigenmaps": Method("SpectralEmbedding", LOSS),
}


def embed(
    file: Path | None = None,
    /,
    how: How = How(),  # noqa: B008
    features: str | None = None,
    labels: str | None = None,
    out: Path = Path("icon-embed"),
    seed: int = 0,
) -> None:
    """Lay out the rows of a file: with t-SNE, or another method.

    Writes embedding.npy, embedding.csv, embedding.json and, of two components,
    embedding.png into a folder, replacing them. Ctrl-C ends it early and writes what
    there is.

    Args:
        file: a .npy, .npz or .csv file; scikit-learn's digits without one.
        how: the method and its settings.
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
    required("tqdm", "cli")
    method = METHODS[check.one_of("method", how.method, METHODS)]
    y = dataset.labels if method.supervised else None
    model, seconds = timed(_model(method, how, seed), dataset.features, y)
    settings = {k: v for k, v in model.get_params().items() if k not in OURS}
    run = dict(data=origin(dataset), method=how.method, steps=model.n_iter_)
    run |= {name: getattr(model, of) for name, of in method.reported.items()}
    run |= dict(settings=settings | dict(seed=seed), seconds=seconds)
    _keep(folder, model, dataset.labels, run | versions())
    if model.interrupted_:
        raise KeyboardInterrupt("the embedding was written as it was")


OURS = ("callbacks", "verbose", "random_state")  # settings that are not the user's


def _model(method: Method, how: How, seed: int) -> Any:
    """The estimator with the settings that were given; an unknown one is refused."""
    from icon import estimators

    kind: Any = getattr(estimators, method.estimator)
    known = {field.name for field in dataclasses.fields(kind)}
    usual = dataclasses.asdict(How(method=how.method))
    given = {k: v for k, v in dataclasses.asdict(how).items() if v != usual[k]}
    for name, value in given.items():
        got = f"{value!r} for {how.method}"
        check.require(name in known, name, got, "a setting that this method has")
    if len(given.get("perplexity", ())) == 1:
        given["perplexity"] = how.perplexity[0]
    shown = dict(verbose=1) if "verbose" in known else {}
    return kind(**method.options, **given, **shown, random_state=seed)


def _keep(folder: Path, model, labels, run: dict[str, Any]) -> None:
    z, names = model.embedding_, model.get_feature_names_out()
    contents = {"npy": _npy(z), "csv": _csv(z, names, labels), "json": as_json(run)}
    if z.shape[1] == 2:
        contents["png"] = _png(z, labels)
    replaced(folder, {f"embedding.{suffix}": x for suffix, x in contents.items()})


def _npy(z) -> bytes:
    file = io.BytesIO()
    np.save(file, z, allow_pickle=False)
    return file.getvalue()


def _csv(z, names, labels) -> bytes:
    """A column per component, and one of labels; digits to the last bit of float32."""
    head = [*names]
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
