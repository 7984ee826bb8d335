"""Is a table of several processes that of one, whatever becomes of them?"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import jax
import joblib
import numpy as np
import pytest

from icon import InvalidInput, cli
from icon.cli.on import On
from icon.cli.workers import Work, attempted, count_of


SHORT = ["--quick", "--points", "60", "--steps", "4", "--data", "digits"]
MORTAL = """
import os, signal, time
from pathlib import Path
import icon

def killed(ids):
    os.kill(os.getpid(), signal.SIGINT)  # which is not for this process
    os.kill(os.getpid(), signal.SIGKILL)

def waiting(ids):
    time.sleep(600)

killed = icon.Cell("killed", killed, icon.cosine, column="Classes")
waiting = icon.Cell("waiting", waiting, icon.cosine, column="Classes")
"""


def rows_of(folder):
    return json.loads((folder / "table.json").read_text())["rows"]


def test_rows_are_those_of_one_process_but_for_one_that_was_killed(tmp_path):
    (tmp_path / "mortal.py").write_text(MORTAL)
    on = On("digits", points=60, steps=4, quick=True)
    work = Work(("LDA", f"{tmp_path}/mortal.py:killed"), on, range(1))
    made = work.made()
    came = [*attempted(work, made, (1, 1, 0), 2)]  # both processes are killed
    rows, ((_, alone),) = dict(came), attempted(work, made, (0,), 1)
    assert sorted(row for row, _ in came) == [0, 1, 1]
    assert rows[0]["name"] == alone["name"]
    assert rows[0]["scores"] == pytest.approx(alone["scores"], rel=1e-4)
    np.testing.assert_allclose(rows[0]["z"], alone["z"], atol=1e-3)
    assert rows[1]["name"] == "killed" and rows[1]["failed"]
    assert "its process ended (-9)" in rows[1]["note"]


def with_one_row(tmp_path, **options):
    """A table that has finished a row, and waits for another one."""
    (tmp_path / "mortal.py").write_text(MORTAL)
    rows = ["PCA", f"{tmp_path}/mortal.py:waiting", "--workers", "2"]
    args = ["table", *SHORT, "--cells", *rows, "--out", f"{tmp_path}/out"]
    run = [sys.executable, "-m", "icon", *args]
    child = subprocess.Popen(run, stderr=subprocess.PIPE, text=True, **options)
    while not (tmp_path / "out" / "table.json").exists():
        assert child.poll() is None
        time.sleep(0.05)
    return child


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_waits_is_replaced():
    on = On("digits", points=60, steps=4, quick=True)
    work = Work(("LDA",), on, range(1))
    made, came = work.made(), []
    for row, result in attempted(work, made, (0, 0, 0), 2):
        came.append((row, result.get("failed")))
        if len(came) == 1:  # the first is free now, the other one may be busy
            for process in multiprocessing.active_children():
                os.kill(process.pid, signal.SIGKILL)
                process.join()
    assert len(came) == 3 and came[0] == (0, None)
    assert came[2] == (0, None)  # of the second one nothing is known


@pytest.mark.slow
def test_a_file_is_warned_of_once(tmp_path, capfd):
    file = tmp_path / "rows.csv"
    lines = [f"{i},{i % 7},{'ab'[i % 2]}x" for i in range(40)]
    file.write_text("\n".join(["u,v,word", *lines]))
    args = ["--cells", "PCA", "classical MDS", "--out", f"{tmp_path}/out"]
    some = ["--quick", "--points", "40", "--steps", "4", "--data", str(file)]
    cli.main(["table", *some, *args, "--workers", "2"])
    assert capfd.readouterr().err.count("'word'") == 1


@pytest.mark.slow
def test_ctrl_c_leaves_what_is_finished_and_no_process(tmp_path):
    child = with_one_row(tmp_path, process_group=0)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, printed = child.communicate(timeout=120)  # all have closed their stderr
    last = printed.strip().splitlines()[-1]
    assert child.returncode == 130 and last.endswith("1 of 2 rows were written")
    assert "Traceback" not in printed
    assert [row["name"] for row in rows_of(tmp_path / "out")] == ["PCA"]
    assert {*os.listdir(tmp_path / "out")} == {*cli.FILES}


@pytest.mark.slow
def test_a_table_that_is_killed_leaves_no_process(tmp_path):
    child = with_one_row(tmp_path)
    child.kill()
    child.communicate(timeout=60)  # all have closed their stderr


def test_there_is_one_for_each_core_where_there_are_rows_for_them(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 5)
    assert [count_of(None, rows) for rows in (0, 7, 8, 79)] == [1, 1, 5, 5]
    assert count_of(3, 1) == 3
    monkeypatch.setattr(joblib, "cpu_count", lambda: 64)
    assert count_of(None, 79) == 8
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert count_of(None, 79) == 1
    with pytest.raises(InvalidInput, match="workers"):
        count_of(0, 79)
