"""Measures of many icons, remembered by content: a second manifest measures only what is new.

Belongs here: the cache and its file format (a JSON line, then the arrays' bytes; never pickle). Does not
belong here: the measuring (`measure`).

The key is a hash of everything a measure depends on: the SVG, its probe, and `CODE_VERSION`, which must
change with any change of `measure`, `shape` or `geometry`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from bioicons_pipeline.library.geometry import Geometry
from bioicons_pipeline.library.measure import Measured, measure
from bioicons_pipeline.library.records import IconSource, Probe
from bioicons_pipeline.library.shape import SIZE
from bioicons_pipeline.whole import write_whole

CODE_VERSION = 4


def measure_all(
    icons: Iterable[IconSource],
    probes: Mapping[str, Probe],
    cache_dir: Path | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Measured]:
    """Measures of all `icons` by sha256; with `cache_dir`, read from there where they are, and left there."""
    distinct = {icon.svg_sha256: icon for icon in icons}
    measured = {}
    for done, (sha256, icon) in enumerate(sorted(distinct.items()), start=1):
        probe = probes.get(sha256)
        path = _place(cache_dir, icon, probe) if cache_dir and probe else None
        known = _read(path) if path else None
        measured[sha256] = known or measure(icon, probe)
        if path and known is None:
            _write(path, measured[sha256])
        if progress:
            progress(done, len(distinct))
    return measured


def _place(cache_dir: Path, icon: IconSource, probe: Probe) -> Path:
    facts = json.dumps(
        [CODE_VERSION, icon.byte_size, probe.refusal, dict(probe.report)], sort_keys=True, default=str
    )
    digest = hashlib.sha256(facts.encode())
    for part in (icon.svg_sha256.encode(), probe.png or b"", probe.svg or b""):
        digest.update(hashlib.sha256(part).digest())
    name = digest.hexdigest()
    return cache_dir / name[:2] / name


def _read(path: Path) -> Measured | None:
    """A remembered measure; None when there is none or it is damaged, and then it is made again."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        facts = json.loads(head)
        if hashlib.sha256(body).hexdigest() != facts.pop("body"):
            return None
        drawn = facts.pop("drawn")
        outlines = np.frombuffer(body[SIZE * 4 if drawn else 0 :], dtype="<i8").reshape(-1, 2)
        geometry = Geometry(tuple((int(a), int(b)) for a, b in outlines.tolist()), **facts.pop("geometry"))
        shape = np.frombuffer(body[: SIZE * 4], dtype="<f4") if drawn else None
        return Measured(geometry=geometry, shape=shape, **facts)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(path: Path, measured: Measured) -> None:
    geometry = measured.geometry
    body = b"" if measured.shape is None else measured.shape.astype("<f4").tobytes()
    body += np.array(geometry.outlines, dtype="<i8").reshape(-1, 2).tobytes()
    facts = {
        "aspect": measured.aspect,
        "ink": measured.ink,
        "blank": measured.blank,
        "raster_share": measured.raster_share,
        "text_chars": measured.text_chars,
        "refusal": measured.refusal,
        "drawn": measured.shape is not None,
        "geometry": {
            "shapes": geometry.shapes,
            "text_chars": geometry.text_chars,
            "outlined_chars": geometry.outlined_chars,
            "raster_chars": geometry.raster_chars,
        },
        "body": hashlib.sha256(body).hexdigest(),
    }
    write_whole(path, json.dumps(facts).encode() + b"\n" + body)
