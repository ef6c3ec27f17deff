"""Fixtures that several rooms' tests share, and the rule for what the machine lacks.

With `CI=true` a missing system program or a missing sample of the real library fails the tests that
need it. Elsewhere those tests are deselected, and the run says how many and how to get what is missing.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from bioicons_pipeline_tests import postgres_server, s3_servers

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
    "postgres": (
        lambda: postgres_server.binaries() is not None,
        "no PostgreSQL on this machine: apt-get install postgresql",
    ),
    **{
        package: (
            lambda package=package: importlib.util.find_spec(package) is not None,
            f"no {package} here: pip install -e '.[dev]' -c constraints.txt",
        )
        for package in ("mlcroissant", "prodigyopt")
    },
    "git": (lambda: shutil.which("git") is not None, "no git on this machine: apt-get install git"),
}

COSTLY = (
    "captioning/test_vision.py",
    "cli/test_doctor.py",
    "dataset/test_memory.py",
    "end_to_end/",
    "evaluation/",
    "generation/test_copies.py",
    "generation/test_cutout.py",
    "generation/test_grid.py",
    "generation/test_make.py",
    "generation/test_sampler.py",
    "generation/test_vectorize.py",
    "library/test_gallery.py",
    "library/test_pairs.py",
    "library/test_real_library.py",
    "orchestration/",
    "project/test_deploy.py",
    "project/test_wheel.py",
    "rendering/test_fuzz.py",
    "rendering/test_hostile.py",
    "rendering/test_memory.py",
    "rendering/test_real_icons.py",
    "rendering/test_sandbox.py",
    "rendering/test_verify.py",
    "store/test_kills.py",
    "store/test_prune.py",
    "store/test_s3_faults.py",
    "store/test_s3_kills.py",
    "studio/",
    "test_quiet.py",
    "training/pretrain/",
    "training/test_base_models.py",
    "training/test_benchmarks.py",
    "training/test_buckets.py",
    "training/test_export.py",
    "training/test_findings.py",
    "training/test_flux_nano.py",
    "training/test_loop.py",
    "training/test_main.py",
    "training/test_memory.py",
    "training/test_optimizers.py",
    "training/test_pairing.py",
    "training/test_pieces.py",
    "training/test_processes.py",
    "training/test_readers.py",
    "training/test_resume.py",
    "training/test_run.py",
    "training/test_schnell.py",
    "training/test_validation.py",
    "training/test_wandb.py",
)
"""Places of tests that start whole programs, train, or draw many icons: not in `make test-fast`."""


def pytest_configure(config):
    """Tests send Ctrl-C to processes; started in the background, pytest ignores it, and so would they."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    """Mark what is costly; deselect what cannot run here, with a count: in CI it fails instead."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).as_posix().startswith(COSTLY):
            item.add_marker("costly")
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
        if name.startswith(("BIOICONS_", "AWS_")) and name != "BIOICONS_SAMPLE_BUNDLE":
            monkeypatch.delenv(name)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def moto_endpoint(tmp_path_factory):
    """A moto server of this test process."""
    with s3_servers.moto(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def rclone_endpoint(tmp_path_factory):
    """An rclone server of this test process."""
    with s3_servers.rclone(tmp_path_factory.mktemp("rclone")) as endpoint:
        yield endpoint


@pytest.fixture
def s3_on_moto(moto_endpoint, monkeypatch) -> str:
    """moto, which boto3 here uses; for fixtures that have a parameter of their own."""
    for name, value in s3_servers.environment(moto_endpoint).items():
        monkeypatch.setenv(name, value)
    return moto_endpoint


@pytest.fixture
def s3_endpoint(request, monkeypatch) -> str:
    """moto, or the server that a test asks for by indirect parametrization; boto3 here uses it."""
    endpoint = request.getfixturevalue(f"{getattr(request, 'param', 'moto')}_endpoint")
    for name, value in s3_servers.environment(endpoint).items():
        monkeypatch.setenv(name, value)
    return endpoint


@pytest.fixture
def s3_root(s3_endpoint) -> str:
    """A root in a new bucket of that server."""
    return s3_servers.make_root(s3_endpoint)


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
