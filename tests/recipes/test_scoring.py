"""Are the scores those of the rows that were held out, and is every result complete?"""

import numpy as np
import pytest

import icon
from icon import evaluate, recipes


TINY = recipes.QUICK._replace(points=120, steps=25, batches=4, annealing=25)
FIELDS = (
    *("name", "column", "row", "status", "p", "q", "loss", "reference", "z", "labels"),
    *("clusters", "scores", "protocol", "loss_value", "seconds", "note"),
)


@pytest.fixture(scope="module")
def digits():
    return recipes.material(icon.data.digits(), budget=TINY)


@pytest.fixture(scope="module")
def raw(digits):
    return recipes.ground(digits)


def test_a_map_is_scored_on_held_out_rows(digits, raw):
    trained = recipes.train(icon.TABLE["SupCon"], digits)
    scores = recipes.score(trained, digits, raw)
    z, train, test = trained.represented, digits.train, digits.test
    accuracy = lambda z: evaluate.knn_accuracy(z, digits.labels, k=10, train=train)
    probe = lambda z: evaluate.linear_probe(z, digits.labels, train=train)
    assert scores == {
        "10-NN": accuracy(z),
        "raw 10-NN": accuracy(digits.flat),
        "untrained 10-NN": accuracy(trained.untrained),
        "linear probe": probe(z),
        "raw linear probe": probe(digits.flat),
        "untrained linear probe": probe(trained.untrained),
    }
    shown = recipes.result(trained, digits, raw)
    assert tuple(shown) == FIELDS and shown["protocol"] == "held-out 30%"
    assert np.array_equal(shown["labels"], digits.labels[test])
    assert shown["z"].shape == (len(test), 2) and shown["clusters"] is None


def test_a_free_embedding_is_scored_by_leaving_one_out(digits, raw):
    trained = recipes.train(icon.TABLE["t-SNE"], digits)
    scores, z = recipes.score(trained, digits, raw), trained.embedding
    assert scores == {
        "10-NN": evaluate.knn_accuracy(z, digits.labels, k=10),
        "raw 10-NN": evaluate.knn_accuracy(digits.flat, digits.labels, k=10),
        "trustworthiness": evaluate.trustworthiness(digits.flat, z, k=12),
    }
    shown = recipes.result(trained, digits, raw)
    assert np.array_equal(shown["z"], z) and shown["protocol"] == "leave-one-out"
    assert shown["loss_value"] == pytest.approx(np.mean(trained.loss[-20:]))


def test_a_clustering_is_scored_by_its_most_likely_clusters(digits, raw):
    trained = recipes.train(icon.TABLE["k-means"], digits)
    found, truth = trained.embedding.argmax(1), digits.labels
    assert recipes.score(trained, digits, raw) == {
        "Hungarian": evaluate.hungarian_accuracy(truth, found),
        "raw Hungarian": evaluate.hungarian_accuracy(truth, raw.clusters),
        "NMI": evaluate.nmi(truth, found),
        "ARI": evaluate.ari(truth, found),
    }
    shown = recipes.result(trained, digits, raw)
    assert np.array_equal(shown["clusters"], found)
    assert np.array_equal(shown["z"], raw.picture) and shown["protocol"] == "all rows"


def test_unlabelled_data_are_trained_and_drawn_too():
    x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    m = recipes.material(icon.data.Dataset("noise", x, None, None), budget=TINY)
    raw = recipes.ground(m)
    shown = recipes.attempt(icon.TABLE["PCA"], m, raw)
    assert list(shown["scores"]) == ["trustworthiness"] and raw.near == {}
    assert shown["labels"] is None and shown["z"].shape == (18, 2)
    shown = recipes.attempt(icon.TABLE["k-means"], m, raw)
    assert list(shown["scores"]) == ["clusters used"]
    assert shown["scores"]["clusters used"] == len(np.unique(shown["clusters"]))


def test_a_refused_row_does_not_stop_the_others(digits, raw):
    broken = icon.Cell(
        "broken", lambda x: icon.uniform(x), icon.student_t, column="kNN"
    )
    shown = recipes.attempt(broken, digits, raw)
    assert tuple(shown) == FIELDS and shown["scores"] == {}
    assert shown["protocol"] == "refused" and shown["note"].startswith("index: ")


def test_a_picture_of_two_dimensions_is_itself_and_of_one_gets_a_second():
    z = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    assert np.array_equal(recipes.plane(z), z)
    line = recipes.plane(z[:, :1])
    assert np.array_equal(line, np.pad(z[:, :1], ((0, 0), (0, 1))))


def test_a_picture_of_more_dimensions_keeps_neighbors():
    centers = 20 * np.eye(5)[np.arange(60) % 3]
    z = centers + np.random.default_rng(0).normal(size=(60, 5))
    drawn = recipes.plane(z, 100)
    assert drawn.shape == (60, 2) and drawn.dtype == np.float32
    assert evaluate.knn_accuracy(drawn, np.arange(60) % 3, k=5) == 1
