"""What can be done from a terminal? icon table | embed | cluster | cells."""

import contextlib
import dataclasses
import functools as ft
import importlib.util
import io
import json
import logging
import math
import os
import platform
import re
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np

from icon import TABLE, Cell, DivergenceError, InvalidInput
from icon._base import checks as check
from icon._base.extras import required
from icon._base.files import replace_all
from icon._table import formula


FILES = ("table.png", "table.html", "table.json")
SUFFIXES = ("npy", "csv", "json", "png")


# ------------------------------------------------------- icon cells


def cells() -> None:
    """Print the table: every row's p, q and loss, its status and its reference."""
    shown = [
        (c.name, c.column, c.row, formula(c.p), formula(c.q), formula(c.loss), c.status)
        for c in TABLE.values()
    ]
    head = ("name", "p: column", "q: row", "p", "q", "loss", "status")
    widths = [max(map(len, column)) for column in zip(head, *shown, strict=True)]
    references = ["reference", *(c.reference for c in TABLE.values())]
    for line, reference in zip((head, *shown), references, strict=True):
        cut = [x.ljust(w) for x, w in zip(line, widths, strict=True)]
        print("  ".join([*cut, reference]).rstrip())


# ------------------------------------------------------- icon table


def find(name: str) -> Cell:
    """A cell by its name in the table, or by FILE.py:NAME."""
    if name in TABLE:
        return TABLE[name]
    file, _, attribute = name.rpartition(":")
    expected = "a name that `icon cells` prints, or FILE.py:NAME"
    check.require(file, "cells", repr(name), expected)
    real = check.path("cells", file).is_file() and file.endswith(".py")
    check.require(real, "cells", f"{file}, which is no such file", expected)
    cell: Any = vars(_module(file)).get(attribute)
    got = f"{attribute}, which is no Cell in {file}"
    check.require(isinstance(cell, Cell), "cells", got, expected)
    return cell


