"""Where is a loss summed? In tiles, over devices, in an order that fixes its bits.

Placement is no neighbourhood: `tiled` and `sharded` go on last, and the verbs take them
off at their door.
"""

from typing import Any, NamedTuple

import jax

from icon._base import checks as check
from icon._base.config import is_deterministic
from icon._base.pytrees import pytree, static
from icon._neighborhoods import Neighborhood, answers, as_neighborhood, of_base


class Placement(NamedTuple):
    """In which pieces, and over which devices, a loss is summed."""

    block: int | None = None  # anchors in a strip
    tiles: tuple[int, int] | None = None  # anchors and candidates in a tile
    axis: str | tuple[str, ...] | None = None  # of the mesh that a batch is spread over
    ring: bool = False  # candidates go round, and are not gathered
    reproducible: bool = False  # the same bits on any number of devices


@pytree
@of_base("shape support score log_mass")
class Placed(Neighborhood):
    """A neighbourhood, and where it is summed."""

    base: Any
    placement: Placement = static()
    is_placed = True

    @property
    def T(self):
        return Placed(self.base.T, self.placement)


def _placed(q, placement: Placement) -> Placed:
    q = as_neighborhood("q", q)
    if q.is_placed:
        q, placement = q.base, _together("q", q.placement, placement)
    return Placed(q, placement)


def _together(argument: str, one: Placement, other: Placement) -> Placement:
    """Two placements as one; refused where they disagree."""
    both = {}
    for name, x, y in zip(Placement._fields, one, other, strict=True):
        agree = x == y or not x or not y
        got = f"two placements, {name} {x!r} and {y!r}"
        check.require(agree, argument, got, "one placement")
        both[name] = x or y
    return Placement(**both)


def unplaced(p, q, block=None, axis_name=None) -> tuple[Any, Any, Placement]:
    """p, q without placement, and the one placement of the loss between them."""
    if block is not None:
        check.count("block", block, 1)
    whole = Placement(block, None, axis_name, False, is_deterministic())
    out = []
    for name, x in (("p", p), ("q", q)):
        x = as_neighborhood(name, x)
        if x.is_placed:
            x, whole = x.base, _together(name, whole, x.placement)
        out.append(x)
    tiled_strips = whole.block is not None and whole.tiles is not None
    check.require(not tiled_strips, "block", f"{block} and tiles", "None, or no tiles")
    return *out, whole


def tiled(q, rows: int = 1024, columns: int = 4096) -> Placed:
    r"""The same neighbours, summed in tiles of your own size, where memory is short.

    $$M_i = \log \sum_{\text{tiles } t} e^{M_i^{(t)}}, \quad
      M_i^{(t)} = \log \sum_{j \in t} e^{s_{ij}}$$

    A loss holds rows × columns scores at once, and takes two sweeps: the log-masses
    first, then the gradient. Otherwise strips of anchors see all candidates, which
    takes one sweep where the loss has one direction.

    Args:
        q: points under a kernel.
        rows: anchors in a tile.
        columns: candidates in a tile.

    Raises:
        InvalidInput: a limit, a list or a mix; rows or columns < 1.

    Example:
        >>> import icon, jax, jax.numpy as jnp
        >>> z = jax.random.normal(jax.random.key(0), (100, 8))
        >>> p, q = icon.same(jnp.arange(100) // 2), icon.cosine(z)
        >>> loss = jax.jit(icon.kl)
        >>> bool(jnp.isclose(loss(p, icon.tiled(q, 16, 32)), loss(p, q)))
        True

    Source: Dao et al., FlashAttention, 2022; Cheng et al., Breaking the memory barrier
    (Inf-CL), 2024.
    """
    size = check.count("rows", rows, 1), check.count("columns", columns, 1)
    placed = _placed(q, Placement(tiles=size))
    summed = "points whose log-mass is a sum, no limit"
    tileable = placed.base.as_points() is not None
    check.require(tileable, "q", "a limit, a list or a mix", summed)
    return placed


def sharded(q, axis_name: str | tuple[str, ...], *, ring: bool = False) -> Placed:
    """The same neighbours, each device of an axis holding its own share of them.

    $$q_{ij} = e^{s_{ij}} / \\textstyle\\sum_{d} \\sum_{k \\in \\text{device } d}
      e^{s_{ik}}$$

    Inside of a shard_map the loss is that of the global batch, as `axis_name=` of the
    verbs makes it: candidates are gathered once, and j = i is left out by the place in
    the whole batch. With `ring`, they are passed round instead, and a
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
        >>> float(jax.jit(jax.shard_map(loss, **spread))(ids, z)) == float(
        ...     icon.kl(icon.same(ids), icon.cosine(z))
        ... )
        True

    Source: Liu et al., Ring attention with blockwise transformers, 2023.
    """
    named = isinstance(axis_name, str | tuple)
    check.require(named, "axis_name", axis_name, "the name of an axis, or several")
    placed = _placed(q, Placement(axis=axis_name, ring=check.boolean("ring", ring)))
    got, expected = type(placed.base).__name__, "points, and what is made of them"
    check.require(answers(placed.base, "gathered"), "q", f"a {got}", expected)
    return placed


# ------------------------------------------------------- explicit meshes


def over_mesh(answer, *args) -> Any:
    """`answer` as a function that may be asked of these arrays, wherever they are.

    On an explicit mesh every product would have to say where its result goes; there
    the compiler decides, and the answer is the same on all devices.
    """
    arrays = [x for x in jax.tree.leaves(args) if isinstance(x, jax.Array)]
    shardings = [jax.typeof(x).sharding for x in arrays]
    meshes = [s.mesh for s in shardings if s.mesh.explicit_axes and any(s.spec)]
    if not meshes:
        return answer
    one_place = "a shard_map around the loss, with axis_name=, to have the same bits"
    explicit = "an explicit mesh"
    check.require(not is_deterministic(), "deterministic", explicit, one_place)

    def whole(*args):
        axes, spec = meshes[0].explicit_axes, jax.sharding.PartitionSpec()
        with jax.sharding.use_abstract_mesh(meshes[0]):
            return jax.sharding.auto_axes(answer, axes=axes, out_sharding=spec)(*args)

    return whole
