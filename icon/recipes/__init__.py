"""How is a cell trained on data?

`tasks` says what p is built from, `models` what learns, `training` how, `scoring` how
well, `trial` what a cell is tried on, `layout` how a layout in few dimensions is found,
`cut` and `ensemble` how a graph is cut into clusters.
"""

from icon.recipes import cut, ensemble, layout
from icon.recipes.models import Learner, Model
from icon.recipes.scoring import Ground, attempt, ground, plane, result, score
from icon.recipes.tasks import (
    FULL,
    QUICK,
    SOURCES,
    Budget,
    Material,
    Source,
    Task,
    material,
)
from icon.recipes.training import Trained, source_of, train
from icon.recipes.trial import check, example
