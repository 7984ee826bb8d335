r"""What learns the memberships of features? Heads, by the clustering cell, from labels.

A head gives every row logits, φ = softmax(logits), and follows the gradient of

    D( (1 - α_p) p + α_p / n  ||  (1 - α) clusters(φ) + α / n )

D is KL, or a bounded divergence. Where α_p = 0 a step visits the edges of p alone.
"""

import dataclasses
import functools as ft
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from icon._base.pytrees import take
from icon._loss import hellinger, jsd, kl, tv
from icon._neighborhoods import Graph, Neighborhood, clusters, same, scores, smooth
from icon._training import completed, minimize
from icon.recipes.cut import indicator
from icon.recipes.ensemble import unit
from icon.recipes.layout import blocks


HIDDEN, SHARP = 256, 30.0  # units; the length of the first rows of a head
SURE = 5.0  # the first logit of a free membership
CONTINUED = 10  # steps on a batch
LEARNING, BATCH, LEARNING_RATE = 150, 1024, 0.01  # of labels: steps, rows, rate
DIVERGENCES = dict(kl=kl, tv=tv, jsd=jsd, hellinger=hellinger)


# ------------------------------------------------------- heads


class Head(NamedTuple):
    """What gives rows their logits, and where it starts from labels."""

    start: Callable  # (x, labels, count, rng) -> parameters
    logits: Callable  # (parameters, x) -> [n, C]
    rate: float  # of Adam, at first


def _means(x, labels, count: int):
    """The directions of the clusters' means [d, C]."""
    sums = indicator(labels, count).astype(np.float32).T @ x
    return jnp.asarray(unit(sums).T)


def _linear(x, labels, count: int, rng):
    return dict(
        linear=SHARP * _means(x, labels, count),
        bias=jnp.zeros((1, count)),
    )


def _linear_logits(params, x):
    return x @ params["linear"] + params["bias"]


def _mlp(x, labels, count: int, rng):
    """The linear head, and a hidden part that adds nothing yet."""
    normal = np.sqrt(2) * rng.normal(size=(x.shape[1], HIDDEN))
    return _linear(x, labels, count, rng) | dict(
        hidden=jnp.asarray(normal, jnp.float32),
        shift=jnp.zeros((1, HIDDEN)),
        out=jnp.zeros((HIDDEN, count)),
    )


def _mlp_logits(params, x):
    hidden = jax.nn.relu(x @ params["hidden"] + params["shift"])
    return _linear_logits(params, x) + hidden @ params["out"]


def _free(x, labels, count: int, rng):
    return SURE * jax.nn.one_hot(jnp.asarray(labels), count)


def _free_logits(params, x):
    return params


HEADS = dict(
    linear=Head(_linear, _linear_logits, 0.1),
    mlp=Head(_mlp, _mlp_logits, 0.01),
    free=Head(_free, _free_logits, 0.1),
)


# ------------------------------------------------------- the cell they descend


class Debiasing(NamedTuple):
    """The share of the uniform distribution in q and in p."""

    q: Any = 0.6
    p: Any = 0.0


DEBIASING = Debiasing()


class Sizes(NamedTuple):
    r"""What is known of the clusters' sizes beside a batch B of rows.

    $$n_c = \delta\, |B|\, s_c + (1 - \delta) \textstyle\sum_{i \in B} \varphi_{ic}$$

    s is a running mean over earlier batches. The gradient of n_c is that of the sum
    alone: what all rows are expected to have, whatever δ is.
    """

    share: Any  # s, [C]
    decay: Any  # δ, from 0 to 1

    def at(self, phi):
        """n_c [C], of memberships [B, C]."""
        batch = jnp.sum(phi, 0)
        earlier = phi.shape[0] * self.share.astype(phi.dtype)
        return batch + self.decay.astype(phi.dtype) * lax.stop_gradient(earlier - batch)

    def after(self, phi: Float[np.ndarray, "B C"]) -> Float[np.ndarray, " C"]:
        """s after a batch."""
        batch = phi.mean(0, dtype=np.float64)
        return self.decay * self.share + (1 - self.decay) * batch


@dataclasses.dataclass(frozen=True)
class Objective:
    """The clustering cell of some heads' memberships; equal ones share one program."""

    logits: Callable
    divergence: Callable = kl
    samples: int | None = None  # of all rows per anchor, where p is debiased
    debiases_p: bool = False

    def __call__(self, heads, p, x, alpha: Debiasing, key, sizes: Sizes | None = None):
        """The sum over heads [H, ...], so that each has the gradient of its own."""
        one = lambda params: self.of(params, p, x, alpha, key, sizes)
        return jnp.sum(jax.vmap(one)(heads))

    def of(self, params, p, x, alpha: Debiasing, key, sizes: Sizes | None = None):
        """The loss of one head."""
        phi = jax.nn.softmax(self.logits(params, x))
        size = None if sizes is None else sizes.at(phi)
        q = smooth(clusters(phi, size=size), alpha.q)
        if not self.debiases_p:
            return self.divergence(p, q)
        drawn = {} if self.samples is None else dict(samples=self.samples, key=key)
        return self.divergence(smooth(p, alpha.p, **drawn), q)


@dataclasses.dataclass(frozen=True)
class Keys:
    """A fresh key for every step."""

    seed: int

    def __call__(self, step):
        return jax.random.fold_in(jax.random.key(self.seed), step)


@ft.lru_cache(16)
def _adam(rate: float, steps: int):
    """One optimizer for equal settings: programs are found by its identity."""
    return optax.adam(optax.cosine_decay_schedule(rate, steps))


