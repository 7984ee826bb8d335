"""icon cluster: how do the rows of a file fall into clusters?"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from icon._base import checks as check
from icon._base.extras import required
from icon.cli.settings import flags, given, with_flags
from icon.cli.shared import (
    Selection,
    arrays_of,
    as_json,
    dataset_of,
    folder_for,
    ids_of,
    known_of,
    names_of,
    origin,
    rendered,
    replaced,
    table_of,
    timed,
    versions,
)


FILES = (
    "clusters.csv",
    "embedding.npz",
    "report.json",
    "clusters.png",
    "choice.png",
)
FIXED = ("n_clusters", "size_decay", "reservoir")  # the others are of batches alone


def cluster(
    file: Path | None = None,
    /,
    n_clusters: tuple[int, ...] = (10,),
    how: Any = None,
    columns: Selection = Selection(),  # noqa: B008
    out: Path = Path("icon-cluster"),
    seed: int = 0,
    force: bool = False,
) -> None:
    """Cluster the rows of a file of features.

    Writes clusters.csv, report.json (settings, scores, versions), clusters.png, from
    300 rows on embedding.npz (embedding, clusters, labels, ids), and of several numbers
    of clusters choice.png, into a folder.

    Args:
        file: a .csv, .tsv, .parquet, .npy or .npz file, or a folder of images;
            scikit-learn's digits without one.
        n_clusters: how many clusters; -k for short. Of several the most stable one.
        how: the settings of the clustering.
        columns: what of the file is used; labels score the clusters.
        out: the folder to write to.
        seed: decides every start.
        force: replace what an earlier run has written there.
    """
    check.seed("seed", seed)
    required("matplotlib", "plot")
    dataset, folder = dataset_of(file, columns.asked()), folder_for(out, FILES, force)
    settings = given(how) | dict(n_clusters=n_clusters)
    model, seconds = _clustered(dataset.features, seed, **settings)
    settings["seed"] = seed
    scores = _agreement(model, dataset)
    run = _found(model, dataset) | dict(settings=settings, scores=scores)
    contents = {
        "clusters.csv": _assignments(model, dataset),
        "report.json": as_json(run | dict(seconds=seconds) | versions()),
        "clusters.png": _shown(model, dataset),
    }
    if model.embedding_ is not None:
        contents["embedding.npz"] = _laid_out(model, dataset)
    if model.choice_ is not None:
        contents["choice.png"] = _tried(model.choice_)
    replaced(folder, FILES, contents)
    for name, value in scores.items():
        print(f"{name} {value:.3f}")


def cluster_by() -> Callable:
    """icon cluster, with the settings of its estimator as flags."""
    from icon.estimators import NeighborClustering

    return with_flags(cluster, how=flags(NeighborClustering, FIXED))


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
        alpha_used=model.alpha_,
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
    """The cluster of every row, how sure it is, what is known of it, and its place."""
    columns: dict[str, Any] = dict(cluster=model.labels_)
    columns |= dict(confidence=_confidence(model).round(4)) | known_of(dataset)
    if model.embedding_rows_ is not None:
        places = np.full((len(model.labels_), 2), "", object)
        places[model.embedding_rows_] = model.embedding_
        columns |= dict(x=places[:, 0], y=places[:, 1])
    return table_of(columns)


def _laid_out(model, dataset) -> bytes:
    """The rows that have a place, with what is known of them."""
    labels, rows = names_of(dataset), model.embedding_rows_
    return arrays_of(
        embedding=model.embedding_,
        clusters=model.labels_[rows],
        labels=None if labels is None else labels[rows],
        ids=ids_of(dataset)[rows],
    )


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
