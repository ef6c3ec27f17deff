"""What leaves with a LoRA, what its card says, and what stops it."""

import json
import sys

import pytest
import yaml
from huggingface_hub.utils import filter_repo_objects

from bioicons_pipeline import cli, cli_lora
from bioicons_pipeline.dataset.hub import PublishRefusedError, push
from bioicons_pipeline.generation.release import Release, adapter_licence, release_files
from bioicons_pipeline.orchestration.stages.published import Publication
from bioicons_pipeline.settings import get_settings
from bioicons_pipeline.store import Store
from bioicons_pipeline.training.base_models import REGISTRY
from bioicons_pipeline_tests.dataset.test_publish import RecordingApi

REPORT = {
    "base": {"name": "flux1-dev", "licence": "FLUX.1 [dev] Non-Commercial License", "fingerprint": "hub:x@1",
             "notice": "Non-commercial use only."},
    "config": {"batch_size": 4, "accumulation": 2, "rank": 16, "alpha": 32.0, "learning_rate": 1e-4,
               "resolution": 1024, "t5_length": 512},
    "provenance": {"trigger": "bioicons style", "licence_preset": "attribution", "category": "Animals"},
    "dataset": {"version": "d" * 64}, "steps": 1000, "exported_step": 800,
    "train_loss_before": 0.5, "train_loss_after": 0.4321,
    "heldout_loss_before": 0.51, "heldout_loss_after": 0.4444,
}  # fmt: skip
DATASET = {
    "icons": 30, "splits": {"train": 27, "heldout": 3}, "commit": "f3f18b86",
    "licence_mix": {"CC-BY-4.0": 30},
    "authors": {"Ann_*Author*": 20, "<script>": 10},
}  # fmt: skip


def release(**changes):
    report = {**REPORT, **changes.get("report", {})}
    dataset = {**DATASET, **changes.get("dataset", {})}
    samples = {"rows": [{"prompt": "a snail"}, {"prompt": "a crab"}]}
    return Release(
        adapter={
            "pytorch_lora_weights.safetensors": b"weights",
            "training_report.json": json.dumps(report).encode(),
            "loss_curve.png": b"curve",
            "something_else": b"",
        },
        credits={
            "ATTRIBUTION.md": b"credits", "LICENSES/CC-BY-4.0.txt": b"text", "sampling_weights.csv": b"",
            "dataset.json": json.dumps(dataset).encode(),
        },
        grid={"grid.png": b"grid", "samples.json": json.dumps(samples).encode(), "samples/00-lora.png": b"0",
              "samples/00-base.png": b"0", "samples/01-lora.png": b"1"},
        hub_id="black-forest-labs/FLUX.1-dev",
    )  # fmt: skip


def card_of(files):
    _, head, text = files["README.md"].decode().split("---\n", 2)
    return yaml.safe_load(head), text


def test_weights_credits_licences_and_gallery_go_together():
    files = release_files(release(), "me/animals", "attribution")
    assert {
        "pytorch_lora_weights.safetensors",
        "ATTRIBUTION.md",
        "LICENSES/CC-BY-4.0.txt",
        "grid.png",
    } <= set(files)
    assert "something_else" not in files and "sampling_weights.csv" not in files
    head, _ = card_of(files)
    assert head["widget"] == [
        {"text": "a snail", "output": {"url": "samples/00-lora.png"}},
        {"text": "a crab", "output": {"url": "samples/01-lora.png"}},
    ]


def test_the_card_has_the_figures_of_the_report():
    head, text = card_of(release_files(release(), "me/animals", "attribution"))
    assert (
        head["base_model"] == "black-forest-labs/FLUX.1-dev" and head["instance_prompt"] == "bioicons style"
    )
    expected = (
        "0.5000 before, 0.4321 after",
        "0.5100 before, 0.4444 after",
        "exported: step 800",
        "f3f18b86",
        "Non-commercial use only.",
        "27 to train on, 3 held out",
        r"Ann\_\*Author\* (20)",
    )
    assert [said for said in expected if said not in text] == []
    assert "<script>" not in text


def test_no_held_out_icons_are_said():
    changed = release(report={"heldout_loss_before": None, "heldout_loss_after": None})
    assert "none held out" in card_of(release_files(changed, "me/animals", "attribution"))[1]


def test_a_free_base_is_not_called_non_commercial():
    """The card of an adapter on FLUX.1-schnell, from the registry's own words; dev's is the counterproof."""

    def card(name):
        licence = REGISTRY[name].licence
        base = {"name": name, "licence": licence.name, "fingerprint": "hub:x@1", "notice": licence.notice}
        return card_of(release_files(release(report={"base": base}), "me/animals", "attribution"))

    (head, text), (dev_head, dev_text) = card("flux1-schnell"), card("flux1-dev")
    assert "Apache-2.0" in text and "Apache License 2.0" in text and head["license"] == "cc-by-4.0"
    assert "num_inference_steps=4, guidance_scale=0.0)" in text
    assert "on-commercial" not in text + str(head) and "on-commercial" in dev_text
    assert "num_inference_steps" not in dev_text and dev_head["license"] == "other"


