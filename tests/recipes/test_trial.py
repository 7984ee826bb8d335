"""Are cells tried on arguments that their recipes make, and are sound ones passed?"""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow

import icon
from icon import recipes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SupCon", "VAE", "k-means", "triplet"])
def test_a_sound_cell_passes_its_check(name):
    cell = icon.TABLE[name]
    report = icon.check(cell)
    assert report.loss == pytest.approx(float(cell(*recipes.example(cell))), rel=1e-5)
    assert report.rows_of_p < 1e-5 and report.rows_of_q < 1e-5
    assert report.gradient > 1e-4
    assert report.permutation < 1e-5 and report.precision < 1e-5


SUPCON = icon.Cell("s", icon.same, icon.cosine, column="Classes")
LABELS = np.arange(12, dtype=np.int32) % 3
X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)


@pytest.mark.slow
def test_a_learned_number_is_part_of_what_is_checked():
    """Its leaf has a gradient, and p and q are built with it."""
    at = dict(column="Classes", learned={"temperature": icon.positive(0.7)})
    report = icon.check(icon.Cell("t", icon.same, icon.cosine, **at), (LABELS,), (X,))
    hot = functools.partial(icon.cosine, temperature=0.7)
    wanted = icon.check(icon.Cell("t", icon.same, hot), (LABELS,), (X,))
    plain = icon.check(SUPCON, (LABELS,), (X,))
    assert report == pytest.approx(wanted, rel=1e-5, abs=1e-6)
    assert report.loss != pytest.approx(plain.loss, rel=1e-2)


@pytest.mark.slow
def test_of_a_sum_each_part_is_checked_on_its_own_arguments():
    other = icon.Cell("o", icon.gaussian, icon.student_t)
    evidence, embedding = ((LABELS,), (X,)), ((X,), (X[::-1].copy(),))
    report = icon.check(0.5 * SUPCON + other, evidence, embedding)
    both = zip((SUPCON, other), evidence, embedding, strict=True)
    one, two = (icon.check(*each) for each in both)
    assert report.loss == pytest.approx(0.5 * one.loss + two.loss, rel=1e-6)
    norm = np.hypot(0.5 * one.gradient, two.gradient)
    assert report.gradient == pytest.approx(norm, rel=1e-6)
    for field in ("rows_of_p", "rows_of_q", "permutation", "precision", "candidates"):
        worst = max(getattr(one, field), getattr(two, field))
        assert getattr(report, field) == worst, field


def leaning(a, b, w):
    return b @ a + w


def lopsided(z):
    """Scores that depend on the place of a candidate."""
    return icon.points(leaning, z, w=jnp.arange(len(z), dtype=z.dtype))


@pytest.mark.slow
@pytest.mark.parametrize("place", [slow(0), 1])
def test_a_fault_of_any_part_of_a_sum_is_found_and_the_part_named(place):
    """However little it weighs."""
    parts = [1.0 * SUPCON, 1e-6 * icon.Cell("crooked", icon.same, lopsided)]
    both = parts[place] + parts[1 - place]
    expected = r"^cell: expected no order among the data, got permutation = .*crooked$"
    with pytest.raises(icon.InvalidInput, match=expected):
        icon.check(both, ((LABELS,), (LABELS,)), ((X,), (X,)))


@pytest.mark.slow
def test_a_sum_is_tried_on_what_its_recipe_has():
    both = 0.5 * icon.Cell("v", icon.same, icon.cosine, learns_from="views") + SUPCON
    evidence, embedding = recipes.example(both)
    assert [len(one[0]) for one in (*evidence, *embedding)] == [44, 44, 44, 44]
    report = icon.check(both)
    assert report.loss == pytest.approx(float(both(evidence, embedding)), rel=1e-5)


@pytest.mark.parametrize("evidence", [((LABELS,),), (LABELS, LABELS)])
def test_a_sum_of_other_arguments_is_refused(evidence):
    both = SUPCON + SUPCON
    with pytest.raises(icon.InvalidInput, match="^evidence: expected a tuple for each"):
        icon.check(both, evidence, ((X,), (X,)))


@pytest.mark.slow
def test_a_cell_without_a_column_is_tried_on_what_its_p_accepts():
    evidence, embedding = recipes.example(icon.Cell("c", icon.same, icon.cosine))
    assert [x.shape for x in (*evidence, *embedding)] == [(44,), (44, 128)]


def test_examples_depend_on_the_seed_alone():
    cell = icon.TABLE["t-SNE"]
    one, two, three = (recipes.example(cell, 20, seed) for seed in (0, 0, 1))
    assert np.array_equal(one[0][0], two[0][0]) and np.array_equal(one[1][0], two[1][0])
    assert not np.allclose(one[0][0], three[0][0])
    assert one[0][0].shape == (20, 36) and one[1][0].shape == (20, 2)


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("cell", ("SupCon",)),
        ("embedding", (icon.TABLE["SupCon"], (np.zeros(3, np.int32),))),
        ("embedding", (icon.TABLE["SupCon"], None, (np.ones((3, 2)),))),
    ],
)
def test_what_cannot_be_checked_is_refused(argument, given):
    with pytest.raises(icon.InvalidInput, match=f"^{argument}: expected "):
        icon.check(*given)
