"""Are batches that are spread over devices the batches that were given?"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import icon
from icon import data


X = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
FEED = data.batches(X, 4, epochs=2)


def mesh(axis_type=AxisType.Auto):
    return jax.make_mesh((1,), ("data",), (axis_type,))


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("jaxed", [False, True])
def test_what_is_spread_is_what_came(axis_type, jaxed):
    tree = dict(x=X, y=(np.arange(16), X[:, :, None] > 0))
    plain = data.batches(jax.tree.map(jnp.asarray, tree) if jaxed else tree, 4, 2)
    spread, key = data.spread(plain, mesh(axis_type)), jax.random.key(0)
    for epoch, count in ((0, 4), (1, 4), (2, 0)):
        given, got = [*plain(key, epoch)], [*spread(key, epoch)]
        assert len(given) == len(got) == count
        assert jax.tree.structure(given) == jax.tree.structure(got)
        for one, other in zip(*map(jax.tree.leaves, (given, got)), strict=True):
            assert np.array_equal(one, other)
            assert other.sharding == NamedSharding(
                mesh(axis_type), PartitionSpec("data")
            )


def test_keys_may_be_spread():
    keys = jax.random.split(jax.random.key(0), 4)
    (got,) = data.spread(lambda key, epoch: [keys], mesh())(keys[0], 0)
    assert np.array_equal(jax.random.key_data(got), jax.random.key_data(keys))


REFUSED = {
    "no function": (dict(batches=[X]), "batches: expected a function"),
    "no mesh": (dict(mesh=jax.devices), "mesh: expected a mesh: jax.make_mesh"),
    "devices": (dict(mesh=[0]), "mesh: expected a mesh: jax.make_mesh"),
    "another axis": (
        dict(axis_name="model"),
        "axis_name: expected one of the axes of the mesh, data, got 'model'",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_spread_is_refused(what):
    bad, text = REFUSED[what]
    with pytest.raises(icon.InvalidInput, match=f"^{re.escape(text)}"):
        data.spread(**(dict(batches=FEED, mesh=mesh()) | bad))


def cut(batch, count):
    """A batch, spread over a mesh that only says that it has so many devices."""
    abstract = jax.sharding.AbstractMesh((count,), ("data",))
    return data._cut(NamedSharding(abstract, PartitionSpec("data")), batch)


@pytest.mark.parametrize(("rows", "more"), [(10, 12), (3, 4), (1797, 1800)])
def test_rows_that_do_not_divide_are_refused_with_numbers_that_do(rows, more):
    with pytest.raises(icon.InvalidInput, match="^batches: ") as error:
        cut(np.ones((rows, 2)), 4)
    fix = f"each of the 4 devices: a `size` that is a multiple of 4, such as {more}"
    assert fix in str(error.value) and f"got {rows} rows" in str(error.value)


def test_a_number_has_no_rows():
    with pytest.raises(icon.InvalidInput, match="^batches: .* got a number"):
        next(data.spread(lambda key, epoch: [1.0], mesh())(jax.random.key(0), 0))
