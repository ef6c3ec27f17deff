"""Checkout: the folder is complete, or it is not there; and what people do to it stays theirs."""

import os
import time

import pytest

from bioicons_pipeline.store import Store, StoreError
from bioicons_pipeline.store.checkout import STAGING

FILES = {"a.txt": b"first", "png/1.png": b"one", "png/2.png": b"two" * 700_000, "png/deep/x": b""}


@pytest.fixture
def version(store):
    return store.commit(FILES)


def read_tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_checkout_writes_every_file(store, version, tmp_path):
    seen = []
    dest = tmp_path / "some" / "where"
    assert store.checkout(version, dest, progress=lambda *args: seen.append(args)) == dest
    assert read_tree(dest) == FILES
    assert seen == [(n, 4) for n in range(1, 5)]
    assert [path.name for path in dest.parent.iterdir()] == ["where"]
    umask = os.umask(0)
    os.umask(umask)
    assert dest.stat().st_mode & 0o777 == 0o777 & ~umask
    assert (dest / "a.txt").stat().st_mode & 0o777 == 0o666 & ~umask


def test_prefix(store, version, tmp_path):
    assert read_tree(store.checkout(version.id, tmp_path / "png", "png/")) == {
        path.removeprefix("png/"): data for path, data in FILES.items() if path.startswith("png/")
    }
    for nothing in ("pn", "a.txt", "jpg"):
        with pytest.raises(StoreError, match=nothing):
            store.checkout(version, tmp_path / "none", nothing)
    assert not (tmp_path / "none").exists()


def test_round_trip_with_commit_tree(store, version, tmp_path):
    assert store.commit_tree(store.checkout(version, tmp_path / "out")) == version


def test_edits_of_a_checkout_do_not_reach_the_blobs(local, tmp_path):
    version = local.commit(FILES)
    dest = local.checkout(version, tmp_path / "out")
    for path in FILES:
        with (dest / path).open("r+b") as file:
            file.write(b"edited")
    assert local.verify(version) == []


def test_a_taken_destination_is_left_alone(store, version, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    store.checkout(version, mine)  # empty is free
    (mine / "a.txt").write_bytes(b"my work")
    with pytest.raises(StoreError, match="mine is not empty"):
        store.checkout(version, mine)
    assert (mine / "a.txt").read_bytes() == b"my work"
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(mine)
    for taken in ("file", "link"):
        for replace in (False, True):
            with pytest.raises(StoreError, match=taken):
                store.checkout(version, tmp_path / taken, replace=replace)
    with pytest.raises(StoreError, match="file stands where a folder should be"):
        store.checkout(version, tmp_path / "file" / "below")


def test_replace_puts_the_new_folder_in_the_place_of_the_old(store, version, tmp_path):
    dest = store.checkout(version, tmp_path / "out")
    (dest / "stray").write_bytes(b"x")
    other = store.commit({"other": b"o"})
    store.checkout(other, dest, replace=True)
    assert read_tree(dest) == {"other": b"o"}
    store.checkout(version, tmp_path / "fresh", replace=True)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "new") == ["fresh", "out"]


@pytest.mark.parametrize("broken", [b"fIrst", None])
@pytest.mark.parametrize("replace", [False, True])
def test_a_damaged_blob_leaves_no_folder(local, tmp_path, broken, replace):
    version = local.commit(FILES)
    sha256 = version.entry("a.txt").sha256
    blob = local.root / "blobs" / sha256[:2] / sha256
    dest = tmp_path / "dest" / "out"
    if replace:
        local.checkout(version, dest)
    blob.unlink() if broken is None else blob.write_bytes(broken)
    with pytest.raises(StoreError, match=rf"{sha256} \(a\.txt\)"):
        local.checkout(version, dest, replace=replace)
    assert [path.name for path in dest.parent.iterdir()] == (["out"] if replace else [])
    if replace:
        assert read_tree(dest) == FILES


@pytest.mark.parametrize("trouble", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["write", "fsync", "replace", "mkdir"])
def test_trouble_on_the_way_leaves_no_folder(local, tmp_path, monkeypatch, trouble, call):
    version = local.commit(FILES)
    dest = tmp_path / "dest" / "out"
    dest.parent.mkdir()

    def fail(*args, **kwargs):
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(
            KeyboardInterrupt if isinstance(trouble, KeyboardInterrupt) else StoreError
        ) as error:
            local.checkout(version, dest)
    if not isinstance(trouble, KeyboardInterrupt):
        assert "no space is left" in str(error.value) and str(dest) in str(error.value)
    assert list(dest.parent.iterdir()) == []
    assert read_tree(local.checkout(version, dest)) == FILES


def test_a_failed_swap_puts_the_old_folder_back(local, tmp_path, monkeypatch):
    version = local.commit(FILES)
    dest = tmp_path / "dest" / "out"
    dest.mkdir(parents=True)
    (dest / "before").write_bytes(b"b")
    real, calls = os.replace, []

    def second_fails(*args):
        calls.append(args)
        if len(calls) == 2:
            raise PermissionError(13, "Permission denied")
        real(*args)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(StoreError, match="does not allow"):
        local.checkout(version, dest, replace=True)
    assert read_tree(dest) == {"before": b"b"}
    assert [path.name for path in dest.parent.iterdir()] == ["out"]


def test_leftovers_of_killed_checkouts_are_swept_when_old(local, tmp_path):
    version = local.commit(FILES)
    parent = tmp_path / "dest"
    for name, hours in ((f"{STAGING}1", 48), (f"{STAGING}2", 1), (".mine", 48)):
        (parent / name / "sub").mkdir(parents=True)
        then = time.time() - hours * 3600
        os.utime(parent / name, (then, then))
    local.checkout(version, parent / "out")
    assert sorted(path.name for path in parent.iterdir()) == [f"{STAGING}2", ".mine", "out"]


def test_two_names_that_are_one_file_there_do_not_merge(local, tmp_path, monkeypatch):
    """As on a file system that ignores case."""
    version = local.commit({"A": b"1", "a": b"2"})
    real = os.open

    def ignoring_case(path, *args, **kwargs):
        path = str(path)
        return real(path[:-2] + "/a" if path.endswith("/A") else path, *args, **kwargs)

    monkeypatch.setattr(os, "open", ignoring_case)
    with pytest.raises(StoreError, match="one file"):
        local.checkout(version, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_checkout_from_another_process_view(store, version, tmp_path):
    assert read_tree(Store(str(store.root)).checkout(version.id, tmp_path / "o")) == FILES
