"""Blobs and versions, on disk and in memory."""

import hashlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.store import BlobRef, Damage, FileEntry, Store, StoreError, Version

FILES = {"b.txt": b"second", "png/ä.png": b"\x89PNG" * 10, "a.txt": b"first", "empty": b""}


def test_commit_lists_the_files_sorted_with_hash_and_size(store):
    version = store.commit(FILES)
    assert [entry.path for entry in version.files] == sorted(FILES)
    for entry in version.files:
        data = FILES[entry.path]
        assert (entry.sha256, entry.size) == (hashlib.sha256(data).hexdigest(), len(data))
        assert store.read(version, entry.path) == store.read_blob(entry.sha256) == data
        assert store.read(version.id, entry.path) == data
    assert store.version(version.id) == version
    assert Store(str(store.root)).version(version.id) == version


def test_the_layout_on_disk_is_the_documented_one(local):
    version = local.commit({"x/y.txt": b"data"})
    sha256 = hashlib.sha256(b"data").hexdigest()
    assert (local.root / "blobs" / sha256[:2] / sha256).read_bytes() == b"data"
    stored = (local.root / "versions" / f"{version.id}.json").read_bytes()
    assert hashlib.sha256(stored).hexdigest() == version.id
    assert json.loads(stored)["files"] == [{"path": "x/y.txt", "sha256": sha256, "size": 4}]


def test_the_version_id_depends_on_content_alone(store, tmp_path):
    version = store.commit(FILES)
    reordered = dict(reversed(FILES.items()))
    assert store.commit(reordered) == version
    (tmp_path / "source").write_bytes(FILES["a.txt"])
    mixed = {**FILES, "a.txt": tmp_path / "source", "b.txt": store.put_blob(FILES["b.txt"])}
    assert store.commit(mixed) == version
    assert Store(tmp_path / "other").commit(FILES) == version
    assert store.commit({**FILES, "a.txt": b"changed"}).id != version.id
    assert store.commit({("c.txt" if name == "a.txt" else name): FILES[name] for name in FILES}) != version


def test_the_version_id_never_changes_between_releases(store):
    """A literal: changing the canonical form would make every category look changed."""
    version = store.commit({"é/1.svg": b"<svg/>", "a": b""})
    assert version.id == "f1b460c3fbd5313d2b10e20ed145b4867ece78d687bd1bd4cbb032f24f668e22"


def test_existing_blobs_are_not_written_again(local):
    blob = local.put_blob(b"data")
    path = local.root / "blobs" / blob.sha256[:2] / blob.sha256
    before = path.stat()
    assert local.put_blob(b"data") == blob
    local.commit({"a": b"data", "b": b"data"})
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_blob_from_a_file(store, tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "weights").write_bytes(data)
    blob = store.put_blob(tmp_path / "weights")
    assert blob == BlobRef(hashlib.sha256(data).hexdigest(), len(data))
    assert store.has_blob(blob.sha256) and store.read_blob(blob.sha256) == data
    assert not store.has_blob("0" * 64)


def test_files_that_cannot_be_stored_are_named(store, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for bad in ("missing", "pipe", ""):
        with pytest.raises(StoreError, match=bad or "not a regular file"):
            store.put_blob(tmp_path / bad)


def test_a_file_that_changes_while_it_is_stored_is_refused(local, tmp_path, monkeypatch, temporaries):
    source = tmp_path / "growing"
    source.write_bytes(b"first")
    from bioicons_pipeline.store import blobs

    honest = blobs._hash_file

    def then_change(path):
        blob = honest(path)
        path.write_bytes(b"other")
        return blob

    monkeypatch.setattr(blobs, "_hash_file", then_change)
    with pytest.raises(StoreError, match="changed while"):
        local.put_blob(source)
    assert not local.has_blob(hashlib.sha256(b"first").hexdigest())
    assert temporaries(local.root) == []


def test_commit_tree(store, tmp_path):
    tree = tmp_path / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "empty").mkdir()
    (tree / "deep" / "er" / "x.bin").write_bytes(b"x")
    (tree / ".hidden").write_bytes(b"h")
    version = store.commit_tree(tree)
    assert version == store.commit({"deep/er/x.bin": b"x", ".hidden": b"h"})
    (tree / "link").symlink_to(tree / ".hidden")
    with pytest.raises(StoreError, match="link"):
        store.commit_tree(tree)
    with pytest.raises(StoreError, match="no folder"):
        store.commit_tree(tmp_path / "absent")


