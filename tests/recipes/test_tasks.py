"""Does every source make a task, of the rows that may be learned from?"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import icon
from icon import recipes
from icon._table import cells
from icon.recipes.models import Model, learner_of
from icon.recipes.tasks import BY_COLUMN, SOURCES, WIDTH, Learned


TINY = recipes.QUICK._replace(points=60)
NAMES = pytest.mark.parametrize("name", SOURCES)


@pytest.fixture(scope="module")
def digits():
    return recipes.material(icon.data.digits(), budget=TINY)


def built(name, m):
    """A task, what learns it, and its parameters before the first step."""
    source = SOURCES[name]
    logits = np.zeros((m.classes, WIDTH)), np.zeros((len(m.x), WIDTH), np.float32)
    teacher = SimpleNamespace(params=dict(extra=logits[0]), embedding=logits[1])
    task = source.task(m, *[teacher for _ in source.after])
    learner = learner_of(cells.T, source.learned, m.classes)
    params = {k: learner.start(jr.key(0), see(m.x)) for k, see in task.views.items()}
    params["extra"] = task.extra(jr.key(1), learner.width)
    return task, learner, params


# ------------------------------------------------------- by name


def test_every_row_of_the_table_has_a_source_a_family_and_a_column():
    for cell in icon.TABLE.values():
        assert cell.learns_from in SOURCES, cell.name
        assert cell.row in cells.FAMILIES, cell.name
        assert cell.column in (*cells.EVIDENCE, *cells.BEYOND), cell.name
        assert cell.reference and cell.status in ("known", "predicted", "new")


def test_every_source_and_every_column_is_used():
    assert {cell.learns_from for cell in icon.TABLE.values()} == set(SOURCES)
    assert {cell.column for cell in icon.TABLE.values()} == set(BY_COLUMN)
    assert set(BY_COLUMN.values()) <= set(SOURCES)


# ------------------------------------------------------- tasks


@NAMES
def test_a_source_makes_arrays_of_one_length_and_arguments_of_its_rows(name, digits):
    task, learner, params = built(name, digits)
    assert isinstance(task, recipes.Task)
    (length,) = {len(array) for array in task.arrays.values()}
    batch = {name: array[: task.size or length] for name, array in task.arrays.items()}
    evidence, embedding = task.arguments(Model(learner, params), jr.key(2), **batch)
    for cell in icon.TABLE.values():
        if cell.learns_from == name and cell.row != cells.C:
            assert cell.p(*evidence).shape == cell.q(*embedding).shape, cell.name


@NAMES
def test_only_the_training_rows_are_learned_from(name, digits):
    """Other test rows change nothing that is trained on, though what is scored."""
    x = np.array(digits.x)
    x[digits.test] = x[digits.test][::-1] * 0.5
    tasks = [built(name, m)[0] for m in (digits, digits._replace(x=x))]
    for one, two in zip(*(task.arrays.values() for task in tasks), strict=True):
        assert np.array_equal(one, two)


def test_a_batch_has_the_same_rows_of_every_array(digits):
    task, *_ = built("labels", digits)
    feed = icon.data.batches(task.arrays, 16, 1)(jr.key(0), 0)
    rows = digits.x[digits.train]
    for batch in feed:
        place = [np.flatnonzero((rows == x).all((1, 2)))[0] for x in batch["x"]]
        assert np.array_equal(batch["label"], digits.labels[digits.train][place])


def test_of_two_views_each_row_has_one_of_either(digits):
    task, learner, params = built("views", digits)
    (ids,), (z,) = task.arguments(Model(learner, params), jr.key(0), **task.arrays)
    n = len(digits.train)
    assert np.array_equal(ids, np.tile(np.arange(n), 2)) and len(z) == 2 * n


def test_momentum_keys_have_no_gradient(digits):
    task, learner, params = built("momentum keys", digits)
    assert task.follows == {"slow": "z"}

    def total(params):
        model = Model(learner, params)
        _, (_, keys) = task.arguments(model, jr.key(0), **task.arrays)
        return jnp.sum(keys)

    gradient = jax.grad(total)(params)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_a_triplet_is_another_view_of_the_row_and_a_view_of_another(digits):
    task, learner, params = built("triplets", digits)
    (index,), _ = task.arguments(Model(learner, params), jr.key(0), **task.arrays)
    n, anchors = len(digits.train), np.arange(len(index))
    assert np.array_equal(index[:, 0] % n, anchors % n)
    assert (index[:, 0] != anchors).all() and (index[:, 1] != anchors).all()


def test_edges_are_of_near_points_and_negatives_are_others(digits):
    task, learner, params = built("edges and strangers", digits.undivided())
    (index,), (z, same) = task.arguments(Model(learner, params), jr.key(0), row=0)
    near = np.asarray(icon.knn(digits.flat, 15)[0])
    assert all(j in row for j, row in zip(index[:, 0], near, strict=True))
    assert (np.asarray(index) != np.arange(len(index))[:, None]).all()
    assert index is same and len(z) == len(digits.x)


def test_a_task_of_a_graph_starts_at_its_normalised_laplacians_eigenvectors(digits):
    task, *_ = built("graph", digits.undivided())
    (weights,), _ = task.arguments(lambda x: x, None, **task.arrays)
    root = np.sqrt(weights.sum(1))[:, None]
    vectors = np.float64(task.start) * root
    image = (weights.toarray() / root / root.T) @ vectors
    values = (vectors * image).sum(0) / (vectors**2).sum(0)
    np.testing.assert_allclose(image, vectors * values, atol=1e-3)
    assert np.isclose(values.max(), 1, atol=1e-5) and task.start.std() == 1


# ------------------------------------------------------- the data


def test_data_are_sampled_down_and_split_by_the_seed():
    data = icon.data.digits()
    one, two, three = (recipes.material(data, seed, TINY) for seed in (0, 0, 1))
    assert np.array_equal(one.x, two.x) and not np.array_equal(one.x, three.x)
    assert (len(one.x), len(one.train), len(one.test)) == (60, 42, 18)
    assert sorted([*one.train, *one.test]) == list(range(60))
    assert one.classes == 10 and one.labelled


def test_undivided_data_hold_nothing_out_and_centered_data_have_their_mean_at_zero(
    digits,
):
    whole = digits.undivided()
    assert len(whole.train) == len(digits.x) and not len(whole.test)
    centered = digits.centered()
    assert abs(centered.x[digits.train].mean(0)).max() < 1e-5
    assert np.allclose(centered.x - centered.x[:1], digits.x - digits.x[:1], atol=1e-5)
