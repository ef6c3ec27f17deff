"""Fixtures of the store's tests: a store on disk, and the same tests on a root that is no folder."""

import os
import uuid

import pytest

from bioicons_pipeline.store import Store


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """No test loses power, so none needs to wait for the disk; `test_order.py` looks at what is synced.

    The processes of `writer.py` that are killed from outside, or race each other, do sync.
    """
    monkeypatch.setattr(os, "fsync", os.fstat)


@pytest.fixture
def local(tmp_path) -> Store:
    """A store in a folder that does not exist yet."""
    return Store(tmp_path / "new" / "store")


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    """A store on disk, then one in memory through fsspec."""
    if request.param == "local":
        yield Store(tmp_path / "new" / "store")
        return
    root = f"memory://{uuid.uuid4().hex}/store"
    yield Store(root)
    from fsspec import filesystem

    filesystem("memory").store.clear()


@pytest.fixture
def temporaries():
    """Finds unfinished files and folders below a folder."""
    return lambda folder: list(folder.rglob(".*")) if folder.exists() else []
