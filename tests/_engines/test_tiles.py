"""Is a loss the same however its pairs of points are taken: at once, in strips, tiles?

The references are NumPy, in float64, from the formulas of the papers.
"""

import functools as ft
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import soon
from interpreter import interpret

import icon


N, D, T = 11, 4, 0.3
RNG = np.random.default_rng(5)
A, B = RNG.normal(size=(2, N, D))
IDS = np.array([0, 0, 1, 1, 1, 2, 3, 3, 4, 4, 4])  # one has no partner
WEIGHT = RNG.uniform(0.5, 2, N)


# ------------------------------------------------------- by the papers


def infonce_rows(positive, scores):
    """-E log softmax + the entropy of p, of each anchor; nan without a positive."""
    rows = []
    for mask, score in zip(positive, scores, strict=True):
        log_mass = np.log(np.sum(np.exp(score - score.max()))) + score.max()
        known = log_mass - score[mask].mean() - np.log(mask.sum()) if mask.any() else 0
        rows.append(known if mask.any() else np.nan)
    return np.array(rows)


def weighed_mean(rows, weight):
    weight = np.where(np.isnan(rows), 0, weight)
    return np.nansum(weight * rows) / weight.sum()


def infonce(a, b, weight=1.0):
    rows = infonce_rows(IDS[:, None] == IDS, a @ b.T / T)
    return weighed_mean(rows, weight)


def clip(a, b, weight=1.0):
    return (infonce(a, b, weight) + infonce(b, a, weight)) / 2


def simclr(a, b, weight=1.0):
    """One set, in which no anchor is its own neighbour."""
    z = a / np.linalg.norm(a, axis=1, keepdims=True)
    itself = np.eye(len(z), dtype=bool)
    scores = np.where(itself, -np.inf, z @ z.T / T)
    return weighed_mean(infonce_rows((IDS[:, None] == IDS) & ~itself, scores), weight)


PAPERS = dict(infonce=infonce, clip=clip, simclr=simclr)


def loss_of(name, a, b, ids, t, wrap=lambda q: q, **options):
    """The same from the library; two sets are dot products, one set is cosines."""
    if name == "simclr":
        q = wrap(icon.cosine(a, temperature=t))
        return icon.kl(icon.same(ids), q, **options)
    verb = icon.kl if name == "infonce" else icon.both_ways(icon.kl)
    return verb(icon.same(ids, ids), wrap(icon.dot(a, b, temperature=t)), **options)


def tiles(q):
    return icon.tiled(q, 4, 5)


WAYS = {"at once": {}, "strips": dict(block=4), "tiles": dict(wrap=tiles)}
STREAMED = {name: way for name, way in WAYS.items() if way}


@pytest.mark.parametrize("name", soon(PAPERS, "simclr"))
def test_a_loss_is_that_of_its_paper(x64, name):
    """At once, in strips, in one strip that is too long, and in tiles."""
    ways = *WAYS.values(), dict(block=100)

    def losses(a, b):
        of = lambda way: loss_of(name, a, b, IDS, T, weight=WEIGHT, **way)
        return jnp.stack([of(way) for way in ways])

    both = lambda a, b: (losses(a, b), jax.jacrev(losses, (0, 1))(a, b))
    values, (by_a, by_b) = interpret(both, jnp.asarray(A), jnp.asarray(B))
    np.testing.assert_allclose(values, PAPERS[name](A, B, WEIGHT), rtol=1e-12)
    along_a, along_b = RNG.normal(size=(2, N, D))
    paper = lambda s: PAPERS[name](A + s * along_a, B + s * along_b, WEIGHT)
    slope = (paper(1e-6) - paper(-1e-6)) / 2e-6
    got = np.sum(by_a * along_a, (1, 2)) + np.sum(by_b * along_b, (1, 2))
    np.testing.assert_allclose(got, slope, rtol=1e-7)


# ------------------------------------------------------- second derivatives


BENT = {
    "one set": lambda x, wrap: icon.kl(icon.same(IDS), wrap(icon.gaussian(x))),
    "both ways": lambda x, wrap: icon.both_ways(icon.kl)(
        icon.same(IDS, IDS), wrap(icon.dot(x, jnp.asarray(B)))
    ),
    "learned p": lambda x, wrap: icon.kl(
        icon.cosine(x, x), wrap(icon.cosine(x, jnp.asarray(B)))
    ),
    "one set, jointly": lambda x, wrap: icon.kl(
        icon.same(IDS), wrap(icon.cosine(x, temperature=0.5)), joint=True
    ),
    "learned p of one set": lambda x, wrap: icon.kl(
        icon.cosine(x), wrap(icon.gaussian(x))
    ),
}
MORE = "one set", "learned p", "one set, jointly", "learned p of one set"


