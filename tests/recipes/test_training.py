"""Is a cell trained by its column and its row, without a leak?"""

import ast
import inspect
from pathlib import Path

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from cases import slow, soon

import icon
from icon import recipes
from icon.recipes import mixture, training
from icon.recipes.tasks import SOURCES
from icon.recipes.training import _averaged, setup_of


TINY = recipes.QUICK._replace(points=120, steps=25, batches=4, annealing=25)


@pytest.fixture(scope="module")
def digits():
    return recipes.material(icon.data.digits(), budget=TINY)


def test_no_recipe_asks_for_a_name():
    files = sorted(Path(inspect.getfile(recipes)).parent.rglob("*.py"))
    assert len(files) > 15
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Compare):
                assert ".name" not in ast.unparse(node), (file, ast.unparse(node))


def test_a_cell_without_a_column_gets_what_its_p_accepts(digits):
    features = icon.Cell("f", icon.gaussian, icon.student_t)
    ids = icon.Cell("i", icon.same, icon.cosine)
    assert recipes.source_of(features, digits) is SOURCES["features"]
    assert recipes.source_of(ids, digits) is SOURCES["labels"]
    by_column = icon.Cell("c", icon.same, icon.cosine, column="Positive pairs")
    assert recipes.source_of(by_column, digits) is SOURCES["views"]
    own = recipes.Source(lambda m: None)
    of_its_own = icon.Cell("o", icon.same, icon.cosine, learns_from=own)
    assert recipes.source_of(of_its_own, digits) is own
    task = lambda m: None
    of_a_task = icon.Cell("t", icon.same, icon.cosine, learns_from=task)
    assert recipes.source_of(of_a_task, digits).task is task


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("column", dict(column="Friends")),
        ("learns_from", dict(learns_from="luck")),
        ("row", dict(row="Flat", column="Classes")),
    ],
)
def test_an_unknown_column_source_or_row_is_refused_by_name(field, given):
    with pytest.raises(icon.InvalidInput, match=f"^{field}: expected one of ") as error:
        icon.Cell("x", icon.same, icon.cosine, **given)
    assert error.value.argument == field


def test_a_task_that_is_none_is_refused(digits):
    cell = icon.Cell("x", icon.same, icon.cosine, learns_from=lambda m: 3)
    with pytest.raises(icon.InvalidInput, match="^learns_from: expected a function"):
        recipes.train(cell, digits)


def test_a_map_never_learns_from_the_rows_it_is_scored_on(digits):
    other = np.array(digits.x)
    other[digits.test] = other[digits.test][::-1] * 0.5
    one = recipes.train(icon.TABLE["PCA"], digits).params
    two = recipes.train(icon.TABLE["PCA"], digits._replace(x=other)).params
    assert np.array_equal(one["z"], two["z"])
    assert not set(digits.train) & set(digits.test)


@pytest.mark.parametrize("name", ["t-SNE", slow("SupCon"), slow("k-means")])
def test_the_same_seed_gives_the_same_bits(digits, name):
    one, two = (recipes.train(icon.TABLE[name], digits) for _ in range(2))
    assert np.array_equal(one.embedding, two.embedding)
    assert np.array_equal(one.loss, two.loss) and one.loss[-1] < one.loss[0]


def test_the_best_of_several_starts_of_a_clustering_is_kept(digits):
    """The first of three starts is the one start of a smaller budget."""
    budgets = (TINY._replace(restarts=k) for k in (1, 3))
    one, three = (
        recipes.train(icon.TABLE["k-means"], digits._replace(budget=budget))
        for budget in budgets
    )
    assert three.loss[-1] <= one.loss[-1]
    assert one.embedding.shape == (120, 10)


def test_every_start_of_a_clustering_has_the_steps_of_its_budget(digits, monkeypatch):
    """Those by Adam and those that are annealed."""
    seen = []

    def counted(loss, z, optimizer, steps, **options):
        seen.append(steps)
        return icon.minimize(loss, z, optimizer, steps, **options)

    monkeypatch.setattr(training, "minimize", counted)
    budget = TINY._replace(restarts=2, annealing=7)
    recipes.train(icon.TABLE["k-means"], digits._replace(budget=budget))
    assert seen == [7, 7]


