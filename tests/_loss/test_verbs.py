"""Are the verbs what their formulas say, also where they have little to go by?"""

import functools as ft

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from cases import slow, soon
from interpreter import interpret
from properties import dense_reference as reference
from zoo import FORMULA, OURS

import icon


def build(name, lib, seed):
    data = (zoo.traced if lib is OURS else zoo.exact)(seed, 0.0, jnp.float64)
    return zoo.KINDS[name](lib, data)


def close(got, expected, rtol=1e-10):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=1e-12)


# ------------------------------------------------------- the reference, by definition


def whole_kl(p, q):
    """Σ p log(p/q) over rows of probabilities."""
    return np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / q), 0), -1)


DIVERGENCES = {
    "kl": whole_kl,
    "cross_entropy": lambda p, q: -np.sum(p * np.log(q), -1),
    "tv": lambda p, q: np.abs(p - q).sum(-1) / 2,
    "jsd": lambda p, q: (whole_kl(p, (p + q) / 2) + whole_kl(q, (p + q) / 2)) / 2,
    "hellinger": lambda p, q: np.sum((np.sqrt(p) - np.sqrt(q)) ** 2, -1) / 2,
}


@pytest.mark.parametrize("verb", DIVERGENCES)
@pytest.mark.parametrize("p_name", ["dot, two sets", "same, two sets"])
def test_the_reference_is_the_definition_over_all_candidates(verb, p_name):
    """Sums over p's support are the divergences of whole distributions."""
    p, q = build(p_name, FORMULA, 0), build("scores", FORMULA, 1)
    P, Q = p.probability(), q.probability()
    present = P.any(1)
    exact = DIVERGENCES[verb](P, Q)
    close(getattr(reference, verb)(p, q), exact[present].mean())
    weight = np.arange(1.0, 8.0)
    exact = (exact * weight)[present].sum() / weight[present].sum()
    close(getattr(reference, verb)(p, q, weight=weight), exact)
    assert abs(getattr(reference, verb)(q, q)) < 1e-12 or verb == "cross_entropy"


def test_a_joint_reference_is_one_distribution_over_pairs():
    p, q = build("graph", FORMULA, 0), build("gaussian", FORMULA, 1)
    P, Q = (np.exp(x.score) / np.exp(x.score).sum() for x in (p, q))
    off_diagonal = ~np.eye(len(P), dtype=bool)
    close(reference.kl(p, q, joint=True), whole_kl(P[off_diagonal], Q[off_diagonal]))


# ------------------------------------------------------- to look at


@pytest.mark.parametrize("name", ["same, two sets", "normal", "clusters"])
def test_what_each_anchor_reports_is_its_four_numbers(x64, name):
    found = interpret(icon.per_anchor, *(build(name, OURS, seed) for seed in (0, 1)))
    exact = reference.report(*(build(name, FORMULA, seed) for seed in (0, 1)))
    for got, expected in zip(found, exact, strict=True):
        close(got, expected)


# ------------------------------------------------------- q elsewhere


def test_a_q_elsewhere_is_as_far_as_it_goes():
    p, q = icon.same([0, 0], [0, 1]), icon.same([1, 1], [0, 1])
    verbs = icon.kl, icon.cross_entropy, icon.tv, icon.jsd, icon.hellinger
    found = interpret(lambda: [verb(p, q) for verb in verbs])
    np.testing.assert_allclose(found, [np.inf, np.inf, 1, np.log(2), 1], rtol=1e-6)


@pytest.mark.parametrize("block", [None, slow(2)])
def test_a_q_without_a_neighbor_is_as_far_as_it_goes(block):
    """The first two anchors have neighbours under p, and none under q."""
    p, q = icon.same([0, 0, 1, 1]), icon.same([0, 1, 2, 2])
    verbs = icon.kl, icon.cross_entropy, ft.partial(icon.kl, joint=True)
    verbs = *verbs, icon.tv, icon.jsd
    found = interpret(lambda: [verb(p, q, block=block) for verb in verbs])
    wanted = [np.inf, np.inf, np.inf, 0.5, np.log(2) / 2]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


# ------------------------------------------------------- without any neighbour


