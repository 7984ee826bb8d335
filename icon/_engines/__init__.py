"""Who sums, and how fast?"""

from icon._engines.devices import local_share, varied
from icon._engines.factors import Factored
from icon._engines.fft import interpolated
from icon._engines.placement import Placement, over_mesh, sharded, tiled, unplaced
from icon._engines.report import (
    ATTRACTION,
    CROSS_ENTROPY,
    KL,
    REPULSION,
    Report,
    over_anchors,
    over_devices,
    over_pairs,
    report,
)
from icon._engines.reproducible import in_one_order, replicated
from icon._engines.strips import (
    AnchorSum,
    Linear,
    OverSupport,
    each,
    streamed,
    strip_length,
)
from icon._engines.tiles import Pairing, at_once, paired, tiled_log_masses
from icon._engines.walk import Tiling
