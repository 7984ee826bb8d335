"""How are parameters trained on batches? Until there are none, or a callback stops."""

import functools as ft
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
import optax

from icon._base import checks as check
from icon._training.checkpoint import Checkpoint, Nowhere
from icon._training.history import (
    PeerLost,
    any_stops,
    refuse_divergence,
    refuse_unusable,
)
from icon._training.run import Now, Run
from icon._training.step import (
    Held,
    decay_of,
    extras,
    is_key,
    on_devices_of,
    started,
    step,
)


def fit(
    loss: Callable,
    params,
    batches: Callable[..., Iterable],
    optimizer: optax.GradientTransformation,
    key,
    *,
    carried=None,
    ema: float | None = None,
    callbacks: Sequence[Callable] = (),
    checkpoint=None,
    save_every: int = 100,
):
    r"""Train parameters on batches until there are no more.

    $$\theta \leftarrow \theta + \mathrm{optimizer}(\nabla_\theta \mathrm{loss}(\theta,
      \mathrm{batch}, \mathrm{key})), \qquad a \leftarrow \mathrm{ema}\; a +
      (1 - \mathrm{ema})\, \theta$$

    Batches may be spread over devices, of one or of several processes
    (`icon.data.spread`): parameters and the optimizer's state are then on all of them.

    Parameters may be a `flax.nnx` module, or a pytree with modules in it. Then the loss
    takes modules, which it may change: `nnx.Param` are trained, and statistics, counts
    and keys of random numbers go from each step to the next.

    With a checkpoint, the same call goes on where an earlier one was killed, to the
    same bits: the batches of the epoch it was in are made again and passed over.

    Args:
        loss: (params, batch, key) -> a number, or (a number, metrics). With `carried`
            it also takes it by this name, and gives (a number, carried) or (a number,
            carried, metrics). With `ema`, a loss with a parameter `averaged` gets the
            averaged parameters, through which there is no gradient.
        params: a pytree of floats or of modules, not changed in place.
        batches: (key, epoch) -> an iterable of pytrees; an epoch without any ends it.
            `icon.data.batches` makes one.
        optimizer: any optax transformation.
        key: a JAX key; each epoch and each step gets its own from it.
        carried: a pytree that the loss hands from step to step, such as `batch_stats`
            of `flax.linen`: numbers and keys, whose shapes and dtypes stay.
        ema: the decay of averaged parameters, from 0 to below 1; None: no average.
        callbacks: (step, loss, params) -> True to stop; called after every step.
        checkpoint: a folder of this run alone, made if there is none; all processes
            share it. It needs the extra `train`. A run that a callback has stopped has
            ended; one that Ctrl-C has stopped goes on, and so does one with more
            batches than before.
        save_every: steps between two checkpoints; one more is written at the end, and
            after Ctrl-C (in one process). The last two are kept. Metrics are then NumPy
            arrays, in dicts, lists and tuples.

    Returns:
        params, and a history with `.loss`, `.state`, `.metrics` (one per step), and the
        last `.carried` and `.averaged`.

    Raises:
        InvalidInput: something that is no key, batches that cannot be called, an ema
            out of range, a loss that gives something else than it has to, a checkpoint
            of another run: of another key, ema, or of other shapes.
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
    refuse_unusable(optimizer, callbacks)
    save_every = check.count("save_every", save_every, 1)
    decay, takes = decay_of(ema), extras(loss, carried, ema)
    structure, held = started(params, optimizer, carried, ema)
    saver = Nowhere()
    if checkpoint is not None:
        saver = Checkpoint(checkpoint, key, ema, held)
    run, interrupted = saver.latest(Run(Now(held))), False
    advance = ft.partial(_advance, loss, optimizer, structure, takes, decay, key)
    seen = ft.partial(_seen, callbacks, structure)
    try:
        _train(run, advance, batches, key, seen, saver, save_every)
    except KeyboardInterrupt:
        interrupted = True  # what was reached by then is the result
        if jax.process_count() == 1:  # the others would have to save as well
            saver.save(run)
    except jax.errors.JaxRuntimeError as error:
        if not _of_a_peer(error):
            raise
        raise PeerLost(run.now.step, _on_host(structure, run.now.held)) from error
    return run.result(structure, interrupted)


def _train(run: Run, advance, batches, key, seen, saver, save_every: int) -> None:
    """Step after step, until there are no more batches or a callback stops."""
    if run.now.ended:
        return
    for epoch, position, batch in _epochs(batches, key, run.now):
        held, loss, metrics = advance(run.now, batch)
        now = Now(held, run.now.step + 1, epoch, position + 1)
        run.add(now, loss, saver.kept(metrics))
        if seen(now, loss):
            run.now = now._replace(ended=True)
            break
        if now.step % save_every == 0:
            saver.save(run)
    else:  # the next epoch has none
        now = run.now
        run.now = now._replace(epoch=now.epoch + (now.position > 0), position=0)
    saver.save(run)


def _advance(loss, optimizer, structure, takes, decay, key, now: Now, batch):
    """What is held after one step, its loss and its metrics."""
    key = jax.random.fold_in(jax.random.fold_in(key, 1), now.step)
    held, key, shardings = on_devices_of(batch, now.held, key)
    chosen = loss, optimizer, structure, takes
    after, value, finite, metrics = step(*chosen, held, batch, key, decay, shardings)
    value = np.asarray(value)[None]
    if not (finite and np.isfinite(value).all()):
        params = structure.joined(now.held.params, now.held.buffers)
        refuse_divergence(value, finite, now.step, params)
    return after, value, metrics


def _seen(callbacks, structure, now: Now, loss: np.ndarray) -> bool:
    """Call every callback, with modules of its own; whether any wants to stop."""
    if not callbacks:
        return False
    params = structure.joined(now.held.params, now.held.buffers)
    return any_stops(callbacks, now.step, float(loss[0]), params)


def _epochs(batches, key, now: Now) -> Iterator[tuple[int, int, Any]]:
    """Batch after batch with its epoch and position, until an epoch has none.

    Those of an epoch that has begun are made again, up to where it was.
    """
    key, epoch, done = jax.random.fold_in(key, 0), now.epoch, now.position
    more = True
    while more:
        feed = enumerate(batches(jax.random.fold_in(key, epoch), epoch))
        again = len([*itertools.islice((None for _ in feed), done)])
        got = f"{again} batches in epoch {epoch}, {done} when it was saved"
        check.require(
            again == done, "batches", got, "the same batches for the same key"
        )
        more = done > 0
        for position, batch in feed:
            more = True
            yield epoch, position, batch
        epoch, done = epoch + 1, 0


# ------------------------------------------------------- in several processes


_OF_A_WIRE = "gloo", "nccl", "rccl", "connection", "peer", "heartbeat", "unavailable"


def _of_a_peer(error) -> bool:
    """Whether it is another process that failed, and not this one."""
    text = str(error).lower()
    return jax.process_count() > 1 and any(word in text for word in _OF_A_WIRE)


def _on_host(structure, held: Held):
    """NumPy arrays that outlive the devices; None where they cannot be had."""
    host = lambda x: x if is_key(x) else np.asarray(x)
    try:
        return structure.joined(*jax.tree.map(host, (held.params, held.buffers)))
    except RuntimeError:  # this process never held all of it, or it went down too
        return None


def forget_steps() -> None:
    """Let go of the compiled steps of every loss, where losses do not come again.

    A compiled program takes hundreds of the memory maps that a process may have, of
    which Linux allows 65,530.
    """
    compiled: Any = step
    compiled.clear_cache()
