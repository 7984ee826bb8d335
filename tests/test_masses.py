"""Are the answers for all anchors at once those of each anchor, and fast where due?

The references are sums over pairs in float64 NumPy, and the per-anchor protocol.
"""

import dataclasses
import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import icon
from icon._engines import grid
from icon._engines.fft import OnGrid
from icon._neighborhoods.both_ends import both_ends


def rational(a, b, wide):
    """A kernel of one's own: a function of one anchor and all candidates."""
    return -1.5 * jnp.log1p(jnp.sum((a[None] - b) ** 2, 1) / (2 * wide))


def pointed(a, b):
    return -jnp.linalg.norm(a[None] - b, axis=1)


def crooked(a, b):
    return -((a[0] - b[:, 0]) ** 2) - 3 * (a[1] - b[:, 1]) ** 2


KERNELS = {
    "dof 0.5": ft.partial(icon.student_t, dof=0.5),
    "dof 1": icon.student_t,
    "dof 3": ft.partial(icon.student_t, dof=3.0, scale=0.8),
    "gaussian": ft.partial(icon.gaussian, scale=0.7),
    "own": lambda a, b=None: icon.points(rational, a, b, wide=0.8),
}
SCORES = {  # the same in NumPy, of the squared distance
    "dof 0.5": lambda d2: -0.75 * np.log1p(d2 / 0.5),
    "dof 1": lambda d2: -np.log1p(d2),
    "dof 3": lambda d2: -2 * np.log1p(d2 / 0.64 / 3),
    "gaussian": lambda d2: -d2 / (2 * 0.49),
    "own": lambda d2: -1.5 * np.log1p(d2 / 1.6),
}
SLOPES = {  # their derivatives
    "dof 0.5": lambda d2: -0.75 / (0.5 + d2),
    "dof 1": lambda d2: -1 / (1 + d2),
    "dof 3": lambda d2: -2 / (0.64 * 3 + d2),
    "gaussian": lambda d2: 0 * d2 - 1 / (2 * 0.49),
    "own": lambda d2: -1.5 / (1.6 + d2),
}


def layout(n=500, d=2, seed=0, spread=4.0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(5, d)) * spread
    return (centers[rng.integers(0, 5, n)] + rng.normal(size=(n, d))).astype(np.float32)


def reference(name, x, y=None):
    """Log-masses, and how much every point of x and y moves each of them."""
    x = np.asarray(x, np.float64)
    other = x if y is None else np.asarray(y, np.float64)
    apart = x[:, None] - other[None]
    d2 = (apart**2).sum(-1)
    score = SCORES[name](d2)
    if y is None:
        np.fill_diagonal(score, -np.inf)
    peak = score.max(1, keepdims=True)
    mass = np.log(np.exp(score - peak).sum(1)) + peak[:, 0]
    force = np.exp(score - mass[:, None])[..., None]
    return mass, 2 * force * SLOPES[name](d2)[..., None] * apart


def moved(force, g, within):
    """The gradient of Σ g_i M_i in the anchors and in the candidates."""
    by_x, by_y = np.einsum("i,ijd->id", g, force), -np.einsum("i,ijd->jd", g, force)
    return by_x + by_y if within else (by_x, by_y)


def lse(x):
    return np.log(np.exp(x - x.max()).sum()) + x.max()


def apart(got, meant):
    got, meant = np.asarray(got, np.float64), np.asarray(meant)
    return np.linalg.norm(got - meant) / np.linalg.norm(meant)


def rows_of(make, g, *fixed, **options):
    """Σ g_i M_i as a function of the points, compiled with its gradient."""

    def total(*points):
        said = icon.interpolated(make(*points, *fixed), **options).log_masses()
        return jnp.sum(g * said), said

    return jax.jit(jax.grad(total, (0,), has_aux=True))


def joint_of(make, **options):
    def total(z):
        return icon.interpolated(make(z), **options).joint_log_mass()

    return jax.jit(jax.value_and_grad(total))


# ------------------------------------------------------- the numbers


ERRORS = {None: 2e-6, 0.45: 2.5e-2, 0.25: 1e-3}