VERBS = (
    *(icon.kl, icon.cross_entropy, icon.tv, icon.jsd, icon.hellinger),
    ft.partial(icon.kl, joint=True),
)
ALONE = {
    "points": lambda z: (icon.same(np.arange(8)), icon.student_t(z)),
    "clusters": lambda z: (icon.same(np.arange(8)), icon.clusters(jax.nn.softmax(z))),
    "smoothed": lambda z: (icon.smooth(icon.same(np.arange(8)), 0.2), icon.dot(z)),
    "tiles": lambda z: (icon.same(np.arange(8)), icon.tiled(icon.dot(z), 3, 4)),
}


@pytest.mark.parametrize("name", soon(ALONE, "tiles"))
def test_without_any_neighbor_a_loss_is_zero_without_a_gradient(name):
    tiles = name == "tiles"
    verbs, blocks = (VERBS[:2], (None,)) if tiles else (VERBS, (None, 3))

    def losses(z):
        pair = ALONE[name](z)
        return jnp.stack([verb(*pair, block=b) for verb in verbs for b in blocks])

    z = jnp.asarray(np.random.default_rng(0).normal(size=(8, 4)), jnp.float32)
    values, gradients = interpret(lambda z: (losses(z), jax.jacrev(losses)(z)), z)
    assert not np.any(values) and not np.any(gradients)


# ------------------------------------------------------- of one's own


def chi_square(p, log_q):
    return p**2 * jnp.exp(-log_q) - p


def test_a_divergence_of_ones_own_is_a_verb(x64):
    p, q = build("dot, two sets", OURS, 0), build("scores", OURS, 1)
    P, Q = (
        build(name, FORMULA, k).probability()
        for k, name in enumerate(("dot, two sets", "scores"))
    )
    exact = (P**2 / Q).sum(1) - 1
    verb = icon.divergence(chi_square)
    close(interpret(verb, p, q), exact.mean())
    close(interpret(lambda p, q: verb(p, q, block=3), p, q), exact.mean())
    root = icon.divergence(chi_square, jnp.sqrt)
    weight = np.arange(7.0)
    found = interpret(lambda p, q: root(p, q, weight=weight), p, q)
    close(found, (np.sqrt(exact) * weight).sum() / weight.sum())


def test_a_support_that_lists_twice_is_no_sum_over_neighbors():
    p = icon.smooth(zoo.KNOWN_GRAPH, 0.2, samples=3, key=zoo.KEY)
    q = icon.gaussian(np.eye(7, dtype=np.float32))
    for verb in (icon.tv, icon.divergence(chi_square)):
        with pytest.raises(icon.InvalidInput) as error:
            verb(p, q)
        assert error.value.argument == "p"


# ------------------------------------------------------- a margin


def hinge_by_hand(score, p, m):
    """The best score, others raised by m, less the mean score of neighbours."""
    raised = score + np.where(p > 0, 0, m)
    return raised.max(1) - np.sum(p * np.where(p > 0, score, 0), 1)


def test_a_hinge_is_how_far_neighbors_are_from_leading_by_a_margin(x64):
    z = np.random.default_rng(0).normal(size=(9, 3))
    labels, weight = np.arange(9) % 3, np.arange(9.0)
    same = (labels[:, None] == labels) & ~np.eye(9, dtype=bool)
    apart = np.linalg.norm(z[:, None] - z, axis=-1)
    score = np.where(np.eye(9, dtype=bool), -np.inf, -apart)
    exact = hinge_by_hand(score, same / same.sum(1, keepdims=True), 0.7)
    p, q = icon.same(labels), icon.laplace(z)
    weighed = dict(m=0.7, weight=weight)
    hinges = lambda: [
        *(icon.hinge(p, q, block=block, **weighed) for block in (None, 2)),
        *(icon.hinge(p, q, m=m) for m in (0.0, 0.7)),
    ]
    *found, kept, wanted = interpret(hinges)
    close(found, 2 * [(weight * exact).sum() / weight.sum()])
    assert (exact > 0).any() and kept < wanted


