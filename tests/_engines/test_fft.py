"""Are the answers for all anchors at once those of each anchor, and fast where due?

The references are sums over pairs in float64 NumPy, and the per-anchor protocol.
"""

import dataclasses
import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from cases import slow
from interpreter import interpret
from pair_sums import FAMILIES, Family, error, layout, own, sums

import icon
from icon._engines import fft, grid
from icon._engines.fft import ByPairs, OnGrid
from icon._neighborhoods import from_sparse
from icon._neighborhoods.protocol import EVERYBODY


G = np.random.default_rng(1).normal(size=500).astype(np.float32)
FEW = {1: (256, 1024), 2: (64, 192), 3: (32, 48)}  # a short ladder compiles faster


def fast(q, spacing=None, order=fft.ORDER):
    """Points that answer for all anchors at once, on a short ladder of grids."""
    q = icon.interpolated(q, spacing=spacing, order=order)
    if not isinstance(q.engine, OnGrid):
        return q
    engine = dataclasses.replace(q.engine, sizes=FEW[q.base.anchors.shape[1]])
    return dataclasses.replace(q, engine=engine, spectra=engine.spectra(q.base))


@ft.cache
def answers(name, spacing=None, learned=True, order=fft.ORDER, **fixed):
    """(z, g, params) -> M, ∇Σ g_i M_i, the joint log-mass and its gradient."""

    def of(z, params):
        return fast(FAMILIES[name].make(z, **fixed, **params), spacing, order)

    def rows(z, params, g):
        M = of(z, params).log_masses()
        return jnp.sum(g * M), M

    def joint(z, params):
        return of(z, params).joint_log_mass()

    def both(z, g, params):
        leaves = (0, 1) if learned else (0,)
        by_row, M = jax.grad(rows, leaves, has_aux=True)(z, params, g)
        return M, by_row, *jax.value_and_grad(joint, leaves)(z, params)

    return jax.jit(both)


def assert_sums(got, name, z, g, tolerance, **params):
    """Values and gradients are those of the pairs, up to the error of a grid."""
    M, (by_z, *by_params), total, (total_by_z, *total_by_params) = got
    exact = sums(name, z, **params)
    np.testing.assert_allclose(M, exact.log_mass, atol=max(2e-6, tolerance))
    joint, share = exact.joint
    assert abs(total - joint) <= min(1e-4, max(4e-6, tolerance))
    assert error(by_z, sum(exact.gradient(g))) <= tolerance
    assert error(total_by_z, sum(exact.gradient(share))) <= tolerance
    for one, other in zip(by_params, total_by_params, strict=True):
        for k, by_k in exact.by_params.items():
            assert abs(one[k] - np.sum(g * by_k)) <= tolerance * np.abs(by_k).sum()
            assert abs(other[k] - np.sum(share * by_k)) <= tolerance


# ------------------------------------------------------- the numbers


ERRORS = {None: 2e-6, 0.45: 2.5e-2}
KERNELS = {
    "dof 0.5": ("student_t", dict(dof=0.5, scale=1.0)),
    "dof 1": ("student_t", dict(dof=1.0, scale=1.0)),
    "dof 3": ("student_t", dict(dof=3.0, scale=0.8)),
    "gaussian": ("gaussian", dict(scale=0.7)),
    "own": ("own", dict(wide=0.8)),
}


ALL = [(spacing, name) for spacing in (0.45, None) for name in KERNELS]
SOON = (0.45, "dof 0.5"), (0.45, "dof 3"), (None, "dof 1"), (None, "own")


@pytest.mark.parametrize(
    ("spacing", "kernel"), [x if x in SOON else slow(*x) for x in ALL]
)
def test_they_are_the_sums_over_pairs(kernel, spacing):
    name, params = KERNELS[kernel]
    z, number = layout(), {k: jnp.float32(v) for k, v in params.items()}
    if name == "student_t":  # its parameters are learned
        got = answers(name, spacing)(z, G, number)
    else:
        got = answers(name, spacing, learned=False, **params)(z, G, {})
    assert_sums(got, name, z, G, ERRORS[spacing], **params)


