"""Who shares a label, where some have none, and where labels are words?"""

import functools as ft

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter import interpret
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import icon


N, M = 8, 6
IDS = np.array([3, -1, 3, 0, -1, 0, 3, 7])  # of which two have no label, one is alone
OTHERS = np.array([0, 3, -1, 3, 7, -1])
RNG = np.random.default_rng


def points(n=N, seed=0):
    return jnp.asarray(RNG(seed).normal(size=(n, 3)))


# ------------------------------------------------------- by loops


def weights(a, b=None, ignore=None):
    """1 where two share a label that is not ignored, in Python's own equality."""
    others, found = a if b is None else b, []
    for i, x in enumerate(a):
        row = []
        for j, y in enumerate(others):
            itself = b is None and i == j
            row.append(float(x == y and x != ignore and not itself))
        found.append(row)
    return np.array(found)


def normalized(w):
    return np.stack([row / (row.sum() or 1) for row in w])


def loss_of(p, x, y=None, joint=False, by_mass=None):
    """KL(p ‖ dot(x, y)) and its gradient in the scores, row after row."""
    others = x if y is None else y
    score = np.array([[a @ b for b in others] for a in x])
    if y is None:
        np.fill_diagonal(score, -np.inf)
    q = np.exp(score)
    present = p.sum(1) > 0
    if joint:
        p, q = p / p.sum(), q / q.sum()
        share = np.ones(len(p))
    else:
        p, q = normalized(p), q / q.sum(1, keepdims=True)
        share = present / present.sum()
    listed = p > 0
    ratio = np.log(np.where(listed, p, 1) / np.where(listed, q, 1))
    value = sum(share[i] * (p[i] * ratio[i]).sum() for i in range(len(p)))
    total = p.sum() if joint else p.sum(1, keepdims=True)
    slope = share[:, None] * (q * total - p)
    if y is None:
        return value, slope @ x + slope.T @ x
    return value, slope @ y


# ------------------------------------------------------- what is ignored


PLACED = {
    "held": {},
    "in strips": dict(block=3),
    "jointly": dict(joint=True),
    "jointly, in strips": dict(joint=True, block=3),
}


@pytest.mark.parametrize("how", PLACED)
@pytest.mark.parametrize("sets", [1, 2])
def test_what_is_ignored_contributes_nothing(x64, sets, how):
    others, x = (None, OTHERS)[sets - 1], points()
    y = None if sets == 1 else points(M, 1)

    def loss(x, ignore):
        p = icon.same(IDS, others, ignore=ignore)
        return icon.kl(p, icon.dot(x, y), **PLACED[how])

    joint = PLACED[how].get("joint", False)
    p = weights(IDS, others, -1)
    known = loss_of(p, np.asarray(x), None if y is None else np.asarray(y), joint)
    for ignore in (jnp.int32(-1), np.int64(-1), np.int8(-1)):  # traced, inside
        found = interpret(jax.value_and_grad(loss), x, ignore)
        np.testing.assert_allclose(found[0], known[0], rtol=1e-9)
        np.testing.assert_allclose(found[1], known[1], rtol=1e-9, atol=1e-12)
    static = interpret(jax.value_and_grad(lambda x: loss(x, -1)), x)
    chex.assert_trees_all_equal(static, found)


def test_it_is_the_loss_of_the_labelled_with_all_as_candidates(x64):
    """Those left out of p stay what anchors are told apart from."""
    x = points()
    kept = np.flatnonzero(IDS != -1)
    p, q = icon.same(IDS, ignore=-1), icon.dot(x)
    found = np.asarray(icon.per_anchor(p, q).p_mass)
    assert np.array_equal(found == -np.inf, (IDS == -1) | (IDS == 7))
    unlike = np.where(IDS == -1, 100 + np.arange(N), IDS)  # a label each
    known = interpret(lambda x: icon.kl(icon.same(unlike), icon.dot(x)), x)
    np.testing.assert_allclose(icon.kl(p, q), known, rtol=1e-12)
    assert len(kept) < N


