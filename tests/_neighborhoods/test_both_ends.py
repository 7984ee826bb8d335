"""Are a graph's edges, listed from both ends, the graph, with the same answers?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import icon
from icon._base.blocks import SMALL
from icon._neighborhoods import from_sparse
from icon._neighborhoods.both_ends import (
    STRIP,
    WIDTH,
    BothEnds,
    filled_up,
    pairwise,
)
from icon._neighborhoods.protocol import EVERYBODY, Neighborhood


N = 60


def directed():
    """A hub that is listed by all, rows of other masses, an anchor without an edge."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.1, 1, (N, N)) * (rng.uniform(size=(N, N)) < 0.1)
    weights[:, 3] = rng.uniform(1, 2, N)
    weights[3] = rng.uniform(0.1, 1, N)
    weights[7] = 0
    np.fill_diagonal(weights, 0)
    return np.float32(weights)


def joint_probabilities(weights):
    return weights / weights.sum()


def conditional_probabilities(weights):
    """π_i p_ij, with π the same for every anchor that has a neighbour."""
    mass = weights.sum(1, keepdims=True)
    return weights / np.where(mass > 0, mass, 1) / (mass > 0).sum()


PROBABILITIES = {True: joint_probabilities, False: conditional_probabilities}


class Along(Neighborhood):
    """A q whose score of a pair is given, summed along the edges it is handed."""

    def __init__(self, score):
        self.given = score

    def along(self, edges):
        return jnp.sum(edges.weight * self.given[edges.anchor[:, None], edges.index])


# ------------------------------------------------------- the edges


@pytest.mark.parametrize("joint", [True, False])
def test_each_edge_is_listed_from_both_ends(joint):
    weights = directed()
    ready = icon.graph(weights).prepared()
    edges = ready.joint_edges if joint else ready.conditional_edges
    anchor, index, weight = map(np.asarray, edges)
    listed = np.zeros((N, N))
    np.add.at(listed, (anchor[:, None], index), weight)
    half = PROBABILITIES[joint](np.float64(weights)) / 2
    np.testing.assert_allclose(listed, half + half.T, rtol=1e-5, atol=1e-12)
    assert listed.sum() == pytest.approx(1, rel=1e-5)


def test_edges_come_in_whole_strips_of_sorted_chunks():
    edges = icon.graph(directed()).prepared().joint_edges
    anchor, index, weight = map(np.asarray, edges)
    assert len(anchor) % STRIP == 0 and (np.diff(anchor) >= 0).all()
    assert index.shape == weight.shape == (len(anchor), WIDTH)
    padded = weight == 0
    assert (
        index[padded] == np.broadcast_to(anchor[:, None], index.shape)[padded]
    ).all()


def test_a_hub_costs_its_edges_and_not_its_length_for_every_anchor():
    n = 3000
    ends = np.arange(1, n), np.zeros(n - 1, int)
    star = sp.coo_array((np.ones(n - 1, np.float32), ends), shape=(n, n))
    p = icon.graph((star + star.T).tocsr())
    edges = p.prepared().joint_edges
    assert p.width == n - 1
    assert edges.index.size < WIDTH * 2 * n + WIDTH * STRIP


def test_a_graph_without_an_edge_has_edges_without_weight():
    ready = from_sparse(sp.csr_array((5, 5)), np.float32, True).prepared()
    for edges in (ready.joint_edges, ready.conditional_edges):
        assert len(edges.anchor) == STRIP and not np.asarray(edges.weight).any()
    score, mass = ready.self_report()
    assert not np.asarray(score).any() and (np.asarray(mass) == -np.inf).all()


# ------------------------------------------------------- its answers for all anchors


