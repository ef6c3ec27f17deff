"""Checkpoints in the store, and the notice that a host is about to go: what a training on rented hosts needs.

Belongs here: copying a run's checkpoints to the store and back, SIGTERM as a flag. Does not belong here: what
a checkpoint holds (checkpoint), when one is written (loop). A spot host gives two minutes of notice
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html), a lost one none:
so every checkpoint goes to the store, and the notice adds one of the step that the run is in.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import FrameType
from typing import Any

from bioicons_pipeline.store import Store, Version
from bioicons_pipeline.training import checkpoint as checkpoints
from bioicons_pipeline.training.files import CHECKPOINTS_ASSET, VALIDATION_FOLDER

_FOLDER = "checkpoints"


class StoredCheckpoints:
    """The checkpoints and validation images of one run, as one version of the store that its ref follows."""

    def __init__(self, store: Store, name: str, run_dir: Path) -> None:
        self._store, self._name, self._run_dir = store, name, run_dir

    def push(self) -> None:
        """Store what the run's folder has now; what is stored already is not sent again.

        Raises:
            StoreError: the store cannot be written.
        """
        kept = checkpoints.checkpoints(self._run_dir / _FOLDER)
        files = [path for folder in kept for path in folder.iterdir()]
        files += (self._run_dir / VALIDATION_FOLDER).rglob("*.png")
        version = self._store.commit({path.relative_to(self._run_dir).as_posix(): path for path in files})
        self._store.set_ref(
            CHECKPOINTS_ASSET, version.id, partition=self._name, info={"newest": kept[-1].name}
        )

    def fetch(self, identity: dict[str, Any]) -> str | None:
        """Bring the stored checkpoints here if they are further than those of this disk; a sentence if so.

        Those of another run (`identity` differs), or with a blob missing, are left: the run begins anew.

        Raises:
            StoreError: the store cannot be read, or a blob is damaged.
        """
        ref = self._store.get_ref(CHECKPOINTS_ASSET, partition=self._name)
        if ref is None or "newest" not in ref.info or not self._store.intact(ref.version_id):
            return None
        version, newest = self._store.version(ref.version_id), ref.info["newest"]
        here = checkpoints.checkpoints(self._run_dir / _FOLDER)
        if (here and here[-1].name >= newest) or not self._is_of(version, newest, identity):
            return None
        for prefix in (VALIDATION_FOLDER, _FOLDER):  # the folder that decides comes last
            if any(entry.path.startswith(f"{prefix}/") for entry in version.files):
                self._store.checkout(version, self._run_dir / prefix, prefix, replace=True)
        return f"took the checkpoint {newest} of an earlier host from the store"

    def _is_of(self, version: Version, newest: str, identity: dict[str, Any]) -> bool:
        description = json.loads(self._store.read(version, f"{_FOLDER}/{newest}/state.json"))
        return not checkpoints.describe_differences(description["identity"], identity)


class Notice:
    """While it is open the first SIGTERM is a flag, looked at between two steps; a second one interrupts."""

    def __init__(self) -> None:
        self._given = False
        self._before: Any = None

    def __enter__(self) -> Notice:
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *details: Any) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def given(self) -> bool:
        """Whether SIGTERM has come."""
        return self._given

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._given:
            raise KeyboardInterrupt
        self._given = True
