"""icon table: what does every row of the periodic table make of some data?"""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from icon import TABLE, InvalidInput
from icon._base import checks as check
from icon._base.extras import required
from icon._base.files import replace_all
from icon._table import TASKS, formula
from icon.cli.on import On
from icon.cli.shared import as_json, folder_for, versions, writing
from icon.cli.workers import Made, Work, attempted, count_of


FILES = ("table.png", "table.html", "table.json")


# ------------------------------------------------------- icon cells


def cells(tasks: bool = False) -> None:
    """Print the table: every row's p, q and loss, its status and its reference.

    Args:
        tasks: print what p can be built from instead, and what p and q are handed.
    """
    if tasks:
        head = ("learns_from", "p is handed", "q is handed")
        _print([head, *((name, *both) for name, both in TASKS.items())])
        return
    shown = [
        (c.name, c.column, c.row, formula(c.p), formula(c.q), formula(c.loss), c.status)
        for c in TABLE.values()
    ]
    head = ("name", "p: column", "q: row", "p", "q", "loss", "status", "reference")
    lines = zip(shown, TABLE.values(), strict=True)
    _print([head, *((*line, cell.reference) for line, cell in lines)])


def _print(lines: Sequence[tuple[str, ...]]) -> None:
    """Lines in columns, each as wide as it needs."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cut = [x.ljust(w) for x, w in zip(line, widths, strict=True)]
        print("  ".join(cut).rstrip())


# ------------------------------------------------------- icon table


def table(
    cells: tuple[str, ...] = (),
    on: On = On(),  # noqa: B008
    seeds: int = 1,
    check_floors: bool = False,
    resume: bool = False,
    workers: int | None = None,
    out: Path = Path("icon-table"),
    force: bool = False,
) -> None:
    """Train every row of the periodic table and draw it.

    Writes table.png, table.html and table.json into a folder, the last after every row.
    Ctrl-C ends it early and draws the rows that are finished, if any.

    Args:
        cells: only these: names that `icon cells` prints, FILE.py:NAME, or FILE.py for
            all cells of a file.
        on: what rows are trained on.
        seeds: how many, from the seed on; scores are their means, with standard errors.
        check_floors: --check for short. Fail where a row is below its floor.
        resume: keep the rows of an earlier run that are in the folder.
        workers: how many processes train rows at once; by default one for each core,
            and one for a few rows or on an accelerator.
        out: the folder to write to.
        force: replace what an earlier run has written there.
    """
    required("matplotlib", "plot")
    required("tqdm", "cli")
    check.size("seeds", seeds)
    _compile_little(on.quick)
    work = Work(cells, on, range(on.seed, on.seed + seeds))
    made = work.made()
    folder = folder_for(out, FILES, force or resume)
    settings = on.settings(*cells) | dict(seeds=seeds)
    kept = _earlier(folder, settings) if resume else {}
    keeper = _Keeper(folder, settings, [cell.name for cell in made.cells])
    results = _attempts(work, made, workers, kept, keeper)
    keeper.draw(results)
    _summary(results)
    for name in FILES:
        print(folder / name)
    count = len(made.cells)
    if len(results) < count:
        raise KeyboardInterrupt(f"{len(results)} of {count} rows were written")
    if check_floors:
        _require_floors(results)
    some = not all(result.get("failed") for result in results)
    check.require(some, "cells", results[0]["note"], "a row that can be trained")


def _attempts(
    work: Work, made: Made, workers: int | None, kept: dict, keeper: "_Keeper"
) -> list[dict[str, Any]]:
    """The results of the rows, at least one; after Ctrl-C, of those finished."""
    names, bar = keeper.names, required("tqdm", "cli").tqdm
    found = {row: kept[name] for row, name in enumerate(names) if name in kept}
    left = [row for row in range(len(names)) if row not in found]
    attempts = attempted(work, made, left, count_of(workers, len(left)))
    shown = bar(total=len(names), initial=len(found), unit="row", dynamic_ncols=True)
    try:
        with shown as progress, contextlib.closing(attempts):
            for row, result in attempts:
                found[row] = result
                keeper.keep(_in_order(found))
                progress.set_postfix_str(names[row], refresh=False)
                progress.update()
    except KeyboardInterrupt:
        if not found:
            raise
    return _in_order(found)


def _in_order(found: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Results by their rows' places in the table, whichever was finished first."""
    return [found[row] for row in sorted(found)]


