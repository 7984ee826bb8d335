"""Does everything run that the README and the examples show?"""

import importlib.util
import re
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from interpreter import interpret

import icon
from icon import data, encoders
from icon._table.formula import formula


KEY = jax.random.key(0)
ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
README = (ROOT / "README.md").read_text()
TABLE = (ROOT / "examples" / "TABLE.md").read_text()
GALLERY = (ROOT / "examples" / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


# ------------------------------------------------------- examples


def example(name):
    spec = importlib.util.spec_from_file_location(
        name, ROOT / "examples" / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def picture(tmp_path):
    """Where an example is to draw, and has drawn."""
    path = tmp_path / "picture.png"
    yield path
    assert path.read_bytes()[1:4] == b"PNG" and path.stat().st_size > 1000


@pytest.mark.slow
def test_tsne_of_digits(picture):
    accuracy, trust = example("tsne_digits").main(60, picture)
    assert accuracy > 0.9 and trust > 0.95


@pytest.mark.slow
def test_a_film_of_tsne(picture):
    frames, accuracy = example("film_digits").main(60, picture)
    assert frames == 6 and accuracy > 0.9
    assert picture.with_suffix(".gif").read_bytes()[:4] == b"GIF8"


@pytest.mark.slow
def test_simclr_on_digits(picture):
    probe, accuracy = example("simclr_digits").main(4, picture)
    assert probe > 0.93 and accuracy > 0.93


@pytest.mark.slow
def test_closed_forms_of_a_swiss_roll(picture):
    found = example("swiss_roll").main(picture)
    assert found["Isomap"] > 0.99 and found["Laplacian eigenmaps"] > 0.95
    assert found["PCA"] < 0.5


@pytest.mark.slow
def test_clip_on_halves(picture):
    assert example("clip_digits").main(10, picture) > 0.1  # chance is 0.02


@pytest.mark.slow
def test_moco_on_digits(picture):
    with jax.numpy_dtype_promotion("standard"):  # as optax, outside of icon.fit, needs
        probe, accuracy = example("moco_digits").main(4, picture)
    assert probe > 0.93 and accuracy > 0.93


@pytest.mark.slow
def test_a_slow_encoder_is_the_mean_of_the_fast_one():
    moco = example("moco_digits")
    images = np.random.default_rng(0).random((16, 8, 8), np.float32)
    params, optimizer = moco.model.init(KEY, images[:1]), optax.sgd(0.5)
    step = moco.moco(optimizer)
    queue = jax.random.normal(KEY, (moco.KEYS, 128))
    state = params, params, queue, optimizer.init(params)
    slow = params
    for _ in range(3):
        state = step(state, images, KEY)
        slow = jax.tree.map(
            lambda s, f: moco.DECAY * s + (1 - moco.DECAY) * f, slow, state[0]
        )
        for one, two in zip(*map(jax.tree.leaves, (slow, state[1])), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)
    moved = jax.tree.map(lambda s, f: float(abs(s - f).max()), *state[:2])
    assert max(jax.tree.leaves(moved)) > 1e-4  # the two are not one
    np.testing.assert_array_equal(state[2][48:], queue[:-48])  # keys move on


@pytest.mark.slow
def test_vae_on_digits(picture):
    loss, accuracy = example("vae_digits").main(10, picture)
    assert loss < 40 and accuracy > 0.3


@pytest.mark.slow
def test_autoencoders_of_digits(picture):
    left = example("autoencoders").main(150, picture)
    assert left["linear"] == pytest.approx(left["PCA"], abs=0.02)
    assert all(left[name] < 0.29 for name in left if name not in ("PCA", "linear"))


@pytest.mark.slow
def test_topics_of_the_documentation(picture, capsys):
    loss, peer = example("topics_docs").main(60, picture)
    assert loss < 1.01 * peer
    assert capsys.readouterr().out.count("\n") == 13  # a line a topic, and the loss


@pytest.mark.slow
def test_a_new_cell(picture, capsys):
    assert example("new_cell").main(30, picture) > 0.8
    assert "Report" in capsys.readouterr().out


@pytest.mark.slow
def test_single_cells(picture):
    assert example("single_cell").main(700, picture) > 0.8


@pytest.mark.slow
def test_text_from_a_file(picture, tmp_path):
    text, file = example("text_file"), tmp_path / "sentences.csv"
    text.write(file)
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) > 500
    file.write_text("".join(lines[::4]))
    assert text.main(str(file), picture) > 0.6


@pytest.mark.slow
def test_a_leaderboard(picture, capsys):
    recalls = example("leaderboard").main("", 300, picture)
    assert recalls["t-SNE"] > 0.5 > recalls["PCA"]
    assert [*recalls.values()] == sorted(recalls.values(), reverse=True)
    assert len(capsys.readouterr().out.splitlines()) == len(recalls) + 1


@pytest.mark.slow
def test_contrastive_losses_as_matrices(picture):
    """The same numbers are a lower loss where fewer candidates are compared."""
    losses = [*example("families").main(picture).values()]
    assert len(losses) == 6 and losses[1] > losses[0] > losses[2] > 0


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_is_short_and_says_how_to_run_it_and_what_to_expect(file):
    text, drawn = file.read_text(), ROOT / "examples" / f"{file.stem}.png"
    command = f"python examples/{file.name}"
    assert command in text and "Expect:" in text and drawn.name in text
    assert len(text.splitlines()) <= 80
    assert command in GALLERY and f"]({drawn.name})" in GALLERY
    assert drawn.stat().st_size <= 150_000


# ------------------------------------------------------- the README


def given(n=96):
    """What the README takes as given: data, labels, an encoder, a mesh."""
    digits, model = data.digits(), encoders.MLP((16, 8))
    images, labels, ids = digits.images[:n], digits.labels[:n], jnp.arange(n) // 2
    x, z = jnp.asarray(digits.features[:n]), jax.random.normal(KEY, (n, 2))
    return dict(
        icon=icon, jax=jax, jnp=jnp, optax=optax, P=jax.sharding.PartitionSpec
    ) | dict(
        dict(x=x, z=z, start=1e-4 * z, image=z, text=-z, key=KEY),
        **dict(images=images, views=images, labels=labels, ids=ids, source=ids),
        **dict(model=model, encode=model.apply, params=model.init(KEY, images[:1])),
        membership=jax.nn.softmax(z),
        batches=data.batches((images, labels), 48, epochs=2),
        mesh=jax.make_mesh((1,), ("data",), (jax.sharding.AxisType.Auto,)),
    )


def run(code, names):
    exec(compile(code.replace("750", "50"), "README.md", "exec"), names)
    return names


def test_the_first_lines_of_the_readme_are_the_methods_they_name():
    names, found = given(), {}
    for line in BLOCKS[0].splitlines():
        run(line, names)
        if "# " in line:
            found[line.split("# ")[1]] = names["loss"]
    x, z, ids = names["x"], names["z"], names["ids"]
    encoded = names["encode"](names["params"], names["views"])
    pairs = {
        "t-SNE": icon.TABLE["t-SNE"].neighborhoods((x, 90), (z,)),
        "SimCLR": icon.TABLE["SimCLR"].neighborhoods((ids,), (encoded,)),
        "SupCon": icon.TABLE["SupCon"].neighborhoods((names["labels"],), (z,)),
        "CLIP": icon.TABLE["CLIP"].neighborhoods((ids, ids), (z, -z)),
        "k-means": icon.TABLE["k-means"].neighborhoods((x,), (names["membership"],)),
    }
    known = {
        name: interpret(icon.TABLE[name].loss, *pair) for name, pair in pairs.items()
    }
    assert [*found] == [*known]
    for name, value in known.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)


