"""Have hard memberships the gradient that their neighbours in the simplex say?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow

import icon


RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 2))
LABELS = jnp.array([0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("name", ["k-means", "t k-means"])
@pytest.mark.parametrize("block", [None, slow(4)])
def test_a_reversed_cell_has_its_gradient_at_hard_memberships(name, block, x64):
    cell, hard = icon.TABLE[name], jax.nn.one_hot(LABELS, 2, dtype=jnp.float64)
    p = cell.p(jnp.asarray(X))
    loss = lambda phi: cell.loss(p, cell.q(phi), block=block)
    gradient = jax.grad(loss)(hard)
    for i in range(6):
        toward = jnp.zeros_like(hard).at[i].set(1 - 2 * hard[i])
        step = 1e-6
        slope = (loss(hard + step * toward) - loss(hard)) / step
        np.testing.assert_allclose(jnp.sum(gradient * toward), slope, atol=1e-5)


def test_lloyds_step_is_the_argmin_of_the_gradient(x64):
    x = jnp.asarray(np.concatenate([X, X + 9]))
    labels = jnp.array([0] * 5 + [1] + [1] * 6)
    cell, hard = icon.TABLE["k-means"], jax.nn.one_hot(labels, 2, dtype=x.dtype)
    gradient = jax.grad(lambda phi: cell.loss(cell.p(x), cell.q(phi)))(hard)
    assert jnp.argmin(gradient, 1).tolist() == [0] * 6 + [1] * 6
