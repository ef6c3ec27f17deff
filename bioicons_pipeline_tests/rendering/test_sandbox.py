"""The sandbox: what the kernel refuses a worker; no worker outlives its caller or costs two icons."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bioicons_pipeline.rendering import (
    RenderCache,
    RenderingError,
    RenderResult,
    RenderSettings,
    render_many,
    render_one,
)
from bioicons_pipeline.rendering.pool import Pool, Worker
from bioicons_pipeline_tests.rendering.hostile import svg

SMALL = RenderSettings(size=32)
SLOW = svg(
    f'<filter id="f"><feConvolveMatrix order="500" kernelMatrix="{"1 " * 250_000}"/></filter>'
    '<rect width="90" height="90" filter="url(#f)"/>'
).encode()


def icon(seed: int) -> bytes:
    return svg(f'<rect width="{10 + seed}" height="40" fill="#0a0"/>').encode()


def workers_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`, whichever of its threads started them."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += [int(child) for child in (task / "children").read_text().split()]
        except FileNotFoundError:
            continue
    return found


def gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_after_lock_down_no_file_and_no_socket_can_be_opened():
    code = """
import socket, sys, os
from bioicons_pipeline.rendering.worker import warm_up, lock_down
warm_up(True)
os.closerange(3, 100)
lock_down(256 << 20)
attempts = [lambda: open("/etc/passwd"), lambda: open("new", "w"), socket.socket, os.pipe, lambda: os.dup(1)]
for attempt in attempts:
    try:
        attempt()
    except OSError as error:
        print("refused", error.errno)
    else:
        print("allowed")
try:
    held = bytearray(300 << 20)
except MemoryError:
    print("refused memory")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:-1] == ["refused 24"] * 5 + ["refused memory"], done.stdout + done.stderr


def test_a_worker_has_nothing_of_its_parents_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    worker = Worker(tmp_path, 256)
    try:
        proc = Path(f"/proc/{worker.process.pid}")
        environment = (proc / "environ").read_bytes().decode()
        assert "s3cret" not in environment and "PATH=" not in environment.replace("LD_LIBRARY_PATH", "")
        assert (proc / "cwd").readlink() == tmp_path and not list(tmp_path.iterdir())
        assert {int(fd.name) for fd in (proc / "fd").iterdir()} <= {0, 1, 2}
        limits = (proc / "limits").read_text()
        assert "Max open files            3 " in limits and "Max core file size        0 " in limits
        modules = (proc / "maps").read_text()
        assert "libtorch" not in modules and "pandas" not in modules
        assert os.getsid(worker.process.pid) != os.getsid(0), "Ctrl-C in a terminal does not reach it"
    finally:
        worker.close()


def test_a_file_that_takes_too_long_costs_itself_only():
    settings = RenderSettings(size=32, time_limit=0.5)
    files = [("a", icon(1)), ("slow", SLOW), ("b", icon(2)), ("slow again", SLOW), ("c", icon(3))]
    started = time.monotonic()
    results = list(render_many(files, settings, workers=1))
    assert [r.refusal for r in results] == [None, "time_out", None, "time_out", None]
    assert "0.5 s" in results[1].report["detail"]
    assert time.monotonic() - started < 40


def test_cpu_time_is_limited_by_the_kernel(monkeypatch, tmp_path):
    monkeypatch.setattr("bioicons_pipeline.rendering.pool._WALL_FACTOR", 60)
    worker = Worker(tmp_path, 256, second=False)
    try:
        result = worker.run(SLOW, RenderSettings(size=32, time_limit=0.5))
        assert result.refusal == "time_out" and worker.process.returncode == -signal.SIGXCPU
    finally:
        worker.close()


def test_a_worker_that_hangs_without_working_is_ended_too(tmp_path):
    worker = Worker(tmp_path, 256, second=False)
    try:
        os.kill(worker.process.pid, signal.SIGSTOP)
        result = worker.run(icon(1), RenderSettings(size=32, time_limit=0.3))
        assert result.refusal == "time_out" and worker.process.returncode == -signal.SIGKILL
    finally:
        worker.close()


