"""How are pairs walked? Tile after tile, and from device to device."""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from icon._base.numerics import zeros
from icon._neighborhoods.points import Points


class Tiling(NamedTuple):
    """How pairs are taken: so many anchors with so many candidates at once."""

    rows: int
    columns: int
    ring: str | tuple[str, ...] | None = (
        None  # the axis of the devices that pass candidates round
    )


class Parts(NamedTuple):
    """What p and q are made of: parts of each anchor, of each candidate, of all."""

    mine: Any
    theirs: Any
    shared: Any


def parts_of(pair: tuple[Points, Points]) -> Parts:
    return Parts(
        [(x.anchors, x.own, x.me) for x in pair],
        [(x.candidates, x.weight, x.who) for x in pair],
        [x.params for x in pair],
    )


def made_of(like, parts: Parts) -> Any:
    """Points that are made of these parts."""

    def made(x, mine, theirs, params):
        anchors, own, me = mine
        candidates, weight, who = theirs
        new = dict(candidates=candidates, weight=weight, params=params, me=me, who=who)
        return dataclasses.replace(x, anchors=anchors, own=own, **new)

    return [made(*each) for each in zip(like, *parts, strict=True)]


# ------------------------------------------------------- tiles


def folded(tree, count: int, size: int):
    """Rows in strips of one length; the last repeats a row, which is not counted."""
    many = -(-count // size)

    def fold(x):
        more = many * size - count
        last = [jnp.broadcast_to(x[-1:], (more, *x.shape[1:]))] if more else []
        whole = jnp.concatenate([x, *last]) if last else x
        return whole.reshape(many, size, *x.shape[1:])

    return jax.tree.map(fold, tree)


def unfolded(tree, count: int):
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:count], tree)


def _counted(count: int, size: int):
    """Which of the folded rows are no repeats; None if none is."""
    many = -(-count // size)
    if many * size == count:
        return None
    return (jnp.arange(many * size) < count).reshape(many, size)


def _loop(body: Callable, carry, xs):
    """A scan, without the loop where there is one step only."""
    if jax.tree.leaves(xs)[0].shape[0] > 1:
        return lax.scan(body, carry, xs)
    carry, ys = body(carry, jax.tree.map(lambda x: x[0], xs))
    return carry, jax.tree.map(lambda y: y[None], ys)


class Sweep(NamedTuple):
    """What is asked of every tile, and how the answers are put together.

    `ask`(points, which of its pairs count, told of the anchors, told of the
    candidates) answers (by anchor, by candidate, by all).
    """

    ask: Callable
    start: Callable  # what is there before the first answer, from its shapes
    together: Callable


def walked(sweep: Sweep, tiling: Tiling, pair, by_anchor=(), by_candidate=()):
    """Here, or round the ring."""
    walk = ringed if tiling.ring else swept
    return walk(sweep, tiling, pair, by_anchor, by_candidate)


def swept(sweep: Sweep, tiling: Tiling, pair, by_anchor=(), by_candidate=()):
    """All tiles, strip after strip: the answers of anchors, of candidates, of all."""
    (n, m), parts = pair[0].shape, parts_of(pair)
    rows, columns = min(tiling.rows, n), min(tiling.columns, m)
    mine = folded((parts.mine, by_anchor), n, rows), _counted(n, rows)
    theirs = folded((parts.theirs, by_candidate), m, columns), _counted(m, columns)
    ask = ft.partial(_asked, sweep, pair)
    first = jax.tree.map(lambda x: x[0], (mine, theirs))
    said, told, summed = jax.eval_shape(ask, *first)
    many = lambda x: jnp.broadcast_to(x, (-(-m // columns), *x.shape))
    start = jax.tree.map(many, sweep.start(told)), jax.tree.map(zeros, summed)
    strip = ft.partial(_strip, sweep, ask, theirs, said)
    (told, summed), said = _loop(strip, start, mine)
    return unfolded(said, n), unfolded(told, m), summed


def _asked(sweep: Sweep, pair, mine, theirs):
    """What is answered about a tile."""
    ((mine, by_anchor), here), ((theirs, by_candidate), there) = mine, theirs
    points = made_of(pair, Parts(mine, theirs, parts_of(pair).shared))
    return sweep.ask(points, _pairs(here, there), by_anchor, by_candidate)


def _strip(sweep: Sweep, ask: Callable, theirs, said, carry, mine):
    """Some anchors and all candidates, tile after tile."""

    def tile(carry, xs):
        said, summed = carry
        theirs, told = xs
        more = ask(mine, theirs)
        carry = sweep.together(said, more[0]), jax.tree.map(jnp.add, summed, more[2])
        return carry, sweep.together(told, more[1])

    told, summed = carry
    carry = sweep.start(said), summed
    (by_anchor, summed), told = _loop(tile, carry, (theirs, told))
    return (told, summed), by_anchor


def _pairs(here, there):
    """Which pairs of a tile count; None where all do."""
    if here is None and there is None:
        return None
    here = True if here is None else here[:, None]
    return here & (True if there is None else there[None])


def ringed(sweep: Sweep, tiling: Tiling, pair, by_anchor=(), by_candidate=()):
    """The same where every device has some of the candidates, which go round."""
    parts, size = parts_of(pair), lax.axis_size(tiling.ring)

    def ask(theirs, by_candidate):
        here = made_of(pair, parts._replace(theirs=theirs))
        return swept(sweep, tiling, here, by_anchor, by_candidate)

    def step(carry, _):
        (said, summed), (theirs, by_candidate, told) = carry
        more = ask(theirs, by_candidate)
        told = sweep.together(told, more[1])
        here = sweep.together(said, more[0]), jax.tree.map(jnp.add, summed, more[2])
        return (here, _passed_on((theirs, by_candidate, told), tiling.ring)), None

    said, told, summed = jax.eval_shape(ask, parts.theirs, by_candidate)
    here = sweep.start(said), jax.tree.map(zeros, summed)
    start = here, (parts.theirs, by_candidate, sweep.start(told))
    ((said, summed), (_, _, told)), _ = lax.scan(step, start, length=size)
    return said, told, summed


def _passed_on(tree, axis):
    """To the next device of the ring."""
    size = lax.axis_size(axis)
    ring = [(i, (i + 1) % size) for i in range(size)]
    return jax.tree.map(lambda x: lax.ppermute(x, axis, ring), tree)
