"""icon cluster: how do the rows of a file fall into clusters?"""

import csv
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


@dataclasses.dataclass(frozen=True)
class Grouping:
    """How rows are clustered: as icon.estimators.NeighborClustering takes it."""

    n_neighbors: int | None = None
    """Neighbours in the graph; by default a quarter of a cluster, from 5 to 20."""
    neighbors: str = "self-tuning"
    """Which of them count: self-tuning, alike, mutual, shared or within."""
    walks: int = 0
    """Neighbours of neighbours as well, over so many further steps."""
    metric: str = "cosine"
    """cosine, of rows less their mean, or euclidean."""
    alpha: float = 0.6
    """The share of q that is uniform."""
    swaps: int = 2
    """Exchanges of clusters after averaging."""
    rounds: int = 0
    """How often pairs are weighed by how far partitions agree about them."""
    head: str | None = None
    """linear, mlp or free: heads that follow the gradient of the loss."""
    divergence: str = "kl"
    """Of a head: kl, tv, jsd or hellinger."""
    alpha_p: float = 0.0
    """Of a head: the share of p that is uniform."""


def cluster(
    file: Path | None = None,
    /,
    n_clusters: tuple[int, ...] = (10,),
    how: Grouping = Grouping(),  # noqa: B008
    features: str | None = None,
    labels: str | None = None,
    out: Path = Path("icon-cluster"),
    seed: int = 0,
) -> None:
    """Cluster the rows of a file of features.

    Writes clusters.csv, clusters.json and clusters.png into a folder, replacing them;
    of several numbers of clusters, choice.png as well.

    Args:
        file: a .npy, .npz or .csv file; scikit-learn's digits without one.
        n_clusters: how many clusters; -k for short. Of several the most stable one.
        how: the settings of the clustering.
        features: which array or columns to cluster; by default the only matrix.
        labels: which array or column has the labels, to score the clusters by; by
            default label, labels or y.
        out: the folder to write to.
        seed: decides every start.
    """
    check.seed("seed", seed)
    required("matplotlib", "plot")
    names = [f"clusters.{suffix}" for suffix in ("csv", "json", "png")]
    dataset, folder = (
        dataset_of(file, features, labels, "a file"),
        folder_for(out, names),
    )
    settings = dataclasses.asdict(how) | dict(n_clusters=n_clusters)
    model, seconds = _clustered(dataset.features, seed, **settings)
    settings["seed"] = seed
    scores = _agreement(model, dataset)
    run = _found(model, dataset) | dict(settings=settings, scores=scores)
    contents = {
        "clusters.csv": _assignments(model, dataset),
        "clusters.json": as_json(run | dict(seconds=seconds) | versions()),
        "clusters.png": _shown(model, dataset),
    }
    if model.choice_ is not None:
        contents["choice.png"] = _tried(model.choice_)
    replaced(folder, contents)
    for name, value in scores.items():
        print(f"{name} {value:.3f}")


def _clustered(x, seed: int, **settings):
    """A clustering and its seconds; each of its warnings is printed as one line."""
    from icon.estimators import NeighborClustering

    return timed(NeighborClustering(**settings, random_state=seed), x)


def _found(model, dataset) -> dict[str, Any]:
    """What was clustered, how large the clusters are, and which rows are typical."""
    from icon import evaluate

    choice, drawn = model.choice_, model.embedding_rows_
    return dict(
        data=origin(dataset),
        n_clusters=model.n_clusters_,
        choice=None if choice is None else choice._asdict(),
        loss=model.loss_,
        member_losses=model.member_losses_,
        head_losses=model.head_losses_,
        sizes=_sizes(model),
        size_entropy=evaluate.cluster_entropy(model.labels_),
        typical_rows=[rows[rows >= 0].tolist() for rows in model.typical_],
        n_neighbors_used=model.n_neighbors_,
        samples_used=model.samples_,
        rows_laid_out=0 if drawn is None else len(drawn),
    )


def _sizes(model):
    return np.bincount(model.labels_, minlength=model.n_clusters_)


def _confidence(model):
    """How sure each row is of its cluster."""
    return np.take_along_axis(model.memberships_, model.labels_[:, None], 1)[:, 0]


def _labelled(model, dataset):
    """Label, cluster and confidence of the rows that have a label."""
    known = np.flatnonzero(dataset.labels >= 0)
    sure = np.clip(_confidence(model), 0, 1)
    return dataset.labels[known], model.labels_[known], sure[known]


def _agreement(model, dataset) -> dict[str, float]:
    """How good the clusters are by the labels; nothing without any."""
    from icon import evaluate

    if dataset.labels is None:
        return {}
    labels, found, sure = _labelled(model, dataset)
    return dict(
        accuracy=evaluate.hungarian_accuracy(labels, found),
        nmi=evaluate.nmi(labels, found),
        ari=evaluate.ari(labels, found),
        calibration_error=evaluate.calibration_error(labels, found, sure),
    )


def _assignments(model, dataset) -> bytes:
    """The cluster of every row, how sure it is, its label or the label's name, and its
    place in the layout, if it has one."""
    columns: dict[str, Any] = dict(cluster=model.labels_)
    columns["confidence"] = _confidence(model).round(4)
    if dataset.labels is not None:
        columns["label"] = dataset.labels
        if dataset.classes:
            columns["label"] = np.array([*dataset.classes, ""])[dataset.labels]
    if model.embedding_rows_ is not None:
        columns |= _places(model)
    file = io.StringIO()
    rows = zip(*columns.values(), strict=True)
    csv.writer(file, lineterminator="\n").writerows([columns, *rows])
    return file.getvalue().encode(errors="backslashreplace")


def _places(model) -> dict[str, Any]:
    """x and y of every row, to the last bit of float32; nothing where it has none."""
    places = np.full((len(model.labels_), 2), "", object)
    places[model.embedding_rows_] = [[f"{x:.9g}" for x in z] for z in model.embedding_]
    return dict(x=places[:, 0], y=places[:, 1])


def _shown(model, dataset) -> bytes:
    """The layout by cluster, the sizes; with labels the confusion and calibration."""
    from icon import evaluate, plot

    found, drawn = model.labels_, model.embedding_rows_
    more: dict[str, Any] = {}
    if dataset.labels is not None:
        labels, clusters, sure = _labelled(model, dataset)
        more |= dict(
            confusion=evaluate.confusion(labels, clusters),
            reliability=evaluate.reliability(labels, clusters, sure),
            classes=dataset.classes or None,
        )
    laid_out = None if drawn is None else found[drawn]
    return rendered(plot.report(model.embedding_, laid_out, _sizes(model), **more))


def _tried(choice) -> bytes:
    """Loss and stability over the number of clusters."""
    from matplotlib.figure import Figure

    from icon import plot

    figure = Figure((7, 4.5), layout="constrained")
    plot.choice(*choice, ax=figure.subplots())
    return rendered(figure)
