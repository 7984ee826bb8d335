"""Who is a neighbour?"""

from icon._neighborhoods.affinity import (
    entropic,
    fixed_scale,
    fuzzy,
    self_tuning,
    uniform,
)
from icon._neighborhoods.both_ends import (
    STRIP,
    BothEnds,
    Edges,
    Pairwise,
    filled_up,
    pairwise,
)
from icon._neighborhoods.clusters import Factors, clusters
from icon._neighborhoods.components import components
from icon._neighborhoods.compose import (
    Mixture,
    Smoothed,
    among,
    bernoulli,
    grouped,
    margin,
    mix,
    odds,
    reweigh,
    sampled,
    smooth,
    tabulated,
)
from icon._neighborhoods.continuum import density, dirac, normal
from icon._neighborhoods.graph import Graph, from_sparse, graph, to_sparse
from icon._neighborhoods.kernels import Shortcut, umap
from icon._neighborhoods.limits import hard, sharp, unnormalized, wide
from icon._neighborhoods.points import (
    Points,
    cosine,
    dot,
    gaussian,
    laplace,
    points,
    same,
    scores,
    student_t,
)
from icon._neighborhoods.protocol import (
    EVERYBODY,
    ONE_OR_TWO,
    Neighborhood,
    answers,
    as_neighborhood,
    candidate_ids,
    of_base,
)
from icon._neighborhoods.rows import finite, weighted_sum
from icon._neighborhoods.sources import sources
