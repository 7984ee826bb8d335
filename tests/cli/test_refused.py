"""Is whatever cannot be used one line that names it, with nothing written?"""

import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from icon import cli


pl = pytest.importorskip("polars", reason="polars is missing: icon-jax[frames]")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 4))


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def picture(*shape) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def frame(**columns) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(columns).write_parquet(file)
    return file.getvalue()


def lines(*rows) -> bytes:
    return "\n".join(rows).encode() + b"\n"


CITIES = [f"{i},{i * i % 7},Rome,{'xy'[i % 2]}" for i in range(30)]
FILES = {
    "good.npz": npz(features=X, y=np.arange(30) % 3),
    "plain.npz": npz(features=X),
    "two.npz": npz(features=X[:2]),
    "zero.npz": npz(features=X * (np.arange(30) != 4)[:, None]),
    "second.npz": npz(features=X, second=X[:20]),
    "rows.npy": npz(),
    "table.csv": lines("a,b,city,label", *CITIES),
    "named.csv": lines(",a,b", *(f"r{i},{i},{i * i % 7}" for i in range(30))),
    "turned.csv": lines(",a,b", *(f"r{29 - i},{i},{i * i}" for i in range(30))),
    "ragged.csv": lines("a;b", "1;2", "3"),
    "twice.csv": lines("a,b,a", "1,2,3"),
    "nameless.csv": lines("a,", "1,2"),
    "text.csv": lines("a,b", "x,y", "u,v"),
    "head.csv": lines("a,b"),
    "latin.csv": "a,b\n1,é\n".encode("latin-1"),
    "quote.csv": lines("a,b", '1,"2'),
    "inf.csv": lines("a,b", "1,inf", "2,3"),
    "large.csv": lines("a,b", "1,1e39", "2,3"),
    "missing.csv": lines("a,b", "1,", "2,3"),
    "mixed.csv": lines("a,b", "1,2", "2,n/a"),
    "unlabelled.csv": lines("a,label", "1,", "2,"),
    "one.csv": lines("a,b", "1,2"),
    "nul.csv": b"a,b\n1,\x002\n2,3\n",
    "no.parquet": b"PAR1 and no more",
    "text.parquet": frame(a=["x", "y"]),
    "missing.parquet": frame(a=[1.0, None], b=[1, 2]),
    "sheet.xlsx": b"PK",
    "sizes/a.png": picture(4, 4),
    "sizes/b.png": picture(4, 5),
    "broken/a.png": picture(4, 4)[:40],
    "deep/a.tif": b"II*\0" + bytes(60),
    "good/a/1.png": picture(4, 4),
    "good/b/1.png": picture(4, 4),
    "none/readme.txt": b"no image",
    "done/embedding.csv": b"",
    "done/clusters.csv": b"",
    "done/table.json": b"{}",
    "done/model.npz": b"",
    "begun/settings.json": json.dumps(dict(cell="SimCLR")).encode(),
    "odd/settings.json": b"[3]",
    "code.py": b"cell = 3",
}


def method(name, *args, file="good.npz"):
    return ["embed", file, "--method", name, *args]


