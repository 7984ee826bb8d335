"""Is a graph among a batch the block of its weights, for every batch?"""

import dataclasses
import functools as ft
import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter import interpret

import icon
from icon._neighborhoods.graph import to_sparse


N, M, B = 9, 6, 5
RNG = np.random.default_rng


def uneven(n, m, seed=0):
    """Weights whose rows are unlike in length; one is full and one is empty."""
    rng = RNG(seed)
    listed = rng.random((n, m)) < 0.35
    listed[1], listed[4] = True, False
    return np.where(listed, rng.uniform(0.2, 2.0, (n, m)), 0.0)


ONE_SET = uneven(N, N) * (1 - np.eye(N))
TWO_SETS = uneven(N, M)
BATCHES = {
    "in no order": [7, 1, 3, 0, 8],
    "with the empty row": [4, 2, 1, 5, 0],
    "falling": [8, 6, 5, 1, 0],
}


def z_of(seed=0, n=B):
    return RNG(seed).normal(size=(n, 3))


# ------------------------------------------------------- the block, by loops


def block(weights, ids, candidates=None):
    candidates = ids if candidates is None else candidates
    found = np.zeros((len(ids), len(candidates)))
    for a, i in enumerate(ids):
        for b, j in enumerate(candidates):
            found[a, b] = weights[i, j]
    return found


def divergence(weights, score, joint):
    """KL of the rows of weights from the softmax of the scores, or over all pairs."""
    total, kept = 0.0, [i for i in range(len(weights)) if weights[i].sum() > 0]
    every = sum(np.exp(score[i]).sum() for i in range(len(score)))
    for i in kept:
        for j in np.flatnonzero(weights[i]):
            if joint:
                p, q = weights[i, j] / weights.sum(), np.exp(score[i, j]) / every
                total += p * np.log(p / q)
            else:
                p = weights[i, j] / weights[i].sum()
                q = np.exp(score[i, j]) / np.exp(score[i]).sum()
                total += p * np.log(p / q) / len(kept)
    return total


def inner(x, y=None):
    """The scores of icon.dot, by loops."""
    others = x if y is None else y
    score = np.full((len(x), len(others)), -np.inf)
    for i, j in np.ndindex(score.shape):
        if y is not None or i != j:
            score[i, j] = sum(x[i] * others[j])
    return score


def slopes(f, x, h=1e-5):
    """The gradient of f by central differences."""
    found = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        ends = []
        for step in (h, -h):
            moved = x.copy()
            moved[at] += step
            ends.append(f(moved))
        found[at] = (ends[0] - ends[1]) / (2 * h)
    return found


# ------------------------------------------------------- values and gradients


def learned(pattern, logit):
    return dataclasses.replace(icon.graph(pattern), logit=logit)


@ft.cache
def compiled(joint, strip):
    """The loss of a batch and its gradients in the graph and in the points."""

    def loss(logit, z, p, ids):
        p = dataclasses.replace(p, logit=logit).restrict(ids)
        return icon.kl(p, icon.dot(z), joint=joint, block=strip)

    return jax.jit(jax.value_and_grad(loss, (0, 1)))


@pytest.mark.parametrize("strip", [slow(None), 2])
@pytest.mark.parametrize("joint", [False, True])
def test_a_loss_of_a_batch_is_that_of_the_block(x64, joint, strip):
    """Value and gradient, in one compilation for all batches and weights."""
    p, z = icon.graph(ONE_SET), z_of()
    log_weight, (rows, columns) = np.asarray(p.logit), np.nonzero(ONE_SET)
    of = compiled(joint, strip)
    for ids in BATCHES.values():

        def exact(log_weight, z, ids=ids):
            weights = np.zeros((N, N))
            weights[rows, columns] = np.exp(log_weight)
            return divergence(block(weights, ids), inner(z), joint)

        value, (by_weight, by_z) = of(p.logit, jnp.asarray(z), p, jnp.asarray(ids))
        np.testing.assert_allclose(value, exact(log_weight, z), rtol=1e-9)
        found = slopes(lambda w, exact=exact: exact(w, z), log_weight)
        np.testing.assert_allclose(by_weight, found, rtol=1e-6, atol=1e-8)
        found = slopes(lambda z, exact=exact: exact(log_weight, z), z)
        np.testing.assert_allclose(by_z, found, rtol=1e-6, atol=1e-8)
    assert of._cache_size() == 1


