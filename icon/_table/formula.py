"""How is a function written on one line? By its name, its options or its source."""

import functools
import linecache
import types
from collections.abc import Callable
from typing import Any


def formula(made: Callable) -> str:
    """A function as it would be written: a name, a name with options, a lambda's body.

    Args:
        made: a function, a partial or a lambda.

    Example:
        >>> import functools
        >>> from icon._table.formula import formula
        >>> formula(functools.partial(round, ndigits=2))
        'round(ndigits=2)'
    """
    if isinstance(made, functools.partial):
        options = [f"{k}={_written(v)}" for k, v in made.keywords.items()]
        arguments = ", ".join([*map(_written, made.args), *options])
        return f"{formula(made.func)}({arguments})"
    if isinstance(made, types.FunctionType) and made.__name__ == "<lambda>":
        return _body(made)
    try:
        return made.__name__
    except AttributeError:  # an object that can be called
        return type(made).__name__


def _written(value) -> str:
    if callable(value):
        return formula(value)
    return f"{value:.3g}" if isinstance(value, float) else repr(value)


def _body(made: types.FunctionType) -> str:
    """The source of a lambda's expression, from the positions of its code."""
    spans = [p for p in made.__code__.co_positions() if None not in p and p[3]]
    if not spans:
        return "a function"
    first: Any = min((line, column) for line, _, column, _ in spans)
    last: Any = max((line, column) for _, line, _, column in spans)
    file, numbers = made.__code__.co_filename, range(first[0], last[0] + 1)
    lines = [linecache.getline(file, number) for number in numbers]
    lines[-1] = lines[-1][: last[1]]
    lines[0] = lines[0][first[1] :]
    return " ".join(" ".join(lines).split()) or "a function"
