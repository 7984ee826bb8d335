"""Do learned numbers stay where they belong?"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import slow

import icon


def test_a_number_is_learned_by_its_logarithm():
    t = icon.positive(0.07)
    assert jax.tree.leaves(t) == [t.log] and np.isclose(t.value, 0.07)
    gradient = jax.grad(lambda t: t.value**2)(t)
    # d/dlog = t d/dt
    np.testing.assert_allclose(gradient.log, 2 * 0.07**2, rtol=1e-6)


BOUNDS = pytest.mark.parametrize("bound, outward", [(0.01, 1.0), (100.0, -1.0)])


@BOUNDS
@pytest.mark.parametrize("beyond", [0.0, 0.5])
def test_at_a_bound_and_beyond_only_the_way_back_has_a_gradient(bound, outward, beyond):
    t = icon.positive(bound)
    t = type(t)(t.log - outward * beyond, t.low, t.high)
    assert np.isclose(t.value, bound)
    out = jax.grad(lambda t: outward * t.value)(t).log
    back = jax.grad(lambda t: -outward * t.value)(t).log
    assert out == 0 and np.isclose(back, -outward * bound)


@pytest.mark.parametrize("rate", [0.01, 1.0])
def test_it_drifts_no_further_and_comes_back(rate):
    def walk(t, loss, steps):
        return icon.minimize(loss, t, optax.sgd(rate), steps)[0]

    t = walk(icon.positive(0.02), lambda t: jnp.log(t.value), 200)
    assert np.isclose(t.value, 0.01)
    assert float(walk(t, lambda t: -jnp.log(t.value), 3).value) > 0.01


NUMBERS = {
    "temperature": lambda z, t: icon.cosine(z, temperature=t),
    "scale": lambda z, t: icon.gaussian(z, scale=t),
    "dof": lambda z, t: icon.student_t(z, dof=t),
    "alpha": lambda z, t: icon.smooth(icon.cosine(z), t / 10),
}


@pytest.mark.parametrize("block", [None, slow(5)])
@pytest.mark.parametrize("name", NUMBERS)
def test_any_number_of_a_loss_is_learned(name, block):
    z, ids = jax.random.normal(jax.random.key(0), (30, 3)), jnp.arange(30) // 3

    def loss(t):
        return icon.kl(icon.same(ids), NUMBERS[name](z, t.value), block=block)

    t, history = icon.minimize(loss, icon.positive(1.0), optax.adam(0.05), 20)
    assert history.loss[-1] < history.loss[0] - 1e-4 and not np.isclose(t.value, 1)
