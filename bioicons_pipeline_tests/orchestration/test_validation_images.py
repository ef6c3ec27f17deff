"""Validation images of a training are a picture on its materialization, which the UI shows."""

import json

import dagster as dg
import pytest

from bioicons_pipeline.orchestration.instance import shared_instance
from bioicons_pipeline.orchestration.launch import execute, partition_tags
from bioicons_pipeline.orchestration.pipeline import Options, run_pipeline


@pytest.mark.slow
def test_the_sheet_is_on_the_materialization(settings):
    fields = {"warmup_steps": 0, "validation_every": 1, "validation_steps": 1}
    training = {"steps": 2, "overrides": json.dumps(fields)}
    config = {
        "resources": {"base": {"config": {"name": "flux-tiny"}}},
        "ops": {"lora_weights": {"config": training}, "sample_grid": {"config": {"steps": 1}}},
    }
    with shared_instance(settings) as instance:
        run_pipeline(
            settings, Options("starter", None, "Animals", "flux-tiny", until="icon_dataset"), instance
        )
        execute(instance, "train_category", config, tags=partition_tags(instance, ["Animals"]))
        event = instance.get_latest_materialization_event(dg.AssetKey("lora_weights"))
        assert event is not None and event.asset_materialization is not None
        shown = event.asset_materialization.metadata["validation images"]
        assert str(shown.value).startswith("![validation images](data:image/png;base64,")
        log = "\n".join(entry.user_message for entry in instance.all_logs(event.run_id))
    assert all(f"validation images at step {step}" in log for step in (0, 1, 2))
