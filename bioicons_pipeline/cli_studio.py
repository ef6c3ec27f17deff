"""`bioicons studio`: the page for scientists, opened on this machine.

Belongs here: options of this verb, and what the studio stands on: which library, model, LoRAs. Does not
belong here: the page (studio/).
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    from bioicons_pipeline.generation.make import Workshop
    from bioicons_pipeline.generation.search import Found, IconSearch
    from bioicons_pipeline.orchestration.workshop import Stock
    from bioicons_pipeline.studio.desk import Choice, Services
    from bioicons_pipeline.training.base_models import BaseModel


def studio(
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than this machine's own needs a password.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port; default: the first free one from 7860 on."),
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(
            envvar="BIOICONS_STUDIO_PASSWORD",
            help="Asked of every visitor; better given in the environment, where `ps` does not show it.",
            show_default=False,
        ),
    ] = None,
    base: Annotated[str | None, typer.Option(help="Base model: a name or a diffusers folder.")] = None,
    out: Annotated[Path, typer.Option(help="Folder that keeps every icon.")] = Path("icons"),
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in the browser.")] = False,
) -> None:
    """Open the studio: search the library, draw new icons, download them with their citation and card.

    Needs the extra `studio` (Gradio). Nothing leaves this machine.
    """
    from bioicons_pipeline.studio.serve import check_access, load, serve

    check_access(host, password)  # before anything is read
    settings = get_settings()
    with Console(stderr=True).status("Opening the studio"):  # Gradio alone takes seconds to load
        services = studio_services(settings, base or settings.base, out)
        load()
    serve(services, host=host, port=port, password=password, browser=browser)


def studio_services(settings: Settings, base_name: str, out: Path) -> "Services":
    """What the studio stands on, as far as it is there; what is missing is said on the page."""
    from bioicons_pipeline.generation.found import draw_hits
    from bioicons_pipeline.orchestration.stages.base import MissingInputError
    from bioicons_pipeline.orchestration.stages.manifest import current_categories
    from bioicons_pipeline.orchestration.stages.weights import sampling_of
    from bioicons_pipeline.orchestration.workshop import Stock, trained_names
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.studio.desk import Services
    from bioicons_pipeline.training.base_models import resolve_base

    stock = Stock(Store(settings.resolved_store_root), settings.cache_dir)
    try:
        categories = current_categories(stock.store)
    except MissingInputError:
        categories = []
    try:
        base = resolve_base(base_name, settings.bases_dir)
        loras = trained_names(stock.store, base)
        model, sampling = _about(base, bool(loras)), sampling_of(base)
    except BioiconsError as error:
        loras, model, sampling = [], f"⚠️ There is no model to draw with: {error}", {}
    kept = _Kept(settings, stock, base_name)
    return Services(
        categories=categories,
        loras=loras,
        model=model,
        search=kept.search,
        draw=lambda found: draw_hits(found.hits, stock.store.read_blob),
        workshop=kept.workshop,
        out=out.absolute(),
        **sampling,
    )


class _Kept:
    """What the studio keeps between two clicks: the library that it searches, and one loaded model."""

    def __init__(self, settings: Settings, stock: "Stock", base_name: str) -> None:
        self.settings, self.stock, self.base_name = settings, stock, base_name
        self._library: tuple[str, IconSearch] | None = None
        self._loaded: tuple[tuple[str, ...], Any] | None = None

    def search(self, query: str, category: str | None) -> "Found":
        """In the library as it stands now: a run may have renewed it since the last click."""
        from bioicons_pipeline.cli_display import NoLibraryError
        from bioicons_pipeline.cli_search import icon_search
        from bioicons_pipeline.orchestration.stages.base import MissingInputError, require_ref
        from bioicons_pipeline.orchestration.stages.manifest import LIBRARY

        try:
            version = require_ref(self.stock.store, LIBRARY, None).version_id
        except MissingInputError as error:
            raise NoLibraryError from error
        if self._library is None or self._library[0] != version:
            console = Console(stderr=True)
            self._library = version, icon_search(self.stock.store, self.settings, console)
        return self._library[1].find(query, category=category)

    def workshop(self, choice: "Choice", warn: Callable[[str], None]) -> "Workshop":
        """Base and LoRA as chosen; the pipeline is loaded once for all wishes with the same ones."""
        from bioicons_pipeline.orchestration.workshop import make_workshop, named_adapter, suitable_adapter
        from bioicons_pipeline.studio.desk import NO_LORA, SUITABLE
        from bioicons_pipeline.training.base_models import resolve_base

        base = resolve_base(self.base_name, self.settings.bases_dir)
        if choice.lora == SUITABLE:
            found = suitable_adapter(self.stock, base, choice.category)
            adapters = [replace(found, scale=choice.scale)] if found else []
        elif choice.lora == NO_LORA:
            adapters = []
        else:
            adapters = [named_adapter(self.stock, base, f"{choice.lora}={choice.scale}")]
        choices = {"steps": choice.steps, "guidance": choice.guidance}
        made = make_workshop(self.stock, base, adapters, choices, warn=warn)
        key = (base.fingerprint, *(adapter.sha256 for adapter in adapters))

        def pipeline() -> Any:
            if self._loaded is None or self._loaded[0] != key:
                self._loaded = None  # the old one is freed before the new one is loaded
                self._loaded = key, made.pipeline()
            return self._loaded[1]

        return replace(made, pipeline=pipeline)


def _about(base: "BaseModel", loras: bool) -> str:
    """One line on the base model for the page (Markdown)."""
    terms = "commercial use allowed" if base.licence.commercial_use else "no commercial use"
    line = f"Drawn by {base.name} ({base.licence.name}, {terms})."
    if base.name in ("flux-nano", "flux-tiny"):
        line += " It is small, made to try the studio out: its icons are not for figures."
    if not loras:
        line += " No LoRA was trained on it yet, so this is not bioicons style: `bioicons run` trains one."
    return line
