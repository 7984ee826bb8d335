"""icon train: how is one row trained, and what is kept of it?"""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from icon._base import checks as check
from icon._base.extras import required
from icon._base.files import replace
from icon.cli.methods import numbers_of, row_with
from icon.cli.names import find
from icon.cli.on import On
from icon.cli.settings import given, with_flags
from icon.cli.shared import (
    array_of,
    arrays_of,
    as_json,
    folder_for,
    replaced,
    versions,
    writing,
)


FILES = (
    "model.npz",
    "report.json",
    "loss.csv",
    "embedding.npz",
    "embedding.npy",
    "picture.png",
)
CHECKPOINT, SETTINGS = "checkpoint", "settings.json"


def train(
    cell: str,
    /,
    on: On = On(),  # noqa: B008
    how: Any = None,
    out: Path = Path("icon-train"),
    force: bool = False,
) -> None:
    """Train one row of the table on data and keep all of it.

    Writes model.npz (every parameter, by its path), report.json (settings, scores,
    versions), loss.csv (a line a step), embedding.npy and embedding.npz (embedding,
    labels, and ids, which rows of the data they are) and picture.png into a folder. A
    training on batches keeps checkpoints there: the same command goes on where one was
    stopped or killed, to the same bits.

    The numbers of a row of the table, of its neighbours, its q and its loss, are flags
    too: `icon train SimCLR --help` has those of SimCLR.

    Args:
        cell: a name that `icon cells` prints, or FILE.py:NAME.
        on: what it is trained on.
        how: the numbers of the row.
        out: the folder to write to.
        force: begin anew where another training was.
    """
    from icon import recipes

    required("matplotlib", "plot")
    required("orbax.checkpoint", "train")
    bench, numbers = on.bench(), given(how) if how else {}
    row = row_with(cell, **numbers) if numbers else find(cell, "cell")
    settings = on.settings(cell) | dict(cell=cell) | numbers
    folder = _own_folder(out, settings, force)
    m = bench.material(row, on.seed)
    trained = recipes.train(
        row, m, model=bench.model, checkpoint=str(folder / CHECKPOINT)
    )
    shown = recipes.result(trained, m, recipes.Ground(m), bench.metric)
    replaced(folder, FILES, _contents(trained, m, shown, settings))
    for name, value in shown["scores"].items():
        print(f"{name} {value:.3f}")


def train_by(cell: str | None) -> Callable:
    """icon train, with the numbers of a row of the table as flags."""
    return with_flags(train, how=numbers_of(cell))


def _contents(trained, m, shown, settings: dict[str, Any]) -> dict[str, bytes]:
    drawn = ("z", "labels", "clusters")
    kept = {key: x for key, x in shown.items() if key not in drawn}
    return {
        "model.npz": _arrays(dict(params=trained.params, states=trained.states)),
        "report.json": as_json(dict(settings=settings, **kept) | versions()),
        "loss.csv": _losses(trained.loss),
        "embedding.npz": arrays_of(
            embedding=trained.embedding,
            labels=m.labels if m.labelled else None,
            ids=m.rows,
        ),
        "embedding.npy": array_of(trained.embedding),
        "picture.png": _picture(shown),
    }


def _own_folder(out: Path, settings: dict[str, Any], force: bool) -> Path:
    """The folder of this training, which may have begun there; another is refused."""
    before = _settings_in(check.path("out", out))
    folder = folder_for(out, FILES, force or before is not None)
    if before is not None:
        unlike = [key for key in settings if before.get(key) != settings[key]]
        got = f"the training of another {', '.join(unlike)} in {folder}"
        expected = "a folder of its own for each training, or --force to begin anew"
        check.require(force or not unlike, "out", got, expected)
    with writing(folder):
        if force:
            shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
        replace(folder / SETTINGS, as_json(settings))
    return folder


def _settings_in(folder: Path) -> dict[str, Any] | None:
    """The settings of the training that has begun there, if one has."""
    file = folder / SETTINGS
    if not file.is_file():
        return None
    try:
        return dict(json.loads(file.read_bytes()))
    except (ValueError, TypeError):  # which no training has written
        return {}


def _arrays(tree) -> bytes:
    """Every leaf under its path: "params/z/0/params/Dense_0/kernel"."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named: dict[str, Any] = {
        "/".join(map(_key, path)): np.asarray(x) for path, x in leaves
    }
    file = io.BytesIO()
    np.savez(file, **named)
    return file.getvalue()


def _key(step) -> str:
    return jax.tree_util.keystr((step,), simple=True)


def _losses(losses: np.ndarray) -> bytes:
    lines = [f"{step},{loss:.9g}" for step, loss in enumerate(losses, 1)]
    return "\n".join(["step,loss", *lines, ""]).encode()


def _picture(shown: dict[str, Any]) -> bytes:
    from icon.plot import poster, results

    return poster.content(results.pictures([shown]))
