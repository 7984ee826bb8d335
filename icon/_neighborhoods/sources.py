"""Which neighbours are models of independent sources?"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from icon._base import checks as check
from icon._base.numerics import HIGHEST, common, safe_log, widen
from icon._neighborhoods.kernels import Kernel
from icon._neighborhoods.points import Points, points


class Models(NamedTuple):
    """Each maps a point to its sources."""

    unmixing: Any  # [C, d, d]
    log_volume: Any  # [C], log |det W_c|
    log_weight: Any  # [C]


@dataclasses.dataclass(frozen=True)
class Sources(Kernel):
    """s = log w_c + log |det W_c| + Σ_k log Laplace((W_c a)_k), of variance 1."""

    def __call__(
        self, a: Float[Array, " d"], b: Models, /, *args, **params
    ) -> Float[Array, " C"]:
        unmixing, a = common(b.unmixing, widen(a))
        source = jnp.einsum("cij,j->ci", unmixing, a, precision=HIGHEST)
        log_density = -(2**0.5) * jnp.sum(jnp.abs(source), 1)
        constant = len(a) / 2 * math.log(2)
        return b.log_weight + b.log_volume + log_density - constant


def sources(
    anchors: Float[ArrayLike, "n d"],
    unmixing: Float[ArrayLike, "C d d"],
    weight: Float[ArrayLike, " C"] | None = None,
) -> Points:
    """Neighbours that are models of independent sources: one of them is ICA.

    $$s_{ic} = \\log w_c + \\log |\\det W_c| +
      \\textstyle\\sum_k \\log p\\big((W_c x_i)_k\\big), \\quad
      p(s) = e^{-\\sqrt2 |s|} / \\sqrt2$$

    As `components`, with sources of heavy tails instead of normal ones: as p it is the
    posterior, who of them made a point, which of one model is certain; `unnormalized`,
    it is the joint density, and kl of the two is minus the mean log-likelihood.

    Args:
        anchors: x, floats [n, d], of mean 0.
        unmixing: W, floats [C, d, d], from a point to its sources.
        weight: w [C], from 0, relative; None: all alike.

    Raises:
        InvalidInput: shapes that disagree, values that are not finite, a singular W.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> x = jnp.array([[1.0, 0.0], [0.0, -2.0]])
        >>> model = icon.sources(x, jnp.eye(2)[None])
        >>> loss = icon.kl(model, icon.unnormalized(model))
        >>> round(float(loss), 3)  # √2 · 1.5 + log 2
        2.814

    Source: Pham & Garat, Blind separation of mixture of independent sources through a
    quasi-maximum likelihood approach, 1997; Lee, Lewicki & Sejnowski, ICA mixture
    models, 2000.
    """
    x = check.floats("anchors", anchors)
    d = x.shape[1]
    matrices = widen(check.floats("unmixing", unmixing, 3))
    matrices = matrices.astype(jax.eval_shape(widen, x).dtype)
    got = f"shape {matrices.shape}"
    check.require(matrices.shape[1:] == (d, d), "unmixing", got, f"matrices {(d, d)}")
    if check.concrete(unmixing):
        rank = np.linalg.matrix_rank(np.asarray(matrices))
        got = f"a matrix {int(np.argmin(rank))} of rank {rank.min()}"
        check.require(rank.min() == d, "unmixing", got, f"matrices of rank {d}")
    count = len(matrices)
    weight = jnp.ones(count) if weight is None else weight
    weight = check.weights("weight", weight, matrices, count)
    log_weight = safe_log(weight) - jnp.log(jnp.sum(weight))
    log_volume = jnp.linalg.slogdet(matrices)[1]
    return points(Sources(), x, Models(matrices, log_volume, log_weight))
