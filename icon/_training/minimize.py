"""The only loops."""

import functools as ft
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from icon._base import checks as check


CHUNK = 25  # steps in one compiled loop, between callbacks


class History(NamedTuple):
    """What a descent leaves behind: the loss of every step, and how to go on."""

    loss: np.ndarray  # [steps], each before its update
    state: Any  # the optimizer's
    metrics: Sequence[Any] = ()
    interrupted: bool = False  # by Ctrl-C


class DivergenceError(ArithmeticError):
    """A loss that stopped being a number: at which step, and the last good result.

    Args:
        step: the first step whose loss is not finite.
        partial: the parameters before the chunk (minimize) or step (fit) it is in.

    Example:
        >>> import icon
        >>> print(icon.DivergenceError(3, None))
        the loss is not finite at step 3: lower the learning rate; .partial has ...
    """

    def __init__(self, step: int, partial):
        super().__init__(step)
        self.step, self.partial = step, partial

    def __str__(self) -> str:
        cure = "lower the learning rate; .partial has the last finite result"
        return f"the loss is not finite at step {self.step}: {cure}"


class PeerLost(RuntimeError):
    """Another process that is gone: at which step, and the last good result.

    Args:
        step: the step that could not be finished without it.
        partial: the parameters before that step, as NumPy arrays; None if they were
            out of reach.

    Example:
        >>> import icon
        >>> print(icon.PeerLost(3, None))
        a process was lost at step 3: start all of them again; .partial has ...
    """

    def __init__(self, step: int, partial):
        super().__init__(step, partial)
        self.step, self.partial = step, partial

    def __str__(self) -> str:
        cure = "start all of them again; .partial has the last good result"
        return f"a process was lost at step {self.step}: {cure}"


class Speed(NamedTuple):
    """Where every coordinate is going, and how willingly."""

    count: Any
    speed: Any
    gain: Any


def gains(learning_rate, momentum: float = 0.8, longest: float = 5.0):
    """t-SNE's descent: momentum, and a gain for every coordinate.

    $$v \\leftarrow \\mu v - \\eta\\,\\gamma \\odot g, \\qquad
      \\gamma \\leftarrow \\begin{cases} \\gamma + 0.2 & v g < 0 \\\\
      0.8\\,\\gamma + 0.01 & \\mathrm{else} \\end{cases}$$

    A gain grows while its coordinate keeps going downhill, and shrinks when it turns.

    Args:
        learning_rate: η, a number or an optax schedule of the step. Kobak & Berens:
            the number of points, divided by the exaggeration.
        momentum: μ, from 0 to below 1.
        longest: the longest step of a point, in the units of the embedding.

    Raises:
        InvalidInput: a learning rate or a longest step that is not above 0, a momentum
            out of range.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> def bowl(z):
        ...     return jnp.sum(z**2)
        >>> z, _ = icon.minimize(bowl, jnp.ones((1, 2)), icon.gains(0.05), 200)
        >>> bool(jnp.all(jnp.abs(z) < 1e-3))
        True

    Source: Jacobs, Increased rates of convergence through learning rate adaptation,
    1988; van der Maaten & Hinton, 2008; Policar et al., openTSNE, 2024.
    """
    one = np.ones((), np.float32)
    if not callable(learning_rate):
        check.positive("learning_rate", learning_rate, one)
    rate = learning_rate if callable(learning_rate) else lambda count: learning_rate
    check.positive("longest", longest, one)
    fits = "a number from 0 to below 1"
    check.require(0 <= momentum < 1, "momentum", momentum, fits)

    def start(params):
        zero = jax.tree.map(jnp.zeros_like, params)
        one = jax.tree.map(jnp.ones_like, params)
        return Speed(jnp.zeros((), jnp.int32), zero, one)

    def update(updates, state: Any, params: Any = None):
        slopes: Any = updates
        with jax.numpy_dtype_promotion("standard"):
            eta = rate(state.count)
        step = ft.partial(_gained, eta, momentum, longest)
        both = jax.tree.map(step, slopes, state.speed, state.gain)
        pair, outer = jax.tree.structure((0, 0)), jax.tree.structure(slopes)
        speed, gain = jax.tree.transpose(outer, pair, both)
        return speed, Speed(optax.safe_increment(state.count), speed, gain)

    return optax.GradientTransformation(start, update)


