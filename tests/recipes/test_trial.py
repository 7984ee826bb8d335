"""Are cells tried on arguments that their recipes make, and are sound ones passed?"""

import numpy as np
import pytest

import icon
from icon import recipes


SLOWLY = (pytest.param(x, marks=pytest.mark.slow) for x in ("k-means", "triplet"))


@pytest.mark.parametrize("name", ["SupCon", "VAE", *SLOWLY])
def test_a_sound_cell_passes_its_check(name):
    cell = icon.TABLE[name]
    report = icon.check(cell)
    assert report.loss == pytest.approx(float(cell(*recipes.example(cell))), rel=1e-5)
    assert report.rows_of_p < 1e-5 and report.rows_of_q < 1e-5
    assert report.gradient > 1e-4
    assert report.permutation < 1e-5 and report.precision < 1e-5


def test_a_cell_without_a_column_is_tried_on_what_its_p_accepts():
    evidence, embedding = recipes.example(icon.Cell("c", icon.same, icon.cosine))
    assert [x.shape for x in (*evidence, *embedding)] == [(22,), (22, 128)]


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
