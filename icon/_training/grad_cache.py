"""How can a batch be larger than the encoder's activations allow?"""

import functools as ft
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from icon._base import checks as check
from icon._base.blocks import blocks_of, rows_of
from icon._engines import over_mesh


def grad_cache(encode: Callable, loss: Callable, block: int = 256) -> Callable:
    r"""A loss of a whole batch whose encoder only ever sees a few rows at once.

    $$\nabla_\theta L = \sum_{\text{blocks } b}
      \left(\partial z_b / \partial \theta\right)^T \nabla_{z_b} L(z_1, \ldots, z_B)$$

    The encoder passes twice over every block, once for the embeddings and once for its
    gradient, and keeps nothing in between but the embeddings: the gradient is that of
    the whole batch. This saves the memory of the encoder; strips save that of the loss.
    An encoder whose rows see each other (batch normalisation) sees those of its block.

    Args:
        encode: (params, batch) -> an embedding [n, ...], or a pytree of them.
        loss: (embedding, *rest) -> a number.
        block: rows that are encoded at once.

    Returns:
        a function (params, batch, *rest) -> a number. Every leaf of a batch has rows,
        random keys too: a row gets the same in both passes.

    Raises:
        InvalidInput: functions that cannot be called, block < 1, and where it is called
            a batch whose leaves have unlike numbers of rows.

    Example:
        >>> import icon, jax, jax.numpy as jnp
        >>> def encode(w, x):
        ...     return jnp.tanh(x @ w)
        >>> def loss(z, ids):
        ...     return icon.kl(icon.same(ids), icon.cosine(z))
        >>> x = jax.random.normal(jax.random.key(0), (50, 4))
        >>> w, ids = jnp.eye(4), jnp.arange(50) // 2
        >>> in_blocks = jax.grad(icon.grad_cache(encode, loss, block=8))
        >>> at_once = jax.grad(lambda w, x, ids: loss(encode(w, x), ids))
        >>> by_block, whole = (jax.jit(f)(w, x, ids) for f in (in_blocks, at_once))
        >>> bool(jnp.allclose(by_block, whole, atol=1e-5))
        True

    Source: Gao et al., Scaling deep contrastive learning batch size under memory
    limited setup (GradCache), 2021.
    """
    check.function("encode", encode, "params", "batch")
    check.require(callable(loss), "loss", f"a {type(loss).__name__}", "a function")
    block = check.count("block", block, 1)

    def whole(params, batch, *rest):
        n = check.rows("batch", batch)
        blocks = blocks_of(batch, n, min(block, n))
        one = jax.checkpoint(ft.partial(encode, params), prevent_cse=False)  # pyright: ignore
        return loss(rows_of(lax.map(_row_by_row(one), blocks), n), *rest)

    return lambda *args: over_mesh(whole, *args)(*args)


def _row_by_row(encode: Callable) -> Callable:
    """An encoder, refused unless it gives as many rows as it gets."""

    def encoded(block):
        out, size = encode(block), check.rows("batch", block)
        rows = {jnp.shape(x)[:1] for x in jax.tree.leaves(out)}
        got = f"one that makes {size} rows to shape {sorted(rows)}"
        check.require(
            rows == {(size,)}, "encode", got, "a function that keeps the rows"
        )
        return out

    return encoded
