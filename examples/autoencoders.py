"""Six autoencoders, one loss: which rows come in, what a code is, what is added.

python examples/autoencoders.py
Expect: PCA and a linear autoencoder leave a third of the variance of held-out digits,
with 8 numbers; the others .16 to .25, also of masked rows; 64 sparse units .03.
Draws autoencoders.png: ten digits, and what each autoencoder makes of them; a minute.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from matplotlib import image
from sklearn.decomposition import PCA

import icon
from icon import data
from icon.encoders import CNN, MLP, Decoder


RATE, digits = jnp.log(jnp.array([[0.1, 0.9]])), data.digits()
rows = (digits.features - digits.features.mean(0)) / digits.features.std()
train, test = data.split(len(rows), seed=0)


def decoded(epochs, encoder, decoder, seen, code, added):
    """Held-out rows, where E KL(δ_x ‖ N(decode(encode(x)), 1)) + added is least."""
    encode = lambda params, x, key: code(encoder.apply(params[0], seen(key, x)))

    def loss(params, x, key):
        near = x + 0.01 * jr.normal(key, x.shape)
        z, moved = encode(params, x, key), encode(params, near, key)
        made = icon.normal(decoder.apply(params[1], z), 1.0)
        return icon.kl(icon.dirac(x), made) + added(z, moved)

    key, few = jr.key(0), rows[:2]
    start = (encoder.init(key, seen(key, few)),)
    start += (decoder.init(key, encode(start, few, key)),)
    batches = data.batches(rows[train], 128, epochs)
    params, _ = icon.fit(loss, start, batches, optax.adam(2e-3), key)
    return np.asarray(decoder.apply(params[1], encode(params, rows[test], key)))


def sparse(z, moved):  # each unit is on in a tenth of the rows
    on = jnp.stack([jnp.mean(z, 0), 1 - jnp.mean(z, 0)], 1)
    return icon.kl(icon.scores(RATE + jnp.zeros_like(on)), icon.scores(jnp.log(on)))


# codes that a little noise does not move: .1 |∂f/∂x|² / 2, in the limit
contractive = lambda z, moved: icon.kl(icon.normal(z, 0.03), icon.normal(moved, 0.03))
itself, as_images = lambda key, x: x, lambda key, x: x.reshape(-1, 8, 8)
mask = lambda key, x: jnp.where(jr.bernoulli(key, 0.25, x.shape), 0, x)
linear, same, nothing = Decoder((64,)), lambda z: z, lambda *_: 0.0
deep = MLP((256, 8)), Decoder((256, 64))
KINDS = {
    "linear": (MLP((8,)), linear, itself, same, nothing),
    "deep": (*deep, itself, same, nothing),
    "convolutional": (CNN((16, 32), 8), deep[1], as_images, same, nothing),
    "denoising": (*deep, mask, same, nothing),
    "contractive": (*deep, itself, same, contractive),
    "sparse": (MLP((256, 64)), linear, itself, jax.nn.sigmoid, sparse),
}


def main(epochs: int = 150, picture: str = "autoencoders.png"):
    pca, x = PCA(8).fit(rows[train]), rows[test]
    found = {"PCA": pca.inverse_transform(pca.transform(x))}
    found |= {name: decoded(epochs, *kind) for name, kind in KINDS.items()}
    left = {n: float(((x - y) ** 2).sum() / (x**2).sum()) for n, y in found.items()}
    print(*(f"{name:14} {share:.3f}" for name, share in left.items()), sep="\n")
    tiles = np.stack([x[:10], *(y[:10] for y in found.values())]).reshape(-1, 10, 8, 8)
    tiles = np.pad(tiles, [(0, 0), (0, 0), (1, 1), (1, 1)]).swapaxes(1, 2)
    grid = np.kron(tiles.reshape(-1, 100), np.ones((3, 3)))
    image.imsave(picture, grid, cmap="gray_r")
    return left


if __name__ == "__main__":
    main()
