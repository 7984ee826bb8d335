"""How many nats, or bits, do models of rows need: VAE, diffusion, autoregression?

ICON_DATA=<folder of mnist20k.npz> python benchmarks/latent.py [--only mnist ...]
mnist: 10,000 training digits, pixels drawn as Bernoulli(intensity) anew in every step,
those of the 10,000 test digits once; 20 latents. `elbo` and `bound` are nats of a test
digit, the mean of 10 samples of its cloud and the importance-weighted bound of the
same 10. digits: bits of a pixel of the 8 x 8 digits, 17 levels, on held-out rows: an
upper bound but for autoregression; beside the shares of the levels at each place.
bytes: bits of a byte of the last tenth of Python's documentation, of a causal network,
of a bigram and of gzip.
Prints a table per section and adds it to benchmarks/results/latent.json; draws samples
into latent_<section>.png beside it. --quick is a trial that is not kept.
"""

import argparse
import functools as ft
import gzip
import json
import math
import os
import time
from pathlib import Path
from typing import NamedTuple

import cells
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

import icon
from icon import data, encoders, evaluate, recipes
from icon.data.text import standard_library
from icon.recipes import likelihoods
from icon.recipes.tasks import steps


RESULTS = Path(__file__).parent / "results"
BITS = 1 / math.log(2)


class Plan(NamedTuple):
    """How long is trained, and on how much text."""

    epochs: int = 50
    batches: int = 2000
    text: int = 1_000_000


