"""What is a row of results? Checked once, for the poster and for the page."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt

from icon._base import checks as check
from icon.plot.colors import classes, matched, palette
from icon.plot.ink import printable


COLUMNS = (
    "Gaussian",
    "Student-t",
    "Identity",
    "Graph",
    "kNN",
    "Positive pairs",
    "Cross-modal pairs",
    "Classes",
    "Data-label pairs",
)
ROWS = ("Gaussian", "σ → ∞", "σ → 0", "Student-t", "Clusters")
STATUS = {
    "known": "known: published before the table",
    "predicted": "predicted: a grey square of the paper",
    "new": "new: a white square of the paper, filled",
}

TITLE = "every method minimises   Eᵢ KL( p(·|i) ‖ q(·|i) )"
P, Q, BEYOND = "p: what supervises →", "q: what learns ↓", "beyond the grid"
READING = (
    "Each picture is one method, its points colored by class. The bar is its score, "
    "the tick on it that of the raw data. Rings mark clusters, colored by the class "
    "they match."
)
WHISKER = "The whisker on a bar is one standard error of the score each side."
FLOORS = "A short tick is the floor of a score; a red outline marks one below it."

GRID = 65535  # the largest coordinate of a picture
_MOST = 3000  # points of one picture: more are ink, not information
_TEXTS = ("name", "column", "row", "status", "p", "q", "loss", "reference")
_MORE = ("protocol", "note", "trained")
_NEEDED = ("name", "column", "row", "status", "z")

Score = tuple[str, float]
Ring = tuple[int, int, int]  # x, y, color


@dataclasses.dataclass(frozen=True)
class Floor:
    """The least that a score is to be, and whether it is."""

    score: str
    value: float
    held: bool
    why: str
    least: bool = False  # whether a lower score is better


@dataclasses.dataclass(frozen=True)
class Picture:
    """One row of results, checked, its points on a grid of 16 bits."""

    text: dict[str, str]
    xy: UInt[np.ndarray, "m 2"]
    color: UInt[np.ndarray, " m"]
    palette: list[str]
    rings: list[Ring]
    scores: dict[str, float]
    errors: dict[str, float]
    seeds: int | None
    learned: dict[str, float]
    floor: Floor | None
    failed: bool
    n: int
    numbers: dict[str, str]

    @property
    def main(self) -> Score | None:
        """The score that is shown large."""
        return next(iter(self.scores.items()), None)

    @property
    def raw(self) -> Score | None:
        """What the raw data has: of the main score, or else of the first there is."""
        raws = {k: v for k, v in self.scores.items() if k.startswith("raw")}
        own = f"raw {self.main[0]}" if self.main else ""
        return (own, raws[own]) if own in raws else next(iter(raws.items()), None)

    @property
    def bar(self) -> list[float | None]:
        """The main score and the raw data's, where they are from 0 to 1."""
        values = [math.nan if f is None else f[1] for f in (self.main, self.raw)]
        return [value if 0 <= value <= 1 else None for value in values]

    @property
    def whisker(self) -> tuple[float, float] | None:
        """One standard error each side of the bar's end, within 0 to 1."""
        error = self.errors.get(self.main[0], math.nan) if self.main else math.nan
        score = self.bar[0]
        if score is None or not math.isfinite(error):
            return None
        return max(0.0, score - error), min(1.0, score + error)

    @property
    def least(self) -> float | None:
        """The floor of the main score, if it can be shown on the bar."""
        if not (self.floor and self.main and self.floor.score == self.main[0]):
            return None
        return self.floor.value if 0 <= self.floor.value <= 1 else None

    @property
    def below(self) -> bool:
        """Whether a score is below its floor."""
        return self.floor is not None and not self.floor.held

    @property
    def main_text(self) -> str:
        """The main score, and its standard error where that is known."""
        return self.score(self.main[0]) if self.main else ""

    def score(self, name: str) -> str:
        """A score, and its standard error where that is known."""
        return score_text(self.scores[name], self.errors.get(name, math.nan))

    @property
    def small_print(self) -> list[str]:
        """How the score was measured and what the raw data has; or that it is low."""
        if self.floor and not self.floor.held:
            other = self.main and self.floor.score != self.main[0]
            name = f"{self.floor.score} " if other else ""
            return [f"{name}below its floor {self.floor.value:g}"]
        raw = self.raw and f"{self.raw[0]} {score_text(self.raw[1])}"
        return [x for x in (self.text["protocol"], raw, self.seeds_text) if x]

    @property
    def seeds_text(self) -> str:
        count = self.seeds
        return "" if count is None else f"{count} seed{'s' if count > 1 else ''}"

    @property
    def learned_text(self) -> str:
        """The learned numbers, in one line."""
        texts = {k: number_text(v) or "not finite" for k, v in self.learned.items()}
        return ", ".join(f"{name} {text}" for name, text in texts.items())

    @property
    def floor_text(self) -> str:
        if not self.floor:
            return ""
        name, held = self.floor.score, "held" if self.floor.held else "not held"
        why = f": {self.floor.why}" if self.floor.why else ""
        bound = "at most" if self.floor.least else "at least"
        return f"{name} {bound} {self.floor.value:g}, {held}{why}"

    @property
    def terms(self) -> list[tuple[str, str]]:
        """All that is known of a method, each with its name."""
        text = self.text
        terms = [(key, text[key]) for key in ("p", "q", "loss", "reference")]
        terms += [(name, self.score(name)) for name in self.scores]
        terms += [
            ("floor", self.floor_text),
            ("protocol", text["protocol"]),
            ("seeds", "" if self.seeds is None else str(self.seeds)),
            ("learned", self.learned_text),
            ("trained", text["trained"]),
            *self.numbers.items(),
            ("note", text["note"]),
        ]
        return [(name, value) for name, value in terms if value]


