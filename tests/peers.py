"""What do other libraries compute, where examples/COMING_FROM.md has a line of theirs?

    python tests/peers.py [a checkout of github.com/ShadeAlsha/ICon]

runs those lines as they stand there and writes the losses and their gradients beside
itself, to peers.json. It needs openTSNE, umap-learn, torch, pytorch-metric-learning and
open_clip_torch, and nothing of ours: the tests compare, and need none of them.
"""

import functools as ft
import importlib.metadata
import importlib.util
import json
import re
import sys
import types
from pathlib import Path

import numpy as np


HERE = Path(__file__).parent
PAGE = HERE.parent / "examples" / "COMING_FROM.md"
KEPT = HERE / "peers.json"
LIBRARIES = (
    *("pytorch-metric-learning", "open_clip", "openTSNE", "umap-learn"),
    "the I-Con paper's code",
)
LEARNED = ("z", "w", "image", "text", "y")


# ------------------------------------------------------- the page


def sections(text: str) -> dict[str, str]:
    """What stands below every third heading, up to the next of any."""
    parts = re.split(r"^(##+) (.*)\n", text, flags=re.M)[1:]
    three = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return {name: body for level, name, body in three if level == "###"}


def entries(text: str) -> dict[str, dict[str, str]]:
    """Of every third heading its blocks of code, by their first comment."""
    blocks = re.compile(r"```python\n# ([^\n]*)\n(.*?)```", re.S)
    found = sections(text).items()
    return {name: {**dict(blocks.findall(body)), "page": body} for name, body in found}


# ------------------------------------------------------- what both are given


def inputs() -> dict[str, np.ndarray]:
    """What the page says that it takes as given, in double precision."""
    rng = np.random.default_rng(0)
    unit = lambda v: v / np.linalg.norm(v, axis=-1, keepdims=True)
    drawn = lambda *shape: rng.normal(size=shape)
    ids = np.arange(12)
    return {
        **{"z": drawn(12, 8), "w": drawn(3, 8), "keys": drawn(12, 8)},
        **{"image": unit(drawn(12, 8)), "text": unit(drawn(12, 8))},
        **{"queue": drawn(20, 8), "earlier": 100 + np.arange(20)},
        **{"x": drawn(60, 4) * [2, 1, 1, 0.5], "y": drawn(60, 2)},
        **{"ids": ids, "pairs": ids // 2, "classes": np.arange(3)},
        "labels": np.repeat([0, 1, 2], [3, 4, 5]),
    }


# ------------------------------------------------------- their libraries


def with_weights(make, w):
    """A loss of pytorch-metric-learning whose weights or proxies are w, not random."""

    def made(*sizes, **options):
        loss = make(*sizes, **options)
        for name, value in (("W", w.T), ("proxies", w)):
            if hasattr(loss, name):
                delattr(loss, name)
                setattr(loss, name, value)
        return loss

    return made


@ft.cache
def open_clip_loss():
    """open_clip.loss alone: what its package imports beside is not needed."""
    package = types.ModuleType("open_clip")
    package.__path__ = list(
        importlib.util.find_spec("open_clip").submodule_search_locations
    )
    sys.modules["open_clip"] = package
    return importlib.import_module("open_clip.loss")


def names_of_torch(given, checkout):
    import torch
    from pytorch_metric_learning import losses, miners, reducers

    as_tensor = lambda name, x: torch.tensor(x, requires_grad=name in LEARNED)
    names = {name: as_tensor(name, x) for name, x in given.items()}
    for name in ("NormalizedSoftmaxLoss", "CosFaceLoss", "ArcFaceLoss", "ProxyNCALoss"):
        names[name] = with_weights(getattr(losses, name), names["w"])
    clip = open_clip_loss()
    names |= vars(clip) | {"torch": torch, **vars(miners), **vars(reducers)}
    names = {k: v for k, v in vars(losses).items() if k not in names} | names
    if checkout is not None:
        sys.path.insert(0, str(checkout))
        for module in ("distributions.distance", "distributions.graph"):
            names |= vars(importlib.import_module(module))
        divergences = importlib.import_module("playground.divergences")
        names["kl_divergence"] = divergences.kl_divergence
    return names


def names_of_numpy(given):
    from openTSNE import affinity, tsne
    from umap.umap_ import fuzzy_simplicial_set

    names = vars(affinity) | {"kl_divergence_bh": tsne.kl_divergence_bh}
    return names | {"fuzzy_simplicial_set": fuzzy_simplicial_set} | given


# ------------------------------------------------------- their numbers


def rounded(x) -> list | float:
    digits = lambda v: float(f"{float(v):.10g}")
    x = np.asarray(x, np.float64)
    return digits(x) if x.ndim == 0 else [rounded(row) for row in x]


def by_torch(code, given, checkout):
    names = names_of_torch(given, checkout)
    exec(code, names)
    names["loss"].backward()
    gradients = {k: names[k].grad for k in LEARNED if names[k].grad is not None}
    return names["loss"].detach(), gradients


def by_numpy(code, given):
    names = names_of_numpy(given)
    exec(code, names)
    gradient = names.get("gradient")
    return names["loss"], {} if gradient is None else {"y": gradient}


def main(checkout=None):
    kept, given = json.loads(KEPT.read_text()) if KEPT.exists() else {}, inputs()
    for name, blocks in entries(PAGE.read_text()).items():
        library = next((k for k in LIBRARIES if k in blocks), None)
        if library is None or (library == LIBRARIES[-1] and checkout is None):
            continue
        numpy = library in ("openTSNE", "umap-learn")
        run = by_numpy if numpy else ft.partial(by_torch, checkout=checkout)
        value, gradient = run(blocks[library], given)
        gradient = {k: rounded(v) for k, v in gradient.items()}
        kept[name] = {"loss": rounded(value), "gradient": gradient}
        print(f"{kept[name]['loss']:12.6f}  {library}: {name}")
    packages = ("torch", "pytorch-metric-learning", "open_clip_torch", "openTSNE")
    versions = {k: importlib.metadata.version(k) for k in (*packages, "umap-learn")}
    text = json.dumps({"versions": versions} | kept, separators=(",", ":"))
    KEPT.write_text(text.replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
