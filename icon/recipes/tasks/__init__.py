"""What can p be built from? Each name of `icon cells --tasks`, and how it is made."""

from icon._table import evidence
from icon.recipes.task import Learned, Source
from icon.recipes.tasks import (
    counts,
    eigenvectors,
    labels,
    mixtures,
    models,
    points,
    reconstructions,
    steps,
    views,
    words,
)


POINTS, LINEAR = Learned.POINTS, Learned.LINEAR_MAP
MATRIX, OWN = Learned.MATRIX, Learned.PARAMETERS
TEXT = "python_docs"


def _of_points(task) -> Source:
    return Source(task, POINTS, data="digits")


def _solved(task, learned: Learned = POINTS, data: str = "digits") -> Source:
    return Source(task, learned, data=data, exact=True)


SOURCES = {
    "features": _of_points(points.features),
    "neighborhoods": _of_points(points.neighborhoods),
    "centered features": _solved(eigenvectors.centered),
    "kernels": _solved(eigenvectors.kernels),
    "graph": _of_points(points.adjacency),
    "graph and degrees": _solved(eigenvectors.with_degrees),
    "diffusion": _solved(eigenvectors.diffusion),
    "graph over degrees": _of_points(points.over_degrees),
    "geodesics": _solved(eigenvectors.geodesics),
    "spectral features": _of_points(points.spectral_features),
    "edges and strangers": _of_points(points.edges_and_strangers),
    "edges by membership": _of_points(points.edges_by_membership),
    # no free embedding can follow ids
    "items": Source(points.items, LINEAR, data="digits"),
    "rows of a graph": _solved(eigenvectors.rows_with_degrees, MATRIX),
    "all labels": _solved(eigenvectors.all_labels, MATRIX),
    "order": _solved(eigenvectors.order, MATRIX, "slow_sources"),
    "covarying pairs": _solved(eigenvectors.covarying, MATRIX),
    "correlated pairs": _solved(eigenvectors.correlated, MATRIX),
    "views": Source(views.views),
    "momentum keys": Source(views.momentum_keys),
    "views of neighbors": Source(views.views_of_neighbors, data="digits"),
    "triplets": Source(views.triplets),
    "pairs": Source(views.pairs, data="digits"),
    "labels": Source(labels.labels),
    "labels and classes": Source(labels.labels_and_classes),
    "labels and mixtures": Source(labels.labels_and_mixtures),
    "labels of all": Source(labels.labels_of_all, LINEAR, data="digits"),
    "labels and neighbors": Source(labels.labels_and_neighbors),
    "tags": Source(labels.tags),
    "hierarchy": Source(labels.hierarchy),
    "times": Source(views.times),
    "nodes": Source(views.nodes),
    "counts": Source(views.counts),
    "logits": Source(labels.logits),
    "side information": Source(views.side_information),
    "captions": Source(views.captions),
    "words": Source(words.words, data=TEXT),
    "words and strangers": Source(words.words_and_strangers, data=TEXT),
    "masked words": Source(words.masked_words, data=TEXT),
    "next levels": Source(steps.next_levels, data="digits"),
    "a teacher": Source(labels.a_teacher, after=("cross-entropy",)),
    "rows": Source(reconstructions.themselves, data="digits"),
    "rows and units": Source(reconstructions.themselves_by_units, data="digits"),
    "masked rows": Source(reconstructions.themselves_from_noise, data="digits"),
    "a posterior": Source(models.a_posterior, data="digits"),
    "steps of noise": Source(steps.steps_of_noise, data="digits"),
    "a grid of units": Source(models.a_grid, data="digits"),
    "choices": Source(counts.choices, OWN, data="ratings"),
    "ratings": Source(counts.ratings, OWN, data="ratings"),
    "word counts": Source(counts.word_counts, OWN, data=TEXT),
    "centers": Source(mixtures.centers, OWN, data="digits"),
    "a mixture": Source(mixtures.a_mixture, OWN, data="digits"),
    "mixed sources": Source(mixtures.mixed_sources, OWN, data="mixed_sources"),
}
BY_COLUMN = {  # what p is built from, unless the cell names it
    evidence.G: "features",
    evidence.T: "features",
    evidence.KNN: "features",
    evidence.SELF: "items",
    evidence.GRAPH: "graph",
    evidence.POSITIVE: "views",
    evidence.MODAL: "pairs",
    evidence.CLASS: "labels",
    evidence.LABEL: "labels and classes",
    evidence.TOKENS: "words",
    evidence.TEACHER: "a teacher",
    evidence.LATENT: "a posterior",
    evidence.GRID: "a grid of units",
    evidence.TIME: "order",
    evidence.PARTS: "a mixture",
}
