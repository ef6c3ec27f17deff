"""Pruning takes what nothing refers to and nothing else, beside writers, and killed at any moment."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bioicons_pipeline.store import Store, StoreError, blobs
from bioicons_pipeline.store import prune as pruning
from bioicons_pipeline.store.local import EXPIRING
from bioicons_pipeline.store.s3 import S3Backend

from .conftest import opened

DAYS = 24 * 3600.0
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["local", "memory", "s3"])
def store(request, tmp_path):
    """A store on disk, in memory, and on S3."""
    yield from opened(request, tmp_path)


def age(store: Store, days: float = 30) -> None:
    """Let everything in the store be as old as that."""
    then = time.time() - days * DAYS
    if isinstance(store.root, Path) and store.root.exists() and "://" not in str(store.root):
        for file in store.root.rglob("*"):
            os.utime(file, (then, then))
    elif str(store.root).startswith("s3://"):
        _age_on_s3(store.backend, then)
    else:
        from datetime import UTC, datetime

        for file in store.root.fs.store.values():
            file.modified = datetime.fromtimestamp(then, UTC)


def _age_on_s3(backend: S3Backend, then: float) -> None:
    """S3 sets times itself, to the second: what is there by now is answered for with another one."""
    now, real = time.time(), S3Backend.used
    time.sleep(1.1)

    def used(key: str) -> float | None:
        found = real(backend, key)
        return then if found is not None and found <= now else found

    backend.used = used


def ids(store: Store) -> set[str]:
    return {key.removeprefix("versions/").removesuffix(".json") for key in store._backend.keys("versions")}


def hashes(store: Store) -> set[str]:
    return {key.rpartition("/")[2] for key in store._backend.keys("blobs")}


def check_whole(store: Store) -> None:
    for version_id in ids(store):
        assert store.verify(version_id) == []


def test_what_no_ref_leads_to_goes_and_all_else_stays(store):
    old = store.commit({"a": b"old", "shared": b"both"})
    store.set_ref("icon_dataset", old.id, partition="Animals")
    new = store.commit({"a": b"new", "shared": b"both"})
    store.set_ref("icon_dataset", new.id, partition="Animals")
    lost = store.put_blob(b"of a writer that died")
    age(store)

    told = store.prune(14 * DAYS, dry_run=True)
    assert (told.versions, told.blobs, told.bytes) == ((old.id,), 2, len(b"old") + lost.size)
    assert ids(store) == {old.id, new.id} and store.has_blob(lost.sha256)  # a dry run deletes nothing

    assert store.prune(14 * DAYS) == told
    assert ids(store) == {new.id} and len(hashes(store)) == 2
    assert store.read(new, "a") == b"new" and store.read(new, "shared") == b"both"
    again = store.prune(14 * DAYS)
    assert (again.versions, again.blobs, again.versions_left, again.blobs_left) == ((), 0, 1, 2)


def test_what_a_refs_info_names_stays_for_ever(store):
    dataset = store.commit({"data": b"trained on"})
    store.set_ref("icon_dataset", dataset.id, partition="Animals")
    adapter = store.commit({"w": b"weights"})
    info = {"deep": [{"dataset_version": dataset.id}]}
    store.set_ref("published_adapter", adapter.id, partition="lab/lora 1", base="flux1-dev", info=info)
    store.set_ref("icon_dataset", store.commit({"data": b"next"}).id, partition="Animals")
    age(store)
    assert store.prune(14 * DAYS).versions == ()
    assert store.read(dataset, "data") == b"trained on"


def test_what_is_young_stays(store):
    version = store.commit({"a": b"a writer has not got to its ref yet"})
    blob = store.put_blob(b"nor this one to its version")
    age(store, days=13)
    assert store.prune(14 * DAYS).versions == () and store.has_blob(blob.sha256)
    check_whole(store)
    age(store, days=15)
    assert store.prune(14 * DAYS).versions == (version.id,) and hashes(store) == set()


def test_using_it_again_makes_it_young(store):
    files = {"a": b"once more"}
    version = store.commit(files)
    other = store.put_blob(b"reused")
    shown = store.commit({"b": b"shown until now"})
    store.set_ref("icon_captions", shown.id)
    put = store.put_blob(b"put once, and once more")
    age(store)
    assert store.put_blob(b"put once, and once more") == put
    assert store.commit(files).id == version.id
    store.commit({"c": other})
    store.set_ref("icon_captions", store.commit({"d": b"next"}).id)
    assert store.prune(14 * DAYS).versions == ()
    assert store.has_blob(put.sha256)
    check_whole(store)


def test_refs_that_lapse_go_when_they_are_old(store):
    given_up = store.commit({"step": b"of a training that nobody goes on with"})
    store.set_ref("checkpoints", given_up.id, partition="old")
    kept = store.commit({"a": b"shown"})
    store.set_ref("icon_captions", kept.id)
    age(store)
    fresh = store.commit({"step": b"of one that runs"})
    store.set_ref("checkpoints", fresh.id, partition="new")
    assert store.prune(14 * DAYS).versions == ()
    told = store.prune(14 * DAYS, lapsing=("checkpoints",), dry_run=True)
    assert told.versions == (given_up.id,) and len(store.list_refs("checkpoints")) == 2
    assert store.prune(14 * DAYS, lapsing=("checkpoints",)).versions == (given_up.id,)
    assert list(store.list_refs("checkpoints")) == ["new"] and ids(store) == {kept.id, fresh.id}
    check_whole(store)


def test_too_short_a_time_is_refused(store):
    with pytest.raises(StoreError, match="not used for 3 days"):
        store.prune(3600)


def test_a_damaged_ref_or_version_stops_it_before_anything_goes(local):
    local.set_ref("icon_captions", local.commit({"a": b"1"}).id)
    unused = local.commit({"a": b"2"})
    age(local)
    ref = local.root / "refs" / "icon_captions" / "__all__.json"
    whole = ref.read_bytes()
    ref.write_bytes(b"{")
    with pytest.raises(StoreError, match="damaged"):
        local.prune(14 * DAYS)
    ref.write_bytes(whole)
    shown = local.root / "versions" / f"{local.get_ref('icon_captions').version_id}.json"
    shown.write_bytes(b"{}")
    with pytest.raises(StoreError, match="damaged"):
        local.prune(14 * DAYS)
    assert unused.id in ids(local) and local.verify(unused) == []


def test_the_dataset_of_a_training_in_progress_stays(tmp_path):
    """A newer one is shown while the training reads it, and no adapter names it yet."""
    store = Store(tmp_path)
    read = store.commit({"a": b"1"})
    store.set_ref("icon_dataset", read.id)
    store.set_ref("icon_dataset", store.commit({"a": b"2"}).id)
    age(store, 2)  # as long as a training may take
    with pytest.raises(StoreError, match="not used for 3 days"):
        store.prune(2 * DAYS)
    assert store.prune(3 * DAYS).versions == () and store.intact(read)


WRITER = """
import sys, time
from bioicons_pipeline.store import Store, blobs
blobs.TOUCH_AFTER = 0.0
store = Store(sys.argv[1])
end = time.monotonic() + float(sys.argv[2])
turn = 0
while time.monotonic() < end:
    turn += 1
    # The same contents again and again: each is unused for a while, and then used once more.
    files = {f"{n}": b"%d" % ((turn * 7 + n) % 41) for n in range(4)}
    version = store.commit(files)
    store.set_ref("icon_dataset", version.id, partition="Animals")
    assert store.verify(version) == [], turn
    time.sleep(0.03)  # on a fast machine too, a content is unused for longer than the time of grace
