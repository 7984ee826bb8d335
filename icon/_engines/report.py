"""What does an anchor report? Four numbers, from which every loss is read."""

import functools as ft
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from icon._base.numerics import common, lse, safe_log, softmax
from icon._neighborhoods import EVERYBODY, finite, weighted_sum


class Report(NamedTuple):
    """What an anchor reports: E_p of both scores, and both log-masses.

    The formulas write A, B, N and M; so may whoever reads a report.
    """

    p_score: Any  # A_i = E_{j~p_i} s^p_ij
    q_score: Any  # B_i = E_{j~p_i} s^q_ij
    p_mass: Any  # N_i = log Σ_j exp s^p_ij
    q_mass: Any  # M_i = log Σ_j exp s^q_ij

    A = property(lambda self: self.p_score)
    B = property(lambda self: self.q_score)
    N = property(lambda self: self.p_mass)
    M = property(lambda self: self.q_mass)


KL = Report(p_score=1, q_score=-1, p_mass=-1, q_mass=1)
CROSS_ENTROPY = Report(p_score=0, q_score=-1, p_mass=0, q_mass=1)
ATTRACTION = Report(p_score=0, q_score=-1, p_mass=0, q_mass=0)
REPULSION = Report(p_score=0, q_score=0, p_mass=0, q_mass=1)


def expect(weight, score):
    """Σ w s. Both factors are guarded: 0 · -inf is nan, also in an unselected branch.

    A finite score stays the gradient of a weight that is zero.
    """
    weight, score = common(weight, score)
    valid = (weight != 0) | jnp.isfinite(score)
    return jnp.sum(jnp.where(valid, weight, 0) * jnp.where(valid, score, 0))


def has_neighbor(p_mass):
    return p_mass != -jnp.inf  # not `>`: a nan must stay in the sum


# ------------------------------------------------------- one anchor


def report(p, q, i) -> Report:
    """What anchor i reports of p and q."""
    points = p.as_points(), q.as_points()
    if None not in points:
        return report_of(points[0].row(i), points[1].score(i, EVERYBODY))
    at, weight, p_score, p_mass = p.visit(i)
    q_score, q_mass = q.read(i, at)
    return Report(expect(weight, p_score), expect(weight, q_score), p_mass, q_mass)


# With w_j = e^(s^p_j - N) and u_j = e^(s^q_j - M):
#     dA = Σ_j w_j (1 + s^p_j - A) ds^p_j        dN = Σ_j w_j ds^p_j
#     dB = Σ_j w_j ds^q_j + w_j (s^q_j - B) ds^p_j       dM = Σ_j u_j ds^q_j
# Derivatives of a log-mass are probabilities: no guard, and no residual to keep.


@jax.custom_jvp
def report_of(row, score) -> Report:
    """The report of one anchor: p's row, and q's scores of the same candidates."""
    p_score, p_mass = row.self_report()
    q_score = weighted_sum(row.probability(p_mass), score)
    return Report(p_score, q_score, p_mass, lse(score))


@ft.partial(report_of.defjvp, symbolic_zeros=True)
def _report_of_jvp(primals, tangents):
    (row, score), (row_tangent, q_tangent) = primals, tangents
    out = report_of(row, score)
    weight = row.probability(out.p_mass)
    tangent = Report(*map(jnp.zeros_like, out))
    if not isinstance(q_tangent, SymbolicZero):
        tangent = tangent._replace(
            q_score=weighted_sum(weight, q_tangent),
            q_mass=jnp.sum(softmax(score) * q_tangent),
        )
    p_tangent = row_tangent.learned()
    if p_tangent is not None and not isinstance(p_tangent, SymbolicZero):
        dA, dB = _along_p(weight, row.learned(), score, out)
        tangent = tangent._replace(
            p_score=jnp.sum(dA * p_tangent),
            q_score=tangent.q_score + jnp.sum(dB * p_tangent.astype(dB.dtype)),
            p_mass=jnp.sum(weight * p_tangent),
        )
    return out, tangent


def _along_p(weight, p_score, score, out: Report):
    """∂A/∂s^p_j = w_j (1 + s^p_j - A) and ∂B/∂s^p_j = w_j (s^q_j - B)."""
    valid = (weight != 0) & (score != -jnp.inf)
    weight_, score = common(weight, score)
    mean = finite(out.q_score).astype(score.dtype)
    beyond = jnp.where(valid, score, mean) - mean  # -inf has no gradient
    above = jnp.where(valid, p_score, out.p_score) - out.p_score
    return jnp.where(valid, weight, 0) * (1 + above), weight_ * beyond


# ------------------------------------------------------- part of an anchor's candidates


