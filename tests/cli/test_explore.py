"""Is what a command has laid out a page to look through?"""

import base64
import json
import sys

import numpy as np
import pytest

import icon
from icon import cli


@pytest.fixture
def laid_out(tmp_path):
    z = np.random.default_rng(0).normal(size=(30, 2))
    np.savez(tmp_path / "points.npz", embedding=z, label=np.arange(30) % 3)
    return tmp_path / "points.npz"


def explore(*args):
    cli.main(["explore", *map(str, args)])


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(text.split('id="data">')[1].split("</script>")[0])


def numbers(column):
    """The numbers of a column, or which of its names each row has."""
    packed = column.get("values") or column["codes"]
    kind = dict(Uint8Array="u1", Float32Array="<f4")[packed["type"]]
    return np.frombuffer(base64.b64decode(packed["bytes"]), kind)


def test_a_file_becomes_a_page(laid_out, tmp_path, capsys):
    explore(laid_out, "--out", tmp_path / "page.html")
    assert capsys.readouterr().out.split() == [str(tmp_path / "page.html")]
    found = data_of(tmp_path / "page.html")
    assert found["n"] == 30 and found["title"] == "points"
    assert [(x["name"], x["names"]) for x in found["known"]] == [("label", [*"012"])]


def test_a_page_that_is_there_is_replaced_by_force_only(laid_out, tmp_path, capsys):
    page = tmp_path / "page.html"
    page.write_text("mine")
    with pytest.raises(SystemExit, match="2"):
        explore(laid_out, "--out", page)
    assert "--force" in capsys.readouterr().err and page.read_text() == "mine"
    explore(laid_out, "--out", page, "--force")
    assert data_of(page)["n"] == 30


def test_what_embed_wrote_is_read(tmp_path, capsys):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(20, 4)))
    cli.main(
        ["embed", str(tmp_path / "rows.npy"), "--method", "PCA", "--out", str(tmp_path)]
    )
    explore(tmp_path, "--out", tmp_path / "page.html")
    assert data_of(tmp_path / "page.html")["n"] == 20


def test_three_columns_that_embed_wrote_are_points_of_space(tmp_path, capsys):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(20, 4)))
    space = ["--method", "PCA", "--n-components", "3", "--out", str(tmp_path)]
    cli.main(["embed", str(tmp_path / "rows.npy"), *space])
    for file in (tmp_path, tmp_path / "embedding.npz", tmp_path / "embedding.npy"):
        explore(file, "--out", tmp_path / "page.html", "--force")
        found = data_of(tmp_path / "page.html")
        assert found["axes"] == 3 and found["n"] == 20


def test_what_cluster_wrote_is_read(tmp_path, monkeypatch, capsys):
    from icon.recipes import clustering, ensemble

    monkeypatch.setattr(clustering, "MANY", 40)
    monkeypatch.setattr(ensemble, "layouts_of", lambda x, p, seed: [x[:, :2]])
    y = np.repeat([0, 1, 2], [20, 15, 10])
    x = 9 * np.eye(3)[y] + np.random.default_rng(0).normal(size=(45, 3))
    np.savez(tmp_path / "groups.npz", features=x, y=y)
    out = ["-k", "3", "--n-neighbors", "6", "--out", str(tmp_path / "out")]
    cli.main(["cluster", str(tmp_path / "groups.npz"), *out])
    explore(tmp_path / "out", "--out", tmp_path / "page.html")
    found = data_of(tmp_path / "page.html")
    assert found["n"] == 40  # of 45: the others have no place
    names = [column["name"] for column in found["known"]]
    assert names == ["cluster", "confidence", "label", "row of the file"]
    row = numbers(found["known"][3]).astype(int)
    assert len({*row}) == 40 and (np.diff(row) > 0).all()
    labels = found["known"][2]
    assert [int(labels["names"][c]) for c in numbers(labels)] == y[row].tolist()


def test_the_data_that_were_laid_out_are_shown_too(tmp_path, capsys):
    digits = icon.data.digits()
    np.save(tmp_path / "z.npy", digits.features[:, :2])
    explore(tmp_path / "z.npy", "--data", "digits", "--out", tmp_path / "page.html")
    found = data_of(tmp_path / "page.html")
    assert found["sheet"]["width"] == 8
    assert (
        found["known"][0]["name"] == "label" and len(found["known"][0]["names"]) == 10
    )


def test_names_of_labels_and_further_columns_are_shown(laid_out, tmp_path, capsys):
    names = np.array(["rose", "iris", ""])[np.arange(30) % 3]
    x = np.random.default_rng(0).normal(size=(30, 4))
    np.savez(tmp_path / "all.npz", features=x, y=names, time=np.arange(30.0))
    data = ["--data", tmp_path / "all.npz", "--features", "features", "--labels", "y"]
    explore(laid_out, *data, "--out", tmp_path / "page.html")
    known = {
        column["name"]: column for column in data_of(tmp_path / "page.html")["known"]
    }
    assert known["label"]["names"] == ["", "iris", "rose"] and "values" in known["time"]


MISTAKES = {
    "no such file": (["nowhere.csv"], "file"),
    "no such column": (["{file}", "--position", "z"], "position"),
    "no such data": (["{file}", "--data", "nowhere.npz"], "path"),
    "data of other rows": (["{file}", "--data", "digits"], "data"),
    "labels without data": (["{file}", "--labels", "y"], "labels"),
    "a page in no folder": (["{file}", "--out", "no/page.html"], "out"),
    "nothing": ([], "arguments"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line(case, laid_out, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args, argument = MISTAKES[case]
    with pytest.raises(SystemExit) as stopped:
        explore(*[arg.format(file=laid_out) for arg in args])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.count("\n") == 1
    assert error.startswith(f"icon: {argument}: expected")
    assert not (tmp_path / "icon-explore.html").exists()


def test_without_plotly_the_extra_is_named(laid_out, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(SystemExit) as stopped:
        explore(laid_out)
    assert stopped.value.code == 2
    assert "icon-jax[explore]" in capsys.readouterr().err