def adam(rate: float, count: int):
    warm = min(20, count // 2)
    return optax.adam(optax.warmup_cosine_decay_schedule(0.0, rate, warm, count))


def trained(loss, params, rows, size: int, epochs: int, rate: float):
    """Parameters after so many epochs, and the CPU's seconds."""
    began = time.process_time()
    optimizer = adam(rate, epochs * (len(rows) // size))
    feed = data.batches(rows, size, epochs)
    params, _ = icon.fit(loss, params, feed, optimizer, jr.key(1))
    return params, round(time.process_time() - began, 1)


# ------------------------------------------------------- nats of MNIST


LATENTS, UNITS, DRAWS, PARTS = 20, 400, 10, 50
ENCODER = encoders.Posterior(LATENTS, (UNITS,))
DECODER = encoders.Decoder((UNITS, 784))


def standard(params, z):
    return likelihoods.gaussian(z, jnp.zeros_like(z))


def mixture(params, z):
    logits, mean, log_std = params
    return likelihoods.mixture(z, logits, mean, jnp.exp(log_std))


def pixels(params, x, z):
    return likelihoods.bernoulli(x, DECODER.apply(params, z))


def with_prior(prior):
    """(decoder and prior, x, z) -> log p(z) + log p(x | z)."""
    return lambda params, x, z: prior(params[1], z) + pixels(params[0], x, z)


def vae_loss(log_joint, params, x, key):
    one, two = jr.split(key)
    x = jr.bernoulli(one, x).astype(jnp.float32)
    mean, std = ENCODER.apply(params[0], x)
    return icon.kl(icon.normal(mean, std, two), icon.density(log_joint, params[1], x))


def two_cells(params, x, key):
    """The same in expectation: the standard prior is met exactly."""
    one, two = jr.split(key)
    x = jr.bernoulli(one, x).astype(jnp.float32)
    mean, std = ENCODER.apply(params[0], x)
    cloud = icon.normal(mean, std, two)
    near = icon.cross_entropy(cloud, icon.density(pixels, params[1][0], x))
    return near + icon.kl(cloud, icon.normal(jnp.zeros_like(mean), 1.0))


def mnist_rows():
    found = data.mnist()
    train = np.asarray(found.also["train"], bool)
    x = found.images.reshape(len(found.images), -1)
    return x[train], np.asarray(jr.bernoulli(jr.key(5), x[~train]), np.float32)


def mnist(plan: Plan):
    train, test = mnist_rows()
    keys = jr.split(jr.key(0), 3)
    encoding = ENCODER.init(keys[0], train[:1])
    decoding = DECODER.init(keys[1], jnp.zeros(LATENTS))
    parts = (
        jnp.zeros(PARTS),
        jr.normal(keys[2], (PARTS, LATENTS)),
        jnp.zeros((PARTS, LATENTS)),
    )
    of_mixture = with_prior(mixture)
    lines, drawn = [], {}
    learned = f"mixture of {PARTS} as prior"
    for name, loss, log_joint, prior in (
        ("standard normal prior", two_cells, with_prior(standard), ()),
        (learned, ft.partial(vae_loss, of_mixture), of_mixture, parts),
    ):
        start = encoding, (decoding, prior)
        params, seconds = trained(loss, start, train, 128, plan.epochs, 1e-3)
        cloud = icon.normal(*ENCODER.apply(params[0], test), jr.key(6), DRAWS)
        q = icon.density(log_joint, params[1], test)
        elbo = round(-float(icon.kl(cloud, q, block=500)), 2)
        bound = round(float(evaluate.importance_bound(cloud, q).mean()), 2)
        line = dict(who=name, elbo=elbo, bound=bound, samples=DRAWS, cpu_s=seconds)
        lines.append(line)
        drawn[name] = of_prior(params[1]).reshape(-1, 28, 28)
    return lines, drawn


def of_prior(params, count: int = 10):
    """What the decoder makes of codes that the prior draws."""
    one, two, three = jr.split(jr.key(8), 3)
    z = jr.normal(two, (count, LATENTS))
    if params[1]:
        logits, mean, log_std = params[1]
        part = jr.categorical(one, logits, shape=(count,))
        z = mean[part] + jnp.exp(log_std[part]) * z
    drawn = jr.bernoulli(three, jax.nn.sigmoid(DECODER.apply(params[0], z)))
    return np.asarray(drawn, np.float32)


# ------------------------------------------------------- bits of 8 x 8 digits


CODES = encoders.Posterior(LATENTS)
OF_CODES = encoders.Decoder((256, 64 * steps.LEVELS))


def of_levels(params, x, z):
    logits = OF_CODES.apply(params, z).reshape(-1, steps.LEVELS)
    return standard((), z) + likelihoods.categorical(x, logits)


def vae_of_levels(m: recipes.Material) -> recipes.Task:
    """A code of 20 numbers, of a categorical distribution over the levels."""
    found = steps.levels(m)

    def clouds(params, level, key, count):
        mean, std = CODES.apply(params[0], steps.values(level))
        return icon.normal(mean, std, key, count), (of_levels, params[1], level)

    def extra(key, width):
        one, two = jr.split(key)
        x = steps.values(found[:1])
        return CODES.init(one, x), OF_CODES.init(two, jnp.zeros(LATENTS))

    def arguments(model, key, level):
        mean, std = CODES.apply(model.extra[0], steps.values(level))
        return (mean, std, key), (of_levels, model.extra[1], level)

    def scores(trained, m):
        cloud, q = clouds(
            trained.params["extra"], jnp.asarray(found[m.test]), jr.key(6), 100
        )
        nats = -evaluate.importance_bound(cloud, icon.density(*q)).mean()
        return {"bits per entry": float(nats) * BITS / found.shape[1]}

    scored = lambda params: CODES.apply(params["extra"][0], steps.values(found))[0]
    return recipes.Task(
        dict(level=found[m.train]), arguments, views={}, extra=extra,
        size=64, width=LATENTS, scored=scored, scores=scores,
    )  # fmt: skip


def drawn_by_vae(params, count):
    one, two = jr.split(jr.key(9))
    logits = OF_CODES.apply(params[1], jr.normal(one, (count, LATENTS)))
    return jr.categorical(two, logits.reshape(count, -1, steps.LEVELS))


def drawn_in_order(params, count):
    """Level after level, each from those before it."""
    encoding, table = params
    encoder = encoders.CausalEncoder(steps.LEVELS, steps.WIDTH, steps.LAYERS)

    def draw(t, found):
        logits = encoder.apply(encoding, found)[:, t] @ table.T
        return found.at[:, t].set(jr.categorical(jr.fold_in(jr.key(9), t), logits))

    return jax.jit(
        lambda: jax.lax.fori_loop(0, 64, draw, jnp.zeros((count, 64), int))
    )()


def drawn_from_noise(params, count):
    """Step after step back, from a standard normal distribution to the levels."""
    schedule = steps.noise(steps.STEPS)
    denoise = ft.partial(steps.denoiser_of(64).apply, params)
    at = lambda t: jnp.full(count, t)
    guess = lambda noised, t: steps.guess(schedule, denoise, noised, at(t))

    def back(k, noised):
        t = steps.STEPS - k
        row = steps.mean(guess(noised, t))
        mean, std = schedule.at(at(t)).back(row, noised)
        return mean + std * jr.normal(jr.fold_in(jr.key(9), t), mean.shape)

    start = jr.normal(jr.key(10), (count, 64))
    last = jax.jit(
        lambda: guess(jax.lax.fori_loop(0, steps.STEPS - 1, back, start), 1)
    )()
    return jr.categorical(jr.key(11), last)


def digits(plan: Plan):
    budget = recipes.Budget(batches=plan.batches)
    m = recipes.material(data.digits(), budget=budget)
    found = steps.levels(m)
    shares = steps.bits_by_share(found[m.train], found[m.test])
    lines = [dict(who="shares of the levels at each place", bits=round(shares, 3))]
    own = icon.Cell(
        "VAE", icon.normal, icon.density, icon.kl, vae_of_levels, row="Density"
    )
    drawn = {}
    for cell, draw in (
        (own, drawn_by_vae),
        (icon.TABLE["diffusion"], drawn_from_noise),
        (icon.TABLE["autoregression"], drawn_in_order),
    ):
        began = time.process_time()
        after = recipes.train(cell, m)
        seconds = round(time.process_time() - began, 1)
        bits = after.task.scores(after, m)["bits per entry"]
        lines.append(dict(who=cell.name, bits=round(bits, 3), cpu_s=seconds))
        images = np.asarray(draw(after.params["extra"], 10), np.float32)
        drawn[cell.name] = images.reshape(-1, 8, 8) / 16
    return lines, drawn


# ------------------------------------------------------- bits of a byte


WINDOW, WIDTH, LAYERS = 128, 64, 7
READER = encoders.CausalEncoder(256, WIDTH, LAYERS)


def next_bytes(params, x, key):
    hidden = READER.apply(params[0], x).reshape(-1, WIDTH)
    p = icon.same(x.reshape(-1), jnp.arange(256))
    return icon.kl(p, icon.dot(hidden, params[1]))


def bigram_bits(train, test) -> float:
    """By how often one byte follows another, once more than in the training text."""
    counts = np.ones((256, 256))
    np.add.at(counts, (train[:-1], train[1:]), 1)
    share = counts / counts.sum(1, keepdims=True)
    return float(-np.log2(share[test[:-1], test[1:]]).mean())


@jax.jit
def _nats(params, x):
    """Of the second half of windows, of which the first is read."""
    logits = READER.apply(params[0], x) @ params[1].T
    half = WINDOW // 2
    each = jax.vmap(likelihoods.categorical)(x[:, half:], logits[:, half:])
    return each.sum() / half


def byte_bits(params, test) -> float:
    half = WINDOW // 2
    starts = np.arange(0, len(test) - WINDOW, half)
    windows = test[starts[:, None] + np.arange(WINDOW)]
    parts = [windows[k : k + 64] for k in range(0, len(windows), 64)]
    return (
        -sum(float(_nats(params, jnp.asarray(x))) for x in parts) * BITS / len(windows)
    )


def written(params, start, count: int = 300) -> str:
    """Byte after byte, from the last 127 before it."""

    @jax.jit
    def draw(window, key):
        logits = READER.apply(params[0], window[None])[0, -1] @ params[1].T
        new = window.at[-1].set(jr.categorical(key, logits).astype(window.dtype))
        return jnp.roll(new, -1), new[-1]

    window, found = jnp.roll(jnp.asarray(start[:WINDOW]), -1), []
    for key in jr.split(jr.key(11), count):
        window, byte = draw(window, key)
        found.append(int(byte))
    return bytes(found).decode(errors="replace")


def text(plan: Plan):
    found = standard_library(plan.text).encode()
    x = np.frombuffer(found, np.uint8).astype(np.int32)
    cut = len(x) * 9 // 10
    train, test = x[:cut], x[cut:]
    rows = train[: len(train) // WINDOW * WINDOW].reshape(-1, WINDOW)
    one, two = jr.split(jr.key(0))
    params = READER.init(one, rows[:1]), jr.normal(two, (256, WIDTH)) / WIDTH**0.5
    epochs = max(1, plan.batches * 16 // len(rows))
    params, seconds = trained(next_bytes, params, rows, 16, epochs, 3e-3)
    zipped = 8 * len(gzip.compress(found[-len(test) :], 9)) / len(test)
    lines = [
        dict(who="bigram", bits=round(bigram_bits(train, test), 3)),
        dict(who="gzip -9", bits=round(zipped, 3)),
        dict(
            who="autoregression",
            bits=round(byte_bits(params, test), 3),
            cpu_s=seconds,
            bytes=len(train),
            written=written(params, test),
        ),
    ]
    return lines, {}


# ------------------------------------------------------- what is kept


SECTIONS = {"mnist": mnist, "digits": digits, "bytes": text}


def show(name: str, lines) -> None:
    print(f"\n{name}")
    for line in lines:
        numbers = {k: x for k, x in line.items() if k not in ("who", "written")}
        said = "  ".join(f"{k} {x:,}" for k, x in numbers.items())
        print(f"  {line['who']:36s} {said}", flush=True)


def keep(name: str, plan: Plan, lines, out: Path) -> None:
    kept = json.loads(out.read_text()) if out.exists() else {}
    how = plan._asdict() | dict(load=round(os.getloadavg()[0], 1))
    kept[name] = dict(machine=cells.machine(), **how, rows=lines)
    out.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def draw(drawn, path: Path) -> None:
    """A line of samples for each model."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(drawn), 1, figsize=(6, 0.9 * len(drawn)))
    for ax, (name, images) in zip(np.atleast_1d(axes), drawn.items(), strict=True):
        ax.imshow(np.concatenate(list(np.pad(images, 1)[1:-1]), 1), cmap="gray_r")
        ax.set_title(name, fontsize=7)
        ax.axis("off")
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=[*SECTIONS])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    plan = Plan(1, 30, 60_000) if given.quick else Plan()
    for name in given.only:
        lines, drawn = SECTIONS[name](plan)
        show(name, lines)
        if not given.quick:
            keep(name, plan, lines, RESULTS / "latent.json")
        if drawn and not given.quick:
            draw(drawn, RESULTS / f"latent_{name}.png")


if __name__ == "__main__":
    main()
