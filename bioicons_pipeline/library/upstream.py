"""What upstream could mend: names, duplicates, authors, licences, broken files, read off the manifest.

Belongs here: the findings of a manifest as tables of what to change, and where each file would better lie.
Does not belong here: finding them (`audit`, `families`, `manifest`, `curation`), words of names (captioning;
handed in as `Spelling`), the files that are handed over (`upstream_files`).

Nothing is decided for the maintainers: a rename is proposed where it changes no meaning and takes no other
file's place; what needs a person, such as a licence, is only told.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pandas as pd

from bioicons_pipeline.library.records import ExclusionReason, path_facts

FEW = 2
"""Categories with at most so many icons are named."""
BROKEN = {
    ExclusionReason.EMPTY_FILE: "the file is empty",
    ExclusionReason.MALFORMED: "cannot be drawn as SVG",
    ExclusionReason.BLANK: "nothing can be seen on white",
    ExclusionReason.EMBEDDED_RASTER: "is mostly an embedded bitmap, so it does not scale",
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Spelling:
    """A better file name without `.svg`, and why."""

    name: str
    why: str


@dataclass
class UpstreamReport:
    """Tables of findings, each row a dict with the same keys in the same order; `moves` are (from, to) paths
    below the icons folder; `icons` are rows in the shape of upstream's icons.json."""

    names: list[Row] = field(default_factory=list)
    tags: list[Row] = field(default_factory=list)
    duplicates: list[Row] = field(default_factory=list)
    lookalikes: list[Row] = field(default_factory=list)
    licences: list[Row] = field(default_factory=list)
    authors: list[Row] = field(default_factory=list)
    categories: list[Row] = field(default_factory=list)
    broken: list[Row] = field(default_factory=list)
    moves: list[tuple[str, str]] = field(default_factory=list)
    icons: list[Row] = field(default_factory=list)
    total: int = 0


def upstream_report(
    manifest: pd.DataFrame,
    spell: Callable[[str], Spelling | None],
    tags: Callable[[str, str], tuple[str, ...]],
    progress: Callable[[int, int], None] | None = None,
) -> UpstreamReport:
    """The report on a whole manifest.

    spell: a file name without `.svg` → a better one, or None; tags: name, category → words to find it by;
    progress: called with icons read and to read.
    """
    frame = manifest.sort_values("source_path").astype("object")
    rows = cast("list[Row]", frame.where(frame.notna(), None).to_dict("records"))
    report = UpstreamReport(total=len(rows))
    folders = _author_folders(rows)
    wanted: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        path = row["source_path"]
        wanted[path] = _better_path(row, spell, folders, report)
        words = "; ".join(tags(row["name"], row["category"]))
        report.tags.append({"path": path, "name": row["name"], "tags": words})
        if progress:
            progress(number, len(rows))
    report.moves = _free_moves(wanted, report.names)
    report.duplicates, same = _duplicates(rows)
    report.lookalikes = _lookalikes(rows, same)
    report.licences = _licences(rows)
    report.authors = _authors(rows, folders)
    counts = Counter(row["category"] for row in rows)
    report.categories = [
        {"category": name, "icons": count} for name, count in sorted(counts.items()) if count <= FEW
    ]
    report.broken = [
        {"path": row["source_path"], "reason": reason, "what": what, "bytes": row["byte_size"]}
        for row in rows
        for reason, what in BROKEN.items()
        if reason in (row["all_reasons"] or "").split(";")
    ]
    report.icons = _icons_json(rows, dict(report.moves))
    return report


def _stem(path: str) -> str:
    """The file name without `.svg`, as it is written."""
    name = path.rsplit("/", 1)[-1]
    return name[: -len(".svg")] if name.lower().endswith(".svg") else name


def _author_folders(rows: list[Row]) -> dict[str, str]:
    """Author → the best of their folders, of those who have several spellings of it: the one that is written
    like a name, with capitals and parts, then the one with most icons."""
    seen: dict[str, Counter[str]] = {}
    for row in rows:
        if row["author"] and row["author_folder"]:
            seen.setdefault(row["author"], Counter())[row["source_path"].split("/")[2]] += 1
    return {
        author: min(folders, key=lambda name: (*_unlike_a_name(name), -folders[name], name))
        for author, folders in seen.items()
        if len(folders) > 1
    }


def _unlike_a_name(folder: str) -> tuple[bool, bool]:
    return folder == folder.lower(), not re.search(r"[ _-]", folder)


def _better_path(
    row: Row, spell: Callable[[str], Spelling | None], folders: dict[str, str], report: UpstreamReport
) -> str:
    """Where the file would better lie; what is to say of its name goes into the report."""
    path = row["source_path"]
    parts, stem = path.split("/"), _stem(path)
    found = Spelling(row["name"], row["curation"] or "") if row["name"] != path_facts(path).name else None
    found = found or spell(stem)
    if found:
        report.names.append(
            {"path": path, "name": stem, "better": found.name, "why": found.why, "in_script": "yes"}
        )
        parts[-1] = f"{found.name}.svg"
    if len(parts) > 3 and row["author"] in folders:
        parts[2] = folders[row["author"]]
    if len(parts) > 2 and parts[1] != row["category"] and row["curation"]:
        parts[1] = row["category"]
    return "/".join(parts)


