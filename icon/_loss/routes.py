"""Which engine sums a loss? One table of routes, and the one function that reads it."""

import functools as ft
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from icon._base import checks as check
from icon._base.numerics import common, widened
from icon._engines import (
    AnchorSum,
    Factored,
    Linear,
    OverSupport,
    Pairing,
    Placement,
    Report,
    Tiling,
    at_once,
    each,
    in_one_order,
    local_share,
    over_anchors,
    over_devices,
    over_mesh,
    over_pairs,
    paired,
    replicated,
    report,
    streamed,
    strip_length,
    tiled_log_masses,
    unplaced,
    varied,
)
from icon._neighborhoods import ONE_OR_TWO, Neighborhood, as_neighborhood


BUDGET = 2**20  # scores that are held at once; strips beyond


class Loss(NamedTuple):
    """What is summed over anchors."""

    contribution: Linear | OverSupport  # of one anchor
    joint: bool = False  # one distribution over pairs
    both: bool = False  # averaged over anchors and candidates

    @property
    def coefficients(self) -> Any:
        """Of a loss that is linear in the reports; None of another."""
        contribution = self.contribution
        return contribution.coefficients if isinstance(contribution, Linear) else None

    def of(self, numbers: Report, weight, axis):
        """The loss, from the reports of all anchors."""
        if self.joint:
            return over_pairs(self.coefficients, numbers, axis)
        return over_anchors(self.coefficients, numbers, weight, axis)


class Case(NamedTuple):
    """A loss between two neighbourhoods, and where it is summed."""

    loss: Loss
    p: Neighborhood
    q: Neighborhood
    weight: Any
    placement: Placement  # its block None where all anchors are held at once
    points: Any  # p and q as points; None where one of them is none
    bulk: dict[str, Any]  # the numbers that p and q answer for all anchors at once

    @property
    def symmetric(self) -> bool:
        return bool(self.points) and self.p.symmetric and self.q.symmetric

    @property
    def axis(self):
        return self.placement.axis


# ------------------------------------------------------- the engines


def _reproducibly(case: Case):
    p, q = case.points
    numbers, weight = in_one_order(p, q, case.weight, case.axis)
    return replicated(case.axis, case.loss.of(numbers, weight, None))


def _held(case: Case):
    return _averaged(case, at_once(*case.points))


def _in_tiles(case: Case):
    placement, (n, m) = case.placement, case.points[0].shape
    rows, columns = placement.tiles or (placement.block or n, m)
    tiling = Tiling(rows, columns, case.axis if placement.ring else None)
    plan = Pairing(tiling, case.loss.both, case.symmetric and not case.loss.both)
    return _averaged(case, paired(plan, *case.points))


def _averaged(case: Case, reports):
    """The loss of the anchors' reports, or its mean with that of the candidates'."""
    reports = reports if case.loss.both else reports[:1]
    losses = [case.loss.of(numbers, case.weight, case.axis) for numbers in reports]
    return sum(losses) / len(losses)


def _anchor_by_anchor(case: Case):
    weight = jnp.ones(case.p.shape[0]) if case.weight is None else case.weight
    weight = varied(weight, case.axis)
    plan = AnchorSum(case.loss.contribution, case.placement.block)
    total: Any = ft.partial(streamed, plan) if plan.block else plan.value
    sums = jnp.stack(common(*total((case.p, case.q), weight)))
    loss, count = over_devices(sums, case.axis)
    return loss / jnp.where(count > 0, count, 1)


def _held_reports(case: Case):
    ids = jnp.arange(case.p.shape[0])
    numbers = jax.vmap(ft.partial(report, case.p, case.q))(ids)
    return case.loss.of(numbers, case.weight, case.axis)


def _from_reports(case: Case):
    coefficients = case.loss.coefficients._asdict()
    needed = {name for name, c in coefficients.items() if c} | {"p_mass"}
    rest = [name for name in coefficients if name in needed - case.bulk.keys()]

    def one(i):
        numbers = report(case.p, case.q, i)._asdict()
        return {name: numbers[name] for name in rest}

    out = each(one, case.p.shape[0], case.placement.block) if rest else {}
    zero = dict.fromkeys(coefficients, jnp.zeros(()))
    return case.loss.of(Report(**(zero | out | case.bulk)), case.weight, case.axis)


