"""Which network? One for the shape of the rows, or the user's, as two functions."""

import functools as ft
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from icon._base import checks as check
from icon._table import formula
from icon.recipes.task import WIDTH


SMALL = 8  # sides of images up to which every pixel is a feature
EXPECTED = (
    "a Flax module (linen or nnx), an Equinox module, a function of a key that makes "
    "one, or a pair (init, apply)"
)


class Network(NamedTuple):
    """A model as functions: its parameters, and its state, which is not learned.

    Args:
        init: (key, rows) -> (params, state).
        apply: (params, state, rows, key) -> (z [b, k], state); key None: to look at
            rows, not to learn from them: dropout and batch norm differ there.
        summary: what it is, in a few words.
        made: whether it is a module with its numbers: it starts alike every time.
    """

    init: Callable
    apply: Callable
    summary: str
    made: bool = False  # a module with its numbers, which starts alike every time


# ------------------------------------------------------- by the shape of the rows


def usual(width: int = WIDTH) -> Network:
    """The network for rows of a shape: dense layers, or convolutions."""

    def init(key, x):
        return started(_module(x.shape[1:], width), key, x[:1]), ()

    def apply(params, state, x, key):
        return applied(_module(x.shape[1:], width), params, x), state

    return Network(init, apply, "a network for the shape of the rows")


@ft.partial(jax.jit, static_argnums=0)
def started(module, key, x):
    """The parameters of a linen module: one program, where eager layers are many."""
    return module.init(key, x)


@ft.partial(jax.jit, static_argnums=0)
def applied(module, params, x):
    """What a linen module makes of rows, one program for every row of the table."""
    return module.apply(params, x)


def _module(shape: tuple[int, ...], width: int) -> Any:
    from icon import encoders

    if len(shape) == 1 or SMALL >= max(shape[:2]):
        return encoders.MLP((512, 512, width))
    if shape[0] == 1:
        return encoders.Signals((96, 96, 96), width)
    return encoders.CNN((32, 64), width)


# ------------------------------------------------------- the user's


def network(model) -> Network:
    """A model of the user's as functions.

    Args:
        model: a Flax module; of nnx, or of Equinox, a module or a function of a key (or
            of `rngs`) that makes one; or a pair (init, apply) with init(key, rows) ->
            params and apply(params, rows) -> z. Rows come in batches, to Equinox one
            by one. A linen module whose call takes `train`, `training`,
            `deterministic` or `use_running_average` is given it.

    Raises:
        InvalidInput: something else.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from icon import encoders
        >>> from icon.recipes.networks import network
        >>> x, made = jnp.ones((4, 8, 8)), network(encoders.MLP((16, 3)))
        >>> params, state = made.init(jax.random.key(0), x)
        >>> made.apply(params, state, x, None)[0].shape
        (4, 3)
    """
    made = _adapted(model)
    return made._replace(apply=jax.jit(made.apply))


def _adapted(model) -> Network:
    if isinstance(model, tuple) and len(model) == 2 and all(map(callable, model)):
        return _of_pair(*model)
    for framework, adapt in (
        ("flax.linen", _of_linen),
        ("flax.nnx", _of_nnx),
        ("equinox", _of_equinox),
    ):
        # An object of a framework has imported it.
        module = sys.modules.get(framework)
        if module is not None and isinstance(model, module.Module):
            return adapt(model)
    check.require(callable(model), "model", f"a {type(model).__name__}", EXPECTED)
    build: Any = model
    return _of_builder(build)


def _of_pair(start, apply) -> Network:
    def init(key, x):
        return start(key, jnp.asarray(x)), ()

    return Network(
        init, lambda params, state, x, key: (apply(params, x), state), "yours"
    )


TRAINING = {"train": True, "training": True, "is_training": True}
RESTING = {"deterministic": False, "use_running_average": False}


def _of_linen(module) -> Network:
    taken = inspect.signature(type(module).__call__).parameters
    learning = {k: v for k, v in (TRAINING | RESTING).items() if k in taken}
    looking = {k: not v for k, v in learning.items()}

    def init(key, x):
        keys = {"params": key, "dropout": key}
        variables = dict(module.init(keys, jnp.asarray(x[:2]), **looking))
        return {"params": variables.pop("params", {})}, variables

    def apply(params, state, x, key):
        variables = {**params, **state}
        if key is None:
            return module.apply(variables, x, **looking), state
        rngs = {"dropout": key}
        if not state:
            return module.apply(variables, x, rngs=rngs, **learning), state
        z, after = module.apply(
            variables, x, rngs=rngs, mutable=list(state), **learning
        )
        return z, dict(after)

    return Network(init, apply, type(module).__name__)


def _of_nnx(module) -> Network:
    nnx = sys.modules["flax.nnx"]
    definition, params, state = nnx.split(module, nnx.Param, ...)

    def apply(params, state, x, key):
        made = nnx.merge(definition, params, state, copy=True)
        made.eval() if key is None else made.train()
        z = made(x)
        return z, nnx.split(made, nnx.Param, ...)[2] if key is not None else state

    name = type(module).__name__
    return Network(lambda key, x: (params, state), apply, name, True)


def _of_equinox(module) -> Network:
    eqx = sys.modules["equinox"]
    params, still = eqx.partition(module, eqx.is_inexact_array)
    keyed = "key" in inspect.signature(type(module).__call__).parameters

    def apply(params, state, x, key):
        made = eqx.combine(params, still)
        made = eqx.nn.inference_mode(made, value=key is None)
        if not keyed or key is None:
            return jax.vmap(made)(x), state
        each = lambda row, key: made(row, key=key)
        return jax.vmap(each)(x, jax.random.split(key, len(x))), state

    name = type(module).__name__
    return Network(lambda key, x: (params, ()), apply, name, True)


def _of_builder(build: Callable) -> Network:
    """A function of a key, or of nnx's rngs, that makes a module; anew for each key."""

    def made(key):
        linen = sys.modules.get("flax.linen")
        if linen and isinstance(build, type) and issubclass(build, linen.Module):
            return _adapted(build())
        taken = _arguments(build)
        if "rngs" in taken:
            from flax import nnx

            return _adapted(build(rngs=nnx.Rngs(key)))
        return _adapted(build(key=key) if "key" in taken else build(key))

    kept: dict[str, Network] = {}

    def init(key, x):
        kept["made"] = made(key)
        return kept["made"].init(key, x)

    def apply(params, state, x, key):
        if "made" not in kept:
            kept["made"] = made(jax.random.key(0))
        return kept["made"].apply(params, state, x, key)

    return Network(init, apply, formula(build))


def _arguments(build: Callable) -> Mapping[str, Any]:
    """The arguments of a function, or of the __init__ of a class."""
    made = build.__init__ if isinstance(build, type) else build
    return inspect.signature(made).parameters


def networks(model) -> Callable[[str], Network]:
    """The network of each view: one for all, or a dict of one for each by its name."""
    if model is None:
        return lambda view: usual()
    if not isinstance(model, Mapping):
        every = network(model)
        return lambda view: every
    by_name = {name: network(each) for name, each in model.items()}

    def of(view: str) -> Network:
        got = f"models for {', '.join(by_name)}"
        check.require(view in by_name, "model", got, f"one for {view!r} too")
        return by_name[view]

    return of


def require_starts(model, count: int, of: str) -> None:
    """Refuse a module that is made already where several starts are to differ."""
    if model is None or isinstance(model, Mapping) or count < 2:
        return
    got = f"a module that is made already, for {count} {of}"
    check.require(not network(model).made, "model", got, "a function that makes one")
