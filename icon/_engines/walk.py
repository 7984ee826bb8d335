"""How are pairs of points taken tile by tile? Here, or with candidates in a ring."""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from icon._base.blocks import blocks_of, rows_of, valid_rows
from icon._base.numerics import zeros


class Tiling(NamedTuple):
    """How many anchors are taken with how many candidates at once."""

    rows: int
    columns: int
    ring: str | tuple[str, ...] | None = None  # the axis round which candidates go


class Parts(NamedTuple):
    """The leaves of p and q: of each anchor, of each candidate, shared by all."""

    anchors: Any
    candidates: Any
    shared: Any


def parts_of(pair) -> Parts:
    return Parts(
        [(x.anchors, x.per_anchor, x.anchor_id) for x in pair],
        [(x.candidates, x.weight, x.candidate_id) for x in pair],
        [x.params for x in pair],
    )


def points_of(like, parts: Parts) -> Any:
    """p and q made of these parts; otherwise like those."""

    def rebuilt(x, of_anchors, of_candidates, params):
        anchors, per_anchor, anchor_id = of_anchors
        candidates, weight, candidate_id = of_candidates
        return dataclasses.replace(
            x,
            anchors=anchors,
            per_anchor=per_anchor,
            anchor_id=anchor_id,
            candidates=candidates,
            weight=weight,
            candidate_id=candidate_id,
            params=params,
        )

    return [rebuilt(*each) for each in zip(like, *parts, strict=True)]


class Sweep(NamedTuple):
    """What is computed of every tile, and how the results are accumulated.

    `tile`(points, mask, data of the anchors, data of the candidates) returns results
    (per anchor, per candidate, shared by all); the last are added up.
    """

    tile: Callable
    start: Callable  # the accumulator before the first tile, from the shapes of results
    accumulate: Callable


def walked(sweep: Sweep, tiling: Tiling, pair, by_anchor=(), by_candidate=()):
    """All tiles; of this device, or with candidates that go round the ring."""
    walk = ringed if tiling.ring else swept
    return walk(sweep, tiling, pair, by_anchor, by_candidate)


def swept(sweep: Sweep, tiling: Tiling, pair, by_anchor=(), by_candidate=()):
    """All tiles, strip after strip: results per anchor, per candidate, and shared."""
    (n, m), parts = pair[0].shape, parts_of(pair)
    rows, columns = min(tiling.rows, n), min(tiling.columns, m)
    anchors = blocks_of((parts.anchors, by_anchor), n, rows), valid_rows(n, rows)
    candidates = blocks_of((parts.candidates, by_candidate), m, columns)
    candidates = candidates, valid_rows(m, columns)

    def tile(of_anchors, of_candidates):
        ((anchors, by_anchor), rows), ((candidates, by_candidate), columns) = (
            of_anchors,
            of_candidates,
        )
        points = points_of(pair, Parts(anchors, candidates, parts.shared))
        return sweep.tile(points, _outer(rows, columns), by_anchor, by_candidate)

    first = jax.tree.map(lambda x: x[0], (anchors, candidates))
    anchor_shape, candidate_shape, shared_shape = jax.eval_shape(tile, *first)
    strips = lambda x: jnp.broadcast_to(x, (-(-m // columns), *x.shape))
    start = jax.tree.map(strips, sweep.start(candidate_shape))
    start = start, jax.tree.map(zeros, shared_shape)
    strip = ft.partial(_strip, sweep, tile, candidates, anchor_shape)
    (candidate_out, shared), anchor_out = _scan(strip, start, anchors)
    return rows_of(anchor_out, n), rows_of(candidate_out, m), shared


def _strip(sweep: Sweep, tile: Callable, candidates, anchor_shape, carry, anchors):
    """Some anchors and all candidates, tile after tile."""

    def step(carry, xs):
        anchor_out, shared = carry
        candidates, candidate_out = xs
        more = tile(anchors, candidates)
        shared = jax.tree.map(jnp.add, shared, more[2])
        carry = sweep.accumulate(anchor_out, more[0]), shared
        return carry, sweep.accumulate(candidate_out, more[1])

    candidate_out, shared = carry
    carry = sweep.start(anchor_shape), shared
    (anchor_out, shared), candidate_out = _scan(
        step, carry, (candidates, candidate_out)
    )
    return (candidate_out, shared), anchor_out


def _scan(body: Callable, carry, xs):
    """lax.scan, without its loop where there is one step only."""
    if jax.tree.leaves(xs)[0].shape[0] > 1:
        return lax.scan(body, carry, xs)
    carry, ys = body(carry, jax.tree.map(lambda x: x[0], xs))
    return carry, jax.tree.map(lambda y: y[None], ys)


def _outer(rows, columns):
    """Which pairs of a tile are valid; None where all are."""
    if rows is None and columns is None:
        return None
    rows = True if rows is None else rows[:, None]
    return rows & (True if columns is None else columns[None])


def ringed(sweep: Sweep, tiling: Tiling, pair, by_anchor=(), by_candidate=()):
    """The same where every device has some of the candidates, passed round a ring."""
    parts, size = parts_of(pair), lax.axis_size(tiling.ring)

    def visit(candidates, by_candidate):
        points = points_of(pair, parts._replace(candidates=candidates))
        return swept(sweep, tiling, points, by_anchor, by_candidate)

    def step(carry, _):
        (anchor_out, shared), (candidates, by_candidate, candidate_out) = carry
        more = visit(candidates, by_candidate)
        candidate_out = sweep.accumulate(candidate_out, more[1])
        shared = jax.tree.map(jnp.add, shared, more[2])
        visitors = _passed_on((candidates, by_candidate, candidate_out), tiling.ring)
        return ((sweep.accumulate(anchor_out, more[0]), shared), visitors), None

    shapes = jax.eval_shape(visit, parts.candidates, by_candidate)
    local = sweep.start(shapes[0]), jax.tree.map(zeros, shapes[2])
    visitors = parts.candidates, by_candidate, sweep.start(shapes[1])
    carry, _ = lax.scan(step, (local, visitors), length=size)
    (anchor_out, shared), (_, _, candidate_out) = carry
    return anchor_out, candidate_out, shared


def _passed_on(tree, axis):
    """To the next device of the ring."""
    size = lax.axis_size(axis)
    ring = [(i, (i + 1) % size) for i in range(size)]
    return jax.tree.map(lambda x: lax.ppermute(x, axis, ring), tree)
