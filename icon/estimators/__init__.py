"""The scikit-learn face: estimators that fit, predict or transform, and are piped."""

from icon.estimators.clustering import NeighborClustering
from icon.estimators.contrastive import ContrastiveEncoder
from icon.estimators.neighbor_embedding import NeighborEmbedding
from icon.estimators.parametric_tsne import ParametricTSNE
from icon.estimators.sne import SNE
from icon.estimators.spectral import SpectralEmbedding
from icon.estimators.tsne import TSNE
from icon.estimators.umap import UMAP


__all__ = [
    "SNE",
    "TSNE",
    "UMAP",
    "ContrastiveEncoder",
    "NeighborClustering",
    "NeighborEmbedding",
    "ParametricTSNE",
    "SpectralEmbedding",
]
