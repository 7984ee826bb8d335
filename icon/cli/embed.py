"""icon embed: how are the rows of a file laid out?"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from icon._base import checks as check
from icon._base.extras import required
from icon.cli.methods import METHODS, flags_of, named, row_with
from icon.cli.second import Second
from icon.cli.settings import OURS, given, with_flags
from icon.cli.shared import (
    Selection,
    array_of,
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
    "embedding.csv",
    "embedding.npz",
    "embedding.npy",
    "embedding.png",
    "report.json",
)
SCORED = 5000  # rows at most, of which all pairs are compared
MOST = 10_000  # rows of a method that has no estimator: some hold all pairs


def embed(
    file: Path | None = None,
    /,
    how: Any = None,
    method: str = "t-SNE",
    columns: Selection = Selection(),  # noqa: B008
    pairs: Second = Second(),  # noqa: B008
    out: Path = Path("icon-embed"),
    seed: int = 0,
    force: bool = False,
) -> None:
    """Lay out the rows of a file: with t-SNE, or another method.

    These are the settings of t-SNE; `icon embed --method UMAP --help` has those of
    UMAP. Methods are t-SNE, SNE, UMAP, PCA, LDA, LPP, Laplacian eigenmaps, PLS-SVD and
    CCA (of two modalities: `--second FILE`), parametric t-SNE, SupCon (an encoder that
    learns from labels), LGSimCLR (from neighbours); and every other row that `icon
    cells` prints, such as Isomap, classical MDS, kernel PCA or diffusion maps, trained
    on all rows as `icon train` does; the numbers of its neighbours, kernel or walk are
    flags too, and those of its q and its loss.

    Writes embedding.csv, embedding.npz (embedding, labels, ids), embedding.npy,
    report.json (settings, scores, versions) and, of two components, embedding.png into
    a folder. Ctrl-C ends it early and writes what there is.

    Args:
        file: a .csv, .tsv, .parquet, .npy or .npz file, or a folder of images with a
            sub-folder for each class; scikit-learn's digits without one.
        how: the settings of the method.
        method: a name of those above.
        columns: what of the file is used.
        pairs: the same rows in a second modality.
        out: the folder to write to.
        seed: decides a random start.
        force: replace what an earlier run has written there.
    """
    check.seed("seed", seed)
    required("matplotlib", "plot")
    method, dataset = named(method), dataset_of(file, columns.asked())
    dataset = pairs.beside(dataset, file, columns)
    by = _by_estimator if method in METHODS else _by_row
    laid_out = by(method, how, dataset)
    folder = folder_for(out, FILES, force)
    required("tqdm", "cli")
    layout = laid_out(seed)
    run = dict(data=origin(dataset), method=method) | layout.report
    scores = _scores(dataset, layout.z, seed)
    run |= dict(scores=scores)
    replaced(folder, FILES, _contents(layout, method, dataset, run | versions()))
    for name, value in scores.items():
        print(f"{name} {value:.3f}")
    if layout.interrupted:
        raise KeyboardInterrupt("the embedding was written as it was")


def embed_by(method: str) -> Callable:
    """icon embed, with the settings of a method as its flags."""
    return with_flags(embed, how=flags_of(method))


class Layout(NamedTuple):
    """Where rows are, and how they came there."""

    z: np.ndarray  # [n, c]
    report: dict[str, Any]
    interrupted: bool = False


def _by_estimator(name: str, how, dataset) -> Callable[[int], Layout]:
    """An estimator that is ready to be fitted with a seed."""
    from icon import estimators

    method = METHODS[name]
    y = method.learns_from(dataset, name)
    kind: Any = getattr(estimators, method.estimator)
    bar = dict(verbose=1) if "verbose" in kind().get_params() else {}

    def laid_out(seed: int) -> Layout:
        model = kind(**method.fixed, **given(how), **bar, random_state=seed)
        model, seconds = timed(model, dataset.features, y)
        params = model.get_params()
        hidden = (*OURS, *method.without)
        settings = {k: _shown(v) for k, v in params.items() if k not in hidden}
        report = dict(estimator=method.estimator, steps=model.n_iter_)
        report |= {key: getattr(model, of) for key, of in method.reported.items()}
        report |= dict(settings=settings | dict(seed=seed), seconds=seconds)
        return Layout(model.embedding_, report, model.interrupted_)

    return laid_out


def _shown(x: Any) -> Any:
    """A function by its name."""
    return x.__name__ if callable(x) else x


def _by_row(name: str, how, dataset) -> Callable[[int], Layout]:
    """A row of the table that is ready to be trained on all rows of the data."""
    from icon import recipes

    n = len(dataset.features)
    expected = f"a method for {n} rows, as {', '.join(METHODS)}"
    got = f"{name!r}, which takes {MOST} rows at most"
    check.require(n <= MOST, "method", got, expected)
    own = given(how)
    budget = recipes.spent(recipes.FULL, max(n, 2), own.pop("steps", None))
    row = row_with(name, **own)

    def laid_out(seed: int) -> Layout:
        m = recipes.material(dataset, seed, budget).undivided()
        trained = recipes.train(row, m)
        report = dict(
            trained=trained.summary,
            steps=len(trained.loss),
            loss=trained.value,
            settings=given(how) | dict(seed=seed),
            seconds=round(trained.seconds, 3),
        )
        return Layout(np.asarray(trained.embedding, np.float32), report)

    return laid_out


# ------------------------------------------------------- what is written


def _scores(dataset, z, seed: int) -> dict[str, float]:
    """How good the layout is, of a sample where there are many rows."""
    from icon import evaluate

    n = len(z)
    rows = np.random.default_rng(seed).permutation(n)[:SCORED]
    scores = {}
    if dataset.labels is not None:
        labelled = rows[dataset.labels[rows] >= 0]
        if len(labelled) > 10:
            labels = dataset.labels[labelled]
            scores["10-NN"] = evaluate.knn_accuracy(z[labelled], labels)
    if len(rows) > 24:
        x = dataset.features[rows]
        scores["trustworthiness"] = evaluate.trustworthiness(x, z[rows])
    return scores


def _contents(layout: Layout, method: str, dataset, run) -> dict[str, bytes]:
    z, labels, ids = layout.z, names_of(dataset), ids_of(dataset)
    columns = {f"{_column(method)}{i}": z[:, i] for i in range(z.shape[1])}
    columns |= known_of(dataset)
    contents = {
        "embedding.csv": table_of(columns),
        "embedding.npz": arrays_of(embedding=z, labels=labels, ids=ids),
        "embedding.npy": array_of(z),
        "report.json": as_json(run),
    }
    if z.shape[1] == 2:
        contents["embedding.png"] = _png(z, dataset)
    return contents


def _column(method: str) -> str:
    """What a column of a method is called: tsne, laplacian_eigenmaps."""
    return re.sub(r"\W", "", method.lower().replace(" ", "_"))


def _png(z, dataset) -> bytes:
    from matplotlib.figure import Figure

    from icon import plot

    figure = Figure((8, 7), layout="constrained")
    names = _legend(dataset)
    plot.embedding(z, dataset.labels, names=names, ax=figure.subplots())
    return rendered(figure)


def _legend(dataset) -> list[str] | None:
    """The names of the classes that are there, -1 first, where they have names."""
    if dataset.labels is None or not dataset.classes:
        return None
    names = [*dataset.classes, "no label"]
    return [names[i] for i in np.unique(dataset.labels)]
