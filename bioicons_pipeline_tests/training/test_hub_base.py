"""A base on the hub is known by what its files contain: a commit to its README changes nothing."""

import dataclasses

import huggingface_hub
import pytest
from huggingface_hub.hf_api import ModelInfo

from bioicons_pipeline.training.base_models import COMPONENTS, BaseModel, is_of, resolve_base
from bioicons_pipeline.training.errors import TrainingError

ID = "black-forest-labs/FLUX.1-dev"
FIRST, SECOND = "1" * 40, "2" * 40
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
FILES = {
    "model_index.json": "a1",
    **{f"{part}/config.json": f"b{number}" for number, part in enumerate(COMPONENTS)},
    WEIGHTS: "c1",
}
"""What a pipeline is loaded from: path → hash."""
BESIDE = {"README.md": "d1", "LICENSE.md": "d2", "flux1-dev.safetensors": "d3", "vae/notes.md": "d4"}


class Hub:
    """The part of the hub that is asked: commits, each with its files. `online` is whether it answers."""

    def __init__(self, folder):
        self.cache, self.online, self.commits, self.main = folder, True, {}, FIRST

    def commit(self, sha: str, files: dict[str, str | None]):
        self.commits[sha], self.main = files, sha

    def model_info(self, repo_id, *, revision=None, timeout=None, files_metadata=False):
        if not self.online:
            raise ConnectionError("no network")
        assert repo_id == ID and files_metadata
        sha = revision or self.main
        rows = [self.row(path, content) for path, content in self.commits[sha].items()]
        return ModelInfo(id=repo_id, sha=sha, siblings=rows)

    @staticmethod
    def row(path: str, content: str | None) -> dict:
        if content and path.endswith(".safetensors"):  # its blob id is that of the pointer
            return {"rfilename": path, "blobId": "x", "lfs": {"size": 1, "sha256": content, "pointerSize": 1}}
        return {"rfilename": path, "blobId": content}

    def download(self, sha: str, *, main: bool = True):
        """What the hub's client leaves in its cache: links to files that are named by their hash."""
        root = self.cache / f"models--{ID.replace('/', '--')}"
        for path, content in self.commits[sha].items():
            link = root / "snapshots" / sha / path
            link.parent.mkdir(parents=True, exist_ok=True)
            blob = root / "blobs" / str(content)
            blob.parent.mkdir(exist_ok=True)
            blob.write_text("content")
            link.symlink_to(blob)
        if main:
            (root / "refs").mkdir()
            (root / "refs" / "main").write_text(sha)


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Hub:
    made = Hub(tmp_path / "hub")
    made.commit(FIRST, {**FILES, **BESIDE})
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, *a, **o: made.model_info(*a, **o))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(made.cache))
    return made


def resolved(tmp_path, **options) -> BaseModel:
    return resolve_base("flux1-dev", tmp_path, **options)


def test_a_commit_to_what_is_beside_the_model_is_the_same_base(hub, tmp_path):
    """Each README commit made an interrupted run of FLUX.1-dev start anew, and its adapters no longer fit."""
    before = resolved(tmp_path)
    hub.commit(SECOND, {**FILES, **BESIDE, "README.md": "other", "new.png": "e1"})
    after = resolved(tmp_path)
    assert after.fingerprint == before.fingerprint and is_of(before.fingerprint, after)
    assert (before.revision, after.revision) == (FIRST, SECOND)


@pytest.mark.parametrize("path", ["model_index.json", "text_encoder_2/config.json", WEIGHTS])
def test_other_weights_or_configs_are_another_base(path, hub, tmp_path):
    before = resolved(tmp_path)
    hub.commit(SECOND, {**FILES, **BESIDE, path: "other"})
    assert resolved(tmp_path).fingerprint != before.fingerprint
    assert not is_of(before.fingerprint, resolved(tmp_path))


def test_the_commit_that_was_asked_for_is_the_one_that_is_loaded(hub, tmp_path):
    asked = resolved(tmp_path)
    hub.commit(SECOND, {**FILES, **BESIDE, WEIGHTS: "other"})
    assert resolved(tmp_path, revision=asked.revision) == asked


def test_offline_what_was_downloaded_is_the_same_base(hub, tmp_path):
    online = resolved(tmp_path)
    hub.download(FIRST)
    hub.online = False
    base = resolved(tmp_path)
    assert base == online and (base.path, base.revision) == (ID, FIRST)
    assert base.licence.commercial_use is False and "on-commercial" in base.licence.notice


def test_offline_half_a_download_is_no_other_base_but_none(hub, tmp_path):
    hub.commit(SECOND, {path: content for path, content in FILES.items() if not path.startswith("vae/")})
    hub.download(SECOND)
    hub.online = False
    with pytest.raises(TrainingError, match="not in the local hub cache"):
        resolved(tmp_path)


def test_where_a_mirror_tells_no_hashes_the_commit_stands_for_the_content(hub, tmp_path):
    hub.commit(SECOND, dict.fromkeys([*FILES, *BESIDE]))
    assert resolved(tmp_path).fingerprint == f"hub:{ID}@{SECOND}"


def test_an_adapter_of_the_time_when_the_commit_stood_for_the_content_fits(hub, tmp_path):
    base = resolved(tmp_path)
    assert is_of(f"hub:{ID}@{SECOND}", base)
    assert not is_of(f"hub:black-forest-labs/FLUX.1-schnell@{SECOND}", base)
    assert not is_of(f"hub:{ID}@{SECOND}", dataclasses.replace(base, revision=None))


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "refused the Hugging Face token"), (403, "accept its licence"), (None, "cannot be reached")],
)
def test_what_the_hub_answers_becomes_one_sentence(status, message, hub, monkeypatch, tmp_path):
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    def answer(self, *arguments, **options):
        if status is None:
            raise ConnectionError("no network")
        kind = GatedRepoError if status == 403 else HfHubHTTPError
        response = type("Response", (), {"status_code": status, "headers": {}, "request": None})()
        error = kind.__new__(kind)
        Exception.__init__(error, "refused")
        error.response = response
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", answer)
    with pytest.raises(TrainingError, match=message):
        resolved(tmp_path)
