"""Are both matrices drawn on one scale, their rows by label?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pictures import picture

import icon
from icon import plot
from icon._base.checks import InvalidInput


X = jnp.asarray(np.random.default_rng(0).normal(size=(12, 3)))
LABELS = np.array(["b", "a", "c"])[np.arange(12) % 3]
ORDER = [*range(1, 12, 3), *range(0, 12, 3), *range(2, 12, 3)]
P, Q = icon.same(np.arange(12) % 3), icon.gaussian(X)


def gaussian(x):
    """The probabilities of a Gaussian of width 1 around each row, in NumPy."""
    x = np.asarray(x, np.float64)
    score = -((x[:, None] - x) ** 2).sum(-1) / 2
    np.fill_diagonal(score, -np.inf)
    return np.exp(score) / np.exp(score).sum(1, keepdims=True)


def images(figure):
    return [ax.images[0] for ax in figure.axes[:2]]


def test_the_rows_and_the_columns_are_in_the_order_of_the_labels():
    figure = plot.neighborhoods(P, Q, LABELS)
    p, q = (np.asarray(image.get_array()) for image in images(figure))
    np.testing.assert_allclose(q, gaussian(X)[np.ix_(ORDER, ORDER)], atol=1e-6)
    block = (1 - np.eye(4)) / 3
    np.testing.assert_allclose(p, np.kron(np.eye(3), block), atol=1e-6)
    ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert ticks == ["a", "b", "c"]
    picture(figure)


def test_both_are_on_one_scale():
    for pair in ((P, Q), (Q, P)):
        p, q = images(plot.neighborhoods(*pair))
        most = max(x.get_array().max() for x in (p, q))
        assert p.get_clim() == q.get_clim() == (0, most)


def test_without_labels_the_rows_are_as_they_are():
    p, q = images(plot.neighborhoods(P, Q))
    np.testing.assert_allclose(q.get_array(), gaussian(X), atol=1e-6)
    np.testing.assert_allclose(p.get_array(), icon.dense(P))


def test_rows_are_ordered_by_numbers_too():
    age = np.asarray(X[:, 0])
    order = np.argsort(age)
    _, q = images(plot.neighborhoods(P, Q, age))
    np.testing.assert_allclose(
        q.get_array(), gaussian(X)[np.ix_(order, order)], atol=1e-6
    )


def test_fewer_candidates_stay_in_their_order():
    p, q = icon.gaussian(X, X[:5]), icon.cosine(X, X[:5])
    figure = plot.neighborhoods(p, q, LABELS)
    shown = images(figure)[1].get_array()
    np.testing.assert_allclose(shown, np.asarray(icon.dense(q))[ORDER], atol=1e-6)
    assert figure.axes[0].get_xlabel() == "5 candidates"


MANY = jnp.ones((2001, 1))


@pytest.mark.parametrize(
    "p, q, labels, argument, got",
    [
        (P, icon.gaussian(X[:4]), None, "q", "(12, 12), as p has, got shape (4, 4)"),
        (icon.gaussian(MANY), Q, None, "p", "a sample of the rows"),
        (P, icon.gaussian(X, MANY @ jnp.ones((1, 3))), None, "q", "(12, 2001)"),
        (P, Q, LABELS[:3], "labels", "(3,)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(p, q, labels, argument, got):
    with pytest.raises(InvalidInput) as refusal:
        plot.neighborhoods(p, q, labels)
    assert refusal.value.argument == argument and got in str(refusal.value)


def test_a_continuum_has_no_candidates_to_draw():
    cloud = icon.normal(X, jnp.ones_like(X), jax.random.key(0))
    with pytest.raises(InvalidInput, match="candidates to list, got a continuum"):
        plot.neighborhoods(cloud, cloud)
