"""Are compiled programs there for the next command, and only where they may be?"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest


SAID = """
import json, sys
import jax, jax.monitoring
from icon import cli
read = []
hits = "/jax/compilation_cache/cache_hits"
jax.monitoring.register_event_listener(lambda name, **_: read.append(name == hits))
cli.main(sys.argv[1:])
names = "compilation_cache_dir", "compilation_cache_max_size"
print(json.dumps([sum(read), *(getattr(jax.config, f"jax_{name}") for name in names)]))
"""


@pytest.fixture
def run(tmp_path):
    rows = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    kept = {"JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"}
    env = {name: x for name, x in os.environ.items() if name not in kept}
    env |= dict(XDG_CACHE_HOME=str(tmp_path / "cache"), HOME=str(tmp_path))
    embed = ["embed", str(tmp_path / "rows.npy"), "--max-iter", "5", "--force"]

    def run(*args, **more):
        command = [sys.executable, "-c", SAID, *embed, *args]
        command += ["--out", str(tmp_path / "out")]
        done = subprocess.run(
            command, env=env | more, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.skipif(sys.platform != "linux", reason="the folder's place is Linux's")
def test_the_second_command_reads_what_the_first_has_compiled(run, tmp_path):
    first, folder, limit = run()
    assert folder.startswith(str(tmp_path / "cache" / "icon" / "jax-"))
    assert first == 0 and limit == 2**29
    assert len(os.listdir(folder)) > 2
    again, *_ = run()
    assert again > 2


@pytest.mark.slow
def test_without_it_nothing_is_written(run, tmp_path):
    assert run("--no-cache") == [0, None, -1]
    assert not (tmp_path / "cache" / "icon").exists()


@pytest.mark.slow
def test_a_cache_that_jax_has_already_is_the_one(run, tmp_path):
    own = str(tmp_path / "own")
    assert run(JAX_COMPILATION_CACHE_DIR=own)[1:] == [own, -1]
    assert run(JAX_ENABLE_COMPILATION_CACHE="0")[1:] == [None, -1]
