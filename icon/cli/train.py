"""icon train: how is one row trained, and what is kept of it?"""

import io
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from icon._base import checks as check
from icon._base.extras import required
from icon.cli.names import find
from icon.cli.shared import as_json, folder_for, replaced, versions, writing
from icon.cli.table import On


FILES = ("model.npz", "train.json", "loss.csv", "embedding.npy", "picture.png")
CHECKPOINT = "checkpoint"


def train(
    cell: str,
    /,
    on: On = On(),  # noqa: B008
    out: Path = Path("icon-train"),
) -> None:
    """Train one row of the table on data and keep all of it.

    Writes model.npz (every parameter, by its path), train.json (settings, scores,
    versions), loss.csv (a line a step), embedding.npy (all rows) and picture.png into a
    folder, replacing them. A training on batches keeps checkpoints there: the same
    command goes on where one was stopped or killed, to the same bits.

    Args:
        cell: a name that `icon cells` prints, or FILE.py:NAME.
        on: what it is trained on.
        out: the folder to write to.
    """
    from icon import recipes

    required("matplotlib", "plot")
    required("orbax.checkpoint", "train")
    row, folder, bench = find(cell, "cell"), folder_for(out, FILES), on.bench()
    settings = on.settings(cell) | dict(cell=cell)
    _require_same(folder, settings)
    m = bench.material(row, on.seed)
    trained = recipes.train(
        row, m, model=bench.model, checkpoint=str(folder / CHECKPOINT)
    )
    shown = recipes.result(trained, m, recipes.Ground(m), bench.metric)
    kept = {
        key: x for key, x in shown.items() if key not in ("z", "labels", "clusters")
    }
    contents = {
        "model.npz": _arrays(dict(params=trained.params, states=trained.states)),
        "train.json": as_json(dict(settings=settings, **kept) | versions()),
        "loss.csv": _losses(trained.loss),
        "embedding.npy": _npy(trained.embedding),
        "picture.png": _picture(shown),
    }
    replaced(folder, contents)
    for name, value in shown["scores"].items():
        print(f"{name} {value:.3f}")


def _require_same(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse a folder that keeps the checkpoints of another training."""
    file = folder / "settings.json"
    if file.is_file():
        before = json.loads(file.read_bytes())
        unlike = [key for key in settings if before.get(key) != settings[key]]
        got = f"the training of another {', '.join(unlike)} in {folder}"
        check.require(not unlike, "out", got, "a folder of its own for each training")
    with writing(folder):
        file.write_bytes(as_json(settings))


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


def _npy(z) -> bytes:
    file = io.BytesIO()
    np.save(file, z, allow_pickle=False)
    return file.getvalue()


def _picture(shown: dict[str, Any]) -> bytes:
    from icon.plot import poster, results

    return poster.content(results.pictures([shown]))
