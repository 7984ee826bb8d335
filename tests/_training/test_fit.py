"""Is a training the steps one would write, on one device, on many, in processes?"""

import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import icon
from icon import data


ADAM = optax.adam(0.1)
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
    # every row is seen once an epoch, in another order
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
    differentiated = jax.jit(jax.value_and_grad(error, has_aux=True))
    for batch in (b for e, k in enumerate(epochs) for b in feed(k, e)):
        (value, _), gradient = differentiated(w, batch, root)
        with jax.numpy_dtype_promotion("standard"):
            change, state = ADAM.update(gradient, state)
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
    with pytest.raises(icon.DivergenceError, match="step 3:") as error:
        train(batches=poisoned, callbacks=[keep])
    assert error.value.step == 3 and np.array_equal(error.value.partial, seen[-1])


def broken(w, batch, key):
    """A number, whose gradient is none where w is not 0."""
    return jnp.sum(w) + jnp.sqrt(jnp.where(w[0] == 0, 1, 0 * w[0]))


def test_a_gradient_that_is_not_finite_is_no_result_even_of_the_last_batch():
    for count in (2, 5):
        batches = lambda key, epoch, count=count: [X] * count if epoch == 0 else []
        seen = []
        keep = lambda step, loss, w, seen=seen: seen.append(np.asarray(w))
        with pytest.raises(icon.DivergenceError, match="step 2:") as error:
            train(batches=batches, loss=broken, callbacks=[keep])
        assert np.array_equal(error.value.partial, seen[0]) and len(seen) == 1


def test_fit_leaves_what_it_was_given():
    params, batch = dict(w=jnp.ones(3)), jnp.asarray(X)
    loss = lambda p, batch, key: error(p["w"], batch, key)
    feed = lambda key, epoch: [batch] if epoch < 2 else []
    icon.fit(loss, params, feed, ADAM, jax.random.key(0))
    assert np.array_equal(params["w"], np.ones(3)) and np.array_equal(batch, X)


# ------------------------------------------------------- carried, and averaged


def test_what_the_loss_carries_goes_from_step_to_step():
    def counting(w, batch, key, carried):
        value, metrics = error(w, batch, key)
        return value, dict(n=carried["n"] + 1, key=carried["key"]), metrics

    given = dict(n=0, key=jax.random.key(5))
    w, history = train(loss=counting, carried=given)
    assert history.carried["n"] == 12 and history.carried["n"].dtype == jnp.int32
    assert history.carried["key"] == given["key"] and given["n"] == 0
    assert len(history.metrics) == 12 and np.array_equal(w, train()[0])
    two = lambda w, batch, key, carried: counting(w, batch, key, carried)[:2]
    _, history = train(loss=two, carried=given)
    assert history.metrics == [None] * 12 and history.carried["n"] == 12


def test_the_average_is_that_of_a_loop_and_a_target_without_a_gradient():
    def distilled(w, batch, key, averaged):
        return jnp.mean((batch @ w - 1 - 0.5 * (batch @ averaged)) ** 2)

    seen = []
    keep = lambda step, loss, w: seen.append(w)
    _, history = train(loss=distilled, ema=0.8, callbacks=[keep])
    w, a, state = jnp.zeros(3), jnp.zeros(3), ADAM.init(jnp.zeros(3))
    differentiated = jax.jit(jax.grad(distilled))
    epochs = (
        jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 0), e)
        for e in range(3)
    )
    for batch in (b for e, k in enumerate(epochs) for b in feed(k, e)):
        gradient = differentiated(w, batch, None, a)
        with jax.numpy_dtype_promotion("standard"):
            change, state = ADAM.update(gradient, state)
        w = optax.apply_updates(w, change)
        a = 0.8 * a + (1 - 0.8) * w
    np.testing.assert_allclose(seen[-1], w, atol=1e-5)
    np.testing.assert_allclose(history.averaged, a, atol=1e-5)


