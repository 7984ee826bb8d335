"""The scikit-learn face: embeddings that fit, transform, and are cloned and piped."""

from icon.estimators.tsne import TSNE


__all__ = ["TSNE"]
