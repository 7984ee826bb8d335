"""A film of t-SNE of the digits: where every point is after every tenth step.

python examples/film_digits.py
Expect: 10-NN accuracy 0.98 or more in the last of 40 frames; about a minute.
Draws film_digits.gif, and film_digits.png: six of its frames.
"""

import sys
from pathlib import Path

import jax.numpy as jnp

import icon
from icon import data, evaluate


def loss(z, p, exaggeration):
    q = icon.interpolated(icon.student_t(z))
    attraction, repulsion = icon.terms(p, q, joint=True)
    return exaggeration * attraction + repulsion


def main(steps: int = 400, picture: str = "film_digits.png"):
    digits = data.digits()
    x = jnp.asarray(digits.features)
    p = icon.entropic(*icon.knn(x, 90), perplexity=30)

    plane = x @ jnp.linalg.svd(x - x.mean(0)[None], full_matrices=False)[2][:2].T
    start = plane / plane[:, :1].std() * 1e-4
    early = lambda step: jnp.where(step < steps // 4, 12.0, 1.0)
    optimizer = icon.gains(lambda step: len(x) / early(step))
    film = icon.plot.Film(digits.labels)
    watched = dict(every=10, callbacks=[film])
    args = p.prepared(), early
    icon.minimize(loss, start, optimizer, steps, args=args, **watched)

    film.save(Path(picture).with_suffix(".gif"))
    film.sheet(6).savefig(picture, dpi=80)
    last = film.frames[-1].points
    accuracy = evaluate.knn_accuracy(last, digits.labels, k=10)
    print(f"{len(film.frames)} frames, 10-NN {accuracy:.3f} in the last")
    return len(film.frames), accuracy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
