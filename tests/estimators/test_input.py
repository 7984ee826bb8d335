"""Is X what it was meant to be, whatever holds it, and refused by what is wrong?"""

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import scipy.sparse as sp
from cases import slow
from few_rows import FAR, N, X, dense, exact, model, put

import icon
from icon.estimators.input import affinities, distances, labels


Y = np.where(np.arange(N) < 3, 0, 1.0)


class Wrapped:
    """Something that is no array, and can become one."""

    def __init__(self, x):
        self.x = x

    def __array__(self, dtype=None, copy=None):
        return np.array(self.x, dtype)


# ------------------------------------------------------- what holds it


SAME = {
    "a unit of 2**66": X * 2.0**66,
    "a unit of 2**-500": X * 2.0**-500,
    "a constant feature": np.c_[X, np.full(N, 7.0)],
    "a list": X.tolist(),
    "objects": X.astype(object),
    "Fortran's order": np.asfortranarray(X),
    "strides backwards": X[::-1].copy()[::-1],
    "big-endian": X.astype(">f8"),
    "a wider float": X.astype(np.longdouble),
    "no array": Wrapped(X),
}


@pytest.mark.parametrize("case", SAME)
def test_it_is_the_same_with(case, fitted):
    assert np.array_equal(model().fit_transform(SAME[case]), fitted.embedding_)


NEARLY = {
    "a unit of 1e20": X * 1e20,
    "a unit of 1e160": X * 1e160,
    "a unit of 1e-30, float32": np.float32(X * 1e-30),
    "an offset of 1e8": X + 1e8,
}


@pytest.mark.parametrize("case", NEARLY)
def test_affinities_are_nearly_the_same_with(case, fitted):
    p = model(max_iter=0).fit(NEARLY[case])
    np.testing.assert_allclose(dense(p), dense(fitted), atol=1e-5)


ODD = {
    "float16": X.astype(np.float16),
    "float16 whose squares overflow": (X * 1e3).astype(np.float16),
    "float16 in no array": Wrapped(X.astype(np.float16)),
    "bfloat16": X.astype(ml_dtypes.bfloat16),
    "JAX's": jnp.asarray(X, jnp.float32),
    "int8": np.int8(X * 3),
    "uint8": np.uint8(abs(X) * 3),
    "half the rows twice": np.r_[X[:30], X[:30]],
    "one feature": X[:, :1],
    "an outlier": np.r_[X[:-1], X[-1:] * 1e15],
    "an offset of 1e4, float32": np.float32(X + 1e4),
}


TIED = ("int8", "uint8", "half the rows twice")
LATER = (*TIED, "one feature")


@pytest.mark.filterwarnings("ignore:1 of 60 anchors:UserWarning")  # the outlier
@pytest.mark.parametrize("case", [slow(x) if x in LATER else x for x in ODD])
def test_its_affinities_are_those_of_double_precision(case):
    tsne = model(max_iter=50).fit(ODD[case])
    x = np.float64(np.asarray(ODD[case]))
    # the neighbours of an outlier tie, those of the others are what they were
    rows = slice(N - 1 if case == "an outlier" else N)
    # where distances tie, which of them is the 24th is arbitrary
    atol = 2e-3 if case in TIED else 1e-4
    np.testing.assert_allclose(dense(tsne)[rows, rows], exact(x)[rows, rows], atol=atol)
    z = tsne.embedding_
    assert z.dtype == np.float32 and np.isfinite(z).all()
    assert len(np.unique(z, axis=0)) >= len(np.unique(x, axis=0))


# ------------------------------------------------------- what is refused


DATA = {
    "NaN": (put(np.nan), "nan at row 3, column 2"),
    "inf": (put(-np.inf), "-inf at row 3, column 2"),
    "None": ([[1.0, None], [2.0, 3.0]], "nan at row 0, column 1"),
    "complex": (X + 0j, "Complex data not supported"),
    "words": (X.astype(str), "strings"),
    "dates": (X.astype("M8[s]"), "datetime64"),
    "sparse": (sp.csr_array(X), "sparse"),
    "masked": (np.ma.masked_greater(X, 1), "masked"),
    "ragged": ([[1, 2], [3]], "inhomogeneous"),
    "a vector": (X[0], "1D array"),
    "rank 3": (X[None], "dim 3"),
    "None at all": (None, "scalar"),
    "no row": (X[:0], "0 sample"),
    "one row": (X[:1], "1 sample"),
    "no column": (X[:, :0], "0 feature"),
}


