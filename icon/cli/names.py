"""Which cell, model or function does an argument name? FILE.py:NAME, or a row."""

import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from icon import TABLE, Cell, InvalidInput
from icon._base import checks as check
from icon._table import known


def find_all(names: Sequence[str]) -> list[Cell]:
    """The cells of names: rows, FILE.py:NAME, or FILE.py for all of a file's."""
    found: list[Cell] = []
    for name in names:
        found += _all_of(name) if name.endswith(".py") else [find(name)]
    return found or list(TABLE.values())


def find(name: str, argument: str = "cells") -> Cell:
    """A cell by its name in the table, or by FILE.py:NAME."""
    if ".py:" not in name:
        known(argument, name, (*TABLE, "FILE.py:NAME"))
        expected = "the name of a cell in a file"
        check.require(name in TABLE, argument, repr(name), expected)
        return TABLE[name]
    cell = imported(argument, name)
    got = f"{name}, which is no Cell"
    check.require(isinstance(cell, Cell), argument, got, "FILE.py:NAME of a Cell")
    return cell


def _all_of(file: str) -> list[Cell]:
    """Every cell that a file defines, in its order."""
    values = vars(_module("cells", file)).values()
    found = list({id(x): x for x in values if isinstance(x, Cell)}.values())
    check.require(found, "cells", f"{file}, which has no Cell", "a file that has some")
    return found


def digests(*names: str | None) -> dict[str, str]:
    """SHA-256 of the files among some arguments, FILE or FILE.py:NAME, by their names.

    So that a run of other contents is no continuation of the run before.
    """
    files = [
        Path(f"{name.partition('.py:')[0]}.py") if ".py:" in name else Path(name)
        for name in names
        if name
    ]
    return {str(file): _digest(file) for file in files if file.is_file()}


def _digest(file: Path) -> str:
    with open(file, "rb") as stream:  # piece by piece: features may be large
        return hashlib.file_digest(stream, "sha256").hexdigest()


def imported(argument: str, name: str | None) -> Any:
    """What FILE.py:NAME is, by running the file; of None, None."""
    if name is None:
        return None
    file, _, attribute = name.rpartition(":")
    expected = "FILE.py:NAME"
    check.require(file.endswith(".py") and attribute, argument, repr(name), expected)
    names = vars(_module(argument, file))
    if attribute not in names:
        own = [x for x in names if not x.startswith("_")]
        known(argument, attribute, own or [expected])
    return names[attribute]


def _module(argument: str, file: str):
    expected = "a file that exists"
    real = check.path(argument, file).is_file()
    check.require(real, argument, f"{file}, which is no such file", expected)
    # by its whole path: a json.py is not the json that others import
    path = str(Path(file).resolve())
    if path in sys.modules:  # model and views of one file are of one module
        return sys.modules[path]
    spec = importlib.util.spec_from_file_location(path, file)
    assert spec and spec.loader  # of every .py there are
    module = importlib.util.module_from_spec(spec)
    sys.modules[path] = module  # lambdas are looked up by their module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[path]
        got = f"{file}, which raises {type(error).__name__}: {error}"
        raise InvalidInput(argument, got, "a file that runs") from error
    return module