# ------------------------------------------------------- the table


class Route(NamedTuple):
    """When an engine is taken, and what it costs."""

    name: str
    when: Callable[[Case], Any]
    engine: Callable[[Case], Any]
    sweeps: int  # over all scores, value and gradient
    memory: str  # scores held at once
    forward: bool  # whether forward mode (jvp) goes through it


ROUTES = (
    Route(
        name="the same bits on any number of devices",
        when=lambda case: case.placement.reproducible,
        engine=_reproducibly,
        sweeps=2,
        memory="a strip",
        forward=False,
    ),
    Route(
        name="tiles of a given size, or round a ring",
        when=lambda case: case.points and (case.placement.tiles or case.placement.ring),
        engine=_in_tiles,
        sweeps=2,
        memory="a tile",
        forward=False,
    ),
    Route(
        name="both directions of points, held at once",
        when=lambda case: case.loss.both and not case.placement.block,
        engine=_held,
        sweeps=1,
        memory="n m",
        forward=True,
    ),
    Route(
        name="strips of points: joint, both directions, or one symmetric set",
        when=lambda case: (
            case.points
            and case.placement.block
            and case.loss.coefficients
            and (case.loss.joint or case.loss.both or case.symmetric)
        ),
        engine=_in_tiles,
        sweeps=2,
        memory="a strip",
        forward=False,
    ),
    Route(
        name="a divergence over p's support",
        when=lambda case: not case.loss.coefficients and not case.placement.block,
        engine=_anchor_by_anchor,
        sweeps=1,
        memory="n m",
        forward=True,
    ),
    Route(
        name="strips, every anchor its own distribution",
        when=lambda case: (
            case.placement.block
            and not case.loss.joint
            and not {"q_score", "q_mass"} & case.bulk.keys()
        ),
        engine=_anchor_by_anchor,
        sweeps=1,
        memory="a strip",
        forward=False,
    ),
    Route(
        name="answers for all anchors at once",
        when=lambda case: case.bulk,
        engine=_from_reports,
        sweeps=1,
        memory="n",
        forward=False,
    ),
    Route(
        name="strips, one distribution over pairs",
        when=lambda case: case.placement.block,
        engine=_from_reports,
        sweeps=2,
        memory="a strip",
        forward=True,
    ),
    Route(
        name="all scores held at once",
        when=lambda case: True,
        engine=_held_reports,
        sweeps=1,
        memory="n m",
        forward=True,
    ),
)


def route(case: Case) -> Route:
    """The first route of the table that is open to a case."""
    return next(route for route in ROUTES if route.when(case))


# ------------------------------------------------------- from a verb to its engine


def block_of(p, q, block: int | None) -> int | None:
    """The length of a strip; None where the scores of all anchors are held."""
    n, m = p.shape[0], max(x or 1 for x in (p.shape[1], q.shape[1]))
    return strip_length(m) if block is None and n * m > BUDGET else block


def _bulk(loss: Loss, p, q, weight, placement: Placement) -> dict[str, Any]:
    """The numbers that p and q answer for all anchors at once, by name."""
    if not loss.coefficients or placement.reproducible:
        return {}
    p_score, p_mass = p.self_report() or (None, None)
    q_score, q_mass = _of_q(loss, p, q, weight, placement)
    numbers = Report(p_score, q_score, p_mass, q_mass)
    return {name: x for name, x in numbers._asdict().items() if x is not None}


def _of_q(loss: Loss, p, q, weight, placement: Placement):
    """E_p s^q over all anchors and the log-masses of q, where q answers and it counts.

    A number that a loss has no coefficient for is not asked for: half of a program.
    """
    factors, c = q.as_factors(), loss.coefficients
    if factors is not None:
        shared = Factored(factors)
        q_score = p.expected(shared, weight, loss.joint)
        return q_score, None if q_score is None else shared.log_masses()
    q_score = p.expected(q, weight, loss.joint) if c.q_score else None
    q_points = q.as_points()
    if placement.tiles and q_points is not None and p.as_points() is None:
        return q_score, tiled_log_masses(q_points, *placement.tiles)
    if not c.q_mass:
        return q_score, None
    return q_score, q.joint_log_mass() if loss.joint else q.log_masses()