@pytest.mark.parametrize("d", [1, slow(3)])
@pytest.mark.parametrize("spacing", [0.45, None])
def test_in_one_dimension_and_in_three(d, spacing):
    z = layout(400, d, spread=2.0)
    total, by_z = joint_of(icon.student_t, spacing)(z)
    joint, share = sums("student_t", z).joint
    gradient = sum(sums("student_t", z).gradient(share))
    assert error(by_z, gradient) <= 2.5e-2 and abs(total - joint) <= 1e-3


def test_in_five_dimensions_every_pair_is_summed():
    z = layout(300, 5)
    total, by_z = joint_of(icon.student_t)(z)
    joint, share = sums("student_t", z).joint
    assert abs(total - joint) <= 4e-6
    assert error(by_z, sum(sums("student_t", z).gradient(share))) <= 2e-6


def joint_of(make, spacing=None, **options):
    joint = lambda z: fast(make(z), spacing, **options).joint_log_mass()
    return jax.jit(jax.value_and_grad(joint))


@pytest.mark.parametrize("spacing", [slow(None), 0.3])
def test_both_of_two_sets_have_gradients(spacing):
    x, y, g = layout(200, seed=3), layout(300, seed=4), G[:200]

    def both(x, y):
        q = fast(icon.student_t(x, y), spacing)
        return jnp.stack([jnp.sum(g * q.log_masses()), q.joint_log_mass()])

    exact, tolerance = sums("student_t", x, y), 2e-6 if spacing is None else 8e-3
    gradients = jax.jit(jax.jacrev(both, (0, 1)))(x, y)
    for at, weight in enumerate((g, exact.joint[1])):
        for got, expected in zip(gradients, exact.gradient(weight), strict=True):
            assert error(got[at], expected) <= tolerance


@pytest.mark.slow
def test_double_precision_is_kept(x64):
    z = jnp.asarray(layout(), jnp.float64)
    total, by_z = joint_of(ft.partial(icon.student_t, dof=0.5))(z)
    exact = sums("student_t", z, dof=0.5)
    joint, share = exact.joint
    assert abs(total - joint) <= 1e-12
    assert error(by_z, sum(exact.gradient(share))) <= 1e-12
    fine, _ = joint_of(icon.student_t, 0.2, order=8)(z)
    assert abs(fine - sums("student_t", z).joint[0]) <= 1e-7


@pytest.mark.parametrize("spacing", [None, slow(0.45)])
def test_half_precision_is_summed_wide(spacing):
    z = jnp.asarray(layout(80), jnp.bfloat16)
    total, by_z = joint_of(icon.student_t, spacing)(z)
    joint, _ = sums("student_t", np.asarray(z, np.float64)).joint
    assert abs(total - joint) < 1e-3 and by_z.dtype == jnp.bfloat16


# ------------------------------------------------------- beyond the grid, or floats


@pytest.mark.parametrize("spacing", [None, slow(0.45)])
def test_three_points_fifty_widths_away_have_logarithms(spacing):
    z = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]], np.float32)
    g = np.ones(3, np.float32)
    M, (by_z,), total, (total_by_z,) = answers("gaussian", spacing, False, scale=0.7)(
        z, g, {}
    )
    exact, close = sums("gaussian", z, scale=0.7), dict(rtol=1e-4, atol=1e-4)
    joint, share = exact.joint
    np.testing.assert_allclose(M, exact.log_mass, rtol=1e-6)
    np.testing.assert_allclose(by_z, sum(exact.gradient(g)), **close)
    assert total == pytest.approx(joint, rel=1e-6)
    np.testing.assert_allclose(total_by_z, sum(exact.gradient(share)), **close)


def test_a_lonely_point_beside_a_crowd_is_summed_exactly():
    z = np.concatenate([layout(498), np.float32([[40, 20], [41, 50]])])

    @ft.partial(jax.grad, has_aux=True)
    def rows(z):
        M = fast(icon.gaussian(z, scale=0.7), 0.45).log_masses()
        return jnp.sum(G * M), M

    by_z, M = jax.jit(rows)(z)
    exact = sums("gaussian", z, scale=0.7)
    np.testing.assert_allclose(M[-2:], exact.log_mass[-2:], rtol=1e-6)
    expected = sum(exact.gradient(G))
    np.testing.assert_allclose(by_z[-2:], expected[-2:], rtol=1e-4)
    assert error(by_z, expected) <= 2.5e-2


