"""The curator's gallery: a folder of static HTML that shows every icon, kept or dropped, and why.

Belongs here: the pages, their style and their small script. Does not belong here: drawing (PNG bytes come in)
or any decision.

Self-contained: no network, no server, opened by double-click. Everything in the table was written by
strangers: text is escaped, links are http(s) only, pictures are PNG (no SVG ever reaches the page), and a
Content-Security-Policy lets nothing run or load but the gallery's own two files.
"""

import hashlib
import html
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

import pandas as pd

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.library.records import MEANINGS, ExclusionReason
from bioicons_pipeline.whole import write_whole

PNG = b"\x89PNG\r\n\x1a\n"
MARK = ".bioicons-gallery"
"""A file that says that a folder is a gallery, and may be replaced by a newer one."""
POLICY = "default-src 'none'; img-src 'self' file: data:; style-src 'self' file:; script-src 'self' file:"


class GalleryError(BioiconsError):
    """The gallery cannot be written; the message says why."""


def write_gallery(
    df: pd.DataFrame,
    pngs: Mapping[str, bytes] | Callable[[str], bytes | None],
    out_dir: Path,
    *,
    captions: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the gallery of manifest `df` and return its `index.html`.

    `pngs` gives the PNG of an icon's `sha256` (None or missing: not drawn); `captions` is by icon_id.
    The folder is written beside `out_dir` and moved there whole; an older gallery is replaced, else nothing.

    Raises:
        GalleryError: `out_dir` holds something that is no gallery, or cannot be written.
    """
    picture = pngs if callable(pngs) else pngs.get
    if out_dir.exists() and (
        not out_dir.is_dir() or (any(out_dir.iterdir()) and not (out_dir / MARK).is_file())
    ):
        raise GalleryError(f"{out_dir} exists and is no gallery: choose another folder or remove it.")
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".gallery-", dir=out_dir.parent))
    except OSError as error:
        raise GalleryError(
            f"{out_dir} cannot be written ({error.strerror}): choose another folder."
        ) from error
    try:
        _write_pages(df, picture, scratch, captions or {}, progress)
        scratch.chmod(0o755)
        if out_dir.exists():
            shutil.rmtree(out_dir)
        scratch.replace(out_dir)
    except OSError as error:
        raise GalleryError(f"{out_dir} cannot be written ({error.strerror}): free some space.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return out_dir / "index.html"


def _write_pages(df: pd.DataFrame, picture, folder: Path, captions: Mapping[str, str], progress) -> None:
    (folder / "png").mkdir()
    shown: set[str] = set()
    for done, sha256 in enumerate(sorted(set(df["sha256"])), start=1):
        png = picture(sha256)
        if png and png.startswith(PNG) and re.fullmatch(r"[0-9a-f]{8,64}", sha256):
            (folder / "png" / f"{sha256}.png").write_bytes(png)
            shown.add(sha256)
        if progress:
            progress(done, df["sha256"].nunique())
    categories = sorted(set(df["category"]))
    for category in categories:
        rows = df.loc[df["category"] == category]
        write_whole(folder / page_name(category), _page(category, rows, shown, captions).encode())
    write_whole(folder / "families.html", _families_page(df, shown, captions).encode())
    write_whole(folder / "index.html", _index(df, categories).encode())
    for asset in ("gallery.css", "gallery.js"):
        write_whole(folder / asset, files("bioicons_pipeline.library").joinpath(asset).read_bytes())
    write_whole(folder / MARK, b"bioicons gallery\n")


def page_name(category: str) -> str:
    """File name of a category's page: ASCII, unique per category."""
    slug = re.sub(r"[^a-z0-9]+", "-", category.lower()).strip("-") or "category"
    return f"{slug[:40]}-{hashlib.sha256(category.encode()).hexdigest()[:6]}.html"


def _frame(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{_e(title)}</title><link rel="stylesheet" href="gallery.css">'
        f'<script src="gallery.js" defer></script></head><body>{body}</body></html>\n'
    )


def _index(df: pd.DataFrame, categories: list[str]) -> str:
    lines = []
    for category in categories:
        rows = df.loc[df["category"] == category]
        kept = int(rows["included"].sum())
        lines.append(
            f'<tr><td><a href="{page_name(category)}">{_e(_words(category))}</a></td><td>{len(rows)}</td>'
            f"<td>{kept}</td><td>{len(rows) - kept}</td><td>{rows['family_id'].nunique()}</td></tr>"
        )
    reasons = df["exclusion_reason"].dropna().value_counts()
    why = "".join(
        f"<tr><td>{_e(_words(str(name)))}</td><td>{count}</td><td>{_e(MEANINGS[ExclusionReason(name)])}</td></tr>"
        for name, count in reasons.items()
    )
    notes = "".join(f"<li>{_e(note)}</li>" for note in df.attrs.get("notes", []))
    body = (
        f"<h1>{len(df)} icons, {df['included'].to_numpy(dtype=bool).sum()} kept</h1>"
        '<p><a href="families.html">Families side by side</a></p>'
        "<table><thead><tr><th>category</th><th>icons</th><th>kept</th><th>dropped</th><th>families</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
        f"<h2>Why icons were dropped</h2><table><tbody>{why}</tbody></table>"
        + (f"<h2>Notes for the curator</h2><ul>{notes}</ul>" if notes else "")
    )
    return _frame("bioicons gallery", body)


def _page(category: str, rows: pd.DataFrame, shown: set[str], captions: Mapping[str, str]) -> str:
    cards = "".join(_card(row, shown, captions) for row in rows.sort_values("source_path").to_dict("records"))
    body = (
        f'<p><a href="index.html">all categories</a></p><h1>{_e(_words(category))}</h1>{_filters(rows)}'
        f'{_count(len(rows))}<main class="grid">{cards}</main>'
    )
    return _frame(f"{_words(category)} - bioicons gallery", body)


def _count(icons: int) -> str:
    return f'<p id="count" aria-live="polite">{icons} of {icons} icons</p>'


def _filters(rows: pd.DataFrame) -> str:
    """The filter bar: free text, kept or dropped with reasons, licence, author, split."""

    def choice(name: str, label: str, values: list[str]) -> str:
        options = "".join(f'<option value="{_e(value)}">{_e(_words(value))}</option>' for value in values)
        select = f'<select data-filter="{name}"><option value="">all</option>{options}</select>'
        return f"<label>{label} {select}</label>"

    def distinct(column: str) -> list[str]:
        return sorted(str(value) for value in rows[column].dropna().unique())

    return (
        '<form class="filters"><label>text <input type="search" data-filter="text"></label>'
        + choice("state", "state", ["kept", "dropped", *distinct("exclusion_reason")])
        + choice("spdx", "licence", distinct("spdx"))
        + choice("author", "author", distinct("author"))
        + choice("split", "split", distinct("split"))
        + "</form>"
    )


def _families_page(df: pd.DataFrame, shown: set[str], captions: Mapping[str, str]) -> str:
    blocks = []
    several = df.loc[df["family_size"] > 1].sort_values(
        ["family_size", "family_id", "source_path"], ascending=[False, True, True]
    )
    for family, rows in several.groupby("family_id", sort=False):
        cards = "".join(_card(row, shown, captions) for row in rows.to_dict("records"))
        side = _e(str(rows["split"].iloc[0]))
        blocks.append(
            f'<section id="f-{_e(str(family))}"><h2>{_e(str(family))}: {len(rows)} icons, {side}</h2>'
            f'<div class="row">{cards}</div></section>'
        )
    body = (
        f'<p><a href="index.html">all categories</a></p><h1>{len(blocks)} families of two and more</h1>'
        '<form class="filters"><label>text <input type="search" data-filter="text"></label></form>'
        f"{_count(len(several))}<main>{''.join(blocks)}</main>"
    )
    return _frame("Families - bioicons gallery", body)


def _card(row: Mapping, shown: set[str], captions: Mapping[str, str]) -> str:
    """One icon as an article; the data attributes are what the filters read."""
    name, reason = _text(row["name"]), _text(row["exclusion_reason"])
    # a curator's own wins, and stands here before the captions are made anew
    caption = _text(row["caption"]) or captions.get(row["icon_id"], "")
    spdx, author = _text(row["spdx"]), _text(row["author"])
    state = "kept" if row["included"] else "dropped"
    picture = (
        f'<img src="png/{row["sha256"]}.png" alt="{_e(name)}" loading="lazy" width="128" height="128">'
        if row["sha256"] in shown
        else '<div class="none">no picture</div>'
    )
    by = _link(_text(row["author_url"]), author or "no author")
    family = f'<a href="families.html#f-{_e(row["family_id"])}">family of {int(row["family_size"])}</a>'
    lines = [
        f"<h3>{_link(_text(row['source_url']), name)}</h3>",
        f"<p>{_e(caption)}</p>" if caption else "",
        f"<p>{by}, {_link(_text(row['licence_url']), spdx or 'no licence')}</p>",
        f"<p>{family if int(row['family_size']) > 1 else 'no variants'}, {_e(row['split'])}</p>",
        f'<p class="why">{_e(_words(reason))}</p>' if reason else "",
        _origin(row),
        f"<p>curator: {_e(_text(row['curation']))}</p>" if _text(row["curation"]) else "",
        f"<details><summary>id</summary><code>{_e(row['icon_id'])}</code> "
        f"<code>{_e(row['source_path'])}</code></details>",
    ]
    searched = " ".join(
        [name, caption, author, spdx, reason, _text(row["source_path"]), row["icon_id"]]
    ).lower()
    return (
        f'<article class="{state}" data-state="{state}" data-reason="{_e(reason)}" data-spdx="{_e(spdx)}" '
        f'data-author="{_e(author)}" data-split="{_e(row["split"])}" data-text="{_e(searched)}">'
        f"{picture}{''.join(lines)}</article>"
    )


def _origin(row: Mapping) -> str:
    """Where a stricter licence comes from, if it does."""
    origin, evidence = _text(row["licence_origin"]), _text(row["licence_evidence"])
    return f'<p class="origin">licence of {_e(origin)}: {_e(evidence)}</p>' if origin else ""


def _link(url: str, text: str) -> str:
    """A link where `url` is http(s), plain text otherwise."""
    if re.match(r"https?://", url, re.IGNORECASE):
        return f'<a href="{_e(url)}" rel="noopener noreferrer nofollow" target="_blank">{_e(text)}</a>'
    return _e(text)


def _text(value: object) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value)


def _words(text: str) -> str:
    return text.replace("_", " ")


def _e(text: object) -> str:
    return html.escape(str(text), quote=True)
