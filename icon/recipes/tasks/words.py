"""What is p built from where rows are sentences?"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from icon import data as datasets
from icon._base import checks as check
from icon.recipes.material import Material
from icon.recipes.networks import applied, started
from icon.recipes.task import Task


WORDS = 32  # of images: one for each kind of patch
WIDE, WINDOW, NEGATIVES = 64, 5, 5
PAIRS, SENTENCES = 1024, 128  # of a batch
FREQUENT = 1e-3  # words of a larger share are left out at times
HIDDEN = 0.15  # of the words of a sentence
MASKS = 7  # the seed of the masks that held-out sentences are scored with


def _sentences(m: Material) -> tuple[np.ndarray, int]:
    """All rows as words, and how many words there are.

    The tokens of the data; else patches of images, by the nearest of 32 patches of the
    training rows.
    """
    given, count = "tokens" in m.also, WORDS
    if given:
        tokens = np.asarray(m.also["tokens"])
        count = int(tokens.max()) + 1
    else:
        tokens = datasets.tokens(m.x, count, m.seed, among=m.x[m.train])
    got = f"rows of {tokens.shape[1]} word" + ("" if given else ", 4 numbers each")
    check.require(tokens.shape[1] > 1, "data", got, "rows of two words or more")
    return tokens, count


def _windows(sentences: np.ndarray, count: int, rng) -> np.ndarray:
    """(centre, context) within five words of each other: int32 [pairs, 2].

    The window is of 1 to 5 words, drawn for each centre; a word of a share f of the
    text is left out with probability 1 - sqrt(t / f).
    """
    share = np.bincount(sentences.ravel(), minlength=count) / sentences.size
    kept = (
        rng.random(sentences.shape)
        < np.sqrt(FREQUENT / np.maximum(share, FREQUENT)).astype(np.float64)[sentences]
    )
    reach = rng.integers(1, WINDOW + 1, sentences.shape)
    found = []
    for gap in range(1, min(WINDOW, sentences.shape[1] - 1) + 1):
        left, right = sentences[:, :-gap], sentences[:, gap:]
        both = kept[:, :-gap] & kept[:, gap:]
        for centre, context, near in (
            (left, right, reach[:, :-gap]),
            (right, left, reach[:, gap:]),
        ):
            at = both & (near >= gap)
            found.append(np.stack([centre[at], context[at]], 1))
    return np.concatenate(found).astype(np.int32)


def words(m: Material) -> Task:
    """A word and one near it, each with a learned vector for either part."""
    sentences, count = _sentences(m)
    windows = _windows(sentences[m.train], count, np.random.default_rng(m.seed))

    def arguments(model, key, center, context):
        inner, outer = model.extra
        return (context, jnp.arange(count)), (inner[center], outer)

    def extra(key, width):
        return jr.normal(key, (2, count, WIDE)) / math.sqrt(WIDE)

    return Task(
        dict(center=windows[:, 0], context=windows[:, 1]),
        arguments,
        views={},
        extra=extra,
        size=PAIRS,
        scored=lambda params: _means(params["extra"][0], sentences),
        scores=_by_perplexity(m, sentences, count),
        protocol="held-out text",
        summary=f"words within {WINDOW} of each other, frequent ones thinned out",
    )


def _share(sentences: np.ndarray, count: int) -> np.ndarray:
    """The share of each word, every word once more than it is there."""
    total = np.bincount(sentences.ravel(), minlength=count) + 1.0
    return total / total.sum()


def _means(vectors, sentences: np.ndarray) -> np.ndarray:
    """The mean of the vectors of each sentence's words."""
    vectors = np.asarray(vectors)
    counts = datasets.word_counts(sentences, len(vectors))
    return counts @ vectors / counts.sum(1, keepdims=True)


