"""Is what was read what was written, and is every bad file refused by name?"""

import io
import struct
import zipfile

import numpy as np
import pytest
from scipy import sparse

from icon import data
from icon._base.checks import InvalidInput


X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
Y = np.array([5, 2, 5, 9, 2, 5])
FACTORS = np.array([1, 0, 1, 2, 0, 1])


# ------------------------------------------------------- round trips


def npy(path, array):
    np.save(path, array)
    return path


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def text(path, content):
    path.write_text(content)
    return path


def table(header, columns):
    rows = zip(*columns, strict=True)
    return header + "".join(",".join(map(str, row)) + "\n" for row in rows)


def same(found, features, labels):
    np.testing.assert_array_equal(found.features, features)
    assert found.features.dtype == np.float32
    if labels is None:
        assert found.labels is None
    else:
        np.testing.assert_array_equal(found.labels, labels)
        assert found.labels.dtype == np.int32


def test_npy_with_labels_beside_it(tmp_path):
    path = npy(tmp_path / "x.npy", X)
    same(data.load(path), X, None)
    beside = npy(tmp_path / "y.npy", Y)
    found = data.load(path, labels=str(beside))
    same(found, X, FACTORS)
    assert found.name == "x" and found.images is None


def test_images_are_kept_and_bytes_are_scaled(tmp_path):
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) * 10
    found = data.load(npy(tmp_path / "x.npy", pixels))
    np.testing.assert_allclose(found.images, pixels / 255, rtol=1e-6)
    np.testing.assert_array_equal(found.features, found.images.reshape(2, 12))
    same(data.load(npy(tmp_path / "v.npy", pixels[0])), pixels[0], None)


