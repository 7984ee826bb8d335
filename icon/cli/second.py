"""Which file has the rows of another file in a second modality?"""

import dataclasses
import types
from pathlib import Path

from icon._base import checks as check
from icon.cli.shared import Selection, printed_warnings


@dataclasses.dataclass(frozen=True)
class Second:
    """The same rows in a second modality, which methods of pairs learn from."""

    second: Path | None = None
    """A file of the same rows in the same order in a second modality, read as the first
    is, for methods of pairs: PLS-SVD, CCA, CLIP, ...; by default the array `second` of
    an .npz. Of a folder of images --size is that of both."""
    second_features: tuple[str, ...] = ()
    """Which of its columns, or which array of an .npz; without a second file, those of
    the first."""

    def beside(self, dataset, file: Path | None, columns: Selection):
        """The data set with the second modality in `also`, where one is asked for."""
        from icon import data as datasets

        source = self.second
        if self.second is None and self.second_features:
            named = file is not None and columns.features
            expected = "the columns of the first modality, beside --second-features"
            check.require(named, "features", "None", expected)
            source = file
        if source is None:
            return dataset
        names = dict(path="second", features="second_features")
        features = list(self.second_features) or None
        with check.renamed(**names), printed_warnings():
            size = columns.size if Path(source).is_dir() else None
            other = datasets.load(source, features=features, size=size or None)
        _require_same_rows(dataset, other)
        rows = other.features if other.images is None else other.images
        also = types.MappingProxyType({**dataset.also, "second": rows})
        return dataset._replace(also=also)


def _require_same_rows(first, second) -> None:
    """As many rows, and where they have the same names, in the same order."""
    count, expected = len(second.features), len(first.features)
    check.require(count == expected, "second", f"{count} rows", f"{expected} rows")
    pairs = zip(first.words, second.words, strict=False)
    if {*first.words} == {*second.words}:
        moved = [i for i, (one, two) in enumerate(pairs) if one != two]
        got = f"{second.words[moved[0]]!r} in row {moved[0]}" if moved else ""
        check.require(not moved, "second", got, "rows in the order of the first file")
