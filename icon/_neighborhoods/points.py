"""Neighbours that are points under a kernel."""

import dataclasses
import typing
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from icon._base import checks as check
from icon._base.config import exactly
from icon._base.numerics import lse, safe_log, unit
from icon._neighborhoods import kernels as kernels


Rows, Others = Float[ArrayLike, "n d"], Float[ArrayLike, "m d"]
Number = Float[ArrayLike, "..."] | float
EVERYBODY = slice(None)  # `at` is whatever can index the candidates: everybody, or some


def static(**options) -> Any:
    """A field that is no leaf: a function, a flag or a size."""
    return dataclasses.field(metadata=dict(static=True), **options)


@typing.dataclass_transform(frozen_default=True, field_specifiers=(static,))
def pytree(cls):
    """A frozen dataclass whose fields are leaves, but for those marked static."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


class Around:
    """A neighbourhood round another, `base`, who is asked what it does not say."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "base":
            raise AttributeError(name)
        return getattr(self.base, name)


def take(tree, at):
    return jax.tree.map(lambda x: x[at], tree)


def order(m: int, at):
    """Which of m candidates are at `at`; in the integers that ids are, also in x64."""
    return jnp.arange(m, dtype=jnp.int32)[at]


def is_me(i, m: int, at):
    return order(m, at) == jnp.asarray(i, jnp.int32)


def drawn(key, i, count: int, m: int, within: bool):
    """Some of m candidates, uniformly and with replacement; within one set, not i."""
    i = jnp.asarray(i, jnp.int32)
    key = jax.random.fold_in(key, i)
    ids = jax.random.randint(key, (count,), 0, m - within, jnp.int32)
    return jnp.where(ids >= i, ids + 1, ids) if within else ids


# ------------------------------------------------------- what scores are summed to


@dataclasses.dataclass(frozen=True)
class Reduction:
    """The log-mass as a function of (scores, what each candidate weighs).

    Where i's neighbours are is the slope of its log-mass: softmax of logsumexp, the
    uniform distribution of a mean, the best candidate of a maximum. In the limits a
    candidate's weight is lost beside its score, so only `finite` adds its logarithm.
    """

    mass: Callable
    finite: bool = False


def _present(score, weight):
    """The weights of those who are there, summing to one."""
    there = jnp.where(score > -jnp.inf, weight, 0)
    return there / jnp.where(jnp.sum(there) > 0, jnp.sum(there), 1)


def _mean(score, weight):
    share = _present(score, weight)
    mean = jnp.sum(share * jnp.where(share > 0, score, 0))
    return jnp.where(jnp.sum(share) > 0, mean, -jnp.inf)


def _mean_and_variance(score, weight):
    mean, share = _mean(score, weight), _present(score, weight)
    apart = jnp.where(share > 0, score - jnp.where(mean > -jnp.inf, mean, 0), 0)
    return mean + jnp.sum(share * apart**2) / 2


FINITE = Reduction(lambda score, weight: lse(score), finite=True)
WIDE = {1: Reduction(_mean), 2: Reduction(_mean_and_variance)}
SHARP = Reduction(lambda s, w: jnp.max(jnp.where(w > 0, s, -jnp.inf)))


# ------------------------------------------------------- points


