"""The doctor: each finding follows from what is there, and its exit code from the findings."""

import socket
import sys

import pytest
from typer.testing import CliRunner

from bioicons_pipeline import cli, doctor
from bioicons_pipeline.settings import Settings, get_settings
from bioicons_pipeline.training.memory import GIB


def device(free: float) -> dict:
    return {"name": "A100", "free": int(free * GIB), "total": 80 * GIB}


def torch(*devices, cuda="12.8"):
    return {"version": "2.13.0", "cuda": cuda, "devices": list(devices)}


@pytest.mark.parametrize(
    ("finding", "state", "says"),
    [
        (doctor.python((3, 10, 4)), "problem", "3.11"),
        (doctor.python((3, 11, 0)), "ok", "3.11.0"),
        (doctor.git(None), "problem", "apt-get install git"),
        (doctor.fonts(()), "problem", "fonts-liberation"),
        (doctor.torch_build({"error": "no module"}), "problem", "no module"),
        (doctor.torch_build(torch(cuda=None)), "ok", "for the CPU"),
        (doctor.gpu(torch(cuda=None), None), "note", "needs a GPU"),
        (doctor.gpu(torch(device(75)), None), "ok", "gpu-80gb or gpu-24gb or gpu-12gb"),
        (doctor.gpu(torch(device(20)), None), "ok", "preset gpu-24gb or gpu-12gb"),
        (doctor.gpu(torch(device(4)), None), "note", "too little memory"),
        (doctor.memory(1 * GIB), "problem", "1.0 GiB free"),
        (doctor.memory(8 * GIB), "ok", "8.0 GiB"),
        (doctor.hub(None), "note", "hf auth login"),
        (doctor.chromium(None), "note", "apt-get install chromium"),
        (doctor.extra("studio", lambda _: None), "note", "pip install 'bioicons-pipeline[studio]'"),
        (doctor.extra("low-memory", lambda _: object()), "ok", "12 or 24 GB"),
    ],
)
def test_a_finding_says_what_it_means_and_what_to_do(finding, state, says):
    text = " ".join(finding.as_row().values())
    assert finding.state == state and says in text
    assert (finding.state == "problem") <= bool(finding.advice)


def test_a_gpu_that_torch_cannot_use_is_a_problem(tmp_path):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho NVIDIA A100\n")
    smi.chmod(0o755)
    found = doctor.gpu(torch(cuda=None), str(smi))
    assert found.state == "problem" and found.found == "NVIDIA A100"
    smi.write_text("#!/bin/sh\nexit 9\n")
    assert doctor.gpu(torch(cuda=None), str(smi)).state == "note"


def test_a_token_is_never_shown():
    assert "hf_secret" not in str(doctor.hub("hf_secret").as_row())


def test_a_disk_that_is_full_or_closed_is_a_problem(tmp_path):
    there = tmp_path / "not" / "yet"
    assert doctor.disk(there, free=10**9).state == "problem"
    assert doctor.disk(there, free=20 * 10**9).state == "note"
    assert doctor.disk(there, free=10**12).state == "ok"
    file = tmp_path / "file"
    file.write_text("")
    assert "BIOICONS_DATA_DIR" in doctor.disk(file / "data").advice
    assert not there.exists()


def test_a_store_of_its_own_is_looked_at_too(tmp_path, monkeypatch):
    """It may lie where nothing can be made, while the data folder is well."""
    monkeypatch.setattr(doctor, "ask_torch", lambda: torch(cuda=None))
    (tmp_path / "file").write_text("")
    settings = Settings(data_dir=tmp_path, store_root=str(tmp_path / "file" / "store"))
    found = {finding.check: finding for finding in doctor.examine(settings)}
    assert found["store"].state == "problem" and "BIOICONS_STORE_ROOT" in found["store"].advice
    assert found["disk"].state != "problem"
    assert "store" not in {finding.check for finding in doctor.examine(Settings(data_dir=tmp_path))}


def test_a_port_that_is_taken_is_said():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        assert doctor.port(number).state == "note"
    assert doctor.port(number).state == "ok"


def test_a_torch_that_crashes_costs_one_finding(monkeypatch):
    monkeypatch.setattr(doctor, "_TORCH_PROBE", "import os; os.abort()")
    said = doctor.ask_torch()
    assert doctor.torch_build(said).state == "problem" and doctor.gpu(said, None).state == "note"


def test_this_machine(monkeypatch, tmp_path):
    """All of it for once: every check has a finding, the table names them, nothing is written."""
    monkeypatch.setenv("BIOICONS_DATA_DIR", str(tmp_path / "data"))
    get_settings.cache_clear()
    seen = []
    real = doctor.examine
    monkeypatch.setattr(doctor, "examine", lambda chosen: [seen.append(f) or f for f in real(chosen)])
    done = CliRunner().invoke(cli.app, ["doctor"])
    get_settings.cache_clear()
    assert {finding.check for finding in seen} >= {"Python", "git", "cairo", "fonts", "torch", "GPU", "disk"}
    assert all(finding.check in done.stdout for finding in seen)
    assert done.exit_code == (2 if any(finding.state == "problem" for finding in seen) else 0)
    assert f"in {sys.prefix}"[:30] in done.stdout.replace("\n", "")
    assert not (tmp_path / "data").exists()
