"""The pipeline, SIGKILLed at random moments and started again each time, makes what an undisturbed run makes.

`python -m bioicons_pipeline_tests.end_to_end.kill_test --kills 20 --seed 1` takes a slice of the sample
bundle; `--source starter` the packaged library. It ends with 0 if every ref shows the version that the
undisturbed run made, every file is there and sound, and no process outlived its run; else with 1.

What dies is drawn too: everything at once (as in a power failure), the run's process, a step's, the
launcher of the training, the training itself, or a renderer. A killed run must take its children along; a
run that goes on after the loss of a child is left to end by itself.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bioicons_pipeline.store import Store

ROLES = ("all", "run", "step", "launcher", "trainer", "renderer")
LEFT_S = 60.0
"""How long a child may take to notice that its parent is gone."""


@dataclass
class Report:
    """What happened: kills as (role, seconds after the start), rounds, and what was wrong."""

    kills: list[tuple[str, float]] = field(default_factory=list)
    restarts: int = 0
    rounds: int = 0
    faults: list[str] = field(default_factory=list)


class Pipeline:
    """`bioicons run` with given arguments on a data folder."""

    def __init__(self, data: Path, arguments: list[str]) -> None:
        self.data, self.arguments = data, arguments
        self.log = data.with_suffix(".log")
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it in a session of its own."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bioicons_pipeline.cli", "run", *self.arguments],
                env={**os.environ, "BIOICONS_DATA_DIR": str(self.data)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def processes(self) -> dict[str, list[psutil.Process]]:
        """The living processes that work on the data folder, by role."""
        ours: dict[int, tuple[psutil.Process, str]] = {}
        others = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if process.environ().get("BIOICONS_DATA_DIR") == str(self.data):
                    ours[process.pid] = process, line
                elif "rendering.worker" in line:  # these get no environment
                    others.append((process, line))
        found: dict[str, list[psutil.Process]] = {}
        for process, line in [*ours.values(), *others]:
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if process.pid in ours:
                    found.setdefault(self._role(process, line), []).append(process)
                elif process.ppid() in ours:
                    found.setdefault("renderer", []).append(process)
        return found

    def _role(self, process: psutil.Process, line: str) -> str:
        assert self.process is not None
        if process.pid == self.process.pid:
            return "run"
        if "accelerate.commands.launch" in line:
            return "launcher"
        if "bioicons_pipeline.training" in line:
            return "trainer"
        # the fork server has the same command line as its children, the steps, and is their parent
        forked = "multiprocessing.forkserver" in line and process.ppid() != self.process.pid
        return "step" if forked else "other"

    def kill(self, role: str) -> str:
        """SIGKILL what plays `role`, the run's process if nothing does; returns what was killed."""
        found = self.processes()
        if role == "all":
            victims = [process for group in found.values() for process in group]
        else:
            role = role if found.get(role) else "run"
            victims = found.get(role, [])[:1]
        for victim in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim.pid, signal.SIGKILL)
        return role

    def left(self) -> list[str]:
        """Command lines that are still there a while after the run's process went."""
        ends = time.monotonic() + LEFT_S
        while True:
            there = [process for group in self.processes().values() for process in group]
            there = [process for process in there if "resource_tracker" not in _line(process)]
            if not there or time.monotonic() > ends:
                return [_line(process)[:200] for process in there]
            time.sleep(0.2)


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def versions(data: Path) -> dict[str, str]:
    """What every ref of a store shows, by the ref's path."""
    import json

    root = data / "store" / "refs"
    return {
        path.relative_to(root).as_posix(): json.loads(path.read_bytes())["version_id"]
        for path in sorted(root.rglob("*.json"))
    }


def unsound(data: Path) -> list[str]:
    """Files of shown versions that are missing or damaged."""
    store = Store(data / "store")
    return [
        f"{name}: {damage.path} is {damage.problem}"
        for name, version in versions(data).items()
        for damage in store.verify(version)
    ]


def undisturbed(data: Path, arguments: list[str]) -> tuple[dict[str, str], float]:
    """What a run makes that nobody kills, and its seconds."""
    pipeline, began = Pipeline(data, arguments), time.monotonic()
    pipeline.start()
    code = pipeline.process.wait()
    assert code == 0, pipeline.log.read_text()
    return versions(data), time.monotonic() - began


