"""FLUX.1-schnell: no guidance input, a scheduler that does not shift, four steps, a free licence.

Its weights are not here: the trainings run on its configuration scaled down. The objective on a transformer
without a guidance input is compared with the reference in test_objective.
"""

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from lxml import etree
from PIL import Image

from bioicons_pipeline.generation.provenance import BaseFacts, make_card, to_rdf
from bioicons_pipeline.generation.sampler import SamplingSettings, sample
from bioicons_pipeline.orchestration.stages.grid import sampling_settings
from bioicons_pipeline.orchestration.stages.weights import sampling_of, training_config
from bioicons_pipeline.store import Store
from bioicons_pipeline.training import run
from bioicons_pipeline.training.base_models import REGISTRY, BaseModel
from bioicons_pipeline.training.lora import Trainer
from bioicons_pipeline.training.memory import FLUX_DEV, GIB, Machine, settle
from bioicons_pipeline.training.objective import resolution_shift
from bioicons_pipeline.training.presets import PRESETS
from bioicons_pipeline.training.shape import FluxShape
from bioicons_pipeline.training.tiny_base import build_tiny_base
from bioicons_pipeline_tests.training.conftest import MINI

ROW = REGISTRY["flux1-schnell"]
SCHNELL = BaseModel(ROW.name, str(ROW.hub_id), ROW.licence, "hub:x@1", "1")
DEV = BaseModel("flux1-dev", "x", REGISTRY["flux1-dev"].licence, "hub:x@2", "2")
SCHEDULER = {"num_train_timesteps": 1000, "shift": 1.0, "use_dynamic_shifting": False}
"""What its scheduler_config.json says, as far as training or sampling reads it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The mini pipeline, configured as FLUX.1-schnell is."""
    root = tmp_path_factory.mktemp("schnell")
    target = root / "schnell"
    shutil.copytree(build_tiny_base(root, replace(MINI, guidance_embeds=False)), target)
    path = target / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | SCHEDULER))
    return target


