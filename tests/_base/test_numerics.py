"""Where floats misbehave, is the value still right, and its gradient a number?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from hypothesis import given, settings
from hypothesis import strategies as st

from icon._base import numerics


EXACT = settings(max_examples=25, deadline=None, derandomize=True)
INF = np.inf


def f32(x):
    return jnp.asarray(x, jnp.float32)


def gradient(f, x):
    return np.asarray(jax.jit(jax.grad(f))(f32(x)))


# ------------------------------------------------------- types


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_sums_of_half_precision_are_kept_in_float32(dtype):
    assert numerics.widen(jnp.ones(3, dtype)).dtype == jnp.float32
    ones = jnp.ones((2, 4096), dtype)  # a bfloat16 sum of ones stalls at 256
    assert np.asarray(numerics.matvec(ones, ones[0])).tolist() == [4096.0, 4096.0]
    assert np.asarray(numerics.sqdist(0 * ones[0], ones)).tolist() == [4096.0, 4096.0]


def test_wider_types_stay(x64):
    assert numerics.widen(jnp.ones(3)).dtype == jnp.float64
    a, b = numerics.common(jnp.ones(2, jnp.float32), jnp.ones(2))
    assert a.dtype == b.dtype == jnp.float64
    assert numerics.matvec(jnp.ones((3, 2)), f32([1, 2])).dtype == jnp.float64


# ------------------------------------------------------- distances


@pytest.mark.parametrize("d", [1, 2, 8, 9, 40])
@pytest.mark.parametrize("offset", [0.0, 100.0, 1e4])
def test_distances_do_not_depend_on_the_origin(d, offset):
    rng = np.random.default_rng(d)
    a, b = (
        rng.normal(size=s).astype(np.float32) + np.float32(offset)
        for s in ((d,), (7, d))
    )
    exact = ((b.astype(np.float64) - a) ** 2).sum(1)
    np.testing.assert_allclose(numerics.sqdist(f32(a), f32(b)), exact, rtol=3e-6)


@pytest.mark.parametrize("d", [slow(2), 8, 9, slow(40)])  # both sides of a boundary
def test_the_gradient_of_a_distance_is_twice_the_difference(d):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(d,)) + 50, rng.normal(size=(7, d)) + 50
    a, b = a.astype(np.float32), b.astype(np.float32)
    w = f32(rng.normal(size=7))
    both = jax.grad(lambda a, b: w @ numerics.sqdist(a, b), (0, 1))
    by_a, by_b = jax.jit(both)(f32(a), f32(b))
    exact = 2 * np.asarray(w, np.float64)[:, None] * (b.astype(np.float64) - a)
    np.testing.assert_allclose(by_b, exact, atol=1e-4)
    np.testing.assert_allclose(by_a, -exact.sum(0), atol=3e-4)


@pytest.mark.parametrize("d", [2, 40])
def test_no_distance_is_negative_and_coincident_points_have_no_gradient(d):
    b = f32(np.random.default_rng(0).normal(size=(1, d))) * jnp.ones((5, 1))
    assert (np.asarray(numerics.sqdist(b[0], b)) >= 0).all()
    assert not gradient(lambda a: jnp.sum(numerics.sqdist(a, b)), b[0]).any()


# ------------------------------------------------------- roots and logarithms


def test_the_root_has_no_gradient_at_zero():
    x = [0.0, 4.0, 1e-30, 1e30]
    np.testing.assert_allclose(numerics.sqrt(f32(x)), np.sqrt(np.float32(x)), rtol=1e-6)
    got = gradient(lambda x: jnp.sum(numerics.sqrt(x)), x)
    np.testing.assert_allclose(got, [0, 0.25, 0.5e15, 0.5e-15], rtol=1e-5)


def test_the_log_has_no_gradient_at_zero():
    x = [0.0, 2.0, 1e-30]
    assert np.asarray(numerics.safe_log(f32(x)))[0] == -INF
    got = gradient(lambda x: jnp.sum(numerics.safe_log(x)[1:]), x)
    np.testing.assert_allclose(got, [0, 0.5, 1e30], rtol=1e-5)
    got = gradient(lambda x: jnp.sum(jnp.exp(numerics.safe_log(x))), x)
    assert np.isfinite(got).all()
    assert np.isnan(numerics.safe_log(f32(np.nan)))  # a nan is never hidden


CASES = [
    [0.0, 1.0, -2.0],
    [1000.0, 999.0, -1000.0],
    [-1000.0, -1001.0, -INF],
    [-INF, -INF, 3.0],
    [-1e38, -1e38, -1e38],
    [3e38, 3e38, 0.0],
]


@pytest.mark.parametrize("x", CASES)
def test_lse_and_its_gradient_are_the_softmax(x):
    wide = np.asarray(np.float32(x), np.longdouble)
    share = np.exp(wide - wide.max())
    exact = wide.max() + np.log(share.sum())
    np.testing.assert_allclose(numerics.lse(f32(x)), np.float64(exact), rtol=1e-6)
    softmax = np.float64(share / share.sum())
    np.testing.assert_allclose(gradient(numerics.lse, x), softmax, atol=1e-6)


@pytest.mark.parametrize("x", [[-INF, -INF], []])
def test_lse_of_no_entry_is_minus_infinity_without_a_gradient(x):
    assert numerics.lse(f32(x)) == -INF
    assert not gradient(numerics.lse, x).any()


def test_lse_of_a_nan_is_a_nan():
    assert np.isnan(numerics.lse(f32([0.0, np.nan])))


# ------------------------------------------------------- unit vectors


@pytest.mark.parametrize("size", [1e-36, 1e-30, 1e-4, 1.0, 1e19, 1e30, 1e37])
def test_unit_vectors_of_any_length(size):
    z = np.array([[3.0, -4.0], [0.0, 2.0]]) * size / 4
    exact = [[0.6, -0.8], [0.0, 1.0]]
    np.testing.assert_allclose(numerics.unit(f32(z)), exact, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_the_gradient_of_a_unit_vector_is_across_it(size):
    z, w = np.array([3.0, -4.0]) * size, np.array([1.0, 2.0])
    u = z / np.hypot(*z)
    exact = (w - u * (u @ w)) / np.hypot(*z)
    got = gradient(lambda z: f32(w) @ numerics.unit(z), z)
    np.testing.assert_allclose(got, exact, rtol=1e-5)


def test_a_row_of_zeros_stays_zero_without_a_gradient():
    z = [[0.0, 0.0], [1.0, 1.0]]
    assert not np.asarray(numerics.unit(f32(z)))[0].any()
    got = gradient(
        lambda z: jnp.sum(numerics.unit(z) * jnp.arange(4.0).reshape(2, 2)), z
    )
    assert not got[0].any() and np.isfinite(got).all() and got[1].any()


# ------------------------------------------------------- mixtures and odds


def mixture(x, y, alpha):
    """The formula, and its gradients, where doubles are wide enough."""
    top = max(x, y)
    one, two = np.exp(np.longdouble(x) - top), np.exp(np.longdouble(y) - top)
    inside = (1 - np.longdouble(alpha)) * one + alpha * two
    gradients = (1 - alpha) * one / inside, alpha * two / inside, (two - one) / inside
    return np.float64([np.log(inside) + top, *gradients])


ALPHAS = [0.0, 1e-6, 0.5, 1.0]
GAPS = [0.0, 1e-3, -1e-3, 3.0, -3.0, 60.0, -60.0]


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("shift", [0.0, -700.0])
def test_a_mixture_and_its_gradients(x64, gap, alpha, shift):
    args = [jnp.asarray(v, jnp.float64) for v in (gap + shift, shift, alpha)]
    value, gradients = jax.value_and_grad(numerics.log_mixture, (0, 1, 2))(*args)
    exact = mixture(gap + shift, shift, alpha)
    np.testing.assert_allclose([value, *gradients], exact, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("gap", [1000.0, -1000.0, INF, -INF])
def test_a_mixture_across_any_gap(alpha, gap):
    x, y = (gap, 0.0) if gap < 0 else (0.0, -gap)
    args = [f32(v) for v in (x, y, alpha)]
    value, gradients = jax.value_and_grad(numerics.log_mixture, (0, 1, 2))(*args)
    assert np.isfinite(gradients).all()
    if alpha in (0.0, 1.0):
        assert value == (x, y)[int(alpha)]  # nothing of the other one
    else:
        exact = mixture(x, y, alpha)[0]  # to the rounding of 1 - alpha
        np.testing.assert_allclose(value, exact, rtol=1e-6, atol=1e-7)


@EXACT
@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0, 1, width=16))
def test_a_mixture_is_between_what_it_mixes(x, y, alpha):
    got = float(numerics.log_mixture(f32(x), f32(y), f32(alpha)))
    slack = 1e-5 * (1 + abs(x) + abs(y))
    assert min(x, y) - slack <= got <= max(x, y) + slack


@pytest.mark.parametrize("x", [-1e-6, -0.1, -np.log(2), -5.0, -80.0])
def test_log_odds(x64, x):
    value, by_x = jax.value_and_grad(numerics.log_odds)(jnp.asarray(x, jnp.float64))
    np.testing.assert_allclose(value, x - np.log(-np.expm1(x)), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(by_x, -1 / np.expm1(x), rtol=1e-12)


@pytest.mark.parametrize("x, odds", [(-INF, -INF), (0.0, INF), (1e-7, INF)])
def test_log_odds_at_the_ends(x, odds):
    value, by_x = jax.value_and_grad(numerics.log_odds)(f32(x))
    assert value == odds and np.isfinite(by_x)