@pytree
class Points:
    """Anchors and candidates that are points, compared by a kernel."""

    anchors: Any
    candidates: Any  # None: the anchors, and nobody is their own neighbour
    params: dict[str, Any]
    own: dict[str, Any]  # parameters of which every anchor has its own
    weight: Any  # [m], what each candidate weighs; None: the same
    kernel: Callable = static()
    reduction: Reduction = static(default=FINITE)
    me: Any = None  # [n], which candidate each anchor is, where the two sets are one
    who: Any = None  # [m], which candidate each is

    @property
    def shape(self) -> tuple[int, int]:
        size = lambda tree: jax.tree.leaves(tree)[0].shape[0]
        return size(self.anchors), size(self._candidates)

    @property
    def within(self) -> bool:
        return self.candidates is None or self.me is not None

    @property
    def _candidates(self):
        return self.anchors if self.candidates is None else self.candidates

    @property
    def plain(self) -> bool:
        """Whether scores are all there is: none per anchor, no weight, no limit."""
        return not self.own and self.weight is None and self.reduction.finite

    @property
    def symmetric(self) -> bool:
        """Whether i scores j as j scores i."""
        return self.candidates is None and self.plain and kernels.symmetric(self.kernel)

    @property
    def T(self) -> "Points":
        lost = self.own or self.weight is not None
        check.require(
            not lost, "q.T", "numbers per anchor or candidate", "none to lose"
        )
        there = dict(candidates=self.anchors, me=self.who, who=self.me)
        sets = {} if self.candidates is None else dict(anchors=self.candidates, **there)
        return dataclasses.replace(self, kernel=kernels.turned(self.kernel), **sets)

    def apart(self) -> "Points | None":
        """The same with anchors and candidates told apart, also if they are one set.

        None in a limit, whose log-mass is no sum over candidates.
        """
        return self._two_sets() if self.reduction.finite else None

    def _two_sets(self) -> "Points":
        if self.candidates is not None:
            return self
        ids = order(self.shape[0], EVERYBODY)
        return dataclasses.replace(self, candidates=self.anchors, me=ids, who=ids)

    def moved(self, bring: Callable, first) -> "Points":
        """Its share of a whole: anchors from `first` on, candidates as brought here."""
        known = self.kernel is not kernels.given
        check.require(
            known, "q", "given scores", "points that can be compared anywhere"
        )
        q = self._two_sets()
        me, who = jax.tree.map(lambda ids: ids + first, (q.me, q.who))
        brought = dict(candidates=bring(q.candidates), weight=bring(q.weight))
        return dataclasses.replace(q, **brought, me=me, who=bring(who))

    def tile(self, i):
        """What i makes of every candidate: scores, or who is alike."""
        holds = getattr(self.kernel, "holds", None)
        if holds is None or self.weight is not None:
            return self.score(i, EVERYBODY)
        alike = holds(take(self.anchors, i), self._candidates)
        return alike & ~self.is_me(i, EVERYBODY) if self.within else alike

    def is_me(self, i, at):
        if self.me is None:
            return is_me(i, self.shape[1], at)
        return self.who[at] == self.me[i]

    def support(self, i):
        score = self.score(i, EVERYBODY)
        return EVERYBODY, jax.grad(self._mass)(score)

    def score(self, i, at) -> Float[Array, " s"]:
        anchor, own = take((self.anchors, self.own), i)
        candidates = take(self._candidates, at)
        score = self.kernel(anchor, candidates, **self.params, **own)
        if self.weight is not None and self.reduction.finite:
            score = score + safe_log(self.weight[at])
        return jnp.where(self.is_me(i, at), -jnp.inf, score) if self.within else score

    def log_mass(self, i) -> Float[Array, ""]:
        return self._mass(self.score(i, EVERYBODY))

    def read(self, i, at):
        if at is not EVERYBODY:
            return self.score(i, at), self.log_mass(i)
        score = self.score(i, EVERYBODY)
        return score, self._mass(score)

    def _mass(self, score):
        return self.mass(score, EVERYBODY)

    def mass(self, score, at) -> Float[Array, ""]:
        """What these scores of these candidates sum to."""
        one = jnp.ones_like(score) if self.weight is None else self.weight[at]
        return self.reduction.mass(score, one.astype(score.dtype))

    def reduced(self, reduction: Reduction) -> "Points":
        return dataclasses.replace(self, reduction=reduction)

    def reweighed(self, weight) -> "Points":
        like = jax.tree.leaves(self.anchors)[0]
        like = like if jnp.issubdtype(like.dtype, jnp.floating) else jnp.zeros(())
        weight = check.weights("weight", weight, like, self.shape[1])
        known = 1 if self.weight is None else self.weight
        return dataclasses.replace(self, weight=weight * known)


def _vectors(a, b):
    """Anchors and candidates [n, d] and [m, d], checked."""
    a = check.floats("anchors", a)
    if b is not None:
        b = check.floats("candidates", b)
        got, same = f"shapes {a.shape} and {b.shape}", a.shape[1] == b.shape[1]
        check.require(same, "candidates", got, "as many columns as the anchors have")
    return a, b


def _build(kernel, a, b, /, **params):
    return Points(a, b, params, {}, None, kernel)


