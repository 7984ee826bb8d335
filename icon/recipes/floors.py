"""What must a row of the table reach, to be what its name says?"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from icon._table import Cell


class Floor(NamedTuple):
    """What a score has to reach, on the data that a row is shown with.

    Args:
        score: its name; "loss value" for the loss itself.
        value: at least, or of an error at most.
        why: where the number comes from.
        than: another score of the same row, to which the value is added.
        least: whether a lower score is better.
    """

    score: str
    value: float
    why: str
    than: str = ""
    least: bool = False

    def of(self, found: Mapping[str, Any]) -> dict[str, Any] | None:
        """Whether a result holds it; None where it has no such score."""
        numbers = {"loss value": found["loss_value"], **found["scores"]}
        if self.score not in numbers or (self.than and self.than not in numbers):
            return None
        value = self.value + (numbers[self.than] if self.than else 0.0)
        own = numbers[self.score]
        held = own <= value if self.least else own >= value
        return dict(
            score=self.score, value=value, held=held, why=self.why, least=self.least
        )


def floor_of(cell: Cell, found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The floor of a row, and whether a result holds it; None where it has none."""
    floor = FLOORS.get(cell.name)
    return None if floor is None else floor.of(found)


# ------------------------------------------------------- the floors


def _above_untrained(margin: float, score: str = "linear probe") -> Floor:
    why = f"{margin:g} above the untrained network"
    return Floor(score, margin, why, f"untrained {score}")


def _above_a_plane(margin: float) -> Floor:
    return Floor("10-NN", margin, f"{margin:g} above a random plane", "untrained 10-NN")


def _near_raw(margin: float) -> Floor:
    why = f"the raw rows' 64 numbers have {margin:g} more"
    return Floor("10-NN", -margin, why, "raw 10-NN")


def _no_worse_than_k_means(slack: float = 0.0) -> Floor:
    why = "k-means of the raw rows has as much of the same loss"
    return Floor("loss", slack, why, "loss of k-means", least=True)


def _below_k_means(margin: float) -> Floor:
    why = f"the centers of k-means have {margin:g} more"
    return Floor("loss", -margin, why, "loss of k-means", least=True)


RETRIEVED = Floor("R@1", 0.05, "twenty times of what chance has")


def _one_point(loss: float) -> Floor:
    why = "what all rows in one point have: the hardest negative of a batch is nearer"
    return Floor("loss value", loss, why, least=True)


FLOORS: dict[str, Floor] = {
    **{name: _near_raw(0.08) for name in (
        "SNE", "symmetric SNE", "SNE graph embedding", "SNE, uniform affinities",
        "heavy-tailed t-SNE", "t-SNE graph embedding",
        "t-SNE, uniform affinities", "InfoNC-t-SNE", "UMAP", "UMAP, negative sampling",
        "neighborhood recall",
    )},
    "t-SNE": Floor("loss value", 0.756, "the exact KL of openTSNE 1.0.4", least=True),
    "SimCLR": Floor("linear probe", 0.75, "raw .33, a supervised CNN .94"),
    "SupCon": Floor("linear probe", 0.90, "raw .33, a supervised CNN .94"),
    "cross-entropy": Floor("linear probe", 0.90, "raw .33, a supervised CNN .94"),
    **{name: _above_untrained(0.05) for name in (
        "X-Sample CL", "LGSimCLR", "MoCo v3", "VICReg*", "average-margin SupCon",
        "class means", "triplet", "t-SimCLR", "t-SimCNE", "t-SupCon",
        "harmonic loss", "RSLVQ", "error rate",
    )},
    **{name: RETRIEVED for name in (
        "CLIP", "CMC", "average-margin CLIP", "t-CLIP",
    )},
    "triplet SupCon": _one_point(0.205),
    "triplet CLIP": _one_point(0.41),
    **{name: _no_worse_than_k_means(0.005) for name in (
        "k-means", "t k-means", "normalized cuts", "DCD", "spectral clustering",
        "InfoNCE clustering", "supervised clustering", "information gain",
        "co-clustering", "cluster balance",
    )},
    **{name: _above_a_plane(0.2) for name in (
        "PCA", "uniformity", "heavy-tailed uniformity", "VAE",
    )},
    **{name: Floor("10-NN", 0.6, "the plane of PCA has 0.65") for name in (
        "classical MDS", "Dual t-SNE", "doubly t-SNE",
    )},
    "kernel PCA": Floor("10-NN", 0.6, "the plane of PCA has 0.65"),
    "diffusion maps": Floor("10-NN", 0.88, "where Laplacian eigenmaps are"),
    "LPP": _above_a_plane(0.2),
    "LDA": _above_a_plane(0.2),
    "PLS-SVD": Floor("correlation", 0.3, "random maps have 0.1"),
    "CCA": Floor("correlation", 0.6, "the maps of largest covariance have 0.5"),
    "slow features": Floor("slowness", -0.03, "slower than what it is made of",
                           "raw slowness", least=True),
    "Isomap": Floor("10-NN", 0.7, "the Isomap of scikit-learn has 0.75"),
    "Laplacian eigenmaps": Floor("10-NN", 0.88, "where its eigenvectors start"),
    "graph triplet": Floor("10-NN", 0.8, "the plane where it starts has 0.65"),
    **{name: Floor("reconstruction error", 0.0, "that of PCA of the same width",
                   "error of PCA", least=True) for name in (
        "autoencoder", "sparse autoencoder", "denoising autoencoder",
    )},
    "autoregression": Floor("bits per entry", -0.3, "the levels' shares at each place",
                            "raw bits per entry", least=True),
    "diffusion": Floor("bits per entry", -0.15, "the levels' shares at each place",
                       "raw bits per entry", least=True),
    "NCA": _above_a_plane(0.3),
    "distillation": _above_untrained(0.05),
    "k-medians": _below_k_means(0.001),
    "fuzzy c-means": _below_k_means(0.02),
    "Gaussian mixture": Floor("log-likelihood", -0.01, "as scikit-learn's EM has it",
                              "log-likelihood of scikit-learn"),
    "PLSA": Floor("KL", 0.02, "a hundredth above scikit-learn's NMF",
                  "KL of scikit-learn", least=True),
    "implicit recommender": Floor("recall@20", 0.02, "above truncated SVD's",
                                  "recall@20 of truncated SVD"),
    "matrix factorisation": Floor("RMSE", 0.01, "as alternating least squares have it",
                                  "RMSE of alternating least squares", least=True),
    "ICA": Floor("Amari error", 0.002, "as scikit-learn's FastICA has it",
                 "Amari error of FastICA", least=True),
    "SOM": Floor("quantisation error", -0.4, "below the mean", "raw quantisation error",
                 least=True),
    **{name: Floor("perplexity", 0.0, "that of the words' shares", "raw perplexity",
                   least=True) for name in (
        "skip-gram", "skip-gram, negative sampling", "masked LM",
    )},
}  # fmt: skip
