"""Which methods are there? The periodic table as data: choices of p and q."""

import dataclasses
import functools as ft
import types

from icon._base.positive import positive
from icon._loss import both_ways, cross_entropy, hinge, kl, reverse, terms, tv
from icon._neighborhoods import (
    among,
    bernoulli,
    clusters,
    components,
    cosine,
    density,
    dirac,
    dot,
    entropic,
    fuzzy,
    gaussian,
    graph,
    grouped,
    hard,
    laplace,
    normal,
    odds,
    points,
    reweigh,
    same,
    scores,
    smooth,
    sources,
    student_t,
    umap,
    uniform,
    unnormalized,
    wide,
)
from icon._search import knn, symmetrize, union
from icon._table.cell import Cell
from icon._table.evidence import (
    CLASS,
    DENSITY,
    GRAPH,
    GRID,
    KNN,
    KNOWN,
    LABEL,
    LATENT,
    MODAL,
    NEW,
    PARTS,
    POSITIVE,
    PREDICTED,
    SELF,
    SUMS,
    TEACHER,
    TIME,
    TOKENS,
    YES,
    C,
    G,
    S,
    T,
    W,
)


# ------------------------------------------------------- losses of several rows


joint = ft.partial(kl, joint=True)
under_q = reverse(cross_entropy)  # the average is under q


def both_summed(p, q, *, loss, **options):
    """Both directions, summed instead of averaged."""
    return 2 * both_ways(loss)(p, q, **options)


def attraction(p, q, **options):
    """E_p of the energy alone, without a repulsion: Heskes' energy."""
    return terms(p, q, **options)[0]


def by_degree(p, q, *, loss=cross_entropy, **options):
    """Anchors have the weights that they have as candidates."""
    return loss(p, q, weight=q.weight, **options)


def hinton(p, q, **options):
    """KL times the square of the temperature, so that gradients keep their size."""
    return TEACHER_TEMPERATURE**2 * kl(p, q, **options)


# ------------------------------------------------------- parts of several rows


ROOT_HALF = 0.5**0.5  # s = -d²: SNE, and the limits without their factor of a half
TEACHER_TEMPERATURE = 4.0

squared = ft.partial(gaussian, scale=ROOT_HALF)  # -d²
warm = ft.partial(gaussian, scale=1.0)
narrow_hinge = ft.partial(hinge, m=0.2)


def nearest(x, k=None, perplexity=30.0, *, kernel=gaussian):
    """All others at one perplexity, or the k nearest."""
    near = knn(x, len(x) - 1 if k is None else k)
    return entropic(*near, perplexity=perplexity, kernel=kernel)


def heavy(x, near=7):
    """Student's t over all others, as wide as a near neighbour is far on average.

    No perplexity sets the width: of a heavy tail in many dimensions it hardly depends
    on it.
    """
    return student_t(x, scale=knn(x, min(near, len(x) - 1))[1][:, -1].mean())


def mutual(x, k=None, perplexity=30.0, *, kernel=gaussian):
    return symmetrize(nearest(x, k, perplexity, kernel=kernel))


def uniform_knn(x, k=15):
    return uniform(knn(x, k)[0])


def mutual_uniform_knn(x, k=15):
    return symmetrize(uniform_knn(x, k))


def fuzzy_union(x, k=15):
    """UMAP's graph: every edge has a probability of its own."""
    return bernoulli(odds(symmetrize(fuzzy(*knn(x, k)), union)))


def first_listed(index):
    """The first candidate listed for an anchor is its neighbour."""
    return uniform(index[:, :1])


def yes_to(contexts, words, index):
    """Each word listed for a centre has a label: yes if it is its context."""
    return bernoulli(among(odds(same(contexts, words)), index))


def yes_to_first(index):
    """Each candidate listed has a label: yes for the first."""
    return yes_to(index[:, 0], range(len(index)), index)


def itself(x, **scale):
    return gaussian(x, x, **scale)


def smoothed(ids):
    return smooth(same(ids), 0.6)


at_temperature = ft.partial(scores, temperature=TEACHER_TEMPERATURE)


def harmonic(z, prototypes):
    """(d² + eps)^-n, with n near the square root of the dimension and eps = 1e-4."""
    dof = 2.0 * round(z.shape[1] ** 0.5) - 1
    return student_t(z, prototypes, dof=dof, scale=(1e-4 / dof) ** 0.5)


