"""What is printed, and written, from a terminal?"""

import csv
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
import time
import types
import zipfile

import numpy as np
import pytest
from cases import soon
from matplotlib.image import imread

import icon
from icon import cli, recipes
from icon._table import TASKS
from icon.cli import embed as embedding
from icon.cli.on import On
from icon.cli.shared import Selection, as_json
from icon.recipes import bench
from icon.recipes.floors import FLOORS, Floor


CELL = """
import jax.numpy as jnp
import icon

def cauchy_cosine(a, b, temperature):
    return -jnp.log1p((1 - b @ a) / temperature)

def heavy(z):
    z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
    return icon.points(cauchy_cosine, z, temperature=0.1)

t_supcon = icon.Cell("my <t-SupCon>", icon.same, heavy)
"""


@pytest.fixture
def my_cells(tmp_path):
    file = tmp_path / "my_cells.py"
    file.write_text(CELL)
    return file


@pytest.mark.slow
def test_a_cell_of_ones_own_is_drawn_beside_a_known_one(my_cells, tmp_path, capsys):
    out, labels = tmp_path / "out", np.arange(90) % 3
    x = np.random.default_rng(0).normal(size=(90, 6)) + 6 * np.eye(6)[labels]
    np.savez(tmp_path / "crowds.npz", features=x, y=labels)
    where = ["--data", str(tmp_path / "crowds.npz"), "--out", str(out)]
    names = [f"{my_cells}:t_supcon", "SNE"]
    cli.main(["table", "--quick", *where, "--cells", *names])
    printed = capsys.readouterr()
    assert "2/2" in printed.err
    assert printed.out.split()[-3:] == [str(out / name) for name in cli.FILES]
    rows = json.loads((out / "table.json").read_text())
    assert [row["name"] for row in rows["rows"]] == ["my <t-SupCon>", "SNE"]
    assert all(row["scores"]["10-NN"] > 0.8 for row in rows["rows"])  # chance is 1/3
    settings = rows["run"]["settings"]
    assert settings["seed"] == 0 and settings["data"] == where[1] and settings["quick"]
    assert "jax" in rows["run"]["versions"] and rows["run"]["unfinished"] == []
    page = (out / "table.html").read_text()
    assert "my &lt;t-SupCon&gt;" in page and "<t-SupCon>" not in page
    assert (out / "table.png").read_bytes()[1:4] == b"PNG"
    assert sorted(x.name for x in out.iterdir()) == sorted(cli.FILES)


