"""`bioicons upstream-report` as it is typed, on a store with a manifest of the starter library's shape."""

import json
import sys

import pytest

from bioicons_pipeline import cli, cli_upstream
from bioicons_pipeline.settings import get_settings
from bioicons_pipeline.store import Store
from bioicons_pipeline_tests.library.test_upstream import row


@pytest.fixture
def bioicons(tmp_path, monkeypatch, capsys):
    """Run `bioicons ...` in this process on an empty data folder: (exit code, stdout, stderr)."""
    monkeypatch.setenv("BIOICONS_DATA_DIR", str(tmp_path / "data"))
    get_settings.cache_clear()

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bioicons", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return stopped.value.code or 0, said.out, " ".join(said.err.split())

    yield run
    get_settings.cache_clear()


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library with one misspelt name."""
    import pandas as pd

    frame = pd.DataFrame([row("cc-0/Cells/Ann/Fluoresent_bead.svg"), row("cc-0/Cells/Ann/cell.svg")])
    monkeypatch.setattr(cli_upstream, "library_manifest", lambda store: frame)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "x").write_text("x")
    store = Store(tmp_path / "data" / "store")
    info = {"commit": "f" * 40, "source_url": str(tmp_path / "private")}
    store.set_ref("svg_snapshot", store.commit_tree(tmp_path / "tree").id, info=info)


def test_a_report_and_its_json(library, bioicons, tmp_path):
    code, said, _ = bioicons("upstream-report", "--out", tmp_path / "report")
    assert code == 0 and "1  renames (rename.sh), proposed and not run" in said
    script = (tmp_path / "report" / "rename.sh").read_text()
    assert "git mv cc-0/Cells/Ann/Fluoresent_bead.svg cc-0/Cells/Ann/Fluorescent_bead.svg" in script
    page = (tmp_path / "report" / "README.md").read_text()
    assert "f" * 40 in page and str(tmp_path) not in page, "no path of this machine goes to strangers"
    code, said, _ = bioicons("upstream-report", "--out", tmp_path / "report", "--json")
    found = json.loads(said)
    assert found["found"]["names"] == 1 and found["commit"] == "f" * 40


def test_without_a_library_it_says_how_to_get_one(bioicons, tmp_path):
    code, said, error = bioicons("upstream-report", "--out", tmp_path / "report")
    assert code == 2 and "bioicons run --until icon_captions" in error and said == ""
    assert not (tmp_path / "report").exists()


def test_a_folder_with_other_things_is_refused(library, bioicons, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    code, _, error = bioicons("upstream-report", "--out", tmp_path / "mine")
    assert code == 2 and "thesis.tex" in error
