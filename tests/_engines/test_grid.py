"""Are splines, spectra and sums on a grid what they stand for, at every size?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow, soon
from pair_sums import error, layout

from icon._engines import grid, pairs


CAUCHY = grid.Mesh(lambda d2: 1 / (1 + d2), jnp.float32(0.45), 5)


@pytest.mark.parametrize("order", [3, 5, 8])
def test_the_weights_of_a_point_sum_to_one(order):
    offset = np.linspace(0, 1, 7)
    weights = offset[:, None] ** np.arange(order) @ grid.splines(order).T
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-12)
    assert (weights >= -1e-12).all()
    powers = offset[:, None] ** np.arange(2 * order - 1)
    own = (powers @ grid.autocorrelation(order).T)[:, 0]
    np.testing.assert_allclose(own, (weights**2).sum(1), rtol=1e-9)


@pytest.mark.parametrize("order", [3, 4, 8])
def test_a_point_that_just_fits_stays_on_its_rung(order):
    size = 32
    room = (size - order - 1) // 2
    at = lambda node: grid.Position(jnp.array([[0], [node]]), [])
    rung = lambda node: int(grid.rung((size, 2 * size), order, at(node)))
    assert [rung(node) for node in (room, -room, room + 1, -room - 1)] == [0, 0, 1, 1]


@pytest.mark.parametrize("d", [slow(1), 2, slow(3)])
def test_spectra_of_the_host_are_those_of_the_device(d):
    for size, ready in grid.spectra(CAUCHY, (16, 24), d, "float32").items():
        traced = grid.spectrum(CAUCHY, size, d, jnp.float32)
        for got, expected in zip(ready, traced, strict=True):
            assert error(got, expected) < (5e-3 if d == 3 else 1e-4)  # of float32


KERNELS = {
    "dof 0.5": lambda d2: (1 + d2 / 0.5) ** -0.75,
    "dof 1": lambda d2: 1 / (1 + d2),
    "dof 3": lambda d2: (1 + d2 / (3 * 0.64)) ** -2,
    "gaussian": lambda d2: jnp.exp(-d2 / (2 * 0.49)),
    "rational": lambda d2: (1 + d2 / 1.6) ** -1.5,
}


@pytest.mark.parametrize("name", soon(KERNELS, "rational"))
def test_a_finer_grid_has_smaller_errors(name):
    z, charge = layout(), np.ones(500, np.float32)
    width = (-1 / jax.grad(KERNELS[name])(0.0).item()) ** 0.5

    @jax.jit
    def on_grid(z, spacing):
        mesh = grid.Mesh(KERNELS[name], spacing * width, 5)
        return grid.field(
            mesh, (64, 192), grid.position(z, grid.midpoint(z), mesh), charge
        )

    exact = pairs.field(KERNELS[name], z, None, charge)
    for spacing, tolerance in ((0.45, 2.5e-2), (0.25, 1e-3)):
        for got, expected in zip(on_grid(z, spacing), exact, strict=True):
            assert error(got, expected) < tolerance


@pytest.mark.parametrize("d", [1, slow(2)])
def test_every_rung_has_the_sums_of_the_pairs_and_beyond_the_last_there_are_none(d):
    sizes, order = grid.rungs(d, np.inf), CAUCHY.order
    z = layout(300, d)
    z = z / np.ptp(z, 0).max()
    charge = np.random.default_rng(0).normal(size=300).astype(np.float32)

    @jax.jit
    def on_grid(z):
        position = grid.position(z, grid.midpoint(z), CAUCHY)
        return grid.rung(sizes, order, position), grid.field(
            CAUCHY, sizes, position, charge
        )

    exact = jax.jit(lambda z: pairs.field(CAUCHY.kernel, z, None, charge))
    for at, size in enumerate(sizes):
        spread = z * 0.8 * size * 0.45
        rung, got = on_grid(spread)
        assert rung == at
        for x, expected in zip(got, exact(spread), strict=True):
            assert error(x, expected) < 4e-2
    rung, (value, gradient) = on_grid(z * sizes[-1])
    assert rung == len(sizes) and not value.any() and not gradient.any()


def test_two_sets_and_a_spectrum_that_is_not_valid():
    x, y = layout(40), layout(30, seed=1)
    charge, center = np.ones(30, np.float32), grid.midpoint(x, y)
    ready = CAUCHY._replace(spectra=grid.spectra(CAUCHY, (64, 192), 2, "float32"))

    @jax.jit
    def on_grid(valid):
        mesh = ready._replace(valid=valid)
        sources, targets = (grid.position(z, center, mesh) for z in (y, x))
        return grid.field(mesh, (64, 192), sources, charge, targets)

    for got, expected in zip(
        on_grid(True), pairs.field(CAUCHY.kernel, x, y, charge), strict=True
    ):
        assert error(got, expected) < 1e-2
    assert not any(x.any() for x in on_grid(False))
