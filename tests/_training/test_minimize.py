"""Does the loop follow the gradient, keep what it has, and say when it cannot?"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import slow, soon
from pair_sums import hub, layout

import icon


ADAM = optax.adam(0.1)
START = np.linspace(-1, 1, 6, dtype=np.float32)


def bowl(z, center):
    return jnp.sum((z - center) ** 2)


def descend(z=START, steps=50, optimizer=ADAM, **options):
    return icon.minimize(bowl, z, optimizer, steps, args=(jnp.ones(6),), **options)


def test_it_is_plain_gradient_descent():
    z, history = descend(steps=30, optimizer=optax.sgd(0.1))
    exact = 1 + (START - 1.0) * 0.8**30
    np.testing.assert_allclose(z, exact, atol=1e-6)
    losses = [((0.8**t * (START - 1.0)) ** 2).sum() for t in range(30)]
    np.testing.assert_allclose(history.loss, losses, rtol=1e-4)
    assert not history.interrupted


@pytest.mark.parametrize("steps", [0, 1, 24, 25, 26, 51])
def test_every_step_is_counted(steps):
    called = []
    z, history = descend(steps=steps, callbacks=[lambda *a: called.append(a[0])])
    assert len(history.loss) == steps
    assert called == [*range(25, steps, 25), *([steps] if steps else [])]
    if not steps:
        assert np.array_equal(z, START)


@pytest.mark.parametrize("first", [25, 30, 1])
def test_going_on_is_never_having_stopped(first):
    whole, history = descend(steps=50)
    half, early = descend(steps=first)
    rest, late = descend(half, 50 - first, state=early.state)
    assert np.array_equal(rest, whole)
    assert np.array_equal(np.concatenate([early.loss, late.loss]), history.loss)
    for a, b in zip(*map(jax.tree.leaves, (late.state, history.state)), strict=True):
        assert np.array_equal(a, b)


def test_the_same_again_is_the_same_bits():
    one, two = descend(), descend()
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1].loss, two[1].loss)


def test_what_is_passed_in_stays_whole():
    z, center = jnp.asarray(START), jnp.ones(6)
    icon.minimize(bowl, z, ADAM, 30, args=(center,))
    assert np.array_equal(z, START) and np.array_equal(center, np.ones(6))
    _, history = descend(steps=5)
    descend(steps=5, state=history.state)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(history.state))


def test_a_pytree_of_anything_floating():
    z = dict(a=jnp.ones((2, 3)), b=[jnp.float32(2.0), np.ones(4, np.float32)])

    def loss(z):
        return sum(jnp.sum(x**2) for x in jax.tree.leaves(z))

    best, history = icon.minimize(loss, z, optax.sgd(0.25), 30)
    assert jax.tree.structure(best) == jax.tree.structure(z)
    assert all(abs(x).max() < 1e-6 for x in map(np.asarray, jax.tree.leaves(best)))
    assert history.loss[0] == 14


@pytest.mark.parametrize("every", [1, 5])
def test_double_precision(x64, every):
    z, history = descend(START.astype(np.float64), 10, every=every)
    assert z.dtype == np.float64 and history.loss.dtype == np.float64


def test_what_learns_nothing_stays_where_it_is():
    z = dict(used=jnp.ones(2), unused=jnp.full(3, 7.0))
    best, history = icon.minimize(lambda z: jnp.sum(z["used"] ** 2), z, ADAM, 5)
    assert (best["unused"] == 7).all() and (best["used"] < 1).all()
    constant, history = icon.minimize(lambda z: 3.0, z, ADAM, 5, every=5)
    assert (constant["used"] == 1).all() and history.loss.tolist() == [3]


TRACES: list[int] = []


def traced(z, center):
    TRACES.append(0)
    return bowl(z, center)


def test_other_arguments_are_no_new_compilation():
    for center in (0.0, 1.0, 2.0):
        icon.minimize(traced, START, ADAM, 50, args=(jnp.full(6, center),))
    assert len(TRACES) <= 2


# ------------------------------------------------------- when it ends


def test_callbacks_see_where_it_is_and_may_stop_it():
    seen = []
    stop = lambda step, loss, z: step >= 50
    watch = lambda step, loss, z: seen.append((step, loss, np.asarray(z).copy()))
    z, history = descend(steps=200, callbacks=[stop, watch])  # both are called
    assert [step for step, *_ in seen] == [25, 50] and len(history.loss) == 50
    assert seen[-1][1] == history.loss[-1] and np.array_equal(seen[-1][2], z)
    assert np.array_equal(z, descend(steps=50)[0]) and not history.interrupted


def test_ctrl_c_returns_what_was_reached():
    def interrupt(step, loss, z):
        if step == 50:
            raise KeyboardInterrupt

    z, history = descend(steps=200, callbacks=[interrupt])
    assert history.interrupted and len(history.loss) == 50
    assert np.array_equal(z, descend(steps=50)[0])
    rest, _ = descend(z, 25, state=history.state)
    assert np.array_equal(rest, descend(steps=75)[0])


def test_any_other_error_is_passed_on():
    def fail(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        descend(callbacks=[fail])


def runaway(z, at):
    """Falls forever, and is no number past `at`."""
    return jnp.where(jnp.sum(z) < at, jnp.nan, jnp.sum(z))


def diverge(loss, bad, steps, every):
    args, sgd = (jnp.float32(0.5 - bad),), optax.sgd(1.0)
    with pytest.raises(icon.DivergenceError) as error:
        icon.minimize(loss, np.zeros(1, np.float32), sgd, steps, args=args, every=every)
    return error.value


@pytest.mark.parametrize("every, chunk", [(1, 25), (10, 10)])
@pytest.mark.parametrize("bad", [slow(0), 3, 30])
def test_divergence_says_when_and_keeps_what_was_good(bad, every, chunk):
    start, sgd, args = np.zeros(1, np.float32), optax.sgd(1.0), (np.float32(0.5 - bad),)
    with pytest.raises(icon.DivergenceError, match=f"step {bad}:") as error:
        icon.minimize(runaway, start, sgd, 60, args=args, every=every)
    assert error.value.step == bad and isinstance(error.value, ArithmeticError)
    assert np.asarray(error.value.partial).tolist() == [-(bad // chunk) * float(chunk)]


def edge(z, at):
    """Falls forever; where it reaches `at`, its gradient alone is no number."""
    return jnp.sum(z) + jnp.where(jnp.sum(z) == at, jnp.sqrt(jnp.sum(z) - at), 0)


@pytest.mark.parametrize("every", [1, 10])
@pytest.mark.parametrize("steps", [14, 40])
def test_a_gradient_that_is_not_finite_is_no_result_even_at_the_last_step(steps, every):
    start, sgd = np.zeros(1, np.float32), optax.sgd(1.0)
    with pytest.raises(icon.DivergenceError, match="step 14:") as error:
        icon.minimize(edge, start, sgd, steps, args=(jnp.float32(-13),), every=every)
    assert error.value.partial == (0 if every == 1 else -10)


# ------------------------------------------------------- schedules


def weighed(z, factor, center):
    return factor * bowl(z, center)


def rising(step):
    return 1.0 + 0.1 * step


def test_a_function_among_the_arguments_is_a_schedule():
    args = (rising, jnp.ones(6))
    z, history = icon.minimize(weighed, START, optax.sgd(0.01), 60, args=args)
    exact = START.astype(np.float64)
    losses = []
    for step in range(60):
        losses.append((1 + 0.1 * step) * ((exact - 1) ** 2).sum())
        exact = exact - 0.01 * (1 + 0.1 * step) * 2 * (exact - 1)
    np.testing.assert_allclose(z, exact, atol=1e-5)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-4)


# ------------------------------------------------------- fewer losses


@pytest.mark.parametrize("every", [7, 20, 100])
def test_a_loss_given_less_often_is_that_of_the_last_step(every):
    called = []
    callback = lambda step, loss, z: called.append((step, loss))
    z, history = descend(steps=45, every=every, callbacks=[callback])
    same, each = descend(steps=45)
    np.testing.assert_allclose(z, same, rtol=1e-6)
    ends = [*range(every, 45, every), 45]
    assert [step for step, _ in called] == ends
    last = np.array(ends) - 1
    np.testing.assert_allclose(history.loss, each.loss[last], rtol=1e-6)
    assert [loss for _, loss in called] == history.loss.tolist()


def test_a_schedule_is_at_the_last_step_where_its_loss_is_given():
    args, sgd = (rising, jnp.ones(6)), optax.sgd(0.01)
    z, history = icon.minimize(weighed, START, sgd, 45, args=args, every=20)
    same, each = icon.minimize(weighed, START, sgd, 45, args=args)
    np.testing.assert_allclose(z, same, rtol=1e-6)
    np.testing.assert_allclose(history.loss, each.loss[[19, 39, 44]], rtol=1e-6)


def test_a_loss_given_less_often_still_says_at_which_step_it_broke():
    late = lambda step: jnp.where(step < 17, 1.0, jnp.nan)
    args = (late, jnp.ones(6))
    with pytest.raises(icon.DivergenceError, match="step 17") as error:
        icon.minimize(weighed, START, ADAM, 50, args=args, every=10)
    assert np.isfinite(error.value.partial).all()


VALUES: list[int] = []


@jax.custom_vjp
def counted(z):
    """Σ z² by a call that is counted; its gradient does not need it."""

    def call(z):
        VALUES.append(0)
        return np.sum(np.asarray(z) ** 2)

    return jax.pure_callback(call, jax.ShapeDtypeStruct((), z.dtype), z)


counted.defvjp(lambda z: (counted(z), z), lambda z, g: (2 * g * z,))


def test_a_value_that_no_gradient_needs_is_computed_once_a_chunk():
    z, history = icon.minimize(counted, START, optax.sgd(0.1), 20, every=5)
    assert len(VALUES) == len(history.loss) == 4
    np.testing.assert_allclose(z, START * 0.8**20, rtol=1e-5)
    losses = [np.sum((START * 0.8**t) ** 2) for t in (4, 9, 14, 19)]
    np.testing.assert_allclose(history.loss, losses, rtol=1e-5)


# losses of the sum along the edges of p, whose gradient does not need the sum itself
LOSSES = {
    "plain": lambda value: value,
    "squared": lambda value: value**2,
    "compared": lambda value: jnp.maximum(value, 1.5) + jnp.minimum(value, 1.2),
}


@pytest.mark.parametrize("name", soon(LOSSES, "compared"))
def test_a_listed_p_is_an_argument_like_any_other(name):
    p, z = hub().prepared(), layout(60)

    def loss(z, p):
        q = icon.interpolated(icon.student_t(z))
        return LOSSES[name](icon.kl(p, q, joint=True))

    def plain(z, p):
        return LOSSES[name](icon.kl(p, icon.student_t(z), joint=True))

    rate = icon.gains(1.0)
    slow, each = icon.minimize(plain, z, rate, 20, args=(hub(),))
    fast, last = icon.minimize(loss, z, rate, 20, args=(p,), every=10)
    assert each.loss[-1] < each.loss[0]
    np.testing.assert_allclose(fast, slow, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(last.loss, each.loss[9::10], rtol=1e-5)
