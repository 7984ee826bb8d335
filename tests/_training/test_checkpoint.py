"""Is a run that was killed, at whatever moment, the run it would have been?"""

import importlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import slow

import icon
from icon._training import checkpoint as module


ADAM = optax.adam(0.1)
X = np.random.default_rng(0).normal(size=(14, 3)).astype(np.float32)
STEPS = 12


def feed(key, epoch):
    """Three epochs of four batches, the last of which is smaller."""
    if epoch < 3:
        order = np.asarray(jax.random.permutation(key, 14))
        yield from (X[order[at : at + 4]] for at in range(0, 14, 4))


def error(params, batch, key, carried, averaged):
    """A loss with everything that has to be found again."""
    noisy = batch + 0.1 * jax.random.normal(key, batch.shape)
    target = jax.lax.stop_gradient(noisy @ averaged["w"])
    value = jnp.mean((noisy @ params["w"] - 1 - 0.1 * target) ** 2)
    count, (spare, _) = carried
    spare = jax.random.fold_in(spare, 1)
    noise = jax.random.normal(spare), None
    metrics = dict(rows=[noisy[:, 0]], noise=noise, empty=noisy[:0])
    return value, (count + 1, (spare, value)), metrics


def train(folder=None, seed=0, feed=feed, every=5, width=3, ema=0.9, **options):
    carried = (0, (jax.random.key(7), 0.0))
    options = dict(carried=carried, ema=ema, checkpoint=folder, **options)
    params, key = dict(w=jnp.zeros(width)), jax.random.key(seed)
    return icon.fit(error, params, feed, ADAM, key, save_every=every, **options)


def bits(result):
    """Every number of a result, and their types."""
    is_key = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    data = lambda x: np.asarray(jax.random.key_data(x) if is_key(x) else x)
    params, history = result
    tree = [params, history._replace(interrupted=())]
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(x.dtype, x.shape, x.tobytes()) for x in map(data, leaves)]


@pytest.fixture(scope="module")
def whole():
    """The run that nothing interrupts, and nothing is written of."""
    result = train()
    assert len(result[1].loss) == STEPS == result[1].carried[0]
    return bits(result)


def stop_at(at):
    """Ctrl-C after a step."""

    def callback(step, loss, params):
        if step == at:
            raise KeyboardInterrupt

    return [callback]


def steps_in(folder):
    return sorted(int(path.name.removeprefix("step-")) for path in folder.iterdir())


# ------------------------------------------------------- going on


@pytest.mark.parametrize("stops", [slow((1,)), (4, 5), slow((3, 7, 11)), (STEPS,)])
def test_what_is_interrupted_goes_on_as_if_it_had_not_been(tmp_path, whole, stops):
    for stop in stops:
        _, history = train(tmp_path, callbacks=stop_at(stop))
        assert history.interrupted and len(history.loss) == stop
    seen = []
    keep = lambda step, loss, params: seen.append(step)
    result = train(tmp_path, callbacks=[keep])
    assert bits(result) == whole and not result[1].interrupted
    assert seen == [*range(stops[-1] + 1, STEPS + 1)]


@pytest.mark.parametrize("every", [4, 5])  # the last step may be written already
def test_a_run_that_has_ended_returns_at_once(tmp_path, whole, every):
    assert bits(train(tmp_path, every=every)) == whole
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    asked = []

    def none_left(key, epoch):
        asked.append(epoch)
        return feed(key, epoch) if epoch >= 3 else pytest.fail("asked for a batch")

    assert bits(train(tmp_path, feed=none_left)) == whole and asked == [3]
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_a_run_that_a_callback_has_stopped_has_ended(tmp_path):
    stop = lambda step, loss, params: step == 7
    first = train(tmp_path, callbacks=[stop])
    again = train(tmp_path, feed=lambda key, epoch: pytest.fail("asked for a batch"))
    assert bits(first) == bits(again) and len(again[1].loss) == 7


def test_more_batches_go_on(tmp_path, whole):
    train(tmp_path, feed=lambda key, epoch: feed(key, epoch) if epoch < 1 else ())
    assert steps_in(tmp_path) == [4] and bits(train(tmp_path)) == whole


