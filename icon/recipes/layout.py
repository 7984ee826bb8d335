"""How is a layout in few dimensions found? Its start, its descent, its end."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Float

from icon._base import checks as check
from icon._base.blocks import filled, filled_length, on_device
from icon._engines import interpolated
from icon._loss import cross_entropy, terms
from icon._neighborhoods import Graph, Points, pairwise, student_t, to_sparse
from icon._training import (
    DivergenceError,
    Stages,
    any_stops,
    completed,
    gains,
    minimize,
    refuse_unusable,
)


SMALL = 1e-4  # the standard deviation of a start, so that attraction decides the order
EVERY = 50  # steps between two calls of the callbacks
OVER = 100  # steps over which a loss has to improve
REACH = 24  # a layout of n points is expected to span 24 n^(1/4) widths of its kernel
HALVINGS = 6  # of the first rate, at most, while the first steps climb
NEARLY, GROWTH = 0.95, 1.5  # of a grid: when there will be another, so much larger

Start = Float[np.ndarray, "n c"]


# ------------------------------------------------------- starts


def principal(x: Float[np.ndarray, "n d"], components: int, rng) -> Start:
    r"""The first principal components, the first of them with deviation 1e-4.

    $$Z = 10^{-4}\, (X - \bar X) V / \mathrm{sd}((X - \bar X) v_1)$$

    Components that the data does not have are noise of a hundredth of that: along a
    column of zeros there is no gradient.

    Args:
        x: finite floats [n, d], of any unit whose squares are floats.
        components: how many.
        rng: a NumPy generator, for the components that are missing.

    Example:
        >>> import numpy as np
        >>> from icon.recipes import layout
        >>> x = np.array([[0.0, 5.0], [1.0, 5.0], [5.0, 5.0]])
        >>> z = layout.principal(x, 2, np.random.default_rng(0))
        >>> bool(np.isclose(z[:, 0].std(), 1e-4)), bool((abs(z[:, 1]) < 1e-5).all())
        (True, True)

    Source: Kobak & Linderman, Initialization is critical for preserving global data
    structure in both t-SNE and UMAP, 2021.
    """
    components = check.draws("components", components)
    x = x.astype(np.float64) - x.mean(0, dtype=np.float64)
    top = _directions(x, min(components, *x.shape))
    z = _oriented(x @ top)
    size = z.std(0)
    present = size > 1e-9 * size.max(initial=0)
    return scaled(_filled(z[:, present], components, rng))


def _directions(x, count: int):
    """The first right singular vectors [d, count]; by the smaller Gram matrix."""
    from scipy.linalg import eigh

    n, d = x.shape
    if min(n, d) > 2000:
        return _sparse_directions(x, count)
    gram = x.T @ x if d <= n else x @ x.T
    size, v = eigh(gram, subset_by_index=[len(gram) - count, len(gram) - 1])
    v = v[:, ::-1] if d <= n else x.T @ v[:, ::-1]
    return v / np.maximum(np.linalg.norm(v, axis=0), np.finfo(float).tiny)


def _sparse_directions(x, count: int):
    """The same by Lanczos' method, where both Gram matrices are large."""
    from scipy.sparse.linalg import svds

    found: Any = svds(x, count, v0=np.ones(min(x.shape)))
    return found[2][::-1].T


def _oriented(z):
    """The same components, signed so that the largest entry of each is positive."""
    largest = np.take_along_axis(z, abs(z).argmax(0)[None], 0)
    return z * np.where(largest < 0, -1, 1)


def _filled(z, components: int, rng) -> Start:
    """z and, for the columns it lacks, noise of a hundredth of its first one."""
    size = z[:, :1].std() if z.size else 1.0
    missing = components - z.shape[1]
    return np.hstack([z, 0.01 * size * rng.normal(size=(len(z), missing))])


def scaled(z) -> Start:
    """The same start, its first column with a standard deviation of 1e-4."""
    size = z[:, 0].std()
    return np.asarray(z * (SMALL / size if size > 0 else 1), np.float32)


