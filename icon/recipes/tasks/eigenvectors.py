"""What is p built from where eigenvectors are the minimum, and no step is taken?"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from icon._base import checks as check
from icon._neighborhoods import Graph, graph, same
from icon.recipes.closed_form import orthonormal, spectral, whitened
from icon.recipes.material import Material
from icon.recipes.task import Task, ids_of, rows
from icon.recipes.tasks.points import NEAR, at_once, name_of, nearest, weights_of
from icon.recipes.tasks.views import HALVES, Second


PLANE = 2
STEPS = 3  # of a random walk, whose ends a diffusion map compares
KERNELS: dict[str, Callable] = {  # by the distance in units of their scale
    "gaussian": lambda distance: np.exp(-(distance**2) / 2),
    "laplace": lambda distance: np.exp(-distance),
    "student_t": lambda distance: 1 / (1 + distance**2),
}


def _solved(task: Task, *found, views=("z",)) -> Task:
    """The task with its minimiser, a map or an embedding for each view."""
    params = {
        name: jnp.asarray(x, jnp.float32) for name, x in zip(views, found, strict=True)
    }
    return task._replace(solution=lambda: params)


def _found(p, x=None, *, n_components: int, **how):
    """The minimiser; a refusal has the name that the number has here."""
    with check.renamed(components="n_components"):
        return spectral(p, x, components=n_components, **how)


def _itself(n: int):
    return same(np.arange(n), np.arange(n))


def _doubly_centered(gram):
    gram = gram - gram.mean(0)
    return gram - gram.mean(1)[:, None]


def _by_gram(m: Material, gram, n_components: int, summary: str) -> Task:
    """What comes nearest to inner products: columns √λ v of their eigenvectors."""
    from scipy.sparse.linalg import eigsh

    count = check.count("n_components", n_components, 1, len(gram) - 1)
    size = np.abs(gram).sum(1)
    several = "rows that are not all in one place"
    check.require(size.max() > 0, "data", "inner products that are 0", several)
    start = gram[0] if size[0] else gram[size.argmax()]
    value, vectors = eigsh(gram, count, which="LA", v0=start)
    task = at_once(m, jnp.asarray(gram, jnp.float32), summary=summary)
    # no column has an inner product with itself below 0
    return _solved(task, (vectors * np.sqrt(np.maximum(value, 0)))[:, ::-1])


# ------------------------------------------------------- inner products


def centered(m: Material, *, n_components: int = PLANE) -> Task:
    """Features less their mean.

    Args:
        n_components: columns of the embedding.
    """
    x = np.asarray(m.flat[m.train], np.float64)
    x = x - x.mean(0)
    found = _found(
        _itself(len(x)), x, n_components=n_components, constraint=orthonormal
    )
    task = at_once(m, jnp.asarray(x, jnp.float32), summary="features less their mean")
    return _solved(task, found.embedding)


def geodesics(
    m: Material, *, n_components: int = PLANE, n_neighbors: int = NEAR
) -> Task:
    """The Gram matrix of the lengths of the shortest paths along the graph.

    Args:
        n_components: columns of the embedding.
        n_neighbors: how many nearest rows.
    """
    import scipy.sparse as sp
    from scipy.sparse.csgraph import shortest_path

    index, distance = map(np.asarray, nearest(m, n_neighbors))
    n, k = index.shape
    start = np.arange(0, n * k + 1, k)
    # a stored 0 is an edge between two rows in one place
    edges = sp.csr_array((distance.ravel(), index.ravel(), start), shape=(n, n))
    path = shortest_path(edges, directed=False)
    path = np.minimum(path, path[np.isfinite(path)].max())  # between components
    summary = f"shortest paths along {n_neighbors} nearest rows"
    return _by_gram(m, _doubly_centered(-(path**2) / 2), n_components, summary)


def kernels(
    m: Material,
    *,
    n_components: int = PLANE,
    kernel: str = "gaussian",
    scale: float | None = None,
) -> Task:
    r"""Kernels as inner products.

    $$e^{-d^2 / 2\sigma^2}, \quad e^{-d / \sigma}, \quad 1 / (1 + d^2 / \sigma^2)$$

    Args:
        n_components: columns of the embedding.
        kernel: "gaussian", "laplace" or "student_t", in this order.
        scale: its width σ; by default the median distance divided by √2.
    """
    from scipy.spatial.distance import pdist, squareform

    of_distance = KERNELS[check.one_of("kernel", kernel, KERNELS)]
    distance = pdist(m.flat[m.train])
    if scale is None:
        scale = float(np.median(distance)) / 2**0.5
    width = check.scalar("scale", scale, 0, above=True)
    gram = of_distance(squareform(distance) / width)
    summary = f"{kernel} kernels of width {width:.3g}"
    return _by_gram(m, _doubly_centered(gram), n_components, summary)


# ------------------------------------------------------- graphs


def _weighed(m: Material, n_neighbors: int) -> tuple[Any, Graph, np.ndarray]:
    weights = weights_of(m, n_neighbors)
    return weights, graph(weights), np.asarray(weights.sum(1), np.float32)


def _under_degrees(m: Material, weights, degree, n_neighbors: int) -> Task:
    return at_once(
        m, weights, summary=f"{name_of(m, n_neighbors)}, whitened under the degrees",
        degree=jnp.asarray(degree),
    )  # fmt: skip


def with_degrees(
    m: Material, *, n_components: int = PLANE, n_neighbors: int = NEAR
) -> Task:
    """A graph; embeddings are whitened under its degrees.

    Args:
        n_components: columns of the embedding.
        n_neighbors: how many nearest rows, where the data have no graph.
    """
    weights, p, degree = _weighed(m, n_neighbors)
    found = _found(p, n_components=n_components, constraint=whitened, weight=degree)
    return _solved(_under_degrees(m, weights, degree, n_neighbors), found.embedding)


def rows_with_degrees(
    m: Material, *, n_components: int = PLANE, n_neighbors: int = NEAR
) -> Task:
    """The same of a linear map of the rows.

    Args:
        n_components: columns of the embedding.
        n_neighbors: how many nearest rows, where the data have no graph.
    """
    weights, p, degree = _weighed(m, n_neighbors)
    how: Any = dict(n_components=n_components, constraint=whitened, weight=degree)
    found = _found(p, m.flat[m.train], **how)
    return _solved(_under_degrees(m, weights, degree, n_neighbors), found.map)


def diffusion(
    m: Material,
    *,
    n_components: int = PLANE,
    n_neighbors: int = NEAR,
    time: int = STEPS,
) -> Task:
    r"""Where random walks of t steps end, from either of two rows.

    $$K_{ij} = \sum_k p^t_{ik} p^t_{jk} / \pi_k, \quad \pi \propto \text{degree}$$

    Its eigenvectors are those of the graph, times the t-th powers of its eigenvalues.

    Args:
        n_components: columns of the embedding.
        n_neighbors: how many nearest rows, where the data have no graph.
        time: steps of the random walks, t.
    """
    time = check.size("time", time)
    weights, p, degree = _weighed(m, n_neighbors)
    found = _found(p, n_components=n_components, constraint=whitened, weight=degree)
    walk = np.linalg.matrix_power(weights.toarray() / degree[:, None], time)
    gram = (walk * (degree.sum() / degree)) @ walk.T
    summary = f"random walks of {time} steps along {name_of(m, n_neighbors)}"
    task = at_once(
        m, jnp.asarray(gram, jnp.float32), jnp.asarray(degree), summary=summary,
        degree=jnp.asarray(degree),
    )  # fmt: skip
    return _solved(task, found.embedding * (-found.value / 2) ** time)


# ------------------------------------------------------- labels and time


def all_labels(m: Material) -> Task:
    """Rows of a label are neighbours; maps are whitened: Fisher's discriminant."""
    x, labels = m.flat[m.known], jnp.asarray(m.labels[m.known], jnp.int32)
    p = same(labels, labels)
    count = min(PLANE, m.classes - 1)
    found = spectral(p, x, components=count, constraint=_shrunken)

    def arguments(model, key, x):
        return (labels, labels), (model(x),)

    summary = "labels of all rows, a map that is whitened, shrunken by 1e-3"
    task = Task(dict(x=m.x[m.known]), arguments, size=None, summary=summary)
    return _solved(task, found.map)