def test_blobs_that_were_never_stored_cannot_be_committed(store):
    blob = store.put_blob(b"data")
    for bad in (BlobRef("0" * 64, 4), BlobRef(blob.sha256, 5), BlobRef("../../etc/passwd", 4)):
        with pytest.raises(StoreError):
            store.commit({"a": bad})


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/..",
        "a\0b",
        "a\\b",
        "C:/x",
        "a//b",
        "a/",
        "./a",
        "a/.",
        "\ud800",
    ],
)
def test_hostile_paths_are_refused_before_anything_is_written(local, path):
    with pytest.raises(StoreError) as error:
        local.commit({"fine": b"x", path: b"data"})
    assert repr(path) in str(error.value)
    assert not local.root.exists()


@pytest.mark.parametrize(
    "paths", [("caf\u00e9", "cafe\u0301"), ("a", "a/b"), ("a/b/c", "a"), ("\u00e9/x", "e\u0301")]
)
def test_paths_that_are_one_file_somewhere_are_refused(store, paths):
    with pytest.raises(StoreError):
        store.commit(dict.fromkeys(paths, b"x"))


def test_names_of_the_real_library_are_fine(store):
    paths = [
        "Микроскоп.svg",
        "细胞.svg",
        "cafe\u0301.svg",
        "x.drawio.svg",
        "a b/c'd.svg",
        "..hidden",
        "-x",
        "ab:c",
    ]
    version = store.commit(dict.fromkeys(paths, b"x"))
    assert {entry.path for entry in store.version(version.id).files} == set(paths)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), st.binary(max_size=3), max_size=4))
@settings(max_examples=60, deadline=None)
def test_what_is_committed_reads_back_or_is_refused_as_a_whole(files):
    store = Store("memory://property")
    try:
        version = store.commit(files)
    except StoreError:
        return
    assert {e.path: store.read(store.version(version.id), e.path) for e in version.files} == files
    for path in files:
        assert ".." not in path.split("/") and not path.startswith("/")


def test_an_empty_version_is_a_version(store, tmp_path):
    version = store.commit({})
    assert store.version(version.id).files == ()
    assert list(store.checkout(version, tmp_path / "out").iterdir()) == []


def test_progress_counts_every_file(store):
    seen = []
    store.commit(FILES, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 4) for n in range(1, 5)]


def test_unknown_versions_and_files_are_named(store):
    version = store.commit(FILES)
    with pytest.raises(StoreError, match="0000"):
        store.version("0" * 64)
    with pytest.raises(StoreError, match=r"nothing\.png"):
        store.read(version, "nothing.png")
    for bad in ("", "../refs/x", version.id[:12], version.id.upper(), version.id + "\n"):
        with pytest.raises(StoreError, match="64 hex"):
            store.version(bad)
        with pytest.raises(StoreError, match="64 hex"):
            store.read_blob(bad)


def blob_path(store: Store, version: Version, path: str) -> Path:
    sha256 = version.entry(path).sha256
    return store.root / "blobs" / sha256[:2] / sha256


def test_damage_is_found_and_named(local, tmp_path):
    version = local.commit({**FILES, "c.txt": b"third"})
    assert local.verify(version) == []
    flipped, cut, gone = (blob_path(local, version, path) for path in ("a.txt", "b.txt", "c.txt"))
    flipped.write_bytes(b"fIrst")
    cut.write_bytes(b"sec")
    gone.unlink()
    assert local.verify(version.id) == [
        Damage("a.txt", flipped.name, "wrong content"),
        Damage("b.txt", cut.name, "wrong size"),
        Damage("c.txt", gone.name, "missing"),
    ]
    for path, blob in (("a.txt", flipped), ("b.txt", cut), ("c.txt", gone)):
        with pytest.raises(BioiconsError, match=blob.name):
            local.read(version, path)
        with pytest.raises(StoreError, match=blob.name):
            local.read_blob(blob.name)
    # All are healed by the next commit of the right content: reading has taken the wrong ones away.
    assert not local.intact(version)
    local.commit({**FILES, "c.txt": b"third"})
    assert local.verify(version) == []


