"""Does importing icon cost nothing, change nothing, and show what it has?"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import icon


ROOT = Path(icon.__file__).parent
LATER = ("data", "encoders", "estimators", "evaluate", "plot", "recipes")


def alone(code):
    """What this prints in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env=env, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1], done.stderr


IMPORTED = """
import random, sys, logging
import jax, numpy
seed = lambda: (numpy.random.get_state()[1].tolist(), random.getstate())
before = seed(), logging.root.handlers[:]
values = dict(jax.config.values)
import icon
heavy = ["flax", "sklearn", "matplotlib", "plotly", "tyro", "orbax", "pandas"]
print([x for x in heavy if x in sys.modules])
from jax._src import xla_bridge
print(xla_bridge._backends)
print(values == dict(jax.config.values))
print(before == (seed(), logging.root.handlers[:]))
print("data" in icon.__dict__, "encoders" in icon.__dict__)
icon.student_t, icon.TABLE["t-SNE"]
print(xla_bridge._backends)
"""


def test_importing_it_imports_nothing_heavy_and_starts_nothing():
    said, complaints = alone(IMPORTED)
    assert said == ["[]", "{}", "True", "True", "False False", "{}"]
    assert not complaints


def test_the_public_names_are_sorted_and_all_there():
    assert dir(icon) == sorted(set(icon.__all__)) == sorted(icon.__all__)
    assert icon.__all__ == sorted(icon.__all__)
    assert not [name for name in icon.__all__ if name.startswith("_")]


@pytest.mark.parametrize("name", [x for x in dir(icon) if x not in (*LATER, "TABLE")])
def test_every_public_name_is_there_and_says_what_it_is(name):
    thing = getattr(icon, name)
    assert thing.__doc__


def test_every_module_is_there():
    there = {path.stem for path in ROOT.iterdir()}
    assert set(LATER) <= there


def test_another_name_is_no_name():
    with pytest.raises(AttributeError, match="module 'icon' has no attribute 'tsne'"):
        icon.tsne  # noqa: B018


def test_its_types_are_shipped():
    assert (ROOT / "py.typed").exists()
    assert 'packages = ["icon"]' in (ROOT.parent / "pyproject.toml").read_text()


# ------------------------------------------------------- the rooms


BELOW = {  # which rooms a room may import from
    "_base": set(),
    "_neighborhoods": {"_base"},
    "_search": {"_base", "_neighborhoods"},
    "_engines": {"_base", "_neighborhoods"},
    "_loss": {"_base", "_neighborhoods", "_engines"},
    "_training": {"_base", "_engines"},
    "_table": {"_base", "_neighborhoods", "_search", "_loss"},
    "data": {"_base"},
    "encoders": {"_base"},
    "evaluate": {"_base"},
    "plot": {"_base", "_neighborhoods", "_loss", "_training"},
}
BELOW["recipes"] = {*BELOW, "_base"} - {"plot"}
BELOW["estimators"] = {*BELOW["recipes"], "recipes"}
BELOW["cli"] = {*BELOW["estimators"], "estimators", "plot", "icon"}
BELOW["__main__"] = {"cli"}
FILES = sorted(ROOT.rglob("*.py"))


def room(path):
    """The room of a file: its first folder, or itself."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path):
    """What a file imports from icon, also inside functions: (module, names)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("icon"):
            yield node.module, [alias.name for alias in node.names]


def rooms_imported(path):
    """The rooms that a file imports from; "icon" for the public names."""
    for module, names in imported(path):
        if module == "icon":
            yield from (name if name in BELOW else "icon" for name in names)
        else:
            yield module.split(".")[1]


def test_the_file_list_shows_the_architecture():
    there = {path.name for path in ROOT.iterdir()} - {"__pycache__"}
    assert len(there) <= 17
    assert {room(path) for path in FILES} - {"__init__"} == set(BELOW)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_sees_only_the_rooms_below_it(path):
    if room(path) != "__init__":
        assert set(rooms_imported(path)) <= {*BELOW[room(path)], room(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_is_entered_by_its_front(path):
    for module, names in imported(path):
        parts = module.split(".")
        if len(parts) > 1 and parts[1] not in (room(path), "_base"):
            assert len(parts) == 2, f"from {module} import {names}"
        if len(parts) > 1 and parts[1] != room(path):
            assert not [name for name in names if name.startswith("_")]


def files_of(module, names):
    """The files that an import names: modules, or the names of one."""
    base = ROOT.joinpath(*module.split(".")[1:])
    if base.with_suffix(".py").exists():
        return [base.with_suffix(".py")]
    inside = [base / f"{name}.py" for name in names if (base / f"{name}.py").exists()]
    return inside or [base / "__init__.py"]


def test_no_imports_go_in_a_circle():
    after = {
        path: {
            file
            for module, names in imported(path)
            if module != "icon"
            for file in files_of(module, names)
        }
        for path in FILES
    }
    left = dict(after)
    while left:
        free = [path for path, needs in left.items() if not needs & left.keys()]
        assert free, f"a circle among {[str(p.relative_to(ROOT)) for p in left]}"
        for path in free:
            del left[path]


# ------------------------------------------------------- nothing probes


DOOR = "_neighborhoods/protocol.py"  # where users' objects are adapted, once


def is_probe(node):
    """hasattr, getattr with a default, or a __getattr__ that forwards."""
    if isinstance(node, ast.FunctionDef):
        return node.name == "__getattr__"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        defaulted = node.func.id == "getattr" and len(node.args) == 3
        return node.func.id == "hasattr" or defaulted
    return False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_object_is_probed_for_what_the_protocol_does_not_declare(path):
    probes = [n for n in ast.walk(ast.parse(path.read_text())) if is_probe(n)]
    here = str(path.relative_to(ROOT))
    if here == "__init__.py":  # the module's own, for what is loaded when used
        probes = [n for n in probes if not isinstance(n, ast.FunctionDef)]
    assert here == DOOR or not [ast.unparse(node) for node in probes]


def test_from_kl_to_a_kernel_in_seven_frames_and_five_files():
    code = """
import traceback
import icon, jax.numpy as jnp
calls = []
def kernel(a, b, temperature):
    frames = [f.filename for f in traceback.extract_stack() if "/icon/" in f.filename]
    calls.append(frames)
    return b @ a / temperature
q = icon.points(kernel, jnp.eye(4), temperature=1.0)
calls.clear()
icon.kl(icon.same([0, 0, 1, 1]), q)
print(max(map(len, calls)), max(len(set(frames)) for frames in calls))
"""
    said, _ = alone(code)
    frames, files = map(int, said[0].split())
    assert frames <= 7 and files <= 5