def test_its_report_is_that_of_its_anchors():
    weights = np.float64(directed())
    score, mass = icon.graph(directed()).prepared().self_report()
    with np.errstate(divide="ignore"):
        log_mass = np.log(weights.sum(1))
    np.testing.assert_allclose(mass, log_mass, rtol=1e-5, atol=1e-6)
    log = np.log(np.where(weights > 0, weights, 1))
    p = weights / np.where(weights.sum(1) > 0, weights.sum(1), 1)[:, None]
    np.testing.assert_allclose(score, (p * log).sum(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("joint", [True, False])
def test_what_it_expects_is_a_sum_along_its_edges(joint):
    score = np.random.default_rng(1).normal(size=(N, N))
    score = score + score.T
    ready = icon.graph(directed()).prepared()
    exact = np.sum(PROBABILITIES[joint](np.float64(directed())) * score)
    got = ready.expected(Along(jnp.asarray(score, jnp.float32)), None, joint)
    assert got == pytest.approx(exact, rel=1e-5)


def test_without_an_answer_it_expects_nothing():
    ready, score = icon.graph(directed()).prepared(), jnp.zeros((N, N))
    assert ready.expected(Along(score), jnp.ones(N), False) is None
    for joint in (True, False):
        assert ready.expected(icon.student_t(np.ones((N, 2))), None, joint) is None


# ------------------------------------------------------- its answers for each anchor


@pytest.mark.parametrize("i", [0, 3, 7])
def test_it_answers_as_its_graph(i):
    graph = icon.graph(directed())
    ready, ids = graph.prepared(), jnp.array([59, 3, 0])
    assert isinstance(ready, BothEnds)
    assert ready.shape == graph.shape and ready.is_sparse and ready.excludes_self
    for ask in (
        lambda p: p.support(i),
        lambda p: p.visit(i),
        lambda p: p.score(i, ids),
        lambda p: p.score(i, EVERYBODY),
        lambda p: p.read(i, ids),
        lambda p: p.log_mass(i),
        lambda p: p.is_self(i, ids),
        lambda p: p.T,
        lambda p: p.reweighed(np.arange(60.0)),
    ):
        one, two = (jax.tree.leaves(ask(p)) for p in (graph, ready))
        for x, y in zip(one, two, strict=True):
            assert np.array_equal(x, y)
    assert ready.listed(i) == graph.listed(i) == EVERYBODY


# ------------------------------------------------------- when it is worked out


def test_a_graph_is_prepared_once():
    p = icon.graph(directed())
    assert p.prepared() is p.prepared() is p.prepared().prepared()


def test_two_sets_and_what_is_traced_are_not_prepared():
    wide, loops = (
        icon.graph(directed()[:5]),
        icon.graph(directed() + np.eye(N, dtype="f")),
    )
    assert wide.prepared() is wide and loops.prepared() is loops
    seen = []
    jax.jit(lambda p: seen.append(p.prepared() is p))(icon.graph(directed()))
    assert seen == [True]


def test_a_graph_prepared_inside_of_a_jit_outlives_it():
    p = icon.graph(directed())
    jax.jit(lambda x: x + p.prepared().joint_edges.weight[0, 0])(1.0)
    assert not any(
        isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(p.prepared())
    )
    edges = icon.graph(directed()).prepared().joint_edges
    assert np.array_equal(p.prepared().joint_edges.weight, edges.weight)


@pytest.mark.slow
@pytest.mark.parametrize("joint", [True, False])
def test_a_traced_graph_and_a_prepared_one_are_one_loss(joint):
    """Also where q sums along edges: a traced p is asked anchor by anchor."""
    z = np.random.default_rng(2).normal(size=(N, 2)).astype(np.float32)
    p = icon.graph(directed())

    def loss(p, z):
        return icon.kl(p, icon.interpolated(icon.student_t(z)), joint=joint)

    whole = jax.value_and_grad(loss, 1)(p.prepared(), z)
    traced = jax.jit(jax.value_and_grad(loss, 1))(p, z)
    plain = jax.value_and_grad(lambda z: icon.kl(p, icon.student_t(z), joint=joint))(z)
    for got in (whole, traced):
        np.testing.assert_allclose(got[0], plain[0], rtol=5e-6)
        np.testing.assert_allclose(got[1], plain[1], rtol=2e-4, atol=2e-7)


# ------------------------------------------------------- over pairs, filled up


def pairs_of(n=30):
    """Weights that are not symmetric, some anchors without any; and their pairs."""
    rng = np.random.default_rng(4)
    weight = rng.random((n, n)) * (rng.random((n, n)) < 0.3)
    np.fill_diagonal(weight, 0)
    weight[5] = 0
    return weight, pairwise(sp.csr_array(weight), np.float32)


def test_pairs_are_those_of_the_weights_and_of_their_reverse():
    weight, p = pairs_of()
    n, joint = len(weight), (weight + weight.T) / (2 * weight.sum())
    assert p.shape == (SMALL, SMALL) and p.edges.index.shape[0] % STRIP == 0
    rows = [np.exp(p.log_mass(i)) * p.support(i)[1] for i in range(n)]
    np.testing.assert_allclose(np.stack(rows)[:, :n], joint, atol=1e-7)
    assert not np.stack(rows)[:, n:].any()
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(
            p.score(3, np.arange(n)), np.log(joint[3]), rtol=1e-5
        )
    assert (np.asarray(p.p_mass)[n:] == -np.inf).all()


def test_a_divergence_from_pairs_is_that_from_their_graph():
    weight, p = pairs_of()
    z = np.random.default_rng(0).normal(size=(SMALL, 2)).astype(np.float32)
    graph = icon.graph(weight + weight.T)
    expected = icon.kl(graph, icon.student_t(z[:30]), joint=True)
    q = icon.interpolated(icon.student_t(jnp.asarray(z)))
    q = q.moved(jnp.asarray(z), jnp.int32(30))
    np.testing.assert_allclose(icon.kl(p, q, joint=True), expected, rtol=1e-5)


# ------------------------------------------------------- filled up


@pytest.mark.parametrize("joint", [True, False])
def test_anchors_that_fill_up_a_graph_have_no_neighbor(joint):
    weights = directed()
    p = filled_up(icon.graph(weights), sp.csr_array(weights))
    assert p.shape == (SMALL, SMALL) and p.base.width == 64
    mass = np.asarray(p.p_mass)
    assert (mass[N:] == -np.inf).all() and (np.asarray(icon.dense(p))[N:] == 0).all()
    expected = icon.dense(icon.graph(weights))
    np.testing.assert_allclose(icon.dense(p)[:N, :N], expected, rtol=1e-6)
    score = np.random.default_rng(1).normal(size=(SMALL, SMALL))
    score = np.float32(score + score.T)
    exact = np.sum(PROBABILITIES[joint](weights.astype(float)) * score[:N, :N])
    found = p.expected(Along(score), None, joint)
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-6)


def test_graphs_of_about_one_size_have_one_shape():
    chain = [icon.uniform([[(i + 1) % n] for i in range(n)]) for n in (20, 57)]
    one, two = (filled_up(p, sp.csr_array(np.asarray(icon.dense(p)))) for p in chain)
    assert jax.tree.structure(one) == jax.tree.structure(two)
    assert [x.shape for x in jax.tree.leaves(one)] == [
        x.shape for x in jax.tree.leaves(two)
    ]
