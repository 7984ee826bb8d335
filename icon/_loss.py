"""How p and q meet: the only loss."""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from icon import _checks as check
from icon._numerics import common, instantiated, lse, sqrt, widen
from icon._points import EVERYBODY


LOG_2 = float(np.log(2))
BUDGET = 2**22  # scores that the dense path may hold at once; strips beyond
STRIP = 2**25  # scores that one strip of anchors may hold, at most 512 anchors


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


class Numbers(NamedTuple):
    """What an anchor reports: E_p of both scores, and both log-masses."""

    A: Any  # E_{j~p_i} s^p_ij
    B: Any  # E_{j~p_i} s^q_ij
    N: Any  # log Σ_j exp s^p_ij
    M: Any  # log Σ_j exp s^q_ij


KL = Numbers(A=1, B=-1, N=-1, M=1)
CROSS_ENTROPY = Numbers(A=0, B=-1, N=0, M=1)
ATTRACTION = Numbers(A=0, B=-1, N=0, M=0)
REPULSION = Numbers(A=0, B=0, N=0, M=1)


# ------------------------------------------------------- one anchor


def _read(q, i, at):
    if hasattr(q, "read"):
        return q.read(i, at)
    return q.score(i, at), q.log_mass(i)


def _expect(weight, score):
    """Σ w s. Both factors are guarded: 0 * -inf is nan even where nobody looks.

    Where the score is a number it is still the slope of a weight that is zero.
    """
    weight, score = common(weight, score)
    met = (weight != 0) | jnp.isfinite(score)
    return jnp.sum(jnp.where(met, weight, 0) * jnp.where(met, score, 0))


def _visit(p, i):
    """Who the neighbours are, what each counts, and what p itself says of them."""
    if hasattr(p, "visit"):
        return p.visit(i)
    at, weight = p.support(i)
    return at, weight, *_read(p, i, at)


def _meet(p, q, i) -> Numbers:
    at, weight, score_p, N = _visit(p, i)
    score_q, M = _read(q, i, at)
    return Numbers(_expect(weight, score_p), _expect(weight, score_q), N, M)


def _has_neighbor(N):
    return N != -jnp.inf  # not `>`: a nan must stay in the sum


def _dot(coefficients, numbers):
    """Σ_k c_k x_k over those that count, in the widest of their types."""
    terms = [c * x for c, x in zip(coefficients, numbers, strict=True) if c]
    return ft.reduce(lambda x, y: jnp.add(*common(x, y)), terms)


@dataclasses.dataclass(frozen=True)
class Linear:
    """A divergence that is linear in the four numbers."""

    coefficients: Numbers

    def __call__(self, p, q, i):
        numbers = _meet(p, q, i)
        met = _has_neighbor(numbers.N)
        return jnp.where(met, _dot(self.coefficients, numbers), 0), met


@dataclasses.dataclass(frozen=True)
class Bounded:
    """A divergence that needs q on p's support only: `over` it, from (p_j, q_j)."""

    over: Callable

    def __call__(self, p, q, i):
        at, weight = p.support(i)
        score, M = _read(q, i, at)
        weight, log_q = common(weight, score - jnp.where(M > -jnp.inf, M, 0))
        met = _has_neighbor(p.log_mass(i))
        return jnp.where(met, self.over(weight, log_q), 0), met


# ------------------------------------------------------- all anchors


def _each(one, n: int, block: int | None):
    """One answer per anchor: all at once, or strip after strip, forgetting each."""
    if block is None:
        return jax.vmap(one)(jnp.arange(n))
    said = lax.map(jax.checkpoint(jax.vmap(one)), _strips(n, block)[0])
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n], said)