IGNORED = {
    "in tiles": lambda p, q: icon.kl(p, icon.tiled(q, 3, 4)),
    "as q": lambda p, q: icon.kl(p, icon.smooth(p, 0.4)),
    "both ways": lambda p, q: icon.both_ways(icon.kl)(p, q),
    "smoothed": lambda p, q: icon.kl(icon.smooth(p, 0.3), q),
    "mixed": lambda p, q: icon.kl(icon.mix(p, p, weights=[1.0, 2.0]), q),
    "a margin": lambda p, q: icon.cross_entropy(p, icon.margin(q, p, 0.5)),
    "jsd": lambda p, q: icon.jsd(p, q),
    "turned": lambda p, q: icon.kl(p.T, q.T),
}


@pytest.mark.parametrize("how", IGNORED)
@pytest.mark.parametrize("sets", [slow(1), 2])
def test_it_is_as_if_each_had_a_label_of_its_own(x64, sets, how):
    """Which is how all that is made of neighbourhoods treats a single item."""
    x, y = points(), None if sets == 1 else points(M, 1)
    others = (None, OTHERS)[sets - 1]
    alone = lambda ids, first: np.where(ids == -1, first + np.arange(len(ids)), ids)
    single = alone(IDS, 100), None if sets == 1 else alone(OTHERS, 200)

    def loss(x, *ids, **more):
        return IGNORED[how](icon.same(*ids, **more), icon.dot(x, y))

    found = interpret(lambda x: jax.value_and_grad(loss)(x, IDS, others, ignore=-1), x)
    known = interpret(lambda x: jax.value_and_grad(loss)(x, *single), x)
    chex.assert_trees_all_close(found, known, rtol=1e-12, atol=1e-14)


def test_smooth_leaves_an_ignored_anchor_alone_and_keeps_the_candidate():
    found = np.asarray(icon.dense(icon.smooth(icon.same(IDS, ignore=-1), 0.7)))
    share = 0.7 * (1 - np.eye(N)) / (N - 1)
    mixed = 0.3 * normalized(weights(IDS, None, -1)) + share
    mixed[(IDS == -1) | (IDS == 7)] = 0
    np.testing.assert_allclose(found, mixed, rtol=1e-5)


def test_among_a_list_what_is_ignored_is_no_neighbor():
    index = (np.arange(N)[:, None] + [1, 2, 3, 4]) % N
    found = icon.dense(icon.among(icon.same(IDS, ignore=-1), index))
    listed = np.zeros((N, N))
    np.put_along_axis(listed, index, 1.0, 1)
    exact = normalized(weights(IDS, None, -1) * listed)
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_a_mix_with_a_graph_follows_the_graph_where_there_is_no_label():
    w = np.roll(np.eye(N), 1, 1)
    found = icon.dense(icon.mix(icon.same(IDS, ignore=-1), icon.graph(w), [1.0, 1.0]))
    known = normalized(weights(IDS, None, -1))
    lonely = ~known.any(1)
    exact = np.where(lonely[:, None], w, (known + w) / 2)
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_the_ignored_label_is_a_leaf():
    """Another one needs no other program, and several are swept by vmap."""
    loss = lambda x, ids, ignore: icon.kl(icon.same(ids, ignore=ignore), icon.dot(x))
    of, x = jax.jit(loss), points()
    found = [of(x, IDS, ignore) for ignore in (-1, 3, 0, 50)]
    assert of._cache_size() == 1
    known = [loss_of(weights(IDS, None, k), np.asarray(x))[0] for k in (-1, 3, 0, 50)]
    np.testing.assert_allclose(found, known, rtol=1e-5)
    swept = jax.vmap(loss, (None, None, 0))(x, IDS, jnp.array([-1, 3, 0, 50]))
    np.testing.assert_allclose(swept, known, rtol=1e-5)