@pytest.mark.parametrize("spacing", ERRORS)
@pytest.mark.parametrize("name", KERNELS)
def test_rows_are_the_sums_over_pairs(name, spacing):
    z, g = layout(), np.random.default_rng(1).normal(size=500)
    (slope,), said = rows_of(KERNELS[name], g.astype(np.float32), spacing=spacing)(z)
    mass, force = reference(name, z)
    assert apart(slope, moved(force, g, True)) <= ERRORS[spacing]
    np.testing.assert_allclose(said, mass, atol=max(2e-6, ERRORS[spacing]))


@pytest.mark.parametrize("spacing", ERRORS)
@pytest.mark.parametrize("name", KERNELS)
def test_the_joint_mass_is_the_sum_over_all_pairs(name, spacing):
    z = layout(seed=2)
    said, slope = joint_of(KERNELS[name], spacing=spacing)(z)
    mass, force = reference(name, z)
    share = np.exp(mass - lse(mass))
    assert apart(slope, moved(force, share, True)) <= ERRORS[spacing]
    assert abs(said - lse(mass)) <= min(1e-4, max(4e-6, ERRORS[spacing]))


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("spacing", [0.45, None])
def test_in_one_dimension_and_in_three(d, spacing):
    z = layout(400, d, spread=2.0)
    said, slope = joint_of(icon.student_t, spacing=spacing)(z)
    mass, force = reference("dof 1", z)
    share = np.exp(mass - lse(mass))
    assert apart(slope, moved(force, share, True)) <= 2.5e-2
    assert abs(said - lse(mass)) <= 1e-3


def test_in_five_dimensions_every_pair_is_summed():
    z = layout(300, 5)
    said, slope = joint_of(icon.student_t)(z)
    mass, force = reference("dof 1", z)
    assert abs(said - lse(mass)) <= 4e-6
    share = np.exp(mass - lse(mass))
    assert apart(slope, moved(force, share, True)) <= 2e-6


@pytest.mark.parametrize("spacing", [None, 0.3])
@pytest.mark.parametrize("joint", [False, True])
def test_two_sets_move_both(joint, spacing):
    x, y = layout(200, seed=3), layout(300, seed=4)
    g = np.random.default_rng(5).normal(size=200)

    @jax.jit
    @ft.partial(jax.grad, argnums=(0, 1))
    def slopes(x, y):
        q = icon.interpolated(icon.student_t(x, y), spacing=spacing)
        said = q.joint_log_mass() if joint else q.log_masses()
        return said if joint else jnp.sum(g.astype(np.float32) * said)

    mass, force = reference("dof 1", x, y)
    weight = np.exp(mass - lse(mass)) if joint else g
    for got, meant in zip(slopes(x, y), moved(force, weight, False), strict=True):
        assert apart(got, meant) <= (2e-6 if spacing is None else 8e-3)


def test_double_precision_is_kept(x64):
    z = jnp.asarray(layout(), jnp.float64)
    said, slope = joint_of(ft.partial(icon.student_t, dof=0.5))(z)
    mass, force = reference("dof 0.5", z)
    assert abs(said - lse(mass)) <= 1e-12
    share = np.exp(mass - lse(mass))
    assert apart(slope, moved(force, share, True)) <= 1e-12
    fine, _ = joint_of(icon.student_t, spacing=0.2, order=8)(z)
    assert abs(fine - lse(reference("dof 1", z)[0])) <= 1e-7


# ------------------------------------------------------- far apart


FAR = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]], np.float32)


@pytest.mark.parametrize("spacing", [None, 0.45])
def test_three_points_fifty_widths_apart_have_logarithms(spacing):
    make = ft.partial(icon.gaussian, scale=0.7)
    one = np.ones(3, np.float32)
    (slope,), said = rows_of(make, one, spacing=spacing)(FAR)
    mass, force = reference("gaussian", FAR)
    np.testing.assert_allclose(said, mass, rtol=1e-6)
    np.testing.assert_allclose(slope, moved(force, one, True), rtol=1e-4, atol=1e-4)
    total, slope = joint_of(make, spacing=spacing)(FAR)
    assert total == pytest.approx(lse(mass), rel=1e-6)
    share = np.exp(mass - lse(mass))
    np.testing.assert_allclose(slope, moved(force, share, True), rtol=1e-4, atol=1e-4)