def test_its_training_loop_runs():
    names = run(BLOCKS[1], given())
    assert names["history"].loss.shape == (4,) and np.isfinite(
        names["history"].loss[-1]
    )
    batch = names["images"], names["labels"]
    gradient = names["gradient"](names["params"], batch, KEY)
    assert float(abs(gradient["t"].log)) > 0


def test_its_losses_of_large_batches_are_those_of_the_whole():
    names = given()
    params, images, ids = (names[key] for key in ("params", "images", "ids"))
    run(BLOCKS[2], names)
    whole = lambda params: icon.kl(
        icon.same(ids), icon.cosine(names["encode"](params, images))
    )
    loss, gradient = jax.jit(jax.value_and_grad(whole))(params)
    for one, two in zip(
        *map(jax.tree.leaves, (names["gradient"], gradient)), strict=True
    ):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-6)
    spread = jax.jit(names["loss"])(params, images, ids)
    np.testing.assert_allclose(spread, loss, rtol=1e-5)


@pytest.mark.slow
def test_its_embedding_and_its_cell_run():
    names = run(BLOCKS[0], given())
    run(BLOCKS[3], names)
    assert names["z"].shape == (96, 2) and np.isfinite(names["history"].loss).all()
    run(BLOCKS[4], names)
    assert isinstance(names["t_supcon"], icon.Cell)


