"""Who sums, and how fast?"""

from icon._engines.fft import interpolated
from icon._engines.placement import over_mesh, sharded, tiled
from icon._engines.report import Report
