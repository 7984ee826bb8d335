"""Is every row of results read, or refused by name?"""

import json

import numpy as np
import pytest
from table_rows import RNG, Y, Z, row

from icon import plot
from icon._base.checks import InvalidInput
from icon.plot.results import (
    FLOORS,
    GRID,
    WHISKER,
    on_grid,
    picture,
    pictures,
    reading,
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


@pytest.mark.parametrize("far", [1, 10])
def test_a_few_far_points_do_not_shrink_the_others(far):
    z = np.concatenate([RNG.normal(size=(1000 - far, 2)), far * [[1e6, 0]]])
    xy = on_grid(z).astype(int)
    assert np.ptp(xy[:-far], axis=0).min() > GRID / 3
    assert (xy[-far:, 0] == GRID).all()


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


# ------------------------------------------------------- several seeds, floors

LOW = dict(score="10-NN", value=0.99, held=False, why="0.99 was published")


def test_a_score_has_its_standard_error():
    scores = {"10-NN": 0.981, "probe": 0.5}
    shown = picture("r", row(scores=scores, errors={"10-NN": 0.004}))
    assert shown.main_text == "0.981 ± 0.004" and shown.score("probe") == "0.500"
    assert shown.whisker == pytest.approx((0.977, 0.985))
    unknown = picture("r", row(errors={"10-NN": None}))
    assert unknown.main_text == "0.981" and unknown.whisker is None


def test_a_small_error_is_not_written_as_none():
    assert score_text(0.5, 0.0) == "0.500 ± 0.000"
    assert score_text(0.5, 0.0002) == "0.500 ± 0.0002"
    assert score_text(float("nan"), 0.1) == "none"


def test_a_whisker_stays_within_the_bar():
    assert picture("r", row(errors={"10-NN": 0.1})).whisker == (
        pytest.approx(0.881),
        1.0,
    )
    beyond = row(scores={"loss": 3.0}, errors={"loss": 0.1})
    assert picture("r", beyond).whisker is None
    assert picture("r", row(scores={})).whisker is None


def test_seeds_and_learned_numbers_are_in_the_small_print():
    shown = picture("r", row(seeds=5, learned={"temperature": 0.0512345, "s": 2}))
    assert shown.small_print[-1] == "5 seeds"
    assert shown.learned_text == "temperature 0.05123, s 2"
    assert picture("r", row(seeds=np.int64(1))).small_print[-1] == "1 seed"
    lost = picture("r", row(learned={"scale": None}))
    assert lost.learned_text == "scale not finite"


def test_a_score_below_its_floor_is_all_that_the_small_print_says():
    shown = picture("r", row(seeds=5, floor=LOW))
    assert shown.below and shown.small_print == ["below its floor 0.99"]
    other = picture("r", row(floor=LOW | dict(score="probe")))
    assert other.small_print == ["probe below its floor 0.99"]
    assert other.least is None and shown.least == 0.99


def test_a_floor_that_is_held_is_on_the_bar():
    shown = picture("r", row(floor=dict(score="10-NN", value=0.75, held=True)))
    assert not shown.below and shown.least == 0.75
    assert ("floor", "10-NN at least 0.75, held") in shown.terms
    assert shown.small_print == picture("r", row()).small_print
    far = picture("r", row(floor=dict(score="10-NN", value=1.75, held=False)))
    assert far.least is None and far.below


def test_the_terms_are_all_that_is_known():
    more = dict(errors={"10-NN": 0.004}, seeds=5, learned={"t": 0.1}, floor=LOW)
    shown = picture("r", row(**more, trained="a perceptron, Adam", note="so"))
    assert shown.terms == [
        ("p", "nearest(perplexity=30)"),
        ("q", "student_t"),
        ("loss", "kl(joint=True)"),
        ("reference", "van der Maaten & Hinton 2008"),
        ("10-NN", "0.981 ± 0.004"),
        ("raw 10-NN", "0.970"),
        ("floor", "10-NN at least 0.99, not held: 0.99 was published"),
        ("protocol", "leave-one-out"),
        ("seeds", "5"),
        ("learned", "t 0.1"),
        ("trained", "a perceptron, Adam"),
        ("loss value", "1.25"),
        ("seconds", "2.5"),
        ("n", "30"),
        ("note", "so"),
    ]


def test_a_score_does_not_take_the_place_of_a_formula_of_its_name():
    terms = picture("r", row(scores={"loss": 3.0})).terms
    assert ("loss", "kl(joint=True)") in terms and ("loss", "3.000") in terms


def test_what_is_not_given_is_not_claimed():
    nothing = ("errors", "seeds", "learned", "floor", "trained", "failed")
    shown = picture("r", row(**dict.fromkeys(nothing)))
    assert shown == shown and not shown.below and not shown.failed
    assert shown.terms == picture("r", row()).terms


def test_only_the_marks_that_are_drawn_are_explained():
    plain = reading(pictures([row()]))
    assert plain.startswith("1 method. ") and not plain.endswith((WHISKER, FLOORS))
    marked = reading(pictures([row(), row(errors={"10-NN": 0.1}), row(floor=LOW)]))
    assert marked.startswith("3 methods. ") and marked.endswith(f"{WHISKER} {FLOORS}")


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
    "no errors": ([row(errors=3)], "results[0]['errors']", "a int"),
    "an error": ([row(errors={"10-NN": "a"})], "results[0]['errors']", "'a'"),
    "an error below 0": ([row(errors={"10-NN": -0.1})], "results[0]['errors']", "-0.1"),
    "an error of none": ([row(errors={"9-NN": 0.1})], "results[0]['errors']", "'9-NN'"),
    "no seeds": ([row(seeds=0)], "results[0]['seeds']", "got 0"),
    "half a seed": ([row(seeds=2.5)], "results[0]['seeds']", "2.5"),
    "learned": ([row(learned={"t": "a"})], "results[0]['learned']", "'a'"),
    "learned nothing": ([row(learned=[1])], "results[0]['learned']", "list"),
    "a floor": ([row(floor=0.5)], "results[0]['floor']", "float"),
    "half a floor": (
        [row(floor=dict(score="a"))],
        "results[0]['floor']",
        "no value, h",
    ),
    "no number": (
        [row(floor=LOW | dict(value=None))],
        "results[0]['floor']['value']",
        "nan",
    ),
    "perhaps": (
        [row(floor=LOW | dict(held=1))],
        "results[0]['floor']['held']",
        "got 1",
    ),
    "failed": ([row(failed="yes")], "results[0]['failed']", "'yes'"),
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
