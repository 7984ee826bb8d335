"""Does a film have every frame of a fit, on the same axes?"""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from pictures import picture
from PIL import Image, ImageSequence
from table_rows import Y, Z

import icon
from icon import plot
from icon._base.checks import InvalidInput


def shot(count=5, z=Z, labels=Y):
    """A film of points that spread."""
    film = plot.Film(labels)
    for t in range(count):
        film(10 * (t + 1), 1 / (t + 1), (t + 1) * z)
    return film


def frames(path):
    with Image.open(path) as image:
        return [np.asarray(x.convert("RGB")) for x in ImageSequence.Iterator(image)]


def test_it_keeps_copies_and_lets_the_fit_go_on():
    film, z = plot.Film(), np.zeros((3, 2))
    assert not film(1, jnp.float32(0.5), z)
    z += 1
    assert not film(2, 0.25, jnp.asarray(z))
    assert [frame[:2] for frame in film.frames] == [(1, 0.5), (2, 0.25)]
    assert [frame.points.tolist() for frame in film.frames] == [
        [[x] * 2] * 3 for x in (0, 1)
    ]


def test_it_sees_the_steps_of_minimize():
    film = plot.Film()
    norm = lambda z: jnp.sum(z**2)
    more = dict(every=2, callbacks=[film])
    z, _ = icon.minimize(norm, jnp.asarray(Z), optax.sgd(0.1), 6, **more)
    assert [frame.step for frame in film.frames] == [2, 4, 6]
    np.testing.assert_array_equal(film.frames[-1].points, z)


def test_a_gif_has_every_frame_and_repeats(tmp_path):
    shot().save(tmp_path / "fit.gif", fps=5)
    found = frames(tmp_path / "fit.gif")
    with Image.open(tmp_path / "fit.gif") as image:
        assert image.info["loop"] == 0 and image.size == (600, 500)
        assert image.info["duration"] == 200
    assert len(found) >= 5 and all(len(np.unique(x)) > 10 for x in found)
    moved = [(a != b).any() for a, b in zip(found, found[1:5], strict=False)]
    assert all(moved)


def wide(pixels):
    """The columns from the first dot to the last: what has a color, but no legend."""
    colored = np.ptp(pixels[:, :530].astype(int), axis=2) > 60
    return np.ptp(np.flatnonzero(colored.any(0)))


def test_the_axes_are_the_same_in_all_frames(tmp_path):
    shot(3).save(tmp_path / "fit.gif", fps=2)
    one, two, three = map(wide, frames(tmp_path / "fit.gif")[:3])
    assert three > 250
    np.testing.assert_allclose([one, two], [three / 3, 2 * three / 3], atol=12)


def test_an_mp4_needs_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="ffmpeg installed .* got fit.mp4"):
        shot().save(tmp_path / "fit.mp4")
    assert not (tmp_path / "fit.mp4").exists()


def test_an_mp4_is_written_by_ffmpeg(tmp_path, monkeypatch):
    from matplotlib.animation import FFMpegWriter

    if not FFMpegWriter.isAvailable():  # what stands in for it keeps its frames
        fake = tmp_path / "ffmpeg"
        fake.write_text('#!/bin/sh\nfor last; do :; done\ncat > "$last"\n')
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    shot(3).save(tmp_path / "fit.mp4", fps=2)
    assert (tmp_path / "fit.mp4").stat().st_size > 1000


def test_a_film_of_space(tmp_path):
    film = shot(2, np.random.default_rng(0).normal(size=(30, 3)))
    film.save(tmp_path / "fit.gif", fps=2)
    first, second = frames(tmp_path / "fit.gif")[:2]
    assert (first != second).any()
    assert film.sheet().axes[0].name == "3d"


def test_a_sheet_has_frames_from_the_first_to_the_last():
    figure = shot(9).sheet(4)
    steps = [ax.get_title().split()[1] for ax in figure.axes]
    assert steps == ["10", "40", "60", "90"]
    limits = {(ax.get_xlim(), ax.get_ylim()) for ax in figure.axes}
    assert len(limits) == 1 and len(figure.legends) == 1
    for ax, size in zip(figure.axes, (1, 4, 6, 9), strict=True):
        dots = np.asarray(ax.collections[0].get_offsets())
        assert {*map(tuple, dots)} == {*map(tuple, size * Z)}
    picture(figure)


def test_few_frames_are_all_on_the_sheet():
    assert len(shot(2).sheet(6).axes) == 2


@pytest.mark.parametrize(
    "use, argument, got",
    [
        (lambda at: plot.Film().save(at / "a.gif"), "frames", "callbacks=[film]"),
        (lambda at: shot().save(at / "a.avi"), "path", "a .gif or .mp4 file"),
        (lambda at: shot().save(at / "no" / "a.gif"), "path", "a folder that exists"),
        (lambda at: shot().save(at / "a.gif", fps=0), "fps", "0"),
        (lambda at: shot(labels=Y[:3]).sheet(), "labels", "(3,)"),
        (lambda at: shot(z=np.ones((3, 5))).sheet(), "frames[0]", "t-SNE"),
        (lambda at: shot().sheet(1), "count", "1"),
    ],
)
def test_what_is_no_film_is_refused(use, argument, got, tmp_path):
    with pytest.raises(InvalidInput) as refusal:
        use(tmp_path)
    assert refusal.value.argument == argument and got in str(refusal.value)


def test_other_numbers_of_points_are_refused():
    film = shot(2)
    film(30, 0.1, Z[:7])
    with pytest.raises(InvalidInput, match=r"frames\[2\]: .* got shape \(7, 2\)"):
        film.sheet()
