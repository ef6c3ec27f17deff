"""The process that looks at strangers' files: reads jobs from stdin, writes results to stdout.

Belongs here: the sandbox and the loop, nothing that knows about SVG. Everything is imported and every font
read first; then the process gives up the means to do harm. After `lock_down` the kernel refuses it any new
file descriptor, so neither Python nor the renderers' native code can open a file or a connection; memory
and CPU time are limited; it dies with its parent (Linux: PR_SET_PDEATHSIG, prctl(2)).

Frames on both pipes: 4 bytes length, 1 byte kind, body. Kinds: J job (settings and SVG), R ready,
P a result that may be followed by a better one, F the final result.
"""

import json
import os
import signal
import struct
import sys
import time

HEAD = struct.Struct(">IB")
JOB, READY, PRELIMINARY, FINAL = b"JRPF"


def _die_with(parent: int) -> None:
    """Ask Linux for SIGKILL when the parent is gone; elsewhere the end of stdin does it."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def warm_up(second: bool) -> None:
    """Import and load all that a job may need, as nothing can be opened later.

    second: also cairosvg, which takes as long as all the rest.
    """
    import encodings.cp1252
    import encodings.latin_1
    import encodings.utf_16_be
    import encodings.utf_16_le
    import encodings.utf_32_be
    import encodings.utf_32_le  # noqa: F401

    from PIL import GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

    from bioicons_pipeline.rendering import job
    from bioicons_pipeline.rendering.settings import RenderSettings

    Image.preinit()
    sample = (
        b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><style>a{fill:red}</style><defs>'
        b'<linearGradient id="g"><stop offset="0"/></linearGradient></defs><path class="a" d="M0 0h9v9z"/>'
        b'<rect width="4" height="4" fill="url(#g)"/><text y="9" font-family="Arial">a</text></svg>'
    )
    for name in ("resvg", "cairosvg") if second else ("resvg",):
        list(job.process(sample, RenderSettings(size=16, renderer=name)))


def lock_down(memory: int) -> None:
    """No new files, sockets or core dumps; `memory` bytes on top of what is mapped now."""
    try:
        import resource
    except ImportError:  # not a POSIX system: the time-out and the separate process remain
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + memory, mapped + memory))
        # Below this limit every descriptor is taken (0, 1, 2), so open() and socket() fail with EMFILE.
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


def _limit_cpu(seconds: float) -> None:
    """SIGXCPU, and so death, once this process used `seconds` more of CPU time."""
    try:
        import resource
    except ImportError:
        return
    soft = int(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _read(size: int) -> bytes:
    parts = []
    while size:
        part = os.read(0, min(size, 1 << 20))
        if not part:
            os._exit(0)  # the parent closed the pipe: done
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _write(kind: int, body: bytes) -> None:
    data = memoryview(HEAD.pack(len(body), kind) + body)
    while data:
        data = data[os.write(1, data) :]


def serve() -> None:
    """Answer jobs until stdin ends."""
    from bioicons_pipeline.rendering import job
    from bioicons_pipeline.rendering.result import RefusalReason, RenderResult
    from bioicons_pipeline.rendering.settings import RenderSettings

    while True:
        length, _ = HEAD.unpack(_read(HEAD.size))
        body = _read(length)
        header, _, svg = body.partition(b"\n")
        settings = RenderSettings(**json.loads(header))
        _limit_cpu(settings.time_limit)
        last: RenderResult | None = None
        try:
            for result in job.process(svg, settings):
                if last is not None:
                    _write(PRELIMINARY, last.pack())
                last = result
                if (
                    settings.compare
                    and result.png is not None
                    and result.report["renderers_disagree"] is None
                ):
                    _write(PRELIMINARY, result.pack())
        except MemoryError:
            last = last or RenderResult(
                "",
                refusal=RefusalReason.OUT_OF_MEMORY.value,
                report={"detail": "the memory limit was reached"},
            )
        except BaseException as error:
            # A panic in native code arrives as a BaseException. Nothing of it may be trusted further.
            detail = f"{type(error).__name__}: {str(error)[:200]}"
            last = last or RenderResult(
                "", refusal=RefusalReason.RENDERER_REFUSED.value, report={"detail": detail}
            )
        assert last is not None
        _write(FINAL, last.pack())


def main(parent: int, memory: int, second: bool) -> None:
    """The process's whole life."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    warm_up(second)
    lock_down(memory)
    _write(READY, b"")
    serve()
