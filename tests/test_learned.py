"""Do learned numbers stay where they belong, and do batches fit that did not?"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import icon


# ------------------------------------------------------- numbers above zero


def test_a_number_is_learned_by_its_logarithm():
    t = icon.positive(0.07)
    assert jax.tree.leaves(t) == [t.log] and np.isclose(t.value, 0.07)
    slope = jax.grad(lambda t: t.value**2)(t)
    np.testing.assert_allclose(slope.log, 2 * 0.07**2, rtol=1e-6)  # d/dlog = t d/dt


@pytest.mark.parametrize("bound, outward", [(0.01, 1.0), (100.0, -1.0)])
def test_at_a_bound_only_the_way_back_is_felt(bound, outward):
    beyond = icon.positive(bound)
    beyond = type(beyond)(beyond.log - outward * 0.5, beyond.low, beyond.high)
    assert np.isclose(beyond.value, bound)
    out = jax.grad(lambda t: outward * t.value)(beyond).log
    back = jax.grad(lambda t: -outward * t.value)(beyond).log
    assert out == 0 and np.isclose(back, -outward * bound)


@pytest.mark.parametrize("bound, outward", [(0.01, 1.0), (100.0, -1.0)])
def test_on_a_bound_it_is_the_same(bound, outward):
    t = icon.positive(bound)
    assert jax.grad(lambda t: outward * t.value)(t).log == 0
    assert jax.grad(lambda t: -outward * t.value)(t).log != 0


@pytest.mark.parametrize("rate", [0.01, 1.0])
def test_it_drifts_no_further_and_comes_back(rate):
    def walk(t, loss, steps):
        optimizer = optax.sgd(rate)
        state = optimizer.init(t)
        for _ in range(steps):
            change, state = optimizer.update(jax.grad(loss)(t), state, t)
            t = optax.apply_updates(t, change)
        return t

    t = walk(icon.positive(0.02), lambda t: jnp.log(t.value), 200)
    assert np.isclose(t.value, 0.01)
    assert float(walk(t, lambda t: -jnp.log(t.value), 3).value) > 0.01


NUMBERS = {
    "temperature": lambda z, t: icon.cosine(z, temperature=t),
    "scale": lambda z, t: icon.gaussian(z, scale=t),
    "dof": lambda z, t: icon.student_t(z, dof=t),
    "alpha": lambda z, t: icon.smooth(icon.cosine(z), t / 10),
}


@pytest.mark.parametrize("block", [None, 5])
@pytest.mark.parametrize("name", NUMBERS)
def test_any_number_of_a_loss_is_learned(name, block):
    z, ids = jax.random.normal(jax.random.key(0), (30, 3)), jnp.arange(30) // 3

    def loss(t):
        return icon.kl(icon.same(ids), NUMBERS[name](z, t.value), block=block)

    t, history = icon.minimize(loss, icon.positive(1.0), optax.adam(0.05), 50)
    assert history.loss[-1] < history.loss[0] - 1e-4 and not np.isclose(t.value, 1)


# ------------------------------------------------------- batches beyond an encoder


def encode(params, batch):
    x, key = batch
    noise = jax.vmap(lambda key: jax.random.normal(key, (6,)))(key)
    return dict(z=jnp.tanh((x + 0.1 * noise) @ params["w"]) @ params["v"])


def contrast(embedding, ids):
    q = icon.cosine(embedding["z"], temperature=0.3)
    return icon.kl(icon.same(ids), q)


def material(n):
    key = jax.random.key(0)
    x = jax.random.normal(key, (n, 6))
    w, v = jax.random.normal(key, (6, 64)), jax.random.normal(key, (64, 4))
    return dict(w=w, v=v), (x, jax.random.split(key, n)), jnp.arange(n) // 2


@pytest.mark.parametrize("block", [1, 7, 16, 50, 1000])
def test_a_batch_in_blocks_has_the_gradient_of_the_whole(x64, block):
    params, batch, ids = material(50)
    whole = jax.value_and_grad(lambda p: contrast(encode(p, batch), ids))(params)
    cached = icon.grad_cache(encode, contrast, block)
    few = jax.value_and_grad(lambda p: cached(p, batch, ids))(params)
    for one, two in zip(*map(jax.tree.leaves, (whole, few)), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-10, atol=1e-12)


def test_a_block_is_encoded_twice_and_never_all_of_them():
    params, batch, ids = material(48)
    loss = icon.grad_cache(encode, contrast, 8)
    text = str(jax.make_jaxpr(jax.grad(loss))(params, batch, ids))
    seen = re.findall(r":f32\[(\d+),64\] = tanh", text)
    assert seen == ["8", "8"]


def test_what_is_held_is_a_block_of_activations():
    def wide(w, x):
        return jnp.tanh(jnp.tanh(x @ w) @ w) @ w[:, :8]

    def held(loss):
        w, x = (jax.ShapeDtypeStruct((n, 512), jnp.float32) for n in (512, 8192))
        compiled = jax.jit(jax.grad(loss)).lower(w, x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    simple = lambda z: icon.kl(icon.same(jnp.arange(len(z)) // 2), icon.dot(z))
    at_once = held(lambda w, x: simple(wide(w, x)))
    few = held(icon.grad_cache(wide, simple, 64))
    assert few < at_once * 0.75


@pytest.mark.parametrize("block", [3, 4])
@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_blocks_of_a_batch_that_is_on_a_mesh(kind, block):
    axes = (getattr(jax.sharding.AxisType, kind),)
    mesh = jax.make_mesh((1,), ("data",), axis_types=axes)
    put = lambda x, *spec: jax.device_put(
        x, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
    )
    x, ids = jax.random.normal(jax.random.key(0), (8, 4)), jnp.arange(8) // 2
    slow = lambda w, x: jnp.tanh(x @ w)
    loss = lambda z, ids: icon.kl(icon.same(ids), icon.cosine(z))
    whole = jax.grad(lambda w: loss(slow(w, x), ids))(jnp.eye(4))
    with jax.set_mesh(mesh):
        spread = put(jnp.eye(4), None, None), put(x, "data", None), put(ids, "data")
        few = jax.jit(jax.grad(icon.grad_cache(slow, loss, block)))(*spread)
    np.testing.assert_allclose(few, whole, atol=1e-6)
