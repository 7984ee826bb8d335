"""What does a jaxpr compute, read as NumPy, without a compiler?

XLA takes a third of a second for every gradient, and the tests want a thousand of
them: every neighbourhood under every loss. What NumPy has no function for (a random
draw) is left to JAX, one operation at a time.
"""

import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core


BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")
LEFT_TO_JAX = ("while", "cond")


def interpret(f, *args):
    """What f(*args) is."""
    traced, shape = jax.make_jaxpr(f, return_shape=True)(*args)
    with np.errstate(all="ignore"):
        results = _run(traced, jax.tree.leaves(args))
    return jax.tree.structure(shape).unflatten(results)


# ------------------------------------------------------- programs


def _as_numpy(x):
    """An array of NumPy; a random key stays a key."""
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)


def _run(jaxpr, args):
    consts = getattr(jaxpr, "consts", ())
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    known = dict(zip(jaxpr.constvars, map(_as_numpy, consts), strict=True))
    known |= dict(zip(jaxpr.invars, map(_as_numpy, args), strict=True))

    def read(v):
        literal = isinstance(v, core.Literal)
        return np.asarray(v.val, v.aval.dtype) if literal else known[v]

    for step in jaxpr.eqns:
        results = _results(step, [read(v) for v in step.invars])
        known |= dict(zip(step.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _results(step, args):
    name, params = step.primitive.name, step.params
    if name == "scan":
        return _scan(args, **params)
    bodies = [params[body] for body in BODIES if body in params]
    if bodies and name not in LEFT_TO_JAX:
        return _run(bodies[0], args)
    if name in ELEMENTWISE:
        return [ELEMENTWISE[name](*args)]
    if name in WITH_PARAMETERS:
        return [WITH_PARAMETERS[name](*args, **params)]
    results = step.primitive.bind(*args, **params)
    results = results if step.primitive.multiple_results else [results]
    return [_as_numpy(x) for x in results]


def _scan(args, *, jaxpr, length, num_consts, num_carry, **_):
    consts, carry = args[:num_consts], args[num_consts : num_consts + num_carry]
    rows, results = args[num_consts + num_carry :], []
    for t in range(length):
        out = _run(jaxpr, [*consts, *carry, *(x[t] for x in rows)])
        carry = out[:num_carry]
        results.append(out[num_carry:])
    return [*carry, *map(np.stack, zip(*results, strict=True))]


# ------------------------------------------------------- operations


ELEMENTWISE = {
    "abs": np.abs,
    "add": np.add,
    "add_any": np.add,
    "and": np.bitwise_and,
    "copy": np.copy,
    "div": lambda x, y: x // y if x.dtype.kind in "iu" else x / y,
    "eq": np.equal,
    "exp": np.exp,
    "expm1": np.expm1,
    "ge": np.greater_equal,
    "gt": np.greater,
    "is_finite": np.isfinite,
    "le": np.less_equal,
    "log": np.log,
    "log1p": np.log1p,
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "not": np.invert,
    "or": np.bitwise_or,
    "pow": np.power,
    "rem": np.fmod,
    "sign": np.sign,
    "sqrt": np.sqrt,
    "square": np.square,
    "stop_gradient": np.copy,
    "sub": np.subtract,
}


def _broadcast(x, *, shape, broadcast_dimensions, **_):
    aligned = np.ones(len(shape), int)
    aligned[list(broadcast_dimensions)] = np.shape(x)
    return np.broadcast_to(np.reshape(x, aligned), shape)


def _dot_general(x, y, *, dimension_numbers, preferred_element_type, **_):
    (x_sums, y_sums), (x_batch, y_batch) = dimension_numbers
    x_axes, y_axes = list(range(x.ndim)), list(range(x.ndim, x.ndim + y.ndim))
    for k, other in zip((*y_sums, *y_batch), (*x_sums, *x_batch), strict=True):
        y_axes[k] = other
    free = lambda axes, *used: [a for k, a in enumerate(axes) if k not in sum(used, ())]
    out = [*x_batch, *free(x_axes, x_sums, x_batch), *free(y_axes, y_sums, y_batch)]
    dtype = np.dtype(preferred_element_type or x.dtype)
    x, y = (np.asarray(a, np.float32 if dtype.kind == "V" else dtype) for a in (x, y))
    return np.einsum(x, x_axes, y, y_axes, out).astype(dtype)


def _iota(*, dtype, shape, dimension, **_):
    line = np.arange(shape[dimension], dtype=dtype)
    return _broadcast(line, shape=shape, broadcast_dimensions=(dimension,))


def _slice(x, *, start_indices, limit_indices, strides):
    steps = strides or (1,) * x.ndim
    return x[tuple(map(slice, start_indices, limit_indices, steps))]


def _pad(x, value, *, padding_config):
    low, high, inside = zip(*padding_config, strict=True) if x.ndim else ((), (), ())
    if min(*low, *high, 0) < 0:
        return _as_numpy(lax.pad(x, value, padding_config))
    shape = np.shape(x) + np.maximum(np.subtract(np.shape(x), 1), 0) * inside
    whole = np.full(shape + low + high, value)
    ends = zip(low, shape, inside, strict=True)
    whole[tuple(slice(a, a + n, 1 + step) for a, n, step in ends)] = x
    return whole


def _windows(shape, indices, sizes, starts, batching, index_batching, mode):
    """The index along each axis of every entry of windows [*batch, *sizes].

    And whether each window is inside, where one that is not is filled or dropped.
    """
    batch = indices.shape[:-1]
    if mode == lax.GatherScatterMode.CLIP:
        indices = np.clip(indices, 0, [shape[k] - sizes[k] for k in starts])
    grid = np.indices((*batch, *sizes), sparse=True)
    index = list(grid[len(batch) :])
    for axis, k in enumerate(starts):
        index[k] = index[k] + np.expand_dims(
            indices[..., axis].astype(np.int64), _trailing(batch, shape)
        )
    for k, axis in zip(batching, index_batching, strict=True):
        index[k] = index[k] + grid[axis]
    inside = np.ones((*batch, *[1] * len(shape)), bool)
    for k, size in enumerate(shape):
        valid = (index[k] >= 0) & (index[k] < size)
        inside = inside & np.all(valid, _trailing(batch, shape), keepdims=True)
        index[k] = np.clip(index[k], 0, size - 1)
    return tuple(index), inside


def _trailing(batch, shape):
    return tuple(range(len(batch), len(batch) + len(shape)))


def _gather(x, indices, *, dimension_numbers, slice_sizes, mode, fill_value, **_):
    at, batch = dimension_numbers, indices.ndim - 1
    batching = at.operand_batching_dims, at.start_indices_batching_dims
    index, inside = _windows(
        x.shape, indices, slice_sizes, at.start_index_map, *batching, mode
    )
    rows = x[index]
    if mode == lax.GatherScatterMode.FILL_OR_DROP and not inside.all():
        nothing = np.nan if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        rows = np.where(inside, rows, nothing if fill_value is None else fill_value)
    lost = *at.collapsed_slice_dims, *at.operand_batching_dims
    rows = rows.squeeze(tuple(batch + k for k in lost)).astype(x.dtype)
    return np.moveaxis(rows, range(batch, rows.ndim), at.offset_dims)


def _scatter(x, indices, updates, *, add, dimension_numbers, mode, **_):
    at, batch = dimension_numbers, indices.ndim - 1
    lost = *at.inserted_window_dims, *at.operand_batching_dims
    kept = at.update_window_dims
    updates = np.moveaxis(updates, kept, range(batch, updates.ndim))
    for k in sorted(lost):
        updates = np.expand_dims(updates, batch + k)
    starts = at.scatter_dims_to_operand_dims
    batching = at.operand_batching_dims, at.scatter_indices_batching_dims
    sizes = updates.shape[batch:]
    index, inside = _windows(x.shape, indices, sizes, starts, *batching, mode)
    index = np.broadcast_arrays(*index, updates)[:-1]
    valid = np.broadcast_to(inside, updates.shape)
    out, chosen = np.array(x), tuple(k[valid] for k in index)
    if add:
        np.add.at(out, chosen, updates[valid])
    else:
        out[chosen] = updates[valid]
    return out


def _select(which, *cases):
    two = which.dtype == bool
    return np.where(which, *cases[::-1]) if two else np.choose(which, cases)


WITH_PARAMETERS = {
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda *xs, dimension: np.concatenate(xs, dimension),
    "convert_element_type": lambda x, *, new_dtype, **_: np.asarray(x, new_dtype),
    "integer_pow": lambda x, *, y: x**y,
    "dot_general": _dot_general,
    "gather": _gather,
    "iota": _iota,
    "pad": _pad,
    "reduce_and": lambda x, *, axes, **_: np.all(x, axes),
    "reduce_max": lambda x, *, axes, **_: np.max(x, axes),
    "reduce_or": lambda x, *, axes, **_: np.any(x, axes),
    "reduce_sum": lambda x, *, axes, **_: np.sum(x, axes, dtype=x.dtype),
    "reshape": lambda x, *, new_sizes, **_: np.reshape(x, new_sizes),
    "scatter": ft.partial(_scatter, add=False),
    "scatter-add": ft.partial(_scatter, add=True),
    "select_n": _select,
    "slice": _slice,
    "squeeze": lambda x, *, dimensions: np.squeeze(x, dimensions),
    "transpose": lambda x, *, permutation: np.transpose(x, permutation),
}


# ------------------------------------------------------- the arrays of a program


def every_array(jaxpr):
    """The shape of every array that is computed, however deep it is nested."""
    for step in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield from (v.aval.shape for v in step.outvars if hasattr(v.aval, "shape"))
        for inner in jax.tree.leaves(step.params, is_leaf=_is_jaxpr):
            if _is_jaxpr(inner):
                yield from every_array(inner)


def _is_jaxpr(x):
    return hasattr(x, "eqns") or hasattr(x, "jaxpr")
