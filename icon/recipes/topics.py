r"""How are topics found in counts? By multiplicative steps, which are EM's.

With φ the topics of rows, ψ the columns of topics (Σ_j ψ_jc = 1) and L the mean over
rows, each weighed by π_i, of KL(p_i || φ_i ψᵀ), what EM expects is in the gradient:

    n_ic = -φ_ic ∂L/∂φ_ic           π_i Σ_j p_ij r(c | i, j), which sums to π_i
    m_jc =  ψ_jc (Σ_i n_ic - ∂L/∂ψ_jc)     Σ_i π_i p_ij r(c | i, j)

and rows of n and columns of m, scaled to sum to one, are the next φ and ψ. These are
the multiplicative updates of Lee & Seung for NMF under KL, with W = φ · the row's count
and H = ψᵀ: the loss never rises.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Float

from icon._base import checks as check


class Topics(NamedTuple):
    """The arguments of `icon.clusters`: memberships, and candidates."""

    of_rows: Any  # φ [n, C], rows sum to one
    of_columns: Any  # ψ [m, C], columns sum to one


def random_topics(key, rows: int, columns: int, count: int) -> Topics:
    """Topics between even ones and random ones: of even ones no step leads away.

    Args:
        key: a JAX key.
        rows: n.
        columns: m.
        count: C, how many topics.

    Example:
        >>> import jax
        >>> from icon.recipes import topics
        >>> found = topics.random_topics(jax.random.key(0), 3, 5, 2)
        >>> found.of_rows.sum(1).round(3).tolist()
        [1.0, 1.0, 1.0]
    """
    one, two = jr.split(check.key("key", key))
    of_rows, of_columns = (
        jr.uniform(k, (check.size("rows", n), count), minval=0.5, maxval=1.5)
        for k, n in ((one, rows), (two, columns))
    )
    return Topics(_scaled(of_rows, 1, of_rows), _scaled(of_columns, 0, of_columns))


def em() -> optax.GradientTransformation:
    """EM of PLSA, the multiplicative updates of KL-NMF, as an optax transformation.

    It wants the gradient of kl(graph(counts), clusters(φ, ψ), weight=row sums), or of
    the same with joint=True, in parameters that are `Topics`.

    Example:
        >>> import icon, jax, jax.numpy as jnp
        >>> from icon.recipes import topics
        >>> counts = jnp.array([[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 1.0, 5.0]])
        >>> p = icon.graph(counts)
        >>> def loss(found):
        ...     return icon.kl(p, icon.clusters(*found), weight=counts.sum(1))
        >>> start = topics.random_topics(jax.random.key(0), 3, 3, 2)
        >>> found, history = icon.minimize(loss, start, topics.em(), 50)
        >>> float(history.loss[-1]) < 1e-3  # a matrix of rank two
        True

    Source: Hofmann, Probabilistic latent semantic indexing, 1999; Lee & Seung,
    Algorithms for non-negative matrix factorization, 2001.
    """

    def step(gradient: Any, params: Any) -> Any:
        rows = -params.of_rows * gradient.of_rows
        total = jnp.sum(rows, 0, keepdims=True)
        columns = params.of_columns * (total - gradient.of_columns)
        return Topics(
            _scaled(rows, 1, params.of_rows) - params.of_rows,
            _scaled(columns, 0, params.of_columns) - params.of_columns,
        )

    return optax.stateless(step)


def _scaled(x: Float[jax.Array, "n C"], axis: int, instead) -> Float[jax.Array, "n C"]:
    """x from 0 and of sum one along an axis; where there is nothing, what was there."""
    x = jnp.maximum(x, 0)
    total = jnp.sum(x, axis, keepdims=True)
    return jnp.where(total > 0, x / jnp.where(total > 0, total, 1), instead)