def test_an_average_of_another_decay_is_no_other_program():
    traces = []

    def loss(w, batch, key):
        traces.append(0)
        return error(w, batch, key)

    averages = [train(loss=loss, ema=decay)[1].averaged for decay in (0, 0.5, 0.9)]
    w, history = train(loss=loss)
    assert len(traces) == 2 and history.averaged is None  # with an average and without
    assert np.array_equal(averages[0], w) and not np.array_equal(averages[1], w)


def test_an_average_of_half_precision_moves():
    loss = lambda w, batch, key: jnp.sum(w * w) / 2  # at 0 after one step
    feed = lambda key, epoch: [X] * 50 if epoch == 0 else []
    args = jnp.ones(3, jnp.bfloat16), feed, optax.sgd(1.0), jax.random.key(0)
    w, history = icon.fit(loss, *args, ema=0.999)
    assert history.averaged.dtype == jnp.bfloat16 == w.dtype and not np.any(w)
    average = np.asarray(history.averaged, np.float32)
    np.testing.assert_allclose(average, 0.999**50, atol=0.004)


CARRIES = lambda w, batch, key, carried: (jnp.sum(w), carried)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        (dict(ema=1.0), "ema"),
        (dict(ema=-0.1), "ema"),
        (dict(ema="0.9"), "ema"),
        (dict(loss=lambda w, batch, key, averaged: jnp.sum(w)), "ema"),
        (dict(carried=0), "loss"),
        (dict(carried="a", loss=CARRIES), "carried"),
        (dict(loss=CARRIES), "loss"),
        (dict(carried=0, loss=lambda w, batch, key, carried: jnp.sum(w)), "loss"),
        (dict(carried=0, loss=lambda w, b, k, carried: (jnp.sum(w), 0.0)), "loss"),
        (dict(carried=0, loss=lambda w, b, k, carried: (jnp.sum(w), (0, 0))), "loss"),
        (dict(loss=lambda w, batch, key: (jnp.sum(w), 1, 2)), "loss"),
        (dict(loss=lambda w, batch, key: w), "loss"),
    ],
)
def test_what_a_step_cannot_use_is_refused(options, argument):
    with pytest.raises(icon.InvalidInput, match=f"^{argument}: ") as raised:
        train(**options)
    assert raised.value.argument == argument


@pytest.mark.slow
def test_flax_and_orbax_are_imported_when_they_are_used():
    code = """
import sys
import icon, jax, optax
loss = lambda w, batch, key: (w - 1) ** 2
feed = lambda key, epoch: [0] if epoch == 0 else []
icon.fit(loss, 0.0, feed, optax.sgd(0.1), jax.random.key(0), ema=0.5)
print([name for name in ("flax", "orbax") if name in sys.modules])
"""
    output, complaint = start(code, devices=1).communicate(timeout=100)
    assert output == "[]\n", complaint


# ------------------------------------------------------- in several processes


