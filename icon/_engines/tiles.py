"""What do points say of each other? Tile after tile, and nothing n × n is kept."""

import functools as ft
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from icon._base import checks as check
from icon._base.numerics import floats_of, lse, sloped, slopes_of, widened, zeros
from icon._engines.report import Numbers, merged, numbers, of_q, of_tile
from icon._engines.walk import Parts, Sweep, Tiling, made_of, parts_of, walked
from icon._neighborhoods.points import EVERYBODY, Around, Points, pytree, static


class Meeting(NamedTuple):
    """Who reports, and how pairs are taken."""

    tiling: Tiling
    both: bool = False  # candidates report as well
    mirrored: bool = False  # one set, in which i scores j as j scores i


def _seen(pair, counted=None) -> tuple[Any, Any]:
    """p's tile and q's scores of everybody in a tile."""
    p, q = pair
    ids = jnp.arange(p.shape[0], dtype=jnp.int32)
    tile = jax.vmap(p.tile)(ids)
    score = jax.vmap(lambda i: q.score(i, EVERYBODY))(ids)
    if counted is None:
        return tile, score
    nobody = jnp.zeros((), bool) if tile.dtype == bool else -jnp.inf
    return jnp.where(counted, tile, nobody), jnp.where(counted, score, -jnp.inf)


def reports(both: bool) -> Sweep:
    """The numbers of every anchor, and of every candidate if they report."""

    def ask(points, counted, *_):
        seen = _seen(points, counted)
        back = [jax.vmap(numbers, 1)(*seen)] if both else []
        return [jax.vmap(numbers)(*seen)], back, ()

    def nothing(said):
        empty = jax.tree.map(zeros, said)
        return [x._replace(N=x.N - jnp.inf, M=x.M - jnp.inf) for x in empty]

    def together(one, other):
        return [merged(x, y) for x, y in zip(one, other, strict=True)]

    return Sweep(ask, nothing, together)


def pulls(mine_only: bool) -> Sweep:
    """The slopes of Σ g · numbers, in what anchors, candidates and all are made of."""
    add = ft.partial(jax.tree.map, jnp.add)
    return Sweep(ft.partial(_pulled, mine_only), ft.partial(jax.tree.map, zeros), add)


def at_once(p: Points, q: Points) -> tuple[Numbers, Numbers]:
    """The numbers of every anchor and of every candidate, all pairs held at once."""
    seen = _seen((p, q))
    return jax.vmap(numbers)(*seen), jax.vmap(numbers, 1)(*seen)


@sloped
def meeting(how: Meeting, p: Points, q: Points) -> tuple[Numbers, ...]:
    """The numbers of every anchor; of every candidate too, if they report.

    Their gradient is a second sweep: what a tile adds is known from the numbers.
    """
    said, told, _ = walked(reports(how.both), how.tiling, (p, q))
    return (*said, *told)


def _meeting_fwd(how, p, q):
    said = meeting(how, p, q)
    return said, (p, q, said)


def _meeting_bwd(how, saved, g):
    p, q, said = saved
    told = tuple(zip(said, g, strict=True))
    theirs = told[-1] if how.both or how.mirrored else ()
    sweep = pulls(mine_only=how.mirrored)  # what they feel of me is what I feel of them
    mine, theirs, shared = walked(sweep, how.tiling, (p, q), told[0], theirs)
    shared = [x / 2 for x in shared] if how.mirrored else shared
    return put_back((p, q), Parts(mine, theirs, shared))


meeting.defvjp(_meeting_fwd, _meeting_bwd)


def put_back(pair, slopes: Parts) -> tuple[Points, ...]:
    """The slopes of points, in their own shape."""
    return tuple(made_of(pair, Parts(*map(slopes_of, parts_of(pair), slopes))))


def _pulled(mine_only: bool, points, counted, mine, theirs):
    floats, whole = zip(*map(floats_of, parts_of(points)), strict=True)
    felt = Parts(True, not mine_only, True)

    def seen(*learned):
        new = iter(learned)
        all_of = [next(new) if f else x for f, x in zip(felt, floats, strict=True)]
        parts = Parts(*(put(x) for put, x in zip(whole, all_of, strict=True)))
        tile, score = _seen(made_of(points, parts), counted)
        return (score, None) if tile.dtype == bool else (score, tile)

    learned = [x for f, x in zip(felt, floats, strict=True) if f]
    (score, tile), pull = jax.vjp(seen, *learned)
    alike = tile is None
    tile = _seen(points, counted)[0] if alike else tile
    slope = lambda of: _towards(of, tile, score, mine, theirs)
    by_score = slope(of_q).astype(score.dtype)
    mine_, *theirs_, shared = pull((by_score, None if alike else slope(of_tile)))
    nothing = jax.tree.map(jnp.zeros_like, floats[1])  # theirs are others' to feel
    return mine_, theirs_[0] if theirs_ else nothing, shared


def _towards(of, tile, score, mine, theirs):
    """The slope of all that anchors say, and candidates, of those who do."""
    said = [jax.vmap(of)(tile, score, *mine)] if mine else []
    back = [jax.vmap(of, (1, 1, 0, 0), 1)(tile, score, *theirs)] if theirs else []
    return ft.reduce(jnp.add, [*said, *back])


# ------------------------------------------------------- tiles of one's own size


@pytree
class Tiled(Around):
    """Points that are met so many anchors with so many candidates at a time."""

    base: Any
    tiles: tuple[int, int] = static()

    @property
    def T(self):
        return Tiled(self.base.T, self.tiles)

    def reduced(self, reduction):
        return Tiled(self.base.reduced(reduction), self.tiles)

    def reweighed(self, weight):
        return Tiled(self.base.reweighed(weight), self.tiles)

    def log_masses(self):
        """Every M_i, for a p that lists its neighbours."""
        points = widened(self.base.apart())
        return meeting(Meeting(Tiling(*self.tiles)), points, points)[0].M

    def joint_log_mass(self):
        return lse(self.log_masses())


def tiled(q, rows: int = 1024, columns: int = 4096) -> Tiled:
    r"""The same neighbours, met in tiles of a size of your own, where memory is short.

    $$M_i = \log \sum_{\text{tiles } t} e^{M_i^{(t)}}, \quad
      M_i^{(t)} = \log \sum_{j \in t} e^{s_{ij}}$$

    A loss holds rows × columns scores at once, and takes two sweeps: the log-masses
    first, then the gradient. Otherwise strips of anchors meet all candidates, which
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
        >>> bool(jnp.isclose(icon.kl(p, icon.tiled(q, 16, 32)), icon.kl(p, q)))
        True

    Source: Dao et al., FlashAttention, 2022; Cheng et al., Breaking the memory barrier
    (Inf-CL), 2024.
    """
    known = check.answers("q", q, "apart").apart() is not None
    summed = "points whose log-mass is a sum, no limit"
    check.require(known, "q", "a limit, or who answers for all at once", summed)
    size = check.count("rows", rows, 1), check.count("columns", columns, 1)
    return Tiled(q, size)
