"""One task of ECS from start to end: PipesECSClient with the gaps of dagster-aws 0.29 filled.

What that client does and we do not want, each seen in its source: it takes a missing exit code for success
and invents a materialization (so nothing of it is used but the waiting; `base.py` judges); it writes into
the task's parameters; it forgets what ECS answered once it raises; it fails without a word where ECS has no
host; and nothing finds a task whose orchestrator died. Imports boto3 and dagster_aws, so it is itself
imported late.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
from botocore.exceptions import BotoCoreError, ClientError
from dagster_aws.pipes import PipesECSClient

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.backends.conversation import Conversation

if TYPE_CHECKING:
    from bioicons_pipeline.training.request import TrainingRequest


class EcsSession:
    """Starts one task, waits for it, and keeps what it said in `messages`, what went wrong in `problem`.

    Args:
        ecs: the boto3 client.
        conversation: what passes between Dagster and the task.
        poll_seconds: between two looks at the task.
    """

    def __init__(self, ecs: Any, conversation: Conversation, poll_seconds: float) -> None:
        self._ecs, self._conversation, self._poll = _Watched(ecs), conversation, poll_seconds
        self.messages: list[Any] = []
        self.problem: str | None = None

    def stop_orphans(self, cluster: str, started_by: str) -> None:
        """Stop tasks of the same training whose orchestrator died; each writes a checkpoint first.

        Whoever trains holds the training alone, so no task of it can be anyone else's. One that was told to
        stop before and has not yet is waited for too.
        """
        with _explained("looking for tasks of this training"):
            # ECS API, ListTasks: startedBy must be the only filter; without one for the status, those that
            # ECS means to run are listed
            running = self._listed(cluster=cluster, startedBy=started_by)
            for task in running:
                self._ecs.stop_task(
                    cluster=cluster, task=task, reason="its orchestrator is gone; a new run goes on from it"
                )
            tasks = [*running, *self._stopping(cluster, started_by)]
            waiter = self._ecs.get_waiter("tasks_stopped")
            for some in _hundreds(list(dict.fromkeys(tasks))):
                waiter.wait(cluster=cluster, tasks=some, WaiterConfig=self._waiting(attempts=100))

    def _listed(self, **filters: str) -> list[str]:
        pages = self._ecs.get_paginator("list_tasks").paginate(**filters)
        return [task for page in pages for task in page.get("taskArns", [])]

    def _stopping(self, cluster: str, started_by: str) -> list[str]:
        """Tasks of this training that were told to stop and have not yet."""
        told = self._listed(cluster=cluster, desiredStatus="STOPPED")
        known = [
            task
            for some in _hundreds(told)
            for task in self._ecs.client.describe_tasks(cluster=cluster, tasks=some).get("tasks", [])
        ]
        return [
            task["taskArn"]
            for task in known
            if task.get("startedBy") == started_by and task.get("lastStatus") != "STOPPED"
        ]

    def run(
        self, context: dg.AssetExecutionContext, request: "TrainingRequest", params: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Run one task to its end; what ECS last said of it.

        Raises:
            BioiconsError: ECS refuses to start it.
            dagster.DagsterExecutionInterruptedError: this run was stopped; the task is told to stop too.
        """
        client = PipesECSClient(
            client=self._ecs,  # type: ignore[arg-type] (it is one, and takes notes)
            context_injector=self._conversation.injector(),
            message_reader=self._conversation.reader(),
        )
        params = copy.deepcopy(params)
        more = [{"name": name, "value": value} for name, value in self._conversation.environment().items()]
        for container in params["overrides"]["containerOverrides"]:
            container["environment"] = [*container.get("environment", []), *more]
        try:
            client.run(
                context=context,
                run_task_params=params,  # type: ignore[arg-type]
                extras={"request": request.model_dump(mode="json")},
                waiter_config=self._waiting(attempts=1_000_000),
            )
        except (ClientError, BotoCoreError) as error:
            if self._ecs.task is None:
                raise _refused("starting the task", error) from error
            self.problem = f"went out of sight ({error})"
        except RuntimeError as error:  # what the client raises for exit codes; the task says more
            self.problem = f"failed ({error})"
        finally:
            self.messages = self._conversation.close()
        return self._ecs.task

    def _waiting(self, attempts: int) -> Any:
        return {"Delay": max(1, round(self._poll)), "MaxAttempts": attempts}


class _Watched:
    """The ECS client, and what it last said of the task."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.task: dict[str, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def run_task(self, **params: Any) -> Any:
        answer = self.client.run_task(**params)
        if not answer.get("tasks"):
            reasons = {failure.get("reason", "no reason given") for failure in answer.get("failures", [])}
            raise BioiconsError(
                f"ECS does not start the training ({', '.join(sorted(reasons)) or 'no reason given'}): check "
                "that the capacity provider has hosts with enough free GPUs and memory, and run it again."
            )
        self.task = answer["tasks"][0]
        return answer

    def describe_tasks(self, **params: Any) -> Any:
        answer = self.client.describe_tasks(**params)
        if answer.get("tasks"):
            self.task = answer["tasks"][0]
        return answer


def _hundreds(tasks: list[str]) -> list[list[str]]:
    """As many as one call of DescribeTasks takes."""
    return [tasks[start : start + 100] for start in range(0, len(tasks), 100)]


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise _refused(doing, error) from error


def _refused(doing: str, error: Exception) -> BioiconsError:
    return BioiconsError(
        f"ECS: {doing} failed ({error}): check the cluster, the task definition, and that these credentials "
        "allow ecs:RunTask, ecs:DescribeTasks, ecs:ListTasks, ecs:StopTask, ecs:TagResource and iam:PassRole."
    )
