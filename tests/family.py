"""Which estimators turn rows into points, and how quickly in the tests?"""

from icon.estimators import (
    SNE,
    TSNE,
    UMAP,
    ContrastiveEncoder,
    NeighborEmbedding,
    ParametricTSNE,
    SpectralEmbedding,
)


QUICK = {
    TSNE: dict(perplexity=8, max_iter=100, early_exaggeration_iter=50),
    NeighborEmbedding: dict(max_iter=50),
    SNE: dict(perplexity=8, max_iter=50),
    UMAP: dict(max_iter=50),
    ParametricTSNE: dict(perplexity=8, max_iter=40),
    ContrastiveEncoder: dict(max_iter=40),
    SpectralEmbedding: dict(),
}
FREE = (NeighborEmbedding, SNE, UMAP)  # whose points are free, but for t-SNE's
NETWORKS = (ParametricTSNE, ContrastiveEncoder)
NEW = (*FREE, *NETWORKS)
EVERY = (*NEW, SpectralEmbedding)  # but for t-SNE, which has tests of its own
FAMILY = tuple(QUICK)
# one of each class that fits, transforms and watches, which the others inherit
BASES = (SNE, ContrastiveEncoder, SpectralEmbedding)


def quick(kind, **options):
    return kind(**QUICK[kind] | dict(random_state=0) | options)
