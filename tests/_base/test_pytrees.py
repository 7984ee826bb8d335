"""Is a record the pytree of its class, and of no other?"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import pytest

import icon
from icon._base.pytrees import pytree, static
from icon._neighborhoods import as_neighborhood


@pytree
class One:
    leaf: float
    size: int = static()
    other: float = 0.0


@pytree
class Two:
    leaf: float
    size: int = static()
    other: float = 0.0


structure = jax.tree.structure


def test_its_leaves_are_the_fields_that_are_not_static():
    leaves, made = jax.tree.flatten(One(1.0, 3, 2.0))
    assert leaves == [1.0, 2.0]
    assert made.unflatten([5.0, 6.0]) == One(5.0, 3, 6.0)
    paths = [jax.tree_util.keystr(path) for path, _ in
             jax.tree_util.tree_leaves_with_path(One(1.0, 3))]  # fmt: skip
    assert paths == [".leaf", ".other"]


def test_its_structure_is_of_its_class_and_of_what_is_static():
    assert structure(One(1.0, 3)) == structure(One(2.0, 3))
    assert structure(One(1.0, 3)) != structure(One(1.0, 4))
    assert structure(One(1.0, 3)) != structure(Two(1.0, 3))


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        One(1.0, 3).leaf = 2.0  # type: ignore[misc]


def test_no_two_neighborhoods_around_one_are_one_structure():
    """A compiled program is found by the structure of what it was compiled for."""
    q = icon.gaussian(jnp.arange(6.0).reshape(3, 2))
    made = {
        "itself": q,
        "bernoulli": icon.bernoulli(q),
        "odds": icon.odds(q),
        "unnormalized": icon.unnormalized(q),
        "wide": icon.wide(q),
        "sharp": icon.sharp(q),
        "smooth": icon.smooth(q, 0.5),
        "tiled": icon.tiled(q),
    }
    for a, b in itertools.combinations(made, 2):
        assert structure(made[a]) != structure(made[b]), (a, b)


def own(name):
    """A user's class, as JAX registers it."""

    def mass(self, i):
        return jnp.float32(0)

    answers = dict(shape=property(lambda self: (2, 2)), score=mass, log_mass=mass)
    kind = type(name, (), {"__annotations__": {"z": float}, **answers})
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(kind))


def test_two_kinds_of_a_user_are_two_structures():
    one, two = (as_neighborhood("q", own(name)(1.0)) for name in ("One", "Two"))
    assert structure(one) != structure(two)
    assert structure(one) == structure(as_neighborhood("q", one.kind(2.0)))