@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=[pytest.mark.slow] if x in MORE else []) for x in BENT],
)
def test_second_derivatives_in_tiles_are_those_of_the_whole(x64, name):
    def curvature(wrap):
        gradient = jax.grad(lambda x: BENT[name](x, wrap))
        along = jax.grad(lambda x: jnp.vdot(gradient(x), jnp.asarray(B)))
        return interpret(along, jnp.asarray(A))

    whole, in_tiles = curvature(lambda q: q), curvature(lambda q: icon.tiled(q, 6, 6))
    assert np.all(np.isfinite(whole)) and np.any(whole)
    np.testing.assert_allclose(in_tiles, whole, rtol=1e-8, atol=1e-10)


def test_forward_over_reverse_is_reverse_over_reverse(x64):
    loss = lambda a: loss_of("clip", a, jnp.asarray(B[:4]), IDS[:4], T)
    a, along = jnp.asarray(A[:4]), jnp.asarray(B[4:8])
    forward = interpret(lambda a: jax.jvp(jax.grad(loss), (a,), (along,))[1], a)
    backward = jax.grad(lambda a: jnp.vdot(jax.grad(loss)(a), along))
    np.testing.assert_allclose(forward, interpret(backward, a), atol=1e-10)


# ------------------------------------------------------- numbers at their ends


@ft.cache
def gradient_of(name, way):
    """Value and gradient in all floats, compiled once for all that follows."""
    options = WAYS[way]
    loss = lambda a, b, ids, t: loss_of(
        name, *(map(unit, (a, b)) if name == "clip" else (a, b)), ids, t, **options
    )
    return jax.jit(jax.value_and_grad(loss, (0, 1, 3)))


def unit(x):
    """The rows as icon.cosine has them, for two sets too."""
    return icon.cosine(x).anchors


def exactly(name, a, b, ids, t):
    with jax.enable_x64(True):
        exact = gradient_of(name, "at once")
        a, b, t = (jnp.asarray(x, jnp.float64) for x in (a, b, t))
        return jax.tree.map(np.asarray, exact(a, b, jnp.asarray(ids), t))


CASES = ("simclr", "strips"), ("clip", "tiles"), ("clip", "strips"), ("simclr", "tiles")
CASES = [
    pytest.param(*case, marks=[pytest.mark.slow] if k > 1 else [])
    for k, case in enumerate(CASES)
]
IDS_32 = IDS.astype(np.int32)


@pytest.mark.parametrize("name, way", CASES)
@pytest.mark.parametrize("size", [1e-30, 1e-10, 1.0, 1e10, 1e30])
@pytest.mark.parametrize("t", [1e-8, 1e-3, 1.0, 1e3])
def test_any_scale_and_temperature(t, size, name, way):
    a, b = (jnp.asarray(x * size, jnp.float32) for x in (A, B))
    value, got = gradient_of(name, way)(a, b, IDS_32, jnp.float32(t))
    by_a, by_b, by_t = (np.asarray(x, np.float64) for x in got)
    exact, (a, b, t_) = exactly(name, A, B, IDS_32, np.float32(t))
    np.testing.assert_allclose(value, exact, rtol=1e-5, atol=1e-6)
    # a score cos / t of float32 has an error of about 1e-7 / t
    slack, in_range = 1e-5 if t >= 1 else 1e-3, 1 / t / size < 1e36
    assert np.isfinite(by_t)
    for one, two in ((by_a * size, a), (by_b * size, b), (by_t * t, t_ * t)):
        assert np.all(np.isfinite(one)) or not in_range  # 1e38 is no float32
        if t > 1e-8:
            assert np.linalg.norm(one - two) <= slack * (np.linalg.norm(two) + 1e-3)


