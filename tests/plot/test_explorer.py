"""Is an embedding one page that needs nothing else, and does it answer the mouse?"""

import base64
import contextlib
import csv
import html
import io
import json
import re
import sys
import time

import numpy as np
import pytest
from browser import browser, found
from matplotlib.colors import to_rgb
from PIL import Image

from icon import plot
from icon._base.checks import InvalidInput
from icon.plot.colors import palette


RNG = np.random.default_rng(0)
EVIL = '</script><img src=x onerror="alert(1)">&'
N = 120
GROUP = np.arange(N) % 3
# three crowds, far from one another
Z = RNG.normal(size=(N, 2)) + 40 * np.array([[0, 0], [1, 0], [0, 1]])[GROUP]
COLUMNS = {
    "animal": np.array(["cat", EVIL, "emu"])[GROUP],
    "age": np.where(np.arange(N) % 10 == 0, np.nan, np.arange(N) / 7),
    "big": np.arange(N) + 2.0**40,
    "text": np.array([f'={i} "rows", the {i}th' for i in range(N)]),
    EVIL: GROUP == 1,
}
IMAGES = RNG.integers(0, 255, (N, 8, 8)).astype(np.uint8)
TYPES = dict(Uint8Array="u1", Uint16Array="<u2", Float32Array="<f4", Float64Array="<f8")


def written(path, *given, **more):
    plot.explorer(given[0], path, *given[1:], **more)
    return path.read_text(encoding="utf-8")


def data_of(page):
    return json.loads(page.split('id="data">')[1].split("</script>")[0])


def array(packed):
    return np.frombuffer(base64.b64decode(packed["bytes"]), TYPES[packed["type"]])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    plot.explorer(Z, path, COLUMNS, images=IMAGES, title=EVIL)
    return path


@pytest.fixture(scope="module")
def page(path):
    return path.read_text(encoding="utf-8")


# ------------------------------------------------------- what is in the file


def test_it_has_every_point_on_one_scale(page):
    xy = array(data_of(page)["points"]).reshape(N, 2).astype(float)
    span = np.ptp(Z, axis=0).max()
    np.testing.assert_allclose(xy / 65535 * span + Z.min(0), Z, atol=span / 65535)


def test_points_of_space_have_every_axis_on_one_scale(tmp_path):
    z = RNG.normal(size=(50, 3)) * [1, 2, 9]
    found = data_of(written(tmp_path / "a.html", z))
    space = array(found["points"]).reshape(50, found["axes"]).astype(float)
    span = np.ptp(z, axis=0).max()
    np.testing.assert_allclose(space / 65535 * span + z.min(0), z, atol=span / 65535)


def test_it_has_every_column(page):
    animal, age, big, text, evil = data_of(page)["known"]
    assert animal["names"] == sorted({*COLUMNS["animal"]})
    codes = array(animal["codes"])
    assert [animal["names"][c] for c in codes] == [*COLUMNS["animal"]]
    assert animal["colors"] == palette(3)
    np.testing.assert_allclose(array(age["values"]), COLUMNS["age"], rtol=1e-6)
    np.testing.assert_array_equal(array(big["values"]), COLUMNS["big"])
    assert [text["names"][c] for c in array(text["codes"])] == [*COLUMNS["text"]]
    assert evil["names"] == ["False", "True"] and evil["name"] == EVIL


def test_a_column_of_very_many_names_has_no_colors(tmp_path):
    names = [str(i) for i in range(501)]
    page = written(tmp_path / "a.html", RNG.normal(size=(501, 2)), {"name": names})
    (name,) = data_of(page)["known"]
    assert name["colors"] == [] and len(name["names"]) == 501
    assert name["codes"]["type"] == "Uint16Array"


