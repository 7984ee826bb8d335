"""Have hard memberships the gradient that their neighbours in the simplex say?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from interpreter import interpret

import icon
from icon._neighborhoods import tabulated


RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 2))
LABELS = jnp.array([0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("name", ["k-means", "t k-means"])
@pytest.mark.parametrize("block", [None, slow(4)])
def test_a_reversed_cell_has_its_gradient_at_hard_memberships(name, block, x64):
    cell, hard = icon.TABLE[name], jax.nn.one_hot(LABELS, 2, dtype=jnp.float64)
    p = cell.p(jnp.asarray(X))
    loss = lambda phi: cell.loss(p, cell.q(phi), block=block)
    value, gradient = interpret(jax.value_and_grad(loss), hard)
    for i in range(6):
        toward, step = np.zeros(hard.shape), 1e-6
        toward[i] = 1 - 2 * hard[i]
        slope = (interpret(loss, hard + step * toward) - value) / step
        np.testing.assert_allclose(np.sum(gradient * toward), slope, atol=1e-5)


def test_lloyds_step_is_the_argmin_of_the_gradient(x64):
    x = jnp.asarray(np.concatenate([X, X + 9]))
    labels = jnp.array([0] * 5 + [1] + [1] * 6)
    cell, hard = icon.TABLE["k-means"], jax.nn.one_hot(labels, 2, dtype=x.dtype)
    loss = lambda phi: cell.loss(cell.p(x), cell.q(phi))
    gradient = interpret(jax.grad(loss), hard)
    assert np.argmin(gradient, 1).tolist() == [0] * 6 + [1] * 6


# ------------------------------------------------------- sizes that are known


PHI = RNG.dirichlet(np.ones(3), 6)
SIZES = np.array([1.5, 4.0, 0.25])
NEAR = np.array([[1, 2], [0, 2], [1, 3], [4, 5], [3, 5], [4, 0]])


def of_sizes(phi, size):
    """The loss, and its gradients in the memberships and the sizes, by NumPy."""
    n = len(phi)
    p = np.zeros((n, n))
    np.put_along_axis(p, NEAR, 0.5, 1)
    q = 0.4 * (phi / size) @ phi.T + 0.6 / n
    ratio = 0.4 * p / q / n
    loss = (p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum() / n
    slope = -(ratio + ratio.T) @ phi / size
    return loss, slope, np.einsum("ij,ic,jc->c", ratio, phi, phi) / size**2


@pytest.mark.parametrize("prepared", [False, True])
def test_a_known_size_stands_for_the_sum_in_value_and_gradient(prepared, x64):
    p = icon.uniform(NEAR)
    p = p.prepared() if prepared else p
    loss = lambda phi, size: icon.kl(p, icon.smooth(icon.clusters(phi, size=size), 0.6))
    given = jnp.asarray(PHI), jnp.asarray(SIZES)
    value, slopes = jax.value_and_grad(loss, (0, 1))(*given)
    expected = of_sizes(PHI, SIZES)
    for got, wanted in zip((value, *slopes), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9)


def test_the_sum_is_the_size_that_is_not_given(x64):
    phi, other = jnp.asarray(PHI), jnp.asarray(RNG.dirichlet(np.ones(3), 4))
    dense = lambda **given: icon.dense(icon.clusters(phi, other, **given))
    np.testing.assert_allclose(dense(size=jnp.sum(other, 0)), dense(), rtol=1e-12)
    weight = jnp.arange(1.0, 5)
    found = dense(candidate_weight=weight, size=weight @ other)
    np.testing.assert_allclose(found, dense(candidate_weight=weight), rtol=1e-12)


def test_a_size_of_zero_is_an_empty_cluster(x64):
    loss = lambda phi, size: icon.kl(
        icon.uniform(NEAR), icon.smooth(icon.clusters(phi, size=size), 0.6)
    )
    phi, size = jnp.asarray(PHI), jnp.asarray([0.0, 2.0, 4.0])
    value, slopes = jax.value_and_grad(loss, (0, 1))(phi, size)
    expected = of_sizes(PHI[:, 1:], np.array([2.0, 4.0]))[0]
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    assert all(jnp.isfinite(slope).all() for slope in slopes)
    assert (slopes[0][:, 0] == 0).all() and slopes[1][0] == 0


@pytest.mark.parametrize(
    "size",
    [np.ones(2), np.ones((3, 1)), np.array([1, -1.0, 1]), np.zeros(3), "3", True],
)
def test_sizes_that_are_none_are_refused(size):
    with pytest.raises(icon.InvalidInput, match="^size: "):
        icon.clusters(PHI, size=size)
    with pytest.raises(icon.InvalidInput, match="^q.T: "):
        _ = icon.clusters(PHI, size=SIZES).T


# ------------------------------------------------------- against tables


MEMBERSHIPS = RNG.dirichlet(np.ones(3), 6)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("weight", [None, jnp.arange(1.0, 7)])
def test_an_expectation_under_tables_is_that_of_each_anchor(joint, weight, x64):
    tables = tabulated(icon.gaussian(jnp.asarray(X), jnp.asarray(X)))
    p = icon.clusters(MEMBERSHIPS, candidate_weight=weight)
    pi = None if joint else jnp.asarray(RNG.uniform(size=6))
    share = np.full(6, 1 / 6) if joint else pi / pi.sum()
    expected = share @ icon.per_anchor(p, tables).q_score
    np.testing.assert_allclose(p.expected(tables, pi, joint), expected, rtol=1e-12)


def test_tables_with_minus_infinity_are_summed_anchor_by_anchor(x64):
    tables = tabulated(icon.gaussian(jnp.asarray(X)))  # j = i has no score
    p = icon.clusters(MEMBERSHIPS, MEMBERSHIPS)
    assert p.expected(tables, None, False) is None


@pytest.mark.parametrize("name", ["k-means", "normalized cuts"])
def test_a_reversed_cell_is_the_same_of_tables(name, x64):
    """Value and gradient, by two matrix products."""
    cell, degree = icon.TABLE[name], jnp.arange(1.0, 7)
    normalized = name == "normalized cuts"
    p = cell.p(jnp.asarray(X @ X.T if normalized else X))
    more = (degree,) if normalized else ()
    loss = lambda phi, p: cell.loss(p, cell.q(phi, *more))
    both = jax.value_and_grad(loss)
    phi, tables = jnp.asarray(MEMBERSHIPS), tabulated(p)
    found = (interpret(both, phi, each) for each in (p, tables))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)
    asked = cell.q(phi, *more).expected(tables, None, False)
    np.testing.assert_allclose(loss(phi, tables), tables.masses.mean() - asked)
