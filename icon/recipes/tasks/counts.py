"""What is p built from where rows count words, or what people chose?"""

import warnings
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from scipy.sparse import csr_array, csr_matrix

from icon import data as datasets
from icon import evaluate
from icon._loss import kl
from icon._neighborhoods import clusters, graph
from icon.recipes import factors, topics
from icon.recipes.material import Material
from icon.recipes.models import adam, principal
from icon.recipes.task import Task, of_extra, of_parameters


STEPS = 100  # of scikit-learn's
TASTES, RIDGE = 4, 6.0  # numbers of a row and of an item


def _table(m: Material) -> np.ndarray:
    """Counts of the training rows: of items, or of words.

    Else what their entries are above the lowest: bright pixels, say.
    """
    if "counts" in m.also:
        return m.also["counts"][m.train]
    if "tokens" in m.also:
        return datasets.word_counts(m.also["tokens"])[m.train]
    x = m.flat[m.train]
    return x - x.min(0)


def word_counts(m: Material) -> Task:
    """Rows and the words in them, and topics of both: one for every class."""
    table = _table(m)
    counts, mass = csr_array(table), table.sum(1)
    rows, columns = table.shape
    start = topics.random_topics(jr.key(m.seed), rows, columns, m.classes)

    def arguments(model, key, row):
        return (counts,), tuple(model.extra)

    def scores(trained, m: Material) -> dict[str, float]:
        p = graph(counts)
        divergence = lambda found: float(kl(p, clusters(*found), weight=mass))
        return {
            "KL": divergence(trained.params["extra"]),
            "KL of scikit-learn": _by_scikit_learn(counts, start),
            "untrained KL": divergence(start),
        }

    return of_parameters(
        lambda key: start,
        dict(row=np.arange(rows, dtype=np.int32)),
        arguments,
        optimizer=of_extra(topics.em()),
        scored=lambda params: np.asarray(principal(params["extra"].of_rows)),
        scores=scores,
        protocol="all rows",
        summary=f"{m.classes} topics of the words in a row, by multiplicative steps",
    )


def _by_scikit_learn(counts, start: topics.Topics) -> float:
    """The same of scikit-learn's NMF under KL from the same start, by the word."""
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    of_rows, of_columns = (np.asarray(x, np.float64) for x in start)
    factors = counts.sum(1)[:, None] * of_rows, np.ascontiguousarray(of_columns.T)
    model: Any = NMF(
        of_rows.shape[1],
        init="custom",
        beta_loss="kullback-leibler",
        solver="mu",
        max_iter=STEPS,
        tol=0,
    )
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit_transform(
            csr_matrix(counts, dtype=np.float64), W=factors[0], H=factors[1]
        )
    return float(model.reconstruction_err_**2 / 2 / counts.sum())


# ------------------------------------------------------- what is recommended


def choices(m: Material) -> Task:
    """Rows and the items they chose; a fifth of these is left out, to be recommended.

    A row has four numbers, an item four and how popular it is.
    """
    kept, left_out = evaluate.leave_out(_table(m), seed=m.seed)
    chosen = csr_array(kept, dtype=np.float32)

    def arguments(model, key, row):
        rows, items = model.extra
        return (chosen,), (jnp.pad(rows, ((0, 0), (0, 1)), constant_values=1), items)

    def scores(trained, m: Material) -> dict[str, float]:
        rows, items = map(np.asarray, trained.params["extra"])
        popular = np.broadcast_to(kept.sum(0), kept.shape)
        return {
            **_recommended(rows @ items[:, :-1].T + items[:, -1], left_out, kept),
            **_recommended(_by_svd(kept, m.seed), left_out, kept, " of truncated SVD"),
            **_recommended(popular, left_out, kept, " of popularity"),
        }

    return of_parameters(
        lambda key: _tastes(key, kept),
        dict(row=np.arange(len(kept), dtype=np.int32)),
        arguments,
        scored=lambda params: np.asarray(principal(params["extra"][0])),
        scores=scores,
        protocol="choices left out",
        summary=f"four fifths of what each row chose, {TASTES} numbers a row",
    )


