"""Is it the cell of SNE, and better than a plane?"""

import numpy as np
import pytest
from family import quick
from few_rows import N, X
from scipy.spatial.distance import cdist

import icon
from icon.estimators import SNE
from icon.evaluate import knn_accuracy


def exact_kl(p, z):
    """The mean divergence of a row, over all pairs in double precision."""
    s = -cdist(z.astype(float), z.astype(float), "sqeuclidean")
    np.fill_diagonal(s, -np.inf)
    log_q = s - np.log(np.exp(s).sum(1, keepdims=True))
    some = p > 0
    return np.sum(p[some] * (np.log(p[some]) - log_q[some])) / N


def test_the_divergence_is_that_of_all_pairs(family):
    p = np.asarray(icon.dense(family(SNE).affinities_), float)
    assert family(SNE).perplexity_ == 8
    exact = exact_kl(p, family(SNE).embedding_)
    np.testing.assert_allclose(family(SNE).kl_divergence_, exact, rtol=1e-3)
    start = quick(SNE, max_iter=0).fit(X)
    np.testing.assert_allclose(
        start.kl_divergence_, exact_kl(p, start.embedding_), rtol=1e-4
    )
    assert exact < 0.5 * start.kl_divergence_


def test_the_affinities_are_those_of_the_table(family):
    cell = icon.TABLE["SNE"]
    expected = cell.p(np.float32(X), 24, 8.0)
    found = icon.dense(family(SNE).affinities_)
    np.testing.assert_allclose(found, icon.dense(expected), atol=1e-4)


def test_a_perplexity_is_lowered_once():
    with pytest.warns(UserWarning, match="perplexity 30 is too large") as caught:
        found = SNE(max_iter=0).fit(X)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert found.perplexity_ == pytest.approx((N - 1) / 3)


@pytest.mark.slow
def test_digits_keep_neighbors_that_the_plane_loses():
    x, y = icon.data.digits().features[:600], icon.data.digits().labels[:600]
    model = SNE(random_state=0).fit(x)
    assert knn_accuracy(model.embedding_, y) > 0.9
    plane = SNE(max_iter=0, random_state=0).fit_transform(x)
    assert knn_accuracy(plane, y) < 0.75
