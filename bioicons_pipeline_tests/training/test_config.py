"""The config: documented, validated, frozen; presets; requests from JSON. Without torch."""

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from bioicons_pipeline.training.config import (
    ADDED_LATER,
    NOT_IN_IDENTITY,
    LoopConfig,
    TrainingConfig,
    digest,
    parse_config,
)
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.presets import PRESETS, preset
from bioicons_pipeline.training.request import TrainingOutcome, TrainingRequest, parse_request


def test_config_and_bases_import_without_anything_heavy():
    code = (
        "import sys; import bioicons_pipeline.training.config, bioicons_pipeline.training.base_models as b;"
        "[b.check_base(n) for n in ('flux-tiny',)];"
        "print([m for m in ('torch', 'diffusers', 'transformers', 'peft', 'accelerate', 'dagster', "
        "'huggingface_hub', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("model", [TrainingConfig, TrainingRequest, TrainingOutcome])
def test_every_field_is_documented(model):
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_config_is_frozen_and_knows_no_other_fields():
    with pytest.raises(ValidationError):
        TrainingConfig().rank = 3  # type: ignore[misc]
    with pytest.raises(TrainingError, match="colour: Extra inputs"):
        parse_config({"colour": 1})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("resolution", 100, "resolution: must be a multiple of 16"),
        ("rank", 0, "rank: Input should be greater than or equal to 1"),
        ("targets", "everything", "targets: Input should be 'attention' or 'attention.ff'"),
        ("learning_rate", 0, "learning_rate: Input should be greater than 0"),
        ("caption_dropout", 1.5, "caption_dropout: Input should be less than or equal to 1"),
        ("t5_length", 513, "t5_length"),
        ("eval_sigmas", [0.5, 1.0], r"every sigma must lie in \(0, 1\)"),
        ("warmup_steps", 1000, r"warmup_steps \(1000\) must be less than steps \(1000\)"),
        ("timestep_sampling", "sometimes", "timestep_sampling"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_field(field, value, message):
    with pytest.raises(TrainingError, match=message) as caught:
        parse_config({field: value})
    assert "\n" not in str(caught.value)


def test_presets():
    assert set(PRESETS) == {"cpu-nano", "gpu-12gb", "gpu-24gb", "gpu-80gb", "tiny"}
    dev = preset("gpu-80gb")
    assert preset("flux-dev") == dev and dev.quantize == "none" and dev.gradient_checkpointing == "auto"
    assert (dev.resolution, dev.rank, dev.learning_rate, dev.steps) == (1024, 16, 1e-4, 1000)
    assert dev.t5_length == 512 and dev.guidance == 1.0
    assert preset("tiny").steps >= 200 and preset("tiny", steps=7, warmup_steps=1).steps == 7
    assert preset("tiny", steps=7).warmup_steps == 0 and preset("tiny", steps=50).warmup_steps == 5
    assert preset("tiny").warmup_steps == 10 and preset("gpu-80gb", steps=9000).warmup_steps == 0
    with pytest.raises(TrainingError, match="choose one of cpu-nano, gpu-12gb, gpu-24gb, gpu-80gb, tiny"):
        preset("gigantic")
    with pytest.raises(TrainingError, match="rank"):
        preset("tiny", rank=-1)


def test_identity_leaves_out_what_changes_nothing():
    config = TrainingConfig()
    assert set(config.model_dump()) - set(config.identity()) == {*NOT_IN_IDENTITY, *ADDED_LATER}
    json.dumps(config.identity())


def test_what_was_trained_before_is_still_the_same_run():
    """Identities of the first trainer: with another one every adapter would be trained again."""
    assert digest(preset("cpu-nano").identity()) == (
        "5ceb05472221547ecf32bf30758e311786f3e52148c41daad305593140ebd8eb"
    )
    assert digest(TrainingConfig().identity()) == (
        "c36867ece174e7baf3ae5dbd4aa91a0c5b774b134a44f4ed8a9b0fb624aff8f8"
    )
    assert digest(LoopConfig().identity()) == (
        "7c8d300a077982e6ff003b2b05e6912ff89b2d7b1bb48a8df8d09e08d70525e8"
    )


CHANGED = {
    "optimizer": "adamw8bit",
    "rslora": True,
    "dora": True,
    "quantize": "int8",
    "compile_blocks": True,
    "validation_every": 10,
    "validation_prompts": ("a cell",),
    "validation_seed": 1,
    "validation_steps": 4,
    "validation_guidance": 1.0,
    "aspect_buckets": True,
}


@pytest.mark.parametrize("field", ADDED_LATER)
def test_a_later_field_counts_where_it_is_set(field):
    changed = TrainingConfig.model_validate({field: CHANGED[field]})
    assert changed.identity() != TrainingConfig().identity()
    assert field in changed.identity()


def test_checkpointing_that_memory_decides_is_the_same_run():
    """The code server that plans a run has no GPU to ask; a run may go on on a smaller one."""
    off, auto, on = (TrainingConfig(gradient_checkpointing=value) for value in (False, "auto", True))
    assert auto.identity() == off.identity() != on.identity()


def test_dora_and_a_quantized_base_are_refused_together():
    with pytest.raises(TrainingError, match="set quantize to none, or dora to false"):
        parse_config({"dora": True, "quantize": "int8"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"quantize": "int8"}, "set quantize to none, or shard_base to false"),
        ({"quantize": "nf4"}, "set quantize to none, or shard_base to false"),
        ({"compile_blocks": True}, "set compile_blocks or shard_base to false"),
    ],
)
def test_what_a_sharded_base_does_not_go_with(fields, message):
    with pytest.raises(TrainingError, match=message):
        parse_config({"shard_base": True, **fields})


def test_a_sharded_base_is_the_same_run():
    """It may go on on larger cards, without sharding."""
    assert TrainingConfig(shard_base=True).identity() == TrainingConfig().identity()


def test_request_round_trip():
    request = TrainingRequest(
        store_root="s3://bucket/x",
        dataset_version="v",
        base="flux-tiny",
        config=preset("tiny", seed=3),
        partition="Zoë's cells",
        work_dir="/w",
        provenance={"licence_mix": {"CC0-1.0": 3}},
    )
    assert parse_request(request.to_json()) == request
    assert parse_request(json.loads(request.to_json())) == request


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid"),
        ("{}", "store_root: Field required"),
        ({"store_root": "s", "nonsense": 1}, "nonsense: Extra inputs"),
    ],
)
def test_bad_requests(text, message):
    with pytest.raises(TrainingError, match=message):
        parse_request(text)
