"""Is a loss the same however its pairs are taken: at once, in strips, in tiles?

The references are NumPy, in float64, from the formulas of the papers.
"""

import functools as ft
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import icon
from icon._engines.report import merged, report_of
from icon._neighborhoods.kernels import Exchanged
from icon._neighborhoods.rows import Scores


N, D, T = 21, 4, 0.3
RNG = np.random.default_rng(5)
A, B = RNG.normal(size=(2, N, D))
PAIR = RNG.permutation(N) // 2  # one has no partner
CLASS = np.arange(N) % 3
WEIGHT = RNG.uniform(0.5, 2, N)


# ------------------------------------------------------- by the papers


def rows_of_infonce(same, scores):
    """Mean over anchors with a neighbour of -E log softmax + the entropy of p."""
    said = []
    for alike, score in zip(same, scores, strict=True):
        if alike.any():
            log_mass = np.log(np.sum(np.exp(score - score.max()))) + score.max()
            said.append(log_mass - score[alike].mean() - np.log(alike.sum()))
        else:
            said.append(np.nan)
    return np.array(said)


def infonce(a, b, ids, weight=None):
    said = rows_of_infonce(ids[:, None] == ids, a @ b.T / T)
    weight = np.where(np.isnan(said), 0, np.ones(len(a)) if weight is None else weight)
    return np.nansum(weight * said) / weight.sum()


def clip(a, b, ids, weight=None):
    return (infonce(a, b, ids, weight) + infonce(b, a, ids, weight)) / 2


def simclr(a, b, ids, weight=None):
    """One set: nobody is their own neighbour."""
    del b
    z = a / np.linalg.norm(a, axis=1, keepdims=True)
    alone = np.eye(len(z), dtype=bool)
    scores = np.where(alone, -np.inf, z @ z.T / T)
    said = rows_of_infonce((ids[:, None] == ids) & ~alone, scores)
    weight = np.where(np.isnan(said), 0, np.ones(len(a)) if weight is None else weight)
    return np.nansum(weight * said) / weight.sum()


def slopes(loss, a, b, *rest):
    """Central differences, in float64."""

    def along(x, at, h=1e-6):
        out = []
        for sign in (1, -1):
            moved = x.copy()
            moved[at] += sign * h
            out.append(loss(moved, b, *rest) if x is a else loss(a, moved, *rest))
        return (out[0] - out[1]) / (2 * h)

    return [
        np.array([along(x, at) for at in np.ndindex(x.shape)]).reshape(x.shape)
        for x in (a, b)
    ]


def ours(name):
    def loss(a, b, ids, weight=None, wrap=lambda q: q, **options):
        if name == "simclr":
            q = wrap(icon.cosine(a, temperature=T))
            return icon.kl(icon.same(ids), q, weight=weight, **options)
        verb = icon.kl if name == "infonce" else icon.both_ways(icon.kl)
        q = wrap(icon.dot(a, b, temperature=T))
        return verb(icon.same(ids, ids), q, weight=weight, **options)

    return loss


PAPERS = dict(infonce=infonce, clip=clip, simclr=simclr)
WAYS = {
    "at once": {},
    **{f"strips of {size}": dict(block=size) for size in (4, 7, 100)},
    "tiles": dict(wrap=lambda q: icon.tiled(q, 4, 5)),
}


@pytest.mark.parametrize(
    "ids, weight", [(PAIR, None), (CLASS, WEIGHT)], ids=["pairs", "weighed classes"]
)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PAPERS)
def test_a_loss_is_its_papers(x64, name, way, ids, weight):
    loss = jax.value_and_grad(ours(name), (0, 1))
    value, got = loss(jnp.asarray(A), jnp.asarray(B), ids, weight, **WAYS[way])
    np.testing.assert_allclose(value, PAPERS[name](A, B, ids, weight), rtol=1e-12)
    for one, other in zip(got, slopes(PAPERS[name], A, B, ids, weight), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-8)


# ------------------------------------------------------- the same in every way


