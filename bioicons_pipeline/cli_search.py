"""`bioicons search`: what people have drawn already, with the words to cite it.

Belongs here: options and tables of this verb, which manifest and captions are searched, embeddings kept in
the cache. Does not belong here: the search (generation/search).
"""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from bioicons_pipeline.cli_display import AsJson, library_categories, library_manifest, say_json, say_table
from bioicons_pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    import numpy as np

    from bioicons_pipeline.generation.search import Found, Hit, IconSearch
    from bioicons_pipeline.store import Store


def search(
    query: Annotated[str, typer.Argument(help='What to look for, e.g. "mast cell".')],
    category: Annotated[str | None, typer.Option(help="One scientific category; default: all.")] = None,
    count: Annotated[int, typer.Option(min=1, max=200, help="How many icons at most.")] = 12,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the icons into this folder, empty or new: SVG (made safe), PNG, ATTRIBUTION.md, "
            "LICENSES/, overview.png.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look for icons that exist: drawn by people, with licence and the text to cite.

    Knows the last snapshot of the library, and its captions: `bioicons run --until icon_captions` makes both.
    """
    from bioicons_pipeline.orchestration.stages.manifest import check_category
    from bioicons_pipeline.store import Store

    settings = get_settings()
    store = Store(settings.resolved_store_root)
    if category is not None:
        check_category(category, library_categories(store))
    if out is not None:
        from bioicons_pipeline.generation.found import check_free, draw_hits, write_found

        check_free(out)
    library = icon_search(store, settings, Console(stderr=True))
    found = library.find(query, count, category)
    if category is not None and not found.hits and not as_json:
        elsewhere = len(library.find(query, count).hits)
        if elsewhere:
            typer.echo(f"Nothing in {category}, {elsewhere} elsewhere: leave --category out to see them.")
            return
    if as_json:
        say_json({"query": found.query or query, "icons": [_as_row(hit) for hit in found.hits]})
    else:
        _show(found, query)
    if out is not None and found.hits:
        drawn = draw_hits(found.hits, store.read_blob)
        for one in drawn:
            if not one.svg:
                typer.echo(f"left out, it cannot be shown safely: {one.hit.row['source_path']}", err=True)
        typer.echo(f"\n{write_found(drawn, out)} files in {out}", err=as_json)


def _as_row(hit: "Hit") -> dict[str, str]:
    """An icon for scripts."""
    shown = ("icon_id", "name", "category", "author", "spdx", "licence_url", "source_url")
    return {key: str(hit.row[key]) for key in shown} | {"why": hit.why, "citation": hit.citation}


def _show(found: "Found", query: str) -> None:
    """Table and citations on stdout."""
    if found.query:
        typer.echo(f"Searched for: {found.query}")
    if not found.hits:
        typer.echo(
            "No icon of the library is called that (its names are English): try other words, or "
            f'`bioicons generate "{query.strip()}"`.'
        )
        return
    table = Table("", "icon", "category", "author", "licence", box=None)
    for number, hit in enumerate(found.hits, start=1):
        row = hit.row
        note = f"({hit.note})" if hit.note else ""
        table.add_row(
            str(number), f"{row['name']} {note}".strip(), row["category"], row["author"], row["spdx"]
        )
    say_table(table)
    typer.echo("")
    for number, hit in enumerate(found.hits, start=1):
        typer.echo(f"{number:>3}  {hit.citation}")


def icon_search(store: "Store", settings: Settings, console: Console) -> "IconSearch":
    """The search over the current manifest, with the sentence model where it is installed.

    Raises:
        NoLibraryError: nothing was run yet.
    """
    from bioicons_pipeline.captioning import sentences
    from bioicons_pipeline.generation.search import IconSearch
    from bioicons_pipeline.orchestration.stages import manifest as stage

    def embed(texts: Sequence[str]) -> "np.ndarray":
        return _kept(list(texts), settings.cache_dir / "search", console)

    return IconSearch(
        library_manifest(store),
        stage.current_captions(store),
        embed if sentences.available() else None,
    )


def _kept(texts: list[str], folder: Path, console: Console) -> "np.ndarray":
    """Sentence embeddings of many texts, from the cache where they are there; of one, without it."""
    import numpy as np

    from bioicons_pipeline.captioning.sentences import sentence_embeddings
    from bioicons_pipeline.whole import write_whole

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