def points(kernel: Callable, anchors, candidates=None, /, **params) -> Points:
    """Neighbours under a kernel of yours.

    $$s_{ij} = k(a_i, b_j)$$

    Args:
        kernel: (one anchor, all candidates, **params) -> scores [m]. Define it at
            module level: a new lambda is a new compilation.
        anchors: a pytree of arrays with one leading axis of n; anything that a kernel
            of yours understands.
        candidates: the same with m. None: the anchors themselves, where nobody is
            their own neighbour.
        **params: numbers or arrays that the kernel takes by name; learnable.

    Raises:
        InvalidInput: leaves of different lengths, or a kernel that does not give one
            score per candidate.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> def cauchy(a, b, width):
        ...     return -jnp.log1p(jnp.sum((a[None] - b) ** 2, -1) / width**2)
        >>> q = icon.points(cauchy, jnp.eye(3), width=2.0)
        >>> icon.dense(q)[0].round(3).tolist()
        [0.0, 0.5, 0.5]
    """
    n = check.rows("anchors", anchors)
    m = n if candidates is None else check.rows("candidates", candidates)
    anchors, candidates = jax.tree.map(jnp.asarray, (anchors, candidates))
    params = jax.tree.map(check.array, params)
    check.require(callable(kernel), "kernel", repr(kernel), "a function")
    q = _build(kernel, anchors, candidates, **params)
    # the kernel itself: without j = i, one number would be spread over everybody
    one = lambda q: q.kernel(take(q.anchors, 0), q._candidates, **q.params)
    said = jax.eval_shape(one, q)
    got = f"scores of shape {getattr(said, 'shape', type(said).__name__)}"
    right = getattr(said, "shape", None) == (m,)
    check.require(right, "kernel", got, f"shape {(m,)}")
    return q


def gaussian(
    anchors: Rows, candidates: Others | None = None, *, scale: Number = 1.0
) -> Points:
    """Neighbours under a Gaussian.

    $$s_{ij} = -\\|a_i - b_j\\|^2 / (2\\,\\mathrm{scale}^2)$$

    Args:
        anchors: floats [n, d].
        candidates: floats [m, d]; None: the anchors, without j = i.
        scale: σ, in the units of the points; one number, or one per anchor [n].

    Raises:
        InvalidInput: shapes that disagree, values that are not finite, scale <= 0.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> q = icon.gaussian(jnp.array([[0.0], [1.0], [3.0]]), scale=2.0)
        >>> icon.dense(q)[0].round(3).tolist()
        [0.0, 0.731, 0.269]

    Source: Hinton & Roweis, Stochastic neighbor embedding, 2002.
    """
    a, b = _vectors(anchors, candidates)
    scale = check.positive("scale", scale, a, ((), (a.shape[0],)))
    if scale.ndim:
        return dataclasses.replace(
            _build(kernels.gaussian, a, b), own=dict(scale=scale)
        )
    return _build(kernels.gaussian, a, b, scale=scale)


def student_t(
    anchors: Rows,
    candidates: Others | None = None,
    *,
    dof: Number = 1.0,
    scale: Number = 1.0,
) -> Points:
    """Neighbours under Student's t-distribution, heavy-tailed.

    $$s_{ij} = -\\tfrac{\\nu+1}{2}
      \\log(1 + \\|a_i-b_j\\|^2/(\\nu\\,\\mathrm{scale}^2))$$

    Args:
        anchors: floats [n, d].
        candidates: floats [m, d]; None: the anchors, without j = i.
        dof: ν, degrees of freedom; 1 is t-SNE's Cauchy kernel, ∞ the Gaussian.
        scale: γ, in the units of the points.

    Raises:
        InvalidInput: shapes that disagree, values that are not finite, dof or
            scale <= 0.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> q = icon.student_t(jnp.array([[0.0], [1.0], [2.0]]))
        >>> icon.dense(q)[0].round(4).tolist()
        [0.0, 0.7143, 0.2857]

    Source: van der Maaten & Hinton, Visualizing data using t-SNE, 2008.
    """
    a, b = _vectors(anchors, candidates)
    dof, scale = check.positive("dof", dof, a), check.positive("scale", scale, a)
    return _build(kernels.student_t, a, b, dof=dof, scale=scale)


def laplace(
    anchors: Rows, candidates: Others | None = None, *, scale: Number = 1.0
) -> Points:
    """Neighbours under a Laplace kernel.

    $$s_{ij} = -\\|a_i - b_j\\| / \\mathrm{scale}$$

    Args:
        anchors: floats [n, d].
        candidates: floats [m, d]; None: the anchors, without j = i.
        scale: in the units of the points. The gradient of the cusp at 0 is 0.

    Raises:
        InvalidInput: shapes that disagree, values that are not finite, scale <= 0.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> q = icon.laplace(jnp.array([[0.0], [1.0], [2.0]]))
        >>> icon.dense(q)[0].round(3).tolist()
        [0.0, 0.731, 0.269]
    """
    a, b = _vectors(anchors, candidates)
    return _build(kernels.laplace, a, b, scale=check.positive("scale", scale, a))


