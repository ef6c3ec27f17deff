"""What is asked of an adapter's bytes: what training makes is sound, and what lost a part is found."""

import json
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load

from bioicons_pipeline.store import Store
from bioicons_pipeline.training import run
from bioicons_pipeline.training.export import safetensors_bytes
from bioicons_pipeline.training.findings import adapter_faults
from bioicons_pipeline.training.header import safetensors_metadata

MODULE = "single_transformer_blocks.0.attn.to_q"
MAGNITUDE = f"transformer.{MODULE}.lora_magnitude_vector"


@dataclass
class Adapter:
    """An adapter taken apart, to be put together with something wrong in it."""

    tensors: dict
    header: dict

    def faults(self) -> list[str]:
        return adapter_faults(safetensors_bytes(self.tensors, self.header))


def trained(make_request, **config) -> Adapter:
    request = make_request(steps=1, warmup_steps=0, eval_every=0, **config)
    outcome = run.train(request, quiet=True)
    store = Store(request.store_root)
    data = store.read(store.version(outcome.version_id), "pytorch_lora_weights.safetensors")
    return Adapter(load(data), safetensors_metadata(data))


@pytest.fixture(scope="module")
def trained_dora(make_request) -> Adapter:
    return trained(make_request, dora=True)


@pytest.fixture
def dora(trained_dora) -> Adapter:
    """A copy, for the test to damage."""
    return Adapter(dict(trained_dora.tensors), dict(trained_dora.header))


@pytest.mark.parametrize("config", [{}, {"rslora": True, "dora": True}, {"dora": True}])
def test_every_kind_of_adapter_that_is_trained_here_is_sound(make_request, config):
    """DoRA's magnitudes were taken for modules that no LoRA adapts: each such training was thrown away."""
    assert trained(make_request, **config).faults() == []


def test_a_magnitude_that_is_missing_or_not_finite_is_found(dora):
    whole = dora.tensors.pop(MAGNITUDE)
    assert dora.faults() == [f"{MODULE}: it is a DoRA, and its magnitude is missing"]
    dora.tensors[MAGNITUDE] = torch.full_like(whole, torch.nan)
    assert dora.faults() == [f"{MAGNITUDE}: it has values that are not finite"]


def test_magnitudes_in_a_plain_lora_are_found(dora):
    said = json.loads(dora.header["lora_adapter_metadata"])
    dora.header["lora_adapter_metadata"] = json.dumps({**said, "transformer.use_dora": False})
    assert f"{MODULE}: it has a magnitude, and the header does not say that it is a DoRA" in dora.faults()


@pytest.mark.parametrize("damaged", ["{", "[]"])
def test_a_description_that_cannot_be_read_is_a_finding(dora, damaged):
    dora.header["lora_adapter_metadata"] = damaged
    assert dora.faults() == ["the header's lora_adapter_metadata cannot be read"]


def test_half_a_pair_is_found(dora):
    del dora.tensors[f"transformer.{MODULE}.lora_A.weight"]
    assert dora.faults() == [f"{MODULE}: half of its pair is missing"]
