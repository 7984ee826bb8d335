"""Is what comes with it what it is said to be?"""

import ast
import inspect
import random
import subprocess
import sys
import textwrap

import jax.random as jr
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from icon import data
from icon._base.checks import InvalidInput
from icon.data.text import standard_library, tokenized


def same(found, features, labels):
    np.testing.assert_array_equal(found.features, features)
    assert found.features.dtype == np.float32
    if labels is None:
        assert found.labels is None
    else:
        np.testing.assert_array_equal(found.labels, labels)
        assert found.labels.dtype == np.int32


def test_digits():
    found = data.digits()
    assert found.images.shape == (1797, 8, 8) and found.features.max() == 1
    same(found, found.images.reshape(1797, 64), found.labels)
    assert np.bincount(found.labels).min() == 174


def bundle(folder):
    n = {"train": 3, "test": 2}
    arrays = {f"{k}_image": np.full((n[k], 28, 28), n[k], np.uint8) for k in n}
    arrays |= {f"{k}_label": np.arange(n[k], dtype=np.uint8) for k in n}
    np.savez(folder / "mnist20k.npz", **arrays)


def test_mnist_reads_the_train_half_first(tmp_path, monkeypatch):
    bundle(tmp_path)
    monkeypatch.setenv("ICON_DATA", str(tmp_path))
    for found in data.mnist(), data.mnist(tmp_path):
        same(found, found.images.reshape(5, 784), [0, 1, 2, 0, 1])
        np.testing.assert_allclose(found.features[:, 0] * 255, [3, 3, 3, 2, 2])


def test_mnist_refusals(tmp_path, monkeypatch):
    monkeypatch.delenv("ICON_DATA", raising=False)
    for folder in None, "", tmp_path:
        with pytest.raises(InvalidInput, match="folder: .*ICON_DATA"):
            data.mnist(folder)
    np.savez(tmp_path / "mnist20k.npz", train_image=np.zeros((1, 28, 28)))
    with pytest.raises(InvalidInput, match="folder: .*test_image"):
        data.mnist(tmp_path)


# ------------------------------------------------------- sets from a folder


def test_mnist_and_banking_say_which_rows_train(tmp_path):
    bundle(tmp_path)
    assert data.mnist(tmp_path).also["train"].tolist() == [True] * 3 + [False] * 2
    names = np.array([f"intent {i}" for i in range(3)])
    arrays = dict(train_embedding=np.eye(3, 4), test_embedding=np.ones((2, 4)))
    arrays |= dict(train_label=np.array([2, 0, 1]), test_label=np.array([1, 1]))
    np.savez(tmp_path / "banking77_minilm.npz", **arrays, label_names=names)
    found = data.banking77(tmp_path)
    same(found, [*np.eye(3, 4), *np.ones((2, 4))], [2, 0, 1, 1, 1])
    assert found.classes == ("intent 0", "intent 1", "intent 2")
    assert found.also["train"].tolist() == [True] * 3 + [False] * 2


def test_glove(tmp_path):
    vectors = np.arange(12, dtype=np.float16).reshape(4, 3)
    arrays = dict(vector=vectors, word=np.array(["the", ",", "of", "a"]))
    np.savez(tmp_path / "glove100k.npz", **arrays)
    found = data.glove(tmp_path, 2)
    same(found, vectors[:2], None)
    assert found.words == ("the", ",")
    for count in 0, 5:
        with pytest.raises(InvalidInput, match="^count: "):
            data.glove(tmp_path, count)


@pytest.mark.parametrize("load", [data.banking77, data.glove])
def test_refuses_a_folder_without_the_file(tmp_path, monkeypatch, load):
    monkeypatch.delenv("ICON_DATA", raising=False)
    for folder in None, "", tmp_path:
        with pytest.raises(InvalidInput, match="folder: .*ICON_DATA"):
            load(folder)


# ------------------------------------------------------- sets that are computed


def test_mixed_sources():
    found = data.mixed_sources(5000, 3, 1)
    sources, rows = found.also["sources"], found.features
    np.testing.assert_allclose(np.cov(sources.T), np.eye(3), atol=0.1)
    assert np.mean(sources**4) > 5  # 6 of Laplace's, 3 of a normal distribution
    _, left, rank, _ = np.linalg.lstsq(sources, rows, rcond=None)
    assert left.max() < 1e-6 and rank == 3  # a matrix and nothing else
    np.testing.assert_array_equal(rows, data.mixed_sources(5000, 3, 1).features)


def test_two_moons():
    found = data.two_moons(50, seed=1)
    assert np.bincount(found.labels).tolist() == [25, 25]
    np.testing.assert_array_equal(found.features, data.two_moons(50, 1).features)
    assert (found.features != data.two_moons(50, 2).features).any()


