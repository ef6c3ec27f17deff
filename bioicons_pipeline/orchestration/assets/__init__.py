"""The assets, one file a stage, in the order of the flow. Logic is in `stages/` and in the rooms.

Stages are imported inside the asset functions: loading the code location must not cost pandas, Pillow
or anything heavier.
"""

from bioicons_pipeline.orchestration.assets.evaluation_report import (
    evaluation_report,
    library_evaluation_report,
)
from bioicons_pipeline.orchestration.assets.icon_captions import icon_captions
from bioicons_pipeline.orchestration.assets.icon_dataset import icon_dataset, library_icon_dataset
from bioicons_pipeline.orchestration.assets.icon_manifest import icon_manifest
from bioicons_pipeline.orchestration.assets.inputs import OBSERVED
from bioicons_pipeline.orchestration.assets.lora_sweep import library_lora_sweep, lora_sweep
from bioicons_pipeline.orchestration.assets.lora_weights import library_lora_weights, lora_weights
from bioicons_pipeline.orchestration.assets.rasterized_icons import rasterized_icons
from bioicons_pipeline.orchestration.assets.sample_grid import library_sample_grid, sample_grid
from bioicons_pipeline.orchestration.assets.svg_snapshot import svg_snapshot
from bioicons_pipeline.orchestration.assets.training_plan import library_training_plan, training_plan

ALL_ASSETS = [
    *OBSERVED,
    svg_snapshot,
    icon_manifest,
    rasterized_icons,
    icon_captions,
    icon_dataset,
    training_plan,
    lora_weights,
    sample_grid,
    evaluation_report,
    lora_sweep,
    library_icon_dataset,
    library_training_plan,
    library_lora_weights,
    library_sample_grid,
    library_evaluation_report,
    library_lora_sweep,
]
