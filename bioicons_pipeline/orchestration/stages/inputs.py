"""What the pipeline starts from, as versions: the upstream library, and the inputs that people edit.

Each function returns a short text that changes exactly when the input does, cheaply enough to be asked every
minute (upstream is asked by the clock, see automation). Does not belong here: what follows from a change.
"""

import hashlib
import json
from pathlib import Path

from bioicons_pipeline.library.observe import Observation, observe
from bioicons_pipeline.orchestration.stages.base import input_key
from bioicons_pipeline.orchestration.stages.snapshot import location_of


def upstream_version(source: str, ref: str | None, cache_dir: Path, **how) -> Observation:
    """The upstream library as it is now; see `library.observe` for `how`.

    Raises:
        SourceError: it cannot be read.
    """
    return observe(location_of(source), ref, cache_dir / "git", **how)


def curation_version(file: str) -> str:
    """Hash of the curation file's decisions, which comments and order of keys do not change.

    Raises:
        CurationError: it cannot be read; names the entry.
    """
    from bioicons_pipeline.library.curation import load_curation

    return input_key(curation=load_curation(Path(file) if file else None).model_dump(mode="json"))


def licence_version(preset: str) -> str:
    """The preset and the licences that it allows.

    Raises:
        BioiconsError: there is no such preset.
    """
    from bioicons_pipeline.library.licences import policy_for

    # in order: a set has another in every process
    return input_key(preset=preset, allowed=sorted(policy_for(preset).allowed))


def render_size_version(size: int) -> str:
    """The size that pictures are drawn at, in pixels: its own version."""
    return str(size)


def tables_version() -> str:
    """Version of the caption tables, as their files are now, and of the grammar that reads them."""
    from bioicons_pipeline.captioning import GRAMMAR_VERSION
    from bioicons_pipeline.captioning.tables import version_now

    return f"{GRAMMAR_VERSION.partition('-')[0]}-{version_now()}"


def base_version(name: str) -> str:
    """The base model's name, and for one whose files are here their names, sizes and times.

    Content is compared only when a training is planned: a copy with new times plans nothing.
    """
    from bioicons_pipeline.training.base_models import PACKAGED_NANO, REGISTRY

    row = REGISTRY.get(name)
    folder = PACKAGED_NANO if name == "flux-nano" else None if row else Path(name).expanduser()
    if folder is None:
        return name
    listed = [
        (path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (stat := path.stat())
    ]
    return f"{name}-{hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]}"