def test_the_last_two_are_kept_and_files_of_others(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    train(tmp_path, every=2)
    (tmp_path / "notes.txt").unlink()
    assert steps_in(tmp_path) == [STEPS - 2, STEPS]


def test_metrics_are_kept_in_their_structure(tmp_path):
    train(tmp_path, callbacks=stop_at(6))
    _, history = train(tmp_path)
    for metrics in history.metrics:
        assert [*metrics] == ["empty", "noise", "rows"] and metrics["noise"][1] is None
        assert isinstance(metrics["noise"], tuple) and isinstance(metrics["rows"], list)
    sizes = [len(metrics["rows"][0]) for metrics in history.metrics]
    assert sizes == [4, 4, 4, 2] * 3


@pytest.mark.slow
def test_a_module_goes_on_with_its_statistics_and_its_dropout(tmp_path):
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.layer = nnx.Linear(3, 2, rngs=rngs)
            self.norm = nnx.BatchNorm(2, rngs=rngs)
            self.drop = nnx.Dropout(0.5, rngs=rngs)

    def loss(net, batch, key):
        return jnp.mean((net.drop(net.norm(net.layer(batch))) - 1) ** 2)

    def run(**options):
        key = jax.random.key(0)
        return icon.fit(loss, Net(), feed, ADAM, key, ema=0.5, **options)

    run(checkpoint=tmp_path, callbacks=stop_at(6))
    (one, first), (two, second) = run(checkpoint=tmp_path), run()
    assert isinstance(one, Net) and isinstance(first.averaged, Net)
    states = lambda net, history: [nnx.state(net), nnx.state(history.averaged)]
    state = lambda history: history._replace(averaged=(), metrics=())
    assert bits((states(one, first), state(first))) == bits(
        (states(two, second), state(second))
    )
    assert np.array_equal(first.loss, second.loss) and one.drop.rngs.count[...] == 12


# ------------------------------------------------------- what is damaged


def damage(how, place):
    """Damage a state, or what is left of it."""
    data = max(place.rglob("d/*"), key=lambda path: path.stat().st_size)
    if how == "missing":
        data.unlink()
    elif how == "no digest":
        (place / "DIGEST.json").unlink()
    elif how == "truncated digest":
        os.truncate(place / "DIGEST.json", 100)
    elif how == "truncated":
        os.truncate(data, data.stat().st_size - 1)
    elif how == "another step":
        digest = place / "DIGEST.json"
        digest.write_text(digest.read_text().replace('"epoch": 2', '"epoch": 1'))
    elif how == "flipped":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        data.write_bytes(content)


HOW = "missing", "no digest", "truncated digest", "truncated", "another step", "flipped"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run that stopped at step 11; what it has written is copied, not changed."""
    folder = tmp_path_factory.mktemp("written") / "run"
    train(folder, callbacks=stop_at(11))
    assert steps_in(folder) == [10, 11]
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "run")


@pytest.mark.parametrize("how", HOW)
def test_what_is_damaged_is_passed_over(folder, whole, how):
    damage(how, folder / "step-00000011")
    seen = []
    keep = lambda step, loss, params: seen.append(step)
    with pytest.warns(UserWarning, match="over step-00000011 .*; goes on from") as told:
        result = train(folder, callbacks=[keep], every=11)
    assert len(told) == 1 and told[0].filename == __file__
    assert bits(result) == whole and seen == [11, 12]
    assert steps_in(folder) == [11, 12] and bits(train(folder)) == whole


def test_without_a_whole_state_a_run_starts_anew(folder, whole):
    damage("flipped", folder / "step-00000011")
    damage("no digest", folder / "step-00000010")
    names = r"step-00000011 \(.*\), step-00000010 \(no DIGEST.json\)"
    with pytest.warns(UserWarning, match=f"{names}; goes on from step 0") as told:
        assert bits(train(folder, every=12)) == whole
    assert len(told) == 1 and steps_in(folder) == [12]


# ------------------------------------------------------- killed


class Killed(BaseException):
    """The end of a process, as far as a test within it can have one."""


def ends_in(holder, name, action, monkeypatch, nth):
    """The run ends the nth time that a function is called, which does this instead."""
    original, calls = holder.__dict__[name], []

    def call(*args, **options):
        calls.append(name)
        if len(calls) < nth:
            return original(*args, **options)
        action(*args)
        raise Killed

    monkeypatch.setattr(holder, name, call)


def half_saved(save):
    def action(path, tree):
        save(path, tree)
        max(path.rglob("d/*"), key=lambda file: file.stat().st_size).unlink()

    return action


def half_removed(path):
    for file in [path for path in Path(path).rglob("*") if path.is_file()][:3]:
        file.unlink()


@pytest.mark.parametrize("nth", [1, slow(4)])
@pytest.mark.parametrize("where", ["Orbax", "digest", "rename", "clearing"])
def test_nothing_is_lost_wherever_it_is_killed(tmp_path, whole, where, nth):
    orbax, nothing = importlib.import_module(module.ORBAX), lambda *_: None
    holder, name, action = dict(
        Orbax=(orbax, "save", half_saved(orbax.save)),
        digest=(module.files, "replace", nothing),
        rename=(os, "replace", nothing),
        clearing=(shutil, "rmtree", half_removed),
    )[where]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        ends_in(holder, name, action, patch, nth)
        train(tmp_path, every=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert bits(train(tmp_path, every=3)) == whole
    assert steps_in(tmp_path) == [STEPS - 3, STEPS]


CHILD = f"""
import sys, time, warnings
sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]!r}
warnings.simplefilter("ignore", UserWarning)
import test_checkpoint as here

