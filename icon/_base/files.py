"""How is a file written so that nothing is lost?"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def replace(path: str | os.PathLike, content: bytes) -> None:
    """Written beside, then renamed: a reader sees the old file or the new one."""
    replace_all({path: content})


def replace_all(files: Mapping[Any, bytes]) -> None:
    """Several files: all are written beside before the first is renamed.

    A symbolic link stays, and what it points to is replaced. Of two writers of the
    same files one comes after the other, so that all files are of one of them.
    """
    places = [Path(os.path.realpath(path)) for path in files]
    beside = [path.with_name(f".icon-{secrets.token_hex(8)}") for path in places]
    with contextlib.ExitStack() as held:
        for folder in sorted({path.parent for path in places}):
            held.enter_context(alone(folder))
        try:
            for path, content in zip(beside, files.values(), strict=True):
                _write(path, content)
            for path, place in zip(beside, places, strict=True):
                os.replace(path, place)
        finally:
            for path in beside:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """The only writer in a folder, who clears what killed ones have left there.

    A lock ends with its process, however that ends. Where a folder cannot be locked,
    nothing is cleared.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(ImportError, OSError):
            import fcntl  # not on Windows

            lock = os.open(folder, os.O_RDONLY)
            held.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in folder.glob(".icon-" + 16 * "[0-9a-f]"):
                left.unlink()
        yield


def _write(path: Path, content: bytes) -> None:
    """On the disk when it returns, so that a power cut after the rename is harmless."""
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
