"""Every representation-learning method is a choice of two neighbourhoods.

    E_i KL( p(·|i) ‖ q(·|i) )

p supervises, q is learned; icon.kl is the loss, and icon.TABLE the periodic table.
"""

import importlib

from icon._cells import TABLE as TABLE, Cell as Cell
from icon._checks import InvalidInput as InvalidInput
from icon._clusters import clusters as clusters
from icon._descent import (
    DivergenceError as DivergenceError,
    fit as fit,
    minimize as minimize,
)
from icon._graph import (
    entropic as entropic,
    fuzzy as fuzzy,
    graph as graph,
    knn as knn,
    propagate as propagate,
    symmetrize as symmetrize,
    uniform as uniform,
    union as union,
)
from icon._latent import density as density, normal as normal
from icon._loss import (
    Neighborhood as Neighborhood,
    both_ways as both_ways,
    cross_entropy as cross_entropy,
    dense as dense,
    hellinger as hellinger,
    jsd as jsd,
    kl as kl,
    per_anchor as per_anchor,
    terms as terms,
    tv as tv,
)
from icon._mix import (
    among as among,
    bernoulli as bernoulli,
    grouped as grouped,
    margin as margin,
    odds as odds,
    reweigh as reweigh,
    smooth as smooth,
)
from icon._points import (
    cosine as cosine,
    dot as dot,
    gaussian as gaussian,
    hard as hard,
    laplace as laplace,
    points as points,
    same as same,
    scores as scores,
    sharp as sharp,
    student_t as student_t,
    wide as wide,
)


__version__ = "0.1.0"

# loaded when used: they import Flax, scikit-learn or matplotlib
_LATER = ("data", "encoders", "evaluate", "plot", "recipes")

__all__ = [name for name in dir() if name[0] != "_" and name not in ("importlib", "cli")]
__all__ += [*_LATER, "check"]


def __getattr__(name: str):
    if name == "check":
        return importlib.import_module("icon._examine").check
    if name in _LATER:
        return importlib.import_module(f"icon.{name}")
    raise AttributeError(f"module 'icon' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
