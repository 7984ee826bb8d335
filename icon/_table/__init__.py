"""Which methods are there?"""

from icon._table import cells, evidence
from icon._table.cell import Cell, known, takes
from icon._table.cells import TABLE
from icon._table.check import Report, examine
from icon._table.evidence import TASKS
from icon._table.formula import formula
