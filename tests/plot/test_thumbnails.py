"""Is every image on the sheet, where the page looks for it?"""

import base64
import io
import sys

import numpy as np
import pytest
from PIL import Image

from icon._base.checks import InvalidInput
from icon.plot.thumbnails import sheet


RNG = np.random.default_rng(0)


def pixels(made):
    """The sheet as an array, in color."""
    head, text = made["uri"].split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def tile(made, i):
    """The image of row i."""
    across, width, height = (made[key] for key in ("across", "width", "height"))
    top, left = i // across * height, i % across * width
    return pixels(made)[top : top + height, left : left + width]


@pytest.mark.parametrize("n", [1, 2, 9, 10, 50])
def test_images_of_bytes_are_where_they_are_looked_for(n):
    images = RNG.choice([0, 255], (n, 6, 4)).astype(np.uint8)
    made = sheet("images", images, n)
    assert (made["width"], made["height"]) == (4, 6)
    for i in range(n):
        np.testing.assert_array_equal(tile(made, i), images[i][..., None].repeat(3, 2))


def test_images_in_color():
    images = RNG.choice([0, 255], (7, 5, 5, 3)).astype(np.uint8)
    made = sheet("images", images, 7)
    for i in range(7):
        np.testing.assert_array_equal(tile(made, i), images[i])


def test_other_numbers_are_from_black_to_white():
    images = np.linspace(-3, 5, 2 * 4 * 4).reshape(2, 4, 4)
    found = np.concatenate([tile(sheet("images", images, 2), i) for i in range(2)])
    expected = ((images + 3) / 8 * 255).reshape(8, 4, 1)
    assert abs(found - expected).max() <= 16  # of 16 shades
    flat = tile(sheet("images", np.full((2, 4, 4), 0.3), 2), 1)
    assert (flat == 0).all()


def test_large_images_become_small():
    images = np.zeros((3, 200, 100), np.uint8)
    images[:, 100:] = 255
    made = sheet("images", images, 3)
    assert (made["width"], made["height"]) == (24, 48)
    np.testing.assert_array_equal(tile(made, 2)[:24], 0)
    np.testing.assert_array_equal(tile(made, 2)[24:], 255)


def test_many_images_are_as_small_as_their_bytes_need():
    noise = RNG.integers(0, 255, (30_000, 20, 20)).astype(np.uint8)
    made = sheet("images", noise, 30_000)
    assert made["width"] == 12 and len(made["uri"]) < 4.2e6
    plain = sheet("images", np.zeros_like(noise), 30_000)
    assert plain["width"] == 20


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 4, 2), (2, 4, 4), (3, 0, 4)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(InvalidInput, match=r"^images: expected 3 images, \[n, h, w\]"):
        sheet("images", np.ones(shape), 3)


def test_without_pillow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'icon-jax\[explore\]'"):
        sheet("images", np.ones((3, 4, 4)), 3)