def trained(
    objective: Objective,
    heads: list,
    p: Neighborhood,
    x: Float[ArrayLike, "n d"],
    alpha: Debiasing = DEBIASING,
    sizes: Sizes | None = None,
    *,
    steps: int = 30,
    rate: float = 0.1,
    seed: int = 0,
):
    """Heads after some steps of Adam side by side, and the loss of each.

    Args:
        objective: the cell.
        heads: the parameters that each starts from.
        p: who should share a cluster; pass `p.prepared()`, which lists edges once.
        x: the features [n, d].
        alpha: the debiasing of both sides.
        sizes: of the clusters, where x is a batch of more rows; None: those in x.
        steps: how many.
        rate: the first learning rate; it falls to 0 as a cosine.
        seed: of what is drawn.

    Returns:
        the parameters of every head in a list, and their losses [H].

    Example:
        >>> import icon, numpy as np
        >>> from icon.recipes import heads
        >>> x = np.float32([[0, 1], [0, 1], [1, 0], [1, 0]])
        >>> p = icon.uniform([[1], [0], [3], [2]]).prepared()
        >>> rng = np.random.default_rng(0)
        >>> start = heads.HEADS["linear"].start(x, np.array([0, 0, 0, 1]), 2, rng)
        >>> objective = heads.Objective(heads.HEADS["linear"].logits)
        >>> (found,), loss = heads.trained(objective, [start], p, x, rate=1.0)
        >>> heads.HEADS["linear"].logits(found, x).argmax(1).tolist()
        [0, 0, 1, 1]

    Source: Alshammari et al., I-Con, 2025 (debiased InfoNCE clustering).
    """
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *heads)
    single = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), tree)
    alpha, sizes, x = single(alpha), single(sizes), jnp.asarray(x)
    which, args = (objective, stacked, _adam(rate, steps)), (p, x, alpha)
    stacked, _ = completed(
        minimize(*which, steps, args=(*args, Keys(seed), sizes), every=steps)
    )
    each = [take(stacked, h) for h in range(len(heads))]
    loss, given = jax.jit(objective.of), (p, x, alpha, jax.random.key(seed), sizes)
    return each, np.array([float(loss(params, *given)) for params in each])


# ------------------------------------------------------- for rows that are new


class Classifier(NamedTuple):
    """A head and its parameters."""

    kind: str  # of HEADS
    params: Any
    order: Int[np.ndarray, " K"]  # the clusters, as they are counted outside

    def probabilities(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n K"]:
        """φ of rows."""
        found = np.empty((len(x), len(self.order)), np.float32)
        for rows, phi in self._in_blocks(x):
            found[rows] = phi
        return found

    def labels(self, x: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        """The likeliest cluster of rows, without a matrix [n, K]."""
        found = np.empty(len(x), int)
        for rows, phi in self._in_blocks(x):
            found[rows] = phi.argmax(1)
        return found

    def _in_blocks(self, x):
        """Rows and their φ, in blocks of one size: none depends on the others."""
        if self.kind == "free":
            yield slice(None), np.asarray(jax.nn.softmax(self.params))[:, self.order]
            return
        for rows in blocks(len(x)):
            phi = _probabilities(self.kind, self.params, x[rows])
            yield rows, np.asarray(phi)[:, self.order]

    def reordered(self, order: Int[np.ndarray, " K"]) -> "Classifier":
        return self._replace(order=self.order[order])


@ft.partial(jax.jit, static_argnames="kind")
def _probabilities(kind: str, params, x):
    return jax.nn.softmax(HEADS[kind].logits(params, x))


def continued(
    classifier: Classifier,
    p: Graph,
    x: Float[np.ndarray, "n d"],
    alpha: float,
    sizes: Sizes,
) -> Classifier:
    """The classifier after a few steps of the clustering cell on a batch.

    The sizes are those of the clusters as they are counted outside.
    """
    kind = HEADS[classifier.kind]
    objective, start = Objective(kind.logits), [classifier.params]
    inside = sizes._replace(share=sizes.share[np.argsort(classifier.order)])
    options: Any = dict(steps=CONTINUED, rate=kind.rate / 4)
    debiasing = Debiasing(alpha)
    found, _ = trained(objective, start, p.prepared(), x, debiasing, inside, **options)
    return classifier._replace(params=found[0])


@dataclasses.dataclass(frozen=True)
class Turns:
    """Where the batch of a step starts, in rows that were shuffled."""

    n: int

    def __call__(self, step):
        return (step * BATCH) % max(1, self.n - BATCH + 1)


def _imitation(params, labels, agreement, x, first):
    """The cell "cross-entropy", each row weighed by how far partitions agree on it."""
    rows = lambda table: lax.dynamic_slice_in_dim(table, first, min(len(x), BATCH))
    logits = _mlp_logits(params, rows(x))
    p = same(rows(labels), jnp.arange(logits.shape[1]))
    return kl(p, scores(logits), weight=rows(agreement))


def taught(
    x: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    agreement: Float[np.ndarray, " n"],
    count: int,
    seed: int,
) -> Classifier:
    """A classifier that learns labels, most of all where partitions agree on them."""
    rng = np.random.default_rng(seed)
    params = _mlp(x, labels, count, rng)
    order = rng.permutation(len(x))[: LEARNING * BATCH]  # all that is ever seen
    data = [jnp.asarray(table[order]) for table in (labels, agreement, x)]
    args = (*data, Turns(len(order)))
    adam = _adam(LEARNING_RATE, LEARNING)
    which = _imitation, params, adam, LEARNING
    params, _ = completed(minimize(*which, args=args, every=LEARNING))
    return Classifier("mlp", params, np.arange(count))
