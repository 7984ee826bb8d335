"""What do points say of each other? Tile after tile, and nothing n × n is kept."""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from icon._numbers import Numbers, merged, numbers, of_q, of_tile
from icon._numerics import floats_of, slopes_of
from icon._points import EVERYBODY, Points


class Tiling(NamedTuple):
    """How pairs are taken: so many anchors with so many candidates at once."""

    rows: int
    columns: int
    both: bool = False  # candidates report as well
    mirrored: bool = False  # one set, in which i scores j as j scores i


class Parts(NamedTuple):
    """What p and q are made of: parts of each anchor, of each candidate, of all."""

    mine: Any
    theirs: Any
    shared: Any


def _parts(pair: tuple[Points, Points]) -> Parts:
    return Parts(
        [(x.anchors, x.own, x.me) for x in pair],
        [(x.candidates, x.weight, x.who) for x in pair],
        [x.params for x in pair],
    )


def _whole(like, parts: Parts) -> list[Points]:
    """Points that are made of these parts."""

    def made(x, mine, theirs, params):
        anchors, own, me = mine
        candidates, weight, who = theirs
        new = dict(candidates=candidates, weight=weight, params=params, me=me, who=who)
        return dataclasses.replace(x, anchors=anchors, own=own, **new)

    return [made(*each) for each in zip(like, *parts, strict=True)]


# ------------------------------------------------------- tiles


def _folded(tree, count: int, size: int):
    """Rows dealt out to `size` stretches, of which each step takes one row each.

    So that rows which are spread over devices stay where they are.
    """
    many = -(-count // size)

    def fold(x):
        last = jnp.broadcast_to(x[-1:], (many * size - count, *x.shape[1:]))
        whole = jnp.concatenate([x, last]) if len(last) else x
        return jnp.swapaxes(whole.reshape(size, many, *x.shape[1:]), 0, 1)

    return jax.tree.map(fold, tree)


def _unfolded(tree, count: int):
    flat = lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:])[:count]
    return jax.tree.map(flat, tree)


