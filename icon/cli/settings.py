"""How do the settings of an estimator, or of a task, become flags of a command?"""

import collections.abc
import dataclasses
import functools as ft
import inspect
import typing
from collections.abc import Callable, Collection
from typing import Any

import numpy as np


OURS = ("callbacks", "verbose", "random_state")  # settings that are not the user's
WORDS, NUMBERS = (str, type(None)), (int, float, str, type(None))


def flags(
    of: Callable, fixed: Collection[str] = (), beside: tuple[type, ...] = ()
) -> type:
    """A dataclass of the settings that a terminal can give, but for those fixed.

    Settings are arguments with a default, which each keeps; its help is the docstring's
    of the estimator, or of the function.

    Args:
        of: an estimator, or a function.
        fixed: settings that are no flags.
        beside: dataclasses whose fields are flags as well.
    """
    hints, fields = typing.get_type_hints(of), []
    for name, parameter in inspect.signature(of).parameters.items():
        default: Any = parameter.default
        if default is parameter.empty or name in (*fixed, *OURS):
            continue
        if (kind := _kind(hints[name])) is not None:
            single = typing.get_origin(kind) is tuple and np.ndim(default) == 0
            fields.append((name, kind, (default,) if single else default))
    return dataclasses.make_dataclass(
        of.__name__,
        fields,
        bases=beside,
        frozen=True,
        namespace={"__doc__": of.__doc__},
    )


def numbers(of: Callable, but: Collection[str] = ()) -> type:
    """A dataclass of the floats that a kernel or a loss takes, but for those named."""
    parameters = inspect.signature(of).parameters.values()
    floats = [x for x in parameters if isinstance(x.default, float)]
    fields: Any = [(x.name, float, x.default) for x in floats if x.name not in but]
    own = of.func if isinstance(of, ft.partial) else of
    return dataclasses.make_dataclass(
        own.__name__, fields, frozen=True, namespace={"__doc__": own.__doc__}
    )


def _kind(hint: Any) -> Any:
    """The words and numbers among what a setting may be; several, if it may be."""
    members = typing.get_args(hint) or (hint,)
    several = [x for x in members if typing.get_origin(x) is collections.abc.Sequence]
    if several:
        (of,) = typing.get_args(several[0])
        return tuple[of, ...] if of in (int, float) else None
    # an array is no number that a terminal gives
    kept = WORDS if np.ndarray in members else NUMBERS
    found = tuple(x for x in members if x in kept)
    return typing.Union[found] if {*found} - {type(None)} else None  # noqa: UP007


def given(settings: Any) -> dict[str, Any]:
    """What the estimator takes: one of several is that one."""
    values = dataclasses.asdict(settings)
    return {
        name: value[0] if isinstance(value, tuple) and len(value) == 1 else value
        for name, value in values.items()
    }


def with_flags(command: Callable, **settings: type) -> Callable:
    """A command whose arguments of these names are dataclasses of these kinds."""

    @ft.wraps(command)
    def typed(*args, **options):
        return command(*args, **options)

    signature = inspect.signature(command)
    parameters = dict(signature.parameters)
    for name, kind in settings.items():
        parameters[name] = parameters[name].replace(annotation=kind, default=kind())
    vars(typed)["__signature__"] = signature.replace(parameters=[*parameters.values()])
    typed.__annotations__ = typed.__annotations__ | settings
    return typed
