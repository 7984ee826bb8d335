"""What may a setting be?"""

import math
import warnings
from collections.abc import Sequence

import numpy as np

from icon._base import checks as check


def seed_of(random_state) -> int:
    """A seed that leaves every generator but the one given as it was."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return check.seed("random_state", random_state)


def functions(argument: str, callbacks) -> Sequence:
    """A list or tuple of functions."""
    several = isinstance(callbacks, list | tuple)
    good = several and all(map(callable, callbacks))
    expected = "a tuple of functions (step, loss, embedding)"
    check.require(good, argument, repr(callbacks), expected)
    return callbacks


def perplexities(perplexity) -> list[float]:
    """One or several perplexities, as a list."""
    several = isinstance(perplexity, list | tuple) or np.ndim(perplexity) > 0
    each = list(perplexity) if several else [perplexity]
    check.require(each, "perplexity", "nothing", "a number, or several")
    return [check.scalar("perplexity", h, 1) for h in each]


def feasible(perplexities: Sequence[float], n: int) -> list[float]:
    """Perplexities lowered to what n rows allow."""
    return [min(h, max(1.0, (n - 1) / 3)) for h in perplexities]


def lowered(perplexity, n: int) -> list[float]:
    """One or several perplexities as n rows allow; one warning where that is less.

    It names the line that called `fit`, four frames up.
    """
    wanted = perplexities(perplexity)
    used = feasible(wanted, n)
    if wanted != used:
        large = f"perplexity {max(wanted):g} is too large for {n} rows"
        warnings.warn(f"{large}: {max(used):.4g} is used", stacklevel=5)
    return used


def reach(perplexities: Sequence[float]) -> int:
    """How many neighbours have a weight that counts: three times the perplexity."""
    return math.ceil(3 * max(perplexities))