def dot(
    anchors: Rows, candidates: Others | None = None, *, temperature: Number = 1.0
) -> Points:
    """Neighbours by inner product.

    $$s_{ij} = a_i \\cdot b_j / \\mathrm{temperature}$$

    Args:
        anchors: floats [n, d].
        candidates: floats [m, d], for example the rows of a linear layer; None: the
            anchors, without j = i.
        temperature: τ; on rows of norm 1, τ = scale² of the Gaussian.

    Raises:
        InvalidInput: shapes that disagree, values that are not finite,
            temperature <= 0.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> q = icon.dot(jnp.eye(2), jnp.eye(2))
        >>> icon.dense(q)[0].round(3).tolist()
        [0.731, 0.269]
    """
    a, b = _vectors(anchors, candidates)
    temperature = check.positive("temperature", temperature, a)
    return _build(kernels.dot, a, b, temperature=temperature)


def cosine(
    anchors: Rows, candidates: Others | None = None, *, temperature: Number = 0.1
) -> Points:
    """Neighbours by the cosine between them (von Mises-Fisher).

    $$s_{ij} = \\cos(a_i, b_j) / \\mathrm{temperature}$$

    Args:
        anchors: floats [n, d]; any length, a row of zeros has cosine 0 with everybody.
        candidates: floats [m, d]; None: the anchors, without j = i.
        temperature: τ. Logits are cosines divided by it, nothing else.

    Raises:
        InvalidInput: shapes that disagree, values that are not finite,
            temperature <= 0.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> z = jnp.array([[1.0, 0.0], [0.6, 0.8], [0.0, 5.0]])
        >>> icon.dense(icon.cosine(z, temperature=0.5))[0].round(3).tolist()
        [0.0, 0.769, 0.231]

    Source: van den Oord et al., Contrastive predictive coding, 2018.
    """
    a, b = _vectors(anchors, candidates)
    a, b = (None if x is None else _units(x) for x in (a, b))
    return dot(a, b, temperature=temperature)


def _units(x):
    """Rows of norm 1; row by row where bits must not depend on how many there are."""
    in_one_place = not any(jax.typeof(x).sharding.spec)
    return jax.lax.map(unit, x) if exactly() and in_one_place else unit(x)


def same(
    anchors: Int[ArrayLike, " n"] | Sequence[int],
    candidates: Int[ArrayLike, " m"] | Sequence[int] | None = None,
) -> Points:
    """Neighbours that share an id: views of one item, a class, a pair.

    $$s_{ij} = 0 \\text{ where } a_i = b_j, \\text{ else } -\\infty$$

    Args:
        anchors: integers [n]: which item, class or pair each one belongs to.
        candidates: integers [m]; None: the anchors, without j = i.

    Raises:
        InvalidInput: ids that are not integers, not vectors, or beyond int32.

    Example:
        >>> import icon
        >>> icon.dense(icon.same([0, 0, 0, 1])).tolist()[0]
        [0.0, 0.5, 0.5, 0.0]

    Source: Khosla et al., Supervised contrastive learning, 2020.
    """
    sets = (
        dict(anchors=anchors)
        if candidates is None
        else dict(anchors=anchors, candidates=candidates)
    )
    shapes = [check.shape(name, ids) for name, ids in sets.items()]
    expected = "two vectors" if len(shapes) == 2 else "one vector of ids"
    got = f"shapes {' and '.join(map(str, shapes))}"
    name = "same(anchors, candidates)" if len(shapes) == 2 else "anchors"
    check.require(all(len(shape) == 1 for shape in shapes), name, got, expected)
    a = check.ids("anchors", anchors)
    b = None if candidates is None else check.ids("candidates", candidates)
    return _build(kernels.same, a, b)


