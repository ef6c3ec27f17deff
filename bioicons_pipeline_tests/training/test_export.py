"""The files: read back by diffusers to identical images, by the kohya layout key by key, with provenance."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load

from bioicons_pipeline.training import export, files
from bioicons_pipeline.training.adapter import (
    TARGETS,
    adapter_config,
    adapter_tensors,
    add_adapter,
    kind,
    plain_alpha,
    set_adapter_tensors,
    trainable,
)
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.presets import preset
from bioicons_pipeline.training.tiny_base import make_tiny_pipeline
from bioicons_pipeline_tests.training.conftest import MINI

WIDTH = MINI.heads * MINI.head_dim


def trained(targets="attention", rank=4, alpha=6.0, spec=MINI, **fields):
    """(pipeline, its transformer's adapter filled with random numbers, config)."""
    pipeline = make_tiny_pipeline(spec)
    config = preset("tiny", rank=rank, alpha=alpha, targets=targets, **fields)
    names = add_adapter(pipeline.transformer, config)
    generator = torch.Generator().manual_seed(1)
    tensors = {
        name: torch.randn(value.shape, generator=generator) * 0.3
        for name, value in adapter_tensors(pipeline.transformer).items()
    }
    set_adapter_tensors(pipeline.transformer, tensors)
    return pipeline, tensors, config, names


def image(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        "a red cell",
        height=32,
        width=32,
        num_inference_steps=3,
        max_sequence_length=16,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images[0]


# --- which modules ---


@pytest.mark.parametrize(
    ("targets", "per_double", "per_single"), [("attention", 8, 3), ("attention+ff", 12, 5)]
)
def test_only_the_chosen_modules_have_adapters(targets, per_double, per_single):
    pipeline, _, _, names = trained(targets, spec=replace(MINI, layers=2, single_layers=3))
    adapted = {
        name.split(".lora_")[0] for name, _ in pipeline.transformer.named_parameters() if ".lora_" in name
    }
    assert adapted == set(names)
    assert len(names) == 2 * per_double + 3 * per_single
    assert "proj_out" not in adapted and not any("norm" in name or "embed" in name for name in adapted)
    if targets == "attention+ff":
        assert "single_transformer_blocks.2.proj_out" in adapted


def test_a_suffix_list_would_have_matched_the_final_projection():
    """Why the targets are full names: this is the accident they prevent."""
    from peft import LoraConfig

    transformer = make_tiny_pipeline(MINI).transformer
    transformer.add_adapter(LoraConfig(r=2, target_modules=["proj_out"]))
    adapted = {name.split(".lora_")[0] for name, _ in transformer.named_parameters() if ".lora_" in name}
    assert "proj_out" in adapted


def test_the_expected_modules_exist_in_the_full_size_model():
    """FLUX.1-dev's own block structure, on the meta device: 19 double and 38 single blocks."""
    import re

    from diffusers import FluxTransformer2DModel

    with torch.device("meta"):
        model = FluxTransformer2DModel(guidance_embeds=True)
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    found = {
        kind: sum(bool(re.fullmatch(pattern, name)) for name in linear) for kind, pattern in TARGETS.items()
    }
    assert found == {"attention": 19 * 8 + 38 * 3, "attention+ff": 19 * 12 + 38 * 5}


def test_adapter_is_fp32_on_a_bf16_base_and_the_base_is_frozen():
    transformer = make_tiny_pipeline(MINI).transformer.to(torch.bfloat16)
    add_adapter(transformer, preset("tiny"))
    kinds = {name: (value.dtype, value.requires_grad) for name, value in transformer.named_parameters()}
    assert {kind for name, kind in kinds.items() if ".lora_" in name} == {(torch.float32, True)}
    assert {kind for name, kind in kinds.items() if ".lora_" not in name} == {(torch.bfloat16, False)}


def test_the_initial_adapter_depends_on_the_seed_alone():
    def start(seed, noise):
        torch.manual_seed(noise)
        transformer = make_tiny_pipeline(MINI).transformer
        before = torch.get_rng_state()
        add_adapter(transformer, preset("tiny", seed=seed))
        assert torch.equal(before, torch.get_rng_state())
        return adapter_tensors(transformer)

    a, b, c = start(1, 5), start(1, 6), start(2, 5)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a if "lora_A" in name)
    assert all(not a[name].any() for name in a if "lora_B" in name)


def test_tensors_of_another_rank_are_refused():
    pipeline, _, _, _ = trained(rank=4)
    _, other, _, _ = trained(rank=2)
    with pytest.raises(TrainingError, match="another rank"):
        set_adapter_tensors(pipeline.transformer, other)
    assert len(trainable(pipeline.transformer)) == len(other)


# --- diffusers ---


@pytest.mark.parametrize(("rank", "alpha"), [(4, 4.0), (4, 6.0), (8, 1.0)])
@pytest.mark.parametrize("targets", ["attention", "attention+ff"])
def test_reloads_to_the_identical_image(rank, alpha, targets, tmp_path):
    pipeline, tensors, _, _ = trained(targets, rank, alpha)
    path = tmp_path / files.WEIGHTS_NAME
    path.write_bytes(export.diffusers_file(tensors, adapter_config(pipeline.transformer), {}))
    fresh = make_tiny_pipeline(MINI)
    plain = image(fresh)
    fresh.load_lora_weights(str(tmp_path), weight_name=path.name)
    assert (image(fresh) == image(pipeline)).all()
    assert (image(fresh) != plain).any()
    assert adapter_config(pipeline.transformer)["lora_alpha"] == alpha


@pytest.mark.parametrize("fields", [{"rslora": True}, {"dora": True}, {"rslora": True, "dora": True}])
def test_rslora_and_dora_reload_to_the_identical_image(fields, tmp_path):
    """And differ from the plain LoRA with the same matrices, so the header is what tells them apart."""
    pipeline, tensors, config, _ = trained(**fields)
    described = adapter_config(pipeline.transformer)
    assert {name: described[f"use_{name}"] for name in fields} == fields
    assert any("lora_magnitude_vector" in name for name in tensors) == config.dora
    path = tmp_path / files.WEIGHTS_NAME
    path.write_bytes(export.diffusers_file(tensors, described, {}))
    fresh = make_tiny_pipeline(MINI)
    fresh.load_lora_weights(str(tmp_path), weight_name=path.name)
    ours = image(pipeline)
    assert (image(fresh) == ours).all()
    plain = {name: value for name, value in tensors.items() if "magnitude" not in name}
    path.write_bytes(export.diffusers_file(plain, adapter_config(trained()[0].transformer), {}))
    other = make_tiny_pipeline(MINI)
    other.load_lora_weights(str(tmp_path), weight_name=path.name)
    assert (image(other) != ours).any()


def test_rslora_is_scaled_for_programs_that_divide_by_rank():
    """alpha / √rank as they compute it, alpha' / rank."""
    _, tensors, config, _ = trained(rank=4, alpha=6.0, rslora=True)
    kohya = export.to_kohya(tensors, alpha=plain_alpha(config), width=WIDTH)
    name = "lora_unet_double_blocks_0_img_attn_proj"
    down = kohya[f"{name}.lora_down.weight"]
    assert float(kohya[f"{name}.alpha"]) / down.shape[0] == pytest.approx(6.0 / 4**0.5)


# --- kohya / ComfyUI ---


def original_flux_keys(layers, single_layers, targets):
    """Linear layers of the original Flux code (black-forest-labs/flux, model.py and layers.py) that a LoRA
    of this preset touches, as ComfyUI names them for kohya files: dots to underscores."""
    names = []
    for i in range(layers):
        for stream in ("img", "txt"):
            names += [f"double_blocks.{i}.{stream}_attn.qkv", f"double_blocks.{i}.{stream}_attn.proj"]
            if targets == "attention+ff":
                names += [f"double_blocks.{i}.{stream}_mlp.0", f"double_blocks.{i}.{stream}_mlp.2"]
    for i in range(single_layers):
        names.append(f"single_blocks.{i}.linear1")
        if targets == "attention+ff":
            names.append(f"single_blocks.{i}.linear2")
    return {f"lora_unet_{name.replace('.', '_')}" for name in names}


@pytest.mark.parametrize("targets", ["attention", "attention+ff"])
def test_kohya_names_and_shapes_are_the_original_models(targets):
    _, tensors, _, _ = trained(targets, spec=replace(MINI, layers=2, single_layers=3))
    kohya = export.to_kohya(tensors, alpha=6.0, width=WIDTH)
    assert {name.split(".")[0] for name in kohya} == original_flux_keys(2, 3, targets)
    assert {name.split(".", 1)[1] for name in kohya} == {"lora_down.weight", "lora_up.weight", "alpha"}
    outputs = {"qkv": 3, "proj": 1, "mlp_0": 4, "mlp_2": 1, "linear1": 7, "linear2": 1}
    for name, value in kohya.items():
        if name.endswith("lora_up.weight"):
            (kind,) = [kind for kind in outputs if name.split(".")[0].endswith(kind)]
            assert value.shape[0] == outputs[kind] * WIDTH
            assert value.shape[1] == kohya[name.replace("lora_up", "lora_down")].shape[0]


def test_diffusers_own_converter_reads_the_kohya_file_at_full_size():
    """FLUX.1's width, one block of each kind: the update of every matrix is the same."""
    from diffusers.loaders.lora_conversion_utils import _convert_kohya_flux_lora_to_diffusers

    width, rank, alpha = 3072, 4, 10.0
    sizes = {"proj_mlp": (width, 4 * width), "proj_out": (5 * width, width)}
    sizes |= {"net.0.proj": (width, 4 * width), "net.2": (4 * width, width)}
    modules = [
        *(f"transformer_blocks.0.attn.{part}" for part in ("to_q", "to_k", "to_v", "to_out.0")),
        *(
            f"transformer_blocks.0.attn.{part}"
            for part in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
        ),
        *(
            f"transformer_blocks.0.{ff}.{part}"
            for ff in ("ff", "ff_context")
            for part in ("net.0.proj", "net.2")
        ),
        *(
            f"single_transformer_blocks.0.{part}"
            for part in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
        ),
        "single_transformer_blocks.0.proj_out",
    ]
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for module in modules:
        inputs, outputs = next((s for key, s in sizes.items() if module.endswith(key)), (width, width))
        tensors[f"{module}.lora_A.weight"] = torch.randn(rank, inputs, generator=generator)
        tensors[f"{module}.lora_B.weight"] = torch.randn(outputs, rank, generator=generator)
    read = _convert_kohya_flux_lora_to_diffusers(export.to_kohya(tensors, alpha=alpha, width=width))
    assert {name.removeprefix("transformer.") for name in read} == set(tensors)
    for module in modules:
        down, up = (read[f"transformer.{module}.lora_{part}.weight"] for part in "AB")
        probe = torch.randn(down.shape[1], 3, generator=generator)
        ours = (
            alpha / rank * tensors[f"{module}.lora_B.weight"] @ (tensors[f"{module}.lora_A.weight"] @ probe)
        )
        assert torch.allclose(up @ (down @ probe), ours, rtol=1e-4, atol=1e-2), module


def test_a_module_without_a_place_is_an_error_and_not_left_out():
    tensors = {f"proj_out.lora_{part}.weight": torch.zeros(2, 2) for part in "AB"}
    with pytest.raises(KeyError, match="no place"):
        export.to_kohya(tensors, alpha=1.0, width=2)


# --- header ---


def test_header_says_where_the_adapter_comes_from(tmp_path):
    config = preset("tiny").identity()
    header = export.header(
        base={
            "name": "flux1-dev",
            "fingerprint": "hub:x@y",
            "licence": "FLUX.1 [dev]",
            "notice": "non-commercial",
        },
        dataset_version="d" * 64,
        config=config,
        step=240,
        provenance={"commit": "f3f18b86", "licence_mix": {"CC-BY-4.0": 3}, "trigger": "bioicons style"},
        partition="Zoë's cells",
    )
    for data in (
        export.diffusers_file({"a.lora_A.weight": torch.zeros(1, 1)}, {"r": 1}, header),
        export.comfyui_file({}, alpha=1.0, width=4, metadata=header),
    ):
        (tmp_path / "x.safetensors").write_bytes(data)
        with safe_open(tmp_path / "x.safetensors", "pt") as file:
            found = file.metadata()
        assert found["base"] == "flux1-dev" and found["base_licence"] == "FLUX.1 [dev]"
        assert found["dataset_version"] == "d" * 64 and found["upstream_commit"] == "f3f18b86"
        assert json.loads(found["licence_mix"]) == {"CC-BY-4.0": 3}
        assert found["trigger"] == found["modelspec.trigger_phrase"] == "bioicons style"
        assert json.loads(found["config"]) == config and found["steps"] == "240"
        assert found["category"] == "Zoë's cells"


def test_the_header_says_what_is_no_plain_lora():
    def said(**fields):
        config = preset("tiny", rank=16, alpha=8.0, **fields)
        return export.header(
            base={"name": "b", "fingerprint": "f", "licence": "l", "notice": "n"},
            dataset_version="d",
            config=config.identity(),
            step=1,
            provenance={},
            partition="p",
            alpha=plain_alpha(config),
            kind=kind(config),
        )

    assert "adapter" not in said() and said()["ss_network_alpha"] == "8.0"
    assert said(rslora=True)["adapter"] == "rsLoRA" and said(rslora=True)["ss_network_alpha"] == "32.0"
    assert said(rslora=True, dora=True)["adapter"] == "rsLoRA + DoRA"
    assert json.loads(said(dora=True)["config"])["dora"] is True


def test_bytes_are_a_function_of_the_content():
    tensors = {"b": torch.ones(3), "a": torch.zeros(2, 2)}
    metadata = {f"key{i}": str(i) for i in range(20)}
    backwards = dict(reversed(metadata.items()))
    data = export.safetensors_bytes(tensors, metadata)
    assert data == export.safetensors_bytes(dict(reversed(tensors.items())), backwards)
    assert torch.equal(load(data)["b"], tensors["b"]) and torch.equal(load(data)["a"], tensors["a"])
