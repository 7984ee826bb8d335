"""How are small pictures of many rows kept in one?"""

import base64
import io
import math
from typing import Any

import numpy as np
from jaxtyping import UInt8

from icon._base import checks as check
from icon._base.extras import required


_ROOM = 2_900_000  # bytes of all pictures together
_SIDES = 48, 40, 32, 28, 24, 20, 16, 14, 12, 10, 8  # pixels of the longer side
_TRIED = 512  # pictures by which the bytes of all are estimated
_GRAY, _COLOR = 16, 64  # shades that are enough for so small a picture

Pixels = UInt8[np.ndarray, "n h w c"]


def sheet(argument: str, images: Any, n: int) -> dict[str, Any]:
    """All images side by side in one PNG, as large as there is room for their bytes.

    Returns:
        The PNG as a data URI, how many images stand in a row of it, and the width and
        the height of each in pixels.
    """
    required("PIL", "explore")
    pixels = _bytes(argument, images, n)
    largest = max(pixels.shape[1:3])
    fitting = [side for side in _SIDES if side <= largest] or [largest]
    tried = pixels[:: math.ceil(n / _TRIED)]
    room = _ROOM * len(tried) / n
    side = next((s for s in fitting if len(_png(tried, s)[0]) <= room), fitting[-1])
    png, (width, height) = _png(pixels, side)
    uri = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    return dict(uri=uri, across=_across(n), width=width, height=height)


def _bytes(argument: str, images: Any, n: int) -> Pixels:
    """Gray or color images in bytes; other numbers from the least to the largest."""
    x = check.reals(argument, images)
    gray, color = x.ndim == 3, x.ndim == 4 and x.shape[3] == 3
    good = (gray or color) and len(x) == n and x.size
    expected = f"{n} images, [n, h, w] or [n, h, w, 3]"
    check.require(good, argument, f"shape {x.shape}", expected)
    x = x[..., None] if gray else x
    if x.dtype == np.uint8:
        return x
    low, high = float(x.min()), float(x.max())
    scale = 255 / (high - low) if high > low else 0.0
    return ((x.astype(np.float32) - low) * scale).round().astype(np.uint8)


def _across(n: int) -> int:
    """How many pictures stand side by side, so that the sheet is about a square."""
    return math.ceil(math.sqrt(n))


def _png(pixels: Pixels, side: int) -> tuple[bytes, tuple[int, int]]:
    """The sheet of images whose longer side has so many pixels, and their size."""
    from PIL import Image

    n, h, w, channels = pixels.shape
    scale = min(1.0, side / max(h, w))
    width, height = max(1, round(w * scale)), max(1, round(h * scale))
    across = _across(n)
    size = across * width, math.ceil(n / across) * height
    whole = Image.new("L" if channels == 1 else "RGB", size)
    for top, start in enumerate(range(0, n, across)):
        row = pixels[start : start + across]
        strip = row.transpose(1, 0, 2, 3).reshape(h, -1, channels)
        image = Image.fromarray(strip[..., 0] if channels == 1 else strip)
        image = image.resize((len(row) * width, height), Image.Resampling.BOX)
        whole.paste(image, (0, top * height))
    file = io.BytesIO()
    shades = _GRAY if channels == 1 else _COLOR
    whole.quantize(shades).save(file, "PNG", bits=4 if channels == 1 else 8)
    return file.getvalue(), (width, height)
