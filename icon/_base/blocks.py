"""How are rows taken in blocks of one length?"""

import jax
import jax.numpy as jnp


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
