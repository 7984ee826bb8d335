"""Which rows come when?"""

import functools as ft
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.random as jr
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, PRNGKeyArray

from icon._base import checks as check
from icon._base.checks import InvalidInput


def split(
    n: int, seed: int, fraction: float = 0.7
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Rows to learn from and rows to test on, neither empty, fixed by the seed.

    Args:
        n: how many rows there are, at least 2.
        seed: which split.
        fraction: the share of the rows to learn from, between 0 and 1.

    Raises:
        InvalidInput: n is below 2, or the fraction not between 0 and 1.

    Example:
        >>> from icon import data
        >>> train, test = data.split(10, seed=0)
        >>> len(train), len(test)
        (7, 3)
    """
    n, seed = check.size("n", n, 2), check.count("seed", seed, 0)
    between = check.scalar("fraction", fraction, 0, above=True) < 1
    check.require(between, "fraction", fraction, "a number between 0 and 1")
    order = np.random.default_rng(seed).permutation(n)
    cut = min(max(round(fraction * n), 1), n - 1)
    return np.sort(order[:cut]), np.sort(order[cut:])


def batches(
    arrays: Any, size: int, epochs: int
) -> Callable[[PRNGKeyArray, int], Iterator[Any]]:
    """Shuffled batches of some rows, an epoch at a time.

    Args:
        arrays: a pytree of arrays [n, ...] that are cut alike.
        size: rows in a batch; all n of them if there are fewer than that. The
            rows left over when an epoch ends are dropped.
        epochs: how many epochs there are; later ones are empty.

    Returns:
        a function of (key, epoch) that iterates over pytrees like `arrays`, of
        leading axis `size`. The order depends on the key and the epoch alone.

    Raises:
        InvalidInput: the arrays have no rows or unlike numbers of them, or size
            or epochs is too small.

    Example:
        >>> import jax, numpy as np
        >>> from icon import data
        >>> epoch = data.batches((np.arange(10), np.ones((10, 3))), 4, epochs=2)
        >>> [x.shape for x, _ in epoch(jax.random.key(0), 0)]
        [(4,), (4,)]
    """
    on_host = lambda x: x if isinstance(x, jax.Array) else np.asarray(x)
    arrays = jax.tree.map(on_host, arrays)
    n = check.rows("arrays", arrays)
    size = min(check.count("size", size, 1), n)
    epochs = check.count("epochs", epochs, 0)

    def epoch_of(key: PRNGKeyArray, epoch: int) -> Iterator[Any]:
        check.key("key", key)
        if 0 <= check.count("epoch", epoch, -(2**31)) < epochs:
            order = np.asarray(jr.permutation(jr.fold_in(key, epoch), n))
            for start in range(0, n - size + 1, size):
                yield _take(arrays, order[start : start + size])

    return epoch_of


def spread(
    batches: Callable[[PRNGKeyArray, int], Iterable[Any]],
    mesh: Mesh,
    axis_name: str = "data",
) -> Callable[[PRNGKeyArray, int], Iterator[Any]]:
    """The same batches, each cut over the devices along an axis of a mesh.

    Device d of D has the rows d b / D to (d + 1) b / D of a batch of b. The devices may
    be those of several processes: all of them go through the same batches in the same
    order, and each puts only the rows of its own devices on them.

    Args:
        batches: a function of (key, epoch), as `batches` makes it, of pytrees [b, ...].
        mesh: the devices, as `jax.make_mesh` makes it, of automatic or explicit axes.
        axis_name: the axis of the mesh that rows are cut along.

    Returns:
        a function of (key, epoch) that iterates over pytrees of global arrays.

    Raises:
        InvalidInput: batches that cannot be called, something that is no mesh, an axis
            that it has not; when a batch comes, rows that the devices do not divide.

    Example:
        >>> import jax, numpy as np
        >>> from icon import data
        >>> mesh = jax.make_mesh((1,), ("data",), (jax.sharding.AxisType.Auto,))
        >>> epoch = data.spread(data.batches(np.arange(10), 4, epochs=1), mesh)
        >>> [(x.shape, x.sharding.spec[0]) for x in epoch(jax.random.key(0), 0)]
        [((4,), 'data'), ((4,), 'data')]
    """
    if not callable(batches):
        raise InvalidInput("batches", type(batches).__name__, "a function (key, epoch)")
    if not isinstance(mesh, Mesh):
        raise InvalidInput("mesh", type(mesh).__name__, "a mesh: jax.make_mesh")
    if axis_name not in mesh.axis_names:
        expected = f"one of the axes of the mesh, {', '.join(mesh.axis_names)}"
        raise InvalidInput("axis_name", repr(axis_name), expected)
    cut = ft.partial(_cut, NamedSharding(mesh, PartitionSpec(axis_name)))

    def epoch_of(key: PRNGKeyArray, epoch: int) -> Iterator[Any]:
        for batch in batches(key, epoch):
            yield jax.tree.map(cut, batch)

    return epoch_of


def _cut(share: NamedSharding, leaf: Any) -> Array:
    """One array of a batch, of which each device gets its own rows."""
    (axis,), shape = share.spec, np.shape(leaf)
    count = share.mesh.shape[axis]
    if not shape:
        raise InvalidInput("batches", "a number", "arrays with a leading axis")
    if shape[0] % count:
        more = shape[0] + -shape[0] % count
        expected = f"rows for each of the {count} devices: a `size` that is a multiple"
        got = f"{shape[0]} rows"
        raise InvalidInput("batches", got, f"{expected} of {count}, such as {more}")
    return jax.make_array_from_callback(shape, share, lambda at: leaf[at])


def _take(arrays: Any, at: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: leaf[at], arrays)
