"""Do the loops follow the gradient, keep what they have, and say when they cannot?"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import icon


ADAM = optax.adam(0.1)
START = np.linspace(-1, 1, 6, dtype=np.float32)


def bowl(z, center):
    return jnp.sum((z - center) ** 2)


def descend(z=START, steps=50, optimizer=ADAM, **options):
    return icon.minimize(bowl, z, optimizer, steps, args=(jnp.ones(6),), **options)


# ------------------------------------------------------- minimize


def test_it_is_plain_gradient_descent():
    z, history = icon.minimize(bowl, START, optax.sgd(0.1), 30, args=(jnp.ones(6),))
    exact = 1 + (START - 1.0) * 0.8**30
    np.testing.assert_allclose(z, exact, atol=1e-6)
    losses = [((0.8**t * (START - 1.0)) ** 2).sum() for t in range(30)]
    np.testing.assert_allclose(history.loss, losses, rtol=1e-4)
    assert not history.interrupted


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.sampled_from([0, 1, 24, 25, 26, 51]))
def test_every_step_is_counted(steps):
    told = []
    z, history = descend(steps=steps, callbacks=[lambda *a: told.append(a[0])])
    assert len(history.loss) == steps
    assert told == [*range(25, steps, 25), *([steps] if steps else [])]
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


def test_callbacks_see_where_it_is_and_may_stop_it():
    seen = []
    stop = lambda step, loss, z: step >= 50
    watch = lambda step, loss, z: seen.append((step, loss, np.asarray(z).copy()))
    z, history = descend(steps=200, callbacks=[stop, watch])  # both are told
    assert [step for step, *_ in seen] == [25, 50] and len(history.loss) == 50
    assert seen[-1][1] == history.loss[-1] and np.array_equal(seen[-1][2], z)
    assert np.array_equal(z, descend(steps=50)[0]) and not history.interrupted


def test_ctrl_c_returns_what_there_is():
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


@pytest.mark.parametrize("bad", [0, 3, 30])
def test_divergence_says_when_and_keeps_what_was_good(bad):
    args, sgd = (jnp.float32(0.5 - bad),), optax.sgd(1.0)
    with pytest.raises(icon.DivergenceError, match=f"step {bad}:") as said:
        icon.minimize(runaway, np.zeros(1, np.float32), sgd, 60, args=args)
    assert said.value.step == bad
    assert np.asarray(said.value.partial).tolist() == [-(bad // 25) * 25.0]
    assert isinstance(said.value, ArithmeticError)


def test_a_pytree_of_anything_floating():
    z = dict(a=jnp.ones((2, 3)), b=[jnp.float32(2.0), np.ones(4, np.float32)])

    def loss(z):
        return sum(jnp.sum(x**2) for x in jax.tree.leaves(z))

    best, history = icon.minimize(loss, z, optax.sgd(0.25), 30)
    assert jax.tree.structure(best) == jax.tree.structure(z)
    assert all(abs(x).max() < 1e-6 for x in map(np.asarray, jax.tree.leaves(best)))
    assert history.loss[0] == 14


def test_what_is_passed_in_stays_whole():
    z, center = jnp.asarray(START), jnp.ones(6)
    icon.minimize(bowl, z, ADAM, 30, args=(center,))
    assert np.array_equal(z, START) and np.array_equal(center, np.ones(6))
    _, history = descend(steps=5)
    descend(steps=5, state=history.state)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(history.state))


def test_double_precision(x64):
    z, history = descend(START.astype(np.float64), 10)
    assert z.dtype == np.float64 and history.loss.dtype == np.float64


TRACES: list[int] = []


def traced(z, center):
    TRACES.append(0)
    return bowl(z, center)


def test_other_arguments_are_no_new_compilation():
    for center in (0.0, 1.0, 2.0):
        icon.minimize(traced, START, ADAM, 50, args=(jnp.full(6, center),))
    compiled = len(TRACES) - 3  # one look at its shape each
    assert compiled <= 2


def test_a_neighbourhood_is_an_argument_like_any_other():
    x = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    p = icon.entropic(*icon.knn(x, 8), perplexity=4)
    z0 = x[:, :2] * 1e-2
    z, history = icon.minimize(tsne, z0, optax.adam(0.1), 100, args=(p,))
    assert history.loss[-1] < history.loss[0] / 2 and np.isfinite(z).all()


def tsne(z, p):
    return icon.kl(p, icon.student_t(z), joint=True)


# ------------------------------------------------------- schedules, and fewer losses


def weighed(z, factor, center):
    return factor * bowl(z, center)


def rising(step):
    return 1.0 + 0.1 * step


def test_a_function_among_the_arguments_is_a_schedule():
    args = (rising, jnp.ones(6))
    z, history = icon.minimize(weighed, START, optax.sgd(0.01), 60, args=args)
    meant = START.astype(np.float64)
    losses = []
    for step in range(60):
        losses.append((1 + 0.1 * step) * ((meant - 1) ** 2).sum())
        meant = meant - 0.01 * (1 + 0.1 * step) * 2 * (meant - 1)
    np.testing.assert_allclose(z, meant, atol=1e-5)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-4)


@pytest.mark.parametrize("every", [7, 20, 100])
def test_a_loss_told_less_often_is_that_of_the_last_step(every):
    told = []
    tell = lambda step, loss, z: told.append((step, loss))
    z, history = descend(steps=45, every=every, callbacks=[tell])
    whole, all_of_them = descend(steps=45)
    assert np.array_equal(z, whole)
    ends = [*range(every, 45, every), 45]
    assert [step for step, _ in told] == ends
    last = np.array(ends) - 1
    np.testing.assert_allclose(history.loss, all_of_them.loss[last], rtol=1e-6)
    assert [loss for _, loss in told] == history.loss.tolist()


def test_a_loss_told_less_often_still_says_at_which_step_it_broke():
    late = lambda step: jnp.where(step < 17, 1.0, jnp.nan)
    args = (late, jnp.ones(6))
    with pytest.raises(icon.DivergenceError, match="step 17") as said:
        icon.minimize(weighed, START, ADAM, 50, args=args, every=10)
    assert np.isfinite(said.value.partial).all()


def test_whoever_can_leave_a_value_out_is_told_when_it_is_looked_at():
    p = icon.graph(1 - np.eye(30, dtype=np.float32))
    start = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)

    def loss(z, p):
        return icon.kl(p, icon.interpolated(icon.student_t(z)), joint=True)

    rate = icon.gains(1.0)
    z, history = icon.minimize(loss, start, rate, 20, args=(p,), every=5)
    same, whole = icon.minimize(loss, start, rate, 20, args=(p,))
    assert np.array_equal(z, same)
    np.testing.assert_allclose(history.loss, whole.loss[4::5], rtol=1e-6)


class Ready:
    """Something that is made ready once, and then is an array."""

    times = 0

    def prepared(self):
        Ready.times += 1
        return jnp.ones(6)


def test_what_can_be_made_ready_is_made_ready_once():
    z, _ = icon.minimize(bowl, START, ADAM, 50, args=(Ready(),))
    assert Ready.times == 1
    assert np.array_equal(z, descend()[0])


def by_hand(slopes, eta, momentum=0.8, longest=5.0):
    """van der Maaten's update, coordinate by coordinate, in float64."""
    z = np.zeros((2, 2))
    speed, gain = np.zeros((2, 2)), np.ones((2, 2))
    for step, slope in enumerate(slopes):
        for i in range(2):
            for k in range(2):
                same = np.sign(speed[i, k]) == np.sign(slope[i, k])
                gain[i, k] = gain[i, k] * 0.8 + 0.01 if same else gain[i, k] + 0.2
                speed[i, k] = (
                    momentum * speed[i, k] - eta(step) * gain[i, k] * slope[i, k]
                )
            length = np.hypot(*speed[i])
            speed[i] = speed[i] * min(1, longest / length)
        z = z + speed
    return z


