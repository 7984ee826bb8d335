"""What must a row of the table reach, to be what its name says?"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from icon._table import Cell


class Floor(NamedTuple):
    """What a score has to reach.

    Args:
        score: its name.
        value: at least, or of an error at most.
        why: where the number comes from.
        least: whether a lower score is better.
    """

    score: str
    value: float
    why: str
    least: bool = False


FLOORS: dict[str, Floor] = {}


def floor_of(
    cell: Cell, found: Mapping[str, Any], usual: bool
) -> dict[str, Any] | None:
    """The floor of a row on the data that it was set for, and whether it is held."""
    floor = FLOORS.get(cell.name)
    if floor is None or not usual or floor.score not in found["scores"]:
        return None
    value = found["scores"][floor.score]
    held = value <= floor.value if floor.least else value >= floor.value
    return dict(score=floor.score, value=floor.value, held=held, why=floor.why)
