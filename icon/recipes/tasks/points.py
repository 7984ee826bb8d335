"""What is p built from where every point is placed at once?"""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from icon._base import checks as check
from icon._neighborhoods import fuzzy
from icon._search import knn, symmetrize, union
from icon.recipes.material import Material
from icon.recipes.task import Task, ids_of


NEAR, STRANGERS = 15, 5


def at_once(m: Material, *evidence, summary: str, start=None, **others) -> Task:
    """p of this evidence, q of the embedding of the training rows and these arrays."""

    def arguments(model, key, x, **others):
        return evidence, (model(x), *others.values())

    x = jnp.asarray(m.x[m.train])
    return Task(dict(x=x, **others), arguments, size=None, start=start, summary=summary)


def features(m: Material) -> Task:
    return at_once(m, jnp.asarray(m.flat[m.train]), summary="features as they are")


def neighborhoods(m: Material, *, perplexity: float = 30.0) -> Task:
    """Features, with a perplexity, or as much of it as they allow.

    Args:
        perplexity: how many neighbours count, about.
    """
    n = len(m.train)
    perplexity = min(check.scalar("perplexity", perplexity, 1), (n - 1) / 3)
    near = min(n - 1, math.ceil(3 * perplexity))
    summary = f"perplexity {perplexity:g} among the {near} nearest"
    return at_once(m, jnp.asarray(m.flat[m.train]), near, perplexity, summary=summary)


def items(m: Material) -> Task:
    ids = ids_of(m.train)
    return at_once(m, ids, ids, summary="each row its own neighbour")


# ------------------------------------------------------- graphs


def nearest(m: Material, n_neighbors: int) -> tuple[jax.Array, jax.Array]:
    """The nearest rows of each, and how far they are: as many as there can be."""
    x, k = m.flat[m.train], check.size("n_neighbors", n_neighbors)
    return knn(x, min(k, len(x) - 1))


def weights_of(m: Material, n_neighbors: int = NEAR):
    """The graph of the data; else 1 where either of two rows is near the other."""
    import scipy.sparse as sp

    if "graph" in m.also:
        return m.also["graph"][m.train][:, m.train].astype(np.float32)
    index = np.asarray(nearest(m, n_neighbors)[0])
    n, k = index.shape
    start = np.arange(0, n * k + 1, k, dtype=np.int32)
    ones = np.ones(n * k, np.float32)
    one = sp.csr_array((ones, index.ravel(), start), shape=(n, n))
    return one.maximum(one.T)


def name_of(m: Material, n_neighbors: int = NEAR) -> str:
    given = "graph" in m.also
    return "the graph of the data" if given else f"its {n_neighbors} nearest rows"


def _spectral(weights, m: Material, drop_first: bool = False, count: int | None = None):
    """The first eigenvectors of the graph's normalised Laplacian, of variance 1."""
    import warnings

    from sklearn.manifold import spectral_embedding

    count = min(m.classes if count is None else count, weights.shape[0] - 2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Graph is not fully connected")
        vectors = spectral_embedding(
            weights, n_components=count, drop_first=drop_first, random_state=m.seed
        )
    return np.asarray(vectors / vectors.std(), np.float32)


def adjacency(m: Material, *, n_neighbors: int = NEAR) -> Task:
    """A graph of the rows.

    Args:
        n_neighbors: how many nearest rows, where the data have no graph.
    """
    weights, summary = weights_of(m, n_neighbors), name_of(m, n_neighbors)
    return at_once(m, weights, start=_spectral(weights, m), summary=summary)


def over_degrees(m: Material, *, n_neighbors: int = NEAR) -> Task:
    """A graph of the rows, divided by the degrees of the candidates.

    Args:
        n_neighbors: how many nearest rows, where the data have no graph.
    """
    weights, summary = weights_of(m, n_neighbors), name_of(m, n_neighbors)
    degree = weights.sum(1)
    matrix = jnp.asarray(weights.toarray() / degree[None])
    start = _spectral(weights, m)
    degree = jnp.asarray(degree)
    return at_once(m, matrix, start=start, degree=degree, summary=summary)


def spectral_features(m: Material, *, n_neighbors: int = NEAR) -> Task:
    """The first eigenvectors of a graph of the rows, as many as there are classes.

    Args:
        n_neighbors: how many nearest rows, where the data have no graph.
    """
    vectors = _spectral(weights_of(m, n_neighbors), m)
    summary = f"eigenvectors of {name_of(m, n_neighbors)}"
    return at_once(m, jnp.asarray(vectors), start=vectors, summary=summary)


# ------------------------------------------------------- sampled edges


def _listed(m: Material, near, summary: str, weight=None) -> Task:
    """Of every point one of those near it, and five other points."""
    x = m.x[m.train]

    def arguments(model, key, row):
        n = len(near)
        one, two = jr.split(key)
        if weight is None:
            pick = jr.randint(one, (n, 1), 0, near.shape[1])
        else:
            pick = jr.categorical(one, weight, axis=1)[:, None]
        others = jr.randint(two, (n, STRANGERS), 1, n) + jnp.arange(n)[:, None]
        first = jnp.take_along_axis(near, pick, 1)
        index = jnp.concatenate([first, (others % n).astype(jnp.int32)], 1)
        return (index,), (model(x), index)

    return Task(dict(row=np.arange(len(x))), arguments, size=len(x), summary=summary)


def edges_and_strangers(m: Material, *, n_neighbors: int = NEAR) -> Task:
    """Of every point one of its nearest neighbours, and five other points.

    Args:
        n_neighbors: how many nearest rows.
    """
    near = jnp.asarray(nearest(m, n_neighbors)[0])
    summary = f"one of {n_neighbors} nearest rows, {STRANGERS} others, a step"
    return _listed(m, near, summary)


def edges_by_membership(m: Material, *, n_neighbors: int = NEAR) -> Task:
    """The same, the edge of a point drawn by the weights of UMAP's fuzzy union.

    Args:
        n_neighbors: how many nearest rows.
    """
    graph = symmetrize(fuzzy(*nearest(m, n_neighbors)), union)
    near, weight = jax.vmap(graph.support)(ids_of(m.train))
    among = f"among {n_neighbors} nearest, {STRANGERS} others"
    summary = f"an edge drawn by its weight {among}"
    return _listed(m, near, summary, jnp.log(weight))
