"""The records that walk through this room: icon, probe, and the manifest's declared columns.

Belongs here: types, names and the meaning of columns; how a path of the tree is read. Does not belong here:
any decision (`manifest`) or measurement (`shape`, `geometry`).

`COLUMNS` is the manifest's schema in one place: pandera's schema (`schema`), the Parquet file and the column
descriptions that the Dagster UI shows are made from it.
"""

import hashlib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd


class ExclusionReason(StrEnum):
    """Why an icon is left out; an icon with several reasons has the first one in this order."""

    UNLICENSED = "unlicensed"
    LICENCE_NOT_IN_PRESET = "licence_not_in_preset"
    AUTHOR_MISSING = "author_missing"
    WITHDRAWN_BY_CURATOR = "withdrawn_by_curator"
    DROPPED_BY_CURATOR = "dropped_by_curator"
    EMPTY_FILE = "empty_file"
    MALFORMED = "malformed"
    BLANK = "blank"
    EMBEDDED_RASTER = "embedded_raster"
    SAFETY_SYMBOL = "safety_symbol"
    TRADEMARK_LOGO = "trademark_logo"
    CHART_OR_DIAGRAM = "chart_or_diagram"
    CONTAINS_TEXT = "contains_text"
    EXTREME_ASPECT = "extreme_aspect"
    EXACT_DUPLICATE = "exact_duplicate"


MEANINGS = {
    ExclusionReason.UNLICENSED: "No licence, or a folder that stands for none that is known.",
    ExclusionReason.LICENCE_NOT_IN_PRESET: "Its licence is known, and outside the preset.",
    ExclusionReason.AUTHOR_MISSING: "Nobody could be credited.",
    ExclusionReason.WITHDRAWN_BY_CURATOR: "It may not be used, a curator found; `curation` says why.",
    ExclusionReason.DROPPED_BY_CURATOR: "A curator's decision; the column `curation` has the reason.",
    ExclusionReason.EMPTY_FILE: "No bytes, or nothing but an empty document.",
    ExclusionReason.MALFORMED: "No SVG, or one that cannot be drawn safely.",
    ExclusionReason.BLANK: "Nothing is drawn, or white on white.",
    ExclusionReason.EMBEDDED_RASTER: "Most of the file is an embedded picture.",
    ExclusionReason.SAFETY_SYMBOL: "A hazard or safety sign: a generated one is dangerous.",
    ExclusionReason.TRADEMARK_LOGO: "A logo of a company, a program or an institution.",
    ExclusionReason.CHART_OR_DIAGRAM: "A chart, a scheme or a workflow, no icon.",
    ExclusionReason.CONTAINS_TEXT: "Letters are part of the drawing.",
    ExclusionReason.EXTREME_ASPECT: "Far longer than wide, or wider than long.",
    ExclusionReason.EXACT_DUPLICATE: "The same drawing is in the library under another path.",
}
"""What each reason says, for people."""


@dataclass(frozen=True)
class IconSource:
    """One SVG of the snapshot: path relative to the icons folder, sha256 of its bytes, size in bytes."""

    path: str
    svg_sha256: str
    byte_size: int


@dataclass(frozen=True)
class Probe:
    """A small safe rendering of one SVG, made elsewhere.

    `sha256` is that of the SVG's bytes; `png` a 128 px straight-alpha RGBA picture, None when refused; `svg`
    the normalised, safe SVG; `refusal` a reason from the renderer, None when it was drawn; `report` facts
    about the SVG, of which this room reads those named in `measure`.
    """

    sha256: str
    png: bytes | None
    svg: bytes | None = None
    refusal: str | None = None
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PathFacts:
    """What a path of the tree says of its icon; every part in Unicode NFC."""

    licence_folder: str
    category: str
    author_folder: str | None
    name: str


