r"""How are ratings factored? A rating is a number near that of its row and its item.

    r_ui ~ N(m + b_u + c_i + u · v, 1)

With p = same(rating, levels) and q = unnormalized(gaussian(prediction, levels)), kl is
the mean of half the squared error, whose minimum over one side is a ridge regression.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float


class Factors(NamedTuple):
    """What a rating is predicted from."""

    mean: Any  # of all ratings
    rows: Any  # [n, k + 1], u and b
    items: Any  # [items, k + 1], v and c


def predicted(found: Factors, row, item):
    """The ratings of some rows for some items, one by one."""
    u, v = found.rows[row], found.items[item]
    return found.mean + u[:, -1] + v[:, -1] + (u[:, :-1] * v[:, :-1]).sum(1)


def start(ratings: Float[np.ndarray, "n items"], rank: int, seed: int) -> Factors:
    """Small random factors, and the mean of what is rated.

    Args:
        ratings: 0 where there is none.
        rank: how many numbers a row and an item have, beside their offsets.
        seed: of the factors.

    Example:
        >>> import numpy as np
        >>> from icon.recipes import factors
        >>> found = factors.start(np.array([[5.0, 0.0], [3.0, 1.0]]), 2, 0)
        >>> float(found.mean), found.rows.shape
        (3.0, (2, 3))
    """
    rng, (n, items) = np.random.default_rng(seed), ratings.shape
    normal = lambda count: rng.normal(size=(count, rank + 1)) / 10
    return Factors(ratings[ratings > 0].mean(), normal(n), normal(items))


def alternating_least_squares(
    ratings: Float[np.ndarray, "n items"],
    found: Factors,
    ridge: float = 1.0,
    steps: int = 60,
) -> Factors:
    r"""The two sides in turn, each the ridge regression on the other.

    $$\min_{u, b} \tfrac12 \sum_{ui} (r_{ui} - m - b_u - c_i - u \cdot v)^2 +
      \tfrac{\lambda}{2} (\|u\|^2 + b^2)$$

    Args:
        ratings: 0 where there is none.
        found: from where.
        ridge: λ, of every row and item.
        steps: of both sides.

    Example:
        >>> import numpy as np
        >>> from icon.recipes import factors
        >>> ratings = np.array([[4.0, 2.0, 0.0], [2.0, 1.0, 3.0], [0.0, 1.0, 3.0]])
        >>> begun = factors.start(ratings, 1, 0)
        >>> found = factors.alternating_least_squares(ratings, begun, 0.1, 50)
        >>> factors.predicted(found, [0], [2]).round(1).tolist()  # was not rated
        [3.7]

    Source: Koren, Bell & Volinsky, Matrix factorization techniques for recommender
    systems, 2009.
    """
    mean, rows, items = found
    for _ in range(steps):
        rows = _regressed(ratings, mean, items, ridge)
        items = _regressed(ratings.T, mean, rows, ridge)
    return Factors(mean, rows, items)


def _regressed(ratings, mean, other, ridge: float):
    """Each row's (u, b) on what it rates: (v, 1), with r - m - c as the target."""
    design = np.concatenate([other[:, :-1], np.ones((len(other), 1))], 1)
    rated = (ratings > 0).astype(float)
    target = rated * (ratings - mean - other[:, -1])
    width = design.shape[1]
    square = (design[:, :, None] * design[:, None]).reshape(len(other), -1)
    gram = (rated @ square).reshape(-1, width, width) + ridge * np.eye(width)
    return np.linalg.solve(gram, (target @ design)[:, :, None])[:, :, 0]
