"""Worker processes: started clean, timed, replaced when they die, gone when the caller goes.

Belongs here: one `Worker` (a process and its pipes) and the `Pool` (a thread for each worker, results in
input order, bounded in memory). Not here: the sandbox inside the process (`worker.py`), the cache.
"""

import contextlib
import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.rendering.result import MACHINE_DEPENDENT, RefusalReason, RenderResult
from bioicons_pipeline.rendering.settings import RenderSettings
from bioicons_pipeline.rendering.worker import FINAL, HEAD, JOB, PRELIMINARY, READY

_START_SECONDS = 60.0
_MAX_FRAME = 256 << 20
_WALL_FACTOR = 3  # wall-clock seconds for each CPU-second allowed: a busy machine is not the icon's fault
_BOOT = (
    "import sys; sys.path[:] = {path!r}; from bioicons_pipeline.rendering.worker import main; "
    "main({parent}, {memory}, {second})"
)


class RenderingError(BioiconsError):
    """Rendering as such does not work here (no icon is to blame)."""


class _Dead(Exception):
    """The worker process ended, or was ended for taking too long (`timed_out`)."""

    def __init__(self, timed_out: bool = False):
        super().__init__("worker died")
        self.timed_out = timed_out


def _environment(home: Path) -> dict[str, str]:
    """Nothing of the caller's environment but where shared libraries are."""
    kept = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "SYSTEMROOT")
    clean = {name: os.environ[name] for name in kept if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**clean, **threads, "HOME": str(home), "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}


class Worker:
    """One process. `run` may be called from one thread only.

    second: whether it has cairosvg too (a job that wants it fails otherwise).
    """

    def __init__(self, folder: Path, memory_mb: int, *, second: bool = True):
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        package_root = str(Path(__file__).resolve().parents[2])
        path = [package_root, *(entry for entry in sys.path if entry and Path(entry).is_absolute())]
        boot = _BOOT.format(path=path, parent=os.getpid(), memory=memory_mb << 20, second=second)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", boot],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        )
        assert self.process.stdin and self.process.stdout
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        try:
            kind, _ = self._frame(time.monotonic() + _START_SECONDS)
        except _Dead:
            kind = None
        except BaseException:
            self.kill()
            raise
        if kind != READY:
            said = self.last_words()
            self.kill()
            raise RenderingError(
                "The rendering worker does not start; are the packages `resvg`, `cairosvg` (with the cairo "
                f"library), `lxml` and `pillow` installed? It said: {said or 'nothing'}"
            )

    def run(self, svg: bytes, settings: RenderSettings) -> RenderResult:
        """Render one icon; a death or time-out becomes a refusal (then `alive()` is false)."""
        deadline = time.monotonic() + _WALL_FACTOR * settings.time_limit
        best: RenderResult | None = None
        try:
            header = json.dumps(asdict(settings)).encode() + b"\n"
            self._send(HEAD.pack(len(header) + len(svg), JOB) + header, svg, deadline)
            while True:
                kind, body = self._frame(deadline)
                best = RenderResult.unpack(body)
                if kind == FINAL:
                    return best
                if kind != PRELIMINARY:
                    raise _Dead
        except (_Dead, ValueError) as death:
            self.kill()
            if best is not None:  # only the comparison was lost
                warning = "the second renderer crashed or took too long on it"
                return replace(best, warnings=(*best.warnings, warning))
            return self._obituary(isinstance(death, _Dead) and death.timed_out, settings)

    def _obituary(self, timed_out: bool, settings: RenderSettings) -> RenderResult:
        code, said = self.process.returncode, self.last_words()
        if timed_out or code == -signal.SIGXCPU:
            reason, detail = RefusalReason.TIME_OUT, f"took over {settings.time_limit:g} s of CPU time"
        elif "memory allocation" in said or "MemoryError" in said:
            reason, detail = RefusalReason.OUT_OF_MEMORY, f"needs over {settings.memory_mb} MiB"
        else:
            reason, detail = RefusalReason.WORKER_DIED, f"the renderer crashed (exit status {code})"
        return RenderResult("", refusal=reason.value, report={"detail": detail})

    def last_words(self) -> str:
        """The end of what the worker wrote to stderr."""
        try:
            size = os.fstat(self.errors.fileno()).st_size
            return (
                os.pread(self.errors.fileno(), 2000, max(0, size - 2000)).decode("utf-8", "replace").strip()
            )
        except (OSError, ValueError):
            return ""

    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """End it now; safe to call twice, and from another thread."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """`kill`, and free the pipes. Only from the thread that runs it."""
        self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise _Dead(timed_out=True)
            if poll.poll(min(left, 1.0) * 1000):
                return

    def _send(self, head: bytes, body: bytes, deadline: float) -> None:
        for part in (head, body):
            data = memoryview(part)
            while data:
                try:
                    data = data[os.write(self._in, data) :]
                except BlockingIOError:
                    self._wait(self._in, select.POLLOUT, deadline)
                except OSError as error:
                    raise _Dead from error

    def _read(self, size: int, deadline: float) -> bytes:
        parts = []
        while size:
            try:
                part = os.read(self._out, min(size, 1 << 20))
            except BlockingIOError:
                self._wait(self._out, select.POLLIN, deadline)
                continue
            if not part:
                raise _Dead
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _frame(self, deadline: float) -> tuple[int, bytes]:
        length, kind = HEAD.unpack(self._read(HEAD.size, deadline))
        if length > _MAX_FRAME:
            raise _Dead
        return kind, self._read(length, deadline)


class Pool:
    """Renders a stream of SVGs on `workers` processes. A context manager: leaving it ends every process."""

    def __init__(self, settings: RenderSettings, workers: int):
        self.settings = settings
        self.size = workers
        self._folder = Path(tempfile.mkdtemp(prefix="bioicons-render-"))
        self._jobs: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        self._done: dict[int, RenderResult | BaseException] = {}
        self._news = threading.Condition()
        self._stopping = False
        self._workers: set[Worker] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for _thread in self._threads:
            self._jobs.put(None)
        for worker in list(self._workers):
            worker.kill()
        for thread in self._threads:
            thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def submit(self, ticket: int, svg: bytes) -> None:
        """Queue one SVG; workers start with the first one that needs them."""
        if len(self._threads) < self.size:
            thread = threading.Thread(target=self._life, name="bioicons-render", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put((ticket, svg))

    def result(self, ticket: int) -> RenderResult:
        """Wait for the result of `ticket`. Raises RenderingError if workers cannot start at all."""
        with self._news:
            while ticket not in self._done:
                self._news.wait(timeout=1.0)  # with a time-out Ctrl-C gets through everywhere
            outcome = self._done.pop(ticket)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _life(self) -> None:
        """A thread: owns its workers. PDEATHSIG follows the thread that started a process."""
        workers: dict[bool, Worker] = {}
        try:
            while (job := self._jobs.get()) is not None and not self._stopping:
                ticket, svg = job
                outcome: RenderResult | BaseException
                try:
                    outcome = self._render(workers, svg)
                except BaseException as error:
                    outcome = error
                with self._news:
                    self._done[ticket] = outcome
                    self._news.notify_all()
        finally:
            for worker in workers.values():
                self._workers.discard(worker)
                worker.close()

    def _render(self, workers: dict[bool, Worker], svg: bytes) -> RenderResult:
        """resvg in a worker of its own; where it refuses, cairosvg in one that has it loaded too."""
        if self.settings.compare or self.settings.renderer != "auto":
            return self._run(workers, self.settings.renderer != "resvg", svg, self.settings)
        first = self._run(workers, False, svg, replace(self.settings, renderer="resvg"))
        if first.refusal != RefusalReason.RENDERER_REFUSED:
            return first
        second = self._run(workers, True, svg, replace(self.settings, renderer="cairosvg"))
        if (
            second.refusal is not None
        ):  # the cache remembers the first one's for ever, so only if both are sure
            return second if second.refusal in MACHINE_DEPENDENT else first
        warning = f"drawn by the second renderer, as the first refused it ({first.report.get('detail')})"
        return replace(second, warnings=(*second.warnings, warning))

    def _run(
        self, workers: dict[bool, Worker], second: bool, svg: bytes, settings: RenderSettings
    ) -> RenderResult:
        """Rendered by such a worker; a death is the icon's fault only where the next worker dies too (the
        first may have been killed from outside, when the machine's memory ran out)."""
        result = self._worker(workers, second).run(svg, settings)
        if result.refusal == RefusalReason.WORKER_DIED and not self._stopping:
            return self._worker(workers, second).run(svg, settings)
        return result

    def _worker(self, workers: dict[bool, Worker], second: bool) -> Worker:
        """A living worker of that kind, started or replaced if need be."""
        worker = workers.get(second)
        if worker is not None and worker.alive():
            return worker
        if worker is not None:
            self._workers.discard(worker)
            worker.close()
        worker = Worker(self._folder, self.settings.memory_mb, second=second)
        workers[second] = worker
        self._workers.add(worker)
        if self._stopping:
            worker.kill()
        return worker
