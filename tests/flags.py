"""By which flags of XLA are small programs compiled in less time than they take?

And by how many threads of LAPACK is a small matrix factored? By one: others would wait
for those of XLA.
"""

import os


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

LITTLE = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