NUMBERS = dict(dof=jnp.float32(1.0), scale=jnp.float32(1.0))


@pytest.mark.parametrize("stretch", [400, 1e5, 1e9, 1e12])
def test_a_span_past_the_last_grid_is_summed_exactly(stretch):
    z = layout() * np.float32(stretch)
    M, (by_z, _), total, _ = answers("student_t", 0.45)(z, G, NUMBERS)
    exact = sums("student_t", z)
    np.testing.assert_allclose(M, exact.log_mass, rtol=1e-5)
    assert total == pytest.approx(exact.joint[0], rel=1e-5)
    assert error(by_z, sum(exact.gradient(G))) <= 1e-5


@pytest.mark.parametrize("spacing", [None, 0.45])
def test_points_in_one_place(spacing):
    z = np.zeros((500, 2), np.float32)
    M, (by_z, _), *_ = answers("student_t", spacing)(z, np.ones_like(G), NUMBERS)
    np.testing.assert_allclose(M, np.log(499), rtol=5e-3)
    np.testing.assert_allclose(by_z, 0, atol=1e-3)


def test_it_is_known_whether_the_grid_has_room():
    z = layout(200)
    room = lambda q, **options: icon.interpolated(q, **options).room()
    assert 450 < room(icon.student_t(z), spacing=0.45) < 1024 * 0.45
    twice = room(icon.student_t(z, scale=2.0), spacing=0.45)
    np.testing.assert_allclose(twice, 2 * room(icon.student_t(z), spacing=0.45))
    assert room(icon.student_t(z), spacing=0.45, reach=40.0) < 100
    assert room(icon.student_t(z)) == np.inf  # pair by pair


def high(a, b):
    return 100 - jnp.sum((a[None] - b) ** 2, 1)


def rows_of(q):
    """The log-mass of each anchor, one by one."""
    return jax.jit(jax.vmap(q.log_mass))(jnp.arange(q.shape[0]))


@pytest.mark.slow
def test_scores_beyond_the_floats():
    q = icon.points(high, layout(40), layout(30, seed=1))
    exact = jax.jit(lambda q: (q.log_masses(), q.joint_log_mass()))(fast(q))
    np.testing.assert_allclose(exact[0], rows_of(q), rtol=1e-5)
    np.testing.assert_allclose(exact[1], jax.nn.logsumexp(rows_of(q)), rtol=1e-5)


@pytest.mark.slow
def test_one_point_alone_has_no_gradient():
    p = from_sparse(sp.csr_array((1, 1)), np.float32, True)
    one = np.ones((1, 2), np.float32)
    loss = lambda s: icon.kl(p, icon.interpolated(icon.gaussian(one, scale=s)))
    assert jax.jit(jax.value_and_grad(loss))(1.0) == (0, 0)


# ------------------------------------------------------- which engine sums


@pytest.mark.slow
def test_many_points_are_summed_on_a_grid_by_any_smooth_kernel():
    for name, params in KERNELS.values():
        q = icon.interpolated(FAMILIES[name].make(layout(4500), **params))
        assert isinstance(q.engine, OnGrid)
    z = jax.ShapeDtypeStruct((4500, 2), jnp.float32)
    joint = lambda z: icon.interpolated(own(z, wide=0.8)).joint_log_mass()
    rows = lambda z: jnp.sum(icon.interpolated(icon.student_t(z)).log_masses())
    for total in (joint, rows):
        assert "fft" in str(jax.make_jaxpr(jax.grad(total))(z))


@pytest.mark.parametrize(
    "n, d, engine", [(2000, 2, ByPairs), (8000, 3, ByPairs), (9000, 4, ByPairs)]
)
def test_few_points_and_many_dimensions_are_not(n, d, engine):
    assert type(icon.interpolated(icon.student_t(layout(n, d))).engine) is engine
    assert isinstance(icon.interpolated(icon.student_t(layout(9000, 3))).engine, OnGrid)


