"""What learns? A function of the row of the table and of the kind of evidence."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from icon._base.numerics import unit
from icon._table import cells as cells
from icon.recipes import layout as layout
from icon.recipes.tasks import FREELY, WIDTH


def adam(rate: float) -> Callable[[int], optax.GradientTransformation]:
    """Adam that warms up and cools down; means over all pairs have tiny gradients."""

    def over(steps: int):
        warm = max(1, min(20, steps // 5))
        last = max(steps, warm + 1)
        cool = optax.warmup_cosine_decay_schedule(0.0, rate, warm, last)
        return optax.adam(cool, eps=1e-16)

    return over


class Learner(NamedTuple):
    """What learns: where it starts, what it makes of rows, what is kept of them."""

    start: Callable  # (key, rows) -> params
    apply: Callable  # (params, rows) -> embedding
    represent: Callable  # (params, rows) -> what is scored
    maps: bool  # it learns on some rows, and is scored on others
    optimizer: Callable  # steps -> how it descends
    finish: Callable = lambda z: z  # what makes an embedding of a network's output
    width: int = 2
    retract: Callable = lambda params: params  # back to where params may be
    or_else: tuple = ()  # learners of the same thing, tried in turn with this one


def encoder(width: int, finish: Callable = lambda z: z) -> Learner:
    """A small network whose output is scored, and for few dimensions a head on it."""

    def models() -> Any:
        from icon import encoders

        return encoders.MLP((512, 512, WIDTH)), encoders.MLP((width,))

    def start(key, x):
        trunk, head = models()
        one, two = jr.split(key)
        below, z = trunk.init(one, x[:1]), jnp.zeros((1, WIDTH))
        return below, head.init(two, z) if width != WIDTH else ()

    def represent(params, x):
        return models()[0].apply(params[0], x)

    def apply(params, x):
        z = represent(params, x)
        return finish(models()[1].apply(params[1], jax.nn.relu(z)) if params[1] else z)

    return Learner(start, apply, represent, True, adam(2e-3), finish, width)


def _stiefel(params):
    """The orthonormal columns nearest in direction, no sign turned."""
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
    finish=unit,  # prototypes that stand beside it are on the sphere
    retract=_stiefel,  # else the columns grow with every step, and steps stop counting
)


def retracted(who: Learner, sides) -> optax.GradientTransformation:
    """After the step, back to where the learner's parameters may be."""

    def update(updates, state, params: Any = None):
        moved: Any = optax.apply_updates(params, updates)
        back = {side: who.retract(moved[side]) for side in sides}
        apart = {
            side: jax.tree.map(jnp.subtract, back[side], params[side]) for side in sides
        }
        return {**updates, **apart}, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


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


# the odds of a pair that is far apart at the start have a slope that can be followed
WIDE_FREE = FREE._replace(start=lambda key, x: 10 * FREE.start(key, x))


def _seeds(clusters: int):
    """Memberships near the seeds of k-means++, never hard.

    Where q is 0 and p is not, the loss is infinite.
    """

    def start(key, x):
        from sklearn.cluster import kmeans_plusplus

        seed, x = int(jr.randint(key, (), 0, 2**31 - 1)), np.asarray(x)
        centers, _ = kmeans_plusplus(x, clusters, random_state=seed)
        apart = ((x[:, None] - centers[None]) ** 2).sum(-1)
        apart = apart - apart.min(1, keepdims=True)
        return jnp.asarray(-np.minimum(apart / apart.mean().clip(1e-12), 1) * 8)

    return start


def _softmax_by_nature(z):
    """softmax whose gradient is the natural one: it does not fade where it is hard."""
    still = jax.lax.stop_gradient(z)
    return jax.nn.softmax(still) + (z - still)


def annealed(steps: int, memory: float = 0.8, sharpest: float = 10.0):
    """Memberships follow a fading memory of the slope, more and more sharply.

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
    natural = lambda params, x: _softmax_by_nature(params)
    one = Learner(_seeds(clusters), soft, soft, False, adam(0.5), width=clusters)
    return one._replace(or_else=(one._replace(apply=natural, optimizer=annealed),))


def learner(row: str, source: str, clusters: int) -> Learner:
    """What learns, by the row of the table and by what p is built from.

    | row           | all points       | items          | batches                    |
    |---------------|------------------|----------------|----------------------------|
    | σ → ∞         | orthonormal map  | the same       | the same                   |
    | Clusters      | free memberships | a network      | a network with a softmax   |
    | σ → 0         | free embedding   | orthonormal map| the same, of length 1      |
    | Gaussian      | free embedding   | orthonormal map| a network to the sphere    |
    | Student-t, …  | free embedding   | orthonormal map| a network to the plane     |
    """
    if row == cells.W:
        return LINEAR
    free = source in FREELY
    if row == cells.C:
        return memberships(clusters) if free else encoder(clusters, jax.nn.softmax)
    if source == "items":
        return LINEAR
    if free:
        return WIDE_FREE if row == cells.YES else FREE
    if row == cells.S:
        return encoder(WIDTH, unit)
    return encoder(WIDTH if row == cells.G else 2)
