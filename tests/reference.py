"""What is each method, by its paper?

One function per row of the table, written from the paper's formula as loops over
anchors, in float64 and NumPy alone. Numbers come by their natural names and defaults
are the paper's (or, where it has none, the row's stated choice); a p that lists its
neighbours is `edges` (anchors, candidates) with `log_weights`. Everything is
differentiated by the complex step, so maxima are picked by the real part and nothing
takes an absolute value.
"""

import math

import numpy as np


REFERENCE = {}
ROOT_HALF = math.sqrt(0.5)  # exp(-d²) is a Gaussian of this scale
ROOT_TENTH = math.sqrt(0.1)  # τ = 0.1 as the scale of a Student
NO_WIDTH = math.sqrt(1e-4 / 3)  # ν γ² = ε = 1e-4 at ν = 3


def row(name):
    """Register the function as what the row of this name should be."""

    def register(function):
        REFERENCE[name] = function
        return function

    return register


# ------------------------------------------------------- arithmetic


def log_sum_exp(s):
    peak = s.real.max()
    return np.log(np.exp(s - peak).sum()) + peak


def squared(a, b):
    """‖a - b‖² of one point to each of several."""
    return ((a - b) ** 2).sum(-1)


def all_squared(a, b):
    return ((a[:, None] - b[None]) ** 2).sum(-1)


def largest(s):
    return s[np.argmax(s.real)]


def positive_part(s):
    return np.where(s.real > 0, s, 0)


def others(n, i):
    return np.delete(np.arange(n), i)


def sharing(ids, i):
    """The others of the same id."""
    same = np.flatnonzero(ids == ids[i])
    return same[same != i]


def neighbors(edges, log_weights, i):
    """The neighbours of i, and log p_ij = log (w_ij / Σ_k w_ik)."""
    of_i = edges[0] == i
    return edges[1][of_i], log_weights[of_i] - log_sum_exp(log_weights[of_i])


def log_sigmoid(s):
    """log 1 / (1 + e^-s), from its stable side."""
    return -np.log(1 + np.exp(-s)) if s.real > 0 else s - np.log(1 + np.exp(s))


def student(d2, dof, scale):
    """The logarithm of (1 + d² / ν γ²)^-((ν + 1) / 2)."""
    return -(dof + 1) / 2 * np.log(1 + d2 / (dof * scale**2))


# ------------------------------------------------------- what supervises, from raw data


def distances(x):
    d = np.sqrt(all_squared(x, x))
    np.fill_diagonal(d, np.inf)
    return d


def nearest(x, k):
    """The ids of the k nearest others of every point."""
    return np.argsort(distances(x), 1)[:, :k]


def from_rows(index, log_p, n):
    """Log-weights as a matrix, -inf where nothing is listed."""
    matrix = np.full((n, n), -np.inf)
    np.put_along_axis(matrix, index, log_p, 1)
    return matrix


def perplexity(x, k, target, kernel):
    """p_j|i ∝ kernel(d_ij / σ_i), exp H(p_i) = target; Hinton & Roweis 2002."""
    index, d = nearest(x, k), np.sort(distances(x), 1)[:, :k]
    log_p = []
    for row_of in d:
        low, high = -20.0, 20.0
        for _ in range(100):
            middle = (low + high) / 2
            s = kernel((row_of / math.exp(middle)) ** 2)
            s = s - log_sum_exp(s)
            if -(np.exp(s) * s).sum() > math.log(target):
                high = middle
            else:
                low = middle
        log_p.append(s)
    return from_rows(index, np.array(log_p), len(x))


def gaussian_perplexity(x, k, target):
    return perplexity(x, k, target, lambda d2: -d2 / 2)


def reach(x, k):
    """The distance to the k-th nearest other, on average."""
    return np.sort(distances(x), 1)[:, k - 1].mean()


def uniform(index, n):
    """p_ij = 1/k for the k that are listed; Böhm et al. 2022."""
    return from_rows(index, np.full(index.shape, -math.log(index.shape[1])), n)


def symmetric(log_weights, combine=lambda a, b: (a + b) / 2):
    w = np.exp(log_weights)
    with np.errstate(divide="ignore"):
        return np.log(combine(w, w.T))


def fuzzy_union(x, k):
    """v_ij = exp(-(d_ij - ρ_i) / σ_i), Σ_j v_ij = log2(k + 1); a + b - ab. UMAP 2018.

    UMAP's k counts the point itself, hence k + 1.
    """
    d, log_v = np.sort(distances(x), 1)[:, :k], []
    for row_of in d:
        past, low, high = row_of - row_of[0], 1e-9, 1e9
        for _ in range(200):
            middle = math.sqrt(low * high)
            if np.exp(-past / middle).sum() > math.log2(k + 1):
                high = middle
            else:
                low = middle
        log_v.append(-past / middle)
    strengths = from_rows(nearest(x, k), np.array(log_v), len(x))
    return symmetric(strengths, lambda a, b: a + b - a * b)


def unit(x):
    return x / np.sqrt((x**2).sum(1, keepdims=True))


# ------------------------------------------------------- q is Gaussian


@row("SNE")
def sne(edges, log_weights, y, scale=ROOT_HALF):
    """Σ_i KL(P_i ‖ Q_i) / n, Q_ij ∝ exp(-‖y_i - y_j‖²), j ≠ i; Hinton & Roweis 2002."""
    total = 0
    for i in range(len(y)):
        j, log_p = neighbors(edges, log_weights, i)
        energy = lambda k, i=i: squared(y[i], y[k]) / (2 * scale**2)
        log_q = -energy(j) - log_sum_exp(-energy(others(len(y), i)))
        total = total + (np.exp(log_p) * (log_p - log_q)).sum()
    return total / len(y)


