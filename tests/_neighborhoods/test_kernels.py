"""Are the kernels the functions of their papers?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icon._neighborhoods import kernels


A, B = np.array([0.0, 0.5, -1.0]), np.array([[1.0, 2.0, 0.5], [0.0, 0.5, -1.0]])


@pytest.mark.parametrize(("a", "b"), [(1.577, 0.895), (0.5, 2.0)])
def test_umap_is_the_log_odds_of_its_curve(a, b):
    curve = 1 / (1 + a * np.linalg.norm(B[0] - A) ** (2 * b))
    found = kernels.umap(jnp.asarray(A), jnp.asarray(B), a=a, b=b)
    np.testing.assert_allclose(found[0], np.log(curve / (1 - curve)), rtol=1e-5)


def test_umap_is_bounded_where_points_coincide():
    score = lambda a: kernels.umap(a, jnp.asarray(B), a=1.5, b=0.9)[1]
    value, gradient = jax.value_and_grad(score)(jnp.asarray(A))
    np.testing.assert_allclose(value, -np.log(1.5) + 0.9 * 12 * np.log(10), rtol=1e-4)
    assert (gradient == 0).all()
