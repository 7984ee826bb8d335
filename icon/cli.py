"""What can be done from a terminal? icon table | cells."""

import importlib.util
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from icon._checks import InvalidInput, require


FILES = ("table.png", "table.html", "table.json")


def _needs(module: str, extra: str):
    """A module of an extra, or an error that names it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        fix = f"pip install 'icon-jax[{extra}]'"
        raise ImportError(f"{module} is missing: {fix}") from error


# ------------------------------------------------------- icon cells


def cells() -> None:
    """Print the table: every row's p, q and loss, its status and its reference."""
    from icon import TABLE
    from icon._formula import formula

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


def find(name: str):
    """A cell by its name in the table, or by FILE.py:NAME."""
    from icon import TABLE, Cell

    if name in TABLE:
        return TABLE[name]
    file, _, attribute = name.rpartition(":")
    expected = "a name that `icon cells` prints, or FILE.py:NAME"
    require(file, "cells", repr(name), expected)
    require(Path(file).is_file(), "cells", f"{file}, which is no file", expected)
    found = getattr(_module(file), attribute, None)
    got = f"{attribute}, which is no Cell in {file}"
    require(isinstance(found, Cell), "cells", got, expected)
    return found


def _module(file: str):
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # lambdas are looked up by their module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        got = f"{file}, which raises {type(error).__name__}: {error}"
        raise InvalidInput("cells", got, "a file that runs") from error
    return module


def _folder(out: Path) -> Path:
    """The output folder, made and found writable before anything is trained."""
    expected = "a folder that can be written to"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            return out
    except OSError as error:
        raise InvalidInput("out", f"{out} ({error.strerror})", expected) from error


def _dataset(data: Path | None, features: str | None, labels: str | None):
    from icon import data as datasets

    if data is not None:
        return datasets.load(data, features=features, labels=labels)
    for name, key in (("features", features), ("labels", labels)):
        require(key is None, name, repr(key), "None without --data")
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

    Writes table.png, table.html and table.json into a folder, replacing them.

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
    _needs("matplotlib", "plot")
    bar = _needs("tqdm", "cli").tqdm
    require(0 <= seed < 2**32, "seed", seed, "an integer from 0 to 2**32 - 1")
    from icon import TABLE, recipes

    if quick:
        _compile_little()
    rows = [find(name) for name in cells] if cells else list(TABLE.values())
    found, folder = _dataset(data, features, labels), _folder(out)
    m = recipes.material(found, seed, recipes.QUICK if quick else recipes.FULL)
    ground, results = recipes.ground(m), []
    with bar(rows, unit="row", dynamic_ncols=True) as progress:
        for cell in progress:
            progress.set_postfix_str(cell.name)
            results.append(recipes.attempt(cell, m, ground))
    _write(folder, results, dict(data=found.name, seed=seed, quick=quick))
    _summary(results)
    for name in FILES:
        print(folder / name)


LITTLE = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)


def _compile_little() -> None:
    """A quick look compiles longer than it runs: half the time, where XLA knows how."""
    from importlib.metadata import version

    if version("jaxlib").startswith("0.10."):  # a flag XLA does not know is fatal
        flags = [os.environ.get("XLA_FLAGS", ""), *LITTLE]
        os.environ["XLA_FLAGS"] = " ".join(flags).strip()


def _summary(results: list[dict[str, Any]]) -> None:
    """The scores of every row, the raw data and the untrained beside."""
    wide = max(len(result["name"]) for result in results)
    for result in results:
        scores = [f"{name} {value:.3f}" for name, value in result["scores"].items()]
        said = "  ".join(scores) or result["note"]
        print(f"{result['name']:{wide}s}  {result['protocol']:13s}  {said}")


def _write(folder: Path, results: list[dict[str, Any]], run: dict[str, Any]) -> None:
    from icon import plot

    plot.table(results, folder / "table.png")
    plot.page(results, folder / "table.html")
    said = dict(run=run | _versions(), rows=[_plain(result) for result in results])
    text = json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False)
    _replace(folder / "table.json", text)


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
    if hasattr(value, "tolist"):
        value = value.round(4).tolist() if value.dtype.kind == "f" else value.tolist()
    if isinstance(value, list):
        return [_plain(x) for x in value]
    return None if isinstance(value, float) and value != value else value


def _replace(path: Path, text: str) -> None:
    """Written beside, then renamed: a reader sees the old file or the new one."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    os.replace(file.name, path)


# ------------------------------------------------------- icon


COMMANDS: dict[str, Callable] = {"table": table, "cells": cells}


def main(args: Sequence[str] | None = None) -> None:
    """Run a command; a mistake in its arguments is one line and exit status 2."""
    try:
        tyro = _needs("tyro", "cli")
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="icon", args=args)
    except (InvalidInput, ImportError) as error:
        print(f"icon: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("icon: stopped; nothing was written", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:  # `icon cells | head` is no error
        sys.stdout = None
        raise SystemExit(0) from None
