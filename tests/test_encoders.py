"""Has each network the shapes of its docstring, and can all of it learn?"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from cases import slow
from jax import lax

import icon
from icon import encoders


@pytest.fixture(autouse=True)
def hostile():
    """No silent widening of types and no silent broadcasting."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def started(model, *x):
    """Parameters of the right shapes, without the seconds it takes to compile init."""
    rng = np.random.default_rng(0)
    fill = lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(leaf.dtype)
    return jax.tree.map(fill, jax.eval_shape(model.init, jr.key(0), *x))


def below(params):
    """The parameters of the MLP that a model begins with."""
    return {"params": params["params"]["MLP_0"]}


IMAGES = jr.normal(jr.key(0), (5, 8, 8))
TOKENS = jr.randint(jr.key(1), (5, 16), 0, 33)
MODELS = [
    (encoders.MLP((16, 6)), IMAGES, (5, 6)),
    (encoders.MLP([6]), IMAGES[:, 0], (5, 6)),
    (encoders.CNN((4, 8), 6), IMAGES, (5, 6)),
    (encoders.CNN((4,), 6), jr.normal(jr.key(0), (2, 7, 28)), (2, 6)),
    (encoders.CNN((4, 8), 6), jr.normal(jr.key(0), (5, 8, 9, 3)), (5, 6)),
    (encoders.Signals((4, 8), 6), jr.normal(jr.key(0), (5, 40)), (5, 6)),
    (encoders.Signals((4, 8, 8), 6), jr.normal(jr.key(0), (5, 1, 13)), (5, 6)),
    (encoders.Decoder((16, 64)), IMAGES, (5, 8, 64)),
    (encoders.ClusterHead(3, (16,)), IMAGES, (5, 3)),
    (encoders.TokenEncoder(32, 12, 1), TOKENS, (5, 16, 12)),
    (encoders.CausalEncoder(32, 12, 2), TOKENS, (5, 16, 12)),
]


@pytest.mark.parametrize("model, x, shape", MODELS)
def test_every_network_has_its_shape_and_uses_every_parameter(model, x, shape):
    cotangent = jr.normal(jr.key(2), shape)

    @jax.jit
    def both(params, x):
        z, vjp = jax.vjp(lambda p: model.apply(p, x), params)
        return z, vjp(cotangent)[0]

    params = started(model, x)
    z, gradient = both(params, x)
    assert z.shape == shape and z.dtype == jnp.float32
    for leaf in jax.tree.leaves(gradient):
        assert 0 < np.abs(leaf).max() < np.inf
    # A row does not depend on the rows beside it.
    mixed = jnp.concatenate([x[:1], x[:-1]])
    np.testing.assert_allclose(both(params, mixed)[0][1:], z[:-1], atol=1e-5)


def test_mlp_is_its_formula():
    x = IMAGES.reshape(5, -1)
    params = started(encoders.MLP((7, 3)), x)
    one, two = params["params"]["layers"].values()
    hidden = np.maximum(x @ one["kernel"] + one["bias"][None], 0)
    expected = hidden @ two["kernel"] + two["bias"][None]
    found = encoders.MLP((7, 3)).apply(params, IMAGES)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_windows_make_a_convolution():
    x, kernel = jr.normal(jr.key(0), (2, 6, 5, 3)), jr.normal(jr.key(1), (3, 3, 3, 4))
    expected = lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    found = encoders._windows(x) @ kernel.reshape(27, 4)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_grey_image_is_one_of_one_channel():
    model = encoders.CNN((4,), 6)
    params = started(model, IMAGES)
    one = model.apply(params, IMAGES[..., None])
    np.testing.assert_array_equal(model.apply(params, IMAGES), one)


def test_a_cnn_sees_colours():
    x = jr.normal(jr.key(0), (5, 8, 8, 3))
    model = encoders.CNN((4,), 6)
    params = started(model, x)
    kernel = params["params"]["Dense_0"]["kernel"]
    assert kernel.shape == (27, 4)  # of every channel of nine pixels
    swapped = model.apply(params, x[..., ::-1])
    assert not np.allclose(model.apply(params, x), swapped, atol=1e-2)


