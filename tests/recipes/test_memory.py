"""Does a process that trains again and again keep what it does not need?"""

import sys
from pathlib import Path

import numpy as np
import pytest
from cases import slow

from icon import recipes


MAPS = Path("/proc/self/maps")
X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)


@pytest.mark.skipif(sys.platform != "linux", reason="maps are counted by Linux's way")
@pytest.mark.parametrize("name", [slow("SimCLR"), "SNE"])
def test_a_program_that_does_not_come_again_is_let_go(name):
    def maps(seed: int) -> int:
        recipes.run(name, X, points=40, steps=2, seed=seed)
        return len(MAPS.read_text().splitlines())

    first, *_, last = map(maps, range(4))
    assert last - first < 3 * 150  # a training's own program takes 300 to 500
