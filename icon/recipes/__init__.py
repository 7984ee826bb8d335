"""How is a cell trained? A function of its column and its row, never of its name.

`_sources` says what p is built from, `_learners` what learns; this file brings the two
together, trains, and scores. A cell of your own needs nothing else.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from icon import data as datasets
from icon import evaluate
from icon._base import checks as checks
from icon._engines.fft import interpolated
from icon._loss.verbs import cross_entropy, kl
from icon._neighborhoods.compose import remembered
from icon._neighborhoods.points import student_t
from icon._table import cells as cells
from icon._table.cells import TABLE, Cell
from icon._table.formula import formula
from icon._training.minimize import DivergenceError, fit, minimize
from icon.recipes.models import LINEAR, Learner, adam, learner, principal, retracted
from icon.recipes.tasks import BATCHED, USUAL, WHOLE, Batches, Budget, Material, Whole


FULL = Budget()
QUICK = Budget(points=500, steps=50, batches=40, restarts=1)


def material(data, seed: int = 0, budget: Budget = FULL) -> Material:
    """A data set made ready: sampled down to the budget, and split 70/30 by the seed.

    Args:
        data: an `icon.data.Dataset`.
        seed: decides the sample and the split.
        budget: how many points, steps, batches and restarts.

    Example:
        >>> import icon
        >>> m = icon.recipes.material(icon.data.digits())
        >>> len(m.train), len(m.test)
        (1258, 539)
    """
    n = len(data.features)
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[: budget.points])
    x = np.asarray(data.features if data.images is None else data.images)[chosen]
    labelled = data.labels is not None
    labels = np.asarray(data.labels)[chosen] if labelled else np.zeros(len(x), np.int32)
    train, test = datasets.split(len(x), seed)
    classes = int(labels.max()) + 1 if labelled else 10
    return Material(x, labels, train, test, classes, seed, budget, labelled)


# ------------------------------------------------------- training


class Net(NamedTuple):
    """A learner for each side of a lesson."""

    learner: Learner

    def __call__(self, params, side: str, x):
        return self.learner.apply(params[side], x)

    def finish(self, x):
        return self.learner.finish(x)


class Trained(NamedTuple):
    """What became of a cell."""

    cell: Cell
    learner: Learner
    params: Any
    loss: np.ndarray  # of every step
    value: float  # of the cell's own loss, at the end
    seconds: float
    embedding: np.ndarray  # of all rows, what q sees
    represented: np.ndarray  # of all rows, what is scored
    untrained: np.ndarray  # the same before the first step
    note: str = ""


def source_of(cell: Cell, m: Material) -> str:
    """What p is built from: as the cell says, its column has it, or p accepts."""
    if cell.learns_from:
        known = {**WHOLE, **BATCHED}
        return _one_of("learns_from", cell.learns_from, known)
    if cell.column:
        return USUAL[_one_of("column", cell.column, USUAL)]
    try:
        cell.p(jnp.asarray(m.flat[:50]))
    except (checks.InvalidInput, TypeError):
        return "labels"
    return "features"


def _one_of(argument: str, got: str, known) -> str:
    checks.require(got in known, argument, repr(got), "one of " + ", ".join(known))
    return got


def _momentum(decay: float = 0.99) -> optax.GradientTransformation:
    """After the step, the slow side follows the fast one: an average of its past."""

    def update(updates, state, params: Any = None):
        fast: Any = optax.apply_updates(params["z"], updates["z"])
        follow = lambda new, old: (1 - decay) * (new - old)
        return {**updates, "slow": jax.tree.map(follow, fast, params["slow"])}, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


class NoSlope(Exception):
    """The gradient is exactly zero: a ranking cannot be descended."""


def _refuse_flat(before, after) -> None:
    """No number has moved."""
    same = jax.tree.map(lambda x, y: bool(jnp.all(x == y)), before, after)
    if all(jax.tree.leaves(same)):
        raise NoSlope


def _unbroken(history):
    """Ctrl-C ends the table, not one row."""
    if history.interrupted:
        raise KeyboardInterrupt
    return history.loss


def _seen(lesson: Whole, who: Learner, m: Material):
    """What a learner looks at to start."""
    if who.maps:
        return m.x
    return m.flat if lesson.start is None else lesson.start


def _descend(cell: Cell, lesson: Whole, who: Learner, m: Material):
    """All points at once, p built once; the best of several starts of a clustering."""
    ways = [_way(cell, lesson, each, m) for each in (who, *who.or_else)]
    tries = m.budget.restarts if who.or_else else 1
    ended = []
    for k, key in enumerate(jr.split(jr.key(m.seed), tries)):
        try:
            ended.append(ways[k % len(ways)](key))
        except DivergenceError:
            if k == tries - 1 and not ended:
                raise
    losses, start, params, own = min(ended, key=lambda end: end[0][-1])
    return start, params, losses, own


BY_MASSES = (kl, cross_entropy, cells.joint)  # they ask q for its log-masses, no more


def _answering(q):
    """q as it answers for all anchors at once, where it can."""
    try:
        return interpolated(q)
    except checks.InvalidInput:
        return q


def _way(cell: Cell, lesson: Whole, who: Learner, m: Material):
    """A descent by one learner, as a function of where it starts."""
    steps = m.budget.annealing if who.width > 2 and not who.maps else m.budget.steps
    steps = steps // 2 if who.maps else steps
    optimizer = optax.chain(who.optimizer(steps), retracted(who, ["z"]))
    args = remembered(cell.p(*lesson.evidence)), jnp.asarray(m.x), lesson.beside

    fast = _answering if cell.loss in BY_MASSES and not who.maps else lambda q: q

    def loss(params, p, x, beside):
        return cell.loss(p, fast(cell.q(who.apply(params["z"], x), *beside)))

    def go(key):
        start = {"z": who.start(key, _seen(lesson, who, m))}
        still = lambda step, loss, params: _refuse_flat(start, params)
        params, history = minimize(
            loss, start, optimizer, steps, args=args, callbacks=[still]
        )

        def own(cell):
            embedding = who.apply(params["z"], args[1])
            return cell.loss(args[0], cell.q(embedding, *args[2]))

        return _unbroken(history), start, params, own

    return go


def _starts(lesson: Batches, who: Learner, m: Material):
    """What learns, at its start: a learner for each side, and what is beside them."""
    one, two = jr.split(jr.key(m.seed))
    look = datasets.halves(m.x)[0] if "left" in lesson.sides else m.x
    look = look if who.maps else m.flat
    sides = {side: who.start(one, look) for side in lesson.sides}
    return {**sides, "beside": lesson.beside(two, who.width)}


def _learn(cell: Cell, lesson: Batches, who: Learner, m: Material):
    """Batch after batch, p built from each."""
    net, params, key = Net(who), _starts(lesson, who, m), jr.key(m.seed)
    steps = m.budget.batches if who.maps else m.budget.steps
    optimizer = optax.chain(who.optimizer(steps), retracted(who, lesson.sides))
    if "slow" in lesson.sides:
        optimizer = optax.chain(optimizer, _momentum())
    size = len(m.x) if who is LINEAR else lesson.size  # few parameters: all at once
    feed = datasets.batches(lesson.arrays, size, steps)

    def loss(params, batch, key):
        evidence, embedding = lesson.meet(params, batch, key, net)
        meet = lesson.loss or cell.loss
        return meet(cell.p(*evidence), cell.q(*embedding))

    stop_at = lambda last: [lambda step, loss, params: step >= last]
    after, _ = fit(loss, params, feed, optimizer, key, callbacks=stop_at(2))
    _refuse_flat(params, after)  # the second step: the first warms up
    start = params
    params, history = fit(loss, start, feed, optimizer, key, callbacks=stop_at(steps))

    def own(cell):
        evidence, embedding = lesson.meet(params, next(feed(key, 0)), key, net)
        return cell(evidence, embedding)

    return start, params, _unbroken(history), own


def _with_slope(cell: Cell, source: str) -> Cell:
    """The row at a temperature above zero, of the same evidence and column."""
    near = [c for c in TABLE.values() if c.row == cells.G and c.learns_from == source]
    near.sort(key=lambda c: c.column != cell.column)
    checks.require(near, "cell", f"{cell.name}, whose gradient is zero", "a slope")
    return near[0]


def _prepared(cell: Cell, m: Material):
    """What learns, what it learns from, and the rows it may see."""
    source = source_of(cell, m)
    row = _one_of("row", cell.row or cells.G, cells.FAMILIES)
    who = learner(row, source, m.classes)
    m = m.centered() if who is LINEAR else m
    seen = m.only(m.train) if who.maps and source in WHOLE else m
    return who, {**WHOLE, **BATCHED}[source](seen), seen


def train(cell: Cell, m: Material) -> Trained:
    """Train a cell on a data set, by its column and its row.

    Args:
        cell: any cell, of the table or of your own.
        m: what `material` makes of a data set.

    Raises:
        InvalidInput: a column, row or evidence that no recipe knows.
        DivergenceError: a loss that stops being finite.

    Example:
        >>> import icon
        >>> from icon import recipes
        >>> m = recipes.material(icon.data.digits(), budget=recipes.QUICK)
        >>> recipes.train(icon.TABLE["PCA"], m).embedding.shape
        (500, 2)
    """
    began, note = time.monotonic(), ""
    who, lesson, seen = _prepared(cell, m)
    go: Callable = _descend if isinstance(lesson, Whole) else _learn
    try:
        start, params, loss, own = go(cell, lesson, who, seen)
    except NoSlope:
        near = _with_slope(cell, source_of(cell, m))
        start, params, loss, own = go(near, lesson, who, seen)
        note = f"no slope of its own: descends {near.name}"
    every = m.centered() if who is LINEAR else m
    _, untrained = _of_all(lesson, who, start, every)
    shown, kept = _of_all(lesson, who, params, every)
    value = float(own(cell)) if note else float(np.mean(loss[-20:]))
    seconds = time.monotonic() - began
    return Trained(
        cell, who, params, loss, value, seconds, shown, kept, untrained, note
    )


def _of_all(lesson, who: Learner, params, m: Material):
    """The embedding of all rows, and what of them is scored."""
    if getattr(lesson, "represent", None):
        both = np.asarray(lesson.represent(params))
        return both, both
    if "left" in params:
        sides = zip(("left", "right"), datasets.halves(m.x), strict=True)
        both = [_of_side(who, params[side], x) for side, x in sides]
        return tuple(np.concatenate(x, 1) for x in zip(*both, strict=True))
    return _of_side(who, params["z"], m.x)


def _of_side(who, params, x):
    x = jnp.asarray(x)
    both = who.apply(params, x), who.represent(params, x)
    return tuple(np.asarray(z.reshape(len(z), -1)) for z in both)


# ------------------------------------------------------- scores


NEIGHBORS, NEAR = 10, 12


class Ground(NamedTuple):
    """The raw data: where clusterings are drawn, and what every score is beside."""

    picture: np.ndarray  # [n, 2]
    clusters: np.ndarray  # [n], scikit-learn's k-means
    near: dict[str, float]  # 10-NN accuracy, by protocol
    probe: float


HELD_OUT, LEFT_OUT = "held-out 30%", "leave-one-out"


def ground(m: Material) -> Ground:
    """What the raw data look like and score, once for all rows.

    Args:
        m: what `material` makes of a data set.

    Example:
        >>> import icon
        >>> from icon import recipes
        >>> m = recipes.material(icon.data.digits(), budget=recipes.QUICK)
        >>> sorted(recipes.ground(m).near)
        ['held-out 30%', 'leave-one-out']
    """
    from sklearn.cluster import KMeans

    found: Any = KMeans(m.classes, n_init=10, random_state=m.seed)  # pyright: ignore
    protocols = (HELD_OUT, LEFT_OUT) if m.labelled else ()
    near = {protocol: _near(m.flat, m, protocol) for protocol in protocols}
    probe = _probe(m.flat, m) if m.labelled else float("nan")
    return Ground(plane(m.flat), found.fit_predict(m.flat), near, probe)


def _near(z, m: Material, protocol: str) -> float:
    train = m.train if protocol == HELD_OUT else None
    return evaluate.knn_accuracy(z, m.labels, k=NEIGHBORS, train=train)


def _probe(z, m: Material) -> float:
    return evaluate.linear_probe(z, m.labels, train=m.train)


def _protocol(trained: Trained) -> str:
    return HELD_OUT if trained.learner.maps else LEFT_OUT


def _shown(trained: Trained, m: Material) -> np.ndarray:
    """The rows to score and to draw."""
    return m.test if trained.learner.maps else np.arange(len(m.x))


def score(trained: Trained, m: Material, raw: Ground) -> dict[str, float]:
    """How good a trained cell is, the main score first, the raw pixels beside.

    Rows that learn a map are scored on the 30% they have not seen; free embeddings and
    memberships leave one out. Clusterings are scored against the labels.

    Args:
        trained: what `train` returned.
        m: the data it was trained on.
        raw: what `ground` returned for the same data.

    Example:
        >>> import icon
        >>> from icon import recipes
        >>> m = recipes.material(icon.data.digits(), budget=recipes.QUICK)
        >>> trained = recipes.train(icon.TABLE["PCA"], m)
        >>> list(recipes.score(trained, m, recipes.ground(m)))
        ['10-NN', 'raw 10-NN', 'trustworthiness', 'untrained 10-NN']
    """
    if trained.cell.row == cells.C:
        return _clustering(trained, m, raw)
    if not m.labelled:
        return {"trustworthiness": _trustworthiness(trained, m)}
    z, protocol = trained.represented, _protocol(trained)
    scores = {"10-NN": _near(z, m, protocol), "raw 10-NN": raw.near[protocol]}
    if z.shape[1] > 2:
        scores |= {"linear probe": _probe(z, m), "raw linear probe": raw.probe}
        scores["untrained linear probe"] = _probe(trained.untrained, m)
    else:
        scores["trustworthiness"] = _trustworthiness(trained, m)
    if trained.learner.maps:
        scores["untrained 10-NN"] = _near(trained.untrained, m, protocol)
    return scores


def _trustworthiness(trained: Trained, m: Material) -> float:
    rows = _shown(trained, m)
    k = min(NEAR, len(rows) // 2 - 1)
    return evaluate.trustworthiness(m.flat[rows], trained.represented[rows], k=k)


def _clusters(trained: Trained, m: Material) -> np.ndarray:
    """The most likely cluster; of a pair, the left side's."""
    return trained.embedding[:, : m.classes].argmax(1)


