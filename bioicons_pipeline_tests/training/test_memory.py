"""The estimate: its formulas against models and counted bytes, its figures for FLUX.1-dev, its way out."""

from dataclasses import replace

import pytest
import torch
from torchao.quantization import quantize_

from bioicons_pipeline.training import memory
from bioicons_pipeline.training.adapter import add_adapter, trainable
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.encoders import quantization
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.memory import FLUX_DEV, GIB, Machine, settle
from bioicons_pipeline.training.objective import Conditioning, predict_velocity
from bioicons_pipeline.training.presets import preset
from bioicons_pipeline.training.shape import FluxShape
from bioicons_pipeline.training.tiny_base import TinySpec, make_tiny_pipeline
from bioicons_pipeline_tests.training.conftest import MINI

SPEC = TinySpec(layers=2, single_layers=3)


def shape_of(spec: TinySpec) -> FluxShape:
    return FluxShape(
        spec.layers, spec.single_layers, spec.heads, spec.head_dim, 64, spec.text_dim, spec.pooled_dim
    )


def count(model) -> int:
    return sum(value.numel() for value in model.parameters())


# --- formulas ---


def test_flux_devs_parameters_are_those_of_its_classes():
    """At full size, on the meta device."""
    from diffusers import FluxTransformer2DModel

    with torch.device("meta"):
        transformer = FluxTransformer2DModel(guidance_embeds=True)
    assert FLUX_DEV.transformer.parameters() == count(transformer) == 11_901_408_320


@pytest.mark.slow
def test_flux_devs_encoders_have_the_parameters_of_their_classes():
    """VAE and both text encoders as FLUX.1-dev configures them, on the meta device."""
    from diffusers import AutoencoderKL
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    with torch.device("meta"):
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=16,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )
        clip = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12))
        t5 = T5EncoderModel(
            T5Config(
                d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, feed_forward_proj="gated-gelu"
            )
        )
    assert FLUX_DEV.vae == count(vae)
    assert FLUX_DEV.text == count(clip) + count(t5)


@pytest.mark.parametrize("fields", [{}, {"targets": "attention"}, {"dora": True}, {"rank": 3, "dora": True}])
def test_parameters_of_a_model_and_its_adapter(fields):
    config = preset("tiny", **fields)
    transformer = make_tiny_pipeline(SPEC).transformer
    assert FluxShape.of(transformer.config) == shape_of(SPEC)
    assert shape_of(SPEC).parameters() == sum(value.numel() for value in transformer.parameters())
    add_adapter(transformer, config)
    trained = sum(value.numel() for value in trainable(transformer).values())
    assert shape_of(SPEC).adapter_parameters(config) == trained


def test_operations_of_a_step_are_the_issues_figures():
    """164 and 44.8 TFLOP a step at 1024 and 512 px, 239 and 66.4 with checkpointing."""
    for resolution, plain, saving in ((1024, 164, 239), (512, 44.8, 66.4)):
        config = TrainingConfig(resolution=resolution)
        shape = FluxShape()
        assert shape.step_flops(config, checkpointing=False) / 1e12 == pytest.approx(plain, rel=0.005)
        assert shape.step_flops(config, checkpointing=True) / 1e12 == pytest.approx(saving, rel=0.005)


def kept_bytes(spec: TinySpec, config: TrainingConfig) -> int:
    """Bytes of distinct storages that a real forward pass in fp32 keeps for backward, parameters left out."""
    transformer = make_tiny_pipeline(spec).transformer.requires_grad_(False)
    if config.quantize != "none":
        quantize_(transformer, quantization(config.quantize, torch.float32).quant_type)
    add_adapter(transformer, config)
    whole = [value for value in transformer.parameters() if not hasattr(value, "qdata")]
    own = {value.untyped_storage().data_ptr() for value in whole}
    seen: dict[int, torch.UntypedStorage] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage  # kept alive: no address comes twice
        return tensor

    side, B = config.resolution // 8, config.batch_size
    text = Conditioning(torch.randn(B, config.t5_length, spec.text_dim), torch.randn(B, spec.pooled_dim))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        velocity = predict_velocity(transformer, torch.randn(B, 16, side, side), torch.rand(B), text, 1.0)
    assert velocity.requires_grad
    return sum(storage.nbytes() for storage in seen.values())


@pytest.mark.parametrize("targets", ["attention", "attention+ff"])
def test_activations_are_those_that_a_forward_pass_keeps(targets):
    """One more block of each kind costs what the formula says; so does a longer sequence."""
    config = preset("tiny", targets=targets, resolution=128, batch_size=2, t5_length=64, rank=2)
    for more in ({"layers": 3}, {"single_layers": 4}):
        grown = replace(SPEC, **more)
        measured = kept_bytes(grown, config) - kept_bytes(SPEC, config)
        formula = shape_of(grown).kept_bytes(config, checkpointing=False, bf16=False) - shape_of(
            SPEC
        ).kept_bytes(config, checkpointing=False, bf16=False)
        # small heads and few tokens: softmax sums and norms weigh more here than at full size
        assert measured == pytest.approx(formula, rel=0.12)


