"""Is the attraction along a listed p that of its anchors, whatever the kernel?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from cases import slow, soon
from pair_sums import (
    FAMILIES,
    Family,
    by_param,
    by_points,
    error,
    hub,
    layout,
    losses,
    sums,
)

import icon
from icon._engines.edges import attraction
from icon._neighborhoods import from_sparse, to_sparse


GRAPHS = {
    "hub": hub,
    "even": lambda: icon.entropic(*icon.knn(layout(60), 9), perplexity=5.0),
    "mutual": lambda: icon.symmetrize(icon.uniform(icon.knn(layout(60), 7)[0])),
    "empty": lambda: from_sparse(sp.csr_array((60, 60)), np.float32, True),
}
PARAMS = {
    "student_t": dict(dof=3.0, scale=0.8),
    "gaussian": dict(scale=0.9),
    "own": dict(wide=0.8),
}


@pytest.mark.parametrize("d", [slow(1), 2, slow(3), slow(4)])
@pytest.mark.parametrize("name", FAMILIES)
def test_it_is_the_sum_over_both_ends_of_every_edge(name, d):
    p, z = hub(), layout(60, d)
    q = icon.interpolated(FAMILIES[name].make(z, **PARAMS[name]))
    total = jax.jit(jax.value_and_grad(attraction, (1, 2)), static_argnums=0)
    value, (by_z, by_params) = total(
        q.engine.profile, z, q.base.params, p.prepared().joint_edges
    )
    weight = to_sparse(p).toarray()
    weight = weight / weight.sum()
    exact = sums(name, z, **PARAMS[name])
    total = np.sum(weight * np.where(weight > 0, exact.score, 0))
    assert value == pytest.approx(total, rel=1e-5)
    gradient = sum(by_points(weight, exact.derivative, exact.difference))
    assert error(by_z, gradient) < 1e-5
    d2 = (exact.difference**2).sum(-1)
    for k in PARAMS[name]:
        by_score = by_param(FAMILIES[name], d2, PARAMS[name], k)
        assert by_params[k] == pytest.approx(np.sum(weight * by_score), rel=1e-4)


def both_losses(q):
    """The points and p -> a loss by rows and a joint one, each with its gradient."""
    rows = jax.value_and_grad(lambda z, p: icon.kl(p, q(z)))
    joint = jax.value_and_grad(lambda z, p: icon.cross_entropy(p, q(z), joint=True))
    return jax.jit(lambda z, p: (rows(z, p), joint(z, p)))


@pytest.mark.parametrize("kind", soon(GRAPHS, "hub", "empty"))
def test_a_loss_of_a_listed_p_is_the_sum_over_its_edges(kind):
    p, z = GRAPHS[kind](), layout(60)
    quick = both_losses(lambda z: icon.interpolated(icon.student_t(z)))
    exact = losses(to_sparse(p).toarray(), sums("student_t", z))
    for (value, gradient), (by_hand, expected) in zip(
        quick(z, p.prepared()), exact, strict=True
    ):
        np.testing.assert_allclose(value, by_hand, rtol=2e-6, atol=2e-6)
        np.testing.assert_allclose(gradient, expected, rtol=2e-4, atol=2e-7)
    unprepared = icon.kl(p, icon.interpolated(icon.student_t(z)))
    np.testing.assert_allclose(unprepared, exact[0][0], rtol=2e-6, atol=2e-6)


@pytest.mark.slow
def test_two_sets_have_no_edges_also_of_as_many_candidates_as_anchors():
    x, y = layout(40), layout(40, seed=1)
    p = icon.entropic(*icon.knn(x, 5, y), perplexity=3.0, candidates=40)
    plain = icon.student_t(x, y)
    loss = icon.kl(p, icon.interpolated(plain))
    np.testing.assert_allclose(loss, icon.kl(p, plain), rtol=1e-5)
    listed = icon.uniform(icon.knn(x, 5)[0]).prepared()
    one, two = (icon.interpolated(icon.student_t(x, y)) for y in (None, x))
    assert listed.expected(one, None, False) is not None
    assert listed.expected(two, None, False) is None


@pytest.mark.slow
def test_weights_that_are_given_are_used():
    p, plain = hub(), icon.student_t(layout(60))
    weight = np.random.default_rng(0).uniform(size=60)
    losses = [icon.kl(p, q, weight=weight) for q in (plain, icon.interpolated(plain))]
    np.testing.assert_allclose(*losses, rtol=1e-6)
    assert abs(losses[0] - icon.kl(p, plain)) > 1e-4


def test_what_a_graph_expects_is_what_its_anchors_report():
    p, z = hub(), layout(60)
    q, ready = icon.interpolated(icon.student_t(z)), p.prepared()
    A, B, N, _ = map(np.asarray, icon.per_anchor(p, icon.student_t(z)))
    present = np.isfinite(N)
    score, mass = map(np.asarray, ready.self_report())
    np.testing.assert_allclose(score[present], A[present], rtol=2e-5)
    np.testing.assert_allclose(mass, N, rtol=1e-5, atol=1e-6)
    share = np.exp(N)[present]
    joint = np.sum(share * B[present]) / np.sum(share)
    assert ready.expected(q, None, True) == pytest.approx(joint, rel=1e-5)
    mean = np.mean(B[present])
    assert ready.expected(q, None, False) == pytest.approx(mean, rel=1e-5)
    assert ready.expected(icon.student_t(z), None, False) is None


def test_a_graph_that_learns_is_not_prepared():
    p, z = hub(), layout(60)
    learn = lambda q: jax.grad(lambda p: icon.kl(p, q), allow_int=True)(p).logit
    expected = learn(icon.student_t(z))
    got = learn(icon.interpolated(icon.student_t(z)))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_a_hub_costs_its_edges_and_not_its_length_for_every_anchor():
    n = 3000
    ends = np.arange(1, n), np.zeros(n - 1, int)
    star = sp.coo_array((np.ones(n - 1, np.float32), ends), shape=(n, n))
    p = icon.graph((star + star.T).tocsr()).prepared()

    def loss(z, p):
        return icon.kl(p, icon.interpolated(icon.student_t(z)), joint=True)

    compiled = jax.jit(jax.grad(loss)).lower(layout(n), p).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 8 * n * n


def compact(a, b):
    """Nothing beyond ten."""
    left = 1 - jnp.sum((a[None] - b) ** 2, 1) / 100
    return jnp.where(left > 0, jnp.log(jnp.where(left > 0, left, 1)), -jnp.inf)


def compact_score(d2):
    return np.where(d2 < 100, np.log(1 - np.where(d2 < 100, d2, 0) / 100), -np.inf)


COMPACT = Family(
    lambda z: icon.points(compact, z),
    compact_score,
    lambda d2: np.where(d2 < 100, -1 / np.where(d2 < 100, 100 - d2, 1), 0),
)


@pytest.mark.slow
def test_a_kernel_that_ends_is_finite_along_edges_that_are_short():
    z = np.concatenate([layout(30, spread=0.3), layout(30, spread=0.3) + 30])
    p = icon.uniform(icon.knn(z, 5)[0])
    quick = both_losses(lambda z: icon.interpolated(COMPACT.make(z)))(z, p.prepared())
    exact = losses(to_sparse(p).toarray(), sums(COMPACT, z))
    for (value, gradient), (by_hand, expected) in zip(quick, exact, strict=True):
        np.testing.assert_allclose(value, by_hand, rtol=1e-4)
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_the_points_have_a_precision_of_their_own(x64):
    p = icon.entropic(*icon.knn(layout(40).astype(np.float64), 9), perplexity=4.0)
    quick = both_losses(lambda z: icon.interpolated(icon.student_t(z)))
    exact = losses(to_sparse(p).toarray(), sums("student_t", layout(40)))
    for dtype, tight in ((jnp.float32, 1e-5), (jnp.float64, 1e-11)):
        both = quick(jnp.asarray(layout(40), dtype), p.prepared())
        for (value, gradient), (by_hand, expected) in zip(both, exact, strict=True):
            np.testing.assert_allclose(value, by_hand, rtol=tight)
            assert gradient.dtype == dtype and error(gradient, expected) < 10 * tight
