"""Fixtures that several rooms' tests share, and the rule for what the machine lacks.

With `CI=true` a missing system program or a missing sample of the real library fails the tests that
need it. Elsewhere those tests are deselected, and the run says how many and how to get what is missing.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
BUNDLE = Path(
    os.environ.get("BIOICONS_SAMPLE_BUNDLE", REPOSITORY.parent / "shared" / "bioicons-sample.bundle")
)
IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

NEEDS = {
    "bundle": (
        lambda: BUNDLE.is_file(),
        f"the sample of the real library is not at {BUNDLE}: make one with `git clone --filter=blob:none "
        "https://github.com/duerrsimon/bioicons && git -C bioicons bundle create FILE --all`, and point "
        "BIOICONS_SAMPLE_BUNDLE at it",
    ),
    "chromium": (
        lambda: any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")),
        "no chromium on this machine: apt-get install chromium",
    ),
    "git": (lambda: shutil.which("git") is not None, "no git on this machine: apt-get install git"),
}


def pytest_configure(config):
    """Tests send Ctrl-C to processes; started in the background, pytest ignores it, and so would they."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    """Deselect what cannot run here, with a count; in CI nothing is deselected, it fails."""
    if IN_CI:
        return
    for marker, (present, advice) in NEEDS.items():
        if present():
            continue
        lacking = [item for item in items if item.get_closest_marker(marker)]
        if lacking:
            items[:] = [item for item in items if item not in lacking]
            config.hook.pytest_deselected(items=lacking)
            config._bioicons_notes = [
                *getattr(config, "_bioicons_notes", []),
                f"{len(lacking)} tests deselected: {advice}",
            ]


def pytest_terminal_summary(terminalreporter, config):
    for note in getattr(config, "_bioicons_notes", []):
        terminalreporter.write_line(note, yellow=True)


@pytest.fixture(autouse=True)
def _no_ambient_settings(monkeypatch, request):
    """No test depends on, or writes to, the settings of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("BIOICONS_") and name != "BIOICONS_SAMPLE_BUNDLE":
            monkeypatch.delenv(name)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def sample_bundle() -> Path:
    """The bundle of 1,581 real icons in five upstream states."""
    present, advice = NEEDS["bundle"]
    assert present(), advice
    return BUNDLE


@pytest.fixture(scope="session")
def sample_repo(sample_bundle, tmp_path_factory) -> Path:
    """A clone of the sample bundle: tags `upstream-*`, working tree at the newest state."""
    target = tmp_path_factory.mktemp("sample") / "bioicons"
    subprocess.run(["git", "clone", "--quiet", str(sample_bundle), str(target)], check=True)
    return target
