"""What a stranger reads first: the help, the completion, the exit codes, a wrong setting."""

import csv
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from bioicons_pipeline import cli, cli_run
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.pipeline import Options, Summary
from bioicons_pipeline.orchestration.stages import manifest as manifest_stage
from bioicons_pipeline.settings import Settings, SettingsError, get_settings


@pytest.fixture
def bioicons(monkeypatch, capsys):
    """Run `bioicons …` in this process, as 80 columns show it: (exit code, stdout, stderr)."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    get_settings.cache_clear()

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bioicons", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return stopped.value.code or 0, said.out, said.err

    yield run
    get_settings.cache_clear()


def verbs() -> dict[str, object]:
    return typer.main.get_command(cli.app).commands


def test_the_help_fits_a_small_screen_and_names_every_verb_in_one_line(bioicons):
    code, said, _ = bioicons("--help")
    lines = said.rstrip().splitlines()
    assert code == 0 and len(lines) <= 23 and max(map(len, lines)) <= 80, said
    for name in verbs():
        assert sum(line.strip().startswith(f"{name} ") for line in lines) == 1, name
    for panel in (cli.START, cli.SCIENTIST, cli.ENGINEER, cli.CURATOR):
        assert panel in said
    assert "130 Ctrl-C" in said


def test_every_verb_says_for_whom_it_is():
    panels = {cli.START, cli.SCIENTIST, cli.ENGINEER, cli.CURATOR}
    assert {name for name, verb in verbs().items() if verb.rich_help_panel not in panels} == set()


def test_exit_codes(bioicons, tmp_path, monkeypatch):
    monkeypatch.setenv("BIOICONS_DATA_DIR", str(tmp_path))
    assert bioicons("--version")[0] == 0
    code, _, said = bioicons("search", "mouse")
    assert code == 2 and said.startswith("Error: ") and "bioicons run" in said
    assert bioicons("serach")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (("sweep",), "`bioicons run --until icon_dataset`"),
        (("sweep", "--category", "Animals"), "`bioicons run --category Animals --until icon_dataset`"),
        (("evaluate",), "`bioicons run --base flux-tiny`"),
        (("evaluate", "--category", "Animals"), "`bioicons run --until icon_captions`"),
        (("search", "mouse", "--category", "Animals"), "`bioicons run --until icon_captions`"),
    ],
)
def test_what_is_missing_is_told_with_the_command_that_makes_it(
    bioicons, tmp_path, monkeypatch, arguments, command
):
    """And not with the step of Dagster, which a user of the command line never sees."""
    monkeypatch.setenv("BIOICONS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BIOICONS_BASE", "flux-tiny")
    code, _, said = bioicons(*arguments)
    assert code == 2 and command in said and "materialize" not in said


def test_a_setting_that_cannot_be_is_named(bioicons, monkeypatch):
    monkeypatch.setenv("BIOICONS_RENDER_SIZE", "huge")
    with pytest.raises(SettingsError):
        get_settings()
    code, _, said = bioicons("manifest")
    assert code == 2 and "BIOICONS_RENDER_SIZE='huge'" in said and "Traceback" not in said


@pytest.mark.parametrize("own", [True, False])
def test_a_curator_is_told_of_decisions_without_effect(bioicons, monkeypatch, tmp_path, own):
    monkeypatch.setenv("BIOICONS_DATA_DIR", str(tmp_path))
    if own:
        monkeypatch.setenv("BIOICONS_CURATION", str(tmp_path / "my.yaml"))
    monkeypatch.setattr(manifest_stage, "notes", lambda _: ["mosue.svg matches no icon"])
    monkeypatch.setattr(manifest_stage, "whole_manifest", lambda _: pd.DataFrame({"name": ["mouse"]}))
    target = tmp_path / "manifest.csv"
    code, _, said = bioicons("manifest", "--out", str(target))
    assert code == 0 and target.read_text() == "name\nmouse\n"
    assert ("mosue.svg matches no icon" in said) is own


def test_the_manifest_as_csv_has_no_cell_that_a_spreadsheet_runs(bioicons, monkeypatch, tmp_path):
    monkeypatch.setenv("BIOICONS_DATA_DIR", str(tmp_path))
    names = ['=HYPERLINK("https://evil.example")', "+1", "-1", "@sum", "\tcell", "Ann = Bo", None]
    frame = pd.DataFrame(
        {"author": pd.array(names, dtype="string"), "family_size": pd.array(range(7), "Int64")}
    )
    frame.loc[6, "family_size"] = pd.NA
    monkeypatch.setattr(manifest_stage, "whole_manifest", lambda _: frame)
    table = tmp_path / "manifest.csv"
    assert bioicons("manifest", "--out", str(table))[0] == 0
    rows = list(csv.reader(table.open(newline="")))[1:]
    assert [author for author, _ in rows] == [*(f"'{name}" for name in names[:5]), "Ann = Bo", ""]
    assert [size for _, size in rows] == ["0", "1", "2", "3", "4", "5", ""]
    exact = tmp_path / "manifest.json"
    assert bioicons("manifest", "--format", "json", "--out", str(exact))[0] == 0
    assert [row["author"] for row in json.loads(exact.read_text())] == names


@pytest.mark.parametrize("where", ["on PATH", "another one on PATH", "not on PATH"])
def test_the_command_that_opens_the_ui_is_one_that_works(monkeypatch, tmp_path, where):
    """`make demo` activates no environment: a bare `dagster` is named only where a shell finds it."""
    own, other = tmp_path / "my env" / "bin", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir(parents=True)
        for name in ("python", "dagster"):
            (folder / name).write_text("#!/bin/sh\n")
            (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(own / "python"))
    monkeypatch.setenv(
        "PATH", {"on PATH": str(own), "another one on PATH": str(other)}.get(where, "/nowhere")
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    (tmp_path / "dagster.yaml").touch()
    shown = "dagster dev" if where == "on PATH" else "'my env/bin/dagster' dev"
    assert cli_run.ui_command(Settings()) == shown
    elsewhere, rest = Settings(data_dir=tmp_path / "the data"), f"{shown} -m bioicons_pipeline.definitions"
    data = f"BIOICONS_DATA_DIR='{tmp_path}/the data'"
    assert cli_run.ui_command(elsewhere) == f"DAGSTER_HOME='{tmp_path}/the data/dagster' {data} {rest}"
    kept = Settings(store_root=str(tmp_path / "a store"))
    assert cli_run.ui_command(kept) == f"BIOICONS_STORE_ROOT='{tmp_path}/a store' {shown}"
    (tmp_path / "dagster.yaml").unlink()
    assert cli_run.ui_command(Settings()) == f"DAGSTER_HOME={tmp_path}/data/dagster {rest}"
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "history"))  # the runs are there
    assert cli_run.ui_command(Settings()) == rest
    assert cli_run.ui_command(elsewhere) == f"{data} {rest}"


@pytest.mark.parametrize(
    ("category", "said"),
    [("Animals", "Animals was .* leave --category out"), (None, "The library was .* another --source")],
)
def test_what_was_too_small_to_train_is_told_what_would_help(category, said):
    record = {"status": "not trained", "reason": "n < 12", "icons": 8}
    summary = Summary(category, {}, {"lora_weights": record})
    with pytest.raises(BioiconsError, match=said):
        cli_run._report(summary, Options("starter", None, category, "flux-nano"), 1.0, as_json=True)


def test_the_shell_completes_verbs():
    asked = {"_BIOICONS_COMPLETE": "complete_bash", "COMP_WORDS": "bioicons ga", "COMP_CWORD": "1"}
    program = "import sys; sys.argv = ['bioicons']; from bioicons_pipeline.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **asked}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["gallery"], done.stderr


def test_every_verb_with_a_result_gives_it_to_scripts():
    groups = {name: getattr(verb, "commands", {"": verb}) for name, verb in verbs().items()}
    lacking = {
        f"{name} {below}".strip()
        for name, found in groups.items()
        for below, verb in found.items()
        if not any("--json" in parameter.opts for parameter in verb.params)
    }
    # the manifest is JSON by --format, the studio a page
    assert lacking == {"manifest", "studio"}


def test_a_review_for_scripts(bioicons, monkeypatch, tmp_path):
    from bioicons_pipeline.generation import review
    from bioicons_pipeline_tests.generation.test_provenance import a_card

    def recorded(path, reviewer, verdict, note):
        return review.Reviewed(a_card(), (path,))

    monkeypatch.setattr(review, "review", recorded)
    code, said, _ = bioicons("review", "a.png", "--reviewer", "x", "--verdict", "approved", "--json")
    told = json.loads(said)
    assert code == 0 and told["files"] == ["a.png"] and told["status"] == a_card().status


def test_results_for_scripts_are_json(monkeypatch):
    from bioicons_pipeline import doctor

    monkeypatch.setattr(doctor, "examine", lambda _: [doctor.python(), doctor.chromium(None)])
    done = CliRunner().invoke(cli.app, ["doctor", "--json"])
    assert done.exit_code == 0
    assert [row["check"] for row in json.loads(done.stdout)] == ["Python", "chromium"]
