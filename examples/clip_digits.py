"""CLIP on image halves: the left half of a digit finds its own right half.

python examples/clip_digits.py
Expect: the right half among the 10 nearest of 540 for 60% or more (chance 2%); seconds.
Draws clip_digits.png: unseen digits, and below each its left half completed by the five
right halves that it finds nearest.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib import image

import icon
from icon import data, encoders


model = encoders.MLP((256, 64))
clip = icon.both_ways(icon.kl)


def loss(params, halves, key):
    left, right = (model.apply(params[side], x) for side, x in enumerate(halves))
    ids = jnp.arange(len(left))
    q = icon.cosine(left, right, temperature=params[2].value)  # learned
    return clip(icon.same(ids, ids), q)


def completed(left, right, match, digits=16, count=5):
    """A column per digit: itself, then its left half with the nearest rights."""
    best = np.argsort(-match, 1)[:digits, :count]
    chosen = np.concatenate([np.arange(digits)[:, None], best], 1)
    halves = lambda i, j: [left[i].reshape(8, 4), right[j].reshape(8, 4)]
    whole = lambda i, j: np.pad(np.hstack(halves(i, j)), 1)
    columns = [np.vstack([whole(i, j) for j in row]) for i, row in enumerate(chosen)]
    return np.kron(np.hstack(columns), np.ones((4, 4)))


def main(epochs: int = 100, picture: str = "clip_digits.png"):
    digits = data.digits()
    train, test = data.split(len(digits.images), seed=0)
    left, right = data.halves(digits.images)
    keys = jax.random.split(jax.random.key(0))
    params = [*(model.init(key, left[:1]) for key in keys), icon.positive(0.07)]
    batches = data.batches((left[train], right[train]), 256, epochs)
    optimizer, key = optax.adam(1e-3), jax.random.key(1)
    params, history = icon.fit(loss, params, batches, optimizer, key)

    left, right = np.asarray(left)[test], np.asarray(right)[test]
    match = icon.dense(
        icon.cosine(model.apply(params[0], left), model.apply(params[1], right))
    )
    rank = np.sum(np.asarray(match) > np.diag(match)[:, None], 1)
    found, temperature = float(np.mean(rank < 10)), float(params[2].value)
    print(f"loss {history.loss[-1]:.3f}  recall@10 {found:.3f}", end="  ")
    print(f"temperature {temperature:.3f}")
    image.imsave(picture, completed(left, right, np.asarray(match)), cmap="gray_r")
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
