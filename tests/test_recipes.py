"""Is a cell trained by its column and its row, and scored without a leak?"""

import ast
import dataclasses
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import icon
from icon import recipes
from icon._table import cells as cells
from icon.recipes import models as _learners
from icon.recipes import tasks as _sources


TINY = recipes.QUICK._replace(points=120, steps=25, batches=4, annealing=25)


@pytest.fixture(scope="module")
def digits():
    return recipes.material(icon.data.digits(), budget=TINY)


def test_every_row_is_known_by_its_evidence_and_its_family():
    known = {**_sources.WHOLE, **_sources.BATCHED}
    for cell in icon.TABLE.values():
        assert cell.learns_from in known, cell.name
        assert cell.row in cells.FAMILIES, cell.name
        assert cell.column in (*cells.EVIDENCE, *cells.BEYOND), cell.name
        assert cell.reference and cell.status in ("known", "predicted", "new")


def test_no_recipe_asks_for_a_name():
    for module in (recipes, _sources, _learners):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Compare):
                assert ".name" not in ast.unparse(node), ast.unparse(node)


def test_every_source_and_column_is_used():
    used = {cell.learns_from for cell in icon.TABLE.values()}
    assert used == {*_sources.WHOLE, *_sources.BATCHED}
    columns = {cell.column for cell in icon.TABLE.values()}
    assert columns == set(_sources.USUAL)


@pytest.mark.parametrize("name", ["SupCon", "k-means", "triplet"])
def test_a_sound_cell_passes_its_check(name):
    report = icon.check(icon.TABLE[name])
    assert report.rows_of_p < 1e-5 and report.rows_of_q < 1e-5
    assert report.gradient > 0 and report.permutation < 1e-5


def _leaning(a, b, w):
    return b @ a + w


def _lopsided(z):
    return icon.points(_leaning, z, w=jnp.arange(len(z), dtype=z.dtype))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Leaky:
    """Half of every row's mass is lost."""

    base: Any

    @property
    def shape(self):
        return self.base.shape

    def support(self, i):
        return self.base.support(i)

    def score(self, i, at):
        return self.base.score(i, at) - float(np.log(2))

    def log_mass(self, i):
        return self.base.log_mass(i)


def _cusp(z):
    return icon.points(_distance, z)


def _distance(a, b):
    return -jnp.sqrt(jnp.sum((b - a[None]) ** 2, 1))  # its slope at 0 is no number


@pytest.mark.parametrize(
    ("q", "wrong"),
    [
        (_lopsided, "permutation"),
        (lambda z: Leaky(icon.cosine(z)), "rows_of_q"),
        (_cusp, "gradient"),
    ],
)
def test_a_faulty_cell_is_told_what_is_wrong(q, wrong):
    z = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    cell = icon.Cell("faulty", icon.same, q)
    with pytest.raises(icon.InvalidInput, match=f"cell: expected .* got {wrong} = "):
        icon.check(cell, (np.arange(12) % 3,), (z,))


def test_a_cell_that_says_nothing_gets_what_its_p_accepts(digits):
    features = icon.Cell("f", icon.gaussian, icon.student_t)
    ids = icon.Cell("i", icon.same, icon.cosine)
    assert recipes.source_of(features, digits) == "features"
    assert recipes.source_of(ids, digits) == "labels"
    by_column = icon.Cell("c", icon.same, icon.cosine, column="Positive pairs")
    assert recipes.source_of(by_column, digits) == "views"


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        ("column", icon.Cell("x", icon.same, icon.cosine, column="Friends")),
        ("learns_from", icon.Cell("x", icon.same, icon.cosine, learns_from="luck")),
        ("row", icon.Cell("x", icon.same, icon.cosine, row="Flat", column="Classes")),
    ],
)
def test_an_unknown_place_is_refused_by_name(field, cell, digits):
    with pytest.raises(icon.InvalidInput) as error:
        recipes.train(cell, digits)
    assert error.value.argument == field


def test_a_map_never_sees_the_rows_it_is_scored_on(digits):
    other = np.array(digits.x)
    other[digits.test] = other[digits.test][::-1] * 0.5
    one = recipes.train(icon.TABLE["PCA"], digits).params
    two = recipes.train(icon.TABLE["PCA"], digits._replace(x=other)).params
    assert np.array_equal(one["z"], two["z"])
    assert not set(digits.train) & set(digits.test)


def test_the_same_seed_gives_the_same_bits(digits):
    for name in ("t-SNE", "SupCon", "k-means"):
        one, two = (recipes.train(icon.TABLE[name], digits) for _ in range(2))
        assert np.array_equal(one.embedding, two.embedding), name


def test_a_ranking_is_descended_by_its_neighbor_in_the_table(digits):
    trained = recipes.train(icon.TABLE["neighborhood recall"], digits)
    assert "SNE, uniform affinities" in trained.note
    recall = icon.evaluate.neighborhood_recall(digits.flat, trained.embedding, k=15)
    assert trained.value == pytest.approx(1 - recall, abs=1e-6)


def test_momentum_keys_follow_slowly(digits):
    trained = recipes.train(icon.TABLE["MoCo v3"], digits)
    fast, slow = (trained.params[side][0] for side in ("z", "slow"))
    fast, slow = fast["params"]["layers"], slow["params"]["layers"]
    assert not np.array_equal(fast["Dense_0"]["kernel"], slow["Dense_0"]["kernel"])


def test_unlabelled_data_are_trained_and_drawn_too():
    x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    data = icon.data.Dataset("noise", x, None, None)
    m = recipes.material(data, budget=TINY)
    raw = recipes.ground(m)
    said = recipes.attempt(icon.TABLE["PCA"], m, raw)
    assert list(said["scores"]) == ["trustworthiness"]
    assert said["labels"] is None and said["z"].shape == (18, 2)


def test_a_refused_row_does_not_stop_the_others(digits):
    broken = icon.Cell(
        "broken", lambda x: icon.uniform(x), icon.student_t, column="kNN"
    )
    said = recipes.attempt(broken, digits, None)
    assert said["protocol"] == "refused" and "index" in said["note"]
