"""Are strips of anchors of any length the whole, in less memory?"""

import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from cases import slow, soon
from interpreter import every_array, interpret

import icon
from icon._engines import strips
from icon._engines.strips import each, strip_length


N = zoo.N


def twins(name, dtype=jnp.float64):
    """p and q of one kind, and what of them is learned."""
    pair = [zoo.KINDS[name](zoo.OURS, zoo.traced(k, 0.0, dtype)) for k in (0, 1)]
    leaves, structure = jax.tree.flatten(pair)
    floating = [jnp.issubdtype(x.dtype, jnp.floating) for x in leaves]

    def rebuild(floats):
        floats = iter(floats)
        both = zip(leaves, floating, strict=True)
        return structure.unflatten([next(floats) if f else x for x, f in both])

    return [x for x, f in zip(leaves, floating, strict=True) if f], rebuild


# ------------------------------------------------------- nothing changes


LENGTHS = 1, N - 1, N, N + 1
VERBS = {
    "kl": icon.kl,
    "jsd": icon.jsd,
    "joint cross-entropy": ft.partial(icon.cross_entropy, joint=True),
}


@pytest.mark.parametrize("verb", soon(VERBS, "jsd"))
@pytest.mark.parametrize("name", [slow("student_t"), "graph"])
def test_strips_of_any_length_are_the_whole(x64, name, verb):
    floats, rebuild = twins(name)

    def loss(floats, block):
        return VERBS[verb](*rebuild(floats), block=block)

    gradient = lambda block: interpret(
        jax.value_and_grad(ft.partial(loss, block=block)), floats
    )
    whole = gradient(None)
    assert all(np.any(x) for x in whole[1][:1])
    for block in LENGTHS if name == "student_t" else LENGTHS[:2]:
        for x, y in zip(*map(jax.tree.leaves, (gradient(block), whole)), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13)


def test_the_gradient_in_the_weights_is_that_of_their_mean(x64):
    """∂L/∂w_i = (loss_i - L) / Σ w, and nothing for an anchor without a neighbour."""
    d = zoo.traced(0, 0.0, jnp.float64)
    p, q = icon.same(zoo.IDS), icon.student_t(d.x)
    loss = lambda w, block: icon.kl(p, q, weight=w, block=block)
    both = [jax.value_and_grad(ft.partial(loss, block=block)) for block in (None, 3)]
    weight = jnp.asarray(zoo.IDLE)
    found = interpret(lambda w: [f(w) for f in both], weight)
    A, B, M_p, M_q = interpret(icon.per_anchor, p, q)
    counted = M_p > -np.inf
    losses = np.where(counted, -np.where(counted, M_p, 0) - B + M_q, 0)
    for value, gradient in found:
        exact = np.where(counted, losses - value, 0) / zoo.IDLE[counted].sum()
        np.testing.assert_allclose(gradient, exact, rtol=1e-10, atol=1e-14)


def test_an_infinite_loss_without_a_weight_is_not_in_the_sum(x64):
    """Anchor 1 has no weight; q gives its only neighbour no probability."""
    x = zoo.traced(0, 0.0, jnp.float64).x
    p = icon.same(np.array([0, 0, 1, 1, 1, 2, 3]))
    weight = jnp.array([1.0, 0.0, 1.0, 2.0, 1.0, 1.0, 1.0])
    mass = jnp.array([0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])

    def loss(x, block):
        q = icon.reweigh(icon.gaussian(x), mass)
        return icon.kl(p, q, weight=weight, block=block)

    both = lambda x: [
        jax.value_and_grad(ft.partial(loss, block=b))(x) for b in (None, 3)
    ]
    whole, strips = interpret(both, x)
    assert np.isfinite(whole[0]) and np.isfinite(whole[1]).all()
    np.testing.assert_allclose(strips[0], whole[0], rtol=1e-12)
    np.testing.assert_allclose(strips[1], whole[1], rtol=1e-10, atol=1e-14)


def test_each_anchor_is_answered_once_in_blocks_of_any_length():
    one = lambda i: (jnp.sin(i.astype(jnp.float32)), dict(square=i * i))
    whole = each(one, 10, None)
    for block in (1, 3, 10, 64):
        for x, y in zip(
            *map(jax.tree.leaves, (each(one, 10, block), whole)), strict=True
        ):
            np.testing.assert_allclose(x, y, rtol=1e-6)


# ------------------------------------------------------- how long a strip is


def test_a_strip_is_what_a_cache_holds():
    assert strip_length(1000) == 256  # rows at most
    assert strip_length(2**20) == 2**25 // 2**20  # scores at most
    assert strip_length(2**30) == 16  # but some


@pytest.mark.parametrize("backend, rows", [("cpu", 256), ("gpu", 4096)])
def test_an_accelerator_is_kept_busy(monkeypatch, backend, rows):
    monkeypatch.setattr(strips.jax, "default_backend", lambda: backend)
    assert strip_length(1) == rows


# ------------------------------------------------------- what is held


@pytest.mark.parametrize("joint", [False, slow(True)])
def test_no_array_of_pairs_in_strips(joint):
    n, block, d = 512, 16, 16
    z = jnp.zeros((n, d))
    p = icon.uniform((np.arange(n)[:, None] + np.arange(1, 6)) % n)

    def losses(z, block):
        points = icon.kl(p, icon.student_t(z), joint=joint, block=block)
        smoothed = icon.kl(icon.smooth(p, 0.1), icon.dot(z), joint=joint, block=block)
        return points + smoothed

    def largest(block):
        made = jax.make_jaxpr(jax.grad(losses), static_argnums=1)(z, block)
        return max(np.prod(shape, dtype=int) for shape in every_array(made))

    assert largest(None) >= n * n  # the walk sees it where it is
    assert largest(block) <= n * block * d


def batch_loss(name):
    def loss(a, b):
        ids = jnp.arange(len(a))
        if name == "simclr":
            return icon.kl(icon.same(ids // 2), icon.cosine(a))
        p, q = icon.same(ids, ids), icon.dot(a, b)
        return (icon.both_ways(icon.kl) if name == "clip" else icon.kl)(p, q)

    return loss


SIZES = [("simclr", 65536, 350), ("infonce", 262144, 1300)]
MORE_SIZES = [
    *(("simclr", 16384, 100), ("clip", 16384, 100)),
    *(("clip", 65536, 350), ("clip", 262144, 1300)),
]


@pytest.mark.parametrize(
    "name, n, most",
    [*SIZES, *(slow(*x) for x in MORE_SIZES)],
)
def test_memory_grows_with_the_batch_not_with_its_square(name, n, most):
    points = jax.ShapeDtypeStruct((n, 128), jnp.float32)
    both = jax.jit(jax.value_and_grad(batch_loss(name), (0, 1)))
    program = both.lower(points, points).compile()
    assert program.memory_analysis().temp_size_in_bytes < most * 1e6