def _gained(eta, momentum, longest, slope, speed, gain):
    """The new speed and gain of a matrix of coordinates; the slope points uphill."""
    downhill = jnp.sign(speed) != jnp.sign(slope)
    gain = jnp.where(downhill, gain + 0.2, gain * 0.8 + 0.01)
    eta = jnp.asarray(eta).astype(slope.dtype)
    speed = momentum * speed - eta * gain * slope
    return speed * _shortened(jnp.atleast_1d(speed), longest, speed.ndim), gain


def _shortened(speed, longest, rank: int):
    """What a step is multiplied by so that none is too long."""
    peak = jnp.max(jnp.abs(speed), -1, keepdims=True)  # its square may be no float
    peak = jnp.where(peak > 0, peak, 1)
    length = jnp.linalg.norm(speed / peak, axis=-1, keepdims=True)
    factor = jnp.minimum(1, longest / peak / jnp.maximum(length, 1e-12))
    return factor if rank else factor[0]


def _update(optimizer, slope, state, params):
    """optax counts steps in integers and needs them promoted, whatever we ask for."""
    with jax.numpy_dtype_promotion("standard"):
        return optimizer.update(slope, state, params)


def _asked(args, name: str, *about):
    """The arguments; those who answer to a name, as they answer."""
    able = lambda arg: hasattr(arg, name)
    answer = lambda arg: getattr(arg, name)(*about) if able(arg) else arg
    return jax.tree.map(answer, args, is_leaf=able)


def _apart(args):
    """What is passed to every step, and the schedules, which are compiled in."""
    schedules = tuple(arg if callable(arg) else None for arg in args)
    return tuple(() if callable(arg) else arg for arg in args), schedules


def _now(args, schedules, step):
    pairs = zip(args, schedules, strict=True)
    with jax.numpy_dtype_promotion("standard"):  # steps are integers
        return [schedule(step) if schedule else arg for arg, schedule in pairs]


def _number(loss):
    """The loss, seen to be a number when it is traced."""

    def number(z, *args):
        said = loss(z, *args)
        got = f"shape {getattr(said, 'shape', type(said).__name__)}"
        good = getattr(said, "shape", None) == ()
        check.require(good, "loss", got, "a function to a number")
        return said

    return number


@ft.partial(
    jax.jit, static_argnames=("loss", "optimizer", "schedules", "steps", "all_")
)
def _chunk(loss, optimizer, z, state, args, first, schedules, steps, all_):
    """Some steps, and the loss of all of them, or of the last."""

    def step(carry, count):
        z, state = carry
        last = count == first + (steps - 1)  # the only one that is looked at
        seen = args if all_ else _asked(args, "telling", last)
        now = _now(seen, schedules, count)
        value, slope = jax.value_and_grad(_number(loss))(z, *now)
        change, state = _update(optimizer, slope, state, z)
        return (optax.apply_updates(z, change), state), value

    counts = first + jnp.arange(steps, dtype=jnp.int32)
    (z, state), values = lax.scan(step, (z, state), counts)
    return z, state, values if all_ else values[-1:]


def _told(callbacks, step, loss, z) -> bool:
    """Every callback is told; whether any of them says stop."""
    return any([bool(tell(step, loss, z)) for tell in callbacks])