@pytest.mark.parametrize(
    ("base", "licence", "preset", "expected"),
    [
        ("flux1-schnell", "Apache-2.0", "share-alike", "cc-by-sa-4.0"),
        ("flux1-dev", "FLUX.1 [dev] Non-Commercial License", "share-alike", "other"),
        ("flux-nano", "MIT", "attribution", "cc-by-4.0"),
        ("flux-nano", "MIT", "share-alike", "cc-by-sa-4.0"),
        ("model", "unknown (local folder)", "attribution", "other"),
    ],
)
def test_the_licence_follows_base_and_icons(base, licence, preset, expected):
    assert adapter_licence(base, licence, preset)["license"] == expected


@pytest.mark.parametrize("gone", ["pytorch_lora_weights.safetensors", "training_report.json"])
def test_an_incomplete_adapter_is_refused(gone):
    made = release()
    adapter = {name: data for name, data in made.adapter.items() if name != gone}
    with pytest.raises(PublishRefusedError, match=gone):
        release_files(Release(adapter, made.credits, made.grid), "me/animals", "attribution")


@pytest.mark.parametrize("gone", ["ATTRIBUTION.md", "LICENSES/CC-BY-4.0.txt"])
def test_an_adapter_without_its_credits_is_refused(gone):
    made = release()
    credits = {name: data for name, data in made.credits.items() if name != gone}
    with pytest.raises(PublishRefusedError, match=gone.split("/")[0]):
        release_files(Release(made.adapter, credits, made.grid), "me/animals", "attribution")


def test_an_adapter_of_icons_outside_the_preset_is_refused():
    changed = release(dataset={"licence_mix": {"CC-BY-4.0": 29, "CC-BY-SA-4.0": 1}})
    with pytest.raises(PublishRefusedError, match=r"CC-BY-SA-4\.0"):
        release_files(changed, "me/animals", "attribution")
    assert release_files(changed, "me/animals", "share-alike")


def test_it_is_pushed_as_a_model(tmp_path):
    api = RecordingApi()
    push(tmp_path, "me/animals", "model", "LoRA", api=api, private=True)
    assert [(name, given["repo_type"]) for name, given in api.calls] == [
        ("create_repo", "model"),
        ("upload_folder", "model"),
    ]


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Run `bioicons publish lora` to a hub that records; returns the hub, the release and its version."""
    monkeypatch.setenv("BIOICONS_DATA_DIR", str(tmp_path))
    get_settings.cache_clear()
    trained = Store(tmp_path / "store").commit({"adapter": b"weights"}).id
    api, made = RecordingApi(), release()
    monkeypatch.setattr(cli_lora, "hub_api", lambda: api)
    monkeypatch.setattr(cli_lora, "_trained", lambda *_: (made, Publication(trained, "flux1-dev", trained)))

    def run(*options: str) -> tuple[RecordingApi, Release, str]:
        monkeypatch.setattr(sys, "argv", ["bioicons", "publish", "lora", "--repo", "me/animals", *options])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert not stopped.value.code
        return api, made, trained

    yield run
    get_settings.cache_clear()


def test_files_of_an_older_release_go_away_and_the_owners_own_stay(publish):
    api, made, _ = publish()
    (_, sent) = api.calls[-1]
    older = ["comfyui_lora.safetensors", "samples/07-lora.png", "LICENSES/MIT.txt", "ATTRIBUTION.csv"]
    own = [".gitattributes", "notes.md", "samples.zip", "pictures/grid.png", "other.safetensors"]
    assert list(filter_repo_objects([*older, *own], allow_patterns=sent["delete_patterns"])) == older
    # all that a release sends is replaced by the next, but the card, which every release has
    assert set(release_files(made, "me/animals", "attribution")) - {"README.md"} == set(
        filter_repo_objects(
            release_files(made, "me/animals", "attribution"), allow_patterns=sent["delete_patterns"]
        )
    )


@pytest.mark.parametrize("sent", [False, True])
def test_a_script_reads_what_went(publish, capsys, sent):
    api, made, trained = publish("--json") if sent else publish("--json", "--dry-run")
    told = json.loads(capsys.readouterr().out)
    assert bool(api.calls) is sent
    files = {name: len(data) for name, data in release_files(made, "me/animals", "attribution").items()}
    assert told == {
        "sent": sent,
        "repo": "me/animals",
        "address": "https://huggingface.co/me/animals",
        "private": False,
        "preset": "attribution",
        "base": "flux1-dev",
        "version": trained,
        "bytes": sum(files.values()),
        "files": files,
    }
