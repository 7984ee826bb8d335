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
    there = {path.stem for path in ROOT.glob("*.py")}
    assert set(LATER) <= there


def test_another_name_is_no_name():
    with pytest.raises(AttributeError, match="module 'icon' has no attribute 'tsne'"):
        icon.tsne  # noqa: B018


def test_its_types_are_shipped():
    assert (ROOT / "py.typed").exists()
    assert 'packages = ["icon"]' in (ROOT.parent / "pyproject.toml").read_text()


# ------------------------------------------------------- what a file may touch


def code(name):
    return ast.walk(ast.parse((ROOT / name).read_text()))


def test_the_loss_tests_no_type_and_compares_no_string():
    for node in code("_loss.py"):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("issubclass", "type"), ast.unparse(node)
            if node.func.id == "isinstance":  # of a cotangent, never of p or q
                assert ast.unparse(node) == "isinstance(g, SymbolicZero)"
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("__class__", "__name__") or _names_a_loss(node)


def _names_a_loss(node):
    return ast.unparse(node) == "both.__name__"


def imported(name):
    """The modules of icon that this one imports."""
    for node in code(name):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("icon"):
            if node.module == "icon":
                yield from (alias.name for alias in node.names)
            else:
                yield node.module.split(".")[1]


MAY = {
    "_numerics.py": set(),
    "_checks.py": set(),
    "_kernels.py": {"_numerics"},
    "_points.py": {"_checks", "_config", "_kernels", "_numerics"},
    "_clusters.py": {"_checks", "_numerics", "_points"},
    "_latent.py": {"_checks", "_numerics", "_points"},
    "_graph.py": {"_checks", "_masses", "_numerics", "_points"},
    "_masses/grid.py": set(),
    "_masses/pairs.py": {"_numerics", "_points"},
    "_masses/along.py": {"_masses", "_points"},
    "_masses/sampled.py": {"_checks", "_numerics", "_points"},
    "_masses/interpolated.py": {
        *("_checks", "_kernels", "_masses", "_numerics", "_points"),
    },
    "_near.py": {"_checks", "_numerics"},
    "_mix.py": {"_checks", "_numerics", "_points"},
    "_config.py": set(),
    "_masses/walk.py": {"_numerics", "_points"},
    "_masses/tiled.py": {
        *("_checks", "_masses", "_numbers", "_numerics", "_points"),
    },
    "_masses/sharded.py": {"_checks", "_numbers", "_numerics", "_points"},
    "_masses/owned.py": {"_masses", "_numbers", "_numerics", "_points"},
    "_numbers.py": {"_numerics", "_points"},
    "_sweeps.py": {"_checks", "_config", "_numbers", "_numerics"},
    "_loss.py": {
        *("_checks", "_config", "_masses", "_numbers", "_numerics", "_points"),
        "_sweeps",
    },
    "_descent.py": {"_checks"},
}


@pytest.mark.parametrize("name", MAY)
def test_a_file_knows_only_those_before_it(name):
    assert set(imported(name)) <= MAY[name]


def test_the_loss_knows_no_neighbourhood():
    names = {
        alias.name
        for node in code("_loss.py")
        if isinstance(node, ast.ImportFrom) and node.module == "icon._points"
        for alias in node.names
    }
    assert names <= {"EVERYBODY"}


def test_the_loss_compares_strings_only_by_its_own_four_letters():
    for node in code("_loss.py"):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            words = [x.value for x in sides if isinstance(x, ast.Constant)]
            assert not [w for w in words if isinstance(w, str) and len(w) > 1]
