"""What is a log-mass without a temperature, at ties and where nothing is counted?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import icon
from icon._neighborhoods import EVERYBODY
from icon._neighborhoods.limits import FINITE, SHARP, WIDE


INF = np.inf
SCORE = jnp.array([1.0, -2.0, 1.0, -INF, 0.5])
ONE = jnp.ones(5)
WEIGHT = jnp.array([1.0, 3.0, 0.0, 2.0, 4.0])
REDUCTIONS = {"sum": FINITE, "mean": WIDE[1], "variance": WIDE[2], "maximum": SHARP}


def both(reduction, score, weight):
    return jax.value_and_grad(reduction.mass)(score, weight)


def test_a_mean_is_of_the_candidates_that_have_a_score():
    value, gradient = both(WIDE[1], SCORE, ONE)
    np.testing.assert_allclose(value, 0.125)
    assert gradient.tolist() == [0.25, 0.25, 0.25, 0, 0.25]
    value, gradient = both(WIDE[1], SCORE, WEIGHT)
    np.testing.assert_allclose(value, (1 - 6 + 2) / 8)
    assert gradient.tolist() == [1 / 8, 3 / 8, 0, 0, 4 / 8]


def test_the_second_order_adds_half_the_variance():
    value, gradient = both(WIDE[2], SCORE, ONE)
    counted = np.array([1.0, -2.0, 1.0, 0.5])
    np.testing.assert_allclose(value, counted.mean() + counted.var() / 2, rtol=1e-6)
    exact = (1 + counted - counted.mean()) / 4
    np.testing.assert_allclose(np.delete(gradient, 3), exact, rtol=1e-6)


def test_a_maximum_is_shared_by_the_tied_and_leaves_out_what_has_no_weight():
    value, gradient = both(SHARP, SCORE, ONE)
    assert value == 1 and gradient.tolist() == [0.5, 0, 0.5, 0, 0]
    value, gradient = both(SHARP, SCORE, WEIGHT)
    assert value == 1 and gradient.tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("name", REDUCTIONS)
def test_no_candidate_is_no_mass_without_a_gradient(name):
    for score, weight in (
        (jnp.full(3, -INF), jnp.ones(3)),
        (jnp.zeros(3), jnp.zeros(3)),
    ):
        if name == "sum" and not weight.any():
            continue  # whose weights are in the scores
        value, gradient = both(REDUCTIONS[name], score, weight)
        assert value == -INF and not gradient.any()


@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_nan_stays(name):
    assert np.isnan(REDUCTIONS[name].mass(SCORE.at[1].set(jnp.nan), ONE))


def test_only_the_sum_is_no_limit():
    assert [x.is_limit for x in REDUCTIONS.values()] == [False, True, True, True]
    q = icon.gaussian(np.eye(3, dtype=np.float32))
    assert icon.wide(q).is_limit and icon.sharp(q).is_limit and not q.is_limit
    assert icon.wide(q).as_points() is None


def test_the_best_candidates_are_alike_and_ties_go_to_the_earlier():
    score = np.array([[2.0, 5.0, 5.0, 5.0], [1.0, -INF, 0.0, -INF]], np.float32)
    q = icon.hard(icon.scores(score), 2)
    exact = [[0, 0.5, 0.5, 0], [0.5, 0, 0.5, 0]]
    np.testing.assert_allclose(icon.dense(q), exact)
    few = icon.dense(icon.hard(icon.scores(score), 3))[1]  # of which there are two
    np.testing.assert_allclose(few, [0.5, 0, 0.5, 0])


def test_the_best_candidates_have_no_gradient():
    p = icon.same([0, 0], [0, 1, 0])

    def loss(score):
        return icon.tv(p, icon.hard(icon.scores(score)))

    value, gradient = jax.value_and_grad(loss)(
        jnp.array([[1.0, 2.0, 0.0], [3.0, 1.0, 2.0]])
    )
    assert value == 0.75 and not gradient.any()
    lonely = icon.hard(icon.same([0, 1, 1]), 1)
    assert (
        lonely.log_mass(0) == -INF and lonely.score(0, EVERYBODY).tolist() == [-INF] * 3
    )
