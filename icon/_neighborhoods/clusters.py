"""Which neighbours share a cluster?"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Float

from icon._base import checks as check
from icon._base.numerics import common, safe_log, widen
from icon._base.pytrees import pytree
from icon._neighborhoods.protocol import EVERYBODY, Neighborhood


class Factors(NamedTuple):
    """Probabilities of low rank: q_ij = share · root_i · root_j + floor, in one set."""

    root: Any  # [n, C]
    share: Any
    floor: Any


@pytree
class Clusters(Neighborhood):
    """Rank C: the log-mass is 0 without a sum over candidates."""

    anchors: Any  # [n, C], rows on the simplex
    candidates: Any  # [m, C]; None: the anchors
    weight: Any  # [m], what each candidate counts in its cluster; None: one
    size: Any = None  # [C], of the clusters; None: the sum over the candidates

    @property
    def shape(self) -> tuple[int, int]:
        return self.anchors.shape[0], self._candidates.shape[0]

    @property
    def _candidates(self):
        return self.anchors if self.candidates is None else self.candidates

    @property
    def T(self) -> "Clusters":
        lost = self.weight is not None or self.size is not None
        check.require(not lost, "q.T", "weights or sizes", "none to lose")
        return Clusters(self._candidates, self.anchors, None)

    @property
    def wants_edges(self) -> bool:
        return self.candidates is None and self.weight is None

    def as_factors(self) -> Factors | None:
        if not self.wants_edges:
            return None
        phi = widen(self.anchors)
        size, empty = self._sizes(phi)
        root = phi / jnp.sqrt(jnp.where(empty, 1, size))[None]
        root = jnp.where(empty[None], 0, root)
        return Factors(root, jnp.ones((), phi.dtype), jnp.zeros((), phi.dtype))

    def gathered(self, gather, first) -> "Clusters":
        candidates, weight = gather(self._candidates), gather(self.weight)
        return Clusters(self.anchors, candidates, weight, self.size)

    def _weight(self, at, like):
        m = self.shape[1]
        return (jnp.ones(m, like.dtype) if self.weight is None else self.weight)[at]

    def _shares(self, i):
        """φ_ic / (Σ_k ψ_kc w_k) of each cluster c; 0 of an empty one."""
        phi, psi = common(widen(self.anchors[i]), widen(self._candidates))
        size, empty = self._sizes(psi)
        return jnp.where(empty, 0, phi / jnp.where(empty, 1, size))

    def _sizes(self, psi):
        """Σ_k ψ_kc w_k of each cluster c, or as given, and which of them are empty."""
        if self.size is None:
            size = self._weight(EVERYBODY, psi) @ psi
        else:
            size = self.size.astype(psi.dtype)
        # 0 / 0 has a nan gradient also in an unselected branch, and so has 1 / size²
        return size, size < float(jnp.finfo(size.dtype).tiny) ** 0.5

    def support(self, i):
        return EVERYBODY, self._probability(i, EVERYBODY)

    def score(self, i, at):
        return safe_log(self._probability(i, at))

    def _probability(self, i, at):
        """q_ij, with a gradient also where it is 0, as between hard clusters."""
        psi, share = common(widen(self._candidates[at]), self._shares(i))
        return self._weight(at, share) * (psi @ share)

    def log_mass(self, i):
        return jnp.zeros((), self._shares(i).dtype)

    def expected(self, q, weight, joint):
        """Σ_i π_i Σ_c φ_ic Σ_j ψ_jc w_j s_ij / size_c; every anchor has mass 1."""
        phi, psi = common(widen(self.anchors), widen(self._candidates))
        size, empty = self._sizes(psi)
        share = phi / jnp.where(empty, 1, size)[None]
        share = jnp.where(empty[None], 0, share)
        pi = (
            jnp.ones_like(share[:, 0]) if weight is None else weight.astype(share.dtype)
        )
        total = jnp.sum(pi)
        pi = pi / jnp.where(total > 0, total, 1)
        return q.bilinear(
            pi[:, None] * share, self._weight(EVERYBODY, psi)[:, None] * psi
        )


def clusters(
    memberships: Float[ArrayLike, "n C"],
    candidates: Float[ArrayLike, "m C"] | None = None,
    *,
    candidate_weight: Float[ArrayLike, " m"] | None = None,
    size: Float[ArrayLike, " C"] | None = None,
) -> Clusters:
    """Neighbours that share a cluster: pick a cluster of i, then a member of it.

    $$q_{ij} = \\sum_c \\varphi_{ic}\\,\\psi_{jc} w_j \\big/
      \\textstyle\\sum_k \\psi_{kc} w_k$$

    Rows sum to one as long as every cluster of an anchor has a candidate in it. One
    set includes j = i. In a batch of few rows of each cluster the sums below are noise:
    with a size for each they are taken as known, and rows sum to one only on average.

    Args:
        memberships: φ, floats [n, C] from 0, rows that sum to 1.
        candidates: ψ [m, C], for example of another modality; None: the memberships.
        candidate_weight: w [m], for example the degrees of a graph; None: all alike.
        size: [C], what stands for the sum over k: a cluster's members per batch, as a
            running mean knows them; a cluster of 0 is empty. None: the sum.

    Raises:
        InvalidInput: shapes that disagree, negative memberships, weights or sizes, rows
            that do not sum to 1.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> phi = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]])
        >>> icon.dense(icon.clusters(phi)).round(2).tolist()
        [[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.2, 0.2, 0.6]]

    Source: Yang, Corander & Oja, Low-rank doubly stochastic matrix decomposition, 2016.
    """
    phi = check.simplex("memberships", memberships)
    psi = None if candidates is None else check.simplex("candidates", candidates, False)
    sets = (phi,) if psi is None else (phi, psi)
    got = f"shapes {' and '.join(str(x.shape) for x in sets)}"
    alike = sets[-1].shape[1] == phi.shape[1]
    check.require(alike, "candidates", got, "as many clusters as the memberships have")
    weight = candidate_weight
    if weight is not None:
        weight = check.weights("candidate_weight", weight, phi, len(sets[-1]))
    if size is not None:
        size = check.weights("size", size, phi, phi.shape[1])
    return Clusters(phi, psi, weight, size)
