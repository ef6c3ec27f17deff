"""Fixtures of the store's tests: a store on disk, and the same tests on a root that is no folder."""

import os
import uuid

import pytest

from bioicons_pipeline.store import Store
from bioicons_pipeline_tests import s3_servers


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
    yield from opened(request, tmp_path)


def opened(request, tmp_path):
    """The store of the kind that the fixture's parameter says: `local`, `memory` or `s3`."""
    if request.param == "local":
        yield Store(tmp_path / "new" / "store")
        return
    if request.param == "s3":
        yield Store(s3_servers.make_root(request.getfixturevalue("s3_on_moto")))
        return
    root = f"memory://{uuid.uuid4().hex}/store"
    yield Store(root)
    from fsspec import filesystem

    filesystem("memory").store.clear()


@pytest.fixture
def temporaries():
    """Finds unfinished files and folders below a folder."""
    return lambda folder: list(folder.rglob(".*")) if folder.exists() else []
