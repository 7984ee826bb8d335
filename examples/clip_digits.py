"""CLIP on image halves: the left half of a digit finds its own right half.

python examples/clip_digits.py
Expect: the right half among the 10 nearest of 540 for 60% or more (chance 2%); seconds.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

import icon
from icon import data, encoders


model = encoders.MLP((256, 64))
clip = icon.both_ways(icon.kl)


def loss(params, halves, key):
    left, right = (model.apply(params[s], x) for s, x in enumerate(halves))
    ids = jnp.arange(len(left))
    q = icon.cosine(left, right, temperature=jnp.exp(params[2]))  # learned
    return clip(icon.same(ids, ids), q)


def main(epochs: int = 100):
    digits = data.digits()
    train, test = data.split(len(digits.images), seed=0)
    left, right = data.halves(digits.images)
    keys = jax.random.split(jax.random.key(0))
    towers = [model.init(key, left[:1]) for key in keys]
    feed = data.batches((left[train], right[train]), 256, epochs)
    params, history = icon.fit(
        loss, [*towers, jnp.log(0.07)], feed, optax.adam(1e-3), jax.random.key(1)
    )

    image, text = (model.apply(params[s], x[test]) for s, x in enumerate((left, right)))
    match = icon.dense(icon.cosine(image, text))
    rank = np.sum(np.asarray(match) > np.diag(match)[:, None], 1)
    found = float(np.mean(rank < 10))
    warmth = float(jnp.exp(params[2]))
    print(
        f"loss {history.loss[-1]:.3f}  recall@10 {found:.3f}  temperature {warmth:.3f}"
    )
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
