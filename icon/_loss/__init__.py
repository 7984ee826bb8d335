"""How do p and q meet?"""

from icon._loss.routes import ROUTES
from icon._loss.verbs import (
    both_ways,
    cross_entropy,
    dense,
    divergence,
    hellinger,
    hinge,
    jsd,
    kl,
    per_anchor,
    reverse,
    terms,
    tv,
)