def slowly(key, epoch):
    for batch in here.feed(key, epoch):
        time.sleep(0.02)
        yield batch

report = lambda step, *_: print(step, flush=True)
here.train(sys.argv[1], feed=slowly, every=1, callbacks=[report])
"""


def kill_at_random(folder, rng):
    """Kill -9 of a run somewhere after its first step; the step it had reached."""
    env = {**os.environ, "PYTHONPATH": str(Path(icon.__file__).parents[1])}
    env["JAX_COMPILATION_CACHE_DIR"] = str(jax.config.jax_compilation_cache_dir)
    env["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    run = [sys.executable, "-c", CHILD, folder]
    process = subprocess.Popen(run, env=env, stdout=subprocess.PIPE, text=True)
    watch = threading.Timer(100, process.kill)  # a hang is an error
    watch.start()
    reached = 0
    for line in process.stdout:
        reached = int(line)
        if rng.random() < 0.3:
            time.sleep(rng.random() * 0.15)  # a step and its state take as long
            break
    process.send_signal(signal.SIGKILL)
    watch.cancel()
    process.communicate()
    return reached


def survives(folder, whole, rng, kills):
    reached = [kill_at_random(folder, rng) for _ in range(kills)]
    assert 0 < reached[0] < STEPS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert bits(train(folder)) == whole, reached


def test_a_killed_process_is_gone_on_with(tmp_path, whole):
    survives(tmp_path / "run", whole, random.Random(0), kills=1)


@pytest.mark.slow
def test_a_process_may_be_killed_again_and_again(tmp_path, whole):
    rng = random.Random(1)
    for attempt in range(6):
        survives(tmp_path / str(attempt), whole, rng, kills=3)


# ------------------------------------------------------- in several processes


PAIR = """
import sys
import jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

port, process, folder, last, out = sys.argv[1:]
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(process))

import icon, os
from icon import data

x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
mesh = jax.make_mesh((4,), ("data",), (AxisType.Auto,))
feed = data.spread(data.batches((x,), 16, epochs=3), mesh)

def loss(params, batch, key, averaged):
    w, rows = params
    noise = jax.random.normal(key, rows.shape)
    value = jnp.mean((batch[0] @ w - 1) ** 2)
    value += jnp.mean((rows - averaged[1] - noise) ** 2)
    return value, dict(sum=jnp.sum(w))

def end(step, *_):
    if step == int(last):
        os._exit(9)

