"""Makes the README's picture of the Dagster UI: `python docs/make_ui_picture.py http://localhost:3000`.

`docs/ui_assets.png` is the asset graph as a running `dagster dev` shows it, in the system's Chromium.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
SIZE = {"width": 3300, "height": 1250}
GRAPH = {"x": 545, "y": 110, "width": 2700, "height": 1020}
"""Where the graph is on that page, px: right of the navigation."""


def asset_graph(address: str) -> bytes:
    """PNG of the asset graph at `address`, once it is drawn."""
    program = next(
        p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE)
        page.goto(f"{address.rstrip('/')}/asset-groups")
        page.get_by_text("3_model", exact=True).first.wait_for(timeout=120_000)
        page.keyboard.press("Alt+e")  # all groups open
        page.get_by_text("sample_grid", exact=True).first.wait_for(timeout=120_000)
        while page.get_by_text("Loading").count():
            page.wait_for_timeout(1_000)
        page.wait_for_timeout(2_000)
        taken = page.screenshot(clip=GRAPH)
        browser.close()
    return taken


def main() -> None:
    """Write the picture."""
    picture = Image.open(io.BytesIO(asset_graph(sys.argv[1]))).convert("RGB")
    picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    picture.quantize(128, dither=Image.Dither.NONE).save(HERE / "ui_assets.png", optimize=True)


if __name__ == "__main__":
    main()
