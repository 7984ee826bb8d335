"""What can be done from a terminal? icon table, embed, cluster, explore, ..."""

from icon.cli.names import find
from icon.cli.run import main
from icon.cli.table import FILES
