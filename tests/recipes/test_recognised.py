"""Is what a user hands in taken for what it is, or refused by its name?"""

import json
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from flax import nnx

import icon
from icon import cli, recipes
from icon.recipes import training


CLASS = np.arange(80) % 4
X = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32) + CLASS[:, None]
SHORT = dict(points=80, steps=4)
DATA = icon.data.dataset("own", X, CLASS)


class Normed(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Dense(8)(x.reshape(len(x), -1))
        return nn.Dense(8)(nn.BatchNorm(use_running_average=not train)(x))


# ------------------------------------------------------- data


def test_the_same_features_with_other_labels_are_other_data():
    bench, cell = recipes.Bench(DATA), icon.TABLE["SupCon"]
    relabelled = icon.data.dataset("own", X, CLASS // 2)._replace(
        features=DATA.features
    )
    first = bench.material(cell, 0)
    assert bench.material(cell, 0) is first
    second = recipes.Bench(relabelled).material(cell, 0)
    assert first.classes == 4 and second.classes == 2
    beside = DATA._replace(also={"time": X[:, 0]})
    assert set(recipes.Bench(beside).material(cell, 0).also) == {"time"}


def test_images_of_bytes_in_memory_are_what_they_are_in_a_file(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (80, 8, 8, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    materials = [
        recipes.Bench(data).material(icon.TABLE["SimCLR"], 0)
        for data in (images, tmp_path / "images.npy")
    ]
    assert materials[0].x.max() <= 1
    np.testing.assert_array_equal(materials[0].x, materials[1].x)


def test_a_file_keeps_its_split_and_what_is_known_beside(tmp_path):
    first = np.arange(80) < 30
    file = tmp_path / "split.npz"
    np.savez(file, x=X, label=CLASS, train=first, side=X[:, :2])
    m = recipes.Bench(file).material(icon.TABLE["X-Sample CL"], 0)
    assert m.train.tolist() == list(range(30)) and len(m.test) == 50
    np.testing.assert_array_equal(m.also["side"], X[:, :2].astype(np.float32))


# ------------------------------------------------------- cells without a row


def memberships(c):
    return icon.clusters(c)


@pytest.mark.slow
def test_only_refused_memberships_make_a_clustering():
    near = icon.Cell("near", lambda x: icon.gaussian(x, scale=2.0), memberships)
    found = recipes.run(near, DATA, points=80, steps=4)
    assert "Hungarian" in found["scores"]
    classes = jnp.arange(4)
    wrong = icon.Cell("wrong", lambda y: icon.same(y, classes), icon.scores)
    with pytest.raises(icon.InvalidInput) as error:
        recipes.run(wrong, DATA, **SHORT)
    assert error.value.argument != "memberships"


@pytest.mark.slow
def test_a_sum_of_clusterings_is_one():
    one = icon.Cell("one", lambda x: icon.gaussian(x, scale=2.0), memberships)
    two = icon.Cell("two", lambda x: icon.gaussian(x, scale=1.0), memberships)
    found = recipes.run(one + 0.5 * two, DATA, points=80, steps=4)
    assert "Hungarian" in found["scores"] and np.isfinite(found["loss_value"])


def test_a_p_that_learns_is_handed_what_it_accepts():
    cell = icon.Cell(
        "wide", lambda x, scale: icon.gaussian(x, scale=scale), icon.gaussian,
        learned={"scale": icon.positive(1.0)},
    )  # fmt: skip
    found = recipes.run(cell, DATA, points=80, steps=4)
    assert found["n"] == 80 and found["learned"]["scale"] > 0


@pytest.mark.slow
def test_a_number_without_a_gradient_stays():
    cell = icon.Cell(
        "ranks",
        icon.same,
        lambda z, w, temperature: icon.hard(icon.cosine(z, w, temperature=temperature)),
        icon.tv,
        "labels and classes",
        column="Data-label pairs",
        row="σ → 0",
        learned={"temperature": icon.positive(0.3)},
    )
    found = recipes.run(cell, DATA, **SHORT)
    assert "descends cross-entropy" in found["note"]
    assert found["learned"]["temperature"] == pytest.approx(0.3)


# ------------------------------------------------------- sums


@pytest.mark.parametrize("name", [slow("VAE"), "SOM"])
def test_a_multiple_of_a_row_is_scored_as_the_row_is(name):
    rows = 2 * icon.TABLE[name], icon.TABLE[name]
    twice, once = (recipes.run(row, DATA, **SHORT) for row in rows)
    assert twice["scores"].keys() == once["scores"].keys()
    assert twice["z"].shape == once["z"].shape


@pytest.mark.slow
def test_a_sum_has_the_longest_head_in_either_order():
    rows = icon.TABLE["cross-entropy"], icon.TABLE["SimCLR"]
    m = recipes.material(DATA, budget=recipes.spent(recipes.QUICK, 80, 4))
    for one, two in (rows, rows[::-1]):
        trained = recipes.train(one + two, m)
        assert "a head 256-128" in trained.summary
        assert "; beside " in trained.summary


# ------------------------------------------------------- all rows at once


def test_a_network_sees_all_rows_in_their_order():
    def ordered(m):
        arguments = lambda model, key, x: ((jnp.arange(80) // 2,), (model(x),))
        return recipes.Task(dict(x=m.x), arguments, size=None)

    cell = icon.Cell("ordered", icon.same, icon.cosine, learns_from=ordered)
    m = recipes.material(DATA, budget=recipes.spent(recipes.QUICK, 80, 3))
    feed = training.setup_of(cell, m).batches(3)
    for epoch in range(3):
        (batch,) = feed(jax.random.key(epoch), epoch)
        np.testing.assert_array_equal(batch["x"], m.x)
    assert [*feed(jax.random.key(3), 3)] == []


# ------------------------------------------------------- models


@pytest.mark.slow
def test_a_network_with_a_state_learns_from_all_rows_at_once():
    found = recipes.run("cluster balance", DATA, model=Normed(), **SHORT)
    assert "Normed" in found["trained"] and np.isfinite(found["loss_value"])


@pytest.mark.slow
def test_a_class_of_linen_is_made():
    class Small(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(4)(x)

    assert recipes.run("SimCLR", DATA, model=Small, **SHORT)["scores"]


@pytest.mark.slow
def test_a_module_that_is_made_starts_once():
    made = nnx.Linear(6, 4, rngs=nnx.Rngs(0))
    assert recipes.run("SimCLR", DATA, model=made, **SHORT)["scores"]
    for cell, more in (("SimCLR", dict(seeds=2)), ("CLIP", {})):
        with pytest.raises(icon.InvalidInput, match="a module that is made already"):
            recipes.run(cell, DATA, model=made, **SHORT, **more)


def test_a_task_with_a_network_of_its_own_takes_no_other():
    with pytest.raises(icon.InvalidInput, match="has a network of its own"):
        recipes.run("VAE", DATA, model=Normed(), **SHORT)


@pytest.mark.slow
def test_views_that_a_row_has_no_use_for_are_no_secret():
    still = lambda key, x: x
    for cell, note in (("PCA", "the given views are of no use to it"), ("SimCLR", "")):
        for _ in range(2):
            assert recipes.run(cell, DATA, views=still, **SHORT)["note"] == note


# ------------------------------------------------------- from a terminal


MINE = """
import icon
mine = icon.Cell("mine", icon.same, lambda z: icon.cosine(z, temperature={t}))
"""


def stopped(capsys, *args) -> str:
    with pytest.raises(SystemExit) as end:
        cli.main([*map(str, args)])
    assert end.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_a_changed_file_is_another_training(tmp_path, capsys):
    np.savez(tmp_path / "rows.npz", x=X, label=CLASS)
    cell, out = f"{tmp_path}/mine.py:mine", tmp_path / "out"
    args = ["train", cell, "--data", tmp_path / "rows.npz", "--steps", 2, "--out", out]
    (tmp_path / "mine.py").write_text(MINE.format(t=0.1))
    cli.main([*map(str, args)])
    assert json.loads((out / "report.json").read_text())["settings"]["files"]
    time.sleep(0.01)
    (tmp_path / "mine.py").write_text(MINE.format(t=2.0))
    assert "the training of another files" in stopped(capsys, *args)


def test_a_check_without_a_floor_is_refused(tmp_path, capsys):
    args = ["table", "--cells", "PCA", "--quick", "--points", 60, "--steps", 2]
    line = stopped(capsys, *args, "--check", "--out", tmp_path)
    assert line.startswith("icon: check: ") and "no row that has a floor" in line


def test_train_wants_the_name_of_a_cell(tmp_path, capsys):
    line = stopped(capsys, "train", "mine.py", "--out", tmp_path)
    assert line.startswith("icon: cell: ")
    line = stopped(capsys, "train", "FILE.py:NAME", "--out", tmp_path)
    assert line.startswith("icon: cell: ")
