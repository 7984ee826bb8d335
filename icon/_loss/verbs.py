"""How do p and q meet? The only loss, and the divergences beside it."""

import functools as ft
import types
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from icon._base import checks as check
from icon._base.config import is_deterministic
from icon._base.numerics import sqrt
from icon._engines import (
    ATTRACTION,
    CROSS_ENTROPY,
    KL,
    REPULSION,
    Linear,
    OverSupport,
    Report,
    each,
    over_mesh,
    report,
    unplaced,
)
from icon._loss.routes import Loss, block_of, checked, summed
from icon._neighborhoods import (
    EVERYBODY,
    Neighborhood,
    as_neighborhood,
    finite,
    margin,
    sharp,
)


LOG_2 = float(np.log(2))


def kl(
    p: Neighborhood,
    q: Neighborhood,
    *,
    weight=None,
    joint: bool = False,
    block: int | None = None,
    axis_name: str | tuple[str, ...] | None = None,
):
    """The loss: how surprised q is by the neighbours that p expects.

    $$\\sum_i \\pi_i\\,\\mathrm{KL}(p_i \\| q_i) = \\sum_i \\pi_i
      \\left[(A_i - N_i) - (B_i - M_i)\\right]$$

    with A = E_p s^p, B = E_p s^q and the log-masses N, M. 0 where p = q. Anchors
    without a neighbour under p contribute 0 and are not counted; if none has one, the
    loss is 0 with a zero gradient.

    Args:
        p: the neighbours that supervise.
        q: the neighbours that are scored, over the same anchors and candidates.
        weight: π [n], from 0, relative; None: every anchor with a neighbour alike.
        joint: one distribution over all pairs (t-SNE), weighed by p's masses:
            Σ_i softmax(N)_i [(A_i - lse N) - (B_i - lse M)].
        block: how many anchors are held at once; None: all of them while the scores
            fit, strips beyond; the value and the gradient are the same.
        axis_name: inside of a shard_map, the axis the batch is spread over: the loss
            is that of the whole batch, whose candidates are gathered.

    Raises:
        InvalidInput: p and q over different anchors or candidates, a weight together
            with joint=True, negative weights, block < 1, an axis that is not there, a
            shard_map with check_vma=False, which would scale the gradients.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> z = jnp.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> loss = icon.kl(icon.same([0, 0, 1, 1]), icon.cosine(z, temperature=1.0))
        >>> round(float(loss), 4)
        0.6034

    Source: Alshammari et al., I-Con: a unifying framework for representation learning,
    2025.
    """
    return summed(Loss(Linear(KL), joint), p, q, weight, block, axis_name)


def cross_entropy(
    p: Neighborhood,
    q: Neighborhood,
    *,
    weight=None,
    joint: bool = False,
    block: int | None = None,
    axis_name: str | tuple[str, ...] | None = None,
):
    """kl without the entropy of p, which is constant unless p learns.

    $$-\\sum_i \\pi_i\\,E_{j \\sim p_i} \\log q_{ij} = \\sum_i \\pi_i (M_i - B_i)$$

    Args:
        p: the neighbours that supervise.
        q: the neighbours that are scored; wide, sharp and reversed ones too.
        weight: as in kl.
        joint: as in kl.
        block: as in kl.
        axis_name: as in kl.

    Raises:
        InvalidInput: as kl.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> p = icon.same([0, 1], [0, 1])
        >>> float(icon.cross_entropy(p, icon.dot(jnp.zeros((2, 3)), jnp.ones((2, 3)))))
        0.6931471824645996

    Source: Alshammari et al., I-Con, 2025.
    """
    return summed(Loss(Linear(CROSS_ENTROPY), joint), p, q, weight, block, axis_name)


# ------------------------------------------------------- over the support of p