def test_a_read_that_went_wrong_once_deletes_nothing(local, monkeypatch):
    version = local.commit(FILES)
    real, turns = local.backend.open, []

    def open_badly_once(key):
        turns.append(key)
        return io.BytesIO(b"fIrst") if len(turns) == 1 else real(key)

    monkeypatch.setattr(local.backend, "open", open_badly_once)
    with pytest.raises(StoreError, match="delete that file"):
        local.read(version, "a.txt")
    assert local.read(version, "a.txt") == FILES["a.txt"]


def test_a_damaged_version_file_is_refused_and_healed(local):
    version = local.commit(FILES)
    path = local.root / "versions" / f"{version.id}.json"
    honest = path.read_bytes()
    for damaged in (honest[:-10], b"", honest.replace(b'"a.txt"', b'"../x"'), b"\xff" * 100):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=version.id):
            local.version(version.id)
    local.commit(FILES)
    assert local.version(version.id) == version


def test_a_forged_version_cannot_climb_out_of_a_checkout(local, tmp_path):
    """The hash proves that a version file is whole, not that its author was honest."""
    blob = local.put_blob(b"evil")
    entry = {"path": "../evil", "sha256": blob.sha256, "size": 4}
    data = json.dumps({"files": [entry], "format": 1}, sort_keys=True, separators=(",", ":")).encode()
    forged = hashlib.sha256(data).hexdigest()
    (local.root / "versions").mkdir()
    (local.root / "versions" / f"{forged}.json").write_bytes(data)
    with pytest.raises(StoreError):
        local.version(forged)
    by_hand = Version(forged, (FileEntry("../evil", blob.sha256, 4),))
    with pytest.raises(StoreError, match="climbs"):
        local.checkout(by_hand, tmp_path / "dest" / "out")
    assert not (tmp_path / "dest").exists()


def test_only_old_temporary_files_are_swept(local):
    version = local.commit(FILES)
    local.set_ref("a", version.id)
    folders = [blob_path(local, version, "a.txt").parent, local.root / "versions", local.root / "refs" / "a"]
    for folder in folders:
        for name, age in ((".tmp-1-old", 48), (".tmp-2-young", 1)):
            (folder / name).write_bytes(b"half")
            then = time.time() - age * 3600
            os.utime(folder / name, (then, then))
    assert list(local.list_refs("a")) == ["__all__"]
    assert Store(local.root).commit(FILES) == version  # a commit sweeps once
    left = sorted(path.name for path in local.root.rglob(".tmp-*"))
    assert left == [".tmp-2-young"] * 3
    assert local.sweep() == 0
    assert local.sweep(older_than=60) == 3
    assert local.verify(version) == [] and local.get_ref("a") is not None


def test_roots(tmp_path, monkeypatch):
    from upath import UPath

    monkeypatch.chdir(tmp_path)
    relative = Store("data")
    version = relative.commit(FILES)
    monkeypatch.chdir("/")
    same = [
        f"file://{tmp_path}/data",
        UPath(tmp_path / "data"),
        UPath(f"file://{tmp_path}/data"),
        relative.root,
    ]
    for root in (*same, str(relative.root)):
        assert Store(root).version(version.id) == version
    kept = Store(UPath("memory://roots/a")).commit(FILES)
    assert Store("memory://roots/a").version(kept.id) == kept
    with pytest.raises(StoreError):
        Store("memory://roots/b").version(kept.id)
    for bad in ("", "nosuchprotocol://x"):
        with pytest.raises(StoreError):
            Store(bad)


def test_reading_creates_nothing(local):
    assert local.get_ref("a") is None and local.list_refs("a") == {} and not local.delete_ref("a")
    assert not local.has_blob("0" * 64)
    assert not local.root.exists()


def test_the_import_is_light():
    """The code location imports the store; fsspec alone costs more than all of it."""
    code = "import sys, bioicons_pipeline.store; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    loaded = set(run.stdout.split())
    assert not loaded & {"upath", "fsspec", "dagster", "torch", "numpy", "pandas", "pydantic", "boto3"}
