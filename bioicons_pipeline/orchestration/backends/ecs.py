"""Training on a rented GPU: a task of AWS ECS.

Belongs here: what is asked of ECS, and what its answer means. The talking is in `ecs_session.py`, which is
imported when a training starts: it needs boto3. The task definition names the image, the task's role, its
logs and its secrets (`HF_TOKEN` for a gated base); none of them passes through Dagster. A GPU needs a
capacity provider of EC2 or managed instances: Fargate has none.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.backends.base import Ended, was_interrupted
from bioicons_pipeline.orchestration.backends.remote import (
    LAUNCHER_PATIENCE,
    RemoteTraining,
    name_of,
    names_in,
)

if TYPE_CHECKING:
    from bioicons_pipeline.training.request import TrainingRequest

_TAKEN_AWAY = {"SpotInterruption", "TerminationNotice", "InfrastructureHealth"}
"""Stop codes (ECS API, `Task.stopCode`) of hosts that AWS took back, or found unfit."""

INTERRUPTED = 130
"""Exit code of a trainer that was told to stop (`training/__main__.py`)."""


class EcsTraining(RemoteTraining):
    """Runs trainings as tasks of an ECS cluster, one GPU a process. Holds no secret."""

    cluster: str
    task_definition: str
    container: str = "trainer"
    capacity_provider: str
    subnets: str = ""
    """With commas between them, as are the security groups."""
    security_groups: str = ""
    instance_metadata: str = ""
    """Asked by the task whether its host is about to be taken; empty: not asked."""

    def run_entry(self, context: dg.AssetExecutionContext, request: "TrainingRequest") -> Ended:
        from bioicons_pipeline.orchestration.backends.ecs_session import EcsSession

        session = EcsSession(self._ecs(), self.conversation(context.run.run_id), self.poll_seconds)
        session.stop_orphans(self.cluster, name_of(request))
        task = session.run(context, request, self.task_params(request))
        return judged(task, self.container, session.problem, session.messages)

    def request_for_host(self, request: "TrainingRequest") -> "TrainingRequest":
        """The same, and where the host learns that it is about to be taken."""
        asked = super().request_for_host(request)
        return asked.model_copy(update={"instance_metadata": self.instance_metadata})

    def task_params(self, request: "TrainingRequest") -> dict[str, Any]:
        """Arguments of ECS `RunTask`; a new dictionary each time, because PipesECSClient writes into it."""
        container = {
            "name": self.container,
            "command": self.command(),
            "environment": [{"name": name, "value": value} for name, value in LAUNCHER_PATIENCE.items()],
            "resourceRequirements": [{"type": "GPU", "value": str(self.num_processes)}],
        }
        params: dict[str, Any] = {
            "cluster": self.cluster,
            "taskDefinition": self.task_definition,
            "count": 1,
            "startedBy": name_of(request),
            "capacityProviderStrategy": [{"capacityProvider": self.capacity_provider, "weight": 1}],
            "overrides": {"containerOverrides": [container]},
        }
        if self.subnets:
            network = {"subnets": names_in(self.subnets), "securityGroups": names_in(self.security_groups)}
            params["networkConfiguration"] = {"awsvpcConfiguration": network}
        return params

    def _ecs(self) -> Any:
        """The client; region and credentials are boto3's own business.

        Raises:
            BioiconsError: there is no such profile, or no region.
        """
        import boto3
        from botocore.exceptions import BotoCoreError

        try:
            return boto3.client("ecs")
        except BotoCoreError as error:
            raise BioiconsError(
                f"ECS cannot be asked ({error}): correct the AWS settings of this user, AWS_PROFILE and "
                "AWS_DEFAULT_REGION first."
            ) from error


def judged(task: dict[str, Any] | None, container: str, problem: str | None, messages: list[Any]) -> Ended:
    """What ECS says of a task, judged. A task without an exit code has not succeeded: its host is gone."""
    if task is None:
        return Ended(messages, problem or "was not started by ECS")
    stop, reason = task.get("stopCode", ""), task.get("stoppedReason", "no reason given")
    exits = {one["name"]: one.get("exitCode") for one in task.get("containers", [])}
    code = exits.get(container)
    if task.get("lastStatus") != "STOPPED":
        # it may still run: the next try stops it first, and it stops by itself once its lease is gone
        return Ended(messages, problem or "went out of sight: ECS was not asked to its end", lost=True)
    if stop == "TaskFailedToStart":
        return Ended(messages, f"was not started by ECS ({reason})")
    if stop in _TAKEN_AWAY:
        return Ended(messages, f"lost its host ({stop}: {reason})", lost=True)
    if code is None:
        return Ended(messages, f"lost its host: ECS knows no exit code ({reason})", lost=True)
    if code == 0:
        return Ended(messages, problem)
    interrupted = code == INTERRUPTED or was_interrupted(messages)
    if interrupted and stop != "UserInitiated":
        return Ended(messages, f"was told to stop by its host ({reason})", lost=True)
    return Ended(messages, f"ended with exit code {code} ({reason})")