@dataclasses.dataclass(frozen=True)
class _Keeper:
    """Where results are kept, and of which run they are."""

    folder: Path
    settings: dict[str, Any]
    names: list[str]
    _lines: dict[int, bytes] = dataclasses.field(default_factory=dict)

    def keep(self, results: list[dict[str, Any]]) -> None:
        """The rows that are finished, so that nothing ends with the process."""
        with writing(self.folder):
            replace_all({self.folder / "table.json": self._json(results)})

    def draw(self, results: list[dict[str, Any]]) -> None:
        """All three files."""
        from icon.plot import poster, webpage
        from icon.plot import results as drawing

        shown = drawing.pictures(results)
        contents = poster.content(shown), webpage.content(shown), self._json(results)
        files = zip(FILES, contents, strict=True)
        with writing(self.folder):
            replace_all({self.folder / name: content for name, content in files})

    def _json(self, results: list[dict[str, Any]]) -> bytes:
        finished = {result["name"] for result in results}
        missing = [name for name in self.names if name not in finished]
        run = as_json(dict(settings=self.settings, unfinished=missing) | versions())
        rows = b",\n".join(map(self._line, results))
        return b'{"run": ' + run + b',\n"rows": [\n' + rows + b"\n]}\n"

    def _line(self, result: dict[str, Any]) -> bytes:
        """A row as JSON, worked out once."""
        if id(result) not in self._lines:
            self._lines[id(result)] = as_json(result, indent=None)
        return self._lines[id(result)]


def _earlier(folder: Path, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of an earlier run by name, but those that failed."""
    file = folder / "table.json"
    if not file.is_file():
        return {}
    try:
        earlier = json.loads(file.read_bytes())
        before, rows = earlier["run"]["settings"], earlier["rows"]
        by_name = {row["name"]: row for row in rows if not row.get("failed")}
    except (ValueError, TypeError, KeyError) as error:
        got = f"{file}, which no `icon table` has written"
        raise InvalidInput("resume", got, "the folder of an earlier run") from error
    unlike = [key for key in settings if before.get(key) != settings[key]]
    got = f"a run of another {', '.join(unlike)} in {folder}"
    check.require(not unlike, "resume", got, "the same settings, or another --out")
    return by_name


LITTLE = (
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)


def _compile_little(quick: bool) -> None:
    """Half the time to compile, of which many rows need much; steps are as fast.

    Or a quarter, and steps of twice the time, where there are few.
    """
    from importlib.metadata import version

    if version("jaxlib").startswith("0.10."):  # a flag XLA does not know is fatal
        level = f"--xla_backend_optimization_level={0 if quick else 1}"
        flags = [os.environ.get("XLA_FLAGS", ""), *LITTLE, level]
        os.environ["XLA_FLAGS"] = " ".join(flags).strip()


# ------------------------------------------------------- what is printed of it


def _summary(results: list[dict[str, Any]]) -> None:
    """The scores of every row, the raw data and the untrained beside."""
    width = max(len(result["name"]) for result in results)
    for result in results:
        errors = result.get("errors", {})
        scores = [_score(k, x, errors.get(k)) for k, x in result["scores"].items()]
        learned = [f"{k} {x:.4g}" for k, x in result.get("learned", {}).items()]
        text = "  ".join([*scores, *learned]) or result["note"]
        below = "  BELOW ITS FLOOR" if _is_below(result) else ""
        print(f"{result['name']:{width}s}  {result['protocol']:13s}  {text}{below}")


def _score(name: str, value: float | None, error: float | None) -> str:
    shown = f"{name} {value:.3f}" if value is not None else f"{name} none"
    return shown if error is None else f"{shown} ± {error:.3f}"


def _is_below(result: dict[str, Any]) -> bool:
    floor = result.get("floor")
    return floor is not None and not floor["held"]


def _missed(floor: dict[str, Any]) -> str:
    side = "above" if floor["least"] else "below"
    return f"{floor['score']} {side} {floor['value']:g}"


def _require_floors(results: list[dict[str, Any]]) -> None:
    """Fail if a row failed, or is below what it has to reach."""
    failed = [row["name"] for row in results if row.get("failed")]
    below = [
        f"{row['name']} ({_missed(row['floor'])})" for row in results if _is_below(row)
    ]
    count = sum(row.get("floor") is not None for row in results)
    expected = "the table's rows on their own data, trained in full"
    check.require(count or failed, "check", "no row that has a floor", expected)
    print(f"{count - len(below)} of {count} floors are held", file=sys.stderr)
    if failed or below:
        got = "; ".join([*below, *(f"{name} (failed)" for name in failed)])
        raise InvalidInput("check", got, "every row above its floor")
