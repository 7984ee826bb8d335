"""What does it look like?"""

from icon.plot.clusters import choice, cluster_sizes, confusion, reliability, report
from icon.plot.poster import table
from icon.plot.results import COLUMNS, ROWS, STATUS
from icon.plot.scatter import embedding, history
from icon.plot.webpage import page


__all__ = [
    "COLUMNS",
    "ROWS",
    "STATUS",
    "choice",
    "cluster_sizes",
    "confusion",
    "embedding",
    "history",
    "page",
    "reliability",
    "report",
    "table",
]
