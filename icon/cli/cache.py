"""Where are compiled programs kept from one command to the next?"""

import os
from typing import Any

import jax

from icon._base.extras import required


LIMIT = 2**29  # bytes; what was used least recently goes first
SHORTEST = 0.05  # seconds of compiling that are worth a file


def keep_programs() -> None:
    """Compiled programs stay in the user's cache, in a folder for each release of JAX.

    A cache that JAX has by its own settings, or that is switched off by these, or a
    folder that cannot be written to, stays as it is.
    """
    config: Any = jax.config
    if config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache:
        return
    required("filelock", "cli")  # JAX keeps its limit by it
    cache = required("platformdirs", "cli").user_cache_path("icon", appauthor=False)
    folder = cache / f"jax-{jax.__version__}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if not os.access(folder, os.W_OK):
        return
    config.update("jax_compilation_cache_max_size", LIMIT)
    config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST)
    config.update("jax_compilation_cache_dir", str(folder))
