"""Is everything drawn that was handed over, the same each time, and safely?"""

import builtins
import json
import re

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from icon import plot
from icon._base.checks import InvalidInput


RNG = np.random.default_rng(0)
Z = RNG.normal(size=(30, 2))
Y = np.arange(30) % 3


def row(name="t-SNE", column="Gaussian", row="Student-t", **more):
    given = dict(
        name=name,
        column=column,
        row=row,
        status="known",
        p="nearest(perplexity=30)",
        q="student_t",
        loss="kl(joint=True)",
        reference="van der Maaten & Hinton 2008",
        z=Z,
        labels=Y,
        clusters=None,
        scores={"10-NN": 0.981, "raw 10-NN": 0.97},
        protocol="leave-one-out",
        loss_value=1.25,
        seconds=2.5,
        note="",
    )
    return given | more


RESULTS = [
    row(),
    row("k-means", row="Clusters", clusters=(Y + 1) % 3, scores={"Hungarian": 0.8}),
    row("PCA", "Identity", "σ → ∞", status="new", labels=None, scores={}),
    row("t-CLIP", "Cross-modal pairs", status="predicted", protocol="held-out 30%"),
    *(row(f"graph method {i}", "Graph", "Gaussian") for i in range(5)),
    row("failed", "kNN", "σ → 0", z=np.zeros((0, 2)), labels=None, note="it diverged"),
    row("skip-gram, negative sampling", "Tokens", "Yes or no"),
    row("NCA", "Classes", "Class sums"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "table.html"
    plot.page(RESULTS, path)
    return path.read_text(encoding="utf-8")


# ------------------------------------------------------- the poster


def test_the_poster_is_a_png_and_the_same_bytes_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(plot, "_DPI", 20)
    plot.table(RESULTS, tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):
        plot.table(RESULTS, str(tmp_path / "b.png"))
    first = (tmp_path / "a.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert first == (tmp_path / "b.png").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


@pytest.fixture(scope="module")
def poster():
    return plot._poster(plot._pictures(RESULTS)).axes[0]


def test_the_poster_says_every_name_score_and_protocol(poster):
    said = [text.get_text().replace("\n", " ") for text in poster.texts]
    for result in RESULTS:
        assert result["name"] in said
    assert {*plot.COLUMNS, *plot.ROWS, "0.981", "beyond the grid"} <= set(said)
    assert "Tokens × Yes or no" in said and "it diverged" in said
    assert any("leave-one-out" in x and "raw 10-NN 0.970" in x for x in said)


def test_the_poster_outlines_the_empty_squares(poster):
    inside = {(r["column"], r["row"]) for r in RESULTS}
    taken = [at for at in inside if at[0] in plot.COLUMNS and at[1] in plot.ROWS]
    outlines = [patch for patch in poster.patches if not patch.get_fill()]
    assert len(outlines) == 45 - len(taken)


def test_no_text_of_the_poster_leaves_it(poster):
    renderer = poster.figure.canvas.get_renderer()
    width, height = poster.figure.bbox.size
    for text in poster.texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


def test_a_long_text_is_cut_not_illegible(poster):
    text = poster.text
    plot._say(poster, 1, 1, "word " * 60, 10, width=2.0)
    added = poster.texts[-1]
    assert added.get_fontsize() >= 10 * plot._LEAST * 0.9
    assert added.get_text().endswith("…") and plot._width(added) <= 2.05
    added.remove()
    assert poster.text == text


@pytest.mark.parametrize("count", range(1, 10))
def test_the_tiles_of_a_square_do_not_overlap(count):
    boxes = plot._shares((0.0, 0.0), count)
    assert len(boxes) == count
    for i, (x, y, w, h) in enumerate(boxes):
        assert min(x, y) >= 0 and max(x + w, y + h) <= plot._SIDE + 1e-9
        for u, v, *_ in boxes[i + 1 :]:
            assert u >= x + w or v >= y + h or u + 1e-9 < x


# ------------------------------------------------------- the page


def test_the_page_has_every_name_and_number(page):
    for result in RESULTS:
        assert result["name"] in page
    for said in ("nearest(perplexity=30)", "0.981", "0.970", "1.25", "held-out 30%"):
        assert said in page
    assert "van der Maaten &amp; Hinton 2008" in page
    assert "beyond the grid" in page and "it diverged" in page


def test_the_page_has_the_empty_squares(page):
    assert page.count('class="empty"') == 45 - 6


def test_the_page_needs_nothing_else(page):
    assert not re.search(r"https?:|\ssrc=|\shref=|@import|url\(", page)


def test_the_page_is_the_same_bytes_each_time(page, tmp_path):
    plot.page(RESULTS, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_the_page_holds_the_points(page):
    text = page.split('id="points">')[1].split("</script>")[0]
    data = json.loads(text)
    assert len(data) == len(RESULTS)
    assert len(data[0]["colors"]) == 3 and len(data[1]["rings"]) == 3


def test_every_picture_of_the_page_can_be_reached_and_is_described(page):
    buttons = re.findall(r'data-i="(\d+)" aria-describedby="more-(\d+)"', page)
    order = sorted(int(i) for i, _ in buttons)
    assert order == list(range(len(RESULTS)))
    assert all(i == j and f'id="more-{i}"' in page for i, j in buttons)


FIELDS = ("name", "column", "row", "p", "q", "loss", "reference", "protocol", "note")


@pytest.mark.parametrize("field", [*FIELDS, "scores", "seed", "n"])
def test_what_looks_like_markup_is_shown_as_text(field, tmp_path):
    evil = '<script>alert("&")</script>'
    value = {evil: 0.5, f"raw {evil}": 0.25} if field == "scores" else evil
    plot.page([row(**{field: value})], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert evil not in text and "<script>alert" not in text
    assert "&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;" in text


def test_the_page_stands_without_matplotlib(tmp_path, monkeypatch):
    _without_matplotlib(monkeypatch)
    plot.page(RESULTS, tmp_path / "page.html")
    with pytest.raises(ImportError, match=r"pip install 'icon-jax\[plot\]'"):
        plot.table(RESULTS, tmp_path / "table.png")


def _without_matplotlib(monkeypatch):
    usual = builtins.__import__

    def without(name, *args, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return usual(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)


# ------------------------------------------------------- what is drawn


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("old")

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr(plot.os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        plot.page(RESULTS, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_clusters_take_the_colors_of_the_classes_they_match():
    picture = plot._picture("r", row(clusters=(Y + 1) % 3))
    assert (picture.color == Y).all()


def test_more_clusters_than_classes_and_the_other_way():
    many = plot._picture("r", row(clusters=np.arange(30) % 6))
    few = plot._picture("r", row(clusters=np.zeros(30, int)))
    assert len(many.rings) == 6 and len(few.rings) == 1
    assert len(many.palette) == 6


def test_one_far_point_does_not_shrink_the_others():
    z = np.concatenate([RNG.normal(size=(999, 2)), [[1e6, 0]]])
    xy = plot._grid(z).astype(int)
    assert np.ptp(xy[:-1], axis=0).min() > plot._FAR / 3
    assert xy[-1, 0] == plot._FAR


@pytest.mark.parametrize("z", [np.ones((5, 2)), np.ones((1, 2)), np.eye(2) * 1e-300])
def test_points_that_coincide_are_in_the_middle_of_the_box(z):
    assert plot._grid(z).shape == z.shape


def test_points_that_are_not_finite_are_left_out_and_many_are_thinned():
    z = RNG.normal(size=(7000, 2))
    z[3] = np.nan
    picture = plot._picture("r", row(z=z, labels=None))
    assert 2000 < len(picture.xy) <= 3000 and picture.n == 7000


def test_the_main_scores_own_raw_counterpart_is_shown():
    scores = {"probe": 0.9, "raw 10-NN": 0.5, "raw probe": 0.4}
    assert plot._picture("r", row(scores=scores)).raw == ("raw probe", 0.4)


def test_results_that_went_through_json_are_read():
    plain = row(
        z=Z.tolist(), labels=Y.tolist(), scores={"10-NN": None}, loss_value=None
    )
    assert plot._picture("r", json.loads(json.dumps(plain))).n == 30
    assert plot._picture("r", row(z=[], labels=[], clusters=[])).n == 0


@pytest.mark.parametrize("count", [1, 2, 10, 11, 40])
def test_every_class_has_its_own_color(count):
    palette = plot._palette(count)
    assert len(set(palette)) == count
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in palette)


BAD = {
    "none": ([], "results", "nothing"),
    "not a dict": (["t-SNE"], "results[0]", "str"),
    "no status": (
        [{k: v for k, v in row().items() if k != "status"}],
        "results[0]",
        "",
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
    results, argument, said = BAD[case]
    with pytest.raises(InvalidInput) as refusal:
        draw(results, tmp_path / "file")
    assert refusal.value.argument == argument and said in str(refusal.value)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------- single pictures


def test_embedding_draws_every_point_and_a_legend():
    ax = Figure().subplots()
    assert plot.embedding(Z, Y, names=["a", "b", "c"], title="three", ax=ax) is ax
    assert len(ax.collections[0].get_offsets()) == 30
    colors = ax.collections[0].get_facecolors()
    assert len(np.unique(colors, axis=0)) == 3
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b", "c"]
    assert ax.get_title() == "three"


def test_embedding_without_labels_is_one_color_and_has_no_legend():
    ax = plot.embedding(Z, size=3.0, ax=Figure().subplots())
    assert len(ax.collections[0].get_facecolors()) in (1, 30)
    assert ax.get_legend() is None and ax.collections[0].get_sizes().tolist() == [3.0]


def test_pictures_without_axes_make_their_own(monkeypatch):
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "subplots", lambda **_: (None, Figure().subplots()))
    assert plot.embedding(Z, Y).get_legend() is not None
    assert plot.history([3.0, float("nan"), 1.0]).lines[0].get_ydata()[2] == 1.0


@pytest.mark.parametrize(
    "draw, argument, said",
    [
        (lambda: plot.embedding(np.ones((4, 3))), "z", "t-SNE"),
        (lambda: plot.embedding([[0, 1], [np.nan, 2]]), "z", "row 1, column 0"),
        (lambda: plot.embedding(Z, Y[:3]), "labels", "length 3"),
        (lambda: plot.embedding(Z, Y, names=["a"]), "names", "3 classes"),
        (lambda: plot.history(np.ones((2, 2))), "losses", "(2, 2)"),
        (lambda: plot.history([]), "losses", "(0,)"),
        (lambda: plot.history(["a"]), "losses", "<U1"),
    ],
)
def test_bad_pictures_are_refused(draw, argument, said):
    with pytest.raises(InvalidInput) as refusal:
        draw()
    assert refusal.value.argument == argument and said in str(refusal.value)