def asymmetric(a, b, tilt):
    """A kernel that is not the same from the other side."""
    return jnp.tanh(b @ a) + tilt * a[0] * b[:, 1]


def cauchy(a, b, width):
    return -jnp.log1p(jnp.sum((a[None] - b) ** 2, 1) / width)


KERNELS = {
    "gaussian": lambda a, b, t: icon.gaussian(a, b, scale=t),
    "student_t": lambda a, b, t: icon.student_t(a, b, dof=t, scale=1.2),
    "laplace": lambda a, b, t: icon.laplace(a, b, scale=t),
    "dot": lambda a, b, t: icon.dot(a, b, temperature=t),
    "cosine": lambda a, b, t: icon.cosine(a, b, temperature=t),
    "one's own": lambda a, b, t: icon.points(cauchy, a, b, width=t),
    "asymmetric": lambda a, b, t: icon.points(asymmetric, a, b, tilt=t),
}
VERBS = {
    "kl": icon.kl,
    "joint kl": lambda p, q, **k: icon.kl(p, q, joint=True, **k),
    "cross-entropy": icon.cross_entropy,
    "both ways": icon.both_ways(icon.kl),
    "both ways, jointly": lambda p, q, **k: icon.both_ways(icon.kl)(
        p, q, joint=True, **k
    ),
}


def learned(name, verb, two_sets, p_learns):
    """A loss in all it is made of: a, b and a number of the kernel."""

    def loss(a, b, t, wrap=lambda q: q, **options):
        other = b if two_sets else None
        ids = jnp.asarray(CLASS, jnp.int32)
        known = icon.same(ids, ids if two_sets else None)
        p = KERNELS[name](b, a if two_sets else None, t) if p_learns else known
        return VERBS[verb](p, wrap(KERNELS[name](a, other, t)), **options)

    return loss


MEETINGS = [
    *((name, "kl", True, False) for name in KERNELS),
    *(("student_t", verb, two, True) for verb in VERBS for two in (False, True)),
    ("asymmetric", "both ways", True, True),
]
MANY = [
    *((name, "kl", False, False) for name in KERNELS),
    *(("asymmetric", verb, two, True) for verb in VERBS for two in (False, True)),
]
MEETINGS += [pytest.param(*each, marks=pytest.mark.slow) for each in MANY]


@pytest.mark.parametrize("name, verb, two_sets, p_learns", MEETINGS)
def test_strips_and_tiles_change_nothing(x64, name, verb, two_sets, p_learns):
    loss = jax.value_and_grad(learned(name, verb, two_sets, p_learns), (0, 1, 2))
    x = jnp.asarray(A), jnp.asarray(B), jnp.asarray(0.7)
    whole = loss(*x)
    for way in ("strips of 4", "tiles"):
        other = loss(*x, **WAYS[way])
        for one, two in zip(*map(jax.tree.leaves, (whole, other)), strict=True):
            np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("name", ["dot", "asymmetric"])
