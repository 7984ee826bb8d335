"""What comes with it?"""

import os
import random
import zipfile
from collections import Counter
from typing import Any

import numpy as np

from icon._base import checks as check
from icon._base.extras import required
from icon.data.files import member, reading, sizes
from icon.data.record import Dataset, dataset, word_counts
from icon.data.text import standard_library, tokenized
from icon.data.views import change_signals


def digits() -> Dataset:
    """1797 handwritten digits of 8 x 8 pixels between 0 and 1; no download.

    Example:
        >>> from icon import data
        >>> data.digits().images.shape
        (1797, 8, 8)

    Source: scikit-learn's `load_digits`, from the UCI repository.
    """
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return dataset("digits", bunch.images / 16, bunch.target)


def mnist(folder: str | os.PathLike | None = None) -> Dataset:
    """20000 digits of 28 x 28 pixels: the first half to train on, then the test set.

    Args:
        folder: where `mnist20k.npz` lies, with the arrays `train_image`,
            `train_label`, `test_image` and `test_label`; by default the folder
            that the environment variable ICON_DATA names.

    Raises:
        InvalidInput: there is no folder, no such file, or it cannot be read.

    Example:
        >>> from icon import data
        >>> data.mnist("no such folder")
        Traceback (most recent call last):
        ...
        icon.InvalidInput: folder: expected a folder holding mnist20k.npz...

    Source: LeCun, Cortes and Burges, The MNIST database.
    """
    found = _arrays(folder, "mnist20k.npz", _halves("image", "label"))
    images, labels = _joined(found, "image", "label")
    return dataset("mnist", images, labels, _train(found["train_label"], labels))


def banking77(folder: str | os.PathLike | None = None) -> Dataset:
    """13083 questions to a bank of 77 intents, each as 384 numbers of unit norm.

    The first 10003 are those to train on: also["train"].

    Args:
        folder: where `banking77_minilm.npz` lies, with the arrays `train_embedding`,
            `train_label`, `test_embedding`, `test_label` and `label_names`; by default
            the folder that the environment variable ICON_DATA names.

    Raises:
        InvalidInput: there is no folder, no such file, or it cannot be read.

    Example:
        >>> from icon import data
        >>> data.banking77("no such folder")
        Traceback (most recent call last):
        ...
        icon.InvalidInput: folder: expected a folder holding banking77_minilm.npz...

    Source: Casanueva et al., Efficient Intent Detection with Dual Sentence Encoders
    (2020); embedded by all-MiniLM-L6-v2.
    """
    wanted = [*_halves("embedding", "label"), "label_names"]
    found = _arrays(folder, "banking77_minilm.npz", wanted)
    rows, labels = _joined(found, "embedding", "label")
    made = dataset("banking77", rows, labels, _train(found["train_label"], labels))
    names = found["label_names"][np.unique(labels)]
    return made._replace(classes=tuple(names.tolist()))


def glove(folder: str | os.PathLike | None = None, count: int = 20_000) -> Dataset:
    """The most frequent words of English, each as 50 numbers; `words` has the words.

    Args:
        folder: where `glove100k.npz` lies, with the arrays `vector` and `word`, most
            frequent first; by default the folder that the environment variable
            ICON_DATA names.
        count: how many words, up to 100,000.

    Raises:
        InvalidInput: there is no folder, no such file, or it cannot be read; or it has
            fewer words.

    Example:
        >>> from icon import data
        >>> data.glove("no such folder")
        Traceback (most recent call last):
        ...
        icon.InvalidInput: folder: expected a folder holding glove100k.npz...

    Source: Pennington, Socher and Manning, GloVe: Global Vectors for Word
    Representation (2014).
    """
    count = check.size("count", count)
    found = _arrays(folder, "glove100k.npz", ["vector", "word"])
    count = check.count("count", count, 1, len(found["word"]))
    words = tuple(found["word"][:count].tolist())
    return dataset("glove", found["vector"][:count])._replace(words=words)


# ------------------------------------------------------- sets that are computed


def mnist1d() -> Dataset:
    """5000 signals of 40 numbers, each one of ten shapes, moved and with noise.

    Images of one line. also["side"] has the shape of each, 12 numbers with noise, and
    also["train"] the generator's own split: 4000 rows, then 1000. `views` applies
    its changes to a finished signal, of standard deviation 1, by its own magnitudes
    but for the smoothed noise, which it keeps off the shape and which is a third here:

        x'(t) = a x(t + k + (f - 1)(t - c)) + b (t - c) / 39 + e(t)

    with a gain a in 0.8 to 1.2, a circular shift k of up to a third of the length to
    either side, a stretch f in 0.8 to 1.25 about the center c, a tilt b of up to 2.42
    to either side, and noise e: smoothed by a Gaussian of width 1.1, of standard
    deviation 0.2, and independent, of 0.13.

    Raises:
        ImportError: the package mnist1d is missing.

    Example:
        >>> from icon import data
        >>> signals = data.mnist1d()
        >>> signals.features.shape, int(signals.also["train"].sum())
        ((5000, 40), 4000)

    Source: Greydanus and Kobak, Scaling Down Deep Learning with MNIST-1D (2024).
    """
    module = required("mnist1d.data", "data")
    before = np.random.get_state(), random.getstate()
    try:  # the generator seeds the global ones
        made = module.make_dataset(module.get_dataset_args())
    finally:
        np.random.set_state(before[0])
        random.setstate(before[1])
    rows = np.concatenate([made["x"], made["x_test"]])
    labels = np.concatenate([made["y"], made["y_test"]])
    shapes = _scaled(made["templates"]["x"])[labels]
    noise = np.random.default_rng(0).normal(size=shapes.shape)
    also = _train(made["y"], labels) | {"side": shapes + SIDE_NOISE * noise}
    found = dataset("mnist1d", rows[:, None], labels, also)
    return found._replace(views=change_signals)


