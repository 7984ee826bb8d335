"""SimCLR on the digits: two views of an image are each other's only neighbours.

python examples/simclr_digits.py
Expect: linear probe and 10-NN on the unseen 30% above 0.97; half a minute.
Draws simclr_digits.png: the unseen digits, a t-SNE of what the encoder makes of them.
"""

import sys

import jax
import jax.numpy as jnp
import optax

import icon
from icon import data, encoders, estimators, evaluate


model = encoders.MLP((512, 512, 128))


def loss(params, images, key):
    views = jnp.concatenate(data.two_views(key, images))
    source = jnp.tile(jnp.arange(len(images)), 2)
    z = model.apply(params, views)
    return icon.kl(icon.same(source), icon.cosine(z, temperature=0.1))


def main(epochs: int = 150, picture: str = "simclr_digits.png"):
    digits = data.digits()
    train, test = data.split(len(digits.images), seed=0)
    params = model.init(jax.random.key(0), digits.images[:1])
    steps = epochs * (len(train) // 256)
    rate = optax.warmup_cosine_decay_schedule(0, 2e-3, max(1, steps // 10), steps)
    batches = data.batches(digits.images[train], 256, epochs)
    optimizer, key = optax.adam(rate), jax.random.key(1)
    params, history = icon.fit(loss, params, batches, optimizer, key)

    z = model.apply(params, digits.images)
    probe = evaluate.linear_probe(z, digits.labels, train=train)
    accuracy = evaluate.knn_accuracy(z, digits.labels, k=10, train=train)
    print(f"loss {history.loss[-1]:.3f}  probe {probe:.3f}  10-NN {accuracy:.3f}")
    few = dict(early_exaggeration_iter=100, max_iter=300, random_state=0)
    plane = estimators.TSNE(metric="cosine", **few).fit_transform(z[test])
    icon.plot.embedding(plane, digits.labels[test]).figure.savefig(picture)
    return probe, accuracy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
