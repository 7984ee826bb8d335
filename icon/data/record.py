"""What is known of the rows?"""

import math
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int32

from icon._base import checks as check
from icon._base.checks import InvalidInput, position


LIMIT = 4 << 30  # bytes of a file once unpacked, or of what is made of it

Where = Callable[[tuple[int, ...]], str]  # an index in words


class Dataset(NamedTuple):
    """Rows to learn from, on the host, with whatever else is known of them.

    What `also` has under these names is used by what needs it: "second", the rows in
    another modality [n, ...]; "time" [n]; "tokens", int [n, t], words in order;
    "counts" [n, items]; "ratings" [n, items], 0 where there is none; "logits" [n, C];
    "graph", a symmetric `scipy.sparse.csr_array` [n, n] of weights; "tags" [n, L] of 0
    and 1; "hierarchy", int [n, levels], a label of each level; "side" [n] or [n, k],
    what is known beside of a row, as of its caption; "train" [n], whether a row may be
    learned from: the split.

    Args:
        name: what to call it.
        features: float32 [n, d].
        labels: int32 [n], counted from 0, -1 for a row without a label; or None.
        images: float32 [n, h, w], or [n, h, w, c] in colour, the same rows as
            pictures; or None.
        also: further arrays [n, ...] by name.
        views: (key, x [b, ...]) -> x [b, ...], a random change of each row that keeps
            its meaning; None: what `two_views` does to rows of that shape.
        classes: the names of the classes 0, 1, ..., where they have names.
        words: what the tokens 0, 1, ... stand for; without tokens, what the rows are
            called.

    Example:
        >>> from icon import data
        >>> data.digits().features.shape
        (1797, 64)
    """

    name: str
    features: Float[np.ndarray, "n d"]
    labels: Int32[np.ndarray, " n"] | None = None
    images: Float[np.ndarray, "n h w"] | Float[np.ndarray, "n h w c"] | None = None
    also: Mapping[str, Any] = types.MappingProxyType({})
    views: Callable | None = None
    classes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


class Read(NamedTuple):
    """What was found in a file, before it is checked."""

    features: np.ndarray | None
    labels: np.ndarray | None
    also: dict[str, Any] = {}
    where: Where = position
    words: tuple[str, ...] = ()  # what the rows are called
    note: str = ""  # what was left out, to be warned of


LABELS = ("label", "labels", "y")  # whoever has such a name has the labels


def label_name(names: Sequence[str], labels: str | None) -> str | None:
    """Which of some names is that of the labels, if one is."""
    if labels is not None:
        check.one_of("labels", labels, names)
    return labels or next((name for name in LABELS if name in names), None)


def dataset(
    name: str,
    values: np.ndarray | None,
    labels: np.ndarray | None = None,
    also: Mapping[str, Any] | None = None,
    where: Where = position,
) -> Dataset:
    """A data set of arrays as they are found, checked and brought to its dtypes.

    Args:
        name: what to call it.
        values: rows [n, d], or images [n, h, w] or [n, h, w, 3], of bytes from 0 to 255
            or of floats; None: made of a graph, counts or tokens.
        labels: [n], integers or names; -1 or "" where a row has none.
        also: what else is known of the rows, as `Dataset` names it; "edges" [m, 2] or
            [m, 3] become a graph, labels of levels are counted.
        where: an index in the words of a message.

    Raises:
        InvalidInput: an array of another shape or kind than its name asks for.

    Example:
        >>> import numpy as np
        >>> from icon import data
        >>> set_of_three = data.dataset("three", np.eye(3), np.array(["a", "b", "a"]))
        >>> set_of_three.labels.tolist(), set_of_three.classes
        ([0, 1, 0], ('a', 'b'))
    """
    if values is not None and not (is_rows(values.shape) and values.size):
        expected = "rows [n, d] or images [n, h, w] or [n, h, w, 3], at least one"
        raise InvalidInput("features", f"shape {values.shape}", expected)
    sized = [x for x in (values, labels) if x is not None and x.ndim]
    rows = len(sized[0]) if sized else None
    also = checked(dict(also or {}), rows, where)
    x = _pixels("features", values, where) if values is not None else derived(also)
    for key, value in also.items():
        expected = f"{len(x)} rows, as many as of the features"
        fits = value.shape[0] == len(x)
        check.require(fits, named(key), f"shape {value.shape}", expected)
    known, classes = (None, ()) if labels is None else factors(labels, len(x), where)
    images = None if x.ndim == 2 else x
    also = types.MappingProxyType(also)
    flat = x.reshape(len(x), -1)
    return Dataset(name, flat, known, images, also, classes=classes)


def is_rows(shape: tuple[int, ...]) -> bool:
    """Whether an array can be rows, or grey or colour images."""
    return len(shape) in (2, 3) or (len(shape) == 4 and shape[-1] == 3)


def bounded(size: int, argument: str = "path") -> None:
    check.require(size <= LIMIT, argument, f"{size} bytes", f"at most {LIMIT} bytes")


