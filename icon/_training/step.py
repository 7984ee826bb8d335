"""What does one step of a training change? Also over devices."""

import contextlib
import functools as ft
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from icon._base import checks as check
from icon._training.history import all_finite, updated
from icon._training.modules import separated


class Held(NamedTuple):
    """All that a step changes."""

    params: Any  # what is trained of the parameters
    state: Any  # the optimizer's
    buffers: Any  # what the modules hold besides
    carried: Any
    averaged: Any  # in float32 at least, where there is an average


# ------------------------------------------------------- before the first


def started(params, optimizer, carried, ema):
    """The structure of the parameters, and what a training starts with."""
    structure, trained, buffers = separated(params)
    trained = jax.tree.map(_trainable, trained)
    state, buffers = jax.tree.map(_settled, (optimizer.init(trained), buffers))
    carried = jax.tree.map(_carriable, carried)
    averaged = None if ema is None else jax.tree.map(_wide, trained)
    return structure, Held(trained, state, buffers, carried, averaged)


def decay_of(ema) -> tuple[float, float] | None:
    """The weights of the average and of the parameters in the new average."""
    if ema is None:
        return None
    decay = check.scalar("ema", ema, 0)
    check.require(decay < 1, "ema", decay, "a number from 0 to below 1")
    return decay, 1 - decay


def extras(loss: Callable, carried, ema) -> tuple[str, ...]:
    """Which of `carried` and `averaged` a loss is called with; refuse what it is not.

    Whoever gives `carried` has a loss that takes it; `averaged` is for a loss that has
    a parameter of this name.
    """
    check.require(callable(loss), "loss", f"a {type(loss).__name__}", "a function")
    named: dict[str, inspect.Parameter] = {}
    with contextlib.suppress(ValueError):  # of some built-in functions nothing is known
        named.update(inspect.signature(loss).parameters)
    if ema is None and "averaged" in named:
        optional = named.pop("averaged").default is not inspect.Parameter.empty
        cure = "a decay, where the loss takes `averaged`"
        check.require(optional, "ema", None, cure)
    wanted = dict(carried=carried is not None, averaged="averaged" in named)
    takes = tuple(name for name, wants in wanted.items() if wants)
    check.function("loss", loss, "params", "batch", "key", **dict.fromkeys(takes))
    return takes


def is_key(x) -> bool:
    """Whether x is a typed key, or an array of them."""
    array = isinstance(x, jax.Array)
    return array and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _trainable(x):
    """Finite floats; of an array that several processes share, this one's part is."""
    if not isinstance(x, jax.Array) or x.is_fully_addressable:
        return check.floats("params", x, None)
    for shard in x.addressable_shards:
        check.floats("params", shard.data, None)
    return x


def _carriable(x):
    """Real numbers or keys."""
    return x if is_key(x) else _settled(check.real("carried", x))


def _settled(x):
    """An array whose dtype is its own, and does not give way to another's.

    A file keeps dtypes, but not that one of them is weak.
    """
    return x if is_key(x) else lax.convert_element_type(x, jnp.result_type(x))


def _wide(x):
    """Floats of 32 bits at least: a small change is lost in a sum of 16 bits."""
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


# ------------------------------------------------------- one step


@ft.partial(
    jax.jit, static_argnames=("loss", "optimizer", "structure", "takes", "shardings")
)
def step(loss, optimizer, structure, takes, held, batch, key, decay, shardings):
    """What is held after a step, the loss, whether all is finite, the metrics."""

    def value_and_rest(params):
        model = structure.joined(params, held.buffers)
        more = dict(carried=held.carried, averaged=averages(structure, held))
        out = loss(model, batch, key, **{name: more[name] for name in takes})
        value, carried, metrics = _read(out, held.carried, "carried" in takes)
        buffers = structure.buffers_of(model)
        _require_like("loss", "what the modules hold", held.buffers, buffers)
        return value, (buffers, carried, metrics)

    differentiated = jax.value_and_grad(value_and_rest, has_aux=True)
    (value, (buffers, carried, metrics)), gradient = differentiated(held.params)
    params, state = updated(optimizer, gradient, held.state, held.params)
    averaged = held.averaged if decay is None else _moved(decay, held.averaged, params)
    after = jax.tree.map(_settled, Held(params, state, buffers, carried, averaged))
    out = after, value, all_finite(params)
    if shardings is not None:  # whatever the compiler would rather do
        leaves, tree = jax.tree.flatten(out)
        placed = map(lax.with_sharding_constraint, leaves, shardings)
        out = tree.unflatten(placed)
    return *out, metrics


