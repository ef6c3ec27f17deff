"""The GPU-backed executor: a process per step, and one slot for whatever needs the GPU.

It is Dagster's multiprocess executor. Steps in the pool `gpu` (training and sampling) wait for each
other, across runs too, because the limit of the pool is held by the instance (`dagster.yaml`:
one slot). It is bound on `Definitions`, not on jobs: the implicit asset job, which the UI's Materialize
button and automation use, ignores a job's own executor.
"""

import dagster as dg

GPU_POOL = "gpu"

gpu_executor = dg.multiprocess_executor.configured(
    {
        "max_concurrent": 2,
        "retries": {"enabled": {}},
        # A fork server that has imported the code location once starts a step in a fraction of the
        # time that a fresh interpreter takes, and inherits none of the run's threads.
        "start_method": {"forkserver": {"preload_modules": ["bioicons_pipeline.definitions"]}},
    },
    name="gpu_executor",
)
