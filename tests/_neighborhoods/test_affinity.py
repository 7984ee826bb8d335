"""Do listed neighbours weigh what the papers say?"""

import functools as ft
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow, soon
from scipy.spatial.distance import cdist
from sklearn.manifold._t_sne import _joint_probabilities

import icon


RNG = np.random.default_rng


def f32(x):
    return np.asarray(x, np.float32)


# ------------------------------------------------------- perplexity


DATA = {
    "random": lambda: RNG(0).normal(size=(60, 3)),
    "duplicated": lambda: np.repeat(RNG(0).normal(size=(30, 3)), 2, 0),
    "heavy tails": lambda: RNG(0).standard_cauchy(size=(60, 3)),
    "offset": lambda: RNG(0).normal(size=(60, 3)) + 1e4,
    "tiny": lambda: RNG(0).normal(size=(60, 3)) * 1e-30,
    "huge": lambda: RNG(0).normal(size=(60, 3)) * 1e20,
    "clustered": lambda: 100 * np.eye(3)[np.arange(60) // 20] + DATA["random"](),
}
KERNELS = {
    "gaussian": icon.gaussian,
    "laplace": icon.laplace,
    **{f"student_t {v}": ft.partial(icon.student_t, dof=float(v)) for v in (5, 10, 30)},
}


def perplexities(graph):
    p = np.asarray(icon.dense(graph), np.float64)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    return np.exp(-(p * np.log(np.where(p > 0, p, 1))).sum(1))


@pytest.mark.parametrize("kernel", soon(KERNELS, "gaussian", "student_t 5"))
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("k, perplexity", [(30, 10.0), slow(59, 25.0)])
def test_every_anchor_has_the_perplexity(data, kernel, k, perplexity):
    index, distance = icon.knn(f32(DATA[data]()), k)
    make = lambda: icon.entropic(
        index, distance, perplexity=perplexity, kernel=KERNELS[kernel]
    )
    least = floor(distance, kernel)
    if least < perplexity:
        np.testing.assert_allclose(perplexities(make()), perplexity, rtol=1e-5)
    else:
        with pytest.raises(icon.InvalidInput, match="^perplexity: ") as raised:
            make()
        named = float(raised.value.expected.split()[0])
        np.testing.assert_allclose(named, least, rtol=1e-3)


def floor(distance, kernel):
    """The perplexity of Student's t as its scale falls to 0: p ~ d^-(dof + 1)."""
    if "student" not in kernel:
        return 0.0
    distance = np.asarray(distance, np.float64)
    distance = np.maximum(distance / distance.mean(), 1e-15)
    log_p = -(float(kernel.split()[1]) + 1) * np.log(distance)
    p = np.exp(log_p - log_p.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return np.exp(-(p * np.log(np.where(p > 0, p, 1))).sum(1)).max()


@pytest.mark.parametrize("perplexity", [2.0, 58.5])
def test_near_the_ends_of_what_is_feasible(perplexity):
    graph = icon.entropic(*icon.knn(f32(DATA["random"]()), 59), perplexity=perplexity)
    np.testing.assert_allclose(perplexities(graph), perplexity, rtol=1e-5)


@pytest.mark.slow
def test_it_is_a_gaussian_of_some_width():
    """log p is linear in the squared distance: the shape, not only the entropy."""
    index, distance = icon.knn(f32(DATA["random"]()), 30)
    graph = icon.entropic(index, distance, perplexity=10)
    for i in (0, 33):
        score = np.asarray(graph.score(i, np.sort(index[i])), np.float64)
        d2 = np.asarray(distance, np.float64)[i, np.argsort(index[i])] ** 2
        rate, top = np.polyfit(d2, score, 1)
        assert rate < 0
        np.testing.assert_allclose(score, rate * d2 + top, atol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_neither_the_origin_nor_the_unit_counts(kernel):
    x = DATA["random"]()

    def read(x):
        listed = icon.knn(f32(x), 30)
        graph = icon.entropic(*listed, perplexity=20, kernel=KERNELS[kernel])
        return np.asarray(icon.dense(graph))

    p = read(x)
    for other in (f32(x) * np.float32(2.0**60), f32(x) * np.float32(2.0**-60)):
        np.testing.assert_allclose(read(other), p, rtol=1e-4, atol=1e-6)
    coarse = np.round(x * 64) / 64  # numbers that an offset does not round
    np.testing.assert_allclose(read(coarse + 1024), read(coarse), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_the_joint_probabilities_of_scikit_learn(x64):
    x = DATA["random"]()
    graph = icon.symmetrize(icon.entropic(*icon.knn(x, 59), perplexity=20.0))
    p = (
        np.asarray(icon.dense(graph))
        * np.exp([[graph.log_mass(i)] for i in range(60)])
        / 60
    )
    d2 = cdist(x, x, "sqeuclidean").astype(np.float32)
    half = np.zeros((60, 60))
    half[np.triu_indices(60, 1)] = _joint_probabilities(d2, 20.0, 0)
    np.testing.assert_allclose(p, half + half.T, rtol=1e-3, atol=1e-7)


def test_ties_are_spread_evenly_with_one_warning():
    x = np.concatenate([np.zeros((12, 2)), RNG(0).normal(size=(48, 2)) + 20])
    with pytest.warns(UserWarning) as caught:
        graph = icon.entropic(*icon.knn(f32(x), 30), perplexity=5)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert "12 of 60 anchors" in str(caught[0].message)
    assert "5 nearest neighbours" in str(caught[0].message)
    p = np.asarray(icon.dense(graph))
    np.testing.assert_allclose(p[:12, :12], (1 - np.eye(12)) / 11, rtol=1e-6)
    np.testing.assert_allclose(perplexities(graph)[12:], 5, rtol=1e-5)


def test_all_in_one_place():
    with pytest.warns(UserWarning, match="60 of 60"):
        listed = icon.knn(np.ones((60, 3), np.float32), 30)
        graph = icon.entropic(*listed, perplexity=10)
    np.testing.assert_allclose(perplexities(graph), 30, rtol=1e-5)


@pytest.mark.parametrize("far, tolerance", [(1e2, 1e-3), (1e3, 3e-3), (1e5, 0.1)])
def test_a_row_far_from_all_others_has_the_perplexity_that_its_digits_allow(
    far, tolerance
):
    rng = RNG(0)
    x, new = rng.normal(size=(200, 8)), far * rng.normal(size=(20, 8))
    index, distance = icon.knn(np.float32(new), 15, np.float32(x))
    graph = icon.entropic(index, distance, perplexity=5, candidates=200)
    np.testing.assert_allclose(perplexities(graph), 5, rtol=tolerance)


def test_as_many_ties_as_the_perplexity_are_no_ties():
    """Three in one place and a perplexity of three: feasible, without a warning."""
    x = np.concatenate([np.zeros((4, 2)), RNG(0).normal(size=(56, 2)) * 3 + 50])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = icon.entropic(*icon.knn(f32(x), 30), perplexity=3)
    np.testing.assert_allclose(perplexities(graph), 3, rtol=1e-4)


@pytest.mark.parametrize("perplexity", [30.5, 1000.0, 0.5])
def test_an_impossible_perplexity_is_refused(perplexity):
    listed = icon.knn(f32(DATA["random"]()), 30)
    text = "^perplexity: expected 1 to 30"
    with pytest.raises(icon.InvalidInput, match=text) as raised:
        icon.entropic(*listed, perplexity=perplexity)
    assert raised.value.argument == "perplexity" and raised.value.got == perplexity


def test_below_the_floor_of_a_heavy_tail_is_refused():
    index, distance = icon.knn(f32(DATA["random"]()), 30)
    kernel, least = ft.partial(icon.student_t, dof=1.0), floor(distance, "student_t 1")
    with pytest.raises(icon.InvalidInput, match=f"^perplexity: .*{least:.3g}.* to 30"):
        icon.entropic(index, distance, perplexity=least * 0.5, kernel=kernel)
    graph = icon.entropic(index, distance, perplexity=least * 1.01, kernel=kernel)
    np.testing.assert_allclose(perplexities(graph), least * 1.01, rtol=1e-4)


@pytest.mark.slow
def test_two_sets_may_list_the_number_of_the_anchor():
    a, b = RNG(0).normal(size=(2, 60, 3))
    listed = icon.knn(f32(a), 20, f32(b))
    graph = icon.entropic(*listed, perplexity=5, candidates=60)
    np.testing.assert_allclose(perplexities(graph), 5, rtol=1e-5)
    assert not graph.excludes_self


def at_perplexity(distance, perplexity):
    """One row of a gaussian at a perplexity, by bisection in Python."""
    low, high = 1e-12, 1e12
    for _ in range(200):
        middle = (low * high) ** 0.5
        p = np.exp(-((distance / middle) ** 2 - (distance.min() / middle) ** 2) / 2)
        p /= p.sum()
        above = -(p * np.log(np.where(p > 0, p, 1))).sum() > np.log(perplexity)
        low, high = (low, middle) if above else (middle, high)
    return p


@pytest.mark.parametrize("make", [slow(list), slow(tuple), np.array])
@pytest.mark.parametrize("levels", [slow((5.0,)), (5.0, 25.0), slow((3.0, 10.0, 28.0))])
def test_several_perplexities_are_the_mean_of_each(levels, make):
    index, distance = icon.knn(f32(DATA["random"]()), 30)
    graph = icon.entropic(index, distance, perplexity=make(levels))
    for i in (0, 17, 59):
        far = np.asarray(distance[i], np.float64)
        each = np.mean([at_perplexity(far, level) for level in levels], 0)
        got = np.exp([graph.score(i, j[None])[0] for j in index[i]])
        np.testing.assert_allclose(got, each, rtol=1e-4, atol=1e-7)


def test_ties_warn_for_the_perplexity_that_they_are_above():
    x = np.concatenate([np.zeros((12, 2)), RNG(0).normal(size=(48, 2)) + 20])
    with pytest.warns(UserWarning, match="more than 5 nearest") as caught:
        graph = icon.entropic(*icon.knn(f32(x), 30), perplexity=[5, 20])
    assert len(caught) == 1 and caught[0].filename == __file__
    np.testing.assert_allclose(np.asarray(icon.dense(graph)).sum(1), 1, rtol=1e-5)


def test_several_perplexities_inside_of_a_jit():
    index, distance = icon.knn(f32(DATA["random"]()), 30)
    read = lambda far, level: icon.entropic(index, far, perplexity=level).logit
    np.testing.assert_allclose(
        jax.jit(read)(distance, f32([5, 20])), read(distance, [5, 20]), rtol=1e-5
    )


# ------------------------------------------------------- a width that is given


def at_scale(far, scale, kernel):
    score = {
        "gaussian": lambda d: -(d**2) / 2,
        "laplace": lambda d: -d,
        "student_t 5": lambda d: -3 * np.log1p(d**2 / 5),
    }[kernel](far / scale)
    p = np.exp(score - score.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


@pytest.mark.parametrize("kernel", ["gaussian", "laplace", "student_t 5"])
@pytest.mark.parametrize("scale", [0.4, np.linspace(0.1, 2, 60)[:, None]])
def test_a_fixed_scale_is_the_kernel_of_the_distances(kernel, scale, x64):
    index, distance = icon.knn(DATA["random"](), 9)
    given = scale if np.isscalar(scale) else scale[:, 0]
    p = icon.fixed_scale(index, distance, scale=given, kernel=KERNELS[kernel])
    exact = np.zeros((60, 60))
    far = np.asarray(distance)
    np.put_along_axis(exact, np.asarray(index), at_scale(far, scale, kernel), 1)
    np.testing.assert_allclose(icon.dense(p), exact, rtol=1e-9, atol=1e-300)
    assert p.excludes_self and p.is_sparse


def test_a_fixed_scale_is_learnable_and_traced(x64):
    index, distance = icon.knn(DATA["random"](), 9)
    z = jnp.asarray(RNG(1).normal(size=(60, 2)))

    @jax.jit
    def loss(scale, distance):
        p = icon.fixed_scale(index, distance, scale=scale)
        return icon.kl(p, icon.gaussian(z))

    by_scale, by_distance = jax.grad(loss, (0, 1))(0.8, distance)
    up, down = loss(0.8 + 1e-5, distance), loss(0.8 - 1e-5, distance)
    np.testing.assert_allclose(by_scale, (up - down) / 2e-5, rtol=1e-6)
    moved = distance.at[3, 2].add(1e-5)
    change = (loss(0.8, moved) - loss(0.8, distance)) / 1e-5
    np.testing.assert_allclose(by_distance[3, 2], change, rtol=1e-3)


def test_a_fixed_scale_that_leaves_an_anchor_alone_is_refused():
    index, distance = [[1], [0], [1]], [[1.0], [1.0], [1e4]]
    good = icon.fixed_scale(index, distance, scale=1.0)  # far, but the only one
    np.testing.assert_array_equal(icon.dense(good)[2], [0, 1, 0])
    with pytest.raises(icon.InvalidInput, match="^scale: .*anchor 2 is alone"):
        icon.fixed_scale(index, distance, scale=1e-16)


# ------------------------------------------------------- uniform and fuzzy


def test_uniform():
    index, _ = icon.knn(f32(DATA["random"]()), 5)
    graph = icon.uniform(index)
    exact = np.zeros((60, 60))
    np.put_along_axis(exact, np.asarray(index), 0.2, 1)
    np.testing.assert_allclose(np.asarray(icon.dense(graph)), exact, rtol=1e-6)
    mass = [graph.log_mass(i) for i in range(60)]
    np.testing.assert_allclose(mass, 0, atol=1e-6)


@pytest.mark.slow
def test_a_list_of_others_has_as_many_candidates_as_it_says():
    one, two = icon.uniform([[1, 2], [0, 2], [0, 1]]), [[0, 6], [1, 3]]
    assert one.excludes_self and one.shape == (3, 3) and one.is_sparse
    graph = icon.uniform(two, candidates=7)
    assert not graph.excludes_self and graph.shape == (2, 7)
    exact = np.zeros((2, 7))
    np.put_along_axis(exact, np.array(two), 0.5, 1)
    np.testing.assert_allclose(np.asarray(icon.dense(graph)), exact, rtol=1e-6)


def fuzzy_by_hand(distance):
    """One row of UMAP's strengths, by bisection in Python."""
    rho, low, high = distance.min(), 0.0, 1e6 * distance.max()
    for _ in range(200):
        middle = (low + high) / 2
        total = np.exp(-(distance - rho) / middle).sum()
        above = total > np.log2(len(distance) + 1)
        low, high = (low, middle) if above else (middle, high)
    return np.exp(-(distance - rho) / low)


@pytest.mark.parametrize("data", ["random", "heavy tails", "tiny", "huge"])
def test_fuzzy(data):
    index, distance = icon.knn(f32(DATA[data]()), 30)
    graph = icon.fuzzy(index, distance)
    for i in range(60):
        strength = np.exp(np.asarray(graph.score(i, index[i]), np.float64))
        np.testing.assert_allclose(strength[0], 1, rtol=1e-6)
        np.testing.assert_allclose(strength.sum(), np.log2(31), rtol=1e-4)
        if i % 20 == 0:
            by_hand = fuzzy_by_hand(np.asarray(distance[i], np.float64))
            np.testing.assert_allclose(strength, by_hand, atol=1e-4)


@pytest.mark.slow
def test_the_nearest_that_is_not_in_the_same_place_has_strength_1():
    x = DATA["duplicated"]()
    index, distance = icon.knn(f32(x), 10)
    graph = icon.fuzzy(index, distance)
    strength = np.exp([graph.score(i, index[i]) for i in range(60)])
    np.testing.assert_allclose(strength[:, :2], 1, rtol=1e-6)
    assert (strength <= 1).all() and (strength[:, 3:] < 1).all()


def test_fuzzy_in_one_place_is_finite():
    graph = icon.fuzzy(*icon.knn(np.ones((60, 3), np.float32), 10))
    np.testing.assert_allclose(np.exp(graph.logit), 1)


# ------------------------------------------------------- local scales


@pytest.mark.parametrize("rank", [1, 7, 99])
@pytest.mark.parametrize("data", ["random", "heavy tails", "tiny", "huge"])
def test_self_tuning(data, rank):
    index, distance = icon.knn(f32(DATA[data]()), 10)
    graph = icon.self_tuning(index, distance, rank=rank)
    d = np.asarray(distance, np.float64)
    scale = d[:, min(rank, 10) - 1]
    for i in range(0, 60, 7):
        # logarithms, since products of what is tiny or huge are beyond float64's reach
        weight = np.exp(-d[i] / scale[i] * (d[i] / scale[np.asarray(index)[i]]))
        found = np.exp(np.asarray(graph.score(i, index[i]), np.float64))
        np.testing.assert_allclose(found, weight / weight.sum(), rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_self_tuning_over_another_set_knows_the_scale_of_the_anchors_alone():
    a, b = f32(RNG(1).normal(size=(5, 2))), f32(RNG(2).normal(size=(30, 2)))
    index, distance = icon.knn(a, 8, b)
    graph = icon.self_tuning(index, distance, rank=3, candidates=30)
    weight = np.exp(-((distance[0] / distance[0, 2]) ** 2))
    found = np.exp(graph.score(0, index[0]))
    np.testing.assert_allclose(found, weight / weight.sum(), rtol=1e-5)


@pytest.mark.slow
def test_self_tuning_of_coincident_points_is_finite():
    for x in (np.repeat(DATA["random"]()[:6], 10, 0), np.ones((60, 3))):
        graph = icon.self_tuning(*icon.knn(f32(x), 9))
        np.testing.assert_allclose(icon.dense(graph).sum(1), 1, rtol=1e-5)


def test_a_kernel_that_reads_whole_rows_sees_those_that_are_listed():
    def relative(a, b):
        distance = jnp.abs(a[None] - b)[:, 0]
        return -((distance / jnp.max(distance)) ** 2) - distance

    kernel = lambda a, b: icon.points(relative, a, b, whole_rows=True)
    x = np.float32(0.01 * np.random.default_rng(0).normal(size=(12, 2)))
    index, distance = icon.knn(x, 6)
    p = icon.entropic(index, distance, perplexity=4, kernel=kernel)
    far = np.asarray(distance, np.float64)[0]
    log = np.log(np.asarray(icon.dense(p), np.float64)[0][np.asarray(index)[0]])
    slope = np.diff(log + (far / far.max()) ** 2) / np.diff(far)
    np.testing.assert_allclose(slope, slope[0], rtol=2e-2)  # one scale for all
