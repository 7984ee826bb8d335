"""What do the commands share? Data that come in, folders and files that go out."""

import contextlib
import csv
import dataclasses
import io
import json
import math
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from icon import InvalidInput
from icon._base import checks as check
from icon._base.files import replace_all


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which columns or arrays of a file are used, and what for."""

    features: tuple[str, ...] = ()
    """Which columns, or which array of an .npz; by default all that have no other use,
    or the only matrix."""
    drop: tuple[str, ...] = ()
    """Columns that are no features."""
    labels: str | None = None
    """Which column or array has the labels; by default label, labels or y."""
    size: tuple[int, ...] = ()
    """Width and height to which images of a folder are resized, or one number for both;
    by default their own, or of several sizes the median."""

    def asked(self) -> dict[str, Any]:
        """As `icon.data.load` takes it."""
        features = list(self.features) or None
        asked: dict[str, Any] = dict(features=features, drop=list(self.drop))
        return asked | dict(labels=self.labels, size=self.size or None)


def dataset_of(file: Path | None, asked: dict[str, Any]):
    """The rows of a file, or scikit-learn's digits; what is left out is printed."""
    from icon import data as datasets

    if file is not None:
        with printed_warnings():
            return datasets.load(file, **asked)
    for name, given in asked.items():
        check.require(not given, name, repr(given), "None without a file")
    return datasets.digits()


@contextlib.contextmanager
def printed_warnings() -> Iterator[None]:
    """Each warning is a line on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"icon: {warning.message}", file=sys.stderr)


def timed(model, x, y=None):
    """The model, fitted, and its seconds."""
    start = time.perf_counter()
    with printed_warnings():
        model.fit(x, y)
    return model, round(time.perf_counter() - start, 3)


def origin(dataset) -> dict[str, Any]:
    rows, columns = dataset.features.shape
    known = dict(name=dataset.name, rows=rows, columns=columns)
    if "second" in dataset.also:
        known |= dict(second_columns=dataset.also["second"][0].size)
    return known | (dict(classes=dataset.classes) if dataset.classes else {})


def names_of(dataset) -> np.ndarray | None:
    """The labels of all rows, by the names of their classes where they have some."""
    if dataset.labels is None or not dataset.classes:
        return dataset.labels
    return np.array([*dataset.classes, ""])[dataset.labels]


def known_of(dataset) -> dict[str, np.ndarray]:
    """The columns of what is known of rows: their labels, and what they are called."""
    labels = names_of(dataset)
    known = {} if labels is None else dict(label=labels)
    return known | (dict(id=ids_of(dataset)) if _names_rows(dataset) else {})


def ids_of(dataset) -> np.ndarray:
    """What the rows are called, or their numbers."""
    n = len(dataset.features)
    return np.array(dataset.words) if _names_rows(dataset) else np.arange(n)


def _names_rows(dataset) -> bool:
    """Whether the words of a data set are what its rows are called."""
    return len(dataset.words) == len(dataset.features) and "tokens" not in dataset.also


# ------------------------------------------------------- folders and files


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Whatever the file system refuses, as an InvalidInput that names the folder."""
    try:
        yield
    except OSError as error:
        got = f"{folder} ({error.strerror})"
        raise InvalidInput("out", got, "a folder that can be written to") from error


def folder_for(out: Path, names: Sequence[str], force: bool) -> Path:
    """The output folder, made and found writable before anything is trained.

    What is in it already is replaced by force only.
    """
    with writing(check.path("out", out)):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    for name in names:
        require_free(out / name, force)
    return out


def require_free(file: Path, force: bool) -> None:
    """Refuse a file that cannot be written, or would replace one without force."""
    check.writable("out", file)
    free = force or not file.exists()
    expected = "a place where it is not, or --force to replace it"
    check.require(free, "out", f"{file}, which is there", expected)


def replaced(folder: Path, names: Sequence[str], contents: dict[str, bytes]) -> None:
    """All files at once; those of an earlier run that this one has not are removed."""
    files = {folder / name: x for name, x in contents.items()}
    with writing(folder):
        replace_all(files)
        for name in {*names} - {*contents}:
            (folder / name).unlink(missing_ok=True)
    for file in files:
        print(file)


def table_of(columns: dict[str, Any]) -> bytes:
    """Columns as a .csv.

    A text that a spreadsheet would run as a formula has an apostrophe before it.
    """
    file = io.StringIO()
    kept = [list(map(_cell, column)) for column in columns.values()]
    rows = zip(*kept, strict=True)
    csv.writer(file, lineterminator="\n").writerows([columns, *rows])
    return file.getvalue().encode(errors="backslashreplace")


def _cell(x: Any) -> Any:
    formula = isinstance(x, str) and x.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{x}" if formula else x


def arrays_of(**arrays) -> bytes:
    """Arrays as an .npz, those that are None left out."""
    file = io.BytesIO()
    np.savez(file, **{name: x for name, x in arrays.items() if x is not None})
    return file.getvalue()


def array_of(x) -> bytes:
    """An array as an .npy."""
    file = io.BytesIO()
    np.save(file, x, allow_pickle=False)
    return file.getvalue()


def rendered(figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, dpi=130)
    return picture.getvalue()


def as_json(value: dict[str, Any], indent: int | None = 1) -> bytes:
    value = _plain(value)
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode(errors="backslashreplace")  # a file name may be no Unicode


def versions() -> dict[str, Any]:
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
        return _rounded(value) if value.dtype.kind == "f" else value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rounded(x):
    """Floats to four digits after the point, or five of their span if it is small."""
    x = np.asarray(x, np.float64)
    known = x[np.isfinite(x)]
    span = np.ptp(known) if known.size else 0.0
    digits = 4 if span == 0 else max(4, 5 - math.floor(math.log10(span)))
    rounded = np.asarray(x.round(min(digits, 300)), object)
    rounded[~np.isfinite(x)] = None
    return rounded.tolist()