def test_a_lonely_point_beside_a_crowd_is_summed_exactly():
    z = np.concatenate([layout(300), [[40.0, 40.0], [41.0, 70.0]]]).astype(np.float32)
    g = np.ones(302, np.float32)
    make = ft.partial(icon.gaussian, scale=0.7)
    (slope,), said = rows_of(make, g, spacing=0.45)(z)
    mass, force = reference("gaussian", z)
    np.testing.assert_allclose(said[-2:], mass[-2:], rtol=1e-6)
    meant = moved(force, g, True)
    np.testing.assert_allclose(slope[-2:], meant[-2:], rtol=1e-4)
    assert apart(slope, meant) <= 2.5e-2


@pytest.mark.parametrize("joint", [False, True])
def test_a_span_past_the_last_grid_is_summed_exactly(joint):
    z = layout(200) * 400
    if joint:
        said, slope = joint_of(icon.student_t, spacing=0.45)(z)
    else:
        (slope,), said = rows_of(icon.student_t, np.ones(200, "f"), spacing=0.45)(z)
    mass, force = reference("dof 1", z)
    weight = np.exp(mass - lse(mass)) if joint else np.ones(200)
    np.testing.assert_allclose(said, lse(mass) if joint else mass, rtol=2e-6)
    assert apart(slope, moved(force, weight, True)) <= 1e-5


def test_it_is_known_whether_the_grid_has_room():
    z = layout(200)
    fits = lambda z, **options: icon.interpolated(icon.student_t(z), **options).fits()
    span = np.ptp(z, 0).max()
    assert fits(z, spacing=0.45) and fits(z * 450 / span, spacing=0.45)
    assert not fits(z * 470 / span, spacing=0.45)
    assert fits(z * 1000)


def test_points_in_one_place():
    z = np.zeros((50, 2), np.float32)
    for spacing in (None, 0.45):
        (slope,), said = rows_of(icon.student_t, np.ones(50, "f"), spacing=spacing)(z)
        np.testing.assert_allclose(said, np.log(49), rtol=5e-3)
        np.testing.assert_allclose(slope, 0, atol=1e-4)


# ------------------------------------------------------- what runs


def program(make, joint, n=4500, d=2, **options):
    z = jax.ShapeDtypeStruct((n, d), jnp.float32)

    def total(z):
        q = icon.interpolated(make(z), **options)
        return q.joint_log_mass() if joint else jnp.sum(q.log_masses())

    return str(jax.make_jaxpr(jax.grad(total))(z))


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("name", KERNELS)
def test_many_points_meet_on_a_grid(name, joint):
    assert "fft" in program(KERNELS[name], joint)


@pytest.mark.parametrize("joint", [False, True])
def test_few_points_and_many_dimensions_do_not(joint):
    assert "fft" not in program(icon.student_t, joint, n=3900)
    assert "fft" not in program(icon.student_t, joint, d=4)
    assert "fft" in program(icon.student_t, joint, d=3)


def test_six_grids_at_most():
    assert all(len(sizes) <= 6 for sizes in grid.RUNGS.values())
    z = layout(4500)
    assert len(icon.interpolated(icon.student_t(z)).ready[0]) <= 6


def test_a_spectrum_is_worked_out_once():
    z = layout(4500)
    one, two = (icon.interpolated(icon.student_t(z + k)) for k in range(2))
    assert one.ready[0] is two.ready[0]
    assert isinstance(one.engine, OnGrid)


@pytest.mark.parametrize("make", [icon.laplace, lambda z: icon.points(pointed, z)])
def test_a_cusp_is_refused_and_takes_the_exact_path(make):
    z = layout(40)
    exact = icon.interpolated(make(z))
    rows = jax.vmap(make(z).log_mass)(jnp.arange(40))
    np.testing.assert_allclose(exact.log_masses(), rows, rtol=1e-5, atol=1e-5)
    with pytest.raises(icon.InvalidInput, match="^q: .*smooth at 0.*cusp"):
        icon.interpolated(make(z), spacing=0.45)
    with pytest.warns(UserWarning, match="cusp is beyond a grid"):
        far = icon.interpolated(make(layout(4500)))
    assert far.ready is None


def in_the_plane(a, b):
    """A kernel that names its two axes."""
    return -jnp.log1p((a[0] - b[:, 0]) ** 2 + (a[1] - b[:, 1]) ** 2)