def _clustering(trained: Trained, m: Material, raw: Ground) -> dict[str, float]:
    rows = _shown(trained, m)
    found = _clusters(trained, m)[rows]
    if not m.labelled:
        return {"clusters used": float(len(np.unique(found)))}
    truth = m.labels[rows]
    return {
        "Hungarian": evaluate.hungarian_accuracy(truth, found),
        "raw Hungarian": evaluate.hungarian_accuracy(truth, raw.clusters[rows]),
        "NMI": evaluate.nmi(truth, found),
        "ARI": evaluate.ari(truth, found),
    }


# ------------------------------------------------------- pictures


def _flat_loss(z, p):
    return kl(p, interpolated(student_t(z)), joint=True)


def plane(z, steps: int = 250) -> np.ndarray:
    """An embedding of any dimension as a picture: itself, or its own t-SNE.

    Args:
        z: floats [n, d].
        steps: of the t-SNE.

    Example:
        >>> import numpy as np
        >>> from icon import recipes
        >>> recipes.plane(np.random.default_rng(0).normal(size=(40, 5)), 10).shape
        (40, 2)
    """
    z = np.asarray(z, np.float32)
    if z.shape[1] <= 2:
        return np.pad(z, ((0, 0), (0, 2 - z.shape[1])))
    perplexity = min(15.0, (len(z) - 1) / 3)
    p = cells.nearest(jnp.asarray(z), min(45, len(z) - 1), perplexity)
    start = principal(z)
    drawn, history = minimize(_flat_loss, start, _DRAW, steps, args=(p,))
    return np.asarray(drawn)