def test_integers_of_very_many_values_are_on_a_scale(tmp_path):
    z, year = RNG.normal(size=(600, 2)), np.arange(600) + 1400
    page = written(tmp_path / "a.html", z, {"year": year, "decade": year // 10})
    one, two = data_of(page)["known"]
    np.testing.assert_array_equal(array(one["values"]), year)
    assert len(two["colors"]) == len(two["names"]) == 60


def test_a_frame_of_pandas_has_columns(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    names = pandas.Series(["b", "a", "b"])
    frame = pandas.DataFrame(
        {"name": names, "kind": names.astype("category"), "x": 0.5}
    )
    page = written(tmp_path / "a.html", np.eye(3)[:, :2], dict(frame))
    name, kind, x = data_of(page)["known"]
    assert name["names"] == kind["names"] == ["a", "b"]
    assert array(name["codes"]).tolist() == array(kind["codes"]).tolist() == [1, 0, 1]
    assert array(x["values"]).tolist() == [0.5] * 3


def own(page):
    """The page without plotly.js."""
    from plotly.offline import get_plotlyjs

    assert page.count(get_plotlyjs()) == 1
    return page.replace(get_plotlyjs(), "")


def test_it_needs_nothing_else(page):
    data = page.split('id="data">')[1].split("</script>")[0]
    page = own(page).replace(html.escape(EVIL), "").replace(data, "")
    assert not re.search(r"https?:|\ssrc=|\shref=|@import|url\(", page)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    allowed = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    assert allowed["default-src"] == ["'none'"] and "connect-src" not in allowed
    sources = {source for rule in allowed.values() for source in rule}
    assert sources == {"'none'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}


def test_what_looks_like_markup_is_text(page):
    page = own(page)
    assert EVIL not in page and "<img" not in page
    assert page.count("</script>") == 3
    assert page.count(html.escape(EVIL)) == 2  # the title, twice


def test_its_script_never_makes_markup_of_text(page):
    script = own(page).split("<script>")[-1]
    assert "textContent" in script
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write", script)


def test_it_is_the_same_bytes_each_time(path, tmp_path):
    plot.explorer(Z, tmp_path / "again.html", COLUMNS, images=IMAGES, title=EVIL)
    assert (tmp_path / "again.html").read_bytes() == path.read_bytes()


def test_seventy_thousand_points_with_images_are_less_than_ten_megabytes(tmp_path):
    n = 70_000
    noise = RNG.integers(0, 255, (n, 14, 14)).astype(np.uint8)  # nothing to compress
    columns = {"class": np.arange(n) % 10}
    space = RNG.normal(size=(n, 3))
    plot.explorer(space, tmp_path / "a.html", columns, images=noise)
    assert (tmp_path / "a.html").stat().st_size < 10e6
    alone = tmp_path / "b.html"
    plot.explorer(RNG.normal(size=(n, 2)), alone, columns)
    assert alone.stat().st_size < 5.5e6


def test_without_columns_all_points_are_of_one_color(tmp_path):
    page = written(tmp_path / "a.html", Z)
    found = data_of(page)
    assert found["known"] == [] and found["sheet"] is None and found["n"] == N
    assert "<title>points</title>" in page


def test_without_plotly_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ImportError, match=r"pip install 'icon-jax\[explore\]'"):
        plot.explorer(Z, tmp_path / "a.html")


@pytest.mark.parametrize(
    "given, more, argument, got",
    [
        ((np.ones((4, 4)),), {}, "z", "(4, 4)"),
        ((Z, {"a": [1, 2]}), {}, "columns['a']", "(2,)"),
        ((Z, {"a": np.full(N, np.nan)}), {}, "columns['a']", "no number"),
        ((Z, {"a": None}), {}, "columns['a']", "None"),
        ((Z, [1, 2]), {}, "columns", "a list"),
        ((Z,), dict(images=IMAGES[:3]), "images", "(3, 8, 8)"),
    ],
)
def test_what_cannot_be_explored_is_refused(given, more, argument, got, tmp_path):
    with pytest.raises(InvalidInput) as refusal:
        written(tmp_path / "a.html", *given, **more)
    assert refusal.value.argument == argument and got in str(refusal.value)
    assert not (tmp_path / "a.html").exists()


def test_a_file_in_no_folder_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="^path: .* a folder that exists"):
        plot.explorer(Z, tmp_path / "no" / "a.html")


# ------------------------------------------------------- in a browser


headless = pytest.mark.skipif(found() is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def chromium():
    with browser() if found() else contextlib.nullcontext() as made:
        yield made


def opened(chromium, path):
    """A page in a tab of its own, where there is a browser."""
    if chromium:
        chromium.open(path)
    return chromium and chromium.session


@contextlib.contextmanager
def looking_at(chromium, session):
    """A page that was opened, as it is at first; it complains of nothing."""
    chromium.session = session
    chromium.value("at('by').selectedIndex = 0; at('by').onchange().then(() => 1)")
    chromium.value("at('clear').onclick().then(() => 1)")
    yield chromium
    assert chromium.complaints() == []


@pytest.fixture(scope="module")
def usual(chromium, path):
    return opened(chromium, path)


@pytest.fixture
def tab(chromium, usual):
    with looking_at(chromium, usual) as page:
        yield page


WHERE = """(row => {
  const box = plot.getBoundingClientRect(), full = plot._fullLayout;
  return [box.left + full._size.l + full.xaxis.c2p(points[2 * row]),
    box.top + full._size.t + full.yaxis.c2p(points[2 * row + 1])];
})"""


def count(tab):
    return int(tab.value("at('count').textContent").split()[0].replace(",", ""))


@headless
def test_it_draws_points_of_every_color(tab):
    colors = tab.value("[...new Set(plot.data[0].marker.color)].sort()")
    assert colors == sorted(palette(3)) and count(tab) == N
    pixels = tab.screenshot()
    assert pixels[1:4] == b"PNG" and len(pixels) > 20_000


@headless
def test_pointing_at_a_point_shows_its_row_and_its_image(tab):
    row = int(np.argmin(Z[:, 0]))  # at the edge of its crowd
    x, y = tab.value(f"{WHERE}({row})")
    end = time.monotonic() + 20
    while tab.value("at('card').hidden"):  # the page may be busy when the mouse moves
        assert time.monotonic() < end, tab.complaints()
        tab.mouse("mouseMoved", x + 1, y)
        tab.mouse("mouseMoved", x, y)
        time.sleep(0.1)
    texts = tab.value("[...at('card').querySelectorAll('dd')].map(x => x.textContent)")
    assert texts[0] == str(row) and texts[1] == COLUMNS["animal"][row]
    assert texts[4] == COLUMNS["text"][row]
    tab.wait(
        "at('card').querySelector('canvas').getContext('2d')"
        ".getImageData(0, 0, 96, 96).data.some(x => x > 0 && x < 255)"
    )
    tab.mouse("mouseMoved", 5, 400)
    tab.wait("at('card').hidden")


def waited_for(path, seconds=10):
    """A file, once it is there."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"no {path.name}"
        time.sleep(0.05)
    return path


@headless
def test_a_lasso_chooses_rows_and_they_are_saved(tab, tmp_path):
    crowd = np.flatnonzero(GROUP == 1)
    at = np.array([tab.value(f"{WHERE}({row})") for row in crowd])
    (left, top), (right, low) = at.min(0) - 15, at.max(0) + 15
    tab.drag([(left, top), (right, top), (right, low), (left, low), (left, top)])
    tab.wait("chosen !== null")
    assert tab.value("chosen") == crowd.tolist() and count(tab) == 40
    assert len(tab.value("[...at('rows').children].map(x => 1)")) == 40
    allowed = dict(behavior="allow", downloadPath=str(tmp_path))
    tab.ask("Browser.setDownloadBehavior", **allowed)
    tab.value("at('save').click()")
    file = waited_for(tmp_path / "rows.csv")
    with open(file, newline="", encoding="utf-8") as opened:
        head, *lines = csv.reader(opened)
    assert head == ["row", *COLUMNS] and len(lines) == 40
    assert lines[0][:2] == ["1", EVIL]
    assert np.float32(lines[0][2]) == np.float32(1 / 7)
    # a spreadsheet would run a text that begins with "="
    assert lines[0][3:] == [str(2**40 + 1), "'" + COLUMNS["text"][1], "True"]


@headless
def test_a_search_looks_into_all_columns(tab):
    find = "at('find').value = {!r}; at('find').oninput().then(() => chosen)"
    assert tab.value(find.format(" 17TH ")) == [17, 117]
    assert tab.value(find.format("17")) == [17, 117, 119]  # row, text, age: 119 / 7
    assert tab.value(find.format("nothing like it")) == []
    assert tab.value("at('save').disabled")
    assert tab.value(find.format("")) is None and count(tab) == N


@headless
def test_a_click_on_a_class_chooses_its_rows(tab):
    names = tab.value("[...at('key').querySelectorAll('span')].map(x => x.textContent)")
    assert names == sorted({*COLUMNS["animal"]})
    tab.value(f"at('key').querySelectorAll('button')[{names.index('emu')}].click()")
    assert tab.value("chosen") == np.flatnonzero(GROUP == 2).tolist()


@headless
def test_numbers_color_the_points_and_missing_ones_are_gray(tab):
    options = tab.value("[...at('by').options].map(x => x.textContent)")
    assert options == ["animal", "age", "big", "text", EVIL]
    tab.value("at('by').selectedIndex = 1; at('by').onchange().then(() => 1)")
    drawn = tab.value("plot.data.map(x => [...x.x].filter(Number.isFinite).length)")
    assert drawn == [12, 108] and tab.value("plot.data[1].marker.showscale")
    assert tab.value("at('key').children.length") == 0


@headless
def test_every_thing_can_be_chosen_again(tab):
    tab.value("choose([1, 2]).then(() => 1)")
    for kind in ("rawKeyDown", "keyUp"):
        tab.ask("Input.dispatchKeyEvent", type=kind, key="Escape")
    tab.wait("chosen === null")
    assert tab.value("chosen") is None and tab.value("at('rows').children.length") == 0
    points = tab.value("plot.data.map(x => x.selectedpoints ?? null)")
    assert points == [None]


# ------------------------------------------------------- names among the points


CLASSES = 40
NAMES = [f"{'long ' * (k % 4)}class {k} <b>&" for k in range(CLASSES)]
# crowds of few pixels that nearly all lie over each other, one of them far away
CROWD = np.repeat(np.arange(CLASSES), 5 + np.arange(CLASSES))
NEAR = 0.4 * RNG.normal(size=(CLASSES, 2)) + 9 * (np.arange(CLASSES) == 7)[:, None]


@pytest.fixture(scope="module")
def crowd(chromium, tmp_path_factory):
    path = tmp_path_factory.mktemp("crowded") / "page.html"
    z = NEAR[CROWD] + 0.02 * RNG.normal(size=(len(CROWD), 2))
    plot.explorer(z, path, {"name": np.array(NAMES)[CROWD], "number": z[:, 0]})
    return opened(chromium, path)


@pytest.fixture
def crowded(chromium, crowd):
    with looking_at(chromium, crowd) as page:
        yield page


BOXES = """[...plot.querySelectorAll(".annotation-text-g")].map(x => {
  const { left, top, right, bottom } = x.getBoundingClientRect();
  return [x.textContent, left, top, right, bottom]; })"""


def covering(boxes):
    """Pairs of names of which one covers the other."""
    return [
        (a, b)
        for i, (a, *one) in enumerate(boxes)
        for b, *two in boxes[:i]
        if one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]
    ]


@headless
def test_no_name_covers_another_and_the_largest_class_has_its_own(crowded):
    boxes = crowded.value(BOXES)
    texts = [text for text, *_ in boxes]
    assert covering(boxes) == [] and 3 <= len(texts) < CLASSES
    cut = lambda name: name if len(name) <= 24 else f"{name[:23]}…"
    assert cut(NAMES[-1]) in texts and cut(NAMES[7]) in texts  # largest, alone
    assert {*texts} <= {*map(cut, NAMES)}


@headless
def test_a_name_is_at_the_medians_of_its_class(crowded):
    found = crowded.value("names.map(({ text, count, x, y }) => [text, count, x, y])")
    assert [count for _, count, *_ in found] == [*range(CLASSES + 4, 4, -1)]
    points = np.reshape(crowded.value("[...points]"), (-1, 2))
    for code, (_, _, *place) in zip(range(CLASSES)[::-1], found, strict=True):
        assert place == np.median(points[CROWD == code], axis=0).tolist()


@headless
def test_zooming_in_makes_room_for_names(crowded):
    few = len(crowded.value(BOXES))
    before = crowded.value("[plot.layout.xaxis.range, plot.layout.yaxis.range]")
    # the middle of the large crowd, four times as large
    center = np.median(np.reshape(crowded.value("[...points]"), (-1, 2)), axis=0)
    ranges = [[c - 2500, c + 2500] for c in center.tolist()]
    zoom = "Plotly.relayout(plot, {{ 'xaxis.range': {}, 'yaxis.range': {} }})"
    crowded.value(zoom.format(*ranges) + ".then(() => 1)")
    crowded.wait(f"({BOXES}).length > {few}")
    boxes = crowded.value(BOXES)
    assert covering(boxes) == []
    crowded.value(zoom.format(*before) + ".then(() => 1)")
    crowded.wait(f"({BOXES}).length === {few}")


@headless
def test_numbers_have_no_names(crowded):
    recolor = "at('by').selectedIndex = {}; at('by').onchange().then(() => 1)"
    crowded.value(recolor.format(1))
    assert crowded.value(BOXES) == []
    crowded.value(recolor.format(0))
    assert crowded.value(BOXES)


# ------------------------------------------------------- points of space


SPACE = 4 * np.eye(3)[GROUP] + 0.3 * RNG.normal(size=(N, 3))


@pytest.fixture(scope="module")
def room(chromium, tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "page.html"
    plot.explorer(SPACE, path, COLUMNS, images=IMAGES, title="space")
    return opened(chromium, path)


@pytest.fixture
def space(chromium, room):
    with looking_at(chromium, room) as page:
        yield page


EYE = "Object.values(plot._fullLayout.scene._scene.getCamera().eye)"


@headless
def test_points_of_space_are_turned_by_dragging_and_come_nearer(space):
    assert space.value("plot.data.map(x => x.type)") == ["scatter3d"]
    drawn = (
        "Array.from(place, i => ['x', 'y', 'z'].map(k => plot.data[0][k][i])).flat()"
    )
    assert space.value(drawn) == space.value("[...points]")
    first, pixels = space.value(EYE), space.screenshot()
    space.drag([(350, 400), (480, 470)])
    space.wait(f"Math.hypot(...{EYE}.map((x, k) => x - {first}[k])) > .2")
    assert space.screenshot() != pixels
    turned = space.value(EYE)
    space.mouse("mouseWheel", 400, 400, deltaX=0, deltaY=-400)
    space.wait(f"Math.hypot(...{EYE}) < {np.linalg.norm(turned) - 0.05}")


@headless
def test_pointing_at_a_point_of_space_shows_its_row(space):
    with Image.open(io.BytesIO(space.screenshot())) as pixels:
        inside = np.asarray(pixels.convert("RGB"), int)[60:, :880]
    # what is nearly of the second color, and neither paper nor ink
    blue = np.abs(inside - 255 * np.array(to_rgb(palette(3)[1]))).sum(-1) < 40
    places = np.argwhere(blue)[:: max(1, blue.sum() // 50)] + [60, 0]
    end = time.monotonic() + 20
    for y, x in places.tolist():
        space.mouse("mouseMoved", x, y)
        if not space.value("at('card').hidden"):
            break
        assert time.monotonic() < end, space.complaints()
    texts = space.value(
        "[...at('card').querySelectorAll('dd')].map(x => x.textContent)"
    )
    assert (
        texts[1] == COLUMNS["animal"][int(texts[0])] == sorted({*COLUMNS["animal"]})[1]
    )
    top = f"Math.min({y + 16}, innerHeight - at('card').offsetHeight - 8)"
    assert space.value(f"parseFloat(at('card').style.top) === {top}")


@headless
def test_points_of_space_that_are_not_chosen_fade(space):
    space.value("at('by').selectedIndex = 1; at('by').onchange().then(() => 1)")
    eye = space.value(EYE)
    space.value("choose([1, 2, 10]).then(() => 1)")
    drawn = space.value(
        "plot.data.map(({ marker, z }) => "
        "[marker.opacity, [...z].filter(Number.isFinite).length])"
    )
    assert [count for _, count in drawn] == [11, 1, 106, 2]  # 10 has no age
    assert drawn[0][0] == drawn[2][0] < drawn[1][0] == drawn[3][0]
    ends = space.value("plot.data.slice(2).map(x => [x.marker.cmin, x.marker.cmax])")
    age = np.float32(COLUMNS["age"])
    assert ends == [[np.nanmin(age), np.nanmax(age)]] * 2 and space.value(EYE) == eye
    space.value("at('clear').onclick().then(() => 1)")
    assert len(space.value("plot.data.map(x => x.type)")) == 2
