"""Is every row of results read, or refused by name?"""

import json

import numpy as np
import pytest
from table_rows import RESULTS, RNG, Y, Z, row

from icon import plot
from icon._base.checks import InvalidInput
from icon.plot.results import (
    GRID,
    beyond_grid,
    by_square,
    on_grid,
    picture,
    pictures,
    score_text,
)


# ------------------------------------------------------- points


def test_clusters_take_the_colors_of_the_classes_they_match():
    assert (picture("r", row(clusters=(Y + 1) % 3)).color == Y).all()


def test_more_clusters_than_classes_and_the_other_way():
    many = picture("r", row(clusters=np.arange(30) % 6))
    few = picture("r", row(clusters=np.zeros(30, int)))
    assert len(many.rings) == 6 and len(few.rings) == 1
    assert len(many.palette) == 6


def test_a_ring_is_at_the_median_of_its_cluster_in_its_color():
    shown = picture("r", row(clusters=(Y + 1) % 3))
    for x, y, color in shown.rings:
        middle = np.median(shown.xy[shown.color == color], axis=0)
        assert [x, y] == middle.astype(int).tolist()
    assert [color for *_, color in shown.rings] == [0, 1, 2]


def test_points_fill_a_square_box_in_their_own_proportions():
    xy = on_grid(Z).astype(float)
    assert xy.min() > 0 and xy.max() < GRID
    assert np.ptp(xy, axis=0).max() == pytest.approx(GRID / 1.04, rel=1e-3)
    scale = np.ptp(xy, axis=0) / np.ptp(Z, axis=0)
    assert scale[0] == pytest.approx(scale[1], rel=1e-3)


def test_one_far_point_does_not_shrink_the_others():
    z = np.concatenate([RNG.normal(size=(999, 2)), [[1e6, 0]]])
    xy = on_grid(z).astype(int)
    assert np.ptp(xy[:-1], axis=0).min() > GRID / 3
    assert xy[-1, 0] == GRID


@pytest.mark.parametrize(
    "z", [np.ones((5, 2)), np.ones((1, 2)), 1e300 * np.ones((2, 2))]
)
def test_points_that_coincide_are_in_the_middle_of_the_box(z):
    assert (abs(on_grid(z).astype(int) - GRID / 2) <= 0.5).all()


def test_points_that_nearly_coincide_are_distinct():
    far = on_grid(np.eye(2)).tolist()
    assert on_grid(np.eye(2) * 1e-300).tolist() == far and far[0] != far[1]


def test_points_that_are_not_finite_are_left_out_and_many_are_thinned():
    z = RNG.normal(size=(7000, 2))
    z[3], z[5] = np.nan, np.inf
    shown = picture("r", row(z=z, labels=np.arange(7000) % 7))
    kept = np.delete(np.arange(7000), [3, 5])[::3]  # 2333 of 3000 that are allowed
    np.testing.assert_array_equal(shown.xy, on_grid(z[kept]))
    np.testing.assert_array_equal(shown.color, kept % 7)
    assert shown.n == 7000


# ------------------------------------------------------- scores and numbers


def test_the_main_scores_own_raw_counterpart_is_shown():
    scores = {"probe": 0.9, "raw 10-NN": 0.5, "raw probe": 0.4}
    assert picture("r", row(scores=scores)).raw == ("raw probe", 0.4)
    other = {"probe": 0.9, "raw 10-NN": 0.5}
    assert picture("r", row(scores=other)).raw == ("raw 10-NN", 0.5)
    assert picture("r", row(scores={"probe": 0.9})).raw is None


def test_a_bar_is_of_scores_from_0_to_1():
    bar = lambda **scores: picture("r", row(scores=scores)).bar
    assert bar(probe=1.0, raw=0.0) == [1.0, 0.0]
    assert bar(probe=1.5, raw=-0.1) == [None, None]
    assert bar(probe=None) == bar() == [None, None]


def test_the_small_print_is_the_protocol_and_the_raw_score():
    assert picture("r", row()).small_print == ["leave-one-out", "raw 10-NN 0.970"]
    assert picture("r", row(scores={}, protocol="")).small_print == []


def test_numbers_are_short_and_only_those_there_are():
    assert picture("r", row(seed=3)).numbers == {
        "loss value": "1.25",
        "seconds": "2.5",
        "n": "30",
        "seed": "3",
    }
    none = picture("r", row(loss_value=float("nan"), seconds=None, n=99))
    assert none.numbers == {"n": "99"}
    assert score_text(2 / 3) == "0.667" and score_text(float("inf")) == "none"


def test_results_that_went_through_json_are_read():
    plain = row(
        z=Z.tolist(), labels=Y.tolist(), scores={"10-NN": None}, loss_value=None
    )
    shown, same = picture("r", json.loads(json.dumps(plain))), picture("r", row())
    np.testing.assert_array_equal(shown.xy, same.xy)
    np.testing.assert_array_equal(shown.color, same.color)
    assert np.isnan(shown.scores["10-NN"]) and "loss value" not in shown.numbers
    assert picture("r", row(z=[], labels=[], clusters=[])).n == 0


# ------------------------------------------------------- squares


def test_squares_are_in_the_order_in_which_they_first_occur():
    squares = by_square(pictures(RESULTS))
    assert list(squares)[:2] == [("Gaussian", "Student-t"), ("Gaussian", "Clusters")]
    graph = [shown.text["name"] for shown in squares["Graph", "Gaussian"]]
    assert graph == [f"graph method {i}" for i in range(5)]
    assert beyond_grid(squares) == [("Tokens", "Yes or no"), ("Classes", "Class sums")]


# ------------------------------------------------------- refusals


BAD = {
    "none": ([], "results", "nothing"),
    "not a dict": (["t-SNE"], "results[0]", "str"),
    "no status": (
        [{k: v for k, v in row().items() if k != "status"}],
        "results[0]",
        "got no status",
    ),
    "a status": ([row(), row(status="grey")], "results[1]['status']", "'grey'"),
    "three dimensions": ([row(z=np.ones((30, 3)))], "results[0]['z']", "(30, 3)"),
    "a stack": ([row(z=np.ones((2, 15, 2)))], "results[0]['z']", "(2, 15, 2)"),
    "words": ([row(z=np.full((30, 2), "a"))], "results[0]['z']", "<U1"),
    "labels": ([row(labels=Y[:4])], "results[0]['labels']", "length 4"),
    "clusters": ([row(clusters=Y + 0.5)], "results[0]['clusters']", "float64"),
}


@pytest.mark.parametrize("draw", [plot.table, plot.page])
@pytest.mark.parametrize("case", BAD)
def test_bad_results_are_refused(case, draw, tmp_path):
    results, argument, got = BAD[case]
    with pytest.raises(InvalidInput) as refusal:
        draw(results, tmp_path / "file")
    assert refusal.value.argument == argument and got in str(refusal.value)
    assert not list(tmp_path.iterdir())
