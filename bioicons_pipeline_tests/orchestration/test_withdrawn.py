"""Icons that upstream deletes are not handed out from datasets that were built before."""

import shutil

import pytest

from bioicons_pipeline.cli_dataset import OutdatedError, _built_dataset
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
