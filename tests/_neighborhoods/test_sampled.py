"""Is a mass estimated from a few candidates right on average, and its gradient?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pair_sums import error, hub, layout

import icon


@pytest.mark.parametrize("two_sets", [False, True])
def test_the_mass_is_unbiased_and_its_log_low_by_half_its_variance(two_sets):
    z = layout(120)
    q = icon.student_t(z[:50], z) if two_sets else icon.student_t(z)
    keys = jax.random.split(jax.random.key(0), 4000)
    log_mass = jax.jit(jax.vmap(lambda key: icon.sampled(q, key, 40).log_mass(7)))(keys)
    ratio = np.exp(np.asarray(log_mass, np.float64) - float(q.log_mass(7)))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 4000**0.5
    low = -np.log(ratio).mean()
    assert low == pytest.approx(ratio.var() / 2, rel=0.4) and low > 1e-3


def test_the_key_decides_and_the_candidates_that_are_drawn_have_gradients():
    p, z = hub(), layout(60)
    loss = lambda z, key: icon.kl(p, icon.sampled(icon.student_t(z), key, 30))
    value_and_gradient = jax.jit(jax.vmap(jax.value_and_grad(loss), (None, 0)))
    keys = jax.random.split(jax.random.key(1), 600)
    values, gradients = value_and_gradient(z, keys)
    again, _ = value_and_gradient(z, keys)
    assert jnp.array_equal(values, again) and len(np.unique(values)) == len(keys)
    expected = jax.grad(lambda z: icon.kl(p, icon.student_t(z)))(z)
    assert error(gradients.mean(0), expected) < 0.1
