"""Does importing icon cost nothing, change nothing, and show what it has?"""

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
