"""Checkpoints in the store, and what came of them: what a training on rented hosts needs.

Belongs here: copying a run's checkpoints to the store and back, and leaving the result there. Does not belong
here: what a checkpoint holds (checkpoint), when one is written (loop), how a host says that it goes (notice).
A host that is lost gives no notice, so every checkpoint goes to the store. Who has lost the lease on the
training moves nothing any more, but for one case: who is told to stop leaves its last step to its successor,
if that one has left nothing yet.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from bioicons_pipeline.store import Store, Version
from bioicons_pipeline.store.errors import DamagedBlobError, StoreError
from bioicons_pipeline.store.leases import Claim, LeaseLostError
from bioicons_pipeline.training import checkpoint as checkpoints
from bioicons_pipeline.training.files import CHECKPOINTS_ASSET, VALIDATION_FOLDER
from bioicons_pipeline.training.progress import Display

_FOLDER = "checkpoints"


class StoredCheckpoints:
    """The checkpoints and validation images of one run, as one version of the store that its ref follows.

    claim: the lease that the training goes on under; None: nobody else can train the same.
    display: told what went wrong and is no reason to stop, and how files come over; None: nobody looks.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        run_dir: Path,
        claim: Claim | None = None,
        display: Display | None = None,
    ) -> None:
        self._store, self._name, self._run_dir = store, name, run_dir
        self._claim, self._display = claim, display
        self._known: str | None = None
        """What the ref led to when this process last looked or wrote."""

    def keep(self, leaving: bool) -> None:
        """Store what the run's folder has now, as well as it goes; what is stored already is not sent again.

        Args:
            leaving: whether it is the last chance, because the host is about to go or this was the last step.
                Else a store that cannot be reached costs no training: the next checkpoint tries again.

        Raises:
            StoreError: the store cannot be written, and it was the last chance.
            LeaseLostError: another process trains the same now.
        """
        try:
            self._push(leaving)
        except LeaseLostError:
            raise
        except StoreError as error:
            if leaving:
                raise
            if self._display:
                self._display.note(
                    f"this checkpoint did not reach the store, the next will be tried again: {error}"
                )

    def _push(self, leaving: bool) -> None:
        kept = checkpoints.checkpoints(self._run_dir / _FOLDER)
        files = [path for folder in kept for path in folder.iterdir()]
        files += (self._run_dir / VALIDATION_FOLDER).rglob("*.png")
        if self._claim and not leaving:  # before anything is sent
            self._claim.check(self._store.backend)
        version = self._store.commit({path.relative_to(self._run_dir).as_posix(): path for path in files})
        self._set(version.id, {"newest": kept[-1].name}, leaving)

    def finish(self, version_id: str, summary: dict[str, Any]) -> None:
        """Leave the result where checkpoints were: it is found there also if nobody heard of it."""
        self._set(version_id, {"summary": summary}, leaving=False)

    def _set(self, version_id: str, info: dict[str, Any], leaving: bool) -> None:
        guard = (lambda: self._check(leaving)) if self._claim else None
        self._store.set_ref(CHECKPOINTS_ASSET, version_id, partition=self._name, info=info, guard=guard)
        self._known = version_id

    def _check(self, leaving: bool) -> None:
        assert self._claim is not None
        try:
            self._claim.check(self._store.backend)
        except LeaseLostError:
            ref = self._store.get_ref(CHECKPOINTS_ASSET, partition=self._name)
            if not leaving or (ref and ref.version_id) != self._known:
                raise

    def fetch(self, identity: dict[str, Any]) -> str | None:
        """Bring the stored checkpoints here if they are further than those of this disk; a sentence if so.

        Those of another run (`identity` differs) are left, and so, with a sentence, are those that are
        damaged or of another format: the run begins anew, where a retry would fail the same way again.

        Raises:
            StoreError: the store cannot be reached.
        """
        ref = self._store.get_ref(CHECKPOINTS_ASSET, partition=self._name)
        self._known = ref and ref.version_id
        if ref is None or "newest" not in ref.info:
            return None
        newest = ref.info["newest"]
        here = checkpoints.checkpoints(self._run_dir / _FOLDER)
        if here and here[-1].name >= newest:
            return None
        anew = f"the checkpoint {newest} of an earlier host cannot be used"
        if not self._store.intact(ref.version_id):
            return f"{anew}, because a part of it is missing: starting anew"
        try:
            version = self._store.version(ref.version_id)
            return self._take(version, newest, identity)
        except DamagedBlobError as error:
            return f"{anew}, starting anew: {error}"

    def _take(self, version: Version, newest: str, identity: dict[str, Any]) -> str | None:
        described: dict[str, Any] = {}
        with suppress(ValueError):
            described = json.loads(self._store.read(version, f"{_FOLDER}/{newest}/state.json"))
        if described.get("format") != checkpoints.FORMAT:
            return f"the checkpoint {newest} of an earlier host is of another format: starting anew"
        if checkpoints.describe_differences(described["identity"], identity):
            return None
        progress = self._display and self._display.phase_of("checkpoint files")
        for prefix in (VALIDATION_FOLDER, _FOLDER):  # the folder that decides comes last
            if any(entry.path.startswith(f"{prefix}/") for entry in version.files):
                self._store.checkout(version, self._run_dir / prefix, prefix, replace=True, progress=progress)
        return f"took the checkpoint {newest} of an earlier host from the store"