@pytest.mark.parametrize("shape", [(5, 8), (5, 8, 8, 3, 1), (5, 1, 8), (5, 8, 1, 3)])
def test_what_is_no_image_is_refused(shape):
    model = encoders.CNN((4,), 6)
    with pytest.raises(icon.InvalidInput) as error:
        jax.eval_shape(model.init, jr.key(0), jnp.zeros(shape))
    assert error.value.argument == "x"


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("length", [1, slow(2), 7, slow(8)])
def test_neighbors_of_a_signal_make_a_convolution_of_every_other_step(count, length):
    x = jr.normal(jr.key(0), (2, length, 3))
    kernel = jr.normal(jr.key(1), (count, 3, 4))
    expected = lax.conv_general_dilated(
        x, kernel, (2,), [(count // 2,) * 2], dimension_numbers=("NHC", "HIO", "NHC")
    )
    found = encoders._neighbors(x, count) @ kernel.reshape(count * 3, 4)
    assert found.shape == (2, (length + 1) // 2, 4)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_signal_is_its_formula():
    model, x = encoders.Signals((4,), 3), jr.normal(jr.key(0), (5, 11))
    params = started(model, x)
    part = params["params"]
    h = encoders._neighbors(x[..., None], 5) @ part["Dense_0"]["kernel"]
    h = np.maximum(np.asarray(h + part["Dense_0"]["bias"][None, None]), 0)
    both = np.concatenate([h.mean(1), h.max(1)], 1)
    expected = both @ part["Dense_1"]["kernel"] + part["Dense_1"]["bias"]
    np.testing.assert_allclose(model.apply(params, x), expected, atol=1e-4)
    line = model.apply(params, x[:, None])  # an image of one line
    np.testing.assert_array_equal(model.apply(params, x), line)


def test_a_signal_is_no_image_and_no_ids():
    model = encoders.Signals((4,), 3)
    for x in (jnp.zeros((5, 4, 4, 1)), jnp.zeros(5), jnp.zeros((5, 4), jnp.int32)):
        with pytest.raises(icon.InvalidInput) as error:
            jax.eval_shape(model.init, jr.key(0), x)
        assert error.value.argument == "x"


def test_memberships_are_a_softmax():
    model = encoders.ClusterHead(10, (7,))
    params = started(model, IMAGES)
    logits = encoders.MLP((7, 10)).apply(below(params), 10 * IMAGES)
    m = model.apply(params, 10 * IMAGES)
    np.testing.assert_allclose(m, jax.nn.softmax(logits, -1), atol=1e-6)
    np.testing.assert_allclose(m.sum(-1), 1, atol=1e-6)


def test_prototypes_start_near_length_1():
    model = encoders.Prototypes(7, 400)
    points = model.apply(model.init(jr.key(0)))
    assert points.shape == (7, 400)
    np.testing.assert_allclose(jnp.linalg.norm(points, axis=-1), 1, atol=0.15)
    assert not np.allclose(points, model.apply(model.init(jr.key(1))))


def test_posterior_is_a_mean_and_a_positive_deviation():
    model = encoders.Posterior(2, (16,))
    params = started(model, IMAGES)
    apply = jax.jit(model.apply)
    mean, std = apply(params, IMAGES)
    raw = encoders.MLP((16, 4)).apply(below(params), IMAGES)
    np.testing.assert_allclose(mean, raw[:, :2], atol=1e-5)
    np.testing.assert_allclose(std, np.logaddexp(0, raw[:, 2:]) + 1e-4, rtol=1e-5)
    # Far away both signs of the raw output occur: the floor holds, and large
    # deviations stay linear in it.
    far = apply(params, 1e4 * IMAGES)[1]
    assert far.min() == pytest.approx(1e-4, rel=1e-3) and 1e2 < far.max() < np.inf


def test_a_token_depends_on_the_others_and_on_its_position():
    model = encoders.TokenEncoder(32, 16, 1)
    params, apply = started(model, TOKENS), jax.jit(model.apply)
    change = TOKENS.at[:, 3].set((TOKENS[:, 3] + 1) % 33)
    moved = jnp.abs(apply(params, change) - apply(params, TOKENS))
    assert (moved.max((0, 2)) > 1e-4).all()
    alike = apply(params, jnp.full((5, 16), 32))
    assert not np.allclose(alike[0, 0], alike[0, 1], atol=1e-2)


def test_token_encoder_mixes_as_often_as_asked():
    shapes = lambda n: jax.eval_shape(
        encoders.TokenEncoder(32, 8, n).init, jr.key(0), TOKENS
    )
    count = lambda n: sum(leaf.size for leaf in jax.tree.leaves(shapes(n)))
    assert count(3) - count(2) == count(2) - count(1) > 0


@pytest.mark.parametrize("given", [list, np.longdouble, ">f4"], ids=str)
def test_rows_may_be_any_array(given):
    x = np.ones((4, 3), np.float32)
    other = x.tolist() if given is list else x.astype(given)
    for model in (encoders.MLP((2,)), encoders.Decoder((2,))):
        params = model.init(jax.random.key(0), x)
        assert (model.apply(params, other) == model.apply(params, x)).all()
