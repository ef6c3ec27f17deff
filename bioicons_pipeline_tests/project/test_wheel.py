"""The wheel, installed outside the checkout: what ships with it is there, and the tutorial works from it."""

import os
import re
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from bioicons_pipeline_tests.conftest import REPOSITORY

TUTORIAL = REPOSITORY / "docs" / "tutorials" / "engineer.md"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys, hatchling.build; hatchling.build.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=REPOSITORY, check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The interpreter of an environment of its own, which has the wheel, and its libraries from this one."""
    place = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "env")], check=True)
    python = place / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--quiet"]
    subprocess.run([*pip, "--no-index", str(wheel)], check=True)
    packages = next((place / "env" / "lib").glob("python*/site-packages"))
    (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()))  # a path, not its .pth files
    return python


@pytest.mark.git
def test_it_has_everything_that_is_read_at_run_time(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = REPOSITORY / "bioicons_pipeline"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."],
        cwd=package, capture_output=True, text=True, check=True,
    )  # fmt: skip
    wanted = {f"bioicons_pipeline/{name}" for name in listed.stdout.splitlines() if (package / name).exists()}
    assert wanted <= names, sorted(wanted - names)
    assert "bioicons_pipeline/orchestration/dagster.yaml" in names
    assert not [name for name in names if name.startswith(("bioicons_pipeline_tests", "docs", "benchmarks"))]


@pytest.mark.git
def test_the_sdist_has_what_its_own_tests_import(tmp_path):
    """`docs` and `benchmarks` are not in the wheel, and tests read both."""
    build = "import sys, hatchling.build; hatchling.build.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=REPOSITORY, check=True)
    (made,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(made) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    top = (
        "bioicons_pipeline",
        "bioicons_pipeline_tests",
        "benchmarks",
        "docs",
        "README.md",
        "CONTRIBUTING.md",
    )
    listed = subprocess.run(
        ["git", "ls-files", "--cached", *top, "Makefile", "mkdocs.yml", "constraints.txt", "setup.cfg"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    wanted = {name for name in listed.stdout.splitlines() if (REPOSITORY / name).exists()}
    assert len(wanted) > 400 and wanted <= names, sorted(wanted - names)


@pytest.mark.git
def test_its_version_is_that_of_the_commit(wheel):
    """Of a tag where one is on it; else with the commit in it. What a tree without history falls back to has
    neither, and would pass for a version while nobody could tell what it was built from."""
    version = wheel.name.split("-")[1]
    told = ["git", "-C", str(REPOSITORY)]
    commit = subprocess.run([*told, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    tags = subprocess.run(
        [*told, "tag", "--points-at", "HEAD"], capture_output=True, text=True, check=True
    ).stdout
    assert carries(version, commit.strip(), tags.split()), version


def carries(version: str, commit: str, tags: list[str]) -> bool:
    """Whether a version is that of one of the tags `v1.2.3`, or a development version of this commit; `.d`
    and a date follow where the tree has changes."""
    if f"v{version}" in tags:
        return True
    found = re.fullmatch(r"\d+\.\d+(?:\.\d+)?\.dev\d+\+g([0-9a-f]{7,40})(?:\.d\d{8})?", version)
    return found is not None and commit.startswith(found[1])


@pytest.mark.parametrize(
    ("version", "right"),
    [
        ("0.1.dev412+gda4d26312.d20261128", True),
        ("1.2.4.dev3+gda4d263", True),
        ("1.2.3", True),
        ("0.1.0.dev0", False),  # the fallback of pyproject.toml
        ("1.2.4", False),
        ("1.2.4.dev3+g0123456", False),
        ("1.2.4.dev3", False),
    ],
)
def test_a_version_that_says_no_commit_is_told(version, right):
    assert carries(version, "da4d263120000000000000000000000000000000", ["v1.2.3"]) is right


def follow(installed: Path, folder: Path, kinds: str) -> str:
    """Run the tutorial's blocks of these `kinds` (a pattern) as they stand, in one shell; returns stdout."""
    blocks = re.findall(rf"```(?:{kinds})\n(.*?)```", TUTORIAL.read_text("utf-8"), re.S)
    assert len(blocks) >= 2
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    program = (
        "from bioicons_pipeline.training.base_models import resolve_base as base;"
        "import bioicons_pipeline as b; print('here:', b.__file__, base('flux-nano', '.').path, sep='\\n')"
    )
    done = subprocess.run(
        ["bash", "-euc", "\n".join([*blocks, f'python -c "{program}"'])],
        cwd=folder,
        env={**kept, "PATH": f"{installed.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(1800)
def test_the_engineers_tutorial_works_where_there_is_no_checkout(installed, tmp_path):
    """All of it up to the icon (blocks marked `sh` and `bash`); package and base are those of the wheel.

    The blocks without a mark need a GPU, hours or a person.
    """
    said = follow(installed, tmp_path, "sh|bash")
    outputs = tmp_path / "data" / "outputs" / "Animals"
    assert str(outputs / "dataset") in said
    assert (tmp_path / "dataset" / "ATTRIBUTION.md").is_file() and (tmp_path / "manifest.csv").is_file()
    assert '"citation": "' in said
    places = said.split("here:\n")[1].split()[:2]
    assert all(Path(place).is_relative_to(installed.parents[1]) for place in places), places
    for name in ("pytorch_lora_weights.safetensors", "comfyui_lora.safetensors"):
        assert (outputs / "lora-flux-tiny" / name).is_file()
    assert len(list((tmp_path / "icons").glob("a-mouse-*.png"))) == 1
