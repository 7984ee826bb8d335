"""Which rows of results have everything that a table can show?"""

import numpy as np


RNG = np.random.default_rng(0)
Z = RNG.normal(size=(30, 2))
Y = np.arange(30) % 3


def row(name="t-SNE", column="Gaussian", row="Student-t", **more):
    given = dict(
        name=name,
        column=column,
        row=row,
        status="known",
        p="nearest(perplexity=30)",
        q="student_t",
        loss="kl(joint=True)",
        reference="van der Maaten & Hinton 2008",
        z=Z,
        labels=Y,
        clusters=None,
        scores={"10-NN": 0.981, "raw 10-NN": 0.97},
        protocol="leave-one-out",
        loss_value=1.25,
        seconds=2.5,
        note="",
    )
    return given | more


RESULTS = [
    row(),
    row("k-means", row="Clusters", clusters=(Y + 1) % 3, scores={"Hungarian": 0.8}),
    row("PCA", "Identity", "σ → ∞", status="new", labels=None, scores={}),
    row("t-CLIP", "Cross-modal pairs", status="predicted", protocol="held-out rows"),
    *(row(f"graph method {i}", "Graph", "Gaussian") for i in range(5)),
    row("failed", "kNN", "σ → 0", z=np.zeros((0, 2)), labels=None, note="it diverged"),
    row("skip-gram, negative sampling", "Tokens", "Yes or no"),
    row("NCA", "Classes", "Class sums"),
]
TAKEN = 6  # squares of the grid, of 45
