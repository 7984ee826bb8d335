"""Is the table one page that needs nothing else, and shows markup as text?"""

import base64
import json
import re
import sys
from importlib import resources

import numpy as np
import pytest
from table_rows import RESULTS as FEW
from table_rows import TAKEN, row

from icon import plot
from icon.plot.results import pictures


RESULTS = [*FEW, row("one more", "Positive pairs", "Gaussian")]


def written(results, tmp_path):
    plot.page(results, tmp_path / "page.html")
    return (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "table.html"
    plot.page(RESULTS, path)
    return path.read_text(encoding="utf-8")


def test_it_has_every_name_and_number(page):
    for result in RESULTS:
        assert result["name"] in page
    for text in ("nearest(perplexity=30)", "0.981", "0.970", "1.25", "held-out rows"):
        assert text in page
    assert "van der Maaten &amp; Hinton 2008" in page
    assert "beyond the grid" in page and "it diverged" in page


def test_it_has_the_empty_squares(page):
    assert page.count('class="empty"') == 45 - TAKEN - 1


def test_it_needs_nothing_else(page):
    assert not re.search(r"https?:|\ssrc=|\shref=|@import|url\(", page)


@pytest.mark.parametrize("name", ["webpage.css", "webpage.js"])
def test_it_holds_its_style_and_its_script(page, name):
    text = resources.files("icon.plot").joinpath(name).read_text(encoding="utf-8")
    assert len(text) > 3000 and page.count(text) == 1


def test_it_is_the_same_bytes_each_time(page, tmp_path):
    plot.page(RESULTS, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_it_holds_the_points(page):
    text = page.split('id="points">')[1].split("</script>")[0]
    data = json.loads(text)
    for one, shown in zip(data, pictures(RESULTS), strict=True):
        xy = np.frombuffer(base64.b64decode(one["xy"]), "<u2").reshape(-1, 2)
        np.testing.assert_array_equal(xy, shown.xy)
        color = np.frombuffer(base64.b64decode(one["c"]), np.uint8)
        np.testing.assert_array_equal(color, shown.color)
        assert one["colors"] == shown.palette
        assert [tuple(ring) for ring in one["rings"]] == shown.rings


def test_every_picture_can_be_reached_and_is_described(page):
    buttons = re.findall(r'data-i="(\d+)" aria-describedby="more-(\d+)"', page)
    order = sorted(int(i) for i, _ in buttons)
    assert order == list(range(len(RESULTS)))
    assert all(i == j and f'id="more-{i}"' in page for i, j in buttons)


def test_a_square_is_shared_by_its_methods(tmp_path):
    for count, shapes in ((1, "w"), (2, "hh"), (3, "hqq"), (4, "qqqq"), (5, "hqqqq")):
        plot.page([row(str(i)) for i in range(count)], tmp_path / "page.html")
        text = (tmp_path / "page.html").read_text(encoding="utf-8")
        found = re.findall(r'class="tile (\w)\w+ known"', text)
        assert "".join(found) == shapes


# ------------------------------------------------------- several seeds, floors


LOW = dict(score="10-NN", value=0.99, held=False, why="0.99 was published")


def test_errors_seeds_and_learned_numbers_are_in_the_tile_and_in_the_card(tmp_path):
    more = dict(errors={"10-NN": 0.004}, seeds=5, learned={"temperature": 0.051})
    tile, card = written([row(**more), row()], tmp_path).split('class="more"')[:2]
    assert "10-NN <b>0.981 ± 0.004</b>" in tile and "<span>5 seeds</span>" in tile
    assert '<i class="whisker" style="left:97.70%;width:0.80%">' in tile
    assert "<span>temperature 0.051</span>" in tile
    assert "<dt>10-NN</dt><dd>0.981 ± 0.004</dd>" in card
    assert "<dt>seeds</dt><dd>5</dd>" in card
    assert "<dt>learned</dt><dd>temperature 0.051</dd>" in card


def test_what_was_trained_is_in_the_card(tmp_path):
    page = written([row(trained="a perceptron, <Adam>"), row()], tmp_path)
    assert "<dt>trained</dt><dd>a perceptron, &lt;Adam&gt;</dd>" in page


def test_a_score_below_its_floor_is_outlined_and_the_card_says_why(tmp_path):
    more = dict(seeds=5, learned={"temperature": 0.051})
    page = written([row(floor=LOW, **more), row()], tmp_path)
    assert page.count('class="tile half known below"') == 1
    tile, card = page.split('class="more"')[:2]
    assert "<small><span>below its floor 0.99</span></small>" in tile
    why = "10-NN at least 0.99, not held: 0.99 was published"
    assert f'<dt>floor</dt><dd class="low">{why}</dd>' in card
    style = page.split("</style>")[0]
    assert re.search(r"\.below \{ outline: [\d.]+px solid var\(--bad\)", style)


def test_a_floor_that_is_held_is_a_tick_and_a_line_of_the_card(tmp_path):
    held = LOW | dict(value=0.75, held=True, why="")
    page = written([row(floor=held), row()], tmp_path)
    assert page.count('<i class="floor" style="left:75.0%"></i>') == 1
    assert "<dt>floor</dt><dd>10-NN at least 0.75, held</dd>" in page
    assert not re.search(r'class="tile [^"]*below', page)


@pytest.mark.parametrize("count", [0, 30])
def test_a_run_that_raised_shows_its_note(count, tmp_path):
    points = dict(z=np.ones((count, 2)), labels=None)
    raised = row(failed=True, note="it <diverged>", **points)
    page = written([raised, row(failed=False)], tmp_path)
    assert page.count('class="tile half known failed"') == 1
    assert "<em>it &lt;diverged&gt;</em>" in page and page.count("<canvas>") == 1


# ------------------------------------------------------- few pictures


def test_few_pictures_have_only_the_columns_and_rows_in_use(tmp_path):
    places = [("kNN", "Student-t"), ("Tokens", "Yes or no"), ("Gaussian", "Clusters")]
    page = written([row(column=c, row=r) for c, r in places], tmp_path)
    heads = re.findall(r"<b role=(?:columnheader|rowheader)>(?:<span>)?([^<]*)<", page)
    columns, rows = ["Gaussian", "kNN", "Tokens"], ["Student-t", "Clusters"]
    assert heads == [*columns, *rows, "Yes or no"]
    assert page.count('class="empty"') == 9 - 3 and "beyond the grid" not in page
    assert '<body class="few" style="--columns:3">' in page


def test_many_pictures_have_all_of_them(page):
    assert '<body class="all" style="--columns:9">' in page


def test_one_picture_has_its_card_beside_it(tmp_path):
    page = written([row()], tmp_path)
    assert '<body class="alone" style="--columns:1">' in page
    assert ".alone .more { display: block" in page


def test_few_pictures_are_the_same_bytes_each_time(tmp_path):
    results = [row(floor=LOW, errors={"10-NN": 0.01}, learned={"a": 1, "b": 2})] * 3
    assert written(results, tmp_path) == written(results, tmp_path)


# ------------------------------------------------------- markup


FIELDS = ("name", "column", "row", "p", "q", "loss", "reference", "protocol", "note")
DICTS = dict(
    scores=lambda evil: {evil: 0.5, f"raw {evil}": 0.25},
    learned=lambda evil: {evil: 0.5},
    floor=lambda evil: dict(score=evil, value=0.5, held=False, why=evil),
)


@pytest.mark.parametrize("field", [*FIELDS, *DICTS, "trained", "seed", "n"])
def test_what_looks_like_markup_is_shown_as_text(field, tmp_path):
    evil = '<script>alert("&")</script>'
    value = DICTS[field](evil) if field in DICTS else evil
    plot.page([row(**{field: value})], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert evil not in text and "<script>alert" not in text
    assert "&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;" in text


def test_it_needs_no_matplotlib(page, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    plot.page(RESULTS, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
