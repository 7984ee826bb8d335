"""What does an anchor report? Four numbers, from which every loss is read."""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from icon._base.numerics import common, lse, safe_log, softmax
from icon._neighborhoods.points import EVERYBODY


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


def expect(weight, score):
    """Σ w s. Both factors are guarded: 0 * -inf is nan even where nobody looks.

    Where the score is a number it is still the slope of a weight that is zero.
    """
    weight, score = common(weight, score)
    met = (weight != 0) | jnp.isfinite(score)
    return jnp.sum(jnp.where(met, weight, 0) * jnp.where(met, score, 0))


def has_neighbor(N):
    return N != -jnp.inf  # not `>`: a nan must stay in the sum


# ------------------------------------------------------- one anchor, some candidates


def finite(mass):
    """A log-mass to be subtracted: 0 where nobody is there."""
    return jnp.where(mass == -jnp.inf, 0, mass)


def own(tile):
    """What p says of itself on a tile: A and N. Of a tile of bools all count alike."""
    if tile.dtype == bool:
        count = jnp.sum(tile, dtype=jnp.result_type(float))
        return jnp.zeros_like(count), safe_log(count)
    return _mean(softmax(tile), tile), lse(tile)


def share(tile, mass):
    """The probabilities of a tile's candidates among themselves, of this log-mass."""
    return weigh(tile, mass) if tile.dtype == bool else softmax(tile)


def weigh(tile, mass):
    """e^(score - mass): what each candidate of a tile counts."""
    if tile.dtype == bool:
        return jnp.where(tile, jnp.exp(-finite(mass)), 0)
    return jnp.exp(tile - finite(mass))


def _mean(weight, score):
    """Σ w s over those who count."""
    weight, score = common(weight, score)
    return jnp.sum(jnp.where(weight == 0, 0, weight * score))


@jax.custom_jvp
def numbers(tile, score) -> Numbers:
    """The four numbers, from p's tile and q's scores of the same candidates."""
    A, N = own(tile)
    return Numbers(A, _mean(share(tile, N), score), N, lse(score))


@ft.partial(numbers.defjvp, symbolic_zeros=True)
def _numbers_jvp(primals, tangents):
    """The slopes of a log-mass are the probabilities: no guard, nothing is kept."""
    (tile, score), (by_tile, by_score) = primals, tangents
    said = numbers(tile, score)
    weight = share(tile, said.N)
    zero = jnp.zeros_like
    turned = Numbers(*map(zero, said))
    if not isinstance(by_score, SymbolicZero):
        turned = turned._replace(
            B=_mean(weight, by_score),
            M=jnp.sum(softmax(score) * by_score),
        )
    if not isinstance(by_tile, SymbolicZero) and tile.dtype != bool:
        by_A, by_B = of_p(weight, tile, score, said)
        turned = turned._replace(
            A=jnp.sum(by_A * by_tile),
            B=turned.B + jnp.sum(by_B * by_tile.astype(by_B.dtype)),
            N=jnp.sum(weight * by_tile),
        )
    return said, turned


def of_p(weight, tile, score, said: Numbers):
    """How A and B follow p's scores: they move what is averaged, and the average."""
    there = (weight != 0) & (score > -jnp.inf)
    weight_, score = common(weight, score)
    mean = said.B.astype(score.dtype)
    apart = jnp.where(there, score, mean) - mean  # -inf has no slope
    above = jnp.where(there, tile, said.A) - said.A
    return jnp.where(there, weight, 0) * (1 + above), weight_ * apart


def of_q(tile, score, said: Numbers, g: Numbers):
    """How a sum over anchors, Σ g · numbers, follows q's scores of one of them."""
    attraction, repulsion = common(weigh(tile, said.N), weigh(score, said.M))
    kind = attraction.dtype
    return g.B.astype(kind) * attraction + g.M.astype(kind) * repulsion


def of_tile(tile, score, said: Numbers, g: Numbers):
    """How it follows p's."""
    weight = weigh(tile, said.N)
    slopes = (*of_p(weight, tile, score, said), weight)
    felt = zip((g.A, g.B, g.N), slopes, strict=True)
    kind = weight.dtype
    return ft.reduce(jnp.add, [x.astype(kind) * y.astype(kind) for x, y in felt])


def merged(x: Numbers, y: Numbers) -> Numbers:
    """The numbers of two parts of an anchor's candidates, as those of both."""
    N, M = jnp.logaddexp(x.N, y.N), jnp.logaddexp(x.M, y.M)
    shares = jnp.exp(x.N - finite(N)), jnp.exp(y.N - finite(N))
    mean = lambda *values: sum(
        jnp.where(share > 0, share.astype(value.dtype) * value, 0)
        for share, value in zip(shares, values, strict=True)
    )
    return Numbers(mean(x.A, y.A), mean(x.B, y.B), N, M)