def spectral(p: Graph, components: int, rng) -> Start | None:
    r"""The first eigenvectors of a symmetric graph's Laplacian, and not the constant.

    $$(D - P)\, z = \lambda D z$$

    Args:
        p: a symmetric graph.
        components: how many.
        rng: a NumPy generator, for the eigensolver.

    Returns:
        None where there are none: a graph of several components, of too few points, or
        one on which ARPACK does not converge.

    Example:
        >>> import icon, numpy as np
        >>> from icon.recipes import layout
        >>> chain = icon.graph(np.diag(np.ones(9), 1) + np.diag(np.ones(9), -1))
        >>> z = layout.spectral(chain, 1, np.random.default_rng(0))[:, 0]
        >>> bool(np.all(np.diff(z) > 0) or np.all(np.diff(z) < 0))
        True

    Source: Belkin & Niyogi, Laplacian eigenmaps, 2003.
    """
    components = check.draws("components", components)
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import ArpackError
    from sklearn.manifold import spectral_embedding

    matrix = to_sparse(p)
    few = p.shape[0] <= components + 1
    if few or connected_components(matrix, directed=False)[0] > 1:
        return None
    seed = int(rng.integers(2**31))
    try:
        with warnings.catch_warnings():  # what it warns of is checked below
            warnings.simplefilter("ignore")
            z = spectral_embedding(matrix, n_components=components, random_state=seed)
    except (ArpackError, RuntimeError, np.linalg.LinAlgError):
        return None
    return scaled(_oriented(z)) if np.isfinite(z).all() and z[:, 0].std() else None


def scattered(n: int, components: int, rng) -> Start:
    """Normal noise with a standard deviation of 1e-4."""
    n, components = check.draws("n", n), check.draws("components", components)
    return np.asarray(SMALL * rng.normal(size=(n, components)), np.float32)


def given(init, shape: tuple[int, int], rng) -> Start:
    """A given start [n, c]; if all points coincide, with a little noise added.

    Where all points coincide the gradient is 0 and nothing would move.
    """
    with np.errstate(over="ignore"):
        z = np.array(check.floats("init", init), np.float32)
    check.require(z.shape == shape, "init", f"shape {z.shape}", f"shape {shape}")
    finite = "numbers that float32 can hold"
    check.require(np.isfinite(z).all(), "init", "an overflow", finite)
    if len(z) > 1 and (z == z[:1]).all():
        size = abs(z).max() or 1
        z = z + np.float32(SMALL * size * rng.normal(size=shape))
    return z


# ------------------------------------------------------- the descent


@dataclasses.dataclass(frozen=True)
class Tail:
    """Points under Student's t, with so many degrees of freedom."""

    dof: float = 1.0

    def __call__(self, anchors, candidates=None):
        return student_t(anchors, candidates, dof=self.dof)


def exaggerated(z, p, exaggeration, q, count):
    """Exaggerated attraction plus repulsion: at exaggeration 1, the cross-entropy.

    Of the first `count` points; q is the kernel, around other points.
    """
    attraction, repulsion = terms(p, q.moved(z, count), joint=True)
    return exaggeration * attraction + repulsion


@dataclasses.dataclass(frozen=True)
class Plan:
    """How many steps, and how far each of them goes.

    The learning rate is n / exaggeration on the true gradient of the KL divergence.
    openTSNE and FIt-SNE follow a quarter of it, so one step here is four of those.
    Momentum rises once the layout has unfolded: before, it would overshoot.
    """

    steps: int = 300
    early: int = 100
    early_exaggeration: float = 12.0
    exaggeration: float = 1.0
    rate: float | None = None  # None: n / exaggeration
    unfolding: int = 50  # steps after the early ones, at their momentum
    momentum: tuple[float, float] = (0.8, 0.95)  # until then, and later

    def exaggerations(self) -> Stages:
        both = self.early_exaggeration, self.exaggeration
        return Stages((self.early,), tuple(map(float, both)))

    def rates(self, n: int) -> Stages:
        rate = lambda exaggeration: float(self.rate or n / exaggeration)
        early, late = rate(self.early_exaggeration), rate(self.exaggeration)
        return Stages((self.early,), (early, late))

    def momenta(self) -> Stages:
        return Stages((self.early + self.unfolding,), self.momentum)


