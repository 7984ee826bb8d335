"""A cell nobody has tried: SupCon under a Cauchy kernel of the cosine.

python examples/new_cell.py
Expect: a report of the cell, then 10-NN on the unseen 30% above 0.9; seconds.
Draws new_cell.png: the unseen digits by their two features, of which the cell only sees
the direction. Trained, scored and drawn beside a known cell:
icon table --cells examples/new_cell.py:t_supcon SupCon
"""

import sys

import jax
import jax.numpy as jnp
import optax

import icon
from icon import data, encoders, evaluate


def cauchy_cosine(a, b, temperature):
    return -jnp.log1p((1 - b @ a) / temperature)


def unit(z):
    return z / jnp.linalg.norm(z, axis=1, keepdims=True)


def heavy(z):
    return icon.points(cauchy_cosine, unit(z), temperature=0.1)


t_supcon = icon.Cell("cosine t-SupCon", icon.same, heavy, column="Classes")
model = encoders.MLP((256, 2))


def loss(params, batch, key):
    images, labels = batch
    return t_supcon((labels,), (model.apply(params, images),))


def main(epochs: int = 100, picture: str = "new_cell.png"):
    print(icon.check(t_supcon))
    images, labels = (digits := data.digits()).images, digits.labels
    train, test = data.split(len(images), seed=0)
    params = model.init(jax.random.key(0), images[:1])
    batches = data.batches((images[train], labels[train]), 256, epochs)
    optimizer, key = optax.adam(3e-3), jax.random.key(1)
    params, history = icon.fit(loss, params, batches, optimizer, key)

    z = model.apply(params, images)
    accuracy = evaluate.knn_accuracy(unit(z), labels, k=10, train=train)
    print(f"loss {history.loss[-1]:.3f}  10-NN {accuracy:.3f}")
    icon.plot.embedding(z[test], labels[test]).figure.savefig(picture)
    return accuracy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