def _free_moves(wanted: dict[str, str], names: list[Row]) -> list[tuple[str, str]]:
    """The moves onto a place that nobody has or wants, whatever the case of its letters; of the others, the
    names table says who is in the way."""
    taken: dict[str, list[str]] = {}
    for path, target in wanted.items():
        for place in {path.casefold(), target.casefold()}:
            taken.setdefault(place, []).append(path)
    moves = []
    for path, target in wanted.items():
        if path == target:
            continue
        others = [other for other in taken[target.casefold()] if other != path]
        if not others:
            moves.append((path, target))
        for row in names:
            if others and row["path"] == path:
                row["in_script"] = f"no: the place is that of {others[0]}"
    return moves


def _duplicates(rows: list[Row]) -> tuple[list[Row], dict[str, str]]:
    """Files with the same bytes, but for empty ones; and each such path with the one to keep."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row["byte_size"]:
            groups.setdefault(row["sha256"], []).append(row["source_path"])
    found, same = [], {}
    for paths in groups.values():
        keep = min(paths, key=lambda path: (len(_stem(path)), path))
        for path in paths:
            same[path] = keep
            if path != keep:
                found.append({"keep": keep, "duplicate": path, "what": "the same file, byte for byte"})
    return sorted(found, key=lambda row: row["duplicate"]), same


def _lookalikes(rows: list[Row], same: Mapping[str, str]) -> list[Row]:
    """Families with drawings of several authors, or in several categories."""
    families: dict[str, list[Row]] = {}
    for row in rows:
        if same.get(row["source_path"], row["source_path"]) == row["source_path"]:
            families.setdefault(row["family_id"], []).append(row)
    found = []
    for members in families.values():
        kinds = [
            text
            for text, column in (("several authors", "author"), ("several categories", "category"))
            if len({row[column] for row in members if row[column]}) > 1
        ]
        if kinds:
            paths = [row["source_path"] for row in members]
            found.append({"what": ", ".join(kinds), "icons": len(paths), "paths": "; ".join(paths)})
    return sorted(found, key=lambda row: row["paths"])


def _licences(rows: list[Row]) -> list[Row]:
    """Icons that contain, or are, a drawing that also lies under a stricter licence."""
    return [
        {
            "path": row["source_path"],
            "folder_says": row["folder_spdx"] or "unknown",
            "stricter": row["spdx"] or "unknown",
            "also_at": row["licence_origin"],
            "author_there": row["licence_origin_author"],
            "evidence": row["licence_evidence"],
        }
        for row in rows
        if row["licence_origin"]
    ] + [
        {
            "path": row["source_path"],
            "folder_says": row["source_path"].split("/")[0],
            "stricter": "",
            "also_at": "",
            "author_there": "",
            "evidence": "the folder is that of no known licence",
        }
        for row in rows
        if not row["folder_spdx"]
    ]


def _authors(rows: list[Row], folders: dict[str, str]) -> list[Row]:
    """No folder of an author, one author in several folders, no page in authors.json."""
    found = [
        {"author": "", "what": "no author folder", "icons": 1, "where": row["source_path"], "better": ""}
        for row in rows
        if not row["author_folder"]
    ]
    spelt: dict[str, set[str]] = {}
    pages: dict[str, Any] = {}
    icons: Counter[str] = Counter()
    for row in rows:
        if author := row["author"]:
            if row["author_folder"]:
                spelt.setdefault(author, set()).add(row["source_path"].split("/")[2])
            pages[author] = pages.get(author) or row["author_url"]
            icons[author] += 1
    for author, better in sorted(folders.items()):
        where = "; ".join(sorted(spelt[author]))
        found.append(
            {
                "author": author,
                "what": "several folders",
                "icons": icons[author],
                "where": where,
                "better": better,
            }
        )
    for author in sorted(author for author, page in pages.items() if not page):
        where = "; ".join(sorted(spelt.get(author, ())))
        found.append(
            {
                "author": author,
                "what": "no page in authors.json",
                "icons": icons[author],
                "where": where,
                "better": "",
            }
        )
    return found


def _icons_json(rows: list[Row], moves: Mapping[str, str]) -> list[Row]:
    """icons.json as the tree has it after the moves: upstream's four keys, in upstream's spelling."""
    found = []
    for row in rows:
        path = moves.get(row["source_path"], row["source_path"])
        parts = path.split("/")
        if len(parts) > 3:
            found.append(
                {
                    "name": _stem(path),
                    "category": parts[1],
                    "license": parts[0],
                    "author": parts[2].replace("_", " "),
                }
            )
    return found