@pytest.mark.parametrize("joint", [False, True])
def test_it_is_the_graph_of_the_block(x64, joint):
    """The loss and its gradient in the points, of one graph and of the other."""
    ids, z = BATCHES["in no order"], jnp.asarray(z_of())
    whole, inside = icon.graph(ONE_SET), icon.graph(block(ONE_SET, ids))

    def loss(z, restricted):
        p = whole.restrict(ids) if restricted else inside
        return icon.kl(p, icon.dot(z), joint=joint)

    both = [
        interpret(jax.value_and_grad(ft.partial(loss, restricted=r)), z)
        for r in (True, False)
    ]
    chex.assert_trees_all_close(*both, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("joint", [False, True])
def test_a_batch_of_each_of_two_sets(x64, joint):
    p, ids, candidates = icon.graph(TWO_SETS), [8, 4, 1, 0], [5, 0, 3]
    x, y = z_of(0, 4), z_of(1, 3)
    rows, columns = np.nonzero(TWO_SETS)

    def loss(logit, x, y, ids, candidates):
        listed = dataclasses.replace(p, logit=logit).restrict(ids, candidates)
        return icon.kl(listed, icon.dot(x, y), joint=joint)

    def exact(log_weight):
        weights = np.zeros((N, M))
        weights[rows, columns] = np.exp(log_weight)
        return divergence(block(weights, ids, candidates), inner(x, y), joint)

    at = map(jnp.asarray, (p.logit, x, y, ids, candidates))
    value, by_weight = interpret(jax.value_and_grad(loss), *at)
    log_weight = np.asarray(p.logit)
    np.testing.assert_allclose(value, exact(log_weight), rtol=1e-9)
    np.testing.assert_allclose(by_weight, slopes(exact, log_weight), 1e-6, 1e-8)


@pytest.mark.slow
def test_rows_that_lose_all_their_neighbors_count_for_nothing(x64):
    pairs = np.kron(np.eye(3), 1 - np.eye(2))  # 0-1, 2-3, 4-5
    z = z_of(0, 4)

    def loss(z, ids, joint):
        return icon.kl(icon.graph(pairs).restrict(ids), icon.dot(z), joint=joint)

    for joint in (False, True):
        both = jax.value_and_grad(ft.partial(loss, joint=joint))
        value, gradient = interpret(both, jnp.asarray(z), jnp.array([0, 1, 2, 5]))
        expected = divergence(block(pairs, [0, 1, 2, 5]), inner(z), joint)
        np.testing.assert_allclose(value, expected, rtol=1e-9)
        chex.assert_tree_all_finite(gradient)
        alone = interpret(both, jnp.asarray(z[:2]), jnp.array([0, 2]))
        assert alone[0] == 0 and not np.any(alone[1])


# ------------------------------------------------------- any graph, any batch


@st.composite
def graphs_and_batches(draw):
    """Rows as long as they come, also empty ones, and stored zeros."""
    n, m = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    rng = RNG(draw(st.integers(0, 2**32)))
    weights = rng.uniform(0.1, 3, (n, m)) * (rng.random((n, m)) < draw(st.floats(0, 1)))
    weights[rng.integers(n), rng.integers(m)] = 1.0
    rows = rng.permutation(n)[: draw(st.integers(1, n))]
    columns = rng.permutation(m)[: draw(st.integers(1, m))]
    return weights, rows, columns


@settings(max_examples=15, deadline=None, derandomize=True)
@given(graphs_and_batches())
def test_it_is_the_block_of_any_graph(case):
    weights, rows, columns = case
    exact = block(weights, rows, columns)
    of = lambda rows, columns: icon.graph(weights).restrict(rows, columns)
    found = interpret(of, rows, columns)
    np.testing.assert_allclose(to_sparse(found).toarray(), exact, rtol=1e-6)
    for row in range(len(rows)):  # by rising id, as a listed row is
        start, end = np.asarray(found.start[row : row + 2])
        ids = np.asarray(found.index[start:end])
        assert ids.tolist() == np.flatnonzero(exact[row]).tolist()
    unused = slice(found.start[-1], None)
    assert not np.any(found.index[unused]) and np.all(found.logit[unused] == -np.inf)


def test_the_static_shapes_are_those_of_the_batch_and_the_longest_row():
    p = icon.graph(ONE_SET)
    assert p.width == N - 1
    found = jax.eval_shape(lambda ids: p.restrict(ids), jnp.arange(3))
    assert found.width == 3 and found.shape == (3, 3) and found.index.shape == (9,)
    short = icon.uniform((np.arange(N)[:, None] + [1, 2]) % N)
    found = jax.eval_shape(lambda ids: short.restrict(ids), jnp.arange(B))
    assert found.width == 2 and found.index.shape == (2 * B,)


@pytest.mark.slow
def test_a_batch_is_a_graph_in_every_other_way():
    p, ids = icon.graph(ONE_SET), BATCHES["in no order"]
    found, exact = p.restrict(ids), block(ONE_SET, ids)
    assert found.excludes_self and found.is_sparse
    np.testing.assert_allclose(to_sparse(found.T).toarray(), exact.T, rtol=1e-6)
    prepared, z = found.prepared(), z_of().astype(np.float32)[:, :2]
    assert prepared is not found
    q = icon.interpolated(icon.student_t(z))
    whole = icon.kl(icon.graph(exact), icon.student_t(z), joint=True)
    np.testing.assert_allclose(icon.kl(prepared, q, joint=True), whole, rtol=1e-3)
    weight = np.array([1.0, 0.5, 2.0, 0.0, 3.0])
    np.testing.assert_allclose(
        icon.dense(found.reweighed(weight)),
        icon.dense(icon.graph(exact * weight)),
        rtol=1e-5,
    )
    smoothed = icon.smooth(found, 0.3), icon.smooth(icon.graph(exact), 0.3)
    np.testing.assert_allclose(*map(icon.dense, smoothed), rtol=1e-5)
    again = found.restrict([3, 0])
    inside = block(exact, [3, 0])
    np.testing.assert_allclose(to_sparse(again).toarray(), inside, rtol=1e-6)


def test_of_a_prepared_graph_the_lists_are_restricted():
    p, ids = icon.graph(ONE_SET), BATCHES["falling"]
    chex.assert_trees_all_equal(p.prepared().restrict(ids), p.restrict(ids))
    chex.assert_trees_all_equal(p.prepared().restrict(ids, ids), p.restrict(ids, ids))


def test_j_is_i_is_left_out_within_one_set_alone():
    p = icon.graph(ONE_SET)
    assert p.restrict([0, 1]).excludes_self
    assert not p.restrict([0, 1], [0, 1]).excludes_self
    loops = icon.graph(ONE_SET + np.eye(N))
    assert not loops.restrict([2, 1]).excludes_self
    inside = block(ONE_SET + np.eye(N), [2, 1])
    found = to_sparse(loops.restrict([2, 1])).toarray()
    np.testing.assert_allclose(found, inside, rtol=1e-6)


# ------------------------------------------------------- ids that are not good


def test_traced_ids_out_of_range_are_items_without_neighbors():
    of = jax.jit(lambda ids: icon.dense(icon.graph(ONE_SET).restrict(ids)))
    for pads in ([N, N + 3], [-1, -N], [2**31 - 1, -(2**31)]):
        inside = np.zeros((B, B))
        inside[:3, :3] = icon.dense(icon.graph(block(ONE_SET, [7, 1, 3])))
        found = of(jnp.array([7, 1, 3, *pads], jnp.int32))
        np.testing.assert_allclose(found, inside, rtol=1e-6)


def test_a_traced_id_that_comes_again_is_a_candidate_once():
    of = lambda ids: icon.dense(icon.graph(ONE_SET).restrict(ids))
    found = interpret(of, jnp.array([7, 1, 7, 3]))
    known = np.asarray(of(jnp.array([7, 1, 3])))
    np.testing.assert_allclose(found[:, [0, 1, 3]], known[[0, 1, 0, 2]], rtol=1e-6)
    assert not found[:, 2].any()


BAD = {
    "twice": ("ids", "7 more than once", lambda p: p.restrict([7, 1, 7])),
    "out of range": ("ids", "9.0 at row 1", lambda p: p.restrict([0, N])),
    "negative": ("ids", "-1.0 at row 0", lambda p: p.restrict([-1, 2])),
    "floats": ("ids", "dtype float64", lambda p: p.restrict([0.0, 1.0])),
    "a matrix": ("ids", "shape (1, 2)", lambda p: p.restrict([[0, 1]])),
    "empty": ("ids", "shape (0,)", lambda p: p.restrict(np.zeros(0, int))),
    "candidates twice": (
        *("candidates", "2 more than once"),
        lambda p: p.restrict([0, 1], [2, 2]),
    ),
    "no candidates": (
        *("candidates", "none for shape (9, 6)"),
        lambda p: icon.graph(TWO_SETS).restrict([0, 1]),
    ),
    "candidates out of range": (
        *("candidates", "8.0 at row 0"),
        lambda p: icon.graph(TWO_SETS).restrict([0, 1], [8]),
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_ids_are_refused_where_they_are_known(what):
    argument, got, call = BAD[what]
    with pytest.raises(icon.InvalidInput) as error:
        call(icon.graph(ONE_SET))
    assert error.value.argument == argument and error.value.got == got


def test_nothing_of_all_pairs_is_made():
    """One index of n, and lists of b times the longest row."""
    n, k, b = 20_000, 8, 64
    p = icon.uniform((np.arange(n)[:, None] + np.arange(1, k + 1)) % n)
    made = jax.jit(lambda p, ids: p.restrict(ids)).lower(p, jnp.arange(b)).compile()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held = made.memory_analysis().temp_size_in_bytes
    assert held < 4 * (2 * n + 20 * b * k)
