"""Jobs named for what a person wants."""

import dagster as dg

from bioicons_pipeline.orchestration import looks
from bioicons_pipeline.orchestration.recovery import training_limits

TRAINING_TAGS = training_limits()

refresh_library = dg.define_asset_job(
    "refresh_library",
    selection=dg.AssetSelection.assets("svg_snapshot"),
    description="Fetch the upstream library and register its categories.",
)
observe_upstream = dg.define_asset_job(
    "observe_upstream",
    selection=dg.AssetSelection.groups(looks.INPUTS, include_sources=True),
    description="Look whether upstream, or an input that people edit, has changed; builds nothing.",
)
build_datasets = dg.define_asset_job(
    "build_datasets",
    selection=dg.AssetSelection.assets("icon_manifest", "rasterized_icons", "icon_captions", "icon_dataset"),
    description="From manifest to dataset, for one category or, as one run, for many.",
)
build_library_dataset = dg.define_asset_job(
    "build_library_dataset",
    selection=dg.AssetSelection.assets(["library", "icon_dataset"]),
    description="The library-wide dataset, of the categories' datasets.",
)
train_category = dg.define_asset_job(
    "train_category",
    selection=dg.AssetSelection.assets("lora_weights", "sample_grid"),
    description="Train the LoRA of one category and draw its sample grid.",
    tags=TRAINING_TAGS,
)
train_library = dg.define_asset_job(
    "train_library",
    selection=dg.AssetSelection.key_prefixes("library")
    - dg.AssetSelection.assets(["library", "evaluation_report"], ["library", "lora_sweep"]),
    description="Library-wide dataset, LoRA and sample grid.",
    tags=TRAINING_TAGS,
)
sweep = dg.define_asset_job(
    "sweep",
    selection=dg.AssetSelection.assets("lora_sweep"),
    description="Train a category's LoRA over learning rate, steps and rank, and compare.",
    tags=TRAINING_TAGS,
)
sweep_library = dg.define_asset_job(
    "sweep_library",
    selection=dg.AssetSelection.assets(["library", "lora_sweep"]),
    description="The same over the whole library.",
    tags=TRAINING_TAGS,
)
evaluate_category = dg.define_asset_job(
    "evaluate_category",
    selection=dg.AssetSelection.assets("evaluation_report"),
    description="Compare the LoRA of one category with its base.",
)
evaluate_library = dg.define_asset_job(
    "evaluate_library",
    selection=dg.AssetSelection.assets(["library", "evaluation_report"]),
    description="Compare the library-wide LoRA with its base.",
)

ALL_JOBS = [
    observe_upstream,
    refresh_library,
    build_datasets,
    build_library_dataset,
    train_category,
    train_library,
    sweep,
    sweep_library,
    evaluate_category,
    evaluate_library,
]