def test_both_ways_at_once_are_one_way_and_the_other(x64, name, joint):
    def apart(a, b, t):
        p, q = icon.gaussian(b, a), KERNELS[name](a, b, t)
        turn = icon.kl(p.T, q.T, joint=joint)
        return (icon.kl(p, q, joint=joint) + turn) / 2

    def at_once(a, b, t):
        p, q = icon.gaussian(b, a), KERNELS[name](a, b, t)
        return icon.both_ways(icon.kl)(p, q, joint=joint)

    x = jnp.asarray(A), jnp.asarray(B), jnp.asarray(0.7)
    one, two = (jax.value_and_grad(f, (0, 1, 2))(*x) for f in (apart, at_once))
    for x, y in zip(*map(jax.tree.leaves, (one, two)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


def test_a_candidate_scores_an_anchor_as_it_is_scored(x64):
    q = icon.points(asymmetric, jnp.asarray(A), jnp.asarray(B), tilt=0.5)
    there, back = (
        np.stack([x.score(i, slice(None)) for i in range(N)]) for x in (q, q.T)
    )
    np.testing.assert_allclose(back, there.T, rtol=1e-12)
    assert isinstance(q.T.kernel, Exchanged)
    assert q.T.T.kernel == q.kernel
    np.testing.assert_array_equal(q.T.T.anchors, q.anchors)
    np.testing.assert_array_equal(q.T.T.candidates, q.candidates)


@pytest.mark.parametrize("joint", [False, True])
def test_a_listed_p_meets_tiles(x64, joint):
    index = icon.knn(jnp.asarray(A), 3)[0]
    p = icon.uniform(index)
    loss = lambda a, wrap: icon.kl(p, wrap(icon.student_t(a)), joint=joint)
    one = jax.value_and_grad(loss)(jnp.asarray(A), lambda q: q)
    two = jax.value_and_grad(loss)(jnp.asarray(A), lambda q: icon.tiled(q, 4, 5))
    np.testing.assert_allclose(two[0], one[0], rtol=1e-12)
    np.testing.assert_allclose(two[1], one[1], atol=1e-12)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 9), st.floats(-50, 50), st.integers(0, 2**20))
def test_two_parts_of_a_row_are_the_row(cut, shift, seed):
    with jax.enable_x64(True):
        rng = np.random.default_rng(seed)
        p, q = jnp.asarray(rng.normal(size=(2, 9)) * 3 + shift)
        p = jnp.where(jnp.asarray(rng.uniform(size=9) < 0.4), -jnp.inf, p)
        of = lambda at: report_of(Scores(p[at]), q[at])
        whole = of(slice(None))
        parts = merged(of(slice(None, cut)), of(slice(cut, None)))
        for one, two in zip(whole, parts, strict=True):
            np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-9)


# ------------------------------------------------------- numbers at their ends

STREAMED = {"strips": dict(block=4), "tiles": dict(wrap=lambda q: icon.tiled(q, 4, 5))}


def both(name, a, b, ids, t, wrap=lambda q: q, **options):
    p = icon.same(ids, None if name == "simclr" else ids)
    q = wrap(icon.cosine(a, None if name == "simclr" else b, temperature=t))
    verb = icon.both_ways(icon.kl) if name == "clip" else icon.kl
    return verb(p, q, **options)


@ft.cache
def slope_of(name, way):
    """Value and gradient in all floats, compiled once for all that follows."""
    options = STREAMED.get(way, {})
    loss = lambda a, b, ids, t: both(name, a, b, ids, t, **options)
    return jax.jit(jax.value_and_grad(loss, (0, 1, 3)))


def exactly(name, a, b, ids, t):
    with jax.enable_x64(True):
        exact = slope_of(name, "at once")
        a, b, t = (jnp.asarray(x, jnp.float64) for x in (a, b, t))
        return jax.tree.map(np.asarray, exact(a, b, jnp.asarray(ids), t))


MEETS = [(name, way) for name in PAPERS for way in STREAMED]


@pytest.mark.parametrize("name, way", MEETS)
@pytest.mark.parametrize("size", [1e-30, 1e-10, 1.0, 1e10, 1e30])
@pytest.mark.parametrize("t", [1e-8, 1e-3, 1.0, 1e3])
def test_any_scale_and_temperature(t, size, name, way):
    a, b = (jnp.asarray(x * size, jnp.float32) for x in (A, B))
    value, got = slope_of(name, way)(a, b, jnp.asarray(CLASS), jnp.float32(t))
    by_a, by_b, by_t = (np.asarray(x, np.float64) for x in got)
    exact, (a, b, t_) = exactly(name, A, B, CLASS, np.float32(t))
    np.testing.assert_allclose(value, exact, rtol=1e-5, atol=1e-6)
    # a score cos / t of float32 has an error of about 1e-7 / t
    slack, reach = 1e-5 if t >= 1 else 1e-3, 1 / t / size < 1e36
    assert np.isfinite(by_t)
    for one, two in ((by_a * size, a), (by_b * size, b), (by_t * t, t_ * t)):
        assert np.all(np.isfinite(one)) or not reach  # 1e38 is no float32
        if t > 1e-8:
            assert np.linalg.norm(one - two) <= slack * (np.linalg.norm(two) + 1e-3)


