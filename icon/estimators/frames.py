"""In which unit, and around which middle, does an estimator compute?"""

import numpy as np
from jaxtyping import Float

from icon._base import checks as check


def exponent(x: np.ndarray) -> int:
    """The binary exponent of the largest magnitude."""
    low, high = float(x.min(initial=0)), float(x.max(initial=0))
    return int(np.frexp(max(-low, high))[1])


def divided(x: np.ndarray, exponent: int) -> np.ndarray:
    """x / 2^exponent, which rounds nothing; integers and booleans as float64."""
    dtype = x.dtype if x.dtype.kind == "f" else np.float64
    return np.ldexp(x.astype(dtype, copy=False), -exponent)


def in_own_unit(x: np.ndarray) -> tuple[np.ndarray, int]:
    """float32 numbers of magnitude 1 at most, and the exponent of their unit."""
    power = exponent(x)
    return np.asarray(divided(x, power), np.float32), power


class Frame:
    """A middle and a unit: new rows are moved and rescaled as the fitted ones were.

    The middle is the median of about a hundred rows, which an outlier does not move.
    Units are powers of 2, and are taken before and after centering, so that float32
    holds differences of rows, not offsets.
    """

    def __init__(self, x: np.ndarray, centered: bool):
        self.outer = exponent(x)
        x = divided(x, self.outer)
        some = x[:: max(1, len(x) // 101)]
        middle = np.median(some, 0) if centered else np.zeros(x.shape[1])
        self.middle = middle.astype(x.dtype)
        self.inner = exponent(x - self.middle)
        self.exponent = self.outer + self.inner if centered else 0  # of distances

    def __call__(self, x: np.ndarray) -> Float[np.ndarray, "n d"]:
        with np.errstate(over="ignore"):
            x = divided(x, self.outer).astype(self.middle.dtype)
            x = np.asarray(divided(x - self.middle, self.inner), np.float32)
        fits = "rows within 1e38 times the span of those fitted"
        check.require(np.isfinite(x).all(), "X", "rows beyond float32", fits)
        return x


class Verbatim:
    """Rows in their own unit, which a metric of the caller's may depend on."""

    exponent = 0

    def __call__(self, x: np.ndarray) -> Float[np.ndarray, "n d"]:
        with np.errstate(over="ignore"):
            x = np.asarray(x, np.float32)
        fits = "numbers that float32 holds, with a metric of your own"
        check.require(np.isfinite(x).all(), "X", "an overflow", fits)
        return x


def frame(x: np.ndarray, metric) -> Frame | Verbatim:
    """What `metric` does not depend on: the unit, and of distances the middle."""
    if callable(metric):
        return Verbatim()
    return Frame(x, centered=metric in ("euclidean", "manhattan"))