def divergence(f: Callable, outer: Callable | None = None) -> Callable:
    r"""A verb from f(p_ij, log q_ij): a divergence of your own over p's support.

    $$D(p_i, q_i) = g\Big(\sum_{j \in \mathrm{supp}\,p_i}
      f(p_{ij}, \log q_{ij})\Big)$$

    Any kind of p and q, weights, strips and devices, as in kl; q is asked on the
    support of p only. `tv`, `jsd` and `hellinger` are three of them.

    Args:
        f: (p [s], log q [s]) -> [s], entry by entry, summed over the candidates that
            have p_ij > 0. Define it at module level: a new function is compiled anew.
        outer: g, of the sum of each anchor, such as Rényi's logarithm; None: the sum.

    Returns:
        a verb (p, q, *, weight=None, block=None, axis_name=None) -> a number.

    Raises:
        InvalidInput: something that cannot be called; the verb raises as kl does.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> def chi_square(p, log_q):  # Σ p² / q - 1
        ...     return p**2 * jnp.exp(-log_q) - p
        >>> z = jnp.array([[0.0], [1.0], [3.0]])
        >>> p, q = icon.gaussian(z), icon.gaussian(z, scale=2.0)
        >>> loss = icon.divergence(chi_square)(p, q)
        >>> bool(loss > icon.kl(p, q))
        True

    Source: Ali & Silvey, 1966; Csiszár, 1967 (f-divergences).
    """
    check.function("f", f, "p", "log_q")
    if outer is not None:
        check.function("outer", outer, "number")

    def verb(
        p: Neighborhood,
        q: Neighborhood,
        *,
        weight=None,
        block: int | None = None,
        axis_name: str | tuple[str, ...] | None = None,
    ):
        loss = Loss(OverSupport(f, outer))
        return summed(loss, p, q, weight, block, axis_name)

    return verb


def _tv(p, log_q):
    return jnp.maximum(p - jnp.exp(log_q), 0)


def tv(
    p: Neighborhood,
    q: Neighborhood,
    *,
    weight=None,
    block: int | None = None,
    axis_name: str | tuple[str, ...] | None = None,
):
    """Total variation: the probability that q would have to move.

    $$\\mathrm{TV}(p_i, q_i) =
      \\sum_{j \\in \\mathrm{supp}\\,p_i} \\max(p_{ij} - q_{ij}, 0)$$

    Bounded by 1: outliers pull with a bounded force, badly placed pairs hardly at all.

    Args:
        p: the neighbours that supervise.
        q: the neighbours that are scored, on p's support only.
        weight: as in kl.
        block: as in kl.
        axis_name: as in kl.

    Raises:
        InvalidInput: as kl; a p that is smoothed by samples.

    Example:
        >>> import icon
        >>> float(icon.tv(icon.same([0, 0], [0, 1]), icon.same([0, 1], [0, 1])))
        0.5

    Source: Alshammari et al., Beyond I-Con, 2025.
    """
    return summed(Loss(OverSupport(_tv)), p, q, weight, block, axis_name)


def _jsd(p, log_q):
    """Both halves; what q has outside of the support adds log 2 / 2 of its mass."""
    q, reached = jnp.exp(log_q), log_q > -jnp.inf
    log_sum = jnp.log(p + q)
    of_q = jnp.where(reached, q * (jnp.where(reached, log_q, 0) - log_sum), 0)
    return (p * (jnp.log(p) - log_sum) + of_q) / 2 + p * LOG_2


def jsd(
    p: Neighborhood,
    q: Neighborhood,
    *,
    weight=None,
    block: int | None = None,
    axis_name: str | tuple[str, ...] | None = None,
):
    """The Jensen-Shannon divergence, at most log 2.

    $$\\tfrac12 \\mathrm{KL}(p_i \\| m_i) + \\tfrac12 \\mathrm{KL}(q_i \\| m_i), \\quad
      m_i = (p_i + q_i)/2$$

    Args:
        p: the neighbours that supervise.
        q: the neighbours that are scored, on p's support only.
        weight: as in kl.
        block: as in kl.
        axis_name: as in kl.

    Raises:
        InvalidInput: as kl; a p that is smoothed by samples.

    Example:
        >>> import icon
        >>> float(icon.jsd(icon.same([0, 0], [0, 1]), icon.same([1, 1], [0, 1])))
        0.6931471824645996

    Source: Alshammari et al., Beyond I-Con, 2025.
    """
    return summed(Loss(OverSupport(_jsd)), p, q, weight, block, axis_name)


def _hellinger(p, log_q):
    return p - sqrt(p) * jnp.exp(log_q / 2)


def hellinger(
    p: Neighborhood,
    q: Neighborhood,
    *,
    weight=None,
    block: int | None = None,
    axis_name: str | tuple[str, ...] | None = None,
):
    """The squared Hellinger distance, at most 1.

    $$1 - \\sum_{j \\in \\mathrm{supp}\\,p_i} \\sqrt{p_{ij}\\,q_{ij}}$$

    Args:
        p: the neighbours that supervise.
        q: the neighbours that are scored, on p's support only.
        weight: as in kl.
        block: as in kl.
        axis_name: as in kl.

    Raises:
        InvalidInput: as kl; a p that is smoothed by samples.

    Example:
        >>> import icon
        >>> p = icon.same([0, 0], [0, 1])
        >>> float(icon.hellinger(p, p))
        0.0

    Source: Alshammari et al., Beyond I-Con, 2025.
    """
    return summed(Loss(OverSupport(_hellinger)), p, q, weight, block, axis_name)


