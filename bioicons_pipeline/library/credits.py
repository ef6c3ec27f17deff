"""Credits: who is to be named and how, what changed, and which notices must be kept.

Belongs here: `ATTRIBUTION.md`, `ATTRIBUTION.csv`, licence texts and counts, from manifest rows. Does not
belong here: which icons these are (the caller passes them).

The citation form is upstream's own, "X icon by A URL is licensed under L URL"; what CC BY 4.0, section 3(a),
asks for beyond it (source, changes) follows on the same line. Everything in a row was written by strangers:
Markdown signs are escaped, and a CSV cell that a spreadsheet would run as a formula gets a leading `'`.
"""

import csv
import io
import re
from importlib.resources import files

import pandas as pd

from bioicons_pipeline.library.licences import BY_SPDX, Strictness

CHANGES = "rasterised, cropped"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def attribution_line(row, changes: str = CHANGES) -> str:
    """The credit of one icon as plain text, in upstream's form."""
    licence = BY_SPDX.get(_text(row["spdx"]))
    author = _text(row["author"]) or "an unnamed author"
    url = _text(row["author_url"])
    by = f"{author} {url}" if url else f"{author} (no address given)"
    terms = f"{licence.name} {licence.url}" if licence else "no known licence"
    line = f"{_title(row)} icon by {by} is licensed under {terms}"
    if origin := _text(row.get("licence_origin")):
        line += f"; it contains {origin} by {_text(row.get('licence_origin_author')) or 'an unnamed author'}"
    return f"{line}. Source: {_text(row['source_url'])}. Changes: {changes}."


def attribution_markdown(df: pd.DataFrame, changes: str = CHANGES) -> str:
    """ATTRIBUTION.md: one line an icon, by licence, with what the licence asks for and notices in full."""
    lines = [
        "# Attribution",
        "",
        f"{len(df)} icons from the open bioicons library. Changes to each: {_md(changes)}.",
        "",
    ]
    for spdx, group in _by_licence(df):
        licence = BY_SPDX.get(spdx)
        title = f"{licence.name}, {licence.url}" if licence else "No known licence"
        asks = (
            "; ".join(licence.obligations)
            if licence and licence.obligations
            else "nothing; credit is good practice"
        )
        lines += [f"## {title}", "", f"{len(group)} icons. It asks for: {asks}.", ""]
        if licence and licence.strictness is Strictness.NOTICE:
            lines += [f"The notice and the text to keep: `LICENSES/{spdx}.txt`.", ""]
        lines += [f"- {_md(attribution_line(row, changes))}" for row in group.to_dict("records")] + [""]
    return "\n".join(lines)


def attribution_csv(df: pd.DataFrame, changes: str = CHANGES) -> str:
    """ATTRIBUTION.csv: one row an icon, comma-separated with a header, sorted by source path."""
    columns = [
        "icon_id",
        "title",
        "author",
        "author_url",
        "spdx",
        "licence_url",
        "source_url",
        "licence_origin",
    ]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*columns, "changes", "credit"])
    for row in df.sort_values("source_path", kind="stable").to_dict("records"):
        values = {**row, "title": _title(row)}
        cells = [_text(values.get(column)) for column in columns]
        writer.writerow([csv_cell(cell) for cell in [*cells, changes, attribution_line(row, changes)]])
    return buffer.getvalue()


def licence_texts(df: pd.DataFrame) -> dict[str, str]:
    """`<SPDX id>.txt` -> text for every licence in `df`.

    All in full: MIT and BSD under the copyright notice of every author, Creative Commons after address and
    what it asks for in short.
    """
    texts = {}
    for spdx, group in _by_licence(df):
        licence = BY_SPDX.get(spdx)
        if licence is None:
            continue
        if licence.strictness is Strictness.NOTICE:
            notices = sorted({_text(notice) for notice in group["notice"]} - {""})
            texts[f"{spdx}.txt"] = "\n".join(notices) + "\n\n" + _full_text(spdx)
        else:
            asks = "".join(f"- {obligation}\n" for obligation in licence.obligations) or "- nothing\n"
            head = f"{licence.name}\n{licence.url}legalcode\n\nIt asks to:\n{asks}"
            texts[f"{spdx}.txt"] = f"{head}\n{_full_text(spdx)}"
    return texts


def _full_text(spdx: str) -> str:
    """The licence's text as SPDX has it, without a copyright line."""
    return files("bioicons_pipeline.library").joinpath("licence_texts", f"{spdx}.txt").read_text("utf-8")


def licence_mix(df: pd.DataFrame) -> dict[str, int]:
    """SPDX id -> icons, most first; rows without a licence count as `unlicensed`."""
    counts = df["spdx"].astype("object").where(df["spdx"].notna(), "unlicensed").value_counts()
    return {
        str(spdx): int(count)
        for spdx, count in sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    }


def obligations(df: pd.DataFrame) -> list[str]:
    """What whoever passes these icons on has to do, each once, for the licences that occur."""
    found = dict.fromkeys(
        phrase for spdx, _ in _by_licence(df) if spdx in BY_SPDX for phrase in BY_SPDX[spdx].obligations
    )
    return list(found)


def csv_cell(value: object) -> object:
    """A cell of any CSV of ours: a text that a spreadsheet would run as a formula gets a leading `'`, for
    strangers wrote the names; whatever is no text stays as it is.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


def copyright_notice(author: str | None) -> str:
    """The notice upstream's MIT and BSD files stand for: the holder is the author whose folder it is."""
    return f"Copyright 2021 {author or 'the author named in the upstream folder'}"


def _by_licence(df: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    ordered = df.sort_values("source_path", kind="stable")
    keys = ordered["spdx"].astype("object").where(ordered["spdx"].notna(), "")
    order = {spdx: (int(licence.strictness), spdx) for spdx, licence in BY_SPDX.items()}
    groups = [(str(spdx), group) for spdx, group in ordered.groupby(keys, sort=False)]
    return sorted(groups, key=lambda item: order.get(item[0], (99, item[0])))


def _title(row) -> str:
    return re.sub(r"[\s_]+", " ", _text(row["name"])).strip() or "unnamed"


def _text(value: object) -> str:
    """A cell as one line of text; missing is empty."""
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    return re.sub(r"[\x00-\x1f\x7f\s]+", " ", str(value)).strip()


def _md(text: str) -> str:
    """Text with Markdown's and HTML's signs made harmless; addresses stay whole."""
    escaped = re.sub(r"([\\`*\[\]<>|])", r"\\\1", text)
    return " ".join(word if "://" in word else word.replace("_", r"\_") for word in escaped.split(" "))