def q_gradient(row, score, out: Report, g: Report):
    """∂(Σ_k g_k report_k) / ∂s^q_j = g_B w_j + g_M u_j, of some candidates."""
    attraction, repulsion = common(
        row.share(out.p_mass), jnp.exp(score - finite(out.q_mass))
    )
    dtype = attraction.dtype
    return g.q_score.astype(dtype) * attraction + g.q_mass.astype(dtype) * repulsion


def p_gradient(row, score, out: Report, g: Report):
    """∂(Σ_k g_k report_k) / ∂s^p_j = g_A ∂A + g_B ∂B + g_N w_j, of some candidates."""
    weight = row.share(out.p_mass)
    gradients = (*_along_p(weight, row.learned(), score, out), weight)
    pairs = zip((g.p_score, g.q_score, g.p_mass), gradients, strict=True)
    terms = [x.astype(weight.dtype) * y.astype(weight.dtype) for x, y in pairs]
    return ft.reduce(jnp.add, terms)


def merged(x: Report, y: Report) -> Report:
    """The reports on two parts of an anchor's candidates, as the report on both."""
    p_mass = jnp.logaddexp(x.p_mass, y.p_mass)
    shares = jnp.exp(x.p_mass - finite(p_mass)), jnp.exp(y.p_mass - finite(p_mass))
    mean = lambda *values: sum(
        jnp.where(share != 0, share.astype(value.dtype) * value, 0)
        for share, value in zip(shares, values, strict=True)
    )
    return Report(
        mean(x.p_score, y.p_score),
        mean(x.q_score, y.q_score),
        p_mass,
        jnp.logaddexp(x.q_mass, y.q_mass),
    )


# ------------------------------------------------------- all anchors


def combined(coefficients: Report, report: Report):
    """Σ_k c_k x_k over the numbers that count, in the widest of their dtypes.

    A q without a neighbour has B = M = -inf: it is infinitely far, by B alone.
    """
    if coefficients.q_score:
        report = report._replace(q_mass=finite(report.q_mass))
    terms = [c * x for c, x in zip(coefficients, report, strict=True) if c]
    return ft.reduce(lambda x, y: jnp.add(*common(x, y)), terms)


def over_devices(x, axis: str | tuple[str, ...] | None):
    """A sum over the devices of an axis; over this one alone where there is none."""
    return x if axis is None else lax.psum(x, axis)


def anchor_weights(weight, p_mass, axis=None):
    """π_i: relative weights of the anchors that have a neighbour, summing to one."""
    weight = jnp.ones_like(p_mass) if weight is None else weight.astype(p_mass.dtype)
    return _normalized(weight, has_neighbor(p_mass), axis)


def _normalized(weight, mask, axis):
    weight = jnp.where(mask, weight, 0)
    total = over_devices(jnp.sum(weight), axis)
    return weight / jnp.where(total > 0, total, 1)


def joint_weights(p_mass, axis=None):
    """π_i = softmax(N)_i over the anchors of all devices."""
    mask = has_neighbor(p_mass)
    any_neighbor = over_devices(jnp.sum(mask, dtype=jnp.int32), axis) > 0
    total = jnp.where(any_neighbor, total_mass(p_mass, axis), 0)
    return _normalized(jnp.exp(p_mass - total), mask, axis)


def total_mass(log_mass, axis=None):
    """logsumexp over the anchors of all devices."""
    if axis is None:
        return lse(log_mass)
    peak = lax.pmax(lax.stop_gradient(jnp.max(log_mass)), axis)
    peak = jnp.where(jnp.isfinite(peak), peak, 0)
    return safe_log(lax.psum(jnp.sum(jnp.exp(log_mass - peak)), axis)) + peak


def _mean(weight, axis):
    """The mean over anchors of a vector; what is one number already is that mean."""
    return lambda x: x if jnp.ndim(x) == 0 else over_devices(expect(weight, x), axis)


def over_anchors(coefficients: Report, report: Report, weight, axis=None):
    """Every anchor its own distribution: Σ_i π_i [(A_i - N_i) - (B_i - M_i)]."""
    mean = _mean(anchor_weights(weight, report.p_mass, axis), axis)
    return combined(coefficients, Report(*map(mean, report)))


def over_pairs(coefficients: Report, report: Report, axis=None):
    """One distribution over pairs: Σ_i π_i [(A_i - lse N) - (B_i - lse M)]."""
    A, B, N, M = report
    mean = _mean(joint_weights(N, axis), axis)
    total = lambda x: x if jnp.ndim(x) == 0 else total_mass(x, axis)
    value = combined(coefficients, Report(mean(A), mean(B), total(N), total(M)))
    count = over_devices(jnp.sum(has_neighbor(N), dtype=jnp.int32), axis)
    return jnp.where(count > 0, value, 0)
