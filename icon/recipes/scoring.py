"""What of a trained cell is scored, and shown?"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from icon import evaluate
from icon._base import checks
from icon._engines import interpolated
from icon._loss import kl
from icon._neighborhoods import student_t
from icon._table import Cell, cells, formula
from icon._training import DivergenceError, minimize
from icon.recipes.models import adam, principal
from icon.recipes.tasks import Material
from icon.recipes.training import Trained, train


NEIGHBORS, NEAR = 10, 12
HELD_OUT, LEFT_OUT, ALL = "held-out 30%", "leave-one-out", "all rows"


class Ground(NamedTuple):
    """The raw data: their picture, in which clusterings are drawn, and their scores."""

    picture: np.ndarray  # [n, 2]
    clusters: np.ndarray  # [n], scikit-learn's k-means
    near: dict[str, float]  # 10-NN accuracy, by protocol
    probe: float


def ground(m: Material) -> Ground:
    """What the raw data look like and score, once for all rows.

    Args:
        m: what `material` makes of a data set.

    Example:
        >>> import icon
        >>> from icon import recipes
        >>> m = recipes.material(icon.data.digits(), budget=recipes.Budget(60, 5, 5))
        >>> sorted(recipes.ground(m).near)
        ['held-out 30%', 'leave-one-out']
    """
    from sklearn.cluster import KMeans

    checks.instance("m", m, Material, "what recipes.material returns")
    kmeans: Any = KMeans(m.classes, n_init=10, random_state=m.seed)  # pyright: ignore
    protocols = (HELD_OUT, LEFT_OUT) if m.labelled else ()
    near = {protocol: _knn_accuracy(m.flat, m, protocol) for protocol in protocols}
    probe = _linear_probe(m.flat, m) if m.labelled else float("nan")
    return Ground(plane(m.flat), kmeans.fit_predict(m.flat), near, probe)


# ------------------------------------------------------- scores


def _knn_accuracy(z, m: Material, protocol: str) -> float:
    train = m.train if protocol == HELD_OUT else None
    return evaluate.knn_accuracy(z, m.labels, k=NEIGHBORS, train=train)


def _linear_probe(z, m: Material) -> float:
    return evaluate.linear_probe(z, m.labels, train=m.train)


def _protocol(trained: Trained) -> str:
    if trained.learner.maps:
        return HELD_OUT
    return ALL if trained.cell.row == cells.C else LEFT_OUT


def _scored_rows(trained: Trained, m: Material) -> np.ndarray:
    return m.test if trained.learner.maps else np.arange(len(m.x))


def score(trained: Trained, m: Material, raw: Ground) -> dict[str, float]:
    """How good a trained cell is: its scores, the main one first, and the raw data's.

    Rows that learn a map are scored on the 30% they have not seen; free embeddings
    leave one out. Clusterings are matched to the labels, free ones on all rows.

    Args:
        trained: what `train` returned.
        m: the data it was trained on.
        raw: what `ground` returned for the same data.

    Example:
        >>> import icon
        >>> from icon import recipes
        >>> m = recipes.material(icon.data.digits(), budget=recipes.Budget(60, 5, 5))
        >>> trained = recipes.train(icon.TABLE["PCA"], m)
        >>> list(recipes.score(trained, m, recipes.ground(m)))
        ['10-NN', 'raw 10-NN', 'trustworthiness', 'untrained 10-NN']
    """
    if trained.cell.row == cells.C:
        return _clustering(trained, m, raw)
    if not m.labelled:
        return {"trustworthiness": _trustworthiness(trained, m)}
    z, protocol = trained.represented, _protocol(trained)
    scores = {"10-NN": _knn_accuracy(z, m, protocol), "raw 10-NN": raw.near[protocol]}
    if z.shape[1] > 2:
        scores |= {"linear probe": _linear_probe(z, m), "raw linear probe": raw.probe}
        scores["untrained linear probe"] = _linear_probe(trained.untrained, m)
    else:
        scores["trustworthiness"] = _trustworthiness(trained, m)
    if trained.learner.maps:
        scores["untrained 10-NN"] = _knn_accuracy(trained.untrained, m, protocol)
    return scores


def _trustworthiness(trained: Trained, m: Material) -> float:
    rows = _scored_rows(trained, m)
    k = min(NEAR, len(rows) // 2 - 1)
    return evaluate.trustworthiness(m.flat[rows], trained.represented[rows], k=k)


def _clusters(trained: Trained, m: Material) -> np.ndarray:
    """The most likely cluster of every row; of a pair, the left side's."""
    return trained.embedding[:, : m.classes].argmax(1)


def _clustering(trained: Trained, m: Material, raw: Ground) -> dict[str, float]:
    rows = _scored_rows(trained, m)
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


PICTURE = adam(1.0)(250)  # one optimizer: programs are found by its identity


def _joint_kl(z, p):
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
    steps = checks.size("steps", steps, 0)
    z = np.asarray(checks.floating("z", z, (2,)), np.float32)
    if z.shape[1] <= 2:
        return np.pad(z, ((0, 0), (0, 2 - z.shape[1])))
    perplexity = min(15.0, (len(z) - 1) / 3)
    p = cells.nearest(jnp.asarray(z), min(45, len(z) - 1), perplexity)
    drawn, _ = minimize(_joint_kl, principal(z), PICTURE, steps, args=(p.prepared(),))
    return np.asarray(drawn)


# ------------------------------------------------------- results


def result(trained: Trained, m: Material, raw: Ground) -> dict[str, Any]:
    """Everything the table shows of a cell: its formula, its picture, its numbers.

    Args:
        trained: what `train` returned.
        m: the data it was trained on.
        raw: what `ground` returned for the same data.

    Example:
        >>> import icon
        >>> from icon import recipes
        >>> m = recipes.material(icon.data.digits(), budget=recipes.Budget(60, 5, 5))
        >>> trained = recipes.train(icon.TABLE["PCA"], m)
        >>> shown = recipes.result(trained, m, recipes.ground(m))
        >>> shown["name"], shown["protocol"], shown["z"].shape
        ('PCA', 'held-out 30%', (18, 2))
    """
    rows, clustering = _scored_rows(trained, m), trained.cell.row == cells.C
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
    checks.instance("cell", cell, Cell, "a Cell")
    checks.instance("m", m, Material, "what recipes.material returns")
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
