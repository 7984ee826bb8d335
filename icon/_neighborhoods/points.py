"""Which neighbours are points under a kernel?"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from icon._base import checks as check
from icon._base.config import is_deterministic
from icon._base.numerics import safe_log, unit
from icon._base.pytrees import is_float, pytree, static, take
from icon._neighborhoods import kernels
from icon._neighborhoods.kernels import Kernel
from icon._neighborhoods.limits import FINITE, Reduction
from icon._neighborhoods.protocol import EVERYBODY, Neighborhood, candidate_ids
from icon._neighborhoods.rows import Mask, Scores


Rows, Others = Float[ArrayLike, "n d"], Float[ArrayLike, "m d"]
Number = Float[ArrayLike, "..."] | float
Labels = Int[ArrayLike, " n"] | npt.ArrayLike  # NumPy's, for strings and categories


@pytree
class Points(Neighborhood):
    """Anchors and candidates that are points, compared by a kernel.

    One set has `candidates` None; taken as two sets, its points have an id on either
    side, by which j = i is left out.
    """

    anchors: Any
    candidates: Any  # None: the anchors, and j = i is no candidate
    params: dict[str, Any]
    per_anchor: dict[str, Any]  # parameters of which every anchor has its own
    weight: Any  # [m], of each candidate; None: one
    kernel: Kernel = static()
    reduction: Reduction = static(default=FINITE)
    anchor_id: Any = None  # [n], which candidate each anchor is, in one set as two
    candidate_id: Any = None  # [m], which candidate each is

    @property
    def shape(self) -> tuple[int, int]:
        length = lambda tree: jax.tree.leaves(tree)[0].shape[0]
        return length(self.anchors), length(self._candidates)

    @property
    def excludes_self(self) -> bool:
        return self.candidates is None or self.anchor_id is not None

    @property
    def sets(self) -> int | None:
        if not self.kernel.spreads:
            return None
        return 1 if self.excludes_self else 2

    @property
    def _candidates(self):
        return self.anchors if self.candidates is None else self.candidates

    @property
    def is_limit(self) -> bool:
        return self.reduction.is_limit

    @property
    def is_signed(self) -> bool:
        return self.reduction.is_signed

    @property
    def is_bare(self) -> bool:
        """Whether there are no numbers per anchor or candidate beside the points."""
        return not self.per_anchor and self.weight is None

    @property
    def symmetric(self) -> bool:
        bare = self.candidates is None and self.is_bare and not self.is_limit
        return bare and self.kernel.symmetric

    @property
    def T(self) -> "Points":
        lost = "numbers per anchor or candidate"
        check.require(self.weight is None, "q.T", lost, "none to lose")
        kernel, per_anchor = self.kernel.transposed(self.per_anchor)
        q = dataclasses.replace(self, kernel=kernel, per_anchor=per_anchor)
        if self.candidates is None:
            return q
        ids = dict(anchor_id=self.candidate_id, candidate_id=self.anchor_id)
        sets = dict(anchors=self.candidates, candidates=self.anchors)
        return dataclasses.replace(q, **sets, **ids)

    def as_points(self) -> "Points | None":
        """The same in two sets; None where a log-mass is no sum over parts of a row."""
        return None if self.is_limit or self.kernel.whole_rows else self._two_sets()

    def _two_sets(self) -> "Points":
        if self.candidates is not None:
            return self
        ids = candidate_ids(self.shape[0], EVERYBODY)
        sets = dict(candidates=self.anchors, anchor_id=ids, candidate_id=ids)
        return dataclasses.replace(self, **sets)

    def as_labels(self) -> tuple[Array, Array, Array] | None:
        """Its ids, unless candidates have weights or the log-mass is a limit."""
        bare = self.is_bare and not self.is_limit and self.anchor_id is None
        if self.kernel.present is None or not bare:
            return None
        present = self.kernel.present(self.anchors, **self.params)
        return self.anchors, self._candidates, present

    def gathered(self, gather: Callable, first) -> "Points":
        expected = "points that can be compared anywhere"
        check.require(self.kernel.spreads, "q", "given scores", expected)
        q = self._two_sets()
        ids = jax.tree.map(lambda x: x + first, (q.anchor_id, q.candidate_id))
        return dataclasses.replace(
            q,
            candidates=gather(q.candidates),
            weight=gather(q.weight),
            anchor_id=ids[0],
            candidate_id=gather(ids[1]),
        )

    def row(self, i) -> Scores | Mask:
        """What i gives every candidate: scores, or a mask where they are 0 or -inf."""
        if self.kernel.matches is None or self.weight is not None:
            return Scores(self.score(i, EVERYBODY))
        anchor = take(self.anchors, i)
        mask = self.kernel.matches(anchor, self._candidates, **self.params)
        return Mask(mask & ~self.is_self(i, EVERYBODY) if self.excludes_self else mask)

    def is_self(self, i, at):
        if self.anchor_id is None:
            return super().is_self(i, at)
        return self.candidate_id[at] == self.anchor_id[i]

    def support(self, i):
        score = self.score(i, EVERYBODY)
        return EVERYBODY, jax.grad(self.mass)(score, EVERYBODY)

    def score(self, i, at) -> Float[Array, " s"]:
        anchor, per_anchor = take((self.anchors, self.per_anchor), i)
        if self.kernel.whole_rows:
            score = self.kernel(anchor, self._candidates, **self.params)[at]
        else:
            candidates = self._compared(i, at)
            score = self.kernel(anchor, candidates, **self.params, **per_anchor)
        if self.weight is not None and not self.is_limit:
            score = score + safe_log(self.weight[at])
        if not self.excludes_self:
            return score
        return jnp.where(self.is_self(i, at), -jnp.inf, score)

    def _compared(self, i, at):
        """The candidates, another one where i is if the kernel is singular at a = b.

        What is masked has a cotangent of 0, and 0 · inf is nan. Every anchor then has
        candidates of its own, n m d numbers: only where it must be.
        """
        candidates = take(self._candidates, at)
        if self.kernel.is_smooth or not self.excludes_self:
            return candidates
        is_self = self.is_self(i, at)
        first = self.is_self(i, slice(0, 1))[0].astype(jnp.int32)
        other = take(self._candidates, first % self.shape[1])

        def instead(x, other):
            mask = is_self.reshape(-1, *[1] * (x.ndim - 1))
            return jnp.where(mask, other[None], x)

        return jax.tree.map(instead, candidates, other)

    def log_mass(self, i) -> Float[Array, ""]:
        return self.mass(self.score(i, EVERYBODY), EVERYBODY)

    def read(self, i, at):
        if at is not EVERYBODY:
            return self.score(i, at), self.log_mass(i)
        score = self.score(i, EVERYBODY)
        return score, self.mass(score, EVERYBODY)

    def mass(self, score, at) -> Float[Array, ""]:
        weight = jnp.ones_like(score) if self.weight is None else self.weight[at]
        return self.reduction.mass(score, weight.astype(score.dtype))

    def reduced(self, reduction: Reduction) -> "Points":
        return dataclasses.replace(self, reduction=reduction)

    def reweighed(self, weight) -> "Points":
        leaves = jax.tree.leaves((self.anchors, self.per_anchor))
        like = next((x for x in leaves if is_float(x)), jnp.zeros(()))
        weight = check.weights("weight", weight, like, self.shape[1])
        before = 1 if self.weight is None else self.weight
        return dataclasses.replace(self, weight=weight * before)


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


def points(
    kernel: Callable, anchors, candidates=None, /, *, whole_rows: bool = False, **params
) -> Points:
    """Neighbours under a kernel of yours.

    $$s_{ij} = k(a_i, b_j)$$

    Args:
        kernel: (one anchor, candidates, **params) -> their scores [m], the score of j
            from candidate j alone: which others are asked beside it is not certain. It
            may be singular where a = b. Define it at module level: a new lambda is a
            new compilation.
        anchors: a pytree of arrays with one leading axis of n; anything that a kernel
            of yours understands.
        candidates: the same with m. None: the anchors themselves, without j = i.
        whole_rows: the kernel sees all candidates at once, j = i too, and its scores
            may depend on all (centred, ranked); it cannot be tiled or turned round.
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
    check.function("kernel", kernel, "anchor", "candidates", **params)
    whole_rows = check.boolean("whole_rows", whole_rows)
    if not isinstance(kernel, Kernel):
        kernel = kernels.Own(kernel, whole_rows)
    q = _build(kernel, anchors, candidates, **params)
    # of the kernel itself: where j = i is masked, a scalar would broadcast to [m]
    one_row = lambda q: q.kernel(take(q.anchors, 0), q._candidates, **q.params)
    check.gives("kernel", jax.eval_shape(one_row, q), (m,))
    if candidates is None and isinstance(kernel, kernels.Own):
        smooth = kernels.is_smooth(kernel, anchors, params)
        q = dataclasses.replace(q, kernel=dataclasses.replace(kernel, is_smooth=smooth))
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
            _build(kernels.gaussian, a, b), per_anchor=dict(scale=scale)
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
    if _is_gaussian(dof):
        return gaussian(anchors, candidates, scale=scale)
    a, b = _vectors(anchors, candidates)
    dof, scale = check.positive("dof", dof, a), check.positive("scale", scale, a)
    return _build(kernels.student_t, a, b, dof=dof, scale=scale)