@row("symmetric SNE")
def symmetric_sne(edges, log_weights, y, scale=ROOT_HALF):
    """KL(P ‖ Q) over pairs, Q_ij ∝ exp(-‖y_i - y_j‖²); Cook et al. 2007."""
    kernel = np.exp(-all_squared(y, y) / (2 * scale**2))
    return joint_kl(edges, log_weights, kernel)


@row("X-Sample CL")
def x_sample(g, u, side_temperature=0.1, temperature=0.07):
    """Mean KL of softmax(g_i·g_j / τ_s) to softmax(u_i·u_j / τ); Sobal et al. 2024."""
    total = 0
    for i in range(len(u)):
        j = others(len(u), i)
        wanted, found = g[j] @ g[i] / side_temperature, u[j] @ u[i] / temperature
        log_p, log_q = wanted - log_sum_exp(wanted), found - log_sum_exp(found)
        total = total + (np.exp(log_p) * (log_p - log_q)).sum()
    return total / len(u)


@row("Dual t-SNE")
def dual_t_sne(x, x_scale, y, x_dof=1.0, scale=ROOT_HALF):
    """Σ_i KL(P_i ‖ Q_i) / n, P_ij ∝ (1 + ‖x_i - x_j‖² / γ²)^-1; I-Con 2025, grey.

    γ is the distance to the seventh neighbour, on average.
    """
    total = 0
    for i in range(len(y)):
        j = others(len(y), i)
        wanted = student(squared(x[i], x[j]), x_dof, x_scale)
        found = -squared(y[i], y[j]) / (2 * scale**2)
        log_p, log_q = wanted - log_sum_exp(wanted), found - log_sum_exp(found)
        total = total + (np.exp(log_p) * (log_p - log_q)).sum()
    return total / len(y)


@row("uniformity")
def uniformity(x, candidates, scale=1.0):
    """E_i log Σ_k exp(-‖x_i - x_k‖² / 2σ²), self included; Wang & Isola 2020."""
    total = 0
    for i in range(len(x)):
        energy = squared(x[i], candidates) / (2 * scale**2)
        total = total + log_sum_exp(-energy) + energy[i]  # energy_ii = 0 in one set
    return total / len(x)


@row("SNE graph embedding")
def sne_graph(edges, log_weights, y, scale=ROOT_HALF):
    """SNE with p_ij = w_ij / d_i, every node alike; I-Con 2025, grey square."""
    return sne(edges, log_weights, y, scale)


@row("implicit recommender")
def implicit_recommender(edges, log_weights, rows, items, temperature=1.0):
    """-Σ_u E_{i~n_u} log softmax(items · u)_i less the entropy of n_u; Liang 2018."""
    total = 0
    for u in range(len(rows)):
        j, log_p = neighbors(edges, log_weights, u)
        s = items @ rows[u] / temperature
        total = total + (np.exp(log_p) * (log_p - s[j] + log_sum_exp(s))).sum()
    return total / len(rows)


@row("SNE, uniform affinities")
def sne_uniform(edges, log_weights, y, scale=ROOT_HALF):
    """SNE with p_ij = 1/k on the k nearest neighbours; Böhm et al. 2022."""
    return sne(edges, log_weights, y, scale)


@row("LGSimCLR")
def lgsimclr(edges, log_weights, u, temperature=0.1):
    """NT-Xent whose positive is the nearest caption; El Banani et al. 2023."""
    total = 0
    for i in range(len(u)):
        (positive,), _ = neighbors(edges, log_weights, i)
        logits = u[others(len(u), i)] @ u[i] / temperature
        total = total + log_sum_exp(logits) - u[positive] @ u[i] / temperature
    return total / len(u)


@row("SimCLR")
def simclr(u, views, temperature=0.1):
    """NT-Xent: -log e^(u_i·u_i⁺ / τ) / Σ_{k≠i} e^(u_i·u_k / τ); Chen et al. 2020."""
    total = 0
    for i in range(len(u)):
        (positive,) = sharing(views, i)
        logits = u @ u[i] / temperature
        total = total + log_sum_exp(np.delete(logits, i)) - logits[positive]
    return total / len(u)


def one_direction(queries, keys, temperature):
    """-log e^(q_i·k_i / τ) / Σ_j e^(q_i·k_j / τ), the other view's keys only."""
    total = 0
    for i in range(len(queries)):
        logits = keys @ queries[i] / temperature
        total = total + log_sum_exp(logits) - logits[i]
    return total / len(queries)


@row("MoCo v3")
def moco(queries, keys, temperature=0.2):
    """One of ctr(q1, k2) + ctr(q2, k1), without its factor 2τ; Chen, Xie & He 2021."""
    return one_direction(queries, keys, temperature)


@row("CLIP")
def clip(image, text, temperature=0.07):
    """½ [CE(image → text) + CE(text → image)]; Radford et al. 2021."""
    forward = one_direction(image, text, temperature)
    return (forward + one_direction(text, image, temperature)) / 2


@row("CMC")
def cmc(one, other, temperature=0.07):
    """L(V1, V2) + L(V2, V1), with the full softmax; Tian et al. 2020."""
    forward = one_direction(one, other, temperature)
    return forward + one_direction(other, one, temperature)


