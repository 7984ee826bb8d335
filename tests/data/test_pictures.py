"""Is a folder of images what its files show, and is what is no image refused?"""

import sys

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from icon import data
from icon._base.checks import InvalidInput
from icon.data import pictures


RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (4, 5, 6), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
NAMES = ["cat/1.png", "cat/2.PNG", "dog/1.bmp", "4.png"]


def put(folder, pixels, names=NAMES):
    for name, x in zip(names, pixels, strict=True):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(x).save(folder / name)
    return folder


@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_images_are_rows_and_sub_folders_are_labels(pixels, tmp_path):
    found = data.load(put(tmp_path / "pets", pixels))
    order = [3, 0, 1, 2]  # by their paths
    np.testing.assert_array_equal(found.images, np.float32(pixels[order]) / 255)
    assert found.features.shape == (4, pixels[0].size) and found.name == "pets"
    assert found.labels.tolist() == [-1, 0, 0, 1] and found.classes == ("cat", "dog")
    assert found.words == tuple(NAMES[i] for i in order)


def test_without_sub_folders_there_are_no_labels(tmp_path):
    found = data.load(put(tmp_path, GREY, [f"{i}.png" for i in range(4)]))
    assert found.labels is None and found.features.shape == (4, 30)


def test_one_image_in_colour_and_all_are(tmp_path):
    found = data.load(put(tmp_path, [*GREY[:3], COLOUR[3]]))
    grey = np.float32(GREY[0, ..., None].repeat(3, -1)) / 255
    np.testing.assert_array_equal(found.images[1], grey)
    np.testing.assert_array_equal(found.images[0], np.float32(COLOUR[3]) / 255)


def test_other_files_are_not_looked_at(tmp_path):
    put(tmp_path, GREY)
    for name in (".DS_Store", ".hidden.png", "notes.txt", "cat/Thumbs.db"):
        (tmp_path / name).write_bytes(b"no image")
    assert len(data.load(tmp_path).features) == 4


REFUSED = {
    "no image": (b"no image at all", "5.png: cannot identify"),
    "a cut one": (None, "5.png: "),
    "a script": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 5\n", "5.png: cannot"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_no_image_is_named(case, tmp_path):
    content, got = REFUSED[case]
    content = content or (put(tmp_path, GREY) / "4.png").read_bytes()[:60]
    (tmp_path / "5.png").write_bytes(content)
    put(tmp_path, GREY)
    with pytest.raises(InvalidInput, match="^path: expected an image") as caught:
        data.load(tmp_path)
    assert got in caught.value.got


def quarters(height, width):
    """Grey in four levels, one in each quarter."""
    levels = np.array([[0, 80], [160, 240]], np.uint8)
    return levels.repeat(height // 2, 0).repeat(width // 2, 1)


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_a_photograph_is_seen_as_the_camera_was_held(kind, turned, tmp_path):
    upright = quarters(8, 12)
    x, y = upright, upright.T
    stored = {  # by EXIF's orientation: where the first row and column lie
        1: x, 2: x[:, ::-1], 3: x[::-1, ::-1], 4: x[::-1],
        5: y, 6: y[::-1], 7: y[::-1, ::-1], 8: y[:, ::-1],
    }  # fmt: skip
    image, exif = Image.fromarray(np.ascontiguousarray(stored[turned])), Image.Exif()
    exif[0x0112] = turned
    image.save(tmp_path / f"photograph.{kind}", exif=exif)
    image = data.load(tmp_path).images[0] * 255
    assert image.shape == upright.shape
    corners = np.ix_([0, -1], [0, -1])
    np.testing.assert_allclose(image[corners], upright[corners], atol=12)


def test_no_image_is_unpacked_before_all_are_bounded(tmp_path, monkeypatch):
    put(tmp_path, GREY)
    unpacked = []
    load = PngImageFile.load
    monkeypatch.setattr(
        PngImageFile, "load", lambda image: (unpacked.append(image), load(image))[1]
    )

    def bounded(size):
        assert not unpacked

    monkeypatch.setattr(pictures, "bounded", bounded)
    assert len(data.load(tmp_path).features) == 4 and unpacked


SIZES = [(8, 20), (12, 24), (40, 30)]  # height and width: the medians are 12 and 24


def test_images_of_several_sizes_become_the_median_one(tmp_path):
    """Nothing is cropped: each has its quarters where they were."""
    put(tmp_path, [quarters(*size) for size in SIZES], ["a.png", "b.png", "c/d.jpg"])
    with pytest.warns(UserWarning) as caught:
        found = data.load(tmp_path)
    words = "images from 20 × 8 to 30 × 40 are resized to 24 × 12, the median width"
    assert str(caught[0].message).startswith(words)
    assert found.images.shape == (3, 12, 24)
    np.testing.assert_array_equal(found.images[1] * 255, quarters(12, 24))
    for x in found.images:
        inside = x[2:-1:6, 4:-1:12] * 255  # away from where two levels meet
        np.testing.assert_allclose(inside, quarters(2, 2), atol=4)


@pytest.mark.parametrize("size, shape", [(6, (6, 6)), ((10, 4), (4, 10))])
def test_a_size_that_is_asked_for_is_that_of_all(size, shape, tmp_path, recwarn):
    put(tmp_path, [quarters(*size) for size in SIZES], ["a.png", "b.png", "c/d.jpg"])
    found = data.load(tmp_path, size=size)
    assert found.images.shape == (3, *shape) and not recwarn.list
    assert found.features.shape == (3, shape[0] * shape[1])


@pytest.mark.parametrize("size", [0, (4,) * 3, (4, -1), 2.5, "4"])
def test_a_size_that_is_none_is_refused(size, tmp_path):
    with pytest.raises(InvalidInput, match="^size: "):
        data.load(put(tmp_path, GREY), size=size)


def test_a_file_of_rows_has_no_size(tmp_path):
    np.save(tmp_path / "x.npy", GREY)
    with pytest.raises(InvalidInput, match="^size: expected None: images of a folder"):
        data.load(tmp_path / "x.npy", size=4)


def test_a_broken_image_among_several_sizes_is_named(tmp_path):
    put(tmp_path, [*GREY[:3], GREY[3].T])
    broken = (tmp_path / "4.png").read_bytes()[:60]
    (tmp_path / "5.png").write_bytes(broken)
    with pytest.raises(InvalidInput, match="^path: expected an image") as caught:
        data.load(tmp_path)
    assert "5.png: " in caught.value.got


def test_sixteen_bits_are_refused(tmp_path):
    put(tmp_path, [*GREY[:3], GREY[3].astype(np.uint16)])
    with pytest.raises(InvalidInput, match="8 bits.*mode I;16 in 4.png"):
        data.load(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="^path: .* without any$"):
        data.load(tmp_path)


@pytest.mark.parametrize("name", ["features", "labels", "drop", "also"])
def test_columns_of_a_folder_are_refused(name, tmp_path):
    with pytest.raises(InvalidInput, match=f"^{name}: expected None"):
        data.load(put(tmp_path, GREY), **{name: {"a": "a"} if name == "also" else "a"})


def test_images_are_bounded_before_they_are_unpacked(tmp_path, monkeypatch):
    put(tmp_path, np.zeros((4, 5, 6), np.uint8))
    monkeypatch.setattr(data.record, "LIMIT", 4 * 120 - 1)
    with pytest.raises(InvalidInput, match="path: .*480 bytes"):
        data.load(tmp_path)


def test_the_extra_that_is_missing_is_named(tmp_path, monkeypatch):
    put(tmp_path, GREY)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"icon-jax\[data\]"):
        data.load(tmp_path)
