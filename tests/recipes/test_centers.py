"""Are k-medians and fuzzy c-means what their textbooks iterate?"""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.cluster import KMeans

import icon


RNG = np.random.default_rng(6)
TRUTH = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])
X = (TRUTH[np.arange(90) % 3] + RNG.normal(size=(90, 2))).astype(np.float32)
START = TRUTH + 1.0


def distances(x, centers):
    return np.sqrt(((x[:, None] - centers[None]) ** 2).sum(2))


def trained(name, x, start, steps=300):
    """The centers that the row's cell descends to, as its recipe does."""
    cell = icon.TABLE[name]
    loss = lambda centers, x: cell((x, centers), (x, centers))
    by = optax.adam(optax.cosine_decay_schedule(0.1, steps))
    args, start = (jnp.asarray(x),), jnp.asarray(start, jnp.float32)
    centers, history = icon.minimize(loss, start, by, steps, args=args)
    return np.asarray(centers), float(loss(centers, args[0]))


def maximum_entropy(x, centers, temperature=2.0, steps=500):
    """Fuzzy c-means of Li & Mukaidono: memberships, then means, in turn."""
    for _ in range(steps):
        u = np.exp(-(distances(x, centers) ** 2) / temperature)
        u = u / u.sum(1, keepdims=True)
        centers = (u.T @ x) / u.sum(0)[:, None]
    return centers


def spatial_medians(x, centers, steps=300):
    """Each point to its nearest center, each center to its points by Weiszfeld."""
    for _ in range(steps):
        far = distances(x, centers)
        own = np.eye(len(centers))[far.argmin(1)] / np.maximum(far, 1e-9)
        centers = (own.T @ x) / own.sum(0)[:, None]
    return centers


def test_fuzzy_c_means_ends_where_its_textbooks_iteration_does():
    centers, _ = trained("fuzzy c-means", X, START)
    np.testing.assert_allclose(centers, maximum_entropy(X, START), atol=2e-3)


def test_without_a_temperature_fuzzy_c_means_is_k_means():
    """Half the inertia over n at scale 1: the hard p of the same q."""
    p = icon.hard(icon.gaussian(X, TRUTH.astype(np.float32)))
    q = icon.unnormalized(icon.gaussian(X, TRUTH.astype(np.float32)))
    inertia = (distances(X, TRUTH).min(1) ** 2).sum()
    assert float(icon.kl(p, q)) == pytest.approx(inertia / 2 / len(X), rel=1e-5)


def test_k_medians_ends_where_its_textbooks_iteration_does():
    centers, loss = trained("k-medians", X, START)
    exact = spatial_medians(X, START)
    assert loss == pytest.approx(distances(X, exact).min(1).mean(), rel=1e-4)
    np.testing.assert_allclose(centers, exact, atol=0.02)


def test_of_hard_clusters_the_reversed_cell_is_the_mean_distance_of_pairs():
    """From that to the spatial median to twice as much: k-medians without centers."""
    labels = distances(X, TRUTH).argmin(1)
    phi, p = np.eye(3, dtype=np.float32)[labels], icon.laplace(X, X)
    masses = np.log(np.exp(-distances(X, X)).sum(1)).mean()
    pairs = distances(X, X) * (labels[:, None] == labels)
    to_mates = (pairs.sum(1) / (labels[:, None] == labels).sum(1)).mean()
    found = float(icon.cross_entropy(icon.clusters(phi), p)) - masses
    assert found == pytest.approx(to_mates, rel=1e-4)
    to_median = distances(X, spatial_medians(X, TRUTH)).min(1).mean()
    assert to_median <= found <= 2 * to_median


def test_outliers_move_medians_less_than_means():
    """Three of 93 points, 40 away: k-means gives them a center of their own."""
    x = np.concatenate([X, [[40.0, 40.0], [41.0, 39.0], [39.0, 41.0]]]).astype(
        np.float32
    )
    off = lambda centers: distances(TRUTH, centers).min(1).max()
    means = KMeans(3, init=START, n_init=1).fit(x).cluster_centers_
    best = KMeans(3, n_init=20, random_state=0).fit(x).cluster_centers_
    medians, _ = trained("k-medians", x, START)
    assert off(medians) < 0.5
    assert min(off(means), off(best)) > 1.0
