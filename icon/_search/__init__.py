"""Who is near? Searched once, before training."""

from icon._search.graph_algebra import propagate, symmetrize, union
from icon._search.knn import knn
from icon._search.metrics import METRICS
from icon._search.near import near
