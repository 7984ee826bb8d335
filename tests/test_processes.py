"""Do many devices and processes learn what one learns, and end when one is lost?"""

import os
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
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import icon
from icon import data


ROOT = Path(__file__).parent.parent
SPEED = {
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def start(code, *args, devices):
    """Python in a process of its own, which has so many devices."""
    env = {**os.environ, **SPEED, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    env["JAX_NUM_CPU_DEVICES"] = str(devices)
    run, pipe = [sys.executable, "-c", code, *map(str, args)], subprocess.PIPE
    return subprocess.Popen(run, env=env, stdout=pipe, stderr=pipe, text=True)


# ------------------------------------------------------- devices of several processes


# the example, which also says where it is and exactly what it has learned
EXAMPLE = f"""
import functools, hashlib, runpy, sys
import icon, jax, numpy as np

fit = icon.fit

def told(step, *_):
    print("step", step, flush=True)

def telling(*args):
    params, history = fit(*args, callbacks=[told])
    every = [*map(np.asarray, jax.tree.leaves(params)), history.loss]
    bits = b"".join(x.tobytes() for x in every)
    share = next(args[2](args[4], 0))  # parameters may be shared out as well
    again, _ = fit(args[0], [params, share], lambda *_: [], *args[3:])
    assert again[1].sharding == share.sharding
    print("learned", hashlib.sha256(bits).hexdigest(), flush=True)
    return params, history

icon.fit = telling
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


def test_two_processes_learn_what_one_learns(two, tmp_path):
    said = [process.communicate() for process in two(epochs=1)]
    learned = [re.findall(r"learned (\w+)", out) for out, _ in said]
    assert len(learned[0]) == 1 and learned[0] == learned[1], said
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
    """Reads what a process says until it says this."""
    heard = []
    while line not in heard:
        said = process.stdout.readline()
        assert said, (heard, process.stderr.read())
        heard.append(said.strip())


def survivor(processes, lost):
    """What the other one says after one is killed in the middle, and its code."""
    for process in processes:
        until(process, "step 5")
    processes[lost].send_signal(signal.SIGKILL)
    _, complaint = processes[1 - lost].communicate()
    return complaint, processes[1 - lost].returncode


def test_who_loses_a_process_says_so_in_a_line_and_writes_nothing(two, tmp_path):
    complaint, code = survivor(two(epochs=100_000), lost=1)
    (line,) = complaint.splitlines()
    assert re.fullmatch(r"a process was lost at step \d+: start all .*", line)
    assert code == 75 and not [*tmp_path.iterdir()]


def test_who_loses_the_coordinator_ends_and_writes_nothing(two, tmp_path):
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

def spread(kind, shape=(8,), names=("data",)):
    mesh = jax.make_mesh(shape, names, (kind,) * len(shape))
    return mesh, data.spread(feed, mesh)

_, auto = spread(AxisType.Auto)
_, explicit = spread(AxisType.Explicit)
mesh, both = spread(AxisType.Auto, (4, 2), ("data", "model"))
columns = jax.device_put(start, NamedSharding(mesh, P(None, "model")))
cases = dict(
    one=(start, feed), auto=(start, auto), explicit=(start, explicit),
    columns=(columns, both),
)
told = {}
for name, case in cases.items():
    (w, rows), history, programs = train(*case)
    told |= {f"{name} w": w, f"{name} rows": rows, f"{name} loss": history.loss}
    told[f"{name} programs"] = programs
    told[f"{name} metrics"] = np.array(history.metrics)
    told[f"{name} devices"] = len(w.sharding.device_set)
    told[f"{name} everywhere"] = w.is_fully_replicated, rows.is_fully_replicated
np.savez(sys.argv[1], **told)
"""


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """What is learned on eight devices, however they are named."""
    path = tmp_path_factory.mktemp("eight") / "told.npz"
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


X = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
FEED = data.batches(X, 4, epochs=2)


def train(failure, at=3):
    """A training that fails at a step, and the parameters it had by then."""
    seen = [np.zeros(3, np.float32)]

    def feed(key, epoch):
        for batch in FEED(key, epoch):
            if len(seen) == at + 1:
                raise failure
            yield batch

    def error(w, batch, key):
        return jnp.mean((batch @ w - 1) ** 2)

    tell = lambda step, loss, w: seen.append(np.asarray(w))
    sgd, key = optax.sgd(0.1), jax.random.key(0)
    with pytest.raises(RuntimeError) as said:
        icon.fit(error, jnp.zeros(3), feed, sgd, key, callbacks=[tell])
    return said.value, seen[-1]


CLOSED = "FAILED_PRECONDITION: Gloo all-reduce failed: Connection closed by peer"
FULL = "RESOURCE_EXHAUSTED: Out of memory allocating 16000000000000 bytes."


@pytest.mark.parametrize("step", [0, 3])
def test_a_lost_process_leaves_the_last_good_result(monkeypatch, step):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    failure = jax.errors.JaxRuntimeError(CLOSED)
    error, last = train(failure, step)
    assert isinstance(error, icon.PeerLost) and error.step == step
    assert isinstance(error.partial, np.ndarray)
    assert np.array_equal(error.partial, last) and last.any() == bool(step)
    assert error.__cause__ is failure
    assert f"lost at step {step}" in str(error) and ".partial has" in str(error)


@pytest.mark.parametrize(("processes", "text"), [(1, CLOSED), (2, FULL)])
def test_an_error_of_this_process_stays_what_it_is(monkeypatch, processes, text):
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    failure = jax.errors.JaxRuntimeError(text)
    assert train(failure)[0] is failure


def test_a_lost_process_can_be_told_to_another():
    import pickle

    again = pickle.loads(pickle.dumps(icon.PeerLost(4, [np.ones(2)])))
    assert again.step == 4 and again.partial[0].tolist() == [1, 1]


# ------------------------------------------------------- what is spread


def mesh(kind=AxisType.Auto):
    return jax.make_mesh((1,), ("data",), (kind,))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("jaxed", [False, True])
def test_what_is_spread_is_what_came(kind, jaxed):
    tree = dict(x=X, y=(np.arange(16), X[:, :, None] > 0))
    plain = data.batches(jax.tree.map(jnp.asarray, tree) if jaxed else tree, 4, 2)
    spread, key = data.spread(plain, mesh(kind)), jax.random.key(0)
    for epoch, count in ((0, 4), (1, 4), (2, 0)):
        came, got = [*plain(key, epoch)], [*spread(key, epoch)]
        assert len(came) == len(got) == count
        assert jax.tree.structure(came) == jax.tree.structure(got)
        for one, other in zip(*map(jax.tree.leaves, (came, got)), strict=True):
            assert np.array_equal(one, other)
            assert other.sharding == NamedSharding(mesh(kind), PartitionSpec("data"))


def test_keys_may_be_spread():
    keys = jax.random.split(jax.random.key(0), 4)
    (got,) = data.spread(lambda key, epoch: [keys], mesh())(keys[0], 0)
    assert np.array_equal(jax.random.key_data(got), jax.random.key_data(keys))


REFUSED = {
    "no function": (dict(batches=[X]), "batches: expected a function"),
    "no mesh": (dict(mesh=jax.devices), "mesh: expected a mesh: jax.make_mesh"),
    "devices": (dict(mesh=[0]), "mesh: expected a mesh: jax.make_mesh"),
    "another axis": (
        dict(axis_name="model"),
        "axis_name: expected one of the axes of the mesh, data, got 'model'",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_spread_is_refused(what):
    bad, text = REFUSED[what]
    with pytest.raises(icon.InvalidInput, match=f"^{re.escape(text)}"):
        data.spread(**(dict(batches=FEED, mesh=mesh()) | bad))


def cut(batch, count):
    """A batch, spread over a mesh that only says that it has so many devices."""
    abstract = jax.sharding.AbstractMesh((count,), ("data",))
    return data._cut(NamedSharding(abstract, PartitionSpec("data")), batch)


@pytest.mark.parametrize(("rows", "more"), [(10, 12), (3, 4), (1797, 1800)])
def test_rows_that_do_not_divide_are_refused_with_numbers_that_do(rows, more):
    with pytest.raises(icon.InvalidInput, match="^batches: ") as said:
        cut(np.ones((rows, 2)), 4)
    fix = f"each of the 4 devices: a `size` that is a multiple of 4, such as {more}"
    assert fix in str(said.value) and f"got {rows} rows" in str(said.value)


def test_a_number_has_no_rows():
    with pytest.raises(icon.InvalidInput, match="^batches: .* got a number"):
        next(data.spread(lambda key, epoch: [1.0], mesh())(jax.random.key(0), 0))
