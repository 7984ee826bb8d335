"""Is it the cell of t-SNE by a network, and better than a plane?"""

import numpy as np
import pytest
from family import quick
from few_rows import N, X, dense
from scipy.spatial.distance import cdist

import icon
from icon.estimators import TSNE, ParametricTSNE
from icon.evaluate import knn_accuracy


def exact_kl(p, z, dof=1.0):
    q = (1 + cdist(z, z, "sqeuclidean") / dof) ** (-(dof + 1) / 2)
    np.fill_diagonal(q, 0)
    p, q = p / p.sum(), q / q.sum()
    return np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0]))


def test_the_affinities_are_those_of_tsne(family):
    p = dense(family(ParametricTSNE))
    np.testing.assert_allclose(p, dense(family(TSNE)), atol=1e-6)


@pytest.mark.parametrize("dof", [1.0, 3.0])
def test_the_loss_of_a_batch_of_all_rows_is_the_divergence(dof):
    model = quick(ParametricTSNE, dof=dof, max_iter=100).fit(X)
    exact = exact_kl(dense(model), model.embedding_.astype(float), dof)
    np.testing.assert_allclose(model.loss_[-1], exact, rtol=0.02)
    assert model.loss_[-1] < 0.5 * model.loss_[0]


def test_batches_are_of_some_rows():
    model = quick(ParametricTSNE, batch_size=20, max_iter=30).fit(X)
    assert model.n_iter_ == 30 and np.isfinite(model.loss_).all()
    assert model.embedding_.shape == (N, 2)


@pytest.mark.slow
def test_new_digits_keep_neighbors_that_the_plane_loses():
    x, y = icon.data.digits().features, icon.data.digits().labels
    model = ParametricTSNE(random_state=0).fit(x[:1000])
    assert knn_accuracy(model.embedding_, y[:1000]) > 0.95
    assert knn_accuracy(model.transform(x[1000:]), y[1000:]) > 0.8
