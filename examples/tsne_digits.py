"""t-SNE of the digits, from its two neighbourhoods.

python examples/tsne_digits.py
Expect: trustworthiness(12) 0.99, 10-NN accuracy 0.98 or more; half a minute.
Draws tsne_digits.png: every digit, coloured by its class.
"""

import sys

import jax.numpy as jnp

import icon
from icon import data, evaluate


def loss(z, p, exaggeration):
    q = icon.interpolated(icon.student_t(z))
    attraction, repulsion = icon.terms(p, q, joint=True)
    return exaggeration * attraction + repulsion


def main(steps: int = 750, picture: str = "tsne_digits.png"):
    digits = data.digits()
    x = jnp.asarray(digits.features)
    p = icon.entropic(*icon.knn(x, 90), perplexity=30)

    plane = x @ jnp.linalg.svd(x - x.mean(0)[None], full_matrices=False)[2][:2].T
    start = plane / plane[:, :1].std() * 1e-4
    early = lambda step: jnp.where(step < steps // 3, 12.0, 1.0)
    optimizer = icon.gains(lambda step: len(x) / early(step))
    args = p.prepared(), early
    z, _ = icon.minimize(loss, start, optimizer, steps, args=args, every=50)

    accuracy = evaluate.knn_accuracy(z, digits.labels, k=10)
    trust = evaluate.trustworthiness(x, z, k=12)
    kl = icon.kl(p, icon.student_t(z), joint=True)
    print(f"KL {kl:.3f}  10-NN {accuracy:.3f}  trustworthiness {trust:.3f}")
    icon.plot.embedding(z, digits.labels).figure.savefig(picture)
    return accuracy, trust


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