def test_a_hinge_of_a_triplet_is_the_distances_and_the_margin(x64):
    """And so is its gradient: m is only felt where it is not kept."""
    z, listed = jnp.array([[0.0], [1.0], [3.0]]), jnp.array([[1, 2], [0, 2], [1, 0]])
    p = icon.uniform(listed[:, :1])

    def loss(m, z):
        return icon.hinge(p, icon.among(icon.laplace(z), listed), m=m)

    value, (m, z) = interpret(jax.value_and_grad(loss, (0, 1)), jnp.float64(1.5), z)
    close(value, (0 + 0.5 + 0.5) / 3)  # max(0, d+ - d- + m)
    close(m, 2 / 3)  # the first anchor leads by 2
    close(z[:, 0], np.array([0, 1, -1]) / 3)


# ------------------------------------------------------- the other direction, and both


def test_a_reversed_loss_is_of_q_and_p(x64):
    p, q = build("scores", OURS, 0), build("dot, two sets", OURS, 1)
    for loss in (icon.kl, icon.tv, ft.partial(icon.kl, block=3)):
        close(interpret(icon.reverse(loss), p, q), interpret(loss, q, p))
    weighed = ft.partial(icon.reverse(icon.kl), weight=np.arange(7.0))
    close(
        interpret(weighed, p, q),
        interpret(ft.partial(icon.kl, weight=np.arange(7.0)), q, p),
    )
    assert icon.reverse(icon.kl).__name__ == "reverse(kl)"
    assert callable(icon.reverse(ft.partial(icon.kl, joint=True)))  # has no name


def test_both_ways_is_named_after_its_verb():
    assert icon.both_ways(icon.kl).__name__ == "both_ways(kl)"
    assert callable(icon.both_ways(ft.partial(icon.kl, joint=True)))  # has no name


def test_both_ways_weighs_both(x64):
    p, q = icon.same(zoo.IDS, zoo.FINER), build("dot, two sets", OURS, 0)
    q = icon.dot(q.anchors, q.anchors + 1)
    weight = np.arange(1.0, 8.0)
    found = interpret(lambda q: icon.both_ways(icon.kl)(p, q, weight=weight), q)
    one = lambda q: (
        (icon.kl(p, q, weight=weight) + icon.kl(p.T, q.T, weight=weight)) / 2
    )
    close(found, interpret(one, q))


# ------------------------------------------------------- dtypes


HALF = {
    "student_t": icon.student_t,
    "clusters": lambda z: icon.clusters(jax.nn.softmax(z)),
    "smooth": lambda z: icon.smooth(icon.gaussian(z), 0.1),
    "wide": lambda z: icon.wide(icon.dot(z)),
    "scores": lambda z: icon.scores(z @ z.T),
}


@pytest.mark.parametrize("name", soon(HALF, "student_t", "smooth", "scores"))
@pytest.mark.parametrize("half, slack", [slow(jnp.bfloat16, 2e-2), (jnp.float16, 2e-3)])
def test_half_precision_has_wide_sums_and_half_gradients(half, slack, name):
    ids = np.arange(8) // 2
    p = icon.same(ids, ids) if name in ("clusters", "scores") else icon.same(ids)
    blocks = (None,) if name in ("wide", "scores") else (None, 3)
    losses = lambda z: sum(icon.kl(p, HALF[name](z), block=b) for b in blocks)
    z = jnp.asarray(np.random.default_rng(0).normal(size=(8, 4)), half)
    value, gradient = interpret(jax.value_and_grad(losses), z)
    exact, wide = interpret(jax.value_and_grad(losses), z.astype(jnp.float32))
    assert value.dtype == jnp.float32 and gradient.dtype == half
    np.testing.assert_allclose(value, exact, rtol=slack, atol=slack)
    np.testing.assert_allclose(
        np.float32(gradient), wide, atol=4 * slack * np.abs(wide).max()
    )


def dtypes(p_dtype, q_dtype, x64):
    """The dtypes of every loss and its gradients, which are not computed."""
    z = np.random.default_rng(0).normal(size=(6, 2))
    with jax.enable_x64(x64):
        a, b = (jax.ShapeDtypeStruct(z.shape, t) for t in (p_dtype, q_dtype))

        def bernoulli(p, q):
            return icon.kl(icon.bernoulli(p), icon.bernoulli(q), block=4)

        def loss(verb, a, b):
            return verb(icon.gaussian(a), icon.student_t(b))

        both = lambda a, b: [
            jax.value_and_grad(ft.partial(loss, verb), (0, 1))(a, b)
            for verb in (*VERBS, bernoulli)
        ]
        shapes = jax.eval_shape(both, a, b)
        return {tuple(x.dtype.name for x in (v, *g)) for v, g in shapes}


