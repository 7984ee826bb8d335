"""What is printed, and written, from a terminal?"""

import csv
import dataclasses
import io
import json
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from matplotlib.image import imread

import icon
from icon import cli


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
    assert rows["run"]["seed"] == 0 and "jax" in rows["run"]["versions"]
    page = (out / "table.html").read_text()
    assert "my &lt;t-SupCon&gt;" in page and "<t-SupCon>" not in page
    assert (out / "table.png").read_bytes()[1:4] == b"PNG"
    assert sorted(x.name for x in out.iterdir()) == sorted(cli.FILES)


def test_the_same_seed_draws_the_same_picture(tmp_path):
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


def test_the_table_is_printed_with_every_row(capsys):
    cli.main(["cells"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(icon.TABLE) + 1
    for line, cell in zip(lines[1:], icon.TABLE.values(), strict=True):
        assert line.startswith(cell.name) and cell.status in line
        assert cell.reference in line and cell.column in line and cell.row in line


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
FILES = ["embedding.csv", "embedding.json", "embedding.npy", "embedding.png"]


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
    assert printed.out.split() == [str(out / f"embedding.{x}") for x in SUFFIXES]
    assert "50/50" in printed.err and sorted(x.name for x in out.iterdir()) == FILES
    z = np.load(out / "embedding.npy", allow_pickle=False)
    assert z.shape == (40, 2) and z.dtype == np.float32
    with open(out / "embedding.csv", newline="") as file:
        head, *lines = csv.reader(file)
    assert head == ["tsne0", "tsne1", "label"]
    assert np.array_equal(np.float32([line[:2] for line in lines]), z)
    assert [int(line[2]) for line in lines] == [i % 3 for i in range(40)]
    run = json.loads((out / "embedding.json").read_text())
    assert run["perplexity_used"] == 5 and run["steps"] == 50
    assert run["settings"]["seed"] == 7 and "jax" in run["versions"]
    assert run["kl_divergence"] > 0 and run["data"]["rows"] == 40
    assert (out / "embedding.png").read_bytes()[1:4] == b"PNG"


SUFFIXES = ("npy", "csv", "json", "png")


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
    run = json.loads((tmp_path / "embedding.json").read_text())
    assert run["perplexity_used"] == 13
    assert (tmp_path / "embedding.csv").read_text().startswith("tsne0,tsne1\n")


NOT_LAID_OUT = {
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


def test_digits_are_laid_out_without_a_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(icon.data, "digits", lambda: DIGITS)
    embed(*QUICK, "--out", tmp_path)
    run = json.loads((tmp_path / "embedding.json").read_text())
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


# ------------------------------------------------------- icon cluster


CLUSTERS = ["clusters.csv", "clusters.json", "clusters.png", "choice.png"]


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
    run = json.loads((out / "clusters.json").read_text())
    assert run["sizes"] == [20, 15, 10] and run["scores"]["accuracy"] == 1
    assert run["settings"]["n_clusters"] == [3] and run["n_neighbors_used"] == 6
    assert run["typical_rows"] == [row.tolist() for row in model.typical_]
    assert run["choice"] is None and not (out / "choice.png").exists()
    assert imread(out / "clusters.png").shape[1] > 600


def test_the_most_stable_of_several_numbers_is_taken_and_drawn(
    groups, tmp_path, capsys
):
    args = ["-k", "2", "3", "6", "--n-neighbors", "6", "--out", str(tmp_path)]
    cli.main(["cluster", str(groups[0]), *args])
    run = json.loads((tmp_path / "clusters.json").read_text())
    assert run["n_clusters"] == run["choice"]["best"] == 3
    assert run["choice"]["counts"] == [2, 3, 6] and len(run["sizes"]) == 3
    assert imread(tmp_path / "choice.png").shape[1] > 600
    assert str(tmp_path / "choice.png") in capsys.readouterr().out


def test_a_head_is_trained_by_name(groups, tmp_path):
    args = ["--head", "linear", "--divergence", "hellinger", "--alpha-p", "0.1"]
    cli.main(["cluster", str(groups[0]), "-k", "3", *args, "--out", str(tmp_path)])
    run = json.loads((tmp_path / "clusters.json").read_text())
    assert len(run["head_losses"]) == 4 and run["scores"]["accuracy"] > 0.9


def test_fewer_clusters_than_asked_are_one_line(tmp_path, capsys):
    np.save(tmp_path / "few.npy", np.repeat(np.eye(2), 5, 0))
    cli.main(["cluster", str(tmp_path / "few.npy"), "-k", "3", "--out", str(tmp_path)])
    assert capsys.readouterr().err == "icon: 2 of 3 clusters have a row\n"


# ------------------------------------------------------- everything that is refused


NUMBERS = {  # every flag that takes a number, from the settings themselves
    field.name.replace("_", "-"): field.type is int
    for field in dataclasses.fields(cli.How)
    if field.type in (int, float, tuple[float, ...])
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
    "words.csv": b"a,b\n1,x\n",
    "nan.csv": b"a,b\n1,nan\n2,3\n",
    "nul.csv": b"a,b\n1,\x002\n",
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
BAD = [
    *([*EMBED, f"--{flag}", x] for flag in NUMBERS for x in ALWAYS),
    *(
        [*EMBED, f"--{flag}", x]
        for flag, whole in NUMBERS.items()
        if whole
        for x in WHOLE
    ),
    *([*EMBED, f"--{flag}", "1e39"] for flag in HUGE),
    *([*TABLE, "--seed", x] for x in (*ALWAYS, *WHOLE)),
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
        (folder / "taken" / name).mkdir(parents=True)
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
    assert len(BAD) > 150 and len(NUMBERS) == 8


def test_a_cell_file_does_not_hide_a_module(tmp_path):
    (tmp_path / "json.py").write_text(CELL)
    assert cli.find(f"{tmp_path}/json.py:t_supcon").name == "my <t-SupCon>"
    assert sys.modules["json"] is json
