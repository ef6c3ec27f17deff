"""Publishing, with an api that records what it is given: the gate, the dry run, the upload."""

import dataclasses

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import LocalTokenNotFoundError

from bioicons_pipeline.dataset import PublishRefusedError, publish_dataset
from bioicons_pipeline_tests.dataset.test_dataset import ROWS, build


class RecordingApi:
    """Takes the calls of HfApi that publishing makes; a name or argument HfApi lacks is an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[str, dict]] = []
        self.error = error

    def __getattr__(self, name):
        import inspect

        accepted = inspect.signature(getattr(HfApi, name)).parameters

        def call(**given):
            assert set(given) <= set(accepted)
            self.calls.append((name, given))
            if self.error:
                raise self.error

        return call


def test_upload_of_a_whole_dataset(tmp_path):
    build(tmp_path, ROWS)
    api = RecordingApi()
    plan = publish_dataset(tmp_path, "me/icons", "attribution", api=api, private=True)
    assert [name for name, _ in api.calls] == ["create_repo", "upload_folder"]
    assert all(given["repo_type"] == "dataset" and given["repo_id"] == "me/icons" for _, given in api.calls)
    assert api.calls[0][1]["private"] is True
    assert api.calls[1][1]["folder_path"] == str(tmp_path)
    assert plan.icons == 40 and plan.size == sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())


def test_a_dry_run_tells_all_and_touches_nothing(tmp_path):
    build(tmp_path, ROWS)
    api = RecordingApi()
    plan = publish_dataset(tmp_path, "me/icons", "attribution", api=api, dry_run=True)
    assert api.calls == []
    assert {"README.md", "ATTRIBUTION.md", "data/train-animals.parquet"} <= {name for name, _ in plan.files}


@pytest.mark.parametrize("spdx", ["CC-BY-SA-4.0", "", "nonsense"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_one_icon_outside_the_preset_stops_it(tmp_path, spdx, dry_run):
    build(tmp_path, [*ROWS[:-1], dataclasses.replace(ROWS[-1], spdx=spdx)])
    api = RecordingApi()
    with pytest.raises(PublishRefusedError, match=ROWS[-1].icon_id):
        publish_dataset(tmp_path, "me/icons", "attribution", api=api, dry_run=dry_run)
    assert api.calls == []


def test_missing_credits_and_an_empty_dataset_stop_it(tmp_path):
    build(tmp_path / "set", ROWS)
    (tmp_path / "set" / "ATTRIBUTION.md").unlink()
    with pytest.raises(PublishRefusedError, match=r"ATTRIBUTION\.md"):
        publish_dataset(tmp_path / "set", "me/icons", "attribution", api=RecordingApi())
    build(tmp_path / "other", ROWS)
    for shard in (tmp_path / "other" / "data").iterdir():
        shard.unlink()
    with pytest.raises(PublishRefusedError, match="no icon"):
        publish_dataset(tmp_path / "other", "me/icons", "attribution", api=RecordingApi())


def test_the_hubs_refusal_is_one_sentence(tmp_path):
    build(tmp_path, ROWS)
    error = LocalTokenNotFoundError("no token")
    with pytest.raises(PublishRefusedError, match="me/icons"):
        publish_dataset(tmp_path, "me/icons", "attribution", api=RecordingApi(error))