@pytest.mark.slow
def test_each_gradient_has_the_dtype_of_its_points():
    f16, bf16, f32, f64 = jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64
    assert dtypes(bf16, f16, False) == {("float32", "bfloat16", "float16")}
    assert dtypes(f32, bf16, False) == {("float32", "float32", "bfloat16")}
    assert dtypes(f64, f64, True) == {("float64",) * 3}
    assert dtypes(f32, f32, True) == {("float32",) * 3}


# ------------------------------------------------------- traced input


def test_traced_input_is_not_looked_at_and_a_nan_is_not_hidden():
    @jax.jit
    def loss(z, temperature, alpha):
        q = icon.cosine(z, temperature=temperature)
        return icon.kl(icon.smooth(icon.same([0, 0, 1, 1]), alpha), q)

    z = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    assert np.isfinite(loss(z, 0.5, 0.1))
    value, gradient = jax.value_and_grad(loss)(
        jnp.asarray(z).at[1, 0].set(jnp.nan), 0.5, 0.1
    )
    assert np.isnan(value) and np.isnan(gradient).any()
    chex.assert_tree_all_finite(jax.grad(loss)(z, 0.5, 0.1))


# ------------------------------------------------------- one set, or two


Z = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
PAIRS = np.arange(6) // 2


@pytest.mark.parametrize("wrap", [lambda q: q, lambda q: icon.smooth(q, 0.1)])
@pytest.mark.parametrize("verb", [icon.kl, icon.tv, icon.per_anchor])
def test_one_set_against_two_is_refused(verb, wrap):
    one, two = icon.cosine(Z), icon.cosine(Z, Z)
    for p, q in (
        (icon.same(PAIRS), two),
        (icon.same(PAIRS, PAIRS), one),
        (icon.gaussian(Z), two),
    ):
        with pytest.raises(icon.InvalidInput, match=r"same\(ids, ids\)"):
            verb(wrap(p), wrap(q))


def test_whoever_has_no_neighbor_at_all_is_refused_when_built():
    for built in (
        lambda: icon.same(np.arange(6)),
        lambda: icon.same(np.arange(6), np.arange(6, 12)),
        lambda: icon.graph(np.zeros((6, 6))),
        lambda: icon.scores(np.full((6, 6), -np.inf)),
    ):
        with pytest.raises(icon.InvalidInput):
            built()


def test_both_ways_of_a_verb_with_its_options_visits_each_pair_once():
    p, q = icon.same(PAIRS, PAIRS), icon.dot(Z, Z)
    by_name = jax.jit(lambda p, q: icon.both_ways(icon.kl)(p, q, joint=True))
    given = jax.jit(lambda p, q: icon.both_ways(ft.partial(icon.kl, joint=True))(p, q))
    assert str(jax.make_jaxpr(by_name)(p, q)) == str(jax.make_jaxpr(given)(p, q))


# ------------------------------------------------------- a nan stays one


@pytest.mark.parametrize("name", ["kl", slow("cross_entropy")])
@pytest.mark.parametrize("block", [None, slow(4)])
def test_a_nan_in_p_alone_is_in_the_loss(name, block):
    x = jnp.asarray(Z).at[0, 0].set(jnp.nan)
    verb = getattr(icon, name)

    @jax.jit
    def losses(x):
        p, q = icon.gaussian(x), icon.cosine(Z)
        both = icon.both_ways(verb)(icon.gaussian(x, x), icon.dot(Z, Z), block=block)
        return verb(p, q, block=block), verb(p, icon.tiled(q, 4, 4)), both

    assert np.all(np.isnan(losses(x)))


def test_a_nan_is_in_every_entry_of_a_joint_gradient_by_pairs():
    x = jnp.asarray(Z[:, :2]).at[0, 0].set(jnp.nan)
    repulsion = lambda x: icon.interpolated(icon.student_t(x)).joint_log_mass()
    value, gradient = jax.jit(jax.value_and_grad(repulsion))(x)
    assert np.isnan(value) and np.all(np.isnan(gradient))
