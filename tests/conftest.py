"""How hostile is the ground that every test stands on?"""

import gc
import os
import signal
from importlib.metadata import version
from pathlib import Path

from flags import LITTLE  # before NumPy is imported


# isort: split
import jax
import pytest


CACHE = Path(__file__).parent.parent / ".jax_cache"

# small programs compile longer than they run; a flag XLA does not know is fatal
if version("jaxlib").startswith("0.10."):
    flags = [os.environ.get("XLA_FLAGS", ""), *LITTLE]
    os.environ["XLA_FLAGS"] = " ".join(flags).strip()

# a trace is many small objects that live on: to look through them again and again takes
# a fifth of the time
gc.set_threshold(50_000, 20, 50)

# a shell starts what is in its background deaf to Ctrl-C, which some tests send
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# JAX_COMPILATION_CACHE_DIR names another one, to time the tests from an empty cache;
# processes that a test starts have the same one
CACHE = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@pytest.fixture
def x64():
    """Numbers of double precision, for this test only."""
    with jax.enable_x64(True):
        yield
