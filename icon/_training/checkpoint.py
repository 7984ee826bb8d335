"""How does a run survive being killed?"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icon._base import checks as check
from icon._base import files
from icon._base.extras import required
from icon._training.columns import Columns, put_together, taken_apart
from icon._training.run import Now, Run
from icon._training.step import Held, described, is_key


ORBAX = "orbax.checkpoint.experimental.v1"
DIGEST, FORMAT = "DIGEST.json", 1
CURSOR = Now._fields[1:]


class Nowhere:
    """No checkpoint: a run starts anew, and nothing is written."""

    def latest(self, run: Run) -> Run:
        return run

    def kept(self, metrics):
        return metrics

    def save(self, run: Run) -> None:
        pass


class Checkpoint:
    """A folder with the last two states of one run, each in a folder of its own.

        step-00000200/arrays/        what Orbax makes of them
        step-00000200/DIGEST.json    the SHA-256 of every file there and of the rest of
                                     itself; step, epoch, position; of which run it is

    The digest is written last and renamed: a state without one that matches is none.
    """

    def __init__(self, folder, key, ema: float | None, start: Held):
        self._folder, self._start = _folder("checkpoint", folder), start
        self._config = _config(key, ema, start)
        self._orbax = required(ORBAX, "train")
        self._body: dict = {}  # of the digest written last, or read
        self._columns = Columns()  # of the steps that are written
        self._broken: dict[Path, str] = {}  # states that are none, and why

    def latest(self, run: Run) -> Run:
        """The run at its newest state; as it starts, if there is none."""
        with files.alone(self._folder):
            self._body = self._newest()
        at = self._body.get("step", 0)
        if self._broken:
            over = ", ".join(f"{p.name} ({why})" for p, why in self._broken.items())
            text = f"checkpoint: passed over {over}; goes on from step {at}"
            warnings.warn(text, stacklevel=3)
        _require_everywhere(at)
        if not self._body:
            return run
        self._require_of_this_run()
        held, self._columns = self._loaded()
        rows = [*self._columns.rows()]
        now = Now(held, *(self._body[name] for name in CURSOR))
        return Run(now, *zip(*rows, strict=True))

    def kept(self, metrics):
        """Metrics as NumPy arrays, refused if they could not be read again."""
        structure, leaves = taken_apart(metrics)
        return put_together(structure, iter(leaves))

    def save(self, run: Run) -> None:
        """Write where a run is, unless it is there already."""
        cursor = dict(zip(CURSOR, run.now[1:], strict=True))
        if not run.now.step or cursor.items() <= self._body.items():
            return
        writer = jax.process_index() == 0
        with files.alone(self._folder) if writer else contextlib.nullcontext():
            place, last = _place(self._folder, run.now.step), self._body.get("step", 0)
            body, columns = self._body, self._columns
            if run.now.step != last:
                body, columns = self._written(place, run, writer)
            body = body | cursor
            if writer:
                files.replace(place / DIGEST, _sealed(body))
            self._body, self._columns = body, columns
            if writer and run.now.step != last:
                self._clear(keep=(last, run.now.step))

    def _written(self, place: Path, run: Run, writer: bool) -> tuple[dict, Columns]:
        """Write the arrays of a run; what its digest says, and the steps in it."""
        if writer:
            shutil.rmtree(place, ignore_errors=True)  # what a killed one has left
            place.mkdir()
        done = len(self._columns.of_rows)
        rows = [*zip(run.losses[done:], run.metrics[done:], strict=True)]
        columns = self._columns.extended(rows)
        arrays = {**_named(run.now.held), **_named_columns(columns)}
        arrays = {name: _savable(x) for name, x in arrays.items()}
        full = {name: x for name, x in arrays.items() if x.size}  # Orbax has no other
        self._orbax.save(place / "arrays", full)
        specs = {name: [x.dtype.name, x.shape] for name, x in arrays.items()}
        body = dict(format=FORMAT, config=self._config, versions=_versions())
        body |= dict(files=_hashes(place), arrays=specs, kinds=columns.kinds)
        return json.loads(json.dumps(body)), columns

    def _clear(self, keep: tuple[int, ...]) -> None:
        """Remove older states, and those that are none."""
        for step, place in _places(self._folder):
            if step not in keep and (step < max(keep) or place in self._broken):
                shutil.rmtree(place, ignore_errors=True)
        self._broken = {}

    def _newest(self) -> dict:
        """What the digest of the newest state says; nothing, if there is none."""
        for step, place in _places(self._folder):
            try:
                return _read(place, step)
            except (OSError, ValueError) as error:
                self._broken[place] = str(error)
        return {}

    def _require_of_this_run(self) -> None:
        """Refuse a state of a run of another key, ema, structure, shape or dtype."""
        there, here = self._body["config"], self._config
        for name in {**here, **there}:
            one, other = here.get(name, "absent"), there.get(name, "absent")
            expected = f"a folder of a run with {name} {one}"
            got = f"one with {name} {other}"
            check.require(one == other, "checkpoint", got, expected)

    def _loaded(self) -> tuple[Held, Columns]:
        """What the newest state holds, where the run starts with it, and its steps."""
        start, specs = _named(self._start), self._body["arrays"]
        like = {name: _abstract(start.get(name), *spec) for name, spec in specs.items()}
        full = {name: x for name, x in like.items() if 0 not in x.shape}
        place = _place(self._folder, self._body["step"])
        arrays = {**like, **self._orbax.load(place / "arrays", full)}
        leaves = [_as_in(x, arrays[name]) for name, x in start.items()]
        held = jax.tree.unflatten(jax.tree.structure(self._start), leaves)
        return held, _columns_of(arrays, self._body["kinds"])


# ------------------------------------------------------- folders and digests


def _folder(argument: str, x) -> Path:
    """A folder, made if there is none."""
    folder = check.path(argument, x).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got, expected = f"{str(x)!r}: {error.strerror}", "a folder, or where one can be"
        raise check.InvalidInput(argument, got, expected) from None
    return folder


def _place(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def _places(folder: Path) -> list[tuple[int, Path]]:
    """The steps that there are folders of, the newest first."""
    found = [
        (re.fullmatch(r"step-(\d+)", place.name), place) for place in folder.iterdir()
    ]
    return sorted(
        [(int(name[1]), place) for name, place in found if name], reverse=True
    )


def _sealed(body: dict) -> bytes:
    """A digest that also has its own."""
    return json.dumps({"digest": _own(body), **body}, indent=1).encode()


def _own(body: dict) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _read(place: Path, step: int) -> dict:
    """What a digest says, if all is as it says; ValueError if it is not."""
    try:
        body = json.loads((place / DIGEST).read_bytes())
    except FileNotFoundError:
        raise ValueError(f"no {DIGEST}") from None
    except ValueError:
        raise ValueError(f"{DIGEST} is damaged") from None
    own = body.pop("digest", None) if isinstance(body, dict) else None
    if own is None or own != _own(body):
        raise ValueError(f"{DIGEST} is damaged")
    if body["format"] != FORMAT or body["step"] != step:
        raise ValueError(f"{DIGEST} is of another format or step")
    for name, expected in body["files"].items():
        if not (place / name).is_file() or _hash(place / name) != expected:
            raise ValueError(f"{name} is damaged")
    return body


def _hashes(place: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, all of them on the disk."""
    paths = sorted(path for path in place.rglob("*") if path.is_file())
    for path in paths:
        with open(path, "rb") as file, contextlib.suppress(OSError):
            os.fsync(file.fileno())  # not of a file that is only read, on Windows
    return {path.relative_to(place).as_posix(): _hash(path) for path in paths}


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_everywhere(step: int) -> None:
    """Refuse a folder that is not the same one for every process."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        steps = multihost_utils.process_allgather(np.int32(step))
        got = f"folders at steps {np.unique(steps).tolist()}"
        expected = "one folder that all processes share"
        check.require(np.all(steps == step), "checkpoint", got, expected)


# ------------------------------------------------------- which run


def _config(key, ema: float | None, start: Held) -> dict[str, str]:
    """What a run is recognised by, each with its name."""
    bits = np.asarray(jax.random.key_data(key) if is_key(key) else key).tolist()
    config = {"key": f"{bits} {key.dtype}", "ema": str(ema)}
    for part, tree in start._asdict().items():
        config |= {f"{part}{at}": spec for at, spec in described(tree).items()}
    return config


def _versions() -> dict[str, str]:
    """The versions of what computes and writes, as far as it is installed."""
    names = "icon-jax", "jax", "jaxlib", "numpy", "optax", "flax", "orbax-checkpoint"
    versions = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


# ------------------------------------------------------- arrays


def _named(held: Held) -> dict[str, Any]:
    """The leaves of what a run holds, each by its part and number."""
    parts = held._asdict().items()
    leaves = {part: jax.tree.leaves(tree) for part, tree in parts}
    return {f"{part}.{i}": x for part, xs in leaves.items() for i, x in enumerate(xs)}


def _named_columns(columns: Columns) -> dict[str, np.ndarray]:
    arrays = {
        f"steps.{kind}.{i}": x
        for kind, leaves in enumerate(columns.arrays)
        for i, x in enumerate(leaves)
    }
    return {"kinds": columns.of_rows, **arrays}


def _columns_of(arrays: dict[str, Any], kinds: list[str]) -> Columns:
    counts = [len(json.loads(kind)[1]) for kind in kinds]
    leaves = [
        tuple(arrays[f"steps.{kind}.{i}"] for i in range(count))
        for kind, count in enumerate(counts)
    ]
    return Columns(tuple(kinds), arrays["kinds"], tuple(leaves))


def _savable(x):
    """NumPy's, unless other processes have a part of it; of a key its numbers."""
    x = jax.random.key_data(x) if is_key(x) else x
    shared = isinstance(x, jax.Array) and not x.is_fully_addressable
    return x if shared else np.asarray(x)


def _abstract(start, dtype: str, shape: list[int]):
    """What an array is loaded as: where the run starts with it, if that is shared."""
    kind = jnp.dtype(dtype)
    shared = isinstance(start, jax.Array) and not start.is_fully_addressable
    if shared and not is_key(start):
        return jax.ShapeDtypeStruct(tuple(shape), kind, sharding=start.sharding)
    return np.empty(shape, kind)


def _as_in(start, x):
    """A loaded array on the devices where the run starts with it."""
    if not isinstance(x, np.ndarray):
        return x
    array = jnp.asarray(x)
    if is_key(start):
        array = jax.random.wrap_key_data(array, impl=jax.random.key_impl(start))
    same = array.sharding.device_set == start.sharding.device_set
    return array if same else jax.device_put(array, start.sharding)