PLANS = {
    "fast": Plan(),
    "openTSNE": Plan(steps=750, early=250, momentum=(0.8, 0.8)),
}
PLAN = PLANS["fast"]


class Schedules(Protocol):
    """What a descent asks of its plan."""

    @property
    def steps(self) -> int: ...

    def exaggerations(self) -> Stages: ...

    def rates(self, n: int) -> Stages: ...

    def momenta(self) -> Stages: ...


DESCENT = gains(1.0)  # the rates and momenta that count are in its state


def lay_out(
    q: Callable,
    z: Float[ArrayLike, "n c"],
    p: Graph,
    plan: Schedules = PLAN,
    callbacks: Sequence[Callable] = (),
):
    """Descend from a start to a layout.

    One program serves all numbers of points and of neighbours of about one size, and
    every number of a plan or a kernel; a t-distribution of one degree of freedom has
    its own. Where the loss after the first 50 steps is more than 1 above that of the
    start, the descent begins again at half of the first rate, at most 6 times.

    Args:
        q: layout [n, c] -> points under a kernel.
        z: the start [n, c].
        p: the neighbours that supervise.
        plan: how many steps, and how far each goes.
        callbacks: (step, loss, z) -> True to stop; every 50 steps, z in NumPy. During
            the early steps the loss is the exaggerated one.

    Returns:
        z, and the history of icon.minimize.

    Raises:
        InvalidInput: another number of rows than p has anchors.
        DivergenceError: a loss that stops being finite; it holds the last good z.

    Warns: once, where a layout outgrows the largest grid: all pairs are summed then.

    Example:
        >>> import icon, jax, numpy as np
        >>> from icon.recipes import layout
        >>> x = jax.random.normal(jax.random.key(0), (20, 3))
        >>> p = icon.entropic(*icon.knn(x, 9), perplexity=3)
        >>> start = layout.scattered(20, 2, np.random.default_rng(0))
        >>> plan = layout.Plan(steps=200, early=100)
        >>> z, history = layout.lay_out(layout.Tail(), start, p, plan)
        >>> bool(history.loss[-1] < history.loss[2])
        True

    Source: van der Maaten & Hinton, Visualizing data using t-SNE, 2008; the learning
    rate: Belkina et al., Automated optimized parameters for t-SNE, 2019.
    """
    refuse_unusable(DESCENT, callbacks)
    check.size("steps", plan.steps, 0)
    z = np.asarray(check.floats("z", z))
    got, n = f"{len(z)} rows", p.shape[0]
    check.require(len(z) == n, "z", got, f"{n}, one for each anchor of p")
    pairs = pairwise(to_sparse(p), np.dtype(p.logit.dtype))
    watch, rates = Watch(callbacks, len(z)), plan.rates(len(z))
    start = on_device(filled(z, len(pairs.p_mass)))
    z, history = _descended(q, start, pairs, plan, rates, watch)
    while watch.climbs and not history.interrupted:
        first, *later = rates.values
        rates = dataclasses.replace(rates, values=(first / 2, *later))
        z, history = _descended(q, start, pairs, plan, rates, watch)
    return on_device(watch.seen(z)), history


def _descended(q, z, p, plan: Schedules, rates: Stages, watch: "Watch"):
    """The descent at these rates, on grids that grow with the layout."""
    state, losses = gains(rates, plan.momenta()).init(z), np.zeros(0, np.float32)
    while True:
        kernel = _roomy(q(z), watch.span(z), watch.n)
        args = p, plan.exaggerations(), kernel, np.int32(watch.n)
        watch.enter(kernel.room(), z)
        if not len(losses) and plan.steps > EVERY and _is_steady(plan, rates):
            _, first = _followed(z, state, args, 0, 1, watch, [])
            if first.interrupted:
                return z, first._replace(loss=losses)
            watch.begin(first.loss[0])
        done = EVERY * len(losses)
        steps = plan.steps - done
        z, history = _followed(z, state, args, done, steps, watch, [watch])
        state, losses = history.state, np.append(losses, history.loss)
        ended = history.interrupted or EVERY * len(losses) >= plan.steps
        if ended or not watch.outgrown:
            return z, history._replace(loss=losses)


