"""Does a layout start small, follow the gradient of t-SNE, and end in time?"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA

import icon
from icon._base.blocks import filled
from icon._engines import fft
from icon._neighborhoods import pairwise, to_sparse
from icon.recipes import layout
from icon.recipes.layout import _directions, _sparse_directions


N = 60
X = np.float32(np.random.default_rng(0).normal(size=(N, 5)) * [9, 4, 2, 1, 1])
QUICK = layout.Plan(steps=100, early=50)
SPREADING = layout.Plan(steps=150, early=100, early_exaggeration=0.7)


def rng():
    return np.random.default_rng(3)


def graph(x=X, perplexity=8):
    return icon.symmetrize(icon.entropic(*icon.knn(x, 24), perplexity=perplexity))


def distances(a, b):
    """From the points of one layout to those of another, in spans of the latter."""
    return np.linalg.norm(a - b, axis=1) / np.ptp(b, 0).max()


# ------------------------------------------------------- starts


@pytest.mark.parametrize("shape", ["tall", "wide"])
def test_principal_components_are_those_of_scikit_learn(shape):
    x = X if shape == "tall" else X.T
    found = layout.principal(x, 3, rng())
    expected = PCA(3, svd_solver="full").fit_transform(np.float64(x))
    expected = expected / expected[:, 0].std() * 1e-4
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found, expected * signs, atol=1e-9)
    assert found.dtype == np.float32 and np.isclose(found[:, 0].std(), 1e-4)
    assert (found[abs(found).argmax(0), range(3)] > 0).all()


def test_directions_of_large_matrices_are_the_same():
    x = np.float64(X - X.mean(0))
    one, two = _directions(x, 2), _sparse_directions(x, 2)
    np.testing.assert_allclose(abs((one * two).sum(0)), 1, atol=1e-9)


def test_components_that_are_missing_are_noise():
    line = layout.principal(X[:, :1], 2, rng())
    assert 1e-7 < line[:, 1].std() < 1e-5
    point = layout.principal(np.ones((9, 4)), 2, rng())
    assert np.isclose(point[:, 0].std(), 1e-4) and point[:, 1].std() > 0
    assert np.array_equal(line, layout.principal(X[:, :1], 2, rng()))


def test_the_spectral_start_goes_round_a_ring():
    turn = np.roll(np.eye(N), 1, 1)
    z = layout.spectral(icon.graph(turn + turn.T), 2, rng())
    steps = np.linalg.norm(z - np.roll(z, 1, 0), axis=1)
    assert steps.max() < 0.2 * np.ptp(z, 0).max() and np.isclose(z[:, 0].std(), 1e-4)


@pytest.mark.parametrize(
    "matrix",
    [
        pytest.param(np.kron(np.eye(2), np.ones((20, 20))), id="two components"),
        pytest.param(np.ones((3, 3)), id="as many points as eigenvectors"),
    ],
)
def test_a_graph_without_such_eigenvectors_has_none(matrix):
    graph = icon.graph(matrix - np.diag(np.diag(matrix)))
    assert layout.spectral(graph, 2, rng()) is None


def test_a_given_start_is_kept_and_points_that_coincide_get_noise():
    z = rng().normal(size=(N, 2))
    before = z.copy()
    assert np.array_equal(layout.given(z, (N, 2), rng()), np.float32(z))
    same = layout.given(np.full((N, 2), 7.0), (N, 2), rng())
    assert len(np.unique(same, axis=0)) == N and abs(same - 7).max() < 1e-2
    assert np.array_equal(z, before)


@pytest.mark.parametrize("bad", [np.zeros((3, 2)), np.full((N, 2), np.nan), "a"])
def test_another_start_is_refused(bad):
    with pytest.raises(icon.InvalidInput, match="^init: "):
        layout.given(bad, (N, 2), rng())


@pytest.mark.slow
def test_a_graph_and_its_matrix_are_one():
    p = graph()
    matrix = to_sparse(p).toarray()
    rows = matrix / matrix.sum(1, keepdims=True)
    np.testing.assert_allclose(rows, icon.dense(p), atol=1e-6)


# ------------------------------------------------------- the descent


def followed(z, p, exaggeration, dof=1.0):
    """What a descent follows, of points that are filled up."""
    pairs, n = pairwise(to_sparse(p), np.float32), len(z)
    z = jnp.asarray(filled(np.float32(z), pairs.shape[0]))
    kernel = icon.interpolated(icon.student_t(jnp.ones_like(z), dof=dof))
    follow = jax.value_and_grad(layout.exaggerated)
    value, gradient = follow(z, pairs, jnp.float32(exaggeration), kernel, n)
    assert not gradient[n:].any()
    return value, gradient[:n]


def test_the_gradient_is_that_of_the_paper():
    z, p = rng().normal(size=(N, 2)), graph()
    difference = z[:, None] - z[None]
    kernel = 1 / (1 + (difference**2).sum(-1))
    np.fill_diagonal(kernel, 0)
    joint = to_sparse(p).toarray()
    force = (joint / joint.sum() - kernel / kernel.sum()) * kernel
    exact = 4 * (force[..., None] * difference).sum(1)  # openTSNE leaves out the 4
    np.testing.assert_allclose(followed(z, p, 1.0)[1], exact, atol=1e-6)


def test_exaggeration_multiplies_the_attraction():
    z, p = jnp.asarray(rng().normal(size=(N, 2)), jnp.float32), graph()
    attraction, repulsion = icon.terms(p, icon.student_t(z, dof=2.0), joint=True)
    value = followed(z, p, 12.0, dof=2.0)[0]
    np.testing.assert_allclose(value, 12 * attraction + repulsion, rtol=1e-6)


def test_the_rate_is_n_over_the_exaggeration():
    plan = layout.Plan(early=250, early_exaggeration=12.0, exaggeration=2.0)
    rates, exaggerations = plan.rates(600), plan.exaggerations()
    steps = jnp.asarray([0, 249, 250, 700])
    assert rates(steps).tolist() == [50, 50, 300, 300]
    assert exaggerations(steps).tolist() == [12, 12, 2, 2]
    assert exaggerations(0).dtype == jnp.float32
    assert dataclasses.replace(plan, rate=7.0).rates(600)(steps).tolist() == [7] * 4


@pytest.mark.slow
def test_other_numbers_are_no_other_program(monkeypatch):
    """Of points, of neighbours, of the tail and the plan: one program for all."""
    traces = []
    follow = layout.exaggerated

    def counted(*args):
        traces.append(args)
        return follow(*args)

    monkeypatch.setattr(layout, "exaggerated", counted)

    def traced(n, k, dof, plan):
        before = len(traces)
        p = icon.symmetrize(icon.entropic(*icon.knn(X[:n], k), perplexity=k / 3))
        layout.lay_out(layout.Tail(dof), layout.scattered(n, 2, rng()), p, plan)
        return len(traces) - before

    first = traced(40, 15, 0.7, layout.Plan(100, 50))
    assert first > 0
    others = (41, 15, 0.7), (30, 15, 0.8), (N, 9, 1.0)
    assert [traced(*each, layout.Plan(130, 25, 4.0, rate=3.0)) for each in others] == [
        0,
        0,
        0,
    ]


def test_plans_say_how_far_each_step_goes():
    fast, theirs = layout.PLANS["fast"], layout.PLANS["openTSNE"]
    steps = jnp.asarray([0, 99, 149, 150, 249, 250, 700])
    np.testing.assert_allclose(fast.momenta()(steps), [0.8] * 3 + [0.95] * 4)
    np.testing.assert_allclose(theirs.momenta()(steps), [0.8] * 7)
    assert theirs.exaggerations()(steps).tolist() == [12] * 5 + [1] * 2


def test_first_steps_that_are_too_long_are_taken_again():
    """At half of the rate, until they do not climb; callbacks see the last try only."""
    seen = []
    note = lambda step, loss, z: seen.append((step, len(z)))
    plan = layout.Plan(steps=150, early=100, rate=300.0)
    start = layout.principal(X, 2, rng())
    z, history = layout.lay_out(layout.Tail(), start, graph(), plan, [note])
    assert [step for step, _ in seen] == [50, 100, 150]
    assert {n for _, n in seen} == {N} and z.shape == (N, 2)
    follows = -jnp.log(1 / (N * (N - 1)))  # the loss of points in one place
    assert history.loss[0] < follows + 1.1


def test_the_loss_falls_and_the_same_start_has_the_same_end():
    start, p = layout.principal(X, 2, rng()), graph()
    z, history = layout.lay_out(layout.Tail(), start, p, QUICK)
    again, _ = layout.lay_out(layout.Tail(), start, p, QUICK)
    assert len(history.loss) == 2 and np.array_equal(z, again)
    first = icon.kl(p, icon.student_t(jnp.asarray(start)), joint=True)
    assert icon.kl(p, icon.student_t(z), joint=True) < 0.5 * first


@pytest.mark.slow
def test_one_program_serves_the_first_steps_and_all_later_ones():
    compiled = []

    def note(event, duration, **_):
        compiled.append(event) if event.endswith("backend_compile_duration") else None

    jax.monitoring.register_event_duration_secs_listener(note)
    jax.clear_caches()  # another test may have compiled it
    start, p = layout.principal(X, 2, rng()), graph()
    layout.lay_out(layout.Tail(3.0), start, p, layout.Plan(50, 50))
    first, _ = len(compiled), compiled.clear()
    layout.lay_out(layout.Tail(3.0), start, p, layout.Plan(150, 50))
    assert first and not compiled


# ------------------------------------------------------- the end


def stopped(losses, tol=0.0):
    """At which of these losses, 50 steps apart, a descent is stopped."""
    stop = layout.settled(QUICK, tol)
    answers = [stop(50 * (k + 1), loss, None) for k, loss in enumerate(losses)]
    return answers.index(True) if True in answers else None


def test_a_run_that_improves_is_not_stopped():
    assert stopped([9, 3, 2.9, 2.8, 2.79999, 2.79998, 2.79997]) is None
    assert stopped([9, 3, 2, 2, 2]) == 4  # 2 at step 150, and still at 250
    assert stopped([9, 9, 9]) is None  # the exaggerated loss is another
    improving = [3 * 0.995**k for k in range(10)]
    assert stopped(improving, tol=0.001) is None and stopped(improving, tol=0.02) == 3


def test_stopping_depends_on_no_unit():
    falling = np.float64([9, 3, 2.5, 2.4, 2.39, 2.389])
    assert stopped(falling, tol=0.01) == stopped(1e-9 * falling, tol=0.01) == 5


# ------------------------------------------------------- new points


OLD = np.float32(10 * np.random.default_rng(1).normal(size=(N, 2)))
NEWS = np.float32(np.random.default_rng(2).normal(size=(N + 1, 5)) * [9, 4, 2, 1, 1])


def nearest_old(new):
    index, distance = icon.knn(new, 15, X)
    return icon.entropic(index, distance, perplexity=5, candidates=N)


@pytest.fixture(scope="module")
def placed():
    p = nearest_old(NEWS)
    return p, layout.place(layout.Tail(), OLD, p)


@pytest.mark.slow
def test_new_points_do_not_depend_on_each_other(placed):
    """Nor are they one set with the old ones where there are as many."""
    fewer = layout.place(layout.Tail(), OLD, nearest_old(NEWS[:N]))
    assert distances(fewer, placed[1][:N]).max() < 1e-3


def test_a_new_point_has_its_place_whatever_points_are_beside_it(monkeypatch):
    """On a grid; also beside one that leaves the layout, at a side of its box."""
    monkeypatch.setattr(fft, "FEW", {2: 1})
    monkeypatch.setattr(layout, "PLACED", 20)
    rng = np.random.default_rng(3)
    old = np.float32(4 * rng.normal(size=(300, 2)))
    index = np.argsort(rng.random((16, 300)), 1)[:, :3]
    old[:3], index[1] = 15, [0, 1, 2]

    def place(rows):
        near = icon.entropic(index[rows], np.ones((len(rows), 3)), perplexity=3,
                             candidates=300)  # fmt: skip
        return layout.place(layout.Tail(), old, near)

    every = place(np.arange(16))
    assert (every[1] > old.max(0)).any()
    for rows in (np.arange(16)[::-1], np.r_[np.arange(2, 16), 2, 2]):
        np.testing.assert_allclose(place(rows), every[rows], rtol=0, atol=1e-5)
    beyond = layout.BEYOND * np.ptp(old, 0).max() + 1e-4
    assert (every <= old.max(0) + beyond).all() and (every >= old.min(0) - beyond).all()
    monkeypatch.setattr(layout, "BEYOND", 1e-3)
    side = old.max(0) + np.float32(1e-3) * np.ptp(old, 0).max()
    narrow = place(np.arange(16))
    assert (every[1] > side).any() and (narrow <= side + 1e-5).all()
    np.testing.assert_allclose(narrow[1], np.minimum(every[1], side), atol=1e-3)


@pytest.mark.slow
def test_new_points_end_where_their_loss_is_flat(placed):
    p, end = placed
    kernel = icon.interpolated(icon.student_t(np.float32(end), OLD))
    gradient, box = jax.grad(layout.placing), jnp.float32([[-99, -99], [99, 99]])
    wider = dataclasses.replace(p, start=np.pad(p.start, (0, 2), mode="edge"))
    norms = lambda z: np.linalg.norm(
        gradient(jnp.float32(z), wider, kernel, None, box), axis=1
    )
    before, after = norms(to_sparse(p) @ OLD), norms(end)
    assert np.median(after) < 1e-3 < 1e-2 < np.median(before)
    assert after.max() < 0.05


def test_blocks_hold_every_row_once_and_their_sizes_are_few():
    for n in (1, 255, 256, 257, 4096, 4097, 9000):
        ids = np.concatenate(layout.blocks(n))
        assert np.array_equal(ids[:n], np.arange(n)) and (ids[n:] == n - 1).all()
    sizes = {len(layout.blocks(n)[0]) for n in range(1, 9000, 7)}
    assert sizes == {256, 512, 1024, 2048, 4096}


@pytest.mark.slow
def test_a_layout_that_outgrows_a_grid_gets_a_larger_one(monkeypatch):
    """And ends as on one that was large from the first step on."""
    monkeypatch.setattr(fft, "FEW", {2: 1})
    reaches, make = [], layout.interpolated

    def noted(q, *, reach):
        reaches.append(reach)
        return make(q, reach=reach)

    monkeypatch.setattr(layout, "interpolated", noted)
    ends = []
    for reach in (0.5, 60):
        monkeypatch.setattr(layout, "REACH", reach)
        start = 5 * layout.principal(X, 2, rng()) / layout.SMALL
        z, history = layout.lay_out(layout.Tail(), start, graph(), SPREADING)
        ends.append(history.loss[-1])
    assert len({*reaches}) > 3  # the two given ones, and what it grew to
    np.testing.assert_allclose(*ends, rtol=1e-2)


@pytest.mark.slow
def test_a_layout_that_outgrows_the_largest_grid_warns_once(monkeypatch):
    monkeypatch.setattr(fft, "FEW", {2: 1})
    start = 1000 * layout.principal(X, 2, rng()) / layout.SMALL
    with pytest.warns(UserWarning, match="every pair is summed") as warned:
        layout.lay_out(layout.Tail(), start, graph(), layout.Plan(150, 0))
    assert len(warned) == 1


@pytest.mark.slow
def test_a_descent_beyond_the_largest_grid_ends(monkeypatch):
    """Also where its last steps are no whole chunk."""
    monkeypatch.setattr(fft, "FEW", {2: 1})
    start = 1000 * layout.principal(X, 2, rng()) / layout.SMALL
    with pytest.warns(UserWarning, match="every pair is summed"):
        _, history = layout.lay_out(layout.Tail(), start, graph(), layout.Plan(3, 1))
    assert len(history.loss) == 1


def test_a_climb_that_no_rate_prevents_ends_the_tries():
    """Of attraction alone, from a layout that is done: any step is too long."""
    done = 30 * layout.principal(X, 2, rng()) / layout.SMALL
    plan = layout.Plan(steps=100, early=60, early_exaggeration=0.01, rate=1e9)
    seen = []
    layout.lay_out(
        layout.Tail(), done, graph(), plan, [lambda *now: seen.append(now[0])]
    )
    assert seen == [50, 100]


def test_only_first_steps_of_one_rate_are_judged():
    stepped = layout.Plan(early=25)
    assert not layout._is_steady(stepped, stepped.rates(100))
    assert layout._is_steady(layout.PLAN, layout.PLAN.rates(100))


@pytest.mark.parametrize("when", [1, 2])
def test_an_interrupt_ends_a_descent_that_would_go_on(when, monkeypatch):
    """In the very first step, and just as a grid was found outgrown."""
    calls, follow = [], layout.minimize

    def interrupted(*args, **options):
        z, history = follow(*args, **options)
        calls.append(options["first"])
        if len(calls) == when:
            for watch in options["callbacks"]:
                watch.outgrown = True
            return z, history._replace(loss=history.loss[:0], interrupted=True)
        return z, history

    monkeypatch.setattr(layout, "minimize", interrupted)
    start = layout.principal(X, 2, rng())
    _, history = layout.lay_out(layout.Tail(), start, graph(), layout.Plan(150, 100))
    assert history.interrupted and len(calls) == when and len(history.loss) == 0


def test_a_start_of_another_length_is_refused():
    start = layout.principal(X[:20], 2, rng())
    with pytest.raises(icon.InvalidInput, match="^z: expected 60, one for each anchor"):
        layout.lay_out(layout.Tail(), start, graph())
