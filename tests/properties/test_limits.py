"""Are the rows without a temperature the limits of finite ones, and how fast?"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import icon


pytestmark = pytest.mark.usefixtures("x64")

RNG = np.random.default_rng(0)
N, CLASSES = 12, 3
Z, U, W = (RNG.normal(size=(n, 3)) for n in (N, N, CLASSES))
IDS, VIEWS, LABELS = np.arange(N), np.arange(N) // 2, np.arange(N) % CLASSES
GRAPH = np.diag(RNG.uniform(0.5, 1, N - 1), 1)
GRAPH = GRAPH + GRAPH.T
SCALES = 3.0, 10.0, 30.0, 100.0
TEMPERATURES = 3.0, 1.0, 0.3, 0.1, 0.01


def squared(a, b):
    return ((a[:, None] - b[None]) ** 2).sum(-1)


def off_diagonal(matrix):
    return matrix[~np.eye(N, dtype=bool)].reshape(N, N - 1)


# the evidence, the embedding, and d² to all candidates of an anchor
WIDE = {
    "PCA": ((IDS, IDS), (Z,), squared(Z, Z)),
    "VICReg*": ((VIEWS,), (Z,), off_diagonal(squared(Z, Z))),
    "average-margin CLIP": ((IDS, IDS), (Z, U), squared(Z, U)),
    "average-margin SupCon": ((LABELS,), (Z,), off_diagonal(squared(Z, Z))),
}


@jax.jit
def rescaled(p, sets, scale):
    """2σ² (CE - log m), whose limit is the row."""
    q = icon.points(icon.gaussian(*sets).kernel, *sets, scale=scale)
    others = q.shape[1] - q.excludes_self
    return 2 * scale**2 * (icon.cross_entropy(p, q) - jnp.log(float(others)))


@pytest.mark.parametrize("name", WIDE)
def test_wide_rows_are_the_limit_from_below(name):
    evidence, embedding, d2 = WIDE[name]
    cell = icon.TABLE[name]
    sets = (Z, Z) if name == "PCA" else embedding
    gaps = [
        float(
            rescaled(cell.p(*evidence), sets, jnp.asarray(scale))
            - cell(evidence, embedding)
        )
        for scale in SCALES
    ]
    bound = (np.ptp(d2, 1) ** 2).mean() / 16
    rate = d2.var(1).mean() / 4  # gap σ² -> E Var_u d² / 4
    assert all(
        0 <= gap <= bound / scale**2 for gap, scale in zip(gaps, SCALES, strict=True)
    )
    off = [abs(gap * scale**2 - rate) for gap, scale in zip(gaps, SCALES, strict=True)]
    assert off[-1] < 1e-3 * rate
    assert off[0] > 5 * off[1] > 25 * off[2]  # the next order is σ⁻⁴


def test_the_second_order_leaves_the_fourth_power_of_the_width():
    p = icon.same(IDS, IDS)

    def left(scale):
        q = icon.gaussian(Z, Z, scale=scale)
        wide = icon.cross_entropy(p, icon.wide(q, 2)) + np.log(N)
        return float(2 * scale**2 * (icon.cross_entropy(p, q) - wide))

    power = np.log(left(40.0) / left(10.0)) / np.log(40.0 / 10.0)
    assert power == pytest.approx(-4, abs=0.05)


def test_students_wide_limit_is_pca_times_its_curvature():
    """(ν + 1) / (2νγ²) stands for 1 / 2σ²."""
    dof, scale, p = 3.0, 300.0, icon.same(IDS, IDS)
    ce = icon.cross_entropy(p, icon.student_t(Z, Z, dof=dof, scale=scale))
    found = dof * scale**2 * 2 / (dof + 1) * (float(ce) - np.log(N))
    assert found == pytest.approx(float(icon.TABLE["PCA"]((IDS, IDS), (Z,))), rel=1e-3)


# the evidence, the sets, the margin, and the number of candidates
SHARP = {
    "triplet SupCon": ((LABELS,), (Z,), 0.2, N - 1),
    "graph triplet": ((GRAPH,), (Z,), 1.0, N - 1),
}


@pytest.mark.parametrize("name", SHARP)
def test_sharp_rows_are_the_limit_from_below(name):
    evidence, sets, m, count = SHARP[name]
    cell = icon.TABLE[name]
    p = cell.p(*evidence)
    limit = float(cell(evidence, sets))

    @jax.jit
    def warm(t):
        q = icon.points(icon.gaussian(*sets).kernel, *sets, scale=jnp.sqrt(t / 2))
        return t * icon.cross_entropy(p, icon.margin(q, p, m / t))

    gaps = [float(warm(jnp.asarray(t))) - limit for t in TEMPERATURES]
    for gap, t in zip(gaps, TEMPERATURES, strict=True):
        assert -1e-12 <= gap <= t * np.log(count)
    assert all(a > b for a, b in itertools.pairwise(gaps))


def test_a_hinge_is_approached_by_the_square_of_the_temperature():
    """The gap is T² π²/6 times the density of d⁺ - d⁻ + m at 0, on an even grid."""
    ahead = np.linspace(-10, 10, 4001)  # d⁺ - d⁻, of density 1/20
    p = icon.same(np.zeros(4001, int), np.array([0, 1]))
    for t in (0.1, 0.2, 0.4):
        q = icon.scores(np.stack([-ahead, 0 * ahead], 1), temperature=t)
        hinge = icon.cross_entropy(p, icon.sharp(icon.scores(q.per_anchor["row"])))
        gap = float(t * icon.cross_entropy(p, q) - hinge)
        assert gap == pytest.approx(t**2 * np.pi**2 / 6 / 20, rel=1e-3)


def test_total_variation_is_the_error_of_a_randomised_classifier():
    """TV = 1 - q_y at every temperature, the error rate at the lowest."""
    p = icon.same(LABELS, np.arange(CLASSES))
    logits = Z @ W.T
    q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = float(icon.tv(p, icon.dot(Z, W)))
    assert found == pytest.approx(1 - q[IDS, LABELS].mean(), rel=1e-12)
    wrong = (np.argmax(logits, 1) != LABELS).mean()
    rate = icon.TABLE["error rate"]((LABELS, np.arange(CLASSES)), (Z, W))
    assert float(rate) == pytest.approx(wrong, abs=1e-15)
    cold = float(icon.tv(p, icon.dot(Z, W, temperature=1e-3)))
    assert cold == pytest.approx(wrong, abs=1e-6)
