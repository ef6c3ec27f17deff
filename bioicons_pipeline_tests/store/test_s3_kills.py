"""A writer to S3 that dies at any moment leaves every ref leading to a complete version, old or new."""

import json
import os
import signal

import pytest

from . import writer
from .test_kills import check_complete, result

BOTH = pytest.mark.parametrize("s3_endpoint", ["moto", "rclone"], indirect=True)


def kill_and_rerun(s3_root: str, tmp_path, number: int | None) -> set[tuple[str, ...]]:
    """Kill a writer at `number` moments spread over its requests (None: at each); the states seen."""
    expected = writer.write(str(tmp_path / "undisturbed"), writer.NEW, writer.WEIGHTS_NEW)
    writer.write(f"{s3_root}/traced", writer.OLD, writer.WEIGHTS_OLD)
    operations = result("trace", f"{s3_root}/traced")
    assert any("uploadId" in operation for operation in operations)
    switches = [n for n, name in enumerate(operations) if "/refs/" in name and " PUT " in name]
    moments = set(range(len(operations)))
    if number is not None:
        moments = {round(n * (len(operations) - 1) / (number - 1)) for n in range(number)} | set(switches)
    roots = {moment: f"{s3_root}/{moment}" for moment in sorted(moments)}
    for root in roots.values():
        writer.write(root, writer.OLD, writer.WEIGHTS_OLD)
    jobs = [[root, moment] for moment, root in roots.items()]
    for start in range(0, len(jobs), 16):
        statuses = result("moments", json.dumps(jobs[start : start + 16]))
        assert {os.WTERMSIG(status) for status in statuses} == {signal.SIGKILL}

    seen = set()
    for root in roots.values():
        seen.add(tuple(check_complete(root).values()))
        assert writer.write(root, writer.NEW, writer.WEIGHTS_NEW) == expected
        assert check_complete(root) == {"icon_dataset": "new", "lora_weights": "new"}
    assert number is not None or len(roots) >= 50
    print(f"{len(roots)} kills at {len(operations)} moments")
    return seen


STATES = {("old", "old"), ("new", "old"), ("new", "new")}


def test_kills_spread_over_a_write_and_at_both_switches(s3_root, tmp_path):
    assert kill_and_rerun(s3_root, tmp_path, 8) == STATES


@pytest.mark.slow
@BOTH
def test_a_kill_at_every_moment(s3_root, s3_endpoint, rclone_endpoint, tmp_path, monkeypatch):
    if s3_endpoint == rclone_endpoint:
        monkeypatch.setenv("WRITER_TORN_FROM", str(32 * 1024))
    assert kill_and_rerun(s3_root, tmp_path, None) == STATES
