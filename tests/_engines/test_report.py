"""Is a loss read from four numbers of each anchor, and from parts of its candidates?"""

import functools as ft

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter import interpret

import icon
from icon._engines.report import (
    KL,
    Report,
    combined,
    expect,
    joint_weights,
    merged,
    over_anchors,
    over_pairs,
    p_gradient,
    q_gradient,
    report_of,
    total_mass,
)
from icon._neighborhoods.rows import Mask, Scores


INF = np.inf
RNG = np.random.default_rng(0)
P_SCORE, Q_SCORE = RNG.normal(size=(2, 6)).astype(np.float32)
P_SCORE[2] = -INF
MASK = np.array([True, False, True, True, False, False])


def by_formula(weight, p_score, q_score, p_mass):
    expectation = lambda s: sum(w * x for w, x in zip(weight, s, strict=True) if w)
    return Report(
        expectation(p_score),
        expectation(q_score),
        p_mass,
        np.logaddexp.reduce(q_score),
    )


# ------------------------------------------------------- one anchor


def test_a_row_of_scores_reports_its_expectations():
    mass = np.logaddexp.reduce(P_SCORE)
    exact = by_formula(np.exp(P_SCORE - mass), P_SCORE, Q_SCORE, mass)
    found = report_of(Scores(P_SCORE), Q_SCORE)
    chex.assert_trees_all_close(found, exact, rtol=1e-6)
    assert (found.A, found.B, found.N, found.M) == tuple(found)


def test_a_mask_reports_what_its_scores_would():
    scores = np.where(MASK, np.float32(0), -INF)
    found, same = (report_of(row, Q_SCORE) for row in (Mask(MASK), Scores(scores)))
    chex.assert_trees_all_close(found, same, rtol=1e-6)


def test_no_neighbor_is_no_weight_and_no_nan():
    none = np.full(6, -INF, np.float32)
    found = interpret(lambda s: report_of(Scores(s), Q_SCORE), none)
    assert (found.A, found.B, found.N) == (0, 0, -INF)
    gradient = jax.grad(lambda s: report_of(Scores(s), Q_SCORE).q_score)
    assert not interpret(gradient, none).any()


def test_the_gradients_of_a_part_are_those_of_the_whole(x64):
    """By the rule of report_of, by the two functions for tiles, and by differences."""
    p, q, step = jnp.asarray(P_SCORE, float), jnp.asarray(Q_SCORE, float), 1e-6
    g = Report(*jnp.asarray([0.3, -1.2, 0.7, 2.0]))

    @jax.jit
    def total(p, q):
        return sum(x * y for x, y in zip(g, report_of(Scores(p), q), strict=True))

    by_p, by_q = interpret(jax.grad(total, (0, 1)), p, q)
    out = interpret(lambda p, q: report_of(Scores(p), q), p, q)
    for rule, whole in ((p_gradient, by_p), (q_gradient, by_q)):
        part = interpret(rule, Scores(p[1:4]), q[1:4], out, g)
        np.testing.assert_allclose(part, whole[1:4], rtol=1e-10)
    for k, one in enumerate(step * jnp.eye(6)):
        by_differences = (total(p, q + one) - total(p, q - one)) / (2 * step)
        np.testing.assert_allclose(by_q[k], by_differences, rtol=1e-7, atol=1e-9)
        by_differences = (total(p + one, q) - total(p - one, q)) / (2 * step)
        np.testing.assert_allclose(by_p[k], by_differences, rtol=1e-7, atol=1e-9)


@jax.jit
def whole_and_merged(p, q, first):
    of = lambda mask: report_of(Scores(p).where(mask), jnp.where(mask, q, -INF))
    return of(jnp.ones(9, bool)), merged(of(first), of(~first))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 2**9 - 1), st.floats(-50, 50), st.integers(0, 2**20))
def test_the_reports_of_two_parts_are_that_of_the_row(first, shift, seed):
    first = (first >> np.arange(9)) % 2 == 1
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        p, q = jnp.asarray(rng.normal(size=(2, 9)) * 3 + shift)
        p = jnp.where(jnp.asarray(rng.uniform(size=9) < 0.4), -INF, p)
        whole, parts = whole_and_merged(p, q, jnp.asarray(first))
        chex.assert_trees_all_close(parts, whole, rtol=1e-9, atol=1e-9)