@pytest.mark.slow
def test_the_same_seed_draws_the_same_picture(tmp_path, monkeypatch):
    """But for the seconds that it took."""
    clock = types.SimpleNamespace(monotonic=lambda: 0.0)
    monkeypatch.setattr(recipes.training, "time", clock)
    x = np.random.default_rng(0).normal(size=(80, 6))
    np.savez(tmp_path / "d.npz", features=x, y=np.arange(80) % 3)
    pictures = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        where = ["--data", str(tmp_path / "d.npz"), "--out", str(tmp_path / name)]
        cli.main(["table", "--quick", "--cells", "PCA", *where, "--seed", str(seed)])
        pictures.append((tmp_path / name / "table.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


REFUSED = {
    "an unknown cell": (["--cells", "tSNE"], "cells"),
    "no such file": (["--cells", "nowhere.py:cell"], "cells"),
    "no such cell in it": (["--cells", "{my_cells}:nothing"], "cells"),
    "no data file": (["--data", "nowhere.npz"], "path"),
    "an unwritable folder": (["--out", "{my_cells}/below"], "out"),
    "a negative seed": (["--seed", "-1"], "seed"),
    "labels without data": (["--labels", "y"], "labels"),
    "features of a set": (["--data", "digits", "--features", "x"], "features"),
    "more of a set": (["--data", "digits", "--also", "time=day"], "also"),
    "more without a name": (["--data", "{my_cells}", "--also", "=day"], "also"),
    "no such set": (["--data", "digit"], "data"),
    "no such file of cells": (["--cells", "nowhere.py"], "cells"),
    "no seeds": (["--seeds", "0"], "seeds"),
    "no steps": (["--steps", "0"], "steps"),
    "one point": (["--points", "1"], "points"),
    "a model by a word": (["--model", "cnn"], "model"),
    "a model without a name": (["--model", "{my_cells}:"], "model"),
    "no such views": (["--views", "{my_cells}:stil"], "views"),
    "no such metric": (["--metric", "nowhere.py:metric"], "metric"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_one_line_and_status_2(case, my_cells, capsys):
    args, argument = REFUSED[case]
    args = [arg.format(my_cells=my_cells) for arg in args]
    with pytest.raises(SystemExit) as stopped:
        cli.main(["table", "--quick", *args])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith(f"icon: {argument}: expected") and error.count("\n") == 1


NEAR = {
    "a row": (["--cells", "SimCRL"], "cells: expected perhaps SimCLR, "),
    "a set": (["--data", "digit"], "data: expected perhaps digits, got 'digit'"),
    "a name of a file": (
        ["--metric", "{my_cells}:cauchy_cosin"],
        "metric: expected perhaps cauchy_cosine, got 'cauchy_cosin'",
    ),
}


@pytest.mark.parametrize("case", NEAR)
def test_near_names_are_suggested(case, my_cells, capsys):
    args, words = NEAR[case]
    with pytest.raises(SystemExit):
        cli.main(["table", *[arg.format(my_cells=my_cells) for arg in args]])
    assert capsys.readouterr().err.startswith(f"icon: {words}")


def test_what_p_can_be_built_from_is_printed(capsys):
    cli.main(["cells", "--tasks"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == "learns_from p is handed q is handed".split()
    for line, (name, both) in zip(lines, TASKS.items(), strict=True):
        assert [x for x in re.split("  +", line)] == [name, *both]


@pytest.mark.slow
def test_it_is_a_module_that_runs():
    run = [sys.executable, "-m", "icon", "cells", "--tasks"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
    assert len(done.stdout.splitlines()) == len(TASKS) + 1


# ------------------------------------------------------- icon table, row after row


LITTLE = ["--quick", "--points", "60", "--steps", "4", "--data", "digits"]


def table(out, *args):
    """The rows of a table, of which little is trained."""
    cli.main(["table", *LITTLE, "--out", str(out), *map(str, args)])
    return json.loads((out / "table.json").read_text())["rows"]


THREE = """
import icon

def broken(ids):
    raise ZeroDivisionError("no p today")

one = icon.Cell("one", broken, icon.cosine, column="Classes")
two = icon.Cell("two", icon.same, lambda z: {}["gone"], column="Classes")
alias, number = two, 3
three = icon.Cell("three", icon.same, icon.cosine, column="Identity", row="Clusters")
four = icon.TABLE["PCA"]
"""


@pytest.mark.slow
def test_all_cells_of_a_file_are_taken_and_a_row_that_raises_is_marked(
    tmp_path, capsys
):
    (tmp_path / "three.py").write_text(THREE)
    rows = table(tmp_path / "out", "--cells", tmp_path / "three.py")
    assert [row["name"] for row in rows] == ["one", "two", "three", "PCA"]
    assert [bool(row.get("failed")) for row in rows] == [True, True, True, False]
    notes = [row["note"] for row in rows]
    assert notes[0] == "ZeroDivisionError: no p today"
    assert notes[1] == "KeyError: 'gone'" and notes[3] == ""
    assert rows[3]["scores"]["10-NN"] > 0
    printed = capsys.readouterr().out
    assert "ZeroDivisionError: no p today" in printed and "KeyError" in printed
    assert (tmp_path / "out" / "table.png").read_bytes()[1:4] == b"PNG"


def test_a_table_of_which_every_row_failed_is_no_success(tmp_path, capsys):
    (tmp_path / "three.py").write_text(THREE)
    with pytest.raises(SystemExit) as stopped:
        table(tmp_path / "out", "--cells", f"{tmp_path}/three.py:one")
    assert stopped.value.code == 2
    assert "got ZeroDivisionError: no p today" in capsys.readouterr().err
    assert (tmp_path / "out" / "table.json").exists()


@pytest.mark.slow
def test_what_is_not_the_usual_is_named_by_its_file(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    names = "model", "views", "metric"
    flags = [x for name in names for x in (f"--{name}", f"{tmp_path}/mine.py:{name}")]
    (row,) = table(tmp_path / "out", "--cells", "SimCLR", *flags)
    assert row["note"] == ""
    assert [*row["scores"]][:2] == ["metric", "untrained metric"]
    assert "yours" in row["trained"] and row["data"] == "digits" and row["n"] == 60
    mine = sys.modules[str((tmp_path / "mine.py").resolve())]
    assert mine.SEEN == {"views", "model"}  # of one module


MINE = """
import jax
SEEN = set()

def start(key, x):
    return jax.random.normal(key, (x[0].size, 16))

def apply(params, x):
    SEEN.add("model")
    return x.reshape(len(x), -1) @ params

model = (start, apply)

def views(key, x):
    SEEN.add("views")
    return x

def metric(z, m):
    return float(z.std())
"""


def test_of_several_seeds_the_errors_are_kept_and_printed(tmp_path, capsys):
    (row,) = table(tmp_path, "--cells", "PCA", "--seeds", 2, "--seed", 3)
    printed = capsys.readouterr().out
    both = [
        recipes.run("PCA", icon.data.digits(), points=60, steps=4, seed=seed)
        for seed in (3, 4)
    ]
    found = [each["scores"]["10-NN"] for each in both]
    assert row["scores"]["10-NN"] == pytest.approx(np.mean(found))
    assert row["errors"]["10-NN"] == pytest.approx(abs(np.diff(found)[0]) / 2)
    assert row["seeds"] == 2
    line = f"10-NN {np.mean(found):.3f} ± {row['errors']['10-NN']:.3f}"
    assert line in printed


@pytest.fixture
def attempts(monkeypatch):
    """A table whose rows cost nothing; which were trained, and what was kept before."""
    done = []

    def attempt(self, cell, seeds):
        done.append(cell.name)
        if cell.name == "NCA":
            raise SystemError("killed")
        place = dict(column="Gaussian", row="Student-t", status="known", note="")
        shown = dict(name=cell.name, z=np.eye(2), scores={"10-NN": 0.5}, protocol="all")
        return shown | place

    monkeypatch.setattr(recipes.Bench, "attempt", attempt)
    return done


def test_a_row_is_kept_as_it_is_finished_and_is_not_trained_again(attempts, tmp_path):
    names = ["--cells", "SNE", "t-SNE", "NCA", "PCA"]
    with pytest.raises(SystemError):
        table(tmp_path, *names)
    kept = json.loads((tmp_path / "table.json").read_text())
    assert [row["name"] for row in kept["rows"]] == ["SNE", "t-SNE"]
    assert kept["run"]["unfinished"] == ["NCA", "PCA"]
    assert os.listdir(tmp_path) == ["table.json"]
    names.remove("NCA")
    del attempts[:]
    rows = table(tmp_path, *names, "--resume")
    assert attempts == ["PCA"]
    assert [row["name"] for row in rows] == ["SNE", "t-SNE", "PCA"]
    assert rows[:2] == kept["rows"] and {*os.listdir(tmp_path)} == {*cli.FILES}
    del attempts[:]
    table(tmp_path, *names, "--force")  # without --resume, all of them
    assert attempts == ["SNE", "t-SNE", "PCA"]


def test_a_row_that_failed_is_tried_again(attempts, tmp_path):
    table(tmp_path, "--cells", "SNE", "t-SNE")
    kept = json.loads((tmp_path / "table.json").read_text())
    kept["rows"][0]["failed"] = True
    (tmp_path / "table.json").write_text(json.dumps(kept))
    del attempts[:]
    table(tmp_path, "--cells", "SNE", "t-SNE", "--resume")
    assert attempts == ["SNE"]
    kept = json.loads((tmp_path / "table.json").read_text())
    assert [row["name"] for row in kept["rows"]] == ["SNE", "t-SNE"]


def test_settings_are_what_a_file_gives_back():
    columns = Selection(features=("a", "b"), drop=("c",), size=(8, 8))
    settings = On(columns=columns).settings("PCA")
    assert json.loads(as_json(settings)) == settings


def test_a_resume_without_an_earlier_run_is_a_run(attempts, tmp_path):
    assert len(table(tmp_path, "--cells", "SNE", "--resume")) == len(attempts) == 1


OTHERS = {
    "--seed": ("1", "seed"),
    "--seeds": ("2", "seeds"),
    "--steps": ("5", "steps"),
    "--points": ("61", "points"),
    "--data": ("mnist1d", "data"),
}


@pytest.mark.parametrize("flag", soon(OTHERS, "--seed", "--data"))
def test_a_run_of_other_settings_is_not_resumed(flag, attempts, tmp_path, capsys):
    table(tmp_path, "--cells", "SNE")
    value, name = OTHERS[flag]
    capsys.readouterr()
    before = (tmp_path / "table.json").read_bytes()
    with pytest.raises(SystemExit) as stopped:
        table(tmp_path, "--cells", "SNE", "--resume", flag, value)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.startswith("icon: resume: expected ")
    assert f"a run of another {name} in" in error
    assert (tmp_path / "table.json").read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"run": 3, "rows": []}'])
def test_what_no_table_has_written_is_not_resumed(content, tmp_path, capsys):
    (tmp_path / "table.json").write_text(content)
    with pytest.raises(SystemExit) as stopped:
        table(tmp_path, "--cells", "SNE", "--resume")
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("icon: resume: expected")


@pytest.fixture
def short(monkeypatch):
    """A training of few steps counts as a whole one: floors are for those."""
    monkeypatch.setattr(bench, "FULL", recipes.Budget(2, 1, 1, 1, 1))


def check(out, *args):
    """As the check of a release is called: each row on its own data."""
    cli.main(["table", *LITTLE[:-2], "--check", "--out", str(out), *map(str, args)])


FLOOR = Floor("10-NN", 0.999, "of the paper")


def test_a_row_below_its_floor_is_named_and_is_status_2(
    short, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(FLOORS, "PCA", FLOOR)
    monkeypatch.setitem(FLOORS, "class means", FLOOR._replace(score="nothing"))
    with pytest.raises(SystemExit) as stopped:
        check(tmp_path, "--cells", "PCA")
    printed = capsys.readouterr()
    last = printed.err.splitlines()[-1]
    assert stopped.value.code == 2
    assert last.startswith("icon: check: expected every row above its floor, got PCA (")
    assert "10-NN" in last and "0 of 1 floors are held" in printed.err
    assert "BELOW ITS FLOOR" in printed.out
    assert {*os.listdir(tmp_path)} == {*cli.FILES}  # it is drawn
    (row,) = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert row["floor"]["held"] is False and row["floor"]["value"] == 0.999


def test_a_row_above_its_floor_passes(short, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(FLOORS, "PCA", FLOOR._replace(value=0.0))
    check(tmp_path, "--cells", "PCA")
    printed = capsys.readouterr()
    assert "1 of 1 floors are held" in printed.err and "BELOW" not in printed.out


@pytest.mark.slow
def test_of_an_error_the_floor_is_above(short, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(FLOORS, "PCA", FLOOR._replace(least=True, value=0.0))
    with pytest.raises(SystemExit):
        check(tmp_path, "--cells", "PCA")
    assert "got PCA (10-NN above 0)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_floor_counts_on_the_data_it_was_set_for(
    short, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(FLOORS, "PCA", FLOOR)
    with pytest.raises(SystemExit):  # for nothing was checked
        check(tmp_path, "--cells", "PCA", "--data", "digits")
    assert "got no row that has a floor" in capsys.readouterr().err


@pytest.mark.slow
def test_a_floor_is_for_a_whole_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(FLOORS, "PCA", FLOOR)
    with pytest.raises(SystemExit):
        check(tmp_path, "--cells", "PCA")
    assert "got no row that has a floor" in capsys.readouterr().err


@pytest.mark.slow
def test_a_row_that_failed_is_below_every_floor(short, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(FLOORS, "PCA", FLOOR._replace(value=0.0))
    (tmp_path / "three.py").write_text(THREE)
    with pytest.raises(SystemExit) as stopped:
        check(tmp_path / "out", "--cells", f"{tmp_path}/three.py:one", "PCA")
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("got one (failed)")


HANGING = """
import time
from pathlib import Path
import icon

def patient(ids):
    while Path(__file__).with_name("hang").exists():
        time.sleep(0.05)
    return icon.same(ids)

cell = icon.Cell("patient", patient, icon.cosine, column="Classes")
"""


def wait_for(there, child, seconds=120):
    """Until there is what is waited for; the child may not end before."""
    for _ in range(100 * seconds):
        if there():
            return
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)
    raise AssertionError("it took too long")


def started(*args):
    run = [sys.executable, "-m", "icon", *map(str, args)]
    kept = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(run, **kept)


@pytest.mark.slow
def test_a_table_that_is_killed_keeps_its_rows_and_goes_on(tmp_path, capsys):
    (tmp_path / "hanging.py").write_text(HANGING)
    (tmp_path / "hang").touch()
    out = tmp_path / "out"
    args = [*LITTLE, "--cells", "PCA", tmp_path / "hanging.py", "--out", out]
    child = started("table", *args)
    wait_for((out / "table.json").exists, child)
    child.kill()
    child.communicate()
    kept = json.loads((out / "table.json").read_text())
    assert [row["name"] for row in kept["rows"]] == ["PCA"]
    assert kept["run"]["unfinished"] == ["patient"] and child.returncode == -9
    (tmp_path / "hang").unlink()
    child = started("table", *args, "--resume")
    printed, _ = child.communicate(timeout=120)
    whole = json.loads((out / "table.json").read_text())
    assert child.returncode == 0 and "patient" in printed
    assert whole["rows"][0] == kept["rows"][0]  # to its seconds
    assert [row["name"] for row in whole["rows"]] == ["PCA", "patient"]
    assert {*os.listdir(out)} == {*cli.FILES}


# ------------------------------------------------------- icon cells


def test_the_table_is_printed_with_every_row(capsys):
    cli.main(["cells"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(icon.TABLE) + 1
    for line, cell in zip(lines[1:], icon.TABLE.values(), strict=True):
        assert line.startswith(cell.name) and cell.status in line
        assert cell.reference in line and cell.column in line and cell.row in line


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_error():
    run = f"{sys.executable} -c 'import icon.cli; icon.cli.main([\"cells\"])' | head -1"
    done = subprocess.run(run, shell=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("name") and "Error" not in done.stderr


def test_a_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["table"])
    assert stopped.value.code == 2
    assert "icon-jax[cli]" in capsys.readouterr().err


# ------------------------------------------------------- icon embed


QUICK = ["--max-iter", "50", "--perplexity", "5"]
FILES = [
    "embedding.csv",
    "embedding.npy",
    "embedding.npz",
    "embedding.png",
    "report.json",
]


@pytest.fixture
def rows(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 5))
    np.savez(tmp_path / "rows.npz", features=x, y=np.arange(40) % 3)
    return tmp_path / "rows.npz"


def embed(*args):
    cli.main(["embed", *map(str, args)])


def test_a_file_is_laid_out_and_kept(rows, tmp_path, capsys):
    embed(rows, *QUICK, "--out", tmp_path / "out", "--seed", "7")
    printed = capsys.readouterr()
    out = tmp_path / "out"
    *files, near, _, trust, _ = printed.out.split()
    assert sorted(files) == [str(out / name) for name in FILES]
    assert (near, trust) == ("10-NN", "trustworthiness")
    assert "50/50" in printed.err and sorted(x.name for x in out.iterdir()) == FILES
    z = np.load(out / "embedding.npy", allow_pickle=False)
    assert z.shape == (40, 2) and z.dtype == np.float32
    with open(out / "embedding.csv", newline="") as file:
        head, *lines = csv.reader(file)
    assert head == ["tsne0", "tsne1", "label"]
    assert np.array_equal(np.float32([line[:2] for line in lines]), z)
    assert [int(line[2]) for line in lines] == [i % 3 for i in range(40)]
    run = json.loads((out / "report.json").read_text())
    assert run["perplexity_used"] == 5 and run["steps"] == 50
    assert run["settings"]["seed"] == 7 and "jax" in run["versions"]
    assert run["kl_divergence"] > 0 and run["data"]["rows"] == 40
    assert (out / "embedding.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.slow
def test_it_is_the_estimator(rows, tmp_path, capsys):
    scales = ["--perplexity", "3", "6", "--n-components", "3", "--init", "random"]
    embed(rows, *QUICK[:2], *scales, "--dof", "2", "--out", tmp_path, "--seed", "7")
    options = dict(n_components=3, perplexity=(3.0, 6.0), init="random", dof=2.0)
    tsne = icon.estimators.TSNE(**options, max_iter=50, random_state=7)
    z = tsne.fit_transform(icon.data.load(rows).features)
    assert np.array_equal(np.load(tmp_path / "embedding.npy"), z)
    assert not (tmp_path / "embedding.png").exists()  # of three components


def test_what_is_warned_of_is_one_line(tmp_path, capsys):
    np.save(tmp_path / "few.npy", np.random.default_rng(0).normal(size=(40, 5)))
    embed(tmp_path / "few.npy", *QUICK[:2], "--out", tmp_path)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "icon: perplexity 30 is too large for 40 rows: 13 is used"
    run = json.loads((tmp_path / "report.json").read_text())
    assert run["perplexity_used"] == 13
    assert (tmp_path / "embedding.csv").read_text().startswith("tsne0,tsne1\n")


METHODS = {
    "SNE": (["--perplexity", "5", "--max-iter", "50"], "sne0"),
    "UMAP": (["--n-neighbors", "5", "--max-iter", "50"], "umap0"),
    "PCA": ([], "pca0"),
    "LDA": ([], "lda0"),
    "LPP": (["--n-neighbors", "5"], "lpp0"),
    "Laplacian eigenmaps": (
        ["--n-neighbors", "5", "--n-components", "3"],
        "laplacian_eigenmaps0",
    ),
}


@pytest.mark.parametrize("method", soon(METHODS, "SNE", "PCA", "Laplacian eigenmaps"))
def test_another_method_lays_it_out(method, rows, tmp_path, capsys):
    options, column = METHODS[method]
    embed(rows, "--method", method, *options, "--out", tmp_path, "--seed", "7")
    head, *lines = (tmp_path / "embedding.csv").read_text().splitlines()
    assert head.startswith(column) and len(lines) == 40
    run = json.loads((tmp_path / "report.json").read_text())
    assert run["method"] == method and run["settings"]["seed"] == 7
    z = np.load(tmp_path / "embedding.npy")
    assert z.shape[1] == run["settings"]["n_components"] and np.isfinite(z).all()
    if method == "PCA":
        x = icon.data.load(rows).features
        exact = np.linalg.svd(x - x.mean(0))[1][:2]
        np.testing.assert_allclose(np.linalg.norm(z, axis=0), exact, rtol=1e-4)


NOT_LAID_OUT = {
    "no such method": (["{rows}", "--method", "foo"], "method"),
    "a setting of another method": (
        ["{rows}", "--method", "PCA", "--perplexity", "5"],
        "perplexity",
    ),
    "no such file": (["nowhere.npz"], "path"),
    "no such array": (["{rows}", "--features", "z"], "features"),
    "labels without a file": (["--labels", "y"], "labels"),
    "an unwritable folder": (["{rows}", "--out", "{rows}/below"], "out"),
    "a negative seed": (["{rows}", "--seed", "-1"], "seed"),
    "no perplexity": (["{rows}", "--perplexity", "0"], "perplexity"),
    "no steps": (["{rows}", "--max-iter", "-1"], "max_iter"),
    "no such metric": (["{rows}", "--metric", "foo"], "metric"),
    "no such start": (["{rows}", "--init", "foo"], "init"),
    "no columns": (["{rows}", "--n-components", "0"], "n_components"),
}


@pytest.mark.parametrize("case", NOT_LAID_OUT)
def test_a_mistake_in_embed_is_one_line(case, rows, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args, argument = NOT_LAID_OUT[case]
    with pytest.raises(SystemExit) as stopped:
        embed(*[arg.format(rows=rows) for arg in args])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith(f"icon: {argument}: expected") and error.count("\n") == 1


@pytest.mark.slow
def test_digits_are_laid_out_without_a_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(icon.data, "digits", lambda: DIGITS)
    embed(*QUICK, "--out", tmp_path)
    run = json.loads((tmp_path / "report.json").read_text())
    assert run["data"] == dict(name="few digits", rows=40, columns=64)


DIGITS = icon.data.digits()
DIGITS = DIGITS._replace(
    name="few digits", features=DIGITS.features[:40], labels=DIGITS.labels[:40]
)


def test_embed_names_the_extra_it_lacks(rows, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit) as stopped:
        embed(rows)
    assert stopped.value.code == 2
    assert "icon-jax[plot]" in capsys.readouterr().err


# ------------------------------------------------------- icon train


TRAINED = [
    "embedding.npy",
    "embedding.npz",
    "loss.csv",
    "model.npz",
    "picture.png",
    "report.json",
]
SHORT = ["--points", "60", "--data", "digits", "--seed", "2", "--steps"]


def train(out, *args):
    cli.main(["train", *map(str, args), "--out", str(out)])


def learned(folder):
    """The bytes of what is learned, and of the loss of every step."""
    return [(folder / name).read_bytes() for name in ("model.npz", "loss.csv")]


@pytest.mark.slow
def test_a_row_is_trained_and_all_of_it_is_kept(tmp_path, capsys):
    train(tmp_path, "CLIP", *SHORT, 6)
    printed = capsys.readouterr().out.split()
    assert {*printed[:6]} == {str(tmp_path / name) for name in TRAINED}
    assert sorted(os.listdir(tmp_path)) == sorted(
        [*TRAINED, "checkpoint", "settings.json"]
    )
    run = json.loads((tmp_path / "report.json").read_text())
    assert run["settings"]["cell"] == run["name"] == "CLIP"
    assert run["settings"]["seed"] == run["seed"] == 2 and "jax" in run["versions"]
    assert printed[6:8] == ["R@1", f"{run['scores']['R@1']:.3f}"]
    m = recipes.material(icon.data.digits(), 2, recipes.spent(recipes.FULL, 60, 6))
    trained = recipes.train(icon.TABLE["CLIP"], m)
    z = np.load(tmp_path / "embedding.npy", allow_pickle=False)
    assert np.array_equal(z, trained.embedding) and z.shape == (60, 256)
    with np.load(tmp_path / "embedding.npz", allow_pickle=False) as kept:
        assert np.array_equal(kept["embedding"], z)
        labels = icon.data.digits().labels[kept["ids"]]
        assert np.array_equal(kept["labels"], labels)
    with open(tmp_path / "loss.csv", newline="") as file:
        head, *lines = csv.reader(file)
    assert head == ["step", "loss"] and [int(s) for s, _ in lines] == [*range(1, 7)]
    assert np.array_equal(np.float32([x for _, x in lines]), trained.loss)
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        names = [name for name in arrays if name.startswith("params/left/")]
        assert "params/learned/temperature/log" in arrays.files and len(names) > 3
        kernels = [x for x in names if x.endswith("Dense_0/kernel")]
        assert any(arrays[x].shape == (32, 512) for x in kernels)
    assert (tmp_path / "picture.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(
    tmp_path, capsys, monkeypatch
):
    train(tmp_path / "whole", "SupCon", *SHORT, 6)

    def interrupt(before, after):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recipes.training, "_require_moved", interrupt)
        with pytest.raises(SystemExit) as stopped:
            train(tmp_path / "parts", "SupCon", *SHORT, 6)
    assert stopped.value.code == 130
    assert "model.npz" not in os.listdir(tmp_path / "parts")
    (state,) = (tmp_path / "parts" / "checkpoint").glob("step-*")
    assert state.name == "step-00000002"
    train(tmp_path / "parts", "SupCon", *SHORT, 6)
    assert learned(tmp_path / "parts") == learned(tmp_path / "whole")


@pytest.mark.slow
def test_a_training_that_is_killed_goes_on_to_the_same_bits(tmp_path):
    args = "train", "SupCon", *SHORT, 300, "--out"
    child = started(*args, tmp_path / "parts")
    states = tmp_path / "parts" / "checkpoint"
    wait_for(lambda: [*states.glob("step-*/DIGEST.json")], child)
    child.kill()
    child.communicate()
    assert child.returncode == -9
    assert "model.npz" not in os.listdir(tmp_path / "parts")
    for folder in ("parts", "whole"):
        child = started(*args, tmp_path / folder)
        assert child.communicate(timeout=300) and child.returncode == 0
    assert learned(tmp_path / "parts") == learned(tmp_path / "whole")


def test_the_numbers_of_a_row_are_flags_of_its_training(tmp_path):
    few = *SHORT, 3
    train(tmp_path / "usual", "SimCLR", *few)
    train(tmp_path / "hot", *few, "--temperature", 0.7, "SimCLR")
    reports = [
        json.loads((tmp_path / name / "report.json").read_text())
        for name in ("usual", "hot")
    ]
    assert [r["settings"]["temperature"] for r in reports] == [0.1, 0.7]
    m = recipes.material(icon.data.digits(), 2, recipes.spent(recipes.FULL, 60, 3))
    trained = recipes.train(icon.TABLE["SimCLR"], m)
    usual, hot = (
        np.loadtxt(tmp_path / name / "loss.csv", delimiter=",", skiprows=1)[:, 1]
        for name in ("usual", "hot")
    )
    assert np.array_equal(usual.astype(np.float32), trained.loss)
    assert abs(hot - usual).min() > 0.01


OTHER_TRAININGS = {
    "temperature": ["SupCon", *SHORT, 6, "--temperature", 0.2],
    "seed": ["SupCon", *SHORT, 6, "--seed", 3],
    "cell": ["SimCLR", *SHORT, 6],
    "steps": ["SupCon", *SHORT, 7],
}


@pytest.mark.parametrize("name", OTHER_TRAININGS)
def test_a_folder_of_another_training_is_refused(name, tmp_path, capsys):
    before = dict(cell="SupCon", seed=2, steps=6, points=60, data="digits", quick=False)
    usual = cli.on.On().settings() | before | dict(temperature=0.1)
    (tmp_path / "settings.json").write_text(json.dumps(usual))
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path, *OTHER_TRAININGS[name])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.startswith("icon: out: expected ")
    assert f"the training of another {name} in" in error
    assert os.listdir(tmp_path) == ["settings.json"]


def test_train_names_the_row_and_the_extra_it_lacks(tmp_path, capsys, monkeypatch):
    with pytest.raises(SystemExit):
        train(tmp_path / "out", "SupConn")
    assert capsys.readouterr().err.startswith("icon: cell: expected perhaps SupCon, ")
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path / "out", "SupCon")
    assert stopped.value.code == 2
    assert "icon-jax[train]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------- icon cluster


CLUSTERS = ["clusters.csv", "report.json", "clusters.png", "choice.png"]


@pytest.fixture
def groups(tmp_path):
    y = np.repeat([0, 1, 2], [20, 15, 10])
    x = 9 * np.eye(3)[y] + np.random.default_rng(0).normal(size=(45, 3))
    np.savez(tmp_path / "groups.npz", features=x, y=y)
    return tmp_path / "groups.npz", x, y


def test_a_file_is_clustered_and_scored(groups, tmp_path, capsys):
    file, x, y = groups
    out = tmp_path / "out"
    args = ["-k", "3", "--n-neighbors", "6", "--out", str(out), "--seed", "7"]
    cli.main(["cluster", str(file), *args])
    printed = capsys.readouterr().out.split()
    assert printed[:3] == [str(out / name) for name in CLUSTERS[:3]]
    assert printed[3:9] == ["accuracy", "1.000", "nmi", "1.000", "ari", "1.000"]
    assert printed[9] == "calibration_error" and float(printed[10]) < 0.1
    model = icon.estimators.NeighborClustering(3, n_neighbors=6, random_state=7).fit(x)
    with open(out / "clusters.csv", newline="") as kept:
        found = list(csv.DictReader(kept))
    assert [int(row["cluster"]) for row in found] == model.labels_.tolist()
    assert [int(row["label"]) for row in found] == y.tolist()
    sure = model.memberships_[np.arange(45), model.labels_]
    np.testing.assert_allclose([float(r["confidence"]) for r in found], sure, atol=1e-4)
    run = json.loads((out / "report.json").read_text())
    assert run["sizes"] == [20, 15, 10] and run["scores"]["accuracy"] == 1
    assert run["settings"]["n_clusters"] == [3] and run["n_neighbors_used"] == 6
    assert run["typical_rows"] == [row.tolist() for row in model.typical_]
    assert run["choice"] is None and not (out / "choice.png").exists()
    assert imread(out / "clusters.png").shape[1] > 600


def drawn(monkeypatch):
    """The figures of reports, as they are made."""
    from icon import plot

    report, figures = plot.report, []

    def kept(*given, **more):
        figures.append(report(*given, **more))
        return figures[-1]

    monkeypatch.setattr(plot, "report", kept)
    return figures


def test_names_of_classes_are_kept(groups, tmp_path, capsys, monkeypatch):
    _, x, y = groups
    names = np.array(["rose", 'iris, "blue"', "äöü"])[y].astype(object)
    names[[0, 44]] = ""  # rows without a label
    with open(tmp_path / "flowers.csv", "w", newline="", encoding="utf-8") as file:
        rows = [[*row, name] for row, name in zip(x, names, strict=True)]
        csv.writer(file).writerows([["a", "b", "c", "label"], *rows])
    figures = drawn(monkeypatch)
    args = ["-k", "3", "--n-neighbors", "6", "--out", str(tmp_path)]
    cli.main(["cluster", str(tmp_path / "flowers.csv"), *args])
    assert "accuracy 1.000" in capsys.readouterr().out
    (figure,) = figures
    ax = next(ax for ax in figure.axes if ax.get_ylabel() == "class")
    ticks = lambda axis: [text.get_text() for text in axis.get_ticklabels()]
    assert ticks(ax.yaxis) == ticks(ax.xaxis) == ['iris, "blue"', "rose", "äöü"]
    with open(tmp_path / "clusters.csv", newline="", encoding="utf-8") as kept:
        assert [row["label"] for row in csv.DictReader(kept)] == names.tolist()


def test_the_layout_of_a_sample_is_drawn(groups, tmp_path, monkeypatch):
    from icon.recipes import clustering, ensemble

    monkeypatch.setattr(clustering, "MANY", 40)
    monkeypatch.setattr(ensemble, "layouts_of", lambda x, p, seed: [x[:, :2]])
    figures = drawn(monkeypatch)
    args = ["-k", "3", "--n-neighbors", "6", "--out", str(tmp_path)]
    cli.main(["cluster", str(groups[0]), *args])
    run = json.loads((tmp_path / "report.json").read_text())
    assert run["data"]["rows"] == 45 and run["rows_laid_out"] == 40
    ax = figures[0].axes[0]
    assert ax.get_title() == "40 of 45 points, a sample, 3 clusters"
    assert ax.collections[0].get_offsets().shape == (40, 2)
    pixels = imread(tmp_path / "clusters.png")
    assert len(np.unique(pixels[:, : pixels.shape[1] // 3, :3])) > 10


def test_the_most_stable_of_several_numbers_is_taken_and_drawn(
    groups, tmp_path, capsys
):
    args = ["-k", "2", "3", "6", "--n-neighbors", "6", "--out", str(tmp_path)]
    cli.main(["cluster", str(groups[0]), *args])
    run = json.loads((tmp_path / "report.json").read_text())
    assert run["n_clusters"] == run["choice"]["best"] == 3
    assert run["choice"]["counts"] == [2, 3, 6] and len(run["sizes"]) == 3
    assert imread(tmp_path / "choice.png").shape[1] > 600
    assert str(tmp_path / "choice.png") in capsys.readouterr().out


@pytest.mark.slow
def test_a_head_is_trained_by_name(groups, tmp_path):
    args = ["--head", "linear", "--divergence", "hellinger", "--alpha-p", "0.1"]
    cli.main(["cluster", str(groups[0]), "-k", "3", *args, "--out", str(tmp_path)])
    run = json.loads((tmp_path / "report.json").read_text())
    assert len(run["head_losses"]) == 4 and run["scores"]["accuracy"] > 0.9


@pytest.mark.slow
def test_fewer_clusters_than_asked_are_one_line(tmp_path, capsys):
    np.save(tmp_path / "few.npy", np.repeat(np.eye(2), 5, 0))
    cli.main(["cluster", str(tmp_path / "few.npy"), "-k", "3", "--out", str(tmp_path)])
    assert capsys.readouterr().err == "icon: 2 of 3 clusters have a row\n"


# ------------------------------------------------------- everything that is refused


NUMBERS = {  # every flag that takes a number, from the settings themselves
    field.name.replace("_", "-"): field.type in (int, int | None)
    for field in dataclasses.fields(embedding.flags_of("t-SNE"))
    if field.type in (int, int | None, float, tuple[float, ...])
} | {"seed": True}
ALWAYS = ("x", "nan", "inf", "-inf", "1e400", "-1", "")
WHOLE = ("1.5", str(10**30), "True", "1e3")
HUGE = ("early-exaggeration", "exaggeration", "dof")  # float32 would not hold it
PATHS = (
    "a\0b",
    "x" * 5000,
    "",
    "y" * 300 + ".npz",
    "nowhere.npz",
    "folder.npz",
    "a\nb",
)
OUTS = ("a\0b", "x" * 5000, "", "good.npz", "good.npz/below", "taken")
CODE = {
    "raises.py": b"1 / 0",
    "two_lines.py": b"raise ValueError('a\\nb')",
    "exits.py": b"raise SystemExit(0)",
    "syntax.py": b"def",
    "three.py": b"cell = 3",
    "nul.py": b"cell = 3\0",
    "latin.py": b"cell = '\xff'",
    "no_suffix": b"cell = 3",
}
CELLS = ("", ":cell", "folder.npz:cell", "a\0b:cell", "x" * 5000, "x" * 5000 + ":cell")
ROWS = {
    "empty.npz": b"",
    "empty.npy": b"",
    "empty.csv": b"",
    "ragged.csv": b"a,b\n1,2\n3\n",
    "words.csv": b"a,b\n1,x\n2,3\n",
    "nan.csv": b"a,b\n1,nan\n2,3\n",
    "nul.csv": b"a,b\n1,\x002\n3,4\n",
    "latin.csv": b"a,b\n1,\xff\n",
    "rows.txt": b"1,2\n",
}


def _header(shape) -> bytes:
    file = io.BytesIO()
    header = dict(descr="<f4", fortran_order=False, shape=shape)
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(64)


def _zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("features.npy", content)
    return file.getvalue()


SHAPES = {"huge": (10**6, 10**6), "absurd": (10**30, 2), "negative": (-1, 5)}
for name, shape in SHAPES.items():
    ROWS |= {f"{name}.npy": _header(shape), f"{name}.npz": _zipped(_header(shape))}


def _saved(save, *arrays, **named) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


OBJECTS = np.array([[{}]], object)
ROWS["pickled.npy"] = _saved(np.save, OBJECTS)
ROWS["pickled.npz"] = _saved(np.savez, features=OBJECTS)
GOOD = _saved(np.savez, features=np.arange(12.0).reshape(6, 2))
ROWS["cut.npz"] = GOOD[: len(GOOD) // 2]

CLUSTER = ["cluster", "good.npz", "--n-clusters", "2"]
COUNTS = ("n-clusters", "n-neighbors", "swaps", "walks", "rounds", "seed")
GROUPING = dict.fromkeys(COUNTS, WHOLE)
GROUPING["alpha"] = ("0", "1", "1e39")
EMBED, TABLE = ["embed", "good.npz"], ["table", "--quick", "--cells", "PCA"]
TRAIN, TABLE_COUNTS = ["train", "PCA", "--quick"], ("seed", "seeds", "points", "steps")
BAD = [
    *([*EMBED, f"--{flag}", x] for flag in NUMBERS for x in ALWAYS),
    *(
        [*EMBED, f"--{flag}", x]
        for flag, whole in NUMBERS.items()
        if whole
        for x in WHOLE
    ),
    *([*EMBED, f"--{flag}", "1e39"] for flag in HUGE),
    *([*TABLE, f"--{y}", x] for x in (*ALWAYS, *WHOLE) for y in TABLE_COUNTS),
    *([*TABLE, f"--{y}", x] for x in CELLS for y in ("model", "views", "metric")),
    *([*TABLE, "--also", x] for x in ("", "a", "=", "a=", "=b")),
    *([*TRAIN, "--seed", x] for x in (*ALWAYS, *WHOLE)),
    *([*TRAIN, "--out", x] for x in OUTS),
    *(["train", x] for x in CELLS),
    *([*CLUSTER, f"--{flag}", x] for flag, more in GROUPING.items() for x in more),
    *([*CLUSTER, f"--{flag}", x] for flag in GROUPING for x in ALWAYS),
    *([*CLUSTER, "--metric", x] for x in ("manhattan", "precomputed", "$x$")),
    *([*CLUSTER, f"--{x}", "$x$"] for x in ("neighbors", "head", "divergence")),
    *([*CLUSTER, "--head", "linear", "--alpha-p", x] for x in ("-1", "2", "nan")),
    *([*CLUSTER, "--out", x] for x in OUTS),
    *([["cluster", "good.npz", "-k", x] for x in ("0", "7", "x")]),
    *(["embed", x] for x in (*PATHS, *ROWS)),
    *(["cluster", x] for x in PATHS),
    *([*TABLE, "--data", x] for x in (*PATHS, "one.csv")),
    *([*EMBED, "--out", x] for x in OUTS),
    *([*TABLE, "--out", x] for x in OUTS),
    *(["table", "--cells", x] for x in (*CELLS, *(f"{file}:cell" for file in CODE))),
    *([*EMBED, f"--{x}", "$x$"] for x in ("features", "labels", "metric", "init")),
    *([*EMBED, f"--{x}"] for x in (*NUMBERS, "nothing", "out", "features")),
    *([*EMBED, "--metric", x] for x in ("precomputed", "affinity")),
    *([], ["embd"], ["embed", "a", "b"], ["table", "a"], ["cells", "a"]),
]


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    (folder / "folder.npz").mkdir()
    for name in (*cli.FILES, *FILES, *CLUSTERS):
        (folder / "taken" / name).mkdir(parents=True, exist_ok=True)
    for name, content in {
        **ROWS,
        **CODE,
        "good.npz": GOOD,
        "one.csv": b"1,2\n",
    }.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("args", BAD, ids=lambda args: " ".join(args)[:50].__repr__())
def test_what_cannot_be_used_is_one_line_and_status_2(
    args, bad_files, capsys, monkeypatch
):
    monkeypatch.chdir(bad_files)
    before = sorted(bad_files.rglob("*"))
    with pytest.raises(SystemExit) as stopped:
        cli.main(args)
    printed = capsys.readouterr()
    line = re.fullmatch(r"icon: ([A-Za-z_]+): expected .+, got .+\n", printed.err)
    assert line and len(printed.err) < 420 and stopped.value.code == 2
    flags = [arg for arg in args[-2:] if arg.startswith("--")]
    named = {"data": ("path", "data")}.get(flags[-1][2:]) if flags else None
    if flags and "nothing" not in flags[-1]:
        own = flags[-1][2:].replace("-", "_")
        assert line[1] in (named or (own, "X")), line[1]
    made = set(bad_files.rglob("*")) - set(before)
    assert not [x for x in made if x.is_file() and "__pycache__" not in x.parts]


def test_the_cases_are_many():
    assert len(BAD) > 150 and len(NUMBERS) == 10


def test_a_cell_file_does_not_hide_a_module(tmp_path):
    (tmp_path / "json.py").write_text(CELL)
    assert cli.find(f"{tmp_path}/json.py:t_supcon").name == "my <t-SupCon>"
    assert sys.modules["json"] is json
