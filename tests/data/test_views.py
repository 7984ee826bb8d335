"""Does a view change a row, and keep what it means?"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from cases import slow

from icon import data
from icon._base.checks import InvalidInput


X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


CALLS = [
    (lambda: data.augment(jr.key(0), X[0]), "image"),
    (lambda: data.augment(jr.key(0), jnp.ones((2, 2), jnp.uint8)), "image"),
    (lambda: data.augment(jr.key(0), jnp.ones((1, 2, 2, 3))), "image"),
    (lambda: data.two_views(jr.key(0), X[0]), "x"),
    (lambda: data.two_views(jr.key(0), X, 3), "view"),
    (lambda: data.two_views(jr.key(0), X, lambda x: x), "view"),
    (lambda: data.two_views(jr.key(0), X, lambda key, x: x[1:]), "view"),
    (lambda: data.two_views(jr.key(0), np.float32(1), lambda key, x: x), "x"),
    (lambda: data.two_views(jr.key(0), jnp.ones((2, 2), jnp.int32)), "x"),
    (lambda: data.halves(X[0]), "x"),
    (lambda: data.halves(X[:, :1]), "x"),
    (lambda: data.tokens(X[0]), "images"),
    (lambda: data.tokens(X * np.nan), "images"),
    (lambda: data.tokens(X, words=0), "words"),
    (lambda: data.tokens(X, words=2, among=X * np.inf), "among"),
    (lambda: data.tokens(X, words=2, among=np.ones((2, 2, 2, 3))), "among"),
    (lambda: data.tokens(np.zeros((9, 4)), words=2), "words"),
]


@pytest.mark.parametrize("call, argument", CALLS)
def test_calls_refuse(call, argument):
    with pytest.raises(InvalidInput) as caught:
        call()
    assert caught.value.argument == argument


# ------------------------------------------------------- views


IMAGES = data.digits().images[:64]
VIEWS = jax.jit(data.two_views)


@pytest.mark.parametrize("x", [IMAGES, IMAGES.reshape(64, -1)])
def test_views_are_fixed_by_the_key_and_differ(x):
    a, b = VIEWS(jr.key(0), x)
    assert a.shape == b.shape == x.shape and a.dtype == b.dtype == np.float32
    assert not np.allclose(a, b) and not np.allclose(b, x)
    np.testing.assert_array_equal(a, VIEWS(jr.key(0), x)[0])
    assert not np.allclose(a, VIEWS(jr.key(1), x)[0])
    assert not np.allclose(a, x)


def test_two_views_are_closer_than_two_rows():
    nearer = []
    for seed in range(8):
        a, b = (np.asarray(v).reshape(64, 64) for v in VIEWS(jr.key(seed), IMAGES))
        distance = ((a[:, None] - b[None]) ** 2).sum(-1)
        nearer.append((np.diag(distance)[:, None] < distance).mean())
    # A half is chance; a view that hardly moves its image would be at 1.
    assert 0.6 < np.mean(nearer) < 0.9


def test_two_views_augment_each_image_on_its_own():
    a, _ = VIEWS(jr.key(3), np.stack([IMAGES[0]] * 64))
    assert not np.allclose(a[0], a[1])
    keys = jr.split(jr.key(3), 128)  # of both views
    alone = jax.jit(data.augment)(keys[1], IMAGES[0])
    np.testing.assert_allclose(a[1], alone, atol=1e-5)


MOTIONS = {"_TURN", "_SHEAR", "_ZOOM", "_SHIFT"}
STILL = MOTIONS | {"_LIGHT", "_GRAIN", "_TINT", "_GRAY"}


def still(monkeypatch, *kept):
    for name in STILL - set(kept):
        monkeypatch.setattr(data.views, name, 0.0)


def augmented(key, image):
    """A program of its own: what is still is no argument."""
    return jax.jit(lambda key, image: data.augment(key, image))(key, image)


@pytest.mark.slow
def test_no_change_is_the_identity(monkeypatch):
    still(monkeypatch)
    image = jr.uniform(jr.key(0), (5, 7))
    np.testing.assert_allclose(data.augment(jr.key(1), image), image, atol=1e-5)


def mass_and_center(image):
    mass = image.sum()
    return mass, [(image * grid).sum() / mass for grid in np.indices(image.shape)]


@pytest.mark.parametrize("change", [slow("_TURN"), slow("_SHEAR"), "_ZOOM", "_SHIFT"])
def test_each_motion_alone_moves_the_image(monkeypatch, change):
    still(monkeypatch, change)
    image = np.zeros((24, 16), np.float32)
    image[8:16, 6:10] = 1
    moved = np.asarray(augmented(jr.key(0), image))
    assert not np.allclose(moved, image, atol=0.05)
    mass, center = mass_and_center(moved)
    assert mass == pytest.approx(32, rel=0.05 if change != "_ZOOM" else 0.4)
    drift = np.abs(np.subtract(center, [11.5, 7.5]))
    # Only a shift moves the center, by at most an eighth of each side.
    assert (drift < (np.array([3.0, 2.0]) + 0.1 if change == "_SHIFT" else 0.1)).all()
    assert change != "_SHIFT" or drift.max() > 0.1


def test_a_turn_keeps_lengths(monkeypatch):
    still(monkeypatch, "_TURN")
    where = data.views._sources([0.7, *jnp.zeros(5)], jnp.ones((6, 9)))
    start = jnp.indices((6, 9), jnp.float32)
    step = lambda grid, axis: jnp.linalg.norm(jnp.diff(grid, axis=axis), axis=0)
    for axis in 1, 2:
        np.testing.assert_allclose(step(where, axis), step(start, axis), rtol=1e-5)
    down, right = (jnp.diff(where, axis=axis) for axis in (1, 2))
    angles = jnp.einsum("chw,chw->hw", down[:, :, 1:], right[:, 1:])
    np.testing.assert_allclose(angles, 0, atol=1e-5)  # and right angles
    assert not np.allclose(where, start)


@pytest.mark.slow
def test_grain_follows_the_scale_of_the_image():
    a, b = (data.augment(jr.key(0), scale * IMAGES[0]) for scale in (1, 16))
    np.testing.assert_allclose(16 * a, b, rtol=1e-4, atol=1e-4)


def test_vector_noise_follows_each_feature(monkeypatch):
    x = np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32)
    x = x * np.float32([[1.0, 100.0, 0.0]]) + np.float32(7)
    monkeypatch.setattr(data.views, "_DROP", 0.0)
    noise = np.asarray(data.two_views(jr.key(0), x)[0]) - x
    np.testing.assert_allclose(noise.std(0), [0.3, 30, 0], rtol=0.05, atol=1e-4)
    monkeypatch.setattr(data.views, "_DROP", 0.2)
    view = np.asarray(data.two_views(jr.key(0), x)[0])
    dropped = np.isclose(view[:, 0], x[:, 0].mean(), atol=1e-5)
    assert dropped.mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.slow
def test_views_let_gradients_through_constant_features():
    f = lambda x: jnp.sum(data.two_views(jr.key(0), x)[0])
    gradient = jax.grad(f)(jnp.ones((400, 3)))
    assert set(gradient.ravel().tolist()) == {0, 1}  # dropped or kept
    assert gradient.mean() == pytest.approx(0.8, abs=0.03)


def test_two_views_by_a_view_of_ones_own():
    given = lambda key, x: x + jr.randint(key, x.shape, 1, 1000)
    x = jnp.zeros((5, 2, 3), jnp.int32)
    a, b = data.two_views(jr.key(0), x, given)
    both = given(jr.key(0), jnp.concatenate([x, x]))
    np.testing.assert_array_equal(jnp.concatenate([a, b]), both)
    assert (a != b).any()


# ------------------------------------------------------- colour


COLOR = jr.uniform(jr.key(7), (9, 7, 3))


@pytest.mark.slow
def test_no_change_of_colour_is_the_identity(monkeypatch):
    still(monkeypatch)
    np.testing.assert_allclose(data.augment(jr.key(1), COLOR), COLOR, atol=1e-5)


def test_all_channels_move_alike(monkeypatch):
    still(monkeypatch, *MOTIONS)
    moved = augmented(jr.key(1), COLOR)
    assert not np.allclose(moved, COLOR, atol=0.05)
    alone_of = jax.jit(lambda x: data.augment(jr.key(1), x))
    for channel in range(3):
        alone = alone_of(COLOR[:, :, channel])
        np.testing.assert_allclose(moved[:, :, channel], alone, atol=1e-5)


@pytest.mark.parametrize("change, gains", [("_LIGHT", 1), ("_TINT", 3)])
def test_channels_get_a_gain_together_or_each_its_own(monkeypatch, change, gains):
    still(monkeypatch, change)
    ratio = np.asarray(data.augment(jr.key(1), COLOR) / COLOR)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0, 0], ratio.shape), 1e-3)
    assert len(set(ratio[0, 0].round(3).tolist())) == gains
    assert (np.abs(np.log(ratio)) < data.views.__dict__[change] + 1e-3).all()


@pytest.mark.slow
def test_one_colour_image_in_five_turns_grey(monkeypatch):
    still(monkeypatch, "_GRAY")
    images = np.stack([COLOR] * 1000)
    made = np.asarray(data.two_views(jr.key(0), images)[0])
    gray = (made == made[..., :1]).all((1, 2, 3))
    assert gray.mean() == pytest.approx(0.2, abs=0.04)
    luma = COLOR @ jnp.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(made[gray][0, :, :, 0], luma, rtol=1e-3)
    np.testing.assert_allclose(made[~gray][0], COLOR, atol=1e-5)


@pytest.mark.slow
def test_views_of_colour_differ_by_row_and_key():
    images = np.stack([np.asarray(COLOR)] * 4)
    a, b = VIEWS(jr.key(0), images)
    assert a.shape == images.shape and a.dtype == np.float32
    assert not np.allclose(a, b) and not np.allclose(a[0], a[1])


# ------------------------------------------------------- signals


CHANGES = {"_GAIN", "_SLIDE", "_STRETCH", "_TILT", "_SMOOTH", "_ROUGH"}
SIGNAL = np.sin(np.arange(40, dtype=np.float32) / 3)[None]


def alone(monkeypatch, *kept):
    """One signal, 400 times changed by these changes alone."""
    for name in CHANGES - set(kept):
        monkeypatch.setattr(data.views, name, 0.0)
    signals = np.repeat(SIGNAL, 400, 0)
    return np.asarray(data.views.change_signals(jr.key(0), signals))


@pytest.mark.slow
def test_a_signal_without_change_stays(monkeypatch):
    made = alone(monkeypatch)
    np.testing.assert_allclose(made, np.repeat(SIGNAL, 400, 0), atol=1e-5)


def test_a_signal_gets_a_gain(monkeypatch):
    gain = alone(monkeypatch, "_GAIN")[:, 1:] / SIGNAL[:, 1:]
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:, :1], gain.shape), 1e-4)
    assert 0.8 < gain.min() < 0.82 and 1.18 < gain.max() < 1.2


def test_a_signal_slides_in_a_circle(monkeypatch):
    monkeypatch.setattr(data.views, "_SLIDE", 0.25)
    peak = np.zeros((400, 40), np.float32)
    peak[:, 35] = 1
    for name in CHANGES - {"_SLIDE"}:
        monkeypatch.setattr(data.views, name, 0.0)
    made = np.asarray(data.views.change_signals(jr.key(0), peak))
    np.testing.assert_allclose(made.sum(1), 1, atol=1e-3)
    found = set(made.argmax(1).tolist())
    assert found == {*range(25, 40), *range(6)}


def test_a_signal_is_stretched_about_its_middle(monkeypatch):
    made = alone(monkeypatch, "_STRETCH")
    factors = np.exp(np.linspace(-0.223, 0.223, 201))[:, None]
    at = (np.arange(40) - 19.5)[None] * factors + 19.5
    stretched = np.interp(at, np.arange(40), SIGNAL[0])
    distance = np.abs(made[:, None] - stretched[None]).max(-1)
    assert distance.min(1).max() < 0.02
    nearest = distance.argmin(1)
    assert nearest.min() < 10 and nearest.max() > 190
    np.testing.assert_allclose(made[:, 19:21].mean(), SIGNAL[:, 19:21].mean(), rtol=0.1)


def test_a_signal_gets_a_slope(monkeypatch):
    slope = alone(monkeypatch, "_TILT") - SIGNAL
    np.testing.assert_allclose(np.diff(slope, 2), 0, atol=1e-5)
    np.testing.assert_allclose(slope.mean(1), 0, atol=1e-5)
    rise = slope[:, -1] - slope[:, 0]
    assert 2.3 < rise.max() < 2.43 and -2.43 < rise.min() < -2.3


@pytest.mark.parametrize(
    "change, size, near", [("_SMOOTH", 0.2, 0.81), ("_ROUGH", 0.129, 0)]
)
def test_a_signal_gets_noise(monkeypatch, change, size, near):
    noise = alone(monkeypatch, change) - SIGNAL
    assert noise.std() == pytest.approx(size, rel=0.05)
    beside = (noise[:, 5:-6] * noise[:, 6:-5]).mean() / noise[:, 5:-5].var()
    assert beside == pytest.approx(near, abs=0.05)


# ------------------------------------------------------- halves and tokens


@pytest.mark.parametrize("width, half", [(4, 2), (5, 2)])
def test_halves(width, half):
    x = np.arange(2 * 3 * width).reshape(2, 3, width)
    left, right = data.halves(x)
    np.testing.assert_array_equal(left.reshape(2, 3, half), x[:, :, :half])
    np.testing.assert_array_equal(right.reshape(2, 3, half), x[:, :, width - half :])
    left, right = data.halves(x[0])
    np.testing.assert_array_equal(left, x[0, :, :half])
    np.testing.assert_array_equal(right, x[0, :, width - half :])


def test_patches_are_squares_in_reading_order():
    image = np.arange(15.0).reshape(1, 3, 5)
    patches = data.patches(image)
    assert patches.shape == (1, 6, 4)
    np.testing.assert_array_equal(patches[0, 0], [0, 1, 5, 6])
    np.testing.assert_array_equal(patches[0, 1], [2, 3, 7, 8])
    np.testing.assert_array_equal(patches[0, 5], [14, 0, 0, 0])


def test_colour_images_are_cut_as_their_channels_are():
    x = np.arange(2 * 3 * 5 * 3.0).reshape(2, 3, 5, 3)
    apart = [data.halves(x[..., c]) for c in range(3)]
    for side, whole in enumerate(data.halves(x)):
        parts = [halves[side] for halves in apart]
        np.testing.assert_array_equal(whole.reshape(2, 6, 3), np.stack(parts, -1))
    channels = np.stack([data.patches(x[..., c]) for c in range(3)], -1)
    np.testing.assert_array_equal(data.patches(x), channels.reshape(2, 6, 12))
    assert data.tokens(x, words=3).shape == (2, 6)


def test_tokens_say_which_patches_are_alike():
    patches = np.random.default_rng(0).normal(size=(3, 4))
    truth = np.random.default_rng(1).integers(0, 3, (20, 5))
    found = data.tokens(patches[truth].reshape(20, 20), words=3)
    assert found.shape == (20, 5) and found.dtype == np.int32
    pairs = set(zip(found.ravel().tolist(), truth.ravel().tolist(), strict=True))
    assert len(pairs) == 3


def test_tokens_are_fixed_by_the_seed():
    found = data.tokens(IMAGES, words=8, seed=0)
    assert found.shape == (64, 16) and set(found.ravel()) == set(range(8))
    np.testing.assert_array_equal(found, data.tokens(IMAGES, words=8, seed=0))
    assert (found != data.tokens(IMAGES, words=8, seed=1)).any()


def test_tokens_choose_words_from_a_sample(monkeypatch):
    whole = data.tokens(IMAGES, words=8)
    monkeypatch.setattr(data.views, "_SAMPLE", 200)
    sampled = data.tokens(IMAGES, words=8)
    assert sampled.shape == (64, 16) and (sampled != whole).any()
    monkeypatch.setattr(data.views, "_SAMPLE", 7)
    with pytest.raises(InvalidInput, match="^words: expected an integer from 1 to "):
        data.tokens(IMAGES, words=8)


def test_words_are_chosen_among_the_rows_that_are_named():
    images = data.digits().images[:80]
    other = np.concatenate([images[:60], images[60:] * 0])
    found = [data.tokens(x, 8, among=x[:60])[:60] for x in (images, other)]
    assert np.array_equal(*found)
    among_all = data.tokens(images, 8)[:60]
    assert not np.array_equal(found[0], among_all)