def averages(structure, held: Held):
    """The averaged parameters, as a loss takes them: in the parameters' dtypes."""
    if held.averaged is None:
        return None
    narrow = lambda a, x: a.astype(x.dtype)
    averaged = jax.tree.map(narrow, held.averaged, held.params)
    return structure.joined(averaged, held.buffers)


def _moved(decay, averaged, params):
    """decay · averaged + (1 - decay) · params."""
    old, new = decay
    mean = lambda a, x: old * a + new * x.astype(a.dtype)
    return jax.tree.map(mean, averaged, params)


def _read(out, carried, carries: bool):
    """The value, what is carried on and the metrics that a loss has given."""
    several = isinstance(out, tuple)
    lengths = (2, 3) if carries else (2,)
    expected = "a function to (a number, carried) or (a number, carried, metrics)"
    if not carries:
        expected = "a function to a number, or to (a number, metrics)"
    got = f"one to {len(out)} things" if several else f"one to a {type(out).__name__}"
    fits = len(out) in lengths if several else not carries
    check.require(fits, "loss", got, expected)
    value, *rest = out if several else (out,)
    value = check.gives("loss", value, ())
    if carries:
        after, *rest = rest
        after = jax.tree.map(jnp.asarray, after)
        _require_like("loss", "what is carried", carried, after)
        carried = after
    return value, carried, rest[0] if rest else None


def _require_like(argument: str, what: str, before, after) -> None:
    """Refuse a tree that becomes another one: of other leaves, shapes or dtypes."""
    one, other = described(before), described(after)
    changed = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    if changed:
        name = changed[0]
        got = f"{name} {one.get(name, 'absent')} -> {other.get(name, 'absent')}"
        expected = f"a function that leaves {what} in its structure, shapes and dtypes"
        check.require(False, argument, got, expected)


def described(tree) -> dict[str, str]:
    """Of each leaf its dtype and shape, by its path."""
    paths = jax.tree_util.tree_leaves_with_path(tree)
    shape = lambda x: ", ".join(map(str, x.shape))
    return {jax.tree_util.keystr(at): f"{x.dtype}[{shape(x)}]" for at, x in paths}


# ------------------------------------------------------- on several devices


def on_devices_of(batch, held: Held, key):
    """The arguments of a step on the devices of the batch, and where results stay."""
    mesh = _mesh_of(batch)
    if mesh is None:
        return held, key, None
    everywhere = NamedSharding(mesh, PartitionSpec())
    put = ft.partial(_replicated, everywhere)
    held, key = jax.tree.map(put, (held, key))
    stay = [_sharding(everywhere, x) for x in jax.tree.leaves(held)]
    return held, key, (*stay, everywhere, everywhere)


def _mesh_of(batch):
    """The mesh whose devices a batch is spread over, if it is."""
    for x in jax.tree.leaves(batch):
        sharding = x.sharding if isinstance(x, jax.Array) else None
        if isinstance(sharding, NamedSharding) and sharding.num_devices > 1:
            return sharding.mesh
    return None


def _sharding(everywhere, x):
    """The sharding of x; a replicated one is one, however it is written down."""
    replicated = not isinstance(x, jax.Array) or x.sharding.is_fully_replicated
    return everywhere if replicated else x.sharding


def _replicated(everywhere, x):
    """x on all of these devices, unless it is on them already."""
    here = isinstance(x, jax.Array)
    if not here or x.sharding.device_set == everywhere.device_set:
        return x
    return jax.make_array_from_callback(x.shape, everywhere, lambda at: x[at])