def _strips(n: int, block: int):
    """The anchors in strips of one length; the last repeats an anchor, not counted."""
    ids = jnp.arange(-(-n // block) * block, dtype=jnp.int32).reshape(-1, block)
    return jnp.minimum(ids, n - 1), ids < n


def _shares(weight, met):
    """Relative weights over the anchors that have a neighbour."""
    weight = jnp.where(met, weight, 0)
    total = jnp.sum(weight)
    return weight / jnp.where(total > 0, total, 1)


def _conditional(coefficients: Numbers, numbers: Numbers, weight):
    """Every anchor its own distribution: Σ_i w_i [(A_i - N_i) - (B_i - M_i)]."""
    share = _shares(_relative(weight, numbers.N), _has_neighbor(numbers.N))
    mean = lambda x: x if jnp.ndim(x) == 0 else _expect(share, x)
    return _dot(coefficients, map(mean, numbers))


def _joint(coefficients: Numbers, numbers: Numbers, weight):
    """One distribution over pairs: Σ_i w_i [(A_i - lse N) - (B_i - lse M)]."""
    A, B, N, M = numbers
    del weight  # w_i is what p's masses say
    met = _has_neighbor(N)
    share = _shares(jnp.exp(N - jnp.where(jnp.any(met), lse(N), 0)), met)
    mean = lambda x: x if jnp.ndim(x) == 0 else _expect(share, x)
    mass = lambda x: x if jnp.ndim(x) == 0 else lse(x)
    value = _dot(coefficients, (mean(A), mean(B), mass(N), mass(M)))
    return jnp.where(jnp.any(met), value, 0)


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
        weight = jnp.exp(N) if joint else _relative(weight, N)
        bulk["B"] = p.expected(q, _shares(weight, _has_neighbor(N)))
    return {name: answer for name, answer in bulk.items() if answer is not None}


def _relative(weight, like):
    """The weights of the anchors; all alike where none are given."""
    return jnp.ones_like(like) if weight is None else weight.astype(like.dtype)


# ------------------------------------------------------- strips of anchors


@dataclasses.dataclass(frozen=True)
class OneSweep:
    """A sum over anchors, each with a distribution of its own.

    A strip knows its own log-masses, so its share of the gradient is taken as it
    passes: nothing n × n is kept, and nothing is computed twice.
    """

    divergence: Callable
    block: Any  # None holds all anchors at once: for a value, not for slopes

    def value(self, p, q, weight):
        value, met = _each(ft.partial(self.divergence, p, q), p.shape[0], self.block)
        return _expect(_shares(weight.astype(value.dtype), met), value)

    def slopes(self, wrt, rebuild, weight):
        def strip(wrt, ids, there):
            value, met = jax.vmap(ft.partial(self.divergence, *rebuild(wrt)))(ids)
            said = value, met & there
            return _expect(jnp.where(there, weight[ids], 0), value), said

        slope, (value, met) = _accumulate(strip, wrt, weight.shape[0], self.block)
        weight = jnp.where(met, weight, 0).astype(value.dtype)
        total = jnp.where(jnp.sum(weight) > 0, jnp.sum(weight), 1)
        loss = jnp.sum(weight * jnp.where(met, value, 0)) / total
        by_weight = jnp.where(met, value - loss, 0) / total
        return loss, jax.tree.map(lambda x: x / total.astype(x.dtype), slope), by_weight


@dataclasses.dataclass(frozen=True)
class TwoSweeps:
    """One distribution over all pairs: its log-mass first, then the gradient."""

    coefficients: Numbers
    block: int

    def value(self, p, q, weight):
        numbers = _each(ft.partial(_meet, p, q), p.shape[0], self.block)
        return _joint(self.coefficients, numbers, weight)

    def slopes(self, wrt, rebuild, weight):
        n = weight.shape[0]
        numbers = _each(ft.partial(_meet, *rebuild(wrt)), n, self.block)
        finish = lambda numbers: _joint(self.coefficients, numbers, weight)
        loss, pull = jax.value_and_grad(finish)(numbers)

        def strip(wrt, ids, there):
            said = jax.vmap(ft.partial(_meet, *rebuild(wrt)))(ids)
            pulled = [jnp.where(there, g[ids], 0) for g in pull]
            return ft.reduce(jnp.add, map(_expect, pulled, said)), ()

        slope, _ = _accumulate(strip, wrt, n, self.block)
        return loss, slope, jnp.zeros_like(weight)


def _accumulate(strip, wrt, n: int, block: int):
    """The gradient of Σ strips in `wrt`, and what each anchor said along the way."""

    def step(slope, at):
        more, said = jax.grad(strip, has_aux=True)(wrt, *at)
        return jax.tree.map(jnp.add, slope, more), said

    slope, said = lax.scan(step, jax.tree.map(jnp.zeros_like, wrt), _strips(n, block))
    return slope, jax.tree.map(lambda x: x.reshape(-1)[:n], said)


@ft.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _streamed(plan, pair, weight):
    return plan.value(*pair, weight)


def _is_float(x):
    return jnp.issubdtype(x.dtype, jnp.floating)


def _widened(tree):
    """Once for all: what half-precision leaves are told by many is summed wide."""
    return jax.tree.map(lambda x: widen(x) if _is_float(x) else x, tree)


def _streamed_fwd(plan, pair, weight):
    """The loss with its gradient in those leaves of p and q that are asked for."""
    is_leaf = lambda x: hasattr(x, "perturbed")
    leaves, shape = jax.tree.flatten(pair, is_leaf=is_leaf)
    asked = [x.perturbed and _is_float(x.value) for x in leaves]
    wrt = [widen(x.value) for x, ask in zip(leaves, asked, strict=True) if ask]

    def rebuild(wrt):
        new = iter(wrt)
        both = zip(leaves, asked, strict=True)
        return jax.tree.unflatten(shape, [next(new) if a else x.value for x, a in both])

    loss, slope, by_weight = plan.slopes(wrt, rebuild, weight.value)
    new = iter(slope)
    slopes = [
        next(new).astype(x.value.dtype) if a else None
        for x, a in zip(leaves, asked, strict=True)
    ]
    return loss, (jax.tree.unflatten(shape, slopes), by_weight)


def _streamed_bwd(plan, slopes, g):
    g = instantiated(g)
    return jax.tree.map(lambda x: g.astype(x.dtype) * x, slopes)


_streamed.defvjp(_streamed_fwd, _streamed_bwd, symbolic_zeros=True)


# ------------------------------------------------------- the verbs


def _plan(p, q, block):
    """How many anchors at once: None is all of them."""
    n, m = p.shape[0], max(x or 1 for x in (p.shape[1], q.shape[1]))
    if block is None and n * m > BUDGET:
        return max(16, min(512, STRIP // m))
    return block


@ft.partial(jax.jit, static_argnames=("coefficients", "joint", "block"))
def _linear(p, q, weight, *, coefficients, joint, block):
    p, q = _widened((p, q))
    block, bulk = _plan(p, q, block), _offered(p, q, weight, joint)
    if block and not {"B", "M"} & bulk.keys():
        weight = jnp.ones(p.shape[0]) if weight is None else weight
        both, each = TwoSweeps(coefficients, block), Linear(coefficients)
        plan = both if joint else OneSweep(each, block)
        return _streamed(plan, (p, q), weight)
    finish = _joint if joint else _conditional
    counts = Numbers(*(c or k == "N" for k, c in coefficients._asdict().items()))
    rest = [k for k, c in counts._asdict().items() if c and k not in bulk]

    def one(i):
        numbers = _meet(p, q, i)._asdict()
        return {k: numbers[k] for k in rest}

    said = _each(one, p.shape[0], block) if rest else {}
    said = dict.fromkeys("ABNM", jnp.zeros(())) | said | bulk
    return finish(coefficients, Numbers(**said), weight)


@ft.partial(jax.jit, static_argnames=("over", "block"))
def _bounded(p, q, weight, *, over, block):
    p, q = _widened((p, q))
    block = _plan(p, q, block)
    weight = jnp.ones(p.shape[0]) if weight is None else weight
    plan = OneSweep(Bounded(over), block)
    return _streamed(plan, (p, q), weight) if block else plan.value(p, q, weight)


def _checked(p, q, weight, joint, block):
    """p, q and the weights, fit for one another."""
    check.answers("p", p, "shape", "support", "score", "log_mass")
    check.answers("q", q, "shape", "score", "log_mass")
    got = f"shapes {p.shape} and {q.shape}"
    check.require(p.shape == q.shape, "q", got, "the anchors and candidates of p")
    check.require(
        not (joint and weight is not None),
        "weight",
        "a weight with joint=True",
        "None: joint takes the weights from p's masses",
    )
    if block is not None:
        check.count("block", block, 1)
    if weight is None:
        return None
    return check.weights("weight", weight, jnp.zeros(()), p.shape[0])


def _meeting(coefficients, p, q, weight, joint, block):
    share = _checked(p, q, weight, joint, block)
    if hasattr(q, "along") and hasattr(p, "prepared"):
        p = p.prepared()
    options = dict(coefficients=coefficients, joint=joint, block=block)
    return _linear(p, q, share, **options)


def kl(p, q, *, weight=None, joint: bool = False, block: int | None = None):
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

    Raises:
        InvalidInput: p and q over different anchors or candidates, a weight together
            with joint=True, negative weights, block < 1.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> z = jnp.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> loss = icon.kl(icon.same([0, 0, 1, 1]), icon.cosine(z, temperature=1.0))
        >>> round(float(loss), 4)
        0.6034

    Source: Alshammari et al., I-Con: a unifying framework for representation learning,
    2025.
    """
    return _meeting(KL, p, q, weight, joint, block)


def cross_entropy(p, q, *, weight=None, joint: bool = False, block: int | None = None):
    """kl without the entropy of p, which is constant unless p learns.

    $$-\\sum_i \\pi_i\\,E_{j \\sim p_i} \\log q_{ij} = \\sum_i \\pi_i (M_i - B_i)$$

    Args:
        p: the neighbours that supervise.
        q: the neighbours that are scored; wide, sharp and reversed ones too.
        weight: as in kl.
        joint: as in kl.
        block: as in kl.

    Raises:
        InvalidInput: as kl.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> p = icon.same([0, 1], [0, 1])
        >>> float(icon.cross_entropy(p, icon.dot(jnp.zeros((2, 3)), jnp.ones((2, 3)))))
        0.6931471824645996

    Source: Alshammari et al., I-Con, 2025.
    """
    return _meeting(CROSS_ENTROPY, p, q, weight, joint, block)


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


def _over_support(over, p, q, weight, joint, block):
    alone = "False: this divergence is between distributions of anchors"
    check.require(not joint, "joint", joint, alone)
    return _bounded(p, q, _checked(p, q, weight, joint, block), over=over, block=block)


def tv(p, q, *, weight=None, joint: bool = False, block: int | None = None):
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

    Raises:
        InvalidInput: as kl, and joint=True.

    Example:
        >>> import icon
        >>> float(icon.tv(icon.same([0, 0], [0, 1]), icon.same([0, 1], [0, 1])))
        0.5

    Source: Alshammari et al., Beyond I-Con, 2025.
    """
    return _over_support(_tv, p, q, weight, joint, block)


def jsd(p, q, *, weight=None, joint: bool = False, block: int | None = None):
    """The Jensen-Shannon divergence, at most log 2.

    $$\\tfrac12 \\mathrm{KL}(p_i \\| m_i) + \\tfrac12 \\mathrm{KL}(q_i \\| m_i), \\quad
      m_i = (p_i + q_i)/2$$

    Args:
        p: the neighbours that supervise.
        q: the neighbours that are scored, on p's support only.
        weight: as in kl.
        joint: refused; it is defined between the distributions of anchors.
        block: as in kl.

    Raises:
        InvalidInput: as kl, and joint=True.

    Example:
        >>> import icon
        >>> float(icon.jsd(icon.same([0, 0], [0, 1]), icon.same([1, 1], [0, 1])))
        0.6931471824645996

    Source: Alshammari et al., Beyond I-Con, 2025.
    """
    return _over_support(_jsd, p, q, weight, joint, block)


def hellinger(p, q, *, weight=None, joint: bool = False, block: int | None = None):
    """The squared Hellinger distance, at most 1.

    $$1 - \\sum_{j \\in \\mathrm{supp}\\,p_i} \\sqrt{p_{ij}\\,q_{ij}}$$

    Args:
        p: the neighbours that supervise.
        q: the neighbours that are scored, on p's support only.
        weight: as in kl.
        joint: refused; it is defined between the distributions of anchors.
        block: as in kl.

    Raises:
        InvalidInput: as kl, and joint=True.

    Example:
        >>> import icon
        >>> p = icon.same([0, 0], [0, 1])
        >>> float(icon.hellinger(p, p))
        0.0

    Source: Alshammari et al., Beyond I-Con, 2025.
    """
    return _over_support(_hellinger, p, q, weight, joint, block)


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
        return (loss(p, q, **options) + loss(p.T, q.T, **options)) / 2

    both.__name__ = f"both_ways({getattr(loss, '__name__', 'loss')})"
    return both


# ------------------------------------------------------- to look at


@ft.partial(jax.jit, static_argnames=("block",))
def _per_anchor(p, q, block):
    return _each(ft.partial(_meet, p, q), p.shape[0], block)


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
    _checked(p, q, None, False, None)
    return _per_anchor(p, q, _plan(p, q, None))


def terms(p, q, *, weight=None, joint: bool = False, block: int | None = None):
    """The two forces apart: (attraction, repulsion), whose sum is the cross-entropy.

    $$\\left(-\\sum_i \\pi_i B_i, \\quad \\sum_i \\pi_i M_i\\right)$$

    Early exaggeration is `12 * attraction + repulsion`.

    Args:
        p: the neighbours that supervise.
        q: the neighbours that are scored.
        weight: as in kl.
        joint: as in kl; the repulsion is then lse M.
        block: as in kl.

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
    apart = ft.partial(_meeting, p=p, q=q, weight=weight, joint=joint, block=block)
    return apart(ATTRACTION), apart(REPULSION)


@jax.jit
def _dense(p):
    def row(i):
        score, mass = _read(p, i, EVERYBODY)
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
    return _dense(p)
