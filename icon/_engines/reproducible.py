"""How do bits not depend on the number of devices? Everybody works out their own."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from icon._base.numerics import sloped, varying
from icon._engines.devices import own_copy
from icon._engines.report import Numbers
from icon._engines.tiles import pulls, put_back, reports
from icon._engines.walk import Parts, Tiling, folded, made_of, parts_of, swept, unfolded
from icon._neighborhoods.points import Points


STRIPS = 64  # of all anchors, on any number of devices that divides it
HELD = 2**23  # scores of one strip, where there are more anchors than that allows


class Ownership(NamedTuple):
    """Over which axis anchors are spread, and whether the candidates are too."""

    axis: str | tuple[str, ...] | None
    spread: bool


def _everybodys(tree, axis):
    """What all devices have of it, in the order of the devices."""
    gather = lambda x: lax.all_gather(x, axis, tiled=True)
    return tree if axis is None else jax.tree.map(gather, tree)


def _mine(tree, axis, count: int):
    """This device's share of what everybody has."""
    if axis is None:
        return tree
    first = lax.axis_index(axis) * count
    cut = lambda x: lax.dynamic_slice_in_dim(x, first, count)
    return jax.tree.map(cut, tree)


def _once(tree, axis):
    """Counted on the first device only: adding zeros changes no bit."""
    if axis is None:
        return tree
    first = lax.axis_index(axis) == 0
    return jax.tree.map(lambda x: jnp.where(first, x, 0), tree)


def _rows(here: int, devices: int, others: int) -> int:
    """The length of a strip of the anchors here: it divides what any device has."""
    count = here * devices
    rows = count // math.gcd(count, STRIPS)
    while rows % 2 == 0 and rows * others > HELD:
        rows //= 2
    return math.gcd(rows, here)  # no row is repeated, whatever the number of devices


def _strips(sweep, rows: int, pair, by_anchor=(), by_candidate=()):
    """A sweep in strips that are the same on any device; what is of all, of each."""
    (n, m), parts = pair[0].shape, parts_of(pair)

    def strip(xs):
        mine, by_anchor = xs
        own = made_of(pair, parts._replace(mine=mine))
        said, _, shared = swept(sweep, Tiling(rows, m), own, by_anchor, by_candidate)
        return said, shared

    said, shared = lax.map(strip, folded((parts.mine, by_anchor), n, rows))
    return unfolded(said, n), shared


@sloped
def owned(who: Ownership, p: Points, q: Points) -> Numbers:
    """The numbers of the anchors of all devices, with the same bits on any number."""
    parts = parts_of((p, q))
    theirs = _everybodys(parts.theirs, who.axis) if who.spread else parts.theirs
    pair = made_of((p, q), parts._replace(theirs=theirs))
    rows = _rows(p.shape[0], _devices(who.axis), pair[0].shape[1])
    (said,), _ = _strips(reports(both=False), rows, pair)
    return lax.optimization_barrier(_everybodys(said, who.axis))


def _devices(axis) -> int:
    return 1 if axis is None else lax.axis_size(axis)


def _owned_fwd(who, p, q):
    said = owned(who, p, q)
    return said, (p, q, said)


def _owned_bwd(who, saved, g):
    p, q, said = saved
    parts, n = parts_of((p, q)), p.shape[0]
    told = said, g  # which every device knows in full
    theirs = _everybodys(parts.theirs, who.axis) if who.spread else parts.theirs
    pair = made_of((p, q), parts._replace(theirs=theirs))
    devices, pull = _devices(who.axis), pulls(mine_only=True)
    rows = _rows(n, devices, pair[0].shape[1])
    mine, shared = _strips(pull, rows, pair, _mine(told, who.axis, n))
    everybody = parts._replace(mine=_everybodys(parts.mine, who.axis))
    turned = [x.T for x in made_of((p, q), everybody)]
    rows = _rows(p.shape[1], devices if who.spread else 1, n * devices)
    theirs, _ = _strips(pull, rows, turned, (), told)
    theirs = theirs if who.spread else _once(theirs, who.axis)
    sums = [jnp.sum(x, 0) for x in _everybodys(shared, who.axis)]
    slopes = Parts(mine, theirs, _once(sums, who.axis))
    return put_back((p, q), lax.optimization_barrier(slopes))  # not fused with others


owned.defvjp(_owned_fwd, _owned_bwd)


@sloped
def _told(axis, mine):
    """What all devices have, told to each; of its slope each keeps its own share."""
    return _everybodys(mine, axis)


_told.defvjp(
    lambda axis, mine: (_told(axis, mine), mine.shape[0]),
    lambda axis, count, g: (_mine(g, axis, count),),
)


@sloped
def counted_once(axis, value):
    """A number that every device knows, as one that none of them differs in."""
    return value if axis is None else lax.psum(_once(value, axis), axis)


counted_once.defvjp(
    lambda axis, value: (counted_once(axis, value), None),
    lambda axis, _, g: (own_copy(g, axis),),
)


def in_order(p: Points, q: Points, weight, axis):
    """The numbers and the weights of the anchors of all devices, on every device."""
    theirs = jax.tree.leaves(parts_of((p, q)).theirs)
    spread = any(varying(x) for x in theirs) and axis is not None
    # one set is two to the compiler, as it is where candidates come from elsewhere
    pair = lax.optimization_barrier(own_copy((p, q), axis))
    numbers = lax.optimization_barrier(owned(Ownership(axis, spread), *pair))
    return numbers, None if weight is None else _told(axis, weight)
