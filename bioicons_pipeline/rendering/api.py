"""The room's front door: many SVGs in, as many results out, in order, cached.

Belongs here: the cache around the pool, order, progress. Not here: how an icon is rendered (`job.py`).
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized

from bioicons_pipeline.rendering.cache import ByteCache, cache_key
from bioicons_pipeline.rendering.pool import Pool
from bioicons_pipeline.rendering.result import MACHINE_DEPENDENT, RefusalReason, RenderResult
from bioicons_pipeline.rendering.settings import MAX_BYTES, PROBE, RenderSettings

Progress = Callable[[int, int], None]
_WINDOW = 12  # icons under way for each worker
_WINDOW_BYTES = 48 << 20  # of SVG under way
_MAX_WORKERS = 8  # each holds about 100 MiB


def _default_workers() -> int:
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    return max(1, min(_MAX_WORKERS, cores))


def render_many(
    svgs: Iterable[tuple[str, bytes]],
    settings: RenderSettings,
    *,
    cache: ByteCache | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[RenderResult]:
    """Render (key, SVG bytes) pairs in sandboxed worker processes; one result for each, in input order.

    A bad icon is a result with a `refusal`, never an exception. workers: processes, default one for each
    core, 8 at most; none is started while the cache answers. progress(done, total): total is 0 if `svgs`
    has no length. Closing the iterator, or Ctrl-C, ends every process; the cache holds whole entries only.
    Raises `RenderingError` if no worker can start at all.
    """
    total = len(svgs) if isinstance(svgs, Sized) else 0
    settings_key = settings.key() if cache is not None else ""
    under_way: deque[tuple[str, str | None, RenderResult | int, int]] = deque()
    held = done = 0
    limit = workers or _default_workers()
    source = enumerate(svgs)
    exhausted = False
    with Pool(settings, limit) as pool:
        while True:
            while not exhausted and len(under_way) < _WINDOW * limit and held < _WINDOW_BYTES:
                ticket, (key, svg) = next(source, (-1, ("", b"")))
                if ticket < 0:
                    exhausted = True
                    break
                address = cache_key(svg, settings_key) if cache is not None else None
                outcome = _early(svg, address, cache)
                if outcome is None:
                    pool.submit(ticket, svg)
                    held += len(svg)
                    under_way.append((key, address, ticket, len(svg)))
                else:
                    under_way.append((key, None, outcome, 0))
            if not under_way:
                return
            key, address, pending, size = under_way.popleft()
            held -= size
            result = pending if isinstance(pending, RenderResult) else pool.result(pending)
            if cache is not None and address is not None and result.refusal not in MACHINE_DEPENDENT:
                cache.put(address, result.pack())
            done += 1
            if progress is not None:
                progress(done, total)
            yield result.with_key(key)


def _early(svg: bytes, address: str | None, cache: ByteCache | None) -> RenderResult | None:
    """What needs no worker: what the cache has, and what is too large to hand over."""
    if len(svg) > MAX_BYTES:
        detail = f"{len(svg)} bytes, {MAX_BYTES} are allowed"
        return RenderResult("", refusal=RefusalReason.TOO_LARGE.value, report={"detail": detail})
    if cache is None or address is None:
        return None
    packed = cache.get(address)
    if packed is None:
        return None
    try:
        return RenderResult.unpack(packed)
    except ValueError:
        return None  # damaged on disk: render again and overwrite


def render_one(svg: bytes, settings: RenderSettings | None = None) -> RenderResult:
    """One SVG, sandboxed like the many; the result's key is empty. Starts a process: about 0.5 s."""
    results = render_many([("", svg)], settings or RenderSettings(), workers=1)
    (result,) = results
    return result


def probe_many(
    svgs: Iterable[tuple[str, bytes]],
    *,
    cache: ByteCache | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[RenderResult]:
    """`render_many` at 128 px as straight-alpha RGBA, framed, with both renderers compared."""
    return render_many(svgs, PROBE, cache=cache, workers=workers, progress=progress)
