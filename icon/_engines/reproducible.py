"""How do bits not depend on the number of devices? Sums are taken in one order.

Every device owns its anchors. What they report comes in strips of one length, whatever
the number of devices, and is gathered; then each device works out the whole gradient of
its own anchors and candidates.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from icon._base.blocks import blocks_of, rows_of
from icon._base.numerics import custom_gradient, varying
from icon._engines.devices import varied
from icon._engines.report import Report
from icon._engines.tiles import cotangents, gradients, reports
from icon._engines.walk import Parts, Tiling, parts_of, points_of, swept
from icon._neighborhoods import Points


STRIPS = 64  # of all anchors, on any number of devices that divides it
HELD = 2**23  # scores of one strip, where there are more anchors than that allows


class Ownership(NamedTuple):
    """Over which axis anchors are spread, and whether the candidates are too."""

    axis: str | tuple[str, ...] | None
    spread: bool

    @property
    def devices(self) -> int:
        return 1 if self.axis is None else lax.axis_size(self.axis)


def _gather(tree, axis):
    """The rows of all devices, in the order of the devices."""
    gather = lambda x: lax.all_gather(x, axis, tiled=True)
    return tree if axis is None else jax.tree.map(gather, tree)


def _own_rows(tree, axis, count: int):
    """This device's rows of those of all."""
    if axis is None:
        return tree
    first = lax.axis_index(axis) * count
    return jax.tree.map(lambda x: lax.dynamic_slice_in_dim(x, first, count), tree)


def _once(tree, axis):
    """Zero but on the first device: a sum over devices then changes no bit."""
    if axis is None:
        return tree
    first = lax.axis_index(axis) == 0
    return jax.tree.map(lambda x: jnp.where(first, x, 0), tree)


def _strip_length(here: int, devices: int, others: int) -> int:
    """Anchors in a strip: it divides what any device has, so that no row is filled."""
    count = here * devices
    rows = count // math.gcd(count, STRIPS)
    while rows % 2 == 0 and rows * others > HELD:
        rows //= 2
    return math.gcd(rows, here)


def _in_strips(sweep, rows: int, pair, by_anchor=(), by_candidate=()):
    """A sweep in strips that are the same on any device: per anchor, and per strip."""
    (n, m), parts = pair[0].shape, parts_of(pair)

    def strip(xs):
        anchors, by_anchor = xs
        points = points_of(pair, parts._replace(anchors=anchors))
        tiling = Tiling(rows, m)
        out, _, shared = swept(sweep, tiling, points, by_anchor, by_candidate)
        return out, shared

    out, shared = lax.map(strip, blocks_of((parts.anchors, by_anchor), n, rows))
    return rows_of(out, n), shared


# With the reports r_i of all anchors and their cotangents g_i on every device:
#     ∂/∂a_i = Σ_j ∂(g_i · r_i)/∂s_ij ∂s_ij/∂a_i      by the owner of anchor i
#     ∂/∂b_j = Σ_i ∂(g_i · r_i)/∂s_ij ∂s_ij/∂b_j      by the owner of candidate j
# each a sum in one order; what is shared by all pairs is summed strip by strip.


@custom_gradient
def owned(owner: Ownership, p: Points, q: Points) -> Report:
    """The reports of the anchors of all devices, the same bits on any number."""
    pair = _with_candidates(owner, p, q)
    rows = _strip_length(p.shape[0], owner.devices, pair[0].shape[1])
    (out,), _ = _in_strips(reports(both=False), rows, pair)
    return lax.optimization_barrier(_gather(out, owner.axis))


def _with_candidates(owner: Ownership, p, q):
    """p and q with the candidates of all devices."""
    parts = parts_of((p, q))
    if owner.spread:
        parts = parts._replace(candidates=_gather(parts.candidates, owner.axis))
    return points_of((p, q), parts)


def _owned_fwd(owner, p, q):
    out = owned(owner, p, q)
    return out, (p, q, out)


def _owned_bwd(owner, residuals, g):
    p, q, out = residuals
    parts, n, axis = parts_of((p, q)), p.shape[0], owner.axis
    known = out, g  # of all anchors
    pair, sweep = _with_candidates(owner, p, q), gradients(anchors_only=True)
    rows = _strip_length(n, owner.devices, pair[0].shape[1])
    by_anchor, shared = _in_strips(sweep, rows, pair, _own_rows(known, axis, n))
    all_anchors = parts._replace(anchors=_gather(parts.anchors, axis))
    transposed = [x.T for x in points_of((p, q), all_anchors)]
    holders = owner.devices if owner.spread else 1
    rows = _strip_length(p.shape[1], holders, n * owner.devices)
    by_candidate, _ = _in_strips(sweep, rows, transposed, (), known)
    by_candidate = by_candidate if owner.spread else _once(by_candidate, axis)
    shared = [jnp.sum(x, 0) for x in _gather(shared, axis)]
    gradient = Parts(by_anchor, by_candidate, _once(shared, axis))
    return cotangents((p, q), lax.optimization_barrier(gradient))  # keeps it unfused


owned.defvjp(_owned_fwd, _owned_bwd)


# y = all devices' x, on each; ∂/∂x is the own share of ∂/∂y, which all devices have.


@custom_gradient
def _gathered_weights(axis, weight):
    return _gather(weight, axis)


_gathered_weights.defvjp(
    lambda axis, weight: (_gather(weight, axis), weight.shape[0]),
    lambda axis, count, g: (_own_rows(g, axis, count),),
)


# y = x, typed as the same on all devices; ∂/∂x = ∂/∂y on each of them.


@custom_gradient
def replicated(axis, value):
    """A number that every device has worked out, as one in which none differs."""
    return value if axis is None else lax.psum(_once(value, axis), axis)


replicated.defvjp(
    lambda axis, value: (replicated(axis, value), None),
    lambda axis, _, g: (varied(g, axis),),
)


def in_one_order(p: Points, q: Points, weight, axis):
    """The reports and the weights of the anchors of all devices, on every device."""
    candidates = jax.tree.leaves(parts_of((p, q)).candidates)
    spread = axis is not None and any(varying(x) for x in candidates)
    # one set is two to the compiler, as it is where candidates come from elsewhere
    pair = lax.optimization_barrier(varied((p, q), axis))
    out = lax.optimization_barrier(owned(Ownership(axis, spread), *pair))
    if weight is not None:
        weight = _gathered_weights(axis, varied(weight, axis))
    return out, weight