@pytest.mark.parametrize("case", DATA)
def test_data_is_refused_by_what_is_wrong(case):
    x, got = DATA[case]
    with pytest.raises(icon.InvalidInput, match="^X: expected ") as error:
        model().fit(x)
    assert got in str(error.value) and "\n" not in str(error.value)


GIVEN = {
    "not square": (FAR[:5], "shape (5, 60)"),
    "a vector": (FAR[0], "shape (60,)"),
    "negative": (-FAR, "row 0, column 1"),
    "NaN": (put(np.nan, FAR), "nan at row 0, column 17"),
    "not symmetric": (FAR * np.arange(1, N + 1), "row 0, column 1"),
    "a diagonal": (FAR + np.diag(Y), "another at row 3, column 3"),
    "words": (FAR.astype(str), "dtype <U"),
    "one": (FAR[:1, :1], "n_samples = 1"),
    "few entries": (sp.csr_array(FAR * (FAR < 3)), "row "),
    "no entries": (sp.csr_array((N, N)), "no entries"),
    "NaN, sparse": (sp.csr_array(put(np.nan, FAR)), "nan at row 0, column 17"),
}


@pytest.mark.parametrize("case", GIVEN)
def test_distances_are_refused(case):
    x, got = GIVEN[case]
    with pytest.raises(icon.InvalidInput, match="^X: expected ") as error:
        model(metric="precomputed").fit(x)
    assert got in str(error.value)


@pytest.mark.parametrize("metric", ["cosine", "correlation"])
def test_rows_without_a_direction_have_no_angles(metric):
    x = X * (np.arange(N) != 4)[:, None]
    with pytest.raises(icon.InvalidInput, match=f"^X: .* '{metric}', got .* row 4$"):
        model(metric=metric).fit(x)


def test_another_number_of_features_is_refused(fitted):
    with pytest.raises(icon.InvalidInput, match="X has 4 features, but TSNE"):
        fitted.transform(X[:, :4])
    with pytest.raises(icon.InvalidInput, match="^X: .* nan at row 3"):
        fitted.transform(put(np.nan))


# ------------------------------------------------------- a row and a column per point


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.coo_matrix, Wrapped])
def test_distances_are_in_one_unit(form):
    x, power = distances(form(FAR * 1e100))
    x = x.toarray() if sp.issparse(x) else x
    assert x.dtype == np.float32 and 0.5 <= x.max() <= 1
    np.testing.assert_allclose(x / x.max(), FAR / FAR.max(), rtol=1e-6)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_affinities_are_symmetric_and_lose_their_diagonal(form):
    weight = np.random.default_rng(0).random((9, 9)) + 5 * np.eye(9)
    found = np.asarray(icon.dense(affinities(form(weight))))
    mean = (weight + weight.T) / 2 * (1 - np.eye(9))
    np.testing.assert_allclose(found, mean / mean.sum(1, keepdims=True), rtol=1e-5)


def test_affinities_that_are_all_zero_are_refused():
    with pytest.raises(icon.InvalidInput, match="^X: "):
        affinities(np.zeros((9, 9)))


# ------------------------------------------------------- labels


@pytest.mark.parametrize(
    "y, codes",
    [
        ([7, 3, 7, -1], [1, 0, 1, -1]),
        (["b", "a", "b", "-1"], [2, 1, 2, 0]),
        ([1.0, 0.0, 1.0, -1.0], [1, 0, 1, -1]),
        ([[2], [2], [5], [5]], [0, 0, 1, 1]),
        ([True, False, True, True], [1, 0, 1, 1]),
    ],
)
def test_labels_are_integers_from_0(y, codes):
    found = labels(np.array(y), 4)
    assert found.tolist() == codes and found.dtype == np.int32
