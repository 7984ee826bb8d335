"""Are mixtures right at their ends, and what is drawn without bias?"""

import functools as ft

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from cases import slow, soon
from interpreter import interpret

import icon
from icon._neighborhoods import EVERYBODY


N = zoo.N
IDS = np.arange(8) // 2
VERBS = (
    *(icon.kl, icon.cross_entropy, icon.tv, icon.jsd, icon.hellinger),
    ft.partial(icon.kl, joint=True),
)


def embedding():
    return jnp.asarray(np.random.default_rng(0).normal(size=(8, 4)), jnp.float32)


# ------------------------------------------------------- alpha at its ends


SIDES = {
    "p": lambda z, a: (icon.smooth(icon.same(IDS), a), icon.cosine(z)),
    "q": lambda z, a: (icon.same(IDS), icon.smooth(icon.cosine(z), a)),
    "both": lambda z, a: (
        icon.smooth(icon.same(IDS), a),
        icon.smooth(icon.cosine(z), a),
    ),
}


@pytest.mark.parametrize("side", soon(SIDES, "q"))
def test_alpha_at_its_ends_is_finite(side):
    """Value and gradient of every loss, with nothing left of either part."""
    verbs = VERBS if side == "both" else VERBS[::2]

    def losses(z, alpha):
        return jnp.stack([verb(*SIDES[side](z, alpha)) for verb in verbs])

    both = lambda z, a: (losses(z, a), jax.jacrev(losses, (0, 1))(z, a))
    for alpha in (0.0, 1.0):
        chex.assert_tree_all_finite(interpret(both, embedding(), jnp.float32(alpha)))


def test_alpha_of_zero_is_the_neighborhood_itself():
    plain = lambda z: icon.kl(icon.same(IDS), icon.cosine(z))
    smoothed = lambda z: icon.kl(*SIDES["both"](z, 0.0))
    found = interpret(jax.value_and_grad(smoothed), embedding())
    known = interpret(jax.value_and_grad(plain), embedding())
    chex.assert_trees_all_close(found, known, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [slow("same"), "graph"])
def test_the_gradient_in_alpha_up_to_both_ends(x64, name):
    """Of p a cross-entropy is linear: the gradient is the same everywhere."""
    d = zoo.exact(0, 0.0, jnp.float64)
    P = zoo.KINDS[name](zoo.FORMULA, d).probability()
    Q = zoo.KINDS["student_t"](zoo.FORMULA, d).probability() + np.eye(N)
    uniform = (1 - np.eye(N)) / (N - 1)
    p = zoo.KINDS[name](zoo.OURS, zoo.traced(0, 0.0, jnp.float64))
    q = zoo.KINDS["student_t"](zoo.OURS, zoo.traced(0, 0.0, jnp.float64))
    present = P.any(1)
    mean = lambda rows: rows.sum(1)[present].mean()

    def losses(a):
        of_p = lambda block: icon.cross_entropy(icon.smooth(p, a), q, block=block)
        return jnp.stack([of_p(None), of_p(3), icon.kl(p, icon.smooth(q, a))])

    gradients = lambda alphas: jax.vmap(jax.jacrev(losses))(alphas)
    alphas = np.array([0.0, 0.3, 1.0])
    found = interpret(gradients, jnp.asarray(alphas))
    np.testing.assert_allclose(found[:, :2], mean(-(uniform - P) * np.log(Q)), 1e-9)
    for alpha, got in zip(alphas, found[:, 2], strict=True):
        mixed = (1 - alpha) * Q + alpha * uniform + np.eye(N)
        exact = mean(-P * (uniform - Q + np.eye(N)) / mixed)
        np.testing.assert_allclose(got, exact, rtol=1e-9)


# ------------------------------------------------------- mixtures