def scores(matrix: Float[ArrayLike, "n m"], *, temperature: Number = 1.0) -> Points:
    """Neighbours whose scores are given: a teacher's logits, geodesics, a Gram matrix.

    $$s_{ij} = \\mathrm{matrix}_{ij} / \\mathrm{temperature}$$

    Args:
        matrix: floats [n, m]; -inf where j is no neighbour of i.
        temperature: divides every score.

    Raises:
        InvalidInput: not a matrix, nan or +inf, temperature <= 0.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> icon.dense(icon.scores(jnp.log(jnp.array([[1.0, 3.0]])))).round(2).tolist()
        [[0.25, 0.75]]

    Source: Hinton et al., Distilling the knowledge in a neural network, 2015.
    """
    matrix = check.log_weights("matrix", matrix)
    temperature = check.positive("temperature", temperature, matrix)
    n, m = matrix.shape
    q = _build(kernels.given, jnp.arange(n), jnp.arange(m), temperature=temperature)
    return dataclasses.replace(q, own=dict(row=matrix))


# ------------------------------------------------------- limits of the temperature


def wide(q, order: int = 1):
    """The limit of infinite temperature: the log-mass becomes a mean.

    $$\\log \\tfrac1m \\textstyle\\sum_j e^{\\beta s_j} = \\beta\\,\\mathrm{mean}(s) +
      \\tfrac{\\beta^2}{2}\\mathrm{var}(s) + \\dots$$

    The first order is the exact limit of the rescaled loss, without a huge sigma and
    its cancellation; the second keeps the variance. As p, its neighbours are the slope
    of the log-mass: uniform, or tilted by the scores. Losses on it are unbounded below
    unless the embedding is constrained: orthonormal map, unit sphere, whitening.

    Args:
        q: points under a kernel, or a mix of them.
        order: 1 or 2.

    Raises:
        InvalidInput: something that has no temperature, or another order.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> y, ids = jnp.array([[0.0], [2.0]]), jnp.arange(2)
        >>> q = icon.wide(icon.gaussian(y, y, scale=0.5**0.5))
        >>> float(icon.cross_entropy(icon.same(ids, ids), q))  # PCA: -2 tr Cov
        -2.0

    Source: the I-Con paper's Proposition 1; Hoeffding's lemma bounds the rest.
    """
    order = check.count("order", order, 1, 2)
    return check.answers("q", q, "reduced").reduced(WIDE[order])


def sharp(q):
    """The limit of zero temperature: the log-mass becomes a maximum.

    $$T \\log \\textstyle\\sum_j e^{s_j / T} \\to \\max_j s_j$$

    At ties the gradient is the mean over the tied.

    Args:
        q: points under a kernel, or a mix of them.

    Raises:
        InvalidInput: something that has no temperature.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> q = icon.sharp(icon.dot(jnp.eye(2), jnp.eye(2)))
        >>> float(icon.cross_entropy(icon.same([0, 1], [1, 0]), q))  # both are wrong
        1.0

    Source: Schroff et al., FaceNet, 2015 (the triplet loss is this limit).
    """
    return check.answers("q", q, "reduced").reduced(SHARP)


@pytree
class Hard:
    """The k best candidates of each anchor, alike."""

    base: Any
    k: int = static()

    @property
    def shape(self):
        return self.base.shape

    @property
    def within(self):
        return getattr(self.base, "within", False)

    def _best(self, i):
        best, at = jax.lax.top_k(self.base.score(i, EVERYBODY), self.k)
        there = (best > -jnp.inf).astype(best.dtype)
        return at, there / jnp.maximum(jnp.sum(there), 1)

    def support(self, i):
        return self._best(i)

    def score(self, i, at):
        best, weight = self._best(i)
        mine = order(self.shape[1], at)[:, None] == best[None]
        return safe_log(jnp.sum(jnp.where(mine, weight, 0), 1))

    def log_mass(self, i):
        return safe_log(jnp.sum(self._best(i)[1]))


def hard(q, k: int = 1) -> Hard:
    """The k best candidates of q, each with probability 1/k: a ranking, without slope.

    Args:
        q: points under a kernel.
        k: how many; ties go to the earlier candidate.

    Raises:
        InvalidInput: k below 1 or above the number of candidates.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> logits = icon.dot(jnp.eye(2), jnp.eye(2))
        >>> float(icon.tv(icon.same([0, 0], [0, 1]), icon.hard(logits)))  # error rate
        0.5
    """
    n, m = check.answers("q", q, "shape", "score").shape
    others = m - getattr(q, "within", False)
    return Hard(q, check.count("k", k, 1, others))
