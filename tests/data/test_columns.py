"""Is a table what its columns say, however it is written?"""

import csv
import sys

import numpy as np
import pytest

from icon import data
from icon._base.checks import InvalidInput


pd = pytest.importorskip("pandas", reason="pandas is missing: icon-jax[frames]")
pl = pytest.importorskip("polars", reason="polars is missing: icon-jax[frames]")

X = np.random.default_rng(0).normal(size=(7, 3)).round(3)
SPECIES = np.array(["rose", "iris", "rose", "", "fern", "iris", "rose"])
FACTORS = [2, 1, 2, -1, 0, 1, 2]
FRAME = pd.DataFrame(X, columns=["width", "height", "depth"])


def text(path, content, encoding="utf-8"):
    path.write_text(content, encoding=encoding)
    return path


def same(found, features, labels=None, words=()):
    np.testing.assert_array_equal(found.features, np.float32(features))
    assert (found.labels is None) == (labels is None)
    assert labels is None or found.labels.tolist() == list(labels)
    assert found.words == tuple(words)


# ------------------------------------------------------- as spreadsheets write it


SEPARATED = {
    "commas": dict(sep=","),
    "semicolons": dict(sep=";"),
    "decimal commas": dict(sep=";", decimal=","),
    "tabs": dict(sep="\t"),
    "every cell in quotes": dict(quoting=csv.QUOTE_ALL),
    "Windows": dict(lineterminator="\r\n", encoding="utf-8-sig"),
}


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("how", SEPARATED)
def test_it_is_what_pandas_wrote(how, header, tmp_path):
    options = SEPARATED[how]
    path = tmp_path / "a.csv"
    FRAME.to_csv(path, index=False, header=header, **options)
    same(data.load(path), X)
    frame = FRAME.assign(label=SPECIES)
    frame.to_csv(path, index=False, header=header, **options)
    found = data.load(path, labels=None if header else "3")
    same(found, X, FACTORS)
    assert found.classes == ("fern", "iris", "rose")


def test_a_tsv_is_of_tabs_alone(tmp_path):
    path = text(tmp_path / "a.tsv", "a;b\tc\n1\t2\n3\t4\n")
    same(data.load(path, features=["c"], drop="a;b"), [[2], [4]])
    same(data.load(text(tmp_path / "b.tsv", "1\t2\n")), [[1, 2]])


def test_a_separator_in_quotes_or_in_one_line_is_none(tmp_path):
    path = text(tmp_path / "a.csv", '"x;y",b\n"1",2\n3,4\n')
    same(data.load(path), [[1, 2], [3, 4]])
    path = text(tmp_path / "b.csv", "x;y,b\n1,2\n3,4\n")
    same(data.load(path), [[1, 2], [3, 4]])


def test_a_quoted_cell_may_have_lines_and_quotes(tmp_path):
    path = text(tmp_path / "a.csv", 'b,label\n1,"one\n""1"""\n2,"two, too"\n')
    assert data.load(path).classes == ('one\n"1"', "two, too")


# ------------------------------------------------------- names, or none


HEADERS = {
    "5.1,3.5,setosa\n4.9,3.0,setosa\n": False,
    "5.1,3.5,setosa\n4.9,3.0,iris\n6,1,iris": False,
    "0,1,species\n4.9,3.0,7\n6,1,8": True,
    "0,1,label\n4.9,3.0,iris\n6,1,rose": True,
    "a,b,c\n1,2,x\n2,3,y": True,
}


@pytest.mark.parametrize("content", HEADERS)
@pytest.mark.filterwarnings("ignore:columns without a number")
def test_the_first_line_has_names_or_numbers(content, tmp_path):
    found = data.load(text(tmp_path / "a.csv", content))
    assert len(found.features) == len(content.splitlines()) - HEADERS[content]


def test_a_name_that_is_asked_for_is_one(tmp_path):
    path = text(tmp_path / "a.csv", "0,1,species\n4.9,3.0,iris\n6,1,rose\n")
    same(data.load(path, labels="species"), [[4.9, 3], [6, 1]], [0, 1])


# ------------------------------------------------------- columns of a table


def test_text_is_left_out_with_one_warning(tmp_path):
    path = tmp_path / "a.csv"
    FRAME.assign(city=SPECIES + "x", note="").to_csv(path, index=False)
    with pytest.warns(UserWarning) as caught:
        found = data.load(path)
    same(found, X)
    (warning,) = caught
    left = "columns without a number are left out: 'city', 'note'"
    assert str(warning.message) == left and warning.filename == __file__
    same(data.load(path, drop=["city", "note"]), X)
    same(data.load(path, drop="note", labels="city"), X, CITIES)


CITIES = np.unique(SPECIES + "x", return_inverse=True)[1].tolist()


