"""What do all pairs of points sum to? In float64 NumPy; also layouts and graphs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import icon


class Family(NamedTuple):
    """A kernel, its score and the derivative of that in NumPy, of d² and parameters."""

    make: Callable
    score: Callable
    derivative: Callable


def rational(a, b, wide):
    """A kernel of one's own: a function of one anchor and all candidates."""
    return -1.5 * jnp.log1p(jnp.sum((a[None] - b) ** 2, 1) / (2 * wide))


def own(a, b=None, *, wide):
    return icon.points(rational, a, b, wide=wide)


FAMILIES = {
    "student_t": Family(
        icon.student_t,
        lambda d2, dof=1, scale=1: -(dof + 1) / 2 * np.log1p(d2 / (dof * scale**2)),
        lambda d2, dof=1, scale=1: -(dof + 1) / 2 / (dof * scale**2 + d2),
    ),
    "gaussian": Family(
        icon.gaussian,
        lambda d2, scale: -d2 / (2 * scale**2),
        lambda d2, scale: 0 * d2 - 1 / (2 * scale**2),
    ),
    "own": Family(
        own,
        lambda d2, wide: -1.5 * np.log1p(d2 / (2 * wide)),
        lambda d2, wide: -1.5 / (2 * wide + d2),
    ),
}


def layout(n=500, d=2, seed=0, spread=4.0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(5, d)) * spread
    return (centers[rng.integers(0, 5, n)] + rng.normal(size=(n, d))).astype(np.float32)


def lse(x):
    return np.log(np.exp(x - x.max()).sum()) + x.max()


def by_points(weight, derivative, difference):
    """The gradient of Σ_ij w_ij s(d²_ij) in the anchors, and in the candidates."""
    force = 2 * (weight * derivative)[..., None] * difference
    return force.sum(1), -force.sum(0)


class Sums(NamedTuple):
    """Log-masses, and what their sum with weights g has as gradients."""

    difference: Any  # [n, m, d]
    score: Any  # [n, m]
    derivative: Any  # [n, m], of the scores in d²
    log_mass: Any  # [n]
    probability: Any  # [n, m]
    by_params: dict[str, Any]  # [n], the gradient of M_i in each parameter

    def gradient(self, g):
        """Of Σ g_i M_i in the anchors, and in the candidates."""
        weight = np.asarray(g, np.float64)[:, None] * self.probability
        return by_points(weight, self.derivative, self.difference)

    @property
    def joint(self):
        """log Σ_ij e^{s_ij}, and the weights of whose sum it has the gradient."""
        total = lse(self.log_mass)
        return total, np.exp(self.log_mass - total)


def sums(family, x, y=None, **params) -> Sums:
    """Of one set without j = i, or of two sets; a family, or its name."""
    family = FAMILIES.get(family, family)
    x = np.asarray(x, np.float64)
    difference = x[:, None] - (x if y is None else np.asarray(y, np.float64))[None]
    d2 = (difference**2).sum(-1)
    score = family.score(d2, **params)
    if y is None:
        np.fill_diagonal(score, -np.inf)
    peak = score.max(1, keepdims=True)
    mass = np.log(np.exp(score - peak).sum(1)) + peak[:, 0]
    q = np.exp(score - mass[:, None])
    by_params = {k: (q * by_param(family, d2, params, k)).sum(1) for k in params}
    derivative = family.derivative(d2, **params)
    return Sums(difference, score, derivative, mass, q, by_params)


def by_param(family, d2, params, name, step=1e-5):
    """The derivative of the scores in one parameter, by central differences."""
    up, down = (params | {name: params[name] + by} for by in (step, -step))
    return (family.score(d2, **up) - family.score(d2, **down)) / (2 * step)


def losses(weight, q: Sums):
    """The conditional KL and the joint cross-entropy, each with its gradient in z."""
    mass = weight.sum(1)
    present = mass > 0
    p = weight / np.where(present, mass, 1)[:, None]
    share = present / max(1, present.sum())
    log_p = np.log(np.where(p > 0, p, 1))
    rows = share[:, None] * p
    kl = np.sum(rows * log_p) + _cross_entropy(rows, q) + share @ q.log_mass
    by_rows = _repulsion_minus_attraction(rows, share, q)
    joint, pull = weight / max(weight.sum(), 1e-300), q.joint[1]
    if not present.any():
        return (0, 0 * by_rows), (0, 0 * by_rows)
    entropy = _cross_entropy(joint, q) + q.joint[0]
    return (kl, by_rows), (entropy, _repulsion_minus_attraction(joint, pull, q))


def _cross_entropy(p, q: Sums):
    return -np.sum(p * np.where(p > 0, q.score, 0))


def _repulsion_minus_attraction(p, g, q: Sums):
    attraction = by_points(p, np.where(p > 0, q.derivative, 0), q.difference)
    return sum(q.gradient(g)) - sum(attraction)


def error(got, expected):
    """The relative error of an array, in the Euclidean norm."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected)
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


def hub(n=60, seed=0):
    """A ragged graph: a few each, all list the first, one has no neighbour."""
    rng = np.random.default_rng(seed)
    weights = np.where(rng.uniform(size=(n, n)) < 0.08, rng.uniform(size=(n, n)), 0)
    weights[:, 0] = 1
    np.fill_diagonal(weights, 0)
    weights[7] = 0
    return icon.graph(weights.astype(np.float32))
