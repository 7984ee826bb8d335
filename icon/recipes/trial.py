"""Is a cell well made? Tried on a small random data set."""

import jax.random as jr
import numpy as np

from icon import data as datasets
from icon._base import checks
from icon._table import Cell, Report, examine
from icon.recipes.material import QUICK, material
from icon.recipes.training import setup_of


def example(cell: Cell, n: int = 32, seed: int = 0) -> tuple[tuple, tuple]:
    """Small random arguments of a cell: (evidence, embedding), as its recipe has them.

    Args:
        cell: any cell.
        n: how many points.
        seed: of the data.

    Example:
        >>> import icon
        >>> evidence, embedding = icon.recipes.example(icon.TABLE["SNE"])
        >>> [x.shape for x in embedding]
        [(32, 2)]
    """
    checks.instance("cell", cell, Cell, "a Cell")
    n, random = checks.size("n", n, 8), np.random.default_rng(checks.seed("seed", seed))
    code, labels = random.normal(size=(n, 3)), np.arange(n) % 4
    code[:, 0] += 3 * labels  # few dimensions and some classes, as data have
    x = np.tanh(code @ random.normal(size=(3, 36))).reshape(n, 6, 6).astype(np.float32)
    data = datasets.Dataset("random", x.reshape(n, -1), labels, x)
    setup = setup_of(cell, material(data, seed, QUICK._replace(points=n)))
    task, key = setup.task, jr.key(seed)
    if task.size is None:
        return setup.arguments(setup.start(key, key), key, task.arrays)
    batch = next(datasets.batches(task.arrays, task.size, 1)(key, 0))
    return setup.arguments(setup.start(*jr.split(key)), key, batch)


def check(
    cell: Cell, evidence: tuple | None = None, embedding: tuple | None = None
) -> Report:
    """Look a cell over: rows that sum to one, finite gradients, permutation, digits.

    Of a sum of cells, each part.

    Args:
        cell: any cell, of the table or of your own.
        evidence: what its p is built from; None: a small random data set, as the recipe
            of its column has it.
        embedding: what its q is built from; given together with evidence.

    Returns:
        a report of numbers.

    Raises:
        InvalidInput: what is wrong, with the number: rows that do not sum to one, a
            gradient that is not finite, a loss that depends on the order of the data,
            or whose float32 digits are lost.

    Example:
        >>> import icon
        >>> report = icon.check(icon.TABLE["SNE"])
        >>> report.rows_of_p < 1e-5, report.permutation < 1e-5
        (True, True)
    """
    checks.require(isinstance(cell, Cell), "cell", type(cell).__name__, "a Cell")
    if evidence is None and embedding is None:
        evidence, embedding = example(cell)
    if evidence is None or embedding is None:
        got = "one without the other"
        raise checks.InvalidInput("embedding", got, "both or none")
    return _examined(cell, evidence, embedding)


def _examined(cell: Cell, evidence: tuple, embedding: tuple) -> Report:
    """A sum is as good as the worst of its parts, each on its own arguments."""
    if not cell.parts:
        return examine(cell, evidence, embedding)
    cell.neighborhoods(evidence, embedding)  # refuses arguments that are not of parts
    found = []
    for (_, part), *given in zip(cell.parts, evidence, embedding, strict=True):
        try:
            found.append(_examined(part, *given))
        except checks.InvalidInput as error:
            got = f"{error.got}, in {part.name}"
            raise checks.InvalidInput(error.argument, got, error.expected) from None
    weights = np.array([weight for weight, _ in cell.parts])
    worst = Report(*map(max, zip(*found, strict=True)))
    return worst._replace(
        loss=float(weights @ [report.loss for report in found]),
        gradient=float(np.linalg.norm(weights * [each.gradient for each in found])),
    )