def _module(file: str):
    # by its whole path: a json.py is not the json that others import
    spec = importlib.util.spec_from_file_location(str(Path(file).resolve()), file)
    assert spec and spec.loader  # of every .py there are
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # lambdas are looked up by their module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        got = f"{file}, which raises {type(error).__name__}: {error}"
        raise InvalidInput("cells", got, "a file that runs") from error
    return module


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Whatever the file system refuses, as an InvalidInput that names the folder."""
    try:
        yield
    except OSError as error:
        got = f"{folder} ({error.strerror})"
        raise InvalidInput("out", got, "a folder that can be written to") from error


def _folder(out: Path, names: Sequence[str]) -> Path:
    """The output folder, made and found writable before anything is trained."""
    with _writing(check.path("out", out)):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    for name in names:
        check.writable("out", out / name)
    return out


def _dataset(data: Path | None, features, labels, source: str = "--data"):
    from icon import data as datasets

    if data is not None:
        return datasets.load(data, features=features, labels=labels)
    for name, key in (("features", features), ("labels", labels)):
        check.require(key is None, name, repr(key), f"None without {source}")
    return datasets.digits()


def table(
    cells: tuple[str, ...] = (),
    data: Path | None = None,
    features: str | None = None,
    labels: str | None = None,
    out: Path = Path("icon-table"),
    seed: int = 0,
    quick: bool = False,
) -> None:
    """Train every row of the periodic table and draw it.

    Writes table.png, table.html and table.json into a folder, replacing them. Ctrl-C
    ends it early and writes the rows that are finished, if any.

    Args:
        cells: only these: names that `icon cells` prints, or FILE.py:NAME.
        data: a .npy, .npz or .csv file, of which at most 1,797 rows are sampled;
            scikit-learn's digits without one.
        features: which array or columns to learn from; by default the only matrix.
        labels: which array or column has the labels; by default label, labels or y.
        out: the folder to write to.
        seed: decides the split, every start and every batch.
        quick: fewer points and steps, to see every row in little time.
    """
    required("matplotlib", "plot")
    required("tqdm", "cli")
    check.seed("seed", seed)
    from icon import recipes

    if quick:
        _compile_little()
    rows = [find(name) for name in cells] if cells else list(TABLE.values())
    dataset, folder = _dataset(data, features, labels), _folder(out, FILES)
    m = recipes.material(dataset, seed, recipes.QUICK if quick else recipes.FULL)
    results = _attempts(rows, m)
    missing = [cell.name for cell in rows[len(results) :]]
    run = dict(data=dataset.name, seed=seed, quick=quick, unfinished=missing)
    _write(folder, results, run)
    _summary(results)
    for name in FILES:
        print(folder / name)
    if missing:
        raise KeyboardInterrupt(f"{len(results)} of {len(rows)} rows were written")


def _attempts(rows: Sequence[Cell], m) -> list[dict[str, Any]]:
    """The results of the rows, at least one; after Ctrl-C, of those finished."""
    from icon import recipes

    bar = required("tqdm", "cli").tqdm
    ground, results = recipes.ground(m), []
    try:
        with bar(rows, unit="row", dynamic_ncols=True) as progress:
            for cell in progress:
                progress.set_postfix_str(cell.name)
                results.append(recipes.attempt(cell, m, ground))
    except KeyboardInterrupt:
        if not results:
            raise
    return results


LITTLE = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)


def _compile_little() -> None:
    """Half the time to compile, which a quick look spends most of its time on."""
    from importlib.metadata import version

    if version("jaxlib").startswith("0.10."):  # a flag XLA does not know is fatal
        flags = [os.environ.get("XLA_FLAGS", ""), *LITTLE]
        os.environ["XLA_FLAGS"] = " ".join(flags).strip()


def _summary(results: list[dict[str, Any]]) -> None:
    """The scores of every row, the raw data and the untrained beside."""
    width = max(len(result["name"]) for result in results)
    for result in results:
        scores = [f"{name} {value:.3f}" for name, value in result["scores"].items()]
        text = "  ".join(scores) or result["note"]
        print(f"{result['name']:{width}s}  {result['protocol']:13s}  {text}")


def _write(folder: Path, results: list[dict[str, Any]], run: dict[str, Any]) -> None:
    from icon.plot import poster, webpage
    from icon.plot import results as drawing

    shown = drawing.pictures(results)
    kept = _json(dict(run=run | _versions(), rows=results))
    contents = poster.content(shown), webpage.content(shown), kept
    with _writing(folder):
        replace_all({folder / name: x for name, x in zip(FILES, contents, strict=True)})


def _json(value: dict[str, Any]) -> bytes:
    text = json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode(errors="backslashreplace")  # a file name may be no Unicode


def _versions() -> dict[str, Any]:
    from importlib.metadata import version

    packages = ("icon-jax", "jax", "jaxlib", "numpy", "scipy", "scikit-learn", "optax")
    return dict(
        versions={name: version(name) for name in (*packages, "flax")},
        python=platform.python_version(),
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
    )


def _plain(value):
    """Numbers and lists that JSON can hold; what is not a number is null."""
    if isinstance(value, dict):
        return {key: _plain(x) for key, x in value.items()}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = value.round(4).tolist() if value.dtype.kind == "f" else value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ------------------------------------------------------- icon embed


@dataclasses.dataclass(frozen=True)
class How:
    """How rows are laid out: as icon.estimators.TSNE takes it."""

    n_components: int = 2
    """Columns of the embedding."""
    perplexity: tuple[float, ...] = (30.0,)
    """The effective number of neighbours; several for several scales."""
    early_exaggeration: float = 12.0
    """Of the attraction, at first."""
    early_exaggeration_iter: int = 250
    """For so many steps."""
    exaggeration: float = 1.0
    """Of the attraction, later."""
    max_iter: int = 750
    """Steps in total."""
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
    dataset, folder = _dataset(file, features, labels, "a file"), _folder(out, names)
    settings = dataclasses.asdict(how) | dict(seed=seed)
    if len(how.perplexity) == 1:
        settings["perplexity"] = how.perplexity[0]
    model, seconds = _fitted(dataset.features, **settings)
    run = _outcome(model, dataset) | dict(settings=settings, seconds=seconds)
    _keep(folder, model.embedding_, dataset.labels, run | _versions())
    if model.interrupted_:
        raise KeyboardInterrupt("the embedding was written as it was")


def _fitted(x, seed: int, **settings):
    """A t-SNE and its seconds."""
    from icon.estimators import TSNE

    required("tqdm", "cli")
    return _timed(TSNE(**settings, random_state=seed, verbose=1), x)


def _timed(model, x):
    """The model, fitted, and its seconds; each of its warnings is printed as a line."""
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x)
    for warning in caught:
        print(f"icon: {warning.message}", file=sys.stderr)
    return model, round(time.perf_counter() - start, 3)


def _outcome(model, dataset) -> dict[str, Any]:
    """What an embedding is of, and how good it became."""
    return dict(
        data=_origin(dataset),
        kl_divergence=model.kl_divergence_,
        perplexity_used=model.perplexity_,
        steps=model.n_iter_,
    )


def _origin(dataset) -> dict[str, Any]:
    rows, columns = dataset.features.shape
    return dict(name=dataset.name, rows=rows, columns=columns)


def _keep(folder: Path, z, labels, run: dict[str, Any]) -> None:
    contents = {"npy": _npy(z), "csv": _csv(z, labels), "json": _json(run)}
    if z.shape[1] == 2:
        contents["png"] = _png(z, labels)
    _replace(folder, {f"embedding.{suffix}": x for suffix, x in contents.items()})


def _replace(folder: Path, contents: dict[str, bytes]) -> None:
    files = {folder / name: x for name, x in contents.items()}
    with _writing(folder):
        replace_all(files)
    for file in files:
        print(file)


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
    return _rendered(figure)


def _rendered(figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, dpi=130)
    return picture.getvalue()


# ------------------------------------------------------- icon cluster


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
    dataset, folder = _dataset(file, features, labels, "a file"), _folder(out, names)
    settings = dataclasses.asdict(how) | dict(n_clusters=n_clusters)
    model, seconds = _clustered(dataset.features, seed, **settings)
    settings["seed"] = seed
    scores = _agreement(model, dataset.labels)
    run = _found(model, dataset) | dict(settings=settings, scores=scores)
    contents = {
        "clusters.csv": _assignments(model, dataset.labels),
        "clusters.json": _json(run | dict(seconds=seconds) | _versions()),
        "clusters.png": _shown(model, dataset.labels),
    }
    if model.choice_ is not None:
        contents["choice.png"] = _tried(model.choice_)
    _replace(folder, contents)
    for name, value in scores.items():
        print(f"{name} {value:.3f}")


def _clustered(x, seed: int, **settings):
    """A clustering and its seconds; each of its warnings is printed as one line."""
    from icon.estimators import NeighborClustering

    return _timed(NeighborClustering(**settings, random_state=seed), x)


def _found(model, dataset) -> dict[str, Any]:
    """What was clustered, how large the clusters are, and which rows are typical."""
    from icon import evaluate

    choice = model.choice_
    return dict(
        data=_origin(dataset),
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
    )


def _sizes(model):
    return np.bincount(model.labels_, minlength=model.n_clusters_)


def _confidence(model):
    """How sure each row is of its cluster."""
    return np.take_along_axis(model.memberships_, model.labels_[:, None], 1)[:, 0]


def _agreement(model, labels) -> dict[str, float]:
    """How good the clusters are by the labels; nothing without any."""
    from icon import evaluate

    if labels is None:
        return {}
    found = model.labels_
    return dict(
        accuracy=evaluate.hungarian_accuracy(labels, found),
        nmi=evaluate.nmi(labels, found),
        ari=evaluate.ari(labels, found),
        calibration_error=evaluate.calibration_error(
            labels, found, np.clip(_confidence(model), 0, 1)
        ),
    )


def _assignments(model, labels) -> bytes:
    """The cluster of every row, and how sure it is."""
    head, columns = ["cluster", "confidence"], [model.labels_, _confidence(model)]
    columns[1] = columns[1].round(4)
    if labels is not None:
        head, columns = [*head, "label"], [*columns, labels]
    rows = (",".join(map(str, row)) for row in zip(*columns, strict=True))
    return "".join(f"{row}\n" for row in (",".join(head), *rows)).encode()


def _shown(model, labels) -> bytes:
    """The layout by cluster, the sizes; with labels the confusion and calibration."""
    from icon import evaluate, plot

    found = model.labels_
    more: dict[str, Any] = {}
    if labels is not None:
        sure = np.clip(_confidence(model), 0, 1)
        more |= dict(
            confusion=evaluate.confusion(labels, found),
            reliability=evaluate.reliability(labels, found, sure),
        )
    return _rendered(plot.report(model.embedding_, found, _sizes(model), **more))


def _tried(choice) -> bytes:
    """Loss and stability over the number of clusters."""
    from matplotlib.figure import Figure

    from icon import plot

    figure = Figure((7, 4.5), layout="constrained")
    plot.choice(*choice, ax=figure.subplots())
    return _rendered(figure)


# ------------------------------------------------------- icon


COMMANDS: dict[str, Callable] = {
    "table": table,
    "embed": embed,
    "cluster": cluster,
    "cells": cells,
}


def main(args: Sequence[str] | None = None) -> None:
    """Run a command; a mistake in its arguments is one line and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that cannot be printed
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # of a home it cannot use
    usual, sys.unraisablehook = sys.unraisablehook, _again
    try:
        _parsed(sys.argv[1:] if args is None else args)()
        print(end="", flush=True)
    except (InvalidInput, ImportError) as error:
        _stop(str(error), 2)
    except (DivergenceError, MemoryError) as error:
        _stop(str(error) or "not enough memory", 1)
    except KeyboardInterrupt as error:
        _stop(f"stopped; {error.args[0] if error.args else 'nothing was written'}", 130)
    except BrokenPipeError:  # `icon cells | head` is no error
        sys.stdout = None
        raise SystemExit(0) from None
    except OSError as error:
        sys.stdout = None
        _stop(f"{error.strerror}", 1)
    finally:
        sys.unraisablehook = usual


