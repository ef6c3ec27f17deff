"""Icons that upstream deletes are not handed out from datasets that were built before."""

import shutil

import pytest

from bioicons_pipeline import cli_run
from bioicons_pipeline.cli_dataset import OutdatedError, _built_dataset
from bioicons_pipeline.orchestration.stages.base import DATASET, WEIGHTS
from bioicons_pipeline.orchestration.stages.withdrawn import UNREADABLE, out_of_date
from bioicons_pipeline.settings import Settings
from bioicons_pipeline_tests.orchestration.conftest import CATEGORIES


def test_datasets_stay_in_until_they_are_made_again(built):
    settings = Settings(data_dir=built.root)

    def let_out(category: str | None) -> bool:
        try:
            with _built_dataset(settings, category) as (folder, _, _):
                return (folder / "dataset.json").is_file()
        except OutdatedError:
            return False

    everything = (None, *CATEGORIES)
    assert all(let_out(category) for category in everything)
    icons = built.root / "icons" / "static" / "icons" / "cc-0"
    (icons / "Good" / "Ann" / "Good-1.svg").unlink()
    shutil.rmtree(icons / "Bad")
    assert built.run("refresh_library").success
    assert built.run("build_datasets", *CATEGORIES, only=("icon_manifest",)).success
    assert not any(let_out(category) for category in everything)
    with pytest.raises(OutdatedError, match="Good-1 by Ann: deleted upstream"):
        _built_dataset(settings, "Good").__enter__()

    built.run("build_datasets", *CATEGORIES)
    assert built.run("build_library_dataset").success
    assert [let_out(category) for category in everything] == [True, False, True]  # Bad is gone for ever


def test_an_adapter_whose_dataset_was_pruned_hides_no_other(built):
    """It stopped the check of all, and with it every `bioicons run`."""
    adapter = built.store.commit({"w": b"adapter"}).id
    there = built.store.get_ref(DATASET, partition="Good").version_id
    for category, dataset in {"Bad": "0" * 64, "Good": there}.items():
        info = {"status": "trained", "dataset_version": dataset}
        built.store.set_ref(WEIGHTS, adapter, partition=category, base="flux-nano", info=info)
    assert out_of_date(built.store) == {"Bad on flux-nano": [UNREADABLE]}
    for file in (built.root / "icons" / "static" / "icons" / "cc-0" / "Good" / "Ann").glob("Good-[1-3].svg"):
        file.unlink()
    assert built.run("refresh_library").success
    assert built.run("build_datasets", *CATEGORIES, only=("icon_manifest",)).success
    assert list(out_of_date(built.store)) == ["Bad on flux-nano", "Good on flux-nano"]
    # at the end of a run those on a base in a folder are named as well
    built.store.set_ref(WEIGHTS, adapter, partition="Good", base="mine-0a1b", info=info)
    said: list[str] = []
    cli_run._warn_of_withdrawn(said.append, Settings(data_dir=built.root))
    assert [line.partition(" was ")[0].rpartition(" LoRA of ")[2] for line in said] == [
        "Bad on flux-nano",
        "Good on flux-nano",
        "Good on mine-0a1b",
    ]
