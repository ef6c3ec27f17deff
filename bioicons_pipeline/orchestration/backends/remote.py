"""What trainings on other hosts have in common: S3 is all that host and Dagster share.

Belongs here: a request without paths of this machine, the name that its checkpoints and processes go by.
Does not belong here: how a place starts a process (one file each). What passes through S3 is in
`conversation.py`, which is imported when a training starts: it needs boto3.
"""

from typing import TYPE_CHECKING

from bioicons_pipeline.orchestration.backends.base import ENTRY, TrainingBackend
from bioicons_pipeline.orchestration.backends.local import LAUNCHER, launch_arguments

if TYPE_CHECKING:
    from bioicons_pipeline.orchestration.backends.conversation import Conversation
    from bioicons_pipeline.training.request import TrainingRequest

LAUNCHER_PATIENCE = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "110"}
"""Environment of a host with several processes: torch's launcher kills them so many seconds after SIGTERM, 30
by itself (torch.distributed.launcher.api), which is little for a step and the upload of a checkpoint."""


class RemoteTraining(TrainingBackend):
    """A backend whose hosts share no disk with this machine; subclasses have `run_entry`."""

    messages: str
    """`s3://bucket/prefix` for what Dagster and a host tell each other."""
    work_dir: str = "work"
    """Scratch folder on the host."""
    poll_seconds: float = 10
    retries: int = 5

    @property
    def elsewhere(self) -> bool:
        return True

    def request_for_host(self, request: "TrainingRequest") -> "TrainingRequest":
        """The request with no path of this machine in it, and a name for its checkpoints in the store."""
        from bioicons_pipeline.training.config import TRAINER_VERSION, digest

        identity = {
            # of one request: the base's content and the code, which the fields below only name or leave out
            "input_key": request.input_key,
            "trainer": TRAINER_VERSION,
            "dataset": request.dataset_version,
            "base": request.base,
            "config": request.config.identity(),
            "processes": self.num_processes,
            "partition": request.partition,
            "provenance": request.provenance,
        }
        changes = {"work_dir": self.work_dir, "cache_dir": None, "resume_from": None}
        return request.model_copy(update={**changes, "checkpoint_ref": digest(identity)[:24]})

    def command(self) -> list[str]:
        """What the host runs. One process has no launcher around it: the container's first process gets
        SIGTERM, and a launcher would end without passing it on."""
        if self.num_processes == 1:
            return ["python", *ENTRY]
        return ["python", "-m", LAUNCHER, *launch_arguments(self.num_processes)]

    def conversation(self, run_id: str) -> "Conversation":
        """The two directions of Pipes through S3, for one process of the Dagster run `run_id`."""
        from bioicons_pipeline.orchestration.backends.conversation import Conversation
        from bioicons_pipeline.store.s3_errors import connect, explained_s3

        with explained_s3("connecting", self.messages):
            client = connect()
        return Conversation(client, self.messages, run_id, self.poll_seconds)


def name_of(request: "TrainingRequest") -> str:
    """What processes of this training are found by, whichever run started them."""
    return f"bioicons-{request.checkpoint_ref}"


def names_in(text: str) -> list[str]:
    """The names of a setting that has several, with commas between them."""
    return [name.strip() for name in text.split(",") if name.strip()]