def test_an_anchor_without_a_neighbor_in_one_part_follows_the_others():
    known = icon.same([0, 0, 1, 2]), icon.same([0, 1, 1, 2])
    found = icon.dense(icon.mix(*known, weights=[1.0, 3.0]))
    exact = [[0, 1, 0, 0], [0.25, 0, 0.75, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(found, exact, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda x: icon.mix(icon.gaussian(x), icon.dot(x), weights=[1.0, 2.0]),
        lambda x: icon.reweigh(icon.scores(x), np.arange(1.0, 5)),
    ],
    ids=["mix", "reweigh"],
)
def test_what_is_made_of_others_keeps_their_dtype(x64, make):
    x = embedding()
    q = make(x)
    assert q.log_mass(0).dtype == q.score(0, EVERYBODY).dtype == x.dtype


@pytest.mark.slow
def test_weights_of_a_mixture_are_relative_and_may_be_zero():
    known = icon.same(IDS), icon.gaussian(np.float32(embedding()))
    one, seven = (icon.dense(icon.mix(*known, weights=[k, 2 * k])) for k in (1.0, 7.0))
    np.testing.assert_allclose(one, seven, rtol=1e-6)
    q = icon.student_t(embedding())

    def loss(weights):
        return icon.kl(icon.mix(known, weights), q)

    value, gradient = jax.value_and_grad(loss)(jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(value, icon.kl(known[0], q), rtol=1e-5)
    chex.assert_tree_all_finite(gradient)


@pytest.mark.slow
def test_a_neighbor_that_two_lists_share_counts_once():
    weights = np.array([[0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0]], float)
    one, two = icon.graph(weights), icon.graph(weights[::-1, ::-1] * (1 - np.eye(4)))
    mixed = icon.mix(one, two, weights=[1.0, 2.0])
    for i in range(4):  # some have one neighbour, of probability 1
        at, weight = map(np.asarray, mixed.support(i))
        assert len(set(at[weight > 0])) == (weight > 0).sum()
        row = np.bincount(at, weight, 4)
        np.testing.assert_allclose(row, icon.dense(mixed)[i], rtol=1e-6)


def test_one_set_and_two_are_not_mixed():
    one, two = icon.same(IDS), icon.same(IDS, IDS)
    with pytest.raises(icon.InvalidInput, match="^neighborhoods: .* one set, and two"):
        icon.mix(one, two, weights=[1, 1])


def test_one_sequence_is_as_good_as_several_arguments():
    parts = icon.same(IDS), icon.student_t(embedding())
    ways = (
        icon.mix(*parts, weights=[1, 2]),
        icon.mix(*parts, [1, 2]),
        icon.mix(list(parts), [1, 2]),
        icon.mix(parts, weights=[1, 2]),
    )
    for way in ways[1:]:
        chex.assert_trees_all_equal(way, ways[0])


# ------------------------------------------------------- draws


def test_samples_of_all_candidates_are_without_bias(x64):
    d = zoo.traced(0, 0.0, jnp.float64)
    graph, q = zoo.KNOWN_GRAPH, icon.student_t(d.x)
    exact = interpret(lambda: icon.cross_entropy(icon.smooth(graph, 0.3), q))

    def drawn(key):
        return icon.cross_entropy(icon.smooth(graph, 0.3, samples=8, key=key), q)

    many = jax.jit(jax.vmap(drawn))(jax.random.split(jax.random.key(0), 400))
    assert abs(many.mean() - exact) < 4 * many.std() / 20 and many.std() > 0


def test_no_anchor_draws_itself(x64):
    p = icon.smooth(zoo.KNOWN_GRAPH, 0.3, samples=40, key=zoo.KEY)
    at, weight = interpret(jax.vmap(p.support), jnp.arange(N))
    for i in range(N - 1):  # the last one is alone
        drawn = set(at[i][weight[i] > 0].tolist())
        assert i not in drawn and len(drawn) == N - 1
    assert not weight[N - 1].any()


# ------------------------------------------------------- classes, and yes or no


def test_a_class_is_the_log_of_its_sum_whatever_its_size():
    score = np.array([[500.0, 501.0, -500.0, -np.inf]], np.float32)
    q = icon.grouped(icon.scores(score), [0, 0, 1, 2], 4)  # the last one is empty
    first = lambda s: icon.grouped(icon.scores(s), [0, 0, 1, 2], 4).score(0, EVERYBODY)
    ask = jax.value_and_grad(lambda s: first(s)[0])
    value, gradient = interpret(ask, jnp.asarray(score))
    np.testing.assert_allclose(value, np.logaddexp(500, 501), rtol=1e-6)
    np.testing.assert_allclose(gradient[0, :2].sum(), 1, rtol=1e-5)
    assert q.score(0, EVERYBODY)[2:].tolist() == [-np.inf, -np.inf]


def test_pairs_that_are_certain_have_a_finite_loss():
    """log σ(±s) of scores that an exponential does not hold."""
    score = jnp.array([[0.0, 300.0], [-300.0, 0.0]])
    p = icon.bernoulli(icon.scores(np.zeros((2, 2), np.float32)))
    loss = lambda s: icon.kl(p, icon.bernoulli(icon.scores(s)))
    value, gradient = jax.value_and_grad(loss)(score)
    np.testing.assert_allclose(value, 150 - np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0, 0.25], [-0.25, 0]], atol=1e-6)


@pytest.mark.slow
def test_odds_of_weights_are_those_of_their_probabilities():
    weight = np.float32([[0, 0.2, 1.0], [0.5, 0, 0.7], [0.1, 0.9, 0]])
    p = icon.odds(icon.graph(weight))
    found = jax.vmap(lambda i: p.score(i, EVERYBODY))(jnp.arange(3))
    with np.errstate(divide="ignore"):
        exact = np.log(weight / (1 - weight))
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------- a list with repetitions


@pytest.mark.parametrize("limit", [lambda q: q, icon.sharp])
def test_a_candidate_that_is_listed_twice_counts_twice(limit, x64):
    z, index = np.float64(embedding()), np.tile([[7, 1, 1, 2]], (7, 1))
    q = limit(icon.among(icon.dot(z[:7], z), index))
    if limit is icon.sharp:  # a maximum counts nothing
        np.testing.assert_allclose(
            q.score(0, jnp.array([1, 3], jnp.int32)), [z[0] @ z[1], -np.inf]
        )
        return
    weights = np.exp(z[:7] @ z[[7, 1, 2]].T) * [1, 2, 1]
    rows, zero = interpret(lambda q: (icon.dense(q), icon.kl(q, q)), q)
    np.testing.assert_allclose(rows.sum(1), 1, rtol=1e-12)
    exact = weights / weights.sum(1, keepdims=True)
    np.testing.assert_allclose(rows[:, [7, 1, 2]], exact, rtol=1e-12)
    assert abs(zero) < 1e-12


@pytest.mark.parametrize("whole", [True, False], ids=["scores", "a graph"])
def test_odds_of_one_weight_above_1_are_refused(whole):
    weights = np.array([[0, 0.5, 0.2], [0.1, 0, 0.3], [0.4, 2.0, 0]])
    p = icon.scores(np.log(weights + 1e-9)) if whole else icon.graph(weights)
    with pytest.raises(icon.InvalidInput, match="^p: .*probabilities, up to 1"):
        icon.odds(p)
    weights[2, 1] = 1.0
    icon.odds(icon.scores(np.log(weights + 1e-9)) if whole else icon.graph(weights))