@pytest.mark.parametrize("eta", [0.3, 40.0, 1e30, rising])
def test_gains_are_those_of_t_sne(eta):
    slopes = np.random.default_rng(0).normal(size=(30, 2, 2))
    optimizer = icon.gains(eta)
    z = jnp.zeros((2, 2))
    state = optimizer.init(z)
    for slope in slopes:
        change, state = optimizer.update(jnp.asarray(slope, jnp.float32), state)
        z = z + change
    rate = eta if callable(eta) else lambda step: eta
    np.testing.assert_allclose(z, by_hand(slopes, rate), rtol=2e-4, atol=2e-4)


# ------------------------------------------------------- fit


X = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)


def error(w, batch, key):
    value = jnp.mean((batch @ w - 1) ** 2)
    return value, dict(noise=jax.random.normal(key), rows=jnp.sum(batch))


def feed(key, epoch):
    if epoch < 3:
        order = jax.random.permutation(key, 16)
        yield from (jnp.asarray(X)[order[at : at + 4]] for at in range(0, 16, 4))


def train(seed=0, batches=feed, loss=error, **options):
    w = jnp.zeros(3)
    return icon.fit(loss, w, batches, ADAM, jax.random.key(seed), **options)


def test_batches_until_there_are_none():
    w, history = train()
    assert len(history.loss) == len(history.metrics) == 12 and np.asarray(w).any()
    # every row is met once an epoch, in another order
    rows = np.array([m["rows"] for m in history.metrics]).reshape(3, 4)
    np.testing.assert_allclose(rows.sum(1), X.sum(), rtol=1e-4)
    assert len(np.unique(rows.round(3))) > 8
    # and every step has a key of its own
    assert len({float(m["noise"]) for m in history.metrics}) == 12


