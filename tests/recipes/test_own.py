"""Do cells, models, views and metrics of one's own train on data of every kind?"""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.sparse as sp
from cases import slow, soon
from flax import nnx

import icon
from icon import recipes


CLASS = np.arange(90) % 3
SHORT = dict(points=90, steps=10)


def random():
    return np.random.default_rng(0)


def blobs(d=6, spread=4.0):
    noise = random().normal(size=(90, d))
    return (noise + spread * np.eye(3, d)[CLASS]).astype(np.float32)


def dataset(**also):
    return icon.data.Dataset("own", blobs(), CLASS.astype(np.int32), None, also)


def colour_images():
    """Squares of a class's colour at places of their own."""
    rng = random()
    images = rng.uniform(0, 0.2, (90, 12, 12, 3))
    for image, c in zip(images, CLASS, strict=True):
        y, x = rng.integers(0, 7, 2)
        image[y : y + 5, x : x + 5, c] = 1
    images = images.astype(np.float32)
    return icon.data.Dataset("squares", images.reshape(90, -1), CLASS, images)


def a_graph():
    """Three communities."""
    odds = np.where(CLASS[:, None] == CLASS[None], 0.4, 0.02)
    upper = np.triu(random().random((90, 90)) < odds, 1)
    return sp.csr_array((upper | upper.T).astype(np.float32))


def text():
    """Sentences of 12 words, of which each class has eight of its own."""
    rng = random()
    own = 8 * CLASS[:, None] + rng.integers(0, 8, (90, 12))
    common = rng.integers(24, 30, (90, 12))
    return np.where(rng.random((90, 12)) < 0.7, own, common).astype(np.int32)


def near_in_time(x):
    return icon.gaussian(x, scale=0.2)


def overlap(tags):
    """The more tags two rows share, the nearer they are."""
    return icon.reweigh(icon.dot(tags, temperature=0.5), jnp.ones(len(tags)))


def levels(labels):
    """Alike in the class, and less so in its group."""
    both = icon.same(labels[:, 0]), icon.same(labels[:, 1])
    return icon.mix(*both, weights=[0.3, 0.7])


def known_or_near(near, label):
    return icon.mix(near, icon.same(label, ignore=-1), weights=[0.5, 0.5])


def of_counts(counts):
    return icon.scores(jnp.log(counts + 1e-9))


