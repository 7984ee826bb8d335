"""SimCLR on the digits, over all devices of one machine or of several.

python examples/two_machines.py --coordinator 10.0.0.1:1234 --processes 2 --process 0
and the same with --process 1 on the other machine; without arguments, on this one.
Expect: a loss of about 2.0, the same on all machines; half a minute.
"""

import argparse
import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

import icon
from icon import data, encoders


model = encoders.MLP((512, 512, 128))


def loss(params, images, key):
    views = jnp.concatenate(data.two_views(key, images))
    source = jnp.tile(jnp.arange(len(images)), 2)
    z = model.apply(params, views)
    return icon.kl(icon.same(source), icon.cosine(z, temperature=0.1))


def train(epochs: int):
    devices, auto = jax.devices(), (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((len(devices),), ("data",), auto, devices=devices)
    images = data.digits().images
    params = model.init(jax.random.key(0), images[:1])
    feed = data.spread(data.batches(images, 256, epochs), mesh)
    return icon.fit(loss, params, feed, optax.adam(1e-3), jax.random.key(1))


def save(path, params, history):
    """All of it or nothing: a reader never meets half a file."""
    leaves = [np.asarray(x) for x in jax.tree.leaves(params)]
    with open(f"{path}.part", "wb") as file:
        np.savez(file, *leaves, loss=history.loss)
    os.replace(f"{path}.part", path)


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--coordinator", help="address:port of process 0")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--out", help="where process 0 writes what was learned")
    return parser.parse_args()


def main():
    asked = options()
    if asked.processes > 1:
        who = (asked.coordinator, asked.processes, asked.process)
        wait = dict(heartbeat_timeout_seconds=10, shutdown_timeout_seconds=10)
        jax.distributed.initialize(*who, **wait)
    try:
        params, history = train(asked.epochs)
    except icon.PeerLost as error:
        print(error, file=sys.stderr, flush=True)
        # leaving as usual waits for the lost process, and aborts when it does not come
        os._exit(75)
    if asked.out and not asked.process:
        save(asked.out, params, history)
    print(f"loss {history.loss[-1]:.3f} on {jax.device_count()} devices")


if __name__ == "__main__":
    main()
