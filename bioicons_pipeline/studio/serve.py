"""The studio on the network: who may open it, and what it must not tell others.

Belongs here: address, password, Gradio's own settings. Does not belong here: the page (`page`).

Gradio would report each start to its makers and look for newer versions; both are switched off before it is
imported.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
from pathlib import Path
from typing import Any

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.studio.desk import FOUND, Services
from bioicons_pipeline.whole import SCRATCH, check_writable

SHORTEST_PASSWORD = 8


class StudioError(BioiconsError):
    """The studio cannot be opened, or not safely."""


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_access(host: str, password: str | None) -> None:
    """Refuse an open door: other machines need a password.

    Raises:
        StudioError: it is missing or too short.
    """
    if password is not None and len(password) < SHORTEST_PASSWORD:
        raise StudioError(f"The password is too short: give at least {SHORTEST_PASSWORD} characters.")
    if password is None and not is_loopback(host):
        raise StudioError(
            f"On {host} other machines can reach the studio, so it needs a password: set "
            "BIOICONS_STUDIO_PASSWORD, or leave --host out to open it for this machine only."
        )


def check_folder(out: Path) -> None:
    """Refuse a folder of which everything may not be seen by whoever opens the page; made if it is not there.

    Raises:
        StudioError: it holds more than icons and their cards.
        WriteError: it cannot be written.
    """
    check_writable(out)
    out.mkdir(parents=True, exist_ok=True)
    ours = {".png", ".svg", ".json"}
    others = sorted(
        path.name
        for path in out.iterdir()
        if path.name != FOUND
        and not path.name.startswith(SCRATCH)
        and (path.suffix not in ours or not path.is_file())
    )
    if others:
        raise StudioError(
            f"{out} has more in it than icons, e.g. {others[0]}, and the studio shows its whole folder to "
            "whoever opens the page: give a folder of its own with --out."
        )


def load() -> Any:
    """Gradio, which takes seconds the first time.

    Raises:
        StudioError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import gradio
    except ImportError as error:
        raise StudioError(
            "The studio needs Gradio, which is not installed: pip install 'bioicons-pipeline[studio]'."
        ) from error
    return gradio


def serve(
    services: Services,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    password: str | None = None,
    browser: bool = False,
    wait: bool = True,
) -> Any:
    """Open the studio; returns Gradio's app when `wait` is False, else after Ctrl-C.

    port: None for the first free one from 7860 on.
    Raises:
        StudioError: no Gradio, no password where one is needed, the port is taken, `out` holds other files.
        WishError: `out` cannot be written.
    """
    check_access(host, password)
    check_folder(services.out)
    gr = load()
    from bioicons_pipeline.studio.page import CSS, build_page  # it imports gradio itself

    page = build_page(services)
    # a system's own fonts: the default theme would fetch them from elsewhere at each visit
    theme = gr.themes.Default(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"], primary_hue="teal"
    )
    try:
        page.launch(
            server_name=host,
            server_port=port,
            auth=(lambda _, given: hmac.compare_digest(given.encode(), password.encode()))
            if password is not None
            else None,
            auth_message="Any name, and the password of this studio.",
            allowed_paths=[str(Path(services.out).absolute())],
            share=False,
            inbrowser=browser,
            quiet=True,
            ssr_mode=False,
            enable_monitoring=False,
            footer_links=[],
            theme=theme,
            css=CSS,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise StudioError(f"The studio cannot open {host}:{port} ({error}): give another --port.") from error
    if wait:
        print(f"The studio is open at {page.local_url} (Ctrl-C closes it).", flush=True)
        page.block_thread()
    return page
