"""Are the frames of pandas and polars as good as arrays to every estimator?"""

import numpy as np
import pytest
import scipy.sparse as sp
from family import FAMILY, quick
from few_rows import N, X
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import icon
from icon.estimators import (
    SNE,
    TSNE,
    ContrastiveEncoder,
    NeighborClustering,
    SpectralEmbedding,
)


NAMES = [f"feature {i}" for i in range(X.shape[1])]
WORDS = np.array(["rose", "iris", "fern"])[np.arange(N) % 3]
SOON = (TSNE, ContrastiveEncoder, SpectralEmbedding)  # the others share their code
EVERY = [
    pytest.param(kind, id=kind.__name__, marks=() if kind in SOON else pytest.mark.slow)
    for kind in FAMILY
]


class Library:
    """A library of frames: how it makes one of a matrix, and a column."""

    def __init__(self, name):
        self.name = name
        why = f"{name} is missing: icon-jax[frames]"
        self.module = pytest.importorskip(name, reason=why)

    def frame(self, x, names=NAMES):
        return self.module.DataFrame(dict(zip(names, np.asarray(x).T, strict=True)))

    def column(self, x):
        return self.module.Series(x)


@pytest.fixture(params=["pandas", "polars"])
def library(request):
    return Library(request.param)


def short(kind, **options):
    """An estimator that hardly moves: what counts is what it is given."""
    steps = {} if kind is SpectralEmbedding else dict(max_iter=5)
    early = dict(early_exaggeration_iter=1) if kind is TSNE else {}
    return quick(kind, **steps, **early, **options)


# ------------------------------------------------------- in and out


@pytest.mark.parametrize("kind", EVERY)
def test_a_frame_is_its_matrix_and_a_frame_comes_out(kind, library):
    model = short(kind).set_output(transform=library.name)
    found = model.fit_transform(library.frame(X))
    new = model.transform(library.frame(X[:3]))
    exact = short(kind).fit(X)
    assert type(found) is type(new) is library.module.DataFrame
    assert list(model.feature_names_in_) == NAMES
    assert list(found.columns) == list(model.get_feature_names_out())
    np.testing.assert_array_equal(found.to_numpy(), exact.embedding_)
    np.testing.assert_array_equal(new.to_numpy(), exact.transform(X[:3]))
    np.testing.assert_array_equal(model.embedding_, exact.embedding_)


def test_the_index_of_pandas_stays():
    library = Library("pandas")
    rows = library.frame(X).set_axis([f"r{i}" for i in range(N)])
    found = short(SNE).set_output(transform="pandas").fit_transform(rows)
    assert list(found.index) == list(rows.index)


def test_clusters_of_a_frame_are_those_of_its_matrix(library):
    model = NeighborClustering(3, random_state=0).fit(library.frame(X))
    exact = NeighborClustering(3, random_state=0).fit(X)
    assert list(model.feature_names_in_) == NAMES
    np.testing.assert_array_equal(model.labels_, exact.labels_)
    np.testing.assert_array_equal(model.predict(library.frame(X)), exact.predict(X))


@pytest.mark.parametrize("metric", ["precomputed", "affinity"])
def test_a_frame_of_distances_or_affinities(metric, library):
    far = np.linalg.norm(X[:, None] - X[None], axis=-1)
    given = far if metric == "precomputed" else np.exp(-far)
    found = short(TSNE, metric=metric, init="random")
    z = found.fit(library.frame(given, map(str, range(N)))).embedding_
    np.testing.assert_array_equal(z, found.fit(given).embedding_)


LEARNING = {
    "labels": (SpectralEmbedding, dict(p="labels", map="linear")),
    "labels of an encoder": (ContrastiveEncoder, {}),
    "a second frame": (SpectralEmbedding, dict(p="pairs", map="linear")),
}


@pytest.mark.parametrize("case", LEARNING)
def test_what_it_learns_from_may_be_of_the_library(case, library):
    kind, options = LEARNING[case]
    if case == "a second frame":
        y, given = X[:, :4] ** 2, library.frame(X[:, :4] ** 2, NAMES[:4])
    else:
        y, given = WORDS, library.column(WORDS)
    model = short(kind, **options)
    z = model.fit(library.frame(X), given).embedding_
    np.testing.assert_array_equal(z, model.fit(X, y).embedding_)


