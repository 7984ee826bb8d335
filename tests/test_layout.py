"""Does a layout start small, follow the gradient of t-SNE, and end in time?"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA

import icon
from icon._neighborhoods.graph import to_sparse
from icon._training import minimize as _descent
from icon.recipes import layout as _layout


N = 60
X = np.float32(np.random.default_rng(0).normal(size=(N, 5)) * [9, 4, 2, 1, 1])
QUICK = _layout.Plan(steps=100, early=50)


def rng():
    return np.random.default_rng(3)


def graph(x=X, perplexity=8):
    return icon.symmetrize(icon.entropic(*icon.knn(x, 24), perplexity=perplexity))


def away(a, b):
    """How far two layouts are apart, in spans of the second."""
    return np.linalg.norm(a - b, axis=1) / np.ptp(b, 0).max()


# ------------------------------------------------------- where it starts


@pytest.mark.parametrize("shape", ["tall", "wide"])
def test_principal_components_are_those_of_scikit_learn(shape):
    x = X if shape == "tall" else X.T
    mine = _layout.principal(x, 3, rng())
    theirs = PCA(3, svd_solver="full").fit_transform(np.float64(x))
    theirs = theirs / theirs[:, 0].std() * 1e-4
    signs = np.sign((mine * theirs).sum(0))
    np.testing.assert_allclose(mine, theirs * signs, atol=1e-9)
    assert mine.dtype == np.float32 and np.isclose(mine[:, 0].std(), 1e-4)
    assert (mine[abs(mine).argmax(0), range(3)] > 0).all()


def test_directions_of_large_matrices_are_the_same():
    x = np.float64(X - X.mean(0))
    one, two = _layout._directions(x, 2), _layout._a_few_directions(x, 2)
    np.testing.assert_allclose(abs((one * two).sum(0)), 1, atol=1e-9)


def test_components_that_are_missing_are_noise():
    line = _layout.principal(X[:, :1], 2, rng())
    assert 1e-7 < line[:, 1].std() < 1e-5
    point = _layout.principal(np.ones((9, 4)), 2, rng())
    assert np.isclose(point[:, 0].std(), 1e-4) and point[:, 1].std() > 0
    assert np.array_equal(line, _layout.principal(X[:, :1], 2, rng()))


def test_the_spectral_start_goes_round_a_ring():
    turn = np.roll(np.eye(N), 1, 1)
    z = _layout.spectral(icon.graph(turn + turn.T), 2, rng())
    steps = np.linalg.norm(z - np.roll(z, 1, 0), axis=1)
    assert steps.max() < 0.2 * np.ptp(z, 0).max() and np.isclose(z[:, 0].std(), 1e-4)


@pytest.mark.parametrize("what", ["two parts", "two points"])
def test_no_spectrum_is_none(what):
    parts = dict(zip(("two parts", "two points"), (20, 1), strict=True))[what]
    blocks = np.kron(np.eye(2), np.ones((parts, parts)))
    matrix = blocks if parts > 1 else np.ones((2, 2))
    apart = icon.graph(matrix - np.diag(np.diag(matrix)))
    assert _layout.spectral(apart, 2, rng()) is None


def test_a_given_start_is_kept_and_points_that_are_one_are_moved_apart():
    z = rng().normal(size=(N, 2))
    before = z.copy()
    assert np.array_equal(_layout.given(z, (N, 2), rng()), np.float32(z))
    same = _layout.given(np.full((N, 2), 7.0), (N, 2), rng())
    assert len(np.unique(same, axis=0)) == N and abs(same - 7).max() < 1e-2
    assert np.array_equal(z, before)


@pytest.mark.parametrize("bad", [np.zeros((3, 2)), np.full((N, 2), np.nan), "a"])
def test_another_start_is_refused(bad):
    with pytest.raises(icon.InvalidInput, match="^init: "):
        _layout.given(bad, (N, 2), rng())


def test_a_graph_and_its_matrix_are_one():
    p = graph()
    matrix = to_sparse(p).toarray()
    rows = matrix / matrix.sum(1, keepdims=True)
    np.testing.assert_allclose(rows, icon.dense(p), atol=1e-6)


# ------------------------------------------------------- how hard it is pulled


def test_the_gradient_is_that_of_the_paper():
    z, p = rng().normal(size=(N, 2)), graph()
    slope = jax.grad(_layout.Layout())(jnp.asarray(z, jnp.float32), p, 1.0)
    apart = z[:, None] - z[None]
    kernel = 1 / (1 + (apart**2).sum(-1))
    np.fill_diagonal(kernel, 0)
    joint = to_sparse(p).toarray()
    push = (joint / joint.sum() - kernel / kernel.sum()) * kernel
    exact = 4 * (push[..., None] * apart).sum(1)  # openTSNE leaves out the 4
    np.testing.assert_allclose(slope, exact, atol=1e-6)


def test_exaggeration_is_of_the_attraction():
    z, p = jnp.asarray(rng().normal(size=(N, 2)), jnp.float32), graph()
    attraction, repulsion = icon.terms(p, icon.student_t(z, dof=2.0), joint=True)
    loss = _layout.Layout(_layout.Tail(2.0))
    np.testing.assert_allclose(loss(z, p, 12.0), 12 * attraction + repulsion, rtol=1e-6)


def test_the_rate_is_n_over_the_exaggeration():
    plan = _layout.Plan(early=250, strong=12.0, exaggeration=2.0)
    rates, pull = plan.rates(600), plan.pull()
    steps = jnp.asarray([0, 249, 250, 700])
    assert rates(steps).tolist() == [50, 50, 300, 300]
    assert pull(steps).tolist() == [12, 12, 2, 2] and pull(0).dtype == jnp.float32
    assert dataclasses.replace(plan, rate=7.0).rates(600)(steps).tolist() == [7] * 4


def test_one_program_for_one_size_and_one_tail():
    """Equal settings are found again, whoever made them."""

    def programs(n, dof):
        before = _descent._chunk._cache_size()
        start = _layout.scattered(n, 2, rng())
        loss = _layout.Layout(_layout.Tail(dof))
        _layout.lay_out(loss, start, graph(X[:n]), _layout.Plan(100, 50))
        return _descent._chunk._cache_size() - before

    assert programs(40, 0.7) == 1
    assert programs(40, 0.7) == 0
    assert programs(40, 0.8) == 1
    assert programs(41, 0.7) == 1


def test_the_loss_falls_and_the_same_start_is_the_same_end():
    start, p = _layout.principal(X, 2, rng()), graph()
    z, history = _layout.lay_out(_layout.Layout(), start, p, QUICK)
    again, _ = _layout.lay_out(_layout.Layout(), start, p, QUICK)
    assert len(history.loss) == 2 and np.array_equal(z, again)
    first = icon.kl(p, icon.student_t(jnp.asarray(start)), joint=True)
    assert icon.kl(p, icon.student_t(z), joint=True) < 0.5 * first


# ------------------------------------------------------- when it is done


def losses(values, plan=QUICK, tol=0.0):
    stop = _layout.settled(plan, tol)
    told = [stop(50 * (k + 1), x, None) for k, x in enumerate(values)]
    return told.index(True) if True in told else None


def test_a_run_that_improves_is_not_stopped():
    assert losses([9, 3, 2.9, 2.8, 2.79999, 2.79998, 2.79997]) is None
    assert losses([9, 3, 2, 2, 2]) == 4  # 2 at step 150, and still at 250
    assert losses([9, 9, 9]) is None  # the exaggerated loss is another
    improving = [3 * 0.995**k for k in range(10)]
    assert losses(improving, tol=0.001) is None and losses(improving, tol=0.02) == 3


def test_it_sees_no_unit():
    falling = np.float64([9, 3, 2.5, 2.4, 2.39, 2.389])
    assert losses(falling, tol=0.01) == losses(1e-9 * falling, tol=0.01) == 5


# ------------------------------------------------------- points that come later


OLD = np.float32(10 * np.random.default_rng(1).normal(size=(N, 2)))
NEWS = np.float32(np.random.default_rng(2).normal(size=(N + 1, 5)) * [9, 4, 2, 1, 1])


def near(new):
    index, distance = icon.knn(new, 15, X)
    return icon.entropic(index, distance, perplexity=5, candidates=N)


@pytest.fixture(scope="module")
def placed():
    p = near(NEWS)
    return p, _layout.place(_layout.Tail(), OLD, p)


def test_new_points_do_not_see_each_other(placed):
    """Nor is it one set where there are as many new points as old ones."""
    fewer = _layout.place(_layout.Tail(), OLD, near(NEWS[:N]))
    assert away(fewer, placed[1][:N]).max() < 1e-3


def test_new_points_end_where_their_loss_is_flat(placed):
    p, end = placed
    slope = jax.grad(_layout.Placing())
    steep = lambda z: np.linalg.norm(slope(jnp.float32(z), p, OLD), axis=1)
    before, after = steep(to_sparse(p) @ OLD), steep(end)
    assert np.median(after) < 1e-3 < 1e-2 < np.median(before)
    assert after.max() < 0.05


def test_blocks_hold_every_row_once_and_their_sizes_are_few():
    for n in (1, 255, 256, 257, 4096, 4097, 9000):
        ids = np.concatenate(_layout.blocks(n))
        assert np.array_equal(ids[:n], np.arange(n)) and (ids[n:] == n - 1).all()
    sizes = {len(_layout.blocks(n)[0]) for n in range(1, 9000, 7)}
    assert sizes == {256, 512, 1024, 2048, 4096}


def test_a_layout_that_outgrows_the_grid_says_so_once():
    look = _layout.wide(_layout.Layout())
    small = np.random.default_rng(0).normal(size=(4100, 2)).astype(np.float32)
    look(50, 1.0, small)
    with pytest.warns(UserWarning, match="at step 100 .* every pair is summed"):
        look(100, 1.0, small * 1000)
    look(150, 1.0, small * 1000)
