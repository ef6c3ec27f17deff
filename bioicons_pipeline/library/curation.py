"""What people decide: which rules are on, and `curation.yaml`, which overrules them icon by icon.

Belongs here: the typed rules with their thresholds, the file's model, and matching its entries to icons.
Does not belong here: what the rules measure (`measure`) or how they are applied (`rules`).

A curator's `keep` overrules every rule about what is worth training on. It never overrules the licence:
an unlicensed icon stays out, and the entry is reported as without effect. `drop` is a matter of taste or
quality. `withdraw` says that the icon may not be used, whatever its folder says: what learnt from it is
trained again at once (`drift`).
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bioicons_pipeline.errors import BioiconsError

VERDICTS = frozenset({"keep", "drop", "withdraw"})
"""Actions that say whether an icon is in."""


class CurationError(BioiconsError):
    """curation.yaml cannot be read; the message names the entry."""


class CurationRules(BaseModel):
    """Which exclusion rules are on, and their thresholds. The licence gate is not among them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    drop_empty: bool = True
    drop_malformed: bool = True
    drop_blank: bool = Field(default=True, description="Nothing drawn, or white on white.")
    drop_embedded_raster: bool = True
    raster_share: float = Field(
        default=0.5, ge=0, le=1, description="Share of the bytes that are pictures, from which on."
    )
    drop_text: bool = Field(default=True, description="Letters that are part of the drawing.")
    text_chars: int = Field(
        default=1, ge=1, description="Characters of visible text from which on it counts as a label."
    )
    drop_logos: bool = True
    drop_safety_symbols: bool = Field(default=True, description="A generated hazard sign is dangerous.")
    drop_charts: bool = True
    drop_extreme_aspect: bool = True
    aspect: float = Field(
        default=8.0, gt=1, description="Long side over short side from which on it is extreme."
    )
    drop_exact_duplicates: bool = True
    audit_licences: bool = Field(
        default=True, description="Let a stricter licence elsewhere hold for copies of the drawing."
    )
    heldout_share: float = Field(
        default=0.1, ge=0, lt=1, description="Share of families held out of training."
    )


class CurationEntry(BaseModel):
    """One decision about one icon, or about all icons that a pattern of source_path matches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    icon: str = Field(min_length=1, description="icon_id, or source_path; * and ? match as in a shell.")
    action: Literal["keep", "drop", "withdraw", "rename", "caption", "category"]
    value: str | None = Field(default=None, description="The new name, caption or category.")
    reason: str = Field(min_length=3)
    reviewer: str = Field(min_length=1)

    @model_validator(mode="after")
    def _value_fits_action(self) -> "CurationEntry":
        needs = self.action in {"rename", "caption", "category"}
        if needs and not (self.value and self.value.strip()):
            raise ValueError(f"action {self.action} needs a value")
        if not needs and self.value is not None:
            raise ValueError(f"action {self.action} takes no value")
        if self.action in {"rename", "category"} and "/" in (self.value or ""):
            raise ValueError("a name or category has no slash")
        return self

    @field_validator("value")
    @classmethod
    def _one_clean_line(cls, value: str | None) -> str | None:
        if value is not None and (not value.isprintable() or len(value) > 300):
            raise ValueError("a value is one line of at most 300 printable characters")
        return value

    @property
    def note(self) -> str:
        """The decision as one line for the manifest."""
        what = f"{self.action} {self.value!r}" if self.value else self.action
        return f"{what}: {self.reason} ({self.reviewer})"


class Curation(BaseModel):
    """The whole of curation.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    decisions: tuple[CurationEntry, ...] = ()

    @model_validator(mode="after")
    def _no_two_of_a_kind(self) -> "Curation":
        seen: dict[tuple[str, str], CurationEntry] = {}
        for entry in self.decisions:
            kind = "keep or drop" if entry.action in VERDICTS else entry.action
            if (entry.icon, kind) in seen:
                raise ValueError(f"two decisions ({kind}) about {entry.icon}")
            seen[(entry.icon, kind)] = entry
        return self

    @property
    def categories(self) -> frozenset[str]:
        """Categories that decisions put icons in; the library itself need not have them."""
        return frozenset(
            entry.value for entry in self.decisions if entry.action == "category" and entry.value
        )

    def for_icon(self, icon_id: str, source_path: str) -> list[CurationEntry]:
        """Decisions about one icon, in the file's order; a later one of a kind wins."""
        return [entry for entry in self.decisions if matches(entry, icon_id, source_path)]


def matches(entry: CurationEntry, icon_id: str, source_path: str) -> bool:
    """Whether `entry` is about this icon: its id, its path, or a shell pattern over its path.

    A keyboard writes "ü" as one character and upstream's paths have it as two, which nobody can see.
    """
    asked, path = _nfc(entry.icon), _nfc(source_path)
    if asked in {icon_id, path}:
        return True
    if "*" not in asked and "?" not in asked:
        return False
    return _pattern(asked).fullmatch(path) is not None


@lru_cache(maxsize=16384)
def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str]:
    parts = {"*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(parts.get(char) or re.escape(char) for char in text))


def unmatched(curation: Curation, icons: Iterable[tuple[str, str]]) -> list[CurationEntry]:
    """Decisions that match none of `icons` (icon_id, source_path): stale or misspelt, to be reported."""
    known = list(icons)
    return [entry for entry in curation.decisions if not any(matches(entry, *icon) for icon in known)]


def load_curation(path: Path | None) -> Curation:
    """Read a curation.yaml; None gives the packaged one, seeded with upstream's known errors.

    Raises:
        CurationError: unreadable, not YAML, or an entry that does not fit; the message names it.
    """
    try:
        text = path.read_text("utf-8") if path else packaged_curation_text()
        return Curation.model_validate(yaml.safe_load(text) or {})
    except OSError as error:
        raise CurationError(f"{path} cannot be read ({error.strerror}): check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise CurationError(
            f"{path} is not YAML{line}: mend it, see curation.yaml in the package."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CurationError(f"{path or 'curation.yaml'}: {place}: {first['msg']}.") from error


def packaged_curation_text() -> str:
    """The curation.yaml that ships with the package, as an example to copy and extend."""
    return files("bioicons_pipeline.library").joinpath("curation.yaml").read_text("utf-8")


def verdict(decisions: Sequence[CurationEntry]) -> str | None:
    """The curator's last word on whether an icon is in, of the decisions about it; None: there is none."""
    return next((entry.action for entry in reversed(decisions) if entry.action in VERDICTS), None)