def _is_gaussian(dof) -> bool:
    """Whether log(1 + x/ν) is x/ν to the last digit."""
    x = dof if isinstance(dof, jax.Array) else np.asarray(dof)
    kinds = jnp.floating, jnp.integer
    number = x.shape == () and any(jnp.issubdtype(x.dtype, kind) for kind in kinds)
    return number and check.concrete(x) and bool(x > 1e20)


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
        anchors: floats [n, d]; any length, a row of zeros has cosine 0 with all.
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
    return jax.lax.map(unit, x) if is_deterministic() and in_one_place else unit(x)


def same(
    anchors: Labels,
    candidates: Labels | None = None,
    *,
    ignore: Int[ArrayLike, ""] | int | str | None = None,
) -> Points:
    """Neighbours that share an id: views of one item, a class, a pair.

    $$s_{ij} = 0 \\text{ where } a_i = b_j \\ne \\mathrm{ignore},
      \\text{ else } -\\infty$$

    What is ignored is no neighbour of anything: as an anchor it contributes nothing
    and is not counted. It stays a candidate, as an item whose label is its own alone
    does: `smooth` gives it the share of p that all candidates have, and leaves the
    anchor without neighbours.

    Args:
        anchors: integers [n], or strings that are known: which item, class or pair
            each one belongs to. Categories and columns of a table are read by NumPy.
        candidates: the same, [m], integers against integers, strings against strings;
            None: the anchors, without j = i.
        ignore: the label, or the string, of what has none, as -1 often is; it may be
            traced. None: all are labels.

    Raises:
        InvalidInput: ids that are not integers, not vectors, or beyond int32; strings
            among numbers; no two that share a label.

    Example:
        >>> import icon
        >>> icon.dense(icon.same([0, 0, 0, 1])).tolist()[0]
        [0.0, 0.5, 0.5, 0.0]
        >>> icon.dense(icon.same(["cat", "", "cat", ""], ignore="")).tolist()[:2]
        [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]

    Source: Khosla et al., Supervised contrastive learning, 2020.
    """
    given = dict(anchors=anchors, candidates=candidates, ignore=ignore)
    given = check.coded(**{name: x for name, x in given.items() if x is not None})
    _require_vectors({name: x for name, x in given.items() if name != "ignore"})
    params = {}
    if ignore is not None:
        params = dict(ignore=check.ids("ignore", given.pop("ignore"), rank=0))
    ids = {name: check.ids(name, x) for name, x in given.items()}
    a, b = ids["anchors"], ids.get("candidates")
    _refuse_loneliness(a, b, **params)
    return _build(kernels.same, a, b, **params)


