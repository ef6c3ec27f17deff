"""Which LoRA files are refused before a model is loaded, and what a header tells."""

import json

import pytest
import torch

from bioicons_pipeline.generation.adapters import AdapterError, read_adapter
from bioicons_pipeline.training.base_models import BaseLicence, BaseModel
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.export import safetensors_bytes
from bioicons_pipeline.training.header import safetensors_metadata

BASE = BaseModel("flux-toy", "/nowhere", BaseLicence("MIT", None, True, ""), "sha256:abc")
HEADER = {
    "base": "flux-toy",
    "base_fingerprint": "sha256:abc",
    "dataset_version": "d" * 64,
    "upstream_commit": "f3f18b86",
    "config": json.dumps({"resolution": 64, "t5_length": 40}),
    "provenance": json.dumps({"licence_preset": "attribution"}),
}


@pytest.fixture
def written(tmp_path):
    def write(header=HEADER, cut=0):
        path = tmp_path / "style.safetensors"
        data = safetensors_bytes({"a.lora_A.weight": torch.ones(2, 3)}, header)
        path.write_bytes(data[: len(data) - cut])
        return path

    return write


def test_the_header_tells_what_it_was_trained_on(written):
    found = read_adapter(written(), BASE, scale=0.5)
    assert (found.name, found.scale, found.resolution, found.t5_length) == ("style", 0.5, 64, 40)
    assert found.dataset_version == "d" * 64 and found.licence_preset == "attribution"
    assert found.facts.sha256 == found.sha256 and len(found.sha256) == 64


@pytest.mark.parametrize(
    ("config", "icons"),
    [
        ({"export": "best", "eval_every": 50, "steps": 200, "eval_icons": 8}, 8),
        ({"export": "last", "eval_every": 50, "steps": 200, "eval_icons": 8}, 0),
        (
            {"export": "best", "eval_every": 0, "steps": 200, "eval_icons": 8},
            0,
        ),  # only the last
        ({"export": "best", "eval_every": "x", "steps": 200, "eval_icons": 8}, 0),
        ({"export": "best", "eval_every": 200, "steps": 200, "eval_icons": 8}, 0),
        ({}, 0),
    ],
)
def test_how_many_icons_chose_the_step(written, config, icons):
    found = read_adapter(written({**HEADER, "config": json.dumps(config)}), BASE)
    assert found.choosing_icons == icons


def test_a_lora_from_elsewhere_is_taken_without_a_history(written):
    found = read_adapter(written({}), BASE)
    assert found.dataset_version == "" and found.resolution is None and found.licence_preset == ""


def test_a_lora_of_another_base_is_refused_by_name(written):
    path = written({**HEADER, "base": "flux1-dev", "base_fingerprint": "hub:x"})
    with pytest.raises(
        AdapterError, match="trained on flux1-dev, not on this flux-toy: give --base flux1-dev"
    ):
        read_adapter(path, BASE)


@pytest.mark.parametrize("cut", [1, 20, 400])
def test_a_file_that_is_cut_off_is_refused(written, cut):
    with pytest.raises(TrainingError, match="damaged"):
        read_adapter(written(cut=cut), BASE)


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 64, b"\x02" + b"\0" * 7 + b"{}" + b"x", b"\x04" + b"\0" * 7 + b"null"]
)
def test_what_is_no_safetensors_file_is_refused(data):
    with pytest.raises(TrainingError, match="damaged"):
        safetensors_metadata(data)


def test_a_missing_file_and_a_wrong_scale_are_refused(written, tmp_path):
    with pytest.raises(AdapterError, match="cannot be read"):
        read_adapter(tmp_path / "none.safetensors", BASE)
    with pytest.raises(AdapterError, match="outside 0 to 2"):
        read_adapter(written(), BASE, scale=3)
