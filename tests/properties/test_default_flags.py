"""Are losses and gradients right where XLA compiles as it does by default?

The other tests run with flags under which it compiles little, and quickly.
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import default_flags
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from default_flags import LOSSES
from zoo import FORMULA


pytestmark = pytest.mark.slow  # rows are compiled so in _table/test_cells.py
TESTS = Path(default_flags.__file__).parent


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Values and gradients of each loss, from one program."""
    out = tmp_path_factory.mktemp("flags") / "answers"
    env = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
    }
    env.pop("XLA_FLAGS", None)
    run = [sys.executable, default_flags.__file__, str(out)]
    done = subprocess.run(run, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return pickle.loads(out.read_bytes())


def by_loops(name, s):
    data = [zoo.exact(k, s, jnp.float32) for k in (0, 1)]
    pair = [zoo.KINDS[kind] for kind in LOSSES[name][:2]]
    p, q = (f(FORMULA, d) for f, d in zip(pair, data, strict=True))
    return default_flags.loss_of(name, FORMULA, p, q)


@pytest.mark.parametrize("name", LOSSES)
def test_compiled_as_by_default_a_loss_is_its_formula(answers, name):
    step, k = 1e-5, list(LOSSES).index(name)
    slope = (by_loops(name, step) - by_loops(name, -step)) / (2 * step)
    value, gradient = answers[k]
    np.testing.assert_allclose(value, by_loops(name, 0.0), rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-5)
