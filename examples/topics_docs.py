"""Topics of Python's documentation: PLSA, which is NMF under KL, as one icon.kl.

python examples/topics_docs.py
Expect: 12 topics by their words, KL from 3.6 to 2.4 nats a word, within a
hundredth of NMF by scikit-learn; a quarter of a minute.
Draws topics_docs.png: how much of every page, in their order, each topic has.
"""

import sys
import warnings

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import NMF

import icon
from icon import data
from icon.recipes import topics


COUNT, SHOWN = 12, 8


def loss(found, p, words_of_page):
    return icon.kl(p, icon.clusters(*found), weight=words_of_page)


def pages(words: int = 1500, common: int = 100):
    """How often each word is on each page; the most common words are left out."""
    docs = data.python_docs(words=words, length=256)
    counts = data.word_counts(docs.also["tokens"], len(docs.words))
    named = np.array([word.isalpha() and len(word) > 2 for word in docs.words])
    named[: 1 + common] = False
    return counts[:, named], np.array(docs.words)[named]


def by_scikit_learn(counts, start, steps):
    factors = counts.sum(1, keepdims=True) * start.of_rows, start.of_columns.T
    w, h = (np.array(x, np.float32, order="C") for x in factors)
    model = NMF(COUNT, init="custom", solver="mu", beta_loss=1, max_iter=steps, tol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        model.fit(counts, W=w, H=h)
    return model.reconstruction_err_**2 / 2 / counts.sum()


def main(steps: int = 200, picture: str = "topics_docs.png"):
    counts, words = pages()
    start = topics.random_topics(jax.random.key(0), *counts.shape, COUNT)
    args = icon.graph(counts), jnp.asarray(counts.sum(1))
    found, history = icon.minimize(loss, start, topics.em(), steps, args=args)

    best = np.argsort(-np.asarray(found.of_columns), 0)[:SHOWN].T
    for topic, row in enumerate(best):
        print(f"{topic:3}", *words[row])
    peer = by_scikit_learn(counts, start, steps)
    print(f"KL {history.loss[0]:.3f} -> {history.loss[-1]:.3f}  NMF {peer:.3f}")

    _, axes = plt.subplots(figsize=(6, 3), layout="constrained")
    axes.imshow(
        np.asarray(found.of_rows).T, aspect="auto", cmap="Greys", vmin=0, vmax=1
    )
    axes.set_xlabel("page")
    axes.set_yticks(
        range(COUNT), [" ".join(words[row[:3]]) for row in best], fontsize=7
    )
    axes.figure.savefig(picture, dpi=100)
    return float(history.loss[-1]), peer


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
