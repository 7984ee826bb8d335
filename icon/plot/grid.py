"""Which columns and rows does the table have, and what is in its squares?"""

import dataclasses
from collections.abc import Collection, Sequence

from icon.plot.results import COLUMNS, ROWS, Picture


FEW = 12  # pictures: so many or fewer are shown large

Square = tuple[str, str]  # column, row


@dataclasses.dataclass(frozen=True)
class Grid:
    """The headings, the pictures of each square, and the squares that stand below."""

    columns: list[str]
    rows: list[str]
    squares: dict[Square, list[Picture]]
    beyond: list[Square]
    few: bool

    @property
    def most(self) -> int:
        """Pictures of the fullest square."""
        return max(map(len, self.squares.values()))


def grid(shown: Sequence[Picture]) -> Grid:
    """The paper's grid and what is beyond it; of few pictures, all that is in use."""
    squares = by_square(shown)
    if len(shown) > FEW:
        return Grid([*COLUMNS], [*ROWS], squares, beyond_grid(squares), False)
    columns = _in_use(COLUMNS, [column for column, _ in squares])
    return Grid(columns, _in_use(ROWS, [row for _, row in squares]), squares, [], True)


def _in_use(order: Sequence[str], names: Collection[str]) -> list[str]:
    """Those of the grid in its order, then the others as they first occur."""
    own = [name for name in order if name in names]
    return own + [name for name in dict.fromkeys(names) if name not in order]


def by_square(pictures: Sequence[Picture]) -> dict[Square, list[Picture]]:
    """The squares that are taken, in the order in which they first occur."""
    squares: dict[Square, list[Picture]] = {}
    for one in pictures:
        squares.setdefault((one.text["column"], one.text["row"]), []).append(one)
    return squares


def beyond_grid(squares: dict[Square, list[Picture]]) -> list[Square]:
    """Those of a column or a row that the grid has not."""
    return [at for at in squares if at[0] not in COLUMNS or at[1] not in ROWS]
