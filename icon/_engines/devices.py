"""Whose neighbours are on other devices? Anchors stay, candidates are gathered."""

import functools as ft
from typing import Any

import jax
from jax import lax

from icon._base import checks as check
from icon._base.numerics import varying
from icon._engines.placement import Placement


def _names(axis) -> tuple[str, ...]:
    """The axes of a mesh that a batch is spread over, one or several."""
    return axis if isinstance(axis, tuple) else (axis,)


def _device_index(axis):
    """Which device of an axis this is, where that and gradients are sound."""
    inside = "an axis of the shard_map that the loss is inside of"
    check.require(isinstance(axis, str | tuple), "axis_name", repr(axis), inside)
    try:
        index = lax.axis_index(axis)
    except NameError:
        raise check.InvalidInput("axis_name", repr(axis), inside) from None
    unchecked = "a shard_map with check_vma=False, which scales gradients unseen"
    checked = "one that checks what varies: leave check_vma=True"
    known = set(_names(axis)) <= varying(index)
    check.require(known, "axis_name", unchecked, checked)
    return index


def local_share(p, q, weight, placement: Placement) -> tuple[Any, Any, Any]:
    """This device's share of p and q: its anchors, and the candidates of all devices.

    Candidates that go round a ring, or are gathered in one order, stay where they are.
    """
    axis = placement.axis
    stays = placement.ring or placement.reproducible
    first = _device_index(axis) * p.shape[0]

    def gather_leaf(x):
        axes = tuple(name for name in _names(axis) if name in varying(x))
        return lax.all_gather(x, axes, tiled=True) if axes and not stays else x

    gather = ft.partial(jax.tree.map, gather_leaf)
    for name, x in (("p", p), ("q", q)):
        passable = not placement.ring or x.as_points() is not None
        points = "points, to be passed round"
        check.require(passable, name, "a limit or a mix", points)
    spread = any({*_names(axis)} & varying(x) for x in jax.tree.leaves(q))
    got, share = "a batch of which every device has all", "the share of each device"
    check.require(spread, "q", got, f"{share}: in_specs=P(axis_name)")
    p, q = _gathered("p", p, gather, first), _gathered("q", q, gather, first)
    _same_places(p, q, placement)
    return (p, q, weight) if placement.reproducible else varied((p, q, weight), axis)


def _gathered(argument: str, x, gather, first):
    """Its share of a batch; refused by the name of the argument where it has none."""
    try:
        return x.gathered(gather, first)
    except check.InvalidInput as error:
        raise check.InvalidInput(argument, error.got, error.expected) from None


def _same_places(p, q, placement: Placement) -> None:
    """Refuse candidates of p and q that are in different places."""
    places = {_replicated(x, placement.axis) for x in (p, q)}
    stays = placement.ring or placement.reproducible
    got = "candidates that are spread over devices, and others that are not"
    agree = p.shape == q.shape and (len(places) == 1 or not stays)
    check.require(agree, "q", got, "those of p")
    idle = placement.ring and places == {True}
    check.require(not idle, "q", "candidates that all devices have", "no ring")


def _replicated(x, axis) -> bool:
    """Whether all devices have the same candidates."""
    points = x.as_points()
    candidates = x if points is None else points.candidates
    leaves = jax.tree.leaves(candidates)
    return not any({*_names(axis)} & varying(leaf) for leaf in leaves)


def varied(tree, axis: str | tuple[str, ...] | None):
    """The same values, typed as varying: each device adds a gradient of its own."""

    def vary(x):
        alike = tuple(name for name in _names(axis) if name not in varying(x))
        return lax.pcast(x, alike, to="varying") if alike else x

    return tree if axis is None else jax.tree.map(vary, tree)
