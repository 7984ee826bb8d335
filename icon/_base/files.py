"""How is a file written so that nothing is lost?"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def replace(path: str | os.PathLike, content: bytes) -> None:
    """Written beside, then renamed: a reader sees the old file or the new one."""
    replace_all({path: content})


def replace_all(files: Mapping[Any, bytes]) -> None:
    """Several files: all are written beside before the first is renamed.

    A symbolic link stays, and what it points to is replaced.
    """
    places = [Path(os.path.realpath(path)) for path in files]
    beside = [path.with_name(f".icon-{secrets.token_hex(8)}") for path in places]
    try:
        for path, content in zip(beside, files.values(), strict=True):
            _write(path, content)
        for path, place in zip(beside, places, strict=True):
            os.replace(path, place)
    finally:
        for path in beside:
            path.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    """On the disk when it returns, so that a power cut after the rename is harmless."""
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
