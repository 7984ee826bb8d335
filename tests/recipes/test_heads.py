"""Do heads follow the gradient of the clustering cell, each its own?"""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import slow, soon
from interpreter import interpret

import icon
from icon.recipes import clustering, heads
from icon.recipes.cut import cut


RNG = np.random.default_rng(0)
N, C = 60, 3
TRUTH = np.arange(N) % C
X = (4 * np.eye(C, 4)[TRUTH] + RNG.normal(size=(N, 4))).astype(np.float32)
P = icon.self_tuning(*icon.knn(X, 8))
WRONG = np.where(RNG.random(N) < 0.3, RNG.integers(C, size=N), TRUTH)


def start(kind, labels=WRONG, seed=0):
    return heads.HEADS[kind].start(X, labels, C, np.random.default_rng(seed))


def plain(kind, verb, alpha_q, alpha_p, params):
    """The loss of a head, from dense rows of p and q, as the papers have it."""
    phi = jax.nn.softmax(heads.HEADS[kind].logits(params, jnp.asarray(X)))
    q = (phi / jnp.sum(phi, 0)[None]) @ phi.T
    q = (1 - alpha_q) * q + alpha_q / N
    p = icon.dense(P)
    p = (1 - alpha_p) * p + alpha_p / (N - 1) * (1 - jnp.eye(N))
    some = p > 0
    p, q = jnp.where(some, p, 1), jnp.where(some, q, 1)
    m = (p + q) / 2
    each = dict(
        kl=p * jnp.log(p / q),
        tv=jnp.maximum(p - q, 0),
        hellinger=p - jnp.sqrt(p * q),
        jsd=(p * jnp.log(p / m) + q * jnp.log(q / m) + (p - q) * np.log(2)) / 2,
    )
    return jnp.sum(jnp.where(some, each[verb], 0)) / N


@pytest.mark.parametrize("kind", soon(heads.HEADS, "linear"))
@pytest.mark.parametrize("alpha_p", [slow(0.0), 0.3])
@pytest.mark.parametrize("verb", heads.DIVERGENCES)
def test_the_objective_is_the_cell(kind, verb, alpha_p):
    objective = heads.Objective(
        heads.HEADS[kind].logits, heads.DIVERGENCES[verb], debiases_p=alpha_p > 0
    )
    alpha = heads.Debiasing(jnp.float32(0.6), jnp.float32(alpha_p))
    params = start(kind)
    loss = lambda params: objective.of(params, P.prepared(), X, alpha, None)
    expected = lambda params: plain(kind, verb, 0.6, alpha_p, params)
    got, gradient = interpret(jax.value_and_grad(loss), params)
    value, slope = interpret(jax.value_and_grad(expected), params)
    np.testing.assert_allclose(got, value, rtol=2e-5)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(slope), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-6)


def test_drawn_rows_stand_for_all_without_bias():
    logits = heads.HEADS["linear"].logits
    every = heads.Objective(logits, debiases_p=True)
    some = heads.Objective(logits, samples=5, debiases_p=True)
    alpha, params, p = heads.Debiasing(0.6, 0.4), start("linear"), P.prepared()
    draw = jax.jit(lambda key: some.of(params, p, X, alpha, key))
    found = [float(draw(jax.random.key(k))) for k in range(400)]
    exact = float(every.of(params, p, X, alpha, None))
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - exact) < 4 * error + 1e-4


@pytest.mark.slow
def test_side_by_side_is_one_by_one():
    starts = [start("linear"), start("linear", TRUTH), start("linear", (TRUTH + 1) % C)]
    objective, p = heads.Objective(heads.HEADS["linear"].logits), P.prepared()
    together, losses = heads.trained(objective, starts, p, X, steps=10)
    for one, after, loss in zip(starts, together, losses, strict=True):
        (alone,), (value,) = heads.trained(objective, [one], p, X, steps=10)
        np.testing.assert_allclose(after["linear"], alone["linear"], atol=2e-3)
        assert value == pytest.approx(loss, abs=1e-5)


