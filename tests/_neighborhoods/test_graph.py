"""Is a graph its weights, read by row, and turned round?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import icon
from icon._neighborhoods.graph import from_sparse, to_sparse


RNG = np.random.default_rng


def f32(x):
    return np.asarray(x, np.float32)


WEIGHTS = sp.random_array((9, 9), density=0.4, rng=RNG(0), dtype=float).toarray()
WEIGHTS = f32(WEIGHTS * (1 - np.eye(9)))
WEIGHTS[4] = 0  # an anchor without a neighbour
SPARSE = (sp.csr_array, sp.csr_matrix, sp.coo_array, sp.lil_array, sp.csc_array)


def normalized(w):
    mass = w.sum(1, keepdims=True)
    return w / np.where(mass > 0, mass, 1)


def dense(graph):
    return np.asarray(icon.dense(graph))


def divergence_from_uniform(w):
    """The mean of log 8 - H(p_i) over the anchors with a neighbour."""
    p = normalized(np.float64(w))[w.sum(1) > 0]
    return np.mean(np.log(8) + (p * np.log(np.where(p > 0, p, 1))).sum(1))


@pytest.mark.parametrize("make", (np.asarray, *SPARSE))
def test_a_graph_is_its_weights(make):
    graph = icon.graph(make(WEIGHTS))
    assert graph.shape == (9, 9) and graph.excludes_self and graph.is_sparse
    np.testing.assert_allclose(dense(graph), normalized(WEIGHTS), rtol=1e-6)
    mass = np.exp([graph.log_mass(i) for i in range(9)])
    np.testing.assert_allclose(mass, WEIGHTS.sum(1), rtol=1e-6)
    loss = icon.kl(graph, icon.student_t(jnp.ones((9, 2))))
    assert loss == pytest.approx(divergence_from_uniform(WEIGHTS), rel=1e-5)


@pytest.mark.parametrize("i", [0, 4, 8])
def test_a_score_is_looked_up_by_id(i):
    graph, ids = icon.graph(WEIGHTS), jnp.array([8, 0, 3, 3, 5])
    with np.errstate(divide="ignore"):
        row = np.log(WEIGHTS[i])
    np.testing.assert_allclose(graph.score(i, ids), row[np.asarray(ids)], rtol=1e-6)
    np.testing.assert_allclose(graph.score(i, slice(None)), row, rtol=1e-6)
    np.testing.assert_allclose(graph.score(i, slice(2, 7)), row[2:7], rtol=1e-6)


@pytest.mark.parametrize("i", range(9))
def test_a_visit_is_the_support_the_scores_and_the_log_mass(i):
    graph = icon.graph(WEIGHTS)
    at, weight, score, mass = map(np.asarray, graph.visit(i))
    listed = np.flatnonzero(WEIGHTS[i])
    assert len(at) == graph.width == (WEIGHTS > 0).sum(1).max()
    assert at[: len(listed)].tolist() == listed.tolist()
    assert not weight[len(listed) :].any() and (score[len(listed) :] == -np.inf).all()
    row = normalized(WEIGHTS)[i, listed]
    np.testing.assert_allclose(weight[: len(listed)], row, rtol=1e-6)
    scores = np.log(WEIGHTS[i, listed])
    np.testing.assert_allclose(score[: len(listed)], scores, rtol=1e-6)
    assert mass == graph.log_mass(i)
    for got, part in zip(graph.support(i), (at, weight), strict=True):
        assert np.array_equal(got, part)


def test_a_row_without_an_edge_has_no_mass():
    graph = icon.graph(WEIGHTS)
    assert graph.log_mass(4) == -np.inf and not np.asarray(graph.support(4)[1]).any()


def test_what_is_stored_as_zero_is_listed_and_weighs_nothing():
    stored = sp.csr_array(WEIGHTS)
    stored.data[0] = 0
    graph, exact = icon.graph(stored), stored.toarray()
    np.testing.assert_allclose(dense(graph), normalized(exact), rtol=1e-6)
    assert len(graph.index) == stored.nnz
    loss = icon.kl(graph, icon.student_t(jnp.ones((9, 2))))
    assert loss == pytest.approx(divergence_from_uniform(exact), rel=1e-5)


def test_a_graph_that_is_not_square_or_lists_itself():
    wide = icon.graph(WEIGHTS[:5])
    assert wide.shape == (5, 9) and not wide.excludes_self
    np.testing.assert_allclose(dense(wide), normalized(WEIGHTS[:5]), rtol=1e-6)
    loops = icon.graph(WEIGHTS + np.eye(9, dtype=np.float32))
    assert not loops.excludes_self and dense(loops)[4, 4] == 1
    empty = from_sparse(sp.csr_array((3, 3)), np.float32, True)
    assert empty.excludes_self and not dense(empty).any()
    assert to_sparse(empty).nnz == 0 and empty.T.shape == (3, 3)


def test_duplicates_in_a_format_are_added():
    matrix = sp.coo_array((f32([1, 2, 3]), ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    assert np.exp(icon.graph(matrix).log_mass(0)) == pytest.approx(3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_scores_are_of_single_precision(dtype):
    graph = icon.graph(WEIGHTS.astype(dtype))
    assert graph.logit.dtype == np.float32
    exact = normalized(np.float32(WEIGHTS.astype(dtype)))
    np.testing.assert_allclose(dense(graph), exact, rtol=1e-6)


def test_double_weights_stay_double(x64):
    assert icon.graph(np.float64(WEIGHTS)).logit.dtype == jnp.float64
    assert icon.graph(WEIGHTS).logit.dtype == jnp.float32


def test_there_and_back_on_the_host():
    graph = icon.graph(WEIGHTS)
    np.testing.assert_allclose(to_sparse(graph).toarray(), WEIGHTS, rtol=1e-6)
    again = from_sparse(to_sparse(graph), graph.logit.dtype, True)
    for one, two in zip(*map(jax.tree.leaves, (graph, again)), strict=True):
        assert np.array_equal(one, two)


@pytest.mark.parametrize("rows", [5, 9])
def test_a_graph_turned_round(rows):
    graph = icon.graph(WEIGHTS[:rows])
    exact = normalized(WEIGHTS[:rows].T)
    np.testing.assert_allclose(dense(graph.T), exact, rtol=1e-6)
    assert graph.T.shape == (9, rows)
    assert graph.T.excludes_self is graph.T.T.excludes_self is (rows == 9)
    weights = to_sparse(graph.T.T).toarray()
    np.testing.assert_allclose(weights, WEIGHTS[:rows], rtol=1e-6)


def test_a_traced_graph_is_not_turned_round():
    with pytest.raises(icon.InvalidInput, match="T outside of jit, got a traced graph"):
        jax.jit(lambda p: p.T)(icon.graph(WEIGHTS))


def test_reweighed_by_candidate():
    weight = RNG(1).uniform(0, 2, 9)
    weight[2] = 0
    graph = icon.graph(WEIGHTS).reweighed(weight)
    exact = np.float64(WEIGHTS) * weight
    np.testing.assert_allclose(dense(graph), normalized(exact), rtol=1e-5)
    mass = np.exp([graph.log_mass(i) for i in range(9)])
    np.testing.assert_allclose(mass, exact.sum(1), rtol=1e-5)


def test_a_graph_of_zeros_has_no_neighbor():
    stored = sp.csr_array((np.zeros(2), ([0, 1], [1, 0])), shape=(3, 3))
    for matrix in (np.zeros((3, 3)), stored):
        with pytest.raises(icon.InvalidInput, match="^matrix: expected a neighbour"):
            icon.graph(matrix)
