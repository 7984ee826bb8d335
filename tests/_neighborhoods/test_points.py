"""Are points under a kernel scored as they are, near or far, alike or zero?"""

import functools as ft

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import soon
from interpreter import interpret

import icon
from icon._neighborhoods import EVERYBODY
from icon._neighborhoods.kernels import Exchanged


IDS = np.array([0, 0, 1, 1, 2, 2, 3, 4])


def embedding(n=8, d=4):
    return jnp.asarray(np.random.default_rng(0).normal(size=(n, d)), jnp.float32)


def simclr(z, ids=IDS, temperature: jax.typing.ArrayLike = 0.1):
    return icon.kl(icon.same(ids), icon.cosine(z, temperature=temperature))


# ------------------------------------------------------- turned round


def asymmetric(a, b, tilt):
    return jnp.tanh(b @ a) + tilt * a[0] * b[:, 1]


def test_a_candidate_scores_an_anchor_as_it_is_scored():
    a, b = embedding(), embedding(5) + 1
    q = icon.points(asymmetric, a, b, tilt=0.5)
    rows = lambda q: jax.vmap(lambda i: q.score(i, EVERYBODY))(jnp.arange(q.shape[0]))
    forward, back = interpret(lambda q: (rows(q), rows(q.T)), q)
    np.testing.assert_allclose(back, forward.T, rtol=1e-6)
    assert isinstance(q.T.kernel, Exchanged)
    assert q.T.T.kernel == q.kernel
    chex.assert_trees_all_equal(q.T.T, q)


# ------------------------------------------------------- any temperature, any length


@ft.cache
def gradient():
    """One program for all that follows."""
    loss = lambda z, ids, t: simclr(z, ids, t)
    return jax.jit(jax.value_and_grad(loss, (0, 2)))


@pytest.mark.parametrize("temperature", [1e-4, 1e-8, 1e-30, 1e30])
def test_any_temperature(temperature):
    z = embedding()
    value, (by_z, _) = gradient()(z, IDS, jnp.float32(temperature))
    chex.assert_tree_all_finite((value, by_z))
    unit = np.asarray(z) / np.linalg.norm(z, axis=1, keepdims=True)
    cosine = unit @ unit.T - 2 * np.eye(8)
    hardest = cosine.max(1) - cosine[np.arange(8), np.arange(8) ^ 1]
    if temperature > 1:
        np.testing.assert_allclose(value, np.log(7), rtol=1e-6)
    else:  # the loss of a maximum, divided by the temperature, up to log 7
        limit = hardest[:6].mean() / np.float64(np.float32(temperature))
        assert abs(value - limit) <= np.log(7) + 1e-5 * limit


