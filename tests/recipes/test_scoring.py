"""Are the scores those of the rows that were held out, and is every result complete?"""

import jax
import numpy as np
import pytest
from cases import slow

import icon
from icon import evaluate, recipes
from icon.recipes.scoring import SOFTNESS


TINY = recipes.QUICK._replace(points=120, steps=25, batches=4, annealing=25)
FIELDS = (
    *("name", "column", "row", "status", "p", "q", "loss", "reference", "z", "labels"),
    *("clusters", "scores", "protocol", "loss_value", "seconds", "note", "learned"),
    *("trained", "n", "seed"),
)


@pytest.fixture(scope="module")
def digits():
    return recipes.material(icon.data.digits(), budget=TINY)


@pytest.fixture(scope="module")
def raw(digits):
    return recipes.Ground(digits)


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
    assert tuple(shown) == FIELDS and shown["protocol"] == "held-out rows"
    assert shown["n"] == 120 and shown["seed"] == 0 and shown["learned"] == {}
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
    scores = recipes.score(trained, digits, raw)
    cell, x = icon.TABLE["k-means"], digits.flat
    hard = np.eye(10, dtype=np.float32)[raw.clusters]
    soft = [np.float32((1 - s) * hard + s / 10) for s in SOFTNESS]
    assert scores == {
        "Hungarian": evaluate.hungarian_accuracy(truth, found),
        "raw Hungarian": evaluate.hungarian_accuracy(truth, raw.clusters),
        "NMI": evaluate.nmi(truth, found),
        "ARI": evaluate.ari(truth, found),
        "loss": pytest.approx(float(cell((x,), (trained.embedding,))), rel=1e-5),
        "loss of k-means": pytest.approx(
            min(float(cell((x,), (phi,))) for phi in soft), rel=1e-5
        ),
    }
    shown = recipes.result(trained, digits, raw)
    assert np.array_equal(shown["clusters"], found)
    assert np.array_equal(shown["z"], raw.picture) and shown["protocol"] == "all rows"


@pytest.mark.slow
def test_unlabelled_data_are_trained_and_drawn_too():
    x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    bench = recipes.Bench(icon.data.Dataset("noise", x, None, None), TINY)
    assert recipes.Ground(bench.material(icon.TABLE["PCA"], 0)).near == {}
    shown = bench.attempt(icon.TABLE["PCA"], range(1))
    assert list(shown["scores"]) == ["trustworthiness"]
    assert shown["labels"] is None and shown["z"].shape == (18, 2)
    shown = bench.attempt(icon.TABLE["k-means"], range(1))
    assert list(shown["scores"]) == ["clusters used"]
    assert shown["scores"]["clusters used"] == len(np.unique(shown["clusters"]))


def test_a_refused_row_does_not_stop_the_others():
    broken = icon.Cell(
        "broken", lambda x: icon.uniform(x), icon.student_t, column="kNN"
    )
    shown = recipes.Bench("digits", TINY).attempt(broken, range(1))
    assert {*shown} == {*FIELDS, "failed"} - {"n", "seed"} and shown["scores"] == {}
    assert shown["protocol"] == "failed" and shown["failed"]
    assert shown["note"].startswith("InvalidInput: index: ")


def retrieved(u, v):
    """How often the nearest of the other set, by the cosine, is the same row."""
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    s = unit(u) @ unit(v).T
    return [np.mean(x.argmax(1) == np.arange(len(x))) for x in (s, s.T)]


@pytest.mark.slow
@pytest.mark.parametrize("weight", [slow(None), 0.5])
def test_two_modalities_are_scored_by_retrieval_of_held_out_rows(digits, raw, weight):
    """Of a sum too, by the q of its first cell."""
    clip = icon.TABLE["CLIP"]
    cell = clip if weight is None else weight * clip + icon.TABLE["t-CLIP"]
    trained = recipes.train(cell, digits)
    u = np.random.default_rng(0).normal(size=(120, 128))
    v = u + 5 * np.random.default_rng(1).normal(size=(120, 128))
    trained = trained._replace(embedding=np.float32(np.concatenate([u, v], 1)))
    there, back = retrieved(*np.split(trained.embedding[digits.test], 2, 1))
    assert 0.2 < min(there, back) and there != back
    assert recipes.score(trained, digits, raw) == {
        "R@1": pytest.approx((there + back) / 2),
        "R@1 there": pytest.approx(there),
        "R@1 back": pytest.approx(back),
        "raw R@1": 1 / len(digits.test),
    }
    assert {*trained.learned} == {"temperature"}


def test_a_metric_of_ones_own_comes_first(digits, raw):
    trained = recipes.train(icon.TABLE["PCA"], digits)

    def spread(z, m):
        return np.std(z[m.test])

    found = recipes.score(trained, digits, raw, spread)
    z = trained.represented, trained.untrained
    assert [*found][:2] == ["spread", "untrained spread"]
    assert [*found.values()][:2] == [np.std(each[digits.test]) for each in z]
    two = lambda z, m: {"one": 1, "two": jax.numpy.float32(2)}
    found = recipes.score(trained, digits, raw, two)
    assert [*found.items()][:2] == [("one", 1), ("two", 2)]
    with pytest.raises(icon.InvalidInput) as error:
        recipes.score(trained, digits, raw, lambda z, m: "good")
    assert error.value.argument == "metric"


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
