"""Which faults would the tests not see?

python benchmarks/mutants.py [--count N] [--seed S] [--rooms _loss _engines ...]
python benchmarks/mutants.py --again    only those that survived the last time
Draws places of the package at random and breaks each in turn, in a copy: a sign, an
integer, a term, an order, an axis, a comparison, and / or, maximum / minimum, a
stop_gradient; each kind of fault as often as another. The tests of the module run, then
those of its room, four CPU minutes at most (two minutes on two cores), up to the first
that fails: that mutant is killed. One that survives is an equivalent program, or a gap.
Without a mutant the same tests have to pass.
Writes benchmarks/results/mutants.json.
"""

import argparse
import ast
import collections
import copy
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple


ROOT = Path(__file__).parent.parent
OUT = ROOT / "benchmarks/results/mutants.json"
LIMIT = 240  # CPU seconds for the tests of one mutant
FUZZ = "tests/properties/test_fuzz.py"
TESTS = {  # what kills most comes first
    "_loss": [FUZZ, "tests/_loss", "tests/_engines/test_devices.py"],
    "_engines": [
        FUZZ,
        "tests/_engines/test_report.py",
        "tests/_engines/test_devices.py",
        "tests/_engines/test_tiles.py",
    ],
    "_neighborhoods": [
        FUZZ,
        "tests/_neighborhoods/test_points.py",
        "tests/_neighborhoods/test_limits.py",
        "tests/_neighborhoods/test_compose.py",
        "tests/properties/test_inputs.py",
        "tests/_engines/test_devices.py",
        "tests/properties/test_everything.py::test_what_may_be_around_what",
    ],
}


class Mutant(NamedTuple):
    """A node of a file, and what stands there instead."""

    file: Path
    kind: str
    node: ast.AST
    instead: ast.AST


# ------------------------------------------------------- what may go wrong


OPPOSITE = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
OTHER = {"maximum": "minimum", "minimum": "maximum", "max": "min", "min": "max"}


def changed(node, **fields):
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def faults(node):
    """What this node could wrongly be: kind, and the node instead."""
    match node:
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            yield "sign", changed(node, op=OPPOSITE[type(node.op)]())
            yield "dropped term", node.left
        case ast.UnaryOp(op=ast.USub()):
            yield "sign", node.operand
        case ast.Compare(ops=[ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE()]):
            yield "comparison", changed(node, ops=[OPPOSITE[type(node.ops[0])]()])
        case ast.BoolOp():
            yield "and, or", changed(node, op=OPPOSITE[type(node.op)]())
        case ast.Attribute() if node.attr in OTHER:
            yield "maximum, minimum", changed(node, attr=OTHER[node.attr])
        case ast.Constant() if type(node.value) is int:
            yield "integer", changed(node, value=node.value + 1)
        case ast.Call(func=ast.Attribute(attr="stop_gradient"), args=[x]):
            if "max(" not in ast.unparse(x):  # a peak's gradient cancels in any case
                yield "stop_gradient", x
        case ast.Call(args=[x, ast.Constant(value=0 | 1 as k) as axis]):
            yield "axis", changed(node, args=[x, changed(axis, value=1 - int(k))])
        case ast.Call(func=ast.Name(id="isinstance" | "max" | "min")):
            return
        case ast.Call(args=[x, y, *rest]) if ast.dump(x) != ast.dump(y):
            yield "order of arguments", changed(node, args=[y, x, *rest])


def nodes(tree):
    """All that is computed: no annotation, and no import."""
    for name, field in ast.iter_fields(tree):
        if name in ("annotation", "returns"):
            continue
        for node in field if isinstance(field, list) else [field]:
            if isinstance(node, ast.AST):
                yield node
                yield from nodes(node)


def mutants(room: str):
    for file in sorted((ROOT / "icon" / room).glob("*.py")):
        for node in nodes(ast.parse(file.read_text())):
            yield from (Mutant(file, k, node, x) for k, x in faults(node))


