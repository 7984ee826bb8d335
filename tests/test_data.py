"""Is what was read what was written, and is every bad file refused by name?"""

import io
import struct
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icon import data
from icon._base.checks import InvalidInput


X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
Y = np.array([5, 2, 5, 9, 2, 5])
FACTORS = np.array([1, 0, 1, 2, 0, 1])


@pytest.fixture(autouse=True)
def hostile():
    """No silent widening of types and no silent broadcasting."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


# ------------------------------------------------------------------ round trips


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


def test_digits():
    found = data.digits()
    assert found.images.shape == (1797, 8, 8) and found.features.max() == 1
    same(found, found.images.reshape(1797, 64), found.labels)
    assert np.bincount(found.labels).min() == 174


def bundle(folder):
    n = {"train": 3, "test": 2}
    arrays = {f"{k}_image": np.full((n[k], 28, 28), n[k], np.uint8) for k in n}
    arrays |= {f"{k}_label": np.arange(n[k], dtype=np.uint8) for k in n}
    npz(folder / "mnist20k.npz", **arrays)


def test_mnist_reads_the_train_half_first(tmp_path, monkeypatch):
    bundle(tmp_path)
    monkeypatch.setenv("ICON_DATA", str(tmp_path))
    for found in data.mnist(), data.mnist(tmp_path):
        same(found, found.images.reshape(5, 784), [0, 1, 2, 0, 1])
        np.testing.assert_allclose(found.features[:, 0] * 255, [3, 3, 3, 2, 2])


# --------------------------------------------------------------------- refusals


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
    ("a.csv", b",b\n1,2\n", {}, "path", "column 0"),
    ("a.csv", b"a,b,a\n1,2,3\n", {}, "path", "column 2"),
    ("a.csv", b"a,b\n1,2\n3,x\n", {}, "features", "'x' on line 3, column 'b'"),
    ("a.csv", b"a,b\n1,\n", {}, "features", "'' on line 2, column 'b'"),
    ("a.csv", b"a,b\n1,2\n1,2_3\n", {}, "features", "'2_3' on line 3"),
    ("a.csv", b"1,2\n\n3,nan\n", {}, "features", "nan at line 3, column '1'"),
    ("a.csv", b"a,b\n1,1e39\n", {}, "features", "line 2, column 'b'"),
    ("a.csv", b"y\n1\n", {}, "features", "[]"),
    ("a.csv", b"a,b\n1,2\n", dict(features=["c"]), "features", "'c'"),
    ("a.csv", b"a,b\n1,2\n", dict(labels="c"), "labels", "'c'"),
    ("a.csv", b"a,y\n1,2\n3, \n", {}, "labels", "line 3"),
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


def test_refuses_a_missing_file_and_a_folder(tmp_path):
    for path in tmp_path, tmp_path / "a.npy":
        with pytest.raises(InvalidInput, match="path: .* exists"):
            data.load(path)


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
    monkeypatch.setattr(data, "_LIMIT", size if name == "a.npz" else size - 1)
    with pytest.raises(InvalidInput, match="path: .*at most"):
        data.load(path)


def test_mnist_refusals(tmp_path, monkeypatch):
    monkeypatch.delenv("ICON_DATA", raising=False)
    for folder in None, "", tmp_path:
        with pytest.raises(InvalidInput, match="folder: .*ICON_DATA"):
            data.mnist(folder)
    npz(tmp_path / "mnist20k.npz", train_image=np.zeros((1, 28, 28)))
    with pytest.raises(InvalidInput, match="folder: .*test_image"):
        data.mnist(tmp_path)


CALLS = [
    (lambda: data.split(1, 0), "n"),
    (lambda: data.split(9.0, 0), "n"),
    (lambda: data.split(9, 0, 0.0), "fraction"),
    (lambda: data.split(9, 0, 1.0), "fraction"),
    (lambda: data.batches((), 1, 1), "arrays"),
    (lambda: data.batches((X, X[1:]), 1, 1), "arrays"),
    (lambda: data.batches(X[:0], 1, 1), "arrays"),
    (lambda: data.batches(np.float32(1), 1, 1), "arrays"),
    (lambda: data.batches(X, 0, 1), "size"),
    (lambda: data.batches(X, 2.0, 1), "size"),
    (lambda: data.batches(X, 1, -1), "epochs"),
    (lambda: data.augment(jr.key(0), X[0]), "image"),
    (lambda: data.augment(jr.key(0), jnp.ones((2, 2), jnp.uint8)), "image"),
    (lambda: data.two_views(jr.key(0), X[0]), "x"),
    (lambda: data.two_views(jr.key(0), jnp.ones((2, 2), jnp.int32)), "x"),
    (lambda: data.halves(X[0]), "x"),
    (lambda: data.halves(X[:, :1]), "x"),
    (lambda: data.tokens(X[0]), "images"),
    (lambda: data.tokens(X * np.nan), "images"),
    (lambda: data.tokens(X, words=0), "words"),
    (lambda: data.tokens(X, words=2, among=X * np.inf), "among"),
    (lambda: data.tokens(np.zeros((9, 4)), words=2), "words"),
]


@pytest.mark.parametrize("call, argument", CALLS)
def test_calls_refuse(call, argument):
    with pytest.raises(InvalidInput) as caught:
        call()
    assert caught.value.argument == argument


# -------------------------------------------------------------- rows and batches


@given(st.integers(2, 200), st.integers(0, 2**32), st.floats(0.001, 0.999))
def test_split_is_a_partition_fixed_by_the_seed(n, seed, fraction):
    train, test = data.split(n, seed, fraction)
    assert sorted([*train, *test]) == list(range(n))
    assert len(train) and len(test)
    assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
    np.testing.assert_array_equal(train, data.split(n, seed, fraction)[0])


def test_split_differs_by_seed_and_respects_the_fraction():
    assert len(data.split(1000, 0)[0]) == 700
    assert (data.split(1000, 0)[0] != data.split(1000, 1)[0]).any()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 2**31))
def test_an_epoch_shows_every_row_at_most_once(n, size, seed):
    rows = (np.arange(n), {"twice": np.arange(n) * 2})
    seen = list(data.batches(rows, size, 1)(jr.key(seed), 0))
    size = min(size, n)
    assert [len(at) for at, _ in seen] == [size] * (n // size)
    at = np.concatenate([at for at, _ in seen])
    assert len(set(at.tolist())) == len(at)
    twice = np.concatenate([rest["twice"] for _, rest in seen])
    np.testing.assert_array_equal(twice, 2 * at)


def test_order_depends_on_key_and_epoch_alone():
    run = lambda key, epoch: np.concatenate(
        list(data.batches(np.arange(50), 10, 3)(jr.key(key), epoch))
    )
    later = data.batches(np.arange(50), 10, 3)
    for epoch in range(3):
        list(later(jr.key(1), epoch))
    np.testing.assert_array_equal(np.concatenate(list(later(jr.key(0), 1))), run(0, 1))
    assert (run(0, 0) != run(0, 1)).any() and (run(0, 0) != run(1, 0)).any()
    assert not list(later(jr.key(0), 3)) and not list(later(jr.key(0), -1))


# ------------------------------------------------------------------------ views


IMAGES = data.digits().images[:64]
VIEWS = jax.jit(data.two_views)


@pytest.mark.parametrize("x", [IMAGES, IMAGES.reshape(64, -1)])
def test_views_are_fixed_by_the_key_and_differ(x):
    a, b = VIEWS(jr.key(0), x)
    assert a.shape == b.shape == x.shape and a.dtype == b.dtype == np.float32
    assert not np.allclose(a, b) and not np.allclose(b, x)
    np.testing.assert_array_equal(a, VIEWS(jr.key(0), x)[0])
    assert not np.allclose(a, VIEWS(jr.key(1), x)[0])
    assert not np.allclose(a, x)


def test_two_views_are_closer_than_two_rows():
    nearer = []
    for seed in range(8):
        a, b = (np.asarray(v).reshape(64, 64) for v in VIEWS(jr.key(seed), IMAGES))
        distance = ((a[:, None] - b[None]) ** 2).sum(-1)
        nearer.append((np.diag(distance)[:, None] < distance).mean())
    # A half is chance; a view that hardly moves its image would be at 1.
    assert 0.6 < np.mean(nearer) < 0.9


def test_two_views_augment_each_image_on_its_own():
    a, _ = VIEWS(jr.key(3), np.stack([IMAGES[0]] * 64))
    assert not np.allclose(a[0], a[1])
    keys = jr.split(jr.split(jr.key(3))[0], 64)
    alone = jax.jit(data.augment)(keys[1], IMAGES[0])
    np.testing.assert_allclose(a[1], alone, atol=1e-5)


def still(monkeypatch, *kept):
    for name in {"_TURN", "_SHEAR", "_ZOOM", "_SHIFT", "_LIGHT", "_GRAIN"} - set(kept):
        monkeypatch.setattr(data, name, 0.0)


def test_no_change_is_the_identity(monkeypatch):
    still(monkeypatch)
    image = jr.uniform(jr.key(0), (5, 7))
    np.testing.assert_allclose(data.augment(jr.key(1), image), image, atol=1e-5)


def mass_and_center(image):
    mass = image.sum()
    return mass, [(image * grid).sum() / mass for grid in np.indices(image.shape)]


@pytest.mark.parametrize("change", ["_TURN", "_SHEAR", "_ZOOM", "_SHIFT"])
def test_each_motion_alone_moves_the_image(monkeypatch, change):
    still(monkeypatch, change)
    image = np.zeros((24, 16), np.float32)
    image[8:16, 6:10] = 1
    moved = np.asarray(data.augment(jr.key(0), image))
    assert not np.allclose(moved, image, atol=0.05)
    mass, center = mass_and_center(moved)
    assert mass == pytest.approx(32, rel=0.05 if change != "_ZOOM" else 0.4)
    drift = np.abs(np.subtract(center, [11.5, 7.5]))
    # Only a shift moves the center, by at most an eighth of each side.
    assert (drift < (np.array([3.0, 2.0]) + 0.1 if change == "_SHIFT" else 0.1)).all()
    assert change != "_SHIFT" or drift.max() > 0.1


def test_a_turn_keeps_lengths(monkeypatch):
    still(monkeypatch, "_TURN")
    where = data._sources(jr.key(0), jnp.ones((6, 9)))
    start = jnp.indices((6, 9), jnp.float32)
    step = lambda grid, axis: jnp.linalg.norm(jnp.diff(grid, axis=axis), axis=0)
    for axis in 1, 2:
        np.testing.assert_allclose(step(where, axis), step(start, axis), rtol=1e-5)
    assert not np.allclose(where, start)


def test_grain_follows_the_scale_of_the_image():
    a, b = (data.augment(jr.key(0), scale * IMAGES[0]) for scale in (1, 16))
    np.testing.assert_allclose(16 * a, b, rtol=1e-4, atol=1e-4)


def test_vector_noise_follows_each_feature(monkeypatch):
    x = np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32)
    x = x * np.float32([[1.0, 100.0, 0.0]]) + np.float32(7)
    monkeypatch.setattr(data, "_DROP", 0.0)
    noise = np.asarray(data.two_views(jr.key(0), x)[0]) - x
    np.testing.assert_allclose(noise.std(0), [0.3, 30, 0], rtol=0.05, atol=1e-4)
    monkeypatch.setattr(data, "_DROP", 0.2)
    view = np.asarray(data.two_views(jr.key(0), x)[0])
    dropped = np.isclose(view[:, 0], x[:, 0].mean(), atol=1e-5)
    assert dropped.mean() == pytest.approx(0.2, abs=0.03)


def test_views_let_gradients_through_constant_features():
    f = lambda x: jnp.sum(data.two_views(jr.key(0), x)[0])
    gradient = jax.grad(f)(jnp.ones((400, 3)))
    assert set(gradient.ravel().tolist()) == {0, 1}  # dropped or kept
    assert gradient.mean() == pytest.approx(0.8, abs=0.03)


# ------------------------------------------------------------- halves and tokens


@pytest.mark.parametrize("width, half", [(4, 2), (5, 2)])
def test_halves(width, half):
    x = np.arange(2 * 3 * width).reshape(2, 3, width)
    left, right = data.halves(x)
    np.testing.assert_array_equal(left.reshape(2, 3, half), x[:, :, :half])
    np.testing.assert_array_equal(right.reshape(2, 3, half), x[:, :, width - half :])
    left, right = data.halves(x[0])
    np.testing.assert_array_equal(left, x[0, :, :half])
    np.testing.assert_array_equal(right, x[0, :, width - half :])


def test_patches_are_squares_in_reading_order():
    image = np.arange(15.0).reshape(1, 3, 5)
    patches = data.patches(image)
    assert patches.shape == (1, 6, 4)
    np.testing.assert_array_equal(patches[0, 0], [0, 1, 5, 6])
    np.testing.assert_array_equal(patches[0, 1], [2, 3, 7, 8])
    np.testing.assert_array_equal(patches[0, 5], [14, 0, 0, 0])


def test_tokens_say_which_patches_are_alike():
    patches = np.random.default_rng(0).normal(size=(3, 4))
    truth = np.random.default_rng(1).integers(0, 3, (20, 5))
    found = data.tokens(patches[truth].reshape(20, 20), words=3)
    assert found.shape == (20, 5) and found.dtype == np.int32
    pairs = set(zip(found.ravel().tolist(), truth.ravel().tolist(), strict=True))
    assert len(pairs) == 3


def test_tokens_are_fixed_by_the_seed():
    found = data.tokens(IMAGES, words=8, seed=0)
    assert found.shape == (64, 16) and set(found.ravel()) == set(range(8))
    np.testing.assert_array_equal(found, data.tokens(IMAGES, words=8, seed=0))
    assert (found != data.tokens(IMAGES, words=8, seed=1)).any()


def test_tokens_choose_words_from_a_sample(monkeypatch):
    whole = data.tokens(IMAGES, words=8)
    monkeypatch.setattr(data, "_SAMPLE", 200)
    sampled = data.tokens(IMAGES, words=8)
    assert sampled.shape == (64, 16) and (sampled != whole).any()
    monkeypatch.setattr(data, "_SAMPLE", 7)
    with pytest.raises(InvalidInput, match="^words: expected an integer from 1 to "):
        data.tokens(IMAGES, words=8)


def test_import_stays_light():
    code = "import sys, icon.data; print({'sklearn', 'flax'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_words_are_chosen_among_the_rows_that_are_named():
    images = data.digits().images[:80]
    other = np.concatenate([images[:60], images[60:] * 0])
    found = [data.tokens(x, 8, among=x[:60])[:60] for x in (images, other)]
    assert np.array_equal(*found)
    among_all = data.tokens(images, 8)[:60]
    assert not np.array_equal(found[0], among_all)
