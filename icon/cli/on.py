"""What are the rows of a table trained on, and for how long?"""

import dataclasses
from pathlib import Path
from typing import Any

from icon._base import checks as check
from icon._table import known
from icon.cli.names import digests, imported
from icon.cli.shared import Selection, printed_warnings


@dataclasses.dataclass(frozen=True)
class On:
    """What rows are trained on, how long, and what is not the usual."""

    data: str | None = None
    """A .csv, .tsv, .parquet, .npy or .npz file, a folder of images, or a set that
    comes with icon: digits, mnist1d, python_docs, ...; by default, for each row the set
    that tells most about it."""
    columns: Selection = Selection()
    also: tuple[str, ...] = ()
    """Further arrays or columns of the file, as NAME=COLUMN: second=text time=day."""
    model: str | None = None
    """FILE.py:NAME of a network: Flax, Equinox, a function that makes one, or a pair
    (init, apply)."""
    views: str | None = None
    """FILE.py:NAME of (key, rows) -> rows, a random change that keeps their meaning."""
    metric: str | None = None
    """FILE.py:NAME of (z, m) -> a number, shown first."""
    points: int | None = None
    """Rows of data at most, sampled by the seed; by default 5,000."""
    steps: int | None = None
    """Of training; by default 750 of points, 600 of networks."""
    seed: int = 0
    """Decides the split, every start and every batch."""
    quick: bool = False
    """Fewer points and steps, to see every row in little time."""

    def settings(self, *cells: str) -> dict[str, Any]:
        """All of it as a file keeps it, with a digest of every file that it is of."""
        files = digests(*cells, self.data, self.model, self.views, self.metric)
        own = {**dataclasses.asdict(self), **self.columns.asked()}
        own["size"] = list(self.columns.size)
        del own["columns"]
        return own | {"also": list(self.also), "files": files}

    def bench(self):
        """What rows are trained on, made ready."""
        from icon import recipes

        check.seed("seed", self.seed)
        budget = recipes.QUICK if self.quick else recipes.FULL
        return recipes.Bench(
            self._dataset(),
            recipes.spent(budget, self.points, self.steps),
            imported("model", self.model),
            imported("views", self.views),
            imported("metric", self.metric),
        )

    def _dataset(self):
        from icon import data as datasets

        read: dict[str, Any] = self.columns.asked() | dict(also=self._also())
        if self.data is None or self.data in datasets.SETS:
            for name, given in read.items():
                check.require(not given, name, repr(given), "None without a file")
            return self.data
        check.path("data", self.data)
        if not Path(self.data).exists() and not Path(self.data).suffix:
            known("data", self.data, (*datasets.SETS, "a file"))
        with printed_warnings():
            found = datasets.load(self.data, **read)
        count = len(found.features)
        check.require(count > 1, "data", f"{count} rows", "two rows or more")
        return found

    def _also(self) -> dict[str, str] | None:
        pairs = [pair.partition("=") for pair in self.also]
        for name, equals, column in pairs:
            got = f"{name}{equals}{column}"
            check.require(name and column, "also", repr(got), "NAME=COLUMN")
        return {name: column for name, _, column in pairs} or None
