"""What does a person see at the terminal?"""

import json
import subprocess
import sys

import numpy as np
import pytest

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
    out = tmp_path / "out"
    cli.main(
        [
            "table",
            "--quick",
            "--out",
            str(out),
            "--cells",
            f"{my_cells}:t_supcon",
            "SNE",
        ]
    )
    told = capsys.readouterr()
    assert "2/2" in told.err and "table.html" in told.out
    rows = json.loads((out / "table.json").read_text())
    assert [row["name"] for row in rows["rows"]] == ["my <t-SupCon>", "SNE"]
    assert all(row["scores"]["10-NN"] > 0.5 for row in rows["rows"])
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
    told = capsys.readouterr().err
    assert stopped.value.code == 2
    assert told.startswith(f"icon: {argument}: expected") and told.count("\n") == 1


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