print(turn)
"""


def test_a_writer_beside_it_loses_nothing(tmp_path, monkeypatch):
    """The times of grace are down to nothing but what the writer's own use, noted each time, gives."""
    root = tmp_path / "store"
    monkeypatch.setattr(blobs, "TOUCH_AFTER", 0.0)
    monkeypatch.setattr(pruning, "SHORTEST_S", 0.0)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), "5"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    store, deleted = Store(root), 0
    while writer.poll() is None:
        done = store.prune(0.6)  # more than a busy machine makes of the writer's next step
        deleted += len(done.versions) + done.blobs
    assert writer.returncode == 0 and deleted > 20, (writer.stdout.read(), deleted)
    check_whole(store)


def test_killed_in_the_middle_it_leaves_a_whole_store(tmp_path, monkeypatch):
    """SIGKILL before each of its renames and deletions in turn, on a copy of its own."""
    source = Store(tmp_path / "source")
    for number in range(3):
        version = source.commit({"same": b"same", "own": b"%d" % number})
        source.set_ref("icon_dataset", version.id, partition="Animals", info={"number": number})
    age(source)
    moment = 0
    while True:
        root = tmp_path / f"{moment}"
        subprocess.run(["cp", "-a", str(source.root), str(root)], check=True)
        child = os.fork()
        if child == 0:
            _die_at(moment)
            Store(root).prune(14 * DAYS)
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        store = Store(root)
        check_whole(store)
        assert store.read(store.get_ref("icon_dataset", partition="Animals").version_id, "own") == b"2"
        store.prune(14 * DAYS)
        assert len(ids(store)) == 1 and len(hashes(store)) == 2
        assert not list(root.rglob(f"{EXPIRING}*"))
        if not killed:
            break
        moment += 1
    assert moment == 8  # two versions and two blobs: each is renamed, then deleted


