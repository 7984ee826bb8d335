"""What is p built from where components, centers or sources make the rows?"""

import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np

from icon import evaluate
from icon._loss import dense, kl
from icon._neighborhoods import components, unnormalized
from icon.recipes import mixture, unmixing
from icon.recipes.material import Material
from icon.recipes.models import principal
from icon.recipes.task import Task, of_extra, of_parameters


AXES = 8  # principal ones: of few rows more have no covariance
LEAST = 1e-3  # added to every variance: float32 has seven digits
STEPS = 100  # of scikit-learn's EM


def _principal(m: Material) -> np.ndarray:
    """The training rows along their principal axes, of mean square 1."""
    x = m.flat[m.train].astype(np.float64)
    x = x - x.mean(0)
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    x = x @ axes[:AXES].T
    return x / np.sqrt(np.mean(x**2))


def _clustered(x: np.ndarray, m: Material) -> np.ndarray:
    from sklearn.cluster import KMeans

    count = min(m.classes, len(x))
    kmeans: Any = KMeans(count, n_init=1, random_state=m.seed)  # pyright: ignore
    return kmeans.fit(x).labels_


def a_mixture(m: Material) -> Task:
    """Rows along their principal axes, and a component for every class."""
    rows = _principal(m)
    labels = _clustered(rows, m)
    start = mixture.of_labels(rows, labels, labels.max() + 1, floor=LEAST)
    x = jnp.asarray(rows, jnp.float32)

    def arguments(model, key, x):
        return (x, *model.extra), (x, *model.extra)

    def scores(trained, m: Material) -> dict[str, float]:
        return {
            "log-likelihood": log_likelihood(x, trained.params["extra"]),
            "log-likelihood of scikit-learn": _by_scikit_learn(rows, start),
            "untrained log-likelihood": log_likelihood(x, start),
        }

    return of_parameters(
        lambda key: start,
        dict(x=x),
        arguments,
        optimizer=of_extra(mixture.em(LEAST)),
        scored=lambda params: np.asarray(dense(components(x, *params["extra"]))),
        scores=scores,
        protocol="all rows",
        summary=f"{AXES} principal axes, EM from k-means",
    )


def log_likelihood(x, found: mixture.Mixture) -> float:
    """The mean over rows of the log of what a mixture gives them."""
    q = components(x, *found)
    return -float(kl(q, unnormalized(q)))


def _by_scikit_learn(x: np.ndarray, start: mixture.Mixture) -> float:
    """The same of scikit-learn's EM, from the same start."""
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    mean, covariance, weight = map(np.asarray, start)
    model = GaussianMixture(
        len(mean),
        max_iter=STEPS,
        reg_covar=LEAST,
        tol=0,
        means_init=mean,
        precisions_init=np.linalg.inv(covariance),
        weights_init=weight / weight.sum(),
    )
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        return float(model.fit(x).score(x))


# ------------------------------------------------------- centers


def centers(m: Material) -> Task:
    """Rows along their principal axes, and a center for every class."""
    from sklearn.cluster import kmeans_plusplus

    rows = _principal(m)
    count = min(m.classes, len(rows))
    start, _ = kmeans_plusplus(rows, count, random_state=m.seed)
    x, start = (jnp.asarray(each, jnp.float32) for each in (rows, start))

    def arguments(model, key, x):
        return (x, model.extra), (x, model.extra)

    def scores(trained, m: Material) -> dict[str, float]:
        loss = lambda found: float(trained.cell((x, found), (x, found)))
        return {
            "loss": loss(trained.params["extra"]),
            "loss of k-means": loss(_k_means(rows, count, m)),
            "untrained loss": loss(start),
        }

    def scored(params):
        far = rows[:, None] - np.asarray(params["extra"])[None]
        return np.asarray(principal((far**2).sum(2)))

    return of_parameters(
        lambda key: start,
        dict(x=x),
        arguments,
        scored=scored,
        scores=scores,
        protocol="all rows",
        summary=f"{AXES} principal axes, centers from k-means++ seeds",
    )


def _k_means(x: np.ndarray, count: int, m: Material):
    from sklearn.cluster import KMeans

    kmeans: Any = KMeans(count, n_init=10, random_state=m.seed)  # pyright: ignore
    return jnp.asarray(kmeans.fit(x).cluster_centers_, jnp.float32)


# ------------------------------------------------------- sources


def mixed_sources(m: Material) -> Task:
    """Rows made white, and one model of their sources: as many as axes, 8 at most."""
    rows = unmixing.whitened(m.flat[m.train].astype(np.float64), AXES)
    x, start = jnp.asarray(rows, jnp.float32), jnp.eye(rows.shape[1])[None]
    known = m.also["sources"][m.train] if "sources" in m.also else None

    def arguments(model, key, x):
        return (x, model.extra), (x, model.extra)

    def scores(trained, m: Material) -> dict[str, float]:
        found = trained.params["extra"]
        if known is None:
            likely = lambda w: -float(trained.cell((x, w), (x, w)))
            names = {"log-likelihood": found, "untrained log-likelihood": start}
            return {name: likely(w) for name, w in names.items()}
        mixing = np.linalg.lstsq(known, rows, rcond=None)[0].T
        names = {
            "Amari error": found[0],
            "Amari error of FastICA": _by_fast_ica(rows, m.seed),
            "untrained Amari error": start[0],
        }
        return {name: evaluate.amari_error(w, mixing) for name, w in names.items()}

    return of_parameters(
        lambda key: start,
        dict(x=x),
        arguments,
        optimizer=lambda steps: of_extra(unmixing.relative(steps))(steps),
        scored=lambda params: rows @ np.asarray(params["extra"][0]).T,
        scores=scores,
        protocol="all rows",
        summary="rows made white, one matrix, along the relative gradient",
    )


def _by_fast_ica(x: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.decomposition import FastICA

    model: Any = FastICA(random_state=seed, whiten="unit-variance", max_iter=1000)
    return model.fit(x).components_