def _again(lost) -> None:
    """Ctrl-C once more, if it came where nothing can be raised.

    JAX runs Python after every garbage collection.
    """
    if issubclass(lost.exc_type, KeyboardInterrupt):
        threading.Timer(0.01, os.kill, [os.getpid(), signal.SIGINT]).start()
    else:
        sys.__unraisablehook__(lost)


def _stop(why: str, status: int) -> NoReturn:
    """Say why in one line of at most 400 characters, and end."""
    line = " ".join(why.split())
    line = line if len(line) <= 400 else f"{line[:250]} ... {line[-140:]}"
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
    print(f"icon: {line}", file=sys.stderr)
    raise SystemExit(status) from None


def _parsed(args: Sequence[str]) -> Callable[[], None]:
    """The command with its arguments; what tyro refuses, in one line."""
    tyro = required("tyro", "cli")
    flat = (tyro.conf.OmitArgPrefixes,)  # --perplexity, not --how.perplexity
    run = tyro.extras.subcommand_cli_from_dict
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return run(LATER, prog="icon", args=_filled(args), config=flat)
    except SystemExit as end:
        if end.code != 2:
            raise
    words = re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue())  # no colors
    rule = r"(?m)^[^\w\n]*[-─]{5,}[^\w\n]*$"  # under the title, and above the help
    got = " ".join(re.sub(r"[│╭╮╰╯─]", " ", re.split(rule, words)[1]).split())
    named = re.search(r"--([a-z][a-z-]*)", got)
    argument = named[1].replace("-", "_") if named else "arguments"
    raise InvalidInput(argument, got, "what `icon --help` says")


SHORT = {"-k": "--n-clusters"}


def _filled(args: Sequence[str]) -> Sequence[str]:
    """Arguments in full, none of them empty, as an unset variable of a shell is."""
    for before, arg in zip(("arguments", *args), args, strict=False):
        check.require(arg, before.strip("-").replace("-", "_"), repr(arg), "a value")
    return [SHORT.get(arg, arg) for arg in args]


def _later(command: Callable) -> Callable[..., Callable[[], None]]:
    """The command as tyro sees it, to be run after its arguments were read."""

    @ft.wraps(command)
    def bound(*args, **options):
        return ft.partial(command, *args, **options)

    return bound


LATER = {name: _later(command) for name, command in COMMANDS.items()}
