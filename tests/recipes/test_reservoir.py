"""Is what is kept an even sample, and what a batch brings along near to it?"""

import numpy as np
import pytest

from icon.recipes.reservoir import Reservoir, nearest_first


def filled(batches, size: int, seed: int) -> Reservoir:
    kept = Reservoir(np.empty((0, 1)), size, 0)
    for batch in batches:
        kept = kept.after(batch, seed)
    return kept


@pytest.mark.parametrize("ends", [[20], [4, 9, 20], [8, 20]])
def test_every_row_is_kept_as_often(ends):
    x = np.arange(20.0)[:, None]
    batches, runs, size = np.split(x, ends[:-1]), 4000, 8
    count = np.zeros(20)
    for seed in range(runs):
        kept = filled(batches, size, seed)
        assert kept.seen == 20 and len(kept.rows) == size
        count += np.bincount(kept.rows[:, 0].astype(int), minlength=20)
        assert count.max() <= seed + 1  # none twice
    share = size / 20
    deviation = (share * (1 - share) / runs) ** 0.5
    assert abs(count / runs - share).max() < 4 * deviation


def test_as_long_as_there_is_room_all_are_kept():
    x = np.arange(6.0)[:, None]
    assert (filled([x[:4], x[4:]], 9, 0).rows == x).all()
    assert filled([x], 0, 0).rows.shape == (0, 1)


@pytest.mark.parametrize(("size", "kept"), [(2, 2), (5, 5), (9, 6), (0, 0)])
def test_another_limit_keeps_some_of_the_rows(size, kept):
    before = filled([np.arange(6.0)[:, None]], 6, 0)
    after = before.resized(size)
    assert len({*after.rows[:, 0]} & {*range(6)}) == len(after.rows) == kept
    assert (after.size, after.seen) == (size, 6)


def test_what_was_kept_before_is_not_changed():
    kept = filled([np.zeros((3, 1))], 3, 0)
    kept.after(np.ones((9, 1)), 1)
    assert (kept.rows == 0).all()


@pytest.mark.parametrize(
    ("count", "expected"), [(2, [3, 4]), (4, [3, 4, 1, 2]), (6, [3, 4, 1, 2, 0, 5])]
)
def test_the_nearest_of_every_anchor_come_first(count, expected):
    index = np.array([[3, 1], [4, 3], [3, 2], [1, 2]])
    assert nearest_first(index, 6, count).tolist() == expected