def test_a_spectrum_is_worked_out_once():
    z = layout(4500)
    one, two = (icon.interpolated(icon.student_t(z + k)) for k in range(2))
    assert one.spectra.of_size is two.spectra.of_size
    assert tuple(one.spectra.of_size) == grid.rungs(2, np.inf)
    assert all(len(grid.rungs(d, np.inf)) <= grid.RUNGS for d in (1, 2, 3))


@pytest.mark.slow
@pytest.mark.parametrize("spacing", [0.45, None])
def test_a_parameter_that_was_replaced_counts(spacing):
    z = jnp.asarray(layout(50))
    q = fast(icon.student_t(z, dof=1.0), spacing)
    base = dataclasses.replace(q.base, params=q.base.params | dict(dof=jnp.float32(5)))
    replaced = dataclasses.replace(q, base=base)

    def quick(z):
        now = dataclasses.replace(base, anchors=z)
        M = dataclasses.replace(replaced, base=now).log_masses()
        return jnp.sum(M), M

    gradient, M = jax.jit(jax.grad(quick, has_aux=True))(z)
    exact = sums("student_t", z, dof=5.0)
    np.testing.assert_allclose(M, exact.log_mass, rtol=1e-5)
    assert error(gradient, sum(exact.gradient(np.ones(50)))) < 1e-5
    total = jax.jit(lambda q: q.joint_log_mass())(replaced)
    np.testing.assert_allclose(total, exact.joint[0], rtol=1e-5)


# ------------------------------------------------------- which kernels


def pointed(a, b):
    return -jnp.linalg.norm(a[None] - b, axis=1)


@pytest.mark.parametrize(
    "make", [icon.laplace, slow(lambda z: icon.points(pointed, z))]
)
def test_a_cusp_is_refused_and_takes_the_exact_path(make):
    q = make(layout(40))
    exact = jax.jit(lambda q: q.log_masses())(icon.interpolated(q))
    np.testing.assert_allclose(exact, rows_of(q), rtol=1e-5, atol=1e-5)
    with pytest.raises(icon.InvalidInput, match="^q: .*smooth at 0.*cusp"):
        icon.interpolated(q, spacing=0.45)
    with pytest.warns(UserWarning, match="cusp is beyond a grid"):
        far = icon.interpolated(make(layout(4500)))
    assert type(far.engine) is ByPairs


def in_the_plane(a, b, t=1.0):
    """A kernel that names its two axes."""
    return -jnp.log1p((a[0] - b[:, 0]) ** 2 + (a[1] - b[:, 1]) ** 2) / t


def counted(a, b, t=1.0):
    """A kernel that counts its axes."""
    return -jnp.log1p(jnp.sum((a[None] - b) ** 2, 1)) * a.shape[0] / 2 / t


def crooked(a, b, t=1.0):
    return (-((a[0] - b[:, 0]) ** 2) - 3 * (a[1] - b[:, 1]) ** 2) / t


@pytest.mark.slow
@pytest.mark.parametrize("kernel, learned", [(in_the_plane, True), (counted, False)])
def test_a_kernel_may_need_its_dimensions_and_learn(kernel, learned):
    """Both are Student's t in the plane, whose scores t divides."""
    z, family = layout(200), FAMILIES["student_t"]
    divided = Family(None, *(lambda d2, t, f=f: f(d2) / t for f in family[1:]))

    def total(z, t):
        return fast(icon.points(kernel, z, t=t), 0.3).joint_log_mass()

    exact = sums(divided, z, t=1.3)
    joint, share = exact.joint
    if learned:
        got, (by_z, by_t) = jax.jit(jax.value_and_grad(total, (0, 1)))(z, 1.3)
        assert by_t == pytest.approx(share @ exact.by_params["t"], rel=5e-3)
    else:
        got, by_z = jax.jit(jax.value_and_grad(lambda z: total(z, 1.3)))(z)
    assert got == pytest.approx(joint, rel=1e-4)
    assert error(by_z, sum(exact.gradient(share))) <= 1e-2


