"""What do all pairs of points report? Tile by tile, and nothing n × m is kept."""

import functools as ft
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from icon._base.numerics import custom_gradient, zeros
from icon._base.pytrees import as_cotangent, floats_of
from icon._engines.report import Report, merged, p_gradient, q_gradient, report_of
from icon._engines.walk import Parts, Sweep, Tiling, parts_of, points_of, walked
from icon._neighborhoods import EVERYBODY, Points


class Pairing(NamedTuple):
    """Who reports, and how pairs are taken."""

    tiling: Tiling
    both: bool = False  # candidates report as well
    mirrored: bool = False  # one set, in which i scores j as j scores i


def _tile(pair, mask=None) -> tuple[Any, Any]:
    """p's rows and q's scores of the pairs of a tile."""
    p, q = pair
    ids = jnp.arange(p.shape[0], dtype=jnp.int32)
    rows = jax.vmap(p.row)(ids)
    score = jax.vmap(lambda i: q.score(i, EVERYBODY))(ids)
    if mask is None:
        return rows, score
    return rows.where(mask), jnp.where(mask, score, -jnp.inf)


def at_once(p: Points, q: Points) -> tuple[Report, Report]:
    """The reports of anchors and of candidates, all pairs held at once."""
    rows, score = _tile((p, q))
    return jax.vmap(report_of)(rows, score), jax.vmap(report_of, 1)(rows, score)


def reports(both: bool) -> Sweep:
    """The report of every anchor, and of every candidate if they report."""

    def tile(points, mask, *_):
        seen = _tile(points, mask)
        of_candidates = [jax.vmap(report_of, 1)(*seen)] if both else []
        return [jax.vmap(report_of)(*seen)], of_candidates, ()

    def start(shapes):
        empty = jax.tree.map(zeros, shapes)
        none = lambda x: x._replace(
            p_mass=x.p_mass - jnp.inf, q_mass=x.q_mass - jnp.inf
        )
        return [none(x) for x in empty]

    def accumulate(before, more):
        return [merged(x, y) for x, y in zip(before, more, strict=True)]

    return Sweep(tile, start, accumulate)


# With reports r_i of anchors, r_j of candidates (where they report) and cotangents g:
#     ∂/∂s^q_ij = ∂(g_i · r_i)/∂s^q_ij + ∂(g_j · r_j)/∂s^q_ij,  and for s^p_ij alike.
# What a tile adds to that is known from the finished reports: a second sweep.
# In one symmetric set, with G_ij = ∂(g_i · r_i)/∂s_ij, the gradient of a point is
# ∂/∂z_i = Σ_j (G_ij + G_ji) ∂s_ij/∂z_i: that of anchors alone, of both terms. Shared
# parameters see each pair twice so, and get half.


@custom_gradient
def paired(plan: Pairing, p: Points, q: Points) -> tuple[Report, ...]:
    """The reports of every anchor; of every candidate too, if they report."""
    anchors, candidates, _ = walked(reports(plan.both), plan.tiling, (p, q))
    return (*anchors, *candidates)


def _paired_fwd(plan, p, q):
    out = paired(plan, p, q)
    return out, (p, q, out)


def _paired_bwd(plan, residuals, g):
    p, q, out = residuals
    known = tuple(zip(out, g, strict=True))
    of_candidates = known[-1] if plan.both or plan.mirrored else ()
    sweep = gradients(anchors_only=plan.mirrored)
    of_anchors, of_candidates, shared = walked(
        sweep, plan.tiling, (p, q), known[0], of_candidates
    )
    shared = [x / 2 for x in shared] if plan.mirrored else shared
    return cotangents((p, q), Parts(of_anchors, of_candidates, shared))


paired.defvjp(_paired_fwd, _paired_bwd)


def cotangents(pair, gradients: Parts) -> tuple[Points, ...]:
    """Gradients of the float leaves of points, in the structure of the points."""
    return tuple(points_of(pair, Parts(*map(as_cotangent, parts_of(pair), gradients))))


def gradients(anchors_only: bool) -> Sweep:
    """∂(Σ g · report) in the parts of anchors, of candidates and shared by all."""
    add = ft.partial(jax.tree.map, jnp.add)
    tile = ft.partial(_tile_gradient, anchors_only)
    return Sweep(tile, ft.partial(jax.tree.map, zeros), add)


def _tile_gradient(anchors_only: bool, points, mask, of_anchors, of_candidates):
    floats, rebuild = zip(*map(floats_of, parts_of(points)), strict=True)
    wanted = Parts(True, not anchors_only, True)

    def scores(*chosen):
        chosen = iter(chosen)
        both = zip(wanted, floats, strict=True)
        floats_ = [next(chosen) if want else x for want, x in both]
        parts = Parts(*(put(x) for put, x in zip(rebuild, floats_, strict=True)))
        rows, score = _tile(points_of(points, parts), mask)
        return (score, rows.learned()), rows

    chosen = [x for want, x in zip(wanted, floats, strict=True) if want]
    (score, p_score), pull, rows = jax.vjp(scores, *chosen, has_aux=True)
    along = ft.partial(_summed, rows, score, of_anchors, of_candidates)
    by_q = along(q_gradient).astype(score.dtype)
    by_p = None if p_score is None else along(p_gradient)
    by_anchor, *by_candidate, shared = pull((by_q, by_p))
    nothing = jax.tree.map(jnp.zeros_like, floats[1])
    return by_anchor, by_candidate[0] if by_candidate else nothing, shared


def _summed(rows, score, of_anchors, of_candidates, gradient):
    """The gradient of what anchors report, and candidates, of those who do."""
    terms = []
    if of_anchors:
        terms.append(jax.vmap(gradient)(rows, score, *of_anchors))
    if of_candidates:
        by_column = jax.vmap(gradient, (1, 1, 0, 0), 1)
        terms.append(by_column(rows, score, *of_candidates))
    return ft.reduce(jnp.add, terms)


def tiled_log_masses(q: Points, rows: int, columns: int):
    """Every M_i, for a p that is no points."""
    return paired(Pairing(Tiling(rows, columns)), q, q)[0].q_mass
