"""Does every line on the pages of examples run, and give the number beside it?"""

import ast
import functools as ft
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import peers
import pytest
import sklearn.cluster
import sklearn.decomposition
import sklearn.manifold
import sklearn.metrics
import sklearn.neighbors
from cases import soon
from interpreter import interpret
from scipy.special import log_softmax, softmax

import icon
from icon import encoders
from icon._neighborhoods import to_sparse
from icon.estimators import TSNE, UMAP, ContrastiveEncoder, NeighborEmbedding


EXAMPLES = peers.PAGE.parent
PAGE = peers.PAGE.read_text()
ENTRIES = peers.entries(PAGE)
GIVEN = peers.inputs()
KEPT = json.loads(peers.KEPT.read_text())
NEAR = {  # where the peer adds an epsilon, searches a width, or has single precision
    **dict.fromkeys(("PerplexityBasedNN", "Multiscale", "dof"), 1e-7),
    **dict.fromkeys(("Label and Gaussian", "Gaussian and StudentT"), 1e-7),
    **dict.fromkeys(("triplet_margin_loss", "TSNE", "fuzzy_simplicial_set"), 1e-5),
}


# ------------------------------------------------------- how a block is run


@pytest.fixture
def lenient():
    """A page is written for JAX as it comes, in double precision here."""
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def start():
    """The first lines of the page, and what it says is given."""
    names = {k: jnp.asarray(v) for k, v in GIVEN.items()}
    fitted = sklearn.cluster.KMeans(3, init=GIVEN["x"][:3], n_init=1).fit(GIVEN["x"])
    names["clusters"] = jnp.asarray(fitted.labels_)
    exec(re.search(r"```python\n(import.*?)```", PAGE, re.S)[1], names)
    return names


def split(code):
    """A block's statements: those that see nothing learned, and the others."""
    learned, early, late = {*peers.LEARNED}, [], []
    for node in ast.parse(code).body:
        names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
        is_made = not isinstance(node, ast.FunctionDef)  # whose names are its own
        if is_made and learned & {n.id for n in names}:
            late.append(node)
            learned |= {n.id for n in names if isinstance(n.ctx, ast.Store)}
        else:
            early.append(node)
    return (compile(ast.Module(part, []), "page", "exec") for part in (early, late))


def loss_and_gradient(code):
    """The loss of a block, and its gradient in each of what may be learned there."""
    names, (early, late) = start(), split(code)
    exec(early, names)
    learned = {k: names[k] for k in peers.LEARNED if re.search(rf"\b{k}\b", code)}

    def loss(learned):
        run = names | learned
        exec(late, run)
        return run["loss"]

    if not learned:
        return loss({}), {}
    return interpret(jax.value_and_grad(loss), learned)


# ------------------------------------------------------- coming from


def of_scikit_learn(code):
    """The loss of a block of theirs."""
    from sklearn import cluster, decomposition, manifold, metrics, neighbors

    names = {"softmax": lambda x: softmax(x, axis=1)} | GIVEN
    for module in (cluster, decomposition, manifold, metrics, neighbors):
        names |= {name: getattr(module, name) for name in module.__all__}
    exec(code, names)
    return names["loss"], {}


def theirs(name):
    """The loss of a peer and its gradient, worked out here or kept."""
    blocks = ENTRIES[name]
    if "optax" in blocks:
        return loss_and_gradient("import optax\n" + blocks["optax"])
    if "scikit-learn" in blocks:
        return of_scikit_learn(blocks["scikit-learn"])
    return KEPT[name]["loss"], KEPT[name]["gradient"]


SOON = (  # of each library, and of each kind of p and q
    "Without an equivalent here",
    "ntxent",
    "triplet_margin_loss",
    "kl_divergence",
    "KMeans",
    "PCA",
    "SupConLoss",
    "ArcFaceLoss",
    "ClipLoss",
    "SigLipLoss",
    "Gaussian and StudentT",
    "TSNE",
)


def test_what_runs_by_default_is_on_the_page():
    assert {*SOON} <= ENTRIES.keys()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", soon(ENTRIES, *SOON))
