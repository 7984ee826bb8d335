"""Do names on points keep clear of one another, near the points that they name?"""

import io
import itertools

import numpy as np
from matplotlib.figure import Figure
from pictures import picture

from icon import plot


K = 30
GROUP = np.repeat(np.arange(K), 2 + np.arange(K))  # the last class is the largest
NAMES = [f"class {c:02}" for c in range(K)]  # as wide, each


def drawn(middles, spread=1e-3):
    """The names of classes about these places, and their boxes, in pixels."""
    near = np.random.default_rng(0).normal(size=(len(GROUP), 2))
    z = np.asarray(middles)[GROUP] + spread * near
    ax = plot.embedding(z, GROUP, names=NAMES, ax=Figure((8, 7)).subplots())
    ax.figure.draw_without_rendering()
    texts = {text.get_text(): text for text in ax.texts}
    seen = {name: x for name, x in texts.items() if x.get_alpha() > 0}
    return ax, texts, {name: text.get_window_extent() for name, text in seen.items()}


def middle(ax, text):
    """Where the name would stand, in pixels."""
    return ax.transData.transform(text.get_position())


def test_names_that_would_cover_each_other_stand_beside():
    middles = 3 * np.random.default_rng(1).normal(size=(K, 2))
    middles[-5:] = middles[-5]  # five classes in one place
    ax, texts, boxes = drawn(middles)
    assert len(boxes) == K
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes.values(), 2))
    for name, box in boxes.items():
        away = np.abs([box.x0, box.y0] + box.size / 2 - middle(ax, texts[name]))
        assert (away <= [0.5 * box.width + 2, 3 * box.height + 2]).all()
    picture(ax.figure)


def test_a_name_that_has_room_stays_where_it_is():
    places = np.stack(np.divmod(np.arange(K), 6), 1) * [1.0, 1.0]
    ax, texts, boxes = drawn(places)
    for name, box in boxes.items():
        center = [box.x0, box.y0] + box.size / 2
        np.testing.assert_allclose(center, middle(ax, texts[name]), atol=2)


def test_where_there_is_no_room_the_largest_classes_have_their_names():
    ax, _, boxes = drawn(np.ones((K, 2)), spread=0)
    assert {*boxes} == {*NAMES[-7:]}  # three lines up, three down
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes.values(), 2))
    largest = boxes[NAMES[-1]]
    center = [largest.x0, largest.y0] + largest.size / 2
    np.testing.assert_allclose(center, ax.transData.transform([1, 1]), atol=3)


def test_they_stand_anew_in_a_picture_of_another_size():
    ax, texts, small = drawn(3 * np.random.default_rng(1).normal(size=(K, 2)))
    ax.figure.set_size_inches(16, 14)
    ax.figure.draw_without_rendering()
    large = {name: texts[name].get_window_extent() for name in small}
    assert not any(a.overlaps(b) for a, b in itertools.combinations(large.values(), 2))
    far = lambda boxes: np.ptp([box.x0 for box in boxes.values()])
    assert far(large) > 1.5 * far(small)


def test_they_stand_so_from_the_first_picture_on():
    middles = np.random.default_rng(1).normal(size=(K, 2))[GROUP]
    figure, pixels = Figure((5, 5), dpi=60), []
    plot.embedding(middles, GROUP, names=NAMES, ax=figure.subplots())
    for _ in range(2):
        file = io.BytesIO()
        figure.savefig(file)
        pixels.append(file.getvalue())
    assert pixels[0] == pixels[1]
