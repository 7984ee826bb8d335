"""Is what an earlier run has written replaced by force only, in every command?"""

import csv
import json

import numpy as np
import pytest
from cases import slow

from icon import cli, recipes


X = np.random.default_rng(0).normal(size=(45, 4)) + 7 * np.eye(4)[np.arange(45) % 3]
NAMES = np.array(["rose", "iris", "fern"])[np.arange(45) % 3]


@pytest.fixture
def rows(tmp_path):
    file = tmp_path / "rows.csv"
    lines = [[f"r{i}", *x, y] for i, (x, y) in enumerate(zip(X, NAMES, strict=True))]
    with open(file, "w", newline="") as opened:
        csv.writer(opened).writerows([["", *"abcd", "label"], *lines])
    return file


def contents(folder):
    return {x.name: x.read_bytes() for x in folder.iterdir() if x.is_file()}


def refused(capsys, *args) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.main([*map(str, args)])
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_the_version_is_printed(capsys):
    cli.main(["--version"])
    printed = capsys.readouterr()
    assert printed.out == "icon 0.1.0\n" and printed.err == ""


# ------------------------------------------------------- icon cluster


def test_clusters_are_replaced_by_force_only(rows, tmp_path, capsys):
    run = ["cluster", rows, "-k", 2, 3, "--n-neighbors", 6, "--out", tmp_path / "out"]
    cli.main([*map(str, run)])
    before = contents(tmp_path / "out")
    kept = ["clusters.csv", "clusters.png", "report.json"]
    assert sorted(before) == ["choice.png", *kept]
    with open(tmp_path / "out" / "clusters.csv", newline="") as opened:
        lines = list(csv.DictReader(opened))
    assert [line["id"] for line in lines] == [f"r{i}" for i in range(45)]
    assert [line["label"] for line in lines] == NAMES.tolist()
    assert "--force" in refused(capsys, *run)
    assert contents(tmp_path / "out") == before
    run[2:5] = ["-k", 3]
    cli.main([*map(str, run), "--force"])
    after = contents(tmp_path / "out")
    assert sorted(after) == kept


def test_the_layout_of_clusters_is_kept_with_what_is_known(rows, tmp_path, monkeypatch):
    from icon.recipes import clustering, ensemble

    monkeypatch.setattr(clustering, "MANY", 40)  # a sample of 40 has a layout
    monkeypatch.setattr(ensemble, "layouts_of", lambda x, p, seed: [x[:, :2]])
    args = ["-k", "3", "--n-neighbors", "6", "--out", str(tmp_path)]
    cli.main(["cluster", str(rows), *args])
    with np.load(tmp_path / "embedding.npz", allow_pickle=False) as kept:
        found = {name: kept[name] for name in kept}
    assert sorted(found) == ["clusters", "embedding", "ids", "labels"]
    assert found["embedding"].shape == (40, 2)
    at = [int(name[1:]) for name in found["ids"]]
    np.testing.assert_array_equal(found["labels"], NAMES[at])
    with open(tmp_path / "clusters.csv", newline="") as opened:
        lines = list(csv.DictReader(opened))
    assert [int(lines[i]["cluster"]) for i in at] == found["clusters"].tolist()
    places = [[lines[i]["x"], lines[i]["y"]] for i in at]
    np.testing.assert_array_equal(np.float32(places), found["embedding"])
    assert sum(line["x"] == "" for line in lines) == 5


# ------------------------------------------------------- icon table


@pytest.fixture
def untrained(monkeypatch):
    """A table whose rows cost nothing."""

    def attempt(self, cell, seeds):
        place = dict(column="Gaussian", row="Student-t", status="known", note="")
        return dict(name=cell.name, z=np.eye(2), scores={}, protocol="all") | place

    monkeypatch.setattr(recipes.Bench, "attempt", attempt)


def test_a_table_is_replaced_by_force_or_resumed(untrained, tmp_path, capsys):
    run = ["table", "--quick", "--cells", "SNE", "--cells", "PCA", "--out", tmp_path]
    cli.main([*map(str, run)])
    table = json.loads((tmp_path / "table.json").read_text())
    assert [row["name"] for row in table["rows"]] == ["SNE", "PCA"]
    before = contents(tmp_path)
    assert "--force" in refused(capsys, *run, "--seed", 1)
    assert contents(tmp_path) == before
    cli.main([*map(str, run), "--resume"])
    cli.main([*map(str, run), "--force", "--seed", "1"])
    table = json.loads((tmp_path / "table.json").read_text())
    assert table["run"]["settings"]["seed"] == 1


# ------------------------------------------------------- icon train


@pytest.mark.parametrize("cell", ["LDA", slow("SupCon")])
def test_a_training_goes_on_in_its_own_folder_and_begins_anew_by_force(
    cell, rows, tmp_path, capsys
):
    few = ["train", cell, "--steps", 3, "--data", rows, "--out"]
    own = [*few, tmp_path / "out"]
    cli.main([*map(str, own)])
    before = contents(tmp_path / "out")
    cli.main([*map(str, own)])  # it is finished: the same bits
    for name in ("model.npz", "loss.csv", "embedding.npz"):
        assert contents(tmp_path / "out")[name] == before[name]
    line = refused(capsys, *own, "--seed", 1)
    assert "the training of another seed" in line and "--force" in line
    cli.main([*map(str, own), "--seed", "1", "--force"])
    anew = contents(tmp_path / "out")
    assert json.loads(anew["settings.json"])["seed"] == 1
    assert anew["model.npz"] != before["model.npz"]
    cli.main([*map(str, [*few, tmp_path / "alone", "--seed", 1])])
    assert contents(tmp_path / "alone")["model.npz"] == anew["model.npz"]
