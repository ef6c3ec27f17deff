"""What survives a power failure is what was synced, in this order: files, folders, version, ref.

A killed process loses nothing that the kernel has, so no kill can show a missing fsync: the order of the
system calls is looked at instead.
"""

import os
from pathlib import Path

import pytest

from bioicons_pipeline.store import Store

FILES = {f"png/{number}.png": b"%d" % number for number in range(40)}


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, Path]]:
    """Every fsync and rename, with the path it was about, as they happen."""
    seen: list[tuple[str, Path]] = []
    names: dict[int, Path] = {}
    real_open, real_fsync, real_replace = os.open, os.fsync, os.replace

    def opened(path, *args, **kwargs):
        descriptor = real_open(path, *args, **kwargs)
        names[descriptor] = Path(path)
        return descriptor

    def synced(descriptor):
        real_fsync(descriptor)
        seen.append(("fsync", names[descriptor]))

    def replaced(source, target):
        assert ("fsync", Path(source)) in seen, f"{target} was given unsynced content"
        real_replace(source, target)
        seen.append(("replace", Path(target)))

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    return seen


def test_each_step_is_durable_before_the_next_is_visible(local, calls):
    version = local.commit(FILES)
    local.set_ref("icon_dataset", version.id, partition="Animals")
    root = local.root
    blobs = [path for call, path in calls if call == "replace" and path.parent.parent == root / "blobs"]
    written = calls.index(("replace", root / "versions" / f"{version.id}.json"))
    switched = calls.index(("replace", root / "refs" / "icon_dataset" / "Animals.json"))
    assert len(blobs) == len(FILES)
    for blob in blobs:
        assert calls.index(("replace", blob)) < calls.index(("fsync", blob.parent)) < written
    for folder in (root / "blobs", root, root.parent):  # their names are new too
        assert calls.index(("fsync", folder)) < written
    assert written < calls.index(("fsync", root / "versions")) < switched
    assert ("fsync", root / "refs" / "icon_dataset") in calls[switched:]
    assert ("fsync", root / "refs") in calls[switched:]


def test_many_small_files_cost_one_sync_each_and_one_per_folder(local, calls):
    local.commit(FILES)
    synced = [path for call, path in calls if call == "fsync"]
    folders = [path for path in synced if path.parent == local.root / "blobs"]
    assert len(folders) == len(set(folders)) <= len(FILES)
    assert len(synced) <= len(FILES) + 1 + len(folders) + 8


def test_the_same_content_again_renames_nothing(local, calls):
    version = local.commit(FILES)
    ref = local.set_ref("a", version.id, info={"n": 1})
    calls.clear()
    again = Store(local.root)
    assert again.commit(FILES) == version
    assert again.set_ref("a", version.id, info={"n": 1}) == ref
    assert [call for call in calls if call[0] == "replace"] == []


def test_folders_of_blobs_that_another_process_has_just_put_are_synced(local, calls):
    blob = local.put_blob(b"data")
    folder = local.root / "blobs" / blob.sha256[:2]
    assert ("fsync", folder) not in calls
    Store(local.root).commit({"a": blob})
    assert ("fsync", folder) in calls
