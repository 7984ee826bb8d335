"""How are rows taken in blocks of one length, and filled up to few lengths?"""

import jax
import jax.numpy as jnp
import numpy as np


SMALL, MANY = 1024, 4096  # rows: the least length, and the last that is coarse


def filled_length(n: int) -> int:
    """The length that n rows are filled up to, where a program is to serve many n."""
    return max(SMALL, rounded_up(n, coarse=n <= MANY))


def rounded_up(n: int, *, coarse: bool) -> int:
    """The next of few lengths: what is filled up to it shares its program.

    A power of two; if not coarse, an eighth of one more, so that little is filled up
    where steps cost more than a compilation.

    Example:
        >>> from icon._base.blocks import rounded_up
        >>> [rounded_up(n, coarse=True) for n in (600, 601)]
        [1024, 1024]
        >>> rounded_up(70_000, coarse=False)
        73728
    """
    power = 1 << (n - 1).bit_length()
    part = power if coarse else max(1, power // 16)
    return -(-n // part) * part


def on_device(x, dtype=None) -> jax.Array:
    """An array of the host as one of JAX; nothing is compiled for its shape."""
    return jax.device_put(np.asarray(x, dtype))


def filled(x: np.ndarray, length: int, value=0):
    """x with rows of this value up to a length; on the host."""
    more = [(0, length - len(x)), *[(0, 0)] * (x.ndim - 1)]
    return np.pad(x, more, constant_values=value)


def blocks_of(tree, count: int, size: int):
    """The rows [count, …] as [blocks, size, …], filled up with the last row."""
    blocks = -(-count // size)

    def fold(x):
        missing = blocks * size - count
        if missing:
            fill = jnp.broadcast_to(x[-1:], (missing, *x.shape[1:]))
            x = jnp.concatenate([x, fill])
        return x.reshape(blocks, size, *x.shape[1:])

    return jax.tree.map(fold, tree)


def rows_of(tree, count: int):
    """The inverse: [blocks, size, …] as rows [count, …], without what was filled up."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:count], tree)


def valid_rows(count: int, size: int):
    """Which rows of the blocks are no filling [blocks, size]; None if all are."""
    blocks = -(-count // size)
    if blocks * size == count:
        return None
    return (jnp.arange(blocks * size) < count).reshape(blocks, size)
