"""How good are clusters of given features, and how soon, beside those of the peers?

ICON_DATA=<folder> python benchmarks/clustering.py [--only peers ablation] [--seeds 5]
    [--data digits mnist banking77]
python benchmarks/clustering.py --only million [--quick]
Banking77: all 13,083 sentence embeddings, 77 intents; MNIST: the 10,000 test images,
PCA to 50; scikit-learn's digits; by name only `cells`, simulated, `uneven`, of MNIST,
`pbmc`, of blood, all of uneven sizes, and `many`, 200,000 x 384 of 100 clouds. Each
fit is a process of its own, timed from start to its labels, imports and compilation
included; its largest memory is the operating system's figure. No method sees a label.
`million`: 1,280,000 x 1024 float16 of 1000 clouds from a mapped file, on a GPU: seconds
of each part and the largest memory so far; --quick: 20,000 x 64 of 50 on any machine.
Prints a table per section and adds it to benchmarks/results/clustering.json.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np


OUT = Path(__file__).parent / "results/clustering.json"
FOLDER = Path(os.environ.get("ICON_DATA", ""))


# ------------------------------------------------------- data


def digits():
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.data.astype(np.float32), found.target, 10


def mnist():
    from sklearn.decomposition import PCA

    found = np.load(FOLDER / "mnist20k.npz")
    x = found["test_image"].reshape(10_000, -1).astype(np.float32) / 255
    y = found["test_label"].astype(int)
    return PCA(50, random_state=0).fit_transform(x), y, 10


def banking77():
    found = np.load(FOLDER / "banking77_minilm.npz")
    both = lambda name: np.concatenate(
        [found[f"{s}_{name}"] for s in ("train", "test")]
    )
    return both("embedding").astype(np.float32), both("label").astype(int), 77


SHARES = (0.38, 0.22, 0.14, 0.1, 0.06, 0.04, 0.03, 0.015, 0.01, 0.005)


def cells(n=3_000, genes=2_000):
    """Simulated counts of ten cell types of three lineages, the rarest one in 200.

    Logarithms of counts at one depth, and their first 50 principal components.
    """
    from sklearn.decomposition import PCA

    rng, types = np.random.default_rng(0), len(SHARES)
    fold = lambda rows, share: np.exp(
        rng.normal(size=(rows, genes)) * (rng.random((rows, genes)) < share)
    )
    lineage = fold(3, 0.1)[np.arange(types) * 3 // types]
    rate = rng.gamma(0.3, size=genes) * lineage * fold(types, 0.05)
    y = rng.choice(types, n, p=SHARES)
    depth = rng.lognormal(np.log(3000), 0.4, (n, 1))
    mean = rate[y] / rate[y].sum(1, keepdims=True) * depth
    counts = rng.poisson(mean * rng.gamma(4, 0.25, (n, genes)))
    x = np.log1p(1e4 * counts / counts.sum(1, keepdims=True))
    return PCA(50, random_state=0).fit_transform(x).astype(np.float32), y, types


def many(n=200_000, d=384, count=100):
    """Normal clouds of unlike sizes, as float16 from a file that is not read whole."""
    path = Path(tempfile.gettempdir()) / f"many-{n}-{d}-{count}.npy"
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.3, 1, count)
    y = rng.choice(count, n, p=weight / weight.sum())
    if not path.exists():
        centers = 0.35 * rng.normal(size=(count, d))
        part = path.with_suffix(".part")  # a file in part has another name
        x = np.lib.format.open_memmap(part, "w+", np.float16, (n, d))
        for i in range(0, n, 10_000):
            some = y[i : i + 10_000]
            x[i : i + 10_000] = centers[some] + rng.normal(size=(len(some), d))
        x.flush()
        part.rename(path)
    return np.load(path, mmap_mode="r"), y, count


def uneven():
    """Those images of `mnist` of which each digit has .7 of the one before."""
    x, y, count = mnist()
    rng = np.random.default_rng(0)
    digits = rng.permutation(count)
    most = np.bincount(y)[digits[0]]
    wanted = (most * 0.7 ** np.arange(count)).astype(int)
    every = [
        rng.permutation(np.flatnonzero(y == digit))[:some]
        for digit, some in zip(digits, wanted, strict=True)
    ]
    rows = rng.permutation(np.concatenate(every))
    return x[rows], y[rows], count


def pbmc():
    """700 blood cells of ten types, in 50 components, from a file within scanpy.

    `pip install --no-deps scanpy; pip install h5py` is enough.
    """
    import h5py

    found = find_spec("scanpy")
    if found is None or found.origin is None:
        raise ImportError("pbmc is a file of scanpy: pip install --no-deps scanpy")
    path = Path(found.origin).parent / "datasets/10x_pbmc68k_reduced.h5ad"
    with h5py.File(path) as file:
        x = np.asarray(file["obsm"][:]["X_pca"], np.float32)
        return x, file["obs"][:]["bulk_labels"].astype(int), 10


DATA = {f.__name__: f for f in (digits, mnist, banking77, cells, uneven, pbmc, many)}


# ------------------------------------------------------- contenders


def by_icon(x, count, seed, known=None, **settings):
    from icon.estimators import NeighborClustering

    model = NeighborClustering(count, random_state=seed, **settings)
    return model.fit(x, known=known).labels_


def by_self_training(x, count, seed):
    """The labels of the classifier, which learned those that partitions agree on."""
    from icon.estimators import NeighborClustering

    return NeighborClustering(count, random_state=seed).fit(x).predict(x)


def k_means(x, count, seed):
    from sklearn.cluster import KMeans

    return KMeans(count, n_init=10, random_state=seed).fit(x).labels_


def mini_batches(x, count, seed):
    from sklearn.cluster import MiniBatchKMeans

    return MiniBatchKMeans(count, n_init=10, random_state=seed).fit(x).labels_


def spectral(x, count, seed):
    from sklearn.cluster import SpectralClustering

    options = dict(affinity="nearest_neighbors", n_neighbors=20, random_state=seed)
    return SpectralClustering(count, **options).fit(x).labels_


def mixture(x, count, seed):
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(count, covariance_type="diag", random_state=seed)
    return model.fit_predict(x)


def ward(x, count, seed):
    from sklearn.cluster import AgglomerativeClustering

    return AgglomerativeClustering(count).fit(x).labels_


def hdbscan(x, count, seed):
    from sklearn.cluster import HDBSCAN

    return (
        HDBSCAN(min_cluster_size=max(5, len(x) // (10 * count)), copy=True)
        .fit(x)
        .labels_
    )


def t_sne_and_k_means(x, count, seed):
    from icon.estimators import TSNE

    return k_means(TSNE(random_state=seed).fit_transform(x), count, seed)


def t_sne_and_hdbscan(x, count, seed):
    from icon.estimators import TSNE

    return hdbscan(TSNE(random_state=seed).fit_transform(x), count, seed)


def umap(x, seed):
    from umap import UMAP

    return UMAP(random_state=seed).fit_transform(x)


def umap_and_k_means(x, count, seed):
    return k_means(umap(x, seed), count, seed)


def umap_and_hdbscan(x, count, seed):
    return hdbscan(umap(x, seed), count, seed)


PEERS = {
    "icon": by_icon,
    "icon, self-trained classifier": by_self_training,
    "KMeans, 10 starts": k_means,
    "MiniBatchKMeans, 10 starts": mini_batches,
    "SpectralClustering, 20 neighbours": spectral,
    "GaussianMixture, diagonal": mixture,
    "AgglomerativeClustering, Ward": ward,
    "HDBSCAN": hdbscan,
    "t-SNE (icon), then KMeans": t_sne_and_k_means,
    "t-SNE (icon), then HDBSCAN": t_sne_and_hdbscan,
    "UMAP, then KMeans": umap_and_k_means,
    "UMAP, then HDBSCAN": umap_and_hdbscan,
}
NEIGHBORS = ("alike", "mutual", "shared", "within")
BOUNDED = ("tv", "jsd", "hellinger")
SETTINGS = {
    "default": {},
    **{f"alpha {a}": dict(alpha=a) for a in (0.05, 0.2, 0.4, 0.6, 0.8, 0.97)},
    **{f"{k} neighbours": dict(n_neighbors=k) for k in (10, 15, 30, 40)},
    **{f"{s} swaps": dict(swaps=s) for s in (0, 1, 4, 20)},
    **{metric: dict(metric=metric) for metric in ("cosine", "euclidean")},
    **{f"neighbors {x}": dict(neighbors=x) for x in NEIGHBORS},
    **{f"{w} walks": dict(walks=w) for w in (1, 2)},
    **{f"{r} rounds": dict(rounds=r) for r in (1, 2)},
    **{f"{x} head": dict(head=x) for x in ("linear", "mlp", "free")},
    **{f"linear head, {x}": dict(head="linear", divergence=x) for x in BOUNDED},
    **{f"{m} labels a class": dict(known=m) for m in (2, 5)},
}


# ------------------------------------------------------- a million rows


class Part(NamedTuple):
    """A function that is timed where it is looked up, and how many rows it gets."""

    owner: Any
    name: str
    rows: Callable

    def timed(self, rows: list, inside: list):
        """The same function; of one within another the outer one is timed."""
        function = getattr(self.owner, self.name)

        def watched(*given, **more):
            if inside:
                return function(*given, **more)
            inside.append(self.name)
            before = time.perf_counter()
            found = function(*given, **more)
            inside.pop()
            took = round(time.perf_counter() - before, 2)
            name = f"{self.name}, {self.rows(*given):,} rows"
            rows.append(dict(method=name, seconds=took) | largest())
            print("million", rows[-1], flush=True)
            return found

        return mock.patch.object(self.owner, self.name, watched)


def largest() -> dict[str, float]:
    """The largest memory so far in GiB: the process', and on the device."""
    import jax

    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    device = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**30
    return dict(process_gb=round(process, 2), device_gb=round(device, 2))


