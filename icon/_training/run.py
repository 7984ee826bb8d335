"""Where is a training, and what has it seen so far?"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from icon._training.history import History, joined
from icon._training.step import Held, averages


class Now(NamedTuple):
    """What a training holds, after how many steps, and which batch comes next."""

    held: Held
    step: int = 0
    epoch: int = 0
    position: int = 0  # of the next batch in its epoch
    ended: bool = False  # by a callback


class Run:
    """A training under way: where it is, and the loss and the metrics of each step.

    It moves on by one assignment, so that Ctrl-C finds it before a step or after it.
    """

    def __init__(self, now: Now, losses: Sequence = (), metrics: Sequence = ()):
        self.now, self._losses, self._metrics = now, [*losses], [*metrics]

    def add(self, now: Now, loss: np.ndarray, metrics) -> None:
        """One step more, after which it is at `now`."""
        self._losses.append(loss)
        self._metrics.append(metrics)
        self.now = now

    @property
    def losses(self) -> list[np.ndarray]:
        """The loss of every step, as vectors of one number."""
        return self._losses[: self.now.step]

    @property
    def metrics(self) -> list[Any]:
        """The metrics of every step."""
        return self._metrics[: self.now.step]

    def result(self, structure, interrupted: bool):
        """What a training gives back, wherever it stopped."""
        held, averaged = self.now.held, averages(structure, self.now.held)
        rest = self.metrics, interrupted, held.carried, averaged
        params = structure.joined(held.params, held.buffers)
        return params, History(joined(self.losses), held.state, *rest)