_DRAW = adam(1.0)(250)


def result(trained: Trained, m: Material, raw: Ground) -> dict[str, Any]:
    """Everything the table shows of a cell: its formula, its picture, its numbers.

    Args:
        trained: what `train` returned.
        m: the data it was trained on.
        raw: what `ground` returned for the same data.
    """
    rows, clustering = _shown(trained, m), trained.cell.row == cells.C
    return _described(trained.cell) | dict(
        z=raw.picture[rows] if clustering else plane(trained.embedding[rows]),
        labels=m.labels[rows] if m.labelled else None,
        clusters=_clusters(trained, m)[rows] if clustering else None,
        scores=score(trained, m, raw),
        protocol=_protocol(trained),
        loss_value=trained.value,
        seconds=trained.seconds,
        note=trained.note,
    )


def attempt(cell: Cell, m: Material, raw: Ground) -> dict[str, Any]:
    """The result of a cell, or of why there is none: one row never stops the others.

    Args:
        cell: any cell.
        m: what `material` makes of a data set.
        raw: what `ground` returned for it.
    """
    try:
        return result(train(cell, m), m, raw)
    except (checks.InvalidInput, DivergenceError) as error:
        return _described(cell) | dict(
            z=np.zeros((0, 2), np.float32),
            labels=None,
            clusters=None,
            scores={},
            protocol="refused",
            loss_value=float("nan"),
            seconds=0.0,
            note=str(error),
        )


