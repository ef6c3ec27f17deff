"""The upstream report as files: a page to read, tables, a script of renames, icons.json.

Belongs here: how the findings are written down. Does not belong here: the findings (`upstream`). The script
is never run here, and says so.
"""

import csv
import io
import json
import re
import shlex
from pathlib import Path, PurePosixPath

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.library.credits import csv_cell
from bioicons_pipeline.library.upstream import Row, UpstreamReport
from bioicons_pipeline.whole import write_whole

PAGE = "README.md"
SCRIPT = "rename.sh"
TABLES = {
    "names": ("names.csv", "Names that could be better"),
    "duplicates": ("duplicates.csv", "Files that are there twice"),
    "lookalikes": ("lookalikes.csv", "Look-alikes of several authors or in several categories"),
    "licences": ("licences.csv", "Icons whose licence folder may be wrong"),
    "authors": ("authors.csv", "Authors: none, spelt in several ways, without a page"),
    "categories": ("categories.csv", "Categories with one or two icons"),
    "broken": ("broken.csv", "Files that show nothing or do not scale"),
    "tags": ("tags.csv", "Words to find each icon by"),
}
FILES = (PAGE, SCRIPT, "icons.json", *(name for name, _ in TABLES.values()))
_SHOWN = 12
_ABOUT = {
    "names": "Misspelt words, words glued together, second extensions, names that say another thing than the "
    "drawing. `in_script` says whether the script renames it.",
    "duplicates": "The same bytes under two names; the script has each removal as a comment.",
    "lookalikes": "Near-duplicates: one may be a copy of the other, or both of a third. Who copied whom "
    "cannot be seen from the drawings.",
    "licences": "The same outlines or the same shape also lie under a stricter licence. Only the authors can "
    "say which of the two is right; this pipeline takes the stricter one.",
    "authors": "The script moves the icons of one author into the folder that is written most like a name.",
    "categories": "Perhaps they belong to a larger one.",
    "broken": "Empty files, files that no renderer draws, white on white, bitmaps in an SVG's clothes.",
    "tags": "Subject, scientific name, view, field, from name and category; icons.json has no place for "
    "them yet.",
}


class UpstreamReportError(BioiconsError):
    """The report cannot be written there."""


def write_report(report: UpstreamReport, out: Path, source: str, commit: str) -> list[Path]:
    """Write the report into `out`, in the place of an older one; returns its files.

    Raises:
        UpstreamReportError: `out` is a file, or holds something else.
    """
    check_out(out)
    texts = {
        PAGE: page(report, source, commit),
        SCRIPT: script(report, commit),
        "icons.json": json.dumps(report.icons),  # on one line and in ASCII, as upstream's is
        **{name: _csv(getattr(report, table)) for table, (name, _) in TABLES.items()},
    }
    for name, text in texts.items():
        write_whole(out / name, text.encode("utf-8"))
    return [out / name for name in FILES]


def check_out(out: Path) -> None:
    """Refuse a folder in which something else would be written over.

    Raises:
        UpstreamReportError: see `write_report`.
    """
    if out.exists() and not out.is_dir():
        raise UpstreamReportError(f"{out} is a file: give a folder.")
    if out.is_dir() and (other := sorted(path.name for path in out.iterdir() if path.name not in FILES)):
        raise UpstreamReportError(
            f"{out} holds {other[0]}, which is no part of a report: give a folder that is empty or does not "
            "exist."
        )


def counts(report: UpstreamReport) -> dict[str, int]:
    """How many rows each table has."""
    found = {table: len(getattr(report, table)) for table in TABLES}
    return {"icons": report.total, **found, "moves": len(report.moves)}


def script(report: UpstreamReport, commit: str) -> str:
    """A shell script of `git mv`, to be read and run by the maintainers."""
    lines = [
        "#!/bin/sh",
        f"# Proposed by bioicons_pipeline from commit {commit}. Nobody has run it. Read it, take out",
        "# what you do not want, and run it at the root of a clone: sh rename.sh && git status",
        "# The addresses of renamed icons change. icons.json is what the tree holds afterwards.",
        "set -eu",
        "cd static/icons",
        "",
    ]
    made: set[str] = set()
    for path, target in report.moves:
        folder = str(PurePosixPath(target).parent)
        if folder != str(PurePosixPath(path).parent) and folder not in made:
            lines.append(f"mkdir -p {shlex.quote(folder)}")
            made.add(folder)
        lines.append(f"git mv {shlex.quote(path)} {shlex.quote(target)}")
    if report.duplicates:
        lines += ["", "# The same file as another one. Links to the removed names would break:"]
        lines += [f"# git rm {shlex.quote(row['duplicate'])}" for row in report.duplicates]
    return "\n".join(lines) + "\n"


def page(report: UpstreamReport, source: str, commit: str) -> str:
    """The page to read first, Markdown."""
    lines = [
        "# What could be mended in bioicons",
        "",
        f"Found by bioicons_pipeline in {report.total} icons of {_cell(source)}, commit `{commit}`. Nothing "
        "was changed. Each table is a CSV beside this page; paths are below `static/icons`.",
        "",
        "| what | found | table |",
        "|---|---:|---|",
    ]
    number = counts(report)
    lines += [f"| {title} | {number[table]} | [{name}]({name}) |" for table, (name, title) in TABLES.items()]
    lines += [
        "",
        f"[{SCRIPT}]({SCRIPT}) has {number['moves']} renames as `git mv`. [icons.json](icons.json) has all "
        f"{len(report.icons)} icons with an author folder, as they lie after these renames.",
    ]
    for table, (name, title) in TABLES.items():
        rows = getattr(report, table)
        lines += ["", f"## {title}", "", _ABOUT[table], ""]
        if table == "tags":
            rows = [row for row in rows if ";" in row["tags"]]
        lines += _table(rows[:_SHOWN]) if rows else ["None."]
        if len(rows) > _SHOWN:
            lines += ["", f"{len(rows) - _SHOWN} more are in [{name}]({name})."]
    return "\n".join(lines) + "\n"


def _table(rows: list[Row]) -> list[str]:
    names = list(rows[0])
    head = [f"| {' | '.join(name.replace('_', ' ') for name in names)} |", "|" + "---|" * len(names)]
    return head + [f"| {' | '.join(_cell(row[name]) for name in names)} |" for row in rows]


def _cell(value: object) -> str:
    """A stranger's text as one cell of a Markdown table."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", re.sub(r"\s+", " ", "" if value is None else str(value)))


def _csv(rows: list[Row]) -> str:
    """The rows as CSV, with no cell that a spreadsheet would run."""
    if not rows:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: csv_cell(value) for key, value in row.items()})
    return out.getvalue()
