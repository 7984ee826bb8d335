"""Is it the cell of UMAP, at its curve, and better than a plane?"""

import numpy as np
import pytest
from family import quick
from few_rows import X

import icon
from icon.estimators import UMAP
from icon.estimators.umap import curve
from icon.evaluate import knn_accuracy


@pytest.mark.parametrize(
    "min_dist, a, b",
    [(0.1, 1.5769434, 0.8950608), (0.5, 0.5830300, 1.3341671)],  # umap-learn 0.5
)
def test_the_curve_is_that_of_umap_learn(min_dist, a, b):
    found = curve(min_dist)
    np.testing.assert_allclose((found.a, found.b), (a, b), rtol=1e-3)
    z = np.float32([[0, 0], [1, 0], [0, 2]])
    s = found(z).score(0, slice(None))
    expected = -np.log1p(found.a * np.array([1, 2]) ** (2 * found.b))
    np.testing.assert_allclose(s[1:], expected, rtol=1e-5)


def test_the_graph_is_the_fuzzy_union(family):
    index, distance = icon.knn(np.float32(X), 15)
    expected = icon.symmetrize(icon.fuzzy(index, distance), icon.union)
    found = family(UMAP).affinities_
    np.testing.assert_allclose(icon.dense(found), icon.dense(expected), atol=1e-5)


def test_the_loss_over_all_pairs_falls(family):
    cell = icon.TABLE["UMAP"]
    start = quick(UMAP, max_iter=0).fit(X)
    losses = [
        float(cell((np.float32(X),), (model.embedding_,)))
        for model in (start, family(UMAP))
    ]
    assert losses[1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    "name, value",
    [("min_dist", -1), ("min_dist", 2.0), ("spread", 0), ("negatives", 0)],
)
def test_a_setting_is_refused_by_name(name, value):
    with pytest.raises(icon.InvalidInput, match=f"^{name}: "):
        quick(UMAP, **{name: value}).fit(X)


@pytest.mark.slow
def test_digits_keep_neighbors_that_the_plane_loses():
    x, y = icon.data.digits().features, icon.data.digits().labels
    model = UMAP(random_state=0).fit(x[:600])
    assert knn_accuracy(model.embedding_, y[:600]) > 0.95
    distance = np.linalg.norm(
        model.transform(x[600:800])[:, None] - model.embedding_[None], axis=-1
    )
    assert (y[:600][distance.argmin(1)] == y[600:800]).mean() > 0.85