@row("SupCon")
def supcon(u, labels, temperature=0.1):
    """L_out - E log |P(i)|: -mean_{p∈P(i)} log softmax_{k≠i}; Khosla et al. 2020."""
    losses = []
    for i in range(len(u)):
        positives = sharing(labels, i)
        if len(positives):
            logits = u @ u[i] / temperature
            log_q = logits[positives] - log_sum_exp(np.delete(logits, i))
            losses.append(-log_q.mean() - math.log(len(positives)))
    return sum(losses) / len(losses)


@row("cross-entropy")
def cross_entropy(z, w, labels, temperature=1.0):
    """-E log softmax(w z_i)_{y_i}; Good 1952."""
    total = 0
    for i, label in enumerate(labels):
        logits = w @ z[i] / temperature
        total = total + log_sum_exp(logits) - logits[label]
    return total / len(z)


@row("matrix factorisation")
def matrix_factorisation(predicted, levels, rated, scale=1.0):
    """E (r - prediction)² / 2σ², minus a normal log-likelihood but for its constant."""
    error = predicted[:, 0] - levels[rated, 0]
    return (error**2).mean() / (2 * scale**2)


# ------------------------------------------------------- sigma to infinity


def stress(wanted, found):
    """½ E_i Var_j (g_ij - h_ij): strain / 2n² where the rows are centred."""
    gap = wanted - found
    return ((gap - gap.mean(1, keepdims=True)) ** 2).mean() / 2


@row("classical MDS")
def classical_mds(
    x, x_candidates, y, y_candidates, x_temperature=1.0, y_temperature=1.0
):
    """‖XXᵀ - YYᵀ‖² / 2n² on centred points, strain; Torgerson 1952."""
    wanted = x @ x_candidates.T / x_temperature
    return stress(wanted, y @ y_candidates.T / y_temperature)


@row("PCA")
def pca(y, candidates, scale=ROOT_HALF):
    """-2 tr Cov(y) = -E_ik ‖y_i - y_k‖² over all k; Pearson 1901."""
    own = squared(y, candidates).mean()  # 0 in one set
    return (own - all_squared(y, candidates).mean()) / (2 * scale**2)


@row("kernel PCA")
def kernel_pca(gram, y, candidates, gram_temperature=1.0, temperature=1.0):
    """Strain of the Gram matrix of kernels; Schölkopf, Smola & Müller 1998."""
    return stress(gram / gram_temperature, y @ candidates.T / temperature)


@row("Laplacian eigenmaps")
def laplacian_eigenmaps(edges, log_weights, y, candidates, degree, scale=ROOT_HALF):
    """2 tr FᵀLF / vol - 2 tr Fᵀ(Π - ππᵀ)F, π = degree / vol; Belkin & Niyogi 2003."""
    pi = degree / degree.sum()
    total = 0
    for i in range(len(y)):
        j, log_p = neighbors(edges, log_weights, i)
        pull = (np.exp(log_p) * squared(y[i], candidates[j])).sum()
        total = total + pi[i] * (pull - pi @ squared(y[i], candidates))
    return total / (2 * scale**2)


@row("LPP")
def lpp(edges, log_weights, y, candidates, degree, scale=ROOT_HALF):
    """2 tr WᵀXᵀLXW / vol less the covariance, y = XW; He & Niyogi 2004."""
    return laplacian_eigenmaps(edges, log_weights, y, candidates, degree, scale)


@row("diffusion maps")
def diffusion_maps(gram, gram_degree, y, candidates, degree, gram_t=1.0, t=1.0):
    """½ E_i Var_j (K_ij - y_i · y_j), both under π = degree / vol; Lafon 2006.

    The row has the logarithms of p, whose own degrees only p has.
    """
    pi, wanted = degree / degree.sum(), gram_degree / gram_degree.sum()
    total = 0
    for i in range(len(y)):
        a, b = gram[i] / gram_t, y[i] @ candidates.T / t
        p = wanted * (1 + a - wanted @ a)
        mass = lambda share, s: share @ s + (share @ (s - share @ s) ** 2) / 2
        total = total + pi[i] * (p @ a - mass(wanted, a) - p @ b + mass(pi, b))
    return total


@row("Isomap")
def isomap(gram, y, candidates, gram_temperature=1.0, temperature=1.0):
    """Strain of the Gram matrix of geodesics; Tenenbaum et al. 2000."""
    return stress(gram / gram_temperature, y @ candidates.T / temperature)


@row("VICReg*")
def vicreg_star(z, views, scale=ROOT_HALF):
    """E ‖z_i - z_i⁺‖² - 2 tr Cov_{n-1}(z); Bardes et al. 2022, no covariance term."""
    near = np.mean([squared(z[i], z[sharing(views, i)]).mean() for i in range(len(z))])
    n = len(z)
    return (near - all_squared(z, z).sum() / (n * (n - 1))) / (2 * scale**2)


@row("average-margin CLIP")
def average_margin_clip(u, v, scale=ROOT_HALF):
    """E_i ‖u_i - v_i‖² - E_ij ‖u_i - v_j‖² = -2 tr Cov(u, v); I-Con 2025, grey."""
    return (squared(u, v).mean() - all_squared(u, v).mean()) / (2 * scale**2)


