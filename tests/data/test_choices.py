"""Are choices drawn by tastes that are known, and every layout of MovieLens read?"""

import numpy as np
import pytest

import icon
from icon import data
from icon._base.checks import InvalidInput


FOUND = data.ratings(400, 80, 1)


def test_a_rating_is_of_what_was_chosen_and_its_level_a_whole_number():
    ratings, counts = FOUND.also["ratings"], FOUND.also["counts"]
    assert np.array_equal(ratings > 0, counts == 1)
    assert set(np.unique(ratings)) == {0, 1, 2, 3, 4, 5}
    assert counts.sum(1).min() >= 5 and counts.sum(1).max() <= 20
    assert FOUND.features.shape == (400, 80) and FOUND.labels is None


def test_items_are_chosen_and_rated_by_the_score():
    score, counts, ratings = (FOUND.also[x] for x in ("truth", "counts", "ratings"))
    chosen, others = score[counts > 0].mean(), score[counts == 0].mean()
    assert chosen - others > 1
    # a first choice has the probability of the softmax: what is largest is chosen most
    best = counts[np.arange(400), score.argmax(1)].mean()
    assert best > 0.8 > counts.mean()
    taste = score - score.mean(0)
    assert np.corrcoef(taste[ratings > 0], ratings[ratings > 0])[0, 1] > 0.4


def test_the_seed_decides():
    again, other = data.ratings(400, 80, 1), data.ratings(400, 80, 2)
    assert np.array_equal(again.also["ratings"], FOUND.also["ratings"])
    assert (other.also["ratings"] != FOUND.also["ratings"]).any()


LAYOUTS = {
    "u.data": "3\t10\t4\t881250949\n1\t10\t2\t881250950\n3\t7\t5\t1\n",
    "ratings.dat": "3::10::4::881250949\n1::10::2::881250950\n3::7::5::1\n",
    "ratings.csv": "userId,movieId,rating,time\n3,10,4.0,8\n1,10,2.0,9\n3,7,5.0,1\n",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read(name, tmp_path):
    (tmp_path / name).write_text(LAYOUTS[name])
    found = data.movielens(tmp_path / name)
    assert found.also["ratings"].tolist() == [[0, 2], [5, 4]]  # by rising ids
    assert found.also["counts"].tolist() == [[0, 1], [1, 1]]
    assert found.words == ("1", "3") and found.name == tmp_path.name


def test_halves_of_stars_stay_and_a_later_line_counts(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text(
        "userId,movieId,rating,timestamp\n1,1,0.5,1\n1,2,3.0,2\n1,1,4.5,3\n"
    )
    assert data.movielens(path).also["ratings"].tolist() == [[4.5, 3]]


WRONG = {
    "a word": "1\t2\tgood\t3\n",
    "a short line": "1\t2\t3\t4\n1\t2\n",
    "nothing": "",
    "a header alone": "userId,movieId,rating,timestamp\n",
    "no rating": "1\t2\t0\t4\n",
    "infinite": "1\t2\tinf\t4\n",
    "not text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_rating_is_refused(name, tmp_path):
    path, text = tmp_path / "u.data", WRONG[name]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInput) as refusal:
        data.movielens(path)
    assert refusal.value.argument == "path"


def test_the_line_is_named(tmp_path):
    (tmp_path / "u.data").write_text("1\t2\t3\t4\n1\tx\t3\t4\n")
    with pytest.raises(InvalidInput, match=r"'1\\tx\\t3\\t4' in line 2 of u\.data"):
        data.movielens(tmp_path / "u.data")


@pytest.mark.parametrize(
    "call, argument",
    [
        (lambda: data.ratings(1), "users"),
        (lambda: data.ratings(9, 39), "items"),
        (lambda: data.ratings(9, 40, -1), "seed"),
        (lambda: data.movielens("no such file"), "path"),
        (lambda: data.movielens(3), "path"),
    ],
)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(InvalidInput) as refusal:
        call()
    assert refusal.value.argument == argument


def test_ratings_are_numbers_from_0():
    with pytest.raises(
        icon.InvalidInput, match=r"^also\['ratings'\]: expected numbers"
    ):
        data.dataset("x", np.ones((2, 3)), None, {"ratings": -np.ones((2, 4))})