def test_our_line_gives_their_number(name, lenient):
    blocks = ENTRIES[name]
    if "icon" not in blocks:
        assert name == "Without an equivalent here"
        return
    near = NEAR.get(name, 1e-9)
    value, gradient = theirs(name)
    found, slopes = loss_and_gradient(blocks["icon"])
    np.testing.assert_allclose(found, value, rtol=near)
    assert f"Both: {float(value):.4f}" in blocks["page"]
    for learned, expected in gradient.items():
        expected = np.asarray(expected)
        atol = 10 * near * np.abs(expected).max()
        np.testing.assert_allclose(slopes[learned], expected, rtol=0, atol=atol)


def test_every_library_has_entries_and_every_number_one_of_them():
    said = set(re.findall(r"^## (.*)$", PAGE, re.M))
    asked = {heading for blocks in ENTRIES.values() for heading in blocks}
    assert said == (asked | {"optax", "scikit-learn"}) - {"icon", "page"}
    assert KEPT.keys() - {"versions"} < ENTRIES.keys()
    assert len(ENTRIES) > 25


# ------------------------------------------------------- what exactly is computed


FAMILIES = {
    name: body
    for name, body in peers.sections((EXAMPLES / "FAMILIES.md").read_text()).items()
    if "```python" in body
}


def squares(a, b):
    return ((a[:, None] - b) ** 2).sum(-1)


def without_self(score):
    return np.where(np.eye(len(score), dtype=bool), -np.inf, score)


def similarity(a, b):
    """cos / 0.1."""
    of = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    return of(a) @ of(b).T / 0.1


def surprise(p, score):
    """The mean of -log q over p's neighbours, of each row: -Σ_j p_ij log q_ij."""
    log_q = log_softmax(score, axis=1)
    return -np.sum(p * np.where(p > 0, log_q, 0), 1)


def alike(labels):
    """The others of a class, each with the same probability."""
    same = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool)
    return same / same.sum(1, keepdims=True)


def divergence(p, q):
    return np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / q), 0))


def perplexed(x):
    """p at perplexity 10; test_affinity has what that is."""
    return np.asarray(icon.dense(icon.entropic(*icon.knn(x, 59), perplexity=10)))


def sne(x, y, **_):
    q = softmax(without_self(-squares(y, y)), axis=1)
    return divergence(perplexed(x), q + np.eye(60)) / 60


def t_sne(x, y, **_):
    p, w = perplexed(x), 1 / (1 + squares(y, y)) * (1 - np.eye(60))
    return divergence((p + p.T) / 120, w / w.sum() + np.eye(60))


def umap(x, y, **_):
    graph = icon.symmetrize(icon.fuzzy(*icon.knn(x, 14)), icon.union)
    w = to_sparse(graph).toarray()
    v = 1 / (1 + 1.577 * np.sqrt(squares(y, y)) ** (2 * 0.895))
    each = divergence(w, v) + divergence(1 - w, 1 - v + np.eye(60))
    return each / 60


def triplets(z, labels, **_):
    p, apart = alike(labels), np.sqrt(squares(z, z))
    nearest = np.where(np.eye(12) > 0, np.inf, apart - 0.2 * (p == 0)).min(1)
    return np.mean((p * apart).sum(1) - nearest)


def k_means(x, clusters, **_):
    each = np.eye(3)[clusters]
    q = each / each.sum(0) @ each.T
    return surprise(q, -squares(x, x) / 2).mean()


def clustering(x, y, **_):
    phi = softmax(y, axis=1)
    q = 0.4 * (phi / phi.sum(0)) @ phi.T + 0.6 / 60
    p = np.zeros((60, 60))
    np.put_along_axis(p, np.argsort(without_self(-squares(x, x)), 1)[:, :-6:-1], 0.2, 1)
    return divergence(p, q) / 60


def other_view(ids, **_):
    return np.eye(12)[ids + np.where(ids % 2 == 0, 1, -1)]


