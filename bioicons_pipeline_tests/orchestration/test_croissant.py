"""A dataset of the starter library as mlcroissant reads it; its description is not in the data version."""

import json

import pytest

from bioicons_pipeline.dataset import export_dataset
from bioicons_pipeline.orchestration.instance import shared_instance
from bioicons_pipeline.orchestration.pipeline import Options, run_pipeline
from bioicons_pipeline.store import Store


@pytest.mark.mlcroissant
def test_the_exported_dataset_is_read_by_mlcroissant(settings, tmp_path):
    import mlcroissant

    with shared_instance(settings) as instance:
        run_pipeline(
            settings, Options("starter", None, "Animals", "flux-tiny", until="icon_dataset"), instance
        )
    store = Store(settings.resolved_store_root)
    ref = store.get_ref("icon_dataset", partition="Animals")
    version = store.version(ref.version_id)
    assert "croissant.json" not in {entry.path for entry in version.files}, "it would train everything again"
    icons = export_dataset(store.checkout(version, tmp_path / "stored"), tmp_path / "out", "parquet")
    dataset = mlcroissant.Dataset(jsonld=tmp_path / "out" / "croissant.json")
    assert not dataset.metadata.issues.errors
    facts = json.loads((tmp_path / "out" / "dataset.json").read_text())
    found = {}
    for record_set in dataset.metadata.record_sets:
        for record in dataset.records(record_set=record_set.id):
            values = {key.rpartition("/")[2]: value for key, value in record.items()}
            found[values["icon_id"]] = values
    assert len(found) == icons == facts["icons"] > 0
    assert {values["spdx"].decode() for values in found.values()} == set(facts["licence_mix"])
    assert all(values["image"].size == (values["width"], values["height"]) for values in found.values())
    assert all(values["author"] and values["caption"] for values in found.values())
