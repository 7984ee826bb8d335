"""What can p be built from? The families of the table, and what p and q are handed."""

G, W, S, T, C = "Gaussian", "σ → ∞", "σ → 0", "Student-t", "Clusters"
SUMS, YES, DENSITY = "Class sums", "Yes or no", "Density"
KNN, POSITIVE, MODAL = "kNN", "Positive pairs", "Cross-modal pairs"
LABEL, GRAPH, SELF, CLASS = "Data-label pairs", "Graph", "Identity", "Classes"
TOKENS, TEACHER, LATENT, GRID = "Tokens", "Teacher", "Latent", "Grid"
TIME, PARTS = "Time", "Components"
KNOWN, PREDICTED, NEW = "known", "predicted", "new"
STATUS = (KNOWN, PREDICTED, NEW)
FAMILIES = (G, W, S, T, C, SUMS, YES, DENSITY)  # of q
EVIDENCE = (G, T, SELF, GRAPH, KNN, POSITIVE, MODAL, CLASS, LABEL)  # of p, in the grid
BEYOND = (TOKENS, TEACHER, LATENT, GRID, TIME, PARTS)
COLUMNS = (*EVIDENCE, *BEYOND)

# what p is built from -> what p is handed, what q is handed; of a batch of b rows or of
# all n. z is what the model makes of the rows; two views of each row are 2b rows of z.
TASKS = {
    # ---- all rows at once: a free embedding of n points
    "features": ("x [n, d]", "z [n, 2]"),
    "neighborhoods": ("x [n, d], k, perplexity: 30, and k = 90", "z [n, 2]"),
    "centered features": ("x [n, d], its mean at 0", "z [n, 2]"),
    "kernels": ("Gram matrix of Gaussian kernels [n, n]", "z [n, 2]"),
    "graph": ("weights, sparse [n, n]: also['graph'], or 15 nearest", "z [n, 2]"),
    "graph and degrees": ("weights, sparse [n, n]", "z [n, 2], degree [n]"),
    "diffusion": ("Gram matrix of random walks [n, n], degree [n]", "z, degree [n]"),
    "graph over degrees": ("weights / degree, [n, n]", "z [n, C], degree [n]"),
    "geodesics": ("Gram matrix of the shortest paths [n, n]", "z [n, 2]"),
    "spectral features": ("eigenvectors of the graph [n, C]", "z [n, C]"),
    "edges and strangers": (
        "index [n, 6]: a neighbour of each row, five others",
        "z [n, 2], index [n, 6]",
    ),
    "edges by membership": (
        "index [n, 6]: a neighbour drawn by UMAP's weights, five others",
        "z [n, 2], index [n, 6]",
    ),
    # ---- an orthonormal map of all rows
    "items": ("ids [n], ids [n]", "z [n, 2]"),
    # ---- a linear map of all rows, in closed form
    "rows of a graph": ("weights, sparse [n, n]", "z [n, 2], degree [n]"),
    "all labels": ("labels [n], labels [n]", "z [n, 2]"),
    "order": ("weights, sparse [n, n]: also['time'], what is next in it", "z [n, 2]"),
    "covarying pairs": ("ids [n], ids [n]", "u [n, 2], v [n, 2]: either modality"),
    "correlated pairs": ("ids [n], ids [n]", "u [n, 2], v [n, 2]: either modality"),
    # ---- batches: a network
    "views": ("ids [2b], two views of each row", "z [2b, k]"),
    "momentum keys": ("ids [b], ids [b]", "queries [b, k], slow keys [b, k]"),
    "views of neighbors": ("ids [5b]: two views, three neighbours", "z [5b, k]"),
    "triplets": ("index [2b, 2]: another view, a view of another", "z [2b, k], index"),
    "pairs": (
        "ids [b], ids [b]",
        "u [b, k], v [b, k]: either modality; without one, flat halves",
    ),
    "labels": ("labels [2b], two views of each row", "z [2b, k]"),
    "labels and classes": ("labels [b], classes [C]", "z [b, k], prototypes [C, k]"),
    "labels and mixtures": ("labels [b], classes [C]", "z [b, k], w [C, 3, k]"),
    "labels of all": ("labels [n], classes [C]", "z [n, 2], labels [n], classes [C]"),
    "labels and neighbors": (
        "the Graph of 15 nearest among the b rows, labels [b], -1 for none",
        "z [b, k]",
    ),
    "tags": ("tags [2b, L] of 0 and 1, two views of each row", "z [2b, k]"),
    "hierarchy": ("labels of each level [2b, levels], two views", "z [2b, k]"),
    "times": ("time [b], divided by its deviation", "z [b, k]"),
    "nodes": ("the Graph of also['graph'] among the b rows", "z [b, k]"),
    "counts": ("counts [b, items]", "users [b, k], items [items, k]"),
    "logits": ("logits [b, C] that are given", "logits [b, C] of the model"),
    "side information": (
        "side [2b, s]: also['side'], or tags, or classes",
        "z [2b, k]",
    ),
    "captions": (
        "captions [2b, s]: also['side'], or the brightness of patches",
        "z [2b, k]",
    ),
    "words": ("contexts [b], all words [V]", "centres [b, k], words [V, k]"),
    "words and strangers": (
        "contexts [b], all words [V], index [b, 6]",
        "centres [b, k], words [V, k], index [b, 6]",
    ),
    "masked words": ("hidden words [m], all words [V]", "z [m, k], words [V, k]"),
    "next levels": (
        "levels [b d], each of them once [17]",
        "what is before each [b d, k], levels [17, k]",
    ),
    "a teacher": (
        "(logits [b, C],), (labels [b], classes [C])",
        "(student's logits [b, C],), (the same,)",
    ),
    "rows": ("x [b, d], scaled", "decoded [b, d]"),
    "rows and units": (
        "(x [b, d], scaled,), (log rate of each unit on and off [k, 2],)",
        "(decoded [b, d],), (log mean of each unit on and off [k, 2],)",
    ),
    "masked rows": ("x [b, d], scaled", "decoded of masked rows [b, d]"),
    "a posterior": (
        "mean [b, 2], deviation [b, 2], key, 1 draw",
        "log p(x, z), decoder, x [b, d]",
    ),
    "steps of noise": (
        "mean [b, d], deviation [b, d] a step before noised rows",
        "the same, by a denoiser of these",
    ),
    "a grid of units": ("log neighbourhood of each row's unit [b, U]", "x, units"),
    "choices": ("counts, sparse [n, items]", "rows [n, 5], items [items, 5]"),
    "ratings": (
        "level of each rating [e], levels [L]",
        "predictions [e, 1], the numbers of the levels [L, 1]",
    ),
    "word counts": (
        "counts, sparse [n, words]",
        "topics of rows [n, C], of words [words, C]",
    ),
    "centers": ("x [n, d], centers [C, d]", "the same"),
    "a mixture": (
        "x [n, d], mean [C, d], covariance [C, d, d], weight [C]",
        "the same",
    ),
    "mixed sources": ("x [n, d], matrices [1, d, d] to the sources", "the same"),
}
