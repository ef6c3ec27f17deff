"""The interface of training backends, and what is the same for all: judging how a training ended.

A backend starts the one training entry and says how that ended (`Ended`); it does not decide whether that
was a success. That is decided here, from the store: a training has succeeded when it named a version and
that version is whole. Silence, an exit code nobody saw, a task that "completed": none of them counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.training.errors import DivergedError
from bioicons_pipeline.training.files import CHECKPOINTS_ASSET

if TYPE_CHECKING:
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.store.leases import Lease
    from bioicons_pipeline.training.request import TrainingRequest

ENTRY = ("-m", "bioicons_pipeline.training")
"""The training entry, as arguments of `python` or of `accelerate launch`."""


@dataclass(frozen=True)
class Ended:
    """How a training process ended, as far as its backend knows.

    messages: what it reported through Pipes, in order; problem: what went wrong, as a clause ("its host was
    lost"), None if nothing did; lost: whether the place is to blame, so that another try may do better.
    """

    messages: Sequence[Any]
    problem: str | None = None
    lost: bool = False


class TrainingDiedError(Exception):
    """The training's process ended without saying why. No DagsterError, which no retry policy applies to: a
    training that was killed is begun again."""


class TrainingBackend(dg.ConfigurableResource):
    """Runs the one training entry in a process of its own, through Dagster Pipes; subclasses say where."""

    num_processes: int = 1
    """Processes of one training, one a GPU."""
    retries: int = 0
    """How often a training that lost its host is started again; each goes on from the last checkpoint."""
    retry_pause_seconds: int = 30

    @property
    def elsewhere(self) -> bool:
        """Whether another machine trains: it has the base's weights, and the token that they may need."""
        return False

    def train(
        self, context: dg.AssetExecutionContext, request: "TrainingRequest", lease: "Lease"
    ) -> tuple[str, dict]:
        """Train as asked, under `lease`; returns the committed version's id and the trainer's summary.

        Raises:
            DivergedError: the trainer said that its numbers ran away.
            BioiconsError: it said what else was wrong, or ended without a version that is whole.
            TrainingDiedError: its process was killed, or failed without a word.
            dagster.RetryRequested: the host was lost, and a retry goes on from the last checkpoint.
        """
        asked = self.request_for_host(request.model_copy(update={"lease": lease.claim}))
        if asked.force and context.retry_number == 0:  # a retry goes on from what this run has made
            _forget_finished(asked)
        if known := _remembered(asked):
            context.log.info(f"the training of {asked.partition} was done before: {known[0]}")
            return known
        ended = self.run_entry(context, asked)
        found = _last(ended.messages, "version_id")
        if found is None and (known := _remembered(asked)):
            context.log.info(f"its last message was lost; the store has what it committed: {known[0]}")
            return known
        if ended.lost and found is None:
            sentence = self._sentence(asked, ended)
            context.log.warning(sentence)
            raise dg.RetryRequested(
                max_retries=self.retries, seconds_to_wait=self.retry_pause_seconds
            ) from BioiconsError(sentence)
        if found is None:
            said = _last(ended.messages, "error")
            raise told_error(said) if said else BioiconsError(self._sentence(asked, ended))
        version_id, summary = str(found["version_id"]), dict(found.get("summary") or {})
        _verify(asked, version_id)
        return version_id, summary

    def forget(self, request: "TrainingRequest") -> None:
        """Drop checkpoints and result of this training from the store; once its adapter is published,
        nobody goes on from them, and pruning can have them."""
        name = self.request_for_host(request).checkpoint_ref
        if name:
            _store(request).delete_ref(CHECKPOINTS_ASSET, partition=name)

    def request_for_host(self, request: "TrainingRequest") -> "TrainingRequest":
        """The request as the host is to see it; the same where the disk is the same."""
        return request

    def run_entry(self, context: dg.AssetExecutionContext, request: "TrainingRequest") -> Ended:
        """Start the entry with `request`, wait for its end, and say how that was.

        Raises:
            BioiconsError: it was not started.
            dagster.DagsterExecutionInterruptedError: this run was stopped; so was the training.
        """
        raise NotImplementedError

    def _sentence(self, request: "TrainingRequest", ended: Ended) -> str:
        problem = ended.problem or "ended without saying what it committed"
        return (
            f"The training of {request.partition} {problem}: see the step's log, then "
            "run it again; it resumes from its last checkpoint."
        )


def was_interrupted(messages: Sequence[Any]) -> bool:
    """Whether the trainer said that it was told to stop."""
    return _last(messages, "interrupted") is not None


def _last(messages: Sequence[Any], key: str) -> dict[str, Any] | None:
    return next((one for one in reversed(messages) if isinstance(one, dict) and one.get(key)), None)


def told_error(message: Mapping[str, Any]) -> BioiconsError:
    """The error that a trainer's message `{"error": …}` is about."""
    kind = DivergedError if message.get("diverged") else BioiconsError
    return kind(str(message["error"]))


def _verify(request: "TrainingRequest", version_id: str) -> None:
    if not _store(request).intact(version_id):
        raise BioiconsError(
            f"The training of {request.partition} says that it committed version {version_id}, which is not "
            f"whole in the store at {request.store_root}: run it again; it resumes from its last checkpoint."
        )


def _store(request: "TrainingRequest") -> "Store":
    from bioicons_pipeline.store import Store

    return Store(request.store_root)


def _forget_finished(request: "TrainingRequest") -> None:
    if _remembered(request):
        _store(request).delete_ref(CHECKPOINTS_ASSET, partition=request.checkpoint_ref)


def _remembered(request: "TrainingRequest") -> tuple[str, dict] | None:
    """What the trainer left in the place of its checkpoints when it was done: no host is rented for it
    again, and a last message that got lost costs nothing."""
    if not request.checkpoint_ref:
        return None
    store = _store(request)
    ref = store.get_ref(CHECKPOINTS_ASSET, partition=request.checkpoint_ref)
    if ref is None or "summary" not in ref.info or not store.intact(ref.version_id):
        return None
    return ref.version_id, dict(ref.info["summary"])