@row("PLS-SVD")
def pls_svd(u, v, temperature=1.0):
    """-E_i u_i · v_i + E_ij u_i · v_j = -tr Cov(u, v); Wegelin 2000."""
    return (-(u * v).sum(1).mean() + u.mean(0) @ v.mean(0)) / temperature


@row("CCA")
def cca(u, v, temperature=1.0):
    """The same, whose u and v are white; Hotelling 1936."""
    return pls_svd(u, v, temperature)


@row("LDA")
def lda(z, candidates, labels, scale=ROOT_HALF):
    """2 tr S_W - 2 tr S_T = -2 tr S_B of classes and of all; Fisher 1936."""
    own = [squared(z[i], candidates[labels == labels[i]]).mean() for i in range(len(z))]
    return (np.mean(own) - all_squared(z, candidates).mean()) / (2 * scale**2)


@row("slow features")
def slow_features(edges, log_weights, z, candidates, scale=ROOT_HALF):
    """E_i ‖z_t - z_{t±1}‖² - 2 tr Cov(z); Wiskott & Sejnowski 2002."""
    total = 0
    for i in range(len(z)):
        j, log_p = neighbors(edges, log_weights, i)
        total = total + np.exp(log_p) @ squared(z[i], candidates[j])
    return (total / len(z) - all_squared(z, candidates).mean()) / (2 * scale**2)


@row("average-margin SupCon")
def average_margin_supcon(z, labels, scale=ROOT_HALF):
    """E_i [mean_{P(i)} ‖z_i - z_j‖² - mean_{j≠i} ‖z_i - z_j‖²]; I-Con 2025, grey."""
    margins = []
    for i in range(len(z)):
        d2 = squared(z[i], z)
        if len(sharing(labels, i)):
            margins.append(d2[sharing(labels, i)].mean() - np.delete(d2, i).mean())
    return sum(margins) / len(margins) / (2 * scale**2)


@row("class means")
def class_means(z, w, labels, temperature=1.0):
    """-E z_i · (w_{y_i} - mean_c w_c): prototypes along the class means."""
    return -(z * (w[labels] - w.mean(0))).sum(1).mean() / temperature


# ------------------------------------------------------- sigma to zero


@row("graph triplet")
def graph_triplet(edges, log_weights, y, scale=ROOT_HALF, margin=1.0):
    """Σ_j p_ij d_ij - min_k (d_ik - m [k no neighbour]); Weinberger & Saul 2009."""
    total = 0
    for i in range(len(y)):
        j, log_p = neighbors(edges, log_weights, i)
        energy = squared(y[i], y) / (2 * scale**2)
        unlisted = ~np.isin(np.arange(len(y)), j)
        closest = -largest(np.delete(margin * unlisted - energy, i))
        total = total + np.exp(log_p) @ energy[j] - closest
    return total / len(y)


@row("neighborhood recall")
def neighborhood_recall(edges, log_weights, y, scale=ROOT_HALF, k=15):
    """1 - recall: Σ_j max(p_ij - 1/k [j among the k nearest of y_i], 0)."""
    total = 0
    for i in range(len(y)):
        j, log_p = neighbors(edges, log_weights, i)
        d2 = squared(y[i], y).real.copy()  # a ranking has no gradient
        d2[i] = np.inf
        found = np.isin(j, np.argsort(d2)[:k]) / k
        total = total + positive_part(np.exp(log_p) - found).sum()
    return total / len(y)


@row("triplet")
def triplet(edges, log_weights, z, negatives, scale=ROOT_HALF, margin=0.2):
    """E max(0, ‖a - p‖² - ‖a - n‖² + m); Schroff et al. 2015 (FaceNet)."""
    total = 0
    for i, negative in enumerate(negatives):
        (positive,), _ = neighbors(edges, log_weights, i)
        near, far = squared(z[i], z[positive]), squared(z[i], z[negative])
        total = total + positive_part((near - far) / (2 * scale**2) + margin)
    return total / len(z)


@row("triplet CLIP")
def triplet_clip(image, text, scale=ROOT_HALF, margin=0.2):
    """Σ over both directions of E max_{k≠i} [m + d_ii - d_ik]₊; Faghri et al. 2018."""
    total = 0
    for a, b in ((image, text), (text, image)):
        for i in range(len(a)):
            energy = squared(a[i], b) / (2 * scale**2)
            worst = largest(margin + energy[i] - np.delete(energy, i))
            total = total + positive_part(worst)
    return total / len(image)


@row("triplet SupCon")
def triplet_supcon(z, labels, scale=ROOT_HALF, margin=0.2):
    """mean_{P(i)} d - min_{k≠i} (d_ik - m [y_k ≠ y_i]); I-Con 2025, grey square."""
    losses = []
    for i in range(len(z)):
        energy, positives = squared(z[i], z) / (2 * scale**2), sharing(labels, i)
        if len(positives):
            closest = -largest(np.delete(margin * (labels != labels[i]) - energy, i))
            losses.append(energy[positives].mean() - closest)
    return sum(losses) / len(losses)


@row("error rate")
def error_rate(z, w, labels, temperature=1.0):
    """How often argmax_c w_c · z_i is not y_i; it has no gradient. I-Con 2025, grey."""
    logits = (z @ w.T / temperature).real
    return np.mean(np.argmax(logits, 1) != labels)


# ------------------------------------------------------- q is Student's t