def _pixels(argument: str, values: np.ndarray, where: Where) -> np.ndarray:
    """Finite float32, images of bytes from 0 to 1."""
    x = check.reals(argument, values, np.float32, where)
    scaled = values.ndim in (3, 4) and values.dtype == np.uint8
    return x / np.float32(255) if scaled else x


# ------------------------------------------------------- labels


def factors(
    values: np.ndarray, n: int, where: Where, argument: str = "labels"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels counted from 0, -1 where there is none, and their names if they are names.

    On the host, since a device may have no int64.
    """
    if values.shape != (n,):
        raise InvalidInput(argument, f"shape {values.shape}", f"shape ({n},)")
    if values.dtype.kind not in "biufUS":
        raise InvalidInput(argument, f"dtype {values.dtype}", "integers or names")
    named = values.dtype.kind in "US"
    values = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
    missing = values == "" if named else (values == -1) | np.isnan(values)
    if values.dtype.kind == "f":
        wrong = ~np.isfinite(values) | (np.trunc(values) != values)
        _refuse(argument, values, wrong & ~missing, "integers or names", where)
    if missing.all():
        got = f"{values[0].item()!r} at {where((0,))} and in all other rows"
        raise InvalidInput(argument, got, "a label in at least one row")
    found, index = np.unique(values[~missing], return_inverse=True)
    labels = np.full(n, -1, np.int32)
    labels[~missing] = index
    return labels, tuple(found.tolist()) if named else ()


def _refuse(argument: str, values, bad, expected: str, where: Where) -> None:
    if bad.any():
        at = tuple(np.argwhere(bad)[0].tolist())
        raise InvalidInput(argument, f"{values[at]} at {where(at)}", expected)


# ------------------------------------------------------- further arrays


class Kind(NamedTuple):
    """What the arrays of a name hold; integers where the dtype is one."""

    dtype: Any
    ranks: tuple[int, ...]
    low: float = -math.inf
    high: float = math.inf
    axes: str = "[n, ...]"


WHOLE = 2**31 - 1
KINDS = {
    "second": Kind(np.float32, (1, 2, 3, 4)),
    "time": Kind(np.float64, (1,), axes="[n]"),  # float32 has seconds to 128 s only
    "tokens": Kind(np.int32, (2,), 0, WHOLE, "[n, t]"),
    "counts": Kind(np.float32, (2,), 0, axes="[n, items]"),
    "ratings": Kind(np.float32, (2,), 0, axes="[n, items]"),
    "logits": Kind(np.float32, (2,), axes="[n, classes]"),
    "tags": Kind(np.int32, (2,), 0, 1, "[n, tags]"),
    "side": Kind(np.float32, (1, 2), axes="[n] or [n, k]"),
    "train": Kind(np.bool, (1,), 0, 1, "[n]"),
}
STANDARD = (*KINDS, "graph", "hierarchy", "edges")
DERIVE = ("graph", "counts", "tokens")


def named(name: str) -> str:
    """How an entry of `also` is written."""
    return f"also[{name!r}]"


def checked(also: dict[str, Any], rows: int | None, where: Where) -> dict[str, Any]:
    """Each array as its name asks for; edges become a graph."""
    place = lambda i: ", ".join([where(i[:1]), *(f"column {j}" for j in i[1:2])])
    if "edges" in also:
        clash = "graph" in also
        check.require(not clash, named("edges"), "a graph too", "edges or a graph")
        also["graph"] = edges_to_graph(also.pop("edges"), rows)
    return {name: _checked(name, value, place) for name, value in also.items()}


def _checked(name: str, value, where: Where):
    argument = named(name)
    if name == "graph":
        return symmetric(argument, value)
    if name == "hierarchy":
        got, expected = f"shape {value.shape}", "labels [n, levels]"
        check.require(value.ndim == 2 and value.size, argument, got, expected)
        place = lambda level: lambda i: f"{where(i)}, column {level}"
        levels = [
            factors(column, len(value), place(level), argument)[0]
            for level, column in enumerate(value.T)
        ]
        return np.stack(levels, 1)
    if name in KINDS:
        return _numbers(argument, value, KINDS[name], where)
    return _numbers(argument, value, _own(value), where)


def _own(value: np.ndarray) -> Kind:
    """What an array of any other name holds."""
    ranks = tuple(range(1, 33))
    if value.dtype.kind == "b":
        return Kind(np.bool, ranks)
    if value.dtype.kind in "iu":
        return Kind(np.int32, ranks, -WHOLE - 1, WHOLE)
    return Kind(np.float32, ranks)


def _numbers(argument: str, value, kind: Kind, where: Where) -> np.ndarray:
    good = value.ndim in kind.ranks and value.size
    got, expected = f"shape {value.shape}", f"numbers {kind.axes}"
    check.require(good, argument, got, expected)
    if kind.dtype == np.float32:
        _refuse_below(argument, value, kind, where)
        return _pixels(argument, value, where)
    x = check.reals(argument, value, None, where)
    whole = np.issubdtype(kind.dtype, np.integer)
    _refuse_below(argument, x, kind, where)
    if whole and x.dtype.kind == "f":
        _refuse(argument, x, np.trunc(x) != x, "whole numbers", where)
    return x.astype(kind.dtype)


def _refuse_below(argument: str, value, kind: Kind, where: Where) -> None:
    x = check.reals(argument, value, None, where)
    top = "" if kind.high == math.inf else f" to {kind.high:g}"
    outside = (x < kind.low) | (x > kind.high)
    _refuse(argument, x, outside, f"numbers from {kind.low:g}{top}", where)


# ------------------------------------------------------- graphs


def edges_to_graph(edges: np.ndarray, rows: int | None) -> Any:
    """The graph of a list of edges (a, b) or (a, b, weight), as a csr_array.

    w_ij = w_ji, the sum over all edges between i and j, and w_ii = 0.
    """
    from scipy.sparse import csr_array

    argument, got = named("edges"), f"shape {edges.shape}"
    columns = edges.ndim == 2 and edges.shape[1] in (2, 3) and len(edges)
    check.require(columns, argument, got, "edges [m, 2] or [m, 3]: (a, b, weight)")
    edges = check.reals(argument, edges, None)
    most = WHOLE if rows is None else rows - 1
    ends = edges[:, :2]
    kind = Kind(np.int64, (2,), 0, most)
    _refuse_below(argument, ends, kind, position)
    if ends.dtype.kind == "f":
        _refuse(argument, ends, np.trunc(ends) != ends, "whole numbers", position)
    a, b = ends.astype(np.int64).T
    n = int(ends.max()) + 1 if rows is None else rows
    bounded(8 * (n + 1), argument)
    weights = edges[:, 2] if edges.shape[1] == 3 else np.ones(len(edges))
    half = csr_array((weights.astype(np.float64), (a, b)), shape=(n, n))
    check.require(np.isfinite(half.data).all(), argument, "inf", "finite sums")
    return half + half.T


def symmetric(argument: str, graph: Any) -> Any:
    """A graph of weights from 0, as float32, the diagonal dropped.

    A matrix that is not symmetric is added to its transpose: each entry is an edge.
    """
    from scipy.sparse import coo_array, csr_array

    shape = graph.shape
    square = len(shape) == 2 and shape[0] == shape[1] and shape[0]
    check.require(square, argument, f"shape {shape}", "a graph [n, n]")
    graph = coo_array(graph)
    data = check.reals(argument, graph.data, np.float64)
    bad = np.flatnonzero(data < 0)
    if bad.size:
        at = tuple(int(i[bad[0]]) for i in graph.coords)
        got = f"{data[bad[0]]} at {position(at)}"
        raise InvalidInput(argument, got, "weights from 0")
    off = (graph.coords[0] != graph.coords[1]) & (data > 0)
    a, b = (i[off] for i in graph.coords)
    whole = csr_array((data[off], (a, b)), shape=shape)
    if abs(whole - whole.T).nnz:
        whole = whole + whole.T
    data = check.reals(argument, whole.data, np.float32)
    # scikit-learn takes indices of 32 bits only
    index = whole.indices.astype(np.int32), whole.indptr.astype(np.int32)
    return csr_array((data, *index), shape=shape)


# ------------------------------------------------------- features from the rest


def derived(also: Mapping[str, Any]) -> np.ndarray:
    """Features of rows that are known by their graph, their counts or their tokens."""
    if "graph" in also:
        return spectral(also["graph"])
    if "counts" in also:
        return np.log1p(also["counts"])
    if "tokens" in also:
        return np.log1p(word_counts(also["tokens"]))
    expected = f"features, or one of {', '.join(DERIVE)} to make them of"
    raise InvalidInput("features", "None", expected)


def spectral(graph: Any, width: int = 32) -> np.ndarray:
    """The Laplacian's first eigenvectors, each of standard deviation 1: [n, width]."""
    from sklearn.manifold import spectral_embedding

    n = graph.shape[0]
    expected = "a graph of three or more rows, or features"
    check.require(n >= 3, named("graph"), f"{n} rows", expected)
    with warnings.catch_warnings():
        # The first eigenvectors of a graph in pieces separate them.
        warnings.filterwarnings("ignore", "Graph is not fully connected")
        columns = min(width, n - 2)
        made = spectral_embedding(
            graph.astype(np.float64), n_components=columns, random_state=0
        )
    deviation = np.asarray(made).std(0)
    return (made / np.where(deviation > 0, deviation, 1)).astype(np.float32)


def word_counts(tokens: np.ndarray, words: int | None = None) -> np.ndarray:
    """How often each word is in each row: float32 [n, words]."""
    n = len(tokens)
    words = int(tokens.max()) + 1 if words is None else words
    bounded(4 * n * words, named("tokens"))
    found = np.zeros((n, words), np.float32)
    row, column = np.nonzero(tokens < words)
    np.add.at(found, (row, tokens[row, column]), np.float32(1))
    return found