# ------------------------------------------------------- a margin


def hinge(
    p: Neighborhood,
    q: Neighborhood,
    *,
    m,
    weight=None,
    block: int | None = None,
    axis_name: str | tuple[str, ...] | None = None,
):
    """The triplet loss: how far neighbours are from leading all others by a margin.

    $$\\sum_i \\pi_i \\Big[\\max_j \\big(s_{ij} + m \\cdot 1[p_{ij} = 0]\\big) -
      E_{j \\sim p_i} s_{ij}\\Big]$$

    It is the cross-entropy of p with `sharp(margin(q, p, m))`, the limit of small
    temperatures. Of one neighbour and one other, max(0, d⁺ - d⁻ + m) of what q calls
    the distance, -s; of several others, that of the nearest.

    Args:
        p: the neighbours that supervise.
        q: points under a kernel, or a mix of them; `among(q, index)`: others that are
            listed.
        m: the margin, in units of the score, learnable.
        weight: as in kl.
        block: as in kl.
        axis_name: as in kl.

    Raises:
        InvalidInput: as kl; a q that has no temperature, m that is nan.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> z, ids = jnp.array([[0.0], [1.0], [3.0], [5.0]]), [0, 0, 1, 1]
        >>> q = icon.laplace(z)  # the score is minus the distance
        >>> float(icon.hinge(icon.same(ids), q, m=1.5))  # 0, 1/2, 3/2 and 0
        0.5

    Source: Schroff et al., FaceNet, 2015; Faghri et al., VSE++, 2018.
    """
    q = sharp(margin(q, p, m))
    return cross_entropy(p, q, weight=weight, block=block, axis_name=axis_name)


# ------------------------------------------------------- the other direction, and both


def reverse(loss: Callable) -> Callable:
    """A loss with p and q swapped: the average is under q, the one that learns.

    $$L_{\\mathrm{reverse}}(p, q) = L(q, p)$$

    kl reversed goes where p is and leaves out what p has beside: it seeks a mode.
    cross_entropy reversed is that without a reward for the entropy of q: k-means, and
    normalized cuts.

    Args:
        loss: any of the verbs, as it is: reverse(kl)(p, q), not reverse(kl(p, q)).

    Raises:
        InvalidInput: something that cannot be called; the verb raises as loss(q, p).

    Example:
        >>> import icon, jax.numpy as jnp
        >>> k_means = icon.reverse(icon.cross_entropy)
        >>> x = jnp.array([[0.0], [0.1], [5.0]])
        >>> one, two = jnp.ones((3, 1)), jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> loss = lambda phi: k_means(icon.gaussian(x, x), icon.clusters(phi))
        >>> bool(loss(two) < loss(one))
        True

    Source: Alshammari et al., I-Con, 2025 (Theorem 13: k-means).
    """
    check.function("loss", loss, "p", "q")

    @ft.wraps(loss)
    def swapped(p: Neighborhood, q: Neighborhood, **options):
        return loss(q, p, **options)

    if isinstance(loss, types.FunctionType):
        swapped.__name__ = f"reverse({loss.__name__})"
    return swapped


LINEAR = {kl: KL, cross_entropy: CROSS_ENTROPY}


def both_ways(loss: Callable) -> Callable:
    """A loss averaged over both directions: anchors to candidates and back.

    $$\\tfrac12\\left[L(p, q) + L(p^T, q^T)\\right]$$

    Args:
        loss: any of the verbs, as it is: both_ways(kl)(p, q), not both_ways(kl(p, q)).

    Raises:
        InvalidInput: no verb; p or q cannot be turned round (numbers per anchor).

    Example:
        >>> import icon, jax.numpy as jnp
        >>> ids, image, text = jnp.arange(3), jnp.eye(3), 2 * jnp.eye(3)
        >>> p, q = icon.same(ids, ids), icon.cosine(image, text, temperature=0.07)
        >>> float(icon.both_ways(icon.kl)(p, q)) < 1e-5
        True

    Source: Radford et al., Learning transferable visual models (CLIP), 2021.
    """

    check.function("loss", loss, "p", "q")
    verb, given = loss, {}
    if isinstance(loss, ft.partial) and not loss.args:
        verb, given = loss.func, loss.keywords

    @ft.wraps(loss)
    def both(p: Neighborhood, q: Neighborhood, **options):
        p, q = as_neighborhood("p", p), as_neighborhood("q", q)
        every = given | options
        if verb in LINEAR and _share_scores(p, q, every.get("axis_name")):
            return _both_at_once(LINEAR[verb], p, q, **every)
        back = loss(_transposed("p", p), _transposed("q", q), **options)
        return (loss(p, q, **options) + back) / 2

    if isinstance(loss, types.FunctionType):
        both.__name__ = f"both_ways({loss.__name__})"
    return both


