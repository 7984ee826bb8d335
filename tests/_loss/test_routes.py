"""Is every engine taken when the table says so, and as it says?"""

import collections
import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from interpreter import interpret

import icon
from icon._engines.fft import Interpolated
from icon._engines.report import CROSS_ENTROPY, KL
from icon._engines.strips import Linear, OverSupport
from icon._loss import ROUTES, routes
from icon._loss.routes import BUDGET, Loss, block_of, checked, route


N = 6
X = np.random.default_rng(0).normal(size=(N, 2)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(N, 2)).astype(np.float32)
IDS = np.arange(N) // 2
GRAPH = icon.graph(np.ones((N, N), np.float32) - np.eye(N, dtype=np.float32))

CONDITIONAL = Loss(Linear(KL))
JOINT = Loss(Linear(KL), joint=True)
BOTH = Loss(Linear(KL), both=True)
DIVERGENCE = Loss(OverSupport(lambda p, log_q: p - jnp.exp(log_q)))


# ------------------------------------------------------- which


def taken(loss, p, q, block=None, deterministic=False):
    with icon.deterministic(deterministic):
        return route(routes._case(*_checked(loss, p, q, block)))


def _checked(loss, p, q, block):
    p, q, weight, placement = checked(loss, p, q, None, block)
    return p, q, weight, loss, placement


def one_set(x):
    return icon.student_t(x)


def two_sets(x):
    return icon.dot(x, jnp.asarray(Y))


def fast(x):
    return icon.interpolated(icon.student_t(x))


def tiles(x):
    return icon.tiled(icon.dot(x), 2, 3)


ONE, TWO = icon.same(IDS), icon.same(IDS, IDS)
SMOOTH = icon.smooth(ONE, 0.1)
# (a loss, its p, its q as a function of points, the length of a strip): the engine
TAKEN = {
    "all scores held at once": [
        (CONDITIONAL, ONE, one_set, None),
        (JOINT, GRAPH, one_set, None),
        (CONDITIONAL, SMOOTH, two_sets, None),
    ],
    "strips, every anchor its own distribution": [
        (CONDITIONAL, TWO, two_sets, 4),
        (CONDITIONAL, SMOOTH, one_set, 4),
        (DIVERGENCE, ONE, one_set, 4),
        (CONDITIONAL, GRAPH, one_set, 4),
    ],
    "strips of points: joint, both directions, or one symmetric set": [
        (CONDITIONAL, ONE, one_set, 4),
        (JOINT, TWO, two_sets, 4),
        (BOTH, TWO, two_sets, 4),
    ],
    "strips, one distribution over pairs": [(JOINT, SMOOTH, one_set, 4)],
    "both directions of points, held at once": [(BOTH, TWO, two_sets, None)],
    "a divergence over p's support": [
        (DIVERGENCE, ONE, one_set, None),
        (DIVERGENCE, GRAPH, fast, None),
    ],
    "answers for all anchors at once": [
        (CONDITIONAL, GRAPH, fast, None),
        (JOINT, GRAPH, fast, 4),
        (CONDITIONAL, GRAPH, tiles, None),
    ],
    "tiles of a given size, or round a ring": [
        (CONDITIONAL, ONE, tiles, None),
        (JOINT, ONE, tiles, None),
    ],
}
EXACT = "the same bits on any number of devices"
CASES = [(name, k) for name, cases in TAKEN.items() for k in range(len(cases))]


@pytest.mark.parametrize("name, k", CASES)
def test_the_engine_that_is_taken(name, k):
    loss, p, q, block = TAKEN[name][k]
    p = TWO if q is two_sets and p is SMOOTH else p
    assert taken(loss, p, q(jnp.asarray(X)), block).name == name


def test_the_engine_that_has_the_same_bits():
    for loss in (CONDITIONAL, JOINT):
        assert taken(loss, ONE, one_set(X), None, deterministic=True).name == EXACT


def test_every_engine_has_a_case_and_the_last_one_is_always_open():
    names = [x.name for x in ROUTES]
    assert collections.Counter(names) == collections.Counter([*TAKEN, EXACT])
    assert ROUTES[-1].when(None)


# ------------------------------------------------------- as it says


def of_points(loss, p, q, block):
    verb = {
        CONDITIONAL: icon.kl,
        JOINT: ft.partial(icon.kl, joint=True),
        BOTH: icon.both_ways(icon.kl),
        DIVERGENCE: icon.divergence(DIVERGENCE.contribution.f),
    }[loss]
    return lambda x: verb(p, q(x), block=block)


@pytest.mark.parametrize("name", TAKEN)
def test_forward_mode_is_there_or_is_refused_as_the_table_says(name):
    loss, p, q, block = TAKEN[name][0]
    x, along = jnp.asarray(X), jnp.asarray(Y)
    f = of_points(loss, p, q, block)
    forward = next(x for x in ROUTES if x.name == name).forward
    if not forward:
        with pytest.raises(icon.InvalidInput, match=f"forward mode .* {name}") as error:
            jax.jvp(f, (x,), (along,))
        assert error.value.argument == "block"
    else:
        ways = lambda x: (jax.jvp(f, (x,), (along,))[1], jax.grad(f)(x))
        slope, gradient = interpret(ways, x)
        np.testing.assert_allclose(slope, np.vdot(gradient, along), rtol=1e-4)


