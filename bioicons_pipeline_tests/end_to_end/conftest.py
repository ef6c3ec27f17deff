"""The command line as a user starts it: in a process, with a data folder of the test's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BRIEF = ("--base", "flux-tiny", "--steps", "12", "--sampling-steps", "2")


def bioicons(
    *arguments: str, data: Path, timeout: int = 600, **environment: str
) -> subprocess.CompletedProcess:
    """Run `bioicons …`; its data folder is `data`."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("BIOICONS_", "HF_", "HUGGING"))
    }
    return subprocess.run(
        [sys.executable, "-m", "bioicons_pipeline.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**kept, "HF_HOME": str(data / "hf"), "BIOICONS_DATA_DIR": str(data), **environment},
    )


@pytest.fixture(scope="session")
def slice_of_the_library(sample_repo, tmp_path_factory) -> Path:
    """A git repository with 40 real icons of two categories and five of a third, in the upstream layout."""
    return make_slice(sample_repo, tmp_path_factory.mktemp("slice"))


def make_slice(sample_repo: Path, root: Path) -> Path:
    """Make that repository in `root` from a clone of the sample bundle."""
    wanted = {"Animals": 25, "Microbiology": 15, "Parasites": 5}
    chosen: list[Path] = []
    for category, count in wanted.items():
        # Free licences first, so that the slice is not all of one author's.
        found = sorted((sample_repo / "static" / "icons").glob(f"*/{category}/*/*.svg"))
        small = [path for path in found if path.stat().st_size < 60_000]
        chosen += small[:: max(1, len(small) // count)][:count]
    for path in chosen:
        target = root / path.relative_to(sample_repo)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    git = ["git", "-C", str(root), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "slice"], check=True)
    return root


@pytest.fixture(scope="session")
def finished(slice_of_the_library, tmp_path_factory):
    """(data folder, finished process, its arguments) of a whole run on the slice's Animals."""
    data = tmp_path_factory.mktemp("run") / "data"
    arguments = ("run", "--source", str(slice_of_the_library), "--category", "Animals", "--size", "128")
    done = bioicons(*arguments, *BRIEF, data=data)
    assert done.returncode == 0, done.stdout + done.stderr
    return data, done, arguments


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    program = next(
        p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))
    )
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()
