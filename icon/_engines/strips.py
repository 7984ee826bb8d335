"""How are all anchors asked? All at once, or strip after strip."""

import contextlib
import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from icon._base import checks as check
from icon._base.config import exactly
from icon._base.numerics import instantiated, is_float, sloped, widen
from icon._engines.report import expect


CACHED = 256, 2**25  # anchors of a strip, and scores, that a cache holds
BUSY = 4096, 2**28  # that keep an accelerator busy


def strip(m: int) -> int:
    """How many anchors to take at once, of m candidates each."""
    rows, scores = CACHED if jax.default_backend() == "cpu" else BUSY
    return max(16, min(rows, scores // m))


def each(one, n: int, block: int | None) -> Any:
    """One answer per anchor: all at once, or strip after strip, forgetting each."""
    if block is None:
        return jax.vmap(one)(jnp.arange(n))
    said = lax.map(jax.checkpoint(jax.vmap(one)), _strips(n, block)[0])
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n], said)


def _strips(n: int, block: int):
    """The anchors in strips of one length; the last repeats an anchor, not counted."""
    ids = jnp.arange(-(-n // block) * block, dtype=jnp.int32).reshape(-1, block)
    return jnp.minimum(ids, n - 1), ids < n


@dataclasses.dataclass(frozen=True)
class OneSweep:
    """A sum over anchors, each with a distribution of its own.

    A strip knows its own log-masses, so its share of the gradient is taken as it
    passes: nothing n × n is kept, and nothing is computed twice.
    """

    divergence: Callable
    block: Any  # None holds all anchors at once: for a value, not for slopes

    def value(self, pair, weight):
        """The sum of those who have a neighbour, and what they weigh."""
        value, met = each(ft.partial(self.divergence, *pair), len(weight), self.block)
        weight = weight.astype(value.dtype)
        return expect(weight, value), jnp.sum(jnp.where(met, weight, 0))

    def slopes(self, wrt, rebuild, weight):
        def strip(wrt, ids, there):
            value, met = jax.vmap(ft.partial(self.divergence, *rebuild(wrt)))(ids)
            said = value, met & there
            return expect(jnp.where(there, weight[ids], 0), value), said

        slope, (value, met) = _accumulate(strip, wrt, weight.shape[0], self.block)
        weight = jnp.where(met, weight, 0).astype(value.dtype)
        value = jnp.where(met, value, 0)
        return (jnp.sum(weight * value), jnp.sum(weight)), slope, (value, met)


def _accumulate(strip, wrt, n: int, block: int):
    """The gradient of Σ strips in `wrt`, and what each anchor said along the way."""

    def step(slope, at):
        more, said = jax.grad(strip, has_aux=True)(wrt, *at)
        return jax.tree.map(jnp.add, slope, more), said

    slope, said = lax.scan(step, jax.tree.map(jnp.zeros_like, wrt), _strips(n, block))
    return slope, jax.tree.map(lambda x: x.reshape(-1)[:n], said)


@sloped
def streamed(plan, pair, weight):
    """Σ w_i (what the plan makes of anchor i), and Σ w_i of those who count."""
    return plan.value(pair, weight)


def _streamed_fwd(plan, pair, weight):
    """The loss with its gradient in those leaves of p and q that are asked for."""
    is_leaf = lambda x: hasattr(x, "perturbed")
    leaves, shape = jax.tree.flatten(pair, is_leaf=is_leaf)
    asked = [x.perturbed and is_float(x.value) for x in leaves]
    wrt = [widen(x.value) for x, ask in zip(leaves, asked, strict=True) if ask]

    def rebuild(wrt):
        new = iter(wrt)
        both = zip(leaves, asked, strict=True)
        return jax.tree.unflatten(shape, [next(new) if a else x.value for x, a in both])

    loss, slope, by_weight = plan.slopes(wrt, rebuild, weight.value)
    new = iter(slope)
    slopes = [
        next(new).astype(x.value.dtype) if a else None
        for x, a in zip(leaves, asked, strict=True)
    ]
    return loss, (jax.tree.unflatten(shape, slopes), by_weight)


def _streamed_bwd(plan, saved, g):
    slopes, (value, met) = saved
    by_sum, by_weight = map(instantiated, g)
    slopes = jax.tree.map(lambda x: by_sum.astype(x.dtype) * x, slopes)
    return slopes, jnp.where(met, by_sum * value + by_weight, 0)


streamed.defvjp(_streamed_fwd, _streamed_bwd, symbolic_zeros=True)


# ------------------------------------------------------- wherever arrays are


def answered(answer, *args) -> Any:
    """An answer about arrays, wherever their types say they are.

    On an explicit mesh every product would have to say where its result goes; here the
    compiler decides, and the answer is the same on all devices.
    """
    arrays = [x for x in jax.tree.leaves(args) if hasattr(x, "dtype")]
    placed = [jax.typeof(x).sharding for x in arrays]
    meshes = [s.mesh for s in placed if s.mesh.explicit_axes and any(s.spec)]
    with _backwards_only():
        return _over_mesh(answer, meshes[0])(*args) if meshes else answer(*args)


def _over_mesh(answer, mesh):
    where = jax.sharding.PartitionSpec()
    check.require(not exactly(), "deterministic", "an explicit mesh", _IN_ORDER)

    def over_mesh(*args):
        axes = mesh.explicit_axes
        with jax.sharding.use_abstract_mesh(mesh):
            whole = jax.sharding.auto_axes(answer, axes=axes, out_sharding=where)
            return whole(*args)

    return over_mesh


_IN_ORDER = "a shard_map around the loss, with axis_name=, to have the same bits"


@contextlib.contextmanager
def _backwards_only():
    """Says which losses have no forward mode, where JAX says that there is none."""
    try:
        yield
    except TypeError as error:
        if "custom_vjp" not in str(error):
            raise
        got = "forward mode (jvp, jacfwd) through a loss in strips"
        cure = "reverse mode (grad, vjp), or few enough scores to be held at once"
        raise check.InvalidInput("block", got, cure) from error