def _is_steady(plan: Schedules, rates: Stages) -> bool:
    """Whether the first steps are of one rate and one exaggeration."""
    ends = [stages.ends for stages in (rates, plan.exaggerations())]
    return all(not end or end[0] >= EVERY for end in ends)


def _followed(z, state, args, first: int, steps: int, watch: "Watch", callbacks):
    """Some steps on the grids of one kernel; of an error, the points that count."""
    more: Any = dict(state=state, first=first, callbacks=callbacks, every=EVERY)
    try:
        return minimize(exaggerated, z, DESCENT, steps, args=args, **more)
    except DivergenceError as error:
        partial = on_device(watch.seen(error.partial))
        raise DivergenceError(error.step, partial) from None


def _roomy(q: Points, span: float, n: int):
    """The kernel on grids with room for a layout; the largest of all where none has."""
    kernel = interpolated(q, reach=REACH * n**0.25)
    if span > NEARLY * kernel.room():
        kernel = interpolated(q, reach=GROWTH * span / kernel.width())
    return kernel.without_logarithms()


class Watch:
    """Calls the callbacks with the points that count, and sees how a descent does.

    It is stopped where its grid is outgrown; and where its first steps are too long:
    where after 50 of them the loss is more than 1 above that of the start, a few times.
    """

    def __init__(self, callbacks: Sequence[Callable], n: int):
        self.callbacks, self.n, self.tries = callbacks, n, HALVINGS
        self.room = self.bound = np.inf
        self.outgrown = self.climbs = self.crowded = False

    def seen(self, z) -> np.ndarray:
        return np.asarray(z)[: self.n]

    def span(self, z) -> float:
        """How far the points reach along the longer axis."""
        return float(np.ptp(self.seen(z), 0).max())

    def begin(self, loss: float) -> None:
        """A descent from a start that has this loss."""
        self.bound = loss + 1 if self.tries else np.inf
        self.tries -= 1

    def enter(self, room: float, z) -> None:
        """Onto a grid; warns once where even the largest has no room."""
        self.outgrown = self.climbs = False
        self.room, span = room, self.span(z)
        if span > room and not self.crowded:
            self.crowded = True
            wide = f"the layout spans {span:.4g}, and the largest grid {room:.4g}"
            slow = "every pair is summed from here on, exactly and slowly"
            warnings.warn(f"{wide}: {slow}", stacklevel=4)

    def __call__(self, step, loss, z) -> bool:
        self.climbs = step == EVERY and loss > self.bound
        if self.climbs:
            return True
        ended = any_stops(self.callbacks, step, loss, self.seen(z))
        self.outgrown = not ended and self.span(z) > NEARLY * self.room
        return ended or self.outgrown


# ------------------------------------------------------- the end


def settled(plan: Plan, tol: float = 0.0) -> Callable:
    """A callback that stops a descent whose loss no longer improves.

    $$L_{t - 100} - L_t \\le \\mathrm{tol} \\cdot |L_t|$$

    after the early exaggeration. It depends on no unit and no number of points; at 0, a
    run is only stopped after 100 steps that did not improve it at all.

    Args:
        plan: when the exaggeration ends.
        tol: the least improvement over 100 steps, relative to the loss.

    Example:
        >>> from icon.recipes import layout
        >>> stop = layout.settled(layout.Plan(early=50), 0.01)
        >>> [stop(step, loss, None) for step, loss in ((50, 9), (100, 3), (150, 3))]
        [False, False, False]
        >>> stop(200, 2.99, None)
        True
    """
    losses: dict[int, float] = {}

    def stop(step, loss, _):
        losses[step] = loss
        before = losses.get(step - OVER)
        if before is None or step - OVER <= plan.early:
            return False
        return before - loss <= tol * abs(loss)

    return stop


