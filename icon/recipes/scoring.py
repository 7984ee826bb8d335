"""What of a trained cell is scored, and shown?"""

import functools as ft
import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icon import evaluate
from icon._base import checks
from icon._engines import interpolated
from icon._loss import dense, kl
from icon._neighborhoods import student_t
from icon._table import Cell, cells, evidence, formula
from icon._training import completed, minimize
from icon.recipes.material import Material
from icon.recipes.models import adam, principal
from icon.recipes.training import Trained, valued


NEIGHBORS, NEAR = 10, 12
HELD_OUT, LEFT_OUT, ALL = "held-out rows", "leave-one-out", "all rows"


class Ground:
    """The raw data: what they look like and score, each found once it is asked for.

    Args:
        m: what `material` makes of a data set.

    Example:
        >>> import icon
        >>> from icon import recipes
        >>> m = recipes.material(icon.data.digits(), budget=recipes.Budget(60, 5, 5))
        >>> sorted(recipes.Ground(m).near)
        ['held-out rows', 'leave-one-out']
    """

    def __init__(self, m: Material):
        self.m = checks.instance("m", m, Material, "what recipes.material returns")
        self._probes: dict[bytes, float] = {}

    @ft.cached_property
    def picture(self) -> np.ndarray:
        """[n, 2], in which clusterings are drawn."""
        return plane(self.m.flat, _drawn(self.m))

    @ft.cached_property
    def clusters(self) -> np.ndarray:
        """[n], scikit-learn's k-means."""
        m = self.m
        return _k_means(m.x, m).labels_

    @ft.cached_property
    def near(self) -> dict[str, float]:
        """10-NN accuracy, by protocol."""
        protocols = (HELD_OUT, LEFT_OUT) if self.m.labelled else ()
        return {each: _knn_accuracy(self.m.flat, self.m, each) for each in protocols}

    @ft.cached_property
    def probe(self) -> float:
        """The accuracy of a linear probe."""
        return self.probe_of(self.m.flat) if self.m.labelled else float("nan")

    def probe_of(self, z: np.ndarray) -> float:
        """The same of other features of the rows: of one network, for many cells."""
        key = hashlib.sha256(np.ascontiguousarray(z).data).digest()
        if key not in self._probes:
            self._probes[key] = _linear_probe(z, self.m)
        return self._probes[key]


# ------------------------------------------------------- scores


def _labelled(m: Material) -> tuple[np.ndarray, np.ndarray]:
    """The rows with a label, and which of these are to learn from."""
    rows = np.flatnonzero(m.labels >= 0)
    return rows, np.flatnonzero(np.isin(rows, m.train))


def _knn_accuracy(z, m: Material, protocol: str) -> float:
    rows, train = _labelled(m)
    held_out = train if protocol == HELD_OUT else None
    return evaluate.knn_accuracy(z[rows], m.labels[rows], k=NEIGHBORS, train=held_out)


def _linear_probe(z, m: Material) -> float:
    rows, train = _labelled(m)
    return evaluate.linear_probe(z[rows], m.labels[rows], train=train)


def _is_clustering(trained: Trained) -> bool:
    """Whether what is learned are memberships."""
    return trained.learner.finish is jax.nn.softmax or bool(
        trained.learner.alternatives
    )


def protocol_of(trained: Trained) -> str:
    """Which rows are scored, in two words."""
    if trained.task.protocol:
        return trained.task.protocol
    if trained.learner.maps:
        return HELD_OUT
    return ALL if _is_clustering(trained) else LEFT_OUT


def _scored_rows(trained: Trained, m: Material) -> np.ndarray:
    return m.test if trained.learner.maps else np.arange(len(m.x))


def score(
    trained: Trained, m: Material, raw: Ground, metric: Callable | None = None
) -> dict[str, float]:
    """How good a trained cell is: its scores, the main one first, and the raw data's.

    Rows that learn a map are scored on the rows they have not seen; free embeddings
    leave one out. Clusterings are matched to the labels, free ones on all rows. Two
    modalities are scored by retrieval: how often the nearest row of the other modality,
    by q, is the same row. A task may have scores of its own.

    Args:
        trained: what `train` returned.
        m: the data it was trained on.
        raw: the `Ground` of the same data.
        metric: of your own, the main one: (z, m) -> a number or a dict of numbers, z
            what is scored of all rows [n, k].

    Example:
        >>> import icon
        >>> from icon import recipes
        >>> m = recipes.material(icon.data.digits(), budget=recipes.Budget(60, 5, 5))
        >>> trained = recipes.train(icon.TABLE["PCA"], m)
        >>> list(recipes.score(trained, m, recipes.Ground(m)))
        ['10-NN', 'raw 10-NN', 'trustworthiness', 'untrained 10-NN']
    """
    own = {} if metric is None else _by_metric(metric, trained, m)
    if trained.task.scores is not None:
        return own | trained.task.scores(trained, m)
    if _is_clustering(trained):
        return own | _clustering(trained, m, raw)
    if len(_modalities(trained)) == 2:
        return own | _retrieval(trained, m)
    if not m.labelled:
        return own | {"trustworthiness": _trustworthiness(trained, m)}
    return own | _by_labels(trained, m, raw)


