"""Does a benchmark that this machine cannot run say so, and does its trial run?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest


SCRIPT = Path(__file__).parents[1] / "benchmarks/clustering.py"


def million(*args, tmp):
    order = [sys.executable, str(SCRIPT), "--only", "million", *args]
    environ = os.environ | dict(JAX_PLATFORMS="cpu", TMPDIR=str(tmp))
    return subprocess.run(order, capture_output=True, text=True, env=environ)


def test_a_million_rows_need_a_gpu(tmp_path):
    found = million(tmp=tmp_path)
    assert found.returncode == 1 and not found.stdout
    (line,) = found.stderr.splitlines()
    assert line.startswith("million: no GPU") and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_trial_of_a_million_rows_times_every_part(tmp_path):
    found = million("--quick", tmp=tmp_path)
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert all(line.startswith("million {") for line in lines)
    for part in ("supervision, 5,000", "supervision, 20,000", "labels, 20,000", "all'"):
        assert any(part in line for line in lines), part
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]