def joint_kl(edges, log_weights, kernel):
    """Σ_{i≠j} P log P/Q, both of them one distribution over pairs."""
    log_p = log_weights - log_sum_exp(log_weights)
    pairs = kernel[~np.eye(len(kernel), dtype=bool)]
    log_q = np.log(kernel[tuple(edges)]) - np.log(pairs.sum())
    return (np.exp(log_p) * (log_p - log_q)).sum()


@row("t-SNE")
def t_sne(edges, log_weights, y, dof=1.0, scale=1.0):
    """KL(P ‖ Q) over pairs, Q_ij ∝ (1 + ‖y_i - y_j‖²)^-1; vdMaaten & Hinton 2008."""
    kernel = (1 + all_squared(y, y) / (dof * scale**2)) ** (-(dof + 1) / 2)
    return joint_kl(edges, log_weights, kernel)


@row("heavy-tailed t-SNE")
def heavy_tailed_t_sne(edges, log_weights, y, dof=0.5, scale=1.0):
    """Q_ij ∝ (1 + d² / α)^(-(α + 1) / 2), α = 1/2; Kobak et al. 2019."""
    return t_sne(edges, log_weights, y, dof, scale)


@row("doubly t-SNE")
def doubly_t_sne(x, x_scale, y, x_dof=1.0, dof=1.0, scale=1.0):
    """t-SNE whose P_ij is Student's t too, as wide as in Dual t-SNE; I-Con, grey."""
    pairs = np.nonzero(~np.eye(len(y), dtype=bool))
    log_w = student(all_squared(x, x), x_dof, x_scale)[pairs]
    return t_sne(pairs, log_w, y, dof, scale)


@row("heavy-tailed uniformity")
def heavy_tailed_uniformity(x, candidates, dof=1.0, scale=1.0):
    """E_i log Σ_k (1 + ‖x_i - x_k‖²)^-1, self included."""
    total = 0
    for i in range(len(x)):
        s = student(squared(x[i], candidates), dof, scale)
        total = total + log_sum_exp(s) - s[i]  # s_ii = 0 in one set
    return total / len(x)


@row("t-SNE graph embedding")
def t_sne_graph(edges, log_weights, y, dof=1.0, scale=1.0):
    """t-SNE with P_ij = w_ij / Σ w; Kruiger et al. 2017 (tsNET)."""
    return t_sne(edges, log_weights, y, dof, scale)


@row("t-SNE, uniform affinities")
def t_sne_uniform(edges, log_weights, y, dof=1.0, scale=1.0):
    """t-SNE with P = (A + Aᵀ) / 2nk of the kNN graph A; Böhm et al. 2022."""
    return t_sne(edges, log_weights, y, dof, scale)


@row("InfoNC-t-SNE")
def info_nc_t_sne(edges, log_weights, y, negatives, dof=1.0, scale=1.0):
    """-E log w_ij / (w_ij + Σ_{m negatives} w_ik); Damrich et al. 2023."""
    total = 0
    for i, others in enumerate(negatives):
        (j,), _ = neighbors(edges, log_weights, i)
        w = np.exp(student(squared(y[i], y), dof, scale))
        total = total - np.log(w[j] / (w[j] + w[others].sum()))
    return total / len(y)


@row("t-SimCNE")
def t_simcne(z, views, dof=1.0, scale=1.0):
    """NT-Xent with e^(cos / τ) replaced by (1 + ‖z_i - z_j‖²)^-1; Böhm et al. 2023."""
    total = 0
    for i in range(len(z)):
        (positive,) = sharing(views, i)
        w = (1 + squared(z[i], z) / (dof * scale**2)) ** (-(dof + 1) / 2)
        total = total - np.log(w[positive] / np.delete(w, i).sum())
    return total / len(z)


@row("t-SimCLR")
def t_simclr(z, views, dof=5.0, scale=ROOT_TENTH):
    """NT-Xent with (1 + d² / (τ ν))^-((ν + 1) / 2), τ = 0.1; Hu et al. 2023."""
    return t_simcne(z, views, dof, scale)


def cauchy_direction(a, b, dof, scale):
    """-E log w_ii / Σ_j w_ij between two sets."""
    w = (1 + all_squared(a, b) / (dof * scale**2)) ** (-(dof + 1) / 2)
    return -np.log(np.diagonal(w) / w.sum(1)).mean()


@row("t-CLIP")
def t_clip(image, text, dof=1.0, scale=1.0):
    """CLIP under (1 + ‖u_i - v_j‖²)^-1; I-Con 2025, grey square."""
    forward = cauchy_direction(image, text, dof, scale)
    return (forward + cauchy_direction(text, image, dof, scale)) / 2


@row("t-SupCon")
def t_supcon(z, labels, dof=1.0, scale=1.0):
    """SupCon under (1 + ‖z_i - z_j‖²)^-1; I-Con 2025, grey square."""
    losses = []
    for i in range(len(z)):
        s, positives = student(squared(z[i], z), dof, scale), sharing(labels, i)
        if len(positives):
            log_q = s[positives] - log_sum_exp(np.delete(s, i))
            losses.append(-log_q.mean() - math.log(len(positives)))
    return sum(losses) / len(losses)


@row("harmonic loss")
def harmonic(z, w, labels, dof=3.0, scale=NO_WIDTH):
    """-E log (d_y + ε)^-n / Σ_c (d_c + ε)^-n, d squared, n ≈ √dim; Baek et al. 2025.

    n = (ν + 1) / 2 is 2 in three dimensions, ε = ν γ² = 1e-4.
    """
    total = 0
    for i, label in enumerate(labels):
        near = (squared(z[i], w) + dof * scale**2) ** (-(dof + 1) / 2)
        total = total - np.log(near[label] / near.sum())
    return total / len(z)