@pytest.mark.slow
def test_strips_compiled_swept_or_run_as_python_are_the_same():
    both = jax.value_and_grad(of_points(CONDITIONAL, SMOOTH, one_set, 3))
    x = jnp.asarray(X)
    value, gradient = both(x)
    swept = jax.tree.map(lambda v: v[0], jax.vmap(both)(x[None]))
    with jax.disable_jit():
        python = both(x)
    for other in (jax.jit(both)(x), swept, python):
        np.testing.assert_allclose(other[0], value, rtol=1e-6)
        np.testing.assert_allclose(other[1], gradient, atol=1e-6)


# ------------------------------------------------------- how much is held


def test_all_is_held_while_the_scores_fit_and_strips_beyond():
    few, many = (
        np.zeros((int(n), 1), np.float32) for n in (BUDGET**0.5, BUDGET**0.5 + 1)
    )
    assert block_of(icon.same(np.zeros(len(few), int)), icon.dot(few), None) is None
    length = block_of(icon.same(np.zeros(len(many), int)), icon.dot(many), None)
    assert length is not None and length < len(many)
    assert block_of(ONE, one_set(X), 3) == 3
    cloud = icon.normal(few, few + 1, zoo.KEY)
    assert block_of(cloud, cloud, None) is None  # samples, and no candidates


@pytest.mark.parametrize("both", [False, True])
def test_small_batches_are_held_at_once_and_large_ones_are_not(both):
    verb = icon.both_ways(icon.kl) if both else icon.kl

    def loss(a, b):
        ids = jnp.arange(len(a))
        return verb(icon.same(ids, ids), icon.dot(a, b))

    text = lambda n: str(jax.make_jaxpr(jax.grad(loss))(*jnp.ones((2, n, 2))))
    assert "scan" not in text(256) and "scan" in text(4096)
    assert "4096,4096" not in text(4096)


def test_infonce_is_one_product_and_three_with_its_gradient():
    z = jax.ShapeDtypeStruct((64, 16), jnp.float32)
    loss = lambda z: icon.kl(icon.same(np.arange(64) // 2), icon.cosine(z))
    compiled = lambda f: jax.jit(f).lower(z).compile().as_text()
    assert compiled(loss).count(" dot(") == 1
    assert compiled(jax.value_and_grad(loss)).count(" dot(") == 3


TRACED: list[int] = []


def counted(a, b, temperature):
    TRACED.append(0)
    return b @ a / temperature


def test_ten_temperatures_are_one_trace():
    built = [icon.points(counted, X, temperature=t / 10) for t in range(1, 11)]
    losses = lambda q: [icon.kl(ONE, q, block=block) for block in (None, 3)]
    losses(built[0])
    del TRACED[:]
    values = np.array([losses(q) for q in built])
    assert not TRACED and len(set(values[:, 0].tolist())) == 10
    np.testing.assert_allclose(values[:, 1], values[:, 0], rtol=1e-5)


# ------------------------------------------------------- at the door


VERBS = icon.kl, icon.cross_entropy, icon.tv, icon.jsd, icon.hellinger, icon.terms


@pytest.mark.parametrize("verb", VERBS)
def test_p_and_q_over_different_candidates_are_refused(verb):
    x = jnp.ones((4, 2))
    for q in (icon.dot(x, x[:3]), icon.dot(x[:3]), icon.bernoulli(icon.dot(x))):
        with pytest.raises(icon.InvalidInput, match=r"^q: .*\(4, 4\) and \(") as error:
            verb(icon.same([0, 0, 1, 1]), q)
        assert error.value.argument == "q"


def test_equal_losses_are_one_program():
    assert Loss(Linear(KL)) == Loss(Linear(KL)) != Loss(Linear(CROSS_ENTROPY))
    assert hash(Loss(Linear(KL), True)) == hash(Loss(Linear(KL), True))


def test_numbers_that_a_loss_does_not_need_are_not_asked_for(monkeypatch):
    asked = []

    def noted(name):
        answer = getattr(Interpolated, name)

        def note(self, *args):
            asked.append(name)
            return answer(self, *args)

        monkeypatch.setattr(Interpolated, name, note)

    for name in ("along", "joint_log_mass", "log_masses"):
        noted(name)
    p = icon.uniform([[1, 2], [2, 3], [3, 0], [0, 1]]).prepared()
    q = icon.interpolated(icon.student_t(jnp.eye(4, 2)))
    icon.terms(p, q, joint=True)
    assert asked == ["along", "joint_log_mass"]
    asked.clear()
    icon.terms(p, q)
    assert asked == ["along", "log_masses"]