# ------------------------------------------------------- beside scikit-learn's own


def test_in_a_pipeline_and_a_search(library):
    pipe = make_pipeline(
        ColumnTransformer([("scale", StandardScaler(), NAMES[:4])]),
        SpectralEmbedding(p="labels", map="linear"),
        KNeighborsClassifier(3),
    ).set_output(transform=library.name)
    grid = {"spectralembedding__n_components": [1, 2]}
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise")
    search.fit(library.frame(X), library.column(WORDS))
    exact = GridSearchCV(
        make_pipeline(
            StandardScaler(),
            SpectralEmbedding(p="labels", map="linear"),
            KNeighborsClassifier(3),
        ),
        grid,
        cv=2,
    ).fit(X[:, :4], WORDS)
    scores = [s.cv_results_["mean_test_score"] for s in (search, exact)]
    np.testing.assert_allclose(*scores)
    assert search.predict(library.frame(X[:5])).shape == (5,)


# ------------------------------------------------------- what columns may hold


def test_columns_of_any_numbers():
    pd = Library("pandas").module
    whole = np.arange(N)
    found = pd.DataFrame(
        {
            "nullable": pd.array(whole, dtype="Int64"),
            "arrow": pd.array(whole**2 % 7, dtype="int64[pyarrow]"),
            "boolean": whole % 3 == 0,
            "half": (whole % 5).astype(np.float16),
        }
    )
    exact = np.stack([whole, whole**2 % 7, whole % 3 == 0, whole % 5], 1)
    p = [short(SNE).fit(x).affinities_ for x in (found, exact.astype(float))]
    np.testing.assert_allclose(*map(icon.dense, p), atol=1e-6)


OTHERS = [*"abcde"][: len(NAMES)]
REFUSED = {
    "text": ((WORDS, *X.T[1:]), NAMES, "could not convert string to float"),
    "another order": (X.T, NAMES[::-1], "in the same order"),
    "other names": (X.T, OTHERS, "unseen at fit time: - a - b - c"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_columns_are_refused(case, library):
    columns, names, got = REFUSED[case]
    model = short(SNE).fit(library.frame(X))
    rows = library.module.DataFrame(dict(zip(names, columns, strict=True)))
    with pytest.raises(icon.InvalidInput, match="^X: expected ") as caught:
        model.transform(rows)
    assert got in str(caught.value) and "\n" not in str(caught.value)


def missing(pd):
    return pd.array([1, None] * (N // 2), dtype="Int64")


COLUMNS = {
    "a missing number": (missing, "nan at row 1, column 0"),
    "dates": (lambda pd: pd.date_range("2020", periods=N), "DateTime64"),
    "categories": (lambda pd: pd.Categorical(WORDS), "could not convert string"),
}


@pytest.mark.parametrize("kind", [SNE, NeighborClustering])
@pytest.mark.parametrize("case", COLUMNS)
def test_columns_that_are_no_numbers_are_refused(case, kind):
    make, got = COLUMNS[case]
    pd = Library("pandas").module
    rows = pd.DataFrame({"a": make(pd), "b": X[:, 0]})
    with pytest.raises(icon.InvalidInput, match="^X: ") as caught:
        kind().fit(rows)
    assert got in str(caught.value)


@pytest.mark.parametrize("kind", [*EVERY, NeighborClustering])
def test_sparse_features_are_refused_whatever_holds_them(kind):
    pd = Library("pandas").module
    model = kind() if kind is NeighborClustering else short(kind)
    for rows in (sp.csr_array(X), pd.DataFrame.sparse.from_spmatrix(sp.csr_array(X))):
        with pytest.raises(icon.InvalidInput, match=r"^X: .*toarray\(\), got .*sparse"):
            model.fit(rows)


# ------------------------------------------------------- rows that stay on the disk


@pytest.mark.parametrize("kind", [*EVERY, NeighborClustering])
def test_rows_that_are_mapped_from_a_file(kind, tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    if kind is NeighborClustering:
        found = [kind(3, random_state=0).fit(x).labels_ for x in (mapped, X)]
    else:
        found = [short(kind).fit(x).embedding_ for x in (mapped, X)]
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), X)
