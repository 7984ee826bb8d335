"""A VAE on the digits: a cloud of codes per image, and a density over codes.

python examples/vae_digits.py
Expect: -ELBO per image falls from about 45 to 25 nats (2 codes), 10-NN of codes 0.7 or
more; a quarter of a minute.
Draws vae_digits.png: what the decoder makes of every code from -2 to 2.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib import image

import icon
from icon import data, encoders, evaluate


encoder, decoder = encoders.Posterior(2), encoders.Decoder((128, 64))


def log_joint(params, x, z):
    """log N(z; 0, 1) + Σ_k log p(pixel x_k | z): the prior times the decoder."""
    logits = decoder.apply(params, z)
    prior = jnp.sum(jax.scipy.stats.norm.logpdf(z))
    return prior + jnp.sum(x * logits - jax.nn.softplus(logits))


def loss(params, x, key):
    mean, std = encoder.apply(params[0], x)
    return icon.kl(icon.normal(mean, std, key), icon.density(log_joint, params[1], x))


def decoded(params, count=16):
    """An image for each code of a grid over the plane, in its place."""
    y, x = jnp.meshgrid(*2 * [jnp.linspace(-2, 2, count)], indexing="ij")
    images = jax.nn.sigmoid(decoder.apply(params, jnp.stack([x, -y], -1)))
    tiles = np.pad(images.reshape(count, count, 8, 8), [(0, 0), (0, 0), (1, 1), (1, 1)])
    return np.kron(tiles.swapaxes(1, 2).reshape(10 * count, -1), np.ones((3, 3)))


def main(epochs: int = 150, picture: str = "vae_digits.png"):
    digits = data.digits()
    train, _ = data.split(len(digits.features), seed=0)
    x, keys = digits.features, jax.random.split(jax.random.key(0))
    params = encoder.init(keys[0], x[:1]), decoder.init(keys[1], jnp.zeros(2))
    batches = data.batches(x[train], 128, epochs)
    optimizer, key = optax.adam(2e-3), jax.random.key(1)
    params, history = icon.fit(loss, params, batches, optimizer, key)

    codes, _ = encoder.apply(params[0], x)
    accuracy = evaluate.knn_accuracy(codes, digits.labels, k=10, train=train)
    first, last = history.loss[:5].mean(), history.loss[-5:].mean()
    print(f"-ELBO {first:.1f} -> {last:.1f}  10-NN of the codes {accuracy:.3f}")
    image.imsave(picture, decoded(params[1]), cmap="gray_r")
    return last, accuracy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
