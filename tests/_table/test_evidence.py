"""Is everything that p can be built from made by a source, used, and tried?"""

from recipes.test_own import CELLS

import icon
from icon import recipes
from icon._table import TASKS
from icon._table.evidence import COLUMNS, FAMILIES
from icon.recipes.tasks import BY_COLUMN


def test_every_name_has_a_source_and_every_source_a_name():
    assert {*TASKS} == {*recipes.SOURCES}
    assert [*TASKS] == [*recipes.SOURCES]  # in one order


def test_every_source_is_used_by_a_row_or_tried_on_data_of_ones_own():
    by_rows = {cell.learns_from for cell in icon.TABLE.values()}
    of_ones_own = {cell.learns_from or BY_COLUMN[cell.column] for cell, _ in own()}
    assert by_rows | of_ones_own == {*recipes.SOURCES}
    assert not by_rows - {*recipes.SOURCES}


def own():
    return CELLS.values()


def test_every_family_and_every_column_has_a_row():
    assert {cell.row for cell in icon.TABLE.values()} == {*FAMILIES}
    assert {cell.column for cell in icon.TABLE.values()} == {*COLUMNS}
    assert {*BY_COLUMN} == {*COLUMNS}


def test_what_p_and_q_are_handed_is_said():
    for name, both in TASKS.items():
        assert len(both) == 2 and all(map(str.strip, both)), name
