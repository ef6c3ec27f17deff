"""Asset checks: what must hold of an artifact, shown beside it in the UI; a module for each part of the flow.

A check reads the artifact back from the store and says what it found. It does not stop anything by itself,
where partitions are concerned: Dagster lets a later manual run pass, and in a single-run backfill a blocking
check stops good partitions with the bad. What must not go further is stopped by the gates in the stages
(`stages/gates.py`), partition by partition, and these checks show it.
"""

from bioicons_pipeline.orchestration.checks.dataset import DATASET_CHECKS
from bioicons_pipeline.orchestration.checks.manifest import MANIFEST_CHECKS
from bioicons_pipeline.orchestration.checks.model import MODEL_CHECKS
from bioicons_pipeline.orchestration.checks.pictures import PICTURE_CHECKS

ALL_CHECKS = [*MANIFEST_CHECKS, *PICTURE_CHECKS, *DATASET_CHECKS, *MODEL_CHECKS]
