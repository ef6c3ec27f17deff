"""A full disk, a missing permission, Ctrl-C: one sentence, and nothing half-visible."""

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.store import Store, StoreError, parallel

OLD = {"a": b"old", "b": b"same"}
NEW = {"a": b"new" * 1000, "b": b"same", "c": b"third", "d": b"fourth"}
TROUBLES = {
    errno.ENOSPC: "no space is left",
    errno.EDQUOT: "no space is left",
    errno.EACCES: "does not allow",
    errno.EROFS: "does not allow",
    errno.EIO: "check that disk",
}


def publish(store, files):
    version = store.commit(files)
    store.set_ref("a", version.id, partition="x")
    return version


def fail_from(monkeypatch, call, number, trouble):
    """From its `number`-th call on, os.`call` raises `trouble`; returns the count of calls."""
    real, lock, calls = getattr(os, call), threading.Lock(), [0]

    def failing(*args, **kwargs):
        with lock:
            calls[0] += 1
            fails = calls[0] > number
        if fails:
            raise trouble
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, failing)
    return calls


def check_complete(root, temporaries):
    """The ref leads to all of the old or all of the new files, and nothing visible is incomplete."""
    store = Store(root)
    version = store.version(store.get_ref("a", partition="x").version_id)
    assert {entry.path: store.read(version, entry.path) for entry in version.files} in (OLD, NEW)
    assert [
        store.verify(path.stem) for path in (root / "versions").glob("*.json") if store.verify(path.stem)
    ] == []
    assert temporaries(root) == []


@pytest.fixture
def old_root(tmp_path):
    publish(Store(tmp_path / "old"), OLD)
    return tmp_path / "old"


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_full_disk_at_any_step_is_one_sentence(old_root, tmp_path, monkeypatch, temporaries, call):
    monkeypatch.setattr(parallel, "WORKERS", 1)
    with monkeypatch.context() as patch:
        steps = fail_from(patch, call, 10**6, OSError())
        expected = publish(Store(shutil.copytree(old_root, tmp_path / "dry")), NEW)
    assert steps[0] >= 5
    for number in range(steps[0]):
        root = shutil.copytree(old_root, tmp_path / str(number))
        with monkeypatch.context() as patch:
            fail_from(patch, call, number, OSError(errno.ENOSPC, "No space left on device"))
            with pytest.raises(StoreError, match="no space is left") as error:
                publish(Store(root), NEW)
        assert str(root) in str(error.value) and "\n" not in str(error.value)
        check_complete(root, temporaries)
        assert publish(Store(root), NEW) == expected


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("code", TROUBLES)
def test_each_trouble_has_its_sentence(old_root, monkeypatch, temporaries, call, code, workers):
    monkeypatch.setattr(parallel, "WORKERS", workers)
    with monkeypatch.context() as patch:
        fail_from(patch, call, 1, OSError(code, os.strerror(code)))
        with pytest.raises(BioiconsError, match=TROUBLES[code]):
            publish(Store(old_root), NEW)
    check_complete(old_root, temporaries)
    assert publish(Store(old_root), NEW).files


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_ctrl_c_leaves_nothing(old_root, monkeypatch, temporaries, call):
    before = threading.active_count()
    with monkeypatch.context() as patch:
        fail_from(patch, call, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            publish(Store(old_root), NEW)
    check_complete(old_root, temporaries)
    assert threading.active_count() == before


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), StoreError("x")])
def test_the_first_trouble_stops_the_rest(trouble):
    done = []

    def work(item):
        time.sleep(0.02)
        done.append(item)
        return item

    def stop(*args):
        raise trouble

    with pytest.raises(type(trouble)):
        parallel.map_all(work, range(2000), stop)
    assert len(done) < 1000
    assert parallel.map_all(work, range(20)) == list(range(20))


def test_a_root_that_is_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        for attempt in (lambda store: store.put_blob(b"x"), lambda store: store.get_ref("a")):
            with pytest.raises(StoreError, match="a file stands where a folder should be"):
                attempt(Store(root))


def test_reading_without_permission_is_one_sentence(old_root, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        for attempt in (lambda s: s.get_ref("a", partition="x"), lambda s: s.read_blob("0" * 64)):
            with pytest.raises(StoreError, match=r"Reading .* does not allow"):
                attempt(Store(old_root))


def test_a_limit_that_the_kernel_enforces(tmp_path):
    """A limit on the size of files, enforced by the kernel, in a process of its own."""
    code = (
        "import resource, signal, sys; from bioicons_pipeline.store import Store, StoreError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "store = Store(sys.argv[1])\n"
        "small = store.put_blob(b's' * 4000)\n"
        "try: store.put_blob(b'x' * 6000)\n"
        "except StoreError as error: print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "File too large" in run.stdout and run.stdout.count("\n") == 1
    assert [path.stat().st_size for path in (tmp_path / "s").rglob("*") if path.is_file()] == [4000]