# ------------------------------------------------------- new points


def placing(z, p, q, count, box):
    """The sum of the cross-entropies of new points, among old ones that stay.

    A new point that leaves the box around the old ones is moved to its side. Corners
    of the box are anchors too, without neighbours: a grid lies between them whoever
    else is new.
    """
    inside = z + lax.stop_gradient(jnp.clip(z, *(side[None] for side in box)) - z)
    at = jnp.concatenate([inside, box])
    return z.shape[0] * cross_entropy(p, q.moved(at, count))


FEW, MANY = 256, 4096  # rows of a block
PLACED = 250  # steps; after 100, one in a hundred points has not converged
PLACING = gains(0.3)  # on a point's own loss, whose curvature is at most 2
BEYOND = 0.1  # of the span of a layout: so far may a new point lie beside it


def blocks(n: int) -> list[np.ndarray]:
    """n rows in blocks of one of five sizes, the last row repeated where they end.

    So at most five programs are compiled, whatever n is.

    Example:
        >>> from icon.recipes import layout
        >>> [len(block) for block in layout.blocks(5000)], len(layout.blocks(3)[0])
        ([4096, 4096], 256)
    """
    n = check.size("n", n)
    return blocks_of(n, min(MANY, max(FEW, 1 << (n - 1).bit_length())))


def blocks_of(n: int, size: int = FEW) -> list[np.ndarray]:
    """n rows in blocks of one size, the last row repeated where they end.

    Example:
        >>> from icon.recipes import layout
        >>> [block.tolist() for block in layout.blocks_of(3, 2)]
        [[0, 1], [2, 2]]
    """
    return [np.minimum(np.arange(i, i + size), n - 1) for i in range(0, n, size)]


def place(q: Callable, old: Float[ArrayLike, "m c"], p: Graph) -> np.ndarray:
    r"""The best places of new points in a layout that stays as it is.

    $$\min_{z_i} \mathrm{KL}(p_i \| q_i), \quad q_{ij} \propto k(\|z_i - y_j\|)$$

    from the mean of p_i, in a box around the layout, a tenth of its span wider on each
    side. In blocks of one size it depends on no other new point, but for rounding. One
    program serves layouts of about one size, and every parameter of a kernel.

    Args:
        q: (new, old) -> points under a kernel.
        old: the layout [m, c].
        p: the old neighbours of every new point [n, m].

    Returns:
        float32 [n, c].

    Example:
        >>> import icon, numpy as np
        >>> from icon.recipes import layout
        >>> old = np.float32([[0, 0], [0, 1], [9, 9], [9, 8]])
        >>> p = icon.entropic([[0, 1]], [[1.0, 1.0]], perplexity=2, candidates=4)
        >>> round(float(layout.place(layout.Tail(), old, p)[0, 1]), 3)
        0.5

    Source: Policar, Strazar & Zupan, Embedding to reference t-SNE space addresses batch
    effects in single-cell classification, 2021.
    """
    old = np.asarray(old, np.float32)
    start = on_device(to_sparse(p) @ old.astype(np.float64), np.float32)
    rows, box = filled_length(len(old)), _around(old)
    kernel = interpolated(q(start, on_device(filled(old, rows))))
    # the corners' rows are empty: they start where the last one ends
    ends = np.pad(np.asarray(p.start), (0, len(box)), mode="edge")
    wider = dataclasses.replace(p, start=on_device(ends), count=rows)
    args = wider, kernel, np.int32(len(old)), on_device(box)
    which: Any = placing, start, PLACING, PLACED
    z, _ = completed(minimize(*which, args=args, every=PLACED))
    return np.clip(z, *box)


def _around(old: Float[np.ndarray, "m c"]) -> Float[np.ndarray, "2 c"]:
    """The lower and the upper corner of a box around a layout."""
    low, high = old.min(0), old.max(0)
    beyond = np.float32(BEYOND) * (high - low).max()
    return np.stack([low - beyond, high + beyond])
