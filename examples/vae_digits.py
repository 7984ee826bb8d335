"""A VAE on the digits: a cloud per image meets a density over codes.

python examples/vae_digits.py
Expect: -ELBO per image falls from about 47 to 28 nats (2 codes), 10-NN of codes 0.7 or
more; a quarter of a minute.
"""

import sys

import jax
import jax.numpy as jnp
import optax

import icon
from icon import data, encoders, evaluate


see, paint = encoders.Posterior(2), encoders.Decoder((128, 64))


def log_joint(params, x, z):
    """log of the prior N(z; 0, 1) times what the decoder thinks of every pixel."""
    logits = paint.apply(params, z)
    prior = jnp.sum(jax.scipy.stats.norm.logpdf(z))
    return prior + jnp.sum(x * logits - jax.nn.softplus(logits))


def loss(params, x, key):
    seer, painter = params
    mean, std = see.apply(seer, x)
    return icon.kl(icon.normal(mean, std, key), icon.density(log_joint, painter, x))


def main(epochs: int = 150):
    digits = data.digits()
    train, test = data.split(len(digits.features), seed=0)
    x, keys = digits.features, jax.random.split(jax.random.key(0))
    params = see.init(keys[0], x[:1]), paint.init(keys[1], jnp.zeros(2))
    feed = data.batches(x[train], 128, epochs)
    params, history = icon.fit(loss, params, feed, optax.adam(2e-3), jax.random.key(1))

    near = evaluate.knn_accuracy(
        see.apply(params[0], x)[0], digits.labels, k=10, train=train
    )
    print(f"-ELBO {history.loss[:5].mean():.1f} -> {history.loss[-5:].mean():.1f}")
    print(f"10-NN of the codes {near:.3f}")
    return history.loss[-5:].mean(), near


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
