"""Is there one loss, the same in strips, in any order, and for every neighbourhood?"""

import dataclasses
import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from interpreter import every_array, interpret

import icon


N = zoo.N
BLOCKS = (1, 7, N, N + 1)
UNEVEN = (7,)  # two strips, the last one filled up
VERBS = {
    "kl": icon.kl,
    "cross_entropy": icon.cross_entropy,
    "tv": icon.tv,
    "jsd": icon.jsd,
    "hellinger": icon.hellinger,
    "joint kl": ft.partial(icon.kl, joint=True),
}
BOUNDED = ("tv", "jsd", "hellinger")


def read(verb, p, q, block=None):
    """Value and gradient, in every float leaf of p and of q."""
    leaves, rebuild = zoo.floats((p, q))
    loss = lambda new: verb(*rebuild(new), block=block)
    return interpret(jax.value_and_grad(loss), leaves)


def told(verb, p, q, **options):
    """The value alone."""
    return interpret(lambda p, q: verb(p, q, **options), p, q)


def close(got, expected, rtol=1e-11):
    value, slopes = got
    np.testing.assert_allclose(value, expected[0], rtol=rtol, atol=rtol)
    for x, y in zip(slopes, expected[1], strict=True):
        size = max(1.0, np.abs(y).max())
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * size)


def agree(x, y):
    np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13)


def finite(loss, *args):
    """Value and gradients, which must be numbers."""
    everything = tuple(range(len(args)))
    value, slopes = interpret(jax.value_and_grad(loss, everything), *args)
    assert np.isfinite(value), value
    for x in jax.tree.leaves(slopes):
        assert np.isfinite(np.asarray(x, np.float32)).all(), x
    return value, slopes


# ------------------------------------------------------- every kind, every verb, strips


def strips_change_nothing(name, verb, blocks):
    p, q = zoo.pair(name)
    whole = read(VERBS[verb], p, q)
    assert np.isfinite(whole[0]) and all(np.isfinite(x).all() for x in whole[1])
    for block in blocks:
        close(read(VERBS[verb], p, q, block), whole)


@pytest.mark.parametrize("name", zoo.ZOO)
def test_strips_change_nothing(x64, name):
    strips_change_nothing(name, "kl", UNEVEN)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", ["student_t", "smooth, graph"])
def test_strips_change_no_verb(x64, name, verb):
    strips_change_nothing(name, verb, BLOCKS)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", zoo.ZOO)
def test_strips_of_any_length_change_no_verb(x64, name, verb):
    strips_change_nothing(name, verb, BLOCKS)


def test_a_weight_is_the_same_in_strips(x64):
    p, q = zoo.pair("student_t")
    weight = jnp.asarray(np.random.default_rng(0).uniform(size=N))

    def said(verb, block):
        loss = lambda w: verb(p, q, weight=w[0], block=block)
        return interpret(jax.value_and_grad(loss), [weight])

    for verb in (icon.kl, icon.jsd):
        for block in BLOCKS:
            close(said(verb, block), said(verb, None))


# ------------------------------------------------------- what makes it a divergence


@pytest.mark.parametrize("name", [x for x in zoo.ZOO if x not in zoo.NO_SUPPORT])
def test_nothing_is_far_from_itself(x64, name):
    p, q = zoo.pair(name)
    slack = 1e-12
    for joint in (False, True):
        assert abs(told(icon.kl, p, p, joint=joint)) <= slack
    if name in zoo.DRAWN or "wide" in name:  # unlucky draws; no distributions
        return
    for joint in (False, True):
        assert told(icon.kl, p, q, joint=joint) >= -slack
    if name not in (*zoo.PAIRS, *zoo.LISTED_PAIRS) and "sharp" not in name:
        for verb in BOUNDED:
            assert told(VERBS[verb], p, q) >= -slack


@pytest.mark.parametrize("name", [x for x in zoo.ZOO if x not in zoo.DRAWN])
def test_the_order_of_the_data_does_not_count(x64, name):
    order = np.random.default_rng(1).permutation(N)
    losses = []
    for way in (None, order):
        p = zoo.ZOO[name](zoo.data(0, way))
        d = zoo.data(1, way)
        q = zoo.partner(name, d) if name in zoo.MOVING else zoo.ZOO[name](d)
        losses.append([told(icon.kl, p, q), told(icon.kl, p, q, joint=True)])
    np.testing.assert_allclose(*losses, rtol=1e-11, atol=1e-13)


# ------------------------------------------------------- against dense formulas


def dense(*sides):
    return [np.asarray(interpret(icon.dense, x), np.float64) for x in sides]


def kl_formula(p, q):
    met = p > 0
    return (p * (np.log(np.where(met, p, 1)) - np.log(np.where(met, q, 1)))).sum(1)