def test_a_kernel_of_more_than_the_distance_is_refused_also_where_it_is_traced():
    with pytest.raises(icon.InvalidInput, match="^q: .*more than the distance"):
        icon.interpolated(icon.points(crooked, layout(30)))
    bent = lambda t: icon.interpolated(icon.points(crooked, layout(30), t=t))
    with pytest.raises(icon.InvalidInput, match="^q: .*more than the distance"):
        jax.jit(lambda t: bent(t).joint_log_mass())(1e5)
    cusp = lambda t: icon.interpolated(icon.laplace(layout(30), scale=t), spacing=0.4)
    with pytest.raises(icon.InvalidInput, match="^q: .*cusp"):
        jax.jit(lambda t: cusp(t).joint_log_mass())(1.0)


def narrow(a, b):
    """Nothing beyond one: -inf at many of the points where kernels are compared."""
    left = 1 - jnp.sum((a[None] - b) ** 2, 1)
    return jnp.where(left > 0, jnp.log(jnp.where(left > 0, left, 1)), -jnp.inf)


def test_a_kernel_that_ends_soon_is_one_of_the_distance():
    q = icon.points(narrow, layout(60, spread=0.1) * 0.2)
    exact = jax.jit(lambda q: q.log_masses())(icon.interpolated(q))
    np.testing.assert_allclose(exact, rows_of(q), rtol=1e-4)


def test_a_kernel_is_compared_once():
    z = layout(50)
    icon.interpolated(own(z, wide=0.8))
    before = fft._deviation._cache_size()
    icon.interpolated(own(z + 1, wide=0.8))
    assert fft._deviation._cache_size() == before


# ------------------------------------------------------- the other answers


def other_answers(q):
    ids, everybody = jnp.array([4, 0, 11]), q.score(3, EVERYBODY)
    by_anchor = q.support(3)[1], q.score(3, ids), q.log_mass(3), q.is_self(4, ids)
    more = q.read(3, ids), q.visit(3)[1:], q.mass(everybody, EVERYBODY)
    weight = np.arange(1.0, 21, dtype=np.float32)
    others = q.T, icon.sharp(q), icon.reweigh(q, weight)
    return by_anchor, more, [x.read(3, ids) for x in others], icon.dense(q)


def test_an_anchor_of_two_sets_has_its_bits_whichever_others_ask():
    """Beside one among 2,000 candidates; its own sum, 0.004, is made of few."""
    y = jnp.concatenate([jnp.zeros((2000, 2)), 9 * jnp.eye(2), -9 * jnp.eye(2)])
    faint = jnp.array([[9.0, 3.3]])
    masses = jax.jit(
        lambda x: fast(icon.gaussian(x, y), spacing=fft.SPACING).log_masses()
    )
    beside = [
        np.asarray(masses(jnp.concatenate([faint, faint + at]))) for at in (0.0, -faint)
    ]
    assert np.exp(beside[1]) == pytest.approx([np.exp(-(3.3**2) / 2), 2000], rel=3e-3)
    assert beside[0][0] == beside[1][0]


