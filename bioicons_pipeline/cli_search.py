"""`bioicons search`: what people have drawn already, with the words to cite it.

Belongs here: options and tables of this verb, which manifest and captions are searched, embeddings kept in
the cache. Does not belong here: the search (generation/search).
"""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bioicons_pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    import numpy as np

    from bioicons_pipeline.generation.search import Hit, IconSearch
    from bioicons_pipeline.store import Store


def search(
    query: Annotated[str, typer.Argument(help='What to look for, e.g. "mast cell".')],
    category: Annotated[str | None, typer.Option(help="One scientific category; default: all.")] = None,
    count: Annotated[int, typer.Option(min=1, max=200, help="How many icons at most.")] = 12,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the icons into this folder: SVG (made safe), PNG, ATTRIBUTION.md, overview.png.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Look for icons that exist: drawn by people, with licence and the text to cite.

    Knows the last snapshot of the library (`bioicons run --until icon_manifest` fetches it).
    """
    from bioicons_pipeline.orchestration.pipeline import check_category
    from bioicons_pipeline.orchestration.stages import manifest as stage
    from bioicons_pipeline.store import Store

    settings = get_settings()
    store = Store(settings.resolved_store_root)
    if category is not None:
        check_category(category, stage.current_categories(store))
    found = icon_search(store, settings, Console(stderr=True)).find(query, count, category)
    if found.query:
        typer.echo(f"Searched for: {found.query}")
    if not found.hits:
        typer.echo(f'Nobody has drawn this yet: try other words, or `bioicons generate "{query.strip()}"`.')
        return
    table = Table("", "icon", "category", "author", "licence", box=None)
    for number, hit in enumerate(found.hits, start=1):
        row = hit.row
        note = "" if hit.why == "name" else "(near in meaning)"
        table.add_row(
            str(number), f"{row['name']} {note}".strip(), row["category"], row["author"], row["spdx"]
        )
    Console(highlight=False, markup=False).print(table)
    typer.echo("")
    for number, hit in enumerate(found.hits, start=1):
        typer.echo(f"{number:>3}  {hit.citation}")
    if out is not None:
        files = write_hits(store, settings, found.hits, out)
        typer.echo(f"\n{files} files in {out}")


def icon_search(store: "Store", settings: Settings, console: Console) -> "IconSearch":
    """The search over the current manifest, with the sentence model where it is installed.

    Raises:
        MissingInputError: nothing was run yet.
    """
    from bioicons_pipeline.captioning import sentences
    from bioicons_pipeline.generation.search import IconSearch
    from bioicons_pipeline.orchestration.stages import manifest as stage

    def embed(texts: Sequence[str]) -> "np.ndarray":
        return _kept(list(texts), settings.cache_dir / "search", console)

    return IconSearch(
        stage.whole_manifest(store),
        stage.current_captions(store),
        embed if sentences.available() else None,
    )


def _kept(texts: list[str], folder: Path, console: Console) -> "np.ndarray":
    """Sentence embeddings of many texts, from the cache where they are there; of one, without it."""
    import numpy as np

    from bioicons_pipeline.captioning.sentences import sentence_embeddings
    from bioicons_pipeline.library.whole import write_whole

    if len(texts) == 1:
        return sentence_embeddings(texts)
    file = folder / f"{hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]}.npy"
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError):
        pass  # not made yet, or damaged
    with console.status("Reading the library's names, once"):
        made = sentence_embeddings(texts)
    buffer = io.BytesIO()
    np.save(buffer, made, allow_pickle=False)
    write_whole(file, buffer.getvalue())
    return made


def write_hits(store: "Store", settings: Settings, hits: "Sequence[Hit]", out: Path, size: int = 512) -> int:
    """Write the icons found, their credits and a contact sheet; returns the number of files."""
    import pandas as pd
    from PIL import Image

    from bioicons_pipeline.generation.carriers import png_bytes
    from bioicons_pipeline.generation.sheet import contact_sheet
    from bioicons_pipeline.library.credits import attribution_markdown
    from bioicons_pipeline.library.whole import write_whole
    from bioicons_pipeline.rendering import RenderSettings, render_many

    svgs = [(str(number), store.read_blob(str(hit.row["sha256"]))) for number, hit in enumerate(hits)]
    shown: list[tuple[Any, str, bool]] = []
    written, kept = 0, []
    for hit, drawn in zip(hits, render_many(svgs, RenderSettings(size=size), workers=1), strict=True):
        if not drawn.svg or not drawn.alpha_png:
            typer.echo(f"left out, it cannot be shown safely: {hit.row['source_path']}", err=True)
            continue
        stem = f"{len(kept) + 1:02d}-{_plain(str(hit.row['name']))}"
        write_whole(out / f"{stem}.svg", drawn.svg)
        write_whole(out / f"{stem}.png", drawn.alpha_png)
        shown.append((Image.open(io.BytesIO(drawn.alpha_png)).convert("RGBA"), stem[:22], False))
        kept.append(hit.row)
        written += 2
    if kept:
        credit = attribution_markdown(pd.DataFrame(kept), "none")
        write_whole(out / "ATTRIBUTION.md", credit.encode())
        write_whole(out / "overview.png", png_bytes(contact_sheet(shown)))
        written += 2
    return written


def _plain(name: str) -> str:
    """A name of any script as part of a file name."""
    return "".join(char if char.isalnum() else "-" for char in name).strip("-")[:60] or "icon"