def _shrunken(metrics):
    """Covariance 1 but for a thousandth: rows may have features that are constant."""
    covariance = metrics.covariance()
    return covariance + 1e-3 * np.trace(covariance) / len(covariance) * metrics.gram()


def order(m: Material, *, n_components: int = PLANE) -> Task:
    """Rows before and after another are its neighbours: maps are whitened and slow.

    Args:
        n_components: columns of the embedding.
    """
    import scipy.sparse as sp

    time = np.asarray(m.of("time", "a number a row [n]"))[m.train]
    at = np.argsort(time, kind="stable")
    pairs = np.ones(len(at) - 1, np.float32), (at[:-1], at[1:])
    after = sp.csr_array(pairs, shape=(len(at), len(at)))
    weights = after + after.T
    x = m.flat[m.train]
    found = _found(graph(weights), x, n_components=n_components, constraint=whitened)

    def scores(trained, m: Material) -> dict[str, float]:
        slow = x[at] @ np.asarray(trained.params["z"])
        return {"slowness": _slowness(slow), "raw slowness": _slowness(x[at])}

    summary = "the row before and the row after, a map that is whitened"
    task = at_once(m, weights, summary=summary)
    task = task._replace(scores=scores, protocol="all rows")
    return _solved(task, found.map)


def _slowness(y) -> float:
    """The mean squared step from row to row, of features of variance 1."""
    return float(np.mean(np.diff(y, axis=0) ** 2 / y.var(0)))


# ------------------------------------------------------- two modalities


def _two(m: Material, constraint) -> Task:
    """Either modality of each row, as `pairs` has them, by a linear map of each."""
    if "second" in m.also:
        see = dict(left=rows, right=Second(m.also["second"]))
    else:
        see = HALVES
    left, right = (np.asarray(part(m.x)).reshape(len(m.x), -1) for part in see.values())
    ids, both = ids_of(m.train), (left[m.train], right[m.train])
    found = spectral(same(ids, ids), both, components=PLANE, constraint=constraint)

    def arguments(model, key, one, two):
        return (ids, ids), (model(one, "left"), model(two, "right"))

    def scores(trained, m: Material) -> dict[str, float]:
        at, maps = m.test if len(m.test) else m.train, trained.params
        u = left[at] @ np.asarray(maps["left"])
        v = right[at] @ np.asarray(maps["right"])
        return {"correlation": _correlation(u, v)}

    arrays: Any = dict(zip(("one", "two"), both, strict=True))
    task = Task(arrays, arguments, see, size=None, scores=scores)
    return _solved(
        task._replace(protocol="held-out rows"), *found.map, views=("left", "right")
    )


def _correlation(u, v) -> float:
    """The mean of those of the columns with their counterparts."""
    pairs = zip(u.T, v.T, strict=True)
    return float(np.mean([abs(np.corrcoef(one, two)[0, 1]) for one, two in pairs]))


def covarying(m: Material) -> Task:
    task = _two(m, orthonormal)
    return task._replace(summary="two modalities, a map of orthonormal columns of each")


def correlated(m: Material) -> Task:
    task = _two(m, _shrunken)
    return task._replace(summary="two modalities, a map that is whitened of each")
