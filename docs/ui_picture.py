"""The picture of the Dagster UI, `docs/ui_assets.png`: the asset graph after a run on the starter library.

Belongs here: a `dagster dev` of its own, and the graph that it shows in the system's Chromium.
`docs/make_pictures.py` writes the picture.
"""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from bioicons_pipeline.rendering.chromium import find_chromium

SIZE = {"width": 3300, "height": 1900}
GRAPH = {"x": 590, "y": 250, "width": 2655, "height": 1425}
"""Where the graph is on that page, px: right of the navigation."""
PATIENCE = 180_000  # ms
LAST_GROUP = "4_library_wide"


@contextmanager
def dagster_dev(data: Path) -> Iterator[str]:
    """The address of a `dagster dev` with the history of the runs in `data`, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"BIOICONS_DATA_DIR": str(data), "DAGSTER_HOME": str(data / "dagster")}
    command = [sys.executable, "-m", "dagster", "dev", "-m", "bioicons_pipeline.definitions"]
    log = (data / "dagster_dev.log").open("w")
    process = subprocess.Popen([*command, "--port", str(port)], env=environment, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/server_info", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        log.close()


def _wait_for(address: str, process: subprocess.Popen) -> None:
    until = monotonic() + PATIENCE / 1000
    while monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            sleep(1)
    raise RuntimeError(f"dagster dev does not answer at {address}: see dagster_dev.log")


def asset_graph(address: str) -> bytes:
    """PNG of the asset graph at `address`, all groups open, once it is drawn."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE)
        page.goto(f"{address}/asset-groups")
        page.get_by_text(LAST_GROUP, exact=True).first.wait_for()
        page.keyboard.press("Alt+e")  # all groups open
        page.get_by_text("sample_grid", exact=True).first.wait_for()
        page.reload()  # groups stay open, and the graph is fitted to the page anew
        page.get_by_text("sample_grid", exact=True).first.wait_for()
        while page.get_by_text("Loading").count():
            page.wait_for_timeout(1_000)
        page.wait_for_timeout(10_000)
        taken = page.screenshot(clip=GRAPH)
        browser.close()
    return taken