@pytest.mark.parametrize("targets", ["attention", "attention+ff"])
@pytest.mark.parametrize("more", [{"layers": 3}, {"single_layers": 4}])
def test_dora_keeps_more_for_each_token(targets, more):
    measured, formula = [], []
    for resolution in (64, 128):  # what it keeps of the weights does not grow with the tokens
        config = preset(
            "tiny", targets=targets, resolution=resolution, batch_size=2, t5_length=64, rank=2, dora=True
        )
        grown = replace(SPEC, **more)
        measured.append(kept_bytes(grown, config) - kept_bytes(SPEC, config))
        sizes = [shape_of(spec).kept_bytes(config, checkpointing=False, bf16=False) for spec in (grown, SPEC)]
        formula.append(sizes[0] - sizes[1])
    assert measured[1] - measured[0] == pytest.approx(formula[1] - formula[0], rel=0.12)


def test_int8_hands_on_fp32_from_block_to_block():
    plain, coarse = (
        FluxShape().kept_bytes(TrainingConfig(quantize=kind), checkpointing=True, bf16=True)
        for kind in ("fp8", "int8")
    )
    inputs = 57 * FluxShape().tokens(TrainingConfig()) * FluxShape().width
    assert coarse - plain == 2 * inputs


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_8_bits_leave_the_weights_of_a_block_dequantized(kind):
    """What one more block keeps beyond its activations; of FLUX.1-dev, all blocks and the largest one."""
    config = preset("tiny", resolution=32, t5_length=16, rank=2)
    coarse = config.model_copy(update={"quantize": kind})
    for more in ({"layers": 3}, {"single_layers": 4}):
        grown = replace(SPEC, **more)
        weights = shape_of(grown).restored_weights(checkpointing=False)
        weights -= shape_of(SPEC).restored_weights(checkpointing=False)
        beyond = [kept_bytes(spec, coarse) - kept_bytes(spec, config) for spec in (SPEC, grown)]
        assert beyond[1] - beyond[0] == pytest.approx(4 * weights, rel=0.02)
    shape = FluxShape()
    assert 2 * shape.restored_weights(checkpointing=False) / GIB == pytest.approx(16.0, abs=0.1)
    assert 2 * shape.restored_weights(checkpointing=True) / GIB < 0.5


def test_8_bits_need_less_than_16_and_more_than_4():
    needed = {
        kind: gpu(999).estimate(FLUX_DEV, TrainingConfig(quantize=kind, gradient_checkpointing=True))
        for kind in ("none", "int8", "fp8", "nf4")
    }
    assert needed["nf4"].training < needed["fp8"].training < 0.65 * needed["none"].training
    assert 0 < needed["int8"].training - needed["fp8"].training < 2.5 * GIB
    # without checkpointing the dequantized weights take more than the 8 bits save
    plain, coarse = (
        gpu(999).estimate(FLUX_DEV, TrainingConfig(quantize=kind, gradient_checkpointing=False)).training
        for kind in ("none", "fp8")
    )
    assert plain < coarse
    assert settle(FLUX_DEV, TrainingConfig(quantize="fp8"), gpu(48))[0].gradient_checkpointing is True


def test_checkpointing_keeps_a_fraction():
    shape, config = FluxShape(), TrainingConfig()
    plain = shape.kept_bytes(config, checkpointing=False, bf16=True)
    assert plain / GIB == pytest.approx(27.2, abs=0.3)  # counted on the whole model with fake tensors
    assert shape.kept_bytes(config, checkpointing=True, bf16=True) < plain / 10


# --- figures and decisions ---


def gpu(gibibytes: float) -> Machine:
    return Machine("cuda", int(gibibytes * GIB), half=True, bf16=True)


@pytest.mark.parametrize(
    ("fields", "at_least", "below"),
    [
        ({"gradient_checkpointing": False}, 45, 56),
        ({"gradient_checkpointing": True}, 23, 27),
        ({"gradient_checkpointing": True, "quantize": "nf4"}, 7, 12),
    ],
)
def test_flux_dev_at_1024_px_needs_what_the_issue_names(fields, at_least, below):
    needed = gpu(999).estimate(FLUX_DEV, preset("gpu-80gb", **fields))
    assert at_least * GIB < needed.peak < below * GIB


@pytest.mark.parametrize(("name", "card"), [("gpu-12gb", 11.6), ("gpu-24gb", 23.5), ("gpu-80gb", 79.0)])
def test_a_preset_fits_the_card_that_it_is_named_after(name, card):
    """What a card of that name has free under a driver; and it says so without anything loaded."""
    settled, needed = settle(FLUX_DEV, preset(name), gpu(card))
    assert needed.peak < card * GIB
    assert settled.gradient_checkpointing is (name != "gpu-80gb")


def test_checkpointing_is_off_where_memory_allows_and_on_where_not():
    assert settle(FLUX_DEV, TrainingConfig(), gpu(80))[0].gradient_checkpointing is False
    assert settle(FLUX_DEV, TrainingConfig(), gpu(40))[0].gradient_checkpointing is True
    with pytest.raises(TrainingError):
        settle(FLUX_DEV, TrainingConfig(gradient_checkpointing=False), gpu(40))


