"""Does a batch that is spread over devices have the loss and the slopes of one?

What is compared is said by devices.py, once for each number of virtual devices.
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


COUNTS = 1, 2, 4, 8
SEVERAL = COUNTS[1:]
HERE = Path(__file__).parent
CACHE = {
    "JAX_COMPILATION_CACHE_DIR": str(HERE.parent / ".jax_cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def start(kind, count, out):
    """A process with so many devices, which writes what they say."""
    env = {
        **os.environ,
        **CACHE,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(HERE.parent),
    }
    env.pop("XLA_FLAGS", None)  # what is compiled how, is for it to say
    run = [sys.executable, str(HERE / "devices.py"), kind, str(count), str(out)]
    done = subprocess.run(run, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def heard(tmp_path_factory):
    """What so many devices say, asked once, whichever worker comes first."""
    base, known = tmp_path_factory.getbasetemp(), {}
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def hear(count, what, kind="questions"):
        out = base / f"{kind}-{count}.devices"
        if out not in known:
            with open(out.with_suffix(".lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not out.exists():
                    start(kind, count, out)
            known[out] = pickle.loads(out.read_bytes())
        said = known[out][what]
        assert not isinstance(said, str), said  # how it failed
        return said

    return hear


def off(got, expected) -> float:
    """How far two trees are apart, in units of the largest number of each leaf."""
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True)
    gaps = [np.max(np.abs(x - y)) / max(np.max(np.abs(y)), 1e-3) for x, y in pairs]
    assert np.all(np.isfinite(gaps))
    return float(max(gaps))


# ------------------------------------------------------- the loss of one device


WAYS = [(n, way) for n in COUNTS for way in devices.ways(n) if way != "eager"]


@pytest.mark.parametrize("count, way", WAYS)
def test_many_devices_say_what_one_says(heard, count, way):
    said, alone = heard(count, way), heard(1, "alone")
    gaps = {name: off(said[name], alone[name]) for name in said}
    assert {name: gap for name, gap in gaps.items() if gap > 5e-5} == {}


@pytest.mark.parametrize("count", COUNTS)
def test_a_loss_may_be_called_on_explicit_arrays_outside_of_any_jit(heard, count):
    alone = heard(1, "alone")
    for name, value in heard(count, "eager").items():
        np.testing.assert_allclose(value, alone[name][0], rtol=2e-6)


def test_every_loss_has_slopes_to_compare(heard):
    for name, (value, (learned, points)) in heard(1, "alone").items():
        assert np.isfinite(value) and value != 0, name
        assert np.all(np.any(points["x"] != 0, 1)) or "lonely" in name, name
        assert np.any(learned["t"] != 0) or name == "a scale each, q", name


# ------------------------------------------------------- the loss of two loops


def surprise(score, ids, within):
    """KL of neighbours that share an id, pair after pair."""
    total, everybody = 0.0, range(len(ids))
    for i in everybody:
        others = [j for j in everybody if not (within and i == j)]
        friends = [j for j in others if ids[i] == ids[j]]
        mass = np.log(sum(np.exp(score[i, j]) for j in others))
        expected = sum(score[i, j] for j in friends) / len(friends)
        total += mass - expected - np.log(len(friends))
    return total / len(ids)


def by_hand(name, at):
    """The same in double precision, from x, y, W and t."""
    z, other = at["x"] @ at["W"], at["y"] @ at["W"]
    ids = devices.batch().ids
    if name == "SimCLR":
        z = z / np.linalg.norm(z, axis=1, keepdims=True)
        return surprise(z @ z.T / at["t"], ids["view"], True)
    score = z @ other.T / at["t"]
    there = surprise(score, ids["own"], False)
    return (
        there if name == "InfoNCE" else (there + surprise(score.T, ids["own"], 0)) / 2
    )


def directions(at):
    """One through each anchor's point, and some through what all share."""
    rng = np.random.default_rng(1)
    for name in ("W", "t", "x", "x", "y"):
        yield name, rng.normal(size=np.shape(at[name]))
    for i in range(devices.N):
        yield "x", rng.normal(size=at["x"].shape) * (np.arange(devices.N) == i)[:, None]


@pytest.fixture(scope="session")
def hand():
    """The value by hand, and the slopes along many directions."""
    batch, step = devices.batch(), 1e-5
    at = {k: np.asarray(v, np.float64) for k, v in (batch.learn | batch.points).items()}

    def slope(name, leaf, along):
        value = lambda s: by_hand(name, at | {leaf: at[leaf] + s * along})
        return (value(step) - value(-step)) / (2 * step)

    def said(name):
        ways = list(directions(at))
        return by_hand(name, at), [(*way, slope(name, *way)) for way in ways]

    return {name: said(name) for name in ("SimCLR", "InfoNCE", "CLIP")}