here = NamedSharding(mesh, P("data"))
rows = jax.make_array_from_callback((8,), here, lambda at: np.zeros(8, np.float32)[at])
options = dict(ema=0.5, callbacks=[end], checkpoint=folder or None, save_every=2)
args = loss, (np.ones(3, np.float32), rows), feed, optax.adam(0.1), jax.random.key(0)
(w, rows), history = icon.fit(*args, **options)
assert rows.sharding.spec == P("data")
own = [shard.data for shard in rows.addressable_shards]
sums = np.array([metrics["sum"] for metrics in history.metrics])
average = history.averaged[0]
np.savez(out, w=w, own=np.array(own), loss=history.loss, sums=sums, average=average)
"""


def pair(folder, last, outs):
    """Two processes of two devices each; what each of them has learned, if it ends."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"}
    env["PYTHONPATH"] = str(Path(icon.__file__).parents[1])
    begin = lambda i: subprocess.Popen(
        [sys.executable, "-c", PAIR, *map(str, (port, i, folder, last, outs[i]))],
        env=env,
        stderr=subprocess.DEVNULL,
    )
    processes = [begin(0), begin(1)]
    try:
        codes = [process.wait(150) for process in processes]
    finally:
        [process.kill() for process in processes]
    return codes


@pytest.mark.slow
def test_two_processes_go_on_together(tmp_path):
    whole = [tmp_path / f"whole{i}.npz" for i in (0, 1)]
    again = [tmp_path / f"again{i}.npz" for i in (0, 1)]
    assert pair("", 99, whole) == [0, 0]
    assert 0 not in pair(tmp_path / "run", 7, again)
    assert steps_in(tmp_path / "run") == [4, 6]
    for _ in range(2):  # once from step 6, once from the end
        assert pair(tmp_path / "run", 99, again) == [0, 0]
        for one, other in zip(whole, again, strict=True):
            with np.load(one) as a, np.load(other) as b:
                assert len(a["loss"]) == 12 and [*a] == [*b]
                assert all(np.array_equal(a[name], b[name]) for name in a)


# ------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (dict(width=4), r"a folder of a run with params\['w'\] float32\[4\], got one"),
        (dict(seed=1), r"a run with key \[0, 1\] key<fry>, got one with key \[0, 0\]"),
        (dict(ema=0.5), "a run with ema 0.5, got one with ema 0.9"),
    ],
)
def test_another_run_is_refused_and_its_folder_left(folder, options, what):
    before = sorted(folder.rglob("*"))
    if "width" in options:
        options = dict(options, feed=lambda key, epoch: [np.ones((4, 4), np.float32)])
    with pytest.raises(icon.InvalidInput, match=what) as raised:
        train(folder, **options)
    assert raised.value.argument == "checkpoint" and sorted(folder.rglob("*")) == before


def test_batches_that_are_not_the_same_are_refused(folder):
    with pytest.raises(
        icon.InvalidInput, match="2 batches in epoch 2, 3 when"
    ) as raised:
        train(folder, feed=lambda *args: [*feed(*args)][:2])
    assert raised.value.argument == "batches"


def test_a_folder_that_cannot_be_one_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", 3, "a\0b"):
        with pytest.raises(icon.InvalidInput, match="^checkpoint: "):
            train(place)


@pytest.mark.parametrize("every", [0, 1.5, None])
def test_save_every_is_a_number_of_steps(every):
    with pytest.raises(icon.InvalidInput, match="^save_every: "):
        train(every=every)


def test_metrics_that_cannot_be_read_again_are_refused(tmp_path):
    class Named(NamedTuple):
        rows: int

    for metrics in (Named(1), dict(a=jax.random.key(0))):
        loss = lambda w, batch, key, metrics=metrics: (jnp.mean(batch @ w), metrics)
        args = loss, jnp.zeros(3), feed, ADAM, jax.random.key(0)
        with pytest.raises(
            icon.InvalidInput, match="^loss: .* metrics in dicts"
        ) as told:
            icon.fit(*args, checkpoint=tmp_path)
        assert told.value.argument == "loss" and not steps_in(tmp_path)


def test_the_extra_is_named_where_orbax_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module.ORBAX, None)
    with pytest.raises(ImportError, match=r"icon-jax\[train\]"):
        train(tmp_path)