def test_a_ref_is_never_turned_back(tmp_path, monkeypatch):
    """Its old file was put aside by a prune that was killed; meanwhile somebody wrote a new one."""
    store = Store(tmp_path)
    first, second = store.commit({"a": b"1"}), store.commit({"a": b"2"})
    store.set_ref("icon_dataset", first.id, partition="Animals")
    key = next(iter(store._backend.keys("refs")))
    target = tmp_path / key
    aside = target.with_name(f"{EXPIRING}{target.name}")
    for linked in (True, False):  # file systems without hard links too
        if not linked:
            monkeypatch.setattr(os, "link", _no_links)
        store.set_ref("icon_dataset", first.id, partition="Animals")
        target.rename(aside)
        store.sweep()
        assert store.get_ref("icon_dataset", partition="Animals").version_id == first.id
        target.rename(aside)
        store.set_ref("icon_dataset", second.id, partition="Animals")
        store.sweep()
        assert store.get_ref("icon_dataset", partition="Animals").version_id == second.id
        assert not aside.exists()


def test_what_is_used_in_the_last_moment_is_not_put_over_a_newer_ref(tmp_path, monkeypatch):
    """A writer comes between a prune's putting aside and its second look, which finds the old file in use."""
    store = Store(tmp_path)
    first, second = store.commit({"a": b"1"}), store.commit({"a": b"2"})
    store.set_ref("icon_dataset", first.id, partition="Animals")
    key = next(iter(store._backend.keys("refs")))
    before = time.time() - DAYS
    os.utime(tmp_path / key, (before - 1, before - 1))
    rename = Path.rename

    def beside(self, target):
        os.utime(self)
        moved = rename(self, target)
        if Path(target).name.startswith(EXPIRING):
            store.set_ref("icon_dataset", second.id, partition="Animals")
        return moved

    monkeypatch.setattr(Path, "rename", beside)
    assert not store._backend.expire(key, before)
    assert store.get_ref("icon_dataset", partition="Animals").version_id == second.id
    assert not list(tmp_path.rglob(f"{EXPIRING}*"))


def _no_links(*_arguments, **_options):
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")


def _die_at(moment: int) -> None:
    seen = [0]
    for name in ("rename", "unlink"):
        original = getattr(Path, name)

        def watched(self, *arguments, _original=original, **options):
            if seen[0] == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            seen[0] += 1
            return _original(self, *arguments, **options)

        setattr(Path, name, watched)
