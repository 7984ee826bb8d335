"""What is there to learn from?

`record` says what is known of some rows, `sets` what comes with the library, `files`
how a file is read, `choices` who rated what, `batches` which rows come when, `views`
what changes a row and keeps its meaning, `text` which text every machine has.
"""

from icon.data.batches import _cut, batches, split, spread
from icon.data.choices import movielens, ratings
from icon.data.files import load
from icon.data.record import Dataset, dataset, word_counts
from icon.data.sets import (
    banking77,
    digits,
    glove,
    karate,
    les_miserables,
    mixed_sources,
    mnist,
    mnist1d,
    python_docs,
    slow_sources,
    swiss_roll,
    two_moons,
)
from icon.data.views import augment, halves, patches, tokens, two_views


SETS = {  # what comes with it, by the name that a command line or a task gives it
    "digits": digits,
    "mnist1d": mnist1d,
    "python_docs": python_docs,
    "two_moons": two_moons,
    "swiss_roll": swiss_roll,
    "slow_sources": slow_sources,
    "karate": karate,
    "les_miserables": les_miserables,
    "mnist": mnist,
    "banking77": banking77,
    "glove": glove,
    "ratings": ratings,
    "mixed_sources": mixed_sources,
}

__all__ = [
    "SETS",
    "Dataset",
    "augment",
    "banking77",
    "batches",
    "dataset",
    "digits",
    "glove",
    "halves",
    "karate",
    "les_miserables",
    "load",
    "mixed_sources",
    "mnist",
    "mnist1d",
    "movielens",
    "patches",
    "python_docs",
    "ratings",
    "split",
    "spread",
    "slow_sources",
    "swiss_roll",
    "tokens",
    "two_moons",
    "two_views",
]
