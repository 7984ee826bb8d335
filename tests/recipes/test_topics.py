"""Are multiplicative steps EM, never up, and do they end where scikit-learn does?"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse as sp
from cases import soon
from interpreter import interpret
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

import icon
from icon.recipes import topics


RNG = np.random.default_rng(2)
KEY = jax.random.key(0)


def digits():
    """Pixels from 0 to 16 of some digits, as counts."""
    return np.round(icon.data.digits().features[:300] * 16)


def words():
    """How often each of 300 words is in pages of 256, of Python's documentation."""
    read = icon.data.python_docs(words=300, length=256, limit=400_000)
    return icon.data.word_counts(read.also["tokens"], 301)[:, 1:]


DATA = {"digits": digits, "words": words}


def loss(found, p, mass):
    return icon.kl(p, icon.clusters(*found), weight=mass)


def started(counts, count):
    p, mass = icon.graph(counts), jnp.asarray(counts.sum(1))
    return topics.random_topics(KEY, *counts.shape, count), (p, mass)


def textbook(counts, start):
    """One step of EM, by the posterior of every topic in every cell of the table."""
    of_rows, of_columns = (np.asarray(x, float) for x in start)
    joint = of_rows[:, None] * of_columns[None]
    posterior = joint / joint.sum(2, keepdims=True)
    expected = counts[:, :, None] * posterior
    rows, columns = expected.sum(1), expected.sum(0)
    return rows / rows.sum(1, keepdims=True), columns / columns.sum(0)


@pytest.mark.parametrize("joint", [False, True])
def test_a_step_is_ems(joint, x64):
    counts = RNG.integers(0, 5, (7, 5)) + np.eye(7, 5)
    start, (p, mass) = started(counts, 3)
    start = jax.tree.map(lambda x: x.astype(float), start)
    start = topics.Topics(
        *(x / x.sum(axis, keepdims=True) for x, axis in zip(start, (1, 0), strict=True))
    )
    along = lambda found: icon.kl(p, icon.clusters(*found), joint=True)
    ask = along if joint else lambda found: loss(found, p, mass)
    gradient = interpret(jax.grad(ask), start)
    by = topics.em()
    step, _ = by.update(gradient, by.init(start), start)
    found = optax.apply_updates(start, step)
    for got, expected in zip(found, textbook(counts, start), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9)


def peer(counts, start, steps):
    """What the multiplicative updates of scikit-learn leave, by the count."""
    of_rows, of_columns = (np.asarray(x, np.float64) for x in start)
    mass, total = counts.sum(1, keepdims=True), counts.sum()
    model = NMF(
        of_rows.shape[1],
        init="custom",
        beta_loss="kullback-leibler",
        solver="mu",
        max_iter=steps,
        tol=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        w = np.ascontiguousarray(mass * of_rows)
        model.fit(counts.astype(np.float64), W=w, H=np.ascontiguousarray(of_columns.T))
    return model.reconstruction_err_**2 / 2 / total


@pytest.mark.parametrize("name", soon(DATA, "words"))
def test_the_loss_never_rises_and_ends_where_scikit_learns_does(name):
    counts = DATA[name]()
    counts = counts[counts.sum(1) > 0]
    start, args = started(counts, 8)
    found, history = icon.minimize(loss, start, topics.em(), 60, args=args)
    assert np.diff(history.loss).max() <= 1e-6  # the rounding of a float32
    reached = float(loss(found, *args))
    assert reached <= 1.01 * peer(counts, start, 60)
    assert reached < 0.7 * history.loss[0]
    np.testing.assert_allclose(found.of_rows.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(found.of_columns.sum(0), 1, rtol=1e-5)


def test_topics_that_made_the_counts_are_found(x64):
    """Of two topics without a common word, whole."""
    truth = np.kron(np.eye(2), np.ones((1, 3)) / 3)
    counts = sp.csr_array(RNG.dirichlet([0.5, 0.5], 20).round(2) @ truth * 300)
    start, args = started(counts, 2)
    found, history = icon.minimize(loss, start, topics.em(), 300, args=args)
    assert history.loss[-1] < 1e-6
    words = np.asarray(found.of_columns).T
    words = words[np.argsort(-words[:, 0])]
    np.testing.assert_allclose(words, truth, atol=1e-3)


def test_a_row_without_a_count_keeps_its_topics_and_changes_no_other(x64):
    counts = RNG.integers(1, 5, (6, 4)).astype(float)
    with_none = np.vstack([counts, np.zeros((1, 4))])
    start, args = started(with_none, 2)
    found, _ = icon.minimize(loss, start, topics.em(), 5, args=args)
    np.testing.assert_allclose(found.of_rows[-1], start.of_rows[-1], rtol=1e-6)
    few = topics.Topics(start.of_rows[:-1], start.of_columns)
    p, mass = icon.graph(counts), jnp.asarray(counts.sum(1))
    alone, _ = icon.minimize(loss, few, topics.em(), 5, args=(p, mass))
    np.testing.assert_allclose(found.of_rows[:-1], alone.of_rows, rtol=1e-6)
    np.testing.assert_allclose(found.of_columns, alone.of_columns, rtol=1e-6)
