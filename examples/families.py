"""Six losses that are called contrastive: who is compared with whom, as matrices.

python examples/families.py
Expect: a line for each, with its loss on the same numbers; seconds.
Draws families.png: a row is an anchor, a column a candidate; dark is a neighbour under
p, light has its place in the denominator of q alone, and white is left out.
"""

import sys

import jax.numpy as jnp
import numpy as np

import icon


angle = 0.7 * jnp.arange(8.0) ** 2
z = jnp.stack([jnp.cos(angle), jnp.sin(angle)], 1)  # eight rows, of length 1
views = jnp.arange(8) // 2  # of which two and two are views of one image
labels = jnp.array([0, 0, 1, 1, 1, 2, 2, 2])  # or, of which some share a class
first, second, images = z[::2], z[1::2], jnp.arange(4)


def against_others(pair, others, temperature):
    """Of the anchor's class, the one positive of the pair is a candidate."""
    (z, label, positive), (rows, labels, ids) = pair, others
    score = rows @ z / temperature
    return jnp.where((labels != label) | (ids == positive), score, -jnp.inf)


def pairs():
    ids, alike = jnp.arange(8), labels[:, None] == labels[None]
    i, j = jnp.nonzero(alike & ~jnp.eye(8, dtype=bool))
    both = (z[i], labels[i], j), (z, labels, ids)
    return icon.same(j, ids), icon.points(against_others, *both, temperature=0.1)


def queue():
    p = icon.same(images, jnp.concatenate([images, jnp.full(6, -1)]))
    return p, icon.cosine(first, jnp.concatenate([second, -z[:6]]))


OTHER = jnp.arange(8) + jnp.array([1, -1] * 4)  # the other view
CASES = {
    "SimCLR: two views\nof one set, not itself": (icon.same(views), icon.cosine(z)),
    "with itself\nin the denominator": (
        icon.uniform(OTHER[:, None], candidates=8),
        icon.cosine(z, z),
    ),
    "CPC, one way; CLIP,\nboth: other views alone": (
        icon.same(images, images),
        icon.cosine(first, second),
    ),
    "MoCo: keys,\nand a queue of older ones": queue(),
    "SupCon: a class\nshares the probability": (icon.same(labels), icon.cosine(z)),
    "NT-Xent of classes:\na row for each pair": pairs(),
}


def main(picture: str = "families.png"):
    from matplotlib.figure import Figure

    figure, losses = Figure((9, 6.6), layout="constrained"), {}
    for ax, (name, (p, q)) in zip(
        figure.subplots(2, 3).flat, CASES.items(), strict=True
    ):
        neighbour, candidate = np.asarray(icon.dense(p)), np.asarray(icon.dense(q)) > 0
        shade = np.where(neighbour > 0, 0.45 + 0.55 * neighbour, 0.2 * candidate)
        ax.pcolormesh(shade[::-1], cmap="Blues", vmin=0, vmax=1, ec="white", lw=1.5)
        ax.set(title=name, xticks=[], yticks=[], aspect="equal")
        ax.set_xlabel(f"{p.shape[0]} anchors × {p.shape[1]} candidates")
        losses[name] = float(icon.kl(p, q))
        print(f"{losses[name]:7.4f}  {' '.join(name.split())}")
    figure.savefig(picture, dpi=75)
    return losses


if __name__ == "__main__":
    main(*sys.argv[1:])
