"""Base models: names, tokens, folders; the tiny base is a real Flux pipeline, the same everywhere."""

import json
import shutil

import pytest
import torch

from bioicons_pipeline.training import base_models
from bioicons_pipeline.training.base_models import (
    REGISTRY,
    check_base,
    folder_fingerprint,
    hub_token,
    resolve_base,
)
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.tiny_base import build_tiny_base
from bioicons_pipeline_tests.training.conftest import MINI


@pytest.fixture
def no_token(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    return tmp_path


def test_flux_dev_without_a_token_says_what_to_do(no_token, tmp_path, monkeypatch):
    monkeypatch.setattr(base_models, "hub_content", lambda *a, **o: pytest.fail("went to the hub"))
    for call in (check_base, lambda name: resolve_base(name, tmp_path)):
        with pytest.raises(
            TrainingError, match=r"accept its licence at https://huggingface\.co/.* set HF_TOKEN"
        ):
            call("flux1-dev")


def test_where_another_machine_loads_it_no_token_is_needed_here(no_token, tmp_path, monkeypatch):
    """The box that rents GPUs has no token: it asks the hub for a commit only, which needs none."""
    monkeypatch.setattr(base_models, "hub_content", lambda *a, **o: ("abc123", "hub:x@sha256:1"))
    base = resolve_base("flux1-dev", tmp_path, elsewhere=True)
    assert (base.fingerprint, base.revision) == ("hub:x@sha256:1", "abc123")
    with pytest.raises(TrainingError, match="neither a known name"):
        resolve_base(str(tmp_path / "missing"), tmp_path, elsewhere=True)


def test_a_token_is_found_where_the_hub_client_keeps_it(no_token, monkeypatch):
    assert hub_token() is None
    (no_token / "token").write_text("hf_file\n")
    assert hub_token() == "hf_file"
    monkeypatch.setenv("HF_TOKEN", " hf_variable ")
    assert hub_token() == "hf_variable"
    check_base("flux1-dev")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda folder: folder / "missing",
            "neither a known name .flux-nano, flux-tiny, flux1-dev, flux1-schnell. nor an existing folder",
        ),
        (lambda folder: folder, "no model_index.json"),
        (
            lambda folder: (folder / "model_index.json").write_text("{}") and folder,
            "lacks scheduler, text_encoder",
        ),
    ],
)
def test_folders_that_are_no_model(make, message, tmp_path):
    with pytest.raises(TrainingError, match=message) as caught:
        check_base(str(make(tmp_path)))
    assert "\n" not in str(caught.value)


def test_every_registered_base_says_its_licence():
    for row in REGISTRY.values():
        assert row.licence.name and row.licence.notice and row.description
        assert (row.hub_id is None) != (row.build is None)


def test_the_fingerprint_is_of_the_content(mini_folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(mini_folder, copy)
    (copy / "README.md").write_text("A card that was not there.")
    (copy / "history.json").write_text("{}")
    (copy / "vae" / "._config.json").write_text("what a file system keeps beside a file")
    assert folder_fingerprint(copy) == folder_fingerprint(mini_folder)
    weights = copy / "transformer" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert folder_fingerprint(copy) != folder_fingerprint(mini_folder)


def test_large_files_are_sampled_and_a_retrained_one_still_differs(tmp_path, monkeypatch):
    monkeypatch.setattr(base_models, "_WHOLE_FILE", 1000)
    monkeypatch.setattr(base_models, "_SAMPLE_SIZE", 100)
    file = tmp_path / "vae" / "weights.safetensors"
    file.parent.mkdir()
    file.write_bytes(bytes(100_000))
    first = folder_fingerprint(tmp_path)
    file.write_bytes(bytes(99_950) + b"x" * 50)
    assert folder_fingerprint(tmp_path) != first


def test_the_tiny_base_is_built_once_and_the_same_everywhere(mini_folder, tmp_path):
    before = (mini_folder / "model_index.json").stat().st_mtime_ns
    assert build_tiny_base(mini_folder.parent, MINI) == mini_folder
    assert (mini_folder / "model_index.json").stat().st_mtime_ns == before
    torch.manual_seed(123)
    elsewhere = build_tiny_base(tmp_path, MINI)
    assert folder_fingerprint(elsewhere) == folder_fingerprint(mini_folder)
    assert [path.name for path in tmp_path.iterdir()] == [elsewhere.name]


def test_the_tiny_base_is_a_real_flux_pipeline(mini_folder, mini_pipeline):
    classes = {
        name: entry[1]
        for name, entry in json.loads((mini_folder / "model_index.json").read_text()).items()
        if isinstance(entry, list) and entry[1]
    }
    assert classes["transformer"] == "FluxTransformer2DModel" and classes["vae"] == "AutoencoderKL"
    assert classes["text_encoder"] == "CLIPTextModel" and classes["text_encoder_2"] == "T5EncoderModel"
    transformer, vae = mini_pipeline.transformer.config, mini_pipeline.vae.config
    assert transformer.in_channels == 64 and transformer.guidance_embeds
    assert sum(transformer.axes_dims_rope) == transformer.attention_head_dim
    assert vae.latent_channels == 16 and mini_pipeline.vae_scale_factor == 8
    total = sum(path.stat().st_size for path in mini_folder.rglob("*.safetensors"))
    assert total < 2 * 2**20


def test_its_tokenizers_take_any_caption(mini_pipeline):
    captions = ["a red cell, side view", "Zoë’s 线粒体 – 50 µm", "", "x" * 2000]
    for caption in captions:
        assert (
            mini_pipeline.tokenizer(caption, truncation=True).input_ids[-1]
            == mini_pipeline.tokenizer.eos_token_id
        )
        assert mini_pipeline.tokenizer_2(caption).input_ids[-1] == mini_pipeline.tokenizer_2.eos_token_id
    words = mini_pipeline.tokenizer_2.convert_ids_to_tokens(mini_pipeline.tokenizer_2("a red cell").input_ids)
    assert words == ["▁a", "▁red", "▁cell", "</s>"]


def test_different_captions_have_different_embeddings(mini_pipeline):
    with torch.no_grad():
        a, b = (
            mini_pipeline.encode_prompt(text, max_sequence_length=16)[:2] for text in ("a red cell", "a tube")
        )
    assert not torch.allclose(a[0], b[0]) and not torch.allclose(a[1], b[1])


def test_a_packaged_base_that_is_not_there_says_how_to_make_it(monkeypatch, tmp_path):
    monkeypatch.setattr(base_models, "PACKAGED_NANO", tmp_path / "flux_nano")
    with pytest.raises(TrainingError, match="use flux-tiny, or train it"):
        base_models.resolve_base("flux-nano", tmp_path)