def minimize(
    loss: Callable,
    z,
    optimizer: optax.GradientTransformation,
    steps: int,
    *,
    args: tuple = (),
    state=None,
    callbacks: Sequence[Callable] = (),
    every: int = 1,
):
    """Follow the gradient of a loss for a number of steps.

    $$z \\leftarrow z + \\mathrm{optimizer}(\\nabla_z \\mathrm{loss}(z, \\ldots))$$

    Compiled in chunks of 25 steps; Ctrl-C between two of them returns what there is.

    Args:
        loss: (z, *args) -> a number. What is in `args` is passed, not compiled in.
        z: a pytree of floats, not changed in place.
        optimizer: any optax transformation.
        steps: how many, from 0.
        args: what else the loss takes: p, a graph, features. A function among them is
            a schedule: the loss gets what it says of the step, counted from 0 here.
        state: the optimizer's, from an earlier history; None: a fresh one.
        callbacks: (step, loss, z) -> True to stop; called after every chunk.
        every: 1 tells the loss of each step. A larger number makes chunks of so many
            steps and tells the loss of the last: a slope alone may cost half as much,
            where it does not depend on the value of what is summed along a graph.

    Returns:
        z, and a history with `.loss` (of each step, or of the last of every so many,
        before its update) and `.state`.

    Raises:
        InvalidInput: steps < 0, every < 1, a loss that is no number, a z that is not
            finite.
        DivergenceError: a loss that stops being finite; it holds the last good z.

    Example:
        >>> import icon, optax, jax.numpy as jnp
        >>> def bowl(z):
        ...     return jnp.sum(z**2)
        >>> z, history = icon.minimize(bowl, jnp.ones(2), optax.sgd(0.1), 50)
        >>> bool(jnp.all(jnp.abs(z) < 1e-4)), len(history.loss)
        (True, 50)
    """
    steps, every = check.count("steps", steps, 0), check.count("every", every, 1)
    z = jax.tree.map(lambda x: check.floats("z", x, None), z)
    run = _Run(loss, optimizer, *_apart(_asked(args, "prepared")), every)
    state, history, done = optimizer.init(z) if state is None else state, [], 0
    interrupted = False
    try:
        while done < steps:
            length = min(run.length, steps - done)
            after, new, values = run.chunk(z, state, done, length)
            history.append(values)
            z, state, done = after, new, done + length
            if _told(callbacks, done, float(values[-1]), z):
                break
    except KeyboardInterrupt:
        interrupted = True  # what was reached by then is the result
    values = np.concatenate([*history, np.zeros(0, np.float32)])
    return z, History(values, state, interrupted=interrupted)


class _Run(NamedTuple):
    """A descent, but for where it stands."""

    loss: Callable
    optimizer: optax.GradientTransformation
    args: tuple
    schedules: tuple
    every: int

    @property
    def length(self) -> int:
        return CHUNK if self.every == 1 else self.every

    def chunk(self, z, state, done: int, steps: int):
        """Some steps from here, and the losses that are told of them."""
        go = ft.partial(
            _chunk,
            *(self.loss, self.optimizer, z, state, self.args, np.int32(done)),
            schedules=self.schedules,
            steps=steps,
        )
        after, new, values = go(all_=self.every == 1)
        if self.every > 1 and not np.isfinite(values[0]):
            # at which step? or did a slope need what was left out?
            after, new, every = go(all_=True)
            values = _finite(np.asarray(every), done, z)[-1:]
        return after, new, _finite(np.asarray(values), done + steps - len(values), z)


def _finite(values, done, z):
    bad = ~np.isfinite(values)
    if bad.any():
        raise DivergenceError(done + int(np.argmax(bad)), z)
    return values


