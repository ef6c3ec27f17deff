"""The manifest: one row an icon, who made it, whether we may use it, and if not, why not.

Belongs here: putting licences, authors, measures, rules, curation, families and split together into the
table that `records.COLUMNS` declares. Pure: the same input gives the same table, byte for byte. Does not
belong here: reading the library (`source`), drawing (probes come in), storing.

Order of judgement: the licence gate, which nobody overrules; then the curator; then the rules. Exact
duplicates are dropped last, so that the copy that stays is one that may be used.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from bioicons_pipeline.library import audit, families, split
from bioicons_pipeline.library.authors import author_name, author_urls, match_key
from bioicons_pipeline.library.credits import copyright_notice
from bioicons_pipeline.library.curation import Curation, CurationEntry, CurationRules, unmatched, verdict
from bioicons_pipeline.library.licences import Licence, LicencePolicy, Strictness, licence_of_folder
from bioicons_pipeline.library.likeness import Likeness, compare
from bioicons_pipeline.library.measure import Measured, measure
from bioicons_pipeline.library.pairs import Pairs
from bioicons_pipeline.library.records import (
    COLUMNS,
    ExclusionReason,
    IconSource,
    PathFacts,
    Probe,
    icon_id,
    path_facts,
)
from bioicons_pipeline.library.rules import reasons_against

UNDRAWABLE = (ExclusionReason.EMPTY_FILE, ExclusionReason.MALFORMED)
"""Even a curator cannot keep what has no picture; what is blank has one where it is white on white."""


@dataclass
class _Row:
    """One icon on its way through the judgement."""

    icon: IconSource
    icon_id: str
    facts: PathFacts
    measured: Measured
    author: str | None
    folder_licence: Licence | None
    licence: Licence | None
    decisions: list[CurationEntry] = field(default_factory=list)
    reasons: list[ExclusionReason] = field(default_factory=list)
    exclusion: ExclusionReason | None = None
    name: str = ""
    category: str = ""
    caption: str | None = None
    origin: "_Row | None" = None
    evidence: str | None = None

    @cached_property
    def outlines(self) -> frozenset[tuple[int, int]]:
        return frozenset(self.measured.geometry.outlines)


def build_manifest(
    icons: Iterable[IconSource],
    probes: Mapping[str, Probe],
    *,
    policy: LicencePolicy,
    rules: CurationRules,
    curation: Curation | None,
    authors: Mapping[str, str],
    permalink: Callable[[str], str],
    previous: split.Previous | None = None,
    measures: Mapping[str, Measured] | None = None,
    pairs: Pairs | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """The manifest of `icons`, sorted by source_path; excluded icons keep their row.

    `probes` are by the sha256 of the SVG; `authors` is upstream's authors.json (name -> address); `permalink`
    maps a source_path to its address. `previous` (icon_id -> family_id, split) pins the families and sides of
    an earlier manifest. `measures`, by sha256, spares measuring (`measures.measure_all`), and `pairs` may
    remember which drawings look alike: neither changes the table. `df.attrs` has the key `notes`: a list of
    sentences for the curator (decisions without effect).

    Raises:
        ValueError: two icons have the same path.
    """
    rows = _rows(icons, probes, measures or {}, curation or Curation(), progress)
    likeness = compare([row.measured.shape for row in rows], [row.outlines for row in rows], pairs)
    if rules.audit_licences:
        _audit(rows, likeness)
    for row in rows:
        _judge(row, policy, rules)
    _withdraw(rows)
    if rules.drop_exact_duplicates:
        _drop_duplicates(rows)
    kin = _families(rows, likeness, rules, previous)
    urls = author_urls(authors)
    frame = pd.DataFrame(
        [_record(row, kin[n], urls, permalink(row.icon.path)) for n, row in enumerate(rows)],
        columns=list(COLUMNS),
    ).astype({name: column.dtype for name, column in COLUMNS.items()})
    frame.attrs["notes"] = notes(rows, curation or Curation())
    return frame


def _rows(
    icons: Iterable[IconSource],
    probes: Mapping[str, Probe],
    measures: Mapping[str, Measured],
    curation: Curation,
    progress: Callable[[int, int], None] | None,
) -> list[_Row]:
    ordered = sorted(icons, key=lambda icon: icon.path.encode("utf-8", "surrogateescape"))
    names = [author_name(path_facts(icon.path).author_folder) for icon in ordered]
    spelling = _one_spelling(names)
    cache: dict[str, Measured] = dict(measures)
    rows: list[_Row] = []
    for done, (icon, author) in enumerate(zip(ordered, names, strict=True), start=1):
        if rows and rows[-1].icon.path == icon.path:
            raise ValueError(f"{icon.path} is listed twice")
        if icon.svg_sha256 not in cache:
            cache[icon.svg_sha256] = measure(icon, probes.get(icon.svg_sha256))
        facts, own_id = path_facts(icon.path), icon_id(icon.path)
        licence = licence_of_folder(facts.licence_folder)
        row = _Row(icon, own_id, facts, cache[icon.svg_sha256], spelling.get(author or ""), licence, licence)
        row.name, row.category = facts.name, facts.category
        row.decisions = curation.for_icon(own_id, icon.path)
        for entry in row.decisions:
            if entry.action == "rename":
                row.name = entry.value or row.name
            elif entry.action == "category":
                row.category = entry.value or row.category
            elif entry.action == "caption":
                row.caption = entry.value
        rows.append(row)
        if progress:
            progress(done, len(ordered))
    return rows


def _one_spelling(names: Sequence[str | None]) -> dict[str, str]:
    """Name -> the spelling shown for it: of those with equal letters, the one with most spaces."""
    best: dict[str, str] = {}
    for name in sorted({name for name in names if name}, key=lambda name: (-name.count(" "), name)):
        best.setdefault(match_key(name), name)
    return {name: best[match_key(name)] for name in names if name}


def _audit(rows: list[_Row], likeness: Likeness) -> None:
    drawings = [
        audit.Drawing(
            row.icon_id,
            row.folder_licence,
            row.outlines,
            row.measured.shape,
            families.name_words(row.facts.name),
        )
        for row in rows
    ]
    for number, (other, copy) in audit.strictest_origins(
        drawings, audit.find_copies(drawings, likeness)
    ).items():
        rows[number].licence = rows[other].folder_licence
        rows[number].origin = rows[other]
        rows[number].evidence = copy.evidence


def _judge(row: _Row, policy: LicencePolicy, rules: CurationRules) -> None:
    row.reasons = reasons_against(row.facts, row.measured, row.icon.byte_size, rules)
    if row.licence is None:
        row.exclusion = ExclusionReason.UNLICENSED
    elif not policy.allows(row.licence.spdx):
        row.exclusion = ExclusionReason.LICENCE_NOT_IN_PRESET
    elif row.author is None:
        row.exclusion = ExclusionReason.AUTHOR_MISSING
    if row.exclusion:
        row.reasons.insert(0, row.exclusion)
        return
    said = verdict(row.decisions)
    if said == "drop":
        row.exclusion = ExclusionReason.DROPPED_BY_CURATOR
    elif said == "keep":
        bare = {*UNDRAWABLE, ExclusionReason.BLANK} if row.measured.refusal else set(UNDRAWABLE)
        row.exclusion = next((reason for reason in row.reasons if reason in bare), None)
    elif row.reasons:
        row.exclusion = row.reasons[0]


def _withdraw(rows: list[_Row]) -> None:
    """Nobody may use what a curator withdrew: under no preset, and under no other path either."""
    withdrawn = {row.icon.svg_sha256 for row in rows if verdict(row.decisions) == "withdraw"}
    for row in rows:
        if row.icon.svg_sha256 in withdrawn and row.exclusion is not ExclusionReason.UNLICENSED:
            row.exclusion = ExclusionReason.WITHDRAWN_BY_CURATOR


def _drop_duplicates(rows: list[_Row]) -> None:
    """Of several included icons with the same bytes one stays: kept by a curator, else the first by path."""
    seen: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: not _is_kept(row)):  # stable: in order of path otherwise
        if row.exclusion is None:
            first = seen.setdefault(row.icon.svg_sha256, row.icon_id)
            if first != row.icon_id and not _is_kept(row):
                row.reasons.append(ExclusionReason.EXACT_DUPLICATE)
                row.exclusion = ExclusionReason.EXACT_DUPLICATE


def _is_kept(row: _Row) -> bool:
    return any(entry.action == "keep" for entry in row.decisions)


def _families(
    rows: list[_Row], likeness: Likeness, rules: CurationRules, previous: split.Previous | None
) -> list[split.Family]:
    """The family of each row, in the rows' order."""
    members = [
        families.Member(
            icon_id=row.icon_id,
            sha256=row.icon.svg_sha256,
            name=row.facts.name,
            author=row.author,
            category=row.category,
            shape=row.measured.shape,
            outlines=row.outlines,
        )
        for row in rows
    ]
    sides = [(previous or {}).get(row.icon_id, (None, None))[1] for row in rows]
    groups = families.group(len(rows), families.find_links(members, likeness), sides)
    included = [row.exclusion is None for row in rows]
    found: dict[int, split.Family] = {}
    for family in split.assign(groups, members, included, rules.heldout_share, previous):
        found.update(dict.fromkeys(family.rows, family))
    return [found[n] for n in range(len(rows))]


