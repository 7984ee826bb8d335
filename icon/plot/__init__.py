"""What does it look like?"""

from icon.plot.clusters import choice, cluster_sizes, confusion, reliability, report
from icon.plot.curves import curves, history
from icon.plot.explorer import explorer
from icon.plot.film import Film
from icon.plot.neighborhoods import neighborhoods
from icon.plot.poster import table
from icon.plot.results import COLUMNS, ROWS, STATUS
from icon.plot.scatter import compare, embedding
from icon.plot.webpage import page


__all__ = [
    "COLUMNS",
    "Film",
    "ROWS",
    "STATUS",
    "choice",
    "cluster_sizes",
    "compare",
    "confusion",
    "curves",
    "embedding",
    "explorer",
    "history",
    "neighborhoods",
    "page",
    "reliability",
    "report",
    "table",
]
