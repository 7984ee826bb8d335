"""Who rated what? Choices by tastes that are known, and the files of MovieLens."""

import os

import numpy as np

from icon._base import checks as check
from icon._base.checks import InvalidInput
from icon.data.files import file, reading
from icon.data.record import Dataset, bounded, dataset


TASTES, SHARP, POPULAR = 4, 1.5, 0.7  # numbers of a taste; spread of scores by either
CHOSEN = 30  # by a user, on average
MIDDLE, SPREAD, NOISE = 3.5, 0.7, 0.6  # of ratings


def ratings(users: int = 1000, items: int = 400, seed: int = 0) -> Dataset:
    r"""Users with tastes who choose items and rate them, by numbers that are known.

    A user u of taste a_u chooses about 30 items without replacement, i with probability
    in proportion to exp(s_ui), and rates them around 3.5 in whole numbers from 1 to 5:

        s_ui = a_u · b_i + popularity_i,    r_ui = 3.5 + 0.7 z_ui + 0.6 noise

    with z the part of s by taste, of deviation 1. also["counts"] has 1 for what is
    chosen, also["ratings"] the ratings, 0 where there is none, and also["truth"] s.

    Args:
        users: how many, at least 2.
        items: how many, at least 40.
        seed: decides everything.

    Raises:
        InvalidInput: too few of either, or seed is no seed.

    Example:
        >>> from icon import data
        >>> found = data.ratings(50, 60)
        >>> found.also["ratings"].shape, bool((found.also["counts"].sum(1) >= 5).all())
        ((50, 60), True)
    """
    users, items = check.size("users", users, 2), check.size("items", items, 40)
    rng = np.random.default_rng(check.seed("seed", seed))
    taste, of_item = (rng.normal(size=(n, TASTES)) for n in (users, items))
    liked = taste @ of_item.T / TASTES**0.5
    score = SHARP * liked + POPULAR * rng.normal(size=items)
    count = rng.poisson(CHOSEN, users).clip(5, items // 4)
    # the largest of scores with Gumbel noise are draws without replacement
    order = np.argsort(np.argsort(-(score + rng.gumbel(size=score.shape)), 1), 1)
    chosen = order < count[:, None]
    rating = (
        MIDDLE + SPREAD * liked / liked.std() + NOISE * rng.normal(size=liked.shape)
    )
    rating = np.where(chosen, rating.round().clip(1, 5), 0)
    also = {"counts": chosen.astype(np.float32), "ratings": rating, "truth": score}
    return dataset("ratings", None, None, also)


# ------------------------------------------------------- files


BETWEEN = ("::", "\t", ",")  # ml-1m, ml-100k, ml-latest


def movielens(path: str | os.PathLike) -> Dataset:
    """The ratings of a MovieLens file: u.data, ratings.dat or ratings.csv.

    A line has a user, an item, a rating and a time, with tabs, "::" or commas between;
    a header is left out, and of two ratings of one item by one user the later line
    counts. Users and items are numbered from 0 in the order of their ids; `words` has
    the users' ids. also["ratings"] has the ratings, 0 where there is none, and
    also["counts"] 1 where there is one.

    Args:
        path: the file; users times items are held, at most 4 GiB of them.

    Raises:
        InvalidInput: no such file, a line that is no rating, too many users and items.

    Example:
        >>> import pathlib, tempfile
        >>> from icon import data
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "ratings.dat"
        >>> _ = path.write_text("1::1193::5::978300760\\n7::661::3::978302109\\n")
        >>> data.movielens(path).also["ratings"].tolist()
        [[0.0, 5.0], [3.0, 0.0]]

    Source: Harper & Konstan, The MovieLens datasets: history and context, 2015.
    """
    found = file("path", path)
    with reading("path", found):
        lines = found.read_text(encoding="utf-8").splitlines()
    numbers = _numbers(lines, found.name)
    (users, row), (items, column) = (
        np.unique(ids, return_inverse=True) for ids in numbers[:, :2].T
    )
    bounded(4 * len(users) * len(items))
    table = np.zeros((len(users), len(items)), np.float32)
    table[row, column] = numbers[:, 2]
    also = {"ratings": table, "counts": (table > 0).astype(np.float32)}
    words = tuple(str(int(user)) for user in users)
    return dataset(found.parent.name or found.stem, None, None, also)._replace(
        words=words
    )


def _numbers(lines: list[str], name: str) -> np.ndarray:
    """(user, item, rating) of each line."""
    expected = "lines of a user, an item, a rating above 0 and a time"
    first = lines[0] if lines else ""
    between = next((sign for sign in BETWEEN if sign in first), ",")
    header = not first.split(between)[0].strip().isdigit()
    found = []
    for at, line in enumerate(lines[header:], 1 + header):
        cells = line.split(between)
        try:
            user, item, rating = int(cells[0]), int(cells[1]), float(cells[2])
        except (ValueError, IndexError):
            got = f"{line[:60]!r} in line {at} of {name}"
            raise InvalidInput("path", got, expected) from None
        check.require(0 < rating < np.inf, "path", f"{rating} in line {at}", expected)
        found.append((user, item, rating))
    check.require(found, "path", f"no line in {name}", expected)
    return np.array(found)