@pytest.mark.parametrize("name, way", MEETS)
def test_rows_of_zeros_and_twins(name, way):
    a = jnp.asarray(A, jnp.float32).at[3].set(0).at[5].set(jnp.float32(A[4]))
    value, got = slope_of(name, way)(a, a[::-1], jnp.asarray(CLASS), jnp.float32(0.1))
    exact, slope = exactly(name, a, a[::-1], CLASS, 0.1)
    assert np.all(np.asarray(got[0])[3] == 0)
    np.testing.assert_allclose(value, exact, rtol=1e-6)
    for one, two in zip(got, slope, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name, way", MEETS)
def test_identical_rows_are_a_uniform_distribution(name, way):
    ones, ids = jnp.ones((N, D)), jnp.arange(N) // 3
    value, slope = slope_of(name, way)(ones, ones, ids, jnp.float32(0.1))
    others, own = (N - 1, 2) if name == "simclr" else (N, 3)
    np.testing.assert_allclose(value, np.log(others / own), rtol=5e-6)
    np.testing.assert_allclose(slope[0], 0, atol=1e-6)


@pytest.mark.parametrize("name, way", MEETS)
def test_a_nan_is_in_the_loss_and_in_its_slope(name, way):
    a = jnp.asarray(A, jnp.float32).at[2, 1].set(jnp.nan)
    value, slope = slope_of(name, way)(a, a, jnp.asarray(CLASS), jnp.float32(0.1))
    assert np.isnan(value) and np.isnan(slope[0]).any()


@pytest.mark.parametrize("name, way", MEETS)
def test_if_nobody_has_a_neighbour_there_is_nothing_to_learn(name, way):
    a, alone = jnp.asarray(A, jnp.float32), jnp.arange(N)
    options = dict(STREAMED[way])
    wrap = options.pop("wrap", lambda q: q)
    verb = icon.both_ways(icon.kl) if name == "clip" else icon.kl
    p = icon.same(alone) if name == "simclr" else icon.same(alone, alone + N)
    q = lambda a: wrap(icon.dot(a, None if name == "simclr" else a))
    value, slope = jax.value_and_grad(lambda a: verb(p, q(a), **options))(a)
    assert value == 0 and np.all(np.asarray(slope) == 0)


@pytest.mark.parametrize("half", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name, way", MEETS)
def test_half_precision_is_summed_wide(name, way, half):
    a, b = (jnp.asarray(x, half) for x in (A, B))
    value, got = slope_of(name, way)(a, b, jnp.asarray(CLASS), jnp.float32(0.1))
    rounded = (np.asarray(x, np.float64) for x in (a, b))
    exact, slope = exactly(name, *rounded, CLASS, 0.1)
    np.testing.assert_allclose(value, exact, rtol=1e-6)
    for one, two in zip(got[:2], slope[:2], strict=True):
        assert one.dtype == half
        off = np.linalg.norm(np.asarray(one, np.float64) - two)
        assert off <= 4e-3 * np.linalg.norm(two)


# ------------------------------------------------------- what it costs


def megabytes(loss, n, d=128):
    shape = jax.ShapeDtypeStruct((n, d), jnp.float32)
    both = jax.jit(jax.value_and_grad(loss, (0, 1)))
    return both.lower(shape, shape).compile().memory_analysis().temp_size_in_bytes / 1e6


def sized(name):
    def loss(a, b):
        ids = jnp.arange(len(a))
        return both(name, a, b, ids // 2 if name == "simclr" else ids, 0.07)

    return loss


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("n, most", [(16384, 100), (65536, 350), (262144, 1300)])
def test_memory_grows_with_the_batch_not_with_its_square(name, n, most):
    assert megabytes(sized(name), n) < most


@pytest.mark.parametrize("name", PAPERS)
def test_small_batches_are_held_at_once_and_large_ones_are_not(name):
    text = lambda n: str(jax.make_jaxpr(jax.grad(sized(name)))(*jnp.ones((2, n, 2))))
    assert "scan" not in text(256) and "scan" in text(4096)
    assert "4096,4096" not in text(4096)


def test_tiles_hold_a_tile_and_no_more():
    loss = lambda a, b: icon.kl(
        icon.same(*[jnp.arange(len(a))] * 2), icon.tiled(icon.dot(a, b), 256, 1024)
    )
    assert megabytes(loss, 65536) < 150  # one side of it is 34


# of [rows, d] by [d, n]: 6 n² d in all, 8 where both report, of which one is read twice
PRODUCTS = dict(infonce=3, clip=4, simclr=3)


@pytest.mark.parametrize("name", PAPERS)
def test_a_pair_is_visited_as_rarely_as_can_be(name):
    a, b = jnp.ones((2, 2048, 8))
    compiled = jax.jit(jax.value_and_grad(sized(name), (0, 1))).lower(a, b).compile()
    text = compiled.as_text()
    assert len(re.findall(r" dot\(", text)) == PRODUCTS[name]


# ------------------------------------------------------- forward mode


@pytest.mark.parametrize("name", PAPERS)
def test_forward_mode_where_all_pairs_are_held(x64, name):
    a, b = jnp.asarray(A), jnp.asarray(B)
    loss = lambda a: ours(name)(a, b, PAIR)
    slope, along = jax.grad(loss)(a), jnp.asarray(B)
    np.testing.assert_allclose(
        jax.jvp(loss, (a,), (along,))[1], jnp.vdot(slope, along), rtol=1e-10
    )
    forward, backward = jax.jacfwd(jax.grad(loss))(a), jax.jacrev(jax.grad(loss))(a)
    np.testing.assert_allclose(forward, backward, atol=1e-10)


@pytest.mark.parametrize("name, way", MEETS)
def test_in_strips_there_is_no_forward_mode_and_it_is_said(name, way):
    a = jnp.asarray(A, jnp.float32)
    with pytest.raises(icon.InvalidInput, match="forward mode") as said:
        jax.jvp(lambda a: both(name, a, a, CLASS, 0.1, **STREAMED[way]), (a,), (a,))
    assert said.value.argument == "block"


# ------------------------------------------------------- second derivatives

BENT = {
    "one set": lambda x, wrap: icon.kl(icon.same(CLASS), wrap(icon.gaussian(x))),
    "one set, jointly": lambda x, wrap: icon.kl(
        icon.same(CLASS), wrap(icon.cosine(x, temperature=0.5)), joint=True
    ),
    "both ways": lambda x, wrap: icon.both_ways(icon.kl)(
        icon.same(CLASS, CLASS), wrap(icon.dot(x, jnp.asarray(B)))
    ),
    "learned p": lambda x, wrap: icon.kl(
        icon.cosine(x, x), wrap(icon.cosine(x, jnp.asarray(B)))
    ),
    "learned p of one set": lambda x, wrap: icon.kl(
        icon.cosine(x), wrap(icon.gaussian(x))
    ),
}


@pytest.mark.parametrize("name", BENT)
def test_tiles_bend_as_the_whole_does(x64, name):
    def turn(wrap):
        slope = jax.grad(lambda x: BENT[name](x, wrap))
        return jax.grad(lambda x: jnp.vdot(slope(x), jnp.asarray(B)))(jnp.asarray(A))

    whole, tiles = turn(lambda q: q), turn(lambda q: icon.tiled(q, 4, 5))
    assert np.all(np.isfinite(whole))
    np.testing.assert_allclose(tiles, whole, rtol=1e-8, atol=1e-10)


# ------------------------------------------------------- odd company


def wave(a, b, t):
    return jnp.real(b @ jnp.conj(a)) / t


@pytest.mark.parametrize("way", STREAMED)
def test_complex_points_are_learned_in_strips_too(x64, way):
    z = jnp.asarray(A + 1j * B)
    options = dict(STREAMED[way])
    wrap = options.pop("wrap", lambda q: q)
    loss = lambda z, wrap, **k: icon.kl(
        icon.same(CLASS), wrap(icon.points(wave, z, t=1.0)), **k
    )
    whole = jax.grad(lambda z: loss(z, lambda q: q))(z)
    np.testing.assert_allclose(
        jax.grad(lambda z: loss(z, wrap, **options))(z), whole, atol=1e-12
    )


@pytest.mark.parametrize("joint", [False, True])
def test_single_precision_stays_so_beside_double(x64, joint):
    a = jnp.asarray(A, jnp.float32)
    for verb, p, q in (
        (icon.kl, icon.same(CLASS), icon.cosine),
        (icon.both_ways(icon.kl), icon.same(CLASS, CLASS), lambda a: icon.dot(a, a)),
    ):
        one = jax.grad(lambda a: verb(p, q(a), joint=joint, block=4))(a)  # noqa: B023
        two = jax.grad(lambda a: verb(p, q(a), joint=joint))(a)  # noqa: B023
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_tiles_of_weighed_points_are_tiles():
    q = icon.reweigh(icon.cosine(jnp.asarray(A, jnp.float32)), WEIGHT)
    assert icon.tiled(q, 4, 5).placement.tiles == (4, 5)
    whole = icon.kl(icon.same(CLASS), q)
    tiles = icon.kl(icon.same(CLASS), icon.tiled(q, 4, 5))
    np.testing.assert_allclose(tiles, whole, rtol=1e-6)


TILES = icon.tiled(icon.student_t(jnp.asarray(A[:, :2], jnp.float32)), 4, 5)


POINTS = icon.gaussian(jnp.asarray(A, jnp.float32))
SPREAD = icon.sharded(POINTS, "data")


@pytest.mark.parametrize(
    "argument, call",
    [
        ("p", lambda: icon.smooth(TILES, 0.3)),
        ("q", lambda: icon.wide(TILES)),
        ("q", lambda: icon.reweigh(SPREAD, WEIGHT)),
        ("q", lambda: icon.margin(SPREAD, icon.same(CLASS), 0.1)),
        ("q", lambda: icon.tv(icon.same(CLASS), TILES)),
        ("q", lambda: icon.interpolated(TILES)),
        ("q", lambda: icon.tiled(icon.interpolated(TILES.base))),
        ("q", lambda: icon.tiled(icon.wide(POINTS))),
        ("q", lambda: icon.tiled(TILES, 8, 9)),
        ("q", lambda: icon.kl(icon.tiled(POINTS, 2, 3), icon.tiled(POINTS, 3, 2))),
        ("q", lambda: icon.kl(icon.same(CLASS), SPREAD, axis_name="model")),
        ("block", lambda: icon.kl(icon.same(CLASS), TILES, block=4)),
        ("p", lambda: icon.dense(SPREAD)),
    ],
)
def test_a_placement_goes_on_last_and_there_is_one(argument, call):
    with pytest.raises(icon.InvalidInput) as error:
        call()
    assert error.value.argument == argument


@pytest.mark.parametrize(
    "call",
    [
        lambda: icon.kl(icon.sharded(icon.same(CLASS), "data"), POINTS),
        lambda: icon.kl(icon.same(CLASS), icon.tiled(SPREAD, 4, 5)),
        lambda: icon.tv(icon.same(CLASS), SPREAD),
        lambda: icon.per_anchor(icon.same(CLASS), SPREAD),
    ],
    ids=["p", "tiles", "tv", "per anchor"],
)
def test_an_axis_that_is_not_there_is_refused(call):
    with pytest.raises(icon.InvalidInput) as error:
        call()
    assert error.value.argument == "axis_name"