SIDE_NOISE = 0.3  # of the deviation of the shapes


def _scaled(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / x.std()


def two_moons(n: int = 1000, seed: int = 0) -> Dataset:
    """Two half circles in a plane that reach into each other, with noise of 0.05.

    Args:
        n: how many points, at least 2.
        seed: decides the noise and the order.

    Raises:
        InvalidInput: n is below 2, or seed is no seed.

    Example:
        >>> from icon import data
        >>> data.two_moons(100).features.shape
        (100, 2)

    Source: scikit-learn's `make_moons`.
    """
    from sklearn.datasets import make_moons

    n, seed = check.size("n", n, 2), check.seed("seed", seed)
    made: Any = make_moons(n, noise=0.05, random_state=seed)
    return dataset("two moons", *made)


def swiss_roll(n: int = 1500, seed: int = 0) -> Dataset:
    """A sheet rolled up in space, cut into ten equally large classes along the roll.

    s = (t sqrt(1 + t^2) + arsinh t) / 2 is the position along the roll, from 0 where
    the roll begins: also["time"]. The sheet laid flat, (s, height), is also["second"].

    Args:
        n: how many points, at least 10.
        seed: decides where they are.

    Raises:
        InvalidInput: n is below 10, or seed is no seed.

    Example:
        >>> from icon import data
        >>> roll = data.swiss_roll()
        >>> roll.features.shape, roll.also["second"].shape
        ((1500, 3), (1500, 2))

    Source: scikit-learn's `make_swiss_roll`.
    """
    from sklearn.datasets import make_swiss_roll

    n, seed = check.size("n", n, 10), check.seed("seed", seed)
    rows, angle = make_swiss_roll(n, random_state=seed)
    length = lambda t: (t * np.sqrt(1 + t**2) + np.arcsinh(t)) / 2
    along = length(angle) - length(1.5 * np.pi)
    labels = np.argsort(np.argsort(along)) * 10 // n
    flat = np.stack([along, rows[:, 1]], 1)
    return dataset("swiss roll", rows, labels, {"time": along, "second": flat})


def slow_sources(n: int = 1000, seed: int = 0) -> Dataset:
    """A slow signal that is hidden in two fast ones, and all their products.

    Of x_1 = sin t + cos² 11 t and x_2 = cos 11 t the features are
    x_1, x_2, x_1², x_1 x_2, x_2², with noise of 0.01: x_1 - x_2² is slow. t, of two
    turns, is also["time"], and sin t also["second"].

    Args:
        n: how many moments, at least 100.
        seed: decides the noise.

    Raises:
        InvalidInput: n is below 100, or seed is no seed.

    Example:
        >>> from icon import data
        >>> data.slow_sources(200).features.shape
        (200, 5)

    Source: Wiskott & Sejnowski, Slow feature analysis, 2002.
    """
    n, seed = check.size("n", n, 100), check.seed("seed", seed)
    time = np.linspace(0, 4 * np.pi, n)
    fast = np.cos(11 * time)
    one = np.sin(time) + fast**2
    rows = np.stack([one, fast, one**2, one * fast, fast**2], 1)
    rows += 0.01 * np.random.default_rng(seed).normal(size=rows.shape)
    also = {"time": time, "second": np.sin(time)[:, None]}
    return dataset("slow sources", rows, None, also)


def mixed_sources(n: int = 2000, d: int = 4, seed: int = 0) -> Dataset:
    """Independent sources of Laplace's distribution, mixed by a random matrix.

    also["sources"] has them, each of variance 1; the rows are their mixtures.

    Args:
        n: how many rows, at least 2.
        d: how many sources, and mixtures.
        seed: decides the sources and the matrix.

    Raises:
        InvalidInput: n is below 2, d below 1, or seed is no seed.

    Example:
        >>> from icon import data
        >>> found = data.mixed_sources(100)
        >>> found.features.shape, found.also["sources"].shape
        ((100, 4), (100, 4))
    """
    n, d = check.size("n", n, 2), check.size("d", d)
    rng = np.random.default_rng(check.seed("seed", seed))
    sources = rng.laplace(size=(n, d)) / 2**0.5
    mixing = rng.normal(size=(d, d))
    return dataset("mixed sources", sources @ mixing.T, None, {"sources": sources})


# ------------------------------------------------------- graphs


def karate() -> Dataset:
    """34 members of a karate club that split in two, and who met whom outside of it.

    also["graph"] has the 78 friendships, each of weight 1; the features are the
    eigenvectors of its Laplacian, and the labels the club that each joined.

    Raises:
        ImportError: the package networkx is missing.

    Example:
        >>> from icon import data
        >>> club = data.karate()
        >>> club.also["graph"].shape, club.classes
        ((34, 34), ('Mr. Hi', 'Officer'))

    Source: Zachary, An Information Flow Model for Conflict and Fission in Small Groups
    (1977).
    """
    graph = required("networkx", "data").karate_club_graph()
    clubs = np.array([graph.nodes[member]["club"] for member in graph])
    return dataset("karate", None, clubs, {"edges": np.array(graph.edges)})


def les_miserables() -> Dataset:
    """77 characters of a novel, and in how many chapters each two of them appear.

    also["graph"] has the 254 pairs; the features are the eigenvectors of its Laplacian,
    and `words` has the names of the characters.

    Raises:
        ImportError: the package networkx is missing.

    Example:
        >>> from icon import data
        >>> novel = data.les_miserables()
        >>> novel.features.shape, novel.words[:2]
        ((77, 32), ('Napoleon', 'Myriel'))

    Source: Knuth, The Stanford GraphBase (1993).
    """
    graph = required("networkx", "data").les_miserables_graph()
    at = {name: i for i, name in enumerate(graph)}
    edges = [(at[a], at[b], weight) for a, b, weight in graph.edges(data="weight")]
    found = dataset("les miserables", None, None, {"edges": np.array(edges)})
    return found._replace(words=tuple(at))


# ------------------------------------------------------- text


_FREQUENT = 256  # words that are features


def python_docs(words: int = 2000, length: int = 32, limit: int = 2_000_000) -> Dataset:
    """The documentation that comes with Python, in rows of consecutive words.

    The language reference, then the docstrings of the standard library's modules by
    name, in lower case: a token is a word or a run of one sign. Another release of
    Python has another text. also["tokens"] has the tokens; `words` what each stands
    for, most frequent first, after 0 for all other words; features are log(1 + count)
    of the 256 most frequent words in each row.

    Args:
        words: how many of the most frequent words to keep.
        length: words in a row; those left over at the end are dropped.
        limit: how many characters to read at most.

    Raises:
        InvalidInput: words, length or limit is below 1, or there is less text than one
            row.

    Example:
        >>> from icon import data
        >>> text = data.python_docs(words=100, length=16, limit=50_000)
        >>> text.also["tokens"].shape[1], len(text.words), text.words[0]
        (16, 101, '<other>')

    Source: the files of the running Python, by the Python Software Foundation.
    """
    words, length = check.size("words", words), check.size("length", length)
    found = tokenized(standard_library(check.size("limit", limit)))
    got, expected = f"{len(found)} words", f"a text of {length} words or more"
    check.require(len(found) >= length, "limit", got, expected)
    ranked = sorted(Counter(found).items(), key=lambda item: (-item[1], item[0]))
    kept = ("<other>", *(word for word, _ in ranked[:words]))
    number = {word: i for i, word in enumerate(kept)}
    n = len(found) // length
    tokens = np.array([number.get(word, 0) for word in found[: n * length]])
    tokens = tokens.reshape(n, length)
    features = np.log1p(word_counts(tokens, min(len(kept), 1 + _FREQUENT))[:, 1:])
    return dataset("python docs", features, None, {"tokens": tokens})._replace(
        words=kept
    )


# ------------------------------------------------------- sets from a folder


def _halves(*names: str) -> list[str]:
    return [f"{part}_{name}" for name in names for part in ("train", "test")]


def _joined(found: dict[str, np.ndarray], *names: str) -> list[np.ndarray]:
    """The rows to train on, then those to test on, of each array."""
    return [np.concatenate([found[part] for part in _halves(name)]) for name in names]


def _arrays(
    folder: str | os.PathLike | None, name: str, wanted: list[str]
) -> dict[str, np.ndarray]:
    """Some arrays of an .npz in a folder, or in the one that ICON_DATA names."""
    folder = os.environ.get("ICON_DATA") if folder is None else folder
    expected = f"a folder holding {name}, here or in ICON_DATA"
    check.require(folder not in (None, ""), "folder", folder, expected)
    path = check.path("folder", folder) / name
    check.require(path.is_file(), "folder", folder, expected)
    with reading("folder", path), zipfile.ZipFile(path) as bundle:
        sizes(bundle)
        return {array: member(bundle, array) for array in wanted}


def _train(train: np.ndarray, both: np.ndarray) -> dict[str, np.ndarray]:
    """Which rows are there to train on."""
    return {"train": np.arange(len(both)) < len(train)}