def mutated(mutant: Mutant) -> str:
    """The file with the other text at the node's place."""
    node, text = mutant.node, mutant.file.read_bytes()
    lines = text.splitlines(keepends=True)
    place = lambda line, column: sum(map(len, lines[: line - 1])) + column
    start = place(node.lineno, node.col_offset)
    end = place(node.end_lineno, node.end_col_offset)
    instead = f"({ast.unparse(mutant.instead)})"
    if isinstance(node, ast.Attribute | ast.Constant):
        instead = instead[1:-1]
    return (text[:start] + instead.encode() + text[end:]).decode()


# ------------------------------------------------------- whether the tests see it


def tests_of(room: str, file: Path) -> list[str]:
    own = f"tests/{room}/test_{file.name}"
    return [own] * (ROOT / own).exists() + [x for x in TESTS[room] if x != own]


def _limited():
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))


def run(tests: list[str], cache: str, mutant: Mutant | None = None) -> dict:
    """Whether the tests pass in a copy of the package."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("icon", "tests"):
            shutil.copytree(ROOT / name, Path(folder, name))
        shutil.copy(ROOT / "pyproject.toml", folder)
        if mutant:
            Path(folder, mutant.file.relative_to(ROOT)).write_text(mutated(mutant))
        env = os.environ | dict(PYTHONPATH=folder, JAX_COMPILATION_CACHE_DIR=cache)
        options = "-n 0 -x -q --tb=no -rfE -p no:cacheprovider".split()
        addopts = ["-o", "addopts=--import-mode=importlib -m 'not slow'"]
        command = [sys.executable, "-m", "pytest", *addopts, *options, *tests]
        known = dict(cwd=folder, env=env, capture_output=True, text=True)
        known |= dict(preexec_fn=_limited if mutant else None)
        start = time.perf_counter()
        done = subprocess.run(command, **known)
    seconds = round(time.perf_counter() - start, 1)
    if done.returncode < 0:
        return dict(result="timed out", seconds=seconds)
    failed = [x for x in done.stdout.splitlines() if x.startswith(("FAILED", "ERROR"))]
    result = "killed" if done.returncode else "survived"
    return dict(result=result, seconds=seconds, by=" ".join(failed[:1])[:200])


def drawn(every: list, count: int, rng) -> list:
    """Of each kind as many as of another, while there are any."""
    left = {kind: [] for kind in sorted({mutant.kind for _, mutant in every})}
    for one in every:
        left[one[1].kind].append(one)
    chosen = []
    while len(chosen) < min(count, len(every)):
        kind = left[rng.choice([kind for kind, some in left.items() if some])]
        chosen.append(kind.pop(rng.randrange(len(kind))))
    return chosen


def described(mutant: Mutant) -> dict:
    place = f"{mutant.file.relative_to(ROOT)}:{mutant.node.lineno}"
    place += f":{mutant.node.col_offset + 1}"
    texts = dict(original=ast.unparse(mutant.node), mutated=ast.unparse(mutant.instead))
    return dict(place=place, kind=mutant.kind, **texts)


def name(one: dict) -> tuple:
    return one["place"], one["kind"], one["original"], one["mutated"]


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--count", type=int, default=200)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--rooms", nargs="+", choices=list(TESTS), default=list(TESTS))
    ask.add_argument("--again", action="store_true", help="those that survived")
    asked = ask.parse_args()
    every = [(room, mutant) for room in asked.rooms for mutant in mutants(room)]
    chosen = drawn(every, asked.count, random.Random(asked.seed))
    before = json.loads(OUT.read_text())["mutants"] if asked.again else []
    found = {name(x): x for x in before if x["result"] == "killed"}
    cache = tempfile.mkdtemp()
    whole = run(list(dict.fromkeys(sum(map(TESTS.get, asked.rooms), []))), cache)
    print(whole, flush=True)
    assert whole["result"] == "survived", "tests that fail kill every mutant"
    known = dict(places=len(every), seed=asked.seed, asked=asked.count)
    if asked.again:
        left = {name(x) for x in before} - set(found)
        chosen = [one for one in every if name(described(one[1])) in left]
    for room, mutant in chosen:
        one = described(mutant)
        found[name(one)] = one | run(tests_of(room, mutant.file), cache, mutant)
        print(found[name(one)], flush=True)
        counts = collections.Counter(x["result"] for x in found.values())
        result = known | counts | dict(mutants=list(found.values()))
        OUT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
