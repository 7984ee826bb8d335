"""How p and q meet: the only loss."""

import functools as ft
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from icon._base import checks as check
from icon._base.config import exactly
from icon._base.numerics import common, sqrt, widened
from icon._engines.devices import own_copy, spread
from icon._engines.report import (
    ATTRACTION,
    CROSS_ENTROPY,
    KL,
    REPULSION,
    Bounded,
    Linear,
    Numbers,
    apart,
    has_neighbor,
    meet,
    over_anchors,
    over_devices,
    over_pairs,
    read,
    relative,
    shares,
)
from icon._engines.reproducible import counted_once, in_order
from icon._engines.strips import OneSweep, answered, each, streamed, strip
from icon._engines.tiles import Meeting, at_once, meeting
from icon._engines.walk import Tiling
from icon._neighborhoods.points import EVERYBODY


LOG_2 = float(np.log(2))
BUDGET = 2**20  # scores that the dense path may hold at once; strips beyond


class Neighborhood(Protocol):
    """A distribution over the neighbours of every anchor, as the questions it answers.

    `at` indexes the candidates: everybody (a slice), listed ids [s], or points of a
    latent space [s, d]. What only ever stands on the right of kl(p, q) needs no
    `support`. A neighbourhood may also answer for all anchors at once; whatever nobody
    offers is asked of each anchor. As q, by the names `log_masses()` and
    `joint_log_mass()`. As p, `expected(q, weight)`: Σ_i w_i E_{j~p_i} s^q_ij, or None;
    `mean_expected(q)` and `joint_expected(q)`, the same where every anchor counts alike
    or by its own mass; `own_numbers()`: what it says of itself, A and N. A p that does
    not learn may be `prepared()` once, for a q that is asked of it again and again.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> at, weight = icon.same(jnp.array([0, 0, 1])).support(0)
        >>> weight.tolist()
        [0.0, 1.0, 0.0]
    """

    @property
    def shape(self) -> tuple[int, int | None]:
        """How many anchors and candidates; None in a continuum."""
        ...

    def support(self, i) -> tuple[Any, Float[Array, " s"]]:
        """Who the neighbours of i are, and what each counts."""
        ...

    def score(self, i, at) -> Float[Array, " s"]:
        """Their unnormalised log-probabilities; -inf for a candidate not listed."""
        ...

    def log_mass(self, i) -> Float[Array, ""]:
        """The logarithm of what the scores of i sum to."""
        ...


def _ask(who, name: str, *args):
    """What somebody answers for all anchors at once, or None."""
    return getattr(who, name, lambda *_: None)(*args)


def _offered(p, q, weight, joint: bool) -> dict[str, Any]:
    """What p and q answer for all anchors at once, asked by name."""
    bulk = dict(zip("AN", _ask(p, "own_numbers") or (None, None), strict=True))
    bulk["M"] = _ask(q, "joint_log_mass" if joint else "log_masses")
    if joint or weight is None:
        bulk["B"] = _ask(p, "joint_expected" if joint else "mean_expected", q)
    if bulk.get("B") is None and hasattr(p, "expected"):
        N = jax.vmap(p.log_mass)(jnp.arange(p.shape[0]))
        weight = jnp.exp(N) if joint else relative(weight, N)
        bulk["B"] = p.expected(q, shares(weight, has_neighbor(N)))
    return {name: answer for name, answer in bulk.items() if answer is not None}


# ------------------------------------------------------- the verbs


class How(NamedTuple):
    """How a loss is summed: over pairs or anchors, in strips, over which devices."""

    joint: bool = False
    block: int | None = None
    axis: str | tuple[str, ...] | None = None
    ring: bool = False
    exact: bool = False
    tiles: tuple[int, int] | None = None


def _plan(p, q, block):
    """How many anchors at once: None is all of them."""
    n, m = p.shape[0], max(x or 1 for x in (p.shape[1], q.shape[1]))
    return strip(m) if block is None and n * m > BUDGET else block


def _mirrored(p, q) -> bool:
    """Whether both are one set in which i scores j as j scores i."""
    return getattr(p, "symmetric", False) and getattr(q, "symmetric", False)


