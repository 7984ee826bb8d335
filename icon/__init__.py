"""Every representation-learning method is a choice of two neighbourhoods.

    E_i KL( p(·|i) ‖ q(·|i) )

p supervises, q is learned; icon.kl is the loss, and icon.TABLE the periodic table.
"""

import importlib

from icon._cached import grad_cache as grad_cache
from icon._cells import TABLE as TABLE
from icon._cells import Cell as Cell
from icon._checks import InvalidInput as InvalidInput
from icon._clusters import clusters as clusters
from icon._config import deterministic as deterministic
from icon._descent import (
    DivergenceError as DivergenceError,
)
from icon._descent import (
    PeerLost as PeerLost,
)
from icon._descent import (
    fit as fit,
)
from icon._descent import (
    gains as gains,
)
from icon._descent import (
    minimize as minimize,
)
from icon._graph import (
    entropic as entropic,
)
from icon._graph import (
    fuzzy as fuzzy,
)
from icon._graph import (
    graph as graph,
)
from icon._graph import (
    propagate as propagate,
)
from icon._graph import (
    symmetrize as symmetrize,
)
from icon._graph import (
    uniform as uniform,
)
from icon._graph import (
    union as union,
)
from icon._latent import density as density
from icon._latent import normal as normal
from icon._learned import positive as positive
from icon._loss import (
    Neighborhood as Neighborhood,
)
from icon._loss import (
    both_ways as both_ways,
)
from icon._loss import (
    cross_entropy as cross_entropy,
)
from icon._loss import (
    dense as dense,
)
from icon._loss import (
    hellinger as hellinger,
)
from icon._loss import (
    jsd as jsd,
)
from icon._loss import (
    kl as kl,
)
from icon._loss import (
    per_anchor as per_anchor,
)
from icon._loss import (
    terms as terms,
)
from icon._loss import (
    tv as tv,
)
from icon._masses.interpolated import interpolated as interpolated
from icon._masses.sampled import sampled as sampled
from icon._masses.sharded import sharded as sharded
from icon._masses.tiled import tiled as tiled
from icon._mix import (
    among as among,
)
from icon._mix import (
    bernoulli as bernoulli,
)
from icon._mix import (
    grouped as grouped,
)
from icon._mix import (
    margin as margin,
)
from icon._mix import (
    odds as odds,
)
from icon._mix import (
    reweigh as reweigh,
)
from icon._mix import (
    smooth as smooth,
)
from icon._near import knn as knn
from icon._near import near as near
from icon._points import (
    cosine as cosine,
)
from icon._points import (
    dot as dot,
)
from icon._points import (
    gaussian as gaussian,
)
from icon._points import (
    hard as hard,
)
from icon._points import (
    laplace as laplace,
)
from icon._points import (
    points as points,
)
from icon._points import (
    same as same,
)
from icon._points import (
    scores as scores,
)
from icon._points import (
    sharp as sharp,
)
from icon._points import (
    student_t as student_t,
)
from icon._points import (
    wide as wide,
)


__version__ = "0.1.0"

# loaded when used: they import Flax, scikit-learn or matplotlib
_LATER = ("data", "encoders", "estimators", "evaluate", "plot", "recipes")

__all__ = [
    name for name in dir() if name[0] != "_" and name not in ("importlib", "cli")
]
__all__ = sorted([*__all__, *_LATER, "check"])


def __getattr__(name: str):
    if name == "check":
        return importlib.import_module("icon._examine").check
    if name in _LATER:
        return importlib.import_module(f"icon.{name}")
    raise AttributeError(f"module 'icon' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
