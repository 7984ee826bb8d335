"""How is a cell trained on data?

`material` says what is learned from, `task` and `tasks` what p is built from, `models`
and `networks` what learns, `training` how, `scoring` how well, `floors` how well at
least, `bench` all of it in one call, `trial` what a cell is tried on, `layout` how
points in few dimensions are laid out, `embedding` how they are by any p, q and loss,
`edges` by edges that are drawn, `encoding` by a network, `cut` and `ensemble` how a
graph is clustered, `closed_form` and `quadratic` what is solved in closed form,
`likelihoods` what a decoder's word for a row is worth; `mixture`, `topics`, `factors`
and `unmixing` have the textbook's steps of a mixture, of counts, of ratings and of
mixed sources, as optimizers where a gradient is enough.
"""

from icon.recipes import (
    cut,
    edges,
    embedding,
    encoding,
    ensemble,
    factors,
    layout,
    likelihoods,
    mixture,
    topics,
    unmixing,
)
from icon.recipes.bench import Bench, run, spent
from icon.recipes.closed_form import (
    Spectral,
    orthonormal,
    rayleigh,
    spectral,
    whitened,
)
from icon.recipes.floors import FLOORS, Floor
from icon.recipes.material import FULL, QUICK, Budget, Material, material
from icon.recipes.models import Learner, Model
from icon.recipes.networks import Network, network
from icon.recipes.scoring import Ground, plane, refused, result, score
from icon.recipes.task import Learned, Source, Task
from icon.recipes.tasks import SOURCES
from icon.recipes.training import Trained, source_of, train
from icon.recipes.trial import check, example
