"""How is a loss minimised?"""

from icon._training.fit import fit, forget_steps
from icon._training.gains import Stages, gains
from icon._training.grad_cache import grad_cache
from icon._training.history import (
    DivergenceError,
    History,
    PeerLost,
    any_stops,
    completed,
    refuse_unusable,
)
from icon._training.minimize import forget_loops, minimize
