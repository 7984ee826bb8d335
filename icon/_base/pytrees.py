"""What is a record of arrays? Frozen dataclasses as pytrees, and their float leaves."""

import dataclasses
import typing
from typing import Any

import jax
import jax.numpy as jnp


def static(**options) -> Any:
    """A field that is no leaf: a function, a flag or a size."""
    return dataclasses.field(metadata=dict(static=True), **options)


@typing.dataclass_transform(frozen_default=True, field_specifiers=(static,))
def pytree(cls):
    """A frozen dataclass whose fields are leaves, but for those marked static.

    JAX's own `register_dataclass` has two classes of equal fields for one structure
    (0.10), so that one could be handed the program that was compiled for the other.
    """
    made = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(made)
    inside = [x.name for x in fields if not x.metadata.get("static")]
    beside = [x.name for x in fields if x.metadata.get("static")]
    keys = [jax.tree_util.GetAttrKey(name) for name in inside]

    def flatten(x):
        return [getattr(x, n) for n in inside], tuple(getattr(x, n) for n in beside)

    def flatten_with_keys(x):
        leaves, others = flatten(x)
        return list(zip(keys, leaves, strict=True)), others

    def unflatten(others, leaves):
        values = *zip(inside, leaves, strict=True), *zip(beside, others, strict=True)
        return made(**dict(values))

    jax.tree_util.register_pytree_with_keys(made, flatten_with_keys, unflatten, flatten)
    return made


def is_float(x) -> bool:
    return jnp.issubdtype(x.dtype, jnp.inexact)


def floats_of(tree):
    """The float leaves of a tree, and the tree with others in their place."""
    leaves, structure = jax.tree.flatten(tree)

    def rebuild(floats):
        floats = iter(floats)
        return structure.unflatten([next(floats) if is_float(x) else x for x in leaves])

    return [x for x in leaves if is_float(x)], rebuild


def as_cotangent(tree, gradients):
    """The gradients of a tree's float leaves, in its structure; None elsewhere."""
    leaves, structure = jax.tree.flatten(tree)
    gradients = iter(gradients)
    return structure.unflatten(
        [next(gradients) if is_float(x) else None for x in leaves]
    )


def take(tree, at):
    """The rows at these places, of every leaf."""
    return jax.tree.map(lambda x: x[at], tree)
