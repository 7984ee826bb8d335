"""Is a graph made of a graph what the formula says?"""

import jax
import numpy as np
import pytest
import scipy.sparse as sp

import icon
from icon._neighborhoods.graph import to_sparse


RNG = np.random.default_rng


def f32(x):
    return np.asarray(x, np.float32)


WEIGHTS = sp.random_array((9, 9), density=0.4, rng=RNG(0), dtype=float).toarray()
WEIGHTS = f32(WEIGHTS * (1 - np.eye(9)))
WEIGHTS[4] = 0  # an anchor without a neighbour


def normalized(w):
    mass = w.sum(1, keepdims=True)
    return w / np.where(mass > 0, mass, 1)


def dense(graph):
    return np.asarray(icon.dense(graph))


# ------------------------------------------------------- an edge and its reverse


COMBINE = {
    "mean": ({}, lambda a, b: (a + b) / 2),
    "maximum": (dict(combine=np.maximum), np.maximum),
    "union": (dict(combine=icon.union), lambda a, b: a + b - a * b),
    "minimum": (dict(combine=np.minimum), np.minimum),
}


@pytest.mark.parametrize("how", COMBINE)
def test_symmetrize(how):
    options, formula = COMBINE[how]
    graph = icon.symmetrize(icon.graph(WEIGHTS), **options)
    exact = formula(WEIGHTS, WEIGHTS.T)
    weights = to_sparse(graph).toarray()
    np.testing.assert_allclose(weights, exact, rtol=1e-5, atol=1e-7)
    mass = np.exp([[graph.log_mass(i)] for i in range(9)])
    np.testing.assert_allclose(dense(graph) * mass, exact, rtol=1e-5, atol=1e-7)
    assert graph.excludes_self and graph.logit.dtype == np.float32


def test_a_symmetric_graph_stays_as_it_is():
    once = icon.symmetrize(icon.graph(WEIGHTS))
    twice = icon.symmetrize(once)
    assert np.array_equal(once.index, twice.index)
    np.testing.assert_allclose(once.logit, twice.logit, rtol=1e-5, atol=1e-6)


def test_double_weights_are_combined_in_double(x64):
    weights = np.float64(WEIGHTS) / 3
    graph = icon.symmetrize(icon.graph(weights))
    assert graph.logit.dtype == np.float64
    exact = (weights + weights.T) / 2
    np.testing.assert_allclose(to_sparse(graph).toarray(), exact, rtol=1e-14)


@pytest.mark.parametrize("made", [icon.symmetrize, lambda p: icon.propagate(p, 1)])
def test_a_prepared_graph_is_read_as_the_graph(made):
    graph = icon.graph(WEIGHTS)
    one, two = (jax.tree.leaves(made(p)) for p in (graph, graph.prepared()))
    for x, y in zip(one, two, strict=True):
        assert np.array_equal(x, y)


@pytest.mark.parametrize("made", [icon.symmetrize, lambda p: icon.propagate(p, 1)])
def test_a_traced_graph_is_refused(made):
    with pytest.raises(icon.InvalidInput, match="^graph: .*got a traced graph"):
        jax.jit(made)(icon.graph(WEIGHTS))


# ------------------------------------------------------- propagation


def walks(w, steps):
    step = normalized(np.float64(w))
    powers = [np.linalg.matrix_power(step, s + 1) for s in range(steps + 1)]
    total = sum(powers)
    np.fill_diagonal(total, 0)
    return total


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_propagate_is_the_mean_of_the_walks(steps):
    graph = icon.graph(WEIGHTS)
    spread = icon.propagate(graph, steps)
    exact = normalized(walks(WEIGHTS, steps))
    np.testing.assert_allclose(dense(spread), exact, atol=1e-6)
    alike = icon.propagate(graph, steps, uniform=True)
    exact = normalized((walks(WEIGHTS, steps) > 0).astype(float))
    np.testing.assert_allclose(dense(alike), exact, atol=1e-6)
    mass = np.exp([spread.log_mass(i) for i in range(9)])
    np.testing.assert_allclose(np.delete(mass, 4), 1, rtol=1e-5)
    assert not np.diag(dense(spread)).any() and not dense(spread)[4].any()


def test_no_steps_is_the_graph_itself():
    graph = icon.graph(WEIGHTS)
    np.testing.assert_allclose(dense(icon.propagate(graph, 0)), dense(graph), atol=1e-7)


@pytest.mark.parametrize("keep", [1, 3, 100])
@pytest.mark.parametrize("uniform", [False, True])
def test_only_the_heaviest_are_kept(keep, uniform):
    total = walks(WEIGHTS, 1)
    least = np.sort(total, 1)[:, ::-1][:, min(keep, 9) - 1][:, None]
    exact = np.where((total >= least) & (total > 0), total, 0)
    exact = normalized((exact > 0).astype(float) if uniform else exact)
    got = icon.propagate(icon.graph(WEIGHTS), 1, keep=keep, uniform=uniform)
    np.testing.assert_allclose(dense(got), exact, atol=1e-6)


def test_over_two_sets_a_walk_may_return():
    loops = icon.graph(WEIGHTS + np.eye(9, dtype=np.float32))
    step = normalized(np.float64(WEIGHTS) + np.eye(9))
    exact = normalized(step + step @ step)
    np.testing.assert_allclose(dense(icon.propagate(loops, 1)), exact, atol=1e-6)