def disturbed(
    folder: Path,
    arguments: list[str],
    expected: dict[str, str],
    seconds: float,
    kills: int,
    seed: int,
    roles: Sequence[str] = (),
) -> Report:
    """Kill until `kills` are done; a round is one data folder, from nothing to the finished run.

    roles: what dies first, second, …; each shortly after such a process is there. Then it is drawn.
    """
    draw, report = random.Random(seed), Report()
    while len(report.kills) < kills and not report.faults:
        report.rounds += 1
        pipeline = Pipeline(folder / f"round-{report.rounds}", arguments)
        _round(pipeline, draw, report, kills, seconds, roles)
        made = versions(pipeline.data)
        for name in sorted({*made, *expected}):
            if made.get(name) != expected.get(name):
                report.faults.append(f"{name}: {made.get(name)} instead of {expected.get(name)}")
        report.faults += unsound(pipeline.data)
    return report


def _moment(pipeline: Pipeline, draw: random.Random, role: str | None, seconds: float) -> int | None:
    """Wait for the moment of a kill; the exit code, if the run ends before it."""
    while role is not None and role != "all" and role not in pipeline.processes():
        with contextlib.suppress(subprocess.TimeoutExpired):
            return pipeline.process.wait(0.1)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return pipeline.process.wait(draw.uniform(0.2, seconds if role is None else 2.0))
    return None


def _round(
    pipeline: Pipeline,
    draw: random.Random,
    report: Report,
    kills: int,
    seconds: float,
    roles: Sequence[str],
) -> None:
    code = None
    while code != 0:
        pipeline.start()
        began = time.monotonic()
        while len(report.kills) < kills:
            number = len(report.kills)
            role = roles[number] if number < len(roles) else None
            code = _moment(pipeline, draw, role, seconds)
            if code is not None:
                break
            killed = pipeline.kill(role or draw.choice(ROLES))
            report.kills.append((killed, round(time.monotonic() - began, 1)))
            print(f"kill {len(report.kills)}: {killed} after {report.kills[-1][1]} s", flush=True)
            if killed in ("all", "run"):
                code = pipeline.process.wait()
                break
        else:
            code = pipeline.process.wait()
        if left := pipeline.left():
            report.faults.append(f"left behind: {left}")
            pipeline.kill("all")
            return
        report.restarts += code != 0
        if report.restarts > 3 * kills + 5:
            report.faults.append(f"does not finish: {pipeline.log.read_text()[-2000:]}")
            return


def main() -> int:
    """Run as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how many kills; default: 20")
    parser.add_argument("--seed", type=int, default=0, help="of what dies, and when")
    parser.add_argument("--source", help="library to run on; default: a slice of the sample bundle")
    parser.add_argument("--steps", type=int, default=150, help="training steps; checkpoints are 60 apart")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="kill-test-"))
    folder.mkdir(parents=True, exist_ok=True)
    source = options.source
    if source is None:
        from bioicons_pipeline_tests.conftest import BUNDLE
        from bioicons_pipeline_tests.end_to_end.conftest import make_slice

        subprocess.run(["git", "clone", "--quiet", str(BUNDLE), str(folder / "sample")], check=True)
        source = str(make_slice(folder / "sample", folder / "slice"))
    arguments = brief(source, options.steps)
    expected, seconds = undisturbed(folder / "undisturbed", arguments)
    print(f"undisturbed: {len(expected)} refs in {seconds:.0f} s", flush=True)
    report = disturbed(folder, arguments, expected, seconds, options.kills, options.seed)
    print(f"{len(report.kills)} kills, {report.restarts} restarts, {report.rounds} rounds")
    print("\n".join(report.faults) or "every ref shows what the undisturbed run made")
    return 1 if report.faults else 0


def brief(source: str, steps: int, until: str = "sample_grid") -> list[str]:
    """Arguments of a run that takes about a minute."""
    return [
        *("--source", source, "--category", "Animals", "--size", "64", "--base", "flux-tiny"),
        *("--steps", str(steps), "--sampling-steps", "1", "--until", until),
    ]


if __name__ == "__main__":
    sys.exit(main())
