"""Every representation-learning method is a choice of two neighbourhoods.

    E_i KL( p(·|i) ‖ q(·|i) )

p supervises, q is learned; icon.kl is the loss, and icon.TABLE the periodic table.
"""

import importlib

from icon._base.checks import InvalidInput
from icon._base.config import deterministic
from icon._base.positive import positive
from icon._engines import interpolated, sharded, tiled
from icon._loss import (
    both_ways,
    cross_entropy,
    dense,
    divergence,
    hellinger,
    hinge,
    jsd,
    kl,
    per_anchor,
    reverse,
    terms,
    tv,
)
from icon._neighborhoods import (
    Neighborhood,
    among,
    bernoulli,
    clusters,
    components,
    cosine,
    density,
    dirac,
    dot,
    entropic,
    fixed_scale,
    fuzzy,
    gaussian,
    graph,
    grouped,
    hard,
    laplace,
    margin,
    mix,
    normal,
    odds,
    points,
    reweigh,
    same,
    sampled,
    scores,
    self_tuning,
    sharp,
    smooth,
    sources,
    student_t,
    uniform,
    unnormalized,
    wide,
)
from icon._search import knn, near, propagate, symmetrize, union
from icon._table import TABLE, Cell
from icon._training import (
    DivergenceError,
    PeerLost,
    fit,
    gains,
    grad_cache,
    minimize,
)


__version__ = "0.1.0"

# loaded when used: they import Flax, scikit-learn or matplotlib
_LATER = ("data", "encoders", "estimators", "evaluate", "plot", "recipes")
_OF_RECIPES = ("check", "orthonormal", "spectral", "whitened")

__all__ = [
    name for name in dir() if name[0] != "_" and name not in ("importlib", "cli")
]
__all__ = sorted([*__all__, *_LATER, *_OF_RECIPES])


def __getattr__(name: str):
    if name in _OF_RECIPES:
        return getattr(importlib.import_module("icon.recipes"), name)
    if name in _LATER:
        return importlib.import_module(f"icon.{name}")
    raise AttributeError(f"module 'icon' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