def _by_metric(metric: Callable, trained: Trained, m: Material) -> dict[str, float]:
    name = formula(metric)
    z = trained.represented
    found = {name: metric(z, m), f"untrained {name}": metric(trained.untrained, m)}
    if isinstance(found[name], dict):
        found = found[name]
    return {key: checks.scalar("metric", x, -np.inf) for key, x in found.items()}


def _by_labels(trained: Trained, m: Material, raw: Ground) -> dict[str, float]:
    z, protocol = trained.represented, protocol_of(trained)
    if z.shape[1] <= 2:
        near = {"10-NN": _knn_accuracy(z, m, protocol), "raw 10-NN": raw.near[protocol]}
        near["trustworthiness"] = _trustworthiness(trained, m)
        if trained.learner.maps:
            near["untrained 10-NN"] = _knn_accuracy(trained.untrained, m, protocol)
        return near
    return {
        "linear probe": _linear_probe(z, m),
        "raw linear probe": raw.probe,
        "untrained linear probe": raw.probe_of(trained.untrained),
        "10-NN": _knn_accuracy(z, m, protocol),
        "raw 10-NN": raw.near[protocol],
        "untrained 10-NN": _knn_accuracy(trained.untrained, m, protocol),
    }


def _trustworthiness(trained: Trained, m: Material) -> float:
    rows = _scored_rows(trained, m)
    k = min(NEAR, len(rows) // 2 - 1)
    return evaluate.trustworthiness(m.flat[rows], trained.represented[rows], k=k)


# ------------------------------------------------------- two modalities


def _modalities(trained: Trained) -> list[str]:
    """The views that are embedded separately, but for moving averages."""
    return [name for name in trained.task.views if name not in trained.task.follows]


def _retrieval(trained: Trained, m: Material) -> dict[str, float]:
    """How often the most likely row of the other modality is the same row."""
    rows = m.test if len(m.test) else np.arange(len(m.x))
    u, v = np.split(trained.embedding[rows], 2, 1)
    both = (jnp.asarray(u), jnp.asarray(v))
    learned = {name: trained.params["learned"][name] for name in trained.cell.learned}
    cell, numbers = trained.cell.first(learned)
    there, back = (dense(cell.learning(sets, numbers)) for sets in (both, both[::-1]))
    found = [np.asarray(q).argmax(1) == np.arange(len(rows)) for q in (there, back)]
    hits = [float(np.mean(right)) for right in found]
    names = ("R@1", "R@1 there", "R@1 back")
    found = dict(zip(names, (sum(hits) / 2, *hits), strict=True))
    return found | {"raw R@1": 1 / len(rows)}  # by chance


# ------------------------------------------------------- clusters


def _clusters(trained: Trained, m: Material) -> np.ndarray:
    """The most likely cluster of every row; of a pair, the left side's."""
    return trained.embedding[:, : trained.learner.width].argmax(1)


def _clustering(trained: Trained, m: Material, raw: Ground) -> dict[str, float]:
    rows = _scored_rows(trained, m)
    rows = rows[m.labels[rows] >= 0] if m.labelled else rows
    found = _clusters(trained, m)[rows]
    if not m.labelled:
        return {"clusters used": float(len(np.unique(found)))}
    truth = m.labels[rows]
    return {
        "Hungarian": evaluate.hungarian_accuracy(truth, found),
        "raw Hungarian": evaluate.hungarian_accuracy(truth, raw.clusters[rows]),
        "NMI": evaluate.nmi(truth, found),
        "ARI": evaluate.ari(truth, found),
        **_objectives(trained, m),
    }


SOFTNESS = (1e-4, 1e-3, 1e-2, 0.05, 0.1, 0.2)  # of the memberships of k-means


def _objectives(trained: Trained, m: Material) -> dict[str, float]:
    """The cell's own loss, and what k-means of the raw rows has of it, made as soft as
    is best for it."""
    setup, whole = trained.setup, not trained.learner.maps
    own = {
        name: trained.learner._replace(
            apply=_assigned(_k_means(see(setup.m.x), m), whole)
        )
        for name, see in trained.task.views.items()
    }
    by_k_means = setup._replace(own=own, learner=next(iter(own.values())))
    value = valued(trained.cell, by_k_means, trained.states)
    soft = [{**trained.params, **dict.fromkeys(own, np.float32(s))} for s in SOFTNESS]
    loss = valued(trained.cell, setup, trained.states)(trained.params)
    return {"loss": loss, "loss of k-means": min(map(value, soft))}


def _k_means(x, m: Material):
    from sklearn.cluster import KMeans

    flat = np.asarray(x).reshape(len(x), -1)
    count = min(m.classes, len(x))
    kmeans: Any = KMeans(count, n_init=10, random_state=m.seed)  # pyright: ignore
    return kmeans.fit(flat)


def _assigned(kmeans, whole: bool) -> Callable:
    """Memberships of the nearest center, so soft; of all rows, as k-means left them."""
    centers = jnp.asarray(kmeans.cluster_centers_, jnp.float32)
    count, square = len(centers), jnp.sum(centers**2, 1)[None]

    def apply(softness, x, state=()):
        if whole:
            nearest = jnp.asarray(kmeans.labels_)
        else:
            flat = x.reshape(len(x), -1)
            nearest = jnp.argmin(square - 2 * flat @ centers.T, 1)
        hard = jax.nn.one_hot(nearest, count, dtype=jnp.float32)
        return (1 - softness) * hard + softness / count

    return apply


# ------------------------------------------------------- pictures


PICTURE = adam(1.0)(250)  # one optimizer: programs are found by its identity


def _joint_kl(z, p):
    return kl(p, interpolated(student_t(z)), joint=True)


def _drawn(m: Material) -> int:
    """The steps of a picture: as many as an embedding has, up to 250."""
    return min(250, m.budget.steps)


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
    steps = checks.size("steps", steps, 0)
    z = np.asarray(checks.floating("z", z, (2,)), np.float32)
    if z.shape[1] <= 2:
        return np.pad(z, ((0, 0), (0, 2 - z.shape[1])))
    perplexity = min(15.0, (len(z) - 1) / 3)
    p = cells.nearest(jnp.asarray(z), min(45, len(z) - 1), perplexity)
    args = _joint_kl, principal(z), PICTURE, steps
    drawn, _ = completed(minimize(*args, args=(p.prepared(),)))
    return np.asarray(drawn)


# ------------------------------------------------------- results


def result(
    trained: Trained, m: Material, raw: Ground, metric: Callable | None = None
) -> dict[str, Any]:
    """Everything the table shows of a cell: its formula, its picture, its numbers.

    Args:
        trained: what `train` returned.
        m: the data it was trained on.
        raw: the `Ground` of the same data.
        metric: of your own, as `score` takes it.

    Example:
        >>> import icon
        >>> from icon import recipes
        >>> m = recipes.material(icon.data.digits(), budget=recipes.Budget(60, 5, 5))
        >>> trained = recipes.train(icon.TABLE["PCA"], m)
        >>> shown = recipes.result(trained, m, recipes.Ground(m))
        >>> shown["name"], shown["protocol"], shown["z"].shape
        ('PCA', 'held-out rows', (18, 2))
    """
    rows, clustering = _scored_rows(trained, m), _is_clustering(trained)
    return described(trained.cell) | dict(
        z=raw.picture[rows]
        if clustering
        else plane(trained.embedding[rows], _drawn(m)),
        labels=m.labels[rows] if m.labelled else None,
        clusters=_clusters(trained, m)[rows] if clustering else None,
        scores=score(trained, m, raw, metric),
        protocol=protocol_of(trained),
        loss_value=trained.value,
        seconds=trained.seconds,
        note=trained.note,
        learned=dict(trained.learned),
        trained=trained.summary,
        n=len(m.x),
        seed=m.seed,
    )


def refused(cell: Cell, why: str) -> dict[str, Any]:
    """The square of a cell that there is no result of."""
    return described(cell) | dict(
        z=np.zeros((0, 2), np.float32),
        labels=None,
        clusters=None,
        scores={},
        protocol="failed",
        loss_value=float("nan"),
        seconds=0.0,
        note=why,
        learned={},
        trained="",
        failed=True,
    )


def described(cell: Cell) -> dict[str, Any]:
    return dict(
        name=cell.name,
        column=cell.column or "your own",
        row=cell.row or evidence.G,
        status=cell.status,
        p=formula(cell.p),
        q=formula(cell.q),
        loss=formula(cell.loss),
        reference=cell.reference,
    )