def flat_further_on(a, b):
    """A kernel that counts its axes."""
    return -jnp.log1p(jnp.sum((a[None] - b) ** 2, 1)) * a.shape[0] / 2


@pytest.mark.parametrize("kernel", [in_the_plane, flat_further_on])
def test_a_kernel_may_need_its_dimensions(kernel):
    z = layout(200)
    said, slope = joint_of(lambda z: icon.points(kernel, z), spacing=0.45)(z)
    mass, force = reference("dof 1", z)
    share = np.exp(mass - lse(mass))
    assert abs(said - lse(mass)) < 1e-3
    assert apart(slope, moved(force, share, True)) <= 2.5e-2


def test_a_kernel_of_more_than_the_distance_is_refused():
    with pytest.raises(icon.InvalidInput, match="^q: .*more than the distance"):
        icon.interpolated(icon.points(crooked, layout(30)))


# ------------------------------------------------------- what is learned


@pytest.mark.parametrize("spacing", [None, 0.3])
@pytest.mark.parametrize("joint", [False, True])
def test_dof_and_scale_are_learned(joint, spacing):
    z = layout(300)

    def total(params, fast):
        q = icon.student_t(z, **params)
        if not fast:
            said = jax.vmap(q.log_mass)(jnp.arange(300))
            return jax.nn.logsumexp(said) if joint else jnp.sum(said)
        q = icon.interpolated(q, spacing=spacing)
        return q.joint_log_mass() if joint else jnp.sum(q.log_masses())

    params = dict(dof=jnp.float32(0.8), scale=jnp.float32(1.3))
    slope = jax.jit(jax.grad(total), static_argnums=1)
    got, meant = slope(params, True), slope(params, False)
    tight = 1e-5 if spacing is None else 2e-3
    for name in params:
        np.testing.assert_allclose(got[name], meant[name], rtol=tight)
        assert abs(meant[name]) > 0.01


# ------------------------------------------------------- a few at random


@pytest.mark.parametrize("within", [True, False])
def test_a_sampled_mass_is_right_on_average_and_its_log_low_by_half_its_variance(
    within,
):
    z = layout(120)
    q = icon.student_t(z) if within else icon.student_t(z[:50], z)
    keys = jax.random.split(jax.random.key(0), 4000)
    said = jax.vmap(lambda key: icon.sampled(q, key, 40).log_mass(7))(keys)
    ratio = np.exp(np.asarray(said, np.float64) - float(q.log_mass(7)))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 4000**0.5
    low = -np.log(ratio).mean()
    assert low == pytest.approx(ratio.var() / 2, rel=0.4) and low > 1e-3


def test_sampling_follows_its_key_and_moves_whom_it_meets():
    p, z = hub(), layout(60)
    loss = lambda z, key: icon.kl(p, icon.sampled(icon.student_t(z), key, 30))
    one, two = jax.random.split(jax.random.key(1))
    first, again = loss(z, one), loss(z, one)
    assert first == again != loss(z, two)
    slopes = jax.vmap(jax.grad(loss), (None, 0))(z, jax.random.split(one, 600))
    meant = jax.grad(lambda z: icon.kl(p, icon.student_t(z)))(z)
    assert apart(slopes.mean(0), meant) < 0.1


# ------------------------------------------------------- along a listed p


def hub(n=60, seed=0):
    """A ragged graph: a few each, everybody lists the first, one lists nobody."""
    rng = np.random.default_rng(seed)
    weights = np.where(rng.uniform(size=(n, n)) < 0.08, rng.uniform(size=(n, n)), 0)
    weights[:, 0] = 1
    np.fill_diagonal(weights, 0)
    weights[7] = 0
    return icon.graph(weights.astype(np.float32))