def _described(cell: Cell) -> dict[str, Any]:
    return dict(
        name=cell.name,
        column=cell.column or "your own",
        row=cell.row or cells.G,
        status=cell.status,
        p=formula(cell.p),
        q=formula(cell.q),
        loss=formula(cell.loss),
        reference=cell.reference,
    )


# ------------------------------------------------------- to try a cell on


def example(cell: Cell, n: int = 32, seed: int = 0):
    """Small random arguments of a cell: (evidence, embedding), as its recipe has them.

    Args:
        cell: any cell.
        n: how many points.
        seed: of the data.

    Example:
        >>> import icon
        >>> evidence, embedding = icon.recipes.example(icon.TABLE["CLIP"])
        >>> [x.shape for x in embedding]
        [(22, 128), (22, 128)]
    """
    random = np.random.default_rng(seed)
    code, labels = random.normal(size=(n, 3)), np.arange(n) % 4
    code[:, 0] += 3 * labels  # few dimensions and some classes, as data have
    x = np.tanh(code @ random.normal(size=(3, 36))).reshape(n, 6, 6).astype(np.float32)
    data = datasets.Dataset("random", x.reshape(n, -1), labels, x)
    m = material(data, seed, QUICK._replace(points=n))
    who, lesson, seen = _prepared(cell, m)
    if isinstance(lesson, Whole):
        start = who.start(jr.key(seed), _seen(lesson, who, seen))
        return lesson.evidence, (who.apply(start, jnp.asarray(seen.x)), *lesson.beside)
    params = _starts(lesson, who, seen)
    first = next(iter(datasets.batches(lesson.arrays, lesson.size, 1)(jr.key(seed), 0)))
    return lesson.meet(params, first, jr.key(seed), Net(who))