def test_the_flat_swiss_roll_has_the_lengths_of_the_roll():
    found = data.swiss_roll(2000)
    assert np.bincount(found.labels).tolist() == [200] * 10
    along, flat = found.also["time"], found.also["second"]
    assert along.min() >= 0 and (np.diff(found.labels[np.argsort(along)]) >= 0).all()
    between = lambda x: np.linalg.norm(x[:, None] - x[None], axis=-1)
    rolled, laid = between(found.features), between(flat)
    near = (laid < 1) & (laid > 0)
    np.testing.assert_allclose(rolled[near], laid[near], rtol=0.03, atol=0.01)


@pytest.mark.parametrize(
    "call, argument",
    [
        (lambda: data.two_moons(1), "n"),
        (lambda: data.two_moons(9, -1), "seed"),
        (lambda: data.mixed_sources(1), "n"),
        (lambda: data.mixed_sources(9, 0), "d"),
        (lambda: data.mixed_sources(9, 2, -1), "seed"),
        (lambda: data.swiss_roll(9), "n"),
        (lambda: data.python_docs(words=0), "words"),
        (lambda: data.python_docs(length=0), "length"),
        (lambda: data.python_docs(limit=0), "limit"),
        (lambda: data.python_docs(limit=10), "limit"),
    ],
)
def test_calls_refuse(call, argument):
    with pytest.raises(InvalidInput) as caught:
        call()
    assert caught.value.argument == argument


@pytest.mark.slow
def test_mnist1d_is_the_generators_and_leaves_its_seeds():
    pytest.importorskip("mnist1d")
    np.random.seed(3)
    random.seed(3)
    expected = np.random.rand(), random.random()
    np.random.seed(3)
    random.seed(3)
    found = data.mnist1d()
    assert (np.random.rand(), random.random()) == expected
    train = found.also["train"]
    assert train[:4000].all() and not train[4000:].any() and len(train) == 5000
    assert np.bincount(found.labels).tolist() == [500] * 10
    assert found.features.std() == pytest.approx(1, abs=1e-3)
    x, y = found.features, found.labels
    near = KNeighborsClassifier(10).fit(x[train], y[train]).score(x[~train], y[~train])
    assert near == pytest.approx(0.596, abs=0.01)
    a, b = data.two_views(jr.key(0), x[:20], found.views)
    assert a.shape == (20, 40) and a.dtype == np.float32 and (a != b).any()


# ------------------------------------------------------- graphs and text


def test_karate():
    pytest.importorskip("networkx")
    found = data.karate()
    graph = found.also["graph"]
    assert graph.nnz == 2 * 78 and set(graph.data) == {1}
    assert found.features.shape == (34, 32)
    assert np.bincount(found.labels).tolist() == [17, 17] and found.labels[0] == 0
    inside = found.labels[:, None] == found.labels
    assert (graph.toarray()[inside]).sum() == 2 * (78 - 11)


def test_les_miserables():
    pytest.importorskip("networkx")
    found = data.les_miserables()
    graph = found.also["graph"]
    assert graph.shape == (77, 77) and graph.nnz == 2 * 254 and found.labels is None
    pair = [found.words.index(name) for name in ("Valjean", "Cosette")]
    assert graph.toarray()[*pair] == 31


def test_python_docs_are_rows_of_consecutive_words():
    found = data.python_docs(words=300, length=8, limit=60_000)
    tokens, text = found.also["tokens"], tokenized(standard_library(60_000))
    assert tokens.dtype == np.int32 and len(found.words) == 301
    assert tokens.shape == (len(text) // 8, 8) and tokens.max() == 300
    for token, word in zip(tokens.ravel(), text, strict=False):
        assert found.words[token] == word if token else word not in found.words
    often = [text.count(word) for word in found.words[1:]]
    assert (np.diff(often) <= 0).all()
    assert found.features.shape == (len(tokens), 256) and found.labels is None
    counts = (tokens[:, :, None] == np.arange(1, 257)).sum(1)
    np.testing.assert_allclose(found.features, np.log1p(counts), rtol=1e-6)


def test_a_token_is_a_word_or_a_run_of_one_sign():
    found = tokenized("Don't use_it2: ===!! \n --x")
    assert found == ["don", "'", "t", "use_it2", ":", "=", "!", "-", "x"]


@pytest.mark.slow
def test_the_text_is_long_and_has_docstrings():
    text = standard_library(2_000_000)
    assert len(text) > 1_000_000
    assert (ast.get_docstring(ast.parse(inspect.getsource(textwrap))) or "") in text
    assert (textwrap.indent.__doc__ or "")[:60] in text
    assert standard_library(1000) == text[:1000]


@pytest.mark.slow
def test_import_stays_light():
    heavy = {"sklearn", "flax", "networkx", "mnist1d", "matplotlib"}
    code = f"import sys, icon.data; print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
