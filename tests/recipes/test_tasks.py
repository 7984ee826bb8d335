"""Does every source make a task, of the rows that may be learned from?"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.sparse

import icon
from icon import recipes
from icon._table import evidence
from icon.recipes.models import learner_of
from icon.recipes.task import WIDTH
from icon.recipes.tasks import BY_COLUMN, SOURCES
from icon.recipes.training import Setup


TINY = recipes.QUICK._replace(points=60)
NAMES = pytest.mark.parametrize("name", SOURCES)


def nothing_apart(n):
    """A graph whose neighbours are those of a ring."""
    return scipy.sparse.csr_array(np.roll(np.eye(n), 1, 1) + np.roll(np.eye(n), -1, 1))


# what else is known of the rows, where a source asks for it
ASKED = {
    "times": lambda n: dict(time=np.arange(n, dtype=float)),
    "order": lambda n: dict(time=np.arange(n, dtype=float)),
    "tags": lambda n: dict(tags=np.eye(3, dtype=np.int32)[np.arange(n) % 3]),
    "hierarchy": lambda n: dict(hierarchy=np.arange(2 * n).reshape(n, 2) % 4),
    "nodes": lambda n: dict(graph=nothing_apart(n)),
    "counts": lambda n: dict(counts=np.arange(3 * n).reshape(n, 3) % 5),
    "logits": lambda n: dict(logits=np.eye(4, dtype=np.float32)[np.arange(n) % 4]),
}


@pytest.fixture(scope="module")
def digits():
    return recipes.material(icon.data.digits(), budget=TINY)


def task_of(name, m):
    source, n = SOURCES[name], len(m.x)
    m = m._replace(also=ASKED.get(name, lambda n: {})(n))
    params = dict(extra=np.zeros((m.classes, WIDTH)))
    teacher = SimpleNamespace(params=params, embedding=np.zeros((n, WIDTH)))
    return source.task(m, *[teacher for _ in source.after])


def built(name, m):
    """A task of this source, and what learns it under Student's t."""
    learner = learner_of(evidence.T, SOURCES[name].learned, m.classes)
    m = m if learner.maps else m.undivided()
    return Setup(learner, task_of(name, m), m)


def arguments(setup, **batch):
    params = setup.start(jr.key(0), jr.key(1))
    return setup.arguments(params, jr.key(2), batch or setup.task.arrays)


# ------------------------------------------------------- by name


def test_every_row_of_the_table_has_a_source_a_family_and_a_column():
    for cell in icon.TABLE.values():
        assert cell.learns_from in SOURCES, cell.name
        assert cell.row in evidence.FAMILIES, cell.name
        assert cell.column in evidence.COLUMNS, cell.name
        assert cell.reference and cell.status in ("known", "predicted", "new")


def test_every_source_and_every_column_is_used():
    """Or needs what no data set of the table has."""
    asked = set(ASKED) - {"order"}
    assert {cell.learns_from for cell in icon.TABLE.values()} == set(SOURCES) - {
        *asked,
        "labels and neighbors",
    }
    assert {cell.column for cell in icon.TABLE.values()} == set(BY_COLUMN)
    assert set(BY_COLUMN.values()) <= set(SOURCES)


# ------------------------------------------------------- tasks


def has_shape(x):
    return hasattr(x, "shape")


@NAMES
def test_a_source_makes_arrays_of_one_length_and_arguments_of_its_rows(name, digits):
    setup = built(name, digits)
    assert isinstance(setup.task, recipes.Task)
    assert SOURCES[name].exact == (setup.task.solution is not None)
    (length,) = {len(array) for array in setup.task.arrays.values()}
    size = setup.task.size or length
    batch = {name: array[:size] for name, array in setup.task.arrays.items()}

    def try_cells():
        given = arguments(setup, **batch)
        for cell in icon.TABLE.values():
            if cell.learns_from == name and cell.row != evidence.C:
                p, q = jax.tree.map(
                    lambda x: x.shape, cell.neighborhoods(*given), is_leaf=has_shape
                )
                assert p == q, cell.name

    if setup.learner.maps:  # an encoder is traced, not compiled: only shapes are asked
        jax.eval_shape(try_cells)
    else:
        try_cells()


@NAMES
def test_only_the_training_rows_are_learned_from(name, digits):
    """Other test rows change nothing that is trained on, though what is scored."""
    x = np.array(digits.x)
    x[digits.test] = x[digits.test][::-1] * 0.5
    tasks = [task_of(name, m) for m in (digits, digits._replace(x=x))]
    for one, two in zip(*(task.arrays.values() for task in tasks), strict=True):
        assert np.array_equal(one, two)


def test_a_batch_has_the_same_rows_of_every_array(digits):
    rows, task = digits.x[digits.train], task_of("labels", digits)
    for batch in icon.data.batches(task.arrays, 16, 1)(jr.key(0), 0):
        place = [np.flatnonzero((rows == x).all((1, 2)))[0] for x in batch["x"]]
        assert np.array_equal(batch["label"], digits.labels[digits.train][place])


@pytest.mark.slow
def test_of_two_views_each_row_has_one_of_either(digits):
    (ids,), (z,) = arguments(built("views", digits))
    n = len(digits.train)
    assert np.array_equal(ids, np.tile(np.arange(n), 2)) and len(z) == 2 * n


@pytest.mark.slow
def test_momentum_keys_have_no_gradient(digits):
    setup = built("momentum keys", digits)
    assert setup.task.follows == {"slow": "z"}

    def total(params):
        _, (_, keys) = setup.arguments(params, jr.key(0), setup.task.arrays)
        return jnp.sum(keys)

    gradient = jax.grad(total)(setup.start(jr.key(0), jr.key(1)))
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


@pytest.mark.slow
def test_a_triplet_is_another_view_of_the_row_and_a_view_of_another(digits):
    (index,), _ = arguments(built("triplets", digits))
    n, anchors = len(digits.train), np.arange(len(index))
    assert np.array_equal(index[:, 0] % n, anchors % n)
    assert (index[:, 0] != anchors).all()
    assert (index[:, 1] % n != anchors % n).all()


def test_edges_are_of_near_points_and_negatives_are_others(digits):
    (index,), (z, same) = arguments(built("edges and strangers", digits))
    near = np.asarray(icon.knn(digits.flat, 15)[0])
    assert all(j in row for j, row in zip(index[:, 0], near, strict=True))
    assert (np.asarray(index) != np.arange(len(index))[:, None]).all()
    assert index is same and len(z) == len(digits.x)


def test_a_task_of_a_graph_starts_at_its_normalised_laplacians_eigenvectors(digits):
    setup = built("graph", digits)
    (weights,), _ = arguments(setup)
    root = np.sqrt(weights.sum(1))[:, None]
    vectors = np.float64(setup.task.start) * root
    image = (weights.toarray() / root / root.T) @ vectors
    values = (vectors * image).sum(0) / (vectors**2).sum(0)
    np.testing.assert_allclose(image, vectors * values, atol=1e-3)
    assert np.isclose(values.max(), 1, atol=1e-5)  # of the constant
    assert np.isclose(setup.task.start.std(), 1)


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
