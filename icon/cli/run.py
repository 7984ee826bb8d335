"""What happens when a command is called? It runs; a mistake is one line."""

import contextlib
import functools as ft
import io
import logging
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import NoReturn

from icon import TABLE, DivergenceError, InvalidInput
from icon._base import checks as check
from icon._base.extras import required
from icon.cli.cache import keep_programs
from icon.cli.cluster import cluster, cluster_by
from icon.cli.embed import embed, embed_by
from icon.cli.explore import explore
from icon.cli.table import cells, table
from icon.cli.train import train, train_by


COMMANDS: dict[str, Callable] = {
    "table": table,
    "embed": embed,
    "cluster": cluster,
    "explore": explore,
    "train": train,
    "cells": cells,
}
FLAGGED: dict[str, Callable] = {  # by its arguments, with the flags of what they name
    "embed": lambda args: embed_by(_value(args, "--method") or "t-SNE"),
    "cluster": lambda args: cluster_by(),
    "train": lambda args: train_by(_row(args)),
}


NO_CACHE, VERSION = "--no-cache", "--version"
ABOUT = f"""Every representation-learning method is a choice of two neighbourhoods.

Compiled programs are kept in the cache folder of the user, which any command with
{NO_CACHE} neither reads nor writes. {VERSION} prints the version.
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
    if args == [VERSION]:
        return ft.partial(print, f"icon {metadata.version('icon-jax')}")
    tyro = required("tyro", "cli")
    flat = (tyro.conf.OmitArgPrefixes,)  # --perplexity, not --how.perplexity
    run = tyro.extras.subcommand_cli_from_dict
    args, printed = _filled(args), io.StringIO()
    commands = _commands(args)
    try:
        with contextlib.redirect_stderr(printed):
            return run(commands, prog="icon", description=ABOUT, args=args, config=flat)
    except SystemExit as end:
        if end.code != 2:
            raise
    got = _said(printed.getvalue())
    named = re.search(r"--([a-z][a-z-]*)", got)
    argument = named[1].replace("-", "_") if named else "arguments"
    raise InvalidInput(argument, got, f"what `{_help(args)}` says")


def _said(printed: str) -> str:
    """What tyro says in its box, without title, help, frame and colors."""
    words = re.sub(r"\x1b\[[0-9;]*m", "", printed)
    part = re.split(r"(?m)^.*[-─]{5}.*$", words)[1]  # from the title to the next rule
    return " ".join(re.sub(r"[│╭╮╰╯]", " ", part).split())


SHORT = {"-k": "--n-clusters", "--check": "--check-floors"}
SEVERAL = (  # flags that may be repeated
    "--features", "--drop", "--second-features", "--also", "--cells",
)  # fmt: skip


def _filled(args: Sequence[str]) -> list[str]:
    """Arguments in full, none of them empty, as an unset variable of a shell is."""
    for before, arg in zip(("arguments", *args), args, strict=False):
        check.require(arg, before.strip("-").replace("-", "_"), repr(arg), "a value")
    return _gathered([SHORT.get(arg, arg) for arg in args])


def _gathered(args: list[str]) -> list[str]:
    """A flag that is repeated, once, with all that it was given."""
    groups: list[list[str]] = [[]]
    for arg in args:
        flag, equals, value = arg.partition("=")
        if arg.startswith("--") and flag in SEVERAL:
            same = [group for group in groups if group[:1] == [flag]]
            groups.append(same[0] if same else [flag])
            groups[-1] += [value] if equals else []
        elif arg.startswith("-"):
            groups.append([arg])
        else:
            groups[-1].append(arg)
    once = {id(group): group for group in groups}
    for flag, *values in filter(None, once.values()):
        name = flag.strip("-")
        check.require(values or flag not in SEVERAL, name, "nothing", "a name, or more")
    return [arg for group in once.values() for arg in group]


def _value(args: Sequence[str], flag: str) -> str | None:
    """What a flag was given last."""
    pairs = zip(args, [*args[1:], None], strict=True)
    values = [value for arg, value in pairs if arg == flag]
    values += [arg.partition("=")[2] for arg in args if arg.startswith(f"{flag}=")]
    return values[-1] if values else None


def _row(args: Sequence[str]) -> str | None:
    """The row of the table that is named first, if one is."""
    return next((arg for arg in args if arg in TABLE), None)


def _help(args: Sequence[str]) -> str:
    """Where the flags of a command are explained."""
    command = [arg for arg in args[:1] if arg in COMMANDS]
    method = _value(args, "--method") if command == ["embed"] else None
    row = _row(args) if command == ["train"] else None
    named = [*(["--method", method] if method else []), *([row] if row else [])]
    return " ".join(["icon", *command, *map(shlex.quote, named), "--help"])


def _commands(args: Sequence[str]) -> dict[str, Callable]:
    """The commands as tyro sees them: of that which is called, all flags."""
    commands = dict(COMMANDS)
    for name, flagged in FLAGGED.items():
        commands[name] = flagged(args) if args[:1] == [name] else _named(commands[name])
    return {name: _later(command) for name, command in commands.items()}


def _named(command: Callable) -> Callable[[], None]:
    """A command of which only the name and the help are asked for."""

    def named() -> None:
        raise NotImplementedError

    named.__doc__ = command.__doc__
    return named


def _later(command: Callable) -> Callable[..., Callable[[], None]]:
    """The command as tyro sees it, to be run after its arguments were read."""

    @ft.wraps(command)
    def bound(*args, **options):
        return ft.partial(command, *args, **options)

    return bound
