"""How is a file written so that nothing is lost?"""

import os
from pathlib import Path


def replace(path: str | os.PathLike, content: bytes) -> None:
    """Written beside, then renamed: a reader sees the old file or the new one."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
