"""An ECS that runs what it is asked to run: a task is a process with a folder and an environment of its own.

It answers as boto3's ECS client does, and checks what it is asked against botocore's own model of the API
(moto's ECS runs nothing, so any test of behaviour would pass on it). A task sees nothing of its starter but
what `RunTask` says: its working folder is new, its environment has the server of S3 and the image's search
path. Between starter and task stands a host process, as a container runtime does: a task outlives whoever
asked for it. Everything it knows is in files, so that a second orchestrator finds the first one's tasks.

A task's fault is planted by name: see `planted.py`; `no exit code` is a host that is lost. `wait_faults` are
raised by the next calls of the waiter, once the task runs. `contexts` is what Dagster gave the tasks on S3.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters
from dagster_pipes import decode_param

REPOSITORY = Path(__file__).resolve().parents[2]
HOST = """
import json, pathlib, subprocess, sys
task = pathlib.Path(sys.argv[1])
about = json.loads((task / "about.json").read_text())
with (task / "log").open("wb") as log:
    child = subprocess.Popen(about["command"], cwd=task / "disk", env=about["env"], stdout=log, stderr=log)
(task / "pid").write_text(str(child.pid))
code = child.wait()
(task / "exit.tmp").write_text(str(code if code >= 0 else 128 - code))
(task / "exit.tmp").rename(task / "exit")
"""


class FakeEcs:
    """See the module. `faults`: planted in the tasks in their order, "" for none; then none."""

    meta = SimpleNamespace(region_name="us-east-1")

    def __init__(self, folder: Path, image: Path, environment: dict[str, str], faults: list[str]) -> None:
        self.folder, self._image, self._environment, self._faults = folder, image, environment, faults
        self.asked: list[dict[str, Any]] = []
        self.contexts: list[dict[str, Any]] = []
        self.wait_faults: list[Exception] = []
        self._model = botocore.session.get_session().get_service_model("ecs")

    def _check(self, operation: str, params: dict[str, Any]) -> None:
        validate_parameters(params, self._model.operation_model(operation).input_shape)

    def describe_task_definition(self, **params: Any) -> dict[str, Any]:
        self._check("DescribeTaskDefinition", params)
        return {"taskDefinition": {"containerDefinitions": [{"name": "trainer"}]}}

    def run_task(self, **params: Any) -> dict[str, Any]:
        self._check("RunTask", params)
        self.asked.append(params)
        number = len(list(self.folder.glob("*/about.json")))
        fault = self._faults[number] if number < len(self._faults) else ""
        if fault == "no capacity":
            return {"tasks": [], "failures": [{"reason": "RESOURCE:GPU"}]}
        (container,) = params["overrides"]["containerOverrides"]
        task = self.folder / f"{number}-{uuid.uuid4().hex}"
        shutil.copytree(self._image, task / "disk")
        command = [sys.executable if word == "python" else word for word in container["command"]]
        if fault:
            assert command[1:3] == ["-m", "bioicons_pipeline.training"]
            command = [sys.executable, "-m", "bioicons_pipeline_tests.orchestration.planted", fault]
        given = {one["name"]: one["value"] for one in container.get("environment", [])}
        if "DAGSTER_PIPES_CONTEXT" in given:
            self.contexts.append(_context(decode_param(given["DAGSTER_PIPES_CONTEXT"])))
        image = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "HOME": ".",
            "OMP_NUM_THREADS": "1",
        }
        about = {
            "command": command,
            "env": {**image, **self._environment, **given},
            "started_by": params["startedBy"],
            "fault": fault,
        }
        (task / "about.json").write_text(json.dumps(about))
        subprocess.Popen([sys.executable, "-S", "-c", HOST, str(task)], start_new_session=True)
        return {"tasks": [self._answer(task)], "failures": []}

    def _answer(self, task: Path) -> dict[str, Any]:
        about = json.loads((task / "about.json").read_text())
        container: dict[str, Any] = {"name": "trainer", "runtimeId": task.name}
        found: dict[str, Any] = {
            "taskArn": f"arn:aws:ecs:us-east-1:1:task/c/{task.name}",
            "clusterArn": "arn:aws:ecs:us-east-1:1:cluster/c",
            "lastStatus": "RUNNING",
            "desiredStatus": self._desired(task),
            "startedBy": about["started_by"],
            "containers": [container],
        }
        if (task / "exit").is_file():
            found |= {
                "lastStatus": "STOPPED",
                "stopCode": "EssentialContainerExited",
                "stoppedReason": "it ended",
            }
            if about["fault"].startswith("no exit code"):
                found |= {"stoppedReason": "Host EC2 (instance i-0) terminated."}
            else:
                container["exitCode"] = int((task / "exit").read_text())
        return found

    def _task(self, arn: str) -> Path:
        return self.folder / arn.rpartition("/")[2]

    def describe_tasks(self, **params: Any) -> dict[str, Any]:
        self._check("DescribeTasks", params)
        return {"tasks": [self._answer(self._task(arn)) for arn in params["tasks"]], "failures": []}

    def list_tasks(self, **params: Any) -> dict[str, Any]:
        self._check("ListTasks", params)
        if "startedBy" in params and set(params) - {"cluster", "startedBy"}:  # it must be the only filter
            raise refused("InvalidParameterException", "ListTasks")
        wanted = params.get("desiredStatus", "RUNNING")
        tasks = [self._answer(file.parent) for file in self.folder.glob("*/about.json")]
        found = [
            task["taskArn"]
            for task in tasks
            if task["desiredStatus"] == wanted and params.get("startedBy") in (None, task["startedBy"])
        ]
        return {"taskArns": found}

    def _desired(self, task: Path) -> str:
        return "STOPPED" if (task / "told").exists() or (task / "exit").exists() else "RUNNING"

    def get_paginator(self, name: str) -> Any:
        assert name == "list_tasks"
        return SimpleNamespace(paginate=lambda **params: iter([self.list_tasks(**params)]))

    def stop_task(self, **params: Any) -> dict[str, Any]:
        self._check("StopTask", params)
        task = self._task(params["task"])
        while not (task / "pid").is_file():
            time.sleep(0.02)
        (task / "told").touch()
        os.kill(int((task / "pid").read_text()), signal.SIGTERM)
        return {"task": self._answer(task)}

    def get_waiter(self, name: str) -> Any:
        assert name == "tasks_stopped"
        return SimpleNamespace(wait=self._wait)

    def _wait(self, *, tasks: list[str], **_: Any) -> None:
        deadline = time.monotonic() + 300
        if self.wait_faults:
            while any(not (self._task(arn) / "pid").exists() for arn in tasks):
                time.sleep(0.02)
            raise self.wait_faults.pop(0)
        while any(not (self._task(arn) / "exit").exists() for arn in tasks):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def logs(self) -> str:
        """What all tasks printed."""
        return "\n".join(log.read_text() for log in sorted(self.folder.glob("*/log")))


def refused(code: str, operation: str) -> ClientError:
    """What boto3 raises for a refusal of ECS."""
    return ClientError({"Error": {"Code": code, "Message": "planted"}}, operation)


def _context(where: dict[str, str]) -> dict[str, Any]:
    body = boto3.client("s3").get_object(Bucket=where["bucket"], Key=where["key"])["Body"]
    return json.loads(body.read())
