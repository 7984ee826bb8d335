"""Does icon embed lay out what people have, by the method that they name?"""

import csv
import json

import numpy as np
import pytest
from cases import soon
from PIL import Image
from sklearn.cross_decomposition import PLSSVD
from sklearn.manifold import Isomap, trustworthiness
from sklearn.neighbors import KNeighborsClassifier

import icon
from icon import cli, estimators


N = 40
Y = np.arange(N) % 3
NAMES = np.array(["rose", "iris", "fern"])[Y]
X = np.random.default_rng(0).normal(size=(N, 5)) + 5 * np.eye(5)[Y]
FEW = ["--perplexity", "5", "--max-iter", "50"]


@pytest.fixture
def rows(tmp_path):
    np.savez(tmp_path / "rows.npz", features=X, y=Y, second=X[:, :4] ** 2)
    return tmp_path / "rows.npz"


@pytest.fixture
def flowers(tmp_path):
    """A .csv as pandas writes one, with an index, text and the names of classes."""
    file = tmp_path / "flowers.csv"
    lines = [[f"r{i}", *x, "Rome", y] for i, (x, y) in enumerate(zip(X, NAMES))]  # noqa: B905
    with open(file, "w", newline="") as opened:
        csv.writer(opened).writerows([["", *"abcde", "city", "label"], *lines])
    return file


def embed(*args):
    cli.main(["embed", *map(str, args)])


def report(folder):
    return json.loads((folder / "report.json").read_text())


# ------------------------------------------------------- methods


QUICK = {
    "parametric t-SNE": ["--perplexity", "5", "--max-iter", "20"],
    "SupCon": ["--max-iter", "20"],
    "LGSimCLR": ["--n-neighbors", "3", "--max-iter", "20"],
    "PLS-SVD": [],
    "CCA": [],
}


@pytest.mark.parametrize("method", soon(QUICK, "SupCon", "PLS-SVD"))
def test_it_is_the_estimator_of_the_method(method, rows, tmp_path):
    out = tmp_path / "out"
    embed(rows, "--method", method, *QUICK[method], "--out", out, "--seed", 7)
    found, made = report(out), np.load(out / "embedding.npz", allow_pickle=False)
    kind = getattr(estimators, found["estimator"])
    params = {k: v for k, v in found["settings"].items() if k in kind().get_params()}
    params |= {"q": icon.cosine} if "q" in params else {}
    model = kind(**params, random_state=7)
    dataset = icon.data.load(rows)
    y = {"SupCon": dataset.labels, "LGSimCLR": None}.get(method, dataset.also["second"])
    y = None if found["estimator"] == "ParametricTSNE" else y
    z = model.fit_transform(dataset.features, y)
    np.testing.assert_array_equal(made["embedding"], z)
    if method == "PLS-SVD":
        exact = PLSSVD(2, scale=False).fit_transform(X, X[:, :4] ** 2)[0]
        np.testing.assert_allclose(abs(z - z.mean(0)), abs(exact), atol=2e-4)


def test_a_second_file_is_read_as_the_first(flowers, tmp_path, capsys):
    """Its index, its text and its labels are no features; or columns are named."""
    second = [flowers, "--method", "PLS-SVD", "--second", flowers]
    embed(*second, "--features", "a", "b", "c", "--out", tmp_path / "all")
    assert "left out: 'city'" in capsys.readouterr().err
    cd = ["--second-features", "c", "--second-features=d"]
    embed(*second, "--features", "a", "b", "c", *cd, "--out", tmp_path / "cd")
    embed(*second[:3], "--features", "a", "b", "c", *cd, "--out", tmp_path / "same")
    left = np.float32(X[:, :3])
    for out, right in (("all", X), ("cd", X[:, 2:4]), ("same", X[:, 2:4])):
        z = np.load(tmp_path / out / "embedding.npy")
        exact = PLSSVD(2, scale=False).fit_transform(left, np.float32(right))[0]
        np.testing.assert_allclose(abs(z - z.mean(0)), abs(exact), atol=2e-4)
        shape = dict(rows=N, columns=3, second_columns=right.shape[1])
        assert shape.items() <= report(tmp_path / out)["data"].items()


def test_another_row_of_the_table_is_trained_on_all_rows(rows, tmp_path):
    row = ["--method", "class means", "--steps", 2]  # a map that follows a gradient
    embed(rows, *row, "--out", tmp_path, "--seed", 7)
    budget = icon.recipes.spent(icon.recipes.FULL, N, 2)
    m = icon.recipes.material(icon.data.load(rows), 7, budget).undivided()
    z = icon.recipes.train(icon.TABLE["class means"], m).embedding
    np.testing.assert_allclose(np.load(tmp_path / "embedding.npy"), z, rtol=1e-6)
    assert report(tmp_path)["trained"]
    assert report(tmp_path)["settings"] == dict(steps=2, seed=7)


def test_the_numbers_of_a_row_are_flags(rows, tmp_path):
    numbers = ["--n-neighbors", 20, "--n-components", 3]
    embed(rows, "--method", "Isomap", *numbers, "--out", tmp_path)
    z = np.load(tmp_path / "embedding.npy")
    exact = Isomap(n_neighbors=20, n_components=3).fit_transform(X)
    signs = np.sign((z * exact).sum(0))
    np.testing.assert_allclose(z, signs * exact, atol=1e-3)
    said = dict(n_components=3, n_neighbors=20, seed=0)
    assert report(tmp_path)["settings"] == said


