"""Is every number drawn at its step?"""

import sys

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from matplotlib.figure import Figure
from pictures import picture

import icon
from icon import plot
from icon._base.checks import InvalidInput
from icon._training import History


RUNS = {"slow": [3.0, 2.9, 2.8], "$fast$": [3.0, 1.0], "_hidden": [2.0]}


def test_history_is_the_losses_at_their_steps():
    losses = np.array([3.0, np.nan, 1.0], ml_dtypes.bfloat16)
    (line,) = plot.history(losses, ax=Figure().subplots()).lines
    np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2])
    np.testing.assert_array_equal(line.get_ydata(), [3.0, np.nan, 1.0])


def test_several_runs_share_an_axis_and_a_legend():
    ax = plot.history(RUNS, ax=Figure().subplots())
    for line, y in zip(ax.lines, RUNS.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(len(y)))
        np.testing.assert_array_equal(line.get_ydata(), y)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [*RUNS]
    assert len({line.get_color() for line in ax.lines}) == 3
    picture(ax.figure)


def test_one_run_needs_no_legend():
    assert plot.history([1.0, 2.0], ax=Figure().subplots()).get_legend() is None


def test_a_run_of_one_step_is_a_point():
    lines = plot.history(RUNS, ax=Figure().subplots()).lines
    assert [line.get_marker() for line in lines] == ["None", "None", "o"]


def test_what_is_measured_has_axes_of_its_own():
    figure = plot.curves({"loss": [3.0, 2.0], "$a_b$": [1e-3, 2e-3]})
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss", "$a_b$"]
    assert [ax.lines[0].get_ydata().tolist() for ax in figure.axes] == [
        [3.0, 2.0],
        [1e-3, 2e-3],
    ]
    assert [ax.get_xlabel() for ax in figure.axes] == ["", "step"]
    picture(figure)


def test_a_history_is_drawn_with_its_metrics_by_their_paths():
    metrics = [{"norm": jnp.ones(()) * t, "of": {"t": float(t)}} for t in range(3)]
    kept = History(np.array([3.0, 2.0, 1.0]), None, metrics)
    figure = plot.curves(kept)
    found = {ax.get_ylabel(): ax.lines[0].get_ydata().tolist() for ax in figure.axes}
    assert found == {"loss": [3, 2, 1], "norm": [0, 1, 2], "of.t": [0, 1, 2]}


def test_what_minimize_leaves_behind_is_drawn():
    square = lambda z: jnp.sum(z**2)
    _, kept = icon.minimize(square, jnp.ones(2), optax.sgd(0.1), 5)
    (ax,) = plot.curves(kept).axes
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), kept.loss)


def test_pictures_without_matplotlib_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (lambda: plot.history([1.0]), lambda: plot.curves({"a": [1.0]})):
        with pytest.raises(ImportError, match=r"pip install 'icon-jax\[plot\]'"):
            draw()


OTHER = History(np.ones(2), None, [{"a": 1.0}, {"b": 1.0}])
WIDE = History(np.ones(1), None, [{"a": np.ones(2)}])


@pytest.mark.parametrize(
    "draw, argument, got",
    [
        (lambda: plot.history(np.ones((2, 2))), "losses", "(2, 2)"),
        (lambda: plot.history([]), "losses", "(0,)"),
        (lambda: plot.history(["a"]), "losses", "<U1"),
        (lambda: plot.history({}), "losses", "nothing"),
        (lambda: plot.history({"a": [[1.0]]}), "losses['a']", "(1, 1)"),
        (lambda: plot.history({i: [1.0] for i in range(21)}), "losses", "21 curves"),
        (lambda: plot.history([1.0], ax=3), "ax", "axes of matplotlib"),
        (lambda: plot.curves([1.0]), "measured", "a list"),
        (lambda: plot.curves({}), "measured", "nothing"),
        (lambda: plot.curves(OTHER), "measured.metrics", "other ones later"),
        (lambda: plot.curves(WIDE), "measured['a']", "(1, 2)"),
    ],
)
def test_what_is_no_curve_is_refused(draw, argument, got):
    with pytest.raises(InvalidInput) as refusal:
        draw()
    assert refusal.value.argument == argument and got in str(refusal.value)