SPREAD = """
import jax
jax.config.update("jax_num_cpu_devices", 8)
import jax.numpy as jnp, numpy as np, icon
from icon.recipes import clustering, heads
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
rng = np.random.default_rng(0)
x = np.float32(rng.normal(size=(64, 4)) + 4 * np.eye(3, 4)[np.arange(64) % 3])
p = icon.self_tuning(*icon.knn(x, 8)).prepared()
kind = heads.HEADS["linear"]
start = kind.start(x, rng.integers(3, size=64), 3, rng)
mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
spread = jax.device_put(x, NamedSharding(mesh, P("data")))
assert len(spread.sharding.device_set) == 8
found = [heads.trained(heads.Objective(kind.logits), [start], p, rows, steps=5)
         for rows in (x, spread)]
gap = jax.tree.map(lambda a, b: float(jnp.max(jnp.abs(a - b))), *(f[0] for f in found))
print(max(jax.tree.leaves(gap)), abs(found[0][1] - found[1][1]).max())
"""


@pytest.mark.slow
def test_features_over_a_mesh_give_the_same_head():
    done = subprocess.run(
        [sys.executable, "-c", SPREAD], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    parameters, loss = map(float, done.stdout.split())
    assert parameters < 1e-3 and loss < 1e-5


@pytest.mark.slow
def test_a_step_is_adams():
    params, p = start("linear"), P.prepared()
    objective = heads.Objective(heads.HEADS["linear"].logits)
    loss = lambda params: plain("linear", "kl", 0.6, 0.0, params)
    adam = optax.adam(optax.cosine_decay_schedule(0.1, 3))
    state, expected = adam.init(params), params
    for _ in range(3):
        gradient = jax.grad(loss)(expected)
        with jax.numpy_dtype_promotion("standard"):  # optax counts in integers
            update, state = adam.update(gradient, state)
        expected = optax.apply_updates(expected, update)
    (found,), _ = heads.trained(objective, [params], p, X, steps=3)
    np.testing.assert_allclose(found["linear"], expected["linear"], atol=1e-2)


@pytest.mark.parametrize("kind", soon(heads.HEADS, "mlp"))
def test_heads_mend_labels_that_are_wrong(kind):
    objective = heads.Objective(heads.HEADS[kind].logits)
    options = dict(steps=60, rate=heads.HEADS[kind].rate)
    (found,), _ = heads.trained(objective, [start(kind)], P.prepared(), X, **options)
    labels = heads.Classifier(kind, found, np.arange(C)).probabilities(X).argmax(1)
    by = cut(P, C, 0.6)
    assert by.loss(labels) < by.loss(WRONG)
    assert icon.evaluate.ari(TRUTH, labels) > icon.evaluate.ari(TRUTH, WRONG) + 0.2


def test_a_classifier_learns_what_is_agreed_on():
    sure = np.where(WRONG == TRUTH, 1.0, 0.0).astype(np.float32)
    taught = heads.taught(X, WRONG, sure, C, 0)
    found = taught.probabilities(X)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert (found.argmax(1) == TRUTH).mean() > 0.95
    assert (taught.probabilities(X[:7]) == found[:7]).all()
    assert (taught.labels(X) == found.argmax(1)).all()
    order = np.array([2, 0, 1])
    assert (taught.reordered(order).probabilities(X) == found[:, order]).all()


# ------------------------------------------------------- batches


def with_sizes(logits, share, decay, alpha=0.6):
    """The loss of free memberships and its gradient, n_c a running mean, by NumPy.

    The gradient of n_c is that of the batch's sum.
    """
    phi = np.exp(logits.astype(np.float64))
    phi /= phi.sum(1, keepdims=True)
    size = decay * N * share + (1 - decay) * phi.sum(0)
    p = np.asarray(icon.dense(P), np.float64)
    q = (1 - alpha) * (phi / size) @ phi.T + alpha / N
    some, ratio = p > 0, (1 - alpha) * p / q / N
    loss = (p[some] * np.log(p[some] / q[some])).sum() / N
    slope = -(ratio + ratio.T) @ phi / size
    slope += np.einsum("ij,ic,jc->c", ratio, phi, phi) / size**2
    return loss, phi * (slope - (phi * slope).sum(1, keepdims=True))


def free_loss(logits, sizes, p=P):
    objective = heads.Objective(heads.HEADS["free"].logits)
    of = lambda logits: objective.of(logits, p.prepared(), X, ALPHA, None, sizes)
    return interpret(jax.value_and_grad(of), jnp.asarray(logits))


LOGITS = RNG.normal(size=(N, C)).astype(np.float32)
SHARE = np.array([0.1, 0.2, 0.7])
ALPHA = heads.Debiasing(jnp.float32(0.6))


@pytest.mark.parametrize("decay", [0.0, 0.4, 0.95])
def test_the_sizes_of_a_batch_are_a_running_mean(decay):
    sizes = heads.Sizes(jnp.asarray(SHARE), jnp.float32(decay))
    loss, gradient = free_loss(LOGITS, sizes)
    expected, slope = with_sizes(LOGITS, SHARE, decay)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-3, atol=1e-7)
    phi = np.asarray(jax.nn.softmax(LOGITS))
    after = heads.Sizes(SHARE, decay).after(phi)
    mean = decay * SHARE + (1 - decay) * np.float64(phi).mean(0)
    np.testing.assert_allclose(after, mean, rtol=1e-6)


