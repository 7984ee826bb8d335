"""Do threads that run at once get what each gets alone?"""

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import icon


IDS = np.array([0, 0, 1, 1, 2, 2])
Z = np.random.default_rng(0).normal(size=(6, 3))
ROUNDS = 3


def laplace_by_tv(z):
    return icon.tv(icon.gaussian(z), icon.laplace(z))


def jointly(z):
    return icon.kl(icon.same(IDS), icon.student_t(z), joint=True)


def in_strips(z):
    return icon.kl(icon.smooth(icon.same(IDS), 0.2), icon.cosine(z), block=2)


def both_ways(z):
    return icon.both_ways(icon.kl)(icon.same(IDS, IDS), icon.dot(z, 2 * z))


LOSSES = laplace_by_tv, jointly, in_strips, both_ways
DTYPES = jnp.float32, jnp.bfloat16
TASKS = [*zip(LOSSES, 2 * DTYPES, strict=True)]


def answer(loss, dtype):
    """Value and gradient, under a jit of its own."""
    f = jax.jit(jax.value_and_grad(lambda z: loss(z)))
    return jax.tree.map(np.asarray, f(jnp.asarray(Z, dtype)))


def at_once(*jobs):
    """What the jobs return, each in a thread of its own, begun together."""
    barrier = threading.Barrier(len(jobs), timeout=60)

    def begin(job):
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [x.result() for x in [pool.submit(begin, job) for job in jobs]]


def test_losses_and_gradients_are_those_of_one_thread():
    together = at_once(*(lambda task=task: answer(*task) for task in TASKS))
    alone = [answer(*task) for task in TASKS]
    jax.tree.map(np.testing.assert_array_equal, together, alone)


def test_a_dtype_of_one_thread_is_not_that_of_the_others():
    def of(x64):
        with jax.enable_x64(x64):
            return [answer(jointly, None)[0].dtype for _ in range(ROUNDS)]

    wide, narrow = at_once(lambda: of(True), lambda: of(False))
    assert set(wide) == {np.dtype("float64")}
    assert set(narrow) == {np.dtype("float32")}


def test_one_thread_that_is_deterministic_leaves_the_others_as_they_are():
    """A divergence is refused in that thread alone, while both are within their own."""
    inside, asked = (threading.Barrier(3, timeout=60) for _ in range(2))

    def refused() -> bool:
        try:
            jax.eval_shape(laplace_by_tv, Z)
        except icon.InvalidInput as error:
            assert error.argument == "deterministic"
            return True
        return False

    def of(context) -> bool:
        with context:
            inside.wait()  # every thread is in its context
            found = refused()
            asked.wait()  # and none has left it
        assert not refused()
        return found

    jobs = icon.deterministic(), icon.deterministic(False), icon.deterministic(True)
    found = at_once(*(lambda context=context: of(context) for context in jobs))
    assert found == [True, False, True]


def test_deterministic_is_not_inherited_and_not_left_behind():
    with icon.deterministic():
        (inherited,) = at_once(lambda: icon.tv(icon.same(IDS), icon.dot(Z)))
        with pytest.raises(icon.InvalidInput):
            icon.tv(icon.same(IDS), icon.dot(Z))
    assert float(inherited) == float(icon.tv(icon.same(IDS), icon.dot(Z)))