ROOT = Path(__file__).parents[2]
SPEED = {
    "JAX_COMPILATION_CACHE_DIR": os.environ.get(
        "JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache")
    ),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def start(code, *args, devices):
    """Python in a process of its own, which has so many devices."""
    env = {**os.environ, **SPEED, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    env["JAX_NUM_CPU_DEVICES"] = str(devices)
    run, pipe = [sys.executable, "-c", code, *map(str, args)], subprocess.PIPE
    return subprocess.Popen(run, env=env, stdout=pipe, stderr=pipe, text=True)


# ------------------------------------------------------- devices of several processes


# the example, which also prints its steps and a digest of what it has learned
EXAMPLE = f"""
import functools, hashlib, runpy, sys
import icon, jax, numpy as np

fit = icon.fit

def report(step, *_):
    print("step", step, flush=True)

def reporting(*args):
    params, history = fit(*args, callbacks=[report])
    learned = [*map(np.asarray, jax.tree.leaves(params)), history.loss]
    bits = b"".join(x.tobytes() for x in learned)
    share = next(args[2](args[4], 0))  # parameters may be shared out as well
    again, _ = fit(args[0], [params, share], lambda *_: [], *args[3:])
    assert again[1].sharding == share.sharding
    print("learned", hashlib.sha256(bits).hexdigest(), flush=True)
    return params, history

icon.fit = reporting
runpy.run_path({str(ROOT / "examples" / "two_machines.py")!r}, run_name="__main__")
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def two(tmp_path):
    """Starts two processes of two devices each; none of them outlives the test."""
    began = []

    def begin(epochs):
        here = ("--coordinator", f"127.0.0.1:{free_port()}", "--processes", 2)
        more = ("--epochs", epochs, "--out", tmp_path / "learned.npz", "--process")
        began.extend(start(EXAMPLE, *here, *more, i, devices=2) for i in range(2))
        return began

    def end():
        [process.kill() for process in began]

    watch = threading.Timer(100, end)  # a hang is an error, not a night
    watch.start()
    yield begin
    watch.cancel()
    end()
    [process.communicate() for process in began]


def example():
    """What the example learns on the one device of this process."""
    code = (ROOT / "examples" / "two_machines.py").read_text()
    module = {"__name__": "two_machines"}
    exec(compile(code, "two_machines.py", "exec"), module)
    return module["train"](1)


def close(one, other):
    """Whether two arrays are one but for what rounding makes of it."""
    return np.linalg.norm(one - other) <= 1e-4 * np.linalg.norm(other)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(two, tmp_path):
    output = [process.communicate() for process in two(epochs=1)]
    learned = [re.findall(r"learned (\w+)", out) for out, _ in output]
    assert len(learned[0]) == 1 and learned[0] == learned[1], output
    params, history = example()
    with np.load(tmp_path / "learned.npz") as file:
        assert len(file["loss"]) == len(history.loss) == 7
        np.testing.assert_allclose(file["loss"], history.loss, rtol=1e-4)
        leaves = jax.tree.leaves(params)
        assert len(file.files) == len(leaves) + 1
        for at, leaf in enumerate(leaves):
            assert close(file[f"arr_{at}"], np.asarray(leaf)), at
    assert [path.name for path in tmp_path.iterdir()] == ["learned.npz"]


def until(process, line):
    """Reads what a process prints until it prints this line."""
    lines = []
    while line not in lines:
        printed = process.stdout.readline()
        assert printed, (lines, process.stderr.read())
        lines.append(printed.strip())


def survivor(processes, lost):
    """What the other one complains of after one is killed, and its exit status."""
    for process in processes:
        until(process, "step 2")
    processes[lost].send_signal(signal.SIGKILL)
    _, complaint = processes[1 - lost].communicate()
    return complaint, processes[1 - lost].returncode


@pytest.mark.slow
def test_a_process_that_loses_another_says_so_and_writes_nothing(two, tmp_path):
    complaint, code = survivor(two(epochs=100_000), lost=1)
    (line,) = complaint.splitlines()
    assert re.fullmatch(r"a process was lost at step \d+: start all .*", line)
    assert code == 75 and not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_a_process_that_loses_the_coordinator_ends_and_writes_nothing(two, tmp_path):
    """jax may abort it before it can say so."""
    complaint, code = survivor(two(epochs=100_000), lost=0)
    assert complaint and code not in (0, -signal.SIGKILL)
    assert not [*tmp_path.iterdir()]


# ------------------------------------------------------- devices of one process


EIGHT = """
import sys
import icon, jax, jax.numpy as jnp, numpy as np, optax
from icon import data
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

rng = np.random.default_rng(0)
x, ids = rng.normal(size=(64, 6)).astype(np.float32), np.arange(64) % 5
start = rng.normal(size=(6, 4)).astype(np.float32)
feed = data.batches((x, ids), 16, epochs=3)

traces = []

def loss(params, batch, key):
    w, rows = params
    traces.append(0)
    x, ids = batch
    noise = jax.random.normal(key, w.shape)
    z = x @ (w + 0.1 * noise) + rows
    return icon.kl(icon.same(ids), icon.cosine(z)), jnp.mean(x)

def train(w, feed):
    before = len(traces)
    params = w, np.zeros((16, 4), np.float32)  # as many rows as a batch
    params, history = icon.fit(loss, params, feed, optax.adam(0.05), jax.random.key(1))
    return params, history, len(traces) - before

def spread(axis_type, shape=(8,), names=("data",)):
    mesh = jax.make_mesh(shape, names, (axis_type,) * len(shape))
    return mesh, data.spread(feed, mesh)

_, auto = spread(AxisType.Auto)
_, explicit = spread(AxisType.Explicit)
mesh, both = spread(AxisType.Auto, (4, 2), ("data", "model"))
columns = jax.device_put(start, NamedSharding(mesh, P(None, "model")))
cases = dict(
    one=(start, feed), auto=(start, auto), explicit=(start, explicit),
    columns=(columns, both),
)
results = {}
for name, case in cases.items():
    (w, rows), history, programs = train(*case)
    results |= {f"{name} w": w, f"{name} rows": rows, f"{name} loss": history.loss}
    results[f"{name} programs"] = programs
    results[f"{name} metrics"] = np.array(history.metrics)
    results[f"{name} devices"] = len(w.sharding.device_set)
    results[f"{name} everywhere"] = w.is_fully_replicated, rows.is_fully_replicated
np.savez(sys.argv[1], **results)
"""


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """What is learned on eight devices, however they are named."""
    path = tmp_path_factory.mktemp("eight") / "results.npz"
    process = start(EIGHT, path, devices=8)
    _, complaint = process.communicate(timeout=100)
    assert process.returncode == 0, complaint
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize("axes", ["auto", "explicit", "columns"])
def test_eight_devices_learn_what_one_learns(eight, axes):
    for what in ("w", "rows", "loss", "metrics"):
        one, many = eight[f"one {what}"], eight[f"{axes} {what}"]
        np.testing.assert_allclose(many, one, rtol=1e-4, atol=1e-5)
    assert len(eight["one loss"]) == 12 and len(set(eight["one loss"])) == 12
    assert eight[f"{axes} programs"] == eight["one programs"] == 1


def test_what_is_learned_is_on_every_device_unless_it_had_a_place(eight):
    assert eight["one devices"] == 1
    for axes in ("auto", "explicit", "columns"):
        assert eight[f"{axes} devices"] == 8
    assert eight["auto everywhere"].all() and eight["explicit everywhere"].all()
    assert eight["columns everywhere"].tolist() == [False, True]


# ------------------------------------------------------- whose error it is


def failed(failure, at=3):
    """A training that fails at a step, and the parameters it had by then."""
    seen = [np.zeros(3, np.float32)]

    def feed(key, epoch):
        for batch in data.batches(X, 4, epochs=2)(key, epoch):
            if len(seen) == at + 1:
                raise failure
            yield batch

    def error(w, batch, key):
        return jnp.mean((batch @ w - 1) ** 2)

    keep = lambda step, loss, w: seen.append(np.asarray(w))
    sgd, key = optax.sgd(0.1), jax.random.key(0)
    with pytest.raises(RuntimeError) as raised:
        icon.fit(error, jnp.zeros(3), feed, sgd, key, callbacks=[keep])
    return raised.value, seen[-1]


CLOSED = "FAILED_PRECONDITION: Gloo all-reduce failed: Connection closed by peer"
FULL = "RESOURCE_EXHAUSTED: Out of memory allocating 16000000000000 bytes."


@pytest.mark.parametrize("step", [0, 3])
def test_a_lost_process_leaves_the_last_good_result(monkeypatch, step):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    failure = jax.errors.JaxRuntimeError(CLOSED)
    error, last = failed(failure, step)
    assert isinstance(error, icon.PeerLost) and error.step == step
    assert isinstance(error.partial, np.ndarray)
    assert np.array_equal(error.partial, last) and last.any() == bool(step)
    assert error.__cause__ is failure
    assert f"lost at step {step}" in str(error) and ".partial has" in str(error)


@pytest.mark.parametrize(("processes", "text"), [(1, CLOSED), (2, FULL)])
def test_an_error_of_this_process_stays_what_it_is(monkeypatch, processes, text):
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    failure = jax.errors.JaxRuntimeError(text)
    assert failed(failure)[0] is failure


def test_the_loss_of_a_process_is_passed_on_to_another():
    again = pickle.loads(pickle.dumps(icon.PeerLost(4, [np.ones(2)])))
    assert again.step == 4 and again.partial[0].tolist() == [1, 1]