def _met(p, q, how: How, both=False) -> Any:
    """The numbers of all pairs of points, where that is the fastest way; or None."""
    pair, mirrored = (apart(p), apart(q)), _mirrored(p, q)
    forced = how.ring or how.tiles
    fast = both or forced or (how.block and (how.joint or mirrored))
    if None in pair or not fast:
        return None
    if how.block is None and not forced:
        return at_once(*pair)
    rows, columns = how.tiles or (how.block or p.shape[0], p.shape[1])
    tiling = Tiling(rows, columns, how.axis if how.ring else None)
    return meeting(Meeting(tiling, both, mirrored and not both), *pair)


def _finished(coefficients, numbers, weight, how: How):
    finish = over_pairs if how.joint else over_anchors
    return finish(coefficients, numbers, weight, how.axis)


@ft.partial(jax.jit, static_argnames=("coefficients", "how"))
def _linear(p, q, weight, *, coefficients, how):
    p, q = widened((p, q))
    how = how._replace(block=_plan(p, q, how.block))
    met = _met(p, q, how)
    bulk = met[0]._asdict() if met else _offered(p, q, weight, how.joint)
    if how.block and not how.joint and not {"B", "M"} & bulk.keys():
        return _summed(Linear(coefficients), p, q, weight, how)
    counts = Numbers(*(c or k == "N" for k, c in coefficients._asdict().items()))
    rest = [k for k, c in counts._asdict().items() if c and k not in bulk]

    def one(i):
        numbers = meet(p, q, i)._asdict()
        return {k: numbers[k] for k in rest}

    said = each(one, p.shape[0], how.block) if rest else {}
    said = dict.fromkeys("ABNM", jnp.zeros(())) | said | bulk
    return _finished(coefficients, Numbers(**said), weight, how)


@ft.partial(jax.jit, static_argnames=("coefficients", "how"))
def _exact(p, q, weight, *, coefficients, how):
    """The same bits on any number of devices, each of which knows all numbers."""
    p, q = map(apart, widened((p, q)))
    numbers, weight = in_order(p, q, own_copy(weight, how.axis), how.axis)
    value = _finished(coefficients, numbers, weight, how._replace(axis=None))
    return counted_once(how.axis, value)


def _summed(divergence, p, q, weight, how: How):
    """The mean over the anchors that have a neighbour, on all devices."""
    weight = jnp.ones(p.shape[0]) if weight is None else weight
    weight, plan = own_copy(weight, how.axis), OneSweep(divergence, how.block)
    ask = ft.partial(streamed, plan) if how.block else plan.value
    total, count = over_devices(jnp.stack(common(*ask((p, q), weight))), how.axis)
    return total / jnp.where(count > 0, count, 1)


@ft.partial(jax.jit, static_argnames=("over", "how"))
def _bounded(p, q, weight, *, over, how):
    p, q = widened((p, q))
    how = how._replace(block=_plan(p, q, how.block))
    return _summed(Bounded(over), p, q, weight, how)


@ft.partial(jax.jit, static_argnames=("coefficients", "how"))
def _both_ways(p, q, weight, *, coefficients, how):
    """The mean of what anchors and candidates say, all of it from the same scores."""
    p, q = widened((p, q))
    how = how._replace(block=_plan(p, q, how.block))
    there, back = _met(p, q, how, both=True)
    finish = lambda numbers: _finished(coefficients, numbers, weight, how)
    return (finish(there) + finish(back)) / 2


def _checked(p, q, weight, how: How) -> Any:
    """p, q and the weights, fit for one another, and how they are summed."""
    check.answers("p", p, "shape", "support", "score", "log_mass")
    check.answers("q", q, "shape", "score", "log_mass")
    got = f"shapes {p.shape} and {q.shape}"
    check.require(p.shape == q.shape, "q", got, "the anchors and candidates of p")
    check.require(
        not (how.joint and weight is not None),
        "weight",
        "a weight with joint=True",
        "None: joint takes the weights from p's masses",
    )
    if how.block is not None:
        check.count("block", how.block, 1)
    if weight is not None:
        weight = check.weights("weight", weight, jnp.zeros(()), p.shape[0])
    axis = _noted("axis_name", q, p) if how.axis is None else how.axis
    asked = dict(ring=bool(_noted("ring", q, p)), tiles=_noted("tiles", q, p))
    how = how._replace(axis=axis, exact=exactly(), **asked)
    for name, x in (("p", p), ("q", q)):
        whole = _noted("tiles", x) is None or apart(x) is not None
        check.require(whole, name, "a limit or a mix of tiles", "tiled(points)")
    share = (p, q, weight) if axis is None else spread(p, q, weight, how)
    return (*share, how)