@pytest.mark.parametrize("two_sets", [False, True])
def test_its_other_answers_are_those_of_its_points(two_sets):
    q = icon.student_t(layout(20), layout(20, seed=1) if two_sets else None)
    quick = icon.interpolated(q)
    assert quick.shape == q.shape and quick.excludes_self is q.excludes_self
    assert quick.symmetric is q.symmetric and quick.wants_edges
    both = (jax.tree.leaves(interpret(other_answers, x)) for x in (quick, q))
    for got, expected in zip(*both, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_what_it_does_not_answer_is_refused():
    q = icon.interpolated(icon.student_t(layout(20)))
    assert q.as_points() is None and q.self_report() is None
    with pytest.raises(icon.InvalidInput, match="Interpolated, without `gathered`"):
        q.gathered(lambda x: x, 0)


@pytest.mark.slow
def test_its_transpose_exchanges_the_sets():
    x, y = layout(30), layout(40, seed=1)
    back = icon.interpolated(icon.student_t(x, y)).T
    exact = sums("student_t", y, x).log_mass
    np.testing.assert_allclose(back.log_masses(), exact, atol=2e-6)


def of_two_reaches():
    z = jnp.asarray(np.random.default_rng(0).normal(size=(50, 2)), jnp.float32)
    q = icon.student_t(3 * z)
    return z, *(icon.interpolated(q, spacing=0.4, reach=r) for r in (40.0, None))


def test_a_shorter_reach_has_fewer_grids():
    _, near, far = of_two_reaches()
    assert near.engine.sizes == (64, 128) and far.engine.sizes[-1] == 1024


@pytest.mark.slow
def test_a_shorter_reach_has_the_same_sums():
    z, near, far = of_two_reaches()
    ask = lambda q: q.joint_log_mass()
    assert ask(near) == ask(far)
    short = icon.interpolated(icon.student_t(9 * z), spacing=0.4, reach=1.0)
    exact = icon.interpolated(icon.student_t(9 * z)).joint_log_mass()
    np.testing.assert_allclose(ask(short), exact, rtol=1e-5)  # pair by pair


@pytest.mark.parametrize("reach", [0.0, -1.0, np.nan, "far"])
def test_a_reach_is_a_number_above_0(reach):
    q = icon.student_t(jnp.zeros((5, 2)))
    with pytest.raises(icon.InvalidInput, match="^reach: "):
        icon.interpolated(q, spacing=0.4, reach=reach)


# ------------------------------------------------------- points that only fill up


@ft.cache
def ways_of_one_set(spacing):
    """(z, count) -> the gradient and the values by rows, and over all pairs."""
    g = np.random.default_rng(0).normal(size=64).astype(np.float32)

    def of(z, count):
        now = fast(icon.gaussian(jnp.zeros_like(z), scale=2.0), spacing)
        return now.moved(z, count=count)

    def by_row(z, count):
        M = of(z, count).log_masses()
        return jnp.sum(g[: len(z)] * M), M[:40]

    def joint(z, count):
        total = of(z, count).joint_log_mass()
        return total, total

    asks = [jax.grad(total, has_aux=True) for total in (by_row, joint)]
    return jax.jit(lambda z, count: [ask(z, count) for ask in asks])


# pair by pair, test_candidates_that_fill_up_do_not_count has all of it
@pytest.mark.parametrize("spread", [1, 1000])
@pytest.mark.parametrize("spacing", [0.45, slow(None)])
def test_points_that_fill_up_do_not_count(spacing, spread):
    """By rows and over all pairs; faint sums, which are made in logarithms, too."""
    z = np.float32(layout(40)) * np.float32(spread)
    z[7] += 100
    full = jnp.asarray(np.concatenate([z, np.full((24, 2), 1e6, np.float32)]))
    filled = ways_of_one_set(spacing)(full, jnp.int32(40))
    alone = ways_of_one_set(spacing)(jnp.asarray(z), None)
    for (gradient, values), (slope, expected) in zip(filled, alone, strict=True):
        np.testing.assert_allclose(values, expected, rtol=1e-6)
        np.testing.assert_allclose(gradient[:40], slope, rtol=1e-4, atol=1e-5)
        assert not gradient[40:].any()


# on a grid, test_points_that_fill_up_do_not_count has all of it
@pytest.mark.parametrize("spacing", [slow(0.45), None])
def test_candidates_that_fill_up_do_not_count(spacing):
    x, y = layout(20), layout(30, seed=1)
    x[3] += 60  # a faint row, which is summed in logarithms
    full = jnp.asarray(np.concatenate([y, np.full((10, 2), 1e6, np.float32)]))
    g = jnp.asarray(np.random.default_rng(0).normal(size=20), jnp.float32)

    def sums(which, x, y, count=None):
        q = fast(icon.gaussian(jnp.zeros_like(x), jnp.zeros_like(y)), spacing)
        base = dataclasses.replace(q.base, candidates=y)
        q = dataclasses.replace(q, base=base).moved(x, count)
        return (jnp.sum(g * q.log_masses()), q.joint_log_mass())[which]

    asks = [jax.value_and_grad(ft.partial(sums, way), (0, 1)) for way in (0, 1)]
    both = jax.jit(lambda *given: [ask(*given) for ask in asks])
    filled = both(x, full, jnp.int32(30))
    for found, alone in zip(filled, both(x, y, None), strict=True):
        (value, (by_x, by_y)), (expected, slopes) = found, alone
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(by_x, slopes[0], atol=1e-5)
        np.testing.assert_allclose(by_y[:30], slopes[1], atol=1e-5)
        assert not by_y[30:].any()


def test_logarithms_are_left_out_only_where_no_sum_vanishes():
    z = jnp.zeros((5, 2))
    heavy = lambda q: icon.interpolated(q).without_logarithms().engine.heavy
    assert (
        heavy(icon.student_t(z))
        and not icon.interpolated(icon.student_t(z)).engine.heavy
    )
    assert not heavy(icon.student_t(z, dof=5.0)) and not heavy(icon.gaussian(z))


@pytest.mark.parametrize("z", [np.zeros((1, 2)), [[0.0, 0.0], [3e19, 0.0]]])
def test_one_point_and_two_infinitely_far_have_no_force(z):
    q = icon.interpolated(icon.student_t(jnp.asarray(z, jnp.float32)))
    for each in (q, q.without_logarithms()):
        total = lambda x, each=each: each.moved(x).joint_log_mass()
        assert not interpret(jax.grad(total), q.base.anchors).any()


@pytest.mark.parametrize("ask", ["joint_log_mass", "log_masses"])
def test_a_shortcut_keeps_the_gradient_in_what_it_does_not_read(ask):
    z = jnp.asarray(layout(20))
    total = lambda f: jnp.sum(getattr(f, ask)())
    quick = icon.interpolated(icon.student_t(z))
    found = interpret(jax.grad(total), quick).base.params["dof"]
    through = lambda dof: total(icon.interpolated(icon.student_t(z, dof=dof)))
    slope = interpret(jax.grad(through), np.float32(1))
    np.testing.assert_allclose(found, slope, rtol=1e-5)
    assert abs(found) > 1e-3


@pytest.mark.parametrize("dof, scale", [(1.0, 0.7), (2.0, 0.7)])
def test_a_shortcut_to_a_kernel_is_that_kernel(dof, scale):
    """Where it holds, and where a parameter that allowed it was replaced."""
    z = jnp.asarray(layout(30))
    q = icon.interpolated(icon.student_t(z, scale=scale))
    assert q.engine.shortcut is not None
    base = icon.student_t(z, dof=dof, scale=scale)
    q = dataclasses.replace(q, base=base)
    exact = sums("student_t", z, dof=dof, scale=scale)
    M = interpret(lambda q: q.log_masses(), q)
    np.testing.assert_allclose(M, exact.log_mass, rtol=1e-5)
    total = lambda z: q.moved(z).joint_log_mass()
    value, gradient = interpret(jax.value_and_grad(total), z)
    np.testing.assert_allclose(value, exact.joint[0], rtol=1e-5)
    assert error(gradient, sum(exact.gradient(exact.joint[1]))) < 1e-5


def test_only_one_degree_of_freedom_has_a_shortcut():
    z = jnp.zeros((5, 2))
    of = lambda q: icon.interpolated(q).engine.shortcut
    assert of(icon.student_t(z)) is not None
    assert of(icon.student_t(z, dof=2.0)) is None and of(icon.gaussian(z)) is None
    traced = []
    jax.eval_shape(lambda dof: traced.append(of(icon.student_t(z, dof=dof))), 1.0)
    assert traced == [None]


def test_a_heavy_tail_beyond_the_grid_is_summed_by_pairs():
    z = jnp.asarray(1000 * layout(40))
    q = fast(icon.student_t(z), 0.45).without_logarithms()
    by_pairs = lambda z: fast(icon.student_t(z)).joint_log_mass()
    expected = interpret(jax.value_and_grad(by_pairs), z)
    found = jax.jit(jax.value_and_grad(lambda z: q.moved(z).joint_log_mass()))(z)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-9)
