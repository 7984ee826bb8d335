"""Is a Flax module trained as a loop of one's own trains it, and left as it was?"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import icon


SGD = optax.sgd(0.1, momentum=0.9)
X = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)


def feed(key, epoch):
    return [X[:8], X[8:], X[:6]] if epoch < 2 else []


class Net(nnx.Module):
    """Every kind of state: parameters, statistics, counts and keys."""

    def __init__(self, seed=0):
        rngs = nnx.Rngs(seed)
        self.first = nnx.Linear(3, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        return self.last(self.drop(nnx.relu(self.norm(self.first(x)))))


def error(model, batch, key):
    return jnp.mean((model(batch) - 1) ** 2), dict(mean=jnp.mean(model.norm.mean[...]))


def train(loss, params, **options):
    return icon.fit(loss, params, feed, SGD, jax.random.key(0), **options)


def numbers(tree):
    """Every number of a tree, keys among them."""
    is_key = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    data = lambda x: np.asarray(jax.random.key_data(x) if is_key(x) else x)
    return [data(x) for x in jax.tree.leaves(tree)]


def same(one, other, **close):
    one, other = numbers(one), numbers(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, **close or dict(rtol=0, atol=0))


def by_hand(ema=0.9):
    """The loop that a user of flax would write."""
    model, losses = Net(), []
    optimizer = nnx.Optimizer(model, SGD, wrt=nnx.Param)
    averaged = jax.tree.map(jnp.array, nnx.state(model, nnx.Param))

    @nnx.jit
    def step(model, optimizer, batch):
        differentiated = nnx.value_and_grad(error, has_aux=True)
        (value, metrics), gradient = differentiated(model, batch, None)
        with jax.numpy_dtype_promotion("standard"):
            optimizer.update(model, gradient)
        return value, metrics

    for batch in [*feed(None, 0), *feed(None, 1)]:
        losses.append(step(model, optimizer, batch))
        mean = lambda a, x: ema * a + (1 - ema) * x
        averaged = jax.tree.map(mean, averaged, nnx.state(model, nnx.Param))
    return model, averaged, losses


def test_a_module_is_trained_as_by_a_loop_of_ones_own():
    given = Net()
    before = numbers(nnx.state(given))
    seen = []
    keep = lambda step, loss, model: seen.append(model)
    model, history = train(error, given, ema=0.9, callbacks=[keep])
    expected, averaged, losses = by_hand()
    close = dict(rtol=1e-4, atol=1e-5)
    same(nnx.state(model), nnx.state(expected), **close)
    same(nnx.state(history.averaged, nnx.Param), averaged, **close)
    np.testing.assert_allclose(history.loss, [x for x, _ in losses], rtol=1e-4)
    same(list(history.metrics), [x for _, x in losses], **close)
    assert isinstance(history.averaged, Net) and isinstance(model, Net)
    # statistics and counts have moved on, and what was given has not
    assert model.drop.rngs.count[...] == 6 and np.any(model.norm.mean[...])
    same(before, numbers(nnx.state(given)))
    assert len(seen) == 6 and all(isinstance(x, Net) for x in seen)
    same(nnx.state(seen[-1]), nnx.state(model))
    assert seen[-1] is not model and seen[0] is not seen[1]


@pytest.mark.slow
def test_modules_and_arrays_are_trained_together():
    def loss(params, batch, key):
        return error(params["net"], batch * params["scale"][None], key)

    given = dict(net=Net(), scale=jnp.ones(3))
    params, history = train(loss, given)
    assert isinstance(params["net"], Net) and not np.array_equal(
        params["scale"], [1] * 3
    )
    assert params["net"].drop.rngs.count[...] == 6 and len(history.loss) == 6
    assert not np.array_equal(params["net"].last.bias[...], given["net"].last.bias[...])
    assert np.array_equal(given["scale"], np.ones(3))


def test_one_program_for_equal_modules_and_a_loss_may_switch_them():
    traces = []

    def loss(model, batch, key):
        traces.append(0)
        model.train()
        return error(model, batch, key)

    for seed in (0, 1):
        given = Net(seed)
        given.eval()
        model, _ = train(loss, given)
        assert model.drop.deterministic and model.drop.rngs.count[...] == 6
    assert len(traces) == 2  # of batches of 8 and of 6


def test_the_last_good_result_is_a_module():
    batches = lambda key, epoch: [X, X, np.full_like(X, np.nan)]
    with pytest.raises(icon.DivergenceError, match="step 2:") as raised:
        icon.fit(error, Net(), batches, SGD, jax.random.key(0))
    partial = raised.value.partial
    assert isinstance(partial, Net) and partial.drop.rngs.count[...] == 2
    assert all(np.isfinite(x).all() for x in numbers(nnx.state(partial)))


@pytest.mark.slow
def test_what_a_layer_notes_down_of_a_batch_does_not_stay():
    class Noting(Net):
        def __call__(self, x):
            self.sow(nnx.Intermediate, "seen", x)
            return super().__call__(x)

    given, noted = (
        Noting(),
        lambda model: jax.tree.leaves(nnx.state(model, nnx.Intermediate)),
    )
    with pytest.warns(DeprecationWarning, match="sow"):
        given(X)
        model, history = train(error, given)
    assert len(history.loss) == 6 and noted(given) and not noted(model)


def test_a_module_that_becomes_another_is_refused():
    def changing(model, batch, key):
        value = error(model, batch, key)
        model.norm.mean = nnx.BatchStat(jnp.zeros(5))
        return value

    with pytest.raises(icon.InvalidInput, match="norm.*mean.*4.*5") as raised:
        train(changing, Net())
    assert raised.value.argument == "loss"


def test_an_average_is_a_module_the_loss_can_look_at():
    def loss(model, batch, key, averaged):
        target = averaged(batch)
        return jnp.mean((model(batch) - 1 - target) ** 2)

    model, history = train(loss, Net(), ema=0.5)
    # the average has its own copy of counts: they move once a step
    assert model.drop.rngs.count[...] == 6 == history.averaged.drop.rngs.count[...]


# ------------------------------------------------------- what linen keeps apart


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=False, momentum=0.9)(nn.Dense(4)(x))
        return nn.Dense(2)(nn.relu(x))


@pytest.mark.slow
def test_batch_statistics_of_linen_are_carried():
    model = Linen()
    variables = model.init(jax.random.key(0), X)

    def loss(params, batch, key, carried):
        state = dict(params=params, batch_stats=carried)
        out, changed = model.apply(state, batch, mutable=["batch_stats"])
        return jnp.mean((out - 1) ** 2), changed["batch_stats"]

    params, stats = variables["params"], variables["batch_stats"]
    got, history = train(loss, params, carried=stats)
    assert history.metrics == [None] * 6
    state, step = SGD.init(params), jax.jit(jax.value_and_grad(loss, has_aux=True))
    for batch in [*feed(None, 0), *feed(None, 1)]:
        (_, stats), gradient = step(params, batch, None, stats)
        with jax.numpy_dtype_promotion("standard"):
            change, state = SGD.update(gradient, state)
        params = optax.apply_updates(params, change)
    same(got, params, rtol=1e-4, atol=1e-5)
    same(history.carried, stats, rtol=1e-4, atol=1e-5)
    assert np.any(jax.tree.leaves(variables["batch_stats"])[0] != numbers(stats)[0])