def _case(p, q, weight, loss: Loss, placement: Placement) -> Case:
    p, q = widened((p, q))
    placement = placement._replace(block=block_of(p, q, placement.block))
    points = p.as_points(), q.as_points()
    points = None if None in points else points
    bulk = _bulk(loss, p, q, weight, placement)
    return Case(loss, p, q, weight, placement, points, bulk)


@ft.partial(jax.jit, static_argnames=("loss", "placement"))
def _loss_of(p, q, weight, *, loss: Loss, placement: Placement):
    case = _case(p, q, weight, loss, placement)
    return route(case).engine(case)


def summed(loss: Loss, p, q, weight=None, block=None, axis_name=None):
    """A loss, by the engine that its route names."""
    p, q, weight, placement = checked(loss, p, q, weight, block, axis_name)
    p = p.prepared() if q.wants_edges else p
    engine = ft.partial(_loss_of, loss=loss, placement=placement)
    try:
        return over_mesh(engine, p, q, weight)(p, q, weight)
    except TypeError as error:
        if "(jvp) to a custom_vjp function" in str(error):
            _refuse_forward_mode(loss, p, q, weight, placement, error)
        raise


def _refuse_forward_mode(loss, p, q, weight, placement, error) -> None:
    """Say which routes have no forward mode, where JAX says that there is none."""
    taken: list[Route] = []

    def find(p, q, weight):
        taken.append(route(_case(p, q, weight, loss, placement)))

    jax.eval_shape(find, p, q, weight)
    if not taken[0].forward:
        got = f"forward mode (jvp, jacfwd) through {taken[0].name}"
        cure = "reverse mode (grad, vjp), or few enough scores to be held at once"
        raise check.InvalidInput("block", got, cure) from error


def checked(loss: Loss, p, q, weight=None, block=None, axis_name=None) -> Any:
    """p, q and weights that fit one another and the loss, and their placement."""
    check.boolean("joint", loss.joint)
    p, q, placement = unplaced(p, q, block, axis_name)
    p = as_neighborhood("p", p, "support")
    got = f"shapes {p.shape} and {q.shape}"
    check.require(p.shape == q.shape, "q", got, "the anchors and candidates of p")
    got = f"{p.sets} set(s) of points, p, against {q.sets}, q"
    check.require({p.sets, q.sets} != {1, 2}, "q", got, ONE_OR_TWO)
    own = "None: joint takes the weights from p's masses"
    both = loss.joint and weight is not None
    check.require(not both, "weight", "a weight with joint=True", own)
    if weight is not None:
        weight = check.weights("weight", weight, jnp.zeros(()), p.shape[0])
    if placement.reproducible:
        _refuse_irreproducible(loss, p, q)
    if not loss.coefficients:
        _refuse_partial_support(p, q, placement)
    if placement.axis is not None:
        p, q, weight = local_share(p, q, weight, placement)
    return p.against(q) if loss.coefficients else p, q, weight, placement


def _refuse_irreproducible(loss: Loss, p, q) -> None:
    linear = "kl, cross_entropy"
    check.require(loss.coefficients, "deterministic", "this divergence", linear)
    bare = "points without weights, where bits are not to depend on devices"
    for name, x in (("p", p), ("q", q)):
        points = x.as_points()
        plain = points is not None and points.is_bare
        check.require(plain, name, "another kind", bare)


def _refuse_partial_support(p, q, placement: Placement) -> None:
    """A divergence that is not linear wants p's whole support in one place, once.

    Where q does not sum to one, it may be below 0 or above its bound.
    """
    estimate = "a limit, or an estimate: it does not sum to one"
    check.require(q.is_normalized, "q", estimate, "probabilities")
    gathered = "sharded(q, axis_name), without a ring"
    check.require(not placement.ring, "q", "candidates that go round", gathered)
    check.require(placement.tiles is None, "q", "tiles", "points as they are")
    once = "a support that lists every neighbour once: smooth without samples"
    check.require(not p.repeats, "p", "a support drawn at random", once)
    signed = "probabilities that may be below zero"
    check.require(not p.is_signed, "p", signed, "a limit of the first order")
