"""Do batches fit that did not, with the gradient of the whole?"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow

import icon


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


@pytest.mark.parametrize("block", [slow(1), 7, slow(16), 50, slow(1000)])
def test_a_batch_in_blocks_has_the_gradient_of_the_whole(x64, block):
    params, batch, ids = material(50)
    whole = lambda params, batch, ids: contrast(encode(params, batch), ids)
    both = [
        jax.jit(jax.value_and_grad(loss))(params, batch, ids)
        for loss in (whole, icon.grad_cache(encode, contrast, block))
    ]
    for one, two in zip(*map(jax.tree.leaves, both), strict=True):
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
    whole = held(lambda w, x: simple(wide(w, x)))
    assert held(icon.grad_cache(wide, simple, 64)) < whole * 0.75


@pytest.mark.slow
@pytest.mark.parametrize("block", [3, 4])
@pytest.mark.parametrize("axis_type", ["Auto", "Explicit"])
def test_blocks_of_a_batch_that_is_on_a_mesh(axis_type, block):
    axes = (getattr(jax.sharding.AxisType, axis_type),)
    mesh = jax.make_mesh((1,), ("data",), axis_types=axes)
    put = lambda x, *spec: jax.device_put(
        x, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
    )
    x, ids = jax.random.normal(jax.random.key(0), (8, 4)), jnp.arange(8) // 2
    encode = lambda w, x: jnp.tanh(x @ w)
    loss = lambda z, ids: icon.kl(icon.same(ids), icon.cosine(z))
    whole = jax.jit(jax.grad(lambda w: loss(encode(w, x), ids)))(jnp.eye(4))
    with jax.set_mesh(mesh):
        spread = put(jnp.eye(4), None, None), put(x, "data", None), put(ids, "data")
        blocks = jax.jit(jax.grad(icon.grad_cache(encode, loss, block)))(*spread)
    np.testing.assert_allclose(blocks, whole, atol=1e-6)