def icon_id(path: str) -> str:
    """Stable id of an icon: 16 hex digits of the sha256 of its path relative to the icons folder."""
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def path_facts(path: str) -> PathFacts:
    """Read `<licence>/<Category>/[<Author>/]<name>.svg`; deeper folders belong to the author's."""
    parts = unicodedata.normalize("NFC", path).split("/")
    name = parts[-1]
    for suffix in (".svg", ".drawio"):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            name = name[: -len(suffix)]
    return PathFacts(
        licence_folder=parts[0] if len(parts) > 1 else "",
        category=parts[1] if len(parts) > 2 else "Uncategorised",
        author_folder=parts[2] if len(parts) > 3 else None,
        name=name,
    )


@dataclass(frozen=True)
class Column:
    """One column of the manifest: pandas dtype, whether it may be missing, and what it says."""

    dtype: str
    nullable: bool
    description: str


_S, _B, _F, _I = "string", "boolean", "float64", "int64"

COLUMNS: dict[str, Column] = {
    "icon_id": Column(_S, False, "Stable id: 16 hex digits of the sha256 of source_path."),
    "sha256": Column(_S, False, "sha256 of the SVG's bytes."),
    "name": Column(_S, False, "File name without .svg, or the curator's better name."),
    "category": Column(_S, False, "Scientific category: upstream's folder, or the curator's."),
    "author": Column(
        _S, True, "Author, normalised and with aliases merged; missing without an author folder."
    ),
    "author_url": Column(_S, True, "The author's page from authors.json; missing where there is none."),
    "spdx": Column(_S, True, "SPDX id that holds after the licence audit; missing when unlicensed."),
    "licence_url": Column(_S, True, "Address of the licence's text."),
    "source_path": Column(_S, False, "Path in the upstream icons folder."),
    "source_url": Column(_S, False, "Permalink to the SVG at its commit."),
    "byte_size": Column(_I, False, "Bytes of the SVG."),
    "included": Column(_B, False, "Whether the icon is used."),
    "exclusion_reason": Column(_S, True, "Why not, one of ExclusionReason; missing when included."),
    "family_id": Column(_S, False, "Near-duplicates and variants share it."),
    "split": Column(_S, False, "train or heldout; the same for a whole family."),
    "folder_spdx": Column(_S, True, "SPDX id that the upstream folder claims."),
    "licence_origin": Column(_S, True, "source_path of the icon whose stricter licence this one takes on."),
    "licence_origin_author": Column(_S, True, "Author of that icon, to be credited too."),
    "licence_evidence": Column(_S, True, "Why: geometry, shape or both, with their measures."),
    "author_folder": Column(_S, True, "Author as upstream spells it."),
    "caption": Column(_S, True, "The curator's caption, if there is one."),
    "notice": Column(_S, True, "Copyright notice that MIT and BSD ask to keep."),
    "all_reasons": Column(_S, True, "Every reason found against the icon, before curation, separated by ;"),
    "curation": Column(_S, True, "The curator's decision, with reason and reviewer."),
    "aspect": Column(_F, True, "Width over height of the drawn part."),
    "ink": Column(_F, True, "Share of the canvas that is drawn, 0 to 1."),
    "raster_share": Column(_F, True, "Share of the file's bytes that are embedded pictures, 0 to 1."),
    "text_chars": Column(_I, False, "Characters of text in the drawing."),
    "path_count": Column(_I, False, "Drawn shapes in the SVG."),
    "family_size": Column(_I, False, "Icons in the family, excluded ones among them."),
}


class ManifestRow(Protocol):
    """What code reads of a row of the manifest; a test holds the names to `COLUMNS`.

    A missing value is whatever pandas has for it, so ask with `isinstance(row.author_folder, str)`.
    """

    icon_id: str
    sha256: str
    name: str
    spdx: str | None
    source_path: str
    source_url: str
    included: bool
    exclusion_reason: str | None
    family_id: str
    split: str
    author_folder: str | None
    caption: str | None


def each_row(manifest: "pd.DataFrame") -> Iterator[ManifestRow]:
    """The rows of a manifest, or of some of its columns, by name: pandas itself gives rows no types."""
    yield from manifest.itertuples(index=False)  # pyright: ignore[reportReturnType] # named tuples, at run time
