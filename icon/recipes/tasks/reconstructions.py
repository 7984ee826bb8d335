"""What is p built from where a decoder makes the rows again?"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from icon import evaluate
from icon._base import checks as check
from icon.recipes.material import Material
from icon.recipes.networks import applied, started
from icon.recipes.task import Task, rows


PLANE, WIDE = 2, 32  # numbers of a code: to be looked at, and of a denoiser's
UNITS, RATE = 128, 0.05  # units of a sparse code, and how often each is on
MASKED = 0.25  # of the entries of a row
MASKS = 7  # the seed of the masks that held-out rows are scored with
NEIGHBORS, BATCH = 10, 128


def themselves(m: Material) -> Task:
    """A code of two numbers, by an encoder, and the row a decoder makes of it."""
    summary = f"a code of {PLANE} numbers, and a decoder of 128 units"
    return _autoencoder(m, PLANE, lambda key, x: x, summary)


def themselves_from_noise(m: Material) -> Task:
    """The same of 32 numbers, from rows a quarter of whose entries are 0."""
    summary = f"a code of {WIDE} numbers, of rows of which {MASKED:.0%} is masked"
    return _autoencoder(m, WIDE, _masked, summary)


def themselves_by_units(m: Material) -> Task:
    """The same of 128 units between 0 and 1; and how often each of them is on.

    The second part has a distribution over on and off for every unit: p the rate that
    is asked for, q the mean of the unit over the batch.
    """
    summary = f"{UNITS} units, each of them on in {RATE:.0%} of the rows"
    task = _autoencoder(m, UNITS, lambda key, x: x, summary, jax.nn.sigmoid)
    error: Any = task.scores
    rate = jnp.log(jnp.array([[RATE, 1 - RATE]]))

    def arguments(model, key, x, target):
        p, q = task.arguments(model, key, x, target)
        on = jnp.mean(jax.nn.sigmoid(model(x)), 0)
        rates = rate * jnp.ones((len(on), 1))
        return (p, (rates,)), (q, (jnp.log(jnp.stack([on, 1 - on], 1)),))

    def scores(trained, m: Material) -> dict[str, float]:
        on = jax.nn.sigmoid(trained.embedding)
        return error(trained, m) | {"units on": float(on.mean())}

    return task._replace(arguments=arguments, scores=scores)


def _masked(key, x):
    return jnp.where(jr.bernoulli(key, MASKED, x.shape), 0, x)


def _autoencoder(
    m: Material, width: int, seen: Callable, summary: str, units: Callable = rows
) -> Task:
    """Rows, and what a decoder makes of the code of rows as the encoder has seen them.

    Both are scaled alike: about the mean of the training rows, of deviation 1 in all.
    The decoder reads the code through `units`; PCA is of as many numbers, or of as
    many as units are on.
    """
    from icon import encoders

    scaled = _scaling(m)
    decoder: Any = encoders.Decoder((128, m.flat.shape[1]))

    def extra(key, width):
        return started(decoder, key, jnp.zeros((1, width)))

    def arguments(model, key, x, target):
        code = model(seen(key, jnp.asarray(x)))
        return (target,), (applied(decoder, model.extra, units(code)),)

    def decoded(trained, x):
        encode = trained.setup.of("z").apply
        code = encode(trained.params["z"], x, trained.states.get("z", ()))
        return np.asarray(applied(decoder, trained.params["extra"], units(code)))

    def scores(trained, m: Material) -> dict[str, float]:
        held = m.x[m.test if len(m.test) else m.train]
        noisy = seen(jr.key(MASKS), jnp.asarray(held))
        count = width if units is rows else round(RATE * width)
        by_pca = _by_pca(scaled(m.x[m.train]), scaled(np.asarray(noisy)), count)
        errors = {
            "reconstruction error": _left(scaled(held), decoded(trained, noisy)),
            "error of PCA": _left(scaled(held), by_pca),
        }
        return errors | _near(trained, m)

    arrays = dict(x=m.x[m.train], target=scaled(m.x[m.train]))
    how: Any = dict(size=BATCH, width=width, protocol="held-out rows", summary=summary)
    return Task(arrays, arguments, extra=extra, scores=scores, **how)


def _scaling(m: Material) -> Callable[[np.ndarray], np.ndarray]:
    """Rows -> floats [n, d], by the mean and the deviation of the training rows."""
    train = m.flat[m.train]
    mean, deviation = train.mean(0), (train - train.mean(0)).std()
    expected = "rows that differ"
    check.require(deviation > 0, "data", "rows that are all alike", expected)
    flat = lambda x: x.reshape(len(x), -1)
    return lambda x: np.asarray((flat(x) - mean) / deviation, np.float32)


def _by_pca(train: np.ndarray, rows: np.ndarray, width: int) -> np.ndarray:
    """Rows by the directions [width, d] in which centered rows vary most."""
    from sklearn.decomposition import PCA

    pca = PCA(width).fit(train)
    return pca.inverse_transform(pca.transform(rows))


def _left(truth: np.ndarray, found: np.ndarray) -> float:
    """The share of the variance that is not in what was found."""
    return float(((truth - found) ** 2).sum() / (truth**2).sum())


def _near(trained, m: Material) -> dict[str, float]:
    """10-NN of the codes beside that of the rows; nothing without labels."""
    known = np.flatnonzero(m.labels >= 0)
    if not m.labelled or not len(m.test):
        return {}
    train = np.flatnonzero(np.isin(known, m.train))
    accuracy = lambda z: evaluate.knn_accuracy(
        z[known], m.labels[known], k=NEIGHBORS, train=train
    )
    return {"10-NN": accuracy(trained.embedding), "raw 10-NN": accuracy(m.flat)}
