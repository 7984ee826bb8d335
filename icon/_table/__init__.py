"""Which methods are there?"""

from icon._table import cells
from icon._table.cells import TABLE, Cell
from icon._table.check import Report, examine
from icon._table.formula import formula