def mixtures(z, prototypes):
    """Classes as mixtures: the sum over r prototypes each [C, r, d]."""
    count, each, d = prototypes.shape
    owner = [c for c in range(count) for _ in range(each)]
    return grouped(gaussian(z, prototypes.reshape(-1, d)), owner, count)


# ------------------------------------------------------- the table


# fmt: off
ROWS = (
    # ---- q is Gaussian: softmax of -d² or of a dot product
    Cell("SNE", nearest, squared, kl, "neighborhoods", G, G, KNOWN,
         "Hinton & Roweis 2002"),
    Cell("symmetric SNE", mutual, squared, joint, "neighborhoods", G, G, KNOWN,
         "Cook et al. 2007; one distribution over pairs"),
    Cell("X-Sample CL", ft.partial(cosine, temperature=0.1),
         ft.partial(cosine, temperature=0.07), kl, "side information", G, G, KNOWN,
         "Sobal et al. 2024",
         differs="what is known beside are noisy shapes or labels, not captions"),
    Cell("Dual t-SNE", heavy, squared, kl, "features", G, T, PREDICTED,
         "I-Con 2025, grey"),
    Cell("uniformity", same, itself, kl, "items", G, SELF, NEW,
         "Wang & Isola 2020, as a cell"),
    Cell("SNE graph embedding", graph, squared, kl, "graph", G, GRAPH, PREDICTED,
         "I-Con 2025, grey"),
    Cell("implicit recommender", graph, dot, kl, "choices", G, GRAPH, KNOWN,
         "Liang et al. 2018, multinomial likelihood",
         differs="factors of rows and items for an autoencoder of rows"),
    Cell("SNE, uniform affinities", uniform_knn, squared, kl, "features", G, KNN, KNOWN,
         "Böhm et al. 2022"),
    Cell("LGSimCLR", ft.partial(uniform_knn, k=1),
         ft.partial(cosine, temperature=0.1), kl,
         "captions", G, KNN, KNOWN, "El Banani et al. 2023",
         differs="captions are noisy shapes, or the brightness of patches, not text"),
    Cell("SimCLR", same, ft.partial(cosine, temperature=0.1), kl,
         "views", G, POSITIVE, KNOWN, "Oord et al. 2018 (InfoNCE); Chen et al. 2020"),
    Cell("MoCo v3", same, ft.partial(cosine, temperature=0.2), kl,
         "momentum keys", G, POSITIVE, KNOWN, "Chen, Xie & He 2021",
         differs="one of its two directions a step, at a momentum that stays at .99"),
    Cell("CLIP", same, cosine, both_ways(kl), "pairs", G, MODAL, KNOWN,
         "Radford et al. 2021", {"temperature": positive(0.07)}),
    Cell("CMC", same, ft.partial(cosine, temperature=0.07),
         ft.partial(both_summed, loss=kl), "pairs", G, MODAL, KNOWN,
         "Tian et al. 2020, full softmax",
         differs="all pairs of a batch for a memory bank"),
    Cell("SupCon", same, ft.partial(cosine, temperature=0.1), kl,
         "labels", G, CLASS, KNOWN, "Khosla et al. 2020"),
    Cell("cross-entropy", same, dot, kl, "labels and classes", G, LABEL, KNOWN,
         "Good 1952"),
    Cell("matrix factorisation", same,
         lambda predicted, levels: unnormalized(gaussian(predicted, levels)), kl,
         "ratings", G, LABEL, KNOWN, "Salakhutdinov & Mnih 2008 (PMF)"),
    # ---- sigma to infinity: the mean where the others have logsumexp
    Cell("classical MDS", lambda x: wide(dot(x, x), 2), lambda y: wide(dot(y, y), 2),
         kl, "centered features", W, G, NEW,
         "Torgerson 1952; not in the paper's table"),
    Cell("PCA", same, lambda y: wide(squared(y, y)), cross_entropy,
         "items", W, SELF, KNOWN, "Pearson 1901"),
    Cell("kernel PCA", lambda gram: wide(scores(gram), 2),
         lambda y: wide(dot(y, y), 2), kl, "kernels", W, G, NEW,
         "Schölkopf, Smola & Müller 1998"),
    Cell("Laplacian eigenmaps", graph,
         lambda y, degree: wide(reweigh(squared(y, y), degree)), by_degree,
         "graph and degrees", W, GRAPH, NEW, "Belkin & Niyogi 2003"),
    Cell("LPP", graph,
         lambda y, degree: wide(reweigh(squared(y, y), degree)), by_degree,
         "rows of a graph", W, GRAPH, NEW, "He & Niyogi 2004",
         differs="rows are centred: a constant is no projection"),
    Cell("diffusion maps",
         lambda gram, degree: wide(reweigh(scores(gram), degree), 2),
         lambda y, degree: wide(reweigh(dot(y, y), degree), 2),
         ft.partial(by_degree, loss=kl), "diffusion", W, GRAPH, NEW,
         "Coifman & Lafon 2006"),
    Cell("Isomap", lambda gram: wide(scores(gram), 2), lambda y: wide(dot(y, y), 2),
         kl, "geodesics", W, GRAPH, NEW, "Tenenbaum et al. 2000; kernel PCA"),
    Cell("VICReg*", same, lambda z: wide(squared(z)), cross_entropy,
         "views", W, POSITIVE, KNOWN,
         "Bardes et al. 2022, without its covariance term",
         differs="whitened (W-MSE, Ermolov et al. 2021) for variance and covariance"),
    Cell("average-margin CLIP", same, lambda u, v: wide(squared(u, v)), cross_entropy,
         "pairs", W, MODAL, PREDICTED, "I-Con 2025, grey; PLS-SVD when linear"),
    Cell("PLS-SVD", same, lambda u, v: wide(dot(u, v)), cross_entropy,
         "covarying pairs", W, MODAL, NEW, "Wold 1975; Wegelin 2000"),
    Cell("CCA", same, lambda u, v: wide(dot(u, v)), cross_entropy,
         "correlated pairs", W, MODAL, NEW, "Hotelling 1936; Vinod 1976 (shrunken)"),
    Cell("LDA", same, lambda z: wide(squared(z, z)), cross_entropy,
         "all labels", W, CLASS, NEW, "Fisher 1936; Friedman 1989 (shrunken)"),
    Cell("slow features", graph, lambda z: wide(squared(z, z)), cross_entropy,
         "order", W, TIME, NEW, "Wiskott & Sejnowski 2002"),
    Cell("average-margin SupCon", same, lambda z: wide(squared(z)), cross_entropy,
         "labels", W, CLASS, PREDICTED, "I-Con 2025, grey; between-class scatter"),
    Cell("class means", same, lambda z, w: wide(dot(z, w)), cross_entropy,
         "labels and classes", W, LABEL, NEW, "nearest centroids, as a cell"),
    # ---- sigma to zero: the maximum
    Cell("graph triplet", graph, squared, ft.partial(hinge, m=1.0),
         "graph", S, GRAPH, NEW, "Weinberger & Saul 2009 (LMNN), as a cell",
         differs="free points in a plane, where few margins fit, for a linear map"),
    Cell("neighborhood recall", uniform_knn, lambda z: hard(squared(z), 15), tv,
         "features", S, KNN, NEW, "a metric that is a cell"),
    Cell("triplet", first_listed, lambda z, index: among(squared(z), index),
         narrow_hinge, "triplets", S, POSITIVE, KNOWN, "Schroff et al. 2015"),
    Cell("triplet CLIP", same, squared, ft.partial(both_summed, loss=narrow_hinge),
         "pairs", S, MODAL, PREDICTED, "I-Con 2025, grey; VSE++, Faghri et al. 2018",
         differs="from random networks, not trained ones: it falls into one point"),
    Cell("triplet SupCon", same, squared, narrow_hinge,
         "labels", S, CLASS, PREDICTED, "I-Con 2025, grey",
         differs="it falls into one point: the hardest negative of 460 is too near"),
    Cell("error rate", same, lambda z, w: hard(dot(z, w)), tv,
         "labels and classes", S, LABEL, PREDICTED, "I-Con 2025, grey"),
    # ---- q is Student's t: heavy tails
    Cell("t-SNE", mutual, student_t, joint, "neighborhoods", T, G, KNOWN,
         "van der Maaten & Hinton 2008; one distribution over pairs"),
    Cell("heavy-tailed t-SNE", mutual, ft.partial(student_t, dof=0.5), joint,
         "neighborhoods", T, G, KNOWN, "Kobak et al. 2019",
         differs="its kernel (1 + d²/α)^-α at α = .75, in another unit of the plane"),
    Cell("doubly t-SNE", heavy, student_t, joint, "features", T, T, PREDICTED,
         "I-Con 2025, grey"),
    Cell("heavy-tailed uniformity", same, lambda z: student_t(z, z), kl,
         "items", T, SELF, NEW, "uniformity that outliers cannot buy"),
    Cell("t-SNE graph embedding", graph, student_t, joint, "graph", T, GRAPH, KNOWN,
         "Kruiger et al. 2017 (tsNET)"),
    Cell("t-SNE, uniform affinities", mutual_uniform_knn, student_t, joint,
         "features", T, KNN, KNOWN, "Böhm et al. 2022"),
    Cell("InfoNC-t-SNE", first_listed, lambda z, index: among(student_t(z), index), kl,
         "edges and strangers", T, KNN, KNOWN, "Damrich et al. 2023"),
    Cell("t-SimCNE", same, student_t, kl,
         "views", T, POSITIVE, KNOWN, "Böhm et al. 2023",
         differs="two stages for three: 128 numbers, then the plane"),
    Cell("t-SimCLR", same, ft.partial(student_t, dof=5.0, scale=0.1**0.5), kl,
         "views", T, POSITIVE, KNOWN, "Hu et al. 2023"),
    Cell("t-CLIP", same, student_t, both_ways(kl),
         "pairs", T, MODAL, PREDICTED, "I-Con 2025, grey"),
    Cell("t-SupCon", same, student_t, kl,
         "labels", T, CLASS, PREDICTED, "I-Con 2025, grey"),
    Cell("harmonic loss", same, harmonic, kl,
         "labels and classes", T, LABEL, KNOWN, "Baek et al. 2025"),
    # ---- q shares clusters
    Cell("k-means", itself, clusters, under_q, "features", C, G, KNOWN,
         "Lloyd 1957"),
    Cell("t k-means", lambda x: student_t(x, x), clusters, under_q,
         "features", C, T, PREDICTED, "I-Con 2025, grey"),
    Cell("cluster balance", same, clusters, kl, "items", C, SELF, NEW,
         "balanced codes: its minimum is log(n / C)"),
    Cell("spectral clustering", itself, clusters, under_q,
         "spectral features", C, GRAPH, KNOWN, "Ng, Jordan & Weiss 2002"),
    Cell("normalized cuts", scores,
         lambda phi, degree: clusters(phi, candidate_weight=degree), under_q,
         "graph over degrees", C, GRAPH, KNOWN, "Shi & Malik 2000"),
    Cell("DCD", graph, clusters, joint, "graph", C, KNN, KNOWN,
         "Yang, Corander & Oja 2016"),
    Cell("InfoNCE clustering", smoothed, lambda phi: smooth(clusters(phi), 0.6), kl,
         "views of neighbors", C, POSITIVE, KNOWN, "Alshammari et al. 2025; PMI"),
    Cell("co-clustering", same, clusters, both_ways(kl),
         "pairs", C, MODAL, NEW, "a codebook shared by two modalities"),
    Cell("supervised clustering", lambda labels: same(labels, labels), clusters, kl,
         "labels", C, CLASS, PREDICTED, "I-Con 2025, grey"),
    Cell("information gain", same, clusters, kl,
         "labels and classes", C, LABEL, NEW, "Quinlan 1986, as a cell"),
    # ---- beyond the grid
    Cell("NCA", same,
         lambda z, labels, classes: grouped(squared(z), labels, len(classes)), kl,
         "labels of all", SUMS, CLASS, KNOWN, "Goldberger et al. 2004"),
    Cell("RSLVQ", same, mixtures, kl,
         "labels and mixtures", SUMS, LABEL, KNOWN, "Seo & Obermayer 2003",
         differs="prototypes where a network is, of changed rows, not where rows are"),
    Cell("UMAP", fuzzy_union,
         lambda z: bernoulli(points(umap, z, a=1.577, b=0.895)), kl,
         "features", YES, KNN, KNOWN, "McInnes et al. 2018; every pair, no sampling"),
    Cell("UMAP, negative sampling", yes_to_first,
         lambda z, index: bernoulli(among(points(umap, z, a=1.577, b=0.895), index)),
         kl, "edges by membership", YES, KNN, KNOWN,
         "McInnes et al. 2018; Damrich et al. 2023",
         differs="one edge of every point a step, for one of the whole graph's"),
    Cell("skip-gram, negative sampling", yes_to,
         lambda u, v, index: bernoulli(among(dot(u, v), index)), kl,
         "words and strangers", YES, TOKENS, KNOWN, "Mikolov et al. 2013"),
    Cell("skip-gram", same, dot, kl, "words", G, TOKENS, KNOWN, "Mikolov et al. 2013"),
    Cell("PLSA", graph, clusters, joint, "word counts", C, TOKENS, KNOWN,
         "Hofmann 1999; NMF under KL, Lee & Seung 2001"),
    Cell("masked LM", same, dot, kl, "masked words", G, TOKENS, KNOWN,
         "Devlin et al. 2019",
         differs="a mixer for a transformer; a hidden word is always the mask"),
    Cell("autoregression", same, dot, kl, "next levels", G, TOKENS, KNOWN,
         "Bengio et al. 2003; van den Oord et al. 2016",
         differs="pixels in one line, by convolutions along it"),
    dataclasses.replace(
        0.9 * Cell("soft labels", at_temperature, at_temperature, hinton)
        + 0.1 * Cell("hard labels", same, scores),
        name="distillation", learns_from="a teacher", row=G, column=TEACHER,
        status=KNOWN, reference="Hinton et al. 2015"),
    Cell("SOM", scores, squared, attraction,
         "a grid of units", S, GRID, KNOWN, "Kohonen 1982; Heskes 1999",
         differs="Adam on batches for Kohonen's rule"),
    Cell("autoencoder", dirac, normal, kl, "rows", DENSITY, SELF, KNOWN,
         "Hinton & Salakhutdinov 2006", {"std": positive(1.0)},
         differs="without pretraining by restricted Boltzmann machines"),
    dataclasses.replace(
        Cell("autoencoder", dirac, normal, learned={"std": positive(1.0)})
        + 384.0 * Cell("sparse units", scores, scores),
        # 3 for each of 128 units, of which the cell has the mean
        name="sparse autoencoder", learns_from="rows and units", row=DENSITY,
        column=SELF, status=KNOWN, reference="Ng 2011; Lee et al. 2007"),
    Cell("denoising autoencoder", dirac, normal, kl, "masked rows", DENSITY, SELF,
         KNOWN, "Vincent et al. 2008", {"std": positive(1.0)},
         differs="one code of dense layers for layers that are stacked"),
    Cell("k-medians", lambda x, c: hard(laplace(x, c)),
         lambda x, c: unnormalized(laplace(x, c)), kl,
         "centers", DENSITY, PARTS, KNOWN, "Bradley, Mangasarian & Street 1997",
         differs="Euclidean distances, spatial medians; Adam for the alternation"),
    Cell("fuzzy c-means", warm, lambda x, c: unnormalized(warm(x, c)), kl,
         "centers", DENSITY, PARTS, KNOWN, "Li & Mukaidono 1995, maximum entropy",
         differs="Adam for the alternation"),
    Cell("VAE", normal, density, kl, "a posterior", DENSITY, LATENT, KNOWN,
         "Kingma & Welling 2014"),
    Cell("diffusion", normal, normal, kl, "steps of noise", DENSITY, LATENT, KNOWN,
         "Sohl-Dickstein et al. 2015; Ho et al. 2020",
         differs="dense layers for a U-Net, which guess levels; steps weighed by KL"),
    Cell("Gaussian mixture", components,
         lambda x, *mixture: unnormalized(components(x, *mixture)), kl,
         "a mixture", DENSITY, PARTS, KNOWN, "Dempster, Laird & Rubin 1977"),
    Cell("ICA", sources, lambda x, w: unnormalized(sources(x, w)), kl,
         "mixed sources", DENSITY, PARTS, KNOWN,
         "Pham & Garat 1997; Bell & Sejnowski 1995"),
)
# fmt: on

TABLE = types.MappingProxyType({cell.name: cell for cell in ROWS})