# ------------------------------------------------------- q shares clusters


def shared(phi, psi):
    """q_ij = Σ_c φ_ic ψ_jc / Σ_k ψ_kc."""
    return phi @ (psi / psi.sum(0)).T


def reverse(q, scores):
    """E_i [-Σ_j q_ij s_ij + log Z_i]: inertia plus the log of what p sums to."""
    n = len(q)
    pull = -(q * scores).sum() / n
    return pull + sum(log_sum_exp(scores[i]) for i in range(n)) / n


@row("k-means")
def k_means(x, candidates, phi, scale=1.0):
    """(inertia / σ² + Σ_i log Z_i) / n, Z_i with self; Lloyd 1957."""
    scores = -all_squared(x, candidates) / (2 * scale**2)
    return reverse(shared(phi, phi), scores)


@row("t k-means")
def t_k_means(x, candidates, phi, dof=1.0, scale=1.0):
    """Kernel k-means under log (1 + d²): Σ_ij q_ij D_ij / n + E log Z; I-Con 2025."""
    scores = student(all_squared(x, candidates), dof, scale)
    return reverse(shared(phi, phi), scores)


@row("cluster balance")
def cluster_balance(phi):
    """-E log Σ_c φ_ic² / n_c, at least log(n / C)."""
    return -np.log((phi**2 / phi.sum(0)).sum(1)).mean()


@row("spectral clustering")
def spectral_clustering(x, candidates, phi, scale=1.0):
    """k-means on spectral features; Ng, Jordan & Weiss 2002."""
    return k_means(x, candidates, phi, scale)


@row("normalized cuts")
def normalized_cuts(ratio, phi, degree, temperature=1.0):
    """((NCut - C) / T + Σ_i log Z_i) / n, p_ij ∝ exp(w_ij / T d_j); Shi & Malik 2000.

    C - NCut = Σ_c assoc(c, c) / vol(c) = Σ_ij q_ij w_ij / d_j, with q by degrees.
    """
    volume = degree @ phi
    within = sum(
        phi[:, c] @ (ratio * degree) @ phi[:, c] / volume[c] for c in range(len(volume))
    )
    mass = sum(log_sum_exp(row_of / temperature) for row_of in ratio)
    return (-within / temperature + mass) / len(phi)


@row("DCD")
def dcd(edges, log_weights, phi):
    """KL(A ‖ B), B_ij = Σ_c φ_ic φ_jc / n_c, each of total one; Yang et al. 2016."""
    log_a = log_weights - log_sum_exp(log_weights)
    log_b = np.log(shared(phi, phi)[tuple(edges)] / len(phi))
    return (np.exp(log_a) * (log_a - log_b)).sum()


@row("InfoNCE clustering")
def infonce_clustering(phi, views, p_alpha=0.6, q_alpha=0.6):
    """KL(p̃ ‖ q̃), each (1 - α) itself + α uniform; Alshammari et al. 2025.

    p excludes j = i, so its uniform part is over the n - 1 others.
    """
    n, q, total = len(phi), shared(phi, phi), 0
    for i in range(n):
        j = others(n, i)
        p = np.isin(j, sharing(views, i)) / len(sharing(views, i))
        p = (1 - p_alpha) * p + p_alpha / (n - 1)
        total = total + (p * np.log(p / ((1 - q_alpha) * q[i, j] + q_alpha / n))).sum()
    return total / n


@row("co-clustering")
def co_clustering(phi, psi):
    """CLIP with q_ij = Σ_c φ_ic ψ_jc / Σ_k ψ_kc: one codebook, two modalities."""
    forward = -np.log(np.diagonal(shared(phi, psi))).mean()
    return (forward - np.log(np.diagonal(shared(psi, phi))).mean()) / 2


@row("supervised clustering")
def supervised_clustering(phi, labels):
    """E KL(1 / n_y ‖ Σ_c φ_ic φ_jc / n_c), self in both; I-Con 2025, grey square."""
    q, total = shared(phi, phi), 0
    for i in range(len(phi)):
        members = np.flatnonzero(labels == labels[i])
        total = total - np.log(len(members) * q[i, members]).mean()
    return total / len(phi)


@row("information gain")
def information_gain(phi, psi, labels):
    """-E log Σ_c φ_ic θ_c,y_i, θ_cy = ψ_yc / Σ_k ψ_kc: H(Y | C); Quinlan 1986."""
    theta = (psi / psi.sum(0)).T
    return -np.log((phi @ theta)[np.arange(len(phi)), labels]).mean()


# ------------------------------------------------------- beyond the grid


@row("NCA")
def nca(z, labels, scale=ROOT_HALF):
    """-E log Σ_{j≠i of i's class} softmax_{k≠i}(-‖z_i - z_k‖²); Goldberger 2004."""
    total = 0
    for i in range(len(z)):
        s = -squared(z[i], z) / (2 * scale**2)
        total = (
            total + log_sum_exp(np.delete(s, i)) - log_sum_exp(s[sharing(labels, i)])
        )
    return total / len(z)