@pytest.mark.parametrize(
    ("fields", "card", "advice"),
    [
        (
            {"gradient_checkpointing": False},
            40,
            "set gradient_checkpointing to true, or choose the preset gpu-24gb",
        ),
        ({}, 23, "set quantize to int8, or choose the preset gpu-24gb"),
        ({}, 11.5, "set quantize to nf4, or choose the preset gpu-12gb"),
        ({"quantize": "fp8"}, 11.5, "set quantize to nf4, or choose the preset gpu-12gb"),
        ({"batch_size": 8}, 30, "set batch_size to 1 and accumulation to 8, or choose the preset gpu-24gb"),
        ({"dora": True}, 23, "choose the preset gpu-24gb"),
        ({}, 4, "use a smaller base, or a machine with more memory"),
    ],
)
def test_too_little_memory_is_one_sentence_with_the_way_out(fields, card, advice):
    with pytest.raises(TrainingError) as caught:
        settle(FLUX_DEV, preset("gpu-80gb", **fields), gpu(card))
    said = str(caught.value)
    assert said.endswith(f"and the GPU has {card:.1f} GiB free: {advice}.") and "\n" not in said


@pytest.mark.parametrize("processes", [2, 4])
def test_a_sharded_base_is_shared_by_the_processes(processes):
    """Each holds its share, two blocks and what is outside the blocks; without the setting all of it."""
    several = replace(gpu(99), processes=processes)
    whole = several.estimate(FLUX_DEV, TrainingConfig())
    part = several.estimate(FLUX_DEV, TrainingConfig(shard_base=True))
    assert whole == gpu(99).estimate(FLUX_DEV, TrainingConfig())
    assert whole.base / processes < part.base < whole.base / processes + 0.08 * whole.base
    assert replace(part, base=whole.base) == whole


def test_one_process_has_nobody_to_share_with():
    settled, needed = settle(FLUX_DEV, TrainingConfig(shard_base=True), gpu(80))
    assert not settled.shard_base and needed == settle(FLUX_DEV, TrainingConfig(), gpu(80))[1]
    assert settle(FLUX_DEV, TrainingConfig(shard_base=True), replace(gpu(80), processes=2))[0].shard_base


@pytest.mark.parametrize(
    ("fields", "card", "advice"),
    [
        ({}, 23, "set shard_base to true"),
        (
            {"gradient_checkpointing": False},
            23,
            "set gradient_checkpointing to true and shard_base to true",
        ),
        ({"quantize": "int8"}, 11.5, "set quantize to nf4"),
        ({"compile_blocks": True}, 23, "set shard_base to true and compile_blocks to false"),
        ({"shard_base": True}, 11.5, "set quantize to nf4 and shard_base to false"),
    ],
)
def test_several_cards_are_a_way_out(fields, card, advice):
    """Before quantization, which costs precision; and never together with it."""
    with pytest.raises(TrainingError) as caught:
        settle(FLUX_DEV, preset("gpu-80gb", **fields), replace(gpu(card), processes=2))
    assert f": {advice}, or choose the preset" in str(caught.value)


def test_the_encoders_can_be_the_largest_piece():
    """T5 in bf16 is larger than an NF4 transformer; the peak is that of one, not of both."""
    needed = gpu(99).estimate(FLUX_DEV, preset("gpu-12gb"))
    assert needed.peak == needed.encoding_captions > needed.training
    assert "encoders" in needed.sentence()


def test_a_cpu_is_offered_no_nf4():
    with pytest.raises(TrainingError, match=r"the machine has 20\.0 GiB free") as caught:
        settle(FLUX_DEV, TrainingConfig(), Machine("cpu", 20 * GIB, half=False, bf16=False))
    assert "nf4" not in str(caught.value) and "gpu-" not in str(caught.value)


def test_pieces_of_a_folder_are_counted_in_its_files(mini_base, mini_pipeline):
    pieces = memory.pieces_of(mini_base)
    assert pieces.transformer == shape_of(MINI) and pieces.vae_width == 8

    assert pieces.vae == count(mini_pipeline.vae)
    # CLIP's position ids are a buffer, T5's shared embedding is written once
    encoders = count(mini_pipeline.text_encoder) + count(mini_pipeline.text_encoder_2)
    assert pieces.text == pytest.approx(encoders, rel=0.01)


def test_a_run_is_refused_before_anything_is_loaded(make_request, monkeypatch):
    from bioicons_pipeline.training import prepare, run

    for name in ("fill_cache", "load_transformer"):
        monkeypatch.setattr(prepare, name, lambda *a, **k: pytest.fail("loaded"))
    monkeypatch.setattr(run, "machine_of", lambda accelerator: Machine("cpu", 2**20, False, False))
    with pytest.raises(TrainingError, match=r"needs about .* GiB"):
        run.train(make_request(), quiet=True)


def test_main_memory_is_read():
    assert 2**28 < memory.host_memory() < 2**50
