"""What is in a picture, once it is a file?"""

import io

import numpy as np
from matplotlib.image import imread


def picture(figure, dpi=40):
    """The pixels of the file, which is not blank."""
    file = io.BytesIO()
    figure.savefig(file, dpi=dpi)
    file.seek(0)
    pixels = imread(file)
    width, height = figure.get_size_inches() * dpi
    assert abs(pixels.shape[0] - height) <= 1 and abs(pixels.shape[1] - width) <= 1
    assert len(np.unique(pixels[..., :3])) > 10
    return pixels
