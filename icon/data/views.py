"""What changes a row, and keeps its meaning?"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Int32, PRNGKeyArray

from icon._base import checks as check
from icon._base.checks import InvalidInput


_TURN = 0.25  # radians
_SHEAR = 0.2
_ZOOM = 0.15  # of the logarithm of either side's length
_SHIFT = 0.125  # of either side: one pixel in eight
_LIGHT = 0.3  # of the logarithm of the brightness
_TINT = 0.2  # of the logarithm of each channel's brightness
_GRAY = 0.2  # of the colour images
_LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue look
_GRAIN = 0.05  # of the image's range
_NOISE = 0.3  # of a feature's standard deviation
_DROP = 0.2  # of the features


def augment(key: PRNGKeyArray, image: Float[Array, "h w ..."]) -> Float[Array, "..."]:
    """One image, moved, brightened and with noise; one in colour also tinted.

    x'(p) = exp(b) x(A (p - c) + c + t) + e, where A turns, shears and zooms
    about the center c. What comes in from outside the image is 0. All channels move
    alike; each is multiplied by another exp(b_c), and one colour image in five turns
    grey: each of its channels becomes their weighted mean.

    Args:
        key: decides the change.
        image: floats [h, w], or [h, w, c] in colour, at any scale.

    Returns:
        an image of the same shape.

    Raises:
        InvalidInput: the image has another rank, or is not of floats.

    Example:
        >>> import jax
        >>> from icon import data
        >>> image = data.digits().images[0]
        >>> data.augment(jax.random.key(0), image).shape
        (8, 8)
    """
    image, key = check.floating("image", image, (2, 3)), check.key("key", key)
    change, tint, grain = jr.split(key, 3)
    # of one draw: a program of many small ones takes longer to compile than to run
    light, *motion = jr.uniform(change, (7,), image.dtype, -1, 1)
    where = list(_sources(motion, image))
    move = lambda channel: map_coordinates(channel, where, order=1)
    color = image.ndim == 3
    moved = jax.vmap(move, 2, 2)(image) if color else move(image)
    moved = _tinted(tint, moved) if color else moved
    spread = jnp.max(image) - jnp.min(image)
    noise = _GRAIN * spread * jr.normal(grain, image.shape, image.dtype)
    return jnp.exp(_LIGHT * light) * moved + noise


def _tinted(key: PRNGKeyArray, image: Array) -> Array:
    """A colour image with other weights of its channels, or without colour."""
    tint, gray = jr.split(key)
    channels = image.shape[2]
    luma = _LUMA if channels == 3 else [1 / channels] * channels
    plain = jnp.einsum("hwc,c->hw", image, jnp.array(luma, image.dtype))[:, :, None]
    gains = jnp.exp(jr.uniform(tint, (1, 1, channels), image.dtype, -_TINT, _TINT))
    return jnp.where(jr.bernoulli(gray, _GRAY), plain, gains * image)


View = Callable[[PRNGKeyArray, Array], Array]


def two_views(
    key: PRNGKeyArray, x: Float[Array, "b ..."], view: View | None = None
) -> tuple[Float[Array, "b ..."], Float[Array, "b ..."]]:
    """Two random changes of the same rows, which keep their meaning.

    An image goes through `augment`. A vector gets x' = m + k (x + 0.3 s e - m),
    with m and s the batch's mean and standard deviation of each feature, e normal,
    and k 0 for one feature in five, else 1.

    Args:
        key: decides both changes.
        x: images [b, h, w], or [b, h, w, c] in colour, or vectors [b, d].
        view: (key, x [2b, ...]) -> x [2b, ...], the change, as `Dataset.views`; None:
            by the shape of x, as above.

    Raises:
        InvalidInput: x is neither, or not floats; a view that cannot be called, or
            that gives another shape.

    Example:
        >>> import jax
        >>> from icon import data
        >>> images = data.digits().images[:32]
        >>> a, b = jax.jit(data.two_views)(jax.random.key(0), images)
        >>> a.shape, b.shape
        ((32, 8, 8), (32, 8, 8))

    Source: Chen et al., A Simple Framework for Contrastive Learning (2020).
    """
    key = check.key("key", key)
    if view is None:
        x = check.floating("x", x, (2, 3, 4))
        change = _vectors if x.ndim == 2 else _images
    else:
        change = check.function("view", view, "key", "x")
    n = check.rows("x", x)
    twice = jnp.concatenate([x, x])  # one program for both views
    both = change(key, twice)
    got = f"one to shape {jnp.shape(both)}"
    expected = f"a function (key, x) that keeps the shape {jnp.shape(twice)}"
    check.require(jnp.shape(both) == jnp.shape(twice), "view", got, expected)
    return both[:n], both[n:]


def _sources(motion: Sequence[Array], image: Array) -> Array:
    """Where each pixel of the moved image comes from: [2, h, w].

    By numbers from -1 to 1: of the turn, the shear, two of the zoom, two of the shift.
    """
    turn, shear, *rest = motion
    zoom, shift = jnp.stack(rest[:2])[None], jnp.stack(rest[2:])
    sides = jnp.array(image.shape[:2], image.dtype)
    middle = ((sides - 1) / 2)[:, None, None]
    cos, sin, lean = jnp.cos(_TURN * turn), jnp.sin(_TURN * turn), _SHEAR * shear
    affine = jnp.stack([cos - lean * sin, -sin, sin + lean * cos, cos]).reshape(2, 2)
    affine = affine * jnp.exp(_ZOOM * zoom)
    move = sides * _SHIFT * shift
    grid = jnp.indices(image.shape[:2], image.dtype) - middle
    return jnp.einsum("ij,jhw->ihw", affine, grid) + middle + move[:, None, None]


def _images(key: PRNGKeyArray, x: Array) -> Array:
    return jax.vmap(augment)(jr.split(key, len(x)), x)


def _vectors(key: PRNGKeyArray, x: Array) -> Array:
    # No gradient: the square root has none where a feature is constant.
    mean = jax.lax.stop_gradient(jnp.mean(x, 0, keepdims=True))
    std = jax.lax.stop_gradient(jnp.std(x, 0, keepdims=True))
    noise, keep = jr.split(key)
    noisy = x + _NOISE * std * jr.normal(noise, x.shape, x.dtype)
    return jnp.where(jr.bernoulli(keep, 1 - _DROP, x.shape), noisy, mean)


# ------------------------------------------------------- signals


# What the generator of MNIST-1D does, for its finished signals: their 72 points are cut
# to 40 and divided by their standard deviation, 0.1547.
_GAIN = 0.2  # of the signal
_SLIDE = 24 / 72  # of the length, to either side: starts lie in 48 of 72 points
_STRETCH = 0.223  # of the logarithm of the length: shapes are 12 to 18 points of 72
_TILT = 0.375 / 0.1547  # over the whole length
# Its smoothed noise, 0.61 in these units, spares the shape. Here it is everywhere, and
# at 0.61 a network finds the shape in half of the views only; at 0.2 in two of three.
_SMOOTH = 0.2
_WIDTH = 2 * 39 / 71  # of that Gaussian, in points that are left
_ROUGH = 0.02 / 0.1547


def change_signals(key: PRNGKeyArray, x: Float[Array, "b ..."]) -> Array:
    """Signals of MNIST-1D, each moved, stretched, scaled, sheared and with noise.

    Of [b, t], or as images of one line, [b, 1, t].
    """
    x, key = check.floating("x", x, (2, 3)), check.key("key", key)
    rows = x.reshape(len(x), -1)
    change, grain = jr.split(key)
    length = rows.shape[1]
    # of two draws: a program of many small ones takes longer to compile than to run
    gain, slide, stretch, tilt = jr.uniform(change, (4, len(x), 1), x.dtype, -1, 1)
    smooth, rough = jr.normal(grain, (2, *rows.shape), x.dtype)
    middle = (jnp.arange(length, dtype=x.dtype) - (length - 1) / 2)[None]
    # beyond either end of a stretched signal is its last value
    at = middle * jnp.exp(_STRETCH * stretch)
    at = jnp.clip(at, middle[0, 0], middle[0, -1]) + (length - 1) / 2
    moved = _read(rows, at + length * _SLIDE * slide)
    lean = _TILT * tilt * middle / (length - 1)
    noise = _SMOOTH * smooth @ _smoothing(length) + _ROUGH * rough
    return ((1 + _GAIN * gain) * moved - lean + noise).reshape(x.shape)


def _read(rows: Float[Array, "b t"], at: Float[Array, "b t"]) -> Float[Array, "b t"]:
    """Each row between its entries, which go round in a circle."""
    before = jnp.floor(at)
    share, low = at - before, before.astype(jnp.int32)
    entry = lambda i: jnp.take_along_axis(rows, i % rows.shape[1], 1)
    return (1 - share) * entry(low) + share * entry(low + 1)


def _smoothing(length: int) -> Float[np.ndarray, "t t"]:
    """Noise times this is smoothed by a Gaussian, of the same variance as before;
    mirrored beyond the ends."""
    reach = 5
    weights = np.exp(-((np.arange(-reach, reach + 1) / _WIDTH) ** 2) / 2)
    weights = weights / np.linalg.norm(weights)
    padded = np.pad(np.eye(length), ((0, 0), (reach, reach)), mode="symmetric")
    columns = [padded[:, i : i + 2 * reach + 1] @ weights for i in range(length)]
    return np.stack(columns, 1).astype(np.float32)


# ------------------------------------------------------- parts of a row


def halves(x: Any) -> tuple[Float[Array, "n a"], Float[Array, "n a"]]:
    """The two sides of each row, as two modalities of it.

    Args:
        x: images [n, h, w], or [n, h, w, c] in colour, cut into left and right and
            flattened, or vectors [n, d], cut into first and last. The middle of an odd
            width is dropped.

    Raises:
        InvalidInput: x is neither, or one column wide.

    Example:
        >>> from icon import data
        >>> left, right = data.halves(data.digits().images)
        >>> left.shape, right.shape
        ((1797, 32), (1797, 32))
    """
    shape = check.shape("x", x)
    expected = "images [n, h, w] or vectors [n, d], 2 columns wide or more"
    axis = min(len(shape) - 1, 2)  # of the columns
    wide = len(shape) in (2, 3, 4) and shape[0] and shape[axis] >= 2
    check.require(wide, "x", f"shape {shape}", expected)
    x = x if isinstance(x, jax.Array) else np.asarray(x)
    half, n, before = shape[axis] // 2, shape[0], (slice(None),) * axis
    left, right = x[*before, :half], x[*before, -half:]
    return left.reshape(n, -1), right.reshape(n, -1)


_SAMPLE = 20_000  # patches are enough to choose the words from


def tokens(
    images: Float[np.ndarray, "n ..."],
    words: int = 32,
    seed: int = 0,
    *,
    among: Float[np.ndarray, "m ..."] | None = None,
) -> Int32[np.ndarray, "n t"]:
    """Each row as a sentence: its 2 x 2 patches, each by the nearest word.

    token = argmin_w |patch - center_w|^2, the centers by k-means.

    Args:
        images: [n, h, w], or [n, h, w, c] in colour, or vectors [n, d], which are read
            4 columns at a time. Sides that do not divide are filled up with 0.
        words: how many centers.
        seed: decides where k-means starts.
        among: the images that the words are chosen from, so that they do not depend
            on those to be tested on; None: all of them.

    Raises:
        InvalidInput: the images have another shape or a number that is not
            finite, or fewer unlike patches than words.

    Example:
        >>> from icon import data
        >>> data.tokens(data.digits().images[:100], words=8).shape
        (100, 16)
    """
    from sklearn.cluster import KMeans

    cut = patches(check.reals("images", images, np.float32))
    source = cut if among is None else patches(check.reals("among", among, np.float32))
    width, seed = cut.shape[2], check.seed("seed", seed)
    same, got = source.shape[2] == width, f"patches of {source.shape[2]} numbers"
    check.require(same, "among", got, f"patches of {width}, as of the images")
    flat = source.reshape(-1, width)
    order = np.random.default_rng(seed).permutation(len(flat))
    sample = flat[order[:_SAMPLE]]
    words = check.count("words", words, 1, len(np.unique(sample, axis=0)))
    centers: Any = KMeans(words, random_state=seed).fit(sample)
    return (
        centers.predict(cut.reshape(-1, width)).reshape(cut.shape[:2]).astype(np.int32)
    )


def patches(x: np.ndarray) -> np.ndarray:
    """Images cut into 2 x 2 patches [n, t, 4 c]; vectors, 4 columns each."""
    x = check.reals("images", x)
    if x.ndim not in (2, 3, 4) or not x.size:
        expected = "images [n, h, w] or [n, h, w, c], or vectors [n, d]"
        raise InvalidInput("images", f"shape {x.shape}", expected)
    if x.ndim == 2:
        return np.pad(x, ((0, 0), (0, -x.shape[1] % 4))).reshape(len(x), -1, 4)
    n, h, w, c = x.shape if x.ndim == 4 else (*x.shape, 1)
    x = x.reshape(n, h, w, c)
    x = np.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)))
    x = x.reshape(n, (h + 1) // 2, 2, (w + 1) // 2, 2, c)
    return x.swapaxes(2, 3).reshape(n, -1, 4 * c)
