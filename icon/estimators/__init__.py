"""The scikit-learn face: estimators that fit, predict or transform, and are piped."""

from icon.estimators.clustering import NeighborClustering
from icon.estimators.tsne import TSNE


__all__ = ["TSNE", "NeighborClustering"]
