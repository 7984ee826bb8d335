"""What do the commands share? Data that come in, folders and files that go out."""

import contextlib
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


def dataset_of(data: Path | None, features, labels, source: str = "--data"):
    from icon import data as datasets

    if data is not None:
        return datasets.load(data, features=features, labels=labels)
    for name, key in (("features", features), ("labels", labels)):
        check.require(key is None, name, repr(key), f"None without {source}")
    return datasets.digits()


def timed(model, x, y=None):
    """The model, fitted, and its seconds; each of its warnings is printed as a line."""
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y)
    for warning in caught:
        print(f"icon: {warning.message}", file=sys.stderr)
    return model, round(time.perf_counter() - start, 3)


def origin(dataset) -> dict[str, Any]:
    rows, columns = dataset.features.shape
    return dict(name=dataset.name, rows=rows, columns=columns)


# ------------------------------------------------------- folders and files


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Whatever the file system refuses, as an InvalidInput that names the folder."""
    try:
        yield
    except OSError as error:
        got = f"{folder} ({error.strerror})"
        raise InvalidInput("out", got, "a folder that can be written to") from error


def folder_for(out: Path, names: Sequence[str]) -> Path:
    """The output folder, made and found writable before anything is trained."""
    with writing(check.path("out", out)):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    for name in names:
        check.writable("out", out / name)
    return out


def replaced(folder: Path, contents: dict[str, bytes]) -> None:
    files = {folder / name: x for name, x in contents.items()}
    with writing(folder):
        replace_all(files)
    for file in files:
        print(file)


def rendered(figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, dpi=130)
    return picture.getvalue()


def as_json(value: dict[str, Any]) -> bytes:
    text = json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False)
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
        value = _rounded(value) if value.dtype.kind == "f" else value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rounded(x):
    """Floats to four digits after the point, or five of their span if it is small."""
    x = np.asarray(x, np.float64)
    known = x[np.isfinite(x)]
    span = np.ptp(known) if known.size else 0.0
    digits = 4 if span == 0 else max(4, 5 - math.floor(math.log10(span)))
    return x.round(min(digits, 300)).tolist()
