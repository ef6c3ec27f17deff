"""Adapters: LoRA files, what their headers say, and whether they fit the base.

Belongs here: everything that can be known and refused before a model is loaded. Does not belong here: loading
them (`sampler`), where the store keeps them (orchestration).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation.provenance import AdapterFacts
from bioicons_pipeline.training.base_models import BaseModel, is_of
from bioicons_pipeline.training.header import safetensors_metadata

MAX_SCALE = 2.0


class AdapterError(BioiconsError):
    """A LoRA cannot be used."""


@dataclass(frozen=True)
class Adapter:
    """A LoRA file that was read once: `name` for people; `scale` its strength, 0 to 2; `sha256` of the file;
    `version` in the store, "" for a file from elsewhere; `header` what its safetensors header says."""

    name: str
    path: Path
    scale: float
    sha256: str
    version: str = ""
    header: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def dataset_version(self) -> str:
        """The dataset that it was trained on; "" where the header does not say."""
        return self.header.get("dataset_version", "")

    @property
    def upstream_commit(self) -> str:
        """State of the library that the dataset is of."""
        return self.header.get("upstream_commit", "")

    @property
    def licence_preset(self) -> str:
        """Licences that the dataset was limited to."""
        return str(self._json("provenance").get("licence_preset", ""))

    @property
    def resolution(self) -> int | None:
        """Side in px of the pictures that it was trained on."""
        value = self._json("config").get("resolution")
        return value if isinstance(value, int) else None

    @property
    def t5_length(self) -> int | None:
        """T5 tokens of a caption in its training."""
        value = self._json("config").get("t5_length")
        return value if isinstance(value, int) else None

    @property
    def choosing_icons(self) -> int:
        """Held-out icons at most whose loss chose the step that was kept; 0: none, it is the last step."""
        config = self._json("config")
        every, steps, icons = (config.get(name) for name in ("eval_every", "steps", "eval_icons"))
        if not (isinstance(every, int) and isinstance(steps, int) and isinstance(icons, int)):
            return 0
        return icons if config.get("export") == "best" and 0 < every < steps else 0

    @property
    def facts(self) -> AdapterFacts:
        """What a card says of it."""
        return AdapterFacts(name=self.name, sha256=self.sha256, scale=self.scale, version=self.version)

    def _json(self, key: str) -> dict:
        try:
            found = json.loads(self.header.get(key) or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def read_adapter(
    path: Path, base: BaseModel, *, name: str = "", scale: float = 1.0, version: str = ""
) -> Adapter:
    """The LoRA in `path`, for use with `base`.

    A file without our header (trained elsewhere) is taken as it is: whether it fits shows when it is loaded.

    Raises:
        AdapterError: it is missing, of another base, or the scale is out of range.
        TrainingError: it is damaged or no safetensors file.
    """
    if not 0 <= scale <= MAX_SCALE:
        raise AdapterError(
            f"A LoRA scale of {scale} is outside 0 to {MAX_SCALE:.0f}: 1 is how it was trained."
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AdapterError(
            f"The LoRA file {path} cannot be read ({error.strerror}): give a .safetensors file, or the "
            "name of a category that was trained."
        ) from error
    header = safetensors_metadata(data)
    trained_on, fingerprint = header.get("base"), header.get("base_fingerprint")
    if fingerprint and not is_of(fingerprint, base):
        other = "another " if trained_on == base.name else ""
        raise AdapterError(
            f"The LoRA {name or path.name} was trained on {other}{trained_on or 'another base'}, not on this "
            f"{base.name}: give --base {trained_on or 'that base'}, or train it on {base.name}."
        )
    return Adapter(name or path.stem, path, scale, hashlib.sha256(data).hexdigest(), version, header)