@pytest.mark.parametrize("size", [1e-30, 1e-4, 1e4, 1e19, 1e30])
def test_cosine_losses_do_not_depend_on_how_long_a_vector_is(size):
    value, (by_z, by_t) = gradient()(embedding() * size, IDS, jnp.float32(0.1))
    expected, (exact, exact_t) = gradient()(embedding(), IDS, jnp.float32(0.1))
    np.testing.assert_allclose(value, expected, rtol=2e-6)
    np.testing.assert_allclose(np.float64(by_z) * size, exact, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(by_t, exact_t, rtol=1e-4)


def test_the_names_of_classes_do_not_count():
    renamed = np.array([5, 5, 7, 7, 1, 1, 2, 9])
    of = lambda ids: gradient()(embedding(), ids, jnp.float32(0.1))
    found, known = of(renamed), of(IDS)
    chex.assert_trees_all_equal(found, known)


def test_a_nan_is_never_hidden():
    z = embedding().at[3, 0].set(jnp.nan)
    value, (by_z, _) = gradient()(z, IDS, jnp.float32(0.1))
    assert np.isnan(value) and np.isnan(by_z).any()


# ------------------------------------------------------- alike, and zero


KINDS = {
    "points": icon.student_t,
    "cosine": icon.cosine,
    "laplace": icon.laplace,
    "wide": lambda z: icon.wide(icon.gaussian(z)),
    "sharp": lambda z: icon.sharp(icon.gaussian(z)),
    "clusters": lambda z: icon.clusters(jax.nn.softmax(z)),
}


@pytest.mark.parametrize("name", soon(KINDS, "clusters"))
def test_coincident_points_and_rows_of_zeros_have_gradients(name):
    """On either side of a loss, for each anchor and jointly."""
    ids = np.arange(8) // 2
    known = icon.same(ids, ids) if name == "clusters" else icon.same(ids)

    def losses(z):
        q, cluster = KINDS[name](z), icon.clusters(jax.nn.softmax(z))
        pairs = (known, q), (q, cluster), (q, q)
        return sum(icon.kl(*pair, joint=j) for pair in pairs for j in (False, True))

    both = ft.partial(interpret, jax.value_and_grad(losses))
    coincident = jnp.ones((8, 4))
    zeros = embedding().at[2].set(0).at[5].set(0)
    for z in (coincident, zeros):
        chex.assert_tree_all_finite(both(z))
    if name == "cosine":
        found = jax.grad(lambda z: icon.kl(known, KINDS[name](z)))(zeros)
        assert not found[jnp.array([2, 5])].any() and jnp.any(found, 1).sum() == 6


@pytest.mark.slow
def test_hard_and_empty_clusters_have_gradients():
    """Memberships of zero and one; the fourth cluster is empty."""
    phi, ids = jnp.eye(3, 4)[np.arange(8) % 3], np.arange(8) % 3
    other = icon.same(ids, ids)

    def losses(phi, block):
        as_p = icon.clusters(phi), icon.smooth(other, 0.2)
        as_q = other, icon.clusters(phi)
        verbs = icon.kl, icon.jsd, icon.hellinger, ft.partial(icon.kl, joint=True)
        return [verb(*x, block=block) for x in (as_p, as_q) for verb in verbs]

    for block in (None, 3):
        both = lambda phi, block=block: jax.jacrev(lambda x: losses(x, block))(phi)
        chex.assert_tree_all_finite(interpret(both, phi))
        values = interpret(lambda phi, block=block: losses(phi, block), phi)
        np.testing.assert_allclose(values[4:7], 0, atol=1e-6)  # q is p


# ------------------------------------------------------- kernels of one's own


def length(a, b):
    return -jnp.linalg.norm(a[None] - b, axis=1)  # without a gradient at a = b


SUMMED = {
    "held": lambda p, q: icon.kl(p, q),
    "in strips": lambda p, q: icon.kl(p, q, block=3),
    "jointly, in strips": lambda p, q: icon.kl(p, q, joint=True, block=3),
    "in tiles": lambda p, q: icon.kl(p, icon.tiled(q, 3, 2)),
    "as p": lambda p, q: icon.kl(q, icon.gaussian(p_points())),
    "as a listed p asks": lambda p, q: icon.kl(LISTED, q),
}
LISTED = icon.uniform((np.arange(8)[:, None] + [1, 3]) % 8)


def p_points():
    return embedding(8, 2)


@pytest.mark.parametrize("name", SUMMED)
def test_a_kernel_may_be_singular_where_a_is_b(name):
    """The gradient is that of the Laplace kernel, which is written to have one."""

    def loss(make, z):
        return SUMMED[name](icon.same(IDS), make(z))

    found, known = (
        interpret(jax.value_and_grad(ft.partial(loss, make)), embedding())
        for make in (ft.partial(icon.points, length), icon.laplace)
    )
    chex.assert_tree_all_finite(found)
    chex.assert_trees_all_close(found, known, rtol=1e-5, atol=1e-6)


def centred(a, b):
    score = b @ a
    return score - jnp.mean(score)


def test_a_kernel_of_whole_rows_sees_them_whoever_asks():
    z = embedding()
    q = icon.points(centred, z, whole_rows=True)
    score = z @ z.T
    expected = score - score.mean(1, keepdims=True)
    at = jnp.array([1, 6])
    for i in (0, 3):
        np.testing.assert_allclose(q.score(i, at), expected[i, at], atol=1e-5)
    losses = lambda q, block: (
        icon.kl(LISTED, q), icon.kl(icon.same(IDS), q, block=block),
    )  # fmt: skip
    plain = interpret(lambda: losses(icon.dot(z), None))
    found = interpret(lambda: losses(q, 3))  # a constant of a row is nothing
    np.testing.assert_allclose(found, plain, rtol=1e-5)
    for refused in (lambda: q.T, lambda: icon.tiled(q)):
        with pytest.raises(icon.InvalidInput):
            refused()


# ------------------------------------------------------- numbers at their ends


def test_infinite_degrees_of_freedom_are_a_gaussian():
    z = embedding()
    for dof in (np.inf, 1e30, jnp.float32(jnp.inf)):
        q = icon.student_t(z, dof=dof, scale=0.7)
        chex.assert_trees_all_equal(q, icon.gaussian(z, scale=0.7))
    large = icon.kl(icon.same(IDS), icon.student_t(z, dof=1e19))
    limit = icon.kl(icon.same(IDS), icon.gaussian(z))
    np.testing.assert_allclose(large, limit, rtol=1e-6)


@pytest.mark.slow
def test_given_scores_without_some_neighbors_have_a_temperature_to_learn(x64):
    rng = np.random.default_rng(0)
    matrix = np.where(rng.random((6, 6)) < 0.4, -np.inf, rng.normal(size=(6, 6)))
    matrix[:, 0] = 0.5
    z = rng.normal(size=(6, 3))

    def loss(T):
        given = icon.scores(matrix, temperature=T)
        one = icon.kl(given, icon.dot(z, z))
        return one + icon.kl(icon.same(np.zeros(6, int), np.arange(6)), given)

    h = 1e-6
    slope = (loss(1.3 + h) - loss(1.3 - h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(loss)(1.3), slope, rtol=1e-6)


def tilted(a, b):
    return -jnp.log1p((1 - b @ a) / 0.1)


def test_a_smooth_kernel_of_ones_own_shares_its_candidates():
    """Only where it is singular has every anchor n m d candidates of its own."""
    n, d = 64, 48

    def megabytes(kernel):
        z = jax.ShapeDtypeStruct((n, d), jnp.float32)
        loss = lambda z: icon.kl(icon.same(np.arange(n) // 2), icon.points(kernel, z))
        made = jax.jit(jax.grad(loss)).lower(z).compile()
        return made.memory_analysis().temp_size_in_bytes / 1e6

    assert megabytes(tilted) < n * n * d * 4e-6 / 4 < megabytes(length)


def test_scores_without_any_neighbor_are_refused():
    with pytest.raises(icon.InvalidInput, match="^matrix: .* got -inf only"):
        icon.scores(np.full((3, 2), -np.inf))
    assert icon.scores([[-np.inf, 0.0], [-np.inf, -np.inf]]).shape == (2, 2)
