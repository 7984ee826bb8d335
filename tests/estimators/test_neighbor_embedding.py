"""Does any p meet any q, and are the points those that the functions lead to?"""

import functools as ft

import numpy as np
import pytest
from cases import slow
from family import quick
from few_rows import FAR, N, X

import icon
from icon.estimators import NeighborEmbedding


joint = ft.partial(icon.kl, joint=True)
FIVE = np.argsort(FAR + np.diag([np.inf] * N), 1)[:, :5]


def model(**options):
    return quick(NeighborEmbedding, **dict(max_iter=50) | options)


@pytest.mark.parametrize("n_components", [1, slow(3)])
@pytest.mark.parametrize(
    "q, loss",
    [
        slow(icon.gaussian, icon.kl),  # SNE's, which has tests of its own
        slow(icon.student_t, joint),
        (icon.laplace, icon.cross_entropy),
        slow(icon.student_t, icon.tv),
        (lambda z, old=None: icon.smooth(icon.student_t(z, old), 0.1), icon.kl),
    ],
)
def test_the_loss_is_that_of_the_functions_and_falls(q, loss, n_components):
    start = model(q=q, loss=loss, n_components=n_components, max_iter=0).fit(X)
    found = model(q=q, loss=loss, n_components=n_components).fit(X)
    assert found.embedding_.shape == (N, n_components)
    for each in (start, found):
        exact = float(loss(each.affinities_, q(each.embedding_)))
        # at the end it is that of the points before the last step
        np.testing.assert_allclose(each.divergence_, exact, rtol=0.02)
    assert found.divergence_ < start.divergence_
    assert found.transform(X[:3] + 0.1).shape == (3, n_components)


def test_q_may_be_of_angles_alone():
    start, found = (
        model(q=icon.cosine, n_components=3, max_iter=steps).fit(X) for steps in (0, 50)
    )
    assert found.divergence_ < start.divergence_
    exact = float(icon.kl(found.affinities_, icon.cosine(found.embedding_)))
    np.testing.assert_allclose(found.divergence_, exact, rtol=0.02)


def test_p_is_a_function_of_neighbors_or_of_rows_or_is_given():
    graph = icon.uniform(FIVE)
    expected = np.asarray(icon.dense(graph))

    def of_rows(x):
        return icon.uniform(icon.knn(x, 5)[0])

    for options in (
        dict(p=lambda index, distance: icon.uniform(index), n_neighbors=5),
        dict(p=of_rows, n_neighbors=None),
        dict(p=graph),
    ):
        found = model(max_iter=0, **options).fit(X)
        np.testing.assert_allclose(icon.dense(found.affinities_), expected)


def test_a_p_of_rows_sees_them_as_they_are():
    wide = ft.partial(icon.gaussian, scale=3.0)
    found = model(p=wide, n_neighbors=None, max_iter=50).fit(X)
    expected = icon.dense(wide(np.float32(X)))
    np.testing.assert_allclose(icon.dense(found.affinities_), expected, rtol=1e-4)
    start = model(p=wide, n_neighbors=None, max_iter=0).fit(X)
    assert found.divergence_ < start.divergence_


def test_a_cell_of_the_table_is_followed():
    cell = icon.TABLE["doubly t-SNE"]
    found = model(p=cell.p, q=cell.q, loss=cell.loss, n_neighbors=None).fit(X)
    exact = float(cell((np.float32(X),), (found.embedding_,)))
    np.testing.assert_allclose(found.divergence_, exact, rtol=0.05)


@pytest.mark.parametrize(
    "name, value",
    [
        ("p", 3),
        ("p", lambda: None),
        ("p", icon.uniform([[1], [0]])),
        ("p", lambda index, distance: 3),
        ("q", 3),
        ("q", lambda z: 3),
        ("q", lambda z: icon.student_t(z[:5])),
        ("loss", 3),
    ],
)
def test_what_is_no_choice_of_p_and_q_is_refused(name, value):
    with pytest.raises(icon.InvalidInput, match=f"^{name}: "):
        model(**{name: value}).fit(X)


def test_a_q_of_one_set_has_no_place_for_new_rows():
    found = model(q=lambda z: icon.student_t(z), max_iter=0).fit(X)
    with pytest.raises(icon.InvalidInput, match="^q: .*candidates"):
        found.transform(X + 0.1)


@pytest.mark.slow
def test_digits_keep_their_neighbors():
    from icon.evaluate import knn_accuracy

    x, y = icon.data.digits().features[:600], icon.data.digits().labels[:600]
    found = NeighborEmbedding(random_state=0).fit_transform(x)
    assert knn_accuracy(found, y) > 0.95
