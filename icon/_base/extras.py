"""Which extra has a package that is not installed?"""

import importlib
from typing import Any


def required(module: str, extra: str) -> Any:
    """A module of an extra, or an ImportError that names the extra."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        fix = f"pip install 'icon-jax[{extra}]'"
        raise ImportError(f"{module} is missing: {fix}") from error