@pytest.mark.parametrize("key", ["label", "labels", "y"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_finds_rows_and_labels(tmp_path, key, save):
    save(tmp_path / "a.npz", x=X, other=np.zeros(3), **{key: Y})
    same(data.load(tmp_path / "a.npz"), X, FACTORS)


def test_npz_by_name(tmp_path):
    path = npz(tmp_path / "a.npz", a=X, b=X + 1, y=Y, z=Y[::-1])
    same(data.load(path, features="b", labels="z"), X + 1, FACTORS[::-1])


def test_npz_prefers_rows_to_images(tmp_path):
    path = npz(tmp_path / "a.npz", rows=X, pictures=np.zeros((6, 2, 2)))
    same(data.load(path), X, None)
    assert data.load(path, features="pictures").images.shape == (6, 2, 2)


@pytest.mark.parametrize(
    "labels, factors",
    [
        (Y.astype(np.int64) + 2**40, FACTORS),
        (Y.astype(np.uint64) + np.uint64(2**63), FACTORS),
        (Y.astype(np.float64), FACTORS),
        (np.array(list("cbcdbc")), FACTORS),
        (np.array([True, False, True, True, False, True]), [1, 0, 1, 1, 0, 1]),
    ],
)
def test_labels_of_any_dtype_are_counted_from_0(tmp_path, labels, factors):
    same(data.load(npz(tmp_path / "a.npz", x=X, y=labels)), X, factors)


@pytest.mark.parametrize("column", ["label", "labels", "y"])
def test_csv_with_a_header(tmp_path, column):
    content = table(f"a,b,{column},c,d\n", [*X.T[:2], Y, *X.T[2:]])
    same(data.load(text(tmp_path / "a.csv", content)), X, FACTORS)


def test_csv_without_a_header(tmp_path):
    path = text(tmp_path / "a.csv", table("", [*X.T, Y]))
    same(data.load(path, labels="4"), X, FACTORS)
    assert data.load(path).features.shape == (6, 5)


def test_csv_columns_by_name(tmp_path):
    names = ["x_1" if i % 2 else "x 1" for i in Y]
    content = table("a,b,name,c,d\n", [*X.T[:2], names, *X.T[2:]])
    path = text(tmp_path / "a.csv", content)
    found = data.load(path, features=["d", "a"], labels="name")
    same(found, X[:, [3, 0]], [1, 0, 1, 1, 0, 1])
    same(data.load(path, features="b"), X[:, 1:2], None)


def test_csv_labels_sort_as_numbers_only_if_all_are(tmp_path):
    numbers = text(tmp_path / "n.csv", "a,y\n1,10\n2,9\n3,9.0\n")
    assert data.load(numbers).labels.tolist() == [1, 0, 0]
    names = text(tmp_path / "s.csv", "a,y\n1,10\n2,9\n3,1_0\n")
    assert data.load(names).labels.tolist() == [0, 2, 1]


def test_csv_reads_what_spreadsheets_write(tmp_path):
    content = '\ufeffa,"b, c",y\r\n1,"2",x\r\n\r\n3,4e0,z\r\n'
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode())
    same(data.load(path), [[1, 2], [3, 4]], [0, 1])


def test_rows_without_a_label_keep_minus_one(tmp_path):
    labels = np.array([5, -1, 5, 9, -1, 0])
    found = data.load(npz(tmp_path / "a.npz", x=X, y=labels))
    same(found, X, [1, -1, 1, 2, -1, 0])
    assert found.classes == ()
    names = np.array(["b", "", "b", "c", "", "a"])
    for array in names, names.astype("S"):
        found = data.load(npz(tmp_path / "a.npz", x=X, y=array))
        same(found, X, [1, -1, 1, 2, -1, 0])
        assert found.classes == ("a", "b", "c")
    floats = np.array([5, np.nan, 5, 9, -1, 0])
    same(data.load(npz(tmp_path / "a.npz", x=X, y=floats)), X, [1, -1, 1, 2, -1, 0])


@pytest.mark.parametrize(
    "cells, labels, classes",
    [
        (["10", "", "9", "-1"], [1, -1, 0, -1], ()),
        (["10.0", "NaN", "9", ""], [1, -1, 0, -1], ()),
        (["rose", "", "iris", "nan"], [1, -1, 0, -1], ("iris", "rose")),
    ],
)
def test_csv_rows_without_a_label(tmp_path, cells, labels, classes):
    path = text(tmp_path / "a.csv", table("a,y\n", [range(4), cells]))
    found = data.load(path)
    same(found, np.arange(4)[:, None], labels)
    assert found.classes == classes


def test_colour_images_of_bytes_are_scaled(tmp_path):
    pixels = np.arange(72, dtype=np.uint8).reshape(2, 3, 4, 3) * 3
    found = data.load(npz(tmp_path / "a.npz", pixels=pixels, y=[1, 2]))
    np.testing.assert_allclose(found.images, pixels / 255, rtol=1e-6)
    np.testing.assert_array_equal(found.features, found.images.reshape(2, 36))
    floats = data.load(npy(tmp_path / "x.npy", pixels.astype(np.float32)))
    np.testing.assert_array_equal(floats.images, pixels)


FURTHER = {
    "second": np.arange(12.0).reshape(6, 2),
    "time": np.arange(6.0) + 1.7e9,
    "tokens": np.arange(12).reshape(6, 2),
    "counts": np.arange(18).reshape(6, 3),
    "logits": -np.arange(12.0).reshape(6, 2),
    "tags": np.eye(6, 3, dtype=bool),
}
DTYPES = dict(time=np.float64, tokens=np.int32, tags=np.int32)


def test_npz_keeps_what_has_a_standard_name(tmp_path):
    found = data.load(npz(tmp_path / "a.npz", x=X, y=Y, other=X[:, 0], **FURTHER))
    same(found, X, FACTORS)
    assert found.also.keys() == FURTHER.keys()
    for name, array in FURTHER.items():
        np.testing.assert_array_equal(found.also[name], array)
        assert found.also[name].dtype == DTYPES.get(name, np.float32)


def test_npz_keeps_what_it_is_asked_for(tmp_path):
    path = npz(tmp_path / "a.npz", x=X, stamp=Y, own=Y > 4, time=X[:, 0])
    found = data.load(path, features="x", also={"time": "stamp", "mine": "own"})
    assert found.also.keys() == {"time", "mine"} and found.also["mine"].dtype == bool
    np.testing.assert_array_equal(found.also["time"], Y)
    np.testing.assert_array_equal(found.also["mine"], Y > 4)
    # what is used otherwise is no feature
    path = npz(tmp_path / "b.npz", x=X, picked=X[:, :2])
    assert data.load(path, also={"second": "picked"}).features.shape == (6, 4)


def test_npy_keeps_what_lies_beside_it(tmp_path):
    path, beside = npy(tmp_path / "x.npy", X), npy(tmp_path / "t.npy", Y)
    found = data.load(path, labels=beside, also={"time": beside})
    same(found, X, FACTORS)
    np.testing.assert_array_equal(found.also["time"], Y)


def test_csv_keeps_columns(tmp_path):
    content = table("a,day,b,top,low,y\n", [*X.T[:1], Y, X[:, 1], Y, "pqrpqr", Y])
    path = text(tmp_path / "a.csv", content)
    also = {"time": "day", "second": ["b", "day"], "hierarchy": ["top", "low"]}
    found = data.load(path, also=also)
    same(found, X[:, :1], FACTORS)
    np.testing.assert_array_equal(found.also["time"], Y)
    np.testing.assert_array_equal(found.also["second"], np.stack([X[:, 1], Y], 1))
    levels = np.stack([FACTORS, [0, 1, 2, 0, 1, 2]], 1)
    np.testing.assert_array_equal(found.also["hierarchy"], levels)


def test_csv_of_counts_alone_has_features(tmp_path):
    path = text(tmp_path / "a.csv", "a,b,y\n1,2,3\n0,4,3\n")
    found = data.load(path, also={"counts": ["a", "b"]})
    np.testing.assert_allclose(found.features, np.log1p([[1, 2], [0, 4]]), rtol=1e-6)


RING = [(i, (i + 1) % 6) for i in range(6)]


def test_edges_become_a_graph(tmp_path):
    edges = np.array(
        [(0, 1, 2.0), (1, 0, 3.0), (2, 2, 9.0), (5, 2, 0.5), (3, 4, 1), (4, 3, 1)]
    )
    found = data.load(npz(tmp_path / "a.npz", x=X, edges=edges))
    graph, expected = found.also["graph"], np.zeros((6, 6))
    expected[0, 1] = expected[1, 0] = 5
    expected[2, 5] = expected[5, 2] = 0.5
    expected[3, 4] = expected[4, 3] = 2
    np.testing.assert_array_equal(graph.toarray(), expected)
    both = data.load(npz(tmp_path / "b.npz", x=X, edges=[(3, 4), (4, 3)]))
    assert both.also["graph"].toarray()[3, 4] == 2
    assert graph.format == "csr" and graph.dtype == np.float32 and graph.nnz == 6
    same(found, X, None)


def test_a_graph_alone_has_features(tmp_path):
    found = data.load(npz(tmp_path / "a.npz", edges=RING, y=Y))
    assert found.features.shape == (6, 4) and found.labels.tolist() == FACTORS.tolist()
    np.testing.assert_allclose(found.features.std(0), 1, rtol=1e-5)
    again = data.load(npz(tmp_path / "a.npz", edges=RING))
    np.testing.assert_array_equal(found.features, again.features)


@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_sparse_files(tmp_path, layout, kind):
    dense = np.zeros((6, 6))
    dense[[0, 1, 3], [1, 2, 0]] = [1.0, 2.0, 3.0]
    make = getattr(sparse, f"{layout}_{kind}")
    path = tmp_path / "a.npz"
    sparse.save_npz(path, make(dense))
    found = data.load(path)
    np.testing.assert_array_equal(found.also["graph"].toarray(), dense + dense.T)
    sparse.save_npz(path, make(dense + dense.T))
    found = data.load(path)
    np.testing.assert_array_equal(found.also["graph"].toarray(), dense + dense.T)
    sparse.save_npz(path, make(dense[:4]))
    found = data.load(path)
    np.testing.assert_array_equal(found.also["counts"], dense[:4])
    np.testing.assert_allclose(found.features, np.log1p(dense[:4]), rtol=1e-6)


def test_tokens_alone_have_features(tmp_path):
    found = data.load(npz(tmp_path / "a.npz", tokens=[[0, 2, 2], [1, 1, 1]]))
    counts = np.log1p([[1, 0, 2], [0, 3, 0]])
    np.testing.assert_allclose(found.features, counts, rtol=1e-6)


# ------------------------------------------------------- refusals


def header(shape, body=b"", dtype="<f4"):
    """An .npy file whose header has a shape, whatever its body holds."""
    stream = io.BytesIO()
    fields = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue() + body


def zipped(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as out:
        for name, content in members.items():
            out.writestr(f"{name}.npy", content)
    return stream.getvalue()


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def bad(value, at=(1, 2)):
    array = X.astype(np.float64)
    array[at] = value
    return saved(array)


HUGE = header((10**9, 10**9))
OBJECTS = saved(np.array([[{}]], dtype=object))
REFUSED = [
    ("a.txt", b"", {}, "path", "a.txt"),
    ("a.npy", b"", {}, "path", "a.npy"),
    ("a.npy", b"not numpy at all", {}, "path", "magic"),
    ("a.npy", HUGE, {}, "path", "1000000000"),
    ("a.npy", header((-2, -3), b"0" * 24), {}, "path", "-2"),
    ("a.npy", header((2, 3), b"0" * 23), {}, "path", "23 bytes"),
    ("a.npy", header((2, 3), b"0" * 25), {}, "path", "25 bytes"),
    ("a.npy", header((10**12,), dtype="<U0"), {}, "path", "U0"),
    ("a.npy", b"\x93NUMPY\x09\x00" + struct.pack("<H", 0), {}, "path", "(9, 0)"),
    ("a.npy", OBJECTS, {}, "path", "object"),
    ("a.npy", saved(X[0]), {}, "features", "(4,)"),
    ("a.npy", saved(X[None, None]), {}, "features", "(1, 1, 6, 4)"),
    ("a.npy", saved(X[:0]), {}, "features", "(0, 4)"),
    ("a.npy", saved(X.astype(complex)), {}, "features", "complex"),
    ("a.npy", saved(X.astype(str)), {}, "features", "<U"),
    ("a.npy", bad(np.nan), {}, "features", "nan at row 1, column 2"),
    ("a.npy", bad(-np.inf), {}, "features", "-inf at row 1, column 2"),
    ("a.npy", bad(1e39), {}, "features", "1e+39 at row 1, column 2"),
    ("a.npy", saved(X), dict(features="x"), "features", "'x'"),
    ("a.npy", saved(X), dict(labels="nowhere.npy"), "labels", "nowhere.npy"),
    ("a.npz", b"not a zip", {}, "path", "a.npz"),
    ("a.npz", zipped(x=saved(X))[:-30], {}, "path", "a.npz"),
    ("a.npz", zipped(x=HUGE), {}, "path", "1000000000"),
    ("a.npz", zipped(x=saved(X), y=OBJECTS), {}, "path", "object"),
    ("a.npz", zipped(), {}, "features", "{}"),
    ("a.npz", zipped(a=saved(X), b=saved(X)), {}, "features", "'b'"),
    ("a.npz", zipped(a=saved(X)), dict(features="b"), "features", "one of a"),
    ("a.npz", zipped(a=saved(X)), dict(labels="b"), "labels", "one of a"),
    ("a.npz", zipped(a=saved(X), y=saved(Y[:5])), {}, "labels", "(5,)"),
    ("a.npz", zipped(a=saved(X), y=saved(X)), {}, "labels", "(6, 4)"),
    ("a.npz", zipped(a=saved(X), y=saved(Y + 0.5)), {}, "labels", "5.5 at row 0"),
    ("a.npz", zipped(a=saved(X), y=saved(Y * np.nan)), {}, "labels", "nan at row 0"),
    ("a.npz", zipped(a=saved(X), y=saved(Y * 1j)), {}, "labels", "complex"),
    ("a.csv", b"", {}, "path", "empty"),
    ("a.csv", b"\n\n", {}, "path", "empty"),
    ("a.csv", b"a,b\n", {}, "path", "header"),
    ("a.csv", b"\xff\xfe1,2\n", {}, "path", "decode"),
    ("a.csv", b'a,b\n1,"2\n', {}, "path", "a.csv"),
    ("a.csv", b"a,b\n1,2\n3\n", {}, "path", "line 3"),
    ("a.csv", b"a,b\n1,2\n\n3,4,5\n", {}, "path", "line 4"),
    ("a.csv", b"a,\n1,2\n", {}, "path", "column 1"),
    ("a.csv", b"a,b,a\n1,2,3\n", {}, "path", "column 2"),
    ("a.csv", b"a,b\n1,2\n3,x\n", {}, "features", "'x' on line 3, column 'b'"),
    ("a.csv", b"a,b\n1,\n2,3\n", {}, "features", "'' on line 2, column 'b'"),
    ("a.csv", b"a,y\nx,1\ny,2\n", {}, "features", "['a'], none of which has"),
    ("a.csv", b"a,b\nx,1\n", dict(features="a"), "features", "'x' on line 2"),
    ("a.csv", b"a,b\nx,1\n", dict(drop="c"), "drop", "['c']"),
    ("a.csv", b"a,b\n1,1\n", dict(drop="a", features="a"), "drop", "['a']"),
    ("a.npz", zipped(a=saved(X)), dict(drop="a"), "drop", "None: "),
    ("a.npy", saved(X), dict(drop="a"), "drop", "None: "),
    ("a.csv", b"a,b\n1,2\n1,2_3\n", {}, "features", "'2_3' on line 3"),
    ("a.csv", b"1,2\n\n3,nan\n", {}, "features", "nan at line 3, column '1'"),
    ("a.csv", b"a,b\n1,1e39\n", {}, "features", "line 2, column 'b'"),
    ("a.csv", b"y\n1\n", {}, "features", "[]"),
    ("a.csv", b"a,b\n1,2\n", dict(features=["c"]), "features", "'c'"),
    ("a.csv", b"a,b\n1,2\n", dict(labels="c"), "labels", "'c'"),
    ("a.csv", b"a,y\n1,\n3, \n", {}, "labels", "'' at line 2"),
    ("a.csv", b"a,y\n1,nan\n", {}, "labels", "'' at line 2"),
    ("a.csv", b"a,y\n1,2\n\n3,4.5\n", {}, "labels", "4.5 at line 4"),
]


@pytest.mark.parametrize("name, content, arguments, argument, got", REFUSED)
def test_refusals_name_the_argument_and_the_place(
    tmp_path, name, content, arguments, argument, got
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        data.load(tmp_path / name, **arguments)
    assert caught.value.argument == argument
    assert got in str(caught.value.got) + caught.value.expected


def test_refuses_a_missing_file(tmp_path):
    with pytest.raises(InvalidInput, match="path: .* exists"):
        data.load(tmp_path / "a.npy")


def test_refuses_broken_labels_by_their_own_name(tmp_path):
    (tmp_path / "y.npy").write_bytes(OBJECTS)
    with pytest.raises(InvalidInput, match="labels: .*object"):
        data.load(npy(tmp_path / "x.npy", X), labels=tmp_path / "y.npy")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.csv"])
def test_refuses_more_than_the_limit(tmp_path, monkeypatch, name):
    path = tmp_path / name
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((100, 100)))
    npy(tmp_path / "a.npy", X)
    text(tmp_path / "a.csv", "1,2\n" * 100)
    data.load(path)
    size = path.stat().st_size
    # The zip is far smaller than what it unpacks to; only that counts.
    monkeypatch.setattr(data.record, "LIMIT", size if name == "a.npz" else size - 1)
    with pytest.raises(InvalidInput, match="path: .*at most"):
        data.load(path)


def square(**changed):
    """A file of scipy.sparse.save_npz, written by hand."""
    arrays = dict(
        format=np.array(b"csr"),
        shape=np.array([3, 3]),
        data=np.ones(2),
        indices=np.array([1, 0], np.int32),
        indptr=np.array([0, 1, 2, 2], np.int32),
    )
    return arrays | changed


KEPT = [
    (dict(x=X, edges=[(0, 6)]), {}, "also['edges']", "6 at row 0, column 1"),
    (dict(x=X, edges=[(0, -1)]), {}, "also['edges']", "-1 at row 0, column 1"),
    (dict(edges=[(0, 2**40)]), {}, "also['edges']", "1099511627776"),
    (dict(edges=[(0, 2**30)]), {}, "also['edges']", "at most"),
    (dict(x=X, edges=[(0, 1.5)]), {}, "also['edges']", "1.5 at row 0, column 1"),
    (dict(x=X, edges=[(0, 1, -2)]), {}, "also['graph']", "-2.0 at row 0, column 1"),
    (dict(x=X, edges=[(0, 1, np.nan)]), {}, "also['edges']", "nan at row 0, column 2"),
    (dict(x=X, edges=[0, 1]), {}, "also['edges']", "(2,)"),
    (dict(x=X, edges=np.zeros((0, 2))), {}, "also['edges']", "(0, 2)"),
    (dict(x=X, edges=RING, graph=np.eye(6)), {}, "also['edges']", "a graph"),
    (dict(edges=[(0, 1)]), {}, "also['graph']", "2 rows"),
    (dict(x=X, graph=np.eye(5)), {}, "also['graph']", "(5, 5)"),
    (dict(x=X, graph=X), {}, "also['graph']", "(6, 4)"),
    (dict(x=X, graph=-np.ones((6, 6))), {}, "also['graph']", "-1.0 at row 0, column 0"),
    (dict(x=X, counts=-(X**2)), {}, "also['counts']", "at row 0, column 0"),
    (dict(x=X, counts=X[:5] ** 2), {}, "also['counts']", "(5, 4)"),
    (dict(x=X, counts=Y), {}, "also['counts']", "(6,)"),
    (dict(x=X, time=Y * np.inf), {}, "also['time']", "inf at row 0"),
    (dict(x=X, time=X), {}, "also['time']", "(6, 4)"),
    (dict(x=X, tokens=X), {}, "also['tokens']", "numbers from 0"),
    (dict(x=X, tokens=X**2), {}, "also['tokens']", "whole numbers"),
    (dict(x=X, tokens=[[2**31]] * 6), {}, "also['tokens']", "2147483648 at row 0"),
    (dict(tokens=[[2**31 - 1]] * 6), {}, "also['tokens']", "at most"),
    (dict(x=X, tags=[[0, 2]] * 6), {}, "also['tags']", "2 at row 0, column 1"),
    (dict(x=X, logits=X * np.nan), {}, "also['logits']", "nan at row 0, column 0"),
    (dict(x=X, hierarchy=Y), {}, "also['hierarchy']", "(6,)"),
    (dict(x=X, hierarchy=X), {}, "also['hierarchy']", "at row 0, column 0"),
    (dict(x=X, second=np.array(list("abcdef"))), {}, "also['second']", "<U1"),
    (dict(x=X), {"also": {"time": "gone"}}, "also['time']", "one of x"),
    (dict(x=X), {"also": {"time": ["x"]}}, "also['time']", "one name"),
    (dict(x=X), {"also": {"time": 3}}, "also['time']", "3"),
    (dict(x=X), {"also": {"time": []}}, "also['time']", "[]"),
    (dict(x=X), {"also": {"": "x"}}, "also", "''"),
    (dict(x=X), {"also": "x"}, "also", "'x'"),
    (dict(x=X, s=Y + 2**40), {"also": {"mine": "s"}}, "also['mine']", "1099511627781"),
    (dict(x=X, y=Y * 0 - 1), {}, "labels", "-1 at row 0"),
    (dict(x=X, y=Y * np.inf), {}, "labels", "inf at row 0"),
    (dict(time=Y), {}, "features", "None"),
    (square(), {"features": "data"}, "features", "'data'"),
    (square(), {"labels": "data"}, "labels", "'data'"),
    (square(), {"also": {"time": "data"}}, "also", "'data'"),
    (square(shape=np.array([3, 1])), {}, "path", "a.npz"),
    (square(shape=np.array([3, -1])), {}, "path", "(3, -1)"),
    (square(shape=np.array([4, 4])), {}, "path", "a.npz"),
    (square(shape=np.array([3, 2**31])), {}, "path", "at most"),
    (
        square(
            format=np.array(b"coo"), shape=np.array([2**40] * 2), row=[0, 1], col=[1, 2]
        ),
        {},
        "path",
        "at most",
    ),
    (square(indices=np.array([1, 3], np.int32)), {}, "path", "a.npz"),
    (square(indices=np.array([-1, 0], np.int32)), {}, "path", "a.npz"),
    (square(indptr=np.array([0, 9, 2, 2], np.int32)), {}, "path", "a.npz"),
    (square(data=np.array([1.0, np.nan])), {}, "also['graph']", "nan"),
    (square(data=-np.ones(2)), {}, "also['graph']", "-1.0 at row 0, column 1"),
    (square(format=np.array(b"dia")), {}, "path", "dia"),
]


@pytest.mark.parametrize("arrays, arguments, argument, got", KEPT)
def test_refusals_of_further_arrays(tmp_path, arrays, arguments, argument, got):
    path = npz(tmp_path / "a.npz", **arrays)
    with pytest.raises(InvalidInput) as caught:
        data.load(path, **arguments)
    assert caught.value.argument == argument
    assert got in str(caught.value.got) + caught.value.expected


COLUMNS = [
    ({"time": "gone"}, "also['time']", "gone"),
    ({"time": "b"}, "also['time']", "'x' on line 3, column 'b'"),
    ({"time": "c"}, "also['time']", "nan at line 4"),
    ({"counts": ["a", "d"]}, "also['counts']", "-5.0 at line 2, column 1"),
    ({"tags": ["a", "a"]}, "also['tags']", "'a'"),
    ({"hierarchy": ["b", "e"]}, "also['hierarchy']", "column 1"),
]


@pytest.mark.parametrize("also, argument, got", COLUMNS)
def test_refusals_of_columns_name_the_line(tmp_path, also, argument, got):
    content = "a,b,c,d,e\n1,2,3,-5,\n1,x,4,5,\n\n2,3,nan,6,\n"
    path = text(tmp_path / "a.csv", content.replace("\n\n", "\n"))
    with pytest.raises(InvalidInput) as caught:
        data.load(path, features="a", also=also)
    assert caught.value.argument == argument
    assert got in str(caught.value.got) + caught.value.expected


def test_sparse_files_are_never_unpickled(tmp_path):
    arrays = square(format=np.array({}, dtype=object))
    with pytest.raises(InvalidInput, match="path: .*object"):
        data.load(npz(tmp_path / "a.npz", **arrays))
