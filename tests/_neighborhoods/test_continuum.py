"""Do normal distributions meet exactly, and what is sampled on average?

The formula is NumPy's, by covariances, inverses and determinants.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from cases import slow, soon
from interpreter import interpret
from jax.test_util import check_grads

import icon


N, D = 4, 3
RNG = np.random.default_rng(0)
KINDS = "one number", "deviations", "factors"


def cloud(kind, seed):
    """A mean [N, D] and what std may be."""
    rng = np.random.default_rng(seed)
    mean, std = rng.normal(size=(N, D)), np.exp(rng.normal(size=(N, D)) / 2)
    factors = np.tril(rng.normal(size=(N, D, D)), -1) + np.stack(
        list(map(np.diag, std))
    )
    return mean, {KINDS[0]: std[0, 0], KINDS[1]: std, KINDS[2]: factors}[kind]


def covariance(std, i):
    if np.ndim(std) == 0:
        return std**2 * np.eye(D)
    return np.diag(std[i] ** 2) if np.ndim(std) == 2 else std[i] @ std[i].T


def kl_of(m, S, n, T):
    """KL(N(m, S) ‖ N(n, T))."""
    inverse, gap = np.linalg.inv(T), n - m
    logs = np.linalg.slogdet(T)[1] - np.linalg.slogdet(S)[1]
    return (np.trace(inverse @ S) + gap @ inverse @ gap - len(m) + logs) / 2


def reference(p, q):
    """The KL and the cross-entropy of every anchor."""
    (m, s), (n, t) = p, q
    kl = [kl_of(m[i], covariance(s, i), n[i], covariance(t, i)) for i in range(N)]
    normals = [
        scipy.stats.multivariate_normal(m[i], covariance(s, i)) for i in range(N)
    ]
    entropy = [normal.entropy() for normal in normals]
    return np.array(kl), np.array(kl) + entropy


PAIRS = [(a, b) for a in KINDS for b in KINDS]
SOON = (
    ("deviations", "deviations"),
    ("deviations", "factors"),
    ("factors", "one number"),
)
SOME_KINDS = pytest.mark.parametrize("kinds", soon(PAIRS, *SOON))


@SOME_KINDS
def test_two_normals_meet_exactly(kinds, x64):
    """Without a key, whole, weighed, joint, in strips, and both reports."""
    p, q = (cloud(kind, seed) for seed, kind in enumerate(kinds))
    kl, cross = reference(p, q)
    p, q = icon.normal(*p), icon.normal(*q)
    weight = np.array([1.0, 0, 3, 2])
    close = lambda got, expected: np.testing.assert_allclose(got, expected, rtol=1e-12)

    def everything():
        losses = [
            icon.kl(p, q),
            icon.kl(p, q, weight=weight),
            icon.kl(p, q, joint=True),
            icon.kl(p, q, block=3),
            icon.kl(q, p),
            icon.cross_entropy(p, q),
            icon.kl(p, p),
        ]
        return losses, icon.per_anchor(p, q), icon.terms(p, q)

    losses, (A, B, N, M), terms = interpret(everything)
    back = reference(cloud(kinds[1], 1), cloud(kinds[0], 0))[0].mean()
    mean, weighed = kl.mean(), kl @ weight / 6
    close(losses, [mean, weighed, mean, mean, back, cross.mean(), 0])
    close(A - B, kl)
    assert not np.any(N) and not np.any(M) and losses[-1] == 0
    assert sum(terms) == losses[-2]


@SOME_KINDS
@pytest.mark.parametrize("block", [None, slow(3)])
def test_their_gradients_are_exact_in_all_four_arguments(kinds, block, x64):
    clouds = [*cloud(kinds[0], 0), *cloud(kinds[1], 1)]

    def loss(m, s, n, t):
        lower = [jnp.tril(x) if jnp.ndim(x) == 3 else x for x in (s, t)]
        p, q = icon.normal(m, lower[0]), icon.normal(n, lower[1])
        return icon.kl(p, q, block=block)

    modes = ["rev"] if block else ["fwd", "rev"]
    clouds = [jnp.asarray(x) for x in clouds]
    check_grads(loss, clouds, 1, modes, atol=1e-7, rtol=1e-7, eps=1e-5)


def test_the_gradient_in_the_mean_and_the_deviation_is_the_formulas(x64):
    """∂KL = (m-n) / t² ∂m + (s / t² - 1 / s) ∂s + (1 / t - (s² + (m-n)²) / t³) ∂t."""
    (m, s), (n, t) = cloud("deviations", 0), cloud("deviations", 1)
    loss = lambda m, s, n, t: N * icon.kl(icon.normal(m, s), icon.normal(n, t))
    found = jax.grad(loss, (0, 1, 2, 3))(*map(jnp.asarray, (m, s, n, t)))
    gap = (m - n) / t**2
    expected = gap, s / t**2 - 1 / s, -gap, 1 / t - (s**2 + (m - n) ** 2) / t**3
    for got, formula in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, formula, rtol=1e-11)


@SOME_KINDS
def test_samples_agree_with_the_exact_answer(kinds, x64):
    """Against the same normal as a density, which can only be evaluated."""
    p, (n, t) = cloud(kinds[0], 0), cloud(kinds[1], 1)
    inverse = np.stack([np.linalg.inv(covariance(t, i)) for i in range(N)])
    logs = [np.linalg.slogdet(2 * np.pi * covariance(t, i))[1] for i in range(N)]

    def log_density(params, anchor, z):
        mean, inverse, log_det = anchor
        return -((z - mean) @ inverse @ (z - mean) + log_det) / 2

    sampled = icon.normal(*p, jr.key(0), samples=40_000)
    density = icon.density(log_density, (), (n, inverse, np.array(logs)))
    exact = icon.cross_entropy(sampled, icon.normal(n, t))
    found = icon.cross_entropy(sampled, density)
    assert abs(found - exact) < 0.02 * abs(exact)


def test_a_cloud_with_a_factor_is_drawn_with_its_covariance(x64):
    mean, factor = cloud("factors", 0)
    at, weight = icon.normal(mean, factor, jr.key(1), samples=100_000).support(2)
    np.testing.assert_allclose(np.asarray(weight).sum(), 1)
    np.testing.assert_allclose(at.mean(0), mean[2], atol=0.02)
    np.testing.assert_allclose(np.cov(at.T), covariance(factor, 2), atol=0.1)


@pytest.mark.parametrize("size", [1e-30, slow(1e-12), slow(1e12), 1e30])
def test_tiny_and_huge_deviations_keep_value_and_gradient(size):
    """Scaled alike, two clouds are as far from each other as before."""
    (m, s), (n, t) = (
        [np.float32(x) for x in cloud("deviations", seed)] for seed in (0, 1)
    )
    size = np.float32(size)

    def loss(m, s, n, t):
        return icon.kl(icon.normal(m, s), icon.normal(n, t))

    scaled = [size * x for x in (m, s, n, t)]
    found = jax.value_and_grad(loss, (0, 1, 2, 3))(*scaled)
    plain = jax.value_and_grad(loss, (0, 1, 2, 3))(m, s, n, t)
    np.testing.assert_allclose(found[0], plain[0], rtol=1e-4)
    for got, expected in zip(found[1], plain[1], strict=True):
        np.testing.assert_allclose(got * size, expected, rtol=1e-3, atol=1e-6)


def test_a_cloud_infinitely_far_from_another_is_no_nan():
    p = icon.normal(np.zeros((2, 2), np.float32), 1e30)
    q = icon.normal(np.ones((2, 2), np.float32), 1e-30)
    assert icon.kl(p, q) == np.inf
    assert np.isfinite(icon.kl(q, p)) and icon.kl(q, p) > 100


def test_half_precision_is_summed_in_float32():
    (m, s), (n, t) = (cloud("deviations", seed) for seed in (0, 1))
    half = [jnp.asarray(x, jnp.bfloat16) for x in (m, s, n, t)]
    wide = [np.float64(x) for x in half]
    found = icon.kl(icon.normal(*half[:2]), icon.normal(*half[2:]))
    assert found.dtype == jnp.float32
    expected = reference(wide[:2], wide[2:])[0].mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_one_number_is_learned_by_its_gradient(x64):
    """The deviation of a decoder: its best is that of the errors."""
    x, decoded = RNG.normal(size=(2, 50, 2))
    loss = lambda std: icon.kl(icon.dirac(x), icon.normal(decoded, std))
    best = np.sqrt(np.mean((x - decoded) ** 2))
    assert abs(jax.grad(loss)(best)) < 1e-12
    assert jax.grad(loss)(1.1 * best) > 0 > jax.grad(loss)(0.9 * best)


# ------------------------------------------------------- points


def test_a_point_has_the_likelihood_of_its_place(x64):
    x = RNG.normal(size=(N, D))
    mean, factor = cloud("factors", 1)
    by_scipy = [
        scipy.stats.multivariate_normal(mean[i], covariance(factor, i)).logpdf(x[i])
        for i in range(N)
    ]
    found = icon.kl(icon.dirac(x), icon.normal(mean, factor))
    np.testing.assert_allclose(found, -np.mean(by_scipy), rtol=1e-12)
    assert icon.kl(icon.dirac(x), icon.dirac(x)) == 0
    assert icon.kl(icon.dirac(x), icon.dirac(x + 1)) == np.inf


def test_a_point_is_the_limit_of_a_narrow_cloud(x64):
    """But for the entropy of the cloud: cross-entropies meet."""
    x, decoded = RNG.normal(size=(2, N, D))
    q = icon.normal(decoded, 0.5)
    point = icon.cross_entropy(icon.dirac(x), q)
    for std in (1e-2, 1e-4):
        narrow = icon.cross_entropy(icon.normal(x, std), q)
        np.testing.assert_allclose(narrow - point, D * std**2 / 0.5, rtol=1e-6)


def test_points_learn_as_targets(x64):
    x, decoded = RNG.normal(size=(2, N, D))
    loss = lambda x: N * icon.kl(icon.dirac(x), icon.normal(decoded, 0.5))
    np.testing.assert_allclose(jax.grad(loss)(x), (x - decoded) / 0.25, rtol=1e-12)
