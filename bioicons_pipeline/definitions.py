"""The front door: what `dagster dev` loads. Binds assets, checks, automation, resources and executor.

Importing this module must not import torch, diffusers, transformers, peft, datasets, boto3 or
dagster_aws; a test holds that.
"""

import dagster as dg

from bioicons_pipeline.orchestration.assets import ALL_ASSETS
from bioicons_pipeline.orchestration.automation import ALL_SCHEDULES, ALL_SENSORS
from bioicons_pipeline.orchestration.checks import ALL_CHECKS
from bioicons_pipeline.orchestration.executors import gpu_executor
from bioicons_pipeline.orchestration.jobs import ALL_JOBS
from bioicons_pipeline.orchestration.resources import default_resources

defs = dg.Definitions(
    assets=ALL_ASSETS,
    asset_checks=ALL_CHECKS,
    jobs=ALL_JOBS,
    schedules=ALL_SCHEDULES,
    sensors=ALL_SENSORS,
    resources=default_resources(),
    # On the definitions, not on the jobs: the UI's Materialize button ignores a job's own executor.
    executor=gpu_executor,
)


def job_named(name: str) -> dg.JobDefinition:
    """A job by name, with everything bound; step processes find their job through it."""
    return defs.resolve_job_def(name)
