"""Did anything get slower? Small sizes of the benchmarks against the ratios kept.

    ICON_DATA=<folder of mnist20k.npz> python benchmarks/check.py          # compare
    ICON_DATA=<folder of mnist20k.npz> python benchmarks/check.py --keep   # keep anew

A ratio is icon's time over that of a contender which takes turns with it in the same
process, so that another machine, or a busy one, changes it little. Each is the median
of three runs. One that is more than a tenth above what was kept is named, and the
status is 1.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cells


HERE = Path(__file__).parent
KEPT = HERE / "results/check.json"
RUNS, SLOWER = 3, 1.1


class Small(NamedTuple):
    """Sections of a benchmark, at its quick sizes, and where its rows have a ratio."""

    script: str
    sections: tuple[str, ...]
    who: str | None  # of the rows that count; None: all but icon's own
    column: str
    inverse: bool = False  # how many times faster icon is


SMALL = (
    Small(
        "contrastive",
        ("infonce", "clip", "ntxent", "supcon", "vocabulary"),
        None,
        "ratio",
    ),
    Small("embedding", ("optimisation",), "ratio", "warm_s", inverse=True),
)


def measured(small: Small) -> dict[str, float]:
    """The ratios of one quick run, each under the name of its row."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        script = str(HERE / f"{small.script}.py")
        options = ["--quick", "--only", *small.sections, "--out", str(out)]
        subprocess.run(
            [sys.executable, script, *options], check=True, stdout=subprocess.PIPE
        )
        found = json.loads(out.read_text())
    return {
        name: 1 / row[small.column] if small.inverse else row[small.column]
        for section in small.sections
        for row in found[section]["rows"]
        if (name := name_of(small, section, row))
    }


def name_of(small: Small, section: str, row) -> str | None:
    """What a row is called; None of one that has no ratio to another's time."""
    counts = row["who"] != "icon" if small.who is None else row["who"] == small.who
    if not counts or row.get(small.column) is None:
        return None
    size = " × ".join(str(row[name]) for name in ("n", "d") if name in row)
    against = "" if small.who else f" against {row['who']}"
    target = f", {row['target']}" if row.get("target") else ""
    return f"{small.script} {section} {size}{against}{target}"


def medians() -> dict[str, float]:
    ratios: dict[str, list[float]] = {}
    for _ in range(RUNS):
        for small in SMALL:
            for name, ratio in measured(small).items():
                ratios.setdefault(name, []).append(ratio)
    return {name: float(f"{median(each):.4g}") for name, each in ratios.items()}


def compared(now: dict[str, float], kept: dict[str, float]) -> list[str]:
    """The rows that take more than a tenth longer than they did, all of them told."""
    slower = []
    for name in kept.keys() - now.keys():
        print(f"    gone           {name}")
    for name, ratio in now.items():
        if name not in kept:
            print(f"{ratio:8.3f}      new  {name}")
            continue
        change = ratio / kept[name]
        print(f"{ratio:8.3f} {change - 1:+8.1%}  {name}")
        slower += [name] * (change > SLOWER)
    return slower


def main() -> int:
    say = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    say.add_argument("--keep", action="store_true", help="keep these ratios")
    asked, now = say.parse_args(), medians()
    if asked.keep:
        kept = dict(machine=cells.machine(), ratios=now)
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
        return 0
    if not KEPT.exists():
        sys.exit(f"{KEPT}: nothing is kept; run with --keep first")
    slower = compared(now, json.loads(KEPT.read_text())["ratios"])
    print(*(f"slower: {name}" for name in slower), sep="\n")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