def test_a_ranking_is_descended_by_its_neighbor_in_the_table(digits):
    trained = recipes.train(icon.TABLE["neighborhood recall"], digits)
    expected = "its gradient is zero: descends SNE, uniform affinities"
    assert trained.note == expected
    recall = icon.evaluate.neighborhood_recall(digits.flat, trained.embedding, k=15)
    assert trained.value == pytest.approx(1 - recall, abs=1e-6)


@pytest.mark.slow
def test_a_cell_of_zero_gradient_without_such_a_neighbor_is_refused(digits):
    ranking = icon.Cell(
        "ranking",
        lambda index: icon.uniform(index[:, :1]),
        lambda z, index: icon.hard(icon.gaussian(z)),
        icon.tv,
        learns_from="triplets",
    )
    with pytest.raises(icon.InvalidInput, match="^cell: expected a gradient"):
        recipes.train(ranking, digits)


def test_a_moving_average_follows_slowly():
    params = {"fast": jnp.array([1.0, 2.0]), "slow": jnp.array([0.0, 4.0])}
    optimizer = optax.chain(optax.sgd(0.5), _averaged({"slow": "fast"}))
    gradient = {"fast": jnp.array([2.0, -2.0]), "slow": jnp.array([9.0, 9.0])}
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    after = optax.apply_updates(params, updates)
    np.testing.assert_allclose(after["fast"], [0.0, 3.0])
    np.testing.assert_allclose(after["slow"], [0.0, 0.99 * 4 + 0.01 * 3], rtol=1e-6)


@pytest.mark.slow
def test_momentum_keys_follow_slowly(digits):
    cell = icon.TABLE["MoCo v3"]
    start = setup_of(cell, digits).start(*jr.split(jr.key(digits.seed)))
    end = recipes.train(cell, digits).params
    kernel = lambda params, view: params[view][0]["params"]["layers"]["Dense_0"][
        "kernel"
    ]
    moved = lambda view: np.linalg.norm(kernel(end, view) - kernel(start, view))
    assert 0 < moved("slow") < 0.05 * moved("z")


# ------------------------------------------------------- parameters of its own


def test_a_p_that_has_the_parameters_too_is_built_in_every_step(digits):
    """Of a mixture that is EM: after its steps, as after those of EM alone."""
    cell = icon.TABLE["Gaussian mixture"]
    trained = recipes.train(cell, digits)
    x, by = trained.task.arrays["x"], mixture.em(1e-3)

    def loss(found):
        q = icon.components(x, *found)
        return icon.kl(q, icon.unnormalized(q))

    start = trained.task.extra(None, None)
    found, history = icon.minimize(loss, start, by, len(trained.loss))
    assert len(trained.loss) > 2 and history.loss[0] - history.loss[-1] > 0.01
    np.testing.assert_allclose(trained.loss, history.loss, rtol=1e-4)
    np.testing.assert_allclose(trained.params["extra"].mean, found.mean, atol=1e-3)
    assert len(x) == len(digits.x)  # it has no map: all rows are learned from
    assert trained.summary.endswith("EM from k-means")  # and not by Adam


PARAMETERS = [
    name for name, cell in icon.TABLE.items()
    if SOURCES[cell.learns_from].learned is recipes.Learned.PARAMETERS
]  # fmt: skip


@pytest.mark.parametrize("name", soon(PARAMETERS, "k-medians", "ICA"))
def test_a_row_of_parameters_is_scored_by_itself_beside_what_it_started_as(name):
    of_source = SOURCES[icon.TABLE[name].learns_from].data
    small = dict(ratings=lambda: icon.data.ratings(200, 60))
    small |= dict(mixed_sources=lambda: icon.data.mixed_sources(200))
    data = small[of_source]() if of_source in small else of_source
    found = recipes.run(name, data, points=200, steps=400)
    scores, (main, value) = found["scores"], next(iter(found["scores"].items()))
    least = not any(word in main for word in ("recall", "likelihood"))
    before = scores.get(f"untrained {main}", scores.get(f"{main} of popularity"))
    assert value < before if least else value > before
    assert found["protocol"] and np.isfinite([*scores.values()]).all()