def entropy_formula(p, q):
    return -(p * np.log(np.where(p > 0, q, 1))).sum(1)


def jsd_formula(p, q):
    return (kl_formula(p, (p + q) / 2) + kl_formula(q, (p + q) / 2)) / 2


FORMULAS = {
    "kl": kl_formula,
    "cross_entropy": entropy_formula,
    "tv": lambda p, q: np.maximum(p - q, 0).sum(1),
    "jsd": jsd_formula,
    "hellinger": lambda p, q: 1 - np.sqrt(p * q).sum(1),
}
SUPPORTS = [
    ("graph", "student_t"),
    ("same", "laplace"),
    ("smooth, same", "gaussian, a scale each"),
    ("hard", "smooth, graph"),
    ("entropic", "reweigh"),
    ("smooth, clusters", "dot, two sets"),
    ("same, two sets", "clusters, weighed"),
    ("grouped", "grouped, clusters"),
]


@pytest.mark.parametrize("verb", FORMULAS)
@pytest.mark.parametrize("names", SUPPORTS)
def test_every_verb_is_its_formula(x64, names, verb):
    p, q = zoo.ZOO[names[0]](zoo.data(0)), zoo.ZOO[names[1]](zoo.data(1))
    exact = FORMULAS[verb](*dense(p, q))
    np.testing.assert_allclose(told(VERBS[verb], p, q), exact.mean(), rtol=1e-10)
    weight = np.arange(N) % 3
    got = told(VERBS[verb], p, q, weight=jnp.asarray(weight))
    np.testing.assert_allclose(got, (exact * weight).sum() / weight.sum(), rtol=1e-10)


def share(e):
    return e / e.sum(1, keepdims=True)


def far(d):
    """exp(-|x_i - x_j|² / 2) over everybody else."""
    x = np.asarray(d.x)
    return np.exp(-((x[:, None] - x) ** 2).sum(-1) / 2) * (1 - np.eye(N))


def _alike(d):
    ids = np.asarray(d.ids)
    return ids[:, None] == ids


def taken_together(d):
    return share(far(d)) @ np.eye(3)[np.asarray(d.ids)]


