"""What learns? By the row of the table and by what p is built from."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from icon._base.numerics import unit
from icon._table import cells
from icon.recipes import layout
from icon.recipes.tasks import WIDTH, Learned


def adam(rate: float) -> Callable[[int], optax.GradientTransformation]:
    """Adam that warms up and cools down; means over all pairs have tiny gradients."""

    def over(steps: int):
        warm = max(1, min(20, steps // 5))
        last = max(steps, warm + 1)
        cool = optax.warmup_cosine_decay_schedule(0.0, rate, warm, last)
        return optax.adam(cool, eps=1e-16)

    return over


class Learner(NamedTuple):
    """What learns: its start, its embedding of rows, what of them is scored."""

    start: Callable  # (key, rows) -> params
    apply: Callable  # (params, rows) -> embedding
    represent: Callable  # (params, rows) -> what is scored
    maps: bool  # it learns on some rows, and is scored on others
    optimizer: Callable  # steps -> an optax transformation
    finish: Callable = lambda z: z  # the last step from a network's output to z
    width: int = 2
    retract: Callable = lambda params: params  # back to where params may be
    alternatives: tuple = ()  # learners of the same parameters, tried in turn


class Model(NamedTuple):
    """A learner with its parameters, a set for each view of the rows."""

    learner: Learner
    params: dict[str, Any]

    def __call__(self, x, view: str = "z"):
        return self.learner.apply(self.params[view], x)

    def finish(self, x):
        return self.learner.finish(x)

    @property
    def extra(self):
        """The further parameters that are learned."""
        return self.params["extra"]


# ------------------------------------------------------- maps


def encoder(width: int, finish: Callable = lambda z: z) -> Learner:
    """A small network whose output is scored, and for few dimensions a head on it."""

    def models() -> Any:
        from icon import encoders

        return encoders.MLP((512, 512, WIDTH)), encoders.MLP((width,))

    def start(key, x):
        trunk, head = models()
        one, two = jr.split(key)
        params, z = trunk.init(one, x[:1]), jnp.zeros((1, WIDTH))
        return params, head.init(two, z) if width != WIDTH else ()

    def represent(params, x):
        return models()[0].apply(params[0], x)

    def apply(params, x):
        z = represent(params, x)
        return finish(models()[1].apply(params[1], jax.nn.relu(z)) if params[1] else z)

    return Learner(start, apply, represent, True, adam(2e-3), finish, width)


def _stiefel(params):
    """The orthonormal columns nearest in direction, each of the same sign."""
    q, r = jnp.linalg.qr(params)
    return q * jnp.sign(jnp.diagonal(r))[None]


def _orthonormal(params, x):
    """The rows through a map whose columns are orthonormal."""
    return x.reshape(len(x), -1) @ _stiefel(params)


LINEAR = Learner(
    lambda key, x: _stiefel(jr.normal(key, (math.prod(x.shape[1:]), 2))),
    _orthonormal,
    _orthonormal,
    True,
    adam(0.05),
    finish=unit,  # its prototypes are on the sphere
    retract=_stiefel,  # else the columns grow with every step, and steps stop counting
)


def retracted(learner: Learner, names: Iterable[str]) -> optax.GradientTransformation:
    """After the step, back to where the learner's parameters may be."""

    def update(updates, state, params: Any = None):
        moved: Any = optax.apply_updates(params, updates)
        back = {name: learner.retract(moved[name]) for name in names}
        steps = {
            name: jax.tree.map(jnp.subtract, back[name], params[name]) for name in names
        }
        return {**updates, **steps}, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


# ------------------------------------------------------- embeddings point by point


def principal(x):
    """The plane of largest variance, of standard deviation 1."""
    z = layout.principal(np.asarray(x), 2, np.random.default_rng(0))
    return jnp.asarray(z / z.std())


FREE = Learner(
    lambda key, x: principal(x),
    lambda params, x: params,
    lambda params, x: params,
    False,
    adam(1.0),
)


# far apart at the start, the odds of a pair have a gradient that can be followed
WIDE_FREE = FREE._replace(start=lambda key, x: 10 * FREE.start(key, x))


# ------------------------------------------------------- memberships of clusters


def _seeds(clusters: int):
    """Memberships near the seeds of k-means++, never hard.

    Where q is 0 and p is not, the loss is infinite.
    """

    def start(key, x):
        from sklearn.cluster import kmeans_plusplus

        seed, x = int(jr.randint(key, (), 0, 2**31 - 1)), np.asarray(x)
        centers, _ = kmeans_plusplus(x, clusters, random_state=seed)
        squared = ((x[:, None] - centers[None]) ** 2).sum(-1)
        squared = squared - squared.min(1, keepdims=True)
        return jnp.asarray(-np.minimum(squared / squared.mean().clip(1e-12), 1) * 8)

    return start


def _natural_softmax(z):
    """softmax with its natural gradient, which does not vanish where it is hard."""
    still = jax.lax.stop_gradient(z)
    return jax.nn.softmax(still) + (z - still)


def annealed(steps: int, memory: float = 0.8, sharpest: float = 10.0):
    """Logits follow a fading memory of the gradient, more and more sharply.

    Where the loss is linear in each membership, as in k-means, a step without memory
    and at full sharpness is Lloyd's.
    """

    def update(updates, state, params: Any = None):
        def toward(g, z):
            g = g - jnp.mean(g, 1, keepdims=True)
            size = jnp.sqrt(jnp.mean(g * g))
            g = g / jnp.where(size > 0, size, 1)
            rate = 2 + (sharpest - 2) * state / steps
            return (memory - 1) * z - rate.astype(z.dtype) * g

        return jax.tree.map(toward, updates, params), state + 1

    return optax.GradientTransformation(lambda params: jnp.zeros(()), update)


def memberships(clusters: int) -> Learner:
    """Free memberships: by Adam, or annealed where the loss is all but linear."""
    soft = lambda params, x: jax.nn.softmax(params)
    natural = lambda params, x: _natural_softmax(params)
    by_adam = Learner(_seeds(clusters), soft, soft, False, adam(0.5), width=clusters)
    by_annealing = by_adam._replace(apply=natural, optimizer=annealed)
    return by_adam._replace(alternatives=(by_annealing,))


# ------------------------------------------------------- which of them


def learner_of(row: str, learned: Learned, clusters: int) -> Learner:
    """What learns, by the row of the table and by what p is built from.

    | row           | points           | items           | batches                   |
    |---------------|------------------|-----------------|---------------------------|
    | σ → ∞         | orthonormal map  | orthonormal map | orthonormal map           |
    | Clusters      | free memberships | softmax of a network | softmax of a network |
    | σ → 0         | free embedding   | orthonormal map | a network to the sphere   |
    | Gaussian      | free embedding   | orthonormal map | a network to 128 numbers  |
    | Student-t, …  | free embedding   | orthonormal map | a network to the plane    |
    """
    if row == cells.W:
        return LINEAR
    free = learned is Learned.POINTS
    if row == cells.C:
        return memberships(clusters) if free else encoder(clusters, jax.nn.softmax)
    if learned is Learned.LINEAR_MAP:
        return LINEAR
    if free:
        return WIDE_FREE if row == cells.YES else FREE
    if row == cells.S:
        return encoder(WIDTH, unit)
    return encoder(WIDTH if row == cells.G else 2)
