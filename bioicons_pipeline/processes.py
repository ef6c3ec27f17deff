"""Processes of this machine: which one is meant, whether it is gone, and children that end with their parent.

Belongs here: what a kill leaves behind, and how nothing is left behind. Does not belong here: what the
processes do. Linux ends a child with its parent by prctl(2), PR_SET_PDEATHSIG; elsewhere that call does
nothing. `python -m bioicons_pipeline.processes PARENT MODULE …` runs a module that way.
"""

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import platform
import runpy
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CLOCK_SLACK_S = 60.0
"""Seconds that a start time may differ: system clocks are set right now and then. A process number is not
given out again that soon."""
UNKNOWN = 0.0
"""Start time of a process that runs and shows no more than that."""
PARENT_VARIABLE = "BIOICONS_PARENT_PID"
"""Tells the child of a module that was run through here which process must be its parent."""
_PR_SET_PDEATHSIG = 1
_watching = threading.Lock()


@dataclass(frozen=True)
class ProcessId:
    """A process, told apart from a later one of the same number; `started` in seconds since 1970."""

    host: str
    pid: int
    started: float

    @classmethod
    def here(cls) -> "ProcessId":
        """This process."""
        return cls(this_room(), os.getpid(), started_at(os.getpid()) or 0.0)

    def is_gone(self) -> bool | None:
        """Whether it has ended; None for a process of another machine, of which nothing is known here."""
        if self.host != this_room():
            return None
        started = started_at(self.pid)
        if started == UNKNOWN:
            return False
        return started is None or abs(started - self.started) > CLOCK_SLACK_S


def this_host() -> str:
    """Name of this machine; with the user, where users may not see each other's processes."""
    return f"{platform.node()} user {os.getuid()}" if _hides_processes() else platform.node()


def this_room() -> str:
    """Machine and process namespace: containers may share a machine's name, and see no process of each other.

    A container that is started again is another room, of whose earlier processes nothing is known.
    """
    with suppress(OSError):
        return f"{this_host()} {Path('/proc/self/ns/pid').readlink()}"
    return this_host()


@cache
def _hides_processes() -> bool:
    """Whether /proc shows users only their own processes (mount option hidepid)."""
    with suppress(OSError):
        lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        options = [option for line in lines if line[1] == "/proc" for option in line[3].split(",")]
        hiding = [one for one in options if one.startswith("hidepid=")]
        return bool(hiding) and hiding[-1] not in ("hidepid=0", "hidepid=off")
    return False


def started_at(pid: int) -> float | None:
    """When process `pid` of this machine started, seconds since 1970; `UNKNOWN`; None if it does not run."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:  # another user's: it runs, and more cannot be known
        return UNKNOWN


def end_with_parent(expected: int | None = None) -> None:
    """Get SIGTERM when the process that started this one dies (Linux).

    expected: number of that process, if it is known: it may have died before this call.

    Raises:
        SystemExit: it is dead already.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid() if expected is None else expected
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # compared with 1 it would be wrong in containers: the launcher is process 1
        raise SystemExit(130)


def end_with_run() -> None:
    """In a step's process: end at once when the process of its run is gone. Elsewhere it does nothing.

    Dagster's steps are children of a fork server, which outlives the run for as long as a step lives, so
    prctl(2) sees no death; the pipe that multiprocessing keeps to the process that asked for the child does.
    An orphan step would train on, and record a materialization on a run that failed long ago.
    """
    parent = multiprocessing.parent_process()
    if parent is None or not _watching.acquire(blocking=False):
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(137)  # no handler, no event, no cleanup that could be taken for work

    threading.Thread(target=watch, name="end-with-run", daemon=True).start()


def command(module: str, *arguments: str) -> list[str]:
    """Command line that runs a module as a child which ends with this process."""
    return [sys.executable, "-m", "bioicons_pipeline.processes", str(os.getpid()), module, *arguments]


def main() -> None:
    """Run the module that is named on the command line, as `python -m` would."""
    end_with_parent(int(sys.argv[1]))
    os.environ[PARENT_VARIABLE] = str(os.getpid())
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
