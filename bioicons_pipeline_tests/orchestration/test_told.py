"""What runs tell: columns and where they come from, what is gone, retries, what was published."""

import os
import shutil
import time

import dagster as dg
from typer.testing import CliRunner

from bioicons_pipeline import cli_lora
from bioicons_pipeline.cli import app
from bioicons_pipeline.library.observe import Observation
from bioicons_pipeline.orchestration import looks
from bioicons_pipeline.orchestration.assets.icon_manifest import icon_manifest
from bioicons_pipeline.orchestration.assets.inputs import bioicons_upstream
from bioicons_pipeline.orchestration.resources import ArtifactStore, UpstreamLibrary
from bioicons_pipeline.orchestration.stages import inputs
from bioicons_pipeline.orchestration.stages.base import DATASET, SNAPSHOT, WEIGHTS
from bioicons_pipeline.settings import get_settings
from bioicons_pipeline_tests.dataset.test_publish import RecordingApi
from bioicons_pipeline_tests.generation.test_release import release


def told(place, key: str, category: str | None) -> dict:
    """Metadata of the newest materialization of an asset."""
    wanted = dg.AssetRecordsFilter(dg.AssetKey(key.split("/")), asset_partitions=category and [category])
    (record,) = place.instance.fetch_materializations(wanted, limit=1).records
    return dict(record.asset_materialization.metadata)


def test_columns_and_where_they_come_from(built):
    assert built.run("build_datasets", "Good").success and built.run("build_library_dataset").success
    made = told(built, "icon_dataset", "Good")
    assert made["dagster/column_schema"].value == looks.DATASET_SCHEMA
    assert made["dagster/column_lineage"].value == looks.DATASET_LINEAGE
    whole = told(built, "library/icon_dataset", None)
    assert whole["dagster/column_schema"].value == looks.DATASET_SCHEMA
    assert whole["dagster/column_lineage"].value == looks.LIBRARY_DATASET_LINEAGE
    # the manifest's columns are those of its definition, where the UI looks where a materialization has none
    of_asset = icon_manifest.metadata_by_key[icon_manifest.key]
    assert of_asset["dagster/column_schema"] == looks.MANIFEST_SCHEMA


def test_a_category_that_is_gone_says_since_when(built):
    shutil.rmtree(built.root / "icons/static/icons/cc-0/Bad")
    assert built.run("refresh_library").success and built.run("build_datasets", "Bad").success
    commit = built.store.get_ref(SNAPSHOT).info["commit"]
    for name in ("icon_manifest", "icon_dataset"):
        assert told(built, name, "Bad")["withdrawn upstream at"].value == commit


def test_a_remote_that_is_asked_again_is_in_the_log(tmp_path, monkeypatch):
    def flaky(source, ref, cache_dir, *, report):
        report("It does not answer. Next try in 10 s.")
        return Observation("1", "c0ffee", source)

    monkeypatch.setattr(inputs, "upstream_version", flaky)
    said = []
    context = dg.build_op_context()
    monkeypatch.setattr(context.log, "warning", said.append)
    store = ArtifactStore(root=str(tmp_path), cache_dir=str(tmp_path), work_dir=str(tmp_path))
    upstream = UpstreamLibrary(source="git://x", licence_preset="attribution", render_size=64)
    bioicons_upstream(context, artifacts=store, upstream=upstream)
    assert said == ["It does not answer. Next try in 10 s."]


def test_what_publish_lora_has_sent_is_not_pruned(built, monkeypatch):
    """By the command itself: the note in the store is what `prune` goes by."""
    monkeypatch.setenv("BIOICONS_DATA_DIR", str(built.root / "data"))
    monkeypatch.setenv("BIOICONS_STORE_ROOT", str(built.store.root))
    get_settings.cache_clear()
    api = RecordingApi()
    monkeypatch.setattr(cli_lora, "hub_api", lambda: api)
    adapter, newer = (built.store.commit(release().adapter | {"n": text}).id for text in (b"1", b"2"))
    info = {"status": "trained", "dataset_version": built.store.get_ref(DATASET, partition="Good").version_id}
    built.store.set_ref(WEIGHTS, adapter, partition="Good", base="flux-nano", info=info)
    done = CliRunner().invoke(app, ["publish", "lora", "--repo", "lab/icons", "--category", "Good"])
    assert done.exit_code == 0 and [name for name, _ in api.calls] == ["create_repo", "upload_folder"]
    built.store.set_ref(WEIGHTS, newer, partition="Good", base="flux-nano", info=info)
    then = time.time() - 20 * 24 * 3600
    for file in built.store.root.rglob("*"):
        os.utime(file, (then, then))
    assert CliRunner().invoke(app, ["prune"]).exit_code == 0
    assert built.store.verify(adapter) == []
    get_settings.cache_clear()
