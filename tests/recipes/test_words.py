"""Are pairs of words, their negatives and their perplexity what is said of them?"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import icon
from icon import recipes
from icon.recipes.tasks import words


RARE = np.arange(1600).reshape(200, 8)  # every word once: none is left out


def material(tokens, train):
    first = np.arange(len(tokens)) < train
    also = dict(tokens=tokens, train=first)
    data = icon.data.dataset("text", np.zeros((len(tokens), 2)), None, also)
    return recipes.material(data)


def test_pairs_are_of_one_sentence_and_near():
    reach, pairs = words.WINDOW, words._windows(RARE, 1600, np.random.default_rng(0))
    gap = abs(pairs[:, 0] - pairs[:, 1])
    assert (pairs[:, 0] // 8 == pairs[:, 1] // 8).all() and set(gap) == {1, 2, 3, 4, 5}
    # the window is of 1 to 5 words alike: a gap g is within it 6 - g times of 5
    for g in range(1, reach + 1):
        ends = 2 * 200 * (8 - g)
        assert (gap == g).sum() == pytest.approx(ends * (6 - g) / 5, rel=0.15)


def test_frequent_words_are_left_out():
    tokens = np.where(np.arange(8) % 2 == 0, 0, RARE + 1)  # half of all is one word
    pairs = words._windows(tokens, 1601, np.random.default_rng(0))
    kept = np.sqrt(words.FREQUENT / 0.5)
    all_pairs = words._windows(RARE, 1600, np.random.default_rng(0))
    centres = (all_pairs[:, 0] % 8 % 2 == 0) & (all_pairs[:, 1] % 8 % 2 == 1)
    found = ((pairs[:, 0] == 0) & (pairs[:, 1] > 0)).sum()
    assert found == pytest.approx(kept * centres.sum(), rel=0.6)


def test_negatives_are_drawn_by_counts_to_three_quarters():
    counts = np.array([81, 16, 1, 16])
    tokens = np.random.default_rng(0).permutation(np.repeat(np.arange(4), counts))
    task = words.words_and_strangers(
        material(np.tile(tokens.reshape(-1, 6), (9, 1)), 190)
    )
    pair = jnp.zeros(8000, jnp.int32), jnp.full(8000, 2, jnp.int32)
    table = jnp.zeros((4, words.WIDE))
    model = SimpleNamespace(extra=(table, table))
    (_, _, index), (_, _, same) = task.arguments(model, jax.random.key(0), *pair)
    assert index is same and (index[:, 0] == 2).all()
    drawn = np.bincount(np.asarray(index[:, 1:]).ravel(), minlength=4) / 40_000
    expected = counts**0.75 / (counts**0.75).sum()
    np.testing.assert_allclose(drawn, expected, atol=0.015)


@pytest.mark.parametrize("noisy", [False, True])
def test_perplexity_is_that_of_held_out_pairs(noisy):
    """The held-out sentences are of words that no other sentence has."""
    tokens, rng = RARE[:30], np.random.default_rng(1)
    m = material(tokens, 20)
    inner, outer = rng.normal(size=(2, 240, words.WIDE)) / 4
    noise = None
    if noisy:
        noise = rng.uniform(0.1, 1, 240)
    scores = words._by_perplexity(m, tokens, 240, noise)
    trained = SimpleNamespace(params=dict(extra=(jnp.asarray(inner), outer)))
    found = scores(trained, m)
    # each of the 160 words of the training once, each of 240 once more
    pairs = words._windows(tokens[20:], 240, np.random.default_rng([m.seed, 1]))
    assert pairs.min() >= 160
    assert found["raw perplexity"] == pytest.approx(160 + 240)
    losses = []
    for centre, context in pairs:
        logits = outer @ inner[centre] + (0 if noise is None else np.log(noise))
        losses.append(np.log(np.exp(logits).sum()) - logits[context])
    assert found["perplexity"] == pytest.approx(np.exp(np.mean(losses)), rel=1e-4)


@pytest.mark.slow
def test_hidden_words_are_not_seen():
    """Whatever the hidden words are, their vectors are the same."""
    task = words.masked_words(material(RARE[:30] % 9, 20))
    extra = task.extra(jax.random.key(0), 64)
    model, key = SimpleNamespace(extra=extra), jax.random.key(1)
    sentence = jnp.asarray(RARE[:6] % 9)
    (truth, every), (z, table) = task.arguments(model, key, sentence)
    assert len(truth) == 6 * round(words.HIDDEN * 8) and len(every) == len(table) == 9
    hidden = [np.flatnonzero(row == t) for row, t in zip(sentence, truth, strict=True)]
    changed = sentence.at[0, hidden[0]].set((truth[0] + 1) % 9)
    (other, _), (again, _) = task.arguments(model, key, changed)
    assert other[0] != truth[0] and (other[1:] == truth[1:]).all()
    assert len(hidden[0]) == 1  # the eight words of a sentence are all unlike
    np.testing.assert_array_equal(z, again)


@pytest.mark.parametrize("task", [words.words, words.masked_words])
def test_sentences_of_one_word_are_refused(task):
    with pytest.raises(icon.InvalidInput, match="^data: .*two words.*rows of 1 word"):
        task(material(np.arange(6)[:, None], 4))
    four = icon.data.dataset(
        "four columns", np.random.default_rng(0).normal(size=(60, 4)), None
    )
    with pytest.raises(icon.InvalidInput, match="^data: .*4 numbers each"):
        task(recipes.material(four))