def _by_perplexity(m: Material, sentences: np.ndarray, count: int, noise=None):
    """exp of the mean of -log p(context | centre) of held-out windows, beside that of
    the words' shares.

    Logits that negatives were drawn for by `noise` lack the log of it.
    """
    rng = np.random.default_rng([m.seed, 1])
    pairs = _windows(sentences[m.test], count, rng)
    share = _share(sentences[m.train], count)

    def scores(trained, m: Material) -> dict[str, float]:
        inner, outer = map(np.asarray, trained.params["extra"])
        bias = 0 if noise is None else np.log(noise)
        rows = np.unique(pairs[:, 0])
        table = np.asarray(jax.nn.log_softmax(inner[rows] @ outer.T + bias))
        found = table[np.searchsorted(rows, pairs[:, 0]), pairs[:, 1]]
        return _perplexities(found, np.log(share[pairs[:, 1]]))

    return scores


def _perplexities(found: np.ndarray, by_share: np.ndarray) -> dict[str, float]:
    own, raw = float(np.exp(-found.mean())), float(np.exp(-by_share.mean()))
    return {"perplexity": own, "raw perplexity": raw}


def words_and_strangers(m: Material) -> Task:
    """The same, with five words drawn by their count to the power 3/4 for each pair."""
    task = words(m)
    sentences, count = _sentences(m)
    noise = np.bincount(sentences[m.train].ravel(), minlength=count) ** 0.75 + 1e-9
    noise = noise / noise.sum()
    below = jnp.asarray(np.cumsum(noise)[:-1], jnp.float32)

    def arguments(model, key, center, context):
        (context, every), embedding = task.arguments(model, key, center, context)
        shape = (len(context), NEGATIVES)
        others = jnp.searchsorted(below, jr.uniform(key, shape)).astype(jnp.int32)
        index = jnp.concatenate([context[:, None], others], 1)
        return (context, every, index), (*embedding, index)

    scores = _by_perplexity(m, sentences, count, noise)
    summary = f"{task.summary}, {NEGATIVES} negatives by count^3/4"
    return task._replace(arguments=arguments, scores=scores, summary=summary)


def masked_words(m: Material) -> Task:
    """Some words of each sentence are hidden, and predicted from the others."""
    hiding = _Hiding(m)
    length = hiding.sentences.shape[1]
    return Task(
        dict(sentence=hiding.sentences[m.train]),
        hiding.arguments,
        views={},
        extra=hiding.start,
        size=SENTENCES,
        scored=hiding.scored,
        scores=hiding.scores,
        protocol="held-out text",
        summary=f"{hiding.hidden} of {length} words hidden, by an MLP-Mixer",
    )


class _Hiding:
    """Sentences of which some words are hidden, and who predicts these."""

    def __init__(self, m: Material):
        from icon import encoders

        self.sentences, self.count = _sentences(m)
        self.hidden = max(1, round(HIDDEN * self.sentences.shape[1]))
        self._encoder: Any = encoders.TokenEncoder(self.count, WIDE)
        self._share = _share(self.sentences[m.train], self.count)

    def start(self, key, width):
        one, two = jr.split(key)
        table = jr.normal(two, (self.count, WIDE)) / math.sqrt(WIDE)
        return started(self._encoder, one, self.sentences[:1]), table

    def masked(self, encoding, key, words):
        """The words that are hidden, and the encodings at their places."""
        place = jnp.argsort(jr.uniform(key, words.shape), 1)[:, : self.hidden]
        row = jnp.arange(len(words))[:, None]
        seen = words.at[row, place].set(self.count)
        z = applied(self._encoder, encoding, seen)[row, place]
        return words[row, place].reshape(-1), z.reshape(-1, WIDE)

    def arguments(self, model, key, sentence):
        truth, z = self.masked(model.extra[0], key, jnp.asarray(sentence))
        return (truth, jnp.arange(self.count)), (z, model.extra[1])

    def scored(self, params):
        return applied(self._encoder, params["extra"][0], self.sentences).mean(1)

    def scores(self, trained, m: Material) -> dict[str, float]:
        encoding, table = trained.params["extra"]
        words = jnp.asarray(self.sentences[m.test])
        truth, z = self.masked(encoding, jr.key(MASKS), words)
        logits = jax.nn.log_softmax(z @ table.T)
        found = jnp.take_along_axis(logits, truth[:, None], 1)
        share = self._share[np.asarray(truth)]
        return _perplexities(np.asarray(found), np.log(share))