@pytest.mark.parametrize("way", ["gathered", "ring", "auto", "explicit"])
@pytest.mark.parametrize("count", COUNTS)
def test_many_devices_say_what_two_loops_say(heard, hand, count, way):
    said = heard(count, way)
    for name in hand.keys() & said.keys():
        value, (learned, points) = said[name]
        expected, slopes = hand[name]
        np.testing.assert_allclose(value, expected, rtol=3e-6)
        for leaf, along, slope in slopes:
            got = np.sum((learned | points)[leaf] * along)
            np.testing.assert_allclose(got, slope, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------- the same bits


def as_bytes(tree):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


def differing(one, other):
    """What differs."""
    assert one.keys() == other.keys()
    return [what for what in one if as_bytes(one[what]) != as_bytes(other[what])]


@pytest.mark.parametrize("count", SEVERAL)
def test_deterministic_bits_are_those_of_one_device(heard, count):
    assert differing(heard(1, "bits"), heard(count, "bits")) == []


def test_deterministic_bits_are_those_without_a_shard_map(heard):
    alone, mapped = heard(1, "bits in one place"), heard(1, "bits")
    assert differing(alone, {what: mapped[what] for what in alone}) == []


def test_deterministic_losses_are_nearly_the_plain_ones(heard):
    plain = heard(1, "plain")
    gaps = {what: off(said, plain[what]) for what, said in heard(1, "bits").items()}
    assert {what: gap for what, gap in gaps.items() if gap > 1e-5} == {}


@pytest.mark.slow
@pytest.mark.parametrize("count", SEVERAL)
def test_deterministic_bits_are_those_of_one_device_at_every_size(heard, count):
    one, many = (heard(x, "bits", "every_size") for x in (1, count))
    assert len(one) == len(devices.ALL_SIZES)
    assert differing(one, many) == []


@pytest.mark.slow
def test_deterministic_losses_of_every_size_are_nearly_the_plain_ones(heard):
    said, plain = (heard(1, what, "every_size") for what in ("bits", "plain"))
    assert max(off(said[what], plain[what]) for what in plain) < 1e-5


def test_a_jitted_loss_notices_that_it_is_to_be_deterministic(heard):
    values, exact, times = zip(*heard(1, "traced"), strict=True)
    assert exact == (False, True, False, True)
    assert times == (1, 2, 2, 2)  # each is traced once, and both are kept
    assert values[:2] == values[2:]


# ------------------------------------------------------- what is held


@pytest.mark.parametrize("sloped", [False, True])
@pytest.mark.parametrize("name", ["SimCLR", "InfoNCE"])
@pytest.mark.parametrize("count", devices.FAR_APART)
def test_candidates_are_gathered_once_and_not_in_every_strip(
    heard, count, name, sloped
):
    said = heard(count, "held")[name, False, devices.BIG, sloped]
    assert said["points"] == 1
    assert said["gathers"] == said["outside_of_loops"] > 1  # their ids as well
    assert not said["passed_on"]


@pytest.mark.parametrize("sloped", [False, True])
@pytest.mark.parametrize("name", ["SimCLR", "InfoNCE"])
@pytest.mark.parametrize("count", devices.FAR_APART)
def test_nothing_is_gathered_where_candidates_go_round(heard, count, name, sloped):
    said = heard(count, "held")[name, True, devices.BIG, sloped]
    assert said["gathers"] == 0 and said["passed_on"]


@pytest.mark.parametrize("sloped", [False, True])
@pytest.mark.parametrize("name", ["SimCLR", "InfoNCE"])
def test_a_ring_holds_a_fraction_of_all_candidates(heard, name, sloped):
    said, whole = heard(8, "held"), devices.BIG * devices.COLUMNS * 4
    ring, gathered = (
        said[name, x, devices.BIG, sloped]["bytes"] for x in (True, False)
    )
    assert gathered > whole
    assert ring < gathered / 2
    assert sloped or ring < 0.75 * whole


@pytest.mark.parametrize("sloped", [False, True])
def test_a_ring_holds_in_proportion_to_its_share(heard, sloped):
    held = lambda count, n: heard(count, "held")["InfoNCE", True, n, sloped]["bytes"]
    n = devices.BIG
    assert held(8, 2 * n) < 2.2 * held(8, n)
    assert held(8, n) < held(2, n) / 2


# ------------------------------------------------------- what is refused


@pytest.mark.parametrize("what", devices.REFUSED)
def test_what_cannot_be_spread_is_refused_while_it_is_traced(heard, what):
    assert heard(2, "refused")[what] == devices.REFUSED[what][0]
