"""What are some losses where XLA is left to compile as it does by default?

`python default_flags.py OUT` writes values and gradients of a few losses, for
properties/test_default_flags.py to compare: the flags of a process cannot be changed.
"""

import functools as ft
import pickle
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import zoo


# (p, q, a verb's name, its options), each built by either library
LOSSES = {
    "InfoNCE": ("same, two sets", "dot, two sets", "kl", {}),
    "CLIP, in strips": ("clusters, two sets", "cosine, two sets", "both", {"block": 3}),
    "t-SNE": ("graph", "student_t", "kl", {"joint": True}),
    "SNE, in strips": ("gaussian, a scale each", "gaussian", "kl", {"block": 3}),
    "bounded": ("laplace", "student_t", "jsd", {"block": 3}),
}


def loss_of(name, lib, p, q):
    _, _, verb, options = LOSSES[name]
    options = (
        options
        if lib is zoo.OURS
        else {k: v for k, v in options.items() if k != "block"}
    )
    verb = lib.both_ways(lib.kl) if verb == "both" else getattr(lib, verb)
    return verb(p, q, **options)


def value(name, s):
    pair = [zoo.KINDS[kind] for kind in LOSSES[name][:2]]
    data = [zoo.traced(k, s, jnp.float32) for k in (0, 1)]
    return loss_of(
        name, zoo.OURS, *(f(zoo.OURS, d) for f, d in zip(pair, data, strict=True))
    )


def main(out: Path):
    def losses(s):
        return [jax.value_and_grad(ft.partial(value, name))(s) for name in LOSSES]

    found = jax.device_get(jax.jit(losses)(jnp.zeros(())))
    out.write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
