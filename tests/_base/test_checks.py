"""Is input on the host read as it is, or refused by its name and its place?"""

import pickle

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import scipy.sparse as sp

from icon._base import checks as check
from icon._base.checks import InvalidInput


X = np.arange(6.0).reshape(3, 2)
BAD = np.where(X == 3, np.nan, X)


@pytest.mark.parametrize(
    "at, words",
    [
        ((), ""),
        ((3,), "row 3"),
        ((3, 2), "row 3, column 2"),
        ((1, 2, 3), "index 1, index 2, index 3"),
    ],
)
def test_a_position_in_words(at, words):
    assert check.position(at) == words


def test_real_numbers_keep_their_dtype_or_get_one():
    for x in (X, np.int8(X), X > 2, X.astype(ml_dtypes.bfloat16), jnp.float32(X)):
        assert check.reals("x", x).dtype == x.dtype
        y = check.reals("x", x, np.float32)
        assert type(y) is np.ndarray and y.dtype == np.float32
        np.testing.assert_array_equal(y, np.float32(x))
    assert check.reals("x", X.astype(">f8")).dtype.isnative


def test_measured_numbers_may_be_missing():
    for x in (BAD, X > 2, X.astype(ml_dtypes.bfloat16), jnp.float32(X)):
        assert check.measured("x", x).dtype == x.dtype
        np.testing.assert_array_equal(check.measured("x", x), np.asarray(x))


def test_a_matrix_is_of_double_precision():
    x = check.matrix("x", np.float16(X))
    assert x.dtype == np.float64 and np.array_equal(x, X)


def test_integers_may_have_any_magnitude():
    for x in ([-7, 10**12], np.uint64([2**63, 1]), jnp.arange(3)):
        np.testing.assert_array_equal(check.integers("x", x), np.asarray(x))


@pytest.mark.parametrize("x", [2, 2.0, np.float32(2), np.array(2.0), jnp.array(2)])
def test_a_scalar_is_a_python_number(x):
    assert check.scalar("x", x, 2) == 2 and type(check.scalar("x", x, 2)) is float


def test_floats_of_some_ranks_are_not_looked_at():
    assert check.floating("x", BAD, (1, 2)).shape == (3, 2)
    assert check.floating("x", jnp.zeros((1,), jnp.bfloat16), (1,)).dtype == "bfloat16"


def test_a_name_is_one_of_several():
    assert check.one_of("x", "b", ("a", "b")) == "b"


REFUSED = {
    "reals: NaN": (lambda: check.reals("x", BAD), "no NaN, no inf, got nan at row 1, "),
    "reals: too large": (
        lambda: check.reals("x", 1e38 * X, np.float32),
        "numbers that float32 holds, got 4e+38 at row 2, column 0",
    ),
    "measured: inf": (lambda: check.measured("x", [1, -np.inf]), "got inf at row 1"),
    "measured: words": (lambda: check.measured("x", ["a"]), "got dtype <U1"),
    "reals: in other words": (
        lambda: check.reals("x", BAD, where=lambda at: f"line {at[0]}"),
        "got nan at line 1",
    ),
    "reals: words": (lambda: check.reals("x", [["a"]]), "real numbers, got dtype <U1"),
    "reals: complex": (lambda: check.reals("x", 1j * X), "dtype complex128"),
    "reals: sparse": (lambda: check.reals("x", sp.csr_array(X)), "a sparse matrix"),
    "reals: ragged": (lambda: check.reals("x", [[1], [2, 3]]), "inhomogeneous"),
    "matrix: a vector": (lambda: check.matrix("x", X[0]), "shape (2,)"),
    "matrix: one row": (lambda: check.matrix("x", X[:1]), "shape (1, 2)"),
    "matrix: no column": (lambda: check.matrix("x", X[:, :0]), "shape (3, 0)"),
    "integers: floats": (lambda: check.integers("x", X[0]), "got dtype float64"),
    "integers: a mask": (lambda: check.integers("x", [True]), "got dtype bool"),
    "integers: names": (lambda: check.integers("x", ["a"]), "got dtype <U1"),
    "integers: none": (lambda: check.integers("x", []), "shape (0,)"),
    "integers: a matrix": (lambda: check.integers("x", [[1]]), "shape (1, 1)"),
    "integers: too few": (
        lambda: check.integers("x", [1, 2], 3),
        "one for each of 3 rows, got length 2",
    ),
    "scalar: below": (lambda: check.scalar("x", 1, 2), "from 2, got 1.0"),
    "scalar: not above": (lambda: check.scalar("x", 2, 2, above=True), "above 2, got"),
    "scalar: NaN": (lambda: check.scalar("x", np.nan, 0), "got nan"),
    "scalar: infinite": (lambda: check.scalar("x", np.inf, 0), "got inf"),
    "scalar: a word": (lambda: check.scalar("x", "2", 0), "got '2'"),
    "scalar: yes": (lambda: check.scalar("x", np.array(True), 0), "got array(True)"),
    "scalar: two": (lambda: check.scalar("x", np.ones(2), 0), "got array([1., 1.])"),
    "scalar: complex": (lambda: check.scalar("x", np.array(1j), 0), "got array("),
    "scalar: none": (lambda: check.scalar("x", None, 0), "got None"),
    "one_of": (lambda: check.one_of("x", "c", ("a", "b"), "!"), "of a, b!, got 'c'"),
    "one_of: no name": (lambda: check.one_of("x", ["a"], ("a",)), "got ['a']"),
    "floating: ranks": (
        lambda: check.floating("x", X, (1, 3)),
        "floats of rank 1 or 3, got dtype float64, shape (3, 2)",
    ),
    "floating: integers": (lambda: check.floating("x", [1], (1,)), "dtype int"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused(case):
    call, text = REFUSED[case]
    with pytest.raises(InvalidInput, match="^x: expected ") as refusal:
        call()
    assert text in str(refusal.value) and refusal.value.argument == "x"


def test_a_refusal_is_a_value_error_that_can_be_pickled():
    error = InvalidInput("k", 4, "1 to 3")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, ValueError) and str(again) == str(error)
    assert (again.argument, again.got, again.expected) == ("k", 4, "1 to 3")
    assert type(error).__module__ == "icon"  # where users find it