def killed(pool, other_than=None):
    """Kill the pool's one worker, once it is another one than that; its process id."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        pids = [worker.process.pid for worker in pool._workers if worker.alive()]
        if pids and pids[0] != other_than:
            time.sleep(0.5)  # it has the icon by then
            os.kill(pids[0], signal.SIGKILL)
            return pids[0]
        time.sleep(0.05)
    raise AssertionError("no worker started")


def test_a_worker_that_is_killed_twice_costs_one_icon():
    settings = RenderSettings(size=32, time_limit=60)
    with Pool(settings, 1) as pool:
        pool.submit(0, icon(0))
        assert pool.result(0).refusal is None
        pool.submit(1, SLOW)
        pool.submit(2, icon(2))
        first = killed(pool)
        second = killed(pool, other_than=first)
        assert pool.result(1).refusal == "worker_died"
        assert pool.result(2).refusal is None
    assert gone(first) and gone(second)


def test_a_worker_that_is_killed_once_costs_nothing(monkeypatch):
    """The machine ran out of memory, and the kernel took the worker; the icon is as good as any."""
    run, dead = Worker.run, []

    def once(self, svg, settings):
        if not dead:
            dead.append(self.process.pid)
            os.kill(self.process.pid, signal.SIGKILL)
        return run(self, svg, settings)

    monkeypatch.setattr(Worker, "run", once)
    result = render_one(icon(1), RenderSettings(size=32))
    assert dead and result.refusal is None and result.png


def test_a_second_renderer_that_died_is_not_remembered_as_a_refusal(monkeypatch):
    answers = {"resvg": "renderer_refused", "cairosvg": "time_out"}
    monkeypatch.setattr(
        Worker, "run", lambda self, svg, settings: RenderResult("", refusal=answers[settings.renderer])
    )
    assert render_one(icon(1), RenderSettings(size=32)).refusal == "time_out"
    answers["cairosvg"] = "renderer_refused"
    assert render_one(icon(1), RenderSettings(size=32)).refusal == "renderer_refused"


def test_memory_is_limited():
    hungry = RenderSettings(size=4096, memory_mb=64)
    result = render_one(icon(1), hungry)
    assert result.refusal in {"out_of_memory", "worker_died", "renderer_refused"}, result.report


def test_no_process_and_no_folder_is_left_behind():
    before = set(workers_of(os.getpid()))
    results = render_many([(str(i), icon(i)) for i in range(50)], SMALL, workers=2)
    next(results)
    started = set(workers_of(os.getpid())) - before
    assert started
    results.close()
    assert all(gone(pid) for pid in started)
    assert threading.active_count() < 20
    assert not [t for t in threading.enumerate() if t.name == "bioicons-render"]


SCRIPT = """
import sys
from bioicons_pipeline.rendering import RenderCache, RenderSettings, render_many
from bioicons_pipeline_tests.rendering.test_sandbox import SLOW, icon
if __name__ == "__main__":
    def endless():
        i = 0
        while True:
            yield str(i), icon(i) if i < 6 else SLOW + b" " * i
            i += 1
    settings, cache = RenderSettings(size=64, time_limit=60), RenderCache(sys.argv[1])
    for result in render_many(endless(), settings, cache=cache, workers=2):
        print(result.key, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_when_the_caller_goes_the_workers_go(how, tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for _ in range(5):
        process.stdout.readline()
    time.sleep(0.5)  # now they are deep in a slow file, and will not look at their pipes
    workers = workers_of(process.pid)
    assert len(workers) >= 1
    process.send_signal(how)
    process.wait(timeout=20)
    process.stdout.close()
    assert process.returncode != 0
    assert all(gone(pid) for pid in workers), "an orphan is left"
    entries = [path for path in tmp_path.rglob("*") if path.is_file()]
    whole = [path for path in entries if not path.name.startswith(".")]
    assert len(whole) >= 5
    if how == signal.SIGINT:
        assert whole == entries, "Ctrl-C left something half-written"
    cache = RenderCache(tmp_path)
    for path in whole:
        assert RenderResult.unpack(cache.get(path.name)).png


def test_a_worker_that_cannot_start_says_so(monkeypatch):
    monkeypatch.setattr("bioicons_pipeline.rendering.pool._BOOT", "import no_such_module")
    with pytest.raises(RenderingError, match="no_such_module"):
        render_one(icon(1), SMALL)


def test_errors_of_the_input_reach_the_caller():
    def broken():
        yield "a", icon(1)
        raise RuntimeError("disk gone")

    with pytest.raises(RuntimeError, match="disk gone"):
        list(render_many(broken(), SMALL, workers=1))


def test_the_second_renderer_steps_in_where_the_first_refuses(monkeypatch):
    run = Worker.run

    def refusing(self, data, settings):
        if settings.renderer == "resvg":
            return RenderResult("", refusal="renderer_refused", report={"detail": "resvg: no"})
        return run(self, data, settings)

    monkeypatch.setattr(Worker, "run", refusing)
    result = render_one(icon(1), SMALL)
    assert result.refusal is None and result.report["renderer"] == "cairosvg"
    assert any("second renderer" in warning for warning in result.warnings)