def _record(row: _Row, family: split.Family, urls: Mapping[str, str], link: str) -> dict:
    licence, notice = row.licence, None
    if licence and licence.strictness is Strictness.NOTICE:
        notice = copyright_notice(row.origin.author if row.origin else row.author)
    return {
        "icon_id": row.icon_id,
        "sha256": row.icon.svg_sha256,
        "name": row.name,
        "category": row.category,
        "author": row.author,
        "author_url": urls.get(match_key(row.author)) if row.author else None,
        "spdx": licence.spdx if licence else None,
        "licence_url": licence.url if licence else None,
        "source_path": row.icon.path,
        "source_url": link,
        "byte_size": row.icon.byte_size,
        "included": row.exclusion is None,
        "exclusion_reason": row.exclusion.value if row.exclusion else None,
        "family_id": family.family_id,
        "split": family.split,
        "folder_spdx": row.folder_licence.spdx if row.folder_licence else None,
        "licence_origin": row.origin.icon.path if row.origin else None,
        "licence_origin_author": row.origin.author if row.origin else None,
        "licence_evidence": row.evidence,
        "author_folder": row.facts.author_folder,
        "caption": row.caption,
        "notice": notice,
        "all_reasons": ";".join(dict.fromkeys(reason.value for reason in row.reasons)) or None,
        "curation": "; ".join(entry.note for entry in row.decisions) or None,
        "aspect": _rounded(row.measured.aspect),
        "ink": _rounded(row.measured.ink),
        "raster_share": _rounded(row.measured.raster_share),
        "text_chars": row.measured.text_chars,
        "path_count": row.measured.geometry.shapes,
        "family_size": len(family.rows),
    }


def _rounded(value: float | None) -> float | None:
    """Rounded, so that two machines' last bits do not make two versions of the table."""
    return None if value is None or not np.isfinite(value) else round(value, 4)


def notes(rows: Sequence["_Row"], curation: Curation) -> list[str]:
    """Sentences about decisions that match nothing or change nothing."""
    told = [
        f"{entry.icon}: no icon matches this decision ({entry.action}); is it misspelt, or was it renamed or "
        "deleted upstream?"
        for entry in unmatched(curation, [(row.icon_id, row.icon.path) for row in rows])
    ]
    for row in rows:
        if verdict(row.decisions) == "keep" and row.exclusion is not None:
            told.append(f"{row.icon.path}: cannot be kept, it is {row.exclusion.value.replace('_', ' ')}.")
    return told