CELLS = {
    "times": (
        icon.Cell("slow", near_in_time, icon.cosine, learns_from="times"),
        lambda: dataset(time=CLASS + random().random(90)),
    ),
    "tags": (
        icon.Cell("tags", overlap, icon.cosine, learns_from="tags"),
        lambda: dataset(tags=np.eye(3, dtype=np.int32)[CLASS]),
    ),
    "hierarchy": (
        icon.Cell("levels", levels, icon.cosine, learns_from="hierarchy"),
        lambda: dataset(hierarchy=np.stack([CLASS // 2, CLASS], 1)),
    ),
    "nodes": (
        icon.Cell("nodes", lambda near: near, icon.cosine, learns_from="nodes"),
        lambda: dataset(graph=a_graph()),
    ),
    "graph": (
        icon.Cell("free", icon.graph, icon.student_t, icon.kl, "graph"),
        lambda: dataset(graph=a_graph()),
    ),
    "counts": (
        icon.Cell("users", of_counts, icon.dot, icon.kl, "counts"),
        lambda: dataset(counts=random().poisson(blobs(9).clip(0))),
    ),
    "logits": (
        icon.Cell("student", icon.scores, icon.scores, learns_from="logits"),
        lambda: dataset(logits=4 * np.eye(3, dtype=np.float32)[CLASS]),
    ),
    "pairs": (
        icon.Cell("pairs", icon.same, icon.cosine, icon.both_ways(icon.kl), "pairs"),
        lambda: dataset(second=blobs(4)),
    ),
    "words": (
        icon.Cell("words", icon.same, icon.dot, learns_from="words"),
        lambda: dataset(tokens=text()),
    ),
    "masked words": (
        icon.Cell("hidden", icon.same, icon.dot, learns_from="masked words"),
        lambda: dataset(tokens=text()),
    ),
    "labels and neighbors": (
        icon.Cell(
            "few labels",
            known_or_near,
            icon.cosine,
            learns_from="labels and neighbors",
        ),
        lambda: dataset()._replace(
            labels=np.where(np.arange(90) % 5, -1, CLASS).astype(np.int32)
        ),
    ),
    "views": (
        icon.Cell("colours", icon.same, icon.cosine, column="Positive pairs"),
        colour_images,
    ),
}


@pytest.mark.parametrize("kind", soon(CELLS, "counts"))
def test_a_cell_of_ones_own_learns_from_data_of_every_kind(kind):
    cell, make = CELLS[kind]
    found = recipes.run(cell, make(), **SHORT)
    assert np.isfinite(found["loss_value"]) and found["scores"]
    assert all(np.isfinite(x) for x in found["scores"].values()), found["scores"]
    assert found["n"] == 90 and found["trained"]


def gap(z):
    """How much more alike rows of a class are than others, by the cosine."""
    z = z - z.mean(0)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    same = CLASS[:, None] == CLASS[None]
    return (z @ z.T)[same].mean() - (z @ z.T)[~same].mean()


@pytest.mark.parametrize(
    "kind", [slow("tags"), slow("hierarchy"), "nodes", slow("times"), slow("logits")]
)
def test_what_p_says_of_classes_is_learned(kind):
    """Of rows that hardly show their class, those of a class come together."""
    cell, make = CELLS[kind]
    data = make()._replace(features=blobs(spread=2.0))
    m = recipes.material(data, budget=recipes.Budget(90, batches=40))
    trained = recipes.train(cell, m)
    assert gap(trained.embedding) > gap(trained.untrained) + 0.1


# ------------------------------------------------------- models


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Dense(16)(x.reshape(len(x), -1))
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dropout(0.1, deterministic=not train)(nn.relu(x))


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(6, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)

    def __call__(self, x):
        return nnx.relu(self.norm(self.dense(x)))


class Equinox(eqx.Module):
    mlp: eqx.nn.MLP

    def __init__(self, key):
        self.mlp = eqx.nn.MLP(6, 16, 32, 1, key=key)

    def __call__(self, x):
        return self.mlp(x)


def start(key, x):
    return 0.3 * jr.normal(key, (x.shape[1], 16))


MODELS = {
    "linen": Linen(),
    "nnx": Nnx(nnx.Rngs(0)),
    "nnx class": Nnx,
    "equinox": Equinox(jr.key(0)),
    "equinox class": Equinox,
    "pair": (start, lambda params, x: x @ params),
    "function": lambda key: Equinox(key),
}


# a class and a function make what these are; linen is one of two modalities below
@pytest.mark.parametrize("kind", soon(MODELS, "nnx class", "equinox", "pair"))
def test_a_model_of_any_library_is_trained_in_place_of_the_usual_one(kind):
    m = recipes.material(dataset(), budget=recipes.Budget(90, batches=30))
    trained = recipes.train(icon.TABLE["SupCon"], m, model=MODELS[kind])
    assert trained.represented.shape == (90, 16)
    assert not np.allclose(trained.represented, trained.untrained)
    assert np.mean(trained.loss[-5:]) < np.mean(trained.loss[:5])


def test_batch_norm_is_carried_and_looked_at_with_its_running_mean():
    m = recipes.material(dataset(), budget=recipes.Budget(90, batches=30))
    trained = recipes.train(icon.TABLE["SupCon"], m, model=Linen())
    mean = trained.states["z"]["batch_stats"]["BatchNorm_0"]["mean"]
    assert np.abs(mean).max() > 0.01  # it starts at 0
    whole = trained.learner.represent
    rows = lambda x: whole(trained.params["z"], x, trained.states["z"])
    np.testing.assert_allclose(rows(m.x[:3]), rows(m.x)[:3], atol=1e-5)


def test_a_model_for_each_modality():
    towers = dict(left=Linen(), right=(start, lambda params, x: jnp.tanh(x @ params)))
    cell, make = CELLS["pairs"]
    m = recipes.material(make(), budget=recipes.Budget(90, batches=10))
    trained = recipes.train(cell, m, model=towers)
    assert trained.represented.shape == (90, 32)
    with pytest.raises(icon.InvalidInput, match="^model: expected one for 'right'"):
        recipes.train(cell, m, model=dict(left=Linen()))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (3, "a Flax module"),
        ((start, lambda params, x: x), r"\[\d+, k\]|output"),
        ((start, lambda params, x: jnp.ones(3)), r"\[\d+, k\]|output"),
    ],
)
def test_what_is_no_model_is_refused(model, words):
    images = colour_images()
    with pytest.raises(icon.InvalidInput, match=words) as error:
        recipes.run("SupCon", images, model=model, **SHORT)
    assert error.value.argument == "model"


# ------------------------------------------------------- views, metrics, seeds


def test_views_and_metric_of_ones_own():
    calls = []

    def still(key, x):
        calls.append(x.shape)
        return x + 0.1 * jr.normal(key, x.shape)

    def spread(z, m):
        return float(np.std(z))

    found = recipes.run("SimCLR", dataset(), views=still, metric=spread, **SHORT)
    assert calls and next(iter(found["scores"])) == "spread"


@pytest.mark.slow
def test_of_several_seeds_the_mean_and_its_error():
    data = dataset()
    one = [recipes.run("SupCon", data, seed=k, **SHORT) for k in (0, 1, 2)]
    all_three = recipes.run("SupCon", data, seeds=3, **SHORT)
    probes = [each["scores"]["linear probe"] for each in one]
    assert all_three["scores"]["linear probe"] == pytest.approx(np.mean(probes))
    error = np.std(probes, ddof=1) / 3**0.5
    assert all_three["errors"]["linear probe"] == pytest.approx(error)
    assert all_three["seeds"] == 3


# ------------------------------------------------------- learned numbers, sums


@pytest.mark.slow
def test_a_learned_temperature_is_trained_and_shown():
    cell = icon.Cell(
        "t", icon.same, icon.cosine, column="Classes",
        learned={"temperature": icon.positive(0.5)},
    )  # fmt: skip
    found = recipes.run(cell, dataset(), **SHORT)
    assert 0 < found["learned"]["temperature"] != pytest.approx(0.5, abs=1e-3)


def test_a_learned_number_of_p_is_trained_where_p_is_built_once():
    cell = icon.Cell(
        "s", lambda x, width: icon.gaussian(x, scale=width), icon.student_t,
        learns_from="features", learned={"width": icon.positive(1.0)},
    )  # fmt: skip
    found = recipes.run(cell, dataset(), **SHORT)
    assert found["learned"]["width"] != pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
def test_a_sum_of_cells_is_trained_with_one_model():
    a = icon.Cell("a", icon.same, icon.cosine, column="Positive pairs")
    b = icon.Cell(
        "b", icon.same, icon.cosine, column="Classes",
        learned={"temperature": icon.positive(0.2)},
    )  # fmt: skip
    both = 0.5 * a + b
    data = dataset()._replace(features=blobs(spread=1.5))
    found = recipes.run(both, data, **SHORT)
    assert found["name"] == "0.5 a + b" and "temperature" in found["learned"]
    assert found["learned"]["temperature"] != pytest.approx(0.2, abs=1e-3)
    m = recipes.material(data, budget=recipes.Budget(90, batches=40))
    losses = recipes.train(both, m).loss
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


@pytest.mark.slow
@pytest.mark.parametrize("second", [blobs(4), CLASS + 0.5])
def test_two_cells_of_two_modalities_add_up(second):
    """Both parts train the same two networks."""
    clip = icon.Cell("clip", icon.same, icon.cosine, icon.both_ways(icon.kl), "pairs")
    far = icon.Cell("far", icon.same, icon.student_t, learns_from="pairs")
    found = recipes.run(0.5 * clip + far, dataset(second=second), **SHORT)
    assert found["scores"]["R@1"] >= 0


def test_a_task_of_ones_own():
    def in_order(m):
        arrays = dict(x=m.x[m.train], t=np.float32(m.labels[m.train]))

        def arguments(model, key, x, t):
            return (t[:, None],), (model(x),)

        return recipes.Task(arrays, arguments, summary="labels as times")

    cell = icon.Cell("order", near_in_time, icon.cosine, learns_from=in_order)
    found = recipes.run(cell, dataset(), **SHORT)
    assert found["column"] == "your own" and "labels as times" in found["trained"]


@pytest.mark.slow
def test_memberships_are_recognised_without_a_row():
    cell = icon.Cell("c", icon.same, icon.clusters, column="Classes")
    found = recipes.run(cell, dataset(), **SHORT)
    assert found["clusters"] is not None and "Hungarian" in found["scores"]


def test_any_exception_of_a_cell_is_its_square():
    def broken(labels):
        raise ZeroDivisionError("no p today")

    cell = icon.Cell("broken", broken, icon.cosine, column="Classes")
    found = recipes.Bench(dataset()).attempt(cell, range(1))
    assert found["failed"] and "ZeroDivisionError: no p today" in found["note"]


@pytest.mark.slow
def test_a_source_of_ones_own_says_which_data_show_it():
    own = recipes.SOURCES["times"]._replace(data="digits")
    cell = icon.Cell("t", near_in_time, icon.cosine, learns_from=own)
    assert recipes.run(cell, dataset(time=CLASS + 0.5), **SHORT)["scores"]
    assert recipes.Bench().material(cell, 0).x.shape[1:] == (8, 8)
    both = cell + icon.Cell("s", icon.same, icon.cosine, column="Positive pairs")
    assert recipes.Bench().material(both, 0).x.shape[1:] == (8, 8)


def test_what_the_data_lack_is_said():
    cell, _ = CELLS["tags"]
    with pytest.raises(icon.InvalidInput, match=r"^data: expected also\['tags'\]"):
        recipes.run(cell, dataset(), **SHORT)
    with pytest.raises(icon.InvalidInput, match="perhaps SimCLR"):
        recipes.run("SimCRL", dataset())
    assert jax.devices()
