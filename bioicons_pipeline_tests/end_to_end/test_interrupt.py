"""Ctrl-C in the middle of a training: one sentence, no process left, and the next run goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bioicons_pipeline.store import Store


def training_processes(data) -> list[str]:
    """Command lines of trainers that work under `data` (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        if b"bioicons_pipeline.training" in line and str(data).encode() in environment:
            found.append(line.decode())
    return found


def test_ctrl_c_stops_everything_and_keeps_what_was_finished(tmp_path):
    data = tmp_path / "data"
    command = [sys.executable, "-m", "bioicons_pipeline.cli", "run", "--source", "starter"]
    process = subprocess.Popen(
        [*command, "--category", "Animals", "--size", "64", "--steps", "100000", "--base", "flux-tiny"],
        env={**os.environ, "BIOICONS_DATA_DIR": str(data)},
        stderr=(tmp_path / "stderr").open("w"),
    )
    end = time.monotonic() + 500
    while "fixed-noise loss at step 0" not in (tmp_path / "stderr").read_text():
        assert process.poll() is None and time.monotonic() < end, (tmp_path / "stderr").read_text()
        time.sleep(0.5)
    assert training_processes(data)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    said = (tmp_path / "stderr").read_text()
    assert "Stopped. What was finished is kept" in said
    assert "Traceback" not in said and "Error:" not in said
    deadline = time.monotonic() + 20
    while training_processes(data) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not training_processes(data)
    store = Store(data / "store")
    assert store.get_ref("icon_dataset", partition="Animals") is not None
    assert store.get_ref("lora_weights", partition="Animals", base="flux-tiny") is None
    assert not store.verify(store.get_ref("icon_dataset", partition="Animals").version_id)