def parts() -> list[Part]:
    """What the estimator is made of."""
    from icon.estimators import clustering as estimator
    from icon.recipes import clustering, ensemble, heads, uneven
    from icon.recipes.cut import Cut

    first = lambda x, *_: len(x)
    return [
        Part(estimator, "features", lambda _, x: len(x)),
        Part(estimator.NeighborClustering, "_framed", lambda _, x: len(x)),
        Part(clustering, "supervision", lambda rows, *_: len(rows.x)),
        Part(ensemble, "layouts_of", first),
        Part(ensemble, "spectrum", lambda matrix, *_: matrix.shape[0]),
        Part(uneven, "finer", lambda spaces, *_: len(spaces.features)),
        Part(ensemble, "members", lambda spaces, *_: len(spaces.features)),
        Part(ensemble, "best_of", lambda cut, *_: cut.n),
        Part(ensemble, "memberships", lambda members, *_: len(members[0])),
        Part(Cut, "all_moved", lambda cut, *_: cut.n),
        Part(Cut, "moved", lambda cut, *_: cut.n),
        Part(heads, "taught", first),
        Part(heads.Classifier, "labels", lambda _, x: len(x)),
        Part(clustering, "typical", first),
    ]


def million(quick: bool) -> list[dict]:
    """The estimator on many rows, part by part."""
    import jax

    device = jax.devices()[0]
    if not quick and device.platform == "cpu":
        sys.exit("million: no GPU here; --quick runs 20,000 x 64 of 50 on the CPU")
    from icon.recipes import clustering

    n, d, count = (20_000, 64, 50) if quick else (1_280_000, 1024, 1000)
    x, y, _ = many(n, d, count)
    data, rows = f"{n:,} x {d} float16 of {count}, {device.device_kind}", []
    with contextlib.ExitStack() as stack:
        if quick:  # so that there is a sample as well
            stack.enter_context(mock.patch.object(clustering, "MANY", n // 4))
        inside: list[str] = []
        for part in parts():
            stack.enter_context(part.timed(rows, inside))
        before = time.perf_counter()
        labels = by_icon(x, count, 0)
        took = round(time.perf_counter() - before, 2)
    named = [dict(data=data, **row) for row in merged(rows)]
    scores = dict(accuracy=accuracy(y, labels), nmi=nmi(y, labels))
    whole = dict(data=data, method="all", seconds=took, **largest(), **scores)
    return [*named, whole]


def merged(rows: list[dict]) -> list[dict]:
    """One row for every part: its seconds together, and how often it ran."""
    found: dict[str, dict] = {}
    for row in rows:
        old = found.get(row["method"], dict(seconds=0, times=0))
        seconds = round(row["seconds"] + old["seconds"], 2)
        found[row["method"]] = row | dict(seconds=seconds, times=old["times"] + 1)
    return list(found.values())


def nmi(y, labels) -> float:
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(y, labels))


# ------------------------------------------------------- measuring


def fitted(section: str, name: str, data: str, seed: int) -> dict:
    """One fit in this process: its scores and its largest memory."""
    from sklearn.metrics import adjusted_rand_score

    x, y, count = DATA[data]()
    before = time.perf_counter()
    if section == "peers":
        labels = PEERS[name](x, count, seed)
    else:
        settings = dict(SETTINGS[name])
        if "known" in settings:
            settings["known"] = some_labels(y, settings["known"], seed)
        labels = by_icon(x, count, seed, **settings)
    took = time.perf_counter() - before
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return dict(
        accuracy=accuracy(y, labels),
        nmi=nmi(y, labels),
        ari=adjusted_rand_score(y, labels),
        fit_seconds=took,
        memory_mb=memory,
    )


def some_labels(y, each: int, seed: int):
    """So many labels of every class, -1 for the others."""
    rng, known = np.random.default_rng(seed), np.full(len(y), -1)
    for label in np.unique(y):
        some = rng.permutation(np.flatnonzero(y == label))[:each]
        known[some] = label
    return known


def accuracy(y, labels) -> float:
    """The best matching of clusters with classes; noise, -1, is wrong."""
    from scipy.optimize import linear_sum_assignment

    kept = labels >= 0
    count = np.zeros((y.max() + 1, labels.max() + 1))
    np.add.at(count, (y[kept], labels[kept]), 1)
    return float(count[linear_sum_assignment(-count)].sum() / len(y))


def run(section: str, name: str, data: str, seeds: int) -> dict:
    """Means over seeds, each fitted by a process of its own."""
    found = []
    for seed in range(seeds):
        start = time.perf_counter()
        order = [sys.executable, __file__, "--fit", section, name, data, str(seed)]
        said = subprocess.run(order, capture_output=True, text=True)
        if said.returncode:
            return dict(data=data, method=name, failed=said.stderr.splitlines()[-1])
        seconds = time.perf_counter() - start
        found.append(json.loads(said.stdout.splitlines()[-1]) | dict(seconds=seconds))
    row = dict(data=data, method=name, seeds=seeds, load=round(os.getloadavg()[0], 2))
    for key in found[0]:
        values = [one[key] for one in found]
        middle = statistics.median if "second" in key else statistics.mean
        row[key] = round(middle(values), 4)
        if key in ("accuracy", "nmi", "ari") and seeds > 1:
            row[f"{key}_error"] = round(statistics.stdev(values) / seeds**0.5, 4)
    return row


def machine() -> dict:
    packages = ("icon-jax", "jax", "jaxlib", "numpy", "scipy", "scikit-learn")
    return dict(
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        python=platform.python_version(),
        versions={name: version(name) for name in packages},
    )


def keep(section: str, rows: list[dict]) -> None:
    kept = json.loads(OUT.read_text()) if OUT.exists() else {}
    old = kept.get(section, [])
    named = {(row["data"], row["method"]): row for row in [*old, *rows]}
    kept |= machine() | {section: list(named.values())}
    OUT.write_text(json.dumps(kept, indent=1) + "\n")


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sections = dict(peers=PEERS, ablation=SETTINGS)
    usual, every = list(sections), [*sections, "million"]
    ask.add_argument("--only", nargs="+", choices=every, default=usual)
    ask.add_argument("--quick", action="store_true", help="of `million`: not kept")
    ask.add_argument("--data", nargs="+", choices=DATA, default=list(DATA)[:3])
    ask.add_argument("--methods", nargs="+")
    ask.add_argument("--seeds", type=int, default=5)
    ask.add_argument("--fit", nargs=4, help=argparse.SUPPRESS)
    asked = ask.parse_args()
    if asked.fit:
        *what, seed = asked.fit
        print(json.dumps(fitted(*what, int(seed))))
        return
    if "million" in asked.only:
        rows = million(asked.quick)
        if not asked.quick:
            keep("million", rows)
        print("million", rows[-1])
    for section in [name for name in asked.only if name in sections]:
        for data in asked.data:
            for name in asked.methods or sections[section]:
                row = run(section, name, data, asked.seeds)
                keep(section, [row])
                print(section, row, flush=True)


if __name__ == "__main__":
    main()