def _tastes(key, kept):
    """Small random numbers of rows and items, and the log of how often each is kept."""
    one, two = jr.split(key)
    rows, items = (
        jr.normal(k, (n, TASTES)) / 10
        for k, n in zip((one, two), kept.shape, strict=True)
    )
    offset = jnp.log1p(jnp.asarray(kept.sum(0), jnp.float32))
    return rows, jnp.concatenate([items, offset[:, None]], 1)


def _recommended(scores, left_out, kept, of: str = "") -> dict[str, float]:
    k = min(20, kept.shape[1] - 1)
    return {
        f"recall@20{of}": evaluate.recall(scores, left_out, kept, k=k),
        f"NDCG@20{of}": evaluate.ndcg(scores, left_out, kept, k=k),
    }


def _by_svd(kept, seed: int):
    """The choices by as many singular vectors, scikit-learn's."""
    from sklearn.decomposition import TruncatedSVD

    svd = TruncatedSVD(TASTES, random_state=seed)
    return svd.inverse_transform(svd.fit_transform(kept))


# ------------------------------------------------------- what is rated


def ratings(m: Material) -> Task:
    """Ratings of items by rows, and the levels there are; a fifth is left out."""
    kept, left_out = evaluate.leave_out(_rated(m), seed=m.seed)
    levels = np.unique(kept[kept > 0])
    row, item = np.nonzero(kept)
    start = factors.start(kept, TASTES, m.seed)
    begun = tuple(jnp.asarray(x, jnp.float32) for x in start[1:])

    def arguments(model, key, row, item, level):
        found = factors.Factors(jnp.float32(start.mean), *model.extra)
        predicted = factors.predicted(found, row, item)[:, None]
        ids = jnp.arange(len(levels), dtype=jnp.int32)
        return (level, ids), (predicted, jnp.asarray(levels, jnp.float32)[:, None])

    def scores(trained, m: Material) -> dict[str, float]:
        rows, items = map(np.asarray, trained.params["extra"])
        found = start._replace(rows=rows, items=items)
        return _errors(start, found, kept, left_out)

    return of_parameters(
        lambda key: begun,
        dict(row=row, item=item, level=np.searchsorted(levels, kept[row, item])),
        arguments,
        optimizer=lambda steps: _shrunk(RIDGE / len(row), steps),
        scored=lambda params: np.asarray(principal(params["extra"][0])),
        scores=scores,
        protocol="ratings left out",
        summary=f"four fifths of the ratings, {TASTES} numbers and an offset a row and "
        f"an item, a ridge of {RIDGE:g}, Adam 0.1",
    )


def _shrunk(ridge: float, steps: int) -> optax.GradientTransformation:
    """Adam on the gradient of the loss and of ridge / 2 times the squares."""
    return optax.chain(optax.add_decayed_weights(ridge), adam(0.1)(steps))


def _rated(m: Material) -> np.ndarray:
    """Ratings of the training rows; else their entries, in five levels."""
    if "ratings" in m.also:
        return m.also["ratings"][m.train]
    x = m.flat[m.train]
    return np.digitize(x, np.linspace(x.min(), x.max(), 6)[1:-1]) + 1.0


def _errors(start, found, kept, left_out) -> dict[str, float]:
    """Of what is found, of least squares from the same start, and of the start."""
    least = factors.alternating_least_squares(kept, start, RIDGE)
    return {
        "RMSE": _error(found, left_out),
        "RMSE of alternating least squares": _error(least, left_out),
        "untrained RMSE": _error(start, left_out),
    }


def _error(found: factors.Factors, left_out) -> float:
    """The root of the mean squared error of what was left out."""
    row, item = np.nonzero(left_out)
    error = factors.predicted(found, row, item) - left_out[row, item]
    return float(np.sqrt(np.mean(error**2)))