FORMULAS = {
    "SimCLR": lambda z, pairs, **_: surprise(
        alike(pairs), without_self(similarity(z, z))
    ).mean(),
    "SimCLR, with itself in the denominator": lambda z, ids, **_: surprise(
        other_view(ids), similarity(z, z)
    ).mean(),
    "CPC, MoCo v3: one way": lambda image, text, **_: surprise(
        np.eye(12), similarity(image, text)
    ).mean(),
    "CLIP: both ways": lambda image, text, **_: np.mean(
        [
            surprise(np.eye(12), similarity(*two))
            for two in ((image, text), (text, image))
        ]
    ),
    "SupCon": lambda z, labels, **_: surprise(
        alike(labels), without_self(similarity(z, z))
    ).mean(),
    "Cross-entropy of a classifier": lambda z, w, labels, **_: surprise(
        np.eye(3)[labels], z @ w.T
    ).mean(),
    "Triplets": triplets,
    "SNE": sne,
    "t-SNE": t_sne,
    "UMAP": umap,
    "PCA, and other limits of large σ": lambda y, **_: -squares(y, y).mean(),
    "k-means": k_means,
    "InfoNCE clustering": clustering,
}


def test_every_family_has_a_formula():
    assert FAMILIES.keys() == FORMULAS.keys()


@pytest.mark.parametrize("name", soon(FAMILIES, *(FAMILIES.keys() - {"UMAP", "SNE"})))
def test_a_family_is_its_formula(name, lenient):
    (code,) = re.findall(r"```python\n(.*?)```", FAMILIES[name], re.S)
    found, gradient = loss_and_gradient(code)
    names = {k: np.asarray(v) for k, v in start().items() if k in (*GIVEN, "clusters")}
    near = 1e-5 if name == "UMAP" else 1e-9
    np.testing.assert_allclose(found, FORMULAS[name](**names), rtol=near)
    assert f"It is {float(found):.4f}" in FAMILIES[name]
    assert all(np.isfinite(v).all() and np.any(v) for v in gradient.values())


# ------------------------------------------------------- what users ask


RECIPES = {
    name: body
    for name, body in peers.sections((EXAMPLES / "FAQ.md").read_text()).items()
    if "```python" in body
}


LONGER = (  # they fit estimators or train networks, or are of what others have too
    "A temperature that is learned",
    "An encoder of my own",
    "Rare classes",
    "Two kinds of supervision at once",
    "A graph of my own",
    "One width for all rows, or one of each",
    "A metric of my own",
    "Rows that came later",
)


def asked():
    """What that page takes as given."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(60, 4)), jnp.float32)
    index, distance = icon.knn(x, 15)
    far = np.linalg.norm(np.asarray(x)[:, None] - np.asarray(x), axis=-1)
    model = encoders.MLP((16, 8))
    images = jnp.asarray(rng.random((32, 8, 8, 1)), jnp.float32)
    kinds = (TSNE, UMAP, ContrastiveEncoder, NeighborEmbedding)
    quick = {
        kind.__name__: ft.partial(kind, max_iter=5, random_state=0) for kind in kinds
    }
    return quick | {
        **dict(icon=icon, jax=jax, jnp=jnp, optax=optax, P=jax.sharding.PartitionSpec),
        **dict(
            x=x, new=x[:5] + 0.1, labels=jnp.arange(60) % 3, ids=jnp.arange(32) // 2
        ),
        **dict(index=index, distance=distance, weights=np.exp(-far), distances=far),
        **dict(images=images, encode=model.apply),
        "params": model.init(jax.random.key(0), images[:1]),
        "mesh": jax.make_mesh((1,), ("data",), (jax.sharding.AxisType.Auto,)),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", soon(RECIPES, *(RECIPES.keys() - set(LONGER))))
def test_a_recipe_runs_and_learns(name):
    (code,) = re.findall(r"```python\n(.*?)```", RECIPES[name], re.S)
    names = asked()
    given = set(names)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        exec(code, names)
    made = {k: v for k, v in names.items() if k not in given and not callable(v)}
    numbers = jax.tree.leaves(
        [made.get(k) for k in ("loss", "z", "places", "gradient")]
    )
    assert all(np.isfinite(v).all() for v in numbers)
    if "gradient" in made:
        assert any(np.any(v) for v in jax.tree.leaves(made["gradient"]))
    assert set(made) & {"loss", "z", "gradient", "model"}
