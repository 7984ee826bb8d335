"""What learns? By the row of the table and by what p is built from."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from icon._base import checks as check
from icon._base.numerics import unit
from icon._table import evidence
from icon.recipes import layout
from icon.recipes.networks import Network, applied, started, usual
from icon.recipes.task import WIDTH, Learned


RATE = 4e-3  # of networks


def adam(rate: float) -> Callable[[int], optax.GradientTransformation]:
    """Adam that warms up and cools down; means over all pairs have tiny gradients."""

    def over(steps: int):
        warm = max(1, min(20, steps // 5))
        last = max(steps, warm + 1)
        cool = optax.warmup_cosine_decay_schedule(0.0, rate, warm, last)
        return optax.adam(cool, eps=1e-16)

    return over


class Learner(NamedTuple):
    """What learns: its start, its embedding of rows, what of them is scored.

    `apply` and `represent` look at rows; `training` learns from them, where that is
    another thing, as with dropout, or changes the state, as batch norm does.
    """

    start: Callable  # (key, rows) -> params
    apply: Callable  # (params, rows, state) -> embedding
    represent: Callable  # (params, rows, state) -> what is scored
    maps: bool  # it learns on some rows, and is scored on others
    optimizer: Callable  # steps -> an optax transformation
    finish: Callable = lambda z: z  # of prototypes, to where embeddings are
    width: int = 2
    retract: Callable = lambda params: params  # back to where params may be
    alternatives: tuple = ()  # learners of the same parameters, tried in turn
    state: Callable = lambda key, rows: ()
    training: Callable | None = None  # (params, rows, state, key) -> (embedding, state)
    first: Any = None  # the learner of a first stage, whose network is kept
    summary: str = ""  # what it is, in a few words
    by: str = "Adam"  # by what it is trained
    share: float = 1.0  # of the steps of a budget, where all points are placed at once
    on_both_sides: bool = False  # p has its parameters too, and is built in every step


class Model:
    """A learner with its parameters, a set for each view of the rows.

    Args:
        of: a view by its name -> its learner.
        learner: of the first view.
        params: of each view; "extra" are the further parameters.
        states: of each view; those after are in `.states`.
        key: of the step; None: to look at rows.
        progress: 0 at the first step, 1 at the last.
    """

    def __init__(self, of, learner, params, states=None, key=None, progress=1.0):
        self.of, self.learner, self.params = of, learner, params
        self.states, self.key, self.progress = dict(states or {}), key, progress

    def __call__(self, x, view: str = "z"):
        x, params = jnp.asarray(x), self.params[view]
        state = self.states.get(view, ())
        learner = self.of(view)
        if self.key is None or learner.training is None:
            return learner.apply(params, x, state)
        z, self.states[view] = learner.training(params, x, state, self.key)
        return z

    def finish(self, x):
        return self.learner.finish(x)

    @property
    def extra(self):
        """The further parameters that are learned."""
        return self.params["extra"]


# ------------------------------------------------------- maps


def whitened(z):
    """z of mean 0 and covariance 1 over its rows, by the Cholesky factor."""
    z = z - jnp.mean(z, 0, keepdims=True)
    covariance = z.T @ z / len(z)
    d = covariance.shape[0]
    floor = 1e-3 * jnp.trace(covariance) / d + 1e-8
    factor = jnp.linalg.cholesky(covariance + floor * jnp.eye(d, dtype=z.dtype))
    return jax.scipy.linalg.solve_triangular(factor, z.T, lower=True).T


def encoder(
    width: int,
    finish: Callable = lambda z: z,
    network: Network | None = None,
    hidden: tuple[int, ...] = (),
    placed: Callable | None = None,
) -> Learner:
    """A network whose output is scored, and dense layers from it to the embedding.

    Args:
        width: of the embedding.
        finish: from the last layer to the embedding: onto a sphere, to memberships.
        network: what is scored; None: one for the shape of the rows.
        hidden: widths of the layers between; without any, and a network of this width,
            the embedding is the network's output.
        placed: brings prototypes to where embeddings are; None: as `finish`.
    """
    trunk = usual() if network is None else network
    net = _Headed(trunk, (*hidden, width), bool(hidden), finish)
    layers = "-".join(map(str, net.layers))
    return Learner(
        net.start,
        net.embedding,
        net.represent,
        True,
        adam(RATE),
        finish if placed is None else placed,
        width,
        state=net.state,
        training=net.training,
        summary=f"{trunk.summary}, a head {layers}",
        by=f"Adam {RATE:g}",
    )


class _Headed(NamedTuple):
    """A network, dense layers from its output on, and what makes an embedding of it."""

    trunk: Network
    layers: tuple[int, ...]
    always: bool  # whether there are layers where the network has that width already
    finish: Callable

    def start(self, key, x):
        one, two = jr.split(key)
        x = jnp.asarray(x[:2])
        params, state = self.trunk.init(one, x)
        apply = lambda x: self.trunk.apply(params, state, x, None)[0]
        z = jnp.zeros(_rows_of(jax.eval_shape(apply, x), len(x)).shape, jnp.float32)
        head = self._head(z.shape[1])
        return params, started(head, two, z) if head else ()

    def state(self, key, x):
        return self.trunk.init(jr.split(key)[0], jnp.asarray(x[:2]))[1]

    def represent(self, params, x, state=()):
        return self.trunk.apply(params[0], state, x, None)[0]

    def embedding(self, params, x, state=()):
        return self._finished(params, self.represent(params, x, state))

    def training(self, params, x, state, key):
        z, state = self.trunk.apply(params[0], state, x, key)
        return self._finished(params, z), state

    def _finished(self, params, z):
        z = _rows_of(z, len(z))
        head = self._head(z.shape[1])
        return self.finish(applied(head, params[1], jax.nn.relu(z)) if head else z)

    def _head(self, at: int) -> Any:
        from icon import encoders

        more = self.always or at != self.layers[-1]
        return encoders.MLP(self.layers) if more else None


def _rows_of(z, n: int):
    """The output of a network, one row for each row that came in."""
    shape = jnp.shape(z)
    good = len(shape) == 2 and shape[0] == n
    check.require(good, "model", f"an output of shape {shape}", f"[{n}, k] of {n} rows")
    return z


def _stiefel(params):
    """The orthonormal columns nearest in direction, each of the same sign."""
    q, r = jnp.linalg.qr(params)
    return q * jnp.sign(jnp.diagonal(r))[None]


def _orthonormal(params, x, state=()):
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
    summary="an orthonormal map to the plane",
    by="Adam 0.05",
    share=0.5,
)


def _through(params, x, state=()):
    return x.reshape(len(x), -1) @ params


# any matrix: where the length of the columns says how sharp q is
MATRIX = LINEAR._replace(
    apply=_through,
    represent=_through,
    retract=lambda params: params,
    summary="a linear map to the plane",
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
    lambda params, x, state=(): params,
    lambda params, x, state=(): params,
    False,
    adam(3.0),
    summary="two numbers a point from their principal plane",
    by="Adam 3",
)


# a wide start: beside a margin of 1, and where the odds of a pair have a
# gradient that can be followed
WIDE_FREE = FREE._replace(start=lambda key, x: 10 * FREE.start(key, x))
# every pair is asked in each step, and two fifths of the steps place them
OF_PAIRS = WIDE_FREE._replace(share=0.4)


# the further parameters of a task are all that is learned
PARAMETERS = FREE._replace(
    optimizer=adam(0.05),
    summary="",
    by="Adam 0.05",
    share=0.15,
    on_both_sides=True,
)


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
    soft = lambda params, x, state=(): jax.nn.softmax(params)
    natural = lambda params, x, state=(): _natural_softmax(params)
    by_adam = Learner(
        _seeds(clusters), soft, soft, False, adam(0.5), width=clusters,
        summary="free memberships from k-means++ seeds", by="Adam 0.5 or annealed",
    )  # fmt: skip
    by_annealing = by_adam._replace(apply=natural, optimizer=annealed)
    return by_adam._replace(alternatives=(by_annealing,))


# ------------------------------------------------------- which of them


SPREAD = 32  # of an embedding that is whitened: fewer than the rows of a batch


def learner_of(
    row: str,
    learned: Learned,
    clusters: int,
    hidden: tuple[int, ...] = (),
    network: Network | None = None,
    width: int | None = None,
) -> Learner:
    """What learns, by the row of the table and by what p is built from.

    | row          | points           | items           | batches                    |
    |--------------|------------------|-----------------|----------------------------|
    | σ → ∞        | free embedding   | orthonormal map | a network, whitened        |
    | Clusters     | free memberships | softmax of a network | softmax of a network  |
    | Class sums   | free embedding   | linear map      | a network to the plane     |
    | σ → 0        | free embedding   | orthonormal map | a network to the sphere    |
    | Gaussian     | free embedding   | orthonormal map | a network to 128 numbers   |
    | Student-t, … | free embedding   | orthonormal map | a network to 128 numbers,  |
    |              |                  |                 | then to the plane          |

    A width of the task takes the place of the plane; parameters of its own are the
    same in all rows.
    """
    if learned is Learned.PARAMETERS:
        return PARAMETERS
    if learned is Learned.POINTS:
        if row == evidence.C:
            return memberships(clusters)
        return {evidence.YES: OF_PAIRS, evidence.S: WIDE_FREE}.get(row, FREE)
    if learned is Learned.MATRIX:
        return MATRIX
    if row == evidence.C:
        return encoder(clusters, jax.nn.softmax, network)
    if learned is Learned.LINEAR_MAP:
        return MATRIX if row == evidence.SUMS else LINEAR
    if row == evidence.W:
        return encoder(SPREAD, whitened, network, hidden, placed=unit)
    if row == evidence.S:
        return encoder(WIDTH, unit, network, hidden)
    if row == evidence.G:
        return encoder(WIDTH, network=network, hidden=hidden)
    if width is not None:
        return encoder(width, network=network, hidden=hidden)
    return encoder(2, network=network, hidden=hidden)._replace(
        first=encoder(WIDTH, network=network, hidden=hidden)
    )
