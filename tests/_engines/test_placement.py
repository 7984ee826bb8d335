"""Does a placement go on last, and is there one?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

import icon
from icon._engines.placement import Placement, unplaced


IDS = np.arange(9) % 3
X = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
WEIGHT = np.linspace(0.5, 2, 9)
POINTS, CLASSES = icon.gaussian(X), icon.same(IDS)
TILES, SPREAD = icon.tiled(POINTS, 4, 5), icon.sharded(POINTS, "data")


# ------------------------------------------------------- taken off at the door


def test_a_placement_is_taken_off_and_no_neighborhood_is_left_of_it():
    p, q, placement = unplaced(CLASSES, icon.tiled(SPREAD, 4, 5))
    assert (p, q) == (CLASSES, POINTS)
    assert placement == Placement(tiles=(4, 5), axis="data")
    assert unplaced(CLASSES, POINTS)[2] == Placement()


def test_placements_of_p_and_of_q_are_one():
    alone = Placement(tiles=(4, 5))
    assert unplaced(icon.tiled(CLASSES, 4, 5), TILES)[2] == alone
    assert unplaced(icon.tiled(CLASSES, 4, 5), POINTS)[2] == alone
    assert unplaced(CLASSES, icon.sharded(POINTS, "data", ring=True), 7)[
        2
    ] == Placement(block=7, axis="data", ring=True)
    assert icon.tiled(TILES, 4, 5).placement == alone


def test_the_context_of_a_call_is_part_of_its_placement():
    with icon.deterministic():
        assert unplaced(CLASSES, POINTS)[2].reproducible


def test_what_is_placed_answers_as_it_does_without():
    at = np.array([3, 0])
    for placed in (TILES, SPREAD):
        assert placed.shape == POINTS.shape and placed.is_placed
        assert not POINTS.is_placed
        assert placed.score(1, at).tolist() == POINTS.score(1, at).tolist()
        assert placed.log_mass(1) == POINTS.log_mass(1)
        assert placed.support(1)[1].tolist() == POINTS.support(1)[1].tolist()
    turned = icon.tiled(icon.dot(X, X[:4]), 4, 5).T
    assert turned.shape == (4, 9) and turned.placement.tiles == (4, 5)


# ------------------------------------------------------- refused


REFUSED = [
    ("p", lambda: icon.smooth(TILES, 0.3)),
    ("q", lambda: icon.wide(TILES)),
    ("q", lambda: icon.hard(TILES)),
    ("q", lambda: icon.reweigh(SPREAD, WEIGHT)),
    ("q", lambda: icon.margin(SPREAD, CLASSES, 0.1)),
    ("p", lambda: icon.margin(POINTS, SPREAD, 0.1)),
    ("neighborhoods", lambda: icon.mix(CLASSES, SPREAD, weights=[1, 1])),
    ("q", lambda: icon.interpolated(TILES)),
    ("q", lambda: icon.tiled(icon.interpolated(POINTS))),
    ("q", lambda: icon.tiled(icon.wide(POINTS))),
    ("q", lambda: icon.tiled(TILES, 8, 9)),
    ("q", lambda: icon.sharded(SPREAD, "model")),
    ("q", lambda: icon.sharded(icon.hard(POINTS), "data")),
    ("q", lambda: icon.tv(CLASSES, TILES)),
    ("q", lambda: icon.kl(icon.tiled(POINTS, 2, 3), icon.tiled(POINTS, 3, 2))),
    ("q", lambda: icon.kl(CLASSES, SPREAD, axis_name="model")),
    ("block", lambda: icon.kl(CLASSES, TILES, block=4)),
    ("p", lambda: icon.dense(SPREAD)),
    ("axis_name", lambda: icon.kl(icon.sharded(CLASSES, "data"), POINTS)),
    ("axis_name", lambda: icon.kl(CLASSES, icon.tiled(SPREAD, 4, 5))),
    ("axis_name", lambda: icon.tv(CLASSES, SPREAD)),
    ("axis_name", lambda: icon.per_anchor(CLASSES, SPREAD)),
    ("axis_name", lambda: icon.kl(CLASSES, POINTS, axis_name="data")),
]


@pytest.mark.parametrize("k", range(len(REFUSED)))
def test_a_placement_that_is_not_last_or_not_the_only_one_is_refused(k):
    argument, call = REFUSED[k]
    with pytest.raises(icon.InvalidInput) as error:
        call()
    assert error.value.argument == argument


def test_it_says_how_to_place_last():
    with pytest.raises(icon.InvalidInput, match=r"tiled\(smooth\(q\)\), not smooth"):
        icon.smooth(TILES, 0.3)


# ------------------------------------------------------- explicit meshes


def test_a_loss_on_an_explicit_mesh_is_that_of_one_place():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))
    spread = jax.NamedSharding(mesh, PartitionSpec("data"))
    x, ids = jax.device_put((jnp.asarray(X), jnp.asarray(IDS)), spread)
    found = icon.kl(icon.same(ids), icon.gaussian(x))
    np.testing.assert_allclose(found, icon.kl(CLASSES, POINTS), rtol=1e-6)
    with icon.deterministic(), pytest.raises(icon.InvalidInput) as error:
        icon.kl(icon.same(ids), icon.gaussian(x))
    assert error.value.argument == "deterministic"
