"""Which earlier rows does a batch bring along? Its neighbours in an even sample."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Reservoir(NamedTuple):
    """Some of the rows seen so far, each with the same probability.

    Example:
        >>> import numpy as np
        >>> from icon.recipes.reservoir import Reservoir
        >>> kept = Reservoir(np.zeros((0, 1)), 3, 0)
        >>> kept = kept.after(np.array([[1.0], [2.0], [3.0], [4.0]]))
        >>> kept.seen, len(kept.rows), len(set(kept.rows[:, 0]))
        (4, 3, 3)

    Source: Vitter, Random sampling with a reservoir, 1985.
    """

    rows: Float[np.ndarray, "m d"]
    size: int  # rows at most
    seen: int

    def after(self, x: Float[np.ndarray, "b d"], seed: int = 0) -> "Reservoir":
        """The same after a batch: row t takes a place with probability size / t."""
        free = self.size - len(self.rows)
        rows, late = np.concatenate([self.rows, x[:free]]), x[free:]
        seen = self.seen + len(x)
        turn = np.arange(seen - len(late), seen) + 1
        place = np.random.default_rng((seed, seen)).integers(turn)
        taken = place < len(rows)
        rows[place[taken]] = late[taken]
        return Reservoir(rows, self.size, seen)

    def resized(self, size: int, seed: int = 0) -> "Reservoir":
        """The same with another limit: some of its rows, where it has more."""
        if size >= len(self.rows):
            return self._replace(size=size)
        some = np.random.default_rng((seed, size)).permutation(len(self.rows))[:size]
        return self._replace(rows=self.rows[np.sort(some)], size=size)


def nearest_first(index: Int[np.ndarray, "b k"], rows: int, count: int):
    """Of so many rows, those that most of all are neighbours: ids, each once.

    First the nearest one of every anchor, then the second, and so on; last the others.

    Args:
        index: the neighbours of every anchor, the nearest first.
        rows: how many rows the neighbours are of.
        count: how many ids to return, at most `rows`.

    Example:
        >>> import numpy as np
        >>> from icon.recipes.reservoir import nearest_first
        >>> nearest_first(np.array([[2, 0], [2, 3]]), 5, 4).tolist()
        [2, 0, 3, 1]
    """
    ids = np.concatenate([index.T.ravel(), np.arange(rows)])
    first = np.sort(np.unique(ids, return_index=True)[1])
    return ids[first[:count]]
