"""Which entries of a long row are the smallest? Rows are taken in blocks."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from icon._base.blocks import blocks_of, rows_of


BLOCK = 128  # rows at a time
CHAIN = 64  # rows of a block that top_k takes one after the other: it has one thread
BUDGET = 2**24  # floats that a block may take
BUSY = 2**28  # the same on an accelerator, which reads all candidates for each block
GROUPS = 16


def smallest(score: Float[Array, "b m"], k: int):
    """The places and values of the k smallest entries of each row, exactly.

    The best groups first, then their members. Groups are strided: their minima
    vectorise, which one long top_k does not.
    """
    b, m = score.shape
    if m <= GROUPS * 2 * k:
        low, at = lax.top_k(-score, k)
        return at, -low
    size = -(-m // GROUPS)
    pad = (0, 0), (0, size * GROUPS - m)
    table = jnp.pad(score, pad, constant_values=np.inf).reshape(b, GROUPS, size)
    best = lax.top_k(-jnp.min(table, 1), k)[1]
    members = jnp.take_along_axis(table, best[:, None], 2).reshape(b, -1)
    low, among = lax.top_k(-members, k)
    at = jnp.take_along_axis(best, among % k, 1) + among // k * size
    return jnp.minimum(at, m - 1), -low


def in_order(ids: Int[Array, "b s"], distance: Float[Array, "b s"], k: int):
    """The k nearest of these candidates, nearest first."""
    near, order = lax.top_k(-distance, k)
    return jnp.take_along_axis(ids, order, 1), -near


def without_self(score: Float[Array, "b m"], ids: Int[Array, " b"]):
    """The scores of these anchors, with inf where the candidate is the anchor."""
    is_self = jnp.arange(score.shape[1])[None] == ids[:, None]
    return jnp.where(is_self, np.inf, score)


def in_blocks(search: Callable, ids: Int[Array, " n"], cost: int):
    """search(ids) in blocks, one after the other; an anchor takes `cost` floats."""
    n, on_cpu = ids.shape[0], jax.default_backend() == "cpu"
    size = max(1, min(BLOCK, n, (BUDGET if on_cpu else BUSY) // cost))

    def block(ids):
        chains = [search(ids[i : i + CHAIN]) for i in range(0, size, CHAIN)]
        return jax.tree.map(lambda *rows: jnp.concatenate(rows), *chains)

    return rows_of(lax.map(block, blocks_of(ids, n, size)), n)