def test_spread_over_devices_it_is_the_same():
    n = jax.device_count()
    ids, x = jnp.tile(IDS, n), points(N * n)
    mesh = jax.make_mesh((n,), ("data",), axis_types=(AxisType.Auto,))

    def loss(x, ids, axis_name=None, ring=False):
        p, q = icon.same(ids, ignore=-1), icon.dot(x)
        if ring:
            return icon.kl(p, icon.sharded(q, axis_name, ring=True))
        return icon.kl(p, q, axis_name=axis_name)

    known = jax.value_and_grad(loss)(x, ids)
    for ring in (False, True):
        share = ft.partial(loss, axis_name="data", ring=ring)
        spread = jax.shard_map(
            share, mesh=mesh, in_specs=(P("data"), P("data")), out_specs=P()
        )
        found = jax.jit(jax.value_and_grad(spread))(x, ids)
        chex.assert_trees_all_close(found, known, rtol=1e-5, atol=1e-6)


def test_bits_do_not_depend_on_how_many_there_are_either():
    p, x = icon.same(IDS, ignore=-1), points()
    with icon.deterministic():
        found = jax.value_and_grad(lambda x: icon.kl(p, icon.dot(x)))(x)
    known = loss_of(weights(IDS, None, -1), np.asarray(x))
    np.testing.assert_allclose(found[0], known[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], known[1], rtol=1e-4, atol=1e-6)


def test_where_all_is_ignored_a_traced_loss_is_zero():
    loss = lambda x, ids: icon.kl(icon.same(ids, ignore=-1), icon.dot(x))
    ids = jnp.full(N, -1)
    value, gradient = interpret(jax.value_and_grad(loss), points(), ids)
    assert value == 0 and not np.any(gradient)


# ------------------------------------------------------- labels that are words


