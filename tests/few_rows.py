"""Which rows are laid out in the tests of estimators, and how quickly?"""

import numpy as np
from scipy.spatial.distance import cdist

import icon
from icon._neighborhoods import to_sparse
from icon.estimators import TSNE
from icon.recipes import layout


N = 60
X = np.random.default_rng(0).normal(size=(N, 5)) * [9, 4, 2, 1, 1]
FAR = np.linalg.norm(X[:, None] - X[None], axis=-1)
START = np.random.default_rng(1).normal(size=(N, 2))
LINES = layout.principal(np.float32(X), 2, np.random.default_rng(0))


def model(**options):
    quick = dict(perplexity=8, max_iter=100, early_exaggeration_iter=50)
    return TSNE(**quick | dict(random_state=0) | options)


def dense(tsne):
    """The affinities of a fitted model as a matrix."""
    return to_sparse(tsne.affinities_).toarray()


def exact(x):
    """The same from all distances in double precision."""
    far = cdist(x, x)
    np.fill_diagonal(far, np.inf)
    index = np.argsort(far, 1)[:, :24]
    distance = np.take_along_axis(far, index, 1)
    distance = np.float32(distance / distance.max(1, keepdims=True))  # per row: no unit
    return to_sparse(
        icon.symmetrize(icon.entropic(index, distance, perplexity=8))
    ).toarray()


def exact_kl(tsne):
    """The divergence of a fitted model, summed over all pairs in double precision."""
    p, z = dense(tsne).astype(float), tsne.embedding_.astype(float)
    q = (1 + cdist(z, z, "sqeuclidean") / tsne.dof) ** (-(tsne.dof + 1) / 2)
    np.fill_diagonal(q, 0)
    p, q = p / p.sum(), q / q.sum()
    return np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0]))


def close(one, two, share):
    """Whether two layouts differ by less than a share of their span."""
    return np.abs(one - two).max() < share * np.ptp(two, 0).max()


def put(value, x=X):
    return np.where(np.arange(x.size).reshape(x.shape) == 17, value, x)