GRAPHS = {
    "hub": hub,
    "even": lambda: icon.entropic(*icon.knn(layout(60), 9), perplexity=5.0),
    "mutual": lambda: icon.symmetrize(icon.uniform(icon.knn(layout(60), 7)[0])),
    "empty": lambda: icon.graph(np.zeros((60, 60), np.float32)),
}


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("d, verb", [(2, icon.kl), (3, icon.cross_entropy)])
@pytest.mark.parametrize("kind", GRAPHS)
def test_a_listed_p_meets_a_fast_q_as_it_meets_the_plain_one(kind, d, joint, verb):
    p, z = GRAPHS[kind](), layout(60, d)
    both = [
        jax.value_and_grad(lambda z, fast=fast: verb(p, fast(z), joint=joint))(z)
        for fast in (lambda z: icon.interpolated(icon.student_t(z)), icon.student_t)
    ]
    (value, slope), (meant, by_z) = both
    np.testing.assert_allclose(value, meant, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(slope, by_z, rtol=2e-4, atol=2e-7)


@pytest.mark.parametrize("kernel", ["dof 3", "gaussian", "own"])
def test_attraction_follows_the_kernel_and_its_numbers(kernel):
    p, z = hub(), layout(60)
    fast = lambda z: icon.terms(p, icon.interpolated(KERNELS[kernel](z)))[0]
    slow = lambda z: icon.terms(p, KERNELS[kernel](z))[0]
    for got, meant in zip(
        *(jax.value_and_grad(f)(z) for f in (fast, slow)), strict=True
    ):
        np.testing.assert_allclose(got, meant, rtol=2e-4, atol=1e-7)
    scale = lambda q: lambda s: icon.terms(p, q(icon.gaussian(z, scale=s)))[0]
    got, meant = (jax.grad(scale(q))(0.9) for q in (icon.interpolated, lambda q: q))
    np.testing.assert_allclose(got, meant, rtol=1e-5)


def test_as_many_candidates_as_anchors_are_still_two_sets():
    x, y = layout(40), layout(40, seed=1)
    p = icon.entropic(*icon.knn(x, 5, y), perplexity=3.0, candidates=40)
    fast, plain = icon.interpolated(icon.student_t(x, y)), icon.student_t(x, y)
    np.testing.assert_allclose(icon.kl(p, fast), icon.kl(p, plain), rtol=1e-5)
    one = icon.interpolated(icon.student_t(x))
    listed = icon.uniform(icon.knn(x, 5)[0])
    two = icon.interpolated(icon.student_t(x, x))
    assert listed.prepared().expected(two, None, False) is None
    assert listed.prepared().expected(one, None, False) is not None


def test_weights_given_are_used():
    p, z = hub(), layout(60)
    weight = np.random.default_rng(0).uniform(size=60)
    said = [
        icon.kl(p, q, weight=weight)
        for q in (icon.student_t(z), icon.interpolated(icon.student_t(z)))
    ]
    np.testing.assert_allclose(*said, rtol=1e-6)
    assert abs(said[0] - icon.kl(p, icon.student_t(z))) > 1e-4


def test_what_a_graph_offers_is_what_its_anchors_say():
    p, z = hub(), layout(60)
    q = icon.interpolated(icon.student_t(z))
    ready = p.prepared()
    A, B, N, _ = map(np.asarray, icon.per_anchor(p, icon.student_t(z)))
    there = np.isfinite(N)
    np.testing.assert_allclose(ready.self_report()[0][there], A[there], rtol=2e-5)
    np.testing.assert_allclose(ready.self_report()[1], N, rtol=1e-5, atol=1e-6)
    mean, share = np.mean(B[there]), np.exp(N)[there]
    assert ready.expected(q, None, False) == pytest.approx(mean, rel=1e-5)
    joint = np.sum(share * B[there]) / np.sum(share)
    assert ready.expected(q, None, True) == pytest.approx(joint, rel=1e-5)
    assert ready.expected(icon.student_t(z), None, False) is None


def test_a_graph_is_prepared_once_and_learned_graphs_are_not():
    p = hub()
    ready, again = p.prepared(), p.prepared()
    assert ready is again is again.prepared()
    assert p.prepared().shape == p.shape and p.prepared().base.width == p.width
    z = layout(60)
    slope = jax.grad(
        lambda p: icon.kl(p, icon.interpolated(icon.student_t(z))), allow_int=True
    )(p)
    meant = jax.grad(lambda p: icon.kl(p, icon.student_t(z)), allow_int=True)(p)
    np.testing.assert_allclose(slope.logit, meant.logit, rtol=1e-4, atol=1e-7)


def test_a_hub_costs_its_edges_and_not_its_length_for_everybody():
    n = 3000
    index = np.stack([np.arange(1, n), np.zeros(n - 1, int)])
    import scipy.sparse as sp

    star = sp.coo_array((np.ones(n - 1, "f"), (index[0], index[1])), shape=(n, n))
    p = icon.graph((star + star.T).tocsr())
    assert p.width == n - 1
    edges = both_ends(p, (star + star.T).tocsr()).joint_edges
    assert edges.index.size < 16 * 2 * n + 16 * 1024

    def loss(z, p):
        return icon.kl(p, icon.interpolated(icon.student_t(z)), joint=True)

    compiled = jax.jit(jax.grad(loss)).lower(layout(n), p.prepared()).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 8 * n * n


@pytest.mark.parametrize("d", [1, 2, 3])
def test_spectra_of_the_host_are_those_of_the_device(d):
    m = grid.Mesh(lambda d2: 1 / (1 + d2), jnp.float32(0.45), 5)
    for size, known in grid.spectra(m, (16, 24), d, "float32").items():
        for got, meant in zip(
            known, grid.spectrum(m, size, d, jnp.float32), strict=True
        ):
            assert apart(got, meant) < (5e-3 if d == 3 else 1e-4)  # of float32


# ------------------------------------------------------- where it might go wrong


def test_a_graph_prepared_inside_of_jit_outlives_it():
    p, z = hub(), layout(60)
    loss = lambda z: icon.kl(p, icon.interpolated(icon.student_t(z)), joint=True)
    inside = jax.jit(loss)(z)
    np.testing.assert_allclose(loss(z), inside, rtol=1e-6)
    after, _ = icon.minimize(loss, z, icon.gains(0.1), 30)
    assert np.isfinite(after).all()


@pytest.mark.parametrize("kernel", [in_the_plane, flat_further_on])
def test_a_kernel_with_learned_numbers_is_looked_at_too(kernel):
    z = layout(100)
    heated = lambda a, b, t: kernel(a, b) / t

    def total(t, fast):
        q = icon.points(heated, z, t=t)
        if fast:
            return icon.interpolated(q, spacing=0.3).joint_log_mass()
        return jax.nn.logsumexp(jax.vmap(q.log_mass)(jnp.arange(100)))

    both = [jax.value_and_grad(total)(jnp.float32(1.3), fast) for fast in (True, False)]
    np.testing.assert_allclose(*both, rtol=5e-3)
    bent = lambda t: icon.interpolated(
        icon.points(lambda a, b, t: crooked(a, b) / t, z, t=t)
    ).joint_log_mass()
    with pytest.raises(icon.InvalidInput, match="^q: .*more than the distance"):
        jax.jit(bent)(1e5)
    cusp = lambda t: icon.interpolated(icon.laplace(z, scale=t), spacing=0.4)
    with pytest.raises(icon.InvalidInput, match="^q: .*cusp"):
        jax.jit(lambda t: cusp(t).joint_log_mass())(1.0)


@pytest.mark.parametrize("span", [1e5, 1e9, 1e12])
def test_no_span_is_clamped(span):
    z = layout(60) * np.float32(span)
    said = icon.interpolated(icon.student_t(z), spacing=0.45).log_masses()
    rows = jax.vmap(icon.student_t(z).log_mass)(jnp.arange(60))
    np.testing.assert_allclose(said, rows, rtol=1e-5)


def compact(a, b):
    """Nobody beyond ten."""
    left = 1 - jnp.sum((a[None] - b) ** 2, 1) / 100
    return jnp.where(left > 0, jnp.log(jnp.where(left > 0, left, 1)), -jnp.inf)


def narrow(a, b):
    """Nobody beyond one: -inf at many of the places where kernels are looked at."""
    return compact(10 * a, 10 * b)


def test_a_kernel_that_ends_soon_is_one_of_the_distance():
    z = layout(60, spread=0.1) * 0.2
    rows = jax.vmap(icon.points(narrow, z).log_mass)(jnp.arange(60))
    said = icon.interpolated(icon.points(narrow, z)).log_masses()
    np.testing.assert_allclose(said, rows, rtol=1e-4)


def test_a_kernel_is_looked_at_once():
    from icon._engines import interpolated as module

    z = layout(50)
    icon.interpolated(KERNELS["own"](z))
    before = module._off._cache_size()
    icon.interpolated(KERNELS["own"](z + 1))
    assert module._off._cache_size() == before


def test_what_it_does_not_say_is_asked_of_the_points():
    q = icon.student_t(layout(20))
    fast = icon.interpolated(q)
    assert fast.shape == q.shape and fast.within
    np.testing.assert_array_equal(icon.dense(fast), icon.dense(q))
    sharp = icon.sharp(fast).log_mass(3)
    assert sharp == icon.sharp(q).log_mass(3)
    with pytest.raises(AttributeError):
        fast.nothing  # noqa: B018


def test_a_kernel_that_ends_pulls_only_along_its_edges():
    z = np.concatenate([layout(30, spread=0.3), layout(30, spread=0.3) + 30])
    p = icon.uniform(icon.knn(z, 5)[0])
    for joint in (False, True):
        plain = lambda z, joint=joint: icon.kl(p, icon.points(compact, z), joint=joint)
        fast = lambda z, joint=joint: icon.kl(
            p, icon.interpolated(icon.points(compact, z)), joint=joint
        )
        both = (jax.value_and_grad(f)(z) for f in (fast, plain))
        for got, meant in zip(*both, strict=True):
            np.testing.assert_allclose(got, meant, rtol=1e-4, atol=1e-6)


def test_other_precisions_than_that_of_p(x64):
    z = layout(40)
    p = icon.entropic(*icon.knn(z.astype(np.float64), 9), perplexity=4.0)
    fast = lambda z: icon.kl(p, icon.interpolated(icon.student_t(z)), joint=True)
    plain = lambda z: icon.kl(p, icon.student_t(z), joint=True)
    for dtype, tight in ((jnp.float32, 1e-5), (jnp.float64, 1e-11)):
        at = jnp.asarray(z, dtype)
        np.testing.assert_allclose(fast(at), plain(at), rtol=tight)
        slope = jax.grad(fast)(at)
        assert slope.dtype == dtype
        assert apart(slope, jax.grad(plain)(at)) < 10 * tight
    icon.minimize(
        lambda z, p: fast(z), jnp.asarray(z), icon.gains(0.1), 8, every=4, args=(p,)
    )


@pytest.mark.parametrize("spacing", [None, 0.45])
def test_half_precision_is_summed_wide(spacing):
    z = jnp.asarray(layout(80), jnp.bfloat16)
    said, slope = joint_of(icon.student_t, spacing=spacing)(z)
    mass, _ = reference("dof 1", np.asarray(z, np.float64))
    assert abs(said - lse(mass)) < 1e-3 and slope.dtype == jnp.bfloat16


def test_a_number_changed_behind_its_back_is_no_number():
    q = icon.interpolated(icon.student_t(layout(50), dof=1.0), spacing=0.4)
    assert np.isfinite(q.joint_log_mass())
    params = {**q.base.params, "dof": jnp.float32(5.0)}
    base = dataclasses.replace(q.base, params=params)
    assert np.isnan(dataclasses.replace(q, base=base).joint_log_mass())


def test_scores_beyond_the_floats():
    high = lambda a, b: 100 - jnp.sum((a[None] - b) ** 2, 1)
    x, y = layout(40), layout(30, seed=1)
    q = icon.points(high, x, y)
    rows = jax.vmap(q.log_mass)(jnp.arange(40))
    np.testing.assert_allclose(icon.interpolated(q).log_masses(), rows, rtol=1e-5)
    total = icon.interpolated(q).joint_log_mass()
    np.testing.assert_allclose(total, jax.nn.logsumexp(rows), rtol=1e-5)


def test_one_point_alone_has_no_slope():
    p = icon.graph(np.zeros((1, 1), np.float32))
    loss = lambda s: icon.kl(
        p, icon.interpolated(icon.gaussian(np.ones((1, 2), "f"), scale=s))
    )
    assert jax.grad(loss)(1.0) == 0 == loss(1.0)


def test_a_loss_that_bends_is_followed_as_it_is():
    p, z = hub(), layout(60)

    def bent(z, p):
        return icon.kl(p, icon.interpolated(icon.student_t(z)), joint=True) ** 2

    slow, whole = icon.minimize(bent, z, icon.gains(1.0), 20, args=(p,))
    fast, told = icon.minimize(bent, z, icon.gains(1.0), 20, args=(p,), every=10)
    assert np.array_equal(slow, fast)
    np.testing.assert_allclose(told.loss, whole.loss[9::10], rtol=1e-6)
