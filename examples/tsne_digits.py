"""t-SNE of the digits, from its two neighbourhoods.

python examples/tsne_digits.py
Expect: trustworthiness(12) 0.99, 10-NN accuracy 0.98 or more, tsne.png; half a minute.
"""

import sys

import jax.numpy as jnp
import optax

import icon
from icon import evaluate


def loss(z, p):
    return icon.kl(p, icon.student_t(z), joint=True)


def main(steps: int = 500, picture: str = "tsne.png"):
    digits = icon.data.digits()
    x = jnp.asarray(digits.features)
    p = icon.entropic(*icon.knn(x, 90), perplexity=30)

    start = x @ jnp.linalg.svd(x - x.mean(0)[None], full_matrices=False)[2][:2].T
    optimizer = optax.adam(optax.cosine_decay_schedule(1.0, steps))
    z, history = icon.minimize(loss, start, optimizer, steps, args=(p,))

    near = evaluate.knn_accuracy(z, digits.labels, k=10)
    trust = evaluate.trustworthiness(x, z, k=12)
    print(f"KL {history.loss[-1]:.3f}  10-NN {near:.3f}  trustworthiness {trust:.3f}")
    icon.plot.embedding(z, digits.labels).figure.savefig(picture)
    return near, trust


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