def test_a_batch_of_all_rows_has_the_sizes_of_all():
    share = jnp.mean(jax.nn.softmax(LOGITS), 0)
    whole, slope = free_loss(LOGITS, None)
    assert clustering.decay(N, N, C) == 0
    for decay in (0.0, 0.8):
        loss, gradient = free_loss(LOGITS, heads.Sizes(share, jnp.float32(decay)))
        np.testing.assert_allclose(loss, whole, rtol=1e-6)
        np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-7)


def test_clusters_that_are_counted_otherwise_keep_their_sizes():
    unsure = jax.tree.map(lambda w: w / heads.SHARP, start("linear"))
    begun, turned = (
        heads.Classifier("linear", unsure, np.arange(C)),
        np.array([2, 0, 1]),
    )
    after = lambda begun, share, decay: heads.continued(
        begun, P, X, 0.6, heads.Sizes(share, decay)
    ).probabilities(X)
    plain = after(begun, SHARE, 0.9)
    other = after(begun.reordered(turned), SHARE[turned], 0.9)
    np.testing.assert_allclose(other, plain[:, turned], atol=1e-6)
    assert abs(after(begun, SHARE, 0.0) - plain).max() > 1e-3
    assert plain.mean(0)[2] > after(begun, SHARE[::-1], 0.9).mean(0)[2]


@pytest.mark.parametrize(
    ("rows", "seen", "count", "expected"),
    [(256, 320, 10, 0.2), (256, 10**6, 10, 1 - 256 / 500), (1024, 10**6, 10, 0.0)],
)
def test_the_running_mean_reaches_back_fifty_rows_a_cluster(
    rows, seen, count, expected
):
    assert clustering.decay(rows, seen, count) == pytest.approx(expected)


def test_a_batch_continues_where_the_last_one_ended():
    taught = heads.taught(X, TRUTH, np.ones(N, np.float32), C, 0)
    moved = X @ np.linalg.qr(np.eye(4) + 0.15 * RNG.normal(size=(4, 4)))[0]
    moved = moved.astype(np.float32)
    p = icon.self_tuning(*icon.knn(moved, 8))
    sizes = heads.Sizes(np.ones(C) / C, 0.5)
    after = heads.continued(taught, p, moved, 0.6, sizes)
    cell = lambda c: icon.kl(p, icon.smooth(icon.clusters(c.probabilities(moved)), 0.6))
    assert cell(after) < cell(taught)
