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
    """A frozen dataclass whose fields are leaves, but for those marked static."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


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