@pytest.fixture(scope="module")
def finished(folder, make_request):
    """(request, outcome, the guidance of its trainer, what the transformer was given)."""
    given, guidance = [], []

    def spy(trainer, kept=Trainer.__post_init__):
        kept(trainer)
        guidance.append(trainer.guidance)
        trainer.model.register_forward_pre_hook(
            lambda _module, _args, kwargs: given.append(kwargs["guidance"]), with_kwargs=True
        )

    options = {
        "export": "last",
        "validation_every": 10,
        "validation_steps": 4,
        "validation_guidance": 0.0,
        "validation_prompts": ("a cell",),
        "timestep_sampling": "shifted",
    }
    request = make_request(**options).model_copy(update={"base": str(folder)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "__post_init__", spy)
        outcome = run.train(request, quiet=True)
    return request, outcome, guidance, given


def test_it_is_trained_without_guidance(finished):
    _, outcome, guidance, given = finished
    assert guidance == [None] and len(given) > 10 and set(given) == {None}
    assert outcome.train_loss_after < outcome.train_loss_before


def test_its_adapter_loads_through_the_pipeline_and_draws_in_four_steps(finished, folder, tmp_path):
    """FluxPipeline draws, from the committed file, the picture that the trainer drew at its last step."""
    from diffusers import FluxPipeline

    request, outcome, _, _ = finished
    store = Store(request.store_root)
    version = store.version(outcome.version_id)
    files = store.checkout(version, tmp_path / "weights")
    pipeline = FluxPipeline.from_pretrained(str(folder))
    pipeline.set_progress_bar_config(disable=True)
    settings = SamplingSettings(size=32, max_sequence_length=request.config.t5_length, **ROW.sampling)
    plain = np.asarray(sample(pipeline, ["a cell"], [0], settings)[0]).astype(int)
    pipeline.load_lora_weights(
        str(files), weight_name="pytorch_lora_weights.safetensors", adapter_name="bioicons0"
    )
    drawn = np.asarray(sample(pipeline, ["a cell"], [0], settings, scales=(1.0,))[0]).astype(int)
    assert outcome.exported_step == 10
    kept = Image.open(io.BytesIO(store.read(version, "validation/step-00000010/00.png"))).convert("RGB")
    assert np.abs(drawn - np.asarray(kept).astype(int)).max() <= 1
    assert np.abs(drawn - plain).max() > 1


def test_sigmas_are_not_shifted():
    """mu is 0 for every size, so `shifted` draws the same sigmas as the plain logit-normal."""
    assert [resolution_shift(tokens, SCHEDULER) for tokens in (16, 1024, 4096)] == [0.0, 0.0, 0.0]
    assert resolution_shift(4096, SCHEDULER | {"use_dynamic_shifting": True}) == pytest.approx(1.15)


@pytest.mark.parametrize("preset", ["", "gpu-80gb", "gpu-24gb", "gpu-12gb"])
def test_each_preset_is_trained_with_its_text_length(preset):
    config = training_config(SCHNELL, {"preset": preset})
    assert (config.t5_length, config.validation_steps, config.validation_guidance) == (256, 4, 0.0)
    assert training_config(DEV, {"preset": preset}) == PRESETS[preset or "gpu-80gb"]
    assert config.quantize == PRESETS[preset or "gpu-80gb"].quantize
    assert training_config(SCHNELL, {"overrides": '{"t5_length": 64}'}).t5_length == 64


@pytest.mark.parametrize(("preset", "card"), [("gpu-80gb", 79), ("gpu-24gb", 23), ("gpu-12gb", 11.5)])
def test_each_preset_fits_its_card(preset, card):
    """The same parts as FLUX.1-dev but for the guidance embedder; fewer text tokens take no more memory."""
    pieces = replace(FLUX_DEV, transformer=FluxShape(guidance=False))
    assert pieces.transformer.parameters() < FLUX_DEV.transformer.parameters()
    machine = Machine("cuda", int(card * GIB), half=True, bf16=True)
    _, needed = settle(pieces, training_config(SCHNELL, {"preset": preset}), machine)
    _, devs = settle(FLUX_DEV, training_config(DEV, {"preset": preset}), machine)
    assert needed.peak <= devs.peak and needed.base < devs.base


def test_it_is_sampled_in_four_steps_without_guidance_unless_asked():
    trained = {"resolution": 512, "t5_length": 256}
    settings = sampling_settings(SCHNELL, trained, {})
    assert (settings.steps, settings.guidance, settings.size, settings.max_sequence_length) == (
        4,
        0.0,
        512,
        256,
    )
    assert sampling_settings(SCHNELL, trained, {"steps": 9}).steps == 9
    assert sampling_settings(DEV, trained, {}).steps == SamplingSettings().steps == 28
    assert sampling_of(replace(SCHNELL, licence=DEV.licence)) == {}, "a folder of that name is another base"


def test_an_icons_card_allows_commercial_use():
    def card(base):
        licence = base.licence
        facts = BaseFacts(
            name=base.name,
            licence=licence.name,
            licence_url=licence.url or "",
            commercial_use=bool(licence.commercial_use),
            fingerprint=base.fingerprint,
        )
        return make_card(
            generator="x", prompt="a", caption="a", seed=0, size=64, steps=4, guidance=0.0, base=facts
        )

    said = {base.name: etree.tostring(to_rdf(card(base)), encoding="unicode") for base in (SCHNELL, DEV)}
    assert "commercial use allowed" in said["flux1-schnell"] and "Apache-2.0" in said["flux1-schnell"]
    assert "no commercial use" not in said["flux1-schnell"] and "no commercial use" in said["flux1-dev"]


def test_the_guidance_input_is_really_missing(folder):
    from diffusers import FluxTransformer2DModel

    transformer = FluxTransformer2DModel.from_pretrained(str(folder), subfolder="transformer")
    assert not any("guidance" in name for name, _ in transformer.named_parameters())
    assert isinstance(transformer.x_embedder, torch.nn.Linear)