def test_of_many_columns_of_text_five_are_named(tmp_path):
    many = pd.DataFrame({f"t{i}": SPECIES for i in range(8)} | {"x": X[:, 0]})
    many.to_csv(tmp_path / "a.csv", index=False)
    with pytest.warns(UserWarning, match="'t0', 't1', 't2', 't3', 't4' and 3 more$"):
        data.load(tmp_path / "a.csv")


def test_a_column_with_some_numbers_is_refused_where_it_has_none(tmp_path):
    path = text(tmp_path / "a.csv", "a,b\n1,2\nn/a,4\n")
    with pytest.raises(InvalidInput) as caught:
        data.load(path)
    assert caught.value.got == "'n/a' on line 3, column 'a'"
    assert "`drop`" in caught.value.expected
    same(data.load(path, drop="a"), [[2], [4]])


@pytest.mark.parametrize("name", [None, "Unnamed: 0"])
def test_the_index_of_pandas_names_the_rows(name, tmp_path):
    named = FRAME.set_axis([f"r{i}" for i in range(7)])
    named.to_csv(tmp_path / "a.csv", index_label=name)
    same(data.load(tmp_path / "a.csv"), X, words=named.index)
    numbered = FRAME.set_axis(range(3), axis=1)
    numbered.to_csv(tmp_path / "b.csv", index_label=name)
    same(data.load(tmp_path / "b.csv"), X, words=map(str, range(7)))


def test_an_index_that_is_asked_for_is_a_column(tmp_path):
    FRAME.to_csv(tmp_path / "a.csv", index_label="Unnamed: 0")
    found = data.load(tmp_path / "a.csv", features=["Unnamed: 0", "width"])
    same(found, np.stack([range(7), X[:, 0]], 1))


# ------------------------------------------------------- .parquet


WRITERS = {
    "pandas": lambda frame, path: frame.to_parquet(path, index=False),
    "polars": lambda frame, path: pl.from_pandas(frame).write_parquet(path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_parquet_is_what_was_written(writer, tmp_path):
    path = tmp_path / "a.parquet"
    frame = FRAME.assign(
        count=np.arange(7, dtype=np.int16),
        yes=X[:, 0] > 0,
        city=pd.Categorical(SPECIES),
        day=pd.Timestamp("2020-01-01"),
        label=SPECIES,
    )
    WRITERS[writer](frame, path)
    with pytest.warns(UserWarning, match="left out: 'city', 'day'$"):
        found = data.load(path)
    same(found, np.c_[X, range(7), X[:, 0] > 0], FACTORS)
    assert found.classes == ("fern", "iris", "rose")
    found = data.load(path, features=["depth"], labels="yes", also={"time": "count"})
    same(found, X[:, 2:], X[:, 0] > 0)
    assert found.classes == () and found.also["time"].tolist() == [*range(7)]
    found = data.load(path, drop=["city", "day", "label"], labels="count")
    assert found.labels.tolist() == [*range(7)]


def test_the_index_of_parquet_names_the_rows(tmp_path):
    path = tmp_path / "a.parquet"
    FRAME.set_axis([f"r{i}" for i in range(7)]).to_parquet(path)
    same(data.load(path), X, words=[f"r{i}" for i in range(7)])
    FRAME.to_parquet(path)  # a range is no column
    same(data.load(path), X)


PARQUET = {
    "a missing number": (dict(a=[1, None]), {}, "features", "nan at row 1, column 'a'"),
    "text": (dict(a=["x"], b=[1]), dict(features="a"), "features", "in column 'a'"),
    "no such column": (dict(a=[1]), dict(labels="b"), "labels", "'b'"),
    "text alone": (dict(a=["x"]), {}, "features", "['a'], none of which"),
    "no row": (dict(a=[]), {}, "path", "no rows"),
}


@pytest.mark.parametrize("case", PARQUET)
def test_parquet_is_refused_by_name(case, tmp_path):
    columns, asked, argument, got = PARQUET[case]
    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InvalidInput) as caught:
        data.load(tmp_path / "a.parquet", **asked)
    assert caught.value.argument == argument and got in str(caught.value)


def test_a_parquet_that_is_none_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"^path: .*a\.parquet"):
        data.load(text(tmp_path / "a.parquet", "no parquet"))


def test_parquet_is_bounded_before_it_is_read(tmp_path, monkeypatch):
    pl.DataFrame({"a": np.zeros(10_000)}).write_parquet(tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 40_000
    monkeypatch.setattr(data.record, "LIMIT", 79_999)
    with pytest.raises(InvalidInput, match="path: .*80000 bytes"):
        data.load(tmp_path / "a.parquet")
    monkeypatch.setattr(data.record, "LIMIT", 80_000)
    assert data.load(tmp_path / "a.parquet").features.shape == (10_000, 1)


def test_the_extra_that_is_missing_is_named(tmp_path, monkeypatch):
    FRAME.to_parquet(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"icon-jax\[frames\]"):
        data.load(tmp_path / "a.parquet")
