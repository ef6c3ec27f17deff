"""A writer that dies at any moment leaves every ref leading to a complete version, old or new."""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bioicons_pipeline.store import Store

from . import writer

REPOSITORY = Path(__file__).resolve().parents[2]
OLD = {"icon_dataset": writer.OLD, "lora_weights": writer.WEIGHTS_OLD}
NEW = {"icon_dataset": writer.NEW, "lora_weights": writer.WEIGHTS_NEW}


def start(mode: str, argument: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "bioicons_pipeline_tests.store.writer", mode, argument]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, **options)


def result(mode: str, argument: str):
    child = start(mode, argument)
    out, _ = child.communicate(timeout=500)
    assert child.returncode == 0
    return json.loads(out)


def read_all(store: Store, asset: str, name: dict) -> tuple[dict, dict]:
    """The files that a ref shows, read anew from the disk, and the ref's info."""
    ref = store.get_ref(asset, **name)
    assert ref is not None
    version = store.version(ref.version_id)
    assert store.verify(version) == []
    return {entry.path: store.read(version, entry.path) for entry in version.files}, ref.info


def check_complete(root: Path | str) -> dict[str, str]:
    """Every ref reads as the old or the new state, nothing between; which, by asset."""
    store = Store(root)
    for key in store.backend.keys("versions"):
        assert store.verify(key.removeprefix("versions/").removesuffix(".json")) == []
    shown = {}
    for asset, name in (writer.DATASET, writer.WEIGHTS):
        files, info = read_all(store, asset, name)
        states = {"old": OLD[asset], "new": NEW[asset]}
        assert files in states.values()
        assert info == {"files": len(files)}
        shown[asset] = next(state for state, content in states.items() if content == files)
        assert list(store.list_refs(asset, name.get("base"))) == ["Animals"]
    # The scenario switches the dataset's ref first.
    assert shown != {"icon_dataset": "old", "lora_weights": "new"}
    return shown


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A store that holds the old state."""
    root = tmp_path_factory.mktemp("prepared") / "store"
    writer.write(str(root), writer.OLD, writer.WEIGHTS_OLD)
    return root


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, str]:
    """The version ids of the new state, from a run that nobody disturbed."""
    return writer.write(str(tmp_path_factory.mktemp("expected")), writer.NEW, writer.WEIGHTS_NEW)


def choose(operations: list[str]) -> list[int]:
    """45 moments over the whole write, and every moment of both ref switches: 50 and more."""
    spread = {round(n * (len(operations) - 1) / 44) for n in range(45)}
    assert len(spread) == 45
    switches = [n for n, operation in enumerate(operations) if operation.startswith("replace ")]
    switches = [n for n in switches if "/refs/" in operations[n]]
    assert len(switches) == 2
    around = {n + step for n in switches for step in range(-3, 3)}
    chosen = sorted(spread | (around & set(range(len(operations)))))
    assert len(chosen) >= 50
    return chosen


def test_kill_at_moments_spread_over_the_whole_write(prepared, expected, tmp_path):
    traced = shutil.copytree(prepared, tmp_path / "traced")
    operations = result("trace", str(traced))
    moments = choose(operations)
    roots = {moment: shutil.copytree(prepared, tmp_path / str(moment)) for moment in moments}
    statuses = result("moments", json.dumps([[str(root), moment] for moment, root in roots.items()]))
    assert [os.WTERMSIG(status) for status in statuses] == [signal.SIGKILL] * len(moments)

    shown = {}
    for moment, root in roots.items():
        shown[moment] = check_complete(root)
        assert writer.write(str(root), writer.NEW, writer.WEIGHTS_NEW) == expected
        assert check_complete(root) == {"icon_dataset": "new", "lora_weights": "new"}
        Store(root).sweep(older_than=-1)
        assert list(root.rglob(".*")) == []
    # The moments reach from before the first switch to after the last one.
    states = [tuple(state.values()) for state in shown.values()]
    assert set(states) == {("old", "old"), ("new", "old"), ("new", "new")}
    # A switch is one operation: the moments just before and just after it differ, and no other ones do.
    changes = sum(before != after for before, after in itertools.pairwise(states))
    assert changes == 2


def test_kills_at_random_times_while_others_read(prepared, tmp_path):
    chance = random.Random(20_231_101)
    root = shutil.copytree(prepared, tmp_path / "store")
    store = Store(root)
    turns = set()
    for _ in range(4):
        child = start("loop", str(root))
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        deadline = time.monotonic() + chance.uniform(0.0, 0.25)
        while time.monotonic() < deadline:
            read_all(store, *writer.DATASET)
        child.kill()
        child.communicate()
        for (asset, name), new in ((writer.DATASET, writer.NEW), (writer.WEIGHTS, writer.WEIGHTS_NEW)):
            files, info = read_all(Store(root), asset, name)
            assert info == {"files": len(files)}
            turns.add(files.pop("turn", None))
            assert files in (OLD[asset], new)
    assert len(turns) >= 4  # every child did get to write


def test_several_processes_write_the_same_blobs_and_refs(tmp_path, temporaries):
    root = tmp_path / "store"
    writer.write(str(root), writer.OLD, writer.WEIGHTS_OLD)
    children = [start("race", str(root), stdin=subprocess.PIPE) for _ in range(4)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    store, reads = Store(root), 0
    while any(child.poll() is None for child in children):
        for asset, name in (writer.DATASET, writer.WEIGHTS):
            files, info = read_all(store, asset, name)
            assert info == {"files": len(files)}
            reads += 1
    for child in children:
        child.communicate()
    assert [child.returncode for child in children] == [0] * 4
    assert reads > 0
    files, _ = read_all(store, *writer.DATASET)
    assert files == {**writer.NEW, "turn": b"3"}
    assert temporaries(root) == []
    assert len(list((root / "versions").iterdir())) == 2 + 2 * 4