MADE = {
    "reweigh": lambda d: share(far(d) * np.asarray(d.mass)),
    "reweigh, graph": lambda d: share(d.weights * np.asarray(d.mass)),
    "margin": lambda d: share(far(d) * np.where(_alike(d), 1, np.exp(d.number))),
    "smooth, points": lambda d: (
        share(far(d)) * (1 - d.number / 4) + d.number / 4 * (1 - np.eye(N)) / (N - 1)
    ),
    "smooth, graph": lambda d: (
        share(d.weights) * (1 - d.number / 4) + d.number / 4 * (1 - np.eye(N)) / (N - 1)
    ),
    "grouped": taken_together,
    "scores": lambda d: share(np.exp(np.asarray(d.x @ d.y.T) / d.number)),
    "clusters, weighed": lambda d: np.asarray(
        (d.phi / (d.mass @ d.phi)[None]) @ (d.phi * d.mass[:, None]).T
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_of_others_is_its_formula(x64, name):
    d = zoo.data(0)
    agree(dense(zoo.ZOO[name](d))[0], MADE[name](d))


def test_among_a_list_the_others_do_not_count(x64):
    d = zoo.data(0)
    q = zoo.ZOO["among"](d)
    score = np.asarray(
        icon.student_t(d.x).score(0, jnp.asarray(d.listed[0], jnp.int32))
    )
    agree(q.log_mass(0), np.log(np.exp(score).sum()))
    agree(q.support(0)[1], np.exp(score) / np.exp(score).sum())


def test_q_may_leave_p_s_support(x64):
    """Disjoint neighbours are as far as it goes, and nothing is nan."""
    p, q = icon.same([0, 0], [0, 1]), icon.same([1, 1], [0, 1])
    assert icon.kl(p, q) == np.inf
    for verb, most in (("tv", 1), ("jsd", np.log(2)), ("hellinger", 1)):
        np.testing.assert_allclose(VERBS[verb](p, q), most, rtol=1e-12)


def test_a_joint_loss_is_one_distribution_over_pairs(x64):
    d = zoo.data(0)
    for name in ("graph", "gaussian", "smooth, graph"):
        p, q = zoo.ZOO[name](d), icon.student_t(zoo.data(1).x)
        everybody = jnp.arange(N, dtype=jnp.int32)
        mass = np.exp(interpret(jax.vmap(p.log_mass), everybody))
        P = dense(p)[0] * (mass / mass.sum())[:, None]
        score = interpret(jax.vmap(ft.partial(q.score, at=slice(None))), everybody)
        Q = np.exp(score) / np.exp(score).sum()
        exact = kl_formula(P.reshape(1, -1), Q.reshape(1, -1))[0]
        np.testing.assert_allclose(told(icon.kl, p, q, joint=True), exact, rtol=1e-10)


# ------------------------------------------------------- different sizes


def test_more_candidates_than_anchors(x64):
    rng = np.random.default_rng(0)
    a, b = (jnp.asarray(rng.normal(size=s)) for s in ((N, 3), (4, 3)))
    p = icon.smooth(icon.same(np.arange(N) % 4, np.arange(4)), 0.3)
    for q in (icon.student_t(a, b), icon.cosine(a, b), icon.laplace(a, b)):
        exact = kl_formula(*dense(p, q)).mean()
        for block in (None, *BLOCKS):
            got = told(icon.kl, p, q, block=block)
            np.testing.assert_allclose(got, exact, rtol=1e-11)
        turned = told(icon.kl, p.T, q.T)
        np.testing.assert_allclose(turned, kl_formula(*dense(p.T, q.T)).mean())
        both = told(icon.both_ways(icon.kl), p, q)
        np.testing.assert_allclose(both, (turned + exact) / 2, rtol=1e-12)


@pytest.mark.parametrize("verb", VERBS)
def test_p_and_q_over_different_candidates_are_refused(verb):
    x = jnp.ones((4, 2))
    for q in (icon.dot(x, x[:3]), icon.dot(x[:3]), icon.bernoulli(icon.dot(x))):
        with pytest.raises(icon.InvalidInput, match=r"^q: .*\(4, 4\) and \(") as said:
            VERBS[verb](icon.same([0, 0, 1, 1]), q)
        assert said.value.argument == "q"


# ------------------------------------------------------- hard input


def simclr(z, ids=(0, 0, 1, 1, 2, 2, 3, 4), **options):
    return icon.kl(icon.same(np.array(ids)), icon.cosine(z, **options))


def embedding(n=8, d=4):
    return jnp.asarray(np.random.default_rng(0).normal(size=(n, d)), jnp.float32)


@pytest.mark.parametrize("block", [None, 3])
def test_lonely_anchors_are_not_counted(block):
    z = embedding()
    p = icon.same([0, 0, 1, 1, 2, 3, 4, 5])
    value, (slope,) = finite(lambda z: icon.kl(p, icon.student_t(z), block=block), z)
    per = icon.per_anchor(p, icon.student_t(z))
    np.testing.assert_allclose(value, np.mean((per.M - per.B - per.N)[:4]), rtol=1e-6)
    assert np.asarray(slope).any()


KINDS = {
    "points": icon.student_t,
    "cosine": icon.cosine,
    "wide": lambda z: icon.wide(icon.gaussian(z)),
    "sharp": lambda z: icon.sharp(icon.gaussian(z)),
    "smooth": lambda z: icon.smooth(icon.dot(z), 0.1),
    "clusters": lambda z: icon.clusters(jax.nn.softmax(z)),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("block", [None, 3])
@pytest.mark.parametrize("kind", ["points", "clusters"])
def test_if_nobody_has_a_neighbour_the_loss_is_nothing(kind, block, verb):
    p = icon.same(np.arange(8))
    loss = lambda z: VERBS[verb](p, KINDS[kind](z), block=block)
    value, (slope,) = finite(loss, embedding())
    assert value == 0 and not np.asarray(slope).any()


@pytest.mark.parametrize("joint", [False, True])
def test_smoothing_leaves_the_lonely_alone(joint):
    p = icon.smooth(icon.same(np.arange(8)), 0.2)
    loss = lambda z: icon.kl(p, icon.dot(z), joint=joint)
    value, (slope,) = finite(loss, embedding())
    assert value == 0 and not np.asarray(slope).any()


@pytest.mark.parametrize("side", ["p", "q", "both"])
@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_coincident_points(kind, joint, side):
    z = jnp.ones((8, 4))
    ids = icon.same(np.arange(8) // 2) if kind != "clusters" else None
    ids = ids or icon.same(np.arange(8) // 2, np.arange(8) // 2)
    sides = {
        "q": lambda z: (ids, KINDS[kind](z)),
        "p": lambda z: (KINDS[kind](z), icon.clusters(jax.nn.softmax(z))),
        "both": lambda z: (KINDS[kind](z), KINDS[kind](z)),
    }
    finite(lambda z: icon.kl(*sides[side](z), joint=joint), z)


@pytest.mark.parametrize("kind", ["points", "cosine", "wide", "sharp", "smooth"])
def test_rows_of_zeros(kind):
    z = embedding().at[2].set(0).at[5].set(0)
    p = icon.same(np.arange(8) // 2)
    _, (slope,) = finite(lambda z: icon.kl(p, KINDS[kind](z)), z)
    if kind == "cosine":
        assert not np.asarray(slope)[[2, 5]].any() and np.asarray(slope)[[0, 1]].any()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("side", ["p", "q"])
def test_hard_and_empty_clusters(verb, side):
    phi = jnp.eye(3, 4)[np.arange(8) % 3]  # the fourth is empty
    other = icon.same(np.arange(8) % 3, np.arange(8) % 3)
    pairs = {
        "p": lambda phi: (icon.clusters(phi), icon.smooth(other, 0.2)),
        "q": lambda phi: (other, icon.clusters(phi)),
    }
    for block in (None, 3):
        loss = ft.partial(VERBS[verb], block=block)
        finite(lambda phi, loss=loss: loss(*pairs[side](phi)), phi)


def test_a_class_of_one_leaves_the_others_as_they_are():
    z = embedding()
    np.testing.assert_allclose(simclr(z), simclr(z, ids=[5, 5, 7, 7, 1, 1, 2, 9]))


@pytest.mark.parametrize("temperature", [1e-4, 1e-8, 1e-30, 1e30])
def test_any_temperature(temperature):
    z = embedding()
    value, _ = finite(lambda z: simclr(z, temperature=temperature), z)
    cos = np.asarray(icon.cosine(z, temperature=1.0).score(0, slice(None)))
    if temperature > 1:
        np.testing.assert_allclose(value, np.log(7), rtol=1e-6)
    else:
        assert value > (cos[1:].max() - cos[1]) / temperature / 8


@pytest.mark.parametrize("size", [1e-30, 1e-4, 1e4, 1e19, 1e30])
def test_cosine_losses_do_not_see_how_long_a_vector_is(size):
    z = embedding()
    np.testing.assert_allclose(simclr(z * size), simclr(z), rtol=2e-6)
    finite(lambda z: simclr(z), z * size)


def test_a_nan_is_never_hidden():
    z = embedding().at[3, 0].set(jnp.nan)
    value, slope = jax.jit(jax.value_and_grad(simclr))(z)
    assert np.isnan(value) and np.isnan(slope).any()


# ------------------------------------------------------- alpha


IDS = np.arange(8) // 2


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("side", ["p", "q", "both"])
def test_alpha_at_its_ends_is_finite(side, alpha, verb):
    p, q = ("p" in side) or side == "both", ("q" in side) or side == "both"

    def loss(z, alpha):
        one, two = icon.same(IDS), icon.cosine(z, temperature=1.0)
        one = icon.smooth(one, alpha) if p else one
        return VERBS[verb](one, icon.smooth(two, alpha) if q else two)

    finite(loss, embedding(), jnp.float32(alpha))


def test_alpha_of_nothing_is_the_thing_itself():
    plain = lambda z: icon.kl(icon.same(IDS), icon.cosine(z))
    smoothed = lambda z: icon.kl(
        icon.smooth(icon.same(IDS), 0.0), icon.smooth(icon.cosine(z), 0.0)
    )
    value, (slope,) = finite(plain, embedding())
    again, (slopes,) = finite(smoothed, embedding())
    np.testing.assert_allclose(again, value, rtol=1e-6)
    np.testing.assert_allclose(slopes, slope, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kind", ["same", "graph"])
def test_the_slope_in_alpha_of_p(x64, kind, alpha):
    """A cross-entropy is linear in p's alpha: its slope is the same everywhere."""
    d = zoo.data(0)
    p, q = zoo.ZOO[kind](d), icon.student_t(zoo.data(1).x)
    P, Q = dense(p, q)
    uniform = (1 - np.eye(N)) / (N - 1)
    exact = -((uniform - P) * np.log(Q + np.eye(N))).sum(1).mean()
    for block in (None, 7):
        loss = lambda a, b=block: icon.cross_entropy(icon.smooth(p, a), q, block=b)
        slope = interpret(jax.grad(loss), jnp.asarray(alpha))
        np.testing.assert_allclose(slope, exact, rtol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_slope_in_alpha_of_q(x64, alpha):
    d = zoo.data(0)
    p, q = zoo.ZOO["graph"](d), icon.student_t(zoo.data(1).x)
    P, Q = dense(p, q)
    uniform = (1 - np.eye(N)) / (N - 1)
    mixed = (1 - alpha) * Q + alpha * uniform + np.eye(N)
    exact = -(P * (uniform - Q) / mixed).sum(1).mean()
    loss = lambda a: icon.kl(p, icon.smooth(q, a))
    slope = interpret(jax.grad(loss), jnp.asarray(alpha))
    np.testing.assert_allclose(slope, exact, rtol=1e-9)


def debiased(z, ids, temperature, a, b):
    """Debiased SimCLR, as a formula over everybody but oneself."""
    n = len(z)
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    e = np.exp(u @ u.T / temperature) * (1 - np.eye(n))
    others = (1 - np.eye(n)) / (n - 1)
    p = (ids[:, None] == ids) * (1 - np.eye(n))
    p = (1 - a) * p / p.sum(1, keepdims=True) + a * others
    q = (1 - b) * e / e.sum(1, keepdims=True) + b * others
    return kl_formula(p, q + np.eye(n)).mean()


@pytest.mark.parametrize("a, b", [(0.3, 0), (0, 0.3), (0.3, 0.3), (0.6, 0.1)])
def test_debiased_simclr(x64, a, b):
    z = np.random.default_rng(0).normal(size=(8, 4))
    at = ft.partial(debiased, ids=IDS, temperature=0.5, a=a, b=b)

    def loss(z):
        p, q = icon.same(IDS), icon.cosine(z, temperature=0.5)
        return icon.kl(icon.smooth(p, a) if a else p, icon.smooth(q, b) if b else q)

    value, slope = interpret(jax.value_and_grad(loss), jnp.asarray(z))
    np.testing.assert_allclose(value, at(z), rtol=1e-10)
    way = np.random.default_rng(1).normal(size=z.shape)
    numeric = (at(z + 1e-6 * way) - at(z - 1e-6 * way)) / 2e-6
    np.testing.assert_allclose(np.sum(slope * way), numeric, rtol=1e-6)


# ------------------------------------------------------- weights, terms, to look at


def test_weights_are_relative_and_of_those_who_have_a_neighbour(x64):
    d = zoo.data(0)
    q = icon.student_t(d.x)
    p = icon.same([0, 0, 0, 1, 1, 1, 2, 3, 4])
    weight = jnp.asarray(np.random.default_rng(0).uniform(1, 2, N))
    for verb in ("kl", "jsd"):
        loss = lambda w, verb=verb: told(VERBS[verb], p, q, weight=w)
        np.testing.assert_allclose(loss(weight), loss(weight * 7), rtol=1e-12)
        idle = weight.at[6:].set(100.0)  # they are alone: nobody hears them
        np.testing.assert_allclose(loss(weight), loss(idle), rtol=1e-12)
        plain = told(VERBS[verb], p, q)
        np.testing.assert_allclose(loss(jnp.ones(N)), plain, rtol=1e-12)


@pytest.mark.parametrize("block", [None, 7])
@pytest.mark.parametrize("verb", [x for x in VERBS if x != "joint kl"])
def test_the_slope_in_the_weights(x64, verb, block):
    p, q = icon.same([0, 0, 0, 1, 1, 1, 2, 2, 3]), icon.student_t(zoo.data(0).x)
    loss = lambda w: VERBS[verb](p, q, weight=w, block=block)
    weight = np.random.default_rng(0).uniform(1, 2, N)
    slope = interpret(jax.grad(loss), jnp.asarray(weight))
    for i in range(0, N, 2):
        step = 1e-6 * np.eye(N)[i]
        ends = (interpret(loss, jnp.asarray(weight + s)) for s in (step, -step))
        np.testing.assert_allclose(slope[i], -np.diff([*ends])[0] / 2e-6, atol=1e-8)
    assert slope[8] == 0  # alone


@pytest.mark.parametrize("name", ["student_t", "graph", "clusters", "normal"])
def test_the_four_numbers_are_every_loss(x64, name):
    p, q = zoo.pair(name)
    A, B, N_, M = told(icon.per_anchor, p, q)
    agree(told(icon.kl, p, q), np.mean(A - N_ - B + M))
    agree(told(icon.cross_entropy, p, q), np.mean(M - B))
    share = np.exp(N_) / np.exp(N_).sum()
    lse = lambda x: np.log(np.exp(x).sum())
    joint = share @ (A - B) - lse(N_) + lse(M)
    agree(told(icon.kl, p, q, joint=True), joint)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("block", [None, 7])
@pytest.mark.parametrize("name", ["graph", "smooth, same"])
def test_the_two_forces_add_up(x64, name, block, joint):
    p, q = zoo.ZOO[name](zoo.data(0)), icon.student_t(zoo.data(1).x)
    attraction, repulsion = told(icon.terms, p, q, joint=joint, block=block)
    agree(attraction + repulsion, told(icon.cross_entropy, p, q, joint=joint))
    assert attraction > 0
    if not joint:
        weight = jnp.arange(1.0, N + 1)
        apart = told(icon.terms, p, q, weight=weight, block=block)
        agree(sum(apart), told(icon.cross_entropy, p, q, weight=weight))


NORMALISED = (*zoo.ONE_SET, *zoo.TWO_SETS, *zoo.CLASSES)
LIMITS = ("wide", "sharp", "among", "smooth, samples")


@pytest.mark.parametrize("name", NORMALISED)
def test_what_one_looks_at_sums_to_one(x64, name):
    d = zoo.data(0)
    p = zoo.ZOO[name](d)
    (shown,) = dense(p)
    assert shown.shape == (N, p.shape[1])
    if not any(word in name for word in LIMITS):
        np.testing.assert_allclose(shown.sum(1), 1, rtol=1e-12)
    if name in zoo.ONE_SET:
        assert not np.diag(shown).any()


# ------------------------------------------------------- answers that agree


def answers(q, i, at):
    """Everything that a neighbourhood says of an anchor, asked in every way."""
    said = dict(everybody=q.score(i, slice(None)), at=q.score(i, at))
    said["mass"] = q.log_mass(i)
    if hasattr(q, "read"):
        said["read everybody"] = q.read(i, slice(None))
        said["read"] = q.read(i, at)
    if hasattr(q, "support"):
        there, said["weight"] = q.support(i)
        said["met"] = q.score(i, there)
    if hasattr(q, "visit"):
        there, *said["visit"] = q.visit(i)
        said["visited"] = q.score(i, there)
    return said


@pytest.mark.parametrize("name", [x for x in zoo.ZOO if x not in zoo.CONTINUUM])
def test_every_answer_agrees_with_every_other(x64, name):
    q = zoo.ZOO[name](zoo.data(0))
    half = q.shape[1] // 2 if name in zoo.PAIRS | zoo.LISTED_PAIRS else 0
    m = half or q.shape[1]
    shuffled = np.random.default_rng(0).permutation(m)
    for i, at in ((0, [0, m - 1, 0, 1]), (m // 2, shuffled)):
        at = np.asarray(at, np.int32)
        said = interpret(answers, q, jnp.int32(i), jnp.asarray(at))
        listed = np.concatenate([at, at + half]) if half else at
        agree(said["at"], said["everybody"][listed])
        if "read" in said:
            agree(said["read everybody"][0], said["everybody"])
            agree(said["read"][0], said["at"])
            agree([said["read"][1], said["read everybody"][1]], [said["mass"]] * 2)
        if "visit" in said:
            weight, score, mass = said["visit"]
            agree(weight, said["weight"])
            agree(score[weight > 0], said["visited"][weight > 0])
            agree(mass, said["mass"])


# whose weights are the slope of their log-mass, or draws
OTHERWISE = ("wide", "sharp", "samples")


@pytest.mark.parametrize("name", [x for x in zoo.ZOO if x not in zoo.NO_SUPPORT])
def test_what_each_neighbour_counts_is_its_probability(x64, name):
    p = zoo.ZOO[name](zoo.data(0))
    pairs = {"bernoulli": N - 1} | dict.fromkeys(zoo.LISTED_PAIRS, zoo.K)
    total = pairs.get(name, N if name in zoo.PAIRS else 1)  # a coin each
    for i in (0, 5):
        if name in zoo.CONTINUUM:
            agree(np.sum(p.support(i)[1]), 1)
            continue
        said = interpret(answers, p, jnp.int32(i), jnp.zeros(1, jnp.int32))
        weight = said["weight"]
        agree(np.sum(weight), total)
        if not any(word in name for word in OTHERWISE):
            probability = np.exp(said["met"] - said["mass"])
            agree(np.where(weight > 0, probability, 0), weight)


# ------------------------------------------------------- neighbourhoods of one's own


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Plain:
    """Only what the protocol asks for: a Gaussian over everybody else."""

    z: Any

    @property
    def shape(self):
        return self.z.shape[0], self.z.shape[0]

    def support(self, i):
        score = self.score(i, slice(None))
        return slice(None), jnp.exp(score - self.log_mass(i))

    def score(self, i, at):
        far = jnp.sum((self.z[at] - self.z[i][None]) ** 2, 1)
        me = jnp.arange(self.z.shape[0])[at] == jnp.asarray(i, int)
        return jnp.where(me, -jnp.inf, -far / 2)

    def log_mass(self, i):
        return jax.nn.logsumexp(self.score(i, slice(None)))


ASKED: list[str] = []


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Quick(Plain):
    """The same, which also answers for all anchors at once."""

    def _each(self, answer):
        return jax.vmap(answer)(jnp.arange(self.z.shape[0]))

    def expected(self, q, weight, joint):
        ASKED.append("expected")
        masses = self._each(self.log_mass)
        weight = jnp.ones(len(self.z)) if weight is None else weight
        weight = jax.nn.softmax(masses) if joint else weight / jnp.sum(weight)

        def one(i):
            at, w = self.support(i)
            score = q.score(i, at)
            return jnp.sum(jnp.where(w > 0, w, 0) * jnp.where(w > 0, score, 0))

        return jnp.sum(weight * self._each(one))

    def log_masses(self):
        ASKED.append("log_masses")
        return self._each(self.log_mass)

    def joint_log_mass(self):
        ASKED.append("joint_log_mass")
        return jax.nn.logsumexp(self.log_masses())


@pytest.mark.parametrize("side", ["p", "q", "both"])
@pytest.mark.parametrize("verb", VERBS)
def test_four_answers_are_a_neighbourhood(x64, verb, side):
    d, e = zoo.data(0), zoo.data(1)
    own = lambda x, here: Plain(x) if here else icon.gaussian(x)
    p, q = own(d.x, side != "q"), own(e.x, side != "p")
    known = read(VERBS[verb], icon.gaussian(d.x), icon.gaussian(e.x))
    for block in (None, 7):
        value, slopes = read(VERBS[verb], p, q, block)
        np.testing.assert_allclose(value, known[0], rtol=1e-11)
        by_p, by_q = slopes[0], slopes[1 if side != "q" else 2]
        np.testing.assert_allclose(by_p, known[1][0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(by_q, known[1][2], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("block", [None, 7])
def test_answers_for_everybody_are_asked_for_by_name(x64, block, joint):
    d, e = zoo.data(0), zoo.data(1)
    verb = ft.partial(icon.kl, joint=joint)
    known = read(verb, Plain(d.x), Plain(e.x))
    del ASKED[:]
    close(read(verb, Quick(d.x), Quick(e.x), block), known, 1e-10)
    assert set(ASKED) >= {"expected", "joint_log_mass" if joint else "log_masses"}
    close(read(verb, Quick(d.x), Plain(e.x), block), known, 1e-10)
    close(read(verb, Plain(d.x), Quick(e.x), block), known, 1e-10)


def test_an_answer_may_be_declined(x64):
    d, e = zoo.data(0), zoo.data(1)

    class Shy(Plain):
        def expected(self, q, weight, joint):
            return None

    jax.tree_util.register_dataclass(Shy, ["z"], [])
    known = icon.kl(Plain(d.x), Plain(e.x))
    np.testing.assert_allclose(icon.kl(Shy(d.x), Plain(e.x)), known, rtol=1e-12)


# ------------------------------------------------------- what it costs


def infonce(z):
    return icon.kl(icon.same(np.arange(64) // 2), icon.cosine(z))


def compiled(f, *args):
    return jax.jit(f).lower(*args).compile().as_text()


def test_infonce_is_one_product_and_three_with_its_gradient():
    z = embedding(64, 16)
    assert compiled(infonce, z).count(" dot(") == 1
    assert compiled(jax.value_and_grad(infonce), z).count(" dot(") == 3


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("d", [2, 16])
def test_no_array_of_pairs_in_strips(d, joint):
    n, block = 512, 16
    z = jnp.zeros((n, d))
    p = icon.uniform((np.arange(n)[:, None] + np.arange(1, 6)) % n)

    def losses(z, block):
        points = icon.kl(p, icon.student_t(z), joint=joint, block=block)
        smoothed = icon.kl(icon.smooth(p, 0.1), icon.dot(z), joint=joint, block=block)
        return points + smoothed

    def largest(block):
        made = jax.make_jaxpr(jax.grad(losses), static_argnums=1)(z, block)
        return max(np.prod(shape, dtype=int) for shape in every_array(made))

    assert largest(None) >= n * n  # the walk sees it where it is
    assert largest(block) <= n * block * max(d, 5)


COUNTED: list[int] = []


def counted(a, b, temperature):
    COUNTED.append(0)
    return b @ a / temperature


def test_ten_temperatures_are_one_trace():
    z, p = embedding(), icon.same(IDS)
    built = [icon.points(counted, z, temperature=t / 10) for t in range(1, 11)]
    icon.kl(p, built[0])
    icon.kl(p, built[0], block=3)
    del COUNTED[:]
    values = [[icon.kl(p, q, block=b) for b in (None, 3)] for q in built]
    assert not COUNTED and len({float(v[0]) for v in values}) == 10


def test_a_sweep_is_a_loop(x64):
    d = zoo.data(0)
    p = icon.same(d.ids)
    sweeps = {
        "temperature": lambda t: icon.kl(p, icon.cosine(d.x, temperature=t)),
        "dof": lambda t: icon.kl(p, icon.student_t(d.x, dof=t), joint=True),
        "alpha": lambda t: icon.kl(icon.smooth(p, t), icon.smooth(icon.dot(d.x), t)),
        "in strips": lambda t: icon.kl(p, icon.student_t(d.x, dof=t), block=7),
    }
    numbers = jnp.array([0.2, 0.5, 0.9])
    for loss in sweeps.values():
        both = jax.value_and_grad(loss)
        loop = np.array([both(t) for t in numbers])
        swept = np.stack(jax.vmap(both)(numbers), 1)
        np.testing.assert_allclose(swept, loop, rtol=1e-9)


def test_forward_mode_on_the_dense_path(x64):
    d = zoo.data(0)
    loss = lambda x: icon.kl(icon.smooth(icon.same(d.ids), 0.1), icon.student_t(x))
    way = zoo.data(1).x
    value, slope = jax.jvp(loss, (d.x,), (way,))
    np.testing.assert_allclose(slope, jnp.sum(jax.grad(loss)(d.x) * way), rtol=1e-10)
    np.testing.assert_allclose(value, loss(d.x))


@pytest.mark.parametrize("block", [None, 3])
def test_compiled_or_not(block):
    p = icon.smooth(icon.same(IDS), 0.1)
    both = jax.value_and_grad(lambda z: icon.kl(p, icon.student_t(z), block=block))
    z = embedding()
    value, slope = both(z)
    for other in (jax.jit(both)(z), [x[0] for x in jax.vmap(both)(z[None])]):
        np.testing.assert_allclose(other[0], value, rtol=1e-6)
        np.testing.assert_allclose(other[1], slope, atol=1e-6)
    with jax.disable_jit():
        plain = both(z)
    np.testing.assert_allclose(plain[0], value, rtol=1e-6)
    np.testing.assert_allclose(plain[1], slope, atol=1e-6)


# ------------------------------------------------------- number formats


HALF = {
    "cosine": icon.cosine,
    "student_t": icon.student_t,
    "dot": icon.dot,
    "laplace": icon.laplace,
    "clusters": lambda z: icon.clusters(jax.nn.softmax(z)),
    "smooth": lambda z: icon.smooth(icon.gaussian(z), 0.1),
    "scores": lambda z: icon.scores(z @ z.T),
    "wide": lambda z: icon.wide(icon.dot(z)),
}


@pytest.mark.parametrize("block", [None, 3])
@pytest.mark.parametrize("kind", HALF)
@pytest.mark.parametrize("half, slack", [(jnp.bfloat16, 2e-2), (jnp.float16, 2e-3)])
def test_half_precision(half, slack, kind, block):
    two = kind in ("clusters", "scores")
    p = icon.same(IDS, IDS) if two else icon.same(IDS)
    loss = lambda z: icon.kl(p, HALF[kind](z), block=block)
    z = embedding().astype(half)
    value, (slope,) = finite(loss, z)
    wide = z.astype(jnp.float32)
    exact, exact_slope = interpret(jax.value_and_grad(loss), wide)
    assert value.dtype == jnp.float32 and slope.dtype == half
    np.testing.assert_allclose(value, exact, rtol=slack, atol=slack)
    size = np.abs(exact_slope).max()
    np.testing.assert_allclose(np.float32(slope), exact_slope, atol=4 * slack * size)


def test_half_precision_on_both_sides():
    z = embedding().astype(jnp.bfloat16)
    other = lambda z: z.astype(jnp.float16)
    for verb in VERBS.values():
        loss = lambda z, w, verb=verb: verb(icon.gaussian(z), icon.student_t(w))
        finite(loss, z, z * 2)
        finite(loss, z, other(z))


def test_double_precision_stays_double(x64):
    d = zoo.data(0)
    for name in ("student_t", "cosine", "clusters", "graph", "smooth, same", "normal"):
        p, q = zoo.pair(name)
        assert told(icon.kl, p, q).dtype == jnp.float64
    loss = lambda x: icon.kl(icon.same(d.ids), icon.cosine(x))
    single = loss(d.x.astype(jnp.float32))
    np.testing.assert_allclose(single, loss(d.x), rtol=1e-5)


# ------------------------------------------------------- samples


def test_samples_of_everybody_are_without_bias(x64):
    d = zoo.data(0)
    graph, q = icon.graph(d.weights), icon.student_t(d.x)
    exact = icon.cross_entropy(icon.smooth(graph, 0.3), q)
    drawn = lambda key: icon.cross_entropy(
        icon.smooth(graph, 0.3, samples=8, key=key), q
    )
    many = jax.vmap(drawn)(jax.random.split(jax.random.key(0), 400))
    assert abs(many.mean() - exact) < 4 * many.std() / 20 and many.std() > 0


def test_nobody_draws_itself(x64):
    p = zoo.ZOO["smooth, samples"](zoo.data(0))
    for i in range(N):
        at, weight = p.support(i)
        assert i not in np.asarray(at)[np.asarray(weight) > 0]