def test_the_key_decides_everything():
    one, two, other = train(0), train(0), train(1)
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1].loss, two[1].loss)
    assert not np.array_equal(one[0], other[0])


def test_fit_is_the_steps_one_would_write():
    w, state, losses = jnp.zeros(3), ADAM.init(jnp.zeros(3)), []
    root = jax.random.key(0)
    epochs = [jax.random.fold_in(jax.random.fold_in(root, 0), e) for e in range(3)]
    for batch in (b for e, k in enumerate(epochs) for b in feed(k, e)):
        (value, _), slope = jax.value_and_grad(error, has_aux=True)(w, batch, root)
        with jax.numpy_dtype_promotion("standard"):
            change, state = ADAM.update(slope, state)
        w = optax.apply_updates(w, change)
        losses.append(value)
    got, history = train()
    np.testing.assert_allclose(got, w, atol=1e-6)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-5)


def test_nothing_to_do():
    w, history = train(batches=lambda key, epoch: [])
    assert not np.asarray(w).any() and not len(history.loss) and history.state


def test_a_plain_number_will_do():
    _, history = train(loss=lambda *a: error(*a)[0])
    assert len(history.loss) == 12


@pytest.mark.parametrize("how", ["stop", "ctrl-c"])
def test_stopping_early(how):
    def callback(step, loss, w):
        if step == 5 and how == "ctrl-c":
            raise KeyboardInterrupt
        return step == 5

    w, history = train(callbacks=[callback])
    assert len(history.loss) == 5 and history.interrupted == (how == "ctrl-c")
    assert len(history.metrics) == 5 and np.isfinite(w).all()


def test_a_batch_may_interrupt():
    def interrupted(key, epoch):
        yield jnp.asarray(X)
        raise KeyboardInterrupt

    _, history = train(batches=interrupted)
    assert history.interrupted and len(history.loss) == 1


def test_fit_says_when_it_diverges():
    def poisoned(key, epoch):
        for t in range(5):
            yield jnp.asarray(X) if t != 3 else jnp.full((16, 3), jnp.nan)

    seen = []
    keep = lambda step, loss, w: seen.append(np.asarray(w).copy())
    with pytest.raises(icon.DivergenceError, match="step 3:") as said:
        train(batches=poisoned, callbacks=[keep])
    assert said.value.step == 3 and np.array_equal(said.value.partial, seen[-1])


def test_fit_leaves_what_it_was_given():
    params, batch = dict(w=jnp.ones(3)), jnp.asarray(X)
    loss = lambda p, batch, key: error(p["w"], batch, key)
    feed = lambda key, epoch: [batch] if epoch < 2 else []
    icon.fit(loss, params, feed, ADAM, jax.random.key(0))
    assert np.array_equal(params["w"], np.ones(3)) and np.array_equal(batch, X)
