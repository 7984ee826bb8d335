"""Does everything the README shows run, and is its table the table?"""

import importlib.util
import re
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import icon
from icon._table.formula import formula


KEY = jax.random.key(0)
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def example(name):
    spec = importlib.util.spec_from_file_location(
        name, ROOT / "examples" / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tsne_of_digits(tmp_path):
    near, trust = example("tsne_digits").main(60, tmp_path / "tsne.png")
    assert near > 0.9 and trust > 0.95
    assert (tmp_path / "tsne.png").stat().st_size > 1000


def test_simclr_on_digits():
    probe, near = example("simclr_digits").main(4)
    assert probe > 0.93 and near > 0.93


def test_clip_on_halves():
    assert example("clip_digits").main(10) > 0.1  # chance is 0.02


def test_moco_on_digits():
    with jax.numpy_dtype_promotion("standard"):  # as optax, outside of icon.fit, needs
        probe, near = example("moco_digits").main(4)
    assert probe > 0.93 and near > 0.93


def test_a_slow_encoder_is_the_mean_of_the_fast_one():
    moco = example("moco_digits")
    images, key = np.random.default_rng(0).random((16, 8, 8), np.float32), KEY
    params, optimizer = moco.model.init(key, images[:1]), optax.sgd(0.5)
    step = moco.moco(optimizer)
    queue = jax.random.normal(key, (moco.KEYS, 128))
    state = params, params, queue, optimizer.init(params)
    slow = params
    for _ in range(3):
        state = step(state, images, key)
        slow = jax.tree.map(
            lambda s, f: moco.SLOW * s + (1 - moco.SLOW) * f, slow, state[0]
        )
        for one, two in zip(*map(jax.tree.leaves, (slow, state[1])), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)
    moved = jax.tree.map(lambda s, f: float(abs(s - f).max()), *state[:2])
    assert max(jax.tree.leaves(moved)) > 1e-4  # the two are not one
    np.testing.assert_array_equal(state[2][48:], queue[:-48])  # keys move on


def test_vae_on_digits():
    loss, near = example("vae_digits").main(10)
    assert loss < 40 and near > 0.3


def test_a_new_cell(capsys):
    assert example("new_cell").main() > 0
    assert "Report" in capsys.readouterr().out


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.py")))
def test_an_example_says_how_to_run_it_and_what_to_expect(file):
    text = file.read_text()
    assert f"python examples/{file.name}" in text and "Expect:" in text
    assert len(text.splitlines()) <= 80


def test_the_readme_shows_exactly_this_table():
    lines = re.findall(r"^\| ([^|]+) \| [^\n]+ (known|predicted|new) \|", README, re.M)
    assert [name for name, _ in lines] == list(icon.TABLE)
    for cell in icon.TABLE.values():
        for part in (cell.p, cell.q, cell.loss):
            assert f"`{formula(part)}`" in README, cell.name


def test_the_commands_of_the_readme_are_those_that_are_run():
    run = (ROOT / ".ci" / "run").read_text()
    for command in ("pip install -e '.[dev]'", ".venv/bin/pytest"):
        assert command in README
    assert "-e '.[dev]'" in run and ".venv/bin/pytest" in run


def test_no_two_rows_are_the_same_row():
    assert len({cell.name.lower() for cell in icon.TABLE.values()}) == len(icon.TABLE)
    rows = [
        (c.learns_from, *map(formula, (c.p, c.q, c.loss))) for c in icon.TABLE.values()
    ]
    assert len(set(rows)) == len(rows)