def test_its_four_questions_are_those_that_are_asked():
    asked = run(BLOCKS[5], {})["Neighborhood"]
    questions = {name for name in vars(asked) if not name.startswith("__")}
    assert questions | {*asked.__annotations__} == {
        "shape",
        "support",
        "score",
        "log_mass",
    }
    assert len(BLOCKS) == 6


def test_every_name_of_the_readme_is_there():
    words = README[README.index("## The words") :].split("\n\n")[1]
    names = set(re.findall(r"`(\w+)`", words)) | set(re.findall(r"icon\.(\w+)", README))
    assert len(names) > 45
    assert [name for name in sorted(names) if not hasattr(icon, name)] == []


def test_the_readme_is_short():
    lines = README.splitlines()
    assert len(lines) <= 150 and max(map(len, lines)) <= 100


def test_the_commands_of_the_readme_are_those_that_are_run():
    run = (ROOT / ".ci" / "run").read_text()
    for command in ("pip install -e '.[dev]'", ".venv/bin/pytest"):
        assert command in README
    assert "-e '.[dev]'" in run and ".venv/bin/pytest" in run


PAGES = ["README.md", "benchmarks/README.md", *ROOT.glob("examples/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: Path(page).name)
def test_what_a_page_links_to_and_names_is_there(page):
    folder, page = (ROOT / page).parent, (ROOT / page).read_text()
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page, flags=re.S)
    links = re.findall(r"\]\((?!http)([^)#]+)", prose)
    paths = re.findall(r"`((?:icon|tests|examples|benchmarks)/[\w/.]+)`", page)
    missing = [link for link in links if not (folder / link).exists()]
    assert missing + [path for path in paths if not (ROOT / path).exists()] == []


# ------------------------------------------------------- the table, the extras


def test_the_table_is_shown_exactly():
    code = lambda made: f"`{formula(made)}`"
    rows = [
        (c.name, c.column, c.row, *map(code, (c.p, c.q, c.loss)), c.status, c.reference)
        for c in icon.TABLE.values()
    ]
    lines = [line for line in TABLE.splitlines() if line.startswith("|")]
    assert lines[2:] == [f"| {' | '.join(row)} |" for row in rows]


def test_no_two_rows_are_the_same_row():
    assert len({cell.name.lower() for cell in icon.TABLE.values()}) == len(icon.TABLE)
    rows = [
        (c.learns_from, *map(formula, (c.p, c.q, c.loss))) for c in icon.TABLE.values()
    ]
    assert len(set(rows)) == len(rows)


def test_every_extra_is_imported_and_named_where_it_is_missing():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    code = "".join(path.read_text() for path in (ROOT / "icon").rglob("*.py"))
    extras = project["optional-dependencies"]
    rest = extras.keys() - {"all", "dev", "peers"}
    assert extras["all"] == [f"icon-jax[{','.join(sorted(rest, key=[*extras].index))}]"]
    for extra in rest:
        assert f"icon-jax[{extra}]" in code or f', "{extra}")' in code
        for package in extras[extra]:
            name = re.match(r"\w+", package)[0]
            name = {"pillow": "PIL"}.get(name, name)
            assert (
                name in ("pandas", "polars")  # scikit-learn makes the frames
                or f"import {name}" in code
                or f"from {name}" in code
                or f'"{name}"' in code
                or f'"{name}.' in code
            )