def test_zero_times_infinity_is_zero_and_has_the_gradient_of_its_finite_factor():
    weight, score = jnp.array([0.0, 0.5, 0.0]), jnp.array([-INF, 2.0, 3.0])
    value, (by_weight, by_score) = jax.value_and_grad(expect, (0, 1))(weight, score)
    assert value == 1
    assert by_weight.tolist() == [0, 2, 3] and by_score.tolist() == [0, 0.5, 0]


# ------------------------------------------------------- all anchors


REPORTS = Report(*jnp.asarray(RNG.normal(size=(4, 5)), jnp.float32))
LONELY = REPORTS._replace(
    p_score=jnp.zeros(5), q_score=jnp.zeros(5), p_mass=jnp.full(5, -INF)
)


@pytest.mark.slow
def test_a_joint_loss_is_one_distribution_over_pairs():
    """Σ P log(P/Q) over all pairs of rows of scores, which know nothing of anchors."""
    p, q = RNG.normal(size=(2, 4, 7))
    p[0, 3] = p[2, :] = -INF
    P, Q = (np.exp(x) / np.exp(x).sum() for x in (p, q))
    exact = np.sum(np.where(P > 0, P * np.log(np.where(P > 0, P, 1) / Q), 0))
    reports = jax.vmap(lambda p, q: report_of(Scores(p), q))(jnp.float32(p), q)
    found = over_pairs(KL, jax.tree.map(jnp.float32, reports))
    np.testing.assert_allclose(found, exact, rtol=1e-5)


@pytest.mark.slow
def test_without_any_neighbor_a_loss_is_zero_without_a_gradient():
    for over in (over_pairs, ft.partial(over_anchors, weight=None)):
        value, gradient = jax.value_and_grad(lambda r, over=over: over(KL, r))(LONELY)
        assert value == 0
        chex.assert_trees_all_close(gradient, jax.tree.map(jnp.zeros_like, LONELY))


def test_lonely_anchors_are_not_counted():
    some = REPORTS._replace(p_mass=REPORTS.p_mass.at[2:4].set(-INF))
    weight = jnp.array([1.0, 2.0, 100.0, 3.0, 4.0])
    numbers = np.asarray(combined(KL, REPORTS))[[0, 1, 4]]
    found = over_anchors(KL, some, weight)
    np.testing.assert_allclose(found, numbers @ [1, 2, 4] / 7, rtol=1e-5)
    shares = np.exp(np.asarray(REPORTS.p_mass)[[0, 1, 4]])
    found = joint_weights(some.p_mass)
    np.testing.assert_allclose(found[jnp.array([0, 1, 4])], shares / shares.sum(), 1e-5)
    assert not found[2:4].any()


def test_numbers_that_do_not_count_may_be_anything():
    nothing = combined(Report(0, 0, 0, 1), Report(jnp.nan, -INF, jnp.nan, jnp.ones(3)))
    assert nothing.tolist() == [1, 1, 1]


NAMES = "student_t", "graph", "clusters"


@pytest.mark.parametrize("name", NAMES)
def test_the_four_numbers_are_every_loss(x64, name):
    p, q = (zoo.KINDS[name](zoo.OURS, zoo.traced(k, 0.0, jnp.float64)) for k in (0, 1))

    def losses(p, q):
        joint = icon.kl(p, q, joint=True)
        return icon.per_anchor(p, q), icon.kl(p, q), icon.cross_entropy(p, q), joint

    report, kl, cross_entropy, joint = interpret(losses, p, q)
    A, B, N, M = np.stack(report)[:, report.N > -INF]
    agree = ft.partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-13)
    agree(kl, np.mean(A - N - B + M))
    agree(cross_entropy, np.mean(M - B))
    share, lse = np.exp(N) / np.exp(N).sum(), np.logaddexp.reduce
    agree(joint, share @ (A - B) - lse(N) + lse(report.M))


@pytest.mark.slow
def test_masses_beyond_the_range_of_exp_are_added_over_devices():
    mass = jnp.array([-400.0, 300.0, 299.0, -jnp.inf])
    spec = jax.sharding.PartitionSpec
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("i",))
    over = lambda x: total_mass(x, "i")[None]
    found = jax.shard_map(over, mesh=mesh, in_specs=spec("i"), out_specs=spec("i"))
    np.testing.assert_allclose(found(mass)[0], 300 + np.log1p(np.exp(-1)), rtol=1e-6)
    nobody = jnp.full(2, -jnp.inf)
    assert found(nobody)[0] == -jnp.inf