@pytest.mark.parametrize("name, way", CASES)
def test_rows_of_zeros_and_twins(name, way):
    a = jnp.asarray(A, jnp.float32).at[3].set(0).at[5].set(jnp.float32(A[4]))
    value, got = gradient_of(name, way)(a, a[::-1], IDS_32, jnp.float32(0.1))
    exact, gradient = exactly(name, a, a[::-1], IDS_32, 0.1)
    assert np.all(np.asarray(got[0])[3] == 0)
    np.testing.assert_allclose(value, exact, rtol=1e-6)
    for one, two in zip(got, gradient, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name, way", CASES)
def test_identical_rows_are_a_uniform_distribution(name, way):
    ones, ids = jnp.ones((N, D)), np.int32([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4])
    value, got = gradient_of(name, way)(ones, ones, ids, jnp.float32(0.1))
    counts = np.array([3] * 9 + ([] if name == "simclr" else [1] * 2))
    other, own = (N - 1, counts - 1) if name == "simclr" else (N, counts)
    np.testing.assert_allclose(value, np.mean(np.log(other / own)), rtol=5e-6)
    np.testing.assert_allclose(got[0], 0, atol=1e-6)


@pytest.mark.parametrize("name, way", CASES)
def test_a_nan_is_in_the_loss_and_in_its_gradient(name, way):
    a = jnp.asarray(A, jnp.float32).at[2, 1].set(jnp.nan)
    value, gradient = gradient_of(name, way)(a, a, IDS_32, jnp.float32(0.1))
    assert np.isnan(value) and np.isnan(gradient[0]).any()


@pytest.mark.parametrize("half", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name, way", CASES[:2])
def test_half_precision_is_summed_wide(name, way, half):
    a, b = (jnp.asarray(x, half) for x in (A, B))
    value, got = gradient_of(name, way)(a, b, IDS_32, jnp.float32(0.1))
    rounded = (np.asarray(x, np.float64) for x in (a, b))
    exact, gradient = exactly(name, *rounded, IDS_32, 0.1)
    np.testing.assert_allclose(value, exact, rtol=1e-6)
    for one, two in zip(got[:2], gradient[:2], strict=True):
        assert one.dtype == half
        error = np.linalg.norm(np.asarray(one, np.float64) - two)
        assert error <= 4e-3 * np.linalg.norm(two)


# ------------------------------------------------------- what it costs


def in_batches(name):
    def loss(a, b):
        ids = jnp.arange(len(a))
        return loss_of(name, a, b, ids // 2 if name == "simclr" else ids, 0.07)

    return loss


def test_tiles_hold_a_tile_and_no_more():
    def loss(a, b):
        q = icon.tiled(icon.dot(a, b), 256, 1024)
        return icon.kl(icon.same(*[jnp.arange(len(a))] * 2), q)

    shape = jax.ShapeDtypeStruct((65536, 128), jnp.float32)
    program = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(shape, shape).compile()
    held = program.memory_analysis().temp_size_in_bytes
    assert held < 150e6  # one side of it is 34


# of [rows, d] by [d, n]: 6 n² d in all, 8 where both report, of which one is read twice
PRODUCTS = dict(infonce=3, clip=4, simclr=3)


@pytest.mark.parametrize("name", soon(PAPERS, "clip"))
def test_a_pair_is_visited_as_rarely_as_can_be(name):
    points = jax.ShapeDtypeStruct((2048, 8), jnp.float32)
    both = jax.jit(jax.value_and_grad(in_batches(name), (0, 1)))
    text = both.lower(points, points).compile().as_text()
    assert len(re.findall(r" dot\(", text)) == PRODUCTS[name]


# ------------------------------------------------------- dtypes


def wave(a, b, t):
    return jnp.real(b @ jnp.conj(a)) / t


@pytest.mark.slow
def test_complex_points_are_learned_in_strips_and_tiles_too(x64):
    z = jnp.asarray(A + 1j * B)

    def losses(z):
        of = lambda wrap=lambda q: q, **options: icon.kl(
            icon.same(IDS), wrap(icon.points(wave, z, t=1.0)), **options
        )
        return jnp.stack([of(**way) for way in WAYS.values()])

    values, gradients = interpret(lambda z: (losses(z), jax.jacrev(losses)(z)), z)
    for k in (1, 2):
        np.testing.assert_allclose(values[k], values[0], rtol=1e-12)
        np.testing.assert_allclose(gradients[k], gradients[0], atol=1e-12)


def test_single_precision_stays_so_beside_double(x64):
    a = jnp.asarray(A, jnp.float32)

    def losses(a, block):
        one_set = icon.kl(icon.same(IDS), icon.cosine(a), joint=True, block=block)
        both = icon.both_ways(icon.kl)
        return one_set + both(icon.same(IDS, IDS), icon.dot(a, a), block=block)

    strips, whole = (
        interpret(jax.grad(lambda a, block=block: losses(a, block)), a)
        for block in (4, None)
    )
    assert strips.dtype == whole.dtype == jnp.float32
    np.testing.assert_allclose(strips, whole, atol=1e-6)