def _counted(count: int, size: int):
    """Which of the folded rows are no repeats; None if none is."""
    many = -(-count // size)
    if many * size == count:
        return None
    return _folded(jnp.arange(many * size) < count, many * size, size)


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


def _swept(sweep: Sweep, tiling: Tiling, pair, by_anchor=(), by_candidate=()):
    """All tiles, strip after strip: the answers of anchors, of candidates, of all."""
    (n, m), parts = pair[0].shape, _parts(pair)
    rows, columns = min(tiling.rows, n), min(tiling.columns, m)
    mine = _folded((parts.mine, by_anchor), n, rows), _counted(n, rows)
    theirs = _folded((parts.theirs, by_candidate), m, columns), _counted(m, columns)

    def ask(mine, theirs):
        ((mine, of_mine), here), ((theirs, of_theirs), there) = mine, theirs
        counted = _pairs(here, there)
        points = _whole(pair, Parts(mine, theirs, parts.shared))
        return sweep.ask(points, counted, of_mine, of_theirs)

    first = jax.tree.map(lambda x: x[0], (mine, theirs))
    said, told, summed = jax.eval_shape(ask, *first)
    told = jax.tree.map(
        lambda x: jnp.broadcast_to(x, (-(-m // columns), *x.shape)), sweep.start(told)
    )

    def strip(carry, mine):
        def tile(carry, xs):
            said, summed = carry
            theirs, told = xs
            more = ask(mine, theirs)
            said = sweep.together(said, more[0])
            return (said, jax.tree.map(jnp.add, summed, more[2])), sweep.together(
                told, more[1]
            )

        told, summed = carry
        carry = sweep.start(said), summed
        (by_anchor, summed), told = _loop(tile, carry, (theirs, told))
        return (told, summed), by_anchor

    start = told, jax.tree.map(_zeros, summed)
    (told, summed), said = _loop(strip, start, mine)
    return _unfolded(said, n), _unfolded(told, m), summed


def _zeros(x):
    return jnp.zeros(x.shape, x.dtype)


def _pairs(here, there):
    """Which pairs of a tile count; None where all do."""
    if here is None and there is None:
        return None
    here = True if here is None else here[:, None]
    return here & (True if there is None else there[None])


def _seen(p: Points, q: Points, counted):
    """p's tile and q's scores of everybody in a tile."""
    ids = jnp.arange(p.shape[0], dtype=jnp.int32)
    tile = jax.vmap(p.tile)(ids)
    score = jax.vmap(lambda i: q.score(i, EVERYBODY))(ids)
    if counted is None:
        return tile, score
    nobody = jnp.zeros((), bool) if tile.dtype == bool else -jnp.inf
    return jnp.where(counted, tile, nobody), jnp.where(counted, score, -jnp.inf)


# ------------------------------------------------------- what everybody reports


def _reported(tiling: Tiling, p: Points, q: Points):
    """The numbers of every anchor, and of every candidate if they report."""

    def ask(points, counted, *_):
        seen = _seen(*points, counted)
        back = [jax.vmap(numbers, 1)(*seen)] if tiling.both else []
        return [jax.vmap(numbers)(*seen)], back, ()

    def nothing(said):
        none = lambda x: jnp.full(x.shape, -jnp.inf, x.dtype)
        zeros = jax.tree.map(_zeros, said)
        return [x._replace(N=none(x.N), M=none(x.M)) for x in zeros]

    def together(one, other):
        return [merged(x, y) for x, y in zip(one, other, strict=True)]

    said, told, _ = _swept(Sweep(ask, nothing, together), tiling, (p, q))
    return (*said, *told)


def meeting(tiling: Tiling | None, p: Points, q: Points) -> tuple[Numbers, ...]:
    """The numbers of every anchor; of every candidate too, if they report.

    Without a tiling, both report, and all pairs are held at once.
    """
    if tiling is not None:
        return _met(tiling, p, q)
    seen = _seen(p, q, None)
    return jax.vmap(numbers)(*seen), jax.vmap(numbers, 1)(*seen)


@ft.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _met(tiling: Tiling, p: Points, q: Points) -> tuple[Numbers, ...]:
    """Their gradient is a second sweep: what a tile adds is known from the numbers."""
    return _reported(tiling, p, q)


def _met_fwd(tiling, p, q):
    said = _reported(tiling, p, q)
    return said, (p, q, said)


def _met_bwd(tiling, saved, g):
    p, q, said = saved
    told = tuple(zip(said, g, strict=True))
    theirs = told[-1] if tiling.both or tiling.mirrored else ()
    add = Sweep(
        ft.partial(_pulled, tiling.mirrored),
        ft.partial(jax.tree.map, _zeros),
        ft.partial(jax.tree.map, jnp.add),
    )
    slopes = _swept(add, tiling, (p, q), told[0], theirs)
    parts = map(slopes_of, _parts((p, q)), slopes)
    return tuple(_whole((p, q), Parts(*parts)))


_met.defvjp(_met_fwd, _met_bwd)


def _pulled(mirrored: bool, points, counted, mine, theirs):
    """The slopes of Σ g · numbers in what a tile's points are made of."""
    floats, whole = zip(*map(floats_of, _parts(points)), strict=True)

    def seen(*floats):
        parts = Parts(*(put(x) for put, x in zip(whole, floats, strict=True)))
        if mirrored:  # what they feel of me is what I feel of them
            parts = parts._replace(theirs=lax.stop_gradient(parts.theirs))
        tile, score = _seen(*_whole(points, parts), counted)
        return (score, None) if tile.dtype == bool else (score, tile)

    (score, tile), pull = jax.vjp(seen, *floats)
    alike = tile is None
    tile = _seen(*points, counted)[0] if alike else tile
    slope = lambda of: _towards(of, tile, score, mine, theirs)
    by_score = slope(of_q).astype(score.dtype)
    of_mine, of_theirs, of_all = pull((by_score, None if alike else slope(of_tile)))
    return of_mine, of_theirs, [x / 2 for x in of_all] if mirrored else of_all


def _towards(of, tile, score, mine, theirs):
    """The slope of all that anchors say, and candidates if they do."""
    slope = jax.vmap(of)(tile, score, *mine)
    return (
        slope + jax.vmap(of, (1, 1, 0, 0), 1)(tile, score, *theirs) if theirs else slope
    )