def _require_vectors(sets: dict[str, Any]) -> None:
    shapes = [check.shape(name, ids) for name, ids in sets.items()]
    expected = "two vectors" if len(shapes) == 2 else "one vector of ids"
    got = f"shapes {' and '.join(map(str, shapes))}"
    name = "same(anchors, candidates)" if len(shapes) == 2 else "anchors"
    check.require(all(len(shape) == 1 for shape in shapes), name, got, expected)


def _refuse_loneliness(a, b, ignore=None) -> None:
    """Refuse ids, where they can be looked at, that give no anchor a neighbour."""
    if not check.concrete(a, ignore):
        return
    a = np.asarray(a)
    labels = a if ignore is None else a[a != np.asarray(ignore)]
    if b is None:
        shared = len(np.unique(labels)) < len(labels)
        different = "ids that are all different"
        got = different if ignore is None else f"{different}, or ignored"
        pairs = "an id that two of them share; same(ids, ids) is two sets"
        check.require(shared, "anchors", got, pairs)
    elif check.concrete(b):
        shared = np.isin(labels, np.asarray(b)).any()
        check.require(shared, "candidates", "no id of an anchor", "one at least")


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
    if check.concrete(matrix):
        some = (np.asarray(matrix) > -np.inf).any()
        check.require(some, "matrix", "-inf only", "a neighbour for some anchor")
    temperature = check.positive("temperature", temperature, matrix)
    n, m = matrix.shape
    q = _build(kernels.given, jnp.arange(n), jnp.arange(m), temperature=temperature)
    return dataclasses.replace(q, per_anchor=dict(row=matrix))
