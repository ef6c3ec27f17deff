"""Checkpoints in the store: who may move them, and what is done about those that cannot be used."""

import json
from types import SimpleNamespace

import pytest
import torch

from bioicons_pipeline.store import Store, StoreError, leases
from bioicons_pipeline.store.blobs import blob_key
from bioicons_pipeline.store.leases import LeaseLostError
from bioicons_pipeline.training import checkpoint as checkpoints
from bioicons_pipeline.training.checkpoint import Checkpoint, RunState
from bioicons_pipeline.training.progress import Display
from bioicons_pipeline.training.stored import StoredCheckpoints

IDENTITY = {"dataset_version": "d"}


def save(run_dir, step: int) -> None:
    tensors = {"w": torch.full((3,), float(step))}
    made = Checkpoint(RunState(step=step), tensors, {}, {}, checkpoints.rng_tensors())
    checkpoints.save_checkpoint(run_dir / "checkpoints", IDENTITY, made, keep=2)


def newest(store: Store) -> str | None:
    ref = store.get_ref("checkpoints", partition="name")
    return ref and ref.info["newest"]


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def pushed(store, tmp_path):
    """A host that stored the checkpoint of step 3, and is gone."""
    save(tmp_path / "first", 3)
    StoredCheckpoints(store, "name", tmp_path / "first").keep(leaving=False)
    return store


def test_another_host_goes_on_from_it(pushed, tmp_path):
    assert "took the checkpoint step-00000003" in StoredCheckpoints(pushed, "name", tmp_path / "b").fetch(
        IDENTITY
    )
    (found,) = checkpoints.checkpoints(tmp_path / "b" / "checkpoints")
    assert checkpoints.load_checkpoint(found, IDENTITY).state.step == 3
    assert StoredCheckpoints(pushed, "name", tmp_path / "c").fetch({"dataset_version": "other"}) is None


def test_a_store_that_fails_for_once_costs_no_training(store, tmp_path, monkeypatch):
    notes: list[str] = []
    stored = StoredCheckpoints(store, "name", tmp_path / "run", display=SimpleNamespace(note=notes.append))
    save(tmp_path / "run", 1)
    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", refuse)
        stored.keep(leaving=False)
        assert len(notes) == 1 and "did not reach the store" in notes[0] and "planted" in notes[0]
        with pytest.raises(StoreError, match="planted"):  # there will be no next one
            stored.keep(leaving=True)
    save(tmp_path / "run", 2)
    stored.keep(leaving=False)
    assert newest(store) == "step-00000002" and len(notes) == 1


def refuse(*arguments, **options):
    raise StoreError("planted: S3 is busy.")


def test_who_has_lost_the_lease_moves_nothing(store, tmp_path):
    with leases.held(store.backend, "lora_weights", holder="a") as lost:
        stored = StoredCheckpoints(store, "name", tmp_path / "run", lost.claim)
        save(tmp_path / "run", 1)
        stored.keep(leaving=False)
    with leases.held(store.backend, "lora_weights", holder="b") as taken:
        save(tmp_path / "run", 2)
        with pytest.raises(LeaseLostError, match="has lost the lease"):
            stored.keep(leaving=False)
        with pytest.raises(LeaseLostError):
            stored.finish(store.commit({"a": b"b"}).id, {})
        assert newest(store) == "step-00000001"
        stored.keep(leaving=True)  # told to stop by its successor, which waits for that
        assert newest(store) == "step-00000002"
        save(tmp_path / "run", 3)
        save(tmp_path / "successor", 9)
        StoredCheckpoints(store, "name", tmp_path / "successor", taken.claim).keep(leaving=False)
        with pytest.raises(LeaseLostError):
            stored.keep(leaving=True)
    assert newest(store) == "step-00000009"


def test_a_damaged_one_is_no_dead_end(pushed, tmp_path):
    version = pushed.version(pushed.get_ref("checkpoints", partition="name").version_id)
    entry = version.entry("checkpoints/step-00000003/weights.safetensors")
    path = pushed.root / blob_key(entry.sha256)
    path.write_bytes(b"x" * entry.size)
    stored = StoredCheckpoints(pushed, "name", tmp_path / "b")
    note = stored.fetch(IDENTITY)
    assert "starting anew" in note and "is damaged: it was deleted" in note
    assert checkpoints.checkpoints(tmp_path / "b" / "checkpoints") == []
    assert "a part of it is missing: starting anew" in stored.fetch(IDENTITY)
    save(tmp_path / "b", 1)
    stored.keep(leaving=False)
    assert newest(pushed) == "step-00000001"


def test_one_of_another_format_is_no_dead_end(pushed, tmp_path):
    description = tmp_path / "first" / "checkpoints" / "step-00000003" / "state.json"
    said = json.loads(description.read_text())
    description.write_text(json.dumps({**said, "format": 1}))
    StoredCheckpoints(pushed, "name", tmp_path / "first").keep(leaving=False)
    assert "another format: starting anew" in StoredCheckpoints(pushed, "name", tmp_path / "b").fetch(
        IDENTITY
    )
    assert not (tmp_path / "b").exists()


def test_a_store_that_cannot_be_reached_loses_no_checkpoint(pushed, tmp_path, monkeypatch):
    monkeypatch.setattr(pushed, "checkout", refuse)
    with pytest.raises(StoreError, match="planted"):
        StoredCheckpoints(pushed, "name", tmp_path / "b").fetch(IDENTITY)


def test_the_result_takes_the_place_of_the_checkpoints(pushed, tmp_path):
    version = pushed.commit({"adapter": b"a"})
    stored = StoredCheckpoints(pushed, "name", tmp_path / "first")
    stored.finish(version.id, {"steps": 8})
    ref = pushed.get_ref("checkpoints", partition="name")
    assert (ref.version_id, ref.info) == (version.id, {"summary": {"steps": 8}})
    assert StoredCheckpoints(pushed, "name", tmp_path / "b").fetch(IDENTITY) is None


def test_how_far_it_is_shown(pushed, tmp_path):
    events: list[dict] = []
    display = Display(steps=1, send=events.append, quiet=True)
    StoredCheckpoints(pushed, "name", tmp_path / "b", display=display).fetch(IDENTITY)
    assert events[-1] == {"event": "phase", "phase": "checkpoint files", "done": 4, "total": 4}