WORDS = st.lists(st.sampled_from(["", "a", "A", "a\0", "b", "ü"]), min_size=2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(WORDS, WORDS, st.sampled_from([None, "", "a", "nowhere"]), st.booleans())
def test_words_are_neighbors_where_they_are_equal(a, b, ignore, two_sets):
    """Coded together: a word of one set is the same word in the other."""
    b = b if two_sets else None
    exact = weights(a, b, ignore)
    if not exact.any():
        with pytest.raises(icon.InvalidInput):
            icon.same(a, b, ignore=ignore)
        return
    p = icon.same(a, b, ignore=ignore)
    np.testing.assert_allclose(interpret(icon.dense, p), normalized(exact), rtol=1e-6)


class Column:
    """A column of a table, as pandas and polars have: NumPy reads it."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype or object)


CAT = ["cat", "dog", "cat", "unknown", "unknown"]
READ = {
    "a list": lambda x: list(x),
    "a tuple": lambda x: tuple(x),
    "an array": lambda x: np.array(x),
    "an array of objects": lambda x: np.array(x, object),
    "strings of any length": lambda x: np.array(x, np.dtypes.StringDType()),
    "a column": lambda x: Column(x),
    "strings of NumPy": lambda x: [np.str_(word) for word in x],
}


@pytest.mark.parametrize("how", READ)
def test_words_are_read_however_they_are_kept(how):
    read = READ[how]
    p = icon.same(read(CAT), ignore="unknown")
    assert p.anchors.dtype == jnp.int32
    exact = normalized(weights(CAT, None, "unknown"))
    np.testing.assert_allclose(icon.dense(p), exact)
    p = icon.same(read(CAT), np.array(["dog", "cat"]), ignore="unknown")
    exact = normalized(weights(CAT, ["dog", "cat"], "unknown"))
    np.testing.assert_allclose(icon.dense(p), exact)


def test_categories_of_pandas():
    pandas = pytest.importorskip("pandas")
    for made in (pandas.Categorical(CAT), pandas.Series(CAT), pandas.Index(CAT)):
        exact = normalized(weights(CAT, None, "unknown"))
        found = icon.dense(icon.same(made, ignore="unknown"))
        np.testing.assert_allclose(found, exact)
    numbers = pandas.Categorical([3, 1, 3, -1, -1])
    found = icon.dense(icon.same(numbers, ignore=-1))
    np.testing.assert_allclose(found, normalized(weights([3, 1, 3, -1, -1], None, -1)))


def test_words_that_are_known_may_be_used_inside_of_a_jit():
    loss = lambda x: icon.kl(icon.same(CAT, ignore="unknown"), icon.dot(x))
    x = points(5)
    known = loss_of(weights(CAT, None, "unknown"), np.asarray(x))[0]
    np.testing.assert_allclose(jax.jit(loss)(x), known, rtol=1e-5)


# ------------------------------------------------------- what is refused


LIKE = "ids that are all different"
BAD = {
    "words against numbers": (
        *("candidates", "integers", "strings, as anchors are"),
        lambda: icon.same(CAT, [0, 1]),
    ),
    "numbers against words": (
        *("candidates", "strings", "integers, as anchors are"),
        lambda: icon.same([0, 1], CAT),
    ),
    "a number among words": (
        *("anchors", "a int at entry 1 of strings", None),
        lambda: icon.same(["a", 1, "a"]),
    ),
    "a word among numbers": (
        *("candidates", "a float at entry 0 of strings", None),
        lambda: icon.same(["a"], [1.5, "a"]),
    ),
    "a missing word": (
        *("anchors", "a NoneType at entry 2 of strings", None),
        lambda: icon.same(np.array(["a", "a", None], object)),
    ),
    "no number among words": (
        *("anchors", "a float at entry 1 of strings", None),
        lambda: icon.same(Column(["a", np.nan, "a"])),
    ),
    "a word": ("anchors", "shapes ()", "one vector of ids", lambda: icon.same("ab")),
    "a table of words": (
        *("anchors", "shapes (1, 2)", "one vector of ids"),
        lambda: icon.same([["a", "a"]]),
    ),
    "no words": (
        *("anchors", "shape (0,)", "at least one entry"),
        lambda: icon.same(np.array([], str)),
    ),
    "bytes": (
        *("anchors", "dtype |S1", "integers"),
        lambda: icon.same([b"a", b"a"]),
    ),
    "nan": (
        *("anchors", "dtype float64", "integers"),
        lambda: icon.same([0.0, np.nan, 0.0], ignore=-1),
    ),
    "a word to ignore among numbers": (
        *("ignore", "strings", "integers, as anchors are"),
        lambda: icon.same(IDS, ignore=""),
    ),
    "a number to ignore among words": (
        *("ignore", "integers", "strings, as anchors are"),
        lambda: icon.same(CAT, ignore=-1),
    ),
    "two to ignore": (
        *("ignore", "shape (2,)", "an integer"),
        lambda: icon.same(IDS, ignore=[-1, 7]),
    ),
    "a float to ignore": (
        *("ignore", "dtype float64", "an integer"),
        lambda: icon.same(IDS, ignore=-1.0),
    ),
    "all different, or ignored": (
        *("anchors", f"{LIKE}, or ignored", None),
        lambda: icon.same([0, -1, 1, -1], ignore=-1),
    ),
    "all ignored": (
        *("anchors", f"{LIKE}, or ignored", None),
        lambda: icon.same(["", "", ""], ignore=""),
    ),
    "in the other set, all ignored": (
        *("candidates", "no id of an anchor", None),
        lambda: icon.same([0, -1], [-1, 2], ignore=-1),
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_labels_are_refused(what):
    argument, got, expected, call = BAD[what]
    with pytest.raises(icon.InvalidInput) as error:
        call()
    assert (error.value.argument, error.value.got) == (argument, got)
    assert expected in (None, error.value.expected)


# ------------------------------------------------------- as labels


@pytest.mark.parametrize("ignore", [None, -1])
@pytest.mark.parametrize("others", [None, OTHERS])
def test_as_labels_its_neighbours_are_those_that_agree(others, ignore):
    p = icon.same(IDS, others, ignore=ignore)
    a, b, present = map(np.asarray, p.as_labels())
    agree = (a[:, None] == b[None]) & present[:, None]
    if others is None:
        agree &= ~np.eye(N, dtype=bool)
    np.testing.assert_array_equal(agree, weights(IDS, others, ignore) > 0)


def test_what_is_more_than_labels_has_none():
    p = icon.same(IDS)
    assert icon.gaussian(points()).as_labels() is None
    assert icon.smooth(p, 0.5).as_labels() is None
    assert icon.reweigh(p, np.ones(N)).as_labels() is None
    assert icon.wide(p).as_labels() is None
