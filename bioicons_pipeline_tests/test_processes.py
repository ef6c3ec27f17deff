"""A killed process takes along what it started; a process is told apart from a later one of its number."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bioicons_pipeline import processes
from bioicons_pipeline.processes import CLOCK_SLACK_S, ProcessId

RUN = """
import multiprocessing, subprocess, sys, time
from bioicons_pipeline.processes import command, end_with_run

def step():
    if "orphan" not in sys.argv:
        end_with_run()
        end_with_run()
    trainer = subprocess.Popen([*command("timeit", "-n", "1", "import time; time.sleep(600)")])
    print("trainer", trainer.pid, flush=True)
    trainer.wait()

if __name__ == "__main__":
    child = multiprocessing.get_context("forkserver").Process(target=step)
    child.start()
    print("step", child.pid, flush=True)
    child.join()
"""


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_until(check, seconds: float = 30.0) -> bool:
    ends = time.monotonic() + seconds
    while not check() and time.monotonic() < ends:
        time.sleep(0.05)
    return check()


@pytest.fixture
def run(tmp_path):
    """Starts a run with its step under a fork server and that one's trainer; gives the three processes."""
    program = tmp_path / "run.py"
    program.write_text(RUN)
    pids: list[int] = []

    def start(*arguments: str) -> tuple[subprocess.Popen, int, int]:
        process = subprocess.Popen(
            [sys.executable, str(program), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(processes.__file__).parents[1])},
        )
        said = dict(process.stdout.readline().split() for _ in range(2))
        step, trainer = int(said["step"]), int(said["trainer"])
        pids.extend((step, trainer))
        return process, step, trainer

    yield start
    for pid in pids:
        if not gone(pid):
            psutil.Process(pid).kill()


def test_a_killed_run_takes_its_step_and_its_trainer_along(run):
    process, step, trainer = run()
    assert not gone(step) and not gone(trainer)
    process.kill()
    process.wait()
    assert wait_until(lambda: gone(step) and gone(trainer))


def test_without_that_the_step_is_an_orphan(run):
    """What the test above would see if steps did not watch their run: the reason for all this."""
    process, step, trainer = run("orphan")
    process.kill()
    process.wait()
    time.sleep(1)
    assert not gone(step) and not gone(trainer)


def test_a_killed_step_takes_its_trainer_along(run):
    process, step, trainer = run()
    os.kill(step, 9)
    assert wait_until(lambda: gone(trainer))
    process.wait(30)


def test_a_process_of_the_same_number_is_another():
    here = ProcessId.here()
    assert here.is_gone() is False
    assert replace(here, started=here.started - 2 * CLOCK_SLACK_S).is_gone() is True
    assert replace(here, host="another-machine").is_gone() is None
    child = subprocess.Popen([sys.executable, "-c", ""])
    ended = ProcessId(here.host, child.pid, processes.started_at(child.pid) or 0.0)
    assert wait_until(lambda: ended.is_gone() is True)  # a zombie counts as gone
    child.wait()
    assert ended.is_gone() is True


def test_a_process_that_may_not_be_looked_at_runs(monkeypatch):
    here = ProcessId.here()
    monkeypatch.setattr(processes, "started_at", lambda pid: processes.UNKNOWN)
    assert here.is_gone() is False


def test_of_another_container_of_the_same_name_nothing_is_known():
    here = ProcessId.here()
    assert replace(here, host=f"{processes.this_host()} pid:[1]", pid=2**22).is_gone() is None
    assert replace(here, pid=2**22).is_gone() is True  # of this one it is