def _noted(name: str, *neighborhoods):
    """What one of them says of itself, or what it is made of; None if nobody does."""
    for q in neighborhoods:
        while q is not None:
            if hasattr(q, name):
                return getattr(q, name)
            q = getattr(q, "base", None)
    return None


_IN_ORDER = "points without weights, where bits are not to depend on devices"


def _meeting(coefficients, p, q, weight, how: How):
    p, q, share, how = _checked(p, q, weight, how)
    if how.exact:
        for name, x in (("p", p), ("q", q)):
            check.require(_plain(x), name, "another kind", _IN_ORDER)
        exact = ft.partial(_exact, coefficients=coefficients, how=how)
        return answered(exact, p, q, share)
    if hasattr(q, "along") and hasattr(p, "prepared"):
        p = p.prepared()
    return answered(
        ft.partial(_linear, coefficients=coefficients, how=how), p, q, share
    )


def kl(
    p,
    q,
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
    return _meeting(KL, p, q, weight, How(joint, block, axis_name))


def cross_entropy(
    p,
    q,
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
    return _meeting(CROSS_ENTROPY, p, q, weight, How(joint, block, axis_name))


def _tv(p, log_q):
    return jnp.sum(jnp.maximum(p - jnp.exp(log_q), 0))


def _jsd(p, log_q):
    met = p > 0
    log_p = jnp.log(jnp.where(met, p, 1))
    log_q = jnp.where(met, log_q, -jnp.inf)
    q = jnp.exp(log_q)
    log_sum = jnp.log(jnp.where(met, p + q, 1))
    of_p = jnp.where(met, p * (log_p - log_sum), 0)
    there = met & (log_q > -jnp.inf)
    of_q = jnp.where(there, q * (jnp.where(there, log_q, 0) - log_sum), 0)
    return (jnp.sum(of_p) + jnp.sum(of_q)) / 2 + LOG_2  # q outside of p counts log 2


def _hellinger(p, log_q):
    return 1 - jnp.sum(sqrt(p) * jnp.exp(log_q / 2))


def _over_support(over, p, q, weight, how: How):
    alone = "False: this divergence is between distributions of anchors"
    check.require(not how.joint, "joint", how.joint, alone)
    p, q, share, how = _checked(p, q, weight, how)
    got, alone = "candidates that go round", "sharded(q, axis_name), without a ring"
    check.require(not how.ring, "q", got, alone)
    check.require(how.tiles is None, "q", "tiles", "points as they are")
    check.require(
        not how.exact, "deterministic", "this divergence", "kl, cross_entropy"
    )
    return answered(ft.partial(_bounded, over=over, how=how), p, q, share)


def tv(
    p,
    q,
    *,
    weight=None,
    joint: bool = False,
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
        joint: refused; it is defined between the distributions of anchors.
        block: as in kl.
        axis_name: as in kl.

    Raises:
        InvalidInput: as kl, and joint=True.

    Example:
        >>> import icon
        >>> float(icon.tv(icon.same([0, 0], [0, 1]), icon.same([0, 1], [0, 1])))
        0.5

    Source: Alshammari et al., Beyond I-Con, 2025.
    """
    return _over_support(_tv, p, q, weight, How(joint, block, axis_name))


def jsd(
    p,
    q,
    *,
    weight=None,
    joint: bool = False,
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
        joint: refused; it is defined between the distributions of anchors.
        block: as in kl.
        axis_name: as in kl.

    Raises:
        InvalidInput: as kl, and joint=True.

    Example:
        >>> import icon
        >>> float(icon.jsd(icon.same([0, 0], [0, 1]), icon.same([1, 1], [0, 1])))
        0.6931471824645996

    Source: Alshammari et al., Beyond I-Con, 2025.
    """
    return _over_support(_jsd, p, q, weight, How(joint, block, axis_name))


def hellinger(
    p,
    q,
    *,
    weight=None,
    joint: bool = False,
    block: int | None = None,
    axis_name: str | tuple[str, ...] | None = None,
):
    """The squared Hellinger distance, at most 1.

    $$1 - \\sum_{j \\in \\mathrm{supp}\\,p_i} \\sqrt{p_{ij}\\,q_{ij}}$$

    Args:
        p: the neighbours that supervise.
        q: the neighbours that are scored, on p's support only.
        weight: as in kl.
        joint: refused; it is defined between the distributions of anchors.
        block: as in kl.
        axis_name: as in kl.

    Raises:
        InvalidInput: as kl, and joint=True.

    Example:
        >>> import icon
        >>> p = icon.same([0, 0], [0, 1])
        >>> float(icon.hellinger(p, p))
        0.0

    Source: Alshammari et al., Beyond I-Con, 2025.
    """
    return _over_support(_hellinger, p, q, weight, How(joint, block, axis_name))


def both_ways(loss: Callable) -> Callable:
    """A loss averaged over both directions: anchors to candidates and back.

    $$\\tfrac12\\left[L(p, q) + L(p^T, q^T)\\right]$$

    Args:
        loss: any of the verbs.

    Raises:
        InvalidInput: p or q cannot be turned round (they hold numbers per anchor).

    Example:
        >>> import icon, jax.numpy as jnp
        >>> ids, image, text = jnp.arange(3), jnp.eye(3), 2 * jnp.eye(3)
        >>> p, q = icon.same(ids, ids), icon.cosine(image, text, temperature=0.07)
        >>> float(icon.both_ways(icon.kl)(p, q)) < 1e-5
        True

    Source: Radford et al., Learning transferable visual models (CLIP), 2021.
    """

    @ft.wraps(loss)
    def both(p, q, **options):
        for name, x in (("p", p), ("q", q)):
            check.answers(name, x, "T")
        if loss in LINEAR and _plain(p) and _plain(q) and _reach(p, q, options):
            return _plain_ways(LINEAR[loss], p, q, **options)
        return (loss(p, q, **options) + loss(p.T, q.T, **options)) / 2

    both.__name__ = f"both_ways({getattr(loss, '__name__', 'loss')})"
    return both


LINEAR = {kl: KL, cross_entropy: CROSS_ENTROPY}


def _plain(q) -> bool:
    """Whether a candidate scores an anchor as the anchor scores it."""
    return getattr(q, "plain", False) and apart(q) is not None


def _reach(p, q, options) -> bool:
    """Whether all anchors of a candidate are here, or will come round."""
    spread_out = options.get("axis_name") or _noted("axis_name", q, p)
    return not exactly() and (not spread_out or bool(_noted("ring", q, p)))


def _plain_ways(coefficients, p, q, *, weight=None, **options):
    p, q, share, how = _checked(p, q, weight, _how(**options))
    n, m = p.shape
    alike = weight is None or n == m
    got = f"one per anchor, of which there are {n} one way and {m} the other"
    check.require(alike, "weight", got, "as many anchors as candidates")
    answer = ft.partial(_both_ways, coefficients=coefficients, how=how)
    return answered(answer, p, q, share)


def _how(joint=False, block=None, axis_name=None) -> How:
    return How(joint, block, axis_name)


# ------------------------------------------------------- to look at


@ft.partial(jax.jit, static_argnames=("block",))
def _per_anchor(p, q, block):
    return each(ft.partial(meet, p, q), p.shape[0], block)


def per_anchor(p, q) -> Numbers:
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
    p, q, _, how = _checked(p, q, None, How())
    got, whole = "candidates that go round", "sharded(q, axis_name), without a ring"
    check.require(not how.ring, "q", got, whole)
    return answered(ft.partial(_per_anchor, block=_plan(p, q, None)), p, q)


def terms(
    p,
    q,
    *,
    weight=None,
    joint: bool = False,
    block: int | None = None,
    axis_name: str | tuple[str, ...] | None = None,
):
    """The two forces apart: (attraction, repulsion), whose sum is the cross-entropy.

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
    how = How(joint, block, axis_name)
    one = ft.partial(_meeting, p=p, q=q, weight=weight, how=how)
    return one(ATTRACTION), one(REPULSION)


@jax.jit
def _dense(p):
    def row(i):
        score, mass = read(p, i, EVERYBODY)
        return jnp.exp(score - jnp.where(mass > -jnp.inf, mass, 0))

    return jax.vmap(row)(jnp.arange(p.shape[0]))


def dense(p) -> Float[Array, "n m"]:
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
    check.answers("p", p, "shape", "score", "log_mass")
    check.require(p.shape[1] is not None, "p", "a continuum", "candidates to list")
    return answered(_dense, p)
