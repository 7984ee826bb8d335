"""How are parameters trained on batches? Also over devices and processes."""

import functools as ft
from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np
import optax
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from icon._base import checks as check
from icon._training.history import (
    History,
    PeerLost,
    all_finite,
    any_stops,
    joined,
    refuse_divergence,
    refuse_unusable,
    updated,
)


def fit(
    loss: Callable,
    params,
    batches: Callable[..., Iterable],
    optimizer: optax.GradientTransformation,
    key,
    *,
    callbacks: Sequence[Callable] = (),
):
    """Train parameters on batches until there are no more.

    Batches may be spread over devices, of one or of several processes
    (`icon.data.spread`): parameters and the optimizer's state are then on all of them.

    Args:
        loss: (params, batch, key) -> a number, or (a number, metrics).
        params: a pytree of floats, not changed in place.
        batches: (key, epoch) -> an iterable of pytrees; an epoch without any ends it.
            `icon.data.batches` makes one.
        optimizer: any optax transformation.
        key: a JAX key; each epoch and each step gets its own from it.
        callbacks: (step, loss, params) -> True to stop; called after every step.

    Returns:
        params, and a history with `.loss`, `.state` and `.metrics`, one per step.

    Raises:
        InvalidInput: something that is no key, or batches that cannot be called.
        DivergenceError: a loss that stops being finite; it holds the last good params.
        PeerLost: another process is gone; it holds the last good params.

    Example:
        >>> import icon, jax, optax, jax.numpy as jnp
        >>> from icon.data import batches
        >>> def error(w, batch, key):
        ...     x, y = batch
        ...     return jnp.mean((x @ w - y) ** 2)
        >>> x = jax.random.normal(jax.random.key(0), (64, 3))
        >>> feed = batches((x, x @ jnp.ones(3)), 16, epochs=40)
        >>> adam, key = optax.adam(0.1), jax.random.key(1)
        >>> w, history = icon.fit(error, jnp.zeros(3), feed, adam, key)
        >>> w.round(2).tolist()
        [1.0, 1.0, 1.0]
    """
    check.key("key", key)
    check.function("batches", batches, "key", "epoch")
    check.function("loss", loss, "params", "batch", "key")
    refuse_unusable(optimizer, callbacks)
    params = jax.tree.map(_trainable, params)
    state, losses, metrics = optimizer.init(params), [], []
    interrupted = False
    try:
        for batch in _epochs(batches, jax.random.fold_in(key, 0)):
            step_key = jax.random.fold_in(jax.random.fold_in(key, 1), len(losses))
            placed = _on_devices_of(batch, params, state, step_key)
            after, state, value, finite, extra = _step(loss, optimizer, *placed)
            value = np.asarray(value)[None]
            refuse_divergence(value, finite, len(losses), params)
            params = after
            losses.append(value)
            metrics.append(extra)
            if any_stops(callbacks, len(losses), float(value[0]), params):
                break
    except KeyboardInterrupt:
        interrupted = True  # what was reached by then is the result
    except jax.errors.JaxRuntimeError as error:
        if not _of_a_peer(error):
            raise
        raise PeerLost(len(losses), _on_host(params)) from error
    return params, History(joined(losses), state, metrics, interrupted)


@ft.partial(jax.jit, static_argnames=("loss", "optimizer", "shardings"))
def _step(loss, optimizer, params, state, batch, key, shardings):
    """One step: params, state, the loss, whether all of it is finite, the metrics."""

    def value_and_metrics(params):
        value = loss(params, batch, key)
        return value if isinstance(value, tuple) else (value, None)

    differentiated = jax.value_and_grad(value_and_metrics, has_aux=True)
    (value, metrics), gradient = differentiated(params)
    params, state = updated(optimizer, gradient, state, params)
    out = params, state, value, all_finite(params)
    if shardings is not None:  # whatever the compiler would rather do
        leaves, structure = jax.tree.flatten(out)
        placed = map(lax.with_sharding_constraint, leaves, shardings)
        out = structure.unflatten(placed)
    return *out, metrics


def _epochs(batches, key):
    """Batch after batch, epoch after epoch, until an epoch has none."""
    epoch, more = 0, True
    while more:
        more = False
        for batch in batches(jax.random.fold_in(key, epoch), epoch):
            more = True
            yield batch
        epoch += 1


# ------------------------------------------------------- on several devices


def _trainable(x):
    """Finite floats; of an array that several processes share, this one's part is."""
    if not isinstance(x, jax.Array) or x.is_fully_addressable:
        return check.floats("params", x, None)
    for shard in x.addressable_shards:
        check.floats("params", shard.data, None)
    return x


def _on_devices_of(batch, params, state, key):
    """The arguments of a step on the devices of the batch, and where results stay."""
    mesh = _mesh_of(batch)
    if mesh is None:
        return params, state, batch, key, None
    everywhere = NamedSharding(mesh, PartitionSpec())
    put = ft.partial(_replicated, everywhere)
    params, state, key = jax.tree.map(put, (params, state, key))
    leaves = jax.tree.leaves((params, state))
    stay = [_sharding(everywhere, x) for x in leaves]
    return params, state, batch, key, (*stay, everywhere, everywhere)


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


# ------------------------------------------------------- in several processes


_OF_A_WIRE = "gloo", "nccl", "rccl", "connection", "peer", "heartbeat", "unavailable"


def _of_a_peer(error) -> bool:
    """Whether it is another process that failed, and not this one."""
    text = str(error).lower()
    return jax.process_count() > 1 and any(word in text for word in _OF_A_WIRE)


def _on_host(params):
    """NumPy arrays that outlive the devices; None where they cannot be had."""
    try:
        return jax.tree.map(np.asarray, params)
    except RuntimeError:  # this process never held all of it, or it went down too
        return None
