"""Which text does every machine have?"""

import ast
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path


_TOKEN = re.compile(r"(\w+)|([^\w\s])\2*")
_DOCUMENTED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def standard_library(limit: int) -> str:
    """The language reference and docstrings of Python, at most so many characters."""
    # Of the sources, which are parsed and never run: some modules act when imported.
    parts, size = [], 0
    for part in _parts(Path(sysconfig.get_path("stdlib"))):
        parts.append(part)
        size += len(part) + 1
        if size > limit:
            break
    return "\n".join(parts)[:limit]


def tokenized(text: str) -> list[str]:
    """Words in lower case, and signs, a run of one sign being one token."""
    return [word or sign for word, sign in _TOKEN.findall(text.lower())]


def _parts(root: Path) -> Iterator[str]:
    topics = root / "pydoc_data" / "topics.py"
    for statement in _module(topics).body if topics.is_file() else []:
        if isinstance(statement, ast.Assign):
            yield from ast.literal_eval(statement.value).values()
    for path in sorted(root.glob("*.py")):
        yield from _docstrings(_module(path))


def _module(path: Path) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in its strings
        return ast.parse(path.read_bytes())


def _docstrings(node) -> Iterator[str]:
    yield ast.get_docstring(node) or ""
    for inner in node.body:
        if isinstance(inner, _DOCUMENTED):
            yield from _docstrings(inner)