def score_text(value: float, error: float = math.nan) -> str:
    """A score in three digits, and its standard error if that is a number."""
    if not math.isfinite(value):
        return "none"
    if not math.isfinite(error):
        return f"{value:.3f}"
    tiny = 0 < error < 0.0005  # it would read as no error at all
    return f"{value:.3f} ± {f'{error:.1g}' if tiny else f'{error:.3f}'}"


def number_text(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else ""


def reading(shown: Sequence[Picture]) -> str:
    """How to read these pictures: only the marks that they have are explained."""
    count = "1 method." if len(shown) == 1 else f"{len(shown)} methods."
    whisker = WHISKER if any(x.whisker for x in shown) else ""
    floors = FLOORS if any(x.floor for x in shown) else ""
    return " ".join(filter(None, (count, READING, whisker, floors)))


def pictures(results: Sequence[Mapping[str, Any]]) -> list[Picture]:
    """Every row of results, checked."""
    expected = "at least one row of the table, in a list"
    listed = isinstance(results, Sequence)
    check.require(listed, "results", f"a {type(results).__name__}", expected)
    check.require(len(results), "results", "nothing", expected)
    return [picture(f"results[{i}]", row) for i, row in enumerate(results)]


def picture(argument: str, row: Mapping[str, Any]) -> Picture:
    """One row of results, checked; errors name it as `argument`."""
    _complete(argument, row)
    z = _points(f"{argument}['z']", row["z"])
    n, clusters = len(z), row.get("clusters")
    _, color = classes(f"{argument}['labels']", row.get("labels"), n)
    if clusters is not None:
        color = matched(color, classes(f"{argument}['clusters']", clusters, n)[1])
    count = 1 + int(color.max(initial=0))
    kept = np.flatnonzero(np.isfinite(z).all(1))
    kept = kept[:: math.ceil(len(kept) / _MOST) or 1]
    xy, color = on_grid(z[kept]), (color[kept] % 256).astype(np.uint8)
    return Picture(
        text={key: _text(row.get(key)) for key in (*_TEXTS, *_MORE)},
        xy=xy,
        color=color,
        palette=palette(count),
        rings=[] if clusters is None else _rings(xy, color),
        n=n,
        numbers=_numbers(argument, row, n),
        **_measured(argument, row),
    )


def _complete(argument: str, row: Mapping[str, Any]) -> None:
    """Refuse what is no dict, lacks a key, or has an unknown status."""
    expected = f"a dict with {', '.join(_NEEDED)}"
    mapping = isinstance(row, Mapping)
    check.require(mapping, argument, type(row).__name__, expected)
    missing = [key for key in _NEEDED if key not in row]
    check.require(not missing, argument, f"no {', '.join(missing)}", expected)
    check.one_of(f"{argument}['status']", row["status"], STATUS)


def _text(value: Any) -> str:
    return "" if value is None else printable(value)


def _array(argument: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except Exception as error:  # whatever the object's own __array__ raises
        raise check.InvalidInput(argument, str(error), "real numbers") from None


def _points(argument: str, z: Any) -> Float[np.ndarray, "n 2"]:
    """Points of the plane, or none; those that are not finite are left out later."""
    x = _array(argument, z)
    # V: bfloat16, which NumPy knows only by size. O: JSON's null, for NaN.
    real = x.dtype.kind in "biufVO"
    check.require(real, argument, f"dtype {x.dtype}", "real numbers")
    try:
        x = x.astype(float).reshape(0, 2) if not x.size else x.astype(float)
    except (TypeError, ValueError, OverflowError) as error:  # of an object
        raise check.InvalidInput(argument, str(error), "real numbers") from None
    plane = x.ndim == 2 and x.shape[1] == 2
    check.require(plane, argument, f"shape {x.shape}", "points [m, 2]")
    return x


def on_grid(z: Float[np.ndarray, "m 2"]) -> UInt[np.ndarray, "m 2"]:
    """Points in a square box, x to the right and y up; a few far ones on its edge."""
    if not len(z):
        return np.zeros((0, 2), np.uint16)
    low, inner, outer, high = np.percentile(z, [0, 2, 98, 100], axis=0)
    # A few stray points must not shrink all the others to a dot.
    room = 0.75 * (outer - inner).max() or 0.52 * (high - low).max()
    half = max(min(room, 0.52 * (high - low).max()), np.finfo(float).tiny)
    whole = half >= 0.52 * (high - low).max()
    middle = (low + high) / 2 if whole else (inner + outer) / 2
    unit = np.clip((z - middle) / (2 * half) + 0.5, 0, 1)
    return np.rint(unit * GRID).astype(np.uint16)


def _rings(xy: UInt[np.ndarray, "m 2"], color: UInt[np.ndarray, " m"]) -> list[Ring]:
    """The middle of each cluster, with its color."""
    middles = [(np.median(xy[color == c], axis=0), int(c)) for c in np.unique(color)]
    return [(int(x), int(y), c) for (x, y), c in middles]


def _measured(argument: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured of a run, and the words for it."""
    at = lambda key: f"{argument}['{key}']"
    scores = _named(at("scores"), row.get("scores"))
    seeds, failed = row.get("seeds"), row.get("failed")
    return dict(
        scores=scores,
        errors=_errors(at("errors"), row.get("errors"), scores),
        seeds=None if seeds is None else check.count(at("seeds"), seeds, 1),
        learned=_named(at("learned"), row.get("learned")),
        floor=_floor(at("floor"), row.get("floor")),
        failed=failed is not None and check.boolean(at("failed"), failed),
    )


def _named(argument: str, numbers: Mapping[str, Any] | None) -> dict[str, float]:
    """Numbers by name."""
    numbers = {} if numbers is None else numbers
    check.instance(argument, numbers, Mapping, "a dict of numbers")
    return {printable(k): _real(argument, value) for k, value in numbers.items()}


def _errors(argument: str, errors: Any, scores: dict[str, float]) -> dict[str, float]:
    """Standard errors of the scores."""
    errors = _named(argument, errors)
    for name, error in errors.items():
        check.require(name in scores, argument, repr(name), "names of scores")
        check.require(not error < 0, argument, error, "numbers from 0")
    return errors


def _floor(argument: str, floor: Any) -> Floor | None:
    if floor is None:
        return None
    expected = "a dict with score, value and held, and why if there is a reason"
    check.instance(argument, floor, Mapping, expected)
    missing = [key for key in ("score", "value", "held") if key not in floor]
    check.require(not missing, argument, f"no {', '.join(missing)}", expected)
    value = _real(f"{argument}['value']", floor["value"])
    finite = math.isfinite(value)
    check.require(finite, f"{argument}['value']", value, "a finite number")
    held = check.boolean(f"{argument}['held']", floor["held"])
    why, least = _text(floor.get("why")), bool(floor.get("least", False))
    return Floor(printable(floor["score"]), value, held, why, least)


def _real(argument: str, value: Any) -> float:
    """A number, finite or not; null, as JSON has it, is not a number."""
    x = _array(argument, math.nan if value is None else value)
    real = x.ndim == 0 and x.dtype.kind in "biufV"
    check.require(real, argument, repr(value), "real numbers")
    return float(x)


def _numbers(argument: str, row: Mapping[str, Any], n: int) -> dict[str, str]:
    """The numbers of a run that there are, as text."""
    texts = {
        "loss value": _number(f"{argument}['loss_value']", row.get("loss_value")),
        "seconds": _number(f"{argument}['seconds']", row.get("seconds")),
        "n": printable(row.get("n", n)),
        "seed": printable(row.get("seed", "")),
    }
    return {key: text for key, text in texts.items() if text}


def _number(argument: str, value: Any) -> str:
    return number_text(_real(argument, value))