@row("RSLVQ")
def rslvq(z, prototypes, labels, owner, scale=1.0):
    """-E log Σ_{w∈y} e^(-d² / 2σ²) / Σ_w e^(-d² / 2σ²); Seo & Obermayer 2003."""
    total = 0
    for i, label in enumerate(labels):
        s = -squared(z[i], prototypes) / (2 * scale**2)
        total = total + log_sum_exp(s) - log_sum_exp(s[owner == label])
    return total / len(z)


@row("UMAP")
def umap(edges, log_weights, y, a=1.577, b=0.895):
    """Σ_{i≠j} KL(Ber(v_ij) ‖ Ber(1 / (1 + a d^2b))) / n; McInnes et al. 2018."""
    n, total = len(y), 0
    v = np.zeros((n, n), np.result_type(log_weights, float))
    v[tuple(edges)] = np.exp(log_weights)
    for i in range(n):
        for j in others(n, i):
            power = a * squared(y[i], y[j]) ** b
            log_w, log_not = -np.log(1 + power), np.log(power) - np.log(1 + power)
            for probability, log_q in ((v[i, j], log_w), (1 - v[i, j], log_not)):
                if probability.real > 0:
                    total = total + probability * (np.log(probability) - log_q)
    return total / n


@row("UMAP, negative sampling")
def sampled_umap(y, edges, negatives, a=1.577, b=0.895):
    """-E [log w_ij + Σ_negatives log(1 - w_ik)], w = 1 / (1 + a d^2b)."""
    total = 0
    for i, j in enumerate(edges):
        total = total + np.log(1 + a * squared(y[i], y[j]) ** b)
        for k in negatives[i]:
            power = a * squared(y[i], y[k]) ** b
            total = total - np.log(power) + np.log(1 + power)
    return total / len(y)


@row("skip-gram, negative sampling")
def negative_sampling(u, v, contexts, negatives, temperature=1.0):
    """-E [log σ(u·v_c) + Σ_negatives log σ(-u·v_k)]; Mikolov et al. 2013."""
    total = 0
    for i, context in enumerate(contexts):
        total = total - log_sigmoid(u[i] @ v[context] / temperature)
        for k in negatives[i]:
            total = total - log_sigmoid(-(u[i] @ v[k]) / temperature)
    return total / len(u)


@row("skip-gram")
def skip_gram(u, v, contexts, temperature=1.0):
    """-E log softmax(v u_i)_{context}, the full softmax; Mikolov et al. 2013."""
    return cross_entropy(u, v, contexts, temperature)


@row("PLSA")
def plsa(edges, log_weights, phi, psi):
    """KL(N ‖ Q), Q_ij = Σ_c φ_ic ψ_jc / (n Σ_k ψ_kc), N the counts over their sum.

    -Σ N log Σ_c φ_ic P(j | c) of Hofmann 1999, but for what no topic changes.
    """
    log_n = log_weights - log_sum_exp(log_weights)
    log_q = np.log(shared(phi, psi)[tuple(edges)] / len(phi))
    return (np.exp(log_n) * (log_n - log_q)).sum()


@row("masked LM")
def masked_lm(hidden, tokens, masked, temperature=1.0):
    """-E log softmax(tokens · hidden_i)_{masked word}; Devlin et al. 2019."""
    return cross_entropy(hidden, tokens, masked, temperature)


@row("autoregression")
def autoregression(hidden, levels, following, temperature=1.0):
    """-E log softmax(levels · hidden of all before)_{next}; Bengio et al. 2003."""
    return cross_entropy(hidden, levels, following, temperature)


@row("distillation")
def distillation(
    teacher, student, logits, labels, hot=4.0, hot_student=4.0, temperature=1.0
):
    """0.9 T² E KL(softmax(t / T) ‖ softmax(s / T)) + 0.1 CE(y, s); Hinton et al. 2015.

    T = 4; the student's logits s are there twice: soft in one part, plain in the other.
    """
    soft = hard = 0
    for t, s in zip(teacher / hot, student / hot_student, strict=True):
        log_p, log_q = t - log_sum_exp(t), s - log_sum_exp(s)
        soft = soft + (np.exp(log_p) * (log_p - log_q)).sum()
    for s, label in zip(logits / temperature, labels, strict=True):
        hard = hard + log_sum_exp(s) - s[label]
    return (0.9 * 4.0**2 * soft + 0.1 * hard) / len(teacher)


@row("SOM")
def som(log_h, x, units, temperature=1.0, scale=ROOT_HALF):
    """E Σ_k p_ik ‖x_i - w_k‖², p_i· ∝ h of the row's best unit; Heskes 1999."""
    total = 0
    for i in range(len(x)):
        energy = squared(x[i], units) / (2 * scale**2)
        log_p = log_h[i] / temperature
        p = np.exp(log_p - log_sum_exp(log_p))
        total = total + p @ energy
    return total / len(x)


def decoded_at(x, decoded, std):
    """-E log N(x_i; decoded_i, std²)."""
    d = x.shape[1]
    error = sum(
        squared(row, code) for row, code in zip(x, decoded[:, None], strict=True)
    )
    return sum(error) / len(x) / (2 * std**2) + d / 2 * np.log(2 * math.pi * std**2)


@row("autoencoder")
def autoencoder(x, decoded, std=1.0):
    """-E log N(x; decoder(encoder(x)), std²); Hinton & Salakhutdinov 2006."""
    return decoded_at(x, decoded, std)


