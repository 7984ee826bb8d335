"""What do batches lose, and what do kept rows and running means give them?

ICON_DATA=<folder> python benchmarks/clustering_batches.py
    [--data digits mnist banking77] [--sizes 256 1024] [--seeds 3]
`NeighborClustering.partial_fit` of all rows, shuffled, in batches of a size, but for
those that fill none; the first has 25 rows for each cluster. Then every row is
predicted: accuracy, and the loss of the labels on the graph of all rows. Means over
seeds and their standard errors; gains are over the defaults, seed by seed. Prints a row
each, adds it to benchmarks/results/clustering.json.
"""

import argparse
import copy
import statistics
import time

import clustering
import numpy as np

from icon.estimators import NeighborClustering
from icon.recipes.cut import cut


FIRST = 25  # rows for each cluster in the first batch
SETTINGS = {
    "defaults": {},
    "2,000 rows kept": dict(reservoir=2_000),
    "no row kept": dict(reservoir=0),
    "size decay .9": dict(size_decay=0.9),
    "size decay by rows seen": dict(size_decay=None),
}


def trials(data: str, size: int, seed: int) -> dict[str, dict[str, float]]:
    """What every setting comes to on the same batches, and the first batch alone."""
    x, y, count = clustering.DATA[data]()
    order = np.random.default_rng(seed).permutation(len(x))
    first, rest = np.split(order, [FIRST * count])
    whole = NeighborClustering(count, random_state=seed).fit(x)
    by = cut(whole.affinities_, count, whole.alpha)

    def scores(model):
        labels = model.predict(x)
        return dict(loss=by.loss(labels), accuracy=clustering.accuracy(y, labels))

    def trained(settings):
        model = NeighborClustering(count, random_state=seed, **settings)
        model.partial_fit(x[first])
        begun, before = copy.deepcopy(model), time.perf_counter()
        for at in range(0, len(rest) - size + 1, size):
            model.partial_fit(x[rest[at : at + size]])
        took = (time.perf_counter() - before) / max(1, len(rest) // size)
        return begun, scores(model) | dict(seconds_a_batch=took)

    found = {name: trained(settings) for name, settings in SETTINGS.items()}
    begun = scores(found["defaults"][0])
    at_once = dict(loss=whole.loss_, accuracy=clustering.accuracy(y, whole.labels_))
    ends = {name: end for name, (_, end) in found.items()}
    return {"first batch alone": begun, **ends, "all at once, by fit": at_once}


def error(values: list[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def rows(data: str, size: int, seeds: int):
    """One for every setting."""
    every = [trials(data, size, seed) for seed in range(seeds)]
    for name in every[0]:
        row = dict(data=data, method=f"{name}, batches of {size}", seeds=seeds)
        for key in every[0][name]:
            values = [one[name][key] for one in every]
            gains = [
                one[name][key] - one["defaults"][key]
                for one in every
                if key in ("loss", "accuracy")
            ]
            row[key] = round(statistics.mean(values), 4)
            if gains and name != "defaults":
                row[f"{key}_gain"] = round(statistics.mean(gains), 4)
                row[f"{key}_gain_error"] = round(error(gains), 4)
        yield row


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--data", nargs="+", default=["digits", "mnist", "banking77"])
    ask.add_argument("--sizes", nargs="+", type=int, default=[256, 1024])
    ask.add_argument("--seeds", type=int, default=3)
    asked = ask.parse_args()
    for data in asked.data:
        for size in asked.sizes:
            for row in rows(data, size, asked.seeds):
                clustering.keep("batches", [row])
                print(row, flush=True)


if __name__ == "__main__":
    main()
