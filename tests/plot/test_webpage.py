"""Is the table one page that needs nothing else, and shows markup as text?"""

import base64
import json
import re
import sys
from importlib import resources

import numpy as np
import pytest
from table_rows import RESULTS, TAKEN, row

from icon import plot
from icon.plot.results import pictures


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "table.html"
    plot.page(RESULTS, path)
    return path.read_text(encoding="utf-8")


def test_it_has_every_name_and_number(page):
    for result in RESULTS:
        assert result["name"] in page
    for text in ("nearest(perplexity=30)", "0.981", "0.970", "1.25", "held-out 30%"):
        assert text in page
    assert "van der Maaten &amp; Hinton 2008" in page
    assert "beyond the grid" in page and "it diverged" in page


def test_it_has_the_empty_squares(page):
    assert page.count('class="empty"') == 45 - TAKEN


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


FIELDS = ("name", "column", "row", "p", "q", "loss", "reference", "protocol", "note")


@pytest.mark.parametrize("field", [*FIELDS, "scores", "seed", "n"])
def test_what_looks_like_markup_is_shown_as_text(field, tmp_path):
    evil = '<script>alert("&")</script>'
    value = {evil: 0.5, f"raw {evil}": 0.25} if field == "scores" else evil
    plot.page([row(**{field: value})], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert evil not in text and "<script>alert" not in text
    assert "&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;" in text


def test_it_needs_no_matplotlib(page, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    plot.page(RESULTS, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