REFUSED = {  # what is wrong: the arguments, and the name that the line begins with
    # columns
    "no such column to drop": (["embed", "table.csv", "--drop", "z"], "drop"),
    "every column dropped": (["embed", "table.csv", "--drop", *"ab"], "features"),
    "a column used and dropped": (
        ["embed", "table.csv", "--features", *"ab", "--drop", "b"],
        "drop",
    ),
    "a column twice": (["embed", "table.csv", "--features", *"aa"], "features"),
    "text as a feature": (["embed", "table.csv", "--features", "city"], "features"),
    "no such labels": (["embed", "table.csv", "--labels", "z"], "labels"),
    "a flag without a name": (["embed", "table.csv", "--features"], "features"),
    "a flag without a name, then another": (
        ["embed", "table.csv", "--drop", "--seed", "1"],
        "drop",
    ),
    "a column of an array": (["embed", "good.npz", "--drop", "y"], "drop"),
    "two arrays": (["embed", "good.npz", "--features", "features", "y"], "features"),
    # files
    "a ragged line": (["embed", "ragged.csv"], "path"),
    "a name twice": (["embed", "twice.csv"], "path"),
    "a column without a name": (["embed", "nameless.csv"], "path"),
    "text alone": (["embed", "text.csv"], "features"),
    "a header alone": (["embed", "head.csv"], "path"),
    "bytes that are no text": (["embed", "latin.csv"], "path"),
    "a quote that does not end": (["embed", "quote.csv"], "path"),
    "an infinite number": (["embed", "inf.csv"], "features"),
    "a number beyond float32": (["embed", "large.csv"], "features"),
    "a missing number": (["embed", "missing.csv"], "features"),
    "a word among numbers": (["embed", "mixed.csv"], "features"),
    "a null byte": (["embed", "nul.csv"], "features"),
    "no label at all": (["embed", "unlabelled.csv"], "labels"),
    "one row": (["embed", "one.csv"], "X"),
    "one row to cluster": (["cluster", "one.csv", "-k", "1"], "X"),
    "no parquet": (["embed", "no.parquet"], "path"),
    "parquet of text": (["embed", "text.parquet"], "features"),
    "parquet with a hole": (["embed", "missing.parquet"], "features"),
    "an .npz under another name": (["embed", "rows.npy"], "path"),
    "a file of another kind": (["embed", "sheet.xlsx"], "path"),
    "a pipe": (["embed", "pipe"], "path"),
    # images
    "images of no size": (["embed", "sizes", "--size", "0"], "size"),
    "images of three sides": (["embed", "sizes", "--size", *"444"], "size"),
    "a size of rows": (["embed", "table.csv", "--size", "4"], "size"),
    "a size of no file": (["embed", "--size", "4"], "size"),
    "a broken image": (["embed", "broken"], "path"),
    "an image that is none": (["embed", "deep"], "path"),
    "no image": (["embed", "none"], "path"),
    "labels of a folder": (["embed", "good", "--labels", "a"], "labels"),
    "no image to train on": (["train", "PCA", "--data", "none"], "path"),
    # methods
    "no such method": (method("tSNE"), "method"),
    "a file as a method": (method("code.py:cell"), "method"),
    "a setting of another method": (method("PCA", "--perplexity", "5"), "perplexity"),
    "a setting that is fixed": (
        method("LDA", "--constraint", "whitened"),
        "constraint",
    ),
    "a setting of another row": (method("Isomap", "--time", "5"), "time"),
    "no neighbours of a row": (method("Isomap", "--n-neighbors", "0"), "n_neighbors"),
    "more columns than rows": (
        method("Isomap", "--n-components", "30"),
        "n_components",
    ),
    "more columns than features": (
        method("classical MDS", "--n-components", "5"),
        "n_components",
    ),
    "no such kernel": (method("kernel PCA", "--kernel", "x"), "kernel"),
    "a kernel of no width": (method("kernel PCA", "--scale", "0"), "scale"),
    "no degrees of freedom": (method("heavy-tailed t-SNE", "--dof", "0"), "dof"),
    "a walk of no steps": (method("diffusion maps", "--time", "0"), "time"),
    "steps of an exact row": (method("Isomap", "--steps", "9"), "steps"),
    "no steps of a row": (method("class means", "--steps", "0"), "steps"),
    "a row of other data": (method("slow features"), "data"),
    "too near": (method("UMAP", "--min-dist", "5"), "min_dist"),
    "no spread": (method("UMAP", "--spread", "0"), "spread"),
    "no negatives": (method("UMAP", "--negatives", "0"), "negatives"),
    "no neighbours": (method("LGSimCLR", "--n-neighbors", "0"), "n_neighbors"),
    "a batch of one": (method("SupCon", "--batch-size", "1"), "batch_size"),
    "no labels to learn from": (method("SupCon", file="plain.npz"), "labels"),
    "no labels to separate": (method("LDA", file="plain.npz"), "labels"),
    "no second modality": (method("CCA"), "second"),
    "a second that is not there": (method("CCA", "--second", "no.csv"), "second"),
    "a second of text": (method("CCA", "--second", "text.csv"), "second_features"),
    "fewer rows in the second": (method("CCA", "--second", "two.npz"), "second"),
    "another order of the second": (
        method("CCA", "--second", "turned.csv", file="named.csv"),
        "second",
    ),
    "no such column of the second": (
        method("CCA", "--second", "table.csv", "--second-features", "z"),
        "second_features",
    ),
    "a second of columns that the first has": (
        method("CCA", "--second-features", "b", file="table.csv"),
        "features",
    ),
    "a second of other rows": (method("CCA", file="second.npz"), "also['second']"),
    "more than there are": (
        method("PCA", "--n-components", "9"),
        "n_components",
    ),
    "a rate by a word": (method("t-SNE", "--learning-rate", "fast"), "learning_rate"),
    "no such schedule": (method("t-SNE", "--schedule", "slow"), "schedule"),
    "no such affinity": (method("SNE", "--affinity", "x"), "affinity"),
    "a negative tolerance": (method("t-SNE", "--tol", "-1"), "tol"),
    "a row without a direction": (
        method("t-SNE", "--metric", "cosine", file="zero.npz"),
        "X",
    ),
    "a setting of batches alone": (
        ["cluster", "good.npz", "-k", "2", "--size-decay", "0.5"],
        "size_decay",
    ),
    # what is there
    "an embedding that is there": (["embed", "good.npz", "--out", "done"], "out"),
    "clusters that are there": (["cluster", "good.npz", "--out", "done"], "out"),
    "a table that is there": (["table", "--cells", "PCA", "--out", "done"], "out"),
    "a model that is there": (["train", "PCA", "--out", "done"], "out"),
    "another training": (["train", "PCA", "--out", "begun"], "out"),
    "settings of nothing": (["train", "PCA", "--out", "odd"], "out"),
    # commands
    "no command": ([], "arguments"),
    "no such command": (["explode"], "arguments"),
    "no such flag": (["embed", "good.npz", "--forces"], "forces"),
    "two files": (["embed", "good.npz", "two.npz"], "arguments"),
    "a version of a command": (["embed", "--version"], "version"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("refused")
    for name, content in FILES.items():
        (place / name).parent.mkdir(exist_ok=True, parents=True)
        (place / name).write_bytes(content)
    os.mkfifo(place / "pipe")
    return place


def contents(folder):
    return {x: x.read_bytes() for x in folder.rglob("*") if x.is_file()}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_one_line_and_nothing_is_written(case, folder, capsys, monkeypatch):
    args, argument = REFUSED[case]
    monkeypatch.chdir(folder)
    before = contents(folder)
    with pytest.raises(SystemExit) as stopped:
        cli.main(args)
    printed = capsys.readouterr()
    notes = [x for x in printed.err.splitlines() if "are left out: " not in x]
    assert stopped.value.code == 2 and printed.out == "" and len(notes) == 1
    assert re.match(rf"icon: {re.escape(argument)}: expected .+, got .+", notes[0])
    assert len(notes[0]) < 420 and contents(folder) == before


def test_the_cases_are_many():
    assert len(REFUSED) >= 60


FRAMED = dict(PYTHONIOENCODING="utf-8", COLUMNS="80", PYTHONUTF8="1")


@pytest.mark.slow
def test_it_is_the_same_line_in_a_terminal_that_draws_frames(folder):
    args = ["embed", "--method", "PCA", "--perplexity", "5"]
    run = [sys.executable, "-m", "icon", *args]
    options = dict(capture_output=True, text=True, timeout=60, cwd=folder)
    done = subprocess.run(run, env={**os.environ, **FRAMED}, **options)
    assert (done.returncode, done.stdout) == (2, "")
    says = "expected what `icon embed --method PCA --help` says"
    got = "got Unrecognized options: --perplexity, 5"
    assert done.stderr == f"icon: perplexity: {says}, {got}\n"
