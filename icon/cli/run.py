"""What happens when a command is called? It runs; a mistake is one line."""

import contextlib
import functools as ft
import io
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

from icon import DivergenceError, InvalidInput
from icon._base import checks as check
from icon._base.extras import required
from icon.cli.cache import keep_programs
from icon.cli.cluster import cluster
from icon.cli.embed import embed
from icon.cli.explore import explore
from icon.cli.table import cells, table
from icon.cli.train import train


COMMANDS: dict[str, Callable] = {
    "table": table,
    "embed": embed,
    "cluster": cluster,
    "explore": explore,
    "train": train,
    "cells": cells,
}


NO_CACHE = "--no-cache"
ABOUT = f"""Every representation-learning method is a choice of two neighbourhoods.

Compiled programs are kept in the cache folder of the user, which any command with
{NO_CACHE} neither reads nor writes.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Run a command; a mistake in its arguments is one line and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that cannot be printed
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # of a home it cannot use
    usual, sys.unraisablehook = sys.unraisablehook, _again
    given = list(sys.argv[1:] if args is None else args)
    try:
        command = _parsed([arg for arg in given if arg != NO_CACHE])
        if NO_CACHE not in given:
            keep_programs()
        command()
        print(end="", flush=True)
    except (InvalidInput, ImportError) as error:
        _stop(str(error), 2)
    except (DivergenceError, MemoryError) as error:
        _stop(str(error) or "not enough memory", 1)
    except KeyboardInterrupt as error:
        _stop(f"stopped; {error.args[0] if error.args else 'nothing was written'}", 130)
    except BrokenPipeError:  # `icon cells | head` is no error
        sys.stdout = None
        raise SystemExit(0) from None
    except OSError as error:
        sys.stdout = None
        _stop(f"{error.strerror}", 1)
    finally:
        sys.unraisablehook = usual


def _again(lost) -> None:
    """Ctrl-C once more, if it came where nothing can be raised.

    JAX runs Python after every garbage collection.
    """
    if issubclass(lost.exc_type, KeyboardInterrupt):
        threading.Timer(0.01, os.kill, [os.getpid(), signal.SIGINT]).start()
    else:
        sys.__unraisablehook__(lost)


def _stop(why: str, status: int) -> NoReturn:
    """Say why in one line of at most 400 characters, and end."""
    line = " ".join(why.split())
    line = line if len(line) <= 400 else f"{line[:250]} ... {line[-140:]}"
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
    print(f"icon: {line}", file=sys.stderr)
    raise SystemExit(status) from None


def _parsed(args: Sequence[str]) -> Callable[[], None]:
    """The command with its arguments; what tyro refuses, in one line."""
    tyro = required("tyro", "cli")
    flat = (tyro.conf.OmitArgPrefixes,)  # --perplexity, not --how.perplexity
    run = tyro.extras.subcommand_cli_from_dict
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return run(
                LATER, prog="icon", description=ABOUT, args=_filled(args), config=flat
            )
    except SystemExit as end:
        if end.code != 2:
            raise
    words = re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue())  # no colors
    rule = r"(?m)^[^\w\n]*[-─]{5,}[^\w\n]*$"  # under the title, and above the help
    got = " ".join(re.sub(r"[│╭╮╰╯─]", " ", re.split(rule, words)[1]).split())
    named = re.search(r"--([a-z][a-z-]*)", got)
    argument = named[1].replace("-", "_") if named else "arguments"
    raise InvalidInput(argument, got, "what `icon --help` says")


SHORT = {"-k": "--n-clusters", "--check": "--check-floors"}


def _filled(args: Sequence[str]) -> Sequence[str]:
    """Arguments in full, none of them empty, as an unset variable of a shell is."""
    for before, arg in zip(("arguments", *args), args, strict=False):
        check.require(arg, before.strip("-").replace("-", "_"), repr(arg), "a value")
    return [SHORT.get(arg, arg) for arg in args]


def _later(command: Callable) -> Callable[..., Callable[[], None]]:
    """The command as tyro sees it, to be run after its arguments were read."""

    @ft.wraps(command)
    def bound(*args, **options):
        return ft.partial(command, *args, **options)

    return bound


LATER = {name: _later(command) for name, command in COMMANDS.items()}