@row("sparse autoencoder")
def sparse_autoencoder(
    x, decoded, rate, on, std=1.0, temperature=1.0, temperature_on=1.0
):
    """The same, and β Σ_k KL(Bernoulli(ρ) ‖ Bernoulli(ρ_k)); Ng 2011."""
    total = 0
    for r, u in zip(rate / temperature, on / temperature_on, strict=True):
        log_p, log_q = r - log_sum_exp(r), u - log_sum_exp(u)
        total = total + (np.exp(log_p) * (log_p - log_q)).sum()
    return decoded_at(x, decoded, std) + 384 * total / len(rate)


@row("denoising autoencoder")
def denoising_autoencoder(x, decoded, std=1.0):
    """-E log N(x; decoder(encoder(masked x)), std²); Vincent et al. 2008."""
    return decoded_at(x, decoded, std)


@row("k-medians")
def k_medians(x, centers, p_x, p_centers, scale=1.0, p_scale=1.0):
    """E min_c ‖x - c‖: each point to its nearest center."""
    total = 0
    for i in range(len(x)):
        nearest = np.argmin((squared(p_x[i], p_centers) / p_scale**2).real)
        total = total + np.sqrt(squared(x[i], centers[nearest])) / scale
    return total / len(x)


@row("fuzzy c-means")
def fuzzy_c_means(x, centers, p_x, p_centers, scale=1.0, p_scale=1.0):
    """E Σ_c u_c (d_c² / T + log u_c), u ∝ e^(-d² / T), T = 2; Li & Mukaidono 1995."""
    total = 0
    for i in range(len(x)):
        log_u = -squared(p_x[i], p_centers) / (2 * p_scale**2)
        log_u = log_u - log_sum_exp(log_u)
        energy = squared(x[i], centers) / (2 * scale**2)
        total = total + (np.exp(log_u) * (energy + log_u)).sum()
    return total / len(x)


@row("VAE")
def vae(mean, std, noise, decoder, x):
    """-ELBO: E log q(z|x) - log p(z) - log p(x|z), z = mean + std ε; Kingma & Welling.

    The decoder is linear, p(x|z) = N(decoder z, 1), p(z) = N(0, 1).
    """
    total = 0
    for i in range(len(x)):
        for epsilon in noise[i]:
            z = mean[i] + std[i] * epsilon
            log_posterior = -(epsilon**2).sum() / 2 - np.log(std[i]).sum()
            log_prior = -(z**2).sum() / 2
            log_likelihood = -squared(x[i], decoder @ z) / 2
            log_likelihood = log_likelihood - len(x[i]) / 2 * math.log(2 * math.pi)
            total = total + log_posterior - log_prior - log_likelihood
    return total / noise[..., 0].size


@row("diffusion")
def diffusion(posterior, posterior_std, mean, std):
    """E KL(p(x_{t-1} | x_t, x) ‖ q(x_{t-1} | x_t)), two normals; Ho et al. 2020."""
    total = 0
    for m, s, n, t in zip(posterior, posterior_std, mean, std, strict=True):
        gaps = ((m - n) ** 2 + s**2) / (2 * t**2)
        total = total + (np.log(t) - np.log(s) + gaps - 0.5).sum()
    return total / len(mean)


def joint_density(x, mean, whitening, log_weight):
    """log w_c + log N(x; μ_c, S_c) of one point and every component, S⁻¹ = WᵀW."""
    score = []
    for m, w, log_w in zip(mean, whitening, log_weight, strict=True):
        gap = w @ (x - m)
        log_likelihood = np.log(np.diagonal(w)).sum() - (gap**2).sum() / 2
        score.append(log_w + log_likelihood - len(x) / 2 * math.log(2 * math.pi))
    return np.array(score)


@row("Gaussian mixture")
def gaussian_mixture(
    x, mean, whitening, log_weight, p_x, p_mean, p_whitening, p_log_weight
):
    """E [Σ_c r_c log r_c - Σ_c r_c log p(x, c)], r the posterior: minus the log
    likelihood where both have the same parameters; Neal & Hinton 1998.
    """
    total = 0
    for i in range(len(x)):
        log_r = joint_density(p_x[i], p_mean, p_whitening, p_log_weight)
        log_r = log_r - log_sum_exp(log_r)
        joint = joint_density(x[i], mean, whitening, log_weight)
        total = total + (np.exp(log_r) * (log_r - joint)).sum()
    return total / len(x)


def source_density(x, unmixing, log_volume, log_weight):
    """log w_c + log |det W_c| + Σ_k log (e^(-√2 |s_k|) / √2), s = W_c x."""
    score = []
    for w, volume, log_w in zip(unmixing, log_volume, log_weight, strict=True):
        s = w @ x
        size = np.where(s.real > 0, s, -s)
        score.append(log_w + volume - (math.sqrt(2) * size + math.log(2) / 2).sum())
    return np.array(score)


@row("ICA")
def ica(
    x, unmixing, log_volume, log_weight,
    p_x, p_unmixing, p_log_volume, p_log_weight,
):  # fmt: skip
    """-E log p(x) of sources of Laplace's distribution where p and q are of the same
    parameters: of one model, Pham & Garat 1997; of several, a mixture of ICAs.
    """
    total = 0
    for i in range(len(x)):
        log_r = source_density(p_x[i], p_unmixing, p_log_volume, p_log_weight)
        log_r = log_r - log_sum_exp(log_r)
        joint = source_density(x[i], unmixing, log_volume, log_weight)
        total = total + (np.exp(log_r) * (log_r - joint)).sum()
    return total / len(x)
