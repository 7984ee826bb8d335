"""Does a batch that is spread over devices have the loss and the gradients of one?

What is compared is computed by devices.py, once for each number of virtual devices.
"""

import fcntl
import os
import pickle
import subprocess
import sys
from pathlib import Path

import devices
import jax
import numpy as np
import pytest
from cases import slow
from properties import dense_reference as reference


MANY = 8
SEVERAL = 2, 4, 8


def start(which, count, out):
    """A process with so many devices, which writes its answers."""
    env = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(devices.__file__).parents[1]),
    }
    env.pop("XLA_FLAGS", None)  # how a program is compiled is chosen there
    run = [sys.executable, devices.__file__, which, str(count), str(out)]
    done = subprocess.run(run, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def answers(tmp_path_factory):
    """The answers on so many devices, asked once, by whichever worker comes first."""
    base, known = tmp_path_factory.getbasetemp(), {}
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def answer(count, what, which="questions"):
        out = base / f"{which}-{count}.devices"
        if out not in known:
            with open(out.with_suffix(".lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not out.exists():
                    start(which, count, out)
            known[out] = pickle.loads(out.read_bytes())
        found = known[out][what]
        assert not isinstance(found, str), found  # how it failed
        return found

    return answer


def relative_error(got, expected) -> float:
    """Of two trees, in units of the largest number of each leaf."""
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True)
    errors = [np.max(np.abs(x - y)) / max(np.max(np.abs(y)), 1e-3) for x, y in pairs]
    assert np.all(np.isfinite(errors))
    return float(max(errors))


# ------------------------------------------------------- the loss of one device


def far_from(found, alone, most):
    errors = {name: relative_error(found[name], alone[name]) for name in found}
    return {name: error for name, error in errors.items() if error > most}


@pytest.mark.parametrize("way", [way for way in devices.ways(MANY) if way != "eager"])
def test_losses_and_gradients_on_many_devices_are_those_of_one(answers, way):
    assert far_from(answers(MANY, way), answers(1, "alone"), 5e-5) == {}


@pytest.mark.slow
@pytest.mark.parametrize("way", [x for x in devices.all_ways(MANY) if x != "eager"])
@pytest.mark.parametrize("count", devices.COUNTS)
def test_all_losses_on_any_number_of_devices_are_those_of_one(answers, count, way):
    found, alone = (answers(k, x, "thorough") for k, x in ((count, way), (1, "alone")))
    assert far_from(found, alone, 5e-5) == {}


def test_a_loss_may_be_called_on_explicit_arrays_outside_of_any_jit(answers):
    alone = answers(1, "alone")
    for name, value in answers(MANY, "eager").items():
        np.testing.assert_allclose(value, alone[name][0], rtol=2e-6)


def test_every_loss_has_gradients_to_compare(answers):
    for name, (value, (learned, points)) in answers(1, "alone").items():
        assert np.isfinite(value) and value != 0, name
        assert np.all(np.any(points["x"] != 0, 1)), name
        assert np.any(learned["t"] != 0), name


# ------------------------------------------------------- the loss of two loops


def by_loops(name, at):
    """The same in double precision, from x, y, W and t."""
    z, other, ids = at["x"] @ at["W"], at["y"] @ at["W"], devices.batch().ids
    if name == "SimCLR":
        q = reference.cosine(z, temperature=at["t"])
        return reference.kl(reference.same(ids["view"]), q)
    p, q = (
        reference.same(ids["own"], ids["own"]),
        reference.dot(z, other, temperature=at["t"]),
    )
    return reference.both_ways(reference.kl)(p, q)


def directions(at):
    """One through what all share, and a few through anchors of a single device."""
    rng = np.random.default_rng(1)
    everything = {name: rng.normal(size=np.shape(x)) for name, x in at.items()}
    some = [np.arange(devices.N) == i for i in (0, 17, devices.N - 1)]
    return [everything, *({"x": everything["x"] * mask[:, None]} for mask in some)]


@pytest.mark.parametrize("name", ["SimCLR", "CLIP"])
def test_losses_on_many_devices_are_those_of_two_loops(answers, name):
    batch, step = devices.batch(), 1e-5
    leaves = {name: batch.learn[name] for name in ("W", "t")}
    leaves |= {name: batch.points[name] for name in ("x", "y")}
    at = {name: np.asarray(x, np.float64) for name, x in leaves.items()}
    value, (learned, points) = answers(MANY, "gathered")[name]
    np.testing.assert_allclose(value, by_loops(name, at), rtol=3e-6)
    for along in directions(at):
        moved = lambda s, along=along: at | {k: at[k] + s * v for k, v in along.items()}
        ends = [by_loops(name, moved(s)) for s in (step, -step)]
        got = sum(np.sum((learned | points)[k] * v) for k, v in along.items())
        expected = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------- the same bits


def as_bytes(tree):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


def differing(one, other):
    """The names of what differs."""
    assert one.keys() == other.keys()
    return [what for what in one if as_bytes(one[what]) != as_bytes(other[what])]


def test_deterministic_bits_are_those_of_one_device(answers):
    assert differing(answers(1, "bits"), answers(MANY, "bits")) == []


def test_deterministic_bits_are_those_without_a_shard_map(answers):
    alone, mapped = answers(1, "bits in one place"), answers(1, "bits")
    assert differing(alone, {what: mapped[what] for what in alone}) == []


def test_deterministic_losses_are_nearly_the_plain_ones(answers):
    assert far_from(answers(1, "bits"), answers(1, "plain"), 1e-5) == {}


@pytest.mark.slow
@pytest.mark.parametrize("count", SEVERAL)
def test_deterministic_bits_are_those_of_one_device_at_every_size(answers, count):
    one, many = (answers(x, "bits", "thorough") for x in (1, count))
    assert len(one) == len(devices.ALL_SIZES)
    assert differing(one, many) == []


@pytest.mark.slow
def test_deterministic_losses_of_every_size_are_nearly_the_plain_ones(answers):
    exact, plain = (answers(1, what, "thorough") for what in ("bits", "plain"))
    assert far_from(exact, plain, 1e-5) == {}


def test_a_jitted_loss_notices_that_it_is_to_be_deterministic(answers):
    values, exact, times = zip(*answers(1, "traced"), strict=True)
    assert exact == (False, True, False, True)
    assert times == (1, 2, 2, 2)  # each is traced once, and both are kept
    assert values[:2] == values[2:]


# ------------------------------------------------------- what is held


HELD = pytest.mark.parametrize(
    ("name", "which"), [slow("SimCLR", "thorough"), ("InfoNCE", "questions")]
)


@HELD
def test_candidates_are_gathered_once_and_not_in_every_strip(answers, name, which):
    program = answers(MANY, "held", which)[name, False, devices.BIG]
    assert program["points"] == 1
    assert program["gathers"] == program["outside_of_loops"] > 1  # their ids as well
    assert not program["passed_on"]


@HELD
def test_a_ring_gathers_nothing_and_holds_a_fraction_of_all_candidates(
    answers, name, which
):
    programs = answers(MANY, "held", which)
    ring, gathered = (programs[name, x, devices.BIG] for x in (True, False))
    assert ring["gathers"] == 0 and ring["passed_on"]
    assert gathered["bytes"] > devices.BIG * devices.COLUMNS * 4
    assert ring["bytes"] < gathered["bytes"] / 2


def test_a_ring_holds_in_proportion_to_its_share(answers):
    programs, n = answers(MANY, "held"), devices.BIG
    one, two = (programs["InfoNCE", True, k * n]["bytes"] for k in (1, 2))
    assert two < 2.2 * one


# ------------------------------------------------------- what is refused


@pytest.mark.parametrize("what", devices.REFUSED)
def test_what_cannot_be_spread_is_refused_while_it_is_traced(answers, what):
    assert answers(MANY, "refused")[what] == devices.REFUSED[what][0]