def _transposed(argument: str, q):
    try:
        return q.T
    except check.InvalidInput as error:
        raise check.InvalidInput(argument, error.got, error.expected) from None


def _share_scores(p, q, axis_name) -> bool:
    """Whether candidates score anchors as anchors score them, all in one place."""
    p, q, placement = unplaced(p, q, axis_name=axis_name)
    points = p.as_points(), q.as_points()
    if None in points or not all(x.is_bare for x in points):
        return False
    whole = placement.axis is None or placement.ring
    return whole and not is_deterministic()


def _both_at_once(
    coefficients, p, q, *, weight=None, joint=False, block=None, axis_name=None
):
    """Both directions from the same scores."""
    n, m = p.shape
    got = f"one per anchor, of which there are {n} one way and {m} the other"
    fits = weight is None or n == m
    check.require(fits, "weight", got, "as many anchors as candidates")
    loss = Loss(Linear(coefficients), joint, both=True)
    return summed(loss, p, q, weight, block, axis_name)


# ------------------------------------------------------- to look at


@ft.partial(jax.jit, static_argnames=("block",))
def _per_anchor(p, q, block):
    return each(ft.partial(report, p, q), p.shape[0], block)


def per_anchor(p: Neighborhood, q: Neighborhood) -> Report:
    """What each anchor reports: the four vectors that every loss is read from.

    $$A_i = E_{p_i} s^p, \\quad B_i = E_{p_i} s^q, \\quad N_i = \\log\\textstyle\\sum_j
      e^{s^p_{ij}}, \\quad M_i = \\log\\textstyle\\sum_j e^{s^q_{ij}}$$

    Args:
        p: the neighbours that supervise.
        q: the neighbours that are scored.

    Raises:
        InvalidInput: p and q over different anchors or candidates.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> A, B, N, M = icon.per_anchor(icon.same([0, 0, 1]), icon.dot(jnp.eye(3)))
        >>> N.tolist()  # the last anchor is alone
        [0.0, 0.0, -inf]
    """
    p, q, _, placement = checked(Loss(Linear(KL)), p, q)
    whole = "sharded(q, axis_name), without a ring"
    check.require(not placement.ring, "q", "candidates that go round", whole)
    answer = ft.partial(_per_anchor, block=block_of(p, q, None))
    return over_mesh(answer, p, q)(p, q)


def terms(
    p: Neighborhood,
    q: Neighborhood,
    *,
    weight=None,
    joint: bool = False,
    block: int | None = None,
    axis_name: str | tuple[str, ...] | None = None,
):
    """The two forces: (attraction, repulsion), whose sum is the cross-entropy.

    $$\\left(-\\sum_i \\pi_i B_i, \\quad \\sum_i \\pi_i M_i\\right)$$

    Early exaggeration is `12 * attraction + repulsion`.

    Args:
        p: the neighbours that supervise.
        q: the neighbours that are scored.
        weight: as in kl.
        joint: as in kl; the repulsion is then lse M.
        block: as in kl.
        axis_name: as in kl.

    Raises:
        InvalidInput: as kl.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> p, q = icon.same([0, 0, 1, 1]), icon.student_t(jnp.eye(4))
        >>> attraction, repulsion = icon.terms(p, q, joint=True)
        >>> both = icon.cross_entropy(p, q, joint=True)
        >>> bool(jnp.isclose(attraction + repulsion, both))
        True
    """
    one = lambda c: summed(Loss(Linear(c), joint), p, q, weight, block, axis_name)
    return one(ATTRACTION), one(REPULSION)


@jax.jit
def _dense(p):
    def row(i):
        score, log_mass = p.read(i, EVERYBODY)
        return jnp.exp(score - finite(log_mass))

    return jax.vmap(row)(jnp.arange(p.shape[0]))


def dense(p: Neighborhood) -> Float[Array, "n m"]:
    """The probabilities themselves, to look at: [n, m], rows that sum to one.

    $$p_{ij} = e^{s_{ij}} / \\textstyle\\sum_k e^{s_{ik}}$$

    Args:
        p: neighbours among listed candidates, not in a continuum.

    Raises:
        InvalidInput: a continuum.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> icon.dense(icon.same([0, 0, 1])).tolist()
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    p, _, placement = unplaced(p, p)
    check.require(p.shape[1] is not None, "p", "a continuum", "candidates to list")
    spread = "a neighbourhood that is spread over devices"
    check.require(placement.axis is None, "p", spread, "it in one place")
    return over_mesh(_dense, p)(p)
