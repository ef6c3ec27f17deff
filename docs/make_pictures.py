"""Makes every picture of the README and the documentation anew: `make pictures`.

    python docs/make_pictures.py [PICTURE …] [--source LIBRARY] [--data FOLDER]

flow       docs/explanation/flow.svg, the drawing of the flow (docs/flow.py)
house      docs/explanation/house.svg, which room imports which (docs/house.py)
starter    docs/starter_library.png, every icon of the starter library, by the project's own rendering room
ui         docs/ui_assets.png, the assets in the Dagster UI, starter library (docs/ui_picture.py; 5 minutes)
studio     docs/studio.png, a visit to the studio on the starter library's LoRA (about six minutes; chromium)
grid       docs/grid.png, the same seeds before and after a LoRA of the real library's Animals (ten minutes)

Runs go to FOLDER (data/pictures) and are kept: a second call makes only what changed.
"""

import argparse
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flow import flow_svg
from house import house_svg
from PIL import Image
from ui_picture import asset_graph, dagster_dev

from bioicons_pipeline.generation.grid import GridRow, compose
from bioicons_pipeline.rendering import RenderSettings, render_many
from bioicons_pipeline.rendering.chromium import find_chromium
from bioicons_pipeline.settings import DEFAULT_SOURCE
from bioicons_pipeline.store import Store

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parent / "bioicons_pipeline" / "starter_library" / "static" / "icons"
COLUMNS, CELL, ICON = 9, 132, 112
CATEGORY = "Animals"
PATIENCE = 180_000  # ms


def bioicons(data: Path, *arguments: str) -> list[str]:
    """The command line of `bioicons …`; its data folder is set."""
    os.environ["BIOICONS_DATA_DIR"] = str(data)
    return [sys.executable, "-m", "bioicons_pipeline.cli", *arguments]


def save(picture: Image.Image, name: str, colours: int = 256) -> None:
    """Write a small PNG beside this file."""
    reduced = picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    reduced.save(HERE / name, optimize=True)
    print(HERE / name)


def flow(_: argparse.Namespace) -> None:
    """The drawing of the flow."""
    (HERE / "explanation" / "flow.svg").write_text(flow_svg(), encoding="utf-8")


def house(_: argparse.Namespace) -> None:
    """The drawing of the rooms and their imports."""
    (HERE / "explanation" / "house.svg").write_text(house_svg(), encoding="utf-8")


def starter(_: argparse.Namespace) -> None:
    """All starter icons, category by category, on white."""
    files = sorted(LIBRARY.rglob("*.svg"), key=lambda path: (path.parts[-3], path.stem))
    icons = render_many(((path.stem, path.read_bytes()) for path in files), RenderSettings(size=4 * ICON))
    pictures = [Image.open(io.BytesIO(icon.png)) for icon in icons if icon.png]
    assert len(pictures) == len(files), "every starter icon renders"
    sheet = Image.new("RGB", (COLUMNS * CELL, -(-len(pictures) // COLUMNS) * CELL), "white")
    for index, picture in enumerate(pictures):
        small = picture.resize((ICON, ICON), Image.Resampling.LANCZOS)
        sheet.paste(small, (index % COLUMNS * CELL + 10, index // COLUMNS * CELL + 10))
    save(sheet, "starter_library.png", 128)


def grid(chosen: argparse.Namespace) -> None:
    """The grid of flux-nano and its LoRA; the library's own icons are not ours to show and left out."""
    data = chosen.data / "animals"
    run = ("run", "--source", chosen.source, "--category", CATEGORY, "--base", "flux-nano")
    subprocess.run(bioicons(data, *run), check=True)
    store = Store(data / "store")
    ref = store.get_ref("sample_grid", partition=CATEGORY, base="flux-nano")
    assert ref is not None
    version = store.version(ref.version_id)
    shown = json.loads(store.read(version, "samples.json"))["rows"]

    def sample(number: int, kind: str) -> Image.Image:
        return Image.open(io.BytesIO(store.read(version, f"samples/{number:02d}-{kind}.png")))

    rows = [
        GridRow(row["label"], (sample(number, "base"), sample(number, "lora")))
        for number, row in enumerate(shown)
        if row["icon_id"] is None
    ]
    title = f"The same seeds before and after a LoRA of {CATEGORY}"
    picture = compose(rows, ("flux-nano", "with LoRA"), title, blocks=3)
    save(
        picture.resize((picture.width * 2 // 3, picture.height * 2 // 3), Image.Resampling.LANCZOS),
        "grid.png",
    )


def ui(chosen: argparse.Namespace) -> None:
    """The asset graph, with all that is cheap materialised."""
    data = chosen.data / "ui"
    run = ("run", "--source", "starter", "--until", "icon_dataset", "--size", "128")
    subprocess.run(bioicons(data, *run), check=True)
    with dagster_dev(data) as address:
        shown = Image.open(io.BytesIO(asset_graph(address)))
    shown = shown.resize((shown.width * 2 // 3, shown.height * 2 // 3), Image.Resampling.LANCZOS)
    save(shown, "ui_assets.png")


def studio(chosen: argparse.Namespace) -> None:
    """A visit to the studio: search, choose, draw, choose."""
    from playwright.sync_api import sync_playwright

    data = chosen.data / "starter"
    subprocess.run(bioicons(data, "demo"), check=True)
    with opened(data) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.locator("#words textarea, #words input").fill("cell")
        page.locator("#search").click()
        page.locator("#found-icons button.thumbnail-item").nth(1).click()
        page.locator("#found-credit textarea").wait_for()
        page.locator("#draw").click()
        page.locator("#drawn-icons button.thumbnail-item").nth(3).wait_for()
        page.locator("#drawn-icons button.thumbnail-item").nth(1).click()
        page.locator("#drawn-credit textarea").wait_for()
        page.wait_for_timeout(2500)  # Gradio's own fading
        save(Image.open(io.BytesIO(page.screenshot(full_page=True))), "studio.png")
        browser.close()


@contextmanager
def opened(data: Path) -> Iterator[str]:
    """The address of a running studio."""
    command = bioicons(data, "studio", "--out", str(data / "icons"))
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "open at" in line)
        yield line.split("open at ")[1].split()[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


PICTURES = {"flow": flow, "house": house, "starter": starter, "ui": ui, "studio": studio, "grid": grid}


def main() -> None:
    """Make the pictures that were asked for."""
    parser = argparse.ArgumentParser(description="Make the pictures of the documentation anew.")
    parser.add_argument(
        "pictures", nargs="*", default=list(PICTURES), metavar="PICTURE", help=", ".join(PICTURES)
    )
    parser.add_argument("--source", default=DEFAULT_SOURCE, help="the real library: git URL, clone or bundle")
    parser.add_argument(
        "--data", type=lambda text: Path(text).absolute(), default=Path("data/pictures").absolute()
    )
    chosen = parser.parse_args()
    if unknown := set(chosen.pictures) - set(PICTURES):
        parser.error(f"there is no picture {', '.join(unknown)}: choose from {', '.join(PICTURES)}")
    for name in chosen.pictures:
        PICTURES[name](chosen)


if __name__ == "__main__":
    main()
