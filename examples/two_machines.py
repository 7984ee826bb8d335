"""SimCLR on the digits, over all devices of one machine or of several.

python examples/two_machines.py --coordinator 10.0.0.1:1234 --processes 2 --process 0
and the same with --process 1 on the other machine; without arguments, on this one.
Expect: a loss of about 2.0, the same on all machines; about a minute.
Draws the loss of every step with --picture two_machines.png.
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
    batches = data.spread(data.batches(images, 256, epochs), mesh)
    return icon.fit(loss, params, batches, optax.adam(1e-3), jax.random.key(1))


def save(path, params, history):
    """All of it or nothing: a reader never sees half a file."""
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
    parser.add_argument("--picture", help="where process 0 draws the loss")
    return parser.parse_args()


def main():
    given = options()
    if given.processes > 1:
        processes = given.coordinator, given.processes, given.process
        wait = dict(heartbeat_timeout_seconds=10, shutdown_timeout_seconds=10)
        jax.distributed.initialize(*processes, **wait)
    try:
        params, history = train(given.epochs)
    except icon.PeerLost as error:
        print(error, file=sys.stderr, flush=True)
        # a regular exit waits for the lost process, and aborts when it does not come
        os._exit(75)
    if given.out and not given.process:
        save(given.out, params, history)
    if given.picture and not given.process:
        icon.plot.history(history.loss).figure.savefig(given.picture)
    print(f"loss {history.loss[-1]:.3f} on {jax.device_count()} devices")


if __name__ == "__main__":
    main()
