"""Is the descent t-SNE's, coordinate by coordinate?"""

import jax.numpy as jnp
import numpy as np
import pytest

import icon


def by_hand(gradients, eta, momentum=0.8, longest=5.0):
    """van der Maaten's update, coordinate by coordinate, in float64."""
    z = np.zeros((2, 2))
    velocity, gain = np.zeros((2, 2)), np.ones((2, 2))
    for step, gradient in enumerate(gradients):
        for i in range(2):
            for k in range(2):
                same = np.sign(velocity[i, k]) == np.sign(gradient[i, k])
                gain[i, k] = gain[i, k] * 0.8 + 0.01 if same else gain[i, k] + 0.2
                change = eta(step) * gain[i, k] * gradient[i, k]
                velocity[i, k] = momentum * velocity[i, k] - change
            velocity[i] = velocity[i] * min(1, longest / np.hypot(*velocity[i]))
        z = z + velocity
    return z


def rising(step):
    return 1.0 + 0.1 * step


@pytest.mark.parametrize("eta", [0.3, 40.0, 1e30, rising])
def test_gains_are_those_of_t_sne(eta):
    gradients = np.random.default_rng(0).normal(size=(30, 2, 2))
    optimizer, z = icon.gains(eta), jnp.zeros((2, 2))
    state = optimizer.init(z)
    for gradient in gradients:
        change, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state)
        z = z + change
    rate = eta if callable(eta) else lambda step: eta
    np.testing.assert_allclose(z, by_hand(gradients, rate), rtol=2e-4, atol=2e-4)


def test_a_pytree_has_gains_of_its_own():
    z = dict(a=jnp.ones((2, 2)), b=[jnp.ones(3), jnp.float32(1)])
    optimizer = icon.gains(0.1)
    state = optimizer.init(z)
    change, state = optimizer.update(z, state)
    for x, y in zip(change["b"], state.velocity["b"], strict=True):
        np.testing.assert_allclose(x, -0.1 * 1.2, rtol=1e-6)
        assert np.array_equal(x, y)
    assert state.count == 1


def test_a_state_goes_on_at_the_rate_of_the_new_transformation():
    bowl = lambda z: jnp.sum(z**2)
    _, history = icon.minimize(bowl, jnp.ones((1, 2)), icon.gains(0.1), 5)
    slow = icon.gains(1e-4, momentum=0.0)
    z, _ = icon.minimize(bowl, jnp.ones((1, 2)), slow, 1, state=history.state)
    assert 0 < jnp.max(jnp.abs(z - 1)) < 1e-3


def test_numbers_of_stages_are_in_the_state_and_count():
    """A transformation that stays follows the rates of the state it is given."""
    stages = icon._training.Stages((1,), (0.1, 0.0))
    state = icon.gains(stages, momentum=0.0).init(jnp.ones((1, 2)))
    bowl = lambda z: jnp.sum(z**2)
    z, _ = icon.minimize(bowl, jnp.ones((1, 2)), icon.gains(1.0, 0.0), 3, state=state)
    np.testing.assert_allclose(z, 1 - 0.1 * 1.2 * 2, rtol=1e-6)