def test_the_case_of_a_name_does_not_matter(rows, tmp_path):
    embed(
        rows, "--method", "laplacian EIGENMAPS", "--n-neighbors", 5, "--out", tmp_path
    )
    assert report(tmp_path)["method"] == "Laplacian eigenmaps"


# ------------------------------------------------------- what comes in, and goes out


def test_names_are_kept_in_the_picture_and_in_every_file(
    flowers, tmp_path, capsys, monkeypatch
):
    legends, draw = [], icon.plot.embedding

    def drawn(*args, **options):
        legends.append(options["names"])
        return draw(*args, **options)

    monkeypatch.setattr(icon.plot, "embedding", drawn)
    out = tmp_path / "out"
    embed(flowers, *FEW, "--out", out)
    note = "icon: columns without a number are left out: 'city'"
    assert note in capsys.readouterr().err.splitlines()
    assert legends == [["fern", "iris", "rose"]]
    assert report(out)["data"]["classes"] == ["fern", "iris", "rose"]
    with open(out / "embedding.csv", newline="") as opened:
        lines = list(csv.DictReader(opened))
    assert [line["label"] for line in lines] == NAMES.tolist()
    assert [line["id"] for line in lines] == [f"r{i}" for i in range(N)]
    with np.load(out / "embedding.npz", allow_pickle=False) as kept:
        assert sorted(kept) == ["embedding", "ids", "labels"]
        assert kept["labels"].tolist() == NAMES.tolist()
        assert kept["ids"].tolist() == [f"r{i}" for i in range(N)]
        z = kept["embedding"]
    assert np.array_equal(z, np.load(out / "embedding.npy"))
    places = [[line["tsne0"], line["tsne1"]] for line in lines]
    assert np.array_equal(np.float32(places), z)


def test_columns_are_chosen_by_flags_that_may_be_repeated(flowers, tmp_path, capsys):
    once = ["--features", "a", "b", "--drop", "city", "--method", "PCA"]
    embed(flowers, *once, "--out", tmp_path / "1")
    twice = ["--features", "a", "--drop", "city", "--features=b", "--method", "PCA"]
    embed(flowers, *twice, "--labels", "label", "--out", tmp_path / "2")
    found = [np.load(tmp_path / k / "embedding.npy") for k in "12"]
    assert np.array_equal(*found) and report(tmp_path / "1")["data"]["columns"] == 2
    assert not [x for x in capsys.readouterr().err.splitlines() if "left out" in x]


def test_a_folder_of_images_is_laid_out(tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (N, 4, 4), dtype=np.uint8)
    for i, x in enumerate(pixels):
        (tmp_path / "in" / NAMES[i]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(x).save(tmp_path / "in" / NAMES[i] / f"{i:02}.png")
    Image.fromarray(pixels[0].repeat(2, 0)).save(tmp_path / "in" / "rose" / "00.png")
    plane = [tmp_path / "in", "--method", "PCA", "--out"]
    embed(*plane, tmp_path / "out")
    note = "icon: images from 4 × 4 to 4 × 8 are resized to 4 × 4, the median width"
    assert note in capsys.readouterr().err
    embed(*plane, tmp_path / "small", "--size", 3, 2)
    assert report(tmp_path / "small")["data"]["columns"] == 6
    assert "resized" not in capsys.readouterr().err
    with np.load(tmp_path / "out" / "embedding.npz", allow_pickle=False) as kept:
        assert kept["labels"].tolist() == sorted(NAMES)
        assert kept["ids"][0] == "fern/02.png"


def test_the_scores_are_those_of_scikit_learn(rows, tmp_path, capsys):
    embed(rows, "--method", "PCA", "--out", tmp_path)
    scores, z = report(tmp_path)["scores"], np.load(tmp_path / "embedding.npy")
    x = icon.data.load(rows).features
    right = 0
    for i in range(N):
        others = np.arange(N) != i
        votes = KNeighborsClassifier(10).fit(z[others], Y[others])
        right += votes.predict(z[i : i + 1])[0] == Y[i]
    assert scores["10-NN"] == pytest.approx(right / N, abs=1.5 / N)  # ties may differ
    exact = trustworthiness(x, z, n_neighbors=12)
    assert scores["trustworthiness"] == pytest.approx(exact, abs=1e-3)
    assert f"trustworthiness {exact:.3f}" in capsys.readouterr().out


# ------------------------------------------------------- what is there is not replaced


def test_what_is_there_is_replaced_by_force_only(rows, tmp_path, capsys):
    plane = [rows, "--method", "PCA", "--out", tmp_path / "out"]
    embed(*plane)
    before = {x.name: x.read_bytes() for x in (tmp_path / "out").iterdir()}
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        embed(*plane, "--n-components", 3)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.count("\n") == 1
    assert error.startswith("icon: out: expected ") and "--force" in error
    assert {x.name: x.read_bytes() for x in (tmp_path / "out").iterdir()} == before
    embed(*plane, "--n-components", 3, "--force")
    assert np.load(tmp_path / "out" / "embedding.npy").shape == (N, 3)
    assert not (tmp_path / "out" / "embedding.png").exists()  # that was of two


def test_other_files_of_the_folder_stay(rows, tmp_path):
    embed(rows, "--method", "PCA", "--out", tmp_path)
    assert rows.exists()
    embed(rows, "--method", "PCA", "--out", tmp_path, "--force")
    assert rows.exists()