# ------------------------------------------------------- one anchor, its neighbours


def apart(q) -> Any:
    """Points of which anchors and candidates are told apart; None of what is none."""
    return q.apart() if hasattr(q, "apart") else None


def read(q, i, at):
    """The scores of i and their log-mass, in one visit where q can."""
    if hasattr(q, "read"):
        return q.read(i, at)
    return q.score(i, at), q.log_mass(i)


def _visit(p, i):
    """Who the neighbours are, what each counts, and what p itself says of them."""
    if hasattr(p, "visit"):
        return p.visit(i)
    at, weight = p.support(i)
    return at, weight, *read(p, i, at)


def meet(p, q, i) -> Numbers:
    """What anchor i reports of p and q."""
    pair = apart(p), apart(q)
    if None not in pair:
        return numbers(pair[0].tile(i), pair[1].score(i, EVERYBODY))
    at, weight, score_p, N = _visit(p, i)
    score_q, M = read(q, i, at)
    return Numbers(expect(weight, score_p), expect(weight, score_q), N, M)


@dataclasses.dataclass(frozen=True)
class Linear:
    """A divergence that is linear in the four numbers."""

    coefficients: Numbers

    def __call__(self, p, q, i):
        numbers = meet(p, q, i)
        met = has_neighbor(numbers.N)
        return jnp.where(met, dot(self.coefficients, numbers), 0), met


@dataclasses.dataclass(frozen=True)
class Bounded:
    """A divergence that needs q on p's support only: `over` it, from (p_j, q_j)."""

    over: Callable

    def __call__(self, p, q, i):
        at, weight = p.support(i)
        score, M = read(q, i, at)
        weight, log_q = common(weight, score - jnp.where(M > -jnp.inf, M, 0))
        met = has_neighbor(p.log_mass(i))
        return jnp.where(met, self.over(weight, log_q), 0), met


# ------------------------------------------------------- all anchors


def dot(coefficients, numbers):
    """Σ_k c_k x_k over those that count, in the widest of their types."""
    terms = [c * x for c, x in zip(coefficients, numbers, strict=True) if c]
    return ft.reduce(lambda x, y: jnp.add(*common(x, y)), terms)


def over_devices(x, axis: str | tuple[str, ...] | None):
    """A sum over the devices of an axis; over this one alone where there is none."""
    return x if axis is None else lax.psum(x, axis)


def shares(weight, met, axis=None):
    """Relative weights over the anchors that have a neighbour."""
    weight = jnp.where(met, weight, 0)
    total = over_devices(jnp.sum(weight), axis)
    return weight / jnp.where(total > 0, total, 1)


def mass(x, axis=None):
    """lse over the anchors of all devices."""
    if axis is None:
        return lse(x)
    peak = lax.pmax(lax.stop_gradient(jnp.max(x)), axis)
    peak = jnp.where(jnp.isfinite(peak), peak, 0)
    return safe_log(lax.psum(jnp.sum(jnp.exp(x - peak)), axis)) + peak


def relative(weight, like):
    """The weights of the anchors; all alike where none are given."""
    return jnp.ones_like(like) if weight is None else weight.astype(like.dtype)


def over_anchors(coefficients: Numbers, numbers: Numbers, weight, axis=None):
    """Every anchor its own distribution: Σ_i w_i [(A_i - N_i) - (B_i - M_i)]."""
    met = has_neighbor(numbers.N)
    share = shares(relative(weight, numbers.N), met, axis)
    mean = lambda x: x if jnp.ndim(x) == 0 else over_devices(expect(share, x), axis)
    return dot(coefficients, map(mean, numbers))


def over_pairs(coefficients: Numbers, numbers: Numbers, weight, axis=None):
    """One distribution over pairs: Σ_i w_i [(A_i - lse N) - (B_i - lse M)]."""
    A, B, N, M = numbers
    del weight  # w_i is what p's masses say
    met = has_neighbor(N)
    anybody = over_devices(jnp.sum(met, dtype=jnp.int32), axis) > 0
    share = shares(jnp.exp(N - jnp.where(anybody, mass(N, axis), 0)), met, axis)
    mean = lambda x: x if jnp.ndim(x) == 0 else over_devices(expect(share, x), axis)
    total = lambda x: x if jnp.ndim(x) == 0 else mass(x, axis)
    value = dot(coefficients, (mean(A), mean(B), total(N), total(M)))
    return jnp.where(anybody, value, 0)
