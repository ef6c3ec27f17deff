"""Bad input: one clear sentence, exit code 2 (1 is for bugs), no traceback, nothing half-written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bioicons_pipeline_tests.end_to_end.conftest import bioicons


def refused(done: subprocess.CompletedProcess, *words: str) -> None:
    said = done.stderr
    assert done.returncode == 2, (done.returncode, done.stdout, said)
    assert "Traceback" not in said + done.stdout, said
    assert said.count("Error:") == 1, said
    for word in words:
        assert word in said, said


def refs(data) -> list:
    return sorted((data / "store" / "refs").rglob("*.json")) if (data / "store").exists() else []


def test_missing_source(tmp_path):
    done = bioicons("run", "--source", str(tmp_path / "nowhere"), data=tmp_path / "data")
    refused(done, "nowhere")
    assert not refs(tmp_path / "data")


def test_empty_source(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(bioicons("run", "--source", str(tmp_path / "empty"), data=tmp_path / "data"), "empty")
    assert not refs(tmp_path / "data")


def test_source_that_is_no_bioicons_layout(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    refused(bioicons("run", "--source", str(tmp_path / "photos"), data=tmp_path / "data"), "static/icons")
    assert not refs(tmp_path / "data")


def test_unknown_commit(tmp_path, sample_bundle):
    done = bioicons("run", "--source", str(sample_bundle), "--ref", "v99", data=tmp_path / "data")
    refused(done, "v99")
    assert not refs(tmp_path / "data")


test_unknown_commit = pytest.mark.bundle(pytest.mark.git(test_unknown_commit))


def test_unknown_category_names_the_nearest(tmp_path):
    done = bioicons("run", "--source", "starter", "--category", "Animal", data=tmp_path / "data")
    refused(done, "Animal", "Animals")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--base", "/no/such/folder"), ("/no/such/folder", "flux1-dev")),
        (("--base", "flux1-dev"), ("HF_TOKEN", "licence")),
        (("--until", "everything"), ("everything", "icon_dataset")),
        (("--preset", "huge"), ("huge", "tiny")),
    ],
)
def test_options_are_checked_before_anything_runs(tmp_path, arguments, words):
    done = bioicons("run", "--source", "starter", *arguments, data=tmp_path / "data")
    refused(done, *words)
    assert not (tmp_path / "data" / "store").exists()


def test_a_full_disk_under_the_output_is_one_sentence(tmp_path):
    program = [sys.executable, "-m", "bioicons_pipeline.cli", "doctor", "--json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            program,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "BIOICONS_DATA_DIR": str(tmp_path)},
        )
    assert done.returncode == 2 and "the output cannot be written (No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_svg_costs_one_icon_and_not_the_run(tmp_path):
    folder = tmp_path / "library" / "static" / "icons" / "cc-0" / "Animals" / "Ann"
    folder.mkdir(parents=True)
    shape = '<path d="M1 1h{0}v5H1z" fill="#a00"/>'
    good = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{shape}</svg>'
    for number in range(3):
        (folder / f"mouse_{number}.svg").write_text(good.format(3 + number))
    (folder / "broken.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><path d=")
    (folder / "empty.svg").write_text("")
    done = bioicons(
        *("run", "--source", str(tmp_path / "library"), "--category", "Animals", "--until", "icon_dataset"),
        data=tmp_path / "data",
    )
    assert done.returncode == 0, done.stderr
    assert "Dataset  " in done.stdout
