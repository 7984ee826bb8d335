"""How is a loss minimised?"""

from icon._training.fit import fit, forget_steps
from icon._training.gains import gains
from icon._training.grad_cache import grad_cache
from icon._training.history import DivergenceError, History, PeerLost
from icon._training.minimize import forget_loops, minimize
