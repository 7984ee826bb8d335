"""Every representation-learning method is a choice of two neighbourhoods.

    E_i KL( p(·|i) ‖ q(·|i) )

p supervises, q is learned; icon.kl is the loss, and icon.TABLE the periodic table.
"""

import importlib

from icon._base.checks import InvalidInput
from icon._base.config import deterministic
from icon._engines.devices import sharded
from icon._engines.fft import interpolated
from icon._engines.tiles import tiled
from icon._loss.verbs import (
    Neighborhood,
    both_ways,
    cross_entropy,
    dense,
    hellinger,
    jsd,
    kl,
    per_anchor,
    terms,
    tv,
)
from icon._neighborhoods.clusters import clusters
from icon._neighborhoods.compose import (
    among,
    bernoulli,
    grouped,
    margin,
    odds,
    reweigh,
    smooth,
)
from icon._neighborhoods.continuum import density, normal
from icon._neighborhoods.graph import (
    entropic,
    fuzzy,
    graph,
    propagate,
    symmetrize,
    uniform,
    union,
)
from icon._neighborhoods.points import (
    cosine,
    dot,
    gaussian,
    hard,
    laplace,
    points,
    same,
    scores,
    sharp,
    student_t,
    wide,
)
from icon._neighborhoods.sampled import sampled
from icon._search.knn import knn, near
from icon._table.cells import TABLE, Cell
from icon._training.grad_cache import grad_cache
from icon._training.minimize import DivergenceError, PeerLost, fit, gains, minimize
from icon._training.positive import positive


__version__ = "0.1.0"

# loaded when used: they import Flax, scikit-learn or matplotlib
_LATER = ("data", "encoders", "estimators", "evaluate", "plot", "recipes")

__all__ = [
    name for name in dir() if name[0] != "_" and name not in ("importlib", "cli")
]
__all__ = sorted([*__all__, *_LATER, "check"])


def __getattr__(name: str):
    if name == "check":
        return importlib.import_module("icon._table.check").check
    if name in _LATER:
        return importlib.import_module(f"icon.{name}")
    raise AttributeError(f"module 'icon' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
