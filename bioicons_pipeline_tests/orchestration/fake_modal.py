"""A Modal that runs what it is asked to run: a sandbox is a process of `FakeEcs`'s hosts, nothing shared.

It has the names of the client that `backends/modal.py` uses, refuses what the real client's signatures
refuse, and raises the real client's exceptions. A host that is lost is a sandbox that Modal says
it has terminated.
"""

import inspect
from types import SimpleNamespace
from typing import Any

import modal as real

from bioicons_pipeline_tests.orchestration.fake_ecs import FakeEcs

SECRET = "bucket"


class FakeModal:
    """Stands for the module `modal`."""

    exception = real.exception

    def __init__(self, hosts: FakeEcs) -> None:
        self.hosts, self.asked, self.images = hosts, [], []
        self.App = SimpleNamespace(lookup=self._lookup)
        self.Secret = SimpleNamespace(from_name=self._secret)
        self.Sandbox = SimpleNamespace(create=self._create, list=self._list)
        self.Image = SimpleNamespace(
            debian_slim=self._image("debian_slim"), from_registry=self._image("from_registry")
        )

    def _lookup(self, *names: Any, **options: Any) -> Any:
        inspect.signature(real.App.lookup).bind(*names, **options)
        return SimpleNamespace(app_id="ap-1")

    def _secret(self, *names: Any, **options: Any) -> str:
        inspect.signature(real.Secret.from_name).bind(*names, **options)
        return names[0]

    def _image(self, step: str, before: tuple = ()) -> Any:
        """A step of an image's making, checked against the client; the image is the list of its steps."""

        def made(*values: Any, **options: Any) -> Any:
            method = getattr(real.Image, step)
            unbound = (None,) if before else ()  # the image that it goes on from
            inspect.signature(method).bind(*unbound, *values, **options)
            steps = (*before, (step, values, options))
            following = ("pip_install_from_requirements", "env", "add_local_dir")
            return SimpleNamespace(steps=steps, **{name: self._image(name, steps) for name in following})

        return made

    def _create(self, *command: str, **options: Any) -> "FakeSandbox":
        inspect.signature(real.Sandbox.create).bind(*command, **options)
        self.asked.append((command, options))
        if SECRET not in options["secrets"]:
            raise real.exception.NotFoundError(f"Secret {options['secrets']} not found")
        environment = [{"name": name, "value": value} for name, value in options["env"].items()]
        container = {"name": "trainer", "command": list(command), "environment": environment}
        (tag,) = options["tags"].values()
        answer = self.hosts.run_task(
            cluster="c",
            taskDefinition="t",
            count=1,
            startedBy=tag,
            overrides={"containerOverrides": [container]},
        )
        if not answer["tasks"]:
            raise real.exception.ResourceExhaustedError("no such GPU is free")
        return FakeSandbox(self.hosts, answer["tasks"][0]["taskArn"])

    def _list(self, **options: Any) -> list["FakeSandbox"]:
        inspect.signature(real.Sandbox.list).bind(**options)
        (tag,) = options["tags"].values()
        found = self.hosts.list_tasks(cluster="c", startedBy=tag)  # those that run
        return [FakeSandbox(self.hosts, arn) for arn in found["taskArns"]]


class FakeSandbox:
    """One process."""

    def __init__(self, hosts: FakeEcs, arn: str) -> None:
        self._hosts, self._arn = hosts, arn

    def _task(self) -> dict[str, Any]:
        return self._hosts.describe_tasks(cluster="c", tasks=[self._arn])["tasks"][0]

    def poll(self) -> int | None:
        task = self._task()
        return task["containers"][0].get("exitCode", 137) if task["lastStatus"] == "STOPPED" else None

    def wait(self, raise_on_termination: bool = True) -> None:
        self._hosts.get_waiter("tasks_stopped").wait(tasks=[self._arn])
        if raise_on_termination and "exitCode" not in self._task()["containers"][0]:
            raise real.exception.SandboxTerminatedError()

    def terminate(self, *, wait: bool = False) -> int | None:
        self._hosts.stop_task(cluster="c", task=self._arn)
        return self._hosts.get_waiter("tasks_stopped").wait(tasks=[self._arn]) if wait else None
