"""Does whatever is composed at random agree with its formula, or is it refused?

Values agree with loops in NumPy, and gradients with central differences of these, along
a direction through all that is learned; or it is InvalidInput, by both, for a reason
that is written down here.
"""

import re

import compositions
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compositions import Case
from interpreter import interpret
from properties import dense_reference as reference
from zoo import FORMULA, OURS

import icon


# ------------------------------------------------------- what may be refused, and why


KIND = "got [A-Z][A-Za-z]+"
REASONS = {
    # which neighbourhood there is not
    f".*{KIND}, without `reduced`": "probabilities have no temperature",
    f".*{KIND}, without `reweighed`": "weights go on scores, not on probabilities",
    f".*{KIND}, without `T`": "what each anchor chose says nothing of the other side",
    f"p: .*{KIND}, without `support`": "what does not sum to one is not averaged under",
    "p: .*, got a density": "a density is scored, and cannot be sampled",
    ".*: expected none to lose, got numbers per .*": "numbers per anchor do not turn",
    ".*: expected T outside of jit, got a traced graph": "it is turned on the host",
    ".*: expected what sums over all candidates, .*": "of a limit there is no estimate",
    ".*: expected points whose log-mass is a sum, .*": "other masses have no tiles",
    ".*, got a placed neighbourhood": "where it is summed is no part of what it is",
    "q: expected points under a kernel, .*": "a field is of points",
    ".*, got a distribution for each pair": "yes or no is no candidate of an anchor",
    ".*, got a continuum": "what it is made of are candidates, one after the other",
    "samples: .*": "a support that has everybody needs no draws",
    "k: .*": "there are as many best candidates as candidates",
    "index: .*": "ids and rows are those of the neighbourhood",
    "neighborhoods: expected one shape, .*": "a mixture is over the same candidates",
    # which loss there is not
    "q: expected the anchors and candidates of p, .*": "a loss compares the same pairs",
    "p: expected the anchors and candidates of q, .*": "a margin compares these, too",
    "weight: expected None: joint takes .*": "joint takes the weights from the masses",
    "weight: expected as many anchors as .*": "a weight is of an anchor, both ways",
    "weight: expected shape .*": "a weight is of an anchor, both ways",
    "block: expected None, or no tiles, .*": "strips and tiles are sizes of one thing",
    ".*: expected one placement, got two placements, .*": "tiles have one size",
    "q: expected points as they are, got tiles": "a divergence sees p's whole support",
    "p: .*, got a support drawn at random": "f of a share is no share of f",
    "p: .*, got probabilities that may be .*": "a divergence has roots and logarithms",
}
# where the formula has a number all the same
STRICTER = {
    "q: expected probabilities, got a limit, .*": "below 0, or above its bound",
    "q: expected points .n, d., .*": "a field is in space",
    "q: expected one of .a - b., .*": "a field knows nothing but distances",
    "q: expected one kernel for all pairs, .*": "of a field the charges are equal",
    "deterministic: expected kl, .*": "of these alone the order is fixed",
    ".*, where bits are not .*, got another kind": "of these alone the order is fixed",
    ".*: expected one set, as same.ids., or two, .*": "j = i is in one alone",
}


def reason(error: icon.InvalidInput, stricter: bool) -> str:
    """Why this is refused; exactly one reason is written down for it."""
    known = STRICTER if stricter else REASONS | STRICTER
    found = [why for text, why in known.items() if re.fullmatch(text, str(error))]
    assert len(found) == 1, f"{len(found)} reasons are written down for: {error}"
    return found[0]


# ------------------------------------------------------- the two answers


def asked(case: Case, lib, one, two):
    """The loss, by either library, from what p and q learn."""
    p, q = case.p.build(lib, one), case.q.build(lib, two)
    verb = getattr(lib, case.ask.verb)
    verb = lib.both_ways(verb) if case.ask.both else verb
    if lib is FORMULA and case.ask.block:
        reference.require(not p.placed and not q.placed)
    return verb(p, q, **case.ask.options(lib, one.mass[: p.shape[0]]))


def by_formula(case: Case, s: float, step: float = 0.0):
    both = zip(case.seeds, case.dtypes, strict=True)
    ends = (compositions.exact(seed, s, dtype, step) for seed, dtype in both)
    return asked(case, FORMULA, *ends)


