"""Are sums over pairs, plain and in logarithms, those of float64?"""

import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pair_sums import by_points, error, layout, lse, sums

import icon
from icon._engines import pairs


def profile(d2, dof=3.0, scale=0.8):
    q = icon.student_t(np.zeros((1, 1), np.float32))
    return q.kernel.profile(d2, dof=dof, scale=scale)


KERNEL = lambda d2: jnp.exp(profile(d2))
EXACT = ft.partial(sums, "student_t", dof=3.0, scale=0.8)


@pytest.mark.parametrize("d, two_sets", [(1, False), (2, True), (5, False)])
def test_a_field_is_the_sum_over_all_charges(d, two_sets):
    x, y = layout(61, d), layout(47, d, seed=1) if two_sets else None
    charge = np.random.default_rng(0).normal(size=47 if two_sets else 61)
    value, gradient = jax.jit(pairs.field, static_argnums=0)(
        KERNEL, x, y, charge.astype(np.float32)
    )
    exact = EXACT(x, y)
    k = exact.probability * np.exp(exact.log_mass)[:, None]
    assert error(value, k @ charge) < 1e-5
    expected, _ = by_points(k * charge, exact.derivative, exact.difference)
    assert error(gradient, expected) < 1e-5


@pytest.mark.parametrize("two_sets", [False, True])
def test_in_logarithms_only_the_anchors_of_a_mask_are_summed(two_sets):
    x = layout(130) * 1e9  # masses that no sum of float32 holds
    y = layout(70, seed=1) * np.float32(1e9) if two_sets else None
    exact, mask = EXACT(x, y), np.arange(130) % 3 == 0
    g = jnp.asarray(np.random.default_rng(0).normal(size=130), jnp.float32)

    @jax.jit
    def answers(x, y, mask):
        M = pairs.log_masses(profile, x, y, mask, jnp.full(130, 7.0))
        return M, pairs.gradients(profile, x, y, mask, g)

    M, gradients = answers(x, y, mask)
    np.testing.assert_allclose(M, np.where(mask, exact.log_mass, 7), rtol=1e-5)
    for got, expected in zip(
        gradients, exact.gradient(np.where(mask, g, 0)), strict=True
    ):
        assert error(got, expected) < 1e-5
    M, gradients = answers(x, y, np.zeros(130, bool))
    assert (M == 7).all() and not any(x.any() for x in gradients)


@pytest.mark.parametrize("two_sets", [False, True])
@pytest.mark.parametrize("stretch", [1, 1e9])
def test_the_joint_mass_and_its_gradients(two_sets, stretch):
    x = layout(130) * np.float32(stretch)
    y = layout(70, seed=1) * np.float32(stretch) if two_sets else None
    exact = EXACT(x, y)
    total, *gradients = jax.jit(pairs.joint, static_argnums=0)(profile, x, y)
    assert total == pytest.approx(lse(exact.log_mass), rel=1e-5)
    for got, expected in zip(gradients, exact.gradient(exact.joint[1]), strict=True):
        assert error(got, expected) < 1e-5
