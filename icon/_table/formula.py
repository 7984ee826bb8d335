"""How is a function said on one line? By its name, its options or its own source."""

import functools
import linecache
from collections.abc import Callable


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
        options = [f"{k}={_say(v)}" for k, v in made.keywords.items()]
        return f"{formula(made.func)}({', '.join([*map(_say, made.args), *options])})"
    name = getattr(made, "__name__", type(made).__name__)
    return _body(made) if name == "<lambda>" else name


def _say(value) -> str:
    if callable(value):
        return formula(value)
    return f"{value:.3g}" if isinstance(value, float) else repr(value)


def _body(made) -> str:
    """The source of a lambda's expression, from the positions of its code."""
    spots = [p for p in made.__code__.co_positions() if None not in p and p[3]]
    if not spots:
        return "a function"
    first, last = min((p[0], p[2]) for p in spots), max((p[1], p[3]) for p in spots)
    lines = [
        linecache.getline(made.__code__.co_filename, n)
        for n in range(first[0], last[0] + 1)
    ]
    lines[-1] = lines[-1][: last[1]]
    lines[0] = lines[0][first[1] :]
    return " ".join(" ".join(lines).split()) or "a function"