def by_library(case: Case):
    """Value and gradient at each place, as the case is run."""
    ends = list(zip(case.seeds, case.dtypes, strict=True))
    at = [tuple(compositions.rounded(x, s, dtype) for x, dtype in ends) for s in PLACES]
    both = jax.value_and_grad(lambda ends: asked(case, OURS, *ends))
    here = jax.tree.map(jnp.asarray, at[0])
    every = jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *at)
    if case.way == "interpreted":
        return interpret(both, here)
    if case.way == "swept":
        return interpret(jax.vmap(both), every)
    if case.way == "compiled":
        return jax.jit(jax.vmap(both))(every)
    return both(here)


# ------------------------------------------------------- whether they agree


STEP, PLACES = 1e-6, (0.0, 0.02)
JUMP, LEAST = 1e-2, 1e-9  # within one step: no slope; and of any jump
LARGE = 20.0  # a mean of 2 log Σ f of which one anchor's sum may be beyond float32


def differs(got, expected, slack, size) -> bool:
    size = max(1.0, size) if np.isfinite(expected) else 1.0
    return not np.isclose(got, expected, rtol=0, atol=slack * size, equal_nan=True)


def compare(case: Case, s: float, value, gradient):
    """Of one place: the value, and the gradient where the value is finite."""
    rough = not case.exact
    here, after, before = (by_formula(case, s, x) for x in (0.0, STEP, -STEP))
    if rough and case.ask.verb == "alpha" and value == np.inf and here > LARGE:
        return
    slack = case.slack + (2e-4 if rough else 1e-8)
    assert not differs(value, here, slack, abs(here)), (value, here)
    if not np.isfinite([here, after, before]).all():
        return
    if max(abs(after - here), abs(here - before)) > JUMP:  # two candidates tie
        return
    along = [compositions.direction(seed) for seed in case.seeds]
    terms = jax.tree.map(lambda g, d: np.float64(g) * d, gradient, tuple(along))
    terms = np.concatenate([np.ravel(x) for x in jax.tree.leaves(terms)])
    slope, sides = terms.sum(), ((after - here) / STEP, (here - before) / STEP)
    slack, size = case.slack + (1e-2 if rough else 1e-5), np.abs(terms).sum()
    if differs(slope, sum(sides) / 2, slack, size):  # at a kink, between both sides
        nearer = abs(by_formula(case, s, STEP / 10) - here)
        if nearer > max(abs(after - here) / 2, LEAST):  # two tie, and are nearly alike
            return
        low, high = sorted(sides)
        near = slack * max(1.0, abs(slope))
        kink = high - low > near and low - near <= slope <= high + near
        assert kink, (slope, sides)


def agrees(seed: int, draw=compositions.case) -> str:
    """The reason why it is refused; empty where it agrees."""
    with np.errstate(all="ignore"):
        with jax.enable_x64(True):
            case = draw(seed)
        print(case)  # pytest shows it where it fails
        with (
            jax.enable_x64(jnp.float64 in case.dtypes),
            icon.deterministic(case.deterministic),
        ):
            return check(case)


def check(case: Case) -> str:
    try:
        by_formula(case, 0.0)
        known = True
    except reference.Refused:
        known = False
    try:
        answer = by_library(case)
    except icon.InvalidInput as error:
        return reason(error, stricter=known)
    assert known, "the library has a value, and the formula has none"
    if np.ndim(answer[0]) == 0:
        compare(case, PLACES[0], *answer)
        return ""
    for k, s in enumerate(PLACES):
        compare(case, s, *jax.tree.map(lambda x, k=k: x[k], answer))
    return ""


SOON, ALL = range(10, 25), range(3200)  # the first ten take as long as these
KNOWN = {"", *REASONS.values(), *STRICTER.values()}


@pytest.mark.parametrize("seed", SOON)
def test_a_composition_agrees_with_its_formula(seed):
    assert agrees(seed) in KNOWN


@pytest.mark.slow
@pytest.mark.parametrize("seed", [seed for seed in ALL if seed not in SOON])
def test_more_compositions_agree_with_their_formula(seed):
    assert agrees(seed) in KNOWN


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_what_a_grid_interpolates_agrees_with_its_formula(seed):
    assert agrees(seed, compositions.case_on_a_grid) in KNOWN


def test_most_compositions_have_a_value_to_compare():
    """A generator of nothing but refusals would agree with everything."""

    def has_value(seed):
        with jax.enable_x64(True), np.errstate(all="ignore"):
            try:
                return bool(np.isfinite(by_formula(compositions.case(seed), 0.0)))
            except reference.Refused:
                return False

    assert sum(map(has_value, range(30))) > 15
