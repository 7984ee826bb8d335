"""Whose neighbours are on other devices? Anchors stay, candidates are brought."""

import functools as ft
from typing import Any

import jax
from jax import lax

from icon._base import checks as check
from icon._base.numerics import varying
from icon._engines.report import apart
from icon._neighborhoods.points import Around, pytree, static


@pytree
class Sharded(Around):
    """Neighbours of whom every device has its own share of anchors and candidates."""

    base: Any
    axis_name: str | tuple[str, ...] = static()
    ring: bool = static()

    @property
    def T(self):
        return self._round(self.base.T)

    def _round(self, base):
        return Sharded(base, self.axis_name, self.ring)

    def reduced(self, reduction):
        return self._round(self.base.reduced(reduction))

    def reweighed(self, weight):
        return self._round(self.base.reweighed(weight))


def _place(axis: str):
    """Which device of an axis this is, where that can be known and gradients are."""
    inside = "an axis of the shard_map that the loss is inside of"
    check.require(isinstance(axis, str | tuple), "axis_name", repr(axis), inside)
    try:
        place = lax.axis_index(axis)
    except NameError:
        raise check.InvalidInput("axis_name", repr(axis), inside) from None
    silent = "a shard_map with check_vma=False, which scales gradients unseen"
    known = "one that checks what varies: leave check_vma=True"
    check.require(set(_names(axis)) <= varying(place), "axis_name", silent, known)
    return place


def _names(axis) -> tuple[str, ...]:
    """The axes of a mesh that a batch is spread over, one or several."""
    return axis if isinstance(axis, tuple) else (axis,)


def spread(p, q, weight, how):
    """This device's share of p and q: its anchors, and candidates brought to them."""
    axis = how.axis
    first = _place(axis) * p.shape[0]

    def gather(x):
        """From all devices, unless all have the same or they will go round."""
        apart = tuple(name for name in _names(axis) if name in varying(x))
        stay = how.ring or how.exact or not apart
        return x if stay else lax.all_gather(x, apart, tiled=True)

    bring = ft.partial(jax.tree.map, gather)
    for name, x in (("p", p), ("q", q)):
        check.answers(name, x, "moved")
        tellable = not how.ring or apart(x) is not None
        check.require(tellable, name, "a limit or a mix", "points, to be passed round")
    got = "a batch of which every device has all"
    ours = any({*_names(axis)} & varying(x) for x in jax.tree.leaves(q))
    check.require(ours, "q", got, "the share of each device: in_specs=P(axis_name)")
    share = _moved("p", p, bring, first), _moved("q", q, bring, first), weight
    _agree(*share[:2], how)
    return share if how.exact else own_copy(share, axis)


def _moved(name: str, x, bring, first):
    """Its share of a whole; who has none is refused by the name it has here."""
    try:
        return x.moved(bring, first)
    except check.InvalidInput as error:
        raise check.InvalidInput(name, error.got, error.expected) from None


def _agree(p, q, how):
    """The candidates of p and q are in the same places, and may be passed round."""
    places = {_everywhere(x, how.axis) for x in (p, q)}
    got = "candidates that are spread over devices, and others that are not"
    alike = p.shape == q.shape and (len(places) == 1 or not (how.ring or how.exact))
    check.require(alike, "q", got, "those of p")
    stay = how.ring and places == {True}
    check.require(not stay, "q", "candidates that all devices have", "no ring")


def _everywhere(x, axis) -> bool:
    """Whether all devices have the same candidates."""
    theirs = getattr(x, "candidates", x)
    return not any({*_names(axis)} & varying(leaf) for leaf in jax.tree.leaves(theirs))


def own_copy(tree, axis: str | tuple[str, ...] | None):
    """The same on every device, where each will have a slope of its own to add."""

    def vary(x):
        alike = tuple(name for name in _names(axis) if name not in varying(x))
        return lax.pcast(x, alike, to="varying") if alike else x

    return tree if axis is None else jax.tree.map(vary, tree)


def sharded(q, axis_name: str | tuple[str, ...], *, ring: bool = False) -> Sharded:
    """The same neighbours, of whom each device of an axis holds its own share.

    $$q_{ij} = e^{s_{ij}} / \\textstyle\\sum_{d} \\sum_{k \\in \\text{device } d}
      e^{s_{ik}}$$

    Inside of a shard_map the loss is that of the global batch, as `axis_name=` of the
    verbs makes it: candidates are gathered once, and nobody is their own neighbour by
    their place in the whole batch. With `ring`, they are passed round instead, and a
    device never holds more than its own and one neighbour's share.

    Args:
        q: points, and what is made of them.
        axis_name: the axis of the mesh that the batch is spread over.
        ring: candidates go round, n·d / devices numbers at a time.

    Raises:
        InvalidInput: nothing that can be spread; by the verbs, an axis that is not
            there, or a shard_map that does not check what varies.

    Example:
        >>> import icon, jax, jax.numpy as jnp
        >>> from jax.sharding import PartitionSpec as P
        >>> mesh = jax.make_mesh((1,), ("data",), (jax.sharding.AxisType.Auto,))
        >>> def loss(ids, z):
        ...     q = icon.sharded(icon.cosine(z), "data", ring=True)
        ...     return icon.kl(icon.same(ids), q)
        >>> spread = dict(mesh=mesh, in_specs=P("data"), out_specs=P())
        >>> ids, z = jnp.array([0, 0, 1, 1]), jnp.eye(4)
        >>> float(jax.shard_map(loss, **spread)(ids, z)) == float(
        ...     icon.kl(icon.same(ids), icon.cosine(z))
        ... )
        True

    Source: Liu et al., Ring attention with blockwise transformers, 2023.
    """
    check.answers("q", q, "shape", "score", "log_mass", "moved")
    named = isinstance(axis_name, str | tuple)
    check.require(named, "axis_name", axis_name, "the name of an axis, or several")
    return Sharded(q, axis_name, bool(ring))