@ft.partial(jax.jit, static_argnames=("loss", "optimizer", "where"))
def _step(loss, optimizer, params, state, batch, key, where=None):
    def value(params):
        said = loss(params, batch, key)
        return said if isinstance(said, tuple) else (said, None)

    (value_, metrics), slope = jax.value_and_grad(value, has_aux=True)(params)
    change, state = _update(optimizer, slope, state, params)
    after = optax.apply_updates(params, change)
    return *_kept((after, state, value_), where), metrics


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
    known = type(batches).__name__
    check.require(callable(batches), "batches", known, "a function (key, epoch)")
    params = jax.tree.map(_floats, params)
    state, losses, metrics, step = optimizer.init(params), [], [], 0
    interrupted = False
    try:
        for batch in _epochs(batches, jax.random.fold_in(key, 0)):
            now = jax.random.fold_in(jax.random.fold_in(key, 1), step)
            put = _placed(params, state, batch, now)
            after, new, value, said = _step(loss, optimizer, *put)
            losses.append(_finite(np.asarray(value)[None], step, params))
            params, state, step = after, new, step + 1
            metrics.append(said)
            if _told(callbacks, step, float(value), params):
                break
    except KeyboardInterrupt:
        interrupted = True  # what was reached by then is the result
    except jax.errors.JaxRuntimeError as error:
        if not _of_a_peer(error):
            raise
        raise PeerLost(step, _on_host(params)) from error
    values = np.concatenate([*losses, np.zeros(0, np.float32)])
    return params, History(values, state, metrics, interrupted)


def _epochs(batches, key):
    """Batch after batch, epoch after epoch, until an epoch has none."""
    epoch, more = 0, True
    while more:
        more = False
        for batch in batches(jax.random.fold_in(key, epoch), epoch):
            more = True
            yield batch
        epoch += 1


# ---------------------------------------------------------- on several devices


def _floats(x):
    """Parameters that can be trained; of those that are shared out, our share is."""
    if not isinstance(x, jax.Array) or x.is_fully_addressable:
        return check.floats("params", x, None)
    for share in x.addressable_shards:
        check.floats("params", share.data, None)
    return x


def _mesh(batch):
    """The devices that a batch is spread over, if it is."""
    where = [getattr(x, "sharding", None) for x in jax.tree.leaves(batch)]
    spread = [s for s in where if isinstance(s, NamedSharding) and s.num_devices > 1]
    return spread[0].mesh if spread else None


def _placed(params, state, batch, key):
    """Everything on the devices of the batch, and where it is to stay."""
    mesh = _mesh(batch)
    if mesh is None:
        return params, state, batch, key, None
    everywhere = NamedSharding(mesh, PartitionSpec())
    put = ft.partial(_put, everywhere)
    params, state, key = jax.tree.map(put, (params, state, key))
    leaves = jax.tree.leaves((params, state))
    stay = tuple(_place(x, everywhere) for x in leaves)
    return params, state, batch, key, (*stay, everywhere)


def _place(x, everywhere):
    """Where x is; on all devices is one place, however it is written down."""
    where = getattr(x, "sharding", everywhere)
    return everywhere if where.is_fully_replicated else where


def _put(everywhere, x):
    """x on all of these devices, unless it has a place on them."""
    if not hasattr(x, "sharding") or x.sharding.device_set == everywhere.device_set:
        return x
    return jax.make_array_from_callback(x.shape, everywhere, lambda at: x[at])


def _kept(tree, where):
    """The same, kept where it is to stay, whatever the compiler would rather do."""
    if where is None:
        return tree
    leaves, form = jax.tree.flatten(tree)
    return form.unflatten(map(lax.with_sharding_constraint, leaves, where))


_WIRES = "gloo", "nccl", "rccl", "connection", "peer", "heartbeat", "unavailable"


def _of_a_peer(error) -> bool:
    """Whether it is another process that failed, and not this one."""
    said = str(error).lower()
    return jax.process_count() > 1 and any(wire in said for wire in _WIRES)


def _on_host(params):
    """NumPy arrays that outlive the devices, where they can be had."""
    try:
        return jax.tree.map(np.asarray, params)
    except RuntimeError:  # this process never held all of it, or it went down too
        return None
