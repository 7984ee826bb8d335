"""How long does each row of the table take, and how much memory, on this machine?

python benchmarks/cells.py [n]
Value and gradient in every float that q is built from, compiled; the median of
several runs, icon and its peer in turn (A B A B) where optax or jnp say the same.
Prints one table and writes benchmarks/results/cells.json.
"""

import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import icon
from icon import recipes


RUNS = 9


# ------------------------------------------------------- the same, without icon


def _rows(s):
    return jnp.where(jnp.eye(len(s), dtype=bool), -jnp.inf, s)


def _unit(z):
    return z / jnp.linalg.norm(z, axis=1, keepdims=True)


def _square(z):
    return jnp.sum((z[:, None] - z[None]) ** 2, -1)


def simclr_optax(evidence, z):
    return optax.losses.ntxent(z, evidence[0], temperature=0.1)


def simclr_jnp(evidence, z):
    log_q = jax.nn.log_softmax(_rows(_unit(z) @ _unit(z).T / 0.1))
    twin = (jnp.arange(len(z)) + len(z) // 2) % len(z)
    return -jnp.mean(log_q[jnp.arange(len(z)), twin])


def clip_jnp(evidence, u, v):
    s = _unit(u) @ _unit(v).T / 0.07
    both = [jnp.diag(jax.nn.log_softmax(s, axis)) for axis in (0, 1)]
    return -jnp.mean(jnp.stack(both))


def supcon_jnp(evidence, z):
    mates = _rows(jnp.where(evidence[0][:, None] == evidence[0][None], 0.0, -jnp.inf))
    p = jax.nn.softmax(mates)
    log_q = jax.nn.log_softmax(_rows(_unit(z) @ _unit(z).T / 0.1))
    return -jnp.mean(jnp.sum(jnp.where(p > 0, p * jnp.where(p > 0, log_q, 0), 0), 1))


def cross_entropy_optax(evidence, z, w):
    return jnp.mean(
        optax.losses.softmax_cross_entropy_with_integer_labels(z @ w.T, evidence[0])
    )


def uniformity_jnp(evidence, z):
    return jnp.mean(jax.nn.logsumexp(-_square(z), 1))


def t_simcne_jnp(evidence, z):
    log_q = jax.nn.log_softmax(_rows(-jnp.log1p(_square(z))))
    twin = (jnp.arange(len(z)) + len(z) // 2) % len(z)
    return -jnp.mean(log_q[jnp.arange(len(z)), twin])


def pca_jnp(evidence, z):
    return -2 * jnp.sum(jnp.var(z, 0))


def kmeans_jnp(evidence, phi):
    x, size = evidence[0], phi.sum(0)
    mean = phi.T @ x / size[:, None]
    return jnp.sum(phi * jnp.sum((x[:, None] - mean[None]) ** 2, -1)) / len(x)


PEERS = {
    "SimCLR": {"optax ntxent": simclr_optax, "jnp": simclr_jnp},
    "CLIP": {"jnp": clip_jnp},
    "SupCon": {"jnp": supcon_jnp},
    "cross-entropy": {"optax": cross_entropy_optax},
    "uniformity": {"jnp": uniformity_jnp},
    "t-SimCNE": {"jnp": t_simcne_jnp},
    "PCA": {"jnp, by its closed form": pca_jnp},
    "k-means": {"jnp, by its closed form": kmeans_jnp},
}


# ------------------------------------------------------- measuring


def compiled(loss, floats):
    """Value and gradient, compiled; and the memory it needs beside its arguments."""
    f = jax.jit(jax.value_and_grad(loss)).lower(floats).compile()
    return f, f.memory_analysis().temp_size_in_bytes


def seconds(f, *args):
    began = time.perf_counter()
    jax.block_until_ready(f(*args))
    return time.perf_counter() - began


def split(embedding):
    """The floats of an embedding, and how to put it together again."""
    leaves, shape = jax.tree.flatten(embedding)
    asked = [jnp.issubdtype(jnp.asarray(x).dtype, jnp.floating) for x in leaves]

    def whole(floats):
        new = iter(floats)
        both = zip(leaves, asked, strict=True)
        return jax.tree.unflatten(shape, [next(new) if a else x for x, a in both])

    return [jnp.asarray(x) for x, a in zip(leaves, asked, strict=True) if a], whole


def traced(cell, evidence, embedding):
    """The cell as a function of the floats of q; p is built once."""
    p, q = cell.neighborhoods(evidence, embedding)
    floats, whole = split(q)
    return (lambda floats: cell.loss(p, whole(floats))), floats


def measure(cell, n):
    """icon and its peers in turn: medians of milliseconds, and megabytes."""
    evidence, embedding = recipes.example(cell, n)
    functions = {"icon": compiled(*traced(cell, evidence, embedding))}
    _, floats = traced(cell, evidence, embedding)
    arguments = {"icon": floats}
    for name, peer in PEERS.get(cell.name, {}).items():
        whole = lambda z, peer=peer: peer(evidence, *z)
        arguments[name] = tuple(map(jnp.asarray, embedding))
        functions[name] = compiled(whole, arguments[name])
    times = {name: [] for name in functions}
    first = cell.learning(embedding)
    first = first[0] if isinstance(first, tuple) else first  # of a sum
    for run in range(RUNS + 1):
        for name, (f, _) in functions.items():
            took = seconds(f, arguments[name])
            times[name] += [took] if run else []
    return [
        dict(
            row=cell.name,
            who=name,
            shape=list(first.shape),
            milliseconds=round(1e3 * float(np.median(times[name])), 3),
            megabytes=round(memory / 1e6, 3),
        )
        for name, (_, memory) in functions.items()
    ]


def machine():
    packages = ("icon-jax", "jax", "jaxlib", "optax", "numpy")
    return dict(
        device=str(jax.devices()[0].device_kind),
        cores=os.cpu_count(),
        processor=platform.processor() or platform.machine(),
        python=platform.python_version(),
        versions={name: version(name) for name in packages},
    )


def main(n: int = 1024):
    found = []
    print(
        f"{'row':30s} {'who':24s} {'anchors × candidates':>22s} {'ms':>9s} {'MB':>9s}"
    )
    for cell in icon.TABLE.values():
        for line in measure(cell, n):
            shape = " × ".join(map(str, line["shape"]))
            print(
                f"{line['row']:30s} {line['who']:24s} {shape:>22s} "
                f"{line['milliseconds']:9.2f} {line['megabytes']:9.2f}",
                flush=True,
            )
            found.append(line)
    path = Path(__file__).parent / "results" / "cells.json"
    said = dict(points=n, runs=RUNS, machine=machine(), rows=found)
    path.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
