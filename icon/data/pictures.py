"""How is a folder of images read?"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from icon._base import checks as check
from icon._base.checks import InvalidInput
from icon._base.extras import required
from icon.data.columns import Asked
from icon.data.record import Read, bounded


# Only these: a reader of another format may run other programs.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm",
)  # fmt: skip
GREY = ("1", "L", "LA")
COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # of EXIF: the camera lay on its side


Size = tuple[int, int]  # width and height


def read_folder(folder: Path, asked: Asked, size: Size | None) -> Read:
    """The images of a folder, those of a sub-folder labelled by its name.

    All sizes are known, and one is chosen, before an image is unpacked.
    """
    why = "images are all that is read of a folder"
    asked.require_none(why, "features", "drop", "labels", "also")
    files = _images(folder)
    expected = f"a folder with images, {', '.join(SUFFIXES)}"
    check.require(files, "path", f"{folder}, without any", expected)
    heads = [_head(folder, file) for file in files]
    sizes = {size for size, _ in heads}
    width, height = _middle([size for size, _ in heads]) if size is None else size
    mode = "L" if all(mode in GREY for _, mode in heads) else "RGB"
    shape = (len(files), height, width, *((3,) if mode == "RGB" else ()))
    bounded(4 * int(np.prod(shape, dtype=object)))
    pixels = np.empty(shape, np.uint8)
    for i, file in enumerate(files):
        with _opened(folder, file) as image:
            upright = _upright(image, (width, height))
            pixels[i] = np.asarray(upright.convert(mode).resize((width, height)))
    classes = np.array(["" if f.parent == folder else f.parent.name for f in files])
    words = tuple(_name(folder, file) for file in files)
    where = lambda i: words[i[0]]
    labels = classes if classes.any() else None
    note = _note(sizes, (width, height)) if size is None else ""
    return Read(pixels, labels, {}, where, words, note)


def _middle(sizes: Sequence[Size]) -> Size:
    """The median width and the median height."""
    width, height = np.median(sizes, 0)
    return int(width), int(height)


def _note(sizes: set[Size], chosen: Size) -> str:
    """The note about images of several sizes."""
    if len(sizes) == 1:
        return ""
    by_area = sorted(sizes, key=lambda size: (np.prod(size), size))
    least, most = _shown(by_area[0]), _shown(by_area[-1])
    middle = "the median width and height: --size WIDTH HEIGHT has another"
    return f"images from {least} to {most} are resized to {_shown(chosen)}, {middle}"


def _images(folder: Path) -> list[Path]:
    """The images of a folder and of its sub-folders, in the order of their names."""
    found = [*folder.glob("*"), *folder.glob("*/*")]
    shown = (x for x in found if not x.name.startswith(".") and x.is_file())
    return sorted(x for x in shown if x.suffix.lower() in SUFFIXES)


@contextlib.contextmanager
def _opened(folder: Path, file: Path) -> Iterator[Any]:
    """An image; whatever is wrong with it, as an InvalidInput that names it."""
    image = required("PIL.Image", "data")
    try:
        # opened by its name, a TIFF is mapped, and Pillow 13 garbles one that is turned
        with file.open("rb") as stream, image.open(stream, formats=FORMATS) as opened:
            yield opened
    except InvalidInput:
        raise
    except Exception as error:  # a damaged file fails in as many ways as there are
        got = f"{_name(folder, file)}: {error}"
        raise InvalidInput("path", got, "an image that can be read") from error


def _head(folder: Path, file: Path) -> tuple[Size, str]:
    """The size and the mode of an image, which is not unpacked."""
    with _opened(folder, file) as image:
        known = image.mode in (*GREY, *COLOUR)
        got = f"mode {image.mode} in {_name(folder, file)}"
        check.require(known, "path", got, "images of 8 bits, grey or in colour")
        return _turned(image, image.size), image.mode


def _turned(image: Any, size: Any) -> Size:
    """A size as seen for one as stored, and the other way round."""
    if image.format == "TIFF":  # Pillow has turned it
        return size
    # a PNG without EXIF before its pixels would be unpacked to look for it behind them
    known = image.format != "PNG" or "exif" in image.info
    aside = known and image.getexif().get(ORIENTATION) in TURNED
    return size[::-1] if aside else size


def _upright(image: Any, size: Size) -> Any:
    """An image as the camera was held; a JPEG is not unpacked finer than is needed."""
    operations = required("PIL.ImageOps", "data")
    image.draft(None, _turned(image, size))
    image.getexif()  # before `load`, which turns a TIFF by it
    image.load()
    return operations.exif_transpose(image)


def _shown(size: Size) -> str:
    return "{} × {}".format(*size)


def _name(folder: Path, file: Path) -> str:
    return str(file.relative_to(folder))
